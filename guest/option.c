/* SPDX-License-Identifier: MIT
 *
 * The parser behind the option tables.
 */
#include "guest/option.h"

#include "lib/bits.h"
#include "lib/format.h"
#include "lib/parse.h"
#include "lib/string.h"

static void store(void *target, const struct option *o, u64 value)
{
    memcpy((u8 *)target + o->offset, &value, o->width);
}

static enum status refuse(struct option_error *e, enum status why, const char *what,
                          const struct option *o)
{
    format_buf(e->why, sizeof(e->why), "%s; %s", what, o->help);
    return why;
}

static enum status set_number(void *target, const struct option *o, const char *text,
                              struct option_error *e)
{
    u64 value = 0;
    enum status s = o->kind == OPTION_SIZE ? parse_size(text, &value) : parse_u64(text, &value);

    if (s == STATUS_EFORMAT)
        return refuse(e, s, o->kind == OPTION_SIZE ? "not a size" : "not a number", o);
    if (s == STATUS_ERANGE || value > o->max)
        return refuse(e, STATUS_ERANGE, "too large", o);
    if (value < o->min)
        return refuse(e, STATUS_ERANGE, "too small", o);
    if (o->align && !is_aligned(value, o->align))
        return refuse(e, STATUS_ERANGE, "not a whole number of pages", o);
    store(target, o, value);
    return STATUS_OK;
}

static enum status set_choice(void *target, const struct option *o, const char *text,
                              struct option_error *e)
{
    for (u64 i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            store(target, o, i);
            return STATUS_OK;
        }
    }
    return refuse(e, STATUS_EFORMAT, "no such choice", o);
}

/* True when word is "name=..."; *value is then behind the "=". */
static bool has_name(const char *word, const char *name, const char **value)
{
    size_t n = strlen(name);

    *value = word + n + 1;
    return strncmp(word, name, n) == 0 && word[n] == '=';
}

/* "a= b= c=" of all tables, for people who misspelt one. */
static void list_names(const struct option_table *tables, unsigned count, char *buf, size_t cap)
{
    size_t len = format_buf(buf, cap, "no such option; there are:");

    for (unsigned t = 0; t < count; t++)
        for (unsigned i = 0; i < tables[t].count && len < cap; i++)
            len += format_buf(buf + len, cap - len, " %s=", tables[t].options[i].name);
}

enum status option_set(const struct option_table *tables, unsigned count, const char *word,
                       u64 *seen, struct option_error *e)
{
    u64 bit = 1;

    for (unsigned t = 0; t < count; t++) {
        for (unsigned i = 0; i < tables[t].count; i++, bit <<= 1) {
            const struct option *o = &tables[t].options[i];
            const char *value;

            if (!has_name(word, o->name, &value))
                continue;
            if (*seen & bit)
                return refuse(e, STATUS_EEXIST, "given twice: leave one out", o);
            *seen |= bit;
            return (o->kind == OPTION_CHOICE ? set_choice : set_number)(tables[t].target, o, value,
                                                                        e);
        }
    }
    list_names(tables, count, e->why, sizeof(e->why));
    return STATUS_ENOENT;
}

enum option_step option_next(struct option_line *line, struct option_error *e)
{
    while (*line->cursor == ' ' || *line->cursor == '\t')
        line->cursor++;
    e->column = (unsigned)(line->cursor - line->text) + 1;
    enum status s = parse_word(&line->cursor, line->word, sizeof(line->word));
    if (s == STATUS_ENOENT)
        return OPTION_STEP_END;
    if (s == STATUS_OK) {
        (void)str_copy(e->word, sizeof(e->word), line->word);
        return OPTION_STEP_WORD;
    }
    (void)str_copy(e->word, sizeof(e->word), line->cursor);
    format_buf(e->why, sizeof(e->why),
               s == STATUS_EFORMAT ? "a quote is opened and never closed: add the other \""
                                   : "a word of more than %u characters: is a blank missing?",
               (unsigned)sizeof(line->word) - 1);
    return OPTION_STEP_BAD;
}

unsigned option_parse(const struct option_table *tables, unsigned count, const char *text,
                      void (*report)(void *ctx, const struct option_error *e), void *ctx)
{
    struct option_line line = {.text = text, .cursor = text};
    struct option_error e;
    enum option_step step;
    unsigned refused = 0;
    bool first = true;
    u64 seen = 0;

    while ((step = option_next(&line, &e)) == OPTION_STEP_WORD) {
        bool is_file = first && !strchr(line.word, '=');

        first = false;
        if (!is_file && option_set(tables, count, line.word, &seen, &e) != STATUS_OK) {
            report(ctx, &e);
            refused++;
        }
    }
    if (step == OPTION_STEP_BAD) {
        report(ctx, &e);
        refused++;
    }
    return refused;
}
