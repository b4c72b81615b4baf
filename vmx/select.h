/* SPDX-License-Identifier: MIT
 *
 * The virtual machines that shell commands work on, and which of them is meant.
 */
#pragma once

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
    unsigned cpu;     /* which of its virtual CPUs */
    struct vm *held;  /* stopped, so that it can be looked at ... */
    struct vcpu *own; /* ... by the CPU that was running this one, or none */
};

/*
 * The selected virtual CPU, with its VMCS current, or NULL after saying why.  A machine that runs
 * on other CPUs is held meanwhile: vm_let_go() must follow.
 */
struct vcpu *vm_selected(struct shell *sh);

/* The command is done: what was held goes on. */
void vm_let_go(struct vm_list *list);
