/* SPDX-License-Identifier: MIT
 *
 * The line editor, judged by what a small VT100 shows after the keys: text, cursor, bells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "drivers/console/editor.h"
#include "tests/unit/screen.h"

static struct screen screen;
static struct editor e;

static void setup(u16 width)
{
    screen_init(&screen, width);
    editor_init(&e, &screen.sink, "> ", width);
    editor_start(&e);
}

static enum editor_result keys(const char *text)
{
    enum editor_result r = EDITOR_MORE;

    for (; *text; text++)
        r = editor_input(&e, (u8)*text);
    return r;
}

/* The line, and where the cursor stands in it ('|'). */
static void sees(const char *want)
{
    char row[SCREEN_MAX_COLUMNS + 2];
    const char *shown = screen_row(&screen, screen.row);
    size_t at = screen.column, len = strlen(shown);

    snprintf(row, sizeof(row), "%-*.*s|%s", (int)at, (int)at, shown, len > at ? shown + at : "");
    if (strcmp(row, want) != 0 || screen.unknown)
        fail_msg("shown \"%s\", expected \"%s\"", row, want);
}

static void submit(const char *line)
{
    keys(line);
    assert_int_equal(keys("\r"), EDITOR_DONE);
    editor_start(&e);
}

struct edit {
    const char *keys, *want;
};

/* What the keys do is as in GNU readline's emacs mode. */
static const struct edit edits[] = {
    {"", "> |"},
    {"abc", "> abc|"},
    {"abc\x01", "> |abc"},
    {"abc\x01x", "> x|abc"},
    {"abc\x01\x05x", "> abcx|"},
    {"abc\x02\x02X", "> aX|bc"},
    {"abc\x01\x06X", "> aX|bc"},
    {"abc\x01\x04", "> |bc"},
    {"abc\x08", "> ab|"},
    {"abc\x7f\x7f", "> a|"},
    {"abcd\x02\x02\x0b", "> ab|"},
    {"abcd\x02\x02\x15", "> |cd"},
    {"ab cd  \x17", "> ab |"},
    {"ab cd\x17\x17", "> |"},
    {"ab cd\x17\x19\x19", "> ab cdcd|"},
    {"ab\x15xy\x19", "> xyab|"},
    {"abc\x14", "> acb|"},
    {"abc\x02\x14", "> acb|"},
    {"abc\x02\x02\x14", "> ba|c"},
    {"abc\x1b[D\x1b[D\x1b[CX", "> abX|c"},
    {"abc\x1b[HX", "> X|abc"},
    {"abc\x1bOHX\x1bOFY", "> Xabc"
                          "Y|"},
    {"abc\x1b[1~X\x1b[4~Y", "> Xabc"
                            "Y|"},
    {"abc\x1b[7~\x1b[3~", "> |bc"},
    {"ab cd\x1b"
     "b\x1b"
     "bX",
     "> X|ab cd"},
    {"ab cd\x01\x1b"
     "fX",
     "> abX| cd"},
    {"ab cd\x01\x1b"
     "d",
     "> | cd"},
    {"ab cd\x1b\x7f", "> ab |"},
    {"abc\x1b[1;5D", "> ab|c"},
    {"ab\x1b[99999999999~cd", "> abcd|"},
    {"ab\x1b[200~cd", "> abcd|"},
    {"abc\x0c", "> abc|"},
    {"a\tb", "> ab|"}, /* no completer: a bell */
    {"abc\x03", "> |"},
    {"ab\x80\xff"
     "c",
     "> abc|"},
};

static void test_keys(void **)
{
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        setup(40);
        keys(edits[i].keys);
        sees(edits[i].want);
    }
}

static void test_bells(void **)
{
    static const char *const silent_refusals[] = {
        "\x02", "\x06", "\x04",   "\x08",   "\x0b",    "\x15",  "\x17",   "\x19", "\x14",
        "\x10", "\x0e", "\x1b[A", "\x1b[B", "\x1b[3~", "\x1bz", "\x1b[z", "\x12", "\t"};

    for (size_t i = 0; i < ARRAY_SIZE(silent_refusals); i++) {
        setup(40);
        keys(silent_refusals[i]);
        sees("> |");
        assert_int_equal(screen.bells, 1);
    }
}

static void test_line_ends(void **)
{
    setup(40);
    assert_int_equal(keys("one\r"), EDITOR_DONE);
    assert_string_equal(e.line, "one");
    assert_int_equal(keys("\n"), EDITOR_MORE);
    assert_int_equal(keys("lost"), EDITOR_MORE); /* not active */
    editor_start(&e);
    assert_int_equal(keys("two\n"), EDITOR_DONE);
    editor_start(&e);
    keys("x\r");
    editor_start(&e);
    assert_int_equal(keys("\n"), EDITOR_MORE); /* belongs to the CR before */
    assert_int_equal(keys("\n"), EDITOR_DONE);
    assert_string_equal(e.line, "");
}

static void test_history(void **)
{
    setup(40);
    submit("first");
    submit("second");
    submit("second");
    submit("");
    keys("new\x10");
    sees("> second|");
    keys("\x1b[A");
    sees("> first|");
    keys("\x10");
    assert_int_equal(screen.bells, 1);
    sees("> first|");
    keys("\x0e\x0e");
    sees("> new|");
    for (int i = 0; i < EDITOR_HISTORY + 3; i++) {
        char line[16];
        snprintf(line, sizeof(line), "line%d", i);
        keys("\x15");
        submit(line);
    }
    for (int i = 0; i < EDITOR_HISTORY + 5; i++)
        keys("\x10");
    sees("> line3|");
    assert_string_equal(editor_history(&e, 0), "line18");
    assert_null(editor_history(&e, EDITOR_HISTORY));
}

static void test_narrow(void **)
{
    setup(20); /* 17 characters beside the prompt */
    keys("abcdefghijklmnopq");
    sees("> abcdefghijklmnopq|");
    keys("rs");
    assert_int_equal(screen.row, 0);
    assert_int_equal(screen.cell[0][screen.column - 1], 's');
    keys("\x01");
    sees("> |abcdefghijklmnopq");
    keys("\x05");
    assert_int_equal(screen.cell[0][screen.column - 1], 's');
    assert_int_equal(screen.row, 0);
}

static void test_full(void **)
{
    setup(80);
    for (int i = 0; i < EDITOR_LINE - 1; i++)
        keys("a");
    assert_false(e.overflow);
    assert_int_equal(screen.bells, 0);
    keys("b");
    assert_true(e.overflow);
    assert_int_equal(screen.bells, 1);
    keys("\x01\x0b");
    assert_false(e.overflow);
    keys("\x19");
    assert_int_equal(e.len, EDITOR_LINE - 1);
    keys("\x19");
    assert_int_equal(e.len, EDITOR_LINE - 1);
}

static void complete_words(void *, const char *text, struct completions *c)
{
    static const char *const words[] = {"regs", "reset", "resume", "stat"};

    c->start = (u16)strspn(text, " ");
    c->prefix = text + c->start;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        completions_add(c, words[i]);
}

static void test_completion(void **)
{
    setup(40);
    e.complete = complete_words;
    keys(" s\t");
    sees(">  stat |");
    keys("\x15r\t");
    sees("> re|");
    keys("\t");
    assert_string_equal(screen_row(&screen, screen.row - 1), "regs  reset  resume");
    sees("> re|");
    keys("s\t");
    sees("> res|");
    keys("u\x02\x02\x06\t"); /* inside a word: what stands before the cursor counts */
    assert_string_equal(screen_row(&screen, screen.row - 1), "reset  resume");
    keys("\x15x\t");
    sees("> x|u");
    assert_int_equal(screen.bells, 1);
}

static void complete_many(void *, const char *text, struct completions *c)
{
    c->prefix = text;
    for (int i = 0; i < 400; i++) {
        char word[24];
        snprintf(word, sizeof(word), "word%d", i);
        completions_add(c, word);
    }
}

static void test_many_candidates(void **)
{
    setup(30);
    e.complete = complete_many;
    keys("w\t\t");
    sees("> word|");
    assert_true(strlen(screen_row(&screen, screen.row - 2)) <= 29);
    assert_non_null(strstr(screen_row(&screen, screen.row - 1), "..."));
}

static void test_machine(void **)
{
    setup(40);
    e.echo = false;
    screen_init(&screen, 40);
    editor_start(&e);
    keys("ab\x02\x1b\tX\x7f"
         "c");
    assert_int_equal(keys("\n"), EDITOR_DONE);
    assert_string_equal(e.line, "ab\tc");
    assert_int_equal(screen.row + screen.column, 0);
    editor_start(&e);
    for (int i = 0; i < 300; i++)
        keys("x");
    assert_true(e.overflow);
}

/* Whatever comes, the row shown is the row drawn from scratch, and the cursor is where it is. */
static void check_drawing(void)
{
    struct screen fresh;
    struct sink *out = e.out;
    u16 view = e.view;

    screen_init(&fresh, screen.columns);
    e.out = &fresh.sink;
    editor_show(&e);
    e.out = out;
    assert_int_equal(view, e.view);
    assert_int_equal(fresh.column, screen.column);
    assert_string_equal(screen_row(&fresh, 0), screen_row(&screen, screen.row));
    assert_true(screen.unknown == 0 && e.cursor <= e.len && e.len < EDITOR_LINE);
    assert_int_equal(strlen(e.line), e.len);
}

static u8 random_key(void)
{
    static const char likely_keys[] =
        "\x01\x02\x05\x06\x10\x0e\x14\x17\x19\x0b\x04\x1b[ABCDabc  ~3";

    if (rand() % 4 == 0)
        return (u8)rand();
    if (rand() % 2)
        return (u8)likely_keys[(size_t)rand() % (sizeof(likely_keys) - 1)];
    return (u8)('a' + rand() % 26);
}

static void test_random(void **)
{
    srand(3);
    for (int round = 0; round < 40; round++) {
        setup((u16)(12 + rand() % 80));
        e.complete = rand() % 2 ? complete_words : NULL;
        for (int i = 0; i < 1500; i++) {
            u8 key = random_key();

            if (editor_input(&e, key) == EDITOR_DONE)
                editor_start(&e);
            check_drawing();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),       cmocka_unit_test(test_bells),
        cmocka_unit_test(test_line_ends),  cmocka_unit_test(test_history),
        cmocka_unit_test(test_narrow),     cmocka_unit_test(test_full),
        cmocka_unit_test(test_completion), cmocka_unit_test(test_many_candidates),
        cmocka_unit_test(test_machine),    cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
