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

/* The low `size` bytes (1 to 8) as a signed number. */
static inline s64 sign_extend(u64 value, unsigned size)
{
    return (s64)(value << (64 - 8 * size)) >> (64 - 8 * size);
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

/* a * b / divisor, with its rest; all-ones (and no rest) when that does not fit.  DIV takes a
 * 128-bit dividend, which C cannot say without the compiler's run-time library. */
static inline u64 mul_div(u64 a, u64 b, u64 divisor, u64 *rest)
{
    u128 product = (u128)a * b;
    u64 low = (u64)product, high = (u64)(product >> 64);

    *rest = 0;
    if (high >= divisor)
        return ~0ul;
    __asm__("divq %4" : "=a"(low), "=d"(*rest) : "0"(low), "1"(high), "rm"(divisor) : "cc");
    return low;
}
