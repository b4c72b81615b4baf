/* SPDX-License-Identifier: MIT
 *
 * The virtio disk as a driver sees it: set up by MMIO, asked through its queue in guest memory.
 */
#include "device.h"
#include "drivers/model/vblk.h"

#define BASE   0xfec10000ull
#define RAM    0x100000ull
#define DESC   0u /* offsets in RAM */
#define AVAIL  0x1000u
#define USED   0x2000u
#define HEADER 0x3000u
#define STATUS 0x3100u
#define BUFFER 0x4000u
#define SIZE   8u

static struct vblk disk;
static struct gmem mem;
static struct line irq;
static u8 ram[8 * PAGE_SIZE], data[16 * VBLK_SECTOR];
static u16 asked;

static u32 rd(u64 offset)
{
    return (u32)bus_mmio_read(&fake_bus, bus_find_mmio(&fake_bus, BASE), 0, BASE + offset, 4);
}

static void wr(u64 offset, u32 value)
{
    bus_mmio_write(&fake_bus, bus_find_mmio(&fake_bus, BASE), 0, BASE + offset, 4, value);
}

static void put(u32 at, u64 value, unsigned size) { memcpy(ram + at, &value, size); }

static u64 get(u32 at, unsigned size)
{
    u64 value = 0;

    memcpy(&value, ram + at, size);
    return value;
}

static void descriptor(u16 n, u64 at, u32 length, u16 flags, u16 next)
{
    put(DESC + 16u * n, at, 8);
    put(DESC + 16u * n + 8, length, 4);
    put(DESC + 16u * n + 12, flags, 2);
    put(DESC + 16u * n + 14, next, 2);
}

static void start(void)
{
    wr(0x70, 0);
    asked = 0;
    memset(ram, 0, sizeof(ram));
    wr(0x70, 3);
    wr(0x24, 1);
    wr(0x20, 1); /* VERSION_1 */
    wr(0x70, 0xb);
    assert_int_equal(rd(0x70), 0xb);
    wr(0x30, 0);
    wr(0x38, SIZE);
    wr(0x80, RAM + DESC);
    wr(0x90, RAM + AVAIL);
    wr(0xa0, RAM + USED);
    wr(0x44, 1);
    wr(0x70, 0xf);
}

static int setup(void **)
{
    fake_start(1000000);
    memset(&mem, 0, sizeof(mem));
    memset(&irq, 0, sizeof(irq));
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (u8)(i * 13 >> 3);
    assert_ok(gmem_add(&mem, GPA(RAM), sizeof(ram), ram, GMEM_RAM));
    assert_ok(vblk_init(&disk, &fake_bus, BASE, data, 16, &mem, LINE(&irq)));
    start();
    return 0;
}

/* Tell of the chain that starts at descriptor 0; the bytes the device says it has written, or -1.
 */
static int ask(void)
{
    put(AVAIL + 4 + 2 * (asked % SIZE), 0, 2);
    put(AVAIL + 2, ++asked, 2);
    put(STATUS, 0xff, 1);
    wr(0x50, 0);
    return get(USED + 2, 2) == asked ? (int)get(USED + 4 + 8 * ((asked - 1u) % SIZE) + 4, 4) : -1;
}

static void request(u32 type, u64 sector, u32 length)
{
    put(HEADER, type, 4);
    put(HEADER + 8, sector, 8);
    descriptor(0, RAM + HEADER, 16, 1, 1);
    descriptor(1, RAM + BUFFER, length, 3, 2);
    descriptor(2, RAM + STATUS, 1, 2, 0);
}

static void identity(void **)
{
    assert_int_equal(rd(0), 0x74726976);
    assert_int_equal(rd(4), 2);
    assert_int_equal(rd(8), 2);
    wr(0x14, 0);
    assert_int_equal(rd(0x10), BIT(2) | BIT(5)); /* SEG_MAX, RO */
    wr(0x14, 1);
    assert_int_equal(rd(0x10), 1); /* VERSION_1 */
    assert_int_equal(rd(0x100), 16);
    assert_int_equal(rd(0x104), 0);
    assert_int_equal(rd(0x34), VBLK_QUEUE);
    wr(0x30, 1);
    assert_int_equal(rd(0x34), 0);
}

static void reads(void **)
{
    for (unsigned i = 0; i < 3 * SIZE; i++) { /* the rings come round */
        request(0, i % 13, 3 * VBLK_SECTOR);
        assert_int_equal(ask(), 3 * VBLK_SECTOR + 1);
        assert_int_equal(get(STATUS, 1), 0);
        assert_memory_equal(ram + BUFFER, data + i % 13 * VBLK_SECTOR, 3 * VBLK_SECTOR);
    }
    assert_true(irq.level);
    assert_int_equal(rd(0x60), 1);
    wr(0x64, 1);
    assert_false(irq.level);
    put(AVAIL, 1, 2); /* no interrupt */
    request(0, 0, VBLK_SECTOR);
    assert_int_equal(ask(), VBLK_SECTOR + 1);
    assert_false(irq.level);
}

/* 2.7.4: the driver may cut header, data and result as it likes. */
static void any_framing(void **)
{
    put(HEADER, 0, 4);
    put(HEADER + 8, 5, 8);
    descriptor(0, RAM + HEADER, 3, 1, 4);
    descriptor(4, RAM + HEADER + 3, 13, 1, 2);
    descriptor(2, RAM + BUFFER, 100, 3, 3);
    descriptor(3, RAM + BUFFER + 100, 413, 2, 0); /* the last byte is the result */
    put(BUFFER + 512, 0xff, 1);
    assert_int_equal(ask(), 513);
    assert_memory_equal(ram + BUFFER, data + 5 * VBLK_SECTOR, 512);
    assert_int_equal(get(BUFFER + 512, 1), 0);
}

static void refusals(void **)
{
    static const struct {
        u32 type, length, result;
        u64 sector;
    } cases[] = {
        {0, 512, 1, 16},                    /* behind the end */
        {0, 1024, 1, 15},                   /* over the end */
        {0, 512, 1, 0xffffffffffffffffull}, /* wraps */
        {0, 100, 1, 0},                     /* no whole sector */
        {1, 512, 2, 0},                     /* a write */
        {8, 19, 1, 0},                      /* no room for the ID */
        {77, 512, 2, 0},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        request(cases[i].type, cases[i].sector, cases[i].length);
        assert_true(ask() > 0);
        assert_int_equal(get(STATUS, 1), cases[i].result);
        assert_int_equal(get(BUFFER, 8), 0);
    }
    request(8, 0, 20);
    assert_int_equal(ask(), 21);
    assert_string_equal((char *)ram + BUFFER, "vitrine disk");
}

/* What makes no sense stops the device until it is reset. */
static void nonsense(void **)
{
    for (unsigned i = 0; i < 9; i++) {
        start();
        request(0, 0, 512);
        switch (i) {
        case 0: descriptor(2, RAM + STATUS, 1, 3, 0); break;      /* a circle */
        case 1: descriptor(1, RAM + BUFFER, 512, 3, SIZE); break; /* no such descriptor */
        case 2: descriptor(1, RAM + sizeof(ram) - 511, 512, 3, 2); break;
        case 3: descriptor(1, ~0ull, 512, 3, 2); break;
        case 4: descriptor(0, RAM + HEADER, 15, 1, 1); break; /* a short header */
        case 5: descriptor(0, RAM + HEADER, 16, 0, 0); break; /* no result */
        case 6: descriptor(2, RAM + STATUS, 1, 0, 0); break;  /* to read, behind to write */
        case 7: put(AVAIL + 4, SIZE, 2); break;
        default:
            wr(0x44, 0);
            wr(0xa0, 0x1000);
            wr(0x44, 1);
        }
        if (i == 7) {
            put(AVAIL + 2, 1, 2);
            wr(0x50, 0);
        } else {
            assert_int_equal(ask(), -1);
        }
        assert_int_equal(rd(0x70), 0x4f);
        assert_int_equal(get(BUFFER, 8), 0);
    }
    start();
    request(0, 1, 512);
    assert_int_equal(ask(), 513);
}

static void not_ready(void **)
{
    request(0, 0, 512);
    wr(0x44, 0);
    assert_int_equal(ask(), -1);
    wr(0x38, 7); /* no power of two */
    wr(0x44, 1);
    assert_int_equal(rd(0x44), 0);
    wr(0x70, 0);
    wr(0x70, 3);
    wr(0x70, 0xb); /* VERSION_1 was not accepted */
    assert_int_equal(rd(0x70), 3);
}

static void no_disk(void **)
{
    fake_start(1000000);
    assert_ok(vblk_init(&disk, &fake_bus, BASE, NULL, 0, &mem, LINE(&irq)));
    assert_int_equal(rd(0), 0x74726976);
    assert_int_equal(rd(8), 0);
    assert_int_equal(rd(0x34), 0);
    SHOW(vblk_show(&disk, out));
    assert_non_null(strstr(shown, "0 sectors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(identity, setup),    cmocka_unit_test_setup(reads, setup),
        cmocka_unit_test_setup(any_framing, setup), cmocka_unit_test_setup(refusals, setup),
        cmocka_unit_test_setup(nonsense, setup),    cmocka_unit_test_setup(not_ready, setup),
        cmocka_unit_test_setup(no_disk, setup),
    };

    return cmocka_run_group_tests_name("vblk", tests, NULL, NULL);
}
