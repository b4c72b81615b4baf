/* SPDX-License-Identifier: MIT
 *
 * The registers that arch/x86/trap_entry.asm saves at an exception or interrupt.
 */
#pragma once

#include "lib/types.h"

/* As on the stack, lowest address first. */
struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector;
    u64 error_code; /* 0 where the CPU pushes none */
    u64 rip, cs, rflags, rsp, ss;
};
