/* SPDX-License-Identifier: MIT
 *
 * RDMSR and WRMSR: the MSRs every 64-bit CPU has, what they refuse, and unknown ones (SDM vol. 4,
 * chapter 2; vol. 2B, WRMSR).
 */
#include "tests/guests/lib/guest.h"

enum {
    IA32_TSC = 0x10,
    IA32_APIC_BASE = 0x1b,
    IA32_TSC_ADJUST = 0x3b,
    IA32_MTRRCAP = 0xfe,
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP,
    IA32_SYSENTER_EIP,
    IA32_MISC_ENABLE = 0x1a0,
    IA32_PAT = 0x277,
    IA32_MTRR_DEF_TYPE = 0x2ff,
    IA32_EFER = 0xc0000080,
    IA32_STAR,
    IA32_LSTAR,
    IA32_CSTAR,
    IA32_FMASK,
    IA32_FS_BASE = 0xc0000100,
    IA32_GS_BASE,
    IA32_KERNEL_GS_BASE,
    IA32_TSC_AUX
};

#define NOT_CANONICAL 0x0000800000000000ull

static void expect_unknown(u32 msr)
{
    struct trap t = CATCH(rdmsr(msr));

    if (t.vector != VECTOR_GP || t.error != 0)
        FAIL("RDMSR %#x: expected #GP(0), got %s(%#llx)", (unsigned)msr, trap_name(t.vector),
             (unsigned long long)t.error);
    t = CATCH(wrmsr(msr, 0));
    if (t.vector != VECTOR_GP || t.error != 0)
        FAIL("WRMSR %#x: expected #GP(0), got %s(%#llx)", (unsigned)msr, trap_name(t.vector),
             (unsigned long long)t.error);
}

TEST(unknown)
{
    static const u32 unknown[] = {0x00002000, 0x00012000, 0x12345678, 0xbaadf00d,
                                  0xc0001fff, 0xc0002000, 0xffffffff};

    if (!under_hypervisor() && CATCH(rdmsr(0xbaadf00d)).vector == TRAP_NONE)
        SKIP("this machine answers every MSR (Bochs: ignore_bad_msrs)");
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
        expect_unknown(unknown[i]);
}

/* In the range that the MSR bitmaps cover; Bochs itself answers these, a hypervisor must not. */
TEST(unknown_in_bitmap_range)
{
    static const u32 unknown[] = {0x2, 0x300, 0x500, 0x7ff, 0xf00, 0x1ffe, 0xc0000200, 0xc0000fff};

    if (!under_hypervisor())
        SKIP("no hypervisor");
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
        expect_unknown(unknown[i]);
}

TEST(upper_halves_are_cleared)
{
    u64 a = ~0ull, c = 0xffffffff00000000 | IA32_EFER, d = ~0ull;

    __asm__ volatile("rdmsr" : "+a"(a), "+c"(c), "+d"(d));
    EXPECT_EQ((a | d) >> 32, 0);
    EXPECT_EQ(a & 0x500, 0x500); /* LMA, LME */
}

/* Writes keep every bit. */
TEST(round_trips)
{
    static const struct {
        u32 msr;
        u64 value;
    } cases[] = {
        {IA32_STAR, 0x0123456789abcdef},
        {IA32_LSTAR, 0xffff800012345678},
        {IA32_CSTAR, 0x00007fffffffffff},
        {IA32_FMASK, 0x47700},
        {IA32_FS_BASE, 0xffffffff80000000},
        {IA32_GS_BASE, 0x00007ffffffff000},
        {IA32_KERNEL_GS_BASE, 0xffff8000deadbee0},
        {IA32_SYSENTER_CS, 0x10},
        {IA32_SYSENTER_ESP, 0xffff800000000ff0},
        {IA32_SYSENTER_EIP, 0x00007fff12345678},
        {IA32_PAT, 0x0107040600070406},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        u64 old = rdmsr(cases[i].msr);

        wrmsr(cases[i].msr, cases[i].value);
        EXPECT_EQ(rdmsr(cases[i].msr), cases[i].value);
        wrmsr(cases[i].msr, old);
        EXPECT_EQ(rdmsr(cases[i].msr), old);
    }
}

TEST(not_canonical)
{
    static const u32 addresses[] = {IA32_LSTAR,       IA32_CSTAR,          IA32_FS_BASE,
                                    IA32_GS_BASE,     IA32_KERNEL_GS_BASE, IA32_SYSENTER_ESP,
                                    IA32_SYSENTER_EIP};

    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
        EXPECT_TRAP(VECTOR_GP, 0, wrmsr(addresses[i], NOT_CANONICAL));
}

TEST(segment_bases_work)
{
    static u64 cell = 0x1122334455667788;
    u64 value, gs;

    wrmsr(IA32_FS_BASE, (u64)&cell - 16);
    __asm__ volatile("mov %%fs:16, %0" : "=r"(value));
    EXPECT_EQ(value, cell);
    wrmsr(IA32_FS_BASE, 0);
    wrmsr(IA32_GS_BASE, 0x1000);
    wrmsr(IA32_KERNEL_GS_BASE, (u64)&cell);
    __asm__ volatile("swapgs; mov %%gs:0, %0" : "=r"(value));
    gs = rdmsr(IA32_GS_BASE);
    EXPECT_EQ(value, cell);
    EXPECT_EQ(gs, (u64)&cell);
    EXPECT_EQ(rdmsr(IA32_KERNEL_GS_BASE), 0x1000);
    wrmsr(IA32_GS_BASE, 0);
}

/* SDM vol. 3A, 2.2.1: reserved bits #GP; LME cannot change under paging; writes to LMA vanish. */
TEST(efer)
{
    u64 efer = rdmsr(IA32_EFER);

    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_EFER, efer | BIT64(1)));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_EFER, efer | BIT64(63)));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_EFER, efer & ~EFER_LME));
    wrmsr(IA32_EFER, efer ^ EFER_SCE);
    EXPECT_EQ(rdmsr(IA32_EFER), efer ^ EFER_SCE);
    wrmsr(IA32_EFER, efer);
    EXPECT_EQ(rdmsr(IA32_EFER), efer);
}

/* Without NXE bit 63 of a page entry is reserved; with it, it forbids fetches. */
TEST(efer_nxe)
{
    u64 efer = rdmsr(IA32_EFER), at = WINDOW;
    volatile u8 *page = (volatile u8 *)at;

    if (!(cpuid(0x80000001, 0).d & BIT(20)))
        SKIP("no NX");
    *page = 0xc3;
    window_open();
    window_entry[0] |= BIT64(63);
    wrmsr(IA32_EFER, efer & ~EFER_NXE);
    page_flush();
    EXPECT_TRAP(VECTOR_PF, 0x9, (void)*page); /* P, RSVD */
    wrmsr(IA32_EFER, efer | EFER_NXE);
    page_flush();
    EXPECT_NO_TRAP((void)*page);
    EXPECT_TRAP(VECTOR_PF, 0x11, ((void (*)(void))at)()); /* P, I/D */
    window_entry[0] &= ~BIT64(63);
    page_flush();
    EXPECT_NO_TRAP(((void (*)(void))at)());
    wrmsr(IA32_EFER, efer);
    window_close();
}

TEST(pat_types)
{
    u64 pat = rdmsr(IA32_PAT);

    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_PAT, (pat & ~0xffull) | 2));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_PAT, (pat & ~0xff00ull) | 0x0300));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_PAT, pat | BIT64(63)));
    EXPECT_EQ(rdmsr(IA32_PAT), pat);
}

TEST(mtrrs)
{
    u64 cap, def;

    if (!CPUID1_D(12))
        SKIP("no MTRRs");
    cap = rdmsr(IA32_MTRRCAP);
    def = rdmsr(IA32_MTRR_DEF_TYPE);
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_MTRRCAP, cap));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_MTRR_DEF_TYPE, (def & ~0xffull) | 2));
    wrmsr(IA32_MTRR_DEF_TYPE, def);
    EXPECT_EQ(rdmsr(IA32_MTRR_DEF_TYPE), def);
    for (u32 i = 0; i < (cap & 0xff); i++) {
        u64 mask = rdmsr(0x201 + 2 * i);
        EXPECT_NO_TRAP(wrmsr(0x201 + 2 * i, mask));
        EXPECT_EQ(rdmsr(0x201 + 2 * i), mask);
    }
}

TEST(apic_base)
{
    u64 base = rdmsr(IA32_APIC_BASE);

    EXPECT_EQ(base & ~0xfffull, APIC_BASE);
    EXPECT(base & BIT(8)); /* this is the bootstrap processor */
    EXPECT(base & BIT(11));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_APIC_BASE, base | BIT(0)));
    EXPECT_TRAP(VECTOR_GP, 0, wrmsr(IA32_APIC_BASE, base | BIT64(60)));
    EXPECT_NO_TRAP(wrmsr(IA32_APIC_BASE, base));
    EXPECT_EQ(rdmsr(IA32_APIC_BASE), base);
}

TEST(tsc)
{
    u64 a = rdtsc(), b = rdmsr(IA32_TSC), c = rdtsc();

    EXPECT(a <= b && b <= c);
    wrmsr(IA32_TSC, 0x1000000000ull);
    a = rdtsc();
    EXPECT_RANGE(a, 0x1000000000ull, 0x1000000000ull + 1000000);
    wrmsr(IA32_TSC, c);
    EXPECT_RANGE(rdmsr(IA32_TSC), c, c + 1000000);
}

/* SDM vol. 3B, 17.17.3: a write to either MSR moves the other by the same amount. */
TEST(tsc_adjust)
{
    u64 adjust, tsc;

    if (cpuid(0, 0).a < 7 || !(cpuid(7, 0).b & BIT(1)))
        SKIP("no IA32_TSC_ADJUST");
    adjust = rdmsr(IA32_TSC_ADJUST);
    tsc = rdtsc();
    wrmsr(IA32_TSC_ADJUST, adjust + 0x100000000000ull);
    EXPECT_EQ(rdmsr(IA32_TSC_ADJUST), adjust + 0x100000000000ull);
    EXPECT_RANGE(rdtsc() - tsc, 0x100000000000ull, 0x100000000000ull + 1000000);
    wrmsr(IA32_TSC_ADJUST, adjust);
    EXPECT_RANGE(rdtsc() - tsc, 0, 1000000);
}

TEST(tsc_aux)
{
    u32 aux;

    if (!(cpuid(0x80000001, 0).d & BIT(27)))
        SKIP("no RDTSCP");
    wrmsr(IA32_TSC_AUX, 0x12345678);
    __asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
    EXPECT_EQ(aux, 0x12345678);
    EXPECT_EQ(rdmsr(IA32_TSC_AUX), 0x12345678);
    wrmsr(IA32_TSC_AUX, 0);
}

/* Bit 0 (fast strings) is what Linux asks for on every model; not all of Bochs' models have it. */
TEST(misc_enable)
{
    if (!under_hypervisor())
        SKIP("no hypervisor");
    EXPECT_EQ(rdmsr(IA32_MISC_ENABLE) & 1, 1);
}

/* SYSCALL through STAR, LSTAR and FMASK, and the #UD without EFER.SCE. */
USER_CODE(user_syscall, "mov $0x1234, %edx; stc; syscall; ud2")

__attribute__((naked)) static void syscall_entry(void)
{
    __asm__ volatile("int $0x71"); /* rcx, r11 and the flags go to the handler */
}

static struct trap_frame seen;

static void see(struct trap_frame *f)
{
    seen = *f;
    trap_handle(0x71, NULL);
    f->rip -= 2; /* once more: to CATCH() */
}

TEST(syscall)
{
    u64 efer = rdmsr(IA32_EFER), star = rdmsr(IA32_STAR);
    struct trap t;

    EXPECT(cpuid(0x80000001, 0).d & BIT(11));
    wrmsr(IA32_EFER, efer & ~EFER_SCE);
    t = CATCH(user_run(user_syscall, 0));
    EXPECT_EQ(t.vector, VECTOR_UD);
    wrmsr(IA32_EFER, efer | EFER_SCE);
    wrmsr(IA32_STAR, (u64)GDT_CODE64 << 32);
    wrmsr(IA32_LSTAR, (u64)syscall_entry);
    wrmsr(IA32_FMASK, RFLAGS_CF);
    trap_handle(0x71, see);
    t = CATCH(user_run(user_syscall, RFLAGS_AC));
    trap_handle(0x71, NULL);
    EXPECT_EQ(t.vector, 0x71);
    EXPECT_EQ(seen.cs, GDT_CODE64);
    EXPECT_EQ(seen.ss, GDT_CODE64 + 8);
    EXPECT_EQ(seen.rdx, 0x1234);
    EXPECT_EQ(seen.rflags & (RFLAGS_CF | RFLAGS_AC), RFLAGS_AC);
    EXPECT_EQ(seen.r11 & (RFLAGS_CF | RFLAGS_AC), RFLAGS_CF | RFLAGS_AC);
    EXPECT_EQ(seen.rcx, (u64)user_syscall + 8);
    wrmsr(IA32_STAR, star);
    wrmsr(IA32_EFER, efer);
}

USER_CODE(user_rdmsr, "mov $0x10, %ecx; rdmsr")
USER_CODE(user_wrmsr, "mov $0xc0000102, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr")

TEST(from_cpl3)
{
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_rdmsr, 0));
    EXPECT_TRAP(VECTOR_GP, 0, user_run(user_wrmsr, 0));
}
