/* SPDX-License-Identifier: MIT
 *
 * What the tests of the local APICs share: four of them, switched on, their registers and MSRs.
 */
#ifndef TESTS_UNIT_VLAPIC_H
#define TESTS_UNIT_VLAPIC_H

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

static inline void on_eoi(void *, u8 vector)
{
    eois++;
    eoi_vector = vector;
}

static inline u8 on_inta(void *ctx)
{
    vlapic_lint(ctx, 0, false);
    return 0x38;
}

static inline u32 rd(unsigned cpu, unsigned reg)
{
    return (u32)bus_mmio_read(&fake_bus, 1, cpu, VLAPIC_BASE + reg, 4);
}

static inline void wr(unsigned cpu, unsigned reg, u32 value)
{
    bus_mmio_write(&fake_bus, 1, cpu, VLAPIC_BASE + reg, 4, value);
}

static inline bool rdmsr(unsigned cpu, u32 msr, u64 *value)
{
    return bus_msr_read(&fake_bus, cpu, msr, value);
}

static inline u64 msr_value(unsigned cpu, u32 msr)
{
    u64 value = 0;

    assert_true(rdmsr(cpu, msr, &value));
    return value;
}

static inline bool wrmsr(unsigned cpu, u32 msr, u64 value)
{
    return bus_msr_write(&fake_bus, cpu, msr, value);
}

static inline int pending(unsigned cpu) { return intc.ops->pending(intc.ctx, cpu); }

static inline u8 accept(unsigned cpu) { return intc.ops->accept(intc.ctx, cpu); }

/* This interrupt is the next, and over. */
static inline void serve(unsigned cpu, u8 vector)
{
    assert_int_equal(accept(cpu), vector);
    wr(cpu, EOI, 0);
}

static inline bool bit(unsigned cpu, unsigned bank, unsigned vector)
{
    return rd(cpu, bank + vector / 32 * 16) & 1u << vector % 32;
}

static inline void start(unsigned cpus)
{
    fake_start(HZ);
    eois = 0;
    assert_ok(vlapic_init(&set, cpus, &fake_bus, &fake_clock, &recorder));
    intc = vlapic_intc(&set);
    vlapic_connect_eoi(&set, on_eoi, NULL);
    vlapic_connect_pic(&set, on_inta, &set);
}

static inline int setup(void **)
{
    start(4);
    for (unsigned i = 0; i < 4; i++)
        wr(i, SVR, 0x1ff);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

#endif
