/* SPDX-License-Identifier: MIT
 *
 * The MC146818A against Motorola's datasheet; dates against the C library.
 */
#include "device.h"
#include "drivers/model/vrtc.h"
#include <time.h>

#define HZ 1000000000ull

static struct vrtc rtc;
static struct line irq;

static u8 rd(u8 index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void wr(u8 index, u8 value)
{
    outb(0x70, index);
    outb(0x71, value);
}

static void start(u64 epoch)
{
    fake_start(HZ);
    memset(&irq, 0, sizeof irq);
    assert_ok(vrtc_init(&rtc, &fake_bus, &fake_clock, LINE(&irq), epoch));
}

static int setup(void **)
{
    start(946684799); /* 1999-12-31 23:59:59, a Friday */
    return 0;
}

static unsigned bcd(u8 raw) { return (raw >> 4) * 10u + (raw & 0xf); }

static void assert_time(u64 epoch)
{
    time_t t = (time_t)epoch;
    struct tm tm;

    gmtime_r(&t, &tm);
    assert_int_equal(bcd(rd(0)), tm.tm_sec);
    assert_int_equal(bcd(rd(2)), tm.tm_min);
    assert_int_equal(bcd(rd(4)), tm.tm_hour);
    assert_int_equal(bcd(rd(6)), tm.tm_wday + 1);
    assert_int_equal(bcd(rd(7)), tm.tm_mday);
    assert_int_equal(bcd(rd(8)), tm.tm_mon + 1);
    assert_int_equal(bcd(rd(9)) + 100 * bcd(rd(0x32)), tm.tm_year + 1900);
}

static void reset_state(void **)
{
    assert_int_equal(rd(0x0a) & 0x7f, 0x26);
    assert_int_equal(rd(0x0b), 0x02);
    assert_int_equal(rd(0x0c), 0);
    assert_int_equal(rd(0x0d), 0x80);
    assert_int_equal(inb(0x70), 0xff);
    assert_time(946684799);
    pass(HZ - 1);
    assert_time(946684799);
    pass(1);
    assert_time(946684800);
}

static void calendars(void **)
{
    static const u64 epochs[] = {0,          68169599,   951782399,  951868799,  1077926399,
                                 1709164799, 1709251199, 2147483647, 4107542399, 1735689599};

    for (unsigned i = 0; i < ARRAY_SIZE(epochs); i++) {
        start(epochs[i]);
        assert_time(epochs[i]);
        pass(HZ);
        assert_time(epochs[i] + 1);
        pass(86400 * HZ);
        assert_time(epochs[i] + 86401);
        pass(370 * 86400ull * HZ);
        assert_time(epochs[i] + 86401 + 370 * 86400);
    }
}

static void formats(void **)
{
    static const struct {
        u8 hour, bcd12, bin12;
    } hours[] = {{0, 0x12, 12}, {1, 0x01, 1}, {11, 0x11, 11}, {12, 0x92, 0x8c}, {23, 0x91, 0x8b}};

    for (unsigned i = 0; i < ARRAY_SIZE(hours); i++) {
        wr(0x0b, 0x86); /* SET, binary, 24 h */
        wr(0, 59);
        wr(2, 59);
        wr(4, (u8)(hours[i].hour == 0 ? 23 : hours[i].hour - 1));
        wr(0x0b, 0x06);
        pass(HZ);
        assert_int_equal(rd(4), hours[i].hour);
        /* The datasheet has the time written anew after a change of format. */
        wr(0x0b, 0x80);
        wr(0, 0x58);
        wr(2, 0x59);
        wr(4, hours[i].bcd12);
        wr(0x0b, 0x00);
        pass(HZ);
        assert_int_equal(rd(4), hours[i].bcd12);
        assert_int_equal(rd(0), 0x59);
        wr(0x0b, 0x84);
        wr(0, 59);
        wr(2, 59);
        wr(4, hours[(i + 1) % 5].bin12);
        wr(0x0b, 0x04);
        pass(HZ);
        assert_int_equal(rd(2), 0);
    }
    wr(0x0b, 0x80); /* 11:59:59 PM turns the day */
    wr(0, 0x59);
    wr(2, 0x59);
    wr(4, 0x91);
    wr(7, 0x28);
    wr(8, 0x02);
    wr(9, 0x23);
    wr(0x32, 0x20);
    wr(6, 0x07);
    wr(0x0b, 0x00);
    pass(HZ);
    assert_int_equal(rd(4), 0x12);
    assert_int_equal(rd(7), 0x01);
    assert_int_equal(rd(8), 0x03);
    assert_int_equal(rd(6), 0x01);
}

static void set_and_divider(void **)
{
    wr(0x0b, 0x92); /* SET clears UIE */
    assert_int_equal(rd(0x0b), 0x82);
    pass(5 * HZ);
    assert_int_equal(rd(0), 0x59); /* stands */
    wr(0, 0x10);
    wr(0x0b, 0x02);
    pass(HZ);
    assert_int_equal(rd(0), 0x11);
    wr(0x0a, 0x76); /* divider held in reset */
    pass(10 * HZ);
    assert_int_equal(rd(0), 0x11);
    wr(0x0a, 0x26); /* first update half a second later */
    pass(HZ / 2 - 1);
    assert_int_equal(rd(0), 0x11);
    pass(1);
    assert_int_equal(rd(0), 0x12);
    wr(0x0a, 0xa6); /* UIP is read-only */
    assert_int_equal(rd(0x0a), 0x26);
}

/* UIP is set 244 us before the update cycle of 1984 us. */
static void update_in_progress(void **)
{
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rd(0x0a) & 0x80, 0);
        pass(HZ - 2228 * 1000 - 1);
        assert_int_equal(rd(0x0a) & 0x80, 0);
        pass(1);
        assert_int_equal(rd(0x0a) & 0x80, 0x80);
        pass(2228 * 1000 - 1);
        assert_int_equal(rd(0x0a) & 0x80, 0x80);
        pass(1);
    }
    wr(0x0b, 0x82);
    pass(HZ - 1000);
    assert_int_equal(rd(0x0a) & 0x80, 0);
}

static void update_interrupt(void **)
{
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    wr(0x0b, 0x12);
    pass(HZ - 1);
    assert_false(irq.level);
    pass(1);
    assert_true(irq.level);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER); /* none before C is read */
    pass(3 * HZ);
    assert_int_equal(rd(0x0c) & 0x90, 0x90);
    assert_false(irq.level);
    assert_int_equal(rd(0x0c), 0);
    pass(HZ);
    assert_true(irq.level);
    wr(0x0b, 0x02); /* disabled: the flag is still there */
    assert_false(irq.level);
    assert_int_equal(rd(0x0c) & 0x90, 0x10);
}

/* Table 5: the rates of the 32768 Hz time base. */
static void periodic_interrupt(void **)
{
    static const unsigned per_second[] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
                                          256, 128, 64,  32,   16,   8,    4,    2};

    for (u8 rate = 0; rate < 16; rate++) {
        unsigned before;

        wr(0x0b, 0x02);
        wr(0x0a, 0x20 | rate);
        (void)rd(0x0c);
        wr(0x0b, 0x42);
        before = irq.rises;
        for (u64 end = fake_now + HZ; clock_next(&fake_clock) <= end;) {
            pass_to(clock_next(&fake_clock));
            assert_int_equal(rd(0x0c) & 0xc0, 0xc0);
        }
        assert_in_range(irq.rises - before + 1, per_second[rate], per_second[rate] + 2);
        pass(HZ);
    }
    wr(0x0b, 0x02);
    wr(0x0a, 0x26);
    (void)rd(0x0c);
    pass(HZ / 1024 + 1); /* the flag is polled without the interrupt */
    assert_int_equal(rd(0x0c) & 0xc0, 0x40);
    assert_int_equal(rd(0x0c) & 0x40, 0);
}

static void alarms(void **)
{
    wr(1, 0x05);
    wr(3, 0x00);
    wr(5, 0x00);
    wr(0x0b, 0x22);
    pass(6 * HZ - 1);
    assert_false(irq.level);
    pass(1);
    assert_true(irq.level);
    assert_int_equal(rd(0x0c) & 0xa0, 0xa0);
    pass(86400 * HZ - 1);
    assert_false(irq.level);
    pass(1);
    assert_true(irq.level);
    (void)rd(0x0c);
    wr(3, 0xff); /* don't care: once a minute */
    wr(5, 0xc0);
    for (unsigned i = 0; i < 5; i++) {
        pass(60 * HZ);
        assert_true(irq.level);
        (void)rd(0x0c);
    }
    wr(1, 0xc0); /* every second */
    pass(HZ);
    assert_true(irq.level);
    (void)rd(0x0c);
    wr(1, 0x61); /* no such second */
    pass(100000 * HZ);
    assert_false(irq.level);
    wr(0x0b, 0x02);
    wr(1, 0xc0);
    pass(HZ);
    assert_int_equal(rd(0x0c) & 0xa0, 0x20); /* the flag alone */
}

/* Asleep for a whole day, alarm in its very last second. */
static void alarm_after_a_day(void **)
{
    wr(1, 0x59);
    wr(3, 0x59);
    wr(5, 0x23);
    (void)rd(0x0c);
    fake_now += 86399 * HZ;
    assert_int_equal(rd(0x0c) & 0x20, 0);
    fake_now += HZ;
    assert_int_equal(rd(0x0c) & 0x20, 0x20);
    fake_now += 86400 * HZ;
    assert_int_equal(rd(0x0c) & 0x20, 0x20);
}

static void nvram(void **)
{
    assert_int_equal(vrtc_set_nvram(&rtc, 0x0d, 1), STATUS_ERANGE);
    assert_int_equal(vrtc_set_nvram(&rtc, 0x80, 1), STATUS_ERANGE);
    assert_int_equal(vrtc_set_nvram(&rtc, VRTC_CENTURY, 1), STATUS_ERANGE);
    assert_ok(vrtc_set_nvram(&rtc, 0x0f, 0x0a));
    assert_ok(vrtc_set_nvram(&rtc, 0x7f, 0x55));
    assert_int_equal(rd(0x0f), 0x0a);
    assert_int_equal(rd(0xff), 0x55); /* bit 7 of the index is the NMI mask */
    wr(0x40, 0x77);
    assert_int_equal(rd(0x40), 0x77);
    wr(0x0d, 0);
    assert_int_equal(rd(0x0d), 0x80);
    wr(0x0c, 0xff);
    assert_int_equal(rd(0x0c), 0);
}

static void garbage_is_survived(void **)
{
    for (unsigned i = 0; i < 256; i++) {
        wr(0x0b, (u8)i & 0x0f);
        for (u8 reg = 0; reg < 10; reg++)
            wr(reg, (u8)(i * 37 + reg * 11));
        pass(86400 * HZ);
        (void)rd(0);
    }
}

static void shows(void **)
{
    wr(0x0b, 0x12);
    SHOW(vrtc_show(&rtc, out));
    assert_non_null(strstr(shown, "23:59:59 1999-12-31, weekday 6"));
    assert_non_null(strstr(shown, "B      12  update  BCD, 24-hour"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(reset_state),
        TEST(calendars),
        TEST(formats),
        TEST(set_and_divider),
        TEST(update_in_progress),
        TEST(update_interrupt),
        TEST(periodic_interrupt),
        TEST(alarms),
        TEST(alarm_after_a_day),
        TEST(nvram),
        TEST(garbage_is_survived),
        TEST(shows),
    };

    return cmocka_run_group_tests_name("vrtc", tests, NULL, NULL);
}
