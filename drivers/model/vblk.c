/* SPDX-License-Identifier: MIT
 *
 * Requests are carried out whole when the driver notifies.  Section numbers are of virtio 1.2.
 * Whatever a driver writes into its queue harms only itself: what makes no sense sets
 * DEVICE_NEEDS_RESET, and nothing more is done until it resets the device.
 */
#include "drivers/model/vblk.h"
#include "lib/bits.h"
#include "lib/string.h"

/* Registers, 4.2.2. */
enum vblk_register {
    MAGIC = 0x00,
    VERSION = 0x04,
    DEVICE_ID = 0x08,
    VENDOR_ID = 0x0c,
    FEATURES = 0x10,
    FEATURES_SELECT = 0x14,
    ACCEPTED = 0x20,
    ACCEPTED_SELECT = 0x24,
    QUEUE_SELECT = 0x30,
    QUEUE_MOST = 0x34,
    QUEUE_SIZE = 0x38,
    QUEUE_READY = 0x44,
    QUEUE_NOTIFY = 0x50,
    INTERRUPT_STATUS = 0x60,
    INTERRUPT_ACK = 0x64,
    STATUS = 0x70,
    QUEUE_FIRST = 0x80, /* three addresses, 16 bytes from one to the next */
    QUEUE_LAST = 0xa4,
    CONFIG = 0x100
};

#define MAGIC_VIRT   0x74726976u
#define ID_BLOCK     2u
#define VENDOR       0x54495600u /* nobody's */
#define F_SEG_MAX    BIT64(2)    /* 5.2.3 */
#define F_READ_ONLY  BIT64(5)
#define F_VERSION_1  BIT64(32)
#define STATUS_OK_   BIT(2) /* DRIVER_OK, 2.1 */
#define NEEDS_RESET  BIT(6)
#define USED_BUFFER  BIT(0)
#define NO_INTERRUPT BIT(0)
#define DESC_NEXT    BIT(0)
#define DESC_WRITE   BIT(1)

enum ring { DESCRIPTORS, DRIVER, DEVICE };

/* 5.2.6 */
enum request { READ = 0, GET_ID = 8 };
enum result { DONE = 0, IO_ERROR = 1, UNSUPPORTED = 2 };
#define ID_SIZE 20u

struct descriptor {
    u64 address;
    u32 length;
    u16 flags, next;
};

struct header {
    u32 type, reserved;
    u64 sector;
};

/* What a chain of descriptors gathers: buffers to read from, then buffers to write to. */
struct chain {
    struct {
        u8 *host;
        u32 length;
    } part[VBLK_QUEUE];
    unsigned count, readable; /* parts, and the first so many of them are the driver's words */
    u64 to_read, to_write;    /* bytes */
};

static const u64 features = F_SEG_MAX | F_READ_ONLY | F_VERSION_1;

/* Part `number` of a ring's entries of that size, behind its header. */
static u8 *ring_at(const struct vblk *d, enum ring ring, u64 offset, u64 size)
{
    return gmem_ram(d->mem, d->queue[ring] + offset, size);
}

static bool add_part(const struct vblk *d, struct chain *c, const struct descriptor *e)
{
    bool writable = e->flags & DESC_WRITE;
    u8 *host = gmem_ram(d->mem, e->address, e->length);

    /* 2.7.4.2: what is writable comes last. */
    if (!host || c->count == VBLK_QUEUE || (!writable && c->readable != c->count))
        return false;
    c->part[c->count].host = host;
    c->part[c->count++].length = e->length;
    c->readable += !writable;
    *(writable ? &c->to_write : &c->to_read) += e->length;
    return c->to_write <= VBLK_MOST && c->to_read <= VBLK_MOST;
}

static bool gather(const struct vblk *d, u16 head, struct chain *c)
{
    struct descriptor e = {.next = head, .flags = DESC_NEXT};

    c->count = c->readable = 0;
    c->to_read = c->to_write = 0;
    while (e.flags & DESC_NEXT) {
        const u8 *at =
            e.next < d->size ? ring_at(d, DESCRIPTORS, sizeof(e) * (u64)e.next, sizeof(e)) : NULL;

        if (!at)
            return false;
        memcpy(&e, at, sizeof(e));
        if (!add_part(d, c, &e))
            return false;
    }
    return true;
}

/* The chain is one string of bytes, however it is cut: `size` of them from `at` on. */
static void take(const struct chain *c, void *to, u64 size)
{
    u8 *out = to;

    for (unsigned i = 0; i < c->readable && size; i++) {
        u64 n = c->part[i].length < size ? c->part[i].length : size;

        memcpy(out, c->part[i].host, n);
        out += n;
        size -= n;
    }
}

static void give(const struct chain *c, u64 at, const u8 *from, u64 size)
{
    for (unsigned i = c->readable; i < c->count && size; i++) {
        u64 length = c->part[i].length;

        if (at < length) {
            u64 n = length - at < size ? length - at : size;

            memcpy(c->part[i].host + at, from, n);
            from += n;
            size -= n;
            at = 0;
        } else {
            at -= length;
        }
    }
}

/* Bytes written, the result's included. */
static u32 carry_out(struct vblk *d, const struct chain *c)
{
    static const u8 id[ID_SIZE] = "vitrine disk";
    u64 room = c->to_write - 1;
    struct header h = {0};
    u8 result = DONE;

    take(c, &h, sizeof(h));
    if (h.type == READ && room % VBLK_SECTOR == 0 &&
        range_within(h.sector, room / VBLK_SECTOR, d->sectors)) {
        give(c, 0, d->data + h.sector * VBLK_SECTOR, room);
    } else if (h.type == GET_ID && room >= ID_SIZE) {
        give(c, 0, id, ID_SIZE);
    } else {
        result = h.type == READ || h.type == GET_ID ? IO_ERROR : UNSUPPORTED;
        d->refused++;
    }
    give(c, room, &result, 1);
    d->requests++;
    return (u32)c->to_write;
}

/* One request, if there is one; false: there is none, or no sense in it. */
static bool serve(struct vblk *d)
{
    u64 slot = d->seen % d->size;
    u8 *driver = ring_at(d, DRIVER, 0, 4 + 2 * (u64)d->size);
    u8 *device = ring_at(d, DEVICE, 0, 4 + 8 * (u64)d->size);
    struct chain c;
    u16 head;

    if (!driver || !device) {
        d->status |= NEEDS_RESET;
        return false;
    }
    if (*(volatile u16 *)(void *)(driver + 2) == d->seen)
        return false;
    memcpy(&head, driver + 4 + 2 * slot, 2);
    if (!gather(d, head, &c) || c.to_read < sizeof(struct header) || c.to_write == 0) {
        d->status |= NEEDS_RESET;
        return false;
    }
    u32 used[2] = {head, carry_out(d, &c)};
    memcpy(device + 4 + 8 * slot, used, sizeof(used));
    d->seen++;
    __atomic_store_n((u16 *)(void *)(device + 2), d->seen, __ATOMIC_RELEASE);
    return true;
}

static void notify(struct vblk *d)
{
    unsigned done = 0;

    if (!d->data || !d->ready || !(d->status & STATUS_OK_) || (d->status & NEEDS_RESET))
        return;
    while (done < d->size && serve(d)) /* a queue holds no more */
        done++;
    const u8 *driver = ring_at(d, DRIVER, 0, 2);
    if (done && driver && !(driver[0] & NO_INTERRUPT)) {
        d->interrupt |= USED_BUFFER;
        irqline_set(&d->line, true);
    }
}

static void reset(struct vblk *d)
{
    memset(&d->status, 0, sizeof(*d) - offsetof(struct vblk, status));
    irqline_set(&d->line, false);
}

static u64 config_read(const struct vblk *d, u64 offset, unsigned size)
{
    const struct {
        u64 capacity;
        u32 size_max, seg_max; /* the latter: but for header and result */
    } config = {d->sectors, 0, VBLK_QUEUE - 2};
    u64 value = 0;

    if (range_within(offset, size, sizeof(config)))
        memcpy(&value, (const u8 *)&config + offset, size);
    return value;
}

static u64 mmio_read(void *dev, unsigned, u64 offset, unsigned size)
{
    const struct vblk *d = dev;

    if (offset >= CONFIG)
        return config_read(d, offset - CONFIG, size);
    switch (offset) {
    case MAGIC: return MAGIC_VIRT;
    case VERSION: return 2;
    case DEVICE_ID: return d->data ? ID_BLOCK : 0;
    case VENDOR_ID: return VENDOR;
    case FEATURES: return d->feature_word < 2 ? (u32)(features >> (32 * d->feature_word)) : 0;
    case QUEUE_MOST: return d->selected == 0 && d->data ? VBLK_QUEUE : 0;
    case QUEUE_READY: return d->selected == 0 && d->ready;
    case INTERRUPT_STATUS: return d->interrupt;
    case STATUS: return d->status;
    default: return 0;
    }
}

/* 4.2.2.2: a queue is set up while it is not ready; its size is a power of two (2.7). */
static void set_queue(struct vblk *d, u64 offset, u32 value)
{
    u64 *half = &d->queue[(offset - QUEUE_FIRST) / 16 % 3];

    if (d->selected != 0)
        return;
    if (offset == QUEUE_READY)
        d->ready = (value & 1) && d->size != 0;
    else if (d->ready)
        return;
    else if (offset == QUEUE_SIZE)
        d->size = value <= VBLK_QUEUE && (value & (value - 1)) == 0 ? value : 0;
    else if (offset % 16 == 0)
        *half = (*half & ~0xffffffffull) | value;
    else if (offset % 16 == 4)
        *half = (*half & 0xffffffff) | (u64)value << 32;
}

static void mmio_write(void *dev, unsigned, u64 offset, unsigned size, u64 value64)
{
    struct vblk *d = dev;
    u32 value = (u32)value64;

    if (size != 4) /* 4.2.2.2: nothing else is asked for */
        return;
    switch (offset) {
    case FEATURES_SELECT: d->feature_word = value; break;
    case ACCEPTED_SELECT: d->accepted_word = value; break;
    case ACCEPTED:
        if (d->accepted_word < 2)
            ((u32 *)&d->accepted)[d->accepted_word] = value;
        break;
    case QUEUE_SELECT: d->selected = value; break;
    case QUEUE_NOTIFY: notify(d); break;
    case INTERRUPT_ACK:
        d->interrupt &= ~value;
        irqline_set(&d->line, d->interrupt != 0);
        break;
    case STATUS:
        if (value == 0)
            reset(d);
        else if ((d->accepted & ~features) || !(d->accepted & F_VERSION_1))
            d->status = value & ~8u; /* FEATURES_OK stays off, 2.2.2 */
        else
            d->status = value | (d->status & NEEDS_RESET);
        break;
    default:
        if (offset == QUEUE_SIZE || offset == QUEUE_READY ||
            (offset >= QUEUE_FIRST && offset <= QUEUE_LAST))
            set_queue(d, offset, value);
    }
}

enum status vblk_init(struct vblk *d, struct bus *b, u64 base, const void *data, u64 sectors,
                      const struct gmem *mem, struct irqline line)
{
    memset(d, 0, sizeof(*d));
    d->data = data;
    d->sectors = data ? sectors : 0;
    d->mem = mem;
    d->line = line;
    return bus_add_mmio(b, "disk", base, PAGE_SIZE, mmio_read, mmio_write, d);
}

void vblk_show(const struct vblk *d, struct sink *out)
{
    sink_printf(out, "Disk\n  %lu sectors; status %02x, queue of %u%s, %lu requests, %lu refused\n",
                d->sectors, d->status, d->size, d->ready ? "" : " (off)", d->requests, d->refused);
}
