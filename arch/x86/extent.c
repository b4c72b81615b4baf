/* SPDX-License-Identifier: MIT
 *
 * The allocator's table: found by binary search, changed by shifting; first fit from the bottom.
 */
#include "arch/x86/extent.h"

#include "lib/bits.h"
#include "lib/string.h"

static u64 end_of(const struct extent *e) { return e->base + e->size; }

/* Index of the first extent that ends above `at`. */
static unsigned find(const struct extent_table *t, u64 at)
{
    unsigned low = 0, high = t->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (end_of(&t->e[middle]) > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void insert(struct extent_table *t, unsigned at, struct extent e)
{
    memmove(&t->e[at + 1], &t->e[at], (t->count - at) * sizeof(e));
    t->e[at] = e;
    t->count++;
}

static void take_out(struct extent_table *t, unsigned at)
{
    t->count--;
    memmove(&t->e[at], &t->e[at + 1], (t->count - at) * sizeof(t->e[0]));
}

/* Join free extent i with free neighbours it touches. */
static void join(struct extent_table *t, unsigned i)
{
    if (i + 1 < t->count && !t->e[i + 1].owner && end_of(&t->e[i]) == t->e[i + 1].base) {
        t->e[i].size += t->e[i + 1].size;
        take_out(t, i + 1);
    }
    if (i > 0 && !t->e[i - 1].owner && end_of(&t->e[i - 1]) == t->e[i].base) {
        t->e[i - 1].size += t->e[i].size;
        take_out(t, i);
    }
}

/* Cut [base, base + size) out of free extent i for owner; two more entries must fit. */
static void carve(struct extent_table *t, unsigned i, u64 base, u64 size, const char *owner)
{
    struct extent whole = t->e[i];
    u64 before = base - whole.base, after = whole.size - before - size;

    t->e[i] = (struct extent){base, size, owner};
    if (after)
        insert(t, i + 1, (struct extent){base + size, after, NULL});
    if (before)
        insert(t, i, (struct extent){whole.base, before, NULL});
}

enum status extent_add(struct extent_table *t, u64 base, u64 size)
{
    unsigned i = find(t, base);

    if (size == 0 || size > ~0ull - base)
        return STATUS_EINVAL;
    if (i < t->count && t->e[i].base < base + size)
        return STATUS_EOVERLAP;
    if (t->count == t->cap)
        return STATUS_ENOSPC;
    insert(t, i, (struct extent){base, size, NULL});
    join(t, i);
    return STATUS_OK;
}

enum status extent_reserve(struct extent_table *t, u64 base, u64 size, const char *owner)
{
    if (size == 0 || size > ~0ull - base)
        return STATUS_EINVAL;

    u64 end = base + size;
    unsigned first = find(t, base), free_parts = 0;

    for (unsigned i = first; i < t->count && t->e[i].base < end; i++, free_parts++)
        if (t->e[i].owner)
            return STATUS_EOVERLAP;
    if (free_parts && t->cap - t->count < 2)
        return STATUS_ENOSPC;
    /* Only the first and the last can leave a rest, so two more entries are enough. */
    for (unsigned i = first; i < t->count && t->e[i].base < end; i++) {
        if (t->e[i].owner)
            continue; /* what the round before took */
        u64 from = t->e[i].base > base ? t->e[i].base : base;
        u64 to = end_of(&t->e[i]) < end ? end_of(&t->e[i]) : end;
        carve(t, i, from, to - from, owner);
    }
    return STATUS_OK;
}

enum status extent_alloc(struct extent_table *t, u64 size, u64 align, u64 limit, const char *owner,
                         u64 *base)
{
    if (size == 0 || !is_aligned(size, PAGE_SIZE) || align < PAGE_SIZE || (align & (align - 1)))
        return STATUS_EINVAL;
    for (unsigned i = 0; i < t->count; i++) {
        const struct extent *e = &t->e[i];
        u64 start = align_up(e->base, align);
        if (e->owner || !range_within(start - e->base, size, e->size))
            continue;
        if (!range_within(start, size, limit))
            break; /* those that follow lie higher still */
        if (t->cap - t->count < 2)
            return STATUS_ENOSPC;
        carve(t, i, start, size, owner);
        *base = start;
        return STATUS_OK;
    }
    return STATUS_ENOMEM;
}

enum status extent_free(struct extent_table *t, u64 base, u64 *size)
{
    unsigned i = find(t, base);

    if (i == t->count || t->e[i].base != base || !t->e[i].owner)
        return STATUS_ENOENT;
    *size = t->e[i].size;
    t->e[i].owner = NULL;
    join(t, i);
    return STATUS_OK;
}
