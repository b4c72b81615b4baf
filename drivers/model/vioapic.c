/* SPDX-License-Identifier: MIT
 *
 * The I/O APIC, Intel's 82093AA datasheet (290566); EOI register and version 20H as in later
 * chipsets, for guests that suppress EOI broadcasts.
 */
#include "drivers/model/vioapic.h"
#include "lib/bits.h"
#include "lib/string.h"

/* Offsets in the page. */
#define IOREGSEL 0x00
#define IOWIN    0x10
#define IOEOI    0x40

/* Registers behind IOREGSEL; two per redirection entry from REDTBL on. */
#define REG_ID      0x00
#define REG_VERSION 0x01
#define REG_ARB     0x02
#define REDTBL      0x10

#define VERSION_VALUE (0x20u | (VIOAPIC_PINS - 1) << 16)

/* Redirection entry, datasheet 3.2.4. */
#define ENTRY_VECTOR     0xffu
#define ENTRY_LOGICAL    BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL      BIT(15)
#define ENTRY_MASKED     BIT(16)
/* All but delivery status and Remote IRR.  Polarity (bit 13) is kept but ignored: the lines tell
 * assertion, not voltage. */
#define ENTRY_WRITABLE (0xff00000000000000ull | 0x1afffull)

static enum apic_delivery mode_of(u64 entry) { return (enum apic_delivery)(entry >> 8 & 7); }

/* Only fixed and lowest-priority delivery can be level-triggered. */
static bool is_level(u64 entry) { return (entry & ENTRY_LEVEL) && mode_of(entry) <= APIC_LOWEST; }

static void send(struct vioapic *v, unsigned pin)
{
    u64 *entry = &v->entry[pin];
    bool level = is_level(*entry);

    if (mode_of(*entry) == APIC_SIPI) /* reserved here */
        return;
    /* Before the message: an EOI can come in while it is being delivered. */
    if (level)
        *entry |= ENTRY_REMOTE_IRR;
    if (vlapic_deliver(v->lapics, (u8)(*entry >> 56), *entry & ENTRY_LOGICAL, mode_of(*entry),
                       (u8)*entry, level))
        v->sent[pin]++;
    else
        *entry &= ~(u64)ENTRY_REMOTE_IRR;
}

/* A level-triggered input sends while it is asserted and no EOI is outstanding. */
static void sample_level(struct vioapic *v, unsigned pin)
{
    u64 entry = v->entry[pin];

    if (is_level(entry) && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) && (v->level & BIT(pin)))
        send(v, pin);
}

void vioapic_set(void *vioapic, unsigned pin, bool level)
{
    struct vioapic *v = vioapic;
    bool rises = level && !(v->level & BIT(pin));

    v->level = (v->level & ~BIT(pin)) | (u32)level << pin;
    /* An edge on a masked input is neither delivered nor held (datasheet 3.2.4, bit 16). */
    if (is_level(v->entry[pin]))
        sample_level(v, pin);
    else if (rises && !(v->entry[pin] & ENTRY_MASKED))
        send(v, pin);
}

void vioapic_eoi(void *vioapic, u8 vector)
{
    struct vioapic *v = vioapic;

    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++)
        if ((v->entry[pin] & ENTRY_VECTOR) == vector && (v->entry[pin] & ENTRY_REMOTE_IRR)) {
            v->entry[pin] &= ~(u64)ENTRY_REMOTE_IRR;
            sample_level(v, pin);
        }
}

static u32 read_register(const struct vioapic *v)
{
    unsigned n = v->select - REDTBL;

    if (v->select >= REDTBL && n < 2 * VIOAPIC_PINS)
        return (u32)(v->entry[n / 2] >> (n % 2 ? 32 : 0));
    switch (v->select) {
    case REG_ID:
    case REG_ARB: return (u32)v->id << 24;
    case REG_VERSION: return VERSION_VALUE;
    default: return 0xffffffff;
    }
}

static void write_entry(struct vioapic *v, unsigned pin, u64 value)
{
    u64 *entry = &v->entry[pin];

    *entry = (value & ENTRY_WRITABLE) | (*entry & ENTRY_REMOTE_IRR);
    /* An entry that turns edge-triggered forgets Remote IRR; operating systems clear a stuck one
     * in this way. */
    if (!is_level(*entry))
        *entry &= ~(u64)ENTRY_REMOTE_IRR;
    sample_level(v, pin);
}

static void write_register(struct vioapic *v, u32 value)
{
    unsigned n = v->select - REDTBL;

    if (v->select == REG_ID) {
        v->id = value >> 24 & 0xf;
    } else if (v->select >= REDTBL && n < 2 * VIOAPIC_PINS) {
        u64 old = v->entry[n / 2];

        write_entry(v, n / 2,
                    n % 2 ? (u64)value << 32 | (u32)old : (old & 0xffffffff00000000ull) | value);
    }
}

/* Registers are 32 bits wide; IOREGSEL can be reached by its low byte. */
static u64 page_read(void *dev, unsigned, u64 offset, unsigned size)
{
    struct vioapic *v = dev;
    u32 value = 0;

    if ((offset & ~3ull) == IOREGSEL)
        value = v->select;
    else if ((offset & ~3ull) == IOWIN)
        value = read_register(v);
    return (value >> 8 * (offset & 3)) & mask_bytes(size);
}

static void page_write(void *dev, unsigned, u64 offset, unsigned size, u64 value)
{
    struct vioapic *v = dev;

    if (offset == IOREGSEL)
        v->select = (u8)value;
    else if (offset == IOWIN && size >= 4)
        write_register(v, (u32)value);
    else if (offset == IOEOI)
        vioapic_eoi(v, (u8)value);
}

enum status vioapic_init(struct vioapic *v, u8 id, struct bus *b, struct vlapic_set *lapics)
{
    memset(v, 0, sizeof *v);
    v->id = id & 0xf;
    v->lapics = lapics;
    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++)
        v->entry[pin] = ENTRY_MASKED;
    vlapic_connect_eoi(lapics, vioapic_eoi, v);
    enum status s = bus_add_mmio(b, "ioapic", VIOAPIC_BASE, PAGE_SIZE, page_read, page_write, v);
    bus_name_registers(b, "ioapic", "IOREGSEL|IOWIN|||EOI", 4);
    return s;
}

void vioapic_show(const struct vioapic *v, struct sink *out)
{
    static const char *const modes[] = {"fixed", "lowest", "SMI",      "reserved",
                                        "NMI",   "INIT",   "reserved", "ExtINT"};

    sink_printf(out, "I/O APIC\n");
    sink_printf(out, "  %-8s %02xh\n", "IOREGSEL", v->select);
    sink_printf(out, "  %-8s %u\n", "ID", v->id);
    sink_printf(out, "  %-8s %08x  %u entries, EOI register\n", "VERSION", VERSION_VALUE,
                VIOAPIC_PINS);
    for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++) {
        u64 e = v->entry[pin];

        sink_printf(out, "  pin %-4u %016lx  vector %02xh %s %s %02xh %s%s%s%s  sent %lu\n", pin, e,
                    (unsigned)(e & ENTRY_VECTOR), modes[mode_of(e)],
                    e & ENTRY_LOGICAL ? "logical" : "physical", (unsigned)(e >> 56),
                    e & ENTRY_LEVEL ? "level" : "edge", e & ENTRY_MASKED ? " masked" : "",
                    e & ENTRY_REMOTE_IRR ? " remote-IRR" : "",
                    v->level & BIT(pin) ? " asserted" : "", v->sent[pin]);
    }
}
