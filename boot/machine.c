/* SPDX-License-Identifier: MIT
 *
 * Composition of a guest machine: the only place where a VM meets its devices.
 */
#include "boot/machine.h"

#include "arch/x86/cpus.h"
#include "arch/x86/memory.h"
#include "arch/x86/tsc.h"
#include "guest/address.h"
#include "guest/symbols.h"
#include "lib/string.h"
#include "vmx/create.h"
#include "vmx/run.h"
#include "vmx/symbol.h"

static u64 read_tsc(void *) { return rdtsc(); }

/* Bytes from the terminal, or room on it: let the serial port look. */
static void wake_uart(void *ctx)
{
    struct machine *m = ctx;

    vm_lock(&m->vm);
    vuart_poll(&m->board.uart);
    vm_unlock(&m->vm);
}

/* Memory for one range, aligned for the largest EPT pages that can be had. */
static enum status back_range(u64 size, hpa_t *at)
{
    static const u64 aligns[] = {GiB, 2 * MiB, PAGE_SIZE};
    enum status s = STATUS_ENOMEM;

    for (unsigned i = 0; i < ARRAY_SIZE(aligns) && s != STATUS_OK; i++)
        if (size >= aligns[i])
            s = mem_alloc(size, aligns[i], "guest memory", at);
    return s;
}

/* The ROM of a firmware guest, up to 4 GiB. */
static enum status alloc_rom(struct machine *m)
{
    u64 size = machine_rom(m->config, m->modules, m->module_count);
    hpa_t *at = &m->backing[ARRAY_SIZE(m->backing) - 1];

    if (size == 0)
        return STATUS_OK;
    enum status s = mem_alloc(size, PAGE_SIZE, "guest ROM", at);
    return s == STATUS_OK
               ? gmem_add(&m->mem, GPA(ADDR_HIGH - size), size, phys_to_virt(*at), GMEM_ROM)
               : s;
}

static enum status alloc_memory(struct machine *m)
{
    struct machine_ram ram;
    struct load_error error;

    enum status s = machine_ram(m->config->mem, &ram, &error);
    if (s != STATUS_OK) {
        log_error(m->config->name, "%s", error.text);
        return s;
    }
    for (unsigned i = 0; i < ram.count; i++) {
        s = back_range(ram.range[i].size, &m->backing[i]);
        if (s != STATUS_OK) {
            log_error(m->config->name,
                      "no %lu MiB of contiguous memory for mem=%luM (largest free: %lu MiB); "
                      "give the guest less with mem=SIZE",
                      (ram.range[i].size / MiB), (m->config->mem / MiB),
                      (mem_free_largest() / MiB));
            return s;
        }
        TRY(gmem_add(&m->mem, GPA(ram.range[i].base), ram.range[i].size,
                     phys_to_virt(m->backing[i]), GMEM_RAM));
    }
    return alloc_rom(m);
}

static enum status init_board(struct machine *m, const struct machine_host *host)
{
    m->port = vm_cpu_port(&m->vm);
    const struct image disk = machine_disk(m->config, m->modules, m->module_count);
    const struct board_config config = {
        .vcpus = m->config->vcpus,
        .mem = m->config->mem,
        .read = read_tsc,
        .hz = tsc_hz(),
        .epoch = host->epoch + (rdtsc() - host->since) / tsc_hz(),
        .uart = &m->uart,
        .port = &m->port,
        .firmware = m->config->kind == IMAGE_FIRMWARE ? m->config->name : NULL,
        .memory = &m->mem,
        .disk = disk.data,
        .disk_size = disk.size,
    };
    return board_init(&m->board, &config);
}

_Static_assert((int)REAL_MODE_AUTO == REAL_AUTO && (int)REAL_MODE_NATIVE == REAL_NATIVE &&
                   (int)REAL_MODE_VM86 == REAL_VM86 && (int)REAL_MODE_EMULATE == REAL_EMULATE,
               "the words of the configuration are those of the machine");

static enum status create_vm(struct machine *m, const struct machine_host *host, unsigned id)
{
    const struct vm_parts parts = {
        .name = m->config->name,
        .id = id,
        .vcpus = m->config->vcpus,
        .unrestricted = m->config->unrestricted != UNRESTRICTED_OFF,
        .real_mode = (enum real_mode)m->config->real_mode,
        .forced = m->config->ud != UD_GUEST,
        .emulates_ud = m->config->ud == UD_EMULATE,
        .vmware_ports = m->config->vmware_ports,
        .bus = &m->board.bus,
        .intc = m->board.intc,
        .clock = &m->board.clock,
        .cpu_clock = m->board.cpu_clock,
        .mem = &m->mem,
        .tsc_hz = tsc_hz(),
        .poll = host->poll,
        .poll_ctx = host->poll_ctx,
    };
    return vm_create(&m->vm, host->caps, &parts);
}

/* Put the images into memory and the first CPU at their entry. */
static enum status load(struct machine *m)
{
    struct load_error error;

    enum status s =
        guest_build(m->config, m->modules, m->module_count, true, &m->mem, &m->vm.start, &error);
    if (s == STATUS_OK && m->config->kind == IMAGE_FIRMWARE)
        s = firmware_furnish(&m->board.firmware, m->config, m->modules, &error);
    if (s != STATUS_OK)
        log_error(m->config->name, "not started: %s", error.text);
    return s;
}

/* So that the prompt can show it before it runs. */
static void show_ready(struct vm *vm)
{
    vcpu_make_current(vm->vcpu[0]);
    vcpu_power_on(vm->vcpu[0]);
    vcpu_set_state(vm->vcpu[0], &vm->start);
    vcpu_release(vm->vcpu[0]);
}

/* The table of symbols=NAME, or else of the guest's own image, if it has one. */
static void read_symbols(struct machine *m)
{
    const struct vm_config *c = m->config;
    unsigned f = c->file_count - 1;
    struct load_error error;
    struct symbols table;

    while (f > 0 && c->file[f].role != FILE_SYMBOLS)
        f--;
    const struct image *image = &m->modules[c->file[f].module];
    if (f == 0 && !image_is_elf(image))
        return;
    enum status s = guest_symbols_measure(image, &table, &error);
    if (s == STATUS_OK) {
        (void)format_buf(error.text, sizeof(error.text), "no memory for %u", table.count);
        s = mem_alloc(table.count * sizeof(u64), PAGE_SIZE, "guest symbols", &m->symbols);
    }
    if (s == STATUS_OK) {
        guest_symbols_fill(image, phys_to_virt(m->symbols), &table);
        vm_set_symbols(&m->vm, &table);
        log_info(c->name, "%u symbols", table.count);
    } else if (f) {
        log_error(c->name, "boot module %u, its symbols: %s; the guest goes on without",
                  c->file[f].module + 1, error.text);
    }
}

static void destroy(struct machine *m)
{
    vm_destroy(&m->vm);
    for (unsigned i = 0; i < ARRAY_SIZE(m->backing); i++)
        if (m->backing[i].v)
            mem_free(m->backing[i]);
    if (m->symbols.v)
        mem_free(m->symbols);
    mem_free(virt_to_phys(m));
}

static enum status build(struct machine *m, const struct machine_host *host, unsigned id)
{
    TRY(mux_add_guest(host->mux, m->config->name, wake_uart, m, &m->uart));
    TRY(alloc_memory(m));
    TRY(init_board(m, host));
    TRY(create_vm(m, host, id));
    return load(m);
}

enum status machine_create(struct machine **out, const struct machine_host *host,
                           const struct vm_config *config, const struct image *modules,
                           unsigned module_count, unsigned id)
{
    hpa_t at;

    if (config->vcpus > cpus_online_count()) {
        log_error(config->name,
                  "vcpus=%u, but %u CPUs are in use (see `cpus`), and each runs one: "
                  "give it vcpus=%u at most",
                  config->vcpus, cpus_online_count(), cpus_online_count());
        return STATUS_ENOTSUP;
    }
    enum status s = mem_alloc(sizeof(struct machine), PAGE_SIZE, "machine", &at);
    if (s != STATUS_OK) {
        log_error(config->name, "not created: no memory for what is kept of it: %s",
                  status_text(s));
        return s;
    }
    struct machine *m = phys_to_virt(at);
    m->config = config;
    m->modules = modules;
    m->module_count = module_count;
    s = build(m, host, id);
    if (s != STATUS_OK) {
        log_error(config->name, "not created: %s", status_text(s));
        destroy(m);
        return s;
    }
    read_symbols(m);
    show_ready(&m->vm);
    *out = m;
    return STATUS_OK;
}

/* The machine's reset line: memory, devices and CPU as at the first start. */
static enum status restart(struct machine *m)
{
    for (unsigned i = 0; i < m->mem.count; i++)
        memset(m->mem.region[i].host, 0, m->mem.region[i].size);
    TRY(board_reset(&m->board));
    vm_reset_registers(&m->vm);
    if (m->vm.slide == SLIDE_FOUND)
        m->vm.slide = SLIDE_UNKNOWN;
    return load(m);
}

static bool restarted(struct machine *m)
{
    if (restart(m) == STATUS_OK)
        return true;
    m->vm.state = VM_ENDED;
    m->vm.end = VM_END_ERROR; /* no more of that until `reset` */
    return false;
}

void machine_run(struct machine *m)
{
    const struct vm *vm = &m->vm;

    if (vm->end != VM_END_NONE && !restarted(m))
        return;
    for (;;) {
        log_info(m->config->name, "running: %lu MiB, %u virtual CPU%s%s, entered at tsc=%#lx",
                 (m->config->mem / MiB), m->config->vcpus, m->config->vcpus > 1 ? "s" : "",
                 vm->unrestricted ? "" : ", without unrestricted guest", rdtsc());
        vm_run(&m->vm);
        log_info(m->config->name, "ended: %s", vm->end_text);
        if (vm->end != VM_END_RESET && vm->end != VM_END_RESTART)
            return;
        if (!restarted(m))
            return;
    }
}
