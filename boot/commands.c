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

static enum status run_mem(struct shell *sh)
{
    mem_report(sh->out);
    return STATUS_OK;
}

static enum status run_cpus(struct shell *sh)
{
    cpus_show(sh->out);
    return STATUS_OK;
}

static enum status run_irq(struct shell *sh)
{
    irq_report(sh->out);
    return STATUS_OK;
}

/* What `devs` can show, in the order of its alternatives. */
static const char *const devices[] = {NULL,
#define X(name, show, member) (name),
                                      BOARD_DEVICES(X)
#undef X
};

static enum status run_devs(struct shell *sh)
{
    const struct host_view *h = sh->ctx;

    if (h->list->selected >= h->list->count)
        return shell_fail(sh, -1, STATUS_ENOENT, "there is no virtual machine");
    struct machine *m = h->machine[h->list->selected];
    vm_lock(&m->vm);
    bool found = board_show(&m->board, devices[sh->choice[1]], sh->out);
    vm_unlock(&m->vm);
    return found ? STATUS_OK
                 : shell_fail(sh, 1, STATUS_ENOENT, "expected a device that this machine has");
}

static enum status run_time(struct shell *sh)
{
    u64 begin = tsc_now_us(), seconds = cmos_next_second(), turned = tsc_now_us();

    sink_printf(sh->out, "up %lu.%06lu s\nat %lu.%06lu s the battery-backed clock turned to ",
                begin / 1000000, begin % 1000000, turned / 1000000, turned % 1000000);
    sink_printf(sh->out, seconds ? "%lu s of the epoch\n" : "nonsense\n", seconds);
    return STATUS_OK;
}

static enum status run_reboot(struct shell *) { machine_reboot(); }

static enum status run_selftest(struct shell *sh)
{
    return selftest_run(sh->argv[1])
               ? STATUS_OK
               : shell_fail(sh, 1, STATUS_ENOENT, "expected one of these: %s", selftest_names);
}

static enum status run_poweroff(struct shell *sh) { machine_end((int)sh->value[1]); }

#define X(name, show, member) "|" name
static const struct shell_command commands[] = {
    {"mem", "", "physical memory: who has how much", NULL, run_mem, 0},
    {"cpus", "", "the machine's CPUs: which are in use", NULL, run_cpus, 0},
    {"irq", "", "host interrupts: counts by vector", NULL, run_irq, 0},
    {"devs", "[all" BOARD_DEVICES(X) "]", "the selected machine's devices, register by register",
     "devs\ndevs ioapic", run_devs, 0},
    {"time", "",
     "how long this machine is up, beside its battery-backed clock (waits for its tick)", NULL,
     run_time, 0},
    {"selftest", "NAME", "break Vitrine on purpose, to see what it says", "selftest panic",
     run_selftest, 0},
    {"reboot", "", "reset the real machine", NULL, run_reboot, 0},
    {"poweroff", "[STATUS=0]", "end the run and switch the real machine off", NULL, run_poweroff,
     0},
};
#undef X

enum status boot_commands_register(struct shell *sh, struct host_view *view)
{
    return shell_register(sh, commands, ARRAY_SIZE(commands), view);
}
