/* SPDX-License-Identifier: MIT
 *
 * The 8042 as the IBM PC/AT's technical reference describes it, nothing plugged in.  A command for
 * the keyboard ends in the controller's time-out (FEH with status bit 6), but at once; commands for
 * a mouse port answer as those of a controller that has none, so that drivers give up.
 */
#include "drivers/model/vkbd.h"
#include "lib/bits.h"
#include "lib/string.h"

#define STATUS_OUTPUT_FULL BIT(0)
#define STATUS_SYSTEM      BIT(2) /* self-test passed */
#define STATUS_COMMAND     BIT(3) /* the last write was to 64H */
#define STATUS_UNLOCKED    BIT(4)
#define STATUS_TIMEOUT     BIT(6)

#define COMMAND_IRQ      BIT(0)
#define COMMAND_SYSTEM   BIT(2)
#define COMMAND_DISABLED BIT(4)
#define COMMAND_NO_MOUSE BIT(5)

#define OUTPORT_RUN BIT(0) /* 0: the processor is held in reset */
#define OUTPORT_A20 BIT(1) /* kept; memory does not wrap at 1 MiB, as on CPUs without A20M */

static void set_irq(const struct vkbd *k)
{
    irqline_set(&k->irq, (k->ram[0] & COMMAND_IRQ) && (k->status & STATUS_OUTPUT_FULL));
}

static void answer(struct vkbd *k, u8 value)
{
    k->data = value;
    k->status = (u8)((k->status & ~STATUS_TIMEOUT) | STATUS_OUTPUT_FULL);
    set_irq(k);
}

static void set_outport(struct vkbd *k, u8 value)
{
    k->outport = value;
    if (!(value & OUTPORT_RUN))
        k->port->machine(k->port->ctx, MACHINE_RESET, 0, "keyboard controller");
}

static u64 data_read(void *dev, unsigned, u64, unsigned)
{
    struct vkbd *k = dev;

    k->status &= (u8) ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
    set_irq(k);
    return k->data;
}

/* A byte to 60H: the parameter of the command before it, or a command for the keyboard. */
static void data_write(void *dev, unsigned, u64, unsigned, u64 value)
{
    struct vkbd *k = dev;
    u8 command = k->awaits;

    k->awaits = 0;
    k->status &= (u8)~STATUS_COMMAND;
    if (command >= 0x60 && command <= 0x7f) {
        k->ram[command & 0x1f] = (u8)value;
        k->status = (u8)((k->status & ~STATUS_SYSTEM) | (k->ram[0] & COMMAND_SYSTEM));
        set_irq(k);
    } else if (command == 0xd1) {
        set_outport(k, (u8)value);
    } else if (command == 0xd2 || command == 0xd3) { /* D3H: not marked as a mouse's, see above */
        answer(k, (u8)value);
    } else {
        if (command != 0xd4)
            k->ram[0] &= (u8)~COMMAND_DISABLED; /* sending to the keyboard enables it */
        answer(k, 0xfe);
        k->status |= STATUS_TIMEOUT;
    }
}

static u64 status_read(void *dev, unsigned, u64, unsigned) { return ((struct vkbd *)dev)->status; }

static void self_test(struct vkbd *k)
{
    k->status |= STATUS_SYSTEM;
    k->ram[0] = COMMAND_SYSTEM | COMMAND_DISABLED | COMMAND_NO_MOUSE;
    answer(k, 0x55);
}

static void command_write(void *dev, unsigned, u64, unsigned, u64 value)
{
    struct vkbd *k = dev;
    u8 command = (u8)value;

    k->status |= STATUS_COMMAND;
    k->awaits = 0;
    if (command >= 0x20 && command <= 0x3f)
        answer(k, k->ram[command & 0x1f]);
    else if ((command >= 0x60 && command <= 0x7f) || (command >= 0xd1 && command <= 0xd4))
        k->awaits = command;
    else if (command >= 0xf0 && !(command & BIT(0))) /* pulse: bits 3:0 low; bit 0 is reset */
        k->port->machine(k->port->ctx, MACHINE_RESET, 0, "keyboard controller");
    else if (command == 0xa7 || command == 0xa8) /* mouse port: there is none to enable */
        k->ram[0] |= COMMAND_NO_MOUSE;
    else if (command == 0xa9) /* test of the mouse port: clock line stuck */
        answer(k, 0x01);
    else if (command == 0xaa)
        self_test(k);
    else if (command == 0xab) /* test of the keyboard lines: no error */
        answer(k, 0x00);
    else if (command == 0xad)
        k->ram[0] |= COMMAND_DISABLED;
    else if (command == 0xae)
        k->ram[0] &= (u8)~COMMAND_DISABLED;
    else if (command == 0xc0) /* input port: bit 7, keyboard not locked */
        answer(k, 0x80);
    else if (command == 0xd0)
        answer(k, k->outport);
    /* others are not commands, and have no effect on an 8042 either */
}

enum status vkbd_init(struct vkbd *k, struct bus *b, struct irqline irq1,
                      const struct cpu_port *port)
{
    memset(k, 0, sizeof *k);
    k->irq = irq1;
    k->port = port;
    k->status = STATUS_SYSTEM | STATUS_UNLOCKED;
    k->ram[0] = COMMAND_SYSTEM | COMMAND_DISABLED | COMMAND_NO_MOUSE;
    k->outport = OUTPORT_RUN | OUTPORT_A20;
    TRY(bus_add_port8(b, "kbd-data", 0x60, 1, data_read, data_write, k));
    return bus_add_port8(b, "kbd-status", 0x64, 1, status_read, command_write, k);
}

void vkbd_show(const struct vkbd *k, struct sink *out)
{
    sink_printf(out, "8042, no keyboard\n");
    sink_printf(out, "  status   %02x %s%s%s\n", k->status,
                k->status & STATUS_OUTPUT_FULL ? " output-full" : "",
                k->status & STATUS_SYSTEM ? " self-test-passed" : "",
                k->status & STATUS_TIMEOUT ? " timeout" : "");
    sink_printf(out, "  data     %02x\n", k->data);
    sink_printf(out, "  command  %02x %s%s\n", k->ram[0], k->ram[0] & COMMAND_IRQ ? " IRQ1" : "",
                k->ram[0] & COMMAND_DISABLED ? " keyboard-disabled" : "");
    sink_printf(out, "  outport  %02x %s\n", k->outport, k->outport & OUTPORT_A20 ? " A20" : "");
    if (k->awaits)
        sink_printf(out, "  awaits   the byte after command %02xh\n", k->awaits);
}
