/* SPDX-License-Identifier: MIT
 *
 * A virtual CPU in text.
 */
#pragma once

#include "lib/format.h"
#include "vmx/vcpu.h"

/* Registers in two dozen lines, and the instruction at RIP. */
void vcpu_show(struct vcpu *v, struct sink *out);

/* Copy code at CS:rip without side effects; how many bytes could be read. */
unsigned vcpu_peek_code(struct vcpu *v, u64 rip, u8 *bytes, unsigned want);

/* Names are in capitals; people type small letters: the name as they do, cut to cap. */
const char *name_lower(const char *name, char *out, size_t cap);

/* "rax" to "r15", in the order of enum gpr. */
extern const char *const gpr_names[];

const char *exit_reason_name(u32 basic_reason);

/* For panic_attach(): the current virtual CPU's registers and last exit. */
void vmx_panic_report(struct sink *out);
