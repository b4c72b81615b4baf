/* SPDX-License-Identifier: MIT
 *
 * The host CPU's instructions that C cannot say, one inline function each, and its features by
 * name.  Nothing here keeps state.  MSR numbers are in lib/msr.h; accesses to MSRs that may
 * not exist go through msr_read_safe() in arch/x86/trap.h.
 */
#pragma once

#include "lib/x86.h"

/* CPUID */

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid_regs r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

/*
 * A CPUID feature bit as one number: bit 31 = extended leaf, 30:16 = leaf, 15:8 = subleaf, 6:5 =
 * register (EAX, EBX, ECX, EDX), 4:0 = bit.  SDM vol. 2A, CPUID.
 */
#define CPU_FEATURE(leaf, sub, reg, bit)                                                       \
    (((leaf)&0x80000000u) | (((leaf)&0x7fffu) << 16) | ((sub) << 8) | ((unsigned)(reg) << 5) | \
     (bit))
enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

#define CPU_X2APIC        CPU_FEATURE(1u, 0u, CPUID_ECX, 21u)
#define CPU_TSC_DEADLINE  CPU_FEATURE(1u, 0u, CPUID_ECX, 24u)
#define CPU_XSAVE         CPU_FEATURE(1u, 0u, CPUID_ECX, 26u)
#define CPU_HYPERVISOR    CPU_FEATURE(1u, 0u, CPUID_ECX, 31u)
#define CPU_MCE           CPU_FEATURE(1u, 0u, CPUID_EDX, 7u)
#define CPU_APIC          CPU_FEATURE(1u, 0u, CPUID_EDX, 9u)
#define CPU_MTRR          CPU_FEATURE(1u, 0u, CPUID_EDX, 12u)
#define CPU_PAT           CPU_FEATURE(1u, 0u, CPUID_EDX, 16u)
#define CPU_SMEP          CPU_FEATURE(7u, 0u, CPUID_EBX, 7u)
#define CPU_SMAP          CPU_FEATURE(7u, 0u, CPUID_EBX, 20u)
#define CPU_UMIP          CPU_FEATURE(7u, 0u, CPUID_ECX, 2u)
#define CPU_NX            CPU_FEATURE(0x80000001u, 0u, CPUID_EDX, 20u)
#define CPU_PAGE_1G       CPU_FEATURE(0x80000001u, 0u, CPUID_EDX, 26u)
#define CPU_TSC_INVARIANT CPU_FEATURE(0x80000007u, 0u, CPUID_EDX, 8u)

/* True when this CPU has the CPU_* feature (false too when its leaf does not exist). */
static inline bool cpu_has(u32 feature)
{
    u32 leaf = (feature & 0x80000000u) | ((feature >> 16) & 0x7fff);
    u32 sub = (feature >> 8) & 0xff;
    if (cpuid(leaf & 0x80000000u, 0).eax < leaf)
        return false;
    struct cpuid_regs r = cpuid(leaf, sub);
    u32 value[4] = {r.eax, r.ebx, r.ecx, r.edx};
    return (value[(feature >> 5) & 3] >> (feature & 31)) & 1;
}

/* Width of physical addresses in bits (CPUID 80000008H; 36 without it). */
static inline unsigned cpu_phys_bits(void)
{
    return cpuid(0x80000000u, 0).eax >= 0x80000008u ? cpuid(0x80000008u, 0).eax & 0xff : 36;
}

/* Time stamp counter.  The ordered form waits for every earlier instruction. */

static inline u64 rdtsc(void) { return __builtin_ia32_rdtsc(); }

static inline u64 rdtsc_ordered(void)
{
    __asm__ volatile("lfence" ::: "memory");
    return rdtsc();
}

/* Ports: inb(port), outb(port, v), and with w and l for 16 and 32 bits. */
#define CPU_PORT(suffix, type)                                                       \
    static inline type in##suffix(u16 port)                                          \
    {                                                                                \
        type v;                                                                      \
        __asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port) : "memory");  \
        return v;                                                                    \
    }                                                                                \
    static inline void out##suffix(u16 port, type v)                                 \
    {                                                                                \
        __asm__ volatile("out" #suffix " %0, %1" : : "a"(v), "Nd"(port) : "memory"); \
    }
CPU_PORT(b, u8)
CPU_PORT(w, u16)
CPU_PORT(l, u32)
#undef CPU_PORT

/* Control and debug registers: cr0_read(), cr0_write(v), ... dr6_write(v). */
#define CPU_REGISTER(name)                                              \
    static inline u64 name##_read(void)                                 \
    {                                                                   \
        u64 v;                                                          \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(v) : : "memory"); \
        return v;                                                       \
    }                                                                   \
    static inline void name##_write(u64 v)                              \
    {                                                                   \
        __asm__ volatile("mov %0, %%" #name : : "r"(v) : "memory");     \
    }
CPU_REGISTER(cr0)
CPU_REGISTER(cr2)
CPU_REGISTER(cr3)
CPU_REGISTER(cr4)
CPU_REGISTER(dr0)
CPU_REGISTER(dr1)
CPU_REGISTER(dr2)
CPU_REGISTER(dr3)
CPU_REGISTER(dr6)
#undef CPU_REGISTER

/* An extended control register; CR4.OSXSAVE must be set. */
static inline void xsetbv(u32 index, u64 v)
{
    __asm__ volatile("xsetbv" : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

/* Model-specific registers that are known to exist: a fault here is a panic. */
static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

/* Descriptor tables */

struct table_pointer {
    u16 limit;
    u64 base;
} __attribute__((packed));

static inline void lgdt(const struct table_pointer *t)
{
    __asm__ volatile("lgdt %0" : : "m"(*t) : "memory");
}
static inline void lidt(const struct table_pointer *t)
{
    __asm__ volatile("lidt %0" : : "m"(*t) : "memory");
}
static inline void ltr(u16 selector) { __asm__ volatile("ltr %0" : : "r"(selector) : "memory"); }
static inline void lldt(u16 selector) { __asm__ volatile("lldt %0" : : "r"(selector) : "memory"); }
static inline struct table_pointer sgdt(void)
{
    struct table_pointer t;
    __asm__ volatile("sgdt %0" : "=m"(t));
    return t;
}

/* Interrupt flag, waiting, caches, TLB */

static inline void cpu_cli(void) { __asm__ volatile("cli" ::: "memory"); }
static inline void cpu_hlt(void) { __asm__ volatile("hlt" ::: "memory"); }
/* Enable interrupts and wait for one, with no window in between; returns with them disabled. */
static inline void cpu_wait(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }
static inline void cpu_pause(void) { __asm__ volatile("pause" ::: "memory"); }
static inline void invlpg(const volatile void *at)
{
    __asm__ volatile("invlpg %0" : : "m"(*(const volatile char *)at) : "memory");
}

static inline u64 rflags_read(void)
{
    u64 v;
    __asm__ volatile("pushfq; popq %0" : "=r"(v) : : "memory");
    return v;
}
