/* SPDX-License-Identifier: MIT
 *
 * Who has which part of a guest's memory.  Claims are few, so they are an unsorted array; a search
 * for room jumps from claim to claim.
 */
#include "guest/layout.h"

#include "guest/address.h"
#include "lib/bits.h"

static void add_e820(struct layout *l, u64 base, u64 end, enum e820_type type)
{
    if (base < end)
        l->e820[l->e820_count++] = (struct e820_entry){base, end - base, type};
}

enum status layout_init(struct layout *l, u64 mem, struct load_error *e)
{
    if (mem < LAYOUT_MEM_MIN || mem > LAYOUT_MEM_MAX || !is_aligned(mem, PAGE_SIZE))
        return load_fail(e, STATUS_EINVAL,
                         "mem=%#lx is no possible size: give whole pages from 1M to 1024G", mem);
    *l = (struct layout){.low_top = mem, .high_top = ADDR_HIGH};
    if (mem > ADDR_LOW_MAX) {
        l->low_top = ADDR_LOW_MAX;
        l->high_top = ADDR_HIGH + (mem - ADDR_LOW_MAX);
    }
    add_e820(l, 0, ADDR_EBDA, E820_RAM);
    add_e820(l, ADDR_EBDA, ADDR_VIDEO, E820_RESERVED);
    add_e820(l, ADDR_TABLES, ADDR_EXTENDED, E820_RESERVED);
    add_e820(l, ADDR_EXTENDED, l->low_top, E820_RAM);
    add_e820(l, ADDR_HIGH, l->high_top, E820_RAM);
    l->claim[l->claim_count++] =
        (struct layout_claim){0, ADDR_BDA_SIZE, "the vectors and the BIOS data area"};
    l->claim[l->claim_count++] = (struct layout_claim){ADDR_EBDA, ADDR_EXTENDED - ADDR_EBDA,
                                                       "the PC's video, ROM and table area"};
    return STATUS_OK;
}

static bool is_ram(const struct layout *l, u64 base, u64 size)
{
    return range_within(base, size, l->low_top) ||
           (base >= ADDR_HIGH && range_within(base, size, l->high_top));
}

/* A claim that shares a byte with [base, base + size), or NULL. */
static const struct layout_claim *find_overlap(const struct layout *l, u64 base, u64 size)
{
    for (unsigned i = 0; i < l->claim_count; i++)
        if (ranges_overlap(base, size, l->claim[i].base, l->claim[i].size))
            return &l->claim[i];
    return NULL;
}

enum status layout_claim(struct layout *l, u64 base, u64 size, const char *name,
                         struct load_error *e)
{
    if (size == 0)
        return STATUS_OK;
    if (!is_ram(l, base, size))
        return load_fail(e, STATUS_ENOMEM,
                         "%s needs %#lx bytes at %#lx, but memory ends at %#lx: give the "
                         "guest more (mem=) or link it lower",
                         name, size, base, (base < ADDR_HIGH ? l->low_top : l->high_top));
    const struct layout_claim *other = find_overlap(l, base, size);
    if (other)
        return load_fail(e, STATUS_EOVERLAP,
                         "%s (%#lx bytes at %#lx) overlaps %s (%#lx bytes at %#lx): "
                         "move one of them",
                         name, size, base, other->name, other->size, other->base);
    if (l->claim_count == LAYOUT_MAX_CLAIMS)
        return load_fail(e, STATUS_ENOSPC, "%s: the image has more than %u pieces", name,
                         LAYOUT_MAX_CLAIMS);
    l->claim[l->claim_count++] = (struct layout_claim){base, size, name};
    return STATUS_OK;
}

/* The lowest fitting address in [from, below), or `below`. */
static u64 find_lowest(const struct layout *l, u64 size, u64 align, u64 from, u64 below)
{
    u64 at = align_up(from, align);

    while (at < below && range_within(at, size, below)) {
        const struct layout_claim *c = find_overlap(l, at, size);

        if (!c)
            return at;
        at = align_up(c->base + c->size, align);
    }
    return below;
}

/* The highest one, or `below`. */
static u64 find_highest(const struct layout *l, u64 size, u64 align, u64 from, u64 below)
{
    u64 end = below;

    while (end >= size && align_down(end - size, align) >= from) {
        u64 at = align_down(end - size, align);
        const struct layout_claim *c = find_overlap(l, at, size);

        if (!c)
            return at;
        end = c->base;
    }
    return below;
}

enum status layout_place(struct layout *l, const struct layout_want *want, const char *name,
                         gpa_t *where, struct load_error *e)
{
    u64 size = want->size ? want->size : 1;
    u64 below = want->below < l->low_top ? want->below : l->low_top;
    u64 at = (want->highest ? find_highest : find_lowest)(l, size, want->align, want->from, below);

    if (at == below)
        return load_fail(e, STATUS_ENOMEM,
                         "no room for %s: %#lx bytes between %#lx and %#lx: give the guest "
                         "more memory (mem=)",
                         name, size, want->from, below);
    *where = GPA(at);
    return layout_claim(l, at, size, name, e);
}
