/* SPDX-License-Identifier: MIT
 *
 * The ISA debug console of Bochs and QEMU (port 402H), on which firmware tells its story: here each
 * of its lines becomes one of the hypervisor's log.
 */
#pragma once

#include "drivers/bus.h"

#define VDBGCON_LINE 160

struct vdbgcon {
    const char *guest; /* the log lines' subsystem */
    char line[VDBGCON_LINE];
    unsigned length;
    unsigned lines; /* since the start; the first VDBGCON_MAX_LINES are logged */
};

#define VDBGCON_MAX_LINES 1000

/* Claims 402H.  Lines are logged at debug level as "bios: ...".  `guest` must outlive it. */
CHECKED enum status vdbgcon_init(struct vdbgcon *d, struct bus *b, const char *guest);
