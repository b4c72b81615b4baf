/* SPDX-License-Identifier: MIT
 *
 * One virtual CPU: its architectural state, its VMCS, and what waits to be done to it.
 *
 * While the guest runs, part of the state is in the VMCS.  After an exit nothing of that but RIP is
 * read until somebody needs it: vcpu_load() brings groups into `state`, vcpu_flush() puts changed
 * groups back before the next entry.  CR2, DR0-DR3, DR6, XCR0, the FPU and the passed-through MSRs
 * stay in the CPU itself, which the hypervisor does not use; they change hands when a CPU changes
 * its vCPU.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "drivers/bus.h"
#include "drivers/clock.h"
#include "vmx/debug_state.h"
#include "vmx/shape.h"
#include "vmx/vmcs.h"

#define EXIT(number, name, handler) EXIT_##name = (number),
enum exit_reason {
#include "vmx/exits.def"
    EXIT_REASON_COUNT = 70,
    EXIT_NONE = EXIT_RESERVED_35 /* work before the first entry is booked here */
};
#undef EXIT

/* What a handler tells the run loop. */
enum exit_action {
    EXIT_CONTINUE, /* go on with the guest */
    EXIT_END       /* vm_end() was called */
};

/* Work for the run loop before the next entry; a bit in vcpu.requests. */
enum vcpu_request {
    REQUEST_INTERRUPT = BIT(0), /* look at the interrupt controller again */
    REQUEST_NMI = BIT(1),
    REQUEST_INIT = BIT(2),
    REQUEST_SIPI = BIT(3),
    REQUEST_STOP = BIT(4), /* the machine's life has ended, or it is to pause */
    REQUEST_FLUSH_TLB = BIT(5),
    REQUEST_EVENT = BIT(6), /* vcpu.event is to be injected */
    REQUEST_HALTED = BIT(7),
    REQUEST_POLL = BIT(8),  /* the console has something */
    REQUEST_DEBUG = BIT(9), /* see debug.h */
    REQUEST_EVENTS = REQUEST_INTERRUPT | REQUEST_NMI | REQUEST_EVENT
};

/* Groups whose change can make the state one that VM entry refuses, or make it valid again. */
#define STATE_MODE (STATE_CR0 | STATE_CR4 | STATE_EFER | STATE_GDTR | STATE_IDTR | STATE_SEGMENTS)

struct exit_stat {
    u64 count;
    u64 ticks; /* host TSC ticks from exit to the next entry */
    u64 most;
};

#define VCPU_RULES 33 /* rules of VM entry on guest state (check.h) */

/* Instructions emulated because a rule of VM entry was broken, and how long at a time. */
struct broken_stat {
    u64 instructions, stretches;
    u64 longest;       /* instructions */
    u64 longest_begin; /* its first one's linear address */
};

struct vm;
struct trace;
struct trace_record;

struct vcpu {
    struct x86_state state;          /* first: entry.asm finds the general registers at offset 0 */
    bool (*on_exit)(struct vcpu *v); /* second: entry.asm calls it after every exit */
    struct vm *vm;
    unsigned index; /* within its VM; also its APIC ID */
    bool launched;
    u32 requests;       /* by its own CPU */
    _Atomic u32 posted; /* by others, with an interrupt behind; collected on the slow path */

    u32 reason;             /* of the last exit: the whole exit-reason field */
    bool reinject;          /* the last exit interrupted the delivery of `event` */
    struct emu_event event; /* to be injected at the next entry; VECTOR_NONE: none */
    _Atomic bool nmi_pending;
    bool interrupt_waits;              /* an interrupt or NMI could not be taken yet */
    bool interrupt_window, nmi_window; /* asked for in the VMCS */
    u8 sipi_vector;
    bool waits_for_sipi; /* SDM vol. 3A, 8.4.2; not by the activity state: we wait outside */

    _Atomic bool active; /* in its loop on host CPU vm->host[index] */
    _Atomic bool parked; /* ... and out of everything: see vm_stop_all() */
    struct clock *clock;
    struct timer quantum;  /* the longest stay in the guest */
    bool preemption_timer; /* as in vmx_caps, near at hand */
    u8 preemption_shift;
    u64 armed; /* the deadline that the host's APIC timer is set to, where that is used; 0: none */
    u64 tsc_offset;  /* guest TSC = host TSC + tsc_offset */
    u64 tsc_adjust;  /* IA32_TSC_ADJUST as the guest sees it */
    u64 misc_enable; /* IA32_MISC_ENABLE as the guest sees it */
    u64 mcg_status;
    u32 proc_controls, entry_controls; /* what the VMCS holds */
    bool dr7_idle;            /* DR7 enables nothing in the VMCS, and a MOV to it would exit */
    u64 cr0_owned, cr4_owned; /* guest/host masks (SDM vol. 3C, 24.6.6): changing these exits */
    u64 cr0_shown, cr4_shown; /* the guest's values of those bits */
    struct shaped dress;
    u16 vpid;               /* 0: VPIDs are not used */
    struct bus_range *mmio; /* the device page touched last, or NULL */

    struct emu emu;
    hpa_t vmcs;

    u64 exited;     /* host TSC of the last exit */
    u64 halt_ticks; /* spent halted */
    struct exit_stat stat[EXIT_REASON_COUNT];

    u8 tracing; /* enum trace_mode */
    struct trace *trace;
    union {
        struct trace_record *record; /* the newest */
        u16 record_low; /* adding to it wraps around at the end of the ring of 64 KiB */
    };
    struct broken_stat broken[VCPU_RULES];
    int broken_now; /* rule number, or -1 */
    u64 stretch, stretch_begin;
    struct vcpu_debug debug;
    u64 stepped; /* host TSC when the last step with state that cannot be entered began */
};

/* Make the VMCS of this vCPU, with its VM's controls; the state stays undefined until vcpu_reset.
 */
CHECKED enum status vcpu_create(struct vcpu *v, struct vm *vm, unsigned index);
void vcpu_destroy(struct vcpu *v);

/* MSRs and the TSC as after power-on or RESET (INIT leaves them alone). */
void vcpu_power_on(struct vcpu *v);

/* Begin (again) with these registers; also clears pending events. */
void vcpu_set_state(struct vcpu *v, const struct x86_state *initial);

/*
 * Make it this CPU's: its VMCS current, what lives in the CPU itself loaded.  The one before is
 * released.  It must be nobody else's: not active, or parked.
 */
void vcpu_make_current(struct vcpu *v);

/* Take all of its state out of this CPU, if it is there, so that any CPU can make it current. */
void vcpu_release(struct vcpu *v);

/* From any CPU: a request, looked at before the guest runs on. */
void vcpu_post(struct vcpu *v, u32 requests);

/* The same where v may be this CPU's own, as it almost always is. */
static inline void vcpu_request(struct vcpu *v, u32 requests)
{
    if (likely(this_cpu()->vcpu == v))
        v->requests |= requests;
    else
        vcpu_post(v, requests);
}

/* Bring groups (enum state_group) that are not valid yet into v->state. */
void vcpu_load_groups(struct vcpu *v, u32 groups);
static inline void vcpu_load(struct vcpu *v, u32 groups)
{
    if (groups & ~v->state.valid)
        vcpu_load_groups(v, groups);
}

/* STATE_BASE: what every emulated instruction begins with. */
static inline void vcpu_load_base(struct vcpu *v)
{
    struct x86_state *s = &v->state;

    if (unlikely((s->valid & ~(u32)STATE_RIP) | v->dress.shape)) {
        vcpu_load(v, STATE_BASE);
        return;
    }
    s->valid = STATE_BASE;
    s->gpr[RSP] = vmread(VMCS_GUEST_RSP);
    s->rflags = vmread(VMCS_GUEST_RFLAGS);
    s->efer = vmread(VMCS_GUEST_EFER);
    s->interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);
    s->cr3 = vmread(VMCS_GUEST_CR3);
    s->cr0 = (vmread(VMCS_GUEST_CR0) & ~v->cr0_owned) | v->cr0_shown;
    s->cr4 = (vmread(VMCS_GUEST_CR4) & ~v->cr4_owned) | v->cr4_shown;
    s->seg[SEG_CS].access = vmread(VMCS_GUEST_CS_ACCESS);
}

/* vmx/entry.asm: enter, and again after every exit as long as v->on_exit says so.  True: the entry
 * itself failed. */
bool vmx_loop(struct vcpu *v, bool launched);

/* Put changed groups into the VMCS. */
void vcpu_flush(struct vcpu *v);

/* The last steps before entry: timer, and changed state into the VMCS; always true. */
bool vcpu_ready_otherwise(struct vcpu *v, u64 now, u64 deadline);
static inline bool vcpu_ready(struct vcpu *v, u64 now, u64 deadline)
{
    if (unlikely(!v->preemption_timer || v->state.dirty != STATE_RIP))
        return vcpu_ready_otherwise(v, now, deadline);
    /* It fits, since the quantum bounds it. */
    vmwrite(VMCS_PREEMPTION_TIMER, (u32)((deadline - now) >> v->preemption_shift) + 1);
    vmwrite(VMCS_GUEST_RIP, v->state.rip);
    v->state.dirty = 0;
    return true;
}

/* Go over to the shape that the state needs; all of it must be valid.  False: nothing to do. */
bool vcpu_change_shape(struct vcpu *v);

/* Let the guest read state.cr0, of which only bits have changed that do not act. */
void vcpu_show_cr0(struct vcpu *v);

/* How many exits there were, and host TSC ticks spent on them. */
u64 vcpu_exits(const struct vcpu *v, u64 *ticks);

/* Change bits of the processor-based controls. */
void vcpu_control(struct vcpu *v, u32 bit, bool on);

/* Translations of the guest's linear addresses may be stale: flush before the next entry. */
static inline void vcpu_flush_tlb(struct vcpu *v) { v->requests |= REQUEST_FLUSH_TLB; }
