/* SPDX-License-Identifier: MIT
 *
 * The table of expected faults, which linker.ld collects, and MSR access by it.
 */
#include "arch/x86/fixup.h"

struct fixup {
    u64 from, to;
};
extern const struct fixup fixup_start[], fixup_end[];

u64 fixup_find(u64 rip)
{
    for (const struct fixup *f = fixup_start; f < fixup_end; f++)
        if (f->from == rip)
            return f->to;
    return 0;
}

bool msr_read_safe(u32 msr, u64 *value)
{
    u32 ok = 0, lo, hi;

    __asm__ volatile("1: rdmsr\n\t"
                     "movl $1, %0\n\t"
                     "2:\n\t" TRAP_FIXUP("1b", "2b")
                     : "+r"(ok), "=a"(lo), "=d"(hi)
                     : "c"(msr)
                     : "memory");
    if (ok)
        *value = (u64)hi << 32 | lo;
    return ok != 0;
}

bool msr_write_safe(u32 msr, u64 value)
{
    u32 ok = 0;

    __asm__ volatile("1: wrmsr\n\t"
                     "movl $1, %0\n\t"
                     "2:\n\t" TRAP_FIXUP("1b", "2b")
                     : "+r"(ok)
                     : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32))
                     : "memory");
    return ok != 0;
}

bool memory_read_safe(u64 at, u8 *byte)
{
    u32 ok = 0;
    u8 got = 0;

    __asm__ volatile("1: movb (%2), %1\n\t"
                     "movl $1, %0\n\t"
                     "2:\n\t" TRAP_FIXUP("1b", "2b")
                     : "+r"(ok), "+q"(got)
                     : "r"(at)
                     : "memory");
    *byte = got;
    return ok != 0;
}
