/* SPDX-License-Identifier: MIT
 *
 * The trace of a virtual CPU: a ring of what happened to it, one record for each exit, emulated
 * step, injected event and turn of its life; and with it a table that counts every exit an
 * instruction caused by reason, instruction, register and RIP.  Both are on from the beginning.
 *
 * The inline parts are the whole cost of an exit: docs/trace.md has the figures.
 */
#ifndef VMX_TRACE_H
#define VMX_TRACE_H

#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

enum trace_mode { TRACE_OFF, TRACE_ALL, TRACE_FILTERED };

/* What a record is about when it is no exit. */
enum trace_kind {
    TRACE_STEP = 0x100, /* one instruction emulated because the state cannot be entered */
    TRACE_EVENT,        /* injected: address has the VM-entry interruption information */
    TRACE_LIFE          /* address points to a static string */
};

struct trace_record {
    u64 tsc; /* host TSC of the exit; 0: no record */
    u64 rip;
    union {
        struct {
            u32 ticks; /* from exit to entry, at most ~0 */
            union {
                struct {
                    u8 mode, io, width; /* as in struct emu_record, when why is not 0 */
                    u8 why;             /* 1 + enum emu_reason; 0: not the emulator's work */
                };
                u32 how;
            };
        };
        u64 fresh; /* 0 when an exit has just happened */
    };
    u8 bytes[15], length; /* of the instruction, when why is not 0 */
    u64 address;          /* device register when io; MSR; CPUID leaf */
    u64 value;            /* read or written there; EVENT: error code and payload */
    union {
        struct {
            u16 flags, port; /* the qualification when reason is IO */
            u32 reason;      /* whole exit reason, or enum trace_kind */
        };
        u32 qualification;
        u64 cause;
    };
};
_Static_assert(sizeof(struct trace_record) == 64, "a power of two, see vcpu.record_low");

#define TRACE_RECORDS (64 * KiB / sizeof(struct trace_record))
#define TRACE_ROWS    2048u
#define TRACE_LAST    64u /* records in a report */
#define TRACE_SLICES  256u

/* Exits that are alike in cause, RIP and register, counted. */
struct trace_row {
    u64 rip, cause, address; /* cause: ~0 in its lower half when the address tells more */
    u32 how;
    u8 code; /* length << 4 | enum emu_mode of bytes */
    u8 bytes[15];
    u64 count, ticks;
};
_Static_assert(sizeof(struct trace_row) == 64, "a power of two, for trace_home()");

/* A record is kept when its reason is this one and an address of it, or RIP, is in the range. */
struct trace_filter {
    u32 reason; /* TRACE_ANY: all */
    u64 first, last;
};
#define TRACE_ANY (~0u)

/* The exit counters at one time: what happened over time, at no cost to an exit. */
struct trace_slice {
    u64 tsc, ticks, halted;       /* ticks: of all exits but HLT, whose waits are `halted` */
    u32 count[EXIT_REASON_COUNT]; /* modulo 2^32; EXIT_NONE: instructions emulated in steps */
};

struct trace {
    struct trace_row row[TRACE_ROWS];          /* first: its address is one instruction less */
    struct trace_record record[TRACE_RECORDS]; /* aligned to its size */
    struct trace_row lost[256];                /* by reason: what found no free row; steps at 0 */
    u64 quiet[256];                            /* exits that no instruction of the guest's caused */
    struct trace_filter filter;
    struct trace_record *exit; /* of the exit being handled, when it is not the newest record */
    struct trace_record none;  /* stands for it when there is no exit */
    struct trace_slice slice[TRACE_SLICES];
    unsigned slices;
    u64 slice_ticks; /* at least so long */
};

CHECKED enum status trace_create(struct vcpu *v);
void trace_destroy(struct vcpu *v);

/* Switch, from the next entry on; filter may be NULL: everything. */
void trace_switch(struct vcpu *v, bool on, const struct trace_filter *filter);
/* Forget the counts, not the records. */
void trace_clear(struct vcpu *v);

/* There is no exit being handled. */
void trace_idle(struct vcpu *v);
/* The emulator has carried out (or tried) an instruction; the exit's record is completed. */
void trace_emulated(struct vcpu *v, enum emu_reason why);
void trace_event(struct vcpu *v, const struct emu_event *event);
void trace_life(struct vcpu *v, const char *what); /* a static string */
/* Time has passed: perhaps begin another slice.  When all are in use each two become one. */
void trace_tick(struct vcpu *v);
/* Drop the record again when the filter does not want it. */
void trace_filter(struct vcpu *v, struct trace_record *r);

/* The n-th newest record, from 0; NULL past the oldest. */
struct trace_record *trace_at(const struct vcpu *v, unsigned n);
/* One line; the last n of them, oldest first. */
void trace_print(const struct vcpu *v, const struct trace_record *r, struct sink *out);
void trace_show(const struct vcpu *v, unsigned n, struct sink *out);
/* All that is known of a virtual CPU as checked lines for tools/trace, which describes them. */
void trace_save(const struct vcpu *v, struct sink *out);
/* For panic_attach(). */
void trace_panic_report(struct sink *out);

/* The record's place on the bus; false: it did not access a device or MSR. */
bool trace_access(const struct trace_record *r, enum bus_space *space, u64 *address, bool *write);
/* What it read or wrote there. */
u64 trace_value(const struct trace_record *r);
/* Its instruction in Intel syntax, and the register it accessed, each "" when there is none. */
void trace_instruction(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap);
void trace_register(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap);
const char *trace_reason_name(const struct trace_record *r);
/* True when an instruction of the guest's caused it. */
bool trace_is_instruction(const struct trace_record *r);
/* A record that looks like those counted in the row. */
struct trace_record trace_sample(const struct trace_row *row);
/* Row number n of all, the lost ones last; NULL past the end. */
const struct trace_row *trace_row(const struct trace *t, unsigned n);

/* For an exit that took the long way to its entry. */
void trace_end_slowly(struct vcpu *v, u64 ticks);
/* The rest of trace_end(). */
void trace_end_other(struct vcpu *v, struct trace_record *r);

static inline struct trace_row *trace_home(struct trace *t, u64 rip, u64 detail)
{
    u64 offset = (rip + detail) * sizeof(struct trace_row) % sizeof(t->row);
    return (struct trace_row *)(void *)((u8 *)t + offset);
}

/* The usual exits whose qualification is always 0 (SDM vol. 3C, 27.2.1): a VMREAD less is worth
 * having below another hypervisor. */
#define TRACE_UNQUALIFIED                                                                \
    (BIT64(EXIT_EXTERNAL_INTERRUPT) | BIT64(EXIT_INTERRUPT_WINDOW) | BIT64(EXIT_CPUID) | \
     BIT64(EXIT_HLT) | BIT64(EXIT_VMCALL) | BIT64(EXIT_RDMSR) | BIT64(EXIT_WRMSR) |      \
     BIT64(EXIT_PREEMPTION_TIMER))

/* After an exit; v->exited is set. */
static inline void trace_begin(struct vcpu *v, u32 reason, u64 rip)
{
    v->record_low = (u16)(v->record_low + sizeof(struct trace_record));
    struct trace_record *r = v->record;

    r->tsc = v->exited;
    r->fresh = 0;
    r->rip = rip;
    r->qualification = 0;
    r->reason = reason;
    if (!(TRACE_UNQUALIFIED & BIT64(reason % 64)))
        r->qualification = (u32)vmread(VMCS_EXIT_QUALIFICATION);
}

/* Before the next entry; false: trace_end_other() has to follow. */
static inline bool trace_end(struct vcpu *v, struct trace_record *r, u64 ticks)
{
    struct trace_row *row = trace_home(v->trace, r->rip, r->port);

    r->ticks = (u32)ticks;
    if (unlikely(row->rip != r->rip || row->cause != r->cause))
        return false;
    r->value = v->state.gpr[RAX];
    row->count++;
    row->ticks += ticks;
    return true;
}

#endif
