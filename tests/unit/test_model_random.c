/* SPDX-License-Identifier: MIT
 *
 * All device models on one bus, wired as a PC, under random accesses: nothing may trip a sanitizer,
 * invariants hold after every step, and however the timers are programmed time goes on.
 * VITRINE_SEED and VITRINE_STEPS in the environment choose another or a longer run.
 */
#include "device.h"
#include "drivers/model/vioapic.h"
#include "drivers/model/vkbd.h"
#include "drivers/model/vlapic.h"
#include "drivers/model/vpci.h"
#include "drivers/model/vpic.h"
#include "drivers/model/vpit.h"
#include "drivers/model/vpm.h"
#include "drivers/model/vrtc.h"
#include "drivers/model/vsys.h"
#include "drivers/model/vuart.h"
#include <stdio.h>
#include <stdlib.h>

#define HZ   1000000000ull
#define CPUS 3

static struct vlapic_set lapics;
static struct vioapic ioapic;
static struct vpic pic;
static struct vpit pit;
static struct vuart uarts[2];
static struct vrtc rtc;
static struct vpm pm;
static struct vkbd kbd;
static struct vpci pci;
static struct vsys sys;
static struct intc intc;
static u64 seed;

static u64 rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void isa(void *, unsigned irq, bool level)
{
    vpic_set(&pic, irq, level);
    vioapic_set(&ioapic, irq == 0 ? 2 : irq, level);
}

static struct irqline isa_line(unsigned irq) { return (struct irqline){.set = isa, .pin = irq}; }

static u32 back_room(void *) { return (u32)rnd() & 3; }

static void back_put(void *ctx, u8 byte) { (void)ctx, (void)byte; }

static int back_get(void *) { return rnd() & 1 ? (int)(rnd() & 0xff) : -1; }

static const struct chardev backend = {.room = back_room, .put = back_put, .get = back_get};

static void build(u64 hz)
{
    struct irqline intr = {.set = vlapic_lint, .target = &lapics, .pin = 0};

    fake_start(hz);
    assert_ok(vlapic_init(&lapics, CPUS, &fake_bus, &fake_clock, &recorder));
    assert_ok(vioapic_init(&ioapic, 0, &fake_bus, &lapics));
    assert_ok(vpic_init(&pic, &fake_bus, intr));
    vlapic_connect_pic(&lapics, vpic_inta, &pic);
    assert_ok(vpit_init(&pit, &fake_bus, &fake_clock, isa_line(0)));
    assert_ok(vuart_init(&uarts[0], &fake_bus, &fake_clock, 0x3f8, isa_line(4), &backend, true));
    assert_ok(vuart_init(&uarts[1], &fake_bus, &fake_clock, 0x2f8, isa_line(3), &backend, false));
    assert_ok(vrtc_init(&rtc, &fake_bus, &fake_clock, isa_line(8), 1700000000));
    assert_ok(vpm_init(&pm, &fake_bus, &fake_clock, 0x600, isa_line(9), true, &recorder));
    assert_ok(vkbd_init(&kbd, &fake_bus, isa_line(1), &recorder));
    assert_ok(vpci_init(&pci, &fake_bus, &recorder));
    assert_ok(vsys_init(&sys, &fake_bus, &recorder, (struct irqline){0}));
    vlapic_virtual_wire(&lapics);
    intc = vlapic_intc(&lapics);
}

static u64 random_value(void)
{
    u64 v = rnd();

    switch (rnd() & 7) {
    case 0: return 0;
    case 1: return v & 7;
    case 2: return v & 0xff;
    case 3: return ~0ull;
    default: return v >> (v & 63);
    }
}

static void access_port(void)
{
    const struct bus_range *r = &fake_bus.port[1 + rnd() % (fake_bus.port_count - 1)];
    u16 port = rnd() % 32 == 0 ? (u16)rnd() : (u16)(r->base + rnd() % r->size);
    unsigned size = 1u << rnd() % 3, cpu = (unsigned)(rnd() % CPUS);

    if (rnd() & 1)
        (void)bus_port_read(&fake_bus, cpu, port, size);
    else
        bus_port_write(&fake_bus, cpu, port, size, (u32)random_value());
}

static void access_mmio(void)
{
    static const unsigned ioapic_offsets[] = {0, 0x10, 0x40};
    unsigned number = 1 + (unsigned)(rnd() % 2), size = 1u << rnd() % 4;
    unsigned cpu = (unsigned)(rnd() % CPUS);
    u64 offset = rnd() % 8 ? (rnd() % 64) * 16 : rnd() & 0xfff;

    if (number == 2 && rnd() % 8)
        offset = ioapic_offsets[rnd() % 3];
    if (rnd() % 4)
        size = 4;
    if (rnd() % 4 == 0)
        (void)bus_mmio_read(&fake_bus, number, cpu, fake_bus.mmio[number].base + offset, size);
    else
        bus_mmio_write(&fake_bus, number, cpu, fake_bus.mmio[number].base + offset, size,
                       random_value());
}

static void access_msr(void)
{
    const struct bus_msr_range *r = &fake_bus.msr[rnd() % fake_bus.msr_count];
    u32 msr = r->base + (u32)(rnd() % r->count);
    unsigned cpu = (unsigned)(rnd() % CPUS);
    u64 value = random_value();

    if (msr == 0x1b && rnd() % 2)
        value = VLAPIC_BASE | (rnd() & 0xd00);
    if (msr == 0x6e0 && rnd() % 2)
        value = fake_now + rnd() % 100000;
    if (rnd() & 1)
        (void)bus_msr_read(&fake_bus, cpu, msr, &value);
    else
        (void)bus_msr_write(&fake_bus, cpu, msr, value);
}

static void run_cpu(void)
{
    unsigned cpu = (unsigned)(rnd() % CPUS);
    int vector = intc.ops->pending(intc.ctx, cpu);

    assert_in_range(vector + 1, 0, 0x1ff + 1);
    if (vector >= 0 && vector < 0x100) {
        assert_true(vector >= 16);
        assert_int_equal(intc.ops->accept(intc.ctx, cpu), vector);
    } else {
        (void)intc.ops->accept(intc.ctx, cpu);
    }
    if (rnd() % 64 == 0)
        intc.ops->reset(intc.ctx, cpu);
    if (rnd() % 16 == 0)
        intc.ops->write_cr8(intc.ctx, cpu, (u8)rnd());
    (void)intc.ops->read_cr8(intc.ctx, cpu);
}

static void check_lapic(const struct vlapic *l)
{
    u32 irr = 0, isr = 0;

    for (unsigned i = 0; i < 8; i++) {
        irr |= (u32)(l->reg[0x20 + i] != 0) << i;
        isr |= (u32)(l->reg[0x10 + i] != 0) << i;
    }
    assert_int_equal(l->irr_words, irr);
    assert_int_equal(l->isr_words, isr);
    assert_int_equal(l->reg[0x20] & 0xffff, 0);
}

/* Sorted, and no timer twice. */
static void check_clock(void)
{
    unsigned n = 0;

    for (struct timer *t = fake_clock.first; t; t = t->next, n++) {
        assert_true(t->armed);
        assert_true(!t->next || t->deadline <= t->next->deadline);
        assert_in_range(n, 0, CPUS + 8);
    }
}

static void show_all(void)
{
    SHOW(vlapic_show(&lapics, out));
    SHOW(vioapic_show(&ioapic, out));
    SHOW(vpic_show(&pic, out));
    SHOW(vpit_show(&pit, out));
    SHOW(vuart_show(&uarts[0], out));
    SHOW(vuart_show(&uarts[1], out));
    SHOW(vrtc_show(&rtc, out));
    SHOW(vpm_show(&pm, out));
    SHOW(vkbd_show(&kbd, out));
    SHOW(vpci_show(&pci, out));
    SHOW(vsys_show(&sys, out));
}

static void step(u64 i)
{
    static void (*const acts[])(void) = {access_port, access_port, access_port, access_mmio,
                                         access_mmio, access_msr,  run_cpu};

    acts[rnd() % ARRAY_SIZE(acts)]();
    if (rnd() % 8 == 0)
        vuart_poll(&uarts[rnd() & 1]);
    if (rnd() % 256 == 0)
        vpm_press_power(&pm);
    fake_now += rnd() % 4096 == 0 ? rnd() % (100 * HZ) : rnd() % 20000;
    clock_run(&fake_clock, fake_now);
    /* All that was due has fired, and nobody armed in the past. */
    assert_true(clock_next(&fake_clock) > fake_now);
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        check_lapic(&lapics.lapic[cpu]);
    check_clock();
    if (i % 5000 == 0)
        show_all();
}

static u64 setting(const char *name, u64 otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void random_accesses(void **)
{
    u64 steps = setting("VITRINE_STEPS", 2000000);

    seed = setting("VITRINE_SEED", 0x9e3779b97f4a7c15);
    print_message("seed %#llx, %llu steps\n", (unsigned long long)seed, (unsigned long long)steps);
    for (u64 i = 0; i < steps; i++) {
        if (i % 20000 == 0)
            build(i % 40000 ? HZ : 10000000);
        step(i);
    }
}

/* After any programming: what the timers ask for in a second stays within what the machine's seven
 * periodic sources may, at the clock's floor. */
static void timers_are_bounded(void **)
{
    seed = setting("VITRINE_SEED", 0x9e3779b97f4a7c15);
    for (unsigned round = 0; round < 200; round++) {
        unsigned runs = 0;

        build(HZ);
        for (unsigned i = 0; i < 300; i++)
            step(i + 1);
        for (u64 end = fake_now + HZ; clock_next(&fake_clock) < end; runs++) {
            u64 next = clock_next(&fake_clock);

            assert_true(next > fake_now);
            fake_now = next;
            clock_run(&fake_clock, fake_now);
        }
        assert_in_range(runs, 0, 7 * 10001);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_accesses),
        cmocka_unit_test(timers_are_bounded),
    };

    return cmocka_run_group_tests_name("model-random", tests, NULL, NULL);
}
