/* SPDX-License-Identifier: MIT
 *
 * ACPI fixed hardware, ACPI 6.4, 4.8.3: the PM1a event and control blocks and the power-management
 * timer.  The machine is always in ACPI mode (the FADT's SMI_CMD is 0).
 */
#pragma once

#include "drivers/bus.h"
#include "drivers/clock.h"
#include "drivers/cpuport.h"
#include "drivers/irqline.h"
#include "lib/format.h"

#define VPM_TIMER_HZ 3579545u

/* Ports, relative to the base; for the FADT. */
#define VPM_PM1A_EVT   0 /* PM1_EVT_LEN 4: status, enable */
#define VPM_PM1A_CNT   4 /* PM1_CNT_LEN 2 */
#define VPM_PM_TMR     8 /* PM_TMR_LEN 4; FADT flag TMR_VAL_EXT when 32 bits wide */
#define VPM_PORTS      12
#define VPM_SLP_TYP_S5 5 /* for \_S5 in the DSDT */

struct vpm {
    u16 status, enable, control;
    bool wide;   /* 32-bit timer */
    u64 toggles; /* how often the timer's top bit had changed when TMR_STS was last brought up */
    struct irqline sci;
    struct clock *clock;
    struct timer timer;
    const struct cpu_port *port;
};

/* base: e.g. 600H; sci: level-triggered, e.g. IRQ 9; wide: 32-bit instead of 24-bit timer. */
CHECKED enum status vpm_init(struct vpm *p, struct bus *b, struct clock *c, u16 base,
                             struct irqline sci, bool wide, const struct cpu_port *port);

/* Press the power button: an SCI, if the guest enabled it. */
void vpm_press_power(struct vpm *p);

void vpm_show(const struct vpm *p, struct sink *out);
