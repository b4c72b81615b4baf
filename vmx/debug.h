/* SPDX-License-Identifier: MIT
 *
 * Execution control: pause, step, breakpoints, watchpoints, injected events; for the prompt and for
 * GDB alike, and invisible to the guest.
 *
 * A point is a page that EPT closes: to execution for a breakpoint, to reads or writes for a
 * watchpoint.  What then happens in that page goes through the emulator, which tells every access
 * exactly; everything else runs at full speed.  Breakpoints are in the CPU's debug registers as
 * long as the guest leaves some, so that their pages stay open too.
 *
 * A step is done by the emulator, which the guest cannot notice.  What the emulator does not know,
 * the CPU executes, with the monitor trap flag where that has been seen to work, else with
 * RFLAGS.TF.  Interrupts wait meanwhile.
 */
#pragma once

#include "vmx/debug_points.h"

/* Once for every virtual CPU; the first tries the monitor trap flag out, on a scrap of code. */
void debug_init(struct vcpu *v);

/* What each virtual CPU is to do. */
enum debug_act { DEBUG_HOLD, DEBUG_RUN, DEBUG_STEP };
void debug_resume(struct vcpu *v, enum debug_act act, u64 steps, u64 first, u64 end);
void debug_pause(struct vm *vm);

/* Stop the VM, saying why. */
void debug_stop(struct vcpu *v, enum debug_cause cause, u16 point);
/* All its CPUs stand still, and their state is in memory. */
bool debug_stopped(const struct vm *vm);

/* --- For the run loop and the exits --- */

/* Before and after standing still. */
void debug_park(struct vcpu *v);
void debug_unpark(struct vcpu *v);
/* With REQUEST_DEBUG, first: account for what has just happened; false: the VM has stopped. */
bool debug_settle(struct vcpu *v);
/* ... and last: emulate what is to be emulated; false: look at everything again, true: enter. */
bool debug_serve(struct vcpu *v);
