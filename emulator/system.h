/* SPDX-License-Identifier: MIT
 *
 * What memory.c, segment.c, stack.c, string.c, far.c, event.c, task.c and system.c share:
 * descriptors, stack frames, the ways into another code segment, level or task.  Nobody else
 * includes this.
 */
#ifndef EMULATOR_SYSTEM_H
#define EMULATOR_SYSTEM_H

#include "emulator/internal.h"

/* ---- memory.c --------------------------------------------------------------------------- */

static inline bool emu_long_mode(const struct x86_state *s) { return s->efer & EFER_LMA; }

static inline bool emu_in_protected(const struct x86_state *s)
{
    return (s->cr0 & CR0_PE) && !(s->rflags & RFLAGS_VM);
}

/* Linear address of [offset, offset + size) in any segment; false: its limit, type or form (mode64:
 * canonical) forbids it. */
bool emu_segment_linear(const struct emu *e, const struct segment *g, bool mode64, u64 offset,
                        unsigned size, enum emu_access access, gva_t *gva);

/* emu_map with exactly the rights in `access`: EMU_USER is not added, alignment not checked. */
enum emu_status emu_map_as(struct emu *e, gva_t gva, unsigned size, enum emu_access access,
                           struct emu_span *span);

/* ---- segment.c -------------------------------------------------------------------------- */

/* System-segment and gate types, SDM vol. 3A, table 3-2; IA-32e mode has the 32-bit ones only. */
enum system_type {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL16 = 4,
    TYPE_TASK_GATE = 5,
    TYPE_INT16 = 6,
    TYPE_TRAP16 = 7,
    TYPE_TSS = 9,
    TYPE_TSS_BUSY = 11,
    TYPE_CALL = 12,
    TYPE_INT = 14,
    TYPE_TRAP = 15
};
#define TYPE_CODE       0x8u /* of a segment with S: executable */
#define TYPE_CONFORMING 0x4u /* of code; of data: expand-down */
#define TYPE_WRITABLE   0x2u /* of data; of code: readable */
#define TYPE_ACCESSED   0x1u
#define TYPE_BUSY       0x2u /* of a TSS */

/* A descriptor as read from its table. */
struct descriptor {
    u64 low, high; /* high: of a 16-byte one (emu_desc_widen), else 0 */
    gva_t at;
    u32 access; /* as in struct segment */
    u16 selector;
};

/* What access rights say, of a descriptor or of a segment register. */
static inline unsigned access_dpl(u32 access) { return access >> SEG_DPL_SHIFT & 3; }

static inline bool is_code(u32 access) { return (access & SEG_S) && (access & TYPE_CODE); }

static inline bool is_conforming(u32 access)
{
    return is_code(access) && (access & TYPE_CONFORMING);
}

static inline bool is_writable(u32 access)
{
    return (access & SEG_S) && (access & TYPE_WRITABLE) && !(access & TYPE_CODE);
}

/* Type of a system segment or gate; 0 (reserved) for code and data. */
static inline unsigned system_type(u32 access) { return access & SEG_S ? 0 : access & SEG_TYPE; }

static inline bool selector_is_null(u16 selector) { return (selector & 0xfffc) == 0; }

/* A fault whose error code is a selector (without its RPL). */
static inline enum emu_status emu_raise_selector(struct emu *e, enum vector vector, u16 selector)
{
    return emu_raise(e, (u8)vector, true, selector & 0xfffcu);
}

/* Read the descriptor `selector` (not null) names.  Outside its table: `vector` (selector). */
enum emu_status emu_desc_fetch(struct emu *e, u16 selector, enum vector vector,
                               struct descriptor *d);

/* In IA-32e mode read the other half of a system descriptor as well, and check its form. */
enum emu_status emu_desc_widen(struct emu *e, enum vector vector, struct descriptor *d);

/* The system descriptor `selector` names: in the GDT, of one of `types`, with a canonical base, or
 * else `vector` (selector); present, or else `absent` (selector). */
enum emu_status emu_fetch_system(struct emu *e, u16 selector, u16 types, enum vector vector,
                                 enum vector absent, struct descriptor *d);

/* What a code or data segment is wanted for, which decides how it is judged. */
enum segment_use {
    USE_DATA,    /* DS, ES, FS, GS: may be null */
    USE_STACK,   /* SS for running at `level` */
    USE_STACK64, /* ... in 64-bit code, where below level 3 it may be null */
    USE_BRANCH,  /* from here on CS: of JMP and CALL at `level` */
    USE_RETURN,  /* of a return from `level` to that of its RPL */
    USE_JMP_GATE,
    USE_GATE /* of CALL and events through a gate: `level` or further in */
};

/*
 * The descriptor of a code or data segment.  `vector` (selector) when it is outside its table or
 * not allowed, #SS or #NP when it is absent; take: the accessed bit is then set, and null allowed.
 */
enum emu_status emu_fetch_segment(struct emu *e, u16 selector, enum segment_use use, unsigned level,
                                  enum vector vector, struct descriptor *d);
enum emu_status emu_take_segment(struct emu *e, u16 selector, enum segment_use use, unsigned level,
                                 enum vector vector, struct segment *g);

/* Set or clear a bit of the type, TYPE_ACCESSED or TYPE_BUSY, in the table as well. */
enum emu_status emu_desc_mark(struct emu *e, struct descriptor *d, u8 bit, bool on);

/* What goes into the segment register. */
struct segment emu_desc_segment(const struct descriptor *d);

/* What an ES..GS register holds after selector was loaded into it in virtual-8086 mode. */
struct segment emu_segment_vm86(u16 selector);

/* Put it there and mark it valid and dirty. */
enum emu_status emu_set_segment(struct emu *e, enum seg seg, struct segment g);

/* CS and RIP for running at level cpl, and the retire step's dirty marks. */
enum emu_status emu_set_code(struct emu *e, const struct segment *cs, unsigned cpl, u64 rip);

/* Is `rip` canonical when it is a 64-bit code segment, else its lower half within the limit? */
bool emu_code_holds(const struct emu *e, const struct segment *cs, u64 rip);

/* What emu_segment_vm86() says, in real mode, too.  There a load changes the base alone: the limit
 * and rights stay as they were ("unreal mode"), unless a null selector had left none. */
struct segment emu_segment_8086(struct emu *e, enum seg seg, u16 selector);

/* Bytes at `at` in the TSS; beyond its limit #TS (its selector), or #GP(0) if that is `vector`. */
enum emu_status emu_read_tss(struct emu *e, u32 at, void *buf, unsigned size, enum vector vector);

/* The same, `at` counted from its I/O bitmap (modulo 2^32), or #GP(0); a 16-bit TSS has none. */
enum emu_status emu_read_io_map(struct emu *e, u32 at, void *buf, unsigned size);

/* A stack that is popped from, or prepared for pushes, before it is committed. */
struct emu_stack {
    enum emu_status status; /* of its accesses; once it is not EMU_DONE there are no more */
    u64 sp;
    u8 size;      /* of an item: 2, 4 or 8 */
    u8 width;     /* bytes of the stack pointer: 2, 4 or 8 */
    bool foreign; /* of another level, accessed with supervisor rights */
    u16 error;    /* of #SS there: the selector, or 0 */
    struct segment ss;
};
void emu_stack_current(const struct emu *e, unsigned size, struct emu_stack *k);
u64 emu_stack_item(struct emu *e, struct emu_stack *k, u64 n, unsigned bytes); /* the nth */
void emu_stack_skip(struct emu_stack *k, u64 bytes);

/* Make it, which was the current one, the empty stack for level dpl that the TSS names (SDM vol.
 * 3A, 5.8.5); ist is 0 or, in IA-32e mode, an entry of the interrupt stack table.  In IA-32e mode
 * SS becomes null. */
void emu_stack_of_tss(struct emu *e, unsigned dpl, unsigned ist, struct emu_stack *k);

/* Pushes write at once, as CPUs do; emu_stack_commit moves rSP if none has faulted. */
void emu_stack_push(struct emu *e, struct emu_stack *k, u64 value);
void emu_stack_push_selector(struct emu *e, struct emu_stack *k, enum seg seg);
enum emu_status emu_stack_commit(struct emu *e, const struct emu_stack *k);

/* ---- far.c ------------------------------------------------------------------------------ */

/* Where a call, interrupt or trap gate leads: its code segment, the level there, and the stack of
 * that level or of the IST. */
struct emu_gate {
    struct segment cs;
    u64 offset;
    unsigned level;
    struct emu_stack stack;
};
enum emu_status emu_gate_open(struct emu *e, const struct descriptor *d, enum segment_use use,
                              struct emu_gate *g);

/* Commit to the stack (NULL: nothing is pushed) and go to cs:rip at `level`, without the flags
 * `clear`, if CS holds rip. */
enum emu_status emu_transfer(struct emu *e, const struct emu_stack *k, const struct segment *cs,
                             unsigned level, u64 rip, u64 clear);

/* A far return or IRET, with what it has popped. */
struct far_return {
    struct emu_stack stack;
    u64 rip, flags;
    u64 change;       /* flags that it loads; 0: no IRET */
    unsigned release; /* RET n */
    u16 cs;
};
enum emu_status emu_pop_return(struct emu *e, unsigned size, struct far_return *r);
enum emu_status emu_far_return(struct emu *e, struct far_return *r);
void emu_return_flags(struct emu *e, const struct far_return *r);

/* Make data segments null that level cpl may not use; with 4 all of them. */
void emu_null_segments(struct emu *e, unsigned cpl);

/* ---- event.c ---------------------------------------------------------------------------- */

/* The RFLAGS image that an event saves. */
u64 emu_event_flags(const struct x86_state *s, const struct emu_event *event);

/* Deliver `event`, which came up while `first` (NULL: nothing) was being delivered. */
enum emu_status emu_deliver_after(struct emu *e, const struct emu_event *first,
                                  const struct emu_event *event);

/* ---- stack.c ---------------------------------------------------------------------------- */

/* Flags that POPF and IRET may load at this level; with an operand of 2 bytes the lower half. */
u64 emu_loadable_flags(const struct emu *e);

/* Virtual-8086 mode below IOPL 3 (SDM vol. 3B, 20.3): PUSHF, POPF and IRET are #GP(0) but for their
 * 16-bit forms with CR4.VME.  There the program sees VIF as IF and its IOPL as 3 (image); of what
 * it loads IF is made VIF, and what would need the monitor is #GP(0). */
static inline bool emu_flags_virtual(const struct emu *e, const struct insn *i)
{
    return i->mode == EMU_MODE_VM86 && emu_iopl(e) < 3;
}
enum emu_status emu_vme_check(struct emu *e, const struct insn *i);
u64 emu_vme_image(u64 rflags);
enum emu_status emu_vme_load(struct emu *e, u64 *flags);

/* ---- system.c --------------------------------------------------------------------------- */

/* LDTR from `selector`, which may be null, with the faults of emu_fetch_system. */
enum emu_status emu_load_ldt(struct emu *e, u16 selector, enum vector vector, enum vector absent);

/* ---- task.c ----------------------------------------------------------------------------- */

/* emu_task_switch, except that a fault in the new task is left in e->event: *entered says that the
 * state is the new task's already. */
enum emu_status emu_enter_task(struct emu *e, u16 selector, enum emu_task_source source,
                               const struct emu_event *cause, u64 return_rip, bool *entered);

#endif
