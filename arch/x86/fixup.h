/* SPDX-License-Identifier: MIT
 *
 * Instructions that are allowed to fault.
 */
#pragma once

#include "lib/types.h"

/*
 * In an asm statement: when the instruction at local label `from` faults, go on at label `to`
 * (with all registers as they were).  Example: "1: rdmsr; mov $1, %0; 2:" TRAP_FIXUP("1b", "2b").
 */
#define TRAP_FIXUP(from, to)         \
    ".pushsection .fixup, \"a\"\n\t" \
    ".balign 8\n\t"                  \
    ".quad " from ", " to "\n\t"     \
    ".popsection\n\t"

/* Where to go on after a fault at rip; 0: nobody expects one there. */
u64 fixup_find(u64 rip);

/*
 * Read or write an MSR that may not exist or may refuse the value: false on #GP.  *value is
 * written only on success.
 */
bool msr_read_safe(u32 msr, u64 *value);
bool msr_write_safe(u32 msr, u64 value);

/* One byte of the hypervisor's address space; false where nothing is mapped. */
bool memory_read_safe(u64 at, u8 *byte);
