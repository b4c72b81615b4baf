/* SPDX-License-Identifier: MIT
 *
 * The x86 emulator: a pure library that executes one instruction of a virtual CPU, or delivers one
 * interrupt to it, through a handful of operations that its user supplies.  The same objects run in
 * the hypervisor, in host tests, in fuzzers and in benchmarks.
 */
#ifndef EMULATOR_EMULATOR_H
#define EMULATOR_EMULATOR_H

#include "emulator/state.h"
#include "lib/status.h"
#include "lib/types.h"

enum emu_status {
    EMU_DONE,          /* the instruction is retired (also HLT and the like: see state.activity) */
    EMU_FAULT,         /* nothing retired: deliver emu->event (a fault; a trap has EMU_DONE) */
    EMU_RETRY,         /* nothing or whole `rep` iterations done; go on natively, or call again (of
                        * an instruction only: a delivery or task switch tries again itself) */
    EMU_STOP,          /* an operation asked to stop (reset, power-off, debug-exit) */
    EMU_TRIPLE_FAULT,  /* delivery failed for the third time: shutdown */
    EMU_UNIMPLEMENTED, /* decoded, but not covered: emu->record says which; nothing was changed */
};

/* What a memory access is for; decides permission checks and the page-fault error code. */
enum emu_access {
    EMU_READ = 0,
    EMU_WRITE = BIT(0),
    EMU_FETCH = BIT(1),
    EMU_USER = BIT(2),    /* with the rights of CPL 3 */
    EMU_IMPLICIT = BIT(3) /* descriptor tables, TSS: supervisor whatever the CPL, SMAP applies */
};

/* An event to be delivered to the virtual CPU. */
enum emu_event_type {
    EMU_EVENT_EXTERNAL,
    EMU_EVENT_NMI = 2,
    EMU_EVENT_HARD_EXCEPTION,
    EMU_EVENT_SOFT_INT,
    EMU_EVENT_PRIV_SOFT_EXCEPTION,
    EMU_EVENT_SOFT_EXCEPTION
}; /* VM-entry types, SDM vol. 3C, table 24-16 */

struct emu_event {
    u8 vector; /* VECTOR_NONE: no event */
    u8 type;   /* enum emu_event_type */
    bool has_error;
    u8 ilen; /* software events: length of the instruction */
    u32 error;
    u64 payload; /* #PF: the address for CR2; #DB: the bits to set in DR6 */
};

struct emu;

/* One x87, MMX, SSE, AVX or integer instruction for ops->run_native(): at most 8 bytes of 64-bit
 * code, RET included, in memory order.  Its memory operand, if any, is at RDI, an explicit general
 * register of the guest in RSI.  Not to change on return: RDI and all registers not named here. */
struct emu_native {
    u64 code;
    u64 gpr[4];   /* RAX, RCX, RDX, RBX, in and out */
    u64 rsi;      /* in and out */
    void *memory; /* in RDI; 64-byte aligned for vectors */
    u64 flags;    /* EMU_ARITH_FLAGS, in and out */
    u64 at;       /* out: the address the code ran at */
};
#define EMU_ARITH_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* What the emulator asks of its user.  `ctx` is emu->ctx.  Functions that return enum emu_status
 * may return EMU_DONE, EMU_STOP, EMU_RETRY, or EMU_FAULT after emu_raise().  Device accesses cannot
 * fail: each comes when everything about it has been checked. */
struct emu_ops {
    /* Make these state groups valid in *emu->state. */
    void (*load)(void *ctx, u32 groups);

    /* The host address of guest-physical `gpa` for an access (EMU_READ, EMU_WRITE or EMU_FETCH,
     * with EMU_IMPLICIT when it is to a paging table), good to the end of its 4-KiB page; NULL when
     * the page is not RAM or not so accessible (MMIO). */
    void *(*ram)(void *ctx, gpa_t gpa, enum emu_access access);

    /* One access of 1, 2, 4 or 8 bytes to a page for which ram() said NULL.  Bits above the size of
     * what is read mean nothing; what is written is zero-extended. */
    u64 (*mmio_read)(void *ctx, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *ctx, gpa_t gpa, unsigned size, u64 value);

    /* `*count` accesses of 1, 2 or 4 bytes from or to consecutive memory; returns in *count how
     * many were done (fewer when interrupted, never 0). */
    void (*port_in)(void *ctx, u16 port, unsigned size, void *data, u64 *count);
    void (*port_out)(void *ctx, u16 port, unsigned size, const void *data, u64 *count);

    /* MOV to CR0/CR3/CR4/CR8, LMSW, CLTS: check, apply to *state and mark dirty; CR8 also read. */
    enum emu_status (*write_cr)(void *ctx, unsigned cr, u64 value);
    u64 (*read_cr8)(void *ctx);

    enum emu_status (*read_msr)(void *ctx, u32 msr, u64 *value);
    enum emu_status (*write_msr)(void *ctx, u32 msr, u64 value);
    void (*cpuid)(void *ctx, u32 leaf, u32 subleaf, u32 out[4]);
    u64 (*read_tsc)(void *ctx);

    /* Translations of one linear address (INVLPG) or of all (`all`) are no longer good. */
    void (*invalidate)(void *ctx, bool all, gva_t gva);

    /* True when an event waits that may interrupt between two iterations of `rep`. */
    bool (*interrupted)(void *ctx);

    /* Called where hardware would check for an intercept, after privilege checks: an instruction
     * that needs the user's own doing (XSETBV, WBINVD, INVPCID, MONITOR, VMX instructions …);
     * opcode is EMU_OP_*.  Returning EMU_FAULT with #UD refuses it.  NULL: all are #UD. */
    enum emu_status (*special)(void *ctx, unsigned op, u64 operand, u64 operand2);

    /* Two RAM pages (their page-aligned addresses) at consecutive host addresses, writable, good
     * until the next call: for a locked access that straddles pages which are not neighbours on
     * the host.  NULL (the function or its result): such an access is EMU_UNIMPLEMENTED. */
    void *(*window)(void *ctx, gpa_t first, gpa_t second);

    /* Execute n->code with the guest's x87, SSE and AVX registers (and XCR0) in the CPU, numeric
     * exceptions enabled; a fault within must not go further.  Returns its vector (of #GP the error
     * code is 0), or VECTOR_NONE.  NULL: such instructions are EMU_UNIMPLEMENTED. */
    u8 (*run_native)(void *ctx, struct emu_native *n);
};

enum emu_special {
    EMU_OP_XSETBV, /* ECX; EDX:EAX.  CR4.OSXSAVE and CPL are checked */
    EMU_OP_WBINVD,
    EMU_OP_INVD,
    EMU_OP_MONITOR, /* linear address; hints (EDX) */
    EMU_OP_MWAIT,   /* hints (EAX); extensions (ECX) */
    EMU_OP_VMCALL,  /* at any CPL */
    EMU_OP_RDPMC,   /* ECX; the user sets RAX and RDX */
    EMU_OP_INVPCID, /* kind | PCID << 8; linear address.  All operands are checked */
    EMU_OP_PAUSE
};

/* An instruction's bytes. */
struct emu_code {
    u8 bytes[15];            /* zero after its length */
    u8 length : 4, mode : 4; /* length 0: not even the fetch succeeded; enum emu_mode */
};

/* What the last instruction was and touched: filled by every emu_step(). */
struct emu_record {
    u64 rip;                     /* state.rip before it */
    const struct emu_code *code; /* until the next emu_step() */
    u8 io;                       /* enum emu_io: the last device access it made */
    u8 io_width;                 /* bytes */
    u64 io_address;              /* guest-physical address or port */
    u64 io_value;                /* bits above its width mean nothing */
    u64 iterations;              /* of a rep-prefixed instruction, else 1 */
};
enum emu_io { EMU_IO_NONE, EMU_IO_MMIO_READ, EMU_IO_MMIO_WRITE, EMU_IO_IN, EMU_IO_OUT };
enum emu_mode { EMU_MODE_REAL, EMU_MODE_VM86, EMU_MODE_16, EMU_MODE_32, EMU_MODE_64 };

/* Instruction-set extensions the guest was told of: an absent one decodes to #UD or to its elder.
 * Where CPUID tells of each: leaf, subleaf, register, bit (SDM vol. 2A, CPUID). */
/* clang-format off */
#define EMU_FEATURE_LIST(X) \
    X(MOVBE, 1, 0, C, 22) X(POPCNT, 1, 0, C, 23) X(LZCNT, 0x80000001, 0, C, 5) \
    X(BMI1, 7, 0, B, 3) X(BMI2, 7, 0, B, 8) X(ADX, 7, 0, B, 19) X(CRC32, 1, 0, C, 20) \
    X(CX16, 1, 0, C, 13) X(RDRAND, 1, 0, C, 30) X(RDSEED, 7, 0, B, 18) \
    X(RDTSCP, 0x80000001, 0, D, 27) X(RDPID, 7, 0, C, 22) X(FSGSBASE, 7, 0, B, 0) \
    X(SMAP, 7, 0, B, 20) X(INVPCID, 7, 0, B, 10) X(CLFLUSHOPT, 7, 0, B, 23) X(CLWB, 7, 0, B, 24) \
    X(AES, 1, 0, C, 25) X(PCLMUL, 1, 0, C, 1) X(SHA, 7, 0, B, 29) X(SSE3, 1, 0, C, 0) \
    X(SSSE3, 1, 0, C, 9) X(SSE41, 1, 0, C, 19) X(SSE42, 1, 0, C, 20) X(AVX, 1, 0, C, 28) \
    X(AVX2, 7, 0, B, 5) X(FMA, 1, 0, C, 12) X(F16C, 1, 0, C, 29) X(AVX512F, 7, 0, B, 16) \
    X(AVX512DQ, 7, 0, B, 17) X(AVX512BW, 7, 0, B, 30) X(AVX512VL, 7, 0, B, 31) \
    X(AVX512CD, 7, 0, B, 28) X(AVX512IFMA, 7, 0, B, 21) X(AVX512VBMI, 7, 0, C, 1) \
    X(AVX512VBMI2, 7, 0, C, 6) X(AVX512VNNI, 7, 0, C, 11) X(AVX512BITALG, 7, 0, C, 12) \
    X(AVX512POPCNTDQ, 7, 0, C, 14) X(AVX512BF16, 7, 1, A, 5) X(AVX512FP16, 7, 0, D, 23) \
    X(GFNI, 7, 0, C, 8) X(VAES, 7, 0, C, 9) X(VPCLMUL, 7, 0, C, 10) X(XSAVE, 1, 0, C, 26) \
    X(XSAVEOPT, 0xd, 1, A, 0) X(XSAVEC, 0xd, 1, A, 1) X(XSAVES, 0xd, 1, A, 3) \
    X(UMIP, 7, 0, C, 2) X(PKU, 7, 0, C, 3) X(LA57, 7, 0, C, 16) X(PAGE1GB, 0x80000001, 0, D, 26) \
    X(SYSCALL, 0x80000001, 0, D, 11) X(SYSENTER, 1, 0, D, 11) X(LAHF64, 0x80000001, 0, C, 0) \
    X(MONITOR, 1, 0, C, 3) X(MOVDIRI, 7, 0, C, 27) X(MOVDIR64B, 7, 0, C, 28) \
    X(SERIALIZE, 7, 0, D, 14) X(AVXVNNI, 7, 1, A, 4) X(RTM, 7, 0, B, 11)
/* clang-format on */
enum emu_feature {
#define X(name, ...) EMU_HAS_##name,
    EMU_FEATURE_LIST(X)
#undef X
        EMU_FEATURE_COUNT
};
extern const struct emu_feature_bit {
    u32 leaf;
    u8 subleaf, reg, bit; /* reg: 0 to 3 for EAX to EDX */
} emu_feature_bits[EMU_FEATURE_COUNT];

struct emu_cache; /* decode cache, emulator-private; sized by emu_cache_size() */

/* Emulator-private: a page of RAM that data was found in without paging. */
struct emu_page {
    u64 past; /* the address behind its last byte; 0: none */
    bool writable;
    u8 *host;
};
#define EMU_PAGES 8u

struct emu {
    struct x86_state *state;
    const struct emu_ops *ops;
    void *ctx;
    u64 features;      /* BIT64(EMU_HAS_*) */
    u8 phys_bits;      /* MAXPHYADDR of the guest, 32..52 */
    bool vmware_ports; /* ports 5658H and 5659H need neither IOPL nor the TSS's bitmap */
    u8 fault_allows;   /* of the access that caused the exit, and so walked, fault_gva is known to
                        * be at fault_gpa: 0 not, 1 for reading, 2 for writing, too */
    bool watch;        /* emulator-private: accesses are looked at (debug.c) ... */
    u8 hits;           /* ... and met these of DR0 to DR3 */
    gva_t fault_gva;
    gpa_t fault_gpa;
    struct emu_event event; /* after EMU_FAULT; also a pending trap (#DB) after EMU_DONE */
    struct emu_record record;
    struct emu_code fetched; /* emulator-private: record.code, when it is not in the cache */
    struct emu_cache *cache; /* may be NULL: no caching */
    struct emu_page page[EMU_PAGES];
    union emu_retiring {
        u64 any; /* 0: nothing but RIP is to be changed */
        struct {
            u32 before;   /* RFLAGS.TF and RF and the shadows before the instruction */
            u8 shadow;    /* BLOCKED_BY_STI or BLOCKED_BY_MOV_SS to begin after it */
            bool no_trap; /* no single-step trap after it (INT n, delivery) */
            bool keep_rf; /* it loaded RFLAGS.RF itself (IRET, task switch) */
            bool other;   /* state.activity or event is to be looked at */
        };
    } step; /* emulator-private: a handler's word to the retire step */
};

/* Give emu->event a fault; returns EMU_FAULT for `return emu_raise(…)`. */
static inline enum emu_status emu_raise(struct emu *e, u8 vector, bool has_error, u32 error)
{
    e->event = (struct emu_event){
        .vector = vector, .type = EMU_EVENT_HARD_EXCEPTION, .has_error = has_error, .error = error};
    return EMU_FAULT;
}

/* Execute the instruction at CS:RIP.  STATE_BASE must be valid. */
enum emu_status emu_step(struct emu *e);

/* emu_step() up to *count times (at least 1), until there is more to do than to go on: when one is
 * not plain (below), has accessed a device, or state.dirty has a bit of `until`, of STATE_CR0 or of
 * CS, which it therefore should begin without.  Tells in *count how many it was; what is said of
 * the last instruction is as after emu_step(). */
enum emu_status emu_run(struct emu *e, u32 until, unsigned *count);

/* After emu_step(): is there no event, no change of state.activity, no shadow to think of? */
static inline bool emu_is_plain(const struct emu *e, enum emu_status st)
{
    return (e->step.any | st) == 0;
}

/*
 * emu_step() with the breakpoints on data and ports that DR7 enables, traps in e->event; with btf
 * (DEBUGCTL.BTF) a single step ends only at a branch.  A repeated instruction does one iteration.
 */
enum emu_status emu_step_watched(struct emu *e, bool btf);

/* Bits of DR6 for the breakpoints that an access meets, at a linear address or a port; those on
 * instructions are nobody's but the caller's, before a step.  Needs
 * STATE_DR7, STATE_LIVE and STATE_CR4. */
enum emu_breakpoint { EMU_BREAK_READ, EMU_BREAK_WRITE, EMU_BREAK_IO, EMU_BREAK_EXECUTE };
u64 emu_breakpoints(const struct x86_state *s, u64 at, unsigned size, enum emu_breakpoint kind);

/* Advance over the instruction at CS:RIP as if it had been executed (TF, RF, shadow: retired). */
enum emu_status emu_skip(struct emu *e);

/* After a #UD: is at CS:RIP the prefix 0F 0B 6B 76 6D (UD2; "kvm") that asks for the instruction
 * behind it to be emulated?  RIP is then moved past it.  STATE_BASE must be valid. */
bool emu_take_forced(struct emu *e);

/* After a #GP(0): is the instruction at CS:RIP one that accesses a port?  Nothing is changed. */
bool emu_at_port_access(struct emu *e);

/*
 * Retire an instruction of `length` bytes that was carried out elsewhere: RIP, RF, TF, shadow.
 * STATE_BASE but for RSP and CR4 must be valid.  Afterwards e->event may hold a single-step trap.
 */
void emu_retire(struct emu *e, unsigned length);

/* True when retiring means more than to set RIP from `rip` to `next`: a trap or RF, a shadow to
 * end, or the wrap-around of a 32-bit RIP. */
static inline bool emu_retire_is_special(u64 rflags, u32 interruptibility, u64 rip, u64 next)
{
    return (rflags & (RFLAGS_TF | RFLAGS_RF)) || interruptibility || (rip ^ next) >> 32;
}

/* Deliver an event through the IVT or IDT, with double- and triple-fault rules. */
enum emu_status emu_deliver(struct emu *e, const struct emu_event *event);

/* Carry out a task switch (SDM vol. 3A, 7.3). */
enum emu_task_source { EMU_TASK_CALL, EMU_TASK_IRET, EMU_TASK_JMP, EMU_TASK_GATE };
enum emu_status emu_task_switch(struct emu *e, u16 selector, enum emu_task_source source,
                                const struct emu_event *cause, unsigned length);

/* One cache belongs to one virtual CPU.  It holds host addresses that ops->ram() gave: call
 * emu_cache_init() and emu_forget() when guest RAM moves on the host, emu_forget() alone when
 * ops->ram() answers otherwise for data. */
size_t emu_cache_size(void);
void emu_cache_init(struct emu_cache *c);
void emu_forget(struct emu *e);

/* One level of a page walk, for the shell: told top down. */
struct emu_walk_step {
    unsigned level; /* 5..1 */
    gpa_t entry_at;
    u64 entry;
};
/* Translate a linear address in the current paging mode.  On success *gpa; else *fault is the #PF
 * or the walk met a page table that is not RAM (STATUS_EHW).  step (may be NULL) sees each entry.
 * With EMU_IMPLICIT alone nothing is written to the tables (no A/D bits) and rights are not judged:
 * a debugger's walk.  STATUS_ENOENT: *fault is the #PF; STATUS_EBUSY: another CPU kept changing the
 * tables meanwhile. */
CHECKED enum status emu_translate(struct emu *e, gva_t gva, enum emu_access access, gpa_t *gpa,
                                  struct emu_event *fault,
                                  void (*step)(void *ctx, const struct emu_walk_step *s),
                                  void *ctx);

/* May `value` be loaded into CR0, CR4 or EFER now?  False: #GP(0), SDM vol. 3A, 2.5 and 9.8.5 and
 * vol. 4.  Needs STATE_BASE, for CR4 also STATE_CR3.  Not judged: bits of features the guest was
 * not told of, PDPTEs, and CR0.PE/PG's effects on EFER.LMA, all of which are the caller's. */
bool emu_cr0_valid(const struct x86_state *s, u64 value);
bool emu_cr4_valid(const struct x86_state *s, u64 value);
bool emu_efer_valid(const struct x86_state *s, u64 value);

/* Mode of CS in *state. */
enum emu_mode emu_mode(const struct x86_state *s);

/* Disassemble one instruction in Intel syntax into buf; returns its length, or 0 when the bytes are
 * not an instruction or not a whole one (buf then says "(bad)").  symbol (may be NULL) writes a
 * name for an address into its buffer and returns true. */
unsigned emu_disassemble(const u8 *bytes, unsigned avail, enum emu_mode mode, u64 rip, char *buf,
                         size_t cap, bool (*symbol)(void *ctx, u64 addr, char *out, size_t cap),
                         void *ctx);

#endif
