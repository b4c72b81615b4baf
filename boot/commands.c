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
#include "boot/selftest.h"
#include "drivers/host/cmos.h"
#include "lib/string.h"

static enum status run_mem(struct shell *sh, int, char **)
{
    mem_report(sh->out);
    return STATUS_OK;
}

static enum status run_cpus(struct shell *sh, int, char **)
{
    cpus_show(sh->out);
    return STATUS_OK;
}

static enum status run_irq(struct shell *sh, int, char **)
{
    irq_report(sh->out);
    return STATUS_OK;
}

static const char *const devices[] = {
#define X(name, show, member) (name),
    BOARD_DEVICES(X)
#undef X
};

static enum status run_devs(struct shell *sh, int argc, char **argv)
{
    const struct host_view *h = sh->ctx;

    if (h->list->selected >= h->list->count)
        return shell_fail(sh, -1, STATUS_ENOENT, "there is no virtual machine");
    struct machine *m = h->machine[h->list->selected];
    vm_lock(&m->vm);
    bool found = board_show(&m->board, argc > 1 ? argv[1] : NULL, sh->out);
    vm_unlock(&m->vm);
    return found ? STATUS_OK
                 : shell_fail(sh, 1, STATUS_ENOENT,
                              "expected a device that this machine has (Tab lists them)");
}

static void complete_devs(struct shell *, int argc, char **, struct completions *c)
{
    for (unsigned i = 0; argc == 2 && i < ARRAY_SIZE(devices); i++)
        completions_add(c, devices[i]);
}

static enum status run_time(struct shell *sh, int, char **)
{
    u64 begin = tsc_now_us(), seconds = cmos_next_second(), turned = tsc_now_us();

    sink_printf(sh->out, "up %lu.%06lu s\nat %lu.%06lu s the battery-backed clock turned to ",
                begin / 1000000, begin % 1000000, turned / 1000000, turned % 1000000);
    sink_printf(sh->out, seconds ? "%lu s of the epoch\n" : "nonsense\n", seconds);
    return STATUS_OK;
}

static enum status run_reboot(struct shell *, int, char **) { machine_reboot(); }

static enum status run_selftest(struct shell *sh, int, char **argv)
{
    return selftest_run(argv[1])
               ? STATUS_OK
               : shell_fail(sh, 1, STATUS_ENOENT, "expected one of these: %s", selftest_names);
}

static enum status run_poweroff(struct shell *sh, int argc, char **)
{
    u64 status = 0;

    if (argc > 1) {
        TRY(shell_arg_u64(sh, 1, "an exit status", 0, 255, &status));
    }
    machine_end((int)status);
}

static const struct shell_command commands[] = {
    {"mem", "", "physical memory: who has how much", NULL, run_mem, NULL},
    {"cpus", "", "the machine's CPUs: which are in use", NULL, run_cpus, NULL},
    {"irq", "", "host interrupts: counts by vector", NULL, run_irq, NULL},
    {"devs", "[DEVICE]", "the selected machine's devices, register by register",
     "devs\ndevs ioapic", run_devs, complete_devs},
    {"time", "",
     "how long this machine is up, beside its battery-backed clock (waits for its tick)", NULL,
     run_time, NULL},
    {"selftest", "NAME", "break Vitrine on purpose, to see what it says", "selftest panic",
     run_selftest, NULL},
    {"reboot", "", "reset the real machine", NULL, run_reboot, NULL},
    {"poweroff", "[STATUS]", "end the run and switch the real machine off", NULL, run_poweroff,
     NULL},
};

enum status boot_commands_register(struct shell *sh, struct host_view *view)
{
    return shell_register(sh, commands, ARRAY_SIZE(commands), view);
}
