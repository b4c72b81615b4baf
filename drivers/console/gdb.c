/* SPDX-License-Identifier: MIT
 *
 * Packets: `$text#sum`, acknowledged by + or -, and 0x03 for an interrupt.  A packet's first
 * characters choose a handler from a table; the handler writes its reply into gdb->out.  What no
 * handler knows gets the empty reply, which tells GDB so.
 */
#include "drivers/console/gdb.h"

#include "lib/bits.h"
#include "lib/string.h"

#define INTERRUPT 0x03
#define ESCAPE    0x7d
/* Polls of the hardware without progress before a reply is dropped. */
#define WAIT_POLLS 1000000u

enum phase { IDLE, TEXT, SUM_HIGH, SUM_LOW };

static const char hex_digits[] = "0123456789abcdef";

/* --- Numbers ---------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A hexadecimal number at *text, which moves on; false when there is none or over 64 bits. */
static bool take_hex(const char **text, u64 *value)
{
    const char *begin = *text;

    *value = 0;
    for (int digit; (digit = hex_value(**text)) >= 0; ++*text)
        *value = *value << 4 | (u64)digit;
    return *text != begin && *text - begin <= 16;
}

static bool take_char(const char **text, char c)
{
    if (**text != c)
        return false;
    ++*text;
    return true;
}

/* Exactly n bytes as hexadecimal digits. */
static bool take_bytes(const char **text, u8 *to, size_t n)
{
    for (size_t i = 0; i < n; i++, *text += 2) {
        int high = hex_value((*text)[0]), low = high < 0 ? -1 : hex_value((*text)[1]);
        if (low < 0)
            return false;
        to[i] = (u8)(high << 4 | low);
    }
    return true;
}

/* Threads are numbered from 1; 0 and -1 mean any. */
static bool take_thread(const struct gdb *g, const char **text, unsigned *thread, bool *any)
{
    u64 number = 0;

    *any = take_char(text, '-');
    if (!take_hex(text, &number))
        return false;
    *any |= number == 0;
    *thread = *any ? 0 : (unsigned)(number - 1);
    return *any || number - 1 < g->target->threads(g->ctx);
}

/* --- Sending ---------------------------------------------------------------------------------- */

static void pump(struct gdb *g)
{
    u32 used;

    while ((used = ring_used(&g->tx)) != 0) {
        u32 at = g->tx.tail & g->tx.mask, whole = g->tx.mask + 1 - at;
        u32 sent = g->hw.send(g->hw.ctx, g->tx.buf + at, used < whole ? used : whole);
        if (sent == 0)
            break;
        g->tx.tail += sent;
        g->lost = false;
    }
    if (g->hw.want_send)
        g->hw.want_send(g->hw.ctx, used != 0);
}

static void put(struct gdb *g, u8 byte)
{
    for (u32 tries = 0; !ring_put(&g->tx, byte) && !g->lost; tries++) {
        pump(g);
        g->lost = tries == WAIT_POLLS;
    }
}

static void send(struct gdb *g)
{
    u8 sum = 0;

    put(g, '$');
    for (u32 i = 0; i < g->out_len; i++) {
        put(g, (u8)g->out[i]);
        sum = (u8)(sum + g->out[i]);
    }
    put(g, '#');
    put(g, (u8)hex_digits[sum >> 4]);
    put(g, (u8)hex_digits[sum & 15]);
}

static void add_char(struct gdb *g, char c)
{
    if (g->out_len < GDB_PACKET)
        g->out[g->out_len++] = c;
}

static void add_hex(struct gdb *g, const u8 *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        add_char(g, hex_digits[bytes[i] >> 4]);
        add_char(g, hex_digits[bytes[i] & 15]);
    }
}

static void add(struct gdb *g, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct gdb *g, const char *fmt, ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    format_vbuf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (const char *c = text; *c; c++)
        add_char(g, *c);
}

static void fail(struct gdb *g)
{
    g->out_len = 0;
    add(g, "E01");
}

static void ok_or_fail(struct gdb *g, bool ok)
{
    if (ok)
        add(g, "OK");
    else
        fail(g);
}

/* A command's output, in packets of its own. */
static void console_write(struct sink *self, const char *text, size_t len)
{
    struct gdb *g = container_of(self, struct gdb, console);

    for (size_t n; len; text += n, len -= n) {
        n = len < GDB_PACKET / 2 - 1 ? len : GDB_PACKET / 2 - 1;
        g->out_len = 0;
        add_char(g, 'O');
        add_hex(g, (const u8 *)text, n);
        send(g);
    }
    g->out_len = 0;
}

/* A sink that makes a reply of hexadecimal digits. */
struct hex_sink {
    struct sink sink;
    struct gdb *g;
};

static void hex_write(struct sink *self, const char *text, size_t len)
{
    add_hex(container_of(self, struct hex_sink, sink)->g, (const u8 *)text, len);
}

/* A sink for the part of a text that lies in [skip, skip + room). */
struct window_sink {
    struct sink sink;
    struct gdb *g;
    u64 skip, room;
};

static void window_write(struct sink *self, const char *text, size_t len)
{
    struct window_sink *w = container_of(self, struct window_sink, sink);

    for (size_t i = 0; i < len; i++) {
        if (w->skip)
            w->skip--;
        else if (w->room) {
            w->room--;
            add_char(w->g, text[i]);
        } else {
            w->g->out[0] = 'm'; /* there is more */
        }
    }
}

/* --- Stopping and going on -------------------------------------------------------------------- */

static void add_stop(struct gdb *g, const struct gdb_stop *why)
{
    static const char *const point[] = {"swbreak:;", "hwbreak:;", "watch", "rwatch", "awatch"};

    g->out_len = 0;
    if (why->ended) {
        add(g, "W%02x", why->code);
        return;
    }
    g->thread = why->thread;
    add(g, "T%02xthread:%x;", why->code, why->thread + 1);
    if (why->at_point && why->kind >= GDB_WATCH_WRITE)
        add(g, "%s:%lx;", point[why->kind], why->address);
    else if (why->at_point && g->reports_points)
        add(g, "%s", point[why->kind]);
}

static void run_why(struct gdb *g, const char *)
{
    g->running = true; /* told as soon as it stands still */
    g->target->stop(g->ctx);
}

static void resume(struct gdb *g, const struct gdb_resume *how)
{
    g->target->resume(g->ctx, how);
    g->running = true;
}

/* c and s, of the current thread, with or without an address to go on at (which GDB never gives).
 */
static void run_continue(struct gdb *g, const char *)
{
    struct gdb_resume how = {0};
    bool step = (g->in[0] | 0x20) == 's';

    memset(how.act, step ? GDB_HOLD : GDB_RUN, sizeof(how.act));
    if (step)
        how.act[g->thread] = GDB_STEP;
    resume(g, &how);
}

static void run_vcont_query(struct gdb *g, const char *) { add(g, "vCont;c;C;s;S;r"); }

/* ;action[:thread] and so on: the first that names a thread, or none, is the thread's. */
static void run_vcont(struct gdb *g, const char *text)
{
    struct gdb_resume how = {0};
    bool decided[GDB_THREADS] = {false}, any = true;
    unsigned threads = g->target->threads(g->ctx);

    while (take_char(&text, ';')) {
        char act = (char)(*text | 0x20);
        unsigned thread = 0;
        u64 unused;
        bool good = *text == 'r' || act == 'c' || act == 's';
        text += good ? 1 : 0;
        if (good && text[-1] == 'r')
            good =
                take_hex(&text, &how.first) && take_char(&text, ',') && take_hex(&text, &how.end);
        else if (good && (text[-1] == 'C' || text[-1] == 'S'))
            good = take_hex(&text, &unused); /* a signal: a CPU has none */
        any = true;
        if (good && take_char(&text, ':'))
            good = take_thread(g, &text, &thread, &any);
        if (!good) {
            fail(g);
            return;
        }
        for (unsigned i = 0; i < threads; i++)
            if ((any || i == thread) && !decided[i]) {
                how.act[i] = act == 'c' ? GDB_RUN : GDB_STEP;
                decided[i] = true;
            }
    }
    resume(g, &how);
}

static void run_detach(struct gdb *g, const char *)
{
    g->target->detach(g->ctx);
    g->attached = false;
    add(g, "OK");
}

static void run_kill(struct gdb *g, const char *)
{
    g->target->kill(g->ctx);
    g->attached = false;
    if (g->in[0] == 'v')
        add(g, "OK");
}

/* --- Registers and memory --------------------------------------------------------------------- */

static void run_read_all(struct gdb *g, const char *)
{
    enum gdb_mode mode = g->target->mode(g->ctx);
    struct gdb_cpu cpu = {0};
    u8 value[16];

    g->target->registers(g->ctx, g->thread, &cpu);
    for (unsigned n = 0, size; (size = gdb_reg_size(mode, n)) != 0; n++) {
        gdb_reg_read(mode, n, &cpu, value);
        add_hex(g, value, size);
    }
}

/* A register that can only be read keeps its value. */
static void run_write_all(struct gdb *g, const char *text)
{
    enum gdb_mode mode = g->target->mode(g->ctx);
    struct gdb_cpu cpu = {0};
    u8 value[16];
    bool good = true;

    g->target->registers(g->ctx, g->thread, &cpu);
    for (unsigned n = 0, size; good && *text && (size = gdb_reg_size(mode, n)) != 0; n++) {
        good = take_bytes(&text, value, size);
        if (good)
            (void)gdb_reg_write(mode, n, &cpu, value);
    }
    ok_or_fail(g, good);
}

static void run_read_one(struct gdb *g, const char *text)
{
    enum gdb_mode mode = g->target->mode(g->ctx);
    struct gdb_cpu cpu = {0};
    u8 value[16];
    u64 n;
    unsigned size = take_hex(&text, &n) && n < 256 ? gdb_reg_size(mode, (unsigned)n) : 0;

    if (size == 0) {
        fail(g);
        return;
    }
    g->target->registers(g->ctx, g->thread, &cpu);
    gdb_reg_read(mode, (unsigned)n, &cpu, value);
    add_hex(g, value, size);
}

static void run_write_one(struct gdb *g, const char *text)
{
    enum gdb_mode mode = g->target->mode(g->ctx);
    struct gdb_cpu cpu = {0};
    u8 value[16];
    u64 n;
    unsigned size = take_hex(&text, &n) && n < 256 ? gdb_reg_size(mode, (unsigned)n) : 0;

    g->target->registers(g->ctx, g->thread, &cpu);
    ok_or_fail(g, size && take_char(&text, '=') && take_bytes(&text, value, size) &&
                      gdb_reg_write(mode, (unsigned)n, &cpu, value));
}

static bool take_range(const char **text, u64 *at, u64 *size)
{
    return take_hex(text, at) && take_char(text, ',') && take_hex(text, size);
}

static void run_read_memory(struct gdb *g, const char *text)
{
    u8 bytes[GDB_PACKET / 2];
    u64 at, size;

    if (!take_range(&text, &at, &size)) {
        fail(g);
        return;
    }
    size = size < sizeof(bytes) ? size : sizeof(bytes);
    size_t got = g->target->read(g->ctx, g->thread, at, bytes, (size_t)size);
    if (got == 0 && size)
        fail(g);
    add_hex(g, bytes, got);
}

static bool write_memory(struct gdb *g, u64 at, const u8 *bytes, u64 size)
{
    return g->target->write(g->ctx, g->thread, at, bytes, (size_t)size) == size;
}

static void run_write_hex(struct gdb *g, const char *text)
{
    u8 bytes[GDB_PACKET / 2];
    u64 at, size;

    ok_or_fail(g, take_range(&text, &at, &size) && take_char(&text, ':') && size <= sizeof(bytes) &&
                      take_bytes(&text, bytes, (size_t)size) && write_memory(g, at, bytes, size));
}

static void run_write_binary(struct gdb *g, const char *text)
{
    u8 bytes[GDB_PACKET];
    u64 at, size;
    size_t n = 0;

    if (!take_range(&text, &at, &size) || !take_char(&text, ':')) {
        fail(g);
        return;
    }
    for (const char *end = g->in + g->in_len; text < end; text++)
        if (*text == ESCAPE && text + 1 < end)
            bytes[n++] = (u8)(*++text ^ 0x20);
        else
            bytes[n++] = (u8)*text;
    ok_or_fail(g, n == size && write_memory(g, at, bytes, size));
}

static void run_point(struct gdb *g, const char *text)
{
    u64 kind, at, size;

    if (!take_hex(&text, &kind) || kind > GDB_WATCH_BOTH || !take_char(&text, ',') ||
        !take_range(&text, &at, &size)) {
        if (kind <= GDB_WATCH_BOTH)
            fail(g);
        return;
    }
    ok_or_fail(g, g->target->point(g->ctx, g->in[0] == 'Z', (enum gdb_point)kind, g->thread, at,
                                   size) == STATUS_OK);
}

/* --- Questions -------------------------------------------------------------------------------- */

static void run_thread(struct gdb *g, const char *text)
{
    unsigned thread;
    bool any, good = *text == 'g' || *text == 'c';

    text += good ? 1 : 0;
    good = good && take_thread(g, &text, &thread, &any);
    if (good && !any && g->in[1] == 'g')
        g->thread = thread;
    ok_or_fail(g, good);
}

static void run_alive(struct gdb *g, const char *text)
{
    unsigned thread;
    bool any;
    ok_or_fail(g, take_thread(g, &text, &thread, &any));
}

static void run_current(struct gdb *g, const char *) { add(g, "QC%x", g->thread + 1); }

static void run_threads(struct gdb *g, const char *)
{
    for (unsigned i = 0; i < g->target->threads(g->ctx); i++)
        add(g, "%c%x", i ? ',' : 'm', i + 1);
}

static void run_threads_end(struct gdb *g, const char *) { add_char(g, 'l'); }

static void run_thread_text(struct gdb *g, const char *text)
{
    struct hex_sink out = {{hex_write}, g};
    unsigned thread;
    bool any;

    if (take_thread(g, &text, &thread, &any))
        g->target->describe(g->ctx, thread, &out.sink);
    else
        fail(g);
}

static void run_supported(struct gdb *g, const char *text)
{
    g->reports_points = false;
    for (const char *at = text; !g->reports_points && (at = strchr(at, 's')) != NULL; at++)
        g->reports_points = str_starts(at, "swbreak+");
    add(g, "PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+;swbreak+;hwbreak+",
        GDB_PACKET);
}

static void run_no_ack(struct gdb *g, const char *)
{
    g->no_ack = true;
    add(g, "OK");
}

static void run_features(struct gdb *g, const char *text)
{
    struct window_sink w = {{window_write}, g, 0, 0};

    if (!take_range(&text, &w.skip, &w.room)) {
        fail(g);
        return;
    }
    if (w.room > GDB_PACKET - 1)
        w.room = GDB_PACKET - 1;
    add_char(g, 'l');
    gdb_describe(g->target->mode(g->ctx), &w.sink);
}

static void run_attached(struct gdb *g, const char *) { add_char(g, '1'); }

static void run_command(struct gdb *g, const char *text)
{
    char line[256];
    size_t n = strlen(text) / 2;

    if (n >= sizeof(line) || !take_bytes(&text, (u8 *)line, n)) {
        fail(g);
        return;
    }
    line[n] = 0;
    /* What went wrong has been said in the output. */
    (void)g->target->command(g->ctx, line, &g->console);
    g->out_len = 0;
    add(g, "OK");
}

/* --- Receiving -------------------------------------------------------------------------------- */

/* The first that fits; the handler gets the rest of the text. */
static const struct {
    const char *prefix;
    void (*run)(struct gdb *g, const char *text);
} handlers[] = {
    {"?", run_why},
    {"c", run_continue},
    {"C", run_continue},
    {"D", run_detach},
    {"G", run_write_all},
    {"g", run_read_all},
    {"H", run_thread},
    {"k", run_kill},
    {"M", run_write_hex},
    {"m", run_read_memory},
    {"P", run_write_one},
    {"p", run_read_one},
    {"QStartNoAckMode", run_no_ack},
    {"qAttached", run_attached},
    {"qC", run_current},
    {"qfThreadInfo", run_threads},
    {"qRcmd,", run_command},
    {"qsThreadInfo", run_threads_end},
    {"qSupported", run_supported},
    {"qThreadExtraInfo,", run_thread_text},
    {"qXfer:features:read:target.xml:", run_features},
    {"s", run_continue},
    {"S", run_continue},
    {"T", run_alive},
    {"vCont?", run_vcont_query},
    {"vCont", run_vcont},
    {"vKill", run_kill},
    {"X", run_write_binary},
    {"Z", run_point},
    {"z", run_point},
};

/* A target that runs answers only to the interrupt and to what begins a session. */
static bool may_run(struct gdb *g, const char *prefix)
{
    struct gdb_stop why = {0};
    return strchr("?Qqk", prefix[0]) || g->target->stopped(g->ctx, &why);
}

static void packet(struct gdb *g)
{
    bool ran = g->running;

    g->out_len = 0;
    g->attached = true;
    for (unsigned i = 0; i < ARRAY_SIZE(handlers); i++)
        if (str_starts(g->in, handlers[i].prefix)) {
            if (may_run(g, g->in))
                handlers[i].run(g, g->in + strlen(handlers[i].prefix));
            else
                fail(g);
            break;
        }
    /* ? and what lets the target run are answered when it stands still. */
    if (g->in[0] != 'k' && g->in[0] != '?' && (ran || !g->running))
        send(g);
}

/* A whole packet has come; a wrong sum asks for it again. */
static void packet_ends(struct gdb *g)
{
    bool good = g->sum == g->told;

    g->phase = IDLE;
    g->in[g->in_len] = 0;
    if (str_starts(g->in, "qSupported"))
        g->no_ack = false; /* a new session begins */
    if (!g->no_ack)
        put(g, good ? '+' : '-');
    if (good)
        packet(g);
}

static void interrupt(struct gdb *g)
{
    if (g->running)
        g->target->stop(g->ctx);
}

static void between_packets(struct gdb *g, u8 byte)
{
    if (byte == INTERRUPT)
        interrupt(g);
    else if (byte == '-' && !g->no_ack && g->out_len)
        send(g);
    else if (byte == '$')
        g->phase = TEXT;
    g->sum = 0;
    g->in_len = 0;
}

static void input(struct gdb *g, u8 byte)
{
    switch (g->phase) {
    case IDLE: between_packets(g, byte); return;
    case TEXT:
        if (byte == '#') {
            g->phase = SUM_HIGH;
        } else if (byte == '$' || g->in_len == GDB_PACKET) {
            g->phase = IDLE; /* the end of the last one was lost */
            between_packets(g, byte);
        } else {
            g->in[g->in_len++] = (char)byte;
            g->sum = (u8)(g->sum + byte);
        }
        return;
    default:
        g->told = (u8)(g->told << 4 | (hex_value((char)byte) & 15));
        if (g->phase == SUM_LOW)
            packet_ends(g);
        else
            g->phase = SUM_LOW;
    }
}

void gdb_poll(struct gdb *g)
{
    struct gdb_stop why = {0};

    do {
        for (int byte; (byte = g->hw.receive(g->hw.ctx)) >= 0;)
            input(g, (u8)byte);
        if (g->running && g->target->stopped(g->ctx, &why)) {
            g->running = false;
            add_stop(g, &why);
            send(g);
            g->attached = !why.ended;
        }
        pump(g);
    } while (g->hw.acknowledge && g->hw.acknowledge(g->hw.ctx));
}

void gdb_init(struct gdb *g, const struct gdb_target *target, void *ctx, const struct mux_hw *hw)
{
    memset(g, 0, sizeof(*g));
    g->target = target;
    g->ctx = ctx;
    g->hw = *hw;
    g->tx = (struct ring)RING_INIT(g->tx_storage);
    g->console.write = console_write;
    pump(g);
}
