/* SPDX-License-Identifier: MIT
 *
 * What the boot loader tells, whichever it was: memory map, modules, command line, RSDP,
 * framebuffer.  Everything is copied: the loader's own structures are not needed afterwards
 * (module contents stay where they are and are reserved).
 */
#pragma once

#include "arch/x86/memmap.h"

#define BOOT_MAX_MODULES 32
#define BOOT_CMDLINE_MAX 1024 /* bytes with the NUL */

struct boot_module {
    hpa_t at;
    u64 size;
    char cmdline[BOOT_CMDLINE_MAX];
};

/* As the loader has it. */
struct boot_framebuffer {
    u64 address; /* 0: none */
    u32 pitch, width, height;
    u8 bpp;
    u8 type;      /* 0 indexed, 1 RGB, 2 EGA text */
    u8 colour[6]; /* RGB: position and size of red, green and blue */
};

struct boot_info {
    const char *protocol; /* "Multiboot 1", ... */
    char loader[64];
    char cmdline[BOOT_CMDLINE_MAX];
    struct memmap memmap; /* as given */
    unsigned module_count;
    unsigned modules_dropped;
    struct boot_module module[BOOT_MAX_MODULES];
    u64 rsdp;         /* physical; 0: not told */
    u8 rsdp_copy[36]; /* Multiboot 2 passes a copy of the RSDP, not its address */
    unsigned rsdp_copy_size;
    bool efi; /* the loader ran under UEFI */
    struct boot_framebuffer framebuffer;
};

/* How a parser reaches physical memory: NULL when [at, at + size) cannot be read. */
typedef const void *(*boot_map_fn)(u64 at, u64 size);

/*
 * Read what a Multiboot loader left at physical address `at`.  EFORMAT or ETRUNC: unusable, said in
 * the log with the reason; details that are malformed are logged and left out.
 */
CHECKED enum status multiboot1_parse(struct boot_info *out, u64 at, boot_map_fn map);
CHECKED enum status multiboot2_parse(struct boot_info *out, u64 at, boot_map_fn map);

/* Value of `name=value` on a command line, copied to buf; false when absent.  A bare `name` gives
 * an empty value. */
bool boot_option(const char *cmdline, const char *name, char *buf, size_t cap);
