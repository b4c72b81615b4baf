/* SPDX-License-Identifier: MIT
 *
 * Integer arithmetic, but for what op_integer() does (native.c): each operation is carried out by
 * the same instruction of the host, on the guest's register or RAM itself, locked where the guest's
 * is; its flags are the real ALU's.
 */
#include "emulator/flags.h"
#include "emulator/internal.h"

FLAGS_RMW(do_add, "add", FLAGS_SOURCE)
FLAGS_RMW(do_or, "or", FLAGS_SOURCE)
FLAGS_RMW(do_adc, "adc", FLAGS_SOURCE)
FLAGS_RMW(do_sbb, "sbb", FLAGS_SOURCE)
FLAGS_RMW(do_and, "and", FLAGS_SOURCE)
FLAGS_RMW(do_sub, "sub", FLAGS_SOURCE)
FLAGS_RMW(do_xor, "xor", FLAGS_SOURCE)
FLAGS_READ(do_cmp, "cmp", FLAGS_SOURCE)
FLAGS_READ(do_test, "test", FLAGS_SOURCE)
FLAGS_RMW(do_inc, "inc", FLAGS_ALONE)
FLAGS_RMW(do_dec, "dec", FLAGS_ALONE)
FLAGS_RMW(do_not, "not", FLAGS_ALONE)
FLAGS_RMW(do_neg, "neg", FLAGS_ALONE)
FLAGS_SHIFT(do_rol, "rol")
FLAGS_SHIFT(do_ror, "ror")
FLAGS_SHIFT(do_rcl, "rcl")
FLAGS_SHIFT(do_rcr, "rcr")
FLAGS_SHIFT(do_shl, "shl")
FLAGS_SHIFT(do_shr, "shr")
FLAGS_SHIFT(do_sar, "sar")

/* By enum alu_op. */
static const emu_rmw alu_fns[] = {do_add, do_or,  do_adc, do_sbb, do_and, do_sub, do_xor,
                                  do_inc, do_dec, do_not, do_neg, do_rol, do_ror, do_rcl,
                                  do_rcr, do_shl, do_shr, do_sar, do_cmp, do_test};

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
    enum emu_status st = emu_read_rm(e, i, i->size, &source);

    return st != EMU_DONE ? st : modify_reg(e, i, i->reg, source);
}

enum emu_status op_alu_acc_imm(struct emu *e, const struct insn *i)
{
    return modify_reg(e, i, RAX, i->imm);
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

/* INC and DEC 40..4F */
enum emu_status op_alu_reg(struct emu *e, const struct insn *i)
{
    return modify_reg(e, i, i->rm, 0);
}

/* ---- decimal arithmetic --------------------------------------------------------------------- */

/* SF, ZF and PF of a byte, CF and AF as given; OF as it was. */
static void set_bcd_flags(struct emu *e, u8 al, bool cf, bool af)
{
    u64 f = e->state->rflags & ~(FLAGS_ARITH & ~(u64)RFLAGS_OF);

    f |= (cf ? RFLAGS_CF : 0) | (af ? RFLAGS_AF : 0) | (al == 0 ? RFLAGS_ZF : 0);
    f |= al & RFLAGS_SF;
    f |= __builtin_parity(al) ? 0 : RFLAGS_PF;
    emu_set_rflags(e, f);
}

/* DAA and DAS, SDM vol. 2A. */
static void decimal_adjust(struct emu *e, bool subtract)
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
    } else if (!subtract) {
        cf = false;
    }
    emu_set_gpr(e, RAX, 1, al);
    set_bcd_flags(e, al, cf, af);
}

/* AAA and AAS: since the 286 AX is adjusted as a whole, SDM vol. 2A. */
static void ascii_adjust(struct emu *e, bool subtract)
{
    u16 ax = (u16)e->state->gpr[RAX];
    bool adjust = (ax & 0xf) > 9 || (e->state->rflags & RFLAGS_AF);

    if (adjust)
        ax = (u16)(subtract ? ax - 0x106 : ax + 0x106);
    ax &= 0xff0f;
    emu_set_gpr(e, RAX, 2, ax);
    set_bcd_flags(e, (u8)ax, adjust, adjust);
}

enum emu_status op_bcd(struct emu *e, const struct insn *i)
{
    if (i->op->sub <= BCD_DAS)
        decimal_adjust(e, i->op->sub == BCD_DAS);
    else
        ascii_adjust(e, i->op->sub == BCD_AAS);
    return EMU_DONE;
}

enum emu_status op_aam(struct emu *e, const struct insn *i)
{
    u8 al = (u8)e->state->gpr[RAX];
    u8 base = (u8)i->imm;

    if (base == 0)
        return emu_raise(e, VECTOR_DE, false, 0);
    emu_set_gpr(e, RAX, 2, (u64)(al / base) << 8 | al % base);
    set_bcd_flags(e, al % base, false, false);
    e->state->rflags &= ~(u64)RFLAGS_OF;
    return EMU_DONE;
}

enum emu_status op_aad(struct emu *e, const struct insn *i)
{
    u16 ax = (u16)e->state->gpr[RAX];
    u8 al = (u8)(ax + (ax >> 8) * i->imm);

    emu_set_gpr(e, RAX, 2, al);
    set_bcd_flags(e, al, false, false);
    e->state->rflags &= ~(u64)RFLAGS_OF;
    return EMU_DONE;
}

static s64 sign_extend(u64 v, unsigned size)
{
    return (s64)(v << (64 - 8 * size)) >> (64 - 8 * size);
}

/* CBW, CWDE, CDQE: AL, AX or EAX into twice as much. */
enum emu_status op_cbw(struct emu *e, const struct insn *i)
{
    emu_set_gpr(e, RAX, i->opsize, (u64)sign_extend(e->state->gpr[RAX], i->opsize / 2u));
    return EMU_DONE;
}

/* CWD, CDQ, CQO */
enum emu_status op_cwd(struct emu *e, const struct insn *i)
{
    s64 v = sign_extend(e->state->gpr[RAX], i->opsize);

    emu_set_gpr(e, RDX, i->opsize, v < 0 ? ~0ull : 0);
    return EMU_DONE;
}

/* ---- compare and exchange pairs ------------------------------------------------------------ */

/* Compare DX:AX with *d and store CX:BX; true when equal, else *low and *high are what is there. */
static bool cmpxchg_pair(unsigned size, void *d, u64 *low, u64 *high, u64 new_low, u64 new_high)
{
    bool equal;

    if (size == 8)
        __asm__ volatile("lock cmpxchg8b (%[d])"
                         : "=@ccz"(equal), "+a"(*low), "+d"(*high)
                         : [d] "r"(d), "b"(new_low), "c"(new_high)
                         : "memory");
    else
        __asm__ volatile("lock cmpxchg16b (%[d])"
                         : "=@ccz"(equal), "+a"(*low), "+d"(*high)
                         : [d] "r"(d), "b"(new_low), "c"(new_high)
                         : "memory");
    return equal;
}

/* CMPXCHG8B and CMPXCHG16B */
enum emu_status op_cmpxchg8b(struct emu *e, const struct insn *i)
{
    const u64 *gpr = e->state->gpr;
    struct operand o;
    unsigned half = i->size / 2u;
    u64 low = gpr[RAX] & mask_bytes(half), high = gpr[RDX] & mask_bytes(half);
    _Alignas(16) u64 local[2];

    if (half == 8 && !is_aligned(emu_segment_base(e, i) + emu_ea(e, i), 16))
        return emu_gp(e, 0);
    enum emu_status st = emu_operand_rm(e, i, i->size, EMU_WRITE, &o);
    if (st != EMU_DONE)
        return st;
    void *d = o.host;
    if (d == NULL) {
        emu_span_read(e, &o.span, local);
        d = local;
    }
    bool equal = cmpxchg_pair(i->size, d, &low, &high, gpr[RBX], gpr[RCX]);
    if (d == local)
        emu_span_write(e, &o.span, local);
    if (!equal) {
        emu_set_gpr(e, RAX, half, low);
        emu_set_gpr(e, RDX, half, high);
    }
    emu_set_rflags(e, (e->state->rflags & ~(u64)RFLAGS_ZF) | (equal ? RFLAGS_ZF : 0));
    return EMU_DONE;
}
