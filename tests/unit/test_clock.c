/* SPDX-License-Identifier: MIT
 *
 * Timers in order, re-arming and disarming from handlers, and exact conversions.
 */
#include "device.h"

struct shot {
    struct timer timer;
    unsigned fired;
    u64 again; /* re-arm this much later; 0: not */
    struct timer *kill;
};

static unsigned order[16], fired;

static void fire(void *dev, u64 deadline)
{
    struct shot *s = dev;

    s->fired++;
    order[fired++ % 16] = (unsigned)deadline;
    if (s->again)
        clock_arm(&fake_clock, &s->timer, deadline + s->again);
    if (s->kill)
        clock_disarm(&fake_clock, s->kill);
}

#define SHOT(...)                            \
    {                                        \
        .timer = {.fire = fire}, __VA_ARGS__ \
    }

static int setup(void **)
{
    fake_start(1000000000);
    fired = 0;
    return 0;
}

static void fires_in_order(void **)
{
    struct shot s[3] = {SHOT(0), SHOT(0), SHOT(0)};
    static const u64 at[] = {300, 100, 200};

    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
    for (unsigned i = 0; i < 3; i++) {
        s[i].timer.dev = &s[i];
        clock_arm(&fake_clock, &s[i].timer, at[i]);
    }
    assert_int_equal(clock_next(&fake_clock), 100);
    clock_run(&fake_clock, 99);
    assert_int_equal(fired, 0);
    clock_run(&fake_clock, 200);
    assert_int_equal(fired, 2);
    assert_int_equal(order[0], 100);
    assert_int_equal(order[1], 200);
    assert_false(s[1].timer.armed);
    assert_true(s[0].timer.armed);
    clock_arm(&fake_clock, &s[0].timer, 50); /* armed again: moves */
    assert_int_equal(clock_next(&fake_clock), 50);
    clock_disarm(&fake_clock, &s[0].timer);
    assert_false(s[0].timer.armed);
    clock_disarm(&fake_clock, &s[0].timer);
    assert_int_equal(clock_next(&fake_clock), CLOCK_NEVER);
}

static void handlers_arm_and_disarm(void **)
{
    struct shot a = SHOT(.again = 10), b = SHOT(0);

    a.timer.dev = &a, b.timer.dev = &b;
    a.kill = &b.timer;
    clock_arm(&fake_clock, &a.timer, 10);
    clock_arm(&fake_clock, &b.timer, 10); /* after a, which removes it */
    clock_run(&fake_clock, 45);
    assert_int_equal(a.fired, 4);
    assert_int_equal(b.fired, 0);
    assert_int_equal(clock_next(&fake_clock), 50);
}

static void a_run_ends(void **)
{
    struct shot a = SHOT(.again = 1);

    a.timer.dev = &a;
    clock_arm(&fake_clock, &a.timer, 1);
    clock_run(&fake_clock, 1000000);
    assert_in_range(a.fired, 1, 10000);
    assert_true(a.timer.armed);
}

/* The standard's own arithmetic on 128 bits is the reference. */
static void conversions_are_exact(void **)
{
    static const u64 hz[] = {1, 32768, 1193182, 3579545, 1000000000, 2999999999, 6000000001};
    static const u64 n[] = {0,          1,          2,          999999937,
                            1ull << 32, 1ull << 40, 1ull << 53, 0x123456789abcdef};

    for (unsigned i = 0; i < ARRAY_SIZE(hz); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(hz); j++)
            for (unsigned k = 0; k < ARRAY_SIZE(n); k++) {
                struct clock c = {.hz = hz[i]};
                u128 to = (u128)n[k] * hz[j] / hz[i], from = (u128)n[k] * hz[i] / hz[j];
                u128 reach = ((u128)n[k] * hz[i] + hz[j] - 1) / hz[j];

                assert_true(clock_ticks_to(&c, n[k], hz[j]) == (to >> 64 ? ~0ull : (u64)to));
                assert_true(clock_ticks_from(&c, n[k], hz[j]) == (from >> 64 ? ~0ull : (u64)from));
                assert_true(clock_ticks_reach(&c, n[k], hz[j]) ==
                            (reach >> 64 ? ~0ull : (u64)reach));
            }
}

static void periods(void **)
{
    struct clock c = {.hz = 1000000000};

    assert_int_equal(clock_floor(&c), 100000);
    assert_int_equal(clock_next_period(&c, 1000000, 1000000, 1000007), 2000000);
    /* Late: the next multiple after the floor, in phase. */
    assert_int_equal(clock_next_period(&c, 1000000, 1000000, 5300000), 6000000);
    assert_int_equal(clock_next_period(&c, 1000, 1, 1000), 101000);
    assert_int_equal(clock_next_period(&c, 1000, 7, 1000) % 7, 1000 % 7);
    assert_in_range(clock_next_period(&c, 1000, 7, 1000), 101000, 101007);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fires_in_order, setup),
        cmocka_unit_test_setup(handlers_arm_and_disarm, setup),
        cmocka_unit_test_setup(a_run_ends, setup),
        cmocka_unit_test_setup(conversions_are_exact, setup),
        cmocka_unit_test_setup(periods, setup),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
