/* SPDX-License-Identifier: MIT
 *
 * A table of names for addresses: eight bytes a symbol beside the text that has the names,
 * ascending by address, searched by bisection.
 */
#pragma once

#include "lib/types.h"

struct symbols {
    u64 base;         /* of the 32-bit addresses in entry[] */
    const u64 *entry; /* address - base << 32 | place of its name in text, ascending */
    u32 count;
    const char *text; /* a name ends at anything that is not printable, or with the text */
    u64 text_size;
    u64 slide; /* what runs is that much higher than the table says (KASLR) */
};

/*
 * The last symbol that is not above `address`: its number, or -1 where there is none (or the
 * table has ended long before).  *offset is the distance.
 */
s64 symbols_find(const struct symbols *s, u64 address, u64 *offset);

/* The address where symbol number n runs; its name, of which *length bytes. */
u64 symbols_address(const struct symbols *s, u32 n);
const char *symbols_name(const struct symbols *s, u32 n, unsigned *length);

/* The number of the first symbol of that name, or -1. */
s64 symbols_lookup(const struct symbols *s, const char *name, unsigned length);
