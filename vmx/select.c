/* SPDX-License-Identifier: MIT
 *
 * Which virtual machine a shell command is about.
 */
#include "vmx/select.h"

#include "arch/x86/panic.h"
#include "vmx/stop.h"
#include "vmx/symbol.h"

struct vcpu *vm_selected(struct shell *sh)
{
    struct vm_list *list = sh->ctx;

    if (list->selected >= list->count || list->vm[list->selected]->vcpu_count == 0) {
        (void)shell_fail(sh, -1, STATUS_ENOENT,
                         "there is no virtual machine; boot one as a module (see README)");
        return NULL;
    }
    struct vm *vm = list->vm[list->selected];
    struct vcpu *v = vm->vcpu[list->cpu < vm->vcpu_count ? list->cpu : 0];
    if (this_cpu()->vcpu != v) {
        if (panic_in_progress() && atomic_load(&v->active)) {
            (void)shell_fail(sh, -1, STATUS_ENOENT, "it is in CPU %u, which stands still for good",
                             vm->host[v->index]);
            return NULL;
        }
        if (list->held != vm) {
            vm_let_go(list);
            struct vcpu *own = this_cpu()->vcpu;
            list->own = own && atomic_load(&own->active) ? own : NULL;
            vm_stop_all(vm);
            list->held = vm;
        }
        vcpu_make_current(v);
    }
    vm_find_slide(v);
    return v;
}

void vm_let_go(struct vm_list *list)
{
    struct vcpu *v = this_cpu()->vcpu;

    if (!list->held)
        return;
    if (v && v != list->own)
        vcpu_release(v);
    if (list->own)
        vcpu_make_current(list->own);
    vm_resume_all(list->held);
    list->held = NULL;
}
