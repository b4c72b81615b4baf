/* SPDX-License-Identifier: MIT
 *
 * Execution control at the prompt.  Commands return at once; where a machine stops later, the log
 * says.
 */
#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "vmx/commands.h"
#include "vmx/debug.h"
#include "vmx/inject.h"
#include "vmx/show.h"
#include "vmx/symbol.h"

static enum status run_pause(struct shell *sh)
{
    debug_stop(sh->subject, DEBUG_ASKED, 0);
    return STATUS_OK;
}

/* Let the VM run, or this CPU step while the others stand. */
static void go_on(struct vcpu *v, u64 steps)
{
    struct vm *vm = v->vm;

    for (unsigned i = 0; i < vm->vcpu_count; i++)
        debug_resume(vm->vcpu[i], steps ? DEBUG_HOLD : DEBUG_RUN, 0, 0, 0);
    if (steps)
        debug_resume(v, DEBUG_STEP, steps, 0, 0);
    if (vm->state == VM_PAUSED) /* one that has not begun is begun by others */
        vm->state = VM_RUNNING;
}

/* resume, step */
static enum status run_resume(struct shell *sh)
{
    go_on(sh->subject, sh->value[1]);
    return STATUS_OK;
}

static enum status run_until(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    go_on(v, 0);
    v->debug.until = sh->value[2];
    v->debug.since = v->exited;
    return STATUS_OK;
}

static void list_points(struct shell *sh, const struct vm *vm)
{
    const struct vm_debug *d = &vm->debug;
    u16 last = 0;
    char name[96];

    for (unsigned i = 0; i < d->rows; i++) {
        const struct debug_point *p = &d->point[i];
        if (!p->access || p->id == last)
            continue;
        last = p->id;
        sink_printf(sh->out, "%3u  %-5s %c%c  %s%016lx", p->id,
                    p->access & DEBUG_EXECUTE ? "break" : "watch",
                    p->access & DEBUG_READ ? 'r' : '-', p->access & DEBUG_WRITE ? 'w' : '-',
                    p->physical ? "physical " : "", p->at);
        if (p->size > 1)
            sink_printf(sh->out, " %lu bytes", p->size);
        if (!p->physical)
            sink_printf(sh->out, "%s", vm_symbol_text(vm, p->at, name, sizeof(name)));
        sink_printf(sh->out, "  hits %lu  by %s%s\n", p->hits,
                    p->slot != DEBUG_NO_SLOT ? "debug register"
                    : p->gpa == DEBUG_NONE   ? "nothing: the guest has all debug registers"
                                             : "EPT",
                    p->kind ? ", GDB's" : "");
    }
    if (!last)
        sink_printf(sh->out, "no breakpoints or watchpoints\n");
}

static enum status add(struct shell *sh, struct vcpu *v, const struct debug_point *wanted)
{
    u16 id;
    enum status s = debug_add(v, wanted, &id);

    if (s == STATUS_ENOENT)
        return shell_fail(sh, 1, s, "expected an address of memory that is mapped now%s",
                          wanted->access & DEBUG_EXECUTE
                              ? " (all four debug registers, which need no mapping, are in use)"
                              : "");
    if (s == STATUS_ENOSPC)
        return shell_fail(sh, -1, s, "there are %u points already; delete some", DEBUG_POINTS);
    if (s == STATUS_OK)
        sink_printf(sh->out, "%u\n", id);
    return s;
}

static enum status run_break(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    const struct debug_point wanted = {.access = DEBUG_EXECUTE, .size = 1, .at = sh->value[1]};

    if (sh->argc > 1)
        return add(sh, v, &wanted);
    list_points(sh, v->vm);
    return STATUS_OK;
}

/* watch, watchp */
static enum status run_watch(struct shell *sh)
{
    static const u8 accesses[] = {DEBUG_WRITE, DEBUG_READ, DEBUG_READ | DEBUG_WRITE};
    const struct debug_point wanted = {.access = accesses[sh->choice[3]],
                                       .physical = sh->command->name[5] == 'p',
                                       .at = sh->value[1],
                                       .size = sh->value[2]};

    return add(sh, sh->subject, &wanted);
}

static enum status run_delete(struct shell *sh)
{
    bool all = sh->choice[1];

    if (debug_remove(((struct vcpu *)sh->subject)->vm, all ? 0 : (u16)sh->value[1], false) !=
            STATUS_OK &&
        !all)
        return shell_fail(sh, 1, STATUS_ENOENT, "expected a point's number (break lists them)");
    return STATUS_OK;
}

/* SDM vol. 3A, table 6-1: exceptions that push an error code. */
#define WITH_ERROR                                                                        \
    (BIT(VECTOR_DF) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP) | \
     BIT(VECTOR_PF) | BIT(VECTOR_AC))

/* inject exception VECTOR [CODE [CR2]] */
static enum status run_exception(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    const struct emu_event e = {.type = EMU_EVENT_HARD_EXCEPTION,
                                .vector = (u8)sh->value[2],
                                .error = (u32)sh->value[3],
                                .has_error = WITH_ERROR >> sh->value[2] & 1,
                                .payload = sh->value[4]};

    if (sh->argc > 3 && !e.has_error)
        return shell_fail(sh, 3, STATUS_EINVAL, "exception %u has no error code", e.vector);
    if (e.vector == VECTOR_NMI || v->event.vector != VECTOR_NONE)
        return shell_fail(sh, 2, STATUS_EBUSY,
                          e.vector == VECTOR_NMI ? "that is `inject nmi`"
                                                 : "an event is being delivered; step first");
    inject_event(v, &e);
    return STATUS_OK;
}

/* inject nmi, inject interrupt VECTOR */
static enum status run_inject(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    if (sh->argc > 2)
        v->debug.interrupt = (u16)sh->value[2];
    else
        v->nmi_pending = true;
    v->requests |= REQUEST_INTERRUPT;
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"pause", "", "stop the selected machine where it is", NULL, run_pause, NEEDS_RUNNING},
    {"resume", "", "let it go on", NULL, run_resume, NEEDS_PAUSED},
    {"step", "[STEPS=1]", "execute instructions of the paused machine's CPU; interrupts wait",
     "step\nstep 100", run_resume, NEEDS_PAUSED},
    {"until", "exit EXIT", "run to behind the next exit for that reason", "until exit cpuid",
     run_until, NEEDS_ALIVE},
    {"break", "[ADDR]", "pause before an instruction; list breakpoints and watchpoints",
     "break do_exit\nbreak", run_break, NEEDS_ALIVE},
    {"watch", "ADDR [SIZE=8 [w|r|rw]]", "pause behind an access to guest-linear memory",
     "watch 0xffff888000001000 4K rw", run_watch, NEEDS_ALIVE},
    {"watchp", "ADDR [SIZE=8 [w|r|rw]]", "the same by guest-physical address", "watchp 0x1000 8 w",
     run_watch, NEEDS_ALIVE},
    {"delete", "POINT|all", "remove a breakpoint or watchpoint", "delete 1", run_delete,
     NEEDS_ALIVE},
    {"inject", "nmi", "deliver an event as soon as the CPU takes it", NULL, run_inject,
     NEEDS_ALIVE},
    {"inject", "interrupt VECTOR", NULL, "inject interrupt 0x30", run_inject, NEEDS_ALIVE},
    {"inject", "exception EXCEPTION [CODE [CR2]]", NULL, "inject exception 14 2 0x1000",
     run_exception, NEEDS_ALIVE},
};
const struct shell_table debug_commands = {commands, ARRAY_SIZE(commands), NULL};
