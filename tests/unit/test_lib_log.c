/* SPDX-License-Identifier: MIT
 *
 * lib/log.c: the form of a line, levels, replay to a sink that comes late, and the ring running
 * over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log.h"

static char text[100000];
static struct buf_sink out;

static u64 clock_us(void) { return 12000034; }

static unsigned cpu_three(void) { return 3; }

static int start(void **)
{
    buf_sink_init(&out, text, sizeof(text));
    return 0;
}

static int stop(void **)
{
    log_detach(&out.sink);
    return 0;
}

static void test_form(void **)
{
    log_info("early", "kept %d", 1);
    log_debug("early", "too fine");
    log_set_source(clock_us, cpu_three);
    log_attach(&out.sink, LOG_INFO);
    log_warn("vm1.0 vuart", "has %s", "dropped\033[2J\n");
    assert_string_equal(text, "[0.000000] c0 early: kept 1\n"
                              "[12.000034] c3 vm1.0 vuart: has dropped?[2J?\n");
}

static void test_levels(void **)
{
    log_attach(&out.sink, LOG_ERROR);
    out.len = 0;
    log_warn("t", "no");
    log_error("t", "yes");
    assert_string_equal(text, "[12.000034] c3 t: yes\n");
    out.len = 0;
    log_attach(&out.sink, LOG_DEBUG); /* changes the level, replays nothing */
    assert_int_equal(out.len, 0);
    log_debug("t", "now");
    assert_string_equal(text, "[12.000034] c3 t: now\n");
    log_detach(&out.sink);
    out.len = 0;
    log_error("t", "gone");
    assert_int_equal(out.len, 0);
}

static void test_long(void **)
{
    char words[600];
    char *line;

    memset(words, 'w', sizeof(words));
    words[599] = 0;
    log_attach(&out.sink, LOG_DEBUG);
    out.len = 0;
    log_info("t", "%s", words);
    assert_int_equal(out.len, 241);
    assert_string_equal(text + 236, "w...\n");
    out.len = 0;
    log_info(words, "x"); /* even an absurd subsystem */
    assert_int_equal(out.len, 241);
    out.len = 0;
    words[240 - strlen("[12.000034] c3 t: ")] = 0;
    log_info("t", "%s", words);
    assert_int_equal(out.len, 241);
    line = strchr(text, '.');
    assert_null(strstr(line, "..."));
}

static void test_ring_over(void **)
{
    char *p;
    int first, n = 0;

    for (int i = 0; i < 5000; i++)
        log_debug("t", "line %d %.*s", i, i % 200,
                  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    log_dump(&out.sink);
    p = strstr(text, "line ");
    first = atoi(p + 5);
    assert_true(first > 0);
    assert_ptr_equal(text, strstr(text, "[12.000034] c3 t: line")); /* whole lines only */
    for (; p; p = strstr(p + 1, "line "), n++)
        assert_int_equal(atoi(p + 5), first + n);
    assert_int_equal(first + n, 5000);
    assert_true(out.len > 30000 && out.len <= 32768);
}

static void test_too_many_sinks(void **)
{
    struct buf_sink many[4];
    char small[4][600];

    log_attach(&out.sink, LOG_ERROR);
    out.len = 0;
    for (int i = 0; i < 4; i++) {
        buf_sink_init(&many[i], small[i], sizeof(small[i]));
        log_attach(&many[i].sink, LOG_ERROR);
    }
    assert_non_null(strstr(text, "fifth sink"));
    for (int i = 0; i < 4; i++)
        log_detach(&many[i].sink);
}

static void test_replace(void **)
{
    struct buf_sink second;
    char small[600];

    buf_sink_init(&second, small, sizeof(small));
    log_attach(&out.sink, LOG_ERROR);
    out.len = 0;
    log_replace(&out.sink, &second.sink, LOG_INFO);
    log_info("t", "to the second");
    assert_int_equal(out.len, 0);
    assert_string_equal(small, "[12.000034] c3 t: to the second\n");
    log_detach(&second.sink);
    log_replace(&second.sink, &out.sink, LOG_ERROR); /* not there: attached, with replay */
    assert_int_equal(second.len, strlen(small));
    out.len = 0;
    log_error("t", "back");
    assert_string_equal(text, "[12.000034] c3 t: back\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_form, start, stop),
        cmocka_unit_test_setup_teardown(test_levels, start, stop),
        cmocka_unit_test_setup_teardown(test_long, start, stop),
        cmocka_unit_test_setup_teardown(test_ring_over, start, stop),
        cmocka_unit_test_setup_teardown(test_replace, start, stop),
        cmocka_unit_test_setup_teardown(test_too_many_sinks, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
