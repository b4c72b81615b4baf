/* SPDX-License-Identifier: MIT
 *
 * Names for code addresses, for backtraces.  The table is made from the first link's symbols and
 * linked in by the second (section .rodata.symbols); until then it is empty.
 */
#ifndef ARCH_X86_SYMBOLS_H
#define ARCH_X86_SYMBOLS_H

#include "lib/types.h"

/*
 * The table as tools/symbols.py writes it: ascending low halves of addresses (the image lies in the
 * top 2 GiB) with the offset of the name in symbols_text.
 */
struct symbol {
    u32 address, name;
};
extern const u32 symbols_count;
extern const struct symbol symbols_table[];
extern const char symbols_text[];

/* The function that holds this address, or NULL; *offset is the distance from its beginning. */
const char *symbol_find(u64 address, u64 *offset);

#endif
