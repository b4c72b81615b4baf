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
#include "lib/msr.h"

static u32 low(const struct emu *e, enum gpr reg) { return (u32)e->state->gpr[reg]; }

static u64 edx_eax(const struct emu *e) { return (u64)low(e, RDX) << 32 | low(e, RAX); }

static enum emu_status set_edx_eax(struct emu *e, u64 value)
{
    emu_set_gpr(e, RAX, 4, value);
    return emu_set_gpr(e, RDX, 4, value >> 32);
}

static enum emu_status special(struct emu *e, enum emu_special op, u64 operand, u64 operand2)
{
    if (e->ops->special == NULL)
        return emu_ud(e);
    return e->ops->special(e->ctx, op, operand, operand2);
}

/* #UD without this bit of CR4, then #GP(0) if something else is not as it must be. */
static enum emu_status demand(struct emu *e, u64 cr4_bit, bool proper)
{
    if (!(e->state->cr4 & cr4_bit))
        return emu_ud(e);
    return proper ? EMU_DONE : emu_gp(e, 0);
}

/* Those that only others know what to do of: op->sub is EMU_OP_*. */
enum emu_status op_special(struct emu *e, const struct insn *i)
{
    return special(e, (enum emu_special)i->op->sub, 0, 0);
}

/* ---- GDTR, IDTR, LDTR, TR ------------------------------------------------------------------- */

/* The register that ModRM.reg says: brought in, or said to be loaded. */
static struct table_reg *table_register(struct emu *e, const struct insn *i, bool load)
{
    bool idt = i->reg & 1;
    u32 group = idt ? STATE_IDTR : STATE_GDTR;

    if (load) {
        e->state->valid |= group;
        e->state->dirty |= group;
    }
    emu_need(e, group);
    return idt ? &e->state->idtr : &e->state->gdtr;
}

/* SGDT, SIDT: the whole base whatever the operand size. */
enum emu_status op_store_table(struct emu *e, const struct insn *i)
{
    const struct table_reg *t = table_register(e, i, false);
    struct emu_span span;
    u8 image[10];

    TRY(emu_map_seg(e, (enum seg)i->seg, emu_ea(e, i), i->size, EMU_WRITE, &span));
    host_store(image, 2, t->limit);
    host_store(image + 2, 8, t->base);
    emu_span_write(e, &span, image);
    return EMU_DONE;
}

/* LGDT, LIDT: a 16-bit operand brings 24 bits of base. */
enum emu_status op_load_table(struct emu *e, const struct insn *i)
{
    u8 image[10] = {0};

    TRY(emu_read_seg(e, (enum seg)i->seg, emu_ea(e, i), image, i->size));
    u64 base = host_load(image + 2, 8);
    if (i->mode != EMU_MODE_64 && i->opsize == 2)
        base &= 0xffffff;
    if (!emu_canonical(e, base))
        return emu_gp(e, 0);
    *table_register(e, i, true) = (struct table_reg){base, (u32)host_load(image, 2)};
    return EMU_DONE;
}

enum emu_status emu_load_ldt(struct emu *e, u16 selector, enum vector vector, enum vector absent)
{
    struct segment g = {.access = SEG_UNUSABLE, .selector = selector};
    struct descriptor d;

    if (!selector_is_null(selector)) {
        TRY(emu_fetch_system(e, selector, BIT(TYPE_LDT), vector, absent, &d));
        g = emu_desc_segment(&d);
    }
    return emu_set_segment(e, SEG_LDTR, g);
}

/* LLDT, LTR: only the LDT may be none. */
enum emu_status op_load_system(struct emu *e, const struct insn *i)
{
    u16 types = BIT(TYPE_TSS) | (emu_long_mode(e->state) ? 0 : BIT(TYPE_TSS16));
    struct descriptor d;
    u64 selector;

    TRY(emu_read_rm(e, i, 2, &selector));
    if (i->op->sub == SEG_LDTR)
        return emu_load_ldt(e, (u16)selector, VECTOR_GP, VECTOR_NP);
    TRY(emu_fetch_system(e, (u16)selector, types, VECTOR_GP, VECTOR_NP, &d));
    TRY(emu_desc_mark(e, &d, TYPE_BUSY, true));
    return emu_set_segment(e, SEG_TR, emu_desc_segment(&d));
}

/* ---- LAR, LSL, VERR, VERW ------------------------------------------------------------------- */

/* The descriptor of a selector that may be anything: *ok is false for a null one, one outside its
 * table, of a system type not in `types`, or not visible at this level.  Only reading can fault. */
static enum emu_status probe(struct emu *e, const struct insn *i, u16 types, struct descriptor *d,
                             bool *ok)
{
    u64 selector;

    *ok = false;
    TRY(emu_read_rm(e, i, 2, &selector));
    if (selector_is_null((u16)selector))
        return EMU_DONE;
    enum emu_status st = emu_desc_fetch(e, (u16)selector, VECTOR_GP, d);
    if (st == EMU_DONE && !(d->access & SEG_S)) {
        if (!(types & BIT(system_type(d->access))))
            return EMU_DONE;
        st = emu_desc_widen(e, VECTOR_GP, d);
    }
    if (st == EMU_FAULT && e->event.vector == VECTOR_GP) {
        e->event.vector = VECTOR_NONE;
        return EMU_DONE;
    }
    *ok = is_conforming(d->access) ||
          (emu_cpl(e) <= access_dpl(d->access) && (selector & 3) <= access_dpl(d->access));
    return st;
}

#define LSL_TYPES (BIT(TYPE_TSS16) | BIT(TYPE_LDT) | BIT(TYPE_TSS16_BUSY) | LSL_TYPES_LONG)
#define LAR_TYPES (LSL_TYPES | BIT(TYPE_CALL16) | BIT(TYPE_TASK_GATE) | BIT(TYPE_CALL))
/* In IA-32e mode, SDM vol. 2A, LAR and LSL. */
#define LSL_TYPES_LONG (BIT(TYPE_LDT) | BIT(TYPE_TSS) | BIT(TYPE_TSS_BUSY))
#define LAR_TYPES_LONG (LSL_TYPES_LONG | BIT(TYPE_CALL))

enum emu_status op_probe(struct emu *e, const struct insn *i)
{
    static const u16 types[][2] = {[PROBE_LAR] = {LAR_TYPES, LAR_TYPES_LONG},
                                   [PROBE_LSL] = {LSL_TYPES, LSL_TYPES_LONG},
                                   [PROBE_VERW] = {0, 0}};
    struct descriptor d;
    bool ok;

    TRY(probe(e, i, types[i->op->sub][emu_long_mode(e->state)], &d, &ok));
    if (ok) {
        switch (i->op->sub) {
        case PROBE_LAR:
            emu_set_gpr(e, i->reg, i->opsize, d.low >> 32 & (i->opsize == 2 ? 0xff00 : 0xffff00));
            break;
        case PROBE_LSL: emu_set_gpr(e, i->reg, i->opsize, emu_desc_segment(&d).limit); break;
        case PROBE_VERR: ok = !is_code(d.access) || (d.access & TYPE_WRITABLE); break;
        default: ok = is_writable(d.access);
        }
    }
    return emu_set_rflags(e, (e->state->rflags & ~(u64)RFLAGS_ZF) | (ok ? RFLAGS_ZF : 0));
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

enum emu_status op_mov_from_cr(struct emu *e, const struct insn *i)
{
    const struct x86_state *s = e->state;

    emu_need(e, i->reg == 3 ? STATE_CR3 : i->reg == 2 ? STATE_LIVE : 0);
    const u64 cr[] = {s->cr0, 0, s->cr2, s->cr3, s->cr4};
    return emu_set_gpr(e, i->rm, i->size, i->reg == 8 ? e->ops->read_cr8(e->ctx) : cr[i->reg]);
}

enum emu_status op_mov_to_cr(struct emu *e, const struct insn *i)
{
    u64 value = e->state->gpr[i->rm] & mask_bytes(i->size);

    if (i->reg == 2) {
        emu_need(e, STATE_LIVE);
        e->state->cr2 = value;
        e->state->dirty |= STATE_LIVE;
        return EMU_DONE;
    }
    return e->ops->write_cr(e->ctx, i->reg, value);
}

enum emu_status op_clts(struct emu *e, const struct insn *)
{
    return e->ops->write_cr(e->ctx, 0, e->state->cr0 & ~CR0_TS);
}

enum emu_status op_smsw(struct emu *e, const struct insn *i)
{
    return emu_write_rm(e, i, i->size, e->state->cr0);
}

/* LMSW: PE, MP, EM and TS; it can set PE but not clear it. */
enum emu_status op_lmsw(struct emu *e, const struct insn *i)
{
    const u64 loaded = CR0_MP | CR0_EM | CR0_TS;
    u64 value;

    TRY(emu_read_rm(e, i, 2, &value));
    return e->ops->write_cr(e->ctx, 0, (e->state->cr0 & ~loaded) | (value & (loaded | CR0_PE)));
}

/* MOV from (21) and to (23) a debug register: DR4 and DR5 are other names for DR6 and DR7 without
 * CR4.DE. */
enum emu_status op_mov_dr(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    bool alias = i->reg == 4 || i->reg == 5;
    unsigned dr = i->reg + (alias ? 2u : 0);
    u64 *reg = dr == 7 ? &s->dr7 : dr == 6 ? &s->dr6 : &s->dr[dr & 3];
    u64 value = s->gpr[i->rm] & mask_bytes(i->size);

    if (alias && (s->cr4 & CR4_DE))
        return emu_ud(e);
    emu_need(e, STATE_DR7 | STATE_LIVE);
    if (s->dr7 & DR7_GD)
        return emu_db(e, DR6_BD);
    if (i->opcode == 0x21)
        return emu_set_gpr(e, i->rm, i->size, *reg);
    if (dr >= 6 && value >> 32 != 0)
        return emu_gp(e, 0);
    *reg = dr == 7   ? (value & DR7_WRITABLE) | DR7_ONES
           : dr == 6 ? (value & DR6_WRITABLE) | DR6_ONES
                     : value;
    s->dirty |= dr == 7 ? STATE_DR7 : STATE_LIVE;
    return EMU_DONE;
}

/* No access, so no limit check; a non-canonical address is not an error (SDM vol. 2A). */
enum emu_status op_invlpg(struct emu *e, const struct insn *i)
{
    u64 gva = emu_segment_base(e, i) + emu_ea(e, i);

    e->ops->invalidate(e->ctx, false, GVA(i->mode == EMU_MODE_64 ? gva : (u32)gva));
    return EMU_DONE;
}

/* SDM vol. 2A, INVPCID: the kinds are one address, one PCID, all, all but global. */
enum emu_status op_invpcid(struct emu *e, const struct insn *i)
{
    u64 kind = e->state->gpr[i->reg] & mask_bytes(i->size);
    u64 what[2]; /* PCID, address */

    TRY(emu_read_seg(e, (enum seg)i->seg, emu_ea(e, i), what, sizeof(what)));
    bool pcid_off = kind <= 1 && what[0] != 0 && !(e->state->cr4 & CR4_PCIDE);
    if (kind > 3 || what[0] >> 12 != 0 || pcid_off || (kind == 0 && !emu_canonical(e, what[1])))
        return emu_gp(e, 0);
    return special(e, EMU_OP_INVPCID, kind | what[0] << 8, what[1]);
}

/* ---- MSRs, time, identification ----------------------------------------------------------- */

enum emu_status op_rdmsr(struct emu *e, const struct insn *)
{
    u64 value;

    TRY(e->ops->read_msr(e->ctx, low(e, RCX), &value));
    return set_edx_eax(e, value);
}

enum emu_status op_wrmsr(struct emu *e, const struct insn *)
{
    return e->ops->write_msr(e->ctx, low(e, RCX), edx_eax(e));
}

/* RDTSC; RDTSCP has op->sub. */
enum emu_status op_rdtsc(struct emu *e, const struct insn *i)
{
    u64 aux;

    if ((e->state->cr4 & CR4_TSD) && emu_cpl(e) != 0)
        return emu_gp(e, 0);
    if (i->op->sub) {
        TRY(e->ops->read_msr(e->ctx, MSR_IA32_TSC_AUX, &aux));
        emu_set_gpr(e, RCX, 4, aux);
    }
    return set_edx_eax(e, e->ops->read_tsc(e->ctx));
}

enum emu_status op_rdpid(struct emu *e, const struct insn *i)
{
    u64 aux;

    TRY(e->ops->read_msr(e->ctx, MSR_IA32_TSC_AUX, &aux));
    return emu_set_gpr(e, i->rm, i->size, (u32)aux);
}

enum emu_status op_rdpmc(struct emu *e, const struct insn *)
{
    if (!(e->state->cr4 & CR4_PCE) && emu_cpl(e) != 0)
        return emu_gp(e, 0);
    return special(e, EMU_OP_RDPMC, low(e, RCX), 0);
}

enum emu_status op_cpuid(struct emu *e, const struct insn *)
{
    static const enum gpr order[] = {RAX, RBX, RCX, RDX};
    u32 out[4];

    e->ops->cpuid(e->ctx, low(e, RAX), low(e, RCX), out);
    for (unsigned k = 0; k < ARRAY_SIZE(order); k++)
        emu_set_gpr(e, order[k], 4, out[k]);
    return EMU_DONE;
}

enum emu_status op_xsetbv(struct emu *e, const struct insn *)
{
    TRY(demand(e, CR4_OSXSAVE, emu_cpl(e) == 0));
    return special(e, EMU_OP_XSETBV, low(e, RCX), edx_eax(e));
}

/* XGETBV; RDPKRU has op->sub. */
enum emu_status op_read_extended(struct emu *e, const struct insn *i)
{
    TRY(demand(e, i->op->sub ? CR4_PKE : CR4_OSXSAVE, low(e, RCX) == 0));
    return set_edx_eax(e, i->op->sub ? e->state->pkru : e->state->xcr0);
}

enum emu_status op_wrpkru(struct emu *e, const struct insn *)
{
    TRY(demand(e, CR4_PKE, low(e, RCX) == 0 && low(e, RDX) == 0));
    e->state->pkru = low(e, RAX);
    return EMU_DONE;
}

/* ---- FS and GS bases ---------------------------------------------------------------------- */

static enum emu_status set_base(struct emu *e, enum seg seg, u64 base)
{
    emu_seg(e, seg)->base = base;
    e->state->dirty |= STATE_SEG(seg);
    return EMU_DONE;
}

/* RDFSBASE, RDGSBASE. */
enum emu_status op_read_base(struct emu *e, const struct insn *i)
{
    TRY(demand(e, CR4_FSGSBASE, true));
    return emu_set_gpr(e, i->rm, i->opsize, emu_seg(e, i->op->sub)->base);
}

enum emu_status op_write_base(struct emu *e, const struct insn *i)
{
    u64 base = e->state->gpr[i->rm] & mask_bytes(i->opsize);

    TRY(demand(e, CR4_FSGSBASE, emu_canonical(e, base)));
    return set_base(e, (enum seg)i->op->sub, base);
}

enum emu_status op_swapgs(struct emu *e, const struct insn *)
{
    u64 other;

    TRY(e->ops->read_msr(e->ctx, MSR_IA32_KERNEL_GS_BASE, &other));
    TRY(e->ops->write_msr(e->ctx, MSR_IA32_KERNEL_GS_BASE, emu_seg(e, SEG_GS)->base));
    return set_base(e, SEG_GS, other);
}

/* ---- fast system calls -------------------------------------------------------------------- */

#define FLAT_CODE (SEG_P | SEG_S | SEG_G | 0xbu)
#define FLAT_DATA (SEG_P | SEG_S | SEG_G | SEG_DB | 0x3u)

/* SYSCALL and SYSRET single-step by the TF that they load: an OS keeps it out by IA32_FMASK. */
static void load_flags(struct emu *e, u64 value)
{
    emu_set_rflags(e, value);
    e->step.before = (e->step.before & ~(u32)RFLAGS_TF) | ((u32)value & RFLAGS_TF);
}

/* The fixed segments of SYSCALL, SYSENTER and their returns: flat, not read from any table. */
static enum emu_status enter_flat(struct emu *e, u16 cs, u16 ss, unsigned cpl, bool code64, u64 rip)
{
    struct segment g = {.limit = 0xffffffff, .selector = (u16)((ss & 0xfffcu) | cpl)};

    g.access = FLAT_DATA | cpl << SEG_DPL_SHIFT;
    emu_set_segment(e, SEG_SS, g);
    g.access = FLAT_CODE | cpl << SEG_DPL_SHIFT | (code64 ? SEG_L : SEG_DB);
    g.selector = cs;
    return emu_set_code(e, &g, cpl, rip);
}

enum emu_status op_syscall(struct emu *e, const struct insn *)
{
    struct x86_state *s = e->state;
    u64 star, target, mask;

    if (!(s->efer & EFER_SCE))
        return emu_ud(e);
    TRY(e->ops->read_msr(e->ctx, MSR_IA32_STAR, &star));
    TRY(e->ops->read_msr(e->ctx, MSR_IA32_LSTAR, &target));
    TRY(e->ops->read_msr(e->ctx, MSR_IA32_FMASK, &mask));
    s->gpr[RCX] = s->rip;
    s->gpr[R11] = s->rflags;
    load_flags(e, s->rflags & ~(mask | RFLAGS_RF));
    u16 cs = (u16)(star >> 32);
    return enter_flat(e, cs & 0xfffc, (u16)(cs + 8), 0, true, target);
}

enum emu_status op_sysret(struct emu *e, const struct insn *i)
{
    struct x86_state *s = e->state;
    bool code64 = i->opsize == 8;
    u64 star;

    if (!(s->efer & EFER_SCE))
        return emu_ud(e);
    if (emu_cpl(e) != 0 || (code64 && !emu_canonical(e, s->gpr[RCX])))
        return emu_gp(e, 0);
    TRY(e->ops->read_msr(e->ctx, MSR_IA32_STAR, &star));
    u16 base = (u16)(star >> 48);
    load_flags(e, s->gpr[R11] & 0x3c7fd7);
    return enter_flat(e, (u16)(base + (code64 ? 16 : 0)), (u16)(base + 8), 3, code64,
                      code64 ? s->gpr[RCX] : low(e, RCX));
}

enum emu_status op_sysenter(struct emu *e, const struct insn *)
{
    struct x86_state *s = e->state;
    bool code64 = emu_long_mode(s);

    if (!(s->cr0 & CR0_PE))
        return emu_gp(e, 0);
    emu_need(e, STATE_SYSENTER);
    u16 cs = (u16)s->sysenter_cs;
    if (selector_is_null(cs))
        return emu_gp(e, 0);
    emu_set_rflags(e, s->rflags & ~(u64)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF));
    enter_flat(e, cs & 0xfffc, (u16)((cs & 0xfffcu) + 8), 0, code64,
               code64 ? s->sysenter_eip : (u32)s->sysenter_eip);
    return emu_set_gpr(e, RSP, code64 ? 8 : 4, s->sysenter_esp);
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
    return emu_set_gpr(e, RSP, size, rsp);
}

/* ---- the rest ----------------------------------------------------------------------------- */

/* CLAC; STAC has op->sub. */
enum emu_status op_set_ac(struct emu *e, const struct insn *i)
{
    return emu_set_rflags(e, (e->state->rflags & ~(u64)RFLAGS_AC) | (i->op->sub ? RFLAGS_AC : 0));
}

enum emu_status op_hlt(struct emu *e, const struct insn *)
{
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

    if (low(e, RCX) != 0)
        return emu_gp(e, 0);
    TRY(emu_linear(e, (enum seg)i->seg, offset, 1, EMU_READ, &gva));
    TRY(emu_map(e, gva, 1, EMU_READ, &span));
    return special(e, EMU_OP_MONITOR, gva.v, low(e, RDX));
}

enum emu_status op_mwait(struct emu *e, const struct insn *)
{
    if (low(e, RCX) > 1) /* bit 0: interrupts end it even when masked */
        return emu_gp(e, 0);
    return special(e, EMU_OP_MWAIT, low(e, RAX), low(e, RCX));
}
