/* SPDX-License-Identifier: MIT
 *
 * arch/x86/acpi_parse.c against tables that iASL assembled, and against damaged ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/acpi_parse.c"
#include "tests/unit/acpi_tables.h"
#include "tests/unit/physmem.h"

enum { RSDP = 0xf0010, ROOT = 0x20000, DSDT = 0x30000, FADT = 0x31000, MADT = 0x32000 };

static struct acpi_info info;

static void fix_checksum(u64 at, u32 size, u32 field)
{
    u8 sum = 0;

    physmem[at + field] = 0;
    for (u32 i = 0; i < size; i++)
        sum = (u8)(sum + physmem[at + i]);
    physmem[at + field] = (u8)-sum;
}

static void put_rsdp(u64 at, u8 revision)
{
    memcpy(physmem + at, "RSD PTR ", 8);
    physmem[at + 15] = revision;
    put32(at + 16, ROOT);
    put32(at + 20, 36);
    put64(at + 24, revision >= 2 ? ROOT : 0);
    fix_checksum(at, 20, 8);
    fix_checksum(at, 36, 32);
}

static void put_root(const char *signature, unsigned width, const u32 *tables, u32 count)
{
    u32 size = 36 + width * count;

    memset(physmem + ROOT, 0, size);
    memcpy(physmem + ROOT, signature, 4);
    put32(ROOT + 4, size);
    for (u32 i = 0; i < count; i++)
        put32(ROOT + 36 + width * i, tables[i]);
    fix_checksum(ROOT, size, 9);
}

static void put_machine(u8 revision)
{
    static const u32 tables[] = {FADT, MADT};

    memcpy(physmem + DSDT, acpi_dsdt, sizeof(acpi_dsdt));
    memcpy(physmem + FADT, acpi_fadt, sizeof(acpi_fadt));
    memcpy(physmem + MADT, acpi_madt, sizeof(acpi_madt));
    put_root(revision >= 2 ? "XSDT" : "RSDT", revision >= 2 ? 8 : 4, tables, 2);
    put_rsdp(RSDP, revision);
}

static void check_machine(void)
{
    assert_true(info.present);
    assert_int_equal(info.lapic_address, 0xfee10000); /* the override wins */
    assert_true(info.has_8259);
    assert_int_equal(info.cpu_count, 3);
    assert_int_equal(info.cpu[0].apic_id, 0);
    assert_true(info.cpu[0].usable);
    assert_int_equal(info.cpu[1].apic_id, 2);
    assert_false(info.cpu[1].usable);
    assert_int_equal(info.cpu[2].apic_id, 0x102);
    assert_int_equal(info.ioapic_count, 1);
    assert_int_equal(info.ioapic[0].id, 5);
    assert_int_equal(info.ioapic[0].address, 0xfec00000);
    assert_int_equal(info.isa[0].gsi, 2);
    assert_false(info.isa[0].level);
    assert_int_equal(info.isa[4].gsi, 4);
    assert_true(info.isa[9].level && info.isa[9].active_low);
    assert_int_equal(info.pm1a_control, 0xb004);
    assert_int_equal(info.pm1b_control, 0xb104);
    assert_int_equal(info.reset_space, 1);
    assert_int_equal(info.reset_address, 0xcf9);
    assert_int_equal(info.reset_value, 0x0e);
    assert_true(info.can_power_off);
    assert_int_equal(info.s5_type_a, 5);
    assert_int_equal(info.s5_type_b, 0x106);
}

static void test_both_roots(void **)
{
    for (u8 revision = 0; revision <= 2; revision += 2) {
        put_machine(revision);
        assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_OK);
        check_machine();
    }
}

static void test_scan(void **)
{
    assert_int_equal(acpi_scan_rsdp(physmem_map), 0);
    put_rsdp(0xfffd0, 2);
    assert_int_equal(acpi_scan_rsdp(physmem_map), 0xfffd0);
    put_rsdp(0xf0010, 0);
    assert_int_equal(acpi_scan_rsdp(physmem_map), 0xf0010);
    physmem[0x40e] = 0xc0; /* EBDA at 9fc00 */
    physmem[0x40f] = 0x9f;
    put_rsdp(0x9ffe0, 2);
    assert_int_equal(acpi_scan_rsdp(physmem_map), 0x9ffe0);
    physmem[0x9ffe0 + 35] ^= 1; /* only the extended checksum notices */
    assert_int_equal(acpi_scan_rsdp(physmem_map), 0xf0010);
}

static void test_none(void **)
{
    assert_int_equal(acpi_parse(&info, 0, physmem_map), STATUS_ENOENT);
    assert_false(info.present);
    assert_true(info.has_8259);
    assert_int_equal(info.lapic_address, 0xfee00000);
    assert_int_equal(info.isa[15].gsi, 15);
    assert_int_equal(acpi_parse(&info, 0x100000, physmem_map), STATUS_EFORMAT);
    assert_int_equal(acpi_parse(&info, ~0ull - 8, physmem_map), STATUS_EFORMAT);
}

/* One damaged table must not take the others with it. */
static void test_damaged(void **)
{
    put_machine(2);
    physmem[MADT + 50] ^= 0xff;
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_EFORMAT);
    assert_true(info.present);
    assert_int_equal(info.cpu_count, 0);
    assert_int_equal(info.reset_address, 0xcf9);

    put_machine(2);
    put32(FADT + 4, 0x7fffffff); /* an absurd length */
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_EFORMAT);
    assert_int_equal(info.cpu_count, 3);

    put_machine(2);
    physmem[MADT + 44 + 1] = 0; /* an entry that would never end */
    fix_checksum(MADT, sizeof(acpi_madt), 9);
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_EFORMAT);
    assert_int_equal(info.cpu_count, 0);

    put_machine(2);
    put64(ROOT + 36, 0xfffffffffffff000); /* a table beyond memory */
    fix_checksum(ROOT, 36 + 16, 9);
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_EFORMAT);
    assert_int_equal(info.cpu_count, 3);

    put_machine(2);
    memcpy(physmem + ROOT, "XSDX", 4);
    fix_checksum(ROOT, 36 + 16, 9);
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_EFORMAT);
    assert_false(info.present);
}

/* Every length a table can be cut to, with a right checksum: nothing is read beyond it. */
static void test_every_length(void **)
{
    for (u32 size = 0; size <= sizeof(acpi_madt); size++) {
        put_machine(2);
        put32(MADT + 4, size);
        fix_checksum(MADT, size < 10 ? 10 : size, 9);
        enum status s = acpi_parse(&info, RSDP, physmem_map);
        assert_true((s == STATUS_OK) == (size == 44 || size == 52 || size == 60 || size == 68 ||
                                         size == 80 || size == 90 || size == 100 || size == 106 ||
                                         size == 122 || size == 134));
    }
    for (u32 size = 36; size <= sizeof(acpi_fadt); size++) {
        put_machine(2);
        put32(FADT + 4, size);
        fix_checksum(FADT, size, 9);
        assert_int_equal(acpi_parse(&info, RSDP, physmem_map),
                         size < 116 ? STATUS_EFORMAT : STATUS_OK);
        assert_int_equal(info.reset_address, size >= 129 ? 0xcf9 : 0);
        assert_true(info.can_power_off == (size >= 148)); /* the 32-bit DSDT pointer is wrong */
    }
    for (u32 size = 36; size <= sizeof(acpi_dsdt); size++) {
        put_machine(2);
        put32(DSDT + 4, size);
        fix_checksum(DSDT, size, 9);
        assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_OK);
    }
}

/* Microsoft's SPCR specification 1.07: where a field is, by its offset there. */
static void put_spcr(u32 size, u8 kind, u8 space, u8 width, u8 access, u64 address)
{
    static const u32 tables[] = {FADT};

    memset(physmem + FADT, 0, 80);
    memcpy(physmem + FADT, "SPCR", 4);
    put32(FADT + 4, size);
    physmem[FADT + 36] = kind;
    physmem[FADT + 40] = space;
    physmem[FADT + 41] = width;
    physmem[FADT + 43] = access;
    put64(FADT + 44, address);
    physmem[FADT + 52] = 1; /* by the 8259 */
    physmem[FADT + 53] = 3;
    physmem[FADT + 58] = 7; /* 115200 */
    fix_checksum(FADT, size, 9);
    put_root("XSDT", 8, tables, 1);
    put_rsdp(RSDP, 2);
}

static void test_spcr(void **)
{
    put_spcr(80, 0, 1, 8, 1, 0x2f8);
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_OK);
    assert_int_equal(info.serial.address, 0x2f8);
    assert_false(info.serial.memory);
    assert_int_equal(info.serial.irq, 3);
    assert_int_equal(info.serial.baud, 115200);
    put_spcr(80, 0x12, 0, 32, 3, 0xfe034000);
    physmem[FADT + 52] = 2; /* by the I/O APIC alone: no ISA interrupt */
    physmem[FADT + 58] = 0;
    fix_checksum(FADT, 80, 9);
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_OK);
    assert_int_equal(info.serial.address, 0xfe034000);
    assert_true(info.serial.memory);
    assert_int_equal(info.serial.stride, 4);
    assert_int_equal(info.serial.irq, 0);
    assert_int_equal(info.serial.baud, 0);
    put_spcr(80, 3, 0, 32, 3, 0xfe034000); /* an Arm PL011 */
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_OK);
    assert_int_equal(info.serial.address, 0);
    put_spcr(52, 0, 1, 8, 1, 0x2f8);
    assert_int_equal(acpi_parse(&info, RSDP, physmem_map), STATUS_EFORMAT);
    assert_int_equal(info.serial.address, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, physmem_reset, physmem_reset)
    const struct CMUnitTest tests[] = {TEST(test_both_roots),   TEST(test_scan),
                                       TEST(test_none),         TEST(test_damaged),
                                       TEST(test_every_length), TEST(test_spcr)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
