/* SPDX-License-Identifier: MIT
 *
 * The stack: pushes and pops of registers, memory, segments and flags; ENTER and LEAVE.
 */
#include "emulator/internal.h"

/* `offset` on the stack, truncated to the stack-address size. */
static u64 stack_offset(const struct emu *e, const struct insn *i, u64 offset)
{
    return offset & mask_bytes(emu_stack_size(e, i));
}

static enum emu_status map_stack(struct emu *e, const struct insn *i, u64 offset, unsigned size,
                                 enum emu_access access, struct emu_span *span)
{
    return emu_map_seg(e, SEG_SS, stack_offset(e, i, offset), size, access, span);
}

/* Push into a slot of `slot` bytes of which `size` are written. */
static enum emu_status push_slot(struct emu *e, const struct insn *i, unsigned slot, unsigned size,
                                 u64 value)
{
    struct emu_span span;
    u64 sp = e->state->gpr[RSP] - slot;
    enum emu_status st = map_stack(e, i, sp, size, EMU_WRITE | (slot == 4 ? EMU_DWORDS : 0), &span);

    if (st != EMU_DONE)
        return st;
    emu_span_store(e, &span, value);
    emu_set_sp(e, emu_stack_size(e, i), sp);
    return EMU_DONE;
}

enum emu_status emu_push(struct emu *e, const struct insn *i, unsigned size, u64 value)
{
    return push_slot(e, i, size, size, value);
}

enum emu_status emu_peek(struct emu *e, const struct insn *i, u64 skip, unsigned size, u64 *value)
{
    struct emu_span span;
    enum emu_status st = map_stack(e, i, e->state->gpr[RSP] + skip, size, EMU_READ, &span);

    if (st == EMU_DONE)
        *value = emu_span_load(e, &span);
    return st;
}

void emu_pop_commit(struct emu *e, const struct insn *i, u64 bytes)
{
    emu_set_sp(e, emu_stack_size(e, i), e->state->gpr[RSP] + bytes);
}

enum emu_status op_push_reg(struct emu *e, const struct insn *i)
{
    return emu_push(e, i, i->opsize, e->state->gpr[i->rm]);
}

enum emu_status op_push_rm(struct emu *e, const struct insn *i)
{
    struct operand source;
    struct emu_span stack;
    u64 sp = e->state->gpr[RSP] - i->opsize;
    enum emu_status st = emu_operand_rm(e, i, i->opsize, EMU_READ, &source);

    if (st == EMU_DONE)
        st = map_stack(e, i, sp, i->opsize, EMU_WRITE, &stack);
    if (st != EMU_DONE)
        return st;
    emu_span_store(e, &stack, emu_operand_load(e, &source));
    emu_set_sp(e, emu_stack_size(e, i), sp);
    return EMU_DONE;
}

enum emu_status op_push_imm(struct emu *e, const struct insn *i)
{
    return emu_push(e, i, i->opsize, i->imm);
}

/* With 32-bit operand size only two of the four bytes are written: SDM vol. 2B, PUSH. */
enum emu_status op_push_sreg(struct emu *e, const struct insn *i)
{
    unsigned seg = i->op->sub;

    emu_need(e, STATE_SEG(seg));
    return push_slot(e, i, i->opsize, i->opsize == 4 ? 2 : i->opsize, e->state->seg[seg].selector);
}

enum emu_status op_pop_reg(struct emu *e, const struct insn *i)
{
    u64 v;
    enum emu_status st = emu_peek(e, i, 0, i->opsize, &v);

    if (st != EMU_DONE)
        return st;
    emu_pop_commit(e, i, i->opsize);
    emu_set_gpr(e, i->rm, i->opsize, v);
    return EMU_DONE;
}

/* An address by rSP is computed after the increment: SDM vol. 2B, POP. */
enum emu_status op_pop_rm(struct emu *e, const struct insn *i)
{
    u64 v, old = e->state->gpr[RSP];
    enum emu_status st = emu_peek(e, i, 0, i->opsize, &v);

    if (st != EMU_DONE)
        return st;
    emu_pop_commit(e, i, i->opsize);
    st = emu_write_rm(e, i, i->opsize, v);
    if (st != EMU_DONE)
        e->state->gpr[RSP] = old;
    return st;
}

enum emu_status op_pusha(struct emu *e, const struct insn *i)
{
    u64 *gpr = e->state->gpr;
    unsigned size = i->opsize;
    struct emu_span span[8];

    for (unsigned n = 0; n < 8; n++) {
        enum emu_status st = map_stack(e, i, gpr[RSP] - (n + 1) * size, size, EMU_WRITE, &span[n]);
        if (st != EMU_DONE)
            return st;
    }
    for (unsigned n = 0; n < 8; n++)
        emu_span_store(e, &span[n], gpr[n]);
    emu_set_sp(e, emu_stack_size(e, i), gpr[RSP] - 8 * size);
    return EMU_DONE;
}

enum emu_status op_popa(struct emu *e, const struct insn *i)
{
    unsigned size = i->opsize;
    u64 value[8];

    for (unsigned n = 0; n < 8; n++) {
        enum emu_status st = emu_peek(e, i, n * size, size, &value[n]);
        if (st != EMU_DONE)
            return st;
    }
    for (unsigned n = 0; n < 8; n++) {
        if (RDI - n != RSP)
            emu_set_gpr(e, RDI - n, size, value[n]);
    }
    emu_pop_commit(e, i, 8 * size);
    return EMU_DONE;
}

/* ---- flags ----------------------------------------------------------------------------------- */

#define FLAGS_PUSHED (0xffffffull & ~(u64)(RFLAGS_VM | RFLAGS_RF))
/* What POPF may always change; the upper two only with 32 bits or more. */
#define FLAGS_POPPED                                                                           \
    ((u64)(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_DF | \
           RFLAGS_OF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID))

/* In virtual-8086 mode with IOPL below 3: is the VME way open?  (SDM vol. 3B, 20.3) */
static bool vme_flags(const struct emu *e, const struct insn *i)
{
    return (e->state->cr4 & CR4_VME) && i->opsize == 2;
}

enum emu_status op_pushf(struct emu *e, const struct insn *i)
{
    u64 v = e->state->rflags & FLAGS_PUSHED;

    if (i->mode == EMU_MODE_VM86 && emu_iopl(e) < 3) {
        if (!vme_flags(e, i))
            return emu_gp(e, 0);
        v = (v & ~(u64)RFLAGS_IF) | RFLAGS_IOPL | (v & RFLAGS_VIF ? RFLAGS_IF : 0);
    }
    return emu_push(e, i, i->opsize, v);
}

/* POPF by VME: IF goes to VIF; what would need the monitor is #GP(0). */
static enum emu_status popf_vme(struct emu *e, const struct insn *i, u64 v)
{
    u64 rflags = e->state->rflags;
    u64 mask = FLAGS_POPPED & 0xffff;

    if ((v & RFLAGS_TF) || ((v & RFLAGS_IF) && (rflags & RFLAGS_VIP)))
        return emu_gp(e, 0);
    rflags = (rflags & ~(mask | RFLAGS_VIF | RFLAGS_RF)) | (v & mask);
    emu_pop_commit(e, i, 2);
    emu_set_rflags(e, rflags | (v & RFLAGS_IF ? RFLAGS_VIF : 0));
    return EMU_DONE;
}

enum emu_status op_popf(struct emu *e, const struct insn *i)
{
    bool virtual = i->mode == EMU_MODE_VM86 && emu_iopl(e) < 3;
    u64 mask = FLAGS_POPPED, v;

    if (virtual && !vme_flags(e, i))
        return emu_gp(e, 0);
    enum emu_status st = emu_peek(e, i, 0, i->opsize, &v);
    if (st != EMU_DONE)
        return st;
    if (virtual)
        return popf_vme(e, i, v);
    if (emu_cpl(e) <= emu_iopl(e))
        mask |= RFLAGS_IF;
    if (emu_cpl(e) == 0)
        mask |= RFLAGS_IOPL;
    if (i->opsize == 2)
        mask &= 0xffff;
    emu_pop_commit(e, i, i->opsize);
    emu_set_rflags(e, (e->state->rflags & ~(mask | RFLAGS_RF)) | (v & mask));
    return EMU_DONE;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/*
 * ENTER's pushes after rBP's: level - 1 frame pointers copied from the old frame, then the new
 * frame's own.  With `commit` false every access is only checked.  SDM vol. 2A, ENTER.
 */
static enum emu_status enter_display(struct emu *e, const struct insn *i, unsigned level, u64 frame,
                                     bool commit)
{
    unsigned size = i->opsize;
    u64 bp = e->state->gpr[RBP], sp = frame;

    for (unsigned n = 1; n <= level; n++) {
        struct emu_span from, to;
        u64 v = frame;
        enum emu_status st = EMU_DONE;
        if (n < level) {
            bp -= size;
            st = map_stack(e, i, bp, size, EMU_READ, &from);
            if (st == EMU_DONE && commit)
                v = emu_span_load(e, &from);
        }
        sp -= size;
        if (st == EMU_DONE)
            st = map_stack(e, i, sp, size, EMU_WRITE, &to);
        if (st != EMU_DONE)
            return st;
        if (commit)
            emu_span_store(e, &to, v);
    }
    return EMU_DONE;
}

enum emu_status op_enter(struct emu *e, const struct insn *i)
{
    unsigned size = i->opsize, level = i->imm2 & 31;
    u64 *gpr = e->state->gpr;
    u64 mask = mask_bytes(emu_stack_size(e, i));
    u64 frame = (gpr[RSP] & ~mask) | ((gpr[RSP] - size) & mask);
    u64 sp = frame - (u64)level * size - i->imm;
    struct emu_span first, last;
    enum emu_status st = map_stack(e, i, frame, size, EMU_WRITE, &first);

    if (st == EMU_DONE)
        st = enter_display(e, i, level, frame, false);
    if (st == EMU_DONE) /* the new top of stack must be writable too */
        st = map_stack(e, i, sp, size, EMU_WRITE, &last);
    if (st != EMU_DONE)
        return st;
    emu_span_store(e, &first, gpr[RBP]);
    (void)enter_display(e, i, level, frame, true);
    emu_set_gpr(e, RBP, size, frame);
    emu_set_sp(e, emu_stack_size(e, i), sp);
    return EMU_DONE;
}

enum emu_status op_leave(struct emu *e, const struct insn *i)
{
    struct emu_span span;
    u64 bp = e->state->gpr[RBP];
    enum emu_status st = map_stack(e, i, bp, i->opsize, EMU_READ, &span);

    if (st != EMU_DONE)
        return st;
    emu_set_sp(e, emu_stack_size(e, i), bp + i->opsize);
    emu_set_gpr(e, RBP, i->opsize, emu_span_load(e, &span));
    return EMU_DONE;
}
