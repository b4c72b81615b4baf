/* SPDX-License-Identifier: MIT
 *
 * Delivery of events in every mode against SDM vol. 3A, chapter 6: what is on the stack, which
 * error codes come of broken gates and stacks, double and triple faults; INT n and its kin; IRET;
 * task switches (chapter 7).
 */
#include "emu_fixture.h"

#define HANDLER  0x9000ull
#define INT_GATE 0x8eu /* P, DPL 0, 32- or 64-bit interrupt gate */
#define TRAP     0x8fu
#define INT16    0x86u
#define TRAP16   0x87u
#define TASK     0x85u
#define DPL3     0x60u
#define FLAGS    (RFLAGS_FIXED | RFLAGS_CF | RFLAGS_IF | RFLAGS_TF | RFLAGS_NT)

static const struct emu_event external = {.vector = 0x40, .type = EMU_EVENT_EXTERNAL};

static struct emu_event fault(u8 vector, u32 error)
{
    bool has_error = vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF);
    return (struct emu_event){.vector = vector,
                              .type = EMU_EVENT_HARD_EXCEPTION,
                              .has_error = has_error,
                              .error = error,
                              .payload = 0x1234567};
}

/* `n` items of `size` bytes on the stack at `at`, topmost first. */
static void expect_stack(const struct fixture *f, u64 at, unsigned size, const u64 *want,
                         unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        u64 got = fx_peek(f, at + k * size, size);
        if (got != want[k])
            print_error("stack item %u\n", k);
        assert_int_equal(got, want[k]);
    }
}
#define STACK(f, at, size, ...) \
    expect_stack(f, at, size, (const u64[]){__VA_ARGS__}, ARRAY_SIZE(((const u64[]){__VA_ARGS__})))

static void expect_at(const struct fixture *f, u16 cs, u64 rip, u64 rsp)
{
    assert_int_equal(f->s.seg[SEG_CS].selector, cs);
    assert_int_equal(f->s.rip, rip);
    assert_int_equal(f->s.gpr[RSP], rsp);
}

/* Every vector its own handler: HANDLER + vector. */
static void all_gates(struct fixture *f, u32 access)
{
    for (unsigned v = 0; v < 0x80; v++)
        fx_set_gate(f, v, FX_CS0, HANDLER + v, access, 0);
}

/* ---- real mode ------------------------------------------------------------------------------- */

static struct fixture *real(void)
{
    struct fixture *f = fx_new();
    for (unsigned v = 0; v < 256; v++)
        fx_poke(f, v * 4, 4, 0x0900u << 16 | v); /* 0900:v */
    fx_set_seg(f, SEG_SS, 0x100, 0x1000, 0xffff, FX_DATA16);
    fx_set_seg(f, SEG_CS, 0x123, 0x1230, 0xffff, FX_DATA16);
    f->s.rip = 0x4567;
    f->s.gpr[RSP] = 0xabcd1000;
    f->s.rflags = FLAGS | RFLAGS_AC;
    return f;
}

static void real_mode(void **)
{
    struct fixture *f = real();

    f->s.activity = ACTIVITY_HLT;
    f->s.interruptibility = BLOCKED_BY_STI;
    FX_DONE(fx_deliver(f, external));
    expect_at(f, 0x900, 0x40, 0xabcd0ffa); /* the upper half of ESP stays */
    assert_int_equal(f->s.seg[SEG_CS].base, 0x9000);
    STACK(f, 0x1ffa, 2, 0x4567, 0x123, (u16)FLAGS);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_CF | RFLAGS_NT);
    assert_int_equal(f->s.activity, ACTIVITY_ACTIVE);
    assert_int_equal(f->s.interruptibility, 0);
    /* No error code in real mode. */
    FX_DONE(fx_deliver(f, fault(VECTOR_GP, 0x5555)));
    expect_at(f, 0x900, VECTOR_GP, 0xabcd0ff4);
    STACK(f, 0x1ff4, 2, 0x40, 0x900);
    /* An NMI begins its blocking. */
    FX_DONE(fx_deliver(f, (struct emu_event){.vector = 2, .type = EMU_EVENT_NMI}));
    assert_int_equal(f->s.interruptibility, BLOCKED_BY_NMI);
    fx_free(f);
}

/* Software events return behind the instruction. */
static void real_software(void **)
{
    struct fixture *f = real();

    FX_DONE(
        fx_deliver(f, (struct emu_event){.vector = 0x10, .type = EMU_EVENT_SOFT_INT, .ilen = 2}));
    STACK(f, 0x1ffa, 2, 0x4569, 0x123);
    fx_free(f);
}

/* A short IVT: #GP, then #DF, then shutdown. */
static void real_limit(void **)
{
    static const struct {
        u32 limit;
        int vector; /* -1: triple fault */
    } rows[] = {{0x103, 0x40},
                {0x102, VECTOR_GP},
                {0x37, VECTOR_GP},
                {0x36, VECTOR_DF},
                {0x23, VECTOR_DF},
                {0x22, -1},
                {0, -1}};

    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = real();
        f->s.idtr.limit = rows[k].limit;
        enum emu_status st = fx_deliver(f, external);
        if (rows[k].vector >= 0) {
            assert_int_equal(st, EMU_DONE);
            expect_at(f, 0x900, (u64)rows[k].vector, 0xabcd0ffa);
        } else {
            assert_int_equal(st, EMU_TRIPLE_FAULT);
            assert_int_equal(f->s.activity, ACTIVITY_SHUTDOWN);
        }
        fx_free(f);
    }
}

/* SP wraps at 64 KiB between items; an item that straddles the end has no room: shutdown. */
static void real_stack(void **)
{
    struct fixture *f = real();

    f->s.gpr[RSP] = 2;
    FX_DONE(fx_deliver(f, external));
    assert_int_equal(f->s.gpr[RSP], 0xfffc);
    assert_int_equal(fx_peek(f, 0x1000, 2), (u16)FLAGS);
    assert_int_equal(fx_peek(f, 0x10ffe, 2), 0x123);
    assert_int_equal(fx_peek(f, 0x10ffc, 2), 0x4567);
    fx_free(f);

    f = real();
    f->s.gpr[RSP] = 1;
    assert_int_equal(fx_deliver(f, external), EMU_TRIPLE_FAULT);
    fx_free(f);
}

/* ---- 32-bit protected mode ------------------------------------------------------------------- */

static struct fixture *protected(unsigned cpl)
{
    struct fixture *f = fx_new_protected(cpl);
    all_gates(f, INT_GATE);
    f->s.rip = 0x8123;
    f->s.rflags = FLAGS;
    return f;
}

static void same_level(void **)
{
    struct fixture *f = protected(0);

    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER + 0x40, FX_STACK - 12);
    STACK(f, FX_STACK - 12, 4, 0x8123, FX_CS0, FLAGS);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_CF);
    /* A trap gate leaves IF; a fault pushes RF and an error code. */
    f->s.rflags = FLAGS;
    fx_set_gate(f, VECTOR_GP, FX_CS0, 0xdead4321, TRAP, 0);
    FX_DONE(fx_deliver(f, fault(VECTOR_GP, 0xabc)));
    expect_at(f, FX_CS0, 0xdead4321, FX_STACK - 28);
    STACK(f, FX_STACK - 28, 4, 0xabc, HANDLER + 0x40, FX_CS0, FLAGS | RFLAGS_RF);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_CF | RFLAGS_IF);
    fx_free(f);
}

static void gates_16bit(void **)
{
    struct fixture *f = protected(0);

    fx_set_gate(f, 0x40, FX_CS0, 0x12349876, INT16, 0);
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, 0x9876, FX_STACK - 6);
    STACK(f, FX_STACK - 6, 2, 0x8123, FX_CS0, (u16)FLAGS);
    fx_free(f);
}

static void inner_level(void **)
{
    struct fixture *f = protected(3);

    f->s.gpr[RSP] = 0xa00c;
    FX_DONE(fx_deliver(f, fault(VECTOR_PF, 6)));
    expect_at(f, FX_CS0, HANDLER + VECTOR_PF, FX_INNER - 24);
    STACK(f, FX_INNER - 24, 4, 6, 0x8123, FX_CS3, FLAGS | RFLAGS_RF, 0xa00c, FX_DS3);
    assert_int_equal(f->s.seg[SEG_SS].selector, FX_DS0);
    assert_int_equal(f->s.seg[SEG_SS].access, FX_DATA32);
    assert_int_equal(f->s.seg[SEG_DS].selector, FX_DS3); /* data segments stay */
    assert_int_equal(f->s.cr2, 0x1234567);
    fx_free(f);

    /* A conforming handler runs at the level of what it interrupts, on its stack. */
    f = protected(3);
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_CODE32 | 4));
    fx_set_gate(f, 0x40, FX_FREE, HANDLER, INT_GATE, 0);
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_FREE | 3, HANDLER, FX_USER - 12);
    fx_free(f);

    /* A 16-bit TSS and a 16-bit stack segment. */
    f = protected(3);
    fx_set_seg(f, SEG_TR, FX_TR, FX_TSS2, 0x2b, 0x83);
    fx_poke(f, FX_TSS2 + 2, 2, 0x6666);
    fx_poke(f, FX_TSS2 + 4, 2, FX_FREE);
    fx_set_desc(f, FX_FREE, fx_desc(0x10000, 0xffff, FX_DATA16));
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER + 0x40, 0x6666 - 20);
    STACK(f, 0x16666 - 20, 4, 0x8123, FX_CS3, FLAGS, FX_USER, FX_DS3);
    fx_free(f);
}

/* ---- what goes wrong on the way ---------------------------------------------------------------
 */

struct wrong {
    const char *what;
    void (*breaks)(struct fixture *f);
    u8 vector;
    u32 error; /* for an external event: EXT is set */
};

static void gate_absent(struct fixture *f)
{
    fx_set_gate(f, 0x40, FX_CS0, HANDLER, INT_GATE & ~0x80u, 0);
}
static void gate_type(struct fixture *f)
{
    fx_set_gate(f, 0x40, FX_CS0, HANDLER, 0x8c, 0); /* a call gate */
}
static void gate_null(struct fixture *f) { fx_set_gate(f, 0x40, 3, HANDLER, INT_GATE, 0); }
static void gate_outside(struct fixture *f) { fx_set_gate(f, 0x40, 0x1003, HANDLER, INT_GATE, 0); }
static void gate_data(struct fixture *f) { fx_set_gate(f, 0x40, FX_DS0, HANDLER, INT_GATE, 0); }
static void gate_code_absent(struct fixture *f)
{
    fx_set_gate(f, 0x40, FX_FREE, HANDLER, INT_GATE, 0);
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_CODE32 & ~0x80u));
}
static void gate_outer(struct fixture *f)
{
    fx_set_gate(f, 0x40, FX_FREE, HANDLER, INT_GATE, 0);
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_CODE32 | FX_DPL(3)));
}
static void gate_limit(struct fixture *f)
{
    fx_set_gate(f, 0x40, FX_FREE, HANDLER, INT_GATE, 0);
    fx_set_desc(f, FX_FREE, fx_desc(0, HANDLER - 1, FX_CODE32 & ~SEG_G));
}
static void idt_limit(struct fixture *f) { f->s.idtr.limit = 0x40 * 8 + 6; }

static void broken_gates(void **)
{
    static const struct wrong rows[] = {
        {"gate not present", gate_absent, VECTOR_NP, 0x40 * 8 + 3},
        {"gate of a wrong type", gate_type, VECTOR_GP, 0x40 * 8 + 3},
        {"beyond the limit", idt_limit, VECTOR_GP, 0x40 * 8 + 3},
        {"null selector", gate_null, VECTOR_GP, 1},
        {"selector outside", gate_outside, VECTOR_GP, 0x1001},
        {"data segment", gate_data, VECTOR_GP, FX_DS0 + 1},
        {"code not present", gate_code_absent, VECTOR_NP, FX_FREE + 1},
        {"outer level", gate_outer, VECTOR_GP, FX_FREE + 1},
        {"offset beyond limit", gate_limit, VECTOR_GP, 1},
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = protected(0);
        rows[k].breaks(f);
        FX_DONE(fx_deliver(f, external));
        if (f->s.rip != HANDLER + rows[k].vector)
            print_error("%s\n", rows[k].what);
        expect_at(f, FX_CS0, HANDLER + rows[k].vector, FX_STACK - 16);
        STACK(f, FX_STACK - 16, 4, rows[k].error, 0x8123, FX_CS0, FLAGS | RFLAGS_RF);
        fx_free(f);
    }
}

static void ss_null(struct fixture *f) { fx_poke(f, FX_TSS + 8, 2, 0); }
static void ss_outside(struct fixture *f) { fx_poke(f, FX_TSS + 8, 2, 0x1000); }
static void ss_rpl(struct fixture *f) { fx_poke(f, FX_TSS + 8, 2, FX_DS0 | 1); }
static void ss_dpl(struct fixture *f) { fx_poke(f, FX_TSS + 8, 2, FX_DS3 & ~3u); }
static void ss_code(struct fixture *f) { fx_poke(f, FX_TSS + 8, 2, FX_CS0); }
static void ss_absent(struct fixture *f)
{
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_DATA32 & ~0x80u));
    fx_poke(f, FX_TSS + 8, 2, FX_FREE);
}
static void ss_small(struct fixture *f)
{
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xfff, FX_DATA32 & ~SEG_G));
    fx_poke(f, FX_TSS + 8, 2, FX_FREE);
}
static void tss_small(struct fixture *f) { f->s.seg[SEG_TR].limit = 8; }

static void broken_stacks(void **)
{
    static const struct wrong rows[] = {
        {"null", ss_null, VECTOR_TS, 1},
        {"outside", ss_outside, VECTOR_TS, 0x1001},
        {"RPL", ss_rpl, VECTOR_TS, FX_DS0 + 1},
        {"DPL", ss_dpl, VECTOR_TS, (FX_DS3 & ~3u) + 1},
        {"code", ss_code, VECTOR_TS, FX_CS0 + 1},
        {"not present", ss_absent, VECTOR_SS, FX_FREE + 1},
        {"no room", ss_small, VECTOR_SS, FX_FREE + 1},
        {"TSS limit", tss_small, VECTOR_TS, FX_TR + 1},
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = protected(3);
        for (u8 v = VECTOR_TS; v <= VECTOR_SS; v++) /* these handlers need no other stack */
            fx_set_gate(f, v, FX_CS3, HANDLER + v, INT_GATE, 0);
        rows[k].breaks(f);
        FX_DONE(fx_deliver(f, external));
        if (f->s.rip != HANDLER + rows[k].vector)
            print_error("%s\n", rows[k].what);
        expect_at(f, FX_CS3, HANDLER + rows[k].vector, FX_USER - 16);
        STACK(f, FX_USER - 16, 4, rows[k].error, 0x8123, FX_CS3);
        fx_free(f);
    }
}

/* SDM vol. 3A, table 6-5: first (row) and second (column) exception; what is delivered. */
static void faults_within_faults(void **)
{
    enum { SECOND_CONTRIBUTORY, SECOND_PAGE };
    static const struct {
        u8 first;
        unsigned second;
        int delivered; /* -1: shutdown */
    } rows[] = {
        {0x40, SECOND_CONTRIBUTORY, VECTOR_NP},      {0x40, SECOND_PAGE, VECTOR_PF},
        {VECTOR_UD, SECOND_CONTRIBUTORY, VECTOR_NP}, {VECTOR_UD, SECOND_PAGE, VECTOR_PF},
        {VECTOR_DB, SECOND_CONTRIBUTORY, VECTOR_NP}, {VECTOR_AC, SECOND_CONTRIBUTORY, VECTOR_NP},
        {VECTOR_DE, SECOND_CONTRIBUTORY, VECTOR_DF}, {VECTOR_DE, SECOND_PAGE, VECTOR_PF},
        {VECTOR_TS, SECOND_CONTRIBUTORY, VECTOR_DF}, {VECTOR_SS, SECOND_CONTRIBUTORY, VECTOR_DF},
        {VECTOR_GP, SECOND_CONTRIBUTORY, VECTOR_DF}, {VECTOR_GP, SECOND_PAGE, VECTOR_PF},
        {VECTOR_PF, SECOND_CONTRIBUTORY, VECTOR_DF}, {VECTOR_PF, SECOND_PAGE, VECTOR_DF},
        {VECTOR_DF, SECOND_CONTRIBUTORY, -1},        {VECTOR_DF, SECOND_PAGE, -1},
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = fx_new_long(0);
        all_gates(f, INT_GATE);
        f->s.rip = 0x8123;
        if (rows[k].second == SECOND_PAGE) { /* IST 1 lies in a page that is not present */
            fx_poke(f, FX_TSS + 36, 8, 0xdead1000);
            fx_set_gate(f, rows[k].first, FX_CS0, HANDLER, INT_GATE, 1);
        } else {
            fx_set_gate(f, rows[k].first, FX_CS0, HANDLER, INT_GATE & ~0x80u, 0);
        }
        struct emu_event first = rows[k].first == 0x40 ? external : fault(rows[k].first, 0);
        enum emu_status st = fx_deliver(f, first);
        if (st != (rows[k].delivered < 0 ? EMU_TRIPLE_FAULT : EMU_DONE) ||
            (st == EMU_DONE && f->s.rip != HANDLER + (u64)rows[k].delivered))
            print_error("row %u: rip %llx\n", k, (unsigned long long)f->s.rip);
        if (rows[k].delivered < 0) {
            assert_int_equal(st, EMU_TRIPLE_FAULT);
        } else {
            assert_int_equal(st, EMU_DONE);
            assert_int_equal(f->s.rip, HANDLER + (u64)rows[k].delivered);
        }
        if (rows[k].delivered == VECTOR_DF) /* its error code is zero */
            assert_int_equal(fx_peek(f, f->s.gpr[RSP], 8), 0);
        if (rows[k].delivered == VECTOR_PF) { /* CR2 is the new one's */
            assert_int_equal(f->s.cr2, 0xdead0ff8);
            assert_int_equal(fx_peek(f, f->s.gpr[RSP], 8), 2);
        }
        fx_free(f);
    }
}

/* #DB says why in DR6 and ends DR7.GD. */
static void debug_exception(void **)
{
    struct fixture *f = protected(0);

    f->s.dr6 = 0xffff4ff3; /* BS stays, B0 and B1 go */
    f->s.dr7 = 0x2400;
    struct emu_event db = fault(VECTOR_DB, 0);
    db.payload = 0x2004;
    FX_DONE(fx_deliver(f, db));
    assert_int_equal(f->s.dr6, 0xffff6ff4);
    assert_int_equal(f->s.dr7, 0x400);
    STACK(f, FX_STACK - 12, 4, 0x8123, FX_CS0, FLAGS); /* RF as it was */
    fx_free(f);
}

/* ---- 64-bit mode ------------------------------------------------------------------------------
 */

static struct fixture *longmode(unsigned cpl)
{
    struct fixture *f = fx_new_long(cpl);
    all_gates(f, INT_GATE);
    f->s.rip = 0x8123;
    f->s.rflags = FLAGS;
    return f;
}

static void long_same_level(void **)
{
    struct fixture *f = longmode(0);

    f->s.gpr[RSP] = 0x600b; /* aligned down to 16, and SS:RSP always pushed */
    fx_set_gate(f, VECTOR_GP, FX_CS0, 0xffff800012345678, TRAP, 0);
    FX_DONE(fx_deliver(f, fault(VECTOR_GP, 0x18)));
    expect_at(f, FX_CS0, 0xffff800012345678, 0x6000 - 48);
    STACK(f, 0x6000 - 48, 8, 0x18, 0x8123, FX_CS0, FLAGS | RFLAGS_RF, 0x600b, FX_DS0);
    assert_int_equal(f->s.seg[SEG_SS].selector, FX_DS0);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_CF | RFLAGS_IF);
    fx_free(f);

    f = longmode(0); /* an IST stack at the same level: SS stays as it is */
    fx_set_gate(f, 0x40, FX_CS0, HANDLER, INT_GATE, 1);
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER, FX_IST - 40);
    STACK(f, FX_IST - 40, 8, 0x8123, FX_CS0, FLAGS, FX_STACK, FX_DS0);
    assert_int_equal(f->s.seg[SEG_SS].selector, FX_DS0);
    fx_free(f);
}

static void long_inner_level(void **)
{
    struct fixture *f = longmode(3);

    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER + 0x40, FX_INNER - 40);
    STACK(f, FX_INNER - 40, 8, 0x8123, FX_CS3, FLAGS, FX_USER, FX_DS3);
    assert_int_equal(f->s.seg[SEG_SS].selector, 0); /* null, with the new level */
    assert_true(f->s.seg[SEG_SS].access & SEG_UNUSABLE);
    assert_int_equal(f->s.seg[SEG_SS].access >> 5 & 3, 0);
    fx_free(f);

    f = longmode(3); /* from compatibility mode */
    fx_level(f, 3, FX_CODE32);
    f->s.gpr[RSP] = FX_USER;
    fx_set_gate(f, 0x40, FX_CS0, HANDLER, INT_GATE, 1);
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER, FX_IST - 40);
    assert_int_equal(f->s.seg[SEG_CS].access & SEG_L, SEG_L);
    fx_free(f);

    f = longmode(3); /* the supervisor's stack is not the user's to write, nor must it be */
    fx_map(f, FX_INNER - 0x1000, FX_INNER - 0x1000, 0x63);
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER + 0x40, FX_INNER - 40);
    fx_free(f);
}

static void code_32bit(struct fixture *f)
{
    fx_set_gate(f, 0x40, FX_FREE, HANDLER, INT_GATE, 0);
    fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, FX_CODE32));
}
static void offset_noncanonical(struct fixture *f)
{
    fx_set_gate(f, 0x40, FX_CS0, 0x800000000000, INT_GATE, 0);
}
static void gate_16bit(struct fixture *f) { fx_set_gate(f, 0x40, FX_CS0, HANDLER, INT16, 0); }
static void gate_task(struct fixture *f) { fx_set_gate(f, 0x40, FX_TR2, 0, TASK, 0); }
static void ist_noncanonical(struct fixture *f)
{
    fx_poke(f, FX_TSS + 36, 8, 0x800000000010);
    fx_set_gate(f, 0x40, FX_CS0, HANDLER, INT_GATE, 1);
}
static void ist_outside(struct fixture *f)
{
    f->s.seg[SEG_TR].limit = 0x2a;
    fx_set_gate(f, 0x40, FX_CS0, HANDLER, INT_GATE, 1);
}

static void long_broken(void **)
{
    static const struct wrong rows[] = {
        {"32-bit code", code_32bit, VECTOR_GP, FX_FREE + 1},
        {"offset not canonical", offset_noncanonical, VECTOR_GP, 1},
        {"16-bit gate", gate_16bit, VECTOR_GP, 0x40 * 8 + 3},
        {"task gate", gate_task, VECTOR_GP, 0x40 * 8 + 3},
        {"IST not canonical", ist_noncanonical, VECTOR_SS, 1},
        {"IST outside TSS", ist_outside, VECTOR_TS, FX_TR + 1},
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = longmode(0);
        rows[k].breaks(f);
        FX_DONE(fx_deliver(f, external));
        if (f->s.rip != HANDLER + rows[k].vector)
            print_error("%s\n", rows[k].what);
        expect_at(f, FX_CS0, HANDLER + rows[k].vector, FX_STACK - 48);
        STACK(f, FX_STACK - 48, 8, rows[k].error, 0x8123, FX_CS0);
        fx_free(f);
    }
}

/* ---- virtual-8086 mode ------------------------------------------------------------------------
 */

static struct fixture *vm86(unsigned iopl)
{
    struct fixture *f = fx_new_vm86(iopl);
    all_gates(f, INT_GATE);
    for (unsigned k = 0; k <= SEG_GS; k++)
        fx_set_seg(f, (enum seg)k, (u16)(0x800 + k), (0x800 + k) * 16, 0xffff, 0xf3);
    f->s.rip = 0x123;
    f->s.gpr[RSP] = 0x1000;
    f->s.rflags |= RFLAGS_IF | RFLAGS_TF;
    return f;
}

static void from_vm86(void **)
{
    struct fixture *f = vm86(0);
    u64 flags = f->s.rflags;

    FX_DONE(fx_deliver(f, fault(VECTOR_GP, 0)));
    expect_at(f, FX_CS0, HANDLER + VECTOR_GP, FX_INNER - 40);
    STACK(f, FX_INNER - 40, 4, 0, 0x123, 0x801, flags | RFLAGS_RF, 0x1000, 0x802, 0x800, 0x803,
          0x804, 0x805);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED);
    for (unsigned k = 0; k <= SEG_GS; k++) {
        bool null = k != SEG_CS && k != SEG_SS;
        assert_int_equal((f->s.seg[k].access & SEG_UNUSABLE) != 0, null);
        if (null)
            assert_int_equal(f->s.seg[k].selector, 0);
    }
    fx_free(f);

    f = vm86(3); /* a handler at level 3 or a conforming one is refused: #GP(selector + EXT) */
    fx_set_gate(f, 0x40, FX_CS3, HANDLER, INT_GATE, 0);
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER + VECTOR_GP, FX_INNER - 40);
    assert_int_equal(fx_peek(f, f->s.gpr[RSP], 4), (FX_CS3 & ~3u) + 1);
    fx_free(f);
}

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
    struct fixture *f = vme(3, true); /* method 5 */
    FX_DONE(FX_RUN(f, 0xcd, 0x21));
    expect_at(f, 0x8a0, 0x55, 0x1000 - 6);
    assert_true(f->s.rflags & RFLAGS_VM);
    assert_false(f->s.rflags & RFLAGS_IF);
    STACK(f, 0x8020 + 0x1000 - 6, 2, 0x125, 0x801, 0x3202);
    fx_free(f);

    f = vme(0, true); /* method 6: VIF for IF, and IOPL shown as 3 */
    f->s.rflags |= RFLAGS_VIF;
    FX_DONE(FX_RUN(f, 0xcd, 0x21));
    expect_at(f, 0x8a0, 0x55, 0x1000 - 6);
    assert_false(f->s.rflags & RFLAGS_VIF);
    assert_true(f->s.rflags & RFLAGS_IF);
    STACK(f, 0x8020 + 0x1000 - 6, 2, 0x125, 0x801, 0x3202);
    fx_free(f);

    f = vme(0, true);
    FX_DONE(FX_RUN(f, 0xcd, 0x21));
    STACK(f, 0x8020 + 0x1000 - 6, 2, 0x125, 0x801, 0x3002);
    fx_free(f);

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

/* ---- tasks ---------------------------------------------------------------------------------- */

/* A second task at level 3 in the 32-bit TSS FX_TSS2 (offsets of SDM vol. 3A, figure 7-2). */
static struct fixture *tasks(void)
{
    struct fixture *f = protected(0);
    static const u32 regs[8] = {0xa0, 0xa1, 0xa2, 0xa3, FX_USER - 0x100, 0xa5, 0xa6, 0xa7};
    static const u16 segs[6] = {FX_DS3, FX_CS3, FX_DS3, FX_DS3, 0, FX_DS3};

    f->s.rflags = RFLAGS_FIXED | RFLAGS_CF;
    fx_poke(f, FX_TSS2 + 0x20, 4, 0x8500);
    fx_poke(f, FX_TSS2 + 0x24, 4, RFLAGS_FIXED | RFLAGS_ZF);
    for (unsigned k = 0; k < 8; k++) {
        fx_poke(f, FX_TSS2 + 0x28 + 4 * k, 4, regs[k]);
        f->s.gpr[k] = k == RSP ? FX_STACK : 0xb0 + k;
    }
    for (unsigned k = 0; k < 6; k++)
        fx_poke(f, FX_TSS2 + 0x48 + 4 * k, 2, segs[k]);
    fx_poke(f, FX_TSS2 + 4, 4, FX_INNER);
    fx_poke(f, FX_TSS2 + 8, 4, FX_DS0);
    fx_poke(f, FX_TSS2 + 0x60, 2, FX_LDTR);
    memset(f->ram + FX_TSS + 0x48, 0xcc, 24); /* the reserved halves must stay */
    return f;
}

static void expect_second_task(const struct fixture *f)
{
    expect_at(f, FX_CS3, 0x8500, FX_USER - 0x100);
    assert_int_equal(f->s.gpr[RAX], 0xa0);
    assert_int_equal(f->s.gpr[RDI], 0xa7);
    assert_int_equal(f->s.seg[SEG_TR].selector, FX_TR2);
    assert_int_equal(f->s.seg[SEG_TR].base, FX_TSS2);
    assert_int_equal(f->s.seg[SEG_TR].access & 0xf, 0xb);
    assert_int_equal(f->s.seg[SEG_SS].selector, FX_DS3);
    assert_true(f->s.seg[SEG_FS].access & SEG_UNUSABLE);
    assert_int_equal(f->s.seg[SEG_LDTR].base, FX_LDT);
    assert_true(f->s.cr0 & CR0_TS);
    assert_int_equal(fx_get_desc(f, FX_TR2) >> 40 & 0xff, 0x8b);
}

static unsigned busy(const struct fixture *f, u16 tr) { return fx_get_desc(f, tr) >> 41 & 1; }

static void task_jump(void **)
{
    struct fixture *f = tasks();

    f->s.dr7 = 0x7ff;
    FX_DONE(FX_RUN(f, 0xea, 0, 0, 0, 0, FX_TR2, 0));
    expect_second_task(f);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_ZF);
    assert_int_equal(f->s.dr7, 0x6aa); /* local breakpoints end with the task */
    assert_int_equal(busy(f, FX_TR), 0);
    assert_int_equal(fx_peek(f, FX_TSS2, 2), 0); /* no link */
    assert_int_equal(fx_peek(f, FX_TSS + 0x20, 4), 0x8123 + 7);
    assert_int_equal(fx_peek(f, FX_TSS + 0x24, 4), RFLAGS_FIXED | RFLAGS_CF);
    assert_int_equal(fx_peek(f, FX_TSS + 0x28, 4), 0xb0);
    assert_int_equal(fx_peek(f, FX_TSS + 0x38, 4), FX_STACK);
    assert_int_equal(fx_peek(f, FX_TSS + 0x4c, 4), 0xcccc0000 | FX_CS0);
    fx_free(f);
}

static void task_call_and_return(void **)
{
    struct fixture *f = tasks();

    fx_set_desc(f, FX_FREE, fx_gate(FX_TR2, 0, TASK, 0));
    FX_DONE(FX_RUN(f, 0x9a, 0, 0, 0, 0, FX_FREE, 0));
    expect_second_task(f);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_ZF | RFLAGS_NT);
    assert_int_equal(busy(f, FX_TR), 1);
    assert_int_equal(fx_peek(f, FX_TSS2, 2), FX_TR);
    f->s.gpr[RSP] -= 8;
    FX_DONE(FX_RUN(f, 0xcf));
    expect_at(f, FX_CS0, 0x8123 + 7, FX_STACK);
    assert_int_equal(f->s.seg[SEG_TR].selector, FX_TR);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_CF);
    assert_int_equal(busy(f, FX_TR), 1);
    assert_int_equal(busy(f, FX_TR2), 0);
    assert_int_equal(fx_peek(f, FX_TSS2 + 0x24, 4), RFLAGS_FIXED | RFLAGS_ZF); /* NT is off */
    assert_int_equal(fx_peek(f, FX_TSS2 + 0x20, 4), 0x8501);
    assert_int_equal(fx_peek(f, FX_TSS2 + 0x38, 4), FX_USER - 0x108);
    fx_free(f);
}

/* An exception through a task gate: its error code is on the new task's stack. */
static void task_exception(void **)
{
    struct fixture *f = tasks();

    fx_set_gate(f, VECTOR_DF, FX_TR2, 0, TASK, 0);
    FX_DONE(fx_deliver(f, fault(VECTOR_DF, 0)));
    expect_at(f, FX_CS3, 0x8500, FX_USER - 0x104);
    assert_int_equal(fx_peek(f, FX_USER - 0x104, 4), 0);
    assert_int_equal(fx_peek(f, FX_TSS + 0x20, 4), 0x8123);
    assert_int_equal(fx_peek(f, FX_TSS + 0x24, 4), RFLAGS_FIXED | RFLAGS_CF | RFLAGS_RF);
    fx_free(f);
}

/* SDM vol. 3A, table 7-1: what is refused in the old task. */
static void task_refused(void **)
{
    static const struct {
        u64 desc;
        u16 selector;
        u8 vector;
        u32 error;
    } rows[] = {
        {0x00008b0044000067, FX_TR2, VECTOR_GP, FX_TR2}, /* busy */
        {0x0000090044000067, FX_TR2, VECTOR_NP, FX_TR2}, /* not present */
        {0x0000890044000066, FX_TR2, VECTOR_TS, FX_TR2}, /* too small */
        {0x000081004400002a, FX_TR2, VECTOR_TS, FX_TR2}, /* too small for 16 bits */
        {0x0000820044000067, FX_TR2, VECTOR_GP, FX_TR2}, /* an LDT */
        {0, FX_TR2 | 4, VECTOR_GP, FX_TR2 | 4},          /* in the LDT */
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = tasks();
        fx_set_desc(f, FX_TR2 | 4, fx_get_desc(f, FX_TR2));
        if (rows[k].desc != 0)
            fx_set_desc(f, FX_TR2, rows[k].desc);
        FX_FAULT(FX_RUN(f, 0xea, 0, 0, 0, 0, (u8)rows[k].selector, 0), rows[k].vector,
                 rows[k].error);
        assert_int_equal(f->s.seg[SEG_TR].selector, FX_TR);
        assert_int_equal(busy(f, FX_TR), 1);
        fx_free(f);
    }
}

/* What is found wrong after the switch is delivered in the new task. */
static void task_new_fault(void **)
{
    static const struct {
        unsigned at;
        u16 value;
        u8 vector;
        u32 error;
    } rows[] = {
        {0x4c, FX_DS3, VECTOR_TS, FX_DS3 & ~3u},
        {0x4c, 3, VECTOR_TS, 0},
        {0x50, FX_CS3, VECTOR_TS, FX_CS3 & ~3u},
        {0x50, 0, VECTOR_TS, 0},
        {0x50, FX_DS3 & ~3u, VECTOR_TS, FX_DS3 & ~3u},
        {0x50, FX_FREE | 3, VECTOR_SS, FX_FREE},
        {0x54, FX_FREE | 3, VECTOR_NP, FX_FREE},
        {0x54, FX_DS0, VECTOR_TS, FX_DS0},
        {0x60, FX_DS0, VECTOR_TS, FX_DS0},
        {0x5c, 0x1003, VECTOR_TS, 0x1000},
    };
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        struct fixture *f = tasks();
        fx_set_desc(f, FX_FREE, fx_desc(0, 0xffffffff, (FX_DATA32 & ~0x80u) | FX_DPL(3)));
        fx_poke(f, FX_TSS2 + rows[k].at, 2, rows[k].value);
        enum emu_status st = FX_RUN(f, 0xea, 0, 0, 0, 0, FX_TR2, 0);
        assert_int_equal(st, EMU_DONE);
        if (f->s.rip != HANDLER + rows[k].vector)
            print_error("row %u: rip %llx\n", k, (unsigned long long)f->s.rip);
        assert_int_equal(f->s.rip, HANDLER + rows[k].vector);
        assert_int_equal(f->s.seg[SEG_TR].selector, FX_TR2);
        assert_int_equal(fx_peek(f, f->s.gpr[RSP], 4), rows[k].error);
        assert_int_equal(fx_peek(f, f->s.gpr[RSP] + 4, 4), 0x8500);
        fx_free(f);
    }
}

static void task_trap(void **)
{
    struct fixture *f = tasks();

    fx_poke(f, FX_TSS2 + 0x64, 2, 1);
    FX_DONE(FX_RUN(f, 0xea, 0, 0, 0, 0, FX_TR2, 0));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_int_equal(f->e.event.payload, 0x8000);
    fx_free(f);
}

static void task_16bit(void **)
{
    struct fixture *f = protected(0);
    /* SDM vol. 3A, figure 7-10, from offset 14: IP, FLAGS, AX … DI, ES, CS, SS, DS, LDT */
    static const u16 image[] = {0x8600, 0x0006, 1,      2,      3,      4,      0x5f00, 6,
                                7,      8,      FX_DS0, FX_CS0, FX_DS0, FX_DS0, 0};

    memcpy(f->ram + FX_TSS2 + 14, image, sizeof(image));
    fx_set_desc(f, FX_TR2, fx_desc(FX_TSS2, 0x2b, 0x81));
    f->s.rflags = RFLAGS_FIXED;
    FX_DONE(FX_RUN(f, 0xea, 0, 0, 0, 0, FX_TR2, 0));
    assert_int_equal(f->s.rip, 0x8600);
    assert_int_equal(f->s.rflags, 0x6);
    assert_int_equal(f->s.gpr[RAX] & 0xffff, 1);
    assert_int_equal(f->s.gpr[RSP] & 0xffff, 0x5f00);
    assert_int_equal(f->s.gpr[RDI] & 0xffff, 8);
    assert_int_equal(f->s.seg[SEG_TR].access & 0xf, 3);
    assert_true(f->s.seg[SEG_FS].access & SEG_UNUSABLE);
    assert_true(f->s.seg[SEG_LDTR].access & SEG_UNUSABLE);
    assert_int_equal(fx_get_desc(f, FX_TR2) >> 40 & 0xff, 0x83);
    fx_free(f);
}

static void task_vm86(void **)
{
    struct fixture *f = tasks();

    fx_poke(f, FX_TSS2 + 0x24, 4, RFLAGS_FIXED | RFLAGS_VM);
    FX_DONE(FX_RUN(f, 0xea, 0, 0, 0, 0, FX_TR2, 0));
    assert_int_equal(f->s.seg[SEG_CS].base, FX_CS3 * 16);
    assert_int_equal(f->s.seg[SEG_CS].access, 0xf3);
    assert_int_equal(f->s.seg[SEG_DS].limit, 0xffff);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_mode),
        cmocka_unit_test(real_software),
        cmocka_unit_test(real_limit),
        cmocka_unit_test(real_stack),
        cmocka_unit_test(same_level),
        cmocka_unit_test(gates_16bit),
        cmocka_unit_test(inner_level),
        cmocka_unit_test(broken_gates),
        cmocka_unit_test(broken_stacks),
        cmocka_unit_test(faults_within_faults),
        cmocka_unit_test(debug_exception),
        cmocka_unit_test(long_same_level),
        cmocka_unit_test(long_inner_level),
        cmocka_unit_test(long_broken),
        cmocka_unit_test(from_vm86),
        cmocka_unit_test(int_real),
        cmocka_unit_test(int_protected),
        cmocka_unit_test(int_vm86),
        cmocka_unit_test(int_vme),
        cmocka_unit_test(iret_real),
        cmocka_unit_test(iret_same_level),
        cmocka_unit_test(iret_outer),
        cmocka_unit_test(iret_refused),
        cmocka_unit_test(iret_vm86),
        cmocka_unit_test(iret_long),
        cmocka_unit_test(task_jump),
        cmocka_unit_test(task_call_and_return),
        cmocka_unit_test(task_exception),
        cmocka_unit_test(task_refused),
        cmocka_unit_test(task_new_fault),
        cmocka_unit_test(task_trap),
        cmocka_unit_test(task_16bit),
        cmocka_unit_test(task_vm86),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
