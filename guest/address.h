/* SPDX-License-Identifier: MIT
 *
 * The one place that says where things are in a guest's machine: memory, MMIO pages, ports and
 * interrupt numbers.  The board wires devices by it, the ACPI and MP tables describe it, and the
 * loaders keep out of its way.
 */
#ifndef GUEST_ADDRESS_H
#define GUEST_ADDRESS_H

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
#define ADDR_LAPIC     0xfee00000ull
#define ADDR_FLAT_LOAD 0x7c00ull /* where a PC's firmware puts a boot sector */

/* Ports. */
#define PORT_PIC_MASTER 0x20
#define PORT_PIC_SLAVE  0xa0
#define PORT_PIT        0x40
#define PORT_KBC_DATA   0x60
#define PORT_PIT_GATE   0x61 /* system control port B */
#define PORT_KBC_STATUS 0x64
#define PORT_RTC        0x70
#define PORT_PORT_A     0x92 /* system control port A: fast reset */
#define PORT_DEBUG_EXIT 0xf4
#define PORT_UART       0x3f8
#define PORT_PIC_ELCR   0x4d0
#define PORT_PM1_EVENT  0x600 /* status, then enable: two bytes each */
#define PORT_PM1_CNT    0x604
#define PORT_PM_TIMER   0x608
#define PORT_RESET      0xcf9

/* ISA interrupts and what the I/O APIC makes of them. */
#define IRQ_PIT          0
#define IRQ_CASCADE      2
#define IRQ_UART         4
#define IRQ_RTC          8
#define IRQ_SCI          9
#define GSI_PIT          2 /* interrupt source override, ACPI 5.2.12.5 */
#define IOAPIC_PINS      24
#define IOAPIC_ID(vcpus) ((u8)(vcpus)) /* APIC ids 0..vcpus-1 are the processors' */

#define RESET_VALUE 0x06 /* PORT_RESET: full reset, now */
#define SLP_TYP_S5  5    /* PM1 control: the SLP_TYP that switches off (\_S5) */

#endif
