/* SPDX-License-Identifier: MIT
 *
 * Hardware task switches: the old task's state goes to its TSS, the new one's comes out of its own,
 * and then its segments are loaded and judged (SDM vol. 3A, 7.2 to 7.4).
 */
#include "emulator/system.h"

/* The two layouts, SDM vol. 3A, figures 7-2 and 7-10: offsets in bytes. */
struct tss_layout {
    u8 size;                                /* of a register's field */
    u8 bytes;                               /* of the whole, without bitmaps */
    u8 cr3, ip, flags, gpr, seg, ldt, trap; /* 0: not there */
    u8 segments, step; /* ES, CS, SS, DS (, FS, GS) from seg on, every `step` bytes */
};
static const struct tss_layout layout16 = {.size = 2,
                                           .bytes = 44,
                                           .ip = 14,
                                           .flags = 16,
                                           .gpr = 18,
                                           .seg = 34,
                                           .ldt = 42,
                                           .segments = 4,
                                           .step = 2};
static const struct tss_layout layout32 = {.size = 4,
                                           .bytes = 104,
                                           .cr3 = 28,
                                           .ip = 32,
                                           .flags = 36,
                                           .gpr = 40,
                                           .seg = 72,
                                           .ldt = 96,
                                           .trap = 100,
                                           .segments = 6,
                                           .step = 4};

#define TSS_MAX 104
#define DR6_BT  BIT64(15) /* SDM vol. 3B, 17.2.3 */

static const struct tss_layout *layout_of(u32 access) { return access & 8 ? &layout32 : &layout16; }

static u32 field(const u8 *image, unsigned at, unsigned size)
{
    return (u32)host_load(image + at, size);
}

/* ---- before the switch: everything that can go wrong in the old task ------------------------ */

/* The new TSS's descriptor, SDM vol. 3A, table 7-1, rows 1 to 5. */
static enum emu_status new_tss(struct emu *e, u16 selector, enum emu_task_source source,
                               struct descriptor *d)
{
    enum vector vector = source == EMU_TASK_IRET ? VECTOR_TS : VECTOR_GP;
    unsigned want = source == EMU_TASK_IRET ? TYPE_TSS16_BUSY : TYPE_TSS16;

    if (selector_is_null(selector) || (selector & 4))
        return emu_raise_selector(e, vector, selector);
    enum emu_status st = emu_desc_fetch(e, selector, vector, d);
    if (st != EMU_DONE)
        return st;
    if ((desc_system_type(d) & ~8u) != want)
        return emu_raise_selector(e, vector, selector);
    if (!(d->access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, selector);
    if (emu_desc_segment(d).limit < layout_of(d->access)->bytes - 1u)
        return emu_raise_selector(e, VECTOR_TS, selector);
    return EMU_DONE;
}

/* The old TSS's descriptor for its busy bit, and its part that is written. */
static enum emu_status old_tss(struct emu *e, struct descriptor *d, struct emu_span *span)
{
    const struct segment *tr = &e->state->seg[SEG_TR];

    emu_need(e, STATE_SEG(SEG_TR));
    const struct tss_layout *l = layout_of(tr->access);
    unsigned end = l->seg + (unsigned)l->segments * l->step;

    if (tr->limit < end - 1)
        return emu_raise_selector(e, VECTOR_TS, tr->selector);
    enum emu_status st = emu_desc_fetch(e, tr->selector, VECTOR_TS, d);
    if (st != EMU_DONE)
        return st;
    return emu_map(e, GVA((u32)(tr->base + l->ip)), end - l->ip, EMU_WRITE | EMU_IMPLICIT, span);
}

/* Busy bits in both descriptors: a CALL leaves the old task busy, an IRET finds the new one so. */
static enum emu_status change_busy(struct emu *e, enum emu_task_source source,
                                   struct descriptor *from, struct descriptor *to)
{
    enum emu_status st = EMU_DONE;

    if (source != EMU_TASK_IRET)
        st = emu_desc_busy(e, to, true);
    if (st == EMU_DONE && (source == EMU_TASK_IRET || source == EMU_TASK_JMP)) {
        st = emu_desc_busy(e, from, false);
        if (st != EMU_DONE && source == EMU_TASK_JMP)
            (void)emu_desc_busy(e, to, false); /* the fault it met is the one to tell of */
    }
    return st;
}

/* Write the registers into the old TSS, leaving what is reserved between them. */
static void save_task(struct emu *e, const struct emu_span *span, u64 rip, u64 flags)
{
    const struct x86_state *s = e->state;
    const struct tss_layout *l = layout_of(s->seg[SEG_TR].access);
    u8 image[TSS_MAX];

    emu_span_read(e, span, image + l->ip);
    host_store(image + l->ip, l->size, rip);
    host_store(image + l->flags, l->size, flags);
    for (unsigned k = 0; k < 8; k++)
        host_store(image + l->gpr + k * l->size, l->size, s->gpr[k]);
    for (unsigned k = 0; k < l->segments; k++)
        host_store(image + l->seg + k * l->step, 2, s->seg[k].selector);
    emu_span_write(e, span, image + l->ip);
}

/* ---- after it: everything that goes wrong in the new task ------------------------------------ */

static enum emu_status load_ldt(struct emu *e, u16 selector)
{
    struct segment g = {.access = SEG_UNUSABLE, .selector = selector};
    struct descriptor d;

    emu_set_segment(e, SEG_LDTR, &g);
    if (selector_is_null(selector))
        return EMU_DONE;
    if (selector & 4)
        return emu_raise_selector(e, VECTOR_TS, selector);
    enum emu_status st = emu_desc_fetch(e, selector, VECTOR_TS, &d);
    if (st != EMU_DONE)
        return st;
    if (desc_system_type(&d) != TYPE_LDT || !(d.access & SEG_P))
        return emu_raise_selector(e, VECTOR_TS, selector);
    g = emu_desc_segment(&d);
    emu_set_segment(e, SEG_LDTR, &g);
    return EMU_DONE;
}

/* May the new task have this descriptor in this register, at the level its CS selector says? */
static bool task_segment_allowed(enum seg seg, const struct descriptor *d, unsigned cpl)
{
    unsigned rpl = d->selector & 3, dpl = desc_dpl(d);

    if (seg == SEG_CS)
        return desc_is_code(d) && (desc_is_conforming(d) ? dpl <= rpl : dpl == rpl);
    if (seg == SEG_SS)
        return desc_is_writable(d) && rpl == cpl && dpl == cpl;
    if (!(d->access & SEG_S) || (desc_is_code(d) && !(d->access & TYPE_WRITABLE)))
        return false;
    return desc_is_conforming(d) || (rpl <= dpl && cpl <= dpl);
}

static enum emu_status load_task_segment(struct emu *e, enum seg seg, u16 selector, unsigned cpl)
{
    struct descriptor d;

    if (selector_is_null(selector))
        return seg == SEG_CS || seg == SEG_SS ? emu_raise_selector(e, VECTOR_TS, 0) : EMU_DONE;
    enum emu_status st = emu_desc_fetch(e, selector, VECTOR_TS, &d);
    if (st != EMU_DONE)
        return st;
    if (!task_segment_allowed(seg, &d, cpl))
        return emu_raise_selector(e, VECTOR_TS, selector);
    if (!(d.access & SEG_P))
        return emu_raise_selector(e, seg == SEG_SS ? VECTOR_SS : VECTOR_NP, selector);
    st = emu_desc_accessed(e, &d);
    if (st != EMU_DONE)
        return st;
    struct segment g = emu_desc_segment(&d);
    emu_set_segment(e, seg, &g);
    return EMU_DONE;
}

/* CS first: its level is the task's.  Until a segment is judged, its register is unusable. */
static enum emu_status load_task_segments(struct emu *e, const struct tss_layout *l,
                                          const u8 *image)
{
    static const enum seg order[] = {SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    unsigned cpl = image[l->seg + SEG_CS * l->step] & 3;
    bool vm86 = e->state->rflags & RFLAGS_VM;
    u16 selector[SEG_GS + 1] = {0};
    enum emu_status st = EMU_DONE;

    for (unsigned k = 0; k <= SEG_GS; k++) {
        if (k < l->segments)
            selector[k] = (u16)field(image, l->seg + k * l->step, 2);
        struct segment g = {.access = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT, .selector = selector[k]};
        if (vm86)
            g = emu_segment_vm86(selector[k]);
        emu_set_segment(e, (enum seg)k, &g);
    }
    st = load_ldt(e, (u16)field(image, l->ldt, 2));
    for (unsigned k = 0; !vm86 && k < ARRAY_SIZE(order) && st == EMU_DONE; k++)
        st = load_task_segment(e, order[k], selector[order[k]], cpl);
    return st;
}

/* Registers that are taken as they are. */
static void load_task_registers(struct emu *e, const struct tss_layout *l, const u8 *image,
                                bool nested)
{
    struct x86_state *s = e->state;
    static const u32 known = 0x3f7fd5; /* SDM vol. 1, figure 3-8 */
    /* A 16-bit TSS has no upper halves; CPUs load them with ones. */
    u32 upper = l->size == 2 ? 0xffff0000 : 0;

    emu_set_rflags(e, (field(image, l->flags, l->size) & known) | (nested ? RFLAGS_NT : 0));
    s->rip = field(image, l->ip, l->size);
    for (unsigned k = 0; k < 8; k++)
        s->gpr[k] = upper | field(image, l->gpr + k * l->size, l->size);
    emu_need(e, STATE_DR7);
    s->dr7 &= ~0x155ull; /* L0 to L3 and LE are the task's own, SDM vol. 3B, 17.2.4 */
    s->dirty |= STATE_RIP | STATE_RSP | STATE_DR7;
}

/* The rest, all of it in the new task: LDT, segments, limit of EIP, error code, T bit. */
static enum emu_status begin_task(struct emu *e, const struct tss_layout *l, const u8 *image,
                                  const struct emu_event *cause)
{
    struct x86_state *s = e->state;
    struct emu_frame f;

    enum emu_status st = load_task_segments(e, l, image);
    if (st != EMU_DONE)
        return st;
    if (cause != NULL && cause->has_error) {
        emu_stack_current(e, &f.stack);
        f.count = 0;
        st = emu_frame_push(e, &f, l->size, cause->error);
        if (st != EMU_DONE)
            return st;
        emu_frame_store(e, &f);
        emu_set_sp(e, f.stack.width, f.stack.sp);
    }
    if (!emu_code_holds(e, &s->seg[SEG_CS], s->rip))
        return emu_gp(e, 0);
    if (l->trap != 0 && (image[l->trap] & 1))
        e->event = (struct emu_event){
            .vector = VECTOR_DB, .type = EMU_EVENT_HARD_EXCEPTION, .payload = DR6_BT};
    return EMU_DONE;
}

/* What the old task's EFLAGS image says when it is left by this. */
static u64 saved_flags(const struct x86_state *s, enum emu_task_source source,
                       const struct emu_event *cause)
{
    u64 flags = s->rflags & ~(u64)RFLAGS_RF;

    if (source == EMU_TASK_IRET)
        flags &= ~(u64)RFLAGS_NT;
    if (cause != NULL && cause->type == EMU_EVENT_HARD_EXCEPTION && cause->vector != VECTOR_DB &&
        cause->vector != VECTOR_MC)
        flags |= RFLAGS_RF;
    return flags;
}

enum emu_status emu_enter_task(struct emu *e, u16 selector, enum emu_task_source source,
                               const struct emu_event *cause, u64 return_rip, bool *entered)
{
    struct x86_state *s = e->state;
    bool nested = source == EMU_TASK_CALL || source == EMU_TASK_GATE;
    struct descriptor from, to;
    struct emu_span save, load, link;
    u8 image[TSS_MAX];

    emu_need(e, STATE_ALL & ~(u32)(STATE_PDPTE | STATE_SYSENTER));
    enum emu_status st = new_tss(e, selector, source, &to);
    if (st != EMU_DONE)
        return st;
    struct segment tr = emu_desc_segment(&to);
    const struct tss_layout *l = layout_of(to.access);
    st = emu_map(e, GVA((u32)tr.base), l->bytes, EMU_IMPLICIT, &load);
    if (st == EMU_DONE)
        st = old_tss(e, &from, &save);
    if (st == EMU_DONE && nested)
        st = emu_map(e, GVA((u32)tr.base), 2, EMU_WRITE | EMU_IMPLICIT, &link);
    if (st == EMU_DONE)
        st = change_busy(e, source, &from, &to);
    if (st != EMU_DONE)
        return st;

    *entered = true;
    save_task(e, &save, return_rip, saved_flags(s, source, cause));
    if (nested)
        emu_span_store(e, &link, s->seg[SEG_TR].selector);
    emu_span_read(e, &load, image);
    tr.access |= TYPE_BUSY;
    emu_set_segment(e, SEG_TR, &tr);
    load_task_registers(e, l, image, nested);
    e->step.no_trap = true;
    e->step.keep_rf = true;
    st = e->ops->write_cr(e->ctx, 0, s->cr0 | CR0_TS);
    if (st == EMU_DONE && l->cr3 != 0 && (s->cr0 & CR0_PG))
        st = e->ops->write_cr(e->ctx, 3, field(image, l->cr3, 4));
    return st != EMU_DONE ? st : begin_task(e, l, image, cause);
}

enum emu_status emu_task_switch(struct emu *e, u16 selector, enum emu_task_source source,
                                const struct emu_event *cause, unsigned length)
{
    struct emu_event why = {.vector = VECTOR_NONE};
    bool entered = false;

    if (cause != NULL)
        why = *cause;
    e->event.vector = VECTOR_NONE;
    enum emu_status st = emu_enter_task(e, selector, source, cause != NULL ? &why : NULL,
                                        e->state->rip + length, &entered);
    if (st != EMU_FAULT || (!entered && cause == NULL))
        return st;
    struct emu_event fault = e->event;
    return emu_deliver_after(e, cause != NULL ? &why : NULL, &fault);
}
