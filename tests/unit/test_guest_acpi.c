/* SPDX-License-Identifier: MIT
 *
 * guest/acpi.c, guest/dsdt.asl and guest/mptable.c: found as a kernel finds them, summed up,
 * walked, and given to ACPICA's disassembler and compiler where it is installed (package
 * acpica-tools).
 */
#include "guest_vm.h"

#include <unistd.h>

#include "drivers/model/vpm.h"
#include "guest/acpi.h"
#include "guest/address.h"

#define BASE 0xf0000u

static u8 area[ACPI_AREA_SIZE];
static struct acpi_tables tables;

static void build(unsigned vcpus)
{
    memset(area, 0xee, sizeof(area));
    acpi_build(vcpus, area, BASE, &tables);
}

static u8 *at(u64 gpa)
{
    assert_in_range(gpa, BASE, BASE + ACPI_AREA_SIZE - 1);
    return area + (gpa - BASE);
}

static u64 get(const u8 *p, unsigned offset, unsigned width)
{
    u64 value = 0;

    memcpy(&value, p + offset, width);
    return value;
}

static u8 sum(const u8 *p, u64 size)
{
    u8 total = 0;

    while (size-- > 0)
        total = (u8)(total + p[size]);
    return total;
}

/* As a kernel looks: "RSD PTR " on 16 bytes from E0000H on, ACPI 6.4, 5.2.5.1. */
static u8 *find(const char *signature, size_t length)
{
    u8 *found = NULL;

    for (unsigned i = 0; i < sizeof(area); i += 16) {
        if (memcmp(area + i, signature, length) == 0) {
            assert_null(found);
            found = area + i;
        }
    }
    assert_non_null(found);
    return found;
}

static u8 *check_table(u64 gpa, const char *signature)
{
    u8 *t = at(gpa);
    u64 length = get(t, 4, 4);

    assert_memory_equal(t, signature, 4);
    assert_true(length >= 36 && gpa + length <= BASE + tables.used);
    assert_int_equal(sum(t, length), 0);
    assert_memory_equal(t + 10, "VITRIN", 6);
    return t;
}

static void test_roots(void **)
{
    u8 *rsdp, *xsdt, *rsdt;

    build(1);
    rsdp = find("RSD PTR ", 8);
    assert_int_equal(rsdp - area + BASE, tables.rsdp);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    assert_int_equal(rsdp[15], 2);
    assert_int_equal(get(rsdp, 20, 4), 36);
    xsdt = check_table(get(rsdp, 24, 8), "XSDT");
    rsdt = check_table(get(rsdp, 16, 4), "RSDT");
    assert_int_equal(get(xsdt, 4, 4), 36 + 2 * 8);
    assert_int_equal(get(rsdt, 4, 4), 36 + 2 * 4);
    check_table(get(xsdt, 36, 8), "FACP");
    check_table(get(xsdt, 44, 8), "APIC");
    assert_int_equal(get(rsdt, 36, 4), get(xsdt, 36, 8));
    assert_int_equal(get(rsdt, 40, 4), get(xsdt, 44, 8));
    /* nothing beyond what is said to be used */
    for (u32 i = tables.used; i < sizeof(area); i++)
        assert_int_equal(area[i], 0);
}

/* Offsets from ACPI 6.4, table 5.9. */
static void test_fadt(void **)
{
    u8 *t, *facs;

    build(2);
    t = check_table(tables.fadt, "FACP");
    assert_int_equal(get(t, 4, 4), 276);
    assert_int_equal(t[8], 6);
    assert_int_equal(get(t, 46, 2), 9);      /* SCI_INT */
    assert_int_equal(get(t, 48, 4), 0);      /* SMI_CMD: ACPI mode from the start */
    assert_int_equal(get(t, 56, 4), 0x600);  /* PM1a_EVT_BLK */
    assert_int_equal(get(t, 64, 4), 0x604);  /* PM1a_CNT_BLK */
    assert_int_equal(get(t, 76, 4), 0x608);  /* PM_TMR_BLK */
    assert_int_equal(t[88], 4);              /* PM1_EVT_LEN */
    assert_int_equal(t[89], 2);              /* PM1_CNT_LEN */
    assert_int_equal(t[91], 4);              /* PM_TMR_LEN */
    assert_true(get(t, 96, 2) > 100);        /* no C2 */
    assert_true(get(t, 98, 2) > 1000);       /* no C3 */
    assert_int_equal(t[108], 0x32);          /* CENTURY */
    assert_int_equal(get(t, 109, 2) & 1, 1); /* legacy devices */
    assert_int_equal(get(t, 109, 2) & 2, 0); /* no 8042 with a keyboard */
    assert_true(get(t, 112, 4) & 1);         /* WBINVD */
    assert_true(get(t, 112, 4) & 1 << 8);    /* 32-bit timer */
    assert_true(get(t, 112, 4) & 1 << 10);   /* reset register */
    assert_false(get(t, 112, 4) & 1 << 20);  /* not hardware-reduced */
    /* RESET_REG: system I/O, 8 bits, byte access, CF9H; value 6 */
    assert_memory_equal(t + 116, "\1\10\0\1\xf9\x0c\0\0\0\0\0\0\6", 13);
    assert_memory_equal(t + 148, "\1\40\0\2\0\6\0\0\0\0\0\0", 12);   /* X_PM1a_EVT_BLK */
    assert_memory_equal(t + 172, "\1\20\0\2\4\6\0\0\0\0\0\0", 12);   /* X_PM1a_CNT_BLK */
    assert_memory_equal(t + 208, "\1\40\0\3\x08\6\0\0\0\0\0\0", 12); /* X_PM_TMR_BLK */
    assert_int_equal(get(t, 140, 8), get(t, 40, 4));
    check_table(get(t, 140, 8), "DSDT");
    facs = at(get(t, 36, 4));
    assert_int_equal(get(t, 36, 4) % 64, 0);
    assert_int_equal(get(t, 132, 8), 0); /* only one of the two pointers may be used */
    assert_memory_equal(facs, "FACS", 4);
    assert_int_equal(get(facs, 4, 4), 64);
}

static void test_madt(void **)
{
    for (unsigned vcpus = 1; vcpus <= CONFIG_MAX_VCPUS; vcpus++) {
        unsigned cpus = 0, ioapics = 0, overrides = 0, nmis = 0;
        u8 *t, *p, *end;

        build(vcpus);
        t = check_table(tables.madt, "APIC");
        assert_int_equal(get(t, 36, 4), 0xfee00000);
        assert_int_equal(get(t, 40, 4), 1);
        end = t + get(t, 4, 4);
        for (p = t + 44; p < end; p += p[1]) {
            assert_true(p[1] >= 6 && p + p[1] <= end);
            if (p[0] == 0) {
                assert_int_equal(p[2], cpus);
                assert_int_equal(p[3], cpus);
                assert_int_equal(get(p, 4, 4), 1);
                cpus++;
            } else if (p[0] == 1) {
                assert_int_equal(get(p, 4, 4), 0xfec00000);
                assert_int_equal(get(p, 8, 4), 0);
                assert_true(p[2] >= vcpus); /* no processor's */
                ioapics++;
            } else if (p[0] == 2 && p[3] == 0) {
                assert_int_equal(get(p, 4, 4), 2);
                overrides++;
            } else if (p[0] == 2) {
                assert_int_equal(p[3], 9);
                assert_int_equal(get(p, 4, 4), 9);
                assert_int_equal(get(p, 8, 2), 0xd); /* active high, level */
                overrides++;
            } else {
                assert_int_equal(p[0], 4);
                assert_int_equal(p[2], 0xff);
                assert_int_equal(p[5], 1);
                nmis++;
            }
        }
        assert_int_equal(p - end, 0);
        assert_int_equal(cpus, vcpus);
        assert_int_equal(ioapics * 100 + overrides * 10 + nmis, 121);
    }
}

/* MPS 1.4, chapter 4. */
static void test_mp_table(void **)
{
    static const u8 size[] = {20, 8, 8, 8, 8};
    unsigned count[5] = {0}, pins = 0;
    u8 *fp, *t, *p;

    build(3);
    fp = find("_MP_", 4);
    assert_int_equal(fp - area + BASE, tables.mp);
    assert_int_equal(fp[8], 1);
    assert_int_equal(fp[9], 4);
    assert_int_equal(sum(fp, 16), 0);
    assert_int_equal(fp[11] | fp[12], 0);
    t = at(get(fp, 4, 4));
    assert_memory_equal(t, "PCMP", 4);
    assert_int_equal(sum(t, get(t, 4, 2)), 0);
    assert_int_equal(get(t, 36, 4), 0xfee00000);
    p = t + 44;
    for (unsigned i = 0; i < get(t, 34, 2); i++) {
        assert_in_range(p[0], 0, 4);
        if (p[0] == 0) {
            assert_int_equal(p[1], count[0]);
            assert_int_equal(p[3], count[0] == 0 ? 3 : 1); /* enabled; the first boots */
        } else if (p[0] == 1) {
            assert_memory_equal(p + 2, "ISA   ", 6);
        } else if (p[0] == 3) {
            assert_int_equal(p[7], p[5] == 0 ? 2 : p[5]);
            assert_int_equal(get(p, 2, 2), p[5] == 9 ? 0xd : 0);
            pins |= 1u << p[7];
        }
        count[p[0]]++;
        p += size[p[0]];
    }
    assert_int_equal(p - t, get(t, 4, 2));
    assert_int_equal(count[0], 3);
    assert_int_equal(count[1], 1);
    assert_int_equal(count[2], 1);
    assert_int_equal(count[3], 15);
    assert_int_equal(pins, 0xfffe);
    assert_int_equal(count[4], 2);
}

/* --- ACPICA ----------------------------------------------------------------------------------- */

static char dir[] = "/tmp/vitrine-acpi-XXXXXX";

static void dump(const char *name, u64 gpa)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(at(gpa), get(at(gpa), 4, 4), 1, f), 1);
    fclose(f);
}

/* Run a command in the folder; its output is in *text. */
static int run(const char *command, char *text, size_t cap)
{
    char line[256];
    FILE *p;
    size_t n;

    snprintf(line, sizeof(line), "cd %s && { %s; } 2>&1", dir, command);
    p = popen(line, "r");
    assert_non_null(p);
    n = fread(text, 1, cap - 1, p);
    text[n] = 0;
    return pclose(p);
}

static void contains(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (!strstr(text, *words))
            fail_msg("\"%s\" is not in: %s", *words, text);
}

/* guest/dsdt.asl says what guest/address.h says. */
static void check_addresses(const char *text)
{
    static const struct {
        const char *format;
        u64 value;
    } words[] = {{"0x%08lX,         // Address Base", ADDR_DISK},
                 {"0x%08lX,", GSI_DISK},
                 {"0x%08lX,         // Range Minimum", ADDR_LOW_MAX},
                 {"0x%08lX,         // Range Maximum", ADDR_IOAPIC - 1},
                 {"0x%04lX,             // Range Minimum", PORT_PCI_FIRST},
                 {"0x%04lX,             // Range Minimum", PORT_UART},
                 {"0x%04lX,             // Range Minimum", PORT_RTC},
                 {"{%lu}", IRQ_UART},
                 {"{%lu}", IRQ_RTC},
                 {"        0x%02lX, ", VPM_SLP_TYP_S5}};
    char word[64];

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        snprintf(word, sizeof(word), words[i].format, words[i].value);
        contains(text, (const char *const[]){word, NULL});
    }
}

static void check_disassembly(char *text, size_t cap)
{
    assert_int_equal(run("iasl -d -p dsdt dsdt.dat", text, cap), 0);
    assert_int_equal(run("cat dsdt.dsl", text, cap), 0);
    contains(text, (const char *const[]){
                       "Checksum         0x", "LNRO0005", "Name (_S5, Package (0x04)",
                       "Device (CPU0)", "Device (CPU1)", "\"ACPI0007\"", "EisaId (\"PNP0501\")",
                       "EisaId (\"PNP0B00\")", "EisaId (\"PNP0A03\")", "WordBusNumber", "WordIO",
                       "DWordMemory", "IRQNoFlags ()", "0x03F8,", "{4}", "{8}", NULL});
    assert_null(strstr(text, "Incorrect"));
    assert_null(strstr(text, "CPU2"));
    check_addresses(text);
    if (run("iasl -p again dsdt.dsl", text, cap) != 0 ||
        !strstr(text, "0 Errors, 0 Warnings, 0 Remarks"))
        fail_msg("%s", text);
    assert_int_equal(run("cmp --ignore-initial=36 dsdt.dat again.aml", text, cap), 0);
}

static bool dsdt_holds(const char *name)
{
    const u8 *t = at(tables.dsdt);

    for (u64 i = 36; i + 4 <= get(t, 4, 4); i++)
        if (memcmp(t + i, name, 4) == 0)
            return true;
    return false;
}

/* As many processors as there are, up to the last. */
static void test_processors(void **)
{
    char name[] = "CPU0";

    for (unsigned vcpus = 1; vcpus <= CONFIG_MAX_VCPUS; vcpus++) {
        build(vcpus);
        for (unsigned n = 0; n < CONFIG_MAX_VCPUS; n++) {
            name[3] = (char)('0' + n);
            assert_int_equal(dsdt_holds(name), n < vcpus);
        }
    }
}

static void test_acpica(void **)
{
    static char text[60000];

    if (system("command -v iasl >/dev/null") != 0) {
        print_message("no iasl on this machine: install acpica-tools\n");
        skip();
    }
    assert_non_null(mkdtemp(dir));
    build(2);
    dump("dsdt", tables.dsdt);
    dump("facp", tables.fadt);
    dump("facs", tables.facs);
    dump("apic", tables.madt);
    dump("xsdt", tables.xsdt);
    check_disassembly(text, sizeof(text));
    assert_int_equal(run("iasl -d facp.dat && cat facp.dsl", text, sizeof(text)), 0);
    contains(text,
             (const char *const[]){"SCI Interrupt : 0009", "Reset Register Supported (V2) : 1",
                                   "32-bit PM Timer (V1) : 1", "Hardware Reduced (V5) : 0", NULL});
    assert_null(strstr(text, "Incorrect"));
    assert_null(strstr(text, "Unknown"));
    assert_int_equal(run("iasl -d apic.dat && cat apic.dsl", text, sizeof(text)), 0);
    contains(text, (const char *const[]){"[Local APIC NMI]", "[Interrupt Source Override]", NULL});
    assert_int_equal(run("iasl -d facs.dat && iasl -d xsdt.dat", text, sizeof(text)), 0);
    assert_int_equal(run("iasl facp.dsl && iasl apic.dsl && iasl xsdt.dsl", text, sizeof(text)), 0);
    assert_int_equal(run("rm -f *.dat *.dsl *.aml && rmdir \"$PWD\"", text, sizeof(text)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots),      cmocka_unit_test(test_fadt),
        cmocka_unit_test(test_madt),       cmocka_unit_test(test_mp_table),
        cmocka_unit_test(test_processors), cmocka_unit_test(test_acpica),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
