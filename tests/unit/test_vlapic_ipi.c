/* SPDX-License-Identifier: MIT
 *
 * Interrupts from one local APIC to others against SDM vol. 3A, chapter 10 (sections named at each
 * test).
 */
#include "vlapic.h"

static void send(unsigned from, u8 destination, u32 icr)
{
    wr(from, ICR2, (u32)destination << 24);
    wr(from, ICR, icr);
}

/* 10.6.1, 10.6.2.1: physical destinations, broadcast, shorthands. */
static void ipi_physical(void **)
{
    send(0, 2, 0x44);
    assert_int_equal(pending(2), 0x44);
    assert_int_equal(pending(0) & pending(1) & pending(3), -1);
    assert_int_equal(rd(0, ICR), 0x44); /* delivery status: idle */
    assert_int_equal(rd(0, ICR2), 2u << 24);
    send(0, 0xff, 0x45);
    for (unsigned i = 0; i < 4; i++)
        assert_true(bit(i, IRR, 0x45));
    wr(1, ICR2, 0);
    wr(1, ICR, 0x40046); /* self */
    assert_true(bit(1, IRR, 0x46) && !bit(0, IRR, 0x46));
    assert_false(bit(1, TMR, 0x46));
    wr(1, ICR, 0x80047); /* all including self */
    wr(1, ICR, 0xc0048); /* all excluding self */
    for (unsigned i = 0; i < 4; i++) {
        assert_true(bit(i, IRR, 0x47));
        assert_int_equal(bit(i, IRR, 0x48), i != 1);
    }
    send(0, 9, 0x49); /* nobody */
    assert_int_equal(rd(0, ESR), 0);
    send(0, 3, 0xc04a | 0xc000); /* trigger mode is for INIT only: edge */
    assert_true(bit(3, IRR, 0x4a));
    assert_false(bit(3, TMR, 0x4a));
}

/* 10.6.2.2: logical destinations, flat and cluster. */
static void ipi_logical(void **)
{
    for (unsigned i = 0; i < 4; i++) {
        wr(i, LDR, 0x1000000u << i | 0xff); /* bits 23:0 reserved */
        assert_int_equal(rd(i, LDR), 0x1000000u << i);
    }
    send(0, 0x0a, 0x844);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bit(i, IRR, 0x44), i & 1);
    /* Cluster: two clusters of two. */
    for (unsigned i = 0; i < 4; i++) {
        wr(i, DFR, 0x0fffffff);
        assert_int_equal(rd(i, DFR), 0x0fffffff);
        wr(i, LDR, (i / 2) << 28 | 1u << (24 + i % 2));
    }
    send(0, 0x13, 0x845); /* cluster 1, both */
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bit(i, IRR, 0x45), i >= 2);
    send(0, 0x02, 0x846);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bit(i, IRR, 0x46), i == 1);
    send(0, 0xff, 0x847); /* all ones reach all, in both models */
    for (unsigned i = 0; i < 4; i++)
        assert_true(bit(i, IRR, 0x47));
}

/* 10.6.2.4: lowest priority goes to one, the one with the least priority. */
static void lowest_priority(void **)
{
    unsigned got[4] = {0};

    for (unsigned i = 0; i < 4; i++)
        wr(i, TPR, i == 2 ? 0x10 : 0x20);
    assert_true(vlapic_deliver(&set, 0xff, false, APIC_LOWEST, 0x70, false));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bit(i, IRR, 0x70), i == 2);
    wr(2, TPR, 0x20);
    for (unsigned n = 0; n < 8; n++) {
        assert_true(vlapic_deliver(&set, 0xff, false, APIC_LOWEST, 0x71, false));
        for (unsigned i = 0; i < 4; i++)
            if (bit(i, IRR, 0x71)) {
                got[i]++;
                (void)accept(i);
                wr(i, EOI, 0);
                if (i == 2) { /* its 70H is still there */
                    (void)accept(i);
                    wr(i, EOI, 0);
                }
            }
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(got[i], 2); /* in turn */
    for (unsigned i = 0; i < 4; i++)
        wr(i, SVR, i == 3 ? 0x1ff : 0xff);
    assert_true(vlapic_deliver(&set, 0xff, false, APIC_LOWEST, 0x72, false));
    assert_true(bit(3, IRR, 0x72)); /* the only one that is enabled */
    wr(3, SVR, 0xff);
    assert_false(vlapic_deliver(&set, 0xff, false, APIC_LOWEST, 0x73, false));
}

/* 10.6.1: INIT, start-up and NMI messages. */
static void ipi_special(void **)
{
    send(0, 1, 0xc500); /* INIT, level assert */
    assert_int_equal(recorded.inits[1], 1);
    wr(0, ICR, 0x8500); /* de-assert: nothing since the Pentium 4 */
    assert_int_equal(recorded.inits[1], 1);
    wr(0, ICR, 0x4500); /* edge */
    assert_int_equal(recorded.inits[1], 2);
    wr(0, ICR, 0x4699);
    assert_int_equal(recorded.sipis[1], 1);
    assert_int_equal(recorded.sipi_vector, 0x99);
    wr(0, ICR, 0x4602); /* vectors below 16 are good pages */
    assert_int_equal(recorded.sipi_vector, 2);
    wr(0, ICR, 0x400);
    assert_int_equal(recorded.nmis[1], 1);
    wr(0, ICR, 0xc4500); /* all but self */
    assert_int_equal(recorded.inits[0], 0);
    assert_int_equal(recorded.inits[2] + recorded.inits[3], 2);
    wr(0, ICR, 0x84500); /* to all: not to oneself */
    assert_int_equal(recorded.inits[0], 0);
    wr(0, ICR, 0x44500);
    assert_int_equal(recorded.inits[0], 0);
    assert_int_equal(rd(0, ESR), 0);
    assert_int_equal(recorded.sipis[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ipi_physical),
        TEST(ipi_logical),
        TEST(lowest_priority),
        TEST(ipi_special),
    };

    return cmocka_run_group_tests_name("vlapic_ipi", tests, NULL, NULL);
}
