/* SPDX-License-Identifier: MIT
 *
 * The end of a virtual machine's life, and the report of why.
 */
#pragma once

#include "vmx/vcpu.h"
#include "vmx/vm.h"

/* End the VM's life with a reason in words; the run loop returns before the next entry. */
void vm_finish(struct vm *vm, enum vm_end how, u32 code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Stop with a full report (registers, instruction, entry check) on the log: for what is unhandled.
 */
enum exit_action vm_stop_with_report(struct vcpu *v, const char *fmt, ...) PRINTF_LIKE(2, 3);

const char *vm_end_text(enum vm_end how);
