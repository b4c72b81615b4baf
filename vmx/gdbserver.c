/* SPDX-License-Identifier: MIT
 *
 * The target behind the GDB stub: execution control (vmx/debug.h) for it, and the guest's memory.
 */
#include "vmx/gdbserver.h"

#include "lib/string.h"
#include "vmx/debug.h"
#include "vmx/life.h"

/* NULL while there is no machine. */
static struct vm *machine(const struct gdbserver *s)
{
    return s->vm < s->list->count ? s->list->vm[s->vm] : NULL;
}

static unsigned target_threads(void *ctx)
{
    const struct vm *vm = machine(ctx);
    return vm ? vm->vcpu_count : 0;
}

static void target_describe(void *ctx, unsigned thread, struct sink *out)
{
    const struct vm *vm = machine(ctx);
    sink_printf(out, "%s CPU %u%s", vm->name, thread,
                vm->vcpu[thread]->requests & REQUEST_HALTED ? " halted" : "");
}

static bool target_stopped(void *ctx, struct gdb_stop *why)
{
    const struct vm *vm = machine(ctx);

    if (!vm || vm->state == VM_ENDED) {
        why->ended = true;
        why->code = vm ? (u8)vm->end_code : 0;
        return true;
    }
    if (!debug_stopped(vm))
        return false;
    const struct debug_stop *stop = &vm->debug.stop;
    why->thread = stop->cpu;
    why->code = stop->cause == DEBUG_ASKED ? 2 : 5;
    for (unsigned i = 0; i < vm->debug.rows; i++) {
        const struct debug_point *p = &vm->debug.point[i];
        if (stop->cause == DEBUG_POINT && p->access && p->id == stop->point && p->kind) {
            why->at_point = true;
            why->kind = (u8)(p->kind - 1);
            why->address = p->at;
        }
    }
    return true;
}

static void target_stop(void *ctx)
{
    struct vm *vm = machine(ctx);

    if (!vm || vm->state != VM_RUNNING)
        return;
    vm->debug.quiet = true;
    debug_stop(vm->vcpu[0], DEBUG_ASKED, 0);
}

static void target_resume(void *ctx, const struct gdb_resume *how)
{
    static const u8 acts[] = {
        [GDB_HOLD] = DEBUG_HOLD, [GDB_RUN] = DEBUG_RUN, [GDB_STEP] = DEBUG_STEP};
    struct vm *vm = machine(ctx);

    for (unsigned i = 0; vm && i < vm->vcpu_count; i++)
        debug_resume(vm->vcpu[i], (enum debug_act)acts[how->act[i]], 1, how->first, how->end);
    if (vm) {
        vm->debug.quiet = true;
        vm->state = VM_RUNNING;
    }
}

static void target_registers(void *ctx, unsigned thread, struct gdb_cpu *cpu)
{
    struct vcpu *v = machine(ctx)->vcpu[thread];
    *cpu = (struct gdb_cpu){&v->state, v->debug.fxsave};
}

static enum gdb_mode target_mode(void *ctx) { return ((struct gdbserver *)ctx)->mode; }

/* Copy page by page as far as memory is mapped, and there. */
static size_t copy(const struct gdbserver *s, unsigned thread, u64 at, u8 *to, const u8 *from,
                   size_t size)
{
    struct vcpu *v = machine(s)->vcpu[thread];
    size_t done = 0;

    for (size_t n; done < size; done += n) {
        struct emu_event fault;
        gpa_t gpa;
        n = (size_t)(PAGE_SIZE - ((at + done) & PAGE_MASK));
        n = n < size - done ? n : size - done;
        if (emu_translate(&v->emu, GVA(at + done), EMU_IMPLICIT, &gpa, &fault, NULL, NULL) !=
            STATUS_OK)
            break;
        u8 *host = gmem_at(v->vm->parts.mem, gpa, n);
        if (!host)
            break;
        if (to)
            memcpy(to + done, host, n);
        else
            memcpy(host, from + done, n);
    }
    return done;
}

static size_t target_read(void *ctx, unsigned thread, u64 at, u8 *to, size_t size)
{
    return copy(ctx, thread, at, to, NULL, size);
}

static size_t target_write(void *ctx, unsigned thread, u64 at, const u8 *from, size_t size)
{
    return copy(ctx, thread, at, NULL, from, size);
}

static enum status target_point(void *ctx, bool insert, enum gdb_point kind, unsigned thread,
                                u64 at, u64 size)
{
    static const u8 accesses[] = {DEBUG_EXECUTE, DEBUG_EXECUTE, DEBUG_WRITE, DEBUG_READ,
                                  DEBUG_READ | DEBUG_WRITE};
    struct vm *vm = machine(ctx);
    const struct debug_point wanted = {.access = accesses[kind],
                                       .kind = (u8)(1 + kind),
                                       .at = at,
                                       .size = kind <= GDB_HARD_BREAK ? 1 : size};
    u16 id;

    if (insert)
        return debug_add(vm->vcpu[thread], &wanted, &id);
    for (unsigned i = 0; i < vm->debug.rows; i++) {
        const struct debug_point *p = &vm->debug.point[i];
        if (p->access == wanted.access && p->kind == wanted.kind && p->at == at &&
            p->size == wanted.size)
            return debug_remove(vm, p->id, true);
    }
    return STATUS_OK;
}

static void target_kill(void *ctx)
{
    struct vm *vm = machine(ctx);

    if (vm && vm->state != VM_ENDED)
        vm_finish(vm, VM_END_KILLED, 0, "killed by GDB");
}

static void target_detach(void *ctx)
{
    static const struct gdb_resume all = {.act = {[0 ... GDB_THREADS - 1] = GDB_RUN}};
    struct vm *vm = machine(ctx);

    if (!vm || vm->state == VM_ENDED)
        return;
    (void)!debug_remove(vm, 0, true);
    target_resume(ctx, &all);
    vm->debug.quiet = false;
}

static enum status target_command(void *ctx, const char *line, struct sink *out)
{
    struct gdbserver *s = ctx;
    struct sink *usual = s->shell->out;

    s->shell->out = out;
    enum status result = shell_run_line(s->shell, line);
    s->shell->out = usual;
    return result;
}

static enum status run_gdb(struct shell *sh)
{
    static const char *const modes[] = {"16", "32", "64"};
    struct gdbserver *s = sh->ctx;
    unsigned vm = sh->argc > 1 ? (unsigned)sh->value[1] : s->vm;
    enum gdb_mode mode = sh->argc > 2 ? (enum gdb_mode)sh->choice[2] : s->mode;

    if (gdb_attached(&s->gdb) && (vm != s->vm || mode != s->mode))
        return shell_fail(sh, 1, STATUS_EBUSY, "GDB is attached; detach it first");
    s->vm = vm;
    s->mode = mode;
    sink_printf(sh->out, "%s, %s-bit registers: %s\n", machine(s) ? machine(s)->name : "nothing",
                modes[mode],
                !s->open                ? "no port; boot Vitrine with gdb=com2"
                : gdb_attached(&s->gdb) ? "GDB is attached"
                                        : "nobody is attached");
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"gdb", "[VM [16|32|64]]", "what GDB debugs, and for which code registers are described",
     "gdb linux 64", run_gdb, 0},
};

enum status gdbserver_init(struct gdbserver *s, const struct vm_list *list, struct shell *shell,
                           const struct mux_hw *hw)
{
    static const struct gdb_target target = {
        .threads = target_threads,
        .describe = target_describe,
        .stopped = target_stopped,
        .stop = target_stop,
        .resume = target_resume,
        .registers = target_registers,
        .mode = target_mode,
        .read = target_read,
        .write = target_write,
        .point = target_point,
        .kill = target_kill,
        .detach = target_detach,
        .command = target_command,
    };

    s->list = list;
    s->shell = shell;
    s->mode = GDB_MODE_64;
    s->open = hw != NULL;
    if (hw)
        gdb_init(&s->gdb, &target, s, hw);
    return shell_register(shell, commands, ARRAY_SIZE(commands), s);
}

void gdbserver_poll(struct gdbserver *s)
{
    if (s->open && !s->shell->running)
        gdb_poll(&s->gdb);
}
