/* SPDX-License-Identifier: MIT
 *
 * Events on their way into the guest: exceptions raised here, deliveries that an exit interrupted,
 * NMIs and external interrupts; and the windows asked for when the guest cannot take one yet.
 */
#pragma once

#include "vmx/vcpu.h"

/* Event to be delivered at the next entry, in place of none. */
void inject_event(struct vcpu *v, const struct emu_event *event);

/*
 * A fault of the current instruction.  When it happened during the delivery of another event the
 * rules of SDM vol. 3A, table 6-5 apply: double fault, or the end of the VM by a triple fault.
 */
enum exit_action inject_fault(struct vcpu *v, const struct emu_event *fault);

static inline enum exit_action inject_gp(struct vcpu *v)
{
    const struct emu_event gp = {
        .vector = VECTOR_GP, .type = EMU_EVENT_HARD_EXCEPTION, .has_error = true};
    return inject_fault(v, &gp);
}

static inline enum exit_action inject_ud(struct vcpu *v)
{
    const struct emu_event ud = {.vector = VECTOR_UD, .type = EMU_EVENT_HARD_EXCEPTION};
    return inject_fault(v, &ud);
}

/* Did the last exit interrupt the delivery of an event?  (Valid bit of the IDT-vectoring field.) */
static inline bool inject_was_interrupted(void)
{
    return (vmread(VMCS_IDT_VECTORING_INFO) & BIT(31)) != 0;
}

/* After an exit that may have interrupted a delivery: take it back into v->event. */
void inject_recover(struct vcpu *v);

/*
 * The next event that the guest can take now, removed from what waits; false: none.  STATE_RFLAGS
 * and STATE_INTERRUPTIBILITY must be valid.
 */
bool inject_take(struct vcpu *v, struct emu_event *event);

/* Before entry, with work pending: put at most one event into the VMCS, ask for windows. */
void inject_prepare(struct vcpu *v);

/* Ask for an exit when an interrupt or NMI that waits can be taken. */
void inject_windows(struct vcpu *v);

/* True when an interrupt or NMI waits that would end HLT. */
bool inject_wakes(struct vcpu *v);

/* The event in the layout of VM-entry interruption information (SDM vol. 3C, table 24-16). */
u32 inject_encode(const struct emu_event *event);
void inject_decode(u32 info, u32 error, u32 length, struct emu_event *event);
