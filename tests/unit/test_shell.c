/* SPDX-License-Identifier: MIT
 *
 * The command engine: names, words, counts, numbers, reports for people and for programs, scripts,
 * completion, and a long random stream.  VITRINE_FUZZ_LINES sets how many lines the stream has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "drivers/console/shell.h"
#include "tests/unit/screen.h"

static struct shell sh;
static struct buf_sink out;
static char text[20000];
static char seen[400];
static u64 number;
static unsigned choice;

static enum status run_two(struct shell *s)
{
    assert_ptr_equal(s->ctx, &number);
    assert_null(s->argv[s->argc]);
    seen[0] = 0;
    for (int i = 1; i < s->argc; i++)
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "<%s>", s->argv[i]);
    return STATUS_OK;
}

static enum status run_num(struct shell *s)
{
    number = s->argc > 2 ? s->value[2] : s->value[1];
    choice = s->choice[3];
    return STATUS_OK;
}

static enum status run_busy(struct shell *s)
{
    assert_int_equal(shell_run_line(s, "echo inner"), STATUS_EBUSY);
    sink_printf(s->out, "partial\n");
    return STATUS_EBUSY;
}

static enum status run_row(struct shell *s)
{
    sink_printf(s->out, "%s: %llu.%u %llu.%u\n", s->command->args, (unsigned long long)s->value[1],
                s->choice[1], (unsigned long long)s->value[2], s->choice[2]);
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"two", "A B [C [D]]", "Takes two to four words", NULL, run_two, 0},
    {"twofold", "[X...]", "Takes any", NULL, run_two, 0},
    {"number", "[PORT=5 [SIZE [on|off|only]]]", "Takes numbers", "number 0x60\nnumber 1 4K",
     run_num, 0},
    {"busy", "", "Fails without a word", NULL, run_busy, 0},
    {"row", "a|b [PORT=7]", "Has rows", "row a", run_row, 0},
    {"row", "cow COLOUR|all", NULL, "row cow red", run_row, 0},
    {"row", "cow [PORT]", NULL, NULL, run_row, 0},
    {"needy", "COLOUR", "Needs something", NULL, run_row, 3},
    {"bare", "", "Has no words", NULL, run_row, 0},
};

static bool nth_colour(void *ctx, unsigned n, struct shell_name *name)
{
    static const char *const colours[] = {"RED", "REDDISH", "", "green"};

    assert_ptr_equal(ctx, &choice);
    if (n >= ARRAY_SIZE(colours))
        return false;
    strcpy(name->text, colours[n]);
    name->value = 10 + n;
    return true;
}

static const struct shell_kind kinds[] = {
    {"PORT", "a port", .min = 1, .max = 0xffff},
    {"SIZE", "a size", .max = 1 << 30, .suffix = true},
    {"COLOUR", "a colour", .nth = nth_colour},
};

static enum status prepare(struct shell *s, u8 needs)
{
    assert_int_equal(needs, 3);
    s->subject = &number;
    return number == 13 ? shell_fail(s, -1, STATUS_EBUSY, "not today") : STATUS_OK;
}

static int setup(void **)
{
    buf_sink_init(&out, text, sizeof(text));
    shell_init(&sh, &out.sink, NULL, 80);
    assert_int_equal(shell_register(&sh, commands, ARRAY_SIZE(commands), &number), STATUS_OK);
    shell_set_kinds(&sh, kinds, ARRAY_SIZE(kinds), &choice, prepare);
    return 0;
}

static void run(const char *line, enum status want, const char *report)
{
    enum status s;

    out.len = 0;
    text[0] = 0;
    s = shell_run_line(&sh, line);
    if (s != want || strcmp(text, report) != 0)
        fail_msg("\"%s\": %s, \"%s\", expected %s, \"%s\"", line, status_name(s), text,
                 status_name(want), report);
}

static void test_words(void **)
{
    run("two a b", STATUS_OK, "");
    assert_string_equal(seen, "<a><b>");
    run("  two\t\"a b\" c\"d\"e \"\" #f g", STATUS_OK, "");
    assert_string_equal(seen, "<a b><cde><>");
    run("two a#b b", STATUS_OK, "");
    assert_string_equal(seen, "<a#b><b>");
    run("twofold 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", STATUS_OK, "");
    run("", STATUS_OK, "");
    run("   ", STATUS_OK, "");
    run("# nothing", STATUS_OK, "");
    run("echo a \"b  c\"", STATUS_OK, "a b  c\n");
}

static void test_wrong_words(void **)
{
    run("two a \"b", STATUS_EFORMAT,
        "               ^\ncolumn 7: expected a closing \" of this word\n");
    run("two", STATUS_EINVAL, "            ^\ncolumn 4: expected A (two A B [C [D]])\n");
    run("two a", STATUS_EINVAL, "              ^\ncolumn 6: expected B (two A B [C [D]])\n");
    run("two a b c d e", STATUS_EINVAL,
        "                     ^\ncolumn 13: expected no more words (two A B [C [D]])\n");
    run("busy x", STATUS_EINVAL, "              ^\ncolumn 6: expected no more words (busy)\n");
    run("twofold 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", STATUS_ERANGE,
        "                                                     ^\n"
        "column 45: expected at most 16 words\n");
}

static void test_names(void **)
{
    run("tw", STATUS_EINVAL,
        "         ^\ncolumn 1: expected a command (`help` lists them), got \"tw\", which fits two "
        "twofold\n");
    run("num 6", STATUS_OK, "");
    assert_int_equal(number, 6);
    run("twof", STATUS_OK, "");
    run(" nix", STATUS_ENOENT,
        "          ^\ncolumn 2: expected a command (`help` lists them), got \"nix\"\n");
    run("\"\"", STATUS_ENOENT,
        "         ^\ncolumn 1: expected a command (`help` lists them), got \"\"\n");
    run("\033[2J", STATUS_ENOENT,
        "         ^\ncolumn 1: expected a command (`help` lists them), got \"?[2J\"\n");
    assert_int_equal(shell_register(&sh, commands + 1, 1, NULL), STATUS_EEXIST);
}

static void test_numbers(void **)
{
    run("number", STATUS_OK, "");
    assert_int_equal(number, 5);
    run("number 0xFFFF 0x10k of", STATUS_OK, "");
    assert_int_equal(number, 16384);
    assert_int_equal(choice, 1);
    run("number 1 1 on", STATUS_OK, ""); /* exact wins over "only" */
    assert_int_equal(choice, 0);
    run("number 0", STATUS_ERANGE,
        "                ^\ncolumn 8: expected a port from 1 to 0xffff, got 0\n");
    run("number 65536", STATUS_ERANGE,
        "                ^\ncolumn 8: expected a port from 1 to 0xffff, got 65536\n");
    run("number 99999999999999999999", STATUS_ERANGE,
        "                ^\ncolumn 8: expected a port from 1 to 0xffff, got 99999999999999999999\n");
    run("number 12x", STATUS_EFORMAT,
        "                ^\ncolumn 8: expected a port (decimal, or 0x and hexadecimal), got "
        "\"12x\"\n");
    run("number 1 2G", STATUS_ERANGE,
        "                  ^\ncolumn 10: expected a size from 0 to 0x40000000, got 2G\n");
    run("number 1 1 o", STATUS_EINVAL,
        "                    ^\ncolumn 12: expected on|off|only, got \"o\", which fits several\n");
    run("number 1 1 \"\"", STATUS_EINVAL,
        "                    ^\ncolumn 12: expected on|off|only, got \"\"\n");
}

/* Several rows of one name: the first that fits, else what the best ones expect. */
static void test_rows(void **)
{
    run("row a", STATUS_OK, "a|b [PORT=7]: 0.0 7.0\n");
    run("row b 9", STATUS_OK, "a|b [PORT=7]: 1.1 9.0\n");
    run("bare", STATUS_OK, ": 0.0 0.0\n"); /* nothing is left of the line before */
    run("row c all", STATUS_OK, "cow COLOUR|all: 0.0 1.1\n");
    run("row c a", STATUS_OK, "cow COLOUR|all: 0.0 1.1\n");
    run("row cow red", STATUS_OK, "cow COLOUR|all: 0.0 10.0\n"); /* wholly wins over "reddish" */
    run("row cow G", STATUS_OK, "cow COLOUR|all: 0.0 13.0\n");
    run("row cow", STATUS_OK, "cow [PORT]: 0.0 0.0\n");
    run("row cow 8", STATUS_OK, "cow [PORT]: 0.0 8.0\n");
    run("row cow 0", STATUS_ENOENT, "                 ^\ncolumn 9: expected a colour, got \"0\"\n");
    run("row b x", STATUS_EFORMAT,
        "               ^\ncolumn 7: expected a port (decimal, or 0x and hexadecimal), got \"x\"\n");
    run("row", STATUS_EINVAL, "            ^\ncolumn 4: expected a|b|cow\n");
    run("row x", STATUS_EINVAL, "             ^\ncolumn 5: expected a|b|cow, got \"x\"\n");
    run("row cow red 4", STATUS_EINVAL,
        "                     ^\ncolumn 13: expected no more words (row cow COLOUR|all)\n");
    run("needy re", STATUS_EINVAL,
        "               ^\ncolumn 7: expected a colour, got \"re\", which fits RED REDDISH\n");
    run("needy blue", STATUS_ENOENT,
        "               ^\ncolumn 7: expected a colour, got \"blue\"\n");
    assert_ptr_equal(sh.subject, &number);
    number = 13;
    run("needy red", STATUS_EBUSY, "not today\n");
}

static void test_machine(void **)
{
    run("mode", STATUS_OK, "human\n");
    run("mode machine", STATUS_OK, "ok\n");
    run("echo x", STATUS_OK, "x\nok\n");
    run("", STATUS_OK, "ok\n");
    run("busy", STATUS_EBUSY, "partial\nerr EBUSY: busy\n");
    run("number 0", STATUS_ERANGE,
        "err ERANGE: column 8: expected a port from 1 to 0xffff, got 0\n");
    out.len = 0;
    text[0] = 0;
    shell_start(&sh);
    for (const char *p = "echo a\r\nmode h\n"; *p; p++)
        shell_input(&sh, (u8)*p);
    assert_string_equal(text, "a\nok\n\rvitrine> \033[K");
}

static void test_long_line(void **)
{
    shell_start(&sh);
    sh.editor.echo = false;
    sh.machine = true;
    for (const char *p = "echo "; *p; p++)
        shell_input(&sh, (u8)*p);
    for (int i = 0; i < 300; i++)
        shell_input(&sh, 'a');
    out.len = 0;
    shell_input(&sh, '\r');
    assert_string_equal(text,
                        "err ERANGE: expected a line of at most 255 characters; nothing was run\n");
}

static void test_help(void **)
{
    out.len = 0;
    assert_int_equal(shell_run_line(&sh, "help"), STATUS_OK);
    assert_non_null(strstr(text, "\n  two A B [C [D]]            Takes two to four words\n"));
    assert_non_null(strstr(text, "help [COMMAND]"));
    run("help num", STATUS_OK,
        "  number [PORT=5 [SIZE [on|off|only]]]\n                             Takes numbers\nFor example: number 0x60\n"
        "For example: number 1 4K\n");
    run("help row", STATUS_OK,
        "  row a|b [PORT=7]           Has rows\n  row cow COLOUR|all         \n"
        "  row cow [PORT]             \nFor example: row a\nFor example: row cow red\n");
    run("help nix", STATUS_ENOENT,
        "              ^\ncolumn 6: expected a command (`help` lists them), got \"nix\"\n");
}

static void test_no_mux(void **)
{
    run("con", STATUS_ENOTSUP,
        "         ^\ncolumn 1: this prompt shares its console with nobody\n");
    run("log warn", STATUS_ENOTSUP,
        "             ^\ncolumn 5: this prompt has no console that shows the log\n");
    shell_run_polled(&sh); /* nothing to serve: returns */
}

static void test_script(void **)
{
    static const char script[] = "echo one\r\n# comment\n\nnix\necho \"a\nnumber 0\necho two";
    char bad[400];

    out.len = 0;
    assert_int_equal(shell_run_script(&sh, "boot", script, sizeof(script) - 1), 3);
    assert_string_equal(text, "boot:1> echo one\none\n"
                              "boot:4> nix\n"
                              "boot:4: column 1: expected a command (`help` lists them), got "
                              "\"nix\"\n"
                              "boot:5> echo \"a\n"
                              "boot:5: column 6: expected a closing \" of this word\n"
                              "boot:6> number 0\n"
                              "boot:6: column 8: expected a port from 1 to 0xffff, got 0\n"
                              "boot:7> echo two\ntwo\n");
    memset(bad, 'a', sizeof(bad));
    bad[300] = '\n';
    bad[310] = 0;
    out.len = 0;
    assert_int_equal(shell_run_script(&sh, "b", bad, sizeof(bad)), 2);
    assert_string_equal(text, "b:1: expected a line of at most 255 characters\n"
                              "b:2: expected text, found a zero byte\n");
    assert_int_equal(shell_run_script(&sh, "b", bad, 0), 0);
}

static void type(const char *keys)
{
    for (; *keys; keys++)
        shell_input(&sh, (u8)*keys);
}

static void completes(const char *keys, const char *line)
{
    type("\x15");
    type(keys);
    assert_string_equal(sh.editor.line, line);
}

static void test_completion(void **)
{
    shell_start(&sh);
    completes("num\t", "number ");
    completes("tw\t", "two");
    completes(" help num\t", " help number ");
    completes("log w\t", "log warn ");
    completes("log \t", "log ");
    completes("l w\t", "l warn ");
    completes("number 1 2 onl\t", "number 1 2 only ");
    completes("number o\t", "number o");
    completes("row \t", "row ");
    completes("row c\t", "row cow ");
    completes("row cow g\t", "row cow green ");
    completes("row cow al\t", "row cow all ");
    completes("row a g\t", "row a g");
    completes("nee R\t", "nee RED");
    completes("nix o\t", "nix o");
    completes("two a \"b\t", "two a \"b");
    completes("two a b c d e\t", "two a b c d e");
    completes("a b c d e f g h i j k l m n o p q\t", "a b c d e f g h i j k l m n o p q");
    completes("a b c d e f g h i j k l m n o p \t", "a b c d e f g h i j k l m n o p ");
    completes("mode m\t# \t", "mode machine # ");
}

static void test_history(void **)
{
    shell_start(&sh);
    type("echo 1\recho 2\r");
    run("history", STATUS_OK, "  echo 1\n  echo 2\n");
}

/* Bytes as they come off a bad line: half of them commands, the rest anything. */
static u8 noise(void)
{
    static const char *const words[] = {"help ",   "two ",     "number ",  "mode human", "echo \"",
                                        "0x12 ",   "\x1b[A",   "\x1b[",    "\t",         "con ",
                                        "twofold", "log warn", "\x10\x10", "history",    "\r"};
    static const char *at = "";

    if (*at == 0) {
        if (rand() % 3 == 0)
            return (u8)rand();
        at = words[(size_t)rand() % ARRAY_SIZE(words)];
    }
    return (u8)*at++;
}

static void test_random(void **)
{
    const char *more = getenv("VITRINE_FUZZ_LINES");
    long lines = more ? atol(more) : 60000;

    srand(11);
    shell_start(&sh);
    while (lines) {
        u8 byte = noise();

        lines -= byte == '\r' || byte == '\n';
        shell_input(&sh, byte);
        out.len = out.lost = 0;
        assert_true(sh.editor.active && !sh.running);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_words, setup),
        cmocka_unit_test_setup(test_wrong_words, setup),
        cmocka_unit_test_setup(test_names, setup),
        cmocka_unit_test_setup(test_numbers, setup),
        cmocka_unit_test_setup(test_rows, setup),
        cmocka_unit_test_setup(test_machine, setup),
        cmocka_unit_test_setup(test_long_line, setup),
        cmocka_unit_test_setup(test_help, setup),
        cmocka_unit_test_setup(test_no_mux, setup),
        cmocka_unit_test_setup(test_script, setup),
        cmocka_unit_test_setup(test_completion, setup),
        cmocka_unit_test_setup(test_history, setup),
        cmocka_unit_test_setup(test_random, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
