/* SPDX-License-Identifier: MIT
 *
 * Steps and stops.  See the header for how they work; the run loop calls debug_settle() and
 * debug_serve() while REQUEST_DEBUG is set, which it is only while something is to be done.
 */
#include "vmx/debug.h"

#include "arch/x86/cpu.h"
#include "arch/x86/memory.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmx/check.h"
#include "vmx/debug_points.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/inject.h"
#include "vmx/show.h"
#include "vmx/symbol.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

/* Put points, EPT and the emulator's view of memory in force on this virtual CPU. */
static void rearm(struct vcpu *v)
{
    struct vm_debug *d = &v->vm->debug;
    u8 want = 0;
    bool watches = false;

    vcpu_load(v, STATE_DR7 | STATE_LIVE);
    u8 used = debug_enabled(v->state.dr7);
    if (d->rows && (used & ~d->taken)) {
        d->taken |= used;
        if (debug_place(v->vm) != STATUS_OK)
            log_warn(v->vm->name, "the guest uses debug registers itself: a breakpoint in memory "
                                  "that is not mapped is out of force");
    }
    for (unsigned i = 0; i < d->rows; i++) {
        const struct debug_point *p = &d->point[i];
        watches |= (p->access & (DEBUG_READ | DEBUG_WRITE)) != 0;
        if ((p->access & DEBUG_EXECUTE) && p->slot != DEBUG_NO_SLOT) {
            want |= (u8)BIT(p->slot);
            v->debug.ours[p->slot] = p->at;
        }
    }
    v->debug.armed = want;
    v->state.dirty |= STATE_DR7 | STATE_LIVE;
    emulate_watch(v, watches);
    ept_invalidate(&v->vm->ept);
    v->debug.page = DEBUG_NONE;
    v->debug.rearm = false;
}

/* --- Stopping and going on -------------------------------------------------------------------- */

static void say_where(struct vcpu *v, enum debug_cause cause, u16 point)
{
    static const char *const why[] = {"paused", "stepped", "point", "exit", "waits"};
    u8 code[15];
    char text[160] = "(no instruction can be read)", number[8] = "", name[96];

    if (cause == DEBUG_POINT)
        format_buf(number, sizeof(number), " %u", point);
    unsigned got = vcpu_peek_code(v, v->state.rip, code, sizeof(code));
    (void)emu_disassemble(code, got, emu_mode(&v->state), v->state.rip, text, sizeof(text),
                          vm_symbol, v->vm);
    log_info(v->vm->name, "CPU %u stands (%s%s) at %#lx%s: %s", v->index, why[cause], number,
             v->state.rip, vm_symbol_text(v->vm, v->state.rip, name, sizeof(name)), text);
}

void debug_stop(struct vcpu *v, enum debug_cause cause, u16 point)
{
    struct vm *vm = v->vm;

    for (unsigned i = 0; i < vm->debug.rows; i++)
        if (point && vm->debug.point[i].access && vm->debug.point[i].id == point)
            vm->debug.point[i].hits++;
    vm->debug.stop = (struct debug_stop){(u8)cause, point, v->index};
    debug_pause(vm);
    if (!vm->debug.quiet)
        say_where(v, cause, point);
}

void debug_pause(struct vm *vm)
{
    if (vm->state == VM_RUNNING)
        vm->state = VM_PAUSED;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu_debug *d = &vm->vcpu[i]->debug;
        d->steps = 0;
        d->until = DEBUG_NONE;
        vcpu_request(vm->vcpu[i], REQUEST_STOP | REQUEST_INTERRUPT); /* which a step held back */
    }
}

void debug_resume(struct vcpu *v, enum debug_act act, u64 steps, u64 first, u64 end)
{
    struct vcpu_debug *d = &v->debug;

    d->held = act == DEBUG_HOLD;
    d->steps = act == DEBUG_STEP ? steps : 0;
    d->first = first;
    d->end = end;
    d->skip = true;
    v->requests |= REQUEST_DEBUG;
}

bool debug_stopped(const struct vm *vm)
{
    bool all = vm->state == VM_PAUSED;

    for (unsigned i = 0; i < vm->vcpu_count; i++)
        all = all && vm->vcpu[i]->debug.parked;
    return all;
}

/* What stays in the CPU while the guest is out (vcpu.h) is brought into memory, too. */
void debug_park(struct vcpu *v)
{
    if (v->debug.native)
        debug_native_end(v);
    vcpu_load(v, STATE_ALL);
    __asm__ volatile("fxsave64 %0" : "=m"(v->debug.fxsave));
    v->debug.parked = true;
}

void debug_unpark(struct vcpu *v)
{
    v->debug.parked = false;
    v->debug.page = DEBUG_NONE;
    __asm__ volatile("fxrstor64 %0" : : "m"(v->debug.fxsave));
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* An instruction has been executed; false: the VM has stopped. */
static bool stepped(struct vcpu *v)
{
    struct vcpu_debug *d = &v->debug;

    d->skip = false;
    if (d->hit) {
        debug_stop(v, DEBUG_POINT, d->hit);
        d->hit = 0;
        return false;
    }
    if (d->steps && !(debug_linear_rip(v) - d->first < d->end - d->first) && --d->steps == 0) {
        debug_stop(v, DEBUG_STEPPED, 0);
        return false;
    }
    return true;
}

bool debug_settle(struct vcpu *v)
{
    /* Exits that happen before an instruction, not by it. */
    static const u64 before = BIT64(EXIT_EXTERNAL_INTERRUPT) | BIT64(EXIT_PREEMPTION_TIMER) |
                              BIT64(EXIT_INTERRUPT_WINDOW) | BIT64(EXIT_NMI_WINDOW);
    struct vcpu_debug *d = &v->debug;
    u32 reason = v->reason & 0xffff;

    if (d->rearm)
        rearm(v);
    if (d->until == reason && d->since != v->exited) {
        debug_stop(v, DEBUG_UNTIL, 0);
        return false;
    }
    if (d->native) {
        if (d->begun == v->exited || (reason < 64 && (before >> reason & 1)))
            return true;
        debug_native_end(v);
        return stepped(v);
    }
    return !d->hit || stepped(v);
}

/* The guest's own breakpoint is at RIP, which the CPU would have seen: its #DB is delivered. */
static bool meets_guests(struct vcpu *v, enum exit_action *action)
{
    const struct x86_state *s = &v->state;

    vcpu_load(v, STATE_DR7 | STATE_LIVE | STATE_CR4 | STATE_RFLAGS | STATE_INTERRUPTIBILITY);
    if ((s->rflags & RFLAGS_RF) || (s->interruptibility & BLOCKED_BY_MOV_SS))
        return false;
    const struct emu_event db = {.vector = VECTOR_DB,
                                 .type = EMU_EVENT_HARD_EXCEPTION,
                                 .payload =
                                     emu_breakpoints(s, debug_linear_rip(v), 1, EMU_BREAK_EXECUTE)};
    if (db.payload)
        *action = emulate_delivery(v, &db);
    return db.payload;
}

bool debug_serve(struct vcpu *v)
{
    struct vcpu_debug *d = &v->debug;
    const u32 mine = REQUEST_DEBUG | REQUEST_EVENTS;

    while (!d->native) {
        struct debug_point *here = debug_breakpoint_here(v);
        if (here && !d->skip) {
            debug_stop(v, DEBUG_POINT, here->id);
            return false;
        }
        bool valid = !(v->state.dirty & STATE_MODE) || check_guest_state(v) < 0;
        u64 page = v->vm->debug.rows ? debug_code_page(v, debug_linear_rip(v)) : DEBUG_NONE;
        bool closed = debug_page_closed(v->vm, page);
        if (valid && !closed && !here && !d->steps)
            break;
        if ((v->requests & ~mine) || rdtsc() >= v->clock->first->deadline)
            return false;
        enum exit_action action = EXIT_CONTINUE;
        if (v->interrupt_waits)
            v->requests |= REQUEST_INTERRUPT;
        u64 rip = v->state.rip;
        if ((v->requests & REQUEST_EVENTS) && !(d->steps && v->event.vector == VECTOR_NONE))
            action = emulate_event(v); /* which is a step, too, if one is delivered */
        if (action == EXIT_CONTINUE && v->state.rip == rip && !meets_guests(v, &action) &&
            !emulate_known(v, EMU_DEBUG, &action)) {
            if (!valid) /* nobody can execute it: that is reported */
                action = emulate_one(v, EMU_DEBUG);
            else
                debug_native_begin(v);
        }
        if (action == EXIT_END)
            return false;
        if (!d->native && !stepped(v))
            return false;
    }
    if (!d->native) {
        d->skip = false;
        if (d->until == DEBUG_NONE)
            v->requests &= ~(u32)REQUEST_DEBUG;
    }
    return true;
}

/* --- The monitor trap flag, tried ------------------------------------------------------------- */

static bool back_at_once(struct vcpu *) { return false; }

/* Flat 32-bit code at 100H of the page at guest-physical 0, which is its page directory, too. */
static void scrap_state(struct x86_state *s, u8 *page)
{
    static const u8 code[] = {0x90, 0x90, 0x0f, 0x01, 0xc1}; /* nop, nop, vmcall */

    *(u32 *)(void *)page = 0x83; /* present, writable, 4 MiB: SDM vol. 3A, table 4-4 */
    memcpy(page + 0x100, code, sizeof(code));
    x86_state_reset(s);
    s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
    s->cr4 = CR4_PSE;
    s->rip = 0x100;
    for (unsigned i = 0; i <= SEG_GS; i++)
        s->seg[i] =
            (struct segment){.limit = ~0u, .access = i == SEG_CS ? 0xc09b : 0xc093, .selector = 8};
}

/* Does it stop behind one instruction?  Some CPUs (and emulators of them) have the bit only. */
static bool mtf_works(struct vcpu *v)
{
    struct x86_state s;
    struct ept ept;
    hpa_t page;
    bool failed = true;

    if (!caps_has(v->vm->caps, CAP_PROC, PROC_MONITOR_TRAP_FLAG) ||
        mem_alloc(PAGE_SIZE, PAGE_SIZE, "mtf test", &page) != STATUS_OK)
        return false;
    if (ept_init(&ept, v->vm->caps) == STATUS_OK &&
        ept_map(&ept, GPA(0), page, PAGE_SIZE, EPT_RIGHTS) == STATUS_OK) {
        scrap_state(&s, phys_to_virt(page));
        vcpu_set_state(v, &s);
        vmwrite(VMCS_EPTP, ept.pointer);
        vmwrite(VMCS_PREEMPTION_TIMER, ~0u);
        vcpu_control(v, PROC_MONITOR_TRAP_FLAG, true);
        vcpu_flush(v);
        v->on_exit = back_at_once;
        do { /* a device may want something first */
            failed = vmx_loop(v, v->launched);
            v->launched |= !failed;
            v->reason = failed ? (u32)EXIT_NONE : vmread(VMCS_EXIT_REASON);
        } while (v->reason == EXIT_EXTERNAL_INTERRUPT && exit_dispatch(v) == EXIT_CONTINUE);
        vcpu_control(v, PROC_MONITOR_TRAP_FLAG, false);
        vmwrite(VMCS_EPTP, v->vm->ept.pointer);
        v->state.valid = 0;
    }
    ept_destroy(&ept);
    mem_free(page);
    return v->reason == EXIT_MONITOR_TRAP_FLAG && vmread(VMCS_GUEST_RIP) == 0x101;
}

void debug_init(struct vcpu *v)
{
    v->debug.until = v->debug.page = DEBUG_NONE;
    v->debug.interrupt = DEBUG_NO_INTERRUPT;
    if (v->index != 0)
        return;
    for (unsigned i = 0; i < v->vm->parts.mem->count; i++)
        v->vm->debug.closed |= v->vm->parts.mem->region[i].kind == GMEM_ROM;
    v->vm->debug.mtf = mtf_works(v);
    if (!v->vm->debug.mtf && caps_has(v->vm->caps, CAP_PROC, PROC_MONITOR_TRAP_FLAG))
        log_warn(v->vm->name, "this CPU has the monitor trap flag, but it does not work: RFLAGS.TF "
                              "is used instead");
}
