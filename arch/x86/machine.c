/* SPDX-License-Identifier: MIT
 *
 * Ways out: those of emulators first (a real machine ignores their ports), then the firmware's.
 */
#include "arch/x86/machine.h"

#include "arch/x86/acpi.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/tsc.h"
#include "lib/log.h"

#define BOCHS_SHUTDOWN_PORT  0x8900 /* ends when "Shutdown" has been written */
#define QEMU_DEBUG_EXIT_PORT 0xf4   /* isa-debug-exit, iobase=0xf4 */
#define SLP_TYP_SHIFT        10     /* ACPI specification 6.4, section 4.8.3.2.1 */
#define SLP_EN               BIT(13)
#define RESET_CONTROL_PORT   0xcf9
#define RESET_FULL           0x0e /* full reset, by a 0 to 1 change of bit 2 */
#define KBC_COMMAND          0x64
#define KBC_PULSE_RESET      0xfe
#define GAS_MEMORY           0 /* address spaces of a generic address, section 5.2.3.2 */
#define GAS_IO               1

static void (*machine_drain)(void);

void machine_set_drain(void (*drain)(void))
{
    machine_drain = drain;
}

void machine_halt(void)
{
    for (;;) {
        cpu_cli();
        cpu_hlt();
    }
}

static void acpi_power_off(void)
{
    const struct acpi_info *a = acpi_info();

    if (!a->can_power_off)
        return;
    outw(a->pm1a_control, (u16)((unsigned)a->s5_type_a << SLP_TYP_SHIFT | SLP_EN));
    if (a->pm1b_control)
        outw(a->pm1b_control, (u16)((unsigned)a->s5_type_b << SLP_TYP_SHIFT | SLP_EN));
    tsc_delay_us(1000000);
}

void machine_end(int status)
{
    log_info("vitrine", "end status=%d", status);
    if (machine_drain)
        machine_drain();
    for (const char *c = "Shutdown"; *c; c++)
        outb(BOCHS_SHUTDOWN_PORT, (u8)*c);
    outb(QEMU_DEBUG_EXIT_PORT, (u8)status);
    acpi_power_off();
    machine_halt();
}

static void acpi_reset(void)
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

void machine_reboot(void)
{
    const struct table_pointer none = {0, 0};

    if (machine_drain)
        machine_drain();
    acpi_reset();
    tsc_delay_us(10000);
    outb(RESET_CONTROL_PORT, RESET_FULL & ~4);
    outb(RESET_CONTROL_PORT, RESET_FULL);
    tsc_delay_us(10000);
    outb(KBC_COMMAND, KBC_PULSE_RESET);
    tsc_delay_us(10000);
    lidt(&none); /* the next exception cannot be delivered, nor can the double fault after it */
    __asm__ volatile("ud2");
    __builtin_unreachable();
}
