/* SPDX-License-Identifier: MIT
 *
 * The three address spaces in which devices claim ranges.  Each access costs one indirect call;
 * only what crosses the edge of a range, or is wider than its device, goes the slow way by bytes.
 */
#include "drivers/bus.h"
#include "lib/bits.h"
#include "lib/format.h"
#include "lib/string.h"

static u64 unclaimed_read(void *dev, unsigned cpu, u64 offset, unsigned size)
{
    (void)dev, (void)cpu, (void)offset;
    return mask_bytes(size);
}

static void unclaimed_write(void *dev, unsigned cpu, u64 offset, unsigned size, u64 value)
{
    (void)dev, (void)cpu, (void)offset, (void)size, (void)value;
}

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
    if (!r.read || !r.write)
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
    if (size == 0 || !is_aligned(base | size, PAGE_SIZE) || base + size - 1 < base)
        return STATUS_EINVAL;
    return add_range(b->mmio, &b->mmio_count,
                     (struct bus_range){.name = name,
                                        .dev = dev,
                                        .base = base,
                                        .size = size,
                                        .read = read,
                                        .write = write,
                                        .width = 8});
}

static enum status add_port(struct bus *b, struct bus_range r)
{
    unsigned number = b->port_count;

    if (r.size == 0 || !range_within(r.base, r.size, 0x10000))
        return STATUS_EINVAL;
    enum status s = add_range(b->port, &b->port_count, r);
    if (s != STATUS_OK)
        return s;
    memset(b->port_number + r.base, (int)number, r.size);
    return STATUS_OK;
}

enum status bus_add_port(struct bus *b, const char *name, u16 base, u32 count, bus_read_fn read,
                         bus_write_fn write, void *dev)
{
    return add_port(b, (struct bus_range){.name = name,
                                          .dev = dev,
                                          .base = base,
                                          .size = count,
                                          .read = read,
                                          .write = write,
                                          .width = 4});
}

enum status bus_add_port8(struct bus *b, const char *name, u16 base, u32 count, bus_read_fn read,
                          bus_write_fn write, void *dev)
{
    return add_port(b, (struct bus_range){.name = name,
                                          .dev = dev,
                                          .base = base,
                                          .size = count,
                                          .read = read,
                                          .write = write,
                                          .width = 1});
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
        format_buf(out, cap, "%s +%#llx", name, (unsigned long long)offset);
}

void bus_describe(const struct bus *b, enum bus_space space, u64 address, char *out, size_t cap)
{
    const struct bus_range *r = space == BUS_MMIO ? &b->mmio[bus_find_mmio(b, address)]
                                                  : &b->port[b->port_number[address & 0xffff]];

    if (space == BUS_MSR) {
        for (unsigned i = 0; i < b->msr_count; i++)
            if (address - b->msr[i].base < b->msr[i].count) {
                describe(b->msr[i].name, b->msr[i].registers, 0, address - b->msr[i].base, out,
                         cap);
                return;
            }
        format_buf(out, cap, "MSR %#llx", (unsigned long long)address);
    } else if (r == &b->mmio[BUS_UNCLAIMED] || r == &b->port[BUS_UNCLAIMED]) {
        format_buf(out, cap, "unclaimed %#llx", (unsigned long long)address);
    } else {
        describe(r->name, r->registers, r->shift, address - r->base, out, cap);
    }
}

unsigned bus_find_mmio(const struct bus *b, u64 gpa)
{
    for (unsigned i = 1; i < b->mmio_count; i++)
        if (gpa - b->mmio[i].base < b->mmio[i].size)
            return i;
    return BUS_UNCLAIMED;
}

static bool fits(const struct bus_range *r, u64 offset, unsigned size)
{
    return size <= r->width && range_within(offset, size, r->size);
}

/* The rest of an access is out of line, so that the fast paths are a few instructions and a jump.
 */
#define OUT_OF_LINE __attribute__((noinline, cold))

/* True when no byte of the access belongs to a device: it counts as one. */
static bool mmio_unclaimed(const struct bus *b, u64 gpa, unsigned size)
{
    return bus_find_mmio(b, gpa) == BUS_UNCLAIMED &&
           bus_find_mmio(b, gpa + size - 1) == BUS_UNCLAIMED;
}

OUT_OF_LINE static u64 mmio_read_bytes(struct bus *b, unsigned cpu, u64 gpa, unsigned size)
{
    u64 value = 0;

    if (mmio_unclaimed(b, gpa, size))
        return bus_range_read(&b->mmio[BUS_UNCLAIMED], cpu, gpa, size);
    for (unsigned i = 0; i < size; i++) {
        struct bus_range *r = &b->mmio[bus_find_mmio(b, gpa + i)];

        value |= (bus_range_read(r, cpu, gpa + i, 1) & 0xff) << 8 * i;
    }
    return value;
}

OUT_OF_LINE static void mmio_write_bytes(struct bus *b, unsigned cpu, u64 gpa, unsigned size,
                                         u64 value)
{
    if (mmio_unclaimed(b, gpa, size)) {
        bus_range_write(&b->mmio[BUS_UNCLAIMED], cpu, gpa, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        struct bus_range *r = &b->mmio[bus_find_mmio(b, gpa + i)];

        bus_range_write(r, cpu, gpa + i, 1, value >> 8 * i & 0xff);
    }
}

u64 bus_mmio_read(struct bus *b, unsigned number, unsigned cpu, u64 gpa, unsigned size)
{
    struct bus_range *r = &b->mmio[number];

    if (likely(fits(r, gpa - r->base, size)))
        return bus_range_read(r, cpu, gpa, size);
    return mmio_read_bytes(b, cpu, gpa, size);
}

void bus_mmio_write(struct bus *b, unsigned number, unsigned cpu, u64 gpa, unsigned size, u64 value)
{
    struct bus_range *r = &b->mmio[number];

    if (likely(fits(r, gpa - r->base, size)))
        bus_range_write(r, cpu, gpa, size, value);
    else
        mmio_write_bytes(b, cpu, gpa, size, value);
}

/* The range of a port; past FFFFH nobody answers. */
static struct bus_range *port_range(struct bus *b, u32 port)
{
    return &b->port[port < 0x10000 ? b->port_number[port] : BUS_UNCLAIMED];
}

static bool port_unclaimed(struct bus *b, u32 port, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        if (port_range(b, port + i) != &b->port[BUS_UNCLAIMED])
            return false;
    return true;
}

OUT_OF_LINE static u32 port_read_bytes(struct bus *b, unsigned cpu, u16 port, unsigned size)
{
    u32 value = 0;

    if (port_unclaimed(b, port, size))
        return (u32)bus_range_read(&b->port[BUS_UNCLAIMED], cpu, port, size);
    for (unsigned i = 0; i < size; i++)
        value |= (u32)(bus_range_read(port_range(b, port + i), cpu, port + i, 1) & 0xff) << 8 * i;
    return value;
}

OUT_OF_LINE static void port_write_bytes(struct bus *b, unsigned cpu, u16 port, unsigned size,
                                         u32 value)
{
    if (port_unclaimed(b, port, size)) {
        bus_range_write(&b->port[BUS_UNCLAIMED], cpu, port, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        bus_range_write(port_range(b, port + i), cpu, port + i, 1, value >> 8 * i & 0xff);
}

u32 bus_port_read(struct bus *b, unsigned cpu, u16 port, unsigned size)
{
    struct bus_range *r = &b->port[b->port_number[port]];

    if (likely(fits(r, port - r->base, size)))
        return (u32)bus_range_read(r, cpu, port, size);
    return port_read_bytes(b, cpu, port, size);
}

void bus_port_write(struct bus *b, unsigned cpu, u16 port, unsigned size, u32 value)
{
    struct bus_range *r = &b->port[b->port_number[port]];

    if (likely(fits(r, port - r->base, size)))
        bus_range_write(r, cpu, port, size, value);
    else
        port_write_bytes(b, cpu, port, size, value);
}

static struct bus_msr_range *find_msr(struct bus *b, u32 msr)
{
    for (unsigned i = 0; i < b->msr_count; i++)
        if (msr - b->msr[i].base < b->msr[i].count)
            return &b->msr[i];
    return NULL;
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

bool bus_msr_claimed(const struct bus *b, u32 msr)
{
    for (unsigned i = 0; i < b->msr_count; i++)
        if (msr - b->msr[i].base < b->msr[i].count)
            return true;
    return false;
}
