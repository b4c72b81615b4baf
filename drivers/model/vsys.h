/* SPDX-License-Identifier: MIT
 *
 * The small ports of a PC: port 92H, the POST code 80H, the delay port EDH, and for test guests the
 * debug-exit port and, at 2000H + n, the level of interrupt line n (as QEMU's pc-testdev).
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/cpuport.h"
#include "drivers/irqline.h"
#include "lib/format.h"

#define VSYS_DEBUG_EXIT 0xf4 /* where QEMU's isa-debug-exit is put by custom */
#define VSYS_LINES      0x2000
#define VSYS_LINE_COUNT 24u

struct vsys {
    u8 port92; /* bit 1: A20 */
    u8 post, delay;
    const struct cpu_port *port;
    struct irqline line; /* its pin is the number of the first line */
};

/* Claims 80H, 92H, EDH, F4H-F7H, 2000H-2017H.  A write of 1, 2 or 4 bytes to F4H ends the machine
 * with that value as code (QEMU would exit with 2 * value + 1). */
CHECKED enum status vsys_init(struct vsys *s, struct bus *b, const struct cpu_port *port,
                              struct irqline line);

void vsys_show(const struct vsys *s, struct sink *out);
