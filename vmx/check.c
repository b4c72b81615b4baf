/* SPDX-License-Identifier: MIT
 *
 * The rules of vmx/rules.def, put to a state.
 */
#include "vmx/check.h"

#include "vmx/cr.h"
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

static bool is_low(const struct segment *g) { return !is_usable(g) || !(g->base >> 32); }

/* Present, and of code or data or else of the system. */
static bool is_present(const struct segment *g, bool code_or_data)
{
    return (g->access & SEG_P) && !(g->access & SEG_S) != code_or_data;
}

/* Granularity must fit the limit: bits 11:0 all ones with G, bits 31:20 zero without. */
static bool limit_fits(const struct segment *g)
{
    return g->access & SEG_G ? (g->limit & 0xfff) == 0xfff : !(g->limit >> 20);
}

static bool is_readable(const struct segment *g)
{
    unsigned type = type_of(g);

    return (type & 1) && (!(type & 8) || (type & 2)) && is_present(g, true) && limit_fits(g);
}

static bool is_accessible(const struct segment *g)
{
    return type_of(g) > 11 || dpl_of(g) >= (g->selector & 3u);
}

static bool each_data(const struct segment *seg, bool (*holds)(const struct segment *g))
{
    static const u8 data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};

    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        if (is_usable(&seg[data[i]]) && !holds(&seg[data[i]]))
            return false;
    return true;
}

static bool are_vm86(const struct segment *seg)
{
    for (unsigned i = 0; i <= SEG_GS; i++)
        if (seg[i].base != (u64)seg[i].selector << 4 || seg[i].limit != 0xffff ||
            seg[i].access != 0xf3)
            return false;
    return true;
}

#define RULE(name, section, text, condition)                        \
    static bool name(const struct check_facts *f)                   \
    {                                                               \
        __attribute__((unused)) const struct x86_state *s = f->s;   \
        __attribute__((unused)) const struct segment *seg = s->seg; \
        return condition;                                           \
    }
#include "vmx/rules.def"
#undef RULE

const struct check_rule check_rules[CHECK_RULES] = {
#define RULE(name, section, text, condition) {text, section, name},
#include "vmx/rules.def"
#undef RULE
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
