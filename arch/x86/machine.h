/* SPDX-License-Identifier: MIT
 *
 * The end of a run: power-off or reset of the real machine, and the ways an emulator offers to end
 * with a status.
 */
#ifndef ARCH_X86_MACHINE_H
#define ARCH_X86_MACHINE_H

#include "lib/types.h"

/* What waits until the last characters have left the serial port (bounded). */
void machine_set_drain(void (*drain)(void));

/*
 * Log "vitrine: end status=N", drain, then try in turn: Bochs' port 8900H, QEMU's isa-debug-exit at
 * port F4H, ACPI power-off; where none works, halt for ever.  0 means success.
 */
_Noreturn void machine_end(int status);

/* Reset by the ACPI reset register, port CF9H, the keyboard controller, a triple fault. */
_Noreturn void machine_reboot(void);

/* Stop this CPU for ever (NMIs are still answered). */
_Noreturn void machine_halt(void);

#endif
