/* SPDX-License-Identifier: MIT
 *
 * The bookkeeping of the physical allocator: one sorted table of extents, each free or owned.
 * Pure: the table is the caller's, nothing is touched but it; unit-tested on the host.
 */
#pragma once

#include "lib/status.h"

struct extent {
    u64 base, size;
    const char *owner; /* NULL: free */
};

struct extent_table {
    struct extent *e; /* sorted by base, disjoint */
    unsigned count, cap;
};

/* Add a free range (not overlapping any other); joins free neighbours.  EOVERLAP, ENOSPC. */
CHECKED enum status extent_add(struct extent_table *t, u64 base, u64 size);

/* Take a given range, all of whose free parts become `owner`'s; parts not in the table are left
 * alone.  EOVERLAP when a part belongs to somebody, ENOSPC. */
CHECKED enum status extent_reserve(struct extent_table *t, u64 base, u64 size, const char *owner);

/* Take the lowest free range of that size (a multiple of 4096) and alignment (a power of two, at
 * least 4096) that ends at or below limit.  ENOMEM, ENOSPC, EINVAL. */
CHECKED enum status extent_alloc(struct extent_table *t, u64 size, u64 align, u64 limit,
                                 const char *owner, u64 *base);

/* Give back what extent_alloc() returned; *size is what it was.  ENOENT when no extent in use
 * begins there. */
CHECKED enum status extent_free(struct extent_table *t, u64 base, u64 *size);
