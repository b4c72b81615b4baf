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

    if (vm->end != VM_END_NONE)
        return;
    vm->end = how;
    vm->end_code = code;
    va_start(ap, fmt);
    format_vbuf(vm->end_text, sizeof(vm->end_text), fmt, ap);
    va_end(ap);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        vm->vcpu[i]->requests |= REQUEST_STOP;
        trace_life(vm->vcpu[i], vm_end_text(how));
    }
}

/* A sink that makes log lines. */
static void log_text(struct sink *self, const char *text, size_t len)
{
    static char line[200];
    static size_t used;

    (void)self;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || used == sizeof(line) - 1) {
            line[used] = 0;
            log_error("vmx", "%s", line);
            used = 0;
        }
        if (text[i] != '\n')
            line[used++] = text[i];
    }
}

enum exit_action vm_stop_with_report(struct vcpu *v, const char *fmt, ...)
{
    static struct sink report = {log_text};
    char why[200], rule[160];
    va_list ap;

    va_start(ap, fmt);
    format_vbuf(why, sizeof(why), fmt, ap);
    va_end(ap);
    vm_finish(v->vm, VM_END_ERROR, 0, "%s", why);
    log_error(v->vm->name, "stopped: %s", why);
    vcpu_show(v, &report);
    check_explain(v, rule, sizeof(rule));
    log_error(v->vm->name, "%s", rule);
    trace_show(v, TRACE_LAST, &report);
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
