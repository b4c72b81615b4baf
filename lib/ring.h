/* SPDX-License-Identifier: MIT
 *
 * A byte queue of fixed capacity (a power of two), one reader and one writer.
 */
#pragma once

#include "lib/types.h"

struct ring {
    u8 *buf;
    u32 mask; /* capacity - 1 */
    u32 head; /* next byte to write, free-running */
    u32 tail; /* next byte to read, free-running */
};

#define RING_INIT(storage)                            \
    {                                                 \
        .buf = (storage), .mask = sizeof(storage) - 1 \
    }

static inline u32 ring_used(const struct ring *r) { return r->head - r->tail; }

static inline u32 ring_room(const struct ring *r) { return r->mask + 1 - ring_used(r); }

/* False when full: nothing is stored. */
static inline bool ring_put(struct ring *r, u8 byte)
{
    if (ring_room(r) == 0)
        return false;
    r->buf[r->head++ & r->mask] = byte;
    return true;
}

/* The oldest byte, or -1 when empty. */
static inline int ring_get(struct ring *r)
{
    if (ring_used(r) == 0)
        return -1;
    return r->buf[r->tail++ & r->mask];
}
