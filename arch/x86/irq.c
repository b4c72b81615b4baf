/* SPDX-License-Identifier: MIT
 *
 * Host interrupt routing.  ISA interrupts go through the I/O APIC where ACPI describes one, else
 * through the 8259 pair; handlers and counts are by vector, one table for both.
 */
#include "arch/x86/irq.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"

/* 8259A, datasheet: command and data ports, initialization words. */
#define PIC1_COMMAND  0x20
#define PIC1_DATA     0x21
#define PIC2_COMMAND  0xa0
#define PIC2_DATA     0xa1
#define ICW1_INIT_IC4 0x11
#define ICW4_8086     0x01
#define OCW2_EOI      0x20 /* non-specific */
#define OCW3_READ_ISR 0x0b
#define CASCADE_IRQ   2

/* I/O APIC, 82093AA datasheet, section 3. */
#define IOAPIC_SELECT          0x00
#define IOAPIC_WINDOW          0x10
#define IOAPIC_VERSION         0x01
#define IOAPIC_REDIRECTION(n)  (0x10 + 2 * (n))
#define REDIRECTION_ACTIVE_LOW BIT(13)
#define REDIRECTION_LEVEL      BIT(15)
#define REDIRECTION_MASKED     BIT(16)

struct ioapic {
    volatile u32 *registers;
    u32 gsi_base, count;
};

struct irq_handler {
    void (*fn)(void *ctx);
    void *ctx;
    u64 count;
};

static struct {
    struct irq_handler handler[256];
    struct ioapic ioapic[ACPI_MAX_IOAPICS];
    unsigned ioapic_count;
    u16 pic_mask;
    u64 unexpected;
} irq = {.pic_mask = 0xffff};

static u32 ioapic_read(const struct ioapic *io, u32 reg)
{
    io->registers[IOAPIC_SELECT / 4] = reg;
    return io->registers[IOAPIC_WINDOW / 4];
}

static void ioapic_write(const struct ioapic *io, u32 reg, u32 value)
{
    io->registers[IOAPIC_SELECT / 4] = reg;
    io->registers[IOAPIC_WINDOW / 4] = value;
}

static void pic_set_mask(u16 mask)
{
    irq.pic_mask = mask;
    outb(PIC1_DATA, (u8)mask);
    outb(PIC2_DATA, (u8)(mask >> 8));
}

/* Move the pair away from the exceptions' vectors, all masked.  Firmware may leave one pending. */
static void pic_init(void)
{
    outb(PIC1_COMMAND, ICW1_INIT_IC4);
    outb(PIC2_COMMAND, ICW1_INIT_IC4);
    outb(PIC1_DATA, IRQ_VECTOR_8259);
    outb(PIC2_DATA, IRQ_VECTOR_8259 + 8);
    outb(PIC1_DATA, 1 << CASCADE_IRQ);
    outb(PIC2_DATA, CASCADE_IRQ);
    outb(PIC1_DATA, ICW4_8086);
    outb(PIC2_DATA, ICW4_8086);
    pic_set_mask(0xffff);
}

static enum status ioapic_init(const struct acpi_ioapic *found)
{
    struct ioapic *io = &irq.ioapic[irq.ioapic_count];

    io->registers = mmio_map(HPA(found->address), PAGE_SIZE);
    if (!io->registers)
        return STATUS_ENOMEM;
    u32 version = ioapic_read(io, IOAPIC_VERSION);
    if (version == ~0u) {
        log_warn("irq", "no I/O APIC answers at %#lx, where ACPI says one is; ignored",
                 found->address);
        return STATUS_OK;
    }
    io->gsi_base = found->gsi_base;
    io->count = (version >> 16 & 0xff) + 1;
    for (u32 n = 0; n < io->count; n++)
        ioapic_write(io, IOAPIC_REDIRECTION(n), REDIRECTION_MASKED);
    irq.ioapic_count++;
    return STATUS_OK;
}

static void irq_apic_error(void *) { log_warn("apic", "local APIC error, ESR %#x", apic_error()); }

enum status irq_init(void)
{
    const struct acpi_info *acpi = acpi_info();
    enum status s = STATUS_OK;

    if (acpi->has_8259)
        pic_init();
    if (apic_present()) {
        s = irq_attach_vector(IRQ_VECTOR_ERROR, irq_apic_error, NULL);
        for (unsigned i = 0; i < acpi->ioapic_count && s == STATUS_OK; i++)
            s = ioapic_init(&acpi->ioapic[i]);
    }
    if (!irq_uses_ioapic())
        apic_enable_extint();
    log_info("irq", "ISA interrupts by %s",
             irq_uses_ioapic() ? "I/O APIC, 8259 masked" : "the 8259 pair");
    return s;
}

bool irq_uses_ioapic(void) { return irq.ioapic_count != 0; }

static u8 isa_vector(unsigned isa_irq)
{
    return (u8)((irq_uses_ioapic() ? IRQ_VECTOR_ISA : IRQ_VECTOR_8259) + isa_irq);
}

/* Program the I/O APIC's entry for an ISA interrupt. */
static enum status ioapic_route(unsigned isa_irq)
{
    const struct acpi_isa_irq *isa = &acpi_info()->isa[isa_irq];

    for (unsigned i = 0; i < irq.ioapic_count; i++) {
        const struct ioapic *io = &irq.ioapic[i];
        u32 n = isa->gsi - io->gsi_base;
        if (isa->gsi < io->gsi_base || n >= io->count)
            continue;
        ioapic_write(io, IOAPIC_REDIRECTION(n), REDIRECTION_MASKED);
        ioapic_write(io, IOAPIC_REDIRECTION(n) + 1, apic_id() << 24);
        ioapic_write(io, IOAPIC_REDIRECTION(n),
                     isa_vector(isa_irq) | (isa->active_low ? REDIRECTION_ACTIVE_LOW : 0) |
                         (isa->level ? REDIRECTION_LEVEL : 0));
        return STATUS_OK;
    }
    return STATUS_ENOENT;
}

static enum status unmask(unsigned isa_irq)
{
    if (irq_uses_ioapic())
        return ioapic_route(isa_irq);
    pic_set_mask((u16)(irq.pic_mask & ~(1u << isa_irq) & ~(1u << CASCADE_IRQ)));
    return STATUS_OK;
}

enum status irq_attach_vector(u8 vector, void (*fn)(void *ctx), void *ctx)
{
    struct irq_handler *h = &irq.handler[vector];

    if (vector < IRQ_VECTOR_8259)
        return STATUS_EINVAL;
    if (h->fn)
        return STATUS_EEXIST;
    h->ctx = ctx;
    h->fn = fn;
    return STATUS_OK;
}

enum status irq_attach(unsigned isa_irq, void (*fn)(void *ctx), void *ctx)
{
    if (isa_irq >= ACPI_ISA_IRQS || isa_irq == CASCADE_IRQ)
        return STATUS_EINVAL;
    if (!irq_uses_ioapic() && !acpi_info()->has_8259)
        return STATUS_ENOTSUP;
    TRY(irq_attach_vector(isa_vector(isa_irq), fn, ctx));
    return unmask(isa_irq);
}

/* The 8259 answers with its lowest-priority vector when the request vanished: then its in-service
 * bit is clear and no EOI is due (datasheet, "spurious interrupt"); the master's is, for the
 * slave's. */
static bool pic_spurious(u8 line)
{
    u16 command = line < 8 ? PIC1_COMMAND : PIC2_COMMAND;

    if ((line & 7) != 7)
        return false;
    outb(command, OCW3_READ_ISR);
    return !(inb(command) & 0x80);
}

static bool pic_end(u8 line)
{
    bool spurious = pic_spurious(line);

    if (line >= 8 && !spurious)
        outb(PIC2_COMMAND, OCW2_EOI);
    if (line >= 8 || !spurious)
        outb(PIC1_COMMAND, OCW2_EOI);
    return !spurious;
}

void irq_dispatch(u8 vector)
{
    struct irq_handler *h = &irq.handler[vector];
    bool real = true;

    h->count++;
    /* Ended before the handler runs: an edge that comes meanwhile is then delivered, not lost. */
    if (vector >= IRQ_VECTOR_8259 && vector < IRQ_VECTOR_8259 + 16)
        real = pic_end((u8)(vector - IRQ_VECTOR_8259));
    else if (vector == IRQ_VECTOR_SPURIOUS)
        real = false;
    else if (apic_present())
        apic_eoi();
    if (!real) {
        this_cpu()->spurious_interrupts++;
    } else if (h->fn) {
        h->fn(h->ctx);
    } else if (irq.unexpected++ == 0) {
        log_warn("irq", "interrupt vector %#x, which nobody handles; further ones are only counted",
                 vector);
    }
}

void irq_report(struct sink *s)
{
    sink_printf(s, "controller: %s\n", irq_uses_ioapic() ? "I/O APIC" : "8259");
    for (unsigned v = 0; v < ARRAY_SIZE(irq.handler); v++)
        if (irq.handler[v].count)
            sink_printf(s, "vector %#04x: %lu%s\n", v, irq.handler[v].count,
                        irq.handler[v].fn ? "" : " (no handler)");
    sink_printf(s, "spurious: %lu\n", this_cpu()->spurious_interrupts);
}
