/* SPDX-License-Identifier: MIT
 *
 * Cleaning the firmware's memory map: a sweep over all range ends, in which the most restrictive
 * of the ranges that cover a stretch decides its type.
 */
#include "arch/x86/memmap.h"

#include "lib/bits.h"

void memmap_add(struct memmap *m, u64 base, u64 size, u32 type)
{
    if (size == 0)
        return;
    if (size > ~0ull - base)
        size = ~0ull - base;
    if (m->count == MEMMAP_MAX) {
        m->dropped++;
        return;
    }
    if (type < MEM_USABLE || type > MEM_BAD)
        type = MEM_RESERVED;
    m->range[m->count++] = (struct mem_range){base, size, (enum mem_type)type};
}

/* The ends of all ranges, ascending, without doubles. */
static unsigned collect_ends(const struct memmap *m, u64 *ends)
{
    unsigned n = 0;

    for (unsigned i = 0; i < 2 * m->count; i++) {
        const struct mem_range *r = &m->range[i / 2];
        u64 end = i & 1 ? r->base + r->size : r->base;
        unsigned at = n;

        while (at > 0 && ends[at - 1] > end)
            at--;
        if (at > 0 && ends[at - 1] == end)
            continue;
        for (unsigned k = n++; k > at; k--)
            ends[k] = ends[k - 1];
        ends[at] = end;
    }
    return n;
}

/* The most restrictive type at an address, 0 where nothing is. */
static u32 type_at(const struct mem_range *r, unsigned count, u64 at)
{
    u32 type = 0;

    for (unsigned i = 0; i < count; i++)
        if (at - r[i].base < r[i].size && (u32)r[i].type > type)
            type = r[i].type;
    return type;
}

/* Usable ranges shrink to whole pages; what vanishes is taken out. */
static void shrink_usable(struct memmap *m)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < m->count; i++) {
        struct mem_range r = m->range[i];
        if (r.type == MEM_USABLE) {
            u64 start = align_up(r.base, PAGE_SIZE), end = align_down(r.base + r.size, PAGE_SIZE);
            if (start < r.base || end <= start)
                continue;
            r.base = start;
            r.size = end - start;
        }
        m->range[kept++] = r;
    }
    m->count = kept;
}

enum status memmap_normalise(struct memmap *m)
{
    struct mem_range given[MEMMAP_MAX];
    u64 ends[2 * MEMMAP_MAX];
    unsigned given_count = m->count, n = collect_ends(m, ends);
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < given_count; i++)
        given[i] = m->range[i];
    m->count = 0;
    for (unsigned i = 0; i + 1 < n; i++) {
        u32 type = type_at(given, given_count, ends[i]);
        struct mem_range *last = m->count ? &m->range[m->count - 1] : NULL;

        if (type == 0)
            continue;
        if (last && (u32)last->type == type && last->base + last->size == ends[i]) {
            last->size += ends[i + 1] - ends[i];
        } else if (m->count == MEMMAP_MAX) {
            status = STATUS_ENOSPC;
            break;
        } else {
            m->range[m->count++] =
                (struct mem_range){ends[i], ends[i + 1] - ends[i], (enum mem_type)type};
        }
    }
    shrink_usable(m);
    return status;
}

u64 memmap_total(const struct memmap *m, enum mem_type type)
{
    u64 total = 0;

    for (unsigned i = 0; i < m->count; i++)
        if (m->range[i].type == type)
            total += m->range[i].size;
    return total;
}

u64 memmap_top(const struct memmap *m)
{
    u64 top = 0;

    for (unsigned i = 0; i < m->count; i++) {
        u64 end = m->range[i].base + m->range[i].size;
        if (m->range[i].type == MEM_USABLE && end > top)
            top = end;
    }
    return top;
}

bool memmap_usable(const struct memmap *m, u64 base, u64 size)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct mem_range *r = &m->range[i];
        if (r->type == MEM_USABLE && base >= r->base && range_within(base - r->base, size, r->size))
            return true;
    }
    return false;
}

const char *mem_type_text(enum mem_type type)
{
    static const char *const names[] = {"?",           "usable",   "reserved",
                                        "ACPI tables", "ACPI NVS", "bad memory"};
    return names[type <= MEM_BAD ? type : 0];
}
