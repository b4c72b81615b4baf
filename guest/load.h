/* SPDX-License-Identifier: MIT
 *
 * From an image to a machine about to execute its first instruction: one loader per kind, over the
 * same context.  A loader claims every byte it writes in the layout, so nothing overlaps, and
 * leaves the first CPU's registers complete.
 */
#pragma once

#include "drivers/gmem.h"
#include "emulator/state.h"
#include "guest/config.h"
#include "guest/layout.h"

struct load {
    const struct vm_config *vm;
    struct image image;              /* the guest itself */
    struct image file[VM_MAX_FILES]; /* what comes with it ... */
    enum vm_file_role role[VM_MAX_FILES];
    unsigned file_count;
    const struct gmem *mem;
    struct layout layout;
    u64 rsdp;       /* guest-physical address of the ACPI RSDP */
    bool long_mode; /* the virtual CPU has 64-bit mode */
    struct x86_state *state;
    struct load_error *error;
};

/* Raw bytes at vm->load, entered at vm->entry in vm->mode. */
CHECKED enum status load_flat(struct load *l);

/* Multiboot 0.6.96: ELF32, ELF64, or the header's own address fields. */
CHECKED enum status load_multiboot(struct load *l);

/* A Linux bzImage by the 64-bit or 32-bit boot protocol. */
CHECKED enum status load_linux(struct load *l);

/* A BIOS: below 4 GiB and its end below 1 MiB, started at the reset vector. */
CHECKED enum status load_firmware(struct load *l);

/* For the loaders. */

/* Copy into claimed guest memory, or clear it and say where it is on the host. */
CHECKED enum status load_write(struct load *l, u64 gpa, const void *src, u64 size);
CHECKED enum status load_clear(struct load *l, u64 gpa, u64 size, void **at);

/* Place a string ("head tail", "head" or "tail") with its NUL below `below`; its address. */
CHECKED enum status load_string(struct load *l, const char *head, const char *tail, u64 below,
                                const char *name, gpa_t *where);

/* Selectors of the descriptor table that load_enter() builds: Linux' __BOOT_CS and __BOOT_DS. */
#define LOAD_CS 0x10
#define LOAD_DS 0x18

/*
 * Registers for entry at rip in VM_MODE_32 (flat, no paging) or VM_MODE_64 (first 4 GiB mapped to
 * themselves), with a GDT and page tables in guest memory; or in VM_MODE_16 (real mode, rip below
 * 0x10fff0).  All general registers are 0, interrupts are off.
 */
CHECKED enum status load_enter(struct load *l, enum vm_mode mode, u64 rip);
