/* SPDX-License-Identifier: MIT
 *
 * Shell commands of vmx/.  They run between two exits, so the selected VM stands still meanwhile.
 */
#include "vmx/commands.h"

#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "lib/string.h"
#include "vmx/address.h"
#include "vmx/check.h"
#include "vmx/debug_commands.h"
#include "vmx/examine.h"
#include "vmx/explain.h"
#include "vmx/life.h"
#include "vmx/show.h"
#include "vmx/stat.h"
#include "vmx/symbol.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

static enum status run_caps(struct shell *sh, int, char **)
{
    const struct vm_list *list = sh->ctx;

    if (!list->caps)
        return shell_fail(sh, -1, STATUS_ENOTSUP, "VT-x is not in use; the log says why (log)");
    caps_show(list->caps, sh->out);
    return STATUS_OK;
}

static enum status select_vm(struct shell *sh, const char *name)
{
    struct vm_list *list = sh->ctx;

    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->vm[i]->name, name) == 0) {
            list->selected = i;
            return STATUS_OK;
        }
    return shell_fail(sh, 1, STATUS_ENOENT,
                      "expected the name of a virtual machine (vm lists them)");
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
                    (tsc_to_us(total) / 1000), (tsc_to_us(v->halt_ticks) / 1000),
                    (tsc_to_us(host - v->halt_ticks) / 1000));
    }
    sink_printf(out, "\n");
}

static enum status run_vm(struct shell *sh, int argc, char **argv)
{
    static const char *const states[] = {"ready", "running", "paused", "ended"};
    struct vm_list *list = sh->ctx;
    u64 cpu = 0;

    if (argc > 1) {
        TRY(select_vm(sh, argv[1]));
        if (argc > 2)
            TRY(shell_arg_u64(sh, 2, "the number of one of its virtual CPUs", 0,
                              list->vm[list->selected]->vcpu_count - 1, &cpu));
        list->cpu = (unsigned)cpu;
    }
    for (unsigned i = 0; i < list->count; i++) {
        const struct vm *vm = list->vm[i];
        sink_printf(sh->out, "%c %u %-12s %-8s %4lu MiB  %s%s", i == list->selected ? '*' : ' ',
                    vm->id, vm->name, states[vm->state], (gmem_ram_size(vm->parts.mem) / MiB),
                    vm->end_text[0] ? vm->end_text : "", vm->end_text[0] ? "  " : "");
        show_times(vm, sh->out);
    }
    if (list->count == 0)
        sink_printf(sh->out, "no virtual machines\n");
    return STATUS_OK;
}

static void complete_vm(struct shell *sh, int, char **, struct completions *c)
{
    const struct vm_list *list = sh->ctx;

    for (unsigned i = 0; i < list->count; i++)
        completions_add(c, list->vm[i]->name);
}

static enum status run_regs(struct shell *sh, int, char **)
{
    struct vcpu *v = vm_selected(sh);

    if (!v)
        return STATUS_ENOENT;
    vcpu_show(v, sh->out);
    return STATUS_OK;
}

static enum status show_field(struct shell *sh, const struct vmcs_field_info *f)
{
    u64 value;

    if (vmcs_try_read(f->encoding, &value))
        sink_printf(sh->out, "%c %04x %-28s %0*lx\n", f->area, f->encoding, f->name, 2 * f->bytes,
                    value);
    else
        sink_printf(sh->out, "%c %04x %-28s not on this CPU\n", f->area, f->encoding, f->name);
    return STATUS_OK;
}

static bool field_matches(const char *field, const char *typed)
{
    char name[64], want[64];

    return str_starts(name_lower(field, name, sizeof(name)), name_lower(typed, want, sizeof(want)));
}

static enum status run_vmcs(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = vm_selected(sh);
    unsigned shown = 0;

    if (!v)
        return STATUS_ENOENT;
    if (argc > 1 && strcmp(argv[1], "check") == 0) {
        check_show(v, sh->out);
        return STATUS_OK;
    }
    vcpu_flush(v);
    for (unsigned i = 0; i < vmcs_field_count; i++)
        if (argc < 2 || field_matches(vmcs_fields[i].name, argv[1])) {
            (void)show_field(sh, &vmcs_fields[i]);
            shown++;
        }
    if (!shown)
        return shell_fail(sh, 1, STATUS_ENOENT,
                          "expected the beginning of a VMCS field's name (guest_rip), or check");
    return STATUS_OK;
}

static void complete_vmcs(struct shell *, int, char **, struct completions *c)
{
    completions_add(c, "check");
    for (unsigned i = 0; i < vmcs_field_count; i++)
        complete_lower(c, vmcs_fields[i].name);
}

static enum status end_vm(struct shell *sh, enum vm_end how)
{
    struct vcpu *v = vm_selected(sh);

    if (!v)
        return STATUS_ENOENT;
    if (v->vm->state == VM_ENDED && how != VM_END_RESTART)
        return shell_fail(sh, -1, STATUS_EINVAL, "%s has already ended: %s", v->vm->name,
                          v->vm->end_text);
    if (v->vm->state == VM_ENDED)
        atomic_flag_clear(&v->vm->finished);
    vm_finish(v->vm, how, 0, "%s", vm_end_text(how));
    return STATUS_OK;
}

static enum status run_kill(struct shell *sh, int, char **) { return end_vm(sh, VM_END_KILLED); }

static enum status run_reset(struct shell *sh, int, char **) { return end_vm(sh, VM_END_RESTART); }

static const struct shell_command commands[] = {
    {"caps", "", "VT-x features of this CPU: present, absent, used instead", NULL, run_caps, NULL},
    {"vm", "[NAME [CPU]]", "list virtual machines; select one, and its virtual CPU",
     "vm linux\nvm linux 1", run_vm, complete_vm},
    {"regs", "", "registers of the selected machine's CPU", NULL, run_regs, NULL},
    {"vmcs", "[FIELD|check]", "VMCS fields, or the rules of VM entry",
     "vmcs\nvmcs guest_cr\nvmcs check", run_vmcs, complete_vmcs},
    {"reset", "", "start the selected machine again from its images", NULL, run_reset, NULL},
    {"kill", "", "end the selected machine", NULL, run_kill, NULL},
};

enum status commands_register(struct shell *sh, struct vm_list *list)
{
    TRY(shell_register(sh, commands, ARRAY_SIZE(commands), list));
    TRY(address_register(sh, list));
    TRY(examine_register(sh, list));
    TRY(stat_register(sh, list));
    TRY(debug_commands_register(sh, list));
    return explain_register(sh, list);
}
