/* SPDX-License-Identifier: MIT
 *
 * Shell commands of execution control.
 */
#ifndef VMX_DEBUG_COMMANDS_H
#define VMX_DEBUG_COMMANDS_H

#include "vmx/select.h"

CHECKED enum status debug_commands_register(struct shell *sh, struct vm_list *list);

#endif
