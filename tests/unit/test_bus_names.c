/* SPDX-License-Identifier: MIT
 *
 * Registers in words, as their data sheets call them: Intel SDM vol. 3A table 10-1, 82093AA, 8259A,
 * 8254, MC146818, 16550, ACPI 4.8.
 */
#include "device.h"
#include "drivers/model/vioapic.h"
#include "drivers/model/vlapic.h"
#include "drivers/model/vpic.h"
#include "drivers/model/vpit.h"
#include "drivers/model/vrtc.h"

static void expect_name(struct bus *b, enum bus_space space, u64 address, const char *name)
{
    char text[48];

    bus_describe(b, space, address, text, sizeof text);
    assert_string_equal(text, name);
}

static u64 read_none(void *dev, unsigned cpu, u64 offset, unsigned size)
{
    (void)dev, (void)cpu, (void)offset, (void)size;
    return 0;
}

static void write_none(void *dev, unsigned cpu, u64 offset, unsigned size, u64 value)
{
    (void)dev, (void)cpu, (void)offset, (void)size, (void)value;
}

static void lists(void **)
{
    static struct bus b;

    bus_init(&b);
    assert_int_equal(bus_add_port(&b, "a", 0x100, 8, read_none, write_none, NULL), STATUS_OK);
    assert_int_equal(bus_add_port(&b, "b", 0x200, 8, read_none, write_none, NULL), STATUS_OK);
    bus_name_registers(&b, "a", "|one||three", 1);
    expect_name(&b, BUS_PORT, 0x100, "a +0");
    expect_name(&b, BUS_PORT, 0x102, "a one");
    expect_name(&b, BUS_PORT, 0x103, "a one");
    expect_name(&b, BUS_PORT, 0x104, "a +0x4");
    expect_name(&b, BUS_PORT, 0x106, "a three");
    bus_name_registers(&b, "a", "zero", 1);
    expect_name(&b, BUS_PORT, 0x101, "a zero");
    expect_name(&b, BUS_PORT, 0x107, "a +0x7"); /* behind the list's end */
    expect_name(&b, BUS_PORT, 0x201, "b +0x1");
    expect_name(&b, BUS_PORT, 0x300, "unclaimed 0x300");
    expect_name(&b, BUS_MMIO, 0xfe000010, "unclaimed 0xfe000010");
    expect_name(&b, BUS_MSR, 0xc0000080, "MSR 0xc0000080");
}

static void models(void **)
{
    static struct vlapic_set lapics;
    static struct vioapic ioapic;
    static struct vpic pic;
    static struct vpit pit;
    static struct vrtc rtc;
    const struct cpu_port port = {0};
    const struct irqline line = {0};
    struct bus *b = &fake_bus;

    fake_start(1000000000);
    assert_int_equal(vlapic_init(&lapics, 1, b, &fake_clock, &port), STATUS_OK);
    assert_int_equal(vioapic_init(&ioapic, 0, b, &lapics), STATUS_OK);
    assert_int_equal(vpic_init(&pic, b, line), STATUS_OK);
    assert_int_equal(vpit_init(&pit, b, &fake_clock, line), STATUS_OK);
    assert_int_equal(vrtc_init(&rtc, b, &fake_clock, line, 0), STATUS_OK);
    expect_name(b, BUS_MMIO, 0xfee00020, "lapic ID");
    expect_name(b, BUS_MMIO, 0xfee00080, "lapic TPR");
    expect_name(b, BUS_MMIO, 0xfee000b0, "lapic EOI");
    expect_name(b, BUS_MMIO, 0xfee000f0, "lapic SVR");
    expect_name(b, BUS_MMIO, 0xfee00170, "lapic ISR 7");
    expect_name(b, BUS_MMIO, 0xfee00180, "lapic TMR 0");
    expect_name(b, BUS_MMIO, 0xfee00270, "lapic IRR 7");
    expect_name(b, BUS_MMIO, 0xfee00280, "lapic ESR");
    expect_name(b, BUS_MMIO, 0xfee002f0, "lapic LVT CMCI");
    expect_name(b, BUS_MMIO, 0xfee00300, "lapic ICR low");
    expect_name(b, BUS_MMIO, 0xfee00320, "lapic LVT timer");
    expect_name(b, BUS_MMIO, 0xfee00370, "lapic LVT error");
    expect_name(b, BUS_MMIO, 0xfee00380, "lapic timer initial");
    expect_name(b, BUS_MMIO, 0xfee003e0, "lapic timer divide");
    expect_name(b, BUS_MMIO, 0xfee00000, "lapic +0");
    expect_name(b, BUS_MSR, 0x808, "x2apic TPR");
    expect_name(b, BUS_MSR, 0x83f, "x2apic SELF IPI");
    expect_name(b, BUS_MMIO, 0xfec00000, "ioapic IOREGSEL");
    expect_name(b, BUS_MMIO, 0xfec00010, "ioapic IOWIN");
    expect_name(b, BUS_MMIO, 0xfec00040, "ioapic EOI");
    expect_name(b, BUS_PORT, 0x20, "pic-master command");
    expect_name(b, BUS_PORT, 0xa1, "pic-slave mask");
    expect_name(b, BUS_PORT, 0x40, "pit counter 0");
    expect_name(b, BUS_PORT, 0x43, "pit control");
    expect_name(b, BUS_PORT, 0x71, "rtc data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists), cmocka_unit_test(models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
