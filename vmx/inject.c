/* SPDX-License-Identifier: MIT
 *
 * Event injection (SDM vol. 3C, 26.6 and 27.2.4).
 */
#include "vmx/inject.h"

#include "arch/x86/cpu.h"
#include "vmx/life.h"
#include "vmx/trace.h"

#define INFO_VALID BIT(31)
#define INFO_ERROR BIT(11)

u32 inject_encode(const struct emu_event *e)
{
    return INFO_VALID | (e->has_error ? INFO_ERROR : 0) | (u32)e->type << 8 | e->vector;
}

void inject_decode(u32 info, u32 error, u32 length, struct emu_event *e)
{
    *e = (struct emu_event){.vector = (u8)info,
                            .type = (u8)bits_get(info, 10, 8),
                            .has_error = (info & INFO_ERROR) != 0,
                            .error = error,
                            .ilen = (u8)length};
}

void inject_event(struct vcpu *v, const struct emu_event *event)
{
    v->event = *event;
    v->requests |= REQUEST_EVENT;
}

/* SDM vol. 3A, table 6-4. */
static bool is_contributory(u8 vector)
{
    return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

enum exit_action inject_fault(struct vcpu *v, const struct emu_event *fault)
{
    const struct emu_event *first = &v->event;

    if (v->reinject && first->type == EMU_EVENT_HARD_EXCEPTION) {
        if (first->vector == VECTOR_DF) {
            vm_finish(v->vm, VM_END_TRIPLE_FAULT, 0,
                      "exception %u while a double fault was delivered", fault->vector);
            return EXIT_END;
        }
        bool doubles = is_contributory(first->vector)
                           ? is_contributory(fault->vector)
                           : first->vector == VECTOR_PF &&
                                 (is_contributory(fault->vector) || fault->vector == VECTOR_PF);
        if (doubles) {
            const struct emu_event df = {
                .vector = VECTOR_DF, .type = EMU_EVENT_HARD_EXCEPTION, .has_error = true};
            inject_event(v, &df);
            return EXIT_CONTINUE;
        }
    }
    inject_event(v, fault);
    return EXIT_CONTINUE;
}

void inject_recover(struct vcpu *v)
{
    u32 info = vmread(VMCS_IDT_VECTORING_INFO);

    if (likely(!(info & INFO_VALID)))
        return;
    inject_decode(info, vmread(VMCS_IDT_VECTORING_ERROR), 0, &v->event);
    if (v->event.type >= EMU_EVENT_SOFT_INT)
        v->event.ilen = (u8)vmread(VMCS_EXIT_INSTRUCTION_LENGTH);
    v->reinject = true;
    v->requests |= REQUEST_EVENT;
    if (v->event.type == EMU_EVENT_NMI) {
        /* The delivery began, so blocking is in force; it will be again with the re-injection. */
        vcpu_load(v, STATE_INTERRUPTIBILITY);
        v->state.interruptibility &= ~BLOCKED_BY_NMI;
        v->state.dirty |= STATE_INTERRUPTIBILITY;
    }
}

static void write_event(struct vcpu *v, struct emu_event *e)
{
    struct x86_state *s = &v->state;

    /* CR2, DR6 and DR7.GD are not part of injection (SDM vol. 3C, 26.6.1.2): they are set before.
     */
    if (e->type == EMU_EVENT_HARD_EXCEPTION && !v->reinject) {
        if (e->vector == VECTOR_PF)
            cr2_write(s->cr2 = e->payload);
        if (e->vector == VECTOR_DB) {
            u64 now = s->dirty & STATE_LIVE ? s->dr6 : dr6_read();
            dr6_write(s->dr6 = (now & ~0xfull) | e->payload);
            vcpu_load(v, STATE_DR7);
            s->dr7 &= ~DR7_GD;
            s->dirty |= STATE_DR7;
            vmwrite(VMCS_GUEST_DEBUGCTL, 0ull); /* BTF, too, SDM vol. 3B, 17.4.4 */
        }
    }
    /* Entry pushes RFLAGS as they are: a fault's RF is to be there (vol. 3B, 17.3.1.1). */
    if (e->type == EMU_EVENT_HARD_EXCEPTION && !v->reinject && e->vector != VECTOR_DB &&
        e->vector != VECTOR_MC) {
        vcpu_load(v, STATE_RFLAGS);
        s->rflags |= RFLAGS_RF;
        s->dirty |= STATE_RFLAGS;
    }
    if (e->has_error) {
        vcpu_load(v, STATE_CR0);
        if (!(s->cr0 & CR0_PE))
            e->has_error = false; /* real mode pushes none: SDM vol. 3C, 26.2.1.3 */
    }
    if (e->type >= EMU_EVENT_SOFT_INT)
        vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, e->ilen);
    if (e->has_error)
        vmwrite(VMCS_ENTRY_ERROR_CODE, e->error);
    vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, inject_encode(e));
    /* An event ends the shadow of STI and MOV SS; entry would be refused otherwise. */
    vcpu_load(v, STATE_INTERRUPTIBILITY);
    if (s->interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) {
        s->interruptibility &= ~(u32)(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
        s->dirty |= STATE_INTERRUPTIBILITY;
    }
    v->reinject = false;
}

static int pending_vector(const struct vcpu *v)
{
    if (v->debug.interrupt != DEBUG_NO_INTERRUPT)
        return v->debug.interrupt;
    return v->vm->parts.intc.ops->pending(v->vm->parts.intc.ctx, v->index);
}

static u8 accept_vector(struct vcpu *v)
{
    const struct intc *intc = &v->vm->parts.intc;
    u16 injected = v->debug.interrupt;

    v->debug.interrupt = DEBUG_NO_INTERRUPT;
    return injected != DEBUG_NO_INTERRUPT ? (u8)injected : intc->ops->accept(intc->ctx, v->index);
}

static bool has_virtual_nmis(const struct vcpu *v)
{
    return caps_has(v->vm->caps, CAP_PIN, PIN_VIRTUAL_NMIS);
}

static void want_window(struct vcpu *v, bool interrupt, bool nmi)
{
    if (interrupt != v->interrupt_window || nmi != v->nmi_window) {
        vcpu_control(v, PROC_INTERRUPT_WINDOW_EXITING, interrupt);
        vcpu_control(v, PROC_NMI_WINDOW_EXITING, nmi);
        v->interrupt_window = interrupt;
        v->nmi_window = nmi;
    }
}

/* The most urgent event that may be delivered now (SDM vol. 3A, 6.9); accepts an interrupt. */
bool inject_take(struct vcpu *v, struct emu_event *event)
{
    const struct x86_state *s = &v->state;
    u32 shadow = s->interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
    bool taken = true, held = v->debug.steps || v->debug.native;

    v->requests &= ~(u32)REQUEST_EVENTS;
    vm_lock(v->vm);
    if (v->event.vector != VECTOR_NONE) {
        *event = v->event;
        v->event.vector = VECTOR_NONE;
    } else if (!held && v->nmi_pending && !shadow && !(s->interruptibility & BLOCKED_BY_NMI)) {
        *event = (struct emu_event){.vector = VECTOR_NMI, .type = EMU_EVENT_NMI};
        v->nmi_pending = false;
    } else if (!held && (s->rflags & RFLAGS_IF) && !shadow && pending_vector(v) >= 0) {
        *event = (struct emu_event){.vector = accept_vector(v), .type = EMU_EVENT_EXTERNAL};
    } else {
        taken = false;
    }
    v->interrupt_waits = !held && (pending_vector(v) >= 0 || v->nmi_pending);
    vm_unlock(v->vm);
    if (taken && v->tracing)
        trace_event(v, event);
    return taken;
}

void inject_prepare(struct vcpu *v)
{
    struct emu_event event;

    vcpu_load(v, STATE_RFLAGS | STATE_INTERRUPTIBILITY);
    if (inject_take(v, &event))
        write_event(v, &event);
    inject_windows(v);
}

void inject_windows(struct vcpu *v)
{
    /* Without virtual NMIs the interrupt window has to do for the NMI. */
    bool nmi = v->nmi_pending && has_virtual_nmis(v);
    want_window(v, v->interrupt_waits && (!nmi || pending_vector(v) >= 0), nmi);
}

bool inject_wakes(struct vcpu *v)
{
    if (v->event.vector != VECTOR_NONE || v->nmi_pending)
        return true;
    vcpu_load(v, STATE_RFLAGS);
    return (v->state.rflags & RFLAGS_IF) && pending_vector(v) >= 0;
}
