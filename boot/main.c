/* SPDX-License-Identifier: MIT
 *
 * The composition root: boot/entry.asm calls boot_main(), which brings the machine up stage by
 * stage and then hands over to the hypervisor proper.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/acpi_power.h"
#include "arch/x86/apic.h"
#include "arch/x86/cpus.h"
#include "arch/x86/irq.h"
#include "arch/x86/machine.h"
#include "arch/x86/memory.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "arch/x86/tsc.h"
#include "boot/console.h"
#include "boot/hypervisor.h"
#include "boot/multiboot.h"
#include "lib/parse.h"

/* Status of a run that ended because the machine could not be brought up. */
#define BOOT_FAILED 1

/* Called by boot/entry.asm on CPU 0's stack, interrupts off, first 4 GiB mapped. */
_Noreturn void boot_main(u32 magic, u32 info);

static struct boot_info boot_info;

/* Until paging_init() the first 4 GiB are in the direct map; page 0 may hold the loader's data. */
static void *reach_low(hpa_t at, u64 size)
{
    return range_within(at.v, size, 4 * GiB) ? phys_to_virt(at) : NULL;
}

static const void *map_low(u64 at, u64 size) { return reach_low(HPA(at), size); }

static _Noreturn void boot_fail(const char *what, enum status s)
{
    log_error("boot", "%s: %s; cannot go on", what, status_text(s));
    machine_end(BOOT_FAILED);
}

static void boot_require(const char *what, enum status s)
{
    if (s != STATUS_OK)
        boot_fail(what, s);
}

static void read_boot_info(u32 magic, u32 info)
{
    struct boot_info *b = &boot_info;

    enum status s = magic == MULTIBOOT_BOOTLOADER_MAGIC ? multiboot1_parse(b, info, map_low)
                                                        : multiboot2_parse(b, info, map_low);
    console_init_screen(&b->framebuffer, reach_low);
    boot_require("reading the boot loader's information", s);
    if (b->rsdp_copy_size)
        b->rsdp = virt_to_phys(b->rsdp_copy).v;
    log_info("boot", "%s by %s%s, command line \"%s\"", b->protocol,
             b->loader[0] ? b->loader : "an unnamed loader", b->efi ? " under UEFI" : "",
             b->cmdline);
}

/* Modules stay where the loader put them.  One that is not in free RAM is left out. */
static void reserve_modules(void)
{
    struct boot_info *b = &boot_info;
    unsigned kept = 0;

    for (unsigned i = 0; i < b->module_count; i++) {
        const struct boot_module *m = &b->module[i];
        enum status s = memmap_usable(mem_map(), m->at.v, m->size)
                            ? mem_reserve(m->at, m->size, "modules")
                            : STATUS_ERANGE;
        log_line(s == STATUS_OK ? LOG_INFO : LOG_ERROR, "boot",
                 "module %u: %lu KiB at %#lx \"%s\"%s%s", i, m->size / 1024, m->at.v, m->cmdline,
                 s == STATUS_OK       ? ""
                 : s == STATUS_ERANGE ? ": left out: it does not lie in usable memory"
                                      : ": left out: ",
                 s == STATUS_OK || s == STATUS_ERANGE ? "" : status_text(s));
        if (s == STATUS_OK)
            b->module[kept++] = *m;
    }
    b->module_count = kept;
}

static void init_memory(void)
{
    boot_require("taking over memory", mem_init(&boot_info.memmap));
    reserve_modules();
    boot_require("building page tables", paging_init());
    console_init_screen(&boot_info.framebuffer, mmio_map);
    log_info("memory", "%lu MiB usable, top %#lx, image %lu KiB at %#lx",
             (memmap_total(mem_map(), MEM_USABLE) / MiB), memmap_top(mem_map()),
             image_size() / 1024, image_phys().v);
}

/* tsc-hz=, checked again and complained about where the whole configuration is read. */
static u64 told_tsc_hz(void)
{
    char text[24];
    u64 hz = 0;

    if (boot_option(boot_info.cmdline, "tsc-hz", text, sizeof(text)) &&
        parse_u64(text, &hz) != STATUS_OK)
        return 0;
    return hz >= 1000000 ? hz : 0;
}

static void init_cpus(void)
{
    unsigned count = acpi_info()->cpu_count;

    boot_require("per-CPU areas", cpus_init(count ? count : 1));
    enum status s = apic_init();
    if (s != STATUS_ENOTSUP) /* apic_report() tells what a machine without one does */
        boot_require("the local APIC", s);
    this_cpu()->apic_id = apic_id();
    boot_require("interrupt controllers", irq_init());
    tsc_init(told_tsc_hz());
    apic_timer_init();
    apic_report();
    mtrr_init();
    cpus_start();
}

_Noreturn void boot_main(u32 magic, u32 info)
{
    percpu_init_boot();
    trap_init();
    console_init();
    log_set_source(tsc_now_us, cpu_number);
    machine_set_drain(console_drain);
    machine_set_firmware((struct machine_firmware){acpi_power_off, acpi_reset});
    read_boot_info(magic, info);
    init_memory();
    acpi_init(boot_info.rsdp);
    init_cpus();
    log_info("boot", "host is up: %lu KiB of memory free, tsc=%#lx", (mem_free_bytes() / KiB),
             rdtsc());
    hypervisor_run(&boot_info);
}
