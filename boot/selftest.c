/* SPDX-License-Identifier: MIT
 *
 * One small function per fault.  They are not inlined, so that each is in the backtrace.
 */
#include "boot/selftest.h"

#include "arch/x86/apic.h"
#include "arch/x86/memory.h"
#include "arch/x86/panic.h"
#include "arch/x86/trap.h"
#include "arch/x86/tsc.h"
#include "lib/log.h"
#include "lib/msr.h"
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

/* An NMI that nobody expects. */
static NOINLINE void selftest_nmi(void)
{
    apic_send_nmi(apic_id());
    tsc_delay_us(1000);
    log_error("selftest", "the NMI did not come");
}

#define SELFTESTS(X) \
    X(fault)         \
    X(stack) X(panic) X(text) X(alias) X(execute) X(divide) X(jump) X(nmi) X(msr)

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
    };
    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++)
        if (strcmp(tests[i].name, name) == 0) {
            log_info("selftest", "running \"%s\"", name);
            tests[i].run();
            return true;
        }
    return false;
}
