/* SPDX-License-Identifier: MIT
 *
 * Model-specific registers, numbers and bits: SDM vol. 4, section 2.1 (architectural MSRs), and
 * vol. 3D, appendix A for the VMX capability MSRs.
 */
#ifndef ARCH_X86_MSR_H
#define ARCH_X86_MSR_H

#include "lib/bits.h"

#define MSR_IA32_P5_MC_ADDR          0x000u
#define MSR_IA32_P5_MC_TYPE          0x001u
#define MSR_IA32_MONITOR_FILTER_SIZE 0x006u
#define MSR_IA32_TSC                 0x010u
#define MSR_IA32_PLATFORM_ID         0x017u
#define MSR_IA32_APIC_BASE           0x01bu
#define MSR_IA32_FEATURE_CONTROL     0x03au
#define MSR_IA32_TSC_ADJUST          0x03bu
#define MSR_IA32_SPEC_CTRL           0x048u
#define MSR_IA32_PRED_CMD            0x049u
#define MSR_IA32_BIOS_UPDT_TRIG      0x079u
#define MSR_IA32_BIOS_SIGN_ID        0x08bu
#define MSR_IA32_SMM_MONITOR_CTL     0x09bu
#define MSR_IA32_SMBASE              0x09eu
#define MSR_IA32_PMC0                0x0c1u
#define MSR_PLATFORM_INFO            0x0ceu
#define MSR_IA32_MPERF               0x0e7u
#define MSR_IA32_APERF               0x0e8u
#define MSR_IA32_MTRRCAP             0x0feu
#define MSR_IA32_ARCH_CAPABILITIES   0x10au
#define MSR_IA32_FLUSH_CMD           0x10bu
#define MSR_IA32_SYSENTER_CS         0x174u
#define MSR_IA32_SYSENTER_ESP        0x175u
#define MSR_IA32_SYSENTER_EIP        0x176u
#define MSR_IA32_MCG_CAP             0x179u
#define MSR_IA32_MCG_STATUS          0x17au
#define MSR_IA32_MCG_CTL             0x17bu
#define MSR_IA32_PERFEVTSEL0         0x186u
#define MSR_IA32_PERF_STATUS         0x198u
#define MSR_IA32_PERF_CTL            0x199u
#define MSR_IA32_CLOCK_MODULATION    0x19au
#define MSR_IA32_THERM_INTERRUPT     0x19bu
#define MSR_IA32_THERM_STATUS        0x19cu
#define MSR_IA32_MISC_ENABLE         0x1a0u
#define MSR_IA32_ENERGY_PERF_BIAS    0x1b0u
#define MSR_IA32_DEBUGCTL            0x1d9u
#define MSR_LASTBRANCHFROMIP         0x1dbu
#define MSR_IA32_SMRR_PHYSBASE       0x1f2u
#define MSR_IA32_SMRR_PHYSMASK       0x1f3u
#define MSR_IA32_MTRR_PHYSBASE0      0x200u /* + 2 * n */
#define MSR_IA32_MTRR_PHYSMASK0      0x201u
#define MSR_IA32_MTRR_FIX64K_00000   0x250u
#define MSR_IA32_MTRR_FIX16K_80000   0x258u
#define MSR_IA32_MTRR_FIX16K_A0000   0x259u
#define MSR_IA32_MTRR_FIX4K_C0000    0x268u /* ... to 26fH, 32 KiB each */
#define MSR_IA32_PAT                 0x277u
#define MSR_IA32_MTRR_DEF_TYPE       0x2ffu
#define MSR_IA32_FIXED_CTR0          0x309u
#define MSR_IA32_PERF_CAPABILITIES   0x345u
#define MSR_IA32_FIXED_CTR_CTRL      0x38du
#define MSR_IA32_PERF_GLOBAL_STATUS  0x38eu
#define MSR_IA32_PERF_GLOBAL_CTRL    0x38fu
#define MSR_IA32_MC0_CTL             0x400u /* + 4 * bank: CTL, STATUS, ADDR, MISC */
#define MSR_IA32_MC0_STATUS          0x401u
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
#define MSR_IA32_VMX_VMCS_ENUM       0x48au
#define MSR_IA32_VMX_PROCBASED_CTLS2 0x48bu
#define MSR_IA32_VMX_EPT_VPID_CAP    0x48cu
#define MSR_IA32_VMX_TRUE_PINBASED   0x48du
#define MSR_IA32_VMX_TRUE_PROCBASED  0x48eu
#define MSR_IA32_VMX_TRUE_EXIT       0x48fu
#define MSR_IA32_VMX_TRUE_ENTRY      0x490u
#define MSR_IA32_VMX_VMFUNC          0x491u
#define MSR_IA32_VMX_PROCBASED_CTLS3 0x492u
#define MSR_IA32_VMX_EXIT_CTLS2      0x493u
#define MSR_IA32_DS_AREA             0x600u
#define MSR_IA32_TSC_DEADLINE        0x6e0u
#define MSR_IA32_X2APIC_FIRST        0x800u /* register at MMIO offset 16 * n is 800H + n */
#define MSR_IA32_X2APIC_LAST         0x8ffu
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
#define APIC_BASE_BSP    BIT64(8)
#define APIC_BASE_X2APIC BIT64(10)
#define APIC_BASE_ENABLE BIT64(11)

/* IA32_FEATURE_CONTROL, SDM vol. 3C, section 23.7. */
#define FEATURE_CONTROL_LOCK           BIT64(0)
#define FEATURE_CONTROL_VMX_IN_SMX     BIT64(1)
#define FEATURE_CONTROL_VMX_OUTSIDE    BIT64(2)
#define FEATURE_CONTROL_SENTER_ENABLES 0xff00ull

/* IA32_MISC_ENABLE, SDM vol. 4, table 2-2. */
#define MISC_ENABLE_FAST_STRINGS     BIT64(0)
#define MISC_ENABLE_TCC              BIT64(3)
#define MISC_ENABLE_BTS_UNAVAILABLE  BIT64(11)
#define MISC_ENABLE_PEBS_UNAVAILABLE BIT64(12)
#define MISC_ENABLE_MONITOR          BIT64(18)
#define MISC_ENABLE_LIMIT_CPUID      BIT64(22)
#define MISC_ENABLE_XD_DISABLE       BIT64(34)

/* IA32_DEBUGCTL, SDM vol. 3B, section 17.4.1. */
#define DEBUGCTL_LBR BIT64(0)
#define DEBUGCTL_BTF BIT64(1)

/* IA32_MTRRCAP and IA32_MTRR_DEF_TYPE, SDM vol. 3A, section 11.11. */
#define MTRRCAP_VCNT_MASK        0xffull
#define MTRRCAP_FIX              BIT64(8)
#define MTRRCAP_WC               BIT64(10)
#define MTRR_DEF_TYPE_MASK       0xffull
#define MTRR_DEF_TYPE_FIX_ENABLE BIT64(10)
#define MTRR_DEF_TYPE_ENABLE     BIT64(11)
#define MTRR_PHYSMASK_VALID      BIT64(11)

/* VMX capability MSRs, SDM vol. 3D, appendix A. */
#define VMX_BASIC_REVISION_MASK   0x7fffffffull
#define VMX_BASIC_SIZE(v)         bits_get((v), 44, 32)
#define VMX_BASIC_32BIT_ADDRESSES BIT64(48)
#define VMX_BASIC_DUAL_MONITOR    BIT64(49)
#define VMX_BASIC_MEMORY_TYPE(v)  bits_get((v), 53, 50)
#define VMX_BASIC_INS_OUTS_INFO   BIT64(54)
#define VMX_BASIC_TRUE_CONTROLS   BIT64(55)

#define VMX_MISC_PREEMPTION_RATE(v) bits_get((v), 4, 0) /* one count per 2^n TSC ticks */
#define VMX_MISC_STORE_LMA          BIT64(5)
#define VMX_MISC_ACTIVITY_HLT       BIT64(6)
#define VMX_MISC_ACTIVITY_SHUTDOWN  BIT64(7)
#define VMX_MISC_ACTIVITY_WAIT_SIPI BIT64(8)
#define VMX_MISC_CR3_TARGETS(v)     bits_get((v), 24, 16)
#define VMX_MISC_MSR_LIST_MAX(v)    bits_get((v), 27, 25) /* 512 * (n + 1) */
#define VMX_MISC_VMWRITE_ALL        BIT64(29)
#define VMX_MISC_ZERO_LENGTH_INJECT BIT64(30)

#define VMX_EPT_EXECUTE_ONLY      BIT64(0)
#define VMX_EPT_WALK_LENGTH_4     BIT64(6)
#define VMX_EPT_MEMORY_TYPE_UC    BIT64(8)
#define VMX_EPT_MEMORY_TYPE_WB    BIT64(14)
#define VMX_EPT_PAGE_2M           BIT64(16)
#define VMX_EPT_PAGE_1G           BIT64(17)
#define VMX_EPT_INVEPT            BIT64(20)
#define VMX_EPT_ACCESSED_DIRTY    BIT64(21)
#define VMX_EPT_EXIT_INFO         BIT64(22)
#define VMX_EPT_INVEPT_SINGLE     BIT64(25)
#define VMX_EPT_INVEPT_ALL        BIT64(26)
#define VMX_VPID_INVVPID          BIT64(32)
#define VMX_VPID_INVVPID_ADDRESS  BIT64(40)
#define VMX_VPID_INVVPID_SINGLE   BIT64(41)
#define VMX_VPID_INVVPID_ALL      BIT64(42)
#define VMX_VPID_INVVPID_SINGLE_G BIT64(43)

#endif
