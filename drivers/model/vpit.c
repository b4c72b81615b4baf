/* SPDX-License-Identifier: MIT
 *
 * The 8254, Intel's datasheet 231164.  Nothing counts here: a channel remembers when its counter
 * was loaded, and count, output and the next edge are computed from the clock.
 */
#include "drivers/model/vpit.h"
#include "lib/bits.h"
#include "lib/string.h"

/* Times start here, so that a mode-3 counter's origin, up to half a period back, is positive. */
#define ORIGIN 0x20000ull
#define NEVER  CLOCK_NEVER

#define CONTROL_BCD BIT(0)
#define STATUS_OUT  BIT(7)
#define STATUS_NULL BIT(6)

#define PORT61_GATE2   BIT(0)
#define PORT61_REFRESH BIT(4)
#define PORT61_OUT2    BIT(5)
#define REFRESH_COUNTS 18 /* one DRAM refresh each 15.1 us */

static u64 time_now(const struct vpit *p)
{
    return ORIGIN + clock_ticks_to(p->clock, clock_now(p->clock), VPIT_HZ);
}

static bool retriggerable(const struct vpit_channel *c) { return c->mode == 1 || c->mode == 5; }

static bool periodic(const struct vpit_channel *c) { return c->mode == 2 || c->mode == 3; }

/* How long OUT is high in a period of mode 3. */
static u32 high_half(u32 count) { return (count + 1) / 2; }

/* A count written in mode 2 or 3 while counting takes over when its time has come. */
static void take_next(struct vpit_channel *c, u64 now)
{
    if (c->next_at == 0 || now < c->next_at)
        return;
    c->count = c->next_count;
    c->start = c->next_start;
    c->next_at = 0;
}

/* CLK pulses since the counter was loaded. */
static u64 elapsed(const struct vpit_channel *c, u64 now)
{
    u64 t = c->gate || retriggerable(c) ? now : c->stopped;

    return t > c->start ? t - c->start : 0;
}

static bool running(const struct vpit_channel *c)
{
    return c->loaded && (!retriggerable(c) || c->triggered);
}

/* The counting element, as a number. */
static u32 counter(const struct vpit_channel *c, u64 now)
{
    u64 e = elapsed(c, now);
    u32 n = c->count, phase;

    if (!running(c))
        return 0;
    switch (c->mode) {
    case 2: return n - (u32)(e % n);
    case 3: /* by twos, twice a period; an odd count starts one lower */
        phase = (u32)(e % n);
        return (n & ~1u) - 2 * (phase < high_half(n) ? phase : phase - high_half(n));
    default: /* goes on through 0 */
        return c->control & CONTROL_BCD ? (u32)((n + 10000 - e % 10000) % 10000)
                                        : (u32)(n - e) & 0xffff;
    }
}

static bool output(const struct vpit_channel *c, u64 now)
{
    u64 e = elapsed(c, now);

    if (!running(c))
        return c->mode != 0;
    switch (c->mode) {
    case 0:
    case 1: return e >= c->count;
    case 2: return !c->gate || e % c->count != c->count - 1;
    case 3: return !c->gate || e % c->count < high_half(c->count);
    default: return e != c->count;
    }
}

/* When channel 0's OUT next rises after t, or NEVER.  Its gate is always high. */
static u64 next_rise(const struct vpit_channel *c, u64 t)
{
    if (!running(c))
        return NEVER;
    if (periodic(c)) {
        if (c->next_at && c->mode == 3 && c->next_start != c->next_at)
            return c->next_start + c->next_count; /* the half that begins then is the low one */
        if (c->next_at)
            return c->next_at;
        return c->start + ((t > c->start ? t - c->start : 0) / c->count + 1) * c->count;
    }
    u64 end = c->start + c->count + (c->mode >= 4 ? 1 : 0);
    return end > t ? end : NEVER;
}

/* Arm channel 0's timer for the next edge; in a period below the clock's floor, for a later one. */
static void arm(struct vpit *p, u64 now)
{
    struct vpit_channel *c = &p->channel[0];
    u64 least = clock_ticks_to(p->clock, clock_floor(p->clock), VPIT_HZ);
    u64 rise = next_rise(c, periodic(c) && c->count < least && !c->next_at ? now + least : now);

    if (rise == NEVER)
        clock_disarm(p->clock, &p->timer);
    else
        clock_arm(p->clock, &p->timer, clock_ticks_reach(p->clock, rise - ORIGIN, VPIT_HZ));
}

static void fire(void *dev, u64)
{
    struct vpit *p = dev;
    u64 now = time_now(p);

    take_next(&p->channel[0], now);
    p->ticks++;
    irqline_set(&p->irq, false);
    irqline_set(&p->irq, true);
    arm(p, now);
}

/* Something about a channel was programmed: channel 0's interrupt follows.  Only mode 0 holds the
 * line low while it counts; the pulses of the others are made when they are due. */
static void reprogrammed(struct vpit *p, unsigned n, u64 now)
{
    struct vpit_channel *c = &p->channel[n];

    if (n != 0)
        return;
    if (c->mode == 0 && !output(c, now))
        irqline_set(&p->irq, false);
    arm(p, now);
}

static u32 from_bcd(u32 v)
{
    return (v & 0xf) + (v >> 4 & 0xf) * 10 + (v >> 8 & 0xf) * 100 + (v >> 12 & 0xf) * 1000;
}

static u32 to_bcd(u32 v)
{
    return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12;
}

/* A whole count was written; it reaches the counter with the next CLK pulse, or when the mode's
 * rules say. */
static void load(struct vpit_channel *c, u32 written, u64 now)
{
    u32 count = c->control & CONTROL_BCD ? from_bcd(written) : written;

    if (count == 0)
        count = c->control & CONTROL_BCD ? 10000 : 65536;
    if (retriggerable(c)) {
        c->next_count = count;
        c->null_count = true;
        c->loaded = true;
        return;
    }
    if (periodic(c) && c->loaded && c->gate) {
        u64 period = c->start + elapsed(c, now) / c->count * c->count;

        c->next_count = count;
        if (c->mode == 3 && elapsed(c, now) % c->count < high_half(c->count)) {
            c->next_at = period + high_half(c->count);
            c->next_start = c->next_at - high_half(count);
        } else {
            c->next_at = c->next_start = period + c->count;
        }
        return;
    }
    c->count = count;
    c->start = c->stopped = now + 1;
    c->loaded = true;
}

static void write_count(struct vpit_channel *c, u8 value, u64 now)
{
    if (c->access == 1) {
        load(c, value, now);
    } else if (c->access == 2) {
        load(c, (u32)value << 8, now);
    } else if (!c->write_high) {
        c->write_low = value;
        c->write_high = true;
        if (c->mode == 0) /* the first byte stops the count and sets OUT low */
            c->loaded = false;
    } else {
        c->write_high = false;
        load(c, (u32)value << 8 | c->write_low, now);
    }
}

static void latch_count(struct vpit_channel *c, u64 now)
{
    u32 value = counter(c, now);

    if (c->latched) /* the first latch holds until it is read */
        return;
    c->latch = (u16)(c->control & CONTROL_BCD ? to_bcd(value) : value);
    c->latched = c->access == 3 ? 2 : 1;
}

static void latch_status(struct vpit_channel *c, u64 now)
{
    bool null = c->null_count || c->next_at || (c->loaded && now < c->start) || !c->loaded;

    if (c->status_latched)
        return;
    c->status = (u8)(c->control | (output(c, now) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0));
    c->status_latched = true;
}

static void write_control(struct vpit *p, u8 value, u64 now)
{
    unsigned n = value >> 6;

    if (n == 3) { /* read-back: bits 5 and 4, active low, latch count and status */
        for (unsigned i = 0; i < 3; i++) {
            if ((value & BIT(i + 1)) && !(value & BIT(5)))
                latch_count(&p->channel[i], now);
            if ((value & BIT(i + 1)) && !(value & BIT(4)))
                latch_status(&p->channel[i], now);
        }
        return;
    }
    struct vpit_channel *c = &p->channel[n];
    if ((value >> 4 & 3) == 0) {
        latch_count(c, now);
        return;
    }
    *c = (struct vpit_channel){.control = value & 0x3f,
                               .access = value >> 4 & 3,
                               .mode = (value >> 1 & 7) > 5 ? value >> 1 & 3 : value >> 1 & 7,
                               .gate = c->gate,
                               .stopped = now};
    reprogrammed(p, n, now);
}

static u8 read_count(struct vpit_channel *c, u64 now)
{
    u32 value = counter(c, now);
    bool high = c->access == 2;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->control & CONTROL_BCD)
        value = to_bcd(value);
    if (c->latched) {
        value = c->latch;
        high |= c->access == 3 && c->latched == 1;
        c->latched--;
    } else if (c->access == 3) {
        high = c->read_high;
        c->read_high = !c->read_high;
    }
    return (u8)(high ? value >> 8 : value);
}

static void set_gate(struct vpit_channel *c, bool gate, u64 now)
{
    if (gate == c->gate)
        return;
    c->gate = gate;
    if (!gate) {
        c->stopped = now;
    } else if (retriggerable(c)) {
        if (c->null_count)
            c->count = c->next_count;
        c->null_count = false;
        c->triggered = c->loaded;
        c->start = now + 1;
    } else if (periodic(c)) {
        if (c->next_at)
            c->count = c->next_count;
        c->next_at = 0;
        c->start = now + 1;
    } else {
        c->start += now - c->stopped;
    }
}

static u64 port_read(void *dev, unsigned, u64 offset, unsigned)
{
    struct vpit *p = dev;
    u64 now = time_now(p);

    if (offset == 3) /* the control word cannot be read */
        return 0xff;
    take_next(&p->channel[offset], now);
    return read_count(&p->channel[offset], now);
}

static void port_write(void *dev, unsigned, u64 offset, unsigned, u64 value)
{
    struct vpit *p = dev;
    u64 now = time_now(p);

    for (unsigned i = 0; i < 3; i++)
        take_next(&p->channel[i], now);
    if (offset == 3) {
        write_control(p, (u8)value, now);
        return;
    }
    write_count(&p->channel[offset], (u8)value, now);
    reprogrammed(p, (unsigned)offset, now);
}

static u64 port61_read(void *dev, unsigned, u64, unsigned)
{
    struct vpit *p = dev;
    u64 now = time_now(p);

    take_next(&p->channel[2], now);
    return p->port61 | (now / REFRESH_COUNTS % 2 ? PORT61_REFRESH : 0) |
           (output(&p->channel[2], now) ? PORT61_OUT2 : 0);
}

static void port61_write(void *dev, unsigned, u64, unsigned, u64 value)
{
    struct vpit *p = dev;
    u64 now = time_now(p);

    take_next(&p->channel[2], now);
    p->port61 = value & 0xf;
    set_gate(&p->channel[2], value & PORT61_GATE2, now);
}

enum status vpit_init(struct vpit *p, struct bus *b, struct clock *c, struct irqline irq0)
{
    memset(p, 0, sizeof *p);
    p->clock = c;
    p->irq = irq0;
    p->timer.fire = fire;
    p->timer.dev = p;
    p->channel[0].gate = p->channel[1].gate = true;
    for (unsigned i = 0; i < 3; i++)
        p->channel[i].access = 3;
    TRY(bus_add_port8(b, "pit", 0x40, 4, port_read, port_write, p));
    TRY(bus_add_port8(b, "port61", 0x61, 1, port61_read, port61_write, p));
    bus_name_registers(b, "pit", "counter 0|counter 1|counter 2|control", 0);
    return STATUS_OK;
}

void vpit_show(const struct vpit *p, struct sink *out)
{
    static const char *const access[] = {"", "LSB", "MSB", "LSB, MSB"};
    u64 now = time_now(p);

    sink_printf(out, "8254\n");
    for (unsigned i = 0; i < 3; i++) {
        const struct vpit_channel *c = &p->channel[i];

        sink_printf(out,
                    "  channel %u  control %02x  mode %u, %s%s; %s, from %u, now %u, gate %u, "
                    "out %u\n",
                    i, c->control, c->mode, access[c->access],
                    c->control & CONTROL_BCD ? ", BCD" : "", running(c) ? "counts" : "idle",
                    c->count, counter(c, now), c->gate, output(c, now));
    }
    sink_printf(out, "  port 61H   %02x\n", p->port61);
    sink_printf(out, "  IRQ 0      raised %lu times\n", p->ticks);
}
