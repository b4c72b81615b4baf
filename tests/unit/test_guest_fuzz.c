/* SPDX-License-Identifier: MIT
 *
 * Each loader on mutated images, with a fixed seed and under the sanitizers: image and guest memory
 * are allocations of exactly their size.  What is accepted must be able to start, with the tables
 * that were written before it untouched; what is refused must say why.
 */
#include "guest_images.h"
#include "guest_vm.h"

#define ROUNDS 8000
#define MEM    "8M"

static u64 seed;

static u32 rnd(u32 below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)((seed >> 33) % below);
}

static void mutate(u8 *data, u32 size, u32 header)
{
    static const u64 odd[] = {0,          1,          0xff,       0xffff,         0x7fffffff,
                              0x80000000, 0xffffffff, 0xfffff000, 0x100000000ull, ~0ull,
                              ~0xfffull,  0x9fc00,    0x100000,   0x7ff000,       0x800000,
                              1ull << 63, 0x500,      0x1000,     0xa0000,        0xf0000};
    unsigned count = 1 + rnd(4);

    while (count-- > 0) {
        u32 at = header + rnd(96), width = 1u << rnd(4);
        u64 value = odd[rnd(ARRAY_SIZE(odd))] + rnd(5) - 2;

        if (rnd(4) == 0)
            value = seed >> 11;
        if (rnd(3) == 0)
            at = rnd(size);
        if (at + width <= size)
            memcpy(data + at, &value, width);
    }
}

/* A machine that is about to start: registers by the rules, firmware tables whole. */
static void check_started(const struct vm *v)
{
    const u8 *rsdp = vm_at(v, 0xf0000, 36);
    u8 sum = 0;

    for (unsigned i = 0; i < 36; i++)
        sum = (u8)(sum + rsdp[i]);
    assert_int_equal(sum, 0);
    assert_int_equal(vm_get(v, 0x413, 2), 639);
    assert_non_null(gmem_at(&v->mem, GPA(v->state.seg[SEG_CS].base + v->state.rip), 1));
    if (v->state.cr0 & CR0_PE)
        vm_check_entry_rules(v, v->state.cr0 & CR0_PG);
    if (v->state.cr0 & CR0_PG)
        assert_int_equal(vm_translate(v, v->state.rip), v->state.rip);
}

static void fuzz(const u8 *bytes, u32 size, u32 header, const char *const *lines, unsigned count)
{
    static const u8 extra[300] = {42};
    unsigned built = 0, refused = 0;
    struct vm v = {0};

    vm_alloc(&v, 8 * MiB);
    for (unsigned round = 0; round < ROUNDS; round++) {
        u32 cut = rnd(8) ? size : 1 + rnd(size);
        u8 *data = malloc(cut);

        assert_non_null(data);
        memcpy(data, bytes, cut);
        if (round != 0)
            mutate(data, cut, header < cut ? header : 0);
        v.count = 0;
        vm_add(&v, lines[rnd(count)], data, cut);
        if (rnd(2))
            vm_add(&v, "initrd=a", extra, sizeof(extra));
        if (vm_build(&v) == STATUS_OK) {
            check_started(&v);
            built++;
        } else {
            assert_in_range(strlen(v.error.text), 20, sizeof(v.error.text) - 1);
            refused++;
        }
        free(data);
    }
    vm_free(&v);
    print_message("%u built, %u refused\n", built, refused);
    assert_true(built > ROUNDS / 100 && refused > ROUNDS / 100);
}
#define FUZZ(image, header, ...)                                                         \
    fuzz((image)->bytes, (u32)(image)->size, header, (const char *const[]){__VA_ARGS__}, \
         sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

static void test_elf32(void **)
{
    FUZZ(elf32(), 0, "guest=a mem=" MEM, "guest=a mem=" MEM " kind=multiboot -- a b");
}

static void test_elf64(void **) { FUZZ(elf64(), 0, "guest=a mem=" MEM); }

static void test_address_fields(void **)
{
    FUZZ(flagged(), HEADER_AT, "guest=a mem=" MEM, "guest=a mem=" MEM " kind=multiboot -- a b");
}

static void test_linux(void **)
{
    bzimage_kernel()->init_size = 0x20000;
    FUZZ(&bzimage, 0x1f1, "guest=a mem=" MEM, "guest=a kind=linux mode=32 mem=" MEM " -- quiet");
}

static void test_flat(void **)
{
    static char line[64][120];
    const char *lines[64];

    for (unsigned i = 0; i < 64; i++) {
        u64 load = i % 4 ? rnd(0x900000) : (u64)rnd(0x7fffffff) << rnd(9);

        snprintf(line[i], sizeof(line[i]),
                 "guest=a kind=flat mem=" MEM " mode=%u load=%#lx entry=%#lx -- some text",
                 16u << rnd(3), load, load + rnd(3000) - (i == 7));
        lines[i] = line[i];
    }
    fuzz(elf32()->bytes, FILE_SIZE, 0, lines, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf32),          cmocka_unit_test(test_elf64),
        cmocka_unit_test(test_address_fields), cmocka_unit_test(test_linux),
        cmocka_unit_test(test_flat),
    };

    seed = 20240229;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
