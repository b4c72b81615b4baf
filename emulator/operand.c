/* SPDX-License-Identifier: MIT
 *
 * ModRM operands: a register, RAM or a device behind one struct operand, so that a handler is the
 * same for all three.  Registers and RAM are host addresses: the instruction happens there.
 */
#include "emulator/flags.h"
#include "emulator/internal.h"

/* RAM in two pages that are not neighbours on the host: a locked access needs them to be. */
static enum emu_status join_pages(struct emu *e, struct operand *o)
{
    const struct emu_span *s = &o->span;

    if (s->host[0] == NULL || s->host[1] == NULL)
        return EMU_DONE; /* a device knows no lock */
    if (e->ops->window == NULL)
        return EMU_UNIMPLEMENTED;
    u8 *window = e->ops->window(e->ctx, GPA(align_down(s->gpa[0].v, PAGE_SIZE)),
                                GPA(align_down(s->gpa[1].v, PAGE_SIZE)));
    if (window == NULL)
        return EMU_UNIMPLEMENTED;
    o->host = window + (s->gpa[0].v & PAGE_MASK);
    return EMU_DONE;
}

enum emu_status emu_operand_at(struct emu *e, enum seg seg, u64 offset, unsigned size,
                               enum emu_access access, bool locked, struct operand *o)
{
    TRY(emu_map_seg(e, seg, offset, size, access, &o->span));
    o->size = (u8)size;
    o->is_reg = false;
    o->host = o->span.first == size ? o->span.host[0] : NULL;
    return unlikely(o->span.first != size) && locked ? join_pages(e, o) : EMU_DONE;
}

enum emu_status emu_operand_rm(struct emu *e, const struct insn *i, unsigned size,
                               enum emu_access access, struct operand *o)
{
    if (insn_is_memory(i))
        return emu_operand_at(e, (enum seg)i->seg, emu_ea(e, i), size, access, i->lock, o);
    o->size = (u8)size;
    o->is_reg = true;
    o->host = emu_reg(e, i, i->rm, size);
    if ((access & EMU_WRITE) && i->rm == RSP)
        e->state->dirty |= STATE_RSP;
    return EMU_DONE;
}

u64 emu_operand_load(struct emu *e, const struct operand *o)
{
    return likely(o->host != NULL) ? host_load(o->host, o->size) : emu_span_load(e, &o->span);
}

void emu_operand_store(struct emu *e, const struct operand *o, u64 value)
{
    if (unlikely(o->host == NULL))
        emu_span_store(e, &o->span, value);
    else if (o->is_reg && o->size == 4)
        host_store(o->host, 8, (u32)value);
    else
        host_store(o->host, o->size, value);
}

/*
 * Is this the access that caused the exit?  Then hardware has made every check and told the
 * device's address.  Aligned, so it has but one page and cannot be #AC.
 */
static inline bool is_exit_access(const struct emu *e, const struct insn *i, u64 ea, unsigned size)
{
    return e->fault_gva.v == ea && e->fault_gpa_valid && i->flat && (ea & (size - 1)) == 0;
}

enum emu_status emu_read_memory(struct emu *e, const struct insn *i, u64 ea, unsigned size,
                                u64 *value)
{
    struct emu_span span;
    u8 *host;

    if (emu_known_data(e, (enum seg)i->seg, ea, size, EMU_READ, &host)) {
        *value = host_load(host, size);
    } else if (is_exit_access(e, i, ea, size)) {
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
    } else if (is_exit_access(e, i, ea, size)) {
        emu_device_write(e, e->fault_gpa, size, emu_low(value, size));
    } else {
        TRY(emu_map_seg(e, (enum seg)i->seg, ea, size, EMU_WRITE, &span));
        emu_span_store(e, &span, value);
    }
    return EMU_DONE;
}

enum emu_status emu_read_far(struct emu *e, const struct insn *i, u64 *offset, u16 *selector)
{
    u8 pointer[10];
    TRY(emu_read_seg(e, (enum seg)i->seg, emu_ea(e, i), pointer, i->opsize + 2u,
                     i->opsize == 2 ? EMU_WORDS : 0));
    *offset = host_load(pointer, i->opsize);
    *selector = (u16)host_load(pointer + i->opsize, 2);
    return EMU_DONE;
}

void emu_modify_operand(struct emu *e, const struct insn *i, struct operand *o, emu_rmw fn,
                        u64 source, bool writes)
{
    u64 *rflags = &e->state->rflags;

    e->state->dirty |= STATE_RFLAGS;
    if (likely(o->is_reg || o->host != NULL)) {
        (void)fn(o->size, i->lock, o->host, source, rflags);
        if (o->is_reg && o->size == 4 && writes)
            host_store(o->host + 4, 4, 0);
    } else {
        u64 value = emu_span_load(e, &o->span);
        (void)fn(o->size, false, &value, source, rflags);
        if (writes)
            emu_span_store(e, &o->span, value);
    }
}

enum emu_status emu_modify(struct emu *e, const struct insn *i, emu_rmw fn, u64 source, bool writes)
{
    const enum emu_access access = writes ? EMU_WRITE : EMU_READ;
    struct operand o;
    u8 *host;

    if (insn_is_memory(i) &&
        emu_known_data(e, (enum seg)i->seg, emu_ea(e, i), i->size, access, &host)) {
        e->state->dirty |= STATE_RFLAGS;
        return fn(i->size, i->lock, host, source, &e->state->rflags);
    }
    TRY(emu_operand_rm(e, i, i->size, access, &o));
    emu_modify_operand(e, i, &o, fn, source, writes);
    return EMU_DONE;
}
