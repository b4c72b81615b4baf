/* SPDX-License-Identifier: MIT
 *
 * The MC146818 real-time clock and its CMOS memory at ports 70H and 71H.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/clock.h"
#include "drivers/irqline.h"
#include "lib/format.h"

#define VRTC_CENTURY 0x32 /* for the FADT */

struct vrtc {
    u8 cmos[128];
    u8 index;
    u64 second;   /* tick at which the current second began */
    u64 periodic; /* tick up to which the periodic flag has been accounted */
    struct irqline irq;
    struct clock *clock;
    struct timer timer;
};

/* epoch: seconds since 1970-01-01 00:00 UTC at this moment.  Claims 70H-71H. */
CHECKED enum status vrtc_init(struct vrtc *r, struct bus *b, struct clock *c, struct irqline irq8,
                              u64 epoch);

/* Set a byte of the memory: index 0EH..7FH.  ERANGE: a register of the clock. */
CHECKED enum status vrtc_set_nvram(struct vrtc *r, unsigned index, u8 value);

void vrtc_show(const struct vrtc *r, struct sink *out);
