/* SPDX-License-Identifier: MIT
 *
 * Symbol tables as files have them: the text of `nm`, System.map or /proc/kallsyms, or an ELF
 * file's symbol table.
 */
#pragma once

#include "guest/image.h"
#include "lib/symbols.h"

/* Does it begin as an ELF file? */
bool image_is_elf(const struct image *image);

/*
 * Look through a file: out->count is the number of its symbols, for which guest_symbols_fill()
 * needs room.  ENOENT or EFORMAT, with a text, when there are none or a line makes no sense.
 */
CHECKED enum status guest_symbols_measure(const struct image *image, struct symbols *out,
                                          struct load_error *e);

/*
 * Complete the table, whose own `entry` (out->count words) and the image's bytes become.  Symbols
 * outside the highest one's 4 GiB are left out: Linux' per-CPU variables.
 */
void guest_symbols_fill(const struct image *image, u64 *entry, struct symbols *out);
