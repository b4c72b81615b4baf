/* SPDX-License-Identifier: MIT
 *
 * Trace and statistics of a virtual CPU as lines for tools/trace.  Each is
 *
 *     ~KIND|WORD|WORD ... *CCCC
 *
 * with numbers in hexadecimal and a checksum of this line and all before it: the upper half of
 * the 32-bit FNV-1a of their text from the first "~" to the last "*".  Lines of others may stand
 * between them.  The kinds, in their order:
 *
 *     V version, VM, number of the vCPU, TSC now, its Hz, start of the VM's life
 *     F NAME:BYTES of each field of a record; `code` has the instruction's bytes, length and mode
 *     E number of an exit reason, its name, exits, of these not by an instruction, ticks, most
 *     Y number of a reason to emulate (from 1), its name
 *     C number of a cause, what it is, why, what would avoid it; it is that of records of this exit
 *       reason, reason to emulate, and (1) in the page of the local APIC: the first that fits
 *     R a row: count, ticks, reason, why, RIP, port or address, code, cause, register, instruction,
 *       symbol at RIP
 *     S a slice: TSC, ticks, ticks halted, REASON:COUNT ...
 *     N address of a text, the text (as in the address of LIFE)
 *     L a record, oldest first: its fields, empty when as in the one before
 *     Z how many lines there were before this one
 *
 * In memory (trace.about) there are V, E and C without counts, and
 *
 *     U usual reason to emulate of each exit reason
 *     A name of an array of struct trace, its distance from the V, elements, size of one
 */
#include "vmx/explain.h"
#include "vmx/show.h"
#include "vmx/symbol.h"
#include "vmx/trace.h"

#include "arch/x86/cpu.h"
#include "arch/x86/tsc.h"
#include "lib/string.h"

#define FNV_BASIS 2166136261u
#define FNV_PRIME 16777619u

struct saver {
    struct sink sink;
    struct sink *out;
    u32 sum;
    unsigned lines;
};

static void write_summed(struct sink *self, const char *text, size_t len)
{
    struct saver *s = container_of(self, struct saver, sink);

    for (size_t i = 0; i < len; i++)
        s->sum = (s->sum ^ (u8)text[i]) * FNV_PRIME;
    s->out->write(s->out, text, len);
}

static void end_line(struct saver *s)
{
    sink_printf(&s->sink, "*");
    sink_printf(s->out, "%04x\n", s->sum >> 16);
    s->lines++;
}

#define LINE(s, ...) (sink_printf(&(s)->sink, __VA_ARGS__), end_line(s))

static void put_bytes(struct saver *s, const u8 *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sink_printf(&s->sink, "%02x", bytes[i]);
}

static const struct field {
    const char *name;
    u8 at, size;
} fields[] = {
#define FIELD(name)                                                                       \
    {                                                                                     \
#name, offsetof(struct trace_record, name), sizeof((struct trace_record){0}.name) \
    }
    FIELD(tsc),     FIELD(rip),   FIELD(ticks),         FIELD(io),     FIELD(width), FIELD(why),
    FIELD(address), FIELD(value), FIELD(qualification), FIELD(reason), FIELD(code),
#undef FIELD
};

static void save_record(struct saver *s, const struct trace_record *r,
                        const struct trace_record *before)
{
    sink_printf(&s->sink, "~L");
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        const u8 *at = (const u8 *)r + fields[i].at;
        u64 value = 0;
        sink_printf(&s->sink, "|");
        if (memcmp(at, (const u8 *)before + fields[i].at, fields[i].size) == 0)
            continue;
        if (fields[i].size > sizeof(value)) {
            put_bytes(s, at, fields[i].size);
            continue;
        }
        memcpy(&value, at, fields[i].size);
        sink_printf(&s->sink, "%lx", value);
    }
    end_line(s);
}

static void save_records(struct saver *s, const struct vcpu *v)
{
    struct trace_record record, before = {0};

    sink_printf(&s->sink, "~F");
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
        sink_printf(&s->sink, "|%s:%x", fields[i].name, fields[i].size);
    end_line(s);
    for (unsigned n = TRACE_RECORDS; n-- > 0;) {
        if (!trace_read(v, n, &record))
            continue;
        if (record.reason == TRACE_LIFE)
            LINE(s, "~N|%lx|%s", record.address, (const char *)(uintptr_t)record.address);
        save_record(s, &record, &before);
        before = record;
    }
}

static void save_rows(struct saver *s, const struct vcpu *v)
{
    char instruction[160], name[48], symbol[96];
    const struct trace_row *row;

    for (unsigned n = 0; (row = trace_row(v->trace, n)); n++) {
        const struct trace_record r = trace_sample(row);
        if (!row->count)
            continue;
        trace_instruction(v, &r, instruction, sizeof(instruction));
        trace_register(v, &r, name, n < TRACE_ROWS ? sizeof(name) : 1);
        sink_printf(&s->sink, "~R|%lx|%lx|%x|%x|%lx|%lx|", row->count, row->ticks, r.reason, r.why,
                    r.rip, r.address);
        put_bytes(s, r.code.bytes, r.code.length);
        if (!vm_symbol(v->vm, r.rip, symbol, sizeof(symbol)))
            symbol[0] = 0;
        LINE(s, "|%x|%s|%s|%s", (unsigned)(explain_cause(&r) - explain_causes), name, instruction,
             symbol);
    }
}

static void save_slices(struct saver *s, const struct vcpu *v)
{
    for (const struct trace_slice *t = v->trace->slice; t < v->trace->slice + v->trace->slices;
         t++) {
        sink_printf(&s->sink, "~S|%lx|%lx|%lx", t->tsc, t->ticks, t->halted);
        for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
            if (t->count[i])
                sink_printf(&s->sink, "|%x:%x", i, t->count[i]);
        end_line(s);
    }
}

static void save_causes(struct saver *s)
{
    for (unsigned i = 0; i < EMU_REASON_COUNT; i++)
        LINE(s, "~Y|%x|%s", i + 1, emu_reason_text(i));
    for (unsigned i = 0; i < EXPLAIN_CAUSES; i++) {
        const struct cause *c = &explain_causes[i];
        LINE(s, "~C|%x|%s|%s|%s|%x|%x|%x", i, c->what, c->because, c->avoid, c->reason, c->why,
             c->apic);
    }
}

void trace_save(const struct vcpu *v, struct sink *out)
{
    struct saver s = {{write_summed}, out, FNV_BASIS, 0};

    LINE(&s, "~V|1|%s|%x|%lx|%lx|%lx", v->vm->name, v->index, rdtsc(), tsc_hz(), v->vm->started);
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
        if (v->stat[i].count && i != EXIT_NONE)
            LINE(&s, "~E|%x|%s|%lx|%lx|%lx|%lx", i, exit_reason_name(i), v->stat[i].count,
                 v->trace->quiet[i], v->stat[i].ticks, v->stat[i].most);
    save_causes(&s);
    save_rows(&s, v);
    save_slices(&s, v);
    save_records(&s, v);
    LINE(&s, "~Z|%x", s.lines);
}

void trace_describe(const struct vcpu *v, struct sink *out)
{
    struct saver s = {{write_summed}, out, FNV_BASIS, 0};

    LINE(&s, "~V|1|%s|%x|0|%lx|0", v->vm->name, v->index, tsc_hz());
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
        LINE(&s, "~E|%x|%s|0|0|0|0", i, exit_reason_name(i));
    save_causes(&s);
    sink_printf(&s.sink, "~U");
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
        sink_printf(&s.sink, "|%x", trace_usual_why(i));
    end_line(&s);
#define ARRAY(name, count)                                                                \
    LINE(&s, "~A|" #name "|%zx|%x|%zx",                                                   \
         offsetof(struct trace, about) - offsetof(struct trace, name), (unsigned)(count), \
         sizeof(v->trace->name) / (count))
    ARRAY(record, TRACE_RECORDS);
    ARRAY(row, TRACE_ROWS);
    ARRAY(lost, TRACE_REASONS);
    ARRAY(slice, TRACE_SLICES);
    ARRAY(slices, 1);
    ARRAY(quiet, TRACE_REASONS);
    LINE(&s, "~Z|%x", s.lines);
}
