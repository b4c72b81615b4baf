/* SPDX-License-Identifier: MIT
 *
 * The real machine's battery-backed clock: the time of day.
 */
#pragma once

#include "lib/types.h"

/* Seconds since 1970-01-01 00:00 UTC, taking the clock as UTC; 0 when it makes no sense. */
u64 cmos_read_time(void);

/* The same at the next turn of a second, for which it waits up to 1.1 s. */
u64 cmos_next_second(void);
