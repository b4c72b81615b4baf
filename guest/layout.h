/* SPDX-License-Identifier: MIT
 *
 * A guest's physical memory: RAM from 0 to the hole below 4 GiB and the rest from 4 GiB on, the
 * map the guest is told (E820), and who has claimed which part of it while the guest is built.
 */
#pragma once

#include "guest/image.h"

#define LAYOUT_MEM_MIN    (1 * MiB)
#define LAYOUT_MEM_MAX    (1024 * GiB)
#define LAYOUT_MAX_CLAIMS 96

/* Address range types, ACPI 6.4 table 15.4. */
enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

struct e820_entry {
    u64 base, size;
    enum e820_type type;
};

struct layout_claim {
    u64 base, size;
    const char *name; /* for messages; stays valid while the layout is used */
};

struct layout {
    u64 low_top;               /* RAM is [0, low_top) and ... */
    u64 high_top;              /* ... [4 GiB, high_top); equal to 4 GiB when there is none */
    struct e820_entry e820[6]; /* sorted, not overlapping */
    unsigned e820_count;
    struct layout_claim claim[LAYOUT_MAX_CLAIMS];
    unsigned claim_count;
};

/*
 * Plan `mem` bytes of RAM (whole pages, LAYOUT_MEM_MIN to LAYOUT_MEM_MAX, else EINVAL) and claim
 * what a PC reserves in the first megabyte.  All of [0, low_top) is to be backed by memory: the
 * video and ROM window too, though the guest is not told that it is RAM.
 */
CHECKED enum status layout_init(struct layout *l, u64 mem, struct load_error *e);

/* Claim exactly [base, base + size).  ENOMEM: not RAM; EOVERLAP: somebody has it; ENOSPC. */
CHECKED enum status layout_claim(struct layout *l, u64 base, u64 size, const char *name,
                                 struct load_error *e);

/* Where to look for room, and from which end. */
struct layout_want {
    u64 size, align; /* align: a power of two; an empty want gets one byte */
    u64 from, below; /* [from, below) */
    bool highest;    /* the highest fitting address instead of the lowest */
};

/* Find room, claim it and say where.  ENOMEM: there is none. */
CHECKED enum status layout_place(struct layout *l, const struct layout_want *want, const char *name,
                                 gpa_t *where, struct load_error *e);
