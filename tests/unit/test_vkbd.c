/* SPDX-License-Identifier: MIT
 *
 * The 8042 without a keyboard, driven as firmware and Linux's i8042 driver drive it.
 */
#include "device.h"
#include "drivers/model/vkbd.h"

static struct vkbd kbd;
static struct line irq;

static int setup(void **)
{
    fake_start(1000000);
    memset(&irq, 0, sizeof irq);
    assert_ok(vkbd_init(&kbd, &fake_bus, LINE(&irq), &recorder));
    return 0;
}

static void command(u8 value)
{
    assert_int_equal(inb(0x64) & 2, 0); /* never busy */
    outb(0x64, value);
}

static u8 answer(void)
{
    assert_int_equal(inb(0x64) & 1, 1);
    return inb(0x60);
}

static void self_tests(void **)
{
    assert_int_equal(inb(0x64), 0x14);
    command(0xaa);
    assert_int_equal(answer(), 0x55);
    assert_int_equal(inb(0x64) & 0x45, 0x04);
    command(0xab);
    assert_int_equal(answer(), 0x00);
}

static void command_byte(void **)
{
    command(0x60);
    outb(0x60, 0x65);
    command(0x20);
    assert_int_equal(answer(), 0x65);
    assert_int_equal(inb(0x64) & 4, 4);
    command(0xad);
    command(0x20);
    assert_int_equal(answer() & 0x10, 0x10);
    command(0xae);
    command(0x20);
    assert_int_equal(answer() & 0x10, 0);
    command(0x60); /* the system flag shows in the status, and a self-test sets it */
    outb(0x60, 0x11);
    assert_int_equal(inb(0x64) & 0x05, 0);
    command(0xd4); /* for a mouse: the keyboard stays disabled */
    outb(0x60, 0xf4);
    (void)answer();
    command(0x20);
    assert_int_equal(answer() & 0x10, 0x10);
    outb(0x60, 0xf4);
    (void)answer();
    command(0x20);
    assert_int_equal(answer() & 0x10, 0);
    command(0xaa);
    (void)answer();
    assert_int_equal(inb(0x64) & 0x15, 0x14);
    command(0x71); /* RAM of the controller */
    outb(0x60, 0xab);
    command(0x31);
    assert_int_equal(answer(), 0xab);
}

/* Commands for the keyboard end in a time-out at once, with an interrupt where enabled. */
static void no_keyboard(void **)
{
    outb(0x60, 0xf2);
    assert_int_equal(inb(0x64) & 0x49, 0x41); /* output full, time-out, data */
    assert_false(irq.level);
    assert_int_equal(inb(0x60), 0xfe);
    assert_int_equal(inb(0x64) & 0x41, 0);
    command(0x60);
    outb(0x60, 0x01);
    outb(0x60, 0xff);
    assert_true(irq.level);
    assert_int_equal(answer(), 0xfe);
    assert_false(irq.level);
}

/* i8042_check_aux(): a loop that does not come back as the mouse's, then a test that fails. */
static void no_mouse_port(void **)
{
    command(0xd3);
    outb(0x60, 0x5a);
    assert_int_equal(inb(0x64) & 0x21, 0x01);
    assert_int_equal(inb(0x60), 0x5a);
    command(0xa9);
    assert_int_not_equal(answer(), 0x00);
    command(0xa8);
    command(0x20);
    assert_int_equal(answer() & 0x20, 0x20); /* stays disabled */
    command(0xd4);
    outb(0x60, 0xf2);
    assert_int_equal(inb(0x64) & 0x41, 0x41);
    assert_int_equal(inb(0x60), 0xfe);
}

static void output_port(void **)
{
    command(0xd0);
    assert_int_equal(answer() & 3, 3); /* running, A20 on */
    command(0xd1);
    outb(0x60, 0xdd);
    command(0xd0);
    assert_int_equal(answer(), 0xdd);
    assert_int_equal(recorded.machine, 0);
    command(0xc0);
    assert_int_equal(answer() & 0x80, 0x80);
    command(0xd2);
    outb(0x60, 0x1c);
    assert_int_equal(answer(), 0x1c);
}

static void resets(void **)
{
    command(0xff); /* pulses nothing */
    assert_int_equal(recorded.machine, 0);
    command(0xfe);
    assert_int_equal(recorded.machine, 1);
    assert_int_equal(recorded.event, MACHINE_RESET);
    command(0xd1);
    outb(0x60, 0xde);
    assert_int_equal(recorded.machine, 2);
}

static void shows(void **)
{
    command(0x60);
    SHOW(vkbd_show(&kbd, out));
    assert_non_null(strstr(shown, "awaits   the byte after command 60h"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(self_tests, setup),  cmocka_unit_test_setup(command_byte, setup),
        cmocka_unit_test_setup(no_keyboard, setup), cmocka_unit_test_setup(no_mouse_port, setup),
        cmocka_unit_test_setup(output_port, setup), cmocka_unit_test_setup(resets, setup),
        cmocka_unit_test_setup(shows, setup),
    };

    return cmocka_run_group_tests_name("vkbd", tests, NULL, NULL);
}
