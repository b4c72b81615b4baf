/* SPDX-License-Identifier: MIT
 *
 * printf without libc: formatted text into a buffer or a sink.  Supports %c %s %d %i %u %x %X %p %%
 * with flags - 0 + # space, width and precision (also *), and lengths hh h l ll z j t.
 */
#pragma once

#include "lib/types.h"
#include <stdarg.h>

/* Where text goes.  write() is given len bytes that need not end in NUL; it must not fail. */
struct sink {
    void (*write)(struct sink *self, const char *text, size_t len);
};

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Write into buf (always NUL-terminated when cap > 0); returns the length the whole text has. */
size_t format_buf(char *buf, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);
size_t format_vbuf(char *buf, size_t cap, const char *fmt, va_list ap);

/* Write to a sink, in pieces. */
void sink_printf(struct sink *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sink_vprintf(struct sink *s, const char *fmt, va_list ap);

/* A sink that fills a buffer; text past the end is dropped and counted in `lost`. */
struct buf_sink {
    struct sink sink;
    char *buf;
    size_t cap, len, lost;
};
void buf_sink_init(struct buf_sink *b, char *buf, size_t cap);
