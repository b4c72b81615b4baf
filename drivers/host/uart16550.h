/* SPDX-License-Identifier: MIT
 *
 * The real serial port: an 8250, 16450 or 16550(A), polled or interrupt-driven.  No function waits:
 * transmitting takes what fits now, receiving gives what is there.
 */
#pragma once

#include "drivers/host/portio.h"
#include "lib/status.h"

#define UART_COM1     0x3f8
#define UART_COM1_IRQ 4
#define UART_COM2     0x2f8
#define UART_COM2_IRQ 3

struct uart16550 {
    struct port_io io;
    u16 base;
    u8 fifo_depth; /* bytes the transmitter takes when it reports empty: 1 or 16 */
    u8 ier;        /* as last written */
    u8 credit;     /* bytes that may be written without asking the line status again */
    u8 errors;     /* line-status error bits seen, not yet accounted to a character */
    u32 overruns;  /* characters the chip lost because nobody read them in time */
    u32 bad;       /* characters dropped for parity or framing errors, and breaks */
};

/* Is there a UART at `base`?  ENOENT when not; bounded, and leaves the chip with interrupts off. */
CHECKED enum status uart_probe(struct uart16550 *u, struct port_io io, u16 base);

/* Set up a probed port: 8n1, FIFOs on where it has them, interrupts off.  EINVAL: baud is neither 0
 * (as the firmware left it) nor 115200 divided by 1..65535. */
CHECKED enum status uart_init(struct uart16550 *u, u32 baud);

/* Hand over up to n bytes; returns how many the chip took (0: busy). */
u32 uart_send(struct uart16550 *u, const u8 *bytes, u32 n);

/* The next good byte received, or -1. */
int uart_receive(struct uart16550 *u);

/* True when the last byte has left the wire (shift register and FIFO empty). */
bool uart_idle(struct uart16550 *u);

/* Which causes interrupt: a received character, an empty transmitter. */
void uart_enable_interrupts(struct uart16550 *u, bool receive, bool transmit);

/*
 * Call on an interrupt, after receiving and sending: clears what is left, so that an edge-triggered
 * line can rise again.  True when data came meanwhile, or there is room again: serve the port
 * again, call again.
 */
bool uart_acknowledge(struct uart16550 *u);
