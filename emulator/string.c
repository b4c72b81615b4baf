/* SPDX-License-Identifier: MIT
 *
 * String instructions and port I/O.  A repeated one commits its registers piece by piece: a fault
 * or an interruption leaves whole iterations done.  Between RAM and RAM, or RAM and a port, a piece
 * is all that lies in the page, done by the host's own string instruction or one device call.
 */
#include "emulator/flags.h"
#include "emulator/system.h"

/* A piece: n elements (1 at least), of which `from` and `to` are the first ones. */
struct piece {
    unsigned size; /* of an element */
    u64 n;
    struct emu_span from, to; /* at rSI by its segment; at ES:rDI */
};
#define FROM       BIT(0) /* what an instruction accesses, in the order that CPUs do */
#define TO_READ    BIT(1)
#define TO_WRITTEN BIT(2)

#define DEVICE_BURST 64u /* elements, then pending events are looked at */

static inline u64 least(u64 a, u64 b) { return a < b ? a : b; }

/* Resolve the element at seg:reg, and lower p->n to the elements from there on, going up, that lie
 * in its page and inside the segment. */
static enum emu_status map_end(struct emu *e, const struct insn *i, struct piece *p, enum seg seg,
                               enum gpr reg, enum emu_access access, struct emu_span *span)
{
    u64 offset = e->state->gpr[reg] & mask_bytes(i->addrsize);
    gva_t gva;

    TRY(emu_map_seg(e, seg, offset, p->size, access, span));
    if (p->n == 1)
        return EMU_DONE;
    u64 most = least(p->n, span->host[0] != NULL ? PAGE_SIZE : DEVICE_BURST);
    most = least(most, (PAGE_SIZE - (span->gpa[0].v & PAGE_MASK)) / p->size);
    most = least(most, (mask_bytes(i->addrsize) - offset) / p->size);
    bool more = most > 1 && !(e->state->rflags & RFLAGS_DF) &&
                emu_reaches(e, seg, offset, (unsigned)most * p->size, access, &gva);
    p->n = more ? most : 1;
    return EMU_DONE;
}

static void advance(struct emu *e, const struct insn *i, const struct piece *p, enum gpr reg)
{
    u64 bytes = p->n * p->size;

    emu_set_gpr(e, reg, i->addrsize,
                e->state->gpr[reg] + (e->state->rflags & RFLAGS_DF ? -bytes : bytes));
}

/* Repeat, or do once, what `act` does with a piece, of which it may leave less in p->n. */
static enum emu_status iterate(struct emu *e, const struct insn *i, unsigned size, unsigned ends,
                               void (*act)(struct emu *e, const struct insn *i, struct piece *p))
{
    struct x86_state *s = e->state;
    bool traps = (e->step.before & RFLAGS_TF) || e->watch;
    struct piece p;

    p.size = size;
    e->record.iterations = 0;
    for (;;) {
        u64 count = i->rep != 0 ? s->gpr[RCX] & mask_bytes(i->addrsize) : 1;
        if (count == 0) {
            e->hits = 0;
            return EMU_DONE;
        }
        p.n = traps ? 1 : count;
        if (ends & TO_READ)
            TRY(map_end(e, i, &p, SEG_ES, RDI, EMU_READ, &p.to));
        if (ends & FROM)
            TRY(map_end(e, i, &p, (enum seg)i->seg, RSI, EMU_READ, &p.from));
        if (ends & TO_WRITTEN)
            TRY(map_end(e, i, &p, SEG_ES, RDI, EMU_WRITE, &p.to));
        act(e, i, &p);
        if (ends & FROM)
            advance(e, i, &p, RSI);
        if (ends & (TO_READ | TO_WRITTEN))
            advance(e, i, &p, RDI);
        e->record.iterations += p.n;
        if (i->rep == 0)
            return EMU_DONE;
        emu_set_gpr(e, RCX, i->addrsize, count - p.n);
        bool equal = s->rflags & RFLAGS_ZF;
        if (p.n == count || ((i->op->flags & OP_REPCC) && equal != (i->rep == 0xf3)))
            return EMU_DONE;
        if (traps) { /* a trap after each iteration, which finds rIP at the instruction */
            s->rip = e->record.rip;
            return EMU_DONE;
        }
        if (e->ops->interrupted != NULL && e->ops->interrupted(e->ctx))
            return EMU_RETRY;
    }
}

/* The host's own instruction on *n elements of RAM; *n is then how many were done.  Returns the
 * flags of a comparison. */
#define HOST(text) \
    __asm__ volatile(text FLAGS_SAVE : "+a"(ax), "+S"(from), "+D"(to), "+c"(left)::"cc", "memory")
#define HOST_BY_SIZE(text) FLAGS_BY_SIZE(HOST, text, "", "", "", "")
static inline __attribute__((always_inline)) u32 host_string(const enum string_op op, bool repe,
                                                             unsigned size, u64 ax,
                                                             const void *from, void *to, u64 *n)
{
    u64 left = *n;

    if (op == STRING_MOVS)
        HOST_BY_SIZE("rep movs")
    else if (op == STRING_STOS)
        HOST_BY_SIZE("rep stos")
    else if (op == STRING_CMPS && repe)
        HOST_BY_SIZE("repe cmps")
    else if (op == STRING_CMPS)
        HOST_BY_SIZE("repne cmps")
    else if (repe)
        HOST_BY_SIZE("repe scas")
    else
        HOST_BY_SIZE("repne scas")
    *n -= left;
    return (u32)ax;
}

/* The element behind. */
static void next(struct emu_span *span)
{
    span->gpa[0].v += span->size;
    if (span->host[0] != NULL)
        span->host[0] += span->size;
}

static void movs(struct emu *e, const struct insn *, struct piece *p)
{
    if (p->n > 1 && p->from.host[0] != NULL && p->to.host[0] != NULL) {
        u64 n = p->n;
        (void)host_string(STRING_MOVS, false, p->size, 0, p->from.host[0], p->to.host[0], &n);
        return;
    }
    for (u64 n = 0; n < p->n; n++, next(&p->from), next(&p->to))
        emu_span_store(e, &p->to, emu_span_load(e, &p->from));
}

static void stos(struct emu *e, const struct insn *, struct piece *p)
{
    u64 ax = e->state->gpr[RAX], n = p->n;

    if (n > 1 && p->to.host[0] != NULL)
        (void)host_string(STRING_STOS, false, p->size, ax, NULL, p->to.host[0], &n);
    else
        for (; n-- > 0; next(&p->to))
            emu_span_store(e, &p->to, ax);
}

static void lods(struct emu *e, const struct insn *i, struct piece *p)
{
    for (u64 n = 0; n < p->n; n++, next(&p->from))
        emu_set_gpr(e, RAX, i->size, emu_span_load(e, &p->from));
}

/* Where the elements are: in RAM; else a copy of one of them, in *value. */
static void *elements(struct emu *e, const struct emu_span *span, u64 *n, u64 *value)
{
    if (span->host[0] != NULL && *n > 1)
        return span->host[0];
    *n = 1;
    *value = emu_span_load(e, span);
    return value;
}

static void compare(struct emu *e, const struct insn *i, struct piece *p)
{
    u64 a, b, ax = e->state->gpr[RAX];
    void *to = elements(e, &p->to, &p->n, &b);
    bool repe = i->rep == 0xf3;

    if (i->op->sub == STRING_SCAS) {
        ax = host_string(STRING_SCAS, repe, p->size, ax, NULL, to, &p->n);
    } else {
        void *from = elements(e, &p->from, &p->n, &a);
        ax = host_string(STRING_CMPS, repe, p->size, 0, from, to, &p->n);
    }
    emu_set_rflags(e, flags_unpack(e->state->rflags, (u32)ax));
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* May the current CPL access these ports?  Else #GP(0): SDM vol. 1, 19.5.2. */
static enum emu_status check_io(struct emu *e, u16 port, unsigned size)
{
    const struct x86_state *s = e->state;
    u16 bits;

    if (e->watch) /* told of when the access is allowed, and done */
        e->hits |= (u8)emu_breakpoints(s, port, size, EMU_BREAK_IO);
    if (!(s->cr0 & CR0_PE) || (!(s->rflags & RFLAGS_VM) && emu_cpl(e) <= emu_iopl(e)))
        return EMU_DONE;
    if (e->vmware_ports && (port == 0x5658 || port == 0x5659))
        return EMU_DONE;
    TRY(emu_read_io_map(e, port / 8u, &bits, 2));
    return (u32)bits >> (port & 7) & (BIT(size) - 1) ? emu_gp(e, 0) : EMU_DONE;
}

/* IN and OUT. */
enum emu_status op_port(struct emu *e, const struct insn *i)
{
    bool in = arg_is_of(i->op->arg[0], LETTER(ACC)), direct = arg_is_of(i->op->arg[in], LETTER(IU));
    unsigned size = emu_arg_bytes(i, i->op->arg[!in]);
    u16 port = (u16)(direct ? i->imm : e->state->gpr[RDX]);
    u64 value = in ? 0 : e->state->gpr[RAX] & mask_bytes(size), count = 1;

    TRY(check_io(e, port, size));
    if (in)
        e->ops->port_in(e->ctx, port, size, &value, &count);
    emu_record_io(e, in ? EMU_IO_IN : EMU_IO_OUT, port, size, value);
    if (in)
        emu_set_gpr(e, RAX, size, value);
    else
        e->ops->port_out(e->ctx, port, size, &value, &count);
    return EMU_DONE;
}

static void ins(struct emu *e, const struct insn *, struct piece *p)
{
    bool direct = p->to.host[0] != NULL && p->to.first == p->size;
    u64 v = 0;
    void *data = direct ? p->to.host[0] : (u8 *)&v;

    if (!direct)
        p->n = 1;
    e->ops->port_in(e->ctx, (u16)e->state->gpr[RDX], p->size, data, &p->n);
    if (!direct)
        emu_span_store(e, &p->to, v);
    emu_record_io(e, EMU_IO_IN, (u16)e->state->gpr[RDX], p->size, host_load(data, p->size));
}

static void outs(struct emu *e, const struct insn *, struct piece *p)
{
    u64 v;
    const void *data = elements(e, &p->from, &p->n, &v);

    emu_record_io(e, EMU_IO_OUT, (u16)e->state->gpr[RDX], p->size, host_load(data, p->size));
    e->ops->port_out(e->ctx, (u16)e->state->gpr[RDX], p->size, data, &p->n);
}

enum emu_status op_string(struct emu *e, const struct insn *i)
{
    static const struct {
        void (*act)(struct emu *e, const struct insn *i, struct piece *p);
        unsigned ends;
    } strings[] = {[STRING_MOVS] = {movs, FROM | TO_WRITTEN},
                   [STRING_STOS] = {stos, TO_WRITTEN},
                   [STRING_LODS] = {lods, FROM},
                   [STRING_CMPS] = {compare, TO_READ | FROM},
                   [STRING_SCAS] = {compare, TO_READ},
                   [STRING_INS] = {ins, TO_WRITTEN},
                   [STRING_OUTS] = {outs, FROM}};
    const struct piece none = {0};
    unsigned op = i->op->sub, size = emu_arg_bytes(i, i->op->arg[op == STRING_OUTS]);
    unsigned ends = strings[op].ends;
    u64 flags = e->state->rflags;

    if (op >= STRING_INS)
        TRY(check_io(e, (u16)e->state->gpr[RDX], size));
    if (i->rep != 0) { /* not so in the others, as CPUs have it: the upper halves */
        emu_set_gpr(e, RCX, i->addrsize, e->state->gpr[RCX]);
        if (ends & TO_WRITTEN)
            advance(e, i, &none, RDI);
        if (ends == (FROM | TO_WRITTEN))
            advance(e, i, &none, RSI);
    }
    enum emu_status st = iterate(e, i, size, ends, strings[op].act);
    if (st == EMU_DONE && e->state->rip != e->record.rip)
        return st;
    /* Not at its end yet: the flags are those before it; RF, if it has begun (SDM vol. 2B, REP;
     * vol. 3B, 17.3.1.1). */
    e->step.keep_rf = st != EMU_FAULT && e->record.iterations != 0;
    emu_set_rflags(e, flags | (e->step.keep_rf ? RFLAGS_RF : 0));
    return st;
}
