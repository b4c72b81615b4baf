/* SPDX-License-Identifier: MIT
 *
 * Single instructions that are made at run time and may fault.  Each CPU has a page of them,
 * written through the direct map and executed at another address where it cannot be written.
 */
#pragma once

#include "arch/x86/percpu.h"

struct stub_regs {
    u64 gpr[4]; /* RAX, RCX, RDX, RBX */
    u64 rsi, rdi;
    u64 flags; /* STUB_FLAGS */
};
#define STUB_FLAGS 0x8d5u /* CF PF AF ZF SF OF */
#define STUB_DONE  0xffu

/* Give a CPU its page.  ENOMEM. */
CHECKED enum status stub_init(struct percpu *p);

/*
 * Execute code of at most 8 bytes (in memory order), RET included, which changes no register but
 * these; its address comes back in *at.  Returns the vector of the exception it raised, or
 * STUB_DONE.
 */
u8 stub_run(u64 code, struct stub_regs *r, u64 *at);
