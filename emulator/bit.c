/* SPDX-License-Identifier: MIT
 *
 * Bits and bytes within words: bit tests, byte swaps, BMI, ADX; and which scan or count it is.
 */
#include "emulator/flags.h"
#include "emulator/internal.h"

#define BIT_FORMS "%w[s], (%[d])", "%k[s], (%[d])", "%q[s], (%[d])"
#define BIT_FN(fn, op, locks) \
    FLAGS_FN(fn, locks, FLAGS_WIDE("lock " op, BIT_FORMS), FLAGS_WIDE(op, BIT_FORMS))

BIT_FN(do_bt, "bt", false)
BIT_FN(do_bts, "bts", true)
BIT_FN(do_btr, "btr", true)
BIT_FN(do_btc, "btc", true)

static const emu_rmw bt_fns[] = {do_bt, do_bts, do_btr, do_btc};

/* A bit offset in a register reaches beyond the operand when that is memory: whole operands on. */
enum emu_status op_bt_reg(struct emu *e, const struct insn *i)
{
    unsigned bits = 8u * i->size;
    u64 offset = e->state->gpr[i->reg];
    bool writes = i->op->sub != BT_TEST;
    struct operand o;

    if (!insn_is_memory(i))
        return emu_modify(e, i, bt_fns[i->op->sub], offset & (bits - 1), writes);
    s64 bit = (s64)(offset << (64 - bits)) >> (64 - bits);
    u64 ea = emu_ea(e, i) + ((u64)(bit >> 3) & ~(u64)(i->size - 1));
    enum emu_status st = emu_operand_at(e, (enum seg)i->seg, ea & mask_bytes(i->addrsize), i->size,
                                        writes ? EMU_WRITE : EMU_READ, i->lock, &o);
    if (st != EMU_DONE)
        return st;
    emu_modify_operand(e, i, &o, bt_fns[i->op->sub], offset & (bits - 1), writes);
    return EMU_DONE;
}

enum emu_status op_bt_imm(struct emu *e, const struct insn *i)
{
    return emu_modify(e, i, bt_fns[i->op->sub], i->imm & (8u * i->size - 1), i->op->sub != BT_TEST);
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

    emu_set_gpr(e, i->rm, i->opsize, v);
    return EMU_DONE;
}

enum emu_status op_movbe_load(struct emu *e, const struct insn *i)
{
    u64 v;
    enum emu_status st = emu_read_rm(e, i, i->size, &v);

    if (st == EMU_DONE)
        emu_set_gpr(e, i->reg, i->size, swap_bytes(v, i->size));
    return st;
}

enum emu_status op_movbe_store(struct emu *e, const struct insn *i)
{
    return emu_write_rm(e, i, i->size, swap_bytes(e->state->gpr[i->reg], i->size));
}

/* ---- BMI1 and BMI2, SDM vol. 2 --------------------------------------------------------------- */

static u64 deposit_bits(u64 source, u64 mask)
{
    u64 r = 0;
    for (; mask != 0; mask &= mask - 1, source >>= 1)
        r |= source & 1 ? mask & -mask : 0;
    return r;
}

static u64 extract_bits(u64 source, u64 mask)
{
    u64 r = 0;
    for (unsigned n = 0; mask != 0; mask &= mask - 1, n++)
        r |= source & mask & -mask ? BIT64(n) : 0;
    return r;
}

/* ZF and SF of a result of `size` bytes, CF as given, OF, AF and PF clear. */
static void set_logic_flags(struct emu *e, u64 v, unsigned size, bool cf)
{
    u64 f = e->state->rflags & ~FLAGS_ARITH;

    f |= (cf ? RFLAGS_CF : 0) | (v == 0 ? RFLAGS_ZF : 0);
    f |= v >> (8 * size - 1) & 1 ? RFLAGS_SF : 0;
    emu_set_rflags(e, f);
}

/* Those that set flags.  s: ModRM.rm, c: the VEX.vvvv operand. */
static u64 bmi_with_flags(enum bmi_op op, u64 s, u64 c, unsigned bits, bool *cf)
{
    unsigned start = c & 0xff, length = c >> 8 & 0xff;

    *cf = false;
    switch (op) {
    case BMI_ANDN: return ~c & s;
    case BMI_BLSR: *cf = s == 0; return s & (s - 1);
    case BMI_BLSMSK: *cf = s == 0; return s ^ (s - 1);
    case BMI_BLSI: *cf = s != 0; return s & -s;
    case BMI_BZHI: *cf = start >= bits; return start >= bits ? s : s & ~(~0ull << start);
    default: /* BMI_BEXTR */
        s = start >= bits ? 0 : s >> start;
        return length >= bits ? s : s & ~(~0ull << length);
    }
}

static u64 bmi_without_flags(const struct insn *i, u64 s, u64 c, unsigned bits)
{
    unsigned count = (unsigned)c & (bits - 1), rotate = (unsigned)i->imm & (bits - 1);

    switch (i->op->sub) {
    case BMI_PDEP: return deposit_bits(c, s);
    case BMI_PEXT: return extract_bits(c, s);
    case BMI_RORX: return rotate == 0 ? s : s >> rotate | s << (bits - rotate);
    case BMI_SHLX: return s << count;
    case BMI_SHRX: return s >> count;
    default: /* BMI_SARX */ return (u64)((s64)(s << (64 - bits)) >> (64 - bits) >> count);
    }
}

enum emu_status op_bmi(struct emu *e, const struct insn *i)
{
    unsigned size = i->size, bits = 8 * size;
    u64 s, c = e->state->gpr[i->vvvv] & mask_bytes(size), v;
    bool cf;
    enum emu_status st;

    if (i->vlen != 0)
        return emu_ud(e);
    st = emu_read_rm(e, i, size, &s);
    if (st != EMU_DONE)
        return st;
    if (i->op->sub == BMI_MULX) {
        u128 product = (u128)s * (e->state->gpr[RDX] & mask_bytes(size));
        emu_set_gpr(e, i->vvvv, size, (u64)product);
        emu_set_gpr(e, i->reg, size, (u64)(product >> bits)); /* wins when both are the same */
        return EMU_DONE;
    }
    if (i->op->sub > BMI_BZHI) {
        emu_set_gpr(e, i->reg, size, bmi_without_flags(i, s, c, bits));
        return EMU_DONE;
    }
    v = bmi_with_flags((enum bmi_op)i->op->sub, s, c, bits, &cf) & mask_bytes(size);
    bool group17 = i->op->sub >= BMI_BLSR && i->op->sub <= BMI_BLSI;
    emu_set_gpr(e, group17 ? i->vvvv : i->reg, size, v);
    set_logic_flags(e, v, size, cf);
    return EMU_DONE;
}

/* ADCX (carry in CF) and ADOX (in OF); the other flags stay. */
enum emu_status op_adx(struct emu *e, const struct insn *i)
{
    u64 flag = i->op->sub == 0 ? RFLAGS_CF : RFLAGS_OF;
    u64 source;
    enum emu_status st = emu_read_rm(e, i, i->size, &source);

    if (st != EMU_DONE)
        return st;
    u128 sum = (u128)(e->state->gpr[i->reg] & mask_bytes(i->size)) + source +
               (e->state->rflags & flag ? 1 : 0);
    emu_set_gpr(e, i->reg, i->size, (u64)sum);
    emu_set_rflags(e, (e->state->rflags & ~flag) | (sum >> (8 * i->size) ? flag : 0));
    return EMU_DONE;
}
