/* SPDX-License-Identifier: MIT
 *
 * Hardware task switches: the old task's state goes to its TSS, the new one's comes out of its own,
 * and then its segments are loaded and judged (SDM vol. 3A, 7.2 to 7.4).
 */
#include "emulator/system.h"

/* The two layouts, SDM vol. 3A, figures 7-10 and 7-2: offsets in bytes. */
struct tss_layout {
    u8 size;                                /* of a register's field */
    u8 bytes;                               /* of the whole, without bitmaps */
    u8 cr3, ip, flags, gpr, seg, ldt, trap; /* 0: not there */
    u8 segments, step; /* ES, CS, SS, DS (, FS, GS) from seg on, every `step` bytes */
};
static const struct tss_layout layout16 = {2, 44, 0, 14, 16, 18, 34, 42, 0, 4, 2};
static const struct tss_layout layout32 = {4, 104, 28, 32, 36, 40, 72, 96, 100, 6, 4};

#define TSS_MAX 104

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
    bool back = source == EMU_TASK_IRET;
    u16 types = back ? BIT(TYPE_TSS16_BUSY) | BIT(TYPE_TSS_BUSY) : BIT(TYPE_TSS16) | BIT(TYPE_TSS);

    TRY(emu_fetch_system(e, selector, types, back ? VECTOR_TS : VECTOR_GP, VECTOR_NP, d));
    if (emu_desc_segment(d).limit < layout_of(d->access)->bytes - 1u)
        return emu_raise_selector(e, VECTOR_TS, selector);
    return EMU_DONE;
}

/* The old TSS's descriptor for its busy bit, and its part that is written. */
static enum emu_status old_tss(struct emu *e, struct descriptor *d, struct emu_span *span)
{
    const struct segment *tr = emu_seg(e, SEG_TR);
    const struct tss_layout *l = layout_of(tr->access);
    unsigned end = l->seg + (unsigned)l->segments * l->step;

    if (tr->limit < end - 1)
        return emu_raise_selector(e, VECTOR_TS, tr->selector);
    TRY(emu_desc_fetch(e, tr->selector, VECTOR_TS, d));
    return emu_map(e, GVA((u32)(tr->base + l->ip)), end - l->ip, EMU_WRITE | EMU_IMPLICIT, span);
}

/* Busy bits in both descriptors: a CALL leaves the old task busy, an IRET finds the new one so.  Of
 * two faults the first is the one to tell of. */
static enum emu_status change_busy(struct emu *e, enum emu_task_source source,
                                   struct descriptor *from, struct descriptor *to)
{
    enum emu_status st = EMU_DONE;

    if (source != EMU_TASK_IRET)
        TRY(emu_desc_mark(e, to, TYPE_BUSY, true));
    if (source == EMU_TASK_IRET || source == EMU_TASK_JMP) {
        st = emu_desc_mark(e, from, TYPE_BUSY, false);
        if (st != EMU_DONE && source == EMU_TASK_JMP)
            (void)emu_desc_mark(e, to, TYPE_BUSY, false);
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

/* CS first: its RPL is the task's level.  Until a segment is judged, its register is unusable. */
static enum emu_status load_task_segments(struct emu *e, const struct tss_layout *l,
                                          const u8 *image)
{
    static const enum seg order[] = {SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    unsigned cpl = image[l->seg + SEG_CS * l->step] & 3;
    bool vm86 = e->state->rflags & RFLAGS_VM;
    struct segment g;
    u16 selector[SEG_GS + 1] = {0};

    for (unsigned k = 0; k <= SEG_GS; k++) {
        if (k < l->segments)
            selector[k] = (u16)field(image, l->seg + k * l->step, 2);
        g = (struct segment){.access = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT,
                             .selector = selector[k]};
        if (vm86)
            g = emu_segment_vm86(selector[k]);
        emu_set_segment(e, (enum seg)k, g);
    }
    g = (struct segment){.access = SEG_UNUSABLE, .selector = (u16)field(image, l->ldt, 2)};
    emu_set_segment(e, SEG_LDTR, g);
    TRY(emu_load_ldt(e, g.selector, VECTOR_TS, VECTOR_TS));
    for (unsigned k = 0; !vm86 && k < ARRAY_SIZE(order); k++) {
        enum seg seg = order[k];
        bool code = seg == SEG_CS;
        enum segment_use use = code ? USE_RETURN : seg == SEG_SS ? USE_STACK : USE_DATA;
        TRY(emu_take_segment(e, selector[seg], use, code ? 0 : cpl, VECTOR_TS, &g));
        emu_set_segment(e, seg, g);
    }
    return EMU_DONE;
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
    struct emu_stack k;

    TRY(load_task_segments(e, l, image));
    if (cause != NULL && cause->has_error) {
        emu_stack_current(e, l->size, &k);
        emu_stack_push(e, &k, cause->error);
        TRY(emu_stack_commit(e, &k));
    }
    if (!emu_code_holds(e, &s->seg[SEG_CS], s->rip))
        return emu_gp(e, 0);
    if (l->trap != 0 && (image[l->trap] & 1))
        (void)emu_db(e, DR6_BT);
    return EMU_DONE;
}

/* What the old task's EFLAGS image says when it is left by this. */
static u64 saved_flags(const struct x86_state *s, enum emu_task_source source,
                       const struct emu_event *cause)
{
    if (cause != NULL)
        return emu_event_flags(s, cause);
    return s->rflags & ~(u64)(RFLAGS_RF | (source == EMU_TASK_IRET ? RFLAGS_NT : 0));
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
    TRY(new_tss(e, selector, source, &to));
    struct segment tr = emu_desc_segment(&to);
    const struct tss_layout *l = layout_of(to.access);
    TRY(emu_map(e, GVA((u32)tr.base), l->bytes, EMU_IMPLICIT, &load));
    TRY(old_tss(e, &from, &save));
    if (nested)
        TRY(emu_map(e, GVA((u32)tr.base), 2, EMU_WRITE | EMU_IMPLICIT, &link));
    TRY(change_busy(e, source, &from, &to));

    *entered = true;
    save_task(e, &save, return_rip, saved_flags(s, source, cause));
    if (nested)
        emu_span_store(e, &link, s->seg[SEG_TR].selector);
    emu_span_read(e, &load, image);
    tr.access |= TYPE_BUSY;
    emu_set_segment(e, SEG_TR, tr);
    load_task_registers(e, l, image, nested);
    e->step.no_trap = true;
    e->step.keep_rf = true;
    TRY(e->ops->write_cr(e->ctx, 0, s->cr0 | CR0_TS));
    if (l->cr3 != 0 && (s->cr0 & CR0_PG))
        TRY(e->ops->write_cr(e->ctx, 3, field(image, l->cr3, 4)));
    enum emu_status st;
    do
        st = begin_task(e, l, image, cause);
    while (st == EMU_RETRY); /* there is no way back */
    return st;
}

enum emu_status emu_task_switch(struct emu *e, u16 selector, enum emu_task_source source,
                                const struct emu_event *cause, unsigned length)
{
    const struct emu_event copy = cause != NULL ? *cause : (struct emu_event){0};
    const struct emu_event *why = cause != NULL ? &copy : NULL; /* cause may be e->event */
    bool entered = false;
    enum emu_status st;

    e->event.vector = VECTOR_NONE;
    do
        st = emu_enter_task(e, selector, source, why, e->state->rip + length, &entered);
    while (st == EMU_RETRY);
    if (st != EMU_FAULT || (!entered && why == NULL))
        return st;
    return emu_deliver_after(e, why, &e->event);
}
