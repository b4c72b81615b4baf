/* SPDX-License-Identifier: MIT
 *
 * The console's own commands, and what they need of the engine: private to shell.c and builtin.c.
 */
#ifndef DRIVERS_CONSOLE_BUILTIN_H
#define DRIVERS_CONSOLE_BUILTIN_H

#include "drivers/console/shell.h"

extern const struct shell_command builtin_commands[];
extern const size_t builtin_count;

/* The n-th command of all tables, NULL past the last; *ctx is its table's. */
const struct shell_command *shell_command_at(const struct shell *sh, unsigned n, void **ctx);

/* The command that word `arg` names or uniquely begins; failures are reported. */
CHECKED enum status shell_find(struct shell *sh, int arg, const struct shell_command **found,
                               void **ctx);

void shell_complete_commands(const struct shell *sh, struct completions *c);
void shell_set_machine(struct shell *sh, bool machine);

#endif
