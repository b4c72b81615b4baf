/* SPDX-License-Identifier: MIT
 *
 * System instructions: descriptor-table and control registers, MSRs, the fast system calls, and
 * those that the emulator's user carries out itself (SDM vol. 3A, 2.8).
 *
 * Operands that do not exist, mode, feature and level are checked before the handler runs, by the
 * opcode table (OP_PROT, OP_CPL0, OP_ONLY64 …); here are the checks that come after, in the order
 * of the SDM.
 */
#include "emulator/system.h"

/* SDM vol. 4, table 2-2. */
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_FMASK          0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

static u32 low(const struct emu *e, enum gpr reg) { return (u32)e->state->gpr[reg]; }

static u64 edx_eax(const struct emu *e) { return (u64)low(e, RDX) << 32 | low(e, RAX); }

static void set_edx_eax(struct emu *e, u64 value)
{
    emu_set_gpr(e, RAX, 4, value);
    emu_set_gpr(e, RDX, 4, value >> 32);
}

static enum emu_status special(struct emu *e, enum emu_special op, u64 operand, u64 operand2)
{
    if (e->ops->special == NULL)
        return emu_ud(e);
    return e->ops->special(e->ctx, op, operand, operand2);
}

/* CR4.UMIP: SGDT, SIDT, SLDT, SMSW and STR are not for users. */
static bool umip_forbids(const struct emu *e)
{
    return (e->state->cr4 & CR4_UMIP) && emu_cpl(e) != 0;
}

/* ---- GDTR, IDTR, LDTR, TR ------------------------------------------------------------------- */

/* SGDT, SIDT: the whole base whatever the operand size. */
static enum emu_status store_table(struct emu *e, const struct insn *i, const struct table_reg *t)
{
    struct emu_span span;
    u8 image[10];

    enum emu_status st = emu_map_seg(e, (enum seg)i->seg, emu_ea(e, i), i->size, EMU_WRITE, &span);
    if (st != EMU_DONE)
        return st;
    host_store(image, 2, t->limit);
    host_store(image + 2, 8, t->base);
    emu_span_write(e, &span, image);
    return EMU_DONE;
}

/* LGDT, LIDT: a 16-bit operand brings 24 bits of base. */
static enum emu_status load_table(struct emu *e, const struct insn *i, struct table_reg *t,
                                  enum state_group group)
{
    u8 image[10] = {0};

    enum emu_status st = emu_read_seg(e, (enum seg)i->seg, emu_ea(e, i), image, i->size, 0);
    if (st != EMU_DONE)
        return st;
    u64 base = host_load(image + 2, 8);
    if (i->mode != EMU_MODE_64 && i->opsize == 2)
        base &= 0xffffff;
    if (!emu_canonical(e, base))
        return emu_gp(e, 0);
    t->limit = (u32)host_load(image, 2);
    t->base = base;
    e->state->valid |= group;
    e->state->dirty |= group;
    return EMU_DONE;
}

enum emu_status op_sgdt(struct emu *e, const struct insn *i)
{
    if (umip_forbids(e))
        return emu_gp(e, 0);
    emu_need(e, STATE_GDTR);
    return store_table(e, i, &e->state->gdtr);
}

enum emu_status op_sidt(struct emu *e, const struct insn *i)
{
    if (umip_forbids(e))
        return emu_gp(e, 0);
    emu_need(e, STATE_IDTR);
    return store_table(e, i, &e->state->idtr);
}

enum emu_status op_lgdt(struct emu *e, const struct insn *i)
{
    return load_table(e, i, &e->state->gdtr, STATE_GDTR);
}

enum emu_status op_lidt(struct emu *e, const struct insn *i)
{
    return load_table(e, i, &e->state->idtr, STATE_IDTR);
}

/* 16 bits to memory, a whole register otherwise. */
static enum emu_status store_word(struct emu *e, const struct insn *i, u64 value)
{
    return emu_write_rm(e, i, insn_is_memory(i) ? 2 : i->opsize, value);
}

static enum emu_status store_selector(struct emu *e, const struct insn *i, enum seg seg)
{
    if (umip_forbids(e))
        return emu_gp(e, 0);
    emu_need(e, STATE_SEG(seg));
    return store_word(e, i, e->state->seg[seg].selector);
}

enum emu_status op_sldt(struct emu *e, const struct insn *i)
{
    return store_selector(e, i, SEG_LDTR);
}

enum emu_status op_str(struct emu *e, const struct insn *i) { return store_selector(e, i, SEG_TR); }

/* Fetch the descriptor LLDT or LTR wants: in the GDT, of the right type, present, canonical. */
static enum emu_status system_descriptor(struct emu *e, u16 selector, u16 types,
                                         struct descriptor *d)
{
    if (selector & 4)
        return emu_raise_selector(e, VECTOR_GP, selector);
    enum emu_status st = emu_desc_fetch(e, selector, VECTOR_GP, d);
    if (st != EMU_DONE)
        return st;
    if (!(types & BIT(desc_system_type(d))))
        return emu_raise_selector(e, VECTOR_GP, selector);
    if (!(d->access & SEG_P))
        return emu_raise_selector(e, VECTOR_NP, selector);
    st = emu_desc_widen(e, VECTOR_GP, d);
    if (st == EMU_DONE && !emu_canonical(e, emu_desc_segment(d).base))
        return emu_raise_selector(e, VECTOR_GP, selector);
    return st;
}

enum emu_status op_lldt(struct emu *e, const struct insn *i)
{
    struct segment g = {.access = SEG_UNUSABLE};
    struct descriptor d;
    u64 selector;

    enum emu_status st = emu_read_rm(e, i, 2, &selector);
    if (st != EMU_DONE)
        return st;
    g.selector = (u16)selector;
    if (!selector_is_null(g.selector)) {
        st = system_descriptor(e, g.selector, BIT(TYPE_LDT), &d);
        if (st != EMU_DONE)
            return st;
        g = emu_desc_segment(&d);
    }
    emu_set_segment(e, SEG_LDTR, &g);
    return EMU_DONE;
}

enum emu_status op_ltr(struct emu *e, const struct insn *i)
{
    u16 types = BIT(TYPE_TSS) | (emu_long_mode(e->state) ? 0 : BIT(TYPE_TSS16));
    struct descriptor d;
    u64 selector;

    enum emu_status st = emu_read_rm(e, i, 2, &selector);
    if (st != EMU_DONE)
        return st;
    if (selector_is_null((u16)selector))
        return emu_gp(e, 0);
    st = system_descriptor(e, (u16)selector, types, &d);
    if (st == EMU_DONE)
        st = emu_desc_busy(e, &d, true);
    if (st != EMU_DONE)
        return st;
    struct segment g = emu_desc_segment(&d);
    emu_set_segment(e, SEG_TR, &g);
    return EMU_DONE;
}

/* ---- LAR, LSL, VERR, VERW ------------------------------------------------------------------- */

static void set_zf(struct emu *e, bool on)
{
    emu_set_rflags(e, (e->state->rflags & ~(u64)RFLAGS_ZF) | (on ? RFLAGS_ZF : 0));
}

/*
 * The descriptor of a selector that may be anything: *ok is false for a null one, one outside its
 * table, of a system type not in `types`, or not visible at this level.  Only reading can fault.
 */
static enum emu_status probe(struct emu *e, const struct insn *i, u16 types, struct descriptor *d,
                             bool *ok)
{
    u64 selector;

    *ok = false;
    enum emu_status st = emu_read_rm(e, i, 2, &selector);
    if (st != EMU_DONE || selector_is_null((u16)selector))
        return st;
    st = emu_desc_fetch(e, (u16)selector, VECTOR_GP, d);
    if (st == EMU_DONE && !(d->access & SEG_S)) {
        if (!(types & BIT(desc_system_type(d))))
            return EMU_DONE;
        st = emu_desc_widen(e, VECTOR_GP, d);
    }
    if (st == EMU_FAULT && e->event.vector == VECTOR_GP) {
        e->event.vector = VECTOR_NONE;
        return EMU_DONE;
    }
    *ok = desc_is_conforming(d) || (emu_cpl(e) <= desc_dpl(d) && (selector & 3) <= desc_dpl(d));
    return st;
}

#define LSL_TYPES (BIT(TYPE_TSS16) | BIT(TYPE_LDT) | BIT(TYPE_TSS16_BUSY) | LSL_TYPES_LONG)
#define LAR_TYPES (LSL_TYPES | BIT(TYPE_CALL16) | BIT(TYPE_TASK_GATE) | BIT(TYPE_CALL))
/* In IA-32e mode, SDM vol. 2A, LAR and LSL. */
#define LSL_TYPES_LONG (BIT(TYPE_LDT) | BIT(TYPE_TSS) | BIT(TYPE_TSS_BUSY))
#define LAR_TYPES_LONG (LSL_TYPES_LONG | BIT(TYPE_CALL))

enum emu_status op_lar(struct emu *e, const struct insn *i)
{
    struct descriptor d;
    bool ok;

    enum emu_status st = probe(e, i, emu_long_mode(e->state) ? LAR_TYPES_LONG : LAR_TYPES, &d, &ok);
    if (st != EMU_DONE)
        return st;
    if (ok)
        emu_set_gpr(e, i->reg, i->opsize, d.low >> 32 & (i->opsize == 2 ? 0xff00 : 0xffff00));
    set_zf(e, ok);
    return EMU_DONE;
}

enum emu_status op_lsl(struct emu *e, const struct insn *i)
{
    struct descriptor d;
    bool ok;

    enum emu_status st = probe(e, i, emu_long_mode(e->state) ? LSL_TYPES_LONG : LSL_TYPES, &d, &ok);
    if (st != EMU_DONE)
        return st;
    if (ok)
        emu_set_gpr(e, i->reg, i->opsize, emu_desc_segment(&d).limit);
    set_zf(e, ok);
    return EMU_DONE;
}

enum emu_status op_verr(struct emu *e, const struct insn *i)
{
    struct descriptor d;
    bool ok;

    enum emu_status st = probe(e, i, 0, &d, &ok);
    if (st == EMU_DONE)
        set_zf(e, ok && (!desc_is_code(&d) || (d.access & TYPE_WRITABLE)));
    return st;
}

enum emu_status op_verw(struct emu *e, const struct insn *i)
{
    struct descriptor d;
    bool ok;

    enum emu_status st = probe(e, i, 0, &d, &ok);
    if (st == EMU_DONE)
        set_zf(e, ok && desc_is_writable(&d));
    return st;
}

/* ---- control and debug registers ------------------------------------------------------------- */

bool emu_cr0_valid(const struct x86_state *s, u64 value)
{
    bool code64 = s->seg[SEG_CS].access & SEG_L;
    bool was = s->cr0 & CR0_PG, will = value & CR0_PG;

    if (value >> 32 != 0 || (will && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        return false;
    if (will && !was && (s->efer & EFER_LME)) /* into IA-32e mode, SDM vol. 3A, 9.8.5 */
        return (s->cr4 & CR4_PAE) && !code64;
    if (was && !will) /* out of paging: not with PCIDs, not from 64-bit code */
        return !(s->cr4 & CR4_PCIDE) && !emu_in_64bit(s);
    return true;
}

bool emu_cr4_valid(const struct x86_state *s, u64 value)
{
    /* SDM vol. 3A, 2.5; bit 15 and those above PKE are reserved for this guest. */
    static const u64 known = 0x7fffffull & ~(BIT64(15) | BIT64(19));
    u64 changed = s->cr4 ^ value;

    if (value & ~known)
        return false;
    if ((s->efer & EFER_LMA) && (!(value & CR4_PAE) || (changed & CR4_LA57)))
        return false;
    if ((value & changed & CR4_PCIDE) && (!(s->efer & EFER_LMA) || (s->cr3 & 0xfff) != 0))
        return false;
    return true;
}

bool emu_efer_valid(const struct x86_state *s, u64 value)
{
    if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))
        return false;
    return !(s->cr0 & CR0_PG) || !((s->efer ^ value) & EFER_LME);
}

static unsigned natural(const struct insn *i) { return i->mode == EMU_MODE_64 ? 8 : 4; }

enum emu_status op_mov_from_cr(struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;
    u64 value;

    emu_need(e, i->reg == 3 ? STATE_CR3 : i->reg == 2 ? STATE_LIVE : 0);
    switch (i->reg) {
    case 0: value = s->cr0; break;
    case 2: value = s->cr2; break;
    case 3: value = s->cr3; break;
    case 4: value = s->cr4; break;
    default: value = e->ops->read_cr8(e->ctx);
    }
    emu_set_gpr(e, i->rm, natural(i), value);
    return EMU_DONE;
}

enum emu_status op_mov_to_cr(struct emu *e, const struct insn *i)
{
    u64 value = e->state->gpr[i->rm] & mask_bytes(natural(i));

    if (i->reg == 2) {
        emu_need(e, STATE_LIVE);
        e->state->cr2 = value;
        e->state->dirty |= STATE_LIVE;
        return EMU_DONE;
    }
    return e->ops->write_cr(e->ctx, i->reg, value);
}

enum emu_status op_clts(struct emu *e, const struct insn *i)
{
    (void)i;
    return e->ops->write_cr(e->ctx, 0, e->state->cr0 & ~CR0_TS);
}

enum emu_status op_smsw(struct emu *e, const struct insn *i)
{
    return umip_forbids(e) ? emu_gp(e, 0) : store_word(e, i, e->state->cr0);
}

/* LMSW: PE, MP, EM and TS; it can set PE but not clear it. */
enum emu_status op_lmsw(struct emu *e, const struct insn *i)
{
    const u64 loaded = CR0_MP | CR0_EM | CR0_TS;
    u64 value;

    enum emu_status st = emu_read_rm(e, i, 2, &value);
    if (st != EMU_DONE)
        return st;
    return e->ops->write_cr(e->ctx, 0, (e->state->cr0 & ~loaded) | (value & (loaded | CR0_PE)));
}

#define DR7_GD BIT64(13)
#define DR6_BD BIT64(13)
/* What is fixed in DR6 and DR7, SDM vol. 3B, figure 17-2. */
#define DR6_WRITABLE 0xe00full
#define DR6_ONES     0xffff0ff0ull
#define DR7_WRITABLE 0xffff23ffull
#define DR7_ONES     0x400ull

/* The debug register meant: DR4 and DR5 are other names for DR6 and DR7 without CR4.DE. */
static enum emu_status dr_check(struct emu *e, const struct insn *i, unsigned *dr)
{
    *dr = i->reg;
    if (*dr == 4 || *dr == 5) {
        if (e->state->cr4 & CR4_DE)
            return emu_ud(e);
        *dr += 2;
    }
    emu_need(e, STATE_DR7 | STATE_LIVE);
    if (e->state->dr7 & DR7_GD) {
        (void)emu_raise(e, VECTOR_DB, false, 0);
        e->event.payload = DR6_BD;
        return EMU_FAULT;
    }
    return EMU_DONE;
}

enum emu_status op_mov_from_dr(struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;
    unsigned dr;

    enum emu_status st = dr_check(e, i, &dr);
    if (st == EMU_DONE)
        emu_set_gpr(e, i->rm, natural(i), dr == 7 ? s->dr7 : dr == 6 ? s->dr6 : s->dr[dr & 3]);
    return st;
}

enum emu_status op_mov_to_dr(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    u64 value = s->gpr[i->rm] & mask_bytes(natural(i));
    unsigned dr;

    enum emu_status st = dr_check(e, i, &dr);
    if (st != EMU_DONE)
        return st;
    if (dr >= 6 && value >> 32 != 0)
        return emu_gp(e, 0);
    if (dr == 7) {
        s->dr7 = (value & DR7_WRITABLE) | DR7_ONES;
        s->dirty |= STATE_DR7;
    } else if (dr == 6) {
        s->dr6 = (value & DR6_WRITABLE) | DR6_ONES;
        s->dirty |= STATE_LIVE;
    } else {
        s->dr[dr & 3] = value;
        s->dirty |= STATE_LIVE;
    }
    return EMU_DONE;
}

/* No access, so no limit check; a non-canonical address is not an error (SDM vol. 2A). */
enum emu_status op_invlpg(struct emu *e, const struct insn *i)
{
    u64 base = 0;

    if (i->mode != EMU_MODE_64 || i->seg >= SEG_FS) {
        emu_need(e, STATE_SEG(i->seg));
        base = e->state->seg[i->seg].base;
    }
    u64 gva = base + emu_ea(e, i);
    e->ops->invalidate(e->ctx, false, GVA(i->mode == EMU_MODE_64 ? gva : (u32)gva));
    return EMU_DONE;
}

/* SDM vol. 2A, INVPCID: the kinds are one address, one PCID, all, all but global. */
enum emu_status op_invpcid(struct emu *e, const struct insn *i)
{
    u64 kind = e->state->gpr[i->reg] & mask_bytes(natural(i));
    u64 what[2]; /* PCID, address */

    enum emu_status st = emu_read_seg(e, (enum seg)i->seg, emu_ea(e, i), what, sizeof(what), 0);
    if (st != EMU_DONE)
        return st;
    bool pcid_off = kind <= 1 && what[0] != 0 && !(e->state->cr4 & CR4_PCIDE);
    if (kind > 3 || what[0] >> 12 != 0 || pcid_off || (kind == 0 && !emu_canonical(e, what[1])))
        return emu_gp(e, 0);
    return special(e, EMU_OP_INVPCID, kind | what[0] << 8, what[1]);
}

/* ---- MSRs, time, identification ---------------------------------------------------------------
 */

enum emu_status op_rdmsr(struct emu *e, const struct insn *i)
{
    u64 value;

    (void)i;
    enum emu_status st = e->ops->read_msr(e->ctx, low(e, RCX), &value);
    if (st == EMU_DONE)
        set_edx_eax(e, value);
    return st;
}

enum emu_status op_wrmsr(struct emu *e, const struct insn *i)
{
    (void)i;
    return e->ops->write_msr(e->ctx, low(e, RCX), edx_eax(e));
}

static bool tsc_forbidden(const struct emu *e)
{
    return (e->state->cr4 & CR4_TSD) && emu_cpl(e) != 0;
}

enum emu_status op_rdtsc(struct emu *e, const struct insn *i)
{
    (void)i;
    if (tsc_forbidden(e))
        return emu_gp(e, 0);
    set_edx_eax(e, e->ops->read_tsc(e->ctx));
    return EMU_DONE;
}

enum emu_status op_rdtscp(struct emu *e, const struct insn *i)
{
    u64 aux;

    (void)i;
    if (tsc_forbidden(e))
        return emu_gp(e, 0);
    enum emu_status st = e->ops->read_msr(e->ctx, MSR_TSC_AUX, &aux);
    if (st != EMU_DONE)
        return st;
    set_edx_eax(e, e->ops->read_tsc(e->ctx));
    emu_set_gpr(e, RCX, 4, aux);
    return EMU_DONE;
}

enum emu_status op_rdpid(struct emu *e, const struct insn *i)
{
    u64 aux;
    enum emu_status st = e->ops->read_msr(e->ctx, MSR_TSC_AUX, &aux);

    if (st == EMU_DONE)
        emu_set_gpr(e, i->rm, natural(i), (u32)aux);
    return st;
}

enum emu_status op_rdpmc(struct emu *e, const struct insn *i)
{
    (void)i;
    if (!(e->state->cr4 & CR4_PCE) && emu_cpl(e) != 0)
        return emu_gp(e, 0);
    return special(e, EMU_OP_RDPMC, low(e, RCX), 0);
}

enum emu_status op_cpuid(struct emu *e, const struct insn *i)
{
    static const enum gpr order[] = {RAX, RBX, RCX, RDX};
    u32 out[4];

    (void)i;
    e->ops->cpuid(e->ctx, low(e, RAX), low(e, RCX), out);
    for (unsigned k = 0; k < ARRAY_SIZE(order); k++)
        emu_set_gpr(e, order[k], 4, out[k]);
    return EMU_DONE;
}

enum emu_status op_xgetbv(struct emu *e, const struct insn *i)
{
    (void)i;
    if (!(e->state->cr4 & CR4_OSXSAVE))
        return emu_ud(e);
    if (low(e, RCX) != 0)
        return emu_gp(e, 0);
    set_edx_eax(e, e->state->xcr0);
    return EMU_DONE;
}

enum emu_status op_xsetbv(struct emu *e, const struct insn *i)
{
    (void)i;
    if (!(e->state->cr4 & CR4_OSXSAVE))
        return emu_ud(e);
    if (emu_cpl(e) != 0)
        return emu_gp(e, 0);
    return special(e, EMU_OP_XSETBV, low(e, RCX), edx_eax(e));
}

enum emu_status op_rdpkru(struct emu *e, const struct insn *i)
{
    (void)i;
    if (!(e->state->cr4 & CR4_PKE))
        return emu_ud(e);
    if (low(e, RCX) != 0)
        return emu_gp(e, 0);
    set_edx_eax(e, e->state->pkru);
    return EMU_DONE;
}

enum emu_status op_wrpkru(struct emu *e, const struct insn *i)
{
    (void)i;
    if (!(e->state->cr4 & CR4_PKE))
        return emu_ud(e);
    if (low(e, RCX) != 0 || low(e, RDX) != 0)
        return emu_gp(e, 0);
    e->state->pkru = low(e, RAX);
    return EMU_DONE;
}

/* ---- FS and GS bases --------------------------------------------------------------------------
 */

static enum emu_status read_base(struct emu *e, const struct insn *i, enum seg seg)
{
    if (!(e->state->cr4 & CR4_FSGSBASE))
        return emu_ud(e);
    emu_need(e, STATE_SEG(seg));
    emu_set_gpr(e, i->rm, i->opsize, e->state->seg[seg].base);
    return EMU_DONE;
}

static void set_base(struct emu *e, enum seg seg, u64 base)
{
    emu_need(e, STATE_SEG(seg));
    e->state->seg[seg].base = base;
    e->state->dirty |= STATE_SEG(seg);
}

static enum emu_status write_base(struct emu *e, const struct insn *i, enum seg seg)
{
    u64 base = e->state->gpr[i->rm] & mask_bytes(i->opsize);

    if (!(e->state->cr4 & CR4_FSGSBASE))
        return emu_ud(e);
    if (!emu_canonical(e, base))
        return emu_gp(e, 0);
    set_base(e, seg, base);
    return EMU_DONE;
}

enum emu_status op_rdfsbase(struct emu *e, const struct insn *i) { return read_base(e, i, SEG_FS); }

enum emu_status op_rdgsbase(struct emu *e, const struct insn *i) { return read_base(e, i, SEG_GS); }

enum emu_status op_wrfsbase(struct emu *e, const struct insn *i)
{
    return write_base(e, i, SEG_FS);
}

enum emu_status op_wrgsbase(struct emu *e, const struct insn *i)
{
    return write_base(e, i, SEG_GS);
}

enum emu_status op_swapgs(struct emu *e, const struct insn *i)
{
    u64 other;

    (void)i;
    emu_need(e, STATE_SEG(SEG_GS));
    enum emu_status st = e->ops->read_msr(e->ctx, MSR_KERNEL_GS_BASE, &other);
    if (st == EMU_DONE)
        st = e->ops->write_msr(e->ctx, MSR_KERNEL_GS_BASE, e->state->seg[SEG_GS].base);
    if (st == EMU_DONE)
        set_base(e, SEG_GS, other);
    return st;
}

/* ---- fast system calls ------------------------------------------------------------------------
 */

#define FLAT_CODE (SEG_P | SEG_S | SEG_G | 0xbu)
#define FLAT_DATA (SEG_P | SEG_S | SEG_G | SEG_DB | 0x3u)

/* The fixed segments of SYSCALL, SYSENTER and their returns: flat, not read from any table. */
static void enter_flat(struct emu *e, u16 cs, u16 ss, unsigned cpl, bool code64, u64 rip)
{
    struct segment g = {.limit = 0xffffffff, .selector = (u16)((ss & 0xfffcu) | cpl)};

    g.access = FLAT_DATA | cpl << SEG_DPL_SHIFT;
    emu_set_segment(e, SEG_SS, &g);
    g.access = FLAT_CODE | cpl << SEG_DPL_SHIFT | (code64 ? SEG_L : SEG_DB);
    g.selector = cs;
    emu_set_code(e, &g, cpl, rip);
}

enum emu_status op_syscall(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    u64 star, target, mask;

    if (i->mode != EMU_MODE_64 || !(s->efer & EFER_SCE))
        return emu_ud(e);
    enum emu_status st = e->ops->read_msr(e->ctx, MSR_STAR, &star);
    if (st == EMU_DONE)
        st = e->ops->read_msr(e->ctx, MSR_LSTAR, &target);
    if (st == EMU_DONE)
        st = e->ops->read_msr(e->ctx, MSR_FMASK, &mask);
    if (st != EMU_DONE)
        return st;
    s->gpr[RCX] = s->rip;
    s->gpr[R11] = s->rflags;
    emu_set_rflags(e, s->rflags & ~(mask | RFLAGS_RF));
    u16 cs = (u16)(star >> 32);
    enter_flat(e, cs & 0xfffc, (u16)(cs + 8), 0, true, target);
    return EMU_DONE;
}

enum emu_status op_sysret(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    bool code64 = i->opsize == 8;
    u64 star;

    if (i->mode != EMU_MODE_64 || !(s->efer & EFER_SCE))
        return emu_ud(e);
    if (emu_cpl(e) != 0 || (code64 && !emu_canonical(e, s->gpr[RCX])))
        return emu_gp(e, 0);
    enum emu_status st = e->ops->read_msr(e->ctx, MSR_STAR, &star);
    if (st != EMU_DONE)
        return st;
    u16 base = (u16)(star >> 48);
    emu_set_rflags(e, s->gpr[R11] & 0x3c7fd7);
    enter_flat(e, (u16)(base + (code64 ? 16 : 0)), (u16)(base + 8), 3, code64,
               code64 ? s->gpr[RCX] : low(e, RCX));
    return EMU_DONE;
}

enum emu_status op_sysenter(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    bool code64 = emu_long_mode(s);

    (void)i;
    if (!(s->cr0 & CR0_PE))
        return emu_gp(e, 0);
    emu_need(e, STATE_SYSENTER);
    u16 cs = (u16)s->sysenter_cs;
    if (selector_is_null(cs))
        return emu_gp(e, 0);
    emu_set_rflags(e, s->rflags & ~(u64)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF));
    enter_flat(e, cs & 0xfffc, (u16)((cs & 0xfffcu) + 8), 0, code64,
               code64 ? s->sysenter_eip : (u32)s->sysenter_eip);
    emu_set_gpr(e, RSP, code64 ? 8 : 4, s->sysenter_esp);
    return EMU_DONE;
}

enum emu_status op_sysexit(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    bool code64 = i->opsize == 8;
    unsigned size = code64 ? 8 : 4;
    u64 rip = s->gpr[RDX] & mask_bytes(size), rsp = s->gpr[RCX];

    if (!(s->cr0 & CR0_PE) || emu_cpl(e) != 0)
        return emu_gp(e, 0);
    emu_need(e, STATE_SYSENTER);
    u16 cs = (u16)s->sysenter_cs;
    if (selector_is_null(cs) || (code64 && (!emu_canonical(e, rip) || !emu_canonical(e, rsp))))
        return emu_gp(e, 0);
    cs = (u16)(cs + (code64 ? 32 : 16));
    enter_flat(e, cs, (u16)(cs + 8), 3, code64, rip);
    emu_set_gpr(e, RSP, size, rsp);
    return EMU_DONE;
}

/* ---- the rest -----------------------------------------------------------------------------------
 */

static enum emu_status set_ac(struct emu *e, bool on)
{
    if (emu_cpl(e) != 0)
        return emu_ud(e);
    emu_set_rflags(e, (e->state->rflags & ~(u64)RFLAGS_AC) | (on ? RFLAGS_AC : 0));
    return EMU_DONE;
}

enum emu_status op_clac(struct emu *e, const struct insn *i)
{
    (void)i;
    return set_ac(e, false);
}

enum emu_status op_stac(struct emu *e, const struct insn *i)
{
    (void)i;
    return set_ac(e, true);
}

enum emu_status op_hlt(struct emu *e, const struct insn *i)
{
    (void)i;
    e->step.other = true;
    e->state->activity = ACTIVITY_HLT;
    e->state->valid |= STATE_ACTIVITY;
    e->state->dirty |= STATE_ACTIVITY;
    return EMU_DONE;
}

/* MONITOR touches its address like a byte load (SDM vol. 2B); above level 0 it does not exist. */
enum emu_status op_monitor(struct emu *e, const struct insn *i)
{
    u64 offset = e->state->gpr[RAX] & mask_bytes(i->addrsize);
    struct emu_span span;
    gva_t gva;

    if (emu_cpl(e) != 0)
        return emu_ud(e);
    if (low(e, RCX) != 0)
        return emu_gp(e, 0);
    enum emu_status st = emu_linear(e, (enum seg)i->seg, offset, 1, EMU_READ, &gva);
    if (st == EMU_DONE)
        st = emu_map(e, gva, 1, EMU_READ, &span);
    return st != EMU_DONE ? st : special(e, EMU_OP_MONITOR, gva.v, low(e, RDX));
}

enum emu_status op_mwait(struct emu *e, const struct insn *i)
{
    (void)i;
    if (emu_cpl(e) != 0)
        return emu_ud(e);
    if (low(e, RCX) > 1) /* bit 0: interrupts end it even when masked */
        return emu_gp(e, 0);
    return special(e, EMU_OP_MWAIT, low(e, RAX), low(e, RCX));
}

enum emu_status op_wbinvd(struct emu *e, const struct insn *i)
{
    (void)i;
    return special(e, EMU_OP_WBINVD, 0, 0);
}

enum emu_status op_invd(struct emu *e, const struct insn *i)
{
    (void)i;
    return special(e, EMU_OP_INVD, 0, 0);
}

enum emu_status op_vmcall(struct emu *e, const struct insn *i)
{
    (void)i;
    return special(e, EMU_OP_VMCALL, 0, 0);
}

/* Outside SMM there is nothing to resume. */
enum emu_status op_rsm(struct emu *e, const struct insn *i)
{
    (void)i;
    return emu_ud(e);
}
