/* SPDX-License-Identifier: MIT
 *
 * Delivery of events in every mode against SDM vol. 3A, chapter 6: what is on the stack, which
 * error codes come of broken gates and stacks, double and triple faults.
 */
#include "emu_event.h"

static struct fixture *longmode(unsigned cpl) { return with_gates(fx_new_long(cpl)); }

static const struct emu_event external = {.vector = 0x40, .type = EMU_EVENT_EXTERNAL};

/* ---- real mode ------------------------------------------------------------------------------- */

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

/* Each breaks an external event in code of selector `cs`, where the handler of what comes instead
 * runs, too. */
static void try_wrong(const struct wrong *rows, unsigned n, struct fixture *(*make)(unsigned cpl),
                      u16 cs, unsigned size)
{
    for (unsigned k = 0; k < n; k++) {
        struct fixture *f = make(cs & 3);
        u64 stack = f->s.gpr[RSP] - (size == 8 ? 48 : 16);
        rows[k].breaks(f);
        FX_DONE(fx_deliver(f, external));
        if (f->s.rip != HANDLER + rows[k].vector)
            print_error("%s\n", rows[k].what);
        expect_at(f, cs, HANDLER + rows[k].vector, stack);
        STACK(f, stack, size, rows[k].error, 0x8123, cs, FLAGS | RFLAGS_RF);
        fx_free(f);
    }
}

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
    try_wrong(rows, ARRAY_SIZE(rows), protected, FX_CS0, 4);
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

/* The handlers of what comes of it need no other stack. */
static struct fixture *outer_handlers(unsigned cpl)
{
    struct fixture *f = protected(cpl);
    for (u8 v = VECTOR_TS; v <= VECTOR_SS; v++)
        fx_set_gate(f, v, FX_CS3, HANDLER + v, INT_GATE, 0);
    return f;
}

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
    try_wrong(rows, ARRAY_SIZE(rows), outer_handlers, FX_CS3, 4);
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
        struct fixture *f = longmode(0);
        if (rows[k].second == SECOND_PAGE) { /* IST 1 lies in a page that is not present */
            fx_poke(f, FX_TSS + 36, 8, 0xdead1000);
            fx_set_gate(f, rows[k].first, FX_CS0, HANDLER, INT_GATE, 1);
        } else {
            fx_set_gate(f, rows[k].first, FX_CS0, HANDLER, INT_GATE & ~0x80u, 0);
        }
        struct emu_event first = rows[k].first == 0x40 ? external : fault(rows[k].first, 0);
        enum emu_status st = fx_deliver(f, first);
        bool shutdown = rows[k].delivered < 0;
        if (shutdown != (st == EMU_TRIPLE_FAULT) ||
            (!shutdown && f->s.rip != HANDLER + (u64)rows[k].delivered))
            print_error("row %u: rip %llx\n", k, (unsigned long long)f->s.rip);
        assert_int_equal(st, shutdown ? EMU_TRIPLE_FAULT : EMU_DONE);
        if (!shutdown)
            assert_int_equal(f->s.rip, HANDLER + (u64)rows[k].delivered);
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
    try_wrong(rows, ARRAY_SIZE(rows), longmode, FX_CS0, 8);
}

/* ---- virtual-8086 mode ------------------------------------------------------------------------
 */
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

/* A gate that reaches past the canonical addresses is as one past the limit. */
static void long_table_end(void **)
{
    struct fixture *f = longmode(0);

    f->s.idtr.base = 0x800000000000 - 8 - 0x40 * 16; /* #GP's gate is in the same page */
    fx_map(f, f->s.idtr.base, FX_IDT, 0x67);
    u64 gate = f->s.idtr.base + VECTOR_GP * 16;
    fx_poke(f, FX_IDT + (gate & 0xfff), 8, fx_gate(FX_CS0, HANDLER, INT_GATE, 0));
    fx_poke(f, FX_IDT + (gate & 0xfff) + 8, 8, 0);
    FX_DONE(fx_deliver(f, external));
    assert_int_equal(f->s.rip, HANDLER);
    assert_int_equal(fx_peek(f, f->s.gpr[RSP], 8), 0x40 * 8 + 3);
    fx_free(f);
}

static u64 contended, changes;

/* Another CPU changes this entry whenever its D bit is to be set. */
static void *contended_ram(void *ctx, gpa_t gpa, enum emu_access access)
{
    struct fixture *f = ctx;

    if ((access & EMU_WRITE) && gpa.v == contended && changes != 0) {
        changes--;
        fx_poke(f, gpa.v, 8, fx_peek(f, gpa.v, 8) ^ BIT(9));
    }
    return fx_ram(ctx, gpa, access);
}

/* However often another CPU gets in between, an event arrives, and only once. */
static void long_contended(void **)
{
    struct fixture *f = longmode(0);
    struct emu_ops ops = fx_ops;

    ops.ram = contended_ram;
    f->e.ops = &ops;
    f->s.gpr[RSP] = 0xa800;
    contended = fx_map(f, 0xa000, 0xa000, 0x27);
    changes = 1001;
    FX_DONE(fx_deliver(f, external));
    expect_at(f, FX_CS0, HANDLER + 0x40, 0xa800 - 40);
    assert_int_equal(changes, 0);
    assert_int_equal(fx_peek(f, contended, 8), 0xa000 | 0x67 | BIT(9));
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_mode),        cmocka_unit_test(real_software),
        cmocka_unit_test(real_limit),       cmocka_unit_test(real_stack),
        cmocka_unit_test(same_level),       cmocka_unit_test(gates_16bit),
        cmocka_unit_test(inner_level),      cmocka_unit_test(broken_gates),
        cmocka_unit_test(broken_stacks),    cmocka_unit_test(faults_within_faults),
        cmocka_unit_test(debug_exception),  cmocka_unit_test(long_same_level),
        cmocka_unit_test(long_inner_level), cmocka_unit_test(long_broken),
        cmocka_unit_test(long_table_end),   cmocka_unit_test(long_contended),
        cmocka_unit_test(from_vm86),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
