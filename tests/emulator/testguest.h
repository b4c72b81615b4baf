/* SPDX-License-Identifier: MIT
 *
 * A virtual machine just large enough to run the emulator in on the host: RAM from guest-physical
 * 0 up, everything above it MMIO that reads all-ones, ports that read all-ones, page tables and
 * descriptors built by hand.  Oracles, fuzzers and benchmarks share it.
 */
#ifndef TESTS_EMULATOR_TESTGUEST_H
#define TESTS_EMULATOR_TESTGUEST_H

#include "tests/emulator/hostnative.h"

#include "emulator/emulator.h"
#include "emulator/state.h"
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guest {
    struct emu emu; /* ctx is the guest */
    struct x86_state state;
    u8 *ram;
    u64 pages;       /* of RAM */
    size_t stride;   /* host bytes from one page to the next: PAGE_SIZE, or more with red zones */
    u64 next_table;  /* page the next page table is taken from */
    u64 device;      /* what MMIO was last written */
    u64 device_uses; /* MMIO accesses and port elements so far */
    u64 tsc, tsc_aux;
    bool interrupt_waits;
    bool live; /* x87, SSE and AVX state is what happens to be in the CPU (benchmarks) */
    _Alignas(64) u8 xsave[XSAVE_AREA]; /* else it is here */
    void *(*window)(struct guest *g, u64 first, u64 second);
};

static inline u8 *guest_ptr(struct guest *g, u64 gpa)
{
    return gpa / PAGE_SIZE < g->pages ? g->ram + gpa / PAGE_SIZE * g->stride + (gpa & PAGE_MASK)
                                      : NULL;
}

/* ---- page tables ---- */

/* Map one page, 4-level; tables are made as needed below state.cr3. */
static inline void guest_map(struct guest *g, u64 linear, u64 gpa, u64 bits)
{
    u64 table = g->state.cr3 & ~PAGE_MASK;
    for (unsigned level = 4; level > 1; level--) {
        u64 *entry = (u64 *)(void *)guest_ptr(g, table + 8 * ((linear >> (9 * level + 3)) & 511));
        if (!(*entry & PTE_PRESENT)) {
            *entry =
                g->next_table++ * PAGE_SIZE | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED;
            if (g->next_table > g->pages) {
                fputs("testguest: no page left for page tables: enlarge its RAM\n", stderr);
                exit(2);
            }
        }
        table = *entry & ~(PAGE_MASK | PTE_NX);
    }
    u64 *pte = (u64 *)(void *)guest_ptr(g, table + 8 * ((linear >> 12) & 511));
    *pte = gpa | bits | PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY;
}

/* ---- descriptors ---- */

/* SDM vol. 3A, figure 3-8.  access as in struct segment; limit in bytes or, with G, pages. */
static inline u64 guest_descriptor(u32 base, u32 limit, u32 access)
{
    return (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(access & 0xf0ff) << 40 |
           (u64)(limit >> 16 & 15) << 48 | (u64)(base >> 24) << 56;
}

/* The segment register that loading `selector` with this descriptor gives. */
static inline struct segment guest_segment(u16 selector, u64 descriptor)
{
    struct segment s = {.selector = selector};
    s.base = (descriptor >> 16 & 0xffffff) | (descriptor >> 56 & 0xff) << 24;
    s.limit = (u32)((descriptor & 0xffff) | (descriptor >> 32 & 0xf0000));
    s.access = (u32)(descriptor >> 40) & 0xf0ff;
    if (s.access & SEG_G)
        s.limit = s.limit << 12 | 0xfff;
    return s;
}

/* ---- operations ---- */

static inline void guest_load(void *ctx, u32 groups)
{
    ((struct guest *)ctx)->state.valid |= groups;
}

static inline void *guest_ram(void *ctx, gpa_t gpa, enum emu_access)
{
    return guest_ptr(ctx, gpa.v);
}

static inline u64 guest_mmio_read(void *ctx, gpa_t, unsigned)
{
    struct guest *g = ctx;
    g->device_uses++;
    return ~0ull;
}

static inline void guest_mmio_write(void *ctx, gpa_t, unsigned, u64 value)
{
    struct guest *g = ctx;
    g->device_uses++;
    g->device = value;
}

static inline void guest_port_in(void *ctx, u16, unsigned size, void *data, u64 *count)
{
    struct guest *g = ctx;
    g->device_uses += *count;
    memset(data, 0xff, size * *count);
}

static inline void guest_port_out(void *ctx, u16, unsigned size, const void *data, u64 *count)
{
    struct guest *g = ctx;
    g->device_uses += *count;
    memcpy(&g->device, data, size);
}

/* Only what keeps the machine consistent; the rules are the user's and tested with the user. */
static inline enum emu_status guest_write_cr(void *ctx, unsigned cr, u64 value)
{
    struct guest *g = ctx;
    struct x86_state *s = &g->state;
    bool bad = cr == 0 ? ((value & CR0_PG) && !(value & CR0_PE)) || value >> 32 != 0
                       : cr == 8 && value > 15;
    if (bad)
        return emu_raise(&g->emu, VECTOR_GP, true, 0);
    u64 *to = cr == 0 ? &s->cr0 : cr == 3 ? &s->cr3 : cr == 4 ? &s->cr4 : NULL;
    if (to != NULL)
        *to = value;
    if (cr == 0 && (s->efer & EFER_LME))
        s->efer = value & CR0_PG ? s->efer | EFER_LMA : s->efer & ~EFER_LMA;
    s->dirty |= STATE_CR0 | STATE_CR3 | STATE_CR4 | STATE_EFER;
    return EMU_DONE;
}

static inline u64 guest_read_cr8(void *) { return 0; }

#define MSR_TSC_AUX 0xc0000103u

static inline enum emu_status guest_read_msr(void *ctx, u32 msr, u64 *value)
{
    struct guest *g = ctx;
    if (msr != MSR_TSC_AUX)
        return emu_raise(&g->emu, VECTOR_GP, true, 0);
    *value = g->tsc_aux;
    return EMU_DONE;
}

static inline enum emu_status guest_write_msr(void *ctx, u32 msr, u64 value)
{
    struct guest *g = ctx;
    if (msr != MSR_TSC_AUX)
        return emu_raise(&g->emu, VECTOR_GP, true, 0);
    g->tsc_aux = value;
    return EMU_DONE;
}

static inline void guest_cpuid(void *, u32 leaf, u32 subleaf, u32 out[4])
{
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

static inline u64 guest_read_tsc(void *ctx) { return ((struct guest *)ctx)->tsc += 1000; }

static inline void guest_invalidate(void *, bool, gva_t) {}

static inline bool guest_interrupted(void *ctx) { return ((struct guest *)ctx)->interrupt_waits; }

static inline enum emu_status guest_special(void *ctx, unsigned op, u64, u64)
{
    struct guest *g = ctx;
    if (op == EMU_OP_WBINVD || op == EMU_OP_PAUSE || op == EMU_OP_INVPCID)
        return EMU_DONE;
    return emu_raise(&g->emu, VECTOR_UD, false, 0);
}

static inline void *guest_window(void *ctx, gpa_t first, gpa_t second)
{
    struct guest *g = ctx;
    return g->window == NULL ? NULL : g->window(g, first.v, second.v);
}

static inline u8 guest_run_native(void *ctx, struct emu_native *n)
{
    struct guest *g = ctx;
    return hostnative_run(n, g->live ? NULL : g->xsave);
}

static const struct emu_ops guest_ops = {
    .load = guest_load,
    .ram = guest_ram,
    .mmio_read = guest_mmio_read,
    .mmio_write = guest_mmio_write,
    .port_in = guest_port_in,
    .port_out = guest_port_out,
    .write_cr = guest_write_cr,
    .read_cr8 = guest_read_cr8,
    .read_msr = guest_read_msr,
    .write_msr = guest_write_msr,
    .cpuid = guest_cpuid,
    .read_tsc = guest_read_tsc,
    .invalidate = guest_invalidate,
    .interrupted = guest_interrupted,
    .special = guest_special,
    .window = guest_window,
    .run_native = guest_run_native,
};

/* ---- features ---- */

/* What the host CPU has, as a mask of BIT64(EMU_HAS_*). */
static inline u64 guest_host_features(void)
{
    static u64 mask; /* CPUID is slow where it is virtual */
    for (unsigned i = 0; mask >> 63 == 0 && i < EMU_FEATURE_COUNT; i++) {
        const struct emu_feature_bit *f = &emu_feature_bits[i];
        u32 r[4];
        guest_cpuid(NULL, f->leaf, f->subleaf, r);
        mask |= (u64)(r[f->reg] >> f->bit & 1) << i;
    }
    mask |= BIT64(63); /* asked */
    return mask & ~BIT64(63);
}

/* RAM of so many pages, `stride` host bytes apart, zeroed; state after reset; host's features. */
static inline void guest_init(struct guest *g, u8 *ram, u64 pages, size_t stride)
{
    memset(g, 0, sizeof(*g));
    g->ram = ram;
    g->pages = pages;
    g->stride = stride;
    x86_state_reset(&g->state);
    g->state.valid = STATE_ALL;
    g->emu.state = &g->state;
    g->emu.ops = &guest_ops;
    g->emu.ctx = g;
    g->emu.features = guest_host_features();
    g->emu.phys_bits = 40;
    hostnative_reset(g->xsave);
    g->emu.event.vector = VECTOR_NONE;
}

#endif
