/* SPDX-License-Identifier: MIT
 *
 * Segment registers and descriptors: fetching, checking, loading (SDM vol. 3A, chapters 3 and 5),
 * and the stack frames that transfers between segments build.
 */
#include "emulator/system.h"

#define REAL_ACCESS (SEG_P | SEG_S | TYPE_WRITABLE | TYPE_ACCESSED)
#define TSS_IO_MAP  102u /* offset of the I/O map base, SDM vol. 3A, 7.2.1 */
#define VM86_ACCESS (REAL_ACCESS | 3u << SEG_DPL_SHIFT)

/* ---- descriptors ------------------------------------------------------------------------ */

/* Table addresses are 64 bits wide in IA-32e mode, in whatever code segment. */
static gva_t table_address(const struct x86_state *s, u64 at)
{
    return GVA(emu_long_mode(s) ? at : (u32)at);
}

/* Read 8 bytes, `at` bytes into the descriptor; an unusable LDT has none. */
static enum emu_status table_read(struct emu *e, u16 selector, unsigned at, enum vector vector,
                                  gva_t *where, u64 *value)
{
    const struct x86_state *s = e->state;
    const struct segment *ldt = &s->seg[SEG_LDTR];
    struct table_reg table;
    bool local = selector & 4;

    emu_need(e, local ? STATE_SEG(SEG_LDTR) : STATE_GDTR);
    table = local ? (struct table_reg){ldt->base, ldt->limit} : s->gdtr;
    *where = table_address(s, table.base + (selector & 0xfff8u) + at);
    if ((local && (ldt->access & SEG_UNUSABLE)) || (selector | 7u) + at > table.limit ||
        !emu_span_canonical(e, where->v, 8))
        return emu_raise_selector(e, vector, selector);
    return emu_read_linear(e, *where, value, 8, EMU_IMPLICIT);
}

enum emu_status emu_desc_fetch(struct emu *e, u16 selector, enum vector vector,
                               struct descriptor *d)
{
    d->selector = selector;
    d->high = 0;
    TRY(table_read(e, selector, 0, vector, &d->at, &d->low));
    d->access = (u32)(d->low >> 40) & 0xf0ff;
    return EMU_DONE;
}

enum emu_status emu_desc_widen(struct emu *e, enum vector vector, struct descriptor *d)
{
    gva_t at;

    if (!emu_long_mode(e->state))
        return EMU_DONE;
    TRY(table_read(e, d->selector, 8, vector, &at, &d->high));
    /* no type where there must be none */
    return bits_get(d->high, 44, 40) == 0 ? EMU_DONE : emu_raise_selector(e, vector, d->selector);
}

enum emu_status emu_fetch_system(struct emu *e, u16 selector, u16 types, enum vector vector,
                                 enum vector absent, struct descriptor *d)
{
    if (selector_is_null(selector) || (selector & 4))
        return emu_raise_selector(e, vector, selector);
    TRY(emu_desc_fetch(e, selector, vector, d));
    if (!(types & BIT(system_type(d->access))))
        return emu_raise_selector(e, vector, selector);
    if (!(d->access & SEG_P))
        return emu_raise_selector(e, absent, selector);
    TRY(emu_desc_widen(e, vector, d));
    if (!emu_canonical(e, emu_desc_segment(d).base))
        return emu_raise_selector(e, vector, selector);
    return EMU_DONE;
}

/* Type, DPL and RPL rules: SDM vol. 3A, 5.5 to 5.8; vol. 2, CALL, INT, IRET, JMP, MOV, RET. */
static bool is_allowed(const struct emu *e, const struct descriptor *d, enum segment_use use,
                       unsigned level)
{
    unsigned rpl = d->selector & 3, dpl = access_dpl(d->access);
    bool conforming = is_conforming(d->access), code64 = d->access & SEG_L;

    if (use >= USE_BRANCH) {
        bool both = emu_long_mode(e->state) && code64 && (d->access & SEG_DB);
        bool gate = use >= USE_JMP_GATE;
        if (!is_code(d->access) || both || (gate && emu_long_mode(e->state) && !code64))
            return false;
    }
    switch (use) {
    case USE_DATA:
        if (!(d->access & SEG_S) || (is_code(d->access) && !(d->access & TYPE_WRITABLE)))
            return false;
        return conforming || (rpl <= dpl && level <= dpl);
    case USE_STACK:
    case USE_STACK64: return is_writable(d->access) && rpl == level && dpl == level;
    case USE_BRANCH: return conforming ? dpl <= level : rpl <= level && dpl == level;
    case USE_RETURN: return rpl >= level && (conforming ? dpl <= rpl : dpl == rpl);
    case USE_JMP_GATE: return conforming ? dpl <= level : dpl == level;
    case USE_GATE: break;
    }
    return dpl <= level;
}

enum emu_status emu_fetch_segment(struct emu *e, u16 selector, enum segment_use use, unsigned level,
                                  enum vector vector, struct descriptor *d)
{
    bool stack = use == USE_STACK || use == USE_STACK64;

    if (selector_is_null(selector))
        return emu_raise_selector(e, vector, 0);
    TRY(emu_desc_fetch(e, selector, vector, d));
    if (!is_allowed(e, d, use, level))
        return emu_raise_selector(e, vector, selector);
    if (!(d->access & SEG_P))
        return emu_raise_selector(e, stack ? VECTOR_SS : VECTOR_NP, selector);
    return EMU_DONE;
}

static struct segment null_segment(u16 selector, unsigned level)
{
    return (struct segment){.access = SEG_UNUSABLE | level << SEG_DPL_SHIFT, .selector = selector};
}

enum emu_status emu_take_segment(struct emu *e, u16 selector, enum segment_use use, unsigned level,
                                 enum vector vector, struct segment *g)
{
    struct descriptor d;

    if (selector_is_null(selector) &&
        (use == USE_DATA || (use == USE_STACK64 && level < 3 && selector == level))) {
        *g = null_segment(selector, level);
        return EMU_DONE;
    }
    TRY(emu_fetch_segment(e, selector, use, level, vector, &d));
    TRY(emu_desc_mark(e, &d, TYPE_ACCESSED, true));
    *g = emu_desc_segment(&d);
    return EMU_DONE;
}

/* Atomically where the table is RAM: other CPUs use it, too. */
enum emu_status emu_desc_mark(struct emu *e, struct descriptor *d, u8 bit, bool on)
{
    struct emu_span span;

    if (!(d->access & bit) == !on)
        return EMU_DONE;
    d->access ^= bit;
    TRY(emu_map(e, GVA(d->at.v + 5), 1, EMU_WRITE | EMU_IMPLICIT, &span));
    if (span.host[0] == NULL)
        emu_span_store(e, &span, emu_span_load(e, &span) ^ bit);
    else if (on)
        (void)__atomic_fetch_or(span.host[0], bit, __ATOMIC_SEQ_CST);
    else
        (void)__atomic_fetch_and(span.host[0], (u8)~bit, __ATOMIC_SEQ_CST);
    return EMU_DONE;
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

enum emu_status emu_set_segment(struct emu *e, enum seg seg, struct segment g)
{
    e->state->seg[seg] = g;
    e->state->valid |= STATE_SEG(seg);
    e->state->dirty |= STATE_SEG(seg);
    return EMU_DONE;
}

enum emu_status emu_set_code(struct emu *e, const struct segment *cs, unsigned cpl, u64 rip)
{
    struct segment g = *cs;

    if (emu_in_protected(e->state))
        g.selector = (u16)((cs->selector & 0xfffcu) | cpl);
    emu_set_segment(e, SEG_CS, g);
    e->state->rip = emu_in_64bit(e->state) ? rip : (u32)rip;
    e->state->dirty |= STATE_RIP;
    return EMU_DONE;
}

bool emu_code_holds(const struct emu *e, const struct segment *cs, u64 rip)
{
    if (emu_long_mode(e->state) && (cs->access & SEG_L))
        return emu_canonical(e, rip);
    return (u32)rip <= cs->limit;
}

struct segment emu_segment_8086(struct emu *e, enum seg seg, u16 selector)
{
    if (e->state->cr0 & CR0_PE)
        return emu_segment_vm86(selector);
    struct segment g = *emu_seg(e, seg);
    if (g.access & SEG_UNUSABLE) {
        g.access = REAL_ACCESS;
        g.limit = 0xffff;
    }
    g.selector = selector;
    g.base = (u32)selector << 4;
    return g;
}

/* ---- loading a segment register ----------------------------------------------------------- */

/* ES, SS, DS, FS or GS by the rules of the mode for MOV, POP and LDS. */
static enum emu_status load_segment(struct emu *e, enum seg seg, u16 selector)
{
    const struct x86_state *s = e->state;
    struct segment g;

    if (emu_in_protected(s)) {
        enum segment_use stack = emu_in_64bit(s) ? USE_STACK64 : USE_STACK;
        enum segment_use use = seg == SEG_SS ? stack : USE_DATA;
        TRY(emu_take_segment(e, selector, use, emu_cpl(e), VECTOR_GP, &g));
    } else {
        g = emu_segment_8086(e, seg, selector);
    }
    return emu_set_segment(e, seg, g);
}

static enum emu_status load_with_shadow(struct emu *e, enum seg seg, u64 selector)
{
    TRY(load_segment(e, seg, (u16)selector));
    if (seg == SEG_SS)
        e->step.shadow = BLOCKED_BY_MOV_SS;
    return EMU_DONE;
}

/* MOV Sreg, r/m16. */
enum emu_status op_mov_to_sreg(struct emu *e, const struct insn *i)
{
    u64 selector;

    TRY(emu_read_rm(e, i, 2, &selector));
    return load_with_shadow(e, (enum seg)(i->reg & 7), selector);
}

/* POP Sreg.  The stack pointer moves by the width it had before SS changed. */
enum emu_status op_pop_sreg(struct emu *e, const struct insn *i)
{
    unsigned width = emu_stack_width(e);
    u64 selector;

    TRY(emu_peek(e, e->state->gpr[RSP], 2, &selector)); /* as CPUs have it */
    TRY(load_with_shadow(e, (enum seg)i->op->sub, selector));
    return emu_set_gpr(e, RSP, width, e->state->gpr[RSP] + i->opsize);
}

/* LDS, LES, LSS, LFS, LGS: offset, then selector. */
enum emu_status op_load_far_pointer(struct emu *e, const struct insn *i)
{
    u64 offset;
    u16 selector;

    TRY(emu_read_far(e, i, &offset, &selector));
    TRY(load_segment(e, (enum seg)i->op->sub, selector));
    return emu_set_gpr(e, i->reg, i->opsize, offset);
}

/* ---- stacks ------------------------------------------------------------------------------- */

void emu_stack_current(const struct emu *e, unsigned size, struct emu_stack *k)
{
    unsigned width = emu_stack_width(e);

    *k = (struct emu_stack){.sp = e->state->gpr[RSP] & mask_bytes(width),
                            .size = (u8)size,
                            .width = (u8)width,
                            .ss = *emu_seg(e, SEG_SS)};
}

static enum emu_status stack_map(struct emu *e, const struct emu_stack *k, enum emu_access access,
                                 struct emu_span *span)
{
    static const struct segment flat = {0};
    const struct segment *ss = k->width == 8 ? &flat : &k->ss;
    gva_t gva;

    if (!k->foreign && !emu_long_mode(e->state))
        return emu_map_seg(e, SEG_SS, k->sp, k->size, access, span);
    if (!emu_segment_linear(e, ss, k->width == 8, k->sp, k->size, access, &gva))
        return emu_raise_selector(e, VECTOR_SS, k->error);
    return (k->foreign ? emu_map_as : emu_map)(e, gva, k->size, access, span);
}

void emu_stack_skip(struct emu_stack *k, u64 bytes)
{
    k->sp = (k->sp + bytes) & mask_bytes(k->width);
}

u64 emu_stack_item(struct emu *e, struct emu_stack *k, u64 n, unsigned bytes)
{
    struct emu_stack item = *k;
    struct emu_span span;

    emu_stack_skip(&item, n * k->size);
    item.size = (u8)bytes;
    if (k->status == EMU_DONE)
        k->status = stack_map(e, &item, EMU_READ, &span);
    return k->status == EMU_DONE ? emu_span_load(e, &span) : 0;
}

void emu_stack_push(struct emu *e, struct emu_stack *k, u64 value)
{
    struct emu_span span;

    emu_stack_skip(k, -(u64)k->size);
    if (k->status == EMU_DONE)
        k->status = stack_map(e, k, EMU_WRITE, &span);
    if (k->status == EMU_DONE)
        emu_span_store(e, &span, value);
}

void emu_stack_push_selector(struct emu *e, struct emu_stack *k, enum seg seg)
{
    emu_stack_push(e, k, emu_seg(e, seg)->selector);
}

enum emu_status emu_stack_commit(struct emu *e, const struct emu_stack *k)
{
    TRY(k->status);
    return emu_set_gpr(e, RSP, k->width, k->sp);
}

enum emu_status emu_read_tss(struct emu *e, u32 at, void *buf, unsigned size, enum vector vector)
{
    const struct segment *tr = emu_seg(e, SEG_TR);
    gva_t gva = table_address(e->state, tr->base + at);

    if (at + size - 1 > tr->limit || !emu_span_canonical(e, gva.v, size))
        return emu_raise_selector(e, vector, vector == VECTOR_TS ? tr->selector : 0);
    return emu_read_linear(e, gva, buf, size, EMU_IMPLICIT);
}

enum emu_status emu_read_io_map(struct emu *e, u32 at, void *buf, unsigned size)
{
    u16 map;

    if (!(emu_seg(e, SEG_TR)->access & 8)) /* a 16-bit TSS */
        return emu_gp(e, 0);
    TRY(emu_read_tss(e, TSS_IO_MAP, &map, sizeof(map), VECTOR_GP));
    return emu_read_tss(e, map + at, buf, size, VECTOR_GP);
}

/* SS and the stack pointer for level dpl out of a 16- or 32-bit TSS. */
static enum emu_status stack_of_legacy_tss(struct emu *e, unsigned dpl, struct emu_stack *k)
{
    unsigned size = emu_seg(e, SEG_TR)->access & 8 ? 4 : 2;
    u64 field = 0; /* the pointer, then SS */

    TRY(emu_read_tss(e, size + dpl * size * 2, &field, size + 2, VECTOR_TS));
    k->sp = emu_low(field, size);
    k->error = (u16)(field >> 8 * size);
    TRY(emu_take_segment(e, k->error, USE_STACK, dpl, VECTOR_TS, &k->ss));
    k->width = k->ss.access & SEG_DB ? 4 : 2;
    k->sp &= mask_bytes(k->width);
    return EMU_DONE;
}

void emu_stack_of_tss(struct emu *e, unsigned dpl, unsigned ist, struct emu_stack *k)
{
    k->foreign = true;
    if (!emu_long_mode(e->state)) {
        k->status = stack_of_legacy_tss(e, dpl, k);
        return;
    }
    k->ss = null_segment((u16)dpl, dpl);
    k->width = 8;
    k->status = emu_read_tss(e, ist != 0 ? 28 + ist * 8 : 4 + dpl * 8, &k->sp, 8, VECTOR_TS);
}
