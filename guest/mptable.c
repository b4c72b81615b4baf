/* SPDX-License-Identifier: MIT
 *
 * The MP configuration table: processors, one ISA bus, one I/O APIC, and which wire is where.
 */
#include "guest/mptable.h"

#include "guest/address.h"
#include "lib/bits.h"
#include "lib/string.h"

#define MP_REVISION       4    /* of the specification: 1.4 */
#define LAPIC_VERSION     0x15 /* an integrated APIC, MPS 4.3.1; drivers/model/vlapic.c reads so */
#define IOAPIC_VERSION    0x20
#define CPU_SIGNATURE     0x600             /* family 6 */
#define CPU_FEATURES      (BIT(0) | BIT(9)) /* FPU, APIC */
#define ENABLED           BIT(0)
#define BOOTSTRAP         BIT(1)
#define ISA_BUS           0
#define LEVEL_ACTIVE_HIGH 0xd /* PO = 01, EL = 11, MPS 4.3.4 */
#define ALL_LAPICS        0xff

/* Interrupt types, MPS table 4-11. */
enum mp_interrupt_type { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };

struct mp_pointer {
    char signature[4];
    u32 table;
    u8 length; /* in 16 bytes */
    u8 revision, checksum;
    u8 feature[5]; /* [0] = 0: there is a table; [1] = 0: virtual wire mode, no IMCR */
};

struct mp_header {
    char signature[4];
    u16 length;
    u8 revision, checksum;
    char oem[8], product[12];
    u32 oem_table;
    u16 oem_size, entries;
    u32 lapic;
    u16 extended_length;
    u8 extended_checksum, reserved;
};

struct mp_processor {
    u8 type, apic_id, version, flags;
    u32 signature, features, reserved[2];
};

struct mp_bus {
    u8 type, id;
    char name[6];
};

struct mp_ioapic {
    u8 type, id, version, flags;
    u32 address;
};

struct mp_interrupt {
    u8 type, interrupt_type;
    u16 flags;
    u8 bus, irq, apic, pin;
};

_Static_assert(sizeof(struct mp_pointer) == 16, "MPS 4.1");
_Static_assert(sizeof(struct mp_header) == 44, "MPS 4.2");
_Static_assert(sizeof(struct mp_processor) == 20, "MPS 4.3.1");

enum mp_entry { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_IO_INTERRUPT, MP_LOCAL_INTERRUPT };

struct mp {
    u8 *out;
    u32 used;
    u16 entries;
};

static void add(struct mp *m, const void *entry, u32 size)
{
    memcpy(m->out + m->used, entry, size);
    m->used += size;
    m->entries++;
}

static void add_interrupts(struct mp *m, u8 ioapic)
{
    static const struct mp_interrupt local[] = {
        {MP_LOCAL_INTERRUPT, MP_EXTINT, 0, ISA_BUS, 0, ALL_LAPICS, 0},
        {MP_LOCAL_INTERRUPT, MP_NMI, 0, ISA_BUS, 0, ALL_LAPICS, 1},
    };

    for (u8 irq = 0; irq < 16; irq++) {
        struct mp_interrupt i = {MP_IO_INTERRUPT,
                                 MP_INT,
                                 irq == IRQ_SCI ? LEVEL_ACTIVE_HIGH : 0,
                                 ISA_BUS,
                                 irq,
                                 ioapic,
                                 irq == IRQ_PIT ? GSI_PIT : irq};

        if (irq != IRQ_CASCADE)
            add(m, &i, sizeof(i));
    }
    add(m, &local[0], sizeof(local[0]));
    add(m, &local[1], sizeof(local[1]));
}

u32 mptable_build(unsigned vcpus, u8 *out, u64 gpa)
{
    struct mp m = {.out = out, .used = sizeof(struct mp_pointer) + sizeof(struct mp_header)};
    struct mp_pointer p = {.signature = "_MP_",
                           .table = (u32)(gpa + sizeof(p)),
                           .length = sizeof(p) / 16,
                           .revision = MP_REVISION};
    struct mp_header h = {.signature = "PCMP",
                          .revision = MP_REVISION,
                          .oem = "VITRINE ",
                          .product = "BOARD       ",
                          .lapic = (u32)ADDR_LAPIC};
    const struct mp_bus bus = {MP_BUS, ISA_BUS, "ISA   "};
    const struct mp_ioapic ioapic = {MP_IOAPIC, IOAPIC_ID(vcpus), IOAPIC_VERSION, ENABLED,
                                     (u32)ADDR_IOAPIC};

    for (unsigned i = 0; i < vcpus; i++) {
        struct mp_processor cpu = {.type = MP_PROCESSOR,
                                   .apic_id = (u8)i,
                                   .version = LAPIC_VERSION,
                                   .flags = i == 0 ? ENABLED | BOOTSTRAP : ENABLED,
                                   .signature = CPU_SIGNATURE,
                                   .features = CPU_FEATURES};

        add(&m, &cpu, sizeof(cpu));
    }
    add(&m, &bus, sizeof(bus));
    add(&m, &ioapic, sizeof(ioapic));
    add_interrupts(&m, ioapic.id);
    p.checksum = table_checksum(&p, sizeof(p));
    h.entries = m.entries;
    h.length = (u16)(m.used - sizeof(p));
    memcpy(out, &p, sizeof(p));
    memcpy(out + sizeof(p), &h, sizeof(h));
    h.checksum = table_checksum(out + sizeof(p), h.length);
    memcpy(out + sizeof(p), &h, sizeof(h));
    return m.used;
}
