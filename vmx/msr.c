/* SPDX-License-Identifier: MIT
 *
 * The MSR policy: one table of ranges, each with what reading and writing it mean.
 */
#include "vmx/msr.h"

#include "arch/x86/cpu.h"
#include "arch/x86/trap.h"
#include "lib/msr.h"
#include "lib/string.h"
#include "vmx/cr.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

enum msr_kind {
    MSR_NATIVE,   /* the guest's own: no exit */
    MSR_READABLE, /* reading does not exit, writing does */
    MSR_POLICY    /* both exit */
};

/* Where a value is kept. */
enum msr_home { HOME_FIXED, HOME_VCPU, HOME_VM, HOME_VMCS };

struct msr_rule {
    u32 first, count;
    enum msr_kind kind;
    enum msr_home home;
    u32 at;    /* fixed: the value; else the offset of the first one, or a VMCS field's encoding */
    u32 group; /* of the vCPU's state, to be loaded before */
    bool (*allows)(const struct vcpu *v, u32 msr, u64 value); /* else: #GP */
    /* In place of all that. */
    bool (*read)(struct vcpu *v, u32 msr, u64 *value);
    bool (*write)(struct vcpu *v, u32 msr, u64 value);
};

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

static bool write_tsc_adjust(struct vcpu *v, u32, u64 value)
{
    move_tsc(v, value - v->tsc_adjust);
    return true;
}

static bool write_efer(struct vcpu *v, u32, u64 value) { return efer_write(v, value); }

/* The host's microcode revision; CPUs and emulators without the register have revision 0. */
static bool read_microcode(struct vcpu *, u32 msr, u64 *value)
{
    if (!msr_read_safe(msr, value))
        *value = 0;
    return true;
}

static bool nothing(const struct vcpu *, u32, u64) { return false; }

static bool anything(const struct vcpu *, u32, u64) { return true; }

static bool zero(const struct vcpu *, u32, u64 value) { return value == 0; }

static bool canonical(const struct vcpu *, u32, u64 value) { return is_canonical(value); }

/* Branch recording shows no records to a guest (CPUID names no format): only BTF. */
static bool debugctl(const struct vcpu *, u32, u64 value) { return !(value & ~DEBUGCTL_BTF); }

static bool misc_enable(const struct vcpu *v, u32, u64 value)
{
    return !((value ^ v->misc_enable) & ~(MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_LIMIT_CPUID));
}

/* Eight memory types, SDM vol. 3A, tables 11-2 and 11-10: none above `most`, and 2 and 3 are none.
 */
static bool are_types(u64 value, u64 most)
{
    for (unsigned i = 0; i < 8; i++, value >>= 8)
        if ((value & 0xff) > most || (value & 0xfe) == 2)
            return false;
    return true;
}

static bool pat(const struct vcpu *, u32, u64 value) { return are_types(value, 7); }

static bool mtrr_fixed(const struct vcpu *, u32, u64 value) { return are_types(value, 6); }

static bool mtrr_default(const struct vcpu *, u32, u64 value)
{
    return are_types(value & 0xff, 6) && !(value & ~0xcfful);
}

static bool mtrr_variable(const struct vcpu *v, u32 msr, u64 value)
{
    u64 address = ((1ul << v->vm->cpuid.phys_bits) - 1) & ~PAGE_MASK;

    return msr & 1 ? !(value & ~(address | MTRR_PHYSMASK_VALID))
                   : are_types(value & 0xff, 6) && !(value & ~(address | 0xff));
}

enum {
#define F(width, name, enc, area) FIELD_##name = (enc),
#include "vmx/vmcs.def"
#undef F
};

#define FIXED(value, may) .at = (value), .allows = (may)
#define VCPU(member, loaded, may) \
    .home = HOME_VCPU, .at = offsetof(struct vcpu, member), .group = (loaded), .allows = (may)
#define VM(member, may)   .home = HOME_VM, .at = offsetof(struct vm, member), .allows = (may)
#define VMCS(field, may)  .home = HOME_VMCS, .at = FIELD_##field, .allows = (may)
#define BY(reads, writes) .read = (reads), .write = (writes)

/* MTRRs are kept and read back; they do not act: EPT takes its memory types from the host. */
static const struct msr_rule rules[] = {
    {MSR_IA32_TSC, 1, MSR_READABLE, BY(read_tsc, write_tsc)},
    {MSR_IA32_PLATFORM_ID, 1, MSR_POLICY, FIXED(0, nothing)},
    {MSR_IA32_TSC_ADJUST, 1, MSR_POLICY, VCPU(tsc_adjust, 0, anything), .write = write_tsc_adjust},
    {MSR_IA32_BIOS_SIGN_ID, 1, MSR_POLICY, FIXED(0, zero), .read = read_microcode},
    {MSR_IA32_MTRRCAP, 1, MSR_POLICY, FIXED(MTRR_VARIABLE | MTRRCAP_FIX | MTRRCAP_WC, nothing)},
    {MSR_IA32_SYSENTER_CS, 1, MSR_NATIVE, VCPU(state.sysenter_cs, STATE_SYSENTER, anything)},
    {MSR_IA32_SYSENTER_ESP, 2, MSR_NATIVE, VCPU(state.sysenter_esp, STATE_SYSENTER, canonical)},
    {MSR_IA32_MCG_CAP, 1, MSR_POLICY, FIXED(0, nothing)},
    {MSR_IA32_MCG_STATUS, 1, MSR_POLICY, VCPU(mcg_status, 0, zero)},
    {MSR_IA32_MISC_ENABLE, 1, MSR_POLICY, VCPU(misc_enable, 0, misc_enable)},
    {MSR_IA32_DEBUGCTL, 1, MSR_POLICY, VMCS(GUEST_DEBUGCTL, debugctl)},
    {MSR_IA32_MTRR_PHYSBASE0, 2 * MTRR_VARIABLE, MSR_POLICY, VM(mtrr_variable, mtrr_variable)},
    {MSR_IA32_MTRR_FIX64K_00000, 1, MSR_POLICY, VM(mtrr_fixed[0], mtrr_fixed)},
    {MSR_IA32_MTRR_FIX16K_80000, 2, MSR_POLICY, VM(mtrr_fixed[1], mtrr_fixed)},
    {MSR_IA32_MTRR_FIX4K_C0000, 8, MSR_POLICY, VM(mtrr_fixed[3], mtrr_fixed)},
    {MSR_IA32_PAT, 1, MSR_READABLE, VMCS(GUEST_PAT, pat)},
    {MSR_IA32_MTRR_DEF_TYPE, 1, MSR_POLICY, VM(mtrr_default, mtrr_default)},
    {MSR_IA32_XSS, 1, MSR_POLICY, FIXED(0, zero)},
    {MSR_IA32_EFER, 1, MSR_READABLE, VCPU(state.efer, STATE_EFER, anything), .write = write_efer},
    {MSR_IA32_STAR, 4, MSR_NATIVE, BY(read_host, write_host)},
    {MSR_IA32_FS_BASE, 1, MSR_NATIVE, VCPU(state.seg[SEG_FS].base, STATE_SEG(SEG_FS), canonical)},
    {MSR_IA32_GS_BASE, 1, MSR_NATIVE, VCPU(state.seg[SEG_GS].base, STATE_SEG(SEG_GS), canonical)},
    {MSR_IA32_KERNEL_GS_BASE, 1, MSR_NATIVE, BY(read_host, write_host)},
    {MSR_IA32_TSC_AUX, 1, MSR_NATIVE, BY(read_host, write_host)},
};

static u64 *kept_at(struct vcpu *v, const struct msr_rule *r, u32 msr)
{
    u8 *base = r->home == HOME_VCPU ? (u8 *)v : (u8 *)v->vm;

    vcpu_load(v, r->group);
    return (u64 *)(void *)(base + r->at) + (msr - r->first);
}

static bool rule_read(struct vcpu *v, const struct msr_rule *r, u32 msr, u64 *value)
{
    if (r->read)
        return r->read(v, msr, value);
    *value = r->home == HOME_FIXED  ? r->at
             : r->home == HOME_VMCS ? vmcs_read_raw(r->at)
                                    : *kept_at(v, r, msr);
    return true;
}

static bool rule_write(struct vcpu *v, const struct msr_rule *r, u32 msr, u64 value)
{
    if (r->write)
        return r->write(v, msr, value);
    if (!r->allows(v, msr, value))
        return false;
    if (r->home == HOME_VMCS)
        vmcs_write_raw(r->at, value);
    else if (r->home != HOME_FIXED)
        *kept_at(v, r, msr) = value;
    v->state.dirty |= r->group;
    return true;
}

/* TSC_AUX exists with RDTSCP, which is shown only when the CPU can run it in a guest; XSS likewise.
 */
static bool is_present(const struct vm *vm, u32 msr)
{
    if (msr == MSR_IA32_XSS)
        return caps_has(vm->caps, CAP_PROC2, PROC2_XSAVES);
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
        return rule_read(v, r, msr, value);
    return bus_msr_read(v->vm->parts.bus, v->index, msr, value) || denied(v, msr);
}

bool msr_write(struct vcpu *v, u32 msr, u64 value)
{
    const struct msr_rule *r = find_rule(v->vm, msr);

    if (r)
        return rule_write(v, r, msr, value);
    return bus_msr_write(v->vm->parts.bus, v->index, msr, value) || denied(v, msr);
}
