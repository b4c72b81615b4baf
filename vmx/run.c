/* SPDX-License-Identifier: MIT
 *
 * The run loop: serve what waits, set the timer, enter the guest, dispatch the exit, and again.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "lib/log.h"
#include "vmx/check.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/inject.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

/* A guest never runs longer than this without being looked at, whatever it does. */
#define QUANTUM_US 5000u

bool vmx_enter(u64 gpr[GPR_COUNT], bool launched, u64 *host_rsp);

/* Host TSC of the next device timer; CLOCK_NEVER when there is none. */
static u64 next_timer(const struct vcpu *v)
{
    u64 next = clock_next(v->vm->parts.clock);
    return next == CLOCK_NEVER ? next : next - v->vm->parts.tsc_offset;
}

static void poll_host(struct vcpu *v, u64 now)
{
    v->requests &= ~(u32)REQUEST_POLL;
    v->poll_at = now + v->vm->parts.tsc_hz / 1000000 * QUANTUM_US;
    v->vm->parts.poll(v->vm->parts.poll_ctx);
}

/* Run what is due: device timers, then the console. */
static void serve_time(struct vcpu *v, u64 now)
{
    if (now >= next_timer(v))
        clock_run(v->vm->parts.clock, now + v->vm->parts.tsc_offset);
    if (now >= v->poll_at)
        poll_host(v, now);
}

static void sleep_until(u64 deadline)
{
    apic_timer_arm(deadline);
    cpu_wait();
    apic_timer_disarm();
}

static u64 next_deadline(const struct vcpu *v)
{
    u64 timer = next_timer(v);
    return timer < v->poll_at ? timer : v->poll_at;
}

/* The guest has executed HLT: sleep until something wakes it. */
static void wait_halted(struct vcpu *v)
{
    u64 begin = rdtsc();

    while (v->vm->end == VM_END_NONE && v->vm->state == VM_RUNNING && !inject_wakes(v)) {
        sleep_until(next_deadline(v));
        v->requests &= ~(u32)REQUEST_POLL;
        v->vm->parts.poll(v->vm->parts.poll_ctx);
        serve_time(v, rdtsc());
    }
    if (inject_wakes(v)) {
        v->requests = (v->requests & ~(u32)REQUEST_HALTED) | REQUEST_INTERRUPT;
        v->state.activity = ACTIVITY_ACTIVE;
    }
    v->halt_ticks += rdtsc() - begin;
}

static void wait_paused(struct vcpu *v)
{
    while (v->vm->end == VM_END_NONE && v->vm->state == VM_PAUSED) {
        sleep_until(rdtsc() + v->vm->parts.tsc_hz / 1000000 * QUANTUM_US);
        v->vm->parts.poll(v->vm->parts.poll_ctx);
    }
}

static void flush_tlb(struct vcpu *v)
{
    struct {
        u64 vpid, address;
    } descriptor = {v->vpid, 0};
    u64 type = caps_has(v->vm->caps, CAP_EPT, EPT_INVVPID_SINGLE) ? 1 : 2;
    bool failed = false;

    v->requests &= ~(u32)REQUEST_FLUSH_TLB;
    if (v->vpid && caps_has(v->vm->caps, CAP_EPT, EPT_INVVPID))
        __asm__ volatile("invvpid %1, %2"
                         : "=@ccbe"(failed)
                         : "m"(descriptor), "r"(type)
                         : "memory");
    else if (v->vpid)
        ept_invalidate(&v->vm->ept); /* drops combined mappings too (SDM vol. 3C, 28.3.3.1) */
    if (failed)
        log_error("vmx", "INVVPID failed");
}

/* INIT and SIPI from the interrupt controller, SDM vol. 3A, 8.4. */
static void serve_init(struct vcpu *v)
{
    struct x86_state s;

    v->requests &= ~(u32)REQUEST_INIT;
    x86_state_reset(&s);
    vcpu_set_state(v, &s);
    v->vm->parts.intc.ops->reset(v->vm->parts.intc.ctx, v->index);
}

/* What waits but for events; false: look again before going on. */
static bool serve_requests(struct vcpu *v)
{
    if (v->requests & REQUEST_POLL) {
        poll_host(v, rdtsc());
        return false;
    }
    if (v->requests & REQUEST_INIT)
        serve_init(v);
    /* A start-up IPI is ignored by a CPU that runs; REQUEST_STOP was only to come here. */
    v->requests &= ~(u32)(REQUEST_SIPI | REQUEST_STOP);
    if (v->requests & REQUEST_HALTED) {
        wait_halted(v);
        return false;
    }
    if (v->requests & REQUEST_FLUSH_TLB)
        flush_tlb(v);
    return true;
}

/* Groups whose change can make the state one that VM entry refuses, or make it valid again. */
#define STATE_MODE                                                  \
    (STATE_CR0 | STATE_CR4 | STATE_EFER | STATE_GDTR | STATE_IDTR | \
     (STATE_ALL & ~(u32)(STATE_SEG0 - 1)))

/* Deliver in software, since VM entry cannot: one event, if one may be taken now. */
static enum exit_action deliver_emulated(struct vcpu *v)
{
    struct emu_event event;

    vcpu_load(v, STATE_BASE);
    if (!inject_take(v, &event))
        return EXIT_CONTINUE;
    return emulate_finish(v, emu_deliver(&v->emu, &event));
}

/*
 * Execute in the emulator while the state cannot be entered, until that changes, something else is
 * to be done, or it is time.
 */
static void run_emulated(struct vcpu *v)
{
    struct x86_state *s = &v->state;

    if ((v->requests & REQUEST_EVENTS) && deliver_emulated(v) == EXIT_END)
        return;
    while (v->requests == 0 && rdtsc() < v->deadline) {
        u32 before = s->dirty;
        s->dirty = 0;
        enum exit_action action = emulate_one(v, EMU_INVALID_STATE);
        u32 touched = s->dirty;
        s->dirty |= before;
        if (action == EXIT_END)
            return;
        if ((touched & (STATE_RFLAGS | STATE_INTERRUPTIBILITY)) && v->interrupt_waits)
            v->requests |= REQUEST_INTERRUPT;
        if (touched & STATE_MODE)
            return;
    }
}

static void set_timer(struct vcpu *v, u64 now)
{
    u64 left = v->deadline > now ? v->deadline - now : 0;

    if (likely(v->has_preemption_timer)) {
        u64 counts = (left >> v->vm->caps->preemption_shift) + 1;
        vmwrite(VMCS_PREEMPTION_TIMER, (u32)(counts < 0xffffffff ? counts : 0xffffffff));
    } else if (v->host_timer != v->deadline) {
        v->host_timer = v->deadline;
        apic_timer_arm(v->deadline);
    }
}

static void account(struct vcpu *v, u64 exited, u64 now)
{
    struct exit_stat *stat = &v->stat[(u16)v->reason];
    u64 ticks = now - exited;

    if (stat->count++ == 0 || ticks < stat->least)
        stat->least = ticks;
    if (ticks > stat->most)
        stat->most = ticks;
    stat->ticks += ticks;
}

static void enter_failed(struct vcpu *v)
{
    u32 error = vmread(VMCS_INSTRUCTION_ERROR);
    char why[160];

    check_explain(v, why, sizeof(why));
    (void)vm_stop_with_report(v, "VM entry refused: error %u, %s; %s", error,
                              vmcs_instruction_error(error), why);
}

/* One stay in the guest and its exit. */
static void run_guest(struct vcpu *v, u64 now)
{
    if (likely(v->exited))
        account(v, v->exited, now);
    vcpu_flush(v);
    set_timer(v, now);
    if (unlikely(vmx_enter(v->state.gpr, v->launched, &v->host_rsp))) {
        enter_failed(v);
        return;
    }
    u64 exited = rdtsc();
    v->launched = true;
    v->state.valid = 0;
    v->guest_ticks += exited - now;
    v->exits++;
    v->reason = vmread(VMCS_EXIT_REASON);
    v->qualification = vmread(VMCS_EXIT_QUALIFICATION);
    v->exited = exited;
    (void)exit_dispatch(v);
}

void vm_run(struct vm *vm)
{
    struct vcpu *v = vm->vcpu[0];
    bool enterable = true;

    vcpu_make_current(v);
    vm->state = VM_RUNNING;
    v->exited = 0;
    while (vm->end == VM_END_NONE) {
        u64 now = rdtsc();
        v->deadline = next_deadline(v);
        if (unlikely(now >= v->deadline)) {
            serve_time(v, now);
            continue;
        }
        if (unlikely(vm->state == VM_PAUSED)) {
            wait_paused(v);
            continue;
        }
        if (unlikely(v->requests & ~(u32)REQUEST_EVENTS) && !serve_requests(v))
            continue;
        if (unlikely(v->state.dirty & STATE_MODE))
            enterable = check_enterable(v);
        if (unlikely(!enterable)) {
            run_emulated(v);
            continue;
        }
        if (unlikely(v->requests))
            inject_prepare(v);
        run_guest(v, now);
    }
    vm->state = VM_ENDED;
}
