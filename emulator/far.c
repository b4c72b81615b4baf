/* SPDX-License-Identifier: MIT
 *
 * Far JMP, CALL and RET: to a code segment, through a call gate, into a task, and back out
 * (SDM vol. 2, CALL, JMP, RET; vol. 3A, 5.8).
 */
#include "emulator/system.h"

/* Where a far JMP or CALL wants to go. */
struct far_target {
    u64 offset;
    u16 selector;
    bool call;
};

static enum emu_status far_operand(struct emu *e, const struct insn *i, struct far_target *t)
{
    if (i->opcode == 0xff)
        return emu_read_far(e, i, &t->offset, &t->selector);
    t->selector = (u16)i->imm2;
    t->offset = i->imm & mask_bytes(i->opsize);
    return EMU_DONE;
}

/* Go to cs:rip at the same level once the frame (if any) is written. */
static enum emu_status far_go(struct emu *e, const struct segment *cs, u64 rip,
                              const struct emu_frame *f)
{
    if (!emu_code_holds(e, cs, rip))
        return emu_gp(e, 0);
    if (f != NULL) {
        emu_frame_store(e, f);
        emu_set_sp(e, f->stack.width, f->stack.sp);
    }
    emu_set_code(e, cs, emu_cpl(e), rip);
    return EMU_DONE;
}

/* Push CS:RIP in items of `size` bytes. */
static enum emu_status push_return(struct emu *e, struct emu_frame *f, unsigned size)
{
    emu_need(e, STATE_SEG(SEG_CS));
    enum emu_status st = emu_frame_push(e, f, size, e->state->seg[SEG_CS].selector);
    return st != EMU_DONE ? st : emu_frame_push(e, f, size, e->state->rip);
}

/* To a code segment at the same level; size: of the items a CALL pushes. */
static enum emu_status far_same_level(struct emu *e, const struct segment *cs,
                                      const struct far_target *t, unsigned size)
{
    struct emu_frame f;

    if (!t->call)
        return far_go(e, cs, t->offset, NULL);
    emu_stack_current(e, &f.stack);
    f.count = 0;
    enum emu_status st = push_return(e, &f, size);
    return st != EMU_DONE ? st : far_go(e, cs, t->offset, &f);
}

/* Copy a call gate's parameters, first pushed first, from the caller's stack. */
static enum emu_status copy_parameters(struct emu *e, struct emu_frame *f, unsigned size,
                                       unsigned count)
{
    struct emu_stack old;
    enum emu_status st = EMU_DONE;

    emu_stack_current(e, &old);
    while (count-- != 0 && st == EMU_DONE) {
        struct emu_stack item = old;
        u64 value;
        emu_stack_skip(&item, (u64)count * size);
        st = emu_stack_pop(e, &item, size, &value);
        if (st == EMU_DONE)
            st = emu_frame_push(e, f, size, value);
    }
    return st;
}

/* CALL through a gate to a more privileged level: the stack changes. */
static enum emu_status call_inner(struct emu *e, const struct descriptor *code, u64 offset,
                                  unsigned size, unsigned parameters)
{
    struct x86_state *s = e->state;
    struct segment cs = emu_desc_segment(code);
    unsigned cpl = desc_dpl(code);
    struct emu_frame f;

    f.count = 0;
    emu_need(e, STATE_SEG(SEG_SS));
    enum emu_status st = emu_stack_of_tss(e, cpl, 0, &f.stack);
    if (st == EMU_DONE)
        st = emu_frame_push(e, &f, size, s->seg[SEG_SS].selector);
    if (st == EMU_DONE)
        st = emu_frame_push(e, &f, size, s->gpr[RSP]);
    if (st == EMU_DONE)
        st = copy_parameters(e, &f, size, parameters);
    if (st == EMU_DONE)
        st = push_return(e, &f, size);
    if (st != EMU_DONE)
        return st;
    if (!emu_code_holds(e, &cs, offset))
        return emu_gp(e, 0);
    emu_frame_store(e, &f);
    emu_set_segment(e, SEG_SS, &f.stack.ss);
    emu_set_sp(e, f.stack.width, f.stack.sp);
    emu_set_code(e, &cs, cpl, offset);
    return EMU_DONE;
}

/* Call gate, SDM vol. 3A, 5.8.3 and 5.8.4; of 16 bytes in IA-32e mode, 5.8.3.1. */
static enum emu_status far_gate(struct emu *e, struct descriptor *gate, bool call)
{
    bool long_mode = emu_long_mode(e->state);
    unsigned size = long_mode ? 8 : desc_system_type(gate) == TYPE_CALL ? 4 : 2;
    unsigned cpl = emu_cpl(e);
    struct far_target t = {.selector = (u16)bits_get(gate->low, 31, 16), .call = call};
    struct descriptor code;

    enum emu_status st = emu_desc_widen(e, VECTOR_GP, gate);
    if (st != EMU_DONE)
        return st;
    if (!(gate->access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, gate->selector);
    t.offset = bits_get(gate->low, 15, 0);
    if (size > 2)
        t.offset |= bits_get(gate->low, 63, 48) << 16 | gate->high << 32;

    st = emu_fetch_code(e, t.selector, &code);
    if (st != EMU_DONE)
        return st;
    unsigned dpl = desc_dpl(&code);
    bool same = desc_is_conforming(&code) || dpl == cpl;
    if (dpl > cpl || (!call && !same) || (long_mode && !(code.access & SEG_L)))
        return emu_raise_selector(e, VECTOR_GP, t.selector);
    if (!(code.access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, t.selector);
    st = emu_desc_accessed(e, &code);
    if (st != EMU_DONE)
        return st;
    if (!same)
        return call_inner(e, &code, t.offset, size,
                          long_mode ? 0 : (unsigned)bits_get(gate->low, 36, 32));
    struct segment cs = emu_desc_segment(&code);
    return far_same_level(e, &cs, &t, size);
}

/* A selector that names no code segment: a call gate, a task gate or a TSS. */
static enum emu_status far_system(struct emu *e, struct descriptor *d, bool call)
{
    static const u16 legacy =
        BIT(TYPE_CALL16) | BIT(TYPE_CALL) | BIT(TYPE_TASK_GATE) | BIT(TYPE_TSS16) | BIT(TYPE_TSS);
    unsigned type = desc_system_type(d);
    u16 allowed = emu_long_mode(e->state) ? BIT(TYPE_CALL) : legacy;
    u16 tss = d->selector;

    if (!(allowed & BIT(type)) || desc_dpl(d) < emu_cpl(e) || desc_dpl(d) < (d->selector & 3u))
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

/* The whole of JMP and CALL. */
static enum emu_status far_transfer(struct emu *e, const struct insn *i, bool call)
{
    struct far_target t = {.call = call};
    struct descriptor d;
    struct segment cs;

    enum emu_status st = far_operand(e, i, &t);
    if (st != EMU_DONE)
        return st;
    if (!emu_in_protected(e->state)) {
        cs = emu_real_code(e, t.selector);
        return far_same_level(e, &cs, &t, i->opsize);
    }
    if (selector_is_null(t.selector))
        return emu_gp(e, 0);
    st = emu_desc_fetch(e, t.selector, VECTOR_GP, &d);
    if (st != EMU_DONE)
        return st;
    if (!(d.access & SEG_S))
        return far_system(e, &d, call);

    st = emu_fetch_code(e, t.selector, &d);
    if (st != EMU_DONE)
        return st;
    unsigned cpl = emu_cpl(e), dpl = desc_dpl(&d);
    if (desc_is_conforming(&d) ? dpl > cpl : (t.selector & 3u) > cpl || dpl != cpl)
        return emu_raise_selector(e, VECTOR_GP, t.selector);
    if (!(d.access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, t.selector);
    st = emu_desc_accessed(e, &d);
    if (st != EMU_DONE)
        return st;
    cs = emu_desc_segment(&d);
    return far_same_level(e, &cs, &t, i->opsize);
}

enum emu_status op_jmp_far(struct emu *e, const struct insn *i)
{
    return far_transfer(e, i, false);
}

enum emu_status op_call_far(struct emu *e, const struct insn *i)
{
    return far_transfer(e, i, true);
}

/* ---- return --------------------------------------------------------------------------------- */

/* The stack segment a return to level rpl brings; null is good for 64-bit code below level 3. */
static enum emu_status return_stack(struct emu *e, u16 selector, unsigned rpl, bool to_64bit,
                                    struct segment *ss)
{
    struct descriptor d;

    if (selector_is_null(selector)) {
        if (!to_64bit || rpl == 3 || (selector & 3u) != rpl)
            return emu_gp(e, 0);
        *ss = emu_null_stack(rpl);
        return EMU_DONE;
    }
    enum emu_status st = emu_desc_fetch(e, selector, VECTOR_GP, &d);
    if (st != EMU_DONE)
        return st;
    if ((selector & 3u) != rpl || desc_dpl(&d) != rpl || !desc_is_writable(&d))
        return emu_raise_selector(e, VECTOR_GP, selector);
    if (!(d.access & SEG_P))
        return emu_raise_selector(e, VECTOR_SS, selector);
    st = emu_desc_accessed(e, &d);
    *ss = emu_desc_segment(&d);
    return st;
}

/* Segments the outer level may not use become null, SDM vol. 3A, 5.8.6. */
static void null_inner_segments(struct emu *e, unsigned cpl)
{
    static const enum seg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (unsigned k = 0; k < ARRAY_SIZE(data); k++) {
        emu_need(e, STATE_SEG(data[k]));
        struct segment g = e->state->seg[data[k]];
        bool conforming =
            (g.access & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);
        if ((g.access & SEG_UNUSABLE) || conforming || (g.access >> SEG_DPL_SHIFT & 3) >= cpl)
            continue;
        g.access |= SEG_UNUSABLE;
        g.selector = 0;
        emu_set_segment(e, data[k], &g);
    }
}

/* The code segment a return goes to: RPL says to which level. */
static enum emu_status return_code(struct emu *e, u16 selector, struct descriptor *d)
{
    unsigned rpl = selector & 3;

    enum emu_status st = emu_fetch_code(e, selector, d);
    if (st != EMU_DONE)
        return st;
    if (rpl < emu_cpl(e) || (desc_is_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl))
        return emu_raise_selector(e, VECTOR_GP, selector);
    if (!(d->access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, selector);
    return EMU_DONE;
}

enum emu_status emu_far_return(struct emu *e, struct far_return *r)
{
    unsigned cpl = emu_cpl(e), rpl = r->cs & 3;
    bool outer = rpl > cpl;
    bool take_stack = outer || (r->iret && emu_in_64bit(e->state));
    struct descriptor d;
    struct segment ss;
    u64 sp, selector;

    enum emu_status st = return_code(e, r->cs, &d);
    if (st != EMU_DONE)
        return st;
    emu_stack_skip(&r->stack, r->release);
    if (take_stack) {
        st = emu_stack_pop(e, &r->stack, r->size, &sp);
        if (st == EMU_DONE)
            st = emu_stack_pop(e, &r->stack, r->size, &selector);
        if (st == EMU_DONE)
            st = return_stack(e, (u16)selector, rpl, emu_long_mode(e->state) && (d.access & SEG_L),
                              &ss);
        if (st != EMU_DONE)
            return st;
    }
    st = emu_desc_accessed(e, &d);
    if (st != EMU_DONE)
        return st;
    struct segment cs = emu_desc_segment(&d);
    if (!emu_code_holds(e, &cs, r->rip))
        return emu_gp(e, 0);
    if (r->iret)
        emu_iret_flags(e, cpl, r->size, r->flags);
    if (take_stack) {
        emu_set_segment(e, SEG_SS, &ss);
        unsigned width = emu_long_mode(e->state) && (cs.access & SEG_L) ? 8
                         : ss.access & SEG_DB                           ? 4
                                                                        : 2;
        emu_set_sp(e, width, sp + r->release);
    } else {
        emu_set_sp(e, r->stack.width, r->stack.sp);
    }
    emu_set_code(e, &cs, rpl, r->rip);
    if (outer)
        null_inner_segments(e, rpl);
    return EMU_DONE;
}

enum emu_status op_ret_far(struct emu *e, const struct insn *i)
{
    struct far_return r = {.size = i->opsize, .release = i->opcode == 0xca ? (u16)i->imm : 0};
    u64 selector;

    emu_stack_current(e, &r.stack);
    enum emu_status st = emu_stack_pop(e, &r.stack, r.size, &r.rip);
    if (st == EMU_DONE)
        st = emu_stack_pop(e, &r.stack, r.size, &selector);
    if (st != EMU_DONE)
        return st;
    r.cs = (u16)selector;
    if (emu_in_protected(e->state))
        return emu_far_return(e, &r);
    struct segment cs = emu_real_code(e, r.cs);
    st = far_go(e, &cs, r.rip, NULL);
    if (st == EMU_DONE)
        emu_set_sp(e, r.stack.width, r.stack.sp + r.release);
    return st;
}
