/* SPDX-License-Identifier: MIT
 *
 * VMX operation of one host CPU: on.
 */
#pragma once

#include "vmx/caps.h"

/* Enter VMX operation on this CPU (SDM vol. 3C, 23.7); the log says why where it fails. */
CHECKED enum status vmx_enable(const struct vmx_caps *caps);

/* A page for the CPU's own use that begins with the VMCS revision identifier. */
CHECKED enum status vmx_alloc_region(const struct vmx_caps *caps, const char *owner, hpa_t *at);
