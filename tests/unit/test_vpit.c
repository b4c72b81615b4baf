/* SPDX-License-Identifier: MIT
 *
 * The 8254 against Intel's datasheet 231164.  The clock runs at 8254 periods times 1000, so that
 * one CLK pulse is exactly 1000 ticks; a count written at a pulse is loaded at the next one.
 */
#include "device.h"
#include "drivers/model/vpit.h"

#define CLK 1000ull

static struct vpit pit;
static struct line irq;

static int setup(void **)
{
    fake_start(CLK * VPIT_HZ);
    memset(&irq, 0, sizeof irq);
    assert_ok(vpit_init(&pit, &fake_bus, &fake_clock, LINE(&irq)));
    return 0;
}

static void clk(u64 pulses) { pass(pulses * CLK); }

static void program(unsigned channel, unsigned mode, u16 count)
{
    outb(0x43, (u8)(channel << 6 | 0x30 | mode << 1));
    outb((u16)(0x40 + channel), (u8)count);
    outb((u16)(0x40 + channel), (u8)(count >> 8));
}

/* Latch and read a two-byte counter. */
static u16 count(unsigned channel)
{
    u8 low;

    outb(0x43, (u8)(channel << 6));
    low = inb((u16)(0x40 + channel));
    return (u16)(inb((u16)(0x40 + channel)) << 8 | low);
}

static u8 status(unsigned channel)
{
    outb(0x43, (u8)(0xe0 | 2u << channel)); /* read-back, status only */
    return inb((u16)(0x40 + channel));
}

static bool out2(void) { return inb(0x61) & 0x20; }

static void gate2(bool on) { outb(0x61, (u8)((inb(0x61) & 0x0e) | on)); }

/* Interrupt on terminal count: OUT low, high N + 1 pulses after the count was written. */
static void mode0(void **)
{
    program(0, 0, 100);
    assert_int_equal(status(0), 0x70); /* null count: not loaded yet; OUT low */
    clk(1);
    assert_int_equal(status(0), 0x30);
    assert_int_equal(count(0), 100);
    clk(40);
    assert_int_equal(count(0), 60);
    clk(59);
    assert_int_equal(irq.rises, 0);
    assert_int_equal(status(0) & 0x80, 0);
    clk(1);
    assert_int_equal(irq.rises, 1);
    assert_true(irq.level); /* stays high */
    assert_int_equal(status(0), 0xb0);
    clk(1);
    assert_int_equal(count(0), 0xffff); /* goes on through 0 */
    clk(100000);
    assert_int_equal(irq.rises, 1);
    /* A new count without a control word; its first byte sets OUT low and stops counting. */
    outb(0x40, 10);
    assert_false(irq.level);
    clk(50);
    assert_int_equal(irq.rises, 1);
    outb(0x40, 0);
    clk(10);
    assert_false(irq.level);
    clk(1);
    assert_int_equal(irq.rises, 2);
    program(0, 0, 0); /* 65536 */
    clk(65536);
    assert_int_equal(irq.rises, 2);
    clk(1);
    assert_int_equal(irq.rises, 3);
    outb(0x43, 0x30); /* the control word alone sets OUT low */
    assert_false(irq.level);
    clk(100000);
    assert_int_equal(irq.rises, 3);
}

/* Mode 0's gate stops and continues the count. */
static void mode0_gate(void **)
{
    gate2(true);
    program(2, 0, 100);
    clk(31);
    assert_int_equal(count(2), 70);
    gate2(false);
    clk(500);
    assert_int_equal(count(2), 70);
    assert_false(out2());
    gate2(true);
    clk(69);
    assert_int_equal(count(2), 1);
    assert_false(out2());
    clk(1);
    assert_true(out2());
    gate2(false);
    program(2, 0, 50); /* a count can be written while the gate is low */
    clk(10);
    assert_int_equal(count(2), 50);
    gate2(true);
    clk(50);
    assert_true(out2());
}

/* Hardware retriggerable one-shot. */
static void mode1(void **)
{
    program(2, 1, 100);
    clk(200);
    assert_true(out2()); /* waits for the gate */
    assert_int_equal(status(2) & 0x40, 0x40);
    gate2(true);
    clk(1);
    assert_false(out2());
    assert_int_equal(status(2), 0x32);
    clk(50);
    assert_int_equal(count(2), 50);
    gate2(false); /* no effect */
    clk(10);
    gate2(true); /* again */
    clk(100);
    assert_false(out2());
    clk(1);
    assert_true(out2());
    outb(0x42, 20); /* a new count waits for the next trigger */
    outb(0x42, 0);
    clk(30);
    assert_true(out2());
    gate2(false);
    gate2(true);
    clk(20);
    assert_false(out2());
    clk(1);
    assert_true(out2());
}

/* Rate generator: every N pulses; the count runs N..1. */
static void mode2(void **)
{
    program(0, 2, 1000);
    clk(1);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(count(0), 1000);
        clk(999);
        assert_int_equal(count(0), 1);
        assert_int_equal(status(0) & 0x80, 0); /* OUT is low for the last one */
        assert_int_equal(irq.rises, i - 1);
        clk(1);
        assert_int_equal(irq.rises, i);
        assert_int_equal(status(0), 0xb4);
    }
    /* A new count takes over at the end of the period. */
    clk(400);
    outb(0x40, 0xd0);
    outb(0x40, 0x07); /* 2000 */
    assert_int_equal(status(0) & 0x40, 0x40);
    clk(100);
    assert_int_equal(count(0), 500);
    clk(500);
    assert_int_equal(irq.rises, 6);
    assert_int_equal(count(0), 2000);
    assert_int_equal(status(0) & 0x40, 0);
    clk(1999);
    assert_int_equal(irq.rises, 6);
    clk(1);
    assert_int_equal(irq.rises, 7);
    pass(VPIT_HZ * CLK); /* a second's worth */
    assert_int_equal(irq.rises, 7 + VPIT_HZ / 2000);
}

static void mode2_gate(void **)
{
    gate2(true);
    program(2, 2, 100);
    clk(51);
    assert_int_equal(count(2), 50);
    gate2(false);
    assert_true(out2());
    clk(1000);
    assert_true(out2());
    gate2(true); /* starts anew */
    clk(1);
    assert_int_equal(count(2), 100);
    clk(99);
    assert_false(out2());
    clk(1);
    assert_true(out2());
}

/* Square wave: high for (N + 1) / 2, low for (N - 1) / 2; counts by two. */
static void mode3(void **)
{
    gate2(true);
    program(2, 3, 10);
    clk(1);
    for (unsigned period = 0; period < 3; period++)
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(out2(), i < 5);
            assert_int_equal(count(2), 10 - 2 * (i % 5));
            clk(1);
        }
    program(2, 3, 7);
    clk(1);
    for (unsigned period = 0; period < 3; period++)
        for (unsigned i = 0; i < 7; i++) {
            assert_int_equal(out2(), i < 4);
            assert_int_equal(count(2), 6 - 2 * (i < 4 ? i : i - 4));
            clk(1);
        }
    gate2(false);
    assert_true(out2());
    gate2(true);
    clk(1 + 3);
    assert_true(out2());
    clk(1);
    assert_false(out2());
    /* A new count takes over at the end of the half period. */
    program(2, 3, 100);
    clk(1 + 20);
    outb(0x42, 40);
    outb(0x42, 0);
    clk(29);
    assert_true(out2());
    clk(1);
    for (unsigned i = 0; i < 20; i++, clk(1))
        assert_false(out2());
    for (unsigned i = 0; i < 20; i++, clk(1))
        assert_true(out2());
    assert_false(out2());
}

static void mode3_interrupts(void **)
{
    program(0, 3, 0); /* 18.2 Hz, as firmware leaves it */
    pass(10 * VPIT_HZ * CLK);
    assert_int_equal(irq.rises, 182);
    program(0, 3, 1193);
    irq.rises = 0;
    pass(VPIT_HZ * CLK);
    assert_int_equal(irq.rises, 1000);
    clk(1193 - 181 + 100); /* it is 181 into a period; now 100 into the next */
    irq.rises = 0;
    outb(0x40, 0xe8);
    outb(0x40, 0x03); /* 1000: its low half follows this high one of 597 */
    clk(497 + 500 - 1);
    assert_int_equal(irq.rises, 0);
    clk(1);
    assert_int_equal(irq.rises, 1);
    clk(1000);
    assert_int_equal(irq.rises, 2);
}

/* Software and hardware triggered strobe: low for one pulse after N + 1. */
static void mode4_and_5(void **)
{
    gate2(true);
    program(2, 4, 100);
    clk(100);
    assert_true(out2());
    clk(1);
    assert_false(out2());
    clk(1);
    assert_true(out2());
    program(0, 4, 100);
    clk(101);
    assert_int_equal(irq.rises, 0);
    clk(1);
    assert_int_equal(irq.rises, 1);
    clk(200000);
    assert_int_equal(irq.rises, 1);
    gate2(false);
    program(2, 5, 50);
    clk(1000);
    assert_true(out2());
    gate2(true);
    clk(50);
    assert_true(out2());
    clk(1);
    assert_false(out2());
    clk(1);
    assert_true(out2());
    program(0, 1, 100); /* channel 0's gate never rises */
    clk(1000);
    assert_int_equal(irq.rises, 1);
}

static void access_modes(void **)
{
    outb(0x43, 0x14); /* channel 0, LSB only, mode 2 */
    outb(0x40, 200);
    clk(1 + 50);
    assert_int_equal(inb(0x40), 150);
    assert_int_equal(inb(0x40), 150);
    outb(0x43, 0x24); /* MSB only */
    outb(0x40, 2);
    clk(1);
    assert_int_equal(inb(0x40), 2);
    clk(1);
    assert_int_equal(inb(0x40), 1); /* 511 */
    program(0, 2, 0x1234);
    clk(1);
    assert_int_equal(inb(0x40), 0x34); /* unlatched, alternating */
    assert_int_equal(inb(0x40), 0x12);
    assert_int_equal(inb(0x40), 0x34);
    assert_int_equal(inb(0x40), 0x12);
    outb(0x43, 0x00);
    clk(100);
    outb(0x43, 0x00); /* a second latch is ignored until the first is read */
    assert_int_equal(inb(0x40), 0x34);
    assert_int_equal(inb(0x40), 0x12);
    assert_int_equal(count(0), 0x1234 - 100);
    assert_int_equal(inb(0x43), 0xff);
    outb(0x43, 0x3c); /* modes 6 and 7 are 2 and 3 */
    outb(0x40, 100);
    outb(0x40, 0);
    clk(1 + 99);
    assert_int_equal(count(0), 1);
}

static void read_back(void **)
{
    gate2(true);
    program(0, 2, 1000);
    program(2, 3, 500);
    clk(1 + 100);
    outb(0x43, 0xc0 | 0x0a); /* count and status of channels 0 and 2 */
    clk(50);
    assert_int_equal(inb(0x40), 0xb4); /* status comes first */
    assert_int_equal(inb(0x40), 900 & 0xff);
    assert_int_equal(inb(0x40), 900 >> 8);
    assert_int_equal(inb(0x42), 0xb6);
    assert_int_equal(inb(0x42), 300 & 0xff);
    assert_int_equal(inb(0x42), 300 >> 8);
    outb(0x43, 0xd0 | 0x02); /* count only */
    assert_int_equal(inb(0x40), 850 & 0xff);
    assert_int_equal(inb(0x40), 850 >> 8);
}

static void bcd(void **)
{
    gate2(true);
    outb(0x43, 0xb1); /* channel 2, mode 0, BCD */
    outb(0x42, 0x00);
    outb(0x42, 0x10); /* 1000 */
    clk(1 + 1);
    assert_int_equal(count(2), 0x0999);
    clk(999);
    assert_true(out2());
    assert_int_equal(count(2), 0);
    clk(1);
    assert_int_equal(count(2), 0x9999);
    outb(0x43, 0xb5);
    outb(0x42, 0);
    outb(0x42, 0); /* 10000 */
    clk(1 + 1);
    assert_int_equal(count(2), 0x9999);
}

static void port61(void **)
{
    unsigned toggles = 0;
    u8 last;

    outb(0x61, 0xff);
    assert_int_equal(inb(0x61) & 0xcf, 0x0f); /* bits 3:0 are kept; no parity or channel error */
    outb(0x61, 0x00);
    assert_int_equal(inb(0x61) & 0xcf, 0);
    last = inb(0x61) & 0x10;
    for (unsigned i = 0; i < 11932; i++) { /* 10 ms: a toggle each 15.1 us */
        clk(1);
        toggles += (inb(0x61) & 0x10) != last;
        last = inb(0x61) & 0x10;
    }
    assert_in_range(toggles, 655, 670);
}

/* A period of one count must not keep the machine busy. */
static void tiny_periods(void **)
{
    for (unsigned mode = 2; mode <= 3; mode++) {
        program(0, mode, 1);
        irq.rises = 0;
        pass(VPIT_HZ * CLK / 100);
        assert_in_range(irq.rises, 50, 101);
    }
}

static void long_running(void **)
{
    fake_start(2999999999ull); /* nothing divides evenly */
    assert_ok(vpit_init(&pit, &fake_bus, &fake_clock, LINE(&irq)));
    program(0, 2, 11932); /* 100 Hz */
    irq.rises = 0;
    pass(3600ull * 2999999999ull); /* an hour: no drift */
    assert_int_equal(irq.rises, 3600ull * VPIT_HZ / 11932);
}

static void shows(void **)
{
    program(0, 2, 1000);
    clk(101);
    SHOW(vpit_show(&pit, out));
    assert_non_null(strstr(shown, "channel 0  control 34  mode 2, LSB, MSB; counts, from 1000, "
                                  "now 900, gate 1, out 1\n"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(mode0),
        TEST(mode0_gate),
        TEST(mode1),
        TEST(mode2),
        TEST(mode2_gate),
        TEST(mode3),
        TEST(mode3_interrupts),
        TEST(mode4_and_5),
        TEST(access_modes),
        TEST(read_back),
        TEST(bcd),
        TEST(port61),
        TEST(tiny_periods),
        TEST(long_running),
        TEST(shows),
    };

    return cmocka_run_group_tests_name("vpit", tests, NULL, NULL);
}
