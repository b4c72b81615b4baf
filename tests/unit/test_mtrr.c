/* SPDX-License-Identifier: MIT
 *
 * Memory types: a PC's usual MTRRs, the precedence rules of SDM vol. 3A, section 11.11.4.1, and
 * random register contents against the rule applied page by page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arch/x86/mtrr.c"

/* 3 GiB of write-back RAM with a hole below 4 GiB, as firmware sets it. */
static struct mtrr_state usual(void)
{
    struct mtrr_state m = {
        .present = true, .def_type = 0xc06, .variable_count = 2, .phys_bits = 36};

    for (unsigned i = 0; i < ARRAY_SIZE(m.fixed); i++)
        m.fixed[i] = i < 16 ? MEMTYPE_WB : i < 24 ? MEMTYPE_UC : MEMTYPE_WP;
    m.base[0] = 0xc0000000 | MEMTYPE_UC;
    m.mask[0] = 0xfc0000000 | 0x800;
    m.base[1] = 0xd0000000 | MEMTYPE_WC; /* inside: UC wins */
    m.mask[1] = 0xff0000000 | 0x800;
    return m;
}

static void test_usual(void **)
{
    static const struct {
        u64 at, size;
        enum memtype type;
        bool uniform;
    } cases[] = {
        {0, 0xa0000, MEMTYPE_WB, true},
        {0, 0xa0001, MEMTYPE_WB, false},
        {0xa0000, 0x20000, MEMTYPE_UC, true},
        {0xbf000, 0x2000, MEMTYPE_UC, false},
        {0xc0000, 0x40000, MEMTYPE_WP, true},
        {0xff000, 0x2000, MEMTYPE_WP, false},
        {0x100000, 0xbff00000, MEMTYPE_WB, true},
        {0x40000000, 0x80000001, MEMTYPE_WB, false},
        {0xc0000000, 0x40000000, MEMTYPE_UC, true},
        {0xd0000000, 0x1000, MEMTYPE_UC, true},
        {0xfffff000, 0x2000, MEMTYPE_UC, false},
        {0x100000000, 0x40000000, MEMTYPE_WB, true},
    };
    struct mtrr_state m = usual();
    bool uniform;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(mtrr_type_of(&m, cases[i].at, cases[i].size, &uniform), cases[i].type);
        assert_int_equal(uniform, cases[i].uniform);
    }
    m.def_type &= ~0x400ull; /* fixed ranges off */
    assert_int_equal(mtrr_type_of(&m, 0xa0000, 0x1000, NULL), MEMTYPE_WB);
    m.def_type &= ~0x800ull; /* all off: uncached */
    assert_int_equal(mtrr_type_of(&m, 0x100000, 0x1000, NULL), MEMTYPE_UC);
    m.present = false;
    assert_int_equal(mtrr_type_of(&m, 0, 1ull << 36, &uniform), MEMTYPE_WB);
    assert_true(uniform);
}

/* The rule of section 11.11.4.1 for one page above 1 MiB. */
static enum memtype rule(const struct mtrr_state *m, u64 at)
{
    bool wb = false, wt = false, other = false;
    enum memtype type = (enum memtype)(m->def_type & 0xff);
    unsigned hits = 0;

    for (unsigned i = 0; i < m->variable_count; i++) {
        u64 mask = m->mask[i] & 0xffffff000;
        if (!(m->mask[i] & 0x800) || (at & mask) != (m->base[i] & mask))
            continue;
        enum memtype t = (enum memtype)(m->base[i] & 0xff);
        if (t == MEMTYPE_UC)
            return MEMTYPE_UC;
        other |= hits && t != type &&
                 (t == MEMTYPE_WC || t == MEMTYPE_WP || type == MEMTYPE_WC || type == MEMTYPE_WP);
        wb |= t == MEMTYPE_WB;
        wt |= t == MEMTYPE_WT;
        type = t;
        hits++;
    }
    if (other)
        return MEMTYPE_UC;
    return wb && wt ? MEMTYPE_WT : type;
}

#define WINDOW 0x800000ull /* what is compared, by pages, from `start` up */

static void test_random(void **)
{
    static const u8 types[] = {MEMTYPE_UC, MEMTYPE_WC, MEMTYPE_WT, MEMTYPE_WP, MEMTYPE_WB};
    const u64 start = 0x40000000;

    srand(3);
    for (unsigned round = 0; round < 300; round++) {
        struct mtrr_state m = {.present = true, .phys_bits = 36, .variable_count = 5};
        m.def_type = 0x800u | types[rand() % 5];
        for (unsigned i = 0; i < m.variable_count; i++) {
            u64 size = 0x1000ull << rand() % 12;
            m.base[i] = ((start + (unsigned)rand() % WINDOW) & ~(size - 1)) | types[rand() % 5];
            m.mask[i] = (0xfffffffffull & ~(size - 1)) | (rand() % 8 ? 0x800 : 0);
            if (rand() % 6 == 0) /* a mask with a hole is allowed: it matches several ranges */
                m.mask[i] &= ~(0x1000ull << rand() % 12);
        }
        enum memtype first = rule(&m, start);
        u64 end = start;
        while (end < start + WINDOW && rule(&m, end) == first)
            end += PAGE_SIZE;
        bool uniform;
        assert_int_equal(mtrr_type_of(&m, start, end - start, &uniform), first);
        assert_true(uniform);
        if (end < start + WINDOW) {
            assert_int_equal(mtrr_type_of(&m, start, end - start + 1, &uniform), first);
            assert_false(uniform);
        }
        for (u64 at = start; at < start + WINDOW; at += 0x7000)
            assert_int_equal(mtrr_type_of(&m, at, 0x1000, NULL), rule(&m, at));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_usual), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
