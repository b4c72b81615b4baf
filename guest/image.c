/* SPDX-License-Identifier: MIT
 *
 * Reading boot modules without trusting them, and telling their kinds apart.
 */
#include "guest/image.h"

#include "lib/bits.h"
#include "lib/string.h"

#define MULTIBOOT_SEARCH 8192 /* Multiboot 0.6.96, 3.1: the header lies wholly in here, ... */
#define MULTIBOOT_ALIGN  4    /* ... on a 4-byte boundary */
#define MULTIBOOT_MAGIC  0x1badb002u

#define LINUX_BOOT_FLAG 0x1fe /* Linux x86 boot protocol: 0xaa55 */
#define LINUX_HEADER    0x202 /* "HdrS" */

enum status load_fail(struct load_error *e, enum status why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    format_vbuf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    return why;
}

const char *image_kind_name(enum image_kind kind)
{
    static const char *const name[] = {
#define X(id, text) [IMAGE_##id] = (text),
        IMAGE_KIND_LIST(X)
#undef X
    };

    return name[kind];
}

const u8 *image_at(const struct image *i, u64 offset, u64 size)
{
    return range_within(offset, size, i->size) ? i->data + offset : NULL;
}

bool image_get(const struct image *i, u64 offset, unsigned width, u64 *value)
{
    const u8 *p = image_at(i, offset, width);

    *value = 0;
    if (p)
        memcpy(value, p, width);
    return p != NULL;
}

s64 image_find_multiboot(const struct image *i)
{
    for (u64 at = 0; at + 12 <= MULTIBOOT_SEARCH; at += MULTIBOOT_ALIGN) {
        u64 magic, flags, checksum;

        if (!image_get(i, at, 4, &magic) || !image_get(i, at + 4, 4, &flags) ||
            !image_get(i, at + 8, 4, &checksum))
            return -1;
        if (magic == MULTIBOOT_MAGIC && (u32)(magic + flags + checksum) == 0)
            return (s64)at;
    }
    return -1;
}

/* What people hand over by mistake, by its first bytes. */
static const struct {
    const char *bytes;
    u8 length;
    const char *advice;
} lookalike[] = {
    {"\x7f"
     "ELF",
     4,
     "an ELF file without a Multiboot 1 header in its first 8 KiB: add one, or for Linux give "
     "its bzImage (vmlinuz)"},
    {"\x1f\x8b", 2, "compressed with gzip: unpack it first"},
    {"\xfd"
     "7zXZ",
     5, "compressed with xz: unpack it first"},
    {"\x28\xb5\x2f\xfd", 4, "compressed with zstd: unpack it first"},
    {"MZ", 2, "an EFI program: only a Linux bzImage or a Multiboot kernel can be started"},
    {"0707", 4, "a cpio archive: say initrd=NAME if it is an initial RAM disk"},
};

enum status image_detect(const struct image *i, enum image_kind *kind, struct load_error *e)
{
    u64 boot_flag, magic;

    if (i->size == 0)
        return load_fail(e, STATUS_ETRUNC, "the image is empty: check the file");
    if (image_find_multiboot(i) >= 0) {
        *kind = IMAGE_MULTIBOOT;
        return STATUS_OK;
    }
    if (image_get(i, LINUX_BOOT_FLAG, 2, &boot_flag) && boot_flag == 0xaa55 &&
        image_get(i, LINUX_HEADER, 4, &magic) && magic == 0x53726448) {
        *kind = IMAGE_LINUX;
        return STATUS_OK;
    }
    for (unsigned n = 0; n < ARRAY_SIZE(lookalike); n++) {
        const u8 *p = image_at(i, 0, lookalike[n].length);

        if (p && memcmp(p, lookalike[n].bytes, lookalike[n].length) == 0)
            return load_fail(e, STATUS_ENOTSUP, "the image looks like %s", lookalike[n].advice);
    }
    return load_fail(e, STATUS_ENOTSUP,
                     "no Multiboot 1 header in the first 8 KiB and no Linux header at 0x202: "
                     "for raw code say kind=flat (with load=, entry=, mode=)");
}
