/* SPDX-License-Identifier: MIT
 *
 * What the board of a firmware guest has besides: the fw_cfg device with all that SeaBIOS asks it
 * for, and the debug console.
 */
#pragma once

#include "drivers/model/vdbgcon.h"
#include "drivers/model/vfwcfg.h"
#include "guest/acpi.h"
#include "guest/config.h"

/* The table loader's script: a line is one command, as src/fw/romfile_loader.h of SeaBIOS has it.
 */
#define FIRMWARE_SCRIPT_LINE  128u
#define FIRMWARE_SCRIPT_LINES 16u

struct firmware {
    struct vfwcfg fwcfg;
    struct vdbgcon debug;
    u8 acpi[ACPI_AREA_SIZE]; /* at address 0: the firmware moves the tables */
    u8 script[FIRMWARE_SCRIPT_LINES * FIRMWARE_SCRIPT_LINE];
    u8 e820[2 * 20];
    u8 setup[32 * KiB]; /* a Linux kernel's real-mode part */
    char boot_order[VFWCFG_NAME_SIZE + 8];
};

/* Create both devices; `guest` names it in the log, mem is where fw_cfg's DMA goes. */
CHECKED enum status firmware_init(struct firmware *f, struct bus *b, const char *guest,
                                  const struct gmem *mem);

/*
 * Fill fw_cfg for a machine that guest_build() has accepted: memory map, processors, ACPI tables
 * with the script that places them, serial console, and the floppy image if there is one.
 */
CHECKED enum status firmware_furnish(struct firmware *f, const struct vm_config *vm,
                                     const struct image *modules, struct load_error *e);

/* Add a Linux kernel and its initial RAM disk (or NULL) for an option ROM to load. */
CHECKED enum status firmware_add_linux(struct firmware *f, u64 mem, const struct image *kernel,
                                       const struct image *initrd, struct load_error *e);
