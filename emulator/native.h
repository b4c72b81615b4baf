/* SPDX-License-Identifier: MIT
 *
 * What native.c, fpu.c and vector.c share: instructions that the CPU itself carries out for the
 * guest.  Nobody outside emulator/ includes this.
 */
#ifndef EMULATOR_NATIVE_H
#define EMULATOR_NATIVE_H

#include "emulator/internal.h"

/* May the guest use these parts of vector registers now? */
static inline bool emu_usable(const struct emu *e, u64 parts, enum emu_feature feature)
{
    return (e->state->cr4 & CR4_OSXSAVE) && (e->state->xcr0 & parts) == parts &&
           emu_has(e, feature);
}

/* Run n->code; a fault within becomes the guest's.  simple: code that needs no general register. */
enum emu_status emu_native_run(struct emu *e, struct emu_native *n);
enum emu_status emu_native_simple(struct emu *e, u64 code, void *memory);

/* #MF when an unmasked x87 exception is pending. */
enum emu_status emu_native_wait(struct emu *e);

/* The 64 bytes of a vector register (without AVX-512 32, without AVX 16) to or from memory. */
enum vector_move { VECTOR_SET = 0x6f, VECTOR_GET = 0x7f }; /* MOVDQU */
enum emu_status emu_vector_move(struct emu *e, unsigned reg, enum vector_move way, void *buf);

/* The memory operand, with the alignment rules of SDM vol. 2A, 2.4. */
enum emu_status emu_vector_map(struct emu *e, const struct insn *i, unsigned size,
                               enum emu_access access, struct emu_span *span);

/* After an x87 instruction that ran so: the pointers it noted become the guest's.  Clears *store
 * when an unmasked exception kept it from storing. */
enum emu_status emu_x87_after(struct emu *e, const struct insn *i, const struct emu_native *ran,
                              bool *store);

/* Does an opmask say which units of the memory operand are accessed? */
static inline bool emu_by_units(const struct insn *i)
{
    if (i->evex & INSN_OPMASK)
        return i->stores || !(i->op->flags & EVEX_WHOLE);
    return i->stores && (i->op->flags & EVEX_PACKED);
}

/* op_native() then. */
enum emu_status emu_under_opmask(struct emu *e, const struct insn *i);

/* Code for emu_native_simple(), operand at RDI, RET at its end. */
#define CODE_FXSAVE(wide)  ((wide) ? 0xc307ae0f48ull : 0xc307ae0full)
#define CODE_FXRSTOR(wide) ((wide) ? 0xc30fae0f48ull : 0xc30fae0full)
#define FX_SIZE            512

#endif
