/* SPDX-License-Identifier: MIT
 *
 * VM exits: one handler per basic exit reason, found through the table that vmx/exits.def makes.
 */
#ifndef VMX_EXIT_H
#define VMX_EXIT_H

#include "vmx/inject.h"
#include "vmx/vcpu.h"

#define EXIT(number, name, handler, may_vector) enum exit_action handler(struct vcpu *v);
#include "vmx/exits.def"
#undef EXIT

struct exit_entry {
    enum exit_action (*handler)(struct vcpu *v);
    bool may_vector;
};
extern const struct exit_entry exit_table[EXIT_REASON_COUNT];

/* Call the handler of the exit that has just happened; v->reason is set. */
static inline enum exit_action exit_dispatch(struct vcpu *v)
{
    u32 reason = (u16)v->reason;
    const struct exit_entry *e = &exit_table[reason];

    if (unlikely(reason >= EXIT_REASON_COUNT || !e->handler))
        return exit_unexpected(v);
    if (unlikely(e->may_vector))
        inject_recover(v);
    return e->handler(v);
}

/* The exiting instruction has been carried out here: go on behind it. */
enum exit_action exit_retire(struct vcpu *v);

#endif
