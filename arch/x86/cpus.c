/* SPDX-License-Identifier: MIT
 *
 * Allocation of per-CPU areas and stacks.
 */
#include "arch/x86/cpus.h"

#include "arch/x86/memory.h"
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"

static struct {
    unsigned count;
    struct percpu **table;
} cpus;

enum status cpus_init(unsigned count)
{
    hpa_t at;

    if (count < 1 || count > 1024)
        return STATUS_ERANGE;
    if (mem_alloc(count * sizeof(struct percpu *), 0, "per-CPU", &at) != STATUS_OK)
        return STATUS_ENOMEM;
    cpus.table = phys_to_virt(at);
    cpus.count = count;
    percpu_set_table(cpus.table, count);
    return STATUS_OK;
}

enum status cpus_create(unsigned number, u32 id)
{
    hpa_t at;

    if (number >= cpus.count)
        return STATUS_ERANGE;
    if (cpus.table[number])
        return STATUS_EEXIST;
    if (mem_alloc(sizeof(struct percpu), 0, "per-CPU", &at) != STATUS_OK)
        return STATUS_ENOMEM;
    struct percpu *p = phys_to_virt(at);
    for (unsigned i = 0; i < STACK_COUNT; i++) {
        u64 size = i == STACK_MAIN ? STACK_SIZE : IST_STACK_SIZE;
        if (mem_alloc(size, 0, "stacks", &at) != STATUS_OK)
            return STATUS_ENOMEM;
        const u8 *bottom = paging_map_alias(at, size, PAGE_WRITE);
        if (!bottom)
            return STATUS_ENOMEM;
        p->stack[i] = (struct stack){(u64)(uintptr_t)bottom, (u64)(uintptr_t)bottom + size};
    }
    p->self = p;
    p->number = number;
    p->apic_id = id;
    cpus.table[number] = p;
    return STATUS_OK;
}
