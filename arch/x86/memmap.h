/* SPDX-License-Identifier: MIT
 *
 * The machine's memory map as the firmware gave it, made clean: sorted, without overlaps, whole
 * pages, the most restrictive type winning.  Pure: also compiles on the host.
 */
#pragma once

#include "lib/status.h"

/* Values as in ACPI 6.4, table 15-6 (address range types), which multiboot uses as well. */
enum mem_type {
    MEM_USABLE = 1,
    MEM_RESERVED = 2,
    MEM_ACPI = 3, /* reclaimable: tables */
    MEM_NVS = 4,
    MEM_BAD = 5,
};

struct mem_range {
    u64 base, size; /* bytes; base + size does not exceed 2^64 - 1 */
    enum mem_type type;
};

#define MEMMAP_MAX 256

struct memmap {
    unsigned count;
    unsigned dropped; /* ranges that did not fit */
    struct mem_range range[MEMMAP_MAX];
};

/* Append a range; empty ones are ignored, one past the top is cut, an unknown type is reserved. */
void memmap_add(struct memmap *m, u64 base, u64 size, u32 type);

/*
 * Sort, cut at overlaps (the higher type wins: reserved inside usable stays reserved), join
 * neighbours of one type, and shrink usable ranges to whole pages.  ENOSPC when the result does
 * not fit (usable ranges are then lost, never gained).
 */
CHECKED enum status memmap_normalise(struct memmap *m);

/* Bytes of a type, and the end of the highest usable range. */
u64 memmap_total(const struct memmap *m, enum mem_type type);
u64 memmap_top(const struct memmap *m);

/* True when all of [base, base + size) lies in one usable range of a normalised map. */
bool memmap_usable(const struct memmap *m, u64 base, u64 size);

const char *mem_type_text(enum mem_type type);
