/* SPDX-License-Identifier: MIT
 *
 * The emulator's operations.  Devices live behind the bus, so an access completes inside the
 * instruction: nothing is left half-way.
 */
#include "vmx/emulate.h"

#include "arch/x86/cpu.h"
#include "arch/x86/memory.h"
#include "arch/x86/paging.h"
#include "arch/x86/stub.h"
#include "lib/msr.h"
#include "lib/string.h"
#include "vmx/cr.h"
#include "vmx/debug_points.h"
#include "vmx/hypercall.h"
#include "vmx/inject.h"
#include "vmx/life.h"
#include "vmx/msr.h"
#include "vmx/trace.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

static void op_load(void *ctx, u32 groups) { vcpu_load(ctx, groups); }

static void *op_ram(void *ctx, gpa_t gpa, enum emu_access access)
{
    struct vcpu *v = ctx;
    const struct gmem *mem = v->vm->parts.mem;

    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *r = &mem->region[i];
        u64 offset = gpa.v - r->base.v;
        if (offset < r->size)
            return r->kind == GMEM_ROM && (access & EMU_WRITE) ? NULL : r->host + offset;
    }
    return NULL;
}

static void *op_ram_watched(void *ctx, gpa_t gpa, enum emu_access access)
{
    return debug_hides(ctx, gpa, access) ? NULL : op_ram(ctx, gpa, access);
}

static void *op_window(void *ctx, gpa_t first, gpa_t second)
{
    const void *a = op_ram(ctx, first, EMU_WRITE), *b = op_ram(ctx, second, EMU_WRITE);

    return a && b ? paging_map_pair(virt_to_phys(a), virt_to_phys(b)) : NULL;
}

/* An access to another device page than the last one: find it, and remember it. */
static unsigned find_device(struct vcpu *v, u64 gpa)
{
    struct bus *bus = v->vm->parts.bus;
    unsigned number = bus_find_mmio(bus, gpa);

    v->mmio = number == BUS_UNCLAIMED ? NULL : &bus->mmio[number];
    return number;
}

static __attribute__((noinline)) u64 mmio_read_elsewhere(struct vcpu *v, gpa_t gpa, unsigned size)
{
    unsigned number = find_device(v, gpa.v);
    u64 value;

    if (number == BUS_UNCLAIMED && debug_access(v, gpa, size, &value, false))
        return value;
    return bus_mmio_read(v->vm->parts.bus, number, v->index, gpa.v, size);
}

static __attribute__((noinline)) void mmio_write_elsewhere(struct vcpu *v, gpa_t gpa, unsigned size,
                                                           u64 value)
{
    unsigned number = find_device(v, gpa.v);

    if (number != BUS_UNCLAIMED || !debug_access(v, gpa, size, &value, true))
        bus_mmio_write(v->vm->parts.bus, number, v->index, gpa.v, size, value);
}

/* A device may end the machine by an access; that sets REQUEST_STOP, which the run loop and
 * op_interrupted() look at: the instruction is the last. */
static u64 op_mmio_read(void *ctx, gpa_t gpa, unsigned size)
{
    struct vcpu *v = ctx;
    struct bus_range *r = v->mmio;

    if (likely(r && bus_range_holds(r, gpa.v, size)))
        return bus_range_read(r, v->index, gpa.v, size);
    return mmio_read_elsewhere(v, gpa, size);
}

static void op_mmio_write(void *ctx, gpa_t gpa, unsigned size, u64 value)
{
    struct vcpu *v = ctx;
    struct bus_range *r = v->mmio;

    if (likely(r && bus_range_holds(r, gpa.v, size)))
        bus_range_write(r, v->index, gpa.v, size, value);
    else
        mmio_write_elsewhere(v, gpa, size, value);
}

/* A repeated string instruction looks at pending events after this many elements. */
#define PORT_BURST 4096u

static void op_port_in(void *ctx, u16 port, unsigned size, void *data, u64 *count)
{
    struct vcpu *v = ctx;
    u8 *at = data;
    u64 todo = *count < PORT_BURST ? *count : PORT_BURST;

    *count = 0;
    do {
        u32 value = bus_port_read(v->vm->parts.bus, v->index, port, size);
        __builtin_memcpy(at, &value, size);
        at += size;
    } while (++*count < todo && !(v->requests & REQUEST_STOP));
}

static void op_port_out(void *ctx, u16 port, unsigned size, const void *data, u64 *count)
{
    struct vcpu *v = ctx;
    const u8 *at = data;
    u64 todo = *count < PORT_BURST ? *count : PORT_BURST;

    *count = 0;
    do {
        u32 value = 0;
        __builtin_memcpy(&value, at, size);
        bus_port_write(v->vm->parts.bus, v->index, port, size, value);
        at += size;
    } while (++*count < todo && !(v->requests & REQUEST_STOP));
}

static enum emu_status op_write_cr(void *ctx, unsigned cr, u64 value)
{
    return cr_write(ctx, cr, value);
}

static u64 op_read_cr8(void *ctx)
{
    struct vcpu *v = ctx;
    return v->vm->parts.intc.ops->read_cr8(v->vm->parts.intc.ctx, v->index);
}

static enum emu_status op_read_msr(void *ctx, u32 msr, u64 *value)
{
    struct vcpu *v = ctx;
    return msr_read(v, msr, value) ? EMU_DONE : emu_raise(&v->emu, VECTOR_GP, true, 0);
}

static enum emu_status op_write_msr(void *ctx, u32 msr, u64 value)
{
    struct vcpu *v = ctx;
    return msr_write(v, msr, value) ? EMU_DONE : emu_raise(&v->emu, VECTOR_GP, true, 0);
}

static void op_cpuid(void *ctx, u32 leaf, u32 subleaf, u32 out[4])
{
    cpuid_answer(ctx, leaf, subleaf, out);
}

static u64 op_read_tsc(void *ctx) { return rdtsc() + ((struct vcpu *)ctx)->tsc_offset; }

static void op_invalidate(void *ctx, bool all, gva_t gva)
{
    (void)all;
    (void)gva;
    vcpu_flush_tlb(ctx);
}

static bool op_interrupted(void *ctx)
{
    const struct vcpu *v = ctx;
    return v->requests != 0 || rdtsc() >= clock_next(v->clock);
}

static enum emu_status write_xcr0(struct vcpu *v, u64 value)
{
    u64 allowed = v->vm->cpuid.xcr0_allowed;
    const u64 avx512 = BIT64(5) | BIT64(6) | BIT64(7);

    /* SDM vol. 1, 13.3: x87 always, AVX needs SSE, AVX-512 comes whole and needs AVX. */
    if (!(value & 1) || (value & ~allowed) || ((value & BIT64(2)) && !(value & BIT64(1))) ||
        ((value & avx512) && ((value & avx512) != avx512 || !(value & BIT64(2)))))
        return emu_raise(&v->emu, VECTOR_GP, true, 0);
    v->state.xcr0 = value;
    xsetbv(0, value);
    return EMU_DONE;
}

static enum emu_status op_special(void *ctx, unsigned op, u64 operand, u64 operand2)
{
    struct vcpu *v = ctx;

    switch (op) {
    case EMU_OP_XSETBV:
        if (operand != 0)
            return emu_raise(&v->emu, VECTOR_GP, true, 0);
        return write_xcr0(v, operand2);
    case EMU_OP_WBINVD:
    case EMU_OP_INVD:
        /* No device of ours reads memory behind the caches, and a guest may not empty the host's.
         */
    case EMU_OP_PAUSE: return EMU_DONE;
    case EMU_OP_INVPCID: vcpu_flush_tlb(v); return EMU_DONE;
    case EMU_OP_VMCALL: return hypercall(v);
    case EMU_OP_RDPMC:
        /* CPUID shows no counters (leaf 0AH reads 0). */
        return emu_raise(&v->emu, VECTOR_GP, true, 0);
    default: return emu_raise(&v->emu, VECTOR_UD, false, 0);
    }
}

static u8 op_run_native(void *ctx, struct emu_native *n)
{
    struct stub_regs r = {.rsi = n->rsi, .rdi = (u64)(uintptr_t)n->memory, .flags = n->flags};

    (void)ctx;
    memcpy(r.gpr, n->gpr, sizeof(r.gpr));
    u8 vector = stub_run(n->code, &r, &n->at);
    memcpy(n->gpr, r.gpr, sizeof(r.gpr));
    n->rsi = r.rsi;
    n->flags = r.flags;
    return vector;
}
_Static_assert(STUB_DONE == VECTOR_NONE && STUB_FLAGS == EMU_ARITH_FLAGS, "one meaning");

static const struct emu_ops ops = {
    .load = op_load,
    .ram = op_ram,
    .window = op_window,
    .mmio_read = op_mmio_read,
    .mmio_write = op_mmio_write,
    .port_in = op_port_in,
    .port_out = op_port_out,
    .write_cr = op_write_cr,
    .read_cr8 = op_read_cr8,
    .read_msr = op_read_msr,
    .write_msr = op_write_msr,
    .cpuid = op_cpuid,
    .read_tsc = op_read_tsc,
    .invalidate = op_invalidate,
    .interrupted = op_interrupted,
    .special = op_special,
    .run_native = op_run_native,
};

void emulate_init(struct vcpu *v)
{
    v->emu.state = &v->state;
    v->emu.ops = &ops;
    v->emu.ctx = v;
    v->emu.features = v->vm->cpuid.features;
    v->emu.phys_bits = v->vm->cpuid.phys_bits;
    v->emu.record.code = &v->emu.fetched; /* a task switch decodes none */
    v->emu.vmware_ports = v->vm->parts.vmware_ports;
}

static __attribute__((noinline)) enum exit_action unimplemented(struct vcpu *v)
{
    const struct emu_record *r = &v->emu.record;
    const struct emu_code *c = r->code;
    char text[96], bytes[3 * sizeof(c->bytes) + 1];
    size_t n = 0;

    if (debug_unknown(v))
        return EXIT_CONTINUE;
    bytes[0] = 0;
    for (unsigned i = 0; i < c->length; i++)
        n += format_buf(bytes + n, sizeof(bytes) - n, "%02x ", c->bytes[i]);
    (void)emu_disassemble(c->bytes, c->length, (enum emu_mode)c->mode, r->rip, text, sizeof(text),
                          NULL, NULL);
    return vm_stop_with_report(v, "the emulator does not know this instruction: %s(%s) at %#llx",
                               bytes, text, (unsigned long long)r->rip);
}

static __attribute__((noinline)) enum exit_action finish_special(struct vcpu *v,
                                                                 enum emu_status status)
{
    switch (status) {
    case EMU_DONE:
        if (v->emu.event.vector != VECTOR_NONE)
            inject_event(v, &v->emu.event);
        if (unlikely(v->state.activity == ACTIVITY_HLT))
            v->requests |= REQUEST_HALTED;
        return EXIT_CONTINUE;
    case EMU_FAULT: return inject_fault(v, &v->emu.event);
    case EMU_RETRY: return EXIT_CONTINUE;
    case EMU_STOP: return EXIT_END;
    case EMU_TRIPLE_FAULT:
        vm_finish(v->vm, VM_END_TRIPLE_FAULT, 0, "triple fault while an event was delivered");
        return EXIT_END;
    case EMU_UNIMPLEMENTED: break;
    }
    return unimplemented(v);
}

enum exit_action emulate_finish(struct vcpu *v, enum emu_status status)
{
    if (likely(emu_is_plain(&v->emu, status)))
        return EXIT_CONTINUE;
    return finish_special(v, status);
}

/* Does the guest watch what is emulated: by breakpoints, or single steps from branch to branch? */
static inline bool is_watched(const struct vcpu *v)
{
    u64 dr7 = v->state.valid & STATE_DR7 ? v->state.dr7
              : likely(v->dr7_idle)      ? 0
                                         : vmread(VMCS_GUEST_DR7);
    return (dr7 & DR7_ENABLED) || (v->state.rflags & RFLAGS_TF);
}

static __attribute__((noinline)) enum emu_status step_watched(struct vcpu *v)
{
    vcpu_load(v, STATE_DR7 | STATE_LIVE | STATE_PENDING_DEBUG);
    return emu_step_watched(&v->emu, vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
}

static inline enum emu_status step(struct vcpu *v)
{
    vcpu_load_base(v);
    vm_lock(v->vm); /* over the whole instruction: a locked one on a device's page is one access */
    enum emu_status status = unlikely(is_watched(v)) ? step_watched(v) : emu_step(&v->emu);
    vm_unlock(v->vm);
    v->emu.fault_allows = 0;
    return status;
}

bool emulate_known(struct vcpu *v, enum emu_reason why, enum exit_action *action)
{
    enum emu_status status = step(v);

    if (status == EMU_UNIMPLEMENTED)
        return false;
    if (v->tracing)
        trace_emulated(v, why);
    *action = emulate_finish(v, status);
    return true;
}

void emulate_watch(struct vcpu *v, bool on)
{
    v->debug.ops = ops;
    v->debug.ops.ram = op_ram_watched;
    v->emu.ops = on ? &v->debug.ops : &ops;
    emu_forget(&v->emu);
}

enum exit_action emulate_event(struct vcpu *v)
{
    struct emu_event event;

    vcpu_load(v, STATE_BASE);
    if (!inject_take(v, &event))
        return EXIT_CONTINUE;
    /* A trap that was due is delivered or lost to this event; some CPUs do not clear it at an exit.
     */
    v->state.pending_debug = 0;
    v->state.valid |= STATE_PENDING_DEBUG;
    v->state.dirty |= STATE_PENDING_DEBUG;
    return emulate_delivery(v, &event);
}

enum exit_action emulate_delivery(struct vcpu *v, const struct emu_event *event)
{
    vm_lock(v->vm); /* the stack may be a device's */
    enum emu_status status = emu_deliver(&v->emu, event);
    vm_unlock(v->vm);
    return emulate_finish(v, status);
}

enum exit_action emulate_usual(struct vcpu *v) { return emulate_finish(v, step(v)); }

enum exit_action emulate_one(struct vcpu *v, enum emu_reason why)
{
    enum emu_status status = step(v);

    if (v->tracing)
        trace_emulated(v, why);
    return emulate_finish(v, status);
}

enum exit_action emulate_many(struct vcpu *v, u32 until, unsigned *count)
{
    vcpu_load_base(v);
    vm_lock(v->vm);
    enum emu_status status;
    if (unlikely(is_watched(v))) {
        status = step_watched(v);
        *count = 1;
    } else {
        status = emu_run(&v->emu, until | STATE_DR7, count);
    }
    vm_unlock(v->vm);
    return emulate_finish(v, status);
}

enum exit_action emulate_access(struct vcpu *v, gva_t gva, gpa_t gpa, bool write)
{
    v->emu.fault_gva = gva;
    v->emu.fault_gpa = gpa;
    v->emu.fault_allows = write ? 2 : 1;
    return emulate_usual(v);
}
