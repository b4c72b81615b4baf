/* SPDX-License-Identifier: MIT
 *
 * Shell commands of the composition root: what needs to see host and devices at once.
 */
#include "boot/commands.h"

#include "arch/x86/cpus.h"
#include "arch/x86/irq.h"
#include "arch/x86/machine.h"
#include "arch/x86/memory.h"
#include "arch/x86/tsc.h"
#include "drivers/host/cmos.h"
#include "lib/string.h"

static enum status run_mem(struct shell *sh, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    mem_report(sh->out);
    return STATUS_OK;
}

static enum status run_cpus(struct shell *sh, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    cpus_show(sh->out);
    return STATUS_OK;
}

static enum status run_irq(struct shell *sh, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    irq_report(sh->out);
    return STATUS_OK;
}

static enum status run_devs(struct shell *sh, int argc, char **argv)
{
    struct machine **machines = sh->ctx;

    for (unsigned i = 0; i < CONFIG_MAX_VMS && machines[i]; i++)
        if (argc < 2 || strcmp(machines[i]->config->name, argv[1]) == 0) {
            vm_lock(&machines[i]->vm);
            board_show(&machines[i]->board, sh->out);
            vm_unlock(&machines[i]->vm);
            return STATUS_OK;
        }
    return shell_fail(sh, argc > 1 ? 1 : -1, STATUS_ENOENT,
                      "expected the name of a virtual machine (vm lists them)");
}

static enum status run_time(struct shell *sh, int argc, char **argv)
{
    u64 begin = tsc_now_us(), seconds = cmos_next_second(), turned = tsc_now_us();

    (void)argc;
    (void)argv;
    sink_printf(sh->out, "up %lu.%06lu s\nat %lu.%06lu s the battery-backed clock turned to ",
                begin / 1000000, begin % 1000000, turned / 1000000, turned % 1000000);
    sink_printf(sh->out, seconds ? "%lu s of the epoch\n" : "nonsense\n", seconds);
    return STATUS_OK;
}

static enum status run_reboot(struct shell *sh, int argc, char **argv)
{
    (void)sh;
    (void)argc;
    (void)argv;
    machine_reboot();
}

static enum status run_poweroff(struct shell *sh, int argc, char **argv)
{
    u64 status = 0;

    (void)argv;
    if (argc > 1) {
        enum status s = shell_arg_u64(sh, 1, "an exit status", 0, 255, &status);
        if (s != STATUS_OK)
            return s;
    }
    machine_end((int)status);
}

static const struct shell_command commands[] = {
    {"mem", "", "physical memory: who has how much", NULL, run_mem, NULL},
    {"cpus", "", "the machine's CPUs: which are in use", NULL, run_cpus, NULL},
    {"irq", "", "host interrupts: counts by vector", NULL, run_irq, NULL},
    {"devs", "[VM]", "a guest's devices, register by register", "devs", run_devs, NULL},
    {"time", "",
     "how long this machine is up, beside its battery-backed clock (waits for its tick)", NULL,
     run_time, NULL},
    {"reboot", "", "reset the real machine", NULL, run_reboot, NULL},
    {"poweroff", "[STATUS]", "end the run and switch the real machine off", NULL, run_poweroff,
     NULL},
};

enum status boot_commands_register(struct shell *sh, struct machine **machines)
{
    return shell_register(sh, commands, ARRAY_SIZE(commands), machines);
}
