/* SPDX-License-Identifier: MIT
 *
 * What the hypervisor speaks through: serial port, screen, keyboard.  From the first line of C on
 * the log goes to COM1, polled, and soon to the screen as well, until the console multiplexer takes
 * both over.
 */
#pragma once

#include "boot/boot_info.h"
#include "drivers/console/mux.h"
#include "guest/config.h"

/* Find COM1 and attach it to the log; without a port lines are only kept. */
void console_init(void);

/* Attach the screen to the log: the frame buffer that the loader told of, or VGA text.  Called
 * again, only the mapping changes.  map gives NULL for what cannot be reached yet. */
void console_init_screen(const struct boot_framebuffer *fb, void *(*map)(hpa_t at, u64 size));

/* Choose the hardware, as console= says; fn is called on its interrupts, and must be now and then
 * where there are none. */
struct mux_hw console_open(enum hv_console choice, void (*fn)(void *ctx), void *ctx);

/* The I/O port that it uses, 0: none. */
u16 console_port(void);

/* Let the multiplexer's sink take the place of the early ones on the log. */
void console_hand_over(struct sink *successor, enum log_level most);

/* Wait, for a bounded time, until the port has sent everything. */
void console_drain(void);
