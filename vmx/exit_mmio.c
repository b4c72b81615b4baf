/* SPDX-License-Identifier: MIT
 *
 * EPT violations: accesses to guest-physical memory that no RAM backs.  They are a device's, and
 * the emulator carries out the instruction.  Or the memory is closed to them: a write to ROM or to
 * a watched page is emulated as well, but where the reason has gone it is tried again.
 */
#include "vmx/debug_points.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/life.h"
#include "vmx/trace.h"

/* Exit qualification, SDM vol. 3C, table 27-7. */
#define EPT_Q_ACCESS       (BIT(0) | BIT(1) | BIT(2)) /* read, write, fetch: in EPT_RIGHTS' order */
#define EPT_Q_WRITE        BIT(1)
#define EPT_Q_FETCH        BIT(2)
#define EPT_Q_RIGHTS       (BIT(3) | BIT(4) | BIT(5)) /* what EPT allows: no device's page then */
#define EPT_Q_LINEAR_VALID BIT(7)
#define EPT_Q_TRANSLATED   BIT(8) /* else: the access was to a paging-structure entry */
#define EPT_Q_NMI_UNBLOCK  BIT(12)

/* Everything but a plain access by an instruction. */
static __attribute__((noinline)) enum exit_action violation_special(struct vcpu *v, u64 q)
{
    u64 gpa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
    bool emulate = true;

    trace_special(v, q);
    inject_recover(v);
    if ((q & EPT_Q_NMI_UNBLOCK) && !v->reinject) {
        vcpu_load(v, STATE_INTERRUPTIBILITY);
        v->state.interruptibility |= BLOCKED_BY_NMI;
        v->state.dirty |= STATE_INTERRUPTIBILITY;
    }
    if (debug_reopen(v, GPA(gpa), q & EPT_Q_ACCESS))
        return EXIT_CONTINUE;
    if (debug_violation(v, GPA(gpa), q, &emulate)) {
        if (!emulate)
            return EXIT_CONTINUE;
    } else if ((q & EPT_Q_LINEAR_VALID) && !(q & EPT_Q_TRANSLATED))
        return vm_stop_with_report(v, "the guest's page tables lead to %#lx, where no memory is",
                                   gpa);
    if (q & EPT_Q_FETCH)
        return vm_stop_with_report(
            v, "the guest executes at guest-physical %#lx, where no memory is", gpa);
    if (v->reinject) {
        /* The stack or a table of the delivery is a device's page: deliver in software. */
        struct emu_event event = v->event;
        v->event.vector = VECTOR_NONE;
        v->reinject = false;
        vcpu_load(v, STATE_BASE);
        return emulate_delivery(v, &event);
    }
    return emulate_one(v, (q & EPT_Q_RIGHTS) && (q & EPT_Q_WRITE) ? EMU_WRITE_PROTECT : EMU_MMIO);
}

enum exit_action exit_ept_violation(struct vcpu *v)
{
    const u64 usual = EPT_Q_LINEAR_VALID | EPT_Q_TRANSLATED;
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);

    if (unlikely((q & (usual | EPT_Q_FETCH | EPT_Q_RIGHTS | EPT_Q_NMI_UNBLOCK)) != usual ||
                 inject_was_interrupted() || v->debug.native))
        return violation_special(v, q);
    return emulate_access(v, GVA(vmread(VMCS_GUEST_LINEAR_ADDRESS)),
                          GPA(vmread(VMCS_GUEST_PHYSICAL_ADDRESS)), q & EPT_Q_WRITE);
}
