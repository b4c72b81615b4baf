/* SPDX-License-Identifier: MIT
 *
 * What happened, from the trace, and why it had to: for one instruction and for a whole run.
 */
#include "vmx/explain.h"

#include "lib/string.h"
#include "vmx/show.h"
#include "vmx/symbol.h"
#include "vmx/trace.h"

#define LL(x) ((unsigned long long)(x))

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

/* Text in lines that fit a terminal, behind a heading. */
static void print_wrapped(struct sink *out, const char *heading, const char *text)
{
    sink_printf(out, "  %-8s", heading);
    while (strlen(text) > 68) {
        int cut = 68;
        while (text[cut] != ' ')
            cut--;
        sink_printf(out, "%.*s\n  %-8s", cut, text, "");
        text += cut + 1;
    }
    sink_printf(out, "%s\n", text);
}

static void explain_access(const struct vcpu *v, const struct trace_record *r, char *out,
                           size_t cap)
{
    enum bus_space space;
    bool write;
    char name[48];

    if (trace_access(r, &space, &write)) {
        trace_register(v, r, name, sizeof(name));
        format_buf(out, cap, "%s %#llx %s %s (%s %#llx)", write ? "wrote" : "read", LL(r->value),
                   write ? "to" : "from", name,
                   space == BUS_MMIO   ? "memory"
                   : space == BUS_PORT ? "port"
                                       : "MSR",
                   LL(r->address));
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
    sink_printf(out, "%016llx%s  %s\n", LL(r->rip),
                vm_symbol_text(v->vm, r->rip, name, sizeof(name)),
                text[0] ? text : "(bytes not kept)");
    explain_access(v, r, text, sizeof(text));
    print_wrapped(out, "did", text);
    format_buf(text, sizeof(text), "%s%s%s", trace_reason_name(r), r->why ? ", " : "",
               r->why ? emu_reason_text(r->why - 1u) : "");
    print_wrapped(out, "exit", text);
    print_wrapped(out, "why", c->because);
    print_wrapped(out, "avoid", c->avoid);
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
    sink_printf(out, "%llu instructions needed Vitrine, %llu ticks; not counting waits in HLT:\n",
                LL(total), LL(ticks));
    for (unsigned i = 0; i < EXPLAIN_CAUSES; i++) {
        if (!sum[i].count)
            continue;
        sink_printf(out, "\n%llu x %s, %llu ticks each", LL(sum[i].count), explain_causes[i].what,
                    LL(sum[i].ticks / sum[i].count));
        if (explain_causes[i].reason != EXIT_HLT && ticks)
            sink_printf(out, ", %llu %% of these ticks", LL(sum[i].ticks * 100 / ticks));
        sink_printf(out, "\n");
        print_wrapped(out, "why", explain_causes[i].because);
        print_wrapped(out, "avoid", explain_causes[i].avoid);
    }
}

static enum status run_explain(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = vm_selected(sh);
    u64 back = 1;

    if (!v)
        return STATUS_ENOENT;
    if (argc > 1 && strcmp(argv[1], "why") == 0) {
        explain_run(v, sh->out);
        return STATUS_OK;
    }
    enum status s =
        shell_arg_u64(sh, 1, "why, or which from the last (1)", 1, TRACE_RECORDS, &back);
    if (s != STATUS_OK)
        return s;
    struct trace_record r;
    for (unsigned n = 0; trace_read(v, n, &r); n++)
        if (trace_is_instruction(&r) && --back == 0) {
            explain_record(v, &r, sh->out);
            return STATUS_OK;
        }
    return shell_fail(sh, -1, STATUS_ENOENT, "the trace has no such instruction%s",
                      v->tracing ? "" : "; it is off (trace on)");
}

static enum status find_reason(struct shell *sh, int arg, const char *name, u32 *reason)
{
    for (*reason = 0; *reason < TRACE_LIFE; ++*reason) {
        const struct trace_record r = {.reason = (u16)*reason};
        if (strcmp(trace_reason_name(&r), name) == 0)
            return STATUS_OK;
    }
    return shell_fail(sh, arg, STATUS_ENOENT,
                      "expected an exit reason as `stat` shows them, STEP or EVENT");
}

static enum status find_device(struct shell *sh, const struct vcpu *v, const char *name,
                               struct trace_filter *f)
{
    const struct bus *bus = v->vm->parts.bus;
    bool known = false;

    for (unsigned i = 1; i < BUS_MAX_RANGES; i++)
        known |= (i < bus->mmio_count && strcmp(bus->mmio[i].name, name) == 0) ||
                 (i < bus->port_count && strcmp(bus->port[i].name, name) == 0);
    for (unsigned i = 0; i < bus->msr_count; i++)
        known |= strcmp(bus->msr[i].name, name) == 0;
    str_copy(f->device, sizeof(f->device), name);
    return known ? STATUS_OK
                 : shell_fail(sh, 3, STATUS_ENOENT,
                              "expected a device's name as `stat emu` shows it");
}

/* trace filter off | reason NAME | addr FIRST [LAST] | device NAME | vm NAME | vcpu N */
static enum status set_filter(struct shell *sh, struct vcpu *v, int argc, char **argv)
{
    enum { OFF, REASON, ADDR, DEVICE, VM, VCPU };
    const struct vm_list *list = sh->ctx;
    struct trace_filter f = v->trace->filter;
    unsigned what;
    u64 cpu = 0;

    enum status s = shell_arg_choice(sh, 2, "off|reason|addr|device|vm|vcpu", &what);
    if (s == STATUS_OK && what != OFF && argc < 4)
        s = shell_fail(sh, argc, STATUS_EINVAL, "expected what to filter by");
    if (s == STATUS_OK && what == REASON)
        s = find_reason(sh, 3, argv[3], &f.reason);
    if (s == STATUS_OK && what == ADDR) {
        s = shell_arg_u64(sh, 3, "an address, port or MSR", 0, ~0ull, &f.first);
        f.last = f.first;
        if (s == STATUS_OK)
            s = shell_arg_u64(sh, 4, "the last of a range", f.first, ~0ull, &f.last);
    }
    for (unsigned i = 0; what == VM && s == STATUS_OK && i <= list->count; i++) {
        if (i == list->count)
            s = shell_fail(sh, 3, STATUS_ENOENT,
                           "expected a virtual machine's name (vm lists them)");
        else if (strcmp(list->vm[i]->name, argv[3]) == 0)
            break;
    }
    if (s == STATUS_OK && what == DEVICE)
        s = find_device(sh, v, argv[3], &f);
    if (s == STATUS_OK && what == VCPU)
        s = shell_arg_u64(sh, 3, "a virtual CPU's number", 0, v->vm->vcpu_count - 1, &cpu);
    if (s != STATUS_OK)
        return s;
    for (unsigned i = 0; i < list->count; i++) {
        struct vm *vm = list->vm[i];
        for (unsigned j = 0; j < vm->vcpu_count; j++) {
            bool other = (what == VM && strcmp(vm->name, argv[3]) != 0) ||
                         (what == VCPU && (vm != v->vm || j != cpu));
            trace_switch(vm->vcpu[j], !other, what == OFF ? NULL : &f);
        }
    }
    return STATUS_OK;
}

static enum status run_trace(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = vm_selected(sh);
    unsigned what;
    u64 n;

    if (!v)
        return STATUS_ENOENT;
    enum status s = shell_arg_choice(sh, 1, "on|off|dump|tail|filter|save", &what);
    if (s != STATUS_OK)
        return s;
    if (what == 4)
        return set_filter(sh, v, argc, argv);
    for (unsigned i = 0; what == 5 && i < v->vm->vcpu_count; i++)
        trace_save(v->vm->vcpu[i], sh->out);
    if (what == 5)
        return STATUS_OK;
    if (what < 2) {
        trace_switch(v, what == 0, NULL);
        return STATUS_OK;
    }
    n = what == 2 ? TRACE_RECORDS : 20;
    s = shell_arg_u64(sh, 2, "a number of records", 1, TRACE_RECORDS, &n);
    if (s == STATUS_OK)
        trace_show(v, (unsigned)n, sh->out);
    return s;
}

static const struct shell_command commands[] = {
    {"trace", "on|off|dump|tail|filter|save [N|off|reason|addr|device|vm|vcpu [WHAT [LAST]]]",
     "what happened last: exits, emulated instructions, events",
     "trace tail 8\ntrace filter reason IO\ntrace filter addr 0xfee00000 0xfee00fff\n"
     "trace filter device lapic\n"
     "trace filter off",
     run_trace, NULL},
    {"explain", "[N|why]", "why the N-th last instruction, or all, needed Vitrine",
     "explain\nexplain 3\nexplain why", run_explain, NULL},
};

enum status explain_register(struct shell *sh, struct vm_list *list)
{
    return shell_register(sh, commands, ARRAY_SIZE(commands), list);
}
