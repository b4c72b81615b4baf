/* SPDX-License-Identifier: MIT
 *
 * ACPI 6.4, 4.8.3: PM1 event and control registers and the power-management timer.
 */
#include "drivers/model/vpm.h"
#include "lib/bits.h"
#include "lib/string.h"

#define STS_TIMER BIT(0)
#define STS_POWER BIT(8)
#define EN_ALL    0x0721u

#define CNT_SCI_EN BIT(0)
#define CNT_KEPT   0x1c02u /* BM_RLD, SLP_TYP; GBL_RLS and SLP_EN read 0 */
#define CNT_TYP(v) ((v) >> 10 & 7)
#define CNT_SLP_EN BIT(13)

static unsigned width(const struct vpm *p) { return p->wide ? 32 : 24; }

static u64 counts(const struct vpm *p)
{
    return clock_ticks_to(p->clock, clock_now(p->clock), VPM_TIMER_HZ);
}

/* Status as of now: TMR_STS is set whenever the timer's top bit changes. */
static void sync(struct vpm *p)
{
    u64 toggles = counts(p) >> (width(p) - 1);

    if (toggles != p->toggles)
        p->status |= STS_TIMER;
    p->toggles = toggles;
}

static void update(struct vpm *p)
{
    bool sci = p->status & p->enable;

    irqline_set(&p->sci, sci);
    /* TMR_STS stays until it is cleared, so there is nothing to wait for meanwhile. */
    if ((p->enable & STS_TIMER) && !(p->status & STS_TIMER))
        clock_arm(p->clock, &p->timer,
                  clock_ticks_reach(p->clock, (p->toggles + 1) << (width(p) - 1), VPM_TIMER_HZ));
    else
        clock_disarm(p->clock, &p->timer);
}

static void fire(void *dev, u64)
{
    sync(dev);
    update(dev);
}

/* The registers in a row: 0 status, 2 enable, 4 control, 8 timer. */
static u64 port_read(void *dev, unsigned, u64 offset, unsigned size)
{
    struct vpm *p = dev;
    u32 row[4];

    sync(p);
    row[0] = p->status | (u32)p->enable << 16;
    row[1] = p->control;
    row[2] = (u32)bits_get(counts(p), width(p) - 1, 0);
    row[3] = 0;
    return ((row[offset / 4] | (u64)row[offset / 4 + 1] << 32) >> 8 * (offset & 3)) &
           mask_bytes(size);
}

static void write_control(struct vpm *p, u16 value)
{
    p->control = (u16)((value & CNT_KEPT) | CNT_SCI_EN); /* no legacy mode to go back to */
    if ((value & CNT_SLP_EN) && CNT_TYP(value) == VPM_SLP_TYP_S5)
        p->port->machine(p->port->ctx, MACHINE_POWEROFF, 0, "ACPI S5");
    /* Other sleeping states are not offered by the DSDT: the machine stays awake. */
}

static void write_byte(struct vpm *p, u64 offset, u8 value)
{
    unsigned shift = 8 * (offset & 1);
    u32 kept = 0xff00u >> shift, byte = (u32)value << shift;

    switch (offset & ~1ull) {
    case VPM_PM1A_EVT: /* write 1 to clear */ p->status &= (u16)~byte; break;
    case VPM_PM1A_EVT + 2: p->enable = (u16)(((p->enable & kept) | byte) & EN_ALL); break;
    case VPM_PM1A_CNT: write_control(p, (u16)((p->control & kept) | byte)); break;
    default: /* the timer is read-only */ break;
    }
}

static void port_write(void *dev, unsigned, u64 offset, unsigned size, u64 value)
{
    struct vpm *p = dev;

    sync(p);
    for (unsigned i = 0; i < size; i++)
        write_byte(p, offset + i, (u8)(value >> 8 * i));
    update(p);
}

enum status vpm_init(struct vpm *p, struct bus *b, struct clock *c, u16 base, struct irqline sci,
                     bool wide, const struct cpu_port *port)
{
    memset(p, 0, sizeof *p);
    p->clock = c;
    p->sci = sci;
    p->wide = wide;
    p->port = port;
    p->control = CNT_SCI_EN;
    p->timer.fire = fire;
    p->timer.dev = p;
    p->toggles = counts(p) >> (width(p) - 1);
    enum status s = bus_add_port(b, "acpi-pm", base, VPM_PORTS, port_read, port_write, p);
    bus_name_registers(b, "acpi-pm", "PM1_STS|PM1_EN|PM1_CNT||PM_TMR|PM_TMR", 1);
    return s;
}

void vpm_press_power(struct vpm *p)
{
    p->status |= STS_POWER;
    update(p);
}

void vpm_show(const struct vpm *p, struct sink *out)
{
    sink_printf(out, "ACPI power management\n");
    sink_printf(out, "  PM1_STS  %04x %s%s\n", p->status, p->status & STS_TIMER ? " TMR" : "",
                p->status & STS_POWER ? " PWRBTN" : "");
    sink_printf(out, "  PM1_EN   %04x %s%s\n", p->enable, p->enable & STS_TIMER ? " TMR" : "",
                p->enable & STS_POWER ? " PWRBTN" : "");
    sink_printf(out, "  PM1_CNT  %04x  SCI_EN %u, SLP_TYP %u\n", p->control,
                p->control & CNT_SCI_EN, CNT_TYP(p->control));
    sink_printf(out, "  PM_TMR   %08lx  %u bits\n", bits_get(counts(p), width(p) - 1, 0), width(p));
}
