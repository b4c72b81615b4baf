/* SPDX-License-Identifier: MIT
 *
 * The hypervisor's log: formatted lines "[s.us] c0 subsystem: text" kept in a ring in memory and
 * handed to the attached sinks as they come.  Usable from the first instruction of C on.
 * A line says what happened, what follows from it, and what to do.
 */
#pragma once

#include "lib/format.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* One line, without a newline at its end.  Lines over 240 characters are cut, marked "...". */
void log_line(enum log_level level, const char *subsystem, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(sub, ...) log_line(LOG_ERROR, sub, __VA_ARGS__)
#define log_warn(sub, ...)  log_line(LOG_WARN, sub, __VA_ARGS__)
#define log_info(sub, ...)  log_line(LOG_INFO, sub, __VA_ARGS__)
#define log_debug(sub, ...) log_line(LOG_DEBUG, sub, __VA_ARGS__)

/* Who tells the time (microseconds since boot) and the CPU's number; until set: 0 and 0. */
void log_set_source(u64 (*now_us)(void), unsigned (*cpu)(void));

/*
 * Attach a sink (at most 4) for lines of at most this level; lines logged before are replayed.
 * Attaching it again only changes its level.  Each line comes in one write(), newline included.
 */
void log_attach(struct sink *s, enum log_level most);
void log_detach(struct sink *s);

/* Let s take the place of old: it gets the lines from now on (all of them when old is not there).
 */
void log_replace(struct sink *old, struct sink *s, enum log_level most);

/* A sink that makes lines of the log, at error level, of lines of text; what has no end yet waits
 * for the flush. */
struct log_lines {
    struct sink sink;
    const char *subsystem;
    size_t length;
    char line[200];
};
struct log_lines log_lines(const char *subsystem);
void log_lines_flush(struct log_lines *l);

/* Write the kept lines, oldest first, to a sink. */
void log_dump(struct sink *s);
