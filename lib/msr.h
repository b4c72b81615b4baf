/* SPDX-License-Identifier: MIT
 *
 * Model-specific registers, numbers and bits: SDM vol. 4, section 2.1 (architectural MSRs).
 */
#pragma once

#include "lib/bits.h"

#define MSR_IA32_TSC                 0x010u
#define MSR_IA32_PLATFORM_ID         0x017u
#define MSR_IA32_APIC_BASE           0x01bu
#define MSR_IA32_FEATURE_CONTROL     0x03au
#define MSR_IA32_TSC_ADJUST          0x03bu
#define MSR_IA32_BIOS_SIGN_ID        0x08bu
#define MSR_IA32_MTRRCAP             0x0feu
#define MSR_IA32_SYSENTER_CS         0x174u
#define MSR_IA32_SYSENTER_ESP        0x175u
#define MSR_IA32_MCG_CAP             0x179u
#define MSR_IA32_MCG_STATUS          0x17au
#define MSR_IA32_MISC_ENABLE         0x1a0u
#define MSR_IA32_DEBUGCTL            0x1d9u
#define MSR_IA32_MTRR_PHYSBASE0      0x200u /* + 2 * n */
#define MSR_IA32_MTRR_PHYSMASK0      0x201u
#define MSR_IA32_MTRR_FIX64K_00000   0x250u
#define MSR_IA32_MTRR_FIX16K_80000   0x258u
#define MSR_IA32_MTRR_FIX16K_A0000   0x259u
#define MSR_IA32_MTRR_FIX4K_C0000    0x268u /* ... to 26fH, 32 KiB each */
#define MSR_IA32_PAT                 0x277u
#define MSR_IA32_MTRR_DEF_TYPE       0x2ffu
#define MSR_IA32_VMX_BASIC           0x480u
#define MSR_IA32_VMX_PINBASED_CTLS   0x481u
#define MSR_IA32_VMX_PROCBASED_CTLS  0x482u
#define MSR_IA32_VMX_EXIT_CTLS       0x483u
#define MSR_IA32_VMX_ENTRY_CTLS      0x484u
#define MSR_IA32_VMX_MISC            0x485u
#define MSR_IA32_VMX_CR0_FIXED0      0x486u
#define MSR_IA32_VMX_CR0_FIXED1      0x487u
#define MSR_IA32_VMX_CR4_FIXED0      0x488u
#define MSR_IA32_VMX_CR4_FIXED1      0x489u
#define MSR_IA32_VMX_PROCBASED_CTLS2 0x48bu
#define MSR_IA32_VMX_EPT_VPID_CAP    0x48cu
#define MSR_IA32_VMX_TRUE_PINBASED   0x48du
#define MSR_IA32_VMX_TRUE_PROCBASED  0x48eu
#define MSR_IA32_VMX_TRUE_EXIT       0x48fu
#define MSR_IA32_VMX_TRUE_ENTRY      0x490u
#define MSR_IA32_TSC_DEADLINE        0x6e0u
#define MSR_IA32_X2APIC_FIRST        0x800u /* register at MMIO offset 16 * n is 800H + n */
#define MSR_IA32_XSS                 0xda0u
#define MSR_IA32_EFER                0xc0000080u
#define MSR_IA32_STAR                0xc0000081u
#define MSR_IA32_LSTAR               0xc0000082u
#define MSR_IA32_CSTAR               0xc0000083u
#define MSR_IA32_FMASK               0xc0000084u
#define MSR_IA32_FS_BASE             0xc0000100u
#define MSR_IA32_GS_BASE             0xc0000101u
#define MSR_IA32_KERNEL_GS_BASE      0xc0000102u
#define MSR_IA32_TSC_AUX             0xc0000103u

/* IA32_APIC_BASE, SDM vol. 3A, section 10.4.4. */
#define APIC_BASE_X2APIC BIT64(10)
#define APIC_BASE_ENABLE BIT64(11)

/* IA32_FEATURE_CONTROL, SDM vol. 3C, section 23.7. */
#define FEATURE_CONTROL_LOCK        BIT64(0)
#define FEATURE_CONTROL_VMX_OUTSIDE BIT64(2)

/* IA32_MISC_ENABLE, SDM vol. 4, table 2-2. */
#define MISC_ENABLE_FAST_STRINGS     BIT64(0)
#define MISC_ENABLE_BTS_UNAVAILABLE  BIT64(11)
#define MISC_ENABLE_PEBS_UNAVAILABLE BIT64(12)
#define MISC_ENABLE_LIMIT_CPUID      BIT64(22)
#define MISC_ENABLE_XD_DISABLE       BIT64(34)

/* IA32_DEBUGCTL, SDM vol. 3B, section 17.4.1. */
#define DEBUGCTL_BTF BIT64(1)

/* IA32_MTRRCAP and IA32_MTRR_DEF_TYPE, SDM vol. 3A, section 11.11. */
#define MTRRCAP_VCNT_MASK        0xffull
#define MTRRCAP_FIX              BIT64(8)
#define MTRRCAP_WC               BIT64(10)
#define MTRR_DEF_TYPE_MASK       0xffull
#define MTRR_DEF_TYPE_FIX_ENABLE BIT64(10)
#define MTRR_DEF_TYPE_ENABLE     BIT64(11)
#define MTRR_PHYSMASK_VALID      BIT64(11)

#define VMX_BASIC_TRUE_CONTROLS BIT64(55) /* IA32_VMX_BASIC, SDM vol. 3D, appendix A */
