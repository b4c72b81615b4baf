/* SPDX-License-Identifier: MIT
 *
 * What memory.c, segment.c, far.c, event.c, task.c and system.c share: descriptors, stack frames,
 * the ways into another code segment, level or task.  Nobody else includes this.
 */
#ifndef EMULATOR_SYSTEM_H
#define EMULATOR_SYSTEM_H

#include "emulator/internal.h"

/* ---- memory.c --------------------------------------------------------------------------- */

static inline bool emu_long_mode(const struct x86_state *s) { return s->efer & EFER_LMA; }

static inline bool emu_in_64bit(const struct x86_state *s)
{
    return emu_long_mode(s) && (s->seg[SEG_CS].access & SEG_L);
}

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

static inline unsigned desc_dpl(const struct descriptor *d)
{
    return d->access >> SEG_DPL_SHIFT & 3;
}

/* Type of a system segment or gate; 0 (reserved) for code and data. */
static inline unsigned desc_system_type(const struct descriptor *d)
{
    return d->access & SEG_S ? 0 : d->access & SEG_TYPE;
}

static inline bool desc_is_code(const struct descriptor *d)
{
    return (d->access & (SEG_S | TYPE_CODE)) == (SEG_S | TYPE_CODE);
}

static inline bool desc_is_conforming(const struct descriptor *d)
{
    return desc_is_code(d) && (d->access & TYPE_CONFORMING);
}

static inline bool desc_is_writable(const struct descriptor *d)
{
    return (d->access & (SEG_S | TYPE_CODE | TYPE_WRITABLE)) == (SEG_S | TYPE_WRITABLE);
}

static inline bool selector_is_null(u16 selector) { return (selector & 0xfffc) == 0; }

/* A fault whose error code is a selector (without its RPL). */
static inline enum emu_status emu_raise_selector(struct emu *e, enum vector vector, u16 selector)
{
    (void)emu_raise(e, (u8)vector, true, selector & 0xfffcu);
    return EMU_FAULT;
}

/* Read the descriptor `selector` (not null) names.  Outside its table: `vector` (selector). */
enum emu_status emu_desc_fetch(struct emu *e, u16 selector, enum vector vector,
                               struct descriptor *d);

/* In IA-32e mode read the other half of a system descriptor as well, and check its form. */
enum emu_status emu_desc_widen(struct emu *e, enum vector vector, struct descriptor *d);

/* Set the accessed bit of a code or data segment, in its table when it is not yet set there. */
enum emu_status emu_desc_accessed(struct emu *e, struct descriptor *d);

/* Set or clear the busy bit of a TSS in its table. */
enum emu_status emu_desc_busy(struct emu *e, struct descriptor *d, bool busy);

/* What goes into the segment register. */
struct segment emu_desc_segment(const struct descriptor *d);

/* What an ES..GS register holds after selector was loaded into it in virtual-8086 mode. */
struct segment emu_segment_vm86(u16 selector);

/* Put it there and mark it valid and dirty. */
void emu_set_segment(struct emu *e, enum seg seg, const struct segment *g);

/* CS and RIP for running at level cpl, and the retire step's dirty marks. */
void emu_set_code(struct emu *e, const struct segment *cs, unsigned cpl, u64 rip);

/* SS made null for level cpl of 64-bit mode. */
struct segment emu_null_stack(unsigned cpl);

/* Is `rip` within this code segment's limit, or canonical when it is a 64-bit one? */
bool emu_code_holds(const struct emu *e, const struct segment *cs, u64 rip);

/* Real mode: CS for `selector`, the hidden rest kept. */
struct segment emu_real_code(struct emu *e, u16 selector);

/* The code segment for a far transfer: null #GP(0), no code #GP(selector), never L with D. */
enum emu_status emu_fetch_code(struct emu *e, u16 selector, struct descriptor *d);

/* A stack that is popped from, or prepared for pushes, before it is committed. */
struct emu_stack {
    struct segment ss;
    u64 sp;
    u8 width;     /* bytes of the stack pointer: 2, 4 or 8 */
    bool foreign; /* not the current stack: accessed with supervisor rights */
    u16 error;    /* of #SS: the selector for a foreign stack, else 0 */
};
void emu_stack_current(const struct emu *e, struct emu_stack *k);
enum emu_status emu_stack_pop(struct emu *e, struct emu_stack *k, unsigned size, u64 *value);
void emu_stack_skip(struct emu_stack *k, u64 bytes);

/*
 * The empty stack for level dpl that the TSS names (SDM vol. 3A, 5.8.5); ist is 0 or, in IA-32e
 * mode, an entry of the interrupt stack table.  In IA-32e mode SS becomes null.
 */
enum emu_status emu_stack_of_tss(struct emu *e, unsigned dpl, unsigned ist, struct emu_stack *k);

/* Items to be pushed: each is resolved when added, all are written by emu_frame_store.  The caller
 * sets stack, and count to 0. */
#define FRAME_MAX 35 /* call gate: SS, ESP, 31 parameters, CS, EIP */
struct emu_frame {
    struct emu_stack stack;
    unsigned count;
    struct emu_span span[FRAME_MAX];
    u64 value[FRAME_MAX];
};
enum emu_status emu_frame_push(struct emu *e, struct emu_frame *f, unsigned size, u64 value);
void emu_frame_store(struct emu *e, const struct emu_frame *f);

/* ---- far.c ------------------------------------------------------------------------------ */

/* A far return or IRET in protected mode, CS and RIP (and flags) already popped from stack. */
struct far_return {
    struct emu_stack stack;
    u64 rip, flags;
    unsigned size;    /* of a stack item: 2, 4 or 8 */
    unsigned release; /* RET n */
    u16 cs;
    bool iret;
};
enum emu_status emu_far_return(struct emu *e, struct far_return *r);

/* ---- event.c ---------------------------------------------------------------------------- */

/* Load RFLAGS as IRET does at level cpl with an operand of `size` bytes. */
void emu_iret_flags(struct emu *e, unsigned cpl, unsigned size, u64 flags);

/* Deliver `event`, which came up while `first` (NULL: nothing) was being delivered. */
enum emu_status emu_deliver_after(struct emu *e, const struct emu_event *first,
                                  const struct emu_event *event);

/* ---- task.c ----------------------------------------------------------------------------- */

/* emu_task_switch, except that a fault in the new task is left in e->event: *entered says that the
 * state is the new task's already. */
enum emu_status emu_enter_task(struct emu *e, u16 selector, enum emu_task_source source,
                               const struct emu_event *cause, u64 return_rip, bool *entered);

#endif
