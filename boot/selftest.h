/* SPDX-License-Identifier: MIT
 *
 * Deliberate faults, asked for by `selftest NAME` at the prompt, that show what traps, page rights
 * and the panic report are worth.
 */
#pragma once

#include "lib/types.h"

/* Run the test of that name (all but "msr" end the run); false: there is none. */
bool selftest_run(const char *name);

/* "fault stack ..." */
extern const char selftest_names[];
