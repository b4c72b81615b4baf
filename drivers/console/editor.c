/* SPDX-License-Identifier: MIT
 *
 * The line editor: a table from keys to small functions on the line, and one refresh() that draws
 * the visible part of it in a single write.  Every byte leaves the editor in a drawable state; what
 * makes no sense rings the bell.
 */
#include "drivers/console/editor.h"

#include "lib/string.h"

#define CTRL(c) ((c)-0x40)
#define BEL     0x07
#define ESC     0x1b
#define DEL     0x7f

enum escape_state { GROUND, AFTER_ESC, IN_CSI, IN_SS3 };

struct key {
    u8 code;
    void (*run)(struct editor *e);
};

static void put(struct editor *e, const char *text, size_t len)
{
    if (e->echo)
        e->out->write(e->out, text, len);
}

static void bell(struct editor *e) { put(e, "\a", 1); }

/* --- Drawing ---------------------------------------------------------------------------------- */

/* Characters of the line that fit beside the prompt; the last column stays free. */
static u16 visible(const struct editor *e)
{
    size_t used = strlen(e->prompt) + 1;

    return (u16)(e->width > used + 8 ? e->width - used : 8);
}

/* Scroll sideways until the cursor is in sight; by half a window, not to jump at every key. */
static bool scroll(struct editor *e)
{
    u16 window = visible(e);
    u16 old = e->view;

    if (e->cursor < e->view)
        e->view = (u16)(e->cursor > window / 2 ? e->cursor - window / 2 : 0);
    else if (e->cursor > e->view + window)
        e->view = (u16)(e->cursor - window / 2);
    return e->view != old;
}

static void refresh(struct editor *e)
{
    char row[EDITOR_LINE + 96];
    struct buf_sink b;
    u16 window = visible(e);
    u16 shown;
    unsigned column;

    (void)scroll(e);
    shown = (u16)(e->len - e->view < window ? e->len - e->view : window);
    column = (unsigned)strlen(e->prompt) + e->cursor - e->view;
    buf_sink_init(&b, row, sizeof(row));
    sink_printf(&b.sink, "\r%.64s%.*s\033[K", e->prompt, shown, e->line + e->view);
    if (column != strlen(e->prompt) + shown)
        sink_printf(&b.sink, column ? "\r\033[%uC" : "\r", column);
    put(e, row, b.len);
}

void editor_show(struct editor *e)
{
    if (e->active)
        refresh(e);
}

/* --- The line --------------------------------------------------------------------------------- */

static void set_line(struct editor *e, const char *text)
{
    (void)str_copy(e->line, sizeof(e->line), text);
    e->len = e->cursor = (u16)strlen(e->line);
    e->view = 0;
}

static bool insert(struct editor *e, const char *text, u16 n)
{
    if (n > EDITOR_LINE - 1 - e->len)
        return false;
    memmove(e->line + e->cursor + n, e->line + e->cursor, (size_t)e->len - e->cursor + 1);
    memcpy(e->line + e->cursor, text, n);
    e->len = (u16)(e->len + n);
    e->cursor = (u16)(e->cursor + n);
    return true;
}

/* Remove [from, to) and put the cursor there. */
static void erase(struct editor *e, u16 from, u16 to)
{
    memmove(e->line + from, e->line + to, (size_t)e->len - to + 1);
    e->len = (u16)(e->len - (to - from));
    e->cursor = from;
    e->overflow = false;
}

/* Remove [from, to) to the kill buffer. */
static void kill_text(struct editor *e, u16 from, u16 to)
{
    if (from == to) {
        bell(e);
        return;
    }
    memcpy(e->kill, e->line + from, (size_t)(to - from));
    e->kill[to - from] = 0;
    erase(e, from, to);
    refresh(e);
}

static u16 word_back(const struct editor *e)
{
    u16 at = e->cursor;

    while (at && e->line[at - 1] == ' ')
        at--;
    while (at && e->line[at - 1] != ' ')
        at--;
    return at;
}

static u16 word_forward(const struct editor *e)
{
    u16 at = e->cursor;

    while (at < e->len && e->line[at] == ' ')
        at++;
    while (at < e->len && e->line[at] != ' ')
        at++;
    return at;
}

/* --- Keys ------------------------------------------------------------------------------------- */

static void move_to(struct editor *e, u16 at)
{
    e->cursor = at;
    refresh(e);
}

static void key_home(struct editor *e) { move_to(e, 0); }

static void key_end(struct editor *e) { move_to(e, e->len); }

static void key_left(struct editor *e)
{
    if (e->cursor)
        move_to(e, (u16)(e->cursor - 1));
    else
        bell(e);
}

static void key_right(struct editor *e)
{
    if (e->cursor < e->len)
        move_to(e, (u16)(e->cursor + 1));
    else
        bell(e);
}

static void key_word_left(struct editor *e) { move_to(e, word_back(e)); }

static void key_word_right(struct editor *e) { move_to(e, word_forward(e)); }

static void key_delete(struct editor *e)
{
    if (e->cursor == e->len) {
        bell(e);
        return;
    }
    erase(e, e->cursor, (u16)(e->cursor + 1));
    refresh(e);
}

static void key_rubout(struct editor *e)
{
    if (e->cursor == 0) {
        bell(e);
        return;
    }
    erase(e, (u16)(e->cursor - 1), e->cursor);
    refresh(e);
}

static void key_kill_end(struct editor *e) { kill_text(e, e->cursor, e->len); }

static void key_kill_start(struct editor *e) { kill_text(e, 0, e->cursor); }

static void key_kill_word_back(struct editor *e) { kill_text(e, word_back(e), e->cursor); }

static void key_kill_word(struct editor *e) { kill_text(e, e->cursor, word_forward(e)); }

static void key_yank(struct editor *e)
{
    if (e->kill[0] == 0 || !insert(e, e->kill, (u16)strlen(e->kill)))
        bell(e);
    else
        refresh(e);
}

static void key_transpose(struct editor *e)
{
    u16 at = e->cursor == e->len ? (u16)(e->cursor - 1) : e->cursor;
    char c;

    if (e->cursor == 0 || e->len < 2) {
        bell(e);
        return;
    }
    c = e->line[at - 1];
    e->line[at - 1] = e->line[at];
    e->line[at] = c;
    move_to(e, (u16)(at + 1));
}

static void key_clear(struct editor *e)
{
    put(e, "\033[H\033[2J", 7);
    refresh(e);
}

static void key_cancel(struct editor *e)
{
    put(e, "^C\n", 3);
    editor_start(e);
}

const char *editor_history(const struct editor *e, u32 back)
{
    u32 kept = e->history_count < EDITOR_HISTORY ? e->history_count : EDITOR_HISTORY;

    if (back >= kept)
        return NULL;
    return e->history[(e->history_count - 1 - back) % EDITOR_HISTORY];
}

static void history_go(struct editor *e, u32 at)
{
    const char *text = at == 0 ? e->saved : editor_history(e, at - 1);

    if (text == NULL) {
        bell(e);
        return;
    }
    if (e->history_at == 0)
        memcpy(e->saved, e->line, (size_t)e->len + 1);
    e->history_at = at;
    set_line(e, text);
    refresh(e);
}

static void key_previous(struct editor *e) { history_go(e, e->history_at + 1); }

static void key_next(struct editor *e)
{
    if (e->history_at == 0)
        bell(e);
    else
        history_go(e, e->history_at - 1);
}

static void history_add(struct editor *e)
{
    const char *newest = editor_history(e, 0);

    if (e->len == 0 || (newest && strcmp(newest, e->line) == 0))
        return;
    memcpy(e->history[e->history_count % EDITOR_HISTORY], e->line, (size_t)e->len + 1);
    e->history_count++;
}

/* --- Completion ------------------------------------------------------------------------------- */

static bool is_listed(const struct completions *c, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = c->list_text; p; p = strchr(p, ' '), p += p != NULL)
        if (str_starts(p, word) && p[len] == ' ')
            return true;
    return false;
}

void completions_add(struct completions *c, const char *word)
{
    u16 same = 0;

    if (!str_starts(word, c->prefix) || is_listed(c, word))
        return;
    if (c->count++ == 0) {
        (void)str_copy(c->common, sizeof(c->common), word);
        c->common_len = (u16)strlen(c->common);
    }
    while (same < c->common_len && word[same] == c->common[same])
        same++;
    c->common_len = same;
    sink_printf(&c->list.sink, "%s ", word);
}

/* All candidates in rows no wider than the terminal, below the line being typed. */
static void show_candidates(struct editor *e, const struct completions *c)
{
    const char *p = c->list_text;
    size_t column = 0;

    put(e, "\n", 1);
    while (*p) {
        const char *end = strchr(p, ' ');
        size_t len = end ? (size_t)(end - p) : strlen(p);

        if (column && column + 2 + len > e->width - 1u) {
            put(e, "\n", 1);
            column = 0;
        }
        if (column)
            put(e, "  ", 2);
        put(e, p, len);
        column += len + (column ? 2 : 0);
        p += len + (end ? 1 : 0);
    }
    put(e, c->list.lost ? " ...\n" : "\n", c->list.lost ? 5 : 1);
    refresh(e);
}

static void key_complete(struct editor *e)
{
    struct completions *c = &e->completions;
    u16 typed;
    char rest;

    if (!e->complete) {
        bell(e);
        return;
    }
    c->start = c->count = c->common_len = 0;
    c->prefix = "";
    buf_sink_init(&c->list, c->list_text, sizeof(c->list_text));
    rest = e->line[e->cursor];
    e->line[e->cursor] = 0;
    e->complete(e->ctx, e->line, c);
    e->line[e->cursor] = rest;
    typed = (u16)(e->cursor - c->start);
    if (c->count == 0 || c->start > e->cursor || c->common_len < typed) {
        bell(e);
    } else if (c->count > 1 && c->common_len == typed) {
        show_candidates(e, c);
    } else {
        c->common[c->common_len] = ' ';
        if (!insert(e, c->common + typed, (u16)(c->common_len - typed + (c->count == 1))))
            bell(e);
        refresh(e);
    }
}

/* --- Input ------------------------------------------------------------------------------------ */

static const struct key control_keys[] = {
    {CTRL('A'), key_home},      {CTRL('B'), key_left},       {CTRL('C'), key_cancel},
    {CTRL('D'), key_delete},    {CTRL('E'), key_end},        {CTRL('F'), key_right},
    {CTRL('H'), key_rubout},    {CTRL('I'), key_complete},   {CTRL('K'), key_kill_end},
    {CTRL('L'), key_clear},     {CTRL('N'), key_next},       {CTRL('P'), key_previous},
    {CTRL('T'), key_transpose}, {CTRL('U'), key_kill_start}, {CTRL('W'), key_kill_word_back},
    {CTRL('Y'), key_yank},      {DEL, key_rubout},
};

static const struct key meta_keys[] = {
    {'b', key_word_left},
    {'f', key_word_right},
    {'d', key_kill_word},
    {DEL, key_kill_word_back},
};

/* Final bytes of CSI and SS3 sequences (VT100, and xterm's Home and End). */
static const struct key arrow_keys[] = {
    {'A', key_previous}, {'B', key_next}, {'C', key_right},
    {'D', key_left},     {'F', key_end},  {'H', key_home},
};

/* CSI n ~ (VT220; 7 and 8: rxvt). */
static const struct key tilde_keys[] = {
    {1, key_home}, {3, key_delete}, {4, key_end}, {7, key_home}, {8, key_end},
};

static void run_key(struct editor *e, const struct key *keys, size_t n, u8 code)
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i].code == code) {
            keys[i].run(e);
            return;
        }
    }
    bell(e);
}

#define RUN_KEY(e, keys, code) run_key(e, keys, ARRAY_SIZE(keys), code)

static void escape_byte(struct editor *e, u8 c)
{
    u8 state = e->escape;

    e->escape = GROUND;
    if (state == AFTER_ESC && (c == '[' || c == 'O')) {
        e->escape = c == '[' ? IN_CSI : IN_SS3;
        e->param = 0;
    } else if (state == AFTER_ESC) {
        RUN_KEY(e, meta_keys, c);
    } else if (state == IN_CSI && c < 0x40) {
        e->escape = IN_CSI;
        if (c >= '0' && c <= '9')
            e->param = (u8)(e->param < 25 ? e->param * 10 + (c - '0') : 0xff);
    } else if (state == IN_CSI && c == '~') {
        RUN_KEY(e, tilde_keys, e->param);
    } else {
        RUN_KEY(e, arrow_keys, c);
    }
}

static void type(struct editor *e, u8 c)
{
    char text = (char)c;
    bool at_end = e->cursor == e->len;

    if (c >= DEL) { /* commands are ASCII */
        bell(e);
    } else if (!insert(e, &text, 1)) {
        e->overflow = true;
        bell(e);
    } else if (at_end && !scroll(e)) {
        put(e, &text, 1);
    } else {
        refresh(e);
    }
}

static enum editor_result line_end(struct editor *e)
{
    e->active = false;
    if (e->echo)
        history_add(e);
    put(e, "\n", 1);
    return EDITOR_DONE;
}

static void unechoed(struct editor *e, u8 c)
{
    char text = (char)c;

    if (c == CTRL('H') || c == DEL)
        key_rubout(e);
    else if (c == CTRL('C'))
        editor_start(e);
    else if ((c >= 0x20 || c == '\t') && !insert(e, &text, 1))
        e->overflow = true;
}

enum editor_result editor_input(struct editor *e, u8 byte)
{
    bool after_cr = e->last_cr;

    e->last_cr = byte == '\r';
    if (!e->active || (byte == '\n' && after_cr))
        return EDITOR_MORE;
    if (byte == '\r' || byte == '\n') {
        e->escape = GROUND;
        return line_end(e);
    }
    if (!e->echo) {
        unechoed(e, byte);
    } else if (byte == ESC) {
        e->escape = AFTER_ESC;
    } else if (e->escape != GROUND && byte >= 0x20) {
        escape_byte(e, byte);
    } else if (byte < 0x20 || byte == DEL) {
        e->escape = GROUND;
        RUN_KEY(e, control_keys, byte);
    } else {
        type(e, byte);
    }
    return EDITOR_MORE;
}

void editor_start(struct editor *e)
{
    set_line(e, "");
    e->active = true;
    e->overflow = false;
    e->escape = GROUND;
    e->history_at = 0;
    refresh(e);
}

void editor_init(struct editor *e, struct sink *out, const char *prompt, u16 width)
{
    memset(e, 0, sizeof(*e));
    e->out = out;
    e->prompt = prompt;
    e->width = width;
    e->echo = true;
}
