/* SPDX-License-Identifier: MIT
 *
 * The prompt's commands that look into a guest: memory, translations, code, the stack, CPUID, MSRs,
 * and its ports.
 */
#ifndef VMX_EXAMINE_H
#define VMX_EXAMINE_H

#include "vmx/select.h"

CHECKED enum status examine_register(struct shell *sh, struct vm_list *list);

#endif
