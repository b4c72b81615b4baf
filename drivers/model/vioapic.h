/* SPDX-License-Identifier: MIT
 *
 * The I/O APIC: 24 inputs, each with a redirection entry that says which interrupt message goes to
 * which local APICs.  After Intel's 82093AA, with the EOI register of version 20H.
 */
#pragma once

#include "drivers/model/vlapic.h"

#define VIOAPIC_BASE 0xfec00000ull
#define VIOAPIC_PINS 24

struct vioapic {
    u64 entry[VIOAPIC_PINS];
    u32 level;              /* bit per pin: the input is asserted */
    u8 select;              /* IOREGSEL */
    u8 id;                  /* bits 27:24 of register 0 */
    u64 sent[VIOAPIC_PINS]; /* messages taken, for statistics */
    struct vlapic_set *lapics;
};

/* Claims the page FEC00000H and takes the EOI messages of `lapics`. */
CHECKED enum status vioapic_init(struct vioapic *v, u8 id, struct bus *b,
                                 struct vlapic_set *lapics);

/* irqline callback; target: struct vioapic, pin 0..23; true is asserted whatever the polarity. */
void vioapic_set(void *vioapic, unsigned pin, bool level);

/* An EOI for vector: level-triggered entries with it may send again. */
void vioapic_eoi(void *vioapic, u8 vector);

void vioapic_show(const struct vioapic *v, struct sink *out);
