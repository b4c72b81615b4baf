/* SPDX-License-Identifier: MIT
 *
 * ACPI fixed hardware against ACPI 6.4, 4.8.3.
 */
#include "device.h"
#include "drivers/model/vpm.h"

#define BASE 0x600
#define CLK  1000ull /* ticks per count of the timer */

static struct vpm pm;
static struct line sci;

static void start(bool wide)
{
    fake_start(CLK * VPM_TIMER_HZ);
    memset(&sci, 0, sizeof sci);
    assert_ok(vpm_init(&pm, &fake_bus, &fake_clock, BASE, LINE(&sci), wide, &recorder));
}

static int setup(void **)
{
    start(false);
    return 0;
}

static u32 rd(unsigned offset, unsigned size)
{
    return bus_port_read(&fake_bus, 0, (u16)(BASE + offset), size);
}

static void wr(unsigned offset, unsigned size, u32 value)
{
    bus_port_write(&fake_bus, 0, (u16)(BASE + offset), size, value);
}

static void timer_counts(void **)
{
    assert_int_equal(rd(VPM_PM_TMR, 4), 0);
    pass(12345678 * CLK);
    assert_int_equal(rd(VPM_PM_TMR, 4), 12345678);
    assert_int_equal(rd(VPM_PM_TMR + 1, 1), 12345678 >> 8 & 0xff);
    pass_to((1 << 24) * CLK + 5 * CLK);
    assert_int_equal(rd(VPM_PM_TMR, 4), 5); /* 24 bits */
    wr(VPM_PM_TMR, 4, 77);
    assert_int_equal(rd(VPM_PM_TMR, 4), 5);
    start(true);
    pass(0xfffffff0 * CLK);
    assert_int_equal(rd(VPM_PM_TMR, 4), 0xfffffff0);
    pass(0x20 * CLK);
    assert_int_equal(rd(VPM_PM_TMR, 4), 0x10);
}

/* 4.8.3.1: TMR_STS is set whenever the most significant bit changes. */
static void timer_status(void **)
{
    pass((1 << 23) * CLK - 1);
    assert_int_equal(rd(0, 2), 0);
    pass(1);
    assert_int_equal(rd(0, 2), 1);
    wr(0, 2, 1);
    assert_int_equal(rd(0, 2), 0);
    wr(2, 2, 1);
    pass((1 << 23) * CLK - 1);
    assert_false(sci.level);
    pass(1);
    assert_true(sci.level);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    wr(0, 2, 0xfffe); /* other bits */
    assert_true(sci.level);
    wr(0, 2, 1);
    assert_false(sci.level);
    pass((1 << 23) * CLK);
    assert_true(sci.level);
    wr(2, 2, 0);
    assert_false(sci.level);
    assert_int_equal(rd(0, 4), 1);
}

/* A machine built late does not find the bit set already. */
static void timer_status_at_start(void **)
{
    fake_now = (1ull << 25) * CLK;
    bus_init(&fake_bus);
    assert_ok(vpm_init(&pm, &fake_bus, &fake_clock, BASE, LINE(&sci), false, &recorder));
    assert_int_equal(rd(0, 2), 0);
}

static void power_button(void **)
{
    vpm_press_power(&pm);
    assert_false(sci.level);
    wr(0, 4, 0x01000100); /* clear, enable */
    assert_int_equal(rd(0, 4), 0x01000000);
    vpm_press_power(&pm);
    assert_true(sci.level);
    assert_int_equal(rd(0, 2), 0x100);
    assert_int_equal(rd(1, 1), 1);
    wr(1, 1, 1); /* by bytes */
    assert_false(sci.level);
    wr(2, 2, 0xffff);
    assert_int_equal(rd(2, 2), 0x0721);     /* reserved bits read 0 */
    assert_int_equal(rd(2, 4), 0x00010721); /* across two registers */
    assert_int_equal(rd(3, 2), 0x0107);
    assert_int_equal(rd(11, 1), 0);
}

/* 4.8.3.2.1 */
static void control(void **)
{
    assert_int_equal(rd(4, 2), 1); /* SCI_EN: ACPI mode */
    wr(4, 2, 0);
    assert_int_equal(rd(4, 2), 1);
    wr(4, 2, 1u << 10 | 1u << 13); /* another type: the machine goes on */
    assert_int_equal(recorded.machine, 0);
    assert_int_equal(rd(4, 2), 1u << 10 | 1); /* SLP_EN reads 0 */
    wr(4, 2, VPM_SLP_TYP_S5 << 10);
    assert_int_equal(recorded.machine, 0);
    wr(4, 2, VPM_SLP_TYP_S5 << 10 | 1u << 13);
    assert_int_equal(recorded.machine, 1);
    assert_int_equal(recorded.event, MACHINE_POWEROFF);
}

static void shows(void **)
{
    wr(2, 2, 0x100);
    SHOW(vpm_show(&pm, out));
    assert_non_null(strstr(shown, "PM1_EN   0100  PWRBTN\n"));
    assert_non_null(strstr(shown, "24 bits"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(timer_counts, setup),
        cmocka_unit_test_setup(timer_status, setup),
        cmocka_unit_test_setup(timer_status_at_start, setup),
        cmocka_unit_test_setup(power_button, setup),
        cmocka_unit_test_setup(control, setup),
        cmocka_unit_test_setup(shows, setup),
    };

    return cmocka_run_group_tests_name("vpm", tests, NULL, NULL);
}
