/* SPDX-License-Identifier: MIT
 *
 * Making and unmaking virtual machines, and running them.
 */
#pragma once

#include "vmx/vm.h"

CHECKED enum status vm_create(struct vm *vm, const struct vmx_caps *caps,
                              const struct vm_parts *parts);
void vm_destroy(struct vm *vm);

/* What its devices may do to its CPUs and to itself. */
struct cpu_port vm_cpu_port(struct vm *vm);

/* Fresh policy registers (MTRRs …) for a machine reset. */
void vm_reset_registers(struct vm *vm);
