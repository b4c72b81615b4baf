/* SPDX-License-Identifier: MIT
 *
 * What the capability probe says of machines that no emulator here shows: made-up MSRs and CPUID,
 * the machine complete first, then one thing wrong with it at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/trap.h"
#include "lib/msr.h"

static struct machine {
    u32 features;        /* CPUID.1:ECX */
    u64 feature_control; /* ~0: the MSR is not there */
    bool locks, apic_timer;
    u64 lacks[7]; /* bits taken away, by enum cap_set */
} machine;

static u64 fake_rdmsr(u32 msr);
static struct cpuid_regs fake_cpuid(u32 leaf, u32 subleaf);
#define rdmsr fake_rdmsr
#define cpuid fake_cpuid
#include "vmx/caps.c"

/* Of IA32_FEATURE_CONTROL, what does not count here. */
#define FEATURE_CONTROL_VMX_IN_SMX     BIT64(1)
#define FEATURE_CONTROL_SENTER_ENABLES 0xff00ul

static u64 fake_rdmsr(u32 msr)
{
    static const u32 sets[] = {[CAP_PIN] = MSR_IA32_VMX_TRUE_PINBASED,
                               [CAP_PROC] = MSR_IA32_VMX_TRUE_PROCBASED,
                               [CAP_PROC2] = MSR_IA32_VMX_PROCBASED_CTLS2,
                               [CAP_EXIT] = MSR_IA32_VMX_TRUE_EXIT,
                               [CAP_ENTRY] = MSR_IA32_VMX_TRUE_ENTRY,
                               [CAP_EPT] = MSR_IA32_VMX_EPT_VPID_CAP,
                               [CAP_MISC] = MSR_IA32_VMX_MISC};

    for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
        if (sets[i] == msr)
            return i < CAP_EPT ? (~machine.lacks[i] & ~0u) << 32 : ~machine.lacks[i];
    switch (msr) {
    case MSR_IA32_VMX_BASIC: return 4 | 4096ull << 32 | VMX_BASIC_TRUE_CONTROLS;
    case MSR_IA32_VMX_CR0_FIXED0: return 0x80000021;
    case MSR_IA32_VMX_CR4_FIXED0: return 0x2000;
    case MSR_IA32_VMX_CR0_FIXED1:
    case MSR_IA32_VMX_CR4_FIXED1: return ~0ull;
    default: fail_msg("MSR %#x is read", msr); return 0;
    }
}

static struct cpuid_regs fake_cpuid(u32 leaf, u32)
{
    assert_int_equal(leaf, 1);
    return (struct cpuid_regs){.ecx = machine.features};
}

bool msr_read_safe(u32 msr, u64 *value)
{
    assert_int_equal(msr, MSR_IA32_FEATURE_CONTROL);
    *value = machine.feature_control;
    return machine.feature_control != ~0ull;
}

bool msr_write_safe(u32 msr, u64 value)
{
    assert_int_equal(msr, MSR_IA32_FEATURE_CONTROL);
    machine.feature_control = value;
    return machine.locks;
}

bool apic_timer_present(void) { return machine.apic_timer; }

#define VMX        BIT(5)
#define HYPERVISOR BIT(31)
#define COMPLETE                                                                                \
    (struct machine)                                                                            \
    {                                                                                           \
        .features = VMX, .feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE, \
        .locks = true, .apic_timer = true                                                       \
    }

static struct vmx_caps caps;
static char text[4096];

/* Probe, with what is logged in `text`. */
static enum status probe(void)
{
    struct buf_sink out;

    buf_sink_init(&out, text, sizeof(text));
    log_attach(&out.sink, LOG_INFO);
    buf_sink_init(&out, text, sizeof(text)); /* without the lines kept from before */
    enum status s = caps_probe(&caps);
    log_detach(&out.sink);
    return s;
}

static void refused(const char *words)
{
    assert_int_equal(probe(), STATUS_ENOTSUP);
    if (!strstr(text, words))
        fail_msg("no \"%s\" in \"%s\"", words, text);
}

static void test_complete(void **)
{
    machine = COMPLETE;
    assert_int_equal(probe(), STATUS_OK);
    assert_string_equal(text, "");
    assert_true(caps.unrestricted && caps.preemption_timer);
}

static void test_feature_control(void **)
{
    machine = COMPLETE;
    machine.feature_control = FEATURE_CONTROL_LOCK;
    refused("VT-x is switched off in the firmware (IA32_FEATURE_CONTROL locked with VMX disabled)");
    assert_int_equal(machine.feature_control, FEATURE_CONTROL_LOCK); /* a write would fault */
    machine.feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_IN_SMX;
    refused("VT-x is switched off in the firmware");
    machine.feature_control = ~0ull;
    refused("IA32_FEATURE_CONTROL cannot be read");
    machine.feature_control = FEATURE_CONTROL_SENTER_ENABLES;
    machine.locks = false;
    refused("IA32_FEATURE_CONTROL refuses to enable VT-x");
    machine.locks = true;
    machine.feature_control = FEATURE_CONTROL_SENTER_ENABLES;
    assert_int_equal(probe(), STATUS_OK);
    assert_non_null(strstr(text, "left unlocked by the firmware: VT-x enabled and locked"));
    assert_int_equal(machine.feature_control, FEATURE_CONTROL_SENTER_ENABLES |
                                                  FEATURE_CONTROL_LOCK |
                                                  FEATURE_CONTROL_VMX_OUTSIDE);
}

/* Everything that is needed is missed by name, alone; without the rest it goes on. */
static void test_each_feature(void **)
{
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *f = &features[i];
        char words[160];

        if (f->set == CAP_PROC2 && BIT64(f->bit) == PROC2_EPT)
            continue;
        machine = COMPLETE;
        machine.lacks[f->set] = BIT64(f->bit);
        format_buf(words, sizeof(words), "MISSING: %s (%s bit %u), needed, and this CPU", f->name,
                   set_names[f->set], f->bit);
        if (f->set == CAP_PROC && BIT64(f->bit) == PROC_SECONDARY_CONTROLS)
            refused("MISSING: EPT");
        else if (f->need == NEED_MUST)
            refused(words);
        else
            assert_int_equal(probe(), STATUS_OK);
        machine.features |= HYPERVISOR;
        if (f->need == NEED_MUST)
            refused("the hypervisor below does not offer it");
    }
}

static void test_ept_and_vmx(void **)
{
    machine = COMPLETE;
    machine.lacks[CAP_PROC2] = PROC2_EPT;
    refused("MISSING: EPT, needed: this CPU has VT-x, but is older than Nehalem");
    machine.features |= HYPERVISOR;
    refused("MISSING: EPT, needed: the hypervisor below does not offer it");
    machine.features = HYPERVISOR;
    refused("this virtual CPU has no VT-x");
    machine.features = 0;
    refused("this CPU has no VT-x");
}

static void test_timers(void **)
{
    machine = COMPLETE;
    machine.features |= HYPERVISOR; /* which would emulate the preemption timer */
    assert_int_equal(probe(), STATUS_OK);
    assert_false(caps.preemption_timer);
    machine.apic_timer = false;
    assert_int_equal(probe(), STATUS_OK);
    assert_true(caps.preemption_timer);
    machine.lacks[CAP_PIN] = PIN_PREEMPTION_TIMER;
    refused(
        "MISSING: a timer, needed: the CPU has neither a VMX-preemption timer nor an APIC timer");
    machine.apic_timer = true;
    assert_int_equal(probe(), STATUS_OK);
    assert_false(caps.preemption_timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),     cmocka_unit_test(test_feature_control),
        cmocka_unit_test(test_each_feature), cmocka_unit_test(test_ept_and_vmx),
        cmocka_unit_test(test_timers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
