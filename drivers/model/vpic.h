/* SPDX-License-Identifier: MIT
 *
 * The pair of 8259A interrupt controllers of a PC, with the edge/level control registers (ELCR).
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/irqline.h"
#include "lib/format.h"

struct vpic_chip {
    u8 number;               /* in the pair */
    u8 irr, isr, imr, lines; /* one bit per input; lines: the levels of the inputs */
    u8 elcr, elcr_mask;      /* 1 = level-triggered; which bits can be set */
    u8 base;                 /* ICW2: vector of input 0 */
    u8 icw1, icw3, icw4;
    u8 icw_next; /* the next ICW expected at the odd port: 2..4, 0 = none */
    u8 lowest;   /* the input of lowest priority; 7 unless rotated */
    bool read_isr, poll, special_mask, rotate_aeoi;
};

struct vpic {
    struct vpic_chip chip[2]; /* master, slave */
    struct irqline intr;
    bool intr_level;
    u64 count[16]; /* interrupts acknowledged by input, for statistics */
    u64 spurious;
};

/* intr: the INTR output (vlapic_lint pin 0).  Claims 20H-21H, A0H-A1H, 4D0H-4D1H. */
CHECKED enum status vpic_init(struct vpic *p, struct bus *b, struct irqline intr);

/* irqline callback; target: struct vpic, pin 0..15 (2 is the cascade: ignored). */
void vpic_set(void *vpic, unsigned pin, bool level);

/* The CPU's interrupt acknowledge: the vector (the master's IRQ 7 when spurious). */
u8 vpic_inta(void *vpic);

void vpic_show(const struct vpic *p, struct sink *out);
