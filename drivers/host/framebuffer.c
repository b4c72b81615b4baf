/* SPDX-License-Identifier: MIT
 *
 * Drawing characters.  Only writes: reading a frame buffer is slow beyond measure.
 */
#include "drivers/host/framebuffer.h"

#define LAST_PRINTABLE 0x7e
#define OTHER_GLYPH    95

static void put_pixel(volatile u8 *at, u32 value, u32 bytes)
{
    if (bytes == 4)
        *(volatile u32 *)(volatile void *)at = value;
    else
        for (u32 i = 0; i < bytes; i++)
            at[i] = (u8)(value >> (8 * i));
}

static void draw(struct terminal *t, unsigned row, unsigned column, u8 c, bool cursor)
{
    const struct framebuffer *f = container_of(t, struct framebuffer, terminal);
    u64 glyph = font[c >= ' ' && c <= LAST_PRINTABLE ? c - ' ' : OTHER_GLYPH];
    volatile u8 *line = f->pixels + (u64)row * FONT_HEIGHT * f->scale * f->pitch +
                        (u64)column * FONT_WIDTH * f->scale * f->bytes;

    for (unsigned y = 0; y < FONT_HEIGHT * f->scale; y++, line += f->pitch) {
        unsigned glyph_row = y / f->scale;
        u8 bits = glyph_row < FONT_GLYPH_ROWS ? (u8)(glyph >> (56 - 8 * glyph_row)) : 0;
        if (cursor && glyph_row == FONT_GLYPH_ROWS)
            bits = 0x1f;
        for (unsigned x = 0; x < FONT_WIDTH * f->scale; x++)
            put_pixel(line + x * f->bytes, bits << (x / f->scale) & 0x10 ? f->colour : 0, f->bytes);
    }
}

enum status framebuffer_init(struct framebuffer *f, volatile u8 *pixels, u32 width, u32 height,
                             u32 pitch, u32 bytes, u32 colour)
{
    u32 scale = width / (FONT_WIDTH * FONT_MIN_COLUMNS);

    f->terminal.columns = 0;
    f->terminal.draw = draw;
    f->pixels = pixels;
    f->pitch = pitch;
    f->bytes = bytes;
    f->scale = scale ? scale : 1;
    f->colour = colour;
    u32 columns = width / (FONT_WIDTH * f->scale), rows = height / (FONT_HEIGHT * f->scale);
    if (columns < 20 || rows < 2 || pitch / bytes < width || columns > TERMINAL_CELLS / 2)
        return STATUS_ERANGE;
    if (rows > TERMINAL_CELLS / columns)
        rows = TERMINAL_CELLS / columns;
    for (u32 y = 0; y < height; y++) /* margins, too */
        for (u32 x = 0; x < width; x++)
            put_pixel(pixels + (u64)y * pitch + (u64)x * bytes, 0, bytes);
    terminal_init(&f->terminal, columns, rows);
    return STATUS_OK;
}
