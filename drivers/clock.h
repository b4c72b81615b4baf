/* SPDX-License-Identifier: MIT
 *
 * Time for device models: a counter (ticks of the TSC; a guest that writes its own TSC moves only
 * that, see intc_ops.set_tsc_offset) and one-shot timers on it.  The run loop asks
 * clock_next() before it enters the guest, leaves the guest by then, and calls clock_run().
 */
#pragma once

#include "lib/types.h"

struct timer {
    u64 deadline; /* ticks */
    void (*fire)(void *dev, u64 deadline);
    void *dev;
    struct timer *next; /* in the clock's list, sorted by deadline */
    bool armed;
};

struct clock {
    u64 (*read)(void *source); /* the counter now, in ticks; never runs backwards */
    void *source;
    u64 hz; /* ticks per second */
    struct timer *first;
};

#define CLOCK_NEVER (~0ull)

static inline u64 clock_now(const struct clock *c) { return c->read(c->source); }

void clock_init(struct clock *c, u64 (*read)(void *source), void *source, u64 hz);

/* (Re)arm or disarm a timer; a deadline in the past fires at the next clock_run(). */
void clock_arm(struct clock *c, struct timer *t, u64 deadline);
void clock_disarm(struct clock *c, struct timer *t);

/* The earliest deadline, or CLOCK_NEVER. */
static inline u64 clock_next(const struct clock *c)
{
    return c->first ? c->first->deadline : CLOCK_NEVER;
}

/* Fire every timer whose deadline is not after now; a handler may arm again. */
void clock_run(struct clock *c, u64 now);

/* Exact conversions, rounding down, 128-bit inside: counts of a freq-Hz device clock <-> ticks. */
u64 clock_ticks_to(const struct clock *c, u64 ticks, u64 freq);
u64 clock_ticks_from(const struct clock *c, u64 counts, u64 freq);

/* As clock_ticks_from(), rounding up: the first tick at which clock_ticks_to() gives counts. */
u64 clock_ticks_reach(const struct clock *c, u64 counts, u64 freq);

/*
 * Periodic timers raise their events at least this many ticks apart (100 us): a guest that
 * programs a period of one count loses events, as it would on hardware, but not the machine.
 */
static inline u64 clock_floor(const struct clock *c)
{
    return c->hz / 10000 > 4096 ? c->hz / 10000 : 4096;
}

/* The first due + n * period, n >= 1, that is at least clock_floor() after now; period >= 1. */
u64 clock_next_period(const struct clock *c, u64 due, u64 period, u64 now);
