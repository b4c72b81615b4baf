/* SPDX-License-Identifier: MIT
 *
 * Lookup in the symbol table that the second link embeds.
 */
#include "arch/x86/symbols.h"

extern const u8 image_text_start[], image_text_end[];

const char *symbol_find(u64 address, u64 *offset)
{
    u64 low = 0, high = symbols_count;

    if (address < (u64)(uintptr_t)image_text_start || address >= (u64)(uintptr_t)image_text_end)
        return NULL;
    while (low < high) { /* the first symbol above address */
        u64 middle = low + (high - low) / 2;
        if (symbols_address[middle] <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    *offset = address - symbols_address[low - 1];
    return symbols_text + symbols_name[low - 1];
}
