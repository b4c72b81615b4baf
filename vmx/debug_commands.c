/* SPDX-License-Identifier: MIT
 *
 * Execution control at the prompt.  Commands return at once; where a machine stops later, the log
 * says.
 */
#include "vmx/debug_commands.h"

#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "vmx/address.h"
#include "vmx/debug.h"
#include "vmx/inject.h"
#include "vmx/show.h"
#include "vmx/symbol.h"

#define LL(x) ((unsigned long long)(x))

/* The selected CPU, if its machine is in this state (VM_READY: in any that is not over). */
static struct vcpu *selected(struct shell *sh, enum vm_state state)
{
    static const char *const states[] = {"alive", "running", "paused"};
    struct vcpu *v = vm_selected(sh);

    if (v && (state == VM_READY ? v->vm->state == VM_ENDED : v->vm->state != state)) {
        (void)shell_fail(sh, -1, STATUS_EINVAL, "%s is not %s", v->vm->name, states[state]);
        return NULL;
    }
    return v;
}

static enum status run_pause(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = selected(sh, VM_RUNNING);

    (void)argc;
    (void)argv;
    if (!v)
        return STATUS_EINVAL;
    debug_stop(v, DEBUG_ASKED, 0);
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

static enum status run_resume(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = selected(sh, VM_PAUSED);

    (void)argc;
    (void)argv;
    if (!v)
        return STATUS_EINVAL;
    go_on(v, 0);
    return STATUS_OK;
}

static enum status run_step(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = selected(sh, VM_PAUSED);
    u64 steps = 1;

    (void)argc;
    (void)argv;
    if (!v)
        return STATUS_EINVAL;
    enum status s = shell_arg_u64(sh, 1, "a number of instructions", 1, ~0ull, &steps);
    if (s == STATUS_OK)
        go_on(v, steps);
    return s;
}

static bool is_reason(u32 reason, const char *typed)
{
    char name[40];

    return strcmp(name_lower(exit_reason_name(reason), name, sizeof(name)), typed) == 0;
}

static enum status run_until(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = selected(sh, VM_READY);
    u32 reason = 0;
    unsigned what;

    (void)argc;
    if (!v)
        return STATUS_EINVAL;
    enum status s = shell_arg_choice(sh, 1, "exit", &what);
    if (s != STATUS_OK)
        return s;
    while (reason < EXIT_REASON_COUNT && !is_reason(reason, argv[2]))
        reason++;
    if (reason == EXIT_REASON_COUNT)
        return shell_fail(sh, 2, STATUS_ENOENT, "expected an exit reason (Tab lists them)");
    go_on(v, 0);
    v->debug.until = reason;
    v->debug.since = v->exited;
    return STATUS_OK;
}

static void complete_until(struct shell *sh, int argc, char **argv, struct completions *c)
{
    (void)sh;
    (void)argv;
    if (argc == 2)
        completions_add(c, "exit");
    for (u32 reason = 0; argc > 2 && reason < EXIT_REASON_COUNT; reason++)
        complete_lower(c, exit_reason_name(reason));
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
        sink_printf(sh->out, "%3u  %-5s %c%c  %s%016llx", p->id,
                    p->access & DEBUG_EXECUTE ? "break" : "watch",
                    p->access & DEBUG_READ ? 'r' : '-', p->access & DEBUG_WRITE ? 'w' : '-',
                    p->physical ? "physical " : "", LL(p->at));
        if (p->size > 1)
            sink_printf(sh->out, " %llu bytes", LL(p->size));
        if (!p->physical)
            sink_printf(sh->out, "%s", vm_symbol_text(vm, p->at, name, sizeof(name)));
        sink_printf(sh->out, "  hits %llu  by %s%s\n", LL(p->hits),
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

static enum status run_break(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = selected(sh, VM_READY);
    struct debug_point wanted = {.access = DEBUG_EXECUTE, .size = 1};

    (void)argv;
    if (!v)
        return STATUS_EINVAL;
    if (argc < 2) {
        list_points(sh, v->vm);
        return STATUS_OK;
    }
    enum status s = address_arg(sh, v, 1, "a linear address of code", &wanted.at);
    return s == STATUS_OK ? add(sh, v, &wanted) : s;
}

static enum status run_watch(struct shell *sh, int argc, char **argv)
{
    static const u8 accesses[] = {DEBUG_WRITE, DEBUG_READ, DEBUG_READ | DEBUG_WRITE};
    struct vcpu *v = selected(sh, VM_READY);
    struct debug_point wanted = {.size = 8, .physical = strcmp(sh->command->name, "watchp") == 0};
    unsigned access = 0;

    (void)argv;
    (void)argc;
    if (!v)
        return STATUS_EINVAL;
    enum status s = address_arg(sh, v, 1, "an address", &wanted.at);
    if (s == STATUS_OK)
        s = shell_arg_size(sh, 2, "a number of bytes", 1, BIT64(40), &wanted.size);
    if (s == STATUS_OK)
        s = shell_arg_choice(sh, 3, "w|r|rw", &access);
    wanted.access = accesses[access];
    return s == STATUS_OK ? add(sh, v, &wanted) : s;
}

static enum status run_delete(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = selected(sh, VM_READY);
    u64 id = 0;

    (void)argc;
    if (!v)
        return STATUS_EINVAL;
    if (strcmp(argv[1], "all") != 0) {
        enum status s =
            shell_arg_u64(sh, 1, "a point's number (break lists them), or all", 1, 0xffff, &id);
        if (s != STATUS_OK)
            return s;
    }
    if (debug_remove(v->vm, (u16)id, false) != STATUS_OK && id)
        return shell_fail(sh, 1, STATUS_ENOENT, "expected a point's number (break lists them)");
    return STATUS_OK;
}

/* SDM vol. 3A, table 6-1: exceptions that push an error code. */
#define WITH_ERROR                                                                        \
    (BIT(VECTOR_DF) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP) | \
     BIT(VECTOR_PF) | BIT(VECTOR_AC))

static enum status inject_exception(struct shell *sh, struct vcpu *v, int argc)
{
    struct emu_event e = {.type = EMU_EVENT_HARD_EXCEPTION};
    u64 vector = 0, error = 0;

    enum status s = shell_arg_u64(sh, 2, "an exception's vector", 0, 31, &vector);
    if (s == STATUS_OK)
        s = shell_arg_u64(sh, 3, "an error code", 0, 0xffff, &error);
    if (s == STATUS_OK)
        s = shell_arg_u64(sh, 4, "an address for CR2", 0, ~0ull, &e.payload);
    if (s != STATUS_OK)
        return s;
    e.vector = (u8)vector;
    e.error = (u32)error;
    e.has_error = WITH_ERROR >> vector & 1;
    if (argc > 3 && !e.has_error)
        return shell_fail(sh, 3, STATUS_EINVAL, "exception %u has no error code", e.vector);
    if (vector == VECTOR_NMI || v->event.vector != VECTOR_NONE)
        return shell_fail(sh, 2, STATUS_EBUSY,
                          vector == VECTOR_NMI ? "that is `inject nmi`"
                                               : "an event is being delivered; step first");
    inject_event(v, &e);
    return STATUS_OK;
}

static enum status run_inject(struct shell *sh, int argc, char **argv)
{
    struct vcpu *v = selected(sh, VM_READY);
    u64 vector = 0;
    unsigned what;

    (void)argv;
    if (!v)
        return STATUS_EINVAL;
    enum status s = shell_arg_choice(sh, 1, "nmi|interrupt|exception", &what);
    if (s != STATUS_OK)
        return s;
    if ((what == 0) != (argc == 2))
        return shell_fail(sh, what ? argc : 2, STATUS_EINVAL,
                          what ? "expected a vector" : "expected no more words");
    if (what == 2)
        return inject_exception(sh, v, argc);
    if (what == 1) {
        s = shell_arg_u64(sh, 2, "an interrupt's vector", 16, 255, &vector);
        v->debug.interrupt = s == STATUS_OK ? (u16)vector : v->debug.interrupt;
    } else {
        v->nmi_pending = true;
    }
    v->requests |= REQUEST_INTERRUPT;
    return s;
}

static const struct shell_command commands[] = {
    {"pause", "", "stop the selected machine where it is", NULL, run_pause, NULL},
    {"resume", "", "let it go on", NULL, run_resume, NULL},
    {"step", "[COUNT]", "execute instructions of the paused machine's CPU; interrupts wait",
     "step\nstep 100", run_step, NULL},
    {"until", "exit REASON", "run to behind the next exit for that reason", "until exit cpuid",
     run_until, complete_until},
    {"break", "[ADDR]", "pause before an instruction; list breakpoints and watchpoints",
     "break 0xffffffff81000000\nbreak", run_break, address_complete},
    {"watch", "ADDR [BYTES [w|r|rw]]", "pause behind an access to guest-linear memory",
     "watch 0xffff888000001000 4K rw", run_watch, address_complete},
    {"watchp", "ADDR [BYTES [w|r|rw]]", "the same by guest-physical address", "watchp 0x1000 8 w",
     run_watch, address_complete},
    {"delete", "NUMBER|all", "remove a breakpoint or watchpoint", "delete 1", run_delete, NULL},
    {"inject", "nmi|interrupt|exception [VECTOR [CODE [ADDR]]]",
     "deliver an event as soon as the CPU takes it",
     "inject nmi\ninject interrupt 0x30\ninject exception 14 2 0x1000", run_inject, NULL},
};

enum status debug_commands_register(struct shell *sh, struct vm_list *list)
{
    return shell_register(sh, commands, ARRAY_SIZE(commands), list);
}
