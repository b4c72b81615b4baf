/* SPDX-License-Identifier: MIT
 *
 * A terminal on a grid of characters, whatever shows them (vga.h, framebuffer.h): where log and
 * prompt go on a PC without a serial port.  Understands the few controls our own console sends (CR,
 * LF, BS, TAB, ESC[K, ESC[nC, ESC[H, ESC[2J) and swallows every other escape sequence.
 */
#pragma once

#include "lib/format.h"

#define TERMINAL_CELLS 12288u

struct terminal {
    struct sink sink; /* what is written shows at once; "\n" means a new line at column 0 */
    /* Show one character, with or without the cursor. */
    void (*draw)(struct terminal *t, unsigned row, unsigned column, u8 c, bool cursor);
    u16 columns, rows; /* 0: there is no screen; writing does nothing */
    u16 row, column;
    u16 dirty_from, dirty_to; /* rows to look at, when shown next */
    u16 scrolled;             /* lines since it was shown */
    u8 escape;                /* parser state */
    u8 param;                 /* of the escape sequence */
    unsigned cursor;          /* the cell that shows it */
    u8 want[TERMINAL_CELLS];  /* what is to be seen; */
    u8 shown[TERMINAL_CELLS]; /* what is seen; 0: not known */
};

/* An empty screen; columns * rows is at most TERMINAL_CELLS. */
void terminal_init(struct terminal *t, unsigned columns, unsigned rows);

/* Take n bytes; they need not be visible before terminal_show(). */
void terminal_put(struct terminal *t, const char *text, size_t n);

/* Draw what differs on at most that many rows; true when there is more to be drawn. */
bool terminal_show(struct terminal *t, unsigned rows);

/* Something is to be drawn. */
static inline bool terminal_stale(const struct terminal *t) { return t->dirty_from < t->dirty_to; }
