/* SPDX-License-Identifier: MIT
 *
 * Looking into a guest from the prompt.  But for `in`, `out` and `msr` with a value, nothing that
 * is looked at changes by it.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/fixup.h"
#include "arch/x86/symbols.h"
#include "arch/x86/tsc.h"
#include "lib/string.h"
#include "vmx/commands.h"
#include "vmx/msr.h"
#include "vmx/symbol.h"

/* --- Memory ----------------------------------------------------------------------------------- */

/* Whose addresses: in the order of the commands. */
enum space { LINEAR, PHYSICAL, HOST };

static bool peek(struct vcpu *v, u64 at, enum space space, u8 *byte)
{
    struct emu_event fault;
    gpa_t gpa = GPA(at);

    if (space == HOST)
        return memory_read_safe(at, byte);
    if (space == LINEAR &&
        emu_translate(&v->emu, GVA(at), EMU_IMPLICIT, &gpa, &fault, NULL, NULL) != STATUS_OK)
        return false;
    return gmem_read(v->vm->parts.mem, gpa, byte, 1) == STATUS_OK;
}

static bool peek_value(struct vcpu *v, u64 at, enum space space, unsigned width, u64 *value)
{
    u8 bytes[8] = {0};

    for (unsigned i = 0; i < width; i++)
        if (!peek(v, at + i, space, &bytes[i]))
            return false;
    memcpy(value, bytes, sizeof(bytes));
    return true;
}

/* Of "b|w|d|q|a|s". */
static const u8 format_width[] = {1, 2, 4, 8, 8, 1};
enum { FORMAT_ADDRESS = 4, FORMAT_STRING = 5 };

static void dump_line(struct sink *out, struct vcpu *v, u64 at, u64 count, enum space space,
                      unsigned width)
{
    char ascii[17] = {0};
    u64 value;

    sink_printf(out, "%016lx ", at);
    for (unsigned i = 0; i < 16; i += width) {
        if (i >= count)
            sink_printf(out, " %*s", 2 * (int)width, "");
        else if (peek_value(v, at + i, space, width, &value))
            sink_printf(out, " %0*lx", 2 * (int)width, value);
        else
            sink_printf(out, " %.*s", 2 * (int)width, "----------------");
    }
    for (unsigned i = 0; i < 16; i++) {
        u8 byte;
        bool ok = i < count && peek(v, at + i, space, &byte);
        ascii[i] = !ok ? ' ' : byte >= 32 && byte < 127 ? (char)byte : '.';
    }
    sink_printf(out, "  %s\n", ascii);
}

static void dump_addresses(struct sink *out, struct vcpu *v, u64 at, u64 count, enum space space)
{
    char name[96];
    u64 value, offset;

    for (u64 done = 0; done < count; done += 8) {
        if (!peek_value(v, at + done, space, 8, &value)) {
            sink_printf(out, "%016lx  ----------------\n", at + done);
            continue;
        }
        name[0] = 0;
        if (space == HOST && symbol_find(value, &offset))
            format_buf(name, sizeof(name), " <%s+%#lx>", symbol_find(value, &offset), offset);
        else if (space != HOST)
            (void)vm_symbol_text(v->vm, value, name, sizeof(name));
        sink_printf(out, "%016lx  %016lx%s\n", at + done, value, name);
    }
}

static void dump_string(struct sink *out, struct vcpu *v, u64 at, u64 count, enum space space)
{
    u8 byte = 0;

    sink_printf(out, "%016lx  \"", at);
    for (; count-- && peek(v, at, space, &byte) && byte; at++)
        sink_printf(out, byte < 32 || byte > 126 ? "\\x%02x" : "%c", byte);
    sink_printf(out, "\"\n");
}

/* x, xp, xh */
static enum status run_x(struct shell *sh)
{
    static const enum space spaces[] = {['\0'] = LINEAR, ['p'] = PHYSICAL, ['h'] = HOST};
    enum space space = spaces[(u8)sh->command->name[1]];
    struct vcpu *v = sh->subject; /* none for HOST */
    u64 at = sh->value[1], count = sh->value[2];
    unsigned format = sh->choice[3];

    if (space != HOST)
        vcpu_load(v, STATE_BASE | STATE_PDPTE | STATE_SEG(SEG_CS));
    if (format == FORMAT_STRING)
        dump_string(sh->out, v, at, count, space);
    else if (format == FORMAT_ADDRESS)
        dump_addresses(sh->out, v, at, count, space);
    else
        for (u64 done = 0; done < count; done += 16)
            dump_line(sh->out, v, at + done, count - done, space, format_width[format]);
    return STATUS_OK;
}

/* --- Translations ----------------------------------------------------------------------------- */

static void walk_step(void *ctx, const struct emu_walk_step *step)
{
    struct sink *out = ctx;
    sink_printf(out, "  level %u entry at %012lx = %016lx  %s%s%s%s%s\n", step->level,
                step->entry_at.v, step->entry, step->entry & 1 ? "present" : "not present",
                step->entry & 2 ? " writable" : "", step->entry & 4 ? " user" : "",
                step->level > 1 && (step->entry & 0x80) ? " large" : "",
                step->entry >> 63 ? " no-execute" : "");
}

static enum status run_walk(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    struct emu_event fault;
    gpa_t gpa;

    vcpu_load(v, STATE_BASE | STATE_PDPTE | STATE_SEG(SEG_CS));
    enum status s =
        emu_translate(&v->emu, GVA(sh->value[1]), EMU_IMPLICIT, &gpa, &fault, walk_step, sh->out);
    if (s == STATUS_OK)
        sink_printf(sh->out, "  guest-physical %#lx\n", gpa.v);
    else if (s == STATUS_EHW)
        sink_printf(sh->out, "  a page table lies where no memory is\n");
    else
        sink_printf(sh->out, "  page fault, error code %#x\n", fault.error);
    return STATUS_OK;
}

static enum status run_ept(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    ept_show(&v->vm->ept, GPA(sh->value[1]), sh->out);
    return STATUS_OK;
}

/* --- Code and the stack ----------------------------------------------------------------------- */

static enum status run_dis(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    u64 address = sh->value[1], count = sh->value[2];

    vcpu_load(v, STATE_ALL);
    enum emu_mode mode = emu_mode(&v->state);
    u64 base = mode == EMU_MODE_64 ? 0 : v->state.seg[SEG_CS].base;
    for (u64 i = 0; i < count; i++) {
        u8 code[15] = {0};
        char text[160], name[96];
        unsigned got = 0;
        while (got < sizeof(code) && peek(v, base + address + got, LINEAR, &code[got]))
            got++;
        unsigned length =
            emu_disassemble(code, got, mode, address, text, sizeof(text), vm_symbol, v->vm);
        const char *label = vm_symbol_text(v->vm, address, name, sizeof(name));
        if (i == 0 ? label[0] : label[0] && !strchr(label, '+'))
            sink_printf(sh->out, "%s:\n", label + 1);
        sink_printf(sh->out, "%016lx  ", address);
        for (unsigned j = 0; j < 10; j++)
            sink_printf(sh->out, j < length ? "%02x" : "  ", j < length ? code[j] : 0);
        sink_printf(sh->out, "  %s\n", length ? text : "(no instruction)");
        if (!length)
            break;
        address += length;
    }
    return STATUS_OK;
}

/* Is there a CALL in front of a return address?  E8, or FF /2 with 2 to 7 bytes. */
static bool follows_call(struct vcpu *v, u64 to)
{
    u8 code[7];

    for (unsigned i = 0; i < sizeof(code); i++)
        if (!peek(v, to - sizeof(code) + i, LINEAR, &code[i]))
            return false;
    for (unsigned i = 0; i < 6; i++)
        if (code[i] == 0xff && (code[i + 1] >> 3 & 7) == 2)
            return true;
    return code[2] == 0xe8;
}

#define BACKTRACE_MAX  32
#define BACKTRACE_SCAN 2048 /* bytes of the stack, where nothing says how frames are chained */

struct frame {
    u64 ip, sp, bp;
    bool called; /* ip is a return address: what was called stands before it */
};

static bool symbol_value(const struct vm *vm, const char *name, u64 *at)
{
    s64 n = symbols_lookup(&vm->symbols, name, (unsigned)strlen(name));

    if (n >= 0 && vm->slide != SLIDE_UNKNOWN)
        *at = symbols_address(&vm->symbols, (u32)n);
    return n >= 0 && vm->slide != SLIDE_UNKNOWN;
}

static bool read64(struct vcpu *v, u64 at, u64 *value)
{
    return peek_value(v, at, LINEAR, 8, value);
}

/* Linux's struct orc_entry (arch/x86/include/asm/orc_types.h): how to find the caller's frame. */
#define ORC_ENTRY_SIZE   6
#define ORC_SP(entry)    ((s16)(entry))
#define ORC_BP(entry)    ((s16)((entry) >> 16))
#define ORC_SP_BY(entry) ((entry) >> 32 & 15)
#define ORC_BP_BY(entry) ((entry) >> 36 & 15)
enum { ORC_PREVIOUS_SP = 1, ORC_BY_BP = 4, ORC_BY_SP, ORC_AT_BP = 8, ORC_AT_SP };
enum { ORC_CALL, ORC_REGS, ORC_IRET };
/* Places in struct pt_regs, and of an IRET frame in it. */
enum { REGS_BP = 0x20, REGS_IP = 0x80, REGS_CS = 0x88, REGS_SP = 0x98 };

/* The entry of the last place that is not above ip; false: there are no tables. */
static bool orc_find(struct vcpu *v, u64 ip, u64 *entry)
{
    u64 places, end, entries, low = 0, place;

    if (!symbol_value(v->vm, "__start_orc_unwind_ip", &places) ||
        !symbol_value(v->vm, "__stop_orc_unwind_ip", &end) ||
        !symbol_value(v->vm, "__start_orc_unwind", &entries))
        return false;
    for (u64 high = (end - places) / 4; low < high;) {
        u64 middle = low + (high - low) / 2;
        if (!peek_value(v, places + 4 * middle, LINEAR, 4, &place))
            return false;
        if (places + 4 * middle + (u64)(s64)(s32)place <= ip)
            low = middle + 1;
        else
            high = middle;
    }
    return low &&
           peek_value(v, entries + (low - 1) * ORC_ENTRY_SIZE, LINEAR, ORC_ENTRY_SIZE, entry);
}

/* From a frame to its caller's; false: it has none, or (*lost) it cannot be told. */
static bool orc_step(struct vcpu *v, struct frame *f, bool *lost)
{
    u64 entry, cs = 0, unused, sp, bp = f->bp;
    /* From 6.4 on the end of the stack is a type of its own, and there is a header. */
    bool typed = symbol_value(v->vm, "__start_orc_header", &unused);

    *lost = !orc_find(v, f->ip - f->called, &entry);
    u64 type = entry >> 40 & (typed ? 7 : 3);
    if (*lost || (typed ? type == 1 : entry >> 42 & 1))
        return false;
    type -= typed ? 2 : 0;
    switch (ORC_SP_BY(entry)) {
    case ORC_BY_SP:
    case ORC_AT_SP: sp = f->sp + (u64)(ORC_SP_BY(entry) == ORC_BY_SP ? ORC_SP(entry) : 0); break;
    case ORC_BY_BP:
    case ORC_AT_BP: sp = f->bp + (u64)ORC_SP(entry); break;
    default: *lost = true; return false;
    }
    *lost = type > ORC_IRET || (ORC_SP_BY(entry) >= ORC_AT_BP && !read64(v, sp, &sp)) ||
            (ORC_BP_BY(entry) == ORC_PREVIOUS_SP && !read64(v, sp + (u64)ORC_BP(entry), &bp)) ||
            (ORC_BP_BY(entry) == ORC_BY_BP && !read64(v, f->bp + (u64)ORC_BP(entry), &bp));
    if (*lost)
        return false;
    sp += ORC_SP_BY(entry) == ORC_AT_SP ? (u64)ORC_SP(entry) : 0;
    u64 regs = type == ORC_IRET ? sp - REGS_IP : sp;
    *f = (struct frame){.sp = sp, .bp = bp, .called = type == ORC_CALL};
    if (type == ORC_CALL)
        *lost = !read64(v, sp - 8, &f->ip);
    else
        *lost = !read64(v, regs + REGS_IP, &f->ip) || !read64(v, regs + REGS_CS, &cs) ||
                !read64(v, regs + REGS_SP, &f->sp) ||
                (type == ORC_REGS && !read64(v, regs + REGS_BP, &f->bp));
    return !*lost && !(cs & 3);
}

/* By the chain of frame pointers; at once the return address of a function that has no frame yet.
 */
static bool chain_step(struct vcpu *v, struct frame *f, u64 base, unsigned word, bool *lost)
{
    char name[96];
    u64 to, next;

    *lost = false;
    if (f->called && !f->bp) /* the chain has ended */
        return false;
    if (!f->called && vm_symbol(v->vm, f->ip, name, sizeof(name)) && !strchr(name, '+') &&
        peek_value(v, base + f->sp, LINEAR, word, &to) && follows_call(v, to)) {
        *f = (struct frame){to, f->sp + word, f->bp, true};
        return true;
    }
    *lost = !peek_value(v, base + f->bp, LINEAR, word, &next) ||
            !peek_value(v, base + f->bp + word, LINEAR, word, &to) || !follows_call(v, to);
    if (*lost)
        return false;
    *f = (struct frame){to, f->bp + 2 * word, next > f->bp ? next : 0, true};
    return true;
}

static void show_frame(struct shell *sh, const struct vm *vm, unsigned n, u64 at, bool sure)
{
    char name[96];

    sink_printf(sh->out, "#%-2u %016lx%s%s\n", n, at, vm_symbol_text(vm, at, name, sizeof(name)),
                sure ? "" : " ?");
}

/*
 * By Linux's ORC tables, or the chain of frame pointers, as far as they lead; then whatever on the
 * stack looks like a return address, marked with "?".
 */
static enum status run_bt(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    const struct x86_state *s = &v->state;
    unsigned n = 0;
    bool lost = false, more = true;
    u64 to, unused;

    vcpu_load(v, STATE_ALL);
    if (!(s->cr0 & CR0_PE) || emu_mode(s) == EMU_MODE_16)
        return shell_fail(sh, -1, STATUS_ENOTSUP,
                          "expected 32- or 64-bit code, which chains frames");
    unsigned word = emu_mode(s) == EMU_MODE_64 ? 8 : 4;
    u64 base = word == 8 ? 0 : s->seg[SEG_SS].base, mask = word == 8 ? ~0ull : ~0u;
    struct frame f = {s->rip, s->gpr[RSP] & mask, s->gpr[RBP] & mask, false};
    bool orc = word == 8 && orc_find(v, f.ip, &unused);
    for (; more && n < BACKTRACE_MAX; n++) {
        show_frame(sh, v->vm, n, f.ip, true);
        more = orc ? orc_step(v, &f, &lost) : chain_step(v, &f, base, word, &lost);
    }
    for (u64 at = f.sp; lost && at - f.sp < BACKTRACE_SCAN && n < BACKTRACE_MAX; at += word)
        if (peek_value(v, base + at, LINEAR, word, &to) && to && follows_call(v, to))
            show_frame(sh, v->vm, n++, to, false);
    return STATUS_OK;
}

/* --- CPUID, MSRs, ports and devices as the guest sees them ------------------------------------ */

static enum status run_cpuid(struct shell *sh)
{
    const u32 leaf = (u32)sh->value[1], subleaf = (u32)sh->value[2];
    u32 guest[4];

    cpuid_answer(sh->subject, leaf, subleaf, guest);
    struct cpuid_regs h = cpuid(leaf, subleaf);
    sink_printf(sh->out,
                "       EAX      EBX      ECX      EDX\n"
                "guest  %08x %08x %08x %08x\nhost   %08x %08x %08x %08x\n",
                guest[0], guest[1], guest[2], guest[3], h.eax, h.ebx, h.ecx, h.edx);
    return STATUS_OK;
}

static enum status run_msr(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    u32 number = (u32)sh->value[1];
    u64 value = sh->value[2];

    vcpu_load(v, STATE_ALL);
    if (sh->argc > 2 ? !msr_write(v, number, value) : !msr_read(v, number, &value))
        return shell_fail(sh, sh->argc - 1, STATUS_ENOENT, "the guest would get #GP(0) for this");
    if (sh->argc < 3)
        sink_printf(sh->out, "%016lx\n", value);
    return STATUS_OK;
}

/* in, out */
static enum status run_port(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    bool out = sh->command->name[0] == 'o';
    unsigned size = 1u << sh->choice[out ? 3 : 2];
    u64 port = sh->value[1], value = sh->value[2];

    if (port + size > 0x10000)
        return shell_fail(sh, 1, STATUS_ERANGE, "expected ports up to 0xffff");
    if (out && value & ~mask_bytes(size))
        return shell_fail(sh, 2, STATUS_ERANGE, "expected a value of %u bytes", size);
    vm_lock(v->vm);
    if (out)
        bus_port_write(v->vm->parts.bus, v->index, (u16)port, size, (u32)value);
    else
        sink_printf(sh->out, "%0*x\n", 2 * (int)size,
                    bus_port_read(v->vm->parts.bus, v->index, (u16)port, size));
    vm_unlock(v->vm);
    v->requests |= REQUEST_INTERRUPT;
    return STATUS_OK;
}

static void show_range(struct sink *out, u64 base, u64 size, const char *name, u64 reads,
                       u64 writes)
{
    sink_printf(out, "%10lx-%-10lx %-16s %10lu reads %10lu writes\n", base, base + size - 1, name,
                reads, writes);
}

/* io, mmio */
static enum status run_ranges(struct shell *sh)
{
    struct vcpu *v = sh->subject;
    bool ports = sh->command->name[0] == 'i';

    const struct bus *b = v->vm->parts.bus;
    const struct bus_range *r = ports ? b->port : b->mmio;
    for (unsigned i = 1; i < (ports ? b->port_count : b->mmio_count); i++)
        show_range(sh->out, r[i].base, r[i].size, r[i].name, r[i].reads, r[i].writes);
    for (unsigned i = 0; ports && i < b->msr_count; i++)
        show_range(sh->out, b->msr[i].base, b->msr[i].count, b->msr[i].name, b->msr[i].reads,
                   b->msr[i].writes);
    sink_printf(sh->out, "%-21s %-16s %10lu reads %10lu writes\n", "all others", "(unclaimed)",
                r->reads, r->writes);
    return STATUS_OK;
}

static enum status run_timers(struct shell *sh)
{
    struct vcpu *v = sh->subject;

    for (unsigned i = 0; i < v->vm->vcpu_count; i++) {
        const struct clock *c = v->vm->vcpu[i]->clock;
        u64 now = clock_now(c), offset;
        for (const struct timer *t = c->first; t; t = t->next) {
            const char *name = symbol_find((u64)(uintptr_t)t->fire, &offset);
            sink_printf(sh->out, "vCPU %u  in %10lu us  %s\n", i,
                        t->deadline > now ? tsc_to_us(t->deadline - now) : 0, name ? name : "?");
        }
    }
    return STATUS_OK;
}

static const struct shell_command commands[] = {
    {"x", "ADDR [BYTES=64 [b|w|d|q|a|s]]",
     "memory by guest-linear address, in bytes, words, addresses, text",
     "x 0xffffffff81000000 32\nx rsp 64 a\nx linux_banner 128 s", run_x, NEEDS_VCPU},
    {"xp", "ADDR [BYTES=64 [b|w|d|q|a|s]]", "the same by guest-physical address", "xp 0x1000 64 q",
     run_x, NEEDS_VCPU},
    {"xh", "HOST [BYTES=64 [b|w|d|q|a|s]]", "the same of Vitrine's own memory",
     "xh 0xffffffff80110000 64 d", run_x, 0},
    {"walk", "ADDR", "the guest's page walk for a linear address",
     "walk 0xffffffff81000000\nwalk rsp", run_walk, NEEDS_VCPU},
    {"ept", "PHYSICAL", "the EPT walk for a guest-physical address", "ept 0xfee00000", run_ept,
     NEEDS_VCPU},
    {"dis", "[ADDR=rip [COUNT=8]]", "disassemble", "dis 0x100000 4\ndis do_exit+0x10", run_dis,
     NEEDS_VCPU},
    {"bt", "", "who called what runs: by frame pointers or Linux's ORC tables; ?: a guess", NULL,
     run_bt, NEEDS_VCPU},
    {"cpuid", "LEAF [SUBLEAF=0]", "what CPUID tells the guest, and the host", "cpuid 0x7 0",
     run_cpuid, NEEDS_VCPU},
    {"msr", "MSR [VALUE]", "read or write an MSR as the guest would", "msr apic_base\nmsr 0x1b",
     run_msr, NEEDS_VCPU},
    {"in", "PORT [1|2|4]", "read a port of the guest's devices, as the guest would", "in 0x3fd",
     run_port, NEEDS_VCPU},
    {"out", "PORT VALUE [1|2|4]", "write one", "out 0x80 1", run_port, NEEDS_VCPU},
    {"io", "", "who has which ports and MSRs, with hits", NULL, run_ranges, NEEDS_VCPU},
    {"mmio", "", "who has which device memory, with hits", NULL, run_ranges, NEEDS_VCPU},
    {"timers", "", "when the guest's devices want to be called next", NULL, run_timers, NEEDS_VCPU},
};
const struct shell_table examine_commands = {commands, ARRAY_SIZE(commands), NULL};
