/* SPDX-License-Identifier: MIT
 *
 * guest/load_multiboot.c against the Multiboot Specification 0.6.96: kernels put together with the
 * C library's ELF structures, the information a kernel reads, and damaged headers of every sort.
 */
#include "guest_images.h"
#include "guest_vm.h"

static void refuse(const struct file *f, const char *words)
{
    struct vm v = {0};

    vm_add(&v, "guest=a mem=16M kind=multiboot", f->bytes, f->size);
    vm_must_refuse(&v, words);
}

static void build(struct vm *v, const char *line, const struct file *f)
{
    vm_add(v, line, f->bytes, f->size);
    vm_must_build(v);
    /* 3.2, machine state */
    assert_int_equal(v->state.gpr[RAX], 0x2badb002);
    vm_check_entry_rules(v, false);
}

static bool is_zero(const u8 *p, size_t n)
{
    while (n-- > 0)
        if (p[n])
            return false;
    return true;
}

static void test_elf32(void **)
{
    const struct file *f = elf32();
    struct vm v = {0};

    build(&v, "guest=a mem=16M", f);
    assert_memory_equal(vm_at(&v, 0x100000, 0x1000), f->bytes + 0x1000, 0x1000);
    assert_memory_equal(vm_at(&v, 0x180000, 0x100), f->bytes + 0x2100, 0x100);
    assert_true(is_zero(vm_at(&v, 0x180100, 0x800), 0x800));
    assert_int_equal(vm_get(&v, 0x180900, 1), 0xa5);
    assert_int_equal(v.state.rip, 0x100020); /* the virtual entry, made physical */
    vm_free(&v);
}

static void test_elf_with_physical_entry(void **)
{
    struct file *f = elf32();
    struct vm v = {0};

    ((Elf32_Ehdr *)f->bytes)->e_entry = 0x180010;
    build(&v, "guest=a mem=16M", f);
    assert_int_equal(v.state.rip, 0x180010);
    vm_free(&v);
}

static void test_elf64(void **)
{
    const struct file *f = elf64();
    struct vm v = {0};

    build(&v, "guest=a mem=16M", f);
    assert_memory_equal(vm_at(&v, 0x100000, 0x1000), f->bytes + 0x1000, 0x1000);
    assert_true(is_zero(vm_at(&v, 0x101000, 0x1000), 0x1000));
    assert_int_equal(v.state.rip, 0x100020);
    vm_free(&v);
}

static void test_address_fields(void **)
{
    struct file *f = flagged();
    struct vm v = {0};

    build(&v, "guest=a mem=16M", f);
    assert_memory_equal(vm_at(&v, 0x200000, 0x1000), f->bytes + 0x800, 0x1000);
    assert_true(is_zero(vm_at(&v, 0x201000, 0x2000), 0x2000));
    assert_int_equal(vm_get(&v, 0x203000, 1), 0xa5);
    assert_int_equal(v.state.rip, 0x200804);
    vm_free(&v);
    put32(f->bytes + HEADER_AT + LOAD_END, 0); /* to the end of the file */
    put32(f->bytes + HEADER_AT + BSS_END, 0);  /* no bss */
    build(&v, "guest=a mem=16M", f);
    assert_memory_equal(vm_at(&v, 0x200000, 0x2800), f->bytes + 0x800, 0x2800);
    assert_int_equal(vm_get(&v, 0x202800, 1), 0xa5);
    vm_free(&v);
}

/* The flag wins over a valid ELF header: 3.1.2, bit 16. */
static void test_address_fields_in_elf(void **)
{
    struct file *f = elf32();
    u8 *h = f->bytes + HEADER_AT;
    struct vm v = {0};

    set_header(f, HEADER_AT, 0x10003);
    put32(h + HEADER_ADDR, 0x300000);
    put32(h + LOAD_ADDR, 0x300000);
    put32(h + LOAD_END, 0x300040);
    put32(h + BSS_END, 0);
    put32(h + ENTRY, 0x300020);
    build(&v, "guest=a mem=16M", f);
    assert_int_equal(v.state.rip, 0x300020);
    assert_memory_equal(vm_at(&v, 0x300000, 0x40), h, 0x40);
    vm_free(&v);
}

static void check_module(const struct vm *v, u64 entry, const u8 *bytes, size_t size,
                         const char *text)
{
    u64 start = vm_get(v, entry, 4), end = vm_get(v, entry + 4, 4);

    assert_int_equal(start % 4096, 0);
    assert_int_equal(end - start, size);
    assert_memory_equal(vm_at(v, start, size), bytes, size);
    assert_string_equal(vm_text(v, vm_get(v, entry + 8, 4)), text);
    assert_false(ranges_overlap(start, size, 0x100000, 0x1000));
    assert_false(ranges_overlap(start, size, 0x180000, 0x900));
}

/* 3.3, the information structure: fields at their offsets. */
static void test_information(void **)
{
    static const u8 one[5000] = {1, 2, 3}, two[7] = {9};
    u64 info, entry, ram = 0, top = 0, mods;
    struct vm v = {0};

    vm_add(&v, "/boot/kernel.elf guest=a mem=64M -- one  two", elf32()->bytes, FILE_SIZE);
    vm_add(&v, "/x/first.bin module=a -- opt=1", one, sizeof(one));
    vm_add(&v, "initrd=a", two, sizeof(two));
    vm_must_build(&v);
    info = v.state.gpr[RBX];
    assert_int_equal(vm_get(&v, info, 4), BIT(0) | BIT(2) | BIT(3) | BIT(6) | BIT(9));
    assert_int_equal(vm_get(&v, info + 4, 4), 639);             /* mem_lower */
    assert_int_equal(vm_get(&v, info + 8, 4), (64 - 1) * 1024); /* mem_upper */
    assert_string_equal(vm_text(&v, vm_get(&v, info + 16, 4)), "kernel.elf one  two");
    assert_string_equal(vm_text(&v, vm_get(&v, info + 64, 4)), "Vitrine");
    assert_int_equal(vm_get(&v, info + 20, 4), 2);
    mods = vm_get(&v, info + 24, 4);
    check_module(&v, mods, one, sizeof(one), "first.bin opt=1");
    check_module(&v, mods + 16, two, sizeof(two), "a");
    entry = vm_get(&v, info + 48, 4);
    top = entry + vm_get(&v, info + 44, 4);
    for (; entry < top; entry += vm_get(&v, entry, 4) + 4) {
        assert_in_range(vm_get(&v, entry, 4), 20, 64);
        if (vm_get(&v, entry + 20, 4) == 1)
            ram += vm_get(&v, entry + 12, 8);
    }
    assert_int_equal(entry, top);
    assert_int_equal(ram, 64 * MiB - (0x100000 - 0x9fc00));
    vm_free(&v);
}

/* The header must be found wherever it may be, and not elsewhere: 3.1. */
static void test_header_position(void **)
{
    struct file *f = elf32();
    struct vm v = {0};

    memset(f->bytes + HEADER_AT, 0, 12);
    set_header(f, 8192 - 12, 0);
    build(&v, "guest=a mem=16M", f);
    vm_free(&v);
    memset(f->bytes + 8192 - 12, 0, 12);
    set_header(f, 8192 - 8, 0);
    refuse(f, "no Multiboot 1 header");
    memset(f->bytes + 8192 - 8, 0, 12);
    set_header(f, 0x1002, 0);
    refuse(f, "no Multiboot 1 header");
    f = elf32();
    f->bytes[HEADER_AT + CHECKSUM]++;
    refuse(f, "no Multiboot 1 header");
    f = elf32();
    f->size = HEADER_AT + 11;
    refuse(f, "no Multiboot 1 header");
}

static void test_header_demands(void **)
{
    struct file *f = elf32();
    struct vm v = {0};

    set_header(f, HEADER_AT, 8);
    refuse(f, "unknown features (flags 0x8)");
    set_header(f, HEADER_AT, 0x8003);
    refuse(f, "unknown features");
    set_header(f, HEADER_AT, 4);
    put32(f->bytes + HEADER_AT + MODE_TYPE, 0);
    refuse(f, "graphics mode");
    put32(f->bytes + HEADER_AT + MODE_TYPE, 1);
    build(&v, "guest=a mem=16M", f);
    vm_free(&v);
    set_header(f, HEADER_AT, 0xfffe0000); /* optional: may be ignored */
    build(&v, "guest=a mem=16M", f);
    vm_free(&v);
    vm_add(&v, "guest=a mem=16M mode=64", f->bytes, f->size);
    vm_must_refuse(&v, "starts in 32-bit mode");
}

#define BROKEN(restore, change, words) \
    do {                               \
        f = restore;                   \
        change;                        \
        refuse(f, words);              \
    } while (0)

static void test_damaged_elf(void **)
{
    struct file *f = elf32();
    Elf32_Ehdr *e = (Elf32_Ehdr *)f->bytes;
    Elf32_Phdr *p = (Elf32_Phdr *)(f->bytes + sizeof(*e));

    BROKEN(elf32(), e->e_ident[0] = 0, "no ELF");
    BROKEN(elf32(), e->e_ident[EI_DATA] = ELFDATA2MSB, "data 2");
    BROKEN(elf32(), e->e_ident[EI_CLASS] = 3, "class 3");
    BROKEN(elf32(), e->e_type = ET_DYN, "type 3");
    BROKEN(elf32(), e->e_machine = EM_ARM, "machine 40");
    BROKEN(elf32(), e->e_phnum = 0, "0 program headers");
    BROKEN(elf32(), e->e_phnum = 65535, "65535 program headers");
    BROKEN(elf32(), e->e_phentsize = 31, "of 31 bytes");
    BROKEN(elf32(), e->e_phoff = FILE_SIZE + 1, "at 0x3001");
    BROKEN(elf32(), e->e_phoff = 0xfffffff0, "program headers");
    BROKEN(elf32(), e->e_phoff = FILE_SIZE - 40, "beyond the file's end");
    BROKEN(elf32(), e->e_entry = 0x99, "in none of its segments");
    BROKEN(elf32(), e->e_phnum = 1, "in none of its segments"); /* nothing to load */
    BROKEN(elf32(), p[1].p_filesz = 0x2001, "truncated");
    BROKEN(elf32(), p[1].p_offset = 0xffffffff, "truncated");
    BROKEN(elf32(), p[1].p_filesz = 0xffffffff, "truncated");
    BROKEN(elf32(), p[1].p_memsz = 0xfff, "more bytes in the file");
    BROKEN(elf32(), p[2].p_memsz = 0xffffffff, "does not lie below 4 GiB");
    BROKEN(elf32(), p[2].p_memsz = 0x7fffffff, "memory ends at 0x1000000");
    BROKEN(elf32(), p[1].p_paddr = 0xfffff800, "does not lie below 4 GiB");
    BROKEN(elf32(), p[1].p_paddr = 0xd0000000, "memory ends");
    BROKEN(elf32(), p[1].p_paddr = 0x17f100, "overlaps an ELF segment");
    BROKEN(elf32(), p[2].p_paddr = 0x100fff, "overlaps an ELF segment");
    BROKEN(elf32(), p[1].p_paddr = 0xa0000, "overlaps the PC's video");
    BROKEN(elf32(), p[1].p_paddr = 0, "overlaps the vectors");
    BROKEN(elf32(), f->size = 0x2000, "truncated");
}

static void test_damaged_elf64(void **)
{
    struct file *f = elf64();
    Elf64_Ehdr *e = (Elf64_Ehdr *)f->bytes;
    Elf64_Phdr *p = (Elf64_Phdr *)(f->bytes + sizeof(*e));

    BROKEN(elf64(), p->p_paddr = 0x100000000, "below 4 GiB");
    BROKEN(elf64(), p->p_paddr = ~0ull, "below 4 GiB");
    BROKEN(elf64(), p->p_memsz = ~0ull, "below 4 GiB");
    BROKEN(elf64(), p->p_filesz = ~0ull, "truncated");
    BROKEN(elf64(), p->p_offset = ~0ull - 0xfff, "truncated");
    BROKEN(elf64(), e->e_phoff = ~0ull, "program headers");
    BROKEN(elf64(), e->e_entry = ~0ull, "in none of its segments");
    BROKEN(elf64(), e->e_phentsize = 55, "of 55 bytes");
}

static void test_damaged_addresses(void **)
{
    struct file *f = flagged();
    u8 *h = f->bytes + HEADER_AT;

    BROKEN(flagged(), put32(h + HEADER_ADDR, 0x1ff000), "put it elsewhere");
    /* would begin before the file */
    BROKEN(flagged(), put32(h + HEADER_ADDR, 0x201004), "put it elsewhere");
    BROKEN(flagged(), put32(h + LOAD_ADDR, 0), "put it elsewhere");
    BROKEN(flagged(), put32(h + LOAD_ADDR, 0xffffffff), "put it elsewhere");
    BROKEN(flagged(), put32(h + LOAD_END, 0x1fffff), "run backwards");
    BROKEN(flagged(), put32(h + LOAD_END, 0x203001), "run backwards");
    BROKEN(flagged(), put32(h + BSS_END, 0x200fff), "run backwards");
    BROKEN(flagged(), put32(h + BSS_END, 0xffffffff), "memory ends");
    BROKEN(flagged(), put32(h + ENTRY, 0x1fffff), "outside the kernel");
    BROKEN(flagged(), put32(h + ENTRY, 0x203000), "outside the kernel");
    BROKEN(flagged(), (put32(h + LOAD_END, 0x203001), put32(h + BSS_END, 0)), "truncated");
    BROKEN(flagged(), f->size = HEADER_AT + 31, "truncated");
}

static void test_no_room(void **)
{
    static const u8 big[15 * MiB];
    struct vm v = {0};

    vm_add(&v, "guest=a mem=16M", elf32()->bytes, FILE_SIZE);
    vm_add(&v, "disk.img module=a", big, sizeof(big));
    vm_must_refuse(&v, "no room for disk.img");
}

/* A kernel that fills low memory still gets its information, above itself. */
static void test_low_kernel(void **)
{
    struct file *f = elf32();
    Elf32_Phdr *p = (Elf32_Phdr *)(f->bytes + sizeof(Elf32_Ehdr));
    struct vm v = {0};

    p[1].p_paddr = 0x500;
    p[1].p_memsz = 0x9fc00 - 0x500;
    build(&v, "guest=a mem=16M -- x", f);
    assert_int_equal(v.state.rip, 0x520);
    assert_true(v.state.gpr[RBX] >= 0x100000);
    assert_memory_equal(vm_at(&v, 0x500, 0x1000), f->bytes + 0x1000, 0x1000);
    assert_true(is_zero(vm_at(&v, 0x1500, 0x9fc00 - 0x1500), 0x9fc00 - 0x1500));
    vm_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf32),
        cmocka_unit_test(test_elf_with_physical_entry),
        cmocka_unit_test(test_elf64),
        cmocka_unit_test(test_address_fields),
        cmocka_unit_test(test_address_fields_in_elf),
        cmocka_unit_test(test_information),
        cmocka_unit_test(test_header_position),
        cmocka_unit_test(test_header_demands),
        cmocka_unit_test(test_damaged_elf),
        cmocka_unit_test(test_damaged_elf64),
        cmocka_unit_test(test_damaged_addresses),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_low_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
