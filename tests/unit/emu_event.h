/* SPDX-License-Identifier: MIT
 *
 * What the tests of events share: machines whose every vector has its own handler, and what an
 * event leaves on the stack.
 */
#ifndef TESTS_UNIT_EMU_EVENT_H
#define TESTS_UNIT_EMU_EVENT_H

#include "emu_fixture.h"

#define HANDLER  0x9000ull
#define INT_GATE 0x8eu /* P, DPL 0, 32- or 64-bit interrupt gate */
#define TRAP     0x8fu
#define INT16    0x86u
#define TASK     0x85u
#define DPL3     0x60u
#define FLAGS    (RFLAGS_FIXED | RFLAGS_CF | RFLAGS_IF | RFLAGS_TF | RFLAGS_NT)

static inline struct emu_event fault(u8 vector, u32 error)
{
    bool has_error = vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF);
    return (struct emu_event){.vector = vector,
                              .type = EMU_EVENT_HARD_EXCEPTION,
                              .has_error = has_error,
                              .error = error,
                              .payload = 0x1234567};
}

/* `n` items of `size` bytes on the stack at `at`, topmost first. */
static inline void expect_stack(const struct fixture *f, u64 at, unsigned size, const u64 *want,
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

static inline void expect_at(const struct fixture *f, u16 cs, u64 rip, u64 rsp)
{
    assert_int_equal(f->s.seg[SEG_CS].selector, cs);
    assert_int_equal(f->s.rip, rip);
    assert_int_equal(f->s.gpr[RSP], rsp);
}

/* ---- machines ------------------------------------------------------------------------------- */

static inline struct fixture *real(void)
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

/* Every vector its own handler: HANDLER + vector. */
static inline struct fixture *with_gates(struct fixture *f)
{
    for (unsigned v = 0; v < 0x80; v++)
        fx_set_gate(f, v, FX_CS0, HANDLER + v, INT_GATE, 0);
    f->s.rip = 0x8123;
    f->s.rflags = FLAGS;
    return f;
}

static inline struct fixture *protected(unsigned cpl) { return with_gates(fx_new_protected(cpl)); }

static inline struct fixture *vm86(unsigned iopl)
{
    struct fixture *f = with_gates(fx_new_vm86(iopl));
    for (unsigned k = 0; k <= SEG_GS; k++)
        fx_set_seg(f, (enum seg)k, (u16)(0x800 + k), (0x800 + k) * 16, 0xffff, 0xf3);
    f->s.rip = 0x123;
    f->s.gpr[RSP] = 0x1000;
    f->s.rflags = RFLAGS_FIXED | RFLAGS_VM | (u64)iopl << 12 | RFLAGS_IF | RFLAGS_TF;
    return f;
}

#endif
