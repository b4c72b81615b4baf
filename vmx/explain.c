/* SPDX-License-Identifier: MIT
 *
 * What happened, from the trace, and why it had to: for one instruction and for a whole run.
 */
#include "vmx/explain.h"

#include "lib/string.h"
#include "vmx/commands.h"
#include "vmx/show.h"
#include "vmx/symbol.h"
#include "vmx/trace.h"

#define APIC_PAGE 0xfee00ull /* SDM vol. 3A, 10.4.1 */

const struct cause explain_causes[EXPLAIN_CAUSES] = {
    {TRACE_ANY, 1 + EMU_MMIO, true, "local APIC registers by memory",
     "no memory is mapped at the APIC's page, so that each access leaves the guest; the CPU tells "
     "the address but not the operation, so the instruction has to be read and carried out",
     "x2APIC mode (registers by MSR, 60 % of the cost), or a CPU with APIC-register "
     "virtualization"},
    {TRACE_ANY, 1 + EMU_MMIO, false, "device registers in memory",
     "no memory is mapped at a device's page, so that each access leaves the guest; the CPU tells "
     "the address but not the operation, so the instruction has to be read and carried out",
     "fewer accesses: for interrupts MSI instead of the I/O APIC, for data a paravirtual device"},
    {TRACE_ANY, 1 + EMU_WRITE_PROTECT, false, "writes to memory that is write-protected",
     "a watchpoint has closed the page to writes, or the page is ROM",
     "no watchpoint in a page that is written often"},
    {TRACE_ANY, 1 + EMU_PIO, false, "string port accesses",
     "INS and OUTS move between a device's port and memory: the exit tells the port but the "
     "emulator has to walk through memory",
     "a device that moves data by itself (virtio)"},
    {TRACE_ANY, 1 + EMU_INVALID_STATE, false, "code in a state that VM entry refuses",
     "the CPU enters a guest only in states that SDM vol. 3C, 26.3.1 allows; until then every "
     "instruction is carried out here",
     "unrestricted guest (a CPU from Westmere on), or a loader that starts in protected mode"},
    {TRACE_ANY, 1 + EMU_REAL_MODE, false, "real-mode instructions that virtual-8086 mode refuses",
     "this CPU has no unrestricted guest, so real mode runs in virtual-8086 mode, where privileged "
     "instructions and what needs other segment limits raise #GP",
     "unrestricted guest (a CPU from Westmere on), or a loader that starts in protected mode"},
    {TRACE_ANY, 1 + EMU_TASK_SWITCH, false, "task switches",
     "VT-x never switches tasks by hardware inside a guest", "a kernel that switches in software"},
    {EXIT_IO, 0, false, "port accesses",
     "every port is a model's or nobody's: the exit tells port, size and direction, no instruction "
     "has to be read",
     "fewer of them: a paravirtual console, the APIC timer instead of the PIT"},
    {EXIT_CPUID, 0, false, "CPUID", "it leaves a guest on every CPU (SDM vol. 3C, 25.1.2)",
     "nothing but asking less often"},
    {EXIT_RDMSR, 0, false, "reads of MSRs",
     "MSRs that the guest shares with Vitrine are answered by policy",
     "nothing for these; x2APIC registers can be virtualized by newer CPUs"},
    {EXIT_WRMSR, 0, false, "writes of MSRs",
     "MSRs that the guest shares with Vitrine are checked and emulated",
     "virtual-interrupt delivery for x2APIC's EOI and ICR"},
    {EXIT_HLT, 0, false, "HLT", "an idle guest gives the CPU back", "nothing: it costs nobody"},
    {EXIT_CR_ACCESS, TRACE_ANY, false, "control registers",
     "CR8 is the APIC's priority, and bits of CR0 and CR4 belong to Vitrine",
     "TPR shadowing for CR8; the others are rare"},
    {TRACE_ANY, TRACE_ANY, false, "other intercepted instructions",
     "they touch what the guest shares with Vitrine, so the CPU was told to intercept them",
     "nothing: they are rare"},
};

const struct cause *explain_cause(const struct trace_record *r)
{
    const struct cause *c = explain_causes;

    while ((c->reason != TRACE_ANY && c->reason != r->reason) ||
           (c->why != TRACE_ANY && c->why != r->why) || (c->apic && r->address >> 12 != APIC_PAGE))
        c++;
    return c;
}

/* Text behind a heading. */
static void tell(struct sink *out, const char *heading, const char *text)
{
    sink_printf(out, "  %-8s", heading);
    shell_wrap(out, 10, text);
}

static void explain_access(const struct vcpu *v, const struct trace_record *r, char *out,
                           size_t cap)
{
    enum bus_space space;
    bool write;
    char name[48];

    if (trace_access(r, &space, &write)) {
        trace_register(v, r, name, sizeof(name));
        format_buf(out, cap, "%s %#lx %s %s (%s %#lx)", write ? "wrote" : "read", r->value,
                   write ? "to" : "from", name,
                   space == BUS_MMIO   ? "memory"
                   : space == BUS_PORT ? "port"
                                       : "MSR",
                   r->address);
    } else if (r->reason == EXIT_CPUID) {
        format_buf(out, cap, "asked for leaf %#x", (u32)r->address);
    } else {
        format_buf(out, cap, "accessed no device");
    }
}

static void explain_record(const struct vcpu *v, const struct trace_record *r, struct sink *out)
{
    const struct cause *c = explain_cause(r);
    char text[200], name[96];

    trace_instruction(v, r, text, sizeof(text));
    sink_printf(out, "%016lx%s  %s\n", r->rip, vm_symbol_text(v->vm, r->rip, name, sizeof(name)),
                text[0] ? text : "(bytes not kept)");
    explain_access(v, r, text, sizeof(text));
    tell(out, "did", text);
    format_buf(text, sizeof(text), "%s%s%s", trace_reason_name(r), r->why ? ", " : "",
               r->why ? emu_reason_text(r->why - 1u) : "");
    tell(out, "exit", text);
    tell(out, "why", c->because);
    tell(out, "avoid", c->avoid);
    if (r->ticks)
        sink_printf(out, "  cost    %u ticks of the TSC until the guest went on\n", r->ticks);
}

static void explain_run(const struct vcpu *v, struct sink *out)
{
    struct {
        u64 count, ticks;
    } sum[EXPLAIN_CAUSES] = {{0}};
    const struct trace_row *row;
    u64 total = 0, ticks = 0;

    for (unsigned n = 0; (row = trace_row(v->trace, n)); n++) {
        const struct trace_record r = trace_sample(row);
        u64 c = (u64)(explain_cause(&r) - explain_causes);
        sum[c].count += row->count;
        sum[c].ticks += row->ticks;
        total += row->count;
        ticks += r.reason == EXIT_HLT ? 0 : row->ticks;
    }
    sink_printf(out, "%lu instructions needed Vitrine, %lu ticks; not counting waits in HLT:\n",
                total, ticks);
    for (unsigned i = 0; i < EXPLAIN_CAUSES; i++) {
        if (!sum[i].count)
            continue;
        sink_printf(out, "\n%lu x %s, %lu ticks each", sum[i].count, explain_causes[i].what,
                    sum[i].ticks / sum[i].count);
        if (explain_causes[i].reason != EXIT_HLT && ticks)
            sink_printf(out, ", %lu %% of these ticks", sum[i].ticks * 100 / ticks);
        sink_printf(out, "\n");
        tell(out, "why", explain_causes[i].because);
        tell(out, "avoid", explain_causes[i].avoid);
    }
}

static enum status run_why(struct shell *sh)
{
    explain_run(sh->subject, sh->out);
    return STATUS_OK;
}

static enum status run_explain(struct shell *sh)
{
    const struct vcpu *v = sh->subject;
    struct trace_record r;
    u64 back = sh->value[1];

    for (unsigned n = 0; trace_read(v, n, &r); n++)
        if (trace_is_instruction(&r) && --back == 0) {
            explain_record(v, &r, sh->out);
            return STATUS_OK;
        }
    return shell_fail(sh, -1, STATUS_ENOENT, "the trace has no such instruction%s",
                      v->tracing ? "" : "; it is off (trace on)");
}

/* Trace, with this filter (NULL: everything), only that VM and that virtual CPU (NULL: all). */
static enum status filter(struct shell *sh, const struct trace_filter *f, const struct vm *only,
                          const struct vcpu *one)
{
    const struct vm_list *list = sh->ctx;

    for (unsigned i = 0; i < list->count; i++)
        for (unsigned j = 0; j < list->vm[i]->vcpu_count; j++) {
            struct vcpu *v = list->vm[i]->vcpu[j];
            trace_switch(v, (!only || only == v->vm) && (!one || one == v), f);
        }
    return STATUS_OK;
}

static enum status run_filter_off(struct shell *sh) { return filter(sh, NULL, NULL, NULL); }

static enum status run_filter_reason(struct shell *sh)
{
    struct trace_filter f = ((struct vcpu *)sh->subject)->trace->filter;

    f.reason = (u32)sh->value[3];
    return filter(sh, &f, NULL, NULL);
}

static enum status run_filter_addr(struct shell *sh)
{
    struct trace_filter f = ((struct vcpu *)sh->subject)->trace->filter;

    f.first = sh->value[3];
    f.last = sh->argc > 4 ? sh->value[4] : f.first;
    return f.last < f.first
               ? shell_fail(sh, 4, STATUS_ERANGE, "expected the last of a range, after its first")
               : filter(sh, &f, NULL, NULL);
}

static enum status run_filter_device(struct shell *sh)
{
    const struct vcpu *v = sh->subject;
    struct trace_filter f = v->trace->filter;

    (void)str_copy(f.device, sizeof(f.device),
                   device_name(v->vm->parts.bus, (unsigned)sh->value[3]));
    return filter(sh, &f, NULL, NULL);
}

static enum status run_filter_vm(struct shell *sh)
{
    const struct vm *vm = ((const struct vm_list *)sh->ctx)->vm[sh->value[3]];
    bool all = sh->argc < 5;

    if (!all && sh->value[4] >= vm->vcpu_count)
        return shell_fail(sh, 4, STATUS_ERANGE, "expected a virtual CPU's number from 0 to %u",
                          vm->vcpu_count - 1);
    return filter(sh, &((struct vcpu *)sh->subject)->trace->filter, vm,
                  all ? NULL : vm->vcpu[sh->value[4]]);
}

static enum status run_switch(struct shell *sh)
{
    trace_switch(sh->subject, sh->choice[1] == 0, NULL);
    return STATUS_OK;
}

static enum status run_tail(struct shell *sh)
{
    trace_show(sh->subject, (unsigned)sh->value[2], sh->out);
    return STATUS_OK;
}

static enum status run_save(struct shell *sh)
{
    const struct vm *vm = ((struct vcpu *)sh->subject)->vm;

    for (unsigned i = 0; i < vm->vcpu_count; i++)
        trace_save(vm->vcpu[i], sh->out);
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"trace", "on|off", "record what happens: exits, emulated instructions, events", NULL,
     run_switch, NEEDS_VCPU},
    {"trace", "tail [RECORDS=20]", "what happened last", "trace tail 8", run_tail, NEEDS_VCPU},
    {"trace", "dump [RECORDS=1024]", "all of the ring", NULL, run_tail, NEEDS_VCPU},
    {"trace", "save", "ring, counts and explanations for tools/trace", NULL, run_save, NEEDS_VCPU},
    {"trace", "filter off", "record everything again", NULL, run_filter_off, NEEDS_VCPU},
    {"trace", "filter reason REASON", "record only exits of one reason; filters add up",
     "trace filter reason io", run_filter_reason, NEEDS_VCPU},
    {"trace", "filter addr FIRST [LAST]", "... whose RIP, port, MSR or address is in a range",
     "trace filter addr 0xfee00000 0xfee00fff", run_filter_addr, NEEDS_VCPU},
    {"trace", "filter device DEVICE", "... that accessed a device", "trace filter device lapic",
     run_filter_device, NEEDS_VCPU},
    {"trace", "filter vm VM [CPU]", "... of one virtual machine, or one of its virtual CPUs",
     "trace filter vm linux 1", run_filter_vm, NEEDS_VCPU},
    {"explain", "[BACK=1]", "the last instruction that needed Vitrine, in words; or one before it",
     "explain\nexplain 3", run_explain, NEEDS_VCPU},
    {"explain", "why", "what needed Vitrine since the start, why, and what would avoid it",
     "explain why", run_why, NEEDS_VCPU},
};
const struct shell_table explain_commands = {commands, ARRAY_SIZE(commands), NULL};
