/* SPDX-License-Identifier: MIT
 *
 * The prompt's commands about virtual machines: state, memory, translations, statistics, life.
 */
#ifndef VMX_COMMANDS_H
#define VMX_COMMANDS_H

#include "drivers/console/shell.h"
#include "vmx/vm.h"

#define COMMANDS_MAX_VMS 8

/* What the commands work on; its owner adds VMs as they are created. */
struct vm_list {
    const struct vmx_caps *caps;
    struct vm *vm[COMMANDS_MAX_VMS];
    unsigned count;
    unsigned selected;
};

CHECKED enum status commands_register(struct shell *sh, struct vm_list *list);

#endif
