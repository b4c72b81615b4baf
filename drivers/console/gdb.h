/* SPDX-License-Identifier: MIT
 *
 * A stub of GDB's remote serial protocol (GDB manual, appendix E): the packets of a debugger on a
 * serial port, turned into calls of a target.  It takes a byte at a time, never waits and knows
 * neither VT-x nor a CPU; whoever has something to debug fills in struct gdb_target.
 *
 * A debugger that connects stops the target; it runs again by `continue` or `detach`.
 */
#pragma once

#include "drivers/console/gdb_regs.h"
#include "drivers/console/mux.h"
#include "lib/format.h"
#include "lib/status.h"
#include "lib/types.h"

#define GDB_PACKET  4096 /* the longest packet, in characters */
#define GDB_THREADS 16

/* What a thread does when the target resumes. */
enum gdb_act { GDB_HOLD, GDB_RUN, GDB_STEP };

struct gdb_resume {
    u8 act[GDB_THREADS]; /* enum gdb_act */
    u64 first, end; /* a thread that steps goes on while its PC is in [first, end); equal: once */
};

/* Kinds of points, numbered as in the packets Z0 to Z4. */
enum gdb_point { GDB_SOFT_BREAK, GDB_HARD_BREAK, GDB_WATCH_WRITE, GDB_WATCH_READ, GDB_WATCH_BOTH };

/* Why a target stands still. */
struct gdb_stop {
    bool ended;      /* it does not exist any more; code is its exit status */
    u8 code;         /* a signal's number: 2 interrupted, 5 a trap of any kind */
    bool at_point;   /* a point was hit: kind and, of a watch, the address asked for */
    u8 kind;         /* enum gdb_point */
    unsigned thread; /* which brought this about */
    u64 address;
};

struct gdb_target {
    unsigned (*threads)(void *ctx); /* how many there are, at most GDB_THREADS */
    void (*describe)(void *ctx, unsigned thread, struct sink *out);
    /* True when every thread stands still; *why is then filled in. */
    bool (*stopped)(void *ctx, struct gdb_stop *why);
    /* Let it stop as soon as it can: stopped() will tell. */
    void (*stop)(void *ctx);
    void (*resume)(void *ctx, const struct gdb_resume *how);
    /* The rest only while it stands still. */
    void (*registers)(void *ctx, unsigned thread, struct gdb_cpu *cpu);
    enum gdb_mode (*mode)(void *ctx); /* for which registers are described */
    /* Guest-linear memory as `thread` sees it: how many bytes could be copied. */
    size_t (*read)(void *ctx, unsigned thread, u64 at, u8 *to, size_t size);
    size_t (*write)(void *ctx, unsigned thread, u64 at, const u8 *from, size_t size);
    enum status (*point)(void *ctx, bool insert, enum gdb_point kind, unsigned thread, u64 at,
                         u64 size);
    void (*kill)(void *ctx);
    void (*detach)(void *ctx); /* take all points out and run */
    enum status (*command)(void *ctx, const char *line, struct sink *out);
};

struct gdb {
    const struct gdb_target *target;
    void *ctx; /* of the target */
    struct mux_hw hw;
    struct ring tx;
    u8 tx_storage[4 * GDB_PACKET];
    bool lost; /* the debugger's end took nothing for long: replies are dropped */

    u8 phase; /* of the packet being received */
    u8 sum, told;
    bool no_ack, attached, running;
    bool reports_points; /* the debugger understands swbreak and hwbreak */
    unsigned thread;     /* that g, m and the like are about */
    u32 in_len, out_len;
    char in[GDB_PACKET + 1];
    char out[GDB_PACKET + 1]; /* the last reply, until it is acknowledged */
    struct sink console;      /* a command's output, as O packets */
};

/* hw: as in mux.h; receive must not be NULL. */
void gdb_init(struct gdb *g, const struct gdb_target *target, void *ctx, const struct mux_hw *hw);

/* Move bytes both ways, run what they ask for, and tell when a target that ran has stopped: call on
 * the port's interrupt and now and then. */
void gdb_poll(struct gdb *g);

/* True from a debugger's first packet to its detach. */
static inline bool gdb_attached(const struct gdb *g) { return g->attached; }
