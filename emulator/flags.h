/* SPDX-License-Identifier: MIT
 *
 * Arithmetic flags from the real ALU.  They travel as in AX after LAHF; SETO AL: AH is the low byte
 * of RFLAGS, AL is OF.  Loading them again is ADD AL, 7Fh (OF out of AL); SAHF.  About 2 ns, where
 * PUSHF/POPF costs 10 to 14.
 */
#ifndef EMULATOR_FLAGS_H
#define EMULATOR_FLAGS_H

#include "emulator/emulator.h"

#define FLAGS_LOAD "addb $0x7f, %%al\n\tsahf\n\t"
#define FLAGS_SAVE "\n\tlahf\n\tseto %%al"

static inline u32 flags_pack(u64 rflags)
{
    return (u32)((rflags & 0xff) << 8 | (rflags >> 11 & 1));
}

static inline u64 flags_unpack(u64 rflags, u32 ax)
{
    return (rflags & ~(u64)EMU_ARITH_FLAGS) | (ax >> 8 & 0xd5) | (u64)(ax & 1) << 11;
}

/* One instruction on *d (1, 2, 4 or 8 bytes) with register source s, flags in and out in `ax`;
 * count in CL for shifts.  `size` picks the suffix. */
#define FLAGS_ASM(text)                         \
    __asm__ volatile(FLAGS_LOAD text FLAGS_SAVE \
                     : "+a"(ax)                 \
                     : [d] "r"(d), [s] "r"(s)   \
                     : "cc", "memory")
#define FLAGS_ASM_CL(text) \
    __asm__ volatile(FLAGS_LOAD text FLAGS_SAVE : "+a"(ax) : [d] "r"(d), "c"(s) : "cc", "memory")
#define FLAGS_BY_SIZE(ASM, op, b, w, l, q) \
    switch (size) {                        \
    case 1: ASM(op "b " b); break;         \
    case 2: ASM(op "w " w); break;         \
    case 4: ASM(op "l " l); break;         \
    default: ASM(op "q " q);               \
    }
#define FLAGS_SOURCE "%b[s], (%[d])", "%w[s], (%[d])", "%k[s], (%[d])", "%q[s], (%[d])"
#define FLAGS_ALONE  "(%[d])", "(%[d])", "(%[d])", "(%[d])"
#define FLAGS_COUNT  "%%cl, (%[d])", "%%cl, (%[d])", "%%cl, (%[d])", "%%cl, (%[d])"
/* One level of expansion, so that the lists above become four arguments. */
#define FLAGS_SIZED(...) FLAGS_BY_SIZE(__VA_ARGS__)

/* Definitions of type emu_rmw for ALU_LIST (internal.h).  `lock` is taken only where the operand is
 * memory: decode has seen to it. */
#define FLAGS_FN(name, locks, LOCKED, PLAIN)                                                \
    static enum emu_status do_##name(unsigned size, bool lock, void *d, u64 s, u64 *rflags) \
    {                                                                                       \
        u32 ax = flags_pack(*rflags);                                                       \
        if ((locks) && lock)                                                                \
            LOCKED                                                                          \
        else                                                                                \
            PLAIN                                                                           \
        *rflags = flags_unpack(*rflags, ax);                                                \
        return EMU_DONE;                                                                    \
    }
#define FLAGS_RMW(name, op, form)                                          \
    FLAGS_FN(name, true, FLAGS_SIZED(FLAGS_ASM, "lock " op, FLAGS_##form), \
             FLAGS_SIZED(FLAGS_ASM, op, FLAGS_##form))
#define FLAGS_READ(name, op, form) \
    FLAGS_FN(name, false, ;, FLAGS_SIZED(FLAGS_ASM, op, FLAGS_##form))
#define FLAGS_SHIFT(name, op) FLAGS_FN(name, false, ;, FLAGS_SIZED(FLAGS_ASM_CL, op, FLAGS_COUNT))

#endif
