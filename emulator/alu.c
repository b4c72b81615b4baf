/* SPDX-License-Identifier: MIT
 *
 * Integer arithmetic, but for what op_integer() does (native.c): each operation is carried out by
 * the same instruction of the host, on the guest's register or RAM itself, locked where the guest's
 * is; its flags are the real ALU's.
 */
#include "emulator/flags.h"
#include "emulator/internal.h"

ALU_LIST(FLAGS_RMW, FLAGS_SHIFT, FLAGS_READ)

#define ALU_FN(name, ...) do_##name,
static const emu_rmw alu_fns[] = {ALU_LIST(ALU_FN, ALU_FN, ALU_FN)};

/* The destination is a register: no operand to resolve, and nothing to do but to go on to fn. */
static enum emu_status modify_reg(struct emu *e, const struct insn *i, unsigned reg, u64 source)
{
    struct x86_state *s = e->state;
    u8 *d = emu_reg(e, i, reg, i->size);

    s->dirty |= STATE_RFLAGS;
    if (i->op->sub < ALU_CMP) {
        if (i->size == 4)
            host_store(d + 4, 4, 0);
        if (unlikely(reg == RSP))
            s->dirty |= STATE_RSP;
    }
    return alu_fns[i->op->sub](i->size, false, d, source, &s->rflags);
}

static inline enum emu_status modify_rm(struct emu *e, const struct insn *i, u64 source)
{
    if (insn_is_memory(i))
        return emu_modify(e, i, alu_fns[i->op->sub], source, i->op->sub < ALU_CMP);
    return modify_reg(e, i, i->rm, source);
}

enum emu_status op_alu_rm_reg(struct emu *e, const struct insn *i)
{
    return modify_rm(e, i, emu_get_reg(e, i, i->reg, i->size));
}

enum emu_status op_alu_reg_rm(struct emu *e, const struct insn *i)
{
    u64 source;

    TRY(emu_read_rm(e, i, i->size, &source));
    return modify_reg(e, i, i->reg, source);
}

/* Also where there is no source at all.  A shift count of 0 changes no flag, but the access is made
 * all the same: the host does just that. */
enum emu_status op_alu_rm_imm(struct emu *e, const struct insn *i)
{
    return modify_rm(e, i, i->imm);
}

enum emu_status op_alu_rm_cl(struct emu *e, const struct insn *i)
{
    return modify_rm(e, i, e->state->gpr[RCX] & 0xff);
}

/* ---- decimal arithmetic --------------------------------------------------------------------- */

/* SF, ZF and PF of a byte, CF and AF as given; OF as it was. */
static enum emu_status set_bcd_flags(struct emu *e, u8 al, bool cf, bool af)
{
    u64 f = e->state->rflags & ~(EMU_ARITH_FLAGS & ~(u64)RFLAGS_OF);

    f |= (cf ? RFLAGS_CF : 0) | (af ? RFLAGS_AF : 0) | (al == 0 ? RFLAGS_ZF : 0);
    f |= (al & RFLAGS_SF) | (__builtin_parity(al) ? 0 : RFLAGS_PF);
    return emu_set_rflags(e, f);
}

/* DAA and DAS, SDM vol. 2A. */
static enum emu_status decimal_adjust(struct emu *e, bool subtract)
{
    u8 al = (u8)e->state->gpr[RAX], old = al;
    bool old_cf = e->state->rflags & RFLAGS_CF;
    bool cf = false, af = false;

    if ((al & 0xf) > 9 || (e->state->rflags & RFLAGS_AF)) {
        cf = old_cf || (subtract ? al < 6 : al > 0xff - 6);
        al = (u8)(subtract ? al - 6 : al + 6);
        af = true;
    }
    if (old > 0x99 || old_cf) {
        al = (u8)(subtract ? al - 0x60 : al + 0x60);
        cf = true;
    }
    emu_set_gpr(e, RAX, 1, al);
    return set_bcd_flags(e, al, cf, af);
}

/* AAA and AAS: since the 286 AX is adjusted as a whole, SDM vol. 2A. */
static enum emu_status ascii_adjust(struct emu *e, bool subtract)
{
    u16 ax = (u16)e->state->gpr[RAX];
    bool adjust = (ax & 0xf) > 9 || (e->state->rflags & RFLAGS_AF);

    if (adjust)
        ax = (u16)(subtract ? ax - 0x106 : ax + 0x106);
    ax &= 0xff0f;
    emu_set_gpr(e, RAX, 2, ax);
    return set_bcd_flags(e, (u8)ax, adjust, adjust);
}

/* DAA DAS AAA AAS: 27 2F 37 3F */
enum emu_status op_bcd(struct emu *e, const struct insn *i)
{
    return (i->opcode & 0x10 ? ascii_adjust : decimal_adjust)(e, i->opcode & 8);
}

enum emu_status op_aam(struct emu *e, const struct insn *i)
{
    u8 al = (u8)e->state->gpr[RAX];
    u8 base = (u8)i->imm;

    if (base == 0)
        return emu_raise(e, VECTOR_DE, false, 0);
    emu_set_gpr(e, RAX, 2, (u64)(al / base) << 8 | al % base);
    e->state->rflags &= ~(u64)RFLAGS_OF;
    return set_bcd_flags(e, al % base, false, false);
}

enum emu_status op_aad(struct emu *e, const struct insn *i)
{
    u16 ax = (u16)e->state->gpr[RAX];
    u8 al = (u8)(ax + (ax >> 8) * i->imm);

    emu_set_gpr(e, RAX, 2, al);
    e->state->rflags &= ~(u64)RFLAGS_OF;
    return set_bcd_flags(e, al, false, false);
}

/* ---- bits and bytes ------------------------------------------------------------------------- */

/* A bit offset in a register reaches beyond the operand when that is memory: whole operands on.
 * What is left of it is an immediate's. */
enum emu_status op_bt(struct emu *e, const struct insn *i)
{
    struct insn by_imm = *i;
    s64 bit = sign_extend(e->state->gpr[i->reg], i->size);

    by_imm.disp += (u64)(bit >> 3) & ~(u64)(i->size - 1);
    by_imm.imm = (u64)bit & (8u * i->size - 1);
    by_imm.reg = i->opcode >> 3 & 7;
    by_imm.opcode = 0xba;
    by_imm.op = &emu_map_0f[0xba].next[by_imm.reg];
    emu_native_prepare(&by_imm);
    return op_integer(e, &by_imm);
}

/* TZCNT and LZCNT: a guest without BMI1 or LZCNT gets their elders from the same bytes. */
enum emu_status op_bitcount(struct emu *e, const struct insn *i)
{
    struct insn elder = *i;

    if (emu_has(e, i->opcode == 0xbc ? EMU_HAS_BMI1 : EMU_HAS_LZCNT))
        return op_integer(e, i);
    elder.rep = 0;
    emu_native_prepare(&elder);
    return op_integer(e, &elder);
}

/* The low `size` bytes in opposite order.  Of two, BSWAP makes zero; MOVBE swaps them. */
static u64 swap_bytes(u64 v, unsigned size) { return __builtin_bswap64(v) >> (64 - 8 * size); }

enum emu_status op_bswap(struct emu *e, const struct insn *i)
{
    u64 v = i->opsize == 2 ? 0 : swap_bytes(e->state->gpr[i->rm], i->opsize);

    return emu_set_gpr(e, i->rm, i->opsize, v);
}

enum emu_status op_movbe(struct emu *e, const struct insn *i)
{
    u64 v = e->state->gpr[i->reg];

    if (i->opcode == 0xf1)
        return emu_write_rm(e, i, i->size, swap_bytes(v, i->size));
    TRY(emu_read_rm(e, i, i->size, &v));
    return emu_set_gpr(e, i->reg, i->size, swap_bytes(v, i->size));
}
