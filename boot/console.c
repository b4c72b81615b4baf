/* SPDX-License-Identifier: MIT
 *
 * Finding the hardware for the console, and the log's first sinks.  The polled port is waited for,
 * but given up for good when it does not move.
 */
#include "boot/console.h"

#include "arch/x86/acpi.h"
#include "arch/x86/cpu.h"
#include "arch/x86/irq.h"
#include "arch/x86/memory.h"
#include "arch/x86/paging.h"
#include "boot/multiboot.h"
#include "drivers/console/hw.h"
#include "drivers/host/framebuffer.h"
#include "drivers/host/pci.h"
#include "drivers/host/vga.h"

#define BAUD       115200
#define SPINS      2000000u /* polls without progress: a FIFO empties in about 2000 */
#define UART_SPACE 8u       /* registers */

static void early_write(struct sink *self, const char *text, size_t len);

static struct {
    struct sink sink; /* over early */
    struct uart16550 early, uart;
    struct uart_memory memory; /* where `uart` has its registers, if not in I/O space */
    bool early_present;
    struct vga vga;
    struct framebuffer framebuffer;
    struct i8042 keyboard;
    struct terminal *screen;
    struct console_hw hw;
} console = {.sink.write = early_write};

static void send(const char *text, size_t len)
{
    const u8 *bytes = (const u8 *)text;
    u32 spins = 0;

    while (len != 0 && console.early_present) {
        u32 sent = uart_send(&console.early, bytes, (u32)len);
        bytes += sent;
        len -= sent;
        spins = sent ? 0 : spins + 1;
        if (spins == SPINS)
            console.early_present = false;
        else if (sent == 0)
            cpu_pause();
    }
}

static void early_write(struct sink *, const char *text, size_t len)
{
    while (len != 0) {
        size_t n = 0;
        while (n < len && text[n] != '\n')
            n++;
        send(text, n);
        if (n < len) {
            send("\r\n", 2);
            n++;
        }
        text += n;
        len -= n;
    }
}

static bool try_uart(struct uart16550 *u, struct port_io io, u16 base, u32 baud)
{
    return uart_probe(u, io, base) == STATUS_OK && uart_init(u, baud) == STATUS_OK;
}

void console_init(void)
{
    console.early_present = try_uart(&console.early, port_io_native, UART_COM1, BAUD);
    if (console.early_present)
        log_attach(&console.sink, LOG_DEBUG);
}

/* White, not too bright, in the screen's format. */
static u32 text_colour(const struct boot_framebuffer *fb)
{
    u32 colour = 0;

    for (unsigned i = 0; i < 3; i++) {
        const u8 *field = &fb->colour[2 * i];
        if (field[1] != 0 && field[1] <= 16 && field[0] < 32)
            colour |= ((3u << field[1]) >> 2) << field[0];
    }
    return colour ? colour : 0xc0c0c0;
}

static struct terminal *start_framebuffer(const struct boot_framebuffer *fb, volatile u8 *pixels)
{
    if (fb->bpp > 8 && fb->bpp <= 32 &&
        framebuffer_init(&console.framebuffer, pixels, fb->width, fb->height, fb->pitch,
                         (fb->bpp + 7u) / 8, text_colour(fb)) == STATUS_OK)
        return &console.framebuffer.terminal;
    log_warn("console", "nothing can be shown on a screen of %u x %u pixels of %u bits", fb->width,
             fb->height, fb->bpp);
    return NULL;
}

void console_init_screen(const struct boot_framebuffer *fb, void *(*map)(hpa_t at, u64 size))
{
    bool pixels = fb->address != 0 && fb->type == MULTIBOOT_FRAMEBUFFER_TYPE_RGB;
    void *at = pixels ? map(HPA(fb->address), (u64)fb->pitch * fb->height)
                      : map(HPA(VGA_TEXT_BASE), VGA_CELLS * sizeof(u16));

    if (!at)
        return;
    if (console.screen) {
        console.framebuffer.pixels = at;
        console.vga.cells = at;
        return;
    }
    if (pixels)
        console.screen = start_framebuffer(fb, at);
    else if (vga_init(&console.vga, port_io_native, at) == STATUS_OK)
        console.screen = &console.vga.terminal;
    if (console.screen)
        log_attach(&console.screen->sink, LOG_INFO);
}

/* Not set up again: what it is sending, and what was typed already, is not to be lost. */
static bool open_com1(void)
{
    console.uart = console.early;
    return console.early_present;
}

/* The port that ACPI's SPCR table names. */
static bool open_spcr(void)
{
    const struct acpi_serial *s = &acpi_info()->serial;
    struct port_io io = port_io_native;

    if (s->address == 0)
        return false;
    if (!s->memory && s->address == UART_COM1)
        return open_com1();
    if (s->memory) {
        console.memory =
            (struct uart_memory){mmio_map(HPA(s->address), UART_SPACE * s->stride), s->stride};
        io = port_io_memory(&console.memory);
    }
    bool good = (!s->memory || console.memory.at) &&
                try_uart(&console.uart, io, s->memory ? 0 : (u16)s->address, s->baud);
    log_line(good ? LOG_INFO : LOG_WARN, "console", "ACPI's SPCR names a serial port at %s %#lx%s",
             s->memory ? "memory" : "port", s->address, good ? "" : ", which does not answer");
    return good;
}

static bool open_port(u16 base)
{
    bool good = try_uart(&console.uart, port_io_native, base, BAUD);

    if (good)
        log_info("console", "serial port at %#x", base);
    return good;
}

static bool open_com2(void) { return open_port(UART_COM2); }

/* The first port of the first serial card (class 07H, subclass 00H) that answers. */
static bool open_pci(void)
{
    struct pci_device device;
    bool good = false;

    for (unsigned n = 0; !good && pci_find(PCI_CLASS_SERIAL, n, &device); n++) {
        u64 bar = pci_enable_bar(&device, 0);
        bool memory = !(bar & PCI_BAR_IO);
        u64 at = bar & (memory ? PCI_BAR_MEMORY_MASK : PCI_BAR_IO_MASK);
        if (at == 0)
            continue;
        if (memory)
            console.memory = (struct uart_memory){mmio_map(HPA(at), UART_SPACE), 1};
        if (!memory || console.memory.at)
            good =
                try_uart(&console.uart, memory ? port_io_memory(&console.memory) : port_io_native,
                         memory ? 0 : (u16)at, BAUD);
        log_line(good ? LOG_INFO : LOG_WARN, "console", "PCI serial card %02x:%02x.%x at %s %#lx%s",
                 device.bus, device.slot, device.function, memory ? "memory" : "port", at,
                 good ? "" : ", which does not answer");
    }
    return good;
}

/* What each choice tries, in this order. */
static bool (*const openers[][4])(void) = {
    [CONSOLE_AUTO] = {open_spcr, open_com1, open_com2, open_pci},
    [CONSOLE_COM1] = {open_com1},
    [CONSOLE_COM2] = {open_com2},
    [CONSOLE_SPCR] = {open_spcr},
    [CONSOLE_PCI] = {open_pci},
    [CONSOLE_SCREEN] = {NULL},
    [CONSOLE_NONE] = {NULL},
};

/* The ISA interrupt of a port, -1 where it is not known. */
static int port_irq(u16 base)
{
    const struct acpi_serial *s = &acpi_info()->serial;

    if (s->address == base && base != 0)
        return s->irq ? s->irq : -1;
    return base == UART_COM1 ? UART_COM1_IRQ : base == UART_COM2 ? UART_COM2_IRQ : -1;
}

struct mux_hw console_open(enum hv_console choice, void (*fn)(void *ctx), void *ctx)
{
    struct console_hw *hw = &console.hw;

    for (unsigned i = 0; !hw->uart && i < ARRAY_SIZE(openers[0]) && openers[choice][i]; i++)
        if (openers[choice][i]())
            hw->uart = &console.uart;
    int irq = hw->uart ? port_irq(hw->uart->base) : -1;
    hw->interrupts = irq >= 0 && irq_attach((unsigned)irq, fn, ctx) == STATUS_OK;
    if (choice == CONSOLE_AUTO || choice == CONSOLE_SCREEN) {
        hw->screen = console.screen;
        if (i8042_init(&console.keyboard, port_io_native) == STATUS_OK) {
            hw->keyboard = &console.keyboard;
            if (irq_attach(I8042_IRQ, fn, ctx) != STATUS_OK)
                log_warn("console", "no interrupt for the keyboard: keys are polled for");
        }
    }
    if (choice != CONSOLE_NONE && !hw->uart && !hw->screen)
        log_warn("console", "neither a serial port nor a screen: the log is kept in memory");
    return console_hw(hw);
}

u16 console_port(void) { return console.hw.uart ? console.hw.uart->base : 0; }

void console_hand_over(struct sink *successor, enum log_level most)
{
    const struct console_hw *hw = &console.hw;
    struct sink *screen = console.screen ? &console.screen->sink : NULL;
    bool same_port = hw->uart && console.early_present && hw->uart->base == console.early.base;
    struct sink *seen = same_port ? &console.sink : hw->uart || !hw->screen ? NULL : screen;

    if (hw->uart && !same_port && hw->screen) /* there everything is shown again */
        terminal_put(hw->screen, "\033[H\033[2J", 7);
    if (seen)
        log_replace(seen, successor, most);
    log_detach(&console.sink);
    if (screen)
        log_detach(screen);
    if (!seen)
        log_attach(successor, most);
}

void console_drain(void)
{
    struct uart16550 *u = console.hw.uart ? console.hw.uart : &console.early;

    if (console.hw.screen)
        (void)terminal_show(console.hw.screen, console.hw.screen->rows);
    for (u32 i = 0; (console.hw.uart || console.early_present) && i < SPINS && !uart_idle(u); i++)
        cpu_pause();
}
