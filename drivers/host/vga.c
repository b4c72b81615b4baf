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
#define BLANK         0x0720u   /* light grey on black */
#define TAB_WIDTH     8

enum escape_state { GROUND, AFTER_ESC, IN_CSI };

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
    bool remembers;

    cells[0] = 0x55aa;
    remembers = cells[0] == 0x55aa;
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

static void vga_clear(struct vga *v, unsigned from, unsigned to)
{
    for (; from < to; from++)
        v->cells[from] = BLANK;
}

static void vga_scroll(struct vga *v)
{
    for (unsigned i = 0; i < VGA_CELLS - VGA_COLUMNS; i++)
        v->cells[i] = v->cells[i + VGA_COLUMNS];
    vga_clear(v, VGA_CELLS - VGA_COLUMNS, VGA_CELLS);
}

static void vga_newline(struct vga *v)
{
    v->column = 0;
    if (v->row < VGA_ROWS - 1)
        v->row++;
    else
        vga_scroll(v);
}

static void vga_put(struct vga *v, u8 c)
{
    if (v->column == VGA_COLUMNS)
        vga_newline(v);
    v->cells[v->row * VGA_COLUMNS + v->column++] = (u16)(0x0700u | c);
}

static void vga_control(struct vga *v, u8 c)
{
    switch (c) {
    case '\r': v->column = 0; break;
    case '\n': vga_newline(v); break;
    case '\b':
        if (v->column)
            v->column--;
        break;
    case '\t':
        do
            vga_put(v, ' ');
        while (v->column % TAB_WIDTH);
        break;
    case 0x1b: v->escape = AFTER_ESC; break;
    default: break;
    }
}

static void vga_csi(struct vga *v, u8 final)
{
    unsigned here = v->row * (unsigned)VGA_COLUMNS + v->column;
    unsigned right = v->column + (v->param ? v->param : 1u);

    switch (final) {
    case 'K': vga_clear(v, here, (v->row + 1u) * VGA_COLUMNS); break;
    case 'C': v->column = (u16)(right < VGA_COLUMNS ? right : VGA_COLUMNS - 1); break;
    case 'H': v->row = v->column = 0; break;
    case 'J': vga_clear(v, v->param == 2 ? 0 : here, VGA_CELLS); break;
    default: break;
    }
}

static void vga_byte(struct vga *v, u8 c)
{
    if (v->escape == AFTER_ESC) {
        v->escape = c == '[' ? IN_CSI : GROUND;
        v->param = 0;
    } else if (v->escape == IN_CSI) {
        if (c >= '0' && c <= '9')
            v->param = (u8)(v->param < 25 ? v->param * 10 + (c - '0') : 0xff);
        if (c < 0x40)
            return; /* parameters, or a control that has no business here */
        v->escape = GROUND;
        vga_csi(v, c);
    } else if (c < 0x20 || c == 0x7f) {
        vga_control(v, c);
    } else {
        vga_put(v, c);
    }
}

void vga_write(struct vga *v, const char *text, size_t n)
{
    unsigned cursor;

    if (!v->cells || n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        vga_byte(v, (u8)text[i]);
    cursor = v->row * (unsigned)VGA_COLUMNS + v->column;
    indexed_write(v, CRTC_INDEX, CRTC_CURSOR_HIGH, cursor >> 8);
    indexed_write(v, CRTC_INDEX, CRTC_CURSOR_LOW, cursor & 0xff);
}

static void vga_sink_write(struct sink *self, const char *text, size_t len)
{
    vga_write(container_of(self, struct vga, sink), text, len);
}

enum status vga_init(struct vga *v, struct port_io io, volatile u16 *cells)
{
    u8 misc;

    *v = (struct vga){.sink = {.write = vga_sink_write}, .io = io};
    if (!vga_present(v, cells))
        return STATUS_ENOENT;
    misc = indexed_read(v, GC_INDEX, GC_MISC);
    if (misc & MISC_GRAPHICS || (misc & MISC_MAP) != MISC_MAP)
        return STATUS_ENOENT;
    v->cells = cells;
    indexed_write(v, CRTC_INDEX, CRTC_START_HIGH, 0);
    indexed_write(v, CRTC_INDEX, CRTC_START_LOW, 0);
    vga_clear(v, 0, VGA_CELLS);
    return STATUS_OK;
}
