/* SPDX-License-Identifier: MIT
 *
 * The 16550 on the host's side.  Reading the line status clears its error bits, wherever it is
 * read: they are kept until the character they belong to is taken.
 */
#include "drivers/host/uart16550.h"

#include "drivers/uart_regs.h"

#define FIFO_DEPTH 16
/* Bound on loops that end by themselves with a sane chip: more than a FIFO, or causes of an IIR. */
#define LOOP_BOUND 64

static u8 reg_read(struct uart16550 *u, u16 reg)
{
    return u->io.read(u->io.ctx, (u16)(u->base + reg));
}

static void reg_write(struct uart16550 *u, u16 reg, u32 value)
{
    u->io.write(u->io.ctx, (u16)(u->base + reg), (u8)value);
}

static u8 line_status(struct uart16550 *u)
{
    u8 lsr = reg_read(u, LSR);

    if (lsr & LSR_OE)
        u->overruns++;
    u->errors |= (u8)(lsr & LSR_BAD);
    return lsr;
}

/* In loop-back the four modem outputs appear as the four modem inputs (data sheet, 8.6.7). */
static bool loops_back(struct uart16550 *u, u8 outputs, u8 inputs)
{
    reg_write(u, MCR, MCR_LOOP | outputs);
    return (reg_read(u, MSR) & 0xf0) == inputs;
}

enum status uart_probe(struct uart16550 *u, struct port_io io, u16 base)
{
    *u = (struct uart16550){.io = io, .base = base, .fifo_depth = 1};
    reg_write(u, LCR, LCR_8N1);
    reg_write(u, IER, 0);
    if (reg_read(u, IER) & IER_ALL)
        return STATUS_ENOENT;
    reg_write(u, IER, IER_ALL);
    bool found = (reg_read(u, IER) & IER_ALL) == IER_ALL;
    reg_write(u, IER, 0);
    /* RTS+OUT2 -> CTS+DCD, DTR+OUT1 -> DSR+RI */
    found = found && loops_back(u, MCR_RTS | MCR_OUT2, 0x90) && loops_back(u, 0x05, 0x60);
    reg_write(u, MCR, 0);
    return found ? STATUS_OK : STATUS_ENOENT;
}

enum status uart_init(struct uart16550 *u, u32 baud)
{
    u32 divisor = baud ? BASE_BAUD / baud : 0;

    if (baud && (divisor == 0 || divisor > 0xffff || divisor * baud != BASE_BAUD))
        return STATUS_EINVAL;
    reg_write(u, IER, 0);
    if (baud) {
        reg_write(u, LCR, LCR_DLAB | LCR_8N1);
        reg_write(u, DLL, divisor & 0xff);
        reg_write(u, DLM, divisor >> 8);
    }
    reg_write(u, LCR, LCR_8N1);
    reg_write(u, IIR_FCR, FCR_ENABLE | FCR_RX_RESET | FCR_TX_RESET | FCR_TRIGGER8);
    if ((reg_read(u, IIR_FCR) & IIR_FIFOS) == IIR_FIFOS)
        u->fifo_depth = FIFO_DEPTH;
    else
        reg_write(u, IIR_FCR, 0); /* none, or the first 16550's, which do not work */
    reg_write(u, MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
    u->ier = 0;
    u->credit = 0;
    for (int i = 0; i < LOOP_BOUND && reg_read(u, LSR) & LSR_DR; i++)
        (void)reg_read(u, RBR_THR);
    u->errors = 0;
    return STATUS_OK;
}

u32 uart_send(struct uart16550 *u, const u8 *bytes, u32 n)
{
    u32 sent = 0;

    if (n != 0 && u->credit == 0 && line_status(u) & LSR_THRE)
        u->credit = u->fifo_depth;
    for (; sent < n && u->credit; sent++, u->credit--)
        reg_write(u, RBR_THR, bytes[sent]);
    return sent;
}

int uart_receive(struct uart16550 *u)
{
    for (int i = 0; i < LOOP_BOUND; i++) {
        bool ready = line_status(u) & LSR_DR;
        bool bad = u->errors != 0;

        if (!ready)
            return -1;
        u8 byte = reg_read(u, RBR_THR);
        u->errors = 0;
        if (!bad)
            return byte;
        u->bad++;
    }
    return -1;
}

bool uart_idle(struct uart16550 *u) { return line_status(u) & LSR_TEMT; }

void uart_enable_interrupts(struct uart16550 *u, bool receive, bool transmit)
{
    u8 ier = (u8)((receive ? IER_RX : 0) | (transmit ? IER_THRE : 0));

    if (ier != u->ier)
        reg_write(u, IER, ier);
    u->ier = ier;
}

bool uart_acknowledge(struct uart16550 *u)
{
    for (int i = 0; i < LOOP_BOUND; i++) {
        u8 iir = reg_read(u, IIR_FCR);

        if (iir & IIR_NONE)
            return false;
        switch (iir & IIR_CAUSE) {
        case IIR_RX:
        case IIR_TIMEOUT: return true;
        case IIR_LINE: (void)line_status(u); break;
        case IIR_THRE: /* reading the IIR cleared it, so the room must be used now */ return true;
        default: /* modem status */ (void)reg_read(u, MSR); break;
        }
    }
    return false;
}
