/* SPDX-License-Identifier: MIT
 *
 * What the loaders share: writing claimed memory, and the registers, descriptors and page tables
 * that a boot protocol's first instruction finds.
 */
#include "guest/load.h"

#include "guest/address.h"
#include "lib/string.h"

#define TABLE_ENTRIES 512u
#define MAPPED_GIB    4u               /* identity-mapped for 64-bit entry */
#define TABLE_PAGES   (2 + MAPPED_GIB) /* PML4, PDPT, and a page directory per GiB */
#define LARGE_PAGE    (2 * MiB)

/* Flat segments with accessed types, so that nobody needs to write the GDT; access rights as in
 * SDM vol. 3C, table 24-2, and the same as descriptors, vol. 3A, 3.4.5. */
#define ACCESS_CODE32 (0xbu | SEG_S | SEG_P | SEG_DB | SEG_G)
#define ACCESS_CODE64 (0xbu | SEG_S | SEG_P | SEG_L | SEG_G)
#define ACCESS_DATA32 (0x3u | SEG_S | SEG_P | SEG_DB | SEG_G)
#define ACCESS_TSS    (0xbu | SEG_P) /* busy: TR of a running CPU is never otherwise */

static enum status fail_backing(struct load *l, u64 gpa)
{
    return load_fail(l->error, STATUS_ERANGE,
                     "guest memory at %#lx has no backing: the hypervisor gave the guest less than "
                     "mem= says",
                     gpa);
}

enum status load_write(struct load *l, u64 gpa, const void *src, u64 size)
{
    if (size == 0 || gmem_write(l->mem, GPA(gpa), src, size) == STATUS_OK)
        return STATUS_OK;
    return fail_backing(l, gpa);
}

enum status load_clear(struct load *l, u64 gpa, u64 size, void **at)
{
    *at = gmem_at(l->mem, GPA(gpa), size);
    if (!*at)
        return size == 0 ? STATUS_OK : fail_backing(l, gpa);
    memset(*at, 0, size);
    return STATUS_OK;
}

enum status load_string(struct load *l, const char *head, const char *tail, u64 below,
                        const char *name, gpa_t *where)
{
    u64 head_size = head ? strlen(head) : 0, tail_size = strlen(tail);
    bool blank = head_size != 0 && tail_size != 0;
    struct layout_want want = {
        .size = head_size + blank + tail_size + 1, .align = 16, .from = PAGE_SIZE, .below = below};

    TRY(layout_place(&l->layout, &want, name, where, l->error));
    TRY(load_write(l, where->v, head, head_size));
    TRY(load_write(l, where->v + head_size, " ", blank));
    return load_write(l, where->v + head_size + blank, tail, tail_size + 1);
}

static u64 flat_descriptor(u32 access)
{
    return 0x000f00000000ffffull | (u64)(access & 0xff) << 40 | (u64)(access & 0xf000) << 40;
}

/* A descriptor table with LOAD_CS and LOAD_DS. */
static enum status build_gdt(struct load *l, u32 code_access)
{
    u64 gdt[] = {0, 0, flat_descriptor(code_access), flat_descriptor(ACCESS_DATA32)};
    struct layout_want want = {
        .size = sizeof(gdt), .align = 16, .from = PAGE_SIZE, .below = ADDR_HIGH};
    gpa_t where;

    TRY(layout_place(&l->layout, &want, "the descriptor table", &where, l->error));
    l->state->gdtr = (struct table_reg){where.v, sizeof(gdt) - 1};
    return load_write(l, where.v, gdt, sizeof(gdt));
}

/* The first MAPPED_GIB GiB mapped to themselves with 2-MiB pages. */
static enum status build_page_tables(struct load *l)
{
    struct layout_want want = {
        .size = TABLE_PAGES * PAGE_SIZE, .align = PAGE_SIZE, .from = PAGE_SIZE, .below = ADDR_HIGH};
    gpa_t where;
    void *at;

    TRY(layout_place(&l->layout, &want, "the page tables", &where, l->error));
    TRY(load_clear(l, where.v, want.size, &at));
    l->state->cr3 = where.v;
    u64 *table = at;
    table[0] = (where.v + PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
    table += TABLE_ENTRIES;
    for (u64 i = 0; i < MAPPED_GIB; i++)
        table[i] = (where.v + (2 + i) * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
    table += TABLE_ENTRIES;
    for (u64 i = 0; i < MAPPED_GIB * TABLE_ENTRIES; i++)
        table[i] = i * LARGE_PAGE | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
    return STATUS_OK;
}

static void set_real_mode(struct x86_state *s, u64 rip)
{
    u64 selector = rip < 0x10000 ? 0 : rip >> 4;

    if (selector > 0xffff)
        selector = 0xffff;
    s->seg[SEG_CS].selector = (u16)selector;
    s->seg[SEG_CS].base = selector << 4;
    s->rip = rip - (selector << 4);
    s->idtr = (struct table_reg){0, 0x3ff};
}

static void set_flat_segments(struct x86_state *s, u32 code_access)
{
    for (enum seg i = SEG_ES; i <= SEG_GS; i++)
        s->seg[i] =
            (struct segment){.limit = 0xffffffff, .access = ACCESS_DATA32, .selector = LOAD_DS};
    s->seg[SEG_CS].access = code_access;
    s->seg[SEG_CS].selector = LOAD_CS;
    s->seg[SEG_LDTR] = (struct segment){.access = SEG_UNUSABLE};
    s->seg[SEG_TR] = (struct segment){.limit = 0x67, .access = ACCESS_TSS};
    s->idtr = (struct table_reg){0, 0};
}

enum status load_enter(struct load *l, enum vm_mode mode, u64 rip)
{
    struct x86_state *s = l->state;
    u32 code = mode == VM_MODE_64 ? ACCESS_CODE64 : ACCESS_CODE32;

    x86_state_reset(s);
    memset(s->gpr, 0, sizeof(s->gpr));
    s->cr0 = CR0_ET; /* firmware has switched the caches on */
    if (mode == VM_MODE_16) {
        set_real_mode(s, rip);
        return STATUS_OK;
    }
    s->rip = rip;
    s->cr0 |= CR0_PE;
    set_flat_segments(s, code);
    TRY(build_gdt(l, code));
    if (mode == VM_MODE_32)
        return STATUS_OK;
    s->cr0 |= CR0_PG;
    s->cr4 = CR4_PAE;
    s->efer = EFER_LME | EFER_LMA;
    return build_page_tables(l);
}
