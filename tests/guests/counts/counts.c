/* SPDX-License-Identifier: MIT
 *
 * Known numbers of known exits, each from one instruction, for tests/system/trace.py to find again
 * in what the prompt says.
 */
#include "tests/guests/lib/guest.h"

#define APIC_TPR 0xfee00080u

#define REPEAT(n, body, ...)                                      \
    do {                                                          \
        u64 left = (n);                                           \
        __asm__ volatile("1: " body "; dec %0; jnz 1b"            \
                         : "+r"(left)                             \
                         : __VA_ARGS__                            \
                         : "rax", "rbx", "rcx", "rdx", "memory"); \
        EXPECT_EQ(left, 0);                                       \
    } while (0)

TEST(known_numbers)
{
    REPEAT(3001, "in $0x21, %%al", );
    REPEAT(2003, "movl $0x20, (%1)", "r"((u64)APIC_TPR));
    REPEAT(1009, "mov (%1), %%edx", "r"((u64)APIC_TPR));
    REPEAT(701, "xor %%eax, %%eax; cpuid", );
    REPEAT(503, "mov $0x1b, %%ecx; rdmsr", );
    REPEAT(307, "mov %%cr8, %%rax", );
}
