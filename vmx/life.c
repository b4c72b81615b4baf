/* SPDX-License-Identifier: MIT
 *
 * How virtual machines end.
 */
#include "vmx/life.h"

#include "lib/log.h"
#include "vmx/check.h"
#include "vmx/show.h"
#include "vmx/trace.h"

void vm_finish(struct vm *vm, enum vm_end how, u32 code, const char *fmt, ...)
{
    va_list ap;

    if (atomic_flag_test_and_set(&vm->finished))
        return;
    vm->end_code = code;
    va_start(ap, fmt);
    format_vbuf(vm->end_text, sizeof(vm->end_text), fmt, ap);
    va_end(ap);
    vm->end = how;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_post(vm->vcpu[i], REQUEST_STOP);
    struct vcpu *v = this_cpu()->vcpu;
    if (v && v->vm == vm) {
        v->requests |= REQUEST_STOP;
        trace_life(v, vm_end_text(how));
    }
}

enum exit_action vm_stop_with_report(struct vcpu *v, const char *fmt, ...)
{
    struct log_lines report = log_lines("vmx");
    char why[200], rule[160];
    va_list ap;

    va_start(ap, fmt);
    format_vbuf(why, sizeof(why), fmt, ap);
    va_end(ap);
    vm_finish(v->vm, VM_END_ERROR, 0, "%s", why);
    log_error(v->vm->name, "stopped: %s", why);
    vcpu_show(v, &report.sink);
    check_explain(v, rule, sizeof(rule));
    log_error(v->vm->name, "%s", rule);
    (void)trace_keep(v);
    trace_show(v, TRACE_LAST, &report.sink);
    return EXIT_END;
}

const char *vm_end_text(enum vm_end how)
{
    static const char *const text[] = {
#define X(name, words) words,
        VM_END_LIST(X)
#undef X
    };
    return text[how];
}
