/* SPDX-License-Identifier: MIT
 *
 * What this CPU's VT-x can do, by name: probed once at boot, printed as a table, and consulted for
 * every control bit that is set later.
 */
#pragma once

#include "lib/bits.h"
#include "lib/format.h"
#include "lib/status.h"

enum cap_set {
    CAP_PIN,
    CAP_PROC,
    CAP_PROC2,
    CAP_EXIT,
    CAP_ENTRY,
    CAP_EPT,
    CAP_MISC,
    CAP_SET_COUNT
};

/* PROC_HLT_EXITING and so on: the bit's mask in its own set. */
#define C(set, bit, name, text, need, other, flag) set##_##name = 1ull << (bit),
enum control_bit_mask {
    CONTROL_BITS_NONE = 0,
#include "vmx/controls.def"
};
#undef C

struct vmx_caps {
    u32 revision;            /* VMCS revision identifier, bits 30:0 of IA32_VMX_BASIC */
    u32 vmcs_size;           /* bytes */
    u64 bits[CAP_SET_COUNT]; /* for control sets: the bits that may be 1 */
    u32 must[CAP_EPT];       /* for control sets: the bits that must be 1 */
    u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    u8 preemption_shift;   /* the preemption timer counts TSC >> shift */
    bool preemption_timer; /* in use; else the host's APIC timer */
    bool unrestricted;     /* in use: present, and not switched off by option */
};

/*
 * Probe this CPU, unlocking IA32_FEATURE_CONTROL where the firmware left that open.  On failure
 * (STATUS_ENOTSUP) the log says what is missing and what to do about it.
 */
CHECKED enum status caps_probe(struct vmx_caps *caps);

/* Two CPUs with the same VT-x: one VMCS fits both. */
bool caps_equal(const struct vmx_caps *a, const struct vmx_caps *b);

static inline bool caps_has(const struct vmx_caps *caps, enum cap_set set, u64 mask)
{
    return (caps->bits[set] & mask) == mask;
}

/*
 * The value of a control field: `must` and `want` switched on as far as this CPU allows, plus what
 * it insists on.  STATUS_ENOTSUP when a bit of `must` is refused; each is named in the log.
 */
CHECKED enum status caps_control(const struct vmx_caps *caps, enum cap_set set, u32 must, u32 want,
                                 u32 *value);

/* The table of features: name, present or absent, what is used instead, what to do. */
void caps_show(const struct vmx_caps *caps, struct sink *out);
