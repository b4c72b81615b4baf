/* SPDX-License-Identifier: MIT
 *
 * PCI bus 0 by configuration mechanism 1 (ports CF8H and CFCH), the host bridge of an Intel 440FX
 * as function 00:00.0, and the reset control register CF9H that lies between the two ports.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/cpuport.h"
#include "lib/format.h"

#define VPCI_MAX_FUNCTIONS 8
#define VPCI_CONFIG_SIZE   256

/* Offsets in configuration space, PCI Local Bus 3.0, 6.1. */
#define VPCI_VENDOR    0x00
#define VPCI_DEVICE    0x02
#define VPCI_REVISION  0x08
#define VPCI_CLASS     0x0a
#define VPCI_HEADER    0x0e
#define VPCI_SUBVENDOR 0x2c
#define VPCI_SUBSYSTEM 0x2e

/* A function's configuration space.  Its device fills it before vpci_add() and keeps it in place.
 */
struct vpci_function {
    const char *name;
    u8 device, function;
    u8 config[VPCI_CONFIG_SIZE];
    u8 writable[VPCI_CONFIG_SIZE]; /* the bits that the guest can change */
    /* Told after each write; NULL: nobody wants to know. */
    void (*written)(void *dev, unsigned offset, unsigned size);
    void *dev;
};

struct vpci {
    struct vpci_function *function[VPCI_MAX_FUNCTIONS];
    unsigned count;
    struct vpci_function bridge; /* 00:00.0; keeps its PAM registers (59H-5FH), RAM stays RAM */
    u32 address;                 /* CF8H */
    u8 reset;                    /* CF9H */
    const struct cpu_port *port;
};

/* Claims CF8H-CFFH; the host bridge is there already. */
CHECKED enum status vpci_init(struct vpci *p, struct bus *b, const struct cpu_port *port);

/* A little-endian value of 1, 2 or 4 bytes into a function's configuration space. */
void vpci_set(struct vpci_function *f, unsigned offset, unsigned size, u32 value);

/* Put a function on the bus.  EINVAL: no such place; EOVERLAP: it is taken; ENOSPC. */
CHECKED enum status vpci_add(struct vpci *p, struct vpci_function *f);

void vpci_show(const struct vpci *p, struct sink *out);
