/* SPDX-License-Identifier: MIT
 *
 * Exceptions and interrupts taken by the hypervisor itself.  A fault that nobody expects (see
 * arch/x86/fixup.h) is a panic with backtrace.
 */
#pragma once

#include "arch/x86/fixup.h"
#include "arch/x86/trap_frame.h"

/* Fill the IDT shared by all CPUs.  Call before anything can fault. */
void trap_init(void);

/* Load that IDT on this CPU (trap_init() does it for the first; SDM vol. 3A, section 6.10). */
void trap_load(void);

/* Base of the IDT, for the VMCS host state. */
u64 trap_idt_base(void);
