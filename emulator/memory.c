/* SPDX-License-Identifier: MIT
 *
 * Memory as an instruction sees it: segmented to linear to guest-physical to host addresses, and
 * the reading and writing of what was found, RAM or device.  An access is resolved here, both pages
 * of it, before any of it is made.
 */
#include "emulator/system.h"

/* How often a walk starts over when another CPU changes an entry while its A or D bit is set. */
#define WALK_TRIES 16

/* ---- segments --------------------------------------------------------------------------- */

/* Type and limit checks of SDM vol. 3A, 5.3 and 5.5; outside 64-bit mode. */
static bool segment_allows(const struct x86_state *s, const struct segment *g, u64 offset,
                           unsigned size, enum emu_access access)
{
    u32 type = g->access & SEG_TYPE;

    if (s->cr0 & CR0_PE) {
        if (g->access & SEG_UNUSABLE)
            return false;
        if (access & EMU_WRITE) {
            if ((type & 0xa) != 0x2) /* code, or read-only data */
                return false;
        } else if (!(access & EMU_FETCH) && (type & 0xa) == 0x8) { /* execute-only */
            return false;
        }
    }
    u64 last = offset + size - 1;
    if ((type & 0xc) == 0x4) /* expand-down data */
        return offset > g->limit && last <= (g->access & SEG_DB ? 0xffffffff : 0xffff);
    /* Past 4 GiB a segment that has no end wraps around: 5.3 leaves it open, CPUs do not fault. */
    return last <= g->limit || g->limit == 0xffffffff;
}

bool emu_segment_linear(const struct emu *e, const struct segment *g, bool mode64, u64 offset,
                        unsigned size, enum emu_access access, gva_t *gva)
{
    if (mode64) {
        *gva = GVA(g->base + offset);
        return emu_span_canonical(e, gva->v, size);
    }
    *gva = GVA((u32)(g->base + offset));
    return segment_allows(e->state, g, offset, size, access);
}

bool emu_reaches(struct emu *e, enum seg seg, u64 offset, unsigned size, enum emu_access access,
                 gva_t *gva)
{
    static const struct segment flat = {0};
    bool mode64 = emu_in_64bit(e->state);

    if (likely(mode64 && seg < SEG_FS)) /* only FS and GS have a base, SDM vol. 1, 3.4.2.1 */
        return emu_segment_linear(e, &flat, true, offset, size, access, gva);
    emu_need(e, STATE_SEG(seg));
    return emu_segment_linear(e, &e->state->seg[seg], mode64, offset, size, access, gva);
}

enum emu_status emu_linear(struct emu *e, enum seg seg, u64 offset, unsigned size,
                           enum emu_access access, gva_t *gva)
{
    if (likely(emu_reaches(e, seg, offset, size, access, gva)))
        return EMU_DONE;
    return emu_raise(e, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, true, 0);
}

/* ---- paging ----------------------------------------------------------------------------- */

/* The #PF of a walk; `cause`: what its error code says beside the access. */
static struct emu_event page_fault(const struct emu *e, const struct emu_walk *w, u32 cause)
{
    const struct x86_state *s = e->state;
    bool nx = (s->cr4 & CR4_PAE) && (s->efer & EFER_NXE);

    cause |= (w->access & EMU_WRITE ? PFEC_W : 0) | (w->access & EMU_USER ? PFEC_U : 0);
    if ((w->access & EMU_FETCH) && (nx || (s->cr4 & CR4_SMEP)))
        cause |= PFEC_ID;
    return (struct emu_event){.vector = VECTOR_PF,
                              .type = EMU_EVENT_HARD_EXCEPTION,
                              .has_error = true,
                              .error = cause,
                              .payload = w->gva.v};
}

/* Choose the paging mode (SDM vol. 3A, 4.1.1) and the first table.  False: its PDPTE is absent. */
static bool walk_begin(struct emu *e, struct emu_walk *w)
{
    const struct x86_state *s = e->state;

    emu_need(e, STATE_CR3);
    w->count = 0;
    w->wide = s->cr4 & CR4_PAE;
    if (unlikely(!w->wide)) {
        w->table = s->cr3 & 0xfffff000;
        w->top = 22;
        w->reserved = 0;
        return true;
    }
    w->reserved = (~0ull << e->phys_bits & PTE_ADDRESS) | (s->efer & EFER_NXE ? 0 : PTE_NX);
    if (likely(s->efer & EFER_LMA)) {
        w->top = s->cr4 & CR4_LA57 ? 48 : 39;
        w->table = s->cr3 & PTE_ADDRESS;
        return true;
    }
    emu_need(e, STATE_PDPTE);
    w->top = 21;
    w->reserved |= 0x7ff0000000000000ull;
    w->table = s->pdpte[w->gva.v >> 30 & 3] & PTE_ADDRESS;
    return s->pdpte[w->gva.v >> 30 & 3] & PTE_PRESENT;
}

/* Does an entry with PS map a page?  A 4-byte one only with CR4.PSE. */
static bool large_page(const struct emu *e, const struct emu_walk *w, u64 entry)
{
    return (entry & PTE_LARGE) && (w->wide || (e->state->cr4 & CR4_PSE));
}

/* Reserved bits, SDM vol. 3A, tables 4-4 to 4-6, 4-8 to 4-11 and 4-14 to 4-20; shift: of the page
 * that the entry maps, 0 when it refers to a table. */
static bool entry_is_malformed(const struct emu *e, const struct emu_walk *w, u64 entry,
                               unsigned shift)
{
    if (!w->wide) {
        /* 4-MiB page: bits 20:13 are address bits 39:32 as far as MAXPHYADDR goes (PSE-36). */
        unsigned high = e->phys_bits < 40 ? e->phys_bits - 32u : 8;
        return shift == 22 && (entry & 0x3fe000 & ~((BIT64(high) - 1) << 13));
    }
    if (entry & w->reserved)
        return true;
    if (shift <= 12)
        return false;
    if (shift > 30 || (shift == 30 && !emu_has(e, EMU_HAS_PAGE1GB)))
        return true;
    return entry & (BIT64(shift) - 1) & ~0x1fffull;
}

static u64 leaf_address(const struct emu_walk *w, u64 entry, unsigned shift)
{
    u64 within = BIT64(shift) - 1;
    u64 base = entry & PTE_ADDRESS & ~within;

    if (!w->wide && shift == 22)
        base |= bits_get(entry, 20, 13) << 32;
    return base | (w->gva.v & within);
}

/* What an entry says that is not just a reference to the next table: 0 when it is one all the same
 * (PS ignored), else the size of the page as a shift; STATUS_ENOENT with *cause when it is absent
 * or malformed. */
static enum status examine(const struct emu *e, const struct emu_walk *w, u64 entry, unsigned shift,
                           u32 *cause, unsigned *page)
{
    *cause = 0;
    if (!(entry & PTE_PRESENT))
        return STATUS_ENOENT;
    *cause = PFEC_P | PFEC_RSVD;
    *page = shift == 12 || large_page(e, w, entry) ? shift : 0;
    return entry_is_malformed(e, w, entry, *page) ? STATUS_ENOENT : STATUS_OK;
}

/* Down the tables to the page.  Compiled once for each form of entry: `wide` is w->wide. */
static inline __attribute__((always_inline)) enum status
walk_down(struct emu *e, struct emu_walk *w, u32 *cause, const bool wide)
{
    const unsigned bits = wide ? 9 : 10, entry_shift = wide ? 3 : 2;
    const u64 usual =
        w->reserved | PTE_LARGE | PTE_PRESENT; /* of these a reference to a table has only P */
    u64 table = w->table, all = ~0ull, any = 0;

    for (unsigned shift = w->top;; shift -= bits) {
        gpa_t at = GPA(table + ((w->gva.v >> shift & (BIT(bits) - 1)) << entry_shift));
        const void *host = e->ops->ram(e->ctx, at, EMU_READ | EMU_IMPLICIT);
        unsigned page = 0;

        if (unlikely(host == NULL)) { /* reads as all ones, so reserved bits are set */
            *cause = PFEC_P | PFEC_RSVD;
            return STATUS_EHW;
        }
        u64 entry = wide ? host_load(host, 8) : host_load(host, 4);
        w->host[w->count] = host;
        w->step[w->count].entry_at = at;
        w->step[w->count++].entry = entry;
        all &= entry;
        any |= entry;
        table = entry & PTE_ADDRESS;
        if (likely((entry & usual) == PTE_PRESENT && shift != 12))
            continue;
        TRY(examine(e, w, entry, shift, cause, &page));
        if (page != 0) {
            w->all = all;
            w->any = any;
            w->leaf = entry;
            w->gpa = GPA(leaf_address(w, entry, page));
            return STATUS_OK;
        }
    }
}

/* Protection keys, SDM vol. 3A, 4.6.2: data accesses to user pages with 4- or 5-level paging. */
static bool key_forbids(const struct x86_state *s, const struct emu_walk *w)
{
    if (!(s->cr4 & CR4_PKE) || !(s->efer & EFER_LMA) || !(w->all & PTE_USER) ||
        (w->access & EMU_FETCH))
        return false;
    u32 key = s->pkru >> (2 * bits_get(w->leaf, 62, 59));
    bool heeds_write = (w->access & EMU_USER) || (s->cr0 & CR0_WP);
    return (key & BIT(0)) || ((key & BIT(1)) && (w->access & EMU_WRITE) && heeds_write);
}

/* Access rights, SDM vol. 3A, 4.6.1. */
static bool rights_forbid(const struct x86_state *s, const struct emu_walk *w)
{
    bool user = w->access & EMU_USER;

    if ((w->access & EMU_WRITE) && !(w->all & PTE_WRITE) && (user || (s->cr0 & CR0_WP)))
        return true;
    if ((w->access & EMU_FETCH) && (w->any & PTE_NX))
        return true;
    if (user)
        return !(w->all & PTE_USER);
    if (!(w->all & PTE_USER))
        return false;
    if (w->access & EMU_FETCH)
        return s->cr4 & CR4_SMEP;
    return (s->cr4 & CR4_SMAP) && ((w->access & EMU_IMPLICIT) || !(s->rflags & RFLAGS_AC));
}

/*
 * Set the A bits, and D in the last entry for a write, as the CPU does (SDM vol. 3A, 4.8): each by
 * a compare-exchange, so that no change by another CPU is lost.  STATUS_EBUSY: one got in between.
 */
static enum status walk_mark(struct emu *e, const struct emu_walk *w)
{
    u64 leaf = w->access & EMU_WRITE ? PTE_DIRTY : 0;

    if (likely((w->all & PTE_ACCESSED) && (w->leaf & leaf) == leaf))
        return STATUS_OK;
    for (unsigned i = 0; i < w->count; i++) {
        const struct emu_walk_step *s = &w->step[i];
        u64 want = s->entry | PTE_ACCESSED | (i + 1 == w->count ? leaf : 0);
        bool done;

        if (want == s->entry)
            continue;
        void *host = e->ops->ram(e->ctx, s->entry_at, EMU_WRITE | EMU_IMPLICIT);
        if (host == NULL) /* tables in ROM: the CPU's write would be lost, too */
            continue;
        if (w->wide)
            done = __sync_bool_compare_and_swap((u64 *)host, s->entry, want);
        else
            done = __sync_bool_compare_and_swap((u32 *)host, (u32)s->entry, (u32)want);
        if (!done)
            return STATUS_EBUSY;
    }
    return STATUS_OK;
}

/* One attempt; STATUS_EBUSY: start over.  look: without rights and A/D bits. */
static enum status walk_once(struct emu *e, struct emu_walk *w, bool look, u32 *cause)
{
    *cause = 0;
    if (!walk_begin(e, w))
        return STATUS_ENOENT;
    enum status st = likely(w->wide) ? walk_down(e, w, cause, true) : walk_down(e, w, cause, false);
    if (st != STATUS_OK || look)
        return st;
    u32 key = key_forbids(e->state, w) ? PFEC_PK : 0;
    *cause = PFEC_P | key;
    return key != 0 || rights_forbid(e->state, w) ? STATUS_ENOENT : walk_mark(e, w);
}

/* w->gva and w->access are set.  *fault is, unless it is STATUS_OK or STATUS_EBUSY. */
static enum status walk(struct emu *e, struct emu_walk *w, bool look, struct emu_event *fault)
{
    enum status st = STATUS_EBUSY;
    u32 cause;

    if (!(e->state->cr0 & CR0_PG)) {
        w->count = 0;
        w->gpa = GPA((u32)w->gva.v);
        return STATUS_OK;
    }
    for (unsigned i = 0; i < WALK_TRIES && st == STATUS_EBUSY; i++)
        st = walk_once(e, w, look, &cause);
    if (unlikely(st != STATUS_OK && st != STATUS_EBUSY))
        *fault = page_fault(e, w, cause);
    return st;
}

enum status emu_translate(struct emu *e, gva_t gva, enum emu_access access, gpa_t *gpa,
                          struct emu_event *fault,
                          void (*step)(void *ctx, const struct emu_walk_step *s), void *ctx)
{
    const struct x86_state *s = e->state;
    struct emu_walk w;

    w.gva = gva;
    w.access = access;
    w.gpa = GPA(0);
    enum status st = walk(e, &w, access == EMU_IMPLICIT, fault);
    *gpa = w.gpa;
    if (step == NULL || !(s->cr0 & CR0_PG))
        return st;
    if (w.wide && w.top == 21) {
        unsigned i = gva.v >> 30 & 3;
        step(ctx, &(struct emu_walk_step){3, GPA((s->cr3 & 0xffffffe0) + 8 * i), s->pdpte[i]});
    }
    for (unsigned i = 0; i < w.count; i++) {
        w.step[i].level = (w.top - 12) / (w.wide ? 9 : 10) + 1 - i;
        step(ctx, &w.step[i]);
    }
    return st;
}

/* ---- spans ------------------------------------------------------------------------------ */

/* Is the answer known from the exit that brought us here?  A write must be at the very address:
 * a page that could be read need not be writable. */
static bool known_address(const struct emu *e, gva_t gva, enum emu_access access)
{
    u64 apart = gva.v ^ e->fault_gva.v;

    if (e->fault_allows <= (access & EMU_WRITE) || (access & (EMU_FETCH | EMU_IMPLICIT)))
        return false;
    return access & EMU_WRITE ? apart == 0 : apart < PAGE_SIZE;
}

/* Has the walk been made before, with nothing changed since, and is it allowed without one? */
static bool remembered(const struct emu *e, struct emu_walk *w)
{
    const struct x86_state *s = e->state;

    if (e->cache == NULL)
        return false;
    const struct emu_translation *t = emu_translation_slot(e->cache, w->gva);
    if (!emu_translates(t, s, w->gva))
        return false;
    w->all = t->entry[0] & t->entry[1] & t->entry[2] & t->entry[3];
    w->any = t->entry[0] | t->entry[1] | t->entry[2] | t->entry[3];
    w->leaf = t->entry[3];
    w->gpa = GPA(t->gpa.v | (w->gva.v & PAGE_MASK));
    return (!(w->access & EMU_WRITE) || (w->leaf & PTE_DIRTY)) && !key_forbids(s, w) &&
           !rights_forbid(s, w);
}

/* Remember what a walk has found, if nothing is left to mark. */
static void remember(struct emu *e, const struct emu_walk *w)
{
    const struct x86_state *s = e->state;

    if (e->cache == NULL || w->count == 0 || !(w->all & PTE_ACCESSED) || !(s->efer & EFER_LMA) ||
        (s->cr4 & CR4_LA57))
        return;
    struct emu_translation *t = emu_translation_slot(e->cache, w->gva);
    *t = (struct emu_translation){w->gva.v / PAGE_SIZE,
                                  s->cr3,
                                  s->cr4,
                                  s->efer,
                                  .gpa = GPA(align_down(w->gpa.v, PAGE_SIZE)),
                                  .cs = ~0u};
    for (unsigned n = 0; n < ARRAY_SIZE(t->at); n++) {
        unsigned from = n < w->count ? n : w->count - 1;
        t->at[n] = w->host[from];
        t->entry[n] = w->step[from].entry;
    }
}

enum emu_status emu_map_page(struct emu *e, gva_t gva, enum emu_access access, struct emu_walk *w,
                             u8 **host)
{
    w->gva = gva;
    w->access = access;
    if (known_address(e, gva, access)) {
        w->gpa = GPA((e->fault_gpa.v & ~PAGE_MASK) | (gva.v & PAGE_MASK));
    } else if (!remembered(e, w)) {
        enum status st = walk(e, w, false, &e->event);
        if (unlikely(st != STATUS_OK))
            return st == STATUS_EBUSY ? EMU_RETRY : EMU_FAULT;
        remember(e, w);
    }
    *host = e->ops->ram(e->ctx, w->gpa, access & (EMU_WRITE | EMU_FETCH));
    return EMU_DONE;
}

enum emu_status emu_map_as(struct emu *e, gva_t gva, unsigned size, enum emu_access access,
                           struct emu_span *span)
{
    unsigned room = (unsigned)(PAGE_SIZE - (gva.v & PAGE_MASK));
    struct emu_walk w;

    span->size = span->first = (u16)size;
    TRY(emu_map_page(e, gva, access, &w, &span->host[0]));
    span->gpa[0] = w.gpa;
    if (likely(size <= room))
        return EMU_DONE;
    u64 next = gva.v + room;
    if (!(e->state->efer & EFER_LMA) ||
        (next == BIT64(32) && !emu_in_64bit(e->state) && !(access & EMU_IMPLICIT)))
        next = (u32)next;
    TRY(emu_map_page(e, GVA(next), access, &w, &span->host[1]));
    span->gpa[1] = w.gpa;
    if (span->host[0] == NULL || span->host[1] != span->host[0] + room)
        span->first = (u16)room;
    return EMU_DONE;
}

/* What #AC asks for, SDM vol. 3A, table 6-7; of vectors of 16 bytes and more nothing (vol. 1,
 * 14.9). */
static unsigned natural_alignment(unsigned size, enum emu_access access)
{
    if (access & EMU_BYTES)
        return 1;
    return size == 6 ? 4 : size == 10 ? 8 : size <= 8 ? size : 1;
}

enum emu_status emu_check_alignment(struct emu *e, gva_t gva, unsigned size, enum emu_access access)
{
    const struct x86_state *s = e->state;

    if (likely(!(s->rflags & RFLAGS_AC)) || !(s->cr0 & CR0_AM) || emu_cpl(e) != 3 ||
        (access & (EMU_IMPLICIT | EMU_FETCH)) || is_aligned(gva.v, natural_alignment(size, access)))
        return EMU_DONE;
    return emu_raise(e, VECTOR_AC, true, 0);
}

enum emu_status emu_map(struct emu *e, gva_t gva, unsigned size, enum emu_access access,
                        struct emu_span *span)
{
    const struct x86_state *s = e->state;

    TRY(emu_check_alignment(e, gva, size, access));
    if (!(access & EMU_IMPLICIT) && emu_cpl(e) == 3)
        access |= EMU_USER;
    if (unlikely(e->watch) && !(access & (EMU_FETCH | EMU_IMPLICIT)))
        e->hits |= (u8)emu_breakpoints(s, gva.v, size,
                                       access & EMU_WRITE ? EMU_BREAK_WRITE : EMU_BREAK_READ);
    return emu_map_as(e, gva, size, access, span);
}

void emu_forget(struct emu *e)
{
    for (unsigned n = 0; n < EMU_PAGES; n++)
        e->page[n].past = 0;
}

/* Without paging, of an access that has succeeded in RAM. */
static void note_data(struct emu *e, u32 gva, enum emu_access access, u8 *host)
{
    struct emu_page *p = emu_page_slot(e, gva);
    u64 past = (gva | PAGE_MASK) + 1ull;

    if (e->watch)
        return;
    p->writable = (access & EMU_WRITE) || (p->past == past && p->writable);
    p->past = past;
    p->host = host - (gva & PAGE_MASK);
}

static NOINLINE enum emu_status map_seg_anew(struct emu *e, enum seg seg, u64 offset, unsigned size,
                                             enum emu_access access, struct emu_span *span)
{
    gva_t gva;

    TRY(emu_linear(e, seg, offset, size, access, &gva));
    TRY(emu_map(e, gva, size, access, span));
    if (span->host[0] != NULL && !(e->state->cr0 & CR0_PG))
        note_data(e, (u32)gva.v, access, span->host[0]);
    return EMU_DONE;
}

enum emu_status emu_map_seg(struct emu *e, enum seg seg, u64 offset, unsigned size,
                            enum emu_access access, struct emu_span *span)
{
    if (!emu_known_data(e, seg, offset, size, access, &span->host[0]))
        return map_seg_anew(e, seg, offset, size, access, span);
    span->size = span->first = (u16)size;
    span->gpa[0] = GPA((u32)(e->state->seg[seg].base + offset)); /* without paging */
    return EMU_DONE;
}

/* Bytes of the next device access at gpa when `left` remain: what lies in one aligned quadword goes
 * in one access if it is 1, 2, 4 or 8 bytes, anything else in naturally aligned pieces. */
static unsigned device_piece(gpa_t gpa, unsigned left)
{
    unsigned room = 8 - (unsigned)(gpa.v & 7);
    unsigned n = left < room ? left : room;

    if ((n & (n - 1)) == 0)
        return n;
    unsigned aligned = gpa.v & 1 ? 1 : gpa.v & 2 ? 2 : 4;
    while (aligned > n)
        aligned /= 2;
    return aligned;
}

/* As many accesses as it takes. */
static void device_bytes(struct emu *e, gpa_t gpa, unsigned size, u8 *bytes, bool write)
{
    for (unsigned n; size != 0; size -= n, bytes += n, gpa.v += n) {
        u64 value = 0;
        n = device_piece(gpa, size);
        if (write) {
            memcpy(&value, bytes, n);
            emu_device_write(e, gpa, n, value);
        } else {
            value = emu_device_read(e, gpa, n);
            memcpy(bytes, &value, n);
        }
    }
}

/* Copy with one access when the size has one: another CPU sees descriptors and pointers whole. */
static void copy(void *dst, const void *src, unsigned size)
{
    if (size == 2 || size == 4 || size == 8)
        host_store(dst, size, host_load(src, size));
    else
        memcpy(dst, src, size);
}

static void span_bytes(struct emu *e, const struct emu_span *span, u8 *bytes, bool write)
{
    for (unsigned i = 0, n; i == 0 || (i == 1 && span->first != span->size); i++, bytes += n) {
        n = i == 0 ? span->first : (unsigned)span->size - span->first;
        if (span->host[i] == NULL)
            device_bytes(e, span->gpa[i], n, bytes, write);
        else if (write)
            copy(span->host[i], bytes, n);
        else
            copy(bytes, span->host[i], n);
    }
}

void emu_span_read(struct emu *e, const struct emu_span *span, void *buf)
{
    span_bytes(e, span, buf, false);
}

void emu_span_write(struct emu *e, const struct emu_span *span, const void *buf)
{
    span_bytes(e, span, (u8 *)(u64)buf, true);
}

enum emu_status emu_read_seg(struct emu *e, enum seg seg, u64 offset, void *buf, unsigned size)
{
    struct emu_span span;
    TRY(emu_map_seg(e, seg, offset, size, EMU_READ, &span));
    emu_span_read(e, &span, buf);
    return EMU_DONE;
}

enum emu_status emu_read_linear(struct emu *e, gva_t gva, void *buf, unsigned size,
                                enum emu_access access)
{
    struct emu_span span;
    TRY(emu_map(e, gva, size, access, &span));
    emu_span_read(e, &span, buf);
    return EMU_DONE;
}
