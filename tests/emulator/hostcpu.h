/* SPDX-License-Identifier: MIT
 *
 * The CPU under our feet as judge: runs one instruction of arbitrary bytes in 64-, 32- or 16-bit
 * code at CPL 3 with arbitrary registers.  In through rt_sigreturn with a prepared signal frame
 * that has TF set, out through the signal that follows (#DB after the instruction, or its fault);
 * no ptrace, no second process.  Linux on x86-64 only; one thread.
 *
 * Between the two system calls nothing of C runs: FS and GS hold the case's values, so neither
 * thread-local storage nor a stack protector could be used.
 */
#ifndef TESTS_EMULATOR_HOSTCPU_H
#define TESTS_EMULATOR_HOSTCPU_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* REG_RIP and its kin, sched_setaffinity(); include this header first */
#endif
#include "emulator/state.h"
#include "tests/emulator/hostnative.h"
#include <asm/ldt.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

/* What goes in and comes out.  Selectors in enum seg order, SEG_ES … SEG_GS. */
struct cpu_regs {
    u64 gpr[GPR_COUNT];
    u64 rip;
    u64 rflags;
    u16 sel[6];
    u64 fs_base, gs_base;
};

struct cpu_result {
    struct cpu_regs regs;
    u8 vector; /* VECTOR_DB: the instruction completed; VECTOR_NONE: it never ended */
    u32 error;
    u64 cr2;
    u8 xsave[XSAVE_AREA]; /* x87, SSE, AVX and AVX-512 state */
};

/* Registers that the signal frame does not carry. */
struct hostcpu_extra {
    u64 fs_base, gs_base;
    u16 ds, es, fs, gs;
};

/* The host side while the case runs, and the two ends of the way: see the assembly below. */
struct hostcpu_switch {
    u64 rsp, fs_base;
    struct hostcpu_extra in, out;
    int signal;
};
extern struct hostcpu_switch hostcpu_switch;
ucontext_t *hostcpu_enter(void *frame);
void hostcpu_on_signal(void);
void hostcpu_restorer(void);

/* Defined by the user: a signal outside a case.  Returns when it came from the emulator's native
 * code (hostnative_fault()); else the program itself, or the emulator, crashed. */
void hostcpu_crashed(int sig, siginfo_t *info, void *context);

__asm__(".bss\n"
        ".balign 16\n"
        "hostcpu_switch: .fill 72, 1, 0\n" /* rsp 0, fs_base 8, in 16, out 40, signal 64 */
        ".text\n"
        "hostcpu_enter:\n"
        "   push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "   lea hostcpu_switch(%rip), %r8\n"
        "   mov %rsp, (%r8)\n"
        "   rdfsbase %rax\n"
        "   mov %rax, 8(%r8)\n"
        "   mov 32(%r8), %ds\n"
        "   mov 34(%r8), %es\n"
        "   mov 36(%r8), %fs\n"
        "   mov 38(%r8), %gs\n"
        "   cmpw $0, 36(%r8)\n"
        "   jne 1f\n"
        "   mov 16(%r8), %rax\n"
        "   wrfsbase %rax\n"
        "1: cmpw $0, 38(%r8)\n"
        "   jne 2f\n"
        "   mov 24(%r8), %rax\n"
        "   wrgsbase %rax\n"
        "2: mov %rdi, %rsp\n"
        "   jmp hostcpu_restorer\n"
        "hostcpu_on_signal:\n"
        "   lea hostcpu_switch(%rip), %r8\n"
        "   cmpq $0, (%r8)\n"
        "   je hostcpu_crashed\n" /* no case was running: FS is the C library's */
        "   mov %edi, 64(%r8)\n"
        "   rdfsbase %rax\n"
        "   mov %rax, 40(%r8)\n"
        "   rdgsbase %rax\n"
        "   mov %rax, 48(%r8)\n"
        "   mov %ds, 56(%r8)\n"
        "   mov %es, 58(%r8)\n"
        "   mov %fs, 60(%r8)\n"
        "   mov %gs, 62(%r8)\n"
        "   xor %eax, %eax\n"
        "   mov %eax, %ds\n"
        "   mov %eax, %es\n"
        "   mov %eax, %fs\n"
        "   mov %eax, %gs\n"
        "   wrgsbase %rax\n"
        "   mov 8(%r8), %rax\n"
        "   wrfsbase %rax\n"
        "   mov (%r8), %rsp\n"
        "   movq $0, (%r8)\n"
        "   pushq $0x202\n"
        "   popfq\n"
        "   mov %rdx, %rax\n" /* the ucontext: still whole on the alternate stack */
        "   pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "   ret\n"
        "hostcpu_restorer:\n"
        "   mov $15, %eax\n" /* __NR_rt_sigreturn */
        "   syscall\n"
        "   ud2\n");

/* glibc's ucontext_t is the kernel's up to the signal mask. */
struct hostcpu_frame {
    ucontext_t uc;
};

static struct {
    ucontext_t *frame;
    u8 *fpstate;
    size_t fpstate_size;
} hostcpu;

/*
 * A watchdog: the kernel returns for ever to a user-mode store into its own 16-bit-stack alias
 * (a far call from a 16-bit stack to 64-bit code); a case that meets the tick is not comparable.
 */
#define HOSTCPU_TICK_US 20000
#define HOSTCPU_STACK   (256 * KiB)
#define FPSTATE_SIZE_AT 468 /* extended_size in struct _fpx_sw_bytes at 464 */

static inline void hostcpu_die(const char *what)
{
    fprintf(stderr, "hostcpu: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* A private, populated mapping at exactly this linear address. */
static inline u8 *hostcpu_map(u64 linear, size_t size, int prot)
{
    void *p = mmap((void *)linear, size, prot,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != (void *)linear)
        hostcpu_die("cannot map the memory of the cases");
    return p;
}

/* modify_ldt: a descriptor in slot n. */
static inline void hostcpu_ldt(const struct user_desc *d)
{
    if (syscall(SYS_modify_ldt, 0x11, d, sizeof(*d)) != 0)
        hostcpu_die("modify_ldt");
}

struct kernel_sigaction {
    void (*handler)(void);
    unsigned long flags;
    void (*restorer)(void);
    u64 mask;
};

static inline void hostcpu_catch(void)
{
    static const int signals[] = {SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGALRM};
    struct kernel_sigaction sa = {hostcpu_on_signal,
                                  SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x04000000 /* RESTORER */,
                                  hostcpu_restorer, BIT64(SIGALRM - 1)};
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        if (syscall(SYS_rt_sigaction, signals[i], &sa, NULL, 8) != 0)
            hostcpu_die("rt_sigaction");
}

static ucontext_t hostcpu_template;
static u8 hostcpu_fp_template[64 * KiB];

static inline void hostcpu_copy_frame(int, siginfo_t *, void *context)
{
    ucontext_t *uc = context;
    hostcpu_template = *uc;
    u32 size;
    memcpy(&size, (u8 *)uc->uc_mcontext.fpregs + FPSTATE_SIZE_AT, sizeof(size));
    if (size > sizeof(hostcpu_fp_template))
        hostcpu_die("XSAVE area larger than expected");
    memcpy(hostcpu_fp_template, uc->uc_mcontext.fpregs, size);
    hostcpu.fpstate_size = size;
}

/* Make the frame: a copy of a genuine one, with its own FPU area and stack. */
static inline void hostcpu_init(void)
{
    stack_t alt = {.ss_sp = malloc(HOSTCPU_STACK), .ss_size = HOSTCPU_STACK};
    struct sigaction sa = {.sa_sigaction = hostcpu_copy_frame, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0) /* CPUID, RDPID: always the same */
        hostcpu_die("sched_setaffinity");
    if (alt.ss_sp == NULL || sigaltstack(&alt, NULL) != 0 || sigaction(SIGUSR1, &sa, NULL) != 0)
        hostcpu_die("signal stack");
    raise(SIGUSR1);
    hostcpu.frame = malloc(sizeof(*hostcpu.frame) + 64);
    hostcpu.fpstate = aligned_alloc(64, align_up(hostcpu.fpstate_size, 64));
    if (hostcpu.frame == NULL || hostcpu.fpstate == NULL)
        hostcpu_die("memory");
    memcpy(hostcpu.frame, &hostcpu_template, sizeof(hostcpu_template));
    memcpy(hostcpu.fpstate, hostcpu_fp_template, hostcpu.fpstate_size);
    hostcpu.frame->uc_stack = alt;
    hostcpu.frame->uc_mcontext.fpregs = (void *)hostcpu.fpstate;
    hostcpu_catch();
    /* Ticks only while a case runs: else one could overwrite the frame just delivered. */
    sigset_t ticks;
    sigemptyset(&ticks);
    hostcpu.frame->uc_sigmask = ticks;
    sigaddset(&ticks, SIGALRM);
    if (sigprocmask(SIG_BLOCK, &ticks, NULL) != 0)
        hostcpu_die("sigprocmask");
    const struct itimerval tick = {{0, HOSTCPU_TICK_US}, {0, HOSTCPU_TICK_US}};
    if (setitimer(ITIMER_REAL, &tick, NULL) != 0)
        hostcpu_die("setitimer");
}

/* gregs[] index of each general register. */
static const u8 hostcpu_greg[GPR_COUNT] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

#define UC_STRICT_RESTORE_SS_FLAG 4u
#define UC_SIGCONTEXT_SS_FLAG     2u

/* Copy what XSTATE_BV names of x87 to AVX-512 state; the rest becomes initial, as it is then. */
static inline void hostcpu_copy_xsave(u8 *to, const u8 *from)
{
    const struct {
        u64 part;
        unsigned at, size;
    } parts[] = {{XSTATE_X87, 0, 24},          {XSTATE_X87, XSAVE_ST, 128},
                 {XSTATE_SSE, XSAVE_XMM, 256}, {XSTATE_AVX, XSAVE_YMM, 256},
                 {BIT64(5), xsave_at(5), 64},  {BIT64(6), xsave_at(6), 512},
                 {BIT64(7), xsave_at(7), 1024}};
    u64 have, bv;
    memcpy(&have, from + XSAVE_BV, 8);
    memcpy(&bv, to + XSAVE_BV, 8);
    bv |= XSTATE_X87 | XSTATE_SSE | XSTATE_AVX | (xsave_at(5) != 0 ? XSTATE_AVX512 : 0);
    memcpy(to + XSAVE_BV, &bv, 8);
    memcpy(to + XSAVE_MXCSR, from + XSAVE_MXCSR, 4);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (parts[i].at == 0 && i != 0)
            break;
        else if (have & parts[i].part)
            memcpy(to + parts[i].at, from + parts[i].at, parts[i].size);
        else
            memset(to + parts[i].at, 0, parts[i].size);
    if (!(have & XSTATE_X87))
        memcpy(to, &(const u16){0x37f}, 2);
}

/* Execute the one instruction at CS:RIP.  IF is always 1, IOPL 0, TF 1; NT and ID cannot be set. */
static inline void hostcpu_run(const struct cpu_regs *in, const u8 *xsave, struct cpu_result *out)
{
    hostcpu_copy_xsave(hostcpu.fpstate, xsave);
    greg_t *g = hostcpu.frame->uc_mcontext.gregs;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        g[hostcpu_greg[i]] = (greg_t)in->gpr[i];
    g[REG_RIP] = (greg_t)in->rip;
    g[REG_EFL] = (greg_t)(in->rflags | RFLAGS_TF);
    g[REG_CSGSFS] = (greg_t)(in->sel[SEG_CS] | (u64)in->sel[SEG_SS] << 48);
    hostcpu.frame->uc_flags |= UC_STRICT_RESTORE_SS_FLAG | UC_SIGCONTEXT_SS_FLAG;
    hostcpu_switch.in = (struct hostcpu_extra){in->fs_base,     in->gs_base,     in->sel[SEG_DS],
                                               in->sel[SEG_ES], in->sel[SEG_FS], in->sel[SEG_GS]};
    const ucontext_t *uc = hostcpu_enter(hostcpu.frame);
    const struct hostcpu_extra *x = &hostcpu_switch.out;
    g = (greg_t *)uc->uc_mcontext.gregs;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        out->regs.gpr[i] = (u64)g[hostcpu_greg[i]];
    out->regs.rip = (u64)g[REG_RIP];
    out->regs.rflags = (u64)g[REG_EFL];
    out->regs.sel[SEG_CS] = (u16)g[REG_CSGSFS];
    out->regs.sel[SEG_SS] = (u16)((u64)g[REG_CSGSFS] >> 48);
    out->regs.sel[SEG_DS] = x->ds;
    out->regs.sel[SEG_ES] = x->es;
    out->regs.sel[SEG_FS] = x->fs;
    out->regs.sel[SEG_GS] = x->gs;
    out->regs.fs_base = x->fs_base;
    out->regs.gs_base = x->gs_base;
    out->vector = hostcpu_switch.signal == SIGALRM ? VECTOR_NONE : (u8)g[REG_TRAPNO];
    out->error = (u32)g[REG_ERR];
    out->cr2 = (u64)g[REG_CR2];
    hostcpu_copy_xsave(out->xsave, (const u8 *)uc->uc_mcontext.fpregs);
}

#endif
