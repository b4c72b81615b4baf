/* SPDX-License-Identifier: MIT
 *
 * Which virtual machine a shell command is about.
 */
#include "vmx/select.h"

#include "arch/x86/percpu.h"

struct vcpu *vm_selected(struct shell *sh)
{
    struct vm_list *list = sh->ctx;

    if (list->selected >= list->count || list->vm[list->selected]->vcpu_count == 0) {
        (void)shell_fail(sh, -1, STATUS_ENOENT,
                         "there is no virtual machine; boot one as a module (see README)");
        return NULL;
    }
    struct vcpu *v = list->vm[list->selected]->vcpu[0];
    if (this_cpu()->vcpu != v)
        vcpu_make_current(v);
    return v;
}
