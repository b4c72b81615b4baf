/* SPDX-License-Identifier: MIT
 *
 * lib/string.c against the C library (the build renames ours to lib_...), and lib/text.c, status.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bits.h"
#include "lib/ring.h"
#include "lib/status.h"

void *lib_memcpy(void *restrict dst, const void *restrict src, size_t n);
void *lib_memmove(void *dst, const void *src, size_t n);
void *lib_memset(void *dst, int c, size_t n);
int lib_memcmp(const void *a, const void *b, size_t n);
size_t lib_strlen(const char *s);
int lib_strcmp(const char *a, const char *b);
int lib_strncmp(const char *a, const char *b, size_t n);
char *lib_strchr(const char *s, int c);
bool str_copy(char *dst, size_t cap, const char *src);

static u8 ours[320], theirs[320];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(ours); i++)
        ours[i] = theirs[i] = (u8)rand();
}

static int sign(int x) { return (x > 0) - (x < 0); }

static void test_memory(void **)
{
    srand(1);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % 65, from = (size_t)rand() % 64, to = (size_t)rand() % 64;

        fill();
        assert_ptr_equal(lib_memmove(ours + to, ours + from, n), ours + to);
        memmove(theirs + to, theirs + from, n);
        assert_memory_equal(ours, theirs, sizeof(ours));

        assert_ptr_equal(lib_memcpy(ours + 130 + to, ours + from, n), ours + 130 + to);
        memcpy(theirs + 130 + to, theirs + from, n);
        assert_memory_equal(ours, theirs, sizeof(ours));

        assert_ptr_equal(lib_memset(ours + to, i, n), ours + to);
        memset(theirs + to, i, n);
        assert_memory_equal(ours, theirs, sizeof(ours));

        assert_int_equal(sign(lib_memcmp(ours + to, ours + from, n)),
                         sign(memcmp(ours + to, ours + from, n)));
    }
    assert_int_equal(lib_memcmp("a\0b", "a\0b", 3), 0);
    assert_true(lib_memcmp("a\0b", "a\0c", 3) < 0);
    assert_true(lib_memcmp("\x80", "\x7f", 1) > 0);
}

static void test_strings(void **)
{
    static const char *const words[] = {"",    "a",    "b",    "ab",     "abc",
                                        "abd", "\xff", "\x01", "abc\xff"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        assert_int_equal(lib_strlen(words[i]), strlen(words[i]));
        for (int c = -1; c < 256; c++)
            assert_ptr_equal(lib_strchr(words[i], c), strchr(words[i], c));
        for (size_t j = 0; j < ARRAY_SIZE(words); j++) {
            assert_int_equal(sign(lib_strcmp(words[i], words[j])),
                             sign(strcmp(words[i], words[j])));
            for (size_t n = 0; n < 6; n++)
                assert_int_equal(sign(lib_strncmp(words[i], words[j], n)),
                                 sign(strncmp(words[i], words[j], n)));
        }
    }
}

static void test_str_copy(void **)
{
    char buf[4] = "xyz";

    assert_false(str_copy(buf, 0, "a"));
    assert_string_equal(buf, "xyz");
    assert_true(str_copy(buf, 4, "abc"));
    assert_string_equal(buf, "abc");
    assert_false(str_copy(buf, 4, "defg"));
    assert_string_equal(buf, "def");
    assert_false(str_copy(buf, 1, "a"));
    assert_string_equal(buf, "");
    assert_true(str_copy(buf, 1, ""));
}

static void test_bits(void **)
{
    assert_int_equal(bits_get(0x12345678, 15, 8), 0x56);
    assert_true(bits_get(~0ull, 63, 0) == ~0ull);
    assert_true(align_up(0x1001, 0x1000) == 0x2000 && align_down(0x1fff, 0x1000) == 0x1000);
    assert_true(align_up(0x1000, 0x1000) == 0x1000 && align_up(~0ull, 0x1000) == 0);
    assert_true(range_within(0, 10, 10) && range_within(10, 0, 10));
    assert_false(range_within(1, 10, 10) || range_within(~0ull, 2, 10));
    assert_true(ranges_overlap(0, 10, 9, 1) && ranges_overlap(9, 1, 0, 10));
    assert_false(ranges_overlap(0, 10, 10, 1) || ranges_overlap(0, 0, 0, 1));
    assert_true(ranges_overlap(~0ull - 1, 2, ~0ull, 1));
    assert_true(mask_bytes(1) == 0xff && mask_bytes(4) == 0xffffffff && mask_bytes(8) == ~0ull);
}

static void test_ring(void **)
{
    u8 storage[4];
    struct ring r = RING_INIT(storage);

    r.head = r.tail = 0xfffffffe; /* the counters run over */
    assert_int_equal(ring_get(&r), -1);
    for (u8 i = 0; i < 4; i++)
        assert_true(ring_put(&r, (u8)(250 + i)));
    assert_false(ring_put(&r, 1));
    assert_int_equal(ring_used(&r), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ring_get(&r), 250 + i);
    assert_int_equal(ring_get(&r), -1);
    assert_int_equal(ring_room(&r), 4);
}

static void test_status(void **)
{
    assert_string_equal(status_text(STATUS_OK), "ok");
    assert_string_equal(status_text(STATUS_ETIMEOUT), "timed out");
    assert_string_equal(status_name(STATUS_ERANGE), "ERANGE");
    assert_string_equal(status_text((enum status)1000), "unknown status");
    assert_string_equal(status_name((enum status) - 1), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_strings),
        cmocka_unit_test(test_str_copy), cmocka_unit_test(test_bits),
        cmocka_unit_test(test_ring),     cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
