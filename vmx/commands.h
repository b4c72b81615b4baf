/* SPDX-License-Identifier: MIT
 *
 * The prompt's commands about virtual machines: state, memory, translations, statistics, life.
 */
#pragma once

#include "vmx/select.h"

/* What a command needs (shell_command.needs): a virtual CPU in sh->subject, whose machine is ... */
enum needs { NEEDS_VCPU = 1, NEEDS_ALIVE, NEEDS_RUNNING, NEEDS_PAUSED };

/* For commands_register(). */
extern const struct shell_table symbol_commands, examine_commands, stat_commands, debug_commands,
    explain_commands;
void kinds_register(struct shell *sh, struct vm_list *list);

/* The device that has the n-th range of the bus, of memory, ports and MSRs; NULL past the last. */
const char *device_name(const struct bus *b, unsigned n);

CHECKED enum status commands_register(struct shell *sh, struct vm_list *list);
