/* SPDX-License-Identifier: MIT
 *
 * The console multiplexer with shell and log on top and a make-believe terminal below: who gets the
 * keys, what a person sees, and that nothing waits for a slow or dead line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "drivers/console/mux.h"
#include "drivers/console/shell.h"
#include "lib/log.h"
#include "tests/unit/screen.h"

static struct mux mux;
static struct shell shell;
static struct screen screen;
static struct chardev guest[2];
static unsigned woken[2];
static u32 budget; /* bytes the line takes before the next refill */
static u32 refill; /* what a poll of the dead-slow line gives back: bytes per 4 calls */
static u64 time_us, calls;
static char input[300];
static u32 input_len, input_at;
static bool wants_interrupt;

static u32 hw_send(void *, const u8 *bytes, u32 n)
{
    if (++calls % 4 == 0)
        budget += refill;
    n = n < budget ? n : budget;
    budget -= n;
    for (u32 i = 0; i < n; i++)
        screen_byte(&screen, (char)bytes[i]);
    return n;
}

static int hw_receive(void *) { return input_at < input_len ? (u8)input[input_at++] : -1; }

static void hw_want_send(void *, bool on) { wants_interrupt = on; }

static u64 hw_now(void *) { return time_us; }

static void wake(void *ctx) { (*(unsigned *)ctx)++; }

static enum status run_partial(struct shell *sh)
{
    sink_printf(sh->out, "half");
    log_info("t", "between");
    sink_printf(sh->out, "rest\n");
    return STATUS_OK;
}

static enum status run_quit(struct shell *sh)
{
    shell_stop(sh);
    return STATUS_OK;
}

static enum status run_flood(struct shell *sh)
{
    for (int i = 0; i < 2000; i++)
        sink_printf(sh->out, "row %d of a long listing\n", i);
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"partial", "", "Prints half a line", NULL, run_partial, 0},
    {"quit", "", "Ends", NULL, run_quit, 0},
    {"flood", "", "Prints much", NULL, run_flood, 0},
};

static int setup(void **)
{
    static const struct mux_hw hw = {
        .send = hw_send, .receive = hw_receive, .want_send = hw_want_send, .now_us = hw_now};
    struct mux_prompt prompt;

    screen_init(&screen, 80);
    budget = 1u << 30;
    refill = 0;
    time_us = 0;
    input_len = input_at = 0;
    woken[0] = woken[1] = 0;
    mux_init(&mux, &hw);
    shell_init(&shell, &mux.prompt_out, &mux, 80);
    assert_int_equal(shell_register(&shell, commands, ARRAY_SIZE(commands), NULL), STATUS_OK);
    prompt = shell_prompt(&shell);
    mux_set_prompt(&mux, &prompt);
    assert_int_equal(mux_add_guest(&mux, "vm0", wake, &woken[0], &guest[0]), STATUS_OK);
    assert_int_equal(mux_add_guest(&mux, "vm1", wake, &woken[1], &guest[1]), STATUS_OK);
    log_attach(&mux.log_out, LOG_INFO);
    screen_init(&screen, 80);
    editor_start(&shell.editor);
    return 0;
}

static int teardown(void **)
{
    log_detach(&mux.log_out);
    assert_int_equal(screen.unknown, 0);
    return 0;
}

static void type(const char *keys)
{
    snprintf(input, sizeof(input), "%s", keys);
    input_len = (u32)strlen(keys);
    input_at = 0;
    mux_poll(&mux);
}

static void guest_says(int n, const char *text)
{
    for (; *text; text++)
        if (guest[n].room(guest[n].ctx))
            guest[n].put(guest[n].ctx, (u8)*text);
}

static const char *guest_hears(int n)
{
    static char heard[300];
    size_t len = 0;

    for (int c; (c = guest[n].get(guest[n].ctx)) >= 0;)
        heard[len++] = (char)c;
    heard[len] = 0;
    return heard;
}

/* The last rows, the lowest last; the cursor is on the lowest. */
static void rows(const char *a, const char *b, const char *c)
{
    const char *want[] = {a, b, c};

    for (unsigned i = 0; i < 3; i++) {
        const char *row = screen.row + i >= 2 ? screen_row(&screen, screen.row + i - 2) : "";

        if (strcmp(row, want[i]) != 0)
            fail_msg("row %d shows \"%s\", expected \"%s\"", (int)i - 2, row, want[i]);
    }
}

static void test_log_over_prompt(void **)
{
    type("echo ab\x02");
    log_info("t", "one");
    log_info("t", "two");
    mux_poll(&mux);
    rows("[0.000000] c0 t: one", "[0.000000] c0 t: two", "vitrine> echo ab");
    assert_int_equal(screen.column, 15);
    log_info("t", "three");
    type("X\r"); /* drawn again before the key counts */
    rows("vitrine> echo aXb", "aXb", "vitrine>");
}

static void test_log_in_command(void **)
{
    type("partial\r");
    rows("[0.000000] c0 t: between", "rest", "vitrine>");
    assert_true(screen_shows(&screen, "half"));
}

static void test_guest_lines_over_prompt(void **)
{
    type("ec");
    guest_says(0, "hello\033[1;31m red\033[0m\r\nwor");
    guest_says(1, "\033]0;title\007x\tz\b!\r\n");
    mux_poll(&mux);
    rows("[vm0] hello red", "[vm1] x !", "vitrine> ec");
    guest_says(0, "ld 10%\rWORLD\n\n");
    mux_poll(&mux);
    rows("[vm1] x !", "[vm0] WORLD 10%", "vitrine> ec");
}

static void test_hidden_guest(void **)
{
    type("con vm1 hide\r");
    guest_says(1, "nothing\n");
    guest_says(1, "login: ");
    assert_false(screen_shows(&screen, "[vm1] nothing"));
    type("con vm1\r");
    rows("vitrine> con vm1", "-- console: guest vm1; Ctrl-] for the prompt --", "login:");
}

static void test_focus(void **)
{
    guest_says(0, "boot\nlogin: ");
    type("ec\x1d");
    rows("[vm0] boot", "-- console: guest vm0; Ctrl-] for the prompt --", "login:");
    type("root\x03\x01\r");
    assert_string_equal(guest_hears(0), "root\x03\x01\r");
    assert_string_equal(guest_hears(1), "");
    assert_int_equal(woken[0], 7);
    guest_says(0, "root\r\n# ");
    log_info("t", "late");
    mux_poll(&mux);
    rows("#", "[0.000000] c0 t: late", "#");
    assert_int_equal(screen.column, 2);
    type("\x1dho");
    rows("#", "-- console: hypervisor's prompt; Ctrl-] for vm0 --", "vitrine> echo");
    assert_string_equal(shell.editor.line, "echo");
    assert_int_equal(mux_focus(&mux, 2), STATUS_ENOENT);
    assert_int_equal(mux_focus(&mux, -2), STATUS_ENOENT);
    assert_int_equal(mux_focus(&mux, 1), STATUS_OK);
    type("\x1d");
    time_us += 600000;
    type("\x1d");
    assert_int_equal(mux.focus, 1); /* back to the last one, not to the first */
}

static void test_double_bracket(void **)
{
    type("\x1d");
    time_us = 1000000;
    type("\x1d");
    time_us += 400000;
    type("\x1d");
    assert_int_equal(mux.focus, 0);
    assert_string_equal(guest_hears(0), "\x1d");
    time_us = 3000000;
    type("\x1d");
    time_us += 600000; /* too late to be a double */
    type("\x1d");
    assert_int_equal(mux.focus, 0);
    assert_string_equal(guest_hears(0), "");
    type("\x1d"
         "a\x1d"); /* something between */
    assert_string_equal(guest_hears(0), "");
}

static void test_escape_not_torn(void **)
{
    type("\x1d");
    guest_says(0, "a\033[3");
    log_info("t", "waits");
    assert_false(screen_shows(&screen, "[0.000000] c0 t: waits"));
    guest_says(0, "1mb");
    assert_true(screen_shows(&screen, "[0.000000] c0 t: waits"));
    rows("a", "[0.000000] c0 t: waits", "ab");
    guest_says(0, "\033[");
    log_info("t", "flushed");
    mux_poll(&mux); /* bounded: a poll shows it whatever the guest does */
    assert_true(screen_shows(&screen, "[0.000000] c0 t: flushed"));
    guest_says(0, "\n\033[");
    for (int i = 0; i < 40; i++)
        log_info("t", "many lines %d", i);
    assert_true(screen_shows(&screen, "[0.000000] c0 t: many lines 20"));
}

static void test_back_pressure(void **)
{
    u32 put = 0;

    type("\x1d");
    budget = 0;
    while (guest[0].room(guest[0].ctx) && put < 100000) {
        guest[0].put(guest[0].ctx, 'x');
        put++;
    }
    assert_int_equal(put, MUX_GUEST_PART);
    assert_true(wants_interrupt && mux_pending(&mux));
    guest[0].put(guest[0].ctx, 'y'); /* no room: dropped and counted */
    assert_int_equal(mux.guest[0].tx_lost, 1);
    log_info("t", "still heard"); /* the log has its own share */
    assert_int_equal(mux.log_lost, 0);
    woken[0] = 0;
    mux_poll(&mux);
    assert_int_equal(woken[0], 0);
    budget = 1u << 30;
    mux_poll(&mux);
    mux_poll(&mux);
    assert_int_equal(woken[0], 1);
    assert_false(wants_interrupt || mux_pending(&mux));
    assert_true(screen_shows(&screen, "[0.000000] c0 t: still heard"));
}

static void test_lost_lines(void **)
{
    budget = 0;
    for (int i = 0; i < 1000; i++)
        log_info("t", "line %d", i);
    assert_true(mux.log_lost > 100 && mux.log_lost < 900);
    calls = 0;
    log_info("t", "one more");
    assert_true(calls < 8); /* it did not wait */
    budget = 1u << 30;
    mux_poll(&mux);
    mux_poll(&mux);
    log_info("t", "after");
    assert_int_equal(mux.log_lost, 0);
    mux_poll(&mux);
    rows(screen_row(&screen, screen.row - 2), "[0.000000] c0 t: after", "vitrine>");
    assert_non_null(strstr(screen_row(&screen, screen.row - 2), "log lines not shown"));
}

static void test_slow_command(void **)
{
    budget = 0;
    refill = 3;
    type("flood\r"); /* waits for the slow line: nothing of it is lost */
    mux_flush(&mux);
    assert_true(screen_shows(&screen, "row 1999 of a long listing"));
    assert_int_equal(mux.out_lost, 0);
}

static void test_dead_line(void **)
{
    budget = 0;
    calls = 0;
    type("flood\r");
    assert_true(calls < 1000000); /* bounded, however much there is to say */
    assert_true(mux.out_lost > 10000);
    assert_int_equal(mux.focus, MUX_PROMPT);
    budget = 1u << 30;
    mux_poll(&mux);
    screen_init(&screen, 80);
    type("echo alive\r");
    assert_true(screen_shows(&screen, "alive"));
}

static void test_machine_prefix(void **)
{
    type("mode machine\n");
    screen_init(&screen, 80);
    log_info("t", "said");
    guest_says(0, "x\n");
    type("echo a\n");
    assert_string_equal(screen_row(&screen, 0), "* [0.000000] c0 t: said");
    assert_string_equal(screen_row(&screen, 1), "* [vm0] x");
    assert_string_equal(screen_row(&screen, 2), "a");
    assert_string_equal(screen_row(&screen, 3), "ok");
    assert_int_equal(screen.row, 4);
}

static void test_rx_overflow(void **)
{
    char keys[300];

    memset(keys, 'k', sizeof(keys) - 1);
    keys[299] = 0;
    type("\x1d");
    type(keys);
    assert_int_equal(strlen(guest_hears(0)), 256);
    assert_int_equal(mux.guest[0].rx_lost, 43);
}

static void test_con(void **)
{
    type("con\r");
    assert_true(screen_shows(&screen, "* prompt"));
    type("con vmx\r");
    assert_true(screen_shows(&screen, "column 5: expected prompt or a guest's name (`con` lists "
                                      "them), got \"vmx\""));
    type("con prompt hide\r");
    assert_true(screen_shows(&screen, "column 12: the prompt is always shown"));
    type("con v\t\r");
    assert_int_equal(mux.focus, MUX_PROMPT); /* "vm" alone is nobody */
    type("con vm1\r");
    assert_int_equal(mux.focus, 1);
}

static void test_limits(void **)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    struct chardev dev;

    assert_int_equal(mux_add_guest(&mux, "vm1", NULL, NULL, &dev), STATUS_EEXIST);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(mux_add_guest(&mux, names[i], NULL, NULL, &dev), STATUS_OK);
    assert_int_equal(mux_add_guest(&mux, "z", NULL, NULL, &dev), STATUS_ENOSPC);
    dev.put(dev.ctx, 'q'); /* no wake: quiet */
    assert_int_equal(mux_focus(&mux, 7), STATUS_OK);
    type("x");
    assert_int_equal(dev.get(dev.ctx), 'x');
    assert_int_equal(dev.get(dev.ctx), -1);
}

static void test_panic(void **)
{
    type("\x1d");
    guest_says(0, "partial \033[");
    log_info("t", "held");
    budget = 0;
    refill = 2;
    lock_take(&mux.lock); /* died in the middle of it */
    shell.running = true;
    snprintf(input, sizeof(input), "echo post\x1d mortem\rquit\r");
    input_len = (u32)strlen(input);
    input_at = 0;
    shell_run_polled(&shell);
    assert_false(mux_pending(&mux));
    assert_true(screen_shows(&screen, "[0.000000] c0 t: held"));
    assert_true(screen_shows(&screen, "post mortem"));
    log_info("t", "synchronous");
    assert_true(screen_shows(&screen, "[0.000000] c0 t: synchronous"));
}

static void test_no_guest(void **)
{
    struct mux alone;
    static const struct mux_hw hw = {.send = hw_send};

    screen_init(&screen, 80);
    mux_init(&alone, &hw);
    mux_poll(&alone); /* hardware that only sends, nobody at the prompt */
    alone.hw.receive = hw_receive;
    snprintf(input, sizeof(input), "\x1dx");
    input_len = 2;
    input_at = 0;
    mux_poll(&alone);
    assert_true(screen_shows(&screen, "-- console: there is no guest to go to --"));
}

/* Anything said and typed in any order: the prompt's row is in the end what was typed. */
static void test_random(void **)
{
    srand(5);
    for (int i = 0; i < 60000; i++) {
        char c[2] = {(char)(1 + rand() % 255), 0};

        switch (rand() % 6) {
        case 0: type(c); break;
        case 1: log_info("t", "event %d", i); break;
        case 2:
            budget = (u32)rand() % 200;
            refill = (u32)rand() % 3;
            mux_poll(&mux);
            break;
        default: guest_says(rand() % 2, rand() % 8 ? c : "\033[1m line\r\n"); break;
        }
    }
    budget = 1u << 30;
    type("\x07");
    assert_int_equal(mux_focus(&mux, 0), STATUS_OK);
    assert_int_equal(mux_focus(&mux, MUX_PROMPT), STATUS_OK);
    mux.escape_fresh = false;
    screen_init(&screen, 80);
    type("\x15hello");
    rows("", "", "vitrine> hello");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_log_over_prompt),
        TEST(test_log_in_command),
        TEST(test_guest_lines_over_prompt),
        TEST(test_hidden_guest),
        TEST(test_focus),
        TEST(test_double_bracket),
        TEST(test_escape_not_torn),
        TEST(test_back_pressure),
        TEST(test_lost_lines),
        TEST(test_slow_command),
        TEST(test_dead_line),
        TEST(test_machine_prefix),
        TEST(test_rx_overflow),
        TEST(test_con),
        TEST(test_limits),
        TEST(test_panic),
        TEST(test_no_guest),
        TEST(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
