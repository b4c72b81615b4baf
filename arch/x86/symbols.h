/* SPDX-License-Identifier: MIT
 *
 * Names for code addresses, for backtraces.  The table is made from the first link's symbols and
 * linked in by the second (section .symbols); when it is not there lookups find nothing.
 */
#ifndef ARCH_X86_SYMBOLS_H
#define ARCH_X86_SYMBOLS_H

#include "lib/types.h"

/*
 * The table, as the build emits it (assembly, section .symbols):
 *
 *     symbols_count:  .quad N
 *     symbols_address: .quad address, ... (N of them, ascending, link addresses)
 *     symbols_name:   .long offset, ...   (N of them, of a NUL-terminated name in symbols_text)
 *     symbols_text:   .asciz ...
 *
 * arch/x86/symbols.c has weak definitions with N = 0.
 */
extern const u64 symbols_count;
extern const u64 symbols_address[];
extern const u32 symbols_name[];
extern const char symbols_text[];

/* The function that holds this address, or NULL; *offset is the distance from its beginning. */
const char *symbol_find(u64 address, u64 *offset);

#endif
