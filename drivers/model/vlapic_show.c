/* SPDX-License-Identifier: MIT
 *
 * Local APICs in words, for the debug shell.
 */
#include "drivers/model/vlapic.h"
#include "drivers/model/vlapic_regs.h"

static const struct {
    u8 reg;
    const char *name;
} names[] = {
    {ID, "ID"},
    {VERSION, "VERSION"},
    {TPR, "TPR"},
    {PPR, "PPR"},
    {LDR, "LDR"},
    {DFR, "DFR"},
    {SVR, "SVR"},
    {ESR, "ESR"},
    {ICR_LOW, "ICR"},
    {ICR_HIGH, "ICR_HIGH"},
    {LVT_TIMER, "LVT_TIMER"},
    {LVT_THERMAL, "LVT_THERMAL"},
    {LVT_PERF, "LVT_PERF"},
    {LVT_LINT0, "LVT_LINT0"},
    {LVT_LINT1, "LVT_LINT1"},
    {LVT_ERROR, "LVT_ERROR"},
    {TIMER_INITIAL, "TIMER_INITIAL"},
    {TIMER_CURRENT, "TIMER_CURRENT"},
    {TIMER_DIVIDE, "TIMER_DIVIDE"},
};

static void show_vectors(const struct vlapic *l, const char *name, unsigned bank, struct sink *out)
{
    sink_printf(out, "  %-14s", name);
    for (unsigned v = 0; v < 256; v++)
        if (l->reg[bank + v / 32] & BIT(v % 32))
            sink_printf(out, " %02xh", v);
    sink_printf(out, "\n");
}

static void show_fields(unsigned n, u32 v, struct sink *out)
{
    static const char *const modes[] = {"fixed", "lowest", "SMI",     "reserved",
                                        "NMI",   "INIT",   "startup", "ExtINT"};
    static const char *const timers[] = {"one-shot", "periodic", "TSC-deadline", "reserved"};
    static const char *const shorthand[] = {"", " to self", " to all", " to all but self"};

    if (n >= LVT_TIMER && n <= LVT_ERROR)
        sink_printf(out, "  vector %02xh %s%s%s%s", v & 0xff,
                    n == LVT_TIMER ? timers[v >> 17 & 3] : modes[v >> 8 & 7],
                    v & LVT_LEVEL ? " level" : "", v & LVT_REMOTE_IRR ? " remote-IRR" : "",
                    v & LVT_MASKED ? " masked" : "");
    else if (n == SVR)
        sink_printf(out, "  %s, spurious vector %02xh%s",
                    v & SVR_ENABLE ? "software-enabled" : "software-disabled", v & 0xff,
                    v & SVR_SUPPRESS_EOI ? ", no EOI broadcast" : "");
    else if (n == ICR_LOW)
        sink_printf(out, "  vector %02xh %s %s%s", v & 0xff, modes[v >> 8 & 7],
                    v & ICR_LOGICAL ? "logical" : "physical", shorthand[v >> 18 & 3]);
    else if (n == TIMER_DIVIDE)
        sink_printf(out, "  by %u", 1u << divide_shift(v));
    else if (n == TPR || n == PPR)
        sink_printf(out, "  class %u", v >> 4 & 0xf);
    else if (n == DFR)
        sink_printf(out, "  %s", v >> 28 == 0xf ? "flat" : "cluster");
    else if (n == ESR)
        sink_printf(out, "  %s%s%s", v & ERROR_SEND_VECTOR ? "send-illegal-vector " : "",
                    v & ERROR_RECEIVE_VECTOR ? "receive-illegal-vector " : "",
                    v & ERROR_REGISTER ? "illegal-register" : "");
}

void vlapic_show_cpu(const struct vlapic_set *s, unsigned cpu, struct sink *out)
{
    const struct vlapic *l = &s->lapic[cpu];

    sink_printf(out, "local APIC of CPU %u\n", cpu);
    sink_printf(out, "  %-14s %016lx  %s%s\n", "APIC_BASE", l->base,
                !(l->base & BASE_EN)  ? "disabled"
                : l->base & BASE_EXTD ? "x2APIC"
                                      : "xAPIC",
                l->base & BASE_BSP ? ", BSP" : "");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        unsigned n = names[i].reg;
        u32 value = n == TIMER_CURRENT ? vlapic_timer_count(l) : l->reg[n];

        sink_printf(out, "  %-14s %08x", names[i].name, value);
        show_fields(n, value, out);
        sink_printf(out, "\n");
    }
    sink_printf(out, "  %-14s %016lx\n", "TSC_DEADLINE", l->deadline);
    show_vectors(l, "IRR", IRR, out);
    show_vectors(l, "ISR", ISR, out);
    show_vectors(l, "TMR", TMR, out);
    sink_printf(out, "  %-14s LINT0 %u, LINT1 %u\n", "pins", l->lint & 1u, l->lint >> 1 & 1u);
    if (l->ready < 0)
        sink_printf(out, "  %-14s none\n", "pending");
    else if (l->ready == VLAPIC_PENDING_EXTINT)
        sink_printf(out, "  %-14s ExtINT (8259)\n", "pending");
    else
        sink_printf(out, "  %-14s %02xh\n", "pending", (unsigned)l->ready);
}

void vlapic_show(const struct vlapic_set *s, struct sink *out)
{
    for (unsigned i = 0; i < s->cpus; i++)
        vlapic_show_cpu(s, i, out);
}
