/* SPDX-License-Identifier: MIT
 *
 * The 16550A against National's PC16550D datasheet.
 */
#include "device.h"
#include "drivers/model/vuart.h"

#define BASE 0x3f8
#define HZ   1152000000ull /* one bit at 115200 baud is 10000 ticks */

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct vuart uart;
static struct line irq;
static u8 in[64], sent[256];
static unsigned in_head, in_tail, sent_count, room;

static u32 back_room(void *) { return room; }

static void back_put(void *, u8 byte)
{
    assert_true(room > 0);
    room--;
    sent[sent_count++ % sizeof sent] = byte;
}

static int back_get(void *) { return in_tail == in_head ? -1 : in[in_tail++]; }

static const struct chardev backend = {.room = back_room, .put = back_put, .get = back_get};

static void start(bool has_fifo)
{
    fake_start(HZ);
    memset(&irq, 0, sizeof irq);
    in_head = in_tail = sent_count = 0;
    room = 1000;
    assert_ok(vuart_init(&uart, &fake_bus, &fake_clock, BASE, LINE(&irq), &backend, has_fifo));
}

static int setup(void **)
{
    start(true);
    return 0;
}

static u8 rd(unsigned reg) { return inb((u16)(BASE + reg)); }

static void wr(unsigned reg, u8 value) { outb((u16)(BASE + reg), value); }

static void arrive(unsigned n)
{
    for (unsigned i = 0; i < n; i++, in_head++)
        in[in_head] = (u8)('A' + in_head);
    vuart_poll(&uart);
}

static void reset_state(void **)
{
    assert_int_equal(rd(IER), 0);
    assert_int_equal(rd(IIR), 0x01);
    assert_int_equal(rd(LCR), 0);
    assert_int_equal(rd(MCR), 0);
    assert_int_equal(rd(LSR), 0x60);
    assert_int_equal(rd(MSR), 0xb0);
    assert_false(irq.level);
}

static void divisor_and_scratch(void **)
{
    wr(SCR, 0x5a);
    assert_int_equal(rd(SCR), 0x5a);
    wr(LCR, 0x83);
    wr(RBR, 0x34);
    wr(IER, 0x12);
    assert_int_equal(rd(RBR), 0x34);
    assert_int_equal(rd(IER), 0x12);
    assert_int_equal(sent_count, 0);
    wr(LCR, 0x03);
    assert_int_equal(rd(IER), 0);
    wr(IER, 0xff);
    assert_int_equal(rd(IER), 0x0f); /* bits 7:4 are always 0 */
    wr(MCR, 0xff);
    assert_int_equal(rd(MCR), 0x1f);
}

static void transmits(void **)
{
    wr(RBR, 'x');
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0], 'x');
    assert_int_equal(rd(LSR), 0x60);
    bus_port_write(&fake_bus, 0, BASE + SCR, 1, 0);
    bus_port_write(&fake_bus, 0, BASE, 2, 0x0041); /* a wide OUT: THR, then IER */
    assert_int_equal(sent[1], 'A');
}

static void back_pressure(void **)
{
    room = 0;
    wr(IIR, 0x01);
    wr(MCR, 0x08);
    wr(IER, 0x02);
    assert_true(irq.level); /* enabling with THR empty interrupts at once */
    assert_int_equal(rd(IIR), 0xc2);
    assert_int_equal(rd(IIR), 0xc1); /* reading IIR took it away */
    assert_false(irq.level);
    for (unsigned i = 0; i < 16; i++)
        wr(RBR, (u8)i);
    assert_int_equal(rd(LSR) & 0x60, 0);
    assert_int_equal(sent_count, 0);
    assert_false(irq.level);
    room = 10;
    vuart_poll(&uart);
    assert_int_equal(sent_count, 10);
    assert_int_equal(rd(LSR) & 0x60, 0);
    assert_false(irq.level);
    room = 10;
    vuart_poll(&uart);
    assert_int_equal(sent_count, 16);
    assert_int_equal(sent[15], 15);
    assert_int_equal(rd(LSR) & 0x60, 0x60);
    assert_true(irq.level);
    assert_int_equal(rd(IIR), 0xc2);
    wr(RBR, 1); /* sent at once: empty again */
    assert_true(irq.level);
    room = 0;
    for (unsigned i = 0; i < 18; i++) /* two too many */
        wr(RBR, (u8)i);
    assert_int_equal(uart.overruns, 2);
    wr(IER, 0x00);
    wr(IER, 0x02); /* not empty: no interrupt from enabling */
    assert_false(irq.level);
    wr(IIR, 0x05); /* clear the transmitter's FIFO */
    assert_int_equal(rd(IIR), 0xc2);
    wr(IER, 0x02); /* nor from writing the same again */
    assert_false(irq.level);
    assert_int_equal(rd(LSR) & 0x60, 0x60);
}

static void receives_without_fifo(void **)
{
    wr(MCR, 0x08);
    wr(IER, 0x01);
    arrive(3);
    assert_true(irq.level);
    assert_int_equal(rd(IIR), 0x04);
    assert_int_equal(in_tail, 1); /* the others are held back */
    assert_int_equal(rd(LSR), 0x61);
    assert_int_equal(rd(RBR), 'A');
    assert_int_equal(rd(RBR), 'B');
    assert_int_equal(rd(RBR), 'C');
    assert_false(irq.level);
    assert_int_equal(rd(LSR), 0x60);
    assert_int_equal(rd(IIR), 0x01);
}

static void trigger_levels(void **)
{
    static const u8 levels[] = {1, 4, 8, 14};

    wr(MCR, 0x08);
    wr(IER, 0x01);
    for (unsigned i = 0; i < 4; i++) {
        in_head = in_tail = 0;
        wr(IIR, (u8)(i << 6 | 0x07));
        arrive(levels[i] - 1u);
        assert_false(irq.level);
        arrive(1);
        assert_true(irq.level);
        assert_int_equal(rd(IIR), 0xc4);
        assert_int_equal(rd(RBR), 'A');
        assert_false(irq.level); /* below the trigger again */
    }
    wr(IIR, 0x03); /* reset of the receiver's FIFO */
    assert_int_equal(rd(LSR), 0x60);
    assert_int_equal(rd(IIR), 0xc1);
}

/* Four characters' time of 1 + 8 + 1 bits without a byte coming or going. */
static void character_timeout(void **)
{
    wr(LCR, 0x83);
    wr(RBR, 1);
    wr(IER, 0);
    wr(LCR, 0x03);
    wr(MCR, 0x08);
    wr(IER, 0x01);
    wr(IIR, 0xc1);
    arrive(5);
    pass(399999);
    assert_false(irq.level);
    pass(1);
    assert_true(irq.level);
    assert_int_equal(rd(IIR), 0xcc);
    assert_int_equal(rd(RBR), 'A'); /* a read takes it away and starts it anew */
    assert_false(irq.level);
    pass(399999);
    assert_false(irq.level);
    arrive(1);
    pass(399999);
    assert_false(irq.level);
    pass(1);
    assert_true(irq.level);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rd(RBR), 'B' + i);
    assert_false(irq.level);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    /* At 9600 baud, 7 bits, parity, two stop bits: 11 bits, 12 times as long. */
    wr(LCR, 0x80);
    wr(RBR, 12);
    wr(LCR, 0x0e);
    arrive(1);
    assert_int_equal(clock_next(&fake_clock), fake_now + 4 * 11 * 12 * 10000);
}

static void fifo_is_sixteen_deep(void **)
{
    wr(IIR, 0x81);
    arrive(20);
    assert_int_equal(in_tail, 16);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(rd(RBR), 'A' + i);
    assert_int_equal(rd(LSR), 0x60);
    wr(IIR, 0x80); /* bits 7:1 count only with bit 0; turning FIFOs off clears them */
    assert_int_equal(rd(IIR), 0x01);
}

/* Table III: line status, data, time-out, THRE, modem status. */
static void interrupt_priorities(void **)
{
    wr(IIR, 0x01);
    wr(MCR, 0x18);
    wr(IER, 0x0f);
    for (unsigned i = 0; i < 17; i++) /* in loopback the 17th byte is an overrun */
        wr(RBR, (u8)i);
    assert_int_equal(rd(IIR), 0xc6);
    assert_int_equal(rd(LSR), 0x63);
    assert_int_equal(rd(IIR), 0xc4);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(rd(RBR), i);
    assert_int_equal(rd(IIR), 0xc2);
    assert_int_equal(rd(IIR), 0xc0); /* entering loopback changed the modem inputs */
    assert_int_equal(rd(IIR), 0xc0);
    assert_int_equal(rd(MSR), 0x83); /* DCD from OUT2; CTS and DSR fell */
    assert_int_equal(rd(IIR), 0xc1);
    assert_int_equal(rd(MSR), 0x80);
}

static void loopback_modem(void **)
{
    wr(MCR, 0x1a); /* the test Linux makes: OUT2 and RTS show as DCD and CTS */
    assert_int_equal(rd(MSR) & 0xf0, 0x90);
    wr(MCR, 0x14);
    assert_int_equal(rd(MSR), 0x40 | 0x09); /* RI; CTS and DCD changed */
    assert_int_equal(rd(MSR), 0x40);
    wr(MCR, 0x10);
    assert_int_equal(rd(MSR), 0x04); /* trailing edge of RI */
    wr(MCR, 0x11);
    assert_int_equal(rd(MSR), 0x22);
    wr(RBR, 'q');
    assert_int_equal(sent_count, 0);
    assert_int_equal(rd(RBR), 'q');
    arrive(1); /* from outside nothing is heard */
    assert_int_equal(rd(LSR), 0x60);
    wr(MCR, 0);
    assert_int_equal(rd(LSR), 0x61);
}

static void out2_gates_the_interrupt(void **)
{
    wr(IER, 0x01);
    arrive(1);
    assert_int_equal(rd(IIR), 0x04);
    assert_false(irq.level);
    wr(MCR, 0x08);
    assert_true(irq.level);
    wr(MCR, 0x18);
    assert_false(irq.level);
}

static void a_16450(void **)
{
    start(false);
    wr(IIR, 0xc7);
    assert_int_equal(rd(IIR), 0x01); /* no FIFOs */
    arrive(2);
    assert_int_equal(in_tail, 1);
    wr(MCR, 0x10);
    (void)rd(RBR);
    wr(RBR, 1);
    wr(RBR, 2); /* overrun: the new one replaces the old one */
    assert_int_equal(rd(LSR), 0x63);
    assert_int_equal(rd(RBR), 2);
    assert_int_equal(rd(LSR), 0x60);
}

static void shows(void **)
{
    wr(IIR, 0x81);
    arrive(2);
    wr(IER, 1);
    SHOW(vuart_show(&uart, out));
    assert_non_null(strstr(shown, "16550A at 3f8H"));
    assert_non_null(strstr(shown, "trigger at 8"));
    assert_non_null(strstr(shown, "received 2 (2 in FIFO)"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(reset_state),
        TEST(divisor_and_scratch),
        TEST(transmits),
        TEST(back_pressure),
        TEST(receives_without_fifo),
        TEST(trigger_levels),
        TEST(character_timeout),
        TEST(fifo_is_sixteen_deep),
        TEST(interrupt_priorities),
        TEST(loopback_modem),
        TEST(out2_gates_the_interrupt),
        TEST(a_16450),
        TEST(shows),
    };

    return cmocka_run_group_tests_name("vuart", tests, NULL, NULL);
}
