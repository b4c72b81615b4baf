/* SPDX-License-Identifier: MIT
 *
 * The final page tables: built once from the memory map, afterwards only added to.
 */
#include "arch/x86/paging.h"

#include "arch/x86/cpu.h"
#include "arch/x86/fixup.h"
#include "arch/x86/memory.h"
#include "arch/x86/percpu.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "lib/msr.h"

extern const u8 image_start[], image_text_start[], image_text_end[], image_rodata_end[],
    image_end[];

#define OWNER        "page tables"
#define MMIO_WINDOWS 32
#define LEVELS       4

static struct {
    struct lock lock;
    u64 *root;
    u64 nx;        /* PTE_NX, or 0 on a CPU without */
    bool pages_1g; /* by the CPU */
    u64 next;      /* next free address from MMIO_MAP up */
    unsigned window_count;
    struct {
        u64 phys, size, virt;
    } window[MMIO_WINDOWS];
} paging = {.next = MMIO_MAP + PAGE_SIZE};

static u64 access_bits(enum page_access access)
{
    static const u64 bits[] = {
        [PAGE_READ] = PTE_NX,
        [PAGE_WRITE] = PTE_WRITE | PTE_NX,
        [PAGE_EXECUTE] = 0,
        [PAGE_UNCACHED] = PTE_WRITE | PTE_PCD | PTE_PWT | PTE_NX, /* PAT entry 3: UC */
    };
    return PTE_PRESENT | (bits[access] & (~PTE_NX | paging.nx));
}

static u64 *table_at(u64 entry) { return phys_to_virt(HPA(entry & PTE_ADDRESS)); }

/* Replace a large page by a table of smaller ones with the same rights. */
static bool split(u64 *entry, unsigned level)
{
    u64 *table = mem_alloc_page(OWNER), old = *entry;

    if (!table)
        return false;
    for (unsigned i = 0; i < 512; i++)
        table[i] = (old + i * level_size(level - 1)) & (level == 2 ? ~PTE_LARGE : ~0ull);
    *entry = virt_to_phys(table).v | PTE_PRESENT | PTE_WRITE;
    return true;
}

/* The entry that maps `at` at this level, with the tables above it made as needed; NULL: no memory.
 */
static u64 *entry_at(u64 at, unsigned level)
{
    u64 *table = paging.root;

    for (unsigned l = LEVELS; l > level; l--) {
        u64 *entry = &table[level_index(at, l)];
        if (!(*entry & PTE_PRESENT)) {
            const u64 *below = mem_alloc_page(OWNER);
            if (!below)
                return NULL;
            *entry = virt_to_phys(below).v | PTE_PRESENT | PTE_WRITE;
        } else if ((*entry & PTE_LARGE) && !split(entry, l)) {
            return NULL;
        }
        table = table_at(*entry);
    }
    return &table[level_index(at, level)];
}

/* True when an entry of this level can map what begins here. */
static bool fits(unsigned level, u64 virt, u64 phys, u64 size)
{
    return is_aligned(virt | phys, level_size(level)) && size >= level_size(level);
}

/* The entry for the largest page that fits and under which no table lies yet; NULL: no memory. */
static u64 *leaf_at(u64 virt, u64 phys, u64 size, unsigned *level)
{
    *level = paging.pages_1g ? 3 : 2;
    while (*level > 1 && !fits(*level, virt, phys, size))
        --*level;
    for (;; --*level) {
        u64 *entry = entry_at(virt, *level);
        if (!entry || *level == 1 || !(*entry & PTE_PRESENT) || (*entry & PTE_LARGE))
            return entry;
    }
}

/* Map whole pages, replacing what is there. */
static enum status map(u64 virt, u64 phys, u64 size, enum page_access access)
{
    while (size != 0) {
        unsigned level;
        u64 *entry = leaf_at(virt, phys, size, &level);

        if (!entry)
            return STATUS_ENOMEM;
        *entry = phys | access_bits(access) | (level > 1 ? PTE_LARGE : 0);
        invlpg((void *)(uintptr_t)virt);
        virt += level_size(level);
        phys += level_size(level);
        size -= level_size(level);
    }
    return STATUS_OK;
}

static enum status map_image(u64 start, u64 end, enum page_access access)
{
    return map(start, start - (u64)(uintptr_t)image_start + image_phys().v, end - start, access);
}

static void unmap_page(void *ctx, u64 at)
{
    u64 *entry = entry_at(at, 1);
    bool *ok = ctx;

    if (entry)
        *entry = 0;
    else
        *ok = false;
}

/* RAM, and what the firmware keeps in it for us; the first MiB but page 0 for BIOS areas. */
static enum status map_direct(void)
{
    const struct memmap *m = mem_map();

    TRY(map(DIRECT_MAP + PAGE_SIZE, PAGE_SIZE, MiB - PAGE_SIZE, PAGE_WRITE));
    for (unsigned i = 0; i < m->count; i++) {
        const struct mem_range *r = &m->range[i];
        u64 start = align_down(r->base, PAGE_SIZE), end = r->base + r->size;

        if (r->type == MEM_RESERVED || r->type == MEM_BAD || end > MMIO_MAP - DIRECT_MAP)
            continue;
        end = align_up(end, PAGE_SIZE);
        if (start < MiB)
            start = MiB;
        if (end > start)
            TRY(map(DIRECT_MAP + start, start, end - start, PAGE_WRITE));
    }
    return STATUS_OK;
}

static enum status map_everything(void)
{
    u64 text = (u64)(uintptr_t)image_text_start, rodata = (u64)(uintptr_t)image_text_end;
    u64 data = (u64)(uintptr_t)image_rodata_end, end = (u64)(uintptr_t)image_end;
    u64 phys = image_phys().v;
    bool ok = true;

    TRY(map_direct());
    /* Code and constants cannot be changed through the direct map either. */
    TRY(map(DIRECT_MAP + phys, phys, data - (u64)(uintptr_t)image_start, PAGE_READ));
    TRY(map_image(text, rodata, PAGE_EXECUTE));
    TRY(map_image(rodata, data, PAGE_READ));
    TRY(map_image(data, end, PAGE_WRITE));
    percpu_each_boot_guard(unmap_page, &ok);
    return ok ? STATUS_OK : STATUS_ENOMEM;
}

/* No-execute, also where the firmware hid it (IA32_MISC_ENABLE.XD_DISABLE). */
static void enable_nx(void)
{
    u64 misc;

    if (!cpu_has(CPU_NX) && msr_read_safe(MSR_IA32_MISC_ENABLE, &misc) &&
        (misc & MISC_ENABLE_XD_DISABLE))
        (void)msr_write_safe(MSR_IA32_MISC_ENABLE, misc & ~MISC_ENABLE_XD_DISABLE);
    if (!cpu_has(CPU_NX)) {
        log_warn("paging", "the CPU has no NX: data pages stay executable; if the firmware offers "
                           "\"execute disable\", switch it on");
        return;
    }
    wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_NXE);
    paging.nx = PTE_NX;
}

void paging_load(void)
{
    static const struct {
        u32 feature;
        u64 bit;
    } bits[] = {{CPU_SMEP, CR4_SMEP}, {CPU_SMAP, CR4_SMAP}, {CPU_UMIP, CR4_UMIP}};
    u64 cr4 = cr4_read();

    if (paging.nx)
        wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_NXE);
    cr3_write(paging_cr3());
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
        if (cpu_has(bits[i].feature))
            cr4 |= bits[i].bit;
    cr4_write(cr4);
    cr0_write(cr0_read() | CR0_WP);
}

enum status paging_init(void)
{
    paging.pages_1g = cpu_has(CPU_PAGE_1G);
    enable_nx();
    paging.root = mem_alloc_page(OWNER);
    if (!paging.root)
        return STATUS_ENOMEM;
    TRY(map_everything());
    paging_load();
    mem_reach_all();
    return STATUS_OK;
}

u64 paging_cr3(void) { return virt_to_phys(paging.root).v; }

/* A fresh address range with a gap of a page behind it. */
static u64 take_address(u64 size)
{
    u64 at = paging.next;

    paging.next += size + PAGE_SIZE;
    return at;
}

void *mmio_map(hpa_t at, u64 size)
{
    u64 start = align_down(at.v, PAGE_SIZE), whole = align_up(at.v + size, PAGE_SIZE) - start;
    u64 virt = 0;

    lock_take(&paging.lock);
    for (unsigned i = 0; i < paging.window_count && virt == 0; i++)
        if (start >= paging.window[i].phys &&
            range_within(start - paging.window[i].phys, whole, paging.window[i].size))
            virt = paging.window[i].virt + (start - paging.window[i].phys);
    if (virt == 0) {
        u64 fresh = take_address(whole);
        if (map(fresh, start, whole, PAGE_UNCACHED) == STATUS_OK)
            virt = fresh;
        if (virt != 0 && paging.window_count < MMIO_WINDOWS) {
            paging.window[paging.window_count].phys = start;
            paging.window[paging.window_count].size = whole;
            paging.window[paging.window_count++].virt = virt;
        }
    }
    lock_release(&paging.lock);
    return virt ? (void *)(uintptr_t)(virt + (at.v - start)) : NULL;
}

void *paging_map_alias(hpa_t at, u64 size, enum page_access access)
{
    lock_take(&paging.lock);
    u64 virt = take_address(size);
    enum status s = map(virt, at.v, size, access);
    lock_release(&paging.lock);
    return s == STATUS_OK ? (void *)(uintptr_t)virt : NULL;
}

void *paging_map_pair(hpa_t first, hpa_t second)
{
    struct percpu *p = this_cpu();

    lock_take(&paging.lock);
    if (!p->pair)
        p->pair = take_address(2 * PAGE_SIZE);
    enum status s = map(p->pair, first.v, PAGE_SIZE, PAGE_WRITE);
    if (s == STATUS_OK)
        s = map(p->pair + PAGE_SIZE, second.v, PAGE_SIZE, PAGE_WRITE);
    lock_release(&paging.lock);
    return s == STATUS_OK ? (void *)(uintptr_t)p->pair : NULL;
}

bool paging_walk(u64 at, hpa_t *phys, u64 *bits)
{
    const u64 *table = phys_to_virt(HPA(cr3_read() & PTE_ADDRESS));

    for (unsigned level = LEVELS; level > 0; level--) {
        u64 entry = table[level_index(at, level)];
        if (!(entry & PTE_PRESENT))
            return false;
        if (level == 1 || (entry & PTE_LARGE)) {
            u64 offset = at & (level_size(level) - 1);
            *phys = HPA((entry & PTE_ADDRESS & ~(level_size(level) - 1)) + offset);
            *bits = entry & ~PTE_ADDRESS;
            return true;
        }
        table = table_at(entry);
    }
    return false;
}
