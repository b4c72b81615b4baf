/* SPDX-License-Identifier: MIT
 *
 * The stack: pushes and pops of registers, memory, segments and flags; ENTER and LEAVE.
 */
#include "emulator/system.h"

static inline enum emu_status map_stack(struct emu *e, u64 offset, unsigned size,
                                        enum emu_access access, struct emu_span *span)
{
    return emu_map_seg(e, SEG_SS, offset & mask_bytes(emu_stack_width(e)), size, access, span);
}

enum emu_status emu_push(struct emu *e, unsigned slot, unsigned size, u64 value)
{
    struct emu_span span;

    TRY(map_stack(e, e->state->gpr[RSP] - slot, size, EMU_WRITE, &span));
    emu_span_store(e, &span, value);
    return emu_pop_commit(e, -(u64)slot);
}

enum emu_status emu_peek(struct emu *e, u64 at, unsigned size, u64 *value)
{
    struct emu_span span;

    TRY(map_stack(e, at, size, EMU_READ, &span));
    *value = emu_span_load(e, &span);
    return EMU_DONE;
}

enum emu_status op_push_rm(struct emu *e, const struct insn *i)
{
    struct emu_span source, stack;

    if (!insn_is_memory(i))
        return emu_push(e, i->opsize, i->opsize, e->state->gpr[i->rm]);
    TRY(emu_map_operand(e, i, i->opsize, EMU_READ, &source));
    TRY(map_stack(e, e->state->gpr[RSP] - i->opsize, i->opsize, EMU_WRITE, &stack));
    emu_span_store(e, &stack, emu_span_load(e, &source));
    return emu_pop_commit(e, -(u64)i->opsize);
}

enum emu_status op_push_imm(struct emu *e, const struct insn *i)
{
    return emu_push(e, i->opsize, i->opsize, i->imm);
}

/* With 32-bit operand size only two of the four bytes are written: SDM vol. 2B, PUSH. */
enum emu_status op_push_sreg(struct emu *e, const struct insn *i)
{
    u16 selector = emu_seg(e, i->op->sub)->selector;

    return emu_push(e, i->opsize, i->opsize == 4 ? 2 : i->opsize, selector);
}

/* An address by rSP is computed after the increment: SDM vol. 2B, POP. */
enum emu_status op_pop(struct emu *e, const struct insn *i)
{
    u64 v, old = e->state->gpr[RSP];

    TRY(emu_peek(e, old, i->opsize, &v));
    emu_pop_commit(e, i->opsize);
    enum emu_status st = emu_write_rm(e, i, i->opsize, v);
    if (st != EMU_DONE)
        e->state->gpr[RSP] = old;
    return st;
}

enum emu_status op_pusha(struct emu *e, const struct insn *i)
{
    struct emu_stack k;

    emu_stack_current(e, i->opsize, &k);
    for (unsigned n = 0; n < 8; n++)
        emu_stack_push(e, &k, e->state->gpr[n]);
    return emu_stack_commit(e, &k);
}

enum emu_status op_popa(struct emu *e, const struct insn *i)
{
    unsigned size = i->opsize;
    u64 value;

    for (unsigned n = 0; n < 8; n++) {
        TRY(emu_peek(e, e->state->gpr[RSP] + n * size, size, &value));
        if (RDI - n != RSP)
            emu_set_gpr(e, RDI - n, size, value);
    }
    return emu_pop_commit(e, 8 * size);
}

/* ---- flags ----------------------------------------------------------------------------------- */

u64 emu_loadable_flags(const struct emu *e)
{
    unsigned cpl = emu_cpl(e);
    u64 flags = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_DF |
                RFLAGS_OF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;

    return flags | (cpl <= emu_iopl(e) ? RFLAGS_IF : 0) | (cpl == 0 ? RFLAGS_IOPL : 0);
}

enum emu_status emu_vme_check(struct emu *e, const struct insn *i)
{
    return (e->state->cr4 & CR4_VME) && i->opsize == 2 ? EMU_DONE : emu_gp(e, 0);
}

u64 emu_vme_image(u64 rflags)
{
    return (rflags & ~(u64)RFLAGS_IF) | RFLAGS_IOPL | (rflags & RFLAGS_VIF ? RFLAGS_IF : 0);
}

enum emu_status emu_vme_load(struct emu *e, u64 *flags)
{
    bool on = *flags & RFLAGS_IF;

    if ((*flags & RFLAGS_TF) || (on && (e->state->rflags & RFLAGS_VIP)))
        return emu_gp(e, 0);
    *flags = (*flags & ~(u64)RFLAGS_VIF) | (on ? RFLAGS_VIF : 0);
    return EMU_DONE;
}

enum emu_status op_pushf(struct emu *e, const struct insn *i)
{
    u64 v = e->state->rflags & 0xffffff & ~(u64)(RFLAGS_VM | RFLAGS_RF);

    if (emu_flags_virtual(e, i)) {
        TRY(emu_vme_check(e, i));
        v = emu_vme_image(v);
    }
    return emu_push(e, i->opsize, i->opsize, v);
}

enum emu_status op_popf(struct emu *e, const struct insn *i)
{
    bool virtual = emu_flags_virtual(e, i);
    u64 v;

    if (virtual)
        TRY(emu_vme_check(e, i));
    TRY(emu_peek(e, e->state->gpr[RSP], i->opsize, &v));
    u64 change = emu_loadable_flags(e);
    if (i->opsize == 2)
        change &= 0xffff;
    if (virtual) {
        TRY(emu_vme_load(e, &v));
        change |= RFLAGS_VIF;
    }
    emu_pop_commit(e, i->opsize);
    return emu_set_rflags(e, (e->state->rflags & ~(change | RFLAGS_RF)) | (v & change));
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* rBP, level - 1 frame pointers copied from the old frame, then the new frame's own; the new top
 * must be writable, too.  What is pushed when an access faults is in memory.  SDM vol. 2A, ENTER.
 */
enum emu_status op_enter(struct emu *e, const struct insn *i)
{
    unsigned size = i->opsize, level = i->imm2 & 31;
    u64 bp = e->state->gpr[RBP], frame = e->state->gpr[RSP] - size, sp = frame, value = bp;
    struct emu_span span;

    for (unsigned n = 0;; n++, sp -= size) {
        TRY(map_stack(e, sp, size, EMU_WRITE, &span));
        emu_span_store(e, &span, value);
        if (n == level)
            break;
        value = frame;
        bp -= size;
        if (n + 1 < level)
            TRY(emu_peek(e, bp, size, &value));
    }
    sp -= i->imm;
    TRY(map_stack(e, sp, size, EMU_WRITE, &span));
    emu_set_gpr(e, RBP, size, frame);
    return emu_set_gpr(e, RSP, emu_stack_width(e), sp);
}

enum emu_status op_leave(struct emu *e, const struct insn *i)
{
    u64 bp = e->state->gpr[RBP], value;

    TRY(emu_peek(e, bp, i->opsize, &value));
    emu_set_gpr(e, RSP, emu_stack_width(e), bp + i->opsize);
    return emu_set_gpr(e, RBP, i->opsize, value);
}
