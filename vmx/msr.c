/* SPDX-License-Identifier: MIT
 *
 * The MSR policy: one table of ranges, each with what reading and writing it mean.
 */
#include "vmx/msr.h"

#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/trap.h"
#include "lib/string.h"
#include "vmx/cr.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

enum msr_kind {
    MSR_NATIVE,   /* the guest's own: no exit */
    MSR_READABLE, /* reading does not exit, writing does */
    MSR_POLICY    /* both exit */
};

struct msr_rule {
    u32 first, count;
    enum msr_kind kind;
    bool (*read)(struct vcpu *v, u32 msr, u64 *value);
    bool (*write)(struct vcpu *v, u32 msr, u64 value);
};

static bool read_zero(struct vcpu *, u32, u64 *value)
{
    *value = 0;
    return true;
}

static bool write_zero(struct vcpu *, u32, u64 value) { return value == 0; }

static bool write_refused(struct vcpu *, u32, u64) { return false; }

/* Reads of MSRs that do not exit come here only from the emulator. */
static bool read_host(struct vcpu *, u32 msr, u64 *value) { return msr_read_safe(msr, value); }

static bool write_host(struct vcpu *, u32 msr, u64 value) { return msr_write_safe(msr, value); }

static bool read_tsc(struct vcpu *v, u32, u64 *value)
{
    *value = rdtsc() + v->tsc_offset;
    return true;
}

static void move_tsc(struct vcpu *v, u64 delta)
{
    v->tsc_offset += delta;
    v->tsc_adjust += delta;
    vmwrite(VMCS_TSC_OFFSET, v->tsc_offset);
    v->vm->parts.intc.ops->set_tsc_offset(v->vm->parts.intc.ctx, v->index, v->tsc_offset);
}

static bool write_tsc(struct vcpu *v, u32, u64 value)
{
    move_tsc(v, value - (rdtsc() + v->tsc_offset));
    return true;
}

static bool read_tsc_adjust(struct vcpu *v, u32, u64 *value)
{
    *value = v->tsc_adjust;
    return true;
}

static bool write_tsc_adjust(struct vcpu *v, u32, u64 value)
{
    move_tsc(v, value - v->tsc_adjust);
    return true;
}

static bool read_efer(struct vcpu *v, u32, u64 *value)
{
    vcpu_load(v, STATE_EFER);
    *value = v->state.efer;
    return true;
}

static bool write_efer(struct vcpu *v, u32, u64 value) { return efer_write(v, value); }

/* Registers that live in the VMCS and are switched with it. */
static bool read_vmcs(struct vcpu *v, u32 msr, u64 *value)
{
    switch (msr) {
    case MSR_IA32_PAT: *value = vmread(VMCS_GUEST_PAT); return true;
    case MSR_IA32_DEBUGCTL: *value = vmread(VMCS_GUEST_DEBUGCTL); return true;
    case MSR_IA32_FS_BASE:
    case MSR_IA32_GS_BASE: {
        unsigned seg = msr == MSR_IA32_FS_BASE ? SEG_FS : SEG_GS;
        vcpu_load(v, STATE_SEG(seg));
        *value = v->state.seg[seg].base;
        return true;
    }
    default:
        vcpu_load(v, STATE_SYSENTER);
        *value = msr == MSR_IA32_SYSENTER_CS    ? v->state.sysenter_cs
                 : msr == MSR_IA32_SYSENTER_ESP ? v->state.sysenter_esp
                                                : v->state.sysenter_eip;
        return true;
    }
}

static bool is_canonical(u64 address) { return (u64)((s64)(address << 16) >> 16) == address; }

static bool is_pat(u64 value)
{
    for (unsigned i = 0; i < 64; i += 8) {
        u64 type = bits_get(value, i + 7, i);
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

static bool write_vmcs(struct vcpu *v, u32 msr, u64 value)
{
    switch (msr) {
    case MSR_IA32_PAT:
        if (!is_pat(value))
            return false;
        vmwrite(VMCS_GUEST_PAT, value);
        return true;
    case MSR_IA32_DEBUGCTL:
        /* Branch recording shows no records to a guest (CPUID names no format): only BTF. */
        if (value & ~DEBUGCTL_BTF)
            return false;
        vmwrite(VMCS_GUEST_DEBUGCTL, value);
        return true;
    case MSR_IA32_FS_BASE:
    case MSR_IA32_GS_BASE: {
        unsigned seg = msr == MSR_IA32_FS_BASE ? SEG_FS : SEG_GS;
        if (!is_canonical(value))
            return false;
        vcpu_load(v, STATE_SEG(seg));
        v->state.seg[seg].base = value;
        v->state.dirty |= STATE_SEG(seg);
        return true;
    }
    default:
        if (msr != MSR_IA32_SYSENTER_CS && !is_canonical(value))
            return false;
        vcpu_load(v, STATE_SYSENTER);
        *(msr == MSR_IA32_SYSENTER_CS    ? &v->state.sysenter_cs
          : msr == MSR_IA32_SYSENTER_ESP ? &v->state.sysenter_esp
                                         : &v->state.sysenter_eip) = value;
        v->state.dirty |= STATE_SYSENTER;
        return true;
    }
}

#define MISC_ENABLE_WRITABLE (MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_LIMIT_CPUID)

static bool read_misc_enable(struct vcpu *v, u32, u64 *value)
{
    *value = v->misc_enable;
    return true;
}

static bool write_misc_enable(struct vcpu *v, u32, u64 value)
{
    if ((value ^ v->misc_enable) & ~MISC_ENABLE_WRITABLE)
        return false;
    v->misc_enable = value;
    return true;
}

/* The host's microcode revision; CPUs and emulators without the register have revision 0. */
static bool read_microcode(struct vcpu *, u32 msr, u64 *value)
{
    if (!msr_read_safe(msr, value))
        *value = 0;
    return true;
}

static bool read_mcg_status(struct vcpu *v, u32, u64 *value)
{
    *value = v->mcg_status;
    return true;
}

static bool write_mcg_status(struct vcpu *v, u32, u64 value)
{
    if (value)
        return false;
    v->mcg_status = 0;
    return true;
}

static bool read_mtrr_cap(struct vcpu *, u32, u64 *value)
{
    *value = MTRR_VARIABLE | MTRRCAP_FIX | MTRRCAP_WC;
    return true;
}

/* Where an MTRR of the guest is kept, or NULL. */
static u64 *mtrr_at(struct vm *vm, u32 msr)
{
    if (msr == MSR_IA32_MTRR_DEF_TYPE)
        return &vm->mtrr_default;
    if (msr >= MSR_IA32_MTRR_PHYSBASE0 && msr < MSR_IA32_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE)
        return &vm->mtrr_variable[msr - MSR_IA32_MTRR_PHYSBASE0];
    if (msr == MSR_IA32_MTRR_FIX64K_00000)
        return &vm->mtrr_fixed[0];
    if (msr == MSR_IA32_MTRR_FIX16K_80000 || msr == MSR_IA32_MTRR_FIX16K_A0000)
        return &vm->mtrr_fixed[1 + msr - MSR_IA32_MTRR_FIX16K_80000];
    if (msr >= MSR_IA32_MTRR_FIX4K_C0000 && msr < MSR_IA32_MTRR_FIX4K_C0000 + 8)
        return &vm->mtrr_fixed[3 + msr - MSR_IA32_MTRR_FIX4K_C0000];
    return NULL;
}

static bool read_mtrr(struct vcpu *v, u32 msr, u64 *value)
{
    const u64 *at = mtrr_at(v->vm, msr);
    if (at)
        *value = *at;
    return at != NULL;
}

static bool is_memory_type(u64 type) { return type <= 6 && type != 2 && type != 3; }

/* Kept and read back; they do not act: EPT takes its memory types from the host. */
static bool write_mtrr(struct vcpu *v, u32 msr, u64 value)
{
    u64 *at = mtrr_at(v->vm, msr);
    u64 address = ((1ull << v->vm->cpuid.phys_bits) - 1) & ~PAGE_MASK;
    bool good = at != NULL;

    if (msr == MSR_IA32_MTRR_DEF_TYPE) {
        good = is_memory_type(value & 0xff) && !(value & ~0xcffull);
    } else if (msr < MSR_IA32_MTRR_FIX64K_00000) {
        good = msr & 1 ? !(value & ~(address | BIT64(11)))
                       : is_memory_type(value & 0xff) && !(value & ~(address | 0xff));
    } else {
        for (unsigned i = 0; i < 64; i += 8)
            good = good && is_memory_type(bits_get(value, i + 7, i));
    }
    if (good && at)
        *at = value;
    return good;
}

static bool read_xss(struct vcpu *v, u32, u64 *value)
{
    *value = 0;
    return caps_has(v->vm->caps, CAP_PROC2, PROC2_XSAVES);
}

static bool write_xss(struct vcpu *v, u32, u64 value)
{
    return caps_has(v->vm->caps, CAP_PROC2, PROC2_XSAVES) && value == 0;
}

static const struct msr_rule rules[] = {
    {MSR_IA32_TSC, 1, MSR_READABLE, read_tsc, write_tsc},
    {MSR_IA32_PLATFORM_ID, 1, MSR_POLICY, read_zero, write_refused},
    {MSR_IA32_TSC_ADJUST, 1, MSR_POLICY, read_tsc_adjust, write_tsc_adjust},
    {MSR_IA32_BIOS_SIGN_ID, 1, MSR_POLICY, read_microcode, write_zero},
    {MSR_IA32_MTRRCAP, 1, MSR_POLICY, read_mtrr_cap, write_refused},
    {MSR_IA32_SYSENTER_CS, 3, MSR_NATIVE, read_vmcs, write_vmcs},
    {MSR_IA32_MCG_CAP, 1, MSR_POLICY, read_zero, write_refused},
    {MSR_IA32_MCG_STATUS, 1, MSR_POLICY, read_mcg_status, write_mcg_status},
    {MSR_IA32_MISC_ENABLE, 1, MSR_POLICY, read_misc_enable, write_misc_enable},
    {MSR_IA32_DEBUGCTL, 1, MSR_POLICY, read_vmcs, write_vmcs},
    {MSR_IA32_MTRR_PHYSBASE0, 2 * MTRR_VARIABLE, MSR_POLICY, read_mtrr, write_mtrr},
    {MSR_IA32_MTRR_FIX64K_00000, 1, MSR_POLICY, read_mtrr, write_mtrr},
    {MSR_IA32_MTRR_FIX16K_80000, 2, MSR_POLICY, read_mtrr, write_mtrr},
    {MSR_IA32_MTRR_FIX4K_C0000, 8, MSR_POLICY, read_mtrr, write_mtrr},
    {MSR_IA32_PAT, 1, MSR_READABLE, read_vmcs, write_vmcs},
    {MSR_IA32_MTRR_DEF_TYPE, 1, MSR_POLICY, read_mtrr, write_mtrr},
    {MSR_IA32_XSS, 1, MSR_POLICY, read_xss, write_xss},
    {MSR_IA32_EFER, 1, MSR_READABLE, read_efer, write_efer},
    {MSR_IA32_STAR, 4, MSR_NATIVE, read_host, write_host},
    {MSR_IA32_FS_BASE, 2, MSR_NATIVE, read_vmcs, write_vmcs},
    {MSR_IA32_KERNEL_GS_BASE, 1, MSR_NATIVE, read_host, write_host},
    {MSR_IA32_TSC_AUX, 1, MSR_NATIVE, read_host, write_host},
};

/* TSC_AUX exists with RDTSCP, which is shown only when the CPU can run it in a guest. */
static bool is_present(const struct vm *vm, u32 msr)
{
    return msr != MSR_IA32_TSC_AUX || (vm->cpuid.features & BIT64(EMU_HAS_RDTSCP));
}

/* Where an MSR's rule number is kept in vm->msr_rule; past the end: it has none. */
static u32 rule_slot(u32 msr)
{
    return msr < MSR_RULES_LOW ? msr : msr - 0xc0000000u + MSR_RULES_LOW;
}

static const struct msr_rule *find_rule(const struct vm *vm, u32 msr)
{
    u32 slot = rule_slot(msr);
    unsigned number = slot < sizeof(vm->msr_rule) ? vm->msr_rule[slot] : 0;
    return number ? &rules[number - 1] : NULL;
}

/* Four bitmaps of 1 KiB: read low, read high, write low, write high; a set bit exits. */
static void bitmap_open(u8 *bitmap, u32 msr, bool write)
{
    u32 base = (write ? 2048u : 0u) + (msr >= 0xc0000000u ? 1024u : 0u);
    u32 bit = msr & 0x1fff;
    bitmap[base + bit / 8] = (u8)(bitmap[base + bit / 8] & ~BIT(bit % 8));
}

void msr_init(struct vm *vm)
{
    memset(vm->msr_bitmap, 0xff, PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
        const struct msr_rule *r = &rules[i];
        for (u32 msr = r->first; msr < r->first + r->count; msr++) {
            if (!is_present(vm, msr))
                continue;
            vm->msr_rule[rule_slot(msr)] = (u8)(i + 1);
            if (r->kind == MSR_POLICY)
                continue;
            bitmap_open(vm->msr_bitmap, msr, false);
            if (r->kind == MSR_NATIVE)
                bitmap_open(vm->msr_bitmap, msr, true);
        }
    }
}

static bool denied(struct vcpu *v, u32 msr)
{
    v->vm->msr_denied++;
    v->vm->msr_denied_last = msr;
    return false;
}

bool msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    const struct msr_rule *r = find_rule(v->vm, msr);

    if (r)
        return r->read(v, msr, value);
    return bus_msr_read(v->vm->parts.bus, v->index, msr, value) || denied(v, msr);
}

bool msr_write(struct vcpu *v, u32 msr, u64 value)
{
    const struct msr_rule *r = find_rule(v->vm, msr);

    if (r)
        return r->write(v, msr, value);
    return bus_msr_write(v->vm->parts.bus, v->index, msr, value) || denied(v, msr);
}
