/* SPDX-License-Identifier: MIT
 *
 * Interrupts from the outside: the 8254 through the 8259s, HLT, the shadows of STI and MOV SS,
 * windows, NMI, and the local APIC with its timer (SDM vol. 3A, 6.8 and chapter 10; 8259A and 8254
 * data sheets).  An IPI to oneself is what puts an interrupt exactly between two instructions.
 */
#include "tests/guests/lib/guest.h"

#define IPI      0x41u
#define TIMER    0x51u
#define SPINS    20000000u
#define NMI_IPI  0x400u
#define ASSERT   BIT(14)
#define TO_SELF  BIT(18)
#define PERIODIC BIT(17)
#define DEADLINE BIT(18)
#define MASKED   BIT(16)

static u64 rips[8];
static unsigned order[8], seen;

static void note(struct trap_frame *f)
{
    if (seen < 8) {
        rips[seen] = f->rip;
        order[seen] = (unsigned)f->vector;
    }
    seen++;
    irq_count_apic(f);
}

static void send_self(u32 vector) { apic_write(APIC_ICR, TO_SELF | ASSERT | vector); }

static bool requested(u32 vector)
{
    return apic_read(APIC_IRR + vector / 32 * 16) >> (vector % 32) & 1;
}

static bool in_service(u32 vector)
{
    return apic_read(APIC_ISR + vector / 32 * 16) >> (vector % 32) & 1;
}

static void start(void)
{
    apic_start();
    seen = 0;
    trap_handle(IPI, note);
    irq_seen[IPI] = 0;
}

/* The 8254's channel 0 at rate hz into IRQ 0. */
static void pit_start(u32 hz)
{
    u16 count = (u16)(1193182 / hz);

    outb(0x43, 0x34); /* channel 0, low then high byte, mode 2 */
    outb(0x40, (u8)count);
    outb(0x40, (u8)(count >> 8));
    irq_seen[PIC_VECTOR] = 0;
    trap_handle(PIC_VECTOR, irq_count_pic);
    pic_unmask(BIT(0));
}

static void pit_stop(void)
{
    pic_unmask(0);
    outb(0x43, 0x30); /* mode 0, no count: quiet */
    sti();
    for (int i = 0; i < 10; i++)
        cpu_pause();
    cli();
    trap_handle(PIC_VECTOR, NULL);
}

TEST(pit_through_pic)
{
    apic_start(); /* LINT0 = ExtINT */
    pit_start(1000);
    EXPECT(irq_wait(PIC_VECTOR, 5, SPINS));
    pit_stop();
}

TEST(pic_mask_holds)
{
    pit_start(1000);
    pic_unmask(0);
    EXPECT(!irq_wait(PIC_VECTOR, 1, 200000));
    pic_unmask(BIT(0)); /* it has been latched meanwhile */
    EXPECT(irq_wait(PIC_VECTOR, 1, SPINS));
    pit_stop();
}

TEST(halt_wakes_up)
{
    pit_start(200);
    for (u32 i = 1; i <= 5; i++) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
        EXPECT(irq_seen[PIC_VECTOR] >= i);
    }
    pit_stop();
}

/* Without an EOI the 8259 gives no further interrupt of that line. */
TEST(pic_needs_eoi)
{
    pit_start(1000);
    trap_handle(PIC_VECTOR, irq_count);
    EXPECT(irq_wait(PIC_VECTOR, 1, SPINS));
    EXPECT(!irq_wait(PIC_VECTOR, 2, 200000));
    outb(0x20, 0x0b); /* read ISR */
    EXPECT_EQ(inb(0x20) & 1, 1);
    outb(0x20, 0x20);
    trap_handle(PIC_VECTOR, irq_count_pic);
    EXPECT(irq_wait(PIC_VECTOR, 3, SPINS));
    pit_stop();
}

TEST(self_ipi)
{
    start();
    send_self(IPI);
    EXPECT(requested(IPI)); /* interrupts are off: it waits */
    EXPECT_EQ(irq_seen[IPI], 0);
    EXPECT(irq_wait(IPI, 1, 1000));
    EXPECT(!requested(IPI) && !in_service(IPI));
}

/* Pending at STI: nothing before the instruction after it has been executed. */
TEST(sti_shadow)
{
    start();
    send_self(IPI);
    __asm__ volatile("sti; cli" : : : "memory");
    EXPECT_EQ(seen, 0);
    u64 after;
    __asm__ volatile("lea 1f(%%rip), %0; sti; nop; 1: nop; cli" : "=&r"(after) : : "memory");
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(rips[0], after);
}

/* One that waits arrives where label 1 is. */
#define ARRIVES_AT_1(code)                                                               \
    do {                                                                                 \
        u64 after_;                                                                      \
        start();                                                                         \
        send_self(IPI);                                                                  \
        __asm__ volatile("lea 1f(%%rip), %0; " code : "=&r"(after_) : : "memory", "cc"); \
        EXPECT_EQ(seen, 1);                                                              \
        EXPECT_EQ(rips[0], after_);                                                      \
    } while (0)

TEST(sti_halt) { ARRIVES_AT_1("sti; hlt; 1: cli"); }

/* No shadow after POPF. */
TEST(popf_has_no_shadow) { ARRIVES_AT_1("pushfq; orq $0x200, (%%rsp); popfq; 1: nop; nop; cli"); }

/* MOV SS and POP SS hold interrupts for one instruction more. */
TEST(mov_ss_shadow)
{
    u64 after;

    start();
    send_self(IPI);
    __asm__ volatile("lea 1f(%%rip), %0; mov %%ss, %%ecx; sti; mov %%ecx, %%ss; nop; 1: nop; cli"
                     : "=&r"(after)
                     :
                     : "rcx", "memory");
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(rips[0], after);
}

/* The shadow's instruction may be one that leaves the guest. */
TEST(sti_shadow_over_exits)
{
    u64 after;

    start();
    send_self(IPI);
    __asm__ volatile("lea 1f(%%rip), %0; xor %%eax, %%eax; sti; cpuid; 1: nop; cli"
                     : "=&S"(after)
                     :
                     : "rax", "rbx", "rcx", "rdx", "memory");
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(rips[0], after);
    send_self(IPI);
    __asm__ volatile("lea 1f(%%rip), %0; sti; in $0x21, %%al; 1: nop; cli"
                     : "=&S"(after)
                     :
                     : "rax", "memory");
    EXPECT_EQ(seen, 2);
    EXPECT_EQ(rips[1], after);
}

TEST(priorities)
{
    static const u32 vectors[] = {0x61, 0xa1, 0x81, 0x82};
    static const unsigned expected[] = {0xa1, 0x82, 0x81, 0x61};

    start();
    for (size_t i = 0; i < 4; i++) {
        trap_handle(vectors[i], note);
        send_self(vectors[i]);
    }
    __asm__ volatile("sti; nop; nop; nop; nop; nop; nop; cli" : : : "memory");
    EXPECT_EQ(seen, 4);
    for (size_t i = 0; i < 4; i++)
        EXPECT_EQ(order[i], expected[i]);
}

/* An interrupt's class must be above the task priority's (SDM vol. 3A, 10.8.3.1). */
TEST(task_priority_window)
{
    start();
    write_cr8(IPI >> 4);
    send_self(IPI);
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(apic_read(APIC_PPR), (IPI >> 4) << 4);
    sti();
    write_cr8((IPI >> 4) - 1);
    cpu_pause();
    cli();
    EXPECT_EQ(seen, 1);
    apic_write(APIC_TPR, 0xff);
    send_self(IPI);
    sti();
    cpu_pause();
    EXPECT_EQ(seen, 1);
    apic_write(APIC_TPR, 0);
    cpu_pause();
    cli();
    EXPECT_EQ(seen, 2);
    write_cr8(0);
}

static void nested(struct trap_frame *f)
{
    order[seen++] = (unsigned)f->vector;
    if (f->vector == 0x61) {
        send_self(0xa1); /* higher: at once; lower: after the EOI */
        send_self(0x51);
        sti();
        cpu_pause();
        cli();
    }
    order[seen++] = (unsigned)f->vector;
    apic_write(APIC_EOI, 0);
}

TEST(nesting)
{
    static const unsigned expected[] = {0x61, 0xa1, 0xa1, 0x61, 0x51, 0x51};

    start();
    trap_handle(0x51, nested);
    trap_handle(0x61, nested);
    trap_handle(0xa1, nested);
    send_self(0x61);
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
    EXPECT_EQ(seen, 6);
    for (size_t i = 0; i < 6; i++)
        EXPECT_EQ(order[i], expected[i]);
}

static unsigned nmis, nmi_depth, nmi_deepest;

static void on_nmi(struct trap_frame *)
{
    nmis++;
    nmi_deepest = ++nmi_depth > nmi_deepest ? nmi_depth : nmi_deepest;
    if (nmis == 1) {
        apic_write(APIC_ICR2, apic_read(APIC_ID) & 0xff000000);
        apic_write(APIC_ICR, ASSERT | NMI_IPI); /* held until IRET */
        for (int i = 0; i < 20; i++)
            cpu_pause();
    }
    nmi_depth--;
}

TEST(nmi)
{
    start();
    nmis = nmi_deepest = 0;
    trap_handle(VECTOR_NMI, on_nmi);
    apic_write(APIC_ICR2, apic_read(APIC_ID) & 0xff000000);
    apic_write(APIC_ICR, ASSERT | NMI_IPI); /* IF is 0: NMIs do not care */
    for (int i = 0; i < 20; i++)
        cpu_pause();
    trap_handle(VECTOR_NMI, NULL);
    EXPECT_EQ(nmis, 2);
    EXPECT_EQ(nmi_deepest, 1);
}

/* SDM vol. 3A, 10.5.3: sending a vector below 16 is an error, shown after a write to the ESR. */
TEST(error_register)
{
    start();
    apic_write(APIC_ESR, 0);
    apic_write(APIC_ICR, TO_SELF | ASSERT | 5);
    apic_write(APIC_ESR, 0);
    EXPECT(apic_read(APIC_ESR) & (BIT(5) | BIT(6)));
    apic_write(APIC_ESR, 0);
    EXPECT_EQ(apic_read(APIC_ESR), 0);
}

TEST(apic_registers)
{
    u32 version = apic_read(APIC_VERSION);

    start();
    EXPECT_RANGE(version & 0xff, 0x10, 0x15);
    EXPECT_RANGE(version >> 16 & 0xff, 3, 6);
    apic_write(APIC_LDR, 0x12345678);
    EXPECT_EQ(apic_read(APIC_LDR), 0x12000000);
    apic_write(APIC_LDR, 0);
    apic_write(APIC_TPR, 0xab);
    EXPECT_EQ(apic_read(APIC_TPR), 0xab);
    EXPECT_EQ(apic_read(APIC_PPR), 0xab);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_LINT1, MASKED | 0x33);
    EXPECT_EQ(apic_read(APIC_LVT_LINT1), MASKED | 0x33);
    apic_write(APIC_SVR, 0xff); /* software-disabled: the LVTs are forced masked */
    EXPECT_EQ(apic_read(APIC_LVT_TIMER) & MASKED, MASKED);
    apic_write(APIC_SVR, 0x1ff);
}

static void timer(u32 mode, u32 count)
{
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    irq_seen[TIMER] = 0;
    trap_handle(TIMER, irq_count_apic);
    apic_write(APIC_LVT_TIMER, mode | TIMER);
    apic_write(APIC_TIMER_INIT, count);
}

TEST(timer_one_shot)
{
    start();
    timer(0, 100000);
    EXPECT_RANGE(apic_read(APIC_TIMER_COUNT), 1, 100000);
    EXPECT(irq_wait(TIMER, 1, SPINS));
    EXPECT_EQ(apic_read(APIC_TIMER_COUNT), 0);
    EXPECT(!irq_wait(TIMER, 2, 100000));
}

TEST(timer_periodic)
{
    start();
    timer(PERIODIC, 50000);
    EXPECT(irq_wait(TIMER, 5, SPINS));
    EXPECT_RANGE(apic_read(APIC_TIMER_COUNT), 0, 50000);
    apic_write(APIC_TIMER_INIT, 0); /* stops it */
    sti();
    cpu_pause();
    cli();
    irq_seen[TIMER] = 0;
    EXPECT(!irq_wait(TIMER, 1, 200000));
}

TEST(timer_masked)
{
    u32 first;

    start();
    timer(MASKED, 100000);
    first = apic_read(APIC_TIMER_COUNT);
    EXPECT(!irq_wait(TIMER, 1, 10000));
    EXPECT(apic_read(APIC_TIMER_COUNT) < first); /* it counts all the same */
    apic_write(APIC_TIMER_INIT, 0);
}

/* Twice the divider: half the speed, within what the reading itself costs. */
TEST(timer_divider)
{
    static const u32 codes[] = {0xb, 0x0, 0x1, 0x2}; /* 1, 2, 4, 8 */
    u64 passed[4];

    start();
    for (int i = 0; i < 4; i++) {
        u64 begin;

        apic_write(APIC_LVT_TIMER, MASKED);
        apic_write(APIC_TIMER_DIVIDE, codes[i]);
        apic_write(APIC_TIMER_INIT, 0xffffffff);
        begin = rdtsc();
        while (rdtsc() - begin < 2000000)
            cpu_pause();
        passed[i] = 0xffffffff - apic_read(APIC_TIMER_COUNT);
    }
    apic_write(APIC_TIMER_INIT, 0);
    for (int i = 1; i < 4; i++)
        EXPECT_RANGE(passed[i - 1] * 100 / passed[i], 180, 220);
}

TEST(timer_deadline)
{
    u64 begin, fired;

    if (!CPUID1_C(24))
        SKIP("no TSC-deadline mode");
    start();
    timer(DEADLINE, 0);
    begin = rdtsc();
    wrmsr(0x6e0, begin + 500000);
    EXPECT_EQ(rdmsr(0x6e0), begin + 500000);
    EXPECT(irq_wait(TIMER, 1, SPINS));
    fired = rdtsc();
    EXPECT_RANGE(fired - begin, 500000, 5000000);
    if (under_hypervisor()) /* Bochs forgets to clear it */
        EXPECT_EQ(rdmsr(0x6e0), 0);
    wrmsr(0x6e0, rdtsc() + 300000);
    wrmsr(0x6e0, 0); /* disarmed */
    EXPECT(!irq_wait(TIMER, 2, 200000));
    wrmsr(0x6e0, 1); /* in the past: at once */
    EXPECT(irq_wait(TIMER, 2, 1000));
    apic_write(APIC_LVT_TIMER, MASKED);
}

TEST(timer_wakes_halt)
{
    start();
    timer(0, 200000);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    EXPECT_EQ(irq_seen[TIMER], 1);
}

USER_CODE(user_spin, "1: pause; jmp 1b")

TEST(interrupts_user_code)
{
    struct trap t;

    start();
    timer(0, 100000);
    trap_handle(TIMER, NULL);
    t = CATCH(user_run(user_spin, RFLAGS_IF));
    apic_write(APIC_EOI, 0);
    EXPECT_EQ(t.vector, TIMER);
    EXPECT_EQ(t.cs, GDT_USER_CODE64 | 3);
}
