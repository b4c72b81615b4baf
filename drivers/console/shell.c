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

static void begin(struct shell *sh)
{
    sh->argc = 0;
    sh->error_arg = -1;
    sh->error[0] = 0;
    memset(sh->value, 0, sizeof(sh->value));
    memset(sh->choice, 0, sizeof(sh->choice));
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

/* How many characters there are before one of `stops`, or the end. */
static size_t until(const char *p, const char *stops)
{
    size_t n = 0;

    while (p[n] && !strchr(stops, p[n]))
        n++;
    return n;
}

/* --- What words say --------------------------------------------------------------------------- */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

/* How well a typed word fits a name: it is its beginning, or all of it. */
enum fit { FITS_NOT, FITS_BEGINNING, FITS_WHOLLY };

static enum fit fits(const char *name, size_t length, const char *typed)
{
    size_t i = 0;

    while (i < length && typed[i] && lower(name[i]) == lower(typed[i]))
        i++;
    return typed[i] || i == 0 ? FITS_NOT : i == length ? FITS_WHOLLY : FITS_BEGINNING;
}

/* A bound as people write it: small ones in decimal. */
static const char *bound_text(char *buf, size_t cap, u64 value)
{
    (void)format_buf(buf, cap, value < 10000 ? "%lu" : "%#lx", value);
    return buf;
}

static enum status parse_number(struct shell *sh, int arg, const struct shell_kind *k)
{
    const char *word = sh->argv[arg];
    char low[24], high[24];
    u64 value = 0;
    enum status s = k->suffix ? parse_size(word, &value) : parse_u64(word, &value);

    if (s == STATUS_EFORMAT)
        return shell_fail(sh, arg, s, "expected %s (decimal, or 0x and hexadecimal), got \"%.40s\"",
                          k->what, word);
    if (s != STATUS_OK || value < k->min || value > k->max)
        return shell_fail(sh, arg, STATUS_ERANGE, "expected %s from %s to %s, got %.40s", k->what,
                          bound_text(low, sizeof(low), k->min),
                          bound_text(high, sizeof(high), k->max), word);
    sh->value[arg] = value;
    return STATUS_OK;
}

/* Behind an error: what a word that fits several names can mean. */
static void list_fitting(struct shell *sh, const char *typed, const struct shell_kind *k, void *ctx)
{
    size_t used = strlen(sh->error);
    struct shell_name name;

    used += format_buf(sh->error + used, sizeof(sh->error) - used, ", which fits");
    for (unsigned n = 0; used < 160 && k->nth(ctx, n, &name); n++)
        if (fits(name.text, strlen(name.text), typed))
            used += format_buf(sh->error + used, sizeof(sh->error) - used, " %.40s", name.text);
}

static enum status parse_kind(struct shell *sh, int arg, const struct shell_kind *k, void *ctx)
{
    const char *word = sh->argv[arg];
    enum fit fit = FITS_NOT;
    struct shell_name name;
    unsigned found = 0;

    if (k->parse)
        return k->parse(sh, arg, k->what, &sh->value[arg]);
    if (!k->nth || (k->max && word[0] >= '0' && word[0] <= '9'))
        return parse_number(sh, arg, k);
    for (unsigned n = 0; fit != FITS_WHOLLY && k->nth(ctx, n, &name); n++) {
        fit = fits(name.text, strlen(name.text), word);
        found += fit != FITS_NOT;
        if (fit != FITS_NOT)
            sh->value[arg] = name.value;
    }
    if (found == 1 || fit == FITS_WHOLLY)
        return STATUS_OK;
    (void)shell_fail(sh, arg, STATUS_OK, "expected %s, got \"%.40s\"", k->what, word);
    if (found)
        list_fitting(sh, word, k, ctx);
    return found ? STATUS_EINVAL : STATUS_ENOENT;
}

/* The names of commands; of rows with one name the first. */
static bool nth_command(void *ctx, unsigned n, struct shell_name *out)
{
    const struct shell *sh = ctx;
    const struct shell_command *c = shell_command_at(sh, n, &ctx), *before = NULL;

    if (!c)
        return false;
    if (n)
        before = shell_command_at(sh, n - 1, &ctx);
    (void)str_copy(out->text, sizeof(out->text),
                   before && strcmp(before->name, c->name) == 0 ? "" : c->name);
    out->value = n;
    return true;
}

static bool nth_console(void *ctx, unsigned n, struct shell_name *out)
{
    const struct mux *m = ((const struct shell *)ctx)->mux;

    if (!m || n >= (unsigned)m->guests)
        return false;
    (void)str_copy(out->text, sizeof(out->text), m->guest[n].name);
    out->value = n;
    return true;
}

/* The engine's own kinds. */
static const struct shell_kind own_kinds[] = {
    {.name = "COMMAND", .what = "a command (`help` lists them)", .nth = nth_command},
    {.name = "CONSOLE", .what = "prompt or a guest's name (`con` lists them)", .nth = nth_console},
    {.name = "STATUS", .what = "an exit status", .max = 255},
};

/* The kind of the `length` characters at `name`; NULL: any text. */
static const struct shell_kind *find_kind(struct shell *sh, const char *name, size_t length,
                                          void **ctx)
{
    for (size_t i = 0; i < ARRAY_SIZE(own_kinds) + sh->kind_count; i++) {
        bool own = i < ARRAY_SIZE(own_kinds);
        const struct shell_kind *k = own ? &own_kinds[i] : &sh->kinds[i - ARRAY_SIZE(own_kinds)];
        *ctx = own ? sh : sh->kind_ctx;
        if (strlen(k->name) == length && memcmp(k->name, name, length) == 0)
            return k;
    }
    return NULL;
}

/* --- Rows of commands ------------------------------------------------------------------------- */

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

/* One word of a row's `args`. */
struct pattern {
    char text[128];  /* alternatives */
    char *otherwise; /* what stands for it when it is not there, or NULL */
    bool optional, many;
};

/* The n-th from 0; false when there is none. */
static bool pattern_at(const char *args, unsigned n, struct pattern *out)
{
    unsigned depth = 0;
    size_t len;

    for (const char *p = args; p && *p; p += len) {
        depth += *p == '[';
        depth -= *p == ']';
        len = until(p, " []");
        if (len && n-- == 0) {
            format_buf(out->text, sizeof(out->text), "%.*s", (int)len, p);
            out->many = len > 3 && strcmp(out->text + len - 3, "...") == 0;
            out->optional = depth != 0;
            out->otherwise = strchr(out->text, '=');
            if (out->otherwise)
                *out->otherwise++ = 0;
            return true;
        }
        len += !len;
    }
    return false;
}

static bool is_kind(const char *alternative)
{
    return alternative[0] >= 'A' && alternative[0] <= 'Z';
}

/* What word `arg` says by one of the alternatives. */
static enum status match_word(struct shell *sh, int arg, const struct pattern *w)
{
    const char *kind = NULL;
    size_t len, kind_len = 0;
    unsigned found = 0;
    u8 n = 0;

    for (const char *p = w->text; *p; p += len + (p[len] == '|'), n++) {
        len = until(p, "|");
        enum fit fit = is_kind(p) ? FITS_NOT : fits(p, len, sh->argv[arg]);
        if (is_kind(p)) {
            kind = p;
            kind_len = len;
        }
        if (is_kind(p) ? !found : fit)
            sh->value[arg] = sh->choice[arg] = n;
        if (fit == FITS_WHOLLY)
            return STATUS_OK;
        found += fit != FITS_NOT;
    }
    if (found == 1)
        return STATUS_OK;
    if (!kind)
        return shell_fail(sh, arg, STATUS_EINVAL, "expected %s, got \"%.40s\"%s", w->text,
                          sh->argv[arg], found ? ", which fits several" : "");
    void *ctx;
    const struct shell_kind *k = find_kind(sh, kind, kind_len, &ctx);
    return k ? parse_kind(sh, arg, k, ctx) : STATUS_OK;
}

static enum status match_row(struct shell *sh, const struct shell_command *c)
{
    struct pattern w;
    void *ctx;
    int n = 1;

    for (; pattern_at(c->args, (unsigned)n - 1, &w); n++) {
        sh->value[n] = sh->choice[n] = 0;
        const struct shell_kind *k = find_kind(sh, w.text, strlen(w.text), &ctx);
        if (n >= sh->argc && !w.optional)
            return shell_fail(sh, sh->argc, STATUS_EINVAL, "expected %s (%s %s)",
                              k ? k->what : w.text, c->name, c->args);
        if (w.many)
            return STATUS_OK;
        if (n >= sh->argc && !w.otherwise)
            continue;
        if (n >= sh->argc)
            sh->argv[n] = w.otherwise;
        enum status s = match_word(sh, n, &w);
        sh->argv[sh->argc] = NULL;
        if (s != STATUS_OK)
            return s;
    }
    if (n < sh->argc)
        return shell_fail(sh, n, STATUS_EINVAL, "expected no more words (%s%s%s)", c->name,
                          c->args && *c->args ? " " : "", c->args ? c->args : "");
    return STATUS_OK;
}

/*
 * Of the rows with one name choose the first whose words fit, or say what is expected at the word
 * where the best of them cease to.
 */
static enum status match(struct shell *sh, unsigned first)
{
    const char *name = sh->command->name;
    const struct shell_command *c;
    char error[sizeof(sh->error)] = "", list[160], last[128] = "";
    enum status best = STATUS_OK;
    struct pattern w;
    struct buf_sink b;
    int arg = -1, alternatives = 0;
    void *ctx;

    buf_sink_init(&b, list, sizeof(list));
    for (unsigned n = first; (c = shell_command_at(sh, n, &ctx)) && strcmp(c->name, name) == 0;
         n++) {
        enum status s = match_row(sh, c);
        if (s == STATUS_OK) {
            sh->command = c;
            sh->error_arg = -1;
            sh->error[0] = 0;
            return s;
        }
        if (sh->error_arg < arg)
            continue;
        if (sh->error_arg > arg) {
            alternatives = 0;
            b.len = 0;
            last[0] = 0;
        }
        if (sh->error_arg > arg || best == STATUS_EINVAL) {
            best = s;
            (void)str_copy(error, sizeof(error), sh->error);
        }
        arg = sh->error_arg;
        if (!pattern_at(c->args, (unsigned)arg - 1, &w) || strcmp(w.text, last) == 0)
            continue;
        sink_printf(&b.sink, "%s%s", alternatives++ ? "|" : "", w.text);
        (void)str_copy(last, sizeof(last), w.text);
    }
    if (alternatives < 2 || best != STATUS_EINVAL)
        return shell_fail(sh, arg, best, "%s", error);
    return shell_fail(sh, arg, best, arg < sh->argc ? "expected %s, got \"%.40s\"" : "expected %s",
                      list, sh->argv[arg]);
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

static enum status run_words(struct shell *sh)
{
    enum status s = sh->argc ? parse_kind(sh, 0, &own_kinds[0], sh) : STATUS_OK;

    if (sh->argc == 0 || s != STATUS_OK)
        return s;
    sh->command = shell_command_at(sh, (unsigned)sh->value[0], &sh->ctx);
    sh->subject = NULL;
    if (sh->command->needs)
        s = sh->prepare(sh, sh->command->needs);
    if (s == STATUS_OK)
        s = match(sh, (unsigned)sh->value[0]);
    return s == STATUS_OK ? sh->command->run(sh) : s;
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

static void offer_kind(struct completions *c, const struct shell_kind *k, void *ctx)
{
    struct shell_name name;

    for (unsigned n = 0; k->nth && k->nth(ctx, n, &name); n++)
        if (name.text[0])
            completions_add(c, name.text);
}

/* What may stand as the last word, by a row that the words before it fit. */
static void offer_row(struct shell *sh, const struct shell_command *row, struct completions *c)
{
    struct shell_name word;
    struct pattern w;
    size_t len;
    void *ctx;

    for (int n = 1; pattern_at(row->args, (unsigned)n - 1, &w) && n < sh->argc; n++) {
        bool may = false;
        for (const char *p = w.text; *p; p += len + (p[len] == '|')) {
            len = until(p, "|");
            may |= is_kind(p) || fits(p, len, sh->argv[n]);
            format_buf(word.text, sizeof(word.text), "%.*s", (int)len, p);
            if (n < sh->argc - 1)
                continue;
            const struct shell_kind *k = is_kind(p) ? find_kind(sh, p, len, &ctx) : NULL;
            if (k)
                offer_kind(c, k, ctx);
            else if (!is_kind(p))
                completions_add(c, word.text);
        }
        if (!may)
            return;
    }
}

static void complete_argument(struct shell *sh, struct completions *c)
{
    const struct shell_command *row;
    void *ctx;

    if (parse_kind(sh, 0, &own_kinds[0], sh) != STATUS_OK)
        return;
    sh->command = shell_command_at(sh, (unsigned)sh->value[0], &sh->ctx);
    for (unsigned n = (unsigned)sh->value[0];
         (row = shell_command_at(sh, n, &ctx)) && strcmp(row->name, sh->command->name) == 0; n++)
        offer_row(sh, row, c);
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
        offer_kind(c, &own_kinds[0], sh);
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

void shell_set_kinds(struct shell *sh, const struct shell_kind *kinds, size_t count, void *ctx,
                     enum status (*prepare)(struct shell *sh, u8 needs))
{
    sh->kinds = kinds;
    sh->kind_count = count;
    sh->kind_ctx = ctx;
    sh->prepare = prepare;
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
