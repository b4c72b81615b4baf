/* SPDX-License-Identifier: MIT
 *
 * The hypervisor proper: everything that boot/main.c has brought up is put to use here.
 */
#include "boot/hypervisor.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpus.h"
#include "arch/x86/irq.h"
#include "arch/x86/machine.h"
#include "arch/x86/memory.h"
#include "arch/x86/paging.h"
#include "arch/x86/panic.h"
#include "arch/x86/tsc.h"
#include "boot/commands.h"
#include "boot/console.h"
#include "drivers/console/hw.h"
#include "drivers/host/cmos.h"
#include "vmx/commands.h"
#include "vmx/gdbserver.h"
#include "vmx/show.h"
#include "vmx/trace.h"
#include "vmx/vmx.h"

/* Exit statuses of a run. */
#define END_NO_VTX   2
#define END_NO_GUEST 3
#define END_CRASHED  4

#define GDB_BAUD  115200u
#define GDB_SPINS 100000u /* bound on waiting for the port to have sent everything */

/* How long the idle prompt sleeps between two looks at a port without interrupts. */
#define IDLE_POLL_US 5000u

static struct hypervisor {
    struct mux mux;
    struct shell shell;
    struct config config;
    struct image module[BOOT_MAX_MODULES];
    unsigned module_count;
    struct vmx_caps caps;
    struct vm_list list;
    struct host_view view;
    struct gdbserver gdb;
    struct console_hw gdb_hw;
    struct uart16550 gdb_uart;
    bool running; /* guests may be started */
} hypervisor;

static void start_elsewhere(struct hypervisor *h);

static u64 console_now_us(void *) { return tsc_now_us(); }

/* Keys, and what the commands of the prompt looked at; all of that is CPU 0's. */
static void poll_console(void *ctx)
{
    struct hypervisor *h = ctx;

    if (cpu_number() != 0)
        return;
    mux_poll(&h->mux);
    gdbserver_poll(&h->gdb);
    vm_let_go(&h->list);
    if (h->running)
        start_elsewhere(h);
}

static void drain_all(void)
{
    mux_flush(&hypervisor.mux);
    console_drain();
}

/* Behind this nobody else runs, and nothing waits for a lock that a stopped CPU holds. */
static void stop_others(void)
{
    cpus_stop_others();
    mux_enter_panic(&hypervisor.mux);
}

static void post_mortem(void)
{
    if (hypervisor.config.hv.on_end == ON_END_PROMPT)
        shell_run_polled(&hypervisor.shell);
}

/* The host's timer only has to end a sleep. */
static void timer_rang(void *ctx) { (void)ctx; }

static void start_console(struct hypervisor *h)
{
    struct mux_hw hw = console_open((enum hv_console)h->config.hv.console, poll_console, h);

    hw.now_us = console_now_us;
    h->view.list = &h->list;
    mux_init(&h->mux, &hw);
    console_hand_over(&h->mux.log_out, (enum log_level)h->config.hv.log);
    machine_set_drain(drain_all);
    shell_init(&h->shell, &h->mux.prompt_out, &h->mux, 80);
    struct mux_prompt prompt = shell_prompt(&h->shell);
    mux_set_prompt(&h->mux, &prompt);
    panic_set_stop_others(stop_others);
    panic_attach(cpus_report_stopped);
    panic_attach(vmx_panic_report);
    panic_attach(trace_panic_report);
    panic_set_post_mortem(post_mortem);
    if (commands_register(&h->shell, &h->list) != STATUS_OK ||
        boot_commands_register(&h->shell, &h->view) != STATUS_OK)
        log_error("shell", "some commands are missing: a name is taken twice");
}

/* GDB's port, if one was asked for. */
static void start_gdb(struct hypervisor *h)
{
    struct uart16550 *u = &h->gdb_uart;
    struct mux_hw hw;
    bool wanted = h->config.hv.gdb != GDB_OFF, open = false;

    if (wanted && console_port() == UART_COM2)
        log_error("gdb", "COM2 is the console; say console=com1 or leave gdb= out");
    else if (wanted && (uart_probe(u, port_io_native, UART_COM2) != STATUS_OK ||
                        uart_init(u, GDB_BAUD) != STATUS_OK))
        log_error("gdb", "there is no COM2 to serve GDB on");
    else
        open = wanted;
    if (open) {
        h->gdb_hw.uart = u;
        h->gdb_hw.interrupts = irq_attach(UART_COM2_IRQ, poll_console, h) == STATUS_OK;
        hw = console_hw(&h->gdb_hw);
        log_info("gdb", "served on COM2, %u baud", GDB_BAUD);
    }
    if (gdbserver_init(&h->gdb, &h->list, &h->shell, open ? &hw : NULL) != STATUS_OK)
        log_error("shell", "the command `gdb` is missing: its name is taken");
}

static void read_configuration(struct hypervisor *h, const struct boot_info *boot)
{
    for (unsigned i = 0; i < boot->module_count; i++)
        h->module[i] = (struct image){.data = phys_to_virt(boot->module[i].at),
                                      .size = boot->module[i].size,
                                      .cmdline = boot->module[i].cmdline};
    h->module_count = boot->module_count;
    config_parse(&h->config, boot->cmdline, h->module, h->module_count);
}

static void report_configuration(const struct hypervisor *h)
{
    const struct config *c = &h->config;
    char text[320];

    for (unsigned i = 0; i < c->error_count && i < CONFIG_MAX_ERRORS; i++) {
        config_error_text(&c->error[i], text, sizeof(text));
        log_error("config", "%s", text);
    }
    if (c->error_count > CONFIG_MAX_ERRORS)
        log_error("config", "%u more errors", c->error_count - CONFIG_MAX_ERRORS);
}

/* On one of the other CPUs: VT-x as on the first, or percpu.vmx stays NULL. */
static void join(void *ctx)
{
    const struct hypervisor *h = ctx;
    struct vmx_caps caps;

    if (caps_probe(&caps) != STATUS_OK || !caps_equal(&caps, &h->caps))
        log_error("vmx", "VT-x is not the same here as on CPU 0: no guest runs on this CPU");
    else if (vmx_enable(&caps) != STATUS_OK)
        log_error("vmx", "no guest runs on this CPU, for the reason above");
}

static void join_all(struct hypervisor *h)
{
    for (unsigned n = 1; n < cpu_count(); n++) {
        if (!cpus_online(n))
            continue;
        cpus_run(n, join, h);
        while (!cpus_idle(n))
            cpu_pause();
    }
}

static bool start_vtx(struct hypervisor *h)
{
    if (caps_probe(&h->caps) != STATUS_OK || vmx_enable(&h->caps) != STATUS_OK) {
        log_error("vmx", "Vitrine cannot run guests on this machine, for the reason above");
        return false;
    }
    h->list.caps = &h->caps;
    join_all(h);
    log_info("vmx", "VT-x is on: EPT%s%s%s%s; `caps` shows every feature",
             h->caps.unrestricted ? ", unrestricted guest" : ", no unrestricted guest",
             caps_has(&h->caps, CAP_PROC2, PROC2_VPID) ? ", VPID" : "",
             h->caps.preemption_timer ? ", preemption timer" : ", APIC timer",
             caps_has(&h->caps, CAP_EPT, EPT_PAGE_1G) ? ", 1-GiB pages" : "");
    return true;
}

static void create_machines(struct hypervisor *h)
{
    const struct machine_host host = {.caps = &h->caps,
                                      .mux = &h->mux,
                                      .epoch = cmos_read_time(),
                                      .since = rdtsc(),
                                      .poll = poll_console,
                                      .poll_ctx = h};

    for (unsigned i = 0; i < h->config.vm_count; i++) {
        const struct vm_config *vm = &h->config.vm[i];
        struct machine *m;
        if (vm->refused) {
            log_error(vm->name, "not created: its configuration was refused, see above");
            continue;
        }
        if (machine_create(&m, &host, vm, h->module, h->module_count, i + 1) != STATUS_OK)
            continue;
        m->vm.debug.wait = h->gdb.open && h->config.hv.gdb == GDB_WAIT;
        h->view.machine[h->list.count] = m;
        h->list.vm[h->list.count++] = &m->vm;
    }
}

/* Give the keys to a guest, or to the prompt (NULL). */
static void focus(struct hypervisor *h, const char *guest)
{
    int number = MUX_PROMPT;
    enum status s = guest ? mux_find_guest(&h->mux, guest, &number) : STATUS_OK;

    if (s == STATUS_OK)
        s = mux_focus(&h->mux, number);
    if (s != STATUS_OK)
        log_warn("console", "no terminal for %s: %s", guest ? guest : "the prompt", status_text(s));
}

static bool is_taken(const struct hypervisor *h, unsigned cpu)
{
    for (unsigned i = 0; i < h->list.count; i++)
        for (unsigned k = 0; k < h->list.vm[i]->vcpu_count && h->view.machine[i]->placed; k++)
            if (h->list.vm[i]->host[k] == cpu)
                return true;
    return false;
}

/* Choose the host CPUs of a machine, from `first` on; false when there are not enough now. */
static bool place(struct hypervisor *h, struct machine *m, unsigned first)
{
    unsigned got = 0, want = m->vm.vcpu_count;

    for (unsigned n = first; n < cpu_count() && got < want; n++)
        if (cpus_online(n) && percpu_get(n)->vmx && cpus_idle(n) && !is_taken(h, n))
            m->vm.host[got++] = n;
    if (got == want) {
        m->vm.shared = want > 1 || m->vm.host[0] != 0;
        m->placed = true;
    } else if (!m->told && first == 0) {
        m->told = true;
        log_info(m->config->name,
                 "waits for %u CPUs, of which %u are free: it runs when others end", want, got);
    }
    return m->placed;
}

static void run_elsewhere(void *ctx)
{
    struct machine *m = ctx;

    machine_run(m);
    atomic_store(&m->done, true);
}

/* Take the CPUs of those that have ended, and start what waits; `first` is the first CPU to use.
 * The machine that is to run here comes back. */
static struct machine *start_waiting(struct hypervisor *h, unsigned first)
{
    for (unsigned i = 0; i < h->list.count; i++)
        if (atomic_exchange(&h->view.machine[i]->done, false))
            h->view.machine[i]->placed = false;
    for (unsigned i = 0; i < h->list.count; i++) {
        struct machine *m = h->view.machine[i];
        bool waits = m->vm.state == VM_READY || m->vm.end == VM_END_RESTART;
        if (m->placed || !waits)
            continue;
        if (!place(h, m, first))
            return NULL;
        if (m->vm.host[0] == 0) {
            h->list.selected = i;
            return m;
        }
        cpus_run(m->vm.host[0], run_elsewhere, m);
    }
    return NULL;
}

static void start_elsewhere(struct hypervisor *h) { (void)start_waiting(h, 1); }

static bool any_runs(const struct hypervisor *h)
{
    for (unsigned i = 0; i < h->list.count; i++)
        if (h->view.machine[i]->placed)
            return true;
    return false;
}

/* The status that stands for how a VM ended. */
static int end_status(const struct vm *vm)
{
    switch (vm->end) {
    case VM_END_DEBUG_EXIT: return (int)vm->end_code;
    case VM_END_POWEROFF:
    case VM_END_KILLED: return 0;
    default: return END_CRASHED;
    }
}

static void run_scripts(struct hypervisor *h)
{
    for (unsigned i = 0; i < h->config.script_count; i++) {
        const struct image *script = &h->module[h->config.script[i]];
        (void)shell_run_script(&h->shell, "script", (const char *)script->data, script->size);
    }
}

/* Run guests, here and elsewhere, and serve the prompt; until none runs or, with `on`, for ever. */
static void serve(struct hypervisor *h, bool on)
{
    for (;;) {
        struct machine *m = start_waiting(h, 0);
        if (m) {
            focus(h, m->config->name);
            run_elsewhere(m);
            focus(h, NULL);
            poll_console(h); /* GDB is told, too */
            for (u32 spins = 0; h->gdb.open && spins < GDB_SPINS && !uart_idle(&h->gdb_uart);
                 spins++)
                cpu_pause();
        } else if (on || any_runs(h)) {
            apic_timer_arm(rdtsc() + tsc_from_us(IDLE_POLL_US));
            cpu_wait();
            poll_console(h);
        } else {
            return; /* decided here: poll_console() takes CPUs back, but starts nothing on CPU 0 */
        }
    }
}

_Noreturn void hypervisor_run(const struct boot_info *boot)
{
    struct hypervisor *h = &hypervisor;
    int status = END_NO_GUEST;

    read_configuration(h, boot);
    start_console(h);
    start_gdb(h);
    if (irq_attach_vector(IRQ_VECTOR_TIMER, timer_rang, NULL) != STATUS_OK)
        log_error("irq", "the timer's vector is taken");
    report_configuration(h);
    if (start_vtx(h))
        create_machines(h);
    else
        status = END_NO_VTX;
    shell_start(&h->shell);
    run_scripts(h);
    vm_let_go(&h->list);
    h->running = true;
    serve(h, false);
    for (unsigned i = 0; i < h->list.count; i++)
        status = end_status(h->list.vm[i]);
    if (h->list.count == 0 && status != END_NO_VTX)
        log_warn("boot", "no guest to run; the README says how to give one as a module");
    if (h->config.hv.on_end == ON_END_RESET)
        machine_reboot();
    if (h->config.hv.on_end == ON_END_POWEROFF)
        machine_end(status);
    serve(h, true);
    __builtin_unreachable();
}
