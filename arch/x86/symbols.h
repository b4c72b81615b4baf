/* SPDX-License-Identifier: MIT
 *
 * Names for code addresses, for backtraces.  The table is made from the first link's symbols and
 * linked in by the second (section .symbols).
 */
#ifndef ARCH_X86_SYMBOLS_H
#define ARCH_X86_SYMBOLS_H

#include "lib/types.h"

/*
 * The table as tools/symbols.py writes it: ascending addresses, and of each the offset of its
 * NUL-terminated name in symbols_text.  linker.ld provides an empty one for the first link.
 */
extern const u64 symbols_count;
extern const u64 symbols_address[];
extern const u32 symbols_name[];
extern const char symbols_text[];

/* The function that holds this address, or NULL; *offset is the distance from its beginning. */
const char *symbol_find(u64 address, u64 *offset);

#endif
