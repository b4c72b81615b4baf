/* SPDX-License-Identifier: MIT
 *
 * The PC's keyboard behind its 8042 controller (or what firmware and chip set show as one), US
 * layout, as the bytes that a terminal would send.
 */
#pragma once

#include "drivers/host/portio.h"
#include "lib/status.h"

#define I8042_IRQ 1

struct i8042 {
    struct port_io io;
    bool present;
    bool shift, control, caps, extended; /* keys held; behind an E0H */
    const char *pending;                 /* rest of an escape sequence */
};

/* Set the controller up: keyboard on, scan code set 1, interrupt on.  ENOENT: there is none.
 * Bounded. */
CHECKED enum status i8042_init(struct i8042 *k, struct port_io io);

/* The next byte typed, or -1. */
int i8042_receive(struct i8042 *k);
