/* SPDX-License-Identifier: MIT
 *
 * The host's local APIC, in xAPIC or x2APIC mode (whichever the firmware left, x2APIC when there
 * is a choice): identity, end of interrupt, one-shot timer, interprocessor interrupts.  SDM vol.
 * 3A, chapter 10.  A machine without a local APIC works with the 8259 alone, one CPU and no timer.
 */
#pragma once

#include "lib/status.h"

/* Enable this CPU's APIC and mask its local interrupts.  ENOTSUP when there is none. */
CHECKED enum status apic_init(void);

/* Measure the timer against the TSC (needs tsc_init(); nothing to do with TSC-deadline mode). */
void apic_timer_init(void);

bool apic_present(void);
bool apic_is_x2apic(void);
u32 apic_id(void);
void apic_eoi(void);

/* Errors since the last call (ESR bits, SDM vol. 3A, section 10.5.3). */
u32 apic_error(void);

/* Log which mode and timer are in use. */
void apic_report(void);

/* A fixed interrupt to the CPU with that APIC ID; NMI, INIT and start-up (page of the code below
 * 1 MiB, 0..255) likewise. */
void apic_send_ipi(u32 dest, u8 vector);
void apic_send_nmi(u32 dest);
void apic_send_init(u32 dest);
void apic_send_startup(u32 dest, u8 page);
/* NMI to every other CPU. */
void apic_send_nmi_others(void);

/* Interrupt IRQ_VECTOR_TIMER once, at that TSC value (at once when it is past; without TSC-deadline
 * mode, at most 2^32 timer counts from now, so earlier than a distant deadline).  Arming again
 * replaces.  Attach the handler with irq_attach_vector(). */
bool apic_timer_present(void);
void apic_timer_arm(u64 tsc_deadline);
void apic_timer_disarm(void);

/* Route the 8259's INTR through LINT0 (virtual wire), for machines without an I/O APIC. */
void apic_enable_extint(void);
