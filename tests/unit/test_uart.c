/* SPDX-License-Identifier: MIT
 *
 * The host's serial port and text screen against small models of the chips, written from the
 * PC16550D data sheet and the VGA's register description; and against chips that are missing,
 * old, or broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/console/hw.c"
#include "drivers/host/font.c"
#include "drivers/host/framebuffer.c"
#include "drivers/host/i8042.c"
#include "drivers/host/terminal.c"
#include "drivers/host/uart16550.c"
#include "drivers/host/vga.c"

enum chip_kind { CHIP_16550A, CHIP_8250, CHIP_MISSING, CHIP_RAM, CHIP_STUCK };

struct chip {
    enum chip_kind kind;
    u8 ier, lcr, mcr, fcr, dll, dlm;
    u8 sent[4096];
    u32 sent_len;
    u8 tx_fifo;      /* bytes waiting */
    bool thre_event; /* "transmitter empty" interrupt not yet seen */
    struct {
        u8 byte, errors;
    } rx[64];
    u32 rx_head, rx_tail;
    bool overrun;
    u64 accesses;
    u8 ram[8];
};

static struct chip chip;
static struct uart16550 uart;

static u8 chip_lsr(struct chip *c)
{
    u8 lsr = (u8)((c->tx_fifo ? 0 : 0x60) | (c->overrun ? 2 : 0));

    if (c->kind == CHIP_STUCK)
        lsr = 0;
    if (c->rx_head != c->rx_tail) {
        lsr |= (u8)(1 | c->rx[c->rx_tail % 64].errors);
        c->rx[c->rx_tail % 64].errors = 0; /* reading clears */
    }
    c->overrun = false;
    return lsr;
}

static u8 chip_iir(struct chip *c)
{
    u8 fifo = c->kind == CHIP_16550A && c->fcr & 1 ? 0xc0 : 0;

    if (c->ier & 1 && c->rx_head != c->rx_tail)
        return fifo | 4;
    if (c->ier & 2 && c->thre_event) {
        c->thre_event = false; /* reading clears */
        return fifo | 2;
    }
    return fifo | 1;
}

static u8 chip_read(void *ctx, u16 port)
{
    struct chip *c = ctx;

    c->accesses++;
    assert_in_range(port, UART_COM1, UART_COM1 + 7);
    if (c->kind == CHIP_MISSING)
        return 0xff;
    if (c->kind == CHIP_RAM)
        return c->ram[port & 7];
    switch (port & 7) {
    case 0:
        if (c->lcr & 0x80)
            return c->dll;
        return c->rx_head != c->rx_tail ? c->rx[c->rx_tail++ % 64].byte : 0;
    case 1: return c->lcr & 0x80 ? c->dlm : c->ier;
    case 2: return chip_iir(c);
    case 3: return c->lcr;
    case 4: return c->mcr;
    case 5: return chip_lsr(c);
    case 6: /* loop-back: RTS->CTS, DTR->DSR, OUT1->RI, OUT2->DCD */
        if (c->mcr & 0x10)
            return (u8)((c->mcr & 2 ? 0x10 : 0) | (c->mcr & 1 ? 0x20 : 0) |
                        (c->mcr & 4 ? 0x40 : 0) | (c->mcr & 8 ? 0x80 : 0));
        return 0xb0;
    default: return 0;
    }
}

static void chip_write(void *ctx, u16 port, u8 v)
{
    struct chip *c = ctx;

    c->accesses++;
    assert_in_range(port, UART_COM1, UART_COM1 + 7);
    c->ram[port & 7] = v;
    switch (port & 7) {
    case 0:
        if (c->lcr & 0x80) {
            c->dll = v;
            break;
        }
        assert_true(c->tx_fifo < (c->kind == CHIP_16550A && c->fcr & 1 ? 16 : 1)); /* no overrun */
        c->tx_fifo++;
        c->thre_event = false;
        if (c->sent_len < sizeof(c->sent))
            c->sent[c->sent_len++] = v;
        break;
    case 1:
        if (c->lcr & 0x80) {
            c->dlm = v;
            break;
        }
        if (v & 2 && !(c->ier & 2) && !c->tx_fifo)
            c->thre_event = true; /* enabling it while empty interrupts at once */
        c->ier = v & 0x0f;
        break;
    case 2:
        c->fcr = v;
        if (v & 2)
            c->rx_tail = c->rx_head;
        break;
    case 3: c->lcr = v; break;
    case 4: c->mcr = v & 0x1f; break;
    default: break;
    }
}

static void chip_drain(void)
{
    chip.thre_event |= chip.tx_fifo != 0;
    chip.tx_fifo = 0;
}

static void chip_receive(u8 byte, u8 errors)
{
    chip.rx[chip.rx_head % 64].byte = byte;
    chip.rx[chip.rx_head++ % 64].errors = errors;
}

static bool chip_irq(void)
{
    return chip.mcr & 8 &&
           ((chip.ier & 1 && chip.rx_head != chip.rx_tail) || (chip.ier & 2 && chip.thre_event));
}

static enum status probe(enum chip_kind kind)
{
    struct port_io io = {.read = chip_read, .write = chip_write, .ctx = &chip};

    memset(&chip, 0, sizeof(chip));
    chip.kind = kind;
    return uart_probe(&uart, io, UART_COM1);
}

static void start(enum chip_kind kind)
{
    assert_int_equal(probe(kind), STATUS_OK);
    assert_int_equal(uart_init(&uart, 115200), STATUS_OK);
}

static void test_probe(void **)
{
    assert_int_equal(probe(CHIP_16550A), STATUS_OK);
    assert_int_equal(chip.mcr & 0x10, 0); /* out of loop-back again */
    assert_int_equal(chip.ier, 0);
    assert_int_equal(probe(CHIP_8250), STATUS_OK);
    assert_int_equal(probe(CHIP_MISSING), STATUS_ENOENT);
    assert_true(chip.accesses < 100);
    assert_int_equal(probe(CHIP_RAM), STATUS_ENOENT);
}

static void test_init(void **)
{
    start(CHIP_16550A);
    assert_int_equal(chip.lcr, 3);
    assert_int_equal(chip.dll | chip.dlm << 8, 1);
    assert_int_equal(chip.mcr, 0x0b);
    assert_int_equal(uart.fifo_depth, 16);
    assert_int_equal(uart_init(&uart, 9600), STATUS_OK);
    assert_int_equal(chip.dll | chip.dlm << 8, 12);
    assert_int_equal(uart_init(&uart, 300), STATUS_OK);
    assert_int_equal(chip.dll | chip.dlm << 8, 384);
    assert_int_equal(uart_init(&uart, 0), STATUS_OK); /* as it was */
    assert_int_equal(chip.dlm << 8 | chip.dll, 384);
    assert_int_equal(uart_init(&uart, 230400), STATUS_EINVAL);
    assert_int_equal(uart_init(&uart, 10000), STATUS_EINVAL);
    start(CHIP_8250);
    assert_int_equal(uart.fifo_depth, 1);
    assert_int_equal(chip.fcr, 0);
}

static void test_send(void **)
{
    u8 text[100];

    for (u8 i = 0; i < 100; i++)
        text[i] = i;
    start(CHIP_16550A);
    assert_int_equal(uart_send(&uart, text, 100), 16);
    assert_int_equal(uart_send(&uart, text + 16, 84), 0);
    assert_false(uart_idle(&uart));
    chip_drain();
    assert_true(uart_idle(&uart));
    assert_int_equal(uart_send(&uart, text + 16, 5), 5);
    chip.accesses = 0;
    assert_int_equal(uart_send(&uart, text + 21, 5), 5);
    assert_int_equal(chip.accesses, 5); /* the status was known */
    assert_int_equal(uart_send(&uart, text + 26, 50), 6);
    assert_int_equal(uart_send(&uart, text, 0), 0);
    assert_int_equal(chip.sent_len, 32);
    assert_memory_equal(chip.sent, text, 32);
    start(CHIP_8250);
    assert_int_equal(uart_send(&uart, text, 100), 1);
    chip_drain();
    assert_int_equal(uart_send(&uart, text, 100), 1);
    start(CHIP_STUCK);
    assert_int_equal(uart_send(&uart, text, 100), 0);
    assert_true(chip.accesses < 200);
}

static void test_receive(void **)
{
    start(CHIP_16550A);
    assert_int_equal(uart_receive(&uart), -1);
    chip_receive('a', 0);
    chip_receive('b', 0x08);  /* framing */
    chip_receive(0x00, 0x10); /* break */
    chip_receive('c', 0);
    assert_int_equal(uart_receive(&uart), 'a');
    assert_int_equal(uart_receive(&uart), 'c');
    assert_int_equal(uart_receive(&uart), -1);
    assert_int_equal(uart.bad, 2);
    chip_receive('d', 0x04);
    (void)uart_idle(&uart); /* reads the status, and with it the error */
    assert_int_equal(uart_receive(&uart), -1);
    assert_int_equal(uart.bad, 3);
    chip.overrun = true;
    chip_receive('e', 0);
    assert_int_equal(uart_receive(&uart), 'e');
    assert_int_equal(uart.overruns, 1);
}

/* The whole console on an interrupting 16550: everything arrives by interrupts alone. */
static void test_interrupts(void **)
{
    static struct mux mux;
    struct mux_hw hw;
    char text[200];
    int rounds = 0;

    start(CHIP_16550A);
    struct console_hw port = {.uart = &uart, .interrupts = true};
    hw = console_hw(&port);
    mux_init(&mux, &hw);
    assert_int_equal(chip.ier, 1);
    memset(text, 'x', sizeof(text));
    mux.prompt_out.write(&mux.prompt_out, text, sizeof(text));
    assert_int_equal(chip.ier, 3);
    assert_int_equal(chip.sent_len, 16);
    while (chip.sent_len < sizeof(text) && rounds++ < 100) {
        chip_drain();
        assert_true(chip_irq());
        mux_poll(&mux);
        assert_false(chip_irq()); /* the line fell: an edge can come again */
    }
    assert_int_equal(rounds, 12); /* 184 bytes by 16 */
    chip_drain();
    if (chip_irq())
        mux_poll(&mux);
    assert_int_equal(chip.ier, 1);
    assert_false(chip_irq());
    chip_receive('k', 0);
    assert_true(chip_irq());
    mux_poll(&mux);
    assert_false(chip_irq());
    assert_int_equal(chip.rx_head, chip.rx_tail);
}

/* --- The text screen -------------------------------------------------------------------------- */

static u8 crtc[32], graphics[16], crtc_index, graphics_index;
static u16 cells[VGA_CELLS];
static bool no_card;

static u8 vga_port_read(void *, u16 port)
{
    if (no_card)
        return 0xff;
    return port == 0x3d5   ? crtc[crtc_index % 32]
           : port == 0x3cf ? graphics[graphics_index % 16]
                           : 0;
}

static void vga_port_write(void *, u16 port, u8 value)
{
    if (port == 0x3d4)
        crtc_index = value;
    else if (port == 0x3d5)
        crtc[crtc_index % 32] = value;
    else if (port == 0x3ce)
        graphics_index = value;
    else
        fail_msg("port %#x written", port);
}

static struct vga vga;

static enum status vga_start(u8 misc)
{
    struct port_io io = {.read = vga_port_read, .write = vga_port_write};

    memset(cells, 0xee, sizeof(cells));
    graphics[6] = misc;
    return vga_init(&vga, io, cells);
}

static void vga_row(unsigned row, const char *want)
{
    for (unsigned i = 0; i < VGA_COLUMNS; i++) {
        char c = i < strlen(want) ? want[i] : ' ';
        if (cells[row * VGA_COLUMNS + i] != (0x0700 | c))
            fail_msg("row %u column %u: %#x, expected %c", row, i, cells[row * VGA_COLUMNS + i], c);
    }
}

static void test_vga(void **)
{
    no_card = false;
    assert_int_equal(vga_start(0x0e), STATUS_OK);
    sink_printf(&vga.terminal.sink, "hello\nab\bX\tt\r\n\033[31mred\033[0mabc\r\033[2CK\033[K\n");
    vga_row(0, "hello");
    vga_row(1, "aX      t");
    vga_row(2, "reK");
    assert_int_equal(crtc[0x0e] << 8 | crtc[0x0f], 3 * 80);
    sink_printf(&vga.terminal.sink, "%0100d", 7);
    vga_row(3, "00000000000000000000000000000000000000000000000000000000000000000000000000000000");
    vga_row(4, "00000000000000000007");
    sink_printf(&vga.terminal.sink, "\033[999C!\033[H\033[2Jtop");
    vga_row(0, "top");
    vga_row(4, "");
    for (int i = 0; i < 30; i++)
        sink_printf(&vga.terminal.sink, "\nline %d", i);
    vga_row(24, "line 29");
    vga_row(0, "line 5");
}

static void test_vga_absent(void **)
{
    no_card = true;
    assert_int_equal(vga_start(0x0e), STATUS_ENOENT);
    no_card = false;
    assert_int_equal(vga_start(0x05), STATUS_ENOENT); /* graphics at A0000 */
    assert_int_equal(vga_start(0x0a), STATUS_ENOENT); /* text, but mapped at B0000 */
    sink_printf(&vga.terminal.sink, "into the void\n");
    assert_int_equal(cells[0], 0xeeee);
}

static void test_vga_noise(void **)
{
    u32 seed = 1;

    assert_int_equal(vga_start(0x0e), STATUS_OK);
    for (int i = 0; i < 200000; i++) {
        char c;

        seed = seed * 1664525 + 1013904223;
        c = seed >> 30 ? (char)(seed >> 20) : "\033[KCHJ12"[seed >> 20 & 7];
        /* The cells are exactly as many as there are: ASan watches. */
        vga.terminal.sink.write(&vga.terminal.sink, &c, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe),      cmocka_unit_test(test_init),
        cmocka_unit_test(test_send),       cmocka_unit_test(test_receive),
        cmocka_unit_test(test_interrupts), cmocka_unit_test(test_vga),
        cmocka_unit_test(test_vga_absent), cmocka_unit_test(test_vga_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
