/* SPDX-License-Identifier: MIT
 *
 * The 16550A, National's PC16550D datasheet; section 8 there describes the registers.
 */
#include "drivers/model/vuart.h"
#include "drivers/uart_regs.h"
#include "lib/string.h"

static bool fifos(const struct vuart *u) { return u->fcr & FCR_ENABLE; }

static bool looped(const struct vuart *u) { return u->mcr & MCR_LOOP; }

static unsigned depth(const struct vuart *u) { return fifos(u) ? VUART_FIFO : 1; }

static unsigned trigger(const struct vuart *u)
{
    static const u8 level[] = {1, 4, 8, 14};

    return fifos(u) ? level[u->fcr >> 6] : 1;
}

static void push(struct vuart_fifo *f, u8 byte)
{
    f->byte[(f->head + f->used++) % VUART_FIFO] = byte;
}

static u8 pop(struct vuart_fifo *f)
{
    u8 byte = f->byte[f->head];

    f->head = (u8)((f->head + 1) % VUART_FIFO);
    f->used--;
    return byte;
}

static u8 line_status(const struct vuart *u)
{
    return (u8)(u->errors | (u->rx.used ? LSR_DR : 0) | (u->tx.used ? 0 : LSR_THRE | LSR_TEMT));
}

/* The interrupt of highest priority. */
static u8 identify(const struct vuart *u)
{
    if ((u->ier & IER_LINE) && u->errors)
        return IIR_LINE;
    if ((u->ier & IER_RX) && u->rx.used >= trigger(u))
        return IIR_RX;
    if ((u->ier & IER_RX) && u->timeout)
        return IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MODEM) && (u->msr & 0xf))
        return IIR_MODEM;
    return IIR_NONE;
}

/* On a PC the interrupt passes a gate opened by OUT2, and loopback takes OUT2 away. */
static void update(struct vuart *u)
{
    bool level = identify(u) != IIR_NONE && (u->mcr & MCR_OUT2) && !looped(u);

    if (level == u->irq_level)
        return;
    u->irq_level = level;
    irqline_set(&u->irq, level);
}

/* The receiver FIFO was filled or read: after four characters' time without either, what lies
 * below the trigger level is reported all the same. */
static void restart_timeout(struct vuart *u)
{
    u32 lcr = u->lcr; /* start, 5-8 data, parity, 1-2 stop bits */
    u64 bits = 1 + 5 + (lcr & 3) + (lcr >> 3 & 1) + 1 + (lcr >> 2 & 1);
    u64 divisor = u->divisor ? u->divisor : 1;

    u->timeout = false;
    if (!fifos(u) || u->rx.used == 0)
        clock_disarm(u->clock, &u->timer);
    else
        clock_arm(u->clock, &u->timer,
                  clock_now(u->clock) + clock_ticks_from(u->clock, 4 * bits * divisor, BASE_BAUD));
}

static void timeout_fire(void *dev, u64)
{
    struct vuart *u = dev;

    u->timeout = true;
    update(u);
}

/* Take what the stream has, as far as there is room: so nothing is ever overrun from outside. */
static void receive(struct vuart *u)
{
    bool any = false;
    int byte;

    while (!looped(u) && u->rx.used < depth(u) && (byte = u->backend->get(u->backend->ctx)) >= 0) {
        push(&u->rx, (u8)byte);
        u->received++;
        any = true;
    }
    if (any)
        restart_timeout(u);
}

static void transmit(struct vuart *u)
{
    if (u->tx.used == 0)
        return;
    while (u->tx.used && u->backend->room(u->backend->ctx) > 0) {
        u->backend->put(u->backend->ctx, pop(&u->tx));
        u->sent++;
    }
    if (u->tx.used == 0)
        u->thre_pending = true;
}

void vuart_poll(struct vuart *u)
{
    transmit(u);
    receive(u);
    update(u);
}

static u8 read_data(struct vuart *u)
{
    u8 byte = 0;

    if (u->rx.used) {
        byte = pop(&u->rx);
        restart_timeout(u);
    }
    if (u->rx.used == 0)
        receive(u);
    return byte;
}

static void write_data(struct vuart *u, u8 byte)
{
    u->thre_pending = false;
    if (looped(u)) {
        if (u->rx.used < depth(u)) {
            push(&u->rx, byte);
            restart_timeout(u);
        } else { /* without FIFOs the new character replaces the old one */
            u->errors |= LSR_OE;
            u->overruns++;
            if (!fifos(u))
                u->rx.byte[u->rx.head] = byte;
        }
        u->thre_pending = true;
        return;
    }
    if (u->tx.used < depth(u))
        push(&u->tx, byte);
    else /* written although THRE is clear: lost, as on hardware */
        u->overruns++;
    transmit(u);
}

static void write_ier(struct vuart *u, u8 value)
{
    /* Enabling the interrupt with an empty transmitter raises it. */
    if ((value & IER_THRE) && !(u->ier & IER_THRE) && u->tx.used == 0)
        u->thre_pending = true;
    u->ier = value & 0xf;
}

static void write_fcr(struct vuart *u, u8 value)
{
    bool toggled = (value ^ u->fcr) & FCR_ENABLE;

    if (!u->has_fifo)
        return;
    if (toggled || (value & FCR_RX_RESET))
        u->rx.used = 0;
    if ((toggled || (value & FCR_TX_RESET)) && u->tx.used) {
        u->tx.used = 0;
        u->thre_pending = true;
    }
    u->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    restart_timeout(u);
    receive(u);
}

/* The modem inputs: a terminal that is always there, or in loopback the outputs of MCR. */
static void sample_modem(struct vuart *u)
{
    u8 old = u->msr, now = MSR_CTS | MSR_DSR | MSR_DCD, changed;

    if (looped(u))
        now = (u8)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                   (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
    changed = (u8)((now ^ old) >> 4);
    if (now & MSR_RI) /* only the trailing edge of RI counts */
        changed &= (u8)~MSR_TERI;
    u->msr = (u8)(now | (old & 0xf) | changed);
}

static void write_mcr(struct vuart *u, u8 value)
{
    u->mcr = value & 0x1f;
    sample_modem(u);
    receive(u);
}

static u8 read_reg(struct vuart *u, unsigned reg)
{
    u8 value;

    switch (reg) {
    case RBR_THR: return u->lcr & LCR_DLAB ? (u8)u->divisor : read_data(u);
    case IER: return u->lcr & LCR_DLAB ? (u8)(u->divisor >> 8) : u->ier;
    case IIR_FCR:
        value = identify(u);
        if (value == IIR_THRE)
            u->thre_pending = false;
        return (u8)(value | (fifos(u) ? IIR_FIFOS : 0));
    case LCR: return u->lcr;
    case MCR: return u->mcr;
    case LSR:
        value = line_status(u);
        u->errors = 0;
        return value;
    case MSR:
        value = u->msr;
        u->msr &= 0xf0;
        return value;
    default: return u->scr;
    }
}

static void write_reg(struct vuart *u, unsigned reg, u8 value)
{
    bool dlab = u->lcr & LCR_DLAB;

    if (reg == RBR_THR && dlab)
        u->divisor = (u16)((u->divisor & 0xff00) | value);
    else if (reg == RBR_THR)
        write_data(u, value);
    else if (reg == IER && dlab)
        u->divisor = (u16)((u->divisor & 0xff) | value << 8);
    else if (reg == IER)
        write_ier(u, value);
    else if (reg == IIR_FCR)
        write_fcr(u, value);
    else if (reg == LCR)
        u->lcr = value;
    else if (reg == MCR)
        write_mcr(u, value);
    else if (reg == SCR)
        u->scr = value;
    /* LSR and MSR: written in factory tests only */
}

static u64 port_read(void *dev, unsigned, u64 offset, unsigned)
{
    struct vuart *u = dev;
    u8 value = read_reg(u, (unsigned)offset);

    update(u);
    return value;
}

static void port_write(void *dev, unsigned, u64 offset, unsigned, u64 value)
{
    struct vuart *u = dev;

    write_reg(u, (unsigned)offset, (u8)value);
    update(u);
}

enum status vuart_init(struct vuart *u, struct bus *b, struct clock *c, u16 base,
                       struct irqline irq, const struct chardev *backend, bool has_fifo)
{
    memset(u, 0, sizeof *u);
    u->base = base;
    u->clock = c;
    u->irq = irq;
    u->backend = backend;
    u->has_fifo = has_fifo;
    u->divisor = 12; /* 9600 baud */
    u->timer.fire = timeout_fire;
    u->timer.dev = u;
    u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
    enum status s = bus_add_port8(b, "uart", base, 8, port_read, port_write, u);
    bus_name_registers(b, "uart", "RBR/THR|IER|IIR/FCR|LCR|MCR|LSR|MSR|SCR", 0);
    return s;
}

void vuart_show(const struct vuart *u, struct sink *out)
{
    static const char *const sources[] = {"modem", "none", "THRE", "", "data", "",       "line",
                                          "",      "",     "",     "", "",     "timeout"};
    u8 iir = identify(u), lsr = line_status(u);

    sink_printf(out, "%s at %03xH\n", u->has_fifo ? "16550A" : "16450", u->base);
    sink_printf(out, "  IER  %02x %s%s%s%s\n", u->ier, u->ier & IER_RX ? " data" : "",
                u->ier & IER_THRE ? " THRE" : "", u->ier & IER_LINE ? " line" : "",
                u->ier & IER_MODEM ? " modem" : "");
    sink_printf(out, "  IIR  %02x  %s, IRQ %u\n", iir | (fifos(u) ? IIR_FIFOS : 0), sources[iir],
                u->irq_level);
    sink_printf(out, "  FCR  %02x  FIFOs %s, trigger at %u\n", u->fcr, fifos(u) ? "on" : "off",
                trigger(u));
    sink_printf(out, "  LCR  %02x  %u data bits, %u stop bits%s%s, divisor %u\n", u->lcr,
                5u + (u->lcr & 3), 1u + (u->lcr >> 2 & 1), u->lcr & BIT(3) ? ", parity" : "",
                u->lcr & LCR_DLAB ? ", DLAB" : "", u->divisor);
    sink_printf(out, "  MCR  %02x %s%s%s%s%s\n", u->mcr, u->mcr & MCR_DTR ? " DTR" : "",
                u->mcr & MCR_RTS ? " RTS" : "", u->mcr & MCR_OUT1 ? " OUT1" : "",
                u->mcr & MCR_OUT2 ? " OUT2" : "", looped(u) ? " loopback" : "");
    sink_printf(out, "  LSR  %02x %s%s%s\n", lsr, lsr & LSR_DR ? " DR" : "",
                lsr & LSR_OE ? " OE" : "", lsr & LSR_THRE ? " THRE TEMT" : "");
    sink_printf(out, "  MSR  %02x %s%s%s%s\n", u->msr, u->msr & MSR_CTS ? " CTS" : "",
                u->msr & MSR_DSR ? " DSR" : "", u->msr & MSR_RI ? " RI" : "",
                u->msr & MSR_DCD ? " DCD" : "");
    sink_printf(out, "  SCR  %02x\n", u->scr);
    sink_printf(out, "  data received %lu (%u in FIFO), sent %lu (%u in FIFO), lost %lu\n",
                u->received, u->rx.used, u->sent, u->tx.used, u->overruns);
}
