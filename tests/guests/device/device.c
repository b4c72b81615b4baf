/* SPDX-License-Identifier: MIT
 *
 * The PC's old devices as a driver uses them: 8254 (data sheet: Intel 231164), MC146818 clock,
 * 16550, port 61h.  The 8254 is the yardstick for the TSC and the other way round.
 */
#include "tests/guests/lib/guest.h"

#define PIT_HZ 1193182u
#define COM1   0x3f8

static u16 pit_read(unsigned channel)
{
    u8 low;

    outb(0x43, (u8)(channel << 6)); /* latch */
    low = inb((u16)(0x40 + channel));
    return (u16)(low | inb((u16)(0x40 + channel)) << 8);
}

static void pit_program(unsigned channel, u8 mode, u16 count)
{
    outb(0x43, (u8)(channel << 6 | 0x30u | (unsigned)mode << 1));
    outb((u16)(0x40 + channel), (u8)count);
    outb((u16)(0x40 + channel), (u8)(count >> 8));
}

/* Gate of channel 2 on, speaker off; bit 5 of port 61h is its output. */
static void gate_on(void) { outb(0x61, (u8)((inb(0x61) & ~3u) | 1)); }

TEST(pit_counts_down)
{
    u16 a, b;

    gate_on();
    pit_program(2, 0, 0xffff);
    for (int i = 0; i < 100; i++)
        cpu_pause();
    a = pit_read(2);
    for (int i = 0; i < 5000; i++)
        cpu_pause();
    b = pit_read(2);
    EXPECT(b < a);
}

TEST(pit_mode_0_output)
{
    u64 spins = 0;

    gate_on();
    pit_program(2, 0, 2000);
    EXPECT_EQ(inb(0x61) & 0x20, 0);
    while (!(inb(0x61) & 0x20) && spins++ < 10000000)
        ;
    EXPECT(spins < 10000000);
    EXPECT(inb(0x61) & 0x20); /* stays high */
}

TEST(pit_gate_stops)
{
    u16 a;

    gate_on();
    pit_program(2, 0, 0xffff);
    outb(0x61, (u8)(inb(0x61) & ~1u));
    a = pit_read(2);
    for (int i = 0; i < 5000; i++)
        cpu_pause();
    EXPECT_EQ(pit_read(2), a);
    gate_on();
    for (int i = 0; i < 5000; i++)
        cpu_pause();
    EXPECT(pit_read(2) < a);
}

TEST(pit_latch_holds)
{
    u8 low, high;
    u16 latched, now;

    gate_on();
    pit_program(2, 2, 0xfff0);
    outb(0x43, 0x80);
    for (int i = 0; i < 5000; i++)
        cpu_pause();
    outb(0x43, 0x80); /* a second latch changes nothing until the first is read */
    low = inb(0x42);
    high = inb(0x42);
    latched = (u16)(low | high << 8);
    now = pit_read(2);
    EXPECT(latched > now);
}

TEST(pit_read_back)
{
    u8 status;

    gate_on();
    pit_program(2, 3, 0x1000);
    for (int i = 0; i < 100; i++)
        cpu_pause();
    outb(0x43, 0xe8); /* status of channel 2 */
    status = inb(0x42);
    EXPECT_EQ(status & 0x3f, 0x36); /* both bytes, mode 3, binary */
    EXPECT_EQ(status & 0x40, 0);    /* the count has been loaded */
}

/* Ticks of the TSC in 20 ms by the 8254, twice: the same within 5 %. */
static u64 tsc_per_20ms(void)
{
    u64 begin, spins = 0;

    gate_on();
    pit_program(2, 0, PIT_HZ / 50);
    begin = rdtsc();
    while (!(inb(0x61) & 0x20) && spins++ < 100000000)
        ;
    return rdtsc() - begin;
}

TEST(pit_and_tsc_agree)
{
    u64 a = tsc_per_20ms(), b = tsc_per_20ms();

    EXPECT(a > 10000);
    EXPECT_RANGE(a * 100 / b, 95, 105);
}

static u8 cmos(u8 index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void cmos_write(u8 index, u8 v)
{
    outb(0x70, index);
    outb(0x71, v);
}

static unsigned from_bcd(u8 v) { return (unsigned)(v >> 4) * 10 + (v & 15); }

TEST(rtc_time_makes_sense)
{
    unsigned second, minute, month, day, year;

    while (cmos(0xa) & 0x80)
        ;
    if (cmos(0xb) & 4)
        SKIP("binary mode");
    second = from_bcd(cmos(0));
    minute = from_bcd(cmos(2));
    day = from_bcd(cmos(7));
    month = from_bcd(cmos(8));
    year = from_bcd(cmos(9));
    EXPECT_RANGE(second, 0, 59);
    EXPECT_RANGE(minute, 0, 59);
    EXPECT_RANGE(day, 1, 31);
    EXPECT_RANGE(month, 1, 12);
    EXPECT_RANGE(year, 0, 99);
    EXPECT(cmos(0xd) & 0x80); /* the battery is good */
}

TEST(rtc_keeps_memory)
{
    u8 old = cmos(0x50);

    cmos_write(0x50, (u8)(old ^ 0x5a));
    EXPECT_EQ(cmos(0x50), old ^ 0x5a);
    cmos_write(0x50, old);
}

static void on_rtc(struct trap_frame *f)
{
    (void)cmos(0xc); /* or no further interrupt comes */
    irq_count_pic(f);
}

/* Periodic interrupts of 1024 Hz (rate 6) on IRQ 8: 40 of them take 40 ms, give or take two. */
TEST(rtc_periodic)
{
    u64 per_20ms = tsc_per_20ms(), begin;

    apic_start();
    irq_seen[PIC_VECTOR + 8] = 0;
    trap_handle(PIC_VECTOR + 8, on_rtc);
    cmos_write(0xa, 0x26);
    cmos_write(0xb, (u8)(cmos(0xb) | 0x40));
    (void)cmos(0xc);
    pic_unmask(BIT(2) | BIT(8));
    EXPECT(irq_wait(PIC_VECTOR + 8, 1, 20000000));
    begin = rdtsc();
    EXPECT(irq_wait(PIC_VECTOR + 8, 41, 100000000));
    begin = rdtsc() - begin;
    cmos_write(0xb, (u8)(cmos(0xb) & ~0x70u));
    pic_unmask(0);
    (void)cmos(0xc);
    EXPECT_RANGE(begin * 50 / per_20ms, 92, 103);
}

TEST(rtc_update_interrupt)
{
    irq_seen[PIC_VECTOR + 8] = 0;
    (void)cmos(0xc);
    cmos_write(0xb, (u8)(cmos(0xb) | 0x10));
    pic_unmask(BIT(2) | BIT(8));
    EXPECT(irq_wait(PIC_VECTOR + 8, 1, 100000000));
    cmos_write(0xb, (u8)(cmos(0xb) & ~0x70u));
    pic_unmask(0);
    trap_handle(PIC_VECTOR + 8, NULL);
}

/* Loop-back (MCR bit 4): what is sent is received, modem outputs appear as inputs. */
TEST(uart_loopback)
{
    u8 modem, byte = 0, status = 0;

    while (!(inb(COM1 + 5) & 0x40))
        ;
    outb(COM1 + 4, 0x1a); /* loop, RTS, OUT2 */
    modem = inb(COM1 + 6);
    outb(COM1, 0xa5);
    for (int i = 0; i < 1000000 && !((status = inb(COM1 + 5)) & 1); i++)
        ;
    byte = inb(COM1);
    outb(COM1 + 4, 3);
    EXPECT_EQ(modem & 0xf0, 0x90);
    EXPECT(status & 1);
    EXPECT_EQ(byte, 0xa5);
}

TEST(uart_registers)
{
    u8 low, high, lcr;

    EXPECT_EQ(inb(COM1 + 2) & 0xc1, 0xc1); /* FIFOs on, nothing pending */
    outb(COM1 + 3, 0x83);
    low = inb(COM1);
    high = inb(COM1 + 1);
    lcr = inb(COM1 + 3);
    outb(COM1 + 3, 3);
    EXPECT_EQ(low, 1);
    EXPECT_EQ(high, 0);
    EXPECT_EQ(lcr, 0x83);
    outb(COM1 + 1, 0x0f);
    EXPECT_EQ(inb(COM1 + 1), 0x0f);
    outb(COM1 + 1, 0);
}

static void on_uart(struct trap_frame *f)
{
    (void)inb(COM1 + 2);
    outb(COM1 + 1, 0);
    irq_count_pic(f);
}

/* "Transmitter empty" on IRQ 4, let through by OUT2. */
TEST(uart_interrupt)
{
    while (!(inb(COM1 + 5) & 0x40))
        ;
    irq_seen[PIC_VECTOR + 4] = 0;
    trap_handle(PIC_VECTOR + 4, on_uart);
    pic_unmask(BIT(4));
    outb(COM1 + 4, 0x0b);
    outb(COM1 + 1, 2);
    EXPECT(irq_wait(PIC_VECTOR + 4, 1, 1000000));
    outb(COM1 + 1, 0);
    outb(COM1 + 4, 3);
    pic_unmask(0);
    EXPECT_EQ(irq_seen[PIC_VECTOR + 4], 1);
    trap_handle(PIC_VECTOR + 4, NULL);
}
