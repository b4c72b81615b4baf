/* SPDX-License-Identifier: MIT
 *
 * The console's own commands: help, log, mode, con, echo, history.
 */
#include "drivers/console/shell.h"
#include "lib/log.h"
#include "lib/string.h"

static const char *args_of(const struct shell_command *c) { return c->args ? c->args : ""; }

static enum status help_one(struct shell *sh)
{
    const struct shell_command *c;
    void *ctx;
    enum status s = shell_find(sh, 1, &c, &ctx);

    if (s != STATUS_OK)
        return s;
    sink_printf(sh->out, "%s %s\n  %s.\n", c->name, args_of(c), c->summary);
    if (!c->example)
        return STATUS_OK;
    sink_printf(sh->out, "For example:\n");
    for (const char *p = c->example; *p;) {
        const char *end = strchr(p, '\n');
        int len = end ? (int)(end - p) : (int)strlen(p);

        sink_printf(sh->out, "  %.*s\n", len, p);
        p += len + (end ? 1 : 0);
    }
    return STATUS_OK;
}

static enum status run_help(struct shell *sh, int argc, char **argv)
{
    const struct shell_command *c;
    void *ctx;

    (void)argv;
    if (argc > 1)
        return help_one(sh);
    for (unsigned n = 0; (c = shell_command_at(sh, n, &ctx)) != NULL; n++) {
        int pad = 26 - (int)strlen(c->name);
        sink_printf(sh->out, "  %s %-*s %s\n", c->name, pad > 0 ? pad : 0, args_of(c), c->summary);
    }
    if (!sh->machine)
        sink_printf(sh->out, "Names may be shortened; `help NAME` gives examples; Ctrl-] goes to a "
                             "guest and back.\n");
    return STATUS_OK;
}

static void complete_help(struct shell *sh, int argc, char **argv, struct completions *c)
{
    (void)argv;
    if (argc == 2)
        shell_complete_commands(sh, c);
}

static enum status run_log(struct shell *sh, int argc, char **argv)
{
    unsigned level = LOG_INFO; /* the choices are in the order of enum log_level */
    enum status s;

    (void)argv;
    if (argc == 1) {
        log_dump(sh->out);
        return STATUS_OK;
    }
    s = shell_arg_choice(sh, 1, "error|warn|info|debug", &level);
    if (s != STATUS_OK)
        return s;
    if (!sh->mux)
        return shell_fail(sh, 1, STATUS_ENOTSUP, "this prompt has no console that shows the log");
    log_attach(&sh->mux->log_out, (enum log_level)level);
    return STATUS_OK;
}

static enum status run_mode(struct shell *sh, int argc, char **argv)
{
    unsigned mode = sh->machine;
    enum status s = shell_arg_choice(sh, 1, "human|machine", &mode);

    (void)argv;
    if (s != STATUS_OK)
        return s;
    if (argc == 1)
        sink_printf(sh->out, "%s\n", sh->machine ? "machine" : "human");
    shell_set_machine(sh, mode);
    return STATUS_OK;
}

static void con_row(struct shell *sh, int number)
{
    const struct mux *m = sh->mux;
    char mark = m->focus == number ? '*' : ' ';

    if (number == MUX_PROMPT) {
        sink_printf(sh->out, "%c prompt\n", mark);
        return;
    }
    sink_printf(
        sh->out, "%c %-12s %s, %llu characters lost from the keyboard, %llu to the screen\n", mark,
        m->guest[number].name, m->guest[number].hidden ? "hidden" : "shown",
        (unsigned long long)m->guest[number].rx_lost, (unsigned long long)m->guest[number].tx_lost);
}

static enum status run_con(struct shell *sh, int argc, char **argv)
{
    struct mux *m = sh->mux;
    int number = MUX_PROMPT;
    unsigned hide = 0;
    enum status s;

    if (!m)
        return shell_fail(sh, 0, STATUS_ENOTSUP, "this prompt shares its console with nobody");
    if (argc == 1) {
        for (int i = MUX_PROMPT; i < m->guests; i++)
            con_row(sh, i);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "prompt") != 0 && mux_find_guest(m, argv[1], &number) != STATUS_OK)
        return shell_fail(sh, 1, STATUS_ENOENT,
                          "expected `prompt` or a guest's name, got \"%.40s\" (`con` lists them)",
                          argv[1]);
    if (argc == 2)
        return mux_focus(m, number);
    if (number == MUX_PROMPT)
        return shell_fail(sh, 2, STATUS_EINVAL, "the prompt is always shown");
    s = shell_arg_choice(sh, 2, "show|hide", &hide);
    if (s == STATUS_OK)
        m->guest[number].hidden = hide;
    return s;
}

static void complete_con(struct shell *sh, int argc, char **argv, struct completions *c)
{
    (void)argv;
    if (argc == 3)
        shell_complete_choices(c, "show|hide");
    if (argc != 2 || !sh->mux)
        return;
    completions_add(c, "prompt");
    for (int i = 0; i < sh->mux->guests; i++)
        completions_add(c, sh->mux->guest[i].name);
}

static enum status run_echo(struct shell *sh, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        sink_printf(sh->out, "%s%s", i > 1 ? " " : "", argv[i]);
    sink_printf(sh->out, "\n");
    return STATUS_OK;
}

static enum status run_history(struct shell *sh, int argc, char **argv)
{
    u32 kept = 0;

    (void)argc;
    (void)argv;
    while (editor_history(&sh->editor, kept))
        kept++;
    while (kept--)
        sink_printf(sh->out, "  %s\n", editor_history(&sh->editor, kept));
    return STATUS_OK;
}

const struct shell_command shell_builtin[] = {
    {"help", "[COMMAND]", "Lists the commands, or explains one", "help\nhelp log", run_help,
     complete_help},
    {"log", "[error|warn|info|debug]",
     "Shows the kept log, or sets how much of it the console shows", "log\nlog warn", run_log,
     NULL},
    {"mode", "[human|machine]", "Who reads: people, or a program (ends commands by ok or err)",
     "mode machine", run_mode, NULL},
    {"con", "[NAME [show|hide]]",
     "Lists who shares the console, moves the keyboard, or hides a guest's lines",
     "con\ncon vm1\ncon vm1 hide", run_con, complete_con},
    {"echo", "[TEXT...]", "Repeats its words", "echo \"two  words\"", run_echo, NULL},
    {"history", "", "Lists the lines typed before", NULL, run_history, NULL},
};

const size_t shell_builtin_count = ARRAY_SIZE(shell_builtin);
