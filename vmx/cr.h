/* SPDX-License-Identifier: MIT
 *
 * Control registers of a guest: which bits Vitrine owns, what a write means, and how the guest's
 * values become VMCS fields.
 */
#ifndef VMX_CR_H
#define VMX_CR_H

#include "emulator/emulator.h"
#include "lib/types.h"

struct vm;
struct vcpu;

/* Bits whose change by the guest causes an exit (guest/host masks, SDM vol. 3C, 24.6.6). */
u64 cr0_owned(const struct vm *vm);
u64 cr4_owned(const struct vm *vm);

/* What the guest reads: owned bits from the shadow, the others from the register. */
static inline u64 cr_guest_view(u64 real, u64 shadow, u64 owned)
{
    return (real & ~owned) | (shadow & owned);
}

/* MOV to CR0, CR3, CR4 or CR8: EMU_DONE, or EMU_FAULT with #GP(0) raised in v->emu. */
enum emu_status cr_write(struct vcpu *v, unsigned cr, u64 value);

/* WRMSR to IA32_EFER; false: #GP. */
bool efer_write(struct vcpu *v, u64 value);

/* Write the changed ones of CR0, CR4 and EFER to the VMCS. */
void cr_flush(struct vcpu *v, u32 dirty);

#endif
