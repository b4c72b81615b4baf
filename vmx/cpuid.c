/* SPDX-License-Identifier: MIT
 *
 * The CPUID policy: host leaves through masks, plus what Vitrine adds.  SDM vol. 2A, CPUID.
 */
#include "vmx/cpuid.h"

#include "arch/x86/cpu.h"
#include "arch/x86/panic.h"
#include "emulator/emulator.h"
#include "lib/string.h"
#include "vmx/caps.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

#define MAX_BASIC      0x16u
#define MAX_EXTENDED   0x80000008u
#define HYPERVISOR     0x40000000u
#define MAX_HYPERVISOR 0x40000010u

enum { A, B, C, D };

/* Leaf 1.  Left out of ECX: DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, CNXT-ID, SDBG, xTPR,
 * PDCM, DCA; of EDX: PSN, DS, ACPI, SS, HTT, TM, PBE: nothing behind them here. */
#define LEAF1_ECX                                                                           \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | \
     BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define LEAF1_ECX_OURS (BIT(21) | BIT(24) | BIT(31)) /* x2APIC, TSC-deadline, hypervisor */
#define LEAF1_EDX                                                                              \
    (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | \
     BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | \
     BIT(24) | BIT(25) | BIT(26))
/* Leaf 7: FSGSBASE, TSC_ADJUST, BMI1, AVX2, FDP_EXCPTN_ONLY, SMEP, BMI2, ERMS, INVPCID, AVX512*,
 * RDSEED, ADX, SMAP, IFMA, CLFLUSHOPT, CLWB, SHA; UMIP, AVX512_VBMI*, GFNI, VAES, VPCLMULQDQ, VNNI,
 * BITALG, VPOPCNTDQ, RDPID, CLDEMOTE, MOVDIRI, MOVDIR64B; FSRM, SERIALIZE, AVX512_FP16.  Subleaf 1:
 * AVX_VNNI, AVX512_BF16. */
#define LEAF7_EBX                                                                                \
    (BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(13) | \
     BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(28) |   \
     BIT(29) | BIT(30) | BIT(31))
#define LEAF7_AVX512 (BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31))
#define LEAF7_ECX                                                                         \
    (BIT(1) | BIT(2) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14) | \
     BIT(22) | BIT(25) | BIT(27) | BIT(28))
#define LEAF7_EDX   (BIT(4) | BIT(14) | BIT(23))
#define LEAF7_1_EAX (BIT(4) | BIT(5))
#define EXT1_ECX    (BIT(0) | BIT(5) | BIT(8)) /* LAHF64, LZCNT, PREFETCHW */
#define EXT1_EDX    (BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29))
#define EXT7_EDX    BIT(8) /* invariant TSC */
/* XCR0: x87, SSE, AVX, AVX-512 (three parts). */
#define XCR0_KNOWN (u32)(XCR0_X87 | XCR0_AVX512)

struct builder {
    struct cpuid_policy *policy;
    const struct vmx_caps *caps;
    u64 tsc_hz;
    u32 host_basic, host_extended; /* highest leaves */
    unsigned vcpus;
    bool emulates_ud;
};

static struct cpuid_regs host_leaf(const struct builder *b, u32 leaf, u32 subleaf)
{
    u32 most = leaf & BIT(31) ? b->host_extended : b->host_basic;
    return leaf <= most ? cpuid(leaf, subleaf) : (struct cpuid_regs){0};
}

/* Add an answer; subleaves of a leaf are added one after the other, from 0. */
static struct cpuid_entry *add(struct builder *b, u32 leaf, u32 subleaf, struct cpuid_regs r)
{
    struct cpuid_policy *p = b->policy;
    u8 *first = &p->first[leaf >> 30][leaf & 31];
    struct cpuid_entry *e = &p->entry[p->count];

    invariant(p->count < CPUID_MAX_ENTRIES);
    *e = (struct cpuid_entry){.leaf = leaf, .subleaves = 1, .reg = {r.eax, r.ebx, r.ecx, r.edx}};
    if (subleaf == 0)
        *first = (u8)p->count;
    else
        p->entry[*first].subleaves = (u8)(subleaf + 1);
    p->count++;
    return e;
}

static u64 xcr0_of(const struct builder *b)
{
    struct cpuid_regs r = host_leaf(b, 0xd, 0);
    u64 allowed = r.eax & XCR0_KNOWN;
    const u32 avx512 = BIT(5) | BIT(6) | BIT(7);

    return (allowed & avx512) == avx512 ? allowed : allowed & ~avx512;
}

static void add_basic(struct builder *b)
{
    struct cpuid_policy *p = b->policy;
    struct cpuid_regs r = host_leaf(b, 0, 0);
    r.eax = MAX_BASIC;
    add(b, 0, 0, r);

    r = host_leaf(b, 1, 0);
    r.ecx = (r.ecx & LEAF1_ECX) | LEAF1_ECX_OURS | (b->emulates_ud ? BIT(22) : 0); /* MOVBE */
    r.edx &= LEAF1_EDX;
    r.ebx = (r.ebx & 0xff00) | b->vcpus << 16; /* CLFLUSH line; the APIC ID comes in later */
    if (b->vcpus > 1)
        r.edx |= BIT(28);
    add(b, 1, 0, r)->dynamic = true;
    add(b, 2, 0, host_leaf(b, 2, 0));
    for (u32 i = 0; i < 5; i++) {
        r = host_leaf(b, 4, i);
        /* One thread per core, and as many cores as virtual CPUs. */
        r.eax = (r.eax & 0x3ff) | (r.eax & 0x1f ? (b->vcpus - 1) << 26 : 0);
        add(b, 4, i, r);
    }
    add(b, 6, 0, (struct cpuid_regs){.eax = BIT(2)}); /* the APIC timer never stops (ARAT) */

    r = host_leaf(b, 7, 0);
    struct cpuid_regs more = {.eax = r.eax >= 1 ? host_leaf(b, 7, 1).eax & LEAF7_1_EAX : 0};
    r.eax = 1;
    r.ebx &= LEAF7_EBX;
    r.ecx &= LEAF7_ECX;
    r.edx &= LEAF7_EDX;
    if (!(p->xcr0_allowed & BIT(7))) {
        r.ebx &= ~(u32)LEAF7_AVX512;
        r.edx &= ~BIT(23);
        more.eax &= ~BIT(5);
    }
    if (!caps_has(b->caps, CAP_PROC2, PROC2_INVPCID))
        r.ebx &= ~BIT(10);
    if (!caps_has(b->caps, CAP_PROC2, PROC2_RDTSCP))
        r.ecx &= ~BIT(22);
    else if (b->emulates_ud)
        r.ecx |= BIT(22); /* RDPID */
    r.ebx |= BIT(1);      /* IA32_TSC_ADJUST is ours */
    add(b, 7, 0, r);
    add(b, 7, 1, more);
    for (u32 i = 0; i < 3; i++)
        add(b, 0xb, i, (struct cpuid_regs){0})->dynamic = true;
}

static void add_xsave(struct builder *b)
{
    struct cpuid_policy *p = b->policy;
    struct cpuid_regs r = host_leaf(b, 0xd, 0);

    if (!r.eax)
        return;
    u32 size = 576; /* legacy region and header */
    for (u32 i = 2; i < 8; i++) {
        struct cpuid_regs part = host_leaf(b, 0xd, i);
        if ((p->xcr0_allowed & BIT(i)) && part.eax + part.ebx > size)
            size = part.eax + part.ebx;
    }
    r.eax = (u32)p->xcr0_allowed;
    r.edx = 0;
    r.ecx = size;
    add(b, 0xd, 0, r)->dynamic = true;
    r = host_leaf(b, 0xd, 1);
    r.eax &= caps_has(b->caps, CAP_PROC2, PROC2_XSAVES) ? 0xf : 0x7;
    r.ecx = r.edx = 0;
    add(b, 0xd, 1, r)->dynamic = true;
    for (u32 i = 2; i < 8; i++)
        add(b, 0xd, i, p->xcr0_allowed & BIT(i) ? host_leaf(b, 0xd, i) : (struct cpuid_regs){0});
}

static void add_time(struct builder *b)
{
    u32 khz = (u32)(b->tsc_hz / 1000);

    /* The APIC timer counts TSC ticks, so the "crystal" is the TSC itself. */
    if (b->tsc_hz <= 0xffffffff)
        add(b, 0x15, 0, (struct cpuid_regs){1, 1, (u32)b->tsc_hz, 0});
    add(b, 0x16, 0, (struct cpuid_regs){khz / 1000, khz / 1000, 100, 0});
    add(b, HYPERVISOR, 0,
        (struct cpuid_regs){MAX_HYPERVISOR, 0x72746956, 0x20656e69, 0x20585456}); /* Vitrine VTX */
    add(b, MAX_HYPERVISOR, 0, (struct cpuid_regs){khz, khz, 0, 0});
}

static void add_extended(struct builder *b)
{
    struct cpuid_regs r = host_leaf(b, BIT(31), 0);
    r.eax = MAX_EXTENDED;
    add(b, BIT(31), 0, r);
    r = host_leaf(b, BIT(31) + 1, 0);
    r.ecx &= EXT1_ECX;
    r.edx &= EXT1_EDX;
    if (!caps_has(b->caps, CAP_PROC2, PROC2_RDTSCP))
        r.edx &= ~BIT(27);
    add(b, BIT(31) + 1, 0, r);
    for (u32 i = 2; i <= 6; i++)
        add(b, BIT(31) + i, 0, host_leaf(b, BIT(31) + i, 0));
    r = host_leaf(b, BIT(31) + 7, 0);
    add(b, BIT(31) + 7, 0, (struct cpuid_regs){.edx = r.edx & EXT7_EDX});
    r = host_leaf(b, BIT(31) + 8, 0);
    add(b, BIT(31) + 8, 0, (struct cpuid_regs){.eax = r.eax ? r.eax & 0xffff : 0x3024});
}

/* Past the last leaf of a class Intel CPUs answer with the last basic one. */
static void answer_past_the_end(struct cpuid_policy *p)
{
    static const u8 last[4] = {MAX_BASIC, MAX_HYPERVISOR & 31, MAX_EXTENDED & 31, 0};

    for (unsigned class = 0; class < 4; class ++)
        for (unsigned i = last[class] + 1; i < 32; i++)
            p->first[class][i] = p->first[0][MAX_BASIC];
    p->first[3][0] = p->first[0][MAX_BASIC];
}

static const u32 *registers_of(const struct cpuid_policy *p, u32 leaf, u32 subleaf)
{
    const struct cpuid_entry *e = &p->entry[p->first[leaf >> 30][leaf & 31]];
    return (subleaf < e->subleaves ? e + subleaf : p->entry)->reg;
}

/* CR4 bits that a guest may set, by the CPUID bit that announces each (SDM vol. 3A, 2.5). */
static const struct {
    u64 cr4;
    u8 reg, bit;
    u32 leaf;
} cr4_bits[] = {
    {CR4_VME | CR4_PVI, D, 1, 1}, {CR4_TSD, D, 4, 1},      {CR4_DE, D, 2, 1},
    {CR4_PSE, D, 3, 1},           {CR4_PAE, D, 6, 1},      {CR4_MCE, D, 7, 1},
    {CR4_PGE, D, 13, 1},          {CR4_OSFXSR, D, 24, 1},  {CR4_OSXMMEXCPT, D, 25, 1},
    {CR4_UMIP, C, 2, 7},          {CR4_FSGSBASE, B, 0, 7}, {CR4_PCIDE, C, 17, 1},
    {CR4_OSXSAVE, C, 26, 1},      {CR4_SMEP, B, 7, 7},     {CR4_SMAP, B, 20, 7},
};

static void derive(struct cpuid_policy *p)
{
    for (unsigned i = 0; i < EMU_FEATURE_COUNT; i++) {
        const struct emu_feature_bit *f = &emu_feature_bits[i];
        if (registers_of(p, f->leaf, f->subleaf)[f->reg] & BIT(f->bit))
            p->features |= BIT64(i);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(cr4_bits); i++)
        if (registers_of(p, cr4_bits[i].leaf, 0)[cr4_bits[i].reg] & BIT(cr4_bits[i].bit))
            p->cr4_allowed |= cr4_bits[i].cr4;
    p->cr4_allowed |= CR4_PCE;
    const u32 *ext = registers_of(p, BIT(31) + 1, 0);
    if (ext[D] & BIT(11))
        p->efer_allowed |= EFER_SCE;
    if (ext[D] & BIT(20))
        p->efer_allowed |= EFER_NXE;
    if (ext[D] & BIT(29))
        p->efer_allowed |= EFER_LME | EFER_LMA;
    p->phys_bits = (u8)registers_of(p, BIT(31) + 8, 0)[A];
}

void cpuid_policy_init(struct cpuid_policy *p, const struct vmx_caps *caps, u64 tsc_hz,
                       unsigned vcpus, bool emulates_ud)
{
    struct builder b = {.policy = p,
                        .caps = caps,
                        .tsc_hz = tsc_hz,
                        .host_basic = cpuid(0, 0).eax,
                        .host_extended = cpuid(BIT(31), 0).eax,
                        .vcpus = vcpus,
                        .emulates_ud = emulates_ud};

    memset(p, 0, sizeof(*p));
    p->count = 1;
    p->vcpus = vcpus;
    p->entry[0].subleaves = 1;
    p->xcr0_allowed = cpu_has(CPU_XSAVE) ? xcr0_of(&b) : 1;
    add_basic(&b);
    add_xsave(&b);
    add_time(&b);
    add_extended(&b);
    answer_past_the_end(p);
    for (unsigned i = 0; i < p->count; i++)
        p->entry[i].special = p->entry[i].dynamic || p->entry[i].subleaves > 1;
    derive(p);
}

/* Bits that depend on the vCPU's state, or its number. */
static void patch(struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct intc *intc = &v->vm->parts.intc;

    switch (leaf) {
    case 1:
        out[B] |= v->index << 24;
        vcpu_load(v, STATE_CR4);
        if (v->state.cr4 & CR4_OSXSAVE)
            out[C] |= BIT(27);
        if (!intc->ops->enabled(intc->ctx, v->index))
            out[D] &= ~BIT(9);
        break;
    case 0xb:
        /* One thread per core: level 0 is one thread, level 1 all cores of the one package, and
         * every x2APIC ID shifted by 8 gives its number, 0 (SDM vol. 3A, 8.9). */
        out[A] = subleaf == 1 ? 8 : 0;
        out[B] = subleaf == 0 ? 1 : subleaf == 1 ? v->vm->cpuid.vcpus : 0;
        out[C] = (subleaf & 0xff) | (subleaf < 2 ? (subleaf + 1) << 8 : 0);
        out[D] = v->index;
        break;
    default:
        /* 0DH: the size of the area for what XCR0 has on; XCR0 is the guest's at this moment. */
        if (subleaf <= 1)
            out[B] = cpuid(leaf, subleaf).ebx;
        break;
    }
}

void cpuid_answer(struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct cpuid_policy *p = &v->vm->cpuid;
    const struct cpuid_entry *first = cpuid_find(p, leaf), *e = first;

    if (first->subleaves > 1)
        e = subleaf < first->subleaves ? first + subleaf : p->entry;
    memcpy(out, e->reg, sizeof(e->reg));
    if (first->dynamic)
        patch(v, leaf, subleaf, out);
}
