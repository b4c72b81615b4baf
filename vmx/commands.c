/* SPDX-License-Identifier: MIT
 *
 * Shell commands of vmx/.  They run between two exits, so the selected VM stands still meanwhile.
 */
#include "vmx/commands.h"

#include "arch/x86/tsc.h"
#include "lib/string.h"
#include "vmx/check.h"
#include "vmx/life.h"
#include "vmx/show.h"
#include "vmx/symbol.h"

static enum status run_caps(struct shell *sh)
{
    const struct vm_list *list = sh->ctx;

    if (!list->caps)
        return shell_fail(sh, -1, STATUS_ENOTSUP, "VT-x is not in use; the log says why (log)");
    caps_show(list->caps, sh->out);
    return STATUS_OK;
}

static void show_times(const struct vm *vm, struct sink *out)
{
    u64 total = vm->ran + (vm->state == VM_RUNNING ? rdtsc() - vm->started : 0), host;

    if (vm->vcpu_count == 0)
        return;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        const struct vcpu *v = vm->vcpu[i];
        u64 count = vcpu_exits(v, &host);
        if (vm->vcpu_count > 1)
            sink_printf(out, "\n    vCPU %u on CPU %u: ", i, vm->host[i]);
        sink_printf(out, "%lu exits in %lu ms, of which halted %lu, in Vitrine %lu", count,
                    tsc_to_us(total) / 1000, tsc_to_us(v->halt_ticks) / 1000,
                    tsc_to_us(host - v->halt_ticks) / 1000);
    }
    sink_printf(out, "\n");
}

static enum status run_vm(struct shell *sh)
{
    static const char *const states[] = {"ready", "running", "paused", "ended"};
    struct vm_list *list = sh->ctx;

    if (sh->argc > 1) {
        const struct vm *vm = list->vm[sh->value[1]];
        if (sh->value[2] >= vm->vcpu_count)
            return shell_fail(sh, 2, STATUS_ERANGE, "expected a virtual CPU's number from 0 to %u",
                              vm->vcpu_count - 1);
        list->selected = (unsigned)sh->value[1];
        list->cpu = (unsigned)sh->value[2];
    }
    for (unsigned i = 0; i < list->count; i++) {
        const struct vm *vm = list->vm[i];
        sink_printf(sh->out, "%c %u %-12s %-8s %4lu MiB  %s%s", i == list->selected ? '*' : ' ',
                    vm->id, vm->name, states[vm->state], gmem_ram_size(vm->parts.mem) / MiB,
                    vm->end_text[0] ? vm->end_text : "", vm->end_text[0] ? "  " : "");
        show_times(vm, sh->out);
    }
    if (list->count == 0)
        sink_printf(sh->out, "no virtual machines\n");
    return STATUS_OK;
}

static enum status run_regs(struct shell *sh)
{
    vcpu_show(sh->subject, sh->out);
    return STATUS_OK;
}

static bool field_matches(const char *field, const char *typed)
{
    char name[64], want[64];

    return str_starts(name_lower(field, name, sizeof(name)), name_lower(typed, want, sizeof(want)));
}

static enum status run_vmcs(struct shell *sh)
{
    u64 value;

    vcpu_flush(sh->subject);
    for (const struct vmcs_field_info *f = vmcs_fields; f < vmcs_fields + vmcs_field_count; f++) {
        if (sh->argc > 1 && !field_matches(f->name, sh->argv[1]))
            continue;
        sink_printf(sh->out, "%c %04x %-28s ", f->area, f->encoding, f->name);
        if (vmcs_try_read(f->encoding, &value))
            sink_printf(sh->out, "%0*lx\n", 2 * f->bytes, value);
        else
            sink_printf(sh->out, "not on this CPU\n");
    }
    return STATUS_OK;
}

static enum status run_check(struct shell *sh)
{
    check_show(sh->subject, sh->out);
    return STATUS_OK;
}

static enum status end_vm(struct shell *sh, enum vm_end how)
{
    struct vcpu *v = sh->subject;

    if (v->vm->state == VM_ENDED && how != VM_END_RESTART)
        return shell_fail(sh, -1, STATUS_EINVAL, "%s has already ended: %s", v->vm->name,
                          v->vm->end_text);
    if (v->vm->state == VM_ENDED)
        atomic_flag_clear(&v->vm->finished);
    vm_finish(v->vm, how, 0, "%s", vm_end_text(how));
    return STATUS_OK;
}

static enum status run_kill(struct shell *sh) { return end_vm(sh, VM_END_KILLED); }

static enum status run_reset(struct shell *sh) { return end_vm(sh, VM_END_RESTART); }

static const struct shell_command commands[] = {
    {"caps", "", "VT-x features of this CPU: present, absent, used instead", NULL, run_caps, 0},
    {"vm", "[VM [CPU=0]]", "list virtual machines; select one, and its virtual CPU",
     "vm linux\nvm linux 1", run_vm, 0},
    {"regs", "", "registers of the selected machine's CPU", NULL, run_regs, NEEDS_VCPU},
    {"vmcs", "check", "the rules of VM entry, and which the state breaks", NULL, run_check,
     NEEDS_VCPU},
    {"vmcs", "[FIELD]", "VMCS fields, or those whose names begin so", "vmcs guest_cr", run_vmcs,
     NEEDS_VCPU},
    {"reset", "", "start the selected machine again from its images", NULL, run_reset, NEEDS_VCPU},
    {"kill", "", "end the selected machine", NULL, run_kill, NEEDS_VCPU},
};

enum status commands_register(struct shell *sh, struct vm_list *list)
{
    static const struct shell_table own = {commands, ARRAY_SIZE(commands), NULL};
    static const struct shell_table *const tables[] = {
        &own,           &symbol_commands, &examine_commands,
        &stat_commands, &debug_commands,  &explain_commands};
    enum status s = STATUS_OK;

    kinds_register(sh, list);
    for (unsigned i = 0; i < ARRAY_SIZE(tables) && s == STATUS_OK; i++)
        s = shell_register(sh, tables[i]->commands, tables[i]->count, list);
    return s;
}
