/* SPDX-License-Identifier: MIT
 *
 * printf without libc: one pass over the format, each conversion built in a small stack buffer and
 * handed to a sink.  Results agree with C17 7.21.6.1 for the conversions named in format.h; an
 * unknown conversion is written out as it stands, so that the mistake is seen.
 */
#include "lib/format.h"

#include "lib/bits.h"
#include "lib/string.h"

enum {
    FLAG_LEFT = BIT(0),
    FLAG_ZERO = BIT(1),
    FLAG_PLUS = BIT(2),
    FLAG_ALT = BIT(3),
    FLAG_SPACE = BIT(4)
};

struct spec {
    u32 flags;
    int width;
    int precision; /* -1: none given */
    unsigned size; /* of the integer argument, bytes */
    char conversion;
};

/* Digits of a 64-bit number: 20 in decimal. */
#define MAX_DIGITS 20

static void put_repeated(struct sink *s, char c, int count)
{
    char chunk[16];

    memset(chunk, c, sizeof(chunk));
    for (; count > 0; count -= (int)sizeof(chunk))
        s->write(s, chunk, count < (int)sizeof(chunk) ? (size_t)count : sizeof(chunk));
}

/* prefix ("-", "0x"), then zeros, then body, padded to the width. */
static void put_padded(struct sink *s, const struct spec *f, const char *prefix, int zeros,
                       const char *body, size_t len)
{
    size_t prefix_len = strlen(prefix);
    size_t used = prefix_len + (size_t)zeros + len;
    int pad = (size_t)f->width > used ? (int)((size_t)f->width - used) : 0;

    if (!(f->flags & (FLAG_LEFT | FLAG_ZERO)))
        put_repeated(s, ' ', pad);
    if (prefix_len)
        s->write(s, prefix, prefix_len);
    if ((f->flags & (FLAG_LEFT | FLAG_ZERO)) == FLAG_ZERO)
        put_repeated(s, '0', pad);
    put_repeated(s, '0', zeros);
    if (len)
        s->write(s, body, len);
    if (f->flags & FLAG_LEFT)
        put_repeated(s, ' ', pad);
}

static void put_number(struct sink *s, struct spec *f, u64 value, const char *prefix)
{
    const char *digits = f->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned base = f->conversion == 'd' || f->conversion == 'u' ? 10 : 16;
    char buf[MAX_DIGITS];
    size_t at = sizeof(buf);
    int zeros = 0;

    for (u64 rest = value; rest; rest /= base)
        buf[--at] = digits[rest % base];
    if (f->precision >= 0)
        f->flags &= ~(u32)FLAG_ZERO;
    else
        f->precision = 1;
    if (f->precision > (int)(sizeof(buf) - at))
        zeros = f->precision - (int)(sizeof(buf) - at);
    put_padded(s, f, prefix, zeros, buf + at, sizeof(buf) - at);
}

static u64 take_unsigned(unsigned size, va_list *ap)
{
    return size == 8 ? va_arg(*ap, u64) : va_arg(*ap, u32) & mask_bytes(size);
}

static void put_signed(struct sink *s, struct spec *f, va_list *ap)
{
    unsigned shift = 64 - 8 * f->size;
    s64 value = (s64)(take_unsigned(f->size, ap) << shift) >> shift;
    const char *sign = f->flags & FLAG_PLUS ? "+" : f->flags & FLAG_SPACE ? " " : "";

    put_number(s, f, value < 0 ? 0 - (u64)value : (u64)value, value < 0 ? "-" : sign);
}

static void put_hex(struct sink *s, struct spec *f, va_list *ap)
{
    u64 value = take_unsigned(f->size, ap);
    const char *prefix = f->conversion == 'X' ? "0X" : "0x";

    put_number(s, f, value, f->flags & FLAG_ALT && value ? prefix : "");
}

static void put_string(struct sink *s, struct spec *f, const char *text)
{
    size_t len = 0;

    if (text == NULL)
        text = "(null)";
    while ((f->precision < 0 || len < (size_t)f->precision) && text[len])
        len++;
    f->flags &= ~(u32)FLAG_ZERO;
    put_padded(s, f, "", 0, text, len);
}

static const char *parse_flags(const char *p, struct spec *f)
{
    static const char letters[] = "-0+# ";

    for (const char *hit; *p && (hit = strchr(letters, *p)) != NULL; p++)
        f->flags |= BIT(hit - letters);
    return p;
}

/* A width or precision: digits or `*`; numbers stop growing past 4095, the least C asks for. */
static const char *parse_count(const char *p, int *count, va_list *ap)
{
    if (*p == '*') {
        *count = va_arg(*ap, int);
        return p + 1;
    }
    for (*count = 0; *p >= '0' && *p <= '9'; p++)
        if (*count < 410)
            *count = *count * 10 + (*p - '0');
    return p;
}

static const char *parse_length(const char *p, struct spec *f)
{
    f->size = sizeof(int);
    switch (*p) {
    case 'h': f->size = p[1] == 'h' ? 1 : 2; return p[1] == 'h' ? p + 2 : p + 1;
    case 'l': f->size = 8; return p[1] == 'l' ? p + 2 : p + 1;
    case 'z':
    case 'j':
    case 't': f->size = 8; return p + 1;
    default: return p;
    }
}

static const char *parse_spec(const char *p, struct spec *f, va_list *ap)
{
    *f = (struct spec){.precision = -1};
    p = parse_flags(p, f);
    p = parse_count(p, &f->width, ap);
    if (f->width < 0) {
        f->flags |= FLAG_LEFT;
        f->width = f->width == -__INT_MAX__ - 1 ? 0 : -f->width;
    }
    if (*p == '.')
        p = parse_count(p + 1, &f->precision, ap);
    p = parse_length(p, f);
    f->conversion = *p == 'i' ? 'd' : *p;
    return *p ? p + 1 : p;
}

/* False when the conversion is unknown. */
static bool put_conversion(struct sink *s, struct spec *f, va_list *ap)
{
    char c;

    switch (f->conversion) {
    case '%': s->write(s, "%", 1); return true;
    case 'c':
        c = (char)va_arg(*ap, int);
        f->flags &= ~(u32)FLAG_ZERO;
        put_padded(s, f, "", 0, &c, 1);
        return true;
    case 's': put_string(s, f, va_arg(*ap, const char *)); return true;
    case 'd': put_signed(s, f, ap); return true;
    case 'u': put_number(s, f, take_unsigned(f->size, ap), ""); return true;
    case 'x':
    case 'X': put_hex(s, f, ap); return true;
    case 'p': put_number(s, f, (u64)(uintptr_t)va_arg(*ap, void *), "0x"); return true;
    default: return false;
    }
}

void sink_vprintf(struct sink *s, const char *fmt, va_list ap)
{
    va_list args; /* one whose address may be taken */
    const char *p = fmt;

    va_copy(args, ap);
    while (*p) {
        const char *start = p;
        struct spec f;

        while (*p && *p != '%')
            p++;
        if (p != start)
            s->write(s, start, (size_t)(p - start));
        if (*p == 0)
            break;
        start = p;
        p = parse_spec(p + 1, &f, &args);
        if (!put_conversion(s, &f, &args))
            s->write(s, start, (size_t)(p - start));
    }
    va_end(args);
}

void sink_printf(struct sink *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sink_vprintf(s, fmt, ap);
    va_end(ap);
}

static void buf_sink_write(struct sink *self, const char *text, size_t len)
{
    struct buf_sink *b = container_of(self, struct buf_sink, sink);
    size_t room = b->cap ? b->cap - 1 - b->len : 0;
    size_t fit = len < room ? len : room;

    if (fit)
        memcpy(b->buf + b->len, text, fit);
    b->len += fit;
    b->lost += len - fit;
    if (b->cap)
        b->buf[b->len] = 0;
}

void buf_sink_init(struct buf_sink *b, char *buf, size_t cap)
{
    *b = (struct buf_sink){.sink = {.write = buf_sink_write}, .buf = buf, .cap = cap};
    if (cap)
        buf[0] = 0;
}

size_t format_vbuf(char *buf, size_t cap, const char *fmt, va_list ap)
{
    struct buf_sink b;

    buf_sink_init(&b, buf, cap);
    sink_vprintf(&b.sink, fmt, ap);
    return b.len + b.lost;
}

size_t format_buf(char *buf, size_t cap, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    size_t len = format_vbuf(buf, cap, fmt, ap);
    va_end(ap);
    return len;
}
