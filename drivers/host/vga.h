/* SPDX-License-Identifier: MIT
 *
 * The text screen, 80 x 25: where the log goes when there is no serial port.  Understands the few
 * controls our own console sends (CR, LF, BS, TAB, ESC[K, ESC[nC, ESC[H, ESC[2J) and swallows
 * every other escape sequence.  Without a VGA in text mode everything written to it vanishes.
 */
#ifndef DRIVERS_HOST_VGA_H
#define DRIVERS_HOST_VGA_H

#include "drivers/host/portio.h"
#include "lib/format.h"
#include "lib/status.h"
#include "lib/types.h"

#define VGA_TEXT_BASE 0xb8000u /* physical address of the text buffer */
#define VGA_COLUMNS   80
#define VGA_ROWS      25
#define VGA_CELLS     (VGA_COLUMNS * VGA_ROWS)

struct vga {
    struct sink sink; /* write() is vga_write with "\n" meaning a new line at column 0 */
    struct port_io io;
    volatile u16 *cells; /* NULL: no text screen, writing does nothing */
    u16 row, column;
    u8 escape; /* parser state */
    u8 param;  /* of the escape sequence */
};

/*
 * cells: where the text buffer is mapped (4000 bytes).  ENOENT when there is no VGA or it shows
 * graphics; the sink may be used nevertheless.  Clears the screen.
 */
CHECKED enum status vga_init(struct vga *v, struct port_io io, volatile u16 *cells);

/* Show n bytes and move the cursor. */
void vga_write(struct vga *v, const char *text, size_t n);

#endif
