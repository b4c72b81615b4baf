/* SPDX-License-Identifier: MIT
 *
 * The real machine's PCI functions, by configuration mechanism 1: as much as finding a card needs.
 */
#pragma once

#include "lib/types.h"

#define PCI_CLASS_SERIAL    0x0700u /* class and subclass */
#define PCI_BAR_IO          1u
#define PCI_BAR_IO_MASK     0xfffcull
#define PCI_BAR_MEMORY_MASK (~0xfull)

struct pci_device {
    u8 bus, slot, function;
};

/* The n-th function of a class, from 0; false: there are not as many. */
bool pci_find(u16 class_code, unsigned n, struct pci_device *out);

/* Let the function answer; its base address register as it is (64-bit ones whole), 0: not set. */
u64 pci_enable_bar(const struct pci_device *d, unsigned bar);
