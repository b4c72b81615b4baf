/* SPDX-License-Identifier: MIT
 *
 * Reset by port 92H, debug exit and the one-byte ports.
 */
#include "device.h"
#include "drivers/model/vsys.h"

static struct vsys sys;
static struct line lines[VSYS_LINE_COUNT];

static int setup(void **)
{
    fake_start(1000000);
    assert_ok(vsys_init(&sys, &fake_bus, &recorder, LINE(lines)));
    return 0;
}

static u32 rd(u16 port, unsigned size) { return bus_port_read(&fake_bus, 0, port, size); }

static void wr(u16 port, unsigned size, u32 value)
{
    bus_port_write(&fake_bus, 0, port, size, value);
}

/* Port 92H: bit 1 is A20, bit 0 rising resets. */
static void resets(void **)
{
    assert_int_equal(rd(0x92, 1), 0x02);
    wr(0x92, 1, 0x00);
    assert_int_equal(rd(0x92, 1), 0x00);
    assert_int_equal(recorded.machine, 0);
    wr(0x92, 1, 0x01);
    assert_int_equal(recorded.machine, 1);
    assert_int_equal(recorded.event, MACHINE_RESET);
}

static void debug_exit(void **)
{
    static const u32 values[] = {0, 0, 0x7f, 0x1234, 0, 0xdeadbeef};

    for (unsigned size = 1; size <= 4; size += size == 2 ? 2 : 1) {
        wr(VSYS_DEBUG_EXIT, size, values[size + 1]);
        assert_int_equal(recorded.event, MACHINE_DEBUG_EXIT);
        assert_int_equal(recorded.code, values[size + 1]);
    }
    assert_int_equal(rd(VSYS_DEBUG_EXIT, 1), 0);
    assert_int_equal(recorded.machine, 3);
    wr(VSYS_DEBUG_EXIT + 1, 1, 5);
    assert_int_equal(recorded.machine, 3);
}

static void byte_ports(void **)
{
    wr(0x80, 1, 0x55);
    assert_int_equal(rd(0x80, 1), 0x55);
    wr(0xed, 1, 0x66);
    assert_int_equal(rd(0xed, 1), 0x66);
    assert_int_equal(rd(0x80, 2), 0xff55); /* 81H is not ours */
    SHOW(vsys_show(&sys, out));
    assert_non_null(strstr(shown, "POST code    55"));
}

/* A write sets the level of the line that has the port's number. */
static void test_lines(void **)
{
    for (u16 n = 0; n < VSYS_LINE_COUNT; n++) {
        wr(VSYS_LINES + n, 4, 1);
        assert_true(lines[n].level);
        wr(VSYS_LINES + n, 1, 1);
        wr(VSYS_LINES + n, 4, 0);
        assert_false(lines[n].level);
        assert_int_equal(lines[n].rises, 1);
    }
    wr(VSYS_LINES + VSYS_LINE_COUNT, 1, 1);
    assert_int_equal(rd(VSYS_LINES + VSYS_LINE_COUNT, 1), 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(resets, setup),
        cmocka_unit_test_setup(debug_exit, setup),
        cmocka_unit_test_setup(byte_ports, setup),
        cmocka_unit_test_setup(test_lines, setup),
    };

    return cmocka_run_group_tests_name("vsys", tests, NULL, NULL);
}
