/* SPDX-License-Identifier: MIT
 *
 * The other operating modes: 32-bit code without paging, a task switch, real mode with its
 * interrupt table, and back to 64 bits.  On a CPU without unrestricted guest all of real mode is
 * emulated.
 */
#include "tests/guests/lib/guest.h"

#include "lib/string.h"

/* What switch.S leaves at 600h. */
struct low {
    u32 cr0, efer;
    u32 task_a_ebx, task_a_cr0, task_a_tr;
    u32 task_b_ebx, task_b_eflags, task_b_esp;
    u16 msw, int_flags, int_count, fault_offset;
    u32 rotated;
    u16 far_cs, unused;
    u32 apic_version, vendor;
    u8 pic_mask, unused2;
    u16 frame_pointer, stack_pointer, ticks;
};
_Static_assert(offsetof(struct low, ticks) == 62, "as in switch.S");

struct tss32 {
    u32 link, esp0, ss0, rest[5];
    u32 eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    u32 es, cs, ss, ds, fs, gs, ldt, io_map;
};

void modes_run(void (*code32)(void), bool real);
void modes_task(void);
void modes_task_b(void);

enum { CODE16 = 0x40, DATA16 = 0x48, TSS_A = 0x50, TSS_B = 0x58 };

static volatile struct low *low_memory(void)
{
    u64 at = 0x600;

    __asm__("" : "+r"(at)); /* GCC takes small constant addresses for null */
    return (volatile struct low *)at;
}

static void clear(void)
{
    for (size_t i = 0; i < sizeof(struct low); i++)
        ((volatile u8 *)low_memory())[i] = 0;
}

static u64 tss_descriptor(const struct tss32 *tss)
{
    u64 base = (u64)tss;

    return (sizeof(*tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
}

TEST(without_paging)
{
    u64 cr0 = read_cr0(), efer = rdmsr(0xc0000080);

    clear();
    modes_run(NULL, false);
    EXPECT_EQ(low_memory()->cr0, (u32)cr0 & ~(u32)CR0_PG);
    EXPECT_EQ(low_memory()->efer, efer & ~(EFER_LMA | EFER_LME));
    EXPECT_EQ(read_cr0(), cr0);
    EXPECT_EQ(rdmsr(0xc0000080), efer);
}

/* SDM vol. 3A, 7.3: registers from the new TSS, link and NT for the nested task, TS set. */
TEST(task_switch)
{
    static struct tss32 a, b;
    static u8 stack[512];
    volatile struct low *low = low_memory();

    clear();
    b = (struct tss32){.eip = (u32)(u64)modes_task_b,
                       .eflags = RFLAGS_FIXED,
                       .ebx = 0x3333,
                       .esp = (u32)(u64)(stack + sizeof(stack)),
                       .es = GDT_DATA,
                       .cs = GDT_CODE32,
                       .ss = GDT_DATA,
                       .ds = GDT_DATA};
    guest_gdt[TSS_A / 8] = tss_descriptor(&a);
    guest_gdt[TSS_B / 8] = tss_descriptor(&b);
    modes_run(modes_task, false);
    EXPECT_EQ(low->task_b_ebx, 0x3333);
    EXPECT_EQ(low->task_b_eflags & RFLAGS_NT, RFLAGS_NT);
    EXPECT_EQ(low->task_b_esp, (u64)(stack + sizeof(stack)));
    EXPECT_EQ(low->task_a_ebx, 0x1111);
    EXPECT_EQ(low->task_a_tr, TSS_A);
    EXPECT_EQ(low->task_a_cr0 & CR0_TS, CR0_TS);
    EXPECT_EQ(b.link, TSS_A);
    EXPECT_EQ(b.ebx, 0x2222);                         /* saved by the IRET */
    EXPECT_EQ(guest_gdt[TSS_A / 8] >> 40 & 0xf, 0xb); /* busy */
    EXPECT_EQ(guest_gdt[TSS_B / 8] >> 40 & 0xf, 0x9); /* available again */
    guest_gdt[GDT_TSS / 8] &= ~BIT64(41);
    __asm__ volatile("ltr %w0" : : "r"(GDT_TSS));
}

static void pit_start(void)
{
    outb(0x43, 0x34);
    outb(0x40, 0xa9);
    outb(0x40, 0x04); /* 1000 Hz */
    pic_unmask(BIT(0));
}

TEST(real_mode)
{
    volatile struct low *low = low_memory();
    volatile u8 *memory = (volatile u8 *)low - 0x600;
    u32 version = apic_read(APIC_VERSION), vendor = cpuid(0, 0).b;

    clear();
    memory[0x12345] = 0;
    apic_start();
    guest_gdt[CODE16 / 8] = 0x00009b000000ffff;
    guest_gdt[DATA16 / 8] = 0x000093000000ffff;
    pit_start();
    modes_run(NULL, true);
    pic_unmask(0);
    EXPECT_EQ(low->msw & 1, 0);
    EXPECT_EQ(low->int_count, 1);
    EXPECT_EQ(low->int_flags & (RFLAGS_CF | RFLAGS_IF), RFLAGS_CF);
    EXPECT_EQ(low->fault_offset, 0);
    EXPECT_EQ(memory[0x12345], 0x5a);
    EXPECT_EQ(memory[0x23452] | memory[0x23453] << 8, 0x3456);
    EXPECT_EQ(low->rotated, 0xef89abcd);
    EXPECT_EQ(low->far_cs, 0x800);
    EXPECT_EQ(low->apic_version, version);
    EXPECT_EQ(memory[0x13400] | memory[0x13403] << 8, 'a' | 'd' << 8);
    EXPECT_EQ(low->vendor, vendor);
    EXPECT_EQ(low->pic_mask, 0xfe);
    EXPECT_EQ(low->frame_pointer, 0x6ffe);
    EXPECT_EQ(low->stack_pointer, 0x7000);
    EXPECT_EQ(low->ticks, 3);
}

TEST(again)
{
    clear();
    pit_start();
    for (int i = 0; i < 5; i++) {
        low_memory()->ticks = 0;
        modes_run(NULL, true);
        EXPECT_EQ(low_memory()->ticks, 3);
    }
    pic_unmask(0);
}
