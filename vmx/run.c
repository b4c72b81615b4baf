/* SPDX-License-Identifier: MIT
 *
 * The run loop: serve what waits, set the timer, enter the guest, dispatch the exit, and again.
 */
#include "vmx/run.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/panic.h"
#include "lib/log.h"
#include "vmx/check.h"
#include "vmx/debug.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/inject.h"
#include "vmx/life.h"
#include "vmx/trace.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

/* A guest never runs longer than this without being looked at, whatever it does. */
#define QUANTUM_US 5000u

#define VCPU_ON_EXIT 0x230 /* where entry.asm looks for it */
_Static_assert(offsetof(struct vcpu, on_exit) == VCPU_ON_EXIT, "entry.asm: VCPU_ON_EXIT");

/* Host TSC at which the guest is to be left; the quantum's timer is always armed. */
static u64 deadline_of(const struct vcpu *v) { return v->vm->parts.clock->first->deadline; }

static void quantum_over(void *dev, u64 deadline)
{
    struct vcpu *v = dev;

    v->requests |= REQUEST_POLL;
    clock_arm(v->vm->parts.clock, &v->quantum,
              deadline + v->vm->parts.tsc_hz / 1000000 * QUANTUM_US);
}

static void poll_host(struct vcpu *v)
{
    v->requests &= ~(u32)REQUEST_POLL;
    v->vm->parts.poll(v->vm->parts.poll_ctx);
}

static void sleep_until(u64 deadline)
{
    apic_timer_arm(deadline);
    cpu_wait();
    apic_timer_disarm();
}

/* The guest has executed HLT: sleep until something wakes it. */
static void wait_halted(struct vcpu *v)
{
    u64 begin = rdtsc();

    while (v->vm->end == VM_END_NONE && v->vm->state == VM_RUNNING && !v->debug.held &&
           !inject_wakes(v)) {
        sleep_until(deadline_of(v));
        clock_run(v->vm->parts.clock, rdtsc());
        poll_host(v);
    }
    if (inject_wakes(v)) {
        v->requests = (v->requests & ~(u32)REQUEST_HALTED) | REQUEST_INTERRUPT;
        v->state.activity = ACTIVITY_ACTIVE;
    }
    v->halt_ticks += rdtsc() - begin;
}

static bool stands_still(const struct vcpu *v)
{
    return v->vm->state == VM_PAUSED || v->debug.held;
}

static void wait_paused(struct vcpu *v)
{
    debug_park(v);
    while (v->vm->end == VM_END_NONE && stands_still(v)) {
        sleep_until(rdtsc() + v->vm->parts.tsc_hz / 1000000 * QUANTUM_US);
        poll_host(v);
    }
    debug_unpark(v);
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
    invariant(!failed);
}

/* INIT from the interrupt controller, SDM vol. 3A, 8.4 and table 9-1. */
static void serve_init(struct vcpu *v)
{
    struct x86_state s;

    x86_state_reset(&s);
    vcpu_load(v, STATE_CR0);
    s.cr0 = (s.cr0 & ~(CR0_CD | CR0_NW)) | (v->state.cr0 & (CR0_CD | CR0_NW));
    s.xcr0 = v->state.xcr0;
    vcpu_set_state(v, &s);
    v->vm->parts.intc.ops->reset(v->vm->parts.intc.ctx, v->index);
}

/* What waits but for events; false: look again before going on. */
static bool serve_requests(struct vcpu *v)
{
    if (v->requests & REQUEST_POLL) {
        poll_host(v);
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

static void book_broken(struct vcpu *v, int rule, u64 begin, u64 count)
{
    struct broken_stat *b = &v->broken[rule];

    if (rule != v->broken_now) {
        v->broken_now = rule;
        v->stretch = 0;
        v->stretch_begin = begin;
        b->stretches++;
    }
    v->stretch += count;
    b->instructions += count;
    if (v->stretch > b->longest) {
        b->longest = v->stretch;
        b->longest_begin = v->stretch_begin;
    }
}

/* In virtual-8086 mode VM entry would inject through a protected-mode IDT. */
static bool deliver_real(struct vcpu *v)
{
    enum exit_action action = emulate_event(v);

    inject_windows(v);
    return action == EXIT_CONTINUE && (v->requests & ~(u32)REQUEST_DEBUG) == 0 &&
           !(v->state.dirty & STATE_MODE);
}

/*
 * Execute in the emulator while the state cannot be entered, until that changes, something else is
 * to be done, or it is time.
 */
static void run_emulated(struct vcpu *v, int rule)
{
    struct x86_state *s = &v->state;
    u64 begin = s->seg[SEG_CS].base + s->rip, count = 0;

    if ((v->requests & REQUEST_EVENTS) && emulate_event(v) == EXIT_END)
        return;
    while (v->requests == 0 && (v->stepped = rdtsc()) < deadline_of(v)) {
        u32 before = s->dirty;
        s->dirty = 0;
        enum exit_action action = emulate_one(v, EMU_INVALID_STATE);
        count++;
        u32 touched = s->dirty;
        s->dirty |= before;
        if (action == EXIT_END)
            break;
        if ((touched & (STATE_RFLAGS | STATE_INTERRUPTIBILITY)) && v->interrupt_waits)
            v->requests |= REQUEST_INTERRUPT;
        if (touched & STATE_MODE)
            break;
    }
    book_broken(v, rule, begin, count);
}

#define HOT __attribute__((always_inline)) inline /* compiled once for each mode of tracing */

/* The exit took so many ticks: into the accounts. */
static HOT void book(struct vcpu *v, u64 ticks)
{
    struct exit_stat *stat = &v->stat[(u16)v->reason];

    stat->count++;
    stat->ticks += ticks;
    if (ticks > stat->most)
        stat->most = ticks;
}

/* The last steps before entry: timer, and changed state into the VMCS. */
static HOT void ready_to_enter(struct vcpu *v, u64 now, u64 deadline)
{
    if (likely(v->has_preemption_timer)) /* fits, since the quantum bounds it */
        vmwrite(VMCS_PREEMPTION_TIMER, (u32)((deadline - now) >> v->preemption_shift) + 1);
    else
        apic_timer_arm(deadline);
    if (likely(v->state.dirty == STATE_RIP)) {
        vmwrite(VMCS_GUEST_RIP, v->state.rip);
        v->state.dirty = 0;
    } else {
        vcpu_flush(v);
    }
}

/*
 * After every exit: handle it, and say whether to enter at once.  What takes longer than that is
 * left to prepare().
 */
static HOT bool exited(struct vcpu *v, enum trace_mode tracing)
{
    v->exited = rdtsc();
    v->state.valid = 0;
    u32 reason = v->reason = vmread(VMCS_EXIT_REASON);
    if (tracing)
        trace_begin(v, reason);
    (void)exit_dispatch(v);
    if (unlikely(v->requests | (v->state.dirty & STATE_MODE)))
        return false;
    u64 now = rdtsc(), deadline = deadline_of(v);
    if (unlikely(now >= deadline))
        return false;
    u64 ticks = now - v->exited;
    book(v, ticks);
    bool recorded = !tracing || trace_end(v, v->record, ticks);
    if (likely(recorded)) {
        ready_to_enter(v, now, deadline);
    } else { /* compiled twice, so that nothing has to be kept over a call */
        ready_to_enter(v, now, deadline);
        trace_end_other(v, v->record);
    }
    if (tracing == TRACE_FILTERED)
        trace_filter(v, v->record);
    return true;
}

static bool exited_untraced(struct vcpu *v) { return exited(v, TRACE_OFF); }

static bool exited_traced(struct vcpu *v) { return exited(v, TRACE_ALL); }

static bool exited_filtered(struct vcpu *v) { return exited(v, TRACE_FILTERED); }

/*
 * Whatever stands between now and the next entry: time, requests, events, state that cannot be
 * entered.  True when the guest may be entered.
 */
static bool prepare(struct vcpu *v)
{
    if (rdtsc() >= deadline_of(v)) {
        clock_run(v->vm->parts.clock, rdtsc());
        return false;
    }
    if ((v->requests & REQUEST_DEBUG) && !debug_settle(v))
        return false;
    if (stands_still(v)) {
        wait_paused(v);
        return false;
    }
    if ((v->requests & ~(u32)(REQUEST_EVENTS | REQUEST_DEBUG)) && !serve_requests(v))
        return false;
    if ((v->requests & REQUEST_DEBUG) && !debug_serve(v))
        return false;
    if (v->state.dirty & STATE_MODE) {
        int broken = check_guest_state(v);
        if (broken >= 0) {
            if (v->vm->debug.rows)
                v->requests |= REQUEST_DEBUG; /* which emulates with an eye on them */
            else
                run_emulated(v, broken);
            return false;
        }
        v->broken_now = -1;
        if (vcpu_change_shape(v))
            return false;
    }
    if (v->requests && v->dress.shape == SHAPE_VM86)
        return deliver_real(v);
    if (v->requests)
        inject_prepare(v);
    return true;
}

/* The same for an exit that took the long way. */
static void book_slowly(struct vcpu *v, u64 ticks)
{
    book(v, ticks);
    if (v->tracing)
        trace_end_slowly(v, ticks);
}

static void enter_failed(struct vcpu *v)
{
    u32 error = vmread(VMCS_INSTRUCTION_ERROR);
    char why[160];

    check_explain(v, why, sizeof(why));
    (void)vm_stop_with_report(v, "VM entry refused: error %u, %s; %s", error,
                              vmcs_instruction_error(error), why);
}

static void enter(struct vcpu *v)
{
    static bool (*const on_exit[])(struct vcpu * v) = {exited_untraced, exited_traced,
                                                       exited_filtered};
    u64 now = rdtsc(), deadline = deadline_of(v);

    book_slowly(v, now - v->exited);
    /* An event may be in the VMCS already, so there is no way back: a deadline that has just passed
     * ends the stay at once. */
    ready_to_enter(v, now, deadline > now ? deadline : now);
    v->on_exit = on_exit[v->tracing];
    if (vmx_loop(v, v->launched)) {
        v->reason = EXIT_NONE; /* there was none */
        trace_idle(v);
        enter_failed(v);
    } else {
        v->launched = true;
    }
}

void vm_run(struct vm *vm)
{
    struct vcpu *v = vm->vcpu[0];

    vcpu_make_current(v);
    vm->state = vm->debug.wait ? VM_PAUSED : VM_RUNNING;
    vm->debug.stop = (struct debug_stop){.cause = DEBUG_START};
    vm->started = v->exited = rdtsc();
    v->reason = EXIT_NONE;
    trace_idle(v);
    trace_life(v, "starts");
    v->quantum.fire = quantum_over;
    v->quantum.dev = v;
    clock_arm(vm->parts.clock, &v->quantum, vm->started);
    while (vm->end == VM_END_NONE)
        if (prepare(v))
            enter(v);
    book_slowly(v, rdtsc() - v->exited);
    clock_disarm(vm->parts.clock, &v->quantum);
    vm->state = VM_ENDED;
    vm->ran += rdtsc() - vm->started;
}
