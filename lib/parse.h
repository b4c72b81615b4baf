/* SPDX-License-Identifier: MIT
 *
 * Numbers, sizes and key=value words out of text typed by people, with strict checking.
 */
#pragma once

#include "lib/status.h"

/* Decimal or 0x-hexadecimal, whole string; STATUS_EFORMAT or STATUS_ERANGE (over 64 bits). */
CHECKED enum status parse_u64(const char *text, u64 *out);

/* As parse_u64, with an optional suffix K, M or G (powers of 1024, either case). */
CHECKED enum status parse_size(const char *text, u64 *out);

/*
 * Take the next word (separated by blanks; double quotes hold blanks and are removed) from *cursor,
 * writing it NUL-terminated to buf and advancing *cursor.  STATUS_ENOENT at the end of the text,
 * STATUS_ERANGE when the word does not fit, STATUS_EFORMAT for an unclosed quote; *cursor then
 * stays.
 */
CHECKED enum status parse_word(const char **cursor, char *buf, size_t cap);
