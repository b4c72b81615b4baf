/* SPDX-License-Identifier: MIT
 *
 * The physical allocator over the firmware's memory map.  The bookkeeping is arch/x86/extent.c;
 * its table grows into memory that it itself hands out.
 */
#include "arch/x86/memory.h"

#include "arch/x86/extent.h"
#include "arch/x86/panic.h"
#include "lib/bits.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "lib/string.h"

#define FIRST_EXTENTS 512
#define SPARE_EXTENTS 8 /* the table grows when fewer are left */
#define OWNERS_SHOWN  40
#define EARLY_REACH   (4 * GiB) /* what boot/entry.asm maps */
#define KIB_OF(bytes) (((bytes) / KiB))

extern const u8 image_start[], image_end[];

/* Physical address of image_start, set by whoever loaded the image. */
u64 image_phys_base;

static struct {
    struct lock lock;
    struct memmap map;
    struct extent first[FIRST_EXTENTS];
    struct extent_table table;
    u64 reach; /* allocations end below this */
} memory;

hpa_t image_phys(void) { return HPA(image_phys_base); }

u64 image_size(void) { return (u64)(uintptr_t)image_end - (u64)(uintptr_t)image_start; }

hpa_t virt_to_phys(const void *at)
{
    u64 v = (u64)(uintptr_t)at, image = (u64)(uintptr_t)image_start;

    if (v >= image && v - image < image_size())
        return HPA(v - image + image_phys_base);
    invariant(v >= DIRECT_MAP && v < MMIO_MAP);
    return HPA(v - DIRECT_MAP);
}

enum status mem_init(const struct memmap *map)
{
    struct memmap *m = &memory.map;

    *m = *map;
    memory.reach = EARLY_REACH;
    if (memmap_normalise(m) != STATUS_OK || m->dropped)
        log_warn("memory", "the firmware's map has too many ranges; some memory is not used");
    memory.table = (struct extent_table){memory.first, 0, FIRST_EXTENTS};
    for (unsigned i = 0; i < m->count; i++)
        if (m->range[i].type == MEM_USABLE &&
            extent_add(&memory.table, m->range[i].base, m->range[i].size) != STATUS_OK)
            return STATUS_ENOSPC;
    /* Low memory is for BIOS data, start-up code of CPUs, and page 0 stays unused. */
    TRY(extent_reserve(&memory.table, 0, MiB, "first MiB"));
    return mem_reserve(image_phys(), image_size(), "image");
}

enum status mem_reserve(hpa_t base, u64 size, const char *owner)
{
    u64 start = align_down(base.v, PAGE_SIZE);

    if (size == 0 || size > ~0ull - PAGE_SIZE - base.v)
        return STATUS_EINVAL;
    lock_take(&memory.lock);
    enum status s =
        extent_reserve(&memory.table, start, align_up(base.v + size, PAGE_SIZE) - start, owner);
    lock_release(&memory.lock);
    return s;
}

void mem_reach_all(void) { memory.reach = ~0ull; }

const struct memmap *mem_map(void) { return &memory.map; }

/* Move the table to one twice as large.  The lock is held. */
static void grow_table(void)
{
    struct extent_table *t = &memory.table;
    u64 old_size = t->cap * sizeof(struct extent), size, base;
    struct extent *old = t->e, *bigger;

    if (t->cap - t->count >= SPARE_EXTENTS)
        return;
    size = align_up(2 * old_size, PAGE_SIZE);
    if (extent_alloc(t, size, PAGE_SIZE, memory.reach, "memory table", &base) != STATUS_OK)
        return; /* the caller finds out when the last spare entry is gone */
    bigger = phys_to_virt(HPA(base));
    memcpy(bigger, old, t->count * sizeof(struct extent));
    t->e = bigger;
    t->cap = (unsigned)(size / sizeof(struct extent));
    if (old != memory.first)
        invariant(extent_free(t, virt_to_phys(old).v, &old_size) == STATUS_OK);
}

enum status mem_alloc(u64 size, u64 align, const char *owner, hpa_t *out)
{
    u64 base;

    if (size == 0 || size > ~0ull - PAGE_SIZE)
        return STATUS_EINVAL;
    size = align_up(size, PAGE_SIZE);
    lock_take(&memory.lock);
    grow_table();
    enum status s =
        extent_alloc(&memory.table, size, align ? align : PAGE_SIZE, memory.reach, owner, &base);
    lock_release(&memory.lock);
    if (s == STATUS_OK) {
        memset(phys_to_virt(HPA(base)), 0, size);
        *out = HPA(base);
    }
    return s;
}

void *mem_alloc_page(const char *owner)
{
    hpa_t at;

    return mem_alloc(PAGE_SIZE, PAGE_SIZE, owner, &at) == STATUS_OK ? phys_to_virt(at) : NULL;
}

void mem_free(hpa_t at)
{
    u64 size;

    lock_take(&memory.lock);
    enum status s = extent_free(&memory.table, at.v, &size);
    lock_release(&memory.lock);
    if (s != STATUS_OK)
        panic("mem_free(%#lx): nothing allocated begins there", at.v);
}

static u64 count_free(u64 *largest)
{
    u64 total = 0;

    *largest = 0;
    lock_take(&memory.lock);
    for (unsigned i = 0; i < memory.table.count; i++) {
        const struct extent *e = &memory.table.e[i];
        if (e->owner)
            continue;
        total += e->size;
        if (e->size > *largest)
            *largest = e->size;
    }
    lock_release(&memory.lock);
    return total;
}

u64 mem_free_bytes(void)
{
    u64 largest;

    return count_free(&largest);
}

u64 mem_free_largest(void)
{
    u64 largest;

    count_free(&largest);
    return largest;
}

/* Sums by owner; owners beyond the last line are summed there. */
struct owner_sum {
    const char *owner;
    u64 bytes;
    unsigned ranges;
};

static unsigned sum_owners(struct owner_sum *sums)
{
    unsigned n = 0;

    for (unsigned i = 0; i < memory.table.count; i++) {
        const struct extent *e = &memory.table.e[i];
        const char *owner = e->owner ? e->owner : "free";
        unsigned k = 0;

        while (k < n && strcmp(sums[k].owner, owner) != 0)
            k++;
        if (k == OWNERS_SHOWN)
            k--;
        else if (k == n)
            sums[n++] = (struct owner_sum){owner, 0, 0};
        sums[k].bytes += e->size;
        sums[k].ranges++;
    }
    return n;
}

void mem_report(struct sink *s)
{
    struct owner_sum sums[OWNERS_SHOWN];

    lock_take(&memory.lock);
    unsigned n = sum_owners(sums);
    lock_release(&memory.lock);
    for (unsigned i = 0; i < n; i++)
        sink_printf(s, "%10lu KiB in %4u  %s\n", KIB_OF(sums[i].bytes), sums[i].ranges,
                    sums[i].owner);
    sink_printf(s, "memory map of the firmware:\n");
    for (unsigned i = 0; i < memory.map.count; i++) {
        const struct mem_range *r = &memory.map.range[i];
        sink_printf(s, "  %012lx-%012lx %9lu KiB  %s\n", r->base, (r->base + r->size - 1),
                    KIB_OF(r->size), mem_type_text(r->type));
    }
}
