/* SPDX-License-Identifier: MIT
 *
 * A 16550A UART (or a 16450, without the FIFOs) in front of a character stream.  Bytes take no
 * time: only the receiver's character timeout knows the programmed speed.  The stream holds bytes
 * back when the guest does not take them, and when it has no room itself THRE stays clear.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/chardev.h"
#include "drivers/clock.h"
#include "drivers/irqline.h"
#include "lib/format.h"

#define VUART_FIFO 16

struct vuart_fifo {
    u8 byte[VUART_FIFO];
    u8 head, used;
};

struct vuart {
    u8 ier, lcr, mcr, msr, scr, fcr;
    u8 errors; /* the error bits of LSR, until it is read */
    u16 divisor;
    bool has_fifo;
    bool thre_pending; /* the THRE interrupt is due */
    bool timeout;      /* the character-timeout interrupt is due */
    bool irq_level;
    u16 base;
    struct vuart_fifo rx, tx;
    const struct chardev *backend;
    struct irqline irq;
    struct clock *clock;
    struct timer timer; /* character timeout */
    u64 sent, received, overruns;
};

/* Claims base..base+7.  The backend must outlive the device. */
CHECKED enum status vuart_init(struct vuart *u, struct bus *b, struct clock *c, u16 base,
                               struct irqline irq, const struct chardev *backend, bool has_fifo);

/* Input may have arrived at the backend, or room for output. */
void vuart_poll(struct vuart *u);

void vuart_show(const struct vuart *u, struct sink *out);
