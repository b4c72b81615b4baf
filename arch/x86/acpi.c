/* SPDX-License-Identifier: MIT
 *
 * The host's ACPI tables: reaching them, and saying what was found.  Parsing is acpi_parse.c's.
 */
#include "arch/x86/acpi.h"

#include "arch/x86/memory.h"
#include "arch/x86/paging.h"
#include "lib/log.h"

static struct acpi_info host_acpi;

static bool in_direct_map(u64 at, u64 size)
{
    for (u64 page = align_down(at, PAGE_SIZE); page < at + size; page += PAGE_SIZE) {
        hpa_t phys;
        u64 bits;
        if (!paging_walk(page + DIRECT_MAP, &phys, &bits))
            return false;
    }
    return true;
}

/* Tables lie in ACPI memory, which is mapped, or in reserved memory, which is not. */
static const void *map_physical(u64 at, u64 size)
{
    if (at < PAGE_SIZE) { /* the BIOS data area is in page 0, which stays unmapped */
        const u8 *page = mmio_map(HPA(0), PAGE_SIZE);
        return page && range_within(at, size, PAGE_SIZE) ? page + at : NULL;
    }
    if (!range_within(at, size, MMIO_MAP - DIRECT_MAP))
        return NULL;
    return in_direct_map(at, size) ? phys_to_virt(HPA(at)) : mmio_map(HPA(at), size);
}

void acpi_init(u64 rsdp)
{
    struct acpi_info *a = &host_acpi;
    unsigned usable = 0;
    u64 at = rsdp ? rsdp : acpi_scan_rsdp(map_physical);
    enum status s = acpi_parse(a, at, map_physical);

    if (!a->present) {
        log_warn("acpi", "%s: going on with a PC's defaults, one CPU and the 8259",
                 s == STATUS_ENOENT ? "no RSDP found" : "no usable tables");
        return;
    }
    for (unsigned i = 0; i < a->cpu_count; i++)
        usable += a->cpu[i].usable;
    log_info("acpi", "%u tables, %u CPUs of which %u enabled, %u I/O APICs, local APIC at %#lx%s",
             a->table_count, a->cpu_count, usable, a->ioapic_count, a->lapic_address,
             a->can_power_off ? ", power-off" : "");
}

const struct acpi_info *acpi_info(void) { return &host_acpi; }
