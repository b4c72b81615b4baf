/* SPDX-License-Identifier: MIT
 *
 * The virtual machines that shell commands work on, and which of them is meant.
 */
#ifndef VMX_SELECT_H
#define VMX_SELECT_H

#include "drivers/console/shell.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

#define COMMANDS_MAX_VMS 8

/* The context (sh->ctx) of the commands; its owner adds VMs as they are created. */
struct vm_list {
    const struct vmx_caps *caps;
    struct vm *vm[COMMANDS_MAX_VMS];
    unsigned count;
    unsigned selected;
};

/* The selected VM's first CPU with its VMCS current, or NULL after saying why. */
struct vcpu *vm_selected(struct shell *sh);

#endif
