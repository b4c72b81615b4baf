/* SPDX-License-Identifier: MIT
 *
 * What the parts of the UEFI application share.  Names in capitals are the UEFI Specification's,
 * from Debian's gnu-efi.
 */
#pragma once

#include "boot/uefi/cfg.h"

#include <efi.h>

/* The volume this program was started from. */
struct uefi {
    EFI_HANDLE image;
    EFI_SYSTEM_TABLE *system;
    EFI_BOOT_SERVICES *boot;
    EFI_FILE_PROTOCOL *root;
};

/* Memory below 4 GiB, that stays until the hypervisor takes it over; NULL: there is none. */
void *uefi_allocate(const struct uefi *u, u64 size, EFI_MEMORY_TYPE type);

/* Open the volume.  False, said in the log, when the firmware cannot read files there. */
bool volume_open(struct uefi *u);

/* Read a whole file ("/path") into memory from uefi_allocate(), with room for a NUL behind it;
 * NULL, with the reason in `why`, when that cannot be. */
void *volume_read(const struct uefi *u, const char *path, u64 limit, u64 *size, char *why,
                  size_t cap);

/* Multiboot 2 information under construction. */
struct mbi {
    u8 *data;
    u32 size, cap;
};

/* Begin it with everything that is known before boot services are left.  False: no memory. */
bool mbi_begin(struct mbi *m, const struct uefi *u, const char *cmdline);

/* Add a file that has been read. */
void mbi_add_module(struct mbi *m, const void *at, u64 size, const char *cmdline);

/* True when there is room for that many ranges of memory. */
bool mbi_has_room(const struct mbi *m, UINTN ranges);

/* The firmware's memory map: last of all. */
void mbi_end(struct mbi *m, const u8 *map, UINTN size, UINTN descriptor_size);

/* RAM that is the hypervisor's when boot services have been left. */
bool mbi_is_usable(const EFI_MEMORY_DESCRIPTOR *d);
