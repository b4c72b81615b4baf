/* SPDX-License-Identifier: MIT
 *
 * The one place that says where things are in a guest's machine: memory, MMIO pages, ports and
 * interrupt numbers.  The board wires devices by it, the ACPI and MP tables describe it, and the
 * loaders keep out of its way.
 */
#pragma once

#include "lib/types.h"

/* Guest-physical memory. */
#define ADDR_BDA_SIZE  0x500ull    /* real-mode vectors and BIOS data area, from 0 */
#define ADDR_EBDA      0x9fc00ull  /* end of conventional memory: 639 KiB */
#define ADDR_VIDEO     0xa0000ull  /* frame buffer and option ROMs of a PC: no RAM to the guest */
#define ADDR_TABLES    0xf0000ull  /* where ACPI 5.2.5.1 and MPS 4 let a kernel look for tables */
#define ADDR_EXTENDED  0x100000ull /* extended memory begins */
#define ADDR_LOW_MAX   0xc0000000ull
#define ADDR_HIGH      0x100000000ull /* memory that does not fit below the hole */
#define ADDR_IOAPIC    0xfec00000ull
#define ADDR_DISK      0xfec10000ull
#define ADDR_LAPIC     0xfee00000ull
#define FIRMWARE_MIN   (64 * KiB)  /* a BIOS ends at 4 GiB ... */
#define FIRMWARE_MAX   (16 * MiB)  /* ... and begins above the APICs */
#define FIRMWARE_LOW   (128 * KiB) /* of its end, below 1 MiB as well */
#define ADDR_FLAT_LOAD 0x7c00ull   /* where a PC's firmware puts a boot sector */

/* Ports that have a choice or that a table names; the other devices of a PC sit where they always
 * do (drivers/model). */
#define PORT_RTC       0x70
#define PORT_UART      0x3f8
#define PORT_PM        0x600 /* PM1a event and control blocks, PM timer: drivers/model/vpm.h */
#define PORT_RESET     0xcf9
#define PORT_PCI_FIRST 0xd00 /* from here on ports are for PCI devices */

/* ISA interrupts and what the I/O APIC makes of them. */
#define IRQ_PIT          0
#define IRQ_KEYBOARD     1
#define IRQ_CASCADE      2
#define IRQ_UART         4
#define IRQ_RTC          8
#define IRQ_SCI          9
#define GSI_PIT          2 /* interrupt source override, ACPI 6.4, 5.2.12.5 */
#define GSI_DISK         20
#define IOAPIC_ID(vcpus) ((u8)(vcpus)) /* APIC ids 0..vcpus-1 are the processors' */

#define RESET_VALUE 0x06 /* for PORT_RESET: full reset, now */
