/* SPDX-License-Identifier: MIT
 *
 * Breakpoints and watchpoints (see vmx/debug.h), as exits and the emulator meet them.
 */
#pragma once

#include "lib/status.h"
#include "vmx/debug_state.h"

struct vm;
struct vcpu;

/*
 * Add a point; *id is its number.  ENOENT: no memory is there, or nothing is mapped there (and no
 * debug register free for a breakpoint).  ENOSPC.  EINVAL: size 0 or past the end.
 */
CHECKED enum status debug_add(struct vcpu *v, const struct debug_point *wanted, u16 *id);
/* Remove it, or with 0 all of GDB's or all of the prompt's; ENOENT.  What it closed stays closed
 * until the guest is there again. */
CHECKED enum status debug_remove(struct vm *vm, u16 id, bool gdb);

/* Give out the debug registers and close pages; the CPUs' own part follows when they are rearmed.
 */
CHECKED enum status debug_place(struct vm *vm);
/* Those of DR0-DR3 that DR7 enables. */
u8 debug_enabled(u64 dr7);

u64 debug_linear_rip(struct vcpu *v);
/* The guest-physical page of the code at `linear`, or DEBUG_NONE. */
u64 debug_code_page(struct vcpu *v, u64 linear);
/* Code in it is to be emulated. */
bool debug_page_closed(const struct vm *vm, u64 page);
/* The breakpoint at RIP, or NULL. */
struct debug_point *debug_breakpoint_here(struct vcpu *v);

/* The CPU is to execute one instruction itself; has done so. */
void debug_native_begin(struct vcpu *v);
void debug_native_end(struct vcpu *v);

/* Is memory there that the points do not close any more (or never did) to an access of these EPT
 * rights?  Then EPT allows it from now on: the instruction is to be tried again. */
bool debug_reopen(struct vcpu *v, gpa_t gpa, u64 rights);
/* An EPT violation at gpa; true: the page is closed for debugging, and this was all about it (or
 * the access is to be emulated, with *emulate). */
bool debug_violation(struct vcpu *v, gpa_t gpa, u64 qualification, bool *emulate);
/* Is an access to RAM to be told to debug_access()? */
bool debug_hides(struct vcpu *v, gpa_t gpa, enum emu_access access);
/* The emulator takes an address for a device's; true when memory is there, which a watchpoint hides
 * or has hidden from it. */
bool debug_access(struct vcpu *v, gpa_t gpa, unsigned size, u64 *value, bool write);
/* The emulator does not know an instruction: true when the CPU will step over it. */
bool debug_unknown(struct vcpu *v);
/* An exception has left the guest; true when it was all ours.  What is the guest's stays in *event.
 */
bool debug_exception(struct vcpu *v, struct emu_event *event);
