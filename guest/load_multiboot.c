/* SPDX-License-Identifier: MIT
 *
 * The Multiboot Specification 0.6.96: a kernel placed by its ELF program headers or by the address
 * fields of its Multiboot header, an information structure, and entry in flat 32-bit mode.  Strings
 * begin with a file name, as GRUB Legacy and QEMU have it and kernels expect of any loader that
 * does not call itself GRUB 2.
 */
#include "guest/address.h"
#include "guest/load.h"
#include "lib/string.h"

/* Header flags, 3.1.2; what the low 16 bits ask for must be understood. */
#define HEADER_PAGE_ALIGN BIT(0)
#define HEADER_MEMORY     BIT(1)
#define HEADER_VIDEO      BIT(2)
#define HEADER_MUST       0xffffu
#define HEADER_ADDRESSES  BIT(16)
#define VIDEO_TEXT        1 /* mode_type */

#define BOOTLOADER_MAGIC 0x2badb002u /* EAX at entry, 3.2 */
#define LOADER_NAME      "Vitrine"

/* Information structure flags, 3.3. */
#define INFO_MEMORY      BIT(0)
#define INFO_CMDLINE     BIT(2)
#define INFO_MODS        BIT(3)
#define INFO_MMAP        BIT(6)
#define INFO_LOADER_NAME BIT(9)

struct multiboot_module {
    u32 start, end, string, reserved;
};

struct multiboot_mmap {
    u32 size; /* of what follows */
    u64 base, length;
    u32 type;
} __attribute__((packed));

struct multiboot_info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    u32 syms[4];
    u32 mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
    u32 apm_table;
    u32 vbe[4];
};
_Static_assert(sizeof(struct multiboot_info) == 88, "Multiboot 0.6.96, 3.3");

/* Everything handed over, in one piece of guest memory. */
struct handover {
    struct multiboot_info info;
    struct multiboot_module module[VM_MAX_FILES];
    struct multiboot_mmap mmap[ARRAY_SIZE(((struct layout *)0)->e820)];
    char loader_name[sizeof(LOADER_NAME)];
};

static enum status claim_and_copy(struct load *l, u64 to, const u8 *data, u64 size, u64 total,
                                  const char *name)
{
    void *bss;

    if (!range_within(to, total, ADDR_HIGH))
        return load_fail(l->error, STATUS_ERANGE,
                         "%s (%#lx bytes at %#lx) does not lie below 4 GiB, where a Multiboot "
                         "kernel must be: link it lower",
                         name, total, to);
    TRY(layout_claim(&l->layout, to, total, name, l->error));
    TRY(load_write(l, to, data, size));
    return load_clear(l, to + size, total - size, &bss);
}

/* --- Placement by the header's address fields, 3.1.3 ------------------------------------------ */

static enum status load_by_addresses(struct load *l, u64 header, u64 *entry)
{
    u64 header_addr, load_addr, load_end, bss_end, before, from, size, total;

    if (!image_get(&l->image, header + 12, 4, &header_addr) ||
        !image_get(&l->image, header + 16, 4, &load_addr) ||
        !image_get(&l->image, header + 20, 4, &load_end) ||
        !image_get(&l->image, header + 24, 4, &bss_end) ||
        !image_get(&l->image, header + 28, 4, entry))
        return load_fail(l->error, STATUS_ETRUNC,
                         "the image ends inside its Multiboot header at %#lx: truncated file?",
                         header);
    before = header_addr - load_addr;
    if (header_addr < load_addr || before > header)
        return load_fail(l->error, STATUS_EFORMAT,
                         "the Multiboot header lies at %#lx in the file, but header_addr %#lx "
                         "and load_addr %#lx put it elsewhere: relink",
                         header, header_addr, load_addr);
    from = header - before;
    size = load_end ? load_end - load_addr : l->image.size - from;
    total = bss_end ? bss_end - load_addr : size;
    if ((load_end && load_end < load_addr) || (bss_end && bss_end < load_addr) || total < size)
        return load_fail(l->error, STATUS_EFORMAT,
                         "Multiboot addresses run backwards: load_addr %#lx, load_end_addr "
                         "%#lx, bss_end_addr %#lx: relink",
                         load_addr, load_end, bss_end);
    const u8 *data = image_at(&l->image, from, size);
    if (!data)
        return load_fail(l->error, STATUS_ETRUNC,
                         "load_end_addr asks for %#lx bytes from %#lx in a file of %#lx: "
                         "truncated file?",
                         size, from, l->image.size);
    if (*entry < load_addr || *entry - load_addr >= total)
        return load_fail(l->error, STATUS_EFORMAT,
                         "entry_addr %#lx is outside the kernel (%#lx bytes at %#lx): relink",
                         *entry, total, load_addr);
    return claim_and_copy(l, load_addr, data, size, total, "the kernel");
}

/* --- Placement by ELF program headers --------------------------------------------------------- */

enum elf_field {
    ELF_ENTRY,
    ELF_PHOFF,
    ELF_PHENTSIZE,
    ELF_PHNUM,
    PH_TYPE,
    PH_OFFSET,
    PH_VADDR,
    PH_PADDR,
    PH_FILESZ,
    PH_MEMSZ,
    ELF_FIELDS
};

struct elf_format {
    const char *name;
    u8 ph_size; /* of one program header */
    struct {
        u8 offset, width;
    } field[ELF_FIELDS];
};

/* System V gABI 4, "ELF Header" and "Program Header". */
static const struct elf_format elf32 = {
    "ELF32",
    32,
    {{24, 4}, {28, 4}, {42, 2}, {44, 2}, {0, 4}, {4, 4}, {8, 4}, {12, 4}, {16, 4}, {20, 4}}};
static const struct elf_format elf64 = {
    "ELF64",
    56,
    {{24, 8}, {32, 8}, {54, 2}, {56, 2}, {0, 4}, {8, 8}, {16, 8}, {24, 8}, {32, 8}, {40, 8}}};

#define ELF_CLASS   4 /* e_ident[EI_CLASS]: 1 = 32 bits, 2 = 64 bits */
#define ELF_DATA    5 /* e_ident[EI_DATA]: 1 = little-endian */
#define ELF_TYPE    16
#define ET_EXEC     2
#define ELF_MACHINE 18
#define EM_386      3
#define EM_X86_64   62
#define PT_LOAD     1
#define MAX_PHNUM   64

static enum status find_format(struct load *l, const struct elf_format **format)
{
    u64 magic, class, data, type, machine;

    if (!image_get(&l->image, 0, 4, &magic) || magic != 0x464c457f ||
        !image_get(&l->image, ELF_CLASS, 1, &class) || !image_get(&l->image, ELF_DATA, 1, &data) ||
        !image_get(&l->image, ELF_TYPE, 2, &type) ||
        !image_get(&l->image, ELF_MACHINE, 2, &machine))
        return load_fail(l->error, STATUS_EFORMAT,
                         "a Multiboot header without address fields (flag 16) in a file that is "
                         "no ELF: set flag 16 or link as ELF");
    if (data != 1 || (class != 1 && class != 2) || type != ET_EXEC ||
        (machine != EM_386 && machine != EM_X86_64))
        return load_fail(l->error, STATUS_ENOTSUP,
                         "ELF class %lu, data %lu, type %lu, machine %lu: a Multiboot kernel is a "
                         "little-endian executable (type 2, not PIE) for x86: relink",
                         class, data, type, machine);
    *format = class == 1 ? &elf32 : &elf64;
    return STATUS_OK;
}

static bool elf_get(const struct load *l, const struct elf_format *f, u64 base, enum elf_field n,
                    u64 *value)
{
    u64 at;

    *value = 0;
    return !__builtin_add_overflow(base, f->field[n].offset, &at) &&
           image_get(&l->image, at, f->field[n].width, value);
}

/* One program header; *entry becomes physical when its segment holds it. */
static enum status load_segment(struct load *l, const struct elf_format *f, u64 ph, u64 virtual,
                                u64 *entry)
{
    u64 value[ELF_FIELDS];

    for (enum elf_field n = PH_TYPE; n < ELF_FIELDS; n++)
        if (!elf_get(l, f, ph, n, &value[n]))
            return load_fail(l->error, STATUS_ETRUNC,
                             "the program header at %#lx is beyond the file's end: truncated?", ph);
    if (value[PH_TYPE] != PT_LOAD || value[PH_MEMSZ] == 0)
        return STATUS_OK;
    const u8 *data = image_at(&l->image, value[PH_OFFSET], value[PH_FILESZ]);
    if (!data)
        return load_fail(l->error, STATUS_ETRUNC,
                         "an ELF segment of %#lx bytes at %#lx in a file of %#lx: truncated?",
                         value[PH_FILESZ], value[PH_OFFSET], l->image.size);
    if (value[PH_FILESZ] > value[PH_MEMSZ])
        return load_fail(l->error, STATUS_EFORMAT,
                         "an ELF segment with more bytes in the file (%#lx) than in memory "
                         "(%#lx): the program header is damaged",
                         value[PH_FILESZ], value[PH_MEMSZ]);
    /* e_entry is an address of either kind: linkers write the virtual one, objcopy tricks the
     * physical one.  The virtual reading wins, as with GRUB. */
    if (virtual - value[PH_VADDR] < value[PH_MEMSZ])
        *entry = virtual - value[PH_VADDR] + value[PH_PADDR];
    else if (*entry == CONFIG_UNSET && virtual - value[PH_PADDR] < value[PH_MEMSZ])
        *entry = virtual;
    return claim_and_copy(l, value[PH_PADDR], data, value[PH_FILESZ], value[PH_MEMSZ],
                          "an ELF segment");
}

static enum status load_elf(struct load *l, u64 *entry)
{
    const struct elf_format *f = &elf32;
    u64 virtual, phoff, phentsize, phnum;

    TRY(find_format(l, &f));
    if (!elf_get(l, f, 0, ELF_ENTRY, &virtual) || !elf_get(l, f, 0, ELF_PHOFF, &phoff) ||
        !elf_get(l, f, 0, ELF_PHENTSIZE, &phentsize) || !elf_get(l, f, 0, ELF_PHNUM, &phnum))
        return load_fail(l->error, STATUS_ETRUNC, "the file ends inside its %s header: truncated?",
                         f->name);
    if (phentsize < f->ph_size || phnum == 0 || phnum > MAX_PHNUM || phoff > l->image.size)
        return load_fail(l->error, STATUS_EFORMAT,
                         "%lu program headers of %lu bytes at %#lx: expected 1 to %u of %u "
                         "bytes inside the file; the %s header is damaged",
                         phnum, phentsize, phoff, MAX_PHNUM, f->ph_size, f->name);
    *entry = CONFIG_UNSET;
    for (u64 i = 0; i < phnum; i++)
        TRY(load_segment(l, f, phoff + i * phentsize, virtual, entry));
    if (*entry == CONFIG_UNSET)
        return load_fail(l->error, STATUS_EFORMAT,
                         "the ELF entry point %#lx is in none of its segments: relink", virtual);
    return STATUS_OK;
}

/* --- What the kernel is told ------------------------------------------------------------------ */

static enum status add_module(struct load *l, struct handover *h, unsigned n)
{
    const struct image *file = &l->file[n];
    struct layout_want want = {
        .size = file->size, .align = PAGE_SIZE, .from = ADDR_EXTENDED, .below = ADDR_HIGH};
    gpa_t where, string;

    TRY(layout_place(&l->layout, &want, file->name, &where, l->error));
    TRY(load_write(l, where.v, file->data, file->size));
    TRY(load_string(l, file->name, file->cmdline, ADDR_HIGH, "a module's command line", &string));
    h->module[n] =
        (struct multiboot_module){(u32)where.v, (u32)(where.v + file->size), (u32)string.v, 0};
    return STATUS_OK;
}

static void fill_handover(const struct load *l, struct handover *h, u64 at, u64 cmdline)
{
    const struct layout *map = &l->layout;

    for (unsigned i = 0; i < map->e820_count; i++)
        h->mmap[i] =
            (struct multiboot_mmap){sizeof(h->mmap[i]) - sizeof(h->mmap[i].size), map->e820[i].base,
                                    map->e820[i].size, (u32)map->e820[i].type};
    memcpy(h->loader_name, LOADER_NAME, sizeof(LOADER_NAME));
    h->info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER_NAME;
    h->info.mem_lower = (u32)(ADDR_EBDA / KiB);
    h->info.mem_upper = (u32)((map->low_top - ADDR_EXTENDED) / KiB);
    h->info.cmdline = (u32)cmdline;
    h->info.mods_count = l->file_count;
    h->info.mods_addr = (u32)(at + offsetof(struct handover, module));
    h->info.mmap_length = (u32)(map->e820_count * sizeof(h->mmap[0]));
    h->info.mmap_addr = (u32)(at + offsetof(struct handover, mmap));
    h->info.boot_loader_name = (u32)(at + offsetof(struct handover, loader_name));
}

static enum status build_handover(struct load *l, u64 *info)
{
    static const struct layout_want want = {
        .size = sizeof(struct handover), .align = 16, .from = PAGE_SIZE, .below = ADDR_HIGH};
    struct handover h = {0};
    gpa_t where, cmdline = GPA(0);

    for (unsigned i = 0; i < l->file_count; i++)
        TRY(add_module(l, &h, i));
    TRY(load_string(l, l->image.name, l->image.cmdline, ADDR_HIGH, "the command line", &cmdline));
    TRY(layout_place(&l->layout, &want, "the Multiboot information", &where, l->error));
    fill_handover(l, &h, where.v, cmdline.v);
    *info = where.v;
    return load_write(l, where.v, &h, sizeof(h));
}

static enum status check_header(struct load *l, s64 header, u64 *flags)
{
    u64 mode_type;

    if (header < 0 || !image_get(&l->image, (u64)header + 4, 4, flags))
        return load_fail(l->error, STATUS_EFORMAT,
                         "no Multiboot 1 header (magic 0x1badb002 and its checksum, 4-byte "
                         "aligned) in the first 8 KiB: leave kind= out or give another file");
    if (*flags & HEADER_MUST & ~(HEADER_PAGE_ALIGN | HEADER_MEMORY | HEADER_VIDEO))
        return load_fail(l->error, STATUS_ENOTSUP,
                         "the Multiboot header demands unknown features (flags %#lx): only bits "
                         "0 to 2 and 16 can be met",
                         *flags);
    if (*flags & HEADER_VIDEO &&
        (!image_get(&l->image, (u64)header + 32, 4, &mode_type) || mode_type != VIDEO_TEXT))
        return load_fail(l->error, STATUS_ENOTSUP,
                         "the Multiboot header demands a graphics mode, and guests have no "
                         "display: clear its flag 2 or set mode_type to 1 (text)");
    return STATUS_OK;
}

enum status load_multiboot(struct load *l)
{
    s64 header = image_find_multiboot(&l->image);
    u64 flags = 0, entry = 0, info = 0;

    TRY(check_header(l, header, &flags));
    if (l->vm->mode != VM_MODE_AUTO && l->vm->mode != VM_MODE_32)
        TRY(load_fail(l->error, STATUS_EINVAL,
                      "a Multiboot kernel starts in 32-bit mode: leave mode= out"));
    TRY(flags & HEADER_ADDRESSES ? load_by_addresses(l, (u64)header, &entry) : load_elf(l, &entry));
    TRY(build_handover(l, &info));
    TRY(load_enter(l, VM_MODE_32, entry));
    l->state->gpr[RAX] = BOOTLOADER_MAGIC;
    l->state->gpr[RBX] = info;
    return STATUS_OK;
}
