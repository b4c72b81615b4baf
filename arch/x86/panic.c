/* SPDX-License-Identifier: MIT
 *
 * The panic report.  It is written line by line to the log, so that every sink has it and the ring
 * keeps it; a panic inside a panic ends the run at once.
 */
#include "arch/x86/panic.h"

#include "arch/x86/cpu.h"
#include "arch/x86/machine.h"
#include "arch/x86/percpu.h"
#include "arch/x86/symbols.h"
#include "lib/log.h"
#include "lib/string.h"
#include <stdatomic.h>

#define PANIC_REPORTERS 8
#define BACKTRACE_MAX   24
#define PANIC_STATUS    2 /* of the run */

struct panic_state {
    atomic_uint entered;
    const struct percpu *by;
    unsigned reporter_count;
    void (*reporter[PANIC_REPORTERS])(struct sink *s);
    void (*post_mortem)(void);
    void (*stop_others)(void);
};
static struct panic_state panic_state;

void panic_attach(void (*report)(struct sink *s))
{
    invariant(panic_state.reporter_count < PANIC_REPORTERS);
    panic_state.reporter[panic_state.reporter_count++] = report;
}

void panic_set_post_mortem(void (*hook)(void)) { panic_state.post_mortem = hook; }

void panic_set_stop_others(void (*stop)(void)) { panic_state.stop_others = stop; }

bool panic_in_progress(void)
{
    return atomic_load_explicit(&panic_state.entered, memory_order_relaxed) != 0;
}

void panic_print_address(struct sink *s, u64 address)
{
    u64 offset;
    const char *name = symbol_find(address, &offset);

    if (name)
        sink_printf(s, "%#lx %s+%#lx\n", address, name, offset);
    else
        sink_printf(s, "%#lx (not in the image's code)\n", address);
}

/* True when a saved frame pointer and return address can be read at rbp. */
static bool frame_readable(u64 rbp)
{
    const struct percpu *cpu = this_cpu();

    for (unsigned i = 0; i < STACK_COUNT; i++)
        if (rbp >= cpu->stack[i].bottom && rbp <= cpu->stack[i].top - 16)
            return is_aligned(rbp, 8);
    return false;
}

/*
 * The caller of code that was interrupted before it made a frame (at a function's beginning, in one
 * that needs none, or after a jump to nowhere): it is on top of the stack.  0 when there is a
 * frame.
 */
static u64 frameless_caller(const struct trap_frame *f)
{
    static const u8 prologue[] = {0x55, 0x48, 0x89, 0xe5}; /* push rbp; mov rbp, rsp */
    u64 offset, caller;

    if (symbol_find(f->rip, &offset) && offset >= sizeof(prologue) &&
        memcmp((const void *)(uintptr_t)(f->rip - offset), prologue, sizeof(prologue)) == 0)
        return 0;
    if (!frame_readable(f->rsp))
        return 0;
    caller = *(const u64 *)(uintptr_t)f->rsp;
    return symbol_find(caller, &offset) ? caller : 0;
}

static void print_frame(struct sink *s, unsigned depth, u64 rip)
{
    sink_printf(s, "  #%u ", depth);
    panic_print_address(s, rip);
}

/* From rip and, when not 0, its frameless caller, up the chain of frames. */
static void walk_frames(struct sink *s, u64 rip, u64 caller, u64 rbp)
{
    unsigned depth = 0;

    sink_printf(s, "backtrace:\n");
    print_frame(s, depth++, rip);
    if (caller)
        print_frame(s, depth++, caller);
    while (rbp != 0 && depth < BACKTRACE_MAX) {
        const u64 *frame = (const u64 *)(uintptr_t)rbp;

        if (!frame_readable(rbp)) {
            sink_printf(s, "  (frame pointer %#lx is not in a stack)\n", rbp);
            return;
        }
        print_frame(s, depth++, frame[1]);
        rbp = frame[0] > rbp ? frame[0] : 0; /* frames only go up */
    }
}

static void print_control_registers(struct sink *s)
{
    sink_printf(s, "cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %016lx\n", cr0_read(), cr2_read(),
                cr3_read(), cr4_read());
}

static void print_trap_frame(struct sink *s, const struct trap_frame *f)
{
    static const struct {
        const char *name;
        size_t at;
    } registers[] = {
#define R(name) {#name, offsetof(struct trap_frame, name)}
        R(rax), R(rbx), R(rcx), R(rdx), R(rsi), R(rdi), R(rbp), R(rsp),    R(r8), R(r9),
        R(r10), R(r11), R(r12), R(r13), R(r14), R(r15), R(rip), R(rflags), R(cs), R(ss),
#undef R
    };
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        sink_printf(s, "%-6s %016lx%s", registers[i].name,
                    *(const u64 *)(const void *)((const u8 *)f + registers[i].at),
                    i % 4 == 3 ? "\n" : "  ");
}

/* One CPU reports, the others stand still. */
static void panic_enter(void)
{
    cpu_cli();
    if (atomic_fetch_add(&panic_state.entered, 1) != 0) {
        if (panic_state.by != this_cpu())
            machine_halt(); /* two at once: the first one reports */
        log_error("panic", "another panic during the report: giving up");
        machine_end(PANIC_STATUS);
    }
    panic_state.by = this_cpu();
    if (panic_state.stop_others)
        panic_state.stop_others();
}

static void report(const struct trap_frame *frame, u64 rip, u64 rbp, const char *fmt, va_list ap)
{
    struct log_lines out = log_lines("panic");

    panic_enter();
    sink_printf(&out.sink, "PANIC: ");
    sink_vprintf(&out.sink, fmt, ap);
    sink_printf(&out.sink, "\n");
    if (frame)
        print_trap_frame(&out.sink, frame);
    print_control_registers(&out.sink);
    walk_frames(&out.sink, rip, frame ? frameless_caller(frame) : 0, rbp);
    for (unsigned i = 0; i < panic_state.reporter_count; i++)
        panic_state.reporter[i](&out.sink);
    log_lines_flush(&out);
    if (panic_state.post_mortem)
        panic_state.post_mortem();
}

void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(NULL, (u64)(uintptr_t)__builtin_return_address(0),
           *(const u64 *)__builtin_frame_address(0), fmt, ap);
    va_end(ap);
    machine_end(PANIC_STATUS);
}

void panic_trap(const struct trap_frame *frame, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(frame, frame->rip, frame->rbp, fmt, ap);
    va_end(ap);
    machine_end(PANIC_STATUS);
}
