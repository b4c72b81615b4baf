/* SPDX-License-Identifier: MIT
 *
 * The pure part of ACPI: from the RSDP to the tables, and what MADT, FADT and DSDT say.  Nothing is
 * believed before its length and checksum are verified.  ACPI specification 6.4, chapter 5.
 */
#include "arch/x86/acpi.h"
#include "lib/bits.h"
#include "lib/log.h"
#include "lib/string.h"

#define HEADER_SIZE    36u
#define TABLE_SIZE_MAX (16 * MiB)
#define LAPIC_DEFAULT  0xfee00000u

/* Little-endian fields at any alignment. */
static u16 get16(const u8 *p) { return (u16)(p[0] | p[1] << 8); }
static u32 get32(const u8 *p) { return get16(p) | (u32)get16(p + 2) << 16; }
static u64 get64(const u8 *p) { return get32(p) | (u64)get32(p + 4) << 32; }

static bool checksum_ok(const u8 *p, u32 size)
{
    u8 sum = 0;

    while (size--)
        sum = (u8)(sum + *p++);
    return sum == 0;
}

static void defaults(struct acpi_info *out)
{
    *out = (struct acpi_info){.lapic_address = LAPIC_DEFAULT, .has_8259 = true};
    for (u32 i = 0; i < ACPI_ISA_IRQS; i++)
        out->isa[i].gsi = i;
}

/* A whole table with header, verified; NULL, with the reason in the log, otherwise. */
static const u8 *map_table(u64 at, acpi_map_fn map, u32 *size)
{
    const u8 *p = map(at, HEADER_SIZE);

    if (!p) {
        log_warn("acpi", "the table at %#lx cannot be reached; ignored", at);
        return NULL;
    }
    *size = get32(p + 4);
    if (*size < HEADER_SIZE || *size > TABLE_SIZE_MAX) {
        log_warn("acpi", "the table at %#lx claims %u bytes; ignored", at, *size);
        return NULL;
    }
    p = map(at, *size);
    if (!p || !checksum_ok(p, *size)) {
        log_warn("acpi", "table %.4s at %#lx: %s; ignored", p ? (const char *)p : "?", at,
                 p ? "wrong checksum" : "cannot be reached");
        return NULL;
    }
    return p;
}

/* MADT entries, section 5.2.12.  Each is given at least the size in madt_kinds[]. */
static void madt_lapic(struct acpi_info *out, const u8 *e)
{
    u32 id = e[0] == 9 ? get32(e + 4) : e[3];
    u32 flags = e[0] == 9 ? get32(e + 8) : get32(e + 4);
    u32 broadcast = e[0] == 9 ? ~0u : 0xff;

    if (!(flags & 3) || id == broadcast)
        return; /* neither enabled nor ever to be: an empty socket */
    for (unsigned i = 0; i < out->cpu_count; i++)
        if (out->cpu[i].apic_id == id)
            return; /* some firmware lists a CPU both as type 0 and as type 9 */
    if (out->cpu_count == ACPI_MAX_CPUS) {
        log_warn("acpi", "more than %u CPUs: APIC ID %u is not used", ACPI_MAX_CPUS, id);
        return;
    }
    out->cpu[out->cpu_count++] = (struct acpi_cpu){id, flags & 1};
}

static void madt_ioapic(struct acpi_info *out, const u8 *e)
{
    if (out->ioapic_count == ACPI_MAX_IOAPICS) {
        log_warn("acpi", "more than %u I/O APICs: the one with ID %u is not used", ACPI_MAX_IOAPICS,
                 e[2]);
        return;
    }
    out->ioapic[out->ioapic_count++] =
        (struct acpi_ioapic){.id = e[2], .address = get32(e + 4), .gsi_base = get32(e + 8)};
}

static void madt_override(struct acpi_info *out, const u8 *e)
{
    u16 flags = get16(e + 8);

    if (e[2] != 0 || e[3] >= ACPI_ISA_IRQS) {
        log_warn("acpi", "override for bus %u, interrupt %u: not ISA; ignored", e[2], e[3]);
        return;
    }
    out->isa[e[3]] = (struct acpi_isa_irq){
        .gsi = get32(e + 4), .active_low = (flags & 3) == 3, .level = (flags >> 2 & 3) == 3};
}

static void madt_lapic_address(struct acpi_info *out, const u8 *e)
{
    out->lapic_address = get64(e + 4);
}

static const struct {
    u8 type, size;
    void (*take)(struct acpi_info *out, const u8 *entry);
} madt_kinds[] = {
    {0, 8, madt_lapic},          {1, 12, madt_ioapic}, {2, 10, madt_override},
    {5, 12, madt_lapic_address}, {9, 16, madt_lapic},
};

static enum status parse_madt(struct acpi_info *out, const u8 *p, u32 size, acpi_map_fn)
{
    if (size < 44)
        return STATUS_ETRUNC;
    out->lapic_address = get32(p + 36);
    out->has_8259 = get32(p + 40) & 1;
    for (u32 at = 44; at < size; at += p[at + 1]) {
        if (size - at < 2 || p[at + 1] < 2 || p[at + 1] > size - at)
            return STATUS_EFORMAT;
        for (unsigned k = 0; k < ARRAY_SIZE(madt_kinds); k++)
            if (madt_kinds[k].type == p[at] && p[at + 1] >= madt_kinds[k].size)
                madt_kinds[k].take(out, p + at);
    }
    return STATUS_OK;
}

/* An AML integer constant (section 20.2.3) at *at, advancing it; false when it is none. */
static bool aml_integer(const u8 *p, u32 size, u32 *at, u16 *out)
{
    u32 left = size - *at;

    if (left >= 1 && p[*at] <= 1) { /* ZeroOp, OneOp */
        *out = p[*at];
        *at += 1;
    } else if (left >= 2 && p[*at] == 0x0a) { /* BytePrefix */
        *out = p[*at + 1];
        *at += 2;
    } else if (left >= 3 && p[*at] == 0x0b) { /* WordPrefix */
        *out = get16(p + *at + 1);
        *at += 3;
    } else {
        return false;
    }
    return true;
}

/* Name(\_S5, Package(){a, b, ...}) in the DSDT's AML (sections 7.4.2, 20.2.5.4). */
static void parse_dsdt(struct acpi_info *out, const u8 *p, u32 size)
{
    for (u32 i = HEADER_SIZE + 1; i + 8 < size; i++) {
        bool named = p[i - 1] == 0x08 || (p[i - 1] == '\\' && p[i - 2] == 0x08);
        if (!named || memcmp(p + i, "_S5_\x12", 5) != 0)
            continue;
        u32 at = i + 5 + 1 + (p[i + 5] >> 6) + 1; /* PkgLength, NumElements */
        u16 a, b;
        if (at < size && aml_integer(p, size, &at, &a) && at < size) {
            out->s5_type_a = out->s5_type_b = a;
            if (aml_integer(p, size, &at, &b))
                out->s5_type_b = b;
            out->can_power_off = out->pm1a_control != 0;
            return;
        }
    }
}

/* Fixed ACPI description table, section 5.2.9. */
static enum status parse_fadt(struct acpi_info *out, const u8 *p, u32 size, acpi_map_fn map)
{
    if (size < 116)
        return STATUS_ETRUNC;

    u32 flags = get32(p + 112), dsdt_size;
    u64 dsdt = size >= 148 && get64(p + 140) ? get64(p + 140) : get32(p + 40);

    out->pm1a_control = (u16)get32(p + 64);
    out->pm1b_control = (u16)get32(p + 68);
    if (size >= 129 && (flags & BIT(10))) { /* RESET_REG_SUP */
        out->reset_space = p[116];
        out->reset_address = get64(p + 120);
        out->reset_value = p[128];
    }
    const u8 *aml = dsdt ? map_table(dsdt, map, &dsdt_size) : NULL;
    if (aml)
        parse_dsdt(out, aml, dsdt_size);
    return STATUS_OK;
}

/* Serial port console redirection, Microsoft's SPCR specification 1.07. */
static enum status parse_spcr(struct acpi_info *out, const u8 *p, u32 size, acpi_map_fn)
{
    static const u32 bauds[] = {[3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200};
    struct acpi_serial *s = &out->serial;

    if (size < 59)
        return STATUS_ETRUNC;
    u8 kind = p[36], space = p[40], width = p[41], access = p[43], baud = p[58];
    if ((kind != 0 && kind != 1 && kind != 0x12) || space > 1)
        return STATUS_OK; /* another kind of port than a 16550's */
    s->address = get64(p + 44);
    s->memory = space == 0;
    s->stride = access == 3 || (access == 0 && width == 32) ? 4 : 1;
    s->irq = p[52] & 1 && p[53] < ACPI_ISA_IRQS ? p[53] : 0;
    s->baud = baud < ARRAY_SIZE(bauds) ? bauds[baud] : 0;
    return STATUS_OK;
}

static const struct {
    char signature[5];
    enum status (*parse)(struct acpi_info *out, const u8 *p, u32 size, acpi_map_fn map);
} table_kinds[] = {{"APIC", parse_madt}, {"FACP", parse_fadt}, {"SPCR", parse_spcr}};

static enum status take_table(struct acpi_info *out, u64 at, acpi_map_fn map)
{
    u32 size;
    const u8 *p = map_table(at, map, &size);

    if (!p)
        return STATUS_EFORMAT;
    out->table_count++;
    for (unsigned k = 0; k < ARRAY_SIZE(table_kinds); k++) {
        if (memcmp(table_kinds[k].signature, p, 4) != 0)
            continue;
        enum status s = table_kinds[k].parse(out, p, size, map);
        if (s != STATUS_OK)
            log_warn("acpi", "table %.4s is %s; what was read before that is used", (const char *)p,
                     status_text(s));
        return s;
    }
    return STATUS_OK;
}

/* The root table under a verified RSDP: XSDT where there is one (section 5.2.5.3). */
static enum status walk_root(struct acpi_info *out, const u8 *rsdp, acpi_map_fn map)
{
    bool extended = rsdp[15] >= 2 && get64(rsdp + 24) != 0;
    u64 at = extended ? get64(rsdp + 24) : get32(rsdp + 16);
    u32 size, width = extended ? 8 : 4;
    const u8 *p = map_table(at, map, &size);
    enum status status = STATUS_OK;

    if (!p || memcmp(p, extended ? "XSDT" : "RSDT", 4) != 0) {
        log_warn("acpi", "no valid root table at %#lx", at);
        return STATUS_EFORMAT;
    }
    out->present = true;
    for (u32 i = HEADER_SIZE; size - i >= width; i += width) {
        u64 table = extended ? get64(p + i) : get32(p + i);
        if (table != 0 && take_table(out, table, map) != STATUS_OK)
            status = STATUS_EFORMAT;
    }
    return status;
}

/* The RSDP at an address, verified (section 5.2.5.3), or NULL. */
static const u8 *rsdp_at(u64 at, acpi_map_fn map)
{
    const u8 *p = map(at, 20);

    if (!p || memcmp(p, "RSD PTR ", 8) != 0 || !checksum_ok(p, 20))
        return NULL;
    if (p[15] < 2)
        return p;
    p = map(at, 36);
    return p && get32(p + 20) >= 36 && checksum_ok(p, 36) ? p : NULL;
}

enum status acpi_parse(struct acpi_info *out, u64 rsdp, acpi_map_fn map)
{
    defaults(out);
    if (rsdp == 0)
        return STATUS_ENOENT;
    const u8 *p = rsdp_at(rsdp, map);
    if (!p) {
        log_warn("acpi", "the RSDP at %#lx is not valid", rsdp);
        return STATUS_EFORMAT;
    }
    return walk_root(out, p, map);
}

u64 acpi_scan_rsdp(acpi_map_fn map)
{
    const u8 *bda = map(0x40e, 2); /* segment of the extended BIOS data area */
    u64 ebda = bda ? (u64)get16(bda) << 4 : 0;
    const struct {
        u64 base, size;
    } areas[] = {{ebda, KiB}, {0xe0000, 128 * KiB}}; /* section 5.2.5.1 */

    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++)
        for (u64 at = areas[i].base; areas[i].base && at < areas[i].base + areas[i].size; at += 16)
            if (rsdp_at(at, map))
                return at;
    return 0;
}
