/* SPDX-License-Identifier: MIT
 *
 * The I/O APIC against Intel's 82093AA datasheet (290566), with real local APICs behind it.
 */
#include "device.h"
#include "drivers/model/vioapic.h"

static struct vlapic_set set;
static struct vioapic io;
static struct intc intc;

static u32 page(unsigned offset)
{
    return (u32)bus_mmio_read(&fake_bus, bus_find_mmio(&fake_bus, VIOAPIC_BASE), 0,
                              VIOAPIC_BASE + offset, 4);
}

static void page_write(unsigned offset, u32 value)
{
    bus_mmio_write(&fake_bus, bus_find_mmio(&fake_bus, VIOAPIC_BASE), 0, VIOAPIC_BASE + offset, 4,
                   value);
}

static u32 rd(unsigned reg)
{
    page_write(0, reg);
    return page(0x10);
}

static void wr(unsigned reg, u32 value)
{
    page_write(0, reg);
    page_write(0x10, value);
}

static void route(unsigned pin, u64 entry)
{
    wr(0x11 + 2 * pin, (u32)(entry >> 32));
    wr(0x10 + 2 * pin, (u32)entry);
}

static int pending(unsigned cpu) { return intc.ops->pending(intc.ctx, cpu); }

static u8 accept(unsigned cpu) { return intc.ops->accept(intc.ctx, cpu); }

static void eoi(unsigned cpu)
{
    bus_mmio_write(&fake_bus, bus_find_mmio(&fake_bus, VLAPIC_BASE), cpu, VLAPIC_BASE + 0xb0, 4, 0);
}

static void svr(unsigned cpu, u32 value)
{
    bus_mmio_write(&fake_bus, bus_find_mmio(&fake_bus, VLAPIC_BASE), cpu, VLAPIC_BASE + 0xf0, 4,
                   value);
}

static int setup(void **)
{
    fake_start(1000000000);
    assert_ok(vlapic_init(&set, 2, &fake_bus, &fake_clock, &recorder));
    assert_ok(vioapic_init(&io, 2, &fake_bus, &set));
    intc = vlapic_intc(&set);
    svr(0, 0x1ff);
    svr(1, 0x1ff);
    return 0;
}

static void registers(void **)
{
    assert_int_equal(rd(0), 2u << 24);
    wr(0, 0xff000000);
    assert_int_equal(rd(0), 0x0f000000); /* bits 27:24 */
    assert_int_equal(rd(1) & 0xff, 0x20);
    assert_int_equal(rd(1) >> 16 & 0xff, 23); /* maximum redirection entry */
    assert_int_equal(page(0), 1);
    for (unsigned pin = 0; pin < 24; pin++) {
        assert_int_equal(rd(0x10 + 2 * pin), 0x10000); /* masked after reset */
        assert_int_equal(rd(0x11 + 2 * pin), 0);
    }
    wr(0x12, 0xffffffff); /* delivery status and Remote IRR are read-only */
    assert_int_equal(rd(0x12), 0x1afff);
    wr(0x13, 0xffffffff);
    assert_int_equal(rd(0x13), 0xff000000);
    assert_int_equal(rd(0x40), 0xffffffff); /* past the last entry */
    assert_int_equal(page(0x20), 0);
    wr(0x40, 0x12345678); /* nor is anything written there */
    wr(0xff, 0x12345678);
    wr(1, 0);
    assert_int_equal(rd(1), 0x00170020);
    assert_int_equal(rd(2), 0x0f000000); /* arbitration ID */
}

static void edges(void **)
{
    route(4, 1ull << 56 | 0x34);
    vioapic_set(&io, 4, true);
    assert_int_equal(accept(1), 0x34);
    eoi(1);
    vioapic_set(&io, 4, true); /* no edge */
    assert_int_equal(pending(1), -1);
    vioapic_set(&io, 4, false);
    assert_int_equal(pending(1), -1);
    vioapic_set(&io, 4, true);
    assert_int_equal(accept(1), 0x34);
    eoi(1);
    assert_int_equal(pending(0), -1);
    /* Masked: neither delivered nor held. */
    vioapic_set(&io, 4, false);
    route(4, 1ull << 56 | 0x10034);
    vioapic_set(&io, 4, true);
    vioapic_set(&io, 4, false);
    route(4, 1ull << 56 | 0x34);
    assert_int_equal(pending(1), -1);
}

static void levels(void **)
{
    route(9, 0x8035);
    vioapic_set(&io, 9, true);
    assert_int_equal(rd(0x22), 0xc035); /* Remote IRR */
    assert_int_equal(accept(0), 0x35);
    assert_int_equal(pending(0), -1);
    eoi(0); /* still asserted: again */
    assert_int_equal(accept(0), 0x35);
    vioapic_set(&io, 9, false);
    assert_int_equal(rd(0x22), 0xc035); /* until the EOI */
    eoi(0);
    assert_int_equal(rd(0x22), 0x8035);
    assert_int_equal(pending(0), -1);
    /* Masked while asserted; delivered when unmasked. */
    route(9, 0x18035);
    vioapic_set(&io, 9, true);
    assert_int_equal(pending(0), -1);
    route(9, 0x8035);
    assert_int_equal(accept(0), 0x35);
    /* Masked in service: the EOI clears Remote IRR and sends nothing. */
    wr(0x22, 0x18035);
    eoi(0);
    assert_int_equal(rd(0x22), 0x18035);
    assert_int_equal(pending(0), -1);
    /* Two inputs with one vector. */
    vioapic_set(&io, 9, false);
    route(9, 0x8035);
    route(10, 0x8035);
    vioapic_set(&io, 9, true);
    vioapic_set(&io, 10, true);
    assert_int_equal(accept(0), 0x35);
    vioapic_set(&io, 9, false);
    eoi(0);
    assert_int_equal(accept(0), 0x35); /* the other one asks still */
    vioapic_set(&io, 10, false);
    eoi(0);
    assert_int_equal(pending(0), -1);
    assert_int_equal(rd(0x22) & rd(0x24), 0x8035);
}

static void remote_irr_is_cleared_by_edge(void **)
{
    route(5, 0x8036);
    vioapic_set(&io, 5, true);
    assert_int_equal(rd(0x1a), 0xc036);
    wr(0x1a, 0x10036);
    assert_int_equal(rd(0x1a), 0x10036);
    wr(0x1a, 0x18036);
    assert_int_equal(rd(0x1a), 0x18036);
}

static void eoi_register(void **)
{
    svr(0, 0x11ff); /* no broadcast */
    route(9, 0x8035);
    vioapic_set(&io, 9, true);
    (void)accept(0);
    vioapic_set(&io, 9, false);
    eoi(0);
    assert_int_equal(rd(0x22), 0xc035);
    page_write(0x40, 0x36); /* another vector */
    assert_int_equal(rd(0x22), 0xc035);
    page_write(0x40, 0x35);
    assert_int_equal(rd(0x22), 0x8035);
}

static void delivery_modes(void **)
{
    route(1, 1ull << 56 | 0x400); /* NMI */
    vioapic_set(&io, 1, true);
    assert_int_equal(recorded.nmis[1], 1);
    route(2, 1ull << 56 | 0x8500); /* INIT: edge whatever bit 15 says */
    vioapic_set(&io, 2, true);
    assert_int_equal(recorded.inits[1], 1);
    assert_int_equal(rd(0x14), 0x8500);
    route(0, 0x700); /* ExtINT */
    vioapic_set(&io, 0, true);
    assert_int_equal(pending(0), VLAPIC_PENDING_EXTINT);
    (void)accept(0);
    route(3, 0xffull << 56 | 0x140); /* lowest priority among all */
    vioapic_set(&io, 3, true);
    assert_true((pending(0) == 0x40) != (pending(1) == 0x40));
    route(7, 0x8144); /* lowest priority can be level-triggered */
    vioapic_set(&io, 7, true);
    assert_int_equal(rd(0x1e), 0xc144);
    route(6, 7ull << 56 | 0x8041); /* nobody takes it: no Remote IRR */
    vioapic_set(&io, 6, true);
    assert_int_equal(rd(0x1c), 0x8041);
}

static void shows(void **)
{
    route(9, 0x8035);
    vioapic_set(&io, 9, true);
    SHOW(vioapic_show(&io, out));
    assert_non_null(strstr(shown, "pin 9    000000000000c035  vector 35h fixed physical 00h level "
                                  "remote-IRR asserted  sent 1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(registers, setup),
        cmocka_unit_test_setup(edges, setup),
        cmocka_unit_test_setup(levels, setup),
        cmocka_unit_test_setup(remote_irr_is_cleared_by_edge, setup),
        cmocka_unit_test_setup(eoi_register, setup),
        cmocka_unit_test_setup(delivery_modes, setup),
        cmocka_unit_test_setup(shows, setup),
    };

    return cmocka_run_group_tests_name("vioapic", tests, NULL, NULL);
}
