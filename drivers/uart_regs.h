/* SPDX-License-Identifier: MIT
 *
 * The registers of a 16550 UART (National's PC16550D data sheet, tables II and III), for the driver
 * of the real one and for the model.
 */
#pragma once

#include "lib/bits.h"

/* Offsets.  RBR, THR and IER give way to the divisor latch (DLL, DLM) while LCR.DLAB is set. */
enum {
    RBR_THR = 0,
    DLL = 0,
    IER = 1,
    DLM = 1,
    IIR_FCR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    MSR = 6,
    SCR = 7
};

#define IER_RX    BIT(0) /* received data available, and FIFO timeout */
#define IER_THRE  BIT(1) /* transmitter holding register empty */
#define IER_LINE  BIT(2)
#define IER_MODEM BIT(3)
#define IER_ALL   0x0fu

#define IIR_MODEM   0x00
#define IIR_NONE    0x01
#define IIR_THRE    0x02
#define IIR_RX      0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_CAUSE   0x0f
#define IIR_FIFOS   0xc0 /* both set: FIFOs on and working (16550A) */

#define FCR_ENABLE   BIT(0)
#define FCR_RX_RESET BIT(1)
#define FCR_TX_RESET BIT(2)
#define FCR_TRIGGER8 BIT(7)

#define LCR_8N1  0x03u
#define LCR_DLAB BIT(7)

#define MCR_DTR  BIT(0)
#define MCR_RTS  BIT(1)
#define MCR_OUT1 BIT(2)
#define MCR_OUT2 BIT(3) /* on a PC: lets the interrupt through */
#define MCR_LOOP BIT(4)

#define LSR_DR   BIT(0)
#define LSR_OE   BIT(1)
#define LSR_BAD  (BIT(2) | BIT(3) | BIT(4)) /* parity, framing, break: of the next character */
#define LSR_THRE BIT(5)
#define LSR_TEMT BIT(6)

#define MSR_TERI BIT(2)
#define MSR_CTS  BIT(4)
#define MSR_DSR  BIT(5)
#define MSR_RI   BIT(6)
#define MSR_DCD  BIT(7)

#define BASE_BAUD 115200u /* with divisor 1: 1.8432 MHz / 16 */
