/* SPDX-License-Identifier: MIT
 *
 * The 8042 keyboard controller, without a keyboard and without a mouse port: what a bootloader or
 * a driver asks of it is answered at once, so that probing ends quickly.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/cpuport.h"
#include "drivers/irqline.h"
#include "lib/format.h"

struct vkbd {
    u8 status;  /* port 64H */
    u8 data;    /* the output buffer */
    u8 outport; /* bit 0: no reset, bit 1: A20 */
    u8 awaits;  /* the command whose data byte is to come, or 0 */
    u8 ram[32]; /* of the controller; byte 0 is the command byte */
    struct irqline irq;
    const struct cpu_port *port;
};

/* Claims 60H and 64H. */
CHECKED enum status vkbd_init(struct vkbd *k, struct bus *b, struct irqline irq1,
                              const struct cpu_port *port);

void vkbd_show(const struct vkbd *k, struct sink *out);
