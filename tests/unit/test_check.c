/* SPDX-License-Identifier: MIT
 *
 * The rules of VM entry on guest state (SDM vol. 3C, 26.3.1): states that may be entered break
 * none; each way to break one is told as that one.  And what real mode's shape does to segments.
 */
#include "device.h"
/* On the host: what they call of the VMCS is here. */
#include "vmx/check.c"
#include "vmx/shape.c"

static struct vcpu vcpu;
static struct vm vm;
static struct vmx_caps caps;

void vcpu_load_groups(struct vcpu *v, u32 groups) { v->state.valid |= groups; }

/* --- States that may be entered -----------------------------------------------------------------
 */

enum base { LONG, COMPATIBLE, PAE, FLAT, V86, REAL, BASES };

static struct segment code(u32 access, u32 limit)
{
    return (struct segment){.selector = 8, .limit = limit, .access = access};
}

static void make_protected(struct x86_state *s, u64 cr0, u64 cr4, u64 efer, u32 cs_access)
{
    s->cr0 = cr0 | 0x30;
    s->cr4 = cr4;
    s->efer = efer;
    s->seg[SEG_CS] = code(cs_access, 0xffffffff);
    for (unsigned i = 0; i <= SEG_GS; i++)
        if (i != SEG_CS)
            s->seg[i] = (struct segment){.selector = 0x10, .limit = 0xffffffff, .access = 0xc093};
}

static void make_real(struct x86_state *s, u64 rflags, u32 access)
{
    s->rflags |= rflags;
    for (unsigned i = 0; i <= SEG_GS; i++)
        s->seg[i] = (struct segment){
            .selector = 0x1234, .base = 0x12340, .limit = 0xffff, .access = access};
}

static void make(enum base base)
{
    struct x86_state *s = &vcpu.state;

    memset(&vcpu, 0, sizeof(vcpu));
    x86_state_reset(s);
    vcpu.vm = &vm;
    vm.caps = &caps;
    vm.cpuid.phys_bits = 36;
    vm.real_mode = REAL_NATIVE;
    vm.unrestricted = true;
    caps.cr0_fixed0 = 0x80000021;
    caps.cr0_fixed1 = 0xffffffff;
    caps.cr4_fixed0 = 0x2000;
    caps.cr4_fixed1 = 0x3727ff;
    switch (base) {
    case LONG: make_protected(s, 0x80000001, 0x20, 0x500, 0xa09b); break;
    case COMPATIBLE: make_protected(s, 0x80000001, 0x20, 0x500, 0xc09b); break;
    case PAE: make_protected(s, 0x80000001, 0x20, 0, 0xc09b); break;
    case FLAT: make_protected(s, 0x80000001, 0x10, 0, 0xc09b); break;
    case V86:
        make_protected(s, 0x80000001, 0, 0, 0xc09b);
        make_real(s, RFLAGS_VM, 0xf3);
        break;
    default: make_real(s, 0, 0x93);
    }
    s->seg[SEG_TR] = (struct segment){.selector = 0x28, .limit = 0x67, .access = 0x8b};
    s->seg[SEG_LDTR] = (struct segment){.selector = 0x30, .limit = 0xff, .access = 0x82};
    s->pdpte[0] = 0x1001;
}

static void may_be_entered(void **)
{
    for (enum base base = 0; base < BASES; base++) {
        make(base);
        assert_int_equal(check_guest_state(&vcpu), -1);
        if (base == REAL)
            vm.real_mode = REAL_VM86;
        vm.unrestricted = false;
        assert_int_equal(check_guest_state(&vcpu), -1);
    }
}

/* --- Ways to break them -------------------------------------------------------------------------
 */

#define EMULATE "real mode may run outside the emulator"
#define STRICT  vm.unrestricted = false
#define IN_VM86 vm.real_mode = REAL_VM86, STRICT

/* State, the rule's first words, what is done. */
#define BREAKS(X)                                                                          \
    X(REAL, EMULATE, vm.real_mode = REAL_EMULATE)                                          \
    X(REAL, "in virtual-8086 mode the vector", (IN_VM86, s->idtr.base = 16))               \
    X(REAL, "in virtual-8086 mode the vector", (IN_VM86, s->idtr.limit = 0x3fe))           \
    X(REAL, "without unrestricted guest CR0", STRICT)                                      \
    X(LONG, "CR0.PG needs", s->cr0 &= ~CR0_PE)                                             \
    X(FLAT, "CR4 has only", s->cr4 |= BIT64(23))                                           \
    X(LONG, "an IA-32e mode guest", s->cr4 &= ~CR4_PAE)                                    \
    X(PAE, "CR4.PCIDE", s->cr4 |= CR4_PCIDE)                                               \
    X(LONG, "CR3 is within", s->cr3 = BIT64(36))                                           \
    X(FLAT, "EFER.LMA equals", s->efer = EFER_LME)                                         \
    X(LONG, "TR is in the GDT", s->seg[SEG_TR].selector |= 4)                              \
    X(LONG, "LDTR, if usable, is in", s->seg[SEG_LDTR].selector |= 4)                      \
    X(FLAT, "RPL of SS equals", (STRICT, s->seg[SEG_CS].selector |= 3))                    \
    X(V86, "virtual-8086: base", s->seg[SEG_GS].base++)                                    \
    X(V86, "virtual-8086: base", s->seg[SEG_ES].limit--)                                   \
    X(V86, "virtual-8086: base", s->seg[SEG_DS].access = 0x93)                             \
    X(REAL, "virtual-8086: base", (IN_VM86, s->seg[SEG_FS].base = 0))                      \
    X(REAL, "virtual-8086: base", (IN_VM86, s->seg[SEG_FS].limit = 0xfffe))                \
    X(REAL, "virtual-8086: base", (IN_VM86, s->seg[SEG_FS].access |= 4)) /* expand-down */ \
    X(REAL, "virtual-8086: base", (IN_VM86, s->seg[SEG_SS].access |= SEG_DB))              \
    X(LONG, "bases of TR, FS", s->seg[SEG_TR].base = BIT64(47))                            \
    X(LONG, "bases of TR, FS", s->seg[SEG_FS].base = BIT64(63))                            \
    X(LONG, "bases of TR, FS", s->seg[SEG_LDTR].base = BIT64(47))                          \
    X(LONG, "bases of CS, SS", s->seg[SEG_CS].base = BIT64(32))                            \
    X(LONG, "bases of CS, SS", s->seg[SEG_ES].base = BIT64(32))                            \
    X(LONG, "CS is a present", s->seg[SEG_CS].access &= ~SEG_P)                            \
    X(LONG, "CS is a present", s->seg[SEG_CS].access &= ~1u) /* not accessed */            \
    X(LONG, "CS is a present", s->seg[SEG_CS].access |= SEG_UNUSABLE)                      \
    X(FLAT, "CS is a present", (STRICT, s->seg[SEG_CS].access = 0xc093))                   \
    X(LONG, "DPL of CS fits", s->seg[SEG_CS].access |= 3 << SEG_DPL_SHIFT)                 \
    X(LONG, "CS.L and CS.D", s->seg[SEG_CS].access |= SEG_DB)                              \
    X(LONG, "granularity of CS", s->seg[SEG_CS].limit = 0xfffff000)                        \
    X(FLAT, "granularity of CS", s->seg[SEG_CS].access &= ~SEG_G)                          \
    X(LONG, "SS is a present", s->seg[SEG_SS].access &= ~2u) /* read-only */               \
    X(LONG, "SS is a present", s->seg[SEG_SS].access &= ~SEG_P)                            \
    X(LONG, "SS is a present", s->seg[SEG_SS].limit = 0xfff00fff - 1)                      \
    X(FLAT, "DPL of SS equals",                                                            \
      (STRICT, s->seg[SEG_SS].selector |= 3, s->seg[SEG_CS].selector |= 3))                \
    X(REAL, "DPL of SS equals", s->seg[SEG_SS].access |= 3 << SEG_DPL_SHIFT)               \
    X(LONG, "DS, ES, FS and GS", s->seg[SEG_DS].access &= ~1u)                             \
    X(LONG, "DS, ES, FS and GS", s->seg[SEG_ES].access = 0xc099) /* execute only */        \
    X(LONG, "DS, ES, FS and GS", s->seg[SEG_GS].access &= ~SEG_P)                          \
    X(FLAT, "DPL of a data segment", (STRICT, s->seg[SEG_DS].selector |= 1))               \
    X(LONG, "TR is a present", s->seg[SEG_TR].access = 0x89) /* available */               \
    X(LONG, "TR is a present", s->seg[SEG_TR].access = 0x83) /* of 16 bits */              \
    X(LONG, "TR is a present", s->seg[SEG_TR].access |= SEG_UNUSABLE)                      \
    X(LONG, "LDTR, if usable, is a", s->seg[SEG_LDTR].access = 0x89)                       \
    X(LONG, "bases of GDTR", s->gdtr.base = BIT64(47))                                     \
    X(LONG, "limits of GDTR", s->idtr.limit = 0x10000)                                     \
    X(LONG, "RIP is canonical", s->rip = BIT64(47))                                        \
    X(COMPATIBLE, "RIP is canonical", s->rip = BIT64(32))                                  \
    X(LONG, "RFLAGS has its", s->rflags &= ~2ull)                                          \
    X(LONG, "RFLAGS has its", s->rflags |= BIT64(22))                                      \
    X(LONG, "RFLAGS has its", s->rflags |= 8)                                              \
    X(LONG, "STI and MOV SS",                                                              \
      (s->interruptibility = BLOCKED_BY_STI | BLOCKED_BY_MOV_SS, s->rflags |= RFLAGS_IF))  \
    X(LONG, "blocking by STI", s->interruptibility = BLOCKED_BY_STI)                       \
    X(PAE, "PAE page-directory", s->pdpte[0] |= 2)                                         \
    X(PAE, "PAE page-directory", s->pdpte[3] = BIT64(36) | 1)

#define COUNT(base, rule, act) +1
#define WAYS                   (0 BREAKS(COUNT))

/* Carry out the n-th way; the rule that it is to break. */
static const char *break_rule(unsigned n)
{
    struct x86_state *s = &vcpu.state;
    unsigned i = 0;

#define ACT(base, rule, act) \
    if (i++ == n) {          \
        make(base);          \
        act;                 \
        return rule;         \
    }
    BREAKS(ACT)
    return NULL;
}

static void are_told(void **)
{
    bool told[CHECK_RULES] = {false};
    char text[200];

    for (unsigned n = 0; n < WAYS; n++) {
        const char *rule = break_rule(n);
        int broken = check_guest_state(&vcpu);

        if (broken < 0 || strncmp(check_rules[broken].name, rule, strlen(rule)) != 0)
            fail_msg("%u: %s: told as %s", n, rule, broken < 0 ? "none" : check_rules[broken].name);
        told[broken] = true;
        check_explain(&vcpu, text, sizeof(text));
        assert_non_null(strstr(text, rule));
    }
    for (unsigned i = 0; i < CHECK_RULES; i++)
        if (!told[i] && !strstr(check_rules[i].name, "RFLAGS.VM needs"))
            fail_msg("nothing breaks \"%s\"", check_rules[i].name);
}

/* Virtual-8086 mode in IA-32e mode breaks the rules on its segments first. */
static void vm_in_long_mode(void **)
{
    struct x86_state dressed;

    make(LONG);
    make_real(&vcpu.state, RFLAGS_VM, 0xf3);
    struct check_facts f = gather(&vcpu, &dressed);
    assert_false(rflags_vm(&f));
    make(V86);
    f = gather(&vcpu, &dressed);
    assert_true(rflags_vm(&f));
}

/* --- Shapes -------------------------------------------------------------------------------------
 */

/* A large segment is entered as one of 64 KiB, and is the guest's again afterwards. */
static void big_real_mode(void **)
{
    struct x86_state dressed, again;
    struct shaped d = {.shape = SHAPE_VM86};

    make(REAL);
    vcpu.state.seg[SEG_DS].limit = 0xffffffff;
    vcpu.state.seg[SEG_DS].access |= SEG_G;
    vcpu.state.rflags |= 0x1000; /* IOPL 1 */
    shape_dress(&d, SHAPE_VM86, &vcpu.state, &dressed);
    for (unsigned i = 0; i <= SEG_GS; i++) {
        assert_int_equal(dressed.seg[i].limit, 0xffff);
        assert_int_equal(dressed.seg[i].access, 0xf3);
        assert_int_equal(dressed.seg[i].base, 0x12340);
    }
    assert_int_equal(dressed.rflags & (RFLAGS_VM | RFLAGS_IOPL), RFLAGS_VM | RFLAGS_IOPL);
    again = dressed;
    again.seg[SEG_DS].base = 0x50; /* loaded meanwhile: the limit stays */
    shape_undress(&d, STATE_ALL, &again);
    assert_int_equal(again.seg[SEG_DS].base, 0x50);
    assert_int_equal(again.seg[SEG_DS].limit, 0xffffffff);
    assert_int_equal(again.seg[SEG_DS].access, 0x93 | SEG_G);
    assert_int_equal(again.seg[SEG_ES].limit, 0xffff);
    assert_int_equal(again.seg[SEG_ES].access, 0x93);
    assert_int_equal(again.rflags & (RFLAGS_VM | RFLAGS_IOPL), 0x1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(may_be_entered),
        cmocka_unit_test(are_told),
        cmocka_unit_test(vm_in_long_mode),
        cmocka_unit_test(big_real_mode),
    };

    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
