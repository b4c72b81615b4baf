/* SPDX-License-Identifier: MIT
 *
 * One wire from a device to an interrupt controller: a callback, a target and a pin.
 */
#ifndef DRIVERS_IRQLINE_H
#define DRIVERS_IRQLINE_H

#include "lib/types.h"

struct irqline {
    void (*set)(void *target, unsigned pin, bool level); /* NULL: not connected */
    void *target;
    unsigned pin;
};

static inline void irqline_set(const struct irqline *line, bool level)
{
    if (line->set)
        line->set(line->target, line->pin, level);
}

/* A pulse, for edge-triggered inputs. */
static inline void irqline_pulse(const struct irqline *line)
{
    irqline_set(line, true);
    irqline_set(line, false);
}

#endif
