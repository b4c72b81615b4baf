/* SPDX-License-Identifier: MIT
 *
 * What an instruction leaves undefined, per opcode, out of SDM vol. 2 ("Flags Affected"): there two
 * implementations may differ.  Also what the host must not be asked: system calls, and where AMD's
 * manual (APM vol. 3) says otherwise than Intel's.
 */
#ifndef TESTS_EMULATOR_UNDEFINED_H
#define TESTS_EMULATOR_UNDEFINED_H

#include "emulator/state.h"
#include "tests/emulator/codegen.h"

#define F_C   RFLAGS_CF
#define F_P   RFLAGS_PF
#define F_A   RFLAGS_AF
#define F_Z   RFLAGS_ZF
#define F_S   RFLAGS_SF
#define F_O   RFLAGS_OF
#define F_ALL (F_C | F_P | F_A | F_Z | F_S | F_O)

struct undefined {
    u8 map; /* enum code_map */
    u8 first, last;
    u8 regs; /* mask of ModRM.reg for groups, 0xff: all */
    u8 rep;  /* 0: any; else only with this prefix (VEX and SSE forms are other instructions) */
    u32 flags;
};

static const struct undefined undefined_flags_table[] = {
    {MAP_ONE, 0x08, 0x0d, 0xff, 0, F_A},                   /* OR */
    {MAP_ONE, 0x20, 0x25, 0xff, 0, F_A},                   /* AND */
    {MAP_ONE, 0x30, 0x35, 0xff, 0, F_A},                   /* XOR */
    {MAP_ONE, 0x27, 0x27, 0xff, 0, F_O},                   /* DAA */
    {MAP_ONE, 0x2f, 0x2f, 0xff, 0, F_O},                   /* DAS */
    {MAP_ONE, 0x37, 0x37, 0xff, 0, F_O | F_S | F_Z | F_P}, /* AAA */
    {MAP_ONE, 0x3f, 0x3f, 0xff, 0, F_O | F_S | F_Z | F_P}, /* AAS */
    {MAP_ONE, 0xd4, 0xd5, 0xff, 0, F_O | F_A | F_C},       /* AAM, AAD */
    {MAP_ONE, 0x69, 0x69, 0xff, 0, F_S | F_Z | F_A | F_P}, /* IMUL */
    {MAP_ONE, 0x6b, 0x6b, 0xff, 0, F_S | F_Z | F_A | F_P},
    {MAP_ONE, 0x80, 0x83, 0x52, 0, F_A}, /* OR AND XOR */
    {MAP_ONE, 0x84, 0x85, 0xff, 0, F_A}, /* TEST */
    {MAP_ONE, 0xa8, 0xa9, 0xff, 0, F_A},
    {MAP_ONE, 0xf6, 0xf7, 0x03, 0, F_A},
    {MAP_ONE, 0xf6, 0xf7, 0x30, 0, F_S | F_Z | F_A | F_P}, /* MUL IMUL */
    {MAP_ONE, 0xf6, 0xf7, 0xc0, 0, F_ALL},                 /* DIV IDIV */
    {MAP_ONE, 0xd0, 0xd1, 0xf0, 0, F_A},                   /* shifts by 1 */
    {MAP_ONE, 0xc0, 0xc1, 0xf0, 0, F_A | F_O},             /* shifts by n: see undefined_shift() */
    {MAP_ONE, 0xd2, 0xd3, 0xf0, 0, F_A | F_O},
    {MAP_ONE, 0xc0, 0xc1, 0x0f, 0, F_O}, /* rotates by n */
    {MAP_ONE, 0xd2, 0xd3, 0x0f, 0, F_O},
    {MAP_0F, 0xaf, 0xaf, 0xff, 0, F_S | F_Z | F_A | F_P},
    {MAP_0F, 0xa3, 0xa3, 0xff, 0, F_O | F_S | F_A | F_P}, /* BT BTS BTR BTC */
    {MAP_0F, 0xab, 0xab, 0xff, 0, F_O | F_S | F_A | F_P},
    {MAP_0F, 0xb3, 0xb3, 0xff, 0, F_O | F_S | F_A | F_P},
    {MAP_0F, 0xbb, 0xbb, 0xff, 0, F_O | F_S | F_A | F_P},
    {MAP_0F, 0xba, 0xba, 0xf0, 0, F_O | F_S | F_A | F_P},
    {MAP_0F, 0xbc, 0xbd, 0xff, 0xf3, F_O | F_S | F_A | F_P},    /* TZCNT LZCNT */
    {MAP_0F, 0xbc, 0xbd, 0xff, 0, F_C | F_O | F_S | F_A | F_P}, /* BSF BSR */
    {MAP_0F, 0xa4, 0xa5, 0xff, 0, F_A | F_O},                   /* SHLD */
    {MAP_0F, 0xac, 0xad, 0xff, 0, F_A | F_O},                   /* SHRD */
    /* VEX 0F38 (BMI): F2 ANDN, F3 BLSx, F5 BZHI, F7 BEXTR; the others there touch no flags. */
    {MAP_VEX, 0xf2, 0xf3, 0xff, 0, F_A | F_P},
    {MAP_VEX, 0xf5, 0xf5, 0xff, 0, F_A | F_P},
    {MAP_VEX, 0xf7, 0xf7, 0xff, 0, F_A | F_S | F_P},
};

/* SHL/SHR by at least the operand's width leave CF undefined (SDM vol. 2B, SAL/SAR/SHL/SHR). */
static inline u32 undefined_shift(const struct code_scan *s, unsigned bits, unsigned count)
{
    bool shift = s->map == MAP_ONE && (s->opcode & 0xec) == 0xc0 && (s->modrm >> 3 & 7) >= 4;
    return shift && count >= bits ? F_C : 0;
}

/* Flags this instruction leaves undefined; cl is CL before it, imm8 its last byte. */
static inline u32 undefined_flags(const struct code_scan *s, bool mode16, u8 cl, u8 imm8)
{
    bool variable = s->map == MAP_ONE && (s->opcode & 0xfe) == 0xd2;
    bool shifts = variable || (s->map == MAP_ONE && (s->opcode & 0xfe) == 0xc0) ||
                  (s->map == MAP_0F && (s->opcode & 0xf6) == 0xa4);
    bool by_cl = variable || (s->map == MAP_0F && (s->opcode & 1));
    bool wide = (s->rex & 8) != 0;
    unsigned width = wide ? 64 : s->opsize != mode16 ? 16 : 32;
    if (s->map == MAP_ONE && !(s->opcode & 1))
        width = 8;
    unsigned count = (by_cl ? cl : imm8) & (wide ? 63 : 31);
    if (shifts && count == 0)
        return 0; /* flags unchanged */
    u32 flags = undefined_shift(s, width, count);
    for (size_t i = 0; i < ARRAY_SIZE(undefined_flags_table); i++) {
        const struct undefined *u = &undefined_flags_table[i];
        if (u->map == s->map && s->opcode >= u->first && s->opcode <= u->last &&
            (u->rep == 0 || u->rep == s->rep) && (u->regs >> (s->modrm >> 3 & 7) & 1)) {
            u32 found = u->flags;
            if (shifts && count == 1)
                found &= ~F_O;
            return flags | found;
        }
    }
    return flags;
}

/* Is the result itself undefined?  SHLD/SHRD beyond the width, BSWAP of 16 bits. */
static inline bool undefined_result(const struct code_scan *s, bool mode16, u8 cl, u8 imm8)
{
    bool half = !(s->rex & 8) && s->opsize != mode16;
    if (s->map != MAP_0F || !half)
        return false;
    if ((s->opcode & 0xf6) == 0xa4)
        return ((s->opcode & 1 ? cl : imm8) & 31) > 16;
    return (s->opcode & 0xf8) == 0xc8;
}

/* Whose CPU is the judge?  AMD's differ where their manual is another. */
static inline bool host_is_amd(void)
{
    static int amd = -1; /* CPUID is slow where it is virtual */
    if (amd < 0)
        amd = !__builtin_cpu_is("intel");
    return amd;
}

/* ---- what the host is not asked ---- */

static inline bool excluded_system_call(const struct code_scan *s)
{
    if (s->map == MAP_ONE) /* INT3 INT n INTO INT1: the OS answers */
        return s->opcode >= 0xcc ? s->opcode <= 0xce || s->opcode == 0xf1 : false;
    if (s->map != MAP_0F)
        return false;
    if (s->opcode == 0x05 || s->opcode == 0x34) /* SYSCALL SYSENTER */
        return true;
    unsigned reg = s->modrm >> 3 & 7;
    if (s->opcode == 0x00) /* SLDT STR: the OS answers for UMIP */
        return reg <= 1;
    if (s->opcode != 0x01)
        return false;
    if (s->modrm >= 0xc0) { /* VMCALL VMMCALL …; harmless: XGETBV XEND XTEST SERIALIZE RDTSCP */
        static const u8 harmless[] = {0xd0, 0xd5, 0xd6, 0xe8, 0xf9};
        return reg != 6 && (memchr(harmless, s->modrm, sizeof(harmless)) == NULL ||
                            (s->modrm == 0xe8 && s->rep != 0)); /* XSUSLDTRK */
    }
    return reg <= 1 || reg == 4; /* SGDT SIDT SMSW */
}

/* Near branches with 66 in 64-bit mode: AMD truncates, Intel ignores the prefix. */
static inline bool excluded_near_branch(const struct code_scan *s)
{
    if (!s->opsize)
        return false;
    if (s->map == MAP_0F)
        return (s->opcode & 0xf0) == 0x80;
    if (s->map != MAP_ONE)
        return false;
    unsigned reg = s->modrm >> 3 & 7;
    return (s->opcode & 0xf0) == 0x70 || (s->opcode & 0xfe) == 0xc2 || (s->opcode & 0xfc) == 0xe0 ||
           s->opcode == 0xe8 || s->opcode == 0xe9 || s->opcode == 0xeb ||
           (s->opcode == 0xff && (reg == 2 || reg == 4));
}

/* Opmask registers from 8 on, by VEX.R or vvvv, and KMOVQ outside 64-bit mode: #UD on Intel. */
static inline bool excluded_opmask(const struct code_scan *s, bool mode64)
{
    unsigned row = s->opcode >> 4, map = s->opcount == 3 ? 1 : s->opcount == 4 ? s->vex & 31 : 0;
    if (map == 3 ? (s->opcode & 0xfc) != 0x30 : map != 1 || (row != 4 && row != 9))
        return false;
    return !(s->vex & 0x80) || !(s->vvvv & 0x40) ||
           (!mode64 && map == 1 && s->opcount == 4 && (s->opcode & 0xfe) == 0x92 &&
            (s->vvvv & 0x80));
}

static inline bool excluded_amd(const struct code_scan *s, bool mode64)
{
    unsigned reg = s->modrm >> 3 & 7;
    bool gfni = (s->opcode & 0xfe) == 0xce && s->map >= MAP_0F38;
    if (gfni && !__builtin_cpu_supports("gfni")) /* it does what CPUID hides */
        return true;
    if (mode64 && excluded_near_branch(s))
        return true;
    if (s->map == MAP_VEX) /* VPEXTRD and VPINSRD with W, too */
        return excluded_opmask(s, mode64) ||
               (!mode64 && s->opcount == 4 && (s->vex & 31) == 3 && (s->vvvv & 0x80) &&
                (s->opcode == 0x16 || s->opcode == 0x22));
    if (s->map == MAP_ONE) /* LOOPcc with F2/F3; m16:64 */
        return (s->rep != 0 && (s->opcode & 0xfc) == 0xe0) ||
               (s->opcode == 0x90 && s->rep == 0xf3 && (s->rex & 1)) || /* XCHG, not PAUSE */
               (s->opcode == 0xff && (s->rex & 8) && (reg == 3 || reg == 5)) ||
               (s->opcode == 0x63 && mode64 && s->opsize && !(s->rex & 8)); /* MOVSXD r16, m32 */
    if (s->map != MAP_0F)
        return false;
    switch (s->opcode) {
    case 0x00: /* LOCK VERW */ return s->lock && reg == 5;
    case 0x07: /* SYSRET: #UD outside 64-bit mode on Intel only */ return !mode64;
    case 0x20: /* LOCK MOV CR0 is MOV CR8 on AMD */
    case 0x22: return s->lock;
    case 0x0d: /* PREFETCHW on a register: #UD on AMD */ return s->modrm >= 0xc0;
    case 0x2b: /* MOVNTSS MOVNTSD */ return s->rep != 0;
    case 0x78: /* EXTRQ INSERTQ */
    case 0x79: return s->rep != 0 || s->opsize;
    case 0xb2: /* LSS LFS LGS with REX.W */
    case 0xb4:
    case 0xb5: return (s->rex & 8) != 0;
    default: return false;
    }
}

/* ---- latitude: where the SDM leaves it open, or AMD does it in another order ---- */

/* PUSH Sreg of 32 bits: Intel writes the lower two bytes (SDM vol. 2B, PUSH), AMD all four. */
static inline bool latitude_push_sreg(const struct code_scan *s)
{
    return host_is_amd() && (s->map == MAP_ONE ? (s->opcode & 0xe7) == 0x06
                                               : s->map == MAP_0F && (s->opcode & 0xf7) == 0xa0);
}

/* Repeated string instructions: AMD leaves the flags of the last comparison when they are not done
 * yet, and upper halves as they are where ECX counts none. */
static inline bool latitude_repeat(const struct code_scan *s)
{
    if (!host_is_amd() || s->map != MAP_ONE || s->rep == 0)
        return false;
    return (s->opcode & 0xfc) == 0xa4 || (s->opcode & 0xfe) == 0xaa || (s->opcode & 0xfc) == 0xac;
}

/* Operands of many bytes, which CPUs write and read in pieces.  FLDENV FNSTENV FRSTOR FNSAVE,
 * FXSAVE and XSAVE families, ten bytes of x87, MASKMOVQ. */
static inline bool latitude_pieces(const struct code_scan *s)
{
    unsigned reg = s->modrm >> 3 & 7;
    if ((s->map == MAP_0F || s->map == MAP_VEX) && s->opcode == 0xf7)
        return true;
    if (s->map == MAP_ONE)
        return ((s->opcode & 0xfb) == 0xd9 && (reg == 4 || reg == 6)) ||
               (s->opcode == 0xdb && (reg == 5 || reg == 7)) ||
               (s->opcode == 0xdf && (reg == 4 || reg == 6));
    return s->map == MAP_0F && (s->opcode == 0xae || s->opcode == 0xc7);
}

/* FSTP and FBSTP of ten bytes: eight may be written when the others fault (SDM vol. 3A, 8.1.1). */
static inline bool latitude_half(const struct code_scan *s)
{
    return s->map == MAP_ONE && ((s->opcode == 0xdb && (s->modrm >> 3 & 7) == 7) ||
                                 (s->opcode == 0xdf && (s->modrm >> 3 & 7) == 6));
}

/* A store of an MMX register that faults leaves TOP 0 on Intel, though a fault should leave all as
 * it was (SDM vol. 3A, 6.5). */
static inline bool latitude_mmx_store(const struct code_scan *s)
{
    return !host_is_amd() && s->map == MAP_0F &&
           (s->opcode == 0x7e || s->opcode == 0x7f || s->opcode == 0xe7);
}

/* XRSTOR, XRSTORS: whether a header that is not proper or a page that is not there is met first,
 * and which of its pages, SDM vol. 1, 13.8 does not say; nor whether one is looked at of which
 * nothing is loaded (13.13). */
static inline bool latitude_xrstor(const struct code_scan *s)
{
    unsigned reg = s->modrm >> 3 & 7;
    return s->map == MAP_0F && s->modrm < 0xc0 &&
           ((s->opcode == 0xae && reg == 5) || (s->opcode == 0xc7 && reg == 3));
}

/* Where a masked store goes over a page's end and the second page faults, CR2 tells on Intel the
 * last byte that is accessed there, on AMD the first.  VMASKMOV, VPMASKMOV; EVEX stores. */
static inline bool latitude_masked_store(const struct code_scan *s, u32 error, u64 cr2)
{
    return !host_is_amd() && s->map == MAP_VEX && (error & PFEC_W) && (cr2 & PAGE_MASK) < 64 &&
           (s->opcount == 5 || (s->opcode & 0xfe) == 0x2e || s->opcode == 0x8e);
}

/* A gather may stop between two elements when a trap is due (SDM vol. 2C, VGATHERDPS). */
static inline bool latitude_gather(const struct code_scan *s)
{
    return s->map == MAP_VEX && ((s->opcode & 0xfc) == 0x90 || (s->opcode & 0xfc) == 0xa0);
}

/* What no guest is told of, and a CPU does all the same: PTWRITE, WAITPKG, ENQCMD, HRESET, AMX; and
 * XBEGIN, after which no trap comes before the next instruction. */
static inline bool excluded_untold(const struct code_scan *s)
{
    unsigned reg = s->modrm >> 3 & 7;
    if (s->map == MAP_ONE)
        return s->opcode == 0xc7 && s->modrm == 0xf8;
    if (s->map == MAP_0F38)
        return s->opcode == 0xf8 && s->rep != 0;
    if (s->map == MAP_0F3A)
        return s->opcode == 0xf0 && s->rep == 0xf3;
    if (s->map == MAP_0F)
        return s->opcode == 0xae &&
               ((reg == 4 && s->rep == 0xf3) || (reg == 6 && s->modrm >= 0xc0));
    return s->map == MAP_VEX && s->opcount == 4 && (s->vex & 31) == 2 &&
           ((s->opcode & 0xfd) == 0x49 || (s->opcode & 0xfd) == 0x5c);
}

static inline bool excluded(const struct code_scan *s, bool mode64)
{
    return excluded_untold(s) || excluded_system_call(s) ||
           (host_is_amd() && excluded_amd(s, mode64));
}

#endif
