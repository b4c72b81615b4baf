/* SPDX-License-Identifier: MIT
 *
 * PCI Local Bus Specification 3.0, sections 3.2.2.3.2 and 6.1.
 */
#include "drivers/host/pci.h"

#include "arch/x86/cpu.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  BIT(31)
#define BUSES          256u
#define SLOTS          32u
#define FUNCTIONS      8u
#define BAR_64_BIT     BIT(2)
#define COMMAND_ENABLE 3u /* I/O and memory space */

enum { PCI_ID = 0x00, PCI_COMMAND = 0x04, PCI_CLASS = 0x08, PCI_HEADER = 0x0c, PCI_BAR = 0x10 };

static void select(const struct pci_device *d, unsigned reg)
{
    outl(CONFIG_ADDRESS,
         CONFIG_ENABLE | (u32)d->bus << 16 | (u32)d->slot << 11 | (u32)d->function << 8 | reg);
}

static u32 pci_read(const struct pci_device *d, unsigned reg)
{
    select(d, reg);
    return inl(CONFIG_DATA);
}

bool pci_find(u16 class_code, unsigned n, struct pci_device *out)
{
    for (u32 i = 0; i < BUSES * SLOTS * FUNCTIONS; i++) {
        *out = (struct pci_device){(u8)(i / (SLOTS * FUNCTIONS)), i / FUNCTIONS % SLOTS,
                                   i % FUNCTIONS};
        bool present = (pci_read(out, PCI_ID) & 0xffff) != 0xffff;
        if (present && pci_read(out, PCI_CLASS) >> 16 == class_code && n-- == 0)
            return true;
        if (out->function == 0 && (!present || !(pci_read(out, PCI_HEADER) & BIT(23))))
            i += FUNCTIONS - 1; /* nothing there, or a single function */
    }
    return false;
}

u64 pci_enable_bar(const struct pci_device *d, unsigned bar)
{
    u32 command = pci_read(d, PCI_COMMAND), low = pci_read(d, PCI_BAR + 4 * bar);
    bool wide = !(low & PCI_BAR_IO) && low & BAR_64_BIT;

    select(d, PCI_COMMAND);
    outl(CONFIG_DATA, (command & 0xffff) | COMMAND_ENABLE);
    return low | (wide ? (u64)pci_read(d, PCI_BAR + 4 * bar + 4) << 32 : 0);
}
