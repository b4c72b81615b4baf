/* SPDX-License-Identifier: MIT
 *
 * Where the processor side and the device models meet: three address spaces (MMIO, ports, MSRs) in
 * which devices claim ranges.  A claimed range has a small number; the fast paths carry that number
 * (in a table per port, in the EPT entry per page), so that an exit never searches.
 */
#pragma once

#include "lib/status.h"

/*
 * Handlers.  offset is relative to the range; size is 1, 2, 4 or 8 bytes (ports: 1, 2, 4), and the
 * access lies inside the range.  cpu is the accessing virtual CPU's number.  What a device does not
 * implement at that width it reads as its specification says; there is no error.
 */
typedef u64 (*bus_read_fn)(void *dev, unsigned cpu, u64 offset, unsigned size);
typedef void (*bus_write_fn)(void *dev, unsigned cpu, u64 offset, unsigned size, u64 value);

/* MSR handlers say false for #GP. */
typedef bool (*bus_msr_read_fn)(void *dev, unsigned cpu, u32 msr, u64 *value);
typedef bool (*bus_msr_write_fn)(void *dev, unsigned cpu, u32 msr, u64 value);

struct bus_range {
    const char *name; /* of the device, for people */
    void *dev;
    u64 base, size;
    bus_read_fn read;
    bus_write_fn write;
    unsigned width;    /* widest access the device is given; wider ones come as several */
    unsigned shift;    /* bus_name_registers() */
    u64 reads, writes; /* counted by the bus */
    const char *registers;
};

struct bus_msr_range {
    const char *name;
    void *dev;
    u32 base, count;
    bus_msr_read_fn read;
    bus_msr_write_fn write;
    u64 reads, writes;
    const char *registers;
};

#define BUS_MAX_RANGES 64
#define BUS_UNCLAIMED                                                           \
    0 /* range number 0 of either space: reads all-ones, writes vanish, counted \
       */

struct bus {
    struct bus_range mmio[BUS_MAX_RANGES];
    struct bus_range port[BUS_MAX_RANGES];
    struct bus_msr_range msr[16];
    unsigned mmio_count, port_count, msr_count;
    u8 port_number[65536]; /* port -> number in port[] */
};

void bus_init(struct bus *b);

/* MMIO ranges are whole 4-KiB pages.  EOVERLAP, EINVAL (empty, unaligned, wraps), ENOSPC. */
CHECKED enum status bus_add_mmio(struct bus *b, const char *name, u64 base, u64 size,
                                 bus_read_fn read, bus_write_fn write, void *dev);
CHECKED enum status bus_add_port(struct bus *b, const char *name, u16 base, u32 count,
                                 bus_read_fn read, bus_write_fn write, void *dev);
/* The same for a device on an 8-bit bus: wider accesses reach it as single bytes, low one first. */
CHECKED enum status bus_add_port8(struct bus *b, const char *name, u16 base, u32 count,
                                  bus_read_fn read, bus_write_fn write, void *dev);
CHECKED enum status bus_add_msr(struct bus *b, const char *name, u32 base, u32 count,
                                bus_msr_read_fn read, bus_msr_write_fn write, void *dev);

/*
 * Name the registers of all ranges that are called `name`: the n-th word of "ID|VERSION||TPR" is
 * for offset >> shift = n (of MSRs: offset = n); empty: there is none.  The list is kept by
 * reference.
 */
void bus_name_registers(struct bus *b, const char *name, const char *list, unsigned shift);

/* What is at an address in words: "lapic TPR", "acpi-pm +0x8", "unclaimed 0x2e0". */
enum bus_space { BUS_MMIO, BUS_PORT, BUS_MSR };
void bus_describe(struct bus *b, enum bus_space space, u64 address, char *out, size_t cap);

/* The number of the MMIO range that holds gpa, or BUS_UNCLAIMED. */
unsigned bus_find_mmio(const struct bus *b, u64 gpa);

/*
 * One access to range `number` (as found, or as carried by the EPT entry) at guest-physical gpa. An
 * access that runs past the end of its range is done byte by byte, each where it belongs.
 */
u64 bus_mmio_read(struct bus *b, unsigned number, unsigned cpu, u64 gpa, unsigned size);
void bus_mmio_write(struct bus *b, unsigned number, unsigned cpu, u64 gpa, unsigned size,
                    u64 value);

/* The same when the range is known already: an access that lies inside it. */
static inline bool bus_range_holds(const struct bus_range *r, u64 at, unsigned size)
{
    return size <= r->width && at - r->base <= r->size - size;
}
static inline u64 bus_range_read(struct bus_range *r, unsigned cpu, u64 at, unsigned size)
{
    r->reads++;
    return r->read(r->dev, cpu, at - r->base, size);
}
static inline void bus_range_write(struct bus_range *r, unsigned cpu, u64 at, unsigned size,
                                   u64 value)
{
    r->writes++;
    r->write(r->dev, cpu, at - r->base, size, value);
}

/* Port accesses; one that spans several devices' ports is done byte by byte, as on ISA. */
u32 bus_port_read(struct bus *b, unsigned cpu, u16 port, unsigned size);
void bus_port_write(struct bus *b, unsigned cpu, u16 port, unsigned size, u32 value);

/* False: #GP (nobody claims it, or the device refuses). */
bool bus_msr_read(struct bus *b, unsigned cpu, u32 msr, u64 *value);
bool bus_msr_write(struct bus *b, unsigned cpu, u32 msr, u64 value);
