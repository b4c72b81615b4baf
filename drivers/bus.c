/* SPDX-License-Identifier: MIT
 *
 * The three address spaces in which devices claim ranges.  Each access costs one indirect call;
 * only what crosses the edge of a range, or is wider than its device, goes the slow way by bytes.
 */
#include "drivers/bus.h"
#include "lib/bits.h"
#include "lib/format.h"
#include "lib/string.h"

static u64 unclaimed_read(void *, unsigned, u64, unsigned size) { return mask_bytes(size); }

static void unclaimed_write(void *, unsigned, u64, unsigned, u64) {}

void bus_init(struct bus *b)
{
    memset(b, 0, sizeof *b);
    /* One byte wide, so that wider accesses are checked for neighbours that are claimed. */
    b->mmio[BUS_UNCLAIMED] = (struct bus_range){.name = "unclaimed",
                                                .size = ~0ull,
                                                .read = unclaimed_read,
                                                .write = unclaimed_write,
                                                .width = 1};
    b->port[BUS_UNCLAIMED] = b->mmio[BUS_UNCLAIMED];
    b->mmio_count = 1;
    b->port_count = 1;
}

static enum status add_range(struct bus_range *table, unsigned *count, struct bus_range r)
{
    if (!r.read || !r.write || r.size == 0)
        return STATUS_EINVAL;
    for (unsigned i = 1; i < *count; i++)
        if (ranges_overlap(table[i].base, table[i].size, r.base, r.size))
            return STATUS_EOVERLAP;
    if (*count == BUS_MAX_RANGES)
        return STATUS_ENOSPC;
    table[(*count)++] = r;
    return STATUS_OK;
}

enum status bus_add_mmio(struct bus *b, const char *name, u64 base, u64 size, bus_read_fn read,
                         bus_write_fn write, void *dev)
{
    struct bus_range r = {name, dev, base, size, read, write, .width = 8};

    if (!is_aligned(base | size, PAGE_SIZE) || base + size - 1 < base)
        return STATUS_EINVAL;
    return add_range(b->mmio, &b->mmio_count, r);
}

static enum status add_port(struct bus *b, struct bus_range r)
{
    if (!range_within(r.base, r.size, 0x10000))
        return STATUS_EINVAL;
    TRY(add_range(b->port, &b->port_count, r));
    memset(b->port_number + r.base, (int)b->port_count - 1, r.size);
    return STATUS_OK;
}

enum status bus_add_port(struct bus *b, const char *name, u16 base, u32 count, bus_read_fn read,
                         bus_write_fn write, void *dev)
{
    return add_port(b, (struct bus_range){name, dev, base, count, read, write, .width = 4});
}

enum status bus_add_port8(struct bus *b, const char *name, u16 base, u32 count, bus_read_fn read,
                          bus_write_fn write, void *dev)
{
    return add_port(b, (struct bus_range){name, dev, base, count, read, write, .width = 1});
}

enum status bus_add_msr(struct bus *b, const char *name, u32 base, u32 count, bus_msr_read_fn read,
                        bus_msr_write_fn write, void *dev)
{
    if (count == 0 || base + count - 1 < base || !read || !write)
        return STATUS_EINVAL;
    for (unsigned i = 0; i < b->msr_count; i++)
        if (ranges_overlap(b->msr[i].base, b->msr[i].count, base, count))
            return STATUS_EOVERLAP;
    if (b->msr_count == ARRAY_SIZE(b->msr))
        return STATUS_ENOSPC;
    b->msr[b->msr_count++] = (struct bus_msr_range){
        .name = name, .dev = dev, .base = base, .count = count, .read = read, .write = write};
    return STATUS_OK;
}

static void name_ranges(struct bus_range *table, unsigned count, const char *name, const char *list,
                        unsigned shift)
{
    for (unsigned i = 1; i < count; i++)
        if (strcmp(table[i].name, name) == 0) {
            table[i].registers = list;
            table[i].shift = shift;
        }
}

void bus_name_registers(struct bus *b, const char *name, const char *list, unsigned shift)
{
    name_ranges(b->mmio, b->mmio_count, name, list, shift);
    name_ranges(b->port, b->port_count, name, list, shift);
    for (unsigned i = 0; i < b->msr_count; i++)
        if (strcmp(b->msr[i].name, name) == 0)
            b->msr[i].registers = list;
}

/* "name REGISTER", or "name +offset" where the list has no name for it. */
static void describe(const char *name, const char *list, unsigned shift, u64 offset, char *out,
                     size_t cap)
{
    const char *at = list ? list : "";
    u64 n = offset >> shift;
    int length = 0;

    for (; n && *at; at++)
        n -= *at == '|';
    while (n == 0 && at[length] && at[length] != '|')
        length++;
    if (length)
        format_buf(out, cap, "%s %.*s", name, length, at);
    else
        format_buf(out, cap, "%s +%#lx", name, offset);
}

unsigned bus_find_mmio(const struct bus *b, u64 gpa)
{
    for (unsigned i = 1; i < b->mmio_count; i++)
        if (gpa - b->mmio[i].base < b->mmio[i].size)
            return i;
    return BUS_UNCLAIMED;
}

/* Who has an MMIO address or a port; past port FFFFH nobody answers. */
static struct bus_range *range_at(struct bus *b, enum bus_space space, u64 at)
{
    if (space == BUS_MMIO)
        return &b->mmio[bus_find_mmio(b, at)];
    return &b->port[at < 0x10000 ? b->port_number[at] : BUS_UNCLAIMED];
}

static struct bus_msr_range *find_msr(struct bus *b, u64 msr)
{
    for (unsigned i = 0; i < b->msr_count; i++)
        if (msr - b->msr[i].base < b->msr[i].count)
            return &b->msr[i];
    return NULL;
}

void bus_describe(struct bus *b, enum bus_space space, u64 address, char *out, size_t cap)
{
    const struct bus_msr_range *m = space == BUS_MSR ? find_msr(b, address) : NULL;
    const struct bus_range *r = range_at(b, space, address);

    if (m)
        describe(m->name, m->registers, 0, address - m->base, out, cap);
    else if (space == BUS_MSR)
        format_buf(out, cap, "MSR %#lx", address);
    else if (r == &b->mmio[BUS_UNCLAIMED] || r == &b->port[BUS_UNCLAIMED])
        format_buf(out, cap, "unclaimed %#lx", address);
    else
        describe(r->name, r->registers, r->shift, address - r->base, out, cap);
}

static bool fits(const struct bus_range *r, u64 offset, unsigned size)
{
    return size <= r->width && range_within(offset, size, r->size);
}

/* The rest of an access is out of line, so that the fast paths are a few instructions and a jump.
 */
#define OUT_OF_LINE __attribute__((noinline, cold))

/* Nobody's range, when no byte of the access belongs to a device: it counts as one; else NULL. */
static struct bus_range *unclaimed(struct bus *b, enum bus_space space, u64 at, unsigned size)
{
    struct bus_range *none = space == BUS_MMIO ? &b->mmio[BUS_UNCLAIMED] : &b->port[BUS_UNCLAIMED];

    for (unsigned i = 0; i < size; i++)
        if (range_at(b, space, at + i) != none)
            return NULL;
    return none;
}

OUT_OF_LINE static u64 read_bytes(struct bus *b, enum bus_space space, unsigned cpu, u64 at,
                                  unsigned size)
{
    struct bus_range *none = unclaimed(b, space, at, size);
    u64 value = 0;

    if (none)
        return bus_range_read(none, cpu, at, size);
    for (unsigned i = 0; i < size; i++)
        value |= (bus_range_read(range_at(b, space, at + i), cpu, at + i, 1) & 0xff) << 8 * i;
    return value;
}

OUT_OF_LINE static void write_bytes(struct bus *b, enum bus_space space, unsigned cpu, u64 at,
                                    unsigned size, u64 value)
{
    struct bus_range *none = unclaimed(b, space, at, size);

    if (none)
        bus_range_write(none, cpu, at, size, value);
    for (unsigned i = 0; !none && i < size; i++)
        bus_range_write(range_at(b, space, at + i), cpu, at + i, 1, value >> 8 * i & 0xff);
}

u64 bus_mmio_read(struct bus *b, unsigned number, unsigned cpu, u64 gpa, unsigned size)
{
    struct bus_range *r = &b->mmio[number];

    if (likely(fits(r, gpa - r->base, size)))
        return bus_range_read(r, cpu, gpa, size);
    return read_bytes(b, BUS_MMIO, cpu, gpa, size);
}

void bus_mmio_write(struct bus *b, unsigned number, unsigned cpu, u64 gpa, unsigned size, u64 value)
{
    struct bus_range *r = &b->mmio[number];

    if (likely(fits(r, gpa - r->base, size)))
        bus_range_write(r, cpu, gpa, size, value);
    else
        write_bytes(b, BUS_MMIO, cpu, gpa, size, value);
}

u32 bus_port_read(struct bus *b, unsigned cpu, u16 port, unsigned size)
{
    struct bus_range *r = &b->port[b->port_number[port]];

    if (likely(fits(r, port - r->base, size)))
        return (u32)bus_range_read(r, cpu, port, size);
    return (u32)read_bytes(b, BUS_PORT, cpu, port, size);
}

void bus_port_write(struct bus *b, unsigned cpu, u16 port, unsigned size, u32 value)
{
    struct bus_range *r = &b->port[b->port_number[port]];

    if (likely(fits(r, port - r->base, size)))
        bus_range_write(r, cpu, port, size, value);
    else
        write_bytes(b, BUS_PORT, cpu, port, size, value);
}

bool bus_msr_read(struct bus *b, unsigned cpu, u32 msr, u64 *value)
{
    struct bus_msr_range *r = find_msr(b, msr);

    if (!r)
        return false;
    r->reads++;
    return r->read(r->dev, cpu, msr, value);
}

bool bus_msr_write(struct bus *b, unsigned cpu, u32 msr, u64 value)
{
    struct bus_msr_range *r = find_msr(b, msr);

    if (!r)
        return false;
    r->writes++;
    return r->write(r->dev, cpu, msr, value);
}
