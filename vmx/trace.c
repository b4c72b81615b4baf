/* SPDX-License-Identifier: MIT
 *
 * The trace of a virtual CPU: what is not on the hot path, and records in words.
 */
#include "vmx/trace.h"

#include "arch/x86/cpu.h"
#include "arch/x86/memory.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "vmx/show.h"
#include "vmx/symbol.h"

#define LL(x) ((unsigned long long)(x))

#define PROBES 16u /* places a row can be at, from its home on */

/* Qualification of port accesses, SDM vol. 3C, table 27-5. */
#define IO_IN      BIT(3)
#define IO_SIZE(q) (((q)&7) + 1)

/* Exits that come from outside, from a timer or from between two instructions. */
#define NO_INSTRUCTION                                                                         \
    (BIT64(EXIT_EXCEPTION_NMI) | BIT64(EXIT_EXTERNAL_INTERRUPT) | BIT64(EXIT_TRIPLE_FAULT) |   \
     BIT64(EXIT_INIT_SIGNAL) | BIT64(EXIT_SIPI) | BIT64(EXIT_IO_SMI) | BIT64(EXIT_OTHER_SMI) | \
     BIT64(EXIT_INTERRUPT_WINDOW) | BIT64(EXIT_NMI_WINDOW) | BIT64(EXIT_ENTRY_FAILURE_STATE) | \
     BIT64(EXIT_ENTRY_FAILURE_MSR_LOADING) | BIT64(EXIT_NONE) | BIT64(EXIT_PREEMPTION_TIMER) | \
     BIT64(EXIT_MONITOR_TRAP_FLAG) | BIT64(EXIT_ENTRY_FAILURE_MACHINE_CHECK) |                 \
     BIT64(EXIT_EPT_VIOLATION) | BIT64(EXIT_EPT_MISCONFIGURATION) | BIT64(EXIT_PML_FULL))

/* The record of the exit being handled. */
static struct trace_record *exit_record(const struct vcpu *v)
{
    return v->trace->exit ? v->trace->exit : v->record;
}

static struct trace_record *add(struct vcpu *v, u32 kind, u64 rip)
{
    v->trace->exit = exit_record(v);
    v->record_low = (u16)(v->record_low + sizeof(struct trace_record));
    struct trace_record *r = v->record;
    if (unlikely(r == v->trace->exit)) { /* once around: it has yet to be counted */
        v->trace->none = *r;
        v->trace->exit = &v->trace->none;
    }
    *r = (struct trace_record){.tsc = rdtsc(), .rip = rip, .reason = kind};
    return r;
}

enum status trace_create(struct vcpu *v)
{
    hpa_t at;
    enum status s = mem_alloc(sizeof(struct trace), sizeof(v->trace->record), "trace", &at);

    if (s != STATUS_OK)
        return s;
    v->trace = phys_to_virt(at);
    v->record = v->trace->record;
    trace_clear(v);
    trace_switch(v, true, NULL);
    return STATUS_OK;
}

void trace_destroy(struct vcpu *v)
{
    if (v->trace)
        mem_free(virt_to_phys(v->trace));
    v->trace = NULL;
}

void trace_switch(struct vcpu *v, bool on, const struct trace_filter *filter)
{
    static const struct trace_filter all = {TRACE_ANY, 0, ~0ull};

    v->trace->filter = filter ? *filter : all;
    if (!on && v->tracing) /* what is stored in v->record shall hurt no record */
        add(v, 0, 0)->tsc = 0;
    if (!on || !v->tracing)
        trace_idle(v); /* of an exit that has begun nothing was recorded */
    v->tracing = !on ? TRACE_OFF : filter ? TRACE_FILTERED : TRACE_ALL;
}

void trace_clear(struct vcpu *v)
{
    struct trace *t = v->trace;

    memset(t->row, 0, sizeof(t->row));
    memset(t->lost, 0, sizeof(t->lost));
    memset(t->quiet, 0, sizeof(t->quiet));
    t->slice[0] = (struct trace_slice){.tsc = rdtsc(), .halted = v->halt_ticks};
    t->slices = 1;
    t->slice_ticks = 0;
    for (unsigned i = 0; i < TRACE_ROWS; i++)
        t->row[i].cause = ~0ull; /* an empty row is no exit's */
}

void trace_idle(struct vcpu *v)
{
    v->trace->none = (struct trace_record){.reason = EXIT_NONE};
    v->trace->exit = &v->trace->none;
}

static bool is_msr(const struct trace_record *r)
{
    return r->reason == EXIT_RDMSR || r->reason == EXIT_WRMSR;
}

bool trace_is_instruction(const struct trace_record *r)
{
    return r->why || (r->reason < EXIT_REASON_COUNT &&
                      (r->reason >= 64 || !(NO_INSTRUCTION & BIT64(r->reason))));
}

static inline void filter(struct vcpu *v, struct trace_record *r)
{
    if (unlikely(v->tracing == TRACE_FILTERED))
        trace_filter(v, r);
}

/* What of a record, besides its RIP and how it was done, its row has to be like. */
struct key {
    u64 cause, address, detail;
};

/* The address tells more than the qualification; trace_end() shall not find such rows. */
static inline struct key key_by_address(const struct trace_record *r)
{
    return (struct key){r->cause | ~0u, r->address, r->address};
}

static inline struct key key_of(const struct trace_record *r)
{
    return r->why || is_msr(r) ? key_by_address(r) : (struct key){r->cause, 0, r->port};
}

/* The i-th place for the record's row: the row itself, an empty one, or NULL: another's. */
static inline struct trace_row *place(struct trace *t, const struct trace_record *r, struct key key,
                                      unsigned i)
{
    struct trace_row *row = trace_home(t, r->rip, key.detail + i);

    if (likely(row->rip == r->rip && row->cause == key.cause && row->address == key.address &&
               row->how == r->how))
        return row;
    return row->count ? NULL : row;
}

static struct trace_row *probe(struct trace *t, const struct trace_record *r)
{
    struct trace_row *row = NULL;

    for (unsigned i = 0; i < PROBES && !row; i++)
        row = place(t, r, key_of(r), i);
    return row;
}

/* What count() does not find at the first place: another place, a new row, or one of `lost`. */
static __attribute__((noinline)) void count_elsewhere(struct vcpu *v, const struct trace_record *r)
{
    struct trace_row *row = probe(v->trace, r);
    unsigned length = r->length;

    if (!row) {
        row = &v->trace->lost[(u8)r->reason];
        row->cause = (u64)r->reason << 32;
    } else if (!row->count) {
        *row = (struct trace_row){.rip = r->rip,
                                  .cause = key_of(r).cause,
                                  .address = key_of(r).address,
                                  .how = r->how,
                                  .code = r->mode};
        memcpy(row->bytes, r->bytes, sizeof(row->bytes));
        if (!r->why) {
            length = vcpu_peek_code(v, r->rip, row->bytes, sizeof(row->bytes));
            row->code = (u8)emu_mode(&v->state);
        }
        row->code |= (u8)(length << 4);
    }
    row->count++;
    row->ticks += r->ticks;
}

static inline void count(struct vcpu *v, const struct trace_record *r, struct key key)
{
    struct trace_row *row = trace_home(v->trace, r->rip, key.detail);

    if (unlikely(row->rip != r->rip || row->cause != key.cause || row->address != key.address ||
                 row->how != r->how)) {
        count_elsewhere(v, r);
        return;
    }
    row->count++;
    row->ticks += r->ticks;
}

void trace_end_other(struct vcpu *v, struct trace_record *r)
{
    const u64 *gpr = v->state.gpr;

    if (likely(r->why)) {
        count(v, r, key_by_address(r));
    } else if (is_msr(r)) {
        r->address = (u32)gpr[RCX];
        r->value = gpr[RDX] << 32 | (u32)gpr[RAX];
        count(v, r, key_by_address(r));
    } else if (trace_is_instruction(r)) {
        r->value = gpr[RAX];
        count(v, r, key_of(r));
    } else {
        v->trace->quiet[(u8)r->reason]++;
    }
}

void trace_end_slowly(struct vcpu *v, u64 ticks)
{
    struct trace_record *r = exit_record(v);

    v->trace->exit = NULL;
    if (!trace_end(v, r, ticks < ~0u ? ticks : ~0u))
        trace_end_other(v, r);
    filter(v, r);
}

static inline void record_emulated(const struct emu_record *e, struct trace_record *r)
{
    __builtin_memcpy(r->bytes, e->code->bytes, 15);
    r->length = e->code->length;
    r->mode = e->code->mode;
    r->io = e->io;
    r->width = e->io_width;
    r->address = e->io ? e->io_address : 0;
    r->value = e->io ? e->io_value & mask_bytes(e->io_width) : 0;
}

/* What is not an exit's one instruction, read and carried out. */
static __attribute__((noinline)) void emulated_special(struct vcpu *v, enum emu_reason why)
{
    if (why == EMU_INVALID_STATE) {
        struct trace_record *r = add(v, TRACE_STEP, v->emu.record.rip);
        record_emulated(&v->emu.record, r);
        r->tsc = v->stepped;
        r->ticks = (u32)(rdtsc() - v->stepped);
        r->why = 1 + EMU_INVALID_STATE;
        count(v, r, key_by_address(r));
        filter(v, r);
    } else { /* a task switch: there was no look at the instruction */
        struct trace_record *r = exit_record(v);
        r->address = r->length = 0;
        r->why = (u8)(why + 1);
    }
}

void trace_emulated(struct vcpu *v, enum emu_reason why)
{
    struct trace_record *r = v->record;

    if (unlikely(why == EMU_INVALID_STATE || why == EMU_TASK_SWITCH)) {
        emulated_special(v, why);
        return;
    }
    record_emulated(&v->emu.record, r);
    r->why = (u8)(why + 1);
}

void trace_event(struct vcpu *v, const struct emu_event *e)
{
    vcpu_load(v, STATE_RIP);
    struct trace_record *r = add(v, TRACE_EVENT, v->state.rip);
    r->address = (u64)e->type << 8 | e->vector;
    r->value = e->vector == VECTOR_PF ? e->payload : e->error;
    filter(v, r);
}

void trace_life(struct vcpu *v, const char *what)
{
    if (v->tracing)
        add(v, TRACE_LIFE, 0)->address = (u64)(uintptr_t)what;
}

void trace_tick(struct vcpu *v)
{
    struct trace *t = v->trace;
    struct trace_slice *s = t->slice, now = {.tsc = rdtsc(), .halted = v->halt_ticks};

    if (!v->tracing || now.tsc - s[t->slices - 1].tsc < t->slice_ticks)
        return;
    if (t->slices == TRACE_SLICES) {
        t->slices /= 2;
        t->slice_ticks = (now.tsc - s[0].tsc) / t->slices;
        for (unsigned i = 0; i < t->slices; i++)
            s[i] = s[2 * i];
    }
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        now.count[i] = (u32)v->stat[i].count;
        now.ticks += i == EXIT_HLT ? 0 : v->stat[i].ticks;
    }
    now.count[EXIT_NONE] = 0;
    for (unsigned i = 0; i < VCPU_RULES; i++)
        now.count[EXIT_NONE] += (u32)v->broken[i].instructions;
    s[t->slices++] = now;
}

void trace_filter(struct vcpu *v, struct trace_record *r)
{
    const struct trace_filter *f = &v->trace->filter;
    u64 at = 0, size = f->last - f->first;
    enum bus_space space;
    bool write;

    if ((f->reason == TRACE_ANY || r->reason == f->reason) &&
        (r->rip - f->first <= size ||
         (trace_access(r, &space, &at, &write) && at - f->first <= size)))
        return;
    r->tsc = 0;
    if (v->record == r)
        v->record_low = (u16)(v->record_low - sizeof(*r));
}

struct trace_record *trace_at(const struct vcpu *v, unsigned n)
{
    struct trace *t = v->trace;
    u64 newest = (u64)(v->record - t->record);

    for (unsigned i = 0; i < TRACE_RECORDS; i++) {
        struct trace_record *r = &t->record[(newest - i) % TRACE_RECORDS];
        if (r->tsc && n-- == 0)
            return r;
    }
    return NULL;
}

const struct trace_row *trace_row(const struct trace *t, unsigned n)
{
    if (n < TRACE_ROWS)
        return &t->row[n];
    return n - TRACE_ROWS < ARRAY_SIZE(t->lost) ? &t->lost[n - TRACE_ROWS] : NULL;
}

struct trace_record trace_sample(const struct trace_row *row)
{
    struct trace_record r = {
        .rip = row->rip, .how = row->how, .address = row->address, .cause = row->cause};

    if (row->address)
        r.qualification = 0;
    r.length = row->code >> 4;
    memcpy(r.bytes, row->bytes, sizeof(r.bytes));
    return r;
}

bool trace_access(const struct trace_record *r, enum bus_space *space, u64 *address, bool *write)
{
    bool port = r->reason == EXIT_IO && !r->why;

    *address = port ? r->port : r->address;
    *space = is_msr(r)                                                 ? BUS_MSR
             : r->io == EMU_IO_MMIO_READ || r->io == EMU_IO_MMIO_WRITE ? BUS_MMIO
                                                                       : BUS_PORT;
    *write = port ? !(r->qualification & IO_IN)
                  : r->reason == EXIT_WRMSR || r->io == EMU_IO_MMIO_WRITE || r->io == EMU_IO_OUT;
    return port || is_msr(r) || (r->why && r->io);
}

u64 trace_value(const struct trace_record *r)
{
    return r->reason == EXIT_IO && !r->why ? r->value & mask_bytes(IO_SIZE(r->flags)) : r->value;
}

void trace_instruction(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap)
{
    const struct trace_row *row = probe(v->trace, r);
    const u8 *bytes = r->bytes;
    unsigned length = r->length, mode = r->mode;

    out[0] = 0;
    if (!r->why) { /* the record has no bytes, but its row has */
        bool known = trace_is_instruction(r) && row && row->count;
        bytes = known ? row->bytes : bytes;
        length = known ? row->code >> 4 : 0;
        mode = known ? row->code & 15 : 0;
    }
    if (length &&
        !emu_disassemble(bytes, length, (enum emu_mode)mode, r->rip, out, cap, vm_symbol, v->vm))
        out[0] = 0;
}

void trace_register(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap)
{
    enum bus_space space;
    u64 address;
    bool write;

    out[0] = 0;
    if (trace_access(r, &space, &address, &write))
        bus_describe(v->vm->parts.bus, space, address, out, cap);
}

const char *trace_reason_name(const struct trace_record *r)
{
    static const char *const kinds[] = {"STEP", "EVENT", "LIFE"};

    return r->reason >= TRACE_STEP && r->reason <= TRACE_LIFE ? kinds[r->reason - TRACE_STEP]
                                                              : exit_reason_name((u16)r->reason);
}

void trace_print(const struct vcpu *v, const struct trace_record *r, struct sink *out)
{
    u64 us = tsc_now_us() - tsc_to_us(rdtsc() - r->tsc), address;
    char instruction[160], name[96];
    enum bus_space space;
    bool write;

    sink_printf(out, "[%llu.%06llu] %-18s ", LL(us / 1000000), LL(us % 1000000),
                trace_reason_name(r));
    if (r->reason == TRACE_LIFE) {
        sink_printf(out, "%s %s\n", v->vm->name, (const char *)(uintptr_t)r->address);
        return;
    }
    trace_instruction(v, r, instruction, sizeof(instruction));
    if (!vm_symbol(v->vm, r->rip, name, sizeof(name)))
        format_buf(name, sizeof(name), "%016llx", LL(r->rip));
    sink_printf(out, "%s %s", name, instruction);
    trace_register(v, r, name, sizeof(name));
    if (r->reason == TRACE_EVENT)
        sink_printf(out, "vector %llu, type %llu, error or address %#llx", LL(r->address & 0xff),
                    LL(r->address >> 8), LL(r->value));
    else if (trace_access(r, &space, &address, &write))
        sink_printf(out, "; %s %s %#llx", name, write ? "<-" : "->", LL(trace_value(r)));
    else if (r->reason == EXIT_CPUID)
        sink_printf(out, "; leaf %#x", (u32)r->address);
    else if (r->qualification)
        sink_printf(out, "; qualification %#x", r->qualification);
    if (r->ticks)
        sink_printf(out, "; %u ticks", r->ticks);
    sink_printf(out, "\n");
}

void trace_show(const struct vcpu *v, unsigned n, struct sink *out)
{
    while (n-- > 0) {
        const struct trace_record *r = trace_at(v, n);
        if (r)
            trace_print(v, r, out);
    }
}

void trace_panic_report(struct sink *out)
{
    if (this_cpu()->vcpu)
        trace_show(this_cpu()->vcpu, TRACE_LAST, out);
}
