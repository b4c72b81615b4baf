/* SPDX-License-Identifier: MIT
 *
 * The hardware's drivers behind struct mux_hw.
 */
#include "drivers/console/hw.h"

static u32 uart_hw_send(void *ctx, const u8 *bytes, u32 n) { return uart_send(ctx, bytes, n); }

static int uart_hw_receive(void *ctx) { return uart_receive(ctx); }

static void uart_hw_want_send(void *ctx, bool on) { uart_enable_interrupts(ctx, true, on); }

static bool uart_hw_acknowledge(void *ctx) { return uart_acknowledge(ctx); }

struct mux_hw console_hw_uart(struct uart16550 *u, bool interrupts)
{
    struct mux_hw hw = {.ctx = u, .send = uart_hw_send, .receive = uart_hw_receive};

    if (interrupts) {
        hw.want_send = uart_hw_want_send;
        hw.acknowledge = uart_hw_acknowledge;
    }
    return hw;
}

static u32 vga_hw_send(void *ctx, const u8 *bytes, u32 n)
{
    vga_write(ctx, (const char *)bytes, n);
    return n;
}

struct mux_hw console_hw_vga(struct vga *v)
{
    return (struct mux_hw){.ctx = v, .send = vga_hw_send};
}
