/* SPDX-License-Identifier: MIT
 *
 * A guest's memory as a sorted table of regions.
 */
#include "drivers/gmem.h"
#include "lib/bits.h"
#include "lib/string.h"

enum status gmem_add(struct gmem *m, gpa_t base, u64 size, u8 *host, enum gmem_kind kind)
{
    unsigned at = m->count;

    if (!host || size == 0 || !is_aligned(base.v | size, PAGE_SIZE) || base.v + size - 1 < base.v)
        return STATUS_EINVAL;
    for (unsigned i = 0; i < m->count; i++)
        if (ranges_overlap(m->region[i].base.v, m->region[i].size, base.v, size))
            return STATUS_EOVERLAP;
    if (m->count == GMEM_MAX_REGIONS)
        return STATUS_ENOSPC;
    for (; at > 0 && m->region[at - 1].base.v > base.v; at--)
        m->region[at] = m->region[at - 1];
    m->region[at] = (struct gmem_region){.base = base, .size = size, .host = host, .kind = kind};
    m->count++;
    return STATUS_OK;
}

u8 *gmem_at(const struct gmem *m, gpa_t gpa, u64 size)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct gmem_region *r = &m->region[i];

        if (gpa.v - r->base.v < r->size)
            return range_within(gpa.v - r->base.v, size, r->size) ? r->host + (gpa.v - r->base.v)
                                                                  : NULL;
    }
    return NULL;
}

/* Bytes from gpa to the end of the region that holds it, 0 when none does. */
static u64 run_length(const struct gmem *m, u64 gpa)
{
    for (unsigned i = 0; i < m->count; i++)
        if (gpa - m->region[i].base.v < m->region[i].size)
            return m->region[i].size - (gpa - m->region[i].base.v);
    return 0;
}

/* One pass over the pieces of [gpa, gpa + size); neither src nor dst: only look whether it is
 * there. */
static enum status copy(const struct gmem *m, u64 gpa, const u8 *src, u8 *dst, u64 size)
{
    while (size > 0) {
        u64 n = run_length(m, gpa);

        if (n == 0)
            return STATUS_ERANGE;
        if (n > size)
            n = size;
        if (src) {
            memcpy(gmem_at(m, GPA(gpa), n), src, n);
            src += n;
        } else if (dst) {
            memcpy(dst, gmem_at(m, GPA(gpa), n), n);
            dst += n;
        }
        gpa += n;
        size -= n;
    }
    return STATUS_OK;
}

u8 *gmem_ram(const struct gmem *m, u64 gpa, u64 size)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct gmem_region *r = &m->region[i];

        if (r->kind == GMEM_RAM && gpa >= r->base.v && range_within(gpa - r->base.v, size, r->size))
            return r->host + (gpa - r->base.v);
    }
    return NULL;
}

enum status gmem_write(const struct gmem *m, gpa_t gpa, const void *src, u64 size)
{
    TRY(copy(m, gpa.v, NULL, NULL, size));
    return copy(m, gpa.v, src, NULL, size);
}

enum status gmem_read(const struct gmem *m, gpa_t gpa, void *dst, u64 size)
{
    TRY(copy(m, gpa.v, NULL, NULL, size));
    return copy(m, gpa.v, NULL, dst, size);
}

u64 gmem_ram_size(const struct gmem *m)
{
    u64 size = 0;

    for (unsigned i = 0; i < m->count; i++)
        if (m->region[i].kind == GMEM_RAM)
            size += m->region[i].size;
    return size;
}
