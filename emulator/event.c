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

/* INT n, INT3 and INTO are the program's own: they obey the gate's DPL and report no EXT. */
static bool event_is_program(const struct emu_event *event)
{
    return event->type == EMU_EVENT_SOFT_INT || event->type == EMU_EVENT_SOFT_EXCEPTION;
}

static bool event_is_software(const struct emu_event *event)
{
    return event_is_program(event) || event->type == EMU_EVENT_PRIV_SOFT_EXCEPTION;
}

/* RF is 1 for faults, but #DB, and 0 for software events (SDM vol. 3B, 17.3.1.1). */
u64 emu_event_flags(const struct x86_state *s, const struct emu_event *event)
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
    struct emu_stack k;
    u16 to[2]; /* IP, CS */

    TRY(emu_read_linear(e, entry, to, sizeof(to), EMU_IMPLICIT));
    emu_stack_current(e, 2, &k);
    emu_stack_push(e, &k, flags);
    emu_stack_push_selector(e, &k, SEG_CS);
    emu_stack_push(e, &k, rip);
    struct segment cs = emu_segment_8086(e, SEG_CS, to[1]);
    return emu_transfer(e, &k, &cs, emu_cpl(e), to[0], clear);
}

static enum emu_status deliver_real(struct emu *e, const struct emu_event *event, u64 rip)
{
    const struct x86_state *s = e->state;
    unsigned at = event->vector * 4u;

    emu_need(e, STATE_IDTR);
    if (at + 3 > s->idtr.limit)
        return emu_gp(e, 0);
    return deliver_8086(e, GVA((u32)(s->idtr.base + at)), rip, emu_event_flags(s, event),
                        RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
}

/* ---- protected mode --------------------------------------------------------------------- */

/* Read and check the gate, SDM vol. 3A, 6.11 and 6.14.1. */
static enum emu_status gate_fetch(struct emu *e, const struct emu_event *event,
                                  struct descriptor *d)
{
    static const u16 legacy =
        BIT(TYPE_TASK_GATE) | BIT(TYPE_INT16) | BIT(TYPE_TRAP16) | BIT(TYPE_INT) | BIT(TYPE_TRAP);
    const struct x86_state *s = e->state;
    bool long_mode = emu_long_mode(s);
    unsigned bytes = long_mode ? 16 : 8, at = event->vector * bytes;
    u32 error = event->vector * 8u | ERROR_IDT;
    u16 allowed = long_mode ? BIT(TYPE_INT) | BIT(TYPE_TRAP) : legacy;
    u64 raw[2] = {0, 0};

    emu_need(e, STATE_IDTR);
    u64 linear = s->idtr.base + at;
    if (at + bytes - 1 > s->idtr.limit || (long_mode && !emu_span_canonical(e, linear, bytes)))
        return emu_gp(e, error);
    TRY(emu_read_linear(e, GVA(long_mode ? linear : (u32)linear), raw, bytes, EMU_IMPLICIT));
    *d = (struct descriptor){.low = raw[0], .high = raw[1], .access = (u32)(raw[0] >> 40) & 0xff};
    if (!(allowed & BIT(system_type(d->access))) ||
        (event_is_program(event) && access_dpl(d->access) < emu_cpl(e)))
        return emu_gp(e, error);
    return d->access & SEG_P ? EMU_DONE : emu_raise(e, VECTOR_NP, true, error);
}

/* All that delivery pushes, SDM vol. 3A, figures 6-4, 6-8 and 20-6. */
static void push_event(struct emu *e, const struct emu_event *event, u64 rip, bool with_stack,
                       struct emu_stack *k)
{
    static const enum seg vm86[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    const struct x86_state *s = e->state;

    for (unsigned n = 0; (s->rflags & RFLAGS_VM) && n < ARRAY_SIZE(vm86); n++)
        emu_stack_push_selector(e, k, vm86[n]);
    if (with_stack) {
        emu_stack_push_selector(e, k, SEG_SS);
        emu_stack_push(e, k, s->gpr[RSP]);
    }
    emu_stack_push(e, k, emu_event_flags(s, event));
    emu_stack_push_selector(e, k, SEG_CS);
    emu_stack_push(e, k, rip);
    if (event->has_error)
        emu_stack_push(e, k, event->error);
}

static enum emu_status deliver_gate(struct emu *e, const struct emu_event *event, u64 rip,
                                    const struct descriptor *d)
{
    const struct x86_state *s = e->state;
    bool vm86 = s->rflags & RFLAGS_VM, trap = d->access & 1, long_mode = emu_long_mode(s);
    u64 clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_VM | RFLAGS_RF | (trap ? 0 : RFLAGS_IF);
    struct emu_gate g;

    TRY(emu_gate_open(e, d, USE_GATE, &g));
    if (long_mode) { /* aligned, and 64 bits wide (SDM vol. 3A, 6.14.2) */
        if (!g.stack.foreign)
            g.stack = (struct emu_stack){.sp = s->gpr[RSP], .size = 8, .width = 8};
        g.stack.sp &= ~15ull;
    }
    push_event(e, event, rip, long_mode || g.level != emu_cpl(e), &g.stack);
    TRY(emu_transfer(e, &g.stack, &g.cs, g.level, g.offset, clear));
    if (vm86)
        emu_null_segments(e, 4);
    return EMU_DONE;
}

/* One attempt to deliver, with the EXT bit in the error code of whatever goes wrong. */
static enum emu_status deliver_once(struct emu *e, const struct emu_event *event, u64 rip)
{
    struct emu_event *fault = &e->event;
    enum emu_status st;
    struct descriptor gate;

    fault->vector = VECTOR_NONE;
    if (!(e->state->cr0 & CR0_PE)) {
        st = deliver_real(e, event, rip);
    } else {
        bool entered = false;
        st = gate_fetch(e, event, &gate);
        if (st == EMU_DONE && system_type(gate.access) == TYPE_TASK_GATE)
            st = emu_enter_task(e, (u16)bits_get(gate.low, 31, 16), EMU_TASK_GATE, event, rip,
                                &entered);
        else if (st == EMU_DONE)
            st = deliver_gate(e, event, rip, &gate);
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
        s->dr7 &= ~DR7_GD;
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
        enum emu_status st;
        do
            st = deliver_once(e, &now, rip);
        while (st == EMU_RETRY); /* its user has let go of the event: it must arrive */
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

/* The 8086 program's INT n: below IOPL 3 VIF is its IF. */
static enum emu_status vme_interrupt(struct emu *e, u8 vector)
{
    bool virtual = emu_iopl(e) < 3;
    u64 flags = e->state->rflags & ~(u64)RFLAGS_RF;
    u64 clear = RFLAGS_TF | RFLAGS_RF | (virtual ? RFLAGS_VIF : RFLAGS_IF);

    TRY(deliver_8086(e, GVA(vector * 4u), e->state->rip, virtual ? emu_vme_image(flags) : flags,
                     clear));
    e->step.no_trap = true;
    return EMU_DONE;
}

enum emu_status op_int(struct emu *e, const struct insn *i)
{
    u8 vector = (u8)i->imm;
    u8 monitors = 0xff;

    if (i->mode == EMU_MODE_VM86) {
        /* The redirection bitmap is the 32 bytes below the I/O bitmap, SDM vol. 3B, 20.3.3. */
        if (e->state->cr4 & CR4_VME)
            TRY(emu_read_io_map(e, vector / 8u - 32u, &monitors, 1));
        if (!(monitors & BIT(vector & 7)))
            return vme_interrupt(e, vector);
        if (emu_iopl(e) < 3)
            return emu_gp(e, 0);
    }
    return software_event(e, vector, EMU_EVENT_SOFT_INT);
}

/* INT1, INT3, INTO: op->sub is the vector. */
enum emu_status op_trap(struct emu *e, const struct insn *i)
{
    u8 vector = i->op->sub;

    if (vector == VECTOR_OF && !(e->state->rflags & RFLAGS_OF))
        return EMU_DONE;
    return software_event(
        e, vector, vector == VECTOR_DB ? EMU_EVENT_PRIV_SOFT_EXCEPTION : EMU_EVENT_SOFT_EXCEPTION);
}

/* ---- IRET ----------------------------------------------------------------------------------- */

/* From level 0 to virtual-8086 mode. */
static enum emu_status iret_to_vm86(struct emu *e, struct far_return *r)
{
    static const enum seg order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    struct segment cs = emu_segment_vm86(r->cs);
    u64 sp = emu_stack_item(e, &r->stack, 0, 4);
    u16 selector[ARRAY_SIZE(order)];

    for (unsigned k = 0; k < ARRAY_SIZE(order); k++)
        selector[k] = (u16)emu_stack_item(e, &r->stack, k + 1, 2);
    TRY(r->stack.status);
    if (!emu_code_holds(e, &cs, r->rip))
        return emu_gp(e, 0);
    r->change |= RFLAGS_VM;
    emu_return_flags(e, r);
    emu_set_code(e, &cs, 3, r->rip);
    for (unsigned k = 0; k < ARRAY_SIZE(order); k++)
        emu_set_segment(e, order[k], emu_segment_vm86(selector[k]));
    return emu_set_gpr(e, RSP, 4, sp);
}

/* NT: back to the task that the TSS's link names. */
static enum emu_status iret_task(struct emu *e)
{
    u16 link;

    if (emu_long_mode(e->state))
        return emu_gp(e, 0);
    TRY(emu_read_tss(e, 0, &link, sizeof(link), VECTOR_TS));
    return emu_task_switch(e, link, EMU_TASK_IRET, NULL, 0);
}

enum emu_status op_iret(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    bool virtual = emu_flags_virtual(e, i);
    struct far_return r = {.change = emu_loadable_flags(e) | RFLAGS_RF}; /* SDM vol. 2A, IRET */

    /* NMIs are let in even by an IRET that faults (SDM vol. 3A, 6.7.1). */
    if ((s->interruptibility & BLOCKED_BY_NMI) && !virtual) {
        s->interruptibility &= ~(u32)BLOCKED_BY_NMI;
        s->dirty |= STATE_INTERRUPTIBILITY;
    }
    if (virtual)
        TRY(emu_vme_check(e, i));
    if (emu_in_protected(s) && (s->rflags & RFLAGS_NT))
        return iret_task(e);
    r.change |= (s->cr0 & CR0_PE) && emu_cpl(e) == 0 ? RFLAGS_VIF | RFLAGS_VIP : 0;
    r.change &= i->opsize == 2 ? 0xffff : ~0ull;
    TRY(emu_pop_return(e, i->opsize, &r));
    if (virtual) {
        TRY(emu_vme_load(e, &r.flags));
        r.change |= RFLAGS_VIF;
    }
    if (emu_in_protected(s) && (r.flags & RFLAGS_VM) && i->opsize == 4 && emu_cpl(e) == 0 &&
        !emu_long_mode(s))
        return iret_to_vm86(e, &r);
    return emu_far_return(e, &r);
}
