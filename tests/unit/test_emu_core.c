/* SPDX-License-Identifier: MIT
 *
 * What the native oracle cannot see of an instruction's way: retirement (traps, shadows, RF), fetch
 * and its cache, runs of many, real and virtual-8086 mode, level 0.  Expectations are the SDM's,
 * vol. 2 unless said otherwise.
 */
#include "emu_fixture.h"

#define STATUS_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* ---- retirement: SDM vol. 3A, 6.8.3 and vol. 3B, 17.3.1 -------------------------------------- */

static void single_step(void **)
{
    struct fixture *f = fx_new_long(0);

    f->s.rflags |= RFLAGS_TF | RFLAGS_RF;
    FX_DONE(FX_RUN(f, 0x90));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_int_equal(f->e.event.payload, BIT(14));
    assert_int_equal(f->s.rflags & RFLAGS_RF, 0);
    assert_int_equal(f->s.rip, FX_CODE + 1);

    /* POPF that sets TF does not trap itself; one that clears it does. */
    f->s.rflags = RFLAGS_FIXED;
    fx_poke(f, FX_STACK, 8, RFLAGS_TF);
    FX_DONE(FX_RUN(f, 0x9d));
    assert_int_equal(f->e.event.vector, VECTOR_NONE);
    assert_true(f->s.rflags & RFLAGS_TF);
    fx_poke(f, FX_STACK + 8, 8, 0);
    FX_DONE(FX_RUN(f, 0x9d));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_false(f->s.rflags & RFLAGS_TF);

    /* A faulting instruction does not trap and keeps RF. */
    f->s.rflags |= RFLAGS_TF | RFLAGS_RF;
    FX_FAULT(FX_RUN(f, 0x0f, 0x0b), VECTOR_UD, ~0u);
    assert_true(f->s.rflags & RFLAGS_RF);
    fx_free(f);
}

static void shadows(void **)
{
    struct fixture *f = fx_new();

    FX_DONE(FX_RUN(f, 0xfb)); /* sti */
    assert_int_equal(f->s.interruptibility, BLOCKED_BY_STI);
    FX_DONE(FX_RUN(f, 0xfb)); /* IF was set: no new shadow */
    assert_int_equal(f->s.interruptibility, 0);
    f->s.rflags |= RFLAGS_TF;
    FX_DONE(FX_RUN(f, 0x8e, 0xd0)); /* mov ss, ax: the trap waits, too */
    assert_int_equal(f->s.interruptibility, BLOCKED_BY_MOV_SS);
    assert_int_equal(f->e.event.vector, VECTOR_NONE);
    FX_DONE(FX_RUN(f, 0x90));
    assert_int_equal(f->s.interruptibility, 0);
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    fx_free(f);
}

static void skip_and_retire(void **)
{
    struct fixture *f = fx_new();

    memcpy(f->ram + FX_CODE, (const u8[]){0x26, 0xa1, 0x34, 0x12}, 4);
    f->s.interruptibility = BLOCKED_BY_STI;
    f->s.rflags |= RFLAGS_RF;
    FX_DONE(emu_skip(&f->e));
    assert_int_equal(f->s.rip, FX_CODE + 4);
    assert_int_equal(f->s.interruptibility, 0);
    assert_int_equal(f->s.rflags & RFLAGS_RF, 0);
    assert_int_equal(f->e.record.code->length, 4);
    assert_int_equal(f->e.record.rip, FX_CODE);
    f->s.rflags |= RFLAGS_TF;
    emu_retire(&f->e, 2);
    assert_int_equal(f->s.rip, FX_CODE + 6);
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    fx_free(f);
}

/* KVM's EMULTYPE_TRAP_UD_FORCED and VMWARE_GP: what is at CS:RIP? */
static void forced_prefix(void **)
{
    struct fixture *f = fx_new_long(3);
    static const u8 code[] = {0x0f, 0x0b, 'k', 'v', 'm', 0x48, 0xff, 0xc0, 0x0f, 0x0b, 'k', 'v'};

    memcpy(f->ram + 0x8ffe, code, sizeof(code)); /* over a page border */
    f->s.rip = 0x8ffe;
    assert_true(emu_take_forced(&f->e));
    assert_int_equal(f->s.rip, 0x9003);
    assert_false(emu_take_forced(&f->e));
    f->s.rip = 0x9006;
    assert_false(emu_take_forced(&f->e)); /* cut short */
    f->s.rip = 0x8ffe;
    fx_unmap(f, 0x9000);
    assert_false(emu_take_forced(&f->e)); /* the #UD stands: nothing was executed */
    assert_int_equal(f->s.rip, 0x8ffe);
    fx_free(f);

    f = fx_new();
    memcpy(f->ram + FX_CODE, code, sizeof(code));
    f->s.seg[SEG_CS].limit = FX_CODE + 3;
    assert_false(emu_take_forced(&f->e));
    f->s.seg[SEG_CS].limit = 0xffff;
    assert_true(emu_take_forced(&f->e));
    static const u8 yes[][3] = {{0xec}, {0xe7, 0x10}, {0xf3, 0x66, 0x6d}, {0xf3, 0x6e}};
    for (unsigned n = 0; n < ARRAY_SIZE(yes); n++) {
        memcpy(f->ram + FX_CODE, yes[n], 3);
        f->s.rip = FX_CODE;
        assert_true(emu_at_port_access(&f->e));
        assert_int_equal(f->s.rip, FX_CODE);
    }
    memcpy(f->ram + FX_CODE, (const u8[]){0xf4}, 1);
    assert_false(emu_at_port_access(&f->e));
    f->s.rip = 0x10000; /* beyond CS */
    assert_false(emu_at_port_access(&f->e));
    fx_free(f);
}

/* ---- fetch ------------------------------------------------------------------------------------
 */

static void fetch_faults(void **)
{
    struct fixture *f = fx_new_long(3);
    static const u8 mov[] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8};

    fx_unmap(f, 0x9000);
    f->s.rip = 0x8ffb; /* five bytes here, five on a page that is absent */
    memcpy(f->ram + 0x8ffb, mov, 5);
    fx_hide(f);
    FX_FAULT(emu_step(&f->e), VECTOR_PF, 0x14);
    assert_int_equal(f->e.event.payload, 0x9000);
    f->s.rip = 0x8fff; /* one byte suffices */
    FX_DONE(FX_RUN(f, 0x90));

    fx_map(f, 0x9000, 0x20000, 0x67); /* not the next page of RAM */
    f->s.rip = 0x8ffb;
    memcpy(f->ram + 0x20000, mov + 5, 5);
    memcpy(f->ram + 0x8ffb, mov, 5);
    fx_hide(f);
    FX_DONE(emu_step(&f->e));
    assert_int_equal(f->s.gpr[RAX], 0x0807060504030201);
    assert_int_equal(f->e.record.code->length, 10);
    assert_memory_equal(f->e.record.code->bytes, mov, 10);
    fx_free(f);

    f = fx_new();
    u8 long_nop[16];
    memset(long_nop, 0x2e, sizeof(long_nop)); /* 15 bytes are the most */
    long_nop[14] = long_nop[15] = 0x90;
    FX_DONE(fx_run(f, long_nop, sizeof(long_nop)));
    long_nop[14] = 0x2e;
    FX_FAULT(fx_run(f, long_nop, sizeof(long_nop)), VECTOR_GP, 0);
    f->s.rip = 0xffff; /* the segment ends: #GP, no wrap to 0 */
    FX_FAULT(FX_RUN(f, 0xb0, 0x12), VECTOR_GP, 0);
    fx_free(f);
}

/* #UD comes when this many bytes are there, else the fault of the next one. */
static void undefined_lengths(void **)
{
    static const struct {
        u8 bytes[12], length;
    } cases[] = {
        {{0x0f, 0x39, 0x00, 0xc0}, 4}, /* a third map, as 0F 38 */
        {{0x0f, 0x3b, 0x00, 0xc0}, 5}, /* ... as 0F 3A: with an immediate */
        {{0x0f, 0xa6, 0xc0}, 3},       /* a group */
        {{0x0f, 0x04}, 2},             /* none */
        {{0xc5, 0xf8, 0x04}, 3},       /* with VEX neither */
        {{0xc5, 0xf8, 0x9e, 0xc0}, 4}, /* no KMOV */
        {{0xc4, 0x04, 0x24}, 3},       /* VEX without a map: LES */
        {{0xc4, 0xe0}, 2},             /* ... */
        {{0x62, 0x88, 0, 0, 0, 0}, 6}, /* EVEX without one: BOUND */
        {{0xc4, 0xed, 0x79, 0x04}, 4}, /* a map that is not there */
        {{0x48, 0xea}, 8},             /* JMP far: 32 bits */
    };
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++)
        for (unsigned less = 0; less < 2; less++) {
            struct fixture *f = fx_new_long(0);
            unsigned have = cases[n].length - less;
            fx_unmap(f, 0xd000);
            f->s.rip = 0xd000 - have;
            enum emu_status st = fx_run(f, cases[n].bytes, have);
            if (f->e.event.vector != (less ? VECTOR_PF : VECTOR_UD))
                print_error("case %zu with %u bytes\n", n, have);
            assert_int_equal(st, EMU_FAULT);
            assert_int_equal(f->e.event.vector, less ? VECTOR_PF : VECTOR_UD);
            fx_free(f);
        }
}

static void caches(void **)
{
    struct fixture *f = fx_new_long(0);

    fx_cache(f);
    for (unsigned n = 0; n < 3; n++) { /* the same place, other bytes */
        f->s.rip = FX_CODE;
        FX_DONE(FX_RUN(f, 0xb0, (u8)n));
        assert_int_equal(f->s.gpr[RAX] & 0xff, n);
    }
    /* The same linear address, another page, and without INVLPG: as hardware may do. */
    u64 pte = fx_map(f, FX_CODE, 0x30000, 0x67);
    f->ram[0x30000] = 0xb0;
    f->ram[0x30001] = 0x77;
    f->s.rip = FX_CODE;
    FX_DONE(emu_step(&f->e));
    assert_int_equal(f->s.gpr[RAX] & 0xff, 0x77);
    fx_poke(f, pte, 8, 0x30000 | 0x47); /* the accessed bit is set again */
    f->s.rip = FX_CODE;
    FX_DONE(emu_step(&f->e));
    assert_int_equal(fx_peek(f, pte, 8), 0x30000 | 0x67);
    fx_poke(f, pte, 8, 0);
    f->s.rip = FX_CODE;
    FX_FAULT(emu_step(&f->e), VECTOR_PF, 0x10);
    assert_int_equal(f->e.event.payload, FX_CODE);
    fx_poke(f, pte, 8, 0x30000 | 0x67); /* other tables: what they say, and back */
    f->s.rip = FX_CODE;
    FX_DONE(emu_step(&f->e));
    u64 cr3 = f->s.cr3;
    f->next_table = 0x180000;
    f->s.cr3 = 0x180000;
    fx_map(f, FX_CODE, 0x31000, 0x47); /* not accessed, so not remembered at once */
    f->ram[0x31000] = 0xb0;
    f->ram[0x31001] = 0x55;
    for (unsigned n = 0; n < 4; n++) {
        f->s.cr3 = n % 2 == 0 ? 0x180000 : cr3;
        f->s.rip = FX_CODE;
        FX_DONE(emu_step(&f->e));
        assert_int_equal(f->s.gpr[RAX] & 0xff, n % 2 == 0 ? 0x55 : 0x77);
    }
    f->s.cr3 = cr3;
    f->s.cr4 |= CR4_SMEP; /* and as code of a user's page it must not be executed */
    f->s.rip = FX_CODE;
    FX_FAULT(emu_step(&f->e), VECTOR_PF, 0x11);
    f->s.cr4 &= ~CR4_SMEP;
    /* Conforming code runs at any level, but a supervisor's page is no user's. */
    fx_poke(f, pte, 8, 0x30000 | 0x63);
    u32 cs = f->s.seg[SEG_CS].access, ss = f->s.seg[SEG_SS].access;
    f->s.seg[SEG_CS].access |= 4;
    for (unsigned n = 0; n < 3; n++) {
        f->s.rip = FX_CODE;
        FX_DONE(emu_step(&f->e));
    }
    f->s.seg[SEG_SS].access |= 3 << SEG_DPL_SHIFT;
    f->s.rip = FX_CODE;
    FX_FAULT(emu_step(&f->e), VECTOR_PF, 0x15);
    f->s.seg[SEG_CS].access = cs;
    f->s.seg[SEG_SS].access = ss;
    /* The bytes of 32-bit INC EAX are a REX prefix in 64-bit mode. */
    fx_poke(f, pte, 8, FX_CODE | 0x67);
    f->s.rip = FX_CODE;
    f->s.gpr[RAX] = 5;
    FX_DONE(FX_RUN(f, 0x40, 0x90));
    assert_int_equal(f->s.gpr[RAX], 5);
    fx_set_seg(f, SEG_CS, FX_CS0, 0, 0xffffffff, FX_CODE32);
    f->s.rip = FX_CODE;
    FX_DONE(FX_RUN(f, 0x40, 0x90));
    assert_int_equal(f->s.gpr[RAX], 6);
    fx_free(f);
}

static void features(void **)
{
    struct fixture *f = fx_new_long(0);

    f->s.gpr[RCX] = 0x100;
    f->e.features = 0;
    FX_FAULT(FX_RUN(f, 0xf3, 0x0f, 0xb8, 0xc1), VECTOR_UD, ~0u); /* popcnt */
    FX_FAULT(FX_RUN(f, 0x9f), VECTOR_UD, ~0u);                   /* lahf */
    FX_DONE(FX_RUN(f, 0xf3, 0x0f, 0xbd, 0xc1));                  /* lzcnt is bsr */
    assert_int_equal(f->s.gpr[RAX], 8);
    f->s.gpr[RDX] = 0x1234;
    f->s.gpr[RSI] = 0;
    FX_DONE(FX_RUN(f, 0xf3, 0x48, 0x0f, 0xbc, 0xd6)); /* tzcnt is bsf: 0 leaves the target */
    assert_int_equal(f->s.gpr[RDX], 0x1234);
    assert_true(f->s.rflags & RFLAGS_ZF);
    f->e.features = BIT64(EMU_HAS_BMI1) | BIT64(EMU_HAS_POPCNT);
    FX_DONE(FX_RUN(f, 0xf3, 0x48, 0x0f, 0xbc, 0xd6));
    assert_int_equal(f->s.gpr[RDX], 64);
    FX_DONE(FX_RUN(f, 0xf3, 0x0f, 0xb8, 0xc1));
    assert_int_equal(f->s.gpr[RAX], 1);
    fx_free(f);
}

/* ---- many at a time ---------------------------------------------------------------------------
 */

static void runs(void **)
{
    struct fixture *f = fx_new();

    for (unsigned n = 0; n < 10; n++)
        fx_poke(f, FX_DATA + 2 * n, 2, n + 1);
    f->s.gpr[RBX] = FX_DATA;
    f->s.gpr[RCX] = 10;
    /* more: add ax, [bx]; inc bx; inc bx; dec cx; jnz more; hlt */
    assert_int_equal(
        FX_RUN_MANY(f, 0, 1000, EMU_DONE, 0x03, 0x07, 0x43, 0x43, 0x49, 0x75, 0xf9, 0xf4), 51);
    assert_int_equal(f->s.gpr[RAX], 55);
    assert_int_equal(f->s.activity, ACTIVITY_HLT);
    f->s.activity = ACTIVITY_ACTIVE;
    assert_int_equal(FX_RUN_MANY(f, 0, 3, EMU_DONE, 0x90, 0x90, 0x90, 0x90), 3);
    assert_int_equal(f->s.rip, FX_CODE + 3);
    /* It ends with a device's access, a change that was asked for, or one of CS, */
    assert_int_equal(FX_RUN_MANY(f, 0, 9, EMU_DONE, 0x90, 0xe6, 0x80, 0x90), 2);
    assert_int_equal(FX_RUN_MANY(f, STATE_SEG(SEG_ES), 9, EMU_DONE, 0x90, 0x8e, 0xc0, 0x90), 2);
    assert_int_equal(FX_RUN_MANY(f, 0, 9, EMU_DONE, 0xea, 0x00, 0x00, 0x00, 0x10, 0x90), 1);
    fx_set_seg(f, SEG_CS, 0, 0, 0xffff, f->s.seg[SEG_CS].access);
    /* a fault, */
    assert_int_equal(FX_RUN_MANY(f, 0, 9, EMU_FAULT, 0x90, 0x0f, 0x0b), 2);
    assert_int_equal(f->e.event.vector, VECTOR_UD);
    assert_int_equal(f->s.rip, FX_CODE + 1);
    /* or a trap: the third NOP is not executed. */
    f->s.rflags |= RFLAGS_TF;
    assert_int_equal(FX_RUN_MANY(f, 0, 9, EMU_DONE, 0x90, 0x90, 0x90), 1);
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    fx_free(f);
}

static void nested_enter(void **)
{
    struct fixture *f = fx_new_long(0);

    f->s.gpr[RBP] = 0xc100;
    fx_poke(f, 0xc100 - 8, 8, 0x1111);
    fx_poke(f, 0xc100 - 16, 8, 0x2222);
    FX_DONE(FX_RUN(f, 0xc8, 0x20, 0x00, 0x03)); /* enter 0x20, 3 */
    assert_int_equal(f->s.gpr[RBP], FX_STACK - 8);
    assert_int_equal(fx_peek(f, FX_STACK - 8, 8), 0xc100);
    assert_int_equal(fx_peek(f, FX_STACK - 16, 8), 0x1111);
    assert_int_equal(fx_peek(f, FX_STACK - 24, 8), 0x2222);
    assert_int_equal(fx_peek(f, FX_STACK - 32, 8), FX_STACK - 8);
    assert_int_equal(f->s.gpr[RSP], FX_STACK - 32 - 0x20);
    FX_DONE(FX_RUN(f, 0xc9)); /* leave */
    assert_int_equal(f->s.gpr[RSP], FX_STACK);
    assert_int_equal(f->s.gpr[RBP], 0xc100);
    fx_free(f);
}

/* ---- arithmetic: the SDM's own examples and edges -----------------------------------------------
 */

static void decimal(void **)
{
    struct fixture *f = fx_new();

    f->s.gpr[RAX] = 0xae; /* the example under DAA */
    f->s.rflags = RFLAGS_FIXED;
    FX_DONE(FX_RUN(f, 0x27));
    assert_int_equal(f->s.gpr[RAX], 0x14);
    assert_int_equal(f->s.rflags & (STATUS_FLAGS & ~(u32)RFLAGS_OF),
                     RFLAGS_CF | RFLAGS_AF | RFLAGS_PF);
    f->s.gpr[RAX] = 0xee; /* the example under DAS: 35h - 47h */
    f->s.rflags = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_AF;
    FX_DONE(FX_RUN(f, 0x2f));
    assert_int_equal(f->s.gpr[RAX], 0x88);
    assert_true(f->s.rflags & RFLAGS_CF);
    f->s.gpr[RAX] = 0x00ff; /* AAA adjusts AX as a whole */
    FX_DONE(FX_RUN(f, 0x37));
    assert_int_equal(f->s.gpr[RAX], 0x0205);
    f->s.gpr[RAX] = 99;
    FX_DONE(FX_RUN(f, 0xd4, 0x0a));
    assert_int_equal(f->s.gpr[RAX], 0x0909);
    FX_DONE(FX_RUN(f, 0xd5, 0x0a));
    assert_int_equal(f->s.gpr[RAX], 99);
    FX_FAULT(FX_RUN(f, 0xd4, 0x00), VECTOR_DE, ~0u);
    fx_free(f);
}

static void division(void **)
{
    struct fixture *f = fx_new_long(0);

    f->s.gpr[RAX] = 0;
    f->s.gpr[RDX] = 5;
    f->s.gpr[RCX] = 5;
    FX_FAULT(FX_RUN(f, 0x48, 0xf7, 0xf1), VECTOR_DE, ~0u); /* quotient 2^64 */
    f->s.gpr[RDX] = 4;
    FX_DONE(FX_RUN(f, 0x48, 0xf7, 0xf1));
    assert_int_equal(f->s.gpr[RAX], 0xcccccccccccccccc);
    assert_int_equal(f->s.gpr[RDX], 4);
    f->s.gpr[RAX] = 0x8000000000000000; /* INT64_MIN / -1 */
    f->s.gpr[RDX] = ~0ull;
    f->s.gpr[RCX] = ~0ull;
    FX_FAULT(FX_RUN(f, 0x48, 0xf7, 0xf9), VECTOR_DE, ~0u);
    f->s.gpr[RCX] = 1;
    FX_DONE(FX_RUN(f, 0x48, 0xf7, 0xf9));
    assert_int_equal(f->s.gpr[RAX], 0x8000000000000000);
    f->s.gpr[RAX] = 0xff80; /* AX = -128, / 1: fits a byte */
    FX_DONE(FX_RUN(f, 0xf6, 0xf9));
    assert_int_equal(f->s.gpr[RAX] & 0xffff, 0x0080);
    f->s.gpr[RAX] = 7;
    f->s.gpr[RDX] = 0;
    f->s.gpr[RCX] = (u64)-2;
    FX_DONE(FX_RUN(f, 0x48, 0xf7, 0xf9));
    assert_int_equal(f->s.gpr[RAX], (u64)-3);
    assert_int_equal(f->s.gpr[RDX], 1);
    fx_free(f);
}

/* ---- flags in virtual-8086 mode, SDM vol. 3B, 20.2.8 and 20.3 -----------------------------------
 */

static void vm86_flags(void **)
{
    struct fixture *f = fx_new_vm86(0);

    FX_FAULT(FX_RUN(f, 0xfa), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0x9c), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0x9d), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0xf4), VECTOR_GP, 0);
    f->s.cr4 |= CR4_VME;
    FX_DONE(FX_RUN(f, 0xfb));
    assert_true(f->s.rflags & RFLAGS_VIF);
    assert_false(f->s.rflags & RFLAGS_IF);
    FX_DONE(FX_RUN(f, 0x9c)); /* VIF shows as IF, IOPL as 3 */
    u64 at = f->s.gpr[RSP];
    assert_int_equal(fx_peek(f, at, 2) & (RFLAGS_IF | RFLAGS_IOPL), RFLAGS_IF | RFLAGS_IOPL);
    fx_poke(f, at, 2, RFLAGS_CF);
    FX_DONE(FX_RUN(f, 0x9d));
    assert_false(f->s.rflags & RFLAGS_VIF);
    assert_true(f->s.rflags & RFLAGS_CF);
    assert_int_equal(f->s.rflags & RFLAGS_IOPL, 0);
    f->s.rflags |= RFLAGS_VIP;
    FX_FAULT(FX_RUN(f, 0xfb), VECTOR_GP, 0);
    FX_FAULT(FX_RUN(f, 0x66, 0x9c), VECTOR_GP, 0);
    fx_free(f);

    f = fx_new_vm86(3);
    fx_poke(f, f->s.gpr[RSP], 2, RFLAGS_IF);
    FX_DONE(FX_RUN(f, 0x9d)); /* IF may change, IOPL may not */
    assert_true(f->s.rflags & RFLAGS_IF);
    assert_int_equal(f->s.rflags & RFLAGS_IOPL, RFLAGS_IOPL);
    assert_true(f->s.rflags & RFLAGS_VM);
    fx_free(f);
}

/* Transactions abort at once; outside of one the others do what they do there. */
static void transactions(void **)
{
    struct fixture *f = fx_new_long(0);
    u64 rip = f->s.rip;

    f->s.gpr[RAX] = ~0ull;
    FX_DONE(FX_RUN(f, 0xc7, 0xf8, 0x10, 0, 0, 0)); /* xbegin $ + 16h */
    assert_int_equal(f->s.rip, rip + 0x16);
    assert_int_equal(f->s.gpr[RAX], 0);
    f->s.rip = rip;
    f->s.rflags |= RFLAGS_TF;
    FX_DONE(FX_RUN(f, 0x66, 0xc7, 0xf8, 0xfb, 0xff)); /* xbegin $, stepped: the trap aborts it */
    assert_int_equal(f->s.rip, rip);
    assert_int_equal(f->s.gpr[RAX], 0x10);
    assert_int_equal(f->e.event.vector, VECTOR_NONE);
    f->s.rflags = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_SF;
    FX_DONE(FX_RUN(f, 0xc6, 0xf8, 0x01)); /* xabort 1 */
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xd6)); /* xtest */
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_ZF);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xd5), VECTOR_GP, 0); /* xend */
    f->e.features &= ~BIT64(EMU_HAS_RTM);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xd5), VECTOR_UD, ~0u);
    FX_FAULT(FX_RUN(f, 0xc6, 0xf8, 0x01), VECTOR_UD, ~0u);
    fx_free(f);
}

/* A CPU that has MOVDIR64B. */
static u8 run_direct(void *ctx, struct emu_native *n)
{
    assert_int_equal(n->code, 0xc337f8380f66);
    memcpy((void *)n->rsi, n->memory, 64);
    ((struct fixture *)ctx)->special_op++;
    return VECTOR_NONE;
}

static void direct_stores(void **)
{
    struct fixture *f = fx_new_long(0);
    struct emu_ops ops = *f->e.ops;

    for (unsigned n = 0; n < 64; n++)
        f->ram[FX_DATA + 1 + n] = (u8)n;
    f->s.gpr[RSI] = FX_DATA + 1;
    f->s.gpr[RAX] = FX_DATA + 0x80;
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0x38, 0xf8, 0x06)); /* movdir64b rax, [rsi] */
    assert_memory_equal(f->ram + FX_DATA + 0x80, f->ram + FX_DATA + 1, 64);
    ops.run_native = run_direct;
    f->e.ops = &ops;
    f->s.gpr[RAX] += 0x40;
    f->special_op = 0;
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0x38, 0xf8, 0x06)); /* in one store */
    assert_int_equal(f->special_op, 1);
    assert_memory_equal(f->ram + FX_DATA + 0xc0, f->ram + FX_DATA + 1, 64);
    f->s.gpr[RAX] = FX_MMIO; /* a device gets its pieces */
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0x38, 0xf8, 0x06));
    assert_int_equal(f->mmio_count, 8);
    assert_int_equal(f->special_op, 1);
    f->s.gpr[RAX] += 8;
    FX_FAULT(FX_RUN(f, 0x66, 0x0f, 0x38, 0xf8, 0x06), VECTOR_GP, 0);
    FX_DONE(FX_RUN(f, 0x48, 0x0f, 0x38, 0xf9, 0x06)); /* movdiri [rsi], rax */
    assert_int_equal(fx_peek(f, FX_DATA + 1, 8), f->s.gpr[RAX]);
    FX_DONE(FX_RUN(f, 0x0f, 0x01, 0xe8));                        /* serialize */
    FX_FAULT(FX_RUN(f, 0xf3, 0x0f, 0xae, 0x26), VECTOR_UD, ~0u); /* ptwrite [rsi] */
    FX_FAULT(FX_RUN(f, 0xf2, 0x0f, 0xae, 0xf0), VECTOR_UD, ~0u); /* umwait eax */
    f->e.features = 0;
    FX_FAULT(FX_RUN(f, 0x48, 0x0f, 0x38, 0xf9, 0x06), VECTOR_UD, ~0u);
    FX_FAULT(FX_RUN(f, 0x0f, 0x01, 0xe8), VECTOR_UD, ~0u);
    fx_free(f);
}

/* What is decoded but not covered is refused, and nothing has happened. */
static void refused(void **)
{
    struct fixture *f = fx_new_long(0);
    struct emu_ops ops = *f->e.ops;
    u64 rip = f->s.rip;

    ops.run_native = NULL; /* nobody to run: fld dword [rbx] */
    f->e.ops = &ops;
    assert_int_equal(FX_RUN(f, 0xd9, 0x03), EMU_UNIMPLEMENTED);
    assert_int_equal(f->s.rip, rip);
    assert_int_equal(f->e.record.code->length, 2);
    assert_int_equal(f->s.dirty, 0);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_step),     cmocka_unit_test(shadows),
        cmocka_unit_test(skip_and_retire), cmocka_unit_test(forced_prefix),
        cmocka_unit_test(fetch_faults),    cmocka_unit_test(caches),
        cmocka_unit_test(features),        cmocka_unit_test(runs),
        cmocka_unit_test(nested_enter),    cmocka_unit_test(decimal),
        cmocka_unit_test(division),        cmocka_unit_test(vm86_flags),
        cmocka_unit_test(refused),         cmocka_unit_test(transactions),
        cmocka_unit_test(direct_stores),   cmocka_unit_test(undefined_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
