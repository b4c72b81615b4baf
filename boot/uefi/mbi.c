/* SPDX-License-Identifier: MIT
 *
 * What the firmware tells, as Multiboot 2 information (specification 2.0, section 3.6), so that the
 * hypervisor has one parser for both.
 */
#include "boot/multiboot.h"
#include "boot/uefi/uefi.h"
#include "lib/string.h"

#define INFO_HEADER 8u
/* Command lines, and a few thousand ranges of memory. */
#define INFO_CAP (256 * KiB)
#define LOADER   "Vitrine's application"

/* A tag with room for `size` bytes in all; NULL when it does not fit. */
static void *add_tag(struct mbi *m, u32 type, u64 size)
{
    struct multiboot_tag *tag = (void *)(m->data + m->size);

    if (size > m->cap - m->size - MULTIBOOT_TAG_ALIGN)
        return NULL;
    *tag = (struct multiboot_tag){type, (u32)size};
    m->size += (u32)align_up(size, MULTIBOOT_TAG_ALIGN);
    return tag;
}

static void add_bytes(struct mbi *m, u32 type, const void *bytes, u64 size)
{
    struct multiboot_tag *tag = add_tag(m, type, sizeof(*tag) + size);

    if (tag)
        memcpy(tag + 1, bytes, size);
}

static void add_rsdp(struct mbi *m, const EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
    bool found = false;

    for (UINTN i = 0; i < system->NumberOfTableEntries; i++) {
        const EFI_CONFIGURATION_TABLE *t = &system->ConfigurationTable[i];
        bool new = memcmp(&t->VendorGuid, &acpi2, sizeof(acpi2)) == 0;

        if (new || memcmp(&t->VendorGuid, &acpi1, sizeof(acpi1)) == 0) {
            add_bytes(m, new ? MULTIBOOT_TAG_TYPE_ACPI_NEW : MULTIBOOT_TAG_TYPE_ACPI_OLD,
                      t->VendorTable, new ? 36 : 20);
            found = true;
        }
    }
    if (!found)
        log_warn("uefi", "the firmware has no ACPI tables: one CPU and a PC's devices are assumed");
}

/* Lowest bit and number of bits of a colour's mask. */
static void put_colour(u8 out[2], u32 mask)
{
    out[0] = mask ? (u8)__builtin_ctz(mask) : 0;
    for (out[1] = 0; mask; mask &= mask - 1)
        out[1]++;
}

static void add_framebuffer(struct mbi *m, const struct uefi *u)
{
    EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
    u32 mask[3] = {0xff, 0xff00, 0xff0000};
    void *found;

    if (EFI_ERROR(u->boot->LocateProtocol(&guid, NULL, &found))) {
        log_info("uefi", "no graphics output: text goes to a serial port, if there is one");
        return;
    }
    const EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE *mode = ((EFI_GRAPHICS_OUTPUT_PROTOCOL *)found)->Mode;
    const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *i = mode->Info;
    if (i->PixelFormat == PixelBltOnly) {
        log_warn("uefi", "the screen has no frame buffer: it stays as it is once Vitrine runs");
        return;
    }
    if (i->PixelFormat == PixelBitMask)
        memcpy(mask, &i->PixelInformation, sizeof(mask));
    else if (i->PixelFormat == PixelBlueGreenRedReserved8BitPerColor)
        mask[0] = 0xff0000, mask[2] = 0xff;
    struct multiboot_tag_framebuffer *t = add_tag(m, MULTIBOOT_TAG_TYPE_FRAMEBUFFER, sizeof(*t));
    if (!t)
        return;
    t->framebuffer_addr = mode->FrameBufferBase;
    t->framebuffer_pitch = i->PixelsPerScanLine * 4;
    t->framebuffer_width = i->HorizontalResolution;
    t->framebuffer_height = i->VerticalResolution;
    t->framebuffer_bpp = 32;
    t->framebuffer_type = MULTIBOOT_FRAMEBUFFER_TYPE_RGB;
    t->reserved = 0;
    for (unsigned n = 0; n < 3; n++)
        put_colour(&t->framebuffer_color[2 * n], mask[n]);
    log_info("uefi", "screen: %u x %u pixels at %#lx", t->framebuffer_width, t->framebuffer_height,
             t->framebuffer_addr);
}

bool mbi_begin(struct mbi *m, const struct uefi *u, const char *cmdline)
{
    u64 system = (u64)u->system;

    *m = (struct mbi){uefi_allocate(u, INFO_CAP, EfiLoaderData), INFO_HEADER, INFO_CAP};
    if (!m->data)
        return false;
    add_bytes(m, MULTIBOOT_TAG_TYPE_CMDLINE, cmdline, strlen(cmdline) + 1);
    add_bytes(m, MULTIBOOT_TAG_TYPE_BOOT_LOADER_NAME, LOADER, sizeof(LOADER));
    add_bytes(m, MULTIBOOT_TAG_TYPE_EFI64, &system, sizeof(system));
    add_rsdp(m, u->system);
    add_framebuffer(m, u);
    return true;
}

void mbi_add_module(struct mbi *m, const void *at, u64 size, const char *cmdline)
{
    struct multiboot_tag_module *t =
        add_tag(m, MULTIBOOT_TAG_TYPE_MODULE, sizeof(*t) + strlen(cmdline) + 1);

    if (!t)
        return; /* cannot be: INFO_CAP holds every command line there may be */
    t->mod_start = (u32)(u64)at;
    t->mod_end = (u32)((u64)at + size);
    memcpy(t + 1, cmdline, strlen(cmdline) + 1);
}

bool mbi_is_usable(const EFI_MEMORY_DESCRIPTOR *d)
{
    switch (d->Type) {
    case EfiLoaderCode:
    case EfiLoaderData:
    case EfiBootServicesCode:
    case EfiBootServicesData:
    case EfiConventionalMemory: return d->Attribute & EFI_MEMORY_WB;
    default: return false;
    }
}

static u32 memory_type(const EFI_MEMORY_DESCRIPTOR *d)
{
    if (mbi_is_usable(d))
        return MEM_USABLE;
    return d->Type == EfiACPIReclaimMemory ? MEM_ACPI
           : d->Type == EfiACPIMemoryNVS   ? MEM_NVS
           : d->Type == EfiUnusableMemory  ? MEM_BAD
                                           : MEM_RESERVED;
}

bool mbi_has_room(const struct mbi *m, UINTN ranges)
{
    return ranges * sizeof(struct multiboot2_mmap_entry) + sizeof(struct multiboot_tag_mmap) +
               2 * sizeof(struct multiboot_tag) <=
           m->cap - m->size;
}

/* Neighbours of one type become one: firmware keeps hundreds of small ranges. */
void mbi_end(struct mbi *m, const u8 *map, UINTN size, UINTN descriptor_size)
{
    struct multiboot_tag_mmap *t = (void *)(m->data + m->size);
    struct multiboot2_mmap_entry *first = (void *)(t + 1), *e = first;

    for (UINTN at = 0; at + descriptor_size <= size; at += descriptor_size) {
        const EFI_MEMORY_DESCRIPTOR *d = (const void *)(map + at);
        u64 bytes = d->NumberOfPages * PAGE_SIZE;
        u32 type = memory_type(d);

        if (e > first && e[-1].type == type && e[-1].addr + e[-1].len == d->PhysicalStart)
            e[-1].len += bytes;
        else
            *e++ = (struct multiboot2_mmap_entry){d->PhysicalStart, bytes, type, 0};
    }
    t->tag = (struct multiboot_tag){MULTIBOOT_TAG_TYPE_MMAP, (u32)((u8 *)e - (u8 *)t)};
    t->entry_size = sizeof(*e);
    t->entry_version = 0;
    *(struct multiboot_tag *)(void *)e = (struct multiboot_tag){MULTIBOOT_TAG_TYPE_END, 8};
    m->size = (u32)((u8 *)e - m->data) + 8;
    *(struct multiboot_tag *)(void *)m->data = (struct multiboot_tag){m->size, 0}; /* the header */
}
