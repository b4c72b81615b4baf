/* SPDX-License-Identifier: MIT
 *
 * A linear frame buffer of RGB pixels as a terminal, in a small font made larger as the mode
 * needs.
 */
#pragma once

#include "drivers/host/terminal.h"
#include "lib/status.h"

/* A cell of the font, in its own pixels; glyphs have 5 x 8 of them. */
#define FONT_WIDTH       6u
#define FONT_HEIGHT      10u
#define FONT_GLYPH_ROWS  8u
#define FONT_GLYPHS      96
#define FONT_MIN_COLUMNS 85u /* wished for; the scale is the largest that leaves as many */

/* 20H to 7EH, then the glyph for everything else.  The high byte is the top row, bit 4 of it the
 * leftmost pixel. */
extern const u64 font[FONT_GLYPHS];

struct framebuffer {
    struct terminal terminal;
    volatile u8 *pixels; /* where it is mapped now */
    u32 pitch;           /* bytes from line to line */
    u32 bytes;           /* of a pixel */
    u32 scale;
    u32 colour;
};

/* bytes: of a pixel, 2 to 4; colour: the pixel's value where there is text; the background is 0.
 * Clears the screen.  ERANGE: a mode smaller than a line of text. */
CHECKED enum status framebuffer_init(struct framebuffer *f, volatile u8 *pixels, u32 width,
                                     u32 height, u32 pitch, u32 bytes, u32 colour);
