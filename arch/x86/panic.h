/* SPDX-License-Identifier: MIT
 *
 * The end of the road for the hypervisor's own broken invariants; never for what a guest does.
 * Everything goes to the log (hence to its sinks): the reason, registers, a symbolised backtrace,
 * then what the attached reporters say, and finally the post-mortem hook (the shell) or the end of
 * the run.
 */
#pragma once

#include "arch/x86/trap_frame.h"
#include "lib/format.h"

_Noreturn void panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* As panic(), about a trap: registers and backtrace are the interrupted code's. */
_Noreturn void panic_trap(const struct trap_frame *frame, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Add a reporter (at most 8; the VMCS, the last trace records, ...), run in order of attachment. */
void panic_attach(void (*report)(struct sink *s));

/* What runs last, with interrupts off; when it returns, or when there is none, the run ends. */
void panic_set_post_mortem(void (*hook)(void));

/* How the other CPUs are stopped (by NMI), once there are any. */
void panic_set_stop_others(void (*stop)(void));

/* True once a panic has begun on any CPU. */
bool panic_in_progress(void);

/* A code address with its symbol, and a new line. */
void panic_print_address(struct sink *s, u64 address);

/* The hypervisor's own invariant: panics with the text when it does not hold. */
#define invariant(condition)                                                           \
    do {                                                                               \
        if (unlikely(!(condition)))                                                    \
            panic("broken invariant \"%s\" at %s:%d", #condition, __FILE__, __LINE__); \
    } while (0)
