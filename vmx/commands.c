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
#include "vmx/explain.h"
#include "vmx/life.h"
#include "vmx/show.h"
#include "vmx/stat.h"
#include "vmx/symbol.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

#define LL(x) ((unsigned long long)(x))

static enum status run_caps(struct shell *sh, int argc, char **argv)
{
    const struct vm_list *list = sh->ctx;

    (void)argc;
    (void)argv;
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
        sink_printf(out, "%llu exits in %llu ms, of which halted %llu, in Vitrine %llu", LL(count),
                    LL(tsc_to_us(total) / 1000), LL(tsc_to_us(v->halt_ticks) / 1000),
                    LL(tsc_to_us(host - v->halt_ticks) / 1000));
    }
    sink_printf(out, "\n");
}

static enum status run_vm(struct shell *sh, int argc, char **argv)
{
    static const char *const states[] = {"ready", "running", "paused", "ended"};
    struct vm_list *list = sh->ctx;
    u64 cpu = 0;

    if (argc > 1) {
        enum status s = select_vm(sh, argv[1]);
        if (s == STATUS_OK && argc > 2)
            s = shell_arg_u64(sh, 2, "the number of one of its virtual CPUs", 0,
                              list->vm[list->selected]->vcpu_count - 1, &cpu);
        if (s != STATUS_OK)
            return s;
        list->cpu = (unsigned)cpu;
    }
    for (unsigned i = 0; i < list->count; i++) {
        const struct vm *vm = list->vm[i];
        sink_printf(sh->out, "%c %u %-12s %-8s %4llu MiB  %s%s", i == list->selected ? '*' : ' ',
                    vm->id, vm->name, states[vm->state], LL(gmem_ram_size(vm->parts.mem) / MiB),
                    vm->end_text[0] ? vm->end_text : "", vm->end_text[0] ? "  " : "");
        show_times(vm, sh->out);
    }
    if (list->count == 0)
        sink_printf(sh->out, "no virtual machines\n");
    return STATUS_OK;
}

static void complete_vm(struct shell *sh, int argc, char **argv, struct completions *c)
{
    const struct vm_list *list = sh->ctx;

    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < list->count; i++)
        completions_add(c, list->vm[i]->name);
}

static enum status run_regs(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = vm_selected(sh);

    (void)argc;
    (void)argv;
    if (!v)
        return STATUS_ENOENT;
    vcpu_show(v, sh->out);
    return STATUS_OK;
}

static enum status show_field(struct shell *sh, const struct vmcs_field_info *f)
{
    u64 value;

    if (vmcs_try_read(f->encoding, &value))
        sink_printf(sh->out, "%c %04x %-28s %0*llx\n", f->area, f->encoding, f->name, 2 * f->bytes,
                    LL(value));
    else
        sink_printf(sh->out, "%c %04x %-28s not on this CPU\n", f->area, f->encoding, f->name);
    return STATUS_OK;
}

/* Fields are named in capitals; people type small letters. */
static bool field_matches(const char *name, const char *typed)
{
    for (; *typed; name++, typed++) {
        char c = *typed >= 'a' && *typed <= 'z' ? (char)(*typed - 32) : *typed;
        if (*name != c)
            return false;
    }
    return true;
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

static void complete_vmcs(struct shell *sh, int argc, char **argv, struct completions *c)
{
    (void)sh;
    (void)argc;
    (void)argv;
    completions_add(c, "check");
    for (unsigned i = 0; i < vmcs_field_count; i++)
        completions_add(c, vmcs_fields[i].name);
}

/* Read one byte of the guest without side effects. */
static bool peek(struct vcpu *v, u64 address, bool physical, u8 *byte)
{
    struct emu_event fault;
    gpa_t gpa = GPA(address);

    if (!physical &&
        emu_translate(&v->emu, GVA(address), EMU_IMPLICIT, &gpa, &fault, NULL, NULL) != STATUS_OK)
        return false;
    return gmem_read(v->vm->parts.mem, gpa, byte, 1) == STATUS_OK;
}

static void dump_line(struct shell *sh, struct vcpu *v, u64 address, u64 count, bool physical)
{
    char ascii[17];

    sink_printf(sh->out, "%016llx ", LL(address));
    for (u64 i = 0; i < 16; i++) {
        u8 byte = 0;
        bool ok = i < count && peek(v, address + i, physical, &byte);
        ascii[i] = !ok ? ' ' : byte >= 32 && byte < 127 ? (char)byte : '.';
        if (i < count && ok)
            sink_printf(sh->out, " %02x", byte);
        else
            sink_printf(sh->out, i < count ? " --" : "   ");
    }
    ascii[16] = 0;
    sink_printf(sh->out, "  %s\n", ascii);
}

static enum status dump(struct shell *sh, int argc, bool physical)
{
    struct vcpu *v = vm_selected(sh);
    u64 address = 0, count = 64;

    if (!v)
        return STATUS_ENOENT;
    enum status s = address_arg(sh, v, 1, "an address", &address);
    if (s == STATUS_OK && argc > 2)
        s = shell_arg_size(sh, 2, "a number of bytes", 1, 64 * KiB, &count);
    if (s != STATUS_OK)
        return s;
    vcpu_load(v, STATE_BASE | STATE_PDPTE | STATE_SEG(SEG_CS));
    for (u64 done = 0; done < count; done += 16)
        dump_line(sh, v, address + done, count - done, physical);
    return STATUS_OK;
}

static enum status run_x(struct shell *sh, int argc, char **argv)
{
    (void)argv;
    return dump(sh, argc, false);
}

static enum status run_xp(struct shell *sh, int argc, char **argv)
{
    (void)argv;
    return dump(sh, argc, true);
}

static void walk_step(void *ctx, const struct emu_walk_step *step)
{
    struct sink *out = ctx;
    sink_printf(out, "  level %u entry at %012llx = %016llx  %s%s%s%s%s\n", step->level,
                LL(step->entry_at.v), LL(step->entry), step->entry & 1 ? "present" : "not present",
                step->entry & 2 ? " writable" : "", step->entry & 4 ? " user" : "",
                step->level > 1 && (step->entry & 0x80) ? " large" : "",
                step->entry >> 63 ? " no-execute" : "");
}

static enum status run_walk(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = vm_selected(sh);
    struct emu_event fault;
    u64 address = 0;
    gpa_t gpa;

    (void)argc;
    (void)argv;
    if (!v)
        return STATUS_ENOENT;
    enum status s = address_arg(sh, v, 1, "a guest-linear address", &address);
    if (s != STATUS_OK)
        return s;
    vcpu_load(v, STATE_BASE | STATE_PDPTE | STATE_SEG(SEG_CS));
    s = emu_translate(&v->emu, GVA(address), EMU_IMPLICIT, &gpa, &fault, walk_step, sh->out);
    if (s == STATUS_OK)
        sink_printf(sh->out, "  guest-physical %#llx\n", LL(gpa.v));
    else if (s == STATUS_EHW)
        sink_printf(sh->out, "  a page table lies where no memory is\n");
    else
        sink_printf(sh->out, "  page fault, error code %#x\n", fault.error);
    return STATUS_OK;
}

static enum status run_ept(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = vm_selected(sh);
    u64 address = 0;

    (void)argc;
    (void)argv;
    if (!v)
        return STATUS_ENOENT;
    enum status s = shell_arg_u64(sh, 1, "a guest-physical address", 0, BIT64(48) - 1, &address);
    if (s == STATUS_OK)
        ept_show(&v->vm->ept, GPA(address), sh->out);
    return s;
}

static enum status run_dis(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = vm_selected(sh);
    u64 address = 0, count = 8;

    (void)argv;
    if (!v)
        return STATUS_ENOENT;
    vcpu_load(v, STATE_ALL);
    address = v->state.rip;
    enum status s = STATUS_OK;
    if (argc > 1)
        s = address_arg(sh, v, 1, "an address in CS", &address);
    if (s == STATUS_OK && argc > 2)
        s = shell_arg_u64(sh, 2, "a number of instructions", 1, 1000, &count);
    if (s != STATUS_OK)
        return s;
    enum emu_mode mode = emu_mode(&v->state);
    u64 base = mode == EMU_MODE_64 ? 0 : v->state.seg[SEG_CS].base;
    for (u64 i = 0; i < count; i++) {
        u8 code[15] = {0};
        char text[160], name[96];
        unsigned got = 0;
        while (got < sizeof(code) && peek(v, base + address + got, false, &code[got]))
            got++;
        unsigned length =
            emu_disassemble(code, got, mode, address, text, sizeof(text), vm_symbol, v->vm);
        const char *label = vm_symbol_text(v->vm, address, name, sizeof(name));
        if (i == 0 ? label[0] : label[0] && !strchr(label, '+'))
            sink_printf(sh->out, "%s:\n", label + 1);
        sink_printf(sh->out, "%016llx  ", LL(address));
        for (unsigned j = 0; j < 10; j++)
            sink_printf(sh->out, j < length ? "%02x" : "  ", j < length ? code[j] : 0);
        sink_printf(sh->out, "  %s\n", length ? text : "(no instruction)");
        if (!length)
            break;
        address += length;
    }
    return STATUS_OK;
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

static enum status run_kill(struct shell *sh, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return end_vm(sh, VM_END_KILLED);
}

static enum status run_reset(struct shell *sh, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return end_vm(sh, VM_END_RESTART);
}

static const struct shell_command commands[] = {
    {"caps", "", "VT-x features of this CPU: present, absent, used instead", NULL, run_caps, NULL},
    {"vm", "[NAME [CPU]]", "list virtual machines; select one, and its virtual CPU",
     "vm linux\nvm linux 1", run_vm, complete_vm},
    {"regs", "", "registers of the selected machine's CPU", NULL, run_regs, NULL},
    {"vmcs", "[FIELD|check]", "VMCS fields, or the rules of VM entry",
     "vmcs\nvmcs guest_cr\nvmcs check", run_vmcs, complete_vmcs},
    {"x", "ADDR [BYTES]", "memory by guest-linear address", "x 0xffffffff81000000 32", run_x,
     address_complete},
    {"xp", "ADDR [BYTES]", "memory by guest-physical address", "xp 0x1000", run_xp,
     address_complete},
    {"walk", "ADDR", "the guest's page walk for a linear address", "walk 0xffffffff81000000",
     run_walk, address_complete},
    {"ept", "ADDR", "the EPT walk for a guest-physical address", "ept 0xfee00000", run_ept, NULL},
    {"dis", "[ADDR [COUNT]]", "disassemble, from RIP if not told otherwise", "dis\ndis 0x100000 4",
     run_dis, address_complete},
    {"reset", "", "start the selected machine again from its images", NULL, run_reset, NULL},
    {"kill", "", "end the selected machine", NULL, run_kill, NULL},
};

enum status commands_register(struct shell *sh, struct vm_list *list)
{
    enum status s = shell_register(sh, commands, ARRAY_SIZE(commands), list);
    if (s == STATUS_OK)
        s = address_register(sh, list);
    if (s == STATUS_OK)
        s = stat_register(sh, list);
    if (s == STATUS_OK)
        s = debug_commands_register(sh, list);
    return s == STATUS_OK ? explain_register(sh, list) : s;
}
