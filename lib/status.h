/* SPDX-License-Identifier: MIT
 *
 * The outcome of an operation that can fail.  The compiler insists that it is looked at.
 */
#pragma once

#include "lib/types.h"

#define STATUS_LIST(X)                    \
    X(OK, "ok")                           \
    X(EINVAL, "invalid argument")         \
    X(ENOMEM, "out of memory")            \
    X(ENOENT, "no such thing")            \
    X(EEXIST, "already there")            \
    X(ERANGE, "out of range")             \
    X(EFORMAT, "malformed")               \
    X(ETRUNC, "truncated")                \
    X(EOVERLAP, "overlaps another range") \
    X(ENOSPC, "no room left in a table")  \
    X(ENOTSUP, "not supported")           \
    X(EHW, "hardware refused")            \
    X(EBUSY, "busy")                      \
    X(ETIMEOUT, "timed out")

enum status {
#define X(name, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
};

#define CHECKED __attribute__((warn_unused_result))

/* One step of a function that returns the same kind of status, of which 0 is the good one; where it
 * fails the function ends, with what the step said. */
#define TRY(step)                           \
    do {                                    \
        __typeof__(step) try_said = (step); \
        if (unlikely(try_said != 0))        \
            return try_said;                \
    } while (0)

/* The words for a status, never NULL. */
const char *status_text(enum status s);

/* Its name without the STATUS_ in front ("ERANGE"), for programs; never NULL. */
const char *status_name(enum status s);
