/* SPDX-License-Identifier: MIT
 *
 * The test guests' runner: serial output, descriptor tables, exceptions, the 8259s, and the loop
 * over the tests.
 */
#include "tests/guests/lib/guest.h"

#include "lib/parse.h"
#include "lib/string.h"
#include <stdarg.h>

#define COM1       0x3f8
#define DEBUG_EXIT 0xf4
#define BOCHS_END  0x8900
#define STATUS_MAX 120

struct tss {
    u32 reserved0;
    u64 rsp[3], reserved1, ist[7], reserved2;
    u16 reserved3, io_map;
} __attribute__((packed));

struct table_pointer {
    u16 limit;
    u64 base;
} __attribute__((packed));

u64 guest_gdt[GDT_ENTRIES] = {
    [GDT_CODE64 / 8] = 0x00af9b000000ffff,      [GDT_DATA / 8] = 0x00cf93000000ffff,
    [GDT_CODE32 / 8] = 0x00cf9b000000ffff,      [GDT_USER_DATA / 8] = 0x00cff3000000ffff,
    [GDT_USER_CODE64 / 8] = 0x00affb000000ffff,
};
_Alignas(16) u64 guest_idt[256][2];
u32 guest_boot_magic, guest_boot_info;
volatile u32 irq_seen[256];

extern const char trap_stubs[][16];
extern const struct guest_test *const guest_tests[], *const guest_tests_end[];
_Noreturn void trap_resume(const struct trap_context *c);
void trap_dispatch(struct trap_frame *f);
void guest_main(void);

static struct tss tss;
static _Alignas(16) u8 ist_stack[2][8192], ring0_stack[8192];
static void (*handlers[256])(struct trap_frame *f);
static struct trap_context catcher, runner;
static bool catching, in_test;
static struct trap caught;
static const struct guest_test *current;
static unsigned run, failed, skipped;
static bool current_failed, current_skipped;

/* --- Output ----------------------------------------------------------------------------------- */

static void put(char c)
{
    for (int i = 0; i < 100000 && !(inb(COM1 + 5) & 0x20); i++)
        cpu_pause();
    outb(COM1, (u8)c);
}

static void serial_write(struct sink *, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            put('\r');
        put(text[i]);
    }
}

static struct sink serial = {.write = serial_write};

void guest_serial_start(void)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x80);
    outb(COM1 + 0, 1); /* 115200 */
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3); /* 8n1 */
    outb(COM1 + 2, 7);
    outb(COM1 + 4, 3);
}

void guest_print(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sink_vprintf(&serial, fmt, ap);
    va_end(ap);
}

/* Multiboot information: flags at 0 (bit 2: command line), the command line's address at 16. */
bool guest_option(const char *word)
{
    const u32 *info = (const u32 *)(u64)guest_boot_info;
    const char *p = (const char *)(u64)info[4];
    char text[40];

    if (guest_boot_magic != 0x2badb002 || !(info[0] & 4))
        return false;
    while (parse_word(&p, text, sizeof(text)) == STATUS_OK)
        if (strcmp(text, word) == 0)
            return true;
    return false;
}

void guest_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    if (current_failed)
        return;
    current_failed = true;
    guest_print("not ok %s: ", current->name);
    va_start(ap, fmt);
    sink_vprintf(&serial, fmt, ap);
    va_end(ap);
    guest_print(" (%s:%d)\n", file, line);
}

void guest_skip(const char *fmt, ...)
{
    va_list ap;

    current_skipped = true;
    guest_print("ok %s # skipped: ", current->name);
    va_start(ap, fmt);
    sink_vprintf(&serial, fmt, ap);
    va_end(ap);
    guest_print("\n");
}

/* --- Exceptions ------------------------------------------------------------------------------- */

const char *trap_name(unsigned vector)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD",
                                        "#NM", "#DF", "#09", "#TS", "#NP", "#SS", "#GP",
                                        "#PF", "#0F", "#MF", "#AC", "#MC", "#XM", "#VE"};

    if (vector == TRAP_NONE)
        return "no exception";
    return vector < ARRAY_SIZE(names) ? names[vector] : "an interrupt";
}

struct trap_context *trap_arm(void)
{
    caught = (struct trap){.vector = TRAP_NONE};
    catching = true;
    return &catcher;
}

struct trap trap_disarm(void)
{
    catching = false;
    return caught;
}

static void fault_in_runner(const struct trap_frame *f)
{
    u64 cr2 = read_cr2();

    if (!in_test) {
        guest_print("not ok framework: %s(%#llx) at rip %#llx, cr2 %#llx\n",
                    trap_name((unsigned)f->vector), (unsigned long long)f->error,
                    (unsigned long long)f->rip, (unsigned long long)cr2);
        failed++;
        guest_end_run();
    }
    guest_fail("rip", 0, "expected no exception, got %s(%#llx), vector %u, rip %#llx, cr2 %#llx",
               trap_name((unsigned)f->vector), (unsigned long long)f->error, (unsigned)f->vector,
               (unsigned long long)f->rip, (unsigned long long)cr2);
    trap_resume(&runner);
}

void trap_dispatch(struct trap_frame *f)
{
    if (handlers[f->vector & 0xff]) {
        handlers[f->vector & 0xff](f);
        return;
    }
    if (!catching)
        fault_in_runner(f);
    catching = false;
    caught = (struct trap){.vector = (unsigned)f->vector,
                           .error = f->error,
                           .rip = f->rip,
                           .cr2 = read_cr2(),
                           .dr6 = read_dr6(),
                           .rflags = f->rflags,
                           .rax = f->rax,
                           .rcx = f->rcx,
                           .rdx = f->rdx,
                           .rsi = f->rsi,
                           .rdi = f->rdi,
                           .rsp = f->rsp,
                           .cs = f->cs,
                           .ss = f->ss};
    trap_resume(&catcher);
}

static _Alignas(16) u8 user_stack[4096];

static void enter(u64 ss, u64 rflags, u64 cs, void (*code)(void))
{
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4; iretq"
                     :
                     : "r"(ss), "r"(user_stack + sizeof(user_stack)), "r"(rflags), "r"(cs),
                       "r"(code)
                     : "memory");
}

void user_run(void (*code)(void), u64 rflags)
{
    enter(GDT_USER_DATA | 3, rflags | RFLAGS_FIXED, GDT_USER_CODE64 | 3, code);
}

void code32_run(void (*code)(void)) { enter(GDT_DATA, RFLAGS_FIXED, GDT_CODE32, code); }

void trap_handle(unsigned vector, void (*handler)(struct trap_frame *f))
{
    handlers[vector] = handler;
}

void irq_count(struct trap_frame *f) { irq_seen[f->vector & 0xff]++; }

void irq_count_apic(struct trap_frame *f)
{
    irq_count(f);
    apic_write(APIC_EOI, 0);
}

void irq_count_pic(struct trap_frame *f)
{
    irq_count(f);
    if (f->vector >= PIC_VECTOR + 8)
        outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

bool irq_wait(unsigned vector, u32 n, u64 spins)
{
    sti();
    while (spins-- && irq_seen[vector] < n)
        cpu_pause();
    cli();
    return irq_seen[vector] >= n;
}

/* --- The machine ------------------------------------------------------------------------------ */

static void tables_start(void)
{
    struct table_pointer gdtr = {sizeof(guest_gdt) - 1, (u64)guest_gdt};
    struct table_pointer idtr = {sizeof(guest_idt) - 1, (u64)guest_idt};
    u64 base = (u64)&tss;

    tss.rsp[0] = (u64)(ring0_stack + sizeof(ring0_stack));
    tss.ist[0] = (u64)(ist_stack[0] + sizeof(ist_stack[0]));
    tss.ist[1] = (u64)(ist_stack[1] + sizeof(ist_stack[1]));
    tss.io_map = sizeof(tss); /* beyond the limit: no port for CPL 3 */
    guest_gdt[GDT_TSS / 8] =
        (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    guest_gdt[GDT_TSS / 8 + 1] = base >> 32;
    for (unsigned v = 0; v < 256; v++) {
        u64 at = (u64)trap_stubs[v];
        u64 ist = v == VECTOR_DF ? 1 : v == VECTOR_NMI ? 2 : 0;

        guest_idt[v][0] = (at & 0xffff) | (u64)GDT_CODE64 << 16 | ist << 32 | 0x8eull << 40 |
                          (at >> 16 & 0xffff) << 48;
        guest_idt[v][1] = at >> 32;
    }
    guest_idt[VECTOR_BP][0] |= 3ull << 45; /* INT3 and INTO may come from CPL 3 */
    __asm__ volatile("lgdt %0; lidt %1" : : "m"(gdtr), "m"(idtr) : "memory");
    __asm__ volatile("ltr %w0" : : "r"(GDT_TSS) : "memory");
}

void pic_unmask(u16 mask)
{
    outb(0x21, (u8)~mask);
    outb(0xa1, (u8)(~mask >> 8));
}

static void pic_start(void)
{
    static const u16 sequence[][2] = {
        {0x20, 0x11}, {0xa0, 0x11}, {0x21, PIC_VECTOR}, {0xa1, PIC_VECTOR + 8},
        {0x21, 4},    {0xa1, 2},    {0x21, 1},          {0xa1, 1}};

    for (size_t i = 0; i < ARRAY_SIZE(sequence); i++)
        outb(sequence[i][0], (u8)sequence[i][1]);
    pic_unmask(0);
}

void apic_start(void)
{
    wrmsr(0x1b, rdmsr(0x1b) | BIT(11));
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_TIMER, BIT(16));
    apic_write(APIC_TIMER_INIT, 0);
    apic_write(APIC_LVT_LINT0, 0x700);
    apic_write(APIC_LVT_LINT1, BIT(16));
    apic_write(APIC_LVT_ERROR, BIT(16));
}

void page_flush(void) { write_cr3(read_cr3()); }

void page_split(u64 virtual, u64 *table)
{
    u64 *entry = &guest_pd[virtual >> 21];

    *entry = table ? (u64)table | 7 : align_down(virtual, 2 * MiB) | 0x87;
    page_flush();
}

_Alignas(4096) u64 window_entry[512];

void window_open(void)
{
    for (u64 i = 0; i < 512; i++)
        window_entry[i] = (WINDOW + i * PAGE_SIZE) | 7;
    page_split(WINDOW, window_entry);
}

void window_close(void) { page_split(WINDOW, NULL); }

/* --- Running ---------------------------------------------------------------------------------- */

void guest_end_run(void)
{
    unsigned status = failed < STATUS_MAX ? failed : STATUS_MAX;

    guest_print("%u passed, %u failed, %u skipped\nend status=%u\n", run - failed - skipped, failed,
                skipped, status);
    while (!(inb(COM1 + 5) & 0x40))
        cpu_pause();
    outl(DEBUG_EXIT, status);
    for (const char *p = "Shutdown"; *p; p++)
        outb(BOCHS_END, (u8)*p);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* The compiler may turn round the order of the table. */
static const struct guest_test *next_test(unsigned line)
{
    const struct guest_test *next = NULL;

    for (const struct guest_test *const *t = guest_tests; t < guest_tests_end; t++)
        if ((*t)->line > line && (!next || (*t)->line < next->line))
            next = *t;
    return next;
}

static void run_test(void)
{
    current_failed = current_skipped = false;
    in_test = true;
    if (trap_save(&runner) == 0)
        current->run();
    in_test = catching = false;
    cli();
    run++;
    failed += current_failed;
    skipped += current_skipped && !current_failed;
    if (!current_failed && !current_skipped)
        guest_print("ok %s\n", current->name);
}

void guest_main(void)
{
    guest_serial_start();
    tables_start();
    pic_start();
    for (unsigned line = 0; (current = next_test(line)) != NULL; line = current->line)
        run_test();
    guest_end_run();
}
