/* SPDX-License-Identifier: MIT
 *
 * The small ports of a PC: port 92H, the POST code 80H, the delay port EDH, and a debug-exit port
 * for test guests.
 */
#ifndef DRIVERS_MODEL_VSYS_H
#define DRIVERS_MODEL_VSYS_H

#include "drivers/bus.h"
#include "drivers/cpuport.h"
#include "lib/format.h"

#define VSYS_DEBUG_EXIT 0xf4 /* where QEMU's isa-debug-exit is put by custom */

struct vsys {
    u8 port92; /* bit 1: A20 */
    u8 post, delay;
    const struct cpu_port *port;
};

/* Claims 80H, 92H, EDH, F4H-F7H.  A write of 1, 2 or 4 bytes to F4H ends the machine
 * with that value as code (QEMU would exit with 2 * value + 1). */
CHECKED enum status vsys_init(struct vsys *s, struct bus *b, const struct cpu_port *port);

void vsys_show(const struct vsys *s, struct sink *out);

#endif
