/* SPDX-License-Identifier: MIT
 *
 * Reading symbol files, of which nothing is trusted: one reader for both formats that yields symbol
 * after symbol, run through once for the highest address and once to fill the table.
 */
#include "guest/symbols.h"

#include "lib/string.h"

/* ELF, System V ABI chapter 4: where a class of file has what. */
#define ELF_CLASS   4 /* after the magic: 1 for 32 bits, 2 for 64 */
#define SHT_SYMTAB  2
#define STT_SECTION 3
#define STT_FILE    4
#define SHN_UNDEF   0
#define SHN_ABS     0xfff1
static const struct elf_layout {
    u8 word;                            /* bytes of an address */
    u8 shoff, shentsize, shnum;         /* in the file's header */
    u8 offset, size, link, entry;       /* in a section's, the type is at 4 */
    u8 value, info, section, name_size; /* in a symbol; its name is at 0 */
} layouts[] = {{4, 0x20, 0x2e, 0x30, 0x10, 0x14, 0x18, 16, 4, 12, 14, 4},
               {8, 0x28, 0x3a, 0x3c, 0x18, 0x20, 0x28, 24, 8, 4, 6, 4}};

struct reader {
    const struct image *image;
    const struct elf_layout *elf; /* NULL: text */
    u64 at, end;                  /* of the symbols in the file */
    u64 names, names_end;         /* ELF */
    u64 line;                     /* text */
    u64 address, name;            /* of the symbol: address, where its name is in the file */
};

/* The word in the file, or all-ones, which is never inside. */
static u64 get(const struct reader *r, u64 at, unsigned width)
{
    u64 value;

    return image_get(r->image, at, width, &value) ? value : ~0ull;
}

static bool open_elf(struct reader *r)
{
    const struct elf_layout *l = r->elf;
    u64 table = get(r, l->shoff, l->word), size = get(r, l->shentsize, 2);

    for (u64 n = 0, count = get(r, l->shnum, 2); n < count && count <= 0xffff; n++) {
        u64 at = table + n * size, link = table + get(r, at + l->link, 4) * size;
        if (get(r, at + 4, 4) != SHT_SYMTAB)
            continue;
        r->at = get(r, at + l->offset, l->word);
        r->names = get(r, link + l->offset, l->word);
        u64 bytes = get(r, at + l->size, l->word), text = get(r, link + l->size, l->word);
        r->end = r->at + bytes - bytes % l->entry;
        r->names_end = r->names + text;
        return image_at(r->image, r->at, bytes) && image_at(r->image, r->names, text);
    }
    return false;
}

bool image_is_elf(const struct image *image)
{
    return image->size > 16 && memcmp(image->data, "\177ELF", 4) == 0;
}

static bool open(struct reader *r, const struct image *image)
{
    *r = (struct reader){.image = image, .end = image->size};
    if (image_is_elf(image)) {
        u8 class = image->data[ELF_CLASS];
        if (class != 1 && class != 2)
            return false;
        r->elf = &layouts[class - 1];
        return open_elf(r);
    }
    return true;
}

static enum status next_elf(struct reader *r)
{
    for (; r->at < r->end; r->at += r->elf->entry) {
        u64 section = get(r, r->at + r->elf->section, 2), name = get(r, r->at, 4);
        u64 type = get(r, r->at + r->elf->info, 1) & 15;
        if (section == SHN_UNDEF || section == SHN_ABS || type == STT_SECTION || type == STT_FILE ||
            name == 0 || name >= r->names_end - r->names)
            continue;
        r->address = get(r, r->at + r->elf->value, r->elf->word);
        r->name = r->names + name;
        r->at += r->elf->entry;
        return STATUS_OK;
    }
    return STATUS_ENOENT;
}

static int hex(u8 c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* "ffffffff81000000 T _text", and in brackets behind it the module, in a line of its own. */
static enum status next_text(struct reader *r)
{
    const u8 *p = r->image->data;
    u64 at = r->at, digits = 0;

    while (at < r->end && (p[at] == '\n' || p[at] == '\r'))
        r->line += p[at++] == '\n';
    if (at == r->end)
        return STATUS_ENOENT;
    r->line++;
    for (r->address = 0; at < r->end && digits < 17 && hex(p[at]) >= 0; at++, digits++)
        r->address = r->address << 4 | (u64)hex(p[at]);
    if (digits == 0 || digits > 16 || r->end - at < 4 || p[at] != ' ' || p[at + 1] <= ' ' ||
        p[at + 2] != ' ' || p[at + 3] <= ' ')
        return STATUS_EFORMAT;
    r->name = at + 3;
    while (at < r->end && p[at] != '\n')
        at++;
    r->at = at + (at < r->end);
    return STATUS_OK;
}

static enum status next(struct reader *r) { return r->elf ? next_elf(r) : next_text(r); }

enum status guest_symbols_measure(const struct image *image, struct symbols *out,
                                  struct load_error *e)
{
    struct reader r;
    u64 highest = 0, count = 0;
    enum status s;

    if (image->size >> 32 || !open(&r, image))
        return load_fail(e, STATUS_EFORMAT,
                         "an ELF file without a (whole) symbol table: give one that is not "
                         "stripped, or the text that `nm` makes of it");
    for (; (s = next(&r)) == STATUS_OK; count++)
        highest = r.address > highest ? r.address : highest;
    if (s != STATUS_ENOENT)
        return load_fail(e, s, "line %lu: expected ADDRESS TYPE NAME, as in System.map", r.line);
    if (highest == 0)
        return load_fail(e, STATUS_ENOENT,
                         "no symbol in it has an address: Linux shows zeros to all but root");
    *out = (struct symbols){.base = highest & ~(u64)~0u,
                            .count = (u32)count,
                            .text = (const char *)image->data,
                            .text_size = image->size};
    return STATUS_OK;
}

/* Heapsort: no memory, no worst case. */
static void sift(u64 *a, u64 root, u64 count)
{
    for (u64 child; (child = 2 * root + 1) < count; root = child) {
        child += child + 1 < count && a[child + 1] > a[child];
        if (a[root] >= a[child])
            return;
        u64 swap = a[root];
        a[root] = a[child];
        a[child] = swap;
    }
}

static void sort(u64 *a, u64 count)
{
    u64 sorted = 1;

    while (sorted < count && a[sorted - 1] <= a[sorted])
        sorted++;
    if (sorted >= count)
        return;
    for (u64 i = count / 2; i-- > 0;)
        sift(a, i, count);
    for (u64 end = count; end-- > 1;) {
        u64 swap = a[0];
        a[0] = a[end];
        a[end] = swap;
        sift(a, 0, end);
    }
}

void guest_symbols_fill(const struct image *image, u64 *entry, struct symbols *out)
{
    struct reader r;
    u64 count = 0;

    if (open(&r, image))
        while (count < out->count && next(&r) == STATUS_OK)
            if (r.address >= out->base && r.address != 0)
                entry[count++] = (r.address - out->base) << 32 | (u32)r.name;
    sort(entry, count);
    out->entry = entry;
    out->count = (u32)count;
}
