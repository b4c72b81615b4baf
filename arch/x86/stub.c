/* SPDX-License-Identifier: MIT
 *
 * Making and running stubs.  A page is a hash table of them by their code, so what is run again is
 * found made.  The fault of one comes back through arch/x86/trap.c as if it had returned.
 */
#include "arch/x86/stub.h"

#include "arch/x86/cpu.h"
#include "arch/x86/memory.h"
#include "arch/x86/paging.h"

#define STUB_SHIFT 55 /* of the 64-bit hash: 512 stubs */

enum status stub_init(struct percpu *p)
{
    hpa_t at;

    if (p->stub_write)
        return STATUS_OK;
    TRY(mem_alloc(PAGE_SIZE, PAGE_SIZE, "stubs", &at));
    p->stub_run = paging_map_alias(at, PAGE_SIZE, PAGE_EXECUTE);
    if (!p->stub_run) {
        mem_free(at);
        return STATUS_ENOMEM;
    }
    p->stub_write = phys_to_virt(at);
    return STATUS_OK;
}

u8 stub_run(u64 code, struct stub_regs *r, u64 *at)
{
    struct percpu *p = this_cpu();
    unsigned slot = (unsigned)(code * 0x9e3779b97f4a7c15ull >> STUB_SHIFT);
    register u64 vector __asm__("r8") = STUB_DONE;
    register const u64 *stub __asm__("r9") = p->stub_run + slot;
    register u64 flags __asm__("r10") = (rflags_read() & ~(u64)STUB_FLAGS) | r->flags;

    if (p->stub_write[slot] != code) {
        p->stub_write[slot] = code;
        cr2_write(cr2_read()); /* serialises: written elsewhere than run, SDM vol. 3A, 8.1.3 */
    }
    *at = p->stub_at = (u64)(uintptr_t)stub;
    __asm__ volatile("push %[flags]\n\t"
                     "popfq\n\t"
                     "call *%[stub]\n\t"
                     "pushfq\n\t"
                     "pop %[flags]"
                     : "+a"(r->gpr[0]), "+c"(r->gpr[1]), "+d"(r->gpr[2]), "+b"(r->gpr[3]),
                       "+S"(r->rsi), "+D"(r->rdi), "+r"(vector), [flags] "+r"(flags)
                     : [stub] "r"(stub)
                     : "memory", "cc");
    p->stub_at = 0;
    r->flags = flags & STUB_FLAGS;
    return (u8)vector;
}
