/* SPDX-License-Identifier: MIT
 *
 * One instruction from fetch to retirement.  Everything else in this folder is called from here,
 * most of it through the opcode tables.
 *
 * A cache makes the fetch short, and cannot be stale: a decoded instruction counts while the
 * guest's bytes are what was decoded, and its translation while the paging entries it came from are
 * what they were.
 */
#include "emulator/emulator.h"
#include "emulator/internal.h"

#define SHADOWS (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)

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

/* ---- the cache ------------------------------------------------------------------------------ */

#define OTHER_TAG(key, gva) (BIT64(62) | (u64)(key) << 40 | (gva)) /* not canonical, so no RIP */
#define NO_TAG              (~0ull >> 1)                           /* likewise */
#define NO_PAGE             (~0ull)

size_t emu_cache_size(void) { return sizeof(struct emu_cache); }

void emu_cache_init(struct emu_cache *c)
{
    for (unsigned n = 0; n < CACHE_PAGES; n++)
        c->page[n].page = NO_PAGE;
    for (unsigned n = 0; n < CACHE_INSNS; n++)
        c->insn[n].tag = NO_TAG;
}

static inline struct emu_cached *cache_slot(struct emu_cache *c, u64 gva)
{
    return &c->insn[gva % CACHE_INSNS];
}

/* Are the bytes at `host` (16 can be read) those of the entry? */
static inline bool cache_same(const struct emu_cached *t, const u8 *host)
{
    const u64 *code = (const u64 *)(const void *)&t->code;
    u64 differ = (host_load(host, 8) ^ code[0]) & t->mask[0];

    return likely((differ | ((host_load(host + 8, 8) ^ code[1]) & t->mask[1])) == 0);
}

/* In 64-bit mode: is it known where the code at RIP is on the host, and may it be executed? */
static inline bool known_code(const struct emu *e, const u8 **host)
{
    const struct x86_state *s = e->state;
    const struct emu_translation *t = emu_translation_slot(e->cache, GVA(s->rip));

    if (!emu_translates(t, s, GVA(s->rip)) || unlikely(t->cs != s->seg[SEG_CS].access))
        return false;
    *host = t->code + (s->rip & PAGE_MASK);
    return true;
}

/* A mask of the first n of eight bytes. */
static u64 first_bytes(int n) { return n <= 0 ? 0 : n >= 8 ? ~0ull : mask_bytes((unsigned)n); }

/* An instruction's bytes as they are told of; 16 can be read. */
static struct emu_code code_of(const u8 *bytes, unsigned length, enum emu_mode mode)
{
    u64 raw[2] = {host_load(bytes, 8) & first_bytes((int)length),
                  host_load(bytes + 8, 8) & first_bytes((int)length - 8)};
    struct emu_code c;

    memcpy(&c, raw, sizeof(c));
    c.length = length & 15;
    c.mode = (unsigned)mode & 15;
    return c;
}

/* ---- fetch ----------------------------------------------------------------------------------- */

/* Where an instruction's bytes come from. */
struct fetch {
    gva_t gva;      /* of the first byte */
    unsigned limit; /* bytes the code segment allows, 15 at most */
    enum emu_mode mode;
    bool code32;
    unsigned have;
    u8 bytes[CODE_ROOM];
};

/* Linear address and room in the segment; #GP(0) when there is none. */
static enum emu_status fetch_begin(struct emu *e, struct fetch *f)
{
    const struct x86_state *s = e->state;
    const struct segment *cs = &s->seg[SEG_CS];

    *f = (struct fetch){
        .gva = GVA(s->rip), .limit = INSN_MAX, .mode = emu_mode(s), .code32 = cs->access & SEG_DB};
    e->fetched = (struct emu_code){.mode = (unsigned)f->mode & 15};
    if (f->mode == EMU_MODE_64)
        return EMU_DONE;
    emu_need(e, STATE_SEG(SEG_CS));
    f->gva = GVA((u32)(cs->base + s->rip));
    if (s->rip > cs->limit)
        return emu_gp(e, 0);
    if (cs->limit - s->rip < INSN_MAX)
        f->limit = (unsigned)(cs->limit - s->rip) + 1;
    return EMU_DONE;
}

static u64 fetch_tag(const struct x86_state *s, enum emu_mode mode, u64 gva)
{
    unsigned key = (unsigned)mode | (s->seg[SEG_CS].access & SEG_DB ? 8 : 0);

    if (mode == EMU_MODE_64)
        return gva;
    return OTHER_TAG(key | (s->cr0 & CR0_PG ? 16 : 0), gva);
}

static void no_instruction(struct emu *e, enum decode_result r)
{
    (void)(r == DECODE_UD ? emu_ud(e) : emu_gp(e, 0));
}

/* Translate a byte of code. */
static enum emu_status fetch_map(struct emu *e, const struct fetch *f, gva_t at, struct emu_walk *w,
                                 u8 **host)
{
    if (f->mode == EMU_MODE_64 && !emu_canonical(e, at.v))
        return emu_gp(e, 0);
    return emu_map_page(e, at, EMU_FETCH | (emu_cpl(e) == 3 ? EMU_USER : 0), w, host);
}

/* More bytes, not past a page's end; a device gives one at a time. */
static enum emu_status fetch_more(struct emu *e, struct fetch *f)
{
    u64 at = f->gva.v + f->have;
    unsigned room = (unsigned)(PAGE_SIZE - (at & PAGE_MASK));
    unsigned left = f->limit - f->have, n = left < room ? left : room;
    struct emu_walk w;
    u8 *host;

    TRY(fetch_map(e, f, GVA(f->mode == EMU_MODE_64 ? at : (u32)at), &w, &host));
    if (host != NULL)
        memcpy(f->bytes + f->have, host, n);
    else
        f->bytes[f->have] = (u8)emu_device_read(e, w.gpa, n = 1);
    f->have += n;
    return EMU_DONE;
}

/* The slow way: as many pieces as it takes, into *i. */
static enum emu_status fetch_pieces(struct emu *e, struct fetch *f, struct insn *i)
{
    enum decode_result r = DECODE_MORE;

    while (r == DECODE_MORE) {
        if (f->have == f->limit) /* it needs bytes that the segment or the CPU does not allow */
            return emu_gp(e, 0);
        TRY(fetch_more(e, f));
        e->fetched = code_of(f->bytes, f->have, f->mode);
        r = emu_decode(f->bytes, f->have, f->mode, f->code32, i);
    }
    if (r == DECODE_OK)
        e->fetched = code_of(f->bytes, i->length, f->mode);
    else
        no_instruction(e, r);
    return r == DECODE_OK ? EMU_DONE : EMU_FAULT;
}

/* The code of a page that has just been translated is at `host`: let known_code() say so. */
static void note_code(struct emu *e, gva_t gva, u8 *host)
{
    const struct x86_state *s = e->state;
    struct emu_translation *t = emu_translation_slot(e->cache, gva);
    u32 cs = s->seg[SEG_CS].access;

    if (!(cs & SEG_L) || (cs & 4) || !emu_translates(t, s, gva)) /* 4: conforming, so of any CPL */
        return;
    t->code = host - (gva.v & PAGE_MASK);
    t->cs = cs;
}

/* Whatever it takes: from the cache, or into it, when all that it may be is in one page of RAM. */
static enum emu_status fetch(struct emu *e, struct insn *local, const struct insn **out)
{
    struct emu_walk w;
    struct fetch f;
    u8 *ram;

    *out = local;
    TRY(fetch_begin(e, &f));
    if (e->cache == NULL || (f.gva.v & PAGE_MASK) > PAGE_SIZE - sizeof(struct emu_code) ||
        f.limit != INSN_MAX)
        return fetch_pieces(e, &f, local);
    const u8 *host;
    if (f.mode != EMU_MODE_64 || !known_code(e, &host)) {
        TRY(fetch_map(e, &f, f.gva, &w, &ram));
        if (ram == NULL)
            return fetch_pieces(e, &f, local);
        note_code(e, f.gva, ram);
        host = ram;
    }
    struct emu_cached *t = cache_slot(e->cache, f.gva.v);
    u64 tag = fetch_tag(e->state, f.mode, f.gva.v);
    if (t->tag != tag || !cache_same(t, host)) {
        t->tag = NO_TAG;
        memcpy(f.bytes, host, sizeof(struct emu_code));
        enum decode_result r = emu_decode(f.bytes, INSN_MAX, f.mode, f.code32, &t->insn);
        t->code = code_of(f.bytes, t->insn.length, f.mode);
        if (r != DECODE_OK) {
            e->fetched = t->code;
            no_instruction(e, r);
            return EMU_FAULT;
        }
        t->tag = tag;
        t->mask[0] = first_bytes(t->insn.length);
        t->mask[1] = first_bytes(t->insn.length - 8);
    }
    t->host = host;
    e->record.code = &t->code;
    *out = &t->insn;
    return EMU_DONE;
}

/* ---- what is known --------------------------------------------------------------------------- */

/* Without paging an address is what it is: no translation to check.  `key`: fetch_tag() of 0. */
static inline const struct emu_cached *known_unpaged(const struct emu *e, u64 key)
{
    const struct x86_state *s = e->state;
    const struct segment *cs = &s->seg[SEG_CS];
    u64 gva = (u32)(cs->base + s->rip);
    const struct emu_cached *t = cache_slot(e->cache, gva);

    if (t->tag != (key | gva) || s->rip + t->insn.length - 1 > cs->limit)
        return NULL;
    return cache_same(t, t->host) ? t : NULL;
}

/* What known_unpaged() is asked with; 0: nothing. */
static inline u64 unpaged_key(const struct emu *e)
{
    if (e->cache == NULL || (e->state->cr0 & CR0_PG))
        return 0;
    emu_need(e, STATE_SEG(SEG_CS));
    return fetch_tag(e->state, emu_mode(e->state), 0);
}

/* The usual case, in 64-bit mode: the instruction is known, and what is known still holds. */
static inline const struct emu_cached *known(const struct emu *e)
{
    const struct x86_state *s = e->state;

    if (unlikely(e->cache == NULL))
        return NULL;
    const struct emu_cached *t = cache_slot(e->cache, s->rip);
    if (unlikely(t->tag != s->rip))
        return NULL;
    const u8 *host;
    return known_code(e, &host) && cache_same(t, host) ? t : NULL;
}

/* ---- checks before execution -------------------------------------------------------------- */

static NOINLINE enum emu_status check(struct emu *e, const struct insn *i)
{
    const struct opcode *op = i->op;

    if (op->feature != 0 && !emu_has(e, (enum emu_feature)(op->feature - 1)))
        return emu_ud(e);
    if (op->flags & OP_VECTOR)
        TRY(emu_check_vector(e, i));
    if (!(op->flags & OP_LEVEL) || emu_cpl(e) == 0 ||
        ((op->flags & OP_UMIP) && !(e->state->cr4 & CR4_UMIP)))
        return EMU_DONE;
    return op->flags & OP_HIDDEN ? emu_ud(e) : emu_gp(e, 0);
}

/* ---- execution and retirement ------------------------------------------------------------- */

/* There is more to do than to go on. */
static NOINLINE void retire_special(struct emu *e)
{
    struct x86_state *s = e->state;
    const union emu_retiring *r = &e->step;

    if ((s->interruptibility & SHADOWS) != r->shadow) {
        s->interruptibility = (s->interruptibility & ~SHADOWS) | r->shadow;
        s->dirty |= STATE_INTERRUPTIBILITY;
    }
    if ((s->rflags & RFLAGS_RF) && !r->keep_rf)
        emu_set_rflags(e, s->rflags & ~(u64)RFLAGS_RF);
    if ((r->before & RFLAGS_TF) && !r->no_trap && !(r->shadow & BLOCKED_BY_MOV_SS))
        (void)emu_db(e, DR6_BS | (e->event.vector == VECTOR_DB ? e->event.payload : 0));
}

/* The one place where an instruction ends: state.rip has been moved on already. */
static inline void retire(struct emu *e)
{
    e->state->dirty |= STATE_RIP;
    if (unlikely(e->step.any != 0))
        retire_special(e);
}

/* What emu_step and emu_retire begin with. */
static inline void begin(struct emu *e)
{
    const struct x86_state *s = e->state;

    e->event.vector = VECTOR_NONE;
    e->step.any = (s->rflags & (RFLAGS_TF | RFLAGS_RF)) | (s->interruptibility & SHADOWS);
}

static inline void record_begin(struct emu *e)
{
    begin(e);
    e->record.rip = e->state->rip;
    e->record.io = EMU_IO_NONE;
    e->record.iterations = 1;
}

static inline void move_on(struct x86_state *s, bool mode64, unsigned length)
{
    s->rip += length;
    if (unlikely(!mode64))
        s->rip = (u32)s->rip;
}

static inline enum emu_status execute(struct emu *e, const struct insn *i, bool mode64)
{
    struct x86_state *s = e->state;

    if (unlikely(i->checked))
        TRY(check(e, i));
    move_on(s, mode64, i->length);
    enum emu_status st = i->op->handler(e, i);
    if (likely(st == EMU_DONE))
        retire(e);
    else
        s->rip = e->record.rip;
    return st;
}

static NOINLINE enum emu_status step_unknown(struct emu *e)
{
    const struct insn *i;
    struct insn local;

    e->record.code = &e->fetched;
    TRY(fetch(e, &local, &i));
    return execute(e, i, i->mode == EMU_MODE_64);
}

/* key: fetch_tag() of 0 without paging, else 0. */
static inline enum emu_status step(struct emu *e, u64 key)
{
    record_begin(e);
    const struct emu_cached *t = key != 0 ? known_unpaged(e, key) : known(e);
    if (unlikely(t == NULL))
        return step_unknown(e);
    e->record.code = &t->code;
    return execute(e, &t->insn, key == 0);
}

enum emu_status emu_run(struct emu *e, u32 until, unsigned *count)
{
    const struct x86_state *s = e->state;
    const u64 key = unpaged_key(e);
    unsigned left = *count;
    enum emu_status st;

    until |= STATE_CR0 | STATE_SEG(SEG_CS); /* which make another key */
    do
        st = step(e, key);
    while (--left != 0 && emu_is_plain(e, st) && !(s->dirty & until) &&
           e->record.io == EMU_IO_NONE);
    *count -= left;
    return st;
}

enum emu_status emu_step(struct emu *e)
{
    unsigned one = 1;

    return likely(e->state->cr0 & CR0_PG) ? step(e, 0) : emu_run(e, 0, &one);
}

void emu_retire(struct emu *e, unsigned length)
{
    begin(e);
    move_on(e->state, emu_mode(e->state) == EMU_MODE_64, length);
    retire(e);
}

enum emu_status emu_skip(struct emu *e)
{
    struct insn local;
    const struct insn *i;

    record_begin(e);
    e->record.code = &e->fetched;
    enum emu_status st = fetch(e, &local, &i);
    if (st == EMU_DONE)
        emu_retire(e, i->length);
    return st;
}

bool emu_take_forced(struct emu *e)
{
    static const u8 prefix[] = {0x0f, 0x0b, 'k', 'v', 'm'};
    u8 bytes[sizeof(prefix)];
    gva_t gva;

    if (!emu_reaches(e, SEG_CS, e->state->rip, sizeof(bytes), EMU_FETCH, &gva) ||
        emu_read_linear(e, gva, bytes, sizeof(bytes), EMU_FETCH) != EMU_DONE ||
        memcmp(bytes, prefix, sizeof(prefix)) != 0)
        return false;
    move_on(e->state, emu_mode(e->state) == EMU_MODE_64, sizeof(prefix));
    e->state->dirty |= STATE_RIP;
    return true;
}

bool emu_at_port_access(struct emu *e)
{
    struct insn local;
    const struct insn *i;

    if (fetch(e, &local, &i) != EMU_DONE)
        return false;
    emu_handler *h = i->op->handler;
    return h == op_port || (h == op_string && i->op->sub >= STRING_INS);
}
