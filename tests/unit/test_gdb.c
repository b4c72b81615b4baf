/* SPDX-License-Identifier: MIT
 *
 * The GDB stub against a target made of arrays: framing, acknowledgement, registers of all three
 * modes, memory, points, resumption, target.xml in windows, and a long random stream.
 * VITRINE_FUZZ_PACKETS sets how many packets the stream has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/console/gdb.h"

#define MEMORY_AT 0x10000u

static struct gdb gdb;
static struct x86_state state[2];
static u8 fxsave[512];
static u8 memory[4096];
static bool stopped, ended;
static unsigned stops, kills, detaches, points;
static struct gdb_resume resumed;
static struct gdb_stop why_stopped;
static enum gdb_mode reg_mode;
static char said[200];

static char wire[70000]; /* what the stub sent */
static size_t wire_len;
static const u8 *typed;
static size_t typed_len;

static u32 hw_send(void *, const u8 *bytes, u32 n)
{
    n = n > 7 ? 7 : n; /* a FIFO */
    if (wire_len + n >= sizeof(wire))
        wire_len = 0;
    memcpy(wire + wire_len, bytes, n);
    wire_len += n;
    wire[wire_len] = 0;
    return n;
}

static int hw_receive(void *)
{
    if (typed_len == 0)
        return -1;
    typed_len--;
    return *typed++;
}

static unsigned t_threads(void *ctx) { return ctx == &gdb ? 2 : 0; }

static void t_describe(void *, unsigned thread, struct sink *out)
{
    sink_printf(out, "cpu %u", thread);
}

static bool t_stopped(void *, struct gdb_stop *why)
{
    *why = why_stopped;
    why->ended = ended;
    return stopped || ended;
}

static void t_stop(void *) { stops++; }

static void t_resume(void *, const struct gdb_resume *how)
{
    resumed = *how;
    stopped = false;
}

static void t_registers(void *, unsigned thread, struct gdb_cpu *cpu)
{
    assert_in_range(thread, 0, 1);
    *cpu = (struct gdb_cpu){&state[thread], fxsave};
}

static enum gdb_mode t_mode(void *) { return reg_mode; }

static size_t room(u64 at, size_t size)
{
    u64 offset = at - MEMORY_AT;
    return offset >= sizeof(memory)         ? 0
           : size < sizeof(memory) - offset ? size
                                            : (size_t)(sizeof(memory) - offset);
}

static size_t t_read(void *, unsigned, u64 at, u8 *to, size_t size)
{
    size = room(at, size);
    if (size)
        memcpy(to, memory + (at - MEMORY_AT), size);
    return size;
}

static size_t t_write(void *, unsigned, u64 at, const u8 *from, size_t size)
{
    size = room(at, size);
    if (size)
        memcpy(memory + (at - MEMORY_AT), from, size);
    return size;
}

static enum status t_point(void *, bool insert, enum gdb_point kind, unsigned, u64 at, u64)
{
    assert_in_range(kind, 0, 4);
    points += insert ? 1u << kind : 0;
    return at == 0 ? STATUS_ENOENT : STATUS_OK;
}

static void t_kill(void *) { kills++; }

static void t_detach(void *) { detaches++; }

static enum status t_command(void *, const char *line, struct sink *out)
{
    snprintf(said, sizeof(said), "%s", line);
    sink_printf(out, "one\ntwo\n");
    return STATUS_OK;
}

static int setup(void **)
{
    static const struct gdb_target target = {t_threads,   t_describe, t_stopped, t_stop,  t_resume,
                                             t_registers, t_mode,     t_read,    t_write, t_point,
                                             t_kill,      t_detach,   t_command};
    const struct mux_hw hw = {.send = hw_send, .receive = hw_receive};

    gdb_init(&gdb, &target, &gdb, &hw);
    memset(state, 0, sizeof(state));
    memset(fxsave, 0, sizeof(fxsave));
    stopped = true;
    ended = false;
    stops = kills = detaches = points = 0;
    why_stopped = (struct gdb_stop){.code = 5};
    reg_mode = GDB_MODE_64;
    wire_len = 0;
    return 0;
}

static void type(const void *bytes, size_t n)
{
    typed = bytes;
    typed_len = n;
    gdb_poll(&gdb);
}

static size_t frame(char *to, const char *text, size_t n)
{
    u8 sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = (u8)(sum + text[i]);
    to[0] = '$';
    memcpy(to + 1, text, n);
    return 1 + n + (size_t)sprintf(to + 1 + n, "#%02x", sum);
}

/* The reply's text; its frame has been checked. */
static char *ask_n(const char *text, size_t n)
{
    static char packet[9000], reply[9000];

    wire_len = wire[0] = 0;
    type(packet, frame(packet, text, n));
    char *begin = strrchr(wire, '$'), *end = begin ? strchr(begin, '#') : NULL;
    if (!end)
        return NULL;
    size_t len = (size_t)(end - begin - 1);
    frame(packet, begin + 1, len);
    assert_string_equal(begin, packet);
    memcpy(reply, begin + 1, len);
    reply[len] = 0;
    return reply;
}

static char *ask(const char *text) { return ask_n(text, strlen(text)); }

static void test_framing(void **)
{
    assert_string_equal(ask("qC"), "QC1");
    assert_int_equal(wire[0], '+');
    wire_len = wire[0] = 0;
    type("$qC#00", 6); /* a wrong sum */
    assert_string_equal(wire, "-");
    type("-", 1); /* the last reply, again */
    assert_string_equal(wire, "-$QC1#c5");
    wire_len = wire[0] = 0;
    type("$qCqC$qC#b4", 11); /* the beginning again: the first one was lost */
    assert_string_equal(wire, "+$QC1#c5");
    assert_string_equal(ask("vMustReplyEmpty"), "");
    assert_string_equal(ask("QStartNoAckMode"), "OK");
    assert_string_equal(ask("qAttached"), "1");
    assert_int_equal(wire[0], '$');
    assert_non_null(strstr(ask("qSupported:swbreak+;xmlRegisters=i386"), "PacketSize=1000;"));
    assert_int_equal(wire[0], '+'); /* a new session acknowledges again */
}

static void test_threads(void **)
{
    assert_string_equal(ask("qfThreadInfo"), "m1,2");
    assert_string_equal(ask("qsThreadInfo"), "l");
    assert_string_equal(ask("qThreadExtraInfo,2"), "6370752031");
    assert_string_equal(ask("T2"), "OK");
    assert_string_equal(ask("T3"), "E01");
    assert_string_equal(ask("Hg2"), "OK");
    state[1].gpr[RAX] = 0x1122334455667788;
    assert_string_equal(ask("p0"), "8877665544332211");
    assert_string_equal(ask("Hg0"), "OK");
    assert_string_equal(ask("Hg7"), "E01");
}

static void test_registers(void **)
{
    for (reg_mode = GDB_MODE_16; reg_mode <= GDB_MODE_64; reg_mode++) {
        unsigned size = 0, n = 0;
        for (unsigned one; (one = gdb_reg_size(reg_mode, n)) != 0; n++)
            size += one;
        assert_int_equal(strlen(ask("g")), 2 * size);
        for (unsigned i = 0; i < n; i++) { /* each is where it says, and has the size it says */
            char text[80];
            sprintf(text, "p%x", i);
            assert_int_equal(strlen(ask(text)), 2 * gdb_reg_size(reg_mode, i));
        }
        assert_string_equal(ask("pff"), "E01");
    }
    reg_mode = GDB_MODE_64;
    assert_string_equal(ask("P10=0000a0ffffffffff"), "OK"); /* rip */
    assert_true(state[0].rip == 0xffffffffffa00000 && state[0].dirty == STATE_RIP);
    assert_string_equal(ask("P10=0000000000000080"), "E01"); /* not canonical */
    assert_string_equal(ask("P7=1000000000000000"), "OK");
    assert_true(state[0].gpr[RSP] == 16 && (state[0].dirty & STATE_RSP));
    assert_string_equal(ask("P11=ffffffff"), "OK"); /* eflags: only what a debugger may */
    assert_true(!(state[0].rflags & RFLAGS_VM) && (state[0].rflags & RFLAGS_CF));
    assert_string_equal(ask("P12=08000000"), "E01");            /* cs */
    assert_string_equal(ask("P18=0102030405060708090a"), "OK"); /* st0 */
    assert_int_equal(fxsave[32 + 9], 0x0a);
    assert_string_equal(ask("P22=ffff0000"), "OK"); /* ftag: all empty */
    assert_int_equal(fxsave[4], 0);
    assert_string_equal(ask("P22=fcff0000"), "OK");
    assert_int_equal(fxsave[4], 1);
    assert_string_equal(ask("p22"), "fcff0000");
    assert_string_equal(ask("P28=000102030405060708090a0b0c0d0e0f"), "OK"); /* xmm0 */
    assert_int_equal(fxsave[160 + 15], 0x0f);
    assert_string_equal(ask("P38=ffffffff"), "OK"); /* mxcsr: else FXRSTOR would fault */
    assert_string_equal(ask("p38"), "bfff0000");
    char whole[4000] = "G";
    strcat(whole, ask("g"));
    memcpy(whole + 1, "0100000000000000", 16);
    assert_string_equal(ask(whole), "OK");
    assert_true(state[0].gpr[RAX] == 1);
}

static void test_memory(void **)
{
    memcpy(memory, "abcd", 4);
    assert_string_equal(ask("m10000,4"), "61626364");
    assert_string_equal(ask("m10ffe,4"), "0000"); /* as far as it goes */
    assert_string_equal(ask("m1,4"), "E01");
    assert_string_equal(ask("M10001,2:7879"), "OK");
    assert_memory_equal(memory, "axyd", 4);
    assert_string_equal(ask("M10001,2:78"), "E01");
    assert_string_equal(ask("X10000,0:"), "OK");
    assert_string_equal(ask_n("X10000,3:\x7d\x03\x00z", 13), "OK"); /* an escaped # */
    assert_memory_equal(memory, "#\0zd", 4);
    assert_string_equal(ask("X10000,3:a"), "E01");
}

static void test_points(void **)
{
    for (unsigned kind = 0; kind < 5; kind++) {
        char text[40];
        sprintf(text, "Z%u,1234,4", kind);
        assert_string_equal(ask(text), "OK");
        text[0] = 'z';
        assert_string_equal(ask(text), "OK");
    }
    assert_int_equal(points, 31);
    assert_string_equal(ask("Z0,0,1"), "E01");
    assert_string_equal(ask("Z9,0,1"), "");
}

static void test_running(void **)
{
    assert_string_equal(ask("qSupported:swbreak+"), ask("qSupported:swbreak+"));
    assert_null(ask("vCont;s:2;c"));
    assert_int_equal(resumed.act[0], GDB_RUN);
    assert_int_equal(resumed.act[1], GDB_STEP);
    assert_string_equal(wire, "+");
    type("\x03", 1);
    assert_int_equal(stops, 1);
    why_stopped = (struct gdb_stop){.code = 2, .thread = 1};
    stopped = true;
    wire_len = 0;
    gdb_poll(&gdb);
    assert_string_equal(wire, "$T02thread:2;#d5");
    assert_null(ask("vCont;r1000,1010:1"));
    assert_int_equal(resumed.act[1], GDB_HOLD);
    assert_true(resumed.act[0] == GDB_STEP && resumed.first == 0x1000 && resumed.end == 0x1010);
    why_stopped = (struct gdb_stop){
        .code = 5, .at_point = true, .kind = GDB_WATCH_READ, .address = 0xffff800012345678};
    stopped = true;
    wire_len = 0;
    gdb_poll(&gdb);
    assert_non_null(strstr(wire, "$T05thread:1;rwatch:ffff800012345678;#"));
    assert_null(ask("c"));
    why_stopped = (struct gdb_stop){.code = 5, .at_point = true, .kind = GDB_SOFT_BREAK};
    stopped = true;
    assert_string_equal(ask("?"), "T05thread:1;swbreak:;");
    assert_null(ask("s"));
    assert_string_equal(ask("vCont;x"), "E01"); /* runs: not now */
    ended = true;
    why_stopped.code = 0;
    assert_string_equal(ask("?"), "W00");
    assert_string_equal(ask("D"), "OK");
    assert_int_equal(detaches, 1);
    assert_string_equal(ask("vKill;1"), "OK");
    assert_null(ask("k"));
    assert_int_equal(kills, 2);
}

static void test_features(void **)
{
    static char whole[20000], other[20000];
    for (reg_mode = GDB_MODE_16; reg_mode <= GDB_MODE_64; reg_mode++) {
        static const unsigned windows[] = {0xffb, 0x11};
        static char *const texts[] = {whole, other};
        for (unsigned i = 0; i < 2; i++) { /* the same text, whatever it is cut into */
            char text[80], *reply = NULL;
            texts[i][0] = 0;
            do {
                sprintf(text, "qXfer:features:read:target.xml:%zx,%x", strlen(texts[i]),
                        windows[i]);
                reply = ask(text);
                assert_true(reply[0] == 'm' || reply[0] == 'l');
                strcat(texts[i], reply + 1);
            } while (reply[0] == 'm');
        }
        assert_string_equal(whole, other);
        assert_string_equal(whole + strlen(whole) - 10, "</target>\n");
        unsigned registers = 0;
        for (char *at = whole; (at = strstr(at, "<reg ")) != NULL; at++)
            registers++;
        assert_int_not_equal(gdb_reg_size(reg_mode, registers - 1), 0);
        assert_int_equal(gdb_reg_size(reg_mode, registers), 0);
    }
    assert_string_equal(ask("qXfer:features:read:other.xml:0,10"), "");
}

static void test_monitor(void **)
{
    assert_string_equal(ask("qRcmd,68656c70"), "OK");
    assert_string_equal(said, "help");
    assert_non_null(strstr(wire, "$O6f6e650a"));
    assert_string_equal(ask("qRcmd,6"), "OK");
    assert_string_equal(ask("qRcmd,zz"), "E01");
}

/* Whatever comes, replies are framed and nothing is overrun (the sanitizers see to that). */
static void test_random(void **)
{
    static const char *const begins[] = {
        "?",           "c",           "C05",
        "D",           "G",           "g",
        "Hg",          "Hc-1",        "k",
        "M10000,4:",   "m10000,",     "P10=",
        "p",           "qC",          "QStartNoAckMode",
        "qRcmd,",      "qSupported:", "qThreadExtraInfo,",
        "s",           "T",           "vCont;",
        "vCont?",      "vKill;",      "X10000,",
        "Z0,",         "z4,",         "qXfer:features:read:target.xml:",
        "qfThreadInfo"};
    static const char letters[] = "0123456789abcdef,:;=#$}*-+cCsSrzZ\x03\x7d";
    const char *count = getenv("VITRINE_FUZZ_PACKETS");
    char text[6000], packet[6100];

    srand(7);
    for (long i = count ? atol(count) : 30000; i > 0; i--) {
        const char *begin = begins[(unsigned)rand() % ARRAY_SIZE(begins)];
        size_t n = strlen(begin), more = rand() % 40 ? (size_t)rand() % 40 : (size_t)rand() % 5500;
        memcpy(text, begin, n);
        for (; more; more--)
            text[n++] =
                rand() % 30 ? letters[(unsigned)rand() % (sizeof(letters) - 1)] : (char)rand();
        size_t len = frame(packet, text, n);
        if (rand() % 10 == 0)
            packet[(unsigned)rand() % len] ^= (char)(1 << rand() % 8);
        wire_len = wire[0] = 0;
        type(packet, len);
        reg_mode = (enum gdb_mode)(rand() % 3);
        if (rand() % 4 == 0)
            stopped = true;
        for (char *at = wire, *end; (at = memchr(at, '$', wire_len - (size_t)(at - wire)));
             at = end) {
            end = strchr(at, '#');
            assert_non_null(end);
            u8 sum = 0;
            for (char *c = at + 1; c < end; c++)
                sum = (u8)(sum + *c);
            char told[3];
            sprintf(told, "%02x", sum);
            assert_memory_equal(end + 1, told, 2);
        }
    }
    stopped = true;
    ended = false;
    type("##", 2); /* whatever was begun is over, and it still answers */
    type("00", 2);
    assert_non_null(strstr(ask("qSupported"), "PacketSize"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_framing, setup),   cmocka_unit_test_setup(test_threads, setup),
        cmocka_unit_test_setup(test_registers, setup), cmocka_unit_test_setup(test_memory, setup),
        cmocka_unit_test_setup(test_points, setup),    cmocka_unit_test_setup(test_running, setup),
        cmocka_unit_test_setup(test_features, setup),  cmocka_unit_test_setup(test_monitor, setup),
        cmocka_unit_test_setup(test_random, setup),
    };
    return cmocka_run_group_tests_name("gdb", tests, NULL, NULL);
}
