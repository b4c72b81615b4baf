/* SPDX-License-Identifier: MIT
 *
 * Wiring: which output goes to which input.  An ISA interrupt goes to both its 8259 and the I/O
 * APIC; the guest masks the one that it does not use.
 */
#include "guest/board.h"

#include "guest/address.h"
#include "lib/string.h"

_Static_assert(VIOAPIC_BASE == ADDR_IOAPIC && VLAPIC_BASE == ADDR_LAPIC, "ACPI tables say so");
_Static_assert(CONFIG_MAX_VCPUS < 16, "the I/O APIC has the ID after the processors'");

/* CMOS bytes by which kernels and firmware size memory; low byte first. */
#define CMOS_BASE_MEM    0x15 /* KiB below 640 KiB */
#define CMOS_EXTENDED    0x17 /* KiB from 1 MiB on, at most FFFFH */
#define CMOS_EXTENDED_2  0x30 /* the same, as measured */
#define CMOS_ABOVE_16M   0x34 /* units of 64 KiB from 16 MiB to the hole */
#define CMOS_ABOVE_4G    0x5b /* units of 64 KiB, three bytes */
#define CMOS_OTHER_VCPUS 0x5f /* processors besides the first, as QEMU's firmware reads it */
#define ELCR_SLAVE_PORT  0x4d1

/* An ISA interrupt line: 8259 and I/O APIC. */
static void set_isa(void *board, unsigned irq, bool level)
{
    struct board *b = board;

    vpic_set(&b->pic, irq, level);
    vioapic_set(&b->ioapic, irq == IRQ_PIT ? GSI_PIT : irq, level);
}

/* Any line, for a test. */
static void set_line(void *board, unsigned line, bool level)
{
    struct board *b = board;

    if (line < 16)
        set_isa(b, line, level);
    else
        vioapic_set(&b->ioapic, line, level);
}

static struct irqline isa_line(struct board *b, unsigned irq)
{
    return (struct irqline){set_isa, b, irq};
}

static u64 at_most(u64 value, u64 limit) { return value < limit ? value : limit; }

static enum status set_cmos(struct board *b)
{
    u64 mem = b->config.mem, low = at_most(mem, ADDR_LOW_MAX);
    u64 extended = at_most((low - ADDR_EXTENDED) / KiB, 0xffff);
    const struct {
        u8 index, bytes;
        u64 value;
    } cells[] = {
        {CMOS_BASE_MEM, 2, ADDR_EBDA / KiB},
        {CMOS_EXTENDED, 2, extended},
        {CMOS_EXTENDED_2, 2, extended},
        {CMOS_ABOVE_16M, 2, low > 16 * MiB ? (low - 16 * MiB) / (64 * KiB) : 0},
        {CMOS_ABOVE_4G, 3, (mem - low) / (64 * KiB)},
        {CMOS_OTHER_VCPUS, 1, b->config.vcpus - 1},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cells); i++)
        for (unsigned n = 0; n < cells[i].bytes; n++)
            TRY(vrtc_set_nvram(&b->rtc, cells[i].index + n, (u8)(cells[i].value >> (8 * n))));
    return STATUS_OK;
}

/* Interrupt controllers first: the others' lines end there. */
static enum status create_controllers(struct board *b)
{
    const struct board_config *c = &b->config;

    TRY(vlapic_init(&b->lapics, c->vcpus, &b->bus, &b->clock, c->port));
    TRY(vioapic_init(&b->ioapic, IOAPIC_ID(c->vcpus), &b->bus, &b->lapics));
    TRY(vpic_init(&b->pic, &b->bus, (struct irqline){vlapic_lint, &b->lapics, 0}));
    vlapic_connect_pic(&b->lapics, vpic_inta, &b->pic);
    vlapic_connect_eoi(&b->lapics, vioapic_eoi, &b->ioapic);
    b->intc = vlapic_intc(&b->lapics);
    return STATUS_OK;
}

static enum status create_devices(struct board *b)
{
    const struct board_config *c = &b->config;
    u64 age = (clock_now(&b->clock) - b->built) / c->hz;

    TRY(vpit_init(&b->pit, &b->bus, &b->clock, isa_line(b, IRQ_PIT)));
    TRY(vrtc_init(&b->rtc, &b->bus, &b->clock, isa_line(b, IRQ_RTC), c->epoch + age));
    TRY(vuart_init(&b->uart, &b->bus, &b->clock, PORT_UART, isa_line(b, IRQ_UART), c->uart, true));
    TRY(vkbd_init(&b->kbd, &b->bus, isa_line(b, IRQ_KEYBOARD), c->port));
    TRY(vpm_init(&b->pm, &b->bus, &b->clock, PORT_PM, isa_line(b, IRQ_SCI), true, c->port));
    TRY(vpci_init(&b->pci, &b->bus, c->port));
    TRY(vsys_init(&b->sys, &b->bus, c->port, (struct irqline){set_line, b, 0}));
    TRY(vblk_init(&b->disk, &b->bus, ADDR_DISK, c->disk, c->disk_size / VBLK_SECTOR, c->memory,
                  (struct irqline){vioapic_set, &b->ioapic, GSI_DISK}));
    if (c->firmware)
        TRY(firmware_init(&b->firmware, &b->bus, c->firmware, c->memory));
    return STATUS_OK;
}

/* The BIOS's vectors, which Multiboot (0.6.96, 3.2) promises a kernel.  All inputs are open: no
 * device asks for an interrupt before the guest has programmed it. */
static void start_pic(struct board *b)
{
    static const u8 icw[2][4] = {{0x11, 0x08, 1u << IRQ_CASCADE, 0x01},
                                 {0x11, 0x70, IRQ_CASCADE, 0x01}};

    for (unsigned chip = 0; chip < 2; chip++)
        for (unsigned i = 0; i < 4; i++)
            bus_port_write(&b->bus, 0, (u16)((chip ? 0xa0 : 0x20) + (i > 0)), 1, icw[chip][i]);
}

enum status board_reset(struct board *b)
{
    bus_init(&b->bus);
    clock_init(&b->clock, b->config.read, b->config.source, b->config.hz);
    TRY(create_controllers(b));
    for (unsigned i = 1; i < b->config.vcpus; i++) {
        clock_init(&b->cpu_clock[i], b->config.read, b->config.source, b->config.hz);
        vlapic_set_clock(&b->lapics, i, &b->cpu_clock[i]);
    }
    TRY(create_devices(b));
    TRY(set_cmos(b));
    vlapic_virtual_wire(&b->lapics);
    start_pic(b);
    bus_port_write(&b->bus, 0, ELCR_SLAVE_PORT, 1, 1u << (IRQ_SCI - 8));
    return STATUS_OK;
}

enum status board_init(struct board *b, const struct board_config *config)
{
    if (config->vcpus == 0 || config->vcpus > CONFIG_MAX_VCPUS || !config->read || !config->uart ||
        !config->port || config->hz == 0)
        return STATUS_EINVAL;
    memset(b, 0, sizeof(*b));
    b->config = *config;
    b->built = config->read(config->source);
    return board_reset(b);
}

bool board_show(const struct board *b, const char *device, struct sink *out)
{
    bool found = false;

#define X(name, show, member)                                                                   \
    if ((!device || strcmp(device, name) == 0) &&                                               \
        (b->config.firmware || (const void *)&b->member != (const void *)&b->firmware.fwcfg)) { \
        show(&b->member, out);                                                                  \
        found = true;                                                                           \
    }
    BOARD_DEVICES(X)
#undef X
    return found;
}
