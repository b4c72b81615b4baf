/* SPDX-License-Identifier: MIT
 *
 * The ACPI tables, by ACPI 6.4: section numbers are of that.  Tables with many fields are written
 * from lists of offset, width and value.
 */
#include "guest/acpi.h"

#include "drivers/model/vpm.h"
#include "drivers/model/vrtc.h"
#include "guest/address.h"
#include "guest/mptable.h"
#include "lib/bits.h"
#include "lib/string.h"

#define OEM_ID       "VITRIN"
#define OEM_TABLE_ID "VITRINE "
#define CREATOR_ID   "VTRN"

#define RSDP_SIZE     36u
#define RSDP_V1_SIZE  20u
#define SDT_HEADER    36u
#define FADT_SIZE     276u
#define FADT_REVISION 6
#define FACS_SIZE     64u

/* Fixed feature flags of the FADT, 5.2.9, table 5.10. */
#define FADT_WBINVD        BIT(0)
#define FADT_PROC_C1       BIT(2)
#define FADT_SLP_BUTTON    BIT(5) /* there is none */
#define FADT_FIX_RTC       BIT(6) /* no RTC wake status in PM1 */
#define FADT_TMR_VAL_EXT   BIT(8) /* the PM timer has 32 bits */
#define FADT_RESET_REG_SUP BIT(10)
#define FADT_HEADLESS      BIT(12)

/* IA-PC boot architecture flags, 5.2.9.3: an 8042 answers, but has no keyboard, so it is not
 * announced. */
#define BOOT_LEGACY_DEVICES BIT(0)
#define BOOT_NO_VGA         BIT(2)

#define NO_C2 0xfff /* latencies in us that mean "not supported", 5.2.9 */
#define NO_C3 0xfff

#define SPACE_IO       1 /* generic address structure, 5.2.3.2 */
#define MADT_PCAT      BIT(0)
#define OVERRIDE_LEVEL 0xd /* active high, level-triggered: table 5.26 */

struct area {
    u8 *host;
    u64 gpa;
    u32 used;
};

struct field {
    u16 at;
    u8 width;
    u64 value;
};

static void put_fields(u8 *table, const struct field *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        memcpy(table + f[i].at, &f[i].value, f[i].width);
}

/* The next `align`ed byte of the area; its offset. */
static u32 area_take(struct area *a, u32 size, u32 align)
{
    u32 at = (u32)align_up(a->used, align);

    a->used = at + size;
    return at;
}

/* A system description table, 5.2.6, begins here; what is added to the area until sdt_end() is
 * its contents. */
static u32 sdt_begin(struct area *a, const char *signature, u8 revision, u32 size)
{
    u32 at = area_take(a, size, 16);
    u8 *t = a->host + at;

    memcpy(t, signature, 4);
    t[8] = revision;
    memcpy(t + 10, OEM_ID, 6);
    memcpy(t + 16, OEM_TABLE_ID, 8);
    t[24] = 1; /* OEM revision */
    memcpy(t + 28, CREATOR_ID, 4);
    t[32] = 1; /* creator revision */
    return at;
}

static u64 sdt_end(struct area *a, u32 at)
{
    u32 size = a->used - at;

    memcpy(a->host + at + 4, &size, 4);
    a->host[at + 9] = table_checksum(a->host + at, size);
    return a->gpa + at;
}

/* --- DSDT ------------------------------------------------------------------------------------- */

/* Made from guest/dsdt.asl. */
extern const u8 guest_dsdt[], guest_dsdt_end[];

/* What lies behind a scope, ACPI 6.4, 20.2.4: its length is of one or of two bytes. */
static const u8 *behind_scope(const u8 *at)
{
    return at + 1 + (at[1] >> 6 ? (at[1] & 0xf) | (u32)at[2] << 4 : at[1]);
}

/* Two scopes for the board, then one for each processor there may be. */
static u64 build_dsdt(struct area *area, unsigned vcpus)
{
    const u8 *body = guest_dsdt + SDT_HEADER, *end = body;
    u32 at = sdt_begin(area, "DSDT", 2, SDT_HEADER), size;

    for (unsigned i = 0; i < 2 + vcpus && end < guest_dsdt_end; i++)
        end = behind_scope(end);
    size = (u32)(end - body);
    memcpy(area->host + area_take(area, size, 1), body, size);
    return sdt_end(area, at);
}

/* --- FACS, FADT, MADT ------------------------------------------------------------------------- */

/* 5.2.10; not a system description table, no checksum, 64-byte aligned. */
static u64 build_facs(struct area *a)
{
    u32 at = area_take(a, FACS_SIZE, 64);
    u8 *t = a->host + at;

    memcpy(t, "FACS", 4);
    t[4] = FACS_SIZE;
    t[32] = 2; /* version */
    return a->gpa + at;
}

/* A generic address structure in I/O space; access: 1 byte, 2 word, 3 double word. */
#define GAS_IO(at, bits, access, port) \
    {(at), 1, SPACE_IO}, {(at) + 1, 1, (bits)}, {(at) + 3, 1, (access)}, { (at) + 4, 8, (port) }

/* 5.2.9, table 5.9; the machine is in ACPI mode from the start: SMI_CMD is 0. */
static u64 build_fadt(struct area *a, u64 facs, u64 dsdt)
{
    const struct field fields[] = {
        {36, 4, facs},
        {40, 4, dsdt},
        {46, 2, IRQ_SCI},
        {56, 4, PORT_PM + VPM_PM1A_EVT},
        {64, 4, PORT_PM + VPM_PM1A_CNT},
        {76, 4, PORT_PM + VPM_PM_TMR},
        {88, 1, 4}, /* PM1_EVT_LEN */
        {89, 1, 2}, /* PM1_CNT_LEN */
        {91, 1, 4}, /* PM_TMR_LEN */
        {96, 2, NO_C2},
        {98, 2, NO_C3},
        {108, 1, VRTC_CENTURY},
        {109, 2, BOOT_LEGACY_DEVICES | BOOT_NO_VGA},
        {112, 4,
         FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_TMR_VAL_EXT |
             FADT_RESET_REG_SUP | FADT_HEADLESS},
        GAS_IO(116, 8, 1, PORT_RESET),
        {128, 1, RESET_VALUE},
        {131, 1, 4}, /* minor revision */
        {140, 8, dsdt},
        GAS_IO(148, 32, 2, PORT_PM + VPM_PM1A_EVT),
        GAS_IO(172, 16, 2, PORT_PM + VPM_PM1A_CNT),
        GAS_IO(208, 32, 3, PORT_PM + VPM_PM_TMR),
    };
    u32 at = sdt_begin(a, "FACP", FADT_REVISION, FADT_SIZE);

    put_fields(a->host + at, fields, ARRAY_SIZE(fields));
    return sdt_end(a, at);
}

static void add_entry(struct area *a, const void *entry, u32 size)
{
    memcpy(a->host + area_take(a, size, 1), entry, size);
}

/* 5.2.12: processors (5.2.12.2), the I/O APIC (5.2.12.3) with interrupts from 0 on, overrides
 * (5.2.12.5) and the NMI at LINT1 of all processors (5.2.12.7). */
static u64 build_madt(struct area *a, unsigned vcpus)
{
    const u32 lapic = (u32)ADDR_LAPIC, io_at = (u32)ADDR_IOAPIC;
    const u8 pit[10] = {2, sizeof(pit), 0, IRQ_PIT, GSI_PIT};
    const u8 sci[10] = {2, sizeof(sci), 0, IRQ_SCI, IRQ_SCI, 0, 0, 0, OVERRIDE_LEVEL};
    const u8 nmi[6] = {4, sizeof(nmi), 0xff, 0, 0, 1};
    u8 ioapic[12] = {1, sizeof(ioapic), IOAPIC_ID(vcpus)};
    u32 at = sdt_begin(a, "APIC", 4, SDT_HEADER + 8);

    memcpy(a->host + at + 36, &lapic, 4);
    a->host[at + 40] = MADT_PCAT;
    for (unsigned i = 0; i < vcpus; i++)
        add_entry(a, (const u8[]){0, 8, (u8)i, (u8)i, 1, 0, 0, 0}, 8);
    memcpy(ioapic + 4, &io_at, 4);
    add_entry(a, ioapic, sizeof(ioapic));
    add_entry(a, pit, sizeof(pit));
    add_entry(a, sci, sizeof(sci));
    add_entry(a, nmi, sizeof(nmi));
    return sdt_end(a, at);
}

/* --- The roots -------------------------------------------------------------------------------- */

/* RSDT (entries of 4 bytes, 5.2.7) or XSDT (of 8, 5.2.8). */
static u64 build_root(struct area *a, const char *signature, unsigned width, u64 fadt, u64 madt)
{
    u32 at = sdt_begin(a, signature, 1, SDT_HEADER + 2 * width);
    const struct field entries[] = {
        {SDT_HEADER, (u8)width, fadt},
        {(u16)(SDT_HEADER + width), (u8)width, madt},
    };

    put_fields(a->host + at, entries, ARRAY_SIZE(entries));
    return sdt_end(a, at);
}

/* 5.2.5.3 */
static void build_rsdp(u8 *t, u64 rsdt, u64 xsdt)
{
    const struct field fields[] = {
        {15, 1, 2}, /* revision: ACPI 2.0 and later */
        {16, 4, rsdt},
        {20, 4, RSDP_SIZE},
        {24, 8, xsdt},
    };

    memcpy(t, "RSD PTR ", 8);
    memcpy(t + 9, OEM_ID, 6);
    put_fields(t, fields, ARRAY_SIZE(fields));
    t[8] = table_checksum(t, RSDP_V1_SIZE);
    t[32] = table_checksum(t, RSDP_SIZE);
}

void acpi_build(unsigned vcpus, u8 *area, u64 gpa, struct acpi_tables *out)
{
    struct area a = {area, gpa, 0};
    u32 mp, rsdp;

    memset(area, 0, ACPI_AREA_SIZE);
    rsdp = area_take(&a, RSDP_SIZE, 16);
    out->rsdp = gpa + rsdp;
    out->facs = build_facs(&a);
    out->dsdt = build_dsdt(&a, vcpus);
    out->fadt = build_fadt(&a, out->facs, out->dsdt);
    out->madt = build_madt(&a, vcpus);
    out->rsdt = build_root(&a, "RSDT", 4, out->fadt, out->madt);
    out->xsdt = build_root(&a, "XSDT", 8, out->fadt, out->madt);
    build_rsdp(area + rsdp, out->rsdt, out->xsdt);
    mp = area_take(&a, 0, 16);
    out->mp = gpa + mp;
    out->used = mp + mptable_build(vcpus, area + mp, out->mp);
}
