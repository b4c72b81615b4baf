/* SPDX-License-Identifier: MIT
 *
 * Where the emulator meets the virtual CPU: its operations on guest memory, bus, registers and
 * MSRs, and the call that emulates one instruction after an exit.
 */
#ifndef VMX_EMULATE_H
#define VMX_EMULATE_H

#include "emulator/emulator.h"
#include "vmx/reason.h"
#include "vmx/vcpu.h"

/* Set up v->emu. */
void emulate_init(struct vcpu *v);

/* Emulate the instruction at CS:RIP, telling the trace why. */
enum exit_action emulate_one(struct vcpu *v, enum emu_reason why);
/* The same for the reason that exits like this one usually have, which the trace knows. */
enum exit_action emulate_usual(struct vcpu *v);

/* Emulate up to *count instructions, until emu_run() sees an end; they are not traced. */
enum exit_action emulate_many(struct vcpu *v, u32 until, unsigned *count);

/*
 * The access that caused the exit was to linear address gva at gpa, and perhaps a write: the
 * emulator need not walk the page tables for it again.
 */
enum exit_action emulate_access(struct vcpu *v, gva_t gva, gpa_t gpa, bool write);

/* The same, but false when the emulator does not know the instruction. */
bool emulate_known(struct vcpu *v, enum emu_reason why, enum exit_action *action);
/* Have accesses to memory with watchpoints told to debug_access(), or not. */
void emulate_watch(struct vcpu *v, bool on);

/* Deliver in software, since VM entry cannot: one event, if one may be taken now. */
enum exit_action emulate_event(struct vcpu *v);
/* Deliver an event in software (emu_deliver), and finish. */
enum exit_action emulate_delivery(struct vcpu *v, const struct emu_event *event);

/* Turn what the emulator said into what the run loop does. */
enum exit_action emulate_finish(struct vcpu *v, enum emu_status status);

#endif
