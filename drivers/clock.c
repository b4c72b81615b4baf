/* SPDX-License-Identifier: MIT
 *
 * Timers on a counter, in a list sorted by deadline (a machine has about six), and conversions
 * between the counter and the clocks of devices.
 */
#include "drivers/clock.h"
#include "lib/bits.h"

/* A handler that arms in the past would be called for ever; the rest waits for the next call. */
#define MAX_FIRED 256

void clock_init(struct clock *c, u64 (*read)(void *source), void *source, u64 hz)
{
    *c = (struct clock){.read = read, .source = source, .hz = hz};
}

void clock_disarm(struct clock *c, struct timer *t)
{
    if (!t->armed)
        return;
    for (struct timer **p = &c->first; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    t->armed = false;
}

void clock_arm(struct clock *c, struct timer *t, u64 deadline)
{
    struct timer **p = &c->first;

    clock_disarm(c, t);
    while (*p && (*p)->deadline <= deadline)
        p = &(*p)->next;
    t->deadline = deadline;
    t->armed = true;
    t->next = *p;
    *p = t;
}

void clock_run(struct clock *c, u64 now)
{
    for (unsigned n = 0; n < MAX_FIRED && c->first && c->first->deadline <= now; n++) {
        struct timer *t = c->first;

        c->first = t->next;
        t->armed = false;
        t->fire(t->dev, t->deadline);
    }
}

u64 clock_ticks_to(const struct clock *c, u64 ticks, u64 freq)
{
    u64 rest;

    return mul_div(ticks, freq, c->hz, &rest);
}

u64 clock_ticks_from(const struct clock *c, u64 counts, u64 freq)
{
    u64 rest;

    return mul_div(counts, c->hz, freq, &rest);
}

u64 clock_ticks_reach(const struct clock *c, u64 counts, u64 freq)
{
    u64 rest, ticks = mul_div(counts, c->hz, freq, &rest);

    return ticks + (rest != 0);
}

u64 clock_next_period(const struct clock *c, u64 due, u64 period, u64 now)
{
    u64 least = now + clock_floor(c);

    /* The usual case needs no division: the next period is far enough away. */
    if (due + period >= least)
        return due + period;
    return due + (least - due + period - 1) / period * period;
}
