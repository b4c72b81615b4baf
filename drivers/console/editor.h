/* SPDX-License-Identifier: MIT
 *
 * One line of input on a VT100-like terminal, edited as in emacs:
 *   C-a C-e Home End   line's start, end      C-b C-f arrows   a character back, forward
 *   C-d Delete, C-h    delete one             C-k C-u C-w      kill to end, to start, a word
 *   C-y yank   C-t swap two characters        C-p C-n arrows   history     Tab complete
 *   M-b M-f M-d        by words               C-l clear the screen         C-c drop the line
 * The line stays on one row and scrolls sideways when it is longer than the terminal is wide.
 */
#pragma once

#include "lib/format.h"
#include "lib/types.h"

#define EDITOR_LINE    256 /* bytes of a line, NUL included */
#define EDITOR_HISTORY 16  /* lines remembered */

enum editor_result {
    EDITOR_MORE, /* go on */
    EDITOR_DONE, /* editor->line holds a whole line; call editor_start() when ready for the next */
};

/* What a completer fills: it adds every word that could stand at `start`; those that do not begin
 * as what was typed are left out. */
struct completions {
    u16 start;          /* column where the word to complete begins: set by the completer */
    const char *prefix; /* what was typed of it: set by the completer */
    u16 count;
    u16 common_len;
    char common[EDITOR_LINE]; /* the longest beginning that all of them share */
    struct buf_sink list;     /* all of them, for showing */
    char list_text[1024];
};
void completions_add(struct completions *c, const char *word);

struct editor {
    struct sink *out;
    const char *prompt;
    /* Complete line[0..cursor); may be NULL.  The text is NUL-terminated at the cursor. */
    void (*complete)(void *ctx, const char *text, struct completions *c);
    void *ctx;
    u16 width;     /* of the terminal, columns: at least prompt + 8 */
    bool echo;     /* false: nothing is drawn, keys are not interpreted but for line ends and C-h */
    bool active;   /* between editor_start() and EDITOR_DONE */
    bool overflow; /* characters were refused: the line is not what was typed */
    bool last_cr;  /* a line feed now belongs to the carriage return before it */
    u8 escape;     /* parser state */
    u8 param;      /* first number of a CSI sequence */
    u16 len, cursor, view; /* view: first column of the line that is shown */
    char line[EDITOR_LINE];
    char kill[EDITOR_LINE];
    char saved[EDITOR_LINE];                   /* the new line while history is shown */
    char history[EDITOR_HISTORY][EDITOR_LINE]; /* ring */
    u32 history_count;                         /* lines ever added */
    u32 history_at;                            /* how far back the shown line is; 0: the new line */
    struct completions completions;
};

void editor_init(struct editor *e, struct sink *out, const char *prompt, u16 width);

/* Begin a fresh line: draws the prompt. */
void editor_start(struct editor *e);

/* One byte from the terminal, whatever it is. */
enum editor_result editor_input(struct editor *e, u8 byte);

/* Draw the line again, on the terminal's current row, after somebody else's output. */
void editor_show(struct editor *e);

/* A line of history, 0 = the newest, or NULL. */
const char *editor_history(const struct editor *e, u32 back);
