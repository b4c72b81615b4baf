/* SPDX-License-Identifier: MIT
 *
 * Decoded instructions as text, Intel syntax, out of the same tables that execute them.
 */
#include "emulator/internal.h"
#include "lib/format.h"

/* One text under way. */
struct listing {
    struct buf_sink out;
    const struct insn *i;
    u64 next; /* address of the instruction after */
    bool (*symbol)(void *ctx, u64 addr, char *out, size_t cap);
    void *ctx;
};

#define put(l, ...) sink_printf(&(l)->out.sink, __VA_ARGS__)

static const char *const segment_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

static void put_gpr(struct listing *l, unsigned reg, unsigned size)
{
    static const char *const low8[] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};
    static const char *const high8[] = {"ah", "ch", "dh", "bh"};
    static const char *const word[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};

    if (reg >= 8)
        put(l, "r%u%s", reg, size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "");
    else if (size == 1)
        put(l, "%s", l->i->rex == 0 && reg >= 4 ? high8[reg - 4] : low8[reg]);
    else
        put(l, "%s%s", size == 2 ? "" : size == 4 ? "e" : "r", word[reg]);
}

static void put_vector(struct listing *l, unsigned reg, u16 arg)
{
    unsigned size = emu_arg_bytes(l->i, arg);
    put(l, "%cmm%u", size == 64 ? 'z' : size == 32 ? 'y' : 'x', reg);
}

static void put_hex(struct listing *l, u64 value) { put(l, "0x%llx", (unsigned long long)value); }

static void put_address(struct listing *l, u64 addr)
{
    char name[80];

    if (l->i->mode != EMU_MODE_64)
        addr = (u32)addr;
    put_hex(l, addr);
    if (l->symbol != NULL && l->symbol(l->ctx, addr, name, sizeof(name)))
        put(l, " <%s>", name);
}

/* "dword ptr", unless the name or a register operand of the same width says it. */
static void put_size(struct listing *l, u16 arg)
{
    static const char *const words[] = {
        [1] = "byte",   [2] = "word",     [4] = "dword",    [6] = "fword",   [8] = "qword",
        [10] = "tbyte", [16] = "xmmword", [32] = "ymmword", [64] = "zmmword"};
    static const u64 registers_that_tell =
        LETTER(G) | LETTER(Z) | LETTER(ACC) | LETTER(P) | LETTER(V) | LETTER(B) | LETTER(S);
    enum arg_size letter = ARG_SIZE(arg);
    unsigned size = emu_arg_bytes(l->i, arg);
    const struct opcode *op = l->i->op;

    if (letter == SIZE_desc || (letter == SIZE_p && op->arg[1] == 0))
        return;
    for (unsigned n = 0; n < ARRAY_SIZE(op->arg) && op->arg[n] != 0; n++)
        if (arg_is_of(op->arg[n], registers_that_tell) && emu_arg_bytes(l->i, op->arg[n]) == size)
            return;
    if (size < ARRAY_SIZE(words) && words[size] != NULL)
        put(l, "%s ptr ", words[size]);
}

static void put_displacement(struct listing *l, bool alone)
{
    u64 disp = l->i->disp;
    bool negative = (s64)disp < 0;

    if (alone) {
        put_hex(l, disp & mask_bytes(l->i->addrsize));
    } else if (disp != 0) {
        put(l, "%c", negative ? '-' : '+');
        put_hex(l, negative ? 0 - disp : disp);
    }
}

static void put_memory(struct listing *l, u16 arg)
{
    const struct insn *i = l->i;
    bool by_stack = i->base == RSP || i->base == RBP, vsib = i->op->flags & OP_VSIB;

    if (!(i->evex & INSN_B))
        put_size(l, arg);
    if (i->seg != (by_stack ? SEG_SS : SEG_DS) && i->op->handler != op_lea)
        put(l, "%s:", segment_names[i->seg]);
    put(l, "[");
    if (i->base == GPR_RIP)
        put_address(l, l->next + i->disp);
    else if (i->base != GPR_NONE)
        put_gpr(l, i->base, i->addrsize);
    if (i->index != GPR_NONE) {
        put(l, "%s", i->base != GPR_NONE ? "+" : "");
        if (vsib) /* op->sub: bytes of an index; qwords by dwords need half */
            put_vector(l, i->index | (i->vex == 2 ? i->vvvv & 16u : 0),
                       i->op->sub == 4 && (i->rex & 8) ? ARG(V, h) : ARG(V, x));
        else
            put_gpr(l, i->index, i->addrsize);
        if (i->addrsize != 2)
            put(l, "*%u", 1u << i->scale);
    }
    if (i->base != GPR_RIP)
        put_displacement(l, i->base == GPR_NONE && i->index == GPR_NONE);
    put(l, "]");
    if (i->evex & INSN_B)
        put(l, " {1to%u}", emu_arg_bytes(i, arg) / emu_evex_unit(i));
}

/* Immediates are shown as the operand sees them: extended, then cut to its size. */
static void put_immediate(struct listing *l, u16 arg, u64 value)
{
    const struct insn *i = l->i;
    u16 first = i->op->arg[0];
    unsigned size = emu_arg_bytes(i, arg);

    if (ARG_LETTER(arg) == ARG_I)
        size = ARG_LETTER(first) == ARG_I ? i->opsize : emu_arg_bytes(i, first);
    put_hex(l, value & mask_bytes(size));
}

/* What an operand is that is not in memory, and where the number of a register is. */
enum kind { MEMORY, GPR, VECTOR, MMX, OPMASK, SEGMENT, CR, DR, ST, NUMBER, VALUE, TARGET, FAR };
enum place { REG, RM, VVVV, IMM, SUB, ZERO, ONE, TWO };
static const struct {
    u8 letter, kind, place;
} kinds[] = {
    {ARG_G, GPR, REG},    {ARG_B, GPR, VVVV},      {ARG_Z, GPR, RM},       {ARG_ACC, GPR, ZERO},
    {ARG_E, GPR, RM},     {ARG_R, GPR, RM},        {ARG_V, VECTOR, REG},   {ARG_H, VECTOR, VVVV},
    {ARG_L, VECTOR, IMM}, {ARG_U, VECTOR, RM},     {ARG_W, VECTOR, RM},    {ARG_P, MMX, REG},
    {ARG_N, MMX, RM},     {ARG_Q, MMX, RM},        {ARG_K, OPMASK, REG},   {ARG_KH, OPMASK, VVVV},
    {ARG_KM, OPMASK, RM}, {ARG_KR, OPMASK, RM},    {ARG_S, SEGMENT, REG},  {ARG_C, CR, REG},
    {ARG_D, DR, REG},     {ARG_ST0, ST, ZERO},     {ARG_STI, ST, RM},      {ARG_CL, GPR, ONE},
    {ARG_DX, GPR, TWO},   {ARG_SEG, SEGMENT, SUB}, {ARG_ONE, NUMBER, ONE}, {ARG_I, VALUE, IMM},
    {ARG_IU, VALUE, IMM}, {ARG_J, TARGET, IMM},    {ARG_A, FAR, IMM},      {ARG_M, MEMORY, RM},
    {ARG_O, MEMORY, IMM},
};

/* `second`: the immediate in imm2. */
static void put_arg(struct listing *l, u16 arg, bool second)
{
    static const char *const names[] = {
        [MMX] = "mm%u", [OPMASK] = "k%u", [DR] = "dr%u", [ST] = "st%u", [NUMBER] = "%u"};
    const struct insn *i = l->i;
    const unsigned numbers[] = {i->reg, i->rm, i->vvvv, (unsigned)i->imm, i->op->sub, 0, 1, 2};
    bool wraps = i->opsize == 2 && i->op->handler != op_xbegin;
    unsigned which, k = 0;

    while (kinds[k].letter != ARG_LETTER(arg))
        k++;
    bool memory = emu_memory_arg(i, &which) != 0 && i->op->arg[which] == arg;
    unsigned n = numbers[kinds[k].place];
    switch (memory ? MEMORY : (enum kind)kinds[k].kind) {
    case MEMORY: put_memory(l, arg); break;
    case GPR: put_gpr(l, n & 15, emu_arg_bytes(i, arg)); break;
    case VECTOR: put_vector(l, n, arg); break;
    case SEGMENT: put(l, "%s", segment_names[n & 7]); break;
    case CR: put(l, "cr%u", n); break;
    case VALUE: put_immediate(l, arg, second ? i->imm2 : i->imm); break;
    case TARGET: put_address(l, (l->next + i->imm) & (wraps ? 0xffff : ~0ull)); break;
    case FAR:
        put(l, "0x%llx:0x%llx", (unsigned long long)i->imm2, (unsigned long long)i->imm);
        break;
    default: put(l, names[kinds[k].kind], n & 7);
    }
}

/* A letter of a name, or what a mark (table.c) stands for. */
static void put_letter(struct listing *l, char letter)
{
    static const struct {
        char mark, text[2][3];
        bool evex;
    } marks[] = {{'#', {"d", "q"}, false},
                 {'$', {"s", "d"}, false},
                 {'&', {"b", "w"}, false},
                 {'@', {"d", "q"}, true},
                 {'~', {"32", "64"}, true}};
    const struct insn *i = l->i;
    bool w = (i->rex & 8) && (i->vex == 2 || (i->op->flags & OP_AVX));

    for (unsigned n = 0; n < ARRAY_SIZE(marks); n++)
        if (letter == marks[n].mark) {
            put(l, "%s", marks[n].evex && i->vex != 2 ? "" : marks[n].text[w]);
            return;
        }
    put(l, "%c", letter == '%' ? "wqbd"[i->opsize16 * 2 + (i->rex >> 3 & 1)] : letter);
}

/* The part of "a|b|c" for this operand size (JCXZ: address size), marks replaced (table.c). */
static void put_name(struct listing *l)
{
    const struct insn *i = l->i;
    const char *name = i->op->name;
    unsigned size = i->op->handler == op_jcxz ? i->addrsize : i->opsize;

    if (i->op->handler == op_xchg_acc && i->rm == RAX)
        name = "nop";
    for (unsigned part = size / 4; part > 0 && strchr(name, '|') != NULL; part--)
        name = strchr(name, '|') + 1;
    if (i->vex != 0 && (i->op->flags & (OP_VEX | OP_VEX3 | OP_AVX)))
        put(l, "v");
    for (; *name != '\0' && *name != '|'; name++)
        put_letter(l, *name);
}

static void put_prefixes(struct listing *l)
{
    const struct insn *i = l->i;
    u64 flags = i->op->flags;

    if (i->lock)
        put(l, "lock ");
    if ((flags & OP_REP) && i->seg != SEG_DS)
        put(l, "%s ", segment_names[i->seg]);
    if ((flags & OP_REP) && i->rep != 0)
        put(l, "%s ", i->rep == 0xf2 ? "repne" : flags & OP_REPCC ? "repe" : "rep");
}

/* Behind the last operand that is not an immediate: how it is rounded. */
static void put_rounding(struct listing *l, unsigned n)
{
    static const char *const modes[] = {"rn-sae", "rd-sae", "ru-sae", "rz-sae"};
    const struct insn *i = l->i;
    bool rounds = i->op->flags & EVEX_ROUND, sae = i->op->flags & EVEX_SAE;
    bool last = n + 1 == ARRAY_SIZE(i->op->arg) || i->op->arg[n + 1] == 0 ||
                ARG_LETTER(i->op->arg[n + 1]) == ARG_IU;

    if ((i->evex & INSN_B) && rounds != sae && last && ARG_LETTER(i->op->arg[n]) != ARG_IU &&
        !insn_is_memory(i))
        put(l, " {%s}", rounds ? modes[i->evex >> 5 & 3] : "sae");
}

static void put_operands(struct listing *l)
{
    const struct insn *i = l->i;
    const struct opcode *op = i->op;
    bool nop = op->handler == op_xchg_acc && i->rm == RAX, second = false;

    if ((op->flags & OP_REP) || nop) /* a string instruction's name says it all */
        return;
    for (unsigned n = 0; n < ARRAY_SIZE(op->arg) && op->arg[n] != 0; n++) {
        put(l, n == 0 ? " " : ", ");
        bool vvvv = i->vex != 0 && (op->flags & OP_VEX3);
        if (n == 0 && vvvv && ARG_LETTER(op->arg[0]) == ARG_U) { /* shift by an immediate */
            put_vector(l, i->vvvv, op->arg[0]);
            put(l, ", ");
            vvvv = false;
        }
        put_arg(l, op->arg[n], second);
        if (n == 0 && (i->evex & INSN_OPMASK))
            put(l, " {k%u}%s", i->evex & INSN_OPMASK, i->evex & INSN_Z ? " {z}" : "");
        second |= ARG_LETTER(op->arg[n]) == ARG_I || ARG_LETTER(op->arg[n]) == ARG_IU;
        if (n == 0 && vvvv) {
            put(l, ", ");
            put_vector(l, i->vvvv, op->arg[0]);
        }
        put_rounding(l, n);
    }
}

unsigned emu_disassemble(const u8 *bytes, unsigned avail, enum emu_mode mode, u64 rip, char *buf,
                         size_t cap, bool (*symbol)(void *ctx, u64 addr, char *out, size_t cap),
                         void *ctx)
{
    u8 code[CODE_ROOM] = {0};
    struct insn i;
    struct listing l = {.i = &i, .symbol = symbol, .ctx = ctx};

    avail = avail < INSN_MAX ? avail : INSN_MAX;
    memcpy(code, bytes, avail);
    buf_sink_init(&l.out, buf, cap);
    if (emu_decode(code, avail, mode, mode == EMU_MODE_32, &i) != DECODE_OK) {
        put(&l, "(bad)");
        return 0;
    }
    l.next = rip + i.length;
    put_prefixes(&l);
    put_name(&l);
    put_operands(&l);
    return i.length;
}
