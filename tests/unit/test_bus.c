/* SPDX-License-Identifier: MIT
 *
 * The bus: claims, refusals, dispatch, accesses across the edges of ranges, counters.
 */
#include "device.h"

struct dev {
    u64 offset, value;
    unsigned size, cpu, calls;
    u8 bytes[8]; /* written bytewise */
};

static u64 dev_read(void *dev, unsigned cpu, u64 offset, unsigned size)
{
    struct dev *d = dev;

    *d = (struct dev){.offset = offset, .size = size, .cpu = cpu, .calls = d->calls + 1};
    return 0x1122334455667700ull + offset;
}

static void dev_write(void *dev, unsigned cpu, u64 offset, unsigned size, u64 value)
{
    struct dev *d = dev;

    d->offset = offset, d->size = size, d->cpu = cpu, d->value = value, d->calls++;
    if (offset < 8)
        d->bytes[offset] = (u8)value;
}

static bool msr_read(void *, unsigned cpu, u32 msr, u64 *value)
{
    *value = (u64)cpu << 32 | msr;
    return msr != 0x102;
}

static bool msr_write(void *dev, unsigned cpu, u32 msr, u64 value)
{
    (void)cpu, (void)msr;
    ((struct dev *)dev)->value = value;
    return value != 7;
}

static int setup(void **)
{
    fake_start(1000000);
    return 0;
}

static void refuses_bad_ranges(void **)
{
    struct dev d = {0};

#define MMIO(base, size) bus_add_mmio(&fake_bus, "m", base, size, dev_read, dev_write, &d)
#define PORT(base, size) bus_add_port(&fake_bus, "p", base, size, dev_read, dev_write, &d)
#define MSR(base, size)  bus_add_msr(&fake_bus, "s", base, size, msr_read, msr_write, &d)
    assert_int_equal(MMIO(0x1000, 0), STATUS_EINVAL);
    assert_int_equal(MMIO(0x1001, 0x1000), STATUS_EINVAL);
    assert_int_equal(MMIO(0x1000, 0x800), STATUS_EINVAL);
    assert_int_equal(MMIO(0xfffffffffffff000, 0x2000), STATUS_EINVAL);
    assert_ok(MMIO(0xfffffffffffff000, 0x1000));
    assert_ok(MMIO(0x10000, 0x2000));
    assert_int_equal(MMIO(0x11000, 0x1000), STATUS_EOVERLAP);
    assert_int_equal(MMIO(0xf000, 0x8000), STATUS_EOVERLAP);
    assert_ok(MMIO(0xf000, 0x1000));
    assert_int_equal(PORT(0x80, 0), STATUS_EINVAL);
    assert_int_equal(PORT(0xffff, 2), STATUS_EINVAL);
    assert_ok(PORT(0xffff, 1));
    assert_ok(PORT(0x40, 4));
    assert_int_equal(PORT(0x43, 1), STATUS_EOVERLAP);
    assert_int_equal(PORT(0x3e, 3), STATUS_EOVERLAP);
    assert_int_equal(MSR(0xffffffff, 2), STATUS_EINVAL);
    assert_int_equal(MSR(0x10, 0), STATUS_EINVAL);
    assert_ok(MSR(0x100, 16));
    assert_int_equal(MSR(0x10f, 4), STATUS_EOVERLAP);
    assert_int_equal(bus_add_mmio(&fake_bus, "m", 0, 0x1000, NULL, dev_write, &d), STATUS_EINVAL);
}

static void tables_fill_up(void **)
{
    struct dev d = {0};
    u16 port = 0;
    u32 msr = 0;

    for (unsigned i = 1; i < BUS_MAX_RANGES; i++, port++)
        assert_ok(PORT(port, 1));
    assert_int_equal(PORT(port, 1), STATUS_ENOSPC);
    bus_port_write(&fake_bus, 0, port, 1, 1); /* the refused one claims nothing */
    assert_int_equal(d.calls, 0);
    for (unsigned i = 1; i < BUS_MAX_RANGES; i++)
        assert_ok(MMIO(i * 0x1000ull, 0x1000));
    assert_int_equal(MMIO(0x100000, 0x1000), STATUS_ENOSPC);
    for (; msr < 16; msr++)
        assert_ok(MSR(msr, 1));
    assert_int_equal(MSR(msr, 1), STATUS_ENOSPC);
}

static void mmio_dispatch(void **)
{
    struct dev a = {0}, b = {0};
    unsigned n;

    assert_ok(bus_add_mmio(&fake_bus, "a", 0xfee00000, 0x1000, dev_read, dev_write, &a));
    assert_ok(bus_add_mmio(&fake_bus, "b", 0xfee01000, 0x1000, dev_read, dev_write, &b));
    n = bus_find_mmio(&fake_bus, 0xfee00fff);
    assert_string_equal(fake_bus.mmio[n].name, "a");
    assert_int_equal(bus_find_mmio(&fake_bus, 0xfee02000), BUS_UNCLAIMED);
    assert_int_equal(bus_find_mmio(&fake_bus, 0xfedfffff), BUS_UNCLAIMED);
    bus_mmio_write(&fake_bus, n, 3, 0xfee000b0, 8, 0x1234567890abcdef);
    assert_int_equal(a.offset, 0xb0);
    assert_int_equal(a.size, 8);
    assert_int_equal(a.cpu, 3);
    assert_int_equal(a.value, 0x1234567890abcdef);
    assert_int_equal(bus_mmio_read(&fake_bus, n, 1, 0xfee00ff8, 8), 0x1122334455667700 + 0xff8);
    assert_int_equal(fake_bus.mmio[n].reads, 1);
    assert_int_equal(fake_bus.mmio[n].writes, 1);
    /* Two bytes in a, two in b. */
    a.calls = b.calls = 0;
    bus_mmio_write(&fake_bus, n, 0, 0xfee00ffe, 4, 0x44332211);
    assert_int_equal(a.calls, 2);
    assert_int_equal(b.calls, 2);
    assert_int_equal(a.value, 0x22);
    assert_int_equal(b.bytes[0], 0x33);
    assert_int_equal(b.bytes[1], 0x44);
    assert_int_equal(bus_mmio_read(&fake_bus, n, 0, 0xfee00ffe, 4), 0x0100fffe);
}

static void unclaimed_is_all_ones(void **)
{
    struct dev d = {0};

    assert_ok(PORT(0x80, 1));
    assert_ok(bus_add_mmio(&fake_bus, "m", 0x2000, 0x1000, dev_read, dev_write, &d));
    assert_int_equal(bus_port_read(&fake_bus, 0, 0x1234, 4), 0xffffffff);
    assert_int_equal(bus_port_read(&fake_bus, 0, 0x1234, 1), 0xff);
    assert_int_equal(bus_port_read(&fake_bus, 0, 0xffff, 2), 0xffff);
    assert_int_equal(fake_bus.port[BUS_UNCLAIMED].reads, 3);
    bus_port_write(&fake_bus, 0, 0x1234, 4, 1);
    assert_int_equal(fake_bus.port[BUS_UNCLAIMED].writes, 1);
    /* Only the byte at 80H is the device's. */
    assert_int_equal(bus_port_read(&fake_bus, 0, 0x7e, 4), 0xff00ffff);
    assert_int_equal(bus_mmio_read(&fake_bus, BUS_UNCLAIMED, 0, 0x1000, 8), ~0ull);
    assert_int_equal(bus_mmio_read(&fake_bus, BUS_UNCLAIMED, 0, 0x1fff, 2), 0x00ff);
    assert_int_equal(fake_bus.mmio[BUS_UNCLAIMED].reads, 2);
    bus_mmio_write(&fake_bus, BUS_UNCLAIMED, 0, 0x1000, 4, 1);
    assert_int_equal(fake_bus.mmio[BUS_UNCLAIMED].writes, 1);
}

static void ports_span_devices_and_widths(void **)
{
    struct dev a = {0}, b = {0}, wide = {0};

    assert_ok(bus_add_port8(&fake_bus, "a", 0x3f8, 8, dev_read, dev_write, &a));
    assert_ok(bus_add_port8(&fake_bus, "b", 0x400, 2, dev_read, dev_write, &b));
    assert_ok(bus_add_port(&fake_bus, "wide", 0xcf8, 8, dev_read, dev_write, &wide));
    bus_port_write(&fake_bus, 0, 0x3f8, 2, 0xbbaa); /* a byte-wide device sees two bytes */
    assert_int_equal(a.calls, 2);
    assert_int_equal(a.size, 1);
    assert_int_equal(a.bytes[0], 0xaa);
    assert_int_equal(a.bytes[1], 0xbb);
    bus_port_write(&fake_bus, 0, 0x3ff, 4, 0x44332211);
    assert_int_equal(a.bytes[7], 0x11);
    assert_int_equal(b.bytes[0], 0x22);
    assert_int_equal(b.bytes[1], 0x33);
    assert_int_equal(fake_bus.port[BUS_UNCLAIMED].writes, 1);
    bus_port_write(&fake_bus, 0, 0xcfa, 4, 0x44332211);
    assert_int_equal(wide.calls, 1);
    assert_int_equal(wide.offset, 2);
    assert_int_equal(wide.size, 4);
    assert_int_equal(bus_port_read(&fake_bus, 0, 0x400, 2), 0x0100);
}

static void msrs(void **)
{
    struct dev d = {0};
    u64 value = 0;

    assert_ok(MSR(0x100, 16));
    assert_true(msr_is_claimed(0x10f));
    assert_false(msr_is_claimed(0x110));
    assert_false(msr_is_claimed(0xff));
    assert_true(bus_msr_read(&fake_bus, 2, 0x101, &value));
    assert_int_equal(value, 0x200000101);
    assert_false(bus_msr_read(&fake_bus, 0, 0x102, &value));
    assert_false(bus_msr_read(&fake_bus, 0, 0x110, &value));
    assert_true(bus_msr_write(&fake_bus, 0, 0x100, 9));
    assert_int_equal(d.value, 9);
    assert_false(bus_msr_write(&fake_bus, 0, 0x100, 7));
    assert_false(bus_msr_write(&fake_bus, 0, 0x110, 9));
    assert_int_equal(fake_bus.msr[0].reads, 2);
    assert_int_equal(fake_bus.msr[0].writes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(refuses_bad_ranges, setup),
        cmocka_unit_test_setup(tables_fill_up, setup),
        cmocka_unit_test_setup(mmio_dispatch, setup),
        cmocka_unit_test_setup(unclaimed_is_all_ones, setup),
        cmocka_unit_test_setup(ports_span_devices_and_widths, setup),
        cmocka_unit_test_setup(msrs, setup),
    };

    return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
