/* SPDX-License-Identifier: MIT
 *
 * Strict parsing of numbers and words; what does not fit the grammar to its last character is
 * refused.  "Malformed" wins over "out of range", so that a message names the first thing to mend.
 */
#include "lib/parse.h"

#include "lib/bits.h"

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 16;
}

/* Reads digits at *text and leaves *text behind them. */
static enum status parse_digits(const char **text, u64 *out)
{
    const char *p = *text;
    u64 value = 0;
    int base = 10;
    bool overflow = false;

    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        base = 16;
        p += 2;
    }
    if (digit_value(*p) >= base)
        return STATUS_EFORMAT;
    for (int d; (d = digit_value(*p)) < base; p++) {
        overflow |= __builtin_mul_overflow(value, (u64)base, &value);
        overflow |= __builtin_add_overflow(value, (u64)d, &value);
    }
    *text = p;
    *out = value;
    return overflow ? STATUS_ERANGE : STATUS_OK;
}

enum status parse_u64(const char *text, u64 *out)
{
    u64 value;
    enum status s = parse_digits(&text, &value);

    if (*text != 0)
        return STATUS_EFORMAT;
    if (s == STATUS_OK)
        *out = value;
    return s;
}

static unsigned suffix_shift(char c)
{
    switch (c) {
    case 'k':
    case 'K': return 10;
    case 'm':
    case 'M': return 20;
    case 'g':
    case 'G': return 30;
    default: return 0;
    }
}

enum status parse_size(const char *text, u64 *out)
{
    u64 value;
    enum status s = parse_digits(&text, &value);

    if (s == STATUS_EFORMAT)
        return s;
    unsigned shift = suffix_shift(*text);
    if (text[shift != 0] != 0)
        return STATUS_EFORMAT;
    if (s != STATUS_OK || value > ~0ull >> shift)
        return STATUS_ERANGE;
    *out = value << shift;
    return STATUS_OK;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

enum status parse_word(const char **cursor, char *buf, size_t cap)
{
    const char *p = *cursor;
    size_t len = 0;
    bool quoted = false;

    while (is_blank(*p))
        p++;
    if (*p == 0) {
        *cursor = p;
        return STATUS_ENOENT;
    }
    for (; *p != 0 && (quoted || !is_blank(*p)); p++) {
        if (*p == '"') {
            quoted = !quoted;
            continue;
        }
        if (len + 1 < cap)
            buf[len] = *p;
        len++;
    }
    if (quoted)
        return STATUS_EFORMAT;
    if (len >= cap)
        return STATUS_ERANGE;
    buf[len] = 0;
    *cursor = p;
    return STATUS_OK;
}
