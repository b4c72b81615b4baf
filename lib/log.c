/* SPDX-License-Identifier: MIT
 *
 * The log: a ring of finished lines, the oldest dropped for the newest, and up to four sinks.
 * Callable anywhere, also while another CPU lies dead inside it: after a bounded wait the lock is
 * taken over, since a torn line is better than a silent panic.
 */
#include "lib/log.h"

#include "lib/string.h"
#include <stdatomic.h>

#define LOG_RING  32768u /* bytes; a power of two */
#define LOG_LINE  240u   /* characters of a line, prefix included */
#define LOG_SINKS 4
#define LOG_SPINS 1000000u

struct log_sink {
    struct sink *sink;
    enum log_level most;
};

/* The one log of the hypervisor.  A kept line is its level as a byte, its text, and '\n'. */
struct log {
    atomic_flag busy;
    u64 (*now_us)(void);
    unsigned (*cpu)(void);
    struct log_sink sinks[LOG_SINKS];
    u32 head, tail; /* free-running */
    char ring[LOG_RING];
};

static struct log the_log = {.busy = ATOMIC_FLAG_INIT};

static void log_lock(struct log *l)
{
    for (u32 spins = 0; atomic_flag_test_and_set_explicit(&l->busy, memory_order_acquire);
         spins++) {
        if (spins == LOG_SPINS)
            return;
        __builtin_ia32_pause();
    }
}

static void log_unlock(struct log *l)
{
    atomic_flag_clear_explicit(&l->busy, memory_order_release);
}

static void ring_add(struct log *l, char c) { l->ring[l->head++ % LOG_RING] = c; }

/* Keep one line (len characters, newline included), dropping whole old lines to make room. */
static void log_keep(struct log *l, enum log_level level, const char *line, size_t len)
{
    while (LOG_RING - (l->head - l->tail) < len + 1)
        while (l->tail != l->head && l->ring[l->tail++ % LOG_RING] != '\n')
            ;
    ring_add(l, (char)level);
    for (size_t i = 0; i < len; i++)
        ring_add(l, line[i]);
}

/*
 * Copy the line at *at, or the oldest where that one has been dropped, and go on to the next.
 * Returns its length, 0 at the end; with the lock held.
 */
static size_t log_copy(const struct log *l, u32 *at, char *line, enum log_level *level)
{
    size_t len = 0;

    if (l->head - *at > l->head - l->tail)
        *at = l->tail;
    if (*at == l->head)
        return 0;
    *level = (enum log_level)l->ring[(*at)++ % LOG_RING];
    do
        line[len++] = l->ring[(*at)++ % LOG_RING];
    while (line[len - 1] != '\n' && len <= LOG_LINE && *at != l->head);
    return len;
}

/* Write the kept lines without holding the lock meanwhile: a sink may be slow.  Ends with the lock
 * held and nothing left. */
static void log_replay(struct log *l, struct sink *s, enum log_level most)
{
    char line[LOG_LINE + 1];
    enum log_level level;
    size_t len;

    log_lock(l);
    for (u32 at = l->tail; (len = log_copy(l, &at, line, &level)) != 0;) {
        log_unlock(l);
        if (level <= most)
            s->write(s, line, len);
        log_lock(l);
    }
}

/* Guests' strings end up in lines: nothing that moves a terminal's cursor may pass. */
static void make_printable(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            text[i] = '?';
}

void log_line(enum log_level level, const char *subsystem, const char *fmt, ...)
{
    struct log *l = &the_log;
    u64 us = l->now_us ? l->now_us() : 0;
    char line[LOG_LINE + 2];
    size_t len, prefix;
    va_list ap;

    prefix = format_buf(line, LOG_LINE + 1, "[%u.%06u] c%u %s: ", (unsigned)(us / 1000000),
                        (unsigned)(us % 1000000), l->cpu ? l->cpu() : 0, subsystem);
    if (prefix > LOG_LINE)
        prefix = LOG_LINE;
    va_start(ap, fmt);
    len = prefix + format_vbuf(line + prefix, LOG_LINE + 1 - prefix, fmt, ap);
    va_end(ap);
    if (len > LOG_LINE) {
        len = LOG_LINE;
        memcpy(line + len - 3, "...", 3);
    }
    make_printable(line, len);
    line[len++] = '\n';

    log_lock(l);
    log_keep(l, level, line, len);
    for (unsigned i = 0; i < LOG_SINKS; i++)
        if (l->sinks[i].sink && level <= l->sinks[i].most)
            l->sinks[i].sink->write(l->sinks[i].sink, line, len);
    log_unlock(l);
}

void log_set_source(u64 (*now_us)(void), unsigned (*cpu)(void))
{
    the_log.now_us = now_us;
    the_log.cpu = cpu;
}

static struct log_sink *find_sink(struct log *l, const struct sink *s)
{
    for (unsigned i = 0; i < LOG_SINKS; i++)
        if (l->sinks[i].sink == s)
            return &l->sinks[i];
    return NULL;
}

void log_attach(struct sink *s, enum log_level most)
{
    struct log *l = &the_log;
    struct log_sink *slot = find_sink(l, s);

    if (slot) {
        slot->most = most;
        return;
    }
    log_replay(l, s, most);
    slot = find_sink(l, NULL);
    if (slot)
        *slot = (struct log_sink){s, most};
    log_unlock(l);
    if (!slot)
        log_error("log", "a fifth sink cannot be attached; its output is missing");
}

void log_replace(struct sink *old, struct sink *s, enum log_level most)
{
    struct log *l = &the_log;

    log_lock(l);
    struct log_sink *slot = find_sink(l, old);
    if (slot)
        *slot = (struct log_sink){s, most};
    log_unlock(l);
    if (!slot)
        log_attach(s, most);
}

void log_detach(struct sink *s)
{
    struct log *l = &the_log;

    log_lock(l);
    struct log_sink *slot = find_sink(l, s);
    if (slot)
        *slot = (struct log_sink){0};
    log_unlock(l);
}

void log_dump(struct sink *s)
{
    log_replay(&the_log, s, LOG_DEBUG);
    log_unlock(&the_log);
}

void log_lines_flush(struct log_lines *l)
{
    if (l->length != 0)
        log_error(l->subsystem, "%.*s", (int)l->length, l->line);
    l->length = 0;
}

static void lines_write(struct sink *self, const char *text, size_t len)
{
    struct log_lines *l = container_of(self, struct log_lines, sink);

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\n')
            l->line[l->length++] = text[i];
        if (text[i] == '\n' || l->length == sizeof(l->line))
            log_lines_flush(l);
    }
}

struct log_lines log_lines(const char *subsystem)
{
    return (struct log_lines){.sink.write = lines_write, .subsystem = subsystem};
}
