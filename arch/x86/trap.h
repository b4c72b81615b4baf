/* SPDX-License-Identifier: MIT
 *
 * Exceptions and interrupts taken by the hypervisor itself: the IDT, what a handler sees, and
 * instructions that are allowed to fault.  A fault that nobody expects is a panic with backtrace.
 */
#ifndef ARCH_X86_TRAP_H
#define ARCH_X86_TRAP_H

#include "lib/types.h"

/* What arch/x86/trap_entry.asm leaves on the stack, lowest address first. */
struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector;
    u64 error_code; /* 0 where the CPU pushes none */
    u64 rip, cs, rflags, rsp, ss;
};

/* Fill the IDT shared by all CPUs.  Call before anything can fault. */
void trap_init(void);

/* Load that IDT on this CPU (trap_init() does it for the first; SDM vol. 3A, section 6.10). */
void trap_load(void);

/* Called for each NMI that hits the hypervisor (not one that exits from a guest), after the panic
 * check; it may only touch what is safe at any instruction.  Without one an NMI is a panic. */
void trap_set_nmi_handler(void (*handler)(void));

/* Base of the IDT, for the VMCS host state. */
u64 trap_idt_base(void);

/*
 * Read or write an MSR that may not exist or may refuse the value: false on #GP.  *value is
 * written only on success.
 */
bool msr_read_safe(u32 msr, u64 *value);
bool msr_write_safe(u32 msr, u64 value);

/*
 * In an asm statement: when the instruction at local label `from` faults, go on at label `to`
 * (with all registers as they were).  Example: "1: rdmsr; mov $1, %0; 2:" TRAP_FIXUP("1b", "2b").
 */
#define TRAP_FIXUP(from, to)         \
    ".pushsection .fixup, \"a\"\n\t" \
    ".balign 8\n\t"                  \
    ".quad " from ", " to "\n\t"     \
    ".popsection\n\t"

#endif
