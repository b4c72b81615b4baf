/* SPDX-License-Identifier: MIT
 *
 * Control registers of a guest: what a write to one means.
 */
#pragma once

#include "emulator/emulator.h"

struct vcpu;

/* MOV to CR0, CR3, CR4 or CR8: EMU_DONE, or EMU_FAULT with #GP(0) raised in v->emu. */
enum emu_status cr_write(struct vcpu *v, unsigned cr, u64 value);

/* WRMSR to IA32_EFER; false: #GP. */
bool efer_write(struct vcpu *v, u64 value);

static inline bool is_canonical(u64 address)
{
    return (u64)((s64)(address << 16) >> 16) == address;
}

/* No reserved bit in a present one of the four entries that PAE paging has loaded (SDM vol. 3A,
 * 4.4.1). */
static inline bool pdptes_valid(const u64 *entry, unsigned phys_bits)
{
    u64 reserved = 0x1e6 | ~((1ul << phys_bits) - 1);

    for (unsigned i = 0; i < 4; i++)
        if ((entry[i] & 1) && (entry[i] & reserved))
            return false;
    return true;
}
