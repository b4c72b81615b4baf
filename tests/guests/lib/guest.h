/* SPDX-License-Identifier: MIT
 *
 * What a bare-metal test guest is made of.  A guest is a few TEST(name) functions; they run in the
 * order of the source in 64-bit mode, interrupts off, memory mapped one to one, and print
 * "ok NAME", "ok NAME # skipped: why" or "not ok NAME: expected ..., got ...".  The guest ends by
 * the number of failures: to the debug-exit port 0xf4, as "end status=N", and by Bochs' shutdown
 * port.  What is expected comes from the SDM, so that each guest also passes on the bare machine.
 */
#ifndef TESTS_GUESTS_GUEST_H
#define TESTS_GUESTS_GUEST_H

#include "emulator/state.h"
#include "lib/bits.h"
#include "lib/format.h"
#include "lib/types.h"

/* --- Tests ------------------------------------------------------------------------------------ */

struct guest_test {
    const char *name;
    void (*run)(void);
    unsigned line; /* tests run in the order of the source */
};

#define TEST(id)                                                                                  \
    static void test_##id(void);                                                                  \
    static const struct guest_test entry_##id = {#id, test_##id, __LINE__};                       \
    __attribute__((used, section(".tests"))) static const struct guest_test *const pointer_##id = \
        &entry_##id;                                                                              \
    static void test_##id(void)

/* The current test has failed: says so, and the next EXPECTs of it are not looked at. */
void guest_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
void guest_skip(const char *fmt, ...) PRINTF_LIKE(1, 2);
void guest_print(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* True when the command line (Multiboot) has this word. */
bool guest_option(const char *word);

/* Program COM1 again, after something has disturbed it. */
void guest_serial_start(void);

/* Print the sums and end the machine. */
__attribute__((noreturn)) void guest_end_run(void);

#define FAIL(...)                                    \
    do {                                             \
        guest_fail(__FILE__, __LINE__, __VA_ARGS__); \
        return;                                      \
    } while (0)

#define SKIP(...)                \
    do {                         \
        guest_skip(__VA_ARGS__); \
        return;                  \
    } while (0)

#define EXPECT(condition)                    \
    do {                                     \
        if (!(condition))                    \
            FAIL("expected %s", #condition); \
    } while (0)

#define EXPECT_EQ(got, want)                                                       \
    do {                                                                           \
        u64 got_ = (u64)(got), want_ = (u64)(want);                                \
        if (got_ != want_)                                                         \
            FAIL("%s: expected %#llx, got %#llx", #got, (unsigned long long)want_, \
                 (unsigned long long)got_);                                        \
    } while (0)

/* low <= got <= high */
#define EXPECT_RANGE(got, low, high)                                                    \
    do {                                                                                \
        u64 got_ = (u64)(got), low_ = (u64)(low), high_ = (u64)(high);                  \
        if (got_ < low_ || got_ > high_)                                                \
            FAIL("%s: expected %llu to %llu, got %llu", #got, (unsigned long long)low_, \
                 (unsigned long long)high_, (unsigned long long)got_);                  \
    } while (0)

/* --- Exceptions and interrupts ---------------------------------------------------------------- */

struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

struct trap_context {
    u64 rbx, rbp, r12, r13, r14, r15, rip, rsp, rflags;
};

/* What CATCH() saw. */
struct trap {
    unsigned vector; /* TRAP_NONE: nothing happened */
    u64 error, rip, cr2, dr6, rflags;
    u64 rax, rcx, rdx, rsi, rdi, rsp, cs, ss;
};
#define TRAP_NONE 0x100u

int trap_save(struct trap_context *c) __attribute__((returns_twice));
struct trap_context *trap_arm(void);
struct trap trap_disarm(void);

/* Run a statement; the first exception in it ends it. */
#define CATCH(...)                        \
    __extension__({                       \
        if (trap_save(trap_arm()) == 0) { \
            __VA_ARGS__;                  \
        }                                 \
        trap_disarm();                    \
    })

/* No variable changes between a CATCH() and its exception but by the statement in it. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wclobbered"
#endif

/* A statement raises this exception; `code` is its error code, or 0 where it has none. */
#define EXPECT_TRAP(want_vector, code, ...)                                                       \
    do {                                                                                          \
        struct trap t_ = CATCH(__VA_ARGS__);                                                      \
        if (t_.vector != (want_vector) || t_.error != (u64)(code))                                \
            FAIL("%s: expected %s(%#llx), got %s(%#llx)", #__VA_ARGS__, trap_name(want_vector),   \
                 (unsigned long long)(code), trap_name(t_.vector), (unsigned long long)t_.error); \
    } while (0)

#define EXPECT_NO_TRAP(...)                                                                      \
    do {                                                                                         \
        struct trap t_ = CATCH(__VA_ARGS__);                                                     \
        if (t_.vector != TRAP_NONE)                                                              \
            FAIL("%s: expected no exception, got %s(%#llx)", #__VA_ARGS__, trap_name(t_.vector), \
                 (unsigned long long)t_.error);                                                  \
    } while (0)

const char *trap_name(unsigned vector);

/*
 * Code for CPL 3: assembly text that ends by a fault of its own, or else by INT3.  user_run()
 * enters it inside CATCH(), with the given RFLAGS.
 */
#define USER_CODE(name, text) \
    __attribute__((naked)) static void name(void) { __asm__ volatile(text "; int3"); }
void user_run(void (*code)(void), u64 rflags);
/* As user_run() in 32-bit code (CS = GDT_CODE32, CPL 0): text is assembled for 32 bits. */
#define CODE32(name, text)                                    \
    __attribute__((naked)) static void name(void)             \
    {                                                         \
        __asm__ volatile(".code32; " text "; int3; .code64"); \
    }
void code32_run(void (*code)(void));

/* Have a vector handled in place (NULL: again only for CATCH()); the handler may change the frame.
 */
void trap_handle(unsigned vector, void (*handler)(struct trap_frame *f));

/* Interrupts counted per vector by irq_count(); acknowledged to the APIC or the 8259. */
extern volatile u32 irq_seen[256];
void irq_count(struct trap_frame *f);      /* no acknowledgement */
void irq_count_apic(struct trap_frame *f); /* EOI to the local APIC */
void irq_count_pic(struct trap_frame *f);  /* EOI to both 8259 */

/* Wait with interrupts on until irq_seen[vector] reaches n, at most `spins` turns; then off. */
bool irq_wait(unsigned vector, u32 n, u64 spins);

/* --- The machine ------------------------------------------------------------------------------ */

enum {
    GDT_CODE64 = 0x08,
    GDT_DATA = 0x10,
    GDT_CODE32 = 0x18,
    GDT_USER_DATA = 0x20,
    GDT_USER_CODE64 = 0x28,
    GDT_TSS = 0x30,
    GDT_FREE = 0x40,
    GDT_ENTRIES = 16
};

extern u64 guest_gdt[GDT_ENTRIES];
extern u64 guest_idt[256][2];
extern u64 guest_pml4[512], guest_pdpt[512], guest_pd[2048];
extern u32 guest_boot_magic, guest_boot_info;
extern const char guest_end[];

#define PIC_VECTOR 0x20 /* the 8259s are programmed to vectors 20h..2Fh, all masked */
#define APIC_BASE  0xfee00000u

struct cpuid {
    u32 a, b, c, d;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline bool under_hypervisor(void) { return cpuid(1, 0).c >> 31; }

#define CPUID1_C(bit) (cpuid(1, 0).c >> (bit)&1)
#define CPUID1_D(bit) (cpuid(1, 0).d >> (bit)&1)

static inline u64 rdmsr(u32 msr)
{
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (u64)high << 32 | low;
}

#define ACCESS_CR(n)                                                   \
    static inline u64 read_cr##n(void)                                 \
    {                                                                  \
        u64 v;                                                         \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory"); \
        return v;                                                      \
    }                                                                  \
    static inline void write_cr##n(u64 v)                              \
    {                                                                  \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");     \
    }
ACCESS_CR(0)
ACCESS_CR(2)
ACCESS_CR(3)
ACCESS_CR(4)
ACCESS_CR(8)

#define ACCESS_DR(n)                                                   \
    static inline u64 read_dr##n(void)                                 \
    {                                                                  \
        u64 v;                                                         \
        __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v) : : "memory"); \
        return v;                                                      \
    }                                                                  \
    static inline void write_dr##n(u64 v)                              \
    {                                                                  \
        __asm__ volatile("mov %0, %%dr" #n : : "r"(v) : "memory");     \
    }
ACCESS_DR(0)
ACCESS_DR(1)
ACCESS_DR(2)
ACCESS_DR(3)
ACCESS_DR(4)
ACCESS_DR(5)
ACCESS_DR(6)
ACCESS_DR(7)

#define ACCESS_PORT(type, suffix, letter)                                            \
    static inline type in##letter(u16 port)                                          \
    {                                                                                \
        type v;                                                                      \
        __asm__ volatile("in" #letter " %1, %0" : "=a"(v) : "Nd"(port) : "memory");  \
        return v;                                                                    \
    }                                                                                \
    static inline void out##letter(u16 port, type v)                                 \
    {                                                                                \
        __asm__ volatile("out" #letter " %0, %1" : : "a"(v), "Nd"(port) : "memory"); \
    }
ACCESS_PORT(u8, 8, b)
ACCESS_PORT(u16, 16, w)
ACCESS_PORT(u32, 32, l)

static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }

static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }

static inline u64 read_flags(void)
{
    u64 v;
    __asm__ volatile("pushfq; pop %0" : "=r"(v) : : "memory");
    return v;
}

static inline void cpu_pause(void) { __asm__ volatile("pause" : : : "memory"); }

/* A 32-bit register of device memory. */
static inline volatile u32 *mmio(u64 address) { return (volatile u32 *)(uintptr_t)address; }

/* Local APIC registers by offset, SDM vol. 3A, table 10-1. */
enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_PPR = 0xa0,
    APIC_EOI = 0xb0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR2 = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INIT = 0x380,
    APIC_TIMER_COUNT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0
};

static inline u32 apic_read(u32 offset) { return *mmio(APIC_BASE + offset); }

static inline void apic_write(u32 offset, u32 v) { *mmio(APIC_BASE + offset) = v; }

/* Switch the APIC on (spurious vector FFh), task priority 0, all LVTs masked but LINT0 = ExtINT. */
void apic_start(void);

/* Unmask the lines of `mask` (bit n: IRQ n) at the 8259s, mask the others. */
void pic_unmask(u16 mask);

/* Map [virtual, +2 MiB) with these 4-KiB entries (512 of them, page-aligned) or again as it was. */
void page_split(u64 virtual, u64 *table);
void page_flush(void);

/* 2 MiB that have such entries while they are open: at first of themselves, with all rights. */
#define WINDOW (64 * MiB)
extern u64 window_entry[512];
void window_open(void);
void window_close(void);

#endif
