/* SPDX-License-Identifier: MIT
 *
 * The host CPU judges the emulator: each case runs once natively (hostcpu.h) and once through
 * emu_step() on the same memory image and descriptors, and everything a program could see is
 * compared: registers, defined flags, memory, selectors and bases, vector, error code, CR2.
 *
 *   native [--mode 64|32|16] [--cases N] [--seed S] [--systematic] [--seconds T] [--examples N]
 *          [--undefined] [--native-only]
 *
 * Random cases, or the sweep over prefixes, opcodes and operand forms; with --seconds (for all
 * modes together) and no number of cases both by turns.
 *
 * Both sides are at CPL 3 in IA-32e mode with TF set.  Not in the judge's reach: CPL 0, real and
 * virtual-8086 mode, system calls and INT n, and what undefined.h names.  Exit status 1 on any
 * mismatch; instructions the emulator refuses as EMU_UNIMPLEMENTED are counted by opcode.
 */
#include "tests/emulator/cases.h"

#include "tests/emulator/undefined.h"
#include <Zydis/Zydis.h>
#include <time.h>

/* ---- the run ---- */

struct options {
    unsigned mode; /* 0: all three */
    u64 cases, seed;
    double seconds; /* 0: no limit */
    unsigned examples;
    bool systematic, mixed, undefined, native_only;
};

enum verdict { EQUAL, MISMATCH, UNIMPLEMENTED, SKIPPED, VERDICT_COUNT };

/* Mismatches of one opcode with the same symptom. */
struct group {
    u16 key; /* map << 8 | opcode */
    u8 reg;  /* ModRM.reg of a group, else 0xff */
    u64 count;
    char symptom[80];
    struct testcase example[4];
};

#define GROUPS_MAX 4096
struct oracle {
    struct options opt;
    struct guest guest;
    u8 background[CASE_PAGES][PAGE_SIZE];
    u64 total[VERDICT_COUNT];
    u64 unimplemented[MAP_COUNT << 8][8]; /* by ModRM.reg where that is opcode */
    u64 covered[MAP_COUNT << 8];          /* cases per opcode that ended EQUAL */
    struct group group[GROUPS_MAX];
    unsigned groups;
    u64 lost; /* mismatches past GROUPS_MAX */
};

/* What one case came to on both sides. */
struct outcome {
    struct cpu_result cpu;
    enum emu_status status;
    unsigned steps;
    char symptom[80]; /* empty: equal */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- memory ---- */

static u8 *page_of(u64 linear, struct guest *g, bool native)
{
    for (size_t i = 0; i < CASE_PAGES; i++)
        if (case_pages[i].linear == (linear & ~PAGE_MASK))
            return native ? (u8 *)case_pages[i].linear : guest_ptr(g, case_pages[i].gpa);
    return NULL;
}

/* Put bytes into both memories, as far as there is writable memory. */
static void put(struct guest *g, u64 linear, const u8 *data, size_t n)
{
    for (size_t i = 0; i < n; i++, linear++) {
        u8 *theirs = page_of(linear, g, false);
        if (theirs == NULL || (linear & ~PAGE_MASK) == CASE_BASE + 0x9000)
            continue;
        theirs[linear & PAGE_MASK] = data[i];
        page_of(linear, g, true)[linear & PAGE_MASK] = data[i];
    }
}

static void memory_init(struct oracle *o)
{
    struct rng r = {0x5eed};
    for (size_t i = 0; i < CASE_PAGES; i++) {
        const struct case_page *p = &case_pages[i];
        u8 *native = hostcpu_map(p->linear, PAGE_SIZE, PROT_READ | PROT_WRITE | p->prot);
        for (u64 k = 0; k < PAGE_SIZE; k += 8) {
            u64 v = rng_value(&r);
            memcpy(o->background[i] + k, &v, 8);
        }
        memcpy(native, o->background[i], PAGE_SIZE);
        memcpy(guest_ptr(&o->guest, p->gpa), native, PAGE_SIZE);
        guest_map(&o->guest, p->linear, p->gpa,
                  PTE_U | (p->prot & PROT_WRITE ? PTE_W : 0) | (p->prot & PROT_EXEC ? 0 : PTE_NX));
        if (mprotect(native, PAGE_SIZE, p->prot) != 0)
            hostcpu_die("mprotect");
    }
}

static void memory_restore(struct oracle *o)
{
    for (size_t i = 0; i < CASE_PAGES; i++) {
        u8 *native = (u8 *)case_pages[i].linear;
        u8 *guest = guest_ptr(&o->guest, case_pages[i].gpa);
        if (memcmp(native, o->background[i], PAGE_SIZE) != 0)
            memcpy(native, o->background[i], PAGE_SIZE);
        if (memcmp(guest, o->background[i], PAGE_SIZE) != 0)
            memcpy(guest, o->background[i], PAGE_SIZE);
    }
}

/* ---- the fake guest ---- */

/* Two pages side by side for a locked access across them, as the hypervisor's window would. */
static int guest_memfd;
static void *window(struct guest *g, u64 first, u64 second)
{
    static u8 *at;
    (void)g;
    if (at == NULL)
        at = mmap(NULL, 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *a = mmap(at, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, guest_memfd,
                   (off_t)first);
    void *b = mmap(at + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   guest_memfd, (off_t)second);
    return a == MAP_FAILED || b == MAP_FAILED ? NULL : at;
}

static void guest_setup(struct oracle *o)
{
    struct guest *g = &o->guest;
    size_t size = CASE_GUEST_SIZE * PAGE_SIZE;
    guest_memfd = memfd_create("guest", 0);
    if (guest_memfd < 0 || ftruncate(guest_memfd, (off_t)size) != 0)
        hostcpu_die("guest memory");
    void *ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, guest_memfd, 0);
    if (ram == MAP_FAILED)
        hostcpu_die("guest memory");
    guest_init(g, ram, CASE_GUEST_SIZE, PAGE_SIZE);
    g->window = window;
    g->emu.cache = calloc(1, emu_cache_size());
    emu_cache_init(g->emu.cache);
    g->state.cr3 = PAGE_SIZE;
    g->next_table = 2;
    guest_map(g, CASE_SYSTEM, SYSTEM_GPA, PTE_W | PTE_NX);
    guest_map(g, CASE_IDT, IDT_GPA, PTE_W | PTE_NX);
    case_build_system(g);
    u64 *idt = (u64 *)(void *)guest_ptr(g, IDT_GPA);
    for (unsigned i = 0; i < 256; i++) /* interrupt gates, DPL 0 */
        idt[2 * i] = 0x00008e0000100000ull;
    __asm__("rdpid %0" : "=r"(g->tsc_aux));
}

static struct segment segment_of(struct guest *g, u16 selector)
{
    u64 d = case_descriptor(g, selector);
    struct segment s = guest_segment(selector, d);
    if (d == 0)
        s.access = SEG_UNUSABLE;
    return s;
}

static void guest_load_case(struct guest *g, const struct testcase *c)
{
    struct x86_state *s = &g->state;
    u64 cr3 = s->cr3;
    memset(s, 0, sizeof(*s));
    memcpy(s->gpr, c->in.gpr, sizeof(s->gpr));
    s->rip = c->in.rip;
    s->rflags = c->in.rflags | RFLAGS_TF;
    s->valid = STATE_ALL;
    for (unsigned i = 0; i <= SEG_GS; i++)
        s->seg[i] = segment_of(g, c->in.sel[i]);
    if (c->in.sel[SEG_FS] == 0)
        s->seg[SEG_FS].base = c->in.fs_base;
    if (c->in.sel[SEG_GS] == 0)
        s->seg[SEG_GS].base = c->in.gs_base;
    s->seg[SEG_LDTR] = (struct segment){CASE_SYSTEM + 0x200, LDT_COUNT * 8 - 1, 0x82, SEL_LDT};
    s->seg[SEG_TR] = (struct segment){CASE_SYSTEM + 0x400, 0x67, 0x8b, SEL_TSS};
    s->gdtr = (struct table_reg){CASE_SYSTEM, 0x7f};
    s->idtr = (struct table_reg){CASE_IDT, 0xfff};
    s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    s->cr3 = cr3;
    s->cr4 = CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT |
             CR4_UMIP | CR4_FSGSBASE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP;
    s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    u32 lo, hi;
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    s->xcr0 = lo | (u64)hi << 32;
    s->dr6 = 0xffff0ff0;
    s->dr7 = 0x400;
    g->emu.event.vector = VECTOR_NONE;
}

/* MOV SS and POP SS hold the trap back for one instruction; a repeat may ask to be called again. */
static enum emu_status guest_run(struct guest *g, unsigned *steps)
{
    enum emu_status st = EMU_RETRY;
    for (*steps = 0; *steps < 4; ++*steps) {
        st = emu_step(&g->emu);
        if (st != EMU_RETRY && (st != EMU_DONE || g->emu.event.vector != VECTOR_NONE))
            break;
        if (st == EMU_DONE && !(g->state.interruptibility & BLOCKED_BY_MOV_SS))
            break;
    }
    return st;
}

/* ---- comparing ---- */

static const char *const gpr_names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const seg_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

#define SYMPTOM(out, ...) (void)snprintf((out)->symptom, sizeof((out)->symptom), __VA_ARGS__)

/* General registers whose new value nobody can foresee, or that are undefined. */
static u32 unforeseeable(const struct code_scan *s, const struct cpu_result *cpu)
{
    u8 reg = (u8)((s->modrm >> 3 & 7) | (s->rex & 4 ? 8 : 0));
    u8 rm = (u8)((s->modrm & 7) | (s->rex & 1 ? 8 : 0));
    if (s->map != MAP_0F)
        return 0;
    if (s->opcode == 0x31) /* RDTSC */
        return BIT(RAX) | BIT(RDX);
    if (s->opcode == 0x01 && s->modrm == 0xf9) /* RDTSCP */
        return BIT(RAX) | BIT(RDX);
    if (s->opcode == 0xc7 && s->modrm >= 0xf0 && s->rep == 0) /* RDRAND RDSEED */
        return BIT(rm);
    if ((s->opcode & 0xfe) == 0xbc && s->rep != 0xf3 && (cpu->regs.rflags & RFLAGS_ZF))
        return BIT(reg); /* BSF BSR of 0 */
    return 0;
}

static bool compare_gprs(const struct testcase *c, const struct code_scan *s,
                         const struct x86_state *e, struct outcome *o)
{
    u32 skip = unforeseeable(s, &o->cpu);
    /* Outside 64-bit mode, and on the way there, upper halves are undefined (SDM vol. 1, 3.4.1.1)
     */
    u64 mask = c->mode == 64 && o->cpu.regs.sel[SEG_CS] == SEL_CODE64 ? ~0ull : 0xffffffff;
    bool entered64 = c->mode != 64 && o->cpu.regs.sel[SEG_CS] == SEL_CODE64;
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        u64 differ = (o->cpu.regs.gpr[i] ^ e->gpr[i]) & (i == RSP && entered64 ? 0xffff : mask);
        if (differ == 0 || (skip >> i & 1))
            continue;
        SYMPTOM(o, "%s", i == RSP ? "stack pointer" : "register");
        return false;
    }
    return true;
}

static void flag_names(u64 flags, char *out, size_t cap)
{
    static const struct {
        u64 bit;
        const char *name;
    } names[] = {{F_C, "CF"},       {F_P, "PF"},           {F_A, "AF"},       {F_Z, "ZF"},
                 {F_S, "SF"},       {F_O, "OF"},           {RFLAGS_DF, "DF"}, {RFLAGS_TF, "TF"},
                 {RFLAGS_IF, "IF"}, {RFLAGS_IOPL, "IOPL"}, {RFLAGS_NT, "NT"}, {RFLAGS_AC, "AC"},
                 {RFLAGS_ID, "ID"}};
    out[0] = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (flags & names[i].bit) {
            strncat(out, " ", cap - strlen(out) - 1);
            strncat(out, names[i].name, cap - strlen(out) - 1);
        }
}

static bool compare_flags(const struct oracle *all, const struct testcase *c,
                          const struct code_scan *s, const struct x86_state *e, struct outcome *o)
{
    /* RF: set in the image of a fault, not by the instruction */
    u64 mask = 0x3fffff & ~(u64)RFLAGS_RF;
    unsigned length = all->guest.emu.record.code->length;
    u8 imm8 = length > 0 && length <= 15 ? c->bytes[length - 1] : 0;
    if (o->cpu.vector == VECTOR_DB && !all->opt.undefined)
        mask &= ~(u64)undefined_flags(s, c->mode == 16, (u8)c->in.gpr[RCX], imm8);
    if (s->map == MAP_0F && s->opcode == 0xc7 && s->modrm >= 0xf0)
        mask &= ~(u64)F_C; /* RDRAND, RDSEED may fail */
    u64 differ = (o->cpu.regs.rflags ^ e->rflags) & mask;
    char names[64];
    if (differ == 0)
        return true;
    flag_names(differ, names, sizeof(names));
    SYMPTOM(o, "flags%s", names);
    return false;
}

static bool compare_segments(const struct testcase *c, const struct x86_state *e, struct outcome *o)
{
    for (unsigned i = 0; i <= SEG_GS; i++) {
        u16 cpu = o->cpu.regs.sel[i], emu = e->seg[i].selector;
        /* the way back from the kernel clears the RPL of a null selector */
        if (cpu != emu && !(i != SEG_CS && i != SEG_SS && cpu == 0 && emu < 4)) {
            SYMPTOM(o, "selector of %s", seg_names[i]);
            return false;
        }
    }
    const u64 base[2] = {o->cpu.regs.fs_base, o->cpu.regs.gs_base};
    for (unsigned i = 0; i < 2; i++) {
        const struct segment *s = &e->seg[SEG_FS + i];
        bool null = (s->selector & ~3) == 0; /* loading null leaves the base alone on AMD */
        if (s->base != base[i] && !(null && (c->mode != 64 || s->base == 0))) {
            SYMPTOM(o, "base of %s", seg_names[SEG_FS + i]);
            return false;
        }
    }
    return true;
}

static bool compare_memory(struct guest *g, struct outcome *o)
{
    for (size_t i = 0; i < CASE_PAGES; i++)
        if (memcmp((void *)case_pages[i].linear, guest_ptr(g, case_pages[i].gpa), PAGE_SIZE) != 0) {
            SYMPTOM(o, "memory");
            return false;
        }
    return true;
}

/* Parts of an XSAVE area; `component`: `at` counts from there. */
static const struct xsave_part {
    const char *name;
    u16 at, size, step, count;
    u8 component;
} xsave_parts[] = {
    {"x87 control", XSAVE_FCW, 2, 0, 1, 0},       {"x87 status", XSAVE_FSW, 2, 0, 1, 0},
    {"x87 tags", XSAVE_FTW, 1, 0, 1, 0},          {"x87 opcode", XSAVE_FOP, 2, 0, 1, 0},
    {"x87 pointers", XSAVE_FIP, 8, 8, 2, 0},      {"MXCSR", XSAVE_MXCSR, 4, 0, 1, 0},
    {"x87 register", XSAVE_ST, 10, 16, 8, 0},     {"XMM register", XSAVE_XMM, 16, 16, 16, 0},
    {"upper YMM half", XSAVE_YMM, 16, 16, 16, 0}, {"opmask", 0, 8, 8, 8, 5},
    {"upper ZMM half", 0, 32, 32, 16, 6},         {"ZMM register from 16 on", 0, 64, 64, 16, 7},
};

/* Where element n of a part is; false: the CPU has no such part. */
static bool part_at(const struct xsave_part *p, unsigned n, unsigned *at)
{
    *at = p->at + n * p->step + (p->component != 0 ? xsave_at(p->component) : 0);
    return p->component == 0 || xsave_at(p->component) != 0;
}

static bool compare_vectors(const struct guest *g, struct outcome *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(xsave_parts); i++) {
        const struct xsave_part *p = &xsave_parts[i];
        unsigned at;
        for (unsigned n = 0; n < p->count && part_at(p, n, &at); n++)
            if (memcmp(o->cpu.xsave + at, g->xsave + at, p->size) != 0) {
                SYMPTOM(o, "%s", p->name);
                return false;
            }
    }
    return true;
}

static const char *vector_name(unsigned v)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD",
                                        "#NM", "#DF", "9",   "#TS", "#NP", "#SS", "#GP",
                                        "#PF", "15",  "#MF", "#AC", "#MC", "#XM"};
    return v < ARRAY_SIZE(names) ? names[v] : v == VECTOR_NONE ? "nothing" : "?";
}

#define TASK_SIZE_MAX 0x7ffffffff000ull /* Linux: where user addresses end */

static bool has_error(unsigned v) { return v >= VECTOR_DF && v <= VECTOR_PF && v != 9; }

/* Did both sides end in the same way?  A completed instruction natively ends in #DB by TF. */
static bool compare_event(const struct guest *g, struct outcome *o)
{
    const struct emu_event *ev = &g->emu.event;
    bool trap = o->cpu.vector == VECTOR_DB;
    bool same = ev->vector == o->cpu.vector && o->status == (trap ? EMU_DONE : EMU_FAULT);
    if (!same) {
        SYMPTOM(o, "CPU: %s; emulator: status %d %s", trap ? "done" : vector_name(o->cpu.vector),
                o->status,
                o->status == EMU_DONE && ev->vector == VECTOR_DB ? "done"
                                                                 : vector_name(ev->vector));
        return false;
    }
    u32 error = o->cpu.error;
    /* Linux hides from a user whether a kernel page is there. */
    u32 hidden = ev->vector == VECTOR_PF && o->cpu.cr2 >= TASK_SIZE_MAX ? 1 : 0;
    if (has_error(ev->vector) && ((error ^ ev->error) & ~hidden) != 0) {
        SYMPTOM(o, "error code of %s", vector_name(ev->vector));
        return false;
    }
    if (ev->vector == VECTOR_PF && o->cpu.cr2 != ev->payload) {
        SYMPTOM(o, "CR2");
        return false;
    }
    return true;
}

/* Code at the end of a page or segment, or nearly too long: how far does an invalid one reach? */
static bool at_edge(const struct testcase *c, const struct code_scan *s)
{
    u64 left = PAGE_SIZE - ((case_code_base(c) + c->in.rip) & PAGE_MASK);
    return left < 15 || s->prefixes > 2;
}

/* Both refused it, for reasons whose order is open. */
static bool order_is_open(const struct guest *g, const struct testcase *c,
                          const struct code_scan *s, const struct outcome *o)
{
    u8 cpu = o->cpu.vector, emu = g->emu.event.vector;
    if (o->status == EMU_DONE && cpu == VECTOR_SS && c->mode != 64 && latitude_push_sreg(s))
        return true;
    if (o->status != EMU_FAULT)
        return false;
    if (c->mode != 64 && emu == VECTOR_AC && (cpu == VECTOR_GP || cpu == VECTOR_SS))
        return true; /* misaligned, and over 4 GiB: wrapping around or past the limit */
    if ((emu == VECTOR_GP && latitude_unaligned(s)) ||
        (emu == VECTOR_UD &&
         (latitude_vex_w(s, c->bytes) || latitude_evex(s, c->bytes, c->mode == 64))) ||
        (cpu == VECTOR_PF && emu == VECTOR_AC && latitude_scatter(s)))
        return true;
    if (cpu == VECTOR_DB) /* AMD lets the second part wrap in its 64 KiB */
        return (latitude_order(s) || latitude_pieces(s)) && s->addrsize != (c->mode == 16) &&
               emu >= VECTOR_SS;
    if ((cpu == VECTOR_UD) != (emu == VECTOR_UD))
        return at_edge(c, s) || (s->map == MAP_ONE && s->opcode == 0x8f); /* XOP's length */
    if (latitude_pieces(s) && cpu >= VECTOR_SS && emu >= VECTOR_SS) /* alignment, limit or page */
        return true;
    bool far_return = s->map == MAP_ONE && s->opcode >= 0xca && s->opcode <= 0xcf;
    /* MOV moffs: Zen 4 refuses a non-canonical offset even where FS or GS base mends the address.
     */
    bool moffs = s->map == MAP_ONE && (s->opcode & 0xfc) == 0xa0;
    if (moffs && c->mode == 64 && s->seg >= 0x64 && cpu == VECTOR_GP && emu == VECTOR_PF)
        return true;
    /* Across 4 GiB with a limit of FFFFFFFF: "implementation-specific" (SDM vol. 3A, 5.3) */
    u32 at = (u32)g->emu.event.payload;
    if (c->mode != 64 && (cpu == VECTOR_GP || cpu == VECTOR_SS) && emu == VECTOR_PF &&
        (at < 16 || at > ~15u))
        return true;
    return latitude_order(s) && (far_return || emu == VECTOR_PF || g->emu.event.error == 0);
}

/* What one of the two may have written and the other not: make it the same. */
static void take_latitude(struct guest *g, const struct testcase *c, const struct code_scan *s,
                          const struct outcome *o)
{
    bool fault = o->status == EMU_FAULT;
    if (fault && c->mode != 64 && latitude_popped(s))
        for (unsigned i = 0; i < 8; i++)
            g->state.gpr[i] = (u32)o->cpu.regs.gpr[i];
    if (fault && latitude_pieces(s))
        memcpy(g->xsave, o->cpu.xsave, sizeof(g->xsave));
    if (fault && (latitude_pushed(s) || latitude_pieces(s)))
        for (size_t i = 0; i < CASE_PAGES; i++)
            memcpy(guest_ptr(g, case_pages[i].gpa), (void *)case_pages[i].linear, PAGE_SIZE);
    if (!fault && c->mode != 64 && latitude_push_sreg(s) && s->opsize == (c->mode == 16)) {
        u64 at = g->state.seg[SEG_SS].base +
                 (g->state.gpr[RSP] & (g->state.seg[SEG_SS].access & SEG_DB ? ~0u : 0xffff));
        for (u64 k = at + 2; k < at + 4; k++)
            if (page_of(k, g, false) != NULL)
                page_of(k, g, false)[k & PAGE_MASK] = page_of(k, g, true)[k & PAGE_MASK];
    }
}

static enum verdict compare(struct oracle *all, const struct testcase *c, struct outcome *o)
{
    const struct x86_state *e = &all->guest.state;
    struct code_scan s;
    code_scan(c->bytes, c->mode == 64, &s);
    unsigned length = all->guest.emu.record.code->length;
    if (o->status == EMU_UNIMPLEMENTED)
        return UNIMPLEMENTED;
    if (o->cpu.vector == VECTOR_DB &&
        undefined_result(&s, c->mode == 16, (u8)c->in.gpr[RCX],
                         c->bytes[length > 0 && length <= 15 ? length - 1 : 0]))
        return SKIPPED;
    if (latitude_gather(&s) && o->cpu.vector == VECTOR_DB && o->cpu.regs.rip == c->in.rip)
        return SKIPPED;
    bool equal = compare_event(&all->guest, o);
    if (!equal && order_is_open(&all->guest, c, &s, o))
        return SKIPPED;
    take_latitude(&all->guest, c, &s, o);
    u64 rip_mask = c->mode == 64 ? ~0ull : 0xffffffff;
    if (equal && ((o->cpu.regs.rip ^ e->rip) & rip_mask) != 0) {
        SYMPTOM(o, "rip");
        equal = false;
    }
    equal = equal && compare_gprs(c, &s, e, o) && compare_flags(all, c, &s, e, o) &&
            compare_segments(c, e, o) && compare_memory(&all->guest, o) &&
            compare_vectors(&all->guest, o);
    return equal ? EQUAL : MISMATCH;
}

/* Does this instruction hold back the trap: MOV SS, POP SS? */
static bool holds_trap(const struct code_scan *s, bool mode64)
{
    return s->map == MAP_ONE &&
           ((s->opcode == 0x8e && (s->modrm >> 3 & 7) == SEG_SS) || (s->opcode == 0x17 && !mode64));
}

/* Spots, code, and behind MOV SS a NOP. */
static void lay_down(struct guest *g, const struct testcase *c, unsigned nop_at)
{
    u64 at = case_code_base(c) + c->in.rip;
    for (unsigned i = 0; i < CASE_SPOTS; i++)
        put(g, c->spot[i].linear, c->spot[i].data, sizeof(c->spot[i].data));
    if (c->area != 0) { /* a sound MXCSR and header; now and then a compacted one, or XCR0's bits */
        struct rng r = {c->vector_seed ^ 0x5a};
        u64 bv = rng_next(&r) & rng_next(&r) & XSTATE_TESTED, header[8] = {bv};
        u32 mxcsr = (u32)rng_next(&r) & 0xffff;
        if (rng_chance(&r, 30))
            header[1] = BIT64(63) | bv | (rng_next(&r) & XSTATE_TESTED);
        put(g, c->area + XSAVE_MXCSR, (u8 *)&mxcsr, sizeof(mxcsr));
        put(g, c->area + XSAVE_BV, (u8 *)header, sizeof(header));
    }
    put(g, at, c->bytes, 16);
    if (nop_at != 0)
        put(g, at + nop_at, (const u8[]){0x90}, 1);
}

static const struct testcase *running;

void hostcpu_crashed(int sig, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    if (hostnative_fault(context))
        return;
    fprintf(stderr, "native: signal %d at %#llx (address %p) outside a native case", sig,
            (unsigned long long)uc->uc_mcontext.gregs[REG_RIP], info->si_addr);
    if (running != NULL) {
        fprintf(stderr, ", in the emulator: %u-bit", running->mode);
        for (unsigned i = 0; i < 15; i++)
            fprintf(stderr, " %02x", running->bytes[i]);
    }
    fputc('\n', stderr);
    _exit(3);
}

/*
 * Run one case on both sides.  The memories are left as the instruction made them:
 * memory_restore() afterwards.
 */
static enum verdict run_case(struct oracle *all, const struct testcase *c, struct outcome *o)
{
    struct code_scan s;
    code_scan(c->bytes, c->mode == 64, &s);
    u8 xsave[XSAVE_AREA];
    memset(o, 0, sizeof(*o));
    unsigned nop_at = holds_trap(&s, c->mode == 64);
    bool xinuse = s.map == MAP_0F && s.opcode == 0x01 && s.modrm == 0xd0 &&
                  (u32)c->in.gpr[RCX] == 1; /* XGETBV of XINUSE: the guest is not told of it */
    if (xinuse || excluded(&s, c->mode == 64) ||
        (s.opcode == 0x8e && nop_at != 0 && s.modrm < 0xc0))
        return SKIPPED;
    running = c;
    lay_down(&all->guest, c, nop_at);
    case_vectors(c, xsave);
    hostcpu_run(&c->in, xsave, &o->cpu);
    if (o->cpu.vector == VECTOR_NONE) { /* met the tick: once more */
        memory_restore(all);
        lay_down(&all->guest, c, nop_at);
        hostcpu_run(&c->in, xsave, &o->cpu);
    }
    if (o->cpu.vector == VECTOR_NONE)
        return SKIPPED;
    if (all->opt.native_only)
        return o->cpu.vector == VECTOR_DB ? EQUAL : SKIPPED;
    guest_load_case(&all->guest, c);
    memcpy(all->guest.xsave, xsave, sizeof(xsave));
    o->status = guest_run(&all->guest, &o->steps);
    return compare(all, c, o);
}

/* ---- reporting ---- */

static void disassemble(const struct testcase *c, char *out, size_t cap)
{
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth stack;
    } modes[] = {{ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
                 {ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32},
                 {ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16}};
    unsigned m = c->mode == 64 ? 0 : c->mode == 32 ? 1 : 2;
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecoderInit(&decoder, modes[m].mode, modes[m].stack);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    unsigned length = 15;
    out[0] = 0;
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, c->bytes, 15, &insn, ops))) {
        length = insn.length;
        ZydisFormatterFormatInstruction(&formatter, &insn, ops, insn.operand_count_visible, out,
                                        cap, c->in.rip, NULL);
    } else {
        snprintf(out, cap, "(bad)");
    }
    for (unsigned i = 0; i < length; i++) {
        size_t at = strlen(out);
        snprintf(out + at, cap - at, "%s%02x", i == 0 ? "   ; " : " ", c->bytes[i]);
    }
}

static void print_registers(const struct testcase *c, const struct outcome *o,
                            const struct x86_state *e)
{
    for (unsigned i = 0; i < (c->mode == 64 ? 16u : 8u); i++) {
        u64 in = c->in.gpr[i], cpu = o->cpu.regs.gpr[i], emu = e->gpr[i];
        if (c->mode != 64)
            cpu &= 0xffffffff;
        bool changed = cpu != in || emu != in;
        if (changed || in != 0)
            printf("      %s %llx", gpr_names[i], (unsigned long long)in);
        if (changed)
            printf(" -> CPU %llx, emulator %llx%s", (unsigned long long)cpu,
                   (unsigned long long)emu, cpu == emu ? "" : "   <---");
        if (changed || in != 0)
            printf("\n");
    }
    for (unsigned i = 0; i <= SEG_GS; i++)
        printf("%s%s %x->%x/%x", i == 0 ? "      " : " ", seg_names[i], c->in.sel[i],
               o->cpu.regs.sel[i], e->seg[i].selector);
    printf(" fsbase %llx->%llx/%llx gsbase %llx->%llx/%llx\n", (unsigned long long)c->in.fs_base,
           (unsigned long long)o->cpu.regs.fs_base, (unsigned long long)e->seg[SEG_FS].base,
           (unsigned long long)c->in.gs_base, (unsigned long long)o->cpu.regs.gs_base,
           (unsigned long long)e->seg[SEG_GS].base);
}

static void print_vectors(const struct testcase *c, const struct guest *g, const struct outcome *o)
{
    static u8 in[XSAVE_AREA];
    static const char *const label[] = {"before", "CPU", "emulator"};
    const u8 *const side[] = {in, o->cpu.xsave, g->xsave};
    case_vectors(c, in);
    for (size_t i = 0; i < ARRAY_SIZE(xsave_parts); i++)
        for (unsigned n = 0; n < xsave_parts[i].count; n++) {
            const struct xsave_part *p = &xsave_parts[i];
            unsigned at;
            if (!part_at(p, n, &at) || memcmp(side[1] + at, side[2] + at, p->size) == 0)
                continue;
            for (unsigned k = 0; k < 3; k++) {
                printf("      %s %u %-8s ", p->name, n, label[k]);
                for (unsigned b = p->size; b-- > 0;)
                    printf("%02x%s", side[k][at + b], b % 8 == 0 ? " " : "");
                printf("\n");
            }
        }
}

static void print_memory(struct oracle *all)
{
    unsigned shown = 0;
    for (size_t i = 0; i < CASE_PAGES; i++) {
        const u8 *cpu = (u8 *)case_pages[i].linear;
        const u8 *emu = guest_ptr(&all->guest, case_pages[i].gpa);
        for (u64 k = 0; k < PAGE_SIZE && shown < 12; k++)
            if (cpu[k] != emu[k] || cpu[k] != all->background[i][k]) {
                if (cpu[k] == emu[k])
                    continue;
                printf("      [%llx] CPU %02x, emulator %02x\n",
                       (unsigned long long)(case_pages[i].linear + k), cpu[k], emu[k]);
                shown++;
            }
    }
}

static void print_case(struct oracle *all, const struct testcase *c)
{
    struct outcome o;
    char text[256];
    memory_restore(all);
    run_case(all, c, &o);
    const struct x86_state *e = &all->guest.state;
    disassemble(c, text, sizeof(text));
    printf("    %u-bit: %s\n", c->mode, text);
    printf("      CPU: %s error %x cr2 %llx rip %llx flags %llx\n",
           o.cpu.vector == VECTOR_DB ? "done" : vector_name(o.cpu.vector), o.cpu.error,
           (unsigned long long)o.cpu.cr2, (unsigned long long)o.cpu.regs.rip,
           (unsigned long long)o.cpu.regs.rflags);
    printf("      emulator: status %d %s error %x cr2 %llx rip %llx flags %llx (from rip %llx "
           "flags %llx)\n",
           o.status, vector_name(all->guest.emu.event.vector), all->guest.emu.event.error,
           (unsigned long long)all->guest.emu.event.payload, (unsigned long long)e->rip,
           (unsigned long long)e->rflags, (unsigned long long)c->in.rip,
           (unsigned long long)c->in.rflags | RFLAGS_TF);
    print_registers(c, &o, e);
    print_vectors(c, &all->guest, &o);
    print_memory(all);
    memory_restore(all);
}

/* ---- minimising ---- */

static bool still_differs(struct oracle *all, const struct testcase *c, const char *symptom)
{
    struct outcome o;
    memory_restore(all);
    enum verdict v = run_case(all, c, &o);
    memory_restore(all);
    return v == MISMATCH && strcmp(o.symptom, symptom) == 0;
}

/* Make it simpler while it shows the same symptom: prefixes away, registers and spots zero. */
static void minimise(struct oracle *all, struct testcase *c, const char *symptom)
{
    struct code_scan s;
    code_scan(c->bytes, c->mode == 64, &s);
    for (unsigned i = 0; i < s.prefixes;) {
        struct testcase t = *c;
        memmove(t.bytes + i, t.bytes + i + 1, sizeof(t.bytes) - i - 1);
        struct code_scan n;
        code_scan(t.bytes, t.mode == 64, &n);
        if (n.map == s.map && n.opcode == s.opcode && still_differs(all, &t, symptom)) {
            *c = t;
            s = n;
        } else {
            i++;
        }
    }
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        struct testcase t = *c;
        t.in.gpr[i] = 0;
        if (still_differs(all, &t, symptom))
            *c = t;
    }
    for (unsigned i = 0; i < CASE_SPOTS; i++) {
        struct testcase t = *c;
        memset(t.spot[i].data, 0, sizeof(t.spot[i].data));
        if (still_differs(all, &t, symptom))
            *c = t;
    }
    struct testcase t = *c;
    t.in.rflags = RFLAGS_IF | RFLAGS_FIXED;
    if (still_differs(all, &t, symptom))
        *c = t;
}

static void record_mismatch(struct oracle *all, const struct testcase *c, const struct outcome *o)
{
    struct code_scan s;
    code_scan(c->bytes, c->mode == 64, &s);
    u16 key = (u16)(s.map << 8 | s.opcode);
    u8 reg = code_is_group(&s) ? s.modrm >> 3 & 7 : 0xff;
    unsigned i = 0;
    while (i < all->groups && (all->group[i].key != key || all->group[i].reg != reg ||
                               strcmp(all->group[i].symptom, o->symptom) != 0))
        i++;
    if (i == GROUPS_MAX) {
        all->lost++;
        return;
    }
    struct group *g = &all->group[i];
    if (i == all->groups) {
        all->groups++;
        g->key = key;
        g->reg = reg;
        snprintf(g->symptom, sizeof(g->symptom), "%s", o->symptom);
    }
    if (g->count < all->opt.examples && g->count < ARRAY_SIZE(g->example)) {
        struct testcase *t = &g->example[g->count];
        *t = *c;
        minimise(all, t, g->symptom);
    }
    g->count++;
}

static void judge(struct oracle *all, const struct testcase *c)
{
    struct outcome o;
    struct code_scan s;
    enum verdict v = run_case(all, c, &o);
    memory_restore(all);
    code_scan(c->bytes, c->mode == 64, &s);
    unsigned key = (unsigned)(s.map << 8 | s.opcode);
    all->total[v]++;
    if (v == UNIMPLEMENTED)
        all->unimplemented[key][code_is_group(&s) ? s.modrm >> 3 & 7 : 0]++;
    else if (v == MISMATCH)
        record_mismatch(all, c, &o);
    else if (v == EQUAL)
        all->covered[key]++;
}

/* ---- the whole ---- */

static int by_count(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static const char *key_text(unsigned key)
{
    static const char *const maps[] = {"", "0f ", "0f 38 ", "0f 3a ", "vex "};
    static char text[16];
    snprintf(text, sizeof(text), "%s%02x", maps[key >> 8], key & 255);
    return text;
}

static void report_groups(struct oracle *all)
{
    qsort(all->group, all->groups, sizeof(all->group[0]), by_count);
    for (unsigned i = 0; i < all->groups; i++) {
        struct group *g = &all->group[i];
        char reg[8] = "";
        if (g->reg != 0xff)
            snprintf(reg, sizeof(reg), " /%u", g->reg);
        printf("  %s%s: %s, %llu cases\n", key_text(g->key), reg, g->symptom,
               (unsigned long long)g->count);
        for (unsigned k = 0; k < g->count && k < all->opt.examples; k++)
            print_case(all, &g->example[k]);
    }
    if (all->lost != 0)
        printf("  and %llu mismatches more of other kinds\n", (unsigned long long)all->lost);
}

static void report_unimplemented(const struct oracle *all)
{
    bool first = true;
    for (unsigned key = 0; key < MAP_COUNT << 8; key++)
        for (unsigned reg = 0; reg < 8; reg++) {
            u64 n = all->unimplemented[key][reg];
            if (n == 0)
                continue;
            printf("%s%s", first ? "  unimplemented: " : ", ", key_text(key));
            struct code_scan s = {.map = (u8)(key >> 8), .opcode = (u8)key};
            if (code_is_group(&s))
                printf("/%u", reg);
            printf(" %llu", (unsigned long long)n);
            first = false;
        }
    if (!first)
        printf("\n");
}

/* A large prime: the sweep in an order of which any part covers everything evenly. */
#define SWEEP_STEP 1000003

static void run_mode(struct oracle *all, u8 mode)
{
    const struct options *opt = &all->opt;
    struct rng r = {opt->seed * 3 + mode};
    double start = now();
    u64 n = 0, size = sweep_size();
    memset(all->total, 0, sizeof(all->total));
    memset(all->unimplemented, 0, sizeof(all->unimplemented));
    memset(all->group, 0, sizeof(all->group));
    all->groups = 0;
    all->lost = 0;
    for (u64 i = 0; n < opt->cases; i++) {
        struct testcase c;
        bool random = opt->mixed ? i % 2 : !opt->systematic;
        u64 at = opt->mixed ? i / 2 : i;
        if (random)
            case_draw(&r, mode, &c);
        else if (at == size && opt->cases == ~0ull)
            break;
        else if (!case_sweep(&r, mode, at * SWEEP_STEP % size, &c))
            continue;
        judge(all, &c);
        n++;
        if ((n & 255) == 0 && opt->seconds != 0 && now() - start > opt->seconds)
            break;
    }
    double seconds = now() - start;
    const u64 *t = all->total;
    printf("native %u-bit seed %llu%s: %llu cases, %llu equal, %llu mismatch, %llu unimplemented, "
           "%llu not comparable; %.0f cases/s\n",
           mode, (unsigned long long)opt->seed,
           opt->mixed        ? " random and systematic"
           : opt->systematic ? " systematic"
                             : "",
           (unsigned long long)n, (unsigned long long)t[EQUAL], (unsigned long long)t[MISMATCH],
           (unsigned long long)t[UNIMPLEMENTED], (unsigned long long)t[SKIPPED],
           (double)n / seconds);
    report_groups(all);
    report_unimplemented(all);
}

static void usage(void)
{
    fputs("usage: native [--mode 64|32|16] [--cases N] [--seed S] [--systematic] [--seconds T]\n"
          "              [--examples N (0..4)] [--undefined] [--native-only]\n",
          stderr);
    exit(2);
}

static void parse_options(int argc, char **argv, struct options *o)
{
    *o = (struct options){.seed = 1, .examples = 1};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--systematic") == 0)
            o->systematic = true;
        else if (strcmp(a, "--undefined") == 0)
            o->undefined = true;
        else if (strcmp(a, "--native-only") == 0)
            o->native_only = true;
        else if (v == NULL)
            usage();
        else if (i++, strcmp(a, "--mode") == 0)
            o->mode = (unsigned)atoi(v);
        else if (strcmp(a, "--cases") == 0)
            o->cases = strtoull(v, NULL, 0);
        else if (strcmp(a, "--seed") == 0)
            o->seed = strtoull(v, NULL, 0);
        else if (strcmp(a, "--seconds") == 0)
            o->seconds = atof(v);
        else if (strcmp(a, "--examples") == 0)
            o->examples = (unsigned)atoi(v);
        else
            usage();
    }
    if (o->mode != 0 && o->mode != 64 && o->mode != 32 && o->mode != 16)
        usage();
    if (o->mode == 0)
        o->seconds /= 3;
    o->mixed = o->seconds != 0 && !o->systematic && o->cases == 0;
    if (o->cases == 0)
        o->cases = o->systematic || o->seconds != 0 ? ~0ull : 100000;
}

int main(int argc, char **argv)
{
    static struct oracle oracle;
    static const u8 modes[] = {64, 32, 16};
    u64 wrong = 0;
    parse_options(argc, argv, &oracle.opt);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < LDT_COUNT; i++)
        hostcpu_ldt(&case_ldt[i]);
    guest_setup(&oracle);
    memory_init(&oracle);
    hostcpu_init();
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        if (oracle.opt.mode != 0 && oracle.opt.mode != modes[i])
            continue;
        run_mode(&oracle, modes[i]);
        wrong += oracle.total[MISMATCH];
    }
    return wrong != 0;
}
