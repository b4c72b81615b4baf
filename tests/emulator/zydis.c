/* SPDX-License-Identifier: MIT
 *
 * Zydis judges the decoder and disassembler: length, mnemonic and operands of random byte strings
 * weighted towards valid code, in 64-, 32- and 16-bit mode.
 *
 *   zydis [--mode 64|32|16] [--cases N] [--seed S] [--seconds T] [--examples N]
 *
 * Texts are compared after normal_form(): case, blanks, number spelling and synonyms of one
 * mnemonic do not count.  Exit status 1 on any difference that is not in explained().
 */
#include "emulator/emulator.h"
#include "tests/emulator/codegen.h"
#include <Zydis/Zydis.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RIP 0x1000u

enum kind { SAME, LENGTH, MNEMONIC, OPERANDS, ONLY_ZYDIS, ONLY_OURS, EXPLAINED, KIND_COUNT };
static const char *const kind_text[] = {"same",           "other length",     "other mnemonic",
                                        "other operands", "(bad) to us only", "(bad) to Zydis only",
                                        "explained"};

struct difference {
    u16 key; /* map << 8 | opcode */
    u8 reg, kind;
    u64 count;
    u8 bytes[16];
    u8 length;
    char zydis[96], ours[96];
};

#define DIFFERENCES_MAX 8192
struct oracle {
    unsigned mode, examples;
    u64 cases, seed, total[KIND_COUNT];
    double seconds;
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    struct difference found[DIFFERENCES_MAX];
    unsigned differences;
};

/* ---- normal form ---- */

static const char *const prefix_words[] = {
    "lock",    "rep",    "repe", "repne", "repz", "repnz", "bnd", "xacquire", "xrelease",
    "notrack", "data16", "cs",   "ds",    "es",   "ss",    "fs",  "gs"};

/* Two names of one instruction. */
static const char *const synonyms[][2] = {
    {"retn", "ret"},      {"sal", "shl"},        {"icebp", "int1"},   {"fwait", "wait"},
    {"retfw", "retf"},    {"iretw", "iret"},     {"pushfw", "pushf"}, {"popfw", "popf"},
    {"pushaw", "pusha"},  {"popaw", "popa"},     {"setalc", "salc"},  {"xlatb", "xlat"},
    {"fstpnce", "fstp"},  {"fstp1", "fstp"},     {"fstp8", "fstp"},   {"fstp9", "fstp"},
    {"fxch4", "fxch"},    {"fxch7", "fxch"},     {"fcom2", "fcom"},   {"fcomp3", "fcomp"},
    {"fcomp5", "fcomp"},  {"sysretq", "sysret"}, {"movabs", "mov"},   {"loopz", "loope"},
    {"loopnz", "loopne"},
};

static const char *const conditions[][2] = {
    {"e", "z"},   {"ne", "nz"}, {"c", "b"},   {"nae", "b"}, {"nc", "nb"},
    {"ae", "nb"}, {"na", "be"}, {"a", "nbe"}, {"pe", "p"},  {"po", "np"},
    {"nge", "l"}, {"ge", "nl"}, {"ng", "le"}, {"g", "nle"},
};

static void normal_mnemonic(char *m, size_t cap)
{
    static const char *const stems[] = {"cmov", "set", "j"};
    size_t length = strlen(m);
    if (length > 2 && strcmp(m + length - 2, "64") == 0 && (m[0] == 'f' || m[0] == 'x'))
        m[length - 2] = 0; /* FXSAVE64 … */
    for (size_t i = 0; i < ARRAY_SIZE(synonyms); i++)
        if (strcmp(m, synonyms[i][0]) == 0)
            snprintf(m, cap, "%s", synonyms[i][1]);
    for (size_t s = 0; s < ARRAY_SIZE(stems); s++) {
        size_t n = strlen(stems[s]);
        if (strncmp(m, stems[s], n) != 0)
            continue;
        for (size_t i = 0; i < ARRAY_SIZE(conditions); i++)
            if (strcmp(m + n, conditions[i][0]) == 0) {
                snprintf(m + n, cap - n, "%s", conditions[i][1]);
                return;
            }
    }
}

static bool is_prefix(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(prefix_words); i++)
        if (strcmp(word, prefix_words[i]) == 0)
            return true;
    return false;
}

/* Words that say nothing a decoder could get wrong, or that only one side prints. */
static const char *const noise[] = {"*1]", "*1+", "*1-", "ds:", "far ", "short ", "near "};
static const char *const size_words[] = {"byte",  "word",    "dword",   "fword",   "qword",
                                         "tbyte", "xmmword", "ymmword", "zmmword", "ptr"};

/* Bytes to leave out at p. */
static size_t skip_noise(const char *p, bool word_starts, bool sizes)
{
    for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
        if (strncmp(p, noise[i], strlen(noise[i])) == 0)
            return *p == '*' ? 2 : strlen(noise[i]);
    if (strncmp(p, "ss:[", 4) == 0 &&
        (strncmp(p + 4 + (p[4] == 'e' || p[4] == 'r'), "bp", 2) == 0 ||
         strncmp(p + 4 + (p[4] == 'e' || p[4] == 'r'), "sp", 2) == 0))
        return 3; /* SS is its segment anyway */
    for (size_t i = 0; word_starts && i < ARRAY_SIZE(size_words); i++) {
        size_t n = strlen(size_words[i]);
        if (strncmp(p, size_words[i], n) == 0 && p[n] == ' ' && (!sizes || *p == 'p'))
            return n;
    }
    return 0;
}

/* Split "lock add dword ptr [rax], 1" into "add" and "dword[rax],1". */
static void normal_form(const char *text, bool sizes, char *mnemonic, size_t mcap, char *operands,
                        size_t cap)
{
    size_t n;
    do {
        while (*text == ' ')
            text++;
        for (n = 0; *text != 0 && *text != ' ' && n + 1 < mcap; text++)
            mnemonic[n++] = (char)tolower((u8)*text);
        mnemonic[n] = 0;
    } while (n != 0 && is_prefix(mnemonic) && *text != 0);
    normal_mnemonic(mnemonic, mcap);
    bool word_starts = true;
    for (n = 0; *text != 0 && n + 1 < cap;) {
        size_t skip = skip_noise(text, word_starts, sizes);
        text += skip;
        if (skip != 0)
            continue;
        word_starts = !isalnum((u8)*text);
        if (*text != ' ')
            operands[n++] = (char)tolower((u8)*text);
        text++;
    }
    operands[n] = 0;
}

/* Zydis does not print an ST0 that the opcode implies. */
static char *without_st0(char *operands)
{
    char *last = strstr(operands, ",st0");
    if (last != NULL)
        *last = 0;
    return strncmp(operands, "st0,", 4) == 0 ? operands + 4 : operands;
}

/* UD0, UD1: operands that nobody uses; LAR, LSL, MOVMSKPS: 16 or 32 bits by any name. */
static bool any_width(const struct code_scan *s)
{
    return s->map == MAP_0F &&
           (s->opcode == 0xff || s->opcode == 0xb9 || (s->opcode & 0xfe) == 2 || s->opcode == 0x50);
}

/* ---- comparing ---- */

static u64 number(const char **p, bool negative)
{
    char *end;
    u64 v = strtoull(*p, &end, 0);
    *p = end;
    return negative ? 0 - v : v;
}

/* Equal as numbers of the least width that holds both, signed or unsigned. */
static bool same_number(u64 a, u64 b)
{
    for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
        u64 mask = mask_bytes(bytes), high = ~(mask >> 1);
        bool fits_a = (a & ~mask) == 0 || (a & high) == high;
        bool fits_b = (b & ~mask) == 0 || (b & high) == high;
        if (fits_a && fits_b)
            return ((a ^ b) & mask) == 0;
    }
    return false;
}

static bool word_before(const char *start, const char *p)
{
    return p > start && isalnum((u8)p[-1]);
}

static bool same_operands(const char *a, const char *b)
{
    const char *a0 = a, *b0 = b;
    while (*a != 0 && *b != 0) {
        bool na = *a == '-', nb = *b == '-';
        const char *x = a + (*a == '-' || *a == '+'), *y = b + (*b == '-' || *b == '+');
        if (isdigit((u8)*x) && isdigit((u8)*y) && !word_before(a0, a) && !word_before(b0, b)) {
            a = x;
            b = y;
            if (!same_number(number(&a, na), number(&b, nb)))
                return false;
        } else if (isdigit((u8)*x) && isdigit((u8)*y) && x != a && y != b) {
            a = x;
            b = y;
            if (!same_number(number(&a, na), number(&b, nb)))
                return false;
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

/* Instructions of extensions no guest is told of (not in EMU_FEATURE_LIST): #UD or NOP to us. */
static const char *const untold[] = {
    "femms",      "pf",          "pi2f",        "pavgusb",     "pmulhrw",     "pswapd",
    "wrss",       "wruss",       "rdssp",       "incssp",      "saveprev",    "rstorssp",
    "setssbsy",   "clrssbsy",    "bnd",         "encl",        "enclu",       "encodekey",
    "loadiwkey",  "aesdec128kl", "aesdec256kl", "aesenc128kl", "aesenc256kl", "aesdecwide",
    "aesencwide", "vp2inter",    "v4f",         "movntss",     "movntsd",     "extrq",
    "insertq",    "monitorx",    "mwaitx",      "vmmcall",     "vmrun",       "vmload",
    "vmsave",     "stgi",        "clgi",        "skinit",      "invlpga",     "rdpru",
    "clzero",     "invlpgb",     "tlbsync",     "psmash",      "pvalidate",   "rmp",
    "mcommit",    "xstore",      "xcrypt",      "montmul",     "xsha",        "pconfig",
    "xsusldtrk",  "xresldtrk",   "clui",        "stui",        "testui",      "uiret",
    "senduipi",   "pbndkb",      "seam",        "tdcall",      "wbnoinvd",    "vp4dp",
    "vrcp28",     "jkzd",        "jknzd",       "vprefetch",   "vbcstne",     "vrsqrt28",
    "vexp2",      "vgatherpf",   "vscatterpf",  "vsha512",     "vsm3",        "vsm4",
    "tile",       "kconcat",     "kextract",    "delay",       "spflt",       "clevict",
    "kmerge",     "sttilecfg",   "ldtilecfg",   "tdp",         "rdfsbase_",
};

/* Encodings that are not Intel's AVX, or that no guest is told of. */
static bool explained_vex(const struct oracle *o, const struct code_scan *s, const u8 *vex)
{
    bool to_gpr = (s->opcode & 0xfe) == 0x2c || (s->opcode & 0xfe) == 0x78;
    if (o->mode != 64 && vex[0] == 0x62 && (vex[1] & 7) == 5 && to_gpr)
        return !(vex[1] & 0x10) || (vex[2] & 0x80); /* R' and W mean nothing there, CPUs say */
    if (vex[0] == 0x62)                             /* MVEX of Knights Corner */
        return !(vex[2] & 4) ||
               (s->opcode | 0x51) == 0x7b;    /* rounding of a conversion that is exact */
    if (vex[0] == 0xc4 && (vex[1] & 31) == 2) /* AVX-VNNI, AVX-IFMA, AVX-NE-CONVERT */
        return s->opcode == 0x72 || (s->opcode & 0xfe) == 0xb0 || (s->opcode & 0xfe) == 0xb4;
    if (vex[0] != 0xc4 || (vex[1] & 31) != 3)
        return false;
    if (o->mode != 64 && (s->opcode == 0x16 || s->opcode == 0x22)) /* VPEXTRQ, VPINSRQ: #UD there */
        return vex[2] & 0x80;
    /* AMD's FMA4 and VPERMIL2 */
    return (s->opcode & 0xfe) == 0x48 || (s->opcode & 0xfc) == 0x5c || (s->opcode & 0xe8) == 0x68;
}

/* Differences that are nobody's mistake. */
static bool explained(const struct oracle *o, const char *zydis, const char *ours,
                      const struct code_scan *s, const u8 *vex)
{
    const char *word = zydis;
    while (strncmp(word, "lock ", 5) == 0 || strncmp(word, "rep", 3) == 0)
        word += strcspn(word, " ") + 1;
    if (s->map == MAP_VEX && (s->opcode == 0xb8 || (s->opcode & 0xfe) == 0xbc) && *word != 'v')
        return true; /* Knights Corner's POPCNT, TZCNT, LZCNT */
    if (s->map == MAP_VEX && s->opcode >> 4 == 4 && *word == 'k' && !(s->vvvv & 4))
        return true; /* … and KAND without VEX.L */
    for (size_t i = 0; i < ARRAY_SIZE(untold); i++)
        if (strncmp(word, untold[i], strlen(untold[i])) == 0)
            return true;
    if (s->map == MAP_VEX)
        return explained_vex(o, s, vex);
    if (s->map == MAP_ONE) /* XBEGIN's target, which Zydis cuts in 16-bit code alone; XOP */
        return (s->opcode == 0xc7 && o->mode == 16) || (s->opcode == 0x8f && (s->modrm & 31) >= 8);
    if (s->map != MAP_0F)
        return false;
    if (s->opcode == 0x05 || s->opcode == 0x07) /* AMD only outside 64-bit mode */
        return o->mode != 64;
    if (s->opcode == 0x0d) /* 3DNow!'s prefetches on a register */
        return s->modrm >= 0xc0;
    return (s->opcode & 0xf8) == 0x18 && strncmp(ours, "nop", 3) == 0; /* hint space */
}

/*
 * In 16-bit mode Zydis 4.0 cuts absolute addresses of 32 bits to 16; with 67 and REX.B it takes the
 * SIB form "no base, disp32" for one with R13D.
 */
static bool zydis_is_wrong(const struct oracle *o, const struct code_scan *s, const u8 *bytes)
{
    if (o->mode == 16)
        return s->opsize || s->addrsize;
    const u8 *modrm = bytes + s->prefixes + s->opcount;
    return o->mode == 64 && s->addrsize && (modrm[0] & 0xc7) == 0x04 && (modrm[1] & 7) == 5;
}

static enum kind compare(const struct oracle *o, const char *zydis, unsigned zydis_length,
                         const char *ours, unsigned our_length, const struct code_scan *s,
                         const u8 *bytes)
{
    char zm[32], om[32], zo[96], oo[96];
    if (zydis_length == 0 && our_length == 0)
        return SAME;
    if (explained(o, zydis, ours, s, bytes + s->prefixes))
        return EXPLAINED;
    if (zydis_length == 0 || our_length == 0)
        return zydis_length == 0 ? ONLY_OURS : ONLY_ZYDIS;
    if (zydis_length != our_length)
        return LENGTH;
    bool sizes = strstr(zydis, " ptr ") != NULL && strstr(ours, " ptr ") != NULL;
    normal_form(zydis, sizes, zm, sizeof(zm), zo, sizeof(zo));
    normal_form(ours, sizes, om, sizeof(om), oo, sizeof(oo));
    if (strcmp(zm, om) != 0)
        return MNEMONIC;
    if (same_operands(zo, oo) || same_operands(without_st0(zo), without_st0(oo)))
        return SAME;
    return any_width(s) || zydis_is_wrong(o, s, bytes) ? EXPLAINED : OPERANDS;
}

static void record(struct oracle *o, const struct code_scan *s, enum kind kind, const u8 *bytes,
                   unsigned length, const char *zydis, const char *ours)
{
    u16 key = (u16)(s->map << 8 | s->opcode);
    u8 reg = code_is_group(s) ? s->modrm >> 3 & 7 : 0xff;
    unsigned i = 0;
    while (i < o->differences &&
           (o->found[i].key != key || o->found[i].reg != reg || o->found[i].kind != (u8)kind))
        i++;
    if (i == DIFFERENCES_MAX)
        return;
    struct difference *d = &o->found[i];
    if (i == o->differences) {
        o->differences++;
        d->key = key;
        d->reg = reg;
        d->kind = (u8)kind;
        d->length = (u8)length;
        memcpy(d->bytes, bytes, 15);
        snprintf(d->zydis, sizeof(d->zydis), "%s", zydis);
        snprintf(d->ours, sizeof(d->ours), "%s", ours);
    }
    d->count++;
}

static void judge(struct oracle *o, const u8 *bytes)
{
    static const enum emu_mode modes[] = {EMU_MODE_64, EMU_MODE_32, EMU_MODE_16};
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    char zydis[128] = "(bad)", ours[128] = "";
    unsigned zlen = 0;
    struct code_scan s;
    code_scan(bytes, o->mode == 64, &s);
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&o->decoder, bytes, 15, &insn, operands))) {
        zlen = insn.length;
        ZydisFormatterFormatInstruction(&o->formatter, &insn, operands, insn.operand_count_visible,
                                        zydis, sizeof(zydis), RIP, NULL);
    }
    unsigned len = emu_disassemble(bytes, 15,
                                   modes[o->mode == 64   ? 0
                                         : o->mode == 32 ? 1
                                                         : 2],
                                   RIP, ours, sizeof(ours), NULL, NULL);
    enum kind k = compare(o, zydis, zlen, ours, len, &s, bytes);
    o->total[k]++;
    if (k != SAME && k != EXPLAINED)
        record(o, &s, k, bytes, zlen > len ? zlen : len, zydis, ours);
}

/* ---- the whole ---- */

static int by_count(const void *a, const void *b)
{
    const struct difference *x = a, *y = b;
    return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static void report(struct oracle *o)
{
    static const char *const maps[] = {"", "0f ", "0f 38 ", "0f 3a ", "vex "};
    qsort(o->found, o->differences, sizeof(o->found[0]), by_count);
    for (unsigned i = 0; i < o->differences && i < o->examples; i++) {
        const struct difference *d = &o->found[i];
        printf("  %s%02x", maps[d->key >> 8], d->key & 255);
        if (d->reg != 0xff)
            printf(" /%u", d->reg);
        printf(": %s, %llu times: \"%s\" is to us \"%s\";", kind_text[d->kind],
               (unsigned long long)d->count, d->zydis, d->ours);
        for (unsigned k = 0; k < d->length; k++)
            printf(" %02x", d->bytes[k]);
        printf("\n");
    }
}

static u64 run_mode(struct oracle *o, unsigned mode)
{
    struct rng r = {o->seed * 3 + mode};
    struct timespec start, t;
    u64 n = 0;
    o->mode = mode;
    o->differences = 0;
    memset(o->total, 0, sizeof(o->total));
    memset(o->found, 0, sizeof(o->found));
    ZydisDecoderInit(&o->decoder,
                     mode == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : mode == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                  : ZYDIS_MACHINE_MODE_LEGACY_16,
                     mode == 64   ? ZYDIS_STACK_WIDTH_64
                     : mode == 32 ? ZYDIS_STACK_WIDTH_32
                                  : ZYDIS_STACK_WIDTH_16);
    ZydisFormatterInit(&o->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (; n < o->cases; n++) {
        u8 bytes[24];
        code_random(&r, mode == 64, 0x107000, bytes);
        judge(o, bytes);
        clock_gettime(CLOCK_MONOTONIC, &t);
        if ((n & 1023) == 0 && o->seconds != 0 && (double)(t.tv_sec - start.tv_sec) > o->seconds)
            break;
    }
    printf("zydis %u-bit seed %llu: %llu strings", mode, (unsigned long long)o->seed,
           (unsigned long long)n);
    u64 wrong = 0;
    for (unsigned k = 0; k < KIND_COUNT; k++) {
        printf(", %llu %s", (unsigned long long)o->total[k], kind_text[k]);
        wrong += k == SAME || k == EXPLAINED ? 0 : o->total[k];
    }
    printf("\n");
    report(o);
    return wrong;
}

static void usage(void)
{
    fputs("usage: zydis [--mode 64|32|16] [--cases N] [--seed S] [--seconds T] [--examples N]\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct oracle o = {.cases = 1000000, .seed = 1, .examples = 40};
    static const unsigned modes[] = {64, 32, 16};
    unsigned only = 0;
    u64 wrong = 0;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = argv[i + 1];
        if (++i == argc)
            usage();
        else if (strcmp(a, "--mode") == 0)
            only = (unsigned)atoi(v);
        else if (strcmp(a, "--cases") == 0)
            o.cases = strtoull(v, NULL, 0);
        else if (strcmp(a, "--seed") == 0)
            o.seed = strtoull(v, NULL, 0);
        else if (strcmp(a, "--seconds") == 0)
            o.seconds = atof(v);
        else if (strcmp(a, "--examples") == 0)
            o.examples = (unsigned)atoi(v);
        else
            usage();
    }
    if (only == 0)
        o.seconds /= 3;
    if (o.seconds != 0 && o.cases == 1000000)
        o.cases = ~0ull;
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++)
        if (only == 0 || only == modes[i])
            wrong += run_mode(&o, modes[i]);
    return wrong != 0;
}
