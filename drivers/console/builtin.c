/* SPDX-License-Identifier: MIT
 *
 * The console's own commands: help, log, mode, con, echo, history.
 */
#include "drivers/console/shell.h"
#include "lib/log.h"
#include "lib/string.h"

#define COLUMNS     80
#define HELP_COLUMN 29

void shell_wrap(struct sink *out, size_t indent, const char *text)
{
    const size_t width = COLUMNS - indent;

    while (strlen(text) > width) {
        size_t cut = width;
        while (cut && text[cut] != ' ')
            cut--;
        sink_printf(out, "%.*s\n%*s", (int)(cut ? cut : width), text, (int)indent, "");
        text += cut ? cut + 1 : width;
    }
    sink_printf(out, "%s\n", text);
}

/* What is too long to stand beside the summary stands above it. */
static void help_row(struct shell *sh, const struct shell_command *c)
{
    const char *args = c->args ? c->args : "";
    const size_t used = strlen(c->name) + strlen(args) + 3;

    sink_printf(sh->out, "  %s %s", c->name, args);
    if (used < HELP_COLUMN || c->summary)
        sink_printf(sh->out, used < HELP_COLUMN ? "%*s" : "\n%*s",
                    (int)(used < HELP_COLUMN ? HELP_COLUMN - used : HELP_COLUMN), "");
    shell_wrap(sh->out, HELP_COLUMN, c->summary ? c->summary : "");
}

static void help_example(struct shell *sh, const struct shell_command *c)
{
    for (const char *p = c->example; p && *p;) {
        const char *end = strchr(p, '\n');
        int len = end ? (int)(end - p) : (int)strlen(p);

        sink_printf(sh->out, "For example: %.*s\n", len, p);
        p += len + (end ? 1 : 0);
    }
}

static enum status run_help(struct shell *sh)
{
    const struct shell_command *c, *one = NULL;
    void *ctx;

    if (sh->argc > 1)
        one = shell_command_at(sh, (unsigned)sh->value[1], &ctx);
    for (unsigned n = 0; (c = shell_command_at(sh, n, &ctx)) != NULL; n++)
        if (!one || strcmp(c->name, one->name) == 0)
            help_row(sh, c);
    for (unsigned n = 0; one && (c = shell_command_at(sh, n, &ctx)) != NULL; n++)
        if (strcmp(c->name, one->name) == 0)
            help_example(sh, c);
    if (!one && !sh->machine)
        sink_printf(sh->out, "Names may be shortened; `help NAME` gives examples; Ctrl-] goes to a "
                             "guest and back.\n");
    return STATUS_OK;
}

static enum status run_log(struct shell *sh)
{
    if (sh->argc > 1 && !sh->mux)
        return shell_fail(sh, 1, STATUS_ENOTSUP, "this prompt has no console that shows the log");
    if (sh->argc > 1) /* the choices are in the order of enum log_level */
        log_attach(&sh->mux->log_out, (enum log_level)sh->choice[1]);
    else
        log_dump(sh->out);
    return STATUS_OK;
}

static enum status run_mode(struct shell *sh)
{
    if (sh->argc > 1)
        shell_set_machine(sh, sh->choice[1]);
    else
        sink_printf(sh->out, "%s\n", sh->machine ? "machine" : "human");
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
    sink_printf(sh->out, "%c %-12s %s, %lu characters lost from the keyboard, %lu to the screen\n",
                mark, m->guest[number].name, m->guest[number].hidden ? "hidden" : "shown",
                m->guest[number].rx_lost, m->guest[number].tx_lost);
}

static enum status run_con(struct shell *sh)
{
    struct mux *m = sh->mux;
    int number = sh->choice[1] ? (int)sh->value[1] : MUX_PROMPT;

    if (!m)
        return shell_fail(sh, 0, STATUS_ENOTSUP, "this prompt shares its console with nobody");
    if (sh->argc == 1) {
        for (int i = MUX_PROMPT; i < m->guests; i++)
            con_row(sh, i);
        return STATUS_OK;
    }
    if (sh->argc == 2)
        return mux_focus(m, number);
    if (number == MUX_PROMPT)
        return shell_fail(sh, 2, STATUS_EINVAL, "the prompt is always shown");
    m->guest[number].hidden = sh->choice[2];
    return STATUS_OK;
}

static enum status run_echo(struct shell *sh)
{
    for (int i = 1; i < sh->argc; i++)
        sink_printf(sh->out, "%s%s", i > 1 ? " " : "", sh->argv[i]);
    sink_printf(sh->out, "\n");
    return STATUS_OK;
}

static enum status run_history(struct shell *sh)
{
    u32 kept = 0;

    while (editor_history(&sh->editor, kept))
        kept++;
    while (kept--)
        sink_printf(sh->out, "  %s\n", editor_history(&sh->editor, kept));
    return STATUS_OK;
}

const struct shell_command shell_builtin[] = {
    {"help", "[COMMAND]", "lists the commands, or explains one", "help log", run_help, 0},
    {"log", "[error|warn|info|debug]",
     "shows the kept log, or sets how much of it the console shows", "log warn", run_log, 0},
    {"mode", "[human|machine]", "who reads: people, or a program (ends commands by ok or err)",
     "mode machine", run_mode, 0},
    {"con", "[prompt|CONSOLE [show|hide]]",
     "lists who shares the console, moves the keyboard, or hides a guest's lines",
     "con vm1\ncon vm1 hide", run_con, 0},
    {"echo", "[TEXT...]", "repeats its words", "echo \"two  words\"", run_echo, 0},
    {"history", "", "lists the lines typed before", NULL, run_history, 0},
};

const size_t shell_builtin_count = ARRAY_SIZE(shell_builtin);
