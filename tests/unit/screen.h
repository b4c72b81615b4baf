/* SPDX-License-Identifier: MIT
 *
 * A little VT100 for tests: what a person would see after the bytes that were sent.
 */
#ifndef TESTS_UNIT_SCREEN_H
#define TESTS_UNIT_SCREEN_H

#include <string.h>

#include "lib/format.h"
#include "lib/types.h"

#define SCREEN_MAX_COLUMNS 100
#define SCREEN_ROWS        24

struct screen {
    struct sink sink; /* "\n" here is a new line, as for prompt_out */
    unsigned columns, row, column;
    char cell[SCREEN_ROWS][SCREEN_MAX_COLUMNS + 1];
    unsigned bells, scrolled, unknown;
    int state, param; /* 0 text, 1 after ESC, 2 in CSI; param -1: none given */
};

static inline void screen_clear(struct screen *s, unsigned row, unsigned column)
{
    for (; row < SCREEN_ROWS; row++, column = 0)
        memset(s->cell[row] + column, ' ', s->columns - column);
}

static inline void screen_line_feed(struct screen *s)
{
    if (++s->row < SCREEN_ROWS)
        return;
    s->row = SCREEN_ROWS - 1;
    s->scrolled++;
    memmove(s->cell[0], s->cell[1], sizeof(s->cell[0]) * (SCREEN_ROWS - 1));
    memset(s->cell[s->row], ' ', s->columns);
}

static inline void screen_csi(struct screen *s, char final)
{
    unsigned n = s->param > 0 ? (unsigned)s->param : 1;

    if (final == 'K' && s->param <= 0)
        memset(s->cell[s->row] + s->column, ' ', s->columns - s->column);
    else if (final == 'C')
        s->column = s->column + n < s->columns ? s->column + n : s->columns - 1;
    else if (final == 'H' && s->param <= 0)
        s->row = s->column = 0;
    else if (final == 'J' && s->param == 2)
        screen_clear(s, 0, 0);
    else if (final != 'm')
        s->unknown++;
}

static inline void screen_byte(struct screen *s, char c)
{
    if (c == 0x18) { /* CAN */
        s->state = 0;
    } else if (s->state == 2) {
        if (c >= '0' && c <= '9') {
            s->param = (s->param < 0 ? 0 : s->param) * 10 + c - '0';
            return;
        }
        s->state = 0;
        screen_csi(s, c);
    } else if (s->state == 1) {
        s->state = c == '[' ? 2 : 0;
        s->param = -1;
        s->unknown += c != '[';
    } else if (c == 0x1b) {
        s->state = 1;
    } else if (c == '\r') {
        s->column = 0;
    } else if (c == '\n') {
        screen_line_feed(s);
    } else if (c == '\b') {
        s->column -= s->column != 0;
    } else if (c == '\a') {
        s->bells++;
    } else if ((u8)c < 0x20) {
        s->unknown++;
    } else {
        if (s->column == s->columns) { /* wraps when the next character comes */
            s->column = 0;
            screen_line_feed(s);
        }
        s->cell[s->row][s->column++] = c;
    }
}

static inline void screen_sink_write(struct sink *self, const char *text, size_t len)
{
    struct screen *s = container_of(self, struct screen, sink);

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            screen_byte(s, '\r');
        screen_byte(s, text[i]);
    }
}

static inline void screen_init(struct screen *s, unsigned columns)
{
    memset(s, 0, sizeof(*s));
    s->sink.write = screen_sink_write;
    s->columns = columns;
    screen_clear(s, 0, 0);
}

/* A row without the blanks at its end. */
static inline const char *screen_row(struct screen *s, unsigned row)
{
    static char text[4][SCREEN_MAX_COLUMNS + 1];
    static unsigned turn;
    char *t = text[turn++ % 4];
    size_t len = s->columns;

    memcpy(t, s->cell[row], len);
    while (len && t[len - 1] == ' ')
        len--;
    t[len] = 0;
    return t;
}

/* True when some row shows exactly this. */
static inline bool screen_shows(struct screen *s, const char *text)
{
    for (unsigned r = 0; r < SCREEN_ROWS; r++)
        if (strcmp(screen_row(s, r), text) == 0)
            return true;
    return false;
}

#endif
