/* SPDX-License-Identifier: MIT
 *
 * Memory as an instruction sees it: segmented to linear to guest-physical to host addresses, and
 * the reading and writing of what was found, RAM or device.  Everything an instruction touches is
 * resolved here before any of it is touched.
 */
#include "emulator/system.h"

/* Paging-structure entries, SDM vol. 3A, 4.3 to 4.5. */
#define PTE_P  BIT64(0)
#define PTE_W  BIT64(1)
#define PTE_U  BIT64(2)
#define PTE_A  BIT64(5)
#define PTE_D  BIT64(6)
#define PTE_PS BIT64(7)
#define PTE_XD BIT64(63)

/* Page-fault error codes, SDM vol. 3A, figure 4-12. */
#define PF_P    BIT(0)
#define PF_W    BIT(1)
#define PF_U    BIT(2)
#define PF_RSVD BIT(3)
#define PF_ID   BIT(4)
#define PF_PK   BIT(5)

/* How often a walk starts over when another CPU changes an entry while its A or D bit is set. */
#define WALK_TRIES 16

/* Where a walk begins and what its entries are like. */
struct paging {
    u64 table;
    u64 reserved; /* bits that no entry may have */
    unsigned top; /* the lowest address bit of the first index */
    bool wide;    /* entries of 8 bytes and indices of 9 bits; else 4 and 10 */
};

/* One translation under way.  Not initialised as a whole: a walk is made for every access. */
struct walk {
    gva_t gva;
    enum emu_access access;
    gpa_t gpa;
    u64 all, any;                 /* the entries, ANDed and ORed */
    u64 leaf;                     /* the last of them */
    unsigned count;               /* entries seen in memory */
    struct emu_walk_step step[5]; /* these entries, top down; levels are filled in when asked for */
};

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

static inline bool span_canonical(const struct emu *e, u64 first, u64 last)
{
    return emu_canonical(e, first) && (likely((first ^ last) >> 47 == 0) || emu_canonical(e, last));
}

bool emu_segment_linear(const struct emu *e, const struct segment *g, bool mode64, u64 offset,
                        unsigned size, enum emu_access access, gva_t *gva)
{
    if (mode64) {
        *gva = GVA(g->base + offset);
        return span_canonical(e, gva->v, gva->v + size - 1);
    }
    *gva = GVA((u32)(g->base + offset));
    return segment_allows(e->state, g, offset, size, access);
}

enum emu_status emu_linear(struct emu *e, enum seg seg, u64 offset, unsigned size,
                           enum emu_access access, gva_t *gva)
{
    const struct segment *g = &e->state->seg[seg];

    if (likely(emu_in_64bit(e->state))) { /* only FS and GS have a base, SDM vol. 1, 3.4.2.1 */
        u64 at = offset;
        if (unlikely(seg >= SEG_FS)) {
            emu_need(e, STATE_SEG(seg));
            at += g->base;
        }
        *gva = GVA(at);
        if (likely(span_canonical(e, at, at + size - 1)))
            return EMU_DONE;
    } else {
        emu_need(e, STATE_SEG(seg));
        *gva = GVA((u32)(g->base + offset));
        if (likely(segment_allows(e->state, g, offset, size, access)))
            return EMU_DONE;
    }
    return emu_raise(e, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, true, 0);
}

/* ---- paging ----------------------------------------------------------------------------- */

static u32 pf_access_bits(const struct x86_state *s, enum emu_access access)
{
    u32 error = (access & EMU_WRITE ? PF_W : 0) | (access & EMU_USER ? PF_U : 0);
    bool nx = (s->cr4 & CR4_PAE) && (s->efer & EFER_NXE);

    if ((access & EMU_FETCH) && (nx || (s->cr4 & CR4_SMEP)))
        error |= PF_ID;
    return error;
}

static enum status walk_fault(struct emu *e, const struct walk *w, u32 cause,
                              struct emu_event *fault)
{
    *fault = (struct emu_event){.vector = VECTOR_PF,
                                .type = EMU_EVENT_HARD_EXCEPTION,
                                .has_error = true,
                                .error = cause | pf_access_bits(e->state, w->access),
                                .payload = w->gva.v};
    return STATUS_ENOENT;
}

/* Choose the paging mode (SDM vol. 3A, 4.1.1) and the first table.  False: its PDPTE is absent. */
static bool walk_begin(struct emu *e, u64 gva, struct paging *p)
{
    const struct x86_state *s = e->state;

    emu_need(e, STATE_CR3);
    if (unlikely(!(s->cr4 & CR4_PAE))) {
        *p = (struct paging){.table = s->cr3 & 0xfffff000, .top = 22};
        return true;
    }
    p->wide = true;
    p->reserved = (~0ull << e->phys_bits & PTE_ADDR) | (s->efer & EFER_NXE ? 0 : PTE_XD);
    if (likely(s->efer & EFER_LMA)) {
        p->top = s->cr4 & CR4_LA57 ? 48 : 39;
        p->table = s->cr3 & PTE_ADDR;
        return true;
    }
    emu_need(e, STATE_PDPTE);
    p->top = 21;
    p->reserved |= 0x7ff0000000000000ull;
    p->table = s->pdpte[gva >> 30 & 3] & PTE_ADDR;
    return s->pdpte[gva >> 30 & 3] & PTE_P;
}

/* Does an entry with PS map a page?  A 4-byte one only with CR4.PSE. */
static bool large_page(const struct emu *e, const struct paging *p, u64 entry)
{
    return (entry & PTE_PS) && (p->wide || (e->state->cr4 & CR4_PSE));
}

/* Reserved bits, SDM vol. 3A, tables 4-4 to 4-6, 4-8 to 4-11 and 4-14 to 4-20; shift: of the page
 * that the entry maps, 0 when it refers to a table. */
static bool entry_is_malformed(const struct emu *e, const struct paging *p, u64 entry,
                               unsigned shift)
{
    if (!p->wide) {
        /* 4-MiB page: bits 20:13 are address bits 39:32 as far as MAXPHYADDR goes (PSE-36). */
        unsigned high = e->phys_bits < 40 ? e->phys_bits - 32u : 8;
        return shift == 22 && (entry & 0x3fe000 & ~((BIT64(high) - 1) << 13));
    }
    if (entry & p->reserved)
        return true;
    if (shift <= 12)
        return false;
    if (shift > 30 || (shift == 30 && !emu_has(e, EMU_HAS_PAGE1GB)))
        return true;
    return entry & (BIT64(shift) - 1) & ~0x1fffull;
}

static u64 leaf_address(const struct paging *p, u64 entry, unsigned shift, u64 gva)
{
    u64 within = BIT64(shift) - 1;
    u64 base = entry & PTE_ADDR & ~within;

    if (!p->wide && shift == 22)
        base |= bits_get(entry, 20, 13) << 32;
    return base | (gva & within);
}

/* What an entry says that is not just a reference to the next table: 0 when it is one all the same
 * (PS ignored), else the size of the page as a shift; STATUS_ENOENT with *cause when it is absent
 * or malformed. */
static enum status examine(const struct emu *e, const struct paging *p, u64 entry, unsigned shift,
                           u32 *cause, unsigned *page)
{
    *cause = 0;
    if (!(entry & PTE_P))
        return STATUS_ENOENT;
    *cause = PF_P | PF_RSVD;
    *page = shift == 12 || large_page(e, p, entry) ? shift : 0;
    return entry_is_malformed(e, p, entry, *page) ? STATUS_ENOENT : STATUS_OK;
}

/* Down the tables to the page.  Compiled once for each form of entry: `wide` is p->wide. */
static inline __attribute__((always_inline)) enum status
walk_down(struct emu *e, struct walk *w, const struct paging *p, u32 *cause, const bool wide)
{
    const unsigned bits = wide ? 9 : 10, entry_shift = wide ? 3 : 2;
    const u64 usual = p->reserved | PTE_PS | PTE_P; /* of these a reference to a table has only P */
    u64 table = p->table, all = ~0ull, any = 0;
    struct emu_walk_step *step = w->step;

    for (unsigned shift = p->top;; shift -= bits, step++) {
        gpa_t at = GPA(table + ((w->gva.v >> shift & (BIT(bits) - 1)) << entry_shift));
        const void *host = e->ops->ram(e->ctx, at, EMU_READ | EMU_IMPLICIT);
        unsigned page;

        if (unlikely(host == NULL)) {
            w->count = (unsigned)(step - w->step);
            return STATUS_EHW;
        }
        u64 entry = wide ? host_load(host, 8) : host_load(host, 4);
        step->entry_at = at;
        step->entry = entry;
        all &= entry;
        any |= entry;
        table = entry & PTE_ADDR;
        if (likely((entry & usual) == PTE_P && shift != 12))
            continue;
        if (likely((entry & usual & ~PTE_PS) == PTE_P && shift == 12)) {
            page = 12;
        } else {
            enum status st = examine(e, p, entry, shift, cause, &page);
            if (st != STATUS_OK) {
                w->count = (unsigned)(step - w->step) + 1;
                return st;
            }
        }
        if (page != 0) {
            w->count = (unsigned)(step - w->step) + 1;
            w->all = all;
            w->any = any;
            w->leaf = entry;
            w->gpa = GPA(leaf_address(p, entry, page, w->gva.v));
            return STATUS_OK;
        }
    }
}

/* Protection keys, SDM vol. 3A, 4.6.2: data accesses to user pages with 4- or 5-level paging. */
static bool key_forbids(const struct x86_state *s, const struct walk *w)
{
    if (!(s->cr4 & CR4_PKE) || !(s->efer & EFER_LMA) || !(w->all & PTE_U) ||
        (w->access & EMU_FETCH))
        return false;
    u32 key = s->pkru >> (2 * bits_get(w->leaf, 62, 59));
    bool heeds_write = (w->access & EMU_USER) || (s->cr0 & CR0_WP);
    return (key & BIT(0)) || ((key & BIT(1)) && (w->access & EMU_WRITE) && heeds_write);
}

/* Access rights, SDM vol. 3A, 4.6.1. */
static bool rights_forbid(const struct x86_state *s, const struct walk *w)
{
    bool user = w->access & EMU_USER;

    if ((w->access & EMU_WRITE) && !(w->all & PTE_W) && (user || (s->cr0 & CR0_WP)))
        return true;
    if ((w->access & EMU_FETCH) && (w->any & PTE_XD))
        return true;
    if (user)
        return !(w->all & PTE_U);
    if (!(w->all & PTE_U))
        return false;
    if (w->access & EMU_FETCH)
        return s->cr4 & CR4_SMEP;
    return (s->cr4 & CR4_SMAP) && ((w->access & EMU_IMPLICIT) || !(s->rflags & RFLAGS_AC));
}

/*
 * Set the A bits, and D in the last entry for a write, as the CPU does (SDM vol. 3A, 4.8): each by
 * a compare-exchange, so that no change by another CPU is lost.  STATUS_EBUSY: one got in between.
 */
static enum status walk_mark(struct emu *e, const struct walk *w, bool wide)
{
    for (unsigned i = 0; i < w->count; i++) {
        const struct emu_walk_step *s = &w->step[i];
        bool dirty = i + 1 == w->count && (w->access & EMU_WRITE);
        u64 want = s->entry | PTE_A | (dirty ? PTE_D : 0);
        bool done;

        if (want == s->entry)
            continue;
        void *host = e->ops->ram(e->ctx, s->entry_at, EMU_WRITE | EMU_IMPLICIT);
        if (host == NULL) /* tables in ROM: the CPU's write would be lost, too */
            continue;
        if (wide)
            done = __sync_bool_compare_and_swap((u64 *)host, s->entry, want);
        else
            done = __sync_bool_compare_and_swap((u32 *)host, (u32)s->entry, (u32)want);
        if (!done)
            return STATUS_EBUSY;
    }
    return STATUS_OK;
}

/* The usual case, to which the rules above make no exception: the page has every right that is
 * asked for, is no user page in supervisor hands (SMEP, SMAP), and A and D are set. */
static inline bool nothing_to_judge(const struct x86_state *s, const struct walk *w)
{
    u64 need = PTE_A | (w->access & EMU_USER ? PTE_U : 0) | (w->access & EMU_WRITE ? PTE_W : 0);
    u64 no = w->access & EMU_FETCH ? PTE_XD : 0;
    u64 leaf = w->access & EMU_WRITE ? PTE_D : 0;
    u64 other = w->access & EMU_USER ? CR4_PKE : CR4_PKE | CR4_SMEP | CR4_SMAP;

    return (w->all & need) == need && !(w->any & no) && (w->leaf & leaf) == leaf &&
           (!(w->all & PTE_U) || !(s->cr4 & other));
}

/* One attempt; STATUS_EBUSY: start over.  look: without rights and A/D bits. */
static enum status walk_once(struct emu *e, struct walk *w, bool look, struct emu_event *fault)
{
    const struct x86_state *s = e->state;
    struct paging p;
    u32 cause = 0;

    w->count = 0;
    if (!walk_begin(e, w->gva.v, &p))
        return walk_fault(e, w, 0, fault);
    enum status st =
        likely(p.wide) ? walk_down(e, w, &p, &cause, true) : walk_down(e, w, &p, &cause, false);
    if (unlikely(st != STATUS_OK))
        return st == STATUS_ENOENT ? walk_fault(e, w, cause, fault) : st;
    if (look)
        return STATUS_OK;

    if (likely(nothing_to_judge(s, w)))
        return STATUS_OK;

    u32 key = key_forbids(s, w) ? PF_PK : 0;
    if (key != 0 || rights_forbid(s, w))
        return walk_fault(e, w, PF_P | key, fault);
    return walk_mark(e, w, p.wide);
}

/* w->gva and w->access are set. */
static enum status walk(struct emu *e, struct walk *w, bool look, struct emu_event *fault)
{
    enum status st = STATUS_EBUSY;

    if (!(e->state->cr0 & CR0_PG)) {
        w->count = 0;
        w->gpa = GPA((u32)w->gva.v);
        return STATUS_OK;
    }
    for (unsigned i = 0; i < WALK_TRIES && st == STATUS_EBUSY; i++)
        st = walk_once(e, w, look, fault);
    return st;
}

enum status emu_translate(struct emu *e, gva_t gva, enum emu_access access, gpa_t *gpa,
                          struct emu_event *fault,
                          void (*step)(void *ctx, const struct emu_walk_step *s), void *ctx)
{
    const struct x86_state *s = e->state;
    struct walk w;

    w.gva = gva;
    w.access = access;
    w.gpa = GPA(0);
    enum status st = walk(e, &w, access == EMU_IMPLICIT, fault);
    *gpa = w.gpa;
    if (step == NULL || !(s->cr0 & CR0_PG))
        return st;
    unsigned top = !(s->cr4 & CR4_PAE) || !(s->efer & EFER_LMA) ? 2 : s->cr4 & CR4_LA57 ? 5 : 4;
    if ((s->cr4 & CR4_PAE) && !(s->efer & EFER_LMA)) {
        unsigned i = gva.v >> 30 & 3;
        step(ctx, &(struct emu_walk_step){3, GPA((s->cr3 & 0xffffffe0) + 8 * i), s->pdpte[i]});
    }
    for (unsigned i = 0; i < w.count; i++) {
        w.step[i].level = top - i;
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

    if (!e->fault_gpa_valid || (access & (EMU_FETCH | EMU_IMPLICIT)))
        return false;
    return access & EMU_WRITE ? apart == 0 : apart < PAGE_SIZE;
}

/* Resolve the page part of a span at gva. */
static enum emu_status map_part(struct emu *e, gva_t gva, enum emu_access access, gpa_t *gpa,
                                u8 **host)
{
    if (known_address(e, gva, access)) {
        *gpa = GPA((e->fault_gpa.v & ~PAGE_MASK) | (gva.v & PAGE_MASK));
    } else {
        struct walk w;
        w.gva = gva;
        w.access = access;
        switch (walk(e, &w, false, &e->event)) {
        case STATUS_OK: break;
        case STATUS_EBUSY: return EMU_RETRY;
        case STATUS_ENOENT: return EMU_FAULT;
        default: /* no RAM where a table should be: reads as all ones, so reserved bits are set */
            (void)walk_fault(e, &w, PF_P | PF_RSVD, &e->event);
            return EMU_FAULT;
        }
        *gpa = w.gpa;
    }
    *host = e->ops->ram(e->ctx, *gpa, access & (EMU_WRITE | EMU_FETCH));
    return EMU_DONE;
}

enum emu_status emu_map_as(struct emu *e, gva_t gva, unsigned size, enum emu_access access,
                           struct emu_span *span)
{
    unsigned room = (unsigned)(PAGE_SIZE - (gva.v & PAGE_MASK));

    span->size = (u16)size;
    span->first = (u16)(size < room ? size : room);
    enum emu_status st = map_part(e, gva, access, &span->gpa[0], &span->host[0]);
    if (likely(st != EMU_DONE || size <= room))
        return st;
    u64 next = gva.v + room;
    if (!(e->state->efer & EFER_LMA) || (next == BIT64(32) && !emu_in_64bit(e->state)))
        next = (u32)next;
    return map_part(e, GVA(next), access, &span->gpa[1], &span->host[1]);
}

/* What #AC asks for, SDM vol. 3A, table 6-7.  Vectors: 16, whole areas of state: nothing, as CPUs
 * do where vol. 2A, 2.4 leaves it open. */
static unsigned natural_alignment(unsigned size, enum emu_access access)
{
    if (access & (EMU_BYTES | EMU_WORDS | EMU_DWORDS))
        return access & EMU_BYTES ? 1 : access & EMU_WORDS ? 2 : 4;
    return size == 6 ? 4 : size == 10 ? 8 : size <= 16 ? size : size <= 64 ? 16 : 1;
}

enum emu_status emu_map(struct emu *e, gva_t gva, unsigned size, enum emu_access access,
                        struct emu_span *span)
{
    const struct x86_state *s = e->state;

    if (!(access & EMU_IMPLICIT) && emu_cpl(e) == 3) {
        if (unlikely(s->rflags & RFLAGS_AC) && (s->cr0 & CR0_AM) && !(access & EMU_FETCH) &&
            !is_aligned(gva.v, natural_alignment(size, access))) {
            (void)emu_raise(e, VECTOR_AC, true, 0);
            return EMU_FAULT;
        }
        access |= EMU_USER;
    }
    if (unlikely(e->watch) && !(access & (EMU_FETCH | EMU_IMPLICIT)))
        e->hits |= (u8)emu_breakpoints(s, gva.v, size,
                                       access & EMU_WRITE ? EMU_BREAK_WRITE : EMU_BREAK_READ);
    return emu_map_as(e, gva, size, access, span);
}

void emu_forget(struct emu *e)
{
    for (unsigned n = 0; n < EMU_PAGES; n++)
        e->page[n].last = 0;
}

/* Without paging, of an access that has succeeded in RAM. */
static void note_data(struct emu *e, u32 gva, enum emu_access access, u8 *host)
{
    struct emu_page *p = emu_page_slot(e, gva);
    u32 last = gva | PAGE_MASK;

    if (e->watch)
        return;
    p->writable = (access & EMU_WRITE) || (p->last == last && p->writable);
    p->last = last;
    p->host = host - (gva & PAGE_MASK);
}

enum emu_status emu_map_anew(struct emu *e, enum seg seg, u64 offset, unsigned size,
                             enum emu_access access, struct emu_span *span)
{
    gva_t gva;
    enum emu_status st = emu_linear(e, seg, offset, size, access, &gva);

    if (st == EMU_DONE)
        st = emu_map(e, gva, size, access, span);
    if (st == EMU_DONE && span->host[0] != NULL && !(e->state->cr0 & CR0_PG))
        note_data(e, (u32)gva.v, access, span->host[0]);
    return st;
}

enum emu_status emu_map_seg(struct emu *e, enum seg seg, u64 offset, unsigned size,
                            enum emu_access access, struct emu_span *span)
{
    if (!emu_known_data(e, seg, offset, size, access, &span->host[0]))
        return emu_map_anew(e, seg, offset, size, access, span);
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
static void device_read(struct emu *e, gpa_t gpa, unsigned size, u8 *to)
{
    for (unsigned at = 0, n; at < size; at += n, gpa.v += n) {
        n = device_piece(gpa, size - at);
        u64 value = emu_device_read(e, gpa, n);
        memcpy(to + at, &value, n);
    }
}

static void device_write(struct emu *e, gpa_t gpa, unsigned size, const u8 *from)
{
    for (unsigned at = 0, n; at < size; at += n, gpa.v += n) {
        u64 value = 0;
        n = device_piece(gpa, size - at);
        memcpy(&value, from + at, n);
        emu_device_write(e, gpa, n, value);
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

void emu_span_read(struct emu *e, const struct emu_span *span, void *buf)
{
    u8 *to = buf;

    for (unsigned i = 0, done = 0, n; done < span->size; i++, done += n) {
        n = i == 0 ? span->first : (unsigned)span->size - span->first;
        if (span->host[i] != NULL)
            copy(to + done, span->host[i], n);
        else
            device_read(e, span->gpa[i], n, to + done);
    }
}

void emu_span_write(struct emu *e, const struct emu_span *span, const void *buf)
{
    const u8 *from = buf;

    for (unsigned i = 0, done = 0, n; done < span->size; i++, done += n) {
        n = i == 0 ? span->first : (unsigned)span->size - span->first;
        if (span->host[i] != NULL)
            copy(span->host[i], from + done, n);
        else
            device_write(e, span->gpa[i], n, from + done);
    }
}

enum emu_status emu_read_seg(struct emu *e, enum seg seg, u64 offset, void *buf, unsigned size,
                             enum emu_access units)
{
    struct emu_span span;
    enum emu_status st = emu_map_seg(e, seg, offset, size, EMU_READ | units, &span);

    if (st == EMU_DONE)
        emu_span_read(e, &span, buf);
    return st;
}

enum emu_status emu_read_linear(struct emu *e, gva_t gva, void *buf, unsigned size,
                                enum emu_access access)
{
    struct emu_span span;
    enum emu_status st = emu_map(e, gva, size, access, &span);

    if (st == EMU_DONE)
        emu_span_read(e, &span, buf);
    return st;
}

enum emu_status emu_write_linear(struct emu *e, gva_t gva, const void *buf, unsigned size,
                                 enum emu_access access)
{
    struct emu_span span;
    enum emu_status st = emu_map(e, gva, size, access | EMU_WRITE, &span);

    if (st == EMU_DONE)
        emu_span_write(e, &span, buf);
    return st;
}
