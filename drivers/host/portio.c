/* SPDX-License-Identifier: MIT
 *
 * The CPU's own port instructions behind struct port_io.
 */
#include "drivers/host/portio.h"

#include "arch/x86/cpu.h"

static u8 native_read(void *, u16 port) { return inb(port); }

static void native_write(void *, u16 port, u8 value) { outb(port, value); }

static u8 memory_read(void *ctx, u16 port)
{
    const struct uart_memory *m = ctx;
    volatile u8 *at = m->at + (u64)port * m->stride;

    return m->stride == 4 ? (u8) * (volatile u32 *)(volatile void *)at : *at;
}

static void memory_write(void *ctx, u16 port, u8 value)
{
    const struct uart_memory *m = ctx;
    volatile u8 *at = m->at + (u64)port * m->stride;

    if (m->stride == 4)
        *(volatile u32 *)(volatile void *)at = value;
    else
        *at = value;
}

struct port_io port_io_memory(struct uart_memory *m)
{
    return (struct port_io){.read = memory_read, .write = memory_write, .ctx = m};
}

const struct port_io port_io_native = {.read = native_read, .write = native_write};
