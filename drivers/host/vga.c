/* SPDX-License-Identifier: MIT
 *
 * The VGA text screen.  Presence is judged by two things a missing card cannot do: remember a word
 * of its text buffer and remember the cursor position (CRT controller, IBM VGA technical reference,
 * registers 0Eh/0Fh); text mode by the graphics controller's miscellaneous register (06h).
 */
#include "drivers/host/vga.h"

#include "lib/bits.h"

enum { CRTC_INDEX = 0x3d4, CRTC_DATA = 0x3d5, GC_INDEX = 0x3ce, GC_DATA = 0x3cf };
enum {
    CRTC_START_HIGH = 0x0c,
    CRTC_START_LOW = 0x0d,
    CRTC_CURSOR_HIGH = 0x0e,
    CRTC_CURSOR_LOW = 0x0f
};

#define GC_MISC       6
#define MISC_GRAPHICS BIT(0)
#define MISC_MAP      (3u << 2) /* both set: the buffer is at B8000 */
#define ATTRIBUTE     0x0700u   /* light grey on black */

static u8 indexed_read(struct vga *v, u16 port, u8 index)
{
    v->io.write(v->io.ctx, port, index);
    return v->io.read(v->io.ctx, (u16)(port + 1));
}

static void indexed_write(struct vga *v, u16 port, u8 index, u32 value)
{
    v->io.write(v->io.ctx, port, index);
    v->io.write(v->io.ctx, (u16)(port + 1), (u8)value);
}

static bool vga_present(struct vga *v, volatile u16 *cells)
{
    u16 old = cells[0];

    cells[0] = 0x55aa;
    bool remembers = cells[0] == 0x55aa;
    cells[0] = 0xaa55;
    remembers = remembers && cells[0] == 0xaa55;
    cells[0] = old;
    if (!remembers)
        return false;
    for (u8 i = 1; i < 3; i++) {
        indexed_write(v, CRTC_INDEX, CRTC_CURSOR_LOW, i);
        if (indexed_read(v, CRTC_INDEX, CRTC_CURSOR_LOW) != i)
            return false;
    }
    return true;
}

static void vga_draw(struct terminal *t, unsigned row, unsigned column, u8 c, bool cursor)
{
    struct vga *v = container_of(t, struct vga, terminal);
    unsigned at = row * VGA_COLUMNS + column;

    v->cells[at] = (u16)(ATTRIBUTE | c);
    if (!cursor)
        return;
    indexed_write(v, CRTC_INDEX, CRTC_CURSOR_HIGH, at >> 8);
    indexed_write(v, CRTC_INDEX, CRTC_CURSOR_LOW, at & 0xff);
}

enum status vga_init(struct vga *v, struct port_io io, volatile u16 *cells)
{
    v->terminal.columns = 0;
    v->terminal.draw = vga_draw;
    v->io = io;
    if (!vga_present(v, cells))
        return STATUS_ENOENT;
    u8 misc = indexed_read(v, GC_INDEX, GC_MISC);
    if (misc & MISC_GRAPHICS || (misc & MISC_MAP) != MISC_MAP)
        return STATUS_ENOENT;
    v->cells = cells;
    indexed_write(v, CRTC_INDEX, CRTC_START_HIGH, 0);
    indexed_write(v, CRTC_INDEX, CRTC_START_LOW, 0);
    terminal_init(&v->terminal, VGA_COLUMNS, VGA_ROWS);
    return STATUS_OK;
}
