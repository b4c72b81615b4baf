/* SPDX-License-Identifier: MIT
 *
 * Task switches by JMP, CALL, IRET and task gates against SDM vol. 3A, chapter 7.
 */
#include "emu_event.h"

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
        cmocka_unit_test(task_jump),      cmocka_unit_test(task_call_and_return),
        cmocka_unit_test(task_exception), cmocka_unit_test(task_refused),
        cmocka_unit_test(task_new_fault), cmocka_unit_test(task_trap),
        cmocka_unit_test(task_16bit),     cmocka_unit_test(task_vm86),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
