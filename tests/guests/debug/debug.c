/* SPDX-License-Identifier: MIT
 *
 * Debug registers, breakpoints and single-stepping (SDM vol. 3B, 17.2 and 17.3), above all across
 * instructions that leave the guest: the step must come after exactly one of them.
 */
#include "tests/guests/lib/guest.h"

#define DR6_FIXED 0xffff0ff0ull
#define DR6_BS    BIT64(14)
#define DR6_BD    BIT64(13)
#define DR7_FIXED 0x400ull

#define STEPS 32
static u64 step_rip[STEPS], step_dr6[STEPS];
static unsigned steps;

static void on_step(struct trap_frame *f)
{
    if (steps < STEPS) {
        step_rip[steps] = f->rip;
        step_dr6[steps] = read_dr6();
    }
    steps++;
    write_dr6(DR6_FIXED);
    if (steps >= STEPS)
        f->rflags &= ~(u64)RFLAGS_TF;
}

static void step_begin(void)
{
    steps = 0;
    write_dr6(DR6_FIXED);
    trap_handle(VECTOR_DB, on_step);
}

/* After `before`, under TF: NOP, the instruction, and what switches TF off again. */
#define STEP_OVER(before, text)                                                               \
    do {                                                                                      \
        u64 after_[2];                                                                        \
        step_begin();                                                                         \
        __asm__ volatile(                                                                     \
            "lea 1f(%%rip), %%r8; mov %%r8, %0; lea 2f(%%rip), %%r8; mov %%r8, %1;" before    \
            "; pushfq; orq $0x100, (%%rsp); popfq;"                                           \
            "nop; 1:" text "; 2: pushfq; andq $~0x100, (%%rsp); popfq; nop"                   \
            : "=m"(after_[0]), "=m"(after_[1])                                                \
            :                                                                                 \
            : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "memory", "cc");                \
        trap_handle(VECTOR_DB, NULL);                                                         \
        EXPECT(steps >= 2);                                                                   \
        EXPECT_EQ(step_rip[0], after_[0]);                                                    \
        EXPECT_EQ(step_rip[1], after_[1]);                                                    \
        EXPECT_EQ(step_dr6[0] & (DR6_BS | 0xf), DR6_BS);                                      \
        EXPECT_EQ(step_dr6[1] & (DR6_BS | 0xf), DR6_BS);                                      \
        EXPECT_EQ(steps, 5); /* nop, text, pushf, and, popf: TF is tested as it was before */ \
    } while (0)

TEST(step_plain) { STEP_OVER("", "mov $1, %%eax"); }

TEST(step_cpuid) { STEP_OVER("xor %%eax, %%eax", "cpuid"); }

TEST(step_msr)
{
    STEP_OVER("mov $0x1b, %%ecx", "rdmsr");
    STEP_OVER("mov $0x174, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx", "wrmsr");
}

TEST(step_port)
{
    STEP_OVER("", "in $0x21, %%al");
    STEP_OVER("xor %%eax, %%eax", "out %%al, $0x80");
}

TEST(step_control_registers)
{
    STEP_OVER("mov %%cr0, %%rax", "mov %%rax, %%cr0");
    STEP_OVER("mov %%cr3, %%rax", "mov %%rax, %%cr3");
    STEP_OVER("mov %%cr4, %%rax", "mov %%rax, %%cr4");
    STEP_OVER("xor %%eax, %%eax", "mov %%rax, %%cr8");
    STEP_OVER("", "mov %%cr8, %%rax");
    STEP_OVER("", "clts");
}

TEST(step_mmio)
{
    STEP_OVER("mov $0xfee00020, %%edx", "mov (%%rdx), %%eax");
    STEP_OVER("mov $0xfee00080, %%edx; xor %%eax, %%eax", "mov %%eax, (%%rdx)");
    STEP_OVER("mov $0xfee00080, %%edx", "andl $0, (%%rdx)");
}

TEST(step_others)
{
    STEP_OVER("", "wbinvd");
    STEP_OVER("", "rdtsc");
    STEP_OVER("", "pause");
    STEP_OVER("", "invlpg (%%rsp)");
}

/* A repeated string instruction traps after every iteration (SDM vol. 3B, 17.3.1.4). */
TEST(step_rep_outs)
{
    static u8 bytes[3];

    step_begin();
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; rep outsb;"
                     "pushfq; andq $~0x100, (%%rsp); popfq"
                     :
                     : "S"(bytes), "c"(3), "d"(0x80)
                     : "memory", "cc");
    trap_handle(VECTOR_DB, NULL);
    EXPECT_EQ(steps, 6); /* three iterations, pushf, and, popf */
    EXPECT_EQ(step_rip[0], step_rip[1]);
    EXPECT_EQ(step_rip[2], step_rip[1] + 2);
}

/* MOV SS holds the trap back by one instruction. */
TEST(step_mov_ss)
{
    u64 want[2];

    step_begin();
    __asm__ volatile("lea 1f(%%rip), %%r8; mov %%r8, %0; lea 2f(%%rip), %%r8; mov %%r8, %1;"
                     "mov %%ss, %%ecx; pushfq; orq $0x100, (%%rsp); popfq;"
                     "nop; 1: mov %%ecx, %%ss; nop; 2: pushfq; andq $~0x100, (%%rsp); popfq"
                     : "=m"(want[0]), "=m"(want[1])
                     :
                     : "rcx", "r8", "memory", "cc");
    trap_handle(VECTOR_DB, NULL);
    EXPECT_EQ(step_rip[0], want[0]);
    EXPECT_EQ(step_rip[1], want[1]);
    EXPECT_EQ(steps, 5);
}

TEST(fixed_bits)
{
    u64 dr7 = read_dr7();

    write_dr6(0);
    EXPECT_EQ(read_dr6() & ~BIT64(16) & ~BIT64(11), (DR6_FIXED & ~BIT64(16) & ~BIT64(11)));
    write_dr6(DR6_FIXED);
    EXPECT_EQ(dr7, DR7_FIXED);
    write_dr7(0);
    EXPECT_EQ(read_dr7(), DR7_FIXED);
    EXPECT_TRAP(VECTOR_GP, 0, write_dr7(BIT64(32)));
    EXPECT_TRAP(VECTOR_GP, 0, write_dr6(BIT64(32)));
}

TEST(round_trips)
{
    write_dr0(0x1111222233334444);
    write_dr1(0xffff800000001234);
    write_dr2(0x2222);
    write_dr3(~0ull);
    EXPECT_EQ(read_dr0(), 0x1111222233334444);
    EXPECT_EQ(read_dr1(), 0xffff800000001234);
    EXPECT_EQ(read_dr2(), 0x2222);
    EXPECT_EQ(read_dr3(), ~0ull);
    write_dr0(0);
    write_dr1(0);
    write_dr2(0);
    write_dr3(0);
}

/* With CR4.DE clear DR4 and DR5 are DR6 and DR7; with DE set they do not exist. */
TEST(aliases)
{
    u64 cr4 = read_cr4();

    write_cr4(cr4 & ~CR4_DE);
    EXPECT_EQ(read_dr5(), read_dr7());
    EXPECT_EQ(read_dr4(), read_dr6());
    write_cr4(cr4 | CR4_DE);
    EXPECT_TRAP(VECTOR_UD, 0, read_dr4());
    EXPECT_TRAP(VECTOR_UD, 0, write_dr5(0));
    write_cr4(cr4);
}

static u64 watched[2];

TEST(data_breakpoint)
{
    struct trap t;

    write_dr0((u64)&watched[1]);
    write_dr6(DR6_FIXED);
    write_dr7(DR7_FIXED | 1 | 1 << 16 | 2 << 18); /* L0: write, 8 bytes */
    t = CATCH(*(volatile u64 *)&watched[0] = 1);
    EXPECT_EQ(t.vector, TRAP_NONE);
    t = CATCH(*(volatile u8 *)((u8 *)&watched[1] + 7) = 1);
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.dr6 & 0xf, 1);
    t = CATCH((void)*(volatile u64 *)&watched[1]);
    EXPECT_EQ(t.vector, TRAP_NONE);
    write_dr7(DR7_FIXED | 1 | 3 << 16 | 2 << 18); /* read or write */
    write_dr6(DR6_FIXED);
    t = CATCH((void)*(volatile u64 *)&watched[1]);
    EXPECT_EQ(t.vector, VECTOR_DB);
    write_dr7(DR7_FIXED);
    write_dr0(0);
}

__attribute__((noinline)) static void broken_on(void) { __asm__ volatile(""); }

TEST(instruction_breakpoint)
{
    struct trap t;

    write_dr1((u64)broken_on);
    write_dr6(DR6_FIXED);
    write_dr7(DR7_FIXED | 1 << 2); /* L1: execution */
    t = CATCH(broken_on());
    write_dr7(DR7_FIXED);
    write_dr1(0);
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.dr6 & 0xf, 2);
    EXPECT_EQ(t.rip, (u64)broken_on);   /* a fault: before the instruction */
    EXPECT_EQ(t.rflags & RFLAGS_RF, 0); /* of the faults only this one: vol. 3B, 17.3.1.1 */
}

/* RF in the flags that IRET loads lets the instruction pass once. */
static unsigned hits;
static void resume_with_rf(struct trap_frame *f)
{
    hits++;
    f->rflags |= RFLAGS_RF;
    if (hits > 4)
        write_dr7(DR7_FIXED);
}

TEST(resume_flag)
{
    hits = 0;
    trap_handle(VECTOR_DB, resume_with_rf);
    write_dr1((u64)broken_on);
    write_dr7(DR7_FIXED | 1 << 2);
    broken_on();
    broken_on();
    write_dr7(DR7_FIXED);
    trap_handle(VECTOR_DB, NULL);
    write_dr6(DR6_FIXED);
    EXPECT_EQ(hits, 2);
}

TEST(io_breakpoint)
{
    u64 cr4 = read_cr4();
    struct trap t;

    write_cr4(cr4 | CR4_DE);
    write_dr0(0x80);
    write_dr6(DR6_FIXED);
    write_dr7(DR7_FIXED | 1 | 2 << 16);
    t = CATCH(outb(0x80, 0));
    write_dr7(DR7_FIXED);
    write_cr4(cr4);
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.dr6 & 0xf, 1);
}

/* Accesses that leave the guest: to a device's page, and by REP OUTS. */
TEST(breakpoints_on_devices)
{
    u64 cr4 = read_cr4(), count = 3;
    const void *at = watched;
    struct trap t;

    write_dr0(APIC_BASE + APIC_TPR);
    write_dr6(DR6_FIXED);
    write_dr7(DR7_FIXED | 1 | 3 << 16 | 3 << 18); /* reads and writes, 4 bytes */
    t = CATCH(apic_write(APIC_TPR, 0));
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.dr6 & 0xf, 1);
    write_dr6(DR6_FIXED);
    t = CATCH((void)apic_read(APIC_TPR));
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_NO_TRAP((void)apic_read(APIC_ID));
    write_cr4(cr4 | CR4_DE);
    write_dr0(0x80);
    write_dr6(DR6_FIXED);
    write_dr7(DR7_FIXED | 1 | 2 << 16);
    t = CATCH(__asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(0x80)));
    write_dr7(DR7_FIXED);
    write_cr4(cr4);
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.dr6 & 0xf, 1);
    EXPECT_EQ(t.rcx, 2); /* behind the first of three */
}

/* DR7.GD: the next access to a debug register is a fault, and GD is clear in the handler. */
TEST(general_detect)
{
    struct trap t;

    write_dr6(DR6_FIXED);
    write_dr7(DR7_FIXED | BIT(13));
    t = CATCH(read_dr0());
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.dr6 & (DR6_BD | DR6_BS), DR6_BD);
    EXPECT_EQ(read_dr7(), DR7_FIXED);
    write_dr6(DR6_FIXED);
}

TEST(int1)
{
    struct trap t;

    write_dr6(DR6_FIXED);
    t = CATCH(__asm__ volatile(".byte 0xf1"));
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.dr6 & (DR6_BS | 0xf), 0);
}

USER_CODE(user_dr, "mov %dr0, %rax")
USER_CODE(user_step, "nop; nop; cpuid; nop")

TEST(from_cpl3)
{
    struct trap t;

    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_dr, 0));
    write_dr6(DR6_FIXED);
    t = CATCH(user_run(user_step, RFLAGS_TF));
    EXPECT_EQ(t.vector, VECTOR_DB);
    EXPECT_EQ(t.rip, (u64)user_step + 1); /* IRET loads TF: the first instruction is stepped */
    write_dr6(DR6_FIXED);
}
