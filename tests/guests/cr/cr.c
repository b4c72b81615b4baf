/* SPDX-License-Identifier: MIT
 *
 * MOV to and from control registers, CLTS, LMSW, SMSW (SDM vol. 3A, 2.5; vol. 2B, MOV-CR): what
 * reads back, what is refused, and that the bits do what they say.
 */
#include "tests/guests/lib/guest.h"

TEST(cr0_refusals)
{
    u64 cr0 = read_cr0();

    EXPECT_TRAP(VECTOR_GP, 0, write_cr0((cr0 & ~CR0_CD) | CR0_NW)); /* NW without CD */
    EXPECT_TRAP(VECTOR_GP, 0, write_cr0(cr0 & ~CR0_PE));            /* PG without PE */
    EXPECT_TRAP(VECTOR_GP, 0, write_cr0(cr0 & ~CR0_PG));            /* in 64-bit mode */
    EXPECT_TRAP(VECTOR_GP, 0, write_cr0(cr0 | BIT64(32)));
    EXPECT_TRAP(VECTOR_GP, 0, write_cr0(cr0 | BIT64(63)));
    EXPECT_EQ(read_cr0(), cr0);
}

TEST(cr0_round_trips)
{
    static const u64 bits[] = {CR0_MP, CR0_EM, CR0_TS, CR0_NE, CR0_WP, CR0_AM, CR0_CD};
    u64 cr0 = read_cr0();

    for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
        write_cr0(cr0 ^ bits[i]);
        EXPECT_EQ(read_cr0(), cr0 ^ bits[i]);
        write_cr0(cr0);
    }
    write_cr0(cr0 | CR0_CD | CR0_NW);
    EXPECT_EQ(read_cr0(), cr0 | CR0_CD | CR0_NW);
    write_cr0(cr0);
    EXPECT_EQ(read_cr0(), cr0);
}

/* ET is hard-wired to 1; writes to reserved bits 15:6 and the like of the low half vanish. */
TEST(cr0_fixed_bits)
{
    u64 cr0 = read_cr0();

    write_cr0(cr0 & ~CR0_ET);
    EXPECT_EQ(read_cr0(), cr0);
    write_cr0(cr0 | BIT64(6) | BIT64(17) | BIT64(28));
    EXPECT_EQ(read_cr0(), cr0);
}

TEST(cr0_wp)
{
    volatile u64 *cell = (volatile u64 *)WINDOW;
    u64 cr0 = read_cr0();

    window_open();
    window_entry[0] &= ~2ull;
    page_flush();
    EXPECT_TRAP(VECTOR_PF, 3, *cell = 1); /* P, W */
    EXPECT_EQ(CATCH(*cell = 1).cr2, WINDOW);
    write_cr0(cr0 & ~CR0_WP);
    EXPECT_NO_TRAP(*cell = 2);
    EXPECT_EQ(*cell, 2);
    write_cr0(cr0);
    EXPECT_TRAP(VECTOR_PF, 3, *cell = 3);
    window_close();
}

TEST(cr0_ts_and_em)
{
    u64 cr0 = read_cr0() & ~(CR0_TS | CR0_EM), old = read_cr0();

    write_cr0(cr0 | CR0_TS | CR0_MP);
    EXPECT_TRAP(VECTOR_NM, 0, __asm__ volatile("fnop"));
    EXPECT_TRAP(VECTOR_NM, 0, __asm__ volatile("movaps %xmm0, %xmm1"));
    EXPECT_TRAP(VECTOR_NM, 0, __asm__ volatile("fwait"));
    write_cr0((cr0 | CR0_TS) & ~CR0_MP);
    EXPECT_NO_TRAP(__asm__ volatile("fwait"));
    __asm__ volatile("clts");
    EXPECT_EQ(read_cr0(), cr0 & ~CR0_MP);
    EXPECT_NO_TRAP(__asm__ volatile("movaps %xmm0, %xmm1"));
    write_cr0(cr0 | CR0_EM);
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("movaps %xmm0, %xmm1"));
    EXPECT_TRAP(VECTOR_NM, 0, __asm__ volatile("fnop"));
    write_cr0(old);
}

TEST(lmsw_and_smsw)
{
    u64 cr0 = read_cr0(), value;
    u16 memory = 0;

    __asm__ volatile("smsw %0" : "=r"(value));
    EXPECT_EQ((u16)value, (u16)cr0);
    __asm__ volatile("smsw %0" : "=m"(memory));
    EXPECT_EQ(memory, (u16)cr0);
    __asm__ volatile("lmsw %w0" : : "r"((u16)((cr0 & 0xf) ^ CR0_TS)));
    EXPECT_EQ(read_cr0(), cr0 ^ CR0_TS);
    __asm__ volatile("lmsw %w0" : : "r"(0)); /* cannot clear PE */
    EXPECT_EQ(read_cr0(), (cr0 & ~0xfull) | CR0_PE);
    memory = (u16)cr0;
    __asm__ volatile("lmsw %0" : : "m"(memory));
    EXPECT_EQ(read_cr0(), cr0);
}

TEST(cr2_keeps_any_value)
{
    __asm__ volatile("mov %0, %%cr2" : : "r"(0xdeadbeefcafef00dull));
    EXPECT_EQ(read_cr2(), 0xdeadbeefcafef00dull);
}

TEST(cr3_reserved_bits)
{
    u64 cr3 = read_cr3();
    unsigned width = cpuid(0x80000008, 0).a & 0xff;

    for (unsigned bit = width; bit < 63; bit++)
        EXPECT_TRAP(VECTOR_GP, 0, write_cr3(cr3 | BIT64(bit)));
    EXPECT_EQ(read_cr3(), cr3);
    write_cr3(cr3 | 0x18); /* PWT, PCD */
    EXPECT_EQ(read_cr3(), cr3 | 0x18);
    write_cr3(cr3);
}

TEST(cr3_and_invlpg_flush)
{
    volatile u64 *a = (volatile u64 *)WINDOW, *b = (volatile u64 *)(WINDOW + PAGE_SIZE);

    window_open();
    *a = 1;
    *b = 2;
    window_entry[0] = (WINDOW + PAGE_SIZE) | 7;
    write_cr3(read_cr3());
    EXPECT_EQ(*a, 2);
    window_entry[0] = WINDOW | 7;
    __asm__ volatile("invlpg (%0)" : : "r"(a) : "memory");
    EXPECT_EQ(*a, 1);
    window_entry[0] = 0;
    __asm__ volatile("invlpg (%0)" : : "r"(a) : "memory");
    EXPECT_TRAP(VECTOR_PF, 0, (void)*a);
    window_close();
}

TEST(cr4_refusals)
{
    u64 cr4 = read_cr4();

    EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 & ~CR4_PAE)); /* in long mode */
    EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 ^ CR4_LA57)); /* cannot change in long mode */
    EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | BIT64(15)));
    EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | BIT64(31)));
    EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | BIT64(63)));
    if (!CPUID1_C(5))
        EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | CR4_VMXE));
    if (!CPUID1_C(6))
        EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | CR4_SMXE));
    if (!CPUID1_C(17))
        EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | CR4_PCIDE));
    if (!CPUID1_C(26))
        EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | CR4_OSXSAVE));
    EXPECT_EQ(read_cr4(), cr4);
}

TEST(cr4_round_trips)
{
    static const u64 bits[] = {CR4_VME, CR4_PVI, CR4_TSD,    CR4_DE,         CR4_PSE,
                               CR4_MCE, CR4_PGE, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_PCE};
    u64 cr4 = read_cr4();

    for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
        write_cr4(cr4 ^ bits[i]);
        EXPECT_EQ(read_cr4(), cr4 ^ bits[i]);
        write_cr4(cr4);
    }
    EXPECT_EQ(read_cr4(), cr4);
}

TEST(cr4_osxsave)
{
    u64 cr4 = read_cr4();

    if (!CPUID1_C(26))
        SKIP("no XSAVE");
    write_cr4(cr4 & ~CR4_OSXSAVE);
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("xgetbv" : : "c"(0) : "rax", "rdx"));
    write_cr4(cr4 | CR4_OSXSAVE);
    EXPECT_NO_TRAP(__asm__ volatile("xgetbv" : : "c"(0) : "rax", "rdx"));
    write_cr4(cr4);
}

TEST(cr4_fsgsbase)
{
    u64 cr4 = read_cr4(), base;

    if (cpuid(0, 0).a < 7 || !(cpuid(7, 0).b & BIT(0)))
        SKIP("no FSGSBASE");
    write_cr4(cr4 & ~CR4_FSGSBASE);
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("rdfsbase %0" : "=r"(base)));
    write_cr4(cr4 | CR4_FSGSBASE);
    __asm__ volatile("wrfsbase %0" : : "r"(0x12345678000ull));
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    EXPECT_EQ(base, 0x12345678000ull);
    EXPECT_EQ(rdmsr(0xc0000100), base);
    __asm__ volatile("wrfsbase %0" : : "r"(0ull));
    write_cr4(cr4);
}

USER_CODE(user_rdtsc, "rdtsc")

TEST(cr4_tsd)
{
    u64 cr4 = read_cr4();

    write_cr4(cr4 | CR4_TSD);
    EXPECT_NO_TRAP(rdtsc());
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_rdtsc, 0));
    write_cr4(cr4 & ~CR4_TSD);
    EXPECT_TRAP(VECTOR_BP, 0, user_run(user_rdtsc, 0));
    write_cr4(cr4);
}

/* SDM vol. 3A, 4.10.1: PCIDE needs CR3[11:0] = 0 when it is set. */
TEST(cr4_pcide)
{
    u64 cr4 = read_cr4(), cr3 = read_cr3();

    if (!CPUID1_C(17))
        SKIP("no PCID");
    write_cr3(cr3 | 0x18);
    EXPECT_TRAP(VECTOR_GP, 0, write_cr4(cr4 | CR4_PCIDE));
    write_cr3(cr3);
    write_cr4(cr4 | CR4_PCIDE);
    write_cr3(cr3 | 5);
    EXPECT_EQ(read_cr3(), cr3 | 5);
    write_cr3(cr3 | 5 | BIT64(63)); /* do not flush: the bit is not kept */
    EXPECT_EQ(read_cr3(), cr3 | 5);
    write_cr3(cr3);
    write_cr4(cr4);
}

TEST(cr8)
{
    for (u64 i = 0; i < 16; i++) {
        write_cr8(i);
        EXPECT_EQ(read_cr8(), i);
        EXPECT_EQ(apic_read(APIC_TPR), i << 4);
    }
    EXPECT_TRAP(VECTOR_GP, 0, write_cr8(16));
    EXPECT_TRAP(VECTOR_GP, 0, write_cr8(BIT64(63)));
    apic_write(APIC_TPR, 0x5a);
    EXPECT_EQ(read_cr8(), 5);
    write_cr8(0);
    EXPECT_EQ(apic_read(APIC_TPR), 0);
}

TEST(registers_that_do_not_exist)
{
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x0f, 0x20, 0xc8" : : : "rax")); /* CR1 */
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x0f, 0x22, 0xe8"));             /* CR5 */
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x0f, 0x20, 0xf8" : : : "rax")); /* CR7 */
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x44, 0x0f, 0x22, 0xc8"));       /* CR9 */
}

/* Every general register can be source and target: the exit qualification names it. */
TEST(all_registers)
{
    u64 cr8 = 0;

#define THROUGH(reg, n)                                                                       \
    do {                                                                                      \
        __asm__ volatile("mov %1, %%" #reg "; mov %%" #reg ", %%cr8; xor %%" #reg ", %%" #reg \
                         "; mov %%cr8, %%" #reg "; mov %%" #reg ", %0"                        \
                         : "=m"(cr8)                                                          \
                         : "i"(n)                                                             \
                         : #reg, "memory");                                                   \
        EXPECT_EQ(cr8, n);                                                                    \
    } while (0)
    THROUGH(rax, 1);
    THROUGH(rcx, 2);
    THROUGH(rdx, 3);
    THROUGH(rbx, 4);
    THROUGH(rsi, 5);
    THROUGH(rdi, 6);
    THROUGH(r8, 7);
    THROUGH(r9, 8);
    THROUGH(r10, 9);
    THROUGH(r11, 10);
    THROUGH(r12, 11);
    THROUGH(r13, 12);
    THROUGH(r14, 13);
    THROUGH(r15, 14);
    write_cr8(0);
    __asm__ volatile("mov %%rsp, %%rbx; mov %%cr0, %%rsp; mov %%rsp, %%cr0; mov %%rbx, %%rsp"
                     :
                     :
                     : "rbx", "memory");
}

USER_CODE(user_read_cr0, "mov %cr0, %rax")
USER_CODE(user_write_cr8, "xor %eax, %eax; mov %rax, %cr8")
USER_CODE(user_clts, "clts")
USER_CODE(user_lmsw, "lmsw %ax")
USER_CODE(user_invlpg, "invlpg (%rsp)")
USER_CODE(user_smsw, "smsw %eax")

TEST(from_cpl3)
{
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_read_cr0, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_write_cr8, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_clts, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_lmsw, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_invlpg, 0));
    EXPECT_TRAP(VECTOR_BP, 0, user_run(user_smsw, 0));
}
