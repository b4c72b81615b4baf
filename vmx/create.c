/* SPDX-License-Identifier: MIT
 *
 * A virtual machine put together: EPT over its memory, bitmaps, policy, virtual CPUs.
 */
#include "vmx/create.h"

#include "arch/x86/cpu.h"
#include "arch/x86/memory.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmx/debug.h"
#include "vmx/emulate.h"
#include "vmx/life.h"
#include "vmx/msr.h"
#include "vmx/trace.h"

static enum status alloc_pages(u64 size, const char *owner, u8 **out)
{
    hpa_t at;
    enum status s = mem_alloc(size, PAGE_SIZE, owner, &at);
    if (s == STATUS_OK)
        *out = phys_to_virt(at);
    return s;
}

static enum status map_memory(struct vm *vm)
{
    const struct gmem *mem = vm->parts.mem;

    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *r = &mem->region[i];
        u64 rights = r->kind == GMEM_ROM ? EPT_READ | EPT_EXECUTE : EPT_RIGHTS;
        TRY(ept_map(&vm->ept, r->base, virt_to_phys(r->host), r->size, rights));
    }
    return STATUS_OK;
}

/* What a guest without paging is run with where the CPU cannot run it so. */
static enum status create_tables(struct vm *vm)
{
    if (vm->unrestricted && vm->real_mode != REAL_VM86)
        return STATUS_OK;
    TRY(alloc_pages(SHAPE_TABLES_SIZE, "tables for real mode", &vm->tables));
    shape_fill_tables(vm->tables);
    return ept_map(&vm->ept, GPA(SHAPE_TABLES), virt_to_phys(vm->tables), SHAPE_TABLES_SIZE,
                   EPT_RIGHTS);
}

static enum status create_vcpus(struct vm *vm)
{
    for (unsigned i = 0; i < vm->parts.vcpus; i++) {
        u8 *memory;
        TRY(alloc_pages(sizeof(struct vcpu), "vcpu", &memory));
        vm->vcpu[i] = (struct vcpu *)(void *)memory;
        vm->vcpu_count = i + 1;
        TRY(vcpu_create(vm->vcpu[i], vm, i));
        TRY(trace_create(vm->vcpu[i]));
        emulate_init(vm->vcpu[i]);
        debug_init(vm->vcpu[i]);
    }
    return STATUS_OK;
}

static enum status build(struct vm *vm)
{
    TRY(ept_init(&vm->ept, vm->caps));
    TRY(map_memory(vm));
    TRY(create_tables(vm));
    TRY(alloc_pages(PAGE_SIZE, "msr bitmap", &vm->msr_bitmap));
    TRY(alloc_pages(2 * PAGE_SIZE, "i/o bitmaps", &vm->io_bitmap));
    memset(vm->io_bitmap, 0xff, 2 * PAGE_SIZE);
    msr_init(vm);
    vm_reset_registers(vm);
    return create_vcpus(vm);
}

enum status vm_create(struct vm *vm, const struct vmx_caps *caps, const struct vm_parts *parts)
{
    memset(vm, 0, sizeof(*vm));
    vm->caps = caps;
    vm->parts = *parts;
    vm->id = parts->id;
    vm->unrestricted = parts->unrestricted && caps->unrestricted;
    vm->real_mode = parts->real_mode;
    if (vm->real_mode == REAL_AUTO)
        vm->real_mode = vm->unrestricted ? REAL_NATIVE : REAL_VM86;
    str_copy(vm->name, sizeof(vm->name), parts->name);
    cpuid_policy_init(&vm->cpuid, caps, parts->tsc_hz, parts->vcpus, parts->emulates_ud);
    if (vm->real_mode == REAL_NATIVE && !vm->unrestricted) {
        log_error("vmx",
                  "%s: not created: real-mode=native needs unrestricted guest, which %s; say "
                  "real-mode=vm86 or emulate, or leave it out",
                  vm->name, caps->unrestricted ? "is off" : "this CPU lacks");
        return STATUS_ENOTSUP;
    }
    enum status s = build(vm);
    if (s != STATUS_OK) {
        log_error("vmx", "%s: not created: %s", vm->name, status_text(s));
        vm_destroy(vm);
    }
    return s;
}

void vm_destroy(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        vcpu_destroy(vm->vcpu[i]);
        trace_destroy(vm->vcpu[i]);
        mem_free(virt_to_phys(vm->vcpu[i]));
    }
    vm->vcpu_count = 0;
    ept_destroy(&vm->ept);
    if (vm->tables)
        mem_free(virt_to_phys(vm->tables));
    if (vm->msr_bitmap)
        mem_free(virt_to_phys(vm->msr_bitmap));
    if (vm->io_bitmap)
        mem_free(virt_to_phys(vm->io_bitmap));
    vm->msr_bitmap = vm->io_bitmap = vm->tables = NULL;
}

/* MTRRs as firmware leaves them: on, everything write-back, the video window uncached. */
void vm_reset_registers(struct vm *vm)
{
    memset(vm->mtrr_variable, 0, sizeof(vm->mtrr_variable));
    vm->mtrr_default = BIT64(11) | BIT64(10) | 6;
    for (unsigned i = 0; i < MTRR_FIXED; i++)
        vm->mtrr_fixed[i] = 0x0606060606060606ull;
    vm->mtrr_fixed[2] = 0; /* A0000H-BFFFFH */
    vm->end = VM_END_NONE;
    atomic_flag_clear(&vm->finished);
    vm->end_text[0] = 0;
    vm->state = VM_READY;
}

/* What devices do. */

/* By the CPU itself, as almost always, or by another. */
static void request(void *ctx, unsigned cpu, u32 what)
{
    const struct vm *vm = ctx;

    if (cpu < vm->vcpu_count)
        vcpu_request(vm->vcpu[cpu], what);
}

static void port_kick(void *ctx, unsigned cpu) { request(ctx, cpu, REQUEST_INTERRUPT); }

static void port_nmi(void *ctx, unsigned cpu)
{
    const struct vm *vm = ctx;

    if (cpu < vm->vcpu_count)
        atomic_store(&vm->vcpu[cpu]->nmi_pending, true);
    request(ctx, cpu, REQUEST_NMI);
}

static void port_init(void *ctx, unsigned cpu) { request(ctx, cpu, REQUEST_INIT); }

static void port_sipi(void *ctx, unsigned cpu, u8 vector)
{
    const struct vm *vm = ctx;

    if (cpu >= vm->vcpu_count)
        return;
    vm->vcpu[cpu]->sipi_vector = vector;
    request(ctx, cpu, REQUEST_SIPI);
}

static void port_machine(void *ctx, enum machine_event event, u32 code, const char *by)
{
    static const enum vm_end ends[] = {[MACHINE_RESET] = VM_END_RESET,
                                       [MACHINE_POWEROFF] = VM_END_POWEROFF,
                                       [MACHINE_DEBUG_EXIT] = VM_END_DEBUG_EXIT};
    vm_finish(ctx, ends[event], code, "%s by %s", vm_end_text(ends[event]), by);
}

struct cpu_port vm_cpu_port(struct vm *vm)
{
    return (struct cpu_port){.ctx = vm,
                             .kick = port_kick,
                             .nmi = port_nmi,
                             .init = port_init,
                             .sipi = port_sipi,
                             .machine = port_machine};
}
