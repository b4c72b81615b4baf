/* SPDX-License-Identifier: MIT
 *
 * Per-CPU areas: CPU 0's static one, the others allocated; descriptor tables and control bits.
 */
#include "arch/x86/percpu.h"

#include "arch/x86/cpu.h"
#include "arch/x86/mtrr.h"
#include "lib/msr.h"

/* Flat 64-bit segments, SDM vol. 3A, section 3.4.5; accessed already, so that nothing is written.
 */
#define GDT_CODE64        0x00af9b000000ffffull
#define GDT_DATA          0x00cf93000000ffffull
#define GDT_TSS_AVAILABLE 0x0000890000000000ull

/* CPU 0's stacks, each below the next one's guard page.  boot/entry.asm begins on `main`. */
struct boot_stacks {
    u8 main_guard[PAGE_SIZE];
    u8 main[STACK_SIZE];
    u8 df_guard[PAGE_SIZE];
    u8 df[IST_STACK_SIZE];
    u8 nmi_guard[PAGE_SIZE];
    u8 nmi[IST_STACK_SIZE];
    u8 mc_guard[PAGE_SIZE];
    u8 mc[IST_STACK_SIZE];
};
_Static_assert(offsetof(struct boot_stacks, df_guard) == 0x9000,
               "boot_stack_top in boot/entry.asm");

struct boot_stacks percpu_boot_stacks __attribute__((aligned(PAGE_SIZE)));

/* The CPUs there may be; until percpu_set_table() the first one alone. */
static struct percpu percpu_boot = {.self = &percpu_boot};
static struct {
    unsigned count;
    struct percpu **cpu;
} percpus = {.count = 1};

static const char *const stack_names[STACK_COUNT] = {"main", "double-fault", "NMI",
                                                     "machine-check"};

static struct stack stack_of(const u8 *bottom, u64 size)
{
    u64 at = (u64)(uintptr_t)bottom;
    return (struct stack){at, at + size};
}

static void fill_descriptors(struct percpu *p)
{
    u64 base = percpu_tss_base(p), limit = sizeof(p->tss) - 1;

    p->gdt[SELECTOR_CODE / 8] = GDT_CODE64;
    p->gdt[SELECTOR_DATA / 8] = GDT_DATA;
    p->gdt[SELECTOR_TSS / 8] =
        GDT_TSS_AVAILABLE | limit | (base & 0xffffff) << 16 | bits_get(base, 31, 24) << 56;
    p->gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
    p->tss.io_map_base = sizeof(p->tss);
    p->tss.ist[IST_DF - 1] = p->stack[STACK_DF].top;
    p->tss.ist[IST_NMI - 1] = p->stack[STACK_NMI].top;
    p->tss.ist[IST_MC - 1] = p->stack[STACK_MC].top;
}

/* Control bits that all of the hypervisor's CPUs run with; paging adds its own. */
static void set_control_bits(void)
{
    u64 cr4 = cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT;

    cr0_write((cr0_read() & ~(CR0_EM | CR0_TS | CR0_CD | CR0_NW)) | CR0_MP | CR0_NE | CR0_WP);
    if (cpu_has(CPU_MCE))
        cr4 |= CR4_MCE;
    if (cpu_has(CPU_XSAVE))
        cr4 |= CR4_OSXSAVE;
    cr4_write(cr4);
    if (cpu_has(CPU_PAT))
        wrmsr(MSR_IA32_PAT, PAT_RESET);
}

void percpu_load(struct percpu *p)
{
    const struct table_pointer gdtr = {sizeof(p->gdt) - 1, (u64)(uintptr_t)p->gdt};

    fill_descriptors(p); /* afresh: a TSS that was loaded before is marked busy */
    lgdt(&gdtr);
    __asm__ volatile("pushq %0\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n\t"
                     "1: movl %1, %%eax\n\t"
                     "movl %%eax, %%ds\n\t"
                     "movl %%eax, %%es\n\t"
                     "movl %%eax, %%ss\n\t"
                     "xorl %%eax, %%eax\n\t"
                     "movl %%eax, %%fs\n\t"
                     "movl %%eax, %%gs\n\t"
                     :
                     : "i"(SELECTOR_CODE), "i"(SELECTOR_DATA)
                     : "rax", "memory", "cc");
    lldt(0);
    ltr(SELECTOR_TSS);
    wrmsr(MSR_IA32_GS_BASE, (u64)(uintptr_t)p);
    set_control_bits();
}

void percpu_init_boot(void)
{
    struct percpu *p = &percpu_boot;
    const struct boot_stacks *s = &percpu_boot_stacks;

    p->stack[STACK_MAIN] = stack_of(s->main, sizeof(s->main));
    p->stack[STACK_DF] = stack_of(s->df, sizeof(s->df));
    p->stack[STACK_NMI] = stack_of(s->nmi, sizeof(s->nmi));
    p->stack[STACK_MC] = stack_of(s->mc, sizeof(s->mc));
    percpu_load(p);
}

void percpu_set_table(struct percpu **table, unsigned count)
{
    table[0] = &percpu_boot;
    percpus.cpu = table;
    percpus.count = count;
}

struct percpu *percpu_get(unsigned number)
{
    if (number >= percpus.count)
        return NULL;
    return percpus.cpu ? percpus.cpu[number] : &percpu_boot;
}

unsigned cpu_count(void) { return percpus.count; }

unsigned cpu_number(void) { return this_cpu()->number; }

const char *percpu_guard_hit(u64 address)
{
    const struct percpu *p = this_cpu();

    for (unsigned i = 0; i < STACK_COUNT; i++)
        if (address < p->stack[i].bottom && address >= p->stack[i].bottom - PAGE_SIZE)
            return stack_names[i];
    return NULL;
}

void percpu_each_boot_guard(void (*fn)(void *ctx, u64 address), void *ctx)
{
    for (unsigned i = 0; i < STACK_COUNT; i++)
        fn(ctx, percpu_boot.stack[i].bottom - PAGE_SIZE);
}
