/* SPDX-License-Identifier: MIT
 *
 * Running a virtual machine.
 */
#pragma once

struct vm;

/*
 * Run until the VM ends; vm->end says how.  vCPU 0 runs here, vCPU n, n > 0, on CPU vm->host[n],
 * which must be online and without work; vm->host[0] is this CPU.
 */
void vm_run(struct vm *vm);
