/* SPDX-License-Identifier: MIT
 *
 * The command engine: a line becomes words, the first one finds a command in the registered tables,
 * the rest is counted against the command's own description, and the outcome is reported in one
 * place, for people or for programs.  The commands that belong to the console itself are in
 * builtin.c.
 */
#include "drivers/console/shell.h"

#include "lib/parse.h"
#include "lib/string.h"

#define PROMPT "vitrine> "

/* --- Failures --------------------------------------------------------------------------------- */

enum status shell_fail(struct shell *sh, int arg, enum status s, const char *fmt, ...)
{
    va_list ap;

    sh->error_arg = arg <= sh->argc ? arg : -1;
    va_start(ap, fmt);
    (void)format_vbuf(sh->error, sizeof(sh->error), fmt, ap);
    va_end(ap);
    for (char *c = sh->error; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    return s;
}

static enum status report(struct shell *sh, enum status s)
{
    const char *text = sh->error[0] ? sh->error : status_text(s);
    unsigned column = sh->error_arg >= 0 ? sh->column[sh->error_arg] : 0;

    if (s == STATUS_OK) {
        if (sh->machine && !sh->script)
            sink_printf(sh->out, "ok\n");
        return s;
    }
    if (sh->script)
        sink_printf(sh->out, "%s:%u: ", sh->script, sh->script_line);
    else if (sh->machine)
        sink_printf(sh->out, "err %s: ", status_name(s));
    else if (sh->error_arg >= 0 && sizeof(PROMPT) + column < sh->editor.width)
        sink_printf(sh->out, "%*s^\n", (int)(sizeof(PROMPT) - 1 + column), "");
    if (sh->error_arg >= 0)
        sink_printf(sh->out, "column %u: ", column + 1);
    sink_printf(sh->out, "%s\n", text);
    return s;
}

/* --- Words ------------------------------------------------------------------------------------ */

/* Split a line into sh->argv; a '#' at a word's start ends it. */
static enum status split(struct shell *sh, const char *line)
{
    const char *p = line;
    char *out = sh->words;

    sh->argc = 0;
    for (;;) {
        enum status s;

        while (*p == ' ' || *p == '\t')
            p++;
        sh->column[sh->argc] = (u16)(p - line);
        if (*p == 0 || *p == '#')
            break;
        if (sh->argc == SHELL_ARGS)
            return shell_fail(sh, sh->argc, STATUS_ERANGE, "expected at most %d words", SHELL_ARGS);
        s = parse_word(&p, out, (size_t)(sh->words + sizeof(sh->words) - out));
        if (s == STATUS_EFORMAT)
            return shell_fail(sh, sh->argc, s, "expected a closing \" of this word");
        if (s != STATUS_OK)
            return shell_fail(sh, sh->argc, s, "expected a shorter line");
        sh->argv[sh->argc++] = out;
        out += strlen(out) + 1;
    }
    sh->argv[sh->argc] = NULL;
    return STATUS_OK;
}

static bool is_name_end(char c) { return c == 0 || c == '|'; }

/* Length of one of "a|b|c". */
static size_t choice_len(const char *p)
{
    size_t n = 0;

    while (!is_name_end(p[n]))
        n++;
    return n;
}

enum status shell_arg_choice(struct shell *sh, int arg, const char *choices, unsigned *out)
{
    const char *word = arg < sh->argc ? sh->argv[arg] : NULL;
    unsigned found = 0, n = 0;
    size_t len;

    if (!word)
        return STATUS_OK;
    len = strlen(word);
    for (const char *p = choices;; n++) {
        size_t name_len = choice_len(p);

        if (len <= name_len && len && strncmp(p, word, len) == 0) {
            if (len == name_len) {
                *out = n;
                return STATUS_OK;
            }
            found++;
            *out = found == 1 ? n : *out;
        }
        if (p[name_len] == 0)
            break;
        p += name_len + 1;
    }
    if (found == 1)
        return STATUS_OK;
    return shell_fail(sh, arg, STATUS_EINVAL, "expected %s, got \"%.40s\"%s", choices, word,
                      found ? ", which fits several" : "");
}

/* A bound as people write it: small ones in decimal. */
static const char *bound_text(char *buf, size_t cap, u64 value)
{
    (void)format_buf(buf, cap, value < 10000 ? "%llu" : "%#llx", (unsigned long long)value);
    return buf;
}

static enum status arg_number(struct shell *sh, int arg, const char *what, u64 min, u64 max,
                              u64 *out, enum status (*parse)(const char *, u64 *))
{
    char low[24], high[24];
    u64 value = 0;
    enum status s;

    if (arg >= sh->argc)
        return STATUS_OK;
    s = parse(sh->argv[arg], &value);
    if (s == STATUS_EFORMAT)
        return shell_fail(sh, arg, s, "expected %s (decimal, or 0x and hexadecimal), got \"%.40s\"",
                          what, sh->argv[arg]);
    if (s != STATUS_OK || value < min || value > max)
        return shell_fail(sh, arg, STATUS_ERANGE, "expected %s from %s to %s, got %.40s", what,
                          bound_text(low, sizeof(low), min), bound_text(high, sizeof(high), max),
                          sh->argv[arg]);
    *out = value;
    return STATUS_OK;
}

enum status shell_arg_u64(struct shell *sh, int arg, const char *what, u64 min, u64 max, u64 *out)
{
    return arg_number(sh, arg, what, min, max, out, parse_u64);
}

enum status shell_arg_size(struct shell *sh, int arg, const char *what, u64 min, u64 max, u64 *out)
{
    return arg_number(sh, arg, what, min, max, out, parse_size);
}

/* --- Commands and their descriptions ---------------------------------------------------------- */

/* The words of an args description: its n-th (from 0) in buf, false when it has none. */
static bool args_word(const char *args, unsigned n, char *buf, size_t cap, bool *optional)
{
    unsigned depth = 0;

    for (const char *p = args; *p;) {
        size_t len = 0;

        if (*p == ' ' || *p == '[' || *p == ']') {
            depth += *p == '[';
            depth -= *p == ']';
            p++;
            continue;
        }
        while (p[len] && !strchr(" []", p[len]))
            len++;
        if (n-- == 0) {
            len = len < cap ? len : cap - 1;
            memcpy(buf, p, len);
            buf[len] = 0;
            *optional = depth != 0;
            return true;
        }
        p += len;
    }
    return false;
}

static enum status check_count(struct shell *sh, const struct shell_command *c)
{
    const char *args = c->args ? c->args : "";
    unsigned given = (unsigned)sh->argc - 1;
    bool optional = true;
    char word[40];

    if (args_word(args, given, word, sizeof(word), &optional) && !optional)
        return shell_fail(sh, sh->argc, STATUS_EINVAL, "expected %s (%s %s)", word, c->name, args);
    if (given && !args_word(args, given - 1, word, sizeof(word), &optional)) {
        for (unsigned n = 0; args_word(args, n, word, sizeof(word), &optional); n++)
            if (strlen(word) >= 3 && strcmp(word + strlen(word) - 3, "...") == 0)
                return STATUS_OK;
        return shell_fail(sh, sh->argc - 1, STATUS_EINVAL, "expected no more words (%s%s%s)",
                          c->name, *args ? " " : "", args);
    }
    return STATUS_OK;
}

const struct shell_command *shell_command_at(const struct shell *sh, unsigned n, void **ctx)
{
    for (unsigned t = 0; t < sh->tables; t++) {
        if (n < sh->table[t].count) {
            *ctx = sh->table[t].ctx;
            return &sh->table[t].commands[n];
        }
        n -= (unsigned)sh->table[t].count;
    }
    return NULL;
}

enum status shell_find(struct shell *sh, int arg, const struct shell_command **found, void **ctx)
{
    const char *name = sh->argv[arg];
    const struct shell_command *c;
    unsigned matches = 0;
    char list[120];
    struct buf_sink b;
    void *c_ctx;

    buf_sink_init(&b, list, sizeof(list));
    for (unsigned n = 0; (c = shell_command_at(sh, n, &c_ctx)) != NULL; n++) {
        if (!str_starts(c->name, name))
            continue;
        *found = c;
        *ctx = c_ctx;
        if (strcmp(c->name, name) == 0)
            return STATUS_OK;
        matches++;
        sink_printf(&b.sink, " %s", c->name);
    }
    if (matches == 1)
        return STATUS_OK;
    if (matches == 0 || name[0] == 0)
        return shell_fail(sh, arg, STATUS_ENOENT,
                          "expected a command, got \"%.40s\" (`help` lists them)", name);
    return shell_fail(sh, arg, STATUS_EINVAL, "expected one command, \"%.40s\" begins%s", name,
                      list);
}

enum status shell_register(struct shell *sh, const struct shell_command *table, size_t n, void *ctx)
{
    const struct shell_command *c;
    void *c_ctx;

    if (sh->tables == SHELL_TABLES)
        return STATUS_ENOSPC;
    for (unsigned i = 0; (c = shell_command_at(sh, i, &c_ctx)) != NULL; i++)
        for (size_t k = 0; k < n; k++)
            if (strcmp(c->name, table[k].name) == 0)
                return STATUS_EEXIST;
    sh->table[sh->tables++] = (struct shell_table){table, n, ctx};
    return STATUS_OK;
}

/* --- Running ---------------------------------------------------------------------------------- */

static void begin(struct shell *sh)
{
    sh->argc = 0;
    sh->error_arg = -1;
    sh->error[0] = 0;
}

static enum status run_words(struct shell *sh)
{
    enum status s;

    if (sh->argc == 0)
        return STATUS_OK;
    s = shell_find(sh, 0, &sh->command, &sh->ctx);
    if (s == STATUS_OK)
        s = check_count(sh, sh->command);
    if (s == STATUS_OK)
        s = sh->command->run(sh, sh->argc, sh->argv);
    return s;
}

enum status shell_run_line(struct shell *sh, const char *line)
{
    enum status s;

    if (sh->running)
        return STATUS_EBUSY;
    sh->running = true;
    begin(sh);
    s = split(sh, line);
    if (s == STATUS_OK)
        s = run_words(sh);
    sh->running = false;
    return report(sh, s);
}

/* One script line of `len` characters; false when it failed. */
static bool script_line(struct shell *sh, const char *text, size_t len)
{
    char line[EDITOR_LINE];
    enum status s;

    if (len && text[len - 1] == '\r')
        len--;
    begin(sh);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != 0)
            continue;
        s = shell_fail(sh, -1, STATUS_EFORMAT, "expected text, found a zero byte");
        return report(sh, s) == STATUS_OK;
    }
    if (len >= sizeof(line)) {
        s = shell_fail(sh, -1, STATUS_ERANGE, "expected a line of at most %u characters",
                       (unsigned)sizeof(line) - 1);
        return report(sh, s) == STATUS_OK;
    }
    memcpy(line, text, len);
    line[len] = 0;
    if (len && line[0] != '#' && !sh->machine)
        sink_printf(sh->out, "%s:%u> %s\n", sh->script, sh->script_line, line);
    return shell_run_line(sh, line) == STATUS_OK;
}

unsigned shell_run_script(struct shell *sh, const char *name, const char *text, size_t size)
{
    unsigned failed = 0;

    sh->script = name;
    sh->script_line = 0;
    for (size_t at = 0; at < size;) {
        size_t len = 0;

        while (at + len < size && text[at + len] != '\n')
            len++;
        sh->script_line++;
        failed += !script_line(sh, text + at, len);
        at += len + 1;
    }
    sh->script = NULL;
    return failed;
}

void shell_input(struct shell *sh, u8 byte)
{
    if (editor_input(&sh->editor, byte) != EDITOR_DONE)
        return;
    if (sh->editor.overflow) {
        begin(sh);
        (void)report(sh, shell_fail(sh, -1, STATUS_ERANGE,
                                    "expected a line of at most %u characters; nothing was run",
                                    EDITOR_LINE - 1));
    } else {
        (void)shell_run_line(sh, sh->editor.line);
    }
    editor_start(&sh->editor);
}

/* --- Completion ------------------------------------------------------------------------------- */

void shell_complete_choices(struct completions *c, const char *choices)
{
    char word[40];

    for (const char *p = choices; *p;) {
        size_t len = choice_len(p);

        if (len && len < sizeof(word) && p[0] >= 'a' && p[0] <= 'z') {
            memcpy(word, p, len);
            word[len] = 0;
            completions_add(c, word);
        }
        p += len + (p[len] == '|');
    }
}

void shell_complete_commands(const struct shell *sh, struct completions *c)
{
    const struct shell_command *command;
    void *ctx;

    for (unsigned n = 0; (command = shell_command_at(sh, n, &ctx)) != NULL; n++)
        completions_add(c, command->name);
}

static void complete_argument(struct shell *sh, struct completions *c)
{
    const struct shell_command *command;
    bool optional;
    char word[64];

    if (shell_find(sh, 0, &command, &sh->ctx) != STATUS_OK)
        return;
    sh->command = command;
    if (command->complete)
        command->complete(sh, sh->argc, sh->argv, c);
    else if (command->args &&
             args_word(command->args, (unsigned)sh->argc - 2, word, sizeof(word), &optional))
        shell_complete_choices(c, word);
}

static void complete(void *ctx, const char *text, struct completions *c)
{
    struct shell *sh = ctx;
    size_t len = strlen(text);

    begin(sh);
    if (split(sh, text) != STATUS_OK || text[sh->column[sh->argc]] == '#')
        return;
    if (sh->argc == 0 || (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))) {
        if (sh->argc == SHELL_ARGS)
            return;
        sh->argv[sh->argc] = sh->words + sizeof(sh->words) - 1;
        sh->words[sizeof(sh->words) - 1] = 0;
        sh->argc++;
    }
    c->start = sh->column[sh->argc - 1];
    c->prefix = sh->argv[sh->argc - 1];
    if (strchr(text + c->start, '"'))
        return; /* the word on the line is not the word as split */
    if (sh->argc == 1)
        shell_complete_commands(sh, c);
    else
        complete_argument(sh, c);
}

/* --- Life ------------------------------------------------------------------------------------- */

void shell_set_machine(struct shell *sh, bool machine)
{
    sh->machine = machine;
    sh->editor.echo = !machine;
    if (sh->mux)
        sh->mux->machine = machine;
}

void shell_init(struct shell *sh, struct sink *out, struct mux *mux, u16 width)
{
    memset(sh, 0, sizeof(*sh));
    sh->out = out;
    sh->mux = mux;
    editor_init(&sh->editor, out, PROMPT, width);
    sh->editor.complete = complete;
    sh->editor.ctx = sh;
    sh->table[0] = (struct shell_table){shell_builtin, shell_builtin_count, sh};
    sh->tables = 1;
}

void shell_start(struct shell *sh)
{
    if (!sh->machine)
        sink_printf(sh->out, "Type `help` for the commands.\n");
    editor_start(&sh->editor);
}

static void prompt_input(void *ctx, u8 byte) { shell_input(ctx, byte); }

static bool prompt_editing(void *ctx)
{
    struct shell *sh = ctx;

    return sh->editor.active && sh->editor.echo;
}

static void prompt_show(void *ctx)
{
    struct shell *sh = ctx;

    editor_show(&sh->editor);
}

struct mux_prompt shell_prompt(struct shell *sh)
{
    return (struct mux_prompt){
        .ctx = sh, .input = prompt_input, .editing = prompt_editing, .show = prompt_show};
}

void shell_run_polled(struct shell *sh)
{
    sh->running = false;
    sh->script = NULL;
    sh->stop = false;
    if (!sh->mux)
        return;
    mux_enter_panic(sh->mux);
    editor_start(&sh->editor);
    while (!sh->stop) {
        mux_poll(sh->mux);
        __builtin_ia32_pause();
    }
}

void shell_stop(struct shell *sh) { sh->stop = true; }
