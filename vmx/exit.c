/* SPDX-License-Identifier: MIT
 *
 * The dispatch table, and the exits that have no file of their own.
 */
#include "vmx/exit.h"

#include "arch/x86/cpu.h"
#include "lib/msr.h"
#include "vmx/check.h"
#include "vmx/emulate.h"
#include "vmx/life.h"
#include "vmx/msr.h"
#include "vmx/show.h"
#include "vmx/trace.h"

enum exit_action (*const exit_table[EXIT_REASON_COUNT])(struct vcpu *v) = {
#define EXIT(number, name, handler) [number] = (handler),
#include "vmx/exits.def"
#undef EXIT
};

static enum exit_action cpuid_traced(struct vcpu *v)
{
    v->record->address = v->state.gpr[RAX]; /* behind it RAX is another */
    return exit_cpuid(v);
}

#define exit_cpuid cpuid_traced
enum exit_action (*const exit_table_traced[EXIT_REASON_COUNT])(struct vcpu *v) = {
#define EXIT(number, name, handler) [number] = (handler),
#include "vmx/exits.def"
#undef EXIT
};
#undef exit_cpuid

enum exit_action exit_retire_special(struct vcpu *v)
{
    vcpu_load(v, STATE_RIP | STATE_RFLAGS | STATE_INTERRUPTIBILITY | STATE_CR0 | STATE_EFER |
                     STATE_SEG(SEG_CS));
    emu_retire(&v->emu, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
    /* None of the instructions that come here is a branch. */
    if (v->emu.event.vector != VECTOR_NONE && !(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
        inject_event(v, &v->emu.event);
    return EXIT_CONTINUE;
}

/* A leaf with subleaves, or one that shows the vCPU's present state. */
static __attribute__((noinline)) enum exit_action cpuid_special(struct vcpu *v)
{
    u64 *gpr = v->state.gpr;
    u32 out[4];

    cpuid_answer(v, (u32)gpr[RAX], (u32)gpr[RCX], out);
    gpr[RAX] = out[0];
    gpr[RBX] = out[1];
    gpr[RCX] = out[2];
    gpr[RDX] = out[3];
    return exit_retire(v);
}

enum exit_action exit_cpuid(struct vcpu *v)
{
    u64 *gpr = v->state.gpr;
    const struct cpuid_entry *e = cpuid_find(&v->vm->cpuid, (u32)gpr[RAX]);

    if (unlikely(e->special))
        return cpuid_special(v);
    gpr[RAX] = e->reg[0];
    gpr[RBX] = e->reg[1];
    gpr[RCX] = e->reg[2];
    gpr[RDX] = e->reg[3];
    return exit_retire(v);
}

enum exit_action exit_rdmsr(struct vcpu *v)
{
    u64 *gpr = v->state.gpr;
    u64 value;

    vm_lock(v->vm);
    bool good = msr_read(v, (u32)gpr[RCX], &value);
    vm_unlock(v->vm);
    if (!good)
        return inject_gp(v);
    gpr[RAX] = (u32)value;
    gpr[RDX] = value >> 32;
    return exit_retire(v);
}

enum exit_action exit_wrmsr(struct vcpu *v)
{
    const u64 *gpr = v->state.gpr;

    vm_lock(v->vm);
    bool good = msr_write(v, (u32)gpr[RCX], gpr[RDX] << 32 | (u32)gpr[RAX]);
    vm_unlock(v->vm);
    if (!good)
        return inject_gp(v);
    return exit_retire(v);
}

enum exit_action exit_hlt(struct vcpu *v)
{
    v->requests |= REQUEST_HALTED;
    return exit_retire(v);
}

enum exit_action exit_vmcall(struct vcpu *v) { return emulate_usual(v); }

/* Instructions whose effect the emulator knows; they are too rare to be decoded from exit fields.
 */
enum exit_action exit_emulate(struct vcpu *v) { return emulate_usual(v); }

/* VT-x, SMX and the like are not shown in CPUID, so their instructions do not exist. */
enum exit_action exit_undefined(struct vcpu *v) { return inject_ud(v); }

/* A guest that enables a debug register which a breakpoint is in takes it over. */
enum exit_action exit_mov_dr(struct vcpu *v)
{
    v->debug.rearm = true;
    v->requests |= REQUEST_DEBUG;
    return emulate_usual(v);
}

/* Exit qualification for control-register accesses, SDM vol. 3C, table 27-3. */
enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

enum exit_action exit_cr_access(struct vcpu *v)
{
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);
    unsigned cr = (unsigned)bits_get(q, 3, 0), gpr = (unsigned)bits_get(q, 11, 8);
    enum cr_access access = (enum cr_access)bits_get(q, 5, 4);

    if (access == CR_CLTS || access == CR_LMSW)
        return emulate_one(v, EMU_INTERCEPT);
    if (gpr == RSP)
        vcpu_load(v, STATE_RSP);
    if (access == CR_MOV_FROM) { /* of CR8, or of a CR3 that is not in the CPU (shape.h) */
        v->state.gpr[gpr] = cr == 3
                                ? v->state.cr3
                                : v->vm->parts.intc.ops->read_cr8(v->vm->parts.intc.ctx, v->index);
        v->state.dirty |= gpr == RSP ? STATE_RSP : 0;
        return exit_retire(v);
    }
    u64 value = v->state.gpr[gpr];
    if (cr != 8) { /* which only 64-bit code can name */
        vcpu_load(v, STATE_CR0 | STATE_CR4 | STATE_EFER | STATE_RFLAGS | STATE_SEG(SEG_CS));
        if (emu_mode(&v->state) != EMU_MODE_64)
            value = (u32)value;
    }
    vm_lock(v->vm);
    enum emu_status status = v->emu.ops->write_cr(v, cr, value);
    vm_unlock(v->vm);
    if (status != EMU_DONE)
        return inject_fault(v, &v->emu.event);
    return exit_retire(v);
}

enum exit_action exit_monitor_trap(struct vcpu *v)
{
    inject_recover(v);
    return EXIT_CONTINUE;
}

enum exit_action exit_triple_fault(struct vcpu *v)
{
    vm_finish(v->vm, VM_END_TRIPLE_FAULT, 0, "triple fault");
    return EXIT_END;
}

enum exit_action exit_entry_failure(struct vcpu *v)
{
    char why[160];

    check_explain(v, why, sizeof(why));
    return vm_stop_with_report(v, "VM entry failed (%s, qualification %lu): %s",
                               exit_reason_name(v->reason & 0xffff),
                               vmread(VMCS_EXIT_QUALIFICATION), why);
}

enum exit_action exit_unexpected(struct vcpu *v)
{
    return vm_stop_with_report(v, "VM exit %u (%s) with qualification %#lx is not handled",
                               v->reason & 0xffff, exit_reason_name(v->reason & 0xffff),
                               vmread(VMCS_EXIT_QUALIFICATION));
}
