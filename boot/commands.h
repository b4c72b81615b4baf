/* SPDX-License-Identifier: MIT
 *
 * The prompt's commands about the host and the guests' devices.
 */
#ifndef BOOT_COMMANDS_H
#define BOOT_COMMANDS_H

#include "boot/machine.h"
#include "drivers/console/shell.h"

/* machines: CONFIG_MAX_VMS pointers, NULL where there is none. */
CHECKED enum status boot_commands_register(struct shell *sh, struct machine **machines);

#endif
