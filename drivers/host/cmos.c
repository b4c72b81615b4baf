/* SPDX-License-Identifier: MIT
 *
 * Reading the MC146818: wait until no update is in progress, read twice until both agree.
 */
#include "drivers/host/cmos.h"

#include "arch/x86/tsc.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71
/* MC146818 registers. */
#define RTC_STATUS_A    0x0a
#define RTC_STATUS_B    0x0b
#define STATUS_A_UIP    BIT(7)
#define STATUS_B_24H    BIT(1)
#define STATUS_B_BINARY BIT(2)
#define HOUR_PM         0x80u
#define TRIES           1000000u /* an update takes at most 2 ms */

struct rtc {
    u8 second, minute, hour, day, month, year;
};

static u8 cmos_read(u8 index)
{
    outb(CMOS_INDEX, index);
    return inb(CMOS_DATA);
}

static bool read_registers(struct rtc *t)
{
    for (u32 i = 0; cmos_read(RTC_STATUS_A) & STATUS_A_UIP; i++)
        if (i == TRIES)
            return false;
    *t = (struct rtc){cmos_read(0), cmos_read(2), cmos_read(4),
                      cmos_read(7), cmos_read(8), cmos_read(9)};
    return true;
}

static bool is_same(const struct rtc *a, const struct rtc *b)
{
    return a->second == b->second && a->minute == b->minute && a->hour == b->hour &&
           a->day == b->day && a->month == b->month && a->year == b->year;
}

static unsigned decode(u8 value, u8 status_b)
{
    return status_b & STATUS_B_BINARY ? value : (value >> 4) * 10u + (value & 15u);
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar, year 1970 or later. */
static u64 days_to(unsigned year, unsigned month, unsigned day)
{
    /* Count years from March, so that the leap day is a year's last. */
    unsigned y = month > 2 ? year : year - 1;
    unsigned m = month > 2 ? month - 3 : month + 9;

    return y * 365ull + y / 4 - y / 100 + y / 400 + (m * 153u + 2) / 5 + day - 1 - 719468;
}

u64 cmos_read_time(void)
{
    struct rtc a, b;
    unsigned tries = 0;

    do {
        if (!read_registers(&a) || !read_registers(&b) || ++tries == 5)
            return 0;
    } while (!is_same(&a, &b));

    u8 status = cmos_read(RTC_STATUS_B);
    unsigned hour = decode(a.hour & (u8)~HOUR_PM, status);
    if (!(status & STATUS_B_24H))
        hour = hour % 12 + (a.hour & HOUR_PM ? 12 : 0);
    else
        hour = decode(a.hour, status);
    /* Two digits of the year: 1970..2069, as other systems take it. */
    unsigned year = decode(a.year, status), month = decode(a.month, status);
    unsigned day = decode(a.day, status);
    year += year < 70 ? 2000 : 1900;
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return 0;
    return ((days_to(year, month, day) * 24 + hour) * 60 + decode(a.minute, status)) * 60 +
           decode(a.second, status);
}

u64 cmos_next_second(void)
{
    u64 end = tsc_now_us() + 1100000;
    u8 now = cmos_read(0);

    while (cmos_read(0) == now && tsc_now_us() < end)
        cpu_pause();
    return cmos_read_time();
}
