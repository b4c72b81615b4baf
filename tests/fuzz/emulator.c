/* SPDX-License-Identifier: MIT
 *
 * libFuzzer target for the emulator: the input chooses mode, control registers, segments, general
 * registers, descriptors, memory and code; then a few instructions run and their events are
 * delivered.  Sanitizers watch memory and arithmetic (each RAM page stands between red zones), this
 * file what emulator.h promises: status values, records, and that a fault changes no register.
 *
 *   clang -fsanitize=fuzzer,address,undefined -DFUZZING … tests/fuzz/emulator.c emulator/ *.c
 *   emulator [CORPUS] [-max_total_time=10] [-runs=N] [-max_len=512]
 */
#include "tests/emulator/testguest.h"

#include "tests/emulator/codegen.h"
#include <sanitizer/asan_interface.h>

#define PAGES     64
#define STRIDE    (PAGE_SIZE + 256)
#define LOW_PAGES 16 /* mapped 1:1 from 0 by the page tables */
#define TABLES    20 /* page tables from this page on */
#define STEPS     4

/* The input is read from its front; beyond its end everything is 0. */
struct input {
    const u8 *p;
    size_t left;
};

static void take(struct input *in, void *out, size_t n)
{
    size_t have = n < in->left ? n : in->left;
    memset(out, 0, n);
    if (have != 0)
        memcpy(out, in->p, have);
    in->p += have;
    in->left -= have;
}

static u8 take8(struct input *in)
{
    u8 v;
    take(in, &v, 1);
    return v;
}

static u64 take64(struct input *in)
{
    u64 v;
    take(in, &v, 8);
    return v;
}

/* An interesting address or number in two bytes, a whole one in nine. */
static u64 take_value(struct input *in)
{
    u8 kind = take8(in);
    u64 v = take8(in);
    switch (kind & 7) {
    case 0: return take64(in);
    case 1: return v;
    case 2: return (u64)(s64)(s8)v;
    case 3: return 1ull << (v & 63);
    case 4: return ~0ull << (v & 63);
    default: return ((u64)kind << 8 | v) * 8 % (LOW_PAGES * PAGE_SIZE + 4096);
    }
}

#define CHECK(cond)                                                                   \
    do {                                                                              \
        if (!(cond)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* ---- state ---- */

enum fuzz_mode {
    FUZZ_REAL,
    FUZZ_VM86,
    FUZZ_16,
    FUZZ_32,
    FUZZ_PAE,
    FUZZ_COMPAT,
    FUZZ_64,
    FUZZ_MODES
};

static void set_segment(struct input *in, struct segment *s, enum fuzz_mode mode, u32 access)
{
    u8 odd = take8(in);
    *s = (struct segment){0, 0xffffffff, access, take8(in)};
    if (mode <= FUZZ_VM86) {
        s->selector = (u16)(s->selector << 4);
        s->base = (u64)s->selector << 4;
        s->limit = 0xffff;
        s->access = mode == FUZZ_REAL ? 0x93 : 0xf3;
    }
    if ((odd & 0xc0) != 0xc0)
        return;
    if (odd & 1)
        s->limit = (u32)take_value(in);
    if (odd & 2)
        s->base = take_value(in);
    if (odd & 4)
        s->access = (u32)take_value(in) & SEG_ACCESS_MASK;
}

static void set_segments(struct input *in, struct x86_state *s, enum fuzz_mode mode)
{
    u32 dpl = (u32)(take8(in) % 4) << SEG_DPL_SHIFT;
    u32 big = mode == FUZZ_16 ? 0 : mode == FUZZ_64 ? SEG_L : SEG_DB;
    for (unsigned i = 0; i <= SEG_GS; i++)
        set_segment(in, &s->seg[i], mode,
                    i == SEG_CS ? 0x9b | SEG_G | big | dpl
                                : 0x93 | SEG_G | (mode == FUZZ_16 ? 0 : SEG_DB) | dpl);
    if (mode > FUZZ_VM86 && (s->seg[SEG_CS].access & SEG_L) == 0 && mode == FUZZ_64)
        s->seg[SEG_CS].access |= SEG_L;
    s->seg[SEG_LDTR] = (struct segment){0x1000, 0xfff, 0x82, 0x28};
    s->seg[SEG_TR] = (struct segment){0x2000, 0xfff, take8(in) & 1 ? 0x8b : 0x83, 0x30};
    s->gdtr = (struct table_reg){0x3000, take8(in) * 16u};
    s->idtr = (struct table_reg){mode == FUZZ_REAL ? 0 : 0x4000, take8(in) * 16u + 15};
}

static void set_control(struct input *in, struct x86_state *s, enum fuzz_mode mode)
{
    u64 odd = take64(in);
    s->cr0 = CR0_ET | (odd & (CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM));
    s->cr4 = odd >> 32 &
             (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
              CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP);
    s->efer = odd & EFER_SCE;
    s->xcr0 = 7;
    s->cr3 = TABLES * PAGE_SIZE;
    s->dr7 = 0x400;
    if (mode != FUZZ_REAL)
        s->cr0 |= CR0_PE | (odd & BIT64(40) ? CR0_PG : 0);
    if (mode == FUZZ_PAE)
        s->cr4 |= CR4_PAE;
    if (mode >= FUZZ_COMPAT) {
        s->cr0 |= CR0_PG;
        s->cr4 |= CR4_PAE;
        s->efer |= EFER_LME | EFER_LMA | (odd & EFER_NXE);
    }
    u64 flags = take_value(in);
    s->rflags = (flags & 0x3f7fd7 & ~(u64)RFLAGS_VM) | RFLAGS_FIXED;
    if (mode == FUZZ_VM86)
        s->rflags |= RFLAGS_VM;
}

/* Page tables for the paging mode: the low pages 1:1, one of them missing, one read-only. */
static void set_paging(struct guest *g, enum fuzz_mode mode, u8 odd)
{
    if (!(g->state.cr0 & CR0_PG))
        return;
    bool pae = (g->state.cr4 & CR4_PAE) != 0;
    g->next_table = TABLES + 1;
    for (u64 i = 0; i < LOW_PAGES; i++) {
        u64 bits = i == (odd & 15) ? PTE_USER : i == (odd >> 4) ? PTE_WRITE : PTE_WRITE | PTE_USER;
        if (mode >= FUZZ_COMPAT) {
            guest_map(g, i * PAGE_SIZE, i * PAGE_SIZE, bits);
        } else if (pae) {
            g->state.pdpte[0] = (TABLES + 1) * PAGE_SIZE | PTE_PRESENT;
            u64 pd = (TABLES + 2) * PAGE_SIZE | PTE_PRESENT | PTE_WRITE | PTE_USER;
            u64 pte = i * PAGE_SIZE | PTE_PRESENT | bits;
            memcpy(guest_ptr(g, TABLES * PAGE_SIZE), &g->state.pdpte[0], 8);
            memcpy(guest_ptr(g, (TABLES + 1) * PAGE_SIZE), &pd, 8);
            memcpy(guest_ptr(g, (TABLES + 2) * PAGE_SIZE) + 8 * i, &pte, 8);
        } else {
            u32 pd = (u32)((TABLES + 1) * PAGE_SIZE | PTE_PRESENT | PTE_WRITE | PTE_USER);
            u32 pte = (u32)(i * PAGE_SIZE | PTE_PRESENT | bits);
            memcpy(guest_ptr(g, TABLES * PAGE_SIZE), &pd, 4);
            memcpy(guest_ptr(g, (TABLES + 1) * PAGE_SIZE) + 4 * i, &pte, 4);
        }
    }
    if (mode < FUZZ_COMPAT && (odd & 1)) { /* a missing page */
        u8 none[8] = {0};
        memcpy(guest_ptr(g, (pae ? TABLES + 2 : TABLES + 1) * PAGE_SIZE) + (pae ? 8 : 4) * 7, none,
               pae ? 8 : 4);
    }
}

/* ---- memory: wiped where the last input wrote ---- */

static u8 *ram;
static u64 touched; /* bit per page */

static void *fuzz_ram(void *ctx, gpa_t gpa, enum emu_access)
{
    if (gpa.v / PAGE_SIZE < PAGES)
        touched |= BIT64(gpa.v / PAGE_SIZE);
    return guest_ptr(ctx, gpa.v);
}

/* A repeat without end would be one: it is interrupted now and then. */
static unsigned patience;

static bool fuzz_interrupted(void *) { return patience == 0 || --patience == 0; }

static struct emu_ops fuzz_ops;

static void setup(void)
{
    ram = calloc(PAGES, STRIDE);
    if (ram == NULL)
        exit(2);
    hostnative_catch();
    for (unsigned i = 0; i < PAGES; i++)
        ASAN_POISON_MEMORY_REGION(ram + i * STRIDE + PAGE_SIZE, STRIDE - PAGE_SIZE);
    fuzz_ops = guest_ops;
    fuzz_ops.ram = fuzz_ram;
    fuzz_ops.interrupted = fuzz_interrupted;
}

static void put(struct guest *g, u64 gpa, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        u8 *p = guest_ptr(g, (gpa + i) % (PAGES * PAGE_SIZE));
        touched |= BIT64((gpa + i) / PAGE_SIZE % PAGES);
        *p = ((const u8 *)data)[i];
    }
}

/* Descriptor tables get whatever the input has, in slots of eight bytes. */
static void set_tables(struct input *in, struct guest *g)
{
    unsigned many = take8(in) % 8;
    for (unsigned i = 0; i < many; i++) {
        u64 where = 0x1000 + take8(in) % 4 * 0x1000u + take8(in) % 64 * 8u;
        u64 what = take64(in);
        put(g, where, &what, 8);
    }
}

/* ---- promises ---- */

static void check_after(const struct guest *g, const struct x86_state *before, enum emu_status st)
{
    const struct emu *e = &g->emu;
    CHECK(st <= EMU_UNIMPLEMENTED);
    CHECK(e->record.code->length <= 15);
    CHECK(e->record.rip == before->rip);
    CHECK(g->state.rflags & RFLAGS_FIXED);
    CHECK((g->state.rflags & 0xffffffffffc08028ull) == 0);
    if (st == EMU_FAULT)
        CHECK(e->event.vector < 32 && e->event.type <= EMU_EVENT_SOFT_EXCEPTION);
    struct code_scan s;
    u8 code[24] = {0};
    memcpy(code, e->record.code->bytes, e->record.code->length);
    code_scan(code, e->record.code->mode == EMU_MODE_64, &s);
    if (st != EMU_FAULT && st != EMU_UNIMPLEMENTED)
        return;
    CHECK(g->state.rip == before->rip);
    /* As on CPUs, POPA has popped some, and a repeated string instruction counted, cutting to the
     * address size what it counts and points with. */
    bool wide = e->record.code->mode == EMU_MODE_64;
    if (s.map == MAP_ONE && s.opcode == 0x61 && !wide)
        return;
    bool string = s.map == MAP_ONE && s.rep != 0 &&
                  ((s.opcode & 0xfc) == 0x6c || (s.opcode >= 0xa4 && s.opcode <= 0xaf));
    const u32 counted = BIT(RAX) | BIT(RCX) | BIT(RSI) | BIT(RDI);
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        u64 changed = g->state.gpr[i] ^ before->gpr[i];
        if (!string || !(counted >> i & 1))
            CHECK(changed == 0);
        else if (e->record.iterations == 0)
            CHECK((wide && !s.addrsize ? changed : (u32)changed) == 0);
    }
}

static void check_text(const struct guest *g, const u8 *code, enum emu_mode mode)
{
    char text[96];
    u8 *exact = malloc(15); /* a byte read past the end shows */
    memcpy(exact, code, 15);
    unsigned n = emu_disassemble(exact, 15, mode, g->state.rip, text, sizeof(text), NULL, NULL);
    CHECK(n <= 15 && memchr(text, 0, sizeof(text)) != NULL);
    free(exact);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static struct guest g;
    static struct emu_cache *cache;
    struct input in = {data, size};
    if (ram == NULL)
        setup();
    for (u64 i = 0; i < PAGES; i++)
        if (touched >> i & 1)
            memset(ram + i * STRIDE, 0, PAGE_SIZE);
    touched = 0;
    guest_init(&g, ram, PAGES, STRIDE);
    g.emu.ops = &fuzz_ops;
    if (cache == NULL && (cache = malloc(emu_cache_size())) != NULL)
        emu_cache_init(cache);
    u8 head = take8(&in);
    enum fuzz_mode mode = head % FUZZ_MODES;
    g.emu.cache = head & 0x80 ? cache : NULL;
    g.emu.vmware_ports = (head & 0x20) != 0;
    u8 code[15];
    take(&in, code, sizeof(code));
    set_control(&in, &g.state, mode);
    set_segments(&in, &g.state, mode);
    u64 pieces[4] = {take_value(&in), take_value(&in), take_value(&in), take_value(&in)};
    g.xsave[XSAVE_BV] = take8(&in) & 7; /* masks, tags and registers of some kind */
    for (unsigned i = 0; i < 512 / 8; i++)
        memcpy(g.xsave + (i < 48 ? XSAVE_ST : XSAVE_YMM - 8 * 48) + 8 * i, &pieces[i & 3], 8);
    memcpy(g.xsave + XSAVE_FCW, &pieces[0], 5);
    u32 mxcsr = (u32)pieces[1] & 0xffff;
    memcpy(g.xsave + XSAVE_MXCSR, &mxcsr, 4);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        g.state.gpr[i] = i < 8 || mode == FUZZ_64 ? take_value(&in) : 0;
    touched |= ~0ull << TABLES & ~(~0ull << (TABLES + 8));
    set_paging(&g, mode, take8(&in));
    set_tables(&in, &g);
    g.state.rip = 0x6000 + take8(&in) * 16u;
    if (mode <= FUZZ_VM86)
        g.state.rip = (u16)(g.state.rip - g.state.seg[SEG_CS].base);
    put(&g, g.state.seg[SEG_CS].base + g.state.rip, code, sizeof(code));
    check_text(&g, code, emu_mode(&g.state));
    bool watched = head & 0x10;
    if (watched) {
        g.state.dr7 = (u32)take64(&in);
        for (unsigned i = 0; i < 4; i++)
            g.state.dr[i] = take_value(&in);
    }
    if (head & 0x40)
        (void)(emu_at_port_access(&g.emu) || emu_take_forced(&g.emu) || emu_skip(&g.emu));
    for (unsigned i = 0; i < STEPS && g.state.activity == ACTIVITY_ACTIVE; i++) {
        struct x86_state before = g.state;
        g.emu.event.vector = VECTOR_NONE;
        patience = 64;
        enum emu_status st = watched ? emu_step_watched(&g.emu, head & 0x20) : emu_step(&g.emu);
        check_after(&g, &before, st);
        if (st != EMU_FAULT && (st != EMU_DONE || g.emu.event.vector == VECTOR_NONE))
            continue;
        struct emu_event event = g.emu.event;
        if (emu_deliver(&g.emu, &event) != EMU_DONE)
            break;
    }
    return 0;
}
