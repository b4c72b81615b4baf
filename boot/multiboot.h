/* SPDX-License-Identifier: MIT
 *
 * Constants and layouts of the Multiboot Specification, versions 0.6.96 and 2.0, under their names
 * there, and what the two parsers share.  Addresses are physical and below 4 GiB.
 */
#pragma once

#include "boot/boot_info.h"
#include "lib/bits.h"

/* In EAX at entry. */
#define MULTIBOOT_BOOTLOADER_MAGIC  0x2badb002u
#define MULTIBOOT2_BOOTLOADER_MAGIC 0x36d76289u

/* Multiboot 1, section 3.3: flags that say which fields are valid. */
#define MULTIBOOT_INFO_MEMORY           BIT(0)
#define MULTIBOOT_INFO_CMDLINE          BIT(2)
#define MULTIBOOT_INFO_MODS             BIT(3)
#define MULTIBOOT_INFO_MEM_MAP          BIT(6)
#define MULTIBOOT_INFO_BOOT_LOADER_NAME BIT(9)
#define MULTIBOOT_INFO_FRAMEBUFFER_INFO BIT(12)

struct multiboot_info {
    u32 flags;
    u32 mem_lower, mem_upper; /* KiB */
    u32 boot_device;
    u32 cmdline;
    u32 mods_count, mods_addr;
    u32 syms[4];
    u32 mmap_length, mmap_addr;
    u32 drives_length, drives_addr;
    u32 config_table;
    u32 boot_loader_name;
    u32 apm_table;
    u32 vbe_control_info, vbe_mode_info;
    u16 vbe_mode, vbe_interface_seg, vbe_interface_off, vbe_interface_len;
    u64 framebuffer_addr;
    u32 framebuffer_pitch, framebuffer_width, framebuffer_height;
    u8 framebuffer_bpp, framebuffer_type;
    u8 framebuffer_color[6]; /* RGB: position and size of each */
} __attribute__((packed));

/* The fields before the framebuffer's: what every loader provides room for. */
#define MULTIBOOT_INFO_BASE_SIZE offsetof(struct multiboot_info, framebuffer_addr)

struct multiboot_mod_list {
    u32 mod_start, mod_end, cmdline, pad;
};

struct multiboot_mmap_entry {
    u32 size; /* of what follows, at least 20 */
    u64 addr, len;
    u32 type;
} __attribute__((packed));

/* Multiboot 2, section 3.6. */
enum {
    MULTIBOOT_TAG_TYPE_END = 0,
    MULTIBOOT_TAG_TYPE_CMDLINE = 1,
    MULTIBOOT_TAG_TYPE_BOOT_LOADER_NAME = 2,
    MULTIBOOT_TAG_TYPE_MODULE = 3,
    MULTIBOOT_TAG_TYPE_BASIC_MEMINFO = 4,
    MULTIBOOT_TAG_TYPE_MMAP = 6,
    MULTIBOOT_TAG_TYPE_FRAMEBUFFER = 8,
    MULTIBOOT_TAG_TYPE_EFI32 = 11,
    MULTIBOOT_TAG_TYPE_EFI64 = 12,
    MULTIBOOT_TAG_TYPE_ACPI_OLD = 14,
    MULTIBOOT_TAG_TYPE_ACPI_NEW = 15,
};
#define MULTIBOOT_TAG_ALIGN 8

struct multiboot_tag {
    u32 type, size; /* size without the padding to the next tag */
};

struct multiboot_tag_module {
    struct multiboot_tag tag;
    u32 mod_start, mod_end; /* the command line follows */
};

struct multiboot_tag_basic_meminfo {
    struct multiboot_tag tag;
    u32 mem_lower, mem_upper; /* KiB */
};

struct multiboot_tag_mmap {
    struct multiboot_tag tag;
    u32 entry_size, entry_version; /* the entries follow */
};

struct multiboot2_mmap_entry {
    u64 addr, len;
    u32 type, zero;
};

struct multiboot_tag_framebuffer {
    struct multiboot_tag tag;
    u64 framebuffer_addr;
    u32 framebuffer_pitch, framebuffer_width, framebuffer_height;
    u8 framebuffer_bpp, framebuffer_type;
    u16 reserved;
    u8 framebuffer_color[6];
} __attribute__((packed));

#define MULTIBOOT_FRAMEBUFFER_TYPE_RGB 1

/* Copy a string of at most `size` bytes at a physical address; what is cut is said in the log. */
void boot_copy_string(char *dst, size_t cap, u64 at, u64 size, boot_map_fn map, const char *what);

/* Add the module [start, end), without a command line; NULL, said in the log, when it cannot be. */
struct boot_module *boot_add_module(struct boot_info *out, u32 start, u32 end, boot_map_fn map);

/* Where no map was told the two sizes are one (KiB below 640 KiB, and from 1 MiB on).  EFORMAT,
 * said in the log: nothing was told. */
CHECKED enum status boot_check_memory(struct boot_info *out, u32 mem_lower, u32 mem_upper);

/* A framebuffer's fields, which stand alike in both specifications: from its address to its type;
 * colours (NULL: not told) are looked at for RGB. */
void boot_take_framebuffer(struct boot_framebuffer *fb, const void *fields, const u8 *colours);
