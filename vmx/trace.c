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

#define PROBES     16u                             /* places a row can be at, from its home on */
#define PROBE_STEP (37 * sizeof(struct trace_row)) /* away from the homes of its neighbours */

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

#define IS_IN(set, number) ((number) < 64 && ((set) >> ((number)&63) & 1))

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
    *r = (struct trace_record){.tsc = rdtsc(), .rip = rip, .reason = (u16)kind};
    return r;
}

enum status trace_create(struct vcpu *v)
{
    struct buf_sink about;
    hpa_t at;

    TRY(mem_alloc(sizeof(struct trace), sizeof(v->trace->record), "trace", &at));
    v->trace = phys_to_virt(at);
    v->record = v->trace->record;
    buf_sink_init(&about, v->trace->about, sizeof(v->trace->about));
    trace_describe(v, &about.sink);
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
    static const struct trace_filter all = {TRACE_ANY, 0, ~0ull, ""};

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

    for (unsigned i = 0; i < TRACE_ROWS; i++) /* what they say of records stays */
        t->row[i].count = t->row[i].ticks = 0;
    memset(t->lost, 0, sizeof(t->lost));
    memset(t->quiet, 0, sizeof(t->quiet));
    memset(t->mark, 0, sizeof(t->mark));
    memset(t->exit_mark, 0, sizeof(t->exit_mark));
    t->slice[0] = (struct trace_slice){.tsc = rdtsc(), .halted = v->halt_ticks};
    t->slices = 1;
    t->slice_ticks = 0;
}

void trace_idle(struct vcpu *v)
{
    v->trace->none = (struct trace_record){.reason = EXIT_NONE};
    v->trace->exit = &v->trace->none;
    v->trace->stepped = 0;
}

static bool is_msr(const struct trace_record *r)
{
    return r->reason == EXIT_RDMSR || r->reason == EXIT_WRMSR;
}

/* All that is known of it stands in the record. */
static bool is_special(const struct trace_record *r)
{
    return r->reason >= TRACE_STEP || (r->reason & TRACE_SPECIAL);
}

bool trace_is_instruction(const struct trace_record *r)
{
    return r->why || (r->reason < EXIT_REASON_COUNT && !IS_IN(NO_INSTRUCTION, r->reason));
}

/* 1 + why the emulator is needed, when an exit has no other than its usual reason; 0: it is not. */
#define IS(handler, other) (__builtin_strcmp(#handler, #other) == 0)
static const u8 usual_why[EXIT_REASON_COUNT] = {
#define EXIT(number, name, handler)                                                                \
    [number] = IS(handler, exit_ept_violation) ? 1 + EMU_MMIO                                      \
               : IS(handler, exit_emulate) || IS(handler, exit_vmcall) || IS(handler, exit_mov_dr) \
                   ? 1 + EMU_INTERCEPT                                                             \
                   : 0,
#include "vmx/exits.def"
#undef EXIT
};

u8 trace_usual_why(u32 reason) { return usual_why[reason]; }

/* Exits with a qualification that is worth a VMREAD (SDM vol. 3C, 27.2.1). */
#define QUALIFIED                                                                            \
    (BIT64(EXIT_IO) | BIT64(EXIT_CR_ACCESS) | BIT64(EXIT_MOV_DR) | BIT64(EXIT_INVLPG) |      \
     BIT64(EXIT_EXCEPTION_NMI) | BIT64(EXIT_TASK_SWITCH) | BIT64(EXIT_ENTRY_FAILURE_STATE) | \
     BIT64(EXIT_ENTRY_FAILURE_MSR_LOADING))

/*
 * The key of a record's row: RIP, mixed with reason and port, MSR or qualification, or with the
 * address that the emulator accessed.  That two causes have the same is as likely as a bit error.
 */
#define KEY_MIX (-1640531535ll) /* odd */

static inline u64 key_plain(u64 rip, u32 reason, u32 qualification)
{
    return rip * (u64)KEY_MIX + reason * 8ull + qualification;
}

static inline u64 key_mmio(u64 rip, u64 address) /* what is usual for EPT violations */
{
    return rip * (u64)KEY_MIX + address;
}

/* Where a row is looked for first: neighbouring registers shall be at different places. */
#define HOME_PLAIN(key) ((key) >> 10) /* ports begin at bit 16 */
#define HOME_MSR(key)   ((key) << 3)
#define HOME_MMIO(key)  ((key) << 2) /* registers are 16 bytes apart */

static u64 key_of(const struct trace_record *r, u32 reason, u64 *home)
{
    bool msr = reason == EXIT_RDMSR || reason == EXIT_WRMSR;
    bool plain = !r->why || r->why == 1 + EMU_INTERCEPT;
    u64 key = plain ? key_plain(r->rip, reason, r->qualification)
                    : key_mmio(r->rip, r->address) + ((r->why - 1ull) << 56) +
                          ((u64)(reason ^ EXIT_EPT_VIOLATION) << 40);

    *home = !plain ? HOME_MMIO(key) : msr ? HOME_MSR(key) : HOME_PLAIN(key);
    return key;
}

static inline struct trace_row *row_at(struct trace *t, u64 home)
{
    home = home % sizeof(t->row) & ~(sizeof(struct trace_row) - 1);
    return (struct trace_row *)(void *)((u8 *)t->row + home);
}

/* The row of a whole copy, else a free one for it, or NULL. */
static struct trace_row *find(struct trace *t, const struct trace_record *r, u64 *key)
{
    struct trace_row *free = NULL;
    u64 home;

    *key = key_of(r, r->reason, &home);
    for (unsigned i = 0; i < PROBES; i++, home += PROBE_STEP) {
        struct trace_row *row = row_at(t, home);
        if (row->key == *key)
            return row;
        free = !free && !row->count ? row : free;
    }
    return free;
}

/* What qualification and row say of the access. */
static void fill_access(struct trace_record *r, const struct trace_row *row)
{
    if (r->why) {
        r->io = row ? (u8)row->qualification : r->io;
        r->width = row ? (u8)(row->qualification >> 8) : r->width;
        r->address = r->io ? r->address : 0;
    } else if (r->reason == EXIT_IO) {
        r->address = r->port;
        r->io = r->flags & IO_IN ? EMU_IO_IN : EMU_IO_OUT;
        r->width = IO_SIZE(r->flags);
    } else if (is_msr(r)) {
        r->address = r->qualification;
    } else if (r->reason < TRACE_STEP && r->reason != EXIT_CPUID) {
        r->address = r->value = 0;
    }
    r->value &= r->io ? mask_bytes(r->width) : ~0ull;
}

/* A whole copy: what the way of the exit left out is filled in, what is left of others goes. */
static struct trace_record whole(struct trace *t, const struct trace_record *from)
{
    struct trace_record r = *from;
    const struct trace_row *row = NULL;
    u64 key;

    if (r.reason < TRACE_STEP) {
        r.reason &= (u16)~TRACE_SPECIAL;
        r.why = is_special(from) || r.reason >= EXIT_REASON_COUNT ? r.why : usual_why[r.reason];
    }
    if ((r.why && r.why != 1 + EMU_INTERCEPT) ||
        (!is_special(from) && !is_msr(&r) && !IS_IN(QUALIFIED, r.reason)))
        r.qualification = 0;
    if (!is_special(from) || !r.why) {
        r.io = EMU_IO_NONE;
        row = trace_is_instruction(&r) ? find(t, &r, &key) : NULL;
        row = row && row->key == key ? row : NULL;
        r.code = row ? row->code : (struct emu_code){.length = 0};
    }
    fill_access(&r, row);
    return r;
}

static void record_emulated(const struct emu_record *e, struct trace_record *r)
{
    r->code = *e->code;
    r->io = e->io;
    r->width = e->io_width;
    r->address = e->io ? e->io_address : 0;
    r->value = e->io_value;
}

/* Count it by what its whole copy says: in a row, a new row, or one of `lost`. */
static void count_whole(struct vcpu *v, struct trace_record *r)
{
    struct trace_record c = whole(v->trace, r);
    bool emulated = c.why && !is_special(r) && v->emu.record.rip == c.rip;
    u32 reason = c.reason < EXIT_REASON_COUNT ? c.reason : TRACE_REASONS - 1;
    u64 key;

    if (!trace_is_instruction(&c)) {
        v->trace->quiet[reason]++;
        return;
    }
    if (emulated)
        record_emulated(&v->emu.record, &c);
    struct trace_row *row = find(v->trace, &c, &key);
    if (!row) {
        row = &v->trace->lost[reason];
        row->reason = c.reason;
        if (emulated) { /* there is no row to keep it */
            *r = c;
            r->reason |= TRACE_SPECIAL;
        }
    } else if (row->key != key) {
        *row = (struct trace_row){
            .key = key, .rip = c.rip, .address = c.address, .cause = c.cause, .code = c.code};
        if (c.why)
            row->qualification = c.io | (u32)c.width << 8;
        if (!row->code.length) {
            row->code.length = 15 & vcpu_peek_code(v, c.rip, row->code.bytes, 15);
            row->code.mode = 15 & emu_mode(&v->state);
        }
    }
    row->count++;
    row->ticks += r->ticks;
}

/* Count it at the first place where the row can be, or another. */
static inline void count_at(struct vcpu *v, struct trace_record *r, u64 key, u64 home)
{
    struct trace_row *row = row_at(v->trace, home);

    for (unsigned i = 1; i < PROBES && row->key != key; i++)
        row = row_at(v->trace, home += PROBE_STEP);
    if (unlikely(row->key != key)) {
        count_whole(v, r);
        return;
    }
    row->count++;
    row->ticks += r->ticks;
}

/* A record that has all in itself. */
static void count_special(struct vcpu *v, struct trace_record *r)
{
    u32 reason = r->reason < TRACE_STEP ? r->reason & ~TRACE_SPECIAL : r->reason;
    u64 home, key;

    if (!r->why && IS_IN(NO_INSTRUCTION, reason)) {
        v->trace->quiet[reason]++;
        return;
    }
    key = key_of(r, reason, &home);
    count_at(v, r, key, home);
}

static __attribute__((noinline)) bool count_elsewhere(struct vcpu *v, u64 now, u64 deadline,
                                                      u64 ticks, struct trace_record *r, u64 key)
{
    r->ticks = (u32)ticks;
    count_at(v, r, key,
             is_msr(r)                       ? HOME_MSR(key)
             : r->exit == EXIT_EPT_VIOLATION ? HOME_MMIO(key)
                                             : HOME_PLAIN(key));
    return vcpu_ready(v, now, deadline);
}

static inline bool count(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r,
                         u64 key, u64 home)
{
    struct trace_row *row = row_at(v->trace, home);

    if (unlikely(row->key != key))
        return count_elsewhere(v, now, deadline, ticks, r, key);
    r->ticks = (u32)ticks;
    row->count++;
    row->ticks += ticks;
    return vcpu_ready(v, now, deadline);
}

/* An exit that tells everything itself. */
static bool end_plain(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r)
{
    u64 key = key_plain(r->rip, r->exit, 0);

    return count(v, now, deadline, ticks, r, key, HOME_PLAIN(key));
}

static bool end_qualified(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r)
{
    u32 qualification = (u32)vmread(VMCS_EXIT_QUALIFICATION);
    u64 key = key_plain(r->rip, r->exit, qualification);

    r->qualification = qualification;
    r->value = v->state.gpr[RAX];
    return count(v, now, deadline, ticks, r, key, HOME_PLAIN(key));
}

static bool end_msr(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r)
{
    u32 msr = (u32)v->state.gpr[RCX];
    u64 key = key_plain(r->rip, r->exit, msr);

    r->qualification = msr;
    r->value_low = (u32)v->state.gpr[RAX];
    r->value_high = (u32)v->state.gpr[RDX];
    return count(v, now, deadline, ticks, r, key, HOME_MSR(key));
}

/* The emulator has carried out the access that an EPT violation came of. */
static bool end_mmio(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r)
{
    const struct emu_record *e = &v->emu.record;
    u64 key = key_mmio(r->rip, e->io_address);

    r->address = e->io_address;
    r->value = e->io_value;
    if (unlikely(!e->io)) { /* it came to none */
        r->address = 0;
        return count_elsewhere(v, now, deadline, ticks, r, key_mmio(r->rip, 0));
    }
    return count(v, now, deadline, ticks, r, key, HOME_MMIO(key));
}

/* Not by an instruction. */
static bool end_quiet(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r)
{
    r->ticks = (u32)ticks;
    v->trace->quiet[r->reason]++;
    return vcpu_ready(v, now, deadline);
}

static bool end_special(struct vcpu *v, u64 now, u64 deadline, u64 ticks, struct trace_record *r)
{
    r->ticks = (u32)ticks;
    count_special(v, r);
    return vcpu_ready(v, now, deadline);
}

trace_end_fn *const trace_end[256] = {
#define EXIT(number, name, handler)                                               \
    [number] = (number) == EXIT_EPT_VIOLATION                     ? end_mmio      \
               : IS_IN(NO_INSTRUCTION, number)                    ? end_quiet     \
               : (number) == EXIT_RDMSR || (number) == EXIT_WRMSR ? end_msr       \
               : IS_IN(QUALIFIED, number)                         ? end_qualified \
                                                                  : end_plain,                            \
    [(number) | TRACE_SPECIAL] = end_special,
#include "vmx/exits.def"
#undef EXIT
};

static inline void filter(struct vcpu *v, struct trace_record *r)
{
    if (unlikely(v->tracing == TRACE_FILTERED))
        trace_filter(v, r);
}

bool trace_keep(struct vcpu *v)
{
    struct trace_record *r = exit_record(v);

    if (!v->tracing || is_special(r) || r->reason >= EXIT_REASON_COUNT)
        return false;
    r->why = usual_why[r->reason];
    r->qualification = IS_IN(QUALIFIED, r->reason) ? (u32)vmread(VMCS_EXIT_QUALIFICATION) : 0;
    if (r->why) {
        record_emulated(&v->emu.record, r);
    } else {
        u64 *gpr = v->state.gpr;
        r->qualification = is_msr(r) ? (u32)gpr[RCX] : r->qualification;
        r->value = is_msr(r) ? (u32)gpr[RAX] | gpr[RDX] << 32 : gpr[RAX];
    }
    r->reason |= TRACE_SPECIAL;
    return false;
}

void trace_end_slowly(struct vcpu *v, u64 ticks)
{
    struct trace_record *r = exit_record(v);

    ticks -= v->trace->stepped;
    v->trace->exit = NULL;
    v->trace->stepped = 0;
    r->ticks = (u32)(ticks < ~0u ? ticks : ~0u);
    count_special(v, r);
    filter(v, r);
}

const char *emu_reason_text(enum emu_reason r)
{
    static const char *const text[] = {
#define X(name, words) [EMU_##name] = words,
        EMU_REASON_LIST(X)
#undef X
    };
    return r < EMU_REASON_COUNT ? text[r] : "unknown";
}

void trace_emulated(struct vcpu *v, enum emu_reason why)
{
    bool step = why == EMU_INVALID_STATE || why == EMU_DEBUG;
    struct trace_record *r = step ? add(v, TRACE_STEP, v->emu.record.rip) : exit_record(v);

    r->why = (u8)(why + 1);
    r->io = EMU_IO_NONE;
    r->code.length = 0;
    if (why != EMU_TASK_SWITCH) /* at which there is no look at the instruction */
        record_emulated(&v->emu.record, r);
    if (!step) {
        r->qualification = 0;
        r->reason |= TRACE_SPECIAL;
        return;
    }
    if (why == EMU_INVALID_STATE) {
        r->tsc = v->stepped;
        r->ticks = (u32)(rdtsc() - v->stepped);
        v->trace->stepped += r->ticks;
    }
    count_special(v, r);
    filter(v, r);
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
    const struct trace_record c = whole(v->trace, r);
    u64 size = f->last - f->first;
    size_t length = strlen(f->device);
    enum bus_space space;
    char name[48];
    bool write;

    bool accessed = trace_access(&c, &space, &write);

    trace_register(v, &c, name, sizeof(name));
    if ((f->reason == TRACE_ANY || c.reason == f->reason) &&
        (c.rip - f->first <= size || (accessed && c.address - f->first <= size)) &&
        (!f->device[0] || (strncmp(name, f->device, length) == 0 && name[length] == ' ')))
        return;
    r->tsc = 0;
    if (v->record == r)
        v->record_low = (u16)(v->record_low - sizeof(*r));
}

bool trace_read(const struct vcpu *v, unsigned n, struct trace_record *r)
{
    struct trace *t = v->trace;
    u64 newest = (u64)(v->record - t->record);

    for (unsigned i = 0; i < TRACE_RECORDS; i++) {
        const struct trace_record *at = &t->record[(newest - i) % TRACE_RECORDS];
        if (!at->tsc || n-- != 0)
            continue;
        *r = whole(t, at);
        r->ticks = at == exit_record(v) ? 0 : r->ticks;
        return true;
    }
    return false;
}

const struct trace_row *trace_row(const struct trace *t, unsigned n)
{
    if (n < TRACE_ROWS)
        return &t->row[n];
    return n - TRACE_ROWS < ARRAY_SIZE(t->lost) ? &t->lost[n - TRACE_ROWS] : NULL;
}

unsigned trace_row_of(struct trace *t, const struct trace_record *r)
{
    u64 key;
    const struct trace_row *row = trace_is_instruction(r) ? find(t, r, &key) : NULL;

    return row && row->key == key ? (unsigned)(row - t->row) : TRACE_ROWS;
}

struct trace_record trace_sample(const struct trace_row *row)
{
    struct trace_record r = {
        .rip = row->rip, .address = row->address, .cause = row->cause, .code = row->code};

    fill_access(&r, row);
    return r;
}

bool trace_access(const struct trace_record *r, enum bus_space *space, bool *write)
{
    *space = is_msr(r)                                                 ? BUS_MSR
             : r->io == EMU_IO_MMIO_READ || r->io == EMU_IO_MMIO_WRITE ? BUS_MMIO
                                                                       : BUS_PORT;
    *write = r->reason == EXIT_WRMSR || r->io == EMU_IO_MMIO_WRITE || r->io == EMU_IO_OUT;
    return is_msr(r) || r->io;
}

void trace_instruction(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap)
{
    if (!r->code.length ||
        !emu_disassemble(r->code.bytes, r->code.length, (enum emu_mode)r->code.mode, r->rip, out,
                         cap, vm_symbol, v->vm))
        out[0] = 0;
}

void trace_register(const struct vcpu *v, const struct trace_record *r, char *out, size_t cap)
{
    enum bus_space space;
    bool write;

    out[0] = 0;
    if (trace_access(r, &space, &write))
        bus_describe(v->vm->parts.bus, space, r->address, out, cap);
}

const char *trace_reason_name(const struct trace_record *r)
{
    static const char *const kinds[] = {"STEP", "EVENT", "LIFE"};

    return r->reason >= TRACE_STEP && r->reason <= TRACE_LIFE ? kinds[r->reason - TRACE_STEP]
                                                              : exit_reason_name((u16)r->reason);
}

void trace_print(const struct vcpu *v, const struct trace_record *r, struct sink *out)
{
    u64 us = tsc_now_us() - tsc_to_us(rdtsc() - r->tsc);
    char instruction[160], name[96];
    enum bus_space space;
    bool write;

    sink_printf(out, "[%lu.%06lu] %-18s ", us / 1000000, us % 1000000, trace_reason_name(r));
    if (r->reason == TRACE_LIFE) {
        sink_printf(out, "%s %s\n", v->vm->name, (const char *)(uintptr_t)r->address);
        return;
    }
    trace_instruction(v, r, instruction, sizeof(instruction));
    if (!vm_symbol(v->vm, r->rip, name, sizeof(name)))
        format_buf(name, sizeof(name), "%016lx", r->rip);
    sink_printf(out, "%s %s", name, instruction);
    trace_register(v, r, name, sizeof(name));
    if (r->reason == TRACE_EVENT)
        sink_printf(out, "vector %lu, type %lu, error or address %#lx", r->address & 0xff,
                    r->address >> 8, r->value);
    else if (trace_access(r, &space, &write))
        sink_printf(out, "; %s %s %#lx", name, write ? "<-" : "->", r->value);
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
    struct trace_record r;

    while (n-- > 0)
        if (trace_read(v, n, &r))
            trace_print(v, &r, out);
}

void trace_panic_report(struct sink *out)
{
    if (this_cpu()->vcpu && !trace_keep(this_cpu()->vcpu))
        trace_show(this_cpu()->vcpu, TRACE_LAST, out);
}
