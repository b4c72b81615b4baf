/* SPDX-License-Identifier: MIT
 *
 * The architectural state of one virtual CPU, as the emulator, the loaders, the run loop and the
 * shell all see it: one struct, no accessor per register.  Parts that live in hardware (in the
 * VMCS) while the guest runs are brought in on demand: `valid` says which are in the struct,
 * `dirty` which have been changed and must go back before the guest runs again.
 */
#ifndef EMULATOR_STATE_H
#define EMULATOR_STATE_H

#include "lib/bits.h"
#include "lib/types.h"

/* Encodings of the general registers, SDM vol. 2A, table 2-2. */
/* clang-format off */
enum gpr {
    RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT,
    GPR_RIP = GPR_COUNT, /* places in x86_state.reg[] that only addresses name */
    GPR_NONE, REG_COUNT
};
/* clang-format on */

/* Segment registers in ModRM.reg encoding, then the two system segments. */
enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* A segment register with its hidden part.  `access` as in the VMCS, SDM vol. 3C, table 24-2. */
struct segment {
    u64 base;
    u32 limit;
    u32 access;
    u16 selector;
};
#define SEG_TYPE        0xfu   /* bits 3:0 */
#define SEG_S           BIT(4) /* code or data, not system */
#define SEG_DPL_SHIFT   5      /* bits 6:5 */
#define SEG_P           BIT(7)
#define SEG_L           BIT(13) /* 64-bit code */
#define SEG_DB          BIT(14) /* 32-bit default operand or stack size */
#define SEG_G           BIT(15)
#define SEG_UNUSABLE    BIT(16)
#define SEG_ACCESS_MASK 0x1f0ffu

struct table_reg {
    u64 base;
    u32 limit;
};

/* Groups for `valid` and `dirty`.  General registers but RSP are always valid. */
enum state_group {
    STATE_RIP = BIT(0),
    STATE_RSP = BIT(1),
    STATE_RFLAGS = BIT(2),
    STATE_CR0 = BIT(3),
    STATE_CR3 = BIT(4),
    STATE_CR4 = BIT(5),
    STATE_EFER = BIT(6),
    STATE_GDTR = BIT(7),
    STATE_IDTR = BIT(8),
    STATE_PDPTE = BIT(9),
    STATE_DR7 = BIT(10),
    STATE_INTERRUPTIBILITY = BIT(11),
    STATE_PENDING_DEBUG = BIT(12),
    STATE_ACTIVITY = BIT(13),
    STATE_SYSENTER = BIT(14),
    STATE_CS_ACCESS = BIT(15), /* seg[SEG_CS].access; valid whenever STATE_SEG(SEG_CS) is */
    STATE_SEG0 = BIT(16),      /* STATE_SEG(SEG_ES) */
    STATE_LIVE = BIT(24),      /* what stays in the CPU while the guest runs: CR2, DR0-DR3, DR6 */
    STATE_SEGMENTS = 0x00ff0000,
    STATE_ALL = 0x01ffffff
};
#define STATE_SEG(seg) ((u32)STATE_SEG0 << (seg))
/* What must be valid before emu_step() is called. */
#define STATE_BASE                                                                           \
    (STATE_RIP | STATE_RSP | STATE_RFLAGS | STATE_CR0 | STATE_CR3 | STATE_CR4 | STATE_EFER | \
     STATE_INTERRUPTIBILITY | STATE_CS_ACCESS)

enum activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI };

/* Interruptibility, SDM vol. 3C, table 24-3. */
#define BLOCKED_BY_STI    BIT(0)
#define BLOCKED_BY_MOV_SS BIT(1)
#define BLOCKED_BY_NMI    BIT(3)

struct x86_state {
    union {
        u64 reg[REG_COUNT]; /* in the numbers of enum gpr */
        struct {
            u64 gpr[GPR_COUNT];
            u64 rip;
            u64 zero; /* always 0 */
        };
    };
    u64 rflags;
    u32 valid; /* enum state_group */
    u32 dirty;
    struct segment seg[SEG_COUNT];
    struct table_reg gdtr, idtr;
    u64 cr0, cr2, cr3, cr4; /* as the guest reads them */
    u64 efer;
    u64 xcr0;
    u64 pdpte[4];
    u64 dr[4], dr6, dr7;
    u64 pending_debug; /* SDM vol. 3C, table 24-4 */
    u32 interruptibility;
    enum activity activity;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u32 pkru; /* protection keys; must be current while CR4.PKE is 1 */
};

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

#define DR7_ENABLED 0xffull /* L0 to G3 */

/* Exception vectors, SDM vol. 3A, table 6-1. */
/* clang-format off */
enum vector {
    VECTOR_DE, VECTOR_DB, VECTOR_NMI, VECTOR_BP, VECTOR_OF, VECTOR_BR, VECTOR_UD, VECTOR_NM,
    VECTOR_DF, VECTOR_TS = 10, VECTOR_NP, VECTOR_SS, VECTOR_GP, VECTOR_PF,
    VECTOR_MF = 16, VECTOR_AC, VECTOR_MC, VECTOR_XM,
    VECTOR_NONE = 0xff
};
/* clang-format on */

/* The state of a CPU after power-on or INIT at the reset vector, SDM vol. 3A, table 9-1. */
void x86_state_reset(struct x86_state *s);

#endif
