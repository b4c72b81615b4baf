/* SPDX-License-Identifier: MIT
 *
 * The 8259A pair against Intel's datasheet 231468, initialised as a PC does.
 */
#include "device.h"
#include "drivers/model/vpic.h"

static struct vpic pic;
static struct line intr;

static void initialise(u8 icw4)
{
    outb(0x20, 0x11);
    outb(0x21, 0x30);
    outb(0x21, 0x04);
    outb(0x21, icw4);
    outb(0xa0, 0x11);
    outb(0xa1, 0x38);
    outb(0xa1, 0x02);
    outb(0xa1, icw4);
}

static int setup(void **)
{
    fake_start(1000000);
    memset(&intr, 0, sizeof intr);
    assert_ok(vpic_init(&pic, &fake_bus, LINE(&intr)));
    initialise(0x01);
    return 0;
}

static void set(unsigned pin, bool level) { vpic_set(&pic, pin, level); }

static void pulse(unsigned pin)
{
    set(pin, true);
    set(pin, false);
}

static u8 irr(u16 port)
{
    outb(port, 0x0a);
    return inb(port);
}

static u8 isr(u16 port)
{
    outb(port, 0x0b);
    return inb(port);
}

static void fully_nested(void **)
{
    assert_int_equal(inb(0x21), 0); /* ICW1 clears the mask */
    set(3, true);
    assert_true(intr.level);
    assert_int_equal(irr(0x20), 0x08);
    assert_int_equal(vpic_inta(&pic), 0x33);
    assert_false(intr.level);
    assert_int_equal(isr(0x20), 0x08);
    assert_int_equal(irr(0x20), 0);
    set(4, true); /* lower: waits */
    assert_false(intr.level);
    set(1, true); /* higher: interrupts */
    assert_true(intr.level);
    assert_int_equal(vpic_inta(&pic), 0x31);
    assert_int_equal(isr(0x20), 0x0a);
    outb(0x20, 0x20); /* non-specific: the highest */
    assert_int_equal(isr(0x20), 0x08);
    assert_false(intr.level);
    outb(0x20, 0x20);
    assert_true(intr.level);
    assert_int_equal(vpic_inta(&pic), 0x34);
    outb(0x20, 0x63); /* specific, of another input */
    assert_int_equal(isr(0x20), 0x10);
    outb(0x20, 0x64);
    assert_int_equal(isr(0x20), 0);
    pulse(6);
    (void)vpic_inta(&pic);
    outb(0x20, 0x0b);
    outb(0x20, 0x48); /* an OCW3 without RR keeps the register selected */
    assert_int_equal(inb(0x20), 0x40);
    outb(0x20, 0x0e); /* and poll overrides RR */
    (void)inb(0x20);
    assert_int_equal(inb(0x20), 0x40);
    outb(0x20, 0x20);
    set(3, true); /* still high: no new edge */
    assert_false(intr.level);
    set(3, false);
    set(3, true);
    assert_true(intr.level);
}

static void masks(void **)
{
    outb(0x21, 0x08);
    pulse(3);
    assert_false(intr.level);
    assert_int_equal(irr(0x20), 0x08); /* requested, but masked */
    outb(0x21, 0);
    assert_true(intr.level);
    outb(0x21, 0x08); /* taken back before INTA: spurious, not in service */
    assert_false(intr.level);
    assert_int_equal(vpic_inta(&pic), 0x37);
    assert_int_equal(isr(0x20), 0);
    assert_int_equal(pic.spurious, 1);
}

static void cascade(void **)
{
    pulse(12);
    assert_int_equal(irr(0x20), 0x04);
    assert_int_equal(irr(0xa0), 0x10);
    assert_int_equal(vpic_inta(&pic), 0x3c);
    assert_int_equal(isr(0x20), 0x04);
    assert_int_equal(isr(0xa0), 0x10);
    pulse(8); /* higher in the slave, but the master has input 2 in service */
    assert_false(intr.level);
    pulse(0);
    assert_int_equal(vpic_inta(&pic), 0x30);
    outb(0x20, 0x20);
    outb(0xa0, 0x20); /* the slave alone is not enough */
    assert_false(intr.level);
    outb(0x20, 0x20);
    assert_true(intr.level);
    assert_int_equal(vpic_inta(&pic), 0x38);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    outb(0x21, 0x04); /* the cascade masked */
    pulse(15);
    assert_false(intr.level);
    outb(0x21, 0);
    assert_int_equal(vpic_inta(&pic), 0x3f);
    set(2, true); /* no such line */
    assert_int_equal(irr(0x20), 0);
}

static void special_fully_nested(void **)
{
    initialise(0x11);
    pulse(12);
    assert_int_equal(vpic_inta(&pic), 0x3c);
    pulse(8); /* the slave may interrupt itself */
    assert_true(intr.level);
    assert_int_equal(vpic_inta(&pic), 0x38);
    pulse(3);
    assert_false(intr.level);
}

static void automatic_eoi(void **)
{
    initialise(0x03);
    pulse(3);
    pulse(5);
    assert_int_equal(vpic_inta(&pic), 0x33);
    assert_int_equal(isr(0x20), 0);
    assert_int_equal(vpic_inta(&pic), 0x35);
    assert_false(intr.level);
    outb(0x20, 0x80); /* rotate in automatic EOI mode */
    pulse(3);
    assert_int_equal(vpic_inta(&pic), 0x33); /* now 3 is lowest, 4 highest */
    pulse(1);
    pulse(6);
    assert_int_equal(vpic_inta(&pic), 0x36);
    outb(0x20, 0x00);
    assert_int_equal(vpic_inta(&pic), 0x31);
}

static void rotation(void **)
{
    pulse(2 + 1);
    (void)vpic_inta(&pic);
    outb(0x20, 0xa0); /* rotate on non-specific EOI: 3 becomes lowest */
    assert_int_equal(isr(0x20), 0);
    pulse(3);
    pulse(4);
    pulse(0);
    assert_int_equal(vpic_inta(&pic), 0x34);
    outb(0x20, 0xe4); /* rotate on specific EOI */
    assert_int_equal(vpic_inta(&pic), 0x30);
    outb(0x20, 0x20);
    outb(0x20, 0xc2); /* set priority: 2 lowest, 3 highest */
    pulse(0);
    assert_int_equal(vpic_inta(&pic), 0x33);
    outb(0x20, 0x40); /* no operation */
    assert_int_equal(isr(0x20), 0x08);
    outb(0x20, 0x20);
    assert_int_equal(vpic_inta(&pic), 0x30);
}

static void special_mask(void **)
{
    pulse(3);
    (void)vpic_inta(&pic);
    pulse(5);
    assert_false(intr.level);
    outb(0x21, 0x08);
    assert_false(intr.level); /* masking alone does not free the lower ones */
    outb(0x20, 0x68);         /* special mask mode */
    assert_true(intr.level);
    assert_int_equal(vpic_inta(&pic), 0x35);
    outb(0x20, 0x20); /* non-specific EOI passes by the masked one */
    assert_int_equal(isr(0x20), 0x08);
    pulse(6);
    assert_true(intr.level);
    outb(0x20, 0x48);
    assert_false(intr.level);
    outb(0x20, 0x63);
    assert_true(intr.level);
}

static void polling(void **)
{
    outb(0x20, 0x0c);
    assert_int_equal(inb(0x20), 0);
    set(6, true);
    outb(0x20, 0x0c);
    assert_int_equal(inb(0x21), 0x86); /* at either port */
    assert_int_equal(inb(0x21), 0);    /* the mask again */
    assert_int_equal(isr(0x20), 0x40);
    assert_false(intr.level);
}

static void level_triggered(void **)
{
    assert_int_equal(inb(0x4d0), 0);
    outb(0x4d0, 0xff);
    outb(0x4d1, 0xff);
    assert_int_equal(inb(0x4d0), 0xf8); /* 0, 1, 2, 8 and 13 stay edge-triggered */
    assert_int_equal(inb(0x4d1), 0xde);
    set(10, true);
    assert_int_equal(vpic_inta(&pic), 0x3a);
    assert_false(intr.level);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    assert_true(intr.level); /* still asserted */
    assert_int_equal(vpic_inta(&pic), 0x3a);
    set(10, false);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    assert_false(intr.level);
    set(11, true);
    set(11, false); /* gone before INTA: master's input 7 */
    assert_false(intr.level);
    assert_int_equal(vpic_inta(&pic), 0x37);
    set(12, true);
    outb(0x4d1, 0); /* edge-triggered now */
    assert_int_equal(vpic_inta(&pic), 0x3c);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    assert_false(intr.level);
}

static void initialisation(void **)
{
    set(4, true);
    (void)vpic_inta(&pic);
    outb(0x21, 0xff);
    outb(0x20, 0x0b);
    outb(0x20, 0x11);
    assert_int_equal(pic.chip[0].isr, 0);
    assert_int_equal(inb(0x20), 0); /* IRR is selected; the edge must come anew */
    outb(0x21, 0x2f);               /* low bits of ICW2 are not used */
    outb(0x21, 0x04);
    outb(0x21, 0x01);
    assert_int_equal(inb(0x21), 0);
    set(4, false);
    set(4, true);
    assert_int_equal(vpic_inta(&pic), 0x2c);
    outb(0x20, 0x12); /* single, no ICW4: only ICW2 follows */
    outb(0x21, 0x50);
    outb(0x21, 0xa5);
    assert_int_equal(inb(0x21), 0xa5);
}

static void shows(void **)
{
    outb(0x21, 0xfb);
    pulse(12);
    (void)vpic_inta(&pic);
    SHOW(vpic_show(&pic, out));
    assert_non_null(strstr(shown, "IMR    fb"));
    assert_non_null(strstr(shown, "vectors 38h-3fh"));
    assert_non_null(strstr(shown, "irq12: 1"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(fully_nested),    TEST(masks),          TEST(cascade),      TEST(special_fully_nested),
        TEST(automatic_eoi),   TEST(rotation),       TEST(special_mask), TEST(polling),
        TEST(level_triggered), TEST(initialisation), TEST(shows),
    };

    return cmocka_run_group_tests_name("vpic", tests, NULL, NULL);
}
