/* SPDX-License-Identifier: MIT
 *
 * A read-only disk: virtio 1.2, block device (5.2) with one queue, over MMIO (4.2.2).  SeaBIOS and
 * Linux find it in the ACPI tables.
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/gmem.h"
#include "drivers/irqline.h"
#include "lib/format.h"

#define VBLK_SECTOR 512u
#define VBLK_QUEUE  128u      /* descriptors */
#define VBLK_MOST   (8 * MiB) /* one request's length: bounds the time of an exit */

struct vblk {
    const u8 *data; /* NULL: no disk; then the device's ID is 0, "to be ignored" */
    u64 sectors;
    const struct gmem *mem;
    struct irqline line;
    /* From here on reset clears. */
    u32 status, interrupt; /* the driver's progress; what ISR shows */
    u32 feature_word, accepted_word;
    u64 accepted;
    u32 selected; /* queue */
    u32 size;     /* of queue 0, descriptors */
    u64 queue[3]; /* guest-physical: descriptors, driver's ring, device's ring */
    bool ready;   /* the queue is live */
    u16 seen;     /* requests taken from the driver's ring */
    u64 requests, refused;
};

/* Claims a page of MMIO at base.  `data` holds `sectors` whole sectors and stays its owner's;
 * transfers go to `mem`; `line` is level-triggered. */
CHECKED enum status vblk_init(struct vblk *d, struct bus *b, u64 base, const void *data,
                              u64 sectors, const struct gmem *mem, struct irqline line);

void vblk_show(const struct vblk *d, struct sink *out);
