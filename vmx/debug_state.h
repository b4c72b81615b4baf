/* SPDX-License-Identifier: MIT
 *
 * What execution control (vmx/debug.h) remembers of a VM and of each of its CPUs.
 */
#pragma once

#include "emulator/emulator.h"
#include "lib/types.h"

#define DEBUG_POINTS 32
#define DEBUG_OPEN   4
#define DEBUG_NONE   (~0ull)

/* What a point looks for. */
enum debug_access { DEBUG_READ = BIT(0), DEBUG_WRITE = BIT(1), DEBUG_EXECUTE = BIT(2) };

/* A range takes one of these for each of its pieces that is contiguous in guest-physical memory. */
struct debug_point {
    u8 access;     /* enum debug_access; 0: a free row */
    u8 kind;       /* 1 + enum gdb_point when it is GDB's; 0: the prompt's */
    bool physical; /* `at` is guest-physical, not guest-linear */
    u16 id;        /* from 1 */
    u64 at, size;  /* the whole range */
    u64 gpa, part; /* this piece; DEBUG_NONE: not mapped, by debug register only */
    u8 slot;       /* the debug register it is in; DEBUG_NO_SLOT: EPT does it, if it is mapped */
    u64 hits;
};
#define DEBUG_NO_SLOT 4

/* Why a VM stands still. */
enum debug_cause { DEBUG_ASKED, DEBUG_STEPPED, DEBUG_POINT, DEBUG_UNTIL, DEBUG_START };
struct debug_stop {
    u8 cause; /* enum debug_cause */
    u16 point;
    unsigned cpu;
};

struct vm_debug {
    struct debug_point point[DEBUG_POINTS];
    unsigned rows; /* in use are some of the first so many */
    u16 last_id;
    u8 taken;    /* debug registers that the guest has enabled since there are points */
    bool closed; /* memory is closed to some accesses: to writes, as ROM, or for a point */
    bool mtf;    /* the monitor trap flag has been seen to work */
    bool wait;   /* stand still before the first instruction */
    bool quiet;  /* GDB tells of stops, not the log */
    struct debug_stop stop;
};

struct vcpu_debug {
    u64 steps;      /* to go; 0: it runs */
    u64 first, end; /* one step goes on while RIP is in [first, end) */
    u64 until;      /* basic exit reason to stop behind, DEBUG_NONE: none */
    u64 since;      /* the exit (vcpu.exited) to look behind */
    bool held;      /* stands still while the VM runs */
    bool parked;    /* stands still: state is all in memory */
    bool skip;      /* whatever breakpoint is at RIP has been reported */
    bool native;    /* one instruction is being executed by the CPU */
    u64 begun;      /* ... after the exit of this time (vcpu.exited) */
    bool had_tf;    /* ... and RFLAGS.TF is the guest's own */
    bool rearm;     /* the points have changed */
    u16 hit;        /* the watchpoint that the last instruction met */
    u16 interrupt;  /* a vector to be delivered as soon as the guest takes interrupts; or NONE */
    u64 page, page_gpa;   /* translation of the code page looked at last */
    u64 open[DEBUG_OPEN]; /* pages opened for a native step */
    unsigned opened;
    u8 armed;       /* debug registers that are ours */
    u32 exceptions; /* the exception bitmap that TF was set under */
    u64 ours[4];    /* ... their values */
    u64 guest_dr7;  /* ... DR7 as the guest has it; DR0-DR3 are in state.dr */
    struct emu_ops ops;
    _Alignas(16) u8 fxsave[512];
};
#define DEBUG_NO_INTERRUPT 0x100
