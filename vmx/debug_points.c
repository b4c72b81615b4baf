/* SPDX-License-Identifier: MIT
 *
 * Breakpoints and watchpoints: pages that EPT closes, debug registers, what the emulator is to be
 * told, and one instruction by the CPU itself with all pages open.
 */
#include "vmx/debug_points.h"

#include "arch/x86/cpu.h"
#include "vmx/check.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vmcs.h"

/* --- Pages ------------------------------------------------------------------------------------ */

static u64 plain_rights(const struct vm *vm, u64 page)
{
    for (unsigned i = 0; i < vm->parts.mem->count; i++) {
        const struct gmem_region *r = &vm->parts.mem->region[i];
        if (page - r->base.v < r->size && r->kind == GMEM_ROM)
            return EPT_READ | EPT_EXECUTE;
    }
    return EPT_RIGHTS;
}

/* What EPT lets the guest do with a page, under all points. */
static u64 page_rights(const struct vm *vm, u64 page)
{
    u64 rights = plain_rights(vm, page);

    for (unsigned i = 0; i < vm->debug.rows; i++) {
        const struct debug_point *p = &vm->debug.point[i];
        if (!p->access || p->gpa == DEBUG_NONE || !ranges_overlap(page, PAGE_SIZE, p->gpa, p->part))
            continue;
        if ((p->access & DEBUG_EXECUTE) && p->slot == DEBUG_NO_SLOT)
            rights &= ~EPT_EXECUTE;
        if (p->access & DEBUG_WRITE)
            rights &= ~EPT_WRITE;
        if (p->access & DEBUG_READ)
            rights &= caps_has(vm->caps, CAP_EPT, EPT_EXECUTE_ONLY) ? EPT_EXECUTE : 0;
    }
    return rights;
}

static enum status close_pages(struct vm *vm, const struct debug_point *p)
{
    enum status s = STATUS_OK;

    if (p->gpa == DEBUG_NONE)
        return STATUS_OK;
    vm->debug.closed = true;
    for (u64 at = p->gpa & ~PAGE_MASK; at < p->gpa + p->part && s == STATUS_OK; at += PAGE_SIZE)
        s = ept_protect(&vm->ept, GPA(at), page_rights(vm, at));
    return s;
}

/* Every virtual CPU has to take notice of changed points before it enters again. */
static void notice(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        vm->vcpu[i]->debug.rearm = true;
        vcpu_request(vm->vcpu[i], REQUEST_DEBUG);
    }
}

/* Give out the debug registers, first to breakpoints that can do with nothing else. */
enum status debug_place(struct vm *vm)
{
    struct vm_debug *d = &vm->debug;
    u8 used = d->taken;
    enum status s = STATUS_OK;

    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < d->rows; i++) {
            struct debug_point *p = &d->point[i];
            if (!(p->access & DEBUG_EXECUTE) || p->physical ||
                (p->gpa == DEBUG_NONE) != (pass == 0))
                continue;
            p->slot = (u8)__builtin_ctz(~(u32)used);
            if (p->slot < DEBUG_NO_SLOT)
                used |= (u8)BIT(p->slot);
            else
                p->slot = DEBUG_NO_SLOT;
            if (p->slot == DEBUG_NO_SLOT && p->gpa == DEBUG_NONE)
                s = STATUS_ENOENT;
        }
    for (unsigned i = 0; i < d->rows; i++)
        if (d->point[i].access && s == STATUS_OK)
            s = close_pages(vm, &d->point[i]);
    notice(vm);
    return s;
}

static struct debug_point *new_row(struct vm_debug *d)
{
    for (unsigned i = 0; i < DEBUG_POINTS; i++)
        if (!d->point[i].access) {
            d->rows = i < d->rows ? d->rows : i + 1;
            return &d->point[i];
        }
    return NULL;
}

/* The rows of one range: a new one wherever its memory is not contiguous. */
static enum status add_rows(struct vcpu *v, const struct debug_point *wanted, u16 id)
{
    struct debug_point *row = NULL;
    u64 n;

    for (u64 done = 0; done < wanted->size; done += n) {
        gpa_t gpa = GPA(wanted->at + done);
        struct emu_event fault;
        n = PAGE_SIZE - (gpa.v & PAGE_MASK);
        n = n < wanted->size - done ? n : wanted->size - done;
        bool mapped = wanted->physical || emu_translate(&v->emu, GVA(gpa.v), EMU_IMPLICIT, &gpa,
                                                        &fault, NULL, NULL) == STATUS_OK;
        mapped = mapped && gmem_at(v->vm->parts.mem, gpa, n);
        if (!mapped && (wanted->physical || !(wanted->access & DEBUG_EXECUTE)))
            return STATUS_ENOENT;
        if (row && row->gpa + row->part == gpa.v) {
            row->part += n;
            continue;
        }
        row = new_row(&v->vm->debug);
        if (!row)
            return STATUS_ENOSPC;
        *row = *wanted;
        row->id = id;
        row->gpa = mapped ? gpa.v : DEBUG_NONE;
        row->part = n;
        row->slot = DEBUG_NO_SLOT;
    }
    return STATUS_OK;
}

enum status debug_add(struct vcpu *v, const struct debug_point *wanted, u16 *id)
{
    struct vm_debug *d = &v->vm->debug;

    if (wanted->size == 0 || wanted->at + wanted->size < wanted->at)
        return STATUS_EINVAL;
    vcpu_load(v, STATE_BASE | STATE_PDPTE | STATE_SEG(SEG_CS));
    *id = ++d->last_id;
    enum status s = add_rows(v, wanted, *id);
    if (s == STATUS_OK)
        s = debug_place(v->vm);
    if (s != STATUS_OK && debug_remove(v->vm, *id, false) != STATUS_OK)
        d->last_id--; /* there was nothing to remove yet */
    return s;
}

enum status debug_remove(struct vm *vm, u16 id, bool gdb)
{
    struct vm_debug *d = &vm->debug;
    enum status s = STATUS_ENOENT;
    unsigned left = 0;

    for (unsigned i = 0; i < d->rows; i++) {
        struct debug_point *p = &d->point[i];
        if (!p->access)
            continue;
        left++;
        if (id ? p->id != id : (p->kind != 0) != gdb)
            continue;
        p->access = 0;
        left--;
        s = STATUS_OK;
    }
    if (!left)
        d->rows = d->taken = 0;
    return s == STATUS_ENOENT ? s : debug_place(vm);
}

/* --- Debug registers -------------------------------------------------------------------------- */

u8 debug_enabled(u64 dr7)
{
    u8 mask = 0;
    for (unsigned n = 0; n < 4; n++)
        mask |= (u8)(dr7 & DR7_ENABLE(n) ? BIT(n) : 0);
    return mask;
}

bool debug_page_closed(const struct vm *vm, u64 page)
{
    return page != DEBUG_NONE && !(page_rights(vm, page) & EPT_EXECUTE);
}

/* --- Where the guest is ----------------------------------------------------------------------- */

u64 debug_linear_rip(struct vcpu *v)
{
    vcpu_load(v, STATE_BASE | STATE_PDPTE | STATE_SEG(SEG_CS));
    return emu_mode(&v->state) == EMU_MODE_64 ? v->state.rip
                                              : (u32)(v->state.rip + v->state.seg[SEG_CS].base);
}

/* The guest-physical page of the code at `linear`, or DEBUG_NONE. */
u64 debug_code_page(struct vcpu *v, u64 linear)
{
    struct emu_event fault;
    gpa_t gpa;

    if (v->debug.page != (linear & ~PAGE_MASK)) {
        v->debug.page = linear & ~PAGE_MASK;
        v->debug.page_gpa = emu_translate(&v->emu, GVA(v->debug.page), EMU_IMPLICIT, &gpa, &fault,
                                          NULL, NULL) == STATUS_OK
                                ? gpa.v
                                : DEBUG_NONE;
    }
    return v->debug.page_gpa;
}

struct debug_point *debug_breakpoint_here(struct vcpu *v)
{
    struct vm_debug *d = &v->vm->debug;

    if (!d->rows)
        return NULL;
    u64 linear = debug_linear_rip(v), page = debug_code_page(v, linear);
    for (unsigned i = 0; i < d->rows; i++) {
        struct debug_point *p = &d->point[i];
        if ((p->access & DEBUG_EXECUTE) &&
            (p->gpa == DEBUG_NONE ? p->at == linear
                                  : page != DEBUG_NONE && p->gpa == (page | (linear & PAGE_MASK))))
            return p;
    }
    return NULL;
}

/* --- One instruction by the CPU itself -------------------------------------------------------- */

static void open_page(struct vcpu *v, u64 page)
{
    struct vcpu_debug *d = &v->debug;

    if (d->opened == DEBUG_OPEN ||
        ept_protect(&v->vm->ept, GPA(page), plain_rights(v->vm, page)) != STATUS_OK)
        return;
    d->open[d->opened++] = page;
    ept_invalidate(&v->vm->ept);
}

static void step_by_tf(struct vcpu *v)
{
    struct x86_state *s = &v->state;

    vcpu_load(v, STATE_RFLAGS | STATE_INTERRUPTIBILITY);
    v->debug.had_tf = s->rflags & RFLAGS_TF;
    s->rflags |= RFLAGS_TF;
    /* A shadow would put the trap off; no interrupt is let in behind it meanwhile. */
    s->interruptibility &= ~(u32)(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
    s->dirty |= STATE_RFLAGS | STATE_INTERRUPTIBILITY;
    v->debug.exceptions = vmread(VMCS_EXCEPTION_BITMAP);
    vmwrite(VMCS_EXCEPTION_BITMAP, ~0u);
}

void debug_native_begin(struct vcpu *v)
{
    u64 page = debug_code_page(v, debug_linear_rip(v));

    v->debug.native = true;
    v->debug.begun = v->exited;
    if (page != DEBUG_NONE && !(page_rights(v->vm, page) & EPT_EXECUTE))
        open_page(v, page);
    if (v->vm->debug.mtf)
        vcpu_control(v, PROC_MONITOR_TRAP_FLAG, true);
    else
        step_by_tf(v);
}

void debug_native_end(struct vcpu *v)
{
    struct vcpu_debug *d = &v->debug;

    d->native = false;
    v->requests |= REQUEST_INTERRUPT; /* which was held back */
    if (v->vm->debug.mtf) {
        vcpu_control(v, PROC_MONITOR_TRAP_FLAG, false);
    } else {
        vmwrite(VMCS_EXCEPTION_BITMAP, d->exceptions);
        vcpu_load(v, STATE_RFLAGS);
        if (!d->had_tf)
            v->state.rflags &= ~(u64)RFLAGS_TF;
        v->state.dirty |= STATE_RFLAGS;
    }
    for (; d->opened; d->opened--) {
        u64 page = d->open[d->opened - 1];
        if (ept_protect(&v->vm->ept, GPA(page), page_rights(v->vm, page)) == STATUS_OK)
            ept_invalidate(&v->vm->ept);
    }
}

bool debug_unknown(struct vcpu *v)
{
    if (!v->vm->debug.rows || v->debug.native || check_guest_state(v) >= 0)
        return false;
    debug_native_begin(v);
    v->requests |= REQUEST_DEBUG;
    return true;
}

bool debug_exception(struct vcpu *v, struct emu_event *event)
{
    struct vcpu_debug *d = &v->debug;
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);

    if (event->vector == VECTOR_PF)
        event->payload = q; /* for CR2 */
    if (event->vector != VECTOR_DB || !(d->armed | d->native))
        return false;
    u64 ours = (q & d->armed) | (d->native && !d->had_tf ? q & DR6_BS : 0);
    v->requests |= ours ? REQUEST_DEBUG : 0;
    event->payload &= ~ours;
    return ours && !(event->payload & (debug_enabled(d->guest_dr7) | ~15ull));
}

/* --- Accesses --------------------------------------------------------------------------------- */

/* The first watchpoint that an access meets. */
static struct debug_point *watchpoint(struct vcpu *v, u64 gpa, u64 size, u8 access)
{
    struct vm_debug *d = &v->vm->debug;

    for (unsigned i = 0; i < d->rows; i++)
        if ((d->point[i].access & access) && d->point[i].gpa != DEBUG_NONE &&
            ranges_overlap(gpa, size, d->point[i].gpa, d->point[i].part))
            return &d->point[i];
    return NULL;
}

static void note_access(struct vcpu *v, u64 gpa, u64 size, bool write)
{
    const struct debug_point *p = watchpoint(v, gpa, size, write ? DEBUG_WRITE : DEBUG_READ);

    if (p && !v->debug.hit) {
        v->debug.hit = p->id;
        v->requests |= REQUEST_DEBUG;
    }
}

bool debug_reopen(struct vcpu *v, gpa_t gpa, u64 rights)
{
    u64 page = gpa.v & ~PAGE_MASK, allowed = page_rights(v->vm, page);

    if ((rights & ~allowed) || !gmem_at(v->vm->parts.mem, gpa, 1) ||
        ept_protect(&v->vm->ept, GPA(page), allowed) != STATUS_OK)
        return false;
    ept_invalidate(&v->vm->ept);
    return true;
}

bool debug_violation(struct vcpu *v, gpa_t gpa, u64 q, bool *emulate)
{
    u64 page = gpa.v & ~PAGE_MASK;
    bool write = q & BIT(1), fetch = q & BIT(2); /* SDM vol. 3C, table 27-7 */

    if (!v->vm->debug.rows || !gmem_at(v->vm->parts.mem, gpa, 1))
        return false;
    *emulate = !fetch && !v->debug.native;
    if (v->debug.native) {
        v->debug.begun = v->exited; /* again */
        open_page(v, page);
        if (!fetch)
            note_access(v, gpa.v, 1, write);
    } else if (fetch) {
        v->requests |= REQUEST_DEBUG;
    }
    return true;
}

/* A locked instruction must find the memory itself; what it touches has at most 16 bytes. */
static bool is_locked(const struct emu_record *r)
{
    for (unsigned i = 0; i < r->code->length; i++) {
        u8 b = r->code->bytes[i];
        if (b == 0xf0 || (b & 0xfe) == 0x86)
            return true;
        if (b != 0x66 && b != 0x67 && (b & 0xf0) != 0x40 && (b & 0xe7) != 0x26)
            return false;
    }
    return false;
}

bool debug_hides(struct vcpu *v, gpa_t gpa, enum emu_access access)
{
    const u8 both = DEBUG_READ | DEBUG_WRITE;

    if ((access & (EMU_FETCH | EMU_IMPLICIT)) ||
        !watchpoint(v, gpa.v & ~PAGE_MASK, PAGE_SIZE, both))
        return false;
    if (!is_locked(&v->emu.record))
        return true;
    note_access(v, gpa.v, 8, true);
    note_access(v, gpa.v, 8, false);
    return false;
}

bool debug_access(struct vcpu *v, gpa_t gpa, unsigned size, u64 *value, bool write)
{
    u8 *host = v->vm->debug.closed ? gmem_at(v->vm->parts.mem, gpa, size) : NULL;

    if (!host || (write && !(plain_rights(v->vm, gpa.v) & EPT_WRITE)))
        return false;
        /* Whole, as another CPU would see it. */
#define COPY(type)                                 \
    do {                                           \
        if (write)                                 \
            *(volatile type *)host = (type)*value; \
        else                                       \
            *value = *(volatile type *)host;       \
    } while (0)
    if (size == 1)
        COPY(u8);
    else if (size == 2)
        COPY(u16);
    else if (size == 4)
        COPY(u32);
    else
        COPY(u64);
#undef COPY
    note_access(v, gpa.v, size, write);
    (void)debug_reopen(v, gpa, write ? EPT_WRITE : EPT_READ);
    return true;
}
