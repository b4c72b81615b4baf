/* SPDX-License-Identifier: MIT
 *
 * INT n and its kin, and IRET: SDM vol. 2A and vol. 3A, chapter 6.
 */
#include "emu_event.h"

/* ---- INT n, INT3, INTO, INT1 ------------------------------------------------------------------
 */

static void int_real(void **)
{
    struct fixture *f = real();

    FX_DONE(FX_RUN(f, 0xcd, 0x21));
    expect_at(f, 0x900, 0x21, 0xabcd0ffa);
    STACK(f, 0x1ffa, 2, 0x4569, 0x123, (u16)FLAGS);
    assert_int_equal(f->e.event.vector, VECTOR_NONE); /* TF was set, but INT n ends it untrapped */
    fx_free(f);
}

static void int_protected(void **)
{
    struct fixture *f = protected(3);

    f->s.rflags &= ~(u64)RFLAGS_TF;
    /* The gate's DPL counts for INT n, INT3 and INTO, and there is no EXT; not for INT1. */
    FX_FAULT(FX_RUN(f, 0xcd, 0x21), VECTOR_GP, 0x21 * 8 + 2);
    FX_FAULT(FX_RUN(f, 0xcc), VECTOR_GP, 3 * 8 + 2);
    f->s.rflags |= RFLAGS_OF;
    FX_FAULT(FX_RUN(f, 0xce), VECTOR_GP, 4 * 8 + 2);
    fx_set_gate(f, 0x21, FX_CS0, HANDLER, (INT_GATE | DPL3) & ~0x80u, 0);
    FX_FAULT(FX_RUN(f, 0xcd, 0x21), VECTOR_NP, 0x21 * 8 + 2);
    fx_set_gate(f, 0x21, FX_CS0, HANDLER, INT_GATE | DPL3, 0);
    f->s.rflags |= RFLAGS_RF;
    FX_DONE(FX_RUN(f, 0xcd, 0x21));
    expect_at(f, FX_CS0, HANDLER, FX_INNER - 20);
    STACK(f, FX_INNER - 20, 4, 0x8125, FX_CS3, (FLAGS & ~RFLAGS_TF) | RFLAGS_OF, FX_USER, FX_DS3);
    fx_free(f);

    f = protected(3);
    FX_DONE(FX_RUN(f, 0xf1));
    expect_at(f, FX_CS0, HANDLER + 1, FX_INNER - 20);
    STACK(f, FX_INNER - 20, 4, 0x8124, FX_CS3);
    fx_free(f);

    f = protected(0);
    f->s.rflags = RFLAGS_FIXED;
    FX_DONE(FX_RUN(f, 0xce)); /* INTO without OF */
    expect_at(f, FX_CS0, 0x8124, FX_STACK);
    fx_free(f);
}

static void int_vm86(void **)
{
    struct fixture *f = vm86(2);

    f->s.rflags &= ~(u64)RFLAGS_TF;
    FX_FAULT(FX_RUN(f, 0xcd, 0x21), VECTOR_GP, 0);   /* IOPL below 3 */
    FX_FAULT(FX_RUN(f, 0xcc), VECTOR_GP, 3 * 8 + 2); /* INT3 only minds the gate's DPL */
    fx_free(f);

    f = vm86(3);
    fx_set_gate(f, 0x21, FX_CS0, HANDLER, INT_GATE | DPL3, 0);
    FX_DONE(FX_RUN(f, 0xcd, 0x21));
    expect_at(f, FX_CS0, HANDLER, FX_INNER - 36);
    STACK(f, FX_INNER - 36, 4, 0x125, 0x801);
    fx_free(f);
}

/* SDM vol. 3B, table 20-2: VME sends an INT n by the redirection bitmap. */
static struct fixture *vme(unsigned iopl, bool redirected)
{
    struct fixture *f = vm86(iopl);
    f->s.cr4 |= CR4_VME;
    f->s.rflags &= ~(u64)RFLAGS_TF;
    fx_poke(f, FX_TSS + 102, 2, 0x88); /* I/O bitmap; the 32 bytes before it redirect */
    fx_poke(f, FX_TSS + 0x68 + 0x21 / 8, 1, redirected ? 0 : 1u << (0x21 & 7));
    fx_poke(f, 0x21 * 4, 4, 0x08a00055);
    return f;
}

static void int_vme(void **)
{
    static const struct {
        unsigned iopl;
        u64 vif, cleared, kept, pushed;
    } rows[] = {
        {3, 0, RFLAGS_IF, RFLAGS_VM, 0x3202},                       /* method 5 */
        {0, RFLAGS_VIF, RFLAGS_VIF, RFLAGS_VM | RFLAGS_IF, 0x3202}, /* 6: VIF for IF, IOPL as 3 */
        {0, 0, RFLAGS_VIF, RFLAGS_VM | RFLAGS_IF, 0x3002},
    };
    struct fixture *f;

    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        f = vme(rows[n].iopl, true);
        f->s.rflags |= rows[n].vif;
        FX_DONE(FX_RUN(f, 0xcd, 0x21));
        expect_at(f, 0x8a0, 0x55, 0x1000 - 6);
        assert_int_equal(f->s.rflags & (rows[n].cleared | rows[n].kept), rows[n].kept);
        STACK(f, 0x8020 + 0x1000 - 6, 2, 0x125, 0x801, rows[n].pushed);
        fx_free(f);
    }

    f = vme(0, false); /* method 4 with IOPL below 3 */
    FX_FAULT(FX_RUN(f, 0xcd, 0x21), VECTOR_GP, 0);
    fx_free(f);

    f = vme(3, false);
    fx_set_gate(f, 0x21, FX_CS0, HANDLER, INT_GATE | DPL3, 0);
    FX_DONE(FX_RUN(f, 0xcd, 0x21));
    expect_at(f, FX_CS0, HANDLER, FX_INNER - 36);
    fx_free(f);
}

/* ---- IRET ----------------------------------------------------------------------------------- */

static void push_items(struct fixture *f, unsigned size, const u64 *items, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        f->s.gpr[RSP] -= size;
        fx_poke(f, f->s.seg[SEG_SS].base + f->s.gpr[RSP], size, items[k]);
    }
}
#define PUSH(f, size, ...) \
    push_items(f, size, (const u64[]){__VA_ARGS__}, ARRAY_SIZE(((const u64[]){__VA_ARGS__})))

static void iret_real(void **)
{
    struct fixture *f = fx_new();

    f->s.interruptibility = BLOCKED_BY_NMI;
    f->s.rflags |= RFLAGS_AC;
    PUSH(f, 2, 0x7fff, 0x900, 0x1234);
    FX_DONE(FX_RUN(f, 0xcf));
    expect_at(f, 0x900, 0x1234, FX_STACK);
    assert_int_equal(f->s.rflags, 0x7fd7 | RFLAGS_AC);
    assert_int_equal(f->s.interruptibility, 0);
    f->s.rip = 0;
    PUSH(f, 4, 0xffffffff & ~(u64)RFLAGS_TF, 0x900, 0x1234);
    f->s.rflags = RFLAGS_FIXED;
    FX_DONE(FX_RUN(f, 0x66, 0xcf)); /* VM, VIF and VIP are not for real mode */
    assert_int_equal(f->s.rflags, (0x257fd7 & ~(u64)RFLAGS_TF));
    f->s.rip = 0;
    PUSH(f, 4, 2, 0x900, 0x12345); /* beyond the limit */
    FX_FAULT(FX_RUN(f, 0x66, 0xcf), VECTOR_GP, 0);
    fx_free(f);
}

static void iret_same_level(void **)
{
    struct fixture *f = fx_new_protected(3);

    f->s.rflags = RFLAGS_FIXED | RFLAGS_IF; /* IOPL 0: IF and IOPL are not the user's */
    PUSH(f, 4, 0x3f7fd7 & ~(u64)(RFLAGS_VM | RFLAGS_TF | RFLAGS_IF), FX_CS3, 0x8200);
    FX_DONE(FX_RUN(f, 0xcf));
    expect_at(f, FX_CS3, 0x8200, FX_USER);
    assert_int_equal(f->s.rflags, 0x254ed7 & ~(u64)RFLAGS_VM);
    fx_free(f);
}

static void iret_outer(void **)
{
    struct fixture *f = fx_new_protected(0);

    f->s.seg[SEG_ES] = (struct segment){0, 0xffffffff, FX_DATA32 | FX_DPL(3), FX_DS3};
    f->s.seg[SEG_FS] = (struct segment){0, 0xffffffff, FX_CODE32 | 4, FX_FREE}; /* conforming */
    PUSH(f, 4, FX_DS3, 0xa0f0, RFLAGS_FIXED | RFLAGS_IF | 0x3000, FX_CS3, 0x8765);
    FX_DONE(FX_RUN(f, 0xcf));
    expect_at(f, FX_CS3, 0x8765, 0xa0f0);
    assert_int_equal(f->s.seg[SEG_SS].selector, FX_DS3);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_IF | 0x3000);
    assert_true(f->s.seg[SEG_DS].access & SEG_UNUSABLE); /* level 0's data */
    assert_int_equal(f->s.seg[SEG_DS].selector, 0);
    assert_true(f->s.seg[SEG_GS].access & SEG_UNUSABLE);
    assert_int_equal(f->s.seg[SEG_ES].selector, FX_DS3);
    assert_int_equal(f->s.seg[SEG_FS].selector, FX_FREE);
    fx_free(f);
}

/* SDM vol. 2A, IRET: the checks on the return segments. */
static void iret_refused(void **)
{
    static const struct {
        u64 ss, cs, rip;
        u8 vector;
        u32 error;
        u64 cs_desc, ss_desc;
    } rows[] = {
        {FX_DS3, 0, 0x8000, VECTOR_GP, 0, 0, 0},
        {FX_DS3, 0x1003, 0x8000, VECTOR_GP, 0x1000, 0, 0},
        {FX_DS3, FX_DS3, 0x8000, VECTOR_GP, FX_DS3 & ~3u, 0, 0}, /* no code */
        {FX_DS3, FX_CS0 | 3, 0x8000, VECTOR_GP, FX_CS0, 0, 0},   /* DPL is not RPL */
        {FX_DS3, FX_CS3 & ~3u, 0x8000, VECTOR_GP, FX_CS3 & ~3u, 0, 0},
        {FX_DS3, FX_FREE | 3, 0x8000, VECTOR_NP, FX_FREE, 0x00cf7b000000ffff, 0},
        {0, FX_CS3, 0x8000, VECTOR_GP, 0, 0, 0},
        {FX_DS3 & ~3u, FX_CS3, 0x8000, VECTOR_GP, FX_DS3 & ~3u, 0, 0},
        {FX_DS0, FX_CS3, 0x8000, VECTOR_GP, FX_DS0, 0, 0},       /* RPL */
        {FX_DS0 | 3, FX_CS3, 0x8000, VECTOR_GP, FX_DS0, 0, 0},   /* DPL */
        {FX_CS3, FX_CS3, 0x8000, VECTOR_GP, FX_CS3 & ~3u, 0, 0}, /* not data */
        {(FX_FREE + 8) | 3, FX_CS3, 0x8000, VECTOR_SS, FX_FREE + 8, 0, 0x00cf73000000ffff},
        {FX_DS3, FX_FREE | 3, 0x10000, VECTOR_GP, 0, 0x0040fb000000ffff, 0}, /* limit */
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = fx_new_protected(0);
        fx_set_desc(f, FX_FREE, rows[k].cs_desc);
        fx_set_desc(f, FX_FREE + 8, rows[k].ss_desc);
        PUSH(f, 4, rows[k].ss, 0xa000, RFLAGS_FIXED, rows[k].cs, rows[k].rip);
        u64 sp = f->s.gpr[RSP];
        f->e.event.vector = VECTOR_NONE;
        enum emu_status st = FX_RUN(f, 0xcf);
        if (st != EMU_FAULT || f->e.event.error != rows[k].error)
            print_error("row %u\n", k);
        assert_int_equal(st, EMU_FAULT);
        assert_int_equal(f->e.event.vector, rows[k].vector);
        assert_int_equal(f->e.event.error, rows[k].error);
        expect_at(f, FX_CS0, FX_CODE, sp);
        fx_free(f);
    }
}

static void iret_vm86(void **)
{
    struct fixture *f = fx_new_protected(0);

    PUSH(f, 4, 0x805, 0x804, 0x803, 0x800, 0x802, 0x1000, RFLAGS_FIXED | RFLAGS_VM | 0x3000, 0x801,
         0x123);
    FX_DONE(FX_RUN(f, 0xcf));
    expect_at(f, 0x801, 0x123, 0x1000);
    for (unsigned k = 0; k <= SEG_GS; k++) {
        assert_int_equal(f->s.seg[k].selector, 0x800 + k);
        assert_int_equal(f->s.seg[k].base, (0x800 + k) * 16);
        assert_int_equal(f->s.seg[k].limit, 0xffff);
        assert_int_equal(f->s.seg[k].access, 0xf3);
    }
    /* Within virtual-8086 mode: IOPL stays, IF is the program's at IOPL 3. */
    PUSH(f, 2, 0x0202, 0x900, 0x77);
    FX_DONE(FX_RUN(f, 0xcf));
    expect_at(f, 0x900, 0x77, 0x1000);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_VM | 0x3000 | RFLAGS_IF);
    f->s.rflags &= ~(u64)RFLAGS_IOPL;
    FX_FAULT(FX_RUN(f, 0xcf), VECTOR_GP, 0);
    f->s.cr4 |= CR4_VME; /* then a 16-bit IRET works on VIF */
    f->s.rflags &= ~(u64)RFLAGS_IF;
    PUSH(f, 2, 0x0202, 0x900, 0x88);
    FX_DONE(FX_RUN(f, 0xcf));
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_VM | RFLAGS_VIF);
    f->s.rflags |= RFLAGS_VIP;
    PUSH(f, 2, 0x0202, 0x900, 0x99);
    FX_FAULT(FX_RUN(f, 0xcf), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0x66, 0xcf), VECTOR_GP, 0);
    fx_free(f);
}

static void iret_long(void **)
{
    struct fixture *f = fx_new_long(0);

    /* SS:RSP is popped at the same level, too; SS may be null below level 3. */
    PUSH(f, 8, 0, 0xffff800000001230, RFLAGS_FIXED | RFLAGS_IF, FX_CS0, 0xffff800000004560);
    FX_DONE(FX_RUN(f, 0x48, 0xcf));
    expect_at(f, FX_CS0, 0xffff800000004560, 0xffff800000001230);
    assert_int_equal(f->s.seg[SEG_SS].selector, 0);
    assert_true(f->s.seg[SEG_SS].access & SEG_UNUSABLE);
    fx_free(f);

    f = fx_new_long(0); /* to a 32-bit user */
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_CODE32 | FX_DPL(3)));
    PUSH(f, 8, FX_DS3, 0x1230a000, RFLAGS_FIXED | RFLAGS_VM, FX_FREE | 3, 0x8444);
    FX_DONE(FX_RUN(f, 0x48, 0xcf));
    expect_at(f, FX_FREE | 3, 0x8444, 0x1230a000);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED); /* there is no VM in IA-32e mode */
    fx_free(f);

    f = fx_new_long(0);
    PUSH(f, 8, FX_DS3, 0xa000, RFLAGS_FIXED, FX_CS3, 0x800000000000);
    FX_FAULT(FX_RUN(f, 0x48, 0xcf), VECTOR_GP, 0);
    f->s.rflags |= RFLAGS_NT;
    FX_FAULT(FX_RUN(f, 0x48, 0xcf), VECTOR_GP, 0);
    f->s.rflags &= ~(u64)RFLAGS_NT;
    PUSH(f, 8, 3, 0xa000, RFLAGS_FIXED, FX_CS3, 0x8000); /* null SS at level 3 */
    FX_FAULT(FX_RUN(f, 0x48, 0xcf), VECTOR_GP, 0);
    fx_free(f);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int_real),   cmocka_unit_test(int_protected),
        cmocka_unit_test(int_vm86),   cmocka_unit_test(int_vme),
        cmocka_unit_test(iret_real),  cmocka_unit_test(iret_same_level),
        cmocka_unit_test(iret_outer), cmocka_unit_test(iret_refused),
        cmocka_unit_test(iret_vm86),  cmocka_unit_test(iret_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
