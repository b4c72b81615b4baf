/* SPDX-License-Identifier: MIT
 *
 * The opcode maps, SDM vol. 2D, appendix A: which bytes are which instruction, its operands, and
 * what carries it out.  Decoder, executor and disassembler all read these lines and nothing else.
 *
 * A name "a|b|c" has one part for each operand size 16, 32 and 64 (JCXZ: address size).  Marks in
 * names are replaced by what W says: # d or q, $ s or d, & b or w; with EVEX only @ d or q, ~ 32 or
 * 64; and % by 66 and W: w, q, b or d.
 */
/* clang-format off */
#include "emulator/internal.h"

/* Operands: an addressing letter and a size letter, as the SDM has them. */
#define A(letter, size) letter##size = ARG(letter, size)
enum {
    A(A, p), A(E, b), A(E, w), A(E, d), A(E, v), A(E, y), A(E, db), A(E, dw), A(E, vw), A(G, b),
    A(G, w), A(G, d), A(G, v), A(G, y), A(I, b), A(I, v), A(I, z), A(J, b), A(J, z), A(K, k),
    A(KH, k), A(KR, k), A(L, x), A(M, a), A(M, b), A(M, w), A(M, d), A(M, q), A(M, y), A(M, v),
    A(M, p), A(M, x), A(M, t), A(M, dq), A(M, qq), A(M, big), A(M, el), A(N, q), A(O, b), A(O, v),
    A(P, q), A(Q, d), A(Q, q), A(R, v), A(R, d), A(R, y), A(S, w), A(U, x), A(U, q), A(U, dq),
    A(V, x), A(V, dq), A(V, qq), A(H, x), A(H, dq), A(W, x), A(W, h), A(V, f), A(W, f), A(W, e),
    A(V, h), A(H, h), A(W, b), A(W, w), A(W, d), A(W, q), A(W, dq), A(W, el), A(W, qq), A(X, b),
    A(X, v), A(X, z), A(Y, b), A(Y, v), A(Y, z), A(Z, b), A(Z, v), A(CL, b), A(DX, w),
    Bd = ARG(B, y), Cr = ARG(C, nat), Dr = ARG(D, nat), Iw = ARG(IU, w), Iub = ARG(IU, b),
    Kx = ARG(K, none), KRx = ARG(KR, none), Ms = ARG(M, desc), Mea = ARG(M, none), Rr = ARG(R, nat),
    ALb = ARG(ACC, b), rAX = ARG(ACC, v), eAX = ARG(ACC, z), One = ARG(ONE, b), SREG = ARG(SEG, w),
    ST0 = ARG(ST0, none), STi = ARG(STI, none)
};

/* I: no ModRM; M: with one; the S forms name op->sub; F forms name a feature. */
#define I(h, n, f, ...)      {{op_##h}, n, {__VA_ARGS__}, f, 0, 0, 0}
#define IS(h, s, n, f, ...)  {{op_##h}, n, {__VA_ARGS__}, f, s, 0, 0}
#define IF(h, n, f, x, ...)  {{op_##h}, n, {__VA_ARGS__}, f, 0, 0, EMU_HAS_##x + 1}
#define M(h, n, f, ...)      {{op_##h}, n, {__VA_ARGS__}, (f) | OP_MODRM, 0, 0, 0}
#define MS(h, s, n, f, ...)  {{op_##h}, n, {__VA_ARGS__}, (f) | OP_MODRM, s, 0, 0}
#define MF(h, s, n, f, x, ...) {{op_##h}, n, {__VA_ARGS__}, (f) | OP_MODRM, s, 0, EMU_HAS_##x + 1}
#define UD                   {{NULL}, NULL, {0}, 0, 0, 0, 0}

/* Ways on: the next table is looked up by what the name says. */
#define NEXT(kind, n, f, ...)                                                                      \
    {{.next = (const struct opcode[n]){__VA_ARGS__}}, NULL, {0}, f, n, GROUP_##kind, 0}
#define BY_REG(...)    NEXT(REG, 8, OP_MODRM, __VA_ARGS__)
#define BY_RM(...)     NEXT(RM, 8, OP_MODRM, __VA_ARGS__)
#define BY_MOD(...)    NEXT(MOD, 2, OP_MODRM, __VA_ARGS__)
#define TABLE(kind, t) {{.next = t}, NULL, {0}, OP_MODRM, ARRAY_SIZE(t), GROUP_##kind, 0}
#define BY_PREFIX(...) NEXT(PREFIX, 4, 0, __VA_ARGS__)
#define BY_MODE(a, b)  NEXT(MODE64, 2, 0, a, b)
#define BY_W(a, b)     NEXT(W, 2, 0, a, b)
#define BY_W64(a, b)   NEXT(W64, 2, 0, a, b)
#define BY_VEX(...)    NEXT(VEX, 3, 0, __VA_ARGS__)
#define BY_EVEX(...)   NEXT(EVEX, 2, 0, __VA_ARGS__)

/* Vector instructions: carried out by the CPU (native.c) but for a few. */
#define V2             (OP_SSE | OP_VEX)
#define V3             (OP_SSE | OP_VEX3)
#define VI2            (V2 | OP_INTEGER)
#define VI3            (V3 | OP_INTEGER)
#define SX(n, f, ...)  M(native, n, f, __VA_ARGS__)
#define SF(feat, n, f, ...) MF(native, 0, n, f, feat, __VA_ARGS__)
#define FP(n, ...)     SX(n, OP_FPU, __VA_ARGS__)
#define XS(n, ...)     MS(native, NATIVE_STORE, n, OP_FPU, __VA_ARGS__)
#define XC(n, ...)     MS(native, NATIVE_STORE | NATIVE_NOWAIT, n, OP_FPU, __VA_ARGS__)
/* Moves whose memory operand need not, or always must, be aligned; of both types of elements. */
#define MU(n, f, ...)  MS(native, NATIVE_UNALIGNED, n, f, __VA_ARGS__)
#define MA(n, f, ...)  MS(native, NATIVE_ALIGNED, n, f, __VA_ARGS__)
#define PSPD(X, n, ...) X(n "ps", __VA_ARGS__), X(n "pd", __VA_ARGS__)
/* What the EVEX form is like: units of bytes, words, doublewords, quadwords, or by W; the operand
 * whole; floating point, singles with W 0, packed or scalar. */
#define EB   (EVEX(BW) | EVEX_BYTES)
#define EW   (EVEX(BW) | EVEX_WORDS)
#define ED   (EVEX(F) | EVEX_W0 | EVEX_BCST)
#define EQ   (EVEX(F) | EVEX_W1 | EVEX_BCST)
#define EX   (EVEX(F) | EVEX_BCST)
#define EL   (EVEX(F) | EVEX_NOMASK) /* one element */
#define E0   EVEX_W0
#define E1   EVEX_W1
#define EBC  EVEX_BCST
#define ER   EVEX_ROUND
#define ESAE EVEX_SAE
#define EIGN (ER | ESAE)
#define EALL EVEX_WHOLE
#define ENM  EVEX_NOMASK
#define EP   (EVEX(F) | EVEX_WPP | EVEX_BCST)
#define ES   (EVEX(F) | EVEX_WPP | EVEX_SCALAR)
#define EM   (EVEX(F) | EVEX_WPP) /* moves */
#define EXS  (EVEX(F) | EVEX_SCALAR)
/* EVEX only. */
#define EV(n, f, ...)   M(native, n, OP_AVX | OP_EVEX | (f), __VA_ARGS__)
#define P66E(n, f, ...) P66(EV(n, f, __VA_ARGS__))
#define BWE(n, b, w, ...)                                                                          \
    P66(BY_W(EV(n "b", EVEX(b) | EVEX_BYTES | EALL, __VA_ARGS__),                                  \
             EV(n "w", EVEX(w) | EVEX_WORDS | EALL, __VA_ARGS__)))
/* Halves, W 0, packed and scalar; from and to halves. */
#define FP16            EVEX(FP16)
#define FP16S           (FP16 | EVEX_SCALAR)
#define PH(n, f, ...)   EV(n, FP16 | E0 | EVEX_WORDS | EBC | (f), __VA_ARGS__)
#define SH(n, f, ...)   EV(n, FP16S | E0 | EVEX_WORDS | (f), __VA_ARGS__)
#define FLOATH(n, e)    BY_PREFIX(PH(n "ph", e, Vx, Hx, Wx), UD, SH(n "sh", e, Vdq, Hdq, Ww))
/* Four or two, eight or four lanes. */
#define LANES4(n, f, ...)                                                                          \
    P66(BY_W(EV(n "32x4", EVEX(F) | OP_L1 | (f), __VA_ARGS__),                                     \
             EV(n "64x2", EVEX(DQ) | OP_L1 | (f), __VA_ARGS__)))
#define LANES8(n, f, ...)                                                                          \
    P66(BY_W(EV(n "32x8", EVEX(DQ) | EVEX_ZMM | (f), __VA_ARGS__),                                 \
             EV(n "64x4", EVEX(F) | EVEX_ZMM | (f), __VA_ARGS__)))
/* The two forms nearly every MMX instruction has; e: its EVEX form. */
#define MMX3(n, e)       BY_PREFIX(FP(n, Pq, Qq), SX(n, VI3 | (e), Vx, Wx))
#define SSSE3_(n, f)     BY_PREFIX(SF(SSSE3, n, OP_FPU, Pq, Qq), SF(SSSE3, n, f, Vx, Wx))
#define UNPCKL(n, e)     BY_PREFIX(FP(n, Pq, Qd), SX(n, VI3 | (e) | EALL, Vx, Wx))
/* With EVEX the result is an opmask. */
#define MMXK(n, e) BY_PREFIX(FP(n, Pq, Qq), BY_EVEX(SX(n, VI3, Vx, Wx), EV(n, e, Kx, Hx, Wx)))
/* Vector shifts: the count is 16 bytes whatever the vector's length. */
#define SHIFT3(n, e)     BY_PREFIX(FP(n, Pq, Qq), SX(n, VI3 | (e) | EALL, Vx, Wdq))
/* With 66 only. */
#define P66(...)       BY_PREFIX(UD, __VA_ARGS__)
#define PF(feat, n, f, ...) P66(SF(feat, n, f, __VA_ARGS__))
#define P41(n, f, ...) PF(SSE41, n, f, __VA_ARGS__)
#define F16(n, ...)                                                                                \
    MF(native, NATIVE_UNALIGNED, n, OP_AVX | OP_W0 | EVEX(F) | E0 | EVEX_WORDS | ESAE, F16C,       \
       __VA_ARGS__)
#define PAV(n, f, ...) PF(AVX, n, OP_AVX | (f), __VA_ARGS__)
#define PA2(n, f, ...) PF(AVX2, n, OP_AVX | (f), __VA_ARGS__)
/* ps, pd, ss, sd */
#define FLOAT4(v, n, e)                                                                            \
    BY_PREFIX(SX(n "ps", (v) | EP | (e), Vx, Wx), SX(n "pd", (v) | EP | (e), Vx, Wx),              \
              SX(n "ss", V3 | ES | (e), Vdq, Wd), SX(n "sd", V3 | ES | (e), Vdq, Wq))
#define FLOAT2(n, f) BY_PREFIX(SX(n "s", V3 | (f), Vx, Wx), SX(n "d", V3 | (f), Vx, Wx))

#define ALU(sub, n)                                                                                \
    MS(alu_rm_reg, sub, n, (sub) == ALU_CMP ? 0 : OP_LOCK, Eb, Gb),                                \
    MS(alu_rm_reg, sub, n, (sub) == ALU_CMP ? 0 : OP_LOCK, Ev, Gv),                                \
    MS(alu_reg_rm, sub, n, 0, Gb, Eb), MS(alu_reg_rm, sub, n, 0, Gv, Ev),                          \
    IS(alu_rm_imm, sub, n, 0, ALb, Ib), IS(alu_rm_imm, sub, n, 0, rAX, Iz)
#define SREGS(s, f)  PUSH_SREG(s, f), IS(pop_sreg, s, "pop", OP_DEF64 | (f), SREG)
#define PUSH_SREG(s, f) IS(push_sreg, s, "push", OP_DEF64 | (f), SREG)
#define STR(s, n, f, ...) IS(string, STRING_##s, n, OP_REP | (f), __VA_ARGS__)
#define TWICE(...) __VA_ARGS__, __VA_ARGS__
#define EIGHT(x)     x, x, x, x, x, x, x, x

#define RMI(op, n, f, ...) MS(alu_rm_imm, ALU_##op, n, f, __VA_ARGS__)
#define GROUP1(f, ...)                                                                             \
    BY_REG(RMI(ADD, "add", OP_LOCK | (f), __VA_ARGS__), RMI(OR, "or", OP_LOCK | (f), __VA_ARGS__), \
           RMI(ADC, "adc", OP_LOCK | (f), __VA_ARGS__),                                            \
           RMI(SBB, "sbb", OP_LOCK | (f), __VA_ARGS__),                                            \
           RMI(AND, "and", OP_LOCK | (f), __VA_ARGS__),                                            \
           RMI(SUB, "sub", OP_LOCK | (f), __VA_ARGS__),                                            \
           RMI(XOR, "xor", OP_LOCK | (f), __VA_ARGS__), RMI(CMP, "cmp", f, __VA_ARGS__))
#define GROUP2(h, E, by)                                                                           \
    BY_REG(MS(h, ALU_ROL, "rol", 0, E, by), MS(h, ALU_ROR, "ror", 0, E, by),                       \
           MS(h, ALU_RCL, "rcl", 0, E, by), MS(h, ALU_RCR, "rcr", 0, E, by),                       \
           MS(h, ALU_SHL, "shl", 0, E, by), MS(h, ALU_SHR, "shr", 0, E, by),                       \
           MS(h, ALU_SHL, "shl", 0, E, by), MS(h, ALU_SAR, "sar", 0, E, by))
#define GROUP3(E, i)                                                                               \
    BY_REG(RMI(TEST, "test", 0, E, i), RMI(TEST, "test", 0, E, i), RMI(NOT, "not", OP_LOCK, E),    \
           RMI(NEG, "neg", OP_LOCK, E), M(integer, "mul", 0, E), M(integer, "imul", 0, E),         \
           M(integer, "div", 0, E), M(integer, "idiv", 0, E))
/* Carried out by the CPU (native.c) on the first operand, or on both. */
#define RMW(n, f, ...)  MS(integer, NATIVE_STORE, n, f, __VA_ARGS__)
#define XCHG(n, f, ...) MS(integer, NATIVE_STORE | NATIVE_BOTH, n, OP_LOCK | (f), __VA_ARGS__)
#define JCC(n)  I(jcc, n, OP_FORCE64, Jb)
#define JCCZ(n) I(jcc, n, OP_FORCE64, Jz)
#define SCAN(n, count)                                                                             \
    BY_PREFIX(TWICE(M(integer, n, 0, Gv, Ev)), M(bitcount, count, 0, Gv, Ev),                      \
              M(integer, n, 0, Gv, Ev))
#define XA      I(xchg_acc, "xchg", 0, Zv, rAX)
#define AH(n)   BY_MODE(I(integer, n, 0, 0), IF(integer, n, 0, LAHF64, 0))
#define CMOV(n) M(cmov, n, 0, Gv, Ev)
#define SET(n)  M(set, n, 0, Eb)
#define CC16(X, p)                                                                                 \
    X(p "o"), X(p "no"), X(p "b"), X(p "nb"), X(p "z"), X(p "nz"), X(p "be"), X(p "nbe"),          \
    X(p "s"), X(p "ns"), X(p "p"), X(p "np"), X(p "l"), X(p "nl"), X(p "le"), X(p "nle")

/* x87: memory forms, then register forms. */
#define X87(m, ...) BY_MOD(m, BY_REG(__VA_ARGS__))
#define FISTTP(m)   MF(native, NATIVE_STORE, "fisttp", OP_FPU, SSE3, m)
#define ARITH8(suffix, ...)                                                                        \
    FP("f" suffix "add", __VA_ARGS__), FP("f" suffix "mul", __VA_ARGS__),                          \
    FP("f" suffix "com", __VA_ARGS__), FP("f" suffix "comp", __VA_ARGS__),                         \
    FP("f" suffix "sub", __VA_ARGS__), FP("f" suffix "subr", __VA_ARGS__),                         \
    FP("f" suffix "div", __VA_ARGS__), FP("f" suffix "divr", __VA_ARGS__)

const struct opcode emu_map_1byte[256] = {
    [0x00] = ALU(ALU_ADD, "add"), SREGS(SEG_ES, OP_NO64),
    [0x08] = ALU(ALU_OR, "or"), PUSH_SREG(SEG_CS, OP_NO64), UD,
    [0x10] = ALU(ALU_ADC, "adc"), SREGS(SEG_SS, OP_NO64),
    [0x18] = ALU(ALU_SBB, "sbb"), SREGS(SEG_DS, OP_NO64),
    [0x20] = ALU(ALU_AND, "and"), UD, I(bcd, "daa", OP_NO64, 0),
    [0x28] = ALU(ALU_SUB, "sub"), UD, I(bcd, "das", OP_NO64, 0),
    [0x30] = ALU(ALU_XOR, "xor"), UD, I(bcd, "aaa", OP_NO64, 0),
    [0x38] = ALU(ALU_CMP, "cmp"), UD, I(bcd, "aas", OP_NO64, 0),
    [0x40] = EIGHT(IS(alu_rm_imm, ALU_INC, "inc", OP_NO64, Zv)), /* REX in 64-bit mode */
    [0x48] = EIGHT(IS(alu_rm_imm, ALU_DEC, "dec", OP_NO64, Zv)),
    [0x50] = EIGHT(I(push_rm, "push", OP_DEF64, Zv)), EIGHT(I(pop, "pop", OP_DEF64, Zv)),
    [0x60] = I(pusha, "pusha|pushad", OP_NO64, 0), I(popa, "popa|popad", OP_NO64, 0),
    [0x62] = M(bound, "bound", OP_NO64, Gv, Ma),
    [0x63] = BY_MODE(M(arpl, "arpl", OP_PROT, Ew, Gw), MS(extend, 1, "movsxd", 0, Gv, ARG(E, z))),
    [0x68] = I(push_imm, "push", OP_DEF64, Iz), M(integer, "imul", 0, Gv, Ev, Iz),
    [0x6a] = I(push_imm, "push", OP_DEF64, Ib), M(integer, "imul", 0, Gv, Ev, Ib),
    [0x6c] = STR(INS, "insb", 0, Yb, DXw), STR(INS, "insw|insd|insd", 0, Yz, DXw),
    [0x6e] = STR(OUTS, "outsb", 0, DXw, Xb), STR(OUTS, "outsw|outsd|outsd", 0, DXw, Xz),
    [0x70] = CC16(JCC, "j"),
    [0x80] = GROUP1(0, Eb, Ib), GROUP1(0, Ev, Iz), GROUP1(OP_NO64, Eb, Ib), GROUP1(0, Ev, Ib),
    [0x84] = MS(alu_rm_reg, ALU_TEST, "test", 0, Eb, Gb),
    [0x85] = MS(alu_rm_reg, ALU_TEST, "test", 0, Ev, Gv),
    [0x86] = XCHG("xchg", OP_LOCKED, Eb, Gb), XCHG("xchg", OP_LOCKED, Ev, Gv),
    [0x88] = M(mov_store, "mov", 0, Eb, Gb), M(mov_store, "mov", 0, Ev, Gv),
    [0x8a] = M(mov_load, "mov", 0, Gb, Eb), M(mov_load, "mov", 0, Gv, Ev),
    [0x8c] = M(mov_from_sreg, "mov", 0, Evw, Sw),
    [0x8d] = M(lea, "lea", 0, Gv, Mea), M(mov_to_sreg, "mov", 0, Sw, Ew),
    [0x8f] = BY_REG(M(pop, "pop", OP_DEF64, Ev)),
    [0x90] = BY_PREFIX(XA, XA, I(pause, "pause", 0, 0), XA), XA, XA, XA, XA, XA, XA, XA,
    [0x98] = I(integer, "cbw|cwde|cdqe", 0, 0), I(integer, "cwd|cdq|cqo", 0, 0),
    [0x9a] = IS(far, 1, "call far", OP_NO64, Ap), I(fwait, "fwait", 0, 0),
    [0x9c] = I(pushf, "pushf|pushfd|pushfq", OP_DEF64, 0), I(popf, "popf|popfd|popfq", OP_DEF64, 0),
    [0x9e] = AH("sahf"), AH("lahf"), I(mov_load, "mov", 0, ALb, Ob), I(mov_load, "mov", 0, rAX, Ov),
    [0xa2] = I(mov_store, "mov", 0, Ob, ALb), I(mov_store, "mov", 0, Ov, rAX),
    [0xa4] = STR(MOVS, "movsb", 0, Yb, Xb), STR(MOVS, "movsw|movsd|movsq", 0, Yv, Xv),
    [0xa6] = STR(CMPS, "cmpsb", OP_REPCC, Xb, Yb), STR(CMPS, "cmpsw|cmpsd|cmpsq", OP_REPCC, Xv, Yv),
    [0xa8] = IS(alu_rm_imm, ALU_TEST, "test", 0, ALb, Ib),
    [0xa9] = IS(alu_rm_imm, ALU_TEST, "test", 0, rAX, Iz),
    [0xaa] = STR(STOS, "stosb", 0, Yb, ALb), STR(STOS, "stosw|stosd|stosq", 0, Yv, rAX),
    [0xac] = STR(LODS, "lodsb", 0, ALb, Xb), STR(LODS, "lodsw|lodsd|lodsq", 0, rAX, Xv),
    [0xae] = STR(SCAS, "scasb", OP_REPCC, ALb, Yb),
    [0xaf] = STR(SCAS, "scasw|scasd|scasq", OP_REPCC, rAX, Yv),
    [0xb0] = EIGHT(I(mov_imm, "mov", 0, Zb, Ib)), EIGHT(I(mov_imm, "mov", 0, Zv, Iv)),
    [0xc0] = GROUP2(alu_rm_imm, Eb, Iub), GROUP2(alu_rm_imm, Ev, Iub),
    [0xc2] = I(ret, "ret", OP_FORCE64, Iw), I(ret, "ret", OP_FORCE64, 0),
    [0xc4] = MS(load_far_pointer, SEG_ES, "les", OP_NO64, Gv, Mp), /* or VEX */
    [0xc5] = MS(load_far_pointer, SEG_DS, "lds", OP_NO64, Gv, Mp),
    [0xc6] = BY_REG(M(mov_imm, "mov", 0, Eb, Ib), UD, UD, UD, UD, UD, UD,
                    BY_MOD(UD, BY_RM(MF(nop, 0, "xabort", 0, RTM, Iub)))),
    [0xc7] = BY_REG(M(mov_imm, "mov", 0, Ev, Iz), UD, UD, UD, UD, UD, UD,
                    BY_MOD(UD, BY_RM(MF(xbegin, 0, "xbegin", OP_DEF64, RTM, Jz)))),
    [0xc8] = I(enter, "enter", OP_DEF64, Iw, Iub), I(leave, "leave", OP_DEF64, 0),
    [0xca] = I(ret_far, "ret far", 0, Iw), I(ret_far, "ret far", 0, 0),
    [0xcc] = IS(trap, VECTOR_BP, "int3", 0, 0), I(int, "int", 0, Iub),
    [0xce] = IS(trap, VECTOR_OF, "into", OP_NO64, 0), I(iret, "iret|iretd|iretq", 0, 0),
    [0xd0] = GROUP2(alu_rm_imm, Eb, One), GROUP2(alu_rm_imm, Ev, One), GROUP2(alu_rm_cl, Eb, CLb),
    [0xd3] = GROUP2(alu_rm_cl, Ev, CLb), I(aam, "aam", OP_NO64, Iub), I(aad, "aad", OP_NO64, Iub),
    [0xd6] = I(salc, "salc", OP_NO64, 0), I(xlat, "xlat", 0, 0),
    [0xd8] = X87(BY_REG(ARITH8("", Md)), ARITH8("", ST0, STi)),
    [0xd9] = X87(BY_REG(FP("fld", Md), UD, XS("fst", Md), XS("fstp", Md),
                        M(fpu_env, "fldenv", OP_FPU, Mbig), FP("fldcw", Mw),
                        MS(fpu_env, NATIVE_STORE, "fnstenv", OP_FPU, Mbig), XC("fnstcw", Mw)),
        FP("fld", STi), FP("fxch", STi), BY_RM(FP("fnop", 0)), FP("fstp1", STi),
        BY_RM(FP("fchs", 0), FP("fabs", 0), UD, UD, FP("ftst", 0), FP("fxam", 0)),
        BY_RM(FP("fld1", 0), FP("fldl2t", 0), FP("fldl2e", 0), FP("fldpi", 0), FP("fldlg2", 0),
              FP("fldln2", 0), FP("fldz", 0)),
        BY_RM(FP("f2xm1", 0), FP("fyl2x", 0), FP("fptan", 0), FP("fpatan", 0), FP("fxtract", 0),
              FP("fprem1", 0), FP("fdecstp", 0), FP("fincstp", 0)),
        BY_RM(FP("fprem", 0), FP("fyl2xp1", 0), FP("fsqrt", 0), FP("fsincos", 0), FP("frndint", 0),
              FP("fscale", 0), FP("fsin", 0), FP("fcos", 0))),
    [0xda] = X87(BY_REG(ARITH8("i", Md)),
        FP("fcmovb", ST0, STi), FP("fcmove", ST0, STi), FP("fcmovbe", ST0, STi),
        FP("fcmovu", ST0, STi), UD, BY_RM(UD, FP("fucompp", 0)), UD, UD),
    [0xdb] = X87(BY_REG(FP("fild", Md), FISTTP(Md), XS("fist", Md), XS("fistp", Md), UD,
                        FP("fld", Mt), UD, XS("fstp", Mt)),
        FP("fcmovnb", ST0, STi), FP("fcmovne", ST0, STi), FP("fcmovnbe", ST0, STi),
        FP("fcmovnu", ST0, STi),
        BY_RM(FP("feni8087_nop", 0), FP("fdisi8087_nop", 0), FP("fnclex", 0), FP("fninit", 0),
              FP("fsetpm287_nop", 0)),
        FP("fucomi", ST0, STi), FP("fcomi", ST0, STi), UD),
    [0xdc] = X87(BY_REG(ARITH8("", Mq)),
        FP("fadd", STi, ST0), FP("fmul", STi, ST0), FP("fcom2", ST0, STi), FP("fcomp3", ST0, STi),
        FP("fsubr", STi, ST0), FP("fsub", STi, ST0), FP("fdivr", STi, ST0), FP("fdiv", STi, ST0)),
    [0xdd] = X87(BY_REG(FP("fld", Mq), FISTTP(Mq), XS("fst", Mq), XS("fstp", Mq),
                        M(fpu_env, "frstor", OP_FPU, Mbig), UD,
                        MS(fpu_env, NATIVE_STORE, "fnsave", OP_FPU, Mbig), XC("fnstsw", Mw)),
        FP("ffree", STi), FP("fxch4", STi), FP("fst", STi), FP("fstp", STi), FP("fucom", STi),
        FP("fucomp", STi), UD, UD),
    [0xde] = X87(BY_REG(ARITH8("i", Mw)),
        FP("faddp", STi, ST0), FP("fmulp", STi, ST0), FP("fcomp5", STi),
        BY_RM(UD, FP("fcompp", 0)), FP("fsubrp", STi, ST0),
        FP("fsubp", STi, ST0), FP("fdivrp", STi, ST0), FP("fdivp", STi, ST0)),
    [0xdf] = X87(BY_REG(FP("fild", Mw), FISTTP(Mw), XS("fist", Mw), XS("fistp", Mw),
                        FP("fbld", Mt), FP("fild", Mq), XS("fbstp", Mt), XS("fistp", Mq)),
        FP("ffreep", STi), FP("fxch7", STi), FP("fstp8", STi), FP("fstp9", STi),
        BY_RM(FP("fnstsw", ARG(ACC, w))), FP("fucomip", ST0, STi), FP("fcomip", ST0, STi), UD),
    [0xe0] = IS(loop, LOOP_NE, "loopne", OP_FORCE64, Jb), IS(loop, LOOP_E, "loope", OP_FORCE64, Jb),
    [0xe2] = IS(loop, LOOP_ALWAYS, "loop", OP_FORCE64, Jb),
    [0xe3] = I(jcxz, "jcxz|jecxz|jrcxz", OP_FORCE64, Jb), I(port, "in", 0, ALb, Iub),
    [0xe5] = I(port, "in", 0, eAX, Iub), I(port, "out", 0, Iub, ALb), I(port, "out", 0, Iub, eAX),
    [0xe8] = I(call, "call", OP_FORCE64, Jz), I(jmp, "jmp", OP_FORCE64, Jz),
    [0xea] = I(far, "jmp far", OP_NO64, Ap), I(jmp, "jmp", OP_FORCE64, Jb),
    [0xec] = I(port, "in", 0, ALb, DXw), I(port, "in", 0, eAX, DXw), I(port, "out", 0, DXw, ALb),
    [0xef] = I(port, "out", 0, DXw, eAX),
    [0xf1] = IS(trap, VECTOR_DB, "int1", 0, 0),
    [0xf4] = I(hlt, "hlt", OP_CPL0, 0), I(flag, "cmc", 0, 0), GROUP3(Eb, Ib),
    [0xf7] = GROUP3(Ev, Iz), I(flag, "clc", 0, 0), I(flag, "stc", 0, 0),
    [0xfa] = I(interrupts, "cli", 0, 0), I(interrupts, "sti", 0, 0), I(flag, "cld", 0, 0),
    [0xfd] = I(flag, "std", 0, 0),
    [0xfe] = BY_REG(RMI(INC, "inc", OP_LOCK, Eb), RMI(DEC, "dec", OP_LOCK, Eb)),
    [0xff] = BY_REG(RMI(INC, "inc", OP_LOCK, Ev), RMI(DEC, "dec", OP_LOCK, Ev),
                    M(call, "call", OP_FORCE64, Ev), MS(far, 1, "call far", 0, Mp),
                    M(jmp, "jmp", OP_FORCE64, Ev), M(far, "jmp far", 0, Mp),
                    M(push_rm, "push", OP_DEF64, Ev)),
};

#define NOP_EV M(nop, "nop", 0, Ev, Gv)
#define PREFETCH(n) M(nop, n, 0, Mb)

static const struct opcode group7_memory[8] = {
    M(store_table, "sgdt", OP_UMIP, Ms), M(store_table, "sidt", OP_UMIP, Ms),
    M(load_table, "lgdt", OP_CPL0, Ms), M(load_table, "lidt", OP_CPL0, Ms),
    M(smsw, "smsw", OP_UMIP, Mw), UD, M(lmsw, "lmsw", OP_CPL0, Ew),
    M(invlpg, "invlpg", OP_CPL0, Mb),
};

/* An instruction that 66, F2 and F3 make undefined ("NP" in the SDM). */
#define NP(...) BY_PREFIX(__VA_ARGS__)

static const struct opcode group7_register[8] = {
    NP(BY_RM(UD, MS(special, EMU_OP_VMCALL, "vmcall", 0, 0), M(ud, "vmlaunch", 0, 0),
             M(ud, "vmresume", 0, 0), M(ud, "vmxoff", 0, 0))),
    NP(BY_RM(MF(monitor, 0, "monitor", OP_HIDDEN, MONITOR, 0),
             MF(mwait, 0, "mwait", OP_HIDDEN, MONITOR, 0),
             MF(set_ac, 0, "clac", OP_HIDDEN, SMAP, 0), MF(set_ac, 1, "stac", OP_HIDDEN, SMAP, 0))),
    NP(BY_RM(M(read_extended, "xgetbv", 0, 0), M(xsetbv, "xsetbv", 0, 0), UD, UD,
             M(ud, "vmfunc", 0, 0),
             MF(xend, 0, "xend", 0, RTM, 0), MF(xtest, 0, "xtest", 0, RTM, 0))),
    UD, M(smsw, "smsw", OP_UMIP, Rv),
    NP(BY_RM(MF(nop, 0, "serialize", 0, SERIALIZE, 0), UD, UD, UD, UD, UD,
             MF(read_extended, 1, "rdpkru", 0, PKU, 0),
             MF(wrpkru, 0, "wrpkru", 0, PKU, 0))),
    M(lmsw, "lmsw", OP_CPL0, Ew),
    BY_RM(M(swapgs, "swapgs", OP_ONLY64 | OP_CPL0, 0), MF(rdtsc, 1, "rdtscp", 0, RDTSCP, 0)),
};

#define XAREA(h, s, n, f, feat) NP(MF(h, s, n, OP_XSAVE | (f), feat, Mbig))
#define BASE(h, s, n) BY_PREFIX(UD, UD, MF(h, s, n, OP_ONLY64, FSGSBASE, Ry))

static const struct opcode group15[2] = {
    BY_REG(NP(MS(fxsave, NATIVE_STORE, "fxsave", OP_FPU, Mbig)),
           NP(M(fxsave, "fxrstor", OP_FPU, Mbig)),
           NP(MS(native, NATIVE_LOAD, "ldmxcsr", V2 | OP_L0, Md)),
           NP(SX("stmxcsr", V2 | OP_L0, Md)),
           BY_PREFIX(MF(xsave, 0, "xsave", OP_XSAVE, XSAVE, Mbig), UD, M(ud, "ptwrite", 0, Ey)),
           XAREA(xrstor, 0, "xrstor", 0, XSAVE),
           BY_PREFIX(MF(xsave, 0, "xsaveopt", OP_XSAVE, XSAVEOPT, Mbig),
                     MF(clflush, 0, "clwb", 0, CLWB, Mb)),
           BY_PREFIX(M(clflush, "clflush", 0, Mb),
                     MF(clflush, 0, "clflushopt", 0, CLFLUSHOPT, Mb))),
    BY_REG(BASE(read_base, SEG_FS, "rdfsbase"), BASE(read_base, SEG_GS, "rdgsbase"),
           BASE(write_base, SEG_FS, "wrfsbase"), BASE(write_base, SEG_GS, "wrgsbase"),
           BY_PREFIX(UD, UD, M(ud, "ptwrite", 0, Ey)), NP(M(fence, "lfence", 0, 0)),
           BY_PREFIX(M(fence, "mfence", 0, 0), M(ud, "tpause", 0, Rd),
                     M(ud, "umonitor", 0, ARG(R, addr)),
                     M(ud, "umwait", 0, Rd)), NP(M(fence, "sfence", 0, 0))),
};

static const struct opcode group9[2] = {
    BY_REG(UD, BY_W(RMW("cmpxchg8b", OP_LOCK, Mq),
                    MF(integer, NATIVE_STORE, "cmpxchg16b", OP_LOCK, CX16, Mdq)),
           UD, XAREA(xrstor, 0, "xrstors", OP_CPL0, XSAVES), XAREA(xsave, 1, "xsavec", 0, XSAVEC),
           XAREA(xsave, 1, "xsaves", OP_CPL0, XSAVES),
           BY_PREFIX(M(ud, "vmptrld", 0, Mq), M(ud, "vmclear", 0, Mq), M(ud, "vmxon", 0, Mq)),
           BY_PREFIX(M(ud, "vmptrst", 0, Mq))),
    BY_REG(UD, UD, UD, UD, UD, UD,
           BY_PREFIX(TWICE(MF(integer, 0, "rdrand", 0, RDRAND, Rv))),
           BY_PREFIX(TWICE(MF(integer, 0, "rdseed", 0, RDSEED, Rv)),
                     MF(rdpid, 0, "rdpid", 0, RDPID, Rr))),
};

/* Between memory, or the other half, and half a register. */
#define HALF(n, ...)  SX(n, V3 | OP_L0 | EM | ENM, __VA_ARGS__)
#define MOVS(n, ...)  BY_MOD(SX(n, V2 | ES, __VA_ARGS__), SX(n, V3 | ES, __VA_ARGS__))
#define STORE_HALF(n) SX(n, V2 | OP_L0 | EM | ENM, Mq, Vdq)
/* Conversions between numbers of 4 and 8 bytes: W0, then W1. */
#define CVTW(a, af, A, W, b, bf, B, X) BY_W(EV("cvt" a, (af) | EBC, A, W),                         \
                                            EV("cvt" b, (bf) | EBC, B, X))
#define CVTQ(t, q, r)                                                                              \
    CVTW(t "ps2" q "q", EVEX(DQ) | (r), Vx, Wh, t "pd2" q "q", EVEX(DQ) | (r), Vx, Wx)
#define CVTU(t, r)                                                                                 \
    BY_PREFIX(CVTW(t "ps2udq", EVEX(F) | (r), Vx, Wx, t "pd2udq", EVEX(F) | (r), Vh, Wx),          \
              CVTQ(t, "uq", r), EV("cvt" t "ss2usi", EXS | ENM | (r), Gy, Wd),                     \
              EV("cvt" t "sd2usi", EXS | ENM | (r), Gy, Wq))
#define COMPARE(n)                                                                                 \
    BY_PREFIX(SX(n "s", V2 | ES | ENM | ESAE, Vdq, Wd), SX(n "d", V2 | ES | ENM | ESAE, Vdq, Wq))
#define CVTI(t, r)                                                                                 \
    BY_PREFIX(SX("cvt" t "ps2pi", OP_SSE, Pq, Wq), SX("cvt" t "pd2pi", OP_SSE, Pq, Wdq),           \
              SX("cvt" t "ss2si", V2 | EXS | ENM | (r), Gy, Wd),                                   \
              SX("cvt" t "sd2si", V2 | EXS | ENM | (r), Gy, Wq))
/* Vector shifts by an immediate: memory operands exist with EVEX only. */
#define VSHIFT(n)  BY_PREFIX(FP(n, Nq, Iub), SX(n, VI3, Ux, Iub))
#define VSHIFT1(n) P66(SX(n, VI3, Ux, Iub))
#define VSHIFTS(t) UD, UD, VSHIFT("psrl" t), UD, VSHIFT("psra" t), UD, VSHIFT("psll" t)
#define ESHIFT(n, e) EV(n, e, Hx, Wx, Iub)

const struct opcode emu_map_0f[256] = {
    [0x00] = BY_REG(M(mov_from_sreg, "sldt", OP_PROT | OP_UMIP, Evw),
                    M(mov_from_sreg, "str", OP_PROT | OP_UMIP, Evw),
                    MS(load_system, SEG_LDTR, "lldt", OP_PROT | OP_CPL0, Ew),
                    MS(load_system, SEG_TR, "ltr", OP_PROT | OP_CPL0, Ew),
                    MS(probe, PROBE_VERR, "verr", OP_PROT, Ew),
                    MS(probe, PROBE_VERW, "verw", OP_PROT, Ew)),
    [0x01] = BY_MOD(TABLE(REG, group7_memory), TABLE(REG, group7_register)),
    [0x02] = MS(probe, PROBE_LAR, "lar", OP_PROT, Gv, Ew),
    [0x03] = MS(probe, PROBE_LSL, "lsl", OP_PROT, Gv, Ew),
    [0x05] = I(syscall, "syscall", OP_ONLY64, 0), I(clts, "clts", OP_CPL0, 0),
    [0x07] = I(sysret, "sysret|sysret|sysretq", OP_ONLY64, 0),
    [0x08] = IS(special, EMU_OP_INVD, "invd", OP_CPL0, 0),
    [0x09] = IS(special, EMU_OP_WBINVD, "wbinvd", OP_CPL0, 0),
    [0x0b] = I(ud, "ud2", 0, 0),
    [0x0d] = BY_MOD(BY_REG(PREFETCH("prefetch"), PREFETCH("prefetchw"), PREFETCH("prefetchwt1"),
                           PREFETCH("prefetch"), PREFETCH("prefetch"), PREFETCH("prefetch"),
                           PREFETCH("prefetch"), PREFETCH("prefetch")), NOP_EV),
    [0x10] = BY_PREFIX(PSPD(MU, "movu", V2 | EM, Vx, Wx), MOVS("movss", Vdq, Wd),
                       MOVS("movsd", Vdq, Wq)),
    [0x11] = BY_PREFIX(PSPD(MU, "movu", V2 | EM, Wx, Vx), MOVS("movss", Wd, Vdq),
                       MOVS("movsd", Wq, Vdq)),
    [0x12] = BY_PREFIX(BY_MOD(HALF("movlps", Vdq, Mq), HALF("movhlps", Vdq, Udq)),
                       HALF("movlpd", Vdq, Mq), SF(SSE3, "movsldup", V2 | EM | EALL, Vx, Wx),
                       SF(SSE3, "movddup", V2 | EM | EALL, Vx, ARG(W, dup))),
    [0x13] = BY_PREFIX(STORE_HALF("movlps"), STORE_HALF("movlpd")),
    [0x14] = FLOAT2("unpcklp", EP | EALL), FLOAT2("unpckhp", EP | EALL),
    [0x16] = BY_PREFIX(BY_MOD(HALF("movhps", Vdq, Mq), HALF("movlhps", Vdq, Udq)),
                       HALF("movhpd", Vdq, Mq), SF(SSE3, "movshdup", V2 | EM | EALL, Vx, Wx)),
    [0x17] = BY_PREFIX(STORE_HALF("movhps"), STORE_HALF("movhpd")),
    [0x18] = BY_MOD(BY_REG(PREFETCH("prefetchnta"), PREFETCH("prefetcht0"), PREFETCH("prefetcht1"),
                           PREFETCH("prefetcht2"), NOP_EV, NOP_EV, NOP_EV, NOP_EV), NOP_EV),
    [0x19] = NOP_EV, NOP_EV, NOP_EV,
    [0x1c] = BY_MOD(BY_REG(BY_PREFIX(PREFETCH("cldemote"), NOP_EV, NOP_EV, NOP_EV), NOP_EV, NOP_EV,
                           NOP_EV, NOP_EV, NOP_EV, NOP_EV, NOP_EV), NOP_EV), NOP_EV, NOP_EV, NOP_EV,
    [0x20] = M(mov_from_cr, "mov", OP_CPL0 | OP_MOVCR, Rr, Cr),
    [0x21] = M(mov_dr, "mov", OP_CPL0 | OP_MOVCR, Rr, Dr),
    [0x22] = M(mov_to_cr, "mov", OP_CPL0 | OP_MOVCR, Cr, Rr),
    [0x23] = M(mov_dr, "mov", OP_CPL0 | OP_MOVCR, Dr, Rr),
    [0x28] = BY_PREFIX(PSPD(MA, "mova", V2 | EM, Vx, Wx)),
    [0x29] = BY_PREFIX(PSPD(MA, "mova", V2 | EM, Wx, Vx)),
    [0x2a] = BY_PREFIX(SX("cvtpi2ps", OP_SSE, Vdq, Qq), SX("cvtpi2pd", OP_SSE, Vdq, Qq),
                       SX("cvtsi2ss", V3 | EXS | ENM | ER, Vdq, Ey),
                       SX("cvtsi2sd", V3 | EXS | ENM | ER, Vdq, Ey)),
    [0x2b] = BY_PREFIX(PSPD(MA, "movnt", V2 | EM | ENM, Mx, Vx)), CVTI("t", ESAE), CVTI("", ER),
    [0x2e] = COMPARE("ucomis"), COMPARE("comis"),
    [0x30] = I(wrmsr, "wrmsr", OP_CPL0, 0), I(rdtsc, "rdtsc", 0, 0), I(rdmsr, "rdmsr", OP_CPL0, 0),
    [0x33] = I(rdpmc, "rdpmc", 0, 0), I(sysenter, "sysenter", 0, 0), I(sysexit, "sysexit", 0, 0),
    [0x37] = BY_PREFIX(I(ud, "getsec", 0, 0)),
    [0x40] = CC16(CMOV, "cmov"), BY_PREFIX(SX("movmskps", V2, Gd, Ux), SX("movmskpd", V2, Gd, Ux)),
    [0x51] = FLOAT4(V2, "sqrt", ER), BY_PREFIX(SX("rsqrtps", V2, Vx, Wx), UD,
                                               SX("rsqrtss", V3, Vdq, Wd)),
    [0x53] = BY_PREFIX(SX("rcpps", V2, Vx, Wx), UD, SX("rcpss", V3, Vdq, Wd)),
    [0x54] = FLOAT2("andp", EVEX(DQ) | EVEX_WPP | EBC), FLOAT2("andnp", EVEX(DQ) | EVEX_WPP | EBC),
    [0x56] = FLOAT2("orp", EVEX(DQ) | EVEX_WPP | EBC), FLOAT2("xorp", EVEX(DQ) | EVEX_WPP | EBC),
    [0x58] = FLOAT4(V3, "add", ER), FLOAT4(V3, "mul", ER),
    [0x5a] = BY_PREFIX(SX("cvtps2pd", V2 | EP | ESAE, Vx, Wh), SX("cvtpd2ps", V2 | EP | ER, Vh, Wx),
                       SX("cvtss2sd", V3 | ES | ESAE, Vdq, Wd),
                       SX("cvtsd2ss", V3 | ES | ER, Vdq, Wq)),
    [0x5b] = BY_PREFIX(BY_EVEX(SX("cvtdq2ps", V2, Vx, Wx),
                               CVTW("dq2ps", EVEX(F) | ER, Vx, Wx, "qq2ps", EVEX(DQ) | ER, Vh, Wx)),
                       SX("cvtps2dq", V2 | ED | ER, Vx, Wx),
                       SX("cvttps2dq", V2 | ED | ESAE, Vx, Wx)),
    [0x5c] = FLOAT4(V3, "sub", ER), FLOAT4(V3, "min", ESAE), FLOAT4(V3, "div", ER),
    FLOAT4(V3, "max", ESAE),
    [0x60] = UNPCKL("punpcklbw", EB), UNPCKL("punpcklwd", EW), UNPCKL("punpckldq", ED),
    [0x63] = MMX3("packsswb", EW | EALL), MMXK("pcmpgtb", EB), MMXK("pcmpgtw", EW),
    [0x66] = MMXK("pcmpgtd", ED), MMX3("packuswb", EW | EALL), MMX3("punpckhbw", EB | EALL),
    [0x69] = MMX3("punpckhwd", EW | EALL),
    [0x6a] = MMX3("punpckhdq", ED | EALL), MMX3("packssdw", EVEX(BW) | E0 | EBC | EALL),
    [0x6c] = P66(SX("punpcklqdq", VI3 | EQ | EALL, Vx, Wx)),
    [0x6d] = P66(SX("punpckhqdq", VI3 | EQ | EALL, Vx, Wx)),
    [0x6e] = BY_W64(BY_PREFIX(FP("movd", Pq, Ey), SX("movd", V2 | OP_L0 | EL, Vdq, Ey)),
                    BY_PREFIX(FP("movq", Pq, Ey), SX("movq", V2 | OP_L0 | EL, Vdq, Ey))),
    [0x6f] = BY_PREFIX(FP("movq", Pq, Qq), MA("movdqa~", V2 | EVEX(F), Vx, Wx),
                       MU("movdqu~", V2 | EVEX(F), Vx, Wx),
                       BY_W(EV("movdqu8", EB, Vx, Wx), EV("movdqu16", EW, Vx, Wx))),
    [0x70] = BY_PREFIX(FP("pshufw", Pq, Qq, Iub), SX("pshufd", VI2 | ED | EALL, Vx, Wx, Iub),
                       SX("pshufhw", VI2 | EW | EALL, Vx, Wx, Iub),
                       SX("pshuflw", VI2 | EW | EALL, Vx, Wx, Iub)),
    [0x71] = BY_EVEX(BY_MOD(UD, BY_REG(VSHIFTS("w"))),
                     P66(BY_REG(UD, UD, ESHIFT("psrlw", EW), UD, ESHIFT("psraw", EW), UD,
                                ESHIFT("psllw", EW)))),
    [0x72] = BY_EVEX(BY_MOD(UD, BY_REG(VSHIFTS("d"))),
                     P66(BY_REG(ESHIFT("pror#", EX), ESHIFT("prol#", EX), ESHIFT("psrld", ED), UD,
                                ESHIFT("psra#", EX), UD, ESHIFT("pslld", ED)))),
    [0x73] = BY_EVEX(BY_MOD(UD, BY_REG(UD, UD, VSHIFT("psrlq"), VSHIFT1("psrldq"), UD, UD,
                                       VSHIFT("psllq"), VSHIFT1("pslldq"))),
                     P66(BY_REG(UD, UD, ESHIFT("psrlq", EQ), ESHIFT("psrldq", EB | ENM), UD, UD,
                                ESHIFT("psllq", EQ), ESHIFT("pslldq", EB | ENM)))),
    [0x74] = MMXK("pcmpeqb", EB), MMXK("pcmpeqw", EW), MMXK("pcmpeqd", ED),
    [0x77] = BY_PREFIX(BY_VEX(I(native, "emms", OP_FPU, 0), I(vzero, "zeroupper", OP_AVX, 0),
                              I(vzero, "zeroall", OP_AVX, 0))),
    [0x78] = BY_EVEX(BY_PREFIX(M(ud, "vmread", 0, ARG(E, nat), ARG(G, nat))), CVTU("t", ESAE)),
    [0x79] = BY_EVEX(BY_PREFIX(M(ud, "vmwrite", 0, ARG(G, nat), ARG(E, nat))), CVTU("", ER)),
    [0x7a] = BY_PREFIX(UD, CVTQ("t", "q", ESAE),
                       CVTW("udq2pd", EVEX(F) | EIGN, Vx, Wh, "uqq2pd", EVEX(DQ) | ER, Vx, Wx),
                       CVTW("udq2ps", EVEX(F) | ER, Vx, Wx, "uqq2ps", EVEX(DQ) | ER, Vh, Wx)),
    [0x7b] = BY_PREFIX(UD, CVTQ("", "q", ER), EV("cvtusi2ss", EXS | ENM | ER, Vdq, Hdq, Ey),
                       EV("cvtusi2sd", EXS | ENM | ER, Vdq, Hdq, Ey)),
    [0x7c] = BY_PREFIX(UD, SF(SSE3, "haddpd", V3, Vx, Wx), UD, SF(SSE3, "haddps", V3, Vx, Wx)),
    [0x7d] = BY_PREFIX(UD, SF(SSE3, "hsubpd", V3, Vx, Wx), UD, SF(SSE3, "hsubps", V3, Vx, Wx)),
    [0x7e] = BY_PREFIX(BY_W64(FP("movd", Ey, Pq), FP("movq", Ey, Pq)),
                       BY_W64(SX("movd", V2 | OP_L0 | EL, Ey, Vdq),
                              SX("movq", V2 | OP_L0 | EL, Ey, Vdq)),
                       SX("movq", V2 | OP_L0 | EL | E1, Vdq, Wq)),
    [0x7f] = BY_PREFIX(FP("movq", Qq, Pq), MA("movdqa~", V2 | EVEX(F), Wx, Vx),
                       MU("movdqu~", V2 | EVEX(F), Wx, Vx),
                       BY_W(EV("movdqu8", EB, Wx, Vx), EV("movdqu16", EW, Wx, Vx))),
    [0x80] = CC16(JCCZ, "j"), CC16(SET, "set"),
    [0xa0] = SREGS(SEG_FS, 0), I(cpuid, "cpuid", 0, 0),
    [0xa3] = M(bt, "bt", 0, Ev, Gv),
    [0xa4] = RMW("shld", 0, Ev, Gv, Iub), RMW("shld", 0, Ev, Gv, CLb), BY_MOD(UD, UD),
    BY_MOD(UD, UD),
    [0xa8] = SREGS(SEG_GS, 0), I(ud, "rsm", 0, 0),
    [0xab] = M(bt, "bts", OP_LOCK, Ev, Gv),
    [0xac] = RMW("shrd", 0, Ev, Gv, Iub), RMW("shrd", 0, Ev, Gv, CLb), TABLE(MOD, group15),
    [0xaf] = M(integer, "imul", 0, Gv, Ev),
    [0xb0] = MS(integer, NATIVE_STORE | NATIVE_CMPXCHG, "cmpxchg", OP_LOCK, Eb, Gb),
    [0xb1] = MS(integer, NATIVE_STORE | NATIVE_CMPXCHG, "cmpxchg", OP_LOCK, Ev, Gv),
    [0xb2] = MS(load_far_pointer, SEG_SS, "lss", 0, Gv, Mp),
    [0xb3] = M(bt, "btr", OP_LOCK, Ev, Gv),
    [0xb4] = MS(load_far_pointer, SEG_FS, "lfs", 0, Gv, Mp),
    [0xb5] = MS(load_far_pointer, SEG_GS, "lgs", 0, Gv, Mp), M(extend, "movzx", 0, Gv, Eb),
    [0xb7] = M(extend, "movzx", 0, Gv, Ew),
    [0xb8] = BY_PREFIX(UD, UD, MF(integer, 0, "popcnt", 0, POPCNT, Gv, Ev)),
    [0xb9] = M(ud, "ud1", 0, Gv, Ev),
    [0xba] = BY_REG(UD, UD, UD, UD, M(integer, "bt", 0, Ev, Iub), RMW("bts", OP_LOCK, Ev, Iub),
                    RMW("btr", OP_LOCK, Ev, Iub), RMW("btc", OP_LOCK, Ev, Iub)),
    [0xbb] = M(bt, "btc", OP_LOCK, Ev, Gv),
    [0xbc] = SCAN("bsf", "tzcnt"), SCAN("bsr", "lzcnt"),
    [0xbe] = MS(extend, 1, "movsx", 0, Gv, Eb), MS(extend, 1, "movsx", 0, Gv, Ew),
    [0xc0] = XCHG("xadd", 0, Eb, Gb), XCHG("xadd", 0, Ev, Gv),
    [0xc2] = BY_EVEX(BY_PREFIX(PSPD(SX, "cmp", V3, Vx, Wx, Iub), SX("cmpss", V3, Vdq, Wd, Iub),
                               SX("cmpsd", V3, Vdq, Wq, Iub)),
                     BY_PREFIX(PSPD(EV, "cmp", EP | ESAE, Kx, Hx, Wx, Iub),
                               EV("cmpss", ES | ESAE, Kx, Hdq, Wd, Iub),
                               EV("cmpsd", ES | ESAE, Kx, Hdq, Wq, Iub))),
    [0xc3] = BY_PREFIX(M(mov_store, "movnti", 0, My, Gy)),
    [0xc4] = BY_PREFIX(FP("pinsrw", Pq, Edw, Iub),
                       SX("pinsrw", V3 | OP_L0 | EW | ENM, Vdq, Edw, Iub)),
    [0xc5] = BY_PREFIX(FP("pextrw", Gd, Nq, Iub),
                       SX("pextrw", V2 | OP_L0 | EW | ENM, Gd, Udq, Iub)),
    [0xc6] = BY_PREFIX(SX("shufps", V3 | EP | EALL, Vx, Wx, Iub),
                       SX("shufpd", V3 | EP | EALL, Vx, Wx, Iub)),
    [0xc7] = TABLE(MOD, group9), EIGHT(I(bswap, "bswap", 0, Zv)),
    [0xd0] = BY_PREFIX(UD, SF(SSE3, "addsubpd", V3, Vx, Wx), UD, SF(SSE3, "addsubps", V3, Vx, Wx)),
    [0xd1] = SHIFT3("psrlw", EVEX(BW)), SHIFT3("psrld", EVEX(F) | E0),
    [0xd3] = SHIFT3("psrlq", EVEX(F) | E1), MMX3("paddq", EQ), MMX3("pmullw", EW),
    [0xd6] = BY_PREFIX(UD, SX("movq", V2 | OP_L0 | EL | E1, Wq, Vdq),
                       SX("movq2dq", OP_SSE, Vdq, Nq),
                       SX("movdq2q", OP_SSE, Pq, Uq)),
    [0xd7] = BY_PREFIX(FP("pmovmskb", Gd, Nq), SX("pmovmskb", VI2, Gd, Ux)),
    [0xd8] = MMX3("psubusb", EB), MMX3("psubusw", EW), MMX3("pminub", EB), MMX3("pand@", EX),
    [0xdc] = MMX3("paddusb", EB), MMX3("paddusw", EW), MMX3("pmaxub", EB), MMX3("pandn@", EX),
    [0xe0] = MMX3("pavgb", EB), SHIFT3("psraw", EVEX(BW)),
    [0xe2] = BY_PREFIX(FP("psrad", Pq, Qq), SX("psra#", VI3 | EVEX(F) | EALL, Vx, Wdq)),
    [0xe3] = MMX3("pavgw", EW), MMX3("pmulhuw", EW), MMX3("pmulhw", EW),
    [0xe6] = BY_PREFIX(UD, SX("cvttpd2dq", V2 | EQ | ESAE, Vh, Wx),
                       BY_EVEX(SX("cvtdq2pd", V2, Vx, Wh),
                               CVTW("dq2pd", EVEX(F) | EIGN, Vx, Wh, "qq2pd", EVEX(DQ) | ER, Vx,
                                    Wx)),
                       SX("cvtpd2dq", V2 | EQ | ER, Vh, Wx)),
    [0xe7] = BY_PREFIX(FP("movntq", Mq, Pq), MA("movntdq", V2 | EVEX(F) | E0 | ENM, Mx, Vx)),
    [0xe8] = MMX3("psubsb", EB), MMX3("psubsw", EW), MMX3("pminsw", EW), MMX3("por@", EX),
    [0xec] = MMX3("paddsb", EB), MMX3("paddsw", EW), MMX3("pmaxsw", EW), MMX3("pxor@", EX),
    [0xf0] = BY_PREFIX(UD, UD, UD, MF(native, NATIVE_UNALIGNED, "lddqu", V2, SSE3, Vx, Mx)),
    [0xf1] = SHIFT3("psllw", EVEX(BW)), SHIFT3("pslld", EVEX(F) | E0),
    [0xf3] = SHIFT3("psllq", EVEX(F) | E1),
    [0xf4] = MMX3("pmuludq", EQ), MMX3("pmaddwd", EW | EALL), MMX3("psadbw", EB | ENM),
    [0xf7] = BY_PREFIX(M(maskmov, "maskmovq", OP_FPU, Pq, Nq),
                       M(maskmov, "maskmovdqu", V2 | OP_L0, Vdq, Udq)),
    [0xf8] = MMX3("psubb", EB), MMX3("psubw", EW), MMX3("psubd", ED), MMX3("psubq", EQ),
    [0xfc] = MMX3("paddb", EB), MMX3("paddw", EW), MMX3("paddd", ED), M(ud, "ud0", 0, Gv, Ev),
};

#define BMI(n, feat, ...) MF(integer, 0, n, OP_GPRVEX | OP_L0, feat, __VA_ARGS__)
/* Packed and scalar: in ten ways, the same order of operands in all. */
#define FMAP(n) PF(FMA, n "p$", OP_AVX | EX | ER, Vx, Hx, Wx)
#define FMAS(n) PF(FMA, n "s$", OP_AVX | EXS | ER, Vdq, Hdq, Wel)
#define FMA10(P, S, order)                                                                         \
    P("fmaddsub" order), P("fmsubadd" order), P("fmadd" order), S("fmadd" order),                  \
        P("fmsub" order), S("fmsub" order), P("fnmadd" order), S("fnmadd" order),                  \
        P("fnmsub" order), S("fnmsub" order)
#define MASKMOVP(size, t, ...) MF(vmaskmov, size, "maskmovp" t, OP_AVX | OP_W0, AVX, __VA_ARGS__)
#define PMASKMOV(...) P66(MF(vmaskmov, 0, "pmaskmov#", OP_AVX, AVX2, __VA_ARGS__))
/* Indices of 4 bytes, then of 8: only as many elements as the larger of the two has. */
#define VSIB  (OP_AVX | OP_VSIB)
#define VSIBE (OP_AVX | OP_EVEX | OP_VSIB | EVEX(F))
#define GATHER4(n)                                                                                 \
    P66(BY_EVEX(MF(gather, 4, n, VSIB, AVX2, Vx, Mel, Hx), MS(gather, 4, n, VSIBE, Vx, Mel)))
#define GATHER8(n, d, q)                                                                           \
    P66(BY_EVEX(BY_W(MF(gather, 8, n d, VSIB, AVX2, Vh, Md, Hh),                                   \
                     MF(gather, 8, n q, VSIB, AVX2, Vx, Mq, Hx)),                                  \
                BY_W(MS(gather, 8, n d, VSIBE, Vh, Md), MS(gather, 8, n q, VSIBE, Vx, Mq))))
#define SCATTER4(n) P66(MS(gather, 4, n, VSIBE, Mel, Vx))
#define SCATTER8(n, d, q)                                                                          \
    P66(BY_W(MS(gather, 8, n d, VSIBE, Md, Vh), MS(gather, 8, n q, VSIBE, Mq, Vx)))
#define AESFORM(n) PF(AES, n, VI3 | EL, Vx, Wx)
#define SHAFORM(n, ...) NP(SF(SHA, n, OP_SSE, Vdq, Wdq, ##__VA_ARGS__))
/* To wider elements; and with F3 back, saturating or not. */
#define WIDEN(w, n, e, W) BY_PREFIX(UD, SF(SSE41, w, VI2 | (e), Vx, W), EV(n, (e) | E0, W, Vx))
#define WIDEN6(w, n)                                                                               \
    WIDEN(w "bw", n "wb", EB, Wh), WIDEN(w "bd", n "db", EVEX(F) | EVEX_BYTES, Wf),                \
        WIDEN(w "bq", n "qb", EVEX(F) | EVEX_BYTES, We),                                           \
        WIDEN(w "wd", n "dw", EVEX(F) | EVEX_WORDS, Wh),                                           \
        WIDEN(w "wq", n "qw", EVEX(F) | EVEX_WORDS, Wf), WIDEN(w "dq", n "qd", EVEX(F) | E0, Wh)
#define DOT(n)                                                                                     \
    BY_EVEX(SF(AVXVNNI, n, OP_AVX | OP_W0, Vx, Hx, Wx), EV(n, EVEX(VNNI) | E0 | EBC, Vx, Hx, Wx))
/* A 66 form and, with F3, what narrows to unsigned elements. */
#define NARROW(p66, n, e, W) BY_PREFIX(UD, p66, EV("pmovus" n, (e) | E0, W, Vx))
#define MASKTEST(e, f) BY_PREFIX(UD, EV("ptestm" e, f, Kx, Hx, Wx), EV("ptestnm" e, f, Kx, Hx, Wx))

const struct opcode emu_map_0f38[256] = {
    [0x00] = SSSE3_("pshufb", VI3 | EB | EALL), SSSE3_("phaddw", VI3), SSSE3_("phaddd", VI3),
    [0x03] = SSSE3_("phaddsw", VI3), SSSE3_("pmaddubsw", VI3 | EW | EALL), SSSE3_("phsubw", VI3),
    [0x06] = SSSE3_("phsubd", VI3), SSSE3_("phsubsw", VI3), SSSE3_("psignb", VI3),
    SSSE3_("psignw", VI3),
    [0x0a] = SSSE3_("psignd", VI3), SSSE3_("pmulhrsw", VI3 | EW),
    [0x0c] = PAV("permilps", OP_W0 | ED | EALL, Vx, Hx, Wx),
    [0x0d] = PAV("permilpd", OP_W0 | EQ | EALL, Vx, Hx, Wx),
    [0x0e] = PAV("testps", OP_W0, Vx, Wx), PAV("testpd", OP_W0, Vx, Wx),
    [0x10] = BY_EVEX(P41("pblendvb", OP_SSE, Vdq, Wdq),
                     NARROW(EV("psrlvw", EW | E1, Vx, Hx, Wx), "wb", EB, Wh)),
    [0x11] = NARROW(EV("psravw", EW | E1, Vx, Hx, Wx), "db", EVEX(F) | EVEX_BYTES, Wf),
    [0x12] = NARROW(EV("psllvw", EW | E1, Vx, Hx, Wx), "qb", EVEX(F) | EVEX_BYTES, We),
    [0x13] = NARROW(F16("cvtph2ps", Vx, Wh), "dw", EVEX(F) | EVEX_WORDS, Wh),
    [0x14] = BY_EVEX(P41("blendvps", OP_SSE, Vdq, Wdq),
                     NARROW(EV("prorv#", EX, Vx, Hx, Wx), "qw", EVEX(F) | EVEX_WORDS, Wf)),
    [0x15] = BY_EVEX(P41("blendvpd", OP_SSE, Vdq, Wdq),
                     NARROW(EV("prolv#", EX, Vx, Hx, Wx), "qd", EVEX(F), Wh)),
    [0x16] = PA2("permp$", OP_L1 | OP_W0 | EX | EALL, Vx, Hx, Wx), P41("ptest", V2, Vx, Wx),
    [0x18] = BY_MOD(PAV("broadcastss", OP_W0 | EVEX(F) | E0 | EVEX_REPEAT, Vx, Md),
                    PA2("broadcastss", OP_W0 | EVEX(F) | E0, Vx, Wd)),
    [0x19] = BY_EVEX(BY_MOD(PAV("broadcastsd", OP_L1 | OP_W0, Vqq, Mq),
                            PA2("broadcastsd", OP_L1 | OP_W0, Vqq, Wq)),
                     P66(BY_W(EV("broadcastf32x2", EVEX(DQ) | OP_L1 | EVEX_REPEAT, Vx, Wq),
                              EV("broadcastsd", EVEX(F) | OP_L1 | EVEX_REPEAT, Vx, Wq)))),
    [0x1a] = BY_EVEX(PAV("broadcastf128", OP_L1 | OP_W0, Vqq, Mdq),
                     LANES4("broadcastf", EVEX_REPEAT, Vx, Mdq)),
    [0x1b] = LANES8("broadcastf", EVEX_REPEAT, Vx, Mqq),
    [0x1c] = SSSE3_("pabsb", VI2 | EB), SSSE3_("pabsw", VI2 | EW), SSSE3_("pabsd", VI2 | ED),
    [0x1f] = P66E("pabsq", EQ, Vx, Wx),
    [0x20] = WIDEN6("pmovsx", "pmovs"), MASKTEST("&", EB | EVEX_WORDS), MASKTEST("#", EX),
    [0x28] = BY_PREFIX(UD, SF(SSE41, "pmuldq", VI3 | EQ, Vx, Wx),
                       EV("pmovm2&", EVEX(BW) | ENM, Vx, KRx)),
    [0x29] = BY_PREFIX(UD, BY_EVEX(SF(SSE41, "pcmpeqq", VI3, Vx, Wx),
                                   EV("pcmpeqq", EQ, Kx, Hx, Wx)),
                       EV("pmov&2m", EVEX(BW) | ENM, Kx, Ux)),
    [0x2a] = BY_PREFIX(UD, MF(native, NATIVE_ALIGNED, "movntdqa", VI2 | EVEX(F) | E0 | ENM, SSE41,
                              Vx, Mx),
                       EV("pbroadcastmb2q", EVEX(CD) | E1 | ENM, Vx, KRx)),
    [0x2b] = P41("packusdw", VI3 | EVEX(BW) | E0 | EBC | EALL, Vx, Wx),
    [0x2c] = P66(BY_EVEX(MASKMOVP(4, "s", Vx, Hx, Mx), EV("scalefp$", EX | ER, Vx, Hx, Wx))),
    [0x2d] = P66(BY_EVEX(MASKMOVP(8, "d", Vx, Hx, Mx), EV("scalefs$", EXS | ER, Vdq, Hdq, Wel))),
    [0x2e] = P66(MASKMOVP(4, "s", Mx, Hx, Vx)),
    [0x2f] = P66(MASKMOVP(8, "d", Mx, Hx, Vx)), WIDEN6("pmovzx", "pmov"),
    [0x36] = PA2("perm#", OP_L1 | OP_W0 | EX | EALL, Vx, Hx, Wx),
    [0x37] = P66(BY_EVEX(SF(SSE42, "pcmpgtq", VI3, Vx, Wx), EV("pcmpgtq", EQ, Kx, Hx, Wx))),
    [0x38] = BY_PREFIX(UD, SF(SSE41, "pminsb", VI3 | EB, Vx, Wx),
                       EV("pmovm2#", EVEX(DQ) | ENM, Vx, KRx)),
    [0x39] = BY_PREFIX(UD, SF(SSE41, "pmins#", VI3 | EX, Vx, Wx),
                       EV("pmov#2m", EVEX(DQ) | ENM, Kx, Ux)),
    [0x3a] = BY_PREFIX(UD, SF(SSE41, "pminuw", VI3 | EW, Vx, Wx),
                       EV("pbroadcastmw2d", EVEX(CD) | E0 | ENM, Vx, KRx)),
    [0x3b] = P41("pminu#", VI3 | EX, Vx, Wx),
    [0x3c] = P41("pmaxsb", VI3 | EB, Vx, Wx), P41("pmaxs#", VI3 | EX, Vx, Wx),
    [0x3e] = P41("pmaxuw", VI3 | EW, Vx, Wx), P41("pmaxu#", VI3 | EX, Vx, Wx),
    [0x40] = P66(BY_EVEX(SF(SSE41, "pmulld", VI3, Vx, Wx),
                         BY_W(EV("pmulld", EX, Vx, Hx, Wx),
                              EV("pmullq", EVEX(DQ) | EBC, Vx, Hx, Wx)))),
    [0x41] = P41("phminposuw", V2 | OP_L0, Vdq, Wdq),
    [0x42] = P66E("getexpp$", EX | ESAE, Vx, Wx), P66E("getexps$", EXS | ESAE, Vdq, Hdq, Wel),
    [0x44] = P66E("plzcnt#", EVEX(CD) | EBC, Vx, Wx),
    [0x45] = PA2("psrlv#", EX, Vx, Hx, Wx), PA2("psrav#", OP_W0 | EX, Vx, Hx, Wx),
    [0x47] = PA2("psllv#", EX, Vx, Hx, Wx),
    [0x4c] = P66E("rcp14p$", EX, Vx, Wx), P66E("rcp14s$", EXS, Vdq, Hdq, Wel),
    [0x4e] = P66E("rsqrt14p$", EX, Vx, Wx), P66E("rsqrt14s$", EXS, Vdq, Hdq, Wel),
    [0x50] = P66(DOT("pdpbusd")), P66(DOT("pdpbusds")),
    [0x52] = BY_PREFIX(UD, DOT("pdpwssd"), EV("dpbf16ps", EVEX(BF16) | E0 | EBC, Vx, Hx, Wx)),
    [0x53] = P66(DOT("pdpwssds")),
    [0x54] = P66E("popcnt&", EVEX(BITALG) | EVEX_BYTES | EVEX_WORDS, Vx, Wx),
    [0x55] = P66E("popcnt#", EVEX(POPCNTDQ) | EBC, Vx, Wx),
    [0x58] = PA2("pbroadcastd", OP_W0 | EVEX(F) | E0 | EVEX_REPEAT, Vx, Wd),
    [0x59] = P66(BY_EVEX(SF(AVX2, "pbroadcastq", OP_AVX | OP_W0, Vx, Wq),
                         BY_W(EV("broadcasti32x2", EVEX(DQ) | EVEX_REPEAT, Vx, Wq),
                              EV("pbroadcastq", EVEX(F) | EVEX_REPEAT, Vx, Wq)))),
    [0x5a] = BY_EVEX(PA2("broadcasti128", OP_L1 | OP_W0, Vqq, Mdq),
                     LANES4("broadcasti", EVEX_REPEAT, Vx, Mdq)),
    [0x5b] = LANES8("broadcasti", EVEX_REPEAT, Vx, Mqq),
    [0x62] = P66E("pexpand&", EVEX(VBMI2) | EVEX_BYTES | EVEX_WORDS | EVEX_PACKED, Vx, Wx),
    [0x63] = P66E("pcompress&", EVEX(VBMI2) | EVEX_BYTES | EVEX_WORDS | EVEX_PACKED, Wx, Vx),
    [0x64] = P66E("pblendm#", EX, Vx, Hx, Wx), P66E("blendmp$", EX, Vx, Hx, Wx),
    [0x66] = P66E("pblendm&", EB | EVEX_WORDS, Vx, Hx, Wx),
    [0x70] = P66E("pshldvw", EVEX(VBMI2) | EVEX_WORDS | E1, Vx, Hx, Wx),
    [0x71] = P66E("pshldv#", EVEX(VBMI2) | EBC, Vx, Hx, Wx),
    [0x72] = BY_PREFIX(UD, EV("pshrdvw", EVEX(VBMI2) | EVEX_WORDS | E1, Vx, Hx, Wx),
                       EV("cvtneps2bf16", EVEX(BF16) | E0 | EBC, Vh, Wx),
                       EV("cvtne2ps2bf16", EVEX(BF16) | E0 | EBC | EALL, Vx, Hx, Wx)),
    [0x73] = P66E("pshrdv#", EVEX(VBMI2) | EBC, Vx, Hx, Wx),
    [0x75] = BWE("permi2", VBMI, BW, Vx, Hx, Wx), P66E("permi2#", EX | EALL, Vx, Hx, Wx),
    [0x77] = P66E("permi2p$", EX | EALL, Vx, Hx, Wx),
    [0x78] = PA2("pbroadcastb", OP_W0 | EB | E0 | EVEX_REPEAT, Vx, Wb),
    [0x79] = PA2("pbroadcastw", OP_W0 | EW | E0 | EVEX_REPEAT, Vx, Ww),
    [0x7a] = P66E("pbroadcastb", EVEX(BW) | E0, Vx, Rd), P66E("pbroadcastw", EVEX(BW) | E0, Vx, Rd),
    [0x7c] = P66(BY_W64(EV("pbroadcastd", EVEX(F), Vx, Ry), EV("pbroadcastq", EVEX(F), Vx, Ry))),
    [0x7d] = BWE("permt2", VBMI, BW, Vx, Hx, Wx), P66E("permt2#", EX | EALL, Vx, Hx, Wx),
    [0x7f] = P66E("permt2p$", EX | EALL, Vx, Hx, Wx), P66(M(ud, "invept", 0, ARG(G, nat), Mdq)),
    [0x81] = P66(M(ud, "invvpid", 0, ARG(G, nat), Mdq)),
    [0x82] = P66(MF(invpcid, 0, "invpcid", OP_CPL0, INVPCID, ARG(G, nat), Mdq)),
    [0x83] = P66E("pmultishiftqb", EVEX(VBMI) | E1 | EBC | EALL, Vx, Hx, Wx),
    [0x88] = P66E("expandp$", EVEX(F) | EVEX_PACKED, Vx, Wx),
    [0x89] = P66E("pexpand#", EVEX(F) | EVEX_PACKED, Vx, Wx),
    [0x8a] = P66E("compressp$", EVEX(F) | EVEX_PACKED, Wx, Vx),
    [0x8b] = P66E("pcompress#", EVEX(F) | EVEX_PACKED, Wx, Vx), PMASKMOV(Vx, Hx, Mx),
    [0x8d] = BWE("perm", VBMI, BW, Vx, Hx, Wx), PMASKMOV(Mx, Hx, Vx),
    [0x8f] = P66E("pshufbitqmb", EVEX(BITALG) | E0 | EVEX_BYTES, Kx, Hx, Wx),
    [0x90] = GATHER4("pgatherd#"), GATHER8("pgatherq", "d", "q"),
    [0x92] = GATHER4("gatherdp$"), GATHER8("gatherqp", "s", "d"),
    [0x96] = FMA10(FMAP, FMAS, "132"), SCATTER4("pscatterd#"), SCATTER8("pscatterq", "d", "q"),
    [0xa2] = SCATTER4("scatterdp$"), SCATTER8("scatterqp", "s", "d"),
    [0xa6] = FMA10(FMAP, FMAS, "213"),
    [0xb4] = P66E("pmadd52luq", EVEX(IFMA) | E1 | EBC, Vx, Hx, Wx),
    [0xb5] = P66E("pmadd52huq", EVEX(IFMA) | E1 | EBC, Vx, Hx, Wx), FMA10(FMAP, FMAS, "231"),
    [0xc4] = P66E("pconflict#", EVEX(CD) | EBC | EALL, Vx, Wx),
    [0xc8] = SHAFORM("sha1nexte"), SHAFORM("sha1msg1"), SHAFORM("sha1msg2"),
    [0xcb] = SHAFORM("sha256rnds2"), SHAFORM("sha256msg1"), SHAFORM("sha256msg2"),
    [0xcf] = PF(GFNI, "gf2p8mulb", V3 | OP_W0 | EVEX(F) | E0 | EVEX_BYTES, Vx, Wx),
    [0xdb] = PF(AES, "aesimc", V2 | OP_L0, Vdq, Wdq),
    [0xdc] = AESFORM("aesenc"), AESFORM("aesenclast"), AESFORM("aesdec"), AESFORM("aesdeclast"),
    [0xf0] = BY_PREFIX(TWICE(MF(movbe, 0, "movbe", 0, MOVBE, Gv, Mv)), UD,
                       MF(integer, 0, "crc32", 0, CRC32, Gy, Eb)),
    [0xf1] = BY_PREFIX(TWICE(MF(movbe, 0, "movbe", 0, MOVBE, Mv, Gv)), UD,
                       MF(integer, 0, "crc32", 0, CRC32, Gy, Ev)),
    [0xf2] = BY_PREFIX(BMI("andn", BMI1, Gy, Bd, Ey)),
    [0xf3] = BY_REG(UD, BY_PREFIX(BMI("blsr", BMI1, Bd, Ey)),
                    BY_PREFIX(BMI("blsmsk", BMI1, Bd, Ey)),
                    BY_PREFIX(BMI("blsi", BMI1, Bd, Ey))),
    [0xf5] = BY_PREFIX(BMI("bzhi", BMI2, Gy, Ey, Bd), UD,
                       BMI("pext", BMI2, Gy, Bd, Ey), BMI("pdep", BMI2, Gy, Bd, Ey)),
    [0xf6] = BY_PREFIX(UD, MF(integer, 0, "adcx", 0, ADX, Gy, Ey),
                       MF(integer, 0, "adox", 0, ADX, Gy, Ey),
                       BMI("mulx", BMI2, Gy, Bd, Ey)),
    [0xf7] = BY_PREFIX(BMI("bextr", BMI1, Gy, Ey, Bd), BMI("shlx", BMI2, Gy, Ey, Bd),
                       BMI("sarx", BMI2, Gy, Ey, Bd), BMI("shrx", BMI2, Gy, Ey, Bd)),
    [0xf8] = BY_PREFIX(UD, MF(movdir64b, 0, "movdir64b", 0, MOVDIR64B, ARG(G, addr), Mbig),
                       M(ud, "enqcmds", 0, ARG(G, addr), Mbig),
                       M(ud, "enqcmd", 0, ARG(G, addr), Mbig)),
    [0xf9] = NP(MF(mov_store, 0, "movdiri", 0, MOVDIRI, My, Gy)),
};

/* Opmask instructions.  The feature is that of the first operand's width. */
#define KF(n, f, feature, ...) MF(native, 0, n, OP_OPMASK | OP_GPRVEX | (f), feature, __VA_ARGS__)
#define KN(n, f, ...)          KF(n, f, AVX512F, __VA_ARGS__)
#define KNP(...)               BY_PREFIX(TWICE(__VA_ARGS__))
#define K2(n)                  KNP(KN(n "%", OP_L0, Kk, KRk))
#define K3(n, feature)         KNP(KF(n "%", OP_L1, feature, Kk, KHk, KRk))
#define KUNPCK(n, size)        KN(n, OP_L1, ARG(K, size), ARG(KH, size), ARG(KR, size))

const struct opcode emu_map_opmask[32] = {
    [0x01] = K3("kand", AVX512F), K3("kandn", AVX512F),
    [0x04] = K2("knot"), K3("kor", AVX512F), K3("kxnor", AVX512F), K3("kxor", AVX512F),
    [0x0a] = K3("kadd", AVX512DQ),
             BY_PREFIX(BY_W(KUNPCK("kunpckwd", d), KUNPCK("kunpckdq", q)),
                       BY_W(KUNPCK("kunpckbw", w), UD)),
    [0x10] = KNP(KN("kmov%", OP_L0, Kk, ARG(KM, k))), KNP(KN("kmov%", OP_L0, ARG(M, k), Kk)),
    [0x12] = BY_PREFIX(KN("kmovw", OP_L0 | OP_W0, ARG(K, w), ARG(R, d)),
                       KN("kmovb", OP_L0 | OP_W0, ARG(K, b), ARG(R, d)), UD,
                       BY_W64(KN("kmovd", OP_L0, ARG(K, d), Ry),
                              KN("kmovq", OP_L0, ARG(K, q), Ry))),
    [0x13] = BY_PREFIX(KN("kmovw", OP_L0 | OP_W0, Gd, ARG(KR, w)),
                       KN("kmovb", OP_L0 | OP_W0, Gd, ARG(KR, b)), UD,
                       BY_W64(KN("kmovd", OP_L0, Gy, ARG(KR, d)),
                              KN("kmovq", OP_L0, Gy, ARG(KR, q)))),
    [0x18] = K2("kortest"), KNP(KF("ktest%", OP_L0, AVX512DQ, Kk, KRk)),
};

/* Insert and extract four or two lanes, then eight or four; P: PAV or PA2. */
#define INSERT_EXTRACT(t, P)                                                                       \
    BY_EVEX(P("insert" t "128", OP_L1 | OP_W0, Vqq, Hx, Wdq, Iub),                                 \
            LANES4("insert" t, EALL, Vx, Hx, Wdq, Iub)),                                           \
        BY_EVEX(P("extract" t "128", OP_L1 | OP_W0, Wdq, Vqq, Iub),                                \
                LANES4("extract" t, EALL, Wdq, Vx, Iub)),                                          \
        LANES8("insert" t, EALL, Vx, Hx, Wqq, Iub), LANES8("extract" t, EALL, Wqq, Vx, Iub)
#define ROUNDP(t, e, half)                                                                         \
    BY_PREFIX(half, BY_EVEX(SF(SSE41, "round" t, V2, Vx, Wx, Iub),                                 \
                            EV("rndscale" t, (e) | ESAE, Vx, Wx, Iub)))
#define ROUNDS(t, e, W, half)                                                                      \
    BY_PREFIX(half, BY_EVEX(SF(SSE41, "round" t, V3, Vdq, W, Iub),                                 \
                EV("rndscale" t, EXS | (e) | ESAE, Vdq, Hdq, W, Iub)))
#define BLENDV(f, n) PAV(n, OP_W0 | (f), Vx, Hx, Wx, Lx)
#define KS(n, size)        KN(n, OP_L0, ARG(K, size), ARG(KR, size), Iub)
#define KSHIFT(n, a, m, b) P66(BY_W(KS(n, a), KS(m, b)))
#define AFFINE(n)    PF(GFNI, n, V3 | OP_W1 | EQ | EALL, Vx, Wx, Iub)
#define PCMPSTR(n) P66(MF(native, NATIVE_UNALIGNED, "pcmp" n, V2 | OP_L0, SSE42, Vdq, Wdq, Iub))

const struct opcode emu_map_0f3a[256] = {
    [0x00] = PA2("permq", OP_W1 | OP_L1 | EQ | EALL, Vx, Wx, Iub),
    [0x01] = PA2("permpd", OP_W1 | OP_L1 | EQ | EALL, Vx, Wx, Iub),
    [0x02] = PA2("pblendd", OP_W0, Vx, Hx, Wx, Iub), P66E("align#", EX | EALL, Vx, Hx, Wx, Iub),
    [0x04] = PAV("permilps", OP_W0 | ED | EALL, Vx, Wx, Iub),
    [0x05] = PAV("permilpd", OP_W0 | EQ | EALL, Vx, Wx, Iub),
    [0x06] = PAV("perm2f128", OP_L1 | OP_W0, Vqq, Hx, Wqq, Iub),
    [0x08] = ROUNDP("ps", ED, PH("rndscaleph", ESAE, Vx, Wx, Iub)), ROUNDP("pd", EQ, UD),
    [0x0a] = ROUNDS("ss", E0, Wd, SH("rndscalesh", ESAE, Vdq, Hdq, Ww, Iub)),
    ROUNDS("sd", E1, Wq, UD),
    [0x0c] = P41("blendps", V3, Vx, Wx, Iub), P41("blendpd", V3, Vx, Wx, Iub),
    [0x0e] = P41("pblendw", VI3, Vx, Wx, Iub),
    [0x0f] = BY_PREFIX(SF(SSSE3, "palignr", OP_FPU, Pq, Qq, Iub),
                       SF(SSSE3, "palignr", VI3 | EB | EALL, Vx, Wx, Iub)),
    [0x14] = P41("pextrb", V2 | OP_L0 | EB | ENM, Edb, Vdq, Iub),
    P41("pextrw", V2 | OP_L0 | EW | ENM, Edw, Vdq, Iub),
    [0x16] = BY_W64(P41("pextrd", V2 | OP_L0 | EVEX(DQ) | ENM, Ey, Vdq, Iub),
                  P41("pextrq", V2 | OP_L0 | EVEX(DQ) | ENM, Ey, Vdq, Iub)),
    [0x17] = P41("extractps", V2 | OP_L0 | EL, Ed, Vdq, Iub), INSERT_EXTRACT("f", PAV),
    [0x1d] = P66(F16("cvtps2ph", Wh, Vx, Iub)),
    [0x1e] = P66E("pcmpu#", EX, Kx, Hx, Wx, Iub), P66E("pcmp#", EX, Kx, Hx, Wx, Iub),
    [0x20] = P41("pinsrb", V3 | OP_L0 | EB | ENM, Vdq, Edb, Iub),
    [0x21] = P41("insertps", V3 | OP_L0 | EL | E0, Vdq, Wd, Iub),
    [0x22] = BY_W64(P41("pinsrd", V3 | OP_L0 | EVEX(DQ) | ENM, Vdq, Ey, Iub),
                  P41("pinsrq", V3 | OP_L0 | EVEX(DQ) | ENM, Vdq, Ey, Iub)),
    [0x23] = P66(BY_W(EV("shuff32x4", EX | EALL | OP_L1, Vx, Hx, Wx, Iub),
                      EV("shuff64x2", EX | EALL | OP_L1, Vx, Hx, Wx, Iub))),
    [0x25] = P66E("pternlog#", EX, Vx, Hx, Wx, Iub), 
    [0x26] = BY_PREFIX(PH("getmantph", ESAE, Vx, Wx, Iub), EV("getmantp$", EX | ESAE, Vx, Wx, Iub)),
    [0x27] = BY_PREFIX(SH("getmantsh", ESAE, Vdq, Hdq, Ww, Iub),
                       EV("getmants$", EXS | ESAE, Vdq, Hdq, Wel, Iub)),
    [0x30] = KSHIFT("kshiftrb", b, "kshiftrw", w), KSHIFT("kshiftrd", d, "kshiftrq", q),
    [0x32] = KSHIFT("kshiftlb", b, "kshiftlw", w), KSHIFT("kshiftld", d, "kshiftlq", q),
    [0x38] = INSERT_EXTRACT("i", PA2),
    [0x3e] = P66E("pcmpu&", EB | EVEX_WORDS, Kx, Hx, Wx, Iub),
    [0x3f] = P66E("pcmp&", EB | EVEX_WORDS, Kx, Hx, Wx, Iub),
    [0x40] = P41("dpps", V3, Vx, Wx, Iub), P41("dppd", V3 | OP_L0, Vdq, Wdq, Iub),
    [0x42] = P66(BY_EVEX(SF(SSE41, "mpsadbw", VI3, Vx, Wx, Iub),
                         EV("dbpsadbw", EW | E0 | EALL, Vx, Hx, Wx, Iub))),
    [0x43] = P66(BY_W(EV("shufi32x4", EX | EALL | OP_L1, Vx, Hx, Wx, Iub),
                      EV("shufi64x2", EX | EALL | OP_L1, Vx, Hx, Wx, Iub))),
    [0x44] = PF(PCLMUL, "pclmulqdq", VI3 | EL, Vx, Wx, Iub),
    [0x46] = PA2("perm2i128", OP_L1 | OP_W0, Vqq, Hx, Wqq, Iub),
    [0x4a] = BLENDV(0, "blendvps"), BLENDV(0, "blendvpd"), BLENDV(OP_INTEGER, "pblendvb"),
    [0x50] = P66E("rangep$", EVEX(DQ) | EBC | ESAE, Vx, Hx, Wx, Iub),
    [0x51] = P66E("ranges$", EVEX(DQ) | EVEX_SCALAR | ESAE, Vdq, Hdq, Wel, Iub),
    [0x54] = P66E("fixupimmp$", EX | ESAE, Vx, Hx, Wx, Iub),
    [0x55] = P66E("fixupimms$", EXS | ESAE, Vdq, Hdq, Wel, Iub),
    [0x56] = BY_PREFIX(PH("reduceph", ESAE, Vx, Wx, Iub),
                       EV("reducep$", EVEX(DQ) | EBC | ESAE, Vx, Wx, Iub)),
    [0x57] = BY_PREFIX(SH("reducesh", ESAE, Vdq, Hdq, Ww, Iub),
                       EV("reduces$", EVEX(DQ) | EVEX_SCALAR | ESAE, Vdq, Hdq, Wel, Iub)),
    [0x60] = PCMPSTR("estrm"), PCMPSTR("estri"), PCMPSTR("istrm"), PCMPSTR("istri"),
    [0x66] = BY_PREFIX(PH("fpclassph", 0, Kx, Wx, Iub),
                       EV("fpclassp$", EVEX(DQ) | EBC, Kx, Wx, Iub)),
    [0x67] = BY_PREFIX(SH("fpclasssh", 0, Kx, Ww, Iub),
                       EV("fpclasss$", EVEX(DQ) | EVEX_SCALAR, Kx, Wel, Iub)),
    [0x70] = P66E("pshldw", EVEX(VBMI2) | EVEX_WORDS | E1, Vx, Hx, Wx, Iub),
    [0x71] = P66E("pshld#", EVEX(VBMI2) | EBC, Vx, Hx, Wx, Iub),
    [0x72] = P66E("pshrdw", EVEX(VBMI2) | EVEX_WORDS | E1, Vx, Hx, Wx, Iub),
    [0x73] = P66E("pshrd#", EVEX(VBMI2) | EBC, Vx, Hx, Wx, Iub),
    [0xc2] = BY_PREFIX(PH("cmpph", ESAE, Kx, Hx, Wx, Iub), UD, SH("cmpsh", ESAE, Kx, Hdq, Ww, Iub)),
    [0xcc] = SHAFORM("sha1rnds4", Iub),
    [0xce] = AFFINE("gf2p8affineqb"), AFFINE("gf2p8affineinvqb"),
    [0xdf] = PF(AES, "aeskeygenassist", V2 | OP_L0, Vdq, Wdq, Iub),
    [0xf0] = BY_PREFIX(UD, UD, BY_REG(BY_MOD(UD, BY_RM(M(ud, "hreset", 0, Iub)))),
                       BMI("rorx", BMI2, Gy, Ey, Iub)),
};

/* AVX512-FP16: EVEX only. */
#define CVTHU(t, r)                                                                                \
    BY_PREFIX(PH("cvt" t "ph2udq", r, Vx, Wh), PH("cvt" t "ph2uqq", r, Vx, Wf),                    \
              EV("cvt" t "sh2usi", FP16S | ENM | (r), Gy, Ww))

const struct opcode emu_map_5[256] = {
    [0x10] = BY_PREFIX(UD, UD, BY_MOD(SH("movsh", 0, Vdq, Ww), SH("movsh", 0, Vdq, Hdq, Ww))),
    [0x11] = BY_PREFIX(UD, UD, BY_MOD(SH("movsh", 0, Ww, Vdq), SH("movsh", 0, Ww, Hdq, Vdq))),
    [0x1d] = BY_PREFIX(EV("cvtss2sh", FP16S | E0 | ER, Vdq, Hdq, Wd),
                       EV("cvtps2phx", FP16 | E0 | EBC | ER, Vh, Wx)),
    [0x2a] = BY_PREFIX(UD, UD, EV("cvtsi2sh", FP16S | ENM | ER, Vdq, Hdq, Ey)),
    [0x2c] = BY_PREFIX(UD, UD, EV("cvttsh2si", FP16S | ENM | ESAE, Gy, Ww)),
    [0x2d] = BY_PREFIX(UD, UD, EV("cvtsh2si", FP16S | ENM | ER, Gy, Ww)),
    [0x2e] = NP(SH("ucomish", ENM | ESAE, Vdq, Ww)), NP(SH("comish", ENM | ESAE, Vdq, Ww)),
    [0x51] = BY_PREFIX(PH("sqrtph", ER, Vx, Wx), UD, SH("sqrtsh", ER, Vdq, Hdq, Ww)),
    [0x58] = FLOATH("add", ER), FLOATH("mul", ER),
    [0x5a] = BY_PREFIX(PH("cvtph2pd", ESAE, Vx, Wf), EV("cvtpd2ph", FP16 | E1 | EBC | ER, Vf, Wx),
                       SH("cvtsh2sd", ESAE, Vdq, Hdq, Ww),
                       EV("cvtsd2sh", FP16S | E1 | ER, Vdq, Hdq, Wq)),
    [0x5b] = BY_PREFIX(CVTW("dq2ph", FP16 | ER, Vh, Wx, "qq2ph", FP16 | ER, Vf, Wx),
                       PH("cvtph2dq", ER, Vx, Wh), PH("cvttph2dq", ESAE, Vx, Wh)),
    [0x5c] = FLOATH("sub", ER), FLOATH("min", ESAE), FLOATH("div", ER), FLOATH("max", ESAE),
    [0x6e] = P66(EV("movw", FP16 | OP_L0 | ENM, Vdq, Edw)),
    [0x78] = CVTHU("t", ESAE), CVTHU("", ER),
    [0x7a] = BY_PREFIX(UD, PH("cvttph2qq", ESAE, Vx, Wf), UD,
                       CVTW("udq2ph", FP16 | ER, Vh, Wx, "uqq2ph", FP16 | ER, Vf, Wx)),
    [0x7b] = BY_PREFIX(UD, PH("cvtph2qq", ER, Vx, Wf),
                       EV("cvtusi2sh", FP16S | ENM | ER, Vdq, Hdq, Ey)),
    [0x7c] = BY_PREFIX(PH("cvttph2uw", ESAE, Vx, Wx), PH("cvttph2w", ESAE, Vx, Wx)),
    [0x7d] = BY_PREFIX(PH("cvtph2uw", ER, Vx, Wx), PH("cvtph2w", ER, Vx, Wx),
                       PH("cvtw2ph", ER, Vx, Wx),
                       PH("cvtuw2ph", ER, Vx, Wx)),
    [0x7e] = P66(EV("movw", FP16 | OP_L0 | ENM, Edw, Vdq)),
};

#define PH3(n) P66(PH(n "ph", ER, Vx, Hx, Wx))
#define SH3(n) P66(SH(n "sh", ER, Vdq, Hdq, Ww))
/* Complex numbers; packed, then scalar. */
#define COMPLEXP(n) EV(n "cph", FP16 | E0 | EBC | ER, Vx, Hx, Wx)
#define COMPLEXS(n) EV(n "csh", FP16S | E0 | ER, Vdq, Hdq, Wd)
#define COMPLEX(n)                                                                                 \
    BY_PREFIX(UD, UD, COMPLEXP("f" n), COMPLEXP("fc" n)),                                          \
        BY_PREFIX(UD, UD, COMPLEXS("f" n), COMPLEXS("fc" n))

const struct opcode emu_map_6[256] = {
    [0x13] = BY_PREFIX(SH("cvtsh2ss", ESAE, Vdq, Hdq, Ww), PH("cvtph2psx", ESAE, Vx, Wh)),
    [0x2c] = PH3("scalef"), SH3("scalef"),
    [0x42] = P66(PH("getexpph", ESAE, Vx, Wx)), P66(SH("getexpsh", ESAE, Vdq, Hdq, Ww)),
    [0x4c] = P66(PH("rcpph", 0, Vx, Wx)), P66(SH("rcpsh", 0, Vdq, Hdq, Ww)),
    [0x4e] = P66(PH("rsqrtph", 0, Vx, Wx)), P66(SH("rsqrtsh", 0, Vdq, Hdq, Ww)),
    [0x56] = COMPLEX("madd"), [0x96] = FMA10(PH3, SH3, "132"), [0xa6] = FMA10(PH3, SH3, "213"),
    [0xb6] = FMA10(PH3, SH3, "231"),
    [0xd6] = COMPLEX("mul"),
};

enum { A, B, C, D };
const struct emu_feature_bit emu_feature_bits[EMU_FEATURE_COUNT] = {
#define X(name, ...) {__VA_ARGS__},
    EMU_FEATURE_LIST(X)
#undef X
};
