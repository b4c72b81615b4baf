/* SPDX-License-Identifier: MIT
 *
 * What the parts of the emulator say to each other: the decoded instruction, the table entry it
 * came from, memory spans, and the handlers.  Nobody outside emulator/ includes this.
 *
 * The way of one instruction (emulator.c): fetch, decode (or decode cache), set state.rip to the
 * NEXT instruction, call the handler, retire.  On any status but EMU_DONE state.rip goes back to
 * the instruction itself (e->record.rip).  A handler that branches assigns state.rip.
 *
 * A handler first resolves and checks everything (emu_linear, emu_map), then reads, then writes, so
 * that a fault leaves all as it was; but for what CPUs have done by then (docs/emulator.md).
 */
#ifndef EMULATOR_INTERNAL_H
#define EMULATOR_INTERNAL_H

#include "emulator/emulator.h"
#include "lib/bits.h"
#include "lib/string.h"

struct insn;
typedef enum emu_status emu_handler(struct emu *e, const struct insn *i);

/* Operand kinds, SDM vol. 2D, appendix A.2: an addressing letter and a size letter. */
#define ARG(letter, size) (u16)((unsigned)ARG_##letter << 8 | (unsigned)SIZE_##size)
#define ARG_LETTER(a)     ((enum arg_letter)((a) >> 8))
#define ARG_SIZE(a)       ((enum arg_size)((a)&0xff))
enum arg_letter {
    ARG_NONE,
    ARG_A,   /* far pointer in the instruction */
    ARG_C,   /* control register by ModRM.reg */
    ARG_D,   /* debug register by ModRM.reg */
    ARG_E,   /* general register or memory by ModRM.rm */
    ARG_G,   /* general register by ModRM.reg */
    ARG_H,   /* vector register by VEX.vvvv */
    ARG_B,   /* general register by VEX.vvvv */
    ARG_I,   /* immediate, sign-extended to 64 bits */
    ARG_IU,  /* immediate, shown and used unsigned */
    ARG_J,   /* branch target, relative */
    ARG_L,   /* vector register by the high half of an immediate byte */
    ARG_M,   /* memory only */
    ARG_N,   /* MMX register by ModRM.rm, no memory */
    ARG_O,   /* memory at an offset in the instruction */
    ARG_P,   /* MMX register by ModRM.reg */
    ARG_Q,   /* MMX register or memory by ModRM.rm */
    ARG_R,   /* general register by ModRM.rm, no memory */
    ARG_S,   /* segment register by ModRM.reg */
    ARG_U,   /* vector register by ModRM.rm, no memory */
    ARG_V,   /* vector register by ModRM.reg */
    ARG_W,   /* vector register or memory by ModRM.rm */
    ARG_X,   /* memory at DS:rSI (segment may be overridden) */
    ARG_Y,   /* memory at ES:rDI */
    ARG_Z,   /* general register by the opcode's low three bits */
    ARG_ACC, /* AL, AX, EAX or RAX */
    ARG_CL,  /* CL */
    ARG_DX,  /* DX */
    ARG_ONE, /* the constant 1 */
    ARG_SEG, /* a segment register named by the opcode: bits 5:3 */
    ARG_K,   /* opmask register by ModRM.reg */
    ARG_KH,  /* opmask register by VEX.vvvv */
    ARG_KM,  /* opmask register or memory by ModRM.rm */
    ARG_KR,  /* ... no memory */
    ARG_ST0, /* x87 top of stack */
    ARG_STI  /* x87 register by ModRM.rm */
};
enum arg_size {
    SIZE_none,
    SIZE_b,    /* 1 */
    SIZE_w,    /* 2 */
    SIZE_d,    /* 4 */
    SIZE_q,    /* 8 */
    SIZE_v,    /* 2, 4 or 8 by operand size */
    SIZE_z,    /* 2, or 4 also when the operand size is 8 */
    SIZE_y,    /* 4, or 8 with REX.W in 64-bit mode */
    SIZE_nat,  /* 4, or 8 in 64-bit mode (control registers) */
    SIZE_p,    /* far pointer: offset by operand size, then selector */
    SIZE_a,    /* two operands of v (BOUND) */
    SIZE_desc, /* limit and base (LGDT) */
    SIZE_dq,   /* 16 */
    SIZE_qq,   /* 32 */
    SIZE_x,    /* 16, 32 or 64 by vector length */
    SIZE_h,    /* half of x */
    SIZE_f,    /* a quarter */
    SIZE_e,    /* an eighth */
    SIZE_dup,  /* x, but of 16 only 8 (MOVDDUP) */
    SIZE_t,    /* 10 (x87 extended) */
    SIZE_k,    /* of an opmask: 2 or 8 by VEX.W, with 66 1 or 4 */
    SIZE_el,   /* 4, with VEX.W 8: one element */
    SIZE_addr, /* the address size */
    SIZE_db,   /* 1 in memory, a register has 4 */
    SIZE_dw,   /* 2 ... */
    SIZE_vw,   /* 2 in memory, a register has v */
    SIZE_big   /* the instruction's own (FXSAVE, FLDENV …) */
};

/* Sets of addressing letters. */
#define LETTER(letter) BIT64(ARG_##letter)
static inline bool arg_is_of(u16 arg, u64 letters) { return letters >> ARG_LETTER(arg) & 1; }

/* One line of an opcode table: an instruction, or (handler NULL, group set) a way to `next`. */
struct opcode {
    union {
        emu_handler *handler;
        const struct opcode *next;
    };
    const char *name;
    u16 arg[4];
    u64 flags;  /* OP_*, EVEX_* */
    u8 sub;     /* for the handler: which of its operations; group: entries in `next` */
    u8 group;   /* enum opcode_group */
    u8 feature; /* EMU_HAS_* + 1, or 0 */
};
enum opcode_group {
    GROUP_NONE,
    GROUP_REG,    /* next[ModRM.reg] */
    GROUP_MOD,    /* next[0] memory, next[1] register */
    GROUP_RM,     /* next[ModRM.rm] */
    GROUP_PREFIX, /* next[none, 66, F3, F2] */
    GROUP_W,      /* next[REX.W or VEX.W] */
    GROUP_W64,    /* next[1] with W in 64-bit mode */
    GROUP_VEX,    /* next[0] without VEX, next[1 + VEX.L] */
    GROUP_EVEX,   /* next[1] with EVEX */
    GROUP_MODE64  /* next[0] outside, next[1] in 64-bit mode */
};
#define OP_MODRM   BIT(0)  /* has a ModRM byte */
#define OP_LOCK    BIT(1)  /* LOCK allowed when the destination is memory */
#define OP_NO64    BIT(2)  /* #UD in 64-bit mode */
#define OP_ONLY64  BIT(3)  /* #UD outside it */
#define OP_CPL0    BIT(4)  /* #GP(0) unless CPL is 0 */
#define OP_PROT    BIT(5)  /* #UD in real and virtual-8086 mode */
#define OP_DEF64   BIT(6)  /* operand size 64 by default in 64-bit mode (66: 16) */
#define OP_FORCE64 BIT(7)  /* operand size 64 in 64-bit mode, 66 ignored */
#define OP_REP     BIT(8)  /* string instruction: F2 or F3 repeats */
#define OP_REPCC   BIT(9)  /* ... and ends by ZF */
#define OP_FPU     BIT(10) /* #NM by CR0.EM/TS */
#define OP_SSE     BIT(11) /* #UD by CR0.EM, !CR4.OSFXSR; #NM by CR0.TS */
#define OP_AVX     BIT(12) /* VEX only */
#define OP_VEX     BIT(13) /* also with VEX: "v" before the name */
#define OP_VEX3    BIT(14) /* also with VEX: and VEX.vvvv as second operand */
#define OP_MOVCR   BIT(15) /* ModRM.mod ignored, rm is a register */
#define OP_GPRVEX  BIT(16) /* VEX only, on general registers (BMI): no "v" */
#define OP_LOCKED  BIT(17) /* locked whatever the prefix when it is memory */
#define OP_L0      BIT(18) /* VEX.L must be 0 */
#define OP_L1      BIT(19) /* VEX.L must be 1 */
#define OP_W0      BIT(20) /* VEX.W must be 0 */
#define OP_INTEGER BIT(21) /* VEX.L of 1 needs AVX2 (VAES, VPCLMULQDQ) */
#define OP_VSIB    BIT(22) /* the index of the memory operand is a vector register */
#define OP_XSAVE   BIT(23) /* #UD by !CR4.OSXSAVE; #NM by CR0.TS */
#define OP_UMIP    BIT(24) /* #GP(0) by CR4.UMIP unless CPL is 0 */
#define OP_OPMASK  BIT(25) /* VEX on opmask registers */
#define OP_EVEX    BIT(26) /* EVEX only */
#define OP_W1      BIT(27) /* VEX.W must be 1 */
#define OP_HIDDEN  BIT(28) /* #UD unless CPL is 0 */
#define OP_LEVEL   (OP_CPL0 | OP_UMIP | OP_HIDDEN)
#define OP_VECTOR  (OP_FPU | OP_SSE | OP_AVX | OP_GPRVEX | OP_XSAVE)

/* With EVEX too: above OP_*, SDM vol. 2A, 2.7.  Which feature it needs beside AVX512VL; what W must
 * be; the units of its memory operand that opmask bits stand for (default: 4 bytes, with W 8).
 * OP_L0 and OP_L1 then mean 16 bytes, or more than 16. */
#define EVEX_FEATURE(flags) ((unsigned)((flags) >> 32) & 15)
/* Which is AVX512F or one after it; 0: there is no EVEX form. */
#define EVEX(feature) ((u64)(EMU_HAS_AVX512##feature - EMU_HAS_AVX512F + 1) << 32)
#define EVEX_W0       BIT64(36)
#define EVEX_W1       BIT64(37)
#define EVEX_WPP      BIT64(38) /* 1 with 66 or F2 */
#define EVEX_BYTES    BIT64(39)
#define EVEX_WORDS    BIT64(40) /* with EVEX_BYTES: by W */
#define EVEX_BCST     BIT64(42) /* memory: b repeats one unit */
#define EVEX_ROUND    BIT64(43) /* registers: with b LL is the rounding mode */
#define EVEX_SAE      BIT64(44) /* ... b suppresses exceptions; with EVEX_ROUND: means nothing */
#define EVEX_NOMASK   BIT64(45)
#define EVEX_WHOLE    BIT64(46) /* memory is accessed whatever the opmask */
#define EVEX_REPEAT   BIT64(47) /* the operand fills the register by repetition */
#define EVEX_PACKED   BIT64(48) /* compress, expand: only units with an opmask bit are in memory */
#define EVEX_ZMM      BIT64(49) /* LL must be 2 */
#define EVEX_SCALAR   BIT64(50) /* LL means nothing, but must not be 3 */

#define INSN_MAX  15u /* bytes */
#define CODE_ROOM 48u /* what a decoder may look at before it knows that there are too many */

/* A decoded instruction.  Lives in the decode cache: handlers must not change it. */
struct insn {
    const struct opcode *op;
    u64 imm;  /* sign-extended; far pointer: the offset */
    u64 imm2; /* far pointer: the selector; ENTER: the level; what native.c prepares: its code */
    u64 disp; /* sign-extended; moffs: the offset */
    u8 length;
    u8 mode;         /* enum emu_mode */
    u8 opcode;       /* last opcode byte */
    u8 map;          /* 0: one-byte, 1: 0F, 2: 0F38, 3: 0F3A */
    u8 opsize;       /* effective operand size: 2, 4 or 8 */
    u8 addrsize;     /* effective address size: 2, 4 or 8 */
    u8 size;         /* bytes of the first operand */
    u8 mod, reg, rm; /* ModRM; reg and rm with their REX bits (rm only when mod is 3) */
    u8 base, index;  /* of a memory operand: places in x86_state.reg[] */
    u8 scale;        /* shift of index: 0..3 */
    u8 seg;          /* of a memory operand, overrides applied: enum seg */
    u8 rex;          /* the REX byte (or one made of VEX; bit 4: EVEX.R'), 0: none */
    u8 rep;          /* last of F2, F3; 0: none */
    u8 vex;          /* 0, 1 (VEX), 2 (EVEX) */
    u8 vvvv;         /* VEX.vvvv, not inverted */
    u8 vlen;         /* VEX.L: 0 (16 bytes), 1 (32), 2 (64) */
    u8 evex;         /* the last byte of EVEX: z, LL, b, V', aaa */
    u8 operand;      /* native.c: bytes of the memory operand, 0: none */
    bool stores;     /* ... and it is written */
    u8 gpr;          /* native.c: the explicit general register, or GPR_NONE */
    bool gpr_written;
    u8 gpr2;     /* ... another one of VEX.vvvv, or RBX: in RBX */
    u8 gpr_turn; /* rotated right so far it has the operand in its low bits: 8 for AH..BH */
    bool lock;
    bool opsize16; /* a 66 prefix is there */
    bool checked;  /* emulator.c, check(), has something to say to it */
    bool flat;     /* its memory operand's offset is its linear address, of 64 bits */
};

#define INSN_Z      BIT(7) /* of insn.evex: zeroing */
#define INSN_B      BIT(4) /* broadcast, rounding, suppressed exceptions */
#define INSN_OPMASK 7u

static inline bool insn_is_memory(const struct insn *i) { return i->mod != 3; }

/* More of enum emu_access: these bytes are never #AC. */
#define EMU_BYTES BIT(4)

/* Host values of 1, 2, 4 or 8 bytes at any alignment, each one host access (so: atomic). */
typedef u16 host_u16 __attribute__((aligned(1), may_alias));
typedef u32 host_u32 __attribute__((aligned(1), may_alias));
typedef u64 host_u64 __attribute__((aligned(1), may_alias));

static inline u64 host_load(const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile u8 *)p;
    case 2: return *(const volatile host_u16 *)p;
    case 4: return *(const volatile host_u32 *)p;
    default: return *(const volatile host_u64 *)p;
    }
}

static inline void host_store(void *p, unsigned size, u64 value)
{
    switch (size) {
    case 1: *(volatile u8 *)p = (u8)value; break;
    case 2: *(volatile host_u16 *)p = (u16)value; break;
    case 4: *(volatile host_u32 *)p = (u32)value; break;
    default: *(volatile host_u64 *)p = value;
    }
}

/* ---- memory.c --------------------------------------------------------------------------- */

/* Operand bytes after translation, in one or two pages: parts at consecutive addresses. */
struct emu_span {
    u8 *host[2]; /* host address of each part, NULL: MMIO at gpa */
    gpa_t gpa[2];
    u16 size;  /* bytes in all, 1..4096 */
    u16 first; /* bytes in the first part; size, when that is all: one page, or on the host one */
};

/* Segmented to linear: limit, type, null and canonical checks of [offset, offset + size) for
 * EMU_READ, EMU_WRITE or EMU_FETCH.  #SS(0) when seg is SS, else #GP(0).  Brings in STATE_SEG(seg).
 * The caller has truncated offset to the address (or stack-address) size. */
enum emu_status emu_linear(struct emu *e, enum seg seg, u64 offset, unsigned size,
                           enum emu_access access, gva_t *gva);

/* The same, but false and no fault when it is not allowed. */
bool emu_reaches(struct emu *e, enum seg seg, u64 offset, unsigned size, enum emu_access access,
                 gva_t *gva);

/* One translation.  Not initialised as a whole: a walk is made for every access. */
struct emu_walk {
    gva_t gva;
    enum emu_access access;
    gpa_t gpa;
    u64 table;                    /* where it begins */
    u64 reserved;                 /* bits that no entry may have */
    unsigned top;                 /* the lowest address bit of the first index */
    bool wide;                    /* entries of 8 bytes and indices of 9 bits; else 4 and 10 */
    u64 all, any;                 /* the entries, ANDed and ORed */
    u64 leaf;                     /* the last of them */
    unsigned count;               /* entries seen in memory: 0 without paging */
    struct emu_walk_step step[5]; /* these entries, top down; levels are filled in when asked for */
    const void *host[5];          /* where they are */
};

/* A page's translation, in 4-level paging: good while these registers and paging entries are what
 * they were (where there are fewer entries the last one stands for the rest). */
struct emu_translation {
    u64 page; /* gva / PAGE_SIZE */
    u64 cr3, cr4, efer;
    const void *at[4];
    u64 entry[4];
    gpa_t gpa;      /* of the page */
    const u8 *code; /* the page, once instructions were fetched ... */
    u32 cs; /* ... with these access rights of CS, which tell 64-bit mode and the CPL; or ~0 */
} __attribute__((aligned(128))); /* so that indexing is a shift */

/* A decoded instruction that lay within one page of RAM.  `tag` is RIP in 64-bit mode, else
 * OTHER_TAG (emulator.c) with mode and linear address. */
struct emu_cached {
    u64 tag;
    u64 mask[2]; /* which bytes of `code` are the instruction; the rest of it are zero */
    struct emu_code code;
    const u8 *host; /* where it was, for those without paging */
    struct insn insn;
} __attribute__((aligned(128))); /* so that indexing is a shift */
_Static_assert(sizeof(struct emu_cached) == 128 && sizeof(struct emu_code) == 16, "see above");

/* Direct-mapped by linear address. */
#define CACHE_PAGES 64u
#define CACHE_INSNS 512u
struct emu_cache {
    struct emu_cached insn[CACHE_INSNS];
    struct emu_translation page[CACHE_PAGES];
};

static inline struct emu_translation *emu_translation_slot(struct emu_cache *c, gva_t gva)
{
    return &c->page[gva.v / PAGE_SIZE % CACHE_PAGES];
}

static inline bool emu_translates(const struct emu_translation *t, const struct x86_state *s,
                                  gva_t gva)
{
    return likely(t->page == gva.v / PAGE_SIZE && t->cr3 == s->cr3 && t->cr4 == s->cr4 &&
                  t->efer == s->efer && host_load(t->at[0], 8) == t->entry[0] &&
                  host_load(t->at[1], 8) == t->entry[1] && host_load(t->at[2], 8) == t->entry[2] &&
                  host_load(t->at[3], 8) == t->entry[3]);
}

/* Translate gva, rights and all, to w->gpa; *host is NULL when it is a device's. */
enum emu_status emu_map_page(struct emu *e, gva_t gva, enum emu_access access, struct emu_walk *w,
                             u8 **host);

/* #AC where CPL 3 has asked for it and an operand of this size is misaligned. */
enum emu_status emu_check_alignment(struct emu *e, gva_t gva, unsigned size,
                                    enum emu_access access);

/* Resolve [gva, gva + size) wholly, both pages, before anything is touched: EMU_DONE, or EMU_FAULT
 * with #PF (or #AC for a misaligned power-of-two size at CPL 3).  For read-modify-write map with
 * EMU_WRITE.  EMU_USER is added here when CPL is 3 and EMU_IMPLICIT is not given. */
enum emu_status emu_map(struct emu *e, gva_t gva, unsigned size, enum emu_access access,
                        struct emu_span *span);

/* Read or write a whole span that was mapped: RAM by memcpy, devices in naturally sized pieces. */
void emu_span_read(struct emu *e, const struct emu_span *span, void *buf);
void emu_span_write(struct emu *e, const struct emu_span *span, const void *buf);

static inline struct emu_page *emu_page_slot(struct emu *e, u32 gva)
{
    return &e->page[gva / PAGE_SIZE % EMU_PAGES];
}

/* Is it data in RAM found before, without paging and alignment checks, in a segment that allows
 * whatever its limit does (SDM vol. 3A, table 3-1: data, expand-up, writable)? */
static inline bool emu_known_data(struct emu *e, enum seg seg, u64 offset, unsigned size,
                                  enum emu_access access, u8 **host)
{
    const struct x86_state *s = e->state;
    const struct segment *g = &s->seg[seg];
    u32 gva = (u32)(g->base + offset);
    const struct emu_page *p = emu_page_slot(e, gva);

    if ((s->cr0 & (CR0_PG | CR0_AM)) || (~s->valid & STATE_SEGMENTS) ||
        (g->access & (SEG_UNUSABLE | 0xe)) != 2 || offset + size - 1 > g->limit ||
        p->past - gva - size > PAGE_SIZE - size || ((access & EMU_WRITE) && !p->writable))
        return false;
    *host = p->host + (gva & PAGE_MASK);
    return true;
}

/* emu_linear, then emu_map; or known data. */
enum emu_status emu_map_seg(struct emu *e, enum seg seg, u64 offset, unsigned size,
                            enum emu_access access, struct emu_span *span);

/* Bytes in a segment, whole or not at all; likewise at a linear address. */
enum emu_status emu_read_seg(struct emu *e, enum seg seg, u64 offset, void *buf, unsigned size);
enum emu_status emu_read_linear(struct emu *e, gva_t gva, void *buf, unsigned size,
                                enum emu_access access);

/* The low `size` bytes: 1, 2, 4 or 8. */
static inline u64 emu_low(u64 value, unsigned size)
{
    return likely(size == 4) ? (u32)value : value & mask_bytes(size);
}

static inline void emu_record_io(struct emu *e, enum emu_io io, u64 address, unsigned width,
                                 u64 value)
{
    e->record.io = (u8)io;
    e->record.io_width = (u8)width;
    e->record.io_address = address;
    e->record.io_value = value;
}

/* One access of a device's register, recorded. */
static inline u64 emu_device_read(struct emu *e, gpa_t gpa, unsigned size)
{
    u64 value = e->ops->mmio_read(e->ctx, gpa, size);
    emu_record_io(e, EMU_IO_MMIO_READ, gpa.v, size, value);
    return value;
}

static inline void emu_device_write(struct emu *e, gpa_t gpa, unsigned size, u64 value)
{
    emu_record_io(e, EMU_IO_MMIO_WRITE, gpa.v, size, value);
    e->ops->mmio_write(e->ctx, gpa, size, value);
}

/* Is it RAM at consecutive host addresses? */
static inline bool emu_span_is_ram(const struct emu_span *span)
{
    return span->host[0] != NULL && span->first == span->size;
}

/* A span of 1, 2, 4 or 8 bytes as a zero-extended value. */
static inline u64 emu_span_load(struct emu *e, const struct emu_span *span)
{
    u64 value = 0;

    if (likely(emu_span_is_ram(span)))
        return host_load(span->host[0], span->size);
    emu_span_read(e, span, &value);
    return value;
}

static inline void emu_span_store(struct emu *e, const struct emu_span *span, u64 value)
{
    if (likely(emu_span_is_ram(span)))
        host_store(span->host[0], span->size, value);
    else
        emu_span_write(e, span, &value);
}

/* ---- state ------------------------------------------------------------------------------ */

static inline void emu_need(const struct emu *e, u32 groups)
{
    if (unlikely((e->state->valid & groups) != groups))
        e->ops->load(e->ctx, groups);
}

/* A segment register, brought in. */
static inline struct segment *emu_seg(const struct emu *e, unsigned seg)
{
    emu_need(e, STATE_SEG(seg));
    return &e->state->seg[seg];
}

static inline bool emu_has(const struct emu *e, enum emu_feature f)
{
    return (e->features >> f) & 1;
}

/* Real mode 0, virtual-8086 mode 3, else the DPL of SS. */
static inline unsigned emu_cpl(const struct emu *e)
{
    const struct x86_state *s = e->state;
    if (!(s->cr0 & CR0_PE))
        return 0;
    return s->rflags & RFLAGS_VM ? 3 : emu_seg(e, SEG_SS)->access >> SEG_DPL_SHIFT & 3;
}

static inline unsigned emu_iopl(const struct emu *e)
{
    return (unsigned)(e->state->rflags >> 12) & 3;
}

static inline bool emu_in_64bit(const struct x86_state *s)
{
    return (s->efer & EFER_LMA) && (s->seg[SEG_CS].access & SEG_L);
}

/* Bytes of the stack pointer, by CS and SS: 2, 4 or 8. */
static inline unsigned emu_stack_width(const struct emu *e)
{
    if (emu_in_64bit(e->state))
        return 8;
    return emu_seg(e, SEG_SS)->access & SEG_DB ? 4 : 2;
}

/* In a general register 4 bytes clear the upper half, 1 and 2 leave it (SDM vol. 1, 3.4.1.1).  This
 * and what else cannot fail returns EMU_DONE, for `return emu_set_gpr(…)`. */
static inline enum emu_status emu_set_gpr(struct emu *e, unsigned reg, unsigned size, u64 value)
{
    u64 *r = &e->state->gpr[reg];
    if (size >= 4)
        *r = size == 4 ? (u32)value : value;
    else
        *r = (*r & ~mask_bytes(size)) | (value & mask_bytes(size));
    if (unlikely(reg == RSP))
        e->state->dirty |= STATE_RSP;
    return EMU_DONE;
}

static inline enum emu_status emu_set_rflags(struct emu *e, u64 value)
{
    e->state->rflags = value | RFLAGS_FIXED;
    e->state->dirty |= STATE_RFLAGS;
    return EMU_DONE;
}

static inline enum emu_status emu_ud(struct emu *e) { return emu_raise(e, VECTOR_UD, false, 0); }

static inline enum emu_status emu_gp(struct emu *e, u32 error)
{
    return emu_raise(e, VECTOR_GP, true, error);
}

/* A debug exception that sets these bits of DR6: a fault, or a trap that is left in e->event. */
static inline enum emu_status emu_db(struct emu *e, u64 payload)
{
    e->event = (struct emu_event){
        .vector = VECTOR_DB, .type = EMU_EVENT_HARD_EXCEPTION, .payload = payload};
    return EMU_FAULT;
}

/* Base of the memory operand's segment; in 64-bit mode only FS and GS have one. */
static inline u64 emu_segment_base(struct emu *e, const struct insn *i)
{
    if (i->mode == EMU_MODE_64 && i->seg < SEG_FS)
        return 0;
    return emu_seg(e, i->seg)->base;
}

/* Is `value` canonical at the guest's linear-address width (48, or 57 with CR4.LA57)? */
static inline bool emu_canonical(const struct emu *e, u64 value)
{
    unsigned shift = e->state->cr4 & CR4_LA57 ? 7 : 16;
    return (u64)((s64)(value << shift) >> shift) == value;
}

/* Are both ends of these bytes?  Outside IA-32e mode addresses always are. */
static inline bool emu_span_canonical(const struct emu *e, u64 first, unsigned size)
{
    u64 last = first + size - 1;
    return emu_canonical(e, first) && (likely((first ^ last) >> 47 == 0) || emu_canonical(e, last));
}

/* ---- operand.c: operands by ModRM -------------------------------------------------------- */

/* Offset of the memory operand within its segment, truncated to the address size.  RIP is the next
 * instruction's already. */
static inline u64 emu_ea(const struct emu *e, const struct insn *i)
{
    const u64 *reg = e->state->reg;
    u64 ea = reg[i->base] + (reg[i->index] << i->scale) + i->disp;
    return likely(i->addrsize == 8) ? ea : ea & mask_bytes(i->addrsize);
}

/* The low `size` bytes of general register `reg`; a byte of 4..7 without REX is AH..BH. */
static inline u8 *emu_reg(struct emu *e, const struct insn *i, unsigned reg, unsigned size)
{
    if (unlikely(size == 1 && reg >= 4 && i->rex == 0))
        return (u8 *)&e->state->gpr[reg & 3] + 1;
    return (u8 *)&e->state->gpr[reg];
}

/* Value of the low `size` bytes of a register, and writing it as an instruction does. */
static inline u64 emu_get_reg(struct emu *e, const struct insn *i, unsigned reg, unsigned size)
{
    return host_load(emu_reg(e, i, reg, size), size);
}
static inline enum emu_status emu_set_reg(struct emu *e, const struct insn *i, unsigned reg,
                                          unsigned size, u64 value)
{
    if (likely(size != 1))
        return emu_set_gpr(e, reg, size, value);
    *emu_reg(e, i, reg, 1) = (u8)value;
    return EMU_DONE;
}

/* Resolve the memory operand by ModRM for `access`.  Where it is locked, RAM that straddles two
 * pages gets consecutive host addresses. */
enum emu_status emu_map_operand(struct emu *e, const struct insn *i, unsigned size,
                                enum emu_access access, struct emu_span *span);

/* Memory of 1, 2, 4 or 8 bytes at offset ea in the segment of the memory operand. */
enum emu_status emu_read_memory(struct emu *e, const struct insn *i, u64 ea, unsigned size,
                                u64 *value);
enum emu_status emu_write_memory(struct emu *e, const struct insn *i, u64 ea, unsigned size,
                                 u64 value);

/* The value of ModRM.rm (zero-extended); write to ModRM.rm. */
static inline enum emu_status emu_read_rm(struct emu *e, const struct insn *i, unsigned size,
                                          u64 *value)
{
    if (insn_is_memory(i))
        return emu_read_memory(e, i, emu_ea(e, i), size, value);
    *value = emu_get_reg(e, i, i->rm, size);
    return EMU_DONE;
}

static inline enum emu_status emu_write_rm(struct emu *e, const struct insn *i, unsigned size,
                                           u64 value)
{
    if (insn_is_memory(i))
        return emu_write_memory(e, i, emu_ea(e, i), size, value);
    return emu_set_reg(e, i, i->rm, size, value);
}

/* Read, modify and write the memory operand (i->size bytes) by one function on host memory, which
 * returns EMU_DONE; `writes` false: only read (CMP, TEST). */
typedef enum emu_status (*emu_rmw)(unsigned size, bool lock, void *d, u64 s, u64 *rflags);
enum emu_status emu_modify(struct emu *e, const struct insn *i, emu_rmw fn, u64 source,
                           bool writes);

/* The far pointer in memory: offset of the operand size, then selector. */
enum emu_status emu_read_far(struct emu *e, const struct insn *i, u64 *offset, u16 *selector);

/* Condition code `cc` (0..15: O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE), SDM vol. 1, B.1. */
static inline bool emu_condition(u64 rflags, unsigned cc)
{
    static const u16 tested[8] = {RFLAGS_OF, RFLAGS_CF, RFLAGS_ZF, RFLAGS_CF | RFLAGS_ZF,
                                  RFLAGS_SF, RFLAGS_PF, 0,         RFLAGS_ZF};
    unsigned n = cc >> 1 & 7;
    bool less = n >= 6 && !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);

    return (less || (rflags & tested[n])) != (cc & 1);
}

/* ---- stack.c ------------------------------------------------------------------------------ */

/* Push one value into `slot` bytes, 2, 4 or 8, of which `size` are written. */
enum emu_status emu_push(struct emu *e, unsigned slot, unsigned size, u64 value);

/* The value at this offset of the stack; emu_pop_commit() then adds to rSP what was popped. */
enum emu_status emu_peek(struct emu *e, u64 at, unsigned size, u64 *value);
static inline enum emu_status emu_pop_commit(struct emu *e, u64 bytes)
{
    return emu_set_gpr(e, RSP, emu_stack_width(e), e->state->gpr[RSP] + bytes);
}

/* ---- native.c: may x87, MMX, SSE, AVX state be used by this instruction?  Else #UD or #NM. --- */
enum emu_status emu_check_vector(struct emu *e, const struct insn *i);

/* For the decoder: the code, and what op_native() and op_integer() want to know. */
void emu_native_prepare(struct insn *i);

/* ---- decode.c, table.c ---------------------------------------------------------------------- */

extern const struct opcode emu_map_1byte[256], emu_map_0f[256], emu_map_0f38[256],
    emu_map_0f3a[256], emu_map_5[256], emu_map_6[256];
extern const struct opcode emu_map_opmask[32]; /* with VEX, for 0F 40..4F and 90..9F */

/* Decode at most `avail` bytes, INSN_MAX or less, of `code`.  code32: CS.D.  Returns: DECODE_MORE
 * when the instruction goes on past them, DECODE_UD (length then the bytes seen), DECODE_LONG when
 * it is longer than 15 bytes (#GP), else DECODE_OK. */
enum decode_result { DECODE_OK, DECODE_MORE, DECODE_UD, DECODE_LONG };
enum decode_result emu_decode(const u8 code[CODE_ROOM], unsigned avail, enum emu_mode mode,
                              bool code32, struct insn *i);

/* Bytes of the memory operand among the arguments, and which it is; 0: there is none. */
unsigned emu_memory_arg(const struct insn *i, unsigned *which);

/* Bytes of one unit of an EVEX instruction's memory operand. */
unsigned emu_evex_unit(const struct insn *i);

/* Bytes of an operand of this size letter in this instruction (0: the instruction's own). */
unsigned emu_arg_bytes(const struct insn *i, u16 arg);

/* ---- handlers: operands are as in the tables (table.c) ------------------------------------- */

/* far.c, segment.c: EA, 9A, FF/3, FF/5, CB, CA; 8E; 07 17 1F, 0F A1 A9; C4 C5, 0F B2 B4 B5 */
emu_handler op_far, op_ret_far, op_mov_to_sreg, op_pop_sreg, op_load_far_pointer;
/* event.c */
emu_handler op_int, op_trap, op_iret;
/* system.c: 0F 00, 0F 01 */
emu_handler op_load_system, op_store_table, op_load_table, op_smsw, op_lmsw, op_invlpg, op_swapgs,
    op_monitor, op_mwait, op_set_ac, op_read_extended, op_xsetbv, op_wrpkru;
/* system.c: the rest of 0F, and F4 */
emu_handler op_special, op_probe, op_syscall, op_sysret, op_sysenter, op_sysexit, op_clts,
    op_mov_from_cr, op_mov_to_cr, op_mov_dr, op_rdmsr, op_wrmsr, op_rdtsc, op_rdpmc, op_cpuid,
    op_invpcid, op_rdpid, op_read_base, op_write_base, op_hlt;
/* alu.c */
emu_handler op_alu_rm_reg, op_alu_reg_rm, op_alu_rm_imm, op_alu_rm_cl, op_bcd, op_aam, op_aad,
    op_bt, op_bitcount, op_bswap, op_movbe;
/* move.c */
emu_handler op_ud, op_nop, op_xend, op_xtest, op_movdir64b, op_mov_store, op_mov_load, op_mov_imm,
    op_mov_from_sreg, op_extend, op_cmov, op_set, op_lea, op_xchg_acc, op_xlat, op_salc, op_flag,
    op_interrupts, op_bound, op_arpl, op_pause, op_clflush, op_fence;
/* stack.c */
emu_handler op_push_rm, op_push_imm, op_push_sreg, op_pop, op_pusha, op_popa, op_pushf, op_popf,
    op_enter, op_leave;
/* branch.c */
emu_handler op_jcc, op_jmp, op_call, op_ret, op_loop, op_jcxz, op_xbegin;
/* string.c */
emu_handler op_string, op_port;
/* native.c, vector.c, fpu.c */
emu_handler op_native, op_integer, op_vmaskmov, op_maskmov, op_gather, op_vzero, op_fwait,
    op_fpu_env, op_fxsave, op_xsave, op_xrstor;
/* clang-format off */

/* op->sub of the handlers that cover several instructions.  alu.c: the host's instruction and its
 * operands (flags.h); from ALU_CMP on only flags change. */
#define ALU_LIST(RMW, SHIFT, READ)                                                                 \
    RMW(ADD, "add", SOURCE) RMW(OR, "or", SOURCE) RMW(ADC, "adc", SOURCE) RMW(SBB, "sbb", SOURCE)  \
    RMW(AND, "and", SOURCE) RMW(SUB, "sub", SOURCE) RMW(XOR, "xor", SOURCE)                        \
    RMW(INC, "inc", ALONE) RMW(DEC, "dec", ALONE) RMW(NOT, "not", ALONE) RMW(NEG, "neg", ALONE)    \
    SHIFT(ROL, "rol") SHIFT(ROR, "ror") SHIFT(RCL, "rcl") SHIFT(RCR, "rcr")                        \
    SHIFT(SHL, "shl") SHIFT(SHR, "shr") SHIFT(SAR, "sar")                                          \
    READ(CMP, "cmp", SOURCE) READ(TEST, "test", SOURCE)
#define ALU_NAME(name, ...) ALU_##name,
enum alu_op { ALU_LIST(ALU_NAME, ALU_NAME, ALU_NAME) };

enum string_op {
    STRING_MOVS, STRING_STOS, STRING_LODS, STRING_CMPS, STRING_SCAS, STRING_INS, STRING_OUTS
};
/* clang-format on */

enum native_form { /* bits; OP_SSE operands of 16 bytes must be aligned if nothing else is said */
                   NATIVE_ALIGNED = 1,   /* also with VEX, also of other sizes */
                   NATIVE_UNALIGNED = 2, /* nor does #AC ask for it */
                   NATIVE_LOAD = 4,      /* the first operand is memory, yet a source */
                   NATIVE_STORE = 8,     /* x87, integers: the memory operand is written */
                   NATIVE_NOWAIT = 16,   /* x87: a pending exception does not matter */
                   NATIVE_BOTH = 32,     /* integers: the second operand is written too */
                   NATIVE_CMPXCHG = 64   /* ... a register is written only when ZF says equal */
};
enum probe_op { PROBE_LAR, PROBE_LSL, PROBE_VERR, PROBE_VERW };
enum loop_op { LOOP_NE, LOOP_E, LOOP_ALWAYS };

#endif
