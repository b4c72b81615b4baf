/* SPDX-License-Identifier: MIT
 *
 * What CPUID tells a guest: an allow-list over what the host has, computed once per VM, so that a
 * bit nobody thought of is never shown.
 */
#pragma once

#include "lib/types.h"

struct vmx_caps;

#define CPUID_MAX_ENTRIES 48

struct cpuid_entry {
    u32 leaf;
    u8 subleaves; /* how many entries from this one on are for it; 1: ECX does not matter */
    bool dynamic; /* some bits depend on the vCPU's present state */
    bool special; /* either of these: reg alone is not the answer */
    u32 reg[4];   /* EAX, EBX, ECX, EDX */
};

struct cpuid_policy {
    struct cpuid_entry entry[CPUID_MAX_ENTRIES]; /* [0]: all zero, for leaves that do not exist */
    unsigned count;
    u8 first[4][32]; /* by leaf bits 31:30 and 4:0: the entry of subleaf 0 */
    u64 features;    /* for the emulator: BIT64(EMU_HAS_*) */
    u64 cr4_allowed; /* CR4 bits a guest may set */
    u64 xcr0_allowed;
    u64 efer_allowed;
    u8 phys_bits;
    unsigned vcpus;
};

/* emulates_ud: also announce what the emulator has where the CPU says #UD. */
void cpuid_policy_init(struct cpuid_policy *p, const struct vmx_caps *caps, u64 tsc_hz,
                       unsigned vcpus, bool emulates_ud);

/* The entry of a leaf; unless it is special, its reg is the answer. */
static inline const struct cpuid_entry *cpuid_find(const struct cpuid_policy *p, u32 leaf)
{
    if (likely(!(leaf & 0x3fffffe0)))
        return p->entry + p->first[leaf >> 30][leaf & 31];
    return p->entry + p->first[0][31]; /* as for any leaf past the last one */
}

/* The whole answer for a virtual CPU in its present state (whose XCR0 the CPU has). */
struct vcpu;
void cpuid_answer(struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4]);
