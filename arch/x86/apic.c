/* SPDX-License-Identifier: MIT
 *
 * The host's local APIC.  One pair of functions reaches its registers, by MMIO or by MSR; above
 * them the two modes differ only in the interrupt command register.
 */
#include "arch/x86/apic.h"

#include "arch/x86/fixup.h"
#include "arch/x86/paging.h"
#include "arch/x86/tsc.h"
#include "arch/x86/vectors.h"
#include "lib/log.h"
#include "lib/msr.h"

/* Register offsets, SDM vol. 3A, table 10-1. */
enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_CMCI = 0x2f0,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_PMC = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

#define SVR_ENABLE         BIT(8)
#define LVT_MASKED         BIT(16)
#define LVT_NMI            (4u << 8)
#define LVT_EXTINT         (7u << 8)
#define LVT_TSC_DEADLINE   (2u << 17)
#define TIMER_DIVIDE_BY_1  0xbu
#define ICR_NMI            (4u << 8)
#define ICR_INIT           (5u << 8)
#define ICR_STARTUP        (6u << 8)
#define ICR_BUSY           BIT(12)
#define ICR_ASSERT         BIT(14)
#define ICR_OTHERS         (3u << 18)
#define VERSION_MAX_LVT(v) ((v) >> 16 & 0xff)
#define ICR_SPINS          1000000u /* an accepted interrupt leaves in microseconds */

static struct {
    bool present, x2apic, tsc_deadline;
    volatile u8 *registers; /* xAPIC */
    u64 timer_hz;           /* of the count register, divided by 1 */
} apic;

static u32 apic_read(u32 reg)
{
    if (apic.x2apic)
        return (u32)rdmsr(MSR_IA32_X2APIC_FIRST + (reg >> 4));
    return *(volatile u32 *)(volatile void *)(apic.registers + reg);
}

static void apic_write(u32 reg, u32 value)
{
    if (apic.x2apic)
        wrmsr(MSR_IA32_X2APIC_FIRST + (reg >> 4), value);
    else
        *(volatile u32 *)(volatile void *)(apic.registers + reg) = value;
}

/* Choose the mode; SDM vol. 3A, sections 10.4.3 and 10.12.1. */
static enum status apic_enable(void)
{
    u64 base;

    if (!cpu_has(CPU_APIC) || !msr_read_safe(MSR_IA32_APIC_BASE, &base))
        return STATUS_ENOTSUP;
    if (!(base & APIC_BASE_ENABLE) && !msr_write_safe(MSR_IA32_APIC_BASE, base |= APIC_BASE_ENABLE))
        return STATUS_ENOTSUP;
    if (cpu_has(CPU_X2APIC) && !(base & APIC_BASE_X2APIC) &&
        msr_write_safe(MSR_IA32_APIC_BASE, base | APIC_BASE_X2APIC))
        base |= APIC_BASE_X2APIC;
    apic.x2apic = base & APIC_BASE_X2APIC;
    if (!apic.x2apic && !apic.registers)
        apic.registers = mmio_map(HPA(base & PTE_ADDRESS), PAGE_SIZE);
    return apic.x2apic || apic.registers ? STATUS_OK : STATUS_ENOMEM;
}

enum status apic_init(void)
{
    /* Entry n exists when the version register's "max LVT" is at least `needs`. */
    static const struct {
        u32 reg, needs;
    } lvts[] = {{APIC_LVT_TIMER, 0}, {APIC_LVT_LINT0, 1}, {APIC_LVT_LINT1, 2},
                {APIC_LVT_ERROR, 3}, {APIC_LVT_PMC, 4},   {APIC_LVT_THERMAL, 5},
                {APIC_LVT_CMCI, 6}};
    TRY(apic_enable());
    u32 lvt_max = VERSION_MAX_LVT(apic_read(APIC_VERSION));
    apic_write(APIC_SVR, SVR_ENABLE | IRQ_VECTOR_SPURIOUS);
    for (unsigned i = 0; i < ARRAY_SIZE(lvts); i++)
        if (lvt_max >= lvts[i].needs)
            apic_write(lvts[i].reg, LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_NMI); /* where PCs wire the NMI */
    apic_write(APIC_LVT_ERROR, IRQ_VECTOR_ERROR);
    apic_write(APIC_TPR, 0);
    if (!apic.x2apic) {
        apic_write(APIC_DFR, ~0u);
        apic_write(APIC_LDR, 0); /* only physical destinations are used */
    }
    apic_write(APIC_ESR, 0);
    apic.present = true;
    return STATUS_OK;
}

bool apic_present(void) { return apic.present; }

bool apic_is_x2apic(void) { return apic.x2apic; }

u32 apic_id(void)
{
    if (!apic.present)
        return 0;
    return apic.x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void) { apic_write(APIC_EOI, 0); }

u32 apic_error(void)
{
    apic_write(APIC_ESR, 0); /* latches what happened since the last time */
    return apic_read(APIC_ESR);
}

void apic_enable_extint(void)
{
    if (apic.present)
        apic_write(APIC_LVT_LINT0, LVT_EXTINT);
}

static void apic_command(u32 dest, u32 command)
{
    if (apic.x2apic) {
        __asm__ volatile("mfence; lfence" ::: "memory"); /* WRMSR does not order stores here */
        wrmsr(MSR_IA32_X2APIC_FIRST + (APIC_ICR >> 4), (u64)dest << 32 | command);
        return;
    }
    for (u32 i = 0; i < ICR_SPINS && (apic_read(APIC_ICR) & ICR_BUSY); i++)
        cpu_pause();
    apic_write(APIC_ICR_HIGH, dest << 24);
    apic_write(APIC_ICR, command);
}

void apic_send_ipi(u32 dest, u8 vector) { apic_command(dest, ICR_ASSERT | vector); }

void apic_send_nmi(u32 dest) { apic_command(dest, ICR_ASSERT | ICR_NMI); }

void apic_send_init(u32 dest) { apic_command(dest, ICR_ASSERT | ICR_INIT); }

void apic_send_startup(u32 dest, u8 page) { apic_command(dest, ICR_ASSERT | ICR_STARTUP | page); }

void apic_send_nmi_others(void)
{
    if (apic.present)
        apic_command(0, ICR_OTHERS | ICR_ASSERT | ICR_NMI);
}

/* Ticks per second of the undivided count register. */
static u64 measure_timer(void)
{
    u64 start, ticks = tsc_hz() / 100;

    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
    apic_write(APIC_TIMER_INITIAL, ~0u);
    start = rdtsc_ordered();
    while (rdtsc() - start < ticks)
        cpu_pause();
    u32 count = ~0u - apic_read(APIC_TIMER_CURRENT);
    apic_write(APIC_TIMER_INITIAL, 0);
    return count * 100ull;
}

void apic_timer_init(void)
{
    if (!apic.present)
        return;
    apic.tsc_deadline = cpu_has(CPU_TSC_DEADLINE);
    if (!apic.tsc_deadline && apic.timer_hz == 0)
        apic.timer_hz = measure_timer();
    apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
    if (!apic.tsc_deadline && apic.timer_hz == 0) {
        log_warn("apic", "the APIC timer does not count: there is no host timer");
        return;
    }
    /* Orders the LVT write before the first deadline: SDM vol. 3A, section 10.5.4.1. */
    apic_write(APIC_LVT_TIMER, (apic.tsc_deadline ? LVT_TSC_DEADLINE : 0) | IRQ_VECTOR_TIMER);
    __asm__ volatile("mfence" ::: "memory");
}

bool apic_timer_present(void) { return apic.present && (apic.tsc_deadline || apic.timer_hz != 0); }

void apic_timer_arm(u64 tsc_deadline)
{
    if (apic.tsc_deadline) {
        wrmsr(MSR_IA32_TSC_DEADLINE, tsc_deadline ? tsc_deadline : 1);
        return;
    }
    u64 now = rdtsc(), ticks = tsc_deadline > now ? tsc_deadline - now : 0;
    u64 counts = tsc_to_hz(ticks, apic.timer_hz);
    /* A deadline beyond the counter's range interrupts early: whoever armed it looks and re-arms.
     */
    apic_write(APIC_TIMER_INITIAL, counts >= ~0u ? ~0u : (u32)counts + 1);
}

void apic_timer_disarm(void)
{
    if (apic.tsc_deadline)
        wrmsr(MSR_IA32_TSC_DEADLINE, 0);
    else if (apic.present)
        apic_write(APIC_TIMER_INITIAL, 0);
}

void apic_report(void)
{
    if (!apic.present)
        log_warn("apic", "no local APIC: one CPU, no host timer");
    else
        log_info("apic", "%s, ID %u, timer %s", apic.x2apic ? "x2APIC" : "xAPIC", apic_id(),
                 apic.tsc_deadline ? "by TSC deadline" : "one-shot");
}
