/* SPDX-License-Identifier: MIT
 *
 * Every exception a program can raise, its error code and where it points (SDM vol. 3A, chapter 6),
 * and double faults.  Under a hypervisor most of them never leave the guest: they must not change.
 */
#include "tests/guests/lib/guest.h"

#define NOT_CANONICAL 0x0000800000000000ull

static volatile u64 *const cell = (volatile u64 *)WINDOW;

TEST(divide)
{
    EXPECT_TRAP(VECTOR_DE, 0,
                __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx"
                                 :
                                 : "a"(1)
                                 : "ecx", "edx", "cc"));
    EXPECT_TRAP(VECTOR_DE, 0,
                __asm__ volatile("mov $-1, %%ecx; cltd; idiv %%ecx"
                                 :
                                 : "a"(0x80000000)
                                 : "ecx", "edx", "cc"));
    EXPECT_TRAP(VECTOR_DE, 0,
                __asm__ volatile("mov $1, %%cl; div %%cl"
                                 :
                                 : "a"(0x100)
                                 : "ecx", "cc"));
}

TEST(breakpoint_is_a_trap)
{
    u64 after;
    struct trap t = CATCH(__asm__ volatile("lea 1f(%%rip), %0; int3; 1:" : "=&a"(after)));

    EXPECT_EQ(t.vector, VECTOR_BP);
    EXPECT_EQ(t.rip, t.rax);
}

/* Faults point at the instruction and carry RF; software interrupts point behind it. */
TEST(undefined)
{
    struct trap t = CATCH(__asm__ volatile("lea 1f(%%rip), %%rax; 1: ud2" : : : "rax"));

    EXPECT_EQ(t.vector, VECTOR_UD);
    EXPECT_EQ(t.rip, t.rax);
    EXPECT(t.rflags & RFLAGS_RF);
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x06"));       /* push es: not in 64 bits */
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x0f, 0x0a")); /* not assigned */
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile("lock; .byte 0x89, 0xc0")); /* lock mov */
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0xc4, 0x00, 0x00, 0x00, 0x00"));
}

/* Where the instruction exits and the hypervisor finds the fault, too. */
TEST(found_by_the_hypervisor)
{
    struct trap t = CATCH(__asm__ volatile("lea 1f(%%rip), %%rax; 1: mov %0, %%cr4"
                                           :
                                           : "r"(~0ull)
                                           : "rax"));

    EXPECT_EQ(t.vector, VECTOR_GP);
    EXPECT_EQ(t.rip, t.rax);
    EXPECT(t.rflags & RFLAGS_RF);
    t = CATCH(wrmsr(0xc0000080, ~0ull)); /* EFER */
    EXPECT_EQ(t.vector, VECTOR_GP);
    EXPECT(t.rflags & RFLAGS_RF);
}

TEST(int_n)
{
    struct trap t = CATCH(__asm__ volatile("lea 1f(%%rip), %%rax; int $0x55; 1:" : : : "rax"));

    EXPECT_EQ(t.vector, 0x55);
    EXPECT_EQ(t.error, 0);
    EXPECT_EQ(t.rip, t.rax);
    EXPECT_EQ(t.rflags & RFLAGS_RF, 0);
}

USER_CODE(user_int, "int $0x55")
USER_CODE(user_int3, "int3")
USER_CODE(user_hlt, "hlt")
USER_CODE(user_cli, "cli")

/* A gate of DPL 0 is closed to INT n from CPL 3: #GP(vector * 8 + 2). */
TEST(gate_privilege)
{
    struct trap t;

    EXPECT_TRAP(VECTOR_GP, 0x55 * 8 + 2, user_run(user_int, 0));
    t = CATCH(user_run(user_int3, 0));
    EXPECT_EQ(t.vector, VECTOR_BP);
    EXPECT_EQ(t.cs, GDT_USER_CODE64 | 3);
    EXPECT_EQ(t.ss, GDT_USER_DATA | 3);
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_hlt, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_cli, 0));
}

TEST(gate_not_present)
{
    u64 old = guest_idt[0x55][0];

    guest_idt[0x55][0] &= ~BIT64(47);
    EXPECT_TRAP(VECTOR_NP, 0x55 * 8 + 2, __asm__ volatile("int $0x55"));
    guest_idt[0x55][0] = (old & ~(0xfull << 40)) | 0x5ull << 40; /* a task gate */
    EXPECT_TRAP(VECTOR_GP, 0x55 * 8 + 2, __asm__ volatile("int $0x55"));
    guest_idt[0x55][0] = (old & ~(0xffffull << 16)) | (u64)GDT_DATA << 16; /* not code */
    EXPECT_TRAP(VECTOR_GP, GDT_DATA, __asm__ volatile("int $0x55"));
    guest_idt[0x55][0] = old;
}

TEST(beyond_the_idt)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) small = {0x55 * 16 - 1, (u64)guest_idt},
                              whole = {sizeof(guest_idt) - 1, (u64)guest_idt};
    struct trap t;

    __asm__ volatile("lidt %0" : : "m"(small));
    t = CATCH(__asm__ volatile("int $0x55"));
    __asm__ volatile("lidt %0" : : "m"(whole));
    EXPECT_EQ(t.vector, VECTOR_GP);
    EXPECT_EQ(t.error, 0x55 * 8 + 2);
}

TEST(segments)
{
    guest_gdt[GDT_FREE / 8] = guest_gdt[GDT_DATA / 8] & ~BIT64(47);
    EXPECT_TRAP(VECTOR_NP, GDT_FREE, __asm__ volatile("mov %0, %%ds" : : "r"(GDT_FREE)));
    EXPECT_TRAP(VECTOR_SS, GDT_FREE, __asm__ volatile("mov %0, %%ss" : : "r"(GDT_FREE)));
    EXPECT_TRAP(VECTOR_GP, 0x1000, __asm__ volatile("mov %0, %%es" : : "r"(0x1000)));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("mov %0, %%ss" : : "r"(3)));
    EXPECT_TRAP(VECTOR_GP, GDT_CODE64, __asm__ volatile("mov %0, %%ss" : : "r"(GDT_CODE64)));
    EXPECT_TRAP(VECTOR_GP, GDT_DATA,
                __asm__ volatile("push %0; push $1f; lretq; 1:"
                                 :
                                 : "r"((u64)GDT_DATA)
                                 : "memory"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x8e, 0xc8")); /* mov cs */
    EXPECT_TRAP(VECTOR_GP, GDT_DATA, __asm__ volatile("ltr %w0" : : "r"(GDT_DATA)));
    EXPECT_TRAP(VECTOR_GP, GDT_DATA, __asm__ volatile("lldt %w0" : : "r"(GDT_DATA)));
    guest_gdt[GDT_FREE / 8] = 0;
}

TEST(addresses)
{
    EXPECT_TRAP(VECTOR_GP, 0, (void)*(volatile u8 *)NOT_CANONICAL);
    EXPECT_TRAP(VECTOR_GP, 0, ((void (*)(void))NOT_CANONICAL)());
    EXPECT_TRAP(VECTOR_SS, 0, /* trap_resume() brings RBP back */
                __asm__ volatile("mov %0, %%rbp; mov (%%rbp), %%rax"
                                 :
                                 : "r"(NOT_CANONICAL)
                                 : "rax"));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("movaps 1(%rsp), %xmm0"));
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("push %0; popfq; iretq" : : "r"(NOT_CANONICAL)));
}

TEST(page_fault_codes)
{
    struct trap t;

    window_open();
    window_entry[0] = 0;
    page_flush();
    EXPECT_TRAP(VECTOR_PF, 0, (void)*cell);
    EXPECT_TRAP(VECTOR_PF, 2, *cell = 1);
    t = CATCH(*(volatile u32 *)(WINDOW - 2) = 1); /* straddles into the missing page */
    EXPECT_EQ(t.vector, VECTOR_PF);
    EXPECT_EQ(t.cr2, WINDOW);
    window_entry[0] = WINDOW | 5;
    page_flush();
    EXPECT_TRAP(VECTOR_PF, 3, *cell = 1);
    EXPECT_TRAP(VECTOR_PF, 3, __asm__ volatile("lock incq (%0)" : : "r"(WINDOW) : "memory"));
    guest_pd[WINDOW >> 21] |= BIT64(7); /* a 2-MiB page at an address that is not a multiple */
    page_flush();
    if ((u64)window_entry & (2 * MiB - 1) & ~0x1fffull)
        EXPECT_TRAP(VECTOR_PF, 9, (void)*cell); /* reserved bits 20:13 */
    window_close();
}

USER_CODE(user_read, "mov $0x4000000, %eax; mov (%rax), %rax")
USER_CODE(user_write, "mov $0x4000000, %eax; mov %rax, (%rax)")
USER_CODE(user_jump, "mov $0x4000000, %eax; jmp *%rax")

TEST(page_fault_codes_cpl3)
{
    window_open();
    window_entry[0] = WINDOW | 3; /* supervisor */
    page_flush();
    EXPECT_TRAP(VECTOR_PF, 5, user_run(user_read, 0));
    EXPECT_TRAP(VECTOR_PF, 7, user_run(user_write, 0));
    EXPECT_TRAP(VECTOR_PF, 5, user_run(user_jump, 0));
    window_entry[0] = 0;
    page_flush();
    EXPECT_TRAP(VECTOR_PF, 4, user_run(user_read, 0));
    EXPECT_TRAP(VECTOR_PF, 6, user_run(user_write, 0));
    window_close();
}

/* Accessed and dirty are set by the CPU (under EPT by the guest's own walk). */
TEST(accessed_and_dirty)
{
    volatile u64 *entry = &window_entry[5];

    window_open();
    EXPECT_EQ(entry[0] & 0x60, 0);
    (void)*(volatile u8 *)(WINDOW + 5 * PAGE_SIZE);
    EXPECT_EQ(entry[0] & 0x60, 0x20);
    *(volatile u8 *)(WINDOW + 5 * PAGE_SIZE) = 1;
    EXPECT_EQ(entry[0] & 0x60, 0x60);
    window_close();
}

TEST(floating_point)
{
    u16 control = 0x0340, usual = 0x037f; /* all unmasked; all masked */
    u32 mxcsr = 0x0000, usual_mxcsr = 0x1f80;
    struct trap t;

    __asm__ volatile("fninit; fldcw %0; fldz; fld1; fdiv %%st(1), %%st" : : "m"(control));
    t = CATCH(__asm__ volatile("fwait"));
    __asm__ volatile("fnclex; fldcw %0; fninit" : : "m"(usual));
    EXPECT_EQ(t.vector, VECTOR_MF);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    t = CATCH(__asm__ volatile("xorps %%xmm0, %%xmm0; divss %%xmm0, %%xmm0" : : : "memory"));
    __asm__ volatile("ldmxcsr %0" : : "m"(usual_mxcsr));
    EXPECT_EQ(t.vector, VECTOR_XM);
    EXPECT_TRAP(VECTOR_GP, 0, __asm__ volatile("push $-1; ldmxcsr (%%rsp); pop %%rax" : : : "rax"));
}

USER_CODE(user_unaligned, "mov -7(%rsp), %eax")

TEST(alignment)
{
    u64 cr0 = read_cr0();

    write_cr0(cr0 | CR0_AM);
    EXPECT_TRAP(VECTOR_AC, 0, user_run(user_unaligned, RFLAGS_AC));
    EXPECT_TRAP(VECTOR_BP, 0, user_run(user_unaligned, 0));
    write_cr0(cr0 & ~CR0_AM);
    EXPECT_TRAP(VECTOR_BP, 0, user_run(user_unaligned, RFLAGS_AC));
    write_cr0(cr0);
}

/* Only in 32-bit code: INTO and BOUND. */
CODE32(code_into, "mov $0x7fffffff, %eax; inc %eax; into")
CODE32(code_bound, "push $5; push $1; mov $9, %eax; bound %eax, (%esp)")
CODE32(code_bound_in, "push $5; push $1; mov $3, %eax; bound %eax, (%esp)")

TEST(in_32_bit_code)
{
    EXPECT_TRAP(VECTOR_OF, 0, code32_run(code_into));
    EXPECT_TRAP(VECTOR_BR, 0, code32_run(code_bound));
    EXPECT_TRAP(VECTOR_BP, 0, code32_run(code_bound_in));
}

/* A fault while a page fault or a contributory one is delivered: #DF, error code 0. */
TEST(double_fault)
{
    u64 gp = guest_idt[VECTOR_GP][0], pf = guest_idt[VECTOR_PF][0];
    struct trap t;

    guest_idt[VECTOR_GP][0] &= ~BIT64(47);
    t = CATCH((void)*(volatile u8 *)NOT_CANONICAL); /* #GP, then #NP */
    guest_idt[VECTOR_GP][0] = gp;
    EXPECT_EQ(t.vector, VECTOR_DF);
    EXPECT_EQ(t.error, 0);
    window_open();
    window_entry[0] = 0;
    page_flush();
    guest_idt[VECTOR_PF][0] &= ~BIT64(47);
    t = CATCH((void)*cell); /* #PF, then #NP */
    guest_idt[VECTOR_PF][0] = pf;
    EXPECT_EQ(t.vector, VECTOR_DF);
    EXPECT_EQ(t.cr2, WINDOW);
    window_close();
}

/* A stack that cannot be pushed to: #PF, then #PF again, then #DF on its own stack. */
TEST(double_fault_by_stack)
{
    struct trap t;

    window_open();
    window_entry[0] = 0;
    page_flush();
    t = CATCH(__asm__ volatile("mov %0, %%rsp; push %%rax" : : "r"(WINDOW + 64) : "memory"));
    EXPECT_EQ(t.vector, VECTOR_DF);
    EXPECT_EQ(t.error, 0);
    window_close();
}

/* Not contributory: #UD while a gate is missing is the second fault alone. */
TEST(serial_fault)
{
    u64 ud = guest_idt[VECTOR_UD][0];
    struct trap t;

    guest_idt[VECTOR_UD][0] &= ~BIT64(47);
    t = CATCH(__asm__ volatile("ud2"));
    guest_idt[VECTOR_UD][0] = ud;
    EXPECT_EQ(t.vector, VECTOR_NP);
    EXPECT_EQ(t.error, VECTOR_UD * 8 + 2 + 1); /* IDT, and EXT: an event outside the program */
}
