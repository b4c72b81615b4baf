/* SPDX-License-Identifier: MIT
 *
 * String instructions and port I/O.  A repeated one commits its registers piece by piece: a fault
 * or an interruption leaves whole iterations done.  Between RAM and RAM, or RAM and a port, a piece
 * is all that lies in the page, done by the host's own string instruction or one device call.
 */
#include "emulator/flags.h"
#include "emulator/internal.h"

/* Carry out up to *n elements (1 at least), advance rSI and rDI, and leave in *n how many. */
typedef enum emu_status (*string_step)(struct emu *e, const struct insn *i, u64 *n);

static enum emu_status repeat(struct emu *e, const struct insn *i, string_step step)
{
    struct x86_state *s = e->state;
    bool traps = (e->step.before & RFLAGS_TF) || e->watch;
    u64 n = 1;

    if (i->rep == 0)
        return step(e, i, &n);
    e->record.iterations = 0;
    for (;;) {
        u64 count = s->gpr[RCX] & mask_bytes(i->addrsize);
        if (count == 0) {
            e->hits = 0;
            return EMU_DONE;
        }
        n = traps ? 1 : count;
        enum emu_status st = step(e, i, &n);
        if (st != EMU_DONE)
            return st;
        e->record.iterations += n;
        emu_set_gpr(e, RCX, i->addrsize, count - n);
        bool equal = s->rflags & RFLAGS_ZF;
        if (n == count || ((i->op->flags & OP_REPCC) && equal != (i->rep == 0xf3)))
            return EMU_DONE;
        if (traps) { /* a trap after each iteration, which finds rIP at the instruction */
            s->rip = e->record.rip;
            return EMU_DONE;
        }
        if (e->ops->interrupted != NULL && e->ops->interrupted(e->ctx))
            return EMU_RETRY;
    }
}

/* One end of a string instruction: rSI by its segment, or ES:rDI. */
struct string_end {
    enum seg seg;
    u8 reg;
    struct emu_span span;
};

static inline u64 end_offset(const struct emu *e, const struct insn *i,
                             const struct string_end *end)
{
    return e->state->gpr[end->reg] & mask_bytes(i->addrsize);
}

/* Resolve one element. */
static enum emu_status end_map(struct emu *e, const struct insn *i, unsigned size,
                               enum emu_access access, struct string_end *end)
{
    return emu_map_seg(e, end->seg, end_offset(e, i, end), size, access, &end->span);
}

/* How many of `n` elements from here on lie in this page, going up, inside the segment. */
static u64 end_room_any(struct emu *e, const struct insn *i, unsigned size, enum emu_access access,
                        const struct string_end *end, u64 n)
{
    const struct emu_span *span = &end->span;
    gva_t gva;

    if (n == 1 || (e->state->rflags & RFLAGS_DF) || span->first != size)
        return 1;
    u64 offset = end_offset(e, i, end);
    u64 room = (PAGE_SIZE - (span->gpa[0].v & PAGE_MASK)) / size;
    u64 to_wrap = (mask_bytes(i->addrsize) - offset) / size;
    n = n < room ? n : room;
    n = n < to_wrap ? n : to_wrap;
    if (n <= 1)
        return 1;
    struct emu_event saved = e->event;
    if (emu_linear(e, end->seg, offset, (unsigned)n * size, access, &gva) == EMU_DONE)
        return n;
    e->event = saved;
    return 1;
}

/* The same, but single elements where it is a device's page. */
static u64 end_room(struct emu *e, const struct insn *i, unsigned size, enum emu_access access,
                    const struct string_end *end, u64 n)
{
    return end->span.host[0] != NULL ? end_room_any(e, i, size, access, end, n) : 1;
}

static void end_advance(struct emu *e, const struct insn *i, unsigned size, unsigned reg, u64 n)
{
    u64 bytes = n * size;
    u64 v = e->state->gpr[reg];

    emu_set_gpr(e, reg, i->addrsize, e->state->rflags & RFLAGS_DF ? v - bytes : v + bytes);
}

#define SOURCE(i)                             \
    {                                         \
        .seg = (enum seg)(i)->seg, .reg = RSI \
    }
#define DESTINATION               \
    {                             \
        .seg = SEG_ES, .reg = RDI \
    }

static void host_movs(void *to, const void *from, unsigned size, u64 n)
{
    switch (size) {
    case 1: __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 2: __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 4: __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    default: __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    }
}

static void host_stos(void *to, u64 value, unsigned size, u64 n)
{
    switch (size) {
    case 1: __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    case 2: __asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    case 4: __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    default: __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(value) : "memory");
    }
}

/* Elements between RAM and a device, or two devices, one by one within their pages. */
static void device_movs(struct emu *e, struct emu_span *to, struct emu_span *from, u64 n)
{
    for (unsigned size = to->size; n-- > 0; to->gpa[0].v += size, from->gpa[0].v += size) {
        emu_span_store(e, to, emu_span_load(e, from));
        if (to->host[0] != NULL)
            to->host[0] += size;
        if (from->host[0] != NULL)
            from->host[0] += size;
    }
}

#define DEVICE_BURST 64u /* then pending events are looked at */

static enum emu_status movs_step(struct emu *e, const struct insn *i, u64 *n)
{
    unsigned size = i->size;
    struct string_end from = SOURCE(i), to = DESTINATION;
    enum emu_status st = end_map(e, i, size, EMU_READ, &from);

    if (st == EMU_DONE)
        st = end_map(e, i, size, EMU_WRITE, &to);
    if (st != EMU_DONE)
        return st;
    *n = end_room_any(e, i, size, EMU_READ, &from, *n);
    *n = end_room_any(e, i, size, EMU_WRITE, &to, *n);
    if (*n > 1 && from.span.host[0] != NULL && to.span.host[0] != NULL)
        host_movs(to.span.host[0], from.span.host[0], size, *n);
    else
        device_movs(e, &to.span, &from.span, *n = *n < DEVICE_BURST ? *n : DEVICE_BURST);
    end_advance(e, i, size, RSI, *n);
    end_advance(e, i, size, RDI, *n);
    return EMU_DONE;
}

static enum emu_status stos_step(struct emu *e, const struct insn *i, u64 *n)
{
    struct string_end to = DESTINATION;
    TRY(end_map(e, i, i->size, EMU_WRITE, &to));
    *n = end_room(e, i, i->size, EMU_WRITE, &to, *n);
    if (*n > 1)
        host_stos(to.span.host[0], e->state->gpr[RAX], i->size, *n);
    else
        emu_span_store(e, &to.span, e->state->gpr[RAX]);
    end_advance(e, i, i->size, RDI, *n);
    return EMU_DONE;
}

static enum emu_status lods_step(struct emu *e, const struct insn *i, u64 *n)
{
    struct string_end from = SOURCE(i);
    TRY(end_map(e, i, i->size, EMU_READ, &from));
    *n = 1;
    emu_set_gpr(e, RAX, i->size, emu_span_load(e, &from.span));
    end_advance(e, i, i->size, RSI, 1);
    return EMU_DONE;
}

/* Compare elements of two strings while they are (un)equal; flags of the last comparison. */
#define COMPARE(text, suffix)                                       \
    __asm__ volatile("cmpq %%rax, %%rax\n\t" text suffix FLAGS_SAVE \
                     : "=a"(ax), "+S"(a), "+D"(b), "+c"(left)       \
                     : "0"(0)                                       \
                     : "cc", "memory")
static u32 host_cmps(bool while_equal, unsigned size, const void *a, const void *b, u64 *n)
{
    u64 left = *n;
    u32 ax;

    if (size == 1 && while_equal)
        COMPARE("repe ", "cmpsb");
    else if (size == 1)
        COMPARE("repne ", "cmpsb");
    else if (size == 2 && while_equal)
        COMPARE("repe ", "cmpsw");
    else if (size == 2)
        COMPARE("repne ", "cmpsw");
    else if (size == 4 && while_equal)
        COMPARE("repe ", "cmpsl");
    else if (size == 4)
        COMPARE("repne ", "cmpsl");
    else if (while_equal)
        COMPARE("repe ", "cmpsq");
    else
        COMPARE("repne ", "cmpsq");
    *n -= left;
    return ax;
}

static enum emu_status cmps_step(struct emu *e, const struct insn *i, u64 *n)
{
    unsigned size = i->size;
    struct string_end a = SOURCE(i), b = DESTINATION;
    u64 va, vb;
    const void *pa = &va, *pb = &vb;
    enum emu_status st = end_map(e, i, size, EMU_READ, &b); /* first, as CPUs do */

    if (st == EMU_DONE)
        st = end_map(e, i, size, EMU_READ, &a);
    if (st != EMU_DONE)
        return st;
    *n = end_room(e, i, size, EMU_READ, &a, *n);
    *n = end_room(e, i, size, EMU_READ, &b, *n);
    if (*n > 1) {
        pa = a.span.host[0];
        pb = b.span.host[0];
    } else {
        va = emu_span_load(e, &a.span);
        vb = emu_span_load(e, &b.span);
    }
    u32 ax = host_cmps(i->rep == 0xf3, size, pa, pb, n);
    emu_set_rflags(e, flags_unpack(e->state->rflags, ax));
    end_advance(e, i, size, RSI, *n);
    end_advance(e, i, size, RDI, *n);
    return EMU_DONE;
}

#define SCAN(text, suffix)                                          \
    __asm__ volatile("cmpq %%rax, %%rax\n\t" text suffix FLAGS_SAVE \
                     : "=a"(ax), "+D"(at), "+c"(left)               \
                     : "0"(value)                                   \
                     : "cc", "memory")
static u32 host_scas(bool while_equal, unsigned size, u64 value, const void *at, u64 *n)
{
    u64 left = *n, ax;

    if (size == 1 && while_equal)
        SCAN("repe ", "scasb");
    else if (size == 1)
        SCAN("repne ", "scasb");
    else if (size == 2 && while_equal)
        SCAN("repe ", "scasw");
    else if (size == 2)
        SCAN("repne ", "scasw");
    else if (size == 4 && while_equal)
        SCAN("repe ", "scasl");
    else if (size == 4)
        SCAN("repne ", "scasl");
    else if (while_equal)
        SCAN("repe ", "scasq");
    else
        SCAN("repne ", "scasq");
    *n -= left;
    return (u32)ax;
}

static enum emu_status scas_step(struct emu *e, const struct insn *i, u64 *n)
{
    struct string_end b = DESTINATION;
    u64 v;
    const void *at = &v;
    TRY(end_map(e, i, i->size, EMU_READ, &b));
    *n = end_room(e, i, i->size, EMU_READ, &b, *n);
    if (*n > 1)
        at = b.span.host[0];
    else
        v = emu_span_load(e, &b.span);
    u32 ax = host_scas(i->rep == 0xf3, i->size, e->state->gpr[RAX], at, n);
    emu_set_rflags(e, flags_unpack(e->state->rflags, ax));
    end_advance(e, i, i->size, RDI, *n);
    return EMU_DONE;
}

enum emu_status op_movs(struct emu *e, const struct insn *i) { return repeat(e, i, movs_step); }

enum emu_status op_stos(struct emu *e, const struct insn *i) { return repeat(e, i, stos_step); }

enum emu_status op_lods(struct emu *e, const struct insn *i) { return repeat(e, i, lods_step); }

enum emu_status op_cmps(struct emu *e, const struct insn *i) { return repeat(e, i, cmps_step); }

enum emu_status op_scas(struct emu *e, const struct insn *i) { return repeat(e, i, scas_step); }

/* ---- ports ----------------------------------------------------------------------------------- */

#define TSS_IO_MAP    102u /* offset of the I/O map base, SDM vol. 3A, 7.2.1 */
#define TSS_TYPE_BUSY 0x0bu
#define TSS_TYPE_FREE 0x09u

/* SDM vol. 1, 19.5.2 */
enum emu_status emu_check_io(struct emu *e, u16 port, unsigned size)
{
    const struct x86_state *s = e->state;
    const struct segment *tr = &s->seg[SEG_TR];
    u16 base, bits;

    if (e->watch) /* told of when the access is allowed, and done */
        e->hits |= (u8)emu_breakpoints(s, port, size, EMU_BREAK_IO);
    if (!(s->cr0 & CR0_PE) || (!(s->rflags & RFLAGS_VM) && emu_cpl(e) <= emu_iopl(e)))
        return EMU_DONE;
    if (e->vmware_ports && (port == 0x5658 || port == 0x5659))
        return EMU_DONE;
    emu_need(e, STATE_SEG(SEG_TR));
    unsigned type = tr->access & SEG_TYPE;
    if ((type != TSS_TYPE_BUSY && type != TSS_TYPE_FREE) || tr->limit < TSS_IO_MAP + 1)
        return emu_gp(e, 0);
    TRY(emu_read_linear(e, GVA(tr->base + TSS_IO_MAP), &base, 2, EMU_IMPLICIT));
    u32 at = base + port / 8u;
    if (at + 1 > tr->limit)
        return emu_gp(e, 0);
    TRY(emu_read_linear(e, GVA(tr->base + at), &bits, 2, EMU_IMPLICIT));
    return (u32)bits >> (port & 7) & (BIT(size) - 1) ? emu_gp(e, 0) : EMU_DONE;
}

static u16 port_of(const struct emu *e, const struct insn *i, u16 arg)
{
    return (u16)(ARG_LETTER(arg) == ARG_IU ? i->imm : e->state->gpr[RDX]);
}

enum emu_status op_in(struct emu *e, const struct insn *i)
{
    u16 port = port_of(e, i, i->op->arg[1]);
    u64 value = 0, count = 1;
    TRY(emu_check_io(e, port, i->size));
    e->ops->port_in(e->ctx, port, i->size, &value, &count);
    emu_record_io(e, EMU_IO_IN, port, i->size, value);
    emu_set_gpr(e, RAX, i->size, value);
    return EMU_DONE;
}

enum emu_status op_out(struct emu *e, const struct insn *i)
{
    unsigned size = emu_arg_bytes(i, i->op->arg[1]);
    u16 port = port_of(e, i, i->op->arg[0]);
    u64 value = e->state->gpr[RAX] & mask_bytes(size), count = 1;
    TRY(emu_check_io(e, port, size));
    emu_record_io(e, EMU_IO_OUT, port, size, value);
    e->ops->port_out(e->ctx, port, size, &value, &count);
    return EMU_DONE;
}

static enum emu_status ins_step(struct emu *e, const struct insn *i, u64 *n)
{
    struct string_end to = DESTINATION;
    u16 port = (u16)e->state->gpr[RDX];
    u64 v = 0;
    TRY(end_map(e, i, i->size, EMU_WRITE, &to));
    *n = end_room(e, i, i->size, EMU_WRITE, &to, *n);
    bool direct = to.span.host[0] != NULL && to.span.first == i->size;
    void *data = direct ? to.span.host[0] : (u8 *)&v;
    e->ops->port_in(e->ctx, port, i->size, data, n);
    if (!direct)
        emu_span_store(e, &to.span, v);
    emu_record_io(e, EMU_IO_IN, port, i->size, host_load(data, i->size));
    end_advance(e, i, i->size, RDI, *n);
    return EMU_DONE;
}

static enum emu_status outs_step(struct emu *e, const struct insn *i, u64 *n)
{
    unsigned size = emu_arg_bytes(i, i->op->arg[1]);
    struct string_end from = SOURCE(i);
    u16 port = (u16)e->state->gpr[RDX];
    u64 v;
    TRY(end_map(e, i, size, EMU_READ, &from));
    *n = end_room(e, i, size, EMU_READ, &from, *n);
    const void *data = from.span.host[0];
    if (*n == 1) {
        v = emu_span_load(e, &from.span);
        data = &v;
    }
    emu_record_io(e, EMU_IO_OUT, port, size, host_load(data, size));
    e->ops->port_out(e->ctx, port, size, data, n);
    end_advance(e, i, size, RSI, *n);
    return EMU_DONE;
}

enum emu_status op_ins(struct emu *e, const struct insn *i)
{
    TRY(emu_check_io(e, (u16)e->state->gpr[RDX], i->size));
    return repeat(e, i, ins_step);
}

enum emu_status op_outs(struct emu *e, const struct insn *i)
{
    TRY(emu_check_io(e, (u16)e->state->gpr[RDX], emu_arg_bytes(i, i->op->arg[1])));
    return repeat(e, i, outs_step);
}
