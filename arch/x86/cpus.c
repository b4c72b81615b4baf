/* SPDX-License-Identifier: MIT
 *
 * The other CPUs: areas and stacks, start-up by INIT-SIPI-SIPI, work, and the stop at a panic.
 */
#include "arch/x86/cpus.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/irq.h"
#include "arch/x86/machine.h"
#include "arch/x86/memory.h"
#include "arch/x86/paging.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "arch/x86/tsc.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "lib/msr.h"
#include "lib/string.h"

/* SDM vol. 3A, 8.4.4.1: 10 ms behind INIT, 200 us behind each start-up IPI. */
#define INIT_DELAY_US    10000u
#define STARTUP_DELAY_US 200u
#define ANSWER_US        500000u /* until a CPU is given up */
#define STOP_US          100000u
#define TSC_ROUNDS       2000u

#define LOW_TOP 0xa0000u /* conventional memory ends here at the latest */

/* What cpu_start.asm finds: one CPU is started at a time. */
struct start_with {
    u64 cr3, efer, stack_top;
    struct percpu *cpu;
};
extern struct start_with cpu_start_with;
extern const u8 cpu_start[], cpu_start_end[];
_Noreturn void cpus_enter(struct percpu *p);

static struct {
    unsigned count, online;
    struct percpu **table;
    struct {
        struct lock lock;
        u64 last, behind;
        _Atomic unsigned ready, done;
    } tsc; /* the comparison that goes on */
} cpus = {.online = 1};

enum status cpus_init(unsigned count)
{
    hpa_t at;

    if (count < 1 || count > 1024)
        return STATUS_ERANGE;
    if (mem_alloc(count * sizeof(struct percpu *), 0, "per-CPU", &at) != STATUS_OK)
        return STATUS_ENOMEM;
    cpus.table = phys_to_virt(at);
    cpus.count = count;
    percpu_set_table(cpus.table, count);
    this_cpu()->online = true;
    return STATUS_OK;
}

static enum status create(unsigned number, u32 id)
{
    hpa_t at;

    if (mem_alloc(sizeof(struct percpu), 0, "per-CPU", &at) != STATUS_OK)
        return STATUS_ENOMEM;
    struct percpu *p = phys_to_virt(at);
    for (unsigned i = 0; i < STACK_COUNT; i++) {
        u64 size = i == STACK_MAIN ? STACK_SIZE : IST_STACK_SIZE;
        if (mem_alloc(size, 0, "stacks", &at) != STATUS_OK)
            return STATUS_ENOMEM;
        const u8 *bottom = paging_map_alias(at, size, PAGE_WRITE);
        if (!bottom)
            return STATUS_ENOMEM;
        p->stack[i] = (struct stack){(u64)(uintptr_t)bottom, (u64)(uintptr_t)bottom + size};
    }
    p->self = p;
    p->number = number;
    p->apic_id = id;
    cpus.table[number] = p;
    return STATUS_OK;
}

/* Two CPUs read their TSCs in turn: none may read less than was read before. */
static void compare_tsc(void)
{
    atomic_fetch_add(&cpus.tsc.ready, 1);
    for (u64 begin = rdtsc(); atomic_load(&cpus.tsc.ready) < 2;)
        if (rdtsc() - begin > tsc_from_us(ANSWER_US))
            return; /* the other is lost; cpus_start() says so */
    for (unsigned i = 0; i < TSC_ROUNDS; i++) {
        lock_take(&cpus.tsc.lock);
        u64 now = rdtsc_ordered(), last = cpus.tsc.last;
        if (now < last && last - now > cpus.tsc.behind)
            cpus.tsc.behind = last - now;
        cpus.tsc.last = now;
        lock_release(&cpus.tsc.lock);
    }
    atomic_fetch_add(&cpus.tsc.done, 1);
}

void cpus_enter(struct percpu *p)
{
    percpu_load(p);
    trap_load();
    paging_load();
    if (apic_init() != STATUS_OK)
        machine_halt();
    apic_timer_init();
    compare_tsc();
    atomic_store(&p->online, true);
    for (;;) {
        void (*fn)(void *ctx) = atomic_load(&p->work);
        if (fn) {
            fn(p->work_ctx);
            atomic_store(&p->work, NULL);
        } else {
            cpu_wait();
        }
    }
}

/* A page of conventional memory for the code that a CPU begins with; 0: there is none. */
static u64 find_low_page(void)
{
    for (u64 at = LOW_TOP - PAGE_SIZE; at >= PAGE_SIZE; at -= PAGE_SIZE)
        if (memmap_usable(mem_map(), at, PAGE_SIZE))
            return at;
    return 0;
}

static bool wait_online(const struct percpu *p, u64 us)
{
    u64 begin = rdtsc();

    while (!atomic_load(&p->online) && rdtsc() - begin < tsc_from_us(us))
        cpu_pause();
    return atomic_load(&p->online);
}

static bool start(struct percpu *p, u8 page)
{
    cpu_start_with = (struct start_with){paging_cr3(), rdmsr(MSR_IA32_EFER) & ~EFER_LMA,
                                         p->stack[STACK_MAIN].top, p};
    memset(&cpus.tsc, 0, sizeof(cpus.tsc));
    apic_send_init(p->apic_id);
    tsc_delay_us(INIT_DELAY_US);
    apic_send_startup(p->apic_id, page);
    tsc_delay_us(STARTUP_DELAY_US);
    if (atomic_load(&cpus.tsc.ready) == 0)
        apic_send_startup(p->apic_id, page);
    compare_tsc();
    p->tsc_behind = cpus.tsc.behind;
    return wait_online(p, ANSWER_US);
}

static void start_one(unsigned number, u32 id, u8 page)
{
    enum status s = create(number, id);

    if (s != STATUS_OK) {
        log_error("cpus", "CPU %u (APIC ID %u) is left out: %s", number, id, status_text(s));
        return;
    }
    if (!start(cpus.table[number], page)) {
        apic_send_init(id); /* so that it does not come up later */
        log_error("cpus",
                  "CPU %u (APIC ID %u) does not answer to INIT and start-up and is left out: "
                  "see whether the firmware has it switched off",
                  number, id);
        return;
    }
    cpus.online++;
    if (cpus.table[number]->tsc_behind)
        log_warn("cpus",
                 "the TSC of CPU %u is not synchronous: %lu ticks apart; guests with "
                 "virtual CPUs there may see time run backwards",
                 number, cpus.table[number]->tsc_behind);
}

static void kicked(void *ctx) { (void)ctx; }

void cpus_start(void)
{
    const struct acpi_info *acpi = acpi_info();
    u64 page = find_low_page();
    unsigned number = 1;

    if (cpus.count < 2 || !apic_present())
        return;
    if (page == 0 || irq_attach_vector(IRQ_VECTOR_KICK, kicked, NULL) != STATUS_OK) {
        log_error("cpus", "one CPU of %u is used: no page below 1 MiB is free to start the others",
                  cpus.count);
        return;
    }
    memcpy(phys_to_virt(HPA(page)), cpu_start, (size_t)(cpu_start_end - cpu_start));
    for (unsigned i = 0; i < acpi->cpu_count && number < cpus.count; i++) {
        const struct acpi_cpu *c = &acpi->cpu[i];
        if (!c->usable || c->apic_id == this_cpu()->apic_id)
            continue;
        if (c->apic_id > 254 && !apic_is_x2apic())
            log_error("cpus", "the CPU with APIC ID %u is left out: that needs x2APIC", c->apic_id);
        else
            start_one(number++, c->apic_id, (u8)(page / PAGE_SIZE));
    }
    log_info("cpus", "%u of %u CPUs are in use", cpus.online, cpus.count);
}

bool cpus_online(unsigned number)
{
    const struct percpu *p = percpu_get(number);
    return p && atomic_load(&p->online);
}

unsigned cpus_online_count(void) { return cpus.online; }

void cpus_run(unsigned number, void (*fn)(void *ctx), void *ctx)
{
    struct percpu *p = percpu_get(number);

    p->work_ctx = ctx;
    atomic_store(&p->work, fn);
    cpus_kick(number);
}

bool cpus_idle(unsigned number) { return !atomic_load(&percpu_get(number)->work); }

void cpus_kick(unsigned number) { apic_send_ipi(percpu_get(number)->apic_id, IRQ_VECTOR_KICK); }

void cpus_stop_others(void)
{
    if (cpus.online < 2)
        return;
    apic_send_nmi_others();
    for (unsigned n = 0; n < cpus.count; n++) {
        const struct percpu *p = percpu_get(n);
        u64 begin = rdtsc();
        while (p && p != this_cpu() && atomic_load(&p->online) && !atomic_load(&p->stopped) &&
               rdtsc() - begin < tsc_from_us(STOP_US))
            cpu_pause();
    }
}

void cpus_report_stopped(struct sink *out)
{
    for (unsigned n = 0; n < cpus.count && cpus.online > 1; n++) {
        const struct percpu *p = percpu_get(n);
        if (!p || p == this_cpu() || !atomic_load(&p->online))
            continue;
        sink_printf(out, "CPU %u: %s", n,
                    atomic_load(&p->stopped) ? "stopped at " : "does not stop\n");
        if (atomic_load(&p->stopped))
            panic_print_address(out, p->stopped_rip);
    }
}

void cpus_show(struct sink *out)
{
    for (unsigned n = 0; n < cpus.count; n++) {
        const struct percpu *p = percpu_get(n);
        if (!p) {
            sink_printf(out, "CPU %u  not started: ACPI calls it unusable, or see `log`\n", n);
            continue;
        }
        sink_printf(out, "CPU %u  APIC ID %3u  %s", n, p->apic_id,
                    !p->online ? "does not answer"
                    : p->work  ? "busy"
                    : n == 0   ? "console"
                               : "idle");
        if (p->tsc_behind)
            sink_printf(out, "  TSC %lu ticks apart", p->tsc_behind);
        sink_printf(out, "\n");
    }
}
