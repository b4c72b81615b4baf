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
#pragma once

#include "drivers/console/editor.h"
#include "drivers/console/mux.h"
#include "lib/format.h"
#include "lib/status.h"
#include "lib/types.h"

#define SHELL_TABLES 16
#define SHELL_ARGS   16 /* words of a line, the command included */

struct shell;

struct shell_command {
    const char *name; /* rows of one name stand together: the first whose words fit is run */
    /*
     * The words after the name.  [ ] is optional (may nest), TEXT... takes any number.  "on|off"
     * are alternatives, typed as they are or by a unique beginning.  A word in capitals is of the
     * kind of that name (struct shell_kind), or any text; "COUNT=8" says what it is when it is not
     * there.
     */
    const char *args;
    const char *summary; /* one line, no full stop; NULL: as of the row above */
    const char *example; /* one or more lines to type, or NULL */
    /*
     * The words are in sh->argv, what they say in sh->value and sh->choice.  Failures are reported
     * by `return shell_fail(...)`; a status returned without it is reported by its own words.
     */
    enum status (*run)(struct shell *sh);
    u8 needs; /* for shell.subject; 0: nothing */
};

/* A name that people may type, and what it means. */
struct shell_name {
    char text[96];
    u64 value;
};

/* What a word in capitals stands for. */
struct shell_kind {
    const char *name;
    const char *what; /* in messages: "a port" */
    u64 min, max;     /* of a number; both 0: it is none */
    bool suffix;      /* K, M and G may stand behind it */
    /* Its n-th name, from 0; false past the last.  They are found in small and capital letters. */
    bool (*nth)(void *ctx, unsigned n, struct shell_name *out);
    /* In place of all that: the value of sh->argv[arg]. */
    enum status (*parse)(struct shell *sh, int arg, const char *what, u64 *value);
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
    const struct shell_kind *kinds; /* beside those of its own, see shell_set_kinds() */
    size_t kind_count;
    void *kind_ctx;
    enum status (*prepare)(struct shell *sh, u8 needs);
    void *subject; /* what the command is about: prepare() has set it, if the command needs it */
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
    u64 value[SHELL_ARGS + 1]; /* what the word says; of alternatives as choice; 0: not there */
    u8 choice[SHELL_ARGS + 1]; /* which of the alternatives it is, from 0 */
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
 * Kinds of words, kept by reference, with the ctx for their nth(); and what sets sh->subject before
 * the words of a command are looked at that needs it (it fails by shell_fail()).
 */
void shell_set_kinds(struct shell *sh, const struct shell_kind *kinds, size_t count, void *ctx,
                     enum status (*prepare)(struct shell *sh, u8 needs));

/* The n-th row of all tables, NULL past the last; *ctx is its table's. */
const struct shell_command *shell_command_at(const struct shell *sh, unsigned n, void **ctx);

/* Text in lines of 80 columns, from column `indent` on, where the cursor is; and a line feed. */
void shell_wrap(struct sink *out, size_t indent, const char *text);

/* People or a program at the other end. */
void shell_set_machine(struct shell *sh, bool machine);

/* The commands that every shell has: help, log, mode, con, echo, history (builtin.c). */
extern const struct shell_command shell_builtin[];
extern const size_t shell_builtin_count;
