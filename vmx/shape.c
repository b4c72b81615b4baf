/* SPDX-License-Identifier: MIT
 *
 * Between the state that a guest without paging sees and the one that the CPU runs it with.
 */
#include "vmx/shape.h"

/* The 32-bit TSS, SDM vol. 3A, figure 7-2 and 20.3.3: the map of redirected interrupts (all zero:
 * all go to the program's own table) lies in front of the I/O map, whose zeros let IN and OUT
 * through to the I/O bitmaps of the VMCS. */
#define TSS_IO_BASE     0x66
#define TSS_SIZE        0x68u
#define IO_MAP          (TSS_SIZE + 256 / 8)
#define TSS_LIMIT       (IO_MAP + 0x2000)
#define ACCESS_TSS_BUSY 0x8bu
#define ACCESS_VM86     0xf3u
#define LIMIT_VM86      0xffffu

/* A page of 4 MiB: present, writable, user, accessed, dirty (SDM vol. 3A, table 4-4). */
#define PDE_4M 0xe7u

_Static_assert(PAGE_SIZE + TSS_LIMIT < SHAPE_TABLES_SIZE, "the TSS lies behind the page directory");

void shape_fill_tables(u8 *pages)
{
    u32 *directory = (u32 *)(void *)pages;
    u8 *tss = pages + PAGE_SIZE;

    for (u32 i = 0; i < 1024; i++)
        directory[i] = i << 22 | PDE_4M;
    tss[TSS_IO_BASE] = IO_MAP;
    tss[TSS_LIMIT] = 0xff; /* the I/O map's last byte, SDM vol. 1, 19.5.2 */
}

enum shape shape_wanted(bool unrestricted, enum real_mode real_mode, const struct x86_state *s)
{
    if (s->cr0 & CR0_PG)
        return SHAPE_DIRECT;
    if (s->cr0 & CR0_PE)
        return unrestricted ? SHAPE_DIRECT : SHAPE_IDENTITY;
    return real_mode == REAL_VM86 ? SHAPE_VM86 : SHAPE_DIRECT;
}

/* What real mode does with such a segment, virtual-8086 mode does too, or refuses for going beyond
 * 64 KiB (big real mode): that exits, and is emulated with the limit that the segment has. */
static bool is_plain(const struct segment *g, unsigned seg)
{
    return g->base == (u64)g->selector << 4 && g->limit >= LIMIT_VM86 && (g->access & SEG_P) &&
           (g->access & SEG_S) && (seg == SEG_CS || (g->access & 0xe) == 2) &&
           !((seg == SEG_CS || seg == SEG_SS) && (g->access & SEG_DB));
}

void shape_dress(struct shaped *d, enum shape shape, const struct x86_state *s,
                 struct x86_state *out)
{
    *out = *s;
    if (shape == SHAPE_DIRECT)
        return;
    out->cr0 |= CR0_PE | CR0_PG;
    out->cr3 = SHAPE_TABLES;
    out->cr4 = (s->cr4 & ~SHAPE_CR4) | CR4_PSE;
    out->efer &= ~(EFER_LME | EFER_LMA);
    if (shape == SHAPE_IDENTITY)
        return;
    out->cr4 |= CR4_VME;
    out->rflags |= RFLAGS_VM | RFLAGS_IOPL;
    d->iopl = s->rflags & RFLAGS_IOPL;
    for (unsigned i = 0; i <= SEG_GS; i++) {
        d->access[i] = s->seg[i].access;
        d->limit[i] = s->seg[i].limit;
        if (is_plain(&s->seg[i], i)) {
            out->seg[i].access = ACCESS_VM86;
            out->seg[i].limit = LIMIT_VM86;
        }
    }
    out->seg[SEG_LDTR] = (struct segment){.access = SEG_UNUSABLE};
    out->seg[SEG_TR] = (struct segment){
        .base = SHAPE_TABLES + PAGE_SIZE, .limit = TSS_LIMIT, .access = ACCESS_TSS_BUSY};
}

u32 shape_kept(const struct shaped *d)
{
    static const u32 kept[] = {
        [SHAPE_IDENTITY] = STATE_CR3 | STATE_EFER | STATE_PDPTE,
        [SHAPE_VM86] =
            STATE_CR3 | STATE_EFER | STATE_PDPTE | STATE_SEG(SEG_LDTR) | STATE_SEG(SEG_TR),
    };

    return kept[d->shape];
}

void shape_undress(const struct shaped *d, u32 loaded, struct x86_state *s)
{
    if (loaded & STATE_CS_ACCESS)
        s->seg[SEG_CS].access = d->access[SEG_CS];
    if (loaded & STATE_RFLAGS)
        s->rflags = (s->rflags & ~(u64)(RFLAGS_VM | RFLAGS_IOPL)) | d->iopl;
    for (unsigned i = 0; i <= SEG_GS; i++)
        if (loaded & STATE_SEG(i)) {
            s->seg[i].access = d->access[i];
            s->seg[i].limit = d->limit[i];
        }
}
