/* SPDX-License-Identifier: MIT
 *
 * One small function per fault.  They are not inlined, so that each is in the backtrace.
 */
#include "boot/selftest.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/irq.h"
#include "arch/x86/memory.h"
#include "arch/x86/msr.h"
#include "arch/x86/panic.h"
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

static NOINLINE void selftest_panic(void)
{
    invariant(cpu_phys_bits() == 0);
}

/* Stores that W^X forbids: to code, and to code through the direct map. */
static NOINLINE void selftest_text(void)
{
    *(volatile u8 *)(uintptr_t)selftest_text = 0xcc;
}

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

static void count_interrupt(void *ctx)
{
    ++*(volatile unsigned *)ctx;
}

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
    log_info("selftest", "irq: %s, PIT %u in 20 ms, timer %u, %lld us after it was due",
             status_text(s), pit, timer, (long long)tsc_to_us(came - start) - 1000);
}

void selftest_run(const char *name)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"fault", selftest_fault},   {"stack", selftest_stack}, {"panic", selftest_panic},
        {"text", selftest_text},     {"alias", selftest_alias}, {"execute", selftest_execute},
        {"divide", selftest_divide}, {"msr", selftest_msr},     {"jump", selftest_jump},
        {"irq", selftest_irq},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
        if (strcmp(tests[i].name, name) == 0) {
            log_info("selftest", "running \"%s\"", name);
            tests[i].run();
            return;
        }
    }
    log_error("selftest",
              "no test \"%s\"; there are fault, stack, panic, text, alias, execute, "
              "divide, jump, msr, irq",
              name);
}
