/* SPDX-License-Identifier: MIT
 *
 * Bits of the architectural registers, and the exceptions: the same for the CPU that the hypervisor
 * runs on and for the one that a guest sees.  MSRs are in lib/msr.h.
 */
#pragma once

#include "lib/bits.h"

/* RFLAGS, SDM vol. 1, figure 3-8. */
#define RFLAGS_CF    BIT(0)
#define RFLAGS_FIXED BIT(1)
#define RFLAGS_PF    BIT(2)
#define RFLAGS_AF    BIT(4)
#define RFLAGS_ZF    BIT(6)
#define RFLAGS_SF    BIT(7)
#define RFLAGS_TF    BIT(8)
#define RFLAGS_IF    BIT(9)
#define RFLAGS_DF    BIT(10)
#define RFLAGS_OF    BIT(11)
#define RFLAGS_IOPL  (3u << 12)
#define RFLAGS_NT    BIT(14)
#define RFLAGS_RF    BIT(16)
#define RFLAGS_VM    BIT(17)
#define RFLAGS_AC    BIT(18)
#define RFLAGS_VIF   BIT(19)
#define RFLAGS_VIP   BIT(20)
#define RFLAGS_ID    BIT(21)

/* Control registers, SDM vol. 3A, section 2.5. */
#define CR0_PE BIT64(0)
#define CR0_MP BIT64(1)
#define CR0_EM BIT64(2)
#define CR0_TS BIT64(3)
#define CR0_ET BIT64(4)
#define CR0_NE BIT64(5)
#define CR0_WP BIT64(16)
#define CR0_AM BIT64(18)
#define CR0_NW BIT64(29)
#define CR0_CD BIT64(30)
#define CR0_PG BIT64(31)

#define CR4_VME        BIT64(0)
#define CR4_PVI        BIT64(1)
#define CR4_TSD        BIT64(2)
#define CR4_DE         BIT64(3)
#define CR4_PSE        BIT64(4)
#define CR4_PAE        BIT64(5)
#define CR4_MCE        BIT64(6)
#define CR4_PGE        BIT64(7)
#define CR4_PCE        BIT64(8)
#define CR4_OSFXSR     BIT64(9)
#define CR4_OSXMMEXCPT BIT64(10)
#define CR4_UMIP       BIT64(11)
#define CR4_LA57       BIT64(12)
#define CR4_VMXE       BIT64(13)
#define CR4_SMXE       BIT64(14)
#define CR4_FSGSBASE   BIT64(16)
#define CR4_PCIDE      BIT64(17)
#define CR4_OSXSAVE    BIT64(18)
#define CR4_SMEP       BIT64(20)
#define CR4_SMAP       BIT64(21)
#define CR4_PKE        BIT64(22)

#define EFER_SCE BIT64(0)
#define EFER_LME BIT64(8)
#define EFER_LMA BIT64(10)
#define EFER_NXE BIT64(11)

/* XCR0, SDM vol. 3A, 2.6; with what each part needs. */
#define XCR0_X87    BIT64(0)
#define XCR0_SSE    BIT64(1)
#define XCR0_AVX    (XCR0_SSE | BIT64(2))
#define XCR0_PKRU   BIT64(9)
#define XCR0_AVX512 (XCR0_AVX | BIT64(5) | BIT64(6) | BIT64(7))

/* DR6 and DR7, SDM vol. 3B, 17.2. */
#define DR6_BD        BIT64(13)
#define DR6_BS        BIT64(14)
#define DR6_BT        BIT64(15)
#define DR6_ONES      0xffff0ff0ull
#define DR6_WRITABLE  0xe00full
#define DR7_ENABLED   0xffull             /* L0 to G3 */
#define DR7_ENABLE(n) (3ull << (2 * (n))) /* Ln, Gn */
#define DR7_GD        BIT64(13)
#define DR7_ONES      0x400ull
#define DR7_WRITABLE  0xffff23ffull

/* Paging-structure entries, SDM vol. 3A, 4.3 to 4.5. */
#define PTE_PRESENT  BIT64(0)
#define PTE_WRITE    BIT64(1)
#define PTE_USER     BIT64(2)
#define PTE_PWT      BIT64(3)
#define PTE_PCD      BIT64(4)
#define PTE_ACCESSED BIT64(5)
#define PTE_DIRTY    BIT64(6)
#define PTE_LARGE    BIT64(7)
#define PTE_NX       BIT64(63)
#define PTE_ADDRESS  0x000ffffffffff000ull /* and of CR3 */

/* Page-fault error codes, SDM vol. 3A, figure 4-12. */
#define PFEC_P    BIT(0)
#define PFEC_W    BIT(1)
#define PFEC_U    BIT(2)
#define PFEC_RSVD BIT(3)
#define PFEC_ID   BIT(4)
#define PFEC_PK   BIT(5)

/* Exception vectors, SDM vol. 3A, table 6-1. */
/* clang-format off */
enum vector {
    VECTOR_DE, VECTOR_DB, VECTOR_NMI, VECTOR_BP, VECTOR_OF, VECTOR_BR, VECTOR_UD, VECTOR_NM,
    VECTOR_DF, VECTOR_TS = 10, VECTOR_NP, VECTOR_SS, VECTOR_GP, VECTOR_PF,
    VECTOR_MF = 16, VECTOR_AC, VECTOR_MC, VECTOR_XM,
    VECTOR_NONE = 0xff
};
/* clang-format on */
