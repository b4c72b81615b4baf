/* SPDX-License-Identifier: MIT
 *
 * The CPU's own port instructions behind struct port_io.
 */
#include "drivers/host/portio.h"

#include "arch/x86/cpu.h"

static u8 native_read(void *ctx, u16 port)
{
    (void)ctx;
    return inb(port);
}

static void native_write(void *ctx, u16 port, u8 value)
{
    (void)ctx;
    outb(port, value);
}

const struct port_io port_io_native = {.read = native_read, .write = native_write};
