/* SPDX-License-Identifier: MIT
 *
 * Firmware guests: where the image goes, what is refused, and fw_cfg's contents, with the table
 * loader's script carried out as SeaBIOS does it and the tables checked by ACPI 6.4.
 */
#include "drivers/bus.h"
#include "guest/board.h"
#include "guest_vm.h"

static u8 rom[256 * KiB];
static u8 floppy[1440 * KiB];
static struct bus bus;
static struct firmware firmware;

/* A machine with its ROM region, as its owner would make it. */
static enum status build(struct vm *v, const char *line, u64 size, const char *floppy_line,
                         u64 floppy_size)
{
    static u8 rom_memory[256 * KiB];
    u64 want;

    for (unsigned i = 0; i < sizeof(rom); i++)
        rom[i] = (u8)(i >> 8 ^ i);
    memset(v, 0, sizeof(*v));
    vm_add(v, line, rom, size);
    if (floppy_line)
        vm_add(v, floppy_line, floppy, floppy_size);
    config_parse(&v->config, "", v->module, v->count);
    want = machine_rom(&v->config.vm[0], v->module, v->count);
    vm_alloc(v, v->config.vm[0].mem);
    if (want != 0) {
        assert_true(want <= sizeof(rom_memory));
        memset(rom_memory, 0, sizeof(rom_memory));
        assert_int_equal(gmem_add(&v->mem, GPA(4 * GiB - want), want, rom_memory, GMEM_ROM),
                         STATUS_OK);
    }
    return vm_build(v);
}

static void refuse(const char *line, u64 size, const char *floppy_line, u64 floppy_size,
                   const char *words)
{
    struct vm v;

    assert_int_not_equal(build(&v, line, size, floppy_line, floppy_size), STATUS_OK);
    if (!strstr(v.error.text, words))
        fail_msg("refused with \"%s\", not with \"%s\"", v.error.text, words);
    vm_free(&v);
}

static void test_placement(void **)
{
    struct vm v;

    assert_int_equal(build(&v, "guest=a kind=firmware mem=2M", 256 * KiB, NULL, 0), STATUS_OK);
    assert_memory_equal(vm_at(&v, 4 * GiB - 256 * KiB, 256 * KiB), rom, 256 * KiB);
    assert_memory_equal(vm_at(&v, 0xe0000, 128 * KiB), rom + 128 * KiB, 128 * KiB);
    assert_int_equal(vm_get(&v, 0xdffff, 1), 0xa5);
    assert_int_equal(vm_get(&v, 0x400, 2), 0xa5a5); /* its data area is the firmware's to fill */
    vm_free(&v);
    assert_int_equal(build(&v, "guest=a kind=firmware mem=2M", 64 * KiB, NULL, 0), STATUS_OK);
    assert_memory_equal(vm_at(&v, 0xf0000, 64 * KiB), rom, 64 * KiB);
    assert_int_equal(vm_get(&v, 0xeffff, 1), 0xa5);
    vm_free(&v);
}

/* SDM vol. 3A, 9.1.4: the first instruction is fetched from FFFFFFF0H, in real mode. */
static void test_reset_vector(void **)
{
    struct vm v;

    assert_int_equal(build(&v, "guest=a kind=firmware mem=2M", 128 * KiB, NULL, 0), STATUS_OK);
    assert_int_equal(v.state.seg[SEG_CS].base + v.state.rip, 0xfffffff0);
    assert_int_equal(v.state.seg[SEG_CS].selector, 0xf000);
    assert_int_equal(v.state.cr0, 0x60000010);
    assert_int_equal(v.state.rflags, 2);
    assert_int_equal(v.state.gpr[RAX], 0);
    vm_free(&v);
}

static void test_refusals(void **)
{
    static const char line[] = "guest=a kind=firmware mem=2M";
    struct vm v;

    refuse(line, 64 * KiB - 1, NULL, 0, "no firmware image");
    refuse(line, 4 * KiB, NULL, 0, "whole 64 KiB");
    refuse(line, 100 * KiB, NULL, 0, "whole 64 KiB");
    refuse(line, 16 * MiB + 64 * KiB, NULL, 0, "up to 16 MiB");
    refuse("guest=a kind=firmware mem=2M -- quiet", 64 * KiB, NULL, 0, "no command line");
    refuse(line, 64 * KiB, "x/disk floppy=a", 1000, "disk has 1000 bytes");
    refuse(line, 64 * KiB, "x/disk disk=a", 1000, "disk has 1000 bytes, and a disk whole sectors");
    refuse(line, 64 * KiB, "disk initrd=a", sizeof(floppy), "that for a rom=");
    refuse("guest=a kind=flat mem=2M", 64 * KiB, "x/disk floppy=a", sizeof(floppy),
           "need a BIOS: leave disk out");
    refuse(line, 64 * KiB, "k kernel=a", 1000, "add it");
    refuse(line, 64 * KiB, "m module=a", 1000, "leave m out");
    refuse("guest=a kind=flat mem=2M", 64 * KiB, "k kernel=a -- text", 1000, "leave k out");
    refuse("guest=a kind=flat mem=2M", 64 * KiB, "r rom=a", 1000, "leave r out");
    assert_int_equal(build(&v, line, 64 * KiB, "disk floppy=a", sizeof(floppy)), STATUS_OK);
    vm_free(&v);
    /* Nothing but kind=firmware makes an image firmware. */
    refuse("guest=a mem=2M", 64 * KiB, NULL, 0, "no Multiboot 1 header");
    memset(&v, 0, sizeof(v));
    vm_add(&v, "guest=a kind=firmware mode=16", rom, 64 * KiB);
    config_parse(&v.config, "", v.module, v.count);
    assert_int_equal(v.config.error_count, 1);
}

/* --- fw_cfg ----------------------------------------------------------------------------------- */

struct file {
    u8 *data;
    u32 size;
    u64 at; /* where the loader put it */
};

static u8 next(void) { return (u8)bus_port_read(&bus, 0, 0x511, 1); }

static u32 next_big(unsigned size)
{
    u32 value = 0;

    while (size-- > 0)
        value = value << 8 | next();
    return value;
}

static void choose(u16 key) { bus_port_write(&bus, 0, 0x510, 2, key); }

static u64 number(u16 key, unsigned size)
{
    u64 value = 0;

    choose(key);
    for (unsigned i = 0; i < size; i++)
        value |= (u64)next() << 8 * i;
    return value;
}

/* A file of the directory, read by ports; data is NULL when there is none of that name. */
static struct file get_file(const char *name)
{
    struct file f = {0};
    char entry[56];
    u32 count;
    u16 key = 0;

    choose(0x19);
    count = next_big(4);
    for (u32 i = 0; i < count && key == 0; i++) {
        f.size = next_big(4);
        key = (u16)next_big(2);
        next_big(2);
        for (unsigned n = 0; n < sizeof(entry); n++)
            entry[n] = (char)next();
        if (strcmp(entry, name) != 0)
            key = 0;
    }
    if (key == 0)
        return (struct file){0};
    f.data = malloc(f.size);
    assert_non_null(f.data);
    choose(key);
    for (u32 i = 0; i < f.size; i++)
        f.data[i] = next();
    return f;
}

static u64 get(const u8 *p, unsigned width)
{
    u64 value = 0;

    memcpy(&value, p, width);
    return value;
}

static void furnish(const char *line, const char *floppy_line)
{
    static const struct gmem none;
    struct config config;
    struct image modules[2] = {{.data = rom, .size = sizeof(rom), .cmdline = line},
                               {.data = floppy, .size = sizeof(floppy), .cmdline = floppy_line}};
    struct load_error e;

    config_parse(&config, "", modules, floppy_line ? 2 : 1);
    assert_int_equal(config.error_count, 0);
    bus_init(&bus);
    memset(&firmware, 0x5a, sizeof(firmware));
    assert_int_equal(firmware_init(&firmware, &bus, "a", &none), STATUS_OK);
    assert_int_equal(firmware_furnish(&firmware, &config.vm[0], modules, &e), STATUS_OK);
}

static void test_numbers(void **)
{
    struct file f;

    furnish("guest=a kind=firmware mem=64M vcpus=3", NULL);
    assert_int_equal(number(3, 8), 64 * MiB);
    assert_int_equal(number(5, 2), 3);
    assert_int_equal(number(0xf, 2), 3);
    assert_int_equal(number(0xe, 2), 0);
    f = get_file("etc/sercon-port");
    assert_int_equal(f.size, 2);
    assert_int_equal(get(f.data, 2), 0x3f8);
    free(f.data);
    assert_null(get_file("etc/nonesuch").data);
}

static void test_memory_map(void **)
{
    struct file f;

    furnish("guest=a kind=firmware mem=64M", NULL);
    f = get_file("etc/e820");
    assert_int_equal(f.size, 20);
    assert_int_equal(get(f.data, 8), 0);
    assert_int_equal(get(f.data + 8, 8), 64 * MiB);
    assert_int_equal(get(f.data + 16, 4), 1);
    free(f.data);
    furnish("guest=a kind=firmware mem=5G", NULL);
    f = get_file("etc/e820");
    assert_int_equal(f.size, 40);
    assert_int_equal(get(f.data + 8, 8), 0xc0000000);
    assert_int_equal(get(f.data + 20, 8), 4 * GiB);
    assert_int_equal(get(f.data + 28, 8), 2 * GiB);
    assert_int_equal(get(f.data + 36, 4), 1);
    free(f.data);
}

static void test_floppy(void **)
{
    struct file f;

    for (unsigned i = 0; i < sizeof(floppy); i++)
        floppy[i] = (u8)(i * 7 >> 4);
    furnish("guest=a kind=firmware", "/boot/dos.img floppy=a");
    f = get_file("floppyimg/dos.img");
    assert_int_equal(f.size, sizeof(floppy));
    assert_memory_equal(f.data, floppy, sizeof(floppy));
    free(f.data);
    furnish("guest=a kind=firmware", "floppy=a");
    f = get_file("floppyimg/unnamed");
    assert_int_equal(f.size, sizeof(floppy));
    free(f.data);
}

/* --- A kernel ------------------------------------------------------------------------------- */

static u8 kernel[0x8000], initrd[0x1801];

/* A bzImage's first bytes by the Linux x86 boot protocol; 3 sectors of setup behind the first. */
static void make_kernel(void)
{
    for (unsigned i = 0; i < sizeof(kernel); i++)
        kernel[i] = (u8)(i * 5 >> 3);
    for (unsigned i = 0; i < sizeof(initrd); i++)
        initrd[i] = (u8)(i * 3);
    kernel[0x1f1] = 3;
    memcpy(kernel + 0x202, "HdrS", 4);
    memcpy(kernel + 0x206, (u16[]){0x20f}, 2);
    kernel[0x211] = 1;
    memcpy(kernel + 0x22c, (u32[]){0x7fffffff}, 4);
}

static enum status furnish_linux(const char *line, u64 kernel_size, bool with_initrd,
                                 struct load_error *e)
{
    static const struct gmem none;
    static struct config config;
    const struct image modules[] = {
        {.data = rom, .size = sizeof(rom), .cmdline = line},
        {.data = rom, .size = 1024, .cmdline = "/x/boot.bin rom=a"},
        {.data = kernel, .size = kernel_size, .cmdline = "vmlinuz kernel=a -- console=ttyS0  x"},
        {.data = initrd, .size = sizeof(initrd), .cmdline = "initrd=a"}};

    config_parse(&config, "", modules, with_initrd ? 4 : 3);
    assert_int_equal(config.error_count, 0);
    bus_init(&bus);
    memset(&firmware, 0x5a, sizeof(firmware));
    assert_int_equal(firmware_init(&firmware, &bus, "a", &none), STATUS_OK);
    return firmware_furnish(&firmware, &config.vm[0], modules, e);
}

static void check_entry(u16 key, const u8 *data, u64 size)
{
    choose(key);
    for (u64 i = 0; i < size; i++)
        if (next() != data[i])
            fail_msg("byte %lu of entry %#x", (unsigned long)i, key);
}

static void test_linux(void **)
{
    static const char cmdline[] = "console=ttyS0  x";
    struct load_error e;
    struct file order;
    u8 setup[0x800];

    make_kernel();
    assert_int_equal(furnish_linux("guest=a kind=firmware mem=64M", sizeof(kernel), true, &e),
                     STATUS_OK);
    order = get_file("bootorder");
    assert_string_equal((char *)order.data, "/rom@genroms/boot.bin");
    free(order.data);
    assert_int_equal(number(0x16, 4), 0x10000);
    assert_int_equal(number(0x17, 4), sizeof(setup));
    assert_int_equal(number(0x07, 4), 0x100000);
    assert_int_equal(number(0x08, 4), sizeof(kernel) - sizeof(setup));
    check_entry(0x11, kernel + sizeof(setup), sizeof(kernel) - sizeof(setup));
    assert_int_equal(number(0x13, 4), 0x20000);
    assert_int_equal(number(0x14, 4), sizeof(cmdline));
    check_entry(0x15, (const u8 *)cmdline, sizeof(cmdline));
    assert_int_equal(number(0x0a, 4), (64 - 1) * MiB - 0x2000);
    assert_int_equal(number(0x0b, 4), sizeof(initrd));
    check_entry(0x12, initrd, sizeof(initrd));
    choose(0x18);
    for (unsigned i = 0; i < sizeof(setup); i++)
        setup[i] = next();
    assert_int_not_equal(get(setup + 0x210, 1), 0); /* type_of_loader */
    assert_int_equal(get(setup + 0x211, 1), 0x81);  /* CAN_USE_HEAP, LOADED_HIGH */
    assert_int_equal(get(setup + 0x218, 4), (64 - 1) * MiB - 0x2000); /* ramdisk_image */
    assert_int_equal(get(setup + 0x21c, 4), sizeof(initrd));
    assert_int_equal(get(setup + 0x224, 2), 0xfe00); /* heap_end_ptr: 512 below the command line */
    assert_int_equal(get(setup + 0x228, 4), 0x20000);
    assert_memory_equal(setup, kernel, 0x210);
    assert_memory_equal(setup + 0x230, kernel + 0x230, sizeof(setup) - 0x230);
    assert_int_equal(furnish_linux("guest=a kind=firmware mem=64M", sizeof(kernel), false, &e),
                     STATUS_OK);
    assert_int_equal(number(0x0b, 4), 0);
}

static void bad_kernel(const char *line, u64 size, const char *words)
{
    struct load_error e = {0};

    assert_int_not_equal(furnish_linux(line, size, true, &e), STATUS_OK);
    if (!strstr(e.text, words))
        fail_msg("refused with \"%s\", not with \"%s\"", e.text, words);
}

static void test_bad_kernels(void **)
{
    static const char line[] = "guest=a kind=firmware mem=64M";

    make_kernel();
    bad_kernel(line, 0x205, "no bzImage");
    bad_kernel(line, 0x800, "truncated");
    bad_kernel("guest=a kind=firmware mem=1M", sizeof(kernel), "mem=");
    bad_kernel("guest=a kind=firmware mem=2M", sizeof(kernel), "mem=");
    kernel[0x207] = 1;
    bad_kernel(line, sizeof(kernel), "2.03");
    make_kernel();
    kernel[0x211] = 0;
    bad_kernel(line, sizeof(kernel), "no bzImage");
    make_kernel();
    kernel[0x1f1] = 0xff; /* 128 KiB of setup */
    bad_kernel(line, sizeof(kernel), "truncated");
    make_kernel();
    memset(kernel + 0x22c, 0, 4); /* nothing is low enough */
    bad_kernel(line, sizeof(kernel), "no room");
}

/* --- The table loader ------------------------------------------------------------------------- */

static struct file rsdp, tables;

static struct file *named(const u8 *name)
{
    if (strcmp((const char *)name, "etc/acpi/rsdp") == 0)
        return &rsdp;
    assert_string_equal((const char *)name, "etc/acpi/tables");
    return &tables;
}

static void run_command(const u8 *line)
{
    struct file *f = named(line + 4), *source;
    const u8 *number_at = line + 4 + 56;
    u32 offset = (u32)get(number_at, 4);
    u64 value;
    u8 sum = 0;

    switch (get(line, 4)) {
    case 1: /* allocate: alignment, zone */
        assert_int_equal(offset & (offset - 1), 0);
        f->at = f == &rsdp ? 0xf5a40 : 0x3fff040;
        assert_int_equal(get(number_at + 4, 1), f == &rsdp ? 2 : 1);
        assert_int_equal(f->at & (offset - 1), 0);
        break;
    case 2: /* add pointer */
        source = named(number_at);
        offset = (u32)get(number_at + 56, 4);
        value = get(number_at + 60, 1);
        assert_true(value == 4 || value == 8);
        assert_true(offset + value <= f->size);
        assert_int_not_equal(source->at, 0);
        value = get(f->data + offset, (unsigned)value) + source->at;
        memcpy(f->data + offset, &value, get(number_at + 60, 1));
        break;
    case 3: /* add checksum: offset, start, length */
        assert_true(get(number_at + 4, 4) + get(number_at + 8, 4) <= f->size);
        for (u64 i = 0; i < get(number_at + 8, 4); i++)
            sum = (u8)(sum + f->data[get(number_at + 4, 4) + i]);
        f->data[offset] = (u8)(f->data[offset] - sum);
        break;
    default: fail_msg("command %u", (unsigned)get(line, 4));
    }
}

static const u8 *table_at(u64 at, const char *signature)
{
    const u8 *t;
    u8 sum = 0;

    assert_in_range(at, tables.at, tables.at + tables.size - 36);
    t = tables.data + (at - tables.at);
    assert_memory_equal(t, signature, 4);
    if (memcmp(signature, "FACS", 4) != 0) {
        assert_in_range(get(t + 4, 4), 36, tables.at + tables.size - at);
        for (u64 i = 0; i < get(t + 4, 4); i++)
            sum = (u8)(sum + t[i]);
        assert_int_equal(sum, 0);
    }
    return t;
}

static void test_acpi(void **)
{
    struct file script;
    const u8 *rsdt, *xsdt, *fadt;
    u8 sum = 0;

    furnish("guest=a kind=firmware vcpus=2", NULL);
    rsdp = get_file("etc/acpi/rsdp");
    tables = get_file("etc/acpi/tables");
    script = get_file("etc/table-loader");
    assert_int_equal(rsdp.size, 36);
    assert_int_equal(script.size % 128, 0);
    for (u32 i = 0; i < script.size; i += 128)
        run_command(script.data + i);
    assert_memory_equal(rsdp.data, "RSD PTR ", 8);
    for (unsigned i = 0; i < 36; i++) {
        sum = (u8)(sum + rsdp.data[i]);
        assert_true(i != 19 || sum == 0);
    }
    assert_int_equal(sum, 0);
    rsdt = table_at(get(rsdp.data + 16, 4), "RSDT");
    xsdt = table_at(get(rsdp.data + 24, 8), "XSDT");
    fadt = table_at(get(rsdt + 36, 4), "FACP");
    assert_ptr_equal(table_at(get(xsdt + 36, 8), "FACP"), fadt);
    assert_ptr_equal(table_at(get(xsdt + 44, 8), "APIC"), table_at(get(rsdt + 40, 4), "APIC"));
    assert_int_equal(get(rsdt + 4, 4), 44);
    assert_int_equal(get(xsdt + 4, 4), 52);
    (void)table_at(get(fadt + 36, 4), "FACS");
    (void)table_at(get(fadt + 40, 4), "DSDT");
    assert_int_equal(get(fadt + 140, 8), get(fadt + 40, 4));
    free(rsdp.data);
    free(tables.data);
    free(script.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placement),  cmocka_unit_test(test_reset_vector),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_memory_map), cmocka_unit_test(test_floppy),
        cmocka_unit_test(test_linux),      cmocka_unit_test(test_bad_kernels),
        cmocka_unit_test(test_acpi),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
