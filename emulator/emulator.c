/* SPDX-License-Identifier: MIT
 *
 * One instruction from fetch to retirement.  Everything else in this folder is called from here,
 * most of it through the opcode tables.
 */
#include "emulator/emulator.h"
#include "emulator/internal.h"

#define DB_SINGLE_STEP BIT(14) /* DR6.BS, SDM vol. 3B, 17.2.3 */

enum emu_mode emu_mode(const struct x86_state *s)
{
    u32 cs = s->seg[SEG_CS].access;

    if (!(s->cr0 & CR0_PE))
        return EMU_MODE_REAL;
    if (s->rflags & RFLAGS_VM)
        return EMU_MODE_VM86;
    if ((s->efer & EFER_LMA) && (cs & SEG_L))
        return EMU_MODE_64;
    return cs & SEG_DB ? EMU_MODE_32 : EMU_MODE_16;
}

enum emu_status emu_raise(struct emu *e, u8 vector, bool has_error, u32 error)
{
    e->event = (struct emu_event){
        .vector = vector, .type = EMU_EVENT_HARD_EXCEPTION, .has_error = has_error, .error = error};
    return EMU_FAULT;
}

/* ---- checks before execution ------------------------------------------------------------------
 */

#define OP_VECTOR (OP_FPU | OP_SSE | OP_AVX | OP_GPRVEX | OP_XSAVE)

static enum emu_status check(struct emu *e, const struct insn *i)
{
    const struct opcode *op = i->op;

    if (unlikely(op->feature != 0) && !emu_has(e, (enum emu_feature)(op->feature - 1)))
        return emu_ud(e);
    if (unlikely(op->flags & (OP_VECTOR | OP_CPL0))) {
        enum emu_status st = op->flags & OP_VECTOR ? emu_check_vector(e, i) : EMU_DONE;
        if (st != EMU_DONE || !(op->flags & OP_CPL0))
            return st;
        if (emu_cpl(e) != 0)
            return emu_gp(e, 0);
    }
    return EMU_DONE;
}

/* ---- retirement -------------------------------------------------------------------------------
 */

/* The one place where an instruction ends: state.rip has been moved on already. */
static inline void retire(struct emu *e)
{
    struct x86_state *s = e->state;
    const struct emu_retiring *r = &e->step;
    const u32 shadows = BLOCKED_BY_STI | BLOCKED_BY_MOV_SS;

    s->dirty |= STATE_RIP;
    if (likely(!((s->interruptibility & shadows) | r->shadow | r->tf | (s->rflags & RFLAGS_RF))))
        return;
    if ((s->interruptibility & shadows) != r->shadow) {
        s->interruptibility = (s->interruptibility & ~shadows) | r->shadow;
        s->dirty |= STATE_INTERRUPTIBILITY;
    }
    if ((s->rflags & RFLAGS_RF) && !r->keep_rf)
        emu_set_rflags(e, s->rflags & ~(u64)RFLAGS_RF);
    if (r->tf && !r->no_trap && !(r->shadow & BLOCKED_BY_MOV_SS)) {
        u64 also = e->event.vector == VECTOR_DB ? e->event.payload : 0;
        e->event = (struct emu_event){.vector = VECTOR_DB,
                                      .type = EMU_EVENT_HARD_EXCEPTION,
                                      .payload = also | DB_SINGLE_STEP};
    }
}

static u64 next_rip(const struct x86_state *s, enum emu_mode mode, unsigned length)
{
    return mode == EMU_MODE_64 ? s->rip + length : (u32)(s->rip + length);
}

/* What emu_step and emu_retire begin with. */
static void begin(struct emu *e)
{
    e->event.vector = VECTOR_NONE;
    e->step = (struct emu_retiring){.tf = e->state->rflags & RFLAGS_TF};
}

void emu_retire(struct emu *e, unsigned length)
{
    begin(e);
    e->state->rip = next_rip(e->state, emu_mode(e->state), length);
    retire(e);
}

enum emu_status emu_step(struct emu *e)
{
    struct x86_state *s = e->state;
    struct insn local;
    const struct insn *i;
    u64 rip = s->rip;

    begin(e);
    e->record.rip = rip;
    e->record.length = 0;
    e->record.io = EMU_IO_NONE;
    e->record.iterations = 1;
    enum emu_status st = emu_fetch(e, &local, &i);
    if (likely(st == EMU_DONE))
        st = check(e, i);
    if (unlikely(st != EMU_DONE))
        return st;
    s->rip = next_rip(s, (enum emu_mode)i->mode, i->length);
    st = i->op->handler(e, i);
    if (likely(st == EMU_DONE))
        retire(e);
    else
        s->rip = rip;
    return st;
}

enum emu_status emu_skip(struct emu *e)
{
    struct insn local;
    const struct insn *i;

    begin(e);
    e->record.rip = e->state->rip;
    e->record.length = 0;
    e->record.io = EMU_IO_NONE;
    e->record.iterations = 1;
    enum emu_status st = emu_fetch(e, &local, &i);
    if (st == EMU_DONE)
        emu_retire(e, i->length);
    return st;
}

const char *emu_reason_text(enum emu_reason r)
{
    static const char *const text[] = {
#define X(name, words) [EMU_##name] = words,
        EMU_REASON_LIST(X)
#undef X
    };
    return r < EMU_REASON_COUNT ? text[r] : "unknown";
}
