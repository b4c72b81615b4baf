/* SPDX-License-Identifier: MIT
 *
 * The firmware configuration device by QEMU's docs/specs/fw_cfg.rst, as firmware drives it.
 */
#include "device.h"
#include "drivers/model/vdbgcon.h"
#include "drivers/model/vfwcfg.h"
#include "lib/log.h"

#define SELECTOR 0x510
#define DATA     0x511
#define DMA      0x514

static struct vfwcfg cfg;
static struct gmem mem;
static u8 ram[2 * PAGE_SIZE], rom[PAGE_SIZE];

static int setup(void **)
{
    fake_start(1000000);
    memset(&mem, 0, sizeof(mem));
    memset(ram, 0xee, sizeof(ram));
    memset(rom, 0xee, sizeof(rom));
    assert_ok(gmem_add(&mem, GPA(0x100000), sizeof(ram), ram, GMEM_RAM));
    assert_ok(gmem_add(&mem, GPA(0xfffff000), sizeof(rom), rom, GMEM_ROM));
    assert_ok(vfwcfg_init(&cfg, &fake_bus, &mem));
    return 0;
}

static void choose(u16 key) { bus_port_write(&fake_bus, 0, SELECTOR, 2, key); }

static u64 next(unsigned size)
{
    u64 value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (u64)inb(DATA) << (8 * i);
    return value;
}

static u32 next_big(unsigned size)
{
    u32 value = 0;

    while (size-- > 0)
        value = value << 8 | inb(DATA);
    return value;
}

static void put_big(u8 *at, u32 value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (u8)(value >> (8 * (3 - i)));
}

/* A request at the start of RAM; returns its control word afterwards. */
static u32 dma(u32 control, u32 length, u64 to)
{
    put_big(ram, control);
    put_big(ram + 4, length);
    put_big(ram + 8, (u32)(to >> 32));
    put_big(ram + 12, (u32)to);
    bus_port_write(&fake_bus, 0, DMA, 4, 0);
    bus_port_write(&fake_bus, 0, DMA + 4, 4, __builtin_bswap32(0x100000));
    return (u32)(ram[0] << 24 | ram[1] << 16 | ram[2] << 8 | ram[3]);
}

static void numbered_entries(void **)
{
    choose(VFWCFG_SIGNATURE);
    assert_int_equal(next(4), 'Q' | 'E' << 8 | 'M' << 16 | 'U' << 24);
    assert_int_equal(inb(DATA), 0); /* behind the end */
    choose(VFWCFG_ID);
    assert_int_equal(next(4), 3); /* traditional interface and DMA */
    assert_ok(vfwcfg_add(&cfg, VFWCFG_CPUS, NULL, 0x0102, 2));
    assert_ok(vfwcfg_add(&cfg, VFWCFG_RAM_SIZE, NULL, 0x123456789a, 8));
    choose(VFWCFG_CPUS);
    assert_int_equal(next(4), 0x0102);
    choose(VFWCFG_RAM_SIZE);
    assert_int_equal(next(8), 0x123456789a);
    choose(0x1234); /* not there */
    assert_int_equal(next(8), 0);
    choose(VFWCFG_CPUS);
    outb(DATA, 0xff); /* entries are not written */
    choose(VFWCFG_CPUS);
    outb(SELECTOR, 0); /* the selector is a word */
    assert_int_equal(next(2), 0x0102);
    assert_int_equal(bus_port_read(&fake_bus, 0, SELECTOR, 2), 0xffff);
}

static void files(void **)
{
    char name[VFWCFG_NAME_SIZE];

    choose(VFWCFG_DIRECTORY);
    assert_int_equal(next_big(4), 0);
    assert_ok(vfwcfg_add_file(&cfg, "etc/one", "abc", 0, 3));
    assert_ok(vfwcfg_add_file(&cfg, "etc/two", NULL, 0x3f8, 2));
    choose(VFWCFG_DIRECTORY);
    assert_int_equal(next_big(4), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(next_big(4), i ? 2 : 3);
        assert_int_equal(next_big(2), 0x20 + i);
        assert_int_equal(next_big(2), 0);
        for (unsigned n = 0; n < sizeof(name); n++)
            name[n] = (char)inb(DATA);
        assert_string_equal(name, i ? "etc/two" : "etc/one");
        assert_int_equal(name[sizeof(name) - 1], 0);
    }
    choose(0x20);
    assert_int_equal(next(4), 'a' | 'b' << 8 | 'c' << 16);
    choose(0x21);
    assert_int_equal(next(4), 0x3f8);
    SHOW(vfwcfg_show(&cfg, out));
    assert_non_null(strstr(shown, "0020         3 bytes  etc/one"));
}

static void limits(void **)
{
    static const char *const long_name = "floppyimg/3456789012345678901234567890123456789012345678";
    enum status s = STATUS_OK;

    assert_int_equal(strlen(long_name), 56);
    assert_int_equal(vfwcfg_add_file(&cfg, long_name, "", 0, 0), STATUS_ERANGE);
    assert_ok(vfwcfg_add_file(&cfg, long_name + 1, "", 0, 0));
    for (unsigned i = 1; i < VFWCFG_MAX_FILES; i++)
        assert_ok(vfwcfg_add_file(&cfg, "x", "", 0, 0));
    assert_int_equal(vfwcfg_add_file(&cfg, "x", "", 0, 0), STATUS_ENOSPC);
    for (unsigned i = 0; i < VFWCFG_MAX_ENTRIES && s == STATUS_OK; i++)
        s = vfwcfg_add(&cfg, (u16)(0x8000 + i), NULL, 0, 1);
    assert_int_equal(s, STATUS_ENOSPC);
}

static void dma_reads(void **)
{
    assert_int_equal(bus_port_read(&fake_bus, 0, DMA, 4), __builtin_bswap32(0x51454d55));
    assert_int_equal(bus_port_read(&fake_bus, 0, DMA + 4, 4), __builtin_bswap32(0x20434647));
    assert_ok(vfwcfg_add_file(&cfg, "f", "0123456789", 0, 10));
    assert_int_equal(dma(0x20 << 16 | 8 | 2, 4, 0x100100), 0); /* select, read */
    assert_memory_equal(ram + 0x100, "0123\xee", 5);
    assert_int_equal(dma(4, 3, 0), 0); /* skip */
    assert_int_equal(dma(2, 5, 0x100100), 0);
    assert_memory_equal(ram + 0x100, "789\0\0\xee", 6);
    assert_int_equal(dma(0x20 << 16 | 8, 0, 0), 0); /* select only */
    assert_int_equal(inb(DATA), '0');
    assert_int_equal(dma(0x20 << 16 | 8 | 2, 10, 0x101ff6), 0); /* to the last byte of RAM */
    assert_memory_equal(ram + 0x1ff6, "0123456789", 10);
}

static void dma_refuses(void **)
{
    assert_ok(vfwcfg_add_file(&cfg, "f", "0123456789", 0, 10));
    assert_int_equal(dma(0x20 << 16 | 8 | 2, 10, 0x101ff7), 1); /* one byte past RAM */
    assert_int_equal(dma(2, 4, 0xfffff000), 1);                 /* ROM */
    assert_int_equal(rom[0], 0xee);
    assert_int_equal(dma(2, 4, 0x80000000), 1);
    assert_int_equal(dma(2, 4, ~0ull), 1);
    assert_int_equal(dma(2, 0xffffffff, 0x100000), 1);
    assert_int_equal(dma(16, 4, 0x100100), 1); /* write */
    /* A request that is nowhere: nothing happens. */
    bus_port_write(&fake_bus, 0, DMA, 4, 0);
    bus_port_write(&fake_bus, 0, DMA + 4, 4, __builtin_bswap32(0x101ff8));
    bus_port_write(&fake_bus, 0, DMA, 4, 0xffffffff);
    bus_port_write(&fake_bus, 0, DMA + 4, 4, 0xffffffff);
    assert_int_equal(ram[0x1ff8], 0xee);
}

/* --- The debug console ------------------------------------------------------------------------ */

static char logged[65536];
static struct buf_sink log_text;

static void say(const char *text)
{
    while (*text)
        outb(0x402, (u8)*text++);
}

static void debug_console(void **)
{
    static struct vdbgcon console;

    buf_sink_init(&log_text, logged, sizeof(logged));
    log_attach(&log_text.sink, LOG_DEBUG);
    assert_ok(vdbgcon_init(&console, &fake_bus, "vm1"));
    assert_int_equal(inb(0x402), 0xe9);
    say("Hello \x1b[2J %s\r\n");
    assert_non_null(strstr(logged, "vm1: bios: Hello [2J %s\n"));
    for (unsigned i = 0; i < VDBGCON_LINE + 1; i++)
        say(i < VDBGCON_LINE ? "a" : "b");
    assert_non_null(strstr(logged, "bios: aaaa"));
    assert_null(strstr(logged, "ab"));
    say("\n");
    assert_non_null(strstr(logged, "bios: b\n"));
    for (unsigned i = 0; i < 2 * VDBGCON_MAX_LINES; i++) {
        buf_sink_init(&log_text, logged, sizeof(logged));
        say("x\n");
        if (i + 3 == VDBGCON_MAX_LINES)
            assert_non_null(strstr(logged, "the rest is not logged"));
    }
    assert_int_equal(log_text.len, 0);
    log_detach(&log_text.sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(numbered_entries, setup),
        cmocka_unit_test_setup(files, setup),
        cmocka_unit_test_setup(limits, setup),
        cmocka_unit_test_setup(dma_reads, setup),
        cmocka_unit_test_setup(dma_refuses, setup),
        cmocka_unit_test_setup(debug_console, setup),
    };

    return cmocka_run_group_tests_name("vfwcfg", tests, NULL, NULL);
}
