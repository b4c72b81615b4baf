/* SPDX-License-Identifier: MIT
 *
 * Test cases for one user-mode instruction: the linear memory they live in (the same pages for the
 * host CPU and, through page tables, for the emulator), the descriptors, and how a case is drawn.
 * A case holds everything that is needed to run it again.
 */
#ifndef TESTS_EMULATOR_CASES_H
#define TESTS_EMULATOR_CASES_H

#include "tests/emulator/hostcpu.h"

#include "tests/emulator/codegen.h"
#include "tests/emulator/testguest.h"

/* ---- memory: a 64-KiB window that 16-bit segments reach, the top of 4 GiB, and far above ---- */

#define CASE_BASE 0x100000ull
#define CASE_CODE (CASE_BASE + 0xc000)
#define CASE_HIGH 0x123456788000ull

struct case_page {
    u64 linear;
    u8 prot; /* PROT_* */
    u64 gpa; /* in the fake guest; neighbours there but for the last two */
};
static const struct case_page case_pages[] = {
    {CASE_BASE + 0x0000, PROT_READ | PROT_WRITE, 0x20000},
    {CASE_BASE + 0x7000, PROT_READ | PROT_WRITE, 0x27000},
    {CASE_BASE + 0x8000, PROT_READ | PROT_WRITE, 0x28000},
    {CASE_BASE + 0x9000, PROT_READ, 0x29000},
    {CASE_BASE + 0xc000, PROT_READ | PROT_WRITE | PROT_EXEC, 0x2c000},
    {CASE_BASE + 0xd000, PROT_READ | PROT_WRITE | PROT_EXEC, 0x2d000},
    {CASE_BASE + 0xf000, PROT_READ | PROT_WRITE | PROT_EXEC, 0x2f000},
    {0xfffff000, PROT_READ | PROT_WRITE, 0x30000},
    {CASE_HIGH, PROT_READ | PROT_WRITE, 0x35000},
    {CASE_HIGH + 0x1000, PROT_READ | PROT_WRITE, 0x33000},
};
#define CASE_PAGES      ARRAY_SIZE(case_pages)
#define CASE_GUEST_SIZE 64 /* pages */

/* ---- descriptors: Linux's GDT as user code can tell, and an LDT of ours ---- */

#define LDT_SEL(n) (u16)((n) << 3 | 7)
enum {
    LDT_CODE16,
    LDT_DATA16,
    LDT_SMALL32,
    LDT_DOWN,
    LDT_READONLY,
    LDT_CODE32,
    LDT_ABSENT,
    LDT_COUNT
};

static const struct user_desc case_ldt[LDT_COUNT] = {
    {.entry_number = LDT_CODE16, .base_addr = CASE_BASE, .limit = 0xffff, .contents = 2},
    {.entry_number = LDT_DATA16, .base_addr = CASE_BASE, .limit = 0xffff},
    {.entry_number = LDT_SMALL32, .base_addr = CASE_BASE + 0x7000, .limit = 0x17ff, .seg_32bit = 1},
    {.entry_number = LDT_DOWN, .base_addr = CASE_BASE, .limit = 0x7fff, .contents = 1},
    {.entry_number = LDT_READONLY, .base_addr = CASE_BASE, .limit = 0xffff, .read_exec_only = 1},
    {.entry_number = LDT_CODE32,
     .base_addr = CASE_BASE,
     .limit = 0xffff,
     .contents = 2,
     .read_exec_only = 1,
     .seg_32bit = 1},
    {.entry_number = LDT_ABSENT, .base_addr = CASE_BASE, .limit = 0xffff, .seg_not_present = 1},
};

#define SEL_CODE32 0x23
#define SEL_DATA   0x2b
#define SEL_CODE64 0x33
#define SEL_TSS    0x40
#define SEL_LDT    0x50

/* arch/x86/include/asm/segment.h of Linux says where; LAR and LSL confirm what they can see. */
static const u64 case_gdt[16] = {
    [1] = 0x00cf9b000000ffff, [2] = 0x00af9b000000ffff, [3] = 0x00cf93000000ffff,
    [4] = 0x00cffb000000ffff, [5] = 0x00cff3000000ffff, [6] = 0x00affb000000ffff,
};

#define CASE_SYSTEM 0xffffff8000000000ull /* GDT, LDT, TSS: one page, supervisor only */
#define SYSTEM_GPA  0x1f000ull
#define CASE_IDT    (CASE_SYSTEM + PAGE_SIZE)
#define IDT_GPA     0x1e000ull

static inline u64 case_ldt_descriptor(const struct user_desc *d)
{
    u32 access = 0x71u | (u32)d->contents << 2 | (d->read_exec_only ? 0 : 2u) |
                 (d->seg_not_present ? 0 : SEG_P) | (d->seg_32bit ? SEG_DB : 0);
    return guest_descriptor(d->base_addr, d->limit, access);
}

static inline u64 *case_system(struct guest *g) { return (u64 *)(void *)guest_ptr(g, SYSTEM_GPA); }

/* The descriptor a selector names in the fake guest; 0 for null. */
static inline u64 case_descriptor(struct guest *g, u16 selector)
{
    u64 *table = case_system(g) + (selector & 4 ? 0x200 / 8 : 0);
    return (selector & ~7) == 0 && !(selector & 4) ? 0 : table[selector >> 3];
}

/* LAR and LSL of the host for one selector. */
static inline bool case_host_descriptor(u16 selector, u64 *descriptor)
{
    u64 access = 0, limit = 0;
    bool ok;
    __asm__("lar %3, %1; sete %0; lsl %3, %2"
            : "=&q"(ok), "+r"(access), "+r"(limit)
            : "r"((u64)selector)
            : "cc");
    *descriptor =
        guest_descriptor(0, (u32)(access & 0x800000 ? limit >> 12 : limit), (u32)access >> 8);
    return ok;
}

static inline void case_build_system(struct guest *g)
{
    u64 *gdt = case_system(g), *ldt = gdt + 0x200 / 8, seen;
    for (u16 i = 1; i < ARRAY_SIZE(case_gdt); i++)
        gdt[i] = case_host_descriptor((u16)(i << 3 | 3), &seen) ? seen : case_gdt[i];
    gdt[SEL_TSS / 8] = guest_descriptor((u32)(CASE_SYSTEM + 0x400), 0x206f, 0x8b);
    gdt[SEL_TSS / 8 + 1] = CASE_SYSTEM >> 32;
    gdt[SEL_LDT / 8] = guest_descriptor((u32)(CASE_SYSTEM + 0x200), LDT_COUNT * 8 - 1, 0x82);
    gdt[SEL_LDT / 8 + 1] = CASE_SYSTEM >> 32;
    gdt[(0x400 + 0x60) / 8] = 0xffffull << 48; /* TSS: no I/O bitmap */
    for (unsigned i = 0; i < LDT_COUNT; i++)
        ldt[i] = case_ldt_descriptor(&case_ldt[i]);
}

/* ---- a case ---- */

#define CASE_SPOTS 4
struct testcase {
    u8 mode;      /* 64, 32 or 16 */
    u8 bytes[24]; /* laid down at CS:RIP */
    struct cpu_regs in;
    u64 area;        /* where an XSAVE header is laid down, or 0 */
    u64 vector_seed; /* x87, SSE and AVX state is drawn from it, see case_vectors() */
    struct spot {    /* bytes put into memory before it */
        u64 linear;
        u8 data[16];
    } spot[CASE_SPOTS];
};

static inline u64 case_code_base(const struct testcase *c)
{
    return c->in.sel[SEG_CS] & 4 ? CASE_BASE : 0;
}

/* An address in or near the pages, as a linear address. */
static inline u64 case_linear(struct rng *r, u8 mode)
{
    static const u16 offsets[] = {0, 8, 16, 0x7f8, 0x800, 0xfe0, 0xff0, 0xff8, 0xffc, 0xffe, 0xfff};
    unsigned many = mode == 64 ? CASE_PAGES : mode == 32 ? 8 : 7;
    u64 page = case_pages[rng_chance(r, 40) ? 1 : rng_below(r, many)].linear;
    u32 pick = rng_below(r, 100);
    if (pick < 50)
        return page + (rng_below(r, 256) << 4);
    if (pick < 75)
        return page + rng_below(r, PAGE_SIZE);
    return page + offsets[rng_below(r, ARRAY_SIZE(offsets))];
}

static inline u64 case_gpr(struct rng *r, u8 mode, bool based)
{
    if (rng_chance(r, 50)) {
        u64 a = case_linear(r, mode);
        return based ? (u16)(a - CASE_BASE) : a;
    }
    u64 v = rng_value(r);
    return mode == 64 ? v : (u32)v;
}

static inline u16 case_selector(struct rng *r)
{
    static const u16 some[] = {
        0,
        3,
        SEL_DATA,
        SEL_CODE32,
        SEL_CODE64,
        0x2a,
        0x28,
        0x08,
        0x10,
        0x18,
        SEL_TSS,
        SEL_LDT,
        0x63,
        0x7b,
        0x83,
        0xfff3,
        LDT_SEL(LDT_COUNT),
        0x31,
        0x20,
    };
    if (rng_chance(r, 50))
        return LDT_SEL(rng_below(r, LDT_COUNT));
    if (rng_chance(r, 10))
        return (u16)rng_next(r);
    return some[rng_below(r, ARRAY_SIZE(some))];
}

/* A data segment that can be loaded without a fault. */
static inline u16 case_data_selector(struct rng *r)
{
    static const u16 good[] = {SEL_DATA,
                               0,
                               LDT_SEL(LDT_DATA16),
                               LDT_SEL(LDT_SMALL32),
                               LDT_SEL(LDT_DOWN),
                               LDT_SEL(LDT_READONLY),
                               LDT_SEL(LDT_CODE16),
                               SEL_CODE32};
    return good[rng_below(r, rng_chance(r, 40) ? ARRAY_SIZE(good) : 1)];
}

/* Eight bytes of vector: two singles, a double, text, integers. */
static inline u64 case_element(struct rng *r)
{
    static const u32 singles[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                  0xff800000, 0x7fc00000, 0x7fa00000, 1,          0x00800000,
                                  0x7f7fffff, 0x4f000000, 0x42280000, 0x3dcccccd};
    static const u64 doubles[] = {0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
                                  0x7ff8000000000000, 0x7ff4000000000000, 0x0010000000000000,
                                  0x000fffffffffffff, 0x7fefffffffffffff, 0x41e0000000000000,
                                  0x40590ccccccccccd};
    u32 pick = rng_below(r, 100);
    if (pick < 30)
        return singles[rng_below(r, ARRAY_SIZE(singles))] |
               (u64)singles[rng_below(r, ARRAY_SIZE(singles))] << 32;
    if (pick < 50)
        return doubles[rng_below(r, ARRAY_SIZE(doubles))];
    if (pick < 60)
        return rng_next(r) & 0x0303030303030303;
    return pick < 75 ? rng_value(r) : rng_next(r);
}

/* Eighty bits: normal, small and huge numbers, all the odd classes, and the pseudo ones. */
static inline void case_extended(struct rng *r, u8 st[16])
{
    static const u16 exponents[] = {0, 1, 0x3fff, 0xbfff, 0x4001, 0x403e, 0x7fff, 0xffff, 0x7ffe};
    u64 mantissa = rng_chance(r, 30) ? 1ull << 63 : rng_next(r) | (u64)rng_chance(r, 85) << 63;
    u16 exponent = exponents[rng_below(r, ARRAY_SIZE(exponents))];
    if (rng_chance(r, 40))
        exponent = (u16)(0x3fe0 + rng_below(r, 0x60));
    if (rng_chance(r, 15)) /* what MMX leaves */
        exponent = 0xffff;
    memset(st, 0, 16);
    memcpy(st, &mantissa, 8);
    memcpy(st + 8, &exponent, 2);
}

static inline void case_vectors(const struct testcase *c, u8 xsave[XSAVE_AREA])
{
    struct rng r = {c->vector_seed};
    u64 bv = XSTATE_X87 | XSTATE_SSE | XSTATE_AVX | (xsave_at(5) != 0 ? XSTATE_AVX512 : 0);
    u64 ip = rng_next(&r) >> 17, dp = rng_next(&r) >> 17;
    bool plain = rng_chance(&r, 50);
    u16 control = plain ? 0x37f : (u16)(0x40 | (rng_next(&r) & 0xf3f));
    u16 status = plain ? 0 : (u16)(rng_next(&r) & 0x7fff), opcode = (u16)rng_next(&r) & 0x7ff;
    u32 mxcsr = rng_chance(&r, 60) ? 0x1f80 : (u32)rng_next(&r) & 0xffff;
    if (rng_chance(&r, 70)) /* not much would be seen but #MF */
        status &= (u16) ~(status & ~control & 0x3f);
    bool pending = (status & ~control & 0x3f) != 0; /* FSW.ES and B say so */
    status = (u16)(pending ? status | 0x8080 : status & 0x7f7f);
    if (!pending) /* AMD keeps no pointers then */
        opcode = 0, ip = 0, dp = 0;
    if (mxcsr != 0x1f80 && rng_chance(&r, 50))
        mxcsr |= 0x1f80;
    memset(xsave, 0, XSAVE_AREA);
    memcpy(xsave + XSAVE_BV, &bv, 8);
    memcpy(xsave + XSAVE_FCW, &control, 2);
    memcpy(xsave + XSAVE_FSW, &status, 2);
    xsave[XSAVE_FTW] = (u8)(rng_chance(&r, 50) ? 0xff : rng_next(&r));
    memcpy(xsave + XSAVE_FOP, &opcode, 2);
    memcpy(xsave + XSAVE_FIP, &ip, 8);
    memcpy(xsave + XSAVE_FIP + 8, &dp, 8);
    memcpy(xsave + XSAVE_MXCSR, &mxcsr, 4);
    for (unsigned i = 0; i < 8; i++)
        case_extended(&r, xsave + XSAVE_ST + 16 * i);
    for (unsigned i = 0; i < 256; i += 8) {
        u64 low = case_element(&r), high = case_element(&r);
        memcpy(xsave + XSAVE_XMM + i, &low, 8);
        memcpy(xsave + XSAVE_YMM + i, &high, 8);
    }
    if (xsave_at(5) == 0)
        return;
    for (unsigned i = 0; i < 64; i += 8) { /* opmasks of few bits, of many, of any */
        u64 mask = rng_next(&r);
        for (u32 pick = rng_below(&r, 4); pick > 1; pick--)
            mask = pick & 1 ? mask | rng_next(&r) : mask & rng_next(&r) & rng_next(&r);
        memcpy(xsave + xsave_at(5) + i, &mask, 8);
    }
    for (unsigned i = 0; i < 512 + 1024; i += 8) {
        u64 v = case_element(&r);
        memcpy(xsave + (i < 512 ? xsave_at(6) + i : xsave_at(7) + i - 512), &v, 8);
    }
}

static inline void case_segments(struct rng *r, struct testcase *c)
{
    struct cpu_regs *in = &c->in;
    bool wide = c->mode != 16;
    u16 data = wide ? SEL_DATA : LDT_SEL(LDT_DATA16);
    in->sel[SEG_CS] = c->mode == 64 ? SEL_CODE64 : wide ? SEL_CODE32 : LDT_SEL(LDT_CODE16);
    if (c->mode == 32 && rng_chance(r, 10))
        in->sel[SEG_CS] = LDT_SEL(LDT_CODE32);
    in->sel[SEG_SS] = data;
    if (c->mode != 64 && rng_chance(r, 15))
        in->sel[SEG_SS] = rng_chance(r, 30)   ? LDT_SEL(LDT_SMALL32)
                          : rng_chance(r, 30) ? LDT_SEL(LDT_DOWN)
                          : wide              ? LDT_SEL(LDT_DATA16)
                                              : SEL_DATA;
    for (unsigned s = SEG_DS; s <= SEG_GS; s++)
        in->sel[s] =
            c->mode != 64 && rng_chance(r, s == SEG_DS ? 75 : 40) ? data : case_data_selector(r);
    in->sel[SEG_ES] = rng_chance(r, 80) ? data : case_data_selector(r);
    if (c->mode != 64)
        return;
    in->sel[SEG_FS] = in->sel[SEG_GS] = 0;
    in->fs_base = rng_chance(r, 50) ? 0x10 : case_linear(r, 64);
    in->gs_base = rng_chance(r, 50) ? 0x7ff8 : CASE_HIGH;
}

static inline void case_place(struct rng *r, struct testcase *c)
{
    u32 pick = rng_below(r, 100);
    u64 at = CASE_CODE + rng_below(r, 0x1800);
    if (pick < 3)
        at = CASE_CODE + 0x2000 - rng_below(r, 16); /* running into nothing */
    else if (pick < 6)
        at = CASE_CODE + 0x1000 - rng_below(r, 16); /* running over a page's end */
    else if (pick < 8)
        at = CASE_BASE + 0x10000 - rng_below(r, 16); /* … and over a segment's */
    c->in.rip = at - case_code_base(c);
}

/* Registers, segments, memory for whatever the bytes are. */
static inline void case_draw_state(struct rng *r, struct testcase *c)
{
    bool based = c->mode == 16 || (c->mode == 32 && rng_chance(r, 15));
    c->vector_seed = rng_next(r);
    case_segments(r, c);
    case_place(r, c);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        c->in.gpr[i] = i < 8 || c->mode == 64 ? case_gpr(r, c->mode, based) : 0;
    if (rng_chance(r, 50))
        c->in.gpr[RCX] = rng_below(r, 40);
    if (rng_chance(r, 90)) {
        u64 sp = case_linear(r, c->mode) & ~7ull;
        c->in.gpr[RSP] = c->in.sel[SEG_SS] & 4 ? (u16)(sp - CASE_BASE) : sp;
    }
    u64 flags = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF;
    c->in.rflags = (rng_next(r) & flags) | RFLAGS_IF | RFLAGS_FIXED;
    c->in.rflags |= rng_chance(r, 25) ? RFLAGS_DF : 0;
    c->in.rflags |= rng_chance(r, 10) ? RFLAGS_AC : 0;
    for (unsigned i = 0; i < CASE_SPOTS; i++) {
        struct spot *s = &c->spot[i];
        u64 at = c->in.gpr[i == 0 ? RSP : rng_below(r, 8)];
        s->linear = at < 0x10000 ? at + CASE_BASE : at;
        for (unsigned k = 0; k < 16; k += 8) {
            u64 v = rng_chance(r, 40)   ? rng_value(r)
                    : rng_chance(r, 50) ? c->in.rip + rng_below(r, 64)
                                        : c->in.gpr[rng_below(r, 8)];
            memcpy(s->data + k, &v, 8);
        }
        if (rng_chance(r, 50)) {
            u16 sel = rng_chance(r, 50) ? c->in.sel[rng_below(r, 3)] : case_selector(r);
            memcpy(s->data + 2 * (1 + rng_below(r, 4)), &sel, 2);
        }
    }
    if (rng_chance(r, 10))
        c->in.gpr[rng_below(r, 8)] = case_selector(r);
}

/* XSAVE and XRSTOR: nothing a guest is not given (PKRU, AMX), and often an area that is sound. */
static inline void case_settle(struct rng *r, struct testcase *c)
{
    static const u8 bases16[8] = {0, 0, 0, 0, RSI, RDI, 0, RBX};
    struct code_scan s;
    code_scan(c->bytes, c->mode == 64, &s);
    unsigned reg = s.modrm >> 3 & 7, rm = s.modrm & 7;
    bool ae = s.opcode == 0xae && reg >= 4 && reg <= 6, c7 = s.opcode == 0xc7 && reg - 3 <= 2;
    bool word = (c->mode == 16) != s.addrsize;
    if (s.map != MAP_0F || s.modrm >= 0xc0 || !(ae || c7))
        return;
    c->in.gpr[RAX] &= ~(u64)XSTATE_OTHERS;
    if (s.modrm >= 0x40 || (word ? bases16[rm] == 0 : rm == 4 || rm == 5) || rng_chance(r, 30))
        return;
    u64 *base = &c->in.gpr[word ? bases16[rm] : rm | (s.rex & 1) << 3];
    *base &= ~63ull;
    c->area = (word ? (u16)*base : *base) + (c->mode == 16 ? CASE_BASE : 0);
    c->in.gpr[RAX] |= rng_below(r, 256);
}

/* Any case. */
static inline void case_draw(struct rng *r, u8 mode, struct testcase *c)
{
    memset(c, 0, sizeof(*c));
    c->mode = mode;
    case_draw_state(r, c);
    u64 at = case_linear(r, mode);
    u64 rip = c->in.rip;
    bool relative = mode == 64 && rng_chance(r, 60);
    code_random(r, mode == 64,
                relative     ? at - rip - 7
                : mode == 16 ? at - CASE_BASE
                             : at,
                c->bytes);
    if (rng_chance(r, 20)) { /* far pointers */
        u16 sel = rng_chance(r, 50) ? c->in.sel[SEG_CS] : case_selector(r);
        memcpy(c->bytes + (rng_chance(r, 50) ? 3 : 5), &sel, 2);
    }
    case_settle(r, c);
}

/* ---- the systematic sweep: prefixes x map x opcode x ModRM forms x values ---- */

struct case_prefixes {
    u8 n;
    u8 b[3];
    bool rex; /* 64-bit mode only */
};
static const struct case_prefixes sweep_prefixes[] = {
    {0, {0}, false},          {1, {0x66}, false},       {1, {0x67}, false},
    {1, {0xf3}, false},       {1, {0xf2}, false},       {1, {0xf0}, false},
    {1, {0x64}, false},       {1, {0x36}, false},       {2, {0x66, 0xf3}, false},
    {2, {0x66, 0xf2}, false}, {2, {0xf0, 0x66}, false}, {2, {0x67, 0xf3}, false},
    {1, {0x48}, true},        {1, {0x45}, true},        {2, {0xf3, 0x48}, true},
    {2, {0xf0, 0x48}, true},  {2, {0x66, 0x41}, true},  {2, {0xf2, 0x48}, true},
    {1, {0x40}, true},
};
/* mod and rm; reg takes all eight values. */
static const u8 sweep_forms[] = {0x00, 0x03, 0x04, 0x05, 0x06, 0x45, 0x81, 0xc0, 0xc1, 0xc4, 0xc7};
static const u8 sweep_map_bytes[][4] = {{0}, {1, 0x0f}, {2, 0x0f, 0x38}, {2, 0x0f, 0x3a}};
/* Behind them VEX: maps 1 to 3 in every pp, L and W, and EVEX: maps 1 to 3, 5 and 6 in every pp, W
 * and LL; each with few prefixes. */
#define SWEEP_LEGACY   (unsigned)ARRAY_SIZE(sweep_map_bytes)
#define SWEEP_EVEX     (SWEEP_LEGACY + 48)
#define SWEEP_MAPS     (SWEEP_EVEX + 160)
#define SWEEP_PREFIXES 3 /* none, 66, 67 */

/* Cases in one pass over everything; each pass draws other values. */
static inline u64 sweep_size(void)
{
    return (u64)ARRAY_SIZE(sweep_prefixes) * SWEEP_MAPS * 256 * ARRAY_SIZE(sweep_forms) * 8;
}

/* The bytes before the opcode; half of the VEX prefixes name no register in vvvv. */
static inline unsigned sweep_map(struct rng *r, unsigned map, u8 *to)
{
    if (map < SWEEP_LEGACY) {
        memcpy(to, sweep_map_bytes[map] + 1, sweep_map_bytes[map][0]);
        return sweep_map_bytes[map][0];
    }
    u8 vvvv = (u8)(rng_chance(r, 50) ? 0x78 : rng_next(r) & 0x78);
    if (map >= SWEEP_EVEX) {
        map -= SWEEP_EVEX;
        map += map >= 96 ? 32 : 0; /* there is no map 4 */
        to[0] = 0x62;
        to[1] = (u8)((rng_chance(r, 70) ? 0xf1 : 0xc1 | (rng_next(r) & 0x30)) + map / 32);
        to[2] = (u8)((map & 4) << 5 | vvvv | 4 | (map & 3));
        to[3] = (u8)((code_random_evex(r) & 0x9f) | (map & 0x18) << 2);
        return 4;
    }
    map -= SWEEP_LEGACY;
    to[0] = 0xc4;
    to[1] = (u8)(0xe1 + map / 16);
    to[2] = (u8)((map & 8) << 4 | (map & 7) | vvvv);
    return 3;
}

/* Case n of a pass; false: not one of this mode. */
static inline bool case_sweep(struct rng *r, u8 mode, u64 n, struct testcase *c)
{
    unsigned reg = n % 8, form = (unsigned)(n / 8 % ARRAY_SIZE(sweep_forms));
    n /= 8 * ARRAY_SIZE(sweep_forms);
    u8 opcode = (u8)n;
    unsigned map = (unsigned)(n / 256 % SWEEP_MAPS);
    const struct case_prefixes *p =
        &sweep_prefixes[n / 256 / SWEEP_MAPS % ARRAY_SIZE(sweep_prefixes)];
    if ((p->rex && mode != 64) || (map >= SWEEP_LEGACY && p >= sweep_prefixes + SWEEP_PREFIXES))
        return false;
    case_draw(r, mode, c);
    u8 head[24];
    unsigned k = 0;
    memcpy(head, p->b, p->n);
    k += p->n;
    k += sweep_map(r, map, head + k);
    head[k++] = opcode;
    head[k++] = (u8)(sweep_forms[form] | reg << 3);
    memmove(c->bytes + k, c->bytes + 7, sizeof(c->bytes) - (k > 7 ? k : 7));
    memcpy(c->bytes, head, k);
    case_settle(r, c);
    return true;
}

#endif
