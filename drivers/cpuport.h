/* SPDX-License-Identifier: MIT
 *
 * The two contracts between a virtual CPU and its interrupt controller, so that neither knows the
 * other: what the run loop asks of the controller (intc_ops), and what devices do to CPUs and to
 * the machine (cpu_port).
 */
#pragma once

#include "lib/types.h"

/* Asked by the run loop.  cpu is the virtual CPU's number. */
struct intc_ops {
    /* The vector (0..255) that would be delivered now were interrupts enabled, or -1; 0x1xx = from
     * the 8259 (ExtINT).  Already above the processor priority.  Changes nothing. */
    int (*pending)(void *intc, unsigned cpu);

    /* Accept that interrupt: IRR -> ISR (or 8259 INTA); returns the vector. */
    u8 (*accept)(void *intc, unsigned cpu);

    /* CR8 as the task-priority class, 0..15. */
    u8 (*read_cr8)(void *intc, unsigned cpu);
    void (*write_cr8)(void *intc, unsigned cpu, u8 value);

    /* False while IA32_APIC_BASE has it off: CPUID then shows none (SDM vol. 3A, 10.4.3). */
    bool (*enabled)(void *intc, unsigned cpu);

    /* INIT or power-on reset of this CPU's controller; bsp says whether it is CPU 0. */
    void (*reset)(void *intc, unsigned cpu);

    /* This CPU's TSC now reads the clock plus offset (0 at first): IA32_TSC_DEADLINE is a TSC. */
    void (*set_tsc_offset)(void *intc, unsigned cpu, u64 offset);
};

struct intc {
    const struct intc_ops *ops;
    void *ctx;
};

enum machine_event { MACHINE_RESET, MACHINE_POWEROFF, MACHINE_DEBUG_EXIT };

/* Done to virtual CPUs and to their machine by devices. */
struct cpu_port {
    void *ctx;
    /* Something about `cpu`'s pending interrupts changed: look again before the next entry. */
    void (*kick)(void *ctx, unsigned cpu);
    void (*nmi)(void *ctx, unsigned cpu);
    void (*init)(void *ctx, unsigned cpu);
    void (*sipi)(void *ctx, unsigned cpu, u8 vector);
    /* End of the machine's life (code: exit status of a debug-exit), `by` names the cause. */
    void (*machine)(void *ctx, enum machine_event event, u32 code, const char *by);
};
