/* SPDX-License-Identifier: MIT
 *
 * The areas of the CPUs beyond the first, allocated once their number is known.
 */
#ifndef ARCH_X86_CPUS_H
#define ARCH_X86_CPUS_H

#include "lib/status.h"
#include "lib/types.h"

/* Make room for `count` CPUs (1 .. 1024). */
CHECKED enum status cpus_init(unsigned count);

/* Allocate CPU `number`'s area and stacks, mapped with guard pages; percpu_get() finds it. */
CHECKED enum status cpus_create(unsigned number, u32 apic_id);

#endif
