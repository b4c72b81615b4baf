/* SPDX-License-Identifier: MIT
 *
 * x87, MMX, SSE, AVX and AVX-512 on device memory: the local APIC's initial timer count, which
 * keeps 32 bits, and a page where nothing is and which reads as all ones.  Arithmetic, stores,
 * masked moves, gathers, whole states; #XM and #MF, and what x87 notes of the instruction.
 */
#include "tests/guests/lib/guest.h"

#define REG  ((u64)(APIC_BASE + APIC_TIMER_INIT))
#define HOLE 0xc8000000ull

#define MXCSR_DEFAULT 0x1f80u
#define MXCSR_ZM      BIT(9) /* zero divide masked */
#define FCW_DEFAULT   0x037fu
#define FCW_ZM        BIT(2)

static _Alignas(64) u8 image[4096];
static _Alignas(64) u32 word[16], other[16];

static u32 read_reg(void) { return *mmio(REG); }

static void set_reg(u32 v) { *mmio(REG) = v; }

static void fill(u32 *to, u32 v)
{
    for (unsigned i = 0; i < 16; i++)
        to[i] = v;
}

static void set_mxcsr(u32 v) { __asm__ volatile("ldmxcsr %0" : : "m"(v)); }

static void set_control(u16 v) { __asm__ volatile("fninit; fldcw %0" : : "m"(v)); }

/* AVX, and with more bits AVX-512, switched on; false: the CPU has it not. */
static bool enable(u64 bits)
{
    if (!CPUID1_C(26) || (cpuid(0xd, 0).a & bits) != bits)
        return false;
    write_cr4(read_cr4() | CR4_OSXSAVE);
    __asm__ volatile("xsetbv" : : "c"(0), "a"((u32)bits), "d"(0));
    return true;
}
#define WITH_AVX    7u
#define WITH_AVX512 0xe7u

/* Instructions with (%rdx) = `at`; word[] and other[] go in and out as xmm0/xmm1 or ymm0/ymm1. */
#define ON(at, text)                                                   \
    __asm__ volatile("movaps (%0), %%xmm0; movaps (%1), %%xmm1; " text \
                     "; movaps %%xmm0, (%0); movaps %%xmm1, (%1)"      \
                     :                                                 \
                     : "r"(word), "r"(other), "d"(at)                  \
                     : "rax", "rcx", "rbx", "memory", "cc")
#define ON_YMM(at, text)                                                        \
    __asm__ volatile("vmovdqa (%0), %%ymm0; vmovdqa (%1), %%ymm1; " text        \
                     "; vmovdqa %%ymm0, (%0); vmovdqa %%ymm1, (%1); vzeroupper" \
                     :                                                          \
                     : "r"(word), "r"(other), "d"(at)                           \
                     : "rax", "rcx", "rbx", "memory", "cc")

TEST(start)
{
    apic_start();
    set_reg(0x3f800000);
    EXPECT_EQ(read_reg(), 0x3f800000);
    set_mxcsr(MXCSR_DEFAULT);
    set_control(FCW_DEFAULT);
}

TEST(loads)
{
    fill(word, 5);
    ON(HOLE, "paddd (%%rdx), %%xmm0");
    EXPECT_EQ(word[0], 4);
    EXPECT_EQ(word[3], 4);
    ON(HOLE, "cvtdq2ps (%%rdx), %%xmm0");
    EXPECT_EQ(word[2], 0xbf800000); /* -1.0 */
    fill(word, 0x40000000);
    ON(REG, "addss (%%rdx), %%xmm0"); /* 2.0 + 1.0 */
    EXPECT_EQ(word[0], 0x40400000);
    EXPECT_EQ(word[1], 0x40000000);
    ON(REG, "cvtsi2sdl (%%rdx), %%xmm0; cvttsd2si %%xmm0, %%eax; movd %%eax, %%xmm1");
    EXPECT_EQ(other[0], 0x3f800000);
    ON(REG, "pxor %%xmm0, %%xmm0; pinsrw $3, (%%rdx), %%xmm0");
    EXPECT_EQ(word[1], 0);
    ON(HOLE, "movups 1(%%rdx), %%xmm0; movups 0xff8(%%rdx), %%xmm1"); /* across two pages */
    EXPECT_EQ(word[3] & other[3], 0xffffffff);
}

TEST(stores)
{
    fill(word, 0x12345678);
    ON(REG, "movd %%xmm0, (%%rdx)");
    EXPECT_EQ(read_reg(), 0x12345678);
    fill(word, 0x9abcdef0);
    ON(REG, "movss %%xmm0, (%%rdx)");
    EXPECT_EQ(read_reg(), 0x9abcdef0);
    __asm__ volatile("fld1; fstps %0" : "=m"(*mmio(REG)));
    EXPECT_EQ(read_reg(), 0x3f800000);
    __asm__ volatile("fldpi; fistpl %0" : "=m"(*mmio(REG)));
    EXPECT_EQ(read_reg(), 3);
    __asm__ volatile("stmxcsr %0" : "=m"(*mmio(REG)));
    EXPECT_EQ(read_reg() & 0xffc0, MXCSR_DEFAULT);
    set_reg(0x5fc0); /* round towards +infinity */
    __asm__ volatile("ldmxcsr %1; stmxcsr %0" : "=m"(word[0]) : "m"(*mmio(REG)));
    EXPECT_EQ(word[0], 0x5fc0);
    set_mxcsr(MXCSR_DEFAULT);
}

/* Results in flags and general registers. */
TEST(flags_and_registers)
{
    u64 flags, rcx;

    set_reg(0x3f800000);
    fill(word, 0x40000000);
    __asm__ volatile("movss (%1), %%xmm0; comiss (%2), %%xmm0; pushfq; pop %0"
                     : "=r"(flags)
                     : "r"(word), "r"(REG)
                     : "memory", "cc");
    EXPECT_EQ(flags & 0x45, 0); /* greater */
    fill(word, 0x41414141);
    if (!CPUID1_C(20))
        SKIP("no SSE4.2");
    __asm__ volatile("movaps (%2), %%xmm0; pcmpistri $0, (%3), %%xmm0; pushfq; pop %0"
                     : "=r"(flags), "=c"(rcx)
                     : "r"(word), "r"(HOLE)
                     : "memory", "cc");
    EXPECT_EQ(rcx, 16); /* no byte of it is there */
    EXPECT_EQ(flags & (RFLAGS_CF | RFLAGS_ZF), 0);
}

TEST(x87)
{
    u32 v = 0;

    set_reg(7);
    __asm__ volatile("fildl (%1); fiaddl (%1); fimull (%1); fistpl %0"
                     : "=m"(v)
                     : "r"(REG)
                     : "memory");
    EXPECT_EQ(v, 98);
    set_reg(0x3f800000);
    __asm__ volatile("flds (%1); fadds (%1); fsubs (%1); fistpl %0"
                     : "=m"(v)
                     : "r"(REG)
                     : "memory");
    EXPECT_EQ(v, 1);
    __asm__ volatile("fildll (%1); fistpl %0" : "=m"(v) : "r"(HOLE) : "memory");
    EXPECT_EQ(v, 0xffffffff);
}

/* FNSTENV names the instruction and operand of the guest's, not what was run in its place. */
TEST(x87_pointers)
{
    u32 env[7];
    u64 at;

    set_reg(0x3f800000);
    __asm__ volatile("flds %2\n1: fadds (%3)\n fnstenv %0\n lea 1b(%%rip), %1\n fstp %%st(0)"
                     : "=m"(env), "=r"(at)
                     : "m"(*mmio(REG)), "r"(REG)
                     : "memory");
    if (env[3] == 0)
        SKIP("this CPU notes no pointers without an exception");
    EXPECT_EQ(env[3], (u32)at);
    if (!(cpuid(7, 0).b & BIT(6))) /* the operand only with an unmasked exception */
        EXPECT_EQ(env[5], (u32)REG);
}

TEST(simd_exception)
{
    struct trap t;
    u64 cr4 = read_cr4();

    set_reg(0); /* 1.0 / 0.0 */
    fill(word, 0x3f800000);
    ON(REG, "divss (%%rdx), %%xmm0");
    EXPECT_EQ(word[0], 0x7f800000);
    fill(word, 0x3f800000);
    set_mxcsr(MXCSR_DEFAULT & ~MXCSR_ZM);
    t = CATCH(ON(REG, "divss (%%rdx), %%xmm0"));
    EXPECT_EQ(t.vector, VECTOR_XM);
    __asm__ volatile("stmxcsr %0" : "=m"(word[4]));
    EXPECT_EQ(word[4] & 0x3f, BIT(2)); /* the flag is set, the register is not */
    __asm__ volatile("movaps %%xmm0, (%0)" : : "r"(other) : "memory");
    EXPECT_EQ(other[0], 0x3f800000);
    write_cr4(cr4 & ~CR4_OSXMMEXCPT);
    set_mxcsr(MXCSR_DEFAULT & ~MXCSR_ZM);
    t = CATCH(ON(REG, "divss (%%rdx), %%xmm0"));
    write_cr4(cr4);
    set_mxcsr(MXCSR_DEFAULT);
    EXPECT_EQ(t.vector, VECTOR_UD);
}

/* An unmasked exception is raised by the next instruction that waits. */
TEST(x87_exception)
{
    u64 cr0 = read_cr0();
    struct trap t;
    u16 status;

    write_cr0(cr0 | CR0_NE);
    set_reg(0);
    set_control(FCW_DEFAULT & (u16)~FCW_ZM);
    __asm__ volatile("fld1; fdivs (%1); fnstsw %0" : "=a"(status) : "r"(REG) : "memory");
    EXPECT_EQ(status & 0x84, 0x84);
    t = CATCH(__asm__ volatile("fadds (%0)" : : "r"(REG) : "memory"));
    EXPECT_EQ(t.vector, VECTOR_MF);
    EXPECT_NO_TRAP(__asm__ volatile("fnstsw (%0)" : : "r"(HOLE) : "memory")); /* does not wait */
    t = CATCH(__asm__ volatile("movq (%0), %%mm0" : : "r"(HOLE) : "memory"));
    EXPECT_EQ(t.vector, VECTOR_MF);
    set_control(FCW_DEFAULT);
    write_cr0(cr0);
}

TEST(refusals)
{
    u64 cr0 = read_cr0(), cr4 = read_cr4();

    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("movaps 4(%0), %%xmm0" : : "r"(HOLE) : "memory"));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("paddd 8(%0), %%xmm0" : : "r"(HOLE) : "memory"));
    EXPECT_NO_TRAP(__asm__ volatile("movups 4(%0), %%xmm0" : : "r"(HOLE) : "memory"));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("ldmxcsr (%0)" : : "r"(HOLE) : "memory"));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("fxrstor64 (%0)" : : "r"(HOLE) : "memory"));
    write_cr0(cr0 | CR0_TS);
    EXPECT_TRAP(VECTOR_NM, 0, __asm__ volatile("paddd (%0), %%xmm0" : : "r"(HOLE) : "memory"));
    EXPECT_TRAP(VECTOR_NM, 0, __asm__ volatile("fldl (%0)" : : "r"(HOLE) : "memory"));
    write_cr0((cr0 | CR0_EM) & ~CR0_TS);
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("paddd (%0), %%xmm0" : : "r"(HOLE) : "memory"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("movq (%0), %%mm0" : : "r"(HOLE) : "memory"));
    EXPECT_TRAP(VECTOR_NM, 0, __asm__ volatile("fldl (%0)" : : "r"(HOLE) : "memory"));
    write_cr0(cr0);
    write_cr4(cr4 & ~CR4_OSFXSR);
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("paddd (%0), %%xmm0" : : "r"(HOLE) : "memory"));
    write_cr4(cr4);
}

/* Whole states go to memory that forgets them; loading all ones is refused and loads nothing. */
TEST(states)
{
    fill(word, 0x11223344);
    EXPECT_NO_TRAP(__asm__ volatile("fxsave64 (%0)" : : "r"(HOLE) : "memory"));
    EXPECT_NO_TRAP(__asm__ volatile("fnsave (%0); fninit" : : "r"(HOLE) : "memory"));
    if (!enable(3))
        SKIP("no XSAVE");
    EXPECT_NO_TRAP(__asm__ volatile("xsave64 (%0)" : : "r"(HOLE), "a"(3), "d"(0) : "memory"));
    __asm__ volatile("movaps (%0), %%xmm0" : : "r"(word));
    EXPECT_TRAP(VECTOR_GP, 0,
                __asm__ volatile("xrstor64 (%0)"
                                 :
                                 : "r"(HOLE), "a"(3), "d"(0)
                                 : "memory"));
    __asm__ volatile("movaps %%xmm0, (%0); xsave64 (%1); xrstor64 (%1)"
                     :
                     : "r"(other), "r"(image), "a"(3), "d"(0)
                     : "memory");
    EXPECT_EQ(other[0], 0x11223344);
}

TEST(avx)
{
    if (!enable(WITH_AVX))
        SKIP("no AVX");
    set_reg(0x40000000);
    fill(word, 0x3f800000);
    ON_YMM(REG, "vbroadcastss (%%rdx), %%ymm0");
    EXPECT_EQ(word[7], 0x40000000);
    ON_YMM(HOLE, "vcvtdq2ps (%%rdx), %%ymm0");
    EXPECT_EQ(word[7], 0xbf800000);
    ON_YMM(HOLE + 0xff0, "vmovups (%%rdx), %%ymm1"); /* across two pages */
    EXPECT_EQ(other[7], 0xffffffff);
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("vmovaps 16(%0), %%ymm0" : : "r"(HOLE) : "memory"));
    /* Only element 1: its neighbours are registers of the APIC that must not be touched. */
    fill(other, 0);
    other[1] = 0x80000000;
    fill(word, 0x600d);
    ON_YMM(REG - 4, "vmaskmovps %%ymm0, %%ymm1, (%%rdx)");
    EXPECT_EQ(read_reg(), 0x600d);
    ON_YMM(REG - 4, "vmaskmovps (%%rdx), %%ymm1, %%ymm0");
    EXPECT_EQ(word[0], 0);
    EXPECT_EQ(word[1], 0x600d);
    EXPECT_EQ(word[2], 0);
}

TEST(avx2)
{
    if (!enable(WITH_AVX) || !(cpuid(7, 0).b & BIT(5)))
        SKIP("no AVX2");
    fill(word, 5);
    ON_YMM(HOLE, "vpaddd (%%rdx), %%ymm0, %%ymm0");
    EXPECT_EQ(word[7], 4);
    set_reg(0x77);
    for (u32 i = 0; i < 8; i++) {
        word[i] = 0x55;
        other[i] = i == 3 ? 0xffffffff : 0;
    }
    /* Indices in ymm2: only element 3 is loaded, from REG. */
    fill((u32 *)(void *)image, 0xc0000000);
    ((u32 *)(void *)image)[3] = 4;
    __asm__ volatile("vmovdqa (%0), %%ymm2" : : "r"(image));
    ON_YMM(REG - 16, "vpgatherdd %%ymm1, (%%rdx,%%ymm2,4), %%ymm0");
    EXPECT_EQ(word[3], 0x77);
    EXPECT_EQ(word[2], 0x55);
    EXPECT_EQ(other[3], 0); /* the mask is used up */
}

TEST(fma)
{
    if (!enable(WITH_AVX) || !CPUID1_C(12))
        SKIP("no FMA");
    set_reg(0x40400000); /* 3.0 */
    fill(word, 0x40000000);
    fill(other, 0x3f800000);
    ON_YMM(REG, "vfmadd213ss (%%rdx), %%xmm1, %%xmm0"); /* 1 * 2 + 3 */
    EXPECT_EQ(word[0], 0x40a00000);
}

/* Whole moves, and under an opmask: what it leaves out is not touched. */
TEST(avx512)
{
    if (!enable(WITH_AVX512) || !(cpuid(7, 0).b & BIT(16)))
        SKIP("no AVX-512");
    fill(word, 5);
    __asm__ volatile("vmovdqu32 (%0), %%zmm17; vmovdqa64 %%zmm17, (%1)"
                     :
                     : "r"(HOLE + 0x1000 - 32), "r"(word)
                     : "memory");
    EXPECT_EQ(word[0] & word[15], 0xffffffff);
    set_reg(0x1234);
    fill(other, 0x77);
    __asm__ volatile("mov $2, %%eax; kmovw %%eax, %%k3; vmovdqa32 (%1), %%zmm30;"
                     "vmovups (%0), %%xmm30%{%%k3%}; vmovdqa32 %%xmm30, (%1);"
                     "vmovups (%0), %%xmm30%{%%k3%}%{z%}; vmovdqu32 %%xmm30, 16(%1)"
                     :
                     : "r"(REG - 4), "r"(other)
                     : "rax", "memory");
    EXPECT_EQ(other[0], 0x77);
    EXPECT_EQ(other[1], 0x1234);
    EXPECT_EQ(other[2], 0x77);
    EXPECT_EQ(other[4], 0);
    EXPECT_EQ(other[5], 0x1234);
    fill(word, 0xabcd);
    __asm__ volatile("vmovdqa32 (%1), %%zmm5; vmovdqu32 %%xmm5, (%0)%{%%k3%}"
                     :
                     : "r"(REG - 4), "r"(word)
                     : "memory");
    EXPECT_EQ(read_reg(), 0xabcd);
    /* disp8 counts in whole operands; and a mask of bytes. */
    __asm__ volatile("vmovd 0x40(%1), %%xmm20; vmovd %%xmm20, (%0)"
                     :
                     : "r"(word), "r"(REG - 0x40)
                     : "memory");
    EXPECT_EQ(word[0], 0xabcd);
    if (!(cpuid(7, 0).b & BIT(30)))
        SKIP("no AVX512BW");
    fill(word, 0);
    __asm__ volatile("mov $0xff00000000000001, %%rax; kmovq %%rax, %%k1;"
                     "vmovdqu8 (%0), %%zmm0%{%%k1%}%{z%}; vmovdqu8 %%zmm0, (%1); kmovq %%k1, (%0)"
                     :
                     : "r"(HOLE), "r"(word)
                     : "rax", "memory");
    EXPECT_EQ(word[0], 0xff);
    EXPECT_EQ(word[13], 0);
    EXPECT_EQ(word[14] & word[15], 0xffffffff);
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("vmovaps 32(%0), %%zmm0" : : "r"(HOLE) : "memory"));
}
