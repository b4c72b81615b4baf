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
#include "lib/x86.h"

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

/* The state of a CPU after power-on or INIT at the reset vector, SDM vol. 3A, table 9-1. */
void x86_state_reset(struct x86_state *s);

#endif
