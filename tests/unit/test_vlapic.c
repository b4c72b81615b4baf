/* SPDX-License-Identifier: MIT
 *
 * Local APICs against SDM vol. 3A, chapter 10 (sections named at each test).  Their timers, the
 * messages between them and x2APIC mode have tests of their own.
 */
#include "vlapic.h"

/* 10.4.7.1: state after power-up. */
static void power_on_state(void **)
{
    static const u16 zero[] = {TPR, PPR, LDR,  ISR,   ISR + 0x70, IRR,  IRR + 0x70, TMR,
                               ESR, ICR, ICR2, TMICT, TMCCT,      TDCR, APR,        RRD};
    static const u16 masked[] = {LVT_TIMER, 0x330, 0x340, LVT_LINT0, LVT_LINT1, LVT_ERROR};

    start(3);
    for (unsigned cpu = 0; cpu < 3; cpu++) {
        for (unsigned i = 0; i < ARRAY_SIZE(zero); i++)
            assert_int_equal(rd(cpu, zero[i]), 0);
        for (unsigned i = 0; i < ARRAY_SIZE(masked); i++)
            assert_int_equal(rd(cpu, masked[i]), MASKED);
        assert_int_equal(rd(cpu, DFR), 0xffffffff);
        assert_int_equal(rd(cpu, SVR), 0xff);
        assert_int_equal(rd(cpu, ID), cpu << 24);
        assert_int_equal(rd(cpu, VERSION) & 0xff, 0x15); /* 10H-15H: integrated */
        assert_int_equal(rd(cpu, VERSION) >> 16 & 0xff, 5);
        assert_int_equal(msr_value(cpu, 0x1b), 0xfee00800 | (cpu == 0 ? 0x100 : 0));
        assert_int_equal(pending(cpu), -1);
    }
    assert_false(msr_is_claimed(0x7ff));
    assert_false(msr_is_claimed(0x840));
}

static void refuses_configurations(void **)
{
    fake_start(HZ);
    assert_int_equal(vlapic_init(&set, 0, &fake_bus, &fake_clock, &recorder), STATUS_EINVAL);
    assert_int_equal(vlapic_init(&set, 17, &fake_bus, &fake_clock, &recorder), STATUS_EINVAL);
    assert_ok(vlapic_init(&set, 16, &fake_bus, &fake_clock, &recorder));
    assert_int_equal(vlapic_init(&set, 16, &fake_bus, &fake_clock, &recorder), STATUS_EOVERLAP);
}

/* 10.8.3, 10.8.4, 10.8.5: IRR to ISR by priority, EOI. */
static void priorities(void **)
{
    assert_true(vlapic_deliver(&set, 0, false, APIC_FIXED, 0x31, false));
    assert_true(vlapic_deliver(&set, 0, false, APIC_FIXED, 0x52, false));
    assert_true(vlapic_deliver(&set, 0, false, APIC_FIXED, 0x51, false));
    assert_true(bit(0, IRR, 0x31) && bit(0, IRR, 0x52) && !bit(0, ISR, 0x52));
    assert_int_equal(pending(0), 0x52);
    assert_int_equal(pending(0), 0x52); /* asking changes nothing */
    assert_int_equal(accept(0), 0x52);
    assert_false(bit(0, IRR, 0x52));
    assert_true(bit(0, ISR, 0x52));
    assert_int_equal(rd(0, PPR), 0x50);
    assert_int_equal(pending(0), -1); /* 51H is of the same class */
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0xef, false);
    serve(0, 0xef);
    assert_false(bit(0, ISR, 0xef));
    assert_int_equal(pending(0), -1);
    wr(0, EOI, 0);
    serve(0, 0x51);
    serve(0, 0x31);
    wr(0, EOI, 0); /* one too many */
    assert_int_equal(pending(0), -1);
    assert_int_equal(eois, 0); /* all were edge-triggered */
    for (unsigned v = 16; v < 256; v++)
        assert_true(vlapic_deliver(&set, 0, false, APIC_FIXED, (u8)v, false));
    for (unsigned v = 255; v >= 16; v--) {
        assert_int_equal(pending(0), v);
        serve(0, v);
    }
    assert_int_equal(pending(0), -1);
}

/* 10.8.3.1, 10.8.6: TPR, PPR, CR8. */
static void task_priority(void **)
{
    wr(0, TPR, 0x35);
    assert_int_equal(rd(0, TPR), 0x35);
    assert_int_equal(rd(0, PPR), 0x35);
    assert_int_equal(intc.ops->read_cr8(intc.ctx, 0), 3);
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0x3f, false);
    assert_int_equal(pending(0), -1);
    recorded.kicks[0] = 0;
    intc.ops->write_cr8(intc.ctx, 0, 2);
    assert_int_equal(rd(0, TPR), 0x20);
    assert_int_equal(recorded.kicks[0], 1);
    assert_int_equal(accept(0), 0x3f);
    assert_int_equal(rd(0, PPR), 0x30); /* ISRV's class, low bits 0 */
    wr(0, TPR, 0x37);
    assert_int_equal(rd(0, PPR), 0x37); /* equal classes: all of TPR */
    wr(0, EOI, 0);
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0x40, false);
    assert_int_equal(pending(0), 0x40);
    wr(0, TPR, 0x1ff); /* bits 31:8 are reserved */
    assert_int_equal(rd(0, TPR), 0xff);
    assert_int_equal(pending(0), -1);
    assert_int_equal(accept(0), 0xff); /* 10.9: the spurious vector, nothing in service */
    assert_int_equal(rd(0, ISR + 0x70), 0);
}

/* 10.8.4: TMR; 10.8.5: EOI message for level-triggered interrupts, and its suppression. */
static void level_and_eoi(void **)
{
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0x41, true);
    assert_true(bit(0, TMR, 0x41));
    serve(0, 0x41);
    assert_int_equal(eois, 1);
    assert_int_equal(eoi_vector, 0x41);
    assert_true(rd(0, VERSION) & 1u << 24);
    wr(0, SVR, 0x11ff);
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0x41, true);
    (void)accept(0);
    wr(0, EOI, 0);
    assert_int_equal(eois, 1);
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0x41, false);
    assert_false(bit(0, TMR, 0x41));
}

/* 10.4.7.2: software disable. */
static void software_disable(void **)
{
    wr(0, LVT_TIMER, 0x40);
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0x41, false);
    wr(0, SVR, 0xff);
    assert_int_equal(rd(0, LVT_TIMER), 0x40 | MASKED);
    wr(0, LVT_TIMER, 0x40);
    assert_int_equal(rd(0, LVT_TIMER), 0x40 | MASKED); /* cannot be unmasked */
    assert_false(vlapic_deliver(&set, 0, false, APIC_FIXED, 0x42, false));
    assert_int_equal(pending(0), 0x41); /* held for the CPU */
    assert_true(vlapic_deliver(&set, 0, false, APIC_NMI, 0, false));
    assert_int_equal(recorded.nmis[0], 1);
    wr(0, ICR2, 1u << 24); /* IPIs can be sent */
    wr(0, ICR, 0x55);
    assert_int_equal(pending(1), 0x55);
}

/* 10.5.3: errors, ESR's write-then-read, the error interrupt. */
static void errors(void **)
{
    wr(0, LVT_ERROR, 0xfe);
    wr(0, ICR, 0x4000f);             /* self, vector 15 */
    assert_int_equal(rd(0, ESR), 0); /* not before a write */
    serve(0, 0xfe);
    wr(0, ESR, 0);
    assert_int_equal(rd(0, ESR), 0x20); /* send illegal vector */
    wr(0, ESR, 0);
    assert_int_equal(rd(0, ESR), 0);
    assert_false(vlapic_deliver(&set, 0, false, APIC_FIXED, 3, false));
    assert_int_equal(rd(0, IRR), 0); /* 0-15 never get into IRR */
    (void)rd(0, 0x2f0);              /* CMCI: not there */
    (void)rd(0, 0x400);
    wr(0, 0x3f0, 0x55); /* self-IPI: x2APIC only */
    wr(0, ESR, 0);
    assert_int_equal(rd(0, ESR), 0xc0); /* receive illegal vector, illegal register */
    serve(0, 0xfe);
    (void)rd(0, APR); /* table 10-1, footnote: no error */
    (void)rd(0, RRD);
    wr(0, ID, 0x55000000);
    wr(0, VERSION, 0);
    wr(0, ESR, 0);
    assert_int_equal(rd(0, ESR), 0);
    assert_int_equal(rd(0, ID), 0);
    wr(0, LVT_ERROR, 5); /* an error interrupt that is itself illegal ends there */
    (void)rd(0, 0x10);
    wr(0, ESR, 0);
    assert_int_equal(rd(0, ESR), 0xc0);
    wr(0, LVT_TIMER, 3);
    wr(0, TMICT, 10);
    pass(1000);
    wr(0, ESR, 0);
    assert_int_equal(rd(0, ESR), 0x40); /* illegal vector in the LVT */
    assert_int_equal(pending(0), -1);
}

/* 10.5.1: LINT pins. */
static void lint_pins(void **)
{
    vlapic_lint(&set, 0, true); /* masked */
    assert_int_equal(pending(0), -1);
    vlapic_lint(&set, 0, false);
    wr(0, LVT_LINT0, 0x700); /* ExtINT */
    vlapic_lint(&set, 0, true);
    assert_int_equal(pending(0), VLAPIC_PENDING_EXTINT);
    wr(0, TPR, 0xff); /* the 8259 is above all priorities */
    assert_int_equal(pending(0), VLAPIC_PENDING_EXTINT);
    assert_int_equal(accept(0), 0x38); /* INTA; the 8259 lets go of the line */
    assert_int_equal(rd(0, ISR + 0x10), 0);
    assert_int_equal(pending(0), -1);
    wr(0, TPR, 0);
    vlapic_lint(&set, 0, true);
    wr(0, LVT_LINT0, 0x10700);
    assert_int_equal(pending(0), -1);
    vlapic_lint(&set, 0, false);
    /* NMI: an edge, once. */
    wr(0, LVT_LINT1, 0x400);
    vlapic_lint(&set, 1, true);
    vlapic_lint(&set, 1, true);
    assert_int_equal(recorded.nmis[0], 1);
    vlapic_lint(&set, 1, false);
    vlapic_lint(&set, 1, true);
    assert_int_equal(recorded.nmis[0], 2);
    /* Fixed and edge-triggered. */
    wr(0, LVT_LINT0, 0x48);
    vlapic_lint(&set, 0, true);
    serve(0, 0x48);
    assert_int_equal(pending(0), -1);
    vlapic_lint(&set, 0, false);
    /* Fixed and level-triggered: Remote IRR until EOI, then again while it is asserted. */
    wr(0, LVT_LINT0, 0x8049);
    vlapic_lint(&set, 0, true);
    assert_int_equal(rd(0, LVT_LINT0), 0xc049);
    serve(0, 0x49);
    assert_int_equal(accept(0), 0x49);
    vlapic_lint(&set, 0, false);
    wr(0, EOI, 0);
    assert_int_equal(rd(0, LVT_LINT0), 0x8049);
    assert_int_equal(pending(0), -1);
    wr(0, LVT_LINT0, 0x500); /* INIT */
    vlapic_lint(&set, 0, true);
    assert_int_equal(recorded.inits[0], 1);
    wr(0, LVT_LINT1, 0x200); /* SMI: there is no SMM */
    vlapic_lint(&set, 1, false);
    vlapic_lint(&set, 1, true);
    assert_false(vlapic_deliver(&set, 0, false, APIC_SMI, 0, false));
    assert_int_equal(pending(0), -1);
    wr(0, 0x330, 0x10755); /* thermal and performance-counter entries are kept */
    wr(0, 0x340, 0xffffffff);
    assert_int_equal(rd(0, 0x330), 0x10755);
    assert_int_equal(rd(0, 0x340), 0x107ff);
    /* Remote IRR survives a rewrite, and goes when the entry turns edge-triggered. */
    vlapic_lint(&set, 0, false);
    wr(0, LVT_LINT0, 0x804b);
    vlapic_lint(&set, 0, true);
    wr(0, LVT_LINT0, 0x804c);
    assert_int_equal(rd(0, LVT_LINT0), 0xc04c);
    wr(0, LVT_LINT0, 0x4b);
    assert_int_equal(rd(0, LVT_LINT0), 0x4b);
    (void)accept(0);
    wr(0, EOI, 0);
    /* LINT1 just the same. */
    vlapic_lint(&set, 1, false);
    wr(0, LVT_LINT1, 0x4d);
    vlapic_lint(&set, 1, true);
    serve(0, 0x4d);
    vlapic_lint(&set, 1, false);
    wr(0, LVT_LINT1, 0x804e);
    vlapic_lint(&set, 1, true);
    assert_int_equal(rd(0, LVT_LINT1), 0xc04e);
    for (unsigned i = 0; i < 3; i++) {
        serve(0, 0x4e);
    }
    wr(0, LVT_LINT1, 0x1804e);
    /* Pins of another CPU. */
    wr(2, LVT_LINT1, 0x400);
    vlapic_lint(&set, 5, true);
    assert_int_equal(recorded.nmis[2], 1);
}

/* 10.4.3: with the APIC off LINT0 is INTR, the page is not there. */
static void global_disable(void **)
{
    vlapic_deliver(&set, 0, false, APIC_FIXED, 0x50, false);
    assert_true(wrmsr(0, 0x1b, 0xfee00100));
    assert_int_equal(pending(0), -1);
    assert_int_equal(rd(0, ID), 0xffffffff);
    assert_int_equal(rd(0, VERSION), 0xffffffff);
    wr(0, TPR, 0x40);
    assert_false(vlapic_deliver(&set, 0, false, APIC_FIXED, 0x50, false));
    assert_false(vlapic_deliver(&set, 0, false, APIC_NMI, 0, false));
    vlapic_lint(&set, 0, true);
    assert_int_equal(pending(0), VLAPIC_PENDING_EXTINT);
    assert_int_equal(accept(0), 0x38);
    assert_true(wrmsr(0, 0x1b, 0xfee00900));
    assert_int_equal(rd(0, TPR), 0); /* as after reset */
    assert_int_equal(rd(0, SVR), 0xff);
    assert_int_equal(pending(0), -1);
}

/* 10.4.7.3: INIT keeps ID and IA32_APIC_BASE. */
static void init_reset(void **)
{
    assert_true(wrmsr(2, 0x1b, 0xfee00c00));
    assert_true(wrmsr(2, 0x808, 0x30));
    assert_true(wrmsr(2, 0x832, 0x70));
    assert_true(wrmsr(2, 0x838, 1000));
    vlapic_deliver(&set, 2, false, APIC_FIXED, 0x44, false);
    intc.ops->reset(intc.ctx, 2);
    assert_int_equal(msr_value(2, 0x1b), 0xfee00c00);
    assert_int_equal(msr_value(2, 0x802), 2);
    assert_int_equal(msr_value(2, 0x80d), 4);
    assert_int_equal(msr_value(2, 0x808), 0);
    assert_int_equal(msr_value(2, 0x80f), 0xff);
    assert_int_equal(msr_value(2, 0x822), 0);
    assert_int_equal(pending(2), -1);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    vlapic_power_on(&set);
    assert_int_equal(msr_value(2, 0x1b), 0xfee00800);
}

/* Widths other than 32 bits, and the state firmware leaves. */
static void widths_and_virtual_wire(void **)
{
    wr(0, TPR, 0x20);
    assert_int_equal(bus_mmio_read(&fake_bus, 1, 0, VLAPIC_BASE + TPR, 1), 0x20);
    assert_int_equal(bus_mmio_read(&fake_bus, 1, 0, VLAPIC_BASE + SVR + 1, 1), 1);
    assert_int_equal(bus_mmio_read(&fake_bus, 1, 0, VLAPIC_BASE + SVR, 8), 0x1ff);
    assert_int_equal(bus_mmio_read(&fake_bus, 1, 0, VLAPIC_BASE + SVR + 4, 4), 0);
    bus_mmio_write(&fake_bus, 1, 0, VLAPIC_BASE + TPR, 1, 0x30);
    bus_mmio_write(&fake_bus, 1, 0, VLAPIC_BASE + TPR + 4, 4, 0x30);
    assert_int_equal(rd(0, TPR), 0x20);
    start(2);
    vlapic_virtual_wire(&set);
    assert_int_equal(rd(0, SVR), 0x1ff);
    assert_int_equal(rd(0, LVT_LINT0), 0x700);
    assert_int_equal(rd(0, LVT_LINT1), 0x400);
    vlapic_lint(&set, 0, true);
    assert_int_equal(pending(0), VLAPIC_PENDING_EXTINT);
    assert_true(vlapic_deliver(&set, 1, false, APIC_EXTINT, 0, false)); /* by the I/O APIC */
    assert_int_equal(pending(1), VLAPIC_PENDING_EXTINT);
    assert_int_equal(accept(1), 0x38);
    assert_int_equal(pending(1), -1);
}

static void shows(void **)
{
    vlapic_deliver(&set, 1, false, APIC_FIXED, 0x93, true);
    wr(1, LVT_TIMER, 0x200ef);
    SHOW(vlapic_show_cpu(&set, 1, out));
    assert_non_null(strstr(shown, "periodic"));
    assert_non_null(strstr(shown, "IRR            93h\n"));
    assert_non_null(strstr(shown, "xAPIC"));
    assert_non_null(strstr(shown, "pending        93h"));
    SHOW(vlapic_show(&set, out));
    assert_non_null(strstr(shown, "CPU 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(power_on_state),
        TEST(refuses_configurations),
        TEST(priorities),
        TEST(task_priority),
        TEST(level_and_eoi),
        TEST(software_disable),
        TEST(errors),
        TEST(lint_pins),
        TEST(global_disable),
        TEST(init_reset),
        TEST(widths_and_virtual_wire),
        TEST(shows),
    };

    return cmocka_run_group_tests_name("vlapic", tests, NULL, NULL);
}
