/* SPDX-License-Identifier: MIT
 *
 * The rules, one predicate each, in the order of the SDM.
 */
#include "vmx/check.h"

#include "lib/bits.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

struct check_facts {
    const struct x86_state *s; /* as the CPU is to run it */
    const struct vmx_caps *caps;
    u8 phys_bits;
    bool unrestricted, vm86, long_mode;
    bool forced, stands_in; /* real mode: to be emulated; run in virtual-8086 mode */
};

static bool is_usable(const struct segment *g) { return !(g->access & SEG_UNUSABLE); }

static unsigned type_of(const struct segment *g) { return g->access & SEG_TYPE; }

static unsigned dpl_of(const struct segment *g) { return g->access >> SEG_DPL_SHIFT & 3; }

static bool is_canonical(u64 address) { return (u64)((s64)(address << 16) >> 16) == address; }

/* Granularity must fit the limit: bits 11:0 all ones with G, bits 31:20 zero without. */
static bool limit_fits(const struct segment *g)
{
    if ((g->limit & 0xfff) != 0xfff && (g->access & SEG_G))
        return false;
    return !(g->limit >> 20) || (g->access & SEG_G);
}

static bool each_data(const struct check_facts *f,
                      bool (*holds)(const struct check_facts *, unsigned seg))
{
    static const u8 data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        if (is_usable(&f->s->seg[data[i]]) && !holds(f, data[i]))
            return false;
    return true;
}

static bool real_mode_allowed(const struct check_facts *f) { return !f->forced; }

/* INT n is redirected through the vector table at 0, whatever IDTR says. */
static bool vector_table(const struct check_facts *f)
{
    return !f->stands_in || (f->s->idtr.base == 0 && f->s->idtr.limit >= 0x3ff);
}

static bool cr0_fixed(const struct check_facts *f)
{
    u64 must = f->caps->cr0_fixed0;
    /* NE and what else is not the guest's to choose is added on the way to the VMCS (cr.c). */
    must &= CR0_PE | CR0_PG;
    return f->unrestricted || (f->s->cr0 & must) == must;
}

static bool cr0_paging_protected(const struct check_facts *f)
{
    return !(f->s->cr0 & CR0_PG) || (f->s->cr0 & CR0_PE);
}

static bool cr4_fixed(const struct check_facts *f)
{
    return (f->s->cr4 & ~f->caps->cr4_fixed1) == 0;
}

static bool cr4_pae_long(const struct check_facts *f)
{
    return !f->long_mode || ((f->s->cr0 & CR0_PG) && (f->s->cr4 & CR4_PAE));
}

static bool cr4_pcid(const struct check_facts *f)
{
    return f->long_mode || !(f->s->cr4 & CR4_PCIDE);
}

static bool cr3_width(const struct check_facts *f) { return !(f->s->cr3 >> f->phys_bits); }

static bool efer_consistent(const struct check_facts *f)
{
    if (!(f->s->cr0 & CR0_PG))
        return true;
    return ((f->s->efer & EFER_LMA) != 0) == ((f->s->efer & EFER_LME) != 0);
}

static bool tr_selector(const struct check_facts *f) { return !(f->s->seg[SEG_TR].selector & 4); }

static bool ldtr_selector(const struct check_facts *f)
{
    return !is_usable(&f->s->seg[SEG_LDTR]) || !(f->s->seg[SEG_LDTR].selector & 4);
}

static bool ss_rpl(const struct check_facts *f)
{
    return f->vm86 || f->unrestricted ||
           ((f->s->seg[SEG_SS].selector ^ f->s->seg[SEG_CS].selector) & 3) == 0;
}

static bool vm86_segments(const struct check_facts *f)
{
    for (unsigned i = 0; f->vm86 && i <= SEG_GS; i++) {
        const struct segment *g = &f->s->seg[i];
        if (g->base != (u64)g->selector << 4 || g->limit != 0xffff || g->access != 0xf3)
            return false;
    }
    return true;
}

static bool bases_canonical(const struct check_facts *f)
{
    static const u8 always[] = {SEG_TR, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_SIZE(always); i++)
        if (!is_canonical(f->s->seg[always[i]].base))
            return false;
    return !is_usable(&f->s->seg[SEG_LDTR]) || is_canonical(f->s->seg[SEG_LDTR].base);
}

static bool bases_32bit(const struct check_facts *f)
{
    static const u8 low[] = {SEG_SS, SEG_DS, SEG_ES};
    for (unsigned i = 0; i < ARRAY_SIZE(low); i++)
        if (is_usable(&f->s->seg[low[i]]) && f->s->seg[low[i]].base >> 32)
            return false;
    return !(f->s->seg[SEG_CS].base >> 32);
}

static bool cs_type(const struct check_facts *f)
{
    const struct segment *cs = &f->s->seg[SEG_CS];
    if (f->vm86)
        return true;
    if (!is_usable(cs) || !(cs->access & SEG_S) || !(cs->access & SEG_P))
        return false;
    unsigned type = type_of(cs);
    return (type & 9) == 9 || (type == 3 && f->unrestricted);
}

static bool cs_dpl(const struct check_facts *f)
{
    const struct segment *cs = &f->s->seg[SEG_CS];
    unsigned ss_dpl = dpl_of(&f->s->seg[SEG_SS]);
    if (f->vm86)
        return true;
    if (type_of(cs) == 3)
        return dpl_of(cs) == 0;
    return type_of(cs) & 4 ? dpl_of(cs) <= ss_dpl : dpl_of(cs) == ss_dpl;
}

static bool cs_long(const struct check_facts *f)
{
    const struct segment *cs = &f->s->seg[SEG_CS];
    return f->vm86 || !f->long_mode || !(cs->access & SEG_L) || !(cs->access & SEG_DB);
}

static bool cs_limit(const struct check_facts *f)
{
    return f->vm86 || limit_fits(&f->s->seg[SEG_CS]);
}

static bool ss_type(const struct check_facts *f)
{
    const struct segment *ss = &f->s->seg[SEG_SS];
    if (f->vm86 || !is_usable(ss))
        return true;
    return (type_of(ss) == 3 || type_of(ss) == 7) && (ss->access & SEG_S) && (ss->access & SEG_P) &&
           limit_fits(ss);
}

static bool ss_dpl(const struct check_facts *f)
{
    const struct segment *ss = &f->s->seg[SEG_SS];
    if (f->vm86)
        return true;
    if (!f->unrestricted && dpl_of(ss) != (ss->selector & 3u))
        return false;
    /* Real mode, or the type that only real mode has, is CPL 0. */
    return ((f->s->cr0 & CR0_PE) && type_of(&f->s->seg[SEG_CS]) != 3) || dpl_of(ss) == 0;
}

static bool data_type_one(const struct check_facts *f, unsigned seg)
{
    const struct segment *g = &f->s->seg[seg];
    unsigned type = type_of(g);
    return (type & 1) && (!(type & 8) || (type & 2)) && (g->access & SEG_S) &&
           (g->access & SEG_P) && limit_fits(g);
}

static bool data_type(const struct check_facts *f)
{
    return f->vm86 || each_data(f, data_type_one);
}

static bool data_dpl_one(const struct check_facts *f, unsigned seg)
{
    const struct segment *g = &f->s->seg[seg];
    return type_of(g) > 11 || dpl_of(g) >= (g->selector & 3u);
}

static bool data_dpl(const struct check_facts *f)
{
    return f->vm86 || f->unrestricted || each_data(f, data_dpl_one);
}

static bool tr_type(const struct check_facts *f)
{
    const struct segment *tr = &f->s->seg[SEG_TR];
    unsigned type = type_of(tr);
    return is_usable(tr) && (type == 11 || (type == 3 && !f->long_mode)) && !(tr->access & SEG_S) &&
           (tr->access & SEG_P) && limit_fits(tr);
}

static bool ldtr_type(const struct check_facts *f)
{
    const struct segment *g = &f->s->seg[SEG_LDTR];
    return !is_usable(g) ||
           (type_of(g) == 2 && !(g->access & SEG_S) && (g->access & SEG_P) && limit_fits(g));
}

static bool tables_canonical(const struct check_facts *f)
{
    return is_canonical(f->s->gdtr.base) && is_canonical(f->s->idtr.base);
}

static bool tables_limit(const struct check_facts *f)
{
    return f->s->gdtr.limit <= 0xffff && f->s->idtr.limit <= 0xffff;
}

static bool rip_width(const struct check_facts *f)
{
    if (!f->long_mode || !(f->s->seg[SEG_CS].access & SEG_L))
        return !(f->s->rip >> 32);
    return is_canonical(f->s->rip);
}

static bool rflags_fixed(const struct check_facts *f)
{
    return (f->s->rflags & 2) && !(f->s->rflags & ~0x3f7fd7ull);
}

static bool rflags_vm(const struct check_facts *f)
{
    return !(f->s->rflags & RFLAGS_VM) || (!f->long_mode && (f->s->cr0 & CR0_PE));
}

static bool shadow_one(const struct check_facts *f) { return (f->s->interruptibility & 3) != 3; }

static bool shadow_sti(const struct check_facts *f)
{
    return !(f->s->interruptibility & BLOCKED_BY_STI) || (f->s->rflags & RFLAGS_IF);
}

static bool pdptes(const struct check_facts *f)
{
    u64 reserved = 0x1e6 | ~((1ull << f->phys_bits) - 1);
    if (!(f->s->cr0 & CR0_PG) || !(f->s->cr4 & CR4_PAE) || f->long_mode)
        return true;
    for (unsigned i = 0; i < 4; i++)
        if ((f->s->pdpte[i] & 1) && (f->s->pdpte[i] & reserved))
            return false;
    return true;
}

const struct check_rule check_rules[CHECK_RULES] = {
    {"real mode may run outside the emulator (real-mode=emulate says no)", "23.8",
     real_mode_allowed},
    {"in virtual-8086 mode the vector table is at 0, 1 KiB", "23.8", vector_table},
    {"without unrestricted guest CR0.PE and CR0.PG are 1", "26.3.1.1", cr0_fixed},
    {"CR0.PG needs CR0.PE", "26.3.1.1", cr0_paging_protected},
    {"CR4 has only bits that this CPU allows in VMX operation", "26.3.1.1", cr4_fixed},
    {"an IA-32e mode guest has CR0.PG and CR4.PAE", "26.3.1.1", cr4_pae_long},
    {"CR4.PCIDE needs IA-32e mode", "26.3.1.1", cr4_pcid},
    {"CR3 is within the physical-address width", "26.3.1.1", cr3_width},
    {"EFER.LMA equals EFER.LME while paging is on", "26.3.1.1", efer_consistent},
    {"TR is in the GDT", "26.3.1.2", tr_selector},
    {"LDTR, if usable, is in the GDT", "26.3.1.2", ldtr_selector},
    {"RPL of SS equals RPL of CS", "26.3.1.2", ss_rpl},
    {"virtual-8086: base is selector * 16, limit FFFFH, access F3H", "26.3.1.2", vm86_segments},
    {"bases of TR, FS, GS and LDTR are canonical", "26.3.1.2", bases_canonical},
    {"bases of CS, SS, DS and ES are below 4 GiB", "26.3.1.2", bases_32bit},
    {"CS is a present, accessed code segment", "26.3.1.2", cs_type},
    {"DPL of CS fits the one of SS", "26.3.1.2", cs_dpl},
    {"CS.L and CS.D are not both set in IA-32e mode", "26.3.1.2", cs_long},
    {"granularity of CS fits its limit", "26.3.1.2", cs_limit},
    {"SS is a present, writable, accessed data segment", "26.3.1.2", ss_type},
    {"DPL of SS equals its RPL, and is 0 in real mode", "26.3.1.2", ss_dpl},
    {"DS, ES, FS and GS are present, accessed and readable", "26.3.1.2", data_type},
    {"DPL of a data segment is not below its RPL", "26.3.1.2", data_dpl},
    {"TR is a present busy TSS", "26.3.1.2", tr_type},
    {"LDTR, if usable, is a present LDT", "26.3.1.2", ldtr_type},
    {"bases of GDTR and IDTR are canonical", "26.3.1.3", tables_canonical},
    {"limits of GDTR and IDTR are at most FFFFH", "26.3.1.3", tables_limit},
    {"RIP is canonical, or below 4 GiB outside 64-bit mode", "26.3.1.4", rip_width},
    {"RFLAGS has its fixed bits", "26.3.1.4", rflags_fixed},
    {"RFLAGS.VM needs protected mode outside IA-32e mode", "26.3.1.4", rflags_vm},
    {"STI and MOV SS do not both block", "26.3.1.5", shadow_one},
    {"blocking by STI needs RFLAGS.IF", "26.3.1.5", shadow_sti},
    {"PAE page-directory-pointer entries have no reserved bits", "26.3.1.6", pdptes},
};

static struct check_facts gather(struct vcpu *v, struct x86_state *dressed)
{
    vcpu_load(v, STATE_ALL);
    enum shape shape = shape_wanted(v->vm->unrestricted, v->vm->real_mode, &v->state);
    shape_dress(&v->dress, shape, &v->state, dressed);
    return (struct check_facts){.s = dressed,
                                .caps = v->vm->caps,
                                .phys_bits = v->vm->cpuid.phys_bits,
                                .unrestricted = v->vm->unrestricted,
                                .vm86 = (dressed->rflags & RFLAGS_VM) != 0,
                                .long_mode = (dressed->efer & EFER_LMA) != 0,
                                .forced =
                                    v->vm->real_mode == REAL_EMULATE && !(v->state.cr0 & CR0_PE),
                                .stands_in = shape == SHAPE_VM86};
}

int check_guest_state(struct vcpu *v)
{
    struct x86_state dressed;
    struct check_facts f = gather(v, &dressed);

    for (int i = 0; i < CHECK_RULES; i++)
        if (!check_rules[i].holds(&f))
            return i;
    return -1;
}

void check_explain(struct vcpu *v, char *buf, size_t cap)
{
    int broken = check_guest_state(v);

    if (broken >= 0)
        format_buf(buf, cap, "the guest state breaks the rule \"%s\" (SDM vol. 3C, %s)",
                   check_rules[broken].name, check_rules[broken].section);
    else
        format_buf(buf, cap, "no rule on guest state is broken: a control or host field is wrong");
}

void check_show(struct vcpu *v, struct sink *out)
{
    struct x86_state dressed;
    struct check_facts f = gather(v, &dressed);
    unsigned broken = 0;

    for (unsigned i = 0; i < CHECK_RULES; i++) {
        bool holds = check_rules[i].holds(&f);
        broken += !holds;
        sink_printf(out, "  %-6s %s  %s\n", holds ? "ok" : "BROKEN", check_rules[i].section,
                    check_rules[i].name);
    }
    sink_printf(out, "%u of %u rules broken\n", broken, CHECK_RULES);
}
