/* SPDX-License-Identifier: MIT
 *
 * The UEFI application against made-up firmware: what it tells the hypervisor is read back by the
 * hypervisor's own parser, and firmware that changes its mind while it is left is outlived.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "arch/x86/memmap.c"
#include "boot/boot_info.c"
#include "boot/multiboot2.c"
#include "boot/uefi/cfg.c"
#include "boot/uefi/main.c"
#include "boot/uefi/mbi.c"
#include "boot/uefi/volume.c"

const u8 uefi_kernel[16] = {0, 0x40, 0x0c, 0, 0, 0, 0x10, 0}, uefi_kernel_end[1]; /* 784 KiB */
const u8 uefi_handover[1], uefi_handover_end[1];

static struct {
    unsigned exits, refusals; /* calls, and how many of them fail */
    bool no_map;
    UINTN key;
    u64 map[64][6]; /* descriptors of 48 bytes, more than the specification's 40 */
    unsigned map_count;
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
} firmware;

static EFI_STATUS EFIAPI allocate(EFI_ALLOCATE_TYPE type, EFI_MEMORY_TYPE, UINTN pages,
                                  EFI_PHYSICAL_ADDRESS *at)
{
    void *p = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    assert_int_equal(type, AllocateMaxAddress);
    if (p == MAP_FAILED)
        return EFI_OUT_OF_RESOURCES;
    *at = (u64)p;
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI get_map(UINTN *size, EFI_MEMORY_DESCRIPTOR *map, UINTN *key, UINTN *each,
                                 UINT32 *version)
{
    UINTN need = firmware.map_count * sizeof(firmware.map[0]);

    *each = sizeof(firmware.map[0]);
    *version = 1;
    if (firmware.no_map || *size < need) {
        *size = need;
        return EFI_BUFFER_TOO_SMALL;
    }
    memcpy(map, firmware.map, need);
    *size = need;
    *key = firmware.key;
    return EFI_SUCCESS;
}

/* Each refusal comes with a change of the map. */
static EFI_STATUS EFIAPI exit_boot_services(EFI_HANDLE, UINTN key)
{
    assert_int_equal(key, firmware.key);
    if (firmware.exits++ >= firmware.refusals)
        return EFI_SUCCESS;
    firmware.key++;
    firmware.map[firmware.map_count][0] = EfiBootServicesData;
    firmware.map[firmware.map_count++][3] = 1;
    return EFI_INVALID_PARAMETER;
}

static EFI_STATUS EFIAPI locate(EFI_GUID *guid, void *, void **found)
{
    EFI_GUID gop = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;

    if (memcmp(guid, &gop, sizeof(gop)) != 0 || !firmware.gop)
        return EFI_NOT_FOUND;
    *found = firmware.gop;
    return EFI_SUCCESS;
}

static EFI_BOOT_SERVICES services = {.AllocatePages = allocate,
                                     .GetMemoryMap = get_map,
                                     .ExitBootServices = exit_boot_services,
                                     .LocateProtocol = locate};
static EFI_SYSTEM_TABLE system_table = {.BootServices = &services};
static const struct uefi u = {.system = &system_table, .boot = &services};

static void put_range(EFI_MEMORY_TYPE type, u64 at, u64 pages, u64 attributes)
{
    u64 *d = firmware.map[firmware.map_count++];

    d[0] = type | 0xabcd00000000ull; /* padding is not to be looked at */
    d[1] = at;
    d[3] = pages;
    d[4] = attributes;
}

static int reset(void **)
{
    memset(&firmware, 0, sizeof(firmware));
    firmware.key = 77;
    return 0;
}

static const void *map_any(u64 at, u64 size)
{
    return range_within(at, size, 4 * GiB) ? (const void *)at : NULL;
}

static void information(void **)
{
    static u8 rsdp1[20] = "RSD PTR 1", rsdp2[36] = "RSD PTR 2", file[3];
    static EFI_CONFIGURATION_TABLE tables[] = {
        {ACPI_20_TABLE_GUID, rsdp2}, {{0}, file}, {ACPI_TABLE_GUID, rsdp1}};
    static EFI_GRAPHICS_OUTPUT_MODE_INFORMATION mode = {
        0, 1280, 800, PixelBlueGreenRedReserved8BitPerColor, {0, 0, 0, 0}, 1284};
    static EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE modes = {.Info = &mode,
                                                      .FrameBufferBase = 0x4080000000ull};
    static EFI_GRAPHICS_OUTPUT_PROTOCOL gop = {.Mode = &modes};
    static struct boot_info info;
    struct mbi m;

    system_table.ConfigurationTable = tables;
    system_table.NumberOfTableEntries = ARRAY_SIZE(tables);
    firmware.gop = &gop;
    put_range(EfiBootServicesData, 0, 160, EFI_MEMORY_WB);
    put_range(EfiConventionalMemory, MiB, 255, EFI_MEMORY_WB | EFI_MEMORY_UC);
    put_range(EfiLoaderCode, MiB + 255 * PAGE_SIZE, 1, EFI_MEMORY_WB);
    put_range(EfiACPIMemoryNVS, 2 * MiB, 1, EFI_MEMORY_WB);
    put_range(EfiConventionalMemory, 3 * MiB, 256, EFI_MEMORY_UC); /* not cached: no RAM to us */
    put_range(EfiRuntimeServicesData, 4 * MiB, 1, EFI_MEMORY_WB | EFI_MEMORY_RUNTIME);
    put_range(EfiACPIReclaimMemory, 5 * MiB, 2, EFI_MEMORY_WB);
    put_range(EfiMemoryMappedIO, 0xfe000000, 16, EFI_MEMORY_UC);
    put_range(EfiUnusableMemory, 6 * MiB, 1, EFI_MEMORY_WB);
    put_range(0x80000001, 7 * MiB, 1, EFI_MEMORY_WB); /* a vendor's type */
    assert_true(mbi_begin(&m, &u, "vitrine log=debug"));
    mbi_add_module(&m, (void *)0x12345000, 0x321, "/EFI/vitrine/x guest=a");
    assert_true(mbi_has_room(&m, firmware.map_count));
    assert_false(mbi_has_room(&m, 20000));
    mbi_end(&m, (u8 *)firmware.map, firmware.map_count * sizeof(firmware.map[0]), 48);

    assert_int_equal(multiboot2_parse(&info, (u64)m.data, map_any), STATUS_OK);
    assert_string_equal(info.cmdline, "vitrine log=debug");
    assert_string_equal(info.loader, LOADER);
    assert_true(info.efi);
    assert_int_equal(info.module_count, 1);
    assert_int_equal(info.module[0].at.v, 0x12345000);
    assert_int_equal(info.module[0].size, 0x321);
    assert_string_equal(info.module[0].cmdline, "/EFI/vitrine/x guest=a");
    assert_int_equal(info.rsdp_copy_size, 36); /* the new one wins */
    assert_memory_equal(info.rsdp_copy, rsdp2, 36);
    assert_int_equal(info.framebuffer.address, 0x4080000000ull);
    assert_int_equal(info.framebuffer.pitch, 1284 * 4);
    assert_int_equal(info.framebuffer.width, 1280);
    assert_int_equal(info.framebuffer.height, 800);
    assert_int_equal(info.framebuffer.colour[0], 16);
    assert_int_equal(info.framebuffer.colour[1], 8);
    assert_int_equal(info.framebuffer.colour[2], 8);
    assert_int_equal(info.framebuffer.colour[4], 0);

    static const struct mem_range want[] = {
        {0, 160 * PAGE_SIZE, MEM_USABLE},   {MiB, MiB, MEM_USABLE},
        {2 * MiB, PAGE_SIZE, MEM_NVS},      {3 * MiB, MiB + PAGE_SIZE, MEM_RESERVED},
        {5 * MiB, 2 * PAGE_SIZE, MEM_ACPI}, {0xfe000000, 16 * PAGE_SIZE, MEM_RESERVED},
        {6 * MiB, PAGE_SIZE, MEM_BAD},      {7 * MiB, PAGE_SIZE, MEM_RESERVED}};
    assert_int_equal(info.memmap.count, ARRAY_SIZE(want));
    for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
        assert_int_equal(info.memmap.range[i].base, want[i].base);
        assert_int_equal(info.memmap.range[i].size, want[i].size);
        assert_int_equal(info.memmap.range[i].type, want[i].type);
    }

    mode.PixelFormat = PixelBitMask;
    mode.PixelInformation = (EFI_PIXEL_BITMASK){0x3ff00000, 0xffc00, 0x3ff, 0};
    assert_true(mbi_begin(&m, &u, ""));
    mbi_end(&m, (u8 *)firmware.map, 48, 48);
    assert_int_equal(multiboot2_parse(&info, (u64)m.data, map_any), STATUS_OK);
    assert_int_equal(info.framebuffer.colour[0], 20);
    assert_int_equal(info.framebuffer.colour[1], 10);
    assert_int_equal(info.framebuffer.colour[5], 10);
    mode.PixelFormat = PixelBltOnly;
    assert_true(mbi_begin(&m, &u, ""));
    mbi_end(&m, (u8 *)firmware.map, 48, 48);
    assert_int_equal(multiboot2_parse(&info, (u64)m.data, map_any), STATUS_OK);
    assert_int_equal(info.framebuffer.address, 0);
}

static void leaving(void **)
{
    u8 map[64 * 48];
    UINTN size, each;

    put_range(EfiConventionalMemory, 0, 100, EFI_MEMORY_WB);
    firmware.refusals = 3;
    assert_true(leave_boot_services(&u, map, sizeof(map), &size, &each));
    assert_int_equal(firmware.exits, 4);
    assert_int_equal(size, 4 * 48); /* the map as it was last */
    assert_int_equal(each, 48);
    firmware.exits = 0;
    firmware.refusals = 1000;
    assert_false(leave_boot_services(&u, map, sizeof(map), &size, &each));
    assert_int_equal(firmware.exits, EXIT_TRIES);
    firmware.no_map = true;
    firmware.exits = 0;
    assert_false(leave_boot_services(&u, map, sizeof(map), &size, &each));
    assert_int_equal(firmware.exits, 0);
}

static bool is_free(void) { return place_is_free((u8 *)firmware.map, firmware.map_count * 48, 48); }

static void place(void **)
{
    put_range(EfiConventionalMemory, 0, 0xa0, EFI_MEMORY_WB);
    put_range(EfiBootServicesData, MiB, 100, EFI_MEMORY_WB);
    assert_false(is_free());
    put_range(EfiConventionalMemory, MiB + 100 * PAGE_SIZE, 96, EFI_MEMORY_WB);
    assert_true(is_free()); /* exactly */
    firmware.map[2][3] = 95;
    assert_false(is_free());
    firmware.map[2][3] = 5000;
    assert_true(is_free());
    firmware.map[1][0] = EfiRuntimeServicesCode;
    assert_false(is_free());
    firmware.map[1][0] = EfiACPIMemoryNVS;
    assert_false(is_free());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(information, reset),
                                       cmocka_unit_test_setup(leaving, reset),
                                       cmocka_unit_test_setup(place, reset)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
