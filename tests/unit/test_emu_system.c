/* SPDX-License-Identifier: MIT
 *
 * System instructions against their pages in SDM vol. 2: who may use them in which mode, what they
 * check, what they change; and which CR0, CR4 and EFER values exist (vol. 3A, 2.5).
 */
#include "emu_fixture.h"

/* ---- who may ----------------------------------------------------------------------------------
 */

enum mode { REAL, VM86, PROT0, PROT3, LONG0, LONG3, MODES };

static struct fixture *in_mode(enum mode m)
{
    struct fixture *f = fx_new();
    if (m == VM86)
        fx_vm86(f, 3);
    else if (m == PROT0 || m == PROT3)
        fx_protected(f, m == PROT0 ? 0 : 3);
    else if (m != REAL)
        fx_long(f, m == LONG0 ? 0 : 3);
    f->s.gpr[RBX] = FX_DATA;
    return f;
}

/* One letter for each mode: '.' works, 'u' #UD, 'g' #GP(0). */
static const struct {
    const char *name;
    u8 bytes[6], n;
    const char *outcome;
} access_rights[] = {
    {"hlt", {0xf4}, 1, ".g.g.g"},
    {"clts", {0x0f, 0x06}, 2, ".g.g.g"},
    {"invd", {0x0f, 0x08}, 2, ".g.g.g"},
    {"wbinvd", {0x0f, 0x09}, 2, ".g.g.g"},
    {"mov eax, cr0", {0x0f, 0x20, 0xc0}, 3, ".g.g.g"},
    {"mov eax, cr1", {0x0f, 0x20, 0xc8}, 3, "uuuuuu"},
    {"mov cr5, eax", {0x0f, 0x22, 0xe8}, 3, "uuuuuu"},
    {"mov eax, dr0", {0x0f, 0x21, 0xc0}, 3, ".g.g.g"},
    {"mov dr0, eax", {0x0f, 0x23, 0xc0}, 3, ".g.g.g"},
    {"lgdt", {0x0f, 0x01, 0x13}, 3, ".g.g.g"},
    {"lidt", {0x0f, 0x01, 0x1b}, 3, ".g.g.g"},
    {"sgdt", {0x0f, 0x01, 0x03}, 3, "......"},
    {"smsw eax", {0x0f, 0x01, 0xe0}, 3, "......"},
    {"lmsw ax", {0x0f, 0x01, 0xf0}, 3, ".g.g.g"},
    {"invlpg", {0x0f, 0x01, 0x3b}, 3, ".g.g.g"},
    {"sldt eax", {0x0f, 0x00, 0xc0}, 3, "uu...."},
    {"str eax", {0x0f, 0x00, 0xc8}, 3, "uu...."},
    {"lldt ax", {0x0f, 0x00, 0xd0}, 3, "uu.g.g"}, /* null */
    {"verr ax", {0x0f, 0x00, 0xe0}, 3, "uu...."},
    {"lar eax, ax", {0x0f, 0x02, 0xc0}, 3, "uu...."},
    {"lsl eax, ax", {0x0f, 0x03, 0xc0}, 3, "uu...."},
    {"rdmsr", {0x0f, 0x32}, 2, ".g.g.g"},
    {"wrmsr", {0x0f, 0x30}, 2, ".g.g.g"},
    {"rdtsc", {0x0f, 0x31}, 2, "......"},
    {"rdpmc", {0x0f, 0x33}, 2, ".g.g.g"}, /* CR4.PCE off */
    {"cpuid", {0x0f, 0xa2}, 2, "......"},
    {"rsm", {0x0f, 0xaa}, 2, "uuuuuu"},
    {"vmcall", {0x0f, 0x01, 0xc1}, 3, "......"},
    {"vmlaunch", {0x0f, 0x01, 0xc2}, 3, "uuuuuu"},
    {"monitor", {0x0f, 0x01, 0xc8}, 3, ".u.u.u"},
    {"mwait", {0x0f, 0x01, 0xc9}, 3, ".u.u.u"},
    {"clac", {0x0f, 0x01, 0xca}, 3, ".u.u.u"},
    {"stac", {0x0f, 0x01, 0xcb}, 3, ".u.u.u"},
    {"xgetbv", {0x0f, 0x01, 0xd0}, 3, "uuuuuu"}, /* CR4.OSXSAVE off */
    {"xsetbv", {0x0f, 0x01, 0xd1}, 3, "uuuuuu"},
    {"rdpkru", {0x0f, 0x01, 0xee}, 3, "uuuuuu"}, /* CR4.PKE off */
    {"swapgs", {0x0f, 0x01, 0xf8}, 3, "uuuu.g"},
    {"syscall", {0x0f, 0x05}, 2, "uuuu.."},
    {"sysenter", {0x0f, 0x34}, 2, "gggggg"}, /* its MSR is 0 */
    {"sysexit", {0x0f, 0x35}, 2, "gggggg"},
    {"rdfsbase eax", {0xf3, 0x0f, 0xae, 0xc0}, 4, "uuuuuu"}, /* CR4.FSGSBASE off */
    {"mov cs, ax", {0x8e, 0xc8}, 2, "uuuuuu"},
    {"mov (seg 6), ax", {0x8e, 0xf0}, 2, "uuuuuu"},
};

static void who_may(void **)
{
    for (unsigned k = 0; k < ARRAY_SIZE(access_rights); k++) {
        for (unsigned m = 0; m < MODES; m++) {
            struct fixture *f = in_mode((enum mode)m);
            char want = access_rights[k].outcome[m];
            f->s.gpr[RCX] =
                access_rights[k].bytes[1] == 0x32 || access_rights[k].bytes[1] == 0x30 ? 0x1234 : 0;
            enum emu_status st = fx_run(f, access_rights[k].bytes, access_rights[k].n);
            char got = st == EMU_DONE                                            ? '.'
                       : f->e.event.vector == VECTOR_UD                          ? 'u'
                       : f->e.event.vector == VECTOR_GP && f->e.event.error == 0 ? 'g'
                                                                                 : '?';
            if (got != want)
                print_error("%s in mode %u: %c\n", access_rights[k].name, m, got);
            assert_int_equal(got, want);
            fx_free(f);
        }
    }
}

static void umip(void **)
{
    static const u8 code[][3] = {{0x0f, 0x01, 0x03},
                                 {0x0f, 0x01, 0x0b},
                                 {0x0f, 0x00, 0x03},
                                 {0x0f, 0x00, 0x0b},
                                 {0x0f, 0x01, 0x23}}; /* sgdt sidt sldt str smsw */
    for (unsigned k = 0; k < ARRAY_SIZE(code); k++) {
        struct fixture *f = in_mode(PROT3);
        f->s.cr4 |= CR4_UMIP;
        FX_FAULT(fx_run(f, code[k], 3), VECTOR_GP, 0);
        fx_free(f);
        f = in_mode(PROT0);
        f->s.cr4 |= CR4_UMIP;
        FX_DONE(fx_run(f, code[k], 3));
        fx_free(f);
    }
}

/* ---- descriptor-table registers
 * ------------------------------------------------------------------ */

static void tables(void **)
{
    struct fixture *f = in_mode(PROT0);

    f->s.gdtr = (struct table_reg){0x89abcdef, 0x1234};
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0x01, 0x03)); /* all 32 bits of the base even so */
    assert_int_equal(fx_peek(f, FX_DATA, 8), 0x89abcdef1234);
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0x01, 0x1b)); /* lidt with a 24-bit base */
    assert_int_equal(f->s.idtr.base, 0xabcdef);
    assert_int_equal(f->s.idtr.limit, 0x1234);
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0x1b));
    assert_int_equal(f->s.idtr.base, 0x89abcdef);
    fx_free(f);

    f = in_mode(LONG0);
    fx_poke(f, FX_DATA, 2, 0xfff);
    fx_poke(f, FX_DATA + 2, 8, 0xffff800000001000);
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0x13));
    assert_int_equal(f->s.gdtr.base, 0xffff800000001000);
    fx_poke(f, FX_DATA + 2, 8, 0x800000000000);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0x13), VECTOR_GP, 0);
    fx_free(f);
}

/* LLDT and LTR: SDM vol. 2A. */
static void ldt_and_task_register(void **)
{
    static const struct {
        bool ltr, in64;
        u16 selector;
        u32 access;
        u8 vector;
        u32 error;
    } rows[] = {
        {false, false, FX_FREE, 0x82, 0, 0},
        {false, false, FX_FREE, 0x02, VECTOR_NP, FX_FREE},
        {false, false, FX_FREE, 0x89, VECTOR_GP, FX_FREE},
        {false, false, FX_FREE, FX_DATA16, VECTOR_GP, FX_FREE},
        {false, false, 0x1000, 0, VECTOR_GP, 0x1000},
        {false, false, 0x0c, 0, VECTOR_GP, 0x0c},
        {true, false, FX_FREE, 0x89, 0, 0},
        {true, false, FX_FREE, 0x81, 0, 0},
        {true, false, FX_FREE, 0x8b, VECTOR_GP, FX_FREE}, /* busy */
        {true, false, FX_FREE, 0x09, VECTOR_NP, FX_FREE},
        {true, false, 0, 0, VECTOR_GP, 0},
        {true, true, FX_FREE, 0x89, 0, 0},
        {true, true, FX_FREE, 0x81, VECTOR_GP, FX_FREE}, /* no 16-bit TSS in IA-32e mode */
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = in_mode(rows[k].in64 ? LONG0 : PROT0);
        enum seg seg = rows[k].ltr ? SEG_TR : SEG_LDTR;
        fx_set_desc(f, FX_FREE, fx_desc(0x56780000, 0x1ff, rows[k].access));
        fx_set_desc(f, FX_FREE + 8, rows[k].in64 ? 0xffff8000 : 0);
        f->s.gpr[RAX] = rows[k].selector;
        enum emu_status st = FX_RUN(f, 0x0f, 0x00, rows[k].ltr ? 0xd8 : 0xd0);
        if (st != (rows[k].vector ? EMU_FAULT : EMU_DONE))
            print_error("row %u\n", k);
        if (rows[k].vector) {
            assert_int_equal(st, EMU_FAULT);
            assert_int_equal(f->e.event.vector, rows[k].vector);
            assert_int_equal(f->e.event.error, rows[k].error);
        } else {
            assert_int_equal(st, EMU_DONE);
            assert_int_equal(f->s.seg[seg].selector, FX_FREE);
            assert_int_equal(f->s.seg[seg].base, rows[k].in64 ? 0xffff800056780000 : 0x56780000);
            assert_int_equal(f->s.seg[seg].limit, 0x1ff);
            u32 access = rows[k].access | (rows[k].ltr ? 2 : 0);
            assert_int_equal(f->s.seg[seg].access, access);
            assert_int_equal(fx_get_desc(f, FX_FREE) >> 40 & 0xff, access);
        }
        fx_free(f);
    }
}

/* ---- LAR, LSL, VERR, VERW
 * ------------------------------------------------------------------------- */

static void probes(void **)
{
    /* outcome: ZF of LAR, LSL, VERR, VERW at CPL cpl with RPL 0 */
    static const struct {
        unsigned cpl;
        u32 access;
        const char *zf, *zf64; /* zf64: in IA-32e mode */
    } rows[] = {
        {0, FX_DATA32, "1111", "1111"}, {0, 0xc091, "1110", "1110"}, /* read-only */
        {0, 0xc09b, "1110", "1110"},                                 /* readable code */
        {0, 0xc099, "1100", "1100"},                                 /* execute-only */
        {3, FX_DATA32, "0000", "0000"},                              /* DPL 0 from level 3 */
        {3, 0xc09f, "1110", "1110"},                                 /* conforming */
        {0, 0x0013, "1111", "1111"}, /* not present does not matter */
        {0, 0x0081, "1100", "0000"},    {0, 0x0083, "1100", "0000"}, /* 16-bit TSS */
        {0, 0x0082, "1100", "1100"},                                 /* LDT */
        {0, 0x0084, "1000", "0000"},                                 /* 16-bit call gate */
        {0, 0x0085, "1000", "0000"},                                 /* task gate */
        {0, 0x0086, "0000", "0000"},    {0, 0x0087, "0000", "0000"},
        {0, 0x0089, "1100", "1100"},    {0, 0x008b, "1100", "1100"}, /* TSS */
        {0, 0x008c, "1000", "1000"},                                 /* call gate */
        {0, 0x008e, "0000", "0000"},    {0, 0x008f, "0000", "0000"},
        {0, 0x0080, "0000", "0000"},    {0, 0x008a, "0000", "0000"},
    };
    static const u8 code[4][3] = {
        {0x0f, 0x02, 0xd8}, {0x0f, 0x03, 0xd8}, {0x0f, 0x00, 0xe0}, {0x0f, 0x00, 0xe8}};
    for (unsigned k = 0; k < ARRAY_SIZE(rows) * 2; k++) {
        unsigned row = k / 2;
        bool in64 = k & 1;
        for (unsigned op = 0; op < 4; op++) {
            struct fixture *f =
                in_mode(in64 ? (rows[row].cpl ? LONG3 : LONG0) : (rows[row].cpl ? PROT3 : PROT0));
            fx_set_desc(f, FX_FREE, fx_desc(0x12345678, 0xabcde, rows[row].access));
            fx_set_desc(f, FX_FREE + 8, 0);
            f->s.gpr[RAX] = FX_FREE;
            f->s.gpr[RBX] = 0x77;
            FX_DONE(fx_run(f, code[op], 3));
            bool zf = f->s.rflags & RFLAGS_ZF;
            if (zf != ((in64 ? rows[row].zf64 : rows[row].zf)[op] == '1'))
                print_error("row %u op %u in64 %d\n", row, op, in64);
            assert_int_equal(zf, (in64 ? rows[row].zf64 : rows[row].zf)[op] == '1');
            u32 limit = rows[row].access & SEG_G ? 0xabfff : 0xabcde;
            if (op == 0) /* bits 19:16 are undefined */
                assert_int_equal(
                    f->s.gpr[RBX] & 0xfff0ffff,
                    zf ? (rows[row].access & 0xff) << 8 | (rows[row].access & 0xf000) << 8 : 0x77);
            if (op == 1)
                assert_int_equal(f->s.gpr[RBX], zf ? limit : 0x77);
            fx_free(f);
        }
    }
    struct fixture *f = in_mode(PROT0);
    f->s.gpr[RAX] = 0x1000; /* outside the table: no fault */
    f->s.rflags |= RFLAGS_ZF;
    FX_DONE(FX_RUN(f, 0x0f, 0x03, 0xd8));
    assert_false(f->s.rflags & RFLAGS_ZF);
    assert_int_equal(f->e.event.vector, VECTOR_NONE);
    fx_free(f);
}

/* ---- control and debug registers
 * -------------------------------------------------------------------- */

static void control_registers(void **)
{
    struct fixture *f = in_mode(LONG0);

    f->s.gpr[RAX] = 0xffff800000001000;
    FX_DONE(FX_RUN(f, 0x0f, 0x22, 0xd0)); /* mov cr2, rax */
    assert_int_equal(f->s.cr2, 0xffff800000001000);
    f->s.gpr[RAX] = 9;
    FX_DONE(FX_RUN(f, 0x44, 0x0f, 0x22, 0xc0)); /* mov cr8, rax */
    assert_int_equal(f->cr8, 9);
    FX_DONE(FX_RUN(f, 0x44, 0x0f, 0x20, 0xc3)); /* mov rbx, cr8 */
    assert_int_equal(f->s.gpr[RBX], 9);
    FX_DONE(FX_RUN(f, 0x0f, 0x20, 0xdb)); /* mov rbx, cr3 */
    assert_int_equal(f->s.gpr[RBX], FX_PT);
    f->s.gpr[RAX] = f->s.cr4 & ~CR4_PAE;
    FX_FAULT(FX_RUN(f, 0x0f, 0x22, 0xe0), VECTOR_GP, 0); /* PAE off in IA-32e mode */
    fx_free(f);

    f = in_mode(REAL);
    f->s.gpr[RAX] = CR0_PE | CR0_TS;
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xf0)); /* lmsw ax */
    assert_int_equal(f->s.cr0, CR0_CD | CR0_NW | CR0_ET | CR0_PE | CR0_TS);
    fx_free(f);
    f = in_mode(PROT0);
    f->s.cr0 |= CR0_MP;
    f->s.gpr[RAX] = CR0_TS | CR0_EM;
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xf0)); /* cannot clear PE; can clear MP */
    assert_int_equal(f->s.cr0, CR0_PE | CR0_ET | CR0_NE | CR0_TS | CR0_EM);
    FX_DONE(FX_RUN(f, 0x0f, 0x06));
    assert_int_equal(f->s.cr0, CR0_PE | CR0_ET | CR0_NE | CR0_EM);
    fx_free(f);
}

static void valid_values(void **)
{
    struct fixture *f = in_mode(REAL);
    struct x86_state *s = &f->s;

    assert_true(emu_cr0_valid(s, CR0_PE | CR0_PG));
    assert_false(emu_cr0_valid(s, CR0_PG));
    assert_false(emu_cr0_valid(s, CR0_NW));
    assert_true(emu_cr0_valid(s, CR0_NW | CR0_CD));
    assert_false(emu_cr0_valid(s, BIT64(32)));
    s->efer = EFER_LME; /* into IA-32e mode: PAE must be on */
    assert_false(emu_cr0_valid(s, CR0_PE | CR0_PG));
    s->cr4 = CR4_PAE;
    assert_true(emu_cr0_valid(s, CR0_PE | CR0_PG));
    s->seg[SEG_CS].access |= SEG_L;
    assert_false(emu_cr0_valid(s, CR0_PE | CR0_PG));
    assert_false(emu_cr4_valid(s, BIT64(15)));
    assert_false(emu_cr4_valid(s, BIT64(32)));
    assert_false(emu_cr4_valid(s, CR4_PCIDE));
    assert_true(emu_efer_valid(s, EFER_NXE));
    assert_false(emu_efer_valid(s, BIT64(1)));
    fx_free(f);

    f = in_mode(LONG0);
    s = &f->s;
    assert_false(emu_cr0_valid(s, CR0_PE));    /* out of it: not from 64-bit code */
    assert_false(emu_efer_valid(s, EFER_SCE)); /* LME is fixed while paging */
    assert_false(emu_cr4_valid(s, 0));
    assert_false(emu_cr4_valid(s, CR4_PAE | CR4_LA57));
    assert_true(emu_cr4_valid(s, CR4_PAE | CR4_PCIDE));
    s->cr3 |= 1;
    assert_false(emu_cr4_valid(s, CR4_PAE | CR4_PCIDE));
    s->seg[SEG_CS].access = FX_CODE32;
    assert_true(emu_cr0_valid(s, CR0_PE));
    s->cr4 |= CR4_PCIDE;
    assert_false(emu_cr0_valid(s, CR0_PE));
    fx_free(f);
}

static void debug_registers(void **)
{
    struct fixture *f = in_mode(LONG0);

    f->s.gpr[RAX] = 0xffffffff;
    FX_DONE(FX_RUN(f, 0x0f, 0x23, 0xf0)); /* mov dr6: fixed bits */
    assert_int_equal(f->s.dr6, 0xffffefff);
    f->s.gpr[RAX] = 0xffffdfff; /* without GD */
    FX_DONE(FX_RUN(f, 0x0f, 0x23, 0xf8));
    assert_int_equal(f->s.dr7, 0xffff07ff);
    f->s.gpr[RAX] = BIT64(32);
    FX_FAULT(FX_RUN(f, 0x0f, 0x23, 0xf0), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0x0f, 0x23, 0xf8), VECTOR_GP, 0);
    FX_DONE(FX_RUN(f, 0x0f, 0x23, 0xd8)); /* dr3 is an address */
    assert_int_equal(f->s.dr[3], BIT64(32));
    FX_DONE(FX_RUN(f, 0x0f, 0x21, 0xe3)); /* dr4 is dr6 */
    assert_int_equal(f->s.gpr[RBX], 0xffffefff);
    f->s.cr4 |= CR4_DE;
    FX_FAULT(FX_RUN(f, 0x0f, 0x21, 0xe3), VECTOR_UD, ~0u);
    f->s.dr7 |= BIT64(13); /* GD */
    FX_FAULT(FX_RUN(f, 0x0f, 0x21, 0xc3), VECTOR_DB, ~0u);
    assert_int_equal(f->e.event.payload, BIT64(13));
    fx_free(f);
}

/* ---- translation caches
 * ------------------------------------------------------------------------------- */

static void invalidation(void **)
{
    struct fixture *f = in_mode(PROT0);

    f->s.seg[SEG_DS].base = 0xfffff000;
    f->s.seg[SEG_DS].limit = 0;           /* no limit check */
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0x3b)); /* invlpg [ebx] */
    assert_int_equal(f->invalidated, FX_DATA - 0x1000);
    fx_free(f);

    f = in_mode(LONG0);
    f->s.gpr[RAX] = 0;
    fx_poke(f, FX_DATA, 8, 5);
    fx_poke(f, FX_DATA + 8, 8, 0xffff800000001000);
    FX_FAULT(FX_RUN(f, 0x66, 0x0f, 0x38, 0x82, 0x03), VECTOR_GP, 0); /* PCIDs are off */
    f->s.cr4 |= CR4_PCIDE;
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0x38, 0x82, 0x03));
    assert_int_equal(f->special_op, EMU_OP_INVPCID);
    assert_int_equal(f->special_operand, 5 << 8);
    assert_int_equal(f->special_operand2, 0xffff800000001000);
    fx_poke(f, FX_DATA + 8, 8, 0x800000000000);
    FX_FAULT(FX_RUN(f, 0x66, 0x0f, 0x38, 0x82, 0x03), VECTOR_GP, 0);
    f->s.gpr[RAX] = 3;
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0x38, 0x82, 0x03));
    fx_poke(f, FX_DATA, 8, 0x1000);
    FX_FAULT(FX_RUN(f, 0x66, 0x0f, 0x38, 0x82, 0x03), VECTOR_GP, 0);
    f->s.gpr[RAX] = 4;
    fx_poke(f, FX_DATA, 8, 0);
    FX_FAULT(FX_RUN(f, 0x66, 0x0f, 0x38, 0x82, 0x03), VECTOR_GP, 0);
    fx_free(f);
}

/* ---- MSRs, time, identification
 * ------------------------------------------------------------------------ */

static void values(void **)
{
    struct fixture *f = in_mode(LONG0);

    f->s.gpr[RCX] = 0xffffffff00001234; /* ECX alone counts */
    f->s.gpr[RAX] = 0xffffffff11112222;
    f->s.gpr[RDX] = 0xffffffff33334444;
    FX_DONE(FX_RUN(f, 0x0f, 0x30));
    assert_int_equal(f->msr_other, 0x3333444411112222);
    f->s.gpr[RAX] = f->s.gpr[RDX] = ~0ull;
    FX_DONE(FX_RUN(f, 0x0f, 0x32));
    assert_int_equal(f->s.gpr[RAX], 0x11112222);
    assert_int_equal(f->s.gpr[RDX], 0x33334444);
    f->s.gpr[RCX] = 0x5678;
    FX_FAULT(FX_RUN(f, 0x0f, 0x32), VECTOR_GP, 0);
    f->tsc = 0x123456789abcdef0;
    f->msr_aux = 7;
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xf9)); /* rdtscp */
    assert_int_equal(f->s.gpr[RDX], 0x12345678);
    assert_int_equal(f->s.gpr[RAX], 0x9abcdef0);
    assert_int_equal(f->s.gpr[RCX], 7);
    FX_DONE(FX_RUN(f, 0xf3, 0x0f, 0xc7, 0xfb)); /* rdpid rbx */
    assert_int_equal(f->s.gpr[RBX], 7);
    f->s.gpr[RAX] = 1;
    f->s.gpr[RCX] = 2;
    FX_DONE(FX_RUN(f, 0x0f, 0xa2));
    assert_int_equal(f->s.gpr[RAX], 0x11111112);
    assert_int_equal(f->s.gpr[RBX], 0x22222224);
    assert_int_equal(f->s.gpr[RCX], 0x33333333);
    assert_int_equal(f->s.gpr[RDX], 0x44444444);
    fx_free(f);

    f = in_mode(PROT3);
    f->s.cr4 |= CR4_TSD;
    FX_FAULT(FX_RUN(f, 0x0f, 0x31), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xf9), VECTOR_GP, 0);
    f->s.cr4 |= CR4_PCE;
    f->s.gpr[RCX] = 3;
    FX_DONE(FX_RUN(f, 0x0f, 0x33));
    assert_int_equal(f->special_op, EMU_OP_RDPMC);
    assert_int_equal(f->special_operand, 3);
    fx_free(f);
}

static void extended_state(void **)
{
    struct fixture *f = in_mode(PROT0);

    f->s.cr4 |= CR4_OSXSAVE | CR4_PKE;
    f->s.xcr0 = 7;
    f->s.gpr[RCX] = 0;
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xd0));
    assert_int_equal(f->s.gpr[RAX], 7);
    f->s.gpr[RAX] = 3;
    f->s.gpr[RDX] = 1;
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xd1));
    assert_int_equal(f->special_op, EMU_OP_XSETBV);
    assert_int_equal(f->special_operand2, 0x100000003);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xef), VECTOR_GP, 0); /* wrpkru: EDX must be 0 */
    f->s.gpr[RDX] = 0;
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xef));
    assert_int_equal(f->s.pkru, 3);
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xee));
    assert_int_equal(f->s.gpr[RAX], 3);
    f->s.gpr[RCX] = 2;
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xd0), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xee), VECTOR_GP, 0);
    fx_free(f);
}

static void bases(void **)
{
    struct fixture *f = in_mode(LONG3);

    f->s.cr4 |= CR4_FSGSBASE;
    f->s.gpr[RAX] = 0xffff800012345678;
    FX_DONE(FX_RUN(f, 0xf3, 0x48, 0x0f, 0xae, 0xd0)); /* wrfsbase rax */
    assert_int_equal(f->s.seg[SEG_FS].base, 0xffff800012345678);
    FX_DONE(FX_RUN(f, 0xf3, 0x0f, 0xae, 0xd8)); /* wrgsbase eax */
    assert_int_equal(f->s.seg[SEG_GS].base, 0x12345678);
    FX_DONE(FX_RUN(f, 0xf3, 0x48, 0x0f, 0xae, 0xc3)); /* rdfsbase rbx */
    assert_int_equal(f->s.gpr[RBX], 0xffff800012345678);
    f->s.gpr[RAX] = 0x800000000000;
    FX_FAULT(FX_RUN(f, 0xf3, 0x48, 0x0f, 0xae, 0xd0), VECTOR_GP, 0);
    fx_free(f);

    f = in_mode(LONG0);
    f->msr_kernel_gs = 0x1000;
    f->s.seg[SEG_GS].base = 0x2000;
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xf8));
    assert_int_equal(f->s.seg[SEG_GS].base, 0x1000);
    assert_int_equal(f->msr_kernel_gs, 0x2000);
    fx_free(f);
}

/* ---- fast system calls
 * -------------------------------------------------------------------------------- */

static void expect_flat(const struct fixture *f, u16 cs, u16 ss, u32 cs_access, u32 ss_access)
{
    assert_int_equal(f->s.seg[SEG_CS].selector, cs);
    assert_int_equal(f->s.seg[SEG_SS].selector, ss);
    assert_int_equal(f->s.seg[SEG_CS].access, cs_access);
    assert_int_equal(f->s.seg[SEG_SS].access, ss_access);
    assert_int_equal(f->s.seg[SEG_CS].base | f->s.seg[SEG_SS].base, 0);
    assert_int_equal(f->s.seg[SEG_CS].limit & f->s.seg[SEG_SS].limit, 0xffffffff);
}

static void syscalls(void **)
{
    struct fixture *f = in_mode(LONG3);

    f->msr_star = 0x0023001000000000;
    f->msr_lstar = 0xffff800000004000;
    f->msr_fmask = RFLAGS_IF | RFLAGS_DF;
    f->s.rflags = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_DF | RFLAGS_CF;
    FX_DONE(FX_RUN(f, 0x0f, 0x05));
    expect_flat(f, 0x10, 0x18, 0xa09b, 0xc093);
    assert_int_equal(f->s.rip, 0xffff800000004000);
    assert_int_equal(f->s.gpr[RCX], FX_CODE + 2);
    assert_int_equal(f->s.gpr[R11], RFLAGS_FIXED | RFLAGS_IF | RFLAGS_DF | RFLAGS_CF);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_CF);
    assert_int_equal(f->s.gpr[RSP], FX_USER);
    f->s.rip = FX_CODE;
    f->s.gpr[R11] = ~0ull & ~(u64)RFLAGS_TF;
    FX_DONE(FX_RUN(f, 0x48, 0x0f, 0x07)); /* sysretq */
    expect_flat(f, 0x33, 0x2b, 0xa0fb, 0xc0f3);
    assert_int_equal(f->s.rip, FX_CODE + 2);
    assert_int_equal(f->s.rflags, 0x3c7fd7 & ~RFLAGS_TF);
    fx_free(f);

    f = in_mode(LONG3); /* single-stepped by the TF that is loaded, not by the one before */
    f->msr_fmask = RFLAGS_TF;
    f->s.rflags |= RFLAGS_TF;
    FX_DONE(FX_RUN(f, 0x0f, 0x05));
    assert_int_equal(f->e.event.vector, VECTOR_NONE);
    assert_true(f->s.gpr[R11] & RFLAGS_TF);
    f->s.rip = FX_CODE;
    FX_DONE(FX_RUN(f, 0x48, 0x0f, 0x07));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_int_equal(f->e.event.payload, DR6_BS);
    fx_free(f);

    f = in_mode(LONG0);
    f->msr_star = 0x0023001000000000;
    f->s.gpr[RCX] = 0x800000000000;
    FX_FAULT(FX_RUN(f, 0x48, 0x0f, 0x07), VECTOR_GP, 0);
    FX_DONE(FX_RUN(f, 0x0f, 0x07)); /* to 32-bit code: ECX */
    expect_flat(f, 0x23, 0x2b, 0xc0fb, 0xc0f3);
    assert_int_equal(f->s.rip, 0);
    fx_free(f);

    f = in_mode(LONG3);
    f->s.efer &= ~EFER_SCE;
    FX_FAULT(FX_RUN(f, 0x0f, 0x05), VECTOR_UD, ~0u);
    FX_FAULT(FX_RUN(f, 0x48, 0x0f, 0x07), VECTOR_UD, ~0u);
    f->s.efer |= EFER_SCE;
    FX_FAULT(FX_RUN(f, 0x48, 0x0f, 0x07), VECTOR_GP, 0);
    fx_free(f);
}

static void sysenter(void **)
{
    struct fixture *f = in_mode(PROT3);

    f->s.sysenter_cs = 0x63; /* the RPL is ignored */
    f->s.sysenter_esp = 0xffff800000005000;
    f->s.sysenter_eip = 0xffff800000004000;
    f->s.rflags |= RFLAGS_IF;
    FX_DONE(FX_RUN(f, 0x0f, 0x34));
    expect_flat(f, 0x60, 0x68, 0xc09b, 0xc093);
    assert_int_equal(f->s.rip, 0x4000);
    assert_int_equal(f->s.gpr[RSP], 0x5000);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED);
    f->s.rip = FX_CODE;
    f->s.gpr[RCX] = 0xa000;
    f->s.gpr[RDX] = 0x8800;
    FX_DONE(FX_RUN(f, 0x0f, 0x35));
    expect_flat(f, 0x73, 0x7b, 0xc0fb, 0xc0f3);
    assert_int_equal(f->s.rip, 0x8800);
    assert_int_equal(f->s.gpr[RSP], 0xa000);
    fx_free(f);

    f = in_mode(LONG3);
    f->s.sysenter_cs = 0x60;
    f->s.sysenter_esp = 0xffff800000005000;
    f->s.sysenter_eip = 0xffff800000004000;
    FX_DONE(FX_RUN(f, 0x0f, 0x34));
    expect_flat(f, 0x60, 0x68, 0xa09b, 0xc093);
    assert_int_equal(f->s.rip, 0xffff800000004000);
    assert_int_equal(f->s.gpr[RSP], 0xffff800000005000);
    f->s.rip = FX_CODE;
    f->s.gpr[RCX] = 0xa000;
    f->s.gpr[RDX] = 0x800000000000;
    FX_FAULT(FX_RUN(f, 0x48, 0x0f, 0x35), VECTOR_GP, 0);
    f->s.gpr[RDX] = 0x8800;
    FX_DONE(FX_RUN(f, 0x48, 0x0f, 0x35));
    expect_flat(f, 0x83, 0x8b, 0xa0fb, 0xc0f3);
    fx_free(f);
}

/* ---- the rest
 * -------------------------------------------------------------------------------------------- */

static void waiting(void **)
{
    struct fixture *f = in_mode(PROT0);

    FX_DONE(FX_RUN(f, 0xf4));
    assert_int_equal(f->s.activity, ACTIVITY_HLT);
    assert_int_equal(f->s.rip, FX_CODE + 1);
    f->s.gpr[RAX] = FX_DATA;
    f->s.gpr[RCX] = 0;
    f->s.seg[SEG_FS].base = 0x100;
    FX_DONE(FX_RUN(f, 0x64, 0x0f, 0x01, 0xc8)); /* monitor fs:[eax] */
    assert_int_equal(f->special_op, EMU_OP_MONITOR);
    assert_int_equal(f->special_operand, FX_DATA + 0x100);
    f->s.gpr[RCX] = 1;
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xc8), VECTOR_GP, 0);
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xc9));
    assert_int_equal(f->special_op, EMU_OP_MWAIT);
    f->s.gpr[RCX] = 2;
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xc9), VECTOR_GP, 0);
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xcb));
    assert_true(f->s.rflags & RFLAGS_AC);
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xca));
    assert_false(f->s.rflags & RFLAGS_AC);
    fx_free(f);
}

/* Without special(), what it would do does not exist; absent features neither. */
static void absent(void **)
{
    struct fixture *f = in_mode(PROT0);
    struct emu_ops ops = fx_ops;

    ops.special = NULL;
    f->e.ops = &ops;
    FX_FAULT(FX_RUN(f, 0x0f, 0x09), VECTOR_UD, ~0u);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xc1), VECTOR_UD, ~0u);
    f->e.ops = &fx_ops;
    f->e.features = 0;
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xf9), VECTOR_UD, ~0u); /* rdtscp */
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xca), VECTOR_UD, ~0u); /* clac */
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xc8), VECTOR_UD, ~0u); /* monitor */
    fx_free(f);
}

/* SDM vol. 3A, table 9-1. */
static void reset(void **)
{
    struct x86_state s;

    memset(&s, 0xa5, sizeof(s));
    x86_state_reset(&s);
    assert_int_equal(s.rip, 0xfff0);
    assert_int_equal(s.rflags, 2);
    assert_int_equal(s.cr0, 0x60000010);
    assert_int_equal(s.cr2 | s.cr3 | s.cr4 | s.efer, 0);
    assert_int_equal(s.seg[SEG_CS].selector, 0xf000);
    assert_int_equal(s.seg[SEG_CS].base, 0xffff0000);
    for (unsigned k = 0; k < SEG_COUNT; k++) {
        assert_int_equal(s.seg[k].limit, 0xffff);
        if (k != SEG_CS)
            assert_int_equal(s.seg[k].selector | s.seg[k].base, 0);
        if (k <= SEG_GS)
            assert_int_equal(s.seg[k].access, 0x93);
    }
    assert_int_equal(s.seg[SEG_LDTR].access, 0x82);
    assert_int_equal(s.seg[SEG_TR].access, 0x8b);
    assert_int_equal(s.gdtr.limit, 0xffff);
    assert_int_equal(s.idtr.limit, 0xffff);
    assert_int_equal(s.dr6, 0xffff0ff0);
    assert_int_equal(s.dr7, 0x400);
    assert_int_equal(s.gpr[RDX] >> 8 & 0xf, 6);
    assert_int_equal(s.gpr[RAX] | s.gpr[RSP] | s.gpr[R15], 0);
    assert_int_equal(s.valid, STATE_ALL);
    assert_int_equal(s.dirty, STATE_ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may),        cmocka_unit_test(umip),
        cmocka_unit_test(tables),         cmocka_unit_test(ldt_and_task_register),
        cmocka_unit_test(probes),         cmocka_unit_test(control_registers),
        cmocka_unit_test(valid_values),   cmocka_unit_test(debug_registers),
        cmocka_unit_test(invalidation),   cmocka_unit_test(values),
        cmocka_unit_test(extended_state), cmocka_unit_test(bases),
        cmocka_unit_test(syscalls),       cmocka_unit_test(sysenter),
        cmocka_unit_test(waiting),        cmocka_unit_test(absent),
        cmocka_unit_test(reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
