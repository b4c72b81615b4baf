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
#include "tests/emulator/compare.h"

#include <Zydis/Zydis.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- memory ---- */

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
                  PTE_USER | (p->prot & PROT_WRITE ? PTE_WRITE : 0) |
                      (p->prot & PROT_EXEC ? 0 : PTE_NX));
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
static void *window(struct guest *, u64 first, u64 second)
{
    static u8 *at;
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
    guest_map(g, CASE_SYSTEM, SYSTEM_GPA, PTE_WRITE | PTE_NX);
    guest_map(g, CASE_IDT, IDT_GPA, PTE_WRITE | PTE_NX);
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
