/* SPDX-License-Identifier: MIT
 *
 * One table says of every register its name, type and place; numbers, values and target.xml follow
 * from it.  GDB wants the rows of its own features in just this order.
 */
#include "drivers/console/gdb_regs.h"

#include "lib/bits.h"
#include "lib/string.h"

enum where { IN_STATE, IN_FPU, FPU_TAGS };
enum may { READ_ONLY, ANY, FLAGS, ADDRESS, MXCSR };

#define M64  BIT(GDB_MODE_64)
#define M32  (BIT(GDB_MODE_32) | BIT(GDB_MODE_16))
#define BOTH (M64 | M32)

#define FEATURE(name) "</feature>\n<feature name=\"" name "\">\n"
/* Features but the first begin at these rows. */
static const char sse[] = FEATURE("org.gnu.gdb.i386.sse") "\
<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\
<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\
<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\
<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>\
<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>\
<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>\
<field name=\"uint128\" type=\"uint128\"/></union>\n";
static const char segments[] = FEATURE("org.gnu.gdb.i386.segments");
static const char system_[] = FEATURE("org.vitrine.system");
static const char flags_type[] = "\
<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>\
<field name=\"\" start=\"1\" end=\"1\"/><field name=\"PF\" start=\"2\" end=\"2\"/>\
<field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>\
<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/>\
<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/>\
<field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"NT\" start=\"14\" end=\"14\"/>\
<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"VM\" start=\"17\" end=\"17\"/>\
<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"ID\" start=\"21\" end=\"21\"/></flags>\n";

static const struct row {
    const char *name; /* of several, numbered from `first`: what stands before the number */
    u8 modes, first, count;
    u8 bits;       /* as GDB sees it */
    u8 width;      /* bytes there are */
    u8 where, may; /* enum where, enum may */
    u16 offset, stride;
    u32 dirty; /* enum state_group */
    const char *type;
    const char *before; /* goes before it in the XML */
} rows[] = {
#define GPR64(name, n, dirty)                                                                \
    {                                                                                        \
        name, M64, 0, 1, 64, 8, IN_STATE, ANY, offsetof(struct x86_state, gpr[n]), 0, dirty, \
            "int64", NULL                                                                    \
    }
#define GPR32(name, n, dirty)                                                                \
    {                                                                                        \
        name, M32, 0, 1, 32, 4, IN_STATE, ANY, offsetof(struct x86_state, gpr[n]), 0, dirty, \
            "int32", NULL                                                                    \
    }
#define SELECTOR(name, n)                                                                          \
    {                                                                                              \
        name, BOTH, 0, 1, 32, 2, IN_STATE, READ_ONLY, offsetof(struct x86_state, seg[n].selector), \
            0, 0, "int32", NULL                                                                    \
    }
#define FPU(name, offset, width)                                            \
    {                                                                       \
        name, BOTH, 0, 1, 32, width, IN_FPU, ANY, offset, 0, 0, "int", NULL \
    }
#define SYSTEM(name, field, width, before)                                                         \
    {                                                                                              \
        name, BOTH, 0, 1, 64, width, IN_STATE, READ_ONLY, offsetof(struct x86_state, field), 0, 0, \
            "int64", before                                                                        \
    }
    GPR64("rax", RAX, 0),
    GPR64("rbx", RBX, 0),
    GPR64("rcx", RCX, 0),
    GPR64("rdx", RDX, 0),
    GPR64("rsi", RSI, 0),
    GPR64("rdi", RDI, 0),
    GPR64("rbp", RBP, 0),
    GPR64("rsp", RSP, STATE_RSP),
    {"r", M64, 8, 8, 64, 8, IN_STATE, ANY, offsetof(struct x86_state, gpr[R8]), 8, 0, "int64",
     NULL},
    {"rip", M64, 0, 1, 64, 8, IN_STATE, ADDRESS, offsetof(struct x86_state, rip), 0, STATE_RIP,
     "code_ptr", NULL},
    GPR32("eax", RAX, 0),
    GPR32("ecx", RCX, 0),
    GPR32("edx", RDX, 0),
    GPR32("ebx", RBX, 0),
    GPR32("esp", RSP, STATE_RSP),
    GPR32("ebp", RBP, 0),
    GPR32("esi", RSI, 0),
    GPR32("edi", RDI, 0),
    {"eip", M32, 0, 1, 32, 4, IN_STATE, ANY, offsetof(struct x86_state, rip), 0, STATE_RIP,
     "code_ptr", NULL},
    {"eflags", BOTH, 0, 1, 32, 4, IN_STATE, FLAGS, offsetof(struct x86_state, rflags), 0,
     STATE_RFLAGS, "i386_eflags", flags_type},
    SELECTOR("cs", SEG_CS),
    SELECTOR("ss", SEG_SS),
    SELECTOR("ds", SEG_DS),
    SELECTOR("es", SEG_ES),
    SELECTOR("fs", SEG_FS),
    SELECTOR("gs", SEG_GS),
    {"st", BOTH, 0, 8, 80, 10, IN_FPU, ANY, 32, 16, 0, "i387_ext", NULL},
    FPU("fctrl", 0, 2),
    FPU("fstat", 2, 2),
    {"ftag", BOTH, 0, 1, 32, 1, FPU_TAGS, ANY, 4, 0, 0, "int", NULL},
    FPU("fiseg", 12, 2),
    FPU("fioff", 8, 4),
    FPU("foseg", 20, 2),
    FPU("fooff", 16, 4),
    FPU("fop", 6, 2),
    {"xmm", M64, 0, 16, 128, 16, IN_FPU, ANY, 160, 16, 0, "vec128", sse},
    {"xmm", M32, 0, 8, 128, 16, IN_FPU, ANY, 160, 16, 0, "vec128", sse},
    {"mxcsr", BOTH, 0, 1, 32, 4, IN_FPU, MXCSR, 24, 0, 0, "int", NULL},
    {"fs_base", M64, 0, 1, 64, 8, IN_STATE, ADDRESS, offsetof(struct x86_state, seg[SEG_FS].base),
     0, STATE_SEG(SEG_FS), "int", segments},
    {"gs_base", M64, 0, 1, 64, 8, IN_STATE, ADDRESS, offsetof(struct x86_state, seg[SEG_GS].base),
     0, STATE_SEG(SEG_GS), "int", NULL},
    SYSTEM("cr0", cr0, 8, system_),
    SYSTEM("cr2", cr2, 8, NULL),
    SYSTEM("cr3", cr3, 8, NULL),
    SYSTEM("cr4", cr4, 8, NULL),
    SYSTEM("efer", efer, 8, NULL),
    SYSTEM("xcr0", xcr0, 8, NULL),
    {"dr", BOTH, 0, 4, 64, 8, IN_STATE, READ_ONLY, offsetof(struct x86_state, dr), 8, 0, "int64",
     NULL},
    SYSTEM("dr6", dr6, 8, NULL),
    SYSTEM("dr7", dr7, 8, NULL),
    SYSTEM("es_base", seg[SEG_ES].base, 8, NULL),
    SYSTEM("cs_base", seg[SEG_CS].base, 8, NULL),
    SYSTEM("ss_base", seg[SEG_SS].base, 8, NULL),
    SYSTEM("ds_base", seg[SEG_DS].base, 8, NULL),
    SYSTEM("ldtr", seg[SEG_LDTR].selector, 2, NULL),
    SYSTEM("ldtr_base", seg[SEG_LDTR].base, 8, NULL),
    SYSTEM("tr", seg[SEG_TR].selector, 2, NULL),
    SYSTEM("tr_base", seg[SEG_TR].base, 8, NULL),
    SYSTEM("gdtr_base", gdtr.base, 8, NULL),
    SYSTEM("gdtr_limit", gdtr.limit, 4, NULL),
    SYSTEM("idtr_base", idtr.base, 8, NULL),
    SYSTEM("idtr_limit", idtr.limit, 4, NULL),
};

/* The row of register n, and which of the row's it is. */
static const struct row *find(enum gdb_mode mode, unsigned n, unsigned *which)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        if (!(r->modes & BIT(mode)))
            continue;
        if (n < r->count) {
            *which = n;
            return r;
        }
        n -= r->count;
    }
    return NULL;
}

static u8 *place(const struct row *r, unsigned which, const struct gdb_cpu *cpu)
{
    u8 *base = r->where == IN_STATE ? (u8 *)cpu->state : cpu->fxsave;
    return base + r->offset + which * r->stride;
}

unsigned gdb_reg_size(enum gdb_mode mode, unsigned n)
{
    unsigned which;
    const struct row *r = find(mode, n, &which);
    return r ? r->bits / 8 : 0;
}

void gdb_reg_read(enum gdb_mode mode, unsigned n, const struct gdb_cpu *cpu, u8 *value)
{
    unsigned which;
    const struct row *r = find(mode, n, &which);

    memset(value, 0, r->bits / 8);
    memcpy(value, place(r, which, cpu), r->width);
    if (r->where != FPU_TAGS)
        return;
    /* FXSAVE keeps one bit a register, GDB wants two: 0 valid, 3 empty (SDM vol. 1, 10.5.1.1). */
    u32 tags = 0;
    for (unsigned i = 0; i < 8; i++)
        tags |= (value[0] >> i & 1 ? 0 : 3u) << 2 * i;
    memcpy(value, &tags, sizeof(tags));
}

#define FLAGS_WRITABLE                                                                   \
    (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_IF | \
     RFLAGS_DF | RFLAGS_OF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

/* `fresh` as it may be put in: masked, or false when VM entry or FXRSTOR would fail by it. */
static bool admit(const struct row *r, const u8 *old, u8 *fresh)
{
    u64 was = 0, want = 0;

    if (r->may == ANY)
        return true;
    if (r->may == READ_ONLY)
        return false;
    memcpy(&was, old, r->width);
    memcpy(&want, fresh, r->width);
    if (r->may == ADDRESS && (u64)((s64)(want << 16) >> 16) != want)
        return false;
    if (r->may == FLAGS)
        want = (was & ~(u64)FLAGS_WRITABLE) | (want & FLAGS_WRITABLE);
    if (r->may == MXCSR)
        want &= 0xffbf; /* what every CPU has: SDM vol. 1, 11.6.6 */
    memcpy(fresh, &want, r->width);
    return true;
}

bool gdb_reg_write(enum gdb_mode mode, unsigned n, const struct gdb_cpu *cpu, const u8 *value)
{
    unsigned which;
    const struct row *r = find(mode, n, &which);
    u8 fresh[16], now[16], *to = place(r, which, cpu);

    gdb_reg_read(mode, n, cpu, now);
    if (memcmp(now, value, r->bits / 8) == 0)
        return true;
    memcpy(fresh, value, r->bits / 8);
    if (r->where == FPU_TAGS) {
        fresh[0] = 0;
        for (unsigned i = 0; i < 8; i++)
            fresh[0] |= (u8)((value[i / 4] >> i % 4 * 2 & 3) != 3 ? BIT(i) : 0);
    }
    if (!admit(r, to, fresh))
        return false;
    if (r->bits == 32 && r->width == 4 && r->where == IN_STATE)
        memset(to, 0, 8); /* the upper half of a 64-bit register */
    memcpy(to, fresh, r->width);
    cpu->state->dirty |= r->dirty;
    return true;
}

void gdb_describe(enum gdb_mode mode, struct sink *out)
{
    static const char *const architectures[] = {"i8086", "i386", "i386:x86-64"};

    sink_printf(out,
                "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
                "<target><architecture>%s</architecture>\n"
                "<feature name=\"org.gnu.gdb.i386.core\">\n",
                architectures[mode]);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        if (!(r->modes & BIT(mode)))
            continue;
        if (r->before)
            sink_printf(out, "%s", r->before);
        for (unsigned j = 0; j < r->count; j++) {
            sink_printf(out, "<reg name=\"%s", r->name);
            if (r->count > 1)
                sink_printf(out, "%u", r->first + j);
            sink_printf(out, "\" bitsize=\"%u\" type=\"%s\"/>\n", r->bits, r->type);
        }
    }
    sink_printf(out, "</feature></target>\n");
}
