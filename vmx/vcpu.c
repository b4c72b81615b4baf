/* SPDX-License-Identifier: MIT
 *
 * The VMCS of a virtual CPU: made once, then kept in step with `state` group by group.
 */
#include "vmx/vcpu.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/cpus.h"
#include "arch/x86/memory.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/paging.h"
#include "arch/x86/panic.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/msr.h"
#include "lib/string.h"
#include "vmx/vm.h"
#include "vmx/vmx.h"

void vmx_exit(void);

/* The caches are the host's business: CD and NW are shown to the guest but never reach the CPU. */
#define CR0_CACHE (CR0_CD | CR0_NW)

/* Bits whose change by the guest causes an exit (guest/host masks, SDM vol. 3C, 24.6.6). */
static u64 owned_in_cr0(const struct vm *vm)
{
    u64 owned = CR0_CACHE | CR0_NE | (~0ull << 32);

    if (!vm->unrestricted || vm->real_mode != REAL_NATIVE)
        owned |= CR0_PE | CR0_PG;
    return owned;
}

static u64 owned_in_cr4(const struct vm *vm)
{
    u64 owned = ~vm->cpuid.cr4_allowed;

    if (!vm->unrestricted || vm->real_mode != REAL_NATIVE)
        owned |= SHAPE_CR4;
    return owned;
}

static u64 host_page(u64 at) { return virt_to_phys((const void *)(uintptr_t)at).v; }

static enum status write_controls(struct vcpu *v)
{
    const struct vmx_caps *caps = v->vm->caps;
    u32 pin, proc, proc2, exit, entry;
    u32 pin_want = PIN_VIRTUAL_NMIS | (caps->preemption_timer ? (u32)PIN_PREEMPTION_TIMER : 0);
    u32 proc2_want =
        PROC2_RDTSCP | PROC2_VPID | PROC2_WBINVD_EXITING | PROC2_INVPCID | PROC2_XSAVES;

    if (v->vm->unrestricted)
        proc2_want |= PROC2_UNRESTRICTED_GUEST;
    enum status s[] = {
        caps_control(caps, CAP_PIN, PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING, pin_want,
                     &pin),
        caps_control(caps, CAP_PROC,
                     PROC_HLT_EXITING | PROC_MWAIT_EXITING | PROC_RDPMC_EXITING |
                         PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING | PROC_IO_BITMAPS |
                         PROC_MSR_BITMAPS | PROC_MONITOR_EXITING | PROC_TSC_OFFSETTING |
                         (u32)PROC_SECONDARY_CONTROLS,
                     0, &proc),
        caps_control(caps, CAP_PROC2, PROC2_EPT, proc2_want, &proc2),
        caps_control(caps, CAP_EXIT,
                     EXIT_SAVE_DEBUG_CONTROLS | EXIT_HOST_64 | EXIT_ACK_INTERRUPT | EXIT_SAVE_PAT |
                         EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
                     0, &exit),
        caps_control(caps, CAP_ENTRY, ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
                     0, &entry),
    };
    for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
        if (s[i] != STATUS_OK)
            return s[i];

    vmwrite(VMCS_PIN_CONTROLS, pin);
    vmwrite(VMCS_PROC_CONTROLS, proc);
    vmwrite(VMCS_PROC2_CONTROLS, proc2);
    vmwrite(VMCS_EXIT_CONTROLS, exit);
    vmwrite(VMCS_ENTRY_CONTROLS, entry);
    v->proc_controls = proc;
    v->entry_controls = entry;
    if (proc2 & PROC2_VPID) {
        v->vpid = (u16)(v->vm->id * VM_MAX_VCPUS + v->index);
        vmwrite(VMCS_VPID, v->vpid);
    }
    if (proc2 & PROC2_XSAVES)
        vmwrite(VMCS_XSS_EXITING_BITMAP, 0ull);
    return STATUS_OK;
}

static void write_host_state(void)
{
    struct percpu *cpu = this_cpu();

    vmwrite(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
    vmwrite(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
    vmwrite(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
    vmwrite(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
    vmwrite(VMCS_HOST_FS_SELECTOR, 0);
    vmwrite(VMCS_HOST_GS_SELECTOR, 0);
    vmwrite(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
    vmwrite(VMCS_HOST_FS_BASE, 0ull);
    vmwrite(VMCS_HOST_GS_BASE, (u64)(uintptr_t)cpu);
    vmwrite(VMCS_HOST_TR_BASE, percpu_tss_base(cpu));
    vmwrite(VMCS_HOST_GDTR_BASE, sgdt().base);
    vmwrite(VMCS_HOST_IDTR_BASE, trap_idt_base());
    vmwrite(VMCS_HOST_CR0, cr0_read());
    vmwrite(VMCS_HOST_CR3, paging_cr3());
    vmwrite(VMCS_HOST_CR4, cr4_read());
    vmwrite(VMCS_HOST_EFER, rdmsr(MSR_IA32_EFER));
    vmwrite(VMCS_HOST_PAT, rdmsr(MSR_IA32_PAT));
    vmwrite(VMCS_HOST_SYSENTER_CS, 0);
    vmwrite(VMCS_HOST_SYSENTER_ESP, 0ull);
    vmwrite(VMCS_HOST_SYSENTER_EIP, 0ull);
    vmwrite(VMCS_HOST_RIP, (u64)(uintptr_t)vmx_exit);
}

/* #AC and #DB can be made to recur without end inside the CPU, so they must leave the guest. */
static u32 exceptions(const struct vm *vm)
{
    return BIT(VECTOR_AC) | BIT(VECTOR_DB) | BIT(VECTOR_MC) |
           (vm->parts.forced ? BIT(VECTOR_UD) : 0) | (vm->parts.vmware_ports ? BIT(VECTOR_GP) : 0);
}

static void write_fixed_fields(struct vcpu *v)
{
    struct vm *vm = v->vm;

    vmwrite(VMCS_IO_BITMAP_A, host_page((u64)(uintptr_t)vm->io_bitmap));
    vmwrite(VMCS_IO_BITMAP_B, host_page((u64)(uintptr_t)vm->io_bitmap + PAGE_SIZE));
    vmwrite(VMCS_MSR_BITMAP, host_page((u64)(uintptr_t)vm->msr_bitmap));
    vmwrite(VMCS_EPTP, vm->ept.pointer);
    vmwrite(VMCS_VMCS_LINK_POINTER, ~0ull);
    vmwrite(VMCS_EXCEPTION_BITMAP, exceptions(vm));
    vmwrite(VMCS_PAGE_FAULT_MASK, 0);
    vmwrite(VMCS_PAGE_FAULT_MATCH, 0);
    vmwrite(VMCS_CR3_TARGET_COUNT, 0);
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
    vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
    v->cr0_owned = owned_in_cr0(vm);
    v->cr4_owned = owned_in_cr4(vm);
    vmwrite(VMCS_CR0_MASK, v->cr0_owned);
    vmwrite(VMCS_CR4_MASK, v->cr4_owned);
}

static void clear_vmcs(const struct vcpu *v)
{
    bool failed;

    __asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(v->vmcs) : "memory");
    invariant(!failed);
}

/* On this CPU: what the VMCS says of the host is the CPU's own. */
static void load_vmcs(struct vcpu *v)
{
    bool failed;

    __asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(v->vmcs) : "memory");
    invariant(!failed);
    this_cpu()->vcpu = v;
    v->armed = 0;
    write_host_state();
}

enum status vcpu_create(struct vcpu *v, struct vm *vm, unsigned index)
{
    hpa_t cache;

    memset(v, 0, sizeof(*v));
    v->vm = vm;
    v->index = index;
    v->state.xcr0 = 1;
    v->clock = index ? &vm->parts.cpu_clock[index] : vm->parts.clock;
    v->preemption_timer = vm->caps->preemption_timer;
    v->preemption_shift = vm->caps->preemption_shift;
    TRY(vmx_alloc_region(vm->caps, "vmcs", &v->vmcs));
    TRY(mem_alloc(emu_cache_size(), PAGE_SIZE, "decode cache", &cache));
    v->emu.cache = phys_to_virt(cache);
    emu_cache_init(v->emu.cache);

    clear_vmcs(v);
    load_vmcs(v);
    TRY(write_controls(v));
    write_fixed_fields(v);
    return STATUS_OK;
}

void vcpu_destroy(struct vcpu *v)
{
    if (v->vmcs.v) {
        clear_vmcs(v);
        mem_free(v->vmcs);
    }
    if (v->emu.cache)
        mem_free(virt_to_phys(v->emu.cache));
    if (this_cpu()->vcpu == v)
        this_cpu()->vcpu = NULL;
}

void vcpu_make_current(struct vcpu *v)
{
    struct vcpu *before = this_cpu()->vcpu;

    if (before == v)
        return;
    if (before)
        vcpu_release(before);
    load_vmcs(v);
    if (cpu_has(CPU_XSAVE))
        xsetbv(0, v->state.xcr0);
    v->state.dirty |= STATE_LIVE;
    v->requests |= REQUEST_FLUSH_TLB; /* it may have been elsewhere meanwhile */
}

void vcpu_release(struct vcpu *v)
{
    if (this_cpu()->vcpu != v)
        return;
    vcpu_load(v, STATE_ALL);
    clear_vmcs(v);
    v->launched = false;
    this_cpu()->vcpu = NULL;
}

void vcpu_post(struct vcpu *v, u32 requests)
{
    unsigned host = v->vm->host[v->index];

    atomic_fetch_or(&v->posted, requests);
    if (atomic_load(&v->active) && host != cpu_number())
        cpus_kick(host);
}

void vcpu_power_on(struct vcpu *v)
{
    static const u32 cleared[] = {MSR_IA32_STAR, MSR_IA32_LSTAR, MSR_IA32_CSTAR, MSR_IA32_FMASK,
                                  MSR_IA32_KERNEL_GS_BASE};

    v->misc_enable =
        MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE;
    v->mcg_status = 0;
    v->tsc_adjust = v->tsc_offset = 0;
    vmwrite(VMCS_TSC_OFFSET, v->tsc_offset);
    vmwrite(VMCS_GUEST_DEBUGCTL, 0ull);
    vmwrite(VMCS_GUEST_PAT, PAT_RESET);
    for (unsigned i = 0; i < ARRAY_SIZE(cleared); i++)
        wrmsr(cleared[i], 0);
}

void vcpu_set_state(struct vcpu *v, const struct x86_state *initial)
{
    v->state = *initial;
    v->state.valid = v->state.dirty = STATE_ALL;
    v->event.vector = VECTOR_NONE;
    v->requests = REQUEST_INTERRUPT | REQUEST_FLUSH_TLB;
    if (v->vm->debug.rows) {
        v->debug.rearm = true;
        v->requests |= REQUEST_DEBUG;
    }
    v->nmi_pending = v->interrupt_waits = v->reinject = false;
    v->interrupt_window = v->nmi_window = false;
    vcpu_control(v, PROC_INTERRUPT_WINDOW_EXITING | PROC_NMI_WINDOW_EXITING, false);
    vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, 0);
    v->state.xcr0 = initial->xcr0 ? initial->xcr0 : 1;
    if (cpu_has(CPU_XSAVE))
        xsetbv(0, v->state.xcr0);
}

static void load_segment(struct segment *s, unsigned i)
{
    s->selector = vmread(VMCS_SEG_SELECTOR(i));
    s->limit = vmread(VMCS_SEG_LIMIT(i));
    s->access = vmread(VMCS_SEG_ACCESS(i));
    s->base = vmread(VMCS_SEG_BASE(i));
}

/* Debug registers that breakpoints are in are not the guest's now. */
static void load_live(struct vcpu *v)
{
    struct x86_state *s = &v->state;
    const u64 dr[] = {dr0_read(), dr1_read(), dr2_read(), dr3_read()};

    s->cr2 = cr2_read();
    for (unsigned n = 0; n < ARRAY_SIZE(dr); n++)
        if (!(v->debug.armed & BIT(n)))
            s->dr[n] = dr[n];
    s->dr6 = dr6_read();
}

static void flush_live(const struct vcpu *v, const struct x86_state *s)
{
    u64 dr[4];

    cr2_write(s->cr2);
    for (unsigned n = 0; n < ARRAY_SIZE(dr); n++)
        dr[n] = v->debug.armed & BIT(n) ? v->debug.ours[n] : s->dr[n];
    dr0_write(dr[0]);
    dr1_write(dr[1]);
    dr2_write(dr[2]);
    dr3_write(dr[3]);
    dr6_write(s->dr6);
}

/* Groups that are fields of the VMCS as they stand: X(group, field, member). */
#define USUAL_FIELDS(X)                   \
    X(STATE_RIP, GUEST_RIP, rip)          \
    X(STATE_RSP, GUEST_RSP, gpr[RSP])     \
    X(STATE_RFLAGS, GUEST_RFLAGS, rflags) \
    X(STATE_INTERRUPTIBILITY, GUEST_INTERRUPTIBILITY, interruptibility)
#define RARE_FIELDS(X)                                         \
    X(STATE_GDTR, GUEST_GDTR_BASE, gdtr.base)                  \
    X(STATE_GDTR, GUEST_GDTR_LIMIT, gdtr.limit)                \
    X(STATE_IDTR, GUEST_IDTR_BASE, idtr.base)                  \
    X(STATE_IDTR, GUEST_IDTR_LIMIT, idtr.limit)                \
    X(STATE_PDPTE, GUEST_PDPTE0, pdpte[0])                     \
    X(STATE_PDPTE, GUEST_PDPTE1, pdpte[1])                     \
    X(STATE_PDPTE, GUEST_PDPTE2, pdpte[2])                     \
    X(STATE_PDPTE, GUEST_PDPTE3, pdpte[3])                     \
    X(STATE_PENDING_DEBUG, GUEST_PENDING_DEBUG, pending_debug) \
    X(STATE_SYSENTER, GUEST_SYSENTER_ESP, sysenter_esp)        \
    X(STATE_SYSENTER, GUEST_SYSENTER_EIP, sysenter_eip)
#define LOAD_FIELD(group, field, member) \
    if (want & (group))                  \
        s->member = vmread(VMCS_##field);
#define FLUSH_FIELD(group, field, member) \
    if (dirty & (group))                  \
        vmwrite(VMCS_##field, s->member);

static void load_rare(struct vcpu *v, u32 want)
{
    struct x86_state *s = &v->state;

    RARE_FIELDS(LOAD_FIELD)
    if (want & STATE_SYSENTER)
        s->sysenter_cs = vmread(VMCS_GUEST_SYSENTER_CS);
    if (want & STATE_DR7)
        s->dr7 = v->debug.armed ? v->debug.guest_dr7 : vmread(VMCS_GUEST_DR7);
    if (want & STATE_ACTIVITY)
        s->activity = (enum activity)vmread(VMCS_GUEST_ACTIVITY);
    if (want & STATE_LIVE)
        load_live(v);
}

#define STATE_RARE                                                                              \
    (STATE_GDTR | STATE_IDTR | STATE_PDPTE | STATE_DR7 | STATE_PENDING_DEBUG | STATE_ACTIVITY | \
     STATE_SYSENTER | STATE_LIVE)

void vcpu_load_groups(struct vcpu *v, u32 groups)
{
    struct x86_state *s = &v->state;
    u32 want = groups & ~s->valid;

    s->valid |= groups | (groups & STATE_SEG(SEG_CS) ? STATE_CS_ACCESS : 0);
    want &= ~shape_kept(&v->dress);
    USUAL_FIELDS(LOAD_FIELD)
    if (want & STATE_CR0)
        s->cr0 = (vmread(VMCS_GUEST_CR0) & ~v->cr0_owned) | v->cr0_shown;
    if (want & STATE_CR3)
        s->cr3 = vmread(VMCS_GUEST_CR3);
    if (want & STATE_CR4)
        s->cr4 = (vmread(VMCS_GUEST_CR4) & ~v->cr4_owned) | v->cr4_shown;
    if (want & STATE_EFER)
        s->efer = vmread(VMCS_GUEST_EFER);
    if (want & STATE_CS_ACCESS)
        s->seg[SEG_CS].access = vmread(VMCS_GUEST_CS_ACCESS);
    for (u32 segs = (want & STATE_SEGMENTS) / STATE_SEG0; segs; segs &= segs - 1) {
        unsigned i = (unsigned)__builtin_ctz(segs);
        load_segment(&s->seg[i], i);
    }
    if (want & STATE_RARE)
        load_rare(v, want);
    if (unlikely(v->dress.shape == SHAPE_VM86))
        shape_undress(&v->dress, want, s);
}

static void flush_segment(const struct segment *s, unsigned i)
{
    vmwrite(VMCS_SEG_SELECTOR(i), s->selector);
    vmwrite(VMCS_SEG_LIMIT(i), s->limit);
    vmwrite(VMCS_SEG_ACCESS(i), s->access);
    vmwrite(VMCS_SEG_BASE(i), s->base);
}

void vcpu_show_cr0(struct vcpu *v)
{
    v->cr0_shown = v->state.cr0 & v->cr0_owned;
    vmwrite(VMCS_CR0_SHADOW, v->state.cr0);
}

/* `s` is what the CPU is to run with; the guest reads what is in v->state. */
static void flush_control_registers(struct vcpu *v, const struct x86_state *s, u32 dirty)
{
    const struct vmx_caps *caps = v->vm->caps;

    if (dirty & STATE_CR0) {
        u64 fixed1 = caps->cr0_fixed0;
        if (v->vm->unrestricted)
            fixed1 &= ~(CR0_PE | CR0_PG); /* SDM vol. 3C, 26.3.1.1 */
        vcpu_show_cr0(v);
        vmwrite(VMCS_GUEST_CR0, ((s->cr0 & ~CR0_CACHE) | fixed1) & caps->cr0_fixed1);
    }
    if (dirty & STATE_CR4) {
        v->cr4_shown = v->state.cr4 & v->cr4_owned;
        vmwrite(VMCS_CR4_SHADOW, v->state.cr4);
        vmwrite(VMCS_GUEST_CR4, (s->cr4 | caps->cr4_fixed0) & caps->cr4_fixed1);
    }
    if (dirty & STATE_EFER) {
        u32 entry = v->entry_controls & ~(u32)ENTRY_IA32E_MODE;
        if (s->efer & EFER_LMA)
            entry |= ENTRY_IA32E_MODE;
        v->entry_controls = entry;
        vmwrite(VMCS_ENTRY_CONTROLS, entry);
        vmwrite(VMCS_GUEST_EFER, s->efer);
    }
}

/* Breakpoints of ours have the registers they are in to themselves. */
static u64 dr7_with_ours(struct vcpu *v, u64 guest)
{
    v->debug.guest_dr7 = guest;
    for (unsigned n = 0; n < 4; n++)
        if (v->debug.armed & BIT(n))
            guest = (guest & ~(3ull << 2 * n | 15ull << (16 + 4 * n))) | 2ull << 2 * n;
    return guest;
}

/* While it enables nothing a change of it exits, so that no other exit need look whether it does.
 */
static void flush_dr7(struct vcpu *v, u64 guest)
{
    u64 dr7 = dr7_with_ours(v, guest);

    vmwrite(VMCS_GUEST_DR7, dr7);
    vcpu_control(v, PROC_MOV_DR_EXITING, v->debug.armed || !(dr7 & DR7_ENABLED));
    v->dr7_idle = !(dr7 & DR7_ENABLED) && (v->proc_controls & PROC_MOV_DR_EXITING);
}

static void flush_rare(struct vcpu *v, const struct x86_state *s, u32 dirty)
{
    RARE_FIELDS(FLUSH_FIELD)
    if (dirty & STATE_SYSENTER)
        vmwrite(VMCS_GUEST_SYSENTER_CS, (u32)s->sysenter_cs);
    if (dirty & STATE_DR7)
        flush_dr7(v, s->dr7);
    if (dirty & STATE_LIVE)
        flush_live(v, s);
    /* HLT is waited for outside the guest (run.c), so it is always entered active. */
    if (dirty & STATE_ACTIVITY)
        vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
}

static void flush(struct vcpu *v, const struct x86_state *s, u32 dirty)
{
    USUAL_FIELDS(FLUSH_FIELD)
    if (dirty & ~(u32)(STATE_RIP | STATE_RSP | STATE_RFLAGS | STATE_INTERRUPTIBILITY)) {
        if (dirty & (STATE_CR0 | STATE_CR4 | STATE_EFER))
            flush_control_registers(v, s, dirty);
        if (dirty & STATE_CR3)
            vmwrite(VMCS_GUEST_CR3, s->cr3);
        for (u32 segs = (dirty & STATE_SEGMENTS) / STATE_SEG0; segs; segs &= segs - 1) {
            unsigned i = (unsigned)__builtin_ctz(segs);
            flush_segment(&s->seg[i], i);
        }
        if (dirty & STATE_RARE)
            flush_rare(v, s, dirty);
    }
}

void vcpu_flush(struct vcpu *v)
{
    struct x86_state dressed;

    if (likely(v->dress.shape == SHAPE_DIRECT)) {
        flush(v, &v->state, v->state.dirty);
    } else {
        shape_dress(&v->dress, v->dress.shape, &v->state, &dressed);
        flush(v, &dressed, v->state.dirty);
    }
    v->state.dirty = 0;
}

bool vcpu_ready_otherwise(struct vcpu *v, u64 now, u64 deadline)
{
    if (v->preemption_timer)
        vmwrite(VMCS_PREEMPTION_TIMER, (u32)((deadline - now) >> v->preemption_shift) + 1);
    else if (v->armed != deadline)
        apic_timer_arm(v->armed = deadline);
    vcpu_flush(v);
    return true;
}

bool vcpu_change_shape(struct vcpu *v)
{
    enum shape shape = shape_wanted(v->vm->unrestricted, v->vm->real_mode, &v->state);

    if (shape == v->dress.shape)
        return false;
    v->dress.shape = (u8)shape;
    v->state.dirty = STATE_ALL;
    vmwrite(VMCS_EXCEPTION_BITMAP, shape == SHAPE_VM86 ? ~0u : exceptions(v->vm));
    vcpu_control(v, PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING, shape != SHAPE_DIRECT);
    vcpu_flush_tlb(v);
    return true;
}

void vcpu_control(struct vcpu *v, u32 bit, bool on)
{
    u32 value = on ? v->proc_controls | bit : v->proc_controls & ~bit;

    value &= (u32)v->vm->caps->bits[CAP_PROC];
    if (value != v->proc_controls)
        vmwrite(VMCS_PROC_CONTROLS, value);
    v->proc_controls = value;
}

u64 vcpu_exits(const struct vcpu *v, u64 *ticks)
{
    u64 count = 0;

    *ticks = 0;
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        count += i == EXIT_NONE ? 0 : v->stat[i].count;
        *ticks += v->stat[i].ticks;
    }
    return count;
}
