/* SPDX-License-Identifier: MIT
 *
 * Instructions that may leave a guest and have no test of their own elsewhere: XSETBV, WBINVD,
 * INVD, RDTSC(P), RDPMC, PAUSE, MONITOR and MWAIT, INVLPG and INVPCID, descriptor tables, RDRAND,
 * and the VMX instructions (SDM vol. 2).
 */
#include "tests/guests/lib/guest.h"

static void xsetbv(u32 index, u64 v)
{
    __asm__ volatile("xsetbv" : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)));
}

static u64 xgetbv(u32 index)
{
    u32 low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
    return (u64)high << 32 | low;
}

USER_CODE(user_xsetbv, "xor %ecx, %ecx; mov $1, %eax; xor %edx, %edx; xsetbv")

TEST(xsetbv_and_xgetbv)
{
    u64 cr4 = read_cr4(), offered, old;

    if (!CPUID1_C(26))
        SKIP("no XSAVE");
    EXPECT_TRAP(VECTOR_UD, 0, xsetbv(0, 1)); /* CR4.OSXSAVE is clear */
    write_cr4(cr4 | CR4_OSXSAVE);
    offered = (u64)cpuid(0xd, 0).d << 32 | cpuid(0xd, 0).a;
    old = xgetbv(0);
    EXPECT_EQ(old & 1, 1);
    EXPECT_TRAP(VECTOR_GP, 0, xsetbv(0, offered & ~1ull)); /* x87 cannot go */
    EXPECT_TRAP(VECTOR_GP, 0, xsetbv(0, offered | BIT64(63)));
    EXPECT_TRAP(VECTOR_GP, 0, xsetbv(1, old));
    EXPECT_TRAP(VECTOR_GP, 0, xgetbv(5));
    if (offered & 4)
        EXPECT_TRAP(VECTOR_GP, 0, xsetbv(0, 5)); /* AVX without SSE */
    xsetbv(0, offered & 7);
    EXPECT_EQ(xgetbv(0), offered & 7);
    EXPECT(cpuid(0xd, 0).b >= ((offered & 4) ? 832u : 576u));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_xsetbv, 0));
    xsetbv(0, old);
    write_cr4(cr4);
}

USER_CODE(user_wbinvd, "wbinvd")
USER_CODE(user_invd, "invd")

TEST(caches)
{
    volatile u64 cell = 42;

    EXPECT_NO_TRAP(__asm__ volatile("wbinvd" : : : "memory"));
    EXPECT_EQ(cell, 42);
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_wbinvd, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_invd, 0));
    if (!under_hypervisor())
        SKIP("INVD on the bare machine may lose memory");
    cell = 43;
    EXPECT_NO_TRAP(__asm__ volatile("invd" : : : "memory"));
    EXPECT_EQ(cell, 43);
}

TEST(tsc_runs_forward)
{
    u64 last = rdtsc();

    for (int i = 0; i < 10000; i++) {
        u64 now = rdtsc();
        EXPECT(now > last);
        last = now;
    }
}

TEST(rdtscp)
{
    u64 a, b;
    u32 low, high;

    if (!(cpuid(0x80000001, 0).d & BIT(27))) {
        EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("rdtscp" : "=a"(low), "=d"(high) : : "ecx"));
        SKIP("no RDTSCP: #UD");
    }
    a = rdtsc();
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high) : : "ecx");
    b = rdtsc();
    EXPECT_RANGE((u64)high << 32 | low, a, b);
}

USER_CODE(user_rdpmc, "xor %ecx, %ecx; rdpmc")

TEST(rdpmc)
{
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_rdpmc, 0)); /* CR4.PCE is clear */
    EXPECT_TRAP(VECTOR_GP, 0,
                __asm__ volatile("rdpmc"
                                 :
                                 : "c"(0x3fffffff)
                                 : "rax", "rdx")); /* no such counter */
}

TEST(pause)
{
    for (int i = 0; i < 100000; i++)
        cpu_pause();
}

TEST(monitor_and_mwait)
{
    static u64 cell;

    if (!CPUID1_C(3)) {
        EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("monitor" : : "a"(&cell), "c"(0), "d"(0)));
        EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("mwait" : : "a"(0), "c"(0)));
        return;
    }
    EXPECT_NO_TRAP(__asm__ volatile("monitor" : : "a"(&cell), "c"(0), "d"(0)));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("monitor" : : "a"(&cell), "c"(1), "d"(0)));
}

TEST(invpcid)
{
    struct {
        u64 pcid, address;
    } descriptor = {0, 0};

    if (cpuid(0, 0).a < 7 || !(cpuid(7, 0).b & BIT(10))) {
        EXPECT_TRAP(VECTOR_UD, 0,
                    __asm__ volatile("invpcid %0, %1"
                                     :
                                     : "m"(descriptor), "r"(2ull)));
        return;
    }
    EXPECT_NO_TRAP(__asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"(2ull)));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"(4ull)));
}

TEST(descriptor_tables)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) p;
    u16 selector;

    __asm__ volatile("sgdt %0" : "=m"(p));
    EXPECT_EQ(p.base, (u64)guest_gdt);
    EXPECT_EQ(p.limit, sizeof(guest_gdt) - 1);
    __asm__ volatile("sidt %0" : "=m"(p));
    EXPECT_EQ(p.base, (u64)guest_idt);
    __asm__ volatile("str %0" : "=r"(selector));
    EXPECT_EQ(selector, GDT_TSS);
    __asm__ volatile("sldt %0" : "=r"(selector));
    EXPECT_EQ(selector, 0);
    __asm__ volatile("lldt %w0; sldt %0" : "=r"(selector) : "0"(0));
    EXPECT_EQ(selector, 0);
    p.base = 0x0000800000000000;
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("lgdt %0" : : "m"(p)));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("lidt %0" : : "m"(p)));
}

TEST(random_numbers)
{
    u64 v = 0;
    bool ok = false;

    if (!CPUID1_C(30)) {
        EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("rdrand %0" : "=r"(v)));
        return;
    }
    for (int i = 0; i < 10 && !ok; i++)
        __asm__ volatile("rdrand %0; setc %1" : "=r"(v), "=q"(ok));
    EXPECT(ok);
}

/* With VMX hidden (CPUID.1:ECX[5] = 0) there is no such instruction at all. */
TEST(vmx_hidden)
{
    u64 memory = 0;

    if (CPUID1_C(5))
        SKIP("the CPU shows VMX");
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmxon %0" : : "m"(memory)));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmxoff"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmclear %0" : : "m"(memory)));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmptrld %0" : : "m"(memory)));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmptrst %0" : "=m"(memory)));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmread %%rax, %%rcx" : : : "rcx"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmwrite %%rax, %%rcx" : : : "rcx"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmlaunch"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("vmresume"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x66, 0x0f, 0x38, 0x80, 0x00")); /* invept */
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x66, 0x0f, 0x38, 0x81, 0x00")); /* invvpid */
}

USER_CODE(user_vmxoff, "vmxoff")

TEST(vmx_from_cpl3)
{
    if (CPUID1_C(5))
        SKIP("the CPU shows VMX");
    EXPECT_TRAP(VECTOR_UD, 0, user_run(user_vmxoff, 0));
}

/* SMX's only instruction and other things that are off: #UD, not an unknown exit. */
TEST(switched_off)
{
    EXPECT_TRAP(VECTOR_UD, 0,
                __asm__ volatile("xor %%eax, %%eax; .byte 0x0f, 0x37"
                                 :
                                 :
                                 : "rax")); /* getsec */
    if (cpuid(0, 0).a < 7 || !(cpuid(7, 0).b & BIT(2)))
        EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x0f, 0x01, 0xcf")); /* encls */
}
