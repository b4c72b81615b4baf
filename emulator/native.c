/* SPDX-License-Identifier: MIT
 *
 * x87, MMX, SSE and AVX instructions, and integer ones like MUL and CMPXCHG (op_integer), are not
 * computed here: the CPU does them.  The memory operand
 * goes through a buffer, the instruction is encoded anew to address that buffer, and
 * ops->run_native() executes it with the guest's registers in the CPU.  docs/emulator.md.
 */
#include "emulator/native.h"

/* ---- may it be executed? ---------------------------------------------------------------- */

/* The feature of a VEX or EVEX instruction beside op->feature. */
static enum emu_feature vex_feature(const struct insn *i)
{
    bool wide = i->vlen != 0 && (i->op->flags & OP_INTEGER);

    if (i->op->flags & OP_OPMASK) {
        unsigned width = emu_arg_bytes(i, i->op->arg[ARG_LETTER(i->op->arg[0]) == ARG_G]);
        return width == 1 ? EMU_HAS_AVX512DQ : width == 2 ? EMU_HAS_AVX512F : EMU_HAS_AVX512BW;
    }
    if (i->op->feature == EMU_HAS_AES + 1 && (wide || i->vex == 2))
        return EMU_HAS_VAES;
    if (i->op->feature == EMU_HAS_PCLMUL + 1 && (wide || i->vex == 2))
        return EMU_HAS_VPCLMUL;
    if (i->vex == 2)
        return EMU_HAS_AVX512F - 1 + EVEX_FEATURE(i->op->flags);
    return wide ? EMU_HAS_AVX2 : EMU_HAS_AVX;
}

/* What the guest must have been told of beyond op->feature. */
static bool lacks_feature(const struct emu *e, const struct insn *i)
{
    bool any_length = i->vex != 2 || i->vlen == 2 || (i->op->flags & (EVEX_SCALAR | OP_L0));

    return !emu_has(e, EMU_HAS_AVX) || !emu_has(e, vex_feature(i)) ||
           (i->vex == 2 && !emu_has(e, EMU_HAS_AVX512F)) ||
           !(any_length || emu_has(e, EMU_HAS_AVX512VL));
}

enum emu_status emu_check_vector(struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;
    u64 flags = i->op->flags;

    if (i->vex != 0) {
        u64 parts = i->vex == 2 || (flags & OP_OPMASK) ? XCR0_AVX512 : XCR0_AVX;
        if ((flags & OP_GPRVEX) && !(flags & OP_OPMASK))
            return EMU_DONE;
        if (!(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & parts) != parts || lacks_feature(e, i))
            return emu_ud(e);
    } else if (flags & OP_SSE) {
        if ((s->cr0 & CR0_EM) || !(s->cr4 & CR4_OSFXSR))
            return emu_ud(e);
    } else if (flags & OP_XSAVE) {
        if (!(s->cr4 & CR4_OSXSAVE))
            return emu_ud(e);
    } else if (s->cr0 & CR0_EM) { /* x87 and FXSAVE, or MMX */
        return i->map == 0 || i->opcode == 0xae ? emu_raise(e, VECTOR_NM, false, 0) : emu_ud(e);
    }
    return s->cr0 & CR0_TS ? emu_raise(e, VECTOR_NM, false, 0) : EMU_DONE;
}

/* ---- running ---------------------------------------------------------------------------- */

enum emu_status emu_native_run(struct emu *e, struct emu_native *n)
{
    const struct x86_state *s = e->state;

    if (e->ops->run_native == NULL)
        return EMU_UNIMPLEMENTED;
    u8 vector = e->ops->run_native(e->ctx, n);
    if (likely(vector == VECTOR_NONE))
        return EMU_DONE;
    /* #MF without CR0.NE, too: VT-x holds it at 1 below a guest that has it 0 (vol. 3C, 23.8), so
     * there is no FERR# for what runs natively either. */
    if (vector == VECTOR_XM && !(s->cr4 & CR4_OSXMMEXCPT))
        vector = VECTOR_UD;
    return emu_raise(e, vector, vector == VECTOR_GP, 0);
}

enum emu_status emu_native_simple(struct emu *e, u64 code, void *memory)
{
    struct emu_native n = {.code = code, .memory = memory};
    return emu_native_run(e, &n);
}

/* VMOVDQU64 between ZMM `reg` and memory, or as much of the register as the guest may use. */
enum emu_status emu_vector_move(struct emu *e, unsigned reg, enum vector_move way, void *buf)
{
    u64 tail = way | (7 | (reg & 7) << 3) << 8 | 0xc3 << 16, low = reg & 8 ? 0 : 0x80;

    if (emu_usable(e, XCR0_AVX512, EMU_HAS_AVX512F)) /* EVEX.512.F3.0F.W1 */
        tail = tail << 32 | 0x48fe6162 | low << 8 | (reg & 16 ? 0 : 0x1000);
    else if (emu_usable(e, XCR0_AVX, EMU_HAS_AVX)) /* VEX.256.F3.0F */
        tail = tail << 24 | 0x7e61c4 | low << 8;
    else
        tail = tail << 24 | 0x0f40f3 | (low == 0 ? 0x400 : 0);
    return emu_native_simple(e, tail, buf);
}

/* ---- encoding --------------------------------------------------------------------------- */

/* One of op_integer()'s: its ModRM.rm operand is at RDI even if the guest's is a register. */
static bool is_integer(const struct insn *i)
{
    return !(i->op->flags & OP_VECTOR) || (i->op->flags & (OP_GPRVEX | OP_OPMASK)) == OP_GPRVEX;
}

static bool operand_in_memory(const struct insn *i) { return insn_is_memory(i) || is_integer(i); }

/* Which ModRM field names a general register: it becomes RSI.  `args` is op->arg. */
enum gpr_field { GPR_FIELD_NONE, GPR_FIELD_REG, GPR_FIELD_RM };

static enum gpr_field gpr_field(const struct insn *i, bool *dest)
{
    for (unsigned n = 0; n < ARRAY_SIZE(i->op->arg) && i->op->arg[n] != 0; n++) {
        enum arg_letter l = ARG_LETTER(i->op->arg[n]);
        *dest = n == 0;
        if (l == ARG_G)
            return GPR_FIELD_REG;
        if (l == ARG_R || (l == ARG_E && !operand_in_memory(i)))
            return GPR_FIELD_RM;
    }
    *dest = false;
    return GPR_FIELD_NONE;
}

/* Outside 64-bit mode W says nothing where it would choose a 64-bit general register. */
static bool keeps_w(const struct insn *i)
{
    bool gprs = i->map == 3 && (i->opcode & 0xfe) == 0x60; /* PCMPESTRM, PCMPESTRI */

    for (unsigned n = 0; n < ARRAY_SIZE(i->op->arg); n++)
        gprs |= ARG_SIZE(i->op->arg[n]) == SIZE_y;
    return i->mode == EMU_MODE_64 || !gprs;
}

struct encoder {
    u64 code;
    unsigned n; /* bits */
};

static void emit(struct encoder *c, unsigned byte)
{
    c->code |= (u64)(byte & 0xff) << c->n;
    c->n += 8;
}

/* Prefixes of op_integer().  A REX prefix makes register 6 SIL where operands are bytes. */
static void emit_integer(struct encoder *c, const struct insn *i)
{
    if (i->lock)
        emit(c, 0xf0);
    else if (i->map != 0 && i->rep != 0)
        emit(c, i->rep);
    if (i->opsize == 2 || (i->opsize16 && ARG_SIZE(i->op->arg[1]) == SIZE_y)) /* ADCX */
        emit(c, 0x66);
    if (i->size == 1 || i->opsize == 8)
        emit(c, i->opsize == 8 ? 0x48 : 0x40);
    if (i->map != 0)
        emit(c, 0x0f);
    if (i->map == 2)
        emit(c, 0x38);
}

/* Prefixes and opcode; reg, rm, vvvv with their high bits. */
static void emit_opcode(struct encoder *c, const struct insn *i, unsigned reg, unsigned rm)
{
    unsigned w = (i->rex & 8) && keeps_w(i) ? 1 : 0, r = reg >> 3 & 1, b = rm >> 3 & 1;
    u8 pp = i->rep != 0 ? i->rep : i->opsize16 ? 0x66 : 0;
    unsigned code = pp == 0x66 ? 1 : pp == 0xf3 ? 2 : pp == 0xf2 ? 3 : 0;

    if (!(i->op->flags & OP_VECTOR)) {
        emit_integer(c, i);
    } else if (i->vex == 1) {
        emit(c, 0xc4);
        emit(c, (r ^ 1) << 7 | 0x40 | (b ^ 1) << 5 | i->map);
        unsigned vvvv = is_integer(i) && i->map != 3 ? RBX : i->vvvv; /* RORX: none */
        emit(c, w << 7 | (~vvvv & 15u) << 3 | (unsigned)i->vlen << 2 | code);
    } else if (i->vex == 2) {
        emit(c, 0x62);
        emit(c, (r ^ 1) << 7 | (~rm & 16) << 2 | (b ^ 1) << 5 | (~reg & 16) | i->map);
        emit(c, w << 7 | (~i->vvvv & 15u) << 3 | 4 | code);
        emit(c, i->evex);
    } else if (i->map != 0) {
        if (pp != 0)
            emit(c, pp);
        if (w | r | b)
            emit(c, 0x40 | w << 3 | r << 2 | b);
        emit(c, 0x0f);
        if (i->map > 1)
            emit(c, i->map == 2 ? 0x38 : 0x3a);
    }
    emit(c, i->opcode);
}

/* The instruction with RDI for its memory operand and RSI for an explicit general register. */
static u64 encode(const struct insn *i)
{
    struct encoder c = {0};
    bool dest;
    enum gpr_field gpr = gpr_field(i, &dest);
    unsigned reg = gpr == GPR_FIELD_REG ? RSI : i->reg;
    bool memory = operand_in_memory(i) && gpr != GPR_FIELD_RM;
    unsigned rm = memory ? RDI : gpr == GPR_FIELD_RM ? RSI : i->rm;

    emit_opcode(&c, i, reg, rm);
    if (i->op->flags & OP_MODRM)
        emit(&c, (memory ? 0 : 0xc0u) | (reg & 7) << 3 | (rm & 7));
    for (unsigned n = 1; n < ARRAY_SIZE(i->op->arg); n++) {
        enum arg_letter l = ARG_LETTER(i->op->arg[n]);
        for (unsigned k = 0; (l == ARG_I || l == ARG_IU) && k < emu_arg_bytes(i, i->op->arg[n]);
             k++)
            emit(&c, (unsigned)(i->imm >> (8 * k)));
        if (l == ARG_L)
            emit(&c, (unsigned)i->imm << 4);
    }
    emit(&c, 0xc3);
    return c.code;
}

void emu_native_prepare(struct insn *i)
{
    unsigned at, size = emu_memory_arg(i, &at);
    enum gpr_field gpr = gpr_field(i, &i->gpr_written);

    i->imm2 = encode(i);
    i->operand = (u8)size;
    i->stores = size != 0 && (at == 0 && i->map != 0 ? !(i->op->sub & NATIVE_LOAD)
                                                     : (i->op->sub & NATIVE_STORE) != 0);
    i->gpr_written |= is_integer(i) && (i->op->sub & NATIVE_BOTH);
    i->gpr2 = i->vex != 0 && is_integer(i) ? i->vvvv : RBX;
    i->gpr = gpr == GPR_FIELD_NONE ? GPR_NONE : gpr == GPR_FIELD_REG ? i->reg : i->rm & 15;
    if (gpr == GPR_FIELD_REG && i->size == 1 && i->rex == 0 && i->reg >= 4) { /* AH..BH */
        i->gpr &= 3;
        i->gpr_turn = 8;
    }
}

/* ---- the generic instruction ------------------------------------------------------------ */

/* Does a pending x87 error come before everything else?  MMX also; not FNSTCW and its like. */
static bool waits(const struct insn *i)
{
    if (i->op->flags & OP_FPU)
        return !(i->op->sub & NATIVE_NOWAIT);
    return ARG_LETTER(i->op->arg[0]) == ARG_P; /* CVTPS2PI and its like */
}

enum emu_status emu_native_wait(struct emu *e)
{
    return emu_native_simple(e, 0xc39b, NULL); /* fwait; ret */
}

enum emu_status emu_vector_map(struct emu *e, const struct insn *i, unsigned size,
                               enum emu_access access, struct emu_span *span)
{
    u64 ea = emu_ea(e, i);
    bool aligned = i->vex == 0 && size == 16 && (i->op->flags & OP_SSE)
                       ? !(i->op->sub & NATIVE_UNALIGNED)
                       : (i->op->sub & NATIVE_ALIGNED) != 0;

    if (aligned && !is_aligned(emu_segment_base(e, i) + ea, size))
        return emu_gp(e, 0);
    access |= i->op->sub & NATIVE_UNALIGNED ? EMU_BYTES : 0;
    return emu_map_seg(e, (enum seg)i->seg, ea, size, access, span);
}

static u64 rotate_right(u64 v, int n) { return v >> (n & 63) | v << (-n & 63); }

static enum emu_status run_with_registers(struct emu *e, const struct insn *i, struct emu_native *n)
{
    struct x86_state *s = e->state;

    n->code = i->imm2;
    memcpy(n->gpr, s->gpr, sizeof(n->gpr));
    n->gpr[RBX] = s->gpr[i->gpr2];
    n->rsi = rotate_right(s->reg[i->gpr], i->gpr_turn);
    n->flags = s->rflags & EMU_ARITH_FLAGS;
    TRY(emu_native_run(e, n));
    memcpy(s->gpr, n->gpr, 3 * sizeof(n->gpr[0])); /* FNSTSW AX, PCMPESTRI, MUL */
    emu_set_gpr(e, i->gpr2, 8, n->gpr[RBX]);
    if (i->gpr_written)
        emu_set_gpr(e, i->gpr, 8, rotate_right(n->rsi, -i->gpr_turn));
    if (n->flags != (s->rflags & EMU_ARITH_FLAGS))
        emu_set_rflags(e, (s->rflags & ~(u64)EMU_ARITH_FLAGS) | n->flags);
    return EMU_DONE;
}

/* Memory refuses an x87 instruction's store.  Intel's CPUs come to it last: if an unmasked
 * exception forbids the store, nothing is refused. */
static NOINLINE enum emu_status refused_store(struct emu *e, const struct insn *i,
                                              struct emu_native *n)
{
    const struct emu_event fault = e->event;
    _Alignas(64) u8 before[FX_SIZE];
    bool store = true;

    TRY(emu_native_simple(e, CODE_FXSAVE(true), before));
    TRY(run_with_registers(e, i, n));
    TRY(emu_x87_after(e, i, n, &store));
    if (!store) {
        e->event.vector = VECTOR_NONE;
        return EMU_DONE;
    }
    TRY(emu_native_simple(e, CODE_FXRSTOR(true), before));
    e->event = fault;
    return EMU_FAULT;
}

enum emu_status op_native(struct emu *e, const struct insn *i)
{
    _Alignas(64) u8 buf[64];
    struct emu_native n;
    struct emu_span span;
    unsigned size = i->operand;
    bool store = i->stores;

    n.memory = buf;
    if (store && (i->op->flags & EVEX_SAE)) /* VCVTPS2PH: its own exceptions come first */
        TRY(emu_native_simple(e, i->imm2, buf));
    if (size != 0) {
        if (i->vex == 2 && emu_by_units(i))
            return emu_under_opmask(e, i);
        if (waits(i))
            TRY(emu_native_wait(e));
        enum emu_status st = emu_vector_map(e, i, size, store ? EMU_WRITE : EMU_READ, &span);
        if (unlikely(st != EMU_DONE))
            return st == EMU_FAULT && store && i->map == 0 ? refused_store(e, i, &n) : st;
        if (emu_span_is_ram(&span))
            n.memory = span.host[0];
        else if (!store)
            emu_span_read(e, &span, buf);
    }
    TRY(run_with_registers(e, i, &n));
    if (i->map == 0)
        TRY(emu_x87_after(e, i, &n, &store));
    if (store && n.memory == buf)
        emu_span_write(e, &span, buf);
    return EMU_DONE;
}

/* Instructions on general registers that need nothing but the CPU: the operand is a copy, or RAM
 * itself, so that LOCK holds. */
enum emu_status op_integer(struct emu *e, const struct insn *i)
{
    unsigned size = emu_arg_bytes(i, i->op->arg[ARG_LETTER(i->op->arg[0]) == ARG_G]);
    bool store = i->op->sub & NATIVE_STORE, memory = insn_is_memory(i);
    _Alignas(16) u64 copy[2];
    struct emu_native n = {.memory = copy};
    struct emu_span span;

    if (size == 16 && !is_aligned(emu_segment_base(e, i) + emu_ea(e, i), 16)) /* CMPXCHG16B */
        return emu_gp(e, 0);
    if (memory)
        TRY(emu_map_operand(e, i, size, store ? EMU_WRITE : EMU_READ, &span));
    if (!memory)
        copy[0] = emu_get_reg(e, i, i->rm, size);
    else if (emu_span_is_ram(&span))
        n.memory = span.host[0];
    else
        emu_span_read(e, &span, copy);
    TRY(run_with_registers(e, i, &n));
    if (!store || ((i->op->sub & NATIVE_CMPXCHG) && !memory && !(e->state->rflags & RFLAGS_ZF)))
        return EMU_DONE;
    if (!memory)
        emu_set_reg(e, i, i->rm, size, copy[0]);
    else if (n.memory == copy)
        emu_span_write(e, &span, copy);
    return EMU_DONE;
}
