/* SPDX-License-Identifier: MIT
 *
 * The Linux/x86 boot protocol (Documentation/arch/x86/boot.rst and zero-page.rst): a bzImage's
 * protected-mode part at its preferred address, boot_params ("zero page") with the E820 map, the
 * command line, the initial RAM disk and the ACPI root pointer, and entry by the 64-bit protocol
 * or, for kernels and virtual CPUs without 64-bit mode, the 32-bit one.  The real-mode part is not
 * run: there is no BIOS for it.
 */
#include "guest/address.h"
#include "guest/load.h"
#include "lib/string.h"

#define SECTOR       512u
#define ENTRY64      0x200u /* of the loaded kernel */
#define BZIMAGE_ADDR 0x100000ull

#define LOADED_HIGH   BIT(0) /* loadflags */
#define XLF_KERNEL_64 BIT(0) /* xloadflags: there is an entry point at ENTRY64 */

/* Fields of the setup header: offset in the file and in boot_params, width, first version.  They
 * are read in this order: the version decides which others there are. */
enum field {
    VERSION,
    SETUP_SECTS,
    SYSSIZE,
    BOOT_FLAG,
    HEADER_MAGIC,
    LOADFLAGS,
    CODE32_START,
    INITRD_ADDR_MAX,
    KERNEL_ALIGNMENT,
    RELOCATABLE,
    XLOADFLAGS,
    CMDLINE_SIZE,
    PREF_ADDRESS,
    INIT_SIZE,
    FIELDS
};

static const struct {
    u16 offset, width, since;
    u64 before; /* value in older versions */
} fields[FIELDS] = {
    [SETUP_SECTS] = {0x1f1, 1, 0, 0},
    [SYSSIZE] = {0x1f4, 4, 0x204, 0},
    [BOOT_FLAG] = {0x1fe, 2, 0, 0},
    [HEADER_MAGIC] = {0x202, 4, 0, 0},
    [VERSION] = {0x206, 2, 0, 0},
    [LOADFLAGS] = {0x211, 1, 0, 0},
    [CODE32_START] = {0x214, 4, 0, 0},
    [INITRD_ADDR_MAX] = {0x22c, 4, 0x203, 0x37ffffff},
    [KERNEL_ALIGNMENT] = {0x230, 4, 0x205, 0},
    [RELOCATABLE] = {0x234, 1, 0x205, 0},
    [XLOADFLAGS] = {0x236, 2, 0x20c, 0},
    [CMDLINE_SIZE] = {0x238, 4, 0x206, 255},
    [PREF_ADDRESS] = {0x258, 8, 0x20a, BZIMAGE_ADDR},
    [INIT_SIZE] = {0x260, 4, 0x20a, 0},
};

#define HEADER_START 0x1f1u
#define HEADER_JUMP  0x201u /* its byte + 0x202 is the header's end */
#define HEADER_END   0x202u
#define HEADER_MAX   0x290u /* boot_params has something else from here on */
#define VERSION_MIN  0x202u /* cmd_line_ptr */
#define NORMAL_VGA   0xffffu
#define LOADER_OTHER 0xffu /* type_of_loader: no number assigned */
#define MAGIC_HDRS   0x53726448u
#define BOOT_FLAG_55 0xaa55u

/* Where things go in boot_params, zero-page.rst. */
enum zero_page {
    ZP_EXT_MEM_K = 0x002,
    ZP_ACPI_RSDP = 0x070,
    ZP_ALT_MEM_K = 0x1e0,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_VID_MODE = 0x1fa,
    ZP_TYPE_OF_LOADER = 0x210,
    ZP_CODE32_START = 0x214,
    ZP_RAMDISK_IMAGE = 0x218,
    ZP_RAMDISK_SIZE = 0x21c,
    ZP_CMD_LINE_PTR = 0x228,
    ZP_E820_TABLE = 0x2d0,
    ZP_SIZE = 0x1000
};

struct kernel {
    u64 field[FIELDS];
    u64 header_end; /* in the file */
    u64 from, size; /* the protected-mode part in the file */
    u64 load;       /* ... and in memory */
    bool entry64;
};

/* --- Reading the header ----------------------------------------------------------------------- */

static enum status read_header(struct load *l, struct kernel *k)
{
    u64 jump = 0;

    if (!image_get(&l->image, HEADER_JUMP, 1, &jump) || !image_at(&l->image, 0, HEADER_END + jump))
        return load_fail(l->error, STATUS_ETRUNC,
                         "the file (%#lx bytes) ends inside a Linux setup header: truncated?",
                         l->image.size);
    k->header_end = HEADER_END + jump;
    for (enum field f = 0; f < FIELDS; f++) {
        u64 end = (u64)fields[f].offset + fields[f].width;
        bool there = k->field[VERSION] >= fields[f].since && end <= k->header_end;

        k->field[f] = fields[f].before;
        if (there && !image_get(&l->image, fields[f].offset, fields[f].width, &k->field[f]))
            return load_fail(l->error, STATUS_ETRUNC, "the Linux setup header is cut short");
    }
    return STATUS_OK;
}

static enum status check_header(struct load *l, const struct kernel *k)
{
    const u64 *f = k->field;

    if (f[BOOT_FLAG] != BOOT_FLAG_55 || f[HEADER_MAGIC] != MAGIC_HDRS)
        return load_fail(l->error, STATUS_EFORMAT,
                         "no Linux kernel: boot flag %#lx (not 0xaa55) at 0x1fe, magic %#lx (not "
                         "\"HdrS\") at 0x202: give a bzImage, or leave kind= out",
                         f[BOOT_FLAG], f[HEADER_MAGIC]);
    if (f[VERSION] < VERSION_MIN || !(f[LOADFLAGS] & LOADED_HIGH))
        return load_fail(l->error, STATUS_ENOTSUP,
                         "boot protocol %lu.%02lu, loadflags %#lx: too old; a bzImage of protocol "
                         "2.02 or newer is needed (Linux 2.4)",
                         f[VERSION] >> 8, f[VERSION] & 0xff, f[LOADFLAGS]);
    if (f[RELOCATABLE] &&
        (f[KERNEL_ALIGNMENT] < PAGE_SIZE || f[KERNEL_ALIGNMENT] & (f[KERNEL_ALIGNMENT] - 1)))
        return load_fail(l->error, STATUS_EFORMAT,
                         "kernel_alignment %#lx is no power of two of at least a page: the setup "
                         "header is damaged",
                         f[KERNEL_ALIGNMENT]);
    return STATUS_OK;
}

/* Where the protected-mode part is in the file. */
static enum status find_kernel(struct load *l, struct kernel *k)
{
    u64 sectors = k->field[SETUP_SECTS] ? k->field[SETUP_SECTS] : 4;
    u64 size = k->field[SYSSIZE] * 16, there;

    k->from = (sectors + 1) * SECTOR;
    if (k->from >= l->image.size)
        return load_fail(l->error, STATUS_ETRUNC,
                         "the file (%#lx bytes) ends before its kernel at %#lx: truncated?",
                         l->image.size, k->from);
    there = l->image.size - k->from;
    if (size > there + 15) /* syssize rounds up to 16 bytes */
        return load_fail(l->error, STATUS_ETRUNC,
                         "the setup header promises a kernel of %#lx bytes, the file has %#lx: "
                         "truncated?",
                         size, there);
    k->size = size && size < there ? size : there;
    return STATUS_OK;
}

/* Which entry point, by kernel, configuration and virtual CPU. */
static enum status choose_entry(struct load *l, struct kernel *k)
{
    bool has64 = k->field[XLOADFLAGS] & XLF_KERNEL_64 && k->size > ENTRY64;
    enum vm_mode mode = l->vm->mode;

    if (mode == VM_MODE_16)
        return load_fail(l->error, STATUS_ENOTSUP,
                         "mode=16 needs a BIOS under the kernel: say mode=32, mode=64 or leave it "
                         "out");
    if (mode == VM_MODE_64 && !has64)
        return load_fail(l->error, STATUS_ENOTSUP,
                         "mode=64, but this kernel has no 64-bit entry: leave mode= out");
    if (!l->long_mode && (has64 || mode == VM_MODE_64))
        return load_fail(l->error, STATUS_ENOTSUP,
                         "a 64-bit kernel, but this virtual CPU has no 64-bit mode: give a 32-bit "
                         "kernel");
    k->entry64 = has64 && mode != VM_MODE_32;
    return STATUS_OK;
}

/* --- Placing the pieces ----------------------------------------------------------------------- */

/* At the preferred address; a relocatable kernel also wherever there is room. */
static enum status place_kernel(struct load *l, struct kernel *k)
{
    static const char name[] = "the kernel";
    u64 room = k->field[INIT_SIZE] > k->size ? k->field[INIT_SIZE] : k->size;
    struct layout_want want = {.size = room, .below = ADDR_HIGH};
    gpa_t where;

    if (!k->field[RELOCATABLE]) {
        k->load = BZIMAGE_ADDR;
        return layout_claim(&l->layout, k->load, room, name, l->error);
    }
    want.align = k->field[KERNEL_ALIGNMENT];
    want.from = k->field[PREF_ADDRESS] < ADDR_HIGH ? k->field[PREF_ADDRESS] : BZIMAGE_ADDR;
    if (layout_place(&l->layout, &want, name, &where, l->error) != STATUS_OK) {

        want.from = BZIMAGE_ADDR;
        TRY(layout_place(&l->layout, &want, name, &where, l->error));
    }
    k->load = where.v;
    return STATUS_OK;
}

/* Files of up to VM_MAX_FILES archives, each on a 4-byte boundary, as the kernel's unpacker and
 * boot loaders have agreed; as high as the kernel can reach. */
static enum status place_initrd(struct load *l, const struct kernel *k, gpa_t *where, u64 *size)
{
    struct layout_want want = {.align = PAGE_SIZE,
                               .from = ADDR_EXTENDED,
                               .below = k->field[INITRD_ADDR_MAX] + 1,
                               .highest = true};
    void *host;

    *where = GPA(0);
    for (unsigned i = 0; i < l->file_count; i++) {
        if (l->role[i] == FILE_MODULE)
            return load_fail(l->error, STATUS_ENOTSUP,
                             "Linux takes no Multiboot modules: say initrd=%s instead of module=%s",
                             l->vm->name, l->vm->name);
        want.size = align_up(want.size, 4) + l->file[i].size;
    }
    *size = want.size;
    if (want.size == 0)
        return STATUS_OK;
    TRY(layout_place(&l->layout, &want, "the initial RAM disk", where, l->error));
    TRY(load_clear(l, where->v, want.size, &host));
    for (unsigned i = 0; i < l->file_count; i++) {
        memcpy(host, l->file[i].data, l->file[i].size);
        host = (u8 *)host + align_up(l->file[i].size, 4);
    }
    return STATUS_OK;
}

static enum status place_cmdline(struct load *l, const struct kernel *k, gpa_t *where)
{
    u64 length = strlen(l->image.cmdline);

    if (length > k->field[CMDLINE_SIZE])
        return load_fail(l->error, STATUS_ERANGE,
                         "a command line of %lu characters; this kernel takes %lu: shorten it",
                         length, k->field[CMDLINE_SIZE]);
    return load_string(l, NULL, l->image.cmdline, ADDR_HIGH, "the command line", where);
}

/* --- The zero page ---------------------------------------------------------------------------- */

static void put(u8 *zero, enum zero_page at, unsigned width, u64 value)
{
    memcpy(zero + at, &value, width);
}

static void fill_zero_page(const struct load *l, const struct kernel *k, u8 *zero)
{
    const struct layout *map = &l->layout;
    u64 extended = (map->low_top - ADDR_EXTENDED) / KiB;
    u64 end = k->header_end < HEADER_MAX ? k->header_end : HEADER_MAX;

    memcpy(zero + HEADER_START, l->image.data + HEADER_START, end - HEADER_START);
    put(zero, ZP_EXT_MEM_K, 2, extended < 0xffff ? extended : 0xffff);
    put(zero, ZP_ALT_MEM_K, 4, extended);
    put(zero, ZP_ACPI_RSDP, 8, l->rsdp);
    put(zero, ZP_VID_MODE, 2, NORMAL_VGA);
    put(zero, ZP_TYPE_OF_LOADER, 1, LOADER_OTHER);
    put(zero, ZP_CODE32_START, 4, k->load);
    put(zero, ZP_E820_ENTRIES, 1, map->e820_count);
    for (unsigned i = 0; i < map->e820_count; i++) {
        enum zero_page at = ZP_E820_TABLE + 20 * i;

        put(zero, at, 8, map->e820[i].base);
        put(zero, at + 8, 8, map->e820[i].size);
        put(zero, at + 16, 4, map->e820[i].type);
    }
}

static enum status place_zero_page(struct load *l, const struct kernel *k, u64 *where)
{
    static const struct layout_want want = {
        .size = ZP_SIZE, .align = PAGE_SIZE, .from = PAGE_SIZE, .below = ADDR_HIGH};
    gpa_t page, initrd, cmdline = GPA(0);
    u64 initrd_size = 0;
    void *zero;

    TRY(layout_place(&l->layout, &want, "the zero page", &page, l->error));
    TRY(place_cmdline(l, k, &cmdline));
    TRY(place_initrd(l, k, &initrd, &initrd_size));
    TRY(load_clear(l, page.v, ZP_SIZE, &zero));
    fill_zero_page(l, k, zero);
    put(zero, ZP_CMD_LINE_PTR, 4, cmdline.v);
    put(zero, ZP_RAMDISK_IMAGE, 4, initrd.v);
    put(zero, ZP_RAMDISK_SIZE, 4, initrd_size);
    *where = page.v;
    return STATUS_OK;
}

static enum status find_entry(struct load *l, const struct kernel *k, u64 *entry)
{
    *entry = k->load + ENTRY64;
    if (k->entry64)
        return STATUS_OK;
    *entry = k->field[CODE32_START] - BZIMAGE_ADDR;
    if (*entry >= k->size)
        return load_fail(l->error, STATUS_ENOTSUP,
                         "the 32-bit entry point %#lx is outside the kernel: this image needs a "
                         "BIOS and its real-mode entry, which a guest here does not have",
                         k->field[CODE32_START]);
    *entry += k->load;
    return STATUS_OK;
}

enum status load_linux(struct load *l)
{
    struct kernel k = {0};
    u64 zero_page = 0, entry = 0;

    TRY(read_header(l, &k));
    TRY(check_header(l, &k));
    TRY(find_kernel(l, &k));
    TRY(choose_entry(l, &k));
    TRY(place_kernel(l, &k));
    TRY(find_entry(l, &k, &entry));
    TRY(load_write(l, k.load, l->image.data + k.from, k.size));
    TRY(place_zero_page(l, &k, &zero_page));
    TRY(load_enter(l, k.entry64 ? VM_MODE_64 : VM_MODE_32, entry));
    l->state->gpr[RSI] = zero_page;
    return STATUS_OK;
}
