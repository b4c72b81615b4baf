/* SPDX-License-Identifier: MIT
 *
 * The MC146818A, Motorola's datasheet.  The clock's registers are brought up to date when they are
 * looked at; a timer runs only while an interrupt is enabled that has not come yet.
 */
#include "drivers/model/vrtc.h"
#include "lib/bits.h"
#include "lib/string.h"

enum {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY, /* 1 = Sunday */
    DAY,
    MONTH,
    YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    NVRAM
};

#define A_UIP        BIT(7)
#define A_RATE       0x0f
#define A_DIVIDER(a) ((a) >> 4 & 7)
#define DIVIDER_32K  2 /* the 32768 Hz crystal of a PC: the only one that lets the clock run */
#define B_SET        BIT(7)
#define B_PIE        BIT(6)
#define B_AIE        BIT(5)
#define B_UIE        BIT(4)
#define B_BINARY     BIT(2)
#define B_24H        BIT(1)
#define C_IRQF       BIT(7)
#define C_PF         BIT(6)
#define C_AF         BIT(5)
#define C_UF         BIT(4)
#define D_VRT        BIT(7)

#define HOUR_PM    BIT(7)
#define DONT_CARE  0xc0 /* and above, in an alarm register */
#define CRYSTAL_HZ 32768
#define UIP_US     (244 + 1984) /* how long before the end of a second UIP is set; table 6 */
#define DAY_S      86400u

/* --- Registers as numbers --------------------------------------------------------------------- */

static unsigned decode(const struct vrtc *r, u8 raw)
{
    return r->cmos[REG_B] & B_BINARY ? raw : (raw >> 4) * 10u + (raw & 0xf);
}

static u8 encode(const struct vrtc *r, unsigned value)
{
    return (u8)(r->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned decode_hour(const struct vrtc *r, u8 raw)
{
    if (r->cmos[REG_B] & B_24H)
        return decode(r, raw);
    return decode(r, raw & 0x7f) % 12 + (raw & HOUR_PM ? 12 : 0);
}

static u8 encode_hour(const struct vrtc *r, unsigned hour)
{
    if (r->cmos[REG_B] & B_24H)
        return encode(r, hour);
    return (u8)(encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static bool leap(unsigned year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static unsigned month_days(unsigned year, unsigned month)
{
    static const u8 days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month < 1 || month > 12)
        return 31;
    return days[month - 1] + (month == 2 && leap(year) ? 1u : 0);
}

/* Turn the calendar on by some days. */
static void add_days(struct vrtc *r, u64 days)
{
    unsigned day = decode(r, r->cmos[DAY]), month = decode(r, r->cmos[MONTH]);
    unsigned year = decode(r, r->cmos[VRTC_CENTURY]) * 100 + decode(r, r->cmos[YEAR]);
    unsigned weekday = decode(r, r->cmos[WEEKDAY]);

    r->cmos[WEEKDAY] = encode(r, (unsigned)((weekday + 6 + days % 7) % 7) + 1);
    /* 400 years are 146097 days; a machine that slept that long has lost its date anyhow. */
    for (days %= 146097; days > 0; days--) {
        if (day++ < month_days(year, month))
            continue;
        day = 1;
        if (month++ < 12)
            continue;
        month = 1;
        year++;
    }
    r->cmos[DAY] = encode(r, day);
    r->cmos[MONTH] = encode(r, month);
    r->cmos[YEAR] = encode(r, year % 100);
    r->cmos[VRTC_CENTURY] = encode(r, year / 100 % 100);
}

static bool alarm_at(const struct vrtc *r, unsigned time)
{
    const u8 *cmos = r->cmos;

    return (cmos[SECONDS_ALARM] >= DONT_CARE || decode(r, cmos[SECONDS_ALARM]) == time % 60) &&
           (cmos[MINUTES_ALARM] >= DONT_CARE || decode(r, cmos[MINUTES_ALARM]) == time / 60 % 60) &&
           (cmos[HOURS_ALARM] >= DONT_CARE || decode_hour(r, cmos[HOURS_ALARM]) == time / 3600);
}

/* Turn the clock on by some seconds, as many update cycles would. */
static void add_seconds(struct vrtc *r, u64 seconds)
{
    unsigned time = (decode_hour(r, r->cmos[HOURS]) * 3600 + decode(r, r->cmos[MINUTES]) * 60 +
                     decode(r, r->cmos[SECONDS])) %
                    DAY_S;
    u64 end = time + seconds;

    r->cmos[REG_C] |= C_UF;
    for (u64 t = time + 1; t <= end && t <= time + DAY_S && !(r->cmos[REG_C] & C_AF); t++)
        if (alarm_at(r, (unsigned)(t % DAY_S)))
            r->cmos[REG_C] |= C_AF;
    if (end >= DAY_S)
        add_days(r, end / DAY_S);
    time = (unsigned)(end % DAY_S);
    r->cmos[SECONDS] = encode(r, time % 60);
    r->cmos[MINUTES] = encode(r, time / 60 % 60);
    r->cmos[HOURS] = encode_hour(r, time / 3600);
}

/* --- Time and interrupts ---------------------------------------------------------------------- */

static bool dividing(const struct vrtc *r) { return A_DIVIDER(r->cmos[REG_A]) == DIVIDER_32K; }

static bool running(const struct vrtc *r) { return dividing(r) && !(r->cmos[REG_B] & B_SET); }

/* Crystal cycles per periodic interrupt; rates 1 and 2 are those of 8 and 9 (table 5). */
static u64 period(const struct vrtc *r)
{
    unsigned rate = r->cmos[REG_A] & A_RATE;

    return 1ull << ((rate < 3 ? rate + 7 : rate) - 1);
}

static u64 crystal(const struct vrtc *r)
{
    return clock_ticks_to(r->clock, clock_now(r->clock), CRYSTAL_HZ);
}

/* Account for the time that has passed. */
static void sync(struct vrtc *r)
{
    u64 seconds = (clock_now(r->clock) - r->second) / r->clock->hz;
    u64 cycles = crystal(r);

    r->second += seconds * r->clock->hz;
    if (seconds > 0 && running(r))
        add_seconds(r, seconds);
    if (dividing(r) && (r->cmos[REG_A] & A_RATE) && cycles / period(r) != r->periodic / period(r))
        r->cmos[REG_C] |= C_PF;
    r->periodic = cycles;
}

/* Bring the interrupt up to date, and wait for the next one; none can come before register C has
 * been read. */
static void update(struct vrtc *r)
{
    u8 b = r->cmos[REG_B];
    bool irq = r->cmos[REG_C] & b & (C_PF | C_AF | C_UF);
    u64 next = CLOCK_NEVER, due;

    r->cmos[REG_C] = (u8)((r->cmos[REG_C] & ~C_IRQF) | (irq ? C_IRQF : 0));
    irqline_set(&r->irq, irq);
    if (!irq && (b & B_PIE) && dividing(r) && (r->cmos[REG_A] & A_RATE)) {
        due = (r->periodic / period(r) + 1) * period(r);
        next = clock_ticks_reach(r->clock, due, CRYSTAL_HZ);
    }
    if (!irq && (b & (B_AIE | B_UIE)) && running(r) && r->second + r->clock->hz < next)
        next = r->second + r->clock->hz;
    if (next == CLOCK_NEVER)
        clock_disarm(r->clock, &r->timer);
    else
        clock_arm(r->clock, &r->timer, next);
}

static void fire(void *dev, u64)
{
    sync(dev);
    update(dev);
}

/* --- Ports ------------------------------------------------------------------------------------ */

static u8 read_a(const struct vrtc *r)
{
    u64 left = r->second + r->clock->hz - clock_now(r->clock);
    bool uip = running(r) && left <= clock_ticks_from(r->clock, UIP_US, 1000000);

    return (u8)(r->cmos[REG_A] | (uip ? A_UIP : 0));
}

static void write_a(struct vrtc *r, u8 value)
{
    bool was_dividing = dividing(r);

    r->cmos[REG_A] = value & (u8)~A_UIP;
    /* Let go from reset, the divider has its first update half a second later. */
    if (!was_dividing && dividing(r))
        r->second = clock_now(r->clock) - r->clock->hz / 2;
}

static u64 port_read(void *dev, unsigned, u64 offset, unsigned)
{
    struct vrtc *r = dev;

    if (offset == 0) /* the index register is write-only */
        return 0xff;
    sync(r);
    if (r->index == REG_A)
        return read_a(r);
    u8 value = r->cmos[r->index];
    if (r->index == REG_C) {
        value |= value & r->cmos[REG_B] & (C_PF | C_AF | C_UF) ? C_IRQF : 0;
        r->cmos[REG_C] = 0;
        update(r);
    }
    return value;
}

static void port_write(void *dev, unsigned, u64 offset, unsigned, u64 value)
{
    struct vrtc *r = dev;

    if (offset == 0) { /* bit 7 masks NMIs on a PC; there is no source of NMIs behind it here */
        r->index = value & 0x7f;
        return;
    }
    sync(r);
    if (r->index == REG_A)
        write_a(r, (u8)value);
    else if (r->index == REG_B)
        r->cmos[REG_B] = (u8)(value & B_SET ? value & ~B_UIE : value); /* SET clears UIE */
    else if (r->index != REG_C && r->index != REG_D)
        r->cmos[r->index] = (u8)value;
    update(r);
}

enum status vrtc_init(struct vrtc *r, struct bus *b, struct clock *c, struct irqline irq8,
                      u64 epoch)
{
    memset(r, 0, sizeof *r);
    r->clock = c;
    r->irq = irq8;
    r->timer.fire = fire;
    r->timer.dev = r;
    r->second = clock_now(c);
    r->cmos[REG_A] = DIVIDER_32K << 4 | 6;
    r->cmos[REG_B] = B_24H;
    r->cmos[REG_D] = D_VRT;
    r->cmos[DAY] = 0x01; /* Thursday, 1970-01-01 */
    r->cmos[MONTH] = 0x01;
    r->cmos[YEAR] = 0x70;
    r->cmos[VRTC_CENTURY] = 0x19;
    r->cmos[WEEKDAY] = 0x05;
    add_seconds(r, epoch);
    r->cmos[REG_C] = 0;
    r->periodic = crystal(r);
    enum status s = bus_add_port8(b, "rtc", 0x70, 2, port_read, port_write, r);
    bus_name_registers(b, "rtc", "index|data", 0);
    return s;
}

enum status vrtc_set_nvram(struct vrtc *r, unsigned index, u8 value)
{
    if (index < NVRAM || index >= sizeof r->cmos || index == VRTC_CENTURY)
        return STATUS_ERANGE;
    r->cmos[index] = value;
    return STATUS_OK;
}

void vrtc_show(const struct vrtc *r, struct sink *out)
{
    const u8 *m = r->cmos;

    sink_printf(out, "MC146818, as last brought up to date\n");
    sink_printf(out, "  time   %02u:%02u:%02u %02u%02u-%02u-%02u, weekday %u\n",
                decode_hour(r, m[HOURS]), decode(r, m[MINUTES]), decode(r, m[SECONDS]),
                decode(r, m[VRTC_CENTURY]), decode(r, m[YEAR]), decode(r, m[MONTH]),
                decode(r, m[DAY]), decode(r, m[WEEKDAY]));
    sink_printf(out, "  alarm  %02x:%02x:%02x (raw)\n", m[HOURS_ALARM], m[MINUTES_ALARM],
                m[SECONDS_ALARM]);
    sink_printf(out, "  index  %02x\n", r->index);
    sink_printf(out, "  A      %02x  divider %u%s, rate %u\n", m[REG_A], A_DIVIDER(m[REG_A]),
                dividing(r) ? "" : " (stopped)", m[REG_A] & A_RATE);
    sink_printf(out, "  B      %02x %s%s%s%s  %s, %s-hour\n", m[REG_B],
                m[REG_B] & B_SET ? " SET" : "", m[REG_B] & B_PIE ? " periodic" : "",
                m[REG_B] & B_AIE ? " alarm" : "", m[REG_B] & B_UIE ? " update" : "",
                m[REG_B] & B_BINARY ? "binary" : "BCD", m[REG_B] & B_24H ? "24" : "12");
    sink_printf(out, "  C      %02x %s%s%s%s\n", m[REG_C], m[REG_C] & C_IRQF ? " IRQ" : "",
                m[REG_C] & C_PF ? " periodic" : "", m[REG_C] & C_AF ? " alarm" : "",
                m[REG_C] & C_UF ? " update" : "");
    sink_printf(out, "  D      %02x\n", m[REG_D]);
}
