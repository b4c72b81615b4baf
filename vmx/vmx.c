/* SPDX-License-Identifier: MIT
 *
 * VMXON.
 */
#include "vmx/vmx.h"

#include "arch/x86/cpu.h"
#include "arch/x86/memory.h"
#include "arch/x86/stub.h"
#include "lib/log.h"

enum status vmx_alloc_region(const struct vmx_caps *caps, const char *owner, hpa_t *at)
{
    enum status s = mem_alloc(PAGE_SIZE, PAGE_SIZE, owner, at);
    if (s == STATUS_OK)
        *(u32 *)phys_to_virt(*at) = caps->revision;
    return s;
}

enum status vmx_enable(const struct vmx_caps *caps)
{
    hpa_t region;
    bool failed;

    enum status s = stub_init(this_cpu()); /* instructions that are run for guests */
    if (s == STATUS_OK)
        s = vmx_alloc_region(caps, "vmxon", &region);
    if (s != STATUS_OK) {
        log_error("vmx", "no memory for VT-x on CPU %u: %s", cpu_number(), status_text(s));
        return s;
    }
    cr0_write((cr0_read() | caps->cr0_fixed0) & caps->cr0_fixed1);
    cr4_write((cr4_read() | caps->cr4_fixed0 | CR4_VMXE) & caps->cr4_fixed1);
    /* A guest's XCR0 is kept in the CPU, so XSETBV must work here. */
    if (cpu_has(CPU_XSAVE))
        cr4_write(cr4_read() | CR4_OSXSAVE);
    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region) : "memory");
    if (failed) {
        log_error("vmx", "VMXON failed: another hypervisor is active on this CPU, or its firmware "
                         "left VMX operation on");
        mem_free(region);
        return STATUS_EHW;
    }
    this_cpu()->vmx = phys_to_virt(region);
    return STATUS_OK;
}
