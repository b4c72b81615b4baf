/* SPDX-License-Identifier: MIT
 *
 * The log's first sink: COM1, polled, from the first line of C on until the console multiplexer
 * takes the port over.
 */
#ifndef BOOT_EARLY_CONSOLE_H
#define BOOT_EARLY_CONSOLE_H

#include "drivers/host/uart16550.h"

/* Find COM1 and attach it to the log; without a port lines are only kept. */
void early_console_init(void);

/* The port, NULL when there is none. */
struct uart16550 *early_console_uart(void);

/* Take the sink off the log: somebody else writes there now. */
void early_console_release(void);

/* Wait, for a bounded time, until the port has sent everything. */
void early_console_drain(void);

#endif
