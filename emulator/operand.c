/* SPDX-License-Identifier: MIT
 *
 * Memory operands by ModRM, in RAM or a device's: RAM is a host address, the instruction happens
 * there.
 */
#include "emulator/internal.h"

/* RAM in two pages that are not neighbours on the host: a locked access needs them to be. */
static enum emu_status join_pages(struct emu *e, struct emu_span *s)
{
    if (s->host[0] == NULL || s->host[1] == NULL)
        return EMU_DONE; /* a device knows no lock */
    if (e->ops->window == NULL)
        return EMU_UNIMPLEMENTED;
    u8 *window = e->ops->window(e->ctx, GPA(align_down(s->gpa[0].v, PAGE_SIZE)),
                                GPA(align_down(s->gpa[1].v, PAGE_SIZE)));
    if (window == NULL)
        return EMU_UNIMPLEMENTED;
    s->host[0] = window + (s->gpa[0].v & PAGE_MASK);
    s->first = s->size;
    return EMU_DONE;
}

enum emu_status emu_map_operand(struct emu *e, const struct insn *i, unsigned size,
                                enum emu_access access, struct emu_span *span)
{
    TRY(emu_map_seg(e, (enum seg)i->seg, emu_ea(e, i), size, access, span));
    bool locked = i->lock || (i->op->flags & OP_LOCKED);
    return unlikely(span->first != size) && locked ? join_pages(e, span) : EMU_DONE;
}

/* Is this the access that caused the exit?  Then hardware has made every check and told the
 * device's address.  Aligned, so it has but one page and cannot be #AC. */
static inline bool is_exit_access(const struct emu *e, const struct insn *i, u64 ea, unsigned size,
                                  enum emu_access access)
{
    return e->fault_gva.v == ea && e->fault_allows > access && i->flat && (ea & (size - 1)) == 0;
}

enum emu_status emu_read_memory(struct emu *e, const struct insn *i, u64 ea, unsigned size,
                                u64 *value)
{
    struct emu_span span;
    u8 *host;

    if (emu_known_data(e, (enum seg)i->seg, ea, size, EMU_READ, &host)) {
        *value = host_load(host, size);
    } else if (is_exit_access(e, i, ea, size, EMU_READ)) {
        *value = emu_low(emu_device_read(e, e->fault_gpa, size), size);
    } else {
        TRY(emu_map_seg(e, (enum seg)i->seg, ea, size, EMU_READ, &span));
        *value = emu_span_load(e, &span);
    }
    return EMU_DONE;
}

enum emu_status emu_write_memory(struct emu *e, const struct insn *i, u64 ea, unsigned size,
                                 u64 value)
{
    struct emu_span span;
    u8 *host;

    if (emu_known_data(e, (enum seg)i->seg, ea, size, EMU_WRITE, &host)) {
        host_store(host, size, value);
    } else if (is_exit_access(e, i, ea, size, EMU_WRITE)) {
        emu_device_write(e, e->fault_gpa, size, emu_low(value, size));
    } else {
        TRY(emu_map_seg(e, (enum seg)i->seg, ea, size, EMU_WRITE, &span));
        emu_span_store(e, &span, value);
    }
    return EMU_DONE;
}

enum emu_status emu_read_far(struct emu *e, const struct insn *i, u64 *offset, u16 *selector)
{
    u64 at = emu_ea(e, i), value;

    TRY(emu_read_memory(e, i, at, i->opsize, offset));
    TRY(emu_read_memory(e, i, (at + i->opsize) & mask_bytes(i->addrsize), 2, &value));
    *selector = (u16)value;
    return EMU_DONE;
}

enum emu_status emu_modify(struct emu *e, const struct insn *i, emu_rmw fn, u64 source, bool writes)
{
    const enum emu_access access = writes ? EMU_WRITE : EMU_READ;
    u64 *rflags = &e->state->rflags, value;
    struct emu_span span;
    u8 *host;

    e->state->dirty |= STATE_RFLAGS;
    if (emu_known_data(e, (enum seg)i->seg, emu_ea(e, i), i->size, access, &host))
        return fn(i->size, i->lock, host, source, rflags);
    TRY(emu_map_operand(e, i, i->size, access, &span));
    if (likely(emu_span_is_ram(&span)))
        return fn(i->size, i->lock, span.host[0], source, rflags);
    value = emu_span_load(e, &span);
    (void)fn(i->size, false, &value, source, rflags);
    if (writes)
        emu_span_store(e, &span, value);
    return EMU_DONE;
}
