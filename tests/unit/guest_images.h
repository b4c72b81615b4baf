/* SPDX-License-Identifier: MIT
 *
 * Small guest images put together with the structures of other people's headers (elf.h of the C
 * library, asm/bootparam.h of the kernel), for the loaders' tests.
 */
#ifndef TESTS_UNIT_GUEST_IMAGES_H
#define TESTS_UNIT_GUEST_IMAGES_H

#include <asm/bootparam.h>
#include <elf.h>
#include <string.h>

#include "lib/types.h"

static inline void put32(u8 *p, u32 value) { memcpy(p, &value, 4); }

/* --- Multiboot -------------------------------------------------------------------------------- */

#define FILE_SIZE 0x3000
#define HEADER_AT 0x1000 /* of the Multiboot header in the file */

/* 3.1.1: offsets from the header. */
enum {
    MAGIC,
    FLAGS = 4,
    CHECKSUM = 8,
    HEADER_ADDR = 12,
    LOAD_ADDR = 16,
    LOAD_END = 20,
    BSS_END = 24,
    ENTRY = 28,
    MODE_TYPE = 32
};

struct file {
    u8 bytes[FILE_SIZE];
    size_t size;
};

static inline void set_header(struct file *f, u32 at, u32 flags)
{
    put32(f->bytes + at + MAGIC, 0x1badb002);
    put32(f->bytes + at + FLAGS, flags);
    put32(f->bytes + at + CHECKSUM, 0u - 0x1badb002 - flags);
}

static inline void fill(struct file *f)
{
    f->size = FILE_SIZE;
    for (unsigned i = 0; i < FILE_SIZE; i++)
        f->bytes[i] = (u8)(i * 7 + (i >> 8));
}

/* Two segments: 0x1000 bytes of code at 1 MiB, then 0x100 bytes and 0x800 of bss at 0x180000;
 * linked to run 3 GiB above. */
#define VIRTUAL 0xc0000000u
static inline struct file *elf32(void)
{
    static struct file f;
    Elf32_Ehdr *e = (Elf32_Ehdr *)f.bytes;
    Elf32_Phdr *p = (Elf32_Phdr *)(f.bytes + sizeof(*e));

    fill(&f);
    *e = (Elf32_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
                      .e_type = ET_EXEC,
                      .e_machine = EM_386,
                      .e_version = EV_CURRENT,
                      .e_entry = VIRTUAL + 0x100020,
                      .e_phoff = sizeof(*e),
                      .e_ehsize = sizeof(*e),
                      .e_phentsize = sizeof(*p),
                      .e_phnum = 3};
    p[0] = (Elf32_Phdr){PT_NOTE, 0xfffffff0, 0, 0, 0xffffffff, 0xffffffff, 0, 0};
    p[1] = (Elf32_Phdr){PT_LOAD, 0x1000, VIRTUAL + 0x100000, 0x100000, 0x1000, 0x1000, PF_X, 0};
    p[2] = (Elf32_Phdr){PT_LOAD, 0x2100, VIRTUAL + 0x180000, 0x180000, 0x100, 0x900, PF_W, 0};
    set_header(&f, HEADER_AT, 3);
    return &f;
}

static inline struct file *elf64(void)
{
    static struct file f;
    Elf64_Ehdr *e = (Elf64_Ehdr *)f.bytes;
    Elf64_Phdr *p = (Elf64_Phdr *)(f.bytes + sizeof(*e));

    fill(&f);
    *e = (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                      .e_type = ET_EXEC,
                      .e_machine = EM_X86_64,
                      .e_version = EV_CURRENT,
                      .e_entry = 0x100020,
                      .e_phoff = sizeof(*e),
                      .e_ehsize = sizeof(*e),
                      .e_phentsize = sizeof(*p),
                      .e_phnum = 1};
    p[0] = (Elf64_Phdr){PT_LOAD, PF_X, 0x1000, 0xffffffff80100000, 0x100000, 0x1000, 0x2000, 0};
    set_header(&f, HEADER_AT, 0);
    return &f;
}

/* Placement by the header itself: load_addr 0x200000 is file offset 0x800. */
static inline struct file *flagged(void)
{
    static struct file f;
    u8 *h = f.bytes + HEADER_AT;

    fill(&f);
    set_header(&f, HEADER_AT, 0x10000);
    put32(h + HEADER_ADDR, 0x200800);
    put32(h + LOAD_ADDR, 0x200000);
    put32(h + LOAD_END, 0x201000);
    put32(h + BSS_END, 0x203000);
    put32(h + ENTRY, 0x200804);
    return &f;
}

/* --- Linux ------------------------------------------------------------------------------------ */

#define SECTORS     2u
#define KERNEL_AT   ((SECTORS + 1) * 512)
#define KERNEL_SIZE 0x5008u /* no multiple of 16: syssize rounds up */

static struct {
    u8 bytes[KERNEL_AT + KERNEL_SIZE];
    size_t size;
} bzimage;

static inline struct setup_header *bzimage_header(void)
{
    return (struct setup_header *)(bzimage.bytes + 0x1f1);
}

/* A relocatable 64-bit kernel of protocol 2.15, as today's are. */
static inline struct setup_header *bzimage_kernel(void)
{
    struct setup_header *h = bzimage_header();

    for (unsigned i = 0; i < sizeof(bzimage.bytes); i++)
        bzimage.bytes[i] = (u8)(i * 5 + (i >> 8));
    bzimage.size = sizeof(bzimage.bytes);
    *h = (struct setup_header){.setup_sects = SECTORS,
                               .syssize = (KERNEL_SIZE + 15) / 16,
                               .boot_flag = 0xaa55,
                               .jump = 0x6aeb, /* jmp to 0x26c: the header's end */
                               .header = 0x53726448,
                               .version = 0x20f,
                               .loadflags = LOADED_HIGH,
                               .code32_start = 0x100000,
                               .initrd_addr_max = 0x7fffffff,
                               .kernel_alignment = 0x200000,
                               .relocatable_kernel = 1,
                               .min_alignment = 21,
                               .xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G,
                               .cmdline_size = 2047,
                               .pref_address = 0x1000000,
                               .init_size = 0x300000};
    return h;
}

#endif
