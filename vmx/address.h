/* SPDX-License-Identifier: MIT
 *
 * Addresses as people type them.
 */
#ifndef VMX_ADDRESS_H
#define VMX_ADDRESS_H

#include "vmx/select.h"

/*
 * Word `arg` as an address in the vCPU's machine: a number, a symbol or a register, each perhaps
 * with "+N" or "-N".  `what` as for shell_arg_u64().
 */
CHECKED enum status address_arg(struct shell *sh, struct vcpu *v, int arg, const char *what,
                                u64 *out);
/* For commands whose first word is such an address. */
void address_complete(struct shell *sh, int argc, char **argv, struct completions *c);

CHECKED enum status address_register(struct shell *sh, struct vm_list *list);

#endif
