/* SPDX-License-Identifier: MIT
 *
 * Words of the form name=value, described by tables: what the hypervisor's own command line and
 * the boot modules' command lines are made of.  One table row says how a word is spelled, what
 * values it takes, where the value goes, and what to tell the user who gets it wrong.
 */
#pragma once

#include "lib/status.h"

enum option_kind {
    OPTION_NUMBER, /* decimal or 0x..., into an unsigned of `width` bytes */
    OPTION_SIZE,   /* the same with K, M or G */
    OPTION_CHOICE, /* one of `choices`; its index, into an unsigned of `width` bytes */
};

struct option {
    const char *name; /* before the "=" */
    enum option_kind kind;
    u16 offset, width;          /* of the member in the target struct */
    u64 min, max;               /* numbers and sizes, both inclusive */
    u64 align;                  /* sizes: a multiple of this (0: of anything) */
    const char *const *choices; /* NULL-terminated */
    const char *help;           /* an example and what it means, for messages and `help` */
};

#define OPTION_MEMBER(type, member) (u16) offsetof(type, member), (u16)sizeof(((type *)0)->member)

struct option_table {
    const struct option *options;
    unsigned count;
    void *target;
};

/* Where a word was refused and why. */
struct option_error {
    unsigned column; /* of the word's first character, from 1 */
    char word[48];   /* cut when longer */
    char why[160];   /* what is wrong and what to do */
};

/* A command line being taken apart, word by word. */
struct option_line {
    const char *text, *cursor; /* start both at the text */
    char word[128];            /* the word that was found, without its quotes */
};
enum option_step { OPTION_STEP_WORD, OPTION_STEP_END, OPTION_STEP_BAD };

/* The next word; e gets its column and spelling, and `why` when it cannot be read. */
enum option_step option_next(struct option_line *line, struct option_error *e);

/*
 * Set one option from the word "name=value".  ENOENT: no table has it.  EEXIST: its bit in *seen
 * (its running number over all tables, at most 64) is already set.  EFORMAT, ERANGE: bad value.
 * Then e->why is written; column and word are the caller's.
 */
CHECKED enum status option_set(const struct option_table *tables, unsigned count, const char *word,
                               u64 *seen, struct option_error *e);

/*
 * Parse a whole command line, for example the hypervisor's own.  A first word without "=" is taken
 * for the file name that some boot loaders put there.  Each refused word is reported and skipped;
 * returns the number of refused words.
 */
unsigned option_parse(const struct option_table *tables, unsigned count, const char *text,
                      void (*report)(void *ctx, const struct option_error *e), void *ctx);
