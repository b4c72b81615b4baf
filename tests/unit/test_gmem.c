/* SPDX-License-Identifier: MIT
 *
 * A guest's memory: refusals, order, accesses across neighbouring regions.
 */
#include "device.h"
#include "drivers/gmem.h"

static u8 low[8192], high[4096], rom[4096];

static void build(struct gmem *m)
{
    memset(m, 0, sizeof *m);
    assert_ok(gmem_add(m, GPA(0x100000), sizeof high, high, GMEM_RAM));
    assert_ok(gmem_add(m, GPA(0x2000), sizeof rom, rom, GMEM_ROM));
    assert_ok(gmem_add(m, GPA(0), sizeof low, low, GMEM_RAM));
}

static void adds_and_refuses(void **)
{
    struct gmem m;

    build(&m);
    assert_int_equal(m.count, 3);
    assert_int_equal(m.region[0].base.v, 0);
    assert_int_equal(m.region[1].base.v, 0x2000);
    assert_int_equal(m.region[2].base.v, 0x100000);
    assert_int_equal(gmem_ram_size(&m), sizeof low + sizeof high);
    assert_int_equal(gmem_add(&m, GPA(0x1000), 4096, low, GMEM_RAM), STATUS_EOVERLAP);
    assert_int_equal(gmem_add(&m, GPA(0x4000), 0, low, GMEM_RAM), STATUS_EINVAL);
    assert_int_equal(gmem_add(&m, GPA(0x4010), 4096, low, GMEM_RAM), STATUS_EINVAL);
    assert_int_equal(gmem_add(&m, GPA(0x4000), 100, low, GMEM_RAM), STATUS_EINVAL);
    assert_int_equal(gmem_add(&m, GPA(0xfffffffffffff000), 8192, low, GMEM_RAM), STATUS_EINVAL);
    assert_int_equal(gmem_add(&m, GPA(0x4000), 4096, NULL, GMEM_RAM), STATUS_EINVAL);
    for (u64 at = 0x200000; m.count < GMEM_MAX_REGIONS; at += 4096)
        assert_ok(gmem_add(&m, GPA(at), 4096, low, GMEM_RAM));
    assert_int_equal(gmem_add(&m, GPA(0x400000), 4096, low, GMEM_RAM), STATUS_ENOSPC);
}

static void finds(void **)
{
    struct gmem m;

    build(&m);
    assert_ptr_equal(gmem_at(&m, GPA(0), 8192), low);
    assert_ptr_equal(gmem_at(&m, GPA(0x1fff), 1), low + 0x1fff);
    assert_null(gmem_at(&m, GPA(0x1fff), 2));
    assert_null(gmem_at(&m, GPA(0x3000), 1));
    assert_null(gmem_at(&m, GPA(0x100000), ~0ull));
    assert_null(gmem_at(&m, GPA(~0ull), 1));
}

static void copies(void **)
{
    struct gmem m;
    u8 out[8] = {1, 2, 3, 4, 5, 6, 7, 8}, in[8] = {0};

    build(&m);
    assert_ok(gmem_write(&m, GPA(0x1ffc), out, 8)); /* into the ROM that follows */
    assert_memory_equal(low + 0x1ffc, out, 4);
    assert_memory_equal(rom, out + 4, 4);
    assert_ok(gmem_read(&m, GPA(0x1ffc), in, 8));
    assert_memory_equal(in, out, 8);
    memset(rom + 4092, 0, 4);
    assert_int_equal(gmem_write(&m, GPA(0x2ffc), out, 8), STATUS_ERANGE);
    assert_int_equal(rom[4092], 0); /* nothing was copied */
    assert_int_equal(gmem_read(&m, GPA(0x2ffc), in, 8), STATUS_ERANGE);
    assert_int_equal(gmem_read(&m, GPA(0x100fff), in, 2), STATUS_ERANGE);
    assert_ok(gmem_read(&m, GPA(0x99999999), in, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_refuses),
        cmocka_unit_test(finds),
        cmocka_unit_test(copies),
    };

    return cmocka_run_group_tests_name("gmem", tests, NULL, NULL);
}
