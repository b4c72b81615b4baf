/* SPDX-License-Identifier: MIT
 *
 * One instruction from fetch to retirement.  Everything else in this folder is called from here,
 * most of it through the opcode tables.
 *
 * Two caches make the fetch short, and neither can be stale: a decoded instruction counts while the
 * guest's bytes are what was decoded, and a translation while the paging entries it came from are
 * what they were.
 */
#include "emulator/emulator.h"
#include "emulator/internal.h"

#define DB_SINGLE_STEP BIT(14) /* DR6.BS, SDM vol. 3B, 17.2.3 */
#define SHADOWS        (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)
#define INSN_MAX       15u

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

/* ---- the caches ------------------------------------------------------------------------------ */

#define CACHE_INSNS 512u
#define CACHE_PAGES 16u
#define LEVELS      4u

/* A page of 64-bit code translated with these registers by these entries (4-level paging; where
 * there are fewer entries the last one stands for the rest). */
struct cache_page {
    u64 stamp;  /* another one whenever the page is filled; 0: the slot is empty */
    u64 number; /* of the linear page */
    u64 cr3, cr4, efer;
    u64 cs_access; /* says 64-bit mode, and the CPL */
    u8 *host;
    const u64 *at[LEVELS];
    u64 entry[LEVELS];
} __attribute__((aligned(128))); /* so that indexing is a shift */

/*
 * Direct-mapped by linear address.  `tag` is RIP in 64-bit mode, else OTHER_TAG with mode and
 * linear address.  What `page` and `host` say holds without a look at the page tables when the
 * stamp is the page's, or there is no paging.
 */
struct cache_entry {
    u64 tag;
    u64 mask[2]; /* which bytes of `code` are the instruction; the rest of it are zero */
    struct emu_code code;
    const u8 *host;
    const struct cache_page *page;
    u64 stamp;
    struct insn insn;
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct cache_entry) == 128 && sizeof(struct emu_code) == 16, "see above");

struct emu_cache {
    struct cache_entry insn[CACHE_INSNS];
    struct cache_page page[CACHE_PAGES];
    u64 stamps; /* the last one given to a page */
};

#define OTHER_TAG(key, gva) (BIT64(62) | (u64)(key) << 40 | (gva)) /* not canonical, so no RIP */
#define NO_TAG              (~0ull >> 1)                           /* likewise */
#define NO_STAMP            (~0ull)

size_t emu_cache_size(void) { return sizeof(struct emu_cache); }

void emu_cache_init(struct emu_cache *c)
{
    for (unsigned n = 0; n < CACHE_INSNS; n++) {
        c->insn[n].tag = NO_TAG;
        c->insn[n].page = &c->page[0];
        c->insn[n].stamp = NO_STAMP;
    }
    for (unsigned n = 0; n < CACHE_PAGES; n++)
        c->page[n].stamp = 0;
    c->stamps = 0;
}

/* Is what this translation came from still there? */
static inline bool page_holds(const struct x86_state *s, const struct cache_page *p)
{
    return likely(p->cr3 == s->cr3 && p->cr4 == s->cr4 && p->efer == s->efer &&
                  p->cs_access == s->seg[SEG_CS].access && host_load(p->at[0], 8) == p->entry[0] &&
                  host_load(p->at[1], 8) == p->entry[1] && host_load(p->at[2], 8) == p->entry[2] &&
                  host_load(p->at[3], 8) == p->entry[3]);
}

/* emu_translate tells the entries top down; ctx is a cache_page being filled. */
struct page_filler {
    struct emu *e;
    struct cache_page *page;
    unsigned count;
};

static void page_note(void *ctx, const struct emu_walk_step *step)
{
    struct page_filler *f = ctx;
    const u64 *at = f->e->ops->ram(f->e->ctx, step->entry_at, EMU_READ | EMU_IMPLICIT);

    for (unsigned n = f->count++; n < LEVELS; n++) {
        f->page->at[n] = at;
        f->page->entry[n] = step->entry;
    }
}

/* Can translations be kept?  Only in 64-bit mode, where CS says the CPL (not when it conforms). */
static inline bool page_keeps(const struct x86_state *s)
{
    u32 cs = s->seg[SEG_CS].access;
    return (s->efer & EFER_LMA) && (cs & SEG_L) && !(cs & 4) && !(s->cr4 & CR4_LA57);
}

/* Remember a translation that has just succeeded: a second, looking walk tells its entries. */
static void page_fill(struct emu *e, struct cache_page *p, gva_t gva, u8 *host)
{
    const struct x86_state *s = e->state;
    struct page_filler f = {e, p, 0};
    struct emu_event fault;
    gpa_t gpa;

    p->stamp = 0;
    if (emu_translate(e, gva, EMU_IMPLICIT, &gpa, &fault, page_note, &f) != STATUS_OK)
        return;
    p->stamp = ++e->cache->stamps;
    p->number = gva.v / PAGE_SIZE;
    p->cr3 = s->cr3;
    p->cr4 = s->cr4;
    p->efer = s->efer;
    p->cs_access = s->seg[SEG_CS].access;
    p->host = host - (gva.v & PAGE_MASK);
}

/* Another address space, but the same upper half: all tables but the first may be the same. */
static bool page_moves(const struct emu *e, struct cache_page *p)
{
    const struct x86_state *s = e->state;
    u64 index = p->number >> 27 & 511;
    const u64 *top =
        e->ops->ram(e->ctx, GPA((s->cr3 & PTE_ADDR) + 8 * index), EMU_READ | EMU_IMPLICIT);

    if (top == NULL || *top != p->entry[0])
        return false;
    p->at[0] = top;
    p->cr3 = s->cr3;
    return page_holds(s, p);
}

/* The host address of one byte of code, NULL when it is not in RAM; *page is its translation when
 * that is kept.  (What is found in the cache was canonical when it was put there.) */
static enum emu_status code_address(struct emu *e, gva_t gva, u8 **host,
                                    const struct cache_page **page)
{
    const struct x86_state *s = e->state;
    bool keeps = page_keeps(s);
    struct emu_span span;

    if (!(s->cr0 & CR0_PG)) {
        *host = e->ops->ram(e->ctx, GPA((u32)gva.v), EMU_FETCH);
        return EMU_DONE;
    }
    struct cache_page *p = &e->cache->page[gva.v / PAGE_SIZE % CACHE_PAGES];
    if (keeps && p->stamp != 0 && p->number == gva.v / PAGE_SIZE &&
        (page_holds(s, p) || page_moves(e, p))) {
        *host = p->host + (gva.v & PAGE_MASK);
        *page = p;
        return EMU_DONE;
    }
    if (!emu_canonical(e, gva.v))
        return emu_gp(e, 0);
    TRY(emu_map(e, gva, 1, EMU_FETCH, &span));
    *host = span.host[0];
    if (keeps && *host != NULL) {
        page_fill(e, p, gva, *host);
        *page = p;
    }
    return EMU_DONE;
}

static inline struct cache_entry *cache_slot(struct emu_cache *c, u64 gva)
{
    return &c->insn[gva % CACHE_INSNS];
}

/* Are the bytes at `host` (16 can be read) those of the entry? */
static inline bool cache_same(const struct cache_entry *t, const u8 *host)
{
    const u64 *code = (const u64 *)(const void *)&t->code;
    u64 differ = (host_load(host, 8) ^ code[0]) & t->mask[0];

    return likely((differ | ((host_load(host + 8, 8) ^ code[1]) & t->mask[1])) == 0);
}

static void cache_fill(struct cache_entry *t, u64 tag, const u8 *bytes, const struct insn *i)
{
    t->tag = tag;
    t->mask[0] = i->length >= 8 ? ~0ull : mask_bytes(i->length);
    t->mask[1] = i->length <= 8 ? 0 : mask_bytes(i->length - 8u);
    t->code = emu_code_of(bytes, i->length, i->mode);
    t->insn = *i;
}

/* ---- fetch ----------------------------------------------------------------------------------- */

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

    f->have = 0;
    f->mode = emu_mode(s);
    f->code32 = cs->access & SEG_DB;
    f->limit = INSN_MAX;
    if (f->mode == EMU_MODE_64) {
        f->gva = GVA(s->rip);
        return EMU_DONE;
    }
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

/* Bytes from `have` up to `want`, not past a page's end; a device gives one at a time. */
static enum emu_status fetch_more(struct emu *e, struct fetch *f, unsigned want)
{
    struct emu_span span;
    gva_t at = GVA(f->gva.v + f->have);
    unsigned room = (unsigned)(PAGE_SIZE - (at.v & PAGE_MASK));
    unsigned n = want - f->have < room ? want - f->have : room;

    if (f->mode != EMU_MODE_64)
        at = GVA((u32)at.v);
    else if (!emu_canonical(e, at.v))
        return emu_gp(e, 0);
    TRY(emu_map(e, at, n, EMU_FETCH, &span));
    if (span.host[0] == NULL)
        span.size = span.first = (u16)(n = 1);
    emu_span_read(e, &span, f->bytes + f->have);
    f->have += n;
    return EMU_DONE;
}

/* What was fetched, to the record; then the fault, if it is no instruction. */
static enum emu_status fetch_end(struct emu *e, const struct fetch *f, enum decode_result r,
                                 unsigned length)
{
    e->fetched = emu_code_of(f->bytes, length, (unsigned)f->mode);
    return r == DECODE_OK ? EMU_DONE : r == DECODE_UD ? emu_ud(e) : emu_gp(e, 0);
}

/* The slow way: as many pieces as it takes, into *i. */
static enum emu_status fetch_pieces(struct emu *e, struct fetch *f, struct insn *i)
{
    enum decode_result r = DECODE_MORE;

    while (r == DECODE_MORE) {
        enum emu_status st = EMU_DONE;
        if (f->have == f->limit) /* it needs bytes that the segment or the CPU does not allow */
            return fetch_end(e, f, DECODE_LONG, f->have);
        st = fetch_more(e, f, f->limit);
        e->fetched = emu_code_of(f->bytes, f->have, (unsigned)f->mode);
        if (st != EMU_DONE)
            return st;
        r = emu_decode(f->bytes, f->have, f->mode, f->code32, i);
    }
    return fetch_end(e, f, r, r == DECODE_OK ? i->length : f->have);
}

/* All of it is in one page of RAM, at `host`: from the cache, or into it. */
static enum emu_status fetch_cached(struct emu *e, struct fetch *f, const u8 *host,
                                    const struct cache_page *page, struct insn *local,
                                    const struct insn **out)
{
    struct cache_entry *t = cache_slot(e->cache, f->gva.v);
    u64 tag = fetch_tag(e->state, f->mode, f->gva.v);

    if (t->tag != tag || !cache_same(t, host)) {
        __builtin_memcpy(f->bytes, host, sizeof(f->bytes));
        enum decode_result r = emu_decode(f->bytes, INSN_MAX, f->mode, f->code32, local);
        if (r != DECODE_OK)
            return fetch_end(e, f, r, local->length);
        cache_fill(t, tag, f->bytes, local);
    }
    t->host = host;
    t->page = page != NULL ? page : &e->cache->page[0];
    t->stamp = page != NULL ? page->stamp : NO_STAMP;
    e->record.code = &t->code;
    *out = &t->insn;
    return EMU_DONE;
}

/* Without paging an address is what it is: no translation to check.  `key`: fetch_tag() of 0. */
static inline const struct cache_entry *known_unpaged(const struct emu *e, u64 key)
{
    const struct x86_state *s = e->state;
    const struct segment *cs = &s->seg[SEG_CS];
    u64 gva = (u32)(cs->base + s->rip);
    const struct cache_entry *t = cache_slot(e->cache, gva);

    if (t->tag != (key | gva) || s->rip + t->insn.length - 1 > cs->limit)
        return NULL;
    return cache_same(t, t->host) ? t : NULL;
}

/* May known_unpaged() be asked? */
static inline bool is_unpaged(const struct emu *e)
{
    if (e->cache == NULL || (e->state->cr0 & CR0_PG))
        return false;
    emu_need(e, STATE_SEG(SEG_CS));
    return true;
}

/* The usual case, in 64-bit mode: both caches know it, and what they know still holds. */
static inline const struct cache_entry *known(const struct emu *e)
{
    const struct x86_state *s = e->state;

    if (unlikely(e->cache == NULL))
        return NULL;
    const struct cache_entry *t = cache_slot(e->cache, s->rip);
    if (unlikely(t->tag != s->rip || t->stamp != t->page->stamp))
        return NULL;
    return page_holds(s, t->page) && cache_same(t, t->host) ? t : NULL;
}

/* Whatever it takes. */
static enum emu_status fetch(struct emu *e, struct insn *local, const struct insn **out)
{
    const struct cache_page *page = NULL;
    struct fetch f;
    u8 *host = NULL;

    *out = local;
    enum emu_status st = fetch_begin(e, &f);
    e->fetched = emu_code_of(f.bytes, 0, (unsigned)f.mode);
    if (st != EMU_DONE)
        return st;
    if (likely(e->cache != NULL && (f.gva.v & PAGE_MASK) <= PAGE_SIZE - sizeof(f.bytes) &&
               f.limit == INSN_MAX)) {
        st = code_address(e, f.gva, &host, &page);
        if (st != EMU_DONE)
            return st;
        if (likely(host != NULL))
            return fetch_cached(e, &f, host, page, local, out);
    }
    return fetch_pieces(e, &f, local);
}

/* ---- checks before execution ------------------------------------------------------------------
 */

static __attribute__((noinline)) enum emu_status check(struct emu *e, const struct insn *i)
{
    const struct opcode *op = i->op;

    if (op->feature != 0 && !emu_has(e, (enum emu_feature)(op->feature - 1)))
        return emu_ud(e);
    if (op->flags & OP_VECTOR) {
        enum emu_status st = emu_check_vector(e, i);
        if (st != EMU_DONE)
            return st;
    }
    return (op->flags & OP_CPL0) && emu_cpl(e) != 0 ? emu_gp(e, 0) : EMU_DONE;
}

/* ---- execution and retirement -----------------------------------------------------------------
 */

/* There is more to do than to go on. */
static __attribute__((noinline)) void retire_special(struct emu *e)
{
    struct x86_state *s = e->state;
    const union emu_retiring *r = &e->step;

    if ((s->interruptibility & SHADOWS) != r->shadow) {
        s->interruptibility = (s->interruptibility & ~SHADOWS) | r->shadow;
        s->dirty |= STATE_INTERRUPTIBILITY;
    }
    if ((s->rflags & RFLAGS_RF) && !r->keep_rf)
        emu_set_rflags(e, s->rflags & ~(u64)RFLAGS_RF);
    if ((r->before & RFLAGS_TF) && !r->no_trap && !(r->shadow & BLOCKED_BY_MOV_SS)) {
        u64 also = e->event.vector == VECTOR_DB ? e->event.payload : 0;
        e->event = (struct emu_event){.vector = VECTOR_DB,
                                      .type = EMU_EVENT_HARD_EXCEPTION,
                                      .payload = also | DB_SINGLE_STEP};
    }
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
    enum emu_status st;

    if (unlikely(i->checked) && (st = check(e, i)) != EMU_DONE)
        return st;
    move_on(s, mode64, i->length);
    st = i->op->handler(e, i);
    if (likely(st == EMU_DONE))
        retire(e);
    else
        s->rip = e->record.rip;
    return st;
}

static inline enum emu_status step_cached(struct emu *e, const struct cache_entry *t, bool mode64)
{
    e->record.code = &t->code;
    return execute(e, &t->insn, mode64);
}

static __attribute__((noinline)) enum emu_status step_unknown(struct emu *e)
{
    const struct x86_state *s = e->state;
    const struct cache_entry *t =
        is_unpaged(e) ? known_unpaged(e, fetch_tag(s, emu_mode(s), 0)) : NULL;
    const struct insn *i;
    struct insn local;

    if (t != NULL)
        return step_cached(e, t, false);
    e->record.code = &e->fetched;
    TRY(fetch(e, &local, &i));
    return execute(e, i, i->mode == EMU_MODE_64);
}

enum emu_status emu_step(struct emu *e)
{
    record_begin(e);
    const struct cache_entry *t = known(e);
    return likely(t != NULL) ? step_cached(e, t, true) : step_unknown(e);
}

enum emu_status emu_run(struct emu *e, u32 until, unsigned *count)
{
    struct x86_state *s = e->state;
    const bool unpaged = is_unpaged(e);
    const u64 key = unpaged ? fetch_tag(s, emu_mode(s), 0) : 0;
    unsigned left = *count;
    enum emu_status st;

    until |= STATE_CR0 | STATE_SEG(SEG_CS); /* which make another key */
    do {
        record_begin(e);
        const struct cache_entry *t = unpaged ? known_unpaged(e, key) : known(e);
        st = likely(t != NULL) ? step_cached(e, t, !unpaged) : step_unknown(e);
    } while (--left != 0 && emu_is_plain(e, st) && !(s->dirty & until) &&
             e->record.io == EMU_IO_NONE);
    *count -= left;
    return st;
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
    struct fetch f;

    if (fetch_begin(e, &f) != EMU_DONE || f.limit < sizeof(prefix))
        return false;
    while (f.have < sizeof(prefix))
        if (fetch_more(e, &f, sizeof(prefix)) != EMU_DONE)
            return false;
    if (memcmp(f.bytes, prefix, sizeof(prefix)) != 0)
        return false;
    move_on(e->state, f.mode == EMU_MODE_64, sizeof(prefix));
    e->state->dirty |= STATE_RIP;
    return true;
}

bool emu_at_port_access(struct emu *e)
{
    struct insn local;
    const struct insn *i;

    if (fetch(e, &local, &i) != EMU_DONE)
        return false;
    emu_handler h = i->op->handler;
    return h == op_in || h == op_out || h == op_ins || h == op_outs;
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
