/* SPDX-License-Identifier: MIT
 *
 * Segment registers and far transfers: every check of SDM vol. 2 (MOV, LDS, JMP, CALL, RET) and
 * vol. 3A, chapter 5, with its error code; what a load leaves in the register and in the table.
 */
#include "emu_fixture.h"

#define ABSENT(a) ((a) & ~0x80u)

static void expect_seg(const struct fixture *f, enum seg seg, u16 selector, u64 base, u32 limit,
                       u32 access)
{
    assert_int_equal(f->s.seg[seg].selector, selector);
    assert_int_equal(f->s.seg[seg].base, base);
    assert_int_equal(f->s.seg[seg].limit, limit);
    assert_int_equal(f->s.seg[seg].access, access);
}

/* mov es, ax and so on */
static enum emu_status mov_sreg(struct fixture *f, enum seg seg, u16 selector)
{
    f->s.gpr[RAX] = 0xffff0000u | selector;
    return FX_RUN(f, 0x8e, (u8)(0xc0 | seg << 3));
}

/* ---- real and virtual-8086 mode ----------------------------------------------------------------
 */

static void load_real(void **)
{
    struct fixture *f = fx_new();

    f->s.seg[SEG_ES].limit = 0xffffffff; /* unreal mode: the limit survives */
    FX_DONE(mov_sreg(f, SEG_ES, 0xb800));
    expect_seg(f, SEG_ES, 0xb800, 0xb8000, 0xffffffff, 0x93);
    /* What a null selector left in protected mode becomes usable again. */
    fx_set_seg(f, SEG_DS, 0, 0, 0, SEG_UNUSABLE);
    f->s.rip = FX_CODE;
    FX_DONE(mov_sreg(f, SEG_DS, 0x40));
    expect_seg(f, SEG_DS, 0x40, 0x400, 0xffff, 0x93);
    fx_free(f);

    f = fx_new_vm86(3);
    FX_DONE(mov_sreg(f, SEG_FS, 0x1234));
    expect_seg(f, SEG_FS, 0x1234, 0x12340, 0xffff, 0xf3);
    fx_free(f);
}

static void far_real(void **)
{
    struct fixture *f = fx_new();

    FX_DONE(FX_RUN(f, 0x9a, 0x78, 0x56, 0x34, 0x12)); /* call 1234:5678 */
    expect_seg(f, SEG_CS, 0x1234, 0x12340, 0xffff, 0x93);
    assert_int_equal(f->s.rip, 0x5678);
    assert_int_equal(f->s.gpr[RSP], FX_STACK - 4);
    assert_int_equal(fx_peek(f, FX_STACK - 4, 4), FX_CODE + 5);
    FX_DONE(FX_RUN(f, 0xcb));
    expect_seg(f, SEG_CS, 0, 0, 0xffff, 0x93);
    assert_int_equal(f->s.rip, FX_CODE + 5);
    assert_int_equal(f->s.gpr[RSP], FX_STACK);
    /* 32-bit forms; the offset must be within the limit */
    FX_FAULT(FX_RUN(f, 0x66, 0xea, 0, 0, 1, 0, 0, 0), VECTOR_GP, 0);
    FX_DONE(FX_RUN(f, 0x66, 0x9a, 0x00, 0x90, 0, 0, 0, 0));
    assert_int_equal(fx_peek(f, FX_STACK - 8, 8), FX_CODE + 5 + 8);
    FX_DONE(FX_RUN(f, 0x66, 0xca, 4, 0)); /* retf 4 */
    assert_int_equal(f->s.gpr[RSP], FX_STACK + 4);
    /* through memory: jmp far [0x500] */
    fx_poke(f, 0x500, 4, 0x08000123);
    FX_DONE(FX_RUN(f, 0xff, 0x2e, 0x00, 0x05));
    expect_seg(f, SEG_CS, 0x800, 0x8000, 0xffff, 0x93);
    assert_int_equal(f->s.rip, 0x123);
    fx_free(f);
}

static void far_pointers(void **)
{
    struct fixture *f = fx_new();

    fx_poke(f, 0x500, 6, 0x1234deadbeef);
    FX_DONE(FX_RUN(f, 0x66, 0xc4, 0x3e, 0x00, 0x05)); /* les edi, [0x500] */
    assert_int_equal(f->s.gpr[RDI], 0xdeadbeef);
    assert_int_equal(f->s.seg[SEG_ES].selector, 0x1234);
    FX_DONE(FX_RUN(f, 0x0f, 0xb2, 0x26, 0x02, 0x05)); /* lss sp, [0x502] */
    assert_int_equal(f->s.seg[SEG_SS].base, 0x12340);
    assert_int_equal(f->s.gpr[RSP], 0xdead);
    fx_poke(f, 0xfffe, 2, 0xbeef); /* les di, [0xfffe]: the selector wraps around */
    fx_poke(f, 0, 2, 0x5678);
    FX_DONE(FX_RUN(f, 0xc4, 0x3e, 0xfe, 0xff));
    assert_int_equal(f->s.gpr[RDI] & 0xffff, 0xbeef);
    assert_int_equal(f->s.seg[SEG_ES].selector, 0x5678);
    fx_free(f);
}

/* Far returns take CS before rIP, and two bytes of it; IRET RFLAGS before both. */
static void return_order(void **)
{
    struct fixture *f = fx_new_long(0);

    fx_unmap(f, 0xd000);
    f->s.gpr[RSP] = 0xd000 + 0x10;
    FX_FAULT(FX_RUN(f, 0xcb), VECTOR_PF, 0);
    assert_int_equal(f->e.event.payload, 0xd014);
    FX_FAULT(FX_RUN(f, 0x48, 0xcf), VECTOR_PF, 0);
    assert_int_equal(f->e.event.payload, 0xd020);
    f->s.gpr[RSP] = 0xd000 - 6;
    fx_poke(f, 0xd000 - 2, 2, FX_TR);
    FX_FAULT(FX_RUN(f, 0xcb), VECTOR_GP, FX_TR);
    fx_free(f);
}

/* CALL between 64-bit and compatibility mode pushes as the code that is called sees its stack;
 * it has done so when the target is refused, and rIP is cut to what compatibility mode has. */
static void call_between_modes(void **)
{
    struct fixture *f = fx_new_long(0);

    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffff, FX_CODE16));
    f->s.gpr[RBX] = FX_DATA;
    f->s.gpr[RSP] = 0x100000000 + FX_STACK;
    fx_poke(f, FX_DATA, 8, 0x100008800);
    fx_poke(f, FX_DATA + 8, 2, FX_FREE);
    f->s.seg[SEG_SS].access |= SEG_DB;
    FX_DONE(FX_RUN(f, 0x48, 0xff, 0x1b)); /* call far m16:64 */
    assert_int_equal(f->s.rip, 0x8800);
    assert_int_equal(f->s.gpr[RSP], FX_STACK - 16);
    assert_int_equal(fx_peek(f, FX_STACK - 8, 8), FX_CS0);
    assert_int_equal(fx_peek(f, FX_STACK - 16, 8), FX_CODE + 3);
    f->s.seg[SEG_SS].base = 0x100; /* and back, to 64-bit code, which knows no base */
    f->s.gpr[RSP] = FX_STACK;
    FX_DONE(FX_RUN(f, 0x9a, 0x00, 0x84, FX_CS0, 0x00));
    assert_int_equal(f->s.rip, 0x8400);
    assert_int_equal(f->s.gpr[RSP], FX_STACK - 4);
    assert_int_equal(fx_peek(f, FX_STACK - 4, 4), FX_FREE << 16 | 0x8805);
    fx_poke(f, FX_DATA, 8, BIT64(63));
    fx_poke(f, FX_DATA + 8, 2, FX_CS0);
    FX_FAULT(FX_RUN(f, 0x48, 0xff, 0x1b), VECTOR_GP, 0);
    assert_int_equal(f->s.gpr[RSP], FX_STACK - 4);
    assert_int_equal(fx_peek(f, FX_STACK - 12, 8), FX_CS0);
    fx_free(f);
}

/* ---- loads in protected mode
 * --------------------------------------------------------------------- */

static const struct {
    enum seg seg;
    unsigned cpl;
    u16 selector; /* FX_FREE: the descriptor beside it */
    u32 access;
    u8 vector; /* 0: loaded */
    u32 error;
} loads[] = {
    {SEG_DS, 0, FX_FREE, FX_DATA32, 0, 0},
    {SEG_DS, 0, FX_FREE, 0xc091, 0, 0},               /* read-only */
    {SEG_DS, 0, FX_FREE, 0xc09a, 0, 0},               /* readable code */
    {SEG_DS, 0, FX_FREE, 0xc098, VECTOR_GP, FX_FREE}, /* execute-only */
    {SEG_DS, 0, FX_FREE, 0x0082, VECTOR_GP, FX_FREE}, /* LDT */
    {SEG_DS, 0, FX_FREE, 0x008c, VECTOR_GP, FX_FREE}, /* gate */
    {SEG_DS, 0, FX_FREE, ABSENT(FX_DATA32), VECTOR_NP, FX_FREE},
    {SEG_DS, 0, FX_FREE | 3, FX_DATA32, VECTOR_GP, FX_FREE}, /* RPL > DPL */
    {SEG_DS, 3, FX_FREE, FX_DATA32, VECTOR_GP, FX_FREE},     /* CPL > DPL */
    {SEG_DS, 3, FX_FREE, FX_DATA32 | FX_DPL(3), 0, 0},
    {SEG_DS, 0, FX_FREE | 3, FX_DATA32 | FX_DPL(3), 0, 0},
    {SEG_GS, 3, FX_FREE | 3, 0xc09e, 0, 0}, /* conforming code */
    {SEG_DS, 3, FX_FREE | 3, 0xc09a, VECTOR_GP, FX_FREE},
    {SEG_DS, 0, 0x1000, 0, VECTOR_GP, 0x1000}, /* beyond the GDT */
    {SEG_DS, 0, 0x0104, 0, VECTOR_GP, 0x0104}, /* beyond the LDT */
    {SEG_SS, 0, FX_FREE, FX_DATA32, 0, 0},
    {SEG_SS, 0, FX_FREE, 0xc097, 0, 0}, /* expand-down */
    {SEG_SS, 0, FX_FREE, 0xc091, VECTOR_GP, FX_FREE},
    {SEG_SS, 0, FX_FREE, 0xc09a, VECTOR_GP, FX_FREE},
    {SEG_SS, 0, FX_FREE | 1, FX_DATA32, VECTOR_GP, FX_FREE},
    {SEG_SS, 0, FX_FREE, FX_DATA32 | FX_DPL(1), VECTOR_GP, FX_FREE},
    {SEG_SS, 3, FX_FREE | 3, FX_DATA32 | FX_DPL(3), 0, 0},
    {SEG_SS, 0, FX_FREE, ABSENT(FX_DATA32), VECTOR_SS, FX_FREE},
    {SEG_SS, 0, 0, 0, VECTOR_GP, 0},
    {SEG_SS, 0, 3, 0, VECTOR_GP, 0},
};

static void load_protected(void **)
{
    for (unsigned k = 0; k < ARRAY_SIZE(loads); k++) {
        struct fixture *f = fx_new_protected(loads[k].cpl);
        fx_set_desc(f, FX_FREE, fx_desc(0x12345678, 0x9abcdfff, loads[k].access & ~1u));
        enum emu_status st = mov_sreg(f, loads[k].seg, loads[k].selector);
        if (st != (loads[k].vector ? EMU_FAULT : EMU_DONE))
            print_error("row %u\n", k);
        if (loads[k].vector) {
            assert_int_equal(st, EMU_FAULT);
            assert_int_equal(f->e.event.vector, loads[k].vector);
            assert_int_equal(f->e.event.error, loads[k].error);
            assert_int_equal(fx_get_desc(f, FX_FREE) >> 40 & 1, 0);
        } else {
            assert_int_equal(st, EMU_DONE);
            expect_seg(f, loads[k].seg, loads[k].selector, 0x12345678, 0x9abcdfff,
                       loads[k].access | 1);
            assert_int_equal(fx_get_desc(f, FX_FREE) >> 40 & 1, 1); /* accessed */
        }
        fx_free(f);
    }
}

static void load_null(void **)
{
    struct fixture *f = fx_new_protected(3);

    FX_DONE(mov_sreg(f, SEG_ES, 3));
    assert_int_equal(f->s.seg[SEG_ES].selector, 3);
    assert_true(f->s.seg[SEG_ES].access & SEG_UNUSABLE);
    fx_free(f);

    /* A null SS is for 64-bit mode below level 3, RPL = CPL. */
    f = fx_new_long(0);
    FX_DONE(mov_sreg(f, SEG_SS, 0));
    assert_true(f->s.seg[SEG_SS].access & SEG_UNUSABLE);
    assert_int_equal(f->s.seg[SEG_SS].access >> 5 & 3, 0);
    FX_FAULT(mov_sreg(f, SEG_SS, 1), VECTOR_GP, 0);
    fx_free(f);
    f = fx_new_long(3);
    FX_FAULT(mov_sreg(f, SEG_SS, 3), VECTOR_GP, 0);
    fx_free(f);
}

/* From the LDT; an unusable LDT has no entries. */
static void load_ldt(void **)
{
    struct fixture *f = fx_new_protected(0);

    fx_set_desc(f, 0x0c, fx_desc(0x1000, 0xfff, FX_DATA16));
    FX_DONE(mov_sreg(f, SEG_FS, 0x0c));
    expect_seg(f, SEG_FS, 0x0c, 0x1000, 0xfff, FX_DATA16);
    f->s.seg[SEG_LDTR].access = SEG_UNUSABLE;
    FX_FAULT(mov_sreg(f, SEG_FS, 0x0c), VECTOR_GP, 0x0c);
    fx_free(f);
}

/* MOV SS and POP SS hold off interrupts; POP moves ESP by the old stack's width. */
static void shadow(void **)
{
    struct fixture *f = fx_new_protected(0);

    FX_DONE(mov_sreg(f, SEG_SS, FX_DS0));
    assert_int_equal(f->s.interruptibility, BLOCKED_BY_MOV_SS);
    FX_DONE(mov_sreg(f, SEG_DS, FX_DS0));
    assert_int_equal(f->s.interruptibility, 0);
    f->s.gpr[RSP] = 0xfffc;
    fx_poke(f, 0xfffc, 4, FX_FREE);
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffff, FX_DATA16));
    FX_DONE(FX_RUN(f, 0x17)); /* pop ss */
    assert_int_equal(f->s.gpr[RSP], 0x10000);
    assert_int_equal(f->s.interruptibility, BLOCKED_BY_MOV_SS);
    fx_free(f);
}

/* ---- far JMP and CALL to code -------------------------------------------------------------------
 */

static const struct {
    unsigned cpl;
    u16 selector;
    u32 access; /* of FX_FREE */
    u8 vector;
    u32 error;
} jumps[] = {
    {0, FX_FREE, FX_CODE32, 0, 0},
    {0, 0, 0, VECTOR_GP, 0},
    {0, 0x1000, 0, VECTOR_GP, 0x1000},
    {0, FX_FREE, FX_DATA32, VECTOR_GP, FX_FREE},
    {0, FX_FREE, 0x0082, VECTOR_GP, FX_FREE}, /* LDT */
    {0, FX_FREE, 0x008e, VECTOR_GP, FX_FREE}, /* interrupt gate */
    {0, FX_FREE, ABSENT(FX_CODE32), VECTOR_NP, FX_FREE},
    {0, FX_FREE | 1, FX_CODE32, VECTOR_GP, FX_FREE}, /* RPL > CPL */
    {3, FX_FREE, FX_CODE32, VECTOR_GP, FX_FREE},     /* DPL is not CPL */
    {3, FX_FREE, FX_CODE32 | FX_DPL(3), 0, 0},       /* RPL < CPL is good */
    {0, FX_FREE, FX_CODE32 | FX_DPL(3), VECTOR_GP, FX_FREE},
    {3, FX_FREE, FX_CODE32 | 4, 0, 0}, /* conforming, DPL <= CPL */
    {0, FX_FREE, FX_CODE32 | 4 | FX_DPL(1), VECTOR_GP, FX_FREE},
    {0, FX_FREE, FX_CODE32 & ~SEG_G, VECTOR_GP, 0}, /* beyond its limit */
};

static void far_code(void **)
{
    for (unsigned k = 0; k < ARRAY_SIZE(jumps) * 2; k++) {
        const unsigned row = k / 2;
        bool call = k & 1;
        struct fixture *f = fx_new_protected(jumps[row].cpl);
        u64 sp = f->s.gpr[RSP];
        u16 cs = f->s.seg[SEG_CS].selector;
        u32 limit = jumps[row].access & SEG_G ? 0xffffffff : 0x5678 - 1;
        fx_set_desc(f, FX_FREE, fx_desc(0x10000, limit, jumps[row].access));
        enum emu_status st = FX_RUN(f, call ? 0x9a : 0xea, 0x78, 0x56, 0, 0,
                                    (u8)jumps[row].selector, (u8)(jumps[row].selector >> 8));
        if (st != (jumps[row].vector ? EMU_FAULT : EMU_DONE))
            print_error("row %u\n", row);
        if (jumps[row].vector) {
            assert_int_equal(st, EMU_FAULT);
            assert_int_equal(f->e.event.vector, jumps[row].vector);
            assert_int_equal(f->e.event.error, jumps[row].error);
            assert_int_equal(f->s.rip, FX_CODE);
            assert_int_equal(f->s.gpr[RSP], sp);
        } else {
            assert_int_equal(st, EMU_DONE);
            expect_seg(f, SEG_CS, (u16)((jumps[row].selector & ~3u) | jumps[row].cpl), 0x10000,
                       limit, jumps[row].access);
            assert_int_equal(f->s.rip, 0x5678);
            assert_int_equal(f->s.gpr[RSP], call ? sp - 8 : sp);
            if (call)
                assert_int_equal(fx_peek(f, sp - 8, 8), (u64)cs << 32 | (FX_CODE + 7));
        }
        fx_free(f);
    }
}

/* ---- call gates ---------------------------------------------------------------------------------
 */

#define GATE 0x8cu
#define DPL3 0x60u

static enum emu_status call_gate(struct fixture *f, bool call)
{
    return FX_RUN(f, call ? 0x9a : 0xea, 0xff, 0xff, 0xff, 0xff, FX_FREE | 3, 0);
}

static void gate_inner(void **)
{
    struct fixture *f = fx_new_protected(3);

    fx_set_desc(f, FX_FREE, fx_gate(FX_CS0, 0x12349000, GATE | DPL3, 2));
    fx_poke(f, FX_USER, 8, 0x2222222211111111); /* two parameters */
    FX_DONE(call_gate(f, true));
    expect_seg(f, SEG_CS, FX_CS0, 0, 0xffffffff, FX_CODE32);
    expect_seg(f, SEG_SS, FX_DS0, 0, 0xffffffff, FX_DATA32);
    assert_int_equal(f->s.rip, 0x12349000);
    assert_int_equal(f->s.gpr[RSP], FX_INNER - 24);
    static const u32 want[] = {FX_CODE + 7, FX_CS3, 0x11111111, 0x22222222, FX_USER, FX_DS3};
    assert_memory_equal(f->ram + FX_INNER - 24, want, sizeof(want));
    /* and back: retf 8 releases the parameters on both stacks */
    f->s.rip = FX_CODE + 0x100;
    FX_DONE(FX_RUN(f, 0xca, 8, 0));
    expect_seg(f, SEG_CS, FX_CS3, 0, 0xffffffff, FX_CODE32 | FX_DPL(3));
    assert_int_equal(f->s.rip, FX_CODE + 7);
    assert_int_equal(f->s.seg[SEG_SS].selector, FX_DS3);
    assert_int_equal(f->s.gpr[RSP], FX_USER + 8);
    fx_free(f);
}

/* A 16-bit gate pushes and copies words. */
static void gate_16bit(void **)
{
    struct fixture *f = fx_new_protected(3);

    fx_set_desc(f, FX_FREE, fx_gate(FX_CS0, 0x12349000, 0x84 | DPL3, 1));
    fx_poke(f, FX_USER, 2, 0x5555);
    FX_DONE(call_gate(f, true));
    assert_int_equal(f->s.rip, 0x9000);
    static const u16 want[] = {FX_CODE + 7, FX_CS3, 0x5555, FX_USER, FX_DS3};
    assert_int_equal(f->s.gpr[RSP], FX_INNER - sizeof(want));
    assert_memory_equal(f->ram + FX_INNER - sizeof(want), want, sizeof(want));
    fx_free(f);
}

static void gate_same_level(void **)
{
    struct fixture *f = fx_new_protected(3);

    fx_set_desc(f, FX_FREE, fx_gate(FX_CS3, 0x9000, GATE | DPL3, 2));
    FX_DONE(call_gate(f, true)); /* no parameters are copied */
    assert_int_equal(f->s.gpr[RSP], FX_USER - 8);
    f->s.rip = FX_CODE;
    FX_DONE(call_gate(f, false));
    assert_int_equal(f->s.gpr[RSP], FX_USER - 8);
    assert_int_equal(f->s.rip, 0x9000);
    fx_free(f);
}

static const struct {
    u32 access;   /* of the gate */
    u16 selector; /* in the gate */
    u64 code;     /* descriptor of FX_FREE + 8 */
    bool call;
    u8 vector;
    u32 error;
} gates[] = {
    {GATE, FX_CS0, 0, true, VECTOR_GP, FX_FREE},                /* DPL 0 */
    {ABSENT(GATE | DPL3), FX_CS0, 0, true, VECTOR_NP, FX_FREE}, /* not present */
    {GATE | DPL3, 3, 0, true, VECTOR_GP, 0},                    /* null code selector */
    {GATE | DPL3, 0x1000, 0, true, VECTOR_GP, 0x1000},          /* outside */
    {GATE | DPL3, FX_DS0, 0, true, VECTOR_GP, FX_DS0},          /* data */
    {GATE | DPL3, FX_CS0, 0, false, VECTOR_GP, FX_CS0},         /* JMP does not go inwards */
    {GATE | DPL3, FX_FREE + 8, 0x00cf1a000000ffff, true, VECTOR_NP, FX_FREE + 8},
    {GATE | DPL3, FX_FREE + 8, 0x00409a0000008fff, true, VECTOR_GP, 0}, /* beyond the limit */
    {0xe9, 0, 0, true, VECTOR_TS, FX_FREE},                             /* a TSS, too small */
};

static void gate_refused(void **)
{
    for (unsigned k = 0; k < ARRAY_SIZE(gates); k++) {
        struct fixture *f = fx_new_protected(3);
        fx_set_desc(f, FX_FREE, fx_gate(gates[k].selector, 0x9000, gates[k].access, 0));
        if (gates[k].access == 0xe9)
            fx_set_desc(f, FX_FREE, fx_desc(0, 0, gates[k].access));
        fx_set_desc(f, FX_FREE + 8, gates[k].code);
        enum emu_status st = call_gate(f, gates[k].call);
        if (st != EMU_FAULT || f->e.event.vector != gates[k].vector)
            print_error("row %u: vector %u\n", k, f->e.event.vector);
        assert_int_equal(st, EMU_FAULT);
        assert_int_equal(f->e.event.vector, gates[k].vector);
        assert_int_equal(f->e.event.error, gates[k].error);
        assert_int_equal(f->s.rip, FX_CODE);
        assert_int_equal(f->s.gpr[RSP], FX_USER);
        fx_free(f);
    }
    struct fixture *f = fx_new_protected(0); /* RPL 3 for a gate of DPL 0, at level 0 */
    fx_set_desc(f, FX_FREE, fx_gate(FX_CS0, 0x9000, GATE, 0));
    FX_FAULT(call_gate(f, true), VECTOR_GP, FX_FREE);
    fx_free(f);
}

/* The inner stack out of the TSS: not found there #TS, no room on it #SS (selectors, no EXT). */
static void gate_stack(void **)
{
    struct fixture *f = fx_new_protected(3);

    fx_set_desc(f, FX_FREE, fx_gate(FX_CS0, 0x9000, GATE | DPL3, 31));
    fx_poke(f, FX_TSS + 8, 2, FX_DS3);
    FX_FAULT(call_gate(f, true), VECTOR_TS, FX_DS3 & ~3u);
    fx_poke(f, FX_TSS + 8, 2, 0);
    FX_FAULT(call_gate(f, true), VECTOR_TS, 0);
    fx_set_desc(f, FX_FREE + 8, fx_desc(0, 0xffff, FX_DATA16));
    fx_poke(f, FX_TSS + 4, 4, 139); /* 35 items of 4 bytes */
    fx_poke(f, FX_TSS + 8, 2, FX_FREE + 8);
    FX_FAULT(call_gate(f, true), VECTOR_SS, FX_FREE + 8);
    fx_poke(f, FX_TSS + 4, 4, 0x7000 + 140);
    f->s.seg[SEG_TR].limit = 8;
    FX_FAULT(call_gate(f, true), VECTOR_TS, FX_TR);
    f->s.seg[SEG_TR].limit = 9;
    FX_DONE(call_gate(f, true));
    assert_int_equal(f->s.gpr[RSP], 0x7000);
    fx_free(f);
}

/* ---- 64-bit mode --------------------------------------------------------------------------------
 */

static void gate_64bit(void **)
{
    struct fixture *f = fx_new_long(3);

    fx_set_desc(f, FX_FREE, fx_gate(FX_CS0, 0xffff800012345678, GATE | DPL3, 0));
    fx_set_desc(f, FX_FREE + 8, 0xffff8000);
    fx_poke(f, FX_DATA, 6, (u64)FX_FREE << 32);
    f->s.gpr[RBX] = FX_DATA;
    FX_DONE(FX_RUN(f, 0xff, 0x1b)); /* call far [rbx] */
    assert_int_equal(f->s.rip, 0xffff800012345678);
    assert_int_equal(f->s.seg[SEG_CS].selector, FX_CS0);
    assert_int_equal(f->s.seg[SEG_SS].selector, 0);
    assert_true(f->s.seg[SEG_SS].access & SEG_UNUSABLE);
    static const u64 want[] = {FX_CODE + 2, FX_CS3, FX_USER, FX_DS3};
    assert_int_equal(f->s.gpr[RSP], FX_INNER - sizeof(want));
    assert_memory_equal(f->ram + f->s.gpr[RSP], want, sizeof(want));
    /* retfq: back to level 3 */
    f->s.rip = FX_CODE + 0x100;
    FX_DONE(FX_RUN(f, 0x48, 0xcb));
    assert_int_equal(f->s.rip, FX_CODE + 2);
    assert_int_equal(f->s.seg[SEG_CS].selector, FX_CS3);
    assert_int_equal(f->s.gpr[RSP], FX_USER);

    /* A type in the second half, 32-bit target code, a 16-bit gate, a TSS: all #GP(selector). */
    fx_set_desc(f, FX_FREE + 8, 0xffff8000 | BIT64(40));
    FX_FAULT(FX_RUN(f, 0xff, 0x1b), VECTOR_GP, FX_FREE);
    fx_set_desc(f, FX_FREE + 8, 0);
    fx_set_desc(f, FX_FREE, fx_gate(FX_FREE + 16, 0x9000, GATE | DPL3, 0));
    fx_set_desc(f, FX_FREE + 16, fx_desc(0, 0xffffffff, FX_CODE32));
    FX_FAULT(FX_RUN(f, 0xff, 0x1b), VECTOR_GP, FX_FREE + 16);
    fx_set_desc(f, FX_FREE, fx_gate(FX_CS0, 0x9000, 0xe4, 0));
    FX_FAULT(FX_RUN(f, 0xff, 0x1b), VECTOR_GP, FX_FREE);
    fx_set_desc(f, FX_FREE, fx_desc(FX_TSS2, 0x67, 0xe9));
    FX_FAULT(FX_RUN(f, 0xff, 0x1b), VECTOR_GP, FX_FREE);
    fx_free(f);
}

static void far_64bit(void **)
{
    struct fixture *f = fx_new_long(0);

    f->s.gpr[RBX] = FX_DATA;
    fx_poke(f, FX_DATA, 8, 0x800000000000);
    fx_poke(f, FX_DATA + 8, 2, FX_CS0);
    FX_FAULT(FX_RUN(f, 0x48, 0xff, 0x2b), VECTOR_GP, 0); /* jmp far m16:64, not canonical */
    fx_poke(f, FX_DATA, 8, 0xffff800000001000);
    FX_DONE(FX_RUN(f, 0x48, 0xff, 0x2b));
    assert_int_equal(f->s.rip, 0xffff800000001000);
    /* Code with both L and D is no code; to compatibility mode. */
    f->s.rip = FX_CODE;
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_CODE64 | SEG_DB));
    fx_poke(f, FX_DATA, 6, (u64)FX_FREE << 32 | 0x8400);
    FX_FAULT(FX_RUN(f, 0xff, 0x2b), VECTOR_GP, FX_FREE);
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_CODE32));
    FX_DONE(FX_RUN(f, 0xff, 0x2b));
    assert_int_equal(emu_mode(&f->s), EMU_MODE_32);
    assert_int_equal(f->s.rip, 0x8400);
    fx_free(f);
}

/* retf to the outer level nulls what that level may not use. */
static void return_outer(void **)
{
    struct fixture *f = fx_new_protected(0);

    f->s.seg[SEG_ES] = (struct segment){0, 0xffffffff, FX_DATA32 | FX_DPL(3), FX_DS3};
    f->s.gpr[RSP] -= 16;
    fx_poke(f, f->s.gpr[RSP], 8, (u64)FX_CS3 << 32 | 0x8800);
    fx_poke(f, f->s.gpr[RSP] + 8, 8, (u64)FX_DS3 << 32 | 0xa800);
    FX_DONE(FX_RUN(f, 0xcb));
    assert_int_equal(f->s.rip, 0x8800);
    assert_int_equal(f->s.gpr[RSP], 0xa800);
    assert_int_equal(f->s.seg[SEG_DS].selector, 0);
    assert_true(f->s.seg[SEG_DS].access & SEG_UNUSABLE);
    assert_int_equal(f->s.seg[SEG_ES].selector, FX_DS3);
    /* Inwards: never. */
    f->s.gpr[RSP] -= 8;
    fx_poke(f, f->s.gpr[RSP], 8, (u64)FX_CS0 << 32 | 0x8800);
    FX_FAULT(FX_RUN(f, 0xcb), VECTOR_GP, FX_CS0);
    fx_free(f);
}

/* Tables in IA-32e mode: at 64-bit addresses whatever the code is, which must be canonical. */
static void table_addresses(void **)
{
    struct fixture *f = fx_new_long(0);
    u64 data = fx_desc(0x1234, 0xffff, 0x93);

    fx_map(f, 0xfffff000, 0x30000, 0x67);
    fx_map(f, 0x100000000, 0x32000, 0x67);
    f->s.gdtr.base = 0xfffffffc - 0x20;
    fx_poke(f, 0x30ffc, 4, data);
    fx_poke(f, 0x32000, 4, data >> 32);
    FX_DONE(mov_sreg(f, SEG_ES, 0x20));
    assert_int_equal(f->s.seg[SEG_ES].base, 0x1234);
    fx_set_seg(f, SEG_CS, FX_CS0, 0, 0xffffffff, FX_CODE32);
    f->s.rip = FX_CODE;
    FX_DONE(mov_sreg(f, SEG_DS, 0x20));
    assert_int_equal(f->s.seg[SEG_DS].base, 0x1234);
    fx_map(f, 0xffff800000000000, 0x32000, 0x67); /* what 48 bits would find */
    fx_poke(f, 0x32000, 8, data);
    f->s.gdtr.base = 0x7ffffffffff8;
    f->s.rip = FX_CODE;
    FX_FAULT(mov_sreg(f, SEG_DS, 8), VECTOR_GP, 8);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_real),
        cmocka_unit_test(far_real),
        cmocka_unit_test(far_pointers),
        cmocka_unit_test(load_protected),
        cmocka_unit_test(load_null),
        cmocka_unit_test(load_ldt),
        cmocka_unit_test(shadow),
        cmocka_unit_test(far_code),
        cmocka_unit_test(gate_inner),
        cmocka_unit_test(gate_16bit),
        cmocka_unit_test(gate_same_level),
        cmocka_unit_test(gate_refused),
        cmocka_unit_test(gate_stack),
        cmocka_unit_test(gate_64bit),
        cmocka_unit_test(far_64bit),
        cmocka_unit_test(return_order),
        cmocka_unit_test(call_between_modes),
        cmocka_unit_test(return_outer),
        cmocka_unit_test(table_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
