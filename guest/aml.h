/* SPDX-License-Identifier: MIT
 *
 * ACPI Machine Language, just enough of ACPI 6.4 chapter 20 to describe a small board: names,
 * constants, packages, scopes, devices and resource templates.
 */
#pragma once

#include "lib/types.h"

/* A growing piece of AML; `out` must have room for all that is put in. */
struct aml {
    u8 *out;
    u32 used;
};

/* Things that contain others: open, put the contents, close. */
enum aml_block { AML_SCOPE, AML_DEVICE, AML_PACKAGE, AML_BUFFER };

/* Begin a block: name for scopes and devices ("_SB_", four characters, a leading backslash
 * allowed), else NULL; count: a package's elements, or a buffer's bytes.  Returns what aml_close()
 * wants.  A block holds up to 4093 bytes. */
u32 aml_open(struct aml *a, enum aml_block block, const char *name, u8 count);
void aml_close(struct aml *a, u32 block);

/* Name(name, ...): the value follows by one of the next. */
void aml_name(struct aml *a, const char *name);
void aml_integer(struct aml *a, u32 value);
void aml_string(struct aml *a, const char *text);
/* EisaId("PNP0501"): ACPI 6.4, 19.6.36. */
void aml_eisa_id(struct aml *a, const char *id);

/* Name(_CRS, ResourceTemplate(){IO(Decode16, port, port, 1, count), IRQNoFlags(){irq}}), 6.4.2. */
void aml_io_irq(struct aml *a, u16 port, u8 count, u8 irq);

/* The same of a page of memory at `base` and the level-triggered interrupt gsi. */
void aml_page_interrupt(struct aml *a, u32 base, u32 gsi);

/* The same of a PCI host bridge: bus 0, configuration ports CF8H-CFFH, and what it passes on: I/O
 * ports from io_from on and memory [mem_from, mem_to]. */
void aml_pci_windows(struct aml *a, u32 mem_from, u32 mem_to, u16 io_from);
