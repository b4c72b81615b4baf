/* SPDX-License-Identifier: MIT
 *
 * Lines into command lines.  The words are judged by guest/config.c, whose columns are brought back
 * to those of the file.
 */
#include "boot/uefi/cfg.h"

#include "lib/parse.h"
#include "lib/string.h"

static void report(struct cfg *c, unsigned line, const struct option_error *e)
{
    if (c->error_count < CFG_MAX_ERRORS)
        c->error[c->error_count] = (struct cfg_error){line, *e};
    c->error_count++;
}

static void refuse(struct cfg *c, unsigned line, unsigned column, const char *word, const char *why)
{
    struct option_error e = {.column = column};

    (void)str_copy(e.word, sizeof(e.word), word);
    (void)str_copy(e.why, sizeof(e.why), why);
    report(c, line, &e);
}

/* The path from the top of the volume, with slashes; false: too long. */
static bool make_path(char *path, const char *word)
{
    bool absolute = *word == '/' || *word == '\\';
    size_t len = format_buf(path, CFG_PATH_MAX, "%s%s", absolute ? "" : CFG_FOLDER, word);

    for (char *p = path; *p; p++)
        if (*p == '\\')
            *p = '/';
    return len < CFG_PATH_MAX;
}

/* Why a line cannot be taken, or NULL. */
static const char *find_fault(const struct cfg *c, bool own, enum status word)
{
    if (word == STATUS_EFORMAT)
        return "a quote is opened and never closed: add the other \"";
    if (word != STATUS_OK)
        return "a path of more than 127 characters: move the file up";
    if (own && c->own.line)
        return "given twice: put everything on one line";
    return !own && c->count == BOOT_MAX_MODULES ? "more than 32 files: leave some out" : NULL;
}

/* One line's text, without its end; column: where it begins. */
static void take_line(struct cfg *c, const char *text, unsigned line, unsigned column)
{
    bool own = str_starts(text, "vitrine") && (text[7] == 0 || text[7] == ' ' || text[7] == '\t');
    char word[CFG_PATH_MAX], path[CFG_PATH_MAX];
    const char *rest = text;
    enum status s = parse_word(&rest, word, sizeof(word));

    if (s == STATUS_OK && !own && !make_path(path, word))
        s = STATUS_ERANGE;
    const char *fault = find_fault(c, own, s);
    if (fault) {
        refuse(c, line, column, text, fault);
        return;
    }
    const char *quote = !own && strchr(path, ' ') ? "\"" : "", *first = own ? word : path;
    struct cfg_text *t = own ? &c->own : &c->module[c->count];
    if (format_buf(t->cmdline, sizeof(t->cmdline), "%s%s%s%s", quote, first, quote, rest) >=
        sizeof(t->cmdline)) {
        refuse(c, line, column, text, "more than 1000 characters: shorten the line");
        return;
    }
    t->line = line;
    t->first = column;
    t->from = (unsigned)(strlen(first) + 2 * strlen(quote));
    t->shift = (int)t->from - (int)(rest - text) - (int)column + 1;
    if (!own)
        memcpy(c->path[c->count++], path, sizeof(path));
}

/* The next line, NUL-terminated in buf; true when it holds more than a comment. */
static bool cut_line(struct cfg *c, const char *from, size_t len, unsigned line, char *buf,
                     unsigned *column)
{
    size_t start = 0;

    while (len && (from[len - 1] == '\r' || from[len - 1] == ' ' || from[len - 1] == '\t'))
        len--;
    while (start < len && (from[start] == ' ' || from[start] == '\t'))
        start++;
    *column = (unsigned)start + 1;
    if (start == len || from[start] == '#')
        return false;
    for (size_t i = start; i < len; i++) {
        if (((u8)from[i] < 0x20 && from[i] != '\t') || (u8)from[i] > 0x7e) {
            refuse(c, line, (unsigned)i + 1, "",
                   "not a plain character: only printable ASCII is understood (save the file as "
                   "plain text, not as UTF-16 or with typographic quotes)");
            return false;
        }
    }
    if (len - start >= BOOT_CMDLINE_MAX) {
        refuse(c, line, *column, "", "more than 1000 characters: shorten the line");
        return false;
    }
    memcpy(buf, from + start, len - start);
    buf[len - start] = 0;
    return true;
}

static void check_words(struct cfg *c)
{
    static struct config config; /* large: not for a stack */
    struct image modules[BOOT_MAX_MODULES];

    for (unsigned i = 0; i < c->count; i++)
        modules[i] = (struct image){.cmdline = c->module[i].cmdline};
    config_parse(&config, c->own.cmdline, modules, c->count);
    for (unsigned i = 0; i < config.error_count && i < CONFIG_MAX_ERRORS; i++) {
        const struct config_error *e = &config.error[i];
        const struct cfg_text *t = e->module < c->count ? &c->module[e->module] : &c->own;
        struct option_error at = e->at;

        at.column = at.column > t->from ? (unsigned)((int)at.column - t->shift) : t->first;
        report(c, t->line, &at);
    }
}

bool cfg_parse(struct cfg *c, const char *text, size_t size)
{
    char buf[BOOT_CMDLINE_MAX];
    unsigned column, line = 1;
    size_t end, at = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* UTF-8's mark */

    memset(c, 0, sizeof(*c));
    for (; at < size; at = end + 1, line++) {
        for (end = at; end < size && text[end] != '\n';)
            end++;
        if (cut_line(c, text + at, end - at, line, buf, &column))
            take_line(c, buf, line, column);
    }
    if (c->error_count == 0)
        check_words(c);
    return c->error_count == 0;
}

void cfg_error_text(const struct cfg_error *e, char *buf, size_t cap)
{
    format_buf(buf, cap, "line %u, column %u, \"%s\": %s", e->line, e->at.column, e->at.word,
               e->at.why);
}
