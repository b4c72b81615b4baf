/* SPDX-License-Identifier: MIT
 *
 * A virtual CPU in text: registers, and the instruction it is at.
 */
#include "vmx/show.h"

#include "arch/x86/cpu.h"
#include "lib/string.h"
#include "vmx/symbol.h"

static void show_segments(const struct x86_state *s, struct sink *out)
{
    static const char *const names[] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        const struct segment *g = &s->seg[i];
        sink_printf(out, "%-4s %04x base %016lx limit %08x access %05x%s\n", names[i], g->selector,
                    g->base, g->limit, g->access, g->access & SEG_UNUSABLE ? " unusable" : "");
    }
    sink_printf(out, "GDTR base %016lx limit %04x   IDTR base %016lx limit %04x\n", s->gdtr.base,
                s->gdtr.limit, s->idtr.base, s->idtr.limit);
}

unsigned vcpu_peek_code(struct vcpu *v, u64 rip, u8 *bytes, unsigned want)
{
    vcpu_load(v, STATE_BASE | STATE_PDPTE | STATE_SEG(SEG_CS));
    u64 linear = rip + (emu_mode(&v->state) == EMU_MODE_64 ? 0 : v->state.seg[SEG_CS].base);

    for (unsigned i = 0; i < want; i++) {
        struct emu_event fault;
        gpa_t gpa;
        if (emu_translate(&v->emu, GVA(linear + i), EMU_IMPLICIT, &gpa, &fault, NULL, NULL) !=
                STATUS_OK ||
            gmem_read(v->vm->parts.mem, gpa, &bytes[i], 1) != STATUS_OK)
            return i;
    }
    return want;
}

const char *const gpr_names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                 "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

void vcpu_show(struct vcpu *v, struct sink *out)
{
    static const char *const modes[] = {"real", "virtual-8086", "16-bit", "32-bit", "64-bit"};
    const struct x86_state *s = &v->state;
    u8 code[15];
    char text[160], name[96];

    vm_find_slide(v);
    vcpu_load(v, STATE_ALL);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        sink_printf(out, "%-3s %016lx%s", gpr_names[i], s->gpr[i], i % 4 == 3 ? "\n" : "  ");
    sink_printf(out, "RIP %016lx  RFLAGS %08lx  CPL %u  %s mode\n", s->rip, s->rflags,
                s->seg[SEG_SS].access >> SEG_DPL_SHIFT & 3, modes[emu_mode(s)]);
    sink_printf(out, "CR0 %08lx  CR2 %016lx  CR3 %016lx  CR4 %08lx  EFER %04lx\n", s->cr0, s->cr2,
                s->cr3, s->cr4, s->efer);
    show_segments(s, out);
    sink_printf(out, "DR6 %08lx DR7 %08lx  interruptibility %x%s\n", s->dr6, s->dr7,
                s->interruptibility, v->requests & REQUEST_HALTED ? "  halted" : "");
    unsigned got = vcpu_peek_code(v, s->rip, code, sizeof(code));
    if (got &&
        emu_disassemble(code, got, emu_mode(s), s->rip, text, sizeof(text), vm_symbol, v->vm))
        sink_printf(out, "at RIP: %s%s\n", text, vm_symbol_text(v->vm, s->rip, name, sizeof(name)));
    else
        sink_printf(out, "at RIP: no instruction can be read\n");
}

const char *name_lower(const char *name, char *out, size_t cap)
{
    (void)str_copy(out, cap, name);
    for (char *c = out; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    return out;
}

const char *exit_reason_name(u32 reason)
{
    static const char *const reasons[EXIT_REASON_COUNT] = {
#define EXIT(number, name, handler) [number] = #name,
#include "vmx/exits.def"
#undef EXIT
    };
    return reason < EXIT_REASON_COUNT && reasons[reason] ? reasons[reason] : "?";
}

void vmx_panic_report(struct sink *out)
{
    struct vcpu *v = this_cpu()->vcpu;

    if (!v)
        return;
    sink_printf(out, "virtual CPU %u, after exit %u (%s), qualification %#lx:\n", v->index,
                v->reason & 0xffff, exit_reason_name(v->reason & 0xffff),
                vmread(VMCS_EXIT_QUALIFICATION));
    vcpu_show(v, out);
}
