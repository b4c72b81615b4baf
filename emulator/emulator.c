/* SPDX-License-Identifier: MIT
 *
 * One instruction from fetch to retirement, and the decode cache.  Everything else in this folder
 * is called from here through the opcode tables.
 */
#include "emulator/emulator.h"
#include "emulator/internal.h"

#define DB_SINGLE_STEP BIT(14) /* DR6.BS, SDM vol. 3B, 17.2.3 */
#define INSN_MAX       15u

/* ---- decode cache ---------------------------------------------------------------------------- */

#define CACHE_ENTRIES 512u

/* Direct-mapped by linear address; an entry counts only while the guest's bytes equal its own. */
struct cache_entry {
    u64 gva;
    u64 bytes[2]; /* what was decoded, zero after its length */
    u64 mask[2];  /* which of them are the instruction */
    u32 key;      /* mode and CS.D */
    struct insn insn;
};
struct emu_cache {
    struct cache_entry entry[CACHE_ENTRIES];
};

#define KEY_NONE ~0u

size_t emu_cache_size(void)
{
    return sizeof(struct emu_cache);
}

void emu_cache_init(struct emu_cache *c)
{
    for (unsigned n = 0; n < CACHE_ENTRIES; n++)
        c->entry[n].key = KEY_NONE;
}

static inline struct cache_entry *cache_slot(struct emu_cache *c, u64 gva)
{
    return &c->entry[(gva ^ gva >> 9) % CACHE_ENTRIES];
}

/* `host` has 16 readable bytes. */
static inline const struct insn *cache_find(struct emu_cache *c, u64 gva, u32 key, const u8 *host)
{
    const struct cache_entry *t = cache_slot(c, gva);

    if (t->gva != gva || t->key != key)
        return NULL;
    u64 differ = (host_load(host, 8) ^ t->bytes[0]) & t->mask[0];
    differ |= (host_load(host + 8, 8) ^ t->bytes[1]) & t->mask[1];
    return differ == 0 ? &t->insn : NULL;
}

static const struct insn *cache_fill(struct emu_cache *c, u64 gva, u32 key, const u8 *bytes,
                                     const struct insn *i)
{
    struct cache_entry *t = cache_slot(c, gva);

    t->gva = gva;
    t->key = key;
    t->mask[0] = i->length >= 8 ? ~0ull : mask_bytes(i->length);
    t->mask[1] = i->length <= 8 ? 0 : mask_bytes(i->length - 8u);
    t->bytes[0] = host_load(bytes, 8) & t->mask[0];
    t->bytes[1] = host_load(bytes + 8, 8) & t->mask[1];
    t->insn = *i;
    return &t->insn;
}

/* ---- fetch ----------------------------------------------------------------------------------- */

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

/* Where an instruction's bytes come from. */
struct fetch {
    gva_t gva;      /* of the first byte */
    unsigned limit; /* bytes the code segment allows, 15 at most */
    enum emu_mode mode;
    bool code32;
    unsigned have;
    u8 bytes[INSN_MAX + 1];
};

/* Linear address and room in the segment; #GP(0) when there is none. */
static enum emu_status fetch_begin(struct emu *e, struct fetch *f)
{
    const struct x86_state *s = e->state;
    const struct segment *cs = &s->seg[SEG_CS];

    f->mode = emu_mode(s);
    f->code32 = cs->access & SEG_DB;
    f->limit = INSN_MAX;
    if (f->mode == EMU_MODE_64) {
        f->gva = GVA(s->rip);
        return emu_canonical(e, s->rip) ? EMU_DONE : emu_gp(e, 0);
    }
    f->gva = GVA((u32)(cs->base + s->rip));
    if (s->rip > cs->limit)
        return emu_gp(e, 0);
    if (cs->limit - s->rip < INSN_MAX)
        f->limit = (unsigned)(cs->limit - s->rip) + 1;
    return EMU_DONE;
}

/* Bytes from `have` up to `want`, not past a page's end; a device gives one at a time. */
static enum emu_status fetch_more(struct emu *e, struct fetch *f, unsigned want)
{
    struct emu_span span;
    gva_t at = GVA(f->gva.v + f->have);
    unsigned room = (unsigned)(PAGE_SIZE - (at.v & PAGE_MASK));
    unsigned n = want - f->have < room ? want - f->have : room;

    if (f->mode != EMU_MODE_64)
        at = GVA((u32)at.v);
    enum emu_status st = emu_map(e, at, n, EMU_FETCH, &span);
    if (st != EMU_DONE)
        return st;
    if (span.host[0] == NULL)
        span.size = span.first = (u16)(n = 1);
    st = emu_span_read(e, &span, f->bytes + f->have);
    f->have += n;
    return st;
}

static enum emu_status decode_failed(struct emu *e, enum decode_result r)
{
    return r == DECODE_UD ? emu_ud(e) : emu_gp(e, 0);
}

/* The slow way: as many pieces as it takes, into *i. */
static enum emu_status decode_pieces(struct emu *e, struct fetch *f, struct insn *i)
{
    for (;;) {
        if (f->have == f->limit) { /* it needs bytes that the segment or the CPU does not allow */
            return emu_gp(e, 0);
        }
        enum emu_status st = fetch_more(e, f, f->limit);
        if (st != EMU_DONE)
            return st;
        enum decode_result r = emu_decode(f->bytes, f->have, f->mode, f->code32, i);
        if (r == DECODE_OK)
            return EMU_DONE;
        if (r != DECODE_MORE)
            return decode_failed(e, r);
    }
}

/*
 * The instruction at CS:RIP: in the cache when all of it is in one page of RAM (and 16 bytes from
 * its start are), else in *local.
 */
static enum emu_status fetch_insn(struct emu *e, struct insn *local, const struct insn **out)
{
    struct fetch f;
    struct emu_span span;

    f.have = 0;
    *out = local;
    enum emu_status st = fetch_begin(e, &f);
    if (st != EMU_DONE)
        return st;
    e->record.mode = (u8)f.mode;
    if (e->cache != NULL && (f.gva.v & PAGE_MASK) <= PAGE_SIZE - 16 && f.limit == INSN_MAX) {
        st = emu_map(e, f.gva, 1, EMU_FETCH, &span);
        if (st != EMU_DONE)
            return st;
        const u8 *host = span.host[0];
        u32 key = (u32)f.mode | (f.code32 ? 0x10 : 0);
        if (likely(host != NULL)) {
            const struct insn *i = cache_find(e->cache, f.gva.v, key, host);
            if (likely(i != NULL)) {
                __builtin_memcpy(e->record.bytes, host, INSN_MAX);
                e->record.length = i->length;
                *out = i;
                return EMU_DONE;
            }
            __builtin_memcpy(f.bytes, host, INSN_MAX);
            f.bytes[INSN_MAX] = 0;
            __builtin_memcpy(e->record.bytes, f.bytes, INSN_MAX);
            enum decode_result r = emu_decode(f.bytes, INSN_MAX, f.mode, f.code32, local);
            e->record.length = local->length;
            if (r != DECODE_OK)
                return decode_failed(e, r);
            *out = cache_fill(e->cache, f.gva.v, key, f.bytes, local);
            return EMU_DONE;
        }
    }
    st = decode_pieces(e, &f, local);
    __builtin_memcpy(e->record.bytes, f.bytes, INSN_MAX);
    e->record.length = (u8)(st == EMU_DONE ? local->length : f.have);
    return st;
}

/* ---- checks before execution ------------------------------------------------------------------
 */

/* x87, MMX, SSE and AVX state: SDM vol. 3A, 2.5 and vol. 2A, 2.4. */
static enum emu_status check_vector(struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;
    u32 flags = i->op->flags;

    if (i->vex != 0) {
        if (i->mode == EMU_MODE_REAL || i->mode == EMU_MODE_VM86)
            return emu_ud(e);
        if (flags & OP_GPRVEX)
            return EMU_DONE;
        if (!(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & 6) != 6 || !emu_has(e, EMU_HAS_AVX))
            return emu_ud(e);
    } else if (flags & OP_SSE) {
        if ((s->cr0 & CR0_EM) || !(s->cr4 & CR4_OSFXSR))
            return emu_ud(e);
    } else if (s->cr0 & CR0_EM) {
        return emu_raise(e, VECTOR_NM, false, 0);
    }
    return s->cr0 & CR0_TS ? emu_raise(e, VECTOR_NM, false, 0) : EMU_DONE;
}

#define OP_VECTOR (OP_FPU | OP_SSE | OP_AVX | OP_GPRVEX)

static enum emu_status check(struct emu *e, const struct insn *i)
{
    const struct opcode *op = i->op;

    if (unlikely(op->feature != 0) && !emu_has(e, (enum emu_feature)(op->feature - 1)))
        return emu_ud(e);
    if (unlikely(op->flags & (OP_VECTOR | OP_CPL0))) {
        if (op->flags & OP_VECTOR)
            return check_vector(e, i);
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
    if (unlikely((s->interruptibility & shadows) != r->shadow)) {
        s->interruptibility = (s->interruptibility & ~shadows) | r->shadow;
        s->dirty |= STATE_INTERRUPTIBILITY;
    }
    if (unlikely(s->rflags & RFLAGS_RF) && !r->keep_rf)
        emu_set_rflags(e, s->rflags & ~(u64)RFLAGS_RF);
    if (unlikely(r->tf) && !r->no_trap && !(r->shadow & BLOCKED_BY_MOV_SS)) {
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
    enum emu_status st = fetch_insn(e, &local, &i);
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
    enum emu_status st = fetch_insn(e, &local, &i);
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
