/* SPDX-License-Identifier: MIT
 *
 * The VGA's text screen, 80 x 25, as a terminal.
 */
#pragma once

#include "drivers/host/portio.h"
#include "drivers/host/terminal.h"
#include "lib/status.h"

#define VGA_TEXT_BASE 0xb8000u /* physical address of the text buffer */
#define VGA_COLUMNS   80
#define VGA_ROWS      25
#define VGA_CELLS     (VGA_COLUMNS * VGA_ROWS)

struct vga {
    struct terminal terminal;
    struct port_io io;
    volatile u16 *cells; /* where the text buffer is mapped now (4000 bytes) */
};

/* ENOENT when there is no VGA or it shows graphics; the terminal may be used nevertheless.  Clears
 * the screen. */
CHECKED enum status vga_init(struct vga *v, struct port_io io, volatile u16 *cells);
