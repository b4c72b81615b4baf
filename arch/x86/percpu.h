/* SPDX-License-Identifier: MIT
 *
 * What each host CPU has of its own, found through the GS base: descriptor tables, stacks, and the
 * virtual CPU it runs.  CPU 0 has a static one so that traps work before there is memory; the
 * others' are allocated by percpu_create() when they are brought up.
 */
#ifndef ARCH_X86_PERCPU_H
#define ARCH_X86_PERCPU_H

#include "lib/status.h"
#include "lib/types.h"

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

/* A CPU's stacks; they grow down, each into a page that the final page tables do not map. */
struct cpu_stacks {
    u8 main_guard[PAGE_SIZE];
    u8 main[STACK_SIZE];
    u8 df_guard[PAGE_SIZE];
    u8 df[IST_STACK_SIZE];
    u8 nmi_guard[PAGE_SIZE];
    u8 nmi[IST_STACK_SIZE];
    u8 mc_guard[PAGE_SIZE];
    u8 mc[IST_STACK_SIZE];
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
    struct cpu_stacks *stacks;
    u64 gdt[GDT_ENTRIES];
    struct tss tss;
    u64 spurious_interrupts;
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

/* Make room for `count` CPUs (1 .. 1024) once their number is known. */
CHECKED enum status percpu_init(unsigned count);

/* Allocate CPU `number`'s area and stacks, mapped with guard pages. */
CHECKED enum status percpu_create(unsigned number, u32 apic_id);

/* On the CPU itself: load its GDT, TSS and GS base. */
void percpu_load(struct percpu *p);

/* CPU `number`'s area, or NULL; how many there may be. */
struct percpu *percpu_get(unsigned number);
unsigned cpu_count(void);

/* This CPU's number, also as log_set_source() wants it. */
unsigned cpu_number(void);

/* Address of this CPU's TSS, for the VMCS host state. */
static inline u64 percpu_tss_base(const struct percpu *p)
{
    return (u64)(uintptr_t)&p->tss;
}

#endif
