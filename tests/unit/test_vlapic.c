/* SPDX-License-Identifier: MIT
 *
 * Local APICs against the statements of SDM vol. 3A, chapter 10 (sections named at each test).
 */
#include "device.h"
#include "drivers/model/vlapic.h"

#define HZ 1000000000ull

enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    APR = 0x90,
    PPR = 0xa0,
    EOI = 0xb0,
    RRD = 0xc0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR2 = 0x310,
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
    TMICT = 0x380,
    TMCCT = 0x390,
    TDCR = 0x3e0
};
#define MASKED 0x10000u

static struct vlapic_set set;
static struct intc intc;
static unsigned eois;
static u8 eoi_vector;

static void on_eoi(void *, u8 vector)
{
    eois++;
    eoi_vector = vector;
}

static u8 on_inta(void *ctx)
{
    vlapic_lint(ctx, 0, false);
    return 0x38;
}

static u32 rd(unsigned cpu, unsigned reg)
{
    return (u32)bus_mmio_read(&fake_bus, 1, cpu, VLAPIC_BASE + reg, 4);
}

static void wr(unsigned cpu, unsigned reg, u32 value)
{
    bus_mmio_write(&fake_bus, 1, cpu, VLAPIC_BASE + reg, 4, value);
}

static bool rdmsr(unsigned cpu, u32 msr, u64 *value)
{
    return bus_msr_read(&fake_bus, cpu, msr, value);
}

static u64 msr_value(unsigned cpu, u32 msr)
{
    u64 value = 0;

    assert_true(rdmsr(cpu, msr, &value));
    return value;
}

static bool wrmsr(unsigned cpu, u32 msr, u64 value)
{
    return bus_msr_write(&fake_bus, cpu, msr, value);
}

static int pending(unsigned cpu) { return intc.ops->pending(intc.ctx, cpu); }

static u8 accept(unsigned cpu) { return intc.ops->accept(intc.ctx, cpu); }

static bool bit(unsigned cpu, unsigned bank, unsigned vector)
{
    return rd(cpu, bank + vector / 32 * 16) & 1u << vector % 32;
}

static void start(unsigned cpus)
{
    fake_start(HZ);
    eois = 0;
    assert_ok(vlapic_init(&set, cpus, &fake_bus, &fake_clock, &recorder));
    intc = vlapic_intc(&set);
    vlapic_connect_eoi(&set, on_eoi, NULL);
    vlapic_connect_pic(&set, on_inta, &set);
}

static int setup(void **)
{
    start(4);
    for (unsigned i = 0; i < 4; i++)
        wr(i, SVR, 0x1ff);
    return 0;
}

/* 10.4.7.1: state after power-up. */
static void power_on_state(void **)
{
    static const struct {
        unsigned reg;
        u32 value;
    } want[] = {{TPR, 0},
                {PPR, 0},
                {LDR, 0},
                {DFR, 0xffffffff},
                {SVR, 0xff},
                {ISR, 0},
                {ISR + 0x70, 0},
                {IRR, 0},
                {IRR + 0x70, 0},
                {TMR, 0},
                {ESR, 0},
                {ICR, 0},
                {ICR2, 0},
                {LVT_TIMER, MASKED},
                {0x330, MASKED},
                {0x340, MASKED},
                {LVT_LINT0, MASKED},
                {LVT_LINT1, MASKED},
                {LVT_ERROR, MASKED},
                {TMICT, 0},
                {TMCCT, 0},
                {TDCR, 0},
                {APR, 0},
                {RRD, 0}};

    start(3);
    for (unsigned cpu = 0; cpu < 3; cpu++) {
        for (unsigned i = 0; i < ARRAY_SIZE(want); i++)
            assert_int_equal(rd(cpu, want[i].reg), want[i].value);
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
    assert_int_equal(accept(0), 0xef);
    wr(0, EOI, 0);
    assert_false(bit(0, ISR, 0xef));
    assert_int_equal(pending(0), -1);
    wr(0, EOI, 0);
    assert_int_equal(accept(0), 0x51);
    wr(0, EOI, 0);
    assert_int_equal(accept(0), 0x31);
    wr(0, EOI, 0);
    wr(0, EOI, 0); /* one too many */
    assert_int_equal(pending(0), -1);
    assert_int_equal(eois, 0); /* all were edge-triggered */
    for (unsigned v = 16; v < 256; v++)
        assert_true(vlapic_deliver(&set, 0, false, APIC_FIXED, (u8)v, false));
    for (unsigned v = 255; v >= 16; v--) {
        assert_int_equal(pending(0), v);
        assert_int_equal(accept(0), v);
        wr(0, EOI, 0);
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
    assert_int_equal(accept(0), 0x41);
    wr(0, EOI, 0);
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

/* 10.5.4: one-shot and periodic counting with every divisor. */
static void timer_divisors(void **)
{
    static const struct {
        u32 tdcr;
        unsigned divisor;
    } by[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

    wr(0, LVT_TIMER, 0x60);
    for (unsigned i = 0; i < ARRAY_SIZE(by); i++) {
        u64 t = fake_now;

        wr(0, TDCR, by[i].tdcr);
        assert_int_equal(rd(0, TDCR), by[i].tdcr);
        wr(0, TMICT, 1000000);
        assert_int_equal(rd(0, TMCCT), 1000000);
        pass(by[i].divisor * 1000ull);
        assert_int_equal(rd(0, TMCCT), 999000);
        pass_to(t + by[i].divisor * 1000000ull - 1);
        assert_int_equal(rd(0, TMCCT), 1);
        assert_int_equal(pending(0), -1);
        pass(1);
        assert_int_equal(rd(0, TMCCT), 0);
        assert_int_equal(rd(0, TMICT), 1000000);
        assert_int_equal(accept(0), 0x60);
        wr(0, EOI, 0);
        pass(HZ);
        assert_int_equal(pending(0), -1); /* once */
    }
}

static void timer_periodic(void **)
{
    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x20061);
    wr(0, TMICT, 1000000);
    for (unsigned i = 1; i <= 5; i++) {
        pass_to(i * 1000000ull - 1);
        assert_int_equal(pending(0), -1);
        pass(1);
        assert_int_equal(accept(0), 0x61);
        wr(0, EOI, 0);
        pass(250000);
        assert_int_equal(rd(0, TMCCT), 750000);
    }
    wr(0, LVT_TIMER, 0x61); /* to one-shot: the count goes on */
    assert_int_equal(rd(0, TMCCT), 750000);
    pass_to(6000000);
    assert_int_equal(accept(0), 0x61);
    wr(0, EOI, 0);
    pass_to(9000000);
    assert_int_equal(pending(0), -1);
    wr(0, TMICT, 1000);
    assert_int_equal(rd(0, TMCCT), 1000);
    wr(0, TMICT, 0); /* 0 stops it */
    assert_int_equal(rd(0, TMCCT), 0);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    wr(0, TMICT, 1000);
    wr(0, LVT_TIMER, 0x61 | MASKED); /* masked: counts without interrupting */
    pass(2000);
    assert_int_equal(pending(0), -1);
    assert_int_equal(rd(0, TMCCT), 0);
}

/* A changed divisor applies to what is left. */
static void timer_divide_changes(void **)
{
    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x60);
    wr(0, TMICT, 1000000);
    pass(400000);
    wr(0, TDCR, 0); /* by 2 */
    assert_int_equal(rd(0, TMCCT), 600000);
    pass(1200000 - 1);
    assert_int_equal(pending(0), -1);
    pass(1);
    assert_int_equal(pending(0), 0x60);
}

/* However short the period: bounded work, and a time that goes on. */
static void timer_tiny_period(void **)
{
    unsigned runs = 0;

    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x20061);
    wr(0, TMICT, 1);
    for (fake_now = 0; fake_now < HZ / 100; runs++) {
        assert_true(clock_next(&fake_clock) > fake_now);
        fake_now = clock_next(&fake_clock);
        clock_run(&fake_clock, fake_now);
        if (pending(0) >= 0)
            (void)accept(0);
        wr(0, EOI, 0);
    }
    assert_in_range(runs, 50, 101);
}

/* 10.5.4.1: TSC-deadline mode. */
static void timer_deadline(void **)
{
    assert_true(wrmsr(0, 0x6e0, 5000)); /* ignored in the other modes, reads 0 */
    assert_int_equal(msr_value(0, 0x6e0), 0);
    wr(0, LVT_TIMER, 0x40062);
    wr(0, TMICT, 1000); /* ignored */
    assert_int_equal(rd(0, TMICT), 0);
    assert_int_equal(rd(0, TMCCT), 0);
    assert_true(wrmsr(0, 0x6e0, 5000));
    assert_int_equal(msr_value(0, 0x6e0), 5000);
    pass_to(4999);
    assert_int_equal(pending(0), -1);
    pass(1);
    assert_int_equal(msr_value(0, 0x6e0), 0);
    assert_int_equal(accept(0), 0x62);
    wr(0, EOI, 0);
    assert_true(wrmsr(0, 0x6e0, 1)); /* already past: at once */
    assert_int_equal(accept(0), 0x62);
    wr(0, EOI, 0);
    assert_int_equal(msr_value(0, 0x6e0), 0);
    assert_true(wrmsr(0, 0x6e0, 9000));
    assert_true(wrmsr(0, 0x6e0, 0)); /* 0 disarms */
    pass_to(10000);
    assert_int_equal(pending(0), -1);
    assert_true(wrmsr(0, 0x6e0, 12000));
    wr(0, LVT_TIMER, 0x62); /* leaving the mode disarms */
    wr(0, LVT_TIMER, 0x40062);
    pass_to(20000);
    assert_int_equal(pending(0), -1);
}

/* The deadline is one of the guest's TSC, which need not be the clock. */
static void timer_deadline_offset(void **)
{
    wr(0, LVT_TIMER, 0x40062);
    intc.ops->set_tsc_offset(intc.ctx, 0, 1000000);
    assert_true(wrmsr(0, 0x6e0, 1005000));
    assert_int_equal(clock_next(&fake_clock), 5000);
    intc.ops->set_tsc_offset(intc.ctx, 0, 1002000); /* IA32_TSC moved by 2000 */
    assert_int_equal(clock_next(&fake_clock), 3000);
    pass_to(3000);
    assert_int_equal(accept(0), 0x62);
    wr(0, EOI, 0);
    fake_now = 5000;
    intc.ops->set_tsc_offset(intc.ctx, 0, -4000ull); /* a TSC set back */
    assert_true(wrmsr(0, 0x6e0, 2000));
    assert_int_equal(msr_value(0, 0x6e0), 2000);
    assert_int_equal(clock_next(&fake_clock), 6000);
    assert_true(wrmsr(0, 0x6e0, ~0ull)); /* never comes */
    assert_int_equal(pending(0), -1);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    assert_true(wrmsr(0, 0x6e0, 3000));
    intc.ops->set_tsc_offset(intc.ctx, 0, 0); /* moved past it */
    assert_int_equal(accept(0), 0x62);
}

/* A periodic count read late, before the timer's own event has been seen to. */
static void timer_read_late(void **)
{
    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x20060);
    wr(0, TMICT, 1000000);
    fake_now = 3400000;
    assert_int_equal(rd(0, TMCCT), 600000);
    wr(0, TDCR, 0);
    wr(0, TMICT, 1000000);
    fake_now += 2000000 + 500000;
    assert_int_equal(rd(0, TMCCT), 750000);
    wr(0, LVT_TIMER, 0x60); /* one-shot: over */
    assert_int_equal(rd(0, TMCCT), 0);
    clock_run(&fake_clock, fake_now);
    assert_int_equal(accept(0), 0x60);
    wr(0, LVT_TIMER, 0x60060); /* the reserved mode does nothing */
    wr(0, TMICT, 1000);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
}

/* 10.6.1, 10.6.2.1: physical destinations, broadcast, shorthands. */
static void ipi_physical(void **)
{
    wr(0, ICR2, 2u << 24);
    wr(0, ICR, 0x44);
    assert_int_equal(pending(2), 0x44);
    assert_int_equal(pending(0) & pending(1) & pending(3), -1);
    assert_int_equal(rd(0, ICR), 0x44); /* delivery status: idle */
    assert_int_equal(rd(0, ICR2), 2u << 24);
    wr(0, ICR2, 0xffu << 24);
    wr(0, ICR, 0x45);
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
    wr(0, ICR2, 9u << 24); /* nobody */
    wr(0, ICR, 0x49);
    assert_int_equal(rd(0, ESR), 0);
    wr(0, ICR2, 3u << 24);
    wr(0, ICR, 0xc04a | 0xc000); /* trigger mode is for INIT only: edge */
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
    wr(0, ICR2, 0x0au << 24);
    wr(0, ICR, 0x844);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bit(i, IRR, 0x44), i & 1);
    /* Cluster: two clusters of two. */
    for (unsigned i = 0; i < 4; i++) {
        wr(i, DFR, 0x0fffffff);
        assert_int_equal(rd(i, DFR), 0x0fffffff);
        wr(i, LDR, (i / 2) << 28 | 1u << (24 + i % 2));
    }
    wr(0, ICR2, 0x13u << 24); /* cluster 1, both */
    wr(0, ICR, 0x845);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bit(i, IRR, 0x45), i >= 2);
    wr(0, ICR2, 0x02u << 24);
    wr(0, ICR, 0x846);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bit(i, IRR, 0x46), i == 1);
    wr(0, ICR2, 0xffu << 24); /* all ones reach all, in both models */
    wr(0, ICR, 0x847);
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
    wr(0, ICR2, 1u << 24);
    wr(0, ICR, 0xc500); /* INIT, level assert */
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

/* 10.5.3: errors, ESR's write-then-read, the error interrupt. */
static void errors(void **)
{
    wr(0, LVT_ERROR, 0xfe);
    wr(0, ICR, 0x4000f);             /* self, vector 15 */
    assert_int_equal(rd(0, ESR), 0); /* not before a write */
    assert_int_equal(accept(0), 0xfe);
    wr(0, EOI, 0);
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
    assert_int_equal(accept(0), 0xfe);
    wr(0, EOI, 0);
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
    assert_int_equal(accept(0), 0x48);
    wr(0, EOI, 0);
    assert_int_equal(pending(0), -1);
    vlapic_lint(&set, 0, false);
    /* Fixed and level-triggered: Remote IRR until EOI, then again while it is asserted. */
    wr(0, LVT_LINT0, 0x8049);
    vlapic_lint(&set, 0, true);
    assert_int_equal(rd(0, LVT_LINT0), 0xc049);
    assert_int_equal(accept(0), 0x49);
    wr(0, EOI, 0);
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
    assert_int_equal(accept(0), 0x4d);
    wr(0, EOI, 0);
    vlapic_lint(&set, 1, false);
    wr(0, LVT_LINT1, 0x804e);
    vlapic_lint(&set, 1, true);
    assert_int_equal(rd(0, LVT_LINT1), 0xc04e);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(accept(0), 0x4e);
        wr(0, EOI, 0);
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
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(power_on_state),
        TEST(refuses_configurations),
        TEST(priorities),
        TEST(task_priority),
        TEST(level_and_eoi),
        TEST(software_disable),
        TEST(timer_divisors),
        TEST(timer_periodic),
        TEST(timer_divide_changes),
        TEST(timer_tiny_period),
        TEST(timer_deadline),
        TEST(timer_deadline_offset),
        TEST(timer_read_late),
        TEST(ipi_physical),
        TEST(ipi_logical),
        TEST(lowest_priority),
        TEST(ipi_special),
        TEST(errors),
        TEST(lint_pins),
        TEST(global_disable),
        TEST(base_transitions),
        TEST(x2apic_msrs),
        TEST(x2apic_destinations),
        TEST(init_reset),
        TEST(widths_and_virtual_wire),
        TEST(shows),
    };

    return cmocka_run_group_tests_name("vlapic", tests, NULL, NULL);
}
