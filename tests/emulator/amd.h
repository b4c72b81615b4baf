/* SPDX-License-Identifier: MIT
 *
 * What AMD's CPUs do otherwise than Intel's, which the emulator follows: where one of them judges,
 * compare.h lets these differences pass, and nothing else.  Each was seen on a server CPU of family
 * 19H (Zen 4); "APM" is AMD's manual.
 */
#ifndef TESTS_EMULATOR_AMD_H
#define TESTS_EMULATOR_AMD_H

#include "emulator/system.h"
#include "tests/emulator/cases.h"
#include "tests/emulator/undefined.h"

/* A case that differs. */
struct amd_case {
    const struct testcase *c;
    const struct code_scan *s;
    const struct guest *g;
    struct insn i;     /* as the emulator decodes it, #UD or not */
    unsigned emu, cpu; /* how both sides ended: a vector, VECTOR_DB: done */
    u32 error;         /* of the CPU's #PF, or of the emulator's */
    u64 ea;            /* offset of the memory operand, if any */
};

/* Undefined opcodes have another length; 3DNow!, XOP and SSE4A are defined, if absent (APM vol. 3,
 * app. A): one side is at #UD, when the other wants ModRM, SIB, displacement or immediate (up to 12
 * bytes), and they cannot be fetched. */
static inline bool amd_length(const struct amd_case *a)
{
    u64 room = a->c->in.sel[SEG_CS] & 4 ? 0x10000 - a->c->in.rip : 15;
    if ((a->emu == VECTOR_UD) == (a->cpu == VECTOR_UD))
        return false;
    if (a->emu == VECTOR_PF || a->cpu == VECTOR_PF)
        return a->error & PFEC_ID;
    return a->i.length + 12u > (room < 15 ? room : 15);
}

/* An operand over offset 2^32, by ModRM or implied: it wraps around on Intel's, where AMD's CPUs
 * are past the limit (SDM vol. 3A, 5.3: "implementation-specific"). */
static inline bool amd_past_4g(const struct amd_case *a)
{
    static const u8 implied[] = {RSP, RBP, RSI, RDI};
    bool past = (insn_is_memory(&a->i) && (u32)a->ea + 64u < 128) ||
                (a->emu == VECTOR_PF && a->g->emu.event.payload == 0);
    for (size_t n = 0; n < ARRAY_SIZE(implied); n++)
        past |= (u32)a->c->in.gpr[implied[n]] + 64u < 128;
    return past && a->c->mode != 64;
}

/* With FS or GS the offset alone must be canonical, too. */
static inline bool amd_offset(const struct amd_case *a)
{
    return a->c->mode == 64 && a->i.seg >= SEG_FS && !emu_canonical(&a->g->emu, a->ea);
}

/* Reserved (SDM vol. 2A, 2.7) and ignored: EVEX.V' outside 64-bit mode, b of a register operand
 * where there is no rounding, z without an opmask; and VEX.W of VPERMQ and VPERMPD. */
static inline bool amd_ignored(const struct amd_case *a)
{
    u8 evex = a->i.evex;
    if (a->i.vex == 2)
        return (a->c->mode != 64 && !(evex & 8)) || (a->i.mod == 3 && (evex & INSN_B)) ||
               (evex & (INSN_Z | INSN_OPMASK)) == INSN_Z;
    return a->i.vex == 1 && a->i.map == 3 && (a->i.opcode & 0xfe) == 0 && !(a->i.rex & 8);
}

/* #AC is for vectors of 16 bytes and more, too (APM vol. 2, 8.2.17), … */
static inline bool amd_vector(const struct amd_case *a) { return a->i.operand >= 16; }

/* … but not for smaller ones under an opmask, unless they go past the segment's end. */
static inline bool amd_masked(const struct amd_case *a)
{
    const struct emu *e = &a->g->emu;
    gva_t at;
    bool whole = emu_segment_linear(e, &e->state->seg[a->i.seg], a->c->mode == 64, a->ea,
                                    a->i.operand, EMU_READ, &at);
    return a->i.vex == 2 && (a->i.evex & INSN_OPMASK) && a->i.operand < 16 &&
           whole == (a->cpu != VECTOR_AC);
}

/* Each element of VMASKMOV and VPMASKMOV wraps around at the address size. */
static inline bool amd_masked_wrap(const struct amd_case *a)
{
    u64 end = mask_bytes(a->i.addrsize);
    return a->i.vex == 1 && a->i.addrsize < 8 && a->ea + 31 > end;
}

/* An unmasked exception that forbids an x87 store is pending: FSW.ES. */
static inline bool amd_x87(const struct amd_case *a) { return a->g->xsave[XSAVE_FSW] & 0x80; }

/* Operands accessed in pieces of AMD's own order: which byte faults, and what is done by then.  Of
 * groups 9 and 15 FXSAVE, XSAVE and their kin. */
static inline bool amd_pieces(const struct amd_case *a)
{
    const struct code_scan *s = a->s;
    unsigned regs = s->map != MAP_0F    ? 0xff
                    : s->opcode == 0xae ? 0x73
                    : s->opcode == 0xc7 ? 0x38
                                        : 0xff;
    return latitude_pieces(s) && (regs >> (s->modrm >> 3 & 7) & 1);
}

/* VCVTPH2PS, VCVTPS2PH. */
static inline bool amd_half(const struct amd_case *a)
{
    return a->i.map == (a->i.opcode == 0x13 ? 2 : 3);
}

/* CALL, of group 5. */
static inline bool amd_call(const struct amd_case *a) { return (a->s->modrm >> 3 & 7) == 2; }

/* The stack pointer wraps around: the frame pointer's upper half remains as it is. */
static inline bool amd_enter(const struct amd_case *a)
{
    return (a->c->in.sel[SEG_SS] & 4) && (u16)a->c->in.gpr[RSP] < 4;
}

#define E_DONE BIT(VECTOR_DB)
#define E_BR   BIT(VECTOR_BR)
#define E_UD   BIT(VECTOR_UD)
#define E_XM   BIT(VECTOR_XM)
#define E_SS   BIT(VECTOR_SS)
#define E_GP   BIT(VECTOR_GP)
#define E_PF   BIT(VECTOR_PF)
#define E_AC   BIT(VECTOR_AC)
#define E_SEL  (BIT(VECTOR_NP) | E_SS | E_GP) /* what a selector may be, too */
#define E_MEM  (E_SS | E_GP | E_PF | E_AC)
#define E_ANY  (~E_UD)

static const struct amd_difference {
    u8 map, first, last; /* enum code_map or MAP_COUNT: any; opcodes */
    u32 emu, cpu;        /* how both sides end */
    const char *what;    /* in the symptom */
    bool (*when)(const struct amd_case *a);
} amd_differences[] = {
    {MAP_COUNT, 0x00, 0xff, E_UD | E_GP | E_PF, E_UD | E_GP | E_PF, "CPU:", amd_length},
    {MAP_COUNT, 0x00, 0xff, E_ANY, E_SS | E_GP, "CPU:", amd_past_4g},
    {MAP_COUNT, 0x00, 0xff, E_ANY, E_GP, "CPU:", amd_offset},
    {MAP_COUNT, 0x00, 0xff, E_ANY, E_AC, "CPU:", amd_vector},
    {MAP_VEX, 0x00, 0xff, E_UD, E_DONE | E_MEM | E_XM, "CPU:", amd_ignored},
    {MAP_VEX, 0x00, 0xff, E_AC, E_DONE | E_PF | E_XM, "CPU:", amd_masked},
    {MAP_VEX, 0x00, 0xff, E_ANY, E_AC, "CPU:", amd_masked},
    {MAP_VEX, 0x2c, 0x2f, E_DONE | E_MEM, E_DONE | E_MEM, "", amd_masked_wrap},
    {MAP_VEX, 0x8c, 0x8f, E_DONE | E_MEM, E_DONE | E_MEM, "", amd_masked_wrap},
    {MAP_VEX, 0x90, 0x93, E_MEM, E_MEM, "XMM register", NULL}, /* a gather that faults leaves of */
    {MAP_VEX, 0x90, 0x93, E_MEM, E_MEM, "YMM half", NULL},     /* a mask what it did not look at */
    {MAP_VEX, 0x13, 0x13, E_ANY, E_AC, "CPU:", amd_half},      /* VCVTPH2PS: #AC, and … */
    {MAP_VEX, 0x1d, 0x1d, E_ANY, E_AC, "CPU:", amd_half},      /* … VCVTPS2PH, which stores … */
    {MAP_VEX, 0x1d, 0x1d, E_MEM, E_MEM, "MXCSR", amd_half}, /* … before it notes exceptions … */
    {MAP_VEX, 0x1d, 0x1d, E_XM, E_MEM, "CPU:", amd_half},   /* … or raises them */
    {MAP_0F38, 0xc8, 0xcd, E_GP, E_DONE | E_MEM, "CPU:", NULL}, /* SHA needs no alignment */
    {MAP_0F3A, 0xcc, 0xcc, E_GP, E_DONE | E_MEM, "CPU:", NULL},
    {MAP_ONE, 0xd9, 0xdf, E_DONE, E_MEM, "CPU:", amd_x87}, /* the access comes first */
    {MAP_COUNT, 0x00, 0xff, E_MEM, E_MEM, "", amd_pieces},
    {MAP_ONE, 0xa6, 0xa7, E_MEM, E_MEM, "", NULL},    /* CMPS: rSI's operand or rDI's first */
    {MAP_ONE, 0x62, 0x62, E_BR, E_MEM, "CPU:", NULL}, /* BOUND reads both bounds at once */
    {MAP_ONE, 0xc8, 0xc8, E_DONE | E_MEM, E_DONE | E_MEM, "", amd_enter},
    {MAP_ONE, 0xe8, 0xe8, E_GP, E_GP, "memory", NULL}, /* CALL to nowhere pushes nothing */
    {MAP_ONE, 0xff, 0xff, E_GP, E_GP, "memory", amd_call},
    /* far RET and IRET read all that they may need before they look at it, and all of RIP counts */
    {MAP_ONE, 0xca, 0xcf, E_SEL | E_MEM, E_MEM, "", NULL},
    {MAP_ONE, 0xca, 0xcf, E_DONE, E_GP, "CPU:", NULL},
    /* PUSH and POP of a segment register: all of the stack's four or eight bytes are accessed */
    {MAP_ONE, 0x06, 0x07, E_DONE | E_SEL | E_MEM, E_MEM, "CPU:", NULL},
    {MAP_ONE, 0x0e, 0x0e, E_DONE | E_SEL | E_MEM, E_MEM, "CPU:", NULL},
    {MAP_ONE, 0x16, 0x17, E_DONE | E_SEL | E_MEM, E_MEM, "CPU:", NULL},
    {MAP_ONE, 0x1e, 0x1f, E_DONE | E_SEL | E_MEM, E_MEM, "CPU:", NULL},
    {MAP_0F, 0xa0, 0xa1, E_DONE | E_SEL | E_MEM, E_MEM, "CPU:", NULL},
    {MAP_0F, 0xa8, 0xa9, E_DONE | E_SEL | E_MEM, E_MEM, "CPU:", NULL},
};

static inline bool amd_differs(struct guest *g, const struct testcase *c, const struct code_scan *s,
                               unsigned emu, const struct cpu_result *cpu, const char *symptom)
{
    const struct emu *e = &g->emu;
    u32 error = cpu->vector == VECTOR_PF ? cpu->error : e->event.error;
    struct amd_case a = {.c = c, .s = s, .g = g, .emu = emu, .cpu = cpu->vector, .error = error};
    u8 code[CODE_ROOM] = {0};
    memcpy(code, c->bytes, sizeof(c->bytes));
    (void)emu_decode(code, INSN_MAX, emu_mode(e->state), e->state->seg[SEG_CS].access & SEG_DB,
                     &a.i);
    a.ea = emu_ea(e, &a.i);
    for (size_t n = 0; n < ARRAY_SIZE(amd_differences); n++) {
        const struct amd_difference *d = &amd_differences[n];
        if (emu < 32 && (d->map == s->map || d->map == MAP_COUNT) && s->opcode >= d->first &&
            s->opcode <= d->last && (d->emu >> emu & 1) && (d->cpu >> cpu->vector & 1) &&
            strstr(symptom, d->what) != NULL && (d->when == NULL || d->when(&a)))
            return true;
    }
    return false;
}

#endif
