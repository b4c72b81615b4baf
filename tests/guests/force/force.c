/* SPDX-License-Identifier: MIT
 *
 * The CPU against the emulator on what only level 0 may do: each instruction runs natively, and
 * then behind the prefix UD2 "kvm", which a VM with ud=forced has emulated.  Everything a program
 * can see afterwards must be the same: registers, flags, memory, control, debug and segment
 * registers, MSRs, vector, error code, CR2.  Then what else ud= and vmware-ports= promise.
 */
#include "tests/guests/lib/guest.h"

#define FORCE ".byte 0x0f, 0x0b, 'k', 'v', 'm'; "

/* Is the prefix known here?  Not to the bare machine, nor to a VM without the option. */
static bool forced(void) { return CATCH(__asm__ volatile(FORCE "nop")).vector == TRAP_NONE; }

struct view {
    u64 gpr[15], flags; /* RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8 … R15 */
    u64 cr[4], dr7, msr[6];
    u16 selector[6]; /* ES, DS, FS, GS, LDTR, TR */
    u8 table[2][10];
    u64 trap[5]; /* vector, error, CR2, RFLAGS, RIP from the instruction on */
    _Alignas(64) u8 memory[1024];
};
static struct view now, seen;

/* RDI: the view, RSI: the code.  The code finds all registers but RSP as the view has them. */
__attribute__((naked)) static void run_code(struct view *v, void (*code)(void))
{
    (void)v;
    (void)code;
    __asm__ volatile(
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rdi, current(%rip); push %rsi\n"
        "mov %rdi, %rax; pushq 120(%rax); popfq\n"
        "mov 8(%rax), %rcx; mov 16(%rax), %rdx; mov 24(%rax), %rbx\n"
        "mov 32(%rax), %rbp; mov 40(%rax), %rsi; mov 48(%rax), %rdi\n"
        "mov 56(%rax), %r8; mov 64(%rax), %r9; mov 72(%rax), %r10\n"
        "mov 80(%rax), %r11; mov 88(%rax), %r12; mov 96(%rax), %r13\n"
        "mov 104(%rax), %r14; mov 112(%rax), %r15; mov (%rax), %rax\n"
        "call *(%rsp)\n"
        "pushfq; cld; push %rdi; mov current(%rip), %rdi\n"
        "mov %rax, (%rdi); pop %rax; mov %rax, 48(%rdi); pop %rax; mov %rax, 120(%rdi)\n"
        "mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
        "mov %rbp, 32(%rdi); mov %rsi, 40(%rdi); mov %r8, 56(%rdi)\n"
        "mov %r9, 64(%rdi); mov %r10, 72(%rdi); mov %r11, 80(%rdi)\n"
        "mov %r12, 88(%rdi); mov %r13, 96(%rdi); mov %r14, 104(%rdi)\n"
        "mov %r15, 112(%rdi); pop %rsi\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
        ".pushsection .bss; current: .skip 8; .popsection");
}

static const u32 kept_msrs[] = {0xc0000080, 0xc0000081, 0xc0000082,
                                0xc0000100, 0xc0000101, 0xc0000102};

/* What the code may have changed of the machine: look, and put it back. */
static struct view begin;

static void look(struct view *v)
{
    v->cr[0] = read_cr0();
    v->cr[1] = read_cr3();
    v->cr[2] = read_cr4();
    v->cr[3] = read_cr8();
    v->dr7 = read_dr7();
    for (unsigned i = 0; i < ARRAY_SIZE(kept_msrs); i++)
        v->msr[i] = rdmsr(kept_msrs[i]);
    __asm__ volatile("mov %%es, %0; mov %%ds, %1; mov %%fs, %2; mov %%gs, %3; sldt %4; str %5"
                     : "=m"(v->selector[0]), "=m"(v->selector[1]), "=m"(v->selector[2]),
                       "=m"(v->selector[3]), "=m"(v->selector[4]), "=m"(v->selector[5]));
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(v->table[0]), "=m"(v->table[1]));
}

static void put_back(void)
{
    __asm__ volatile("lgdt %0; lidt %1" : : "m"(begin.table[0]), "m"(begin.table[1]));
    __asm__ volatile("mov %0, %%es; mov %1, %%ds; mov %2, %%fs; mov %3, %%gs; lldt %4"
                     :
                     : "m"(begin.selector[0]), "m"(begin.selector[1]), "m"(begin.selector[2]),
                       "m"(begin.selector[3]), "m"(begin.selector[4]));
    write_cr0(begin.cr[0]);
    write_cr4(begin.cr[2]);
    write_cr8(begin.cr[3]);
    write_dr7(begin.dr7);
    for (unsigned i = 0; i < ARRAY_SIZE(kept_msrs); i++)
        wrmsr(kept_msrs[i], begin.msr[i]);
    write_cr2(0);
}

/* One way: registers in v, afterwards all of it. */
static void run(struct view *v, void (*code)(void), u64 at)
{
    struct trap t = CATCH(run_code(v, code));

    if (t.vector != TRAP_NONE) {
        u64 trap[5] = {t.vector, t.error, t.cr2, t.rflags & ~(u64)RFLAGS_RF, t.rip - at};
        const u64 gpr[5] = {t.rax, t.rcx, t.rdx, t.rsi, t.rdi};
        __builtin_memcpy(v->trap, trap, sizeof(trap));
        __builtin_memcpy(v->gpr, gpr, sizeof(gpr));
    }
    look(v);
    put_back();
}

struct way {
    const char *text;
    void (*native)(void), (*forced)(void);
    const u8 *native_at, *forced_at; /* the instruction */
    u64 rax, rcx, rdx;
};

static void fill(struct view *v, const struct way *w, u64 round)
{
    __builtin_memset(v, 0, sizeof(*v));
    for (unsigned i = 0; i < sizeof(v->memory); i++)
        v->memory[i] = (u8)(i * 37 + round * 11);
    for (unsigned i = 0; i < 15; i++)
        v->gpr[i] = (i + 1) * 0x9e3779b97f4a7c15ull >> 1;
    v->gpr[0] = w->rax;
    v->gpr[1] = w->rcx;
    v->gpr[2] = w->rdx;
    v->flags = RFLAGS_FIXED | (round ? RFLAGS_CF | RFLAGS_ZF | RFLAGS_OF | RFLAGS_SF : 0);
}

/* RBX, RSI and RDI point into the same memory both times: `now` is what runs. */
static bool same(const struct way *w, u64 round)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        fill(&now, w, round);
        now.gpr[3] = (u64)now.memory;
        now.gpr[5] = (u64)now.memory + 512;
        now.gpr[6] = (u64)now.memory + 768;
        look(&begin);
        run(&now, pass ? w->forced : w->native, (u64)(pass ? w->forced_at : w->native_at));
        if (pass == 0)
            __builtin_memcpy(&seen, &now, sizeof(now));
    }
    const u8 *a = (const u8 *)&seen, *b = (const u8 *)&now;
    for (unsigned i = 0; i < sizeof(now); i += 2)
        if (a[i] != b[i] || a[i + 1] != b[i + 1]) {
            guest_fail(__FILE__, __LINE__,
                       "%s (rax %#llx rcx %#llx): byte %u is %02x%02x natively, %02x%02x emulated; "
                       "%s(%#llx), %s(%#llx)",
                       w->text, (unsigned long long)w->rax, (unsigned long long)w->rcx, i, a[i + 1],
                       a[i], b[i + 1], b[i], trap_name((unsigned)seen.trap[0]),
                       (unsigned long long)seen.trap[1], trap_name((unsigned)now.trap[0]),
                       (unsigned long long)now.trap[1]);
            return false;
        }
    return true;
}

/* A way to run `insn` after `before` and followed by `after`, natively or with the prefix. */
#define CODE(insn, before, after)                                                             \
    __extension__({                                                                           \
        void (*native_)(void), (*forced_)(void);                                              \
        const u8 *native_at_, *forced_at_;                                                    \
        __asm__ volatile("lea 11f(%%rip), %0; lea 13f(%%rip), %1; lea 12f(%%rip), %2; "       \
                         "lea 14f(%%rip), %3; jmp 15f\n"                                      \
                         "11: " before "; 12: " insn "; " after "; ret\n"                     \
                         "13: " before "; " FORCE "14: " insn "; " after "; ret\n15:"         \
                         : "=r"(native_), "=r"(forced_), "=r"(native_at_), "=r"(forced_at_)); \
        (struct way){insn, native_, forced_, native_at_, forced_at_, 0, 0, 0};                \
    })

/* The same, with each of these values in RAX, others in RCX and RDX. */
static void judge_each(struct way w, const u64 *rax, unsigned count, u64 rcx, u64 rdx)
{
    w.rcx = rcx;
    w.rdx = rdx;
    for (unsigned i = 0; i < count; i++)
        for (u64 round = 0; round < 2; round++) {
            w.rax = rax[i];
            if (!same(&w, round))
                return;
        }
}
#define JUDGE(insn, before, after, rcx, rdx, ...)                                              \
    do {                                                                                       \
        const u64 rax_[] = {__VA_ARGS__};                                                      \
        judge_each(CODE(insn, before, after), rax_, ARRAY_SIZE(rax_), (u64)(rcx), (u64)(rdx)); \
    } while (0)
#define EACH(insn, ...) JUDGE(insn, "", "", 3, 5, __VA_ARGS__)

#define NEEDS_FORCE() \
    if (!forced())    \
    SKIP("the prefix is not known here")
#define NONCANONICAL 0x800000000000ull

TEST(control_registers)
{
    u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

    NEEDS_FORCE();
    EACH("mov %%cr0, %%rax", 0);
    EACH("mov %%cr2, %%r9", 0);
    EACH("mov %%cr3, %%rax", 0);
    EACH("mov %%cr4, %%rdx", 0);
    EACH("mov %%cr8, %%rax", ~0ull);
    EACH("mov %%rax, %%cr0", cr0, cr0 ^ CR0_TS, cr0 ^ CR0_WP, cr0 & ~CR0_PE, cr0 | CR0_NW,
         cr0 | CR0_CD, cr0 & ~CR0_PG, cr0 | BIT64(32));
    EACH("mov %%rax, %%cr2; mov %%cr2, %%rdx", 0, ~0ull, 0x1234);
    EACH("mov %%rax, %%cr3", cr3, cr3 | 0x18, cr3 | BIT64(60), cr3 | BIT64(63));
    EACH("mov %%rax, %%cr4", cr4, cr4 ^ CR4_DE, cr4 | CR4_PGE, cr4 & ~CR4_PAE, cr4 | BIT64(15),
         cr4 | BIT64(40), cr4 | CR4_VMXE);
    EACH("mov %%rax, %%cr8", 5, 15, 16, ~0ull);
    EACH("clts", 0);
    EACH("lmsw %%ax", 0, 1, 0xe, 0xffff);
    EACH("smsw %%rax", ~0ull);
    EACH("smsw %%ax", ~0ull);
    EACH("smsw (%%rbx)", 0);
}

/* 0 / 0, not masked, with and without CR0.NE: which VT-x holds at 1 below the guest. */
TEST(x87_errors)
{
    u64 cr0 = read_cr0();

    NEEDS_FORCE();
    for (unsigned i = 0; i < 2; i++) {
        write_cr0(i ? cr0 | CR0_NE : cr0 & ~(u64)CR0_NE);
        JUDGE("fwait", "fninit; movw $0x340, (%%rbx); fldcw (%%rbx); fldz; fldz; fdivp", "fninit",
              0, 0, 0);
        JUDGE("movq %%mm0, %%rdx", "fninit; movw $0x340, (%%rbx); fldcw (%%rbx); fldz; fldz; fdivp",
              "fninit", 0, 0, 0);
        __asm__ volatile("fninit");
    }
    write_cr0(cr0);
}

TEST(debug_registers)
{
    u64 cr4 = read_cr4();

    NEEDS_FORCE();
    EACH("mov %%dr0, %%rax", 0);
    EACH("mov %%dr6, %%rax", 0);
    EACH("mov %%dr7, %%rax", 0);
    EACH("mov %%dr4, %%rax", 0);
    EACH("mov %%rax, %%dr6", 0, BIT64(32), ~0ull >> 32);
    EACH("mov %%rax, %%dr7", 0x400, BIT64(32), 0x700);
    EACH("mov %%rax, %%dr3; mov %%dr3, %%rdx", 0, 0x1234, NONCANONICAL);
    write_cr4(cr4 | CR4_DE);
    EACH("mov %%dr5, %%rax", 0);
    write_cr4(cr4);
}

TEST(tables_and_selectors)
{
    NEEDS_FORCE();
    EACH("sgdt (%%rbx)", 0);
    EACH("sidt 3(%%rbx)", 0);
    JUDGE("lgdt (%%rbx)", "sgdt (%%rbx); decw (%%rbx)", "", 0, 0, 0);
    JUDGE("lidt (%%rbx)", "sidt (%%rbx); decw (%%rbx)", "", 0, 0, 0);
    JUDGE("lgdt (%%rbx)", "mov %%rax, 2(%%rbx)", "", 0, 0, NONCANONICAL);
    JUDGE("lidt (%%rbx)", "mov %%rax, 2(%%rbx)", "", 0, 0, NONCANONICAL);
    EACH("sldt %%eax", ~0ull);
    EACH("str %%rax", ~0ull);
    EACH("str (%%rbx)", 0);
    EACH("lldt %%ax", 0, 3, 8, GDT_TSS, 0x7ff8, 4);
    EACH("ltr %%ax", 0, 8, GDT_TSS, 0x7ff8, 4);
    for (u64 selector = 0; selector < 0x90; selector += 7) {
        EACH("lar %%eax, %%edx", selector);
        EACH("lsl %%rax, %%rdx", selector);
        EACH("verr %%ax", selector);
        EACH("verw %%ax", selector);
        EACH("mov %%eax, %%fs", selector);
        EACH("mov %%eax, %%es", selector);
        JUDGE("pop %%gs", "push %%rax", "", 0, 0, selector);
        JUDGE("lss (%%rbx), %%ecx", "mov %%ss, 4(%%rbx); mov %%ax, 8(%%rbx)", "", 0, 0, selector);
        JUDGE(".byte 0x48, 0x0f, 0xb4, 0x0b", "mov %%ax, 8(%%rbx)", "", 0, 0, selector);
    }
    EACH("mov %%ds, %%eax", ~0ull);
    JUDGE("push %%fs", "", "pop %%rax", 0, 0, 0);
}

TEST(msrs)
{
    static const u32 numbers[] = {0x10b,      0x1234,     0x174,      0x175,      0x176,
                                  0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100,
                                  0xc0000101, 0xc0000102, 0x277,      0xdeadbeef};

    NEEDS_FORCE();
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
        JUDGE("rdmsr", "", "", numbers[i], 0, 0);
    JUDGE("wrmsr", "", "", 0xc0000080, 0, rdmsr(0xc0000080) | 1, 0x102, 0);
    for (unsigned i = 6; i < 8; i++)
        JUDGE("wrmsr", "", "", numbers[i], 0x8000, 0x1000);
    for (unsigned i = 9; i < 12; i++) {
        JUDGE("wrmsr", "", "", numbers[i], 0x7fff, 0x1000);
        JUDGE("wrmsr", "", "", numbers[i], 0x8000, 0x1000);
    }
    JUDGE("wrmsr", "", "", 0x1234, 0, 0);
    EACH("swapgs", 0);
    EACH("rdpmc", 0);
    for (u64 leaf = 0; leaf < 0x18; leaf++)
        JUDGE("cpuid", "", "", 0, 0, leaf, leaf | BIT64(31));
    EACH("xgetbv", 0);
}

TEST(translations_and_caches)
{
    NEEDS_FORCE();
    EACH("invlpg (%%rbx)", 0);
    EACH("invlpg (%%rax)", NONCANONICAL);
    EACH("wbinvd", 0);
    EACH("mov (%%rax), %%rdx", 0x200000000ull, NONCANONICAL, ~0ull);
    EACH("mov %%rdx, (%%rax)", 0x200000ffcull, NONCANONICAL, ~0ull);
    EACH("incl (%%rax)", 0x200000000ull);
    EACH("push (%%rax)", 0x200000000ull, NONCANONICAL);
    EACH("monitor", 0);
    EACH("mwait", 0);
    EACH("ud2", 0);
    EACH("rsm", 0);
    EACH("fxsave (%%rbx)", 0);
    EACH("fxsave 8(%%rbx)", 0);
}

/* Pages that are neighbours in addresses but not in memory: from the first into the second. */
#define SPLIT 0x10000000ull
#define LOCKED(insn, at)                                                            \
    JUDGE(insn, "lea 0x10000000, %%r12; add $(" #at "), %%r12; mov %%rax, (%%r12)", \
          "mov (%%r12), %%r9", 0x7766554433221100, 0x5a5a5a5a, 0x80000000fffffffe, 0x1234, ~0ull)

TEST(locked_across_pages)
{
    static u64 table[512] __attribute__((aligned(4096)));
    static u8 page[3][4096] __attribute__((aligned(4096)));

    NEEDS_FORCE();
    table[0] = (u64)page[2] | 3;
    table[1] = (u64)page[0] | 3;
    page_split(SPLIT, table);
    LOCKED("lock incq (%%r12)", 4092);
    LOCKED("lock addl %%ecx, (%%r12)", 4095);
    LOCKED("lock notw (%%r12)", 4095);
    LOCKED("lock btsq %%rcx, (%%r12)", 4093);
    LOCKED("lock xaddq %%rdx, (%%r12)", 4089);
    LOCKED("lock cmpxchgq %%rdx, (%%r12)", 4094);
    LOCKED("lock cmpxchgl %%ecx, (%%r12)", 4094);
    LOCKED("lock cmpxchg8b (%%r12)", 4090);
    LOCKED("xchgw %%dx, (%%r12)", 4095);
    LOCKED("xchgq %%rdx, (%%r12)", 4091);
    page_split(SPLIT, NULL);
}

TEST(flags)
{
    NEEDS_FORCE();
    EACH("cli", 0);
    JUDGE("sti", "", "cli", 0, 0, 0);
    JUDGE("popfq", "push %%rax", "pushfq; pop %%rdx; push $2; popfq", 0, 0, 0, 0x4cd7, 0x247fd7,
          0x3000, 0x10000, 0x20000);
    JUDGE("popfw", "push %%ax", "pushfq; pop %%rdx; push $2; popfq", 0, 0, 0, 0x4cd7, 0x3000);
    JUDGE("pushfq", "", "pop %%rax", 0, 0, 0);
    EACH("clac", 0);
    EACH("stac; cld", 0);
}

/* Addresses of code and stack are in R8 and R9, of which a fault tells nothing. */
#define FRAME "push %%r9; pushfq; push $8; lea 1f(%%rip), %%r8; push %%r8; "

TEST(transfers)
{
    NEEDS_FORCE();
    JUDGE("iretq", "mov %%rsp, %%r9; push $0x10; " FRAME, "1: xor %%r8d, %%r8d; xor %%r9d, %%r9d",
          0, 0, 0);
    JUDGE("iretq", "mov %%rsp, %%r9; push %%rax; " FRAME, "1: xor %%r8d, %%r8d; xor %%r9d, %%r9d",
          0, 0, 8, 0x7ff8);
    JUDGE("lretq", "push %%rax; lea 1f(%%rip), %%r8; push %%r8",
          "1: xor %%r8d, %%r8d; xor %%r9d, %%r9d", 0, 0, 8, 0x10, 0, 0x7ff8, GDT_TSS);
    JUDGE("lretq $16", "sub $16, %%rsp; push $8; lea 1f(%%rip), %%r8; push %%r8",
          "1: xor %%r8d, %%r8d; xor %%r9d, %%r9d", 0, 0, 0);
    JUDGE("rex.w ljmp *-16(%%rsp)",
          "lea 1f(%%rip), %%r8; mov %%r8, -16(%%rsp); mov %%ax, -8(%%rsp)", "1: xor %%r8d, %%r8d",
          0, 0, 8, 0, 0x10, 0x7ff8);
    JUDGE("rex.w lcall *-16(%%rsp)",
          "lea 1f(%%rip), %%r8; mov %%r8, -16(%%rsp); mov %%ax, -8(%%rsp)",
          "1: xor %%r8d, %%r8d; add $16, %%rsp", 0, 0, 8, 0x10, 0x7ff8);
    EACH("int3", 0);
    EACH("int $3", 0);
    EACH("int $0xf0", 0);
    EACH("divl %%edx", 1, 0);
    EACH(".byte 0xf0, 0x90", 0);
}

TEST(ports)
{
    NEEDS_FORCE();
    JUDGE("in %%dx, %%eax", "", "", 0, 0x1234, ~0ull);
    JUDGE("in %%dx, %%al", "", "", 0, 0x1234, 0x1100);
    JUDGE("out %%al, %%dx", "", "", 0, 0x1234, 0x11);
    JUDGE("rep insw", "", "", 5, 0x1234, 0);
    JUDGE("rep outsb", "", "", 5, 0x1234, 0);
}

/* Two in a row: the second UD2 is an instruction like any other. */
TEST(prefix_twice)
{
    NEEDS_FORCE();
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(FORCE FORCE "nop"));
    EXPECT_TRAP(VECTOR_UD, 0, __asm__ volatile(".byte 0x0f, 0x0b, 'k', 'v', 'x'"));
}

USER_CODE(user_forced, FORCE "mov $0x77, %eax")
USER_CODE(user_forced_hlt, FORCE "hlt")

TEST(prefix_at_level_3)
{
    NEEDS_FORCE();
    struct trap t = CATCH(user_run(user_forced, 0));
    EXPECT_EQ(t.vector, VECTOR_BP);
    EXPECT_EQ(t.rax, 0x77);
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_forced_hlt, 0));
}

USER_CODE(user_vmware, "mov $0x564d5868, %eax; mov $0x5658, %edx; in %dx, %eax")
USER_CODE(user_vmware_high, "mov $0x5659, %edx; in %dx, %al; out %eax, %dx")
USER_CODE(user_other, "mov $0x565a, %edx; in %dx, %eax")

TEST(vmware_ports)
{
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_other, 0));
    if (!guest_option("vmware-ports")) {
        EXPECT_TRAP(VECTOR_GP, 0, user_run(user_vmware, 0));
        SKIP("not asked for: #GP");
    }
    struct trap t = CATCH(user_run(user_vmware, 0));
    EXPECT_EQ(t.vector, VECTOR_BP);
    EXPECT_EQ((u32)t.rax, 0xffffffff); /* nobody is there */
    t = CATCH(user_run(user_vmware_high, 0));
    EXPECT_EQ(t.vector, VECTOR_BP);
}

/* Instructions that this CPU may lack: told of in CPUID, so they have to work. */
TEST(absent_instructions)
{
    u64 v = 0x1122334455667788, w = 0;

    if (!(cpuid(1, 0).c & BIT(22)) || !(cpuid(7, 0).c & BIT(22)))
        SKIP("no MOVBE or RDPID");
    __asm__ volatile("movbe %1, %0" : "=r"(w) : "m"(v));
    EXPECT_EQ(w, 0x8877665544332211);
    __asm__ volatile("movbe %1, %0" : "=m"(w) : "r"(v));
    EXPECT_EQ(w, 0x8877665544332211);
    wrmsr(0xc0000103, 0x1234567); /* TSC_AUX */
    __asm__ volatile("rdpid %0" : "=r"(w));
    EXPECT_EQ(w, 0x1234567);
}
