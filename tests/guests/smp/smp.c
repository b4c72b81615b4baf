/* SPDX-License-Identifier: MIT
 *
 * Two processors: start-up by INIT and SIPI (SDM vol. 3A, 8.4), interrupts between them by every
 * shorthand and delivery mode, locked access to memory and to a device, and both at one device.
 */
#include "lib/string.h"
#include "tests/guests/lib/guest.h"

#define AP_PAGE  0x9000u
#define FIXED    0x61u
#define FLUSH    0x62u
#define SPINS    4000000u
#define ROUNDS   2000u
#define TPR_PAGE (APIC_BASE + APIC_TPR)

#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT  BIT(14)
#define ICR_SELF    (1u << 18)
#define ICR_ALL     (2u << 18)
#define ICR_OTHERS  (3u << 18)
#define ICR_LOWEST  (1u << 8)
#define ICR_NMI     (4u << 8)
#define ICR_INIT    (5u << 8)
#define ICR_STARTUP (6u << 8)

extern const u8 ap_start[], ap_end[];
extern u8 ap_gdtr[10], ap_idtr[10];
void ap_main(void);

static void (*volatile ap_work)(void); /* for the other processor; NULL when it is done */
static volatile u32 ap_up, seen[2][256], ap_id;
static u32 bsp_id;
static u64 shared;
static volatile u32 page_value; /* what the other processor reads through the changing mapping */

static unsigned self(void) { return apic_read(APIC_ID) >> 24 == bsp_id ? 0 : 1; }

static void count(struct trap_frame *f)
{
    __atomic_add_fetch(&seen[self()][f->vector], 1, __ATOMIC_SEQ_CST);
    apic_write(APIC_EOI, 0);
}

static void count_nmi(struct trap_frame *f) { seen[self()][f->vector]++; }

static void flush(struct trap_frame *f)
{
    write_cr3(read_cr3());
    count(f);
}

void ap_main(void)
{
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_DFR, ~0u);
    apic_write(APIC_LDR, 2u << 24);
    ap_id = apic_read(APIC_ID) >> 24;
    ap_up++;
    for (;;) {
        void (*work)(void) = ap_work;
        if (work) {
            work();
            ap_work = NULL;
        }
        __asm__ volatile("sti; pause; cli" ::: "memory");
    }
}

static bool reaches(const volatile u32 *at, u32 n)
{
    for (u32 i = 0; i < SPINS && *at < n; i++)
        __asm__ volatile("sti; pause; cli" ::: "memory");
    return *at >= n;
}

/* Until the other processor has done what it was given. */
static bool joins(void)
{
    for (u32 i = 0; i < SPINS && ap_work; i++)
        cpu_pause();
    return !ap_work;
}

static void send(u32 icr, u32 dest)
{
    apic_write(APIC_ICR2, dest << 24);
    apic_write(APIC_ICR, icr | ICR_ASSERT);
    while (apic_read(APIC_ICR) & BIT(12))
        cpu_pause();
}

static void delay(u64 ticks)
{
    for (u64 begin = rdtsc(); rdtsc() - begin < ticks;)
        cpu_pause();
}

static void start_ap(void)
{
    send(ICR_INIT | ICR_OTHERS, 0);
    delay(500000);
    send(ICR_STARTUP | ICR_OTHERS | AP_PAGE / 4096, 0);
    delay(100000);
    send(ICR_STARTUP | ICR_OTHERS | AP_PAGE / 4096, 0); /* ignored by one that runs */
}

TEST(start)
{
    bsp_id = apic_read(APIC_ID) >> 24;
    apic_start();
    apic_write(APIC_DFR, ~0u);
    apic_write(APIC_LDR, 1u << 24);
    memcpy((void *)(uintptr_t)AP_PAGE, ap_start, (size_t)(ap_end - ap_start));
    __asm__ volatile("sgdt ap_gdtr; sidt ap_idtr" ::: "memory");
    trap_handle(FIXED, count);
    trap_handle(FLUSH, flush);
    trap_handle(2, count_nmi);
    guest_idt[2][0] &= ~(7ull << 32); /* the other processor has no TSS, so no IST either */
    start_ap();
    EXPECT(reaches(&ap_up, 1));
    delay(200000);
    EXPECT_EQ(ap_up, 1);
    EXPECT(ap_id != bsp_id);
}

TEST(fixed)
{
    for (u32 i = 1; i <= 20; i++) {
        send(FIXED, ap_id);
        EXPECT(reaches(&seen[1][FIXED], i));
    }
    EXPECT_EQ(seen[0][FIXED], 0);
}

TEST(shorthands)
{
    send(FIXED | ICR_SELF, 0);
    EXPECT(reaches(&seen[0][FIXED], 1));
    EXPECT_EQ(seen[1][FIXED], 20);
    send(FIXED | ICR_OTHERS, 0);
    EXPECT(reaches(&seen[1][FIXED], 21));
    EXPECT_EQ(seen[0][FIXED], 1);
    send(FIXED | ICR_ALL, 0);
    EXPECT(reaches(&seen[1][FIXED], 22) && reaches(&seen[0][FIXED], 2));
    send(FIXED, 0xff);
    EXPECT(reaches(&seen[1][FIXED], 23) && reaches(&seen[0][FIXED], 3));
}

TEST(logical_and_lowest)
{
    send(FIXED | ICR_LOGICAL, 2);
    EXPECT(reaches(&seen[1][FIXED], 24));
    EXPECT_EQ(seen[0][FIXED], 3);
    send(FIXED | ICR_LOGICAL | ICR_LOWEST, 3);
    for (u32 i = 0; i < SPINS && seen[0][FIXED] + seen[1][FIXED] < 28; i++)
        __asm__ volatile("sti; pause; cli" ::: "memory");
    EXPECT_EQ(seen[0][FIXED] + seen[1][FIXED], 28);
}

TEST(nmi)
{
    send(ICR_NMI, ap_id);
    EXPECT(reaches(&seen[1][2], 1));
    EXPECT_EQ(seen[0][2], 0);
}

static void answer(void)
{
    for (u32 i = 0; i < 20; i++)
        send(FIXED, bsp_id);
}

TEST(answer)
{
    u32 before = seen[0][FIXED];

    ap_work = answer;
    EXPECT(joins());
    EXPECT(reaches(&seen[0][FIXED], before + 1));
    EXPECT_RANGE(seen[0][FIXED], before + 1, before + 20);
}

static void hlt(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }

TEST(wake_from_hlt)
{
    u32 before = seen[1][FIXED];

    ap_work = hlt;
    delay(1000000);
    EXPECT(ap_work);
    send(FIXED, ap_id);
    EXPECT(joins());
    EXPECT_EQ(seen[1][FIXED], before + 1);
}

static void add_memory(void)
{
    for (u32 i = 0; i < 50 * ROUNDS; i++)
        __asm__ volatile("lock incq %0" : "+m"(shared));
}

TEST(locked_memory)
{
    shared = 0;
    ap_work = add_memory;
    add_memory();
    EXPECT(joins());
    EXPECT_EQ(shared, 100 * ROUNDS);
}

/* A chain of CMOS cells: index and data ports must not come apart. */
static volatile u32 cmos_lock;

static u8 cmos(u8 index, int value)
{
    while (__atomic_exchange_n(&cmos_lock, 1, __ATOMIC_ACQUIRE))
        cpu_pause();
    outb(0x70, index);
    if (value >= 0)
        outb(0x71, (u8)value);
    u8 read = inb(0x71);
    __atomic_store_n(&cmos_lock, 0, __ATOMIC_RELEASE);
    return read;
}

static volatile u32 wrong;

static void use_devices(void)
{
    u8 cell = (u8)(0x50 + self());

    for (u32 i = 0; i < ROUNDS; i++) {
        if (cmos(cell, (u8)i) != (u8)i)
            wrong++;
        (void)inb(0x3fd);
        apic_write(APIC_TPR, 0x10);
        if (apic_read(APIC_TPR) != 0x10)
            wrong++;
        apic_write(APIC_TPR, 0);
        if (i % 64 == 0)
            send(FIXED, self() ? bsp_id : ap_id);
    }
}

TEST(both_at_the_devices)
{
    wrong = 0;
    ap_work = use_devices;
    use_devices();
    for (u32 i = 0; i < SPINS && ap_work; i++)
        __asm__ volatile("sti; pause; cli" ::: "memory");
    EXPECT(!ap_work);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(cmos(0x50, -1), (u8)(ROUNDS - 1));
    EXPECT_EQ(cmos(0x51, -1), (u8)(ROUNDS - 1));
}

/* A mapping is changed; the other processor reads the new page once it has been told to flush. */
static void read_window(void) { page_value = *(volatile u32 *)WINDOW; }

TEST(remote_flush)
{
    static u32 pages[2][1024] __attribute__((aligned(4096)));
    u32 before = seen[1][FLUSH];

    pages[0][0] = 0x1111;
    pages[1][0] = 0x2222;
    window_open();
    window_entry[0] = (u64)(uintptr_t)pages[0] | 3;
    page_flush();
    send(FLUSH, ap_id);
    EXPECT(reaches(&seen[1][FLUSH], before + 1));
    ap_work = read_window;
    EXPECT(joins());
    EXPECT_EQ(page_value, 0x1111);
    window_entry[0] = (u64)(uintptr_t)pages[1] | 3;
    page_flush();
    send(FLUSH, ap_id);
    EXPECT(reaches(&seen[1][FLUSH], before + 2));
    ap_work = read_window;
    EXPECT(joins());
    EXPECT_EQ(page_value, 0x2222);
}

/*
 * Across two pages that are neighbours in addresses, but not in memory: the other processor adds by
 * itself, this one in the emulator, where it knows the prefix UD2 "kvm".
 */
#define ACROSS ((volatile u64 *)(WINDOW + 4092))
static volatile bool across_end;
static u64 across_other;

static void add_across(void)
{
    while (!across_end) {
        __asm__ volatile("lock incq %0" : "+m"(*ACROSS));
        across_other++;
    }
}

TEST(locked_across_pages)
{
    static u64 pages[3][512] __attribute__((aligned(4096)));
    u32 before = seen[1][FLUSH];
    bool forced =
        CATCH(__asm__ volatile(".byte 0x0f, 0x0b, 'k', 'v', 'm'; nop")).vector == TRAP_NONE;

    window_entry[0] = (u64)(uintptr_t)pages[2] | 3;
    window_entry[1] = (u64)(uintptr_t)pages[0] | 3;
    page_flush();
    send(FLUSH, ap_id);
    EXPECT(reaches(&seen[1][FLUSH], before + 1));
    ap_work = add_across;
    for (u32 i = 0; i < ROUNDS; i++)
        if (forced)
            __asm__ volatile(".byte 0x0f, 0x0b, 'k', 'v', 'm'; lock incq %0" : "+m"(*ACROSS));
        else
            __asm__ volatile("lock incq %0" : "+m"(*ACROSS));
    across_end = true;
    EXPECT(joins());
    EXPECT(across_other > 100);
    EXPECT_EQ(*ACROSS, ROUNDS + across_other);
}

static volatile u64 ap_tsc;

static void read_tsc(void) { ap_tsc = rdtsc(); }

TEST(tsc)
{
    for (u32 i = 0; i < 20; i++) {
        u64 before = rdtsc();
        ap_work = read_tsc;
        EXPECT(joins());
        EXPECT_RANGE(ap_tsc, before, rdtsc());
    }
}

TEST(start_again)
{
    u32 before = ap_up;

    start_ap();
    EXPECT(reaches(&ap_up, before + 1));
    send(FIXED, ap_id);
    EXPECT(reaches(&seen[1][FIXED], seen[1][FIXED]));
    ap_work = read_tsc;
    EXPECT(joins());
}

static void crash(void)
{
    __asm__ volatile("lidt %0; ud2" : : "m"(*(const u8(*)[10]) "\0\0\0\0\0\0\0\0\0"));
}

static void spin(void)
{
    for (;;)
        cpu_pause();
}

/* The last ones, since they do not come back. */
TEST(spin_of_both)
{
    if (!guest_option("spin"))
        SKIP("only with `spin` on the command line");
    ap_work = spin;
    spin();
}

TEST(triple_fault_of_one)
{
    if (!guest_option("triple"))
        SKIP("only with `triple` on the command line");
    ap_work = crash;
    joins();
    for (;;)
        cpu_pause();
}
