/* SPDX-License-Identifier: MIT
 *
 * Exits about events: exceptions and NMIs, interrupts of the host, windows, task switches, time.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/irq.h"
#include "vmx/debug_points.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/life.h"
#include "vmx/trace.h"

#define INFO_NMI_UNBLOCK BIT(12)
#define DR6_EXIT         0x600full /* what a #DB that exits tells, SDM vol. 3C, table 27-1 */

/* An NMI that exits is the host's: its own handler runs, and its IRET opens NMIs again. */
static void host_nmi(void) { __asm__ volatile("int $2" ::: "memory"); }

/* Machine checks are the host's too: its handler reports and stops. */
static void host_machine_check(void) { __asm__ volatile("int $18" ::: "memory"); }

/* A #DB that exits has not written DR6 nor cleared DR7.GD yet (SDM vol. 3C, 27.1): injection will.
 */
static enum exit_action reflect_debug(struct vcpu *v, struct emu_event *event)
{
    event->payload = vmread(VMCS_EXIT_QUALIFICATION) & DR6_EXIT;
    if (event->type >= EMU_EVENT_SOFT_INT)
        event->ilen = (u8)vmread(VMCS_EXIT_INSTRUCTION_LENGTH);
    return inject_fault(v, event);
}

/* Virtual-8086 mode stands in for real mode: deliver as real mode does, or emulate what caused it.
 */
static enum exit_action exception_in_vm86(struct vcpu *v, struct emu_event *event)
{
    /* Raised by what virtual-8086 mode forbids or checks and real mode does not, or by what both
     * refuse: the emulator knows. */
    static const u32 emulated = BIT(VECTOR_UD) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) |
                                BIT(VECTOR_GP) | BIT(VECTOR_PF) | BIT(VECTOR_AC);

    /* A fault within INT n, which has not been carried out: it is at CS:IP still. */
    v->event.vector = VECTOR_NONE;
    v->reinject = false;
    if (emulated & BIT(event->vector)) {
        vcpu_load(v, STATE_BASE);
        bool forced = event->vector == VECTOR_UD && v->vm->parts.forced && emu_take_forced(&v->emu);
        return emulate_one(v, forced ? EMU_FORCED : EMU_REAL_MODE);
    }
    if (event->vector == VECTOR_DB)
        event->payload = vmread(VMCS_EXIT_QUALIFICATION) & DR6_EXIT;
    event->ilen = (u8)vmread(VMCS_EXIT_INSTRUCTION_LENGTH);
    vcpu_load(v, STATE_BASE);
    return emulate_delivery(v, event);
}

/* Undefined to the CPU: to be emulated if the guest asks for it by the prefix, or this VM for what
 * its CPU lacks; else the guest's. */
static enum exit_action undefined_opcode(struct vcpu *v, const struct emu_event *event)
{
    enum exit_action action;

    vcpu_load(v, STATE_BASE);
    bool forced = emu_take_forced(&v->emu);
    if ((forced || v->vm->parts.emulates_ud) &&
        emulate_known(v, forced ? EMU_FORCED : EMU_UD, &action))
        return action;
    return inject_fault(v, event);
}

/* A program's IN or OUT at the ports that are open to all, or the guest's own #GP. */
static enum exit_action protection(struct vcpu *v, const struct emu_event *event)
{
    vcpu_load(v, STATE_BASE);
    if (event->error == 0 && !v->reinject && emu_at_port_access(&v->emu))
        return emulate_one(v, EMU_VMWARE_GP);
    return inject_fault(v, event);
}

enum exit_action exit_exception_nmi(struct vcpu *v)
{
    u32 info = vmread(VMCS_EXIT_INTERRUPTION_INFO);
    struct emu_event event;

    inject_recover(v);
    inject_decode(info, vmread(VMCS_EXIT_INTERRUPTION_ERROR), 0, &event);
    if (event.type == EMU_EVENT_NMI) {
        host_nmi();
        return EXIT_CONTINUE;
    }
    if (event.vector == VECTOR_MC) {
        host_machine_check();
        return EXIT_CONTINUE;
    }
    if ((info & INFO_NMI_UNBLOCK) && !v->reinject && event.vector != VECTOR_DF) {
        vcpu_load(v, STATE_INTERRUPTIBILITY);
        v->state.interruptibility |= BLOCKED_BY_NMI;
        v->state.dirty |= STATE_INTERRUPTIBILITY;
    }
    if (unlikely(v->debug.armed | v->debug.native) && debug_exception(v, &event))
        return EXIT_CONTINUE;
    if (v->dress.shape == SHAPE_VM86)
        return exception_in_vm86(v, &event);
    if (unlikely(v->debug.native) && event.vector != VECTOR_DB)
        return inject_fault(v, &event);
    switch (event.vector) {
    case VECTOR_DB: return reflect_debug(v, &event);
    case VECTOR_AC: return inject_fault(v, &event);
    case VECTOR_UD: return undefined_opcode(v, &event);
    case VECTOR_GP: return protection(v, &event);
    default:
        return vm_stop_with_report(v, "exception %u was intercepted, and nobody asked for it",
                                   event.vector);
    }
}

enum exit_action exit_external_interrupt(struct vcpu *v)
{
    irq_dispatch((u8)vmread(VMCS_EXIT_INTERRUPTION_INFO));
    v->armed = 0; /* it may have been the timer, early */
    v->requests |= REQUEST_POLL;
    return EXIT_CONTINUE;
}

/* The run loop looks at the clock before every entry: nothing else to do. */
enum exit_action exit_preemption_timer(struct vcpu *) { return EXIT_CONTINUE; }

enum exit_action exit_interrupt_window(struct vcpu *v)
{
    v->requests |= REQUEST_INTERRUPT;
    return EXIT_CONTINUE;
}

enum exit_action exit_nmi_window(struct vcpu *v)
{
    v->requests |= REQUEST_NMI;
    return EXIT_CONTINUE;
}

enum exit_action exit_task_switch(struct vcpu *v)
{
    inject_recover(v);
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);
    struct emu_event cause = v->event;
    bool by_gate = bits_get(q, 31, 30) == EMU_TASK_GATE;

    v->event.vector = VECTOR_NONE;
    v->reinject = false;
    vcpu_load(v, STATE_ALL);
    vm_lock(v->vm);
    enum emu_status status =
        emu_task_switch(&v->emu, (u16)q, (enum emu_task_source)bits_get(q, 31, 30),
                        by_gate ? &cause : NULL, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
    vm_unlock(v->vm);
    if (v->tracing)
        trace_emulated(v, EMU_TASK_SWITCH);
    return emulate_finish(v, status);
}
