/* SPDX-License-Identifier: MIT
 *
 * The prompt's commands about virtual machines: state, memory, translations, statistics, life.
 */
#pragma once

#include "vmx/select.h"

CHECKED enum status commands_register(struct shell *sh, struct vm_list *list);
