/* SPDX-License-Identifier: MIT
 *
 * What single VM exits cost: a guest that repeats one operation and prints "bench NAME TICKS", TSC
 * ticks per iteration, the least of several rounds.  The two instructions of the loop are included,
 * and those that put the operands into registers.  On Bochs a tick is an instruction, so that the
 * figures are exact and repeatable; on a CPU they are cycles of the TSC.  The command line may say
 * `quick` for few rounds, and `wait` for a key at the end, while the prompt can be asked.
 */
#include "tests/guests/lib/guest.h"

#define ROUNDS     (guest_option("quick") ? 2u : 12u)
#define ITERATIONS 64ull
#define VECTOR     0x55u

#define IA32_TSC_ADJUST 0x3b

#define IOAPIC          0xfec00000u
#define UNCLAIMED_MMIO  0xfe000000u
#define UNCLAIMED_PORT  0x2e0
#define COM1            0x3f8
#define FRESH_MEMORY    (32 * MiB)
#define ICR_SELF        (BIT(18) | BIT(14))
#define VITRINE_SAYS_ID 0x56540000u /* VMCALL: identify yourself; KVM answers -ENOSYS to it */

/* Ticks per iteration of `body`, rounded; R12 counts, what a body needs it sets itself. */
#define BENCH(name, body) BENCH_WITH(name, body, 0, 0)

/* R8 and R9 hold two values for the body. */
#define BENCH_WITH(name, body, r8_value, r9_value)                                           \
    do {                                                                                     \
        u64 best = ~0ull, first_ = (u64)(r8_value), second_ = (u64)(r9_value);               \
        for (unsigned round = ROUNDS; round; round--) {                                      \
            register u64 r8 __asm__("r8") = first_;                                          \
            register u64 r9 __asm__("r9") = second_;                                         \
            register u64 n __asm__("r12") = ITERATIONS;                                      \
            u64 begin = rdtsc();                                                             \
            __asm__ volatile("1: " body "; dec %0; jnz 1b"                                   \
                             : "+r"(n), "+r"(r8), "+r"(r9)                                   \
                             :                                                               \
                             : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "cc", \
                               "memory");                                                    \
            u64 ticks = rdtsc() - begin;                                                     \
            best = ticks < best ? ticks : best;                                              \
        }                                                                                    \
        report(name, best);                                                                  \
    } while (0)

static void report(const char *name, u64 ticks)
{
    guest_print("bench %s %llu\n", name,
                (unsigned long long)((ticks + ITERATIONS / 2) / ITERATIONS));
}

/* The shortest interrupt handlers: end of interrupt, by memory or by MSR. */
__attribute__((naked)) static void eoi_by_memory(void)
{
    __asm__ volatile("push %rax; mov $0xfee000b0, %eax; movl $0, (%rax); pop %rax; iretq");
}

__attribute__((naked)) static void eoi_by_msr(void)
{
    __asm__ volatile("push %rax; push %rcx; push %rdx; mov $0x80b, %ecx; xor %eax, %eax;"
                     "xor %edx, %edx; wrmsr; pop %rdx; pop %rcx; pop %rax; iretq");
}

static void set_gate(void (*handler)(void))
{
    u64 at = (u64)handler;

    guest_idt[VECTOR][0] =
        (at & 0xffff) | (u64)GDT_CODE64 << 16 | 0x8eull << 40 | (at >> 16 & 0xffff) << 48;
    guest_idt[VECTOR][1] = at >> 32;
}

TEST(loop_alone) { BENCH("loop", ""); }

TEST(instructions)
{
    BENCH("cpuid", "xor %%eax, %%eax; cpuid");
    if (under_hypervisor())
        BENCH_WITH("vmcall", "mov %%r8d, %%eax; vmcall", VITRINE_SAYS_ID, 0);
    BENCH("wbinvd", "wbinvd");
    BENCH_WITH("cr0-cd-twice", "mov %%r8, %%cr0; mov %%r9, %%cr0", read_cr0() | BIT(30),
               read_cr0());
    BENCH_WITH("cr0-wp-twice", "mov %%r8, %%cr0; mov %%r9, %%cr0", read_cr0() & ~BIT64(16),
               read_cr0());
    BENCH_WITH("cr4-pge-twice", "mov %%r8, %%cr4; mov %%r9, %%cr4", read_cr4() | BIT(7),
               read_cr4());
    BENCH("cr8-write", "xor %%eax, %%eax; mov %%rax, %%cr8");
    BENCH("cr8-read", "mov %%cr8, %%rax");
}

TEST(msrs)
{
    u64 base = rdmsr(0x1b);

    BENCH("rdmsr-apic-base", "mov $0x1b, %%ecx; rdmsr");
    BENCH_WITH("wrmsr-apic-base", "mov $0x1b, %%ecx; mov %%r8d, %%eax; mov %%r9d, %%edx; wrmsr",
               base, base >> 32);
    BENCH("wrmsr-kernel-gs-base", "mov $0xc0000102, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx;"
                                  "wrmsr");
    if (CATCH(rdmsr(IA32_TSC_ADJUST)).vector != TRAP_NONE)
        SKIP("no IA32_TSC_ADJUST");
    BENCH("rdmsr-tsc-adjust", "mov $0x3b, %%ecx; rdmsr");
    BENCH("wrmsr-tsc-adjust", "mov $0x3b, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; wrmsr");
}

TEST(ports)
{
    BENCH("in-pic", "in $0x21, %%al");
    BENCH_WITH("out-pic", "mov %%r8d, %%eax; out %%al, $0x21", inb(0x21), 0);
    BENCH_WITH("in-unclaimed", "mov %%r8d, %%edx; in %%dx, %%al", UNCLAIMED_PORT, 0);
    BENCH_WITH("out-unclaimed", "mov %%r8d, %%edx; out %%al, %%dx", UNCLAIMED_PORT, 0);
}

TEST(device_memory)
{
    BENCH_WITH("mmio-read-unclaimed", "mov (%%r8), %%eax", UNCLAIMED_MMIO, 0);
    BENCH_WITH("ioapic-read", "mov 0x10(%%r8), %%eax", IOAPIC, 0);
    apic_start();
    BENCH_WITH("lapic-tpr-write", "movl $0, 0x80(%%r8)", APIC_BASE, 0);
    BENCH_WITH("lapic-tpr-read", "mov 0x80(%%r8), %%eax", APIC_BASE, 0);
    BENCH_WITH("lapic-id-read", "mov 0x20(%%r8), %%eax", APIC_BASE, 0);
    BENCH_WITH("lapic-eoi-write", "movl $0, 0xb0(%%r8)", APIC_BASE, 0);
    /* Fixed, to oneself, interrupts off: the request stays pending and merges with the next. */
    BENCH_WITH("lapic-icr-write", "mov %%r9d, 0x300(%%r8)", APIC_BASE, ICR_SELF | VECTOR);
    set_gate(eoi_by_memory);
    sti();
    cpu_pause();
    cli();
}

/* Each round takes pages that no instruction of this guest has touched before. */
TEST(memory)
{
    u64 best = ~0ull, at = FRESH_MEMORY;

    for (unsigned round = ROUNDS; round; round--, at += ITERATIONS * PAGE_SIZE) {
        u64 page = at, n = ITERATIONS, begin = rdtsc();
        __asm__ volatile("1: movb $1, (%0); add $4096, %0; dec %1; jnz 1b"
                         : "+r"(page), "+r"(n)
                         :
                         : "cc", "memory");
        u64 ticks = rdtsc() - begin;
        best = ticks < best ? ticks : best;
    }
    report("first-touch-4k", best);
}

/* Send to oneself, take the interrupt, acknowledge it. */
TEST(interrupts)
{
    set_gate(eoi_by_memory);
    BENCH_WITH("self-ipi-sti-nop", "mov %%r9d, 0x300(%%r8); sti; nop; cli", APIC_BASE,
               ICR_SELF | VECTOR);
    BENCH_WITH("self-ipi-sti-hlt", "mov %%r9d, 0x300(%%r8); sti; hlt; cli", APIC_BASE,
               ICR_SELF | VECTOR);
}

TEST(x2apic)
{
    if (!CPUID1_C(21))
        SKIP("no x2APIC");
    wrmsr(0x1b, rdmsr(0x1b) | BIT(10));
    BENCH("x2apic-tpr-write", "mov $0x808, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; wrmsr");
    BENCH("x2apic-tpr-read", "mov $0x808, %%ecx; rdmsr");
    BENCH("x2apic-eoi-write", "mov $0x80b, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; wrmsr");
    set_gate(eoi_by_msr);
    BENCH_WITH("x2apic-self-ipi-sti-nop",
               "mov $0x830, %%ecx; mov %%r8d, %%eax; xor %%edx, %%edx; wrmsr; sti; nop; cli",
               ICR_SELF | VECTOR, 0);
    if (!CPUID1_C(24))
        SKIP("no TSC deadline");
    wrmsr(0x832, BIT(18) | VECTOR);
    BENCH("x2apic-deadline-past", "mov $0x6e0, %%ecx; mov $1, %%eax; xor %%edx, %%edx; wrmsr;"
                                  "sti; nop; cli");
    wrmsr(0x832, BIT(16));
}

TEST(key)
{
    if (!guest_option("wait"))
        SKIP("not asked to wait");
    guest_print("type y for success\n");
    while (!(inb(COM1 + 5) & 1))
        cpu_pause();
    EXPECT_EQ(inb(COM1), 'y');
}
