/* SPDX-License-Identifier: MIT
 *
 * Control registers of a guest: what a write to one means.
 */
#pragma once

#include "emulator/emulator.h"
#include "lib/types.h"

struct vcpu;

/* MOV to CR0, CR3, CR4 or CR8: EMU_DONE, or EMU_FAULT with #GP(0) raised in v->emu. */
enum emu_status cr_write(struct vcpu *v, unsigned cr, u64 value);

/* WRMSR to IA32_EFER; false: #GP. */
bool efer_write(struct vcpu *v, u64 value);
