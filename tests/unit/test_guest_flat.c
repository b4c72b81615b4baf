/* SPDX-License-Identifier: MIT
 *
 * guest/load_flat.c, and what every guest gets: the BIOS data area, tables, segments and page
 * tables of each CPU mode.
 */
#include "guest_vm.h"

static const u8 code[] = {0xf4, 0xeb, 0xfd, 0x90};

static void build(struct vm *v, const char *cmdline)
{
    memset(v, 0, sizeof(*v));
    vm_add(v, cmdline, code, sizeof(code));
    vm_must_build(v);
}

static void refuse(const char *cmdline, const char *words)
{
    struct vm v = {0};

    vm_add(&v, cmdline, code, sizeof(code));
    vm_must_refuse(&v, words);
}

/* The default is a boot sector: 0000:7C00, real mode as SDM vol. 3A, table 9-1 leaves it. */
static void test_boot_sector(void **)
{
    struct vm v;

    build(&v, "guest=a kind=flat mem=1M");
    assert_memory_equal(vm_at(&v, 0x7c00, sizeof(code)), code, sizeof(code));
    assert_int_equal(vm_get(&v, 0x7c04, 1), 0xa5); /* and not a byte more */
    assert_int_equal(v.state.rip, 0x7c00);
    assert_int_equal(v.state.seg[SEG_CS].selector, 0);
    assert_int_equal(v.state.cr0, CR0_ET);
    assert_int_equal(v.state.efer, 0);
    assert_int_equal(v.state.rflags, RFLAGS_FIXED);
    assert_int_equal(v.state.idtr.limit, 0x3ff);
    for (enum seg n = SEG_ES; n <= SEG_GS; n++) {
        assert_int_equal(v.state.seg[n].base, 0);
        assert_int_equal(v.state.seg[n].limit, 0xffff);
        assert_int_equal(v.state.seg[n].access, 0x93);
    }
    for (unsigned i = 0; i < GPR_COUNT; i++)
        assert_int_equal(v.state.gpr[i], 0);
    assert_int_equal(v.state.valid & STATE_ALL, STATE_ALL);
    vm_free(&v);
}

static void test_firmware_area(void **)
{
    struct vm v;

    build(&v, "guest=a kind=flat mem=2M");
    assert_int_equal(vm_get(&v, 0x40e, 2), 0x9fc0); /* segment of the EBDA */
    assert_int_equal(vm_get(&v, 0x413, 2), 639);    /* KiB */
    assert_int_equal(vm_get(&v, 0x400, 2), 0x3f8);
    assert_memory_equal(vm_at(&v, 0xf0000, 8), "RSD PTR ", 8);
    assert_int_equal(vm_get(&v, 0xfffff, 1), 0);
    assert_int_equal(vm_get(&v, 0x100000, 1), 0xa5);
    vm_free(&v);
}

/* Real-mode entries: CS << 4 + IP is the address, and IP stays small where CS can do it. */
static void test_real_mode_entries(void **)
{
    static const u32 at[] = {0x500, 0x7c01, 0xfffc, 0x10000, 0x12345, 0x8fffc};
    char line[100];
    struct vm v;

    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        snprintf(line, sizeof(line), "guest=a kind=flat mem=1M mode=16 load=%#x", at[i]);
        build(&v, line);
        assert_int_equal(v.state.seg[SEG_CS].base, v.state.seg[SEG_CS].selector << 4);
        assert_int_equal(v.state.seg[SEG_CS].base + v.state.rip, at[i]);
        assert_true(v.state.rip <= 0xffff);
        vm_free(&v);
    }
}

static void test_mode32(void **)
{
    struct vm v;

    build(&v, "guest=a kind=flat mem=8M mode=32 load=1M entry=0x100002 -- hello  world");
    vm_check_entry_rules(&v, false);
    assert_int_equal(v.state.rip, 0x100002);
    assert_memory_equal(vm_at(&v, 0x100000, sizeof(code)), code, sizeof(code));
    assert_string_equal(vm_text(&v, v.state.gpr[RSI]), "hello  world");
    vm_free(&v);
}

static void test_mode64(void **)
{
    static const u64 probe[] = {0,          0x7fff,     0x100000,  0x3fffffff,
                                0x40000000, 0xfee00030, 0xffffffff};
    struct vm v;

    build(&v, "guest=a kind=flat mem=8M mode=64 load=2M");
    vm_check_entry_rules(&v, true);
    assert_int_equal(v.state.rip, 0x200000);
    assert_int_equal(v.state.gpr[RSI], 0);
    for (unsigned i = 0; i < ARRAY_SIZE(probe); i++)
        assert_int_equal(vm_translate(&v, probe[i]), probe[i]);
    assert_int_equal(vm_translate(&v, 0x100000000), ~0ull);
    assert_int_equal(vm_translate(&v, 1ull << 39), ~0ull);
    vm_free(&v);
}

/* Descriptor table, page tables and command line go round an image that lies where they would. */
static void test_no_overlap(void **)
{
    static u8 big[0x9e000];
    struct vm v = {0};

    memset(big, 0x11, sizeof(big));
    vm_add(&v, "guest=a kind=flat mem=4M mode=64 load=0x1000 -- text", big, sizeof(big));
    vm_must_build(&v);
    vm_check_entry_rules(&v, true);
    assert_memory_equal(vm_at(&v, 0x1000, sizeof(big)), big, sizeof(big));
    assert_string_equal(vm_text(&v, v.state.gpr[RSI]), "text");
    vm_free(&v);
}

static void test_real_mode_command_line(void **)
{
    static u8 big[0x10000];
    struct vm v = {0};

    build(&v, "guest=a kind=flat -- abc");
    assert_true(v.state.gpr[RSI] < 0x10000 && v.state.gpr[RSI] != 0);
    assert_string_equal(vm_text(&v, v.state.gpr[RSI]), "abc");
    vm_free(&v);
    vm_add(&v, "guest=a kind=flat load=0x600 -- abc", big, sizeof(big));
    vm_must_refuse(&v, "no room for the command line");
}

static void test_memory_above_4g_is_not_needed(void **)
{
    struct machine_ram ram;
    struct load_error e;

    assert_int_equal(machine_ram(5 * GiB, &ram, &e), STATUS_OK);
    assert_int_equal(ram.count, 2);
    assert_int_equal(ram.range[0].size, 0xc0000000);
    assert_int_equal(ram.range[1].base, 0x100000000);
    assert_int_equal(ram.range[1].size, 2 * GiB);
    assert_int_equal(machine_ram(MiB - 1, &ram, &e), STATUS_EINVAL);
    assert_int_equal(ram.count, 0);
}

static void test_refusals(void **)
{
    struct vm v = {0};

    refuse("guest=a kind=auto", "kind=flat");
    refuse("guest=a", "no Multiboot 1 header in the first 8 KiB and no Linux header");
    refuse("guest=a kind=flat mem=1M load=1M mode=32", "memory ends at 0x100000");
    refuse("guest=a kind=flat mem=2M load=0xffffe", "overlaps the PC's video");
    refuse("guest=a kind=flat load=0", "overlaps the vectors");
    refuse("guest=a kind=flat load=0x4ff", "overlaps the vectors");
    refuse("guest=a kind=flat load=0xa0000", "overlaps the PC's video");
    refuse("guest=a kind=flat load=0xffffffff mode=32", "memory ends");
    refuse("guest=a kind=flat load=1024G mode=64", "above 4 GiB");
    refuse("guest=a kind=flat entry=0x7c04", "outside the image");
    refuse("guest=a kind=flat entry=0x7bff", "outside the image");
    refuse("guest=a kind=flat load=1M", "cannot be reached in 16-bit mode");
    refuse("guest=a kind=flat mem=16M load=8M mode=16", "cannot be reached in 16-bit mode");
    v.no_long_mode = true;
    vm_add(&v, "guest=a kind=flat mode=64", code, sizeof(code));
    vm_must_refuse(&v, "no 64-bit mode");
    vm_add(&v, "guest=a kind=flat", code, 0);
    vm_must_refuse(&v, "boot module 1 (a) is empty");
    vm_add(&v, "guest=a kind=flat", NULL, 5);
    vm_must_refuse(&v, "is empty");
    vm_add(&v, "guest=a kind=flat", code, sizeof(code));
    vm_add(&v, "x.img initrd=a", code, sizeof(code));
    vm_must_refuse(&v, "leave x.img out");
}

static void test_refused_configuration(void **)
{
    struct vm v = {0};

    vm_add(&v, "guest=a kind=flat", code, sizeof(code));
    vm_must_build(&v);
    v.config.vm[0].refused = true;
    assert_int_equal(guest_build(&v.config.vm[0], v.module, 1, true, &v.mem, &v.state, &v.error),
                     STATUS_EINVAL);
    v.config.vm[0].refused = false;
    assert_int_equal(guest_build(&v.config.vm[0], v.module, 0, true, &v.mem, &v.state, &v.error),
                     STATUS_ENOENT);
    assert_non_null(strstr(v.error.text, "boot module 1 is not there"));
    v.mem.count = 0;
    assert_int_equal(guest_build(&v.config.vm[0], v.module, 1, true, &v.mem, &v.state, &v.error),
                     STATUS_ERANGE);
    assert_non_null(strstr(v.error.text, "no backing"));
    vm_free(&v);
}

/* What people hand over by mistake is recognised. */
static void test_lookalikes(void **)
{
    static const struct {
        const char *bytes, *words;
    } bad[] = {
        {"\x1f\x8b\x08\x01 gzip", "gzip"},
        {"\xfd"
         "7zXZ xx",
         "xz"},
        {"\x28\xb5\x2f\xfdzzzz", "zstd"},
        {"MZ......", "EFI program"},
        {"070701....", "initrd=NAME"},
        {"\x7f"
         "ELF\2\1\1",
         "without a Multiboot 1 header"},
    };
    struct vm v = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        vm_add(&v, "guest=a", bad[i].bytes, strlen(bad[i].bytes));
        vm_must_refuse(&v, bad[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot_sector),
        cmocka_unit_test(test_firmware_area),
        cmocka_unit_test(test_real_mode_entries),
        cmocka_unit_test(test_mode32),
        cmocka_unit_test(test_mode64),
        cmocka_unit_test(test_no_overlap),
        cmocka_unit_test(test_real_mode_command_line),
        cmocka_unit_test(test_memory_above_4g_is_not_needed),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_configuration),
        cmocka_unit_test(test_lookalikes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
