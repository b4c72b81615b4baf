/* SPDX-License-Identifier: MIT
 *
 * Text on a frame buffer, looked at pixel by pixel, and the keyboard's controller against a small
 * model of an 8042 (IBM PS/2 technical reference).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/host/font.c"
#include "drivers/host/framebuffer.c"
#include "drivers/host/i8042.c"
#include "drivers/host/terminal.c"

static struct framebuffer fb;
static u8 *pixels;
static u32 width, height, pitch, bytes;

#define COLOUR 0xc0c1c2c3u

static enum status start(u32 w, u32 h, u32 gap, u32 pixel_bytes)
{
    free(pixels); /* exactly as large as it must be: the sanitizer watches its end */
    width = w, height = h, bytes = pixel_bytes;
    pitch = w * bytes + gap;
    pixels = malloc((size_t)pitch * h);
    memset(pixels, 0xee, (size_t)pitch * h);
    return framebuffer_init(&fb, pixels, w, h, pitch, bytes, COLOUR);
}

static bool lit(u32 x, u32 y)
{
    u32 value = 0, want = COLOUR & (~0u >> (32 - 8 * bytes));

    memcpy(&value, pixels + (size_t)y * pitch + (size_t)x * bytes, bytes);
    if (value != 0 && value != want)
        fail_msg("pixel %u,%u is %#x", x, y, value);
    return value != 0;
}

/* The character in a cell, 0 when it is none; *cursor: the line below it is lit. */
static char cell(unsigned row, unsigned column, bool *cursor)
{
    u32 x = column * 6 * fb.scale, y = row * 10 * fb.scale;
    u64 glyph = 0;

    for (u32 i = 0; i < 8; i++)
        for (u32 j = 0; j < 8; j++)
            glyph = glyph << 1 | (j >= 3 && lit(x + (j - 3) * fb.scale, y + i * fb.scale));
    *cursor = lit(x, y + 8 * fb.scale);
    for (unsigned i = 0; i < FONT_GLYPHS; i++)
        if (font[i] == glyph)
            return (char)(i + ' ');
    return 0;
}

static void see(unsigned row, const char *want, int cursor_at)
{
    for (unsigned i = 0; i < fb.terminal.columns; i++) {
        bool cursor;
        char c = cell(row, i, &cursor), w = i < strlen(want) ? want[i] : ' ';
        if (c != w || cursor != ((int)i == cursor_at))
            fail_msg("row %u column %u: '%c'%s, expected '%c'", row, i, c,
                     cursor ? " with cursor" : "", w);
    }
}

static void glyphs(void **)
{
    for (unsigned i = 0; i < FONT_GLYPHS; i++) {
        assert_int_equal(font[i] & 0xe0e0e0e0e0e0e0e0ull, 0); /* five pixels wide */
        assert_true(i == 0 || font[i] != 0);
        for (unsigned k = 0; k < i; k++)
            assert_true(font[i] != font[k]);
    }
    /* An L: a stroke down the left edge and one along the base line. */
    assert_true(font['L' - ' '] == 0x1010101010101f00ull);
}

static void modes(void **)
{
    static const u32 modes[][4] = {
        /* width, height, columns, rows */
        {640, 480, 106, 48},  {800, 600, 133, 60},   {1024, 768, 85, 38}, {1280, 800, 106, 40},
        {1366, 768, 113, 38}, {1920, 1080, 106, 36}, {320, 200, 53, 20},  {1000, 4000, 166, 74}};

    for (u32 b = 2; b <= 4; b++) {
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
            assert_int_equal(start(modes[i][0], modes[i][1], b * 8, b), STATUS_OK);
            assert_int_equal(fb.terminal.columns, modes[i][2]);
            if (modes[i][3] != 74)
                assert_int_equal(fb.terminal.rows, modes[i][3]);
            sink_printf(&fb.terminal.sink, "Ready.\n%s", "x = \"1\"; \x80~");
            see(0, "Ready.", -1);
            see(1, "x = \"1\"; \x7f~", 11);
            for (u32 x = 0; x < width; x++)
                assert_false(lit(x, height - 1) && x > width / 2);
        }
    }
    assert_int_equal(start(100, 480, 0, 4), STATUS_ERANGE);
    assert_int_equal(start(640, 15, 0, 4), STATUS_ERANGE);
    sink_printf(&fb.terminal.sink, "into the void\n");
    free(pixels);
    pixels = NULL;
}

static void moving(void **)
{
    assert_int_equal(start(320, 200, 0, 4), STATUS_OK);
    for (unsigned i = 0; i < 50; i++)
        sink_printf(&fb.terminal.sink, "line %u\n", i);
    see(0, "line 31", -1);
    see(18, "line 49", -1);
    see(19, "", 0);
    sink_printf(&fb.terminal.sink, "abc\b\b");
    see(19, "abc", 1);
    sink_printf(&fb.terminal.sink, "X\033[K\r\033[2C!");
    see(19, "aX!", 3);
    terminal_put(&fb.terminal, "\033[H\033[2Jlater", 12);
    see(0, "line 31", -1);
    assert_true(terminal_show(&fb.terminal, 1)); /* in pieces */
    see(0, "later", 5);
    see(1, "line 32", -1);
    assert_false(terminal_show(&fb.terminal, fb.terminal.rows - 1u));
    assert_false(terminal_stale(&fb.terminal));
    see(0, "later", 5);
    see(19, "", -1);
    sink_printf(&fb.terminal.sink, "\033[H%053dnext", 0);
    see(1, "next", 4);
    /* What rushes by without a pause is shown now and then. */
    for (unsigned i = 0; i < 40; i++)
        terminal_put(&fb.terminal, "fast\n", 5);
    see(5, "fast", -1);
}

/* --- Keyboard --------------------------------------------------------------------------------- */

static struct {
    bool absent, dead, broken;
    u8 queue[64], config, command;
    unsigned head, tail;
    bool mouse[64];
} chip;

static void chip_put(u8 byte, bool mouse)
{
    chip.mouse[chip.head % 64] = mouse;
    chip.queue[chip.head++ % 64] = byte;
}

static u8 chip_read(void *, u16 port)
{
    if (chip.absent)
        return 0xff;
    if (port == 0x64)
        return (u8)((chip.head != chip.tail ? 1 | chip.mouse[chip.tail % 64] << 5 : 0) |
                    (chip.broken ? 2 : 0));
    assert_int_equal(port, 0x60);
    return chip.head != chip.tail ? chip.queue[chip.tail++ % 64] : 0;
}

static void chip_write(void *, u16 port, u8 value)
{
    if (port == 0x64) {
        chip.command = value;
        if (value == 0x20 && !chip.dead)
            chip_put(chip.config, false);
    } else if (chip.command == 0x60) {
        chip.config = value;
        chip.command = 0;
    } else if (value == 0xf4) {
        chip_put(0xfa, false);
    }
}

static struct i8042 keyboard;

static enum status plug_in(void)
{
    return i8042_init(&keyboard, (struct port_io){.read = chip_read, .write = chip_write});
}

static void types(const char *codes, size_t n, const char *want)
{
    char got[64];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        chip_put((u8)codes[i], false);
    for (int c; len + 1 < sizeof(got) && (c = i8042_receive(&keyboard)) >= 0;)
        got[len++] = (char)c;
    got[len] = 0;
    assert_string_equal(got, want);
}
#define TYPES(codes, want) types(codes, sizeof(codes) - 1, want)

static void keys_typed(void **)
{
    memset(&chip, 0, sizeof(chip));
    chip.config = 0x10; /* the clock is off, no interrupt, no translation */
    assert_int_equal(plug_in(), STATUS_OK);
    assert_int_equal(chip.config, 0x41);
    TYPES("\x23\xa3\x12\x92\x26\xa6\x1c\x9c", "hel\r");
    TYPES("\x2a\x23\xa3\xaa\x17\x02", "Hi1");              /* shift held, released */
    TYPES("\x36\x03\x0c\x1a\xb6\x0c", "@_{-");             /* the other one */
    TYPES("\x3a\x1e\x2a\x1e\xaa\x02\x3a\xba\x1e", "Aa1a"); /* caps lock, and shift against it */
    TYPES("\x1d\x1b\x9b\x9d\x1b", "\x1d]");                /* Ctrl-] */
    TYPES("\xe0\x1d\x2e\xe0\x9d\x2e", "\x03"
                                      "c"); /* right Ctrl */
    TYPES("\xe0\x2a\xe0\x48\xe0\xc8\xe0\xaa\x1e", "\033[A"
                                                  "a"); /* cursor keys' made-up shift */
    TYPES("\xe0\x53\xe0\x4b\xe0\x4d\x01\x0f\x0e", "\033[3~\033[D\033[C\033\t\x7f");
    TYPES("\x3b\x58\x5b\x7f\xff\xe0\x5b\x39", " "); /* function keys and nonsense */
    chip_put(0x1e, true);
    TYPES("\x30", "b"); /* the mouse does not type */
}

static void no_keyboard(void **)
{
    memset(&chip, 0, sizeof(chip));
    chip.absent = true;
    assert_int_equal(plug_in(), STATUS_ENOENT);
    assert_int_equal(i8042_receive(&keyboard), -1);
    chip.absent = false;
    chip.dead = true; /* never answers */
    assert_int_equal(plug_in(), STATUS_ENOENT);
    chip.dead = false;
    chip.broken = true; /* never takes a byte */
    assert_int_equal(plug_in(), STATUS_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(glyphs), cmocka_unit_test(modes),
                                       cmocka_unit_test(moving), cmocka_unit_test(keys_typed),
                                       cmocka_unit_test(no_keyboard)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
