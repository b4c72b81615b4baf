/* SPDX-License-Identifier: MIT
 *
 * emu_ops.run_native() for host tests: the guest's x87, SSE and AVX state is in an XSAVE area; it
 * is loaded, the instruction runs, and it is saved again.  The code is written at one address and
 * runs at another, as in the hypervisor.  A fault within it arrives as a signal: whoever handles
 * signals calls hostnative_fault(); hostnative_catch() installs a handler that does.
 */
#ifndef TESTS_EMULATOR_HOSTNATIVE_H
#define TESTS_EMULATOR_HOSTNATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create(), REG_RIP: include this header first */
#endif
#include "emulator/emulator.h"
#include <cpuid.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

/* An XSAVE area, SDM vol. 1, 13.4: what the tests look at. */
#define XSAVE_AREA    4096
#define XSAVE_FCW     0
#define XSAVE_FSW     2
#define XSAVE_FTW     4
#define XSAVE_FOP     6
#define XSAVE_FIP     8
#define XSAVE_MXCSR   24
#define XSAVE_ST      32
#define XSAVE_XMM     160
#define XSAVE_BV      512
#define XSAVE_YMM     576
#define XSTATE_X87    BIT64(0)
#define XSTATE_SSE    BIT64(1)
#define XSTATE_AVX    BIT64(2)
#define XSTATE_AVX512 0xe0u
#define XSTATE_TESTED 0xe7u    /* x87, SSE, AVX, AVX-512 */
#define XSTATE_OTHERS 0x60200u /* PKRU, AMX */

/* Where the CPU puts component n (AVX and later) of the plain form; 0: it has none such. */
static inline unsigned xsave_at(unsigned n)
{
    static unsigned at[8];
    if (at[2] == 0)
        for (unsigned k = 2; k < ARRAY_SIZE(at); k++) {
            u32 r[4];
            __cpuid_count(0xd, k, r[0], r[1], r[2], r[3]);
            at[k] = r[1];
        }
    return at[n];
}

/* Code by hash of its bytes: 8 bytes a slot. */
static struct {
    u64 *write, *run;
} hostnative;
#define HOSTNATIVE_SLOTS (PAGE_SIZE / 8)

/* rdi: what to run, rsi: where it is, rdx: guest's XSAVE area, rcx: room for ours (rdx
 * NULL: neither is touched).  Returns the
 * vector.  The handler of signals goes on behind the call with R8D set. */
u8 hostnative_enter(struct emu_native *n, const void *code, void *guest, void *host);
__asm__(".text\n"
        "hostnative_enter:\n"
        "   push %rbx; push %r12; push %r13; push %r14; push %rbp\n"
        "   mov %rdi, %rbp; mov %rsi, %r12; mov %rdx, %r13; mov %rcx, %r14\n"
        "   test %r13, %r13; jz 1f\n"
        "   mov $0xe7, %eax; xor %edx, %edx\n"
        "   xsave64 (%r14)\n"
        "   xrstor64 (%r13)\n"
        "1: pushfq; pop %rax; and $~0x8d5, %rax; or 56(%rbp), %rax; push %rax; popfq\n"
        "   mov 8(%rbp), %rax; mov 16(%rbp), %rcx; mov 24(%rbp), %rdx; mov 32(%rbp), %rbx\n"
        "   mov 40(%rbp), %rsi; mov 48(%rbp), %rdi\n"
        "   mov $0xff, %r8d\n"
        "   call *%r12\n"
        "   mov %rax, 8(%rbp); mov %rcx, 16(%rbp); mov %rdx, 24(%rbp); mov %rbx, 32(%rbp)\n"
        "   mov %rsi, 40(%rbp)\n"
        "   pushfq; pop %rax; and $0x8d5, %eax; mov %rax, 56(%rbp)\n"
        "   test %r13, %r13; jz 2f\n"
        "   mov $0xe7, %eax; xor %edx, %edx\n"
        "   xsave64 (%r13)\n"
        "   xrstor64 (%r14)\n"
        "2: mov %r8d, %eax\n"
        "   pop %rbp; pop %r14; pop %r13; pop %r12; pop %rbx\n"
        "   ret\n");
_Static_assert(offsetof(struct emu_native, memory) == 48 &&
                   offsetof(struct emu_native, flags) == 56,
               "as the assembly has it");

static inline void hostnative_init(void)
{
    int fd = memfd_create("code", 0);
    if (fd < 0 || ftruncate(fd, PAGE_SIZE) != 0)
        abort();
    hostnative.write = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    hostnative.run = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (hostnative.write == MAP_FAILED || hostnative.run == MAP_FAILED)
        abort();
    close(fd);
}

/* Run with the state in `xsave`; NULL: with what is in the CPU. */
static inline u8 hostnative_run(struct emu_native *n, u8 *xsave)
{
    static _Alignas(64) u8 host[XSAVE_AREA];
    if (hostnative.run == NULL)
        hostnative_init();
    unsigned slot = (unsigned)(n->code * 0x9e3779b97f4a7c15ull >> 55);
    if (hostnative.write[slot] != n->code) {
        hostnative.write[slot] = n->code;
        __asm__ volatile("mfence" : : : "memory");
    }
    n->at = (u64)&hostnative.run[slot];
    return hostnative_enter(n, &hostnative.run[slot], xsave, host);
}

/* Did this signal come from the code?  Then it is as if it had returned its vector. */
static inline bool hostnative_fault(void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    u64 at = (u64)g[REG_RIP] - (u64)hostnative.run;
    if (hostnative.run == NULL || at >= PAGE_SIZE)
        return false;
    g[REG_R8] = g[REG_TRAPNO];
    g[REG_RIP] = (greg_t) * (u64 *)g[REG_RSP];
    g[REG_RSP] += 8;
    return true;
}

/* The handlers that were there before, for signals that are not ours. */
static struct sigaction hostnative_before[32];

static inline void hostnative_on_signal(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *old = &hostnative_before[sig];
    if (hostnative_fault(context))
        return;
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(sig, info, context);
    else
        (void)sigaction(sig, old, NULL); /* happens again, and ends the program */
}

static inline void hostnative_catch(void)
{
    static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS};
    struct sigaction sa = {.sa_sigaction = hostnative_on_signal,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction old;
        if (sigaction(signals[i], &sa, &old) != 0)
            abort();
        if (old.sa_sigaction != hostnative_on_signal)
            hostnative_before[signals[i]] = old;
    }
}

/* State as after FNINIT with all exceptions masked. */
static inline void hostnative_reset(u8 *xsave)
{
    static const u16 control = 0x37f;
    static const u32 mxcsr = 0x1f80;
    memset(xsave, 0, XSAVE_AREA);
    memcpy(xsave + XSAVE_FCW, &control, sizeof(control));
    memcpy(xsave + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
}

#endif
