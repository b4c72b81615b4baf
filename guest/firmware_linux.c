/* SPDX-License-Identifier: MIT
 *
 * A Linux kernel for a firmware guest: its pieces under fw_cfg's keys, from where an option ROM
 * (QEMU's linuxboot_dma.bin) loads them by the 16-bit boot protocol (Linux x86 boot protocol,
 * "the real-mode kernel header") and jumps to the kernel's real-mode entry.
 */
#include "guest/address.h"
#include "guest/firmware.h"
#include "guest/layout.h"
#include "lib/bits.h"
#include "lib/string.h"

/* fw_cfg's keys. */
enum key {
    KERNEL_ADDR = 0x07,
    KERNEL_SIZE = 0x08,
    INITRD_ADDR = 0x0a,
    INITRD_SIZE = 0x0b,
    KERNEL_DATA = 0x11,
    INITRD_DATA = 0x12,
    CMDLINE_ADDR = 0x13,
    CMDLINE_SIZE = 0x14,
    CMDLINE_DATA = 0x15,
    SETUP_ADDR = 0x16,
    SETUP_SIZE = 0x17,
    SETUP_DATA = 0x18,
};

/* Where the boot protocol's example memory layout has them. */
#define SETUP_AT   0x10000u
#define CMDLINE_AT 0x20000u
#define KERNEL_AT  0x100000u

/* The setup header. */
#define SETUP_SECTS    0x1f1u
#define HEADER_MAGIC   0x202u
#define VERSION        0x206u
#define TYPE_OF_LOADER 0x210u
#define LOADFLAGS      0x211u
#define RAMDISK_IMAGE  0x218u
#define RAMDISK_SIZE   0x21cu
#define HEAP_END_PTR   0x224u
#define CMD_LINE_PTR   0x228u
#define INITRD_MAX     0x22cu
#define MAGIC_HDRS     0x53726448u
#define VERSION_MIN    0x203u /* initrd_addr_max */
#define LOADED_HIGH    BIT(0)
#define CAN_USE_HEAP   BIT(7)
#define LOADER_QEMU    0xb0u
#define HEAP_END_BIAS  0x200u
#define SECTOR         512u

/* What firmware keeps at the end of memory for its tables. */
#define FIRMWARE_TOP (1 * MiB)

/* Copy the real-mode part, and say how long it is. */
static enum status take_setup(struct firmware *f, const struct image *kernel, u64 *size,
                              struct load_error *e)
{
    u64 magic, version, flags, sectors;

    if (!image_get(kernel, HEADER_MAGIC, 4, &magic) || !image_get(kernel, VERSION, 2, &version) ||
        !image_get(kernel, LOADFLAGS, 1, &flags) || !image_get(kernel, SETUP_SECTS, 1, &sectors) ||
        magic != MAGIC_HDRS || version < VERSION_MIN || !(flags & LOADED_HIGH))
        return load_fail(e, STATUS_EFORMAT,
                         "the kernel is no bzImage of boot protocol 2.03 or newer: give vmlinuz");
    *size = ((sectors ? sectors : 4) + 1) * SECTOR;
    if (*size > sizeof(f->setup) || *size >= kernel->size)
        return load_fail(e, STATUS_ETRUNC,
                         "the kernel's real-mode part has %#lx bytes, the file %#lx: truncated?",
                         *size, kernel->size);
    memcpy(f->setup, kernel->data, *size);
    return STATUS_OK;
}

/* As high as the kernel can reach, below what the firmware keeps at the end of memory. */
static enum status place_initrd(const struct firmware *f, u64 mem, u64 kernel_size, u64 size,
                                u64 *at, struct load_error *e)
{
    u64 low_top = mem < ADDR_LOW_MAX ? mem : ADDR_LOW_MAX, top = 0;

    memcpy(&top, f->setup + INITRD_MAX, 4);
    top = top + 1 < low_top - FIRMWARE_TOP ? top + 1 : low_top - FIRMWARE_TOP;
    if (!range_within(KERNEL_AT + kernel_size, size, align_down(top, PAGE_SIZE)))
        return load_fail(e, STATUS_ENOMEM,
                         "no room for kernel and initial RAM disk below %#lx: give the guest more "
                         "memory (mem=)",
                         top);
    *at = align_down(top - size, PAGE_SIZE);
    return STATUS_OK;
}

static void fill_header(struct firmware *f, u64 initrd_at, u64 initrd_size)
{
    const struct {
        u16 at, width;
        u64 value;
    } fields[] = {
        {TYPE_OF_LOADER, 1, LOADER_QEMU},
        {LOADFLAGS, 1, f->setup[LOADFLAGS] | CAN_USE_HEAP},
        {RAMDISK_IMAGE, 4, initrd_size ? initrd_at : 0},
        {RAMDISK_SIZE, 4, initrd_size},
        {HEAP_END_PTR, 2, CMDLINE_AT - SETUP_AT - HEAP_END_BIAS},
        {CMD_LINE_PTR, 4, CMDLINE_AT},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
        memcpy(f->setup + fields[i].at, &fields[i].value, fields[i].width);
}

enum status firmware_add_linux(struct firmware *f, u64 mem, const struct image *kernel,
                               const struct image *initrd, struct load_error *e)
{
    u64 cmdline = strlen(kernel->cmdline) + 1, initrd_size = initrd ? initrd->size : 0;
    u64 setup = 0, initrd_at = 0;

    TRY(take_setup(f, kernel, &setup, e));
    TRY(place_initrd(f, mem, kernel->size, initrd_size, &initrd_at, e));
    fill_header(f, initrd_at, initrd_size);
    const struct {
        enum key where, size, what;
        u64 at, bytes;
        const void *data;
    } pieces[] = {
        {SETUP_ADDR, SETUP_SIZE, SETUP_DATA, SETUP_AT, setup, f->setup},
        {KERNEL_ADDR, KERNEL_SIZE, KERNEL_DATA, KERNEL_AT, kernel->size - setup,
         kernel->data + setup},
        {CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA, CMDLINE_AT, cmdline, kernel->cmdline},
        {INITRD_ADDR, INITRD_SIZE, INITRD_DATA, initrd_at, initrd_size,
         initrd ? initrd->data : f->setup},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        TRY(vfwcfg_add(&f->fwcfg, pieces[i].where, NULL, pieces[i].at, 4));
        TRY(vfwcfg_add(&f->fwcfg, pieces[i].size, NULL, pieces[i].bytes, 4));
        TRY(vfwcfg_add(&f->fwcfg, pieces[i].what, pieces[i].data, 0, (u32)pieces[i].bytes));
    }
    return STATUS_OK;
}
