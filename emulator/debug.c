/* SPDX-License-Identifier: MIT
 *
 * What DR7 and DEBUGCTL.BTF watch while an instruction is emulated: breakpoints on data and ports,
 * and single steps from branch to branch (SDM vol. 3B, 17.2.4, 17.3.1 and 17.4.4).  All of it
 * stands beside the usual way of an instruction, which knows nothing of it but emu->watch.
 */
#include "emulator/internal.h"

#define PENDING_HIT BIT64(12) /* of the pending debug exceptions, SDM vol. 3C, table 24-4 */

u64 emu_breakpoints(const struct x86_state *s, u64 at, unsigned size, enum emu_breakpoint kind)
{
    static const u8 bytes[4] = {1, 2, 8, 4}; /* by the LEN field */
    /* Values of the R/W field. */
    static const u8 kinds[] = {[EMU_BREAK_READ] = BIT(3),
                               [EMU_BREAK_WRITE] = BIT(1) | BIT(3),
                               [EMU_BREAK_IO] = BIT(2),
                               [EMU_BREAK_EXECUTE] = BIT(0)};
    u64 hit = 0;

    for (unsigned n = 0; n < 4; n++) {
        unsigned rw = (unsigned)(s->dr7 >> (16 + 4 * n) & 3);
        u64 length = bytes[s->dr7 >> (18 + 4 * n) & 3];
        if ((s->dr7 >> (2 * n) & 3) && (kinds[kind] >> rw & 1) &&
            ranges_overlap(at, size, align_down(s->dr[n], length), length))
            hit |= BIT64(n);
    }
    return kind == EMU_BREAK_IO && !(s->cr4 & CR4_DE) ? 0 : hit;
}

/* Conditional ones that are not taken, or jump to the next instruction, do not count. */
static bool is_branch(const struct emu *e)
{
    static emu_handler *const always[] = {
        op_jmp, op_call, op_ret,     op_far,    op_ret_far,  op_iret,
        op_int, op_trap, op_syscall, op_sysret, op_sysenter, op_sysexit,
    };
    const struct emu_code *c = e->record.code;
    u8 code[CODE_ROOM] = {0};
    struct insn i;

    memcpy(code, c->bytes, sizeof(c->bytes));
    if (emu_decode(code, c->length, (enum emu_mode)c->mode, c->mode == EMU_MODE_32, &i) !=
        DECODE_OK)
        return true; /* in 32-bit virtual-8086 code and the like: RIP decides */
    for (unsigned n = 0; n < ARRAY_SIZE(always); n++)
        if (i.op->handler == always[n])
            return true;
    return (i.op->handler == op_jcc || i.op->handler == op_loop || i.op->handler == op_jcxz) &&
           e->state->rip != e->record.rip + c->length;
}

enum emu_status emu_step_watched(struct emu *e, bool btf)
{
    struct x86_state *s = e->state;
    struct emu_event *db = &e->event;

    emu_need(e, STATE_DR7 | STATE_LIVE | STATE_PENDING_DEBUG);
    u64 held = s->pending_debug & 0xf;
    emu_forget(e);
    e->fault_allows = 0; /* no short ways */
    e->hits = 0;
    e->watch = true;
    enum emu_status st = emu_step(e);
    e->watch = false;
    if (st != EMU_DONE)
        return st;
    u64 payload = db->vector == VECTOR_DB ? db->payload : 0;
    if (btf && !is_branch(e))
        payload &= ~DR6_BS;
    s->pending_debug = 0;
    if ((s->interruptibility & BLOCKED_BY_MOV_SS) && e->hits)
        s->pending_debug = e->hits | PENDING_HIT; /* together with the next instruction's */
    else
        payload |= e->hits | held;
    s->dirty |= s->pending_debug != held ? STATE_PENDING_DEBUG : 0;
    if (payload == 0 && db->vector == VECTOR_DB)
        db->vector = VECTOR_NONE;
    if (payload != 0)
        (void)emu_db(e, payload);
    e->step.other |= payload != 0;
    return st;
}
