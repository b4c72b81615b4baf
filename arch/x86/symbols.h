/* SPDX-License-Identifier: MIT
 *
 * Names for code addresses, for backtraces.  The table is made from the first link's symbols and
 * linked in by the second (section .symbols).
 */
#pragma once

#include "lib/types.h"

/* The function that holds this address, or NULL; *offset is the distance from its beginning. */
const char *symbol_find(u64 address, u64 *offset);
