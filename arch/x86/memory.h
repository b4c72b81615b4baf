/* SPDX-License-Identifier: MIT
 *
 * Physical memory: who owns which pages, and where they are in the hypervisor's address space.
 * All RAM is mapped at DIRECT_MAP (until paging_init() only the first 4 GiB are).
 */
#pragma once

#include "arch/x86/layout.h"
#include "arch/x86/memmap.h"
#include "lib/format.h"

static inline void *phys_to_virt(hpa_t at) { return (void *)(uintptr_t)(at.v + DIRECT_MAP); }

/* Where a direct-map or image address is in physical memory; panics for any other address. */
hpa_t virt_to_phys(const void *at);

/* The image: physical address of its first byte (set by the boot assembly), size in memory. */
hpa_t image_phys(void);
u64 image_size(void);

/*
 * Take over the memory map (normalised, kept).  The first MiB and the image are never handed
 * out; mem_reserve() further ranges before the first allocation (modules, boot information).
 */
CHECKED enum status mem_init(const struct memmap *map);
CHECKED enum status mem_reserve(hpa_t base, u64 size, const char *owner);

/* Allow allocations above 4 GiB: paging_init() says so once all RAM is mapped. */
void mem_reach_all(void);

/* The normalised map. */
const struct memmap *mem_map(void);

/*
 * size bytes (rounded up to pages) of zeroed memory, contiguous, aligned to align (a power of
 * two, 4 KiB .. 1 GiB; 0 means 4 KiB).  owner is a static string, for statistics.
 * ENOMEM: no free range is large enough; EINVAL: size 0, or a wrong alignment.
 */
CHECKED enum status mem_alloc(u64 size, u64 align, const char *owner, hpa_t *out);

/* One zeroed page by its direct-map address, or NULL. */
void *mem_alloc_page(const char *owner);

/* Give back what mem_alloc() or mem_reserve() took, whole; anything else is a panic. */
void mem_free(hpa_t at);

/* Bytes that are free, and the largest free range. */
u64 mem_free_bytes(void);
u64 mem_free_largest(void);

/* The table of the `mem` command: bytes and number of ranges by owner, then the memory map. */
void mem_report(struct sink *s);
