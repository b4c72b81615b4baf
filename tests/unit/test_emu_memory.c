/* SPDX-License-Identifier: MIT
 *
 * What instructions do to memory, devices and ports that the native oracle cannot see: whole or not
 * at all, pages that are remembered, accesses of devices by size and number, rights to ports,
 * strings that are interrupted or end where a page or a segment does, locked accesses across pages.
 */
#include "emu_fixture.h"

static void stores_are_whole(void **)
{
    struct fixture *f = fx_new_long(0);

    fx_unmap(f, 0xd000);
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
}

/* What several accesses have done before one of them faults stays, as CPUs have it: PUSHA, POPA and
 * ENTER; but rSP and rBP. */
static void done_in_part(void **)
{
    struct fixture *f = fx_new_protected(0); /* a stack of 8 bytes, expand-up */

    fx_set_seg(f, SEG_CS, FX_CS0, 0, 0xffff, FX_CODE16);
    fx_set_seg(f, SEG_SS, FX_DS0, 0xfff8, 0xffff, FX_DATA32);
    f->s.gpr[RAX] = 0x1111;
    f->s.gpr[RCX] = 0x2222;
    f->s.gpr[RDX] = 0x3333;
    f->s.gpr[RBX] = 0x4444;
    f->s.gpr[RSP] = 8;
    FX_FAULT(FX_RUN(f, 0x60), VECTOR_SS, 0);
    assert_int_equal(fx_peek(f, 0xfff8, 8), 0x1111222233334444);
    assert_int_equal(f->s.gpr[RSP], 8);
    f->s.gpr[RBP] = 0x5555;
    f->s.gpr[RSP] = 4;
    fx_poke(f, 0xfff8 + 0x5553, 2, 0x6666);
    FX_FAULT(FX_RUN(f, 0xc8, 0, 0, 2), VECTOR_SS, 0); /* enter 0, 2: the third push */
    assert_int_equal(fx_peek(f, 0xfff8, 4), 0x55556666);
    assert_int_equal(f->s.gpr[RBP], 0x5555);
    assert_int_equal(f->s.gpr[RSP], 4);
    f->s.seg[SEG_SS].limit = 5;
    f->s.gpr[RSP] = 0;
    FX_FAULT(FX_RUN(f, 0x61), VECTOR_SS, 0);
    assert_int_equal(f->s.gpr[RDI], 0x6666);
    assert_int_equal(f->s.gpr[RSI], 0x5555);
    assert_int_equal(f->s.gpr[RBP], 0x2222);
    assert_int_equal(f->s.gpr[RBX], 0x4444);
    assert_int_equal(f->s.gpr[RSP], 0);
    fx_free(f);

    f = fx_new_protected(0); /* ENTER's frame pointer is not cut to the stack's width */
    fx_set_seg(f, SEG_CS, FX_CS0, 0, 0xffff, FX_CODE16);
    fx_set_seg(f, SEG_SS, FX_DS0, 0, 0xffff, FX_DATA16);
    f->s.gpr[RSP] = 0;
    FX_DONE(FX_RUN(f, 0x66, 0xc8, 0, 0, 0));
    assert_int_equal(f->s.gpr[RBP], 0xfffffffc);
    assert_int_equal(f->s.gpr[RSP], 0xfffc);
    fx_free(f);
}

/* BOUND reads its upper bound only when the lower one is met. */
static void bounds(void **)
{
    struct fixture *f = fx_new_protected(0);

    f->s.seg[SEG_DS].limit = 0xcfff;
    f->s.gpr[RBX] = 0xcffc;
    f->s.gpr[RAX] = ~0ull;
    fx_poke(f, 0xcffc, 4, 0);
    FX_FAULT(FX_RUN(f, 0x62, 0x03), VECTOR_BR, ~0u); /* bound eax, [ebx] */
    f->s.gpr[RAX] = 0;
    FX_FAULT(FX_RUN(f, 0x62, 0x03), VECTOR_GP, 0);
    fx_free(f);
}

/* PUSH of a segment register writes two bytes of four, POP reads two of four or eight: what #AC and
 * #PF are asked for. */
static void segment_registers(void **)
{
    struct fixture *f = fx_new_long(3);

    f->s.cr0 |= CR0_AM;
    f->s.rflags |= RFLAGS_AC;
    fx_unmap(f, 0xd000);
    f->s.gpr[RSP] = 0xcffe;
    FX_DONE(FX_RUN(f, 0x0f, 0xa1)); /* pop fs */
    assert_int_equal(f->s.gpr[RSP], 0xd006);
    f->s.gpr[RSP] = 0xcffc;
    FX_FAULT(FX_RUN(f, 0x0f, 0xa0), VECTOR_AC, 0); /* push fs: a quadword */
    fx_free(f);

    f = fx_new_protected(3);
    f->s.cr0 |= CR0_AM;
    f->s.rflags |= RFLAGS_AC;
    f->s.gpr[RSP] = 0xcffe;
    FX_DONE(FX_RUN(f, 0x06)); /* push es */
    assert_int_equal(f->s.gpr[RSP], 0xcffa);
    FX_DONE(FX_RUN(f, 0x07));
    f->s.gpr[RSP] = 0xcfff;
    FX_FAULT(FX_RUN(f, 0x06), VECTOR_AC, 0);
    fx_free(f);
}

/* A near CALL has pushed when its target turns out to be none; rSP stays. */
static void call_to_nowhere(void **)
{
    struct fixture *f = fx_new_long(0);

    fx_poke(f, FX_STACK - 8, 8, ~0ull);
    f->s.gpr[RAX] = BIT64(63);
    FX_FAULT(FX_RUN(f, 0xff, 0xd0), VECTOR_GP, 0); /* call rax */
    assert_int_equal(f->s.gpr[RSP], FX_STACK);
    assert_int_equal(fx_peek(f, FX_STACK - 8, 8), f->s.rip + 2);
    fx_unmap(f, FX_STACK - 0x1000);
    FX_FAULT(FX_RUN(f, 0xff, 0xd0), VECTOR_PF, 2); /* and the stack comes first */
    fx_free(f);
}

/* ---- RAM that is remembered -------------------------------------------------------------------
 */

static void *rom(void *ctx, gpa_t gpa, enum emu_access access)
{
    return access & EMU_WRITE ? NULL : fx_ram(ctx, gpa, access);
}

/* A page of data is remembered, but neither its segment's limit nor that it cannot be written. */
static void known_pages(void **)
{
    struct fixture *f = fx_new();
    struct emu_ops ops = fx_ops;

    fx_poke(f, FX_DATA, 8, 0x1111222233334444);
    f->s.gpr[RBX] = FX_DATA;
    f->s.gpr[RCX] = 7;
    for (unsigned n = 0; n < 2; n++) {
        FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x8b, 0x07); /* mov ax, [bx] */
        assert_int_equal(f->s.gpr[RAX] & 0xffff, 0x4444);
    }
    f->s.seg[SEG_DS].limit = FX_DATA;
    FX_RUN_MANY(f, 0, 1, EMU_FAULT, 0x8b, 0x07);
    assert_int_equal(f->e.event.vector, VECTOR_GP);
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x8a, 0x07); /* a byte is allowed */
    f->s.seg[SEG_DS].limit = 0xffff;
    f->s.cr0 |= CR0_PE;
    f->s.seg[SEG_DS].access = 0x91; /* read-only */
    FX_RUN_MANY(f, 0, 1, EMU_FAULT, 0x89, 0x0f);
    f->s.seg[SEG_DS].access |= SEG_UNUSABLE;
    FX_RUN_MANY(f, 0, 1, EMU_FAULT, 0x8b, 0x07);
    f->s.seg[SEG_DS].access = 0x97; /* expand-down: what the limit covers is forbidden */
    FX_RUN_MANY(f, 0, 1, EMU_FAULT, 0x8b, 0x07);
    f->s.seg[SEG_DS].access = 0x93;
    f->s.cr0 &= ~CR0_PE;
    f->s.gpr[RBX] = FX_DATA + 0xfff; /* from a page that is known into another */
    fx_poke(f, FX_DATA + 0xfff, 2, 0xa55a);
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x8b, 0x07);
    assert_int_equal(f->s.gpr[RAX] & 0xffff, 0xa55a);

    ops.ram = rom;
    f->e.ops = &ops;
    emu_forget(&f->e);
    f->s.gpr[RBX] = FX_DATA;
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x8b, 0x07);
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x89, 0x0f); /* mov [bx], cx: lost */
    assert_int_equal(f->mmio_count, 1);
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x01, 0x0f); /* add [bx], cx */
    assert_int_equal(fx_peek(f, FX_DATA, 2), 0x4444);
    f->e.ops = &fx_ops;
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x01, 0x0f);
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0x01, 0x0f);
    assert_int_equal(fx_peek(f, FX_DATA, 2), 0x4452);
    fx_free(f);
}

/* In a page of data found before, a string still ends where the page does: the fuzzer's find. */
static void string_in_known_page(void **)
{
    struct fixture *f = fx_new();

    memset(f->ram + 0x5ff0, 0x11, 16);
    memset(f->ram + 0x6000, 0x22, 16);
    f->s.gpr[RSI] = 0x5ff0;
    f->s.gpr[RDI] = 0x3fe0;
    FX_RUN_MANY(f, 0, 1, EMU_DONE, 0xa5); /* movsw */
    f->s.gpr[RSI] = 0x5ff8;
    f->s.gpr[RDI] = 0x3ff0;
    f->s.gpr[RCX] = 16;
    f->interrupt = true; /* one piece, then it is asked */
    FX_RUN_MANY(f, 0, 1, EMU_RETRY, 0xf3, 0xa4);
    assert_int_equal(f->s.gpr[RCX], 8); /* up to the page's end */
    assert_int_equal(fx_peek(f, 0x3ff0, 8), 0x1111111111111111);
    assert_int_equal(fx_peek(f, 0x3ff8, 8), 0);
    f->s.gpr[RDI] = 0x3ffc; /* to the end of the page that is written */
    f->s.gpr[RSI] = 0x5ff0;
    f->s.gpr[RCX] = 16;
    FX_RUN_MANY(f, 0, 1, EMU_RETRY, 0xf3, 0xa4);
    assert_int_equal(f->s.gpr[RCX], 12);
    fx_free(f);
}

/* ---- devices and ports ------------------------------------------------------------------------
 */

static void device_accesses(void **)
{
    struct fixture *f = fx_new_long(0);

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
    fx_unmap(f, 0xc000);
    FX_FAULT(FX_RUN(f, 0xff, 0x33), VECTOR_PF, 2);
    assert_int_equal(f->mmio_count, 0);
    /* The exit has told the address: no page table says so, and none is asked. */
    f->s.gpr[RBX] = 0xffff800000000010;
    f->e.fault_gva = GVA(f->s.gpr[RBX]);
    f->e.fault_gpa = GPA(FX_MMIO + 0x10);
    f->e.fault_allows = 1;
    FX_DONE(FX_RUN(f, 0x8b, 0x03));
    assert_int_equal(f->mmio_log[0].gpa, FX_MMIO + 0x10);
    fx_free(f);
}

/*
 * KVM's EMULTYPE_NO_DECODE and EMULTYPE_COMPLETE_USER_EXIT go back into an instruction that waits
 * for user space.  Here one emu_step() is all of it, whatever number of accesses it takes.
 */
static void one_call_each(void **)
{
    static const struct {
        u8 code[4], length, accesses;
    } cases[] = {
        {{0xf3, 0xa4}, 2, 6},             /* rep movsb */
        {{0xa5}, 1, 2},                   /* movsd */
        {{0xa6}, 1, 2},                   /* cmpsb */
        {{0x0f, 0xc1, 0x03}, 3, 2},       /* xadd [rbx], eax */
        {{0x87, 0x03}, 2, 2},             /* xchg [rbx], eax */
        {{0xff, 0x33}, 2, 1},             /* push [rbx] */
        {{0x8f, 0x03}, 2, 1},             /* pop [rbx] */
        {{0x0f, 0xba, 0x2b, 0x05}, 4, 2}, /* bts [rbx], 5 */
    };
    struct fixture *f = fx_new_long(0);

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        u64 rip = f->s.rip;
        f->s.gpr[RBX] = FX_MMIO + 0x10;
        f->s.gpr[RSI] = FX_MMIO + 0x20;
        f->s.gpr[RDI] = FX_MMIO + 0x40;
        f->s.gpr[RCX] = 3;
        FX_DONE(fx_run(f, cases[i].code, cases[i].length));
        assert_int_equal(f->s.rip, rip + cases[i].length);
        assert_int_equal(f->mmio_count, cases[i].accesses);
    }
    fx_free(f);
}

static void port_rights(void **)
{
    struct fixture *f = fx_new_protected(3);

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

    f = fx_new_vm86(3); /* the map counts whatever IOPL says */
    fx_poke(f, FX_TSS + 102, 2, 0x80);
    fx_poke(f, FX_TSS + 0x80, 1, 0x02);
    FX_DONE(FX_RUN(f, 0xe6, 0x00));
    FX_FAULT(FX_RUN(f, 0xe6, 0x01), VECTOR_GP, 0);
    fx_free(f);
}

static void port_strings(void **)
{
    struct fixture *f = fx_new_long(0);

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

static void rep_commits(void **)
{
    struct fixture *f = fx_new_long(0);

    memset(f->ram + 0xc000, 0x5a, 0x1000);
    fx_unmap(f, 0x11000);
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

/* The flags are those of before until a comparison ends: SDM vol. 2B, REP.  RF is set between. */
static void rep_flags(void **)
{
    struct fixture *f = fx_new_long(0);
    const u64 before = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_OF | RFLAGS_PF;
    u64 rip = f->s.rip;

    fx_unmap(f, 0x11000);
    memset(f->ram + 0x10ffd, 0x5a, 3);
    f->s.rflags = before;
    f->s.gpr[RAX] = 0x5a;
    f->s.gpr[RDI] = 0x10ffd;
    f->s.gpr[RCX] = 10;
    FX_FAULT(FX_RUN(f, 0xf3, 0xae), VECTOR_PF, 0); /* repe scasb: the fourth is not there */
    assert_int_equal(f->s.gpr[RCX], 7);
    assert_int_equal(f->s.rflags, before);

    f->s.rflags = before | RFLAGS_TF;
    f->s.gpr[RDI] = 0x10ffd;
    f->s.gpr[RCX] = 2;
    FX_DONE(FX_RUN(f, 0xf3, 0xae));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_int_equal(f->s.rip, rip);
    assert_int_equal(f->s.rflags, before | RFLAGS_TF | RFLAGS_RF);
    FX_DONE(FX_RUN(f, 0xf3, 0xae));
    assert_int_equal(f->e.event.vector, VECTOR_DB);
    assert_int_equal(f->s.rip, rip + 2);
    assert_int_equal(f->s.rflags, RFLAGS_FIXED | RFLAGS_ZF | RFLAGS_PF | RFLAGS_TF);

    f->interrupt = true; /* likewise where an interrupt comes between */
    f->s.rflags = before;
    f->s.gpr[RDI] = 0x10ffe;
    f->s.gpr[RCX] = 3;
    fx_map(f, 0x11000, 0x11000, 7);
    assert_int_equal(FX_RUN(f, 0xf3, 0xae), EMU_RETRY);
    assert_int_equal(f->s.gpr[RCX], 1);
    assert_int_equal(f->s.rflags, before | RFLAGS_RF);
    fx_free(f);
}

/* ECX counts: RCX is 32 bits then even when nothing is done, and so are the pointers that are
 * written through, as Intel's CPUs have it. */
static void rep_upper_halves(void **)
{
    static const struct {
        u8 opcode;
        bool rsi, rdi; /* lose theirs */
    } cases[] = {{0xa4, true, true},   {0xa5, true, true},   {0xaa, false, true},
                 {0xac, false, false}, {0xa6, false, false}, {0xae, false, false}};
    struct fixture *f = fx_new_long(0);
    const u64 high = 0xabcd00000000;

    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        f->s.gpr[RCX] = high;
        f->s.gpr[RSI] = high + 0xc000;
        f->s.gpr[RDI] = high + 0xd000;
        FX_DONE(FX_RUN(f, 0x67, 0xf3, cases[n].opcode));
        assert_int_equal(f->s.gpr[RCX], 0);
        assert_int_equal(f->s.gpr[RSI], (cases[n].rsi ? 0 : high) + 0xc000);
        assert_int_equal(f->s.gpr[RDI], (cases[n].rdi ? 0 : high) + 0xd000);
    }
    fx_free(f);
}

/* To a device's page: each element one access, and events are looked at every 64. */
static void rep_device(void **)
{
    struct fixture *f = fx_new_long(0);

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

    f->s.gpr[RSI] = 0xe000; /* compared with it, one by one */
    f->s.gpr[RDI] = FX_MMIO;
    f->s.gpr[RCX] = 50;
    fx_poke(f, 0xe008, 4, 0);
    FX_DONE(FX_RUN(f, 0xf3, 0xa7)); /* repe cmpsd */
    assert_int_equal(f->s.gpr[RCX], 47);
    assert_int_equal(f->mmio_count, 3);

    f->s.gpr[RDI] = FX_MMIO + 2; /* filled */
    f->s.gpr[RAX] = 0xabcd;
    f->s.gpr[RCX] = 100;
    f->interrupt = true;
    assert_int_equal(FX_RUN(f, 0xf3, 0x66, 0xab), EMU_RETRY); /* rep stosw */
    assert_int_equal(f->s.gpr[RCX], 36);
    assert_int_equal(f->mmio_count, 64);
    assert_int_equal(f->mmio_log[31].gpa, FX_MMIO + 64);
    assert_int_equal(f->mmio_log[31].size, 2);
    assert_int_equal(f->mmio_log[31].value, 0xabcd);
    fx_free(f);
}

static void string_shapes(void **)
{
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

static void straddling_lock(void **)
{
    struct fixture *f = fx_new_long(0);
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

static void exchanges(void **)
{
    struct fixture *f = fx_new_long(0);

    f->s.gpr[RAX] = 0xff00000003;
    FX_DONE(FX_RUN(f, 0x0f, 0xc1, 0xc0)); /* xadd eax, eax: the sum stays */
    assert_int_equal(f->s.gpr[RAX], 6);
    f->s.gpr[R8] = 0x3333333344444444;
    FX_DONE(FX_RUN(f, 0xf3, 0x41, 0x90)); /* pause, also with REX.B, which AMD heeds */
    assert_int_equal(f->special_op, EMU_OP_PAUSE);
    assert_int_equal(f->s.gpr[RAX], 6);
    FX_DONE(FX_RUN(f, 0x41, 0x90)); /* xchg r8d, eax */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_are_whole),
        cmocka_unit_test(known_pages),
        cmocka_unit_test(string_in_known_page),
        cmocka_unit_test(device_accesses),
        cmocka_unit_test(one_call_each),
        cmocka_unit_test(port_rights),
        cmocka_unit_test(port_strings),
        cmocka_unit_test(rep_commits),
        cmocka_unit_test(rep_device),
        cmocka_unit_test(string_shapes),
        cmocka_unit_test(straddling_lock),
        cmocka_unit_test(exchanges),
        cmocka_unit_test(done_in_part),
        cmocka_unit_test(bounds),
        cmocka_unit_test(segment_registers),
        cmocka_unit_test(call_to_nowhere),
        cmocka_unit_test(rep_flags),
        cmocka_unit_test(rep_upper_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
