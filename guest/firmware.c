/* SPDX-License-Identifier: MIT
 *
 * fw_cfg's contents, by QEMU's docs/specs/fw_cfg.rst and what SeaBIOS 1.16 reads.
 */
#include "guest/firmware.h"

#include "guest/address.h"
#include "guest/layout.h"
#include "lib/bits.h"
#include "lib/string.h"

#define FILE_TABLES "etc/acpi/tables"
#define FILE_RSDP   "etc/acpi/rsdp"

/* Commands of the table loader, as SeaBIOS' src/fw/romfile_loader.h has them. */
#define SCRIPT_ALLOCATE 1 /* file, alignment, zone */
#define SCRIPT_POINTER  2 /* file, the file pointed to, offset, width: add the latter's address */
#define SCRIPT_CHECKSUM 3 /* file, offset of the sum, start, length */
#define ZONE_HIGH       1
#define ZONE_F_SEGMENT  2

#define TABLE_LENGTH   4 /* offsets in a system description table, ACPI 6.4, 5.2.6 */
#define TABLE_CHECKSUM 9
#define TABLE_ENTRIES  36
#define RSDP_SIZE      36

struct script {
    u8 *next;
};

/* Two names and up to three numbers at the offsets that each command has for them. */
static void put_line(struct script *s, u32 command, const char *file, const char *source,
                     const u32 *number, unsigned count)
{
    u8 *line = s->next;
    u32 at = source ? 4 + 2 * VFWCFG_NAME_SIZE : 4 + VFWCFG_NAME_SIZE;

    memset(line, 0, FIRMWARE_SCRIPT_LINE);
    memcpy(line, &command, 4);
    memcpy(line + 4, file, strlen(file));
    if (source)
        memcpy(line + 4 + VFWCFG_NAME_SIZE, source, strlen(source));
    memcpy(line + at, number, 4ul * count);
    s->next += FIRMWARE_SCRIPT_LINE;
}

static void allocate(struct script *s, const char *file, u32 align, u32 zone)
{
    put_line(s, SCRIPT_ALLOCATE, file, NULL, (const u32[]){align, zone}, 2);
}

/* All pointers go to the file with the tables. */
static void point(struct script *s, const char *file, u64 at, u32 width)
{
    put_line(s, SCRIPT_POINTER, file, FILE_TABLES, (const u32[]){(u32)at, width}, 2);
}

static void sum(struct script *s, const char *file, u64 at, u64 from, u32 size)
{
    put_line(s, SCRIPT_CHECKSUM, file, NULL, (const u32[]){(u32)at, (u32)from, size}, 3);
}

/* The pointers of a table that moves, and its checksum. */
static void move_table(struct script *s, const u8 *area, u64 table, const u8 (*pointer)[2],
                       unsigned count)
{
    u32 length;

    memcpy(&length, area + table + TABLE_LENGTH, 4);
    for (unsigned i = 0; i < count; i++)
        point(s, FILE_TABLES, table + pointer[i][0], pointer[i][1]);
    sum(s, FILE_TABLES, table + TABLE_CHECKSUM, table, length);
}

static enum status add_acpi(struct firmware *f, unsigned vcpus)
{
    static const u8 rsdt[][2] = {{TABLE_ENTRIES, 4}, {TABLE_ENTRIES + 4, 4}};
    static const u8 xsdt[][2] = {{TABLE_ENTRIES, 8}, {TABLE_ENTRIES + 8, 8}};
    static const u8 fadt[][2] = {{36, 4}, {40, 4}, {140, 8}}; /* FACS, DSDT and X_DSDT: 5.2.9 */
    struct script s = {f->script};
    struct acpi_tables t;

    acpi_build(vcpus, f->acpi, 0, &t);
    allocate(&s, FILE_RSDP, 16, ZONE_F_SEGMENT);
    allocate(&s, FILE_TABLES, 64, ZONE_HIGH);
    move_table(&s, f->acpi, t.fadt, fadt, ARRAY_SIZE(fadt));
    move_table(&s, f->acpi, t.rsdt, rsdt, ARRAY_SIZE(rsdt));
    move_table(&s, f->acpi, t.xsdt, xsdt, ARRAY_SIZE(xsdt));
    point(&s, FILE_RSDP, 16, 4); /* 5.2.5.3 */
    point(&s, FILE_RSDP, 24, 8);
    sum(&s, FILE_RSDP, 8, 0, 20);
    sum(&s, FILE_RSDP, 32, 0, RSDP_SIZE);
    TRY(vfwcfg_add_file(&f->fwcfg, FILE_RSDP, f->acpi + t.rsdp, 0, RSDP_SIZE));
    TRY(vfwcfg_add_file(&f->fwcfg, FILE_TABLES, f->acpi, 0, (u32)t.mp));
    return vfwcfg_add_file(&f->fwcfg, "etc/table-loader", f->script, 0, (u32)(s.next - f->script));
}

/* RAM only, 20 bytes an entry: what is reserved the firmware knows best. */
static enum status add_e820(struct firmware *f, const struct layout *l)
{
    const u64 range[][2] = {{0, l->low_top}, {ADDR_HIGH, l->high_top - ADDR_HIGH}};
    u32 size = 0, type = E820_RAM;

    for (unsigned i = 0; i < ARRAY_SIZE(range) && range[i][1] != 0; i++, size += 20) {
        memcpy(f->e820 + size, range[i], 16);
        memcpy(f->e820 + size + 16, &type, 4);
    }
    return vfwcfg_add_file(&f->fwcfg, "etc/e820", f->e820, 0, size);
}

static enum status add_numbers(struct vfwcfg *c, const struct vm_config *vm)
{
    const struct {
        u16 key;
        u32 size;
        u64 value;
    } numbers[] = {
        {VFWCFG_RAM_SIZE, 8, vm->mem},
        {VFWCFG_CPUS, 2, vm->vcpus},
        {VFWCFG_MAX_CPUS, 2, vm->vcpus},
        {VFWCFG_BOOT_MENU, 2, 0}, /* etc/show-boot-menu: nobody is asked, nobody waited for */
    };
    TRY(vfwcfg_add_file(c, "etc/sercon-port", NULL, PORT_UART, 2));
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
        TRY(vfwcfg_add(c, numbers[i].key, NULL, numbers[i].value, numbers[i].size));
    return STATUS_OK;
}

/* A file that came as a module, under a folder of fw_cfg's; the boot order begins with an option
 * ROM. */
static enum status add_module(struct firmware *f, const struct vm_file *file,
                              const struct image *modules)
{
    const struct image *m = &modules[file->module];
    const char *name = file->name[0] ? file->name : "unnamed";
    bool rom = file->role == FILE_ROM;
    char path[VFWCFG_NAME_SIZE];

    format_buf(path, sizeof(path), "%s/%s", rom ? "genroms" : "floppyimg", name);
    TRY(vfwcfg_add_file(&f->fwcfg, path, m->data, 0, (u32)m->size));
    if (!rom)
        return STATUS_OK;
    format_buf(f->boot_order, sizeof(f->boot_order), "/rom@%s", path);
    return vfwcfg_add_file(&f->fwcfg, "bootorder", f->boot_order, 0,
                           (u32)strlen(f->boot_order) + 1);
}

static enum status add_modules(struct firmware *f, const struct vm_config *vm,
                               const struct image *modules, struct load_error *e)
{
    struct image kernel = {0};
    const struct image *initrd = NULL;

    for (unsigned i = 0; i < vm->file_count; i++) {
        const struct vm_file *file = &vm->file[i];

        if (file->role == FILE_FLOPPY || file->role == FILE_ROM) {
            TRY(add_module(f, file, modules));
        } else if (file->role == FILE_INITRD) {
            initrd = &modules[file->module];
        } else if (file->role == FILE_KERNEL) {
            kernel = modules[file->module];
            kernel.cmdline = file->cmdline;
        }
    }
    return kernel.data ? firmware_add_linux(f, vm->mem, &kernel, initrd, e) : STATUS_OK;
}

enum status firmware_init(struct firmware *f, struct bus *b, const char *guest,
                          const struct gmem *mem)
{
    TRY(vfwcfg_init(&f->fwcfg, b, mem));
    return vdbgcon_init(&f->debug, b, guest);
}

enum status firmware_furnish(struct firmware *f, const struct vm_config *vm,
                             const struct image *modules, struct load_error *e)
{
    struct layout l;

    TRY(layout_init(&l, vm->mem, e));
    TRY(add_e820(f, &l));
    TRY(add_numbers(&f->fwcfg, vm));
    TRY(add_acpi(f, vm->vcpus));
    return add_modules(f, vm, modules, e);
}
