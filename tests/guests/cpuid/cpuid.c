/* SPDX-License-Identifier: MIT
 *
 * CPUID (SDM vol. 2A, CPUID): leaves, ranges, and what depends on the CPU's state.
 */
#include "tests/guests/lib/guest.h"

#include "lib/string.h"

TEST(vendor)
{
    struct cpuid r = cpuid(0, 0);
    u32 text[3] = {r.b, r.d, r.c};

    EXPECT(r.a >= 1);
    EXPECT_EQ(memcmp(text, "GenuineIntel", 12), 0);
}

TEST(upper_halves_are_cleared)
{
    u64 a = ~0ull, b = ~0ull, c = ~0ull, d = ~0ull;

    a = 0xffffffff00000000;
    c = 0xffffffff00000000;
    __asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
    EXPECT_EQ((a | b | c | d) >> 32, 0);
}

TEST(essential_features)
{
    struct cpuid r = cpuid(1, 0), ext = cpuid(0x80000001, 0);

    EXPECT(r.d & BIT(0));    /* FPU */
    EXPECT(r.d & BIT(3));    /* PSE */
    EXPECT(r.d & BIT(4));    /* TSC */
    EXPECT(r.d & BIT(5));    /* MSR */
    EXPECT(r.d & BIT(6));    /* PAE */
    EXPECT(r.d & BIT(8));    /* CX8 */
    EXPECT(r.d & BIT(9));    /* APIC */
    EXPECT(r.d & BIT(13));   /* PGE */
    EXPECT(r.d & BIT(25));   /* SSE */
    EXPECT(r.d & BIT(26));   /* SSE2 */
    EXPECT(ext.d & BIT(29)); /* long mode */
}

TEST(apic_id_agrees) { EXPECT_EQ(cpuid(1, 0).b >> 24, apic_read(APIC_ID) >> 24); }

/* CPUID.1:ECX.OSXSAVE[27] mirrors CR4.OSXSAVE. */
TEST(osxsave_follows_cr4)
{
    u64 cr4 = read_cr4();

    if (!CPUID1_C(26))
        SKIP("no XSAVE");
    write_cr4(cr4 & ~CR4_OSXSAVE);
    EXPECT_EQ(CPUID1_C(27), 0);
    write_cr4(cr4 | CR4_OSXSAVE);
    EXPECT_EQ(CPUID1_C(27), 1);
    write_cr4(cr4);
}

/* CPUID.1:EDX.APIC[9] mirrors IA32_APIC_BASE.EN. */
TEST(apic_bit)
{
    u64 base = rdmsr(0x1b);

    EXPECT_EQ(base >> 11 & 1, CPUID1_D(9));
    if (!under_hypervisor())
        SKIP("Bochs' own local APIC cannot be switched on again");
    wrmsr(0x1b, base & ~(u64)BIT(11));
    EXPECT_EQ(CPUID1_D(9), 0);
    wrmsr(0x1b, base);
    EXPECT_EQ(CPUID1_D(9), 1);
}

/* Above the highest basic leaf Intel CPUs return the data of the highest basic leaf. */
TEST(beyond_the_last_basic_leaf)
{
    u32 last = cpuid(0, 0).a;
    struct cpuid beyond = cpuid(last + 0x100, 0), top = cpuid(last, 0);

    if (last == 0xb || last == 0xd || last == 0x7 || last == 0xf)
        SKIP("the last leaf %#x depends on more than itself", (unsigned)last);
    EXPECT_EQ(beyond.a, top.a);
    EXPECT_EQ(beyond.b, top.b);
    EXPECT_EQ(beyond.c, top.c);
    EXPECT_EQ(beyond.d, top.d);
}

/* XCR0 bits offered are those XSETBV takes; x87 and SSE always among them. */
TEST(xsave_leaf)
{
    struct cpuid r = cpuid(0xd, 0);

    if (!CPUID1_C(26))
        SKIP("no XSAVE");
    EXPECT_EQ(r.a & 3, 3);
    EXPECT(r.c >= 576); /* legacy region and header */
    EXPECT(r.b >= 576 && r.b <= r.c);
}

/* SDM: the leaf's address widths; linear 48 or 57, physical 32 to 52. */
TEST(address_widths)
{
    u32 a;

    EXPECT(cpuid(0x80000000, 0).a >= 0x80000008);
    a = cpuid(0x80000008, 0).a;
    EXPECT_RANGE(a & 0xff, 32, 52);
    EXPECT((a >> 8 & 0xff) == 48 || (a >> 8 & 0xff) == 57);
}

/* 40000000h: reserved for hypervisors; where one says it is there, its leaf count makes sense. */
TEST(hypervisor_leaves)
{
    if (!under_hypervisor())
        SKIP("no hypervisor");
    EXPECT_RANGE(cpuid(0x40000000, 0).a, 0x40000000, 0x400000ff);
}

/* CPUID serialises and is a VM exit without a condition: it must not touch anything else. */
TEST(leaves_registers_and_flags)
{
    u64 before, after, sum = 0;

    __asm__ volatile("stc; pushfq; pop %0; mov $0x1234567890abcdef, %%r8; mov %%r8, %%r9;"
                     "mov %%r8, %%r10; mov %%r8, %%r11; xor %%eax, %%eax; stc; cpuid;"
                     "pushfq; pop %1; xor %%r8, %%r9; xor %%r10, %%r11; mov %%r9, %2; or %%r11, %2"
                     : "=&S"(before), "=&D"(after), "=&r"(sum)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "cc");
    EXPECT_EQ(sum, 0);
    EXPECT(after & RFLAGS_CF);
    (void)before;
}
