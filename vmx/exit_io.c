/* SPDX-License-Identifier: MIT
 *
 * Port accesses.  Plain IN and OUT are done from the exit qualification (SDM vol. 3C, table 27-5);
 * string forms, which touch memory, go through the emulator.
 */
#include "arch/x86/cpu.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/vm.h"

#define IO_IN      BIT(3)
#define IO_STRING  BIT(4)
#define IO_SIZE(q) ((unsigned)((q)&7) + 1)
#define IO_PORT(q) ((u16)((q) >> 16))

/* An I/O breakpoint traps behind the access, which only we have seen (SDM vol. 3B, 17.3.1.2). */
static __attribute__((noinline)) void io_breakpoints(struct vcpu *v)
{
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);
    struct emu_event *db = &v->emu.event;

    vcpu_load(v, STATE_CR4 | STATE_DR7 | STATE_LIVE);
    u64 hit = emu_breakpoints(&v->state, IO_PORT(q), IO_SIZE(q), EMU_BREAK_IO);
    if (!hit)
        return;
    if (!(v->requests & REQUEST_EVENT)) /* else the single-step trap waits, which it joins */
        *db = (struct emu_event){.vector = VECTOR_DB, .type = EMU_EVENT_HARD_EXCEPTION};
    db->payload |= hit;
    inject_event(v, db);
}

static inline __attribute__((always_inline)) void access(struct vcpu *v, u64 q)
{
    static const u32 masks[8] = {0xff, 0xffff, 0, 0xffffffff};
    u64 *rax = &v->state.gpr[RAX];
    struct bus *bus = v->vm->parts.bus;
    u32 mask = masks[q & 7];

    if (q & IO_IN) {
        u32 value = bus_port_read(bus, v->index, IO_PORT(q), IO_SIZE(q)) & mask;
        *rax = mask == 0xffffffff ? value : (*rax & ~(u64)mask) | value;
    } else {
        bus_port_write(bus, v->index, IO_PORT(q), IO_SIZE(q), (u32)*rax & mask);
    }
}

/* The usual access is the rest of exit_io(). */
static __attribute__((noinline)) enum exit_action unusual(struct vcpu *v, u64 q)
{
    u64 dr7 = vmread(VMCS_GUEST_DR7);

    vm_lock(v->vm);
    access(v, q);
    vm_unlock(v->vm);
    enum exit_action action = exit_retire(v);
    if (dr7 & DR7_ENABLED)
        io_breakpoints(v);
    return action;
}

enum exit_action exit_io(struct vcpu *v)
{
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);

    if (unlikely(q & IO_STRING))
        return emulate_one(v, EMU_PIO);
    if (unlikely(v->vm->shared || !v->dr7_idle))
        return unusual(v, q);
    access(v, q);
    return exit_retire(v);
}
