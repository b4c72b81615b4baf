/* SPDX-License-Identifier: MIT
 *
 * Why instructions leave a guest, in words.
 */
#pragma once

#include "lib/types.h"

struct trace_record;

/* Why instructions leave the guest; the first that fits a record is its cause. */
struct cause {
    u32 reason;   /* exit reason or trace_kind; TRACE_ANY */
    unsigned why; /* 1 + enum emu_reason; 0: not the emulator, or any */
    bool apic;    /* only for the local APIC's page */
    const char *what, *because, *avoid;
};
#define EXPLAIN_CAUSES 14u
extern const struct cause explain_causes[EXPLAIN_CAUSES];
const struct cause *explain_cause(const struct trace_record *r);
