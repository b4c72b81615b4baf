/* SPDX-License-Identifier: MIT
 *
 * The AML encoder.  Section numbers are of ACPI 6.4.
 */
#include "guest/aml.h"

#include "lib/string.h"

/* 20.3, "AML byte stream byte values". */
enum aml_op {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_EXT = 0x5b,
    OP_EXT_DEVICE = 0x82
};

#define END_TAG 0x79 /* 6.4.2.9; a checksum of 0 is not looked at */

/* Address space descriptors' resource types, 6.4.3.5.1. */
enum aml_space { AML_MEMORY, AML_IO, AML_BUSES };

#define SMALL_LENGTH 63 /* what a one-byte PkgLength holds, 20.2.4 */

static void put(struct aml *a, u32 value, unsigned bytes)
{
    memcpy(a->out + a->used, &value, bytes);
    a->used += bytes;
}

static void put_text(struct aml *a, const char *text, size_t size)
{
    memcpy(a->out + a->used, text, size);
    a->used += (u32)size;
}

u32 aml_open(struct aml *a, enum aml_block block, const char *name, u8 count)
{
    static const u8 op[] = {
        [AML_SCOPE] = OP_SCOPE,
        [AML_DEVICE] = OP_EXT_DEVICE,
        [AML_PACKAGE] = OP_PACKAGE,
        [AML_BUFFER] = OP_BUFFER,
    };
    u32 start;

    if (block == AML_DEVICE)
        put(a, OP_EXT, 1);
    put(a, op[block], 1);
    start = a->used;
    put(a, 0, 2); /* PkgLength, by aml_close() */
    if (name)
        put_text(a, name, strlen(name));
    if (block == AML_PACKAGE)
        put(a, count, 1);
    if (block == AML_BUFFER)
        aml_integer(a, count);
    return start;
}

/* PkgLength counts itself: one byte up to 63, else the low nibble and a byte (20.2.4). */
void aml_close(struct aml *a, u32 block)
{
    u8 *at = a->out + block;
    u32 length = a->used - block;

    if (length - 1 <= SMALL_LENGTH) {
        memmove(at + 1, at + 2, length - 2);
        a->used--;
        at[0] = (u8)(length - 1);
        return;
    }
    at[0] = (u8)(1 << 6 | (length & 0xf));
    at[1] = (u8)(length >> 4);
}

void aml_name(struct aml *a, const char *name)
{
    put(a, OP_NAME, 1);
    put_text(a, name, strlen(name));
}

void aml_integer(struct aml *a, u32 value)
{
    unsigned bytes = value > 0xffff ? 4 : value > 0xff ? 2 : 1;

    if (value <= 1) {
        put(a, value ? OP_ONE : OP_ZERO, 1);
        return;
    }
    put(a, bytes == 4 ? OP_DWORD : bytes == 2 ? OP_WORD : OP_BYTE, 1);
    put(a, value, bytes);
}

void aml_string(struct aml *a, const char *text)
{
    put(a, OP_STRING, 1);
    put_text(a, text, strlen(text) + 1);
}

static u32 hex_digit(char c) { return (u32)(c <= '9' ? c - '0' : c - 'A' + 10); }

/* Three letters of five bits, four hexadecimal digits, most significant byte first. */
void aml_eisa_id(struct aml *a, const char *id)
{
    u32 value = 0;

    for (unsigned i = 0; i < 3; i++)
        value = value << 5 | (u32)(id[i] - '@');
    for (unsigned i = 3; i < 7; i++)
        value = value << 4 | hex_digit(id[i]);
    put(a, OP_DWORD, 1);
    put(a, __builtin_bswap32(value), 4);
}

static void put_resources(struct aml *a, const u8 *crs, u8 size)
{
    u32 block;

    aml_name(a, "_CRS");
    block = aml_open(a, AML_BUFFER, NULL, size);
    put_text(a, (const char *)crs, size);
    aml_close(a, block);
}

void aml_io_irq(struct aml *a, u16 port, u8 count, u8 irq)
{
    const u32 irq_mask = 1u << irq;
    const u8 crs[] = {
        0x47, /* I/O port descriptor, 6.4.2.5 */
        1,    /* decodes 16 bits */
        (u8)port,
        (u8)(port >> 8), /* least base */
        (u8)port,
        (u8)(port >> 8), /* greatest base */
        1,
        count, /* alignment, length */
        0x22,
        (u8)irq_mask, /* IRQ descriptor, 6.4.2.1: edge, high */
        (u8)(irq_mask >> 8),
        (u8)END_TAG,
        0,
    };

    put_resources(a, crs, sizeof(crs));
}

void aml_page_interrupt(struct aml *a, u32 base, u32 gsi)
{
    u8 crs[23];
    struct aml r = {crs, 0};

    put(&r, 0x86, 1); /* 32-bit fixed memory range, 6.4.3.4: writable */
    put(&r, 9, 2);
    put(&r, 1, 1);
    put(&r, base, 4);
    put(&r, 0x1000, 4);
    put(&r, 0x89, 1); /* extended interrupt, 6.4.3.6: this device's, level, high; one */
    put(&r, 6, 2);
    put(&r, 1, 1);
    put(&r, 1, 1);
    put(&r, gsi, 4);
    put(&r, END_TAG, 2);
    put_resources(a, crs, (u8)r.used);
}

/* A window of addresses that the bridge passes on, fixed at both ends: 6.4.3.5. */
static void put_window(struct aml *a, enum aml_space space, u32 from, u32 to)
{
    static const u8 type_flags[] = {[AML_MEMORY] = 1, [AML_IO] = 3, [AML_BUSES] = 0};
    unsigned width = space == AML_MEMORY ? 4 : 2;

    put(a, space == AML_MEMORY ? 0x87 : 0x88, 1); /* double words or words */
    put(a, 3 + 5 * width, 2);
    put(a, space, 1);
    put(a, 0x0c, 1); /* least and greatest address are fixed */
    put(a, type_flags[space], 1);
    put(a, 0, width); /* granularity */
    put(a, from, width);
    put(a, to, width);
    put(a, 0, width); /* translation */
    put(a, to - from + 1, width);
}

void aml_pci_windows(struct aml *a, u32 mem_from, u32 mem_to, u16 io_from)
{
    static const u8 config_ports[] = {0x47, 1, 0xf8, 0x0c, 0xf8, 0x0c, 1, 8}; /* 6.4.2.5 */
    u8 crs[80];
    struct aml r = {crs, 0};

    put_window(&r, AML_BUSES, 0, 0);
    put_text(&r, (const char *)config_ports, sizeof(config_ports));
    put_window(&r, AML_IO, io_from, 0xffff);
    put_window(&r, AML_MEMORY, mem_from, mem_to);
    put(&r, END_TAG, 2);
    put_resources(a, crs, (u8)r.used);
}
