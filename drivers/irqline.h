/* SPDX-License-Identifier: MIT
 *
 * One wire from a device to an interrupt controller: a callback, a target and a pin.
 */
#pragma once

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
