/* SPDX-License-Identifier: MIT
 *
 * Holding a whole virtual machine: all of its virtual CPUs leave the guest and what they do for it,
 * and put their state where any CPU can look at it, until they are let go.
 */
#pragma once

#include "vmx/vcpu.h"
#include "vmx/vm.h"

/*
 * Returns when no vCPU of this VM but the caller's own (if it runs one) does anything.  One CPU
 * holds a VM at a time: another that wants to waits, parked itself if it runs one of the VM's.  The
 * caller holds no lock, and has not stopped this VM already.
 */
void vm_stop_all(struct vm *vm);
void vm_resume_all(struct vm *vm);

/* By the run loop of v, when vm->stopping. */
void vcpu_park(struct vcpu *v);
