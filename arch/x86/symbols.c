/* SPDX-License-Identifier: MIT
 *
 * Lookup in the symbol table that the second link embeds.
 */
#include "arch/x86/symbols.h"

#include "arch/x86/layout.h"
#include "lib/symbols.h"

extern const u8 image_text_start[], image_text_end[];

/* As tools/symbols.py writes it; linker.ld provides an empty one for the first link. */
extern const u64 own_symbols_count, own_symbols_entry[];
extern const char own_symbols_text[];

const char *symbol_find(u64 address, u64 *offset)
{
    const struct symbols own = {
        .base = IMAGE_MAP, .entry = own_symbols_entry, .count = (u32)own_symbols_count};

    if (address < (u64)(uintptr_t)image_text_start || address >= (u64)(uintptr_t)image_text_end)
        return NULL;
    s64 n = symbols_find(&own, address, offset);
    return n < 0 ? NULL : own_symbols_text + (u32)own.entry[n];
}
