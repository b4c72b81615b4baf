/* SPDX-License-Identifier: MIT
 *
 * lib/parse.c: what is a number, a size, a word, and what each wrong one is called.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/parse.h"

struct number {
    const char *text;
    enum status status;
    u64 value;
};

static const struct number numbers[] = {
    {"0", STATUS_OK, 0},
    {"7", STATUS_OK, 7},
    {"010", STATUS_OK, 10},
    {"18446744073709551615", STATUS_OK, ~0ull},
    {"18446744073709551616", STATUS_ERANGE, 0},
    {"99999999999999999999999999", STATUS_ERANGE, 0},
    {"0x0", STATUS_OK, 0},
    {"0xffffffffffffffff", STATUS_OK, ~0ull},
    {"0xFFFFffffFFFFffff", STATUS_OK, ~0ull},
    {"0XaB", STATUS_OK, 0xab},
    {"0x0000000000000000000001", STATUS_OK, 1},
    {"0x10000000000000000", STATUS_ERANGE, 0},
    {"", STATUS_EFORMAT, 0},
    {"0x", STATUS_EFORMAT, 0},
    {"x1", STATUS_EFORMAT, 0},
    {"-1", STATUS_EFORMAT, 0},
    {"+1", STATUS_EFORMAT, 0},
    {" 1", STATUS_EFORMAT, 0},
    {"1 ", STATUS_EFORMAT, 0},
    {"12a", STATUS_EFORMAT, 0},
    {"0xg", STATUS_EFORMAT, 0},
    {"0x1g", STATUS_EFORMAT, 0},
    {"1K", STATUS_EFORMAT, 0},
    {"99999999999999999999999999z", STATUS_EFORMAT, 0},
};

static const struct number sizes[] = {
    {"0", STATUS_OK, 0},
    {"1K", STATUS_OK, 1024},
    {"1k", STATUS_OK, 1024},
    {"64M", STATUS_OK, 64ull << 20},
    {"3g", STATUS_OK, 3ull << 30},
    {"0x10K", STATUS_OK, 16384},
    {"17179869183G", STATUS_OK, 17179869183ull << 30},
    {"17179869184G", STATUS_ERANGE, 0},
    {"18446744073709551616", STATUS_ERANGE, 0},
    {"18446744073709551616M", STATUS_ERANGE, 0},
    {"1KB", STATUS_EFORMAT, 0},
    {"1KK", STATUS_EFORMAT, 0},
    {"K", STATUS_EFORMAT, 0},
    {"", STATUS_EFORMAT, 0},
    {"1T", STATUS_EFORMAT, 0},
    {"1 M", STATUS_EFORMAT, 0},
    {"18446744073709551616q", STATUS_EFORMAT, 0},
};

static void check(const struct number *n, enum status (*parse)(const char *, u64 *))
{
    u64 value = 42;
    enum status s = parse(n->text, &value);

    if (s != n->status || value != (s == STATUS_OK ? n->value : 42))
        fail_msg("\"%s\": got %s, %#llx", n->text, status_name(s), (unsigned long long)value);
}

static void test_u64(void **)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        check(&numbers[i], parse_u64);
}

static void test_size(void **)
{
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        check(&sizes[i], parse_size);
}

static void next(const char **cursor, enum status want, const char *word)
{
    char buf[8];
    enum status s = parse_word(cursor, buf, sizeof(buf));

    assert_int_equal(s, want);
    if (want == STATUS_OK)
        assert_string_equal(buf, word);
}

static void test_words(void **)
{
    const char *p = "  ab\tc=\"d e\"f \"\" \n\r\"x\"y\"z\"  ";

    next(&p, STATUS_OK, "ab");
    next(&p, STATUS_OK, "c=d ef");
    next(&p, STATUS_OK, "");
    next(&p, STATUS_OK, "xyz");
    next(&p, STATUS_ENOENT, NULL);
    next(&p, STATUS_ENOENT, NULL);
}

static void test_bad_words(void **)
{
    const char *fits = "1234567 1", *eight = " 12345678 x", *open = "a \"b c", *at;
    char c;

    next(&fits, STATUS_OK, "1234567");
    at = eight;
    next(&eight, STATUS_ERANGE, NULL);
    assert_ptr_equal(at, eight); /* stays where it was */
    next(&open, STATUS_OK, "a");
    at = open;
    next(&open, STATUS_EFORMAT, NULL);
    assert_ptr_equal(at, open);
    assert_int_equal(parse_word(&fits, &c, 0), STATUS_ERANGE);
    assert_int_equal(parse_word(&fits, &c, 1), STATUS_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_bad_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
