/* SPDX-License-Identifier: MIT
 *
 * Every class of instruction and every form of address on device memory: the local APIC's timer
 * registers.  The initial count (380h) keeps all 32 bits and reads back; the timer itself is
 * masked.
 */
#include "tests/guests/lib/guest.h"

#define REG     (APIC_BASE + APIC_TIMER_INIT)
#define INITIAL 0x89abcdefu

static u32 read_reg(void) { return *mmio(REG); }

static void set_reg(u32 v) { *mmio(REG) = v; }

TEST(start)
{
    apic_start();
    set_reg(INITIAL);
    EXPECT_EQ(read_reg(), INITIAL);
}

/* One instruction on (%rdx) = REG with rax = `a`: what it leaves in the register and in rax. */
#define ON_REG(text, a, want_reg, want_rax)                                                 \
    do {                                                                                    \
        u64 rax_ = (a);                                                                     \
        set_reg(INITIAL);                                                                   \
        __asm__ volatile(text : "+a"(rax_) : "d"((u64)REG) : "rcx", "rbx", "memory", "cc"); \
        EXPECT_EQ(read_reg(), (want_reg));                                                  \
        EXPECT_EQ(rax_, (want_rax));                                                        \
    } while (0)

TEST(moves)
{
    ON_REG("mov (%%rdx), %%eax", 0xffffffffffffffff, INITIAL, INITIAL);
    ON_REG("mov %%eax, (%%rdx)", 0x1111111122222222, 0x22222222, 0x1111111122222222);
    ON_REG("movl $0x12345678, (%%rdx)", 0, 0x12345678, 0);
    ON_REG("movslq (%%rdx), %%rax", 0, INITIAL, 0xffffffff89abcdef);
    ON_REG("movabs 0xfee00380, %%eax", 0, INITIAL, INITIAL);
    ON_REG("movabs %%eax, 0xfee00380", 0x55, 0x55, 0x55);
    ON_REG("xchg %%eax, (%%rdx)", 0x77, 0x77, INITIAL);
    ON_REG("movnti %%eax, (%%rdx)", 0x99, 0x99, 0x99);
    ON_REG("cmp %%eax, %%eax; cmove (%%rdx), %%eax", 5, INITIAL, INITIAL);
    ON_REG("cmp %%eax, %%eax; cmovne (%%rdx), %%eax", 5, INITIAL, 5);
}

TEST(arithmetic)
{
    ON_REG("addl $1, (%%rdx)", 0, INITIAL + 1, 0);
    ON_REG("addl %%eax, (%%rdx)", 0x10, INITIAL + 0x10, 0x10);
    ON_REG("addl (%%rdx), %%eax", 0x10, INITIAL, INITIAL + 0x10);
    ON_REG("subl %%eax, (%%rdx)", 0xf, INITIAL - 0xf, 0xf);
    ON_REG("stc; adcl $0, (%%rdx)", 0, INITIAL + 1, 0);
    ON_REG("stc; sbbl $0, (%%rdx)", 0, INITIAL - 1, 0);
    ON_REG("andl $0x0f0f0f0f, (%%rdx)", 0, INITIAL & 0x0f0f0f0f, 0);
    ON_REG("orl $0x10, (%%rdx)", 0, INITIAL | 0x10, 0);
    ON_REG("xorl %%eax, (%%rdx)", 0xffffffff, (u32)~INITIAL, 0xffffffff);
    ON_REG("incl (%%rdx)", 0, INITIAL + 1, 0);
    ON_REG("decl (%%rdx)", 0, INITIAL - 1, 0);
    ON_REG("notl (%%rdx)", 0, (u32)~INITIAL, 0);
    ON_REG("negl (%%rdx)", 0, (u32)-INITIAL, 0);
    ON_REG("shll $4, (%%rdx)", 0, (u32)(INITIAL << 4), 0);
    ON_REG("mov $8, %%cl; rorl %%cl, (%%rdx)", 0, 0xef89abcd, 0);
    ON_REG("shldl $8, %%eax, (%%rdx)", 0x12000000, 0xabcdef12, 0x12000000);
    ON_REG("imull $3, (%%rdx), %%eax", 0, INITIAL, (u32)(INITIAL * 3));
    ON_REG("imull (%%rdx), %%eax", 2, INITIAL, (u32)(INITIAL * 2));
}

TEST(tests_and_flags)
{
    ON_REG("cmpl $0x89abcdef, (%%rdx); sete %%al", 0, INITIAL, 1);
    ON_REG("cmpl %%eax, (%%rdx); seta %%al", 0x10, INITIAL, 1);
    ON_REG("testl $0x10, (%%rdx); setz %%al", 0, INITIAL, 1);
    ON_REG("testl %%eax, (%%rdx); setnz %%al", 2, INITIAL, 1);
    ON_REG("btl $31, (%%rdx); setc %%al", 0, INITIAL, 1);
    ON_REG("bsfl (%%rdx), %%eax", 0xff, INITIAL, 0);
    ON_REG("bsrl (%%rdx), %%eax", 0, INITIAL, 31);
}

TEST(locked)
{
    ON_REG("lock addl $1, (%%rdx)", 0, INITIAL + 1, 0);
    ON_REG("lock orl %%eax, (%%rdx)", 0x10, INITIAL | 0x10, 0x10);
    ON_REG("lock xaddl %%eax, (%%rdx)", 2, INITIAL + 2, INITIAL);
    ON_REG("mov $7, %%ecx; lock cmpxchgl %%ecx, (%%rdx); sete %%cl; movzbl %%cl, %%eax", INITIAL, 7,
           1);
    ON_REG("mov $7, %%ecx; lock cmpxchgl %%ecx, (%%rdx)", 5, INITIAL, INITIAL);
    ON_REG("lock btsl $4, (%%rdx); setc %%al", 0, INITIAL | 0x10, 0);
    ON_REG("lock btrl $31, (%%rdx); setc %%al", 0, INITIAL & 0x7fffffff, 1);
    ON_REG("lock btcl $0, (%%rdx); setc %%al", 0, INITIAL ^ 1, 1);
    ON_REG("lock incl (%%rdx)", 0, INITIAL + 1, 0);
}

/* Bit offsets in a register reach other doublewords: here from 0x100 bytes below. */
TEST(bit_offset_in_register)
{
    ON_REG("sub $0x100, %%rdx; btsl %%eax, (%%rdx); add $0x100, %%rdx", 0x100 * 8 + 4,
           INITIAL | 0x10, 0x100 * 8 + 4);
}

TEST(strings)
{
    static u32 cell[4];
    u64 si, di, ax, cx;

    set_reg(INITIAL);
    __asm__ volatile("movsl" : "=S"(si), "=D"(di) : "0"((u64)REG), "1"(cell) : "memory");
    EXPECT_EQ(cell[0], INITIAL);
    EXPECT_EQ(si, REG + 4);
    EXPECT_EQ(di, (u64)&cell[1]);
    cell[1] = 0x1234;
    __asm__ volatile("movsl" : "=S"(si), "=D"(di) : "0"(&cell[1]), "1"((u64)REG) : "memory");
    EXPECT_EQ(read_reg(), 0x1234);
    EXPECT_EQ(di, REG + 4);
    __asm__ volatile("std; stosl; cld" : "=D"(di) : "0"((u64)REG), "a"(0x4321) : "memory");
    EXPECT_EQ(read_reg(), 0x4321);
    EXPECT_EQ(di, REG - 4);
    __asm__ volatile("lodsl" : "=S"(si), "=a"(ax) : "0"((u64)REG) : "memory");
    EXPECT_EQ(ax, 0x4321);
    __asm__ volatile("rep stosl" : "=D"(di), "=c"(cx) : "0"((u64)REG), "1"(1), "a"(99) : "memory");
    EXPECT_EQ(read_reg(), 99);
    EXPECT_EQ(cx, 0);
    __asm__ volatile("rep stosl" : "=D"(di), "=c"(cx) : "0"((u64)REG), "1"(0), "a"(98) : "memory");
    EXPECT_EQ(read_reg(), 99);
    cell[0] = 99;
    __asm__ volatile("repe cmpsl; setz %%al"
                     : "=S"(si), "=D"(di), "=c"(cx), "=a"(ax)
                     : "0"((u64)REG), "1"(cell), "2"(1), "3"(0)
                     : "memory", "cc");
    EXPECT_EQ(ax, 1);
    EXPECT_EQ(di, (u64)&cell[1]);
    __asm__ volatile("repne scasl; setz %%cl"
                     : "=D"(di), "=c"(cx)
                     : "0"((u64)REG), "1"(1), "a"(99)
                     : "memory", "cc");
    EXPECT_EQ(cx, 1);
}

/* base, index, scale, displacement, RIP, segment base, 32-bit addresses. */
TEST(addresses)
{
#define ADDRESS(operand, base, index)                          \
    do {                                                       \
        u32 v_;                                                \
        set_reg(0x1a2b3c4d);                                   \
        __asm__ volatile("mov " operand ", %0"                 \
                         : "=r"(v_)                            \
                         : "b"((u64)(base)), "S"((u64)(index)) \
                         : "memory");                          \
        EXPECT_EQ(v_, 0x1a2b3c4d);                             \
        __asm__ volatile("movl $0x77, " operand                \
                         :                                     \
                         : "b"((u64)(base)), "S"((u64)(index)) \
                         : "memory");                          \
        EXPECT_EQ(read_reg(), 0x77);                           \
    } while (0)
    ADDRESS("(%%rbx)", REG, 0);
    ADDRESS("0x10(%%rbx)", REG - 0x10, 0);
    ADDRESS("-0x80(%%rbx)", REG + 0x80, 0);
    ADDRESS("0x12345678(%%rbx)", REG - 0x12345678, 0);
    ADDRESS("(%%rbx,%%rsi)", REG - 0x1000, 0x1000);
    ADDRESS("0x80(%%rbx,%%rsi,4)", APIC_BASE, 0xc0);
    ADDRESS("-0x80(%%rbx,%%rsi,8)", APIC_BASE, 0x80);
    ADDRESS("0x100(,%%rsi,2)", 0, (REG - 0x100) / 2);
    ADDRESS("(%%ebx)", REG | 0x500000000000, 0);
    ADDRESS("0x1000(%%ebx,%%esi)", 0xfffff000 | 0xabc00000000, REG);
    wrmsr(0xc0000100, APIC_BASE);
    ADDRESS("%%fs:0x380", 0, 0);
    ADDRESS("%%fs:0x80(%%rbx)", 0x300, 0);
    wrmsr(0xc0000100, 0);
    wrmsr(0xc0000101, (u64)-0x10000);
    ADDRESS("%%gs:(%%rbx)", REG + 0x10000, 0);
    wrmsr(0xc0000101, 0);
}

TEST(rip_relative)
{
    u32 v;

    /* Near the code, onto the APIC's page. */
    window_open();
    window_entry[1] = APIC_BASE | 0x1b;
    page_flush();
    set_reg(0x600d);
    __asm__ volatile("mov .Lwindow(%%rip), %0\n .set .Lwindow, 0x4001380" : "=r"(v) : : "memory");
    EXPECT_EQ(v, 0x600d);
    __asm__ volatile("movl $0x1234, .Lwindow2(%%rip)\n .set .Lwindow2, 0x4001380" : : : "memory");
    EXPECT_EQ(read_reg(), 0x1234);
    window_close();
}

TEST(all_registers)
{
#define THROUGH(reg, reg32)                                                               \
    do {                                                                                  \
        u32 v_;                                                                           \
        __asm__ volatile("mov %1, %%" #reg32 "; movl $0x1357, (%%" #reg "); mov (%%" #reg \
                         "), %%" #reg32 "; mov %%" #reg32 ", %0"                          \
                         : "=m"(v_)                                                       \
                         : "i"((u32)REG)                                                  \
                         : #reg, "memory");                                               \
        EXPECT_EQ(v_, 0x1357);                                                            \
        set_reg(0);                                                                       \
    } while (0)
    THROUGH(rax, eax);
    THROUGH(rcx, ecx);
    THROUGH(rdx, edx);
    THROUGH(rbx, ebx);
    THROUGH(rsi, esi);
    THROUGH(rdi, edi);
    THROUGH(r8, r8d);
    THROUGH(r9, r9d);
    THROUGH(r10, r10d);
    THROUGH(r11, r11d);
    THROUGH(r12, r12d);
    THROUGH(r13, r13d);
    THROUGH(r14, r14d);
    THROUGH(r15, r15d);
    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%esp; movl $0x2468, (%%rsp); mov %%rbx, %%rsp"
                     :
                     : "i"((u32)REG)
                     : "rbx", "memory");
    EXPECT_EQ(read_reg(), 0x2468);
}

TEST(sse)
{
    u32 v = 0x5a5a1234, back = 0;

    set_reg(INITIAL);
    __asm__ volatile("movd %1, %%xmm0; movd %%xmm0, (%2); movss (%2), %%xmm1; movd %%xmm1, %0"
                     : "=r"(back)
                     : "r"(v), "r"((u64)REG)
                     : "memory");
    EXPECT_EQ(read_reg(), v);
    EXPECT_EQ(back, v);
    __asm__ volatile("movss %%xmm1, (%0)" : : "r"((u64)REG) : "memory");
    EXPECT_EQ(read_reg(), v);
}

TEST(movbe)
{
    u32 v;

    if (!CPUID1_C(22))
        SKIP("no MOVBE");
    set_reg(INITIAL);
    __asm__ volatile("movbe (%1), %0" : "=r"(v) : "r"((u64)REG) : "memory");
    EXPECT_EQ(v, 0xefcdab89);
    __asm__ volatile("movbe %0, (%1)" : : "r"(0x01020304), "r"((u64)REG) : "memory");
    EXPECT_EQ(read_reg(), 0x04030201);
}

/* The same from 32-bit code. */
CODE32(code32_mmio, "movl $0x1111, 0xfee00380; mov $0xfee00380, %ebx; addl $1, (%ebx);"
                    "mov $0x40, %esi; lock orl $0x8000, -0x100(%ebx,%esi,4); mov (%ebx), %eax")

TEST(from_32_bit_code)
{
    struct trap t = CATCH(code32_run(code32_mmio));

    EXPECT_EQ(t.vector, VECTOR_BP);
    EXPECT_EQ(t.rax, 0x9112);
    EXPECT_EQ(read_reg(), 0x9112);
}

USER_CODE(user_mmio, "mov $0xfee00380, %edx; mov (%rdx), %eax; movl $0x321, (%rdx)")

/* The page is the user's by the page tables here; whether device or memory makes no difference. */
TEST(from_cpl3)
{
    struct trap t;

    set_reg(0x123);
    t = CATCH(user_run(user_mmio, 0));
    EXPECT_EQ(t.vector, VECTOR_BP);
    EXPECT_EQ(t.rax, 0x123);
    EXPECT_EQ(read_reg(), 0x321);
}

/* Page protection comes before the device. */
TEST(page_faults_first)
{
    volatile u32 *window = mmio(WINDOW + PAGE_SIZE + APIC_TIMER_INIT);

    window_open();
    window_entry[1] = APIC_BASE | 0x19; /* read-only */
    page_flush();
    set_reg(0xabc);
    EXPECT_EQ(*window, 0xabc);
    EXPECT_TRAP(VECTOR_PF, 3, *window = 1);
    EXPECT_TRAP(VECTOR_PF, 3, __asm__ volatile("lock incl %0" : "+m"(*window)));
    EXPECT_EQ(read_reg(), 0xabc);
    window_entry[1] = 0;
    page_flush();
    EXPECT_TRAP(VECTOR_PF, 0, (void)*window);
    window_close();
}
