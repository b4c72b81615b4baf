/* SPDX-License-Identifier: MIT
 *
 * VM exits: one handler per basic exit reason, found through the table that vmx/exits.def makes.
 */
#pragma once

#include "vmx/inject.h"

#define EXIT(number, name, handler) enum exit_action handler(struct vcpu *v);
#include "vmx/exits.def"
#undef EXIT

extern enum exit_action (*const exit_table[EXIT_REASON_COUNT])(struct vcpu *v);
/* The same for when the trace is on: handlers that write down what is lost behind them. */
extern enum exit_action (*const exit_table_traced[EXIT_REASON_COUNT])(struct vcpu *v);

/* Call the handler of the exit that has just happened; v->reason is set. */
static inline enum exit_action exit_dispatch_by(struct vcpu *v,
                                                enum exit_action (*const table[])(struct vcpu *v))
{
    u32 reason = v->reason & 0xffff;

    if (unlikely(reason >= EXIT_REASON_COUNT))
        return exit_unexpected(v);
    return table[reason](v);
}

static inline enum exit_action exit_dispatch(struct vcpu *v)
{
    return exit_dispatch_by(v, exit_table);
}

/* The rest of exit_retire(), when there is more to do than to go on. */
__attribute__((noinline)) enum exit_action exit_retire_special(struct vcpu *v);

/* The exiting instruction has been carried out here: go on behind it. */
static inline enum exit_action exit_retire(struct vcpu *v)
{
    struct x86_state *s = &v->state;
    u64 rip = s->rip, rflags = vmread(VMCS_GUEST_RFLAGS);
    u64 next = rip + vmread(VMCS_EXIT_INSTRUCTION_LENGTH);

    if (unlikely(emu_retire_is_special(rflags, vmread(VMCS_GUEST_INTERRUPTIBILITY), rip, next)))
        return exit_retire_special(v);
    s->rip = next;
    s->dirty |= STATE_RIP;
    return EXIT_CONTINUE;
}
