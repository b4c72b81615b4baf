/* SPDX-License-Identifier: MIT
 *
 * emulator/native.c, vector.c and fpu.c where the host CPU cannot judge: modes and control bits it
 * is not in, features the guest was not told of, and devices.
 */
#include "tests/unit/emu_fixture.h"

/* 64-bit mode with AVX on; DS:RSI at FX_DATA, RDI at the device. */
static struct fixture *machine_at(unsigned cpl)
{
    struct fixture *f = fx_new_long(cpl);
    f->s.cr0 |= CR0_NE | CR0_MP;
    f->s.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    f->s.xcr0 = 7;
    f->s.gpr[RSI] = FX_DATA;
    f->s.gpr[RDI] = FX_MMIO;
    fx_xsave[XSAVE_BV] = XSTATE_X87 | XSTATE_SSE | XSTATE_AVX;
    return f;
}

static struct fixture *machine(void) { return machine_at(0); }

static void set_u32(u8 *at, u32 v) { memcpy(at, &v, 4); }

static u32 get_u32(const u8 *at)
{
    u32 v;
    memcpy(&v, at, 4);
    return v;
}

static u8 *xmm(unsigned n) { return fx_xsave + XSAVE_XMM + 16 * n; }

/* CR0.EM and TS, CR4 bits, features: SDM vol. 3A, 13.1 and table 13-1. */
static void refused_by_state(void **)
{
    struct fixture *f = machine();

    f->s.cr0 |= CR0_EM;
    FX_FAULT(FX_RUN(f, 0xd8, 0x06), VECTOR_NM, ~0u);             /* fadd dword [rsi] */
    FX_FAULT(FX_RUN(f, 0x0f, 0xfe, 0x06), VECTOR_UD, ~0u);       /* paddd mm0, [rsi] */
    FX_FAULT(FX_RUN(f, 0x66, 0x0f, 0xfe, 0x06), VECTOR_UD, ~0u); /* paddd xmm0, [rsi] */
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x06), VECTOR_NM, ~0u);       /* fxsave [rsi] */
    FX_DONE(FX_RUN(f, 0xc5, 0xf9, 0xfe, 0x06));                  /* vpaddd: EM means nothing */
    f->s.cr0 = (f->s.cr0 & ~CR0_EM) | CR0_TS;
    FX_FAULT(FX_RUN(f, 0xd8, 0x06), VECTOR_NM, ~0u);
    FX_FAULT(FX_RUN(f, 0xc5, 0xf9, 0xfe, 0x06), VECTOR_NM, ~0u);
    FX_FAULT(FX_RUN(f, 0x9b), VECTOR_NM, ~0u);             /* fwait: by MP and TS */
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x26), VECTOR_NM, ~0u); /* xsave [rsi] */
    f->s.cr0 &= ~CR0_TS;
    f->s.cr4 &= ~CR4_OSXSAVE;
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x26), VECTOR_UD, ~0u);
    FX_FAULT(FX_RUN(f, 0xc5, 0xf9, 0xfe, 0x06), VECTOR_UD, ~0u);
    f->s.cr4 |= CR4_OSXSAVE;
    f->s.xcr0 = 3; /* no AVX */
    FX_FAULT(FX_RUN(f, 0xc5, 0xf9, 0xfe, 0x06), VECTOR_UD, ~0u);
    fx_free(f);
}

/* What CPUID did not offer is #UD although the CPU has it. */
static void refused_by_feature(void **)
{
    struct fixture *f = machine();

    f->e.features &= ~BIT64(EMU_HAS_AVX2);
    FX_DONE(FX_RUN(f, 0xc5, 0xf9, 0xfe, 0x06));                  /* vpaddd xmm: AVX */
    FX_FAULT(FX_RUN(f, 0xc5, 0xfd, 0xfe, 0x06), VECTOR_UD, ~0u); /* vpaddd ymm: AVX2 */
    FX_DONE(FX_RUN(f, 0xc5, 0xfc, 0x58, 0x06));                  /* vaddps ymm: AVX */
    f->e.features &= ~(BIT64(EMU_HAS_SSE41) | BIT64(EMU_HAS_SSSE3) | BIT64(EMU_HAS_XSAVEC));
    FX_FAULT(FX_RUN(f, 0x66, 0x0f, 0x38, 0x40, 0x06), VECTOR_UD, ~0u); /* pmulld */
    FX_FAULT(FX_RUN(f, 0x0f, 0x38, 0x00, 0x06), VECTOR_UD, ~0u);       /* pshufb */
    FX_FAULT(FX_RUN(f, 0x0f, 0xc7, 0x26), VECTOR_UD, ~0u);             /* xsavec */
    f->e.features &= ~BIT64(EMU_HAS_AVX);
    FX_FAULT(FX_RUN(f, 0xc5, 0xfc, 0x58, 0x06), VECTOR_UD, ~0u);
    f->e.features = ~BIT64(EMU_HAS_AVX512F); /* vmovups zmm0, [rsi] */
    FX_FAULT(FX_RUN(f, 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x06), VECTOR_UD, ~0u);
    fx_free(f);
}

/* #XM and #MF as the guest's control bits have them. */
static void numeric_errors(void **)
{
    struct fixture *f = machine();

    set_u32(fx_xsave + XSAVE_MXCSR, 0x1d80); /* zero divide not masked */
    set_u32(xmm(0), 0x3f800000);
    FX_FAULT(FX_RUN(f, 0xf3, 0x0f, 0x5e, 0x06), VECTOR_XM, ~0u); /* divss xmm0, [rsi] */
    assert_int_equal(get_u32(xmm(0)), 0x3f800000);
    assert_int_equal(get_u32(fx_xsave + XSAVE_MXCSR), 0x1d84);
    f->s.cr4 &= ~CR4_OSXMMEXCPT;
    FX_FAULT(FX_RUN(f, 0xf3, 0x0f, 0x5e, 0x06), VECTOR_UD, ~0u);
    fx_xsave[XSAVE_BV] |= XSTATE_X87; /* XSAVE found it in its initial state */
    fx_xsave[XSAVE_FCW] = 0x7b;
    FX_DONE(FX_RUN(f, 0xd9, 0xe8)); /* fld1 */
    FX_DONE(FX_RUN(f, 0xd8, 0x36)); /* fdiv dword [rsi] */
    FX_FAULT(FX_RUN(f, 0xd8, 0x06), VECTOR_MF, ~0u);
    FX_FAULT(FX_RUN(f, 0x9b), VECTOR_MF, ~0u);
    FX_DONE(FX_RUN(f, 0xdd, 0x3f)); /* fnstsw [rdi] does not wait */
    assert_int_equal(f->mmio[0] & 0x84, 0x84);
    f->s.cr0 &= ~CR0_NE; /* as VT-x has it */
    FX_FAULT(FX_RUN(f, 0x9b), VECTOR_MF, ~0u);
    fx_free(f);
}

/* VCVTPS2PH converts before it stores: what MXCSR notes, and #XM, come before #PF. */
static void half_store(void **)
{
    struct fixture *f = machine();

    set_u32(xmm(0), 0x3dcccccd); /* 0.1 */
    f->s.gpr[RSI] = 0xd000;
    fx_unmap(f, 0xd000);
    FX_FAULT(FX_RUN(f, 0xc4, 0xe3, 0x79, 0x1d, 0x06, 0), VECTOR_PF, 2); /* [rsi], xmm0, 0 */
    assert_int_equal(get_u32(fx_xsave + XSAVE_MXCSR), 0x1fa0);
    set_u32(fx_xsave + XSAVE_MXCSR, 0xf80); /* inexact not masked */
    FX_FAULT(FX_RUN(f, 0xc4, 0xe3, 0x79, 0x1d, 0x06, 0), VECTOR_XM, ~0u);
    fx_free(f);
}

/* An unmasked exception keeps a store from memory; its pointers are the guest's. */
static void x87_store(void **)
{
    struct fixture *f = machine();
    u64 rip = f->s.rip, at;

    fx_xsave[XSAVE_FCW] = 0x77; /* overflow not masked */
    static const u8 huge[10] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xfe, 0x7f};
    memcpy(fx_xsave + XSAVE_ST, huge, sizeof(huge));
    fx_xsave[XSAVE_FTW] = 1;
    FX_DONE(FX_RUN(f, 0xd9, 0x17)); /* fst dword [rdi] */
    assert_int_equal(f->mmio_count, 0);
    memcpy(&at, fx_xsave + XSAVE_FIP, 8);
    assert_int_equal(at, rip);
    memcpy(&at, fx_xsave + XSAVE_FIP + 8, 8);
    assert_int_equal(at, FX_MMIO);
    assert_int_equal(fx_xsave[XSAVE_FOP] | fx_xsave[XSAVE_FOP + 1] << 8, 0x117);
    f->s.gpr[RDI] = 0x7fff0000; /* no page there, and the exception comes first */
    memset(fx_xsave + XSAVE_FSW, 0, 2);
    FX_DONE(FX_RUN(f, 0xd9, 0x1f)); /* fstp dword [rdi] */
    assert_int_equal(fx_xsave[XSAVE_FSW], 0x88);
    assert_int_equal(fx_xsave[XSAVE_FTW], 1);
    memset(fx_xsave + XSAVE_FSW, 0, 2);
    fx_xsave[XSAVE_FCW] = 0x7f;
    FX_FAULT(FX_RUN(f, 0xd9, 0x1f), VECTOR_PF, 2);
    assert_int_equal(fx_xsave[XSAVE_FSW] | fx_xsave[XSAVE_FSW + 1], 0);
    assert_int_equal(fx_xsave[XSAVE_FTW], 1);
    fx_free(f);
}

/* Whole areas of state: what is looked at first. */
static void area_order(void **)
{
    struct fixture *f = machine();

    f->s.gpr[RAX] = 3;
    f->s.gpr[RDX] = 0;
    f->s.gpr[RDI] = 0x7fff0000;                    /* no page there */
    FX_FAULT(FX_RUN(f, 0xdd, 0x37), VECTOR_PF, 2); /* fnsave */
    assert_int_equal(f->e.event.payload, 0x7fff0000);
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x07), VECTOR_PF, 2); /* fxsave */
    assert_int_equal(f->e.event.payload, 0x7fff01ff);
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x27), VECTOR_PF, 2); /* xsave */
    assert_int_equal(f->e.event.payload, 0x7fff023f);
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x2f), VECTOR_PF, 0); /* xrstor: XCOMP_BV */
    assert_int_equal(f->e.event.payload, 0x7fff0208);
    f->s.gpr[RDI] += 8;
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x07), VECTOR_GP, 0);
    f->s.cr0 |= CR0_AM;
    f->s.rflags |= RFLAGS_AC;
    f->s.seg[SEG_SS].access |= FX_DPL(3);
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x07), VECTOR_GP, 0);
    f->s.gpr[RDI] += 2;
    FX_FAULT(FX_RUN(f, 0x0f, 0xae, 0x07), VECTOR_AC, 0);
    FX_FAULT(FX_RUN(f, 0x66, 0xdd, 0x37), VECTOR_PF, 6); /* words */
    fx_free(f);
}

/* SDM vol. 1, figures 8-10 and 8-12: linear addresses and the opcode. */
static void real_mode_environment(void **)
{
    struct fixture *f = fx_new();
    u16 w[7];
    u32 d[7];

    f->s.cr0 |= CR0_NE;
    fx_xsave[XSAVE_BV] = XSTATE_X87;
    f->s.gpr[RSI] = FX_DATA;
    for (unsigned i = 0; i < 7; i++) /* control, status, tags, IP 54321, FOP 2AB, DP A9876 */
        fx_poke(f, FX_DATA + 2 * i, 2,
                ((const u16[7]){0x37f, 0x3800, 0xffff, 0x4321, 0x52ab, 0x9876, 0xa000})[i]);
    FX_DONE(FX_RUN(f, 0xd9, 0x24));       /* fldenv [si] */
    FX_DONE(FX_RUN(f, 0xd9, 0x74, 0x20)); /* fnstenv [si + 20h] */
    memcpy(w, f->ram + FX_DATA + 0x20, sizeof(w));
    assert_int_equal(w[0], 0x37f);
    assert_int_equal(w[1], 0x3800);
    assert_int_equal(w[2], 0xffff);
    FX_DONE(FX_RUN(f, 0x66, 0xd9, 0x74, 0x40)); /* the 32-bit form */
    memcpy(d, f->ram + FX_DATA + 0x40, sizeof(d));
    assert_int_equal(d[1] & 0xffff, 0x3800);
    assert_int_equal((d[3] & 0xffff) | (d[4] & 0xffff000) << 4, w[3] | (u32)(w[4] & 0xf000) << 4);
    assert_int_equal(d[4] & 0x7ff, w[4] & 0x7ff);
    if (w[3] != 0) { /* this CPU keeps pointers without an exception */
        assert_int_equal(w[3], 0x4321);
        assert_int_equal(w[4], 0x52ab);
    }
    FX_DONE(FX_RUN(f, 0xd9, 0xe8));       /* fld1 */
    FX_DONE(FX_RUN(f, 0xdd, 0x74, 0x40)); /* fnsave [si + 40h]: 94 bytes, and FNINIT */
    FX_DONE(FX_RUN(f, 0xdd, 0x64, 0x40)); /* frstor */
    FX_DONE(FX_RUN(f, 0xd9, 0x5c, 0x10)); /* fstp dword [si + 10h] */
    assert_int_equal(fx_peek(f, FX_DATA + 0x10, 4), 0x3f800000);
    fx_free(f);
}

/* Elements that the mask leaves out are not read, written, or faulted on. */
static void masked_moves(void **)
{
    struct fixture *f = machine();

    memset(xmm(0), 0xaa, 16);
    memset(xmm(1), 0, 16);
    xmm(1)[7] = 0x80;                                 /* element 1 */
    FX_DONE(FX_RUN(f, 0xc4, 0xe2, 0x71, 0x2e, 0x07)); /* vmaskmovps [rdi], xmm1, xmm0 */
    assert_int_equal(f->mmio_count, 1);
    assert_int_equal(f->mmio_log[0].gpa, FX_MMIO + 4);
    assert_int_equal(f->mmio_log[0].size, 4);
    assert_true(f->mmio_log[0].write);
    FX_DONE(FX_RUN(f, 0xc4, 0xe2, 0x71, 0x2c, 0x17)); /* vmaskmovps xmm2, xmm1, [rdi] */
    assert_int_equal(f->mmio_count, 1);
    assert_int_equal(get_u32(xmm(2)), 0);
    assert_int_equal(get_u32(xmm(2) + 4), 0xaaaaaaaa);
    xmm(1)[2] = 0x80;
    FX_DONE(FX_RUN(f, 0x66, 0x0f, 0xf7, 0xc1)); /* maskmovdqu [rdi], xmm0, xmm1: bytes 2 and 7 */
    assert_int_equal(f->mmio_count, 2);
    assert_int_equal(f->mmio_log[0].gpa, FX_MMIO + 2);
    assert_int_equal(f->mmio_log[1].gpa, FX_MMIO + 7);
    fx_free(f);
}

/* An element's offset wraps around at 32 bits outside 64-bit mode, but not for the address size in
 * it. */
static void masked_wrap(void **)
{
    struct fixture *f = machine();

    memset(xmm(1), 0, 16);
    xmm(1)[7] = 0x80; /* element 1 alone */
    f->s.gpr[RDI] = 0xfffffffe;
    FX_FAULT(FX_RUN(f, 0x67, 0xc4, 0xe2, 0x71, 0x2e, 0x07), VECTOR_PF, 2); /* [edi], xmm1, xmm0 */
    assert_int_equal(f->e.event.payload, 0x100000002);
    fx_set_seg(f, SEG_CS, FX_CS0, 0, 0xffffffff, FX_CODE32);
    set_u32(xmm(0) + 4, 0x12345678);
    FX_DONE(FX_RUN(f, 0xc4, 0xe2, 0x71, 0x2e, 0x07));
    assert_int_equal(fx_peek(f, 2, 4), 0x12345678);
    fx_free(f);
}

/* What was gathered before an element faults stays, and the mask says what is left. */
static void gather(void **)
{
    struct fixture *f = machine();

    for (unsigned n = 0; n < 4; n++) {
        set_u32(xmm(0) + 4 * n, 0x55);                    /* destination */
        set_u32(xmm(1) + 4 * n, 0x80000000);              /* mask */
        set_u32(xmm(2) + 4 * n, n == 2 ? 0x7fffffff : n); /* indices */
    }
    fx_poke(f, FX_DATA, 8, 0x2222222211111111);
    f->s.gpr[RSI] = FX_DATA;
    /* vpgatherdd xmm0, [rsi + xmm2 * 4], xmm1 */
    FX_FAULT(FX_RUN(f, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x96), VECTOR_PF, 0);
    assert_int_equal(get_u32(xmm(0)), 0x11111111);
    assert_int_equal(get_u32(xmm(0) + 4), 0x22222222);
    assert_int_equal(get_u32(xmm(0) + 8), 0x55);
    assert_int_equal(get_u32(xmm(1) + 4), 0);
    assert_int_equal(get_u32(xmm(1) + 8), 0xffffffff); /* made whole */
    assert_int_equal(get_u32(xmm(1) + 12), 0xffffffff);
    set_u32(xmm(2) + 8, 0);
    FX_DONE(FX_RUN(f, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x96));
    assert_int_equal(get_u32(xmm(0) + 8), 0x11111111);
    assert_int_equal(get_u32(xmm(1) + 8), 0);
    FX_FAULT(FX_RUN(f, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x8e), VECTOR_UD, ~0u); /* index is mask */
    fx_free(f);
}

/* AVX-512 without a CPU that has it: what would run is as an assembler has it, the mask is ours. */
static struct {
    u64 mask, code[4];
    unsigned runs;
} fake;

static u8 fake_run(void *, struct emu_native *n)
{
    fake.code[fake.runs++ % 4] = n->code;
    if ((n->code >> 32 & 0xc7) == 7 && (n->code & 0xffffff) == 0xf8e1c4) /* kmovq [rdi], k */
        memcpy(n->memory, &fake.mask, 8);
    else if ((n->code & 0xffffff) == 0x91f8c5) /* kmovw [rdi], k */
        memcpy(n->memory, &fake.mask, 2);
    else if ((n->code >> 32 & 0xff) == 0x7f) /* a store */
        memset(n->memory, 0xab, 64);
    return VECTOR_NONE;
}

static void opmask_moves(void **)
{
    struct fixture *f = machine();
    struct emu_ops ops = *f->e.ops;

    ops.run_native = fake_run;
    f->e.ops = &ops;
    FX_FAULT(FX_RUN(f, 0x62, 0x61, 0x7c, 0x0b, 0x10, 0x37), VECTOR_UD, ~0u); /* XCR0 says no */
    f->s.xcr0 = 0xe7;
    fake.runs = 0;
    fake.mask = 5; /* elements 0 and 2 of vmovups xmm30{k3}, [rdi] */
    FX_DONE(FX_RUN(f, 0x62, 0x61, 0x7c, 0x0b, 0x10, 0x37));
    assert_int_equal(fake.code[0], 0xc31f91f8e1c4);   /* kmovq [rdi], k3 */
    assert_int_equal(fake.code[1], 0xc337100b7c6162); /* vmovups xmm30{k3}, [rdi] */
    assert_int_equal(f->mmio_count, 2);
    assert_int_equal(f->mmio_log[1].gpa, FX_MMIO + 8);
    fake.mask = BIT64(15) | BIT64(16); /* there are 16: vmovdqu32 [rdi + 40h]{k3}, zmm30 */
    FX_DONE(FX_RUN(f, 0x62, 0x61, 0x7e, 0x4b, 0x7f, 0x77, 0x01));
    assert_int_equal(fake.code[3], 0xc3377f4b7e6162);
    assert_int_equal(f->mmio_count, 1);
    assert_int_equal(f->mmio_log[0].gpa, FX_MMIO + 0x40 + 60);
    assert_int_equal(f->mmio_log[0].value, 0xabababab);
    fake.mask = 0x111; /* vpcompressd [rdi]{k3}, zmm6: three units, side by side */
    FX_DONE(FX_RUN(f, 0x62, 0xf2, 0x7d, 0x4b, 0x8b, 0x37));
    assert_int_equal(f->mmio_count, 3);
    assert_int_equal(f->mmio_log[2].gpa, FX_MMIO + 8);
    fake.mask = BIT64(16); /* vaddps zmm0{k3}, zmm0, [rdi]{1to16}: for none of the 16 */
    FX_DONE(FX_RUN(f, 0x62, 0xf1, 0x7c, 0x5b, 0x58, 0x07));
    assert_int_equal(f->mmio_count, 0);
    fake.mask = BIT64(15);
    FX_DONE(FX_RUN(f, 0x62, 0xf1, 0x7c, 0x5b, 0x58, 0x07));
    assert_int_equal(f->mmio_count, 1);
    assert_int_equal(f->mmio_log[0].size, 4);
    fake.mask = 0; /* vpslld zmm0{k3}, zmm0, [rdi]: the count is read all the same */
    FX_DONE(FX_RUN(f, 0x62, 0xf1, 0x7d, 0x4b, 0xf2, 0x07));
    assert_int_equal(f->mmio_count, 2);
    fake.mask = 0x102; /* vaddph zmm0{k3}, zmm0, [rdi]: words */
    FX_DONE(FX_RUN(f, 0x62, 0xf5, 0x7c, 0x4b, 0x58, 0x07));
    assert_int_equal(f->mmio_count, 2);
    assert_int_equal(f->mmio_log[0].gpa, FX_MMIO + 2);
    assert_int_equal(f->mmio_log[1].gpa, FX_MMIO + 16);
    assert_int_equal(f->mmio_log[1].size, 2);
    /* vfmaddcph zmm2, zmm1, zmm3; vfmaddcph zmm1, zmm1, zmm3 */
    FX_DONE(FX_RUN(f, 0x62, 0xf6, 0x76, 0x48, 0x56, 0xd3));
    FX_FAULT(FX_RUN(f, 0x62, 0xf6, 0x76, 0x48, 0x56, 0xcb), VECTOR_UD, ~0u);
    f->e.features &= ~BIT64(EMU_HAS_AVX512FP16);
    FX_FAULT(FX_RUN(f, 0x62, 0xf5, 0x7c, 0x4b, 0x58, 0x07), VECTOR_UD, ~0u);
    fake.runs = 0;
    f->e.features &= ~BIT64(EMU_HAS_AVX512CD); /* vpconflictd zmm0, zmm1 */
    FX_FAULT(FX_RUN(f, 0x62, 0xf2, 0x7d, 0x48, 0xc4, 0xc1), VECTOR_UD, ~0u);
    f->e.features &= ~BIT64(EMU_HAS_AVX512BW); /* then by kmovw; and no vmovdqu8 */
    FX_DONE(FX_RUN(f, 0x62, 0x61, 0x7e, 0x4b, 0x7f, 0x77, 0x01));
    assert_int_equal(fake.code[0], 0xc31f91f8c5);
    FX_FAULT(FX_RUN(f, 0x62, 0xe1, 0x7f, 0xa9, 0x6f, 0x0f), VECTOR_UD, ~0u);
    f->e.features = ~BIT64(EMU_HAS_AVX512VL); /* then nothing but zmm */
    FX_FAULT(FX_RUN(f, 0x62, 0x61, 0x7c, 0x0b, 0x10, 0x37), VECTOR_UD, ~0u);
    fake.mask = 1;
    f->s.gpr[RDI] += 32; /* vmovaps zmm5{k2}, [rdi] */
    FX_FAULT(FX_RUN(f, 0x62, 0xf1, 0x7c, 0x4a, 0x28, 0x2f), VECTOR_GP, 0);
    fx_free(f);
}

/* XSAVES and XRSTORS exist, at CPL 0 only. */
static void supervisor_states(void **)
{
    struct fixture *f = machine();

    f->s.gpr[RAX] = 7;
    f->s.gpr[RDX] = 0;
    f->s.seg[SEG_SS].access |= FX_DPL(3);
    FX_FAULT(FX_RUN(f, 0x0f, 0xc7, 0x2e), VECTOR_GP, 0); /* xsaves [rsi] */
    FX_FAULT(FX_RUN(f, 0x0f, 0xc7, 0x1e), VECTOR_GP, 0); /* xrstors [rsi] */
    fx_free(f);
}

/* Another CPU, busy with what is behind the x87 state. */
static u8 run_meanwhile(void *ctx, struct emu_native *n)
{
    static const u32 at[] = {XSAVE_XMM, 464, XSAVE_BV + 8, XSAVE_YMM};

    for (unsigned k = 0; k < ARRAY_SIZE(at); k++)
        fx_poke(ctx, FX_DATA + at[k], 8, 0x77);
    return fx_run_native(ctx, n);
}

/* XSAVE leaves alone what it was not asked for, and what no part of the state is in. */
static void saved_parts(void **)
{
    struct fixture *f = machine();
    struct emu_ops ops = *f->e.ops;

    ops.run_native = run_meanwhile;
    f->e.ops = &ops;
    f->s.gpr[RAX] = 1;
    f->s.gpr[RDX] = 0;
    fx_xsave[XSAVE_FCW] = 0x7a;
    FX_DONE(FX_RUN(f, 0x0f, 0xae, 0x26)); /* xsave [rsi] */
    assert_int_equal(fx_peek(f, FX_DATA, 1), 0x7a);
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_BV, 8), XSTATE_X87);
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_XMM, 8), 0x77);
    assert_int_equal(fx_peek(f, FX_DATA + 464, 8), 0x77);
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_BV + 8, 8), 0x77);
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_YMM, 8), 0x77);
    fx_free(f);
}

static void pkru_cpuid(void *, u32 leaf, u32 subleaf, u32 out[4])
{
    assert_int_equal(leaf, 0xd);
    assert_int_equal(subleaf, 9);
    memcpy(out, (const u32[4]){8, 0xa80, 0, 0}, 16);
}

/* PKRU goes from and to state.pkru, in both forms of an area; the CPU has no part in it. */
static void saved_pkru(void **)
{
    struct fixture *f = machine();
    struct emu_ops ops = *f->e.ops;

    ops.run_native = fake_run;
    ops.cpuid = pkru_cpuid;
    f->e.ops = &ops;
    f->s.xcr0 = 0x203;
    f->s.gpr[RAX] = 0x201;
    f->s.gpr[RDX] = 0;
    f->s.pkru = 0x55;
    FX_DONE(FX_RUN(f, 0x0f, 0xae, 0x26)); /* xsave [rsi] */
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_BV, 8), 0x200);
    assert_int_equal(fx_peek(f, FX_DATA + 0xa80, 8), 0x55);
    f->s.pkru = 0;
    FX_DONE(FX_RUN(f, 0x0f, 0xae, 0x2e)); /* xrstor [rsi] */
    assert_int_equal(f->s.pkru, 0x55);
    f->s.gpr[RAX] = 1;
    f->s.pkru = 1;
    FX_DONE(FX_RUN(f, 0x0f, 0xae, 0x2e)); /* not asked for */
    assert_int_equal(f->s.pkru, 1);
    f->s.gpr[RAX] = 0x200;
    f->s.pkru = 0x66;
    FX_DONE(FX_RUN(f, 0x0f, 0xc7, 0x26)); /* xsavec [rsi]: right behind the header */
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_BV + 8, 8), 0x200);
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_YMM, 8), 0x66);
    fx_poke(f, FX_DATA + XSAVE_BV, 8, 0);
    FX_DONE(FX_RUN(f, 0x0f, 0xae, 0x2e)); /* absent: 0 */
    assert_int_equal(f->s.pkru, 0);
    f->s.gpr[RAX] = 0x200;
    FX_DONE(FX_RUN(f, 0x0f, 0xc7, 0x26)); /* xsavec: what is initial is not written */
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_BV, 8), 0);
    assert_int_equal(fx_peek(f, FX_DATA + XSAVE_YMM, 8), 0x66);
    fx_free(f);
}

static void vector_moves(void **)
{
    struct fixture *f = fx_new_long(0);
    u8 *ymm = fx_xsave + XSAVE_YMM;

    fx_xsave[XSAVE_BV] = XSTATE_SSE | XSTATE_AVX;
    memset(xmm(0), 0xee, 256);
    memset(ymm, 0xee, 256);
    for (unsigned n = 0; n < 32; n++)
        f->ram[0xc000 + n] = (u8)n;
    f->s.gpr[RSI] = 0xc000;
    FX_FAULT(FX_RUN(f, 0x0f, 0x10, 0x06), VECTOR_UD, ~0u); /* no CR4.OSFXSR */
    f->s.cr4 |= CR4_OSFXSR;
    FX_DONE(FX_RUN(f, 0x0f, 0x10, 0x06)); /* movups xmm0, [rsi] */
    assert_memory_equal(xmm(0), f->ram + 0xc000, 16);
    assert_int_equal(ymm[0], 0xee);
    FX_DONE(FX_RUN(f, 0xf3, 0x0f, 0x10, 0x0e)); /* movss clears the rest */
    assert_int_equal(xmm(1)[3], 3);
    assert_int_equal(xmm(1)[4], 0);
    FX_FAULT(FX_RUN(f, 0xc5, 0xfe, 0x6f, 0x16), VECTOR_UD, ~0u); /* no CR4.OSXSAVE */
    f->s.cr4 |= CR4_OSXSAVE;
    f->s.xcr0 = 7;
    FX_DONE(FX_RUN(f, 0xc5, 0xfe, 0x6f, 0x16)); /* vmovdqu ymm2, [rsi] */
    assert_memory_equal(xmm(2), f->ram + 0xc000, 16);
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

/* CPL 3 with CR0.AM and RFLAGS.AC: which operands that are off by one must be aligned. */
static void alignment_check(void **)
{
    static const struct {
        const char *text;
        u8 code[8], length;
        u8 vector; /* VECTOR_NONE: it need not */
    } cases[] = {
        {"movss", {0xf3, 0x0f, 0x10, 0x06}, 4, VECTOR_AC},
        {"movhps", {0x0f, 0x16, 0x06}, 3, VECTOR_AC},
        {"movups", {0x0f, 0x10, 0x06}, 3, VECTOR_NONE},
        {"movups store", {0x0f, 0x11, 0x06}, 3, VECTOR_NONE},
        {"addps", {0x0f, 0x58, 0x06}, 3, VECTOR_GP},
        {"pcmpistri", {0x66, 0x0f, 0x3a, 0x63, 0x06}, 6, VECTOR_NONE},
        {"vaddsd", {0xc5, 0xfb, 0x58, 0x06}, 4, VECTOR_AC},
        {"vaddps xmm", {0xc5, 0xf8, 0x58, 0x06}, 4, VECTOR_NONE},
        {"vaddps ymm", {0xc5, 0xfc, 0x58, 0x06}, 4, VECTOR_NONE},
        {"vmovaps ymm", {0xc5, 0xfc, 0x28, 0x06}, 4, VECTOR_GP},
        {"vcvtph2ps xmm", {0xc4, 0xe2, 0x79, 0x13, 0x06}, 5, VECTOR_NONE},
        {"vcvtps2ph xmm", {0xc4, 0xe3, 0x79, 0x1d, 0x06}, 6, VECTOR_NONE},
        {"vmaskmovps", {0xc4, 0xe2, 0x71, 0x2c, 0x06}, 5, VECTOR_NONE},
        {"maskmovdqu", {0x66, 0x0f, 0xf7, 0xc1}, 4, VECTOR_AC},
        {"fld m80", {0xdb, 0x2e}, 2, VECTOR_AC},
    };
    struct fixture *f = machine_at(3);

    f->s.cr0 |= CR0_AM;
    f->s.rflags |= RFLAGS_AC;
    f->s.gpr[RSI] = f->s.gpr[RDI] = FX_DATA + 1;
    memset(xmm(1), 0xff, 16);
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        enum emu_status st = fx_run(f, cases[n].code, cases[n].length);
        if (f->e.event.vector != cases[n].vector)
            print_error("%s: vector %u\n", cases[n].text, f->e.event.vector);
        assert_int_equal(f->e.event.vector, cases[n].vector);
        assert_int_equal(st, cases[n].vector == VECTOR_NONE ? EMU_DONE : EMU_FAULT);
    }
    fx_free(f);
}

/* Under an opmask the whole operand, of up to 8 bytes, where any unit of it is accessed. */
static void opmask_alignment(void **)
{
    static const u8 widen[] = {0x62, 0xf1, 0x7c, 0x0b, 0x5a, 0x06};  /* vcvtps2pd xmm0{k3}, [rsi] */
    static const u8 narrow[] = {0x62, 0xf2, 0x7e, 0x0b, 0x31, 0x16}; /* vpmovdb [esi]{k3}, xmm2 */
    struct fixture *f = machine_at(3);
    struct emu_ops ops = *f->e.ops;

    ops.run_native = fake_run;
    f->e.ops = &ops;
    f->s.xcr0 = 0xe7;
    f->s.cr0 |= CR0_AM;
    f->s.rflags |= RFLAGS_AC;
    f->s.gpr[RSI] = FX_DATA + 4;
    fake.mask = 2; /* the unit is aligned, the operand is not */
    FX_FAULT(fx_run(f, widen, sizeof(widen)), VECTOR_AC, 0);
    fake.mask = 4; /* there are two */
    FX_DONE(fx_run(f, widen, sizeof(widen)));
    fake.mask = 2;
    f->s.gpr[RSI] = FX_DATA + 1;
    FX_DONE(FX_RUN(f, 0x62, 0xf1, 0x7c, 0x4b, 0x10, 0x06)); /* vmovups zmm0{k3}, [rsi] */
    f->s.gpr[RSI] = FX_DATA + 8;
    FX_DONE(fx_run(f, widen, sizeof(widen)));
    fx_set_seg(f, SEG_CS, FX_CS3, 0, 0xffffffff, FX_CODE32 | FX_DPL(3));
    f->s.gpr[RSI] = FX_DATA + 1;
    FX_FAULT(fx_run(f, narrow, sizeof(narrow)), VECTOR_AC, 0);
    f->s.seg[SEG_DS].access &= ~2u; /* read-only: that comes first */
    FX_FAULT(fx_run(f, narrow, sizeof(narrow)), VECTOR_GP, 0);
    f->s.seg[SEG_DS].access |= 2;
    f->s.seg[SEG_DS].limit = FX_DATA + 3; /* and so does its end */
    fake.mask = 8;
    FX_FAULT(fx_run(f, narrow, sizeof(narrow)), VECTOR_GP, 0);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_moves),
        cmocka_unit_test(refused_by_state),
        cmocka_unit_test(refused_by_feature),
        cmocka_unit_test(half_store),
        cmocka_unit_test(numeric_errors),
        cmocka_unit_test(x87_store),
        cmocka_unit_test(area_order),
        cmocka_unit_test(saved_parts),
        cmocka_unit_test(saved_pkru),
        cmocka_unit_test(masked_wrap),
        cmocka_unit_test(masked_moves),
        cmocka_unit_test(real_mode_environment),
        cmocka_unit_test(gather),
        cmocka_unit_test(supervisor_states),
        cmocka_unit_test(opmask_moves),
        cmocka_unit_test(alignment_check),
        cmocka_unit_test(opmask_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
