/* SPDX-License-Identifier: MIT
 *
 * Page walks in every paging mode against tables built by hand, with the error codes of SDM
 * vol. 3A, 4.7; A and D bits (4.8); and the resolving of operands that cross pages or reach
 * devices.
 */
#include "emu_fixture.h"
#include "emulator/internal.h"

#define XD BIT64(63)
#define OK 0x1000u /* no fault */

static enum emu_status write_linear(struct fixture *f, gva_t gva, const void *from, unsigned size)
{
    struct emu_span span;
    enum emu_status st = emu_map(&f->e, gva, size, EMU_WRITE, &span);
    if (st == EMU_DONE)
        emu_span_write(&f->e, &span, from);
    return st;
}

/* Translate as instructions do, and again: what is remembered of a walk must say the same.  A
 * debugger's translation is another function. */
static enum status translate(struct fixture *f, gva_t gva, enum emu_access access, gpa_t *gpa)
{
    struct emu_walk w;
    u8 *host;

    if (access == EMU_IMPLICIT)
        return emu_translate(&f->e, gva, access, gpa, &f->e.event, NULL, NULL);
    if (f->e.cache == NULL)
        fx_cache(f);
    for (unsigned n = 0; n < 3; n++) { /* sets A and D bits, is remembered, remembers */
        if (emu_map_page(&f->e, gva, access, &w, &host) != EMU_DONE)
            return STATUS_ENOENT;
        if (n != 0)
            assert_int_equal(w.gpa.v, gpa->v);
        *gpa = w.gpa;
    }
    return STATUS_OK;
}

/* The error code of the #PF, or OK and the address in *gpa. */
static u32 look(struct fixture *f, u64 gva, enum emu_access access, u64 *gpa)
{
    const struct emu_event *fault = &f->e.event;
    gpa_t out = GPA(0);

    fx_hide(f);
    f->e.event.vector = VECTOR_NONE;
    enum status st = translate(f, GVA(gva), access, &out);
    fx_settle(f);
    if (st == STATUS_OK) {
        if (gpa != NULL)
            *gpa = out.v;
        return OK;
    }
    assert_int_equal(st, STATUS_ENOENT);
    assert_int_equal(fault->vector, VECTOR_PF);
    assert_int_equal(fault->type, EMU_EVENT_HARD_EXCEPTION);
    assert_true(fault->has_error);
    assert_int_equal(fault->payload, gva);
    return fault->error;
}

static void expect(struct fixture *f, u64 gva, enum emu_access access, u64 gpa)
{
    u64 got = ~0ull;
    assert_int_equal(look(f, gva, access, &got), OK);
    assert_int_equal(got, gpa);
}

static void no_paging(void **)
{
    struct fixture *f = fx_new_protected(0);
    expect(f, 0x12345678, EMU_WRITE, 0x12345678);
    expect(f, 0xffffffff, EMU_FETCH | EMU_USER, 0xffffffff);
    fx_free(f);
}

/* ---- 32-bit paging ------------------------------------------------------------------------- */

static struct fixture *paging32(void)
{
    struct fixture *f = fx_new_protected(0);
    f->s.cr0 |= CR0_PG | CR0_WP;
    f->s.cr3 = FX_PT | 0x18; /* PCD and PWT do not matter */
    fx_poke(f, FX_PT + 4 * 1, 4, (FX_PT + 0x1000) | 7);
    fx_poke(f, FX_PT + 0x1000 + 4 * 2, 4, 0x55000 | 0x187); /* PAT and G set */
    fx_poke(f, FX_PT + 4 * 0x3ff, 4, 0x00c00000 | 0x87);    /* 4 MiB */
    return f;
}

static void walk_32bit(void **)
{
    struct fixture *f = paging32();

    expect(f, 0x00402abc, EMU_READ, 0x55abc);
    assert_int_equal(look(f, 0x00403000, EMU_READ, NULL), 0);
    assert_int_equal(look(f, 0x00803000, EMU_WRITE | EMU_USER, NULL), PFEC_W | PFEC_U);
    /* No I/D flag without SMEP or NX. */
    assert_int_equal(look(f, 0x00803000, EMU_FETCH, NULL), 0);
    f->s.cr4 |= CR4_SMEP;
    assert_int_equal(look(f, 0x00803000, EMU_FETCH, NULL), PFEC_ID);
    assert_int_equal(look(f, 0x00402000, EMU_FETCH, NULL), PFEC_ID | PFEC_P);
    assert_int_equal(look(f, 0x00402000, EMU_FETCH | EMU_USER, NULL), OK);
    fx_free(f);
}

static void walk_pse(void **)
{
    struct fixture *f = paging32();

    /* Without CR4.PSE the PS bit is ignored: a page table at 0xc00000, which is not RAM. */
    struct emu_event fault;
    gpa_t gpa;
    assert_int_equal(emu_translate(&f->e, GVA(0xffc00000), EMU_READ, &gpa, &fault, NULL, NULL),
                     STATUS_EHW);
    f->s.cr4 |= CR4_PSE;
    expect(f, 0xffd23456, EMU_READ, 0x00d23456);
    /* PSE-36: bits 20:13 are address bits 39:32; phys_bits is 40. */
    fx_poke(f, FX_PT + 4 * 0x3ff, 4, 0x00c00087 | 0xa5 << 13);
    expect(f, 0xffd23456, EMU_READ, 0xa500d23456);
    fx_poke(f, FX_PT + 4 * 0x3ff, 4, 0x00c00087 | BIT(21));
    assert_int_equal(look(f, 0xffd23456, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    /* With 36 bits, bits 17 and up of the entry are reserved; the PAT bit 12 is not. */
    f->e.phys_bits = 36;
    fx_poke(f, FX_PT + 4 * 0x3ff, 4, 0x00c00087 | 0xf << 13 | BIT(12));
    expect(f, 0xffd23456, EMU_READ, 0xf00d23456);
    fx_poke(f, FX_PT + 4 * 0x3ff, 4, 0x00c00087 | BIT(17));
    assert_int_equal(look(f, 0xffd23456, EMU_WRITE | EMU_USER, NULL),
                     PFEC_P | PFEC_RSVD | PFEC_W | PFEC_U);
    fx_free(f);
}

/* ---- PAE paging ---------------------------------------------------------------------------- */

static struct fixture *paging_pae(void)
{
    struct fixture *f = fx_new_protected(0);
    f->s.cr0 |= CR0_PG | CR0_WP;
    f->s.cr4 |= CR4_PAE;
    f->s.efer = EFER_NXE;
    f->s.cr3 = FX_PT + 0x20;
    f->s.pdpte[1] = (FX_PT + 0x1000) | 1;
    f->s.pdpte[3] = (FX_PT + 0x2000) | 1;
    fx_poke(f, FX_PT + 0x1000 + 8 * 3, 8, (FX_PT + 0x3000) | 7);
    fx_poke(f, FX_PT + 0x3000 + 8 * 0x1ff, 8, 0x77000 | 7);
    fx_poke(f, FX_PT + 0x2000 + 8 * 0x1ff, 8, 0x12300e00000 | 0x1087); /* 2 MiB, PAT */
    return f;
}

static void walk_pae(void **)
{
    struct fixture *f = paging_pae();

    f->e.phys_bits = 41;
    expect(f, 0x407ff123, EMU_READ, 0x77123);
    expect(f, 0xfff23456, EMU_READ, 0x12300f23456);
    f->e.phys_bits = 40;
    assert_int_equal(look(f, 0xfff23456, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    assert_int_equal(look(f, 0x00000000, EMU_READ, NULL), 0); /* PDPTE not present */
    assert_int_equal(look(f, 0x40600000, EMU_WRITE, NULL), PFEC_W);
    fx_free(f);
}

static void walk_pae_reserved(void **)
{
    struct fixture *f = paging_pae();
    u64 pte = FX_PT + 0x3000 + 8 * 0x1ff;

    for (unsigned bit = 40; bit < 63; bit++) {
        fx_poke(f, pte, 8, 0x77007 | BIT64(bit));
        assert_int_equal(look(f, 0x407ff000, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    }
    for (unsigned bit = 13; bit < 21; bit++) {
        fx_poke(f, FX_PT + 0x2000 + 8 * 0x1ff, 8, 0xe00087 | BIT64(bit));
        assert_int_equal(look(f, 0xfff23456, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    }
    fx_poke(f, pte, 8, 0x77007 | XD);
    expect(f, 0x407ff000, EMU_READ, 0x77000);
    assert_int_equal(look(f, 0x407ff000, EMU_FETCH, NULL), PFEC_P | PFEC_ID);
    f->s.efer = 0; /* XD is reserved then, and I/D is not reported */
    assert_int_equal(look(f, 0x407ff000, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    assert_int_equal(look(f, 0x407ff000, EMU_FETCH, NULL), PFEC_P | PFEC_RSVD);
    fx_free(f);
}

/* ---- 4- and 5-level paging ------------------------------------------------------------------ */

#define GVA4 0xffff9234567890abull /* indices 0x124, 0xd1, 0xb3, 0x189 */

/* Tables at FX_PT (top) and on, one page each. */
static struct fixture *paging64(unsigned levels)
{
    struct fixture *f = fx_new_long(0);
    memset(f->ram + FX_PT, 0, FX_RAM - FX_PT);
    f->s.cr4 |= levels == 5 ? CR4_LA57 : 0;
    f->s.cr3 = FX_PT | 0x18;
    for (unsigned k = 0; k < levels; k++) {
        unsigned shift = 12 + 9 * (levels - 1 - k);
        u64 to = k + 1 == levels ? 0x99000 : FX_PT + (k + 1) * 0x1000;
        fx_poke(f, FX_PT + k * 0x1000 + (GVA4 >> shift & 511) * 8, 8, to | 7);
    }
    return f;
}

/* Where the entry of `level` is. */
static u64 entry_at(const struct fixture *f, unsigned level)
{
    unsigned levels = f->s.cr4 & CR4_LA57 ? 5 : 4;
    return FX_PT + (levels - level) * 0x1000 + (GVA4 >> (12 + 9 * (level - 1)) & 511) * 8;
}

static void walk_long(void **)
{
    for (unsigned levels = 4; levels <= 5; levels++) {
        struct fixture *f = paging64(levels);
        expect(f, GVA4, EMU_READ, 0x990ab);
        for (unsigned level = 1; level <= levels; level++) {
            u64 at = entry_at(f, level), was = fx_peek(f, at, 8);
            fx_poke(f, at, 8, was & ~1ull);
            assert_int_equal(look(f, GVA4, EMU_READ, NULL), 0);
            assert_int_equal(look(f, GVA4, EMU_FETCH | EMU_USER, NULL), PFEC_ID | PFEC_U);
            for (unsigned bit = 40; bit < 52; bit++) {
                fx_poke(f, at, 8, was | BIT64(bit));
                assert_int_equal(look(f, GVA4, EMU_WRITE, NULL), PFEC_P | PFEC_RSVD | PFEC_W);
            }
            for (unsigned bit = 52; bit < 63; bit++) { /* ignored */
                fx_poke(f, at, 8, was | BIT64(bit));
                expect(f, GVA4, EMU_WRITE, 0x990ab);
            }
            fx_poke(f, at, 8, was);
        }
        fx_free(f);
    }
}

static void walk_large(void **)
{
    struct fixture *f = paging64(4);

    fx_poke(f, entry_at(f, 2), 8, 0x7fe00000 | 0x1087);
    expect(f, GVA4, EMU_READ, 0x7fe00000 | (GVA4 & 0x1fffff));
    fx_poke(f, entry_at(f, 2), 8, 0x7fe00000 | 0x87 | BIT(20));
    assert_int_equal(look(f, GVA4, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    fx_poke(f, entry_at(f, 3), 8, 0xffc0000000 | 0x1087);
    expect(f, GVA4, EMU_READ, 0xffc0000000 | (GVA4 & 0x3fffffff));
    for (unsigned bit = 13; bit < 30; bit++) {
        fx_poke(f, entry_at(f, 3), 8, 0x87 | BIT64(bit));
        assert_int_equal(look(f, GVA4, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    }
    fx_poke(f, entry_at(f, 3), 8, 0xffc0000087);
    f->e.features &= ~BIT64(EMU_HAS_PAGE1GB);
    assert_int_equal(look(f, GVA4, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    fx_poke(f, entry_at(f, 4), 8, 0x87);
    assert_int_equal(look(f, GVA4, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
    fx_free(f);
}

/* ---- rights --------------------------------------------------------------------------------- */

#define K (CR0_WP) /* in cr0: the usual kernel */
/* One row: entry flags, CR0.WP, CR4, RFLAGS.AC, access, the outcome by SDM vol. 3A, 4.6 and 4.7. */
static const struct {
    u64 flags, cr0, cr4;
    bool ac;
    unsigned access;
    u32 want;
} rights[] = {
    /* supervisor page (flags without U) */
    {3, K, 0, false, EMU_READ, OK},
    {3, K, 0, false, EMU_WRITE, OK},
    {3, K, 0, false, EMU_FETCH, OK},
    {3, K, 0, false, EMU_READ | EMU_USER, PFEC_P | PFEC_U},
    {3, K, 0, false, EMU_WRITE | EMU_USER, PFEC_P | PFEC_U | PFEC_W},
    {3, K, 0, false, EMU_FETCH | EMU_USER, PFEC_P | PFEC_U | PFEC_ID},
    {1, K, 0, false, EMU_WRITE, PFEC_P | PFEC_W},
    {1, 0, 0, false, EMU_WRITE, OK},
    {3 | XD, K, 0, false, EMU_FETCH, PFEC_P | PFEC_ID},
    {3 | XD, K, 0, false, EMU_READ, OK},
    /* user page */
    {7, K, 0, false, EMU_WRITE | EMU_USER, OK},
    {7, K, 0, false, EMU_FETCH | EMU_USER, OK},
    {7 | XD, K, 0, false, EMU_FETCH | EMU_USER, PFEC_P | PFEC_U | PFEC_ID},
    {5, K, 0, false, EMU_READ | EMU_USER, OK},
    {5, K, 0, false, EMU_WRITE | EMU_USER, PFEC_P | PFEC_U | PFEC_W},
    {5, 0, 0, false, EMU_WRITE | EMU_USER, PFEC_P | PFEC_U | PFEC_W},
    {5, 0, 0, false, EMU_WRITE, OK},
    {5, K, 0, false, EMU_WRITE, PFEC_P | PFEC_W},
    {7, K, 0, false, EMU_FETCH, OK},
    /* SMEP: fetches only */
    {7, K, CR4_SMEP, false, EMU_FETCH, PFEC_P | PFEC_ID},
    {7, K, CR4_SMEP, false, EMU_FETCH | EMU_USER, OK},
    {7, K, CR4_SMEP, false, EMU_WRITE, OK},
    {3, K, CR4_SMEP, false, EMU_FETCH, OK},
    /* SMAP: explicit data accesses unless AC, implicit ones always */
    {7, K, CR4_SMAP, false, EMU_READ, PFEC_P},
    {7, K, CR4_SMAP, false, EMU_WRITE, PFEC_P | PFEC_W},
    {7, K, CR4_SMAP, true, EMU_WRITE, OK},
    {7, K, CR4_SMAP, true, EMU_WRITE | EMU_IMPLICIT, PFEC_P | PFEC_W},
    {7, K, CR4_SMAP, false, EMU_WRITE | EMU_IMPLICIT, PFEC_P | PFEC_W},
    {3, K, CR4_SMAP, false, EMU_WRITE | EMU_IMPLICIT, OK},
    {7, K, CR4_SMAP, false, EMU_FETCH, OK},
    {7, K, CR4_SMAP, false, EMU_READ | EMU_USER, OK},
    {5, 0, CR4_SMAP, false, EMU_WRITE, PFEC_P | PFEC_W},
    {5, 0, CR4_SMAP, true, EMU_WRITE, OK},
};

static void walk_rights(void **)
{
    for (unsigned k = 0; k < ARRAY_SIZE(rights); k++) {
        /* The right must count at whatever level it is missing. */
        for (unsigned level = 1; level <= 4; level++) {
            struct fixture *f = paging64(4);
            f->s.cr0 = (f->s.cr0 & ~CR0_WP) | rights[k].cr0;
            f->s.cr4 |= rights[k].cr4;
            f->s.rflags |= rights[k].ac ? RFLAGS_AC : 0;
            u64 at = entry_at(f, level);
            fx_poke(f, at, 8, (fx_peek(f, at, 8) & ~7ull) | rights[k].flags);
            look(f, GVA4, EMU_READ, NULL); /* what is remembered of them must not help */
            look(f, GVA4, EMU_READ | EMU_USER, NULL);
            look(f, GVA4, EMU_FETCH, NULL);
            u32 got = look(f, GVA4, (enum emu_access)rights[k].access, NULL);
            if (got != rights[k].want)
                print_error("row %u level %u\n", k, level);
            assert_int_equal(got, rights[k].want);
            fx_free(f);
        }
    }
}

/* SDM vol. 3A, 4.6.2. */
static void walk_keys(void **)
{
    struct fixture *f = paging64(4);
    u64 at = entry_at(f, 1);
    const u32 ad = BIT(2 * 5), wd = BIT(2 * 5 + 1);

    fx_poke(f, at, 8, 0x99067 | 5ull << 59);
    f->s.pkru = ad;
    expect(f, GVA4, EMU_READ | EMU_USER, 0x990ab); /* CR4.PKE off */
    f->s.cr4 |= CR4_PKE;
    assert_int_equal(look(f, GVA4, EMU_READ | EMU_USER, NULL), PFEC_P | PFEC_U | PFEC_PK);
    assert_int_equal(look(f, GVA4, EMU_READ, NULL), PFEC_P | PFEC_PK);
    expect(f, GVA4, EMU_FETCH | EMU_USER, 0x990ab);
    f->s.pkru = wd;
    expect(f, GVA4, EMU_READ | EMU_USER, 0x990ab);
    assert_int_equal(look(f, GVA4, EMU_WRITE | EMU_USER, NULL), PFEC_P | PFEC_U | PFEC_W | PFEC_PK);
    assert_int_equal(look(f, GVA4, EMU_WRITE, NULL), PFEC_P | PFEC_W | PFEC_PK);
    f->s.cr0 &= ~CR0_WP;
    expect(f, GVA4, EMU_WRITE, 0x990ab);
    f->s.pkru = ~(ad | wd);
    expect(f, GVA4, EMU_WRITE | EMU_USER, 0x990ab);
    fx_poke(f, at, 8, 0x99003 | 5ull << 59); /* supervisor pages have no key */
    f->s.pkru = ~0u;
    expect(f, GVA4, EMU_WRITE, 0x990ab);
    fx_free(f);
}

/* ---- accessed and dirty ---------------------------------------------------------------------- */

#define A 0x20u
#define D 0x40u

static void check_bits(struct fixture *f, u64 upper, u64 leaf)
{
    for (unsigned level = 2; level <= 4; level++)
        assert_int_equal(fx_peek(f, entry_at(f, level), 8) & (A | D), upper);
    assert_int_equal(fx_peek(f, entry_at(f, 1), 8) & (A | D), leaf);
}

static void accessed_dirty(void **)
{
    struct fixture *f = paging64(4);

    expect(f, GVA4, EMU_IMPLICIT, 0x990ab); /* a debugger leaves no trace */
    check_bits(f, 0, 0);
    expect(f, GVA4, EMU_READ, 0x990ab);
    check_bits(f, A, A);
    expect(f, GVA4, EMU_WRITE, 0x990ab);
    check_bits(f, A, A | D);
    fx_free(f);

    f = paging32();
    expect(f, 0x00402000, EMU_WRITE, 0x55000);
    assert_int_equal(fx_peek(f, FX_PT + 4, 4), (FX_PT + 0x1000) | 7 | A);
    assert_int_equal(fx_peek(f, FX_PT + 0x1000 + 8, 8),
                     0x55187 | A | D); /* its neighbour untouched */
    fx_free(f);

    f = paging_pae();
    expect(f, 0x407ff000, EMU_WRITE, 0x77000);
    assert_int_equal(f->s.pdpte[1], (FX_PT + 0x1000) | 1);
    assert_int_equal(fx_peek(f, FX_PT + 0x3000 + 8 * 0x1ff, 8), 0x77007 | A | D);
    fx_free(f);
}

/* What is remembered of walks counts while everything it depends on is as it was. */
static void remembered(void **state)
{
    (void)state;
    for (unsigned level = 1; level <= 5; level++) {
        struct fixture *f = paging64(5);
        expect(f, GVA4, EMU_WRITE, 0x990ab);
        u64 at = entry_at(f, level), entry = fx_peek(f, at, 8);
        fx_poke(f, at, 8, entry & ~1ull);
        assert_int_equal(look(f, GVA4, EMU_READ, NULL), 0);
        fx_poke(f, at, 8, entry);
        expect(f, GVA4, EMU_READ, 0x990ab);
        fx_free(f);
    }
    for (unsigned level = 1; level <= 4; level++) {
        struct fixture *f = paging64(4);
        u64 at = entry_at(f, level), entry = fx_peek(f, at, 8);
        expect(f, GVA4, EMU_READ, 0x990ab);
        for (unsigned n = 0; n < 2; n++) { /* not accessed, and so again later */
            struct emu_walk w;
            u8 *host;
            fx_poke(f, at, 8, entry);
            FX_DONE(emu_map_page(&f->e, GVA(GVA4), EMU_READ, &w, &host));
            assert_int_equal(fx_peek(f, at, 8), entry | A);
        }
        fx_poke(f, at, 8, entry & ~1ull);
        assert_int_equal(look(f, GVA4, EMU_READ, NULL), 0);
        fx_poke(f, at, 8, entry | XD);
        expect(f, GVA4, EMU_READ, 0x990ab);
        f->s.efer &= ~(u64)EFER_NXE;
        assert_int_equal(look(f, GVA4, EMU_READ, NULL), PFEC_P | PFEC_RSVD);
        assert_int_equal(look(f, GVA4 + (64 << 12), EMU_READ, NULL),
                         level == 1 ? 0 : PFEC_P | PFEC_RSVD);
        fx_free(f);
    }
    struct fixture *f = paging_pae();
    expect(f, 0x407ff000, EMU_READ, 0x77000);
    f->s.pdpte[1] = 0;
    assert_int_equal(look(f, 0x407ff000, EMU_READ, NULL), 0);
    fx_free(f);
}

/* A debugger looks through rights, too, and is told of each entry. */
static struct emu_walk_step seen[8];
static unsigned seen_count;
static void see(void *, const struct emu_walk_step *s) { seen[seen_count++] = *s; }

static void debugger(void **)
{
    struct fixture *f = paging64(4);
    struct emu_event fault;
    gpa_t gpa;

    f->s.cr4 |= CR4_SMAP;
    seen_count = 0;
    assert_int_equal(emu_translate(&f->e, GVA(GVA4), EMU_IMPLICIT, &gpa, &fault, see, NULL),
                     STATUS_OK);
    assert_int_equal(seen_count, 4);
    for (unsigned k = 0; k < 4; k++) {
        assert_int_equal(seen[k].level, 4 - k);
        assert_int_equal(seen[k].entry_at.v, entry_at(f, 4 - k));
        assert_int_equal(seen[k].entry, fx_peek(f, entry_at(f, 4 - k), 8));
    }
    fx_poke(f, entry_at(f, 3), 8, 0x40000006);
    seen_count = 0;
    assert_int_equal(emu_translate(&f->e, GVA(GVA4), EMU_IMPLICIT, &gpa, &fault, see, NULL),
                     STATUS_ENOENT);
    assert_int_equal(seen_count, 2);
    assert_int_equal(seen[1].entry, 0x40000006);
    fx_free(f);
}

/* Another CPU changes the entry between the walk's look and its setting of A. */
static u64 race_at, race_value;
static void *racing_ram(void *ctx, gpa_t gpa, enum emu_access access)
{
    struct fixture *f = ctx;
    if ((access & EMU_WRITE) && gpa.v == race_at && race_value != 0) {
        fx_poke(f, race_at, 8, race_value);
        race_value = 0;
    }
    return fx_ram(ctx, gpa, access);
}

static void racing(void **)
{
    struct fixture *f = paging64(4);
    struct emu_ops ops = fx_ops;

    ops.ram = racing_ram;
    f->e.ops = &ops;
    race_at = entry_at(f, 1);
    race_value = 0xaa007; /* remapped: the old address must not be used, nor the new entry lost */
    expect(f, GVA4, EMU_WRITE, 0xaa0ab);
    assert_int_equal(fx_peek(f, race_at, 8), 0xaa007 | A | D);
    fx_poke(f, race_at, 8, 0x99007);
    race_value = 0xaa006; /* unmapped */
    assert_int_equal(look(f, GVA4, EMU_WRITE, NULL), PFEC_W);
    assert_int_equal(fx_peek(f, race_at, 8), 0xaa006);
    fx_free(f);
}

/* ---- operands ----------------------------------------------------------------------------------
 */

static void crossing(void **)
{
    struct fixture *f = fx_new();
    struct emu_span span;
    u64 value;

    fx_long(f, 3);
    fx_map(f, 0x40000, 0x50000, 7);
    u64 second = fx_map(f, 0x41000, 0x70000, 7);
    fx_poke(f, 0x50ffd, 3, 0x332211);
    fx_poke(f, 0x70000, 5, 0x8877665544);
    assert_int_equal(emu_read_linear(&f->e, GVA(0x40ffd), &value, 8, EMU_READ), EMU_DONE);
    assert_int_equal(value, 0x8877665544332211);
    value = 0x0102030405060708;
    assert_int_equal(write_linear(f, GVA(0x40ffd), &value, 8), EMU_DONE);
    assert_int_equal(fx_peek(f, 0x50ffd, 3), 0x060708);
    assert_int_equal(fx_peek(f, 0x70000, 5), 0x0102030405);

    /* The second page is read-only: CR2 is its first byte, and the first page is not written. */
    fx_poke(f, second, 8, 0x70005);
    assert_int_equal(write_linear(f, GVA(0x40fff), &value, 2), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_PF);
    assert_int_equal(f->e.event.error, PFEC_P | PFEC_W | PFEC_U);
    assert_int_equal(f->e.event.payload, 0x41000);
    assert_int_equal(fx_peek(f, 0x50fff, 1), 0x06);

    /* At level 3 an implicit access has the supervisor's rights. */
    fx_poke(f, second, 8, 0x70003);
    assert_int_equal(emu_map(&f->e, GVA(0x41000), 8, EMU_READ, &span), EMU_FAULT);
    assert_int_equal(f->e.event.error, PFEC_P | PFEC_U);
    assert_int_equal(emu_map(&f->e, GVA(0x41000), 8, EMU_IMPLICIT, &span), EMU_DONE);
    fx_free(f);
}

/* 32-bit linear addresses wrap; RAM at both ends. */
static void wrapping(void **)
{
    struct fixture *f = fx_new();
    u32 value;

    fx_protected(f, 0);
    f->s.cr0 |= CR0_PG;
    f->s.cr3 = FX_PT;
    fx_poke(f, FX_PT, 4, (FX_PT + 0x1000) | 7);
    fx_poke(f, FX_PT + 4 * 1023, 4, (FX_PT + 0x2000) | 7);
    fx_poke(f, FX_PT + 0x1000, 4, 0x50007);
    fx_poke(f, FX_PT + 0x2000 + 4 * 1023, 4, 0x60007);
    fx_poke(f, 0x60ffe, 2, 0x2211);
    fx_poke(f, 0x50000, 2, 0x4433);
    assert_int_equal(emu_read_linear(&f->e, GVA(0xfffffffe), &value, 4, EMU_READ), EMU_DONE);
    assert_int_equal(value, 0x44332211);
    fx_free(f);

    f = fx_new_long(0); /* so they do in compatibility mode */
    fx_level(f, 0, FX_CODE32);
    fx_map(f, 0xfffff000, 0x60000, 7);
    fx_map(f, 0, 0x50000, 7);
    fx_map(f, 0x100000000, 0x40000, 7);
    fx_poke(f, 0x60ffe, 2, 0x2211);
    fx_poke(f, 0x50000, 2, 0x4433);
    assert_int_equal(emu_read_linear(&f->e, GVA(0xfffffffe), &value, 4, EMU_READ), EMU_DONE);
    assert_int_equal(value, 0x44332211);
    fx_free(f);
}

/* Device accesses: size, address and value of each, in order. */
static void devices(void **)
{
    static const struct {
        unsigned offset, size;
        u8 pieces[10]; /* sizes, ended by 0 */
    } rows[] = {
        {0x00, 1, {1}},           {0x10, 4, {4}},          {0x18, 8, {8}},    {0x02, 4, {4}},
        {0x04, 8, {4, 4}},        {0x06, 4, {2, 2}},       {0x07, 2, {1, 1}}, {0x20, 16, {8, 8}},
        {0x20, 10, {8, 2}},       {0x21, 8, {1, 2, 4, 1}}, {0x00, 3, {2, 1}}, {0x01, 7, {1, 2, 4}},
        {0x40, 32, {8, 8, 8, 8}}, {0x02, 6, {2, 4}},
    };
    struct fixture *f = fx_new_long(0);
    for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
        u8 data[64], back[64];
        for (unsigned i = 0; i < sizeof(data); i++)
            data[i] = (u8)(i * 7 + k);
        f->mmio_count = 0;
        assert_int_equal(write_linear(f, GVA(FX_MMIO + rows[k].offset), data, rows[k].size),
                         EMU_DONE);
        u64 at = FX_MMIO + rows[k].offset;
        unsigned n = 0;
        for (; rows[k].pieces[n] != 0; n++) {
            assert_int_equal(f->mmio_log[n].size, rows[k].pieces[n]);
            assert_int_equal(f->mmio_log[n].gpa, at);
            at += rows[k].pieces[n];
        }
        assert_int_equal(f->mmio_count, n);
        assert_memory_equal(f->mmio + rows[k].offset, data, rows[k].size);
        assert_int_equal(f->e.record.io, EMU_IO_MMIO_WRITE);
        assert_int_equal(f->e.record.io_width, rows[k].pieces[n - 1]);
        assert_int_equal(
            emu_read_linear(&f->e, GVA(FX_MMIO + rows[k].offset), back, rows[k].size, EMU_READ),
            EMU_DONE);
        assert_memory_equal(back, data, rows[k].size);
        assert_int_equal(f->e.record.io, EMU_IO_MMIO_READ);
    }
    fx_free(f);
}

/* RAM and device in one operand. */
static void ram_and_device(void **)
{
    struct fixture *f = fx_new();
    u64 value = 0x8877665544332211;

    fx_long(f, 0);
    fx_map(f, 0x40000, 0x50000, 7);
    fx_map(f, 0x41000, FX_MMIO, 7);
    f->mmio_count = 0;
    assert_int_equal(write_linear(f, GVA(0x40ffa), &value, 8), EMU_DONE);
    assert_int_equal(fx_peek(f, 0x50ffa, 6), 0x665544332211);
    assert_int_equal(f->mmio_count, 1);
    assert_int_equal(f->mmio_log[0].size, 2);
    assert_int_equal(f->mmio_log[0].value, 0x8877);
    fx_free(f);
}

/* The exit's own translation is used: no table is read. */
static bool no_tables;
static void *watched_ram(void *ctx, gpa_t gpa, enum emu_access access)
{
    if (no_tables)
        assert_true(gpa.v < FX_PT || gpa.v >= FX_RAM);
    return fx_ram(ctx, gpa, access);
}

static void known_translation(void **)
{
    struct fixture *f = fx_new();
    struct emu_ops ops = fx_ops;
    u32 value = 0x1234;

    fx_long(f, 0);
    ops.ram = watched_ram;
    f->e.ops = &ops;
    f->e.fault_allows = 2;
    f->e.fault_gva = GVA(0xffff800000001080);
    f->e.fault_gpa = GPA(FX_MMIO + 0x80);
    no_tables = true;
    assert_int_equal(write_linear(f, f->e.fault_gva, &value, 4), EMU_DONE);
    assert_int_equal(fx_peek(f, 0, 1), 0);
    assert_memory_equal(f->mmio + 0x80, &value, 4);
    /* Reads anywhere in the page; a write elsewhere in it is walked for (and faults here). */
    assert_int_equal(emu_read_linear(&f->e, GVA(0xffff800000001ff0), &value, 4, EMU_READ),
                     EMU_DONE);
    assert_int_equal(f->mmio_log[1].gpa, FX_MMIO + 0xff0);
    no_tables = false;
    assert_int_equal(write_linear(f, GVA(0xffff800000001084), &value, 4), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_PF);
    /* The exit was a read: that the page may be written nobody has said. */
    f->e.fault_allows = 1;
    assert_int_equal(emu_read_linear(&f->e, f->e.fault_gva, &value, 4, EMU_READ), EMU_DONE);
    assert_int_equal(write_linear(f, f->e.fault_gva, &value, 4), EMU_FAULT);
    f->s.gpr[RBX] = f->e.fault_gva.v; /* call [rbx] that pushes to the same place */
    f->s.gpr[RSP] = f->e.fault_gva.v + 8;
    FX_FAULT(FX_RUN(f, 0xff, 0x13), VECTOR_PF, PFEC_W);
    fx_free(f);
}

static void alignment(void **)
{
    struct fixture *f = fx_new();
    struct emu_span span;

    fx_long(f, 3);
    f->s.cr0 |= CR0_AM;
    assert_int_equal(emu_map(&f->e, GVA(FX_DATA + 1), 4, EMU_READ, &span), EMU_DONE);
    f->s.rflags |= RFLAGS_AC;
    assert_int_equal(emu_map(&f->e, GVA(FX_DATA + 1), 1, EMU_READ, &span), EMU_DONE);
    assert_int_equal(emu_map(&f->e, GVA(FX_DATA + 4), 4, EMU_READ, &span), EMU_DONE);
    assert_int_equal(emu_map(&f->e, GVA(FX_DATA + 4), 8, EMU_READ, &span), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_AC);
    assert_true(f->e.event.has_error);
    assert_int_equal(f->e.event.error, 0);
    assert_int_equal(emu_map(&f->e, GVA(FX_DATA + 1), 4, EMU_IMPLICIT, &span), EMU_DONE);
    f->s.cr0 &= ~CR0_AM;
    assert_int_equal(emu_map(&f->e, GVA(FX_DATA + 1), 4, EMU_READ, &span), EMU_DONE);
    fx_free(f);
}

/* No RAM where a page table should be: the CPU would read all ones, which has reserved bits. */
static void table_outside_ram(void **)
{
    struct fixture *f = paging64(4);
    struct emu_event fault;
    gpa_t gpa;
    u8 byte;

    fx_poke(f, entry_at(f, 2), 8, 0xfee00007);
    assert_int_equal(emu_translate(&f->e, GVA(GVA4), EMU_READ, &gpa, &fault, NULL, NULL),
                     STATUS_EHW);
    assert_int_equal(emu_read_linear(&f->e, GVA(GVA4), &byte, 1, EMU_READ), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_PF);
    assert_int_equal(f->e.event.error, PFEC_P | PFEC_RSVD);
    assert_int_equal(f->e.event.payload, GVA4);
    fx_free(f);
}

/* ---- segments ----------------------------------------------------------------------------------
 */

/* SDM vol. 3A, 5.3: offsets from limit or top; vector 0: allowed. */
static const struct {
    u32 access, limit;
    u64 offset;
    unsigned size, kind;
    bool ok;
} limits[] = {
    {FX_DATA16 | FX_DPL(0), 0xfff, 0xffc, 4, EMU_WRITE, true},
    {FX_DATA16, 0xfff, 0xffd, 4, EMU_WRITE, false},
    {FX_DATA16, 0xfff, 0x1000, 1, EMU_READ, false},
    {FX_DATA16, 0, 0, 1, EMU_READ, true},
    {FX_DATA32, 0xffffffff, 0xfffffffc, 4, EMU_READ, true},
    {FX_DATA32, 0xffffffff, 0xfffffffe, 4, EMU_READ, true}, /* without an end: wraps */
    {0x97, 0xfff, 0xfff, 1, EMU_READ, false}, /* expand-down: above the limit, to 64 KiB */
    {0x97, 0xfff, 0x1000, 1, EMU_WRITE, true},
    {0x97, 0xfff, 0xfffe, 2, EMU_WRITE, true},
    {0x97, 0xfff, 0xffff, 2, EMU_WRITE, false},
    {0x4097, 0xfff, 0xffff, 2, EMU_WRITE, true}, /* or, with B, to 4 GiB */
    {0x4097, 0xfff, 0xffffffff, 2, EMU_WRITE, false},
    {0x95, 0xfff, 0x2000, 1, EMU_WRITE, false}, /* read-only */
    {0x91, 0xfff, 0, 1, EMU_WRITE, false},
    {0x91, 0xfff, 0, 1, EMU_READ, true},
    {0x99, 0xfff, 0, 1, EMU_READ, false}, /* execute-only */
    {0x9b, 0xfff, 0, 1, EMU_READ, true},
    {0x9b, 0xfff, 0, 1, EMU_WRITE, false},
    {0x93 | SEG_UNUSABLE, 0xfff, 0, 1, EMU_READ, false},
};

static void segment_limits(void **)
{
    for (unsigned k = 0; k < ARRAY_SIZE(limits); k++) {
        struct fixture *f = fx_new();
        gva_t gva;
        fx_protected(f, 0);
        for (unsigned pass = 0; pass < 2; pass++) {
            enum seg seg = pass == 0 ? SEG_DS : SEG_SS;
            fx_set_seg(f, seg, 0x10, 0x10000, limits[k].limit, limits[k].access);
            fx_hide(f);
            enum emu_status st = emu_linear(&f->e, seg, limits[k].offset, limits[k].size,
                                            (enum emu_access)limits[k].kind, &gva);
            fx_settle(f);
            if ((st == EMU_DONE) != limits[k].ok)
                print_error("row %u\n", k);
            assert_int_equal(st, limits[k].ok ? EMU_DONE : EMU_FAULT);
            if (limits[k].ok) {
                assert_int_equal(gva.v, (u32)(0x10000 + limits[k].offset));
            } else {
                assert_int_equal(f->e.event.vector, seg == SEG_SS ? VECTOR_SS : VECTOR_GP);
                assert_int_equal(f->e.event.error, 0);
            }
        }
        fx_free(f);
    }
}

/* Real mode has limits but no types: code can be written (the stack segment's fault is #SS). */
static void segment_real(void **)
{
    struct fixture *f = fx_new();
    gva_t gva;

    fx_set_seg(f, SEG_CS, 0x100, 0x1000, 0xffff, 0x9b);
    assert_int_equal(emu_linear(&f->e, SEG_CS, 0xfffe, 2, EMU_WRITE, &gva), EMU_DONE);
    assert_int_equal(gva.v, 0x10ffe);
    assert_int_equal(emu_linear(&f->e, SEG_CS, 0xffff, 2, EMU_WRITE, &gva), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_GP);
    assert_int_equal(emu_linear(&f->e, SEG_SS, 0xffff, 2, EMU_WRITE, &gva), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_SS);
    f->s.seg[SEG_DS].limit = 0xffffffff; /* unreal mode */
    assert_int_equal(emu_linear(&f->e, SEG_DS, 0x12345678, 4, EMU_READ, &gva), EMU_DONE);
    assert_int_equal(gva.v, 0x12345678);
    fx_free(f);
}

static void segment_64bit(void **)
{
    struct fixture *f = fx_new();
    gva_t gva;

    fx_long(f, 0);
    fx_set_seg(f, SEG_DS, 0, 0x1000, 0, SEG_UNUSABLE); /* neither base, limit nor rights count */
    fx_set_seg(f, SEG_FS, 0, 0xffff800000000000, 0, SEG_UNUSABLE); /* FS and GS: the base does */
    assert_int_equal(emu_linear(&f->e, SEG_DS, 0x123456789a, 8, EMU_WRITE, &gva), EMU_DONE);
    assert_int_equal(gva.v, 0x123456789a);
    assert_int_equal(emu_linear(&f->e, SEG_FS, 0x10, 8, EMU_WRITE, &gva), EMU_DONE);
    assert_int_equal(gva.v, 0xffff800000000010);
    /* Canonical to the last byte; #SS for the stack. */
    assert_int_equal(emu_linear(&f->e, SEG_DS, 0x7ffffffffff8, 8, EMU_READ, &gva), EMU_DONE);
    assert_int_equal(emu_linear(&f->e, SEG_DS, 0x7ffffffffff9, 8, EMU_READ, &gva), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_GP);
    assert_int_equal(emu_linear(&f->e, SEG_SS, 0x800000000000, 8, EMU_READ, &gva), EMU_FAULT);
    assert_int_equal(f->e.event.vector, VECTOR_SS);
    assert_int_equal(emu_linear(&f->e, SEG_FS, -8ull, 8, EMU_READ, &gva), EMU_FAULT);
    f->s.cr4 |= CR4_LA57;
    assert_int_equal(emu_linear(&f->e, SEG_DS, 0x800000000000, 8, EMU_READ, &gva), EMU_DONE);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_paging),
        cmocka_unit_test(walk_32bit),
        cmocka_unit_test(walk_pse),
        cmocka_unit_test(walk_pae),
        cmocka_unit_test(walk_pae_reserved),
        cmocka_unit_test(walk_long),
        cmocka_unit_test(walk_large),
        cmocka_unit_test(walk_rights),
        cmocka_unit_test(walk_keys),
        cmocka_unit_test(accessed_dirty),
        cmocka_unit_test(remembered),
        cmocka_unit_test(debugger),
        cmocka_unit_test(racing),
        cmocka_unit_test(crossing),
        cmocka_unit_test(wrapping),
        cmocka_unit_test(devices),
        cmocka_unit_test(ram_and_device),
        cmocka_unit_test(known_translation),
        cmocka_unit_test(alignment),
        cmocka_unit_test(table_outside_ram),
        cmocka_unit_test(segment_limits),
        cmocka_unit_test(segment_real),
        cmocka_unit_test(segment_64bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
