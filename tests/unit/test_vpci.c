/* SPDX-License-Identifier: MIT
 *
 * PCI configuration mechanism 1 by PCI Local Bus 3.0, the 440FX host bridge by its data sheet, the
 * probes that kernels make, and the reset register.
 */
#include "device.h"
#include "drivers/model/vpci.h"

static struct vpci pci;
static struct vpci_function card;
static unsigned told, told_offset, told_size;

static int setup(void **)
{
    fake_start(1000000);
    told = 0;
    assert_ok(vpci_init(&pci, &fake_bus, &recorder));
    return 0;
}

static u32 rd(u16 port, unsigned size) { return bus_port_read(&fake_bus, 0, port, size); }

static void wr(u16 port, unsigned size, u32 value)
{
    bus_port_write(&fake_bus, 0, port, size, value);
}

static u32 config_read(u32 address, unsigned size)
{
    wr(0xcf8, 4, 0x80000000 | (address & ~3u));
    return rd((u16)(0xcfc + (address & 3)), size);
}

static void config_write(u32 address, unsigned size, u32 value)
{
    wr(0xcf8, 4, 0x80000000 | (address & ~3u));
    wr((u16)(0xcfc + (address & 3)), size, value);
}

/* PCI 3.0, 3.2.2.3.2: only whole double words reach the address register. */
static void address_register(void **)
{
    assert_int_equal(rd(0xcf8, 4), 0);
    wr(0xcf8, 4, 0xffffffff);
    assert_int_equal(rd(0xcf8, 4), 0x80fffffc); /* bits 30:24 and 1:0 are 0 */
    wr(0xcf8, 1, 0);
    wr(0xcf8, 2, 0);
    wr(0xcfa, 2, 0);
    wr(0xcfb, 1, 1); /* Linux' probe for mechanism 1 begins with it */
    wr(0xcfc, 4, 0x12345678);
    assert_int_equal(rd(0xcf8, 4), 0x80fffffc);
    assert_int_equal(rd(0xcf8, 1), 0xff);
    assert_int_equal(rd(0xcfa, 2), 0xffff);
    assert_int_equal(rd(0xcfa, 4), 0xffffffff);
    assert_int_equal(recorded.machine, 0);
}

static void host_bridge(void **)
{
    assert_int_equal(config_read(0x00, 4), 0x12378086);
    assert_int_equal(config_read(0x00, 2), 0x8086);
    assert_int_equal(config_read(0x02, 2), 0x1237);
    assert_int_equal(config_read(0x01, 1), 0x80);
    assert_int_equal(config_read(0x01, 2), 0x3780); /* across byte lanes */
    assert_int_equal(config_read(0x08, 4), 0x06000002);
    assert_int_equal(config_read(0x0a, 2), 0x0600); /* host bridge */
    assert_int_equal(config_read(0x0e, 1), 0);      /* one function, header type 0 */
    assert_int_equal(config_read(0x2c, 4), 0x11001af4);
    config_write(0x00, 4, 0xffffffff);
    config_write(0x2c, 4, 0);
    assert_int_equal(config_read(0x00, 4), 0x12378086);
    assert_int_equal(config_read(0x2c, 4), 0x11001af4);
}

/* PAM: two areas of two bits a register, all 0 after reset; the first has only its upper area. */
static void pam_registers(void **)
{
    assert_int_equal(config_read(0x58, 4), 0);
    config_write(0x58, 4, 0xffffffff);
    config_write(0x5c, 4, 0xffffffff);
    assert_int_equal(config_read(0x58, 4), 0x33333000);
    assert_int_equal(config_read(0x5c, 4), 0x33333333);
    config_write(0x5a, 1, 0x11);
    assert_int_equal(config_read(0x58, 4), 0x33113000);
    config_write(0x5e, 2, 0);
    assert_int_equal(config_read(0x5c, 4), 0x00003333);
    assert_int_equal(config_read(0x60, 4), 0);
}

static void nothing_there(void **)
{
    assert_int_equal(config_read(1 << 8, 4), 0xffffffff);
    assert_int_equal(config_read(1 << 11, 2), 0xffff);
    assert_int_equal(config_read(31 << 11 | 7 << 8, 1), 0xff);
    assert_int_equal(config_read(1 << 16, 4), 0xffffffff); /* another bus */
    config_write(1 << 11, 4, 0);
    wr(0xcf8, 4, 0); /* not enabled: CFCH is nobody's */
    assert_int_equal(rd(0xcfc, 4), 0xffffffff);
    assert_int_equal(rd(0xcfe, 2), 0xffff);
}

static void written(void *dev, unsigned offset, unsigned size)
{
    assert_ptr_equal(dev, &card);
    told++;
    told_offset = offset;
    told_size = size;
}

static void further_functions(void **)
{
    static struct vpci_function more[VPCI_MAX_FUNCTIONS];

    card = (struct vpci_function){.name = "card", .device = 3, .written = written, .dev = &card};
    vpci_set(&card, VPCI_VENDOR, 2, 0x1af4);
    memset(card.writable + 0x10, 0xf0, 4);
    assert_ok(vpci_add(&pci, &card));
    assert_int_equal(vpci_add(&pci, &card), STATUS_EOVERLAP);
    assert_int_equal(config_read(3 << 11, 2), 0x1af4);
    config_write(3 << 11 | 0x12, 2, 0xffff);
    assert_int_equal(told, 1);
    assert_int_equal(told_offset, 0x12);
    assert_int_equal(told_size, 2);
    assert_int_equal(config_read(3 << 11 | 0x10, 4), 0xf0f00000);
    assert_int_equal(config_read(3 << 11 | 1 << 8, 4), 0xffffffff);
    /* The last byte of the space, and an access that would leave it: the port range ends there. */
    card.config[255] = 0x77;
    assert_int_equal(config_read(3 << 11 | 0xff, 1), 0x77);
    assert_int_equal(config_read(3 << 11 | 0xff, 4), 0xffffff77);
    more[0].device = 32;
    assert_int_equal(vpci_add(&pci, &more[0]), STATUS_EINVAL);
    more[0] = (struct vpci_function){.function = 8};
    assert_int_equal(vpci_add(&pci, &more[0]), STATUS_EINVAL);
    for (unsigned i = 0; i < VPCI_MAX_FUNCTIONS - 2; i++) {
        more[i] = (struct vpci_function){.name = "more", .device = (u8)(8 + i)};
        assert_ok(vpci_add(&pci, &more[i]));
    }
    more[7] = (struct vpci_function){.device = 30};
    assert_int_equal(vpci_add(&pci, &more[7]), STATUS_ENOSPC);
    SHOW(vpci_show(&pci, out));
    assert_non_null(strstr(shown, "00:00.0  8086:1237 class 0600 host bridge"));
    assert_non_null(strstr(shown, "00:03.0  1af4:0000"));
}

static void resets(void **)
{
    wr(0xcf9, 1, 0x02); /* chooses a hard reset */
    assert_int_equal(rd(0xcf9, 1), 0x02);
    assert_int_equal(recorded.machine, 0);
    wr(0xcf9, 1, 0x06); /* and does it */
    assert_int_equal(recorded.machine, 1);
    assert_int_equal(recorded.event, MACHINE_RESET);
    wr(0xcf9, 1, 0x06); /* bit 2 did not rise */
    assert_int_equal(recorded.machine, 1);
    wr(0xcf9, 1, 0x00);
    wr(0xcfe, 1, 0x06); /* other places and widths are not the register */
    wr(0xcfa, 1, 0x06);
    wr(0xcf9, 2, 0x0606);
    assert_int_equal(recorded.machine, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(address_register, setup),
        cmocka_unit_test_setup(host_bridge, setup),
        cmocka_unit_test_setup(pam_registers, setup),
        cmocka_unit_test_setup(nothing_there, setup),
        cmocka_unit_test_setup(further_functions, setup),
        cmocka_unit_test_setup(resets, setup),
    };

    return cmocka_run_group_tests_name("vpci", tests, NULL, NULL);
}
