/* SPDX-License-Identifier: MIT
 *
 * The CPUs beyond the first: their areas, how they are started (SDM vol. 3A, 8.4), given work and
 * stopped.  A CPU without work sleeps; what it is given runs to its end with interrupts off.
 */
#pragma once

#include "lib/format.h"
#include "lib/status.h"

/* Make room for `count` CPUs (1 .. 1024). */
CHECKED enum status cpus_init(unsigned count);

/*
 * Start every other CPU that ACPI names, and compare its TSC with this one's.  A CPU that does not
 * answer is named in the log and left out.
 */
void cpus_start(void);

/* CPU `number` answers (the first always does); how many do. */
bool cpus_online(unsigned number);
unsigned cpus_online_count(void);

/* Let CPU `number`, which must be online and without work, call fn(ctx); returns at once. */
void cpus_run(unsigned number, void (*fn)(void *ctx), void *ctx);

/* What it was given last has returned. */
bool cpus_idle(unsigned number);

/* Interrupt what CPU `number` does, or its sleep (IRQ_VECTOR_KICK); not this one. */
void cpus_kick(unsigned number);

/* Stop all others for ever, by NMI, and report where they were: for panic(). */
void cpus_stop_others(void);
void cpus_report_stopped(struct sink *out);

/* The table of CPUs for people. */
void cpus_show(struct sink *out);
