/* SPDX-License-Identifier: MIT
 *
 * A small physical memory for parsers that reach theirs through a callback.  Each mapping is a heap
 * copy of exactly the bytes asked for, so that the sanitizer sees every access beyond them.
 */
#ifndef TESTS_UNIT_PHYSMEM_H
#define TESTS_UNIT_PHYSMEM_H

#include "lib/bits.h"
#include "lib/types.h"
#include <stdlib.h>
#include <string.h>

#define PHYSMEM_SIZE (1u << 20)

static u8 physmem[PHYSMEM_SIZE];
static void **physmem_copies;
static size_t physmem_copy_count;

static const void *physmem_map(u64 at, u64 size)
{
    void *copy;

    if (!range_within(at, size, PHYSMEM_SIZE))
        return NULL;
    copy = malloc(size ? size : 1);
    memcpy(copy, physmem + at, size);
    physmem_copies = realloc(physmem_copies, (physmem_copy_count + 1) * sizeof(void *));
    physmem_copies[physmem_copy_count++] = copy;
    return copy;
}

/* Forget the copies and clear the memory: cmocka's setup and teardown. */
static int physmem_reset(void **)
{
    for (size_t i = 0; i < physmem_copy_count; i++)
        free(physmem_copies[i]);
    free(physmem_copies);
    physmem_copies = NULL;
    physmem_copy_count = 0;
    memset(physmem, 0, sizeof(physmem));
    return 0;
}

static void put32(u64 at, u32 v) { memcpy(physmem + at, &v, 4); }

static inline void put64(u64 at, u64 v) { memcpy(physmem + at, &v, 8); }

static inline void put_text(u64 at, const char *text)
{
    memcpy(physmem + at, text, strlen(text) + 1);
}

#endif
