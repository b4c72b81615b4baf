/* SPDX-License-Identifier: MIT
 *
 * The rendezvous of a VM's virtual CPUs.  They are told by a request and an interrupt of the host,
 * and come at the latest at the end of their quantum.
 */
#include "vmx/stop.h"

#include "arch/x86/cpu.h"

void vcpu_park(struct vcpu *v)
{
    vcpu_release(v);
    do {
        atomic_store(&v->parked, true);
        while (atomic_load(&v->vm->stopping))
            cpu_pause();
        atomic_store(&v->parked, false);
    } while (atomic_load(&v->vm->stopping)); /* the next stop may have taken us for parked */
    vcpu_make_current(v);
}

void vm_stop_all(struct vm *vm)
{
    struct vcpu *own = this_cpu()->vcpu;

    if (own && (own->vm != vm || !atomic_load(&own->active)))
        own = NULL;
    while (atomic_exchange(&vm->stopping, true)) {
        if (own)
            vcpu_park(own);
        else
            cpu_pause();
    }
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i] != own)
            vcpu_post(vm->vcpu[i], REQUEST_STOP);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        while (vm->vcpu[i] != own && atomic_load(&vm->vcpu[i]->active) &&
               !atomic_load(&vm->vcpu[i]->parked))
            cpu_pause();
}

void vm_resume_all(struct vm *vm) { atomic_store(&vm->stopping, false); }

void vm_deadline_moved(struct vm *vm)
{
    if (this_cpu()->vcpu != vm->vcpu[0])
        vcpu_post(vm->vcpu[0], REQUEST_STOP);
}
