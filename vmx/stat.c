/* SPDX-License-Identifier: MIT
 *
 * Statistics: the exit counters, and the table of what instructions caused them (vmx/trace.h).
 */
#include "lib/string.h"
#include "vmx/check.h"
#include "vmx/commands.h"
#include "vmx/show.h"
#include "vmx/symbol.h"
#include "vmx/trace.h"

/* What a table shows: since when, and the records still in the ring, by reason or row. */
struct view {
    bool diff;
    unsigned records;
    u16 group[TRACE_RECORDS];
    u32 ticks[TRACE_RECORDS];
};

static struct view *look(struct vcpu *v, bool by_row, bool diff)
{
    static struct view view; /* commands run one at a time */
    struct trace_record r;

    view.diff = diff;
    for (view.records = 0; trace_read(v, view.records, &r); view.records++) {
        view.group[view.records] = (u16)(by_row ? trace_row_of(v->trace, &r) : r.reason);
        view.ticks[view.records] = r.ticks;
    }
    return &view;
}

/* How many ticks so many percent of the group's records took at most (0: the quickest of them); "-"
 * when there is none. */
static const char *percentile(const struct view *view, unsigned group, unsigned percent,
                              char out[16])
{
    unsigned all = 0;
    u32 value = 0;

    for (unsigned i = 0; i < view->records; i++)
        all += view->group[i] == group && view->ticks[i];
    for (u32 bit = BIT(31); bit; bit /= 2) { /* the most that fewer than those are below */
        unsigned below = 0;
        for (unsigned i = 0; i < view->records; i++)
            below += view->group[i] == group && view->ticks[i] && view->ticks[i] < (value | bit);
        value |= below == 0 || below * 100 < all * percent ? bit : 0;
    }
    format_buf(out, 16, all ? "%u" : "-", value);
    return out;
}

static void show_exits(struct vcpu *v, bool diff, struct sink *out)
{
    const struct view *view = look(v, false, diff);
    char least[16], half[16], most[16];
    struct trace_mark all = {0, 0};

    sink_printf(out, "%-18s %8s %10s %6s %8s %7s %8s %8s\n", "exit", "count", "ticks", "least",
                "mean", "50 %", "95 %", "most");
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        const struct trace_mark *mark = &v->trace->exit_mark[i];
        u64 count = v->stat[i].count - (diff ? mark->count : 0);
        u64 ticks = v->stat[i].ticks - (diff ? mark->ticks : 0);
        if (!count)
            continue;
        sink_printf(out, "%-18.18s %8lu %10lu %6s %8lu %7s %8s %8lu\n",
                    i == EXIT_NONE ? "(before entry)" : exit_reason_name(i), count, ticks,
                    percentile(view, i, 0, least), ticks / count, percentile(view, i, 50, half),
                    percentile(view, i, 95, most), v->stat[i].most);
        all.count += count;
        all.ticks += ticks;
    }
    sink_printf(out, "%-18s %8lu %10lu\n", "all", all.count, all.ticks);
}

static void show_reasons(const struct vcpu *v, struct sink *out)
{
    struct {
        u64 count, ticks;
    } why[EMU_REASON_COUNT + 1] = {{0}};
    const struct trace_row *row;

    for (unsigned n = 0; (row = trace_row(v->trace, n)); n++) {
        why[row->why].count += row->count;
        why[row->why].ticks += row->ticks;
    }
    sink_printf(out, "\n%-28s %10s %14s %8s\n", "emulated because", "count", "ticks", "mean");
    for (unsigned i = 1; i <= EMU_REASON_COUNT; i++)
        if (why[i].count)
            sink_printf(out, "%-28s %10lu %14lu %8lu\n", emu_reason_text(i - 1), why[i].count,
                        why[i].ticks, why[i].ticks / why[i].count);
}

static void show_unclaimed(const struct vcpu *v, struct sink *out)
{
    const struct bus *bus = v->vm->parts.bus;

    sink_printf(
        out,
        "\nunclaimed: %lu port reads, %lu port writes, %lu memory reads, %lu memory writes\n"
        "%lu MSR accesses denied",
        bus->port[0].reads, bus->port[0].writes, bus->mmio[0].reads, bus->mmio[0].writes,
        v->vm->msr_denied);
    if (v->vm->msr_denied)
        sink_printf(out, ", last %#x", v->vm->msr_denied_last);
    sink_printf(out, "\n");
}

/* How many exits an instruction caused, by the table, for one reason; or steps. */
static u64 in_table(const struct vcpu *v, u32 reason)
{
    const struct trace_row *row;
    u64 count = 0;

    for (unsigned n = 0; (row = trace_row(v->trace, n)); n++)
        count += row->reason == reason ? row->count : 0;
    return count;
}

/* The exit counters against the table: whatever is in neither has to be said. */
static void show_sum(const struct vcpu *v, struct sink *out)
{
    u64 exits = 0, table = 0, quiet = 0, lost = 0;

    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        if (i == EXIT_NONE)
            continue;
        u64 count = v->stat[i].count, rows = in_table(v, i), none = v->trace->quiet[i];
        if (count != rows + none)
            sink_printf(out, "%s: %lu exits, %lu told: the trace was off for the others\n",
                        exit_reason_name(i), count, rows + none);
        exits += count;
        table += rows;
        quiet += none;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(v->trace->lost); i++)
        lost += v->trace->lost[i].count;
    sink_printf(out, "%lu exits: %lu by instructions, as above, and %lu by events or time\n", exits,
                table, quiet);
    if (in_table(v, TRACE_STEP))
        sink_printf(out,
                    "%lu instructions emulated in states that cannot be entered, or for the "
                    "debugger\n",
                    in_table(v, TRACE_STEP));
    if (lost)
        sink_printf(out, "the table is full: %lu are told only by reason\n", lost);
}

/* Of a row, all or since the mark. */
static struct trace_mark counted(const struct vcpu *v, const struct view *view, unsigned n)
{
    const struct trace_row *row = trace_row(v->trace, n);
    const struct trace_mark *mark = &v->trace->mark[n];

    return (struct trace_mark){row->count - (view->diff ? mark->count : 0),
                               row->ticks - (view->diff ? mark->ticks : 0)};
}

static void show_row(const struct vcpu *v, const struct view *view, unsigned n, u64 all,
                     struct sink *out)
{
    const struct trace_row *row = trace_row(v->trace, n);
    const struct trace_mark c = counted(v, view, n);
    struct trace_record r = trace_sample(row);
    char instruction[96], name[48], where[96], most[16];

    trace_instruction(v, &r, instruction, sizeof(instruction));
    trace_register(v, &r, name, sizeof(name));
    if (n >= TRACE_ROWS || !vm_symbol(v->vm, row->rip, where, sizeof(where)))
        format_buf(where, sizeof(where), n < TRACE_ROWS ? "%lx" : "(others)", row->rip);
    if (n >= TRACE_ROWS)
        name[0] = 0;
    if (all)
        format_buf(most, sizeof(most), "%lu%%", c.ticks * 100 / all);
    else
        (void)percentile(view, n, 95, most);
    sink_printf(out, "%7lu %6lu %6s %-9.9s %-25.25s %-15.15s %.6s\n", c.count, c.ticks / c.count,
                most, r.why ? emu_reason_text(r.why - 1u) : trace_reason_name(&r), where, name,
                instruction);
}

/* What a row is sorted by; waiting in HLT costs nobody. */
static u64 weight(const struct vcpu *v, const struct view *view, unsigned n, bool by_ticks)
{
    const struct trace_mark c = counted(v, view, n);
    bool waits = by_ticks && trace_row(v->trace, n)->reason == EXIT_HLT;

    return c.count == 0 || waits ? 0 : by_ticks ? c.ticks : c.count;
}

/* The rows with the most counts or ticks; of equal ones the first in the table comes first. */
static void show_rows(struct vcpu *v, bool by_ticks, bool diff, u64 limit, struct sink *out)
{
    const struct view *view = look(v, true, diff);
    u64 last = ~0ull, all = 0, key;
    unsigned last_n = 0, shown = 0, rows = 0;

    for (unsigned n = 0; trace_row(v->trace, n); n++) {
        key = weight(v, view, n, by_ticks);
        all += by_ticks ? key : 0;
        rows += key != 0;
    }
    sink_printf(out, "  count   mean %6s %-9s %-25s %-15s %s\n", by_ticks ? "time" : "95 %",
                "reason", "RIP", "register", "text");
    for (; shown < limit && shown < rows; shown++) {
        u64 best = 0;
        unsigned best_n = 0;
        for (unsigned n = 0; trace_row(v->trace, n); n++) {
            key = weight(v, view, n, by_ticks);
            if (key > best && (key < last || (key == last && n > last_n))) {
                best = key;
                best_n = n;
            }
        }
        last = best;
        last_n = best_n;
        show_row(v, view, best_n, all, out);
    }
    if (rows > shown)
        sink_printf(out, "and %u more rows; stat %s %u shows all\n", rows - shown,
                    diff       ? "diff"
                    : by_ticks ? "top"
                               : "emu",
                    rows);
}

static void set_mark(struct vcpu *v)
{
    struct trace *t = v->trace;
    const struct trace_row *row;

    for (unsigned n = 0; (row = trace_row(t, n)); n++)
        t->mark[n] = (struct trace_mark){row->count, row->ticks};
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++)
        t->exit_mark[i] = (struct trace_mark){v->stat[i].count, v->stat[i].ticks};
}

/* Why states could not be entered: the rules, the most instructions first. */
static void show_rules(const struct vcpu *v, struct sink *out)
{
    u64 last = ~0ull;
    int last_rule = -1;

    sink_printf(out, "instructions stretches longest from     rule of SDM vol. 3C, 26.3.1\n");
    for (;;) {
        int best = -1;
        for (int i = 0; i < CHECK_RULES; i++) {
            u64 n = v->broken[i].instructions;
            if (n && (n < last || (n == last && i > last_rule)) &&
                (best < 0 || n > v->broken[best].instructions))
                best = i;
        }
        if (best < 0)
            return;
        const struct broken_stat *b = &v->broken[best];
        sink_printf(out, "%12lu %9lu %7lu %08lx %s\n", b->instructions, b->stretches, b->longest,
                    b->longest_begin, check_rules[best].name);
        last = b->instructions;
        last_rule = best;
    }
}

static enum status run_stat(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    show_exits(v, false, sh->out);
    show_reasons(v, sh->out);
    show_unclaimed(v, sh->out);
    return STATUS_OK;
}

/* stat emu, stat top */
static enum status run_table(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    show_rows(v, sh->choice[1] == 1, false, sh->value[2], sh->out);
    show_sum(v, sh->out);
    return STATUS_OK;
}

static enum status run_diff(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    show_exits(v, true, sh->out);
    sink_printf(sh->out, "\n");
    show_rows(v, false, true, sh->value[2], sh->out);
    set_mark(v);
    return STATUS_OK;
}

static enum status run_rules(struct shell *sh)
{
    show_rules(sh->subject, sh->out);
    return STATUS_OK;
}

static enum status run_reset(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    memset(v->stat, 0, sizeof(v->stat));
    memset(v->broken, 0, sizeof(v->broken));
    trace_clear(v);
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"stat", "", "exits, and what was emulated", "stat", run_stat, NEEDS_VCPU},
    {"stat", "emu|top [ROWS=20]", "instructions that caused exits, by count or by time",
     "stat emu\nstat top 5", run_table, NEEDS_VCPU},
    {"stat", "diff [ROWS=10]", "what came since the last diff", "stat diff", run_diff, NEEDS_VCPU},
    {"stat", "rules", "rules of VM entry that states broke", NULL, run_rules, NEEDS_VCPU},
    {"stat", "reset", "forget all counts", NULL, run_reset, NEEDS_VCPU},
};
const struct shell_table stat_commands = {commands, ARRAY_SIZE(commands), NULL};
