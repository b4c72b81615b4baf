/* SPDX-License-Identifier: MIT
 *
 * QEMU's firmware configuration device (docs/specs/fw_cfg.rst there): numbered entries and named
 * files that firmware reads a byte at a time (ports 510H, 511H) or by DMA (514H).
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/gmem.h"
#include "lib/format.h"

#define VFWCFG_MAX_ENTRIES 40
#define VFWCFG_MAX_FILES   16
#define VFWCFG_NAME_SIZE   56

/* Keys of entries without a name. */
#define VFWCFG_SIGNATURE 0x0000
#define VFWCFG_ID        0x0001
#define VFWCFG_RAM_SIZE  0x0003
#define VFWCFG_CPUS      0x0005
#define VFWCFG_BOOT_MENU 0x000e
#define VFWCFG_MAX_CPUS  0x000f
#define VFWCFG_DIRECTORY 0x0019
#define VFWCFG_FILES     0x0020 /* the first file's */

struct vfwcfg_entry {
    u16 key;
    u32 size;
    const void *data; /* NULL: `number` holds it */
    u64 number;
};

/* The directory as the guest reads it; numbers are big-endian. */
struct vfwcfg_directory {
    u8 count[4];
    struct {
        u8 size[4], key[2], reserved[2];
        char name[VFWCFG_NAME_SIZE];
    } file[VFWCFG_MAX_FILES];
};

struct vfwcfg {
    struct vfwcfg_entry entry[VFWCFG_MAX_ENTRIES];
    unsigned count, files;
    struct vfwcfg_directory directory;
    u16 key;      /* selected ... */
    u64 offset;   /* ... and the next byte of it */
    u32 dma_high; /* upper half of the DMA address */
    const struct gmem *mem;
};

/* Claims 510H-51BH; signature, ID and an empty directory are there already.  DMA goes to mem. */
CHECKED enum status vfwcfg_init(struct vfwcfg *f, struct bus *b, const struct gmem *mem);

/* Add an entry under a key, or a file.  Data stays its owner's and in place; NULL: the number,
 * which is kept here, little-endian, of 1 to 8 bytes.  ENOSPC: no room; ERANGE: the name is too
 * long. */
CHECKED enum status vfwcfg_add(struct vfwcfg *f, u16 key, const void *data, u64 number, u32 size);
CHECKED enum status vfwcfg_add_file(struct vfwcfg *f, const char *name, const void *data,
                                    u64 number, u32 size);

void vfwcfg_show(const struct vfwcfg *f, struct sink *out);
