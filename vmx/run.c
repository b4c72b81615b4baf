/* SPDX-License-Identifier: MIT
 *
 * The run loop: serve what waits, set the timer, enter the guest, dispatch the exit, and again.
 */
#include "vmx/run.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/cpus.h"
#include "arch/x86/panic.h"
#include "lib/log.h"
#include "vmx/check.h"
#include "vmx/debug.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/life.h"
#include "vmx/stop.h"
#include "vmx/trace.h"

/* A guest never runs longer than this without being looked at, whatever it does. */
#define QUANTUM_US 5000u

/* Instructions emulated between two looks at the time and at what waits. */
#define BURST 64

#define VCPU_ON_EXIT 0x230 /* where entry.asm looks for it */
_Static_assert(offsetof(struct vcpu, on_exit) == VCPU_ON_EXIT, "entry.asm: VCPU_ON_EXIT");

/* Host TSC at which the guest is to be left; the quantum's timer is always armed. */
static u64 deadline_of(const struct vcpu *v) { return v->clock->first->deadline; }

static void quantum_over(void *dev, u64 deadline)
{
    struct vcpu *v = dev;

    v->requests |= REQUEST_POLL;
    trace_tick(v);
    clock_arm(v->clock, &v->quantum, deadline + v->vm->parts.tsc_hz / 1000000 * QUANTUM_US);
}

static void run_clock(struct vcpu *v)
{
    vm_lock(v->vm);
    clock_run(v->clock, rdtsc());
    vm_unlock(v->vm);
}

static void poll_host(struct vcpu *v)
{
    v->requests &= ~(u32)REQUEST_POLL;
    v->vm->parts.poll(v->vm->parts.poll_ctx);
}

/* Sleep until then, or until something is posted: what comes with interrupts off ends it at once.
 */
static void nap_until(struct vcpu *v, u64 deadline)
{
    if (atomic_load(&v->posted) == 0) {
        apic_timer_arm(deadline);
        cpu_wait();
        apic_timer_disarm();
        v->armed = 0;
    }
    poll_host(v);
}

/* The guest has executed HLT: sleep, and see whether something woke it. */
static void nap_halted(struct vcpu *v)
{
    u64 begin = rdtsc();

    if (inject_wakes(v)) {
        v->requests = (v->requests & ~(u32)REQUEST_HALTED) | REQUEST_INTERRUPT;
        v->state.activity = ACTIVITY_ACTIVE;
        return;
    }
    nap_until(v, deadline_of(v));
    v->halt_ticks += rdtsc() - begin;
}

static bool stands_still(const struct vcpu *v)
{
    return v->vm->state == VM_PAUSED || v->debug.held;
}

static void wait_paused(struct vcpu *v)
{
    debug_park(v);
    while (v->vm->end == VM_END_NONE && stands_still(v) && !atomic_load(&v->vm->stopping))
        nap_until(v, rdtsc() + v->vm->parts.tsc_hz / 1000000 * QUANTUM_US);
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
    if (v->vpid && caps_has(v->vm->caps, CAP_EPT, EPT_INVVPID) &&
        (v->vm->caps->bits[CAP_EPT] & (EPT_INVVPID_SINGLE | EPT_INVVPID_ALL)))
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
    v->waits_for_sipi = v->index != 0;
    vm_lock(v->vm);
    v->vm->parts.intc.ops->reset(v->vm->parts.intc.ctx, v->index);
    vm_unlock(v->vm);
}

/* SDM vol. 3A, 8.4.3: real mode at the page that the vector names. */
static void serve_sipi(struct vcpu *v)
{
    struct x86_state *s = &v->state;

    vcpu_load(v, STATE_RIP | STATE_SEG(SEG_CS));
    s->seg[SEG_CS].selector = (u16)(v->sipi_vector << 8);
    s->seg[SEG_CS].base = (u64)v->sipi_vector << 12;
    s->rip = 0;
    s->dirty |= STATE_RIP | STATE_SEG(SEG_CS);
    v->waits_for_sipi = false;
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
    if (v->waits_for_sipi && (v->requests & REQUEST_SIPI))
        serve_sipi(v);
    /* A start-up IPI is ignored by a CPU that runs; REQUEST_STOP was only to come here. */
    v->requests &= ~(u32)(REQUEST_SIPI | REQUEST_STOP);
    if (v->waits_for_sipi)
        return false;
    if (v->requests & REQUEST_HALTED) {
        nap_halted(v);
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
        unsigned n = v->tracing || v->interrupt_waits ? 1 : BURST;
        s->dirty = 0;
        enum exit_action action =
            n == 1 ? emulate_one(v, EMU_INVALID_STATE) : emulate_many(v, STATE_MODE, &n);
        count += n;
        u32 touched = s->dirty;
        s->dirty |= before;
        if (action == EXIT_END)
            break;
        /* Arithmetic changes RFLAGS too: with IF clear nothing more can be taken. */
        if (v->interrupt_waits && ((touched & STATE_INTERRUPTIBILITY) ||
                                   ((touched & STATE_RFLAGS) && (s->rflags & RFLAGS_IF))))
            v->requests |= REQUEST_INTERRUPT;
        if (touched & STATE_MODE)
            break;
    }
    if (v->interrupt_waits) /* the guest may be entered now: with its window, at least */
        v->requests |= REQUEST_INTERRUPT;
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

/*
 * After every exit: handle it, and say whether to enter at once.  What takes longer than that is
 * left to prepare().
 */
static HOT bool exited(struct vcpu *v, enum trace_mode tracing)
{
    v->exited = rdtsc();
    u32 reason = v->reason = vmread(VMCS_EXIT_REASON);
    u64 rip = v->state.rip = vmread(VMCS_GUEST_RIP);
    v->state.valid = STATE_RIP;
    if (tracing)
        trace_begin(v, reason, rip);
    (void)exit_dispatch_by(v, tracing ? exit_table_traced : exit_table);
    if (unlikely(v->requests | (v->state.dirty & STATE_MODE)))
        return tracing && trace_keep(v);
    u64 now = rdtsc(), deadline = deadline_of(v);
    if (unlikely(now >= deadline))
        return tracing && trace_keep(v);
    u64 ticks = now - v->exited;
    book(v, ticks);
    if (!tracing)
        return vcpu_ready(v, now, deadline);
    struct trace_record *r = v->record;
    if (tracing == TRACE_ALL)
        return trace_end[(u8)r->reason](v, now, deadline, ticks, r);
    (void)trace_end[(u8)r->reason](v, now, deadline, ticks, r);
    trace_filter(v, r);
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
    if (atomic_load(&v->posted))
        v->requests |= atomic_exchange(&v->posted, 0);
    if (atomic_load(&v->vm->stopping)) {
        vcpu_park(v);
        return false;
    }
    if ((v->requests & REQUEST_DEBUG) && !debug_settle(v))
        return false;
    if (stands_still(v)) {
        wait_paused(v);
        return false;
    }
    if (rdtsc() >= deadline_of(v)) {
        run_clock(v);
        return false;
    }
    if (v->waits_for_sipi && !(v->requests & (REQUEST_SIPI | REQUEST_INIT | REQUEST_POLL))) {
        nap_until(v, deadline_of(v));
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
    (void)vcpu_ready(v, now, deadline > now ? deadline : now);
    v->on_exit = on_exit[v->tracing];
    bool launched = v->launched;
    v->launched = true; /* until vcpu_release(), which a command at the prompt may need */
    if (vmx_loop(v, launched)) {
        v->launched = launched;
        v->reason = EXIT_NONE; /* there was none */
        trace_idle(v);
        enter_failed(v);
    }
}

/* Begin (again) as after power-on; not before others have let go of it. */
static void begin(struct vcpu *v)
{
    struct x86_state s;

    while (atomic_load(&v->vm->stopping))
        vcpu_park(v);
    vcpu_make_current(v);
    x86_state_reset(&s);
    vcpu_power_on(v);
    vcpu_set_state(v, v->index ? &s : &v->vm->start);
    atomic_store(&v->posted, 0);
    v->waits_for_sipi = v->index != 0;
    v->exited = rdtsc();
    v->reason = EXIT_NONE;
    trace_idle(v);
    trace_life(v, "starts");
    v->quantum.fire = quantum_over;
    v->quantum.dev = v;
    vm_lock(v->vm);
    clock_arm(v->clock, &v->quantum, v->exited);
    vm_unlock(v->vm);
}

/* The life of a virtual CPU on the host CPU that is its own meanwhile. */
static void run_vcpu(void *vcpu)
{
    struct vcpu *v = vcpu;
    struct vm *vm = v->vm;

    atomic_store(&v->active, true);
    begin(v);
    while (vm->end == VM_END_NONE)
        if (prepare(v))
            enter(v);
    book_slowly(v, rdtsc() - v->exited);
    trace_idle(v);
    vm_lock(vm);
    clock_disarm(v->clock, &v->quantum);
    vm_unlock(vm);
    vcpu_release(v);
    atomic_store(&v->active, false);
    atomic_fetch_sub(&vm->running, 1);
}

void vm_run(struct vm *vm)
{
    vm->state = vm->debug.wait ? VM_PAUSED : VM_RUNNING;
    vm->debug.stop = (struct debug_stop){.cause = DEBUG_START};
    vm->started = rdtsc();
    atomic_store(&vm->running, vm->vcpu_count);
    for (unsigned i = 1; i < vm->vcpu_count; i++)
        cpus_run(vm->host[i], run_vcpu, vm->vcpu[i]);
    run_vcpu(vm->vcpu[0]);
    while (atomic_load(&vm->running)) /* they have been told, and come within a quantum */
        cpu_pause();
    vm->state = VM_ENDED;
    vm->ran += rdtsc() - vm->started;
}
