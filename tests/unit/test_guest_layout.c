/* SPDX-License-Identifier: MIT
 *
 * guest/layout.c: the memory map for sizes on both sides of every border, and claims that may not
 * overlap, against a byte-per-page model.
 */
#include "guest_vm.h"

#include "guest/layout.h"

static struct layout l;
static struct load_error e;

/* The map a PC with `mem` bytes would show, from the addresses in the ACPI specification. */
static void check_map(u64 mem)
{
    u64 ram = 0, end = 0;

    assert_int_equal(layout_init(&l, mem, &e), STATUS_OK);
    for (unsigned i = 0; i < l.e820_count; i++) {
        const struct e820_entry *r = &l.e820[i];

        assert_true(r->size > 0 && r->base >= end);
        end = r->base + r->size;
        if (r->type == E820_RAM) {
            ram += r->size;
            assert_false(ranges_overlap(r->base, r->size, 0x9fc00, 0x100000 - 0x9fc00));
            assert_false(ranges_overlap(r->base, r->size, 0xc0000000, 0x40000000));
        } else {
            assert_int_equal(r->type, E820_RESERVED);
            assert_true(end <= 0x100000);
        }
    }
    assert_int_equal(ram, mem - (0x100000 - 0x9fc00));
    assert_int_equal(l.low_top + (l.high_top - 0x100000000), mem);
}

static void test_map(void **)
{
    static const u64 sizes[] = {1 * MiB, 1 * MiB + 4 * KiB, 16 * MiB, 2 * GiB,  3 * GiB - 4096,
                                3 * GiB, 3 * GiB + 4096,    4 * GiB,  64 * GiB, 1024 * GiB};

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
        check_map(sizes[i]);
}

static void test_bad_sizes(void **)
{
    static const u64 sizes[] = {0,          1,          4096,  MiB - 4096,        MiB + 1,
                                MiB + 2048, GiB + 4095, ~0ull, 1024 * GiB + 4096, ~0xfffull};

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(layout_init(&l, sizes[i], &e), STATUS_EINVAL);
        assert_non_null(strstr(e.text, "whole pages from 1M to 1024G"));
    }
}

static void test_claims(void **)
{
    assert_int_equal(layout_init(&l, 5 * GiB, &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 0x100000, 0x1000, "one", &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 0x101000, 0x1000, "two", &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 0x100fff, 1, "three", &e), STATUS_EOVERLAP);
    assert_non_null(strstr(e.text, "three (0x1 bytes at 0x100fff) overlaps one (0x1000 bytes at"));
    assert_int_equal(layout_claim(&l, 0x100000, 0, "nothing", &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 0x4ff, 1, "low", &e), STATUS_EOVERLAP);
    assert_int_equal(layout_claim(&l, 0x500, 1, "low", &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 0x9fbff, 1, "low", &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 0x9fc00, 1, "ebda", &e), STATUS_EOVERLAP);
    assert_int_equal(layout_claim(&l, 0xfffff, 1, "rom", &e), STATUS_EOVERLAP);
    assert_int_equal(layout_claim(&l, 0xbfffffff, 1, "top", &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 0xbfffffff, 2, "hole", &e), STATUS_ENOMEM);
    assert_int_equal(layout_claim(&l, 0xfee00000, 0x1000, "hole", &e), STATUS_ENOMEM);
    assert_int_equal(layout_claim(&l, 0xffffffff, 2, "hole", &e), STATUS_ENOMEM);
    assert_int_equal(layout_claim(&l, 4 * GiB, 2 * GiB, "high", &e), STATUS_OK);
    assert_int_equal(layout_claim(&l, 6 * GiB, 1, "beyond", &e), STATUS_ENOMEM);
    assert_int_equal(layout_claim(&l, ~0ull, 2, "wraps", &e), STATUS_ENOMEM);
    assert_int_equal(layout_claim(&l, 0x200000, ~0ull, "wraps", &e), STATUS_ENOMEM);
}

static void test_too_many_claims(void **)
{
    unsigned n = 0;
    enum status s;

    assert_int_equal(layout_init(&l, 16 * MiB, &e), STATUS_OK);
    while ((s = layout_claim(&l, 0x100000 + n * 16, 16, "piece", &e)) == STATUS_OK)
        n++;
    assert_int_equal(s, STATUS_ENOSPC);
    assert_int_equal(n, LAYOUT_MAX_CLAIMS - 2);
}

/* Random wants against a page map: the answer is free, aligned, inside, and the best there is. */
static void test_placement(void **)
{
    static u8 taken[4096]; /* 16 MiB in pages */
    u32 seed = 7;

    for (unsigned round = 0; round < 200; round++) {
        assert_int_equal(layout_init(&l, 16 * MiB, &e), STATUS_OK);
        memset(taken, 0, sizeof(taken));
        taken[0] = 1;
        memset(taken + 0x9f, 1, 0x100 - 0x9f);
        for (unsigned n = 0; n < 40; n++) {
            struct layout_want want;
            s64 best = -1;
            gpa_t where;
            enum status s;

            seed = seed * 1664525 + 1013904223;
            want = (struct layout_want){.size = (1 + (seed >> 8) % 300) * 4096,
                                        .align = 4096ull << (seed >> 20) % 8,
                                        .from = (seed >> 12) % 2048 * 4096ull,
                                        .below = (2048 + (seed >> 5) % 4000) * 4096ull,
                                        .highest = seed >> 31};
            for (u64 p = 0; p < 4096; p++) {
                u64 pages = want.size / 4096;

                if (p * 4096 % want.align || p * 4096 < want.from ||
                    p * 4096 + want.size > want.below || p + pages > 4096 ||
                    memchr(taken + p, 1, pages))
                    continue;
                best = (s64)p;
                if (!want.highest)
                    break;
            }
            s = layout_place(&l, &want, "a thing", &where, &e);
            assert_int_equal(s, best < 0 ? STATUS_ENOMEM : STATUS_OK);
            if (s != STATUS_OK) {
                assert_non_null(strstr(e.text, "no room for a thing"));
                continue;
            }
            assert_int_equal(where.v, best * 4096);
            memset(taken + best, 1, want.size / 4096);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),       cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_claims),    cmocka_unit_test(test_too_many_claims),
        cmocka_unit_test(test_placement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
