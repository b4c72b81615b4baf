/* SPDX-License-Identifier: MIT
 *
 * The 8254 programmable interval timer and port 61H.  Channel 0 drives IRQ 0, channel 1 the
 * refresh toggle of port 61H, channel 2 has its gate and output there.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/clock.h"
#include "drivers/irqline.h"
#include "lib/format.h"

#define VPIT_HZ 1193182u

/* Times are in periods of VPIT_HZ. */
struct vpit_channel {
    u8 control;      /* bits 5:0 of the control word */
    u8 mode, access; /* 0..5; 1 LSB, 2 MSB, 3 LSB then MSB */
    bool gate;
    bool loaded;                /* a count was written since the control word */
    bool triggered;             /* modes 1 and 5: a gate edge has started the counter */
    bool null_count;            /* modes 1 and 5: the count written waits for a gate edge */
    bool write_high, read_high; /* the next byte of a two-byte access is the MSB */
    u8 write_low;
    u8 latched; /* bytes of `latch` still to be read */
    u16 latch;
    bool status_latched;
    u8 status;
    u32 count;      /* what the counter counts from: 1..65536 */
    u32 next_count; /* what was written, while it waits */
    u64 start;      /* when count was loaded into the counter */
    u64 next_at;    /* modes 2 and 3: next_count takes over then; 0: none waits */
    u64 next_start; /* and then becomes `start` */
    u64 stopped;    /* while the gate holds the counter: since when */
};

struct vpit {
    struct vpit_channel channel[3];
    u8 port61; /* bits 3:0 as written */
    struct irqline irq;
    struct clock *clock;
    struct timer timer;
    u64 ticks; /* interrupts raised */
};

/* Claims 40H-43H and 61H. */
CHECKED enum status vpit_init(struct vpit *p, struct bus *b, struct clock *c, struct irqline irq0);

void vpit_show(const struct vpit *p, struct sink *out);
