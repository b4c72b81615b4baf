/* SPDX-License-Identifier: MIT
 *
 * Near branches.  state.rip is already the next instruction's when a handler runs.
 */
#include "emulator/internal.h"

/* Truncate a near target to the operand size; #GP(0) outside the code segment. */
static enum emu_status check_target(struct emu *e, const struct insn *i, u64 *target)
{
    if (i->mode == EMU_MODE_64)
        return emu_canonical(e, *target) ? EMU_DONE : emu_gp(e, 0);
    *target &= mask_bytes(i->opsize);
    emu_need(e, STATE_SEG(SEG_CS));
    return *target <= e->state->seg[SEG_CS].limit ? EMU_DONE : emu_gp(e, 0);
}

enum emu_status emu_jump(struct emu *e, const struct insn *i, u64 target)
{
    TRY(check_target(e, i, &target));
    e->state->rip = target;
    return EMU_DONE;
}

enum emu_status op_jcc(struct emu *e, const struct insn *i)
{
    if (!emu_condition(e->state->rflags, i->opcode))
        return EMU_DONE;
    return emu_jump(e, i, e->state->rip + i->imm);
}

enum emu_status op_jmp(struct emu *e, const struct insn *i)
{
    return emu_jump(e, i, e->state->rip + i->imm);
}

enum emu_status op_jmp_rm(struct emu *e, const struct insn *i)
{
    u64 target;
    TRY(emu_read_rm(e, i, i->opsize, &target));
    return emu_jump(e, i, target);
}

static enum emu_status call(struct emu *e, const struct insn *i, u64 target)
{
    TRY(check_target(e, i, &target));
    TRY(emu_push(e, i, i->opsize, e->state->rip));
    e->state->rip = target;
    return EMU_DONE;
}

enum emu_status op_call(struct emu *e, const struct insn *i)
{
    return call(e, i, e->state->rip + i->imm);
}

enum emu_status op_call_rm(struct emu *e, const struct insn *i)
{
    u64 target;
    TRY(emu_read_rm(e, i, i->opsize, &target));
    return call(e, i, target);
}

/* C3, and C2 with bytes to release in imm. */
enum emu_status op_ret(struct emu *e, const struct insn *i)
{
    u64 target;
    TRY(emu_peek(e, i, 0, i->opsize, &target));
    TRY(emu_jump(e, i, target));
    emu_pop_commit(e, i, i->opsize + i->imm);
    return EMU_DONE;
}

/* LOOP, LOOPE, LOOPNE: the count is CX, ECX or RCX by address size. */
enum emu_status op_loop(struct emu *e, const struct insn *i)
{
    u64 count = (e->state->gpr[RCX] - 1) & mask_bytes(i->addrsize);
    bool zf = e->state->rflags & RFLAGS_ZF;
    bool taken = count != 0 && (i->op->sub == LOOP_ALWAYS || zf == (i->op->sub == LOOP_E));
    if (taken)
        TRY(emu_jump(e, i, e->state->rip + i->imm));
    emu_set_gpr(e, RCX, i->addrsize, count);
    return EMU_DONE;
}

enum emu_status op_jcxz(struct emu *e, const struct insn *i)
{
    if ((e->state->gpr[RCX] & mask_bytes(i->addrsize)) != 0)
        return EMU_DONE;
    return emu_jump(e, i, e->state->rip + i->imm);
}
