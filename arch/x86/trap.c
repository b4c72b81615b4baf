/* SPDX-License-Identifier: MIT
 *
 * Handling of the hypervisor's own exceptions: fixups first, then panic.  Interrupts go on to
 * arch/x86/irq.c.
 */
#include "arch/x86/trap.h"

#include "arch/x86/cpu.h"
#include "arch/x86/irq.h"
#include "arch/x86/machine.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"

/* 64-bit interrupt gate, SDM vol. 3A, figure 6-8. */
struct gate {
    u16 offset_low, selector;
    u8 ist, type;
    u16 offset_middle;
    u32 offset_high, reserved;
};
#define GATE_INTERRUPT 0x8e /* present, DPL 0, 64-bit interrupt gate */

#define TRAP_STUB_SIZE 16 /* as in arch/x86/trap_entry.asm */

/* Exception vectors that are treated apart, SDM vol. 3A, table 6-1. */
enum { TRAP_DB = 1, TRAP_NMI = 2, TRAP_BP = 3, TRAP_DF = 8, TRAP_PF = 14, TRAP_MC = 18 };
#define TRAP_FIRST_IRQ 32

static const char *const trap_names[TRAP_FIRST_IRQ] = {
    "#DE divide error",
    "#DB debug",
    "NMI",
    "#BP breakpoint",
    "#OF overflow",
    "#BR bound range",
    "#UD invalid opcode",
    "#NM no coprocessor",
    "#DF double fault",
    "coprocessor overrun",
    "#TS invalid TSS",
    "#NP segment not present",
    "#SS stack fault",
    "#GP general protection",
    "#PF page fault",
    "vector 15",
    "#MF x87 error",
    "#AC alignment check",
    "#MC machine check",
    "#XM SIMD error",
    "#VE virtualization",
    "#CP control protection",
};

extern const u8 trap_stubs[];
void trap_handle(struct trap_frame *frame);

static struct gate trap_idt[256] __attribute__((aligned(16)));

void trap_init(void)
{
    for (unsigned v = 0; v < 256; v++) {
        u64 stub = (u64)(uintptr_t)(trap_stubs + v * TRAP_STUB_SIZE);
        trap_idt[v] = (struct gate){
            .offset_low = (u16)stub,
            .selector = SELECTOR_CODE,
            .type = GATE_INTERRUPT,
            .offset_middle = (u16)(stub >> 16),
            .offset_high = (u32)(stub >> 32),
        };
    }
    trap_idt[TRAP_NMI].ist = IST_NMI;
    trap_idt[TRAP_DF].ist = IST_DF;
    trap_idt[TRAP_MC].ist = IST_MC;
    trap_load();
}

void trap_load(void)
{
    const struct table_pointer idtr = {.limit = sizeof(trap_idt) - 1, .base = trap_idt_base()};
    lidt(&idtr);
}

u64 trap_idt_base(void) { return (u64)(uintptr_t)trap_idt; }

static bool trap_fixup(struct trap_frame *frame)
{
    if (frame->rip == this_cpu()->stub_at && frame->rip != 0) {
        frame->r8 = frame->vector; /* as if the stub had returned */
        frame->rip = *(const u64 *)(uintptr_t)frame->rsp;
        frame->rsp += 8;
        return true;
    }
    u64 to = fixup_find(frame->rip);

    if (to != 0)
        frame->rip = to;
    return to != 0;
}

static void trap_nmi(const struct trap_frame *frame)
{
    if (panic_in_progress()) { /* another CPU panicked and wants this one to stand still */
        struct percpu *p = this_cpu();
        p->stopped_rip = frame->rip;
        atomic_store(&p->stopped, true);
        machine_halt();
    }
    panic_trap(frame, "NMI that nobody expects: a hardware error, or a watchdog");
}

static _Noreturn void trap_panic(const struct trap_frame *frame)
{
    const char *name = frame->vector < TRAP_FIRST_IRQ ? trap_names[frame->vector] : NULL;
    u64 cr2 = cr2_read();
    const char *guard = percpu_guard_hit(cr2); /* CR2 outlives the #DF that a #PF leads to */

    if (guard && (frame->vector == TRAP_PF || frame->vector == TRAP_DF))
        panic_trap(frame, "overflow of the %s stack (%s)", guard, name);
    if (frame->vector == TRAP_PF)
        panic_trap(frame, "#PF page fault: %s of %#lx, %s",
                   frame->error_code & 16  ? "execution"
                   : frame->error_code & 2 ? "write"
                                           : "read",
                   cr2,
                   frame->error_code & 1 ? "which is not allowed there" : "which is not mapped");
    panic_trap(frame, "%s, error code %#lx", name ? name : "reserved exception", frame->error_code);
}

/* Called by trap_common with interrupts off. */
void trap_handle(struct trap_frame *frame)
{
    switch (frame->vector) {
    case TRAP_NMI: trap_nmi(frame); return;
    case TRAP_DB:
    case TRAP_BP:
    case TRAP_DF:
    case TRAP_MC: trap_panic(frame);
    default: break;
    }
    if (frame->vector >= TRAP_FIRST_IRQ)
        irq_dispatch((u8)frame->vector);
    else if (!trap_fixup(frame))
        trap_panic(frame);
}
