/* SPDX-License-Identifier: MIT
 *
 * Entries are an unsorted list, looked through when one is selected.  What is not there, and what
 * lies behind an entry's end, reads 0; writes to entries are refused, as QEMU does.
 */
#include "drivers/model/vfwcfg.h"
#include "lib/bits.h"
#include "lib/string.h"

#define PORT     0x510
#define SELECTOR 0 /* offsets from there */
#define DATA     1
#define DMA_HIGH 4
#define DMA_LOW  8
#define PORTS    12

#define ID_TRADITIONAL BIT(0)
#define ID_DMA         BIT(1)

/* The control word of a DMA request; the key to select is in its upper half. */
#define DMA_ERROR  BIT(0)
#define DMA_READ   BIT(1)
#define DMA_SKIP   BIT(2)
#define DMA_SELECT BIT(3)
#define DMA_WRITE  BIT(4)
#define DMA_MAX    (256 * MiB) /* one request's length: bounds the time of an exit */

static u32 swap32(u32 v) { return __builtin_bswap32(v); }

static const struct vfwcfg_entry *selected(const struct vfwcfg *f)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->entry[i].key == f->key)
            return &f->entry[i];
    return NULL;
}

/* The next `size` bytes of the selected entry. */
static void take(struct vfwcfg *f, u8 *to, u64 size)
{
    const struct vfwcfg_entry *e = selected(f);
    u64 there = e && f->offset < e->size ? e->size - f->offset : 0;
    u64 n = there < size ? there : size;

    if (n)
        memcpy(to, (const u8 *)(e->data ? e->data : &e->number) + f->offset, n);
    memset(to + n, 0, size - n);
    f->offset += size;
}

static void select_key(struct vfwcfg *f, u16 key)
{
    f->key = key;
    f->offset = 0;
}

/* Carry out a request; false: it cannot be. */
static bool transfer(struct vfwcfg *f, u32 control, u32 length, u64 to)
{
    u8 *host;

    if (control & DMA_SELECT)
        select_key(f, (u16)(control >> 16));
    if (control & DMA_READ) {
        host = length <= DMA_MAX ? gmem_ram(f->mem, to, length) : NULL;
        if (host)
            take(f, host, length);
        return host != NULL;
    }
    if (control & DMA_WRITE)
        return false;
    if (control & DMA_SKIP)
        f->offset += length;
    return true;
}

/* A request lies at gpa, big-endian: control, length, address; the control word gets the result. */
static void run_dma(struct vfwcfg *f, u64 gpa)
{
    u8 *at = gmem_ram(f->mem, gpa, 16);
    u32 word[4], result;

    if (!at)
        return; /* nowhere to say so */
    memcpy(word, at, sizeof(word));
    result =
        transfer(f, swap32(word[0]), swap32(word[1]), (u64)swap32(word[2]) << 32 | swap32(word[3]))
            ? 0
            : swap32(DMA_ERROR);
    memcpy(at, &result, sizeof(result));
}

static u64 port_read(void *dev, unsigned, u64 offset, unsigned size)
{
    static const u8 dma_signature[8] = "QEMU CFG";
    struct vfwcfg *f = dev;
    u64 value = 0;

    if (offset == DATA && size == 1) {
        u8 byte;

        take(f, &byte, 1);
        return byte;
    }
    if (offset < DMA_HIGH)
        return mask_bytes(size);
    memcpy(&value, dma_signature + (offset - DMA_HIGH), size);
    return value;
}

static void port_write(void *dev, unsigned, u64 offset, unsigned size, u64 value)
{
    struct vfwcfg *f = dev;

    if (offset == SELECTOR && size == 2) {
        select_key(f, (u16)value);
    } else if (offset == DMA_HIGH && size == 4) {
        f->dma_high = swap32((u32)value);
    } else if (offset == DMA_LOW && size == 4) {
        u64 gpa = (u64)f->dma_high << 32 | swap32((u32)value);

        f->dma_high = 0;
        run_dma(f, gpa);
    }
}

enum status vfwcfg_add(struct vfwcfg *f, u16 key, const void *data, u64 number, u32 size)
{
    if (f->count == VFWCFG_MAX_ENTRIES)
        return STATUS_ENOSPC;
    f->entry[f->count++] = (struct vfwcfg_entry){key, size, data, number};
    return STATUS_OK;
}

enum status vfwcfg_add_file(struct vfwcfg *f, const char *name, const void *data, u64 number,
                            u32 size)
{
    u32 big = swap32(size), count = swap32(f->files + 1);
    u16 key = (u16)(VFWCFG_FILES + f->files), big_key = __builtin_bswap16(key);

    if (f->files == VFWCFG_MAX_FILES)
        return STATUS_ENOSPC;
    if (strlen(name) >= VFWCFG_NAME_SIZE)
        return STATUS_ERANGE;
    TRY(vfwcfg_add(f, key, data, number, size));
    memcpy(f->directory.file[f->files].size, &big, 4);
    memcpy(f->directory.file[f->files].key, &big_key, 2);
    memcpy(f->directory.file[f->files].name, name, strlen(name));
    memcpy(f->directory.count, &count, 4);
    f->files++;
    return STATUS_OK;
}

enum status vfwcfg_init(struct vfwcfg *f, struct bus *b, const struct gmem *mem)
{
    memset(f, 0, sizeof(*f));
    f->mem = mem;
    TRY(vfwcfg_add(f, VFWCFG_SIGNATURE, "QEMU", 0, 4));
    TRY(vfwcfg_add(f, VFWCFG_ID, NULL, ID_TRADITIONAL | ID_DMA, 4));
    TRY(vfwcfg_add(f, VFWCFG_DIRECTORY, &f->directory, 0, sizeof(f->directory)));
    return bus_add_port(b, "fw_cfg", PORT, PORTS, port_read, port_write, f);
}

void vfwcfg_show(const struct vfwcfg *f, struct sink *out)
{
    sink_printf(out, "fw_cfg\n  selected %04xh, byte %lu\n", f->key, f->offset);
    for (unsigned i = 0; i < f->count; i++) {
        const struct vfwcfg_entry *e = &f->entry[i];
        bool file = e->key >= VFWCFG_FILES;

        sink_printf(out, "  %04x  %8u bytes%s%s\n", e->key, e->size, file ? "  " : "",
                    file ? f->directory.file[e->key - VFWCFG_FILES].name : "");
    }
}
