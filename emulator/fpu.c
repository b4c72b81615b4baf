/* SPDX-License-Identifier: MIT
 *
 * Vector moves.  The hypervisor is built without vector code, so while it runs the registers still
 * hold the guest's values: they are read and written there, through a buffer in memory.  With
 * emu->vectors set they are taken from that array instead (host tests, a saved guest).
 */
#include "emulator/internal.h"

#define EACH_REGISTER(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* No clobber of the vector registers is told: what changes is the guest's, not the compiler's. */
#define LIVE(name, type)                    \
    static void name(unsigned reg, type *p) \
    {                                       \
        switch (reg) {                      \
            EACH_REGISTER(name##_CASE)      \
        default: break;                     \
        }                                   \
    }

#define live_store_xmm_CASE(n)                                              \
    case n:                                                                 \
        __asm__ volatile("movdqu %%xmm" #n ", (%0)" : : "r"(p) : "memory"); \
        break;
#define live_store_ymm_CASE(n)                                               \
    case n:                                                                  \
        __asm__ volatile("vmovdqu %%ymm" #n ", (%0)" : : "r"(p) : "memory"); \
        break;
#define live_load_xmm_CASE(n)                                            \
    case n:                                                              \
        __asm__ volatile("movdqu (%0), %%xmm" #n : : "r"(p) : "memory"); \
        break;
#define live_load_ymm_CASE(n) \
    case n: __asm__ volatile("vmovdqu (%0), %%ymm" #n : : "r"(p) : "memory"); break;
LIVE(live_store_xmm, u8)
LIVE(live_store_ymm, u8)
LIVE(live_load_xmm, const u8)
LIVE(live_load_ymm, const u8)

#define VECTOR_BYTES 32u

/* The low `size` (at most 32) bytes of a vector register; the rest of buf stays. */
static void vector_read(const struct emu *e, unsigned reg, unsigned size, u8 buf[VECTOR_BYTES])
{
    if (e->vectors != NULL)
        memcpy(buf, e->vectors[reg], size > 16 ? 32 : 16);
    else if (size > 16)
        live_store_ymm(reg, buf);
    else
        live_store_xmm(reg, buf);
}

/* 16 bytes, leaving the upper half alone (legacy SSE); with VEX all 32. */
static void vector_write(const struct emu *e, const struct insn *i, unsigned reg,
                         const u8 buf[VECTOR_BYTES])
{
    if (e->vectors != NULL)
        memcpy(e->vectors[reg], buf, i->vex ? 32 : 16);
    else if (i->vex)
        live_load_ymm(reg, buf);
    else
        live_load_xmm(reg, buf);
}

/* A memory operand of `size` bytes; op->sub: #GP(0) unless aligned. */
static enum emu_status vector_map(struct emu *e, const struct insn *i, unsigned size,
                                  enum emu_access access, struct emu_span *span)
{
    u64 ea = emu_ea(e, i);

    if (i->op->sub && !is_aligned(emu_segment_base(e, i) + ea, size))
        return emu_gp(e, 0);
    return emu_map_seg(e, (enum seg)i->seg, ea, size, access, span);
}

/* VEX.L must be 0 for the moves of 4 or 8 bytes; VMOVSS and VMOVSD (10, 11) ignore it. */
static bool length_allowed(const struct insn *i, unsigned size)
{
    return i->vlen == 0 || size > 8 || (i->opcode & 0xfe) == 0x10;
}

/* Register from register or memory, zero-extended to the register. */
enum emu_status op_vec_load(struct emu *e, const struct insn *i)
{
    unsigned size = emu_arg_bytes(i, i->op->arg[1]);
    u8 buf[VECTOR_BYTES] = {0}, from[VECTOR_BYTES] = {0};
    struct emu_span span;

    if (!length_allowed(i, size))
        return emu_ud(e);
    if (insn_is_memory(i)) {
        enum emu_status st = vector_map(e, i, size, EMU_READ, &span);
        if (st == EMU_DONE)
            st = emu_span_read(e, &span, buf);
        if (st != EMU_DONE)
            return st;
    } else {
        vector_read(e, i->rm, size, from);
        memcpy(buf, from, size);
    }
    vector_write(e, i, i->reg, buf);
    return EMU_DONE;
}

enum emu_status op_vec_store(struct emu *e, const struct insn *i)
{
    unsigned size = i->size;
    u8 buf[VECTOR_BYTES] = {0}, from[VECTOR_BYTES] = {0};
    struct emu_span span;

    if (!length_allowed(i, size))
        return emu_ud(e);
    vector_read(e, i->reg, size, from);
    memcpy(buf, from, size);
    if (!insn_is_memory(i)) {
        vector_write(e, i, i->rm, buf);
        return EMU_DONE;
    }
    enum emu_status st = vector_map(e, i, size, EMU_WRITE, &span);
    return st != EMU_DONE ? st : emu_span_write(e, &span, buf);
}

/* MOVD and MOVQ between a vector and a general register or memory. */
enum emu_status op_vec_from_gpr(struct emu *e, const struct insn *i)
{
    u8 buf[VECTOR_BYTES] = {0};
    u64 v;

    if (i->vlen != 0)
        return emu_ud(e);
    enum emu_status st = emu_read_rm(e, i, emu_arg_bytes(i, i->op->arg[1]), &v);
    if (st != EMU_DONE)
        return st;
    host_store(buf, 8, v);
    vector_write(e, i, i->reg, buf);
    return EMU_DONE;
}

enum emu_status op_vec_to_gpr(struct emu *e, const struct insn *i)
{
    u8 buf[VECTOR_BYTES] = {0};

    if (i->vlen != 0)
        return emu_ud(e);
    vector_read(e, i->reg, 16, buf);
    return emu_write_rm(e, i, i->size, host_load(buf, i->size));
}

#define X87_STATUS_ES BIT(7) /* an unmasked exception is pending, SDM vol. 1, 8.1.3 */

enum emu_status op_fwait(struct emu *e, const struct insn *i)
{
    u64 cr0 = e->state->cr0;
    u16 status = 0;

    (void)i;
    if ((cr0 & CR0_MP) && (cr0 & CR0_TS))
        return emu_raise(e, VECTOR_NM, false, 0);
    if (e->vectors == NULL)
        __asm__ volatile("fnstsw %0" : "=a"(status));
    if (!(status & X87_STATUS_ES))
        return EMU_DONE;
    /* Without CR0.NE the error goes out by FERR# and comes back as IRQ 13: nobody does that. */
    return cr0 & CR0_NE ? emu_raise(e, VECTOR_MF, false, 0) : EMU_UNIMPLEMENTED;
}
