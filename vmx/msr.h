/* SPDX-License-Identifier: MIT
 *
 * Model-specific registers of a guest: an allow-list.  What is not on it, and not claimed by a
 * device on the bus, is #GP(0).
 */
#pragma once

#include "lib/types.h"

struct vcpu;
struct vm;

/* Index the rules for this VM, and fill the bitmap of what the guest may touch without an exit (SDM
 * vol. 3C, 24.6.9). */
void msr_init(struct vm *vm);

/* RDMSR and WRMSR; false: #GP(0). */
bool msr_read(struct vcpu *v, u32 msr, u64 *value);
bool msr_write(struct vcpu *v, u32 msr, u64 value);
