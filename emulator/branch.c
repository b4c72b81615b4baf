/* SPDX-License-Identifier: MIT
 *
 * Near branches.  state.rip is already the next instruction's when a handler runs.
 */
#include "emulator/internal.h"

/* Is it a target in CS (limit, canonical)?  Then state.rip = it. */
static enum emu_status jump_to(struct emu *e, const struct insn *i, u64 target)
{
    if (i->mode == EMU_MODE_64 ? !emu_canonical(e, target) : target > emu_seg(e, SEG_CS)->limit)
        return emu_gp(e, 0);
    e->state->rip = target;
    return EMU_DONE;
}

static enum emu_status jump(struct emu *e, const struct insn *i, u64 target)
{
    return jump_to(e, i, target & mask_bytes(i->opsize));
}

/* A transaction that aborts at once, for no reason that EAX would name, or because of the trap that
 * single-stepping means (SDM vol. 1, 16.3.5 and 16.3.8.1). */
enum emu_status op_xbegin(struct emu *e, const struct insn *i)
{
    TRY(jump_to(e, i, (e->state->rip + i->imm) & mask_bytes(i->mode == EMU_MODE_64 ? 8 : 4)));
    emu_set_gpr(e, RAX, 4, e->state->rflags & RFLAGS_TF ? BIT(4) : 0);
    e->step.no_trap = true;
    return EMU_DONE;
}

enum emu_status op_jcc(struct emu *e, const struct insn *i)
{
    if (!emu_condition(e->state->rflags, i->opcode))
        return EMU_DONE;
    return jump(e, i, e->state->rip + i->imm);
}

/* Of JMP and CALL: relative, or what ModRM.rm holds. */
static enum emu_status target_of(struct emu *e, const struct insn *i, u64 *target)
{
    *target = e->state->rip + i->imm;
    return i->op->flags & OP_MODRM ? emu_read_rm(e, i, i->opsize, target) : EMU_DONE;
}

enum emu_status op_jmp(struct emu *e, const struct insn *i)
{
    u64 target;
    TRY(target_of(e, i, &target));
    return jump(e, i, target);
}

/* What is pushed is in memory already when the target turns out to be none, as CPUs have it. */
enum emu_status op_call(struct emu *e, const struct insn *i)
{
    u64 target, sp = e->state->gpr[RSP];
    TRY(target_of(e, i, &target));
    TRY(emu_push(e, i->opsize, i->opsize, e->state->rip));
    enum emu_status st = jump(e, i, target);
    if (st != EMU_DONE)
        e->state->gpr[RSP] = sp;
    return st;
}

/* C3, and C2 with bytes to release in imm. */
enum emu_status op_ret(struct emu *e, const struct insn *i)
{
    u64 target;
    TRY(emu_peek(e, e->state->gpr[RSP], i->opsize, &target));
    TRY(jump(e, i, target));
    return emu_pop_commit(e, i->opsize + i->imm);
}

/* LOOP, LOOPE, LOOPNE: the count is CX, ECX or RCX by address size. */
enum emu_status op_loop(struct emu *e, const struct insn *i)
{
    u64 count = (e->state->gpr[RCX] - 1) & mask_bytes(i->addrsize);
    bool zf = e->state->rflags & RFLAGS_ZF;
    bool taken = count != 0 && (i->op->sub == LOOP_ALWAYS || zf == (i->op->sub == LOOP_E));
    if (taken)
        TRY(jump(e, i, e->state->rip + i->imm));
    return emu_set_gpr(e, RCX, i->addrsize, count);
}

enum emu_status op_jcxz(struct emu *e, const struct insn *i)
{
    if ((e->state->gpr[RCX] & mask_bytes(i->addrsize)) != 0)
        return EMU_DONE;
    return jump(e, i, e->state->rip + i->imm);
}
