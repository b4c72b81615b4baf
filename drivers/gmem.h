/* SPDX-License-Identifier: MIT
 *
 * A guest's memory as loaders and devices see it: a few regions of RAM or ROM, each with its
 * guest-physical address and its host mapping.
 */
#pragma once

#include "lib/status.h"

enum gmem_kind { GMEM_RAM, GMEM_ROM };

struct gmem_region {
    gpa_t base; /* page-aligned */
    u64 size;   /* bytes, whole pages */
    u8 *host;   /* host-virtual address of its first byte */
    enum gmem_kind kind;
};

#define GMEM_MAX_REGIONS 8

struct gmem {
    struct gmem_region region[GMEM_MAX_REGIONS]; /* sorted by base, not overlapping */
    unsigned count;
};

/* EOVERLAP, EINVAL (empty, unaligned, wraps), ENOSPC. */
CHECKED enum status gmem_add(struct gmem *m, gpa_t base, u64 size, u8 *host, enum gmem_kind kind);

/* Host address of [gpa, gpa + size), or NULL unless it lies in one region. */
u8 *gmem_at(const struct gmem *m, gpa_t gpa, u64 size);

/* The same of RAM only: what a device may write. */
u8 *gmem_ram(const struct gmem *m, u64 gpa, u64 size);

/* Copy in or out; ERANGE (nothing copied) unless all of it is RAM or ROM. */
CHECKED enum status gmem_write(const struct gmem *m, gpa_t gpa, const void *src, u64 size);
CHECKED enum status gmem_read(const struct gmem *m, gpa_t gpa, void *dst, u64 size);

/* Bytes of RAM in all. */
u64 gmem_ram_size(const struct gmem *m);
