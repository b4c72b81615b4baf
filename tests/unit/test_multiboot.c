/* SPDX-License-Identifier: MIT
 *
 * The parsers of boot/ against information laid out by hand after the Multiboot specifications, and
 * against damaged information of every kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/memmap.c"
#include "boot/boot_info.c"
#include "boot/multiboot1.c"
#include "boot/multiboot2.c"
#include "tests/unit/physmem.h"

static struct boot_info info;

enum { INFO = 0x9500, MODS = 0xa000, MMAP = 0xa800, TEXT = 0xb000 };

#define CMDLINE "vitrine selftest=msr name=\"a b\" flag"

static void put_range(u64 at, u64 base, u64 size, u32 type)
{
    put64(at, base);
    put64(at + 8, size);
    put32(at + 16, type);
}

static void put_module(u64 at, u32 start, u32 end)
{
    put32(at, start);
    put32(at + 4, end);
}

static void put_framebuffer(u64 at, u64 colours)
{
    put64(at, 0xfd000000);
    put32(at + 8, 4096);
    put32(at + 12, 1024);
    put32(at + 16, 768);
    physmem[at + 20] = 32;
    physmem[at + 21] = 1;
    memcpy(physmem + colours, "\x10\x08\x08\x08\x00\x08", 6);
}

/* Multiboot 1: offsets as in the figure of section 3.3. */
static void put_multiboot1(void)
{
    put32(INFO + 0, 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9 | 1 << 12);
    put32(INFO + 4, 639);
    put32(INFO + 8, 64448);
    put32(INFO + 16, TEXT);
    put32(INFO + 20, 2);
    put32(INFO + 24, MODS);
    put32(INFO + 44, 24 + 28 + 24);
    put32(INFO + 48, MMAP);
    put32(INFO + 64, TEXT + 0x100);
    put_framebuffer(INFO + 88, INFO + 110);
    put_text(TEXT, CMDLINE);
    put_text(TEXT + 0x100, "a loader");
    put_text(TEXT + 0x200, "linux mem=64M");
    put_module(MODS, 0x20000, 0x20345);
    put32(MODS + 8, TEXT + 0x200);
    put_module(MODS + 16, 0x30000, 0x31000);
    put32(MMAP + 0, 20);
    put_range(MMAP + 4, 0, 0x9fc00, 1);
    put32(MMAP + 24, 24); /* a longer entry, as ACPI 3 has them */
    put_range(MMAP + 28, 0x9fc00, 0x400, 2);
    put32(MMAP + 52, 20);
    put_range(MMAP + 56, 0x100000000, 0x40000000, 1);
}

static void check_common(void)
{
    assert_string_equal(info.cmdline, CMDLINE);
    assert_string_equal(info.loader, "a loader");
    assert_int_equal(info.module_count, 2);
    assert_int_equal(info.module[0].at.v, 0x20000);
    assert_int_equal(info.module[0].size, 0x345);
    assert_string_equal(info.module[0].cmdline, "linux mem=64M");
    assert_int_equal(info.module[1].size, 0x1000);
    assert_string_equal(info.module[1].cmdline, "");
    assert_int_equal(info.memmap.count, 3);
    assert_int_equal(info.memmap.range[0].size, 0x9fc00);
    assert_int_equal(info.memmap.range[1].type, MEM_RESERVED);
    assert_int_equal(info.memmap.range[2].base, 0x100000000);
    assert_int_equal(info.memmap.range[2].size, 0x40000000);
    assert_int_equal(info.framebuffer.address, 0xfd000000);
    assert_int_equal(info.framebuffer.width, 1024);
    assert_int_equal(info.framebuffer.bpp, 32);
    assert_int_equal(info.framebuffer.colour[0], 16);
    assert_int_equal(info.framebuffer.colour[5], 8);
}

static void test_multiboot1(void **)
{
    put_multiboot1();
    assert_int_equal(multiboot1_parse(&info, INFO, physmem_map), STATUS_OK);
    check_common();
}

static void test_multiboot1_without_map(void **)
{
    put_multiboot1();
    put32(INFO, 1);
    assert_int_equal(multiboot1_parse(&info, INFO, physmem_map), STATUS_OK);
    assert_int_equal(info.memmap.count, 2);
    assert_int_equal(info.memmap.range[0].size, 639 * 1024);
    assert_int_equal(info.memmap.range[1].base, 0x100000);
    assert_int_equal(info.memmap.range[1].size, 64448 * 1024);
    assert_int_equal(info.module_count, 0);
    put32(INFO, 0);
    assert_int_equal(multiboot1_parse(&info, INFO, physmem_map), STATUS_EFORMAT);
    assert_int_equal(multiboot1_parse(&info, PHYSMEM_SIZE - 4, physmem_map), STATUS_EFORMAT);
}

/* Each damage, and what is left: memory ranges, modules. */
static void test_multiboot1_damaged(void **)
{
    static const struct {
        u32 at, value;
        enum status status;
        unsigned ranges, modules;
    } cases[] = {
        {INFO + 48, 0xffffff00, STATUS_OK, 2, 2}, /* map beyond memory: sizes instead */
        {INFO + 44, 0xffffffff, STATUS_OK, 2, 2},
        {INFO + 44, 0, STATUS_OK, 2, 2},
        {INFO + 44, 23, STATUS_OK, 2, 2},         /* no whole entry */
        {MMAP + 24, 19, STATUS_OK, 1, 2},         /* too short an entry */
        {MMAP + 24, 0xfffffffe, STATUS_OK, 1, 2}, /* one that wraps */
        {INFO + 20, 0xffffffff, STATUS_OK, 3, 0}, /* absurdly many modules */
        {INFO + 20, 0x10000001, STATUS_OK, 3, 0}, /* times 16 wraps 32 bits */
        {INFO + 24, PHYSMEM_SIZE - 8, STATUS_OK, 3, 0},
        {MODS + 4, 0x20000, STATUS_OK, 3, 1},    /* empty */
        {MODS + 4, 0x1ffff, STATUS_OK, 3, 1},    /* ends before it begins */
        {MODS + 4, 0xfffff000, STATUS_OK, 3, 1}, /* beyond memory */
        {MODS + 8, 0xffffffff, STATUS_OK, 3, 2}, /* command line beyond memory */
        {INFO + 16, 0xffffffff, STATUS_OK, 3, 2},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        put_multiboot1();
        put32(cases[i].at, cases[i].value);
        assert_int_equal(multiboot1_parse(&info, INFO, physmem_map), cases[i].status);
        assert_int_equal(info.memmap.count, cases[i].ranges);
        assert_int_equal(info.module_count, cases[i].modules);
    }
}

static void test_long_strings(void **)
{
    put_multiboot1();
    memset(physmem + 0x50000, 'x', 5000);
    put32(INFO + 16, 0x50000);
    put32(INFO + 64, PHYSMEM_SIZE - 3); /* ends with memory, without NUL */
    memset(physmem + PHYSMEM_SIZE - 3, 'y', 3);
    assert_int_equal(multiboot1_parse(&info, INFO, physmem_map), STATUS_OK);
    assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
    assert_string_equal(info.loader, "yyy");
}

static void test_many_modules(void **)
{
    put_multiboot1();
    for (u32 i = 0; i < 40; i++) {
        put_module(MODS + 16 * i, 0x20000 + 0x1000 * i, 0x20001 + 0x1000 * i);
        put32(MODS + 16 * i + 8, 0);
    }
    put32(INFO + 20, 40);
    assert_int_equal(multiboot1_parse(&info, INFO, physmem_map), STATUS_OK);
    assert_int_equal(info.module_count, BOOT_MAX_MODULES);
    assert_int_equal(info.modules_dropped, 40 - BOOT_MAX_MODULES);
}

/* --- Multiboot 2: tags one behind the other ------------------------------------------------------
 */

static u32 tail; /* where the next tag goes */

static u32 put_tag(u32 type, u32 size)
{
    u32 at = tail;

    put32(at, type);
    put32(at + 4, size);
    tail = at + ((size + 7) & ~7u);
    put32(INFO + 0, tail - INFO);
    return at;
}

static void put_multiboot2(void)
{
    u32 at;

    memset(physmem + INFO, 0, 0x800);
    tail = INFO + 8;
    at = put_tag(1, 8 + 37);
    put_text(at + 8, CMDLINE);
    at = put_tag(2, 8 + 9);
    put_text(at + 8, "a loader");
    at = put_tag(3, 16 + 14);
    put_module(at + 8, 0x20000, 0x20345);
    put_text(at + 16, "linux mem=64M");
    at = put_tag(3, 16 + 1);
    put_module(at + 8, 0x30000, 0x31000);
    at = put_tag(6, 16 + 3 * 24);
    put32(at + 8, 24);
    put_range(at + 16, 0, 0x9fc00, 1);
    put_range(at + 40, 0x9fc00, 0x400, 2);
    put_range(at + 64, 0x100000000, 0x40000000, 1);
    at = put_tag(8, 38);
    put_framebuffer(at + 8, at + 32);
    at = put_tag(15, 8 + 36);
    memcpy(physmem + at + 8, "RSD PTR new", 11);
    at = put_tag(14, 8 + 20);
    memcpy(physmem + at + 8, "RSD PTR old", 11);
    put_tag(12, 16);
    put_tag(99, 11); /* unknown: to be passed over */
    put_tag(0, 8);
}

static void test_multiboot2(void **)
{
    put_multiboot2();
    assert_int_equal(multiboot2_parse(&info, INFO, physmem_map), STATUS_OK);
    check_common();
    assert_int_equal(info.rsdp_copy_size, 36);
    assert_memory_equal(info.rsdp_copy, "RSD PTR new", 11);
    assert_true(info.efi);
}

/* Whatever the total size says, nothing beyond it is read, and what came before is used. */
static void test_multiboot2_cut(void **)
{
    put_multiboot2();
    u32 whole = tail - INFO;
    for (u32 total = 0; total <= whole; total++) {
        put_multiboot2();
        put32(INFO, total);
        enum status s = multiboot2_parse(&info, INFO, physmem_map);
        assert_true(s == (info.memmap.count ? STATUS_OK : STATUS_EFORMAT));
        assert_true(info.module_count <= 2);
    }
    assert_int_equal(info.memmap.count, 3);
    assert_int_equal(multiboot2_parse(&info, INFO + 4, physmem_map), STATUS_EFORMAT);
    put32(INFO, 0xffffffff);
    assert_int_equal(multiboot2_parse(&info, INFO, physmem_map), STATUS_EFORMAT);
}

/* Every tag with every wrong size. */
static void test_multiboot2_sizes(void **)
{
    static const u32 sizes[] = {0, 1, 7, 8, 9, 12, 15, 16, 17, 27, 31, 0x7ffffff8, 0xfffffff9, ~0u};

    put_multiboot2();
    for (u32 at = INFO + 8; at < tail;) {
        u32 size;
        memcpy(&size, physmem + at + 4, 4);
        for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
            put32(at + 4, sizes[i]);
            enum status s = multiboot2_parse(&info, INFO, physmem_map);
            assert_true(s == (info.memmap.count ? STATUS_OK : STATUS_EFORMAT));
        }
        put32(at + 4, size);
        at += (size + 7) & ~7u;
    }
}

static void test_options(void **)
{
    char buf[8];
    const char *line = "vitrine selftest=msr name=\"a b\" flag long=123456789 selftest2=x";

    assert_true(boot_option(line, "selftest", buf, sizeof(buf)));
    assert_string_equal(buf, "msr");
    assert_true(boot_option(line, "name", buf, sizeof(buf)));
    assert_string_equal(buf, "a b");
    assert_true(boot_option(line, "flag", buf, sizeof(buf)));
    assert_string_equal(buf, "");
    assert_true(boot_option(line, "long", buf, sizeof(buf)));
    assert_string_equal(buf, "1234567");
    assert_false(boot_option(line, "self", buf, sizeof(buf)));
    assert_false(boot_option("", "x", buf, sizeof(buf)));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, physmem_reset, physmem_reset)
    const struct CMUnitTest tests[] = {
        TEST(test_multiboot1),     TEST(test_multiboot1_without_map), TEST(test_multiboot1_damaged),
        TEST(test_long_strings),   TEST(test_many_modules),           TEST(test_multiboot2),
        TEST(test_multiboot2_cut), TEST(test_multiboot2_sizes),       TEST(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
