/* SPDX-License-Identifier: MIT
 *
 * The command `stat`: how many exits and emulated instructions there were, and what they cost.
 */
#ifndef VMX_STAT_H
#define VMX_STAT_H

#include "vmx/select.h"

CHECKED enum status stat_register(struct shell *sh, struct vm_list *list);

#endif
