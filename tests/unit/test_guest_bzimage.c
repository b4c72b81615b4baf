/* SPDX-License-Identifier: MIT
 *
 * guest/load_linux.c against the kernel's own description of the boot protocol (asm/bootparam.h):
 * made-up images for every protocol version that matters, damaged ones, and the real kernels that
 * this machine has.
 */
#include "guest_images.h"
#include "guest_vm.h"

#include <glob.h>

/* The same for 32 bits, not relocatable, of an older protocol. */
static struct setup_header *old_kernel(u16 version)
{
    struct setup_header *h = bzimage_kernel();

    h->version = version;
    h->xloadflags = 0;
    h->relocatable_kernel = 0;
    return h;
}

static void refuse(const char *line, const char *words)
{
    struct vm v = {0};

    vm_add(&v, line, bzimage.bytes, bzimage.size);
    vm_must_refuse(&v, words);
}

static const struct boot_params *build(struct vm *v, const char *line)
{
    const struct boot_params *zero;

    vm_add(v, line, bzimage.bytes, bzimage.size);
    vm_must_build(v);
    vm_check_entry_rules(v, v->state.cr0 & CR0_PG);
    zero = vm_at(v, v->state.gpr[RSI], sizeof(*zero));
    assert_int_equal(v->state.gpr[RBP] | v->state.gpr[RDI] | v->state.gpr[RBX], 0);
    assert_int_equal(v->state.seg[SEG_CS].selector, 0x10); /* __BOOT_CS */
    assert_int_equal(v->state.seg[SEG_DS].selector, 0x18); /* __BOOT_DS */
    assert_int_equal(zero->sentinel, 0);
    assert_int_equal(zero->hdr.type_of_loader, 0xff);
    assert_int_equal(zero->hdr.vid_mode, 0xffff);
    assert_memory_equal(vm_at(v, zero->acpi_rsdp_addr, 8), "RSD PTR ", 8);
    return zero;
}

static void check_kernel_at(const struct vm *v, u64 at)
{
    assert_memory_equal(vm_at(v, at, KERNEL_SIZE), bzimage.bytes + KERNEL_AT, KERNEL_SIZE);
    assert_int_equal(vm_get(v, at + KERNEL_SIZE, 1), 0xa5);
}

static void test_64_bit_entry(void **)
{
    static const u8 initrd[10001] = {7, 8, 9};
    const struct boot_params *zero;
    struct vm v = {0};
    u64 ram = 0;

    bzimage_kernel();
    vm_add(&v, "initrd=a", initrd, sizeof(initrd));
    zero = build(&v, "guest=a mem=64M -- console=ttyS0 quiet");
    assert_int_equal(v.state.rip, 0x1000200);
    assert_true(v.state.cr0 & CR0_PG);
    check_kernel_at(&v, 0x1000000);
    for (u64 at = 0; at < 4 * GiB; at += 0x1fffff)
        assert_int_equal(vm_translate(&v, at), at);
    assert_int_equal(zero->hdr.code32_start, 0x1000000);
    assert_int_equal(zero->hdr.header, 0x53726448);
    assert_int_equal(zero->hdr.version, 0x20f);
    assert_string_equal(vm_text(&v, zero->hdr.cmd_line_ptr), "console=ttyS0 quiet");
    assert_int_equal(zero->ext_cmd_line_ptr | zero->ext_ramdisk_image | zero->ext_ramdisk_size, 0);
    assert_int_equal(zero->hdr.ramdisk_size, sizeof(initrd));
    assert_int_equal(zero->hdr.ramdisk_image % 4096, 0);
    assert_int_equal(zero->hdr.ramdisk_image, 64 * MiB - 0x3000); /* as high as can be */
    assert_memory_equal(vm_at(&v, zero->hdr.ramdisk_image, sizeof(initrd)), initrd, sizeof(initrd));
    assert_int_equal(zero->alt_mem_k, 63 * 1024);
    for (unsigned i = 0; i < zero->e820_entries; i++)
        if (zero->e820_table[i].type == 1)
            ram += zero->e820_table[i].size;
    assert_int_equal(ram, 64 * MiB - (0x100000 - 0x9fc00));
    vm_free(&v);
}

static void test_zero_page_is_otherwise_zero(void **)
{
    const struct boot_params *zero;
    struct vm v = {0};

    bzimage_kernel();
    zero = build(&v, "guest=a mem=32M");
    /* screen_info: no video; only the memory size of old BIOSes is set in it */
    assert_int_equal(zero->screen_info.ext_mem_k, 31 * 1024);
    assert_int_equal(zero->screen_info.orig_video_isVGA, 0);
    assert_int_equal(zero->screen_info.orig_video_lines, 0);
    assert_int_equal(zero->eddbuf_entries | zero->edd_mbr_sig_buf_entries, 0);
    assert_int_equal(zero->efi_info.efi_loader_signature, 0);
    assert_int_equal(zero->hdr.ramdisk_image | zero->hdr.ramdisk_size, 0);
    assert_int_equal(zero->hdr.setup_data, 0);
    assert_string_equal(vm_text(&v, zero->hdr.cmd_line_ptr), "");
    for (unsigned i = zero->e820_entries; i < E820_MAX_ENTRIES_ZEROPAGE; i++)
        assert_int_equal(zero->e820_table[i].size, 0);
    /* the header is copied to its end, not what lies behind it in the file */
    assert_int_equal(((const u8 *)zero)[0x26c], 0);
    assert_int_equal(((const u8 *)zero)[0x26b], bzimage.bytes[0x26b]);
    vm_free(&v);
}

static void test_32_bit_entry(void **)
{
    const struct boot_params *zero;
    struct setup_header *h = bzimage_kernel();
    struct vm v = {0};

    build(&v, "guest=a mem=64M mode=32"); /* asked for */
    assert_int_equal(v.state.rip, 0x1000000);
    assert_false(v.state.cr0 & CR0_PG);
    vm_free(&v);
    h->xloadflags = 0; /* or nothing else there */
    h->code32_start = 0x100040;
    v.no_long_mode = true;
    zero = build(&v, "guest=a mem=64M");
    assert_int_equal(v.state.rip, 0x1000040);
    assert_int_equal(zero->hdr.code32_start, 0x1000000);
    vm_free(&v);
    old_kernel(0x204);
    build(&v, "guest=a mem=64M");
    assert_int_equal(v.state.rip, 0x100000);
    check_kernel_at(&v, 0x100000);
    vm_free(&v);
}

/* Fields that a version does not have yet are not read from what lies there instead. */
static void test_old_protocols(void **)
{
    static const u8 initrd[100] = {1};
    static char line[600];
    const struct boot_params *zero;
    struct setup_header *h = old_kernel(0x202);
    struct vm v = {0};

    h->initrd_addr_max = 0x1000;   /* 2.03 */
    h->kernel_alignment = 0x333;   /* 2.05 */
    h->relocatable_kernel = 1;     /* 2.05 */
    h->cmdline_size = 1;           /* 2.06 */
    h->pref_address = 0x200000;    /* 2.10 */
    h->init_size = 0xffffffff;     /* 2.10 */
    h->xloadflags = XLF_KERNEL_64; /* 2.12 */
    h->syssize = 0xffffffff;       /* 32 bits wide from 2.04 */
    snprintf(line, sizeof(line), "guest=a mem=1G -- %0255d", 1);
    vm_add(&v, "initrd=a", initrd, sizeof(initrd));
    zero = build(&v, line);
    assert_int_equal(v.state.rip, 0x100000);
    assert_int_equal(zero->hdr.ramdisk_image, 0x38000000 - 0x1000);
    vm_free(&v);
    snprintf(line, sizeof(line), "guest=a mem=64M -- %0256d", 1);
    refuse(line, "256 characters; this kernel takes 255");
    /* a header that ends early has no later fields, whatever its version says */
    h = bzimage_kernel();
    h->jump = 0x2eeb; /* to 0x230: ends before kernel_alignment */
    h->init_size = 0xffffffff;
    build(&v, "guest=a mem=64M");
    assert_int_equal(v.state.rip, 0x100000);
    vm_free(&v);
}

static void test_relocation(void **)
{
    struct setup_header *h = bzimage_kernel();
    struct vm v = {0};

    build(&v, "guest=a mem=8M"); /* not at 16 MiB: there is no memory */
    assert_int_equal(v.state.rip, 0x200200);
    check_kernel_at(&v, 0x200000);
    vm_free(&v);
    h->kernel_alignment = 0x1000000;
    refuse("guest=a mem=16M", "no room for the kernel");
    h->kernel_alignment = 0x200000;
    h->pref_address = ~0ull;
    build(&v, "guest=a mem=8M");
    assert_int_equal(v.state.rip, 0x200200);
    vm_free(&v);
    h->pref_address = 0x1100000; /* not a multiple of the alignment */
    build(&v, "guest=a mem=64M");
    assert_int_equal(v.state.rip, 0x1200200);
    vm_free(&v);
}

static void test_initrd(void **)
{
    static const u8 one[5] = {1, 1, 1, 1, 1}, two[6] = {2, 2, 2, 2, 2, 2};
    static const u8 joined[14] = {1, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2};
    static u8 big[20 * MiB];
    const struct boot_params *zero;
    struct setup_header *h = bzimage_kernel();
    struct vm v = {0};

    vm_add(&v, "initrd=a", one, sizeof(one));
    vm_add(&v, "initrd=a", two, sizeof(two));
    zero = build(&v, "guest=a mem=64M");
    assert_int_equal(zero->hdr.ramdisk_size, sizeof(joined));
    assert_memory_equal(vm_at(&v, zero->hdr.ramdisk_image, sizeof(joined)), joined, sizeof(joined));
    vm_free(&v);
    /* a plain list, as from qemu -kernel -initrd */
    vm_add(&v, "/boot/vmlinuz quiet", bzimage.bytes, bzimage.size);
    vm_add(&v, "/boot/initrd.img", one, sizeof(one));
    vm_must_build(&v);
    zero = vm_at(&v, v.state.gpr[RSI], sizeof(*zero));
    assert_int_equal(zero->hdr.ramdisk_size, sizeof(one));
    assert_string_equal(vm_text(&v, zero->hdr.cmd_line_ptr), "quiet");
    vm_free(&v);
    /* under the kernel when the limit says so */
    h->initrd_addr_max = 0xffffff;
    vm_add(&v, "initrd=a", one, sizeof(one));
    zero = build(&v, "guest=a mem=64M");
    assert_int_equal(zero->hdr.ramdisk_image, 0xfff000);
    vm_free(&v);
    h->initrd_addr_max = 0x7fffffff;
    vm_add(&v, "initrd=a", big, sizeof(big));
    vm_add(&v, "guest=a mem=32M", bzimage.bytes, bzimage.size);
    vm_must_refuse(&v, "no room for the initial RAM disk");
    h->initrd_addr_max = 0xffffffff;
    vm_add(&v, "initrd=a", big, sizeof(big));
    zero = build(&v, "guest=a mem=64M");
    assert_int_equal(zero->hdr.ramdisk_image, 44 * MiB);
    vm_free(&v);
    vm_add(&v, "guest=a mem=32M", bzimage.bytes, bzimage.size);
    vm_add(&v, "module=a", one, sizeof(one));
    vm_must_refuse(&v, "say initrd=a instead of module=a");
}

static void test_refusals(void **)
{
    struct setup_header *h = bzimage_header();
    struct vm v = {0};

#define BROKEN(change, words)                        \
    do {                                             \
        bzimage_kernel();                            \
        change;                                      \
        refuse("guest=a kind=linux mem=64M", words); \
    } while (0)
    BROKEN(h->boot_flag = 0x55aa, "boot flag 0x55aa (not 0xaa55)");
    BROKEN(h->header = 0x53726449, "no Linux kernel");
    BROKEN(h->version = 0x201, "boot protocol 2.01");
    BROKEN(h->version = 0, "boot protocol 0.00");
    BROKEN(h->loadflags = 0, "too old");
    BROKEN(h->kernel_alignment = 0, "no power of two");
    BROKEN(h->kernel_alignment = 0x300000, "no power of two");
    BROKEN(h->kernel_alignment = 8, "no power of two");
    BROKEN(h->syssize++, "the setup header promises a kernel of");
    BROKEN(h->syssize = 0xffffffff, "truncated");
    BROKEN(h->setup_sects = 200, "ends before its kernel at");
    BROKEN(h->init_size = 0xffffffff, "no room for the kernel");
    BROKEN(h->init_size = 0x3f00001, "no room for the kernel");
    BROKEN(h->kernel_alignment = 0x80000000, "no room for the kernel");
    BROKEN(h->relocatable_kernel = 0; h->init_size = 0x3f00001, "memory ends at 0x4000000");
    BROKEN((h->xloadflags = 0, h->code32_start = 0), "needs a BIOS");
    BROKEN((h->xloadflags = 0, h->code32_start = 0x100000 + KERNEL_SIZE), "needs a BIOS");
    BROKEN((h->xloadflags = 0, h->code32_start = 0xffffffff), "needs a BIOS");
    BROKEN(bzimage.size = 0x200, "ends inside a Linux setup header");
    BROKEN(bzimage.size = 0x26b, "ends inside a Linux setup header");
    BROKEN(bzimage.size = 0x26c, "ends before its kernel");
    BROKEN(bzimage.size = KERNEL_AT, "ends before its kernel");
    BROKEN(bzimage.size -= 16, "truncated");
#undef BROKEN
    bzimage_kernel();
    refuse("guest=a mem=1M", "no room for the kernel");
    refuse("guest=a mode=16", "BIOS");
    v.no_long_mode = true;
    vm_add(&v, "guest=a", bzimage.bytes, bzimage.size);
    vm_must_refuse(&v, "no 64-bit mode");
    h->xloadflags = 0;
    refuse("guest=a mode=64", "no 64-bit entry");
    bzimage_kernel();
    refuse("guest=a kind=multiboot", "no Multiboot 1 header");
}

/* --- Real kernels ----------------------------------------------------------------------------- */

static bool load_real(struct vm *v, const char *pattern, const char *line)
{
    glob_t found;
    size_t size;
    u8 *data;

    if (glob(pattern, 0, NULL, &found) != 0) {
        print_message("no %s on this machine\n", pattern);
        return false;
    }
    data = read_file(found.gl_pathv[found.gl_pathc - 1], &size);
    globfree(&found);
    assert_non_null(data);
    vm_add(v, line, data, size);
    return true;
}

static void free_real(struct vm *v)
{
    free((void *)(uintptr_t)v->module[0].data);
    vm_free(v);
}

static void test_debian_kernel(void **)
{
    const struct boot_params *zero;
    const struct setup_header *h;
    u8 *initrd = calloc(1, 14 * MiB);
    struct vm v = {0};

    if (!load_real(&v, "build/linux/vmlinuz", "guest=a mem=256M -- console=ttyS0")) {
        free(initrd);
        skip();
    }
    vm_add(&v, "initrd=a", initrd, 14 * MiB);
    vm_must_build(&v);
    vm_check_entry_rules(&v, true);
    h = (const struct setup_header *)(v.module[0].data + 0x1f1);
    zero = vm_at(&v, v.state.gpr[RSI], sizeof(*zero));
    assert_int_equal(v.state.rip, h->pref_address + 0x200);
    assert_memory_equal(vm_at(&v, h->pref_address, h->syssize * 16ul),
                        v.module[0].data + (h->setup_sects + 1) * 512u, h->syssize * 16ul);
    assert_memory_equal(&zero->hdr.kernel_alignment, &h->kernel_alignment,
                        offsetof(struct setup_header, handover_offset) -
                            offsetof(struct setup_header, kernel_alignment));
    assert_false(ranges_overlap(zero->hdr.ramdisk_image, 14 * MiB, h->pref_address, h->init_size));
    assert_true(zero->hdr.ramdisk_image + 14 * MiB <= 256 * MiB);
    free(initrd);
    free_real(&v);
}

/* Cut anywhere, the real kernel is refused as truncated. */
static void test_truncated_debian_kernel(void **)
{
    static const unsigned permille[] = {1, 10, 500, 990, 998};
    struct vm v = {0};
    u64 size;

    if (!load_real(&v, "build/linux/vmlinuz", "guest=a mem=64M kind=linux"))
        skip();
    size = v.module[0].size;
    for (unsigned i = 0; i < ARRAY_SIZE(permille); i++) {
        v.module[0].size = size * permille[i] / 1000;
        assert_int_not_equal(vm_build(&v), STATUS_OK);
        assert_non_null(strstr(v.error.text, "truncated"));
    }
    free_real(&v);
}

static void test_memtest(void **)
{
    struct vm v = {0};

    if (!load_real(&v, "/boot/memtest86+x64.bin", "guest=a mem=32M"))
        skip();
    vm_must_build(&v);
    vm_check_entry_rules(&v, true);
    assert_int_equal(v.state.rip, 0x100200);
    free_real(&v);
    assert_true(load_real(&v, "/boot/memtest86+ia32.bin", "guest=a mem=32M"));
    v.no_long_mode = true;
    vm_must_build(&v);
    vm_check_entry_rules(&v, false);
    assert_int_equal(v.state.rip, 0x100000);
    free_real(&v);
}

/* iPXE has the header, but only its real-mode entry: said so instead of jumping to 0. */
static void test_ipxe(void **)
{
    struct vm v = {0};

    if (!load_real(&v, "/boot/ipxe.lkrn", "guest=a mem=32M"))
        skip();
    assert_int_equal(vm_build(&v), STATUS_ENOTSUP);
    assert_non_null(strstr(v.error.text, "needs a BIOS"));
    free_real(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_64_bit_entry),
        cmocka_unit_test(test_zero_page_is_otherwise_zero),
        cmocka_unit_test(test_32_bit_entry),
        cmocka_unit_test(test_old_protocols),
        cmocka_unit_test(test_relocation),
        cmocka_unit_test(test_initrd),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_debian_kernel),
        cmocka_unit_test(test_truncated_debian_kernel),
        cmocka_unit_test(test_memtest),
        cmocka_unit_test(test_ipxe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
