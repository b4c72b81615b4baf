/* SPDX-License-Identifier: MIT
 *
 * The local APIC as MSRs (SDM vol. 3A, 10.12).  There is no way back without disabling the APIC, so
 * this is a guest of its own.
 */
#include "tests/guests/lib/guest.h"

#define X2APIC(offset) (0x800 + (offset) / 16)
#define IA32_APIC_BASE 0x1b
#define SELF_IPI       0x83f
#define TIMER          0x51u

static bool have;

static void eoi(struct trap_frame *f)
{
    irq_count(f);
    wrmsr(X2APIC(APIC_EOI), 0);
}

TEST(absent_before)
{
    if (!under_hypervisor() && CATCH(rdmsr(0xbaadf00d)).vector == TRAP_NONE && !CPUID1_C(21))
        SKIP("no x2APIC, and this machine answers every MSR");
    EXPECT_TRAP(VECTOR_GP, 0, rdmsr(X2APIC(APIC_VERSION)));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_TPR), 0));
    if (!CPUID1_C(21))
        SKIP("no x2APIC; the MSRs are not there");
    have = true;
}

TEST(enable)
{
    u32 id = apic_read(APIC_ID) >> 24, version = apic_read(APIC_VERSION);

    if (!have)
        SKIP("no x2APIC");
    apic_start();
    wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) | BIT(10));
    EXPECT(rdmsr(IA32_APIC_BASE) & BIT(10));
    EXPECT_EQ(rdmsr(X2APIC(APIC_ID)), id);
    EXPECT_EQ(rdmsr(X2APIC(APIC_VERSION)), version);
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) & ~(u64)BIT(10)));
}

TEST(refusals)
{
    if (!have)
        SKIP("no x2APIC");
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_ID), 0));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_LDR), 0));
    EXPECT_TRAP(VECTOR_GP, 0, rdmsr(X2APIC(APIC_EOI)));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_EOI), 1));
    EXPECT_TRAP(VECTOR_GP, 0, rdmsr(SELF_IPI));
    EXPECT_TRAP(VECTOR_GP, 0, rdmsr(X2APIC(APIC_ICR2)));
    EXPECT_TRAP(VECTOR_GP, 0, rdmsr(X2APIC(APIC_DFR)));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_TPR), 0x100));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_ESR), 1));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_SVR), BIT64(32)));
    EXPECT_TRAP(VECTOR_GP, 0, rdmsr(0x8ff));
}

TEST(self_ipi)
{
    if (!have)
        SKIP("no x2APIC");
    trap_handle(0x61, eoi);
    wrmsr(SELF_IPI, 0x61);
    EXPECT_EQ(rdmsr(X2APIC(APIC_IRR) + 3) >> 1 & 1, 1);
    EXPECT(irq_wait(0x61, 1, 1000));
    wrmsr(X2APIC(APIC_ICR), (rdmsr(X2APIC(APIC_ID)) << 32) | BIT(14) | 0x61);
    EXPECT(irq_wait(0x61, 2, 1000));
}

TEST(task_priority)
{
    if (!have)
        SKIP("no x2APIC");
    write_cr8(7);
    EXPECT_EQ(rdmsr(X2APIC(APIC_TPR)), 0x70);
    wrmsr(X2APIC(APIC_TPR), 0x30);
    EXPECT_EQ(read_cr8(), 3);
    write_cr8(0);
}

TEST(timer)
{
    if (!have)
        SKIP("no x2APIC");
    trap_handle(TIMER, eoi);
    wrmsr(X2APIC(APIC_TIMER_DIVIDE), 0xb);
    wrmsr(X2APIC(APIC_LVT_TIMER), TIMER);
    wrmsr(X2APIC(APIC_TIMER_INIT), 100000);
    EXPECT_RANGE(rdmsr(X2APIC(APIC_TIMER_COUNT)), 1, 100000);
    EXPECT(irq_wait(TIMER, 1, 20000000));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(X2APIC(APIC_TIMER_COUNT), 0));
}
