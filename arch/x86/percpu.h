/* SPDX-License-Identifier: MIT
 *
 * What each host CPU has of its own, found through the GS base: descriptor tables, stacks, and the
 * virtual CPU it runs.  CPU 0 has a static one so that traps work before there is memory; the
 * others' are allocated by arch/x86/cpus.c when they are brought up.
 */
#pragma once

#include "lib/status.h"
#include <stdatomic.h>

/* Selectors in every CPU's GDT. */
#define SELECTOR_CODE 0x08u
#define SELECTOR_DATA 0x10u
#define SELECTOR_TSS  0x18u /* two entries */
#define GDT_ENTRIES   5

/* Interrupt stack table slots, SDM vol. 3A, section 6.14.5; 0 means the current stack. */
#define IST_DF  1u
#define IST_NMI 2u
#define IST_MC  3u

#define STACK_SIZE     (32 * KiB)
#define IST_STACK_SIZE (8 * KiB)

/* A CPU's stacks; below each bottom lies a page that the final page tables do not map. */
enum stack_kind { STACK_MAIN, STACK_DF, STACK_NMI, STACK_MC, STACK_COUNT };
struct stack {
    u64 bottom, top; /* addresses; top is exclusive */
};

/* 64-bit task-state segment, SDM vol. 3A, figure 7-11. */
struct tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7]; /* ist[n - 1] is IST n */
    u64 reserved2;
    u16 reserved3;
    u16 io_map_base;
} __attribute__((packed));

struct percpu {
    struct percpu *self; /* at GS:0 */
    unsigned number;     /* 0 .. cpu_count() - 1 */
    u32 apic_id;
    void *vcpu; /* the virtual CPU that runs here, or NULL: owned by vmx */
    void *vmx;  /* VMXON region and the like: owned by vmx */
    struct stack stack[STACK_COUNT];
    u64 gdt[GDT_ENTRIES];
    struct tss tss;
    u64 spurious_interrupts;
    u64 *stub_write;     /* arch/x86/stub.c: its page of code, here to write … */
    const u64 *stub_run; /* … and here to execute */
    u64 stub_at;         /* the stub that runs now and may fault; 0: none */
    u64 pair;            /* arch/x86/paging.c: addresses of two pages; 0: not used yet */

    /* arch/x86/cpus.c */
    _Atomic bool online;
    void (*_Atomic work)(void *ctx); /* NULL: none */
    void *work_ctx;
    u64 tsc_behind;       /* ticks by which its TSC was seen behind CPU 0's, or CPU 0's behind it */
    _Atomic bool stopped; /* stands still after a panic */
    u64 stopped_rip;
};

/* This CPU's. */
static inline struct percpu *this_cpu(void)
{
    struct percpu *p;
    __asm__("movq %%gs:0, %0" : "=r"(p));
    return p;
}

/* Set up CPU 0: GDT, TSS, GS base.  First thing in C: needs nothing. */
void percpu_init_boot(void);

/* From now on table[n] is CPU n's area, or NULL; table[0] is filled in here. */
void percpu_set_table(struct percpu **table, unsigned count);

/* On the CPU itself: load its GDT, TSS and GS base, and set the control bits that all CPUs run
 * with (SSE and XSAVE usable, machine checks on, PAT as after reset). */
void percpu_load(struct percpu *p);

/* CPU `number`'s area, or NULL; how many there may be. */
struct percpu *percpu_get(unsigned number);
unsigned cpu_count(void);

/* When address lies in the guard page of one of this CPU's stacks: that stack's name, else NULL. */
const char *percpu_guard_hit(u64 address);

/* Call fn for each guard page in the image, which paging_init() leaves out. */
void percpu_each_boot_guard(void (*fn)(void *ctx, u64 address), void *ctx);

/* This CPU's number, also as log_set_source() wants it. */
unsigned cpu_number(void);

/* Address of this CPU's TSS, for the VMCS host state. */
static inline u64 percpu_tss_base(const struct percpu *p) { return (u64)(uintptr_t)&p->tss; }
