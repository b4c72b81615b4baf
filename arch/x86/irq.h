/* SPDX-License-Identifier: MIT
 *
 * Host interrupts: vectors, who handles them, and the controller behind (I/O APIC, or 8259 pair).
 * The hypervisor runs with interrupts off but for a few windows; in a guest they cause exits, and
 * the vector (acknowledged on exit) is given to irq_dispatch() here, as the IDT does.
 */
#pragma once

#include "arch/x86/vectors.h"
#include "lib/format.h"
#include "lib/status.h"

/* Program the 8259 pair (all masked) and, when there is one, the I/O APICs (all masked). */
CHECKED enum status irq_init(void);

/* Handle an ISA interrupt (0..15) and unmask it.  EEXIST when somebody else has it. */
CHECKED enum status irq_attach(unsigned isa_irq, void (*fn)(void *ctx), void *ctx);

/* Handle a local vector (timer, kick).  EEXIST, EINVAL (below 0x20). */
CHECKED enum status irq_attach_vector(u8 vector, void (*fn)(void *ctx), void *ctx);

/* Run the handler of an acknowledged interrupt and end it at its controller.  Interrupts off. */
void irq_dispatch(u8 vector);

/* True when the I/O APIC is in use, false for the 8259. */
bool irq_uses_ioapic(void);

/* Counts by vector, for the shell. */
void irq_report(struct sink *s);
