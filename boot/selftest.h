/* SPDX-License-Identifier: MIT
 *
 * Deliberate faults, asked for by `selftest=NAME` on the command line, that show what traps, page
 * rights and the panic report are worth.
 */
#ifndef BOOT_SELFTEST_H
#define BOOT_SELFTEST_H

/* Run the test of that name; all but "msr", "irq" and "memory" end the run.  Unknown names are
 * listed in the log. */
void selftest_run(const char *name);

#endif
