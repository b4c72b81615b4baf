/* SPDX-License-Identifier: MIT
 *
 * The capability probe.  Everything is looked at, named and explained before VMXON, so that a
 * machine which cannot run guests says why in words.
 */
#include "vmx/caps.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/msr.h"
#include "lib/string.h"

enum need { NEED_OFF, NEED_WANT, NEED_MUST };

struct feature {
    const char *name, *other, *flag;
    enum cap_set set;
    u8 bit;
    enum need need;
};

static const struct feature features[] = {
#define C(set, bit, name, text, need, other, flag) {text, other, flag, CAP_##set, bit, NEED_##need},
#include "vmx/controls.def"
#undef C
};

static const char *const set_names[] = {
    "pin-based controls", "processor-based controls", "secondary controls", "VM-exit controls",
    "VM-entry controls",  "IA32_VMX_EPT_VPID_CAP",    "IA32_VMX_MISC"};

static bool has_hypervisor(void) { return (cpuid(1, 0).ecx & BIT(31)) != 0; }

/* SDM vol. 3C, 23.7: VMXON needs the lock bit and the enable-outside-SMX bit. */
static enum status enable_in_feature_control(void)
{
    u64 value;
    if (!msr_read_safe(MSR_IA32_FEATURE_CONTROL, &value)) {
        log_error("caps", "IA32_FEATURE_CONTROL cannot be read: VT-x cannot be switched on; under "
                          "another hypervisor, give this machine the full CPU (-cpu host)");
        return STATUS_ENOTSUP;
    }
    if (!(value & FEATURE_CONTROL_LOCK)) {
        log_info("caps", "IA32_FEATURE_CONTROL was left unlocked by the firmware: VT-x enabled and "
                         "locked until the next reset");
        value |= FEATURE_CONTROL_VMX_OUTSIDE | FEATURE_CONTROL_LOCK;
        if (!msr_write_safe(MSR_IA32_FEATURE_CONTROL, value)) {
            log_error("caps", "IA32_FEATURE_CONTROL refuses to enable VT-x");
            return STATUS_ENOTSUP;
        }
    }
    if (!(value & FEATURE_CONTROL_VMX_OUTSIDE)) {
        log_error("caps", "VT-x is switched off in the firmware (IA32_FEATURE_CONTROL locked with "
                          "VMX disabled): enable \"Intel Virtualization Technology\" or \"VT-x\" "
                          "in its setup, then switch the machine off and on");
        return STATUS_ENOTSUP;
    }
    return STATUS_OK;
}

static void read_control_set(struct vmx_caps *c, enum cap_set set, u32 msr, u32 true_msr, bool use)
{
    u64 value = rdmsr(use ? true_msr : msr);
    c->must[set] = (u32)value;
    c->bits[set] = value >> 32;
}

static void read_msrs(struct vmx_caps *c)
{
    u64 basic = rdmsr(MSR_IA32_VMX_BASIC);
    bool use_true = (basic & VMX_BASIC_TRUE_CONTROLS) != 0;

    c->revision = (u32)basic & 0x7fffffff;
    c->vmcs_size = (u32)bits_get(basic, 44, 32);
    read_control_set(c, CAP_PIN, MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED, use_true);
    read_control_set(c, CAP_PROC, MSR_IA32_VMX_PROCBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED,
                     use_true);
    read_control_set(c, CAP_EXIT, MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT, use_true);
    read_control_set(c, CAP_ENTRY, MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY, use_true);
    if (caps_has(c, CAP_PROC, PROC_SECONDARY_CONTROLS))
        read_control_set(c, CAP_PROC2, MSR_IA32_VMX_PROCBASED_CTLS2, 0, false);
    if (c->bits[CAP_PROC2] & (PROC2_EPT | PROC2_VPID))
        c->bits[CAP_EPT] = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);
    c->bits[CAP_MISC] = rdmsr(MSR_IA32_VMX_MISC);
    c->preemption_shift = (u8)bits_get(c->bits[CAP_MISC], 4, 0);
    c->cr0_fixed0 = rdmsr(MSR_IA32_VMX_CR0_FIXED0);
    c->cr0_fixed1 = rdmsr(MSR_IA32_VMX_CR0_FIXED1);
    c->cr4_fixed0 = rdmsr(MSR_IA32_VMX_CR4_FIXED0);
    c->cr4_fixed1 = rdmsr(MSR_IA32_VMX_CR4_FIXED1);
    c->unrestricted = caps_has(c, CAP_PROC2, PROC2_UNRESTRICTED_GUEST);
    /* A hypervisor below sets a timer of its own at every entry for it; ours is set when it
     * changes. */
    c->preemption_timer =
        caps_has(c, CAP_PIN, PIN_PREEMPTION_TIMER) && !(has_hypervisor() && apic_timer_present());
}

/* What ends a guest's stay in the CPU. */
static bool has_timer(const struct vmx_caps *c)
{
    if (c->preemption_timer || apic_timer_present())
        return true;
    log_error("caps", "MISSING: a timer, needed: the CPU has neither a VMX-preemption timer nor an "
                      "APIC timer that counts, so a guest could run for ever");
    return false;
}

static void log_missing(const struct feature *f)
{
    if (has_hypervisor())
        log_error("caps",
                  "MISSING: %s (%s bit %u), needed: the hypervisor below does not offer it; with "
                  "QEMU/KVM use -cpu host, or -cpu ...,+%s",
                  f->name, set_names[f->set], f->bit, f->flag);
    else
        log_error("caps", "MISSING: %s (%s bit %u), needed, and this CPU does not have it", f->name,
                  set_names[f->set], f->bit);
}

/* Without EPT much else is missing too: that one fact says it all. */
static bool has_ept(const struct vmx_caps *c)
{
    if (caps_has(c, CAP_PROC2, PROC2_EPT))
        return true;
    if (has_hypervisor())
        log_error("caps", "MISSING: EPT, needed: the hypervisor below does not offer it; with "
                          "QEMU/KVM use -cpu host on a host with kvm_intel ept=1 nested=1");
    else
        log_error("caps", "MISSING: EPT, needed: this CPU has VT-x, but is older than Nehalem "
                          "(2008), the first with extended page tables; use a newer one");
    return false;
}

enum status caps_probe(struct vmx_caps *c)
{
    memset(c, 0, sizeof(*c));
    if (!(cpuid(1, 0).ecx & BIT(5))) {
        if (has_hypervisor())
            log_error("caps", "this virtual CPU has no VT-x (CPUID.1:ECX.VMX is 0): the hypervisor "
                              "below hides it; with QEMU use -enable-kvm -cpu host on an Intel "
                              "host with kvm_intel nested=1");
        else
            log_error("caps", "this CPU has no VT-x (CPUID.1:ECX.VMX is 0): Vitrine needs an Intel "
                              "CPU with VT-x and EPT");
        return STATUS_ENOTSUP;
    }
    TRY(enable_in_feature_control());
    read_msrs(c);
    if (!has_ept(c) || !has_timer(c))
        return STATUS_ENOTSUP;

    unsigned missing = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *f = &features[i];
        if (f->need == NEED_MUST && !(c->bits[f->set] & BIT64(f->bit))) {
            log_missing(f);
            missing++;
        }
    }
    return missing ? STATUS_ENOTSUP : STATUS_OK;
}

enum status caps_control(const struct vmx_caps *c, enum cap_set set, u32 must, u32 want, u32 *value)
{
    u32 refused = must & ~(u32)c->bits[set];

    *value = ((must | want) & (u32)c->bits[set]) | c->must[set];
    if (!refused)
        return STATUS_OK;
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
        if (features[i].set == set && (refused & BIT(features[i].bit)))
            log_missing(&features[i]);
    return STATUS_ENOTSUP;
}

void caps_show(const struct vmx_caps *c, struct sink *out)
{
    static const char dots[] = "..........................................";

    sink_printf(out, "VMCS revision 0x%x, %u bytes; preemption timer TSC/%u\n", c->revision,
                c->vmcs_size, 1u << c->preemption_shift);
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *f = &features[i];
        bool has = (c->bits[f->set] & BIT64(f->bit)) != 0;
        size_t len = strlen(f->name);
        sink_printf(out, "  %s %s ", f->name, dots + (len < 40 ? len : 40));
        bool spared =
            f->set == CAP_PIN && BIT64(f->bit) == PIN_PREEMPTION_TIMER && !c->preemption_timer;
        if (has && spared)
            sink_printf(out, "present, not used below a hypervisor (%s)\n", f->other);
        else if (has)
            sink_printf(out, "present%s\n", f->need == NEED_OFF ? ", not used" : "");
        else if (f->need == NEED_WANT)
            sink_printf(out, "absent (used instead: %s)\n", f->other);
        else
            sink_printf(out, "%s\n", f->need == NEED_MUST ? "MISSING" : "absent, not needed");
    }
}

bool caps_equal(const struct vmx_caps *a, const struct vmx_caps *b)
{
    return a->revision == b->revision && memcmp(a->bits, b->bits, sizeof(a->bits)) == 0 &&
           memcmp(a->must, b->must, sizeof(a->must)) == 0 && a->cr0_fixed0 == b->cr0_fixed0 &&
           a->cr0_fixed1 == b->cr0_fixed1 && a->cr4_fixed0 == b->cr4_fixed0 &&
           a->cr4_fixed1 == b->cr4_fixed1 && a->preemption_shift == b->preemption_shift;
}
