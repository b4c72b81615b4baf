/* SPDX-License-Identifier: MIT
 *
 * Searching a table of symbols, the hypervisor's own or a guest's.
 */
#include "lib/symbols.h"

#include "lib/string.h"

#define LAST_SIZE (64 * KiB) /* nothing says where the last symbol ends */

s64 symbols_find(const struct symbols *s, u64 address, u64 *offset)
{
    u64 at = address - s->slide - s->base, low = 0, high = s->count;

    if (at >> 32)
        return -1;
    while (low < high) { /* the first symbol above it */
        u64 middle = low + (high - low) / 2;
        if (s->entry[middle] >> 32 <= at)
            low = middle + 1;
        else
            high = middle;
    }
    *offset = low ? at - (s->entry[low - 1] >> 32) : 0;
    if (low == s->count && *offset >= LAST_SIZE)
        return -1;
    while (low > 1 && s->entry[low - 2] >> 32 == s->entry[low - 1] >> 32)
        low--; /* of several names for one address the first */
    return (s64)low - 1;
}

u64 symbols_address(const struct symbols *s, u32 n)
{
    return s->base + (s->entry[n] >> 32) + s->slide;
}

const char *symbols_name(const struct symbols *s, u32 n, unsigned *length)
{
    u32 at = (u32)s->entry[n];
    const char *name = s->text + at;

    *length = 0;
    while (at + *length < s->text_size && name[*length] > ' ' && name[*length] < 0x7f)
        ++*length;
    return name;
}

s64 symbols_lookup(const struct symbols *s, const char *name, unsigned length)
{
    for (u32 n = 0; n < s->count; n++) {
        u32 at = (u32)s->entry[n];
        unsigned got;
        if (at + (u64)length <= s->text_size && memcmp(s->text + at, name, length) == 0 &&
            (symbols_name(s, n, &got), got == length))
            return n;
    }
    return -1;
}
