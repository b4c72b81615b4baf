/* SPDX-License-Identifier: MIT
 *
 * What a guest watches while it is emulated: breakpoints on data and ports by DR7, and single steps
 * from branch to branch (DEBUGCTL.BTF).  Expectations are those of SDM vol. 3B, chapter 17.
 */
#include "emu_fixture.h"

#define WATCHED  0xc100ull
#define ENABLE   BIT(0) /* DR7: L0, then R/W and LEN of DR0 */
#define WRITES   (1u << 16)
#define PORTS    (2u << 16)
#define BOTH     (3u << 16)
#define BYTES(n) ((u32)((n) == 1 ? 0 : (n) == 2 ? 1 : (n) == 4 ? 3 : 2) << 18)

static struct fixture *machine(u64 at, u32 dr7)
{
    struct fixture *f = fx_new_long(0);
    f->s.dr[0] = at;
    f->s.dr7 = 0x400 | dr7;
    return f;
}

static enum emu_status watched(struct fixture *f, bool btf, const void *bytes, size_t n)
{
    memcpy(f->ram + f->s.rip, bytes, n);
    fx_hide(f);
    enum emu_status st = emu_step_watched(&f->e, btf);
    fx_settle(f);
    return st;
}
#define STEP(f, btf, ...) \
    watched(f, btf, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* The instruction is done, and a trap says so (0: none). */
#define TRAPS(bits, call)                                                                \
    do {                                                                                 \
        FX_DONE(call);                                                                   \
        assert_int_equal(f->e.event.vector, (bits) ? VECTOR_DB : VECTOR_NONE);           \
        assert_int_equal(f->e.event.vector == VECTOR_DB ? f->e.event.payload : 0, bits); \
        assert_false((bits) && emu_is_plain(&f->e, EMU_DONE));                           \
    } while (0)

static void data(void **)
{
    struct fixture *f = machine(WATCHED, ENABLE | WRITES | BYTES(4));

    f->s.gpr[RBX] = WATCHED;
    TRAPS(1, STEP(f, false, 0x89, 0x03));       /* mov [rbx], eax */
    TRAPS(0, STEP(f, false, 0x8b, 0x03));       /* a read does not matter */
    TRAPS(1, STEP(f, false, 0xf0, 0xff, 0x03)); /* lock inc: also a write */
    TRAPS(1, STEP(f, false, 0x88, 0x43, 0x03)); /* its last byte */
    TRAPS(0, STEP(f, false, 0x88, 0x43, 0x04));
    TRAPS(0, STEP(f, false, 0x88, 0x43, 0xff));
    TRAPS(1, STEP(f, false, 0x48, 0x89, 0x43, 0xfc)); /* overlaps from below */
    f->s.dr7 = 0x400 | BIT(1) | BOTH | BYTES(8);      /* by the global bit; low bits ignored */
    f->s.dr[0] = WATCHED + 5;
    TRAPS(1, STEP(f, false, 0x8a, 0x43, 0x07));
    TRAPS(0, STEP(f, false, 0x8a, 0x43, 0x08));
    f->s.gpr[RSP] = WATCHED + 8;
    TRAPS(1, STEP(f, false, 0x50));     /* push */
    f->s.dr7 = 0x400 | BOTH | BYTES(8); /* not enabled */
    TRAPS(0, STEP(f, false, 0x8b, 0x03));
    f->s.dr[3] = WATCHED; /* another register beside it */
    f->s.dr[0] = WATCHED + 2;
    f->s.dr7 = 0x400 | BIT(0) | BIT(6) | BOTH | 0xf0000000;
    TRAPS(9, STEP(f, false, 0x8b, 0x03));
    f->s.rflags |= RFLAGS_TF;
    TRAPS(9 | BIT(14), STEP(f, false, 0x8b, 0x03)); /* single step joins */
    fx_free(f);
}

static void devices_and_faults(void **)
{
    struct fixture *f = machine(FX_MMIO + 0x20, ENABLE | BOTH | BYTES(4));

    f->s.gpr[RBX] = FX_MMIO;
    f->e.fault_allows = 2; /* the exit's own access counts all the same */
    f->e.fault_gva = GVA(FX_MMIO + 0x20);
    f->e.fault_gpa = GPA(FX_MMIO + 0x20);
    TRAPS(1, STEP(f, false, 0x8b, 0x43, 0x20));
    assert_int_equal(f->mmio_count, 1);
    f->s.dr[0] = WATCHED;
    f->s.gpr[RBX] = WATCHED;
    fx_map(f, 0x40000000, 0, 0);
    f->s.gpr[RAX] = 0x40000000;
    FX_FAULT(STEP(f, false, 0xff, 0x30), VECTOR_PF, 0); /* push [rax] */
    f->s.gpr[RSP] = 0x40000800;
    FX_FAULT(STEP(f, false, 0xff, 0x33), VECTOR_PF, 2); /* push [rbx]: read, but not done */
    f->s.gpr[RSP] = FX_STACK;
    TRAPS(0, STEP(f, false, 0x90)); /* and nothing is left of it */
    fx_free(f);

    f = fx_new(); /* real mode, whose data pages are remembered */
    f->s.dr[0] = WATCHED;
    f->s.gpr[RBX] = WATCHED;
    FX_DONE(FX_RUN(f, 0x8b, 0x07)); /* mov ax, [bx] */
    f->s.dr7 = 0x400 | ENABLE | BOTH;
    TRAPS(1, STEP(f, false, 0x8b, 0x07));
    TRAPS(1, STEP(f, false, 0x01, 0x07));
    fx_free(f);
}

/* A repeated instruction traps after the iteration that met it, and then goes on. */
static void strings(void **)
{
    struct fixture *f = machine(WATCHED + 2, ENABLE | WRITES | BYTES(1));

    f->s.gpr[RCX] = 4;
    f->s.gpr[RSI] = 0xc200;
    f->s.gpr[RDI] = WATCHED;
    for (unsigned n = 1; n <= 4; n++) {
        TRAPS(n == 3 ? 1 : 0, STEP(f, false, 0xf3, 0xa4));
        assert_int_equal(f->s.gpr[RCX], 4 - n);
        assert_int_equal(f->s.rip, n < 4 ? FX_CODE : FX_CODE + 2);
    }
    fx_free(f);
}

/* MOV SS puts it off until the next instruction is done: SDM vol. 3A, 6.8.3. */
static void stack_switch(void **)
{
    struct fixture *f = machine(WATCHED, ENABLE | BOTH | BYTES(2));

    fx_poke(f, WATCHED, 2, FX_DS0);
    f->s.gpr[RBX] = WATCHED;
    TRAPS(0, STEP(f, false, 0x8e, 0x13)); /* mov ss, [rbx] */
    assert_int_equal(f->s.pending_debug, 1 | BIT(12));
    TRAPS(1, STEP(f, false, 0x90));
    assert_int_equal(f->s.pending_debug, 0);
    fx_free(f);
}

static void ports(void **)
{
    struct fixture *f = machine(0x3f8, ENABLE | PORTS | BYTES(4));

    f->s.gpr[RDX] = 0x3f9;
    TRAPS(0, STEP(f, false, 0xec)); /* means nothing without CR4.DE */
    f->s.cr4 |= CR4_DE;
    TRAPS(1, STEP(f, false, 0xec));
    f->s.gpr[RDX] = 0x3f7;
    TRAPS(0, STEP(f, false, 0xee));
    TRAPS(1, STEP(f, false, 0x66, 0xef));
    f->s.gpr[RDX] = 0x3fb;
    f->s.gpr[RDI] = WATCHED;
    f->s.gpr[RCX] = 2;
    TRAPS(1, STEP(f, false, 0xf3, 0x6c)); /* rep insb, one of it */
    assert_int_equal(f->s.gpr[RCX], 1);
    f->s.gpr[RCX] = 0;
    TRAPS(0, STEP(f, false, 0xf3, 0x6c));
    f->s.gpr[RBX] = 0x3f8; /* memory there is another thing */
    TRAPS(0, STEP(f, false, 0x8b, 0x03));
    fx_free(f);

    f = machine(0x64, ENABLE | PORTS);
    fx_level(f, 3, FX_CODE64);
    f->s.cr4 |= CR4_DE;
    fx_poke(f, FX_TSS + 102, 2, 0xffff); /* no bitmap */
    FX_FAULT(STEP(f, false, 0xe4, 0x64), VECTOR_GP, 0);
    fx_free(f);
}

static void branches(void **)
{
    struct fixture *f = machine(0, 0);

    f->s.rflags |= RFLAGS_TF;
    TRAPS(0, STEP(f, true, 0x90));
    TRAPS(BIT(14), STEP(f, false, 0x90));
    TRAPS(BIT(14), STEP(f, true, 0xeb, 0x00)); /* jmp to the next */
    TRAPS(0, STEP(f, true, 0x74, 0x10));       /* jz: not taken */
    TRAPS(BIT(14), STEP(f, true, 0x75, 0x10)); /* jnz: taken */
    f->s.gpr[RAX] = FX_CODE;
    TRAPS(BIT(14), STEP(f, true, 0xff, 0xd0)); /* call rax */
    TRAPS(BIT(14), STEP(f, true, 0xc3));
    f->s.gpr[RCX] = 2;
    TRAPS(BIT(14), STEP(f, true, 0xe2, 0x05)); /* loop */
    TRAPS(0, STEP(f, true, 0xe2, 0x05));       /* ... no more */
    f->s.gpr[RSI] = f->s.gpr[RDI] = WATCHED;
    f->s.gpr[RCX] = 2;
    TRAPS(0, STEP(f, true, 0xf3, 0xa4)); /* an iteration is no branch */
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data),    cmocka_unit_test(devices_and_faults),
        cmocka_unit_test(strings), cmocka_unit_test(stack_switch),
        cmocka_unit_test(ports),   cmocka_unit_test(branches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
