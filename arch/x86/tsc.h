/* SPDX-License-Identifier: MIT
 *
 * Time: the time-stamp counter and its frequency, from CPUID, a hypervisor's leaf, or measured
 * against the PIT; CPUID's figure is checked by a short measurement, which wins when they differ
 * by more than 1 %.
 */
#pragma once

#include "arch/x86/cpu.h"

/* Find the frequency (never hangs: measuring is bounded by loop count) and remember this moment as
 * the beginning of time.  fallback_hz: what to believe when nothing tells it; 0: not known. */
void tsc_init(u64 fallback_hz);

/* Ticks per second; never 0, before tsc_init() 1 GHz is assumed. */
u64 tsc_hz(void);

/* Conversions, 128-bit inside; rounding down; all-ones when the result does not fit. */
u64 tsc_to_us(u64 ticks);
u64 tsc_to_hz(u64 ticks, u64 hz); /* as counts of a clock of hz */
u64 tsc_from_us(u64 us);

/* Microseconds since tsc_init() began, as log_set_source() wants it; 0 before tsc_init(). */
u64 tsc_now_us(void);

/* Busy-wait. */
void tsc_delay_us(u64 us);
