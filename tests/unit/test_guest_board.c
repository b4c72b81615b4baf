/* SPDX-License-Identifier: MIT
 *
 * guest/board.c: every wire of the board, pulled from the guest's side of the bus, and agreement
 * between the board and the ACPI tables that describe it.
 */
#include "guest_vm.h"

#include "guest/acpi.h"
#include "guest/board.h"

#define HZ 1000000000ull /* one tick is a nanosecond */

static u64 now;
static struct {
    unsigned kicks, nmis, inits, sipis, events;
    enum machine_event event;
    u32 code;
} seen;
static struct board board;

static u64 read_tsc(void *source) { return *(u64 *)source; }

static u32 room(void *) { return 100; }

static void put(void *ctx, u8 byte)
{
    char *out = ctx;

    out[strlen(out)] = (char)byte;
}

static int get(void *) { return -1; }

static void kick(void *ctx, unsigned cpu)
{
    (void)ctx, (void)cpu;
    seen.kicks++;
}

static void nmi(void *ctx, unsigned cpu)
{
    (void)ctx, (void)cpu;
    seen.nmis++;
}

static void init(void *ctx, unsigned cpu)
{
    (void)ctx, (void)cpu;
    seen.inits++;
}

static void sipi(void *ctx, unsigned cpu, u8 vector)
{
    (void)ctx, (void)cpu, (void)vector;
    seen.sipis++;
}

static void machine(void *, enum machine_event event, u32 code, const char *by)
{
    assert_non_null(by);
    seen.events++;
    seen.event = event;
    seen.code = code;
}

static char output[100];
static const struct chardev uart = {output, room, put, get};
static const struct cpu_port port = {NULL, kick, nmi, init, sipi, machine};

static struct board_config config(u64 mem, unsigned vcpus)
{
    return (struct board_config){.vcpus = vcpus,
                                 .mem = mem,
                                 .read = read_tsc,
                                 .source = &now,
                                 .hz = HZ,
                                 .epoch = 951782399, /* 2000-02-28 23:59:59 */
                                 .uart = &uart,
                                 .port = &port};
}

static void make(u64 mem)
{
    struct board_config c = config(mem, 2);

    now = 5 * HZ;
    memset(&seen, 0, sizeof(seen));
    memset(output, 0, sizeof(output));
    assert_int_equal(board_init(&board, &c), STATUS_OK);
}

static void out8(u16 at, u8 value) { bus_port_write(&board.bus, 0, at, 1, value); }

static u8 in8(u16 at) { return (u8)bus_port_read(&board.bus, 0, at, 1); }

static u32 mmio(u64 at)
{
    return (u32)bus_mmio_read(&board.bus, bus_find_mmio(&board.bus, at), 0, at, 4);
}

static void mmio_set(u64 at, u32 value)
{
    bus_mmio_write(&board.bus, bus_find_mmio(&board.bus, at), 0, at, 4, value);
}

static u8 cmos(u8 index)
{
    out8(0x70, index);
    return in8(0x71);
}

static int pending(void) { return board.intc.ops->pending(board.intc.ctx, 0); }

static void pass(u64 ticks)
{
    now += ticks;
    clock_run(&board.clock, now);
}

/* 8259 pair: vectors 20H and 28H, all inputs masked but `mask`'s zeros. */
static void start_pic(u16 mask)
{
    static const u8 icw[2][4] = {{0x11, 0x20, 4, 1}, {0x11, 0x28, 2, 1}};

    for (unsigned chip = 0; chip < 2; chip++) {
        u16 base = chip ? 0xa0 : 0x20;

        out8(base, icw[chip][0]);
        for (unsigned i = 1; i < 4; i++)
            out8((u16)(base + 1), icw[chip][i]);
        out8((u16)(base + 1), (u8)(mask >> 8 * chip));
    }
}

/* I/O APIC input -> vector, physical destination 0; level-triggered if asked for. */
static void route(unsigned pin, u8 vector, bool level)
{
    mmio_set(0xfec00000, 0x10 + 2 * pin + 1);
    mmio_set(0xfec00010, 0);
    mmio_set(0xfec00000, 0x10 + 2 * pin);
    mmio_set(0xfec00010, vector | (level ? 1u << 15 : 0));
}

static void test_addresses(void **)
{
    static const u16 ports[] = {0x20,  0x21,  0x40,  0x43,  0x60,  0x61,  0x64,  0x70,
                                0x71,  0x80,  0x92,  0xa0,  0xa1,  0xf4,  0x3f8, 0x3ff,
                                0x4d0, 0x4d1, 0x600, 0x604, 0x608, 0xcf8, 0xcf9, 0xcfc};
    static const u16 free_ports[] = {0x00, 0x1f0, 0x2f8, 0x378, 0x3f7, 0x400, 0x5ff, 0x60c, 0xffff};
    u64 value;

    make(64 * MiB);
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        if (board.bus.port_number[ports[i]] == BUS_UNCLAIMED)
            fail_msg("nobody has port %#x", ports[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(free_ports); i++)
        assert_int_equal(board.bus.port_number[free_ports[i]], BUS_UNCLAIMED);
    assert_int_not_equal(bus_find_mmio(&board.bus, 0xfee00000), BUS_UNCLAIMED);
    assert_int_not_equal(bus_find_mmio(&board.bus, 0xfec00fff), BUS_UNCLAIMED);
    assert_int_equal(bus_find_mmio(&board.bus, 0xfed00000), BUS_UNCLAIMED);
    assert_true(bus_msr_read(&board.bus, 0, 0x1b, &value));
    assert_true(bus_msr_read(&board.bus, 0, 0x6e0, &value));
}

static void check_cmos(u64 mem, u32 extended, u32 above_16m, u32 above_4g)
{
    make(mem);
    assert_int_equal(cmos(0x15) | cmos(0x16) << 8, 639);
    assert_int_equal(cmos(0x17) | cmos(0x18) << 8, extended);
    assert_int_equal(cmos(0x30) | cmos(0x31) << 8, extended);
    assert_int_equal(cmos(0x34) | cmos(0x35) << 8, above_16m);
    assert_int_equal(cmos(0x5b) | cmos(0x5c) << 8 | cmos(0x5d) << 16, above_4g);
    assert_int_equal(cmos(0x5f), 1); /* two processors */
}

static void test_cmos_memory_sizes(void **)
{
    check_cmos(1 * MiB, 0, 0, 0);
    check_cmos(8 * MiB, 7 * 1024, 0, 0);
    check_cmos(64 * MiB, 63 * 1024, 48 * 16, 0);
    check_cmos(256 * MiB, 0xffff, 240 * 16, 0);
    check_cmos(5 * GiB, 0xffff, (3072 - 16) * 16, 2048 * 16);
}

/* 8254 -> IRQ 0 -> 8259 -> LINT0 as ExtINT, without the guest having touched its local APIC. */
static void test_timer_through_8259(void **)
{
    make(64 * MiB);
    start_pic(0xfffe);
    assert_int_equal(pending(), -1);
    out8(0x43, 0x34); /* channel 0, mode 2 */
    out8(0x40, 0xa9); /* 1193: 1 ms */
    out8(0x40, 0x04);
    pass(HZ / 2000);
    assert_int_equal(pending(), -1);
    pass(HZ / 1800);
    assert_true(pending() >= 0x100);
    assert_true(seen.kicks > 0);
    assert_int_equal(board.intc.ops->accept(board.intc.ctx, 0), 0x20);
}

/* A guest that has not touched the 8259s gets their interrupts at the BIOS's vectors. */
static void test_bios_vectors(void **)
{
    make(64 * MiB);
    out8(0x2000 + 11, 1);
    assert_true(pending() >= 0x100);
    assert_int_equal(board.intc.ops->accept(board.intc.ctx, 0), 0x73);
    out8(0x2000 + 1, 1);
    assert_int_equal(board.intc.ops->accept(board.intc.ctx, 0), 0x09);
}

/* The same through the I/O APIC: input 2, as the MADT says. */
static void test_timer_through_ioapic(void **)
{
    make(64 * MiB);
    start_pic(0xffff);
    route(2, 0x51, false);
    out8(0x43, 0x34);
    out8(0x40, 0xa9);
    out8(0x40, 0x04);
    pass(HZ / 900);
    assert_int_equal(pending(), 0x51);
    assert_int_equal(board.intc.ops->accept(board.intc.ctx, 0), 0x51);
}

/* 16550 -> IRQ 4, on both controllers; and its bytes reach the stream. */
static void test_uart(void **)
{
    make(64 * MiB);
    start_pic(0xffef);
    out8(0x3f8 + 3, 3);
    out8(0x3f8 + 4, 0x0b); /* DTR, RTS, OUT2 */
    out8(0x3f8 + 1, 2);    /* transmitter empty */
    assert_true(pending() >= 0x100);
    assert_int_equal(board.intc.ops->accept(board.intc.ctx, 0), 0x24);
    assert_int_equal(in8(0x3f8 + 2) & 0xf, 2);
    out8(0x3f8 + 1, 0);
    out8(0x3f8, 'o');
    out8(0x3f8, 'k');
    assert_string_equal(output, "ok");
    start_pic(0xffff);
    route(4, 0x62, false);
    out8(0x3f8 + 1, 2);
    assert_int_equal(pending(), 0x62);
}

/* RTC update-ended interrupt -> IRQ 8 -> the second 8259. */
static void test_rtc(void **)
{
    make(64 * MiB);
    start_pic(0xfefb); /* cascade and IRQ 8 open */
    assert_int_equal(cmos(7), 0x28);
    out8(0x70, 0xb);
    out8(0x71, 0x12); /* update-ended interrupt, 24 hours, BCD */
    assert_int_equal(pending(), -1);
    pass(HZ + HZ / 10);
    assert_true(pending() >= 0x100);
    assert_int_equal(board.intc.ops->accept(board.intc.ctx, 0), 0x28);
    assert_int_equal(cmos(7), 0x29); /* 2000 is a leap year */
}

/* Power button -> SCI: level-triggered at both controllers, IRQ 9. */
static void test_sci(void **)
{
    make(64 * MiB);
    assert_int_equal(in8(0x4d1), 2); /* ELCR: IRQ 9 is level-triggered */
    assert_int_equal(in8(0x4d0), 0);
    assert_true(bus_port_read(&board.bus, 0, 0x604, 2) & 1); /* SCI_EN */
    start_pic(0xffff);
    route(9, 0x73, true);
    bus_port_write(&board.bus, 0, 0x602, 2, 1 << 8); /* PWRBTN_EN */
    vpm_press_power(&board.pm);
    assert_int_equal(pending(), 0x73);
    assert_int_equal(board.intc.ops->accept(board.intc.ctx, 0), 0x73);
    bus_port_write(&board.bus, 0, 0x600, 2, 1 << 8); /* PWRBTN_STS */
    mmio_set(0xfee000b0, 0);                         /* EOI */
    assert_int_equal(pending(), -1);
}

static void test_ways_out(void **)
{
    make(64 * MiB);
    out8(0xcf9, 6);
    assert_int_equal(seen.events, 1);
    assert_int_equal(seen.event, MACHINE_RESET);
    bus_port_write(&board.bus, 0, 0x604, 2, 5 << 10 | 1 << 13); /* SLP_TYP 5, SLP_EN */
    assert_int_equal(seen.events, 2);
    assert_int_equal(seen.event, MACHINE_POWEROFF);
    bus_port_write(&board.bus, 0, 0xf4, 4, 0x31);
    assert_int_equal(seen.events, 3);
    assert_int_equal(seen.event, MACHINE_DEBUG_EXIT);
    assert_int_equal(seen.code, 0x31);
    out8(0x64, 0xfe); /* 8042: pulse the reset line */
    assert_int_equal(seen.events, 4);
    assert_int_equal(seen.event, MACHINE_RESET);
    out8(0x92, 1);
    assert_int_equal(seen.events, 5);
    assert_int_equal(seen.event, MACHINE_RESET);
}

static void test_second_processor(void **)
{
    make(64 * MiB);
    assert_int_equal(mmio(0xfee00020) >> 24, 0);
    mmio_set(0xfee00310, 1u << 24);
    mmio_set(0xfee00300, 0x4500); /* INIT */
    mmio_set(0xfee00310, 1u << 24);
    mmio_set(0xfee00300, 0x4608); /* start-up */
    assert_int_equal(seen.inits, 1);
    assert_int_equal(seen.sipis, 1);
}

static void test_reset(void **)
{
    struct bus before;

    make(64 * MiB);
    before = board.bus;
    start_pic(0);
    route(2, 0x51, false);
    out8(0x43, 0x34);
    out8(0x40, 0);
    out8(0x40, 0x10);
    out8(0x3f8 + 7, 0x5a);
    pass(61 * HZ);
    assert_int_equal(board_reset(&board), STATUS_OK);
    assert_int_equal(pending(), -1);
    assert_int_equal(in8(0x3f8 + 7), 0); /* scratch register */
    pass(2 * HZ);
    assert_int_equal(pending(), -1);
    assert_int_equal(cmos(0), 0x02); /* 23:59:59 + 63 s: time of day goes on */
    assert_int_equal(cmos(2), 0x01);
    assert_int_equal(cmos(4), 0x00);
    assert_memory_equal(board.bus.port_number, before.port_number, sizeof(before.port_number));
    assert_int_equal(board.bus.mmio_count, before.mmio_count);
    assert_int_equal(in8(0x4d1), 2);
}

/* What the tables say is there is there. */
static void test_agrees_with_acpi(void **)
{
    static u8 area[ACPI_AREA_SIZE];
    struct acpi_tables t;
    u32 pm_timer = 0, lapic = 0, start;
    u8 *fadt, *madt, *mp;

    make(64 * MiB);
    acpi_build(2, area, 0xf0000, &t);
    mp = area + (t.mp - 0xf0000) + 16; /* behind the floating pointer: its table */
    fadt = area + (t.fadt - 0xf0000);
    madt = area + (t.madt - 0xf0000);
    memcpy(&pm_timer, fadt + 76, 4);
    memcpy(&lapic, madt + 36, 4);
    start = bus_port_read(&board.bus, 0, (u16)pm_timer, 4);
    pass(HZ);
    assert_in_range((u32)(bus_port_read(&board.bus, 0, (u16)pm_timer, 4) - start), 3579544,
                    3579546);
    pass(30 * HZ); /* beyond 24 bits: the FADT says 32 */
    assert_in_range((u32)(bus_port_read(&board.bus, 0, (u16)pm_timer, 4) - start), 110965893,
                    110965897);
    assert_int_equal(mmio(lapic + 0x30) & 0xff, mp[44 + 2]); /* the version of processor 0's APIC */
    mmio_set(0xfec00000, 0);
    assert_int_equal(mmio(0xfec00010) >> 24 & 0xf, madt[44 + 2 * 8 + 2]); /* the I/O APIC's ID */
    mmio_set(0xfec00000, 1);
    assert_int_equal(mmio(0xfec00010) >> 16 & 0xff, 23);
    assert_int_equal(mmio(0xfec00010) & 0xff, mp[44 + 2 * 20 + 8 + 2]);
}

static void test_bad_configurations(void **)
{
    struct board_config c;

#define BROKEN(change)                                           \
    do {                                                         \
        c = config(64 * MiB, 1);                                 \
        change;                                                  \
        assert_int_equal(board_init(&board, &c), STATUS_EINVAL); \
    } while (0)
    BROKEN(c.vcpus = 0);
    BROKEN(c.vcpus = CONFIG_MAX_VCPUS + 1);
    BROKEN(c.hz = 0);
    BROKEN(c.read = NULL);
    BROKEN(c.uart = NULL);
    BROKEN(c.port = NULL);
#undef BROKEN
    c = config(64 * MiB, CONFIG_MAX_VCPUS);
    assert_int_equal(board_init(&board, &c), STATUS_OK);
}

static void test_show(void **)
{
    static char text[20000];
    struct buf_sink sink;

    make(64 * MiB);
    buf_sink_init(&sink, text, sizeof(text));
    assert_true(board_show(&board, NULL, &sink.sink));
    assert_int_equal(sink.lost, 0);
    assert_true(sink.len > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_cmos_memory_sizes),
        cmocka_unit_test(test_timer_through_8259),
        cmocka_unit_test(test_bios_vectors),
        cmocka_unit_test(test_timer_through_ioapic),
        cmocka_unit_test(test_uart),
        cmocka_unit_test(test_rtc),
        cmocka_unit_test(test_sci),
        cmocka_unit_test(test_ways_out),
        cmocka_unit_test(test_second_processor),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_agrees_with_acpi),
        cmocka_unit_test(test_bad_configurations),
        cmocka_unit_test(test_show),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
