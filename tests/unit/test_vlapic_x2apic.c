/* SPDX-License-Identifier: MIT
 *
 * IA32_APIC_BASE and x2APIC mode against SDM vol. 3A, chapter 10 (sections named at each test).
 */
#include "vlapic.h"

/* 10.12.5, figure 10-27: what IA32_APIC_BASE may become. */
static void base_transitions(void **)
{
    const u64 off = 0xfee00100, xapic = 0xfee00900, x2 = 0xfee00d00;

    assert_false(wrmsr(0, 0x1b, 0xfee00500)); /* EXTD without EN */
    assert_false(wrmsr(0, 0x1b, xapic | 1));  /* reserved bits */
    assert_false(wrmsr(0, 0x1b, xapic | 0x200));
    assert_false(wrmsr(0, 0x1b, xapic | 1ull << 52));
    assert_false(wrmsr(0, 0x1b, 0xfed00900)); /* relocation is refused */
    assert_true(wrmsr(0, 0x1b, off));
    assert_false(wrmsr(0, 0x1b, x2)); /* off to x2APIC */
    assert_int_equal(msr_value(0, 0x1b), off);
    assert_true(wrmsr(0, 0x1b, xapic));
    wr(0, SVR, 0x1ff);
    wr(0, TPR, 0x20);
    wr(0, ICR2, 0x3000000);
    assert_true(wrmsr(0, 0x1b, x2));
    assert_int_equal(msr_value(0, 0x808), 0x20); /* state is kept */
    assert_int_equal(msr_value(0, 0x80f), 0x1ff);
    assert_int_equal(msr_value(0, 0x830) >> 32, 0);
    assert_int_equal(rd(0, TPR), 0xffffffff); /* the page is not there */
    wr(0, TPR, 0);
    assert_int_equal(msr_value(0, 0x808), 0x20);
    assert_false(wrmsr(0, 0x1b, xapic)); /* no way back */
    assert_true(wrmsr(0, 0x1b, off));
    assert_true(wrmsr(0, 0x1b, xapic));
    assert_int_equal(rd(0, TPR), 0);
}

/* 10.12.1.2, table 10-6: MSRs of x2APIC mode. */
static void x2apic_msrs(void **)
{
    u64 value;
    static const u8 absent[] = {0x00, 0x01, 0x04, 0x07, 0x09, 0x0c, 0x0e,
                                0x29, 0x2e, 0x2f, 0x31, 0x3a, 0x3d};
    static const u8 read_only[] = {0x02, 0x03, 0x0a, 0x0d, 0x10, 0x17, 0x18, 0x20, 0x27, 0x39};

    assert_false(rdmsr(1, 0x802, &value)); /* not in xAPIC mode */
    assert_false(wrmsr(1, 0x80b, 0));
    for (unsigned i = 0; i < 4; i++)
        assert_true(wrmsr(i, 0x1b, 0xfee00c00));
    assert_int_equal(msr_value(3, 0x802), 3);
    assert_int_equal(msr_value(3, 0x80d), 8);
    for (unsigned i = 0; i < sizeof absent; i++) {
        assert_false(rdmsr(1, 0x800u + absent[i], &value));
        assert_false(wrmsr(1, 0x800u + absent[i], 0));
    }
    for (unsigned i = 0; i < sizeof read_only; i++) {
        assert_true(rdmsr(1, 0x800u + read_only[i], &value));
        assert_false(wrmsr(1, 0x800u + read_only[i], 0));
    }
    assert_false(rdmsr(1, 0x80b, &value)); /* EOI and self-IPI are write-only */
    assert_false(rdmsr(1, 0x83f, &value));
    assert_false(wrmsr(1, 0x80b, 1));
    assert_true(wrmsr(1, 0x80b, 0));
    assert_false(wrmsr(1, 0x828, 1));
    assert_true(wrmsr(1, 0x828, 0));
    assert_false(wrmsr(1, 0x808, 0x100));
    assert_false(wrmsr(1, 0x808, 1ull << 32));
    assert_true(wrmsr(1, 0x808, 0xf0));
    assert_true(wrmsr(1, 0x808, 0));
    assert_false(wrmsr(1, 0x83e, 4));
    assert_false(wrmsr(1, 0x83f, 0x100));
    assert_false(wrmsr(1, 0x80f, 0x2000));
    assert_false(wrmsr(1, 0x832, 0x60000)); /* timer mode 3 is reserved */
    assert_false(wrmsr(1, 0x832, 0x100));
    assert_true(wrmsr(1, 0x832, 0x40040));
    assert_false(wrmsr(1, 0x830, 1u << 13));
    assert_false(wrmsr(1, 0x830, 3u << 16));
    assert_false(wrmsr(1, 0x830, 1u << 20));
    assert_true(wrmsr(1, 0x83f, 0x66));
    assert_int_equal(pending(1), 0x66);
    assert_true(wrmsr(1, 0x830, 0x200000067));
    assert_int_equal(pending(2), 0x67);
    assert_int_equal(msr_value(1, 0x830), 0x200000067);
}

/* 10.12.9, 10.12.10: destinations of x2APIC mode. */
static void x2apic_destinations(void **)
{
    start(16);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(wrmsr(i, 0x1b, 0xfee00c00));
        assert_true(wrmsr(i, 0x80f, 0x1ff));
        assert_int_equal(msr_value(i, 0x80d), 1u << i);
    }
    assert_true(wrmsr(0, 0x830, 0x0000810000000844)); /* cluster 0: 8 and 15 */
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(pending(i), i == 8 || i == 15 ? 0x44 : -1);
    assert_true(wrmsr(0, 0x830, 0x0001000100000850)); /* cluster 1: nobody */
    assert_int_equal(pending(0), -1);
    assert_true(wrmsr(0, 0x830, 0xffffffff00000051)); /* everybody */
    assert_true(wrmsr(0, 0x830, 0x000000ff00000052)); /* FFH is an ID like any other */
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(pending(i), 0x51);
    /* 8-bit messages of the I/O APIC: FFH is everybody. */
    assert_true(vlapic_deliver(&set, 0xff, false, APIC_FIXED, 0x53, false));
    assert_true(vlapic_deliver(&set, 0x0f, false, APIC_FIXED, 0x54, false));
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(pending(i), i == 15 ? 0x54 : 0x53);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(base_transitions),
        TEST(x2apic_msrs),
        TEST(x2apic_destinations),
    };

    return cmocka_run_group_tests_name("vlapic_x2apic", tests, NULL, NULL);
}
