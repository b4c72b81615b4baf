/* SPDX-License-Identifier: MIT
 *
 * Vector instructions that touch only some elements of their memory operand: masked moves and
 * gathers.  What the mask leaves out is neither accessed nor can it fault.
 */
#include "emulator/native.h"

/* Elements of a memory operand, and which of them are accessed. */
struct elements {
    unsigned size; /* of each, bytes */
    u64 active;    /* bit per element */
};

/* Elements of the low `bytes` of a mask register whose sign bit is set. */
static struct elements by_sign(const u8 *mask, unsigned bytes, unsigned size)
{
    struct elements v = {.size = size};

    for (unsigned n = 0; n < bytes / size; n++)
        v.active |= (u64)(mask[n * size + size - 1] >> 7) << n;
    return v;
}

/* Move the active ones between memory at offset ea and buf; buf NULL: only resolve them.  An
 * element of a gather wraps around by itself at the address size, others at what the mode has. */
static enum emu_status move_active(struct emu *e, const struct insn *i, u64 ea,
                                   const struct elements *v, enum emu_access access, u8 *buf)
{
    unsigned width = i->mode == EMU_MODE_64 ? 8 : 4;
    u64 mask = mask_bytes(i->op->flags & OP_VSIB ? i->addrsize : width);

    for (u64 left = v->active; left != 0; left &= left - 1) {
        unsigned at = (unsigned)__builtin_ctzll(left) * v->size;
        struct emu_span span;
        TRY(emu_map_seg(e, (enum seg)i->seg, (ea + at) & mask, v->size, access | EMU_BYTES, &span));
        if (buf != NULL && access == EMU_WRITE)
            emu_span_write(e, &span, buf + at);
        else if (buf != NULL)
            emu_span_read(e, &span, buf + at);
    }
    return EMU_DONE;
}

/* The instruction moves between its register and a buffer, this between the buffer and memory. */
static enum emu_status move_masked(struct emu *e, const struct insn *i, const struct elements *v,
                                   bool store)
{
    _Alignas(64) u8 buf[64] = {0};
    enum emu_access access = store ? EMU_WRITE : EMU_READ;

    TRY(move_active(e, i, emu_ea(e, i), v, access, NULL));
    if (!store)
        TRY(move_active(e, i, emu_ea(e, i), v, access, buf));
    TRY(emu_native_simple(e, i->imm2, buf));
    return store ? move_active(e, i, emu_ea(e, i), v, access, buf) : EMU_DONE;
}

/* VMASKMOVPS, VPMASKMOVD …: the mask is in VEX.vvvv; op->sub: element size, or 0: by W. */
enum emu_status op_vmaskmov(struct emu *e, const struct insn *i)
{
    _Alignas(64) u8 mask[64];

    TRY(emu_vector_move(e, i->vvvv, VECTOR_GET, mask));
    struct elements v = by_sign(mask, 16u << i->vlen, i->op->sub ? i->op->sub : emu_evex_unit(i));
    return move_masked(e, i, &v, ARG_LETTER(i->op->arg[0]) == ARG_M);
}

static enum emu_status get_register(struct emu *e, bool mmx, unsigned n, u8 value[64])
{
    u64 movq = 0xc3077f0f; /* movq [rdi], mm0; ret */

    return mmx ? emu_native_simple(e, movq | (n & 7u) << 19, value)
               : emu_vector_move(e, n, VECTOR_GET, value);
}

/* MASKMOVQ and MASKMOVDQU: bytes of ModRM.reg to DS:rDI by the mask in ModRM.rm.  The whole operand
 * must be writable, whatever the mask, as CPUs have it. */
enum emu_status op_maskmov(struct emu *e, const struct insn *i)
{
    _Alignas(64) u8 data[64], mask[64];
    bool mmx = ARG_LETTER(i->op->arg[0]) == ARG_P;
    u64 at = e->state->gpr[RDI] & mask_bytes(i->addrsize);
    struct emu_span span;

    if (mmx)
        TRY(emu_native_wait(e));
    TRY(get_register(e, mmx, i->reg, data));
    TRY(get_register(e, mmx, i->rm, mask));
    struct elements v = by_sign(mask, mmx ? 8 : 16, 1);
    for (unsigned n = mmx ? 8 : 16; n != 0; n -= 8) /* to #AC: quadwords; Intel's order */
        TRY(emu_map_seg(e, (enum seg)i->seg, (at + n - 8) & mask_bytes(i->addrsize), 8, EMU_WRITE,
                        &span));
    return move_active(e, i, at, &v, EMU_WRITE, data);
}

/* KMOV between memory and an opmask register; without AVX512BW none has more than 16 bits. */
static enum emu_status move_opmask(struct emu *e, unsigned k, u64 opcode, u64 *mask)
{
    bool wide = emu_has(e, EMU_HAS_AVX512BW);
    u64 tail = opcode | (7 | k << 3) << 8 | 0xc3 << 16;

    return emu_native_simple(e, wide ? tail << 24 | 0xf8e1c4 : tail << 16 | 0xf8c5, mask);
}

/* Which units of the memory operand the opmask's low bits leave: of a whole operand each its own
 * bit's; of one that is repeated those of which any bit does; of a packed one the first so many. */
static struct elements by_opmask(const struct insn *i, u64 mask)
{
    struct elements v = {.size = emu_evex_unit(i)};
    unsigned count = i->operand / v.size, bits = count, which;

    (void)emu_memory_arg(i, &which);
    if (i->op->flags & EVEX_REPEAT)
        bits = (16u << i->vlen) / v.size;
    else if (i->evex & INSN_B)
        bits = emu_arg_bytes(i, i->op->arg[which]) / v.size;
    mask &= ~0ull >> (64 - bits);
    for (u64 left = i->op->flags & EVEX_PACKED ? mask : 0; left != 0; left &= left - 1)
        v.active = v.active << 1 | 1;
    for (; bits > count; bits /= 2)
        mask = (mask | mask >> bits / 2) & ~0ull >> (64 - bits / 2);
    if (!(i->op->flags & EVEX_PACKED))
        v.active = mask;
    return v;
}

enum emu_status emu_under_opmask(struct emu *e, const struct insn *i)
{
    _Alignas(64) u64 mask = 0;
    unsigned k = i->evex & INSN_OPMASK;
    struct emu_span span;

    if (k != 0)
        TRY(move_opmask(e, k, 0x91, &mask));
    else
        mask = ~mask;
    struct elements v = by_opmask(i, mask);
    enum emu_access access = i->stores ? EMU_WRITE : EMU_READ;
    gva_t at;
    bool reached = emu_reaches(e, (enum seg)i->seg, emu_ea(e, i), i->operand, access, &at);

    if (v.active != 0 && (i->op->sub & NATIVE_ALIGNED) && !is_aligned(at.v, i->operand))
        return emu_gp(e, 0);
    if (v.active != 0 && !(i->op->sub & NATIVE_UNALIGNED) && reached)
        TRY(emu_check_alignment(e, at, i->operand, 0));
    if (i->op->flags & EVEX_WHOLE) /* VEXTRACTF32X4 and its like */
        TRY(emu_vector_map(e, i, i->operand, EMU_WRITE, &span));
    return move_masked(e, i, &v, i->stores);
}

/* VGATHERDPS, VPSCATTERQQ …: op->sub: bytes of an index.  What has been moved stays so when an
 * element faults, and its mask is cleared: the instruction goes on from there.  With EVEX the mask
 * is an opmask. */
enum emu_status op_gather(struct emu *e, const struct insn *i)
{
    _Alignas(64) u8 data[64], index[64] = {0}, mask[64] = {0};
    _Alignas(64) u64 active = 0;
    unsigned isize = i->op->sub, size = i->rex & 8 ? 8 : 4;
    unsigned count = (16u << i->vlen) / (isize > size ? isize : size);
    bool store = ARG_LETTER(i->op->arg[0]) == ARG_M, evex = i->vex == 2;
    enum emu_status st = EMU_DONE;

    TRY(emu_vector_move(e, i->reg, VECTOR_GET, data));
    TRY(emu_vector_move(e, i->index | (evex ? i->vvvv & 16u : 0), VECTOR_GET, index));
    TRY(evex ? move_opmask(e, i->evex & INSN_OPMASK, 0x91, &active)
             : emu_vector_move(e, i->vvvv, VECTOR_GET, mask));
    if (!evex)
        active = by_sign(mask, 16u << i->vlen, size).active;
    u64 base = i->disp + e->state->reg[i->base];
    for (unsigned n = 0; n < count && st == EMU_DONE; n++) {
        struct elements v = {.size = size, .active = active >> n & 1};
        u64 at = host_load(index + n * isize, isize);
        if (isize == 4)
            at = (u64)(s64)(s32)at;
        st = move_active(e, i, base + (at << i->scale), &v, store ? EMU_WRITE : EMU_READ,
                         data + n * size);
        if (st == EMU_DONE)
            active &= ~BIT64(n);
    }
    if (st == EMU_DONE) {
        active = 0;
        memset(data + count * size, 0, sizeof(data) - count * size);
    }
    for (unsigned n = 0; n < sizeof(mask) / size; n++)
        memset(mask + n * size, active >> n & 1 ? 0xff : 0, size);
    if (!store)
        TRY(emu_vector_move(e, i->reg, VECTOR_SET, data));
    TRY(evex ? move_opmask(e, i->evex & INSN_OPMASK, 0x90, &active)
             : emu_vector_move(e, i->vvvv, VECTOR_SET, mask));
    return st;
}
