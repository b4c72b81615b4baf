/* SPDX-License-Identifier: MIT
 *
 * A boot module as a loader sees it, what kind of guest it holds, and bounds-checked reading of
 * it.  Everything in an image is hostile: no offset or size of its is used before it is checked.
 */
#pragma once

#include "lib/format.h"
#include "lib/status.h"

struct image {
    const u8 *data;
    u64 size;            /* bytes */
    const char *name;    /* file name without its path; NULL: not known */
    const char *cmdline; /* NULL: none */
};

/* Why a guest was refused: what, where, and what to do. */
struct load_error {
    char text[200];
};

/* Write the text; returns `why`, so that a refusal is one statement. */
CHECKED enum status load_fail(struct load_error *e, enum status why, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#define IMAGE_KIND_LIST(X)    \
    X(AUTO, "auto")           \
    X(FLAT, "flat")           \
    X(MULTIBOOT, "multiboot") \
    X(LINUX, "linux")         \
    X(FIRMWARE, "firmware")

enum image_kind {
#define X(name, text) IMAGE_##name,
    IMAGE_KIND_LIST(X)
#undef X
};

const char *image_kind_name(enum image_kind kind);

/*
 * The kind by content: a Multiboot 1 header (magic and checksum) in the first 8 KiB, or a Linux
 * boot sector and "HdrS".  ENOTSUP when it is neither, with a text that names what it looks like
 * and what to do.  Never says IMAGE_FLAT or IMAGE_FIRMWARE: anything could be that, so it
 * must be asked for.
 */
CHECKED enum status image_detect(const struct image *i, enum image_kind *kind,
                                 struct load_error *e);

/* Offset of a valid Multiboot 1 header, or -1. */
s64 image_find_multiboot(const struct image *i);

/* The little-endian value of `width` (1, 2, 4 or 8) bytes at offset; false: not inside. */
CHECKED bool image_get(const struct image *i, u64 offset, unsigned width, u64 *value);

/* The bytes [offset, offset + size), or NULL when not all of them are inside. */
const u8 *image_at(const struct image *i, u64 offset, u64 size);
