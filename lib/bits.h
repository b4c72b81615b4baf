/* SPDX-License-Identifier: MIT
 *
 * Bit masks, alignment and overflow-checked ranges.
 */
#pragma once

#include "lib/types.h"

#define BIT(n)   (1u << (n))
#define BIT64(n) (1ul << (n))

/* Bits lo..hi (inclusive, 0..63) of value, shifted down. */
static inline u64 bits_get(u64 value, unsigned hi, unsigned lo)
{
    return (value >> lo) & (~0ull >> (63 - (hi - lo)));
}

/* value rounded down or up to a power-of-two alignment; align_up wraps to 0 past the top. */
static inline u64 align_down(u64 value, u64 align) { return value & ~(align - 1); }

static inline u64 align_up(u64 value, u64 align) { return (value + align - 1) & ~(align - 1); }

static inline bool is_aligned(u64 value, u64 align) { return (value & (align - 1)) == 0; }

/* True when [start, start + size) lies inside [0, limit): no wrap-around. */
static inline bool range_within(u64 start, u64 size, u64 limit)
{
    return size <= limit && start <= limit - size;
}

/* True when [a, a + an) and [b, b + bn) share a byte; neither may wrap. */
static inline bool ranges_overlap(u64 a, u64 an, u64 b, u64 bn)
{
    return an != 0 && bn != 0 && (a >= b ? a - b < bn : b - a < an);
}

/* Value of the low size bytes (1, 2, 4 or 8) all set. */
static inline u64 mask_bytes(unsigned size) { return ~0ull >> (64 - 8 * size); }
