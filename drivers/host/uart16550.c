/* SPDX-License-Identifier: MIT
 *
 * The 16550 on the host's side.  Registers as in the PC16550D data sheet (National Semiconductor,
 * 1995), table II.  Reading the line status clears its error bits, wherever it is read: they are
 * kept until the character they belong to is taken.
 */
#include "drivers/host/uart16550.h"

#include "lib/bits.h"

/* Register offsets; THR/RBR and IER give way to the divisor latch while LCR.DLAB is set. */
enum {
    RBR = 0,
    THR = 0,
    DLL = 0,
    IER = 1,
    DLM = 1,
    IIR = 2,
    FCR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    MSR = 6
};

#define IER_RX       BIT(0) /* received data available, and FIFO timeout */
#define IER_TX       BIT(1) /* transmitter holding register empty */
#define IER_ALL      0x0fu
#define IIR_NONE     BIT(0) /* no interrupt pending */
#define IIR_CAUSE    0x0fu
#define IIR_TX       0x02u
#define IIR_RX       0x04u
#define IIR_LINE     0x06u
#define IIR_TIMEOUT  0x0cu
#define IIR_FIFO     0xc0u /* both set: FIFOs on and working (16550A) */
#define FCR_ENABLE   BIT(0)
#define FCR_CLEAR    (BIT(1) | BIT(2))
#define FCR_TRIGGER8 BIT(7)
#define LCR_8N1      0x03u
#define LCR_DLAB     BIT(7)
#define MCR_DTR      BIT(0)
#define MCR_RTS      BIT(1)
#define MCR_OUT2     BIT(3) /* on a PC: lets the interrupt through */
#define MCR_LOOP     BIT(4)
#define LSR_DR       BIT(0)
#define LSR_OE       BIT(1)
#define LSR_BAD      (BIT(2) | BIT(3) | BIT(4)) /* parity, framing, break: of the next character */
#define LSR_THRE     BIT(5)
#define LSR_TEMT     BIT(6)

#define BASE_BAUD  115200u /* 1.8432 MHz / 16 */
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
    bool found;

    *u = (struct uart16550){.io = io, .base = base, .fifo_depth = 1};
    reg_write(u, LCR, LCR_8N1);
    reg_write(u, IER, 0);
    if (reg_read(u, IER) & IER_ALL)
        return STATUS_ENOENT;
    reg_write(u, IER, IER_ALL);
    found = (reg_read(u, IER) & IER_ALL) == IER_ALL;
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
    reg_write(u, FCR, FCR_ENABLE | FCR_CLEAR | FCR_TRIGGER8);
    if ((reg_read(u, IIR) & IIR_FIFO) == IIR_FIFO)
        u->fifo_depth = FIFO_DEPTH;
    else
        reg_write(u, FCR, 0); /* none, or the first 16550's, which do not work */
    reg_write(u, MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
    u->ier = 0;
    u->credit = 0;
    for (int i = 0; i < LOOP_BOUND && reg_read(u, LSR) & LSR_DR; i++)
        (void)reg_read(u, RBR);
    u->errors = 0;
    return STATUS_OK;
}

u32 uart_send(struct uart16550 *u, const u8 *bytes, u32 n)
{
    u32 sent = 0;

    if (n != 0 && u->credit == 0 && line_status(u) & LSR_THRE)
        u->credit = u->fifo_depth;
    for (; sent < n && u->credit; sent++, u->credit--)
        reg_write(u, THR, bytes[sent]);
    return sent;
}

int uart_receive(struct uart16550 *u)
{
    for (int i = 0; i < LOOP_BOUND; i++) {
        bool ready = line_status(u) & LSR_DR;
        bool bad = u->errors != 0;
        u8 byte;

        if (!ready)
            return -1;
        byte = reg_read(u, RBR);
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
    u8 ier = (u8)((receive ? IER_RX : 0) | (transmit ? IER_TX : 0));

    if (ier != u->ier)
        reg_write(u, IER, ier);
    u->ier = ier;
}

bool uart_acknowledge(struct uart16550 *u)
{
    for (int i = 0; i < LOOP_BOUND; i++) {
        u8 iir = reg_read(u, IIR);

        if (iir & IIR_NONE)
            return false;
        switch (iir & IIR_CAUSE) {
        case IIR_RX:
        case IIR_TIMEOUT: return true;
        case IIR_LINE: (void)line_status(u); break;
        case IIR_TX: /* reading the IIR cleared it, so the room must be used now */ return true;
        default: /* modem status */ (void)reg_read(u, MSR); break;
        }
    }
    return false;
}
