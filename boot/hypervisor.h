/* SPDX-License-Identifier: MIT
 *
 * What begins when the host is up: console and prompt, VT-x, the guests that the boot modules ask
 * for, and the end of the run.
 */
#pragma once

#include "boot/boot_info.h"

_Noreturn void hypervisor_run(const struct boot_info *boot);
