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

static u32 hex_digit(char c)
{
    return (u32)(c <= '9' ? c - '0' : c - 'A' + 10);
}

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
        0x79,
        0, /* end tag, 6.4.2.9; checksum not used */
    };
    u32 block;

    aml_name(a, "_CRS");
    block = aml_open(a, AML_BUFFER, NULL, sizeof(crs));
    put_text(a, (const char *)crs, sizeof(crs));
    aml_close(a, block);
}
