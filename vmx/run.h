/* SPDX-License-Identifier: MIT
 *
 * Running a virtual machine.
 */
#ifndef VMX_RUN_H
#define VMX_RUN_H

struct vm;

/* Run vCPU 0 on this CPU until the VM ends; vm->end says how. */
void vm_run(struct vm *vm);

#endif
