/* SPDX-License-Identifier: MIT
 *
 * Building, walking and printing extended page tables (SDM vol. 3C, 28.3).
 */
#include "vmx/ept.h"

#include "arch/x86/memory.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/paging.h"
#include "arch/x86/panic.h"
#include "vmx/caps.h"

#define LEVELS 4u

/* EPTP: SDM vol. 3C, table 24-8. */
#define EPTP_WRITE_BACK 6u
#define EPTP_WALK_4     (3u << 3)

static bool is_leaf(u64 entry, unsigned level) { return level == 1 || (entry & EPT_LARGE) != 0; }

static u64 *table_of(u64 entry) { return phys_to_virt(HPA(entry & EPT_ADDRESS)); }

static enum status new_table(struct ept *e, u64 **table, hpa_t *at)
{
    enum status s = mem_alloc(PAGE_SIZE, PAGE_SIZE, "ept", at);
    if (s == STATUS_OK) {
        *table = phys_to_virt(*at);
        e->tables++;
    }
    return s;
}

enum status ept_init(struct ept *e, const struct vmx_caps *caps)
{
    hpa_t at;

    *e = (struct ept){.large_2m = caps_has(caps, CAP_EPT, EPT_PAGE_2M),
                      .large_1g = caps_has(caps, CAP_EPT, EPT_PAGE_1G),
                      .invept_single = caps_has(caps, CAP_EPT, EPT_INVEPT_SINGLE)};
    enum status s = new_table(e, &e->root, &at);
    if (s == STATUS_OK)
        e->pointer = at.v | EPTP_WALK_4 | EPTP_WRITE_BACK;
    return s;
}

static void free_level(u64 *table, unsigned level)
{
    for (unsigned i = 0; level > 1 && i < 512; i++)
        if ((table[i] & EPT_RIGHTS) && !is_leaf(table[i], level))
            free_level(table_of(table[i]), level - 1);
    mem_free(virt_to_phys(table));
}

void ept_destroy(struct ept *e)
{
    if (!e->root)
        return;
    ept_invalidate(e);
    free_level(e->root, LEVELS);
    *e = (struct ept){0};
}

/* The largest page for the rest of the range: aligned on both sides, of one memory type. */
static unsigned pick_level(const struct ept *e, u64 gpa, u64 hpa, u64 size)
{
    for (unsigned level = 3; level > 1; level--) {
        u64 page = level_size(level);
        bool uniform = false;
        if ((level == 3 && !e->large_1g) || (level == 2 && !e->large_2m))
            continue;
        if (size < page || !is_aligned(gpa | hpa, page))
            continue;
        (void)mtrr_type(HPA(hpa), page, &uniform);
        if (uniform)
            return level;
    }
    return 1;
}

static enum status map_page(struct ept *e, u64 gpa, u64 hpa, unsigned leaf, u64 rights)
{
    u64 *table = e->root;

    for (unsigned level = LEVELS; level > leaf; level--) {
        u64 *entry = &table[level_index(gpa, level)];
        if (!(*entry & EPT_RIGHTS)) {
            hpa_t at;
            TRY(new_table(e, &table, &at));
            *entry = at.v | EPT_RIGHTS;
        } else if (is_leaf(*entry, level)) {
            return STATUS_EOVERLAP;
        } else {
            table = table_of(*entry);
        }
    }
    u64 *entry = &table[level_index(gpa, leaf)];
    if (*entry & EPT_RIGHTS)
        return STATUS_EOVERLAP;
    bool uniform;
    u64 type = mtrr_type(HPA(hpa), level_size(leaf), &uniform);
    *entry = hpa | type << EPT_TYPE_SHIFT | rights | (leaf > 1 ? EPT_LARGE : 0);
    return STATUS_OK;
}

enum status ept_map(struct ept *e, gpa_t gpa, hpa_t hpa, u64 size, u64 rights)
{
    if (size == 0 || !is_aligned(gpa.v | hpa.v | size, PAGE_SIZE) ||
        !range_within(gpa.v, size, BIT64(48)))
        return STATUS_EINVAL;
    for (u64 done = 0; done < size;) {
        unsigned level = pick_level(e, gpa.v + done, hpa.v + done, size - done);
        TRY(map_page(e, gpa.v + done, hpa.v + done, level, rights));
        done += level_size(level);
    }
    return STATUS_OK;
}

/* Replace a large page by a table of the next smaller ones. */
static enum status split(struct ept *e, u64 *entry, unsigned level)
{
    u64 *table, size = level_size(level - 1);
    hpa_t at;

    TRY(new_table(e, &table, &at));
    u64 first = *entry & ~(level == 2 ? EPT_LARGE : 0ull);
    for (unsigned i = 0; i < 512; i++)
        table[i] = first + i * size;
    *entry = at.v | EPT_RIGHTS;
    return STATUS_OK;
}

enum status ept_protect(struct ept *e, gpa_t gpa, u64 rights)
{
    u64 *table = e->root;

    for (unsigned level = LEVELS;; level--) {
        u64 *entry = &table[level_index(gpa.v, level)];
        if (level == 1) {
            if (!(*entry & EPT_ADDRESS))
                return STATUS_ENOENT;
            *entry = (*entry & ~EPT_RIGHTS) | rights;
            return STATUS_OK;
        }
        if (!(*entry & EPT_RIGHTS))
            return STATUS_ENOENT;
        TRY(is_leaf(*entry, level) ? split(e, entry, level) : STATUS_OK);
        table = table_of(*entry);
    }
}

void ept_invalidate(const struct ept *e)
{
    struct {
        u64 eptp, zero;
    } descriptor = {e->pointer, 0};
    u64 type = e->invept_single ? 1 : 2; /* SDM vol. 3C, 30.3, INVEPT */
    bool failed;

    __asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(descriptor), "r"(type) : "memory");
    if (failed)
        panic("INVEPT type %lu of EPTP %#lx failed", type, e->pointer);
}

void ept_show(const struct ept *e, gpa_t gpa, struct sink *out)
{
    static const char *const types[] = {"UC", "WC", "2", "3", "WT", "WP", "WB", "7"};
    const u64 *table = e->root;

    for (unsigned level = LEVELS; level > 0; level--) {
        unsigned i = level_index(gpa.v, level);
        u64 entry = table[i];
        sink_printf(out, "  level %u [%3u] = %016lx  %c%c%c", level, i, entry,
                    entry & EPT_READ ? 'r' : '-', entry & EPT_WRITE ? 'w' : '-',
                    entry & EPT_EXECUTE ? 'x' : '-');
        if (!(entry & EPT_RIGHTS)) {
            sink_printf(out, "  not mapped: an access is a device's\n");
            return;
        }
        if (is_leaf(entry, level)) {
            u64 offset = gpa.v & (level_size(level) - 1);
            sink_printf(out, " %s  %lu KiB page -> host-physical %#lx\n",
                        types[bits_get(entry, 5, 3)], (level_size(level) / KiB),
                        ((entry & EPT_ADDRESS & ~(level_size(level) - 1)) | offset));
            return;
        }
        sink_printf(out, "\n");
        table = table_of(entry);
    }
}
