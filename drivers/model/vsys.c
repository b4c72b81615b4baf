/* SPDX-License-Identifier: MIT
 *
 * The PC's one-port devices.
 */
#include "drivers/model/vsys.h"
#include "lib/bits.h"
#include "lib/string.h"

#define PORT92_INIT BIT(0)
#define PORT92_A20  BIT(1)

static u64 port92_read(void *dev, unsigned, u64, unsigned) { return ((struct vsys *)dev)->port92; }

static void port92_write(void *dev, unsigned, u64, unsigned, u64 value)
{
    struct vsys *s = dev;
    bool rises = (value & PORT92_INIT) && !(s->port92 & PORT92_INIT);

    s->port92 = value & (PORT92_INIT | PORT92_A20);
    if (rises)
        s->port->machine(s->port->ctx, MACHINE_RESET, 0, "port 92H");
}

/* Ports that only keep a byte. */
static u64 byte_read(void *dev, unsigned, u64, unsigned) { return *(u8 *)dev; }

static void byte_write(void *dev, unsigned, u64, unsigned, u64 value) { *(u8 *)dev = (u8)value; }

static u64 exit_read(void *, unsigned, u64, unsigned)
{
    return 0; /* tells a guest that the port is there */
}

static void exit_write(void *dev, unsigned, u64 offset, unsigned, u64 value)
{
    struct vsys *s = dev;

    if (offset == 0)
        s->port->machine(s->port->ctx, MACHINE_DEBUG_EXIT, (u32)value, "debug-exit port");
}

static void line_write(void *dev, unsigned, u64 offset, unsigned, u64 value)
{
    struct irqline line = ((struct vsys *)dev)->line;

    line.pin += (unsigned)offset;
    irqline_set(&line, value != 0);
}

enum status vsys_init(struct vsys *s, struct bus *b, const struct cpu_port *port,
                      struct irqline line)
{
    memset(s, 0, sizeof *s);
    s->port = port;
    s->line = line;
    s->port92 = PORT92_A20;
    TRY(bus_add_port8(b, "port92", 0x92, 1, port92_read, port92_write, s));
    TRY(bus_add_port8(b, "post", 0x80, 1, byte_read, byte_write, &s->post));
    TRY(bus_add_port8(b, "delay", 0xed, 1, byte_read, byte_write, &s->delay));
    TRY(bus_add_port(b, "debug-exit", VSYS_DEBUG_EXIT, 4, exit_read, exit_write, s));
    return bus_add_port(b, "test-lines", VSYS_LINES, VSYS_LINE_COUNT, exit_read, line_write, s);
}

void vsys_show(const struct vsys *s, struct sink *out)
{
    sink_printf(out, "System ports\n");
    sink_printf(out, "  92H  A20, INIT    %02x %s\n", s->port92,
                s->port92 & PORT92_A20 ? " A20" : "");
    sink_printf(out, "  80H  POST code    %02x\n", s->post);
    sink_printf(out, "  EDH  delay        %02x\n", s->delay);
}
