/* SPDX-License-Identifier: MIT
 *
 * Symbols and registers in place of addresses at the prompt.
 */
#include "vmx/address.h"

#include "lib/parse.h"
#include "lib/string.h"
#include "vmx/show.h"
#include "vmx/symbol.h"

#define LL(x) ((unsigned long long)(x))

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

enum status address_arg(struct shell *sh, struct vcpu *v, int arg, const char *what, u64 *out)
{
    const char *word = arg < sh->argc ? sh->argv[arg] : "0";
    const struct vm *vm = v->vm;
    unsigned length = 0;
    u64 offset = 0;

    if (word[0] >= '0' && word[0] <= '9')
        return shell_arg_u64(sh, arg, what, 0, ~0ull, out);
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

void address_complete(struct shell *sh, int argc, char **argv, struct completions *c)
{
    const struct vm_list *list = sh->ctx;
    size_t typed = strlen(argv[argc - 1]);
    unsigned length;
    char name[128];

    if (argc != 2 || typed == 0 || list->selected >= list->count)
        return;
    const struct symbols *s = &list->vm[list->selected]->symbols;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        completions_add(c, gpr_names[i]);
    completions_add(c, "rip");
    for (u32 n = 0; n < s->count; n++) {
        const char *text = symbols_name(s, n, &length);
        if (length < typed || memcmp(text, argv[1], typed) != 0)
            continue;
        format_buf(name, sizeof(name), "%.*s", (int)length, text);
        completions_add(c, name);
    }
}

static enum status set_slide(struct shell *sh, struct vm *vm)
{
    u64 slide = 0;

    if (sh->argc > 2 && strcmp(sh->argv[2], "auto") == 0) {
        vm->slide = vm->anchor ? SLIDE_UNKNOWN : SLIDE_FIXED;
        vm->symbols.slide = 0;
        return STATUS_OK;
    }
    if (sh->argc < 3)
        return shell_fail(sh, 3, STATUS_EINVAL, "expected the distance from the table, or auto");
    enum status s = shell_arg_u64(sh, 2, "the distance from the table", 0, ~0ull, &slide);
    if (s == STATUS_OK) {
        vm->symbols.slide = slide;
        vm->slide = SLIDE_FIXED;
    }
    return s;
}

static enum status run_symbols(struct shell *sh, int argc, char **argv)
{
    static const char *const known[] = {"as told", "not known yet", "by IA32_LSTAR"};
    struct vcpu *v = vm_selected(sh);
    char name[80];
    u64 address = 0;

    if (!v)
        return STATUS_ENOENT;
    if (argc > 1 && strcmp(argv[1], "slide") == 0)
        return set_slide(sh, v->vm);
    if (argc > 2)
        return shell_fail(sh, 2, STATUS_EINVAL, "expected no more words");
    if (argc < 2) {
        sink_printf(sh->out, "%s: %u symbols, slid by %#llx (%s)\n", v->vm->name,
                    v->vm->symbols.count, LL(v->vm->symbols.slide), known[v->vm->slide]);
        return STATUS_OK;
    }
    enum status s = address_arg(sh, v, 1, "an address", &address);
    if (s == STATUS_OK)
        sink_printf(sh->out, "%016llx%s\n", LL(address),
                    vm_symbol_text(v->vm, address, name, sizeof(name)));
    return s;
}

static const struct shell_command commands[] = {
    {"symbols", "[ADDR|SYMBOL|slide [OFFSET|auto]]",
     "what is at an address; where a symbol is; how far the guest has slid from the table",
     "symbols 0xffffffff81000000\nsymbols jiffies\nsymbols slide 0", run_symbols, address_complete},
};

enum status address_register(struct shell *sh, struct vm_list *list)
{
    return shell_register(sh, commands, ARRAY_SIZE(commands), list);
}
