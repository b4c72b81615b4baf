/* SPDX-License-Identifier: MIT
 *
 * ACPI specification 6.4, sections 4.8.3.2.1 (PM1 control) and 4.8.3.6 (reset register).
 */
#include "arch/x86/acpi_power.h"

#include "arch/x86/acpi.h"
#include "arch/x86/paging.h"
#include "arch/x86/tsc.h"

#define SLP_TYP_SHIFT 10 /* ACPI specification 6.4, section 4.8.3.2.1 */
#define SLP_EN        BIT(13)
#define GAS_MEMORY    0 /* address spaces of a generic address, section 5.2.3.2 */
#define GAS_IO        1

void acpi_power_off(void)
{
    const struct acpi_info *a = acpi_info();

    if (!a->can_power_off)
        return;
    outw(a->pm1a_control, (u16)((unsigned)a->s5_type_a << SLP_TYP_SHIFT | SLP_EN));
    if (a->pm1b_control)
        outw(a->pm1b_control, (u16)((unsigned)a->s5_type_b << SLP_TYP_SHIFT | SLP_EN));
    tsc_delay_us(1000000);
}

void acpi_reset(void)
{
    const struct acpi_info *a = acpi_info();

    if (a->reset_address == 0)
        return;
    if (a->reset_space == GAS_IO) {
        outb((u16)a->reset_address, a->reset_value);
    } else if (a->reset_space == GAS_MEMORY) {
        volatile u8 *reg = mmio_map(HPA(a->reset_address), 1);
        if (reg)
            *reg = a->reset_value;
    }
}
