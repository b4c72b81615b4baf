/* SPDX-License-Identifier: MIT
 *
 * From a configuration and its boot modules to a machine that can start.
 */
#include "guest/machine.h"

#include "drivers/model/vblk.h"
#include "guest/acpi.h"
#include "guest/address.h"
#include "guest/load.h"

/* Words of the BIOS data area that kernels read even without a BIOS. */
#define BDA_COM1     0x400
#define BDA_EBDA     0x40e /* segment */
#define BDA_BASE_MEM 0x413 /* KiB */

enum status machine_ram(u64 mem, struct machine_ram *out, struct load_error *e)
{
    struct layout l;

    *out = (struct machine_ram){0};
    TRY(layout_init(&l, mem, e));
    out->range[out->count++].size = l.low_top;
    if (l.high_top > ADDR_HIGH) {
        out->range[out->count].base = ADDR_HIGH;
        out->range[out->count++].size = l.high_top - ADDR_HIGH;
    }
    return STATUS_OK;
}

u64 machine_rom(const struct vm_config *vm, const struct image *modules, unsigned module_count)
{
    u64 size = 0;

    if (vm->kind == IMAGE_FIRMWARE && vm->file[0].module < module_count)
        size = modules[vm->file[0].module].size;
    return size <= FIRMWARE_MAX ? align_down(size, PAGE_SIZE) : 0;
}

struct image machine_disk(const struct vm_config *vm, const struct image *modules,
                          unsigned module_count)
{
    for (unsigned i = 0; i < vm->file_count; i++)
        if (vm->file[i].role == FILE_DISK && vm->file[i].module < module_count)
            return modules[vm->file[i].module];
    return (struct image){0};
}

/* The image a file of the configuration stands for. */
static enum status resolve(struct load *l, const struct vm_file *f, const struct image *modules,
                           unsigned count, struct image *out)
{
    if (f->module >= count)
        return load_fail(l->error, STATUS_ENOENT, "boot module %u is not there: check the loader",
                         f->module + 1);
    *out = modules[f->module];
    out->name = f->name[0] ? f->name : l->vm->name;
    if (!out->data || out->size == 0)
        return load_fail(l->error, STATUS_ETRUNC, "boot module %u (%s) is empty: check the file",
                         f->module + 1, out->name);
    out->cmdline = f->cmdline;
    return STATUS_OK;
}

/* The board has it already (board_config): here it is only refused. */
static enum status check_disk(struct load *l, const struct vm_file *f, const struct image *modules,
                              unsigned count)
{
    struct image disk = {0};

    TRY(resolve(l, f, modules, count, &disk));
    if (disk.size % VBLK_SECTOR != 0)
        return load_fail(l->error, STATUS_EFORMAT,
                         "%s has %lu bytes, and a disk whole sectors of 512: pad it", disk.name,
                         disk.size);
    return STATUS_OK;
}

static enum status resolve_files(struct load *l, const struct image *modules, unsigned count)
{
    for (unsigned i = 0; i < l->vm->file_count; i++) {
        const struct vm_file *f = &l->vm->file[i];

        if (f->role == FILE_GUEST) {
            TRY(resolve(l, f, modules, count, &l->image));
        } else if (f->role == FILE_DISK) {
            TRY(check_disk(l, f, modules, count));
        } else if (f->role != FILE_SYMBOLS) {
            l->role[l->file_count] = f->role;
            TRY(resolve(l, f, modules, count, &l->file[l->file_count++]));
        }
    }
    return STATUS_OK;
}

/* Files that only firmware can make something of. */
static enum status refuse_bios_files(struct load *l)
{
    for (unsigned i = 0; i < l->file_count; i++)
        if (l->role[i] == FILE_FLOPPY || l->role[i] == FILE_KERNEL || l->role[i] == FILE_ROM)
            return load_fail(
                l->error, STATUS_ENOTSUP,
                "floppy=, kernel= and rom= need a BIOS: leave %s out, or give a kind=firmware "
                "guest",
                l->file[i].name);
    return STATUS_OK;
}

/* What firmware leaves in the first megabyte: BIOS data area, ACPI and MP tables. */
static enum status build_firmware(struct load *l)
{
    static const struct {
        u16 at, value;
    } words[] = {
        {BDA_COM1, PORT_UART},
        {BDA_EBDA, ADDR_EBDA >> 4},
        {BDA_BASE_MEM, ADDR_EBDA / KiB},
    };
    struct acpi_tables tables;
    void *area;

    TRY(load_clear(l, ADDR_TABLES, ACPI_AREA_SIZE, &area));
    acpi_build(l->vm->vcpus, area, ADDR_TABLES, &tables);
    l->rsdp = tables.rsdp;
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        TRY(load_write(l, words[i].at, &words[i].value, sizeof(words[i].value)));
    return STATUS_OK;
}

/* What went where, for whoever wants to see through. */
static void log_layout(const struct load *l, enum image_kind kind)
{
    const struct x86_state *s = l->state;

    log_info(l->vm->name, "loaded %s: %s, %lu MiB, starts at %#lx in %s mode", l->image.name,
             image_kind_name(kind), l->vm->mem / MiB, s->seg[SEG_CS].base + s->rip,
             s->efer & EFER_LMA ? "64-bit"
             : s->cr0 & CR0_PE  ? "32-bit"
                                : "real");
    for (unsigned i = 0; i < l->layout.claim_count; i++)
        log_debug(l->vm->name, "%#10lx-%#10lx %s", l->layout.claim[i].base,
                  l->layout.claim[i].base + l->layout.claim[i].size - 1, l->layout.claim[i].name);
}

enum status guest_build(const struct vm_config *vm, const struct image *modules,
                        unsigned module_count, bool long_mode, const struct gmem *mem,
                        struct x86_state *state, struct load_error *e)
{
    static enum status (*const loader[])(struct load *) = {
        [IMAGE_FLAT] = load_flat,
        [IMAGE_MULTIBOOT] = load_multiboot,
        [IMAGE_LINUX] = load_linux,
        [IMAGE_FIRMWARE] = load_firmware,
    };
    struct load l = {.vm = vm,
                     .image = {.cmdline = ""},
                     .mem = mem,
                     .long_mode = long_mode,
                     .state = state,
                     .error = e};
    enum image_kind kind = vm->kind;

    e->text[0] = 0;
    if (vm->refused)
        return load_fail(e, STATUS_EINVAL,
                         "the configuration of %s was refused: see the messages at start-up",
                         vm->name);
    TRY(layout_init(&l.layout, vm->mem, e));
    TRY(resolve_files(&l, modules, module_count));
    if (kind == IMAGE_AUTO)
        TRY(image_detect(&l.image, &kind, e));
    if (kind != IMAGE_FIRMWARE) {
        TRY(refuse_bios_files(&l));
        TRY(build_firmware(&l));
    }
    TRY(loader[kind](&l));
    log_layout(&l, kind);
    return STATUS_OK;
}
