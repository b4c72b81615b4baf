/* SPDX-License-Identifier: MIT
 *
 * The local APICs' timers against SDM vol. 3A, chapter 10 (sections named at each test).
 */
#include "vlapic.h"

/* 10.5.4: one-shot and periodic counting with every divisor. */
static void timer_divisors(void **)
{
    static const struct {
        u32 tdcr;
        unsigned divisor;
    } by[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

    wr(0, LVT_TIMER, 0x60);
    for (unsigned i = 0; i < ARRAY_SIZE(by); i++) {
        u64 t = fake_now;

        wr(0, TDCR, by[i].tdcr);
        assert_int_equal(rd(0, TDCR), by[i].tdcr);
        wr(0, TMICT, 1000000);
        assert_int_equal(rd(0, TMCCT), 1000000);
        pass(by[i].divisor * 1000ull);
        assert_int_equal(rd(0, TMCCT), 999000);
        pass_to(t + by[i].divisor * 1000000ull - 1);
        assert_int_equal(rd(0, TMCCT), 1);
        assert_int_equal(pending(0), -1);
        pass(1);
        assert_int_equal(rd(0, TMCCT), 0);
        assert_int_equal(rd(0, TMICT), 1000000);
        serve(0, 0x60);
        pass(HZ);
        assert_int_equal(pending(0), -1); /* once */
    }
}

static void timer_periodic(void **)
{
    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x20061);
    wr(0, TMICT, 1000000);
    for (unsigned i = 1; i <= 5; i++) {
        pass_to(i * 1000000ull - 1);
        assert_int_equal(pending(0), -1);
        pass(1);
        serve(0, 0x61);
        pass(250000);
        assert_int_equal(rd(0, TMCCT), 750000);
    }
    wr(0, LVT_TIMER, 0x61); /* to one-shot: the count goes on */
    assert_int_equal(rd(0, TMCCT), 750000);
    pass_to(6000000);
    serve(0, 0x61);
    pass_to(9000000);
    assert_int_equal(pending(0), -1);
    wr(0, TMICT, 1000);
    assert_int_equal(rd(0, TMCCT), 1000);
    wr(0, TMICT, 0); /* 0 stops it */
    assert_int_equal(rd(0, TMCCT), 0);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    wr(0, TMICT, 1000);
    wr(0, LVT_TIMER, 0x61 | MASKED); /* masked: counts without interrupting */
    pass(2000);
    assert_int_equal(pending(0), -1);
    assert_int_equal(rd(0, TMCCT), 0);
}

/* A changed divisor applies to what is left. */
static void timer_divide_changes(void **)
{
    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x60);
    wr(0, TMICT, 1000000);
    pass(400000);
    wr(0, TDCR, 0); /* by 2 */
    assert_int_equal(rd(0, TMCCT), 600000);
    pass(1200000 - 1);
    assert_int_equal(pending(0), -1);
    pass(1);
    assert_int_equal(pending(0), 0x60);
}

/* However short the period: bounded work, and a time that goes on. */
static void timer_tiny_period(void **)
{
    unsigned runs = 0;

    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x20061);
    wr(0, TMICT, 1);
    for (fake_now = 0; fake_now < HZ / 100; runs++) {
        assert_true(clock_next(&fake_clock) > fake_now);
        fake_now = clock_next(&fake_clock);
        clock_run(&fake_clock, fake_now);
        if (pending(0) >= 0)
            (void)accept(0);
        wr(0, EOI, 0);
    }
    assert_in_range(runs, 50, 101);
}

/* 10.5.4.1: TSC-deadline mode. */
static void timer_deadline(void **)
{
    assert_true(wrmsr(0, 0x6e0, 5000)); /* ignored in the other modes, reads 0 */
    assert_int_equal(msr_value(0, 0x6e0), 0);
    wr(0, LVT_TIMER, 0x40062);
    wr(0, TMICT, 1000); /* ignored */
    assert_int_equal(rd(0, TMICT), 0);
    assert_int_equal(rd(0, TMCCT), 0);
    assert_true(wrmsr(0, 0x6e0, 5000));
    assert_int_equal(msr_value(0, 0x6e0), 5000);
    pass_to(4999);
    assert_int_equal(pending(0), -1);
    pass(1);
    assert_int_equal(msr_value(0, 0x6e0), 0);
    serve(0, 0x62);
    assert_true(wrmsr(0, 0x6e0, 1)); /* already past: at once */
    serve(0, 0x62);
    assert_int_equal(msr_value(0, 0x6e0), 0);
    assert_true(wrmsr(0, 0x6e0, 9000));
    assert_true(wrmsr(0, 0x6e0, 0)); /* 0 disarms */
    pass_to(10000);
    assert_int_equal(pending(0), -1);
    assert_true(wrmsr(0, 0x6e0, 12000));
    wr(0, LVT_TIMER, 0x62); /* leaving the mode disarms */
    wr(0, LVT_TIMER, 0x40062);
    pass_to(20000);
    assert_int_equal(pending(0), -1);
}

/* The deadline is one of the guest's TSC, which need not be the clock. */
static void timer_deadline_offset(void **)
{
    wr(0, LVT_TIMER, 0x40062);
    intc.ops->set_tsc_offset(intc.ctx, 0, 1000000);
    assert_true(wrmsr(0, 0x6e0, 1005000));
    assert_int_equal(clock_next(&fake_clock), 5000);
    intc.ops->set_tsc_offset(intc.ctx, 0, 1002000); /* IA32_TSC moved by 2000 */
    assert_int_equal(clock_next(&fake_clock), 3000);
    pass_to(3000);
    serve(0, 0x62);
    fake_now = 5000;
    intc.ops->set_tsc_offset(intc.ctx, 0, -4000ull); /* a TSC set back */
    assert_true(wrmsr(0, 0x6e0, 2000));
    assert_int_equal(msr_value(0, 0x6e0), 2000);
    assert_int_equal(clock_next(&fake_clock), 6000);
    assert_true(wrmsr(0, 0x6e0, ~0ull)); /* never comes */
    assert_int_equal(pending(0), -1);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    assert_true(wrmsr(0, 0x6e0, 3000));
    intc.ops->set_tsc_offset(intc.ctx, 0, 0); /* moved past it */
    assert_int_equal(accept(0), 0x62);
}

/* A periodic count read late, before the timer's own event has been seen to. */
static void timer_read_late(void **)
{
    wr(0, TDCR, 0xb);
    wr(0, LVT_TIMER, 0x20060);
    wr(0, TMICT, 1000000);
    fake_now = 3400000;
    assert_int_equal(rd(0, TMCCT), 600000);
    wr(0, TDCR, 0);
    wr(0, TMICT, 1000000);
    fake_now += 2000000 + 500000;
    assert_int_equal(rd(0, TMCCT), 750000);
    wr(0, LVT_TIMER, 0x60); /* one-shot: over */
    assert_int_equal(rd(0, TMCCT), 0);
    clock_run(&fake_clock, fake_now);
    assert_int_equal(accept(0), 0x60);
    wr(0, LVT_TIMER, 0x60060); /* the reserved mode does nothing */
    wr(0, TMICT, 1000);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timer_divisors),    TEST(timer_periodic), TEST(timer_divide_changes),
        TEST(timer_tiny_period), TEST(timer_deadline), TEST(timer_deadline_offset),
        TEST(timer_read_late),
    };

    return cmocka_run_group_tests_name("vlapic_timer", tests, NULL, NULL);
}
