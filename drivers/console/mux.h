/* SPDX-License-Identifier: MIT
 *
 * The console multiplexer: the hypervisor's log, the guests' serial ports and the prompt share one
 * terminal.  Everything sent goes through one ring that the hardware drains when it can; nothing
 * here waits for it, but for the output of a command somebody typed, and that with a bound.
 *
 * Keys go to whoever has the focus.  Ctrl-] moves it between the prompt and the last guest; Ctrl-]
 * twice within half a second from a guest sends that guest one.  The guest in focus has the
 * terminal raw; lines of the others appear one at a time as "[name] text".
 */
#pragma once

#include "drivers/chardev.h"
#include "lib/format.h"
#include "lib/lock.h"
#include "lib/ring.h"
#include "lib/status.h"
#include "lib/types.h"

/* The hardware below: a serial port, the screen, or a test.  Only send must not be NULL. */
struct mux_hw {
    void *ctx;
    u32 (*send)(void *ctx, const u8 *bytes, u32 n); /* takes 0..n of them, at once */
    int (*receive)(void *ctx);                      /* the next byte, or -1 */
    void (*want_send)(void *ctx, bool on);          /* interrupt when send() can go on, or not */
    bool (*acknowledge)(void *ctx);                 /* end of service; true: more was received */
    u64 (*now_us)(void *ctx);
};

/* The prompt's side.  Its half-typed line must stand on one row of the terminal. */
struct mux_prompt {
    void *ctx;
    void (*input)(void *ctx, u8 byte); /* a key; runs a command when it completes one */
    bool (*editing)(void *ctx);        /* a line is being typed (and not a command running) */
    void (*show)(void *ctx);           /* draw that line again, through mux->prompt_out */
};

#define MUX_PROMPT     (-1) /* a focus */
#define MUX_GUESTS     8
#define MUX_RING       16384 /* bytes on their way to the terminal: a report of a death fits */
#define MUX_GUEST_PART 1024  /* of it: what guests may fill, so that log and prompt stay swift */
#define MUX_LINE       160   /* characters of a guest's current line that are kept */

struct mux_guest {
    const char *name;
    struct mux *mux;
    void (*wake)(void *ctx); /* from mux_poll(): bytes were received, or there is room again */
    void *wake_ctx;
    struct ring rx;
    u8 rx_storage[256];
    char line[MUX_LINE]; /* printable text of the line it is writing */
    u16 len, at;
    u8 escape;    /* state of the filter that makes `line` */
    bool hidden;  /* its lines are not shown while it is out of focus */
    bool starved; /* room() was 0: wake it when there is room */
    u64 rx_lost, tx_lost;
};

struct mux {
    struct mux_hw hw;
    struct mux_prompt prompt;
    struct sink log_out;    /* for log_attach(): one line a write; dropped and counted when there
                               is no room */
    struct sink prompt_out; /* for commands and the editor: "\n" is a new line; may wait, bounded */
    struct lock lock;
    struct ring tx;
    u8 tx_storage[MUX_RING];
    struct mux_guest guest[MUX_GUESTS];
    int guests;        /* how many there are */
    int focus;         /* MUX_PROMPT or a guest's number */
    int last_guest;    /* where Ctrl-] goes from the prompt */
    int row_owner;     /* who wrote on the terminal's current row */
    bool row_dirty;    /* ... and something stands there */
    bool redraw;       /* that row was taken away and is to be drawn again */
    u64 escape_us;     /* time of the Ctrl-] that took the focus from a guest */
    bool escape_fresh; /* ... and nothing was typed since */
    bool sync;         /* after a panic: no locks, every write waits for the hardware */
    bool machine;      /* a program reads: asynchronous lines begin with "* " */
    bool stuck;        /* the hardware took nothing for a whole wait: do not wait as long again */
    u64 log_lost;      /* log lines dropped since the last notice */
    u64 out_lost;      /* bytes of command output dropped */
    u16 held;          /* bytes in hold[] */
    char hold[512];    /* log lines waiting for the end of a guest's escape sequence */
};

void mux_init(struct mux *m, const struct mux_hw *hw);

/* Who reads keys and draws the line when the focus is MUX_PROMPT. */
void mux_set_prompt(struct mux *m, const struct mux_prompt *p);

/*
 * Add a guest's serial port; *dev is what its UART model talks to.  The name is kept by reference,
 * wake may be NULL.  Guests are numbered from 0 in the order of their coming.  ENOSPC over
 * MUX_GUESTS, EEXIST when the name is taken.
 */
CHECKED enum status mux_add_guest(struct mux *m, const char *name, void (*wake)(void *ctx),
                                  void *ctx, struct chardev *dev);

/* Give the focus to MUX_PROMPT or a guest, saying so on the terminal.  ENOENT. */
CHECKED enum status mux_focus(struct mux *m, int focus);

/* Number of the guest of that name, or ENOENT. */
CHECKED enum status mux_find_guest(const struct mux *m, const char *name, int *number);

/*
 * Move bytes both ways, without waiting: call on the port's interrupt, or now and then where there
 * is none.  Commands run in here, when a key completes one.
 */
void mux_poll(struct mux *m);

/* True when bytes wait for the hardware: without interrupts, poll soon. */
bool mux_pending(const struct mux *m);

/* Wait (bounded) until everything sent has been handed to the hardware. */
void mux_flush(struct mux *m);

/* The hypervisor has panicked: focus to the prompt, no locks any more, output is synchronous. */
void mux_enter_panic(struct mux *m);
