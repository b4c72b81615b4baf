/* SPDX-License-Identifier: MIT
 *
 * The local APICs of one virtual machine, SDM vol. 3A, chapter 10: xAPIC page, x2APIC MSRs, timer
 * and IPIs.  The run loop asks them through struct intc what to inject; the I/O APIC and MSIs come
 * in by vlapic_deliver().  Nothing here locks: the owner serialises accesses to one machine.
 *
 * The timer counts at the rate of struct clock (the guest's TSC rate), divided as programmed; a
 * CPUID leaf 15H shown to the guest must therefore name clock.hz as its crystal frequency.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/clock.h"
#include "drivers/cpuport.h"
#include "lib/format.h"

#define VLAPIC_MAX_CPUS       16
#define VLAPIC_BASE           0xfee00000ull
#define VLAPIC_PENDING_EXTINT 0x100 /* what pending() says of an 8259 interrupt */

/* Delivery modes of ICR, LVT, redirection entries and MSIs. */
enum apic_delivery {
    APIC_FIXED,
    APIC_LOWEST,
    APIC_SMI,
    APIC_NMI = 4,
    APIC_INIT,
    APIC_SIPI,
    APIC_EXTINT
};

struct vlapic_set;

/* One CPU's APIC.  reg[n] is the register at MMIO offset n * 16 = MSR 800H + n. */
struct vlapic {
    u32 reg[64];
    s16 ready;      /* what pending() answers; kept by every change */
    u8 cpu;         /* also its APIC ID */
    u8 lint;        /* levels of the pins LINT0 and LINT1 */
    u8 irr_words;   /* which of the eight words of IRR and of ISR are not zero */
    u8 isr_words;   /*  */
    bool extint;    /* an ExtINT message came in through the I/O APIC */
    u32 errors;     /* noted since the last write to ESR */
    u64 base;       /* IA32_APIC_BASE */
    u64 deadline;   /* IA32_TSC_DEADLINE */
    u64 tsc_offset; /* this CPU's TSC = clock + tsc_offset */
    u64 expiry;     /* tick at which the counter is next 0 */
    bool counting;
    struct timer timer;
    struct clock *clock;
    struct vlapic_set *set;
};

struct vlapic_set {
    struct vlapic lapic[VLAPIC_MAX_CPUS];
    unsigned cpus;        /* 1..16 */
    unsigned next_lowest; /* where the next lowest-priority arbitration starts */
    const struct cpu_port *port;
    u8 (*inta)(void *pic); /* 8259: interrupt acknowledge */
    void *pic;
    void (*eoi)(void *ioapic, u8 vector); /* EOI message for a level-triggered vector */
    void *ioapic;
};

/* Power-on state; claims page FEE00000H and the MSRs 1BH, 6E0H, 800H-83FH.
 * EINVAL: cpus; else as bus_add_*(). */
CHECKED enum status vlapic_init(struct vlapic_set *s, unsigned cpus, struct bus *b, struct clock *c,
                                const struct cpu_port *port);

/* Whom to ask for the vector of an ExtINT (vpic_inta), and whom to tell of EOIs (vioapic_eoi). */
void vlapic_connect_pic(struct vlapic_set *s, u8 (*inta)(void *pic), void *pic);
void vlapic_connect_eoi(struct vlapic_set *s, void (*eoi)(void *ioapic, u8 vector), void *ioapic);

/* Power-on state of all of them (unlike intc_ops.reset, which keeps IA32_APIC_BASE as INIT does).
 */
void vlapic_power_on(struct vlapic_set *s);

/* Set CPU 0 up as firmware leaves it: software-enabled, LINT0 ExtINT (the 8259), LINT1 NMI. */
void vlapic_virtual_wire(struct vlapic_set *s);

/* This CPU's timer runs on a clock of its own, of the same rate; before the timer is used. */
void vlapic_set_clock(struct vlapic_set *s, unsigned cpu, struct clock *c);

/* For the run loop. */
struct intc vlapic_intc(struct vlapic_set *s);

/* irqline callback; target: the set, pin: 2 * cpu + 0 (LINT0, from the 8259) or 1 (LINT1). */
void vlapic_lint(void *set, unsigned pin, bool level);

/*
 * An interrupt message from the I/O APIC or an MSI.  dest is 8 bits wide, FFH = all.  True when at
 * least one APIC took it (so that a level-triggered entry sets its Remote IRR).
 */
bool vlapic_deliver(struct vlapic_set *s, u8 dest, bool logical, enum apic_delivery mode, u8 vector,
                    bool level);

/* The timer's current-count register: 0 when it does not count. */
u32 vlapic_timer_count(const struct vlapic *l);

void vlapic_show_cpu(const struct vlapic_set *s, unsigned cpu, struct sink *out);
void vlapic_show(const struct vlapic_set *s, struct sink *out);
