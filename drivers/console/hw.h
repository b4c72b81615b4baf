/* SPDX-License-Identifier: MIT
 *
 * Fits the real hardware below the console multiplexer: a serial port, a screen with a keyboard, or
 * both at once, showing the same and taking keys from either.
 */
#pragma once

#include "drivers/console/mux.h"
#include "drivers/host/i8042.h"
#include "drivers/host/terminal.h"
#include "drivers/host/uart16550.h"

struct console_hw {
    struct uart16550 *uart;  /* NULL: none */
    bool interrupts;         /* the port's interrupt is routed and leads to mux_poll() */
    bool sending;            /* bytes wait for the port: the screen is drawn later */
    struct terminal *screen; /* NULL: none */
    struct i8042 *keyboard;  /* NULL: none */
};

/* The caller may add now_us. */
struct mux_hw console_hw(struct console_hw *h);
