/* SPDX-License-Identifier: MIT
 *
 * From CS:RIP to a decoded instruction.  Two caches make that short, and neither can be stale: a
 * decoded instruction counts while the guest's bytes are what was decoded, and a translation while
 * the paging entries it came from are what they were.
 */
#include "emulator/internal.h"

#define INSN_MAX 15u

/* ---- the caches ------------------------------------------------------------------------------ */

#define CACHE_INSNS 512u
#define CACHE_PAGES 16u
#define LEVELS      4u
#define NUMBER_NONE ~0ull

/* Direct-mapped by linear address; an entry counts only while the guest's bytes equal its own. */
struct cache_entry {
    u64 gva;
    u64 bytes[2]; /* what was decoded, zero after its length */
    u64 mask[2];  /* which of them are the instruction */
    u32 key;      /* mode and CS.D */
    u64 fast;     /* gva, when this is 64-bit code and 16 bytes from there are in one page */
    struct insn insn;
} __attribute__((aligned(128))); /* so that indexing is a shift */

/* A page of 64-bit code translated with these registers by these entries (4-level paging; where
 * there are fewer entries the last one stands for the rest). */
struct cache_page {
    u64 number; /* of the linear page; NUMBER_NONE: the slot is empty */
    u64 cr3, cr4, efer;
    u64 cs_access; /* says 64-bit mode, and the CPL */
    u8 *host;
    const u64 *at[LEVELS];
    u64 entry[LEVELS];
} __attribute__((aligned(128)));

struct emu_cache {
    struct cache_entry insn[CACHE_INSNS];
    struct cache_page page[CACHE_PAGES];
};

#define KEY_NONE  ~0u
#define FAST_NONE (1ull << 63) /* not canonical, so no RIP */

size_t emu_cache_size(void) { return sizeof(struct emu_cache); }

void emu_cache_init(struct emu_cache *c)
{
    for (unsigned n = 0; n < CACHE_INSNS; n++) {
        c->insn[n].key = KEY_NONE;
        c->insn[n].fast = FAST_NONE;
    }
    for (unsigned n = 0; n < CACHE_PAGES; n++)
        c->page[n].number = NUMBER_NONE;
}

/* Is what this translation came from still there? */
static inline bool page_holds(const struct emu *e, const struct cache_page *p, u64 number)
{
    const struct x86_state *s = e->state;

    return likely(p->number == number && p->cr3 == s->cr3 && p->cr4 == s->cr4 &&
                  p->efer == s->efer && p->cs_access == s->seg[SEG_CS].access &&
                  host_load(p->at[0], 8) == p->entry[0] && host_load(p->at[1], 8) == p->entry[1] &&
                  host_load(p->at[2], 8) == p->entry[2] && host_load(p->at[3], 8) == p->entry[3]);
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
    const u64 *at = f->e->ops->ram(f->e->ctx, step->entry_at, EMU_READ);

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

    p->number = NUMBER_NONE;
    if (emu_translate(e, gva, EMU_IMPLICIT, &gpa, &fault, page_note, &f) != STATUS_OK)
        return;
    p->number = gva.v / PAGE_SIZE;
    p->cr3 = s->cr3;
    p->cr4 = s->cr4;
    p->efer = s->efer;
    p->cs_access = s->seg[SEG_CS].access;
    p->host = host - (gva.v & PAGE_MASK);
}

/* The host address of one byte of code, NULL when it is not in RAM.  (What is found in the cache
 * was canonical when it was put there.) */
static enum emu_status code_address(struct emu *e, gva_t gva, u8 **host)
{
    const struct x86_state *s = e->state;
    bool cached = page_keeps(s);
    struct emu_span span;

    if (!(s->cr0 & CR0_PG)) {
        *host = e->ops->ram(e->ctx, GPA((u32)gva.v), EMU_FETCH);
        return EMU_DONE;
    }
    struct cache_page *p = &e->cache->page[gva.v / PAGE_SIZE % CACHE_PAGES];
    emu_need(e, STATE_CR3);
    if (likely(cached && page_holds(e, p, gva.v / PAGE_SIZE))) {
        *host = p->host + (gva.v & PAGE_MASK);
        return EMU_DONE;
    }
    if (!emu_canonical(e, gva.v))
        return emu_gp(e, 0);
    enum emu_status st = emu_map(e, gva, 1, EMU_FETCH, &span);
    if (st != EMU_DONE)
        return st;
    *host = span.host[0];
    if (cached && *host != NULL)
        page_fill(e, p, gva, *host);
    return EMU_DONE;
}

static inline struct cache_entry *cache_slot(struct emu_cache *c, u64 gva)
{
    return &c->insn[(gva ^ gva >> 9) % CACHE_INSNS];
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
    t->fast = key == EMU_MODE_64 && (gva & PAGE_MASK) <= PAGE_SIZE - 16 ? gva : FAST_NONE;
    t->mask[0] = i->length >= 8 ? ~0ull : mask_bytes(i->length);
    t->mask[1] = i->length <= 8 ? 0 : mask_bytes(i->length - 8u);
    t->bytes[0] = host_load(bytes, 8) & t->mask[0];
    t->bytes[1] = host_load(bytes + 8, 8) & t->mask[1];
    t->insn = *i;
    return &t->insn;
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
static inline enum emu_status fetch_begin(struct emu *e, struct fetch *f)
{
    const struct x86_state *s = e->state;
    const struct segment *cs = &s->seg[SEG_CS];

    f->mode = emu_mode(s);
    f->code32 = cs->access & SEG_DB;
    f->limit = INSN_MAX;
    if (f->mode == EMU_MODE_64) {
        f->gva = GVA(s->rip);
        return EMU_DONE;
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
    else if (!emu_canonical(e, at.v))
        return emu_gp(e, 0);
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

/* All of it is in one page of RAM, 16 bytes of which are at `host`: from the cache, or into it. */
static enum emu_status fetch_cached(struct emu *e, struct fetch *f, const u8 *host,
                                    struct insn *local, const struct insn **out)
{
    u32 key = (u32)f->mode | (f->code32 ? 0x10 : 0);
    const struct insn *i = cache_find(e->cache, f->gva.v, key, host);

    if (unlikely(i == NULL)) {
        __builtin_memcpy(f->bytes, host, sizeof(f->bytes));
        enum decode_result r = emu_decode(f->bytes, INSN_MAX, f->mode, f->code32, local);
        __builtin_memcpy(e->record.bytes, f->bytes, INSN_MAX);
        e->record.length = local->length;
        if (r != DECODE_OK)
            return decode_failed(e, r);
        *out = cache_fill(e->cache, f->gva.v, key, f->bytes, local);
        return EMU_DONE;
    }
    __builtin_memcpy(e->record.bytes, host, INSN_MAX);
    e->record.length = i->length;
    *out = i;
    return EMU_DONE;
}

/* Everything else. */
static __attribute__((noinline)) enum emu_status fetch_slowly(struct emu *e, struct insn *local,
                                                              const struct insn **out)
{
    struct fetch f;
    u8 *host = NULL;

    enum emu_status st = fetch_begin(e, &f);
    if (unlikely(st != EMU_DONE))
        return st;
    e->record.mode = (u8)f.mode;
    if (likely(e->cache != NULL && (f.gva.v & PAGE_MASK) <= PAGE_SIZE - sizeof(f.bytes) &&
               f.limit == INSN_MAX)) {
        st = code_address(e, f.gva, &host);
        if (unlikely(st != EMU_DONE))
            return st;
        if (likely(host != NULL))
            return fetch_cached(e, &f, host, local, out);
    }
    f.have = 0;
    st = decode_pieces(e, &f, local);
    __builtin_memcpy(e->record.bytes, f.bytes, INSN_MAX);
    e->record.length = (u8)(st == EMU_DONE ? local->length : f.have);
    *out = local;
    return st;
}

/* The usual case, in 64-bit mode: both caches know it, and what they know still holds. */
static inline const struct insn *fetch_known(struct emu *e)
{
    struct emu_cache *c = e->cache;
    u64 gva = e->state->rip;

    if (unlikely(c == NULL))
        return NULL;
    const struct cache_entry *t = cache_slot(c, gva);
    const struct cache_page *p = &c->page[gva / PAGE_SIZE % CACHE_PAGES];
    if (unlikely(t->fast != gva))
        return NULL;
    if (unlikely(!(e->state->valid & STATE_CR3) || !page_holds(e, p, gva / PAGE_SIZE)))
        return NULL;
    const u8 *host = p->host + (gva & PAGE_MASK);
    u64 low = host_load(host, 8), high = host_load(host + 8, 8);
    if (unlikely(((low ^ t->bytes[0]) & t->mask[0]) | ((high ^ t->bytes[1]) & t->mask[1])))
        return NULL;
    host_store(e->record.bytes, 8, low);
    host_store(e->record.bytes + 7, 8, high << 8 | low >> 56);
    e->record.mode = EMU_MODE_64;
    e->record.length = t->insn.length;
    return &t->insn;
}

enum emu_status emu_fetch(struct emu *e, struct insn *local, const struct insn **out)
{
    *out = fetch_known(e);
    return likely(*out != NULL) ? EMU_DONE : fetch_slowly(e, local, out);
}
