/* SPDX-License-Identifier: MIT
 *
 * Two 8259As, Intel's datasheet 231468, the slave's output on the master's input 2.  The ELCR at
 * 4D0H and 4D1H chooses level triggering by input, and ICW1's LTIM does nothing, as on EISA and
 * since.  Edges are latched in IRR until acknowledged (the real chip forgets a request whose line
 * falls before): so a pulse on a line is enough, and a tick is not lost while interrupts are off.
 */
#include "drivers/model/vpic.h"
#include "lib/bits.h"
#include "lib/string.h"

#define CASCADE 2

#define ICW1_IC4  BIT(0)
#define ICW1_SNGL BIT(1)
#define ICW1_INIT BIT(4)
#define ICW4_AEOI BIT(1)
#define ICW4_SFNM BIT(4) /* special fully nested: the slave may interrupt itself */
#define OCW3      BIT(3)

static bool is_level(const struct vpic_chip *c, unsigned input) { return c->elcr & BIT(input); }

/* The input of highest priority among bits, or 8: counted from the one after the lowest. */
static unsigned first_input(const struct vpic_chip *c, u32 bits)
{
    unsigned top = (c->lowest + 1u) & 7;
    u32 rotated = (bits >> top | bits << (8 - top)) & 0xff;

    return bits == 0 ? 8 : ((unsigned)__builtin_ctz(rotated) + top) & 7;
}

/* Priority rank of an input, 0 = highest; 8 for none. */
static unsigned rank(const struct vpic_chip *c, unsigned input)
{
    return input == 8 ? 8 : (input - c->lowest - 1u) & 7;
}

/* The input that interrupts now, or 8. */
static unsigned pending_input(const struct vpic *p, unsigned chip)
{
    const struct vpic_chip *c = &p->chip[chip];
    u32 requests = c->irr & (u32)~c->imr;
    unsigned request, served;

    if (likely(requests == 0))
        return 8;
    request = first_input(c, requests);
    /* In special mask mode a masked input in service holds back nobody. */
    served = first_input(c, c->special_mask ? c->isr & (u32)~c->imr : c->isr);
    if (rank(c, request) < rank(c, served))
        return request;
    /* Special fully nested, a slave in service may ask again: it has sorted out its inputs. */
    if (chip == 0 && (c->icw4 & ICW4_SFNM) && request == CASCADE && served == CASCADE)
        return request;
    return 8;
}

/* Bring the cascade input and INTR up to date. */
static void update(struct vpic *p)
{
    bool slave = pending_input(p, 1) != 8;

    if (slave)
        p->chip[0].irr |= BIT(CASCADE);
    else
        p->chip[0].irr &= (u8)~BIT(CASCADE);
    bool intr = pending_input(p, 0) != 8;
    if (intr == p->intr_level)
        return;
    p->intr_level = intr;
    irqline_set(&p->intr, intr);
}

void vpic_set(void *vpic, unsigned pin, bool level)
{
    struct vpic *p = vpic;
    struct vpic_chip *c = &p->chip[pin / 8];
    u8 bit = (u8)BIT(pin % 8);

    if (pin == CASCADE)
        return;
    if (level && (is_level(c, pin % 8) || !(c->lines & bit)))
        c->irr |= bit;
    else if (!level && is_level(c, pin % 8))
        c->irr &= (u8)~bit;
    c->lines = (u8)(level ? c->lines | bit : c->lines & ~bit);
    update(p);
}

/* An input is acknowledged: it goes in service, unless automatic EOI ends that at once. */
static void acknowledge(struct vpic_chip *c, unsigned input)
{
    if (!is_level(c, input))
        c->irr &= (u8)~BIT(input);
    if (!(c->icw4 & ICW4_AEOI))
        c->isr |= (u8)BIT(input);
    else if (c->rotate_aeoi)
        c->lowest = (u8)input;
}

/* Both INTA cycles are one step here, so a slave's request cannot go away between them (IRQ 15). */
u8 vpic_inta(void *vpic)
{
    struct vpic *p = vpic;
    unsigned input = pending_input(p, 0), chip = 0;

    if (input == 8) { /* the request went away: input 7, without its ISR bit (datasheet, p. 18) */
        p->spurious++;
        return p->chip[0].base | 7;
    }
    if (input == CASCADE) {
        acknowledge(&p->chip[0], CASCADE);
        chip = 1;
        input = pending_input(p, 1);
    }
    acknowledge(&p->chip[chip], input);
    p->count[8 * chip + input]++;
    update(p);
    return (u8)(p->chip[chip].base | input);
}

static void initialise(struct vpic_chip *c, u8 icw1)
{
    c->icw1 = icw1;
    c->icw_next = 2;
    c->imr = c->isr = 0;
    c->irr = c->lines & c->elcr; /* edge sense is reset: an edge must come anew */
    c->lowest = 7;
    c->read_isr = c->poll = c->special_mask = c->rotate_aeoi = false;
    if (!(icw1 & ICW1_IC4))
        c->icw4 = 0;
}

/* OCW2: bits 7 rotate, 6 specific, 5 EOI, 2:0 the input. */
static void write_ocw2(struct vpic_chip *c, u8 value)
{
    bool rotate = value & BIT(7), specific = value & BIT(6), eoi = value & BIT(5);
    /* The masked ones do not count for a non-specific EOI in special mask mode. */
    u32 isr = c->special_mask ? c->isr & (u32)~c->imr : c->isr;
    unsigned input = specific ? value & 7u : first_input(c, isr);

    if (!specific && !eoi) {
        c->rotate_aeoi = rotate;
        return;
    }
    if (input == 8)
        return;
    if (eoi)
        c->isr &= (u8)~BIT(input);
    if (rotate)
        c->lowest = (u8)input;
}

static void write_ocw3(struct vpic_chip *c, u8 value)
{
    if (value & BIT(6))
        c->special_mask = value & BIT(5);
    c->poll = value & BIT(2);
    if (!c->poll && (value & BIT(1)))
        c->read_isr = value & BIT(0);
}

static void write_icw(struct vpic_chip *c, u8 value)
{
    bool single = c->icw1 & ICW1_SNGL, icw4 = c->icw1 & ICW1_IC4;

    switch (c->icw_next) {
    case 2:
        c->base = value & 0xf8;
        c->icw_next = !single ? 3 : icw4 ? 4 : 0;
        break;
    case 3:
        c->icw3 = value; /* the wiring is fixed: kept to be shown */
        c->icw_next = icw4 ? 4 : 0;
        break;
    default: c->icw4 = value; c->icw_next = 0;
    }
}

/* A read after the poll command is an acknowledge: bit 7 and the input, or 0. */
static u8 poll(struct vpic *p, unsigned chip)
{
    struct vpic_chip *c = &p->chip[chip];
    unsigned input = pending_input(p, chip);

    c->poll = false;
    if (input == 8)
        return 0;
    acknowledge(c, input);
    update(p);
    return (u8)(0x80 | input);
}

static struct vpic *pair_of(struct vpic_chip *c)
{
    return container_of(c - c->number, struct vpic, chip);
}

static u64 chip_read(void *chip, unsigned, u64 offset, unsigned)
{
    struct vpic_chip *c = chip;

    if (c->poll)
        return poll(pair_of(c), c->number);
    if (offset == 1)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

static void chip_write(void *chip, unsigned, u64 offset, unsigned, u64 written)
{
    struct vpic_chip *c = chip;
    u8 value = (u8)written;

    if (offset == 1 && c->icw_next)
        write_icw(c, value);
    else if (offset == 1)
        c->imr = value;
    else if (value & ICW1_INIT)
        initialise(c, value);
    else if (value & OCW3)
        write_ocw3(c, value);
    else
        write_ocw2(c, value);
    update(pair_of(c));
}

static u64 elcr_read(void *dev, unsigned, u64 offset, unsigned)
{
    return ((struct vpic *)dev)->chip[offset].elcr;
}

static void elcr_write(void *dev, unsigned, u64 offset, unsigned, u64 value)
{
    struct vpic *p = dev;
    struct vpic_chip *c = &p->chip[offset];
    u8 old = c->elcr;

    c->elcr = (u8)value & c->elcr_mask;
    /* An input that turns level-triggered requests by its level alone. */
    c->irr = (u8)((c->irr & ~(c->elcr & ~old)) | (c->elcr & c->lines));
    update(p);
}

enum status vpic_init(struct vpic *p, struct bus *b, struct irqline intr)
{
    memset(p, 0, sizeof *p);
    p->intr = intr;
    p->chip[0].elcr_mask = 0xf8; /* IRQ 0, 1, 2, 8 and 13 are edge-triggered for ever */
    p->chip[1].elcr_mask = 0xde;
    p->chip[1].number = 1;
    p->chip[0].lowest = p->chip[1].lowest = 7;
    TRY(bus_add_port8(b, "pic-master", 0x20, 2, chip_read, chip_write, &p->chip[0]));
    TRY(bus_add_port8(b, "pic-slave", 0xa0, 2, chip_read, chip_write, &p->chip[1]));
    TRY(bus_add_port8(b, "elcr", 0x4d0, 2, elcr_read, elcr_write, p));
    bus_name_registers(b, "pic-master", "command|mask", 0);
    bus_name_registers(b, "pic-slave", "command|mask", 0);
    return STATUS_OK;
}

void vpic_show(const struct vpic *p, struct sink *out)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct vpic_chip *c = &p->chip[i];

        sink_printf(out, "8259 %s\n", i == 0 ? "master" : "slave");
        sink_printf(out, "  %-6s %02x\n", "IRR", c->irr);
        sink_printf(out, "  %-6s %02x\n", "ISR", c->isr);
        sink_printf(out, "  %-6s %02x\n", "IMR", c->imr);
        sink_printf(out, "  %-6s %02x  inputs asserted\n", "lines", c->lines);
        sink_printf(out, "  %-6s %02x  level-triggered inputs\n", "ELCR", c->elcr);
        sink_printf(out, "  %-6s %02x\n", "ICW1", c->icw1);
        sink_printf(out, "  %-6s %02x  vectors %02xh-%02xh\n", "ICW2", c->base, c->base,
                    c->base + 7u);
        sink_printf(out, "  %-6s %02x\n", "ICW3", c->icw3);
        sink_printf(out, "  %-6s %02x %s%s\n", "ICW4", c->icw4,
                    c->icw4 & ICW4_AEOI ? " automatic EOI" : "",
                    c->icw4 & ICW4_SFNM ? " special fully nested" : "");
        sink_printf(out, "  %-6s lowest priority: input %u%s%s%s%s\n", "mode", c->lowest,
                    c->special_mask ? ", special mask" : "", c->poll ? ", poll" : "",
                    c->rotate_aeoi ? ", rotates" : "", c->icw_next ? ", awaits ICW" : "");
    }
    sink_printf(out, "  %-6s %u, spurious %lu, acknowledged", "INTR", p->intr_level, p->spurious);
    for (unsigned i = 0; i < ARRAY_SIZE(p->count); i++)
        if (p->count[i])
            sink_printf(out, " irq%u: %lu", i, p->count[i]);
    sink_printf(out, "\n");
}
