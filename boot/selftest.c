/* SPDX-License-Identifier: MIT
 *
 * One small function per fault.  They are not inlined, so that each is in the backtrace.
 */
#include "boot/selftest.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpus.h"
#include "arch/x86/irq.h"
#include "arch/x86/machine.h"
#include "arch/x86/memory.h"
#include "arch/x86/msr.h"
#include "arch/x86/paging.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "arch/x86/tsc.h"
#include "lib/log.h"
#include "lib/string.h"

#define NOINLINE __attribute__((noinline))

/* A store to page 0, from two calls down. */
static NOINLINE void fault_inner(volatile u32 *at)
{
    *at = 1;
    log_error("selftest", "the store to page 0 did not fault");
}

static NOINLINE void selftest_fault(void)
{
    volatile u32 *at = (volatile u32 *)8;

    __asm__ volatile("" : "+r"(at)); /* the compiler need not know */
    fault_inner(at);
    __asm__ volatile(""); /* no tail call: this function shall be in the backtrace */
}

/* Recursion until the guard page, long before `levels` is reached. */
static NOINLINE u64 stack_eat(volatile u64 *levels)
{
    volatile u64 room[64];

    room[0] = *levels - 1;
    return *levels == 0 ? 0 : stack_eat(room) + room[0];
}

static NOINLINE void selftest_stack(void)
{
    volatile u64 levels = 1000000;

    (void)stack_eat(&levels);
}

static NOINLINE void selftest_panic(void) { invariant(cpu_phys_bits() == 0); }

/* Stores that W^X forbids: to code, and to code through the direct map. */
static NOINLINE void selftest_text(void) { *(volatile u8 *)(uintptr_t)selftest_text = 0xcc; }

static NOINLINE void selftest_alias(void)
{
    *(volatile u8 *)phys_to_virt(virt_to_phys((const void *)(uintptr_t)selftest_text)) = 0xcc;
}

/* Execution of data. */
static NOINLINE void selftest_execute(void)
{
    static u8 code[] = {0xc3};
    void (*run)(void) = (void (*)(void))(uintptr_t)code;

    run();
    log_error("selftest", "data was executed");
}

static NOINLINE void selftest_divide(void)
{
    __asm__ volatile("xorl %%ecx, %%ecx; divl %%ecx" ::: "eax", "ecx", "edx", "cc");
}

/* MSRs that do not exist, and one that does: no panic. */
static NOINLINE void selftest_msr(void)
{
    u64 value = 0x55;
    bool read = msr_read_safe(0x12345678, &value), wrote = msr_write_safe(0x12345678, 0);
    bool efer = msr_read_safe(MSR_IA32_EFER, &value);

    log_info("selftest", "msr: absent read %s, absent write %s, EFER %s%s", read ? "WORKED" : "no",
             wrote ? "WORKED" : "no", efer ? "yes" : "NO",
             value & EFER_LMA ? ", long mode" : ", LMA CLEAR");
}

/* A call through a wild pointer. */
static NOINLINE void selftest_jump(void)
{
    void (*nowhere)(void) = NULL;

    __asm__ volatile("" : "+r"(nowhere));
    nowhere();
    __asm__ volatile("");
}

static void count_interrupt(void *ctx) { ++*(volatile unsigned *)ctx; }

/* 20 ms of the PIT's interrupt at 1 kHz, then the APIC timer once: no panic. */
static NOINLINE void selftest_irq(void)
{
    enum { PIT_CHANNEL0 = 0x40, PIT_COMMAND = 0x43, PIT_CH0_RATE = 0x34, PIT_1_KHZ = 1193 };
    volatile unsigned pit = 0, timer = 0;
    enum status s = irq_attach(0, count_interrupt, (void *)(uintptr_t)&pit);

    outb(PIT_COMMAND, PIT_CH0_RATE);
    outb(PIT_CHANNEL0, PIT_1_KHZ & 0xff);
    outb(PIT_CHANNEL0, PIT_1_KHZ >> 8);
    for (u64 end = rdtsc() + tsc_from_us(20000); rdtsc() < end;)
        cpu_breathe();
    irq_detach(0);
    if (s == STATUS_OK)
        s = irq_attach_vector(IRQ_VECTOR_TIMER, count_interrupt, (void *)(uintptr_t)&timer);
    u64 start = rdtsc(), due = start + tsc_from_us(1000), end = start + tsc_from_us(100000);
    if (apic_timer_present())
        apic_timer_arm(due);
    while (timer == 0 && rdtsc() < end)
        cpu_breathe();
    u64 came = rdtsc();
    for (end = rdtsc() + tsc_from_us(3000); rdtsc() < end;)
        cpu_breathe();
    log_info("selftest", "irq: %s, PIT %u in 20 ms, timer %u, %ld us after it was due",
             status_text(s), pit, timer, tsc_to_us(came - start) - 1000);
}

/* So many allocations that the allocator's table has to grow twice, in two colours; all given back.
 */
static bool churn_memory(void)
{
    enum { PAGES = 1600 };
    static hpa_t page[PAGES];
    bool ok = true;

    for (unsigned i = 0; i < PAGES; i++) {
        if (mem_alloc(PAGE_SIZE, 0, "selftest", &page[i]) != STATUS_OK)
            return false;
        u64 *at = phys_to_virt(page[i]);
        ok = ok && at[0] == 0 && at[511] == 0;
        at[0] = at[511] = ~0ull;
    }
    for (unsigned i = 0; i < PAGES; i += 2)
        mem_free(page[i]);
    for (unsigned i = 0; i < PAGES; i += 2)
        ok = ok && mem_alloc(PAGE_SIZE, 0, "selftest", &page[i]) == STATUS_OK &&
             *(const u64 *)phys_to_virt(page[i]) == 0;
    for (unsigned i = 0; i < PAGES; i++)
        mem_free(page[i]);
    return ok;
}

/* Code written through the direct map runs at its executable alias, which cannot be written. */
static bool run_alias(void)
{
    static const u8 code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
    u64 bits;
    hpa_t at, back;

    if (mem_alloc(sizeof(code), 0, "selftest", &at) != STATUS_OK)
        return false;
    memcpy(phys_to_virt(at), code, sizeof(code));
    int (*run)(void) = (int (*)(void))(uintptr_t)paging_map_alias(at, PAGE_SIZE, PAGE_EXECUTE);
    return run && run() == 42 && paging_walk((u64)(uintptr_t)run, &back, &bits) && back.v == at.v &&
           !(bits & (PTE_WRITE | PTE_NX)) &&
           !paging_walk((u64)(uintptr_t)run - PAGE_SIZE, &back, &bits) &&
           !paging_walk((u64)(uintptr_t)run + PAGE_SIZE, &back, &bits);
}

/* The allocator, aliases, and another CPU's area with its guard pages: no panic. */
static NOINLINE void selftest_memory(void)
{
    u64 before = mem_free_bytes(), start, bits;
    bool churned = churn_memory(), alias = run_alias(), area = true;
    hpa_t big = HPA(0);

    log_info("selftest", "memory: churn %s, %lu KiB kept, alias %s", churned ? "ok" : "FAILED",
             (before - mem_free_bytes()) / KiB, alias ? "ok" : "FAILED");
    start = rdtsc();
    enum status s = mem_alloc(256 * MiB, 2 * MiB, "selftest", &big);
    log_info("selftest", "memory: 256 MiB: %s, %s, %lu ticks", status_text(s),
             is_aligned(big.v, 2 * MiB) ? "aligned" : "NOT ALIGNED", (rdtsc() - start));
    if (cpu_count() > 1) {
        area = cpus_online(1);
        for (unsigned i = 0; area && i < STACK_COUNT; i++)
            area = paging_walk(percpu_get(1)->stack[i].top - 8, &big, &bits) &&
                   !paging_walk(percpu_get(1)->stack[i].bottom - 8, &big, &bits);
    }
    log_info("selftest", "memory: area of CPU 1 %s",
             cpu_count() == 1 ? "not tried: one CPU"
             : area           ? "ok"
                              : "FAILED");
}

static volatile unsigned nmi_count;

static void count_nmi(void) { nmi_count++; }

/* An NMI with a handler, then one that nobody expects. */
static NOINLINE void selftest_nmi(void)
{
    trap_set_nmi_handler(count_nmi);
    apic_send_nmi(apic_id());
    tsc_delay_us(1000);
    log_info("selftest", "nmi: %u handled", nmi_count);
    trap_set_nmi_handler(NULL);
    apic_send_nmi(apic_id());
    tsc_delay_us(1000);
    log_error("selftest", "the second NMI did not come");
}

#define SELFTESTS(X) \
    X(fault)         \
    X(stack) X(panic) X(text) X(alias) X(execute) X(divide) X(jump) X(nmi) X(msr) X(irq) X(memory)

#define X(name) #name " "
const char selftest_names[] = SELFTESTS(X);
#undef X

bool selftest_run(const char *name)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
#define X(name) {#name, selftest_##name},
        SELFTESTS(X)
#undef X
            {"reboot", machine_reboot},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++)
        if (strcmp(tests[i].name, name) == 0) {
            log_info("selftest", "running \"%s\"", name);
            tests[i].run();
            return true;
        }
    return false;
}
