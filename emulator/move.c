/* SPDX-License-Identifier: MIT
 *
 * Data movement, single flags, and the small instructions that fit nowhere else.
 */
#include "emulator/internal.h"

enum emu_status op_ud(struct emu *e, const struct insn *) { return emu_ud(e); }

enum emu_status op_nop(struct emu *, const struct insn *) { return EMU_DONE; }

/* Never in a transaction: op_xbegin(). */
enum emu_status op_xend(struct emu *e, const struct insn *) { return emu_gp(e, 0); }

enum emu_status op_xtest(struct emu *e, const struct insn *)
{
    return emu_set_rflags(e, (e->state->rflags & ~(u64)EMU_ARITH_FLAGS) | RFLAGS_ZF);
}

/* 64 bytes to an aligned place in ES whose offset is the first operand. */
enum emu_status op_movdir64b(struct emu *e, const struct insn *i)
{
    u64 to = e->state->gpr[i->reg] & mask_bytes(i->addrsize);
    struct emu_span from, into;
    u8 buf[64];
    gva_t gva;

    TRY(emu_map_seg(e, (enum seg)i->seg, emu_ea(e, i), sizeof(buf), EMU_READ, &from));
    TRY(emu_linear(e, SEG_ES, to, sizeof(buf), EMU_WRITE, &gva));
    if (!is_aligned(gva.v, sizeof(buf)))
        return emu_gp(e, 0);
    TRY(emu_map_seg(e, SEG_ES, to, sizeof(buf), EMU_WRITE, &into));
    emu_span_read(e, &from, buf);
    /* MOVDIR64B RSI, [RDI]; RET: other CPUs see RAM change at once. */
    struct emu_native n = {.code = 0xc337f8380f66, .memory = buf, .rsi = (uintptr_t)into.host[0]};
    if (into.host[0] == NULL || e->ops->run_native == NULL ||
        e->ops->run_native(e->ctx, &n) != VECTOR_NONE)
        emu_span_write(e, &into, buf);
    return EMU_DONE;
}

enum emu_status op_mov_store(struct emu *e, const struct insn *i)
{
    return emu_write_rm(e, i, i->size, emu_get_reg(e, i, i->reg, i->size));
}

enum emu_status op_mov_load(struct emu *e, const struct insn *i)
{
    u64 v;
    TRY(emu_read_rm(e, i, i->size, &v));
    return emu_set_reg(e, i, i->reg, i->size, v);
}

enum emu_status op_mov_imm(struct emu *e, const struct insn *i)
{
    return emu_write_rm(e, i, i->size, i->imm);
}

/* MOV r/m, Sreg; SLDT and STR, which are the next two. */
enum emu_status op_mov_from_sreg(struct emu *e, const struct insn *i)
{
    unsigned seg = (i->reg & 7u) + (i->map == 0 ? 0 : SEG_LDTR);

    return emu_write_rm(e, i, i->size, emu_seg(e, seg)->selector);
}

/* MOVZX; MOVSX and MOVSXD, which with a 16-bit operand reads only 16 bits, have op->sub. */
enum emu_status op_extend(struct emu *e, const struct insn *i)
{
    unsigned size = emu_arg_bytes(i, i->op->arg[1]);
    u64 v;

    if (size > i->size)
        size = i->size;
    TRY(emu_read_rm(e, i, size, &v));
    return emu_set_gpr(e, i->reg, i->size, i->op->sub ? (u64)sign_extend(v, size) : v);
}

/* The source is read, and a 32-bit destination widened, whatever the condition. */
enum emu_status op_cmov(struct emu *e, const struct insn *i)
{
    u64 v;
    TRY(emu_read_rm(e, i, i->size, &v));
    if (!emu_condition(e->state->rflags, i->opcode))
        v = e->state->gpr[i->reg];
    return emu_set_gpr(e, i->reg, i->size, v);
}

enum emu_status op_set(struct emu *e, const struct insn *i)
{
    return emu_write_rm(e, i, 1, emu_condition(e->state->rflags, i->opcode));
}

enum emu_status op_lea(struct emu *e, const struct insn *i)
{
    return emu_set_gpr(e, i->reg, i->size, emu_ea(e, i));
}

/* 90..97; 90 without REX.B is NOP: it does not even widen EAX. */
enum emu_status op_xchg_acc(struct emu *e, const struct insn *i)
{
    const u64 *gpr = e->state->gpr;
    u64 v = gpr[i->rm];

    if (i->rm == RAX)
        return EMU_DONE;
    emu_set_gpr(e, i->rm, i->opsize, gpr[RAX]);
    return emu_set_gpr(e, RAX, i->opsize, v);
}

enum emu_status op_xlat(struct emu *e, const struct insn *i)
{
    const u64 *gpr = e->state->gpr;
    u64 offset = (gpr[RBX] + (gpr[RAX] & 0xff)) & mask_bytes(i->addrsize), v;
    TRY(emu_read_memory(e, i, offset, 1, &v));
    return emu_set_gpr(e, RAX, 1, v);
}

/* ---- flags ----------------------------------------------------------------------------------- */

enum emu_status op_salc(struct emu *e, const struct insn *)
{
    return emu_set_gpr(e, RAX, 1, e->state->rflags & RFLAGS_CF ? 0xff : 0);
}

/* CMC CLC STC CLD STD: F5 F8 F9 FC FD */
enum emu_status op_flag(struct emu *e, const struct insn *i)
{
    u64 flag = i->opcode >= 0xfc ? RFLAGS_DF : RFLAGS_CF, old = e->state->rflags;
    bool set = i->opcode == 0xf5 ? !(old & flag) : i->opcode & 1;

    return emu_set_rflags(e, (old & ~flag) | (set ? flag : 0));
}

/* Which flag CLI and STI act on: IF, VIF (VME, PVI), or 0 for #GP(0).  SDM vol. 2A, CLI. */
static u64 interrupt_flag(const struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;

    if (emu_cpl(e) <= emu_iopl(e))
        return RFLAGS_IF;
    if (i->mode == EMU_MODE_VM86)
        return s->cr4 & CR4_VME ? RFLAGS_VIF : 0;
    return emu_cpl(e) == 3 && (s->cr4 & CR4_PVI) ? RFLAGS_VIF : 0;
}

/* CLI STI: FA FB */
enum emu_status op_interrupts(struct emu *e, const struct insn *i)
{
    u64 flag = interrupt_flag(e, i), rflags = e->state->rflags;
    bool set = i->opcode & 1;

    if (flag == 0 || (set && flag == RFLAGS_VIF && (rflags & RFLAGS_VIP)))
        return emu_gp(e, 0);
    if (set && flag == RFLAGS_IF && !(rflags & RFLAGS_IF))
        e->step.shadow = BLOCKED_BY_STI;
    return emu_set_rflags(e, (rflags & ~flag) | (set ? flag : 0));
}

/* ---- the rest -------------------------------------------------------------------------------- */

enum emu_status op_bound(struct emu *e, const struct insn *i)
{
    unsigned size = i->opsize;
    s64 index = sign_extend(e->state->gpr[i->reg], size);

    for (unsigned n = 0; n < 2; n++) { /* the upper one is not looked at if the lower is met */
        u64 at = (emu_ea(e, i) + n * size) & mask_bytes(i->addrsize), value;
        TRY(emu_read_memory(e, i, at, size, &value));
        s64 bound = sign_extend(value, size);
        if (n == 0 ? index < bound : index > bound)
            return emu_raise(e, VECTOR_BR, false, 0);
    }
    return EMU_DONE;
}

/* The operand is written, and need be writable, only when its RPL is raised. */
enum emu_status op_arpl(struct emu *e, const struct insn *i)
{
    u64 rpl = e->state->gpr[i->reg] & 3, v;
    TRY(emu_read_rm(e, i, 2, &v));
    bool raise = (v & 3) < rpl;
    if (raise)
        TRY(emu_write_rm(e, i, 2, (v & ~3ull) | rpl));
    return emu_set_rflags(e, (e->state->rflags & ~(u64)RFLAGS_ZF) | (raise ? RFLAGS_ZF : 0));
}

/* F3 90, also with REX.B. */
enum emu_status op_pause(struct emu *e, const struct insn *)
{
    return e->ops->special == NULL ? EMU_DONE : e->ops->special(e->ctx, EMU_OP_PAUSE, 0, 0);
}

/* CLFLUSH, CLFLUSHOPT, CLWB: checked as a byte read, but for an execute-only segment (SDM vol. 2A);
 * caches are coherent. */
enum emu_status op_clflush(struct emu *e, const struct insn *i)
{
    struct emu_span span;
    gva_t gva;
    TRY(emu_linear(e, (enum seg)i->seg, emu_ea(e, i), 1, EMU_FETCH, &gva));
    return emu_map(e, gva, 1, EMU_READ, &span);
}

enum emu_status op_fence(struct emu *, const struct insn *)
{
    __asm__ volatile("mfence" : : : "memory");
    return EMU_DONE;
}
