/* SPDX-License-Identifier: MIT
 *
 * Lookup in the symbol table that the second link embeds.
 */
#include "arch/x86/symbols.h"

/* What the first link has; the second brings the real ones. */
#define WEAK __attribute__((weak))
WEAK const u32 symbols_count = 0;
WEAK const struct symbol symbols_table[1] = {{0, 0}};
WEAK const char symbols_text[1] = "";

extern const u8 image_text_start[], image_text_end[];

const char *symbol_find(u64 address, u64 *offset)
{
    u32 low = 0, high = symbols_count, key = (u32)address;

    if (address < (u64)(uintptr_t)image_text_start || address >= (u64)(uintptr_t)image_text_end)
        return NULL;
    while (low < high) { /* the first symbol above key */
        u32 middle = low + (high - low) / 2;
        if (symbols_table[middle].address <= key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    *offset = key - symbols_table[low - 1].address;
    return symbols_text + symbols_table[low - 1].name;
}
