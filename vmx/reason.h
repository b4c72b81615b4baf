/* SPDX-License-Identifier: MIT
 *
 * Why the emulator is called: it does not ask, the trace and the statistics tell.
 */
#pragma once

/* Why an instruction is emulated; carried to trace and statistics. */
#define EMU_REASON_LIST(X)            \
    X(MMIO, "mmio")                   \
    X(PIO, "pio")                     \
    X(UD, "ud")                       \
    X(FORCED, "forced")               \
    X(INVALID_STATE, "invalid-state") \
    X(REAL_MODE, "real-mode")         \
    X(TASK_SWITCH, "task-switch")     \
    X(VMWARE_GP, "vmware-gp")         \
    X(WRITE_PROTECT, "write-protect") \
    X(INTERCEPT, "intercept")         \
    X(DEBUG, "debug")

enum emu_reason {
#define X(name, text) EMU_##name,
    EMU_REASON_LIST(X)
#undef X
        EMU_REASON_COUNT
};

const char *emu_reason_text(enum emu_reason r);
