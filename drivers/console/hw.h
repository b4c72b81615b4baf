/* SPDX-License-Identifier: MIT
 *
 * Fits the real hardware below the console multiplexer.
 */
#ifndef DRIVERS_CONSOLE_HW_H
#define DRIVERS_CONSOLE_HW_H

#include "drivers/console/mux.h"
#include "drivers/host/uart16550.h"
#include "drivers/host/vga.h"

/* The caller may add now_us.  interrupts: the port's interrupt is routed and leads to mux_poll().
 */
struct mux_hw console_hw_uart(struct uart16550 *u, bool interrupts);
struct mux_hw console_hw_vga(struct vga *v);

#endif
