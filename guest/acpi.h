/* SPDX-License-Identifier: MIT
 *
 * The firmware tables by which a guest's kernel learns about the board: ACPI (RSDP, XSDT, FADT,
 * FACS, MADT, DSDT) and, for kernels without ACPI, the MultiProcessor Specification's table.
 */
#pragma once

#include "lib/status.h"

/* Room for the tables of CONFIG_MAX_VCPUS processors. */
#define ACPI_AREA_SIZE 0x10000u

struct acpi_tables {
    u64 rsdp, rsdt, xsdt, fadt, facs, madt, dsdt; /* guest-physical addresses */
    u64 mp;                                       /* of the MP floating pointer structure */
    u32 used;                                     /* bytes of the area */
};

/*
 * Build the tables for `vcpus` (1..CONFIG_MAX_VCPUS) processors in `area` (ACPI_AREA_SIZE bytes,
 * cleared first), which the guest sees at gpa (a multiple of 64, below 1 MiB where kernels look).
 */
void acpi_build(unsigned vcpus, u8 *area, u64 gpa, struct acpi_tables *out);
