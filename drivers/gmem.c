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

static const struct gmem_region *region_at(const struct gmem *m, u64 gpa)
{
    for (unsigned i = 0; i < m->count; i++)
        if (gpa - m->region[i].base.v < m->region[i].size)
            return &m->region[i];
    return NULL;
}

u8 *gmem_at(const struct gmem *m, gpa_t gpa, u64 size)
{
    const struct gmem_region *r = region_at(m, gpa.v);

    return r && range_within(gpa.v - r->base.v, size, r->size) ? r->host + (gpa.v - r->base.v)
                                                               : NULL;
}

u8 *gmem_ram(const struct gmem *m, u64 gpa, u64 size)
{
    const struct gmem_region *r = region_at(m, gpa);

    return r && r->kind == GMEM_RAM ? gmem_at(m, GPA(gpa), size) : NULL;
}

/* One pass over the pieces of [gpa, gpa + size); neither src nor dst: only look whether it is
 * there. */
static enum status copy(const struct gmem *m, u64 gpa, const u8 *src, u8 *dst, u64 size)
{
    while (size > 0) {
        const struct gmem_region *r = region_at(m, gpa);
        u64 n = r ? r->size - (gpa - r->base.v) : 0;

        if (n == 0)
            return STATUS_ERANGE;
        if (n > size)
            n = size;
        if (src) {
            memcpy(r->host + (gpa - r->base.v), src, n);
            src += n;
        } else if (dst) {
            memcpy(dst, r->host + (gpa - r->base.v), n);
            dst += n;
        }
        gpa += n;
        size -= n;
    }
    return STATUS_OK;
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
