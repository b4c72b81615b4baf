/* SPDX-License-Identifier: MIT
 *
 * What one case of native.c came to on both sides, and whether it is the same: everything that is
 * defined must be, and where the SDM or AMD leaves it open (undefined.h) either will do.
 */
#ifndef TESTS_EMULATOR_COMPARE_H
#define TESTS_EMULATOR_COMPARE_H

#include "tests/emulator/cases.h"

#include "tests/emulator/amd.h"

struct options {
    unsigned mode; /* 0: all three */
    u64 cases, seed;
    double seconds; /* 0: no limit */
    unsigned examples;
    bool systematic, mixed, undefined, native_only;
};

enum verdict { EQUAL, MISMATCH, UNIMPLEMENTED, SKIPPED, VERDICT_COUNT };

/* Mismatches of one opcode with the same symptom. */
struct group {
    u16 key; /* map << 8 | opcode */
    u8 reg;  /* ModRM.reg of a group, else 0xff */
    u64 count;
    char symptom[80];
    struct testcase example[4];
};

#define GROUPS_MAX 4096
struct oracle {
    struct options opt;
    struct guest guest;
    u8 background[CASE_PAGES][PAGE_SIZE];
    u64 total[VERDICT_COUNT];
    u64 unimplemented[MAP_COUNT << 8][8]; /* by ModRM.reg where that is opcode */
    u64 covered[MAP_COUNT << 8];          /* cases per opcode that ended EQUAL */
    struct group group[GROUPS_MAX];
    unsigned groups;
    u64 lost; /* mismatches past GROUPS_MAX */
};

/* What one case came to on both sides. */
struct outcome {
    struct cpu_result cpu;
    enum emu_status status;
    unsigned steps;
    char symptom[80]; /* empty: equal */
};

static u8 *page_of(u64 linear, struct guest *g, bool native)
{
    for (size_t i = 0; i < CASE_PAGES; i++)
        if (case_pages[i].linear == (linear & ~PAGE_MASK))
            return native ? (u8 *)case_pages[i].linear : guest_ptr(g, case_pages[i].gpa);
    return NULL;
}

/* ---- comparing ---- */

static const char *const gpr_names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const seg_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

#define SYMPTOM(out, ...) (void)snprintf((out)->symptom, sizeof((out)->symptom), __VA_ARGS__)

/* General registers whose new value nobody can foresee, or that are undefined. */
static u32 unforeseeable(const struct code_scan *s, const struct cpu_result *cpu)
{
    u8 reg = (u8)((s->modrm >> 3 & 7) | (s->rex & 4 ? 8 : 0));
    u8 rm = (u8)((s->modrm & 7) | (s->rex & 1 ? 8 : 0));
    if (s->map != MAP_0F)
        return 0;
    if (s->opcode == 0x31) /* RDTSC */
        return BIT(RAX) | BIT(RDX);
    if (s->opcode == 0x01 && s->modrm == 0xf9) /* RDTSCP */
        return BIT(RAX) | BIT(RDX);
    if (s->opcode == 0xc7 && s->modrm >= 0xf0 && s->rep == 0) /* RDRAND RDSEED */
        return BIT(rm);
    if ((s->opcode & 0xfe) == 0xbc && s->rep != 0xf3 && (cpu->regs.rflags & RFLAGS_ZF))
        return BIT(reg); /* BSF BSR of 0 */
    return 0;
}

static bool compare_gprs(const struct testcase *c, const struct code_scan *s,
                         const struct x86_state *e, struct outcome *o)
{
    u32 skip = unforeseeable(s, &o->cpu);
    /* Outside 64-bit mode, and on the way there, upper halves are undefined (SDM vol. 1, 3.4.1.1)
     */
    u64 mask = c->mode == 64 && o->cpu.regs.sel[SEG_CS] == SEL_CODE64 ? ~0ull : 0xffffffff;
    bool entered64 = c->mode != 64 && o->cpu.regs.sel[SEG_CS] == SEL_CODE64;
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        u64 differ = (o->cpu.regs.gpr[i] ^ e->gpr[i]) & (i == RSP && entered64 ? 0xffff : mask);
        if (differ == 0 || (skip >> i & 1))
            continue;
        SYMPTOM(o, "%s", i == RSP ? "stack pointer" : "register");
        return false;
    }
    return true;
}

static void flag_names(u64 flags, char *out, size_t cap)
{
    static const struct {
        u64 bit;
        const char *name;
    } names[] = {{F_C, "CF"},       {F_P, "PF"},           {F_A, "AF"},       {F_Z, "ZF"},
                 {F_S, "SF"},       {F_O, "OF"},           {RFLAGS_DF, "DF"}, {RFLAGS_TF, "TF"},
                 {RFLAGS_IF, "IF"}, {RFLAGS_IOPL, "IOPL"}, {RFLAGS_NT, "NT"}, {RFLAGS_AC, "AC"},
                 {RFLAGS_ID, "ID"}};
    out[0] = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (flags & names[i].bit) {
            strncat(out, " ", cap - strlen(out) - 1);
            strncat(out, names[i].name, cap - strlen(out) - 1);
        }
}

static bool compare_flags(const struct oracle *all, const struct testcase *c,
                          const struct code_scan *s, const struct x86_state *e, struct outcome *o)
{
    /* RF: set in the image of a fault, not by the instruction */
    u64 mask = 0x3fffff & ~(u64)(o->cpu.vector == VECTOR_DB && !host_is_amd() ? 0 : RFLAGS_RF);
    unsigned length = all->guest.emu.record.code->length;
    u8 imm8 = length > 0 && length <= 15 ? c->bytes[length - 1] : 0;
    if (o->cpu.vector == VECTOR_DB && !all->opt.undefined)
        mask &= ~(u64)undefined_flags(s, c->mode == 16, (u8)c->in.gpr[RCX], imm8);
    if (s->map == MAP_0F && s->opcode == 0xc7 && s->modrm >= 0xf0)
        mask &= ~(u64)F_C; /* RDRAND, RDSEED may fail */
    u64 differ = (o->cpu.regs.rflags ^ e->rflags) & mask;
    char names[64];
    if (differ == 0)
        return true;
    flag_names(differ, names, sizeof(names));
    SYMPTOM(o, "flags%s", names);
    return false;
}

static bool compare_segments(const struct testcase *c, const struct x86_state *e, struct outcome *o)
{
    for (unsigned i = 0; i <= SEG_GS; i++) {
        u16 cpu = o->cpu.regs.sel[i], emu = e->seg[i].selector;
        /* the way back from the kernel clears the RPL of a null selector */
        if (cpu != emu && !(i != SEG_CS && i != SEG_SS && cpu == 0 && emu < 4)) {
            SYMPTOM(o, "selector of %s", seg_names[i]);
            return false;
        }
    }
    const u64 base[2] = {o->cpu.regs.fs_base, o->cpu.regs.gs_base};
    for (unsigned i = 0; i < 2; i++) {
        const struct segment *s = &e->seg[SEG_FS + i];
        bool null = (s->selector & ~3) == 0; /* loading null leaves the base alone on AMD */
        if (s->base != base[i] && !(null && (c->mode != 64 || s->base == 0))) {
            SYMPTOM(o, "base of %s", seg_names[SEG_FS + i]);
            return false;
        }
    }
    return true;
}

static bool compare_memory(struct guest *g, struct outcome *o)
{
    for (size_t i = 0; i < CASE_PAGES; i++)
        if (memcmp((void *)case_pages[i].linear, guest_ptr(g, case_pages[i].gpa), PAGE_SIZE) != 0) {
            SYMPTOM(o, "memory");
            return false;
        }
    return true;
}

/* Parts of an XSAVE area; `component`: `at` counts from there. */
static const struct xsave_part {
    const char *name;
    u16 at, size, step, count;
    u8 component;
} xsave_parts[] = {
    {"x87 control", XSAVE_FCW, 2, 0, 1, 0},       {"x87 status", XSAVE_FSW, 2, 0, 1, 0},
    {"x87 tags", XSAVE_FTW, 1, 0, 1, 0},          {"x87 opcode", XSAVE_FOP, 2, 0, 1, 0},
    {"x87 pointers", XSAVE_FIP, 8, 8, 2, 0},      {"MXCSR", XSAVE_MXCSR, 4, 0, 1, 0},
    {"x87 register", XSAVE_ST, 10, 16, 8, 0},     {"XMM register", XSAVE_XMM, 16, 16, 16, 0},
    {"upper YMM half", XSAVE_YMM, 16, 16, 16, 0}, {"opmask", 0, 8, 8, 8, 5},
    {"upper ZMM half", 0, 32, 32, 16, 6},         {"ZMM register from 16 on", 0, 64, 64, 16, 7},
};

/* Where element n of a part is; false: the CPU has no such part. */
static bool part_at(const struct xsave_part *p, unsigned n, unsigned *at)
{
    *at = p->at + n * p->step + (p->component != 0 ? xsave_at(p->component) : 0);
    return p->component == 0 || xsave_at(p->component) != 0;
}

static bool compare_vectors(const struct guest *g, struct outcome *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(xsave_parts); i++) {
        const struct xsave_part *p = &xsave_parts[i];
        unsigned at;
        for (unsigned n = 0; n < p->count && part_at(p, n, &at); n++)
            if (memcmp(o->cpu.xsave + at, g->xsave + at, p->size) != 0) {
                SYMPTOM(o, "%s", p->name);
                return false;
            }
    }
    return true;
}

static const char *vector_name(unsigned v)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD",
                                        "#NM", "#DF", "9",   "#TS", "#NP", "#SS", "#GP",
                                        "#PF", "15",  "#MF", "#AC", "#MC", "#XM"};
    return v < ARRAY_SIZE(names) ? names[v] : v == VECTOR_NONE ? "nothing" : "?";
}

#define TASK_SIZE_MAX 0x7ffffffff000ull /* Linux: where user addresses end */

static bool has_error(unsigned v) { return v >= VECTOR_DF && v <= VECTOR_PF && v != 9; }

/* Did both sides end in the same way?  A completed instruction natively ends in #DB by TF. */
static bool compare_event(const struct guest *g, const struct code_scan *s, struct outcome *o)
{
    const struct emu_event *ev = &g->emu.event;
    bool trap = o->cpu.vector == VECTOR_DB;
    bool same = ev->vector == o->cpu.vector && o->status == (trap ? EMU_DONE : EMU_FAULT);
    if (!same) {
        SYMPTOM(o, "CPU: %s; emulator: status %d %s", trap ? "done" : vector_name(o->cpu.vector),
                o->status,
                o->status == EMU_DONE && ev->vector == VECTOR_DB ? "done"
                                                                 : vector_name(ev->vector));
        return false;
    }
    u32 error = o->cpu.error;
    /* Linux hides from a user whether a kernel page is there. */
    u32 hidden = ev->vector == VECTOR_PF && o->cpu.cr2 >= TASK_SIZE_MAX ? 1 : 0;
    if (has_error(ev->vector) && ((error ^ ev->error) & ~hidden) != 0) {
        SYMPTOM(o, "error code of %s", vector_name(ev->vector));
        return false;
    }
    u64 same_byte = latitude_masked_store(s, ev->error, ev->payload) ? ~PAGE_MASK : ~0ull;
    if (ev->vector == VECTOR_PF && ((o->cpu.cr2 ^ ev->payload) & same_byte) != 0) {
        SYMPTOM(o, "CR2");
        return false;
    }
    return true;
}

/* A large operand whose offsets wrap around: none of both makers' CPUs does it whole (SDM vol. 3A,
 * 5.3: "implementation-specific"). */
static bool pieces_open(const struct guest *g, const struct testcase *c, const struct code_scan *s)
{
    u8 emu = g->emu.event.vector;
    bool short_address = s->addrsize != (c->mode == 16);
    return latitude_pieces(s) && short_address && (emu == VECTOR_SS || emu == VECTOR_GP);
}

/* Refused for reasons whose order is open, on either side's CPU. */
static bool order_is_open(const struct guest *g, const struct testcase *c,
                          const struct code_scan *s, const struct outcome *o)
{
    u8 cpu = o->cpu.vector, emu = g->emu.event.vector;
    bool both = o->status == EMU_FAULT && emu >= VECTOR_SS && cpu >= VECTOR_SS;
    bool one = o->status == EMU_FAULT ? emu == VECTOR_PF && cpu == VECTOR_DB : cpu == VECTOR_PF;
    if (latitude_xrstor(s) && (both || one))
        return true;
    return o->status == EMU_FAULT && pieces_open(g, c, s) && (cpu >= VECTOR_SS || cpu == VECTOR_DB);
}

/* XSTATE_BV's bit of ZMM16 to ZMM31 outside 64-bit mode: 0 (SDM vol. 1, 13.6), on AMD not. */
static void take_high_zmm(struct guest *g)
{
    for (size_t i = 0; i < CASE_PAGES * PAGE_SIZE; i++) {
        u8 *emu = guest_ptr(g, case_pages[i / PAGE_SIZE].gpa) + i % PAGE_SIZE;
        u8 cpu = ((u8 *)case_pages[i / PAGE_SIZE].linear)[i % PAGE_SIZE];
        if ((cpu ^ *emu) == 0x80)
            *emu = cpu;
    }
}

/* What one of the two may have written and the other not: make it the same. */
static void take_latitude(struct guest *g, const struct testcase *c, const struct code_scan *s,
                          const struct outcome *o)
{
    bool fault = o->status == EMU_FAULT;
    if (latitude_repeat(s)) {
        bool ended = !fault && o->cpu.regs.rip != c->in.rip;
        for (unsigned i = RCX; s->addrsize && c->mode == 64 && i <= RDI; i++)
            if (i == RCX || i >= RSI)
                g->state.gpr[i] = (u32)g->state.gpr[i] | o->cpu.regs.gpr[i] >> 32 << 32;
        if (!ended && (s->opcode & 0xf6) == 0xa6)
            g->state.rflags = (g->state.rflags & ~(u64)F_ALL) | (o->cpu.regs.rflags & F_ALL);
    }
    bool pieces = fault && pieces_open(g, c, s);
    if (pieces || (fault && latitude_mmx_store(s)))
        memcpy(g->xsave, o->cpu.xsave, sizeof(g->xsave));
    if (pieces || (fault && latitude_half(s)))
        for (size_t i = 0; i < CASE_PAGES; i++)
            memcpy(guest_ptr(g, case_pages[i].gpa), (void *)case_pages[i].linear, PAGE_SIZE);
    if (!fault && host_is_amd() && c->mode != 64 && s->map == MAP_0F && latitude_pieces(s))
        take_high_zmm(g);
    if (!fault && c->mode != 64 && latitude_push_sreg(s) && s->opsize == (c->mode == 16)) {
        u64 at = g->state.seg[SEG_SS].base +
                 (g->state.gpr[RSP] & (g->state.seg[SEG_SS].access & SEG_DB ? ~0u : 0xffff));
        for (u64 k = at + 2; k < at + 4; k++)
            if (page_of(k, g, false) != NULL)
                page_of(k, g, false)[k & PAGE_MASK] = page_of(k, g, true)[k & PAGE_MASK];
    }
}

static enum verdict compare(struct oracle *all, const struct testcase *c, struct outcome *o)
{
    const struct x86_state *e = &all->guest.state;
    struct code_scan s;
    code_scan(c->bytes, c->mode == 64, &s);
    unsigned length = all->guest.emu.record.code->length;
    if (o->status == EMU_UNIMPLEMENTED)
        return UNIMPLEMENTED;
    if (o->cpu.vector == VECTOR_DB &&
        undefined_result(&s, c->mode == 16, (u8)c->in.gpr[RCX],
                         c->bytes[length > 0 && length <= 15 ? length - 1 : 0]))
        return SKIPPED;
    if (latitude_gather(&s) && o->cpu.vector == VECTOR_DB && o->cpu.regs.rip == c->in.rip)
        return SKIPPED;
    bool equal = compare_event(&all->guest, &s, o);
    if (!equal && order_is_open(&all->guest, c, &s, o))
        return SKIPPED;
    take_latitude(&all->guest, c, &s, o);
    u64 rip_mask = c->mode == 64 ? ~0ull : 0xffffffff;
    if (equal && ((o->cpu.regs.rip ^ e->rip) & rip_mask) != 0) {
        SYMPTOM(o, "rip");
        equal = false;
    }
    equal = equal && compare_gprs(c, &s, e, o) && compare_flags(all, c, &s, e, o) &&
            compare_segments(c, e, o) && compare_memory(&all->guest, o) &&
            compare_vectors(&all->guest, o);
    if (equal)
        return EQUAL;
    u8 emu = o->status == EMU_DONE ? VECTOR_DB : all->guest.emu.event.vector;
    return host_is_amd() && amd_differs(&all->guest, c, &s, emu, &o->cpu, o->symptom) ? SKIPPED
                                                                                      : MISMATCH;
}

#endif
