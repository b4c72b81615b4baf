/* SPDX-License-Identifier: MIT
 *
 * Far JMP, CALL and RET: to a code segment, through a call gate, into a task, and back out
 * (SDM vol. 2, CALL, JMP, RET; vol. 3A, 5.8).
 */
#include "emulator/system.h"

enum emu_status emu_transfer(struct emu *e, const struct emu_stack *k, const struct segment *cs,
                             unsigned level, u64 rip, u64 clear)
{
    bool inner = k != NULL && level != emu_cpl(e); /* JMP stays at its level */

    if (!emu_code_holds(e, cs, rip) && (k == NULL || k->status == EMU_DONE))
        return emu_gp(e, 0);
    if (k != NULL)
        TRY(emu_stack_commit(e, k));
    if (clear != 0)
        emu_set_rflags(e, e->state->rflags & ~clear);
    if (inner)
        emu_set_segment(e, SEG_SS, k->ss);
    return emu_set_code(e, cs, level, rip);
}

/* ---- gates ------------------------------------------------------------------------------ */

enum emu_status emu_gate_open(struct emu *e, const struct descriptor *d, enum segment_use use,
                              struct emu_gate *g)
{
    bool long_mode = emu_long_mode(e->state), call = system_type(d->access) == TYPE_CALL;
    unsigned size = long_mode ? 8 : system_type(d->access) & 8 ? 4 : 2, cpl = emu_cpl(e);
    unsigned ist = long_mode && !call ? (unsigned)bits_get(d->low, 34, 32) : 0;
    u16 selector = (u16)bits_get(d->low, 31, 16);

    g->offset = bits_get(d->low, 15, 0);
    if (size > 2)
        g->offset |= bits_get(d->low, 63, 48) << 16 | d->high << 32;
    TRY(emu_take_segment(e, selector, use, cpl, VECTOR_GP, &g->cs));
    g->level = is_conforming(g->cs.access) ? cpl : access_dpl(g->cs.access);
    if ((e->state->rflags & RFLAGS_VM) && g->level != 0) /* then to level 0 only */
        return emu_raise_selector(e, VECTOR_GP, selector);
    emu_stack_current(e, size, &g->stack);
    if (g->level != cpl || ist != 0)
        emu_stack_of_tss(e, g->level, ist, &g->stack);
    return g->stack.status;
}

/* Copy a call gate's parameters, first pushed first, from the caller's stack. */
static void copy_parameters(struct emu *e, struct emu_stack *k, unsigned count)
{
    struct emu_stack old;

    emu_stack_current(e, k->size, &old);
    while (count-- != 0 && k->status == EMU_DONE) {
        u64 value = emu_stack_item(e, &old, count, old.size);
        k->status = old.status;
        emu_stack_push(e, k, value);
    }
}

static void push_return(struct emu *e, struct emu_stack *k)
{
    emu_stack_push_selector(e, k, SEG_CS);
    emu_stack_push(e, k, e->state->rip);
}

/* Call gate, SDM vol. 3A, 5.8.3 and 5.8.4; of 16 bytes in IA-32e mode, 5.8.3.1. */
static enum emu_status far_gate(struct emu *e, struct descriptor *d, bool call)
{
    struct emu_gate g;

    TRY(emu_desc_widen(e, VECTOR_GP, d));
    if (!(d->access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, d->selector);
    TRY(emu_gate_open(e, d, call ? USE_GATE : USE_JMP_GATE, &g));
    if (g.level != emu_cpl(e)) {
        emu_stack_push_selector(e, &g.stack, SEG_SS);
        emu_stack_push(e, &g.stack, e->state->gpr[RSP]);
        if (!emu_long_mode(e->state))
            copy_parameters(e, &g.stack, (unsigned)bits_get(d->low, 36, 32));
    }
    if (call)
        push_return(e, &g.stack);
    return emu_transfer(e, call ? &g.stack : NULL, &g.cs, g.level, g.offset, 0);
}

/* A selector that names no code segment: a call gate, a task gate or a TSS. */
static enum emu_status far_system(struct emu *e, struct descriptor *d, bool call)
{
    static const u16 legacy =
        BIT(TYPE_CALL16) | BIT(TYPE_CALL) | BIT(TYPE_TASK_GATE) | BIT(TYPE_TSS16) | BIT(TYPE_TSS);
    unsigned type = system_type(d->access), dpl = access_dpl(d->access);
    u16 allowed = emu_long_mode(e->state) ? BIT(TYPE_CALL) : legacy;
    u16 tss = d->selector;

    if (!(allowed & BIT(type)) || dpl < emu_cpl(e) || dpl < (d->selector & 3u))
        return emu_raise_selector(e, VECTOR_GP, d->selector);
    if (type == TYPE_CALL || type == TYPE_CALL16)
        return far_gate(e, d, call);
    if (type == TYPE_TASK_GATE) {
        if (!(d->access & SEG_P))
            return emu_raise_selector(e, VECTOR_NP, d->selector);
        tss = (u16)bits_get(d->low, 31, 16);
    }
    return emu_task_switch(e, tss, call ? EMU_TASK_CALL : EMU_TASK_JMP, NULL, 0);
}

/* ---- JMP and CALL ----------------------------------------------------------------------- */

/* As CPUs have it (SDM vol. 2A, CALL, not so): on the stack as the code sees it that is called, and
 * before the target is looked at. */
static void push_return_to(struct emu *e, const struct segment *cs, struct emu_stack *k)
{
    bool code64 = emu_long_mode(e->state) && (cs->access & SEG_L);

    k->width = code64 ? 8 : k->ss.access & SEG_DB ? 4 : 2;
    k->sp = e->state->gpr[RSP] & mask_bytes(k->width);
    push_return(e, k);
}

/* JMP; CALL has op->sub. */
enum emu_status op_far(struct emu *e, const struct insn *i)
{
    bool call = i->op->sub;
    u64 offset = i->imm & mask_bytes(i->opsize);
    u16 selector = (u16)i->imm2;
    struct descriptor d;
    struct emu_stack k;
    struct segment cs;

    if (i->opcode == 0xff)
        TRY(emu_read_far(e, i, &offset, &selector));
    if (!emu_in_protected(e->state)) {
        cs = emu_segment_8086(e, SEG_CS, selector);
    } else {
        if (selector_is_null(selector))
            return emu_gp(e, 0);
        TRY(emu_desc_fetch(e, selector, VECTOR_GP, &d));
        if (!(d.access & SEG_S))
            return far_system(e, &d, call);
        TRY(emu_take_segment(e, selector, USE_BRANCH, emu_cpl(e), VECTOR_GP, &cs));
    }
    emu_stack_current(e, i->opsize, &k);
    if (call)
        push_return_to(e, &cs, &k);
    return emu_transfer(e, call ? &k : NULL, &cs, emu_cpl(e), offset, 0);
}

/* ---- return --------------------------------------------------------------------------------- */

/* Segments the outer level may not use, SDM vol. 3A, 5.8.6. */
void emu_null_segments(struct emu *e, unsigned cpl)
{
    static const enum seg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (unsigned k = 0; k < ARRAY_SIZE(data); k++) {
        struct segment g = *emu_seg(e, data[k]);
        if ((g.access & SEG_UNUSABLE) || is_conforming(g.access) || access_dpl(g.access) >= cpl)
            continue;
        g.access |= SEG_UNUSABLE;
        g.selector = 0;
        emu_set_segment(e, data[k], g);
    }
}

void emu_return_flags(struct emu *e, const struct far_return *r)
{
    if (r->change == 0)
        return;
    emu_set_rflags(e, (e->state->rflags & ~r->change) | (r->flags & r->change));
    e->step.keep_rf = r->stack.size > 2;
}

enum emu_status emu_pop_return(struct emu *e, unsigned size, struct far_return *r)
{
    unsigned count = r->change != 0 ? 3 : 2;

    emu_stack_current(e, size, &r->stack);
    if (r->change != 0) /* in the order that CPUs have */
        r->flags = emu_stack_item(e, &r->stack, 2, size);
    r->cs = (u16)emu_stack_item(e, &r->stack, 1, 2);
    r->rip = emu_stack_item(e, &r->stack, 0, size);
    emu_stack_skip(&r->stack, count * size);
    return r->stack.status;
}

enum emu_status emu_far_return(struct emu *e, struct far_return *r)
{
    bool protected = emu_in_protected(e->state);
    unsigned cpl = emu_cpl(e), rpl = protected ? r->cs & 3 : cpl;
    bool take_stack = rpl > cpl || (r->change != 0 && emu_in_64bit(e->state));
    struct segment cs, ss;
    struct descriptor d = {0};
    u64 sp = 0;

    if (protected)
        TRY(emu_fetch_segment(e, r->cs, USE_RETURN, cpl, VECTOR_GP, &d));
    emu_stack_skip(&r->stack, r->release);
    if (take_stack) {
        bool code64 = emu_long_mode(e->state) && (d.access & SEG_L);
        u16 selector = (u16)emu_stack_item(e, &r->stack, 1, 2);
        sp = emu_stack_item(e, &r->stack, 0, r->stack.size);
        TRY(r->stack.status);
        TRY(emu_take_segment(e, selector, code64 ? USE_STACK64 : USE_STACK, rpl, VECTOR_GP, &ss));
    }
    if (protected)
        TRY(emu_desc_mark(e, &d, TYPE_ACCESSED, true));
    cs = protected ? emu_desc_segment(&d) : emu_segment_8086(e, SEG_CS, r->cs);
    if (!emu_code_holds(e, &cs, r->rip))
        return emu_gp(e, 0);
    emu_return_flags(e, r);
    emu_set_code(e, &cs, rpl, r->rip);
    if (take_stack) {
        emu_set_segment(e, SEG_SS, ss);
        emu_set_gpr(e, RSP, emu_stack_width(e), sp + r->release);
    } else {
        emu_set_gpr(e, RSP, r->stack.width, r->stack.sp);
    }
    if (rpl > cpl)
        emu_null_segments(e, rpl);
    return EMU_DONE;
}

enum emu_status op_ret_far(struct emu *e, const struct insn *i)
{
    struct far_return r = {.release = i->opcode == 0xca ? (u16)i->imm : 0};

    TRY(emu_pop_return(e, i->opsize, &r));
    return emu_far_return(e, &r);
}
