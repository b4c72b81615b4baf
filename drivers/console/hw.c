/* SPDX-License-Identifier: MIT
 *
 * The hardware's drivers behind struct mux_hw.  The screen takes what the port takes, but is drawn
 * only when output pauses.
 */
#include "drivers/console/hw.h"

#define ROWS_AT_ONCE 2

static u32 hw_send(void *ctx, const u8 *bytes, u32 n)
{
    const struct console_hw *h = ctx;

    if (h->uart)
        n = uart_send(h->uart, bytes, n);
    if (h->screen)
        terminal_put(h->screen, (const char *)bytes, n);
    return n;
}

static int hw_receive(void *ctx)
{
    const struct console_hw *h = ctx;
    int byte = h->uart ? uart_receive(h->uart) : -1;

    return byte < 0 && h->keyboard ? i8042_receive(h->keyboard) : byte;
}

static void hw_want_send(void *ctx, bool on)
{
    struct console_hw *h = ctx;

    h->sending = on;
    if (h->interrupts) /* which come for the screen, too: see hw_acknowledge() */
        uart_enable_interrupts(h->uart, true, on || (h->screen && terminal_stale(h->screen)));
    else if (h->screen && !on)
        (void)terminal_show(h->screen, h->screen->rows);
}

/* A guest waits meanwhile, so the screen is drawn in pieces, each on an interrupt of its own. */
static bool hw_acknowledge(void *ctx)
{
    struct console_hw *h = ctx;
    bool more = h->interrupts && uart_acknowledge(h->uart);

    if (!more && h->interrupts && h->screen && !h->sending &&
        terminal_show(h->screen, ROWS_AT_ONCE)) {
        uart_enable_interrupts(h->uart, true, false);
        uart_enable_interrupts(h->uart, true, true);
    }
    return more;
}

struct mux_hw console_hw(struct console_hw *h)
{
    return (struct mux_hw){.ctx = h,
                           .send = hw_send,
                           .receive = hw_receive,
                           .want_send = hw_want_send,
                           .acknowledge = hw_acknowledge};
}
