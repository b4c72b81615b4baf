/* SPDX-License-Identifier: MIT
 *
 * PCI configuration mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2) over a list of functions; what is
 * not there reads all-ones.
 */
#include "drivers/model/vpci.h"
#include "lib/bits.h"
#include "lib/string.h"

#define PCI_ENABLE BIT(31)
#define DATA_PORT  4 /* CFCH, from CF8H */

/* Reset control register CF9H, as in Intel's chipsets. */
#define RESET_SYSTEM BIT(1) /* hard instead of soft */
#define RESET_CPU    BIT(2) /* 0 -> 1 resets */
#define RESET_FULL   BIT(3)

/* 440FX PCIset data sheet (290549), 3.2.  Firmware for virtual machines recognises the board by the
 * subsystem that QEMU gives its bridge, and only then asks for fw_cfg. */
#define BRIDGE_VENDOR    0x8086
#define BRIDGE_DEVICE    0x1237
#define BRIDGE_REVISION  2
#define BRIDGE_CLASS     0x0600
#define BRIDGE_SUBVENDOR 0x1af4
#define BRIDGE_SUBSYSTEM 0x1100
#define BRIDGE_PAM       0x59 /* programmable attribute map: seven registers */
#define BRIDGE_PAM_END   0x60
#define BRIDGE_PAM_BITS  0x33 /* read and write enable of two areas */
#define BRIDGE_PAM0_BITS 0x30
#define BRIDGE_SMRAM     0x72

static u64 config_get(const u8 *config, unsigned offset, unsigned size)
{
    u64 value = 0;

    memcpy(&value, config + offset, size);
    return value;
}

void vpci_set(struct vpci_function *f, unsigned offset, unsigned size, u32 value)
{
    memcpy(f->config + offset, &value, size);
}

static struct vpci_function *find(const struct vpci *p, unsigned device, unsigned function)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->function[i]->device == device && p->function[i]->function == function)
            return p->function[i];
    return NULL;
}

/* The function that CF8H points to, or NULL: disabled, another bus, or nothing there. */
static struct vpci_function *addressed(const struct vpci *p)
{
    if (!(p->address & PCI_ENABLE) || bits_get(p->address, 23, 16) != 0)
        return NULL;
    return find(p, (unsigned)bits_get(p->address, 15, 11), (unsigned)bits_get(p->address, 10, 8));
}

/* CF8H answers to whole words of 32 bits only; its second byte by itself is the reset register. */
static u64 pci_read(void *dev, unsigned, u64 offset, unsigned size)
{
    struct vpci *p = dev;

    if (offset == 0 && size == 4)
        return p->address;
    if (offset == 1 && size == 1)
        return p->reset;
    const struct vpci_function *f = offset >= DATA_PORT ? addressed(p) : NULL;
    if (!f)
        return mask_bytes(size);
    return config_get(f->config, (p->address & 0xfc) + (unsigned)(offset - DATA_PORT), size);
}

static void config_write(struct vpci_function *f, unsigned offset, unsigned size, u64 value)
{
    for (unsigned i = 0; i < size; i++) {
        u8 mask = f->writable[offset + i];

        f->config[offset + i] = (u8)((f->config[offset + i] & ~mask) | ((value >> (8 * i)) & mask));
    }
    if (f->written)
        f->written(f->dev, offset, size);
}

static void reset_write(struct vpci *p, u8 value)
{
    bool rises = (value & RESET_CPU) && !(p->reset & RESET_CPU);

    p->reset = value & (RESET_SYSTEM | RESET_CPU | RESET_FULL);
    if (rises)
        p->port->machine(p->port->ctx, MACHINE_RESET, 0, "port CF9H");
}

static void pci_write(void *dev, unsigned, u64 offset, unsigned size, u64 value)
{
    struct vpci *p = dev;
    struct vpci_function *f;

    if (offset == 0 && size == 4) {
        p->address = (u32)value & (PCI_ENABLE | 0xfffffc);
    } else if (offset == 1 && size == 1) {
        reset_write(p, (u8)value);
    } else if (offset >= DATA_PORT) {
        f = addressed(p);
        if (f)
            config_write(f, (p->address & 0xfc) + (unsigned)(offset - DATA_PORT), size, value);
    }
}

enum status vpci_add(struct vpci *p, struct vpci_function *f)
{
    if (f->device > 31 || f->function > 7)
        return STATUS_EINVAL;
    if (find(p, f->device, f->function))
        return STATUS_EOVERLAP;
    if (p->count == VPCI_MAX_FUNCTIONS)
        return STATUS_ENOSPC;
    p->function[p->count++] = f;
    return STATUS_OK;
}

static void fill_bridge(struct vpci_function *f)
{
    f->name = "host bridge";
    vpci_set(f, VPCI_VENDOR, 2, BRIDGE_VENDOR);
    vpci_set(f, VPCI_DEVICE, 2, BRIDGE_DEVICE);
    vpci_set(f, VPCI_REVISION, 1, BRIDGE_REVISION);
    vpci_set(f, VPCI_CLASS, 2, BRIDGE_CLASS);
    vpci_set(f, VPCI_SUBVENDOR, 2, BRIDGE_SUBVENDOR);
    vpci_set(f, VPCI_SUBSYSTEM, 2, BRIDGE_SUBSYSTEM);
    f->writable[BRIDGE_PAM] = BRIDGE_PAM0_BITS;
    for (unsigned i = BRIDGE_PAM + 1; i < BRIDGE_PAM_END; i++)
        f->writable[i] = BRIDGE_PAM_BITS;
    vpci_set(f, BRIDGE_SMRAM, 1, 2); /* C_BASE_SEG reads 010b; there is no SMRAM */
}

enum status vpci_init(struct vpci *p, struct bus *b, const struct cpu_port *port)
{
    memset(p, 0, sizeof(*p));
    p->port = port;
    fill_bridge(&p->bridge);
    TRY(vpci_add(p, &p->bridge));
    TRY(bus_add_port(b, "pci", 0xcf8, 8, pci_read, pci_write, p));
    bus_name_registers(b, "pci", "address|data", 2);
    return STATUS_OK;
}

void vpci_show(const struct vpci *p, struct sink *out)
{
    sink_printf(out, "PCI\n");
    for (unsigned i = 0; i < p->count; i++) {
        const struct vpci_function *f = p->function[i];

        sink_printf(out, "  00:%02x.%x  %04x:%04x class %04x %s\n", f->device, f->function,
                    (unsigned)config_get(f->config, VPCI_VENDOR, 2),
                    (unsigned)config_get(f->config, VPCI_DEVICE, 2),
                    (unsigned)config_get(f->config, VPCI_CLASS, 2), f->name);
    }
    sink_printf(out, "  CF8H address  %08x  bus %u, device %u, function %u, register %02xh%s\n",
                p->address, p->address >> 16 & 0xff, p->address >> 11 & 0x1f, p->address >> 8 & 7,
                p->address & 0xfc, p->address & PCI_ENABLE ? "" : ", disabled");
    sink_printf(out, "  CF9H reset    %02x\n", p->reset);
}
