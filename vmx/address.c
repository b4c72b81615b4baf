/* SPDX-License-Identifier: MIT
 *
 * The kinds of words (drivers/console/shell.h) that the commands of vmx/ take: symbols and
 * registers in place of addresses, names in place of numbers; and the command `symbols`.
 */
#include "lib/msr.h"
#include "lib/parse.h"
#include "lib/string.h"
#include "vmx/commands.h"
#include "vmx/show.h"
#include "vmx/symbol.h"
#include "vmx/trace.h"

/* The value of a register, by its name in small letters. */
static bool find_register(struct vcpu *v, const char *name, unsigned length, u64 *out)
{
    for (unsigned i = 0; i <= GPR_COUNT; i++) {
        const char *known = i < GPR_COUNT ? gpr_names[i] : "rip";
        if (strlen(known) == length && memcmp(known, name, length) == 0) {
            vcpu_load(v, STATE_ALL);
            *out = i < GPR_COUNT ? v->state.gpr[i] : v->state.rip;
            return true;
        }
    }
    return false;
}

static enum status parse_address(struct shell *sh, int arg, const char *what, u64 *out)
{
    const char *word = sh->argv[arg];
    struct vcpu *v = sh->subject;
    const struct vm *vm = v->vm;
    unsigned length = 0;
    u64 offset = 0;

    if (word[0] >= '0' && word[0] <= '9') {
        enum status s = parse_u64(word, out);
        return s == STATUS_OK
                   ? s
                   : shell_fail(sh, arg, s, "expected %s of 64 bits, got \"%.40s\"", what, word);
    }
    while (word[length] && word[length] != '+' && word[length] != '-')
        length++;
    if (word[length] && parse_u64(word + length + 1, &offset) != STATUS_OK)
        return shell_fail(sh, arg, STATUS_EFORMAT, "expected a number behind %c", word[length]);
    if (!find_register(v, word, length, out)) {
        s64 n = length ? symbols_lookup(&vm->symbols, word, length) : -1;
        if (n < 0)
            return shell_fail(sh, arg, STATUS_ENOENT,
                              "expected %s: a number, a register or a symbol, got \"%.40s\"%s",
                              what, word, vm->symbols.count ? "" : " (no symbols=, see `symbols`)");
        if (vm->slide == SLIDE_UNKNOWN)
            return shell_fail(sh, arg, STATUS_EBUSY,
                              "the kernel has not yet said where it is (KASLR); if it has nokaslr, "
                              "say `symbols slide 0`");
        *out = symbols_address(&vm->symbols, (u32)n);
    }
    *out = word[length] == '-' ? *out - offset : *out + offset;
    return STATUS_OK;
}

/* --- Names ------------------------------------------------------------------------------------ */

static bool put_name(struct shell_name *out, const char *name, u64 value)
{
    (void)name_lower(name, out->text, sizeof(out->text));
    out->value = value;
    return true;
}

static const struct vm *selected_vm(void *ctx)
{
    const struct vm_list *list = ctx;
    return list->selected < list->count ? list->vm[list->selected] : NULL;
}

static bool nth_address(void *ctx, unsigned n, struct shell_name *out)
{
    const struct vm *vm = selected_vm(ctx);
    unsigned length;

    if (n <= GPR_COUNT)
        return put_name(out, n < GPR_COUNT ? gpr_names[n] : "rip", n);
    n -= GPR_COUNT + 1;
    if (!vm || n >= vm->symbols.count)
        return false;
    const char *name = symbols_name(&vm->symbols, n, &length);
    format_buf(out->text, sizeof(out->text), "%.*s", (int)length, name);
    return true;
}

static bool nth_vm(void *ctx, unsigned n, struct shell_name *out)
{
    const struct vm_list *list = ctx;

    out->value = n;
    return n < list->count && str_copy(out->text, sizeof(out->text), list->vm[n]->name);
}

static bool nth_exit(void *, unsigned n, struct shell_name *out)
{
    return n < EXIT_REASON_COUNT && put_name(out, exit_reason_name(n), n);
}

/* As `trace` shows them. */
static bool nth_reason(void *, unsigned n, struct shell_name *out)
{
    const u32 reason = n < EXIT_REASON_COUNT ? n : TRACE_STEP + n - EXIT_REASON_COUNT;
    const struct trace_record r = {.reason = (u16)reason};

    return reason < TRACE_LIFE && put_name(out, trace_reason_name(&r), reason);
}

static bool nth_field(void *, unsigned n, struct shell_name *out)
{
    return n < vmcs_field_count && put_name(out, vmcs_fields[n].name, n);
}

const char *device_name(const struct bus *b, unsigned n)
{
    if (n < b->mmio_count)
        return n ? b->mmio[n].name : ""; /* range 0 is nobody's */
    n -= b->mmio_count;
    if (n < b->port_count)
        return n ? b->port[n].name : "";
    n -= b->port_count;
    return n < b->msr_count ? b->msr[n].name : NULL;
}

static bool nth_device(void *ctx, unsigned n, struct shell_name *out)
{
    const struct vm *vm = selected_vm(ctx);
    const char *name = vm ? device_name(vm->parts.bus, n) : NULL;

    return name && put_name(out, name, n);
}

static bool nth_msr(void *, unsigned n, struct shell_name *out)
{
    static const struct {
        const char *name;
        u32 number;
    } msrs[] = {
#define X(name) {#name, MSR_IA32_##name}
        X(TSC),          X(APIC_BASE),      X(FEATURE_CONTROL), X(TSC_ADJUST), X(SYSENTER_CS),
        X(SYSENTER_ESP), X(MISC_ENABLE),    X(DEBUGCTL),        X(PAT),        X(TSC_DEADLINE),
        X(EFER),         X(STAR),           X(LSTAR),           X(FMASK),      X(FS_BASE),
        X(GS_BASE),      X(KERNEL_GS_BASE), X(TSC_AUX),
#undef X
    };
    return n < ARRAY_SIZE(msrs) && put_name(out, msrs[n].name, msrs[n].number);
}

/* It may be no more than a beginning, of several. */
static enum status parse_field(struct shell *sh, int arg, const char *what, u64 *out)
{
    struct shell_name name;
    char typed[sizeof(name.text)];

    (void)name_lower(sh->argv[arg], typed, sizeof(typed));
    for (*out = 0; nth_field(NULL, (unsigned)*out, &name); ++*out)
        if (str_starts(name.text, typed))
            return STATUS_OK;
    return shell_fail(sh, arg, STATUS_ENOENT, "expected %s, got \"%.40s\"", what, sh->argv[arg]);
}

static const struct shell_kind kinds[] = {
    {"ADDR", "an address", .parse = parse_address, .nth = nth_address},
    {"PHYSICAL", "a guest-physical address", .max = BIT64(48) - 1},
    {"HOST", "an address of Vitrine's own", .max = ~0ull},
    {"BYTES", "a number of bytes", .min = 1, .max = 64 * KiB, .suffix = true},
    {"SIZE", "a number of bytes", .min = 1, .max = BIT64(40), .suffix = true},
    {"COUNT", "a number of instructions", .min = 1, .max = 1000},
    {"STEPS", "a number of instructions", .min = 1, .max = ~0ull},
    {"ROWS", "a number of rows", .min = 1, .max = TRACE_ROWS},
    {"RECORDS", "a number of records", .min = 1, .max = TRACE_RECORDS},
    {"BACK", "why, or which from the last", .min = 1, .max = TRACE_RECORDS},
    {"VM", "the name of a virtual machine (vm lists them)", .nth = nth_vm},
    {"CPU", "a virtual CPU's number", .max = VM_MAX_VCPUS - 1},
    {"EXIT", "an exit reason (Tab lists them)", .nth = nth_exit},
    {"REASON", "an exit reason as `stat` shows them, STEP or EVENT", .nth = nth_reason},
    {"DEVICE", "a device's name as `stat emu` shows it", .nth = nth_device},
    {"FIELD", "the beginning of a VMCS field's name (guest_rip), or check", .parse = parse_field,
     .nth = nth_field},
    {"MSR", "an MSR, by number or name", .max = ~0u, .nth = nth_msr},
    {"LEAF", "a leaf", .max = ~0u},
    {"SUBLEAF", "a subleaf", .max = ~0u},
    {"PORT", "a port", .max = 0xffff},
    {"VALUE", "a value", .max = ~0ull},
    {"FIRST", "an address, port or MSR", .max = ~0ull},
    {"LAST", "the last of a range", .max = ~0ull},
    {"OFFSET", "the distance from the table", .max = ~0ull},
    {"POINT", "a point's number (break lists them), or all", .min = 1, .max = 0xffff},
    {"VECTOR", "an interrupt's vector", .min = 16, .max = 255},
    {"EXCEPTION", "an exception's vector", .max = 31},
    {"CODE", "an error code", .max = 0xffff},
    {"CR2", "an address for CR2", .max = ~0ull},
};

/* The selected virtual CPU in sh->subject; see enum needs. */
static enum status prepare(struct shell *sh, u8 needs)
{
    static const char *const states[] = {"alive", "running", "paused"};
    struct vcpu *v = vm_selected(sh);

    if (!v)
        return STATUS_ENOENT;
    sh->subject = v;
    const enum vm_state state = v->vm->state;
    if ((needs == NEEDS_ALIVE && state == VM_ENDED) ||
        (needs == NEEDS_RUNNING && state != VM_RUNNING) ||
        (needs == NEEDS_PAUSED && state != VM_PAUSED))
        return shell_fail(sh, -1, STATUS_EINVAL, "%s is not %s", v->vm->name,
                          states[needs - NEEDS_ALIVE]);
    return STATUS_OK;
}

void kinds_register(struct shell *sh, struct vm_list *list)
{
    shell_set_kinds(sh, kinds, ARRAY_SIZE(kinds), list, prepare);
}

/* --- The command ------------------------------------------------------------------------------ */

static enum status run_slide(struct shell *sh)
{
    struct vm *vm = ((struct vcpu *)sh->subject)->vm;
    bool automatic = sh->choice[2] == 0;

    vm->symbols.slide = sh->value[2];
    vm->slide = automatic && vm->anchor ? SLIDE_UNKNOWN : SLIDE_FIXED;
    return STATUS_OK;
}

static enum status run_symbols(struct shell *sh)
{
    static const char *const known[] = {"as told", "not known yet", "by IA32_LSTAR"};
    const struct vm *vm = ((struct vcpu *)sh->subject)->vm;
    char name[80];

    if (sh->argc < 2)
        sink_printf(sh->out, "%s: %u symbols, slid by %#lx (%s)\n", vm->name, vm->symbols.count,
                    vm->symbols.slide, known[vm->slide]);
    else
        sink_printf(sh->out, "%016lx%s\n", sh->value[1],
                    vm_symbol_text(vm, sh->value[1], name, sizeof(name)));
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"symbols", "[ADDR]", "what is at an address; where a symbol is",
     "symbols 0xffffffff81000000\nsymbols jiffies", run_symbols, NEEDS_VCPU},
    {"symbols", "slide auto|OFFSET", "how far the guest has slid from the table", "symbols slide 0",
     run_slide, NEEDS_VCPU},
};
const struct shell_table symbol_commands = {commands, ARRAY_SIZE(commands), NULL};
