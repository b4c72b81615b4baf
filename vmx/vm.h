/* SPDX-License-Identifier: MIT
 *
 * What a virtual machine is: memory, EPT, policy, virtual CPUs and its life.  It knows devices only
 * as ranges on a bus, an interrupt controller behind a contract, and a clock.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/clock.h"
#include "drivers/cpuport.h"
#include "drivers/gmem.h"
#include "lib/lock.h"
#include "lib/symbols.h"
#include "vmx/caps.h"
#include "vmx/cpuid.h"
#include "vmx/debug_state.h"
#include "vmx/ept.h"
#include "vmx/shape.h"

struct vcpu;

#define VM_MAX_VCPUS 16

/* How far the guest has slid from its symbol table: as told, or by its anchor (symbol.h). */
enum vm_slide { SLIDE_FIXED, SLIDE_UNKNOWN, SLIDE_FOUND };

enum vm_state { VM_READY, VM_RUNNING, VM_PAUSED, VM_ENDED };

/* How a VM's life ended. */
#define VM_END_LIST(X)                      \
    X(NONE, "running")                      \
    X(RESET, "reset by the guest")          \
    X(POWEROFF, "powered off by the guest") \
    X(DEBUG_EXIT, "debug-exit")             \
    X(TRIPLE_FAULT, "triple fault")         \
    X(KILLED, "killed at the prompt")       \
    X(RESTART, "reset at the prompt")       \
    X(ERROR, "stopped by Vitrine")
enum vm_end {
#define X(name, text) VM_END_##name,
    VM_END_LIST(X)
#undef X
};

/* Given by the owner, who keeps the bus, the clock and what lies behind them. */
struct vm_parts {
    const char *name;
    unsigned id;       /* from 1 */
    unsigned vcpus;    /* 1..VM_MAX_VCPUS */
    bool unrestricted; /* use unrestricted guest where the CPU has it */
    enum real_mode real_mode;
    bool forced;       /* emulate what the prefix UD2 "kvm" stands before */
    bool emulates_ud;  /* ... and instructions that the CPU lacks and the emulator has */
    bool vmware_ports; /* ports 5658H and 5659H at any level */
    struct bus *bus;
    struct intc intc;
    struct clock *clock;     /* of the devices and of vCPU 0: counts host TSC ticks */
    struct clock *cpu_clock; /* [n], n > 0: of vCPU n */
    const struct gmem *mem;
    u64 tsc_hz;
    /* Called between exits when the console or a host timer asks, and while the guest idles. */
    void (*poll)(void *ctx);
    void *poll_ctx;
};

/* MSRs that can have a rule: from 0, and from C0000000H. */
#define MSR_RULES_LOW  0xdb0u
#define MSR_RULES_HIGH 0x110u

#define MTRR_VARIABLE 8u
#define MTRR_FIXED    11u

struct vm {
    char name[32];
    unsigned id;
    const struct vmx_caps *caps;
    struct vm_parts parts;
    bool unrestricted;
    enum real_mode real_mode; /* never AUTO */
    u8 *tables;               /* identity page table and TSS (shape.h), or NULL */
    struct ept ept;
    u8 *msr_bitmap;                              /* one page */
    u8 *io_bitmap;                               /* two pages */
    u8 msr_rule[MSR_RULES_LOW + MSR_RULES_HIGH]; /* 1 + number in the table of msr.c; 0: none */
    struct cpuid_policy cpuid;
    u64 mtrr_default, mtrr_variable[2 * MTRR_VARIABLE], mtrr_fixed[MTRR_FIXED];

    struct vcpu *vcpu[VM_MAX_VCPUS];
    unsigned vcpu_count;

    unsigned host[VM_MAX_VCPUS]; /* the host CPU for each vCPU, when it runs */
    struct x86_state start;      /* of vCPU 0 */

    /* The board lock: who calls into the devices or the interrupt controller holds it.  A machine
     * that one host CPU has to itself does without. */
    struct lock lock;
    bool shared;
    u64 locked_next; /* the devices' next deadline when the lock was taken */

    _Atomic bool stopping;    /* vm_stop_all() */
    _Atomic unsigned running; /* vCPUs that are in their loop */
    atomic_flag finished;     /* vm_finish() */

    enum vm_state state;
    enum vm_end end;
    u32 end_code;       /* status of a debug-exit */
    char end_text[200]; /* why, for people */
    u64 started, ran;   /* host TSC of vm_run(); ticks of earlier runs */
    struct vm_debug debug;
    struct symbols symbols; /* none: count is 0 */
    u64 anchor;             /* in the table */
    enum vm_slide slide;
    u64 msr_denied; /* accesses answered with #GP because nobody knows the MSR */
    u32 msr_denied_last;
};

/* The devices' next deadline came nearer while another CPU than vCPU 0's held the lock. */
void vm_deadline_moved(struct vm *vm);

static inline void vm_lock(struct vm *vm)
{
    if (unlikely(vm->shared)) {
        lock_take(&vm->lock);
        vm->locked_next = clock_next(vm->parts.clock);
    }
}

static inline void vm_unlock(struct vm *vm)
{
    if (unlikely(vm->shared)) {
        bool moved = clock_next(vm->parts.clock) < vm->locked_next;
        lock_release(&vm->lock);
        if (moved)
            vm_deadline_moved(vm);
    }
}
