/* SPDX-License-Identifier: MIT
 *
 * Control registers: checks, mode changes, and the split between what the guest sees and what the
 * CPU runs with (SDM vol. 3A, 2.5 and 4.1; vol. 3C, 23.8 and 26.3.1.1).
 */
#include "vmx/cr.h"

#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

/* In PAE paging a MOV to CR3 loads four entries, which must be well-formed (SDM vol. 3A, 4.4.1). */
static bool load_pdptes(struct vcpu *v, u64 cr3)
{
    u64 entry[4];

    if (gmem_read(v->vm->parts.mem, GPA(cr3 & 0xffffffe0ul), entry, sizeof(entry)) != STATUS_OK ||
        !pdptes_valid(entry, v->vm->cpuid.phys_bits))
        return false;
    memcpy(v->state.pdpte, entry, sizeof(entry));
    v->state.valid |= STATE_PDPTE;
    v->state.dirty |= STATE_PDPTE;
    return true;
}

static bool is_pae(u64 cr0, u64 cr4, u64 efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

static void set_efer(struct vcpu *v, u64 value)
{
    v->state.efer = value;
    v->state.dirty |= STATE_EFER;
}

static enum emu_status write_cr0(struct vcpu *v, u64 value)
{
    struct x86_state *s = &v->state;

    vcpu_load(v, STATE_CR0 | STATE_CR3 | STATE_CR4 | STATE_EFER | STATE_SEG(SEG_CS));
    value |= CR0_ET;
    u64 changed = value ^ s->cr0;
    if (!emu_cr0_valid(s, value))
        return emu_raise(&v->emu, VECTOR_GP, true, 0);
    u64 efer = s->efer & ~EFER_LMA;
    if ((value & CR0_PG) && (efer & EFER_LME))
        efer |= EFER_LMA;
    if (is_pae(value, s->cr4, efer) && (changed & (CR0_PG | CR0_CD | CR0_NW)) &&
        !load_pdptes(v, s->cr3))
        return emu_raise(&v->emu, VECTOR_GP, true, 0);
    s->cr0 = value;
    if (!(changed & ~(CR0_CD | CR0_NW))) { /* what is only shown needs no entry checks */
        vcpu_show_cr0(v);
        return EMU_DONE;
    }
    if (efer != s->efer)
        set_efer(v, efer);
    s->dirty |= STATE_CR0;
    if (changed & (CR0_PG | CR0_WP))
        vcpu_flush_tlb(v);
    return EMU_DONE;
}

static enum emu_status write_cr3(struct vcpu *v, u64 value)
{
    struct x86_state *s = &v->state;

    vcpu_load(v, STATE_CR0 | STATE_CR4 | STATE_EFER);
    if (s->efer & EFER_LMA) {
        /* With PCIDs bit 63 asks for no flush and is not part of the register. */
        if (s->cr4 & CR4_PCIDE)
            value &= ~BIT64(63);
        if (value >> v->vm->cpuid.phys_bits)
            return emu_raise(&v->emu, VECTOR_GP, true, 0);
    } else {
        value &= 0xffffffff;
    }
    if (is_pae(s->cr0, s->cr4, s->efer) && !load_pdptes(v, value))
        return emu_raise(&v->emu, VECTOR_GP, true, 0);
    s->cr3 = value;
    s->valid |= STATE_CR3;
    s->dirty |= STATE_CR3;
    vcpu_flush_tlb(v);
    return EMU_DONE;
}

static enum emu_status write_cr4(struct vcpu *v, u64 value)
{
    struct x86_state *s = &v->state;

    vcpu_load(v, STATE_CR0 | STATE_CR3 | STATE_CR4 | STATE_EFER);
    u64 changed = value ^ s->cr4;
    if ((value & ~v->vm->cpuid.cr4_allowed) || !emu_cr4_valid(s, value))
        return emu_raise(&v->emu, VECTOR_GP, true, 0);
    if (is_pae(s->cr0, value, s->efer) && (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
        !load_pdptes(v, s->cr3))
        return emu_raise(&v->emu, VECTOR_GP, true, 0);
    s->cr4 = value;
    s->dirty |= STATE_CR4;
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PCIDE))
        vcpu_flush_tlb(v);
    return EMU_DONE;
}

enum emu_status cr_write(struct vcpu *v, unsigned cr, u64 value)
{
    switch (cr) {
    case 0: return write_cr0(v, value);
    case 3: return write_cr3(v, value);
    case 4: return write_cr4(v, value);
    case 8:
        if (value > 15)
            return emu_raise(&v->emu, VECTOR_GP, true, 0);
        v->vm->parts.intc.ops->write_cr8(v->vm->parts.intc.ctx, v->index, (u8)value);
        return EMU_DONE;
    default: return emu_raise(&v->emu, VECTOR_UD, false, 0);
    }
}

bool efer_write(struct vcpu *v, u64 value)
{
    struct x86_state *s = &v->state;

    vcpu_load(v, STATE_CR0 | STATE_EFER);
    /* LMA is read-only; software may write back what it read. */
    value = (value & ~EFER_LMA) | (s->efer & EFER_LMA);
    if (value & ~v->vm->cpuid.efer_allowed)
        return false;
    if ((s->cr0 & CR0_PG) && ((value ^ s->efer) & EFER_LME))
        return false;
    if ((value ^ s->efer) & EFER_NXE)
        vcpu_flush_tlb(v);
    set_efer(v, value);
    return true;
}
