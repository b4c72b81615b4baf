/* SPDX-License-Identifier: MIT
 *
 * Power-off and reset through the registers that ACPI's FADT names.
 */
#pragma once

/* Enter S5.  Returns when the tables do not say how, or when it did not work within a second. */
void acpi_power_off(void);

/* Write the reset register.  Returns when there is none, or at once when it takes its time. */
void acpi_reset(void);
