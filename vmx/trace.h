/* SPDX-License-Identifier: MIT
 *
 * The trace of a virtual CPU: a ring of what happened to it, one record for each exit, emulated
 * step, injected event and turn of its life; and with it a table that counts every exit an
 * instruction caused by reason, instruction, register and RIP.  Both are on from the beginning.
 *
 * The inline parts are the whole cost of an exit: docs/trace.md has the figures.
 */
#pragma once

#include "vmx/reason.h"
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

/*
 * What the way of an exit writes down of it.  The rest is in the row that it was counted in, and
 * trace_read() puts both together.
 */
struct trace_record {
    u64 tsc; /* host TSC of the exit; 0: no record */
    u64 rip;
    u32 ticks;            /* from exit to entry, at most ~0; 0: it is still being handled */
    u8 io, width;         /* of the device access, as in struct emu_record */
    struct emu_code code; /* the instruction */
    u64 address;          /* port, guest-physical address or MSR; CPUID leaf */
    union {
        u64 value; /* read or written there; EVENT: error code and payload */
        struct {
            u32 value_low, value_high;
        };
    };
    union {
        u64 cause;
        struct {
            union {
                u32 qualification; /* its lower half; MSR */
                struct {
                    u16 flags, port; /* when the reason is IO */
                };
            };
            union {
                u32 exit; /* the exit reason whole: why is 0 then */
                struct {
                    u16 reason; /* its basic part, perhaps with TRACE_SPECIAL; enum trace_kind */
                    u8 why;     /* 1 + enum emu_reason; 0: not the emulator's work */
                };
            };
        };
    };
};
_Static_assert(sizeof(struct trace_record) == 64, "a power of two, see vcpu.record_low");

/* In a reason: count it in the long way, since it is not what the reason usually stands for. */
#define TRACE_SPECIAL 0x80u

#define TRACE_RECORDS (64 * KiB / sizeof(struct trace_record))
#define TRACE_ROWS    2048u
#define TRACE_REASONS (EXIT_REASON_COUNT + 1) /* the last one: steps */
#define TRACE_LAST    64u                     /* records in a report */
#define TRACE_SLICES  256u

/* Exits that are alike in cause, RIP and register, counted. */
struct trace_row {
    u64 key; /* made of those; 0 with count 0: free */
    u64 rip, address;
    union {
        u64 cause;
        struct {
            u32 qualification; /* when why is not 0: io | width << 8 */
            u16 reason;
            u8 why;
        };
    };
    struct emu_code code;
    u64 count, ticks;
};
_Static_assert(sizeof(struct trace_row) == 64, "a power of two, for row_at() in trace.c");

/* A record is kept when its reason is this one, an address of it, or RIP, is in the range, and it
 * accessed the device. */
struct trace_filter {
    u32 reason; /* TRACE_ANY: all */
    u64 first, last;
    char device[16]; /* "": all */
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
    struct trace_row lost[TRACE_REASONS];      /* by reason: what found no free row */
    u64 quiet[TRACE_REASONS];                  /* exits that no instruction of the guest's caused */
    struct trace_mark {                        /* what `stat diff` counts from */
        u64 count, ticks;
    } mark[TRACE_ROWS + TRACE_REASONS], exit_mark[EXIT_REASON_COUNT];
    struct trace_filter filter;
    struct trace_record *exit; /* of the exit being handled, when it is not the newest record */
    struct trace_record none;  /* stands for it when there is no exit */
    u64 stepped;               /* ticks of it that steps had, which have records of their own */
    struct trace_slice slice[TRACE_SLICES];
    unsigned slices;
    u64 slice_ticks;     /* at least so long */
    char about[8 * KiB]; /* what is where, for tools/trace in a dump of memory: trace_describe() */
};

CHECKED enum status trace_create(struct vcpu *v);
void trace_destroy(struct vcpu *v);

/* Switch, from the next entry on; filter may be NULL: everything. */
void trace_switch(struct vcpu *v, bool on, const struct trace_filter *filter);
/* Forget the counts, not the records. */
void trace_clear(struct vcpu *v);

/* There is no exit being handled. */
void trace_idle(struct vcpu *v);
/* The emulator has carried out (or tried) an instruction, not for the exit's usual reason. */
void trace_emulated(struct vcpu *v, enum emu_reason why);
void trace_event(struct vcpu *v, const struct emu_event *event);
void trace_life(struct vcpu *v, const char *what); /* a static string */
/* Time has passed: perhaps begin another slice.  When all are in use each two become one. */
void trace_tick(struct vcpu *v);
/* Drop the record again when the filter does not want it. */
void trace_filter(struct vcpu *v, struct trace_record *r);

/* A whole copy of the n-th newest record, from 0; false past the oldest. */
bool trace_read(const struct vcpu *v, unsigned n, struct trace_record *r);
/* One line; the last n of them, oldest first. */
void trace_print(const struct vcpu *v, const struct trace_record *r, struct sink *out);
void trace_show(const struct vcpu *v, unsigned n, struct sink *out);
/* All that is known of a virtual CPU as checked lines for tools/trace, which describes them. */
void trace_save(const struct vcpu *v, struct sink *out);
/* ... and of where it is in memory, and what the numbers there mean: trace.about. */
void trace_describe(const struct vcpu *v, struct sink *out);
/* For panic_attach(). */
void trace_panic_report(struct sink *out);

/* The rest is about whole copies. */

/* Row number n of all, the lost ones last; NULL past the end. */
const struct trace_row *trace_row(const struct trace *t, unsigned n);
/* The number of the row that the record was counted in, or TRACE_ROWS. */
unsigned trace_row_of(struct trace *t, const struct trace_record *r);
/* A record like those counted in the row. */
struct trace_record trace_sample(const struct trace_row *row);
/* It accessed a device or MSR (r->address, r->value): where, and did it write? */
bool trace_access(const struct trace_record *r, enum bus_space *space, bool *write);
/* Its instruction in Intel syntax, and the register it accessed, each "" when there is none. */
void trace_instruction(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap);
void trace_register(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap);
const char *trace_reason_name(const struct trace_record *r);
/* Why the emulator is needed when an exit has its usual reason; 1 + enum emu_reason, 0: it is not.
 */
u8 trace_usual_why(u32 reason);
/* True when an instruction of the guest's caused it. */
bool trace_is_instruction(const struct trace_record *r);

/*
 * An exit takes the long way to its entry: before anything else happens, complete its record, but
 * for the time it took.  Always false.
 */
bool trace_keep(struct vcpu *v);
/* For an exit that took the long way to its entry. */
void trace_end_slowly(struct vcpu *v, u64 ticks);

/* After an exit; v->exited is set. */
static inline void trace_begin(struct vcpu *v, u32 reason, u64 rip)
{
    v->record_low = (u16)(v->record_low + sizeof(struct trace_record));
    struct trace_record *r = v->record;

    r->tsc = v->exited;
    r->rip = rip;
    r->exit = reason;
}

/* The exit being handled is not what its reason usually stands for. */
static inline void trace_special(struct vcpu *v, u64 qualification)
{
    v->record->qualification = (u32)qualification;
    v->record->reason |= TRACE_SPECIAL;
}

/*
 * By a record's reason, TRACE_SPECIAL included: what the exit did is completed and counted, and the
 * vCPU made ready to be entered; always true.
 */
typedef bool trace_end_fn(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r);
extern trace_end_fn *const trace_end[256];
