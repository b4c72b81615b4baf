/* SPDX-License-Identifier: MIT
 *
 * The commands `trace` and `explain`: what happened, and in words why it had to.
 */
#ifndef VMX_EXPLAIN_H
#define VMX_EXPLAIN_H

#include "vmx/select.h"

CHECKED enum status explain_register(struct shell *sh, struct vm_list *list);

#endif
