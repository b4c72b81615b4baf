/* SPDX-License-Identifier: MIT
 *
 * One terminal, many speakers.  The terminal's current row has an owner; whoever else wants to
 * write takes the row from it: a line being typed is erased, anything else is ended with a new
 * line.  The row taken away is drawn again later, from mux_poll() or before its owner's next byte,
 * so that a burst of log lines costs one redraw and the log never calls into the editor.
 *
 * Lock order: the log's lock, then mux->lock.  Callbacks (prompt, wake) run without it.
 */
#include "drivers/console/mux.h"

#include "lib/string.h"

#define CTRL_BRACKET 0x1d
#define ESC          0x1b
#define BEL          0x07
#define CAN          "\030" /* aborts an escape sequence on a VT100 */

#define ROW_ASYNC (-2) /* row owners besides MUX_PROMPT and the guests' numbers */

/* Twice Ctrl-] within this time sends one. */
#define DOUBLE_US 500000u
/* Polls of the hardware without progress before waiting is given up: about 0.1 s of port reads. */
#define WAIT_POLLS       100000u
#define WAIT_POLLS_STUCK 100u
/* Keys taken in one mux_poll(), so that a flood cannot keep it from returning. */
#define POLL_KEYS 1024
/* What a line may need beside its text: break, erase, prefix, CR LF. */
#define LINE_EXTRA 48

enum filter_state { FILTER_TEXT, FILTER_ESC, FILTER_CSI, FILTER_STRING };

static void mux_lock(struct mux *m)
{
    if (!m->sync)
        lock_take(&m->lock);
}

static void mux_unlock(struct mux *m)
{
    if (!m->sync)
        lock_release(&m->lock);
}

/* --- The ring and the hardware ---------------------------------------------------------------- */

/* Hand over what the hardware takes now; false when it took nothing. */
static bool tx_pump(struct mux *m)
{
    bool progress = false;
    u32 used;

    while ((used = ring_used(&m->tx)) != 0) {
        u32 at = m->tx.tail & m->tx.mask;
        u32 run = used < MUX_RING - at ? used : MUX_RING - at;
        u32 sent = m->hw.send(m->hw.ctx, m->tx.buf + at, run);

        if (sent == 0)
            break;
        m->tx.tail += sent;
        progress = true;
    }
    if (m->hw.want_send)
        m->hw.want_send(m->hw.ctx, used != 0);
    return progress;
}

/* Pump until there is room for n bytes; false when the hardware does not move. */
static bool tx_wait(struct mux *m, u32 n)
{
    u32 bound = m->stuck ? WAIT_POLLS_STUCK : WAIT_POLLS;

    for (u32 idle = 0; ring_room(&m->tx) < n; idle++) {
        if (tx_pump(m)) {
            m->stuck = false;
            bound = WAIT_POLLS;
            idle = 0;
        } else if (idle == bound) {
            m->stuck = true;
            return false;
        } else {
            __builtin_ia32_pause();
        }
    }
    return true;
}

static void tx_finish(struct mux *m)
{
    if (m->sync)
        (void)tx_wait(m, MUX_RING);
    else
        (void)tx_pump(m);
}

static void tx_byte(struct mux *m, char c)
{
    if (!ring_put(&m->tx, (u8)c)) {
        m->out_lost++;
        return;
    }
    if (c == '\n')
        m->row_dirty = false;
    else if ((u8)c >= 0x20)
        m->row_dirty = true;
}

static void tx_raw(struct mux *m, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        tx_byte(m, text[i]);
}

/* As tx_raw, "\n" becoming "\r\n". */
static void tx_text(struct mux *m, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            tx_byte(m, '\r');
        tx_byte(m, text[i]);
    }
}

/* --- Rows and lines --------------------------------------------------------------------------- */

static bool prompt_editing(const struct mux *m)
{
    return m->prompt.editing && m->prompt.editing(m->prompt.ctx);
}

/* An escape sequence of the row's owner is not waited for any longer. */
static void cut_escape(struct mux *m, int who)
{
    struct mux_guest *g = m->row_owner >= 0 ? &m->guest[m->row_owner] : NULL;

    if (!g || m->row_owner == who || g->escape == FILTER_TEXT)
        return;
    tx_raw(m, CAN, 1);
    g->escape = FILTER_TEXT;
}

static void row_take(struct mux *m, int who)
{
    cut_escape(m, who);
    if (m->row_dirty && m->row_owner != who) {
        bool editing = m->row_owner == MUX_PROMPT && prompt_editing(m);

        if (editing)
            tx_raw(m, "\r\033[K", 4);
        else
            tx_raw(m, "\r\n", 2);
        m->redraw |= editing || m->row_owner == m->focus;
        m->row_dirty = false;
    }
    m->row_owner = who;
}

/* A whole line between those of others; false when there is no room for it. */
static bool async_line(struct mux *m, const char *name, const char *text, size_t len)
{
    char prefix[32];
    size_t prefix_len;

    prefix_len = format_buf(prefix, sizeof(prefix), name ? "%s[%.20s] " : "%s%s",
                            m->machine ? "* " : "", name ? name : "");
    if (m->sync)
        (void)tx_wait(m, (u32)len + LINE_EXTRA);
    if (ring_room(&m->tx) < len + LINE_EXTRA)
        return false;
    row_take(m, ROW_ASYNC);
    tx_raw(m, prefix, prefix_len);
    tx_raw(m, text, len);
    tx_raw(m, "\r\n", 2);
    return true;
}

static void lost_notice(struct mux *m)
{
    char text[96];
    size_t len;

    if (m->log_lost == 0)
        return;
    len = format_buf(text, sizeof(text),
                     "-- %lu log lines not shown, the console was too slow; see `log` --",
                     m->log_lost);
    if (async_line(m, NULL, text, len))
        m->log_lost = 0;
}

/* One log line without its newline; after lost ones, only behind the notice of their loss. */
static void log_show(struct mux *m, const char *text, size_t len)
{
    lost_notice(m);
    if (m->log_lost != 0 || !async_line(m, NULL, text, len))
        m->log_lost++;
}

static void hold_flush(struct mux *m)
{
    const char *line = m->hold;
    u16 held = m->held;

    m->held = 0;
    for (u16 i = 0; i < held; i++) {
        if (m->hold[i] != '\n')
            continue;
        log_show(m, line, (size_t)(m->hold + i - line));
        line = m->hold + i + 1;
    }
}

static bool hold_put(struct mux *m, const char *text, size_t len)
{
    if (sizeof(m->hold) - m->held < len + 1)
        return false;
    memcpy(m->hold + m->held, text, len);
    m->hold[m->held + len] = '\n';
    m->held = (u16)(m->held + len + 1);
    return true;
}

/* Draw a guest's current line again; it has the focus. */
static void guest_redraw(struct mux *m, const struct mux_guest *g)
{
    m->redraw = false;
    if (g->len == 0 || ring_room(&m->tx) < 2u * MUX_LINE + LINE_EXTRA)
        return;
    row_take(m, m->focus);
    tx_raw(m, g->line, g->len);
    for (u16 i = g->at; i < g->len; i++)
        tx_raw(m, "\b", 1);
}

static void log_out_write(struct sink *self, const char *text, size_t len)
{
    struct mux *m = container_of(self, struct mux, log_out);
    bool torn;

    if (len && text[len - 1] == '\n')
        len--;
    mux_lock(m);
    torn = m->focus != MUX_PROMPT && m->guest[m->focus].escape != FILTER_TEXT;
    if (!torn || !hold_put(m, text, len)) {
        hold_flush(m);
        log_show(m, text, len);
    }
    tx_finish(m);
    mux_unlock(m);
}

static void prompt_out_write(struct sink *self, const char *text, size_t len)
{
    struct mux *m = container_of(self, struct mux, prompt_out);
    const size_t piece = 256;

    mux_lock(m);
    hold_flush(m);
    while (len) {
        size_t n = len < piece ? len : piece;

        if (tx_wait(m, (u32)(2 * n + LINE_EXTRA))) {
            row_take(m, MUX_PROMPT);
            tx_text(m, text, n);
        } else {
            m->out_lost += n;
        }
        text += n;
        len -= n;
    }
    tx_finish(m);
    mux_unlock(m);
}

/* --- Guests ----------------------------------------------------------------------------------- */

/* Follow escape sequences; true when the byte is none of theirs. */
static bool filter_text(struct mux_guest *g, u8 c)
{
    switch (g->escape) {
    case FILTER_TEXT:
        if (c == ESC)
            g->escape = FILTER_ESC;
        return c != ESC;
    case FILTER_ESC:
        g->escape = c == '[' ? FILTER_CSI : c == ']' || c == 'P' ? FILTER_STRING : FILTER_TEXT;
        return false;
    case FILTER_CSI:
        if (c >= 0x40 || c == '\n')
            g->escape = FILTER_TEXT;
        return c == '\n';
    default: /* OSC and DCS end with BEL or ESC \ */
        if (c == ESC)
            g->escape = FILTER_ESC;
        else if (c == BEL || c == '\n')
            g->escape = FILTER_TEXT;
        return c == '\n';
    }
}

static void guest_line_end(struct mux *m, struct mux_guest *g, bool focused)
{
    if (!focused && !g->hidden && g->len && !async_line(m, g->name, g->line, g->len))
        g->tx_lost += g->len;
    g->len = g->at = 0;
}

/* Keep the text of the line the guest is writing, as far as it is text. */
static void guest_track(struct mux *m, struct mux_guest *g, u8 c, bool focused)
{
    if (!filter_text(g, c))
        return;
    if (c == '\n') {
        guest_line_end(m, g, focused);
    } else if (c == '\r') {
        g->at = 0;
    } else if (c == '\b') {
        g->at = (u16)(g->at ? g->at - 1 : 0);
    } else if (c >= 0x20 || c == '\t') {
        if (g->at == MUX_LINE && !focused)
            guest_line_end(m, g, focused);
        if (g->at < MUX_LINE)
            g->line[g->at++] = c == '\t' ? ' ' : (char)c;
        g->len = g->len < g->at ? g->at : g->len;
    }
}

static u32 guest_room_now(const struct mux *m, const struct mux_guest *g)
{
    bool vanishes = g->hidden && m->focus != g - m->guest;
    u32 used = ring_used(&m->tx);

    return vanishes || used < MUX_GUEST_PART ? 256 : 0;
}

static u32 guest_room(void *ctx)
{
    struct mux_guest *g = ctx;
    struct mux *m = g->mux;
    u32 room;

    mux_lock(m);
    room = guest_room_now(m, g);
    g->starved = room == 0;
    mux_unlock(m);
    return room;
}

static void guest_put(void *ctx, u8 byte)
{
    struct mux_guest *g = ctx;
    struct mux *m = g->mux;
    bool focused;

    mux_lock(m);
    focused = m->focus == g - m->guest;
    if (guest_room_now(m, g) == 0) {
        g->tx_lost++;
    } else if (focused) {
        if (m->redraw)
            guest_redraw(m, g);
        row_take(m, m->focus);
        tx_byte(m, (char)byte);
        guest_track(m, g, byte, true);
        if (g->escape == FILTER_TEXT)
            hold_flush(m);
    } else {
        guest_track(m, g, byte, false);
    }
    tx_finish(m);
    mux_unlock(m);
}

static int guest_get(void *ctx)
{
    struct mux_guest *g = ctx;
    int byte;

    mux_lock(g->mux);
    byte = ring_get(&g->rx);
    mux_unlock(g->mux);
    return byte;
}

static void guest_receive(struct mux *m, int number, u8 byte)
{
    struct mux_guest *g = &m->guest[number];

    mux_lock(m);
    if (!ring_put(&g->rx, byte))
        g->rx_lost++;
    mux_unlock(m);
    if (g->wake)
        g->wake(g->wake_ctx);
}

/* --- Focus ------------------------------------------------------------------------------------ */

static void focus_set(struct mux *m, int focus)
{
    char text[96];
    size_t len;

    mux_lock(m);
    hold_flush(m);
    m->focus = focus;
    if (focus != MUX_PROMPT) {
        m->last_guest = focus;
        len = format_buf(text, sizeof(text), "-- console: guest %.20s; Ctrl-] for the prompt --",
                         m->guest[focus].name);
    } else {
        len = format_buf(text, sizeof(text), "-- console: hypervisor's prompt; Ctrl-] for %.20s --",
                         m->guests ? m->guest[m->last_guest].name : "a guest");
    }
    (void)tx_wait(m, (u32)len + LINE_EXTRA);
    (void)async_line(m, NULL, text, len);
    m->redraw = true;
    tx_finish(m);
    mux_unlock(m);
}

enum status mux_focus(struct mux *m, int focus)
{
    if (focus < MUX_PROMPT || focus >= m->guests)
        return STATUS_ENOENT;
    m->escape_fresh = false;
    if (focus != m->focus)
        focus_set(m, focus);
    return STATUS_OK;
}

enum status mux_find_guest(const struct mux *m, const char *name, int *number)
{
    for (int i = 0; i < m->guests; i++) {
        if (strcmp(m->guest[i].name, name) == 0) {
            *number = i;
            return STATUS_OK;
        }
    }
    return STATUS_ENOENT;
}

static u64 now_us(const struct mux *m) { return m->hw.now_us ? m->hw.now_us(m->hw.ctx) : 0; }

static void key_bracket(struct mux *m)
{
    bool twice = m->escape_fresh && now_us(m) - m->escape_us < DOUBLE_US;

    m->escape_fresh = false;
    if (m->focus != MUX_PROMPT) {
        focus_set(m, MUX_PROMPT);
        m->escape_fresh = true;
        m->escape_us = now_us(m);
    } else if (m->guests == 0) {
        static const char text[] = "-- console: there is no guest to go to --";
        mux_lock(m);
        (void)async_line(m, NULL, text, sizeof(text) - 1);
        mux_unlock(m);
    } else {
        focus_set(m, m->last_guest);
        if (twice)
            guest_receive(m, m->focus, CTRL_BRACKET);
    }
}

static void redraw(struct mux *m)
{
    bool show;

    mux_lock(m);
    hold_flush(m);
    lost_notice(m);
    show = m->redraw && m->focus == MUX_PROMPT && prompt_editing(m);
    if (m->redraw && m->focus != MUX_PROMPT)
        guest_redraw(m, &m->guest[m->focus]);
    m->redraw = false;
    mux_unlock(m);
    if (show)
        m->prompt.show(m->prompt.ctx);
}

static void key(struct mux *m, u8 byte)
{
    if (byte == CTRL_BRACKET && !m->sync) {
        key_bracket(m);
        return;
    }
    m->escape_fresh = false;
    if (m->focus != MUX_PROMPT) {
        guest_receive(m, m->focus, byte);
    } else if (m->prompt.input) {
        if (m->redraw)
            redraw(m);
        m->prompt.input(m->prompt.ctx, byte);
    }
}

/* --- Service ---------------------------------------------------------------------------------- */

static void wake_starved(struct mux *m)
{
    for (int i = 0; i < m->guests; i++) {
        struct mux_guest *g = &m->guest[i];
        bool wake;

        mux_lock(m);
        wake = g->starved && guest_room_now(m, g) != 0;
        g->starved &= !wake;
        mux_unlock(m);
        if (wake && g->wake)
            g->wake(g->wake_ctx);
    }
}

static int receive(struct mux *m)
{
    int byte;

    mux_lock(m);
    byte = m->hw.receive ? m->hw.receive(m->hw.ctx) : -1;
    mux_unlock(m);
    return byte;
}

static bool acknowledge(struct mux *m)
{
    bool more;

    mux_lock(m);
    tx_finish(m);
    more = m->hw.acknowledge && m->hw.acknowledge(m->hw.ctx);
    mux_unlock(m);
    return more;
}

void mux_poll(struct mux *m)
{
    unsigned keys = 0;

    do {
        for (int byte; keys < POLL_KEYS && (byte = receive(m)) >= 0; keys++)
            key(m, (u8)byte);
        redraw(m);
        if (!m->sync)
            wake_starved(m);
    } while (acknowledge(m) && keys < POLL_KEYS);
}

bool mux_pending(const struct mux *m)
{
    return ring_used(&m->tx) != 0 || m->redraw || m->held != 0 || m->log_lost != 0;
}

void mux_flush(struct mux *m)
{
    mux_lock(m);
    (void)tx_wait(m, MUX_RING);
    mux_unlock(m);
}

void mux_enter_panic(struct mux *m)
{
    m->sync = true;
    m->focus = MUX_PROMPT;
    m->redraw = false;
    m->held = m->held <= sizeof(m->hold) ? m->held : 0;
    hold_flush(m);
    (void)tx_wait(m, MUX_RING);
}

/* --- Setting up ------------------------------------------------------------------------------- */

void mux_init(struct mux *m, const struct mux_hw *hw)
{
    memset(m, 0, sizeof(*m));
    m->hw = *hw;
    m->log_out.write = log_out_write;
    m->prompt_out.write = prompt_out_write;
    m->tx = (struct ring)RING_INIT(m->tx_storage);
    m->focus = m->row_owner = MUX_PROMPT;
    if (m->hw.want_send)
        m->hw.want_send(m->hw.ctx, false);
}

void mux_set_prompt(struct mux *m, const struct mux_prompt *p) { m->prompt = *p; }

enum status mux_add_guest(struct mux *m, const char *name, void (*wake)(void *ctx), void *ctx,
                          struct chardev *dev)
{
    struct mux_guest *g = &m->guest[m->guests];
    int number;

    if (m->guests == MUX_GUESTS)
        return STATUS_ENOSPC;
    if (mux_find_guest(m, name, &number) == STATUS_OK)
        return STATUS_EEXIST;
    *g = (struct mux_guest){.name = name, .mux = m, .wake = wake, .wake_ctx = ctx};
    g->rx = (struct ring)RING_INIT(g->rx_storage);
    *dev = (struct chardev){.ctx = g, .room = guest_room, .put = guest_put, .get = guest_get};
    m->guests++;
    return STATUS_OK;
}
