/* SPDX-License-Identifier: MIT
 *
 * The prompt's commands about the host and the guests' devices.
 */
#pragma once

#include "boot/machine.h"
#include "vmx/select.h"

/* What they look at: machine[n] is that of list->vm[n]. */
struct host_view {
    struct machine *machine[CONFIG_MAX_VMS];
    struct vm_list *list;
};

CHECKED enum status boot_commands_register(struct shell *sh, struct host_view *view);
