/* SPDX-License-Identifier: MIT
 *
 * The firmware's tables, as far as a hypervisor needs them: RSDP, XSDT or RSDT, MADT, and of the
 * FADT what powers off and resets.  ACPI specification 6.4, chapter 5.  Parsing is pure (memory is
 * reached through a callback) and unit-tested on the host; every table's checksum is verified.
 */
#pragma once

#include "lib/status.h"

#define ACPI_MAX_CPUS    256
#define ACPI_MAX_IOAPICS 8
#define ACPI_ISA_IRQS    16

struct acpi_cpu {
    u32 apic_id;
    bool usable; /* enabled now (not merely online-capable) */
};

struct acpi_ioapic {
    u64 address;
    u32 gsi_base;
    u8 id;
};

/* Where an ISA interrupt arrives. */
struct acpi_isa_irq {
    u32 gsi;
    bool active_low;
    bool level;
};

/* The serial port for consoles, by Microsoft's SPCR table. */
struct acpi_serial {
    u64 address; /* 0: none is told of, or it is no 16550 */
    bool memory; /* else a port */
    u8 stride;   /* bytes from register to register */
    u8 irq;      /* ISA interrupt, 0: not known */
    u32 baud;    /* 0: as the firmware left it */
};

struct acpi_info {
    bool present; /* an RSDP with valid tables was found; else the defaults of a PC hold */
    u64 lapic_address;
    bool has_8259; /* MADT flag PCAT_COMPAT */
    unsigned cpu_count, ioapic_count;
    struct acpi_cpu cpu[ACPI_MAX_CPUS];
    struct acpi_ioapic ioapic[ACPI_MAX_IOAPICS];
    struct acpi_isa_irq isa[ACPI_ISA_IRQS];

    /* FADT; 0 when unknown. */
    u16 pm1a_control, pm1b_control;
    bool can_power_off;       /* \_S5 was found */
    u16 s5_type_a, s5_type_b; /* SLP_TYP values of \_S5 */
    u8 reset_space; /* 0 memory, 1 I/O, 2 PCI configuration; valid when reset_address != 0 */
    u8 reset_value;
    u64 reset_address;
    struct acpi_serial serial;
    unsigned table_count;
};

/* How the parser reaches physical memory: NULL when [at, at + size) cannot be read. */
typedef const void *(*acpi_map_fn)(u64 at, u64 size);

/* Fill *out from the tables under rsdp (0: none).  ENOENT no RSDP; EFORMAT: which table and why
 * has been logged, and what was readable (or the defaults) is in *out. */
CHECKED enum status acpi_parse(struct acpi_info *out, u64 rsdp, acpi_map_fn map);

/* Find the RSDP in the BIOS areas (EBDA, E0000-FFFFF); 0 when it is not there. */
u64 acpi_scan_rsdp(acpi_map_fn map);

/* Parse the host's tables: rsdp as the boot loader gave it (0: scan), and say what was found. */
void acpi_init(u64 rsdp);

/* What acpi_init() found. */
const struct acpi_info *acpi_info(void);
