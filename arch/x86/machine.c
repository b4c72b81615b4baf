/* SPDX-License-Identifier: MIT
 *
 * Ways out: those of emulators first (a real machine ignores their ports), then the firmware's.
 */
#include "arch/x86/machine.h"

#include "arch/x86/tsc.h"
#include "lib/log.h"

#define BOCHS_SHUTDOWN_PORT  0x8900 /* ends when "Shutdown" has been written */
#define QEMU_DEBUG_EXIT_PORT 0xf4   /* isa-debug-exit, iobase=0xf4 */
#define RESET_CONTROL_PORT   0xcf9
#define RESET_FULL           0x0e /* full reset, by a 0 to 1 change of bit 2 */
#define KBC_COMMAND          0x64
#define KBC_PULSE_RESET      0xfe

static struct {
    void (*drain)(void);
    struct machine_firmware firmware;
} machine;

void machine_set_drain(void (*drain)(void)) { machine.drain = drain; }

void machine_set_firmware(struct machine_firmware firmware) { machine.firmware = firmware; }

void machine_halt(void)
{
    for (;;) {
        cpu_cli();
        cpu_hlt();
    }
}

void machine_end(int status)
{
    if (machine.drain) /* a full ring would drop the line */
        machine.drain();
    log_info("vitrine", "end status=%d", status);
    if (machine.drain)
        machine.drain();
    for (const char *c = "Shutdown"; *c; c++)
        outb(BOCHS_SHUTDOWN_PORT, (u8)*c);
    outb(QEMU_DEBUG_EXIT_PORT, (u8)status);
    if (machine.firmware.power_off)
        machine.firmware.power_off();
    machine_halt();
}

void machine_reboot(void)
{
    const struct table_pointer none = {0, 0};

    if (machine.drain)
        machine.drain();
    if (machine.firmware.reset)
        machine.firmware.reset();
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
