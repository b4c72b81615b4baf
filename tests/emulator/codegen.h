/* SPDX-License-Identifier: MIT
 *
 * Machine code by the die: byte strings weighted towards valid instructions, and a look at a byte
 * string that finds prefixes, opcode and ModRM without asking anybody's decoder.
 */
#ifndef TESTS_EMULATOR_CODEGEN_H
#define TESTS_EMULATOR_CODEGEN_H

#include "lib/bits.h"
#include "lib/types.h"
#include <string.h>

/* ---- random numbers: SplitMix64 ---- */

struct rng {
    u64 s;
};

static inline u64 rng_next(struct rng *r)
{
    u64 z = (r->s += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* 0..n-1 */
static inline u32 rng_below(struct rng *r, u32 n) { return (u32)((rng_next(r) >> 32) * n >> 32); }

/* True in `percent` of all cases. */
static inline bool rng_chance(struct rng *r, u32 percent) { return rng_below(r, 100) < percent; }

/* A value that instructions find interesting. */
static inline u64 rng_value(struct rng *r)
{
    static const u64 special[] = {
        0,          1,          2,          0x7f,  0x80,       0xff,       0x7fff, 0x8000, 0xffff,
        0x7fffffff, 0x80000000, 0xffffffff, ~0ull, 1ull << 63, ~0ull >> 1, 0x55,   0x99,   0x9a,
        0x66,       0xff00,     0x10,       0x1f,  0x20,       0x3f,       0x40,
    };
    u32 pick = rng_below(r, 100);
    if (pick < 40)
        return special[rng_below(r, ARRAY_SIZE(special))];
    if (pick < 60)
        return rng_below(r, 256);
    if (pick < 70)
        return (u64) - (s64)rng_below(r, 256);
    if (pick < 80)
        return 1ull << rng_below(r, 64);
    return rng_next(r) >> (rng_below(r, 2) * 32);
}

/* ---- what a byte string begins with ---- */

/* Opcode maps: one-byte, 0F, 0F38, 0F3A, and everything behind C4, C5, 62. */
enum code_map { MAP_ONE, MAP_0F, MAP_0F38, MAP_0F3A, MAP_VEX, MAP_COUNT };

struct code_scan {
    u8 prefixes; /* legacy prefixes and REX, in bytes */
    u8 rex;      /* the REX byte in force, or 0 */
    u8 rep;      /* the last of F2 and F3, or 0 */
    u8 seg;      /* the last segment prefix, or 0 */
    bool opsize, addrsize, lock;
    u8 map;       /* enum code_map */
    u8 vex, vvvv; /* the byte behind C4, C5 or 62, and the one with VEX.vvvv */
    u8 opcode;
    u8 modrm;   /* the byte after the opcode, ModRM or not */
    u8 opcount; /* opcode bytes */
};

static inline void code_scan_opcode(const u8 *b, bool mode64, struct code_scan *s)
{
    s->map = MAP_ONE;
    s->opcount = 1;
    if (b[0] == 0x0f) {
        bool three = b[1] == 0x38 || b[1] == 0x3a;
        s->map = b[1] == 0x38 ? MAP_0F38 : b[1] == 0x3a ? MAP_0F3A : MAP_0F;
        s->opcount = three ? 3 : 2;
    } else if ((b[0] == 0xc4 || b[0] == 0xc5 || b[0] == 0x62) && (mode64 || b[1] >= 0xc0)) {
        s->map = MAP_VEX;
        s->vex = b[1];
        s->vvvv = b[b[0] == 0xc5 ? 1 : 2];
        s->opcount = b[0] == 0xc5 ? 3 : b[0] == 0xc4 ? 4 : 5;
    }
    s->opcode = b[s->opcount - 1];
    s->modrm = b[s->opcount];
}

/* Look at 24 readable bytes of which the first 15 matter. */
static inline void code_scan(const u8 *b, bool mode64, struct code_scan *s)
{
    memset(s, 0, sizeof(*s));
    for (; s->prefixes < 15; s->prefixes++) {
        u8 p = b[s->prefixes];
        if (mode64 && (p & 0xf0) == 0x40) {
            s->rex = p;
            continue;
        }
        if (p == 0x66)
            s->opsize = true;
        else if (p == 0x67)
            s->addrsize = true;
        else if (p == 0xf0)
            s->lock = true;
        else if (p == 0xf2 || p == 0xf3)
            s->rep = p;
        else if ((p & 0xe7) == 0x26)
            s->seg = mode64 ? s->seg : p; /* 64-bit mode ignores these four */
        else if (p == 0x64 || p == 0x65)
            s->seg = p;
        else
            break;
        s->rex = 0; /* a REX that is not last is ignored */
    }
    code_scan_opcode(b + s->prefixes, mode64, s);
}

/* Is ModRM.reg part of the opcode?  (For statistics and masks.) */
static inline bool code_is_group(const struct code_scan *s)
{
    static const u8 one[] = {0x80, 0x81, 0x82, 0x83, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7,
                             0xd0, 0xd1, 0xd2, 0xd3, 0xd8, 0xd9, 0xda, 0xdb, 0xdc,
                             0xdd, 0xde, 0xdf, 0xf6, 0xf7, 0xfe, 0xff};
    static const u8 two[] = {0x00, 0x01, 0x18, 0x71, 0x72, 0x73, 0xae, 0xba, 0xc7};
    if (s->map == MAP_ONE)
        return memchr(one, s->opcode, sizeof(one)) != NULL;
    return s->map == MAP_0F && memchr(two, s->opcode, sizeof(two)) != NULL;
}

/* ---- random code ---- */

static const u8 code_prefixes[] = {0x66, 0x66, 0x66, 0xf2, 0xf3, 0xf3, 0x67, 0x67,
                                   0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65};

static inline unsigned code_random_prefixes(struct rng *r, bool mode64, u8 *b)
{
    unsigned n = 0;
    if (rng_chance(r, 40)) {
        unsigned many = 1 + rng_below(r, 2);
        if (rng_chance(r, 2))
            many += rng_below(r, 12);
        while (n < many)
            b[n++] = code_prefixes[rng_below(r, ARRAY_SIZE(code_prefixes))];
    }
    if (mode64 && rng_chance(r, 45))
        b[n++] = (u8)(0x40 | (rng_chance(r, 50) ? 8 : 0) | rng_below(r, 8));
    return n;
}

/* The last byte of EVEX: z, LL, b, V', aaa; often nothing, or nothing wrong. */
static inline u8 code_random_evex(struct rng *r)
{
    u8 b = (u8)(rng_next(r) | (rng_chance(r, 85) ? 8 : 0));
    if (rng_chance(r, 60))
        b &= (u8)~0x10;
    if (rng_chance(r, 30))
        b &= (u8)~0x87;
    if (rng_chance(r, 60) && (b & 0x70) == 0x60)
        b &= (u8)~0x20;
    return (b & 7) == 0 && rng_chance(r, 90) ? b & 0x7f : b;
}

/* C5, C4 or 62 and what follows up to the opcode; often vvvv says "none". */
static inline unsigned code_random_vex(struct rng *r, u8 *b)
{
    u32 kind = rng_below(r, 10);
    for (unsigned i = 0; i < 6; i++)
        b[i] = (u8)rng_next(r);
    b[0] = kind < 3 ? 0xc5 : kind < 6 ? 0xc4 : 0x62;
    unsigned last = b[0] == 0xc5 ? 1 : 2;
    if (last == 2)
        b[1] = (u8)((b[1] & (b[0] == 0x62 ? 0xf0 : 0xe0)) | (1 + rng_below(r, 3)));
    if (b[0] == 0x62 && rng_chance(r, 30))
        b[1] = (u8)((b[1] & 0xf0) | (5 + rng_below(r, 2)));
    if (rng_chance(r, 40))
        b[last] |= 0x78;
    if (rng_chance(r, 50))
        b[1] |= 0xe0; /* low registers; VEX also outside 64-bit mode */
    if (b[0] == 0x62) {
        b[1] |= 0xc0 & rng_next(r);
        b[2] |= 4;
        b[++last] = code_random_evex(r);
    }
    return last + 2;
}

static inline unsigned code_random_opcode(struct rng *r, u8 *b)
{
    u32 pick = rng_below(r, 100);
    u8 op = (u8)rng_next(r);
    if (pick < 54) {
        b[0] = op;
        return 1;
    }
    if (pick >= 88)
        return code_random_vex(r, b);
    b[0] = 0x0f;
    if (pick < 78) {
        b[1] = op;
        return 2;
    }
    b[1] = pick < 84 ? 0x38 : 0x3a;
    b[2] = b[1] == 0x38 && rng_chance(r, 40) ? (u8)(0xf0 | (op & 15)) : op;
    return 3;
}

/*
 * Displacements and immediates: mostly small or, by the caller's choice, an address.  The bytes
 * are laid down at odd places too, since nobody has told whether a SIB byte comes first.
 */
static inline void code_random_tail(struct rng *r, u64 address, u8 *b, unsigned room)
{
    for (unsigned i = 0; i < room; i++)
        b[i] = (u8)rng_next(r);
    for (unsigned at = rng_below(r, 2); at + 4 <= room; at += 4) {
        u32 pick = rng_below(r, 100);
        u32 v = pick < 45   ? (u32)address
                : pick < 70 ? (u32)rng_value(r)
                : pick < 85 ? (u32)rng_below(r, 256) - 128
                            : (u32)rng_next(r);
        memcpy(b + at, &v, 4);
    }
}

/* 24 bytes that begin with something that looks like an instruction. */
static inline void code_random(struct rng *r, bool mode64, u64 address, u8 b[24])
{
    u8 tmp[48];
    unsigned n = code_random_prefixes(r, mode64, tmp);
    n += code_random_opcode(r, tmp + n);
    tmp[n++] = (u8)rng_next(r);
    code_random_tail(r, address, tmp + n, 24);
    memcpy(b, tmp, 24);
}

#endif
