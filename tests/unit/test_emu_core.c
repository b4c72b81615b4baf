/* SPDX-License-Identifier: MIT
 *
 * What the native oracle cannot see: real and virtual-8086 mode, level 0, ports and devices,
 * retirement (traps, shadows, RF), interruption of REP, locked accesses across pages, caches.
 * Expectations are the SDM's, vol. 2 unless said otherwise.
 */
#include "emu_fixture.h"

#define STATUS_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static struct fixture *machine64(unsigned cpl)
{
    struct fixture *f = fx_new();
    fx_long(f, cpl);
    return f;
}

static void unmap(struct fixture *f, u64 page) { fx_map(f, page, 0, 0); }

/* ---- retirement: SDM vol. 3A, 6.8.3 and vol. 3B, 17.3.1 -------------------------------------- */

static void single_step(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

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

static void shadows(void **state)
{
    (void)state;
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

static void skip_and_retire(void **state)
{
    (void)state;
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

/* In a page of data found before, a string still ends where the page does: the fuzzer's find. */
static void string_in_known_page(void **state)
{
    (void)state;
    struct fixture *f = fx_new();

    f->s.gpr[RBX] = 0x5ff0;
    FX_DONE(FX_RUN(f, 0x8b, 0x07)); /* mov ax, [bx] */
    f->s.gpr[RBX] = 0x3ff0;
    FX_DONE(FX_RUN(f, 0x89, 0x07)); /* mov [bx], ax */
    memset(f->ram + 0x5ff0, 0x11, 16);
    memset(f->ram + 0x6000, 0x22, 16);
    memset(f->ram + 0x3ff0, 0, 32);
    f->s.gpr[RSI] = 0x5ff0;
    f->s.gpr[RDI] = 0x3ff0;
    f->s.gpr[RCX] = 16;
    f->interrupt = true; /* one piece, then it is asked */
    assert_int_equal(FX_RUN(f, 0xf3, 0xa4) == EMU_UNIMPLEMENTED, 0);
    assert_int_equal(f->s.gpr[RCX], 0);
    f->s.gpr[RSI] = 0x5ff8;
    f->s.gpr[RDI] = 0x3ff0;
    f->s.gpr[RCX] = 16;
    assert_int_equal(FX_RUN(f, 0xf3, 0xa4), EMU_RETRY);
    assert_int_equal(f->s.gpr[RCX], 8); /* up to the page's end */
    assert_int_equal(fx_peek(f, 0x3ff8, 8), 0x1111111111111111);
    fx_free(f);
}

/* KVM's EMULTYPE_TRAP_UD_FORCED and VMWARE_GP: what is at CS:RIP? */
static void forced_prefix(void **state)
{
    (void)state;
    struct fixture *f = machine64(3);
    static const u8 code[] = {0x0f, 0x0b, 'k', 'v', 'm', 0x48, 0xff, 0xc0, 0x0f, 0x0b, 'k', 'v'};

    memcpy(f->ram + 0x8ffe, code, sizeof(code)); /* over a page border */
    f->s.rip = 0x8ffe;
    assert_true(emu_take_forced(&f->e));
    assert_int_equal(f->s.rip, 0x9003);
    assert_false(emu_take_forced(&f->e));
    f->s.rip = 0x9006;
    assert_false(emu_take_forced(&f->e)); /* cut short */
    f->s.rip = 0x8ffe;
    unmap(f, 0x9000);
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

static void fetch_faults(void **state)
{
    (void)state;
    struct fixture *f = machine64(3);
    static const u8 mov[] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8};

    unmap(f, 0x9000);
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

static void caches(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

    f->e.cache = malloc(emu_cache_size());
    assert_non_null(f->e.cache);
    emu_cache_init(f->e.cache);
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
    free(f->e.cache);
    fx_free(f);
}

static void features(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

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

static struct fixture *machine_cached(void)
{
    struct fixture *f = fx_new();

    f->e.cache = malloc(emu_cache_size());
    assert_non_null(f->e.cache);
    emu_cache_init(f->e.cache);
    f->s.valid = STATE_ALL;
    return f;
}

static void free_cached(struct fixture *f)
{
    free(f->e.cache);
    fx_free(f);
}

/* Run these bytes; says how many instructions it was, and that it ended so. */
static unsigned run_many(struct fixture *f, const u8 *code, size_t n, u32 until, unsigned count,
                         enum emu_status want)
{
    memcpy(f->ram + FX_CODE, code, n);
    f->s.rip = FX_CODE;
    f->s.dirty = 0;
    assert_int_equal(emu_run(&f->e, until, &count), want);
    return count;
}
#define RUN_MANY(f, until, count, want, ...) \
    run_many(f, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}), until, count, want)

static void runs(void **state)
{
    (void)state;
    struct fixture *f = machine_cached();

    for (unsigned n = 0; n < 10; n++)
        fx_poke(f, FX_DATA + 2 * n, 2, n + 1);
    f->s.gpr[RBX] = FX_DATA;
    f->s.gpr[RCX] = 10;
    /* more: add ax, [bx]; inc bx; inc bx; dec cx; jnz more; hlt */
    assert_int_equal(RUN_MANY(f, 0, 1000, EMU_DONE, 0x03, 0x07, 0x43, 0x43, 0x49, 0x75, 0xf9, 0xf4),
                     51);
    assert_int_equal(f->s.gpr[RAX], 55);
    assert_int_equal(f->s.activity, ACTIVITY_HLT);
    f->s.activity = ACTIVITY_ACTIVE;
    assert_int_equal(RUN_MANY(f, 0, 3, EMU_DONE, 0x90, 0x90, 0x90, 0x90), 3);
    assert_int_equal(f->s.rip, FX_CODE + 3);
    /* It ends with a device's access, a change that was asked for, or one of CS, */
    assert_int_equal(RUN_MANY(f, 0, 9, EMU_DONE, 0x90, 0xe6, 0x80, 0x90), 2);
    assert_int_equal(RUN_MANY(f, STATE_SEG(SEG_ES), 9, EMU_DONE, 0x90, 0x8e, 0xc0, 0x90), 2);
    assert_int_equal(RUN_MANY(f, 0, 9, EMU_DONE, 0xea, 0x00, 0x00, 0x00, 0x10, 0x90), 1);
    fx_set_seg(f, SEG_CS, 0, 0, 0xffff, f->s.seg[SEG_CS].access);
    f->s.valid = STATE_ALL;
    /* a fault, */
    assert_int_equal(RUN_MANY(f, 0, 9, EMU_FAULT, 0x90, 0x0f, 0x0b), 2);
    assert_int_equal(f->e.event.vector, VECTOR_UD);
    assert_int_equal(f->s.rip, FX_CODE + 1);
    /* or a trap: the third NOP is not executed. */
    f->s.rflags |= RFLAGS_TF;
    assert_int_equal(RUN_MANY(f, 0, 9, EMU_DONE, 0x90, 0x90, 0x90), 1);
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    free_cached(f);
}

static void *rom(void *ctx, gpa_t gpa, enum emu_access access)
{
    return access & EMU_WRITE ? NULL : fx_ram(ctx, gpa, access);
}

/* A page of data is remembered, but neither its segment's limit nor that it cannot be written. */
static void known_pages(void **state)
{
    (void)state;
    struct fixture *f = machine_cached();
    struct emu_ops ops = fx_ops;

    fx_poke(f, FX_DATA, 8, 0x1111222233334444);
    f->s.gpr[RBX] = FX_DATA;
    f->s.gpr[RCX] = 7;
    for (unsigned n = 0; n < 2; n++) {
        RUN_MANY(f, 0, 1, EMU_DONE, 0x8b, 0x07); /* mov ax, [bx] */
        assert_int_equal(f->s.gpr[RAX] & 0xffff, 0x4444);
    }
    f->s.seg[SEG_DS].limit = FX_DATA;
    RUN_MANY(f, 0, 1, EMU_FAULT, 0x8b, 0x07);
    assert_int_equal(f->e.event.vector, VECTOR_GP);
    RUN_MANY(f, 0, 1, EMU_DONE, 0x8a, 0x07); /* a byte is allowed */
    f->s.seg[SEG_DS].limit = 0xffff;
    f->s.cr0 |= CR0_PE;
    f->s.seg[SEG_DS].access = 0x91; /* read-only */
    RUN_MANY(f, 0, 1, EMU_FAULT, 0x89, 0x0f);
    f->s.seg[SEG_DS].access |= SEG_UNUSABLE;
    RUN_MANY(f, 0, 1, EMU_FAULT, 0x8b, 0x07);
    f->s.seg[SEG_DS].access = 0x97; /* expand-down: what the limit covers is forbidden */
    RUN_MANY(f, 0, 1, EMU_FAULT, 0x8b, 0x07);
    f->s.seg[SEG_DS].access = 0x93;
    f->s.cr0 &= ~CR0_PE;
    f->s.gpr[RBX] = FX_DATA + 0xfff; /* from a page that is known into another */
    fx_poke(f, FX_DATA + 0xfff, 2, 0xa55a);
    RUN_MANY(f, 0, 1, EMU_DONE, 0x8b, 0x07);
    assert_int_equal(f->s.gpr[RAX] & 0xffff, 0xa55a);

    ops.ram = rom;
    f->e.ops = &ops;
    emu_forget(&f->e);
    f->s.gpr[RBX] = FX_DATA;
    RUN_MANY(f, 0, 1, EMU_DONE, 0x8b, 0x07);
    RUN_MANY(f, 0, 1, EMU_DONE, 0x89, 0x0f); /* mov [bx], cx: lost */
    assert_int_equal(f->mmio_count, 1);
    RUN_MANY(f, 0, 1, EMU_DONE, 0x01, 0x0f); /* add [bx], cx */
    assert_int_equal(fx_peek(f, FX_DATA, 2), 0x4444);
    f->e.ops = &fx_ops;
    RUN_MANY(f, 0, 1, EMU_DONE, 0x01, 0x0f);
    RUN_MANY(f, 0, 1, EMU_DONE, 0x01, 0x0f);
    assert_int_equal(fx_peek(f, FX_DATA, 2), 0x4452);
    free_cached(f);
}

/* ---- whole or not at all ----------------------------------------------------------------------
 */

static void stores_are_whole(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

    unmap(f, 0xd000);
    f->s.gpr[RBX] = 0xcffc;
    f->s.gpr[RAX] = ~0ull;
    FX_FAULT(FX_RUN(f, 0x48, 0x89, 0x03), VECTOR_PF, 2);
    assert_int_equal(f->e.event.payload, 0xd000);
    assert_int_equal(fx_peek(f, 0xcffc, 4), 0);
    f->s.gpr[RSP] = 0xd000 - 8;
    fx_poke(f, 0xd000 - 8, 8, 0x4444);
    FX_FAULT(FX_RUN(f, 0x8f, 0x04, 0x24), VECTOR_PF, 2); /* pop [rsp]: above the popped value */
    assert_int_equal(f->s.gpr[RSP], 0xd000 - 8);
    fx_free(f);

    f = fx_new(); /* PUSHA with its last words past the bottom of an expand-up stack of 8 bytes */
    fx_protected(f, 0);
    fx_set_seg(f, SEG_CS, FX_CS0, 0, 0xffff, FX_CODE16);
    fx_set_seg(f, SEG_SS, FX_DS0, 0xfff8, 0xffff, FX_DATA32);
    f->s.gpr[RSP] = 8;
    FX_FAULT(FX_RUN(f, 0x60), VECTOR_SS, 0);
    assert_int_equal(fx_peek(f, 0xfff8, 8), 0);
    assert_int_equal(f->s.gpr[RSP], 8);
    fx_free(f);
}

static void nested_enter(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

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

/* ---- devices ----------------------------------------------------------------------------------
 */

static void device_accesses(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

    f->s.gpr[RBX] = FX_MMIO + 0x80;
    f->s.gpr[RAX] = 0xffffffff12345678;
    FX_DONE(FX_RUN(f, 0x89, 0x03)); /* mov [rbx], eax */
    assert_int_equal(f->mmio_count, 1);
    assert_int_equal(f->mmio_log[0].size, 4);
    assert_int_equal(f->mmio_log[0].value, 0x12345678);
    assert_int_equal(f->e.record.io, EMU_IO_MMIO_WRITE);
    assert_int_equal(f->e.record.io_address, FX_MMIO + 0x80);
    assert_int_equal(f->e.record.io_value, 0x12345678);
    FX_DONE(FX_RUN(f, 0xf0, 0x83, 0x0b, 0x01)); /* lock or dword [rbx], 1 */
    assert_int_equal(f->mmio_count, 2);
    assert_false(f->mmio_log[0].write);
    assert_true(f->mmio_log[1].write);
    assert_int_equal(f->mmio_log[1].value, 0x12345679);
    FX_DONE(FX_RUN(f, 0x83, 0x3b, 0x00)); /* cmp reads only */
    assert_int_equal(f->mmio_count, 1);
    f->s.gpr[RSP] = 0xd000 - 4; /* push [rbx] onto an absent page: the device is not read */
    unmap(f, 0xc000);
    FX_FAULT(FX_RUN(f, 0xff, 0x33), VECTOR_PF, 2);
    assert_int_equal(f->mmio_count, 0);
    /* The exit has told the address: no page table says so, and none is asked. */
    f->s.gpr[RBX] = 0xffff800000000010;
    f->e.fault_gva = GVA(f->s.gpr[RBX]);
    f->e.fault_gpa = GPA(FX_MMIO + 0x10);
    f->e.fault_gpa_valid = true;
    FX_DONE(FX_RUN(f, 0x8b, 0x03));
    assert_int_equal(f->mmio_log[0].gpa, FX_MMIO + 0x10);
    fx_free(f);
}

static void port_rights(void **state)
{
    (void)state;
    struct fixture *f = fx_new();

    fx_protected(f, 3);
    f->port_value = 0xaabbccdd;
    fx_poke(f, FX_TSS + 102, 2, 0x80); /* the map; the TSS ends at 0xff */
    memset(f->ram + FX_TSS + 0x80, 0xff, 0x80);
    fx_poke(f, FX_TSS + 0x80 + 0x60 / 8, 1, 0xf0); /* 60..63 allowed */
    FX_DONE(FX_RUN(f, 0xe4, 0x63));
    assert_int_equal(f->s.gpr[RAX] & 0xff, 0xdd);
    assert_int_equal(f->e.record.io, EMU_IO_IN);
    FX_FAULT(FX_RUN(f, 0x66, 0xe5, 0x63), VECTOR_GP, 0); /* 63 and 64 */
    FX_FAULT(FX_RUN(f, 0xe4, 0x64), VECTOR_GP, 0);
    f->s.gpr[RDX] = 0x400; /* its bit would be past the limit */
    FX_FAULT(FX_RUN(f, 0xec), VECTOR_GP, 0);
    f->s.gpr[RDX] = 0x5658;
    FX_FAULT(FX_RUN(f, 0xed), VECTOR_GP, 0);
    f->e.vmware_ports = true;
    FX_DONE(FX_RUN(f, 0xed));
    assert_int_equal(f->s.gpr[RAX], 0xaabbccdd);
    f->s.rflags |= RFLAGS_IOPL;
    FX_DONE(FX_RUN(f, 0xe4, 0x64));
    fx_free(f);

    f = fx_new();
    fx_vm86(f, 3); /* the map counts whatever IOPL says */
    fx_poke(f, FX_TSS + 102, 2, 0x80);
    fx_poke(f, FX_TSS + 0x80, 1, 0x02);
    FX_DONE(FX_RUN(f, 0xe6, 0x00));
    FX_FAULT(FX_RUN(f, 0xe6, 0x01), VECTOR_GP, 0);
    fx_free(f);
}

static void port_strings(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

    f->s.gpr[RDI] = 0xcffc; /* over a page border */
    f->s.gpr[RCX] = 4;
    f->port_value = 0x11223344;
    FX_DONE(FX_RUN(f, 0xf3, 0x6d)); /* rep insd */
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(fx_peek(f, 0xcffc + 4 * n, 4), 0x11223344);
    assert_int_equal(f->s.gpr[RDI], 0xd00c);
    assert_int_equal(f->s.gpr[RCX], 0);
    assert_int_equal(f->e.record.iterations, 4);
    f->s.gpr[RSI] = 0xd008;
    f->s.gpr[RCX] = 2;
    f->s.rflags |= RFLAGS_DF;
    fx_poke(f, 0xd004, 4, 0x55667788);
    FX_DONE(FX_RUN(f, 0xf3, 0x6f)); /* rep outsd, downwards */
    assert_int_equal(f->port_value, 0x55667788);
    assert_int_equal(f->s.gpr[RSI], 0xd000);
    fx_free(f);
}

/* ---- strings ----------------------------------------------------------------------------------
 */

static void rep_commits(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

    memset(f->ram + 0xc000, 0x5a, 0x1000);
    unmap(f, 0x11000);
    f->s.gpr[RSI] = 0xc000;
    f->s.gpr[RDI] = 0x10ffd;
    f->s.gpr[RCX] = 10;
    FX_FAULT(FX_RUN(f, 0xf3, 0xa4), VECTOR_PF, 2);
    assert_int_equal(f->e.event.payload, 0x11000);
    assert_int_equal(f->s.gpr[RCX], 7);
    assert_int_equal(f->s.gpr[RSI], 0xc003);
    assert_int_equal(f->s.gpr[RDI], 0x11000);

    f->interrupt = true; /* between two pieces */
    f->s.gpr[RSI] = 0xcfff;
    f->s.gpr[RDI] = 0xe000;
    f->s.gpr[RCX] = 5;
    u64 rip = f->s.rip;
    assert_int_equal(FX_RUN(f, 0xf3, 0xa4), EMU_RETRY);
    assert_int_equal(f->s.gpr[RCX], 4);
    assert_int_equal(f->s.rip, rip);
    f->interrupt = false;
    FX_DONE(FX_RUN(f, 0xf3, 0xa4));
    assert_int_equal(f->s.gpr[RCX], 0);
    assert_int_equal(f->s.rip, rip + 2);

    f->s.rflags |= RFLAGS_TF; /* a trap after each iteration */
    f->s.gpr[RCX] = 2;
    rip = f->s.rip;
    FX_DONE(FX_RUN(f, 0xf3, 0xaa));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_int_equal(f->s.rip, rip);
    FX_DONE(FX_RUN(f, 0xf3, 0xaa));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_int_equal(f->s.rip, rip + 2);
    fx_free(f);
}

/* To a device's page: each element one access, and events are looked at every 64. */
static void rep_device(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

    for (unsigned i = 0; i < 100; i++)
        fx_poke(f, 0xc000 + 4 * i, 4, 0x1000 + i);
    f->s.gpr[RSI] = 0xc000;
    f->s.gpr[RDI] = FX_MMIO;
    f->s.gpr[RCX] = 100;
    f->interrupt = true;
    assert_int_equal(FX_RUN(f, 0xf3, 0xa5), EMU_RETRY);
    assert_int_equal(f->s.gpr[RCX], 36);
    assert_int_equal(f->s.gpr[RDI], FX_MMIO + 256);
    assert_int_equal(f->mmio_count, 64);
    assert_int_equal(f->mmio_log[31].gpa, FX_MMIO + 124);
    assert_int_equal(f->mmio_log[31].value, 0x101f);
    f->interrupt = false;
    FX_DONE(FX_RUN(f, 0xf3, 0xa5));
    assert_int_equal(f->s.gpr[RCX], 0);
    assert_memory_equal(f->mmio, f->ram + 0xc000, 400);

    f->s.gpr[RSI] = FX_MMIO; /* and back */
    f->s.gpr[RDI] = 0xe000;
    f->s.gpr[RCX] = 50;
    FX_DONE(FX_RUN(f, 0xf3, 0x48, 0xa5));
    assert_memory_equal(f->ram + 0xe000, f->mmio, 400);
    fx_free(f);
}

static void string_shapes(void **state)
{
    (void)state;
    struct fixture *f = fx_new();

    memcpy(f->ram + 0xc000, "ab", 2); /* overlap: the pattern spreads */
    f->s.gpr[RSI] = 0xc000;
    f->s.gpr[RDI] = 0xc002;
    f->s.gpr[RCX] = 6;
    FX_DONE(FX_RUN(f, 0xf3, 0xa4));
    assert_memory_equal(f->ram + 0xc000, "abababab", 8);

    f->s.gpr[RDI] = 0xfffe; /* 16-bit addresses wrap */
    f->s.gpr[RAX] = 0x77;
    f->s.gpr[RCX] = 4;
    FX_DONE(FX_RUN(f, 0xf3, 0xaa));
    assert_int_equal(fx_peek(f, 0xfffe, 2), 0x7777);
    assert_int_equal(fx_peek(f, 0, 2), 0x7777);
    assert_int_equal(f->s.gpr[RDI], 2);

    memcpy(f->ram + 0xc000, "hypervisor", 10);
    memcpy(f->ram + 0xc100, "hyperthing", 10);
    f->s.gpr[RSI] = 0xc000;
    f->s.gpr[RDI] = 0xc100;
    f->s.gpr[RCX] = 10;
    FX_DONE(FX_RUN(f, 0xf3, 0xa6)); /* repe cmpsb: 'v' against 't' */
    assert_int_equal(f->s.gpr[RCX], 4);
    assert_int_equal(f->s.gpr[RSI], 0xc006);
    assert_int_equal(f->s.rflags & (RFLAGS_ZF | RFLAGS_CF), 0);
    f->s.gpr[RDI] = 0xc000;
    f->s.gpr[RCX] = 10;
    f->s.gpr[RAX] = 's';
    FX_DONE(FX_RUN(f, 0xf2, 0xae)); /* repne scasb */
    assert_int_equal(f->s.gpr[RDI], 0xc008);
    assert_true(f->s.rflags & RFLAGS_ZF);
    f->s.gpr[RCX] = 0x10000; /* CX is 0: nothing happens, flags stay */
    f->s.rflags &= ~(u64)RFLAGS_ZF;
    FX_DONE(FX_RUN(f, 0xf3, 0xa6));
    assert_int_equal(f->s.gpr[RDI], 0xc008);
    assert_false(f->s.rflags & RFLAGS_ZF);

    fx_set_seg(f, SEG_ES, 0, 0, 0x1003, 0x93); /* a limit in the middle */
    f->s.gpr[RDI] = 0x1000;
    f->s.gpr[RCX] = 10;
    FX_FAULT(FX_RUN(f, 0xf3, 0xaa), VECTOR_GP, 0);
    assert_int_equal(f->s.gpr[RDI], 0x1004);
    assert_int_equal(f->s.gpr[RCX], 6);
    fx_free(f);
}

/* ---- locked accesses --------------------------------------------------------------------------
 */

static u8 window[2 * PAGE_SIZE];
static u64 window_gpa[2];

static void *give_window(void *ctx, gpa_t first, gpa_t second)
{
    struct fixture *f = ctx;
    memcpy(window, f->ram + first.v, PAGE_SIZE);
    memcpy(window + PAGE_SIZE, f->ram + second.v, PAGE_SIZE);
    window_gpa[0] = first.v;
    window_gpa[1] = second.v;
    return window;
}

static void straddling_lock(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);
    struct emu_ops ops = fx_ops;

    f->s.gpr[RBX] = 0xcffe;
    f->s.gpr[RAX] = 1;
    fx_poke(f, 0xcffe, 4, 0xffff);
    FX_DONE(FX_RUN(f, 0xf0, 0x01, 0x03)); /* neighbours on the host */
    assert_int_equal(fx_peek(f, 0xcffe, 4), 0x10000);

    fx_map(f, 0xd000, 0x20000, 0x67);
    fx_poke(f, 0xcffe, 2, 0xffff);
    fx_poke(f, 0x20000, 2, 0x0001);
    assert_int_equal(FX_RUN(f, 0xf0, 0x01, 0x03), EMU_UNIMPLEMENTED); /* nobody joins them */
    assert_int_equal(fx_peek(f, 0xcffe, 2), 0xffff);
    FX_DONE(FX_RUN(f, 0x01, 0x03)); /* without LOCK no joining is needed */
    assert_int_equal(fx_peek(f, 0x20000, 2), 2);
    ops.window = give_window;
    f->e.ops = &ops;
    FX_DONE(FX_RUN(f, 0x87, 0x03)); /* XCHG locks by itself */
    assert_int_equal(window_gpa[0], 0xc000);
    assert_int_equal(window_gpa[1], 0x20000);
    assert_int_equal(f->s.gpr[RAX], 0x00020000);
    assert_int_equal(window[PAGE_SIZE - 2], 1);
    f->s.gpr[RBX] = FX_MMIO + 0xffe; /* a device: plain accesses */
    fx_map(f, FX_MMIO + 0x1000, 0x21000, 0x67);
    FX_DONE(FX_RUN(f, 0xf0, 0x01, 0x03));
    fx_free(f);
}

static void exchanges(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

    f->s.gpr[RAX] = 0xff00000003;
    FX_DONE(FX_RUN(f, 0x0f, 0xc1, 0xc0)); /* xadd eax, eax: the sum stays */
    assert_int_equal(f->s.gpr[RAX], 6);
    f->s.gpr[R8] = 0x3333333344444444;
    FX_DONE(FX_RUN(f, 0xf3, 0x41, 0x90)); /* pause with REX.B: xchg r8d, eax */
    assert_int_equal(f->s.gpr[RAX], 0x44444444);
    assert_int_equal(f->s.gpr[R8], 6);
    f->s.gpr[RBX] = 0xc008; /* cmpxchg16b wants 16-byte alignment */
    FX_FAULT(FX_RUN(f, 0x48, 0x0f, 0xc7, 0x0b), VECTOR_GP, 0);
    f->s.gpr[RBX] = 0xc010;
    fx_poke(f, 0xc010, 8, 1);
    fx_poke(f, 0xc018, 8, 2);
    f->s.gpr[RAX] = 1;
    f->s.gpr[RDX] = 3;
    FX_DONE(FX_RUN(f, 0xf0, 0x48, 0x0f, 0xc7, 0x0b));
    assert_false(f->s.rflags & RFLAGS_ZF);
    assert_int_equal(f->s.gpr[RDX], 2);
    f->s.gpr[RCX] = 0x99;
    FX_DONE(FX_RUN(f, 0x48, 0x0f, 0xc7, 0x0b));
    assert_true(f->s.rflags & RFLAGS_ZF);
    assert_int_equal(fx_peek(f, 0xc018, 8), 0x99);
    f->s.gpr[RBX] = 0xc100; /* bt [rbx], rcx: bit -1 lies in the quadword before */
    f->s.gpr[RCX] = ~0ull;
    FX_DONE(FX_RUN(f, 0x48, 0x0f, 0xab, 0x0b));
    assert_int_equal(fx_peek(f, 0xc0f8, 8), BIT64(63));
    fx_free(f);
}

/* ---- arithmetic: the SDM's own examples and edges -----------------------------------------------
 */

static void decimal(void **state)
{
    (void)state;
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

static void division(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);

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

static void vm86_flags(void **state)
{
    (void)state;
    struct fixture *f = fx_new();

    fx_vm86(f, 0);
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

    f = fx_new();
    fx_vm86(f, 3);
    fx_poke(f, f->s.gpr[RSP], 2, RFLAGS_IF);
    FX_DONE(FX_RUN(f, 0x9d)); /* IF may change, IOPL may not */
    assert_true(f->s.rflags & RFLAGS_IF);
    assert_int_equal(f->s.rflags & RFLAGS_IOPL, RFLAGS_IOPL);
    assert_true(f->s.rflags & RFLAGS_VM);
    fx_free(f);
}

/* ---- vectors ----------------------------------------------------------------------------------
 */

static void vector_moves(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);
    u8 *xmm = fx_xsave + XSAVE_XMM, *ymm = fx_xsave + XSAVE_YMM;

    fx_xsave[XSAVE_BV] = XSTATE_SSE | XSTATE_AVX;
    memset(xmm, 0xee, 256);
    memset(ymm, 0xee, 256);
    for (unsigned n = 0; n < 32; n++)
        f->ram[0xc000 + n] = (u8)n;
    f->s.gpr[RSI] = 0xc000;
    FX_FAULT(FX_RUN(f, 0x0f, 0x10, 0x06), VECTOR_UD, ~0u); /* no CR4.OSFXSR */
    f->s.cr4 |= CR4_OSFXSR;
    FX_DONE(FX_RUN(f, 0x0f, 0x10, 0x06)); /* movups xmm0, [rsi] */
    assert_memory_equal(xmm, f->ram + 0xc000, 16);
    assert_int_equal(ymm[0], 0xee);
    FX_DONE(FX_RUN(f, 0xf3, 0x0f, 0x10, 0x0e)); /* movss clears the rest */
    assert_int_equal(xmm[16 + 3], 3);
    assert_int_equal(xmm[16 + 4], 0);
    FX_FAULT(FX_RUN(f, 0xc5, 0xfe, 0x6f, 0x16), VECTOR_UD, ~0u); /* no CR4.OSXSAVE */
    f->s.cr4 |= CR4_OSXSAVE;
    f->s.xcr0 = 7;
    FX_DONE(FX_RUN(f, 0xc5, 0xfe, 0x6f, 0x16)); /* vmovdqu ymm2, [rsi] */
    assert_memory_equal(xmm + 32, f->ram + 0xc000, 16);
    assert_memory_equal(ymm + 32, f->ram + 0xc010, 16);
    FX_DONE(FX_RUN(f, 0xc5, 0xf9, 0x6f, 0xd0)); /* vmovdqa xmm2, xmm0: upper half cleared */
    assert_int_equal(ymm[32], 0);
    f->s.gpr[RDI] = FX_MMIO;
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0xe7, 0x07)); /* movntdq [rdi], xmm0 */
    assert_int_equal(f->mmio_count, 2);
    assert_memory_equal(f->mmio, f->ram + 0xc000, 16);
    f->s.gpr[RSI] = 0xc001;
    FX_FAULT(FX_RUN(f, 0x0f, 0x28, 0x06), VECTOR_GP, 0); /* movaps, misaligned */
    FX_DONE(FX_RUN(f, 0x66, 0x48, 0x0f, 0x7e, 0xc0));    /* movq rax, xmm0 */
    assert_int_equal(f->s.gpr[RAX], 0x0706050403020100);
    f->s.cr0 |= CR0_TS;
    FX_FAULT(FX_RUN(f, 0x0f, 0x10, 0x06), VECTOR_NM, ~0u);
    fx_free(f);
}

/* What is decoded but not covered is refused, and nothing has happened. */
static void refused(void **state)
{
    (void)state;
    struct fixture *f = machine64(0);
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
        cmocka_unit_test(single_step),
        cmocka_unit_test(shadows),
        cmocka_unit_test(skip_and_retire),
        cmocka_unit_test(forced_prefix),
        cmocka_unit_test(string_in_known_page),
        cmocka_unit_test(fetch_faults),
        cmocka_unit_test(caches),
        cmocka_unit_test(features),
        cmocka_unit_test(runs),
        cmocka_unit_test(known_pages),
        cmocka_unit_test(stores_are_whole),
        cmocka_unit_test(nested_enter),
        cmocka_unit_test(device_accesses),
        cmocka_unit_test(port_rights),
        cmocka_unit_test(port_strings),
        cmocka_unit_test(rep_commits),
        cmocka_unit_test(rep_device),
        cmocka_unit_test(string_shapes),
        cmocka_unit_test(straddling_lock),
        cmocka_unit_test(exchanges),
        cmocka_unit_test(decimal),
        cmocka_unit_test(division),
        cmocka_unit_test(vm86_flags),
        cmocka_unit_test(vector_moves),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
