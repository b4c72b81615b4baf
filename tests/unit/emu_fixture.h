/* SPDX-License-Identifier: MIT
 *
 * A small machine for emulator tests: 2 MiB of RAM, one MMIO page, a few MSRs, and descriptor
 * tables, page tables and stacks at known places.  The state groups that emu_step() need not find
 * valid are hidden until the emulator asks for them, and afterwards every change is checked to have
 * been marked dirty.
 */
#ifndef TESTS_UNIT_EMU_FIXTURE_H
#define TESTS_UNIT_EMU_FIXTURE_H

#include "tests/emulator/hostnative.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs the above */

#include "emulator/emulator.h"
#include "lib/bits.h"

#define FX_RAM   (2 * MiB)
#define FX_MMIO  0xfee00000ull /* a page of registers */
#define FX_GDT   0x1000ull
#define FX_IDT   0x2000ull
#define FX_LDT   0x3000ull
#define FX_TSS   0x4000ull
#define FX_TSS2  0x4400ull
#define FX_STACK 0x6000ull /* level 0: down from here */
#define FX_INNER 0x7000ull /* level 0 by the TSS */
#define FX_CODE  0x8000ull
#define FX_USER  0xa000ull /* level 3 stack */
#define FX_IST   0xb000ull
#define FX_DATA  0xc000ull
#define FX_PT    0x100000ull /* page tables from here, see fx_map */

/* Selectors of fx_protected() and fx_long(). */
#define FX_CS0  0x08
#define FX_DS0  0x10
#define FX_CS3  0x1b
#define FX_DS3  0x23
#define FX_TR   0x28 /* 16 bytes in fx_long */
#define FX_TR2  0x38
#define FX_LDTR 0x40 /* 16 bytes */
#define FX_FREE 0x50 /* from here on the test's own */

/* Access rights in the layout of struct segment. */
#define FX_CODE32 0xc09bu
#define FX_CODE16 0x009bu
#define FX_CODE64 0xa09bu
#define FX_DATA32 0xc093u
#define FX_DATA16 0x0093u
#define FX_DPL(n) ((u32)(n) << 5)

struct fixture {
    struct emu e;
    struct x86_state s;
    struct x86_state hidden; /* what a group holds until it is asked for */
    u8 *ram;
    u8 mmio[4096];
    unsigned mmio_count; /* accesses */
    struct {
        u64 gpa, value;
        unsigned size;
        bool write;
    } mmio_log[32];
    u64 msr_star, msr_lstar, msr_fmask, msr_kernel_gs, msr_aux, msr_other;
    u64 port_value, cr8, tsc;
    bool interrupt; /* what interrupted() says */
    unsigned invalidations;
    u64 invalidated;
    unsigned special_op;
    u64 special_operand, special_operand2;
    u64 next_table; /* free page tables */
};

/* ---- memory ------------------------------------------------------------------------------- */

static inline void fx_poke(struct fixture *f, u64 at, unsigned size, u64 value)
{
    memcpy(f->ram + at, &value, size);
}

static inline u64 fx_peek(const struct fixture *f, u64 at, unsigned size)
{
    u64 value = 0;
    memcpy(&value, f->ram + at, size);
    return value;
}

/* ---- operations ----------------------------------------------------------------------------- */

#define FX_GROUP(bit, field) \
    if (groups & (bit))      \
    to->field = from->field

static inline void fx_copy_groups(struct x86_state *to, const struct x86_state *from, u32 groups)
{
    FX_GROUP(STATE_RIP, rip);
    FX_GROUP(STATE_RSP, gpr[RSP]);
    FX_GROUP(STATE_RFLAGS, rflags);
    FX_GROUP(STATE_CR0, cr0);
    FX_GROUP(STATE_CR3, cr3);
    FX_GROUP(STATE_CR4, cr4);
    FX_GROUP(STATE_EFER, efer);
    FX_GROUP(STATE_GDTR, gdtr);
    FX_GROUP(STATE_IDTR, idtr);
    FX_GROUP(STATE_DR7, dr7);
    FX_GROUP(STATE_INTERRUPTIBILITY, interruptibility);
    FX_GROUP(STATE_PENDING_DEBUG, pending_debug);
    FX_GROUP(STATE_ACTIVITY, activity);
    FX_GROUP(STATE_SYSENTER, sysenter_cs);
    FX_GROUP(STATE_SYSENTER, sysenter_esp);
    FX_GROUP(STATE_SYSENTER, sysenter_eip);
    FX_GROUP(STATE_LIVE, cr2);
    FX_GROUP(STATE_LIVE, dr6);
    if (groups & STATE_LIVE)
        memcpy(to->dr, from->dr, sizeof(to->dr));
    if (groups & STATE_PDPTE)
        memcpy(to->pdpte, from->pdpte, sizeof(to->pdpte));
    u32 cs_access = (groups & STATE_CS_ACCESS ? from : to)->seg[SEG_CS].access;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        FX_GROUP(STATE_SEG(i), seg[i]);
    to->seg[SEG_CS].access = cs_access;
}

static inline void fx_load(void *ctx, u32 groups)
{
    struct fixture *f = ctx;
    u32 missing = groups & ~f->s.valid;
    fx_copy_groups(&f->s, &f->hidden, missing);
    f->s.valid |= missing;
}

static inline void *fx_ram(void *ctx, gpa_t gpa, enum emu_access)
{
    struct fixture *f = ctx;
    return gpa.v < FX_RAM ? f->ram + gpa.v : NULL;
}

static inline void fx_mmio(struct fixture *f, gpa_t gpa, unsigned size, u64 *value, bool write)
{
    u64 at = gpa.v - FX_MMIO;
    if (f->mmio_count < ARRAY_SIZE(f->mmio_log)) {
        f->mmio_log[f->mmio_count].gpa = gpa.v;
        f->mmio_log[f->mmio_count].size = size;
        f->mmio_log[f->mmio_count].write = write;
        f->mmio_log[f->mmio_count].value = write ? *value : 0;
    }
    f->mmio_count++;
    if (at + size > sizeof(f->mmio)) { /* nothing there */
        if (!write)
            *value = mask_bytes(size);
    } else if (write) {
        memcpy(f->mmio + at, value, size);
    } else {
        *value = 0;
        memcpy(value, f->mmio + at, size);
    }
}

/* What is above the size means nothing. */
static inline u64 fx_mmio_read(void *ctx, gpa_t gpa, unsigned size)
{
    u64 value;
    fx_mmio(ctx, gpa, size, &value, false);
    return value | ~mask_bytes(size);
}

static inline void fx_mmio_write(void *ctx, gpa_t gpa, unsigned size, u64 value)
{
    assert_int_equal(value & ~mask_bytes(size), 0);
    fx_mmio(ctx, gpa, size, &value, true);
}

static inline void fx_port_in(void *ctx, u16, unsigned size, void *data, u64 *count)
{
    struct fixture *f = ctx;
    for (u64 i = 0; i < *count; i++)
        memcpy((u8 *)data + i * size, &f->port_value, size);
}

static inline void fx_port_out(void *ctx, u16, unsigned size, const void *data, u64 *count)
{
    struct fixture *f = ctx;
    f->port_value = 0;
    memcpy(&f->port_value, (const u8 *)data + (*count - 1) * size, size);
}

static inline enum emu_status fx_write_cr(void *ctx, unsigned cr, u64 value)
{
    struct fixture *f = ctx;
    struct x86_state *s = &f->s;
    if (cr == 0) {
        if (!emu_cr0_valid(s, value))
            return emu_raise(&f->e, VECTOR_GP, true, 0);
        s->cr0 = value | CR0_ET;
        bool lma = (value & CR0_PG) && (s->efer & EFER_LME);
        s->efer = (s->efer & ~EFER_LMA) | (lma ? EFER_LMA : 0);
        s->dirty |= STATE_CR0 | STATE_EFER;
    } else if (cr == 3) {
        s->cr3 = value;
        s->valid |= STATE_CR3;
        s->dirty |= STATE_CR3;
    } else if (cr == 4) {
        fx_load(f, STATE_CR3);
        if (!emu_cr4_valid(s, value))
            return emu_raise(&f->e, VECTOR_GP, true, 0);
        s->cr4 = value;
        s->dirty |= STATE_CR4;
    } else {
        f->cr8 = value;
    }
    return EMU_DONE;
}

static inline u64 fx_read_cr8(void *ctx) { return ((struct fixture *)ctx)->cr8; }

static inline u64 *fx_msr(struct fixture *f, u32 msr)
{
    switch (msr) {
    case 0xc0000081: return &f->msr_star;
    case 0xc0000082: return &f->msr_lstar;
    case 0xc0000084: return &f->msr_fmask;
    case 0xc0000102: return &f->msr_kernel_gs;
    case 0xc0000103: return &f->msr_aux;
    case 0x1234: return &f->msr_other;
    default: return NULL;
    }
}

static inline enum emu_status fx_read_msr(void *ctx, u32 msr, u64 *value)
{
    struct fixture *f = ctx;
    u64 *p = fx_msr(f, msr);
    if (p == NULL)
        return emu_raise(&f->e, VECTOR_GP, true, 0);
    *value = *p;
    return EMU_DONE;
}

static inline enum emu_status fx_write_msr(void *ctx, u32 msr, u64 value)
{
    struct fixture *f = ctx;
    u64 *p = fx_msr(f, msr);
    if (p == NULL)
        return emu_raise(&f->e, VECTOR_GP, true, 0);
    *p = value;
    return EMU_DONE;
}

static inline void fx_cpuid(void *, u32 leaf, u32 subleaf, u32 out[4])
{
    out[0] = leaf + 0x11111111;
    out[1] = subleaf + 0x22222222;
    out[2] = 0x33333333;
    out[3] = 0x44444444;
}

static inline u64 fx_read_tsc(void *ctx) { return ((struct fixture *)ctx)->tsc; }

static inline void fx_invalidate(void *ctx, bool all, gva_t gva)
{
    struct fixture *f = ctx;
    f->invalidations++;
    f->invalidated = all ? ~0ull : gva.v;
}

static inline bool fx_interrupted(void *ctx) { return ((struct fixture *)ctx)->interrupt; }

static inline enum emu_status fx_special(void *ctx, unsigned op, u64 operand, u64 operand2)
{
    struct fixture *f = ctx;
    f->special_op = op;
    f->special_operand = operand;
    f->special_operand2 = operand2;
    return EMU_DONE;
}

/* x87, SSE and AVX state: FNINIT's with each new fixture. */
static _Alignas(64) u8 fx_xsave[XSAVE_AREA];

static inline u8 fx_run_native(void *, struct emu_native *n) { return hostnative_run(n, fx_xsave); }

static const struct emu_ops fx_ops = {
    .load = fx_load,
    .ram = fx_ram,
    .mmio_read = fx_mmio_read,
    .mmio_write = fx_mmio_write,
    .port_in = fx_port_in,
    .port_out = fx_port_out,
    .write_cr = fx_write_cr,
    .read_cr8 = fx_read_cr8,
    .read_msr = fx_read_msr,
    .write_msr = fx_write_msr,
    .cpuid = fx_cpuid,
    .read_tsc = fx_read_tsc,
    .invalidate = fx_invalidate,
    .interrupted = fx_interrupted,
    .special = fx_special,
    .run_native = fx_run_native,
};

/* ---- machines ------------------------------------------------------------------------------- */

/* A machine in real mode at FX_CODE with SP = FX_STACK, flat from 0, IVT at 0. */
static inline struct fixture *fx_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    hostnative_catch(); /* again: cmocka has its own handlers in each test */
    hostnative_reset(fx_xsave);
    f->ram = calloc(1, FX_RAM);
    assert_non_null(f->ram);
    f->next_table = FX_PT;
    f->e = (struct emu){.state = &f->s,
                        .ops = &fx_ops,
                        .ctx = f,
                        .features = ~0ull,
                        .phys_bits = 40,
                        .event.vector = VECTOR_NONE};
    x86_state_reset(&f->s);
    f->s.seg[SEG_CS].selector = 0;
    f->s.seg[SEG_CS].base = 0;
    f->s.rip = FX_CODE;
    f->s.gpr[RSP] = FX_STACK;
    f->special_op = ~0u;
    return f;
}

static inline void fx_free(struct fixture *f)
{
    free(f->e.cache);
    free(f->ram);
    free(f);
}

/* A descriptor: access as in struct segment; limit in bytes (its low 12 bits ones when G). */
static inline u64 fx_desc(u64 base, u32 limit, u32 access)
{
    u32 l = access & SEG_G ? limit >> 12 : limit;
    return (l & 0xffff) | (base & 0xffffff) << 16 | (u64)(access & 0xf0ff) << 40 |
           (u64)(l >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
}

/* A call, interrupt, trap or task gate: access is P, DPL and type; extra: IST or parameters. */
static inline u64 fx_gate(u16 selector, u64 offset, u32 access, unsigned extra)
{
    return (offset & 0xffff) | (u64)selector << 16 | (u64)extra << 32 | (u64)(access & 0xff) << 40 |
           (offset >> 16 & 0xffff) << 48;
}

static inline void fx_set_desc(struct fixture *f, u16 selector, u64 desc)
{
    fx_poke(f, (selector & 4 ? FX_LDT : FX_GDT) + (selector & 0xfff8u), 8, desc);
}

static inline u64 fx_get_desc(const struct fixture *f, u16 selector)
{
    return fx_peek(f, (selector & 4 ? FX_LDT : FX_GDT) + (selector & 0xfff8u), 8);
}

static inline void fx_set_seg(struct fixture *f, enum seg seg, u16 selector, u64 base, u32 limit,
                              u32 access)
{
    f->s.seg[seg] = (struct segment){base, limit, access, selector};
}

/* Flat segments of level cpl, code of the given access rights (DPL is added). */
static inline void fx_level(struct fixture *f, unsigned cpl, u32 code)
{
    u16 data = cpl == 0 ? FX_DS0 : FX_DS3;
    static const enum seg regs[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};
    fx_set_seg(f, SEG_CS, cpl == 0 ? FX_CS0 : FX_CS3, 0, code & SEG_G ? 0xffffffff : 0xffff,
               code | FX_DPL(cpl));
    for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
        fx_set_seg(f, regs[i], data, 0, 0xffffffff, FX_DATA32 | FX_DPL(cpl));
    f->s.gpr[RSP] = cpl == 0 ? FX_STACK : FX_USER;
}

/* GDT, LDT, 32-bit TSS (with SS0:ESP0 = FX_DS0:FX_INNER), IDT empty; no paging. */
static inline void fx_protected(struct fixture *f, unsigned cpl)
{
    f->s.cr0 = CR0_PE | CR0_ET | CR0_NE;
    f->s.gdtr = (struct table_reg){FX_GDT, 0xfff};
    f->s.idtr = (struct table_reg){FX_IDT, 0x7ff};
    fx_set_desc(f, FX_CS0, fx_desc(0, 0xffffffff, FX_CODE32));
    fx_set_desc(f, FX_DS0, fx_desc(0, 0xffffffff, FX_DATA32));
    fx_set_desc(f, FX_CS3, fx_desc(0, 0xffffffff, FX_CODE32 | FX_DPL(3)));
    fx_set_desc(f, FX_DS3, fx_desc(0, 0xffffffff, FX_DATA32 | FX_DPL(3)));
    fx_set_desc(f, FX_TR, fx_desc(FX_TSS, 0xff, 0x8b));
    fx_set_desc(f, FX_TR2, fx_desc(FX_TSS2, 0x67, 0x89));
    fx_set_desc(f, FX_LDTR, fx_desc(FX_LDT, 0xff, 0x82));
    fx_set_seg(f, SEG_TR, FX_TR, FX_TSS, 0xff, 0x8b);
    fx_set_seg(f, SEG_LDTR, FX_LDTR, FX_LDT, 0xff, 0x82);
    fx_poke(f, FX_TSS + 4, 4, FX_INNER);
    fx_poke(f, FX_TSS + 8, 2, FX_DS0);
    fx_level(f, cpl, FX_CODE32);
}

/* Virtual-8086 mode at FX_CODE in segment 0, stack at FX_USER. */
static inline void fx_vm86(struct fixture *f, unsigned iopl)
{
    fx_protected(f, 3);
    f->s.rflags |= RFLAGS_VM | (u64)iopl << 12;
    for (unsigned i = 0; i <= SEG_GS; i++)
        fx_set_seg(f, (enum seg)i, 0, 0, 0xffff, 0xf3);
}

/* Map a 4-KiB page in the 4-level tables under CR3 (made on demand): flags go into the last entry,
 * upper entries allow everything. */
static inline u64 fx_map(struct fixture *f, u64 gva, u64 gpa, u64 flags)
{
    unsigned top = f->s.cr4 & CR4_LA57 ? 5 : 4;
    u64 table = f->s.cr3 & ~0xfffull;
    for (unsigned level = top; level > 1; level--) {
        u64 at = table + (gva >> (12 + 9 * (level - 1)) & 511) * 8;
        if (!(fx_peek(f, at, 8) & 1)) {
            f->next_table += 4096;
            fx_poke(f, at, 8, f->next_table | 0x27); /* P, W, U, A */
        }
        table = fx_peek(f, at, 8) & 0xffffffffff000ull;
    }
    u64 at = table + (gva >> 12 & 511) * 8;
    fx_poke(f, at, 8, gpa | flags);
    return at;
}

/* 64-bit mode: as fx_protected, 16-byte IDT and system descriptors, everything mapped to itself
 * with all rights (level 3 included). */
static inline void fx_long(struct fixture *f, unsigned cpl)
{
    fx_protected(f, cpl);
    f->s.cr0 |= CR0_PG | CR0_WP;
    f->s.cr4 = CR4_PAE;
    f->s.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    f->s.cr3 = FX_PT;
    f->s.idtr.limit = 0xfff;
    fx_set_desc(f, FX_CS0, fx_desc(0, 0xffffffff, FX_CODE64));
    fx_set_desc(f, FX_CS3, fx_desc(0, 0xffffffff, FX_CODE64 | FX_DPL(3)));
    fx_set_desc(f, FX_TR + 8, 0);
    fx_set_desc(f, FX_LDTR + 8, 0);
    fx_poke(f, FX_TSS + 4, 8, FX_INNER);
    fx_poke(f, FX_TSS + 36, 8, FX_IST);
    fx_level(f, cpl, FX_CODE64);
    for (u64 page = 0; page < FX_RAM; page += 4096)
        fx_map(f, page, page, 0x67); /* P, W, U, A, D */
    fx_map(f, FX_MMIO, FX_MMIO, 0x67);
}

#define FX_NEW(mode)                                            \
    static inline struct fixture *fx_new_##mode(unsigned level) \
    {                                                           \
        struct fixture *f = fx_new();                           \
        fx_##mode(f, level);                                    \
        return f;                                               \
    }
FX_NEW(protected)
FX_NEW(vm86)
FX_NEW(long)

static inline void fx_unmap(struct fixture *f, u64 page) { fx_map(f, page, 0, 0); }

/* Give it a decode cache. */
static inline void fx_cache(struct fixture *f)
{
    f->e.cache = malloc(emu_cache_size());
    assert_non_null(f->e.cache);
    emu_cache_init(f->e.cache);
}

/* An IDT gate of the mode; access: P, DPL and type. */
static inline void fx_set_gate(struct fixture *f, unsigned vector, u16 selector, u64 offset,
                               u32 access, unsigned ist)
{
    unsigned size = f->s.efer & EFER_LMA ? 16 : 8;
    fx_poke(f, FX_IDT + vector * size, 8, fx_gate(selector, offset, access, ist));
    if (size == 16)
        fx_poke(f, FX_IDT + vector * 16 + 8, 8, offset >> 32);
}

/* ---- running -------------------------------------------------------------------------------- */

/* Hide the groups that need not be valid. */
static inline void fx_hide(struct fixture *f)
{
    struct x86_state junk;
    f->hidden = f->s;
    memset(&junk, 0xa5, sizeof(junk));
    fx_copy_groups(&f->s, &junk, STATE_ALL & ~(u32)STATE_BASE & ~(u32)STATE_ACTIVITY);
    f->s.valid = STATE_BASE | STATE_ACTIVITY;
    f->s.dirty = 0;
    f->mmio_count = 0;
}

static inline void fx_same_segment(const struct segment *a, const struct segment *b)
{
    assert_int_equal(a->selector, b->selector);
    assert_int_equal(a->base, b->base);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->access, b->access);
}

/* Bring everything back; what is not dirty must be as it was. */
static inline void fx_settle(struct fixture *f)
{
    fx_load(f, STATE_ALL);
    struct x86_state want = f->s;
    u32 dirty = f->s.dirty | (f->s.dirty & STATE_SEG(SEG_CS) ? STATE_CS_ACCESS : 0);
    fx_copy_groups(&want, &f->hidden, ~dirty);
    assert_int_equal(want.rip, f->s.rip);
    assert_int_equal(want.gpr[RSP], f->s.gpr[RSP]);
    assert_int_equal(want.rflags, f->s.rflags);
    assert_int_equal(want.cr0, f->s.cr0);
    assert_int_equal(want.cr3, f->s.cr3);
    assert_int_equal(want.cr4, f->s.cr4);
    assert_int_equal(want.efer, f->s.efer);
    assert_int_equal(want.gdtr.base, f->s.gdtr.base);
    assert_int_equal(want.gdtr.limit, f->s.gdtr.limit);
    assert_int_equal(want.idtr.base, f->s.idtr.base);
    assert_int_equal(want.idtr.limit, f->s.idtr.limit);
    assert_int_equal(want.dr7, f->s.dr7);
    assert_int_equal(want.cr2, f->s.cr2);
    assert_int_equal(want.dr6, f->s.dr6);
    assert_memory_equal(want.dr, f->s.dr, sizeof(want.dr));
    assert_int_equal(want.interruptibility, f->s.interruptibility);
    assert_int_equal(want.activity, f->s.activity);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        fx_same_segment(&want.seg[i], &f->s.seg[i]);
}

/* Execute these bytes at CS:RIP. */
static inline enum emu_status fx_run(struct fixture *f, const void *bytes, size_t n)
{
    u64 base = f->s.efer & EFER_LMA && f->s.seg[SEG_CS].access & SEG_L ? 0 : f->s.seg[SEG_CS].base;
    memcpy(f->ram + base + f->s.rip, bytes, n);
    fx_hide(f);
    enum emu_status st = emu_step(&f->e);
    fx_settle(f);
    return st;
}
#define FX_RUN(f, ...) fx_run(f, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* Run these bytes at FX_CODE with all state valid; says how many instructions it was, and that it
 * ended so. */
static inline unsigned fx_run_many(struct fixture *f, const void *bytes, size_t n, u32 until,
                                   unsigned count, enum emu_status want)
{
    memcpy(f->ram + FX_CODE, bytes, n);
    f->s.rip = FX_CODE;
    f->s.valid = STATE_ALL;
    f->s.dirty = 0;
    assert_int_equal(emu_run(&f->e, until, &count), want);
    return count;
}
#define FX_RUN_MANY(f, until, count, want, ...) \
    fx_run_many(f, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}), until, count, want)

static inline enum emu_status fx_deliver(struct fixture *f, struct emu_event event)
{
    fx_hide(f);
    enum emu_status st = emu_deliver(&f->e, &event);
    fx_settle(f);
    return st;
}

/* The instruction did not fault. */
#define FX_DONE(call)                                                                 \
    do {                                                                              \
        enum emu_status fx_st = (call);                                               \
        if (fx_st != EMU_DONE)                                                        \
            print_error("vector %u error %x\n", f->e.event.vector, f->e.event.error); \
        assert_int_equal(fx_st, EMU_DONE);                                            \
    } while (0)

/* It ended in this fault, with this error code (~0u: none), and RIP did not move. */
#define FX_FAULT(call, vec, err)                              \
    do {                                                      \
        u64 fx_rip = f->s.rip;                                \
        assert_int_equal(call, EMU_FAULT);                    \
        assert_int_equal(f->e.event.vector, vec);             \
        if ((err) != ~0u)                                     \
            assert_int_equal(f->e.event.error, err);          \
        assert_int_equal(f->e.event.has_error, (err) != ~0u); \
        assert_int_equal(f->s.rip, fx_rip);                   \
    } while (0)

#endif
