/* SPDX-License-Identifier: MIT
 *
 * The x87 unit's pointers and environment, and the instructions that save and restore the state of
 * x87, SSE and AVX whole: FNSTENV to XSAVES.  SDM vol. 1, 8.1 and 13.
 */
#include "emulator/native.h"

/* FXSAVE image, SDM vol. 1, 10.5.1. */
#define FX_FCW     0
#define FX_FSW     2
#define FX_FOP     6
#define FX_FIP     8 /* without REX.W 4 bytes, then FCS */
#define FX_FCS     12
#define FX_FDP     16
#define FX_FDS     20
#define FX_MXCSR   24 /* and its mask */
#define FX_ST      32
#define FX_XMM     160
#define FX_XMM8    (FX_XMM + 128)
#define FX_XMM_END (FX_XMM + 256)

/* ---- one x87 instruction ---------------------------------------------------------------- */

enum emu_status op_fwait(struct emu *e, const struct insn *)
{
    if ((e->state->cr0 & CR0_MP) && (e->state->cr0 & CR0_TS))
        return emu_raise(e, VECTOR_NM, false, 0);
    return emu_native_wait(e);
}

/* The opcode as FOP has it: three bits of the first byte, and ModRM (SDM vol. 1, 8.1.9). */
static u16 fop_of(const struct emu *e, u8 opcode)
{
    const u8 *bytes = e->record.code->bytes;

    while (*bytes != opcode)
        bytes++;
    return (u16)((opcode & 7) << 8 | bytes[1]);
}

/* Where the CPU noted the stub's address or the buffer, put the guest's. */
static bool note_pointers(struct emu *e, const struct insn *i, const struct emu_native *ran,
                          u8 *image)
{
    unsigned size = i->mode == EMU_MODE_64 ? 8 : 4;
    bool selectors = size == 4 && host_load(image + FX_FCS, 2) != 0;

    if (host_load(image + FX_FIP, size) != (ran->at & mask_bytes(size)))
        return false;
    host_store(image + FX_FIP, size, e->record.rip);
    if (selectors)
        host_store(image + FX_FCS, 2, e->state->seg[SEG_CS].selector);
    if (host_load(image + FX_FOP, 2) != 0)
        host_store(image + FX_FOP, 2, fop_of(e, i->opcode));
    if (!insn_is_memory(i) ||
        host_load(image + FX_FDP, size) != ((uintptr_t)ran->memory & mask_bytes(size)))
        return true;
    host_store(image + FX_FDP, size, emu_ea(e, i));
    if (selectors)
        host_store(image + FX_FDS, 2, emu_seg(e, i->seg)->selector);
    return true;
}

enum emu_status emu_x87_after(struct emu *e, const struct insn *i, const struct emu_native *ran,
                              bool *store)
{
    _Alignas(64) u8 image[FX_SIZE];
    bool wide = i->mode == EMU_MODE_64;

    TRY(emu_native_simple(e, CODE_FXSAVE(wide), image));
    /* Unmasked #IA, #IS, #D, #Z, #O and #U come before the store, SDM vol. 1, 8.5; #P after it. */
    if (!(i->op->sub & NATIVE_NOWAIT) &&
        host_load(image + FX_FSW, 2) & ~host_load(image + FX_FCW, 2) & 0x1f)
        *store = false;
    if (!note_pointers(e, i, ran, image))
        return EMU_DONE;
    return emu_native_simple(e, CODE_FXRSTOR(wide), image);
}

/* ---- FNSTENV FLDENV FNSAVE FRSTOR ------------------------------------------------------- */

/* The environment as CPUs in protected mode lay it out with 32-bit operands, SDM vol. 1, 8.1.10. */
struct environment {
    u32 control, status, tags, ip, cs_opcode, dp, ds;
};
#define REGISTER_BYTES 80u

/* Real and virtual-8086 mode have linear addresses in the place of selector and offset: figures
 * 8-10 and 8-12. */
static void to_real(const struct environment *v, bool wide, u8 *out)
{
    u32 ip = (v->cs_opcode & 0xffff) * 16 + v->ip, dp = (v->ds & 0xffff) * 16 + v->dp;
    u32 opcode = v->cs_opcode >> 16 & 0x7ff, high = wide ? 0xffff : 0xf;
    u32 ip_high = (ip >> 16 & high) << 12 | opcode, dp_high = (dp >> 16 & high) << 12;
    const u32 word[7] = {v->control, v->status,   v->tags, ip & 0xffff,
                         ip_high,    dp & 0xffff, dp_high};

    for (unsigned n = 0; n < 7; n++)
        host_store(out + n * (wide ? 4u : 2u), wide ? 4 : 2, word[n]);
}

static void from_real(const u8 *in, bool wide, struct environment *v)
{
    u32 word[7];

    for (unsigned n = 0; n < 7; n++)
        word[n] = (u32)host_load(in + n * (wide ? 4u : 2u), wide ? 4 : 2);
    *v = (struct environment){.control = word[0],
                              .status = word[1],
                              .tags = word[2],
                              .ip = (word[3] & 0xffff) | (word[4] & 0xffff000) << 4,
                              .cs_opcode = (word[4] & 0x7ff) << 16,
                              .dp = (word[5] & 0xffff) | (word[6] & 0xffff000) << 4};
}

/* In which order an area's bytes are looked at is open (SDM vol. 3A, 8.1.1); Intel's CPUs begin
 * with the last. */
static enum emu_status map_area(struct emu *e, const struct insn *i, unsigned size,
                                enum emu_access access, struct emu_span *span)
{
    u64 ea = emu_ea(e, i), last = (ea + size - 1) & mask_bytes(i->addrsize);

    access |= EMU_BYTES; /* to #AC */
    TRY(emu_map_seg(e, (enum seg)i->seg, last, 1, access, span));
    return emu_map_seg(e, (enum seg)i->seg, ea, size, access, span);
}

/* op->sub: NATIVE_STORE for the two that store; DD is the whole state, D9 the environment. */
enum emu_status op_fpu_env(struct emu *e, const struct insn *i)
{
    _Alignas(64) u8 guest[28 + REGISTER_BYTES];
    _Alignas(64) struct {
        struct environment env;
        u8 registers[REGISTER_BYTES];
    } native;
    bool real = i->mode == EMU_MODE_REAL || i->mode == EMU_MODE_VM86, wide = i->opsize != 2;
    bool store = i->op->sub & NATIVE_STORE;
    unsigned header = wide ? 28 : 14, rest = i->opcode == 0xdd ? REGISTER_BYTES : 0;
    enum emu_access access = store ? EMU_WRITE : EMU_READ;
    struct emu_span span;

    if (!store)
        TRY(emu_native_wait(e));
    TRY(emu_map_seg(e, (enum seg)i->seg, emu_ea(e, i), wide ? 4 : 2, access, &span));
    TRY(map_area(e, i, header + rest, access, &span));
    if (!store)
        emu_span_read(e, &span, guest);
    if (real && !store) {
        from_real(guest, wide, &native.env);
        memcpy(native.registers, guest + header, rest);
    }
    if (real)
        TRY(emu_native_simple(e, i->imm2, &native));
    else /* the CPU's own layout */
        TRY(emu_native_simple(e, wide ? i->imm2 : i->imm2 << 8 | 0x66, guest));
    if (!store)
        return EMU_DONE;
    if (real) {
        to_real(&native.env, wide, guest);
        memcpy(guest + header, native.registers, rest);
    }
    emu_span_write(e, &span, guest);
    return EMU_DONE;
}

/* ---- FXSAVE FXRSTOR --------------------------------------------------------------------- */

/* Misaligned is #GP, or #AC of doublewords: SDM vol. 2A, FXSAVE, leaves open whether and of what.
 */
static enum emu_status check_area(struct emu *e, const struct insn *i, unsigned align)
{
    gva_t gva;

    TRY(emu_linear(e, (enum seg)i->seg, emu_ea(e, i), 4, EMU_READ, &gva));
    TRY(emu_check_alignment(e, gva, 4, EMU_READ));
    return is_aligned(gva.v, align) ? EMU_DONE : emu_gp(e, 0);
}

enum emu_status op_fxsave(struct emu *e, const struct insn *i)
{
    _Alignas(64) u8 image[FX_SIZE];
    bool store = i->op->sub & NATIVE_STORE;
    struct emu_span span;

    TRY(check_area(e, i, 16));
    TRY(map_area(e, i, FX_SIZE, store ? EMU_WRITE : EMU_READ, &span));
    TRY(emu_native_simple(e, store ? i->imm2 : CODE_FXSAVE(false), image));
    /* outside 64-bit mode XMM8 to XMM15 are neither saved nor restored, SDM vol. 1, 10.5 */
    span.size = i->mode == EMU_MODE_64 ? FX_XMM_END : FX_XMM8;
    span.first = span.first < span.size ? span.first : span.size;
    if (!store) {
        emu_span_read(e, &span, image);
        return emu_native_simple(e, i->imm2, image);
    }
    emu_span_write(e, &span, image);
    return EMU_DONE;
}

/* ---- XSAVE and XRSTOR ------------------------------------------------------------------- */

#define XSAVE_BV      512 /* XSTATE_BV, XCOMP_BV: SDM vol. 1, 13.4.2 */
#define XSAVE_COMP    520
#define XSAVE_HEADER  576 /* with the legacy region before it */
#define XSAVE_MAX     4096u
#define XSAVE_PARTS   10                       /* up to PKRU: more no guest's XCR0 has */
#define XSAVE_NATIVE  (XCR0_AVX512 | XCR0_X87) /* what run_native() has */
#define XCOMP_COMPACT BIT64(63)

/* A component from 2 on in an area. */
struct part {
    unsigned at, size; /* size 0: absent */
};

/* Bytes of an area with these components, in the compacted form or not, and where they are: CPUID
 * 0DH. */
static unsigned area_size(struct emu *e, u64 components, bool compact,
                          struct part part[XSAVE_PARTS])
{
    unsigned size = XSAVE_HEADER;
    u32 r[4];

    memset(part, 0, XSAVE_PARTS * sizeof(*part));
    for (unsigned n = 2; n < XSAVE_PARTS; n++) {
        if (!(components >> n & 1))
            continue;
        e->ops->cpuid(e->ctx, 0xd, n, r);
        unsigned at = !compact ? r[1] : r[2] & 2 ? (unsigned)align_up(size, 64) : size;
        part[n] = (struct part){at, r[0]};
        size = at + r[0] > size ? at + r[0] : size;
    }
    return size;
}

static enum emu_status keep_registers(struct emu *e, u8 kept[24][64], enum vector_move way)
{
    unsigned count = emu_usable(e, XCR0_AVX512, EMU_HAS_AVX512F) ? 24 : 8;

    for (unsigned n = 0; n < count; n++)
        TRY(emu_vector_move(e, 8 + n, way, kept[n]));
    return EMU_DONE;
}

/* The components that are asked for; IA32_XSS, which XSAVES and XRSTORS also know, is 0. */
static u64 requested(const struct emu *e)
{
    return ((u32)e->state->gpr[RAX] | e->state->gpr[RDX] << 32) & e->state->xcr0;
}

static enum emu_status run_on_area(struct emu *e, const struct insn *i, u8 *area)
{
    struct emu_native n = {
        .code = i->imm2, .memory = area, .gpr = {[RAX] = requested(e) & XSAVE_NATIVE}};
    return emu_native_run(e, &n);
}

/* PKRU is not in the CPU but in state.pkru.  What is 0 is in its initial state. */
static void save_pkru(const struct emu *e, u8 *area, unsigned at, bool compact)
{
    u32 pkru = e->state->pkru;

    area[XSAVE_BV + 1] = (u8)((area[XSAVE_BV + 1] & ~2u) | (pkru != 0 ? 2 : 0));
    if (compact)
        area[XSAVE_COMP + 1] |= 2;
    if (pkru != 0 || !compact)
        host_store(area + at, 8, pkru);
}

/* Only what was asked for is the instruction's to write; other CPUs may be writing the rest.
 * Outside 64-bit mode registers from 8 on have no part in it (SDM vol. 1, 13.5). */
static enum emu_status write_parts(struct emu *e, const struct insn *i, const u8 *area,
                                   const struct part part[XSAVE_PARTS])
{
    unsigned half = i->mode == EMU_MODE_64 ? 1 : 2;
    u64 all = requested(e);
    const struct part parts[] = {{0, all & XCR0_X87 ? FX_MXCSR : 0},
                                 {FX_MXCSR, all & XCR0_AVX ? 8 : 0},
                                 {FX_ST, all & XCR0_X87 ? FX_XMM - FX_ST : 0},
                                 {FX_XMM, all & XCR0_SSE ? 256 / half : 0},
                                 {XSAVE_BV, i->op->sub ? 16 : 8},
                                 {part[2].at, part[2].size / half},
                                 part[5],
                                 {part[6].at, part[6].size / half},
                                 {part[7].at, half == 1 ? part[7].size : 0},
                                 part[9]};
    struct emu_span span;

    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++) {
        if (parts[n].size == 0)
            continue;
        TRY(emu_map_seg(e, (enum seg)i->seg, emu_ea(e, i) + parts[n].at, parts[n].size,
                        EMU_WRITE | EMU_BYTES, &span));
        emu_span_write(e, &span, area + parts[n].at);
    }
    return EMU_DONE;
}

/* op->sub: the compacted form (XSAVEC, XSAVES). */
enum emu_status op_xsave(struct emu *e, const struct insn *i)
{
    /* Never at the address XRSTOR had: XSAVEOPT and XSAVES would leave out what has not changed
     * since an XRSTOR from there (SDM vol. 1, 13.6). */
    _Alignas(128) u8 room[64 + XSAVE_MAX];
    u8 *area = room + 64;
    struct part part[XSAVE_PARTS];
    struct emu_span span;
    unsigned size = area_size(e, requested(e), i->op->sub, part);

    TRY(check_area(e, i, 64));
    TRY(map_area(e, i, size, EMU_WRITE, &span));
    emu_span_read(e, &span, area);
    TRY(run_on_area(e, i, area));
    if (part[9].size != 0)
        save_pkru(e, area, part[9].at, i->op->sub);
    if (i->mode != EMU_MODE_64 && part[7].size != 0)
        area[XSAVE_BV] &= 0x7f; /* ZMM16 to ZMM31 are initial there, 13.6 */
    return write_parts(e, i, area, part);
}

enum emu_status op_xrstor(struct emu *e, const struct insn *i)
{
    _Alignas(128) u8 area[XSAVE_MAX];
    u8 high[24][64];
    struct part part[XSAVE_PARTS];
    bool wide = i->mode == EMU_MODE_64;
    struct emu_span span;
    u64 layout;

    TRY(check_area(e, i, 64));
    TRY(emu_read_seg(e, (enum seg)i->seg, emu_ea(e, i) + XSAVE_COMP, &layout, 8));
    bool compact = layout & XCOMP_COMPACT;
    if (compact && (layout & ~(e->state->xcr0 | XCOMP_COMPACT)))
        return emu_gp(e, 0);
    /* In the plain form Intel's CPUs look at all that is asked for (SDM vol. 1, 13.13). */
    unsigned size = area_size(e, compact ? layout : requested(e), compact, part);
    TRY(map_area(e, i, size, EMU_READ, &span));
    memset(area, 0, sizeof(area));
    emu_span_read(e, &span, area);
    host_store(area + XSAVE_COMP, 8, layout); /* as it was judged, whatever another CPU writes */
    if (!wide)
        TRY(keep_registers(e, high, VECTOR_GET));
    TRY(run_on_area(e, i, area));
    if (requested(e) & XCR0_PKRU)
        e->state->pkru = area[XSAVE_BV + 1] & 2 ? (u32)host_load(area + part[9].at, 4) : 0;
    return wide ? EMU_DONE : keep_registers(e, high, VECTOR_SET);
}

/* Outside 64-bit mode VZEROUPPER and VZEROALL leave registers 8 to 15 alone. */
enum emu_status op_vzero(struct emu *e, const struct insn *i)
{
    bool wide = i->mode == EMU_MODE_64;
    u8 high[24][64];

    if (!wide)
        TRY(keep_registers(e, high, VECTOR_GET));
    TRY(op_native(e, i));
    return wide ? EMU_DONE : keep_registers(e, high, VECTOR_SET);
}
