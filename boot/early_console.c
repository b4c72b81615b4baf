/* SPDX-License-Identifier: MIT
 *
 * A sink over the polled UART.  It waits for the port, but gives it up for good when the port does
 * not move.
 */
#include "boot/early_console.h"

#include "arch/x86/cpu.h"
#include "lib/log.h"

#define BAUD  115200
#define SPINS 2000000u /* polls without progress: a FIFO empties in about 2000 */

static void early_write(struct sink *self, const char *text, size_t len);

static struct {
    struct sink sink;
    struct uart16550 uart;
    bool present;
} early = {.sink.write = early_write};

static void send(const char *text, size_t len)
{
    const u8 *bytes = (const u8 *)text;
    u32 spins = 0;

    while (len != 0 && early.present) {
        u32 sent = uart_send(&early.uart, bytes, (u32)len);
        bytes += sent;
        len -= sent;
        spins = sent ? 0 : spins + 1;
        if (spins == SPINS)
            early.present = false;
        else if (sent == 0)
            cpu_pause();
    }
}

static void early_write(struct sink *self, const char *text, size_t len)
{
    (void)self;
    while (len != 0) {
        size_t n = 0;
        while (n < len && text[n] != '\n')
            n++;
        send(text, n);
        if (n < len) {
            send("\r\n", 2);
            n++;
        }
        text += n;
        len -= n;
    }
}

void early_console_init(void)
{
    early.present = uart_probe(&early.uart, port_io_native, UART_COM1) == STATUS_OK &&
                    uart_init(&early.uart, BAUD) == STATUS_OK;
    if (early.present)
        log_attach(&early.sink, LOG_DEBUG);
}

struct uart16550 *early_console_uart(void) { return early.present ? &early.uart : NULL; }

void early_console_hand_over(struct sink *successor, enum log_level most)
{
    log_replace(&early.sink, successor, most);
}

void early_console_drain(void)
{
    for (u32 i = 0; early.present && i < SPINS && !uart_idle(&early.uart); i++)
        cpu_pause();
}
