/* SPDX-License-Identifier: MIT
 *
 * The prompt's commands about virtual machines: state, memory, translations, statistics, life.
 */
#ifndef VMX_COMMANDS_H
#define VMX_COMMANDS_H

#include "vmx/select.h"

CHECKED enum status commands_register(struct shell *sh, struct vm_list *list);

#endif
