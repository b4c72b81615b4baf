/* SPDX-License-Identifier: MIT
 *
 * lib/format.c against the C library's snprintf: every combination of flags, a set of widths,
 * precisions, lengths and values, then random ones; and the parts that have no counterpart there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/format.h"

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat"

static const u64 values[] = {0,          1,           9,           10,
                             127,        128,         255,         256,
                             0x7fff,     0x8000,      0xffff,      0x7fffffff,
                             0x80000000, 0xffffffff,  0x100000000, ~0ull >> 1,
                             1ull << 63, ~0ull - 999, ~0ull,       1234567890123456789ull};

/* Both formatters on the same arguments; fails when they differ. */
#define SAME(fmt, ...)                                                                     \
    do {                                                                                   \
        char a[512], b[512];                                                               \
        size_t mine = format_buf(a, sizeof(a), fmt, __VA_ARGS__);                          \
        int libc = snprintf(b, sizeof(b), fmt, __VA_ARGS__);                               \
        if (strcmp(a, b) != 0 || (int)mine != libc)                                        \
            fail_msg("\"%s\": got \"%s\" (%zu), libc \"%s\" (%d)", fmt, a, mine, b, libc); \
    } while (0)

static void one_number(const char *flags, const char *width, const char *precision,
                       const char *length, char conversion, u64 value)
{
    char fmt[64];

    snprintf(fmt, sizeof(fmt), "<%%%s%s%s%s%c>", flags, width, precision, length, conversion);
    if (strcmp(length, "") == 0 || length[0] == 'h')
        SAME(fmt, (unsigned)value);
    else
        SAME(fmt, value);
}

static void flags_text(char *out, unsigned bits)
{
    for (unsigned i = 0; i < 5; i++)
        if (bits >> i & 1)
            *out++ = "-0+# "[i];
    *out = 0;
}

static void test_systematic(void **)
{
    static const char *const widths[] = {"", "1", "5", "12", "30"};
    static const char *const precisions[] = {"", ".", ".0", ".1", ".7", ".25"};
    static const char *const lengths[] = {"", "hh", "h", "l", "ll", "z", "j", "t"};
    char flags[6];

    for (unsigned f = 0; f < 32; f++) {
        flags_text(flags, f);
        for (size_t w = 0; w < ARRAY_SIZE(widths); w++)
            for (size_t p = 0; p < ARRAY_SIZE(precisions); p++)
                for (size_t l = 0; l < ARRAY_SIZE(lengths); l++)
                    for (size_t v = 0; v < ARRAY_SIZE(values); v++)
                        for (const char *c = "diuxX"; *c; c++)
                            one_number(flags, widths[w], precisions[p], lengths[l], *c, values[v]);
    }
}

static void test_random(void **)
{
    static const char *const lengths[] = {"", "hh", "h", "l", "ll", "z", "j", "t"};

    srand(7);
    for (int i = 0; i < 200000; i++) {
        char flags[6], width[8] = "", precision[8] = "";
        u64 value = ((u64)rand() << 33 ^ (u64)rand() << 11 ^ (u64)rand()) >> rand() % 64;

        flags_text(flags, (unsigned)rand() % 32);
        if (rand() % 2)
            snprintf(width, sizeof(width), "%d", 1 + rand() % 40);
        if (rand() % 2)
            snprintf(precision, sizeof(precision), ".%d", rand() % 40);
        one_number(flags, width, precision, lengths[rand() % 8], "diuxX"[rand() % 5], value);
    }
}

static void test_text(void **)
{
    static const char *const formats[] = {"<%s>",     "<%10s>",   "<%-10s>", "<%.3s>",
                                          "<%10.2s>", "<%-7.0s>", "<%.s>",   "%s%%"};
    static const char *const texts[] = {"", "a", "abc", "a longer text than that"};

    for (size_t f = 0; f < ARRAY_SIZE(formats); f++)
        for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
            SAME(formats[f], texts[t]);
    SAME("%c|%5c|%-5c|%c", 'a', 'b', 'c', 0x80);
    SAME("%*d|%*d|%-*d", 8, 42, -8, 42, 5, 42);
    SAME("%.*d|%.*s|%.*x", -1, 42, 2, "abc", 0, 0);
    SAME("%p %20p", (void *)0x1234, (void *)UINTPTR_MAX);
    SAME("%s plain %d %s", "x", -5, "y");
    SAME("%%%d%%", 3);
}

static void test_not_terminated(void **)
{
    char text[3] = {'a', 'b', 'c'}; /* a precision bounds the read: ASan watches */
    char buf[8];

    assert_int_equal(format_buf(buf, sizeof(buf), "%.3s", text), 3);
    assert_string_equal(buf, "abc");
}

static void test_own(void **)
{
    const char *volatile none = NULL; /* volatile: the compiler would complain */
    char buf[32];

    format_buf(buf, sizeof(buf), "%s", none);
    assert_string_equal(buf, "(null)");
    format_buf(buf, sizeof(buf), "%p", (void *)NULL);
    assert_string_equal(buf, "0x0");
    format_buf(buf, sizeof(buf), "%y %d", 7);
    assert_string_equal(buf, "%y 7");
    format_buf(buf, sizeof(buf), "100%");
    assert_string_equal(buf, "100%");
}

static void test_cut(void **)
{
    const char *volatile absurd = "%100000000000d";
    char buf[8] = "zzzzzzz";

    assert_int_equal(format_buf(buf, 0, "%d", 12345), 5);
    assert_string_equal(buf, "zzzzzzz");
    assert_int_equal(format_buf(buf, 1, "%d", 12345), 5);
    assert_string_equal(buf, "");
    assert_int_equal(format_buf(buf, 4, "%d", 12345), 5);
    assert_string_equal(buf, "123");
    assert_int_equal(format_buf(NULL, 0, "%4095d", 1), 4095); /* the most C asks for */
    assert_true(format_buf(NULL, 0, absurd, 1) < 5000);
}

static void test_buf_sink(void **)
{
    struct buf_sink b;
    char buf[6];

    buf_sink_init(&b, buf, sizeof(buf));
    sink_printf(&b.sink, "%s", "abc");
    sink_printf(&b.sink, "%s", "def");
    assert_string_equal(buf, "abcde");
    assert_int_equal(b.len, 5);
    assert_int_equal(b.lost, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_systematic), cmocka_unit_test(test_random),
        cmocka_unit_test(test_text),       cmocka_unit_test(test_not_terminated),
        cmocka_unit_test(test_own),        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_buf_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
