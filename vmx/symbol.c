/* SPDX-License-Identifier: MIT
 *
 * A guest's symbols, and how far it has slid from them.
 */
#include "vmx/symbol.h"

#include "arch/x86/cpu.h"
#include "lib/msr.h"
#include "lib/string.h"

#define ANCHOR "entry_SYSCALL_64"
/* Linux moves by multiples of CONFIG_PHYSICAL_ALIGN, within the GiB that its image is mapped in. */
#define SLIDE_ALIGN (2 * MiB)
#define SLIDE_MAX   GiB

void vm_set_symbols(struct vm *vm, const struct symbols *table)
{
    s64 anchor = symbols_lookup(table, ANCHOR, sizeof(ANCHOR) - 1);

    vm->symbols = *table;
    vm->anchor = anchor < 0 ? 0 : symbols_address(table, (u32)anchor);
    vm->slide = anchor < 0 ? SLIDE_FIXED : SLIDE_UNKNOWN;
}

void vm_find_slide(struct vcpu *v)
{
    struct vm *vm = v->vm;

    if (vm->slide == SLIDE_FIXED)
        return;
    u64 slide = rdmsr(MSR_IA32_LSTAR) - vm->anchor;
    if (slide < SLIDE_MAX && slide % SLIDE_ALIGN == 0) {
        vm->symbols.slide = slide;
        vm->slide = SLIDE_FOUND;
    }
}

bool vm_symbol(void *ctx, u64 address, char *out, size_t cap)
{
    const struct vm *vm = ctx;
    unsigned length;
    u64 offset;
    s64 n = vm->slide == SLIDE_UNKNOWN ? -1 : symbols_find(&vm->symbols, address, &offset);

    if (n < 0)
        return false;
    const char *name = symbols_name(&vm->symbols, (u32)n, &length);
    format_buf(out, cap, offset ? "%.*s+%#lx" : "%.*s", (int)length, name, offset);
    return true;
}

const char *vm_symbol_text(const struct vm *vm, u64 address, char *out, size_t cap)
{
    char name[80];

    if (vm_symbol((void *)(uintptr_t)vm, address, name, sizeof(name)))
        format_buf(out, cap, " <%s>", name);
    else
        out[0] = 0;
    return out;
}
