/* SPDX-License-Identifier: MIT
 *
 * The end of a run: power-off or reset of the real machine, and the ways an emulator offers to end
 * with a status.
 */
#pragma once

#include "lib/types.h"

/* What waits until the last characters have left the serial port (bounded). */
void machine_set_drain(void (*drain)(void));

/* What the firmware offers (arch/x86/acpi_power.h); both return when they did not work. */
struct machine_firmware {
    void (*power_off)(void);
    void (*reset)(void);
};
void machine_set_firmware(struct machine_firmware firmware);

/*
 * Log "vitrine: end status=N", drain, then try in turn: Bochs' port 8900H, QEMU's isa-debug-exit at
 * port F4H, the firmware's power-off; where none works, halt for ever.  0 means success.
 */
_Noreturn void machine_end(int status);

/* Reset by the firmware's way, port CF9H, the keyboard controller, a triple fault. */
_Noreturn void machine_reboot(void);

/* Stop this CPU for ever (NMIs are still answered). */
_Noreturn void machine_halt(void);
