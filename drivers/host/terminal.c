/* SPDX-License-Identifier: MIT
 *
 * The grid, and the controls that change it.  Only cells that differ are drawn: screens are slow.
 */
#include "drivers/host/terminal.h"

#include "lib/string.h"

#define CHUNK     8u /* cells, one to a byte of a word */
#define TAB_WIDTH 8
#define CAN       0x18
#define ESC       0x1b

enum escape_state { GROUND, AFTER_ESC, IN_CSI };

static void touch(struct terminal *t, unsigned from, unsigned to)
{
    t->dirty_from = (u16)(from < t->dirty_from ? from : t->dirty_from);
    t->dirty_to = (u16)(to > t->dirty_to ? to : t->dirty_to);
}

static void clear(struct terminal *t, unsigned from, unsigned to)
{
    memset(t->want + from, ' ', to - from);
    touch(t, from / t->columns, (to + t->columns - 1u) / t->columns);
}

static void new_line(struct terminal *t)
{
    unsigned last = (t->rows - 1u) * t->columns;

    t->column = 0;
    if (t->row + 1 < t->rows) {
        t->row++;
        return;
    }
    memmove(t->want, t->want + t->columns, last);
    clear(t, last, last + t->columns);
    touch(t, 0, t->rows);
    if (++t->scrolled >= t->rows / 2) /* what rushes by is to be seen rushing by */
        (void)terminal_show(t, t->rows);
}

static void put(struct terminal *t, u8 c)
{
    if (t->column == t->columns)
        new_line(t);
    t->want[t->row * t->columns + t->column++] = c;
    touch(t, t->row, t->row + 1u);
}

static void control(struct terminal *t, u8 c)
{
    switch (c) {
    case '\r': t->column = 0; break;
    case '\n': new_line(t); break;
    case '\b': t->column = (u16)(t->column ? t->column - 1 : 0); break;
    case '\t':
        do
            put(t, ' ');
        while (t->column % TAB_WIDTH);
        break;
    case ESC: t->escape = AFTER_ESC; break;
    default: break;
    }
}

static void csi(struct terminal *t, u8 final)
{
    unsigned here = t->row * (unsigned)t->columns + t->column;
    unsigned right = t->column + (t->param ? t->param : 1u);

    switch (final) {
    case 'K': clear(t, here, (t->row + 1u) * t->columns); break;
    case 'C': t->column = (u16)(right < t->columns ? right : t->columns - 1u); break;
    case 'H': t->row = t->column = 0; break;
    case 'J': clear(t, t->param == 2 ? 0 : here, t->columns * (unsigned)t->rows); break;
    default: break;
    }
}

static void byte(struct terminal *t, u8 c)
{
    if (c == CAN) {
        t->escape = GROUND;
    } else if (t->escape == AFTER_ESC) {
        t->escape = c == '[' ? IN_CSI : GROUND;
        t->param = 0;
    } else if (t->escape == IN_CSI) {
        if (c >= '0' && c <= '9')
            t->param = (u8)(t->param < 25 ? t->param * 10 + (c - '0') : 0xff);
        if (c < 0x40)
            return; /* parameters, or a control that has no business here */
        t->escape = GROUND;
        csi(t, c);
    } else if (c < 0x20 || c == 0x7f) {
        control(t, c);
    } else {
        put(t, c);
    }
}

void terminal_put(struct terminal *t, const char *text, size_t n)
{
    for (size_t i = 0; t->columns && i < n; i++)
        byte(t, (u8)text[i]);
}

/* Most of a scrolled screen looks as before: it is passed over CHUNK cells at a time. */
static void show_chunk(struct terminal *t, unsigned row, unsigned x, unsigned cursor)
{
    unsigned n = t->columns - x < CHUNK ? t->columns - x : CHUNK, at = row * t->columns + x;
    u64 want = 0, shown = 0;

    if (n == CHUNK) { /* without a call */
        memcpy(&want, t->want + at, CHUNK);
        memcpy(&shown, t->shown + at, CHUNK);
    } else {
        memcpy(&want, t->want + at, n);
        memcpy(&shown, t->shown + at, n);
    }
    for (; want != shown; want >>= 8, shown >>= 8, x++, at++) {
        if ((u8)want == (u8)shown)
            continue;
        t->draw(t, row, x, (u8)want, at == cursor);
        t->shown[at] = (u8)want;
    }
}

bool terminal_show(struct terminal *t, unsigned rows)
{
    unsigned column = t->column < t->columns ? t->column : t->columns - 1u;
    unsigned cursor = t->row * (unsigned)t->columns + column;

    if (!t->columns)
        return false;
    if (cursor != t->cursor) { /* both cells look different now */
        t->shown[t->cursor] = t->shown[cursor] = 0;
        touch(t, t->cursor / t->columns, t->cursor / t->columns + 1);
        touch(t, t->row, t->row + 1u);
        t->cursor = cursor;
    }
    for (; rows != 0 && t->dirty_from < t->dirty_to; rows--, t->dirty_from++)
        for (unsigned x = 0; x < t->columns; x += CHUNK)
            show_chunk(t, t->dirty_from, x, cursor);
    if (t->dirty_from < t->dirty_to)
        return true;
    t->dirty_from = t->rows;
    t->dirty_to = t->scrolled = 0;
    return false;
}

static void sink_write(struct sink *self, const char *text, size_t len)
{
    struct terminal *t = container_of(self, struct terminal, sink);

    terminal_put(t, text, len);
    (void)terminal_show(t, t->rows);
}

void terminal_init(struct terminal *t, unsigned columns, unsigned rows)
{
    t->sink.write = sink_write;
    t->columns = (u16)columns;
    t->rows = (u16)rows;
    t->row = t->column = 0;
    t->escape = GROUND;
    t->cursor = 0;
    memset(t->shown, 0, sizeof(t->shown));
    clear(t, 0, columns * rows);
    touch(t, 0, rows);
    (void)terminal_show(t, t->rows);
}
