/* SPDX-License-Identifier: MIT
 *
 * The outcome of an operation that can fail.  The compiler insists that it is looked at.
 */
#ifndef LIB_STATUS_H
#define LIB_STATUS_H

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

/* The words for a status, never NULL. */
const char *status_text(enum status s);

/* Its name without the STATUS_ in front ("ERANGE"), for programs; never NULL. */
const char *status_name(enum status s);

#endif
