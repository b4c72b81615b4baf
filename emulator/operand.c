/* SPDX-License-Identifier: MIT
 *
 * ModRM operands: a register, RAM or a device behind one struct operand, so that a handler is the
 * same for all three.  Registers and RAM are host addresses: the instruction happens there.
 */
#include "emulator/flags.h"
#include "emulator/internal.h"

static inline u64 effective_address(const struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;
    u64 ea = i->disp;

    if (i->base == BASE_RIP)
        ea += s->rip; /* already the next instruction's */
    else if (i->base != REG_NONE)
        ea += s->gpr[i->base];
    if (i->index != REG_NONE)
        ea += s->gpr[i->index] << i->scale;
    return i->addrsize == 8 ? ea : ea & mask_bytes(i->addrsize);
}

u64 emu_ea(const struct emu *e, const struct insn *i) { return effective_address(e, i); }

void emu_set_reg(struct emu *e, const struct insn *i, unsigned reg, unsigned size, u64 value)
{
    if (size == 1)
        *emu_reg(e, i, reg, 1) = (u8)value;
    else
        emu_set_gpr(e, reg, size, value);
    e->state->dirty |= reg == RSP ? STATE_RSP : 0;
}

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
    enum emu_status st = emu_map_seg(e, seg, offset, size, access, &o->span);

    if (st != EMU_DONE)
        return st;
    o->size = (u8)size;
    o->is_reg = false;
    o->host = o->span.host[0];
    if (likely(o->span.first == size))
        return EMU_DONE;
    if (o->host == NULL || o->span.host[1] != o->host + o->span.first) {
        o->host = NULL;
        return locked ? join_pages(e, o) : EMU_DONE;
    }
    return EMU_DONE;
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

enum emu_status emu_operand_load(struct emu *e, const struct operand *o, u64 *value)
{
    if (likely(o->host != NULL)) {
        *value = host_load(o->host, o->size);
        return EMU_DONE;
    }
    return emu_span_load(e, &o->span, value);
}

enum emu_status emu_operand_store(struct emu *e, const struct operand *o, u64 value)
{
    if (likely(o->host != NULL)) {
        if (o->is_reg && o->size == 4)
            host_store(o->host, 8, (u32)value);
        else
            host_store(o->host, o->size, value);
        return EMU_DONE;
    }
    return emu_span_store(e, &o->span, value);
}

/* The memory operand of ModRM at offset ea; in 64-bit mode, but for FS and GS, that is its address.
 */
static enum emu_status map_rm(struct emu *e, const struct insn *i, u64 ea, unsigned size,
                              enum emu_access access, struct emu_span *span)
{
    if (likely(i->mode == EMU_MODE_64 && i->seg < SEG_FS && emu_canonical(e, ea) &&
               emu_canonical(e, ea + size - 1)))
        return emu_map(e, GVA(ea), size, access, span);
    return emu_map_seg(e, (enum seg)i->seg, ea, size, access, span);
}

/*
 * Is this the access that caused the exit?  Then hardware has made every check and told the
 * device's address.  Aligned, so it has but one page and cannot be #AC.
 */
static inline bool is_exit_access(const struct emu *e, const struct insn *i, u64 ea, unsigned size)
{
    return e->fault_gva.v == ea && e->fault_gpa_valid && i->mode == EMU_MODE_64 &&
           i->seg < SEG_FS && (ea & (size - 1)) == 0;
}

static __attribute__((noinline)) enum emu_status read_mapped(struct emu *e, const struct insn *i,
                                                             u64 ea, unsigned size, u64 *value)
{
    struct emu_span span;
    enum emu_status st = map_rm(e, i, ea, size, EMU_READ, &span);
    return st != EMU_DONE ? st : emu_span_load(e, &span, value);
}

static __attribute__((noinline)) enum emu_status write_mapped(struct emu *e, const struct insn *i,
                                                              u64 ea, unsigned size, u64 value)
{
    struct emu_span span;
    enum emu_status st = map_rm(e, i, ea, size, EMU_WRITE, &span);
    return st != EMU_DONE ? st : emu_span_store(e, &span, value);
}

enum emu_status emu_read_rm(struct emu *e, const struct insn *i, unsigned size, u64 *value)
{
    if (!insn_is_memory(i)) {
        *value = emu_get_reg(e, i, i->rm, size);
        return EMU_DONE;
    }
    u64 ea = effective_address(e, i);
    if (is_exit_access(e, i, ea, size))
        return emu_device_read(e, e->fault_gpa, size, value);
    return read_mapped(e, i, ea, size, value);
}

enum emu_status emu_write_rm(struct emu *e, const struct insn *i, unsigned size, u64 value)
{
    if (!insn_is_memory(i)) {
        emu_set_reg(e, i, i->rm, size, value);
        return EMU_DONE;
    }
    u64 ea = effective_address(e, i);
    if (is_exit_access(e, i, ea, size))
        return emu_device_write(e, e->fault_gpa, size, value);
    return write_mapped(e, i, ea, size, value);
}

enum emu_status emu_modify_operand(struct emu *e, const struct insn *i, struct operand *o,
                                   emu_rmw fn, u64 source, bool writes)
{
    u64 rflags = e->state->rflags;
    u32 ax = flags_pack(rflags);

    if (likely(o->is_reg || o->host != NULL)) {
        ax = fn(o->size, i->lock, o->host, source, ax);
        if (o->is_reg && o->size == 4 && writes)
            host_store(o->host + 4, 4, 0);
    } else {
        u64 value;
        enum emu_status st = emu_span_load(e, &o->span, &value);
        if (st != EMU_DONE)
            return st;
        ax = fn(o->size, false, &value, source, ax);
        st = writes ? emu_span_store(e, &o->span, value) : EMU_DONE;
        if (st != EMU_DONE)
            return st;
    }
    emu_set_rflags(e, flags_unpack(rflags, ax));
    return EMU_DONE;
}

enum emu_status emu_modify(struct emu *e, const struct insn *i, emu_rmw fn, u64 source, bool writes)
{
    struct operand o;
    enum emu_status st = emu_operand_rm(e, i, i->size, writes ? EMU_WRITE : EMU_READ, &o);

    return st != EMU_DONE ? st : emu_modify_operand(e, i, &o, fn, source, writes);
}
