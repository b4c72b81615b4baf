/* SPDX-License-Identifier: MIT
 *
 * The hypervisor's own page tables (4-level).  Layout:
 *
 *   0xffff800000000000  DIRECT_MAP: RAM and ACPI memory, no-execute; the image's text and
 *                       read-only data are read-only here too
 *   0xffffc00000000000  MMIO_MAP: device registers, uncached, no-execute; and stacks
 *   0xffffffff80000000  IMAGE_MAP: the image, per section: text r-x, rodata r--, data rw-
 *
 * Everything else, page 0 first of all, is not mapped.
 */
#pragma once

#include "arch/x86/layout.h"
#include "lib/status.h"
#include "lib/x86.h"

/* Bytes that one entry at this level (1 = page table, 4 = PML4) covers, and its index; EPT's are
 * the same. */
static inline u64 level_size(unsigned level) { return PAGE_SIZE << (9 * (level - 1)); }

static inline unsigned level_index(u64 at, unsigned level)
{
    return (unsigned)(at >> (12 + 9 * (level - 1))) & 511;
}

enum page_access {
    PAGE_READ,     /* r-- */
    PAGE_WRITE,    /* rw- */
    PAGE_EXECUTE,  /* r-x */
    PAGE_UNCACHED, /* rw- and strong uncacheable */
};

/* Build the final tables from the memory map and switch to them; CR0.WP, and SMEP, SMAP, UMIP where
 * the CPU has them. */
CHECKED enum status paging_init(void);

/* Use those tables and bits on this CPU (paging_init() does it for the first). */
void paging_load(void);

/* CR3 of those tables, for other CPUs and for the VMCS host state. */
u64 paging_cr3(void);

/* Map device registers (any alignment) for ever; NULL when out of memory.  The same pages mapped
 * again give the same address. */
void *mmio_map(hpa_t at, u64 size);

/* Map whole pages of allocated memory at a new address, with an unmapped page on each side; NULL
 * when out of memory.  PAGE_EXECUTE gives the executable twin of memory that is written through
 * the direct map.  There is no unmapping: for the hypervisor's own lasting structures. */
void *paging_map_alias(hpa_t at, u64 size, enum page_access access);

/*
 * Two pages of RAM (their physical addresses, aligned) at consecutive addresses, to read and write,
 * on this CPU until it calls this again; NULL when out of memory.
 */
void *paging_map_pair(hpa_t first, hpa_t second);

/* Physical address and access bits (PTE_*) of a mapped hypervisor address; false when unmapped. */
bool paging_walk(u64 at, hpa_t *phys, u64 *bits);
