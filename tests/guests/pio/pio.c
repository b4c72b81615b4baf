/* SPDX-License-Identifier: MIT
 *
 * IN, OUT, INS and OUTS in every form (SDM vol. 1, chapter 18; vol. 2A), on ports that exist on any
 * PC: the scratch registers of a UART (COM1 + 7) and the CMOS, and on ports where nothing is.
 */
#include "tests/guests/lib/guest.h"

#include "lib/string.h"

#define SCRATCH 0x3ff  /* UART: keeps a byte */
#define NOBODY  0x1230 /* nothing answers: reads all-ones */

static _Alignas(4096) u8 buffer[2 * PAGE_SIZE];

TEST(scratch_register)
{
    for (unsigned v = 0; v < 256; v += 51) {
        outb(SCRATCH, (u8)v);
        EXPECT_EQ(inb(SCRATCH), v);
    }
}

/* 8 and 16 bits keep the rest of RAX, 32 bits clear the upper half. */
TEST(widths_and_rax)
{
    u64 a;

    outb(SCRATCH, 0x5a);
    __asm__ volatile("in %%dx, %%al" : "=a"(a) : "a"(0x1122334455667788), "d"(SCRATCH));
    EXPECT_EQ(a, 0x112233445566775a);
    __asm__ volatile("in %%dx, %%ax" : "=a"(a) : "a"(0x1122334455667788), "d"(NOBODY));
    EXPECT_EQ(a, 0x112233445566ffff);
    __asm__ volatile("in %%dx, %%eax" : "=a"(a) : "a"(0x1122334455667788), "d"(NOBODY));
    EXPECT_EQ(a, 0xffffffff);
    __asm__ volatile("in %%dx, %%al" : "=a"(a) : "a"(0x1122334455667788), "d"(NOBODY));
    EXPECT_EQ(a, 0x11223344556677ff);
}

/* Only DX counts, not the rest of RDX. */
TEST(port_is_dx)
{
    u64 a;

    outb(SCRATCH, 0x3c);
    __asm__ volatile("in %%dx, %%al" : "=a"(a) : "a"(0), "d"(0xffffffffffff0000 | SCRATCH));
    EXPECT_EQ(a, 0x3c);
}

TEST(immediate_ports)
{
    u8 mask, v;

    __asm__ volatile("in $0x21, %%al" : "=a"(mask));
    __asm__ volatile("out %%al, $0x21" : : "a"((u8)0xa5));
    __asm__ volatile("in $0x21, %%al" : "=a"(v));
    __asm__ volatile("out %%al, $0x21" : : "a"(mask));
    EXPECT_EQ(v, 0xa5);
    __asm__ volatile("out %%eax, $0x80; out %%ax, $0x80" : : "a"(0));
}

struct string_regs {
    u64 address, count;
};

#define STRING(instruction, reg, at, n, port)                  \
    __extension__({                                            \
        struct string_regs r_ = {(u64)(at), (n)};              \
        __asm__ volatile(instruction                           \
                         : "+" reg(r_.address), "+c"(r_.count) \
                         : "d"(port)                           \
                         : "memory");                          \
        r_;                                                    \
    })

TEST(ins_single)
{
    struct string_regs r;

    memset(buffer, 0, 16);
    outb(SCRATCH, 0x77);
    r = STRING("insb", "D", buffer + 3, 5, SCRATCH);
    EXPECT_EQ(r.address, (u64)buffer + 4);
    EXPECT_EQ(r.count, 5);
    EXPECT_EQ(buffer[3], 0x77);
    EXPECT_EQ(buffer[2] | buffer[4], 0);
    r = STRING("insl", "D", buffer + 4, 5, NOBODY);
    EXPECT_EQ(r.address, (u64)buffer + 8);
    EXPECT_EQ(*(u32 *)(buffer + 4), 0xffffffff);
    EXPECT_EQ(buffer[8], 0);
}

TEST(rep_ins)
{
    struct string_regs r;

    memset(buffer, 0, 64);
    outb(SCRATCH, 0x42);
    r = STRING("rep insb", "D", buffer + 1, 20, SCRATCH);
    EXPECT_EQ(r.address, (u64)buffer + 21);
    EXPECT_EQ(r.count, 0);
    for (int i = 1; i < 21; i++)
        EXPECT_EQ(buffer[i], 0x42);
    EXPECT_EQ(buffer[0] | buffer[21], 0);
    r = STRING("rep insw", "D", buffer + 32, 3, NOBODY);
    EXPECT_EQ(r.address, (u64)buffer + 38);
    EXPECT_EQ(buffer[37] & buffer[32], 0xff);
    EXPECT_EQ(buffer[38], 0);
    r = STRING("rep insl", "D", buffer, 0, NOBODY);
    EXPECT_EQ(r.address, (u64)buffer);
    EXPECT_EQ(r.count, 0);
}

TEST(rep_outs)
{
    struct string_regs r;

    for (int i = 0; i < 16; i++)
        buffer[i] = (u8)(i + 100);
    r = STRING("rep outsb", "S", buffer, 16, SCRATCH);
    EXPECT_EQ(r.address, (u64)buffer + 16);
    EXPECT_EQ(r.count, 0);
    EXPECT_EQ(inb(SCRATCH), 115);
    r = STRING("outsb", "S", buffer + 4, 9, SCRATCH);
    EXPECT_EQ(r.address, (u64)buffer + 5);
    EXPECT_EQ(r.count, 9);
    EXPECT_EQ(inb(SCRATCH), 104);
    r = STRING("rep outsw", "S", buffer, 4, 0x80);
    EXPECT_EQ(r.address, (u64)buffer + 8);
    r = STRING("rep outsl", "S", buffer, 4, 0x80);
    EXPECT_EQ(r.address, (u64)buffer + 16);
}

TEST(downwards)
{
    struct string_regs r;

    memset(buffer, 0, 64);
    outb(SCRATCH, 0x21);
    r = STRING("std; rep insb; cld", "D", buffer + 10, 4, SCRATCH);
    EXPECT_EQ(r.address, (u64)buffer + 6);
    EXPECT_EQ(buffer[10] & buffer[9] & buffer[8] & buffer[7], 0x21);
    EXPECT_EQ(buffer[6] | buffer[11], 0);
    for (int i = 0; i < 16; i++)
        buffer[i] = (u8)i;
    r = STRING("std; rep outsb; cld", "S", buffer + 9, 5, SCRATCH);
    EXPECT_EQ(r.address, (u64)buffer + 4);
    EXPECT_EQ(inb(SCRATCH), 5);
}

TEST(address_size_32)
{
    struct string_regs r;

    outb(SCRATCH, 0x66);
    r = STRING("addr32 rep insb", "D", (u64)buffer | 0xabcd00000000, 0x4300000003, SCRATCH);
    EXPECT_EQ(buffer[2], 0x66);
    EXPECT_EQ(r.address, (u64)buffer + 3); /* 32-bit registers: upper halves cleared */
    EXPECT_EQ(r.count, 0);
}

TEST(segment_override)
{
    struct string_regs r;

    buffer[64] = 0x19;
    wrmsr(0xc0000100, 64);
    r = STRING("fs outsb", "S", buffer, 1, SCRATCH);
    wrmsr(0xc0000100, 0);
    EXPECT_EQ(r.address, (u64)buffer + 1);
    EXPECT_EQ(inb(SCRATCH), 0x19);
}

/* A page fault in the middle: the iterations before it count, the registers say how many. */
TEST(fault_in_the_middle)
{
    u64 at = WINDOW;
    struct trap t;

    window_open();
    window_entry[1] = 0;
    page_flush();
    outb(SCRATCH, 0x2b);
    memset((void *)(at + 4000), 0, 96);
    t = CATCH(__asm__ volatile("rep insb"
                               :
                               : "D"(at + PAGE_SIZE - 5), "c"(20), "d"(SCRATCH)
                               : "memory"));
    EXPECT_EQ(t.vector, VECTOR_PF);
    EXPECT_EQ(t.error, 2);
    EXPECT_EQ(t.cr2, at + PAGE_SIZE);
    EXPECT_EQ(t.rcx, 15);
    EXPECT_EQ(t.rdi, at + PAGE_SIZE);
    EXPECT_EQ(*(u8 *)(at + PAGE_SIZE - 1), 0x2b);
    t = CATCH(__asm__ volatile("rep outsl"
                               :
                               : "S"(at + PAGE_SIZE - 10), "c"(9), "d"(0x80)
                               : "memory"));
    EXPECT_EQ(t.vector, VECTOR_PF);
    EXPECT_EQ(t.error, 0);
    EXPECT_EQ(t.cr2, at + PAGE_SIZE);
    EXPECT_EQ(t.rcx, 7);
    EXPECT_EQ(t.rsi, at + PAGE_SIZE - 2);
    window_close();
}

TEST(many)
{
    struct string_regs r;

    outb(SCRATCH, 0xe1);
    memset(buffer, 0, sizeof(buffer));
    r = STRING("rep insb", "D", buffer + 100, 6000, SCRATCH); /* across pages */
    EXPECT_EQ(r.count, 0);
    for (int i = 0; i < 6000; i++)
        EXPECT_EQ(buffer[100 + i], 0xe1);
    EXPECT_EQ(buffer[99] | buffer[6100], 0);
}

TEST(nobody_home)
{
    static const u16 ports[] = {0x1230, 0x2345, 0xd00d, 0xfffc};

    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        EXPECT_EQ(inb(ports[i]), 0xff);
        EXPECT_EQ(inw(ports[i]), 0xffff);
        EXPECT_EQ(inl(ports[i]), 0xffffffff);
        outb(ports[i], 0);
        outw(ports[i], 0);
        outl(ports[i], 0);
    }
}

USER_CODE(user_in, "in $0x21, %al")
USER_CODE(user_out, "mov $0x3ff, %edx; mov $0x4d, %al; out %al, %dx")
USER_CODE(user_outs, "mov $0x3ff, %edx; mov %rsp, %rsi; outsb")

/* No bit map in the TSS: IOPL decides. */
TEST(from_cpl3)
{
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_in, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_out, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_outs, 0));
    EXPECT_TRAP(VECTOR_BP, 0, user_run(user_in, RFLAGS_IOPL));
    EXPECT_TRAP(VECTOR_BP, 0, user_run(user_out, RFLAGS_IOPL));
    EXPECT_EQ(inb(SCRATCH), 0x4d);
}
