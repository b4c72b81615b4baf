/* SPDX-License-Identifier: MIT
 *
 * The command engine behind the prompt: tables of commands, registered by whoever has something to
 * say.  It takes a byte at a time and runs a command to its end within the call; it neither waits
 * nor allocates nor locks, so that it also serves after a panic.
 *
 * For people: prompt, editing, unique beginnings of names, errors with a mark under the word.  For
 * programs (`mode machine`): no prompt, no echo, and after a command's output one line "ok" or
 * "err NAME: text" (NAME as in enum status).
 */
#ifndef DRIVERS_CONSOLE_SHELL_H
#define DRIVERS_CONSOLE_SHELL_H

#include "drivers/console/editor.h"
#include "drivers/console/mux.h"
#include "lib/format.h"
#include "lib/status.h"
#include "lib/types.h"

#define SHELL_TABLES 16
#define SHELL_ARGS   16 /* words of a line, the command included */

struct shell;

struct shell_command {
    const char *name;
    /*
     * The words after the name, for people and for counting: "ADDR [COUNT]", "on|off", "TEXT...".
     * [ ] is optional (may nest), ... takes any number.  "" or NULL: none.  Alternatives in small
     * letters are also what Tab offers when there is no complete().
     */
    const char *args;
    const char *summary; /* one line, no full stop */
    const char *example; /* one or more lines to type, or NULL */
    /*
     * argv[0] is the name as typed (sh->command->name the full one); the number of words is already
     * checked against `args`.  Failures are reported by `return shell_fail(...)`; a status
     * returned without it is reported by its own words.
     */
    enum status (*run)(struct shell *sh, int argc, char **argv);
    /* completions_add() whatever may stand as argv[argc - 1], which is half-typed; may be NULL. */
    void (*complete)(struct shell *sh, int argc, char **argv, struct completions *c);
};

struct shell_table {
    const struct shell_command *commands;
    size_t count;
    void *ctx;
};

struct shell {
    struct sink *out; /* commands write here: sink_printf(sh->out, ...), lines end in "\n" */
    struct mux *mux;  /* may be NULL */
    void *ctx;        /* of the table whose command runs */
    const struct shell_command *command; /* which runs */
    struct shell_table table[SHELL_TABLES];
    unsigned tables;
    struct editor editor;
    bool machine;
    bool stop; /* shell_run_polled() is to return */
    bool running;
    const char *script; /* name of the script whose line runs, else NULL */
    unsigned script_line;
    char words[2 * EDITOR_LINE];
    char *argv[SHELL_ARGS + 1];
    u16 column[SHELL_ARGS + 1]; /* of each word in the line, from 0; behind them that of its end */
    int argc;
    /* Of the last failure. */
    int error_arg;   /* word that is to blame (argc: one is missing), -1: none */
    char error[240]; /* "": nothing was said yet */
};

/*
 * out: where everything is written (mux->prompt_out, or a buffer in tests).  mux may be NULL (then
 * there is no `con`).  width: columns of the terminal, 80 when unknown.
 */
void shell_init(struct shell *sh, struct sink *out, struct mux *mux, u16 width);

/*
 * Add commands; ctx is found in sh->ctx while one of them runs.  Tables are kept by reference.
 * EEXIST when a name is taken (nothing is added), ENOSPC over SHELL_TABLES.
 */
CHECKED enum status shell_register(struct shell *sh, const struct shell_command *table, size_t n,
                                   void *ctx);

/* Greet and draw the first prompt. */
void shell_start(struct shell *sh);

/* One byte from the terminal. */
void shell_input(struct shell *sh, u8 byte);

/* The prompt's side for mux_set_prompt(). */
struct mux_prompt shell_prompt(struct shell *sh);

/* Run one line; its outcome has been reported as the mode asks.  Not from within a command. */
enum status shell_run_line(struct shell *sh, const char *line);

/*
 * Run the lines of a text (a boot module): '#' begins a comment.  A failing line is reported as
 * "name:3: ..." and the next one is run; returns how many failed.
 */
unsigned shell_run_script(struct shell *sh, const char *name, const char *text, size_t size);

/*
 * After a panic: put the multiplexer into panic mode and serve the prompt by polling until a
 * command calls shell_stop().
 */
void shell_run_polled(struct shell *sh);
void shell_stop(struct shell *sh);

/*
 * Report a failure from a command: `arg` is the number of the word to blame or -1.  The text says
 * what was expected.  Returns s.
 */
enum status shell_fail(struct shell *sh, int arg, enum status s, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/*
 * Arguments.  `what` names the thing in messages ("a port number").  A word that is not there gives
 * *out its value unchanged: set the default before.  Failures are already reported: return them.
 */
CHECKED enum status shell_arg_u64(struct shell *sh, int arg, const char *what, u64 min, u64 max,
                                  u64 *out);
/* The same with suffixes K, M, G. */
CHECKED enum status shell_arg_size(struct shell *sh, int arg, const char *what, u64 min, u64 max,
                                   u64 *out);
/* One of "a|b|c" by a unique beginning; *out is its place, from 0. */
CHECKED enum status shell_arg_choice(struct shell *sh, int arg, const char *choices, unsigned *out);

/* The command that word `arg` names or uniquely begins and its table's context. */
CHECKED enum status shell_find(struct shell *sh, int arg, const struct shell_command **found,
                               void **ctx);

/* The n-th command of all tables, NULL past the last; *ctx is its table's. */
const struct shell_command *shell_command_at(const struct shell *sh, unsigned n, void **ctx);

/* People or a program at the other end. */
void shell_set_machine(struct shell *sh, bool machine);

/* The commands that every shell has: help, log, mode, con, echo, history (builtin.c). */
extern const struct shell_command shell_builtin[];
extern const size_t shell_builtin_count;

/* For completers: every command's name; every word of "a|b|c". */
void shell_complete_commands(const struct shell *sh, struct completions *c);
void shell_complete_choices(struct completions *c, const char *choices);

#endif
