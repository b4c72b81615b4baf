/* SPDX-License-Identifier: MIT
 *
 * The memory map's cleaning and the allocator's bookkeeping, each against a plain model: one entry
 * per page, with random maps and random allocations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arch/x86/extent.c"
#include "arch/x86/memmap.c"

static struct memmap map;

static void check_range(unsigned i, u64 base, u64 size, enum mem_type type)
{
    assert_true(i < map.count);
    assert_int_equal(map.range[i].base, base);
    assert_int_equal(map.range[i].size, size);
    assert_int_equal(map.range[i].type, type);
}

/* Unsorted, overlapping, empty, reserved inside usable, unknown types, not on page boundaries. */
static void test_map_examples(void **)
{
    map = (struct memmap){0};
    memmap_add(&map, 0x100000, 0x7f00000, MEM_USABLE);
    memmap_add(&map, 0, 0x9fc00, MEM_USABLE);
    memmap_add(&map, 0x9fc00, 0x400, MEM_RESERVED);
    memmap_add(&map, 0x5000, 0, MEM_RESERVED);
    memmap_add(&map, 0x200000, 0x1000, MEM_RESERVED);
    memmap_add(&map, 0x7ff0000, 0x10000, MEM_ACPI);
    memmap_add(&map, 0x180000, 0x40000, MEM_USABLE);
    memmap_add(&map, 0x300800, 0x10, 77);
    memmap_add(&map, 0xfffffffffffff000, 0x5000, MEM_RESERVED);
    assert_int_equal(memmap_normalise(&map), STATUS_OK);
    assert_int_equal(map.count, 9);
    check_range(0, 0, 0x9f000, MEM_USABLE);
    check_range(1, 0x9fc00, 0x400, MEM_RESERVED);
    check_range(2, 0x100000, 0x100000, MEM_USABLE);
    check_range(3, 0x200000, 0x1000, MEM_RESERVED);
    check_range(4, 0x201000, 0xff000, MEM_USABLE);
    check_range(5, 0x300800, 0x10, MEM_RESERVED);
    check_range(6, 0x301000, 0x7ff0000 - 0x301000, MEM_USABLE);
    check_range(7, 0x7ff0000, 0x10000, MEM_ACPI);
    check_range(8, 0xfffffffffffff000, 0xfff, MEM_RESERVED);
    assert_int_equal(memmap_top(&map), 0x7ff0000);
    assert_int_equal(memmap_total(&map, MEM_ACPI), 0x10000);
    assert_true(memmap_usable(&map, 0x100000, 0x100000));
    assert_false(memmap_usable(&map, 0x100000, 0x100001));
    assert_false(memmap_usable(&map, 0xfffff, 1));
    assert_false(memmap_usable(&map, 0x101000, ~0ull));
}

static void test_map_overfull(void **)
{
    map = (struct memmap){0};
    for (u64 i = 0; i < MEMMAP_MAX - 1; i++)
        memmap_add(&map, i * 0x2000 + 0x1000, 0x1000, MEM_RESERVED);
    memmap_add(&map, 0, 0x10000000, MEM_USABLE);
    assert_int_equal(map.dropped, 0);
    memmap_add(&map, 0, 0x1000, MEM_USABLE);
    assert_int_equal(map.dropped, 1);
    assert_int_equal(memmap_normalise(&map), STATUS_ENOSPC);
    assert_int_equal(map.count, MEMMAP_MAX);
    for (unsigned i = 0; i < map.count; i++) /* what is left is right */
        check_range(i, i * 0x1000, 0x1000, i & 1 ? MEM_RESERVED : MEM_USABLE);
}

#define CELLS 64 /* of a quarter page */

static void test_map_random(void **)
{
    srand(1);
    for (unsigned round = 0; round < 2000; round++) {
        u32 model[CELLS] = {0};

        map = (struct memmap){0};
        for (unsigned n = (unsigned)rand() % 12; n > 0; n--) {
            u64 base = (unsigned)rand() % CELLS, size = (unsigned)rand() % (CELLS - base + 1);
            u32 type = 1 + (unsigned)rand() % 5;
            memmap_add(&map, base * 1024, size * 1024, type);
            for (u64 c = base; c < base + size; c++)
                model[c] = model[c] > type ? model[c] : type;
        }
        for (unsigned c = 0; c < CELLS; c += 4) { /* usable only as whole pages */
            bool whole =
                model[c] == 1 && model[c + 1] == 1 && model[c + 2] == 1 && model[c + 3] == 1;
            for (unsigned k = c; k < c + 4 && !whole; k++)
                model[k] = model[k] == 1 ? 0 : model[k];
        }
        assert_int_equal(memmap_normalise(&map), STATUS_OK);
        for (unsigned c = 0; c < CELLS; c++)
            assert_int_equal(type_at(map.range, map.count, c * 1024), model[c]);
        for (unsigned i = 1; i < map.count; i++)
            assert_true(map.range[i - 1].base + map.range[i - 1].size <= map.range[i].base);
    }
}

/* --- The allocator's table ---------------------------------------------------------------------
 */

#define PAGES 512
static struct extent entries[2 * PAGES];
static struct extent_table table;

static void check_table(const char *const *model)
{
    u64 end = 0;

    for (unsigned i = 0; i < table.count; i++) {
        const struct extent *e = &table.e[i];
        assert_true(e->size != 0 && e->base >= end);
        if (i > 0 && end == e->base) /* free neighbours are joined */
            assert_true(e->owner || table.e[i - 1].owner);
        end = e->base + e->size;
        for (u64 p = e->base / PAGE_SIZE; p < end / PAGE_SIZE; p++)
            assert_ptr_equal(model[p], e->owner ? e->owner : "free");
    }
}

static void test_extent_examples(void **)
{
    u64 at, size;

    table = (struct extent_table){entries, 0, 16};
    assert_int_equal(extent_add(&table, 0x1000, 0x9e000), STATUS_OK);
    assert_int_equal(extent_add(&table, 0x100000, 0x7ff00000), STATUS_OK);
    assert_int_equal(extent_add(&table, 0x140000000, 0x80000000), STATUS_OK);
    assert_int_equal(extent_add(&table, 0xff000, 0x2000), STATUS_EOVERLAP);
    assert_int_equal(extent_add(&table, 0x200000, 0), STATUS_EINVAL);
    assert_int_equal(extent_reserve(&table, 0, 0x100000, "low"), STATUS_OK);
    assert_int_equal(extent_reserve(&table, 0x9000, 0x1000, "x"), STATUS_EOVERLAP);
    assert_int_equal(extent_alloc(&table, 0x1000, 0x1000, ~0ull, "a", &at), STATUS_OK);
    assert_int_equal(at, 0x100000);
    assert_int_equal(extent_alloc(&table, 0x40000000, 0x40000000, ~0ull, "big", &at), STATUS_OK);
    assert_int_equal(at, 0x40000000);
    assert_int_equal(extent_alloc(&table, 0x40000000, 0x40000000, 0x100000000, "big", &at),
                     STATUS_ENOMEM);
    assert_int_equal(extent_alloc(&table, 0x40000000, 0x40000000, ~0ull, "big", &at), STATUS_OK);
    assert_int_equal(at, 0x140000000);
    assert_int_equal(extent_alloc(&table, 0x80000000, 0x1000, ~0ull, "big", &at), STATUS_ENOMEM);
    assert_int_equal(extent_alloc(&table, 0x1001, 0x1000, ~0ull, "a", &at), STATUS_EINVAL);
    assert_int_equal(extent_alloc(&table, 0, 0x1000, ~0ull, "a", &at), STATUS_EINVAL);
    assert_int_equal(extent_alloc(&table, 0x1000, 0x3000, ~0ull, "a", &at), STATUS_EINVAL);
    assert_int_equal(extent_free(&table, 0x100800, &size), STATUS_ENOENT);
    assert_int_equal(extent_free(&table, 0x101000, &size), STATUS_ENOENT);
    assert_int_equal(extent_free(&table, 0x40000000, &size), STATUS_OK);
    assert_int_equal(size, 0x40000000);
    assert_int_equal(extent_free(&table, 0x40000000, &size), STATUS_ENOENT);
    table.cap = table.count + 1; /* a full table refuses instead of losing track */
    assert_int_equal(extent_alloc(&table, 0x1000, 0x1000, ~0ull, "a", &at), STATUS_ENOSPC);
    assert_int_equal(extent_reserve(&table, 0x200000, 0x1000, "a"), STATUS_ENOSPC);
}

/* The lowest run of free pages in the model that an allocation must take; PAGES: none. */
static u64 model_alloc(const char *const *model, u64 pages, u64 align, u64 limit)
{
    for (u64 p = 0; p + pages <= limit; p += align) {
        u64 n = 0;
        while (n < pages && model[p + n] && strcmp(model[p + n], "free") == 0)
            n++;
        if (n == pages)
            return p;
    }
    return PAGES;
}

static void random_step(const char **model, u64 *base, u64 *pages)
{
    static const char *const owners[] = {"a", "b", "c"};
    const char *owner = owners[rand() % 3];
    u64 align = 1ull << rand() % 6, limit = rand() % 4 ? PAGES : (unsigned)rand() % PAGES, size;

    if (*pages) {
        assert_int_equal(extent_free(&table, *base, &size), STATUS_OK);
        assert_int_equal(size, *pages * PAGE_SIZE);
        owner = "free";
    } else {
        *pages = 1 + (unsigned)rand() % 20;
        u64 expected = model_alloc(model, *pages, align, limit);
        enum status s = extent_alloc(&table, *pages * PAGE_SIZE, align * PAGE_SIZE,
                                     limit * PAGE_SIZE, owner, base);
        assert_int_equal(s, expected == PAGES ? STATUS_ENOMEM : STATUS_OK);
        if (s != STATUS_OK) {
            *pages = 0;
            return;
        }
        assert_int_equal(*base, expected * PAGE_SIZE);
    }
    for (u64 p = 0; p < *pages; p++)
        model[*base / PAGE_SIZE + p] = owner;
    if (strcmp(owner, "free") == 0)
        *pages = 0;
}

static void test_extent_random(void **)
{
    const char *model[PAGES] = {0};
    u64 base[40] = {0}, pages[40] = {0};

    srand(2);
    table = (struct extent_table){entries, 0, ARRAY_SIZE(entries)};
    for (u64 p = 0; p < PAGES; p++) { /* with a hole in every 100 pages */
        if (p % 100 == 99)
            continue;
        assert_int_equal(extent_add(&table, p * PAGE_SIZE, PAGE_SIZE), STATUS_OK);
        model[p] = "free";
    }
    assert_int_equal(table.count, 6);
    assert_int_equal(extent_reserve(&table, 97 * PAGE_SIZE, 5 * PAGE_SIZE, "kept"), STATUS_OK);
    for (u64 p = 97; p < 102; p++)
        model[p] = model[p] ? "kept" : NULL;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rand() % ARRAY_SIZE(base);
        random_step(model, &base[i], &pages[i]);
        check_table(model);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(base); i++)
        if (pages[i])
            random_step(model, &base[i], &pages[i]);
    assert_int_equal(table.count, 6 + 2); /* the holes' parts, and the two kept ones */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_examples),  cmocka_unit_test(test_map_overfull),
        cmocka_unit_test(test_map_random),    cmocka_unit_test(test_extent_examples),
        cmocka_unit_test(test_extent_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
