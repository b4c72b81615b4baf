/* SPDX-License-Identifier: MIT
 *
 * The log's first sink: COM1, polled, from the first line of C on until the console multiplexer
 * takes the port over.
 */
#ifndef BOOT_EARLY_CONSOLE_H
#define BOOT_EARLY_CONSOLE_H

#include "drivers/host/uart16550.h"
#include "lib/log.h"

/* Find COM1 and attach it to the log; without a port lines are only kept. */
void early_console_init(void);

/* The port, NULL when there is none. */
struct uart16550 *early_console_uart(void);

/* Let another sink take the place of this one on the log. */
void early_console_hand_over(struct sink *successor, enum log_level most);

/* Wait, for a bounded time, until the port has sent everything. */
void early_console_drain(void);

#endif
