/* SPDX-License-Identifier: MIT
 *
 * A guest that tries to do harm: to every port, every MSR, and memory that is not its own.  It must
 * survive that, or be ended alone; the hypervisor and its prompt must go on.  Only under a
 * hypervisor: on the bare machine it would only break itself.
 *
 * Words on the command line choose a deed that this guest does not survive:
 *   triple     a triple fault                     halt    HLT with interrupts off
 *   spin       a loop with interrupts off         fetch   runs code where no memory is
 *   tables     page tables where no memory is     storm   exceptions without end
 */
#include "tests/guests/lib/guest.h"

/* Map the window's first page to any physical address. */
static volatile u8 *window_to(u64 physical)
{
    window_entry[0] = align_down(physical, PAGE_SIZE) | 7;
    page_flush();
    return (volatile u8 *)WINDOW + physical % PAGE_SIZE;
}

/* An access of 4 bytes at `port` touches one that ends or resets the machine, or speaks on COM1. */
static bool is_needed(unsigned port)
{
    static const struct {
        u16 first, last;
    } needed[] = {{0x64, 0x64},   {0x92, 0x92},   {0xf0, 0xf7},     {0x3f8, 0x3f8},
                  {0x400, 0x6ff}, {0xcf8, 0xcff}, {0x8900, 0x8900}, {0xb000, 0xb0ff}};

    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (port <= needed[i].last && port + 3 >= needed[i].first)
            return true;
    return false;
}

TEST(deadly_deed)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) none = {0, 0};

    if (!under_hypervisor())
        SKIP("no hypervisor");
    if (guest_option("triple")) {
        guest_print("doing: triple\n");
        __asm__ volatile("lidt %0; ud2" : : "m"(none));
    }
    if (guest_option("halt")) {
        guest_print("doing: halt\n");
        __asm__ volatile("cli; hlt");
    }
    if (guest_option("spin")) {
        guest_print("doing: spin\n");
        __asm__ volatile("cli; 1: jmp 1b");
    }
    if (guest_option("fetch")) {
        guest_print("doing: fetch\n");
        window_open();
        ((void (*)(void))window_to(0xd0000000))();
    }
    if (guest_option("tables")) {
        guest_print("doing: tables\n");
        write_cr3(0xd0000000);
    }
    if (guest_option("storm")) {
        guest_print("doing: storm\n");
        guest_idt[VECTOR_UD][0] &= 0x0000ffffffff0000; /* handled at 0: mov $0x8000,%esp; ud2 */
        guest_idt[VECTOR_UD][1] = 0;
        __asm__ volatile("xor %%eax, %%eax; mov %0, (%%rax); ud2"
                         :
                         : "r"(0x000b0f00008000bcull)
                         : "rax", "memory");
    }
    SKIP("none asked for");
}

#define WIDER 7 /* so many ports apart, at every alignment, there are wider accesses, too */

TEST(read_every_port)
{
    if (!under_hypervisor())
        SKIP("no hypervisor");
    for (unsigned port = 0; port < 0x10000; port++) {
        (void)inb((u16)port);
        if (port % WIDER)
            continue;
        (void)inw((u16)port);
        (void)inl((u16)port);
    }
    guest_serial_start();
}

TEST(write_every_port)
{
    if (!under_hypervisor())
        SKIP("no hypervisor");
    for (unsigned port = 0; port < 0x10000; port++) {
        if (is_needed(port))
            continue;
        outb((u16)port, 0xff);
        if (port % WIDER)
            continue;
        outw((u16)port, 0x5a5a);
        outl((u16)port, 0);
    }
    guest_serial_start();
}

static void try_msr(u32 msr)
{
    u64 old = 0;

    (void)CATCH(old = rdmsr(msr));
    (void)CATCH(wrmsr(msr, old));
    (void)CATCH(wrmsr(msr, 0xffff800012345678));
    (void)CATCH(wrmsr(msr, 0));
    (void)CATCH(wrmsr(msr, old));
}

TEST(every_msr)
{
    u32 seed = 1;

    if (!under_hypervisor())
        SKIP("no hypervisor");
    for (u32 i = 0; i < 0x2000; i++) {
        try_msr(i);
        try_msr(0xc0000000 + i);
        seed = seed * 1664525 + 1013904223;
        if (i % 16 == 0)
            try_msr(seed);
    }
}

/* Every power of two of physical address space, and what lies just below: whatever is not the
 * guest's own memory or a device reads all-ones and keeps nothing. */
TEST(memory_of_others)
{
    unsigned width = cpuid(0x80000008, 0).a & 0xff;

    if (!under_hypervisor())
        SKIP("no hypervisor");
    window_open();
    for (unsigned bit = 31; bit < width; bit++) {
        u64 at = BIT64(bit) + 0x10000000;
        volatile u64 *p = (volatile u64 *)(u64)window_to(at);
        u64 before = *p;

        *p = 0x1122334455667788;
        (void)*(volatile u8 *)((u64)p + 3);
        *(volatile u16 *)((u64)p + 1) = 0x4444;
        __asm__ volatile("lock incl %0" : "+m"(*p));
        if (before == ~0ull)
            EXPECT_EQ(*p, ~0ull);
    }
    window_close();
}

/* Sprays values over the pages of APIC and I/O APIC, with every width and unaligned. */
TEST(device_pages)
{
    static const u64 pages[] = {0xfec00000, 0xfee00000};
    u32 seed = 7;

    if (!under_hypervisor())
        SKIP("no hypervisor");
    for (int i = 0; i < 20000; i++) {
        u64 at = pages[i & 1];

        seed = seed * 1664525 + 1013904223;
        at += seed >> 20;
        if ((at & 0xff0) == 0x300) /* an INIT to oneself would end the test */
            continue;
        switch (seed & 3) {
        case 0: *(volatile u8 *)at = (u8)(seed >> 8); break;
        case 1: *(volatile u16 *)at = (u16)seed; break;
        case 2: *(volatile u32 *)at = seed; break;
        default: (void)*(volatile u64 *)at; break;
        }
    }
}

/* Control registers with every single bit turned over. */
TEST(control_registers)
{
    u64 cr0 = read_cr0(), cr4 = read_cr4(), cr3 = read_cr3();

    if (!under_hypervisor())
        SKIP("no hypervisor");
    for (unsigned bit = 0; bit < 64; bit++) {
        (void)CATCH(write_cr0(cr0 ^ BIT64(bit)); write_cr0(cr0));
        write_cr0(cr0);
        if (bit != 20) { /* SMEP: this code's pages are the user's */
            (void)CATCH(write_cr4(cr4 ^ BIT64(bit)); write_cr4(cr4));
            write_cr4(cr4);
        }
        (void)CATCH(write_cr8(BIT64(bit)));
        write_cr8(0);
        if (bit >= 52)
            (void)CATCH(write_cr3(cr3 ^ BIT64(bit)); write_cr3(cr3));
    }
}
