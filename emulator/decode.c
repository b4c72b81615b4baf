/* SPDX-License-Identifier: MIT
 *
 * Bytes to struct insn: prefixes, opcode tables, ModRM, SIB, displacement, immediates; the rules
 * that make #UD out of a LOCK prefix or of the mode.  SDM vol. 2A, chapter 2.
 */
#include "emulator/internal.h"

/* The next byte.  There are CODE_ROOM, so none need be counted before the end. */
static inline u8 take(const u8 **at) { return *(*at)++; }

/* A little-endian, sign-extended number of 1, 2, 4 or 8 bytes. */
static inline u64 take_signed(const u8 **at, unsigned size)
{
    u64 v = host_load(*at, 8);

    *at += size;
    return (u64)sign_extend(v, size);
}

static const u8 fixed_sizes[] = {[SIZE_b] = 1,   [SIZE_w] = 2,   [SIZE_d] = 4, [SIZE_q] = 8,
                                 [SIZE_dq] = 16, [SIZE_qq] = 32, [SIZE_t] = 10};

unsigned emu_arg_bytes(const struct insn *i, u16 arg)
{
    enum arg_size s = ARG_SIZE(arg);
    bool long_mode = i->mode == EMU_MODE_64;

    if (s < ARRAY_SIZE(fixed_sizes) && fixed_sizes[s] != 0)
        return fixed_sizes[s];
    switch (s) {
    case SIZE_v: return i->opsize;
    case SIZE_z: return i->opsize == 2 ? 2 : 4;
    case SIZE_y: return (i->rex & 8) && long_mode ? 8 : 4;
    case SIZE_nat: return long_mode ? 8 : 4;
    case SIZE_addr: return i->addrsize;
    case SIZE_db: return insn_is_memory(i) ? 1 : 4;
    case SIZE_dw: return insn_is_memory(i) ? 2 : 4;
    case SIZE_vw: return insn_is_memory(i) ? 2 : i->opsize;
    case SIZE_p: return i->opsize + 2u;
    case SIZE_a: return 2u * i->opsize;
    case SIZE_desc: return long_mode ? 10 : 6;
    case SIZE_x: return 16u << i->vlen;
    case SIZE_h: return 8u << i->vlen;
    case SIZE_f: return 4u << i->vlen;
    case SIZE_e: return 2u << i->vlen;
    case SIZE_k: return i->opsize16 ? (i->rex & 8 ? 4 : 1) : (i->rex & 8 ? 8 : 2);
    case SIZE_el: return i->rex & 8 ? 8 : 4;
    case SIZE_dup: return i->vlen == 0 && insn_is_memory(i) ? 8 : 16u << i->vlen;
    default: return 0;
    }
}

unsigned emu_evex_unit(const struct insn *i)
{
    static const u64 narrow = EVEX_BYTES | EVEX_WORDS;
    u64 flags = i->op->flags;

    if (flags & narrow)
        return flags & EVEX_WORDS && (!(flags & EVEX_BYTES) || (i->rex & 8)) ? 2 : 1;
    return i->rex & 8 ? 8 : 4;
}

unsigned emu_memory_arg(const struct insn *i, unsigned *which)
{
    for (*which = 0; insn_is_memory(i) && *which < ARRAY_SIZE(i->op->arg); ++*which) {
        u16 arg = i->op->arg[*which];
        if (arg_is_of(arg, LETTER(E) | LETTER(KM) | LETTER(M) | LETTER(Q) | LETTER(W)))
            return i->evex & INSN_B ? emu_evex_unit(i) : emu_arg_bytes(i, arg);
    }
    return 0;
}

/* What the prefixes said, until the instruction is known. */
struct prefixes {
    int seg; /* -1: none */
    bool addr;
};

/* Take all prefixes, but no more than an instruction has bytes; returns the first opcode byte. */
static inline u8 decode_prefixes(const u8 **at, struct insn *i, struct prefixes *p)
{
    const u8 *end = *at + INSN_MAX;
    bool long_mode = i->mode == EMU_MODE_64;

    for (;;) {
        u8 byte = take(at);
        if (*at > end)
            return byte;
        switch (byte) {
        case 0x26: /* ES, CS, SS, DS mean nothing in 64-bit mode */
        case 0x2e:
        case 0x36:
        case 0x3e: p->seg = long_mode ? p->seg : byte >> 3 & 3; break;
        case 0x64:
        case 0x65: p->seg = SEG_FS + (byte & 1); break;
        case 0x66: i->opsize16 = true; break;
        case 0x67: p->addr = true; break;
        case 0xf0: i->lock = true; break;
        case 0xf2:
        case 0xf3: i->rep = byte; break;
        default:
            if (!long_mode || (byte & 0xf0) != 0x40)
                return byte;
            i->rex = byte;
            continue;
        }
        i->rex = 0; /* REX counts only right before the opcode */
    }
}

static const struct opcode *const maps[] = {emu_map_1byte, emu_map_0f, emu_map_0f38, emu_map_0f3a,
                                            NULL,          emu_map_5,  emu_map_6};

/* The prefix that VEX.pp stands for. */
static void set_implied(struct insn *i, unsigned pp)
{
    i->opsize16 = pp == 1;
    i->rep = pp == 2 ? 0xf3 : pp == 3 ? 0xf2 : 0;
}

/* The fields of VEX (C4, C5), SDM vol. 2A, 2.3.5. */
static void decode_vex(const u8 **at, struct insn *i, u8 first)
{
    u8 b1 = take(at), b2 = b1;

    i->vex = 1;
    i->map = 1;
    i->rex = (u8)(0x40 | (~b1 >> 5 & 4)); /* R */
    if (first == 0xc4) {
        i->rex = (u8)(0x40 | (~b1 >> 5 & 7));
        i->map = b1 & 31;
        b2 = take(at);
        i->rex |= b2 >> 4 & 8; /* W */
    }
    i->vvvv = ~b2 >> 3 & 15; /* bit 3 counts outside 64-bit mode only until it is checked */
    i->vlen = b2 >> 2 & 1;
    set_implied(i, b2 & 3);
}

/* Those of EVEX (62), SDM vol. 2A, 2.7; false when its fixed bit is not set. */
static bool decode_evex(const u8 **at, struct insn *i)
{
    u8 p0 = take(at), p1 = take(at);

    i->evex = take(at);
    i->vex = 2;
    i->rex = (u8)(0x40 | (~p0 >> 5 & 7) | (p1 >> 4 & 8) | (~p0 & 16));
    i->vvvv = (u8)((~p1 >> 3 & 15) | (~i->evex & 8) << 1);
    i->map = p0 & 15;
    i->vlen = i->evex >> 5 & 3;
    set_implied(i, p1 & 3);
    return p1 & 4;
}

/* Does C4, C5 or 62 begin VEX or EVEX rather than LES, LDS or BOUND? */
static bool is_vex(const u8 *at, const struct insn *i)
{
    return i->mode == EMU_MODE_64 ||
           (i->mode != EMU_MODE_REAL && i->mode != EMU_MODE_VM86 && *at >= 0xc0);
}

/* Opcode bytes: sets map, opcode and the VEX fields. */
static bool decode_opcode(const u8 **at, struct insn *i, u8 byte)
{
    i->opcode = byte;
    if (byte == 0x0f) {
        i->map = 1;
        i->opcode = take(at);
        if ((i->opcode & 0xf8) == 0x38) { /* of the eight maps two are filled */
            bool filled = i->opcode == 0x38 || i->opcode == 0x3a;
            i->map = i->opcode & 2 ? 3 : 2;
            i->opcode = take(at);
            return filled;
        }
    }
    if ((byte != 0xc4 && byte != 0xc5 && byte != 0x62) || !is_vex(*at, i))
        return true;
    if (byte != 0xc5 && (**at & 3) == 0)
        return false; /* no map: as long as LES and BOUND */
    bool allowed = i->rex == 0 && !i->lock && !i->opsize16 && i->rep == 0;
    if (byte == 0x62)
        allowed &= decode_evex(at, i);
    else
        decode_vex(at, i, byte);
    if (i->mode != EMU_MODE_64)
        i->rex &= 0x48;
    i->opcode = take(at);
    if (i->map <= 3 || (i->vex == 2 && (i->map == 5 || i->map == 6)))
        return allowed;
    i->map &= 3; /* the others look like these, as long as CPUs do not know them */
    return false;
}

/* Undefined opcodes are as long as the map's defined ones: CPUs fetch them whole before #UD. */
static const struct opcode undefined_forms[] = {
    {.handler = op_ud, .name = ""},
    {.handler = op_ud, .name = "", .flags = OP_MODRM},
    {.handler = op_ud, .name = "", .flags = OP_MODRM, .arg = {ARG(IU, b)}},
};

/* Opmask instructions have the opcodes that are CMOVcc and SETcc without VEX. */
static bool is_opmask(const struct insn *i)
{
    return i->vex == 1 && i->map == 1 && (i->opcode >> 4 == 4 || i->opcode >> 4 == 9);
}

/* An entry, or the first defined one below it, for its length; the form of the map when there is
 * none. */
static const struct opcode *undefined_form(const struct insn *i, const struct opcode *op)
{
    if (op->group == GROUP_NONE && op->handler != NULL)
        return op;
    for (unsigned n = 0; op->group != GROUP_NONE && n < op->sub; n++)
        if (op->next[n].handler != NULL) /* or next */
            return undefined_form(i, &op->next[n]);
    bool modrm = (i->map & 3) == 2 || is_opmask(i) || (op->flags & OP_MODRM);
    return &undefined_forms[i->map == 3 ? 2 : modrm];
}

/* From the map's entry through the groups to the instruction; *valid false: only its form. */
static const struct opcode *walk_tables(const struct insn *i, u8 modrm, const struct opcode *op,
                                        bool *valid)
{
    const struct opcode *from = op;

    while (op->group != GROUP_NONE) {
        unsigned index = 0;
        switch ((enum opcode_group)op->group) {
        case GROUP_REG: index = modrm >> 3 & 7; break;
        case GROUP_MOD: index = modrm >> 6 == 3; break;
        case GROUP_RM: index = modrm & 7; break;
        case GROUP_PREFIX: index = i->rep == 0xf2 ? 3 : i->rep == 0xf3 ? 2 : i->opsize16; break;
        case GROUP_W: index = i->rex >> 3 & 1; break;
        case GROUP_W64: index = i->mode == EMU_MODE_64 && (i->rex & 8); break;
        case GROUP_VEX: index = i->vex != 0 ? 1 + (i->vlen & 1u) : 0; break;
        case GROUP_EVEX: index = i->vex == 2; break;
        case GROUP_MODE64:
        default: index = i->mode == EMU_MODE_64; break;
        }
        from = op;
        op = &op->next[index];
    }
    if (op->handler != NULL)
        return op;
    *valid = false; /* what maps 5 and 6 have not is as long as in 1 and 2 */
    return undefined_form(i, i->map > 3 ? &maps[i->map & 3][i->opcode] : from);
}

static void decode_opsize(struct insn *i, bool code32)
{
    u64 flags = i->op->flags;

    if (i->mode == EMU_MODE_64) {
        bool wide = (i->rex & 8) || (flags & OP_FORCE64);
        if (flags & OP_DEF64)
            i->opsize = !wide && i->opsize16 ? 2 : 8;
        else
            i->opsize = wide ? 8 : i->opsize16 && !i->vex ? 2 : 4;
    } else {
        i->opsize = code32 != (i->opsize16 && !i->vex) ? 4 : 2;
    }
    if (ARG_SIZE(i->op->arg[0]) == SIZE_y &&
        ARG_SIZE(i->op->arg[1]) != SIZE_v) /* 66, if any, is part of the opcode */
        i->opsize = (u8)emu_arg_bytes(i, i->op->arg[0]);
    if (flags & OP_MOVCR)
        i->opsize = i->mode == EMU_MODE_64 ? 8 : 4;
}

/* 16-bit forms, SDM vol. 2A, table 2-1. */
static void decode_modrm16(const u8 **at, struct insn *i, u8 rm)
{
    static const u8 bases[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const u8 indexes[8] = {RSI, RDI, RSI, RDI, GPR_NONE, GPR_NONE, GPR_NONE, GPR_NONE};

    i->base = bases[rm];
    i->index = indexes[rm];
    if (i->mod == 0 && rm == 6) {
        i->base = GPR_NONE;
        i->disp = take_signed(at, 2);
    } else if (i->mod != 0) {
        i->disp = take_signed(at, i->mod);
    }
}

/* 32- and 64-bit forms, tables 2-2 and 2-3. */
static void decode_modrm32(const u8 **at, struct insn *i, u8 rm)
{
    u8 base = rm;

    if (rm == 4) {
        u8 sib = take(at);
        u8 index = (u8)((sib >> 3 & 7) | (i->rex << 2 & 8));
        base = sib & 7;
        i->index = index == RSP && !(i->op->flags & OP_VSIB) ? GPR_NONE : index;
        i->scale = sib >> 6;
    }
    i->base = (u8)(base | (i->rex << 3 & 8));
    if (i->mod == 0 && base == RBP) {
        i->base = rm != 4 && i->mode == EMU_MODE_64 ? GPR_RIP : GPR_NONE;
        i->disp = take_signed(at, 4);
    } else if (i->mod != 0) {
        i->disp = take_signed(at, i->mod == 1 ? 1 : 4);
    }
}

static void decode_modrm(const u8 **at, struct insn *i)
{
    u8 modrm = take(at);
    u8 rm = modrm & 7;

    i->mod = modrm >> 6;
    i->reg = (u8)((modrm >> 3 & 7) | (i->rex << 1 & 8) | (i->rex & 16));
    if (i->op->flags & OP_MOVCR)
        i->mod = 3;
    if (i->mod == 3)
        i->rm = (u8)(rm | (i->rex << 3 & 8) | (i->vex == 2 ? i->rex << 3 & 16 : 0));
    else if (i->addrsize == 2)
        decode_modrm16(at, i, rm);
    else
        decode_modrm32(at, i, rm);
}

#define IMMEDIATES \
    (LETTER(I) | LETTER(J) | LETTER(IU) | LETTER(ONE) | LETTER(L) | LETTER(O) | LETTER(A))

static void decode_immediates(const u8 **at, struct insn *i)
{
    bool second = false;

    for (unsigned n = 0; n < ARRAY_SIZE(i->op->arg); n++) {
        u16 arg = i->op->arg[n];
        u64 value;
        switch (ARG_LETTER(arg)) {
        case ARG_I:
        case ARG_J: value = take_signed(at, emu_arg_bytes(i, arg)); break;
        case ARG_IU:
            value = take_signed(at, emu_arg_bytes(i, arg));
            value = ARG_SIZE(arg) == SIZE_b ? (u8)value : (u16)value;
            break;
        case ARG_ONE: value = 1; break;
        case ARG_L: value = (u64)take(at) >> 4 & (i->mode == EMU_MODE_64 ? 15 : 7); break;
        case ARG_O: /* memory without registers; the other operand is register 0 */
            i->mod = 0;
            i->disp = take_signed(at, i->addrsize);
            continue;
        case ARG_A:
            i->imm = take_signed(at, i->opsize == 2 ? 2 : 4) & mask_bytes(i->opsize);
            i->imm2 = take_signed(at, 2) & 0xffff;
            continue;
        default: continue;
        }
        *(second ? &i->imm2 : &i->imm) = value;
        second = true;
    }
}

#define NO_MEMORY (LETTER(R) | LETTER(KR) | LETTER(N) | LETTER(U))

/* Can ModRM and VEX.vvvv be this operand? */
static bool check_operand(const struct insn *i, enum arg_letter letter, bool first)
{
    if (BIT64(letter) & NO_MEMORY)
        return !insn_is_memory(i);
    switch (letter) {
    case ARG_M: return insn_is_memory(i);
    case ARG_G: return i->reg <= 15; /* EVEX.R' */
    case ARG_S: return (i->reg & 7) <= SEG_GS && !(first && (i->reg & 7) == SEG_CS);
    case ARG_C: return i->reg == 0 || (i->reg >= 2 && i->reg <= 4) || i->reg == 8;
    case ARG_KH: return i->vvvv <= 7 || i->mode != EMU_MODE_64;
    case ARG_D:
    case ARG_K: return i->reg <= 7;
    default: return true;
    }
}

static bool check_operands(const struct insn *i, u64 letters)
{
    const u64 choosy = NO_MEMORY | LETTER(M) | LETTER(S) | LETTER(C) | LETTER(D) | LETTER(K);

    if (i->lock && (!(i->op->flags & OP_LOCK) || !insn_is_memory(i)))
        return false;
    if (i->vex == 0 && (letters & choosy) == 0)
        return true;
    for (unsigned n = 0; n < ARRAY_SIZE(i->op->arg); n++)
        if (!check_operand(i, ARG_LETTER(i->op->arg[n]), n == 0))
            return false;
    return true;
}

/* What of OP_* and EVEX_* mode, prefixes, W, length and opmask rule out. */
static u64 excluded(const struct insn *i)
{
    bool w = i->rex & 8, masked = i->evex & INSN_OPMASK;
    u64 flags = i->mode == EMU_MODE_64 ? OP_NO64 : OP_ONLY64;

    if (i->mode == EMU_MODE_REAL || i->mode == EMU_MODE_VM86)
        flags |= OP_PROT;
    if (i->vex == 0)
        return flags | OP_AVX | OP_GPRVEX;
    flags |= i->vlen != 0 ? OP_L0 : OP_L1;
    if (i->vex == 1)
        return flags | OP_EVEX | (w ? OP_W0 : OP_W1);
    flags |= (w ? EVEX_W0 : EVEX_W1) | (masked ? EVEX_NOMASK : OP_VSIB);
    flags |= i->vlen != 2 ? EVEX_ZMM : 0;
    return w != (i->opsize16 || i->rep == 0xf2) ? flags | EVEX_WPP : flags;
}

/* SDM vol. 2A, 2.7: length, b, z. */
static bool check_evex(const struct insn *i)
{
    u64 flags = i->op->flags;
    bool memory = insn_is_memory(i);
    u64 registers = LETTER(V) | LETTER(H) | (memory ? 0 : LETTER(W));

    if (EVEX_FEATURE(flags) == 0 || i->vlen == 3 || (i->mode != EMU_MODE_64 && (i->vvvv & 16)))
        return false;
    if (i->map == 6 && (i->opcode & 0x7e) == 0x56 && /* complex numbers: not in place */
        (((i->reg ^ i->vvvv) & (i->mode == EMU_MODE_64 ? 31 : 7)) == 0 ||
         (!memory && i->reg == i->rm)))
        return false;
    if ((i->evex & INSN_B) && !(flags & (memory ? EVEX_BCST : EVEX_ROUND | EVEX_SAE)))
        return false;
    return !(i->evex & INSN_Z) ||
           ((i->evex & INSN_OPMASK) && !(flags & OP_VSIB) && arg_is_of(i->op->arg[0], registers));
}

/* A gather: a SIB byte, and different registers.  (A scatter: a SIB byte.) */
static bool check_vsib(const struct insn *i)
{
    unsigned mask = i->mode == EMU_MODE_64 ? i->vvvv : i->vvvv & 7;

    if (i->index == GPR_NONE || i->addrsize == 2)
        return false;
    if (i->vex == 2)
        return ARG_LETTER(i->op->arg[0]) == ARG_M || i->reg != (i->index | (i->vvvv & 16));
    return i->reg != i->index && i->reg != mask && i->index != mask;
}

static bool check_mode(const struct insn *i, u64 letters)
{
    u64 flags = i->op->flags;

    if (flags & excluded(i))
        return false;
    if (i->vex == 0)
        return true;
    if (!(flags & (OP_AVX | OP_GPRVEX | OP_VEX | OP_VEX3)) ||
        ((flags & OP_VSIB) && !check_vsib(i)) || (i->vex == 2 && !check_evex(i)))
        return false;
    /* VEX.vvvv names no operand: it must be 1111b, SDM vol. 2A, 2.3.5.6. */
    return (flags & OP_VEX3) || (letters & (LETTER(H) | LETTER(B) | LETTER(KH))) ||
           (i->vvvv & (flags & OP_VSIB ? 15 : 31)) == 0;
}

static const struct opcode *map_entry(const struct insn *i)
{
    if (is_opmask(i))
        return &emu_map_opmask[(i->opcode >> 3 & 16) | (i->opcode & 15)];
    return &maps[i->map][i->opcode];
}

static u8 default_segment(const struct insn *i)
{
    return i->base == RSP || i->base == RBP ? SEG_SS : SEG_DS;
}

enum decode_result emu_decode(const u8 code[CODE_ROOM], unsigned avail, enum emu_mode mode,
                              bool code32, struct insn *i)
{
    const u8 *at = code;
    struct prefixes p = {.seg = -1};

    *i = (struct insn){.mode = (u8)mode, .mod = 3, .base = GPR_NONE, .index = GPR_NONE};
    bool valid = decode_opcode(&at, i, decode_prefixes(&at, i, &p));
    if (mode == EMU_MODE_64)
        i->addrsize = p.addr ? 4 : 8;
    else
        i->addrsize = code32 != p.addr ? 4 : 2;

    unsigned which;
    const struct opcode *op = i->op = walk_tables(i, *at, map_entry(i), &valid);
    const u64 letters = BIT64(ARG_LETTER(op->arg[0])) | BIT64(ARG_LETTER(op->arg[1])) |
                        BIT64(ARG_LETTER(op->arg[2])) | BIT64(ARG_LETTER(op->arg[3]));
    decode_opsize(i, code32);
    if (op->flags & OP_MODRM)
        decode_modrm(&at, i);
    else if (!arg_is_of(op->arg[0], LETTER(ACC))) /* which is register 0 */
        i->rm = (u8)((i->opcode & 7) | (i->rex << 3 & 8));
    i->seg = p.seg >= 0 ? (u8)p.seg : default_segment(i);
    i->flat = mode == EMU_MODE_64 && i->seg < SEG_FS && i->addrsize == 8;
    i->checked = op->feature != 0 || (op->flags & (OP_VECTOR | OP_LEVEL));
    if (letters & IMMEDIATES)
        decode_immediates(&at, i);
    if (i->vex == 2 && i->mod == 3 && (i->evex & INSN_B)) /* LL is the rounding mode */
        i->vlen = 2;
    i->size = (u8)emu_arg_bytes(i, op->arg[0]);
    if (i->vex == 2 && i->mod == 1) /* disp8*N, SDM vol. 2A, 2.7.5 */
        i->disp *= op->flags & EVEX_PACKED ? emu_evex_unit(i) : emu_memory_arg(i, &which);
    valid = valid && check_operands(i, letters) && check_mode(i, letters);
    if (mode != EMU_MODE_64)
        i->vvvv &= 7;
    i->length = (u8)(at - code);
    if (i->length > avail) {
        i->length = (u8)avail;
        return avail < INSN_MAX ? DECODE_MORE : DECODE_LONG;
    }
    if (valid &&
        ((op->flags & OP_VECTOR) || op->handler == op_integer || op->handler == op_bitcount))
        emu_native_prepare(i);
    return valid ? DECODE_OK : DECODE_UD;
}
