/* SPDX-License-Identifier: MIT
 *
 * The few memory and string routines that a freestanding C program needs; the compiler itself
 * emits calls to the first four.  On the host the C library provides them.
 */
#pragma once

#include "lib/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

/* True when s begins with prefix. */
static inline bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Copy at most cap - 1 characters and end with NUL; false when text was cut. */
bool str_copy(char *dst, size_t cap, const char *src);
