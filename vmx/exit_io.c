/* SPDX-License-Identifier: MIT
 *
 * Port accesses.  Plain IN and OUT are done from the exit qualification (SDM vol. 3C, table 27-5);
 * string forms, which touch memory, go through the emulator.
 */
#include "lib/bits.h"
#include "vmx/emulate.h"
#include "vmx/exit.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

#define IO_IN     BIT(3)
#define IO_STRING BIT(4)

enum exit_action exit_io(struct vcpu *v)
{
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);
    u64 *rax = &v->state.gpr[RAX];
    u16 port = (u16)(q >> 16);
    unsigned size = (unsigned)(q & 7) + 1;
    struct bus *bus = v->vm->parts.bus;

    if (unlikely(q & IO_STRING))
        return emulate_one(v, EMU_PIO);
    if (q & IO_IN) {
        u32 value = bus_port_read(bus, v->index, port, size);
        *rax = size == 4 ? value : (*rax & ~mask_bytes(size)) | (value & mask_bytes(size));
    } else {
        bus_port_write(bus, v->index, port, size, (u32)(*rax & mask_bytes(size)));
    }
    enum exit_action action = exit_retire(v);
    return unlikely(v->vm->end != VM_END_NONE) ? EXIT_END : action;
}
