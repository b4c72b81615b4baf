/* SPDX-License-Identifier: MIT
 *
 * Segment registers and descriptors: fetching, checking, loading (SDM vol. 3A, chapters 3 and 5),
 * and the stack frames that transfers between segments build.
 */
#include "emulator/system.h"

#define REAL_ACCESS (SEG_P | SEG_S | TYPE_WRITABLE | TYPE_ACCESSED)
#define VM86_ACCESS (REAL_ACCESS | 3u << SEG_DPL_SHIFT)

/* ---- descriptors ------------------------------------------------------------------------ */

/* Table addresses are 64 bits wide in IA-32e mode, in whatever code segment. */
static gva_t table_address(const struct x86_state *s, u64 at)
{
    return GVA(emu_long_mode(s) ? at : (u32)at);
}

/* The table a selector points into; false: beyond its limit (an unusable LDT has none). */
static bool table_of(struct emu *e, u16 selector, unsigned last, u64 *base)
{
    const struct x86_state *s = e->state;

    if (selector & 4) {
        emu_need(e, STATE_SEG(SEG_LDTR));
        *base = s->seg[SEG_LDTR].base;
        return !(s->seg[SEG_LDTR].access & SEG_UNUSABLE) && last <= s->seg[SEG_LDTR].limit;
    }
    emu_need(e, STATE_GDTR);
    *base = s->gdtr.base;
    return last <= s->gdtr.limit;
}

enum emu_status emu_desc_fetch(struct emu *e, u16 selector, enum vector vector,
                               struct descriptor *d)
{
    u64 base;

    if (!table_of(e, selector, selector | 7u, &base))
        return emu_raise_selector(e, vector, selector);
    d->selector = selector;
    d->at = table_address(e->state, base + (selector & 0xfff8u));
    d->high = 0;
    enum emu_status st = emu_read_linear(e, d->at, &d->low, 8, EMU_IMPLICIT);
    d->access = (u32)(d->low >> 40) & 0xf0ff;
    return st;
}

enum emu_status emu_desc_widen(struct emu *e, enum vector vector, struct descriptor *d)
{
    u64 base;

    if (!emu_long_mode(e->state))
        return EMU_DONE;
    if (!table_of(e, d->selector, (d->selector | 7u) + 8, &base))
        return emu_raise_selector(e, vector, d->selector);
    gva_t at = table_address(e->state, d->at.v + 8);
    enum emu_status st = emu_read_linear(e, at, &d->high, 8, EMU_IMPLICIT);
    if (st == EMU_DONE && bits_get(d->high, 44, 40) != 0) /* a type where there must be none */
        return emu_raise_selector(e, vector, d->selector);
    return st;
}

/* Change the access byte in the table, atomically where it is RAM: other CPUs use it, too. */
static enum emu_status desc_change(struct emu *e, const struct descriptor *d, u8 set, u8 clear)
{
    struct emu_span span;

    enum emu_status st = emu_map(e, GVA(d->at.v + 5), 1, EMU_WRITE | EMU_IMPLICIT, &span);
    if (st != EMU_DONE)
        return st;
    if (span.host[0] != NULL) {
        if (set != 0)
            (void)__atomic_fetch_or(span.host[0], set, __ATOMIC_SEQ_CST);
        if (clear != 0)
            (void)__atomic_fetch_and(span.host[0], (u8)~clear, __ATOMIC_SEQ_CST);
        return EMU_DONE;
    }
    emu_span_store(e, &span, (emu_span_load(e, &span) | set) & ~(u64)clear);
    return EMU_DONE;
}

enum emu_status emu_desc_accessed(struct emu *e, struct descriptor *d)
{
    if (d->access & TYPE_ACCESSED)
        return EMU_DONE;
    d->access |= TYPE_ACCESSED;
    return desc_change(e, d, TYPE_ACCESSED, 0);
}

enum emu_status emu_desc_busy(struct emu *e, struct descriptor *d, bool busy)
{
    d->access = busy ? d->access | TYPE_BUSY : d->access & ~TYPE_BUSY;
    return desc_change(e, d, busy ? TYPE_BUSY : 0, busy ? 0 : TYPE_BUSY);
}

struct segment emu_desc_segment(const struct descriptor *d)
{
    u32 limit = (u32)(bits_get(d->low, 15, 0) | bits_get(d->low, 51, 48) << 16);
    u64 base = bits_get(d->low, 39, 16) | bits_get(d->low, 63, 56) << 24;

    return (struct segment){.base = base | (d->high << 32),
                            .limit = d->access & SEG_G ? limit << 12 | 0xfff : limit,
                            .access = d->access,
                            .selector = d->selector};
}

struct segment emu_segment_vm86(u16 selector)
{
    return (struct segment){
        .base = (u32)selector << 4, .limit = 0xffff, .access = VM86_ACCESS, .selector = selector};
}

void emu_set_segment(struct emu *e, enum seg seg, const struct segment *g)
{
    e->state->seg[seg] = *g;
    e->state->valid |= STATE_SEG(seg);
    e->state->dirty |= STATE_SEG(seg);
}

void emu_set_code(struct emu *e, const struct segment *cs, unsigned cpl, u64 rip)
{
    struct segment g = *cs;

    if (emu_in_protected(e->state))
        g.selector = (u16)((cs->selector & 0xfffcu) | cpl);
    emu_set_segment(e, SEG_CS, &g);
    e->state->rip = rip;
    e->state->dirty |= STATE_RIP;
}

struct segment emu_null_stack(unsigned cpl)
{
    return (struct segment){.access = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT, .selector = (u16)cpl};
}

bool emu_code_holds(const struct emu *e, const struct segment *cs, u64 rip)
{
    if (emu_long_mode(e->state) && (cs->access & SEG_L))
        return emu_canonical(e, rip);
    return rip <= cs->limit;
}

/* A real-mode load changes the base alone: the limit and rights stay as they were ("unreal mode"),
 * unless a null selector had left none. */
static struct segment real_segment(struct emu *e, enum seg seg, u16 selector)
{
    emu_need(e, STATE_SEG(seg));
    struct segment g = e->state->seg[seg];

    if (g.access & SEG_UNUSABLE) {
        g.access = REAL_ACCESS;
        g.limit = 0xffff;
    }
    g.selector = selector;
    g.base = (u32)selector << 4;
    return g;
}

struct segment emu_real_code(struct emu *e, u16 selector)
{
    return e->state->cr0 & CR0_PE ? emu_segment_vm86(selector) : real_segment(e, SEG_CS, selector);
}

enum emu_status emu_fetch_code(struct emu *e, u16 selector, struct descriptor *d)
{
    if (selector_is_null(selector))
        return emu_gp(e, 0);
    enum emu_status st = emu_desc_fetch(e, selector, VECTOR_GP, d);
    if (st != EMU_DONE)
        return st;
    bool both = emu_long_mode(e->state) && (d->access & SEG_L) && (d->access & SEG_DB);
    return desc_is_code(d) && !both ? EMU_DONE : emu_raise_selector(e, VECTOR_GP, selector);
}

/* ---- loading a segment register ----------------------------------------------------------- */

/* A null selector: SS only in 64-bit mode below level 3 (SDM vol. 2B, MOV). */
static enum emu_status load_null(struct emu *e, enum seg seg, u16 selector)
{
    struct segment g = {.access = SEG_UNUSABLE, .selector = selector};

    if (seg == SEG_SS) {
        unsigned cpl = emu_cpl(e);
        if (!emu_in_64bit(e->state) || cpl == 3 || (selector & 3) != cpl)
            return emu_gp(e, 0);
        g.access |= cpl << SEG_DPL_SHIFT;
    }
    emu_set_segment(e, seg, &g);
    return EMU_DONE;
}

static bool stack_allowed(const struct descriptor *d, unsigned cpl)
{
    return (d->selector & 3u) == cpl && desc_is_writable(d) && desc_dpl(d) == cpl;
}

static bool data_allowed(const struct descriptor *d, unsigned cpl)
{
    unsigned rpl = d->selector & 3;

    if (!(d->access & SEG_S) || (desc_is_code(d) && !(d->access & TYPE_WRITABLE)))
        return false;
    return desc_is_conforming(d) || (rpl <= desc_dpl(d) && cpl <= desc_dpl(d));
}

enum emu_status emu_load_segment(struct emu *e, enum seg seg, u16 selector)
{
    const struct x86_state *s = e->state;
    struct descriptor d;
    struct segment g;

    if (!emu_in_protected(s)) {
        g = s->cr0 & CR0_PE ? emu_segment_vm86(selector) : real_segment(e, seg, selector);
        emu_set_segment(e, seg, &g);
        return EMU_DONE;
    }
    if (selector_is_null(selector))
        return load_null(e, seg, selector);
    enum emu_status st = emu_desc_fetch(e, selector, VECTOR_GP, &d);
    if (st != EMU_DONE)
        return st;
    if (seg == SEG_SS ? !stack_allowed(&d, emu_cpl(e)) : !data_allowed(&d, emu_cpl(e)))
        return emu_raise_selector(e, VECTOR_GP, selector);
    if (!(d.access & SEG_P))
        return emu_raise_selector(e, seg == SEG_SS ? VECTOR_SS : VECTOR_NP, selector);
    st = emu_desc_accessed(e, &d);
    if (st != EMU_DONE)
        return st;
    g = emu_desc_segment(&d);
    emu_set_segment(e, seg, &g);
    return EMU_DONE;
}

/* MOV Sreg, r/m16. */
enum emu_status op_mov_to_sreg(struct emu *e, const struct insn *i)
{
    enum seg seg = (enum seg)(i->reg & 7);
    u64 selector;

    enum emu_status st = emu_read_rm(e, i, 2, &selector);
    if (st == EMU_DONE)
        st = emu_load_segment(e, seg, (u16)selector);
    if (st == EMU_DONE && seg == SEG_SS)
        e->step.shadow = BLOCKED_BY_MOV_SS;
    return st;
}

/* POP Sreg.  The stack pointer moves by the width it had before SS changed. */
enum emu_status op_pop_sreg(struct emu *e, const struct insn *i)
{
    enum seg seg = (enum seg)i->op->sub;
    unsigned width = emu_stack_size(e, i);
    u64 selector;

    enum emu_status st = emu_peek(e, i, 0, i->opsize, &selector);
    if (st == EMU_DONE)
        st = emu_load_segment(e, seg, (u16)selector);
    if (st != EMU_DONE)
        return st;
    emu_set_sp(e, width, e->state->gpr[RSP] + i->opsize);
    if (seg == SEG_SS)
        e->step.shadow = BLOCKED_BY_MOV_SS;
    return EMU_DONE;
}

/* LDS, LES, LSS, LFS, LGS: offset, then selector. */
enum emu_status op_load_far_pointer(struct emu *e, const struct insn *i)
{
    u64 offset;
    u16 selector;

    enum emu_status st = emu_read_far(e, i, &offset, &selector);
    if (st == EMU_DONE)
        st = emu_load_segment(e, (enum seg)i->op->sub, selector);
    if (st == EMU_DONE)
        emu_set_gpr(e, i->reg, i->opsize, offset);
    return st;
}

/* ---- stacks ------------------------------------------------------------------------------- */

void emu_stack_current(const struct emu *e, struct emu_stack *k)
{
    const struct x86_state *s = e->state;

    emu_need(e, STATE_SEG(SEG_SS));
    k->ss = s->seg[SEG_SS];
    k->width = emu_in_64bit(s) ? 8 : k->ss.access & SEG_DB ? 4 : 2;
    if (k->width == 8)
        k->ss.base = 0;
    k->sp = s->gpr[RSP] & mask_bytes(k->width);
    k->foreign = false;
    k->error = 0;
}

static enum emu_status stack_map(struct emu *e, const struct emu_stack *k, unsigned size,
                                 enum emu_access access, struct emu_span *span)
{
    gva_t gva;

    if (!emu_segment_linear(e, &k->ss, k->width == 8, k->sp, size, access, &gva))
        return emu_raise_selector(e, VECTOR_SS, k->error);
    return k->foreign ? emu_map_as(e, gva, size, access, span)
                      : emu_map(e, gva, size, access, span);
}

void emu_stack_skip(struct emu_stack *k, u64 bytes)
{
    k->sp = (k->sp + bytes) & mask_bytes(k->width);
}

enum emu_status emu_stack_pop(struct emu *e, struct emu_stack *k, unsigned size, u64 *value)
{
    struct emu_span span;
    enum emu_status st = stack_map(e, k, size, EMU_READ, &span);

    if (st == EMU_DONE)
        *value = emu_span_load(e, &span);
    emu_stack_skip(k, size);
    return st;
}

enum emu_status emu_frame_push(struct emu *e, struct emu_frame *f, unsigned size, u64 value)
{
    emu_stack_skip(&f->stack, -(u64)size);
    f->value[f->count] = value;
    return stack_map(e, &f->stack, size, EMU_WRITE, &f->span[f->count++]);
}

void emu_frame_store(struct emu *e, const struct emu_frame *f)
{
    for (unsigned i = 0; i < f->count; i++)
        emu_span_store(e, &f->span[i], f->value[i]);
}

/* SS and the stack pointer for level dpl out of a 16- or 32-bit TSS. */
static enum emu_status tss_stack(struct emu *e, unsigned dpl, u16 *ss, u64 *sp)
{
    const struct segment *tr = &e->state->seg[SEG_TR];
    bool wide = tr->access & 8;
    unsigned size = wide ? 4 : 2;
    unsigned at = wide ? 4 + dpl * 8 : 2 + dpl * 4;
    u8 raw[6];

    if (at + size + 1 > tr->limit)
        return emu_raise_selector(e, VECTOR_TS, tr->selector);
    enum emu_status st = emu_read_linear(e, GVA((u32)(tr->base + at)), raw, size + 2, EMU_IMPLICIT);
    *sp = 0;
    memcpy(sp, raw, size);
    memcpy(ss, raw + size, sizeof(*ss));
    return st;
}

static enum emu_status stack_of_tss64(struct emu *e, unsigned dpl, unsigned ist,
                                      struct emu_stack *k)
{
    const struct segment *tr = &e->state->seg[SEG_TR];
    unsigned at = ist != 0 ? 28 + ist * 8 : 4 + dpl * 8;

    if (at + 7 > tr->limit)
        return emu_raise_selector(e, VECTOR_TS, tr->selector);
    k->ss = emu_null_stack(dpl);
    k->width = 8;
    k->error = 0;
    return emu_read_linear(e, GVA(tr->base + at), &k->sp, 8, EMU_IMPLICIT);
}

enum emu_status emu_stack_of_tss(struct emu *e, unsigned dpl, unsigned ist, struct emu_stack *k)
{
    struct descriptor d;
    u16 ss;

    emu_need(e, STATE_SEG(SEG_TR));
    k->foreign = true;
    if (emu_long_mode(e->state))
        return stack_of_tss64(e, dpl, ist, k);
    enum emu_status st = tss_stack(e, dpl, &ss, &k->sp);
    if (st != EMU_DONE)
        return st;
    if (selector_is_null(ss))
        return emu_raise_selector(e, VECTOR_TS, 0);
    st = emu_desc_fetch(e, ss, VECTOR_TS, &d);
    if (st != EMU_DONE)
        return st;
    if (!stack_allowed(&d, dpl))
        return emu_raise_selector(e, VECTOR_TS, ss);
    if (!(d.access & SEG_P))
        return emu_raise_selector(e, VECTOR_SS, ss);
    k->ss = emu_desc_segment(&d);
    k->width = d.access & SEG_DB ? 4 : 2;
    k->sp &= mask_bytes(k->width);
    k->error = ss;
    return emu_desc_accessed(e, &d);
}
