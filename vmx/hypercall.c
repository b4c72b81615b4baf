/* SPDX-License-Identifier: MIT
 *
 * The hypercalls listed in vmx/hypercall.h.
 */
#include "vmx/hypercall.h"

#include "lib/log.h"
#include "vmx/life.h"

enum emu_status hypercall(struct vcpu *v)
{
    struct x86_state *s = &v->state;
    u64 argument = s->gpr[RBX];

    vcpu_load(v, STATE_RIP | STATE_SEG(SEG_SS));
    if ((s->seg[SEG_SS].access >> SEG_DPL_SHIFT & 3) != 0) {
        s->gpr[RAX] = ~0ull;
        return EMU_DONE;
    }
    switch ((u32)s->gpr[RAX]) {
    case HYPERCALL_BASE + HYPERCALL_IDENTIFY: s->gpr[RAX] = HYPERCALL_VERSION; return EMU_DONE;
    case HYPERCALL_BASE + HYPERCALL_NOTE:
        log_info(v->vm->name, "note %#lx from %#lx", argument, s->rip);
        s->gpr[RAX] = 0;
        return EMU_DONE;
    case HYPERCALL_BASE + HYPERCALL_END:
        vm_finish(v->vm, VM_END_DEBUG_EXIT, (u32)argument, "status %u by hypercall", (u32)argument);
        return EMU_STOP;
    default: s->gpr[RAX] = ~0ull; return EMU_DONE;
    }
}
