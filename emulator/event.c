/* SPDX-License-Identifier: MIT
 *
 * Interrupts and exceptions: delivery through the real-mode vector table and 16-, 32- and 64-bit
 * gates with the rules for faults within faults, the instructions that interrupt, and IRET
 * (SDM vol. 3A, chapter 6; vol. 2, INT and IRET).
 */
#include "emulator/system.h"

/* Error codes of faults that delivery itself meets, SDM vol. 3A, 6.13. */
#define ERROR_EXT BIT(0)
#define ERROR_IDT BIT(1)

/* Serial benign faults after which delivery is given up: a CPU would go on for ever. */
#define MAX_SERIAL_FAULTS 8

/* A gate of the IDT. */
struct gate {
    u64 offset;
    u32 access;
    u16 selector;
    u8 type; /* enum system_type */
    u8 size; /* of the items pushed: 2, 4 or 8 */
    u8 ist;
};

static bool event_is_software(const struct emu_event *event)
{
    return event->type == EMU_EVENT_SOFT_INT || event->type == EMU_EVENT_SOFT_EXCEPTION ||
           event->type == EMU_EVENT_PRIV_SOFT_EXCEPTION;
}

/* INT n, INT3 and INTO are the program's own: they obey the gate's DPL and report no EXT. */
static bool event_is_program(const struct emu_event *event)
{
    return event->type == EMU_EVENT_SOFT_INT || event->type == EMU_EVENT_SOFT_EXCEPTION;
}

/* The RFLAGS image to be pushed: RF is 1 for faults, but #DB, and 0 for software events (SDM
 * vol. 3B, 17.3.1.1). */
static u64 event_flags(const struct x86_state *s, const struct emu_event *event)
{
    if (event_is_software(event))
        return s->rflags & ~(u64)RFLAGS_RF;
    bool fault = event->type == EMU_EVENT_HARD_EXCEPTION && event->vector != VECTOR_DB &&
                 event->vector != VECTOR_MC;
    return s->rflags | (fault ? RFLAGS_RF : 0);
}

/* ---- real mode -------------------------------------------------------------------------- */

/* Push FLAGS, CS, IP and go through a vector table entry; clear: flags the handler starts without.
 * Also the way of virtual-8086 mode's redirected INT n. */
static enum emu_status deliver_8086(struct emu *e, gva_t entry, u64 rip, u64 flags, u64 clear)
{
    struct x86_state *s = e->state;
    struct emu_frame f;
    u16 to[2]; /* IP, CS */

    enum emu_status st = emu_read_linear(e, entry, to, sizeof(to), EMU_IMPLICIT);
    if (st != EMU_DONE)
        return st;
    emu_need(e, STATE_SEG(SEG_CS));
    emu_stack_current(e, &f.stack);
    f.count = 0;
    st = emu_frame_push(e, &f, 2, flags);
    if (st == EMU_DONE)
        st = emu_frame_push(e, &f, 2, s->seg[SEG_CS].selector);
    if (st == EMU_DONE)
        st = emu_frame_push(e, &f, 2, rip);
    if (st != EMU_DONE)
        return st;
    struct segment cs = emu_real_code(e, to[1]);
    if (!emu_code_holds(e, &cs, to[0]))
        return emu_gp(e, 0);
    emu_frame_store(e, &f);
    emu_set_sp(e, f.stack.width, f.stack.sp);
    emu_set_rflags(e, s->rflags & ~clear);
    emu_set_code(e, &cs, 0, to[0]);
    return EMU_DONE;
}

static enum emu_status deliver_real(struct emu *e, const struct emu_event *event, u64 rip)
{
    const struct x86_state *s = e->state;
    unsigned at = event->vector * 4u;

    emu_need(e, STATE_IDTR);
    if (at + 3 > s->idtr.limit)
        return emu_gp(e, 0);
    return deliver_8086(e, GVA((u32)(s->idtr.base + at)), rip, event_flags(s, event),
                        RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
}

/* ---- protected mode --------------------------------------------------------------------- */

/* Read and check the gate, SDM vol. 3A, 6.11 and 6.14.1. */
static enum emu_status gate_fetch(struct emu *e, const struct emu_event *event, struct gate *g)
{
    static const u16 legacy =
        BIT(TYPE_TASK_GATE) | BIT(TYPE_INT16) | BIT(TYPE_TRAP16) | BIT(TYPE_INT) | BIT(TYPE_TRAP);
    const struct x86_state *s = e->state;
    bool long_mode = emu_long_mode(s);
    unsigned bytes = long_mode ? 16 : 8, at = event->vector * bytes;
    u32 error = event->vector * 8u | ERROR_IDT;
    u64 raw[2] = {0, 0};

    emu_need(e, STATE_IDTR);
    if (at + bytes - 1 > s->idtr.limit)
        return emu_gp(e, error);
    u64 linear = s->idtr.base + at;
    enum emu_status st =
        emu_read_linear(e, GVA(long_mode ? linear : (u32)linear), raw, bytes, EMU_IMPLICIT);
    if (st != EMU_DONE)
        return st;
    g->access = (u32)(raw[0] >> 40) & 0xff;
    g->type = (u8)(g->access & (SEG_S | SEG_TYPE));
    u16 allowed = long_mode ? BIT(TYPE_INT) | BIT(TYPE_TRAP) : legacy;
    if (g->type > 15 || !(allowed & BIT(g->type)))
        return emu_gp(e, error);
    if (event_is_program(event) && (g->access >> SEG_DPL_SHIFT & 3) < emu_cpl(e))
        return emu_gp(e, error);
    if (!(g->access & SEG_P))
        return emu_raise(e, VECTOR_NP, true, error);

    g->selector = (u16)bits_get(raw[0], 31, 16);
    g->size = long_mode ? 8 : g->type & 8 ? 4 : 2;
    g->ist = long_mode ? (u8)bits_get(raw[0], 34, 32) : 0;
    g->offset = bits_get(raw[0], 15, 0);
    if (g->size > 2)
        g->offset |= bits_get(raw[0], 63, 48) << 16 | raw[1] << 32;
    return EMU_DONE;
}

/* The handler's code segment and the level it will run at. */
static enum emu_status gate_code(struct emu *e, const struct gate *g, struct descriptor *d,
                                 unsigned *level)
{
    const struct x86_state *s = e->state;
    unsigned cpl = emu_cpl(e);

    *level = cpl;
    enum emu_status st = emu_fetch_code(e, g->selector, d);
    if (st != EMU_DONE)
        return st;
    unsigned dpl = desc_dpl(d);
    bool inner = !desc_is_conforming(d) && dpl < cpl;
    if (dpl > cpl || (emu_long_mode(s) && !(d->access & SEG_L)))
        return emu_raise_selector(e, VECTOR_GP, g->selector);
    if (!(d->access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, g->selector);
    if ((s->rflags & RFLAGS_VM) &&
        (!inner || dpl != 0)) /* from virtual-8086 mode to level 0 only */
        return emu_raise_selector(e, VECTOR_GP, g->selector);
    if (inner)
        *level = dpl;
    return emu_desc_accessed(e, d);
}

/* The stack the frame goes to: the TSS's for an inner level or an IST entry, else the current one.
 * In IA-32e mode it is 64 bits wide and aligned (SDM vol. 3A, 6.14.2). */
static enum emu_status gate_stack(struct emu *e, const struct gate *g, unsigned level,
                                  struct emu_stack *k)
{
    enum emu_status st = EMU_DONE;

    if (level != emu_cpl(e) || g->ist != 0)
        st = emu_stack_of_tss(e, level, g->ist, k);
    else
        emu_stack_current(e, k);
    if (emu_long_mode(e->state)) {
        if (!k->foreign)
            k->sp = e->state->gpr[RSP];
        k->sp &= ~15ull;
        k->width = 8;
        k->ss.base = 0;
    }
    return st;
}

static enum emu_status push_vm86_segments(struct emu *e, struct emu_frame *f, unsigned size)
{
    static const enum seg order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    enum emu_status st = EMU_DONE;

    for (unsigned k = 0; k < ARRAY_SIZE(order) && st == EMU_DONE; k++) {
        emu_need(e, STATE_SEG(order[k]));
        st = emu_frame_push(e, f, size, e->state->seg[order[k]].selector);
    }
    return st;
}

/* All that delivery pushes, SDM vol. 3A, figures 6-4, 6-8 and 20-6. */
static enum emu_status push_event(struct emu *e, const struct emu_event *event, u64 rip,
                                  unsigned size, bool with_stack, struct emu_frame *f)
{
    const struct x86_state *s = e->state;
    u64 items[6];
    unsigned n = 0;
    enum emu_status st = EMU_DONE;

    if (s->rflags & RFLAGS_VM)
        st = push_vm86_segments(e, f, size);
    if (with_stack) {
        emu_need(e, STATE_SEG(SEG_SS));
        items[n++] = s->seg[SEG_SS].selector;
        items[n++] = s->gpr[RSP];
    }
    emu_need(e, STATE_SEG(SEG_CS));
    items[n++] = event_flags(s, event);
    items[n++] = s->seg[SEG_CS].selector;
    items[n++] = rip;
    if (event->has_error)
        items[n++] = event->error;
    for (unsigned k = 0; k < n && st == EMU_DONE; k++)
        st = emu_frame_push(e, f, size, items[k]);
    return st;
}

static void null_data_segments(struct emu *e)
{
    static const enum seg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    static const struct segment none = {.access = SEG_UNUSABLE};

    for (unsigned k = 0; k < ARRAY_SIZE(data); k++)
        emu_set_segment(e, data[k], &none);
}

static enum emu_status deliver_gate(struct emu *e, const struct emu_event *event, u64 rip,
                                    const struct gate *g)
{
    struct x86_state *s = e->state;
    bool vm86 = s->rflags & RFLAGS_VM;
    struct emu_frame f;
    struct descriptor d;
    unsigned level;

    enum emu_status st = gate_code(e, g, &d, &level);
    if (st != EMU_DONE)
        return st;
    bool inner = level != emu_cpl(e);
    f.count = 0;
    st = gate_stack(e, g, level, &f.stack);
    if (st == EMU_DONE)
        st = push_event(e, event, rip, g->size, inner || g->size == 8, &f);
    if (st != EMU_DONE)
        return st;
    struct segment cs = emu_desc_segment(&d);
    if (!emu_code_holds(e, &cs, g->offset))
        return emu_gp(e, 0);
    emu_frame_store(e, &f);

    u64 clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_VM | RFLAGS_RF;
    if (g->type == TYPE_INT || g->type == TYPE_INT16)
        clear |= RFLAGS_IF;
    emu_set_rflags(e, s->rflags & ~clear);
    if (inner)
        emu_set_segment(e, SEG_SS, &f.stack.ss);
    emu_set_sp(e, f.stack.width, f.stack.sp);
    emu_set_code(e, &cs, level, g->offset);
    if (vm86)
        null_data_segments(e);
    return EMU_DONE;
}

/* One attempt to deliver, with the EXT bit in the error code of whatever goes wrong. */
static enum emu_status deliver_once(struct emu *e, const struct emu_event *event, u64 rip)
{
    struct emu_event *fault = &e->event;
    enum emu_status st;
    struct gate g = {0};

    fault->vector = VECTOR_NONE;
    if (!(e->state->cr0 & CR0_PE)) {
        st = deliver_real(e, event, rip);
    } else {
        bool entered = false;
        st = gate_fetch(e, event, &g);
        if (st == EMU_DONE && g.type == TYPE_TASK_GATE)
            st = emu_enter_task(e, g.selector, EMU_TASK_GATE, event, rip, &entered);
        else if (st == EMU_DONE)
            st = deliver_gate(e, event, rip, &g);
        if (st == EMU_FAULT && entered && event_is_software(event))
            return emu_deliver_after(e, event, fault);
    }
    if (st == EMU_FAULT && fault->has_error && fault->vector != VECTOR_PF &&
        fault->vector != VECTOR_AC && !event_is_program(event))
        fault->error |= ERROR_EXT;
    return st;
}

/* ---- faults within faults ----------------------------------------------------------------- */

enum event_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

/* SDM vol. 3A, table 6-4. */
static enum event_class event_class(const struct emu_event *event)
{
    static const u32 contributory =
        BIT(VECTOR_DE) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP);

    if (event == NULL || event->type != EMU_EVENT_HARD_EXCEPTION || event->vector > 31)
        return BENIGN;
    if (event->vector == VECTOR_DF)
        return DOUBLE_FAULT;
    if (event->vector == VECTOR_PF)
        return PAGE_FAULT;
    return contributory & BIT(event->vector) ? CONTRIBUTORY : BENIGN;
}

/* What is delivered when `second` came up in the delivery of a `first`, SDM vol. 3A, table 6-5;
 * false: nothing, the CPU shuts down. */
static bool combine(enum event_class first, struct emu_event *second)
{
    enum event_class c = event_class(second);
    bool again = c == CONTRIBUTORY || c == PAGE_FAULT;

    if (first == DOUBLE_FAULT)
        return !again;
    if ((first == CONTRIBUTORY && c == CONTRIBUTORY) || (first == PAGE_FAULT && again))
        *second = (struct emu_event){
            .vector = VECTOR_DF, .type = EMU_EVENT_HARD_EXCEPTION, .has_error = true};
    return true;
}

/* What happens however delivery ends: CR2 and DR6 say what it is about. */
static void note_payload(struct emu *e, const struct emu_event *event)
{
    struct x86_state *s = e->state;

    if (event->type != EMU_EVENT_HARD_EXCEPTION)
        return;
    if (event->vector == VECTOR_PF) {
        emu_need(e, STATE_LIVE);
        s->cr2 = event->payload;
        s->dirty |= STATE_LIVE;
    }
    if (event->vector == VECTOR_DB) {
        emu_need(e, STATE_DR7 | STATE_LIVE);
        s->dr6 = (s->dr6 & ~0xfull) | event->payload;
        s->dr7 &= ~BIT64(13); /* GD */
        s->dirty |= STATE_DR7 | STATE_LIVE;
    }
}

/* What delivery ends: blocking by STI and MOV SS, HLT; an NMI begins its own blocking. */
static void note_delivered(struct emu *e, const struct emu_event *event)
{
    struct x86_state *s = e->state;

    s->interruptibility &= ~(u32)(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
    if (event->type == EMU_EVENT_NMI)
        s->interruptibility |= BLOCKED_BY_NMI;
    s->activity = ACTIVITY_ACTIVE;
    s->valid |= STATE_ACTIVITY;
    s->dirty |= STATE_INTERRUPTIBILITY | STATE_ACTIVITY;
}

enum emu_status emu_deliver_after(struct emu *e, const struct emu_event *first,
                                  const struct emu_event *event)
{
    enum event_class before = event_class(first);
    struct emu_event now = *event;

    for (unsigned i = 0; i < MAX_SERIAL_FAULTS && combine(before, &now); i++) {
        note_payload(e, &now);
        u64 rip = e->state->rip + (event_is_software(&now) ? now.ilen : 0);
        enum emu_status st = deliver_once(e, &now, rip);
        if (st == EMU_DONE)
            note_delivered(e, &now);
        if (st != EMU_FAULT)
            return st;
        before = event_class(&now);
        now = e->event;
    }
    e->event.vector = VECTOR_NONE;
    e->state->activity = ACTIVITY_SHUTDOWN;
    e->state->valid |= STATE_ACTIVITY;
    e->state->dirty |= STATE_ACTIVITY;
    return EMU_TRIPLE_FAULT;
}

enum emu_status emu_deliver(struct emu *e, const struct emu_event *event)
{
    return emu_deliver_after(e, NULL, event);
}

/* ---- INT n, INT3, INTO, INT1 ---------------------------------------------------------------- */

/* state.rip is past the instruction already: that is what is pushed. */
static enum emu_status software_event(struct emu *e, u8 vector, enum emu_event_type type)
{
    struct emu_event event = {.vector = vector, .type = (u8)type};
    enum emu_status st = deliver_once(e, &event, e->state->rip);

    e->step.no_trap = st == EMU_DONE;
    return st;
}

/* INT n in virtual-8086 mode with CR4.VME: is it the 8086 program's own, by the TSS's redirection
 * bitmap in the 32 bytes below the I/O bitmap (SDM vol. 3B, 20.3.3)? */
static enum emu_status vme_redirects(struct emu *e, u8 vector, bool *own)
{
    const struct segment *tr = &e->state->seg[SEG_TR];
    u16 io_map;
    u8 bits;

    emu_need(e, STATE_SEG(SEG_TR));
    if (!(tr->access & 8) || tr->limit < 103)
        return emu_gp(e, 0);
    enum emu_status st = emu_read_linear(e, GVA((u32)(tr->base + 102)), &io_map, 2, EMU_IMPLICIT);
    if (st != EMU_DONE)
        return st;
    u32 at = io_map - 32u + vector / 8u;
    if (at > tr->limit)
        return emu_gp(e, 0);
    st = emu_read_linear(e, GVA((u32)(tr->base + at)), &bits, 1, EMU_IMPLICIT);
    *own = !(bits & BIT(vector & 7));
    return st;
}

/* The 8086 program's INT n: below IOPL 3 it sees VIF as IF and its IOPL as 3. */
static enum emu_status vme_interrupt(struct emu *e, u8 vector)
{
    u64 flags = e->state->rflags & ~(u64)RFLAGS_RF;
    u64 clear = RFLAGS_TF | RFLAGS_RF;

    if (emu_iopl(e) == 3) {
        clear |= RFLAGS_IF;
    } else {
        clear |= RFLAGS_VIF;
        flags = (flags & ~(u64)RFLAGS_IF) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
    }
    enum emu_status st = deliver_8086(e, GVA(vector * 4u), e->state->rip, flags, clear);
    e->step.no_trap = st == EMU_DONE;
    return st;
}

enum emu_status op_int(struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;
    u8 vector = (u8)i->imm;

    if ((s->cr0 & CR0_PE) && (s->rflags & RFLAGS_VM)) {
        bool own = false;
        if (s->cr4 & CR4_VME) {
            enum emu_status st = vme_redirects(e, vector, &own);
            if (st != EMU_DONE)
                return st;
        }
        if (own)
            return vme_interrupt(e, vector);
        if (emu_iopl(e) < 3)
            return emu_gp(e, 0);
    }
    return software_event(e, vector, EMU_EVENT_SOFT_INT);
}

enum emu_status op_int3(struct emu *e, const struct insn *i)
{
    (void)i;
    return software_event(e, VECTOR_BP, EMU_EVENT_SOFT_EXCEPTION);
}

enum emu_status op_into(struct emu *e, const struct insn *i)
{
    (void)i;
    if (!(e->state->rflags & RFLAGS_OF))
        return EMU_DONE;
    return software_event(e, VECTOR_OF, EMU_EVENT_SOFT_EXCEPTION);
}

enum emu_status op_int1(struct emu *e, const struct insn *i)
{
    (void)i;
    return software_event(e, VECTOR_DB, EMU_EVENT_PRIV_SOFT_EXCEPTION);
}

/* ---- IRET ----------------------------------------------------------------------------------- */

#define FLAGS_STATUS                                                                     \
    (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_DF | \
     RFLAGS_OF | RFLAGS_NT)
#define FLAGS_HIGH    (RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)
#define FLAGS_VIRTUAL (RFLAGS_VIF | RFLAGS_VIP)

static void iret_load(struct emu *e, unsigned size, u64 flags, u64 change)
{
    if (size == 2)
        change &= 0xffff;
    emu_set_rflags(e, (e->state->rflags & ~change) | (flags & change));
    e->step.keep_rf = size > 2;
}

void emu_iret_flags(struct emu *e, unsigned cpl, unsigned size, u64 flags)
{
    u64 change = FLAGS_STATUS | FLAGS_HIGH;

    if (cpl <= emu_iopl(e))
        change |= RFLAGS_IF;
    if (cpl == 0)
        change |= RFLAGS_IOPL | FLAGS_VIRTUAL;
    iret_load(e, size, flags, change);
}

/* RIP, CS, RFLAGS. */
static enum emu_status iret_pop(struct emu *e, struct far_return *r)
{
    u64 selector = 0;

    emu_stack_current(e, &r->stack);
    enum emu_status st = emu_stack_pop(e, &r->stack, r->size, &r->rip);
    if (st == EMU_DONE)
        st = emu_stack_pop(e, &r->stack, r->size, &selector);
    if (st == EMU_DONE)
        st = emu_stack_pop(e, &r->stack, r->size, &r->flags);
    r->cs = (u16)selector;
    return st;
}

/* Back to real- or virtual-8086-mode code in the same mode. */
static enum emu_status iret_8086(struct emu *e, struct far_return *r, u64 change)
{
    enum emu_status st = iret_pop(e, r);
    if (st != EMU_DONE)
        return st;
    struct segment cs = emu_real_code(e, r->cs);
    if (!emu_code_holds(e, &cs, r->rip))
        return emu_gp(e, 0);
    emu_set_sp(e, r->stack.width, r->stack.sp);
    iret_load(e, r->size, r->flags, change);
    emu_set_code(e, &cs, 0, r->rip);
    return EMU_DONE;
}

/* In virtual-8086 mode: IOPL 3, or with CR4.VME a 16-bit IRET that works on VIF. */
static enum emu_status iret_vm86(struct emu *e, struct far_return *r)
{
    const u64 change = FLAGS_STATUS | FLAGS_HIGH;
    const struct x86_state *s = e->state;

    if (emu_iopl(e) == 3)
        return iret_8086(e, r, change | RFLAGS_IF);
    if (!(s->cr4 & CR4_VME) || r->size != 2)
        return emu_gp(e, 0);
    struct far_return look = *r;
    enum emu_status st = iret_pop(e, &look);
    if (st != EMU_DONE)
        return st;
    bool on = look.flags & RFLAGS_IF;
    if ((look.flags & RFLAGS_TF) || (on && (s->rflags & RFLAGS_VIP)))
        return emu_gp(e, 0);
    st = iret_8086(e, r, change);
    if (st == EMU_DONE)
        emu_set_rflags(e, (s->rflags & ~(u64)RFLAGS_VIF) | (on ? RFLAGS_VIF : 0));
    return st;
}

/* From level 0 to virtual-8086 mode. */
static enum emu_status iret_to_vm86(struct emu *e, struct far_return *r)
{
    static const enum seg order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    u64 sp, selector[ARRAY_SIZE(order)];

    enum emu_status st = emu_stack_pop(e, &r->stack, 4, &sp);
    for (unsigned k = 0; k < ARRAY_SIZE(order) && st == EMU_DONE; k++)
        st = emu_stack_pop(e, &r->stack, 4, &selector[k]);
    if (st != EMU_DONE)
        return st;
    struct segment cs = emu_segment_vm86(r->cs);
    if (!emu_code_holds(e, &cs, r->rip))
        return emu_gp(e, 0);
    iret_load(e, 4, r->flags,
              FLAGS_STATUS | FLAGS_HIGH | FLAGS_VIRTUAL | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VM);
    emu_set_code(e, &cs, 3, r->rip);
    for (unsigned k = 0; k < ARRAY_SIZE(order); k++) {
        struct segment g = emu_segment_vm86((u16)selector[k]);
        emu_set_segment(e, order[k], &g);
    }
    emu_set_sp(e, 4, sp);
    return EMU_DONE;
}

/* NT: back to the task that the TSS's link names. */
static enum emu_status iret_task(struct emu *e)
{
    const struct segment *tr = &e->state->seg[SEG_TR];
    u16 link;

    if (emu_long_mode(e->state))
        return emu_gp(e, 0);
    emu_need(e, STATE_SEG(SEG_TR));
    enum emu_status st = emu_read_linear(e, GVA((u32)tr->base), &link, 2, EMU_IMPLICIT);
    return st != EMU_DONE ? st : emu_task_switch(e, link, EMU_TASK_IRET, NULL, 0);
}

enum emu_status op_iret(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    struct far_return r = {.size = i->opsize, .iret = true};

    /* NMIs are let in even by an IRET that faults (SDM vol. 3A, 6.7.1). */
    if ((s->interruptibility & BLOCKED_BY_NMI) && !(i->mode == EMU_MODE_VM86 && emu_iopl(e) < 3)) {
        s->interruptibility &= ~(u32)BLOCKED_BY_NMI;
        s->dirty |= STATE_INTERRUPTIBILITY;
    }
    if (!(s->cr0 & CR0_PE))
        return iret_8086(e, &r, FLAGS_STATUS | FLAGS_HIGH | RFLAGS_IF | RFLAGS_IOPL);
    if (s->rflags & RFLAGS_VM)
        return iret_vm86(e, &r);
    if (s->rflags & RFLAGS_NT)
        return iret_task(e);
    enum emu_status st = iret_pop(e, &r);
    if (st != EMU_DONE)
        return st;
    if ((r.flags & RFLAGS_VM) && r.size == 4 && emu_cpl(e) == 0 && !emu_long_mode(s))
        return iret_to_vm86(e, &r);
    return emu_far_return(e, &r);
}
