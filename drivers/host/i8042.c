/* SPDX-License-Identifier: MIT
 *
 * The 8042: commands and status bits as in the IBM PS/2 technical reference, scan codes set 1.
 */
#include "drivers/host/i8042.h"

#include "lib/bits.h"

enum { DATA = 0x60, STATUS = 0x64, COMMAND = 0x64 };

#define STATUS_FULL      BIT(0) /* a byte is there for us */
#define STATUS_BUSY      BIT(1) /* it has not taken our last byte yet */
#define STATUS_MOUSE     BIT(5) /* the byte is the mouse's */
#define READ_CONFIG      0x20
#define WRITE_CONFIG     0x60
#define MOUSE_OFF        0xa7
#define KEYBOARD_OFF     0xad
#define KEYBOARD_ON      0xae
#define CONFIG_INTERRUPT BIT(0)
#define CONFIG_CLOCK_OFF BIT(4)
#define CONFIG_TRANSLATE BIT(6) /* to set 1 */
#define SCANNING_ON      0xf4   /* to the keyboard itself */
#define RELEASED         0x80
#define EXTENDED         0xe0
#define SPINS            100000u /* port reads of about a microsecond: longer than any command */
#define BURST            32      /* scan codes without a character */

enum key { KEY_CONTROL = 0x1d, KEY_LEFT_SHIFT = 0x2a, KEY_RIGHT_SHIFT = 0x36, KEY_CAPS = 0x3a };

/* What keys 00H to 39H give, without and with shift; 0: nothing. */
static const char keys[2][0x3a] = {
    "\0\033"
    "1234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ",
    "\0\033"
    "!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ",
};

/* Keys of the cursor block, with E0H or on the number pad. */
static const struct {
    u8 code;
    const char *sends;
} cursor_keys[] = {{0x47, "\033[H"}, {0x48, "\033[A"}, {0x4b, "\033[D"}, {0x4d, "\033[C"},
                   {0x4f, "\033[F"}, {0x50, "\033[B"}, {0x53, "\033[3~"}};

static u8 status(struct i8042 *k) { return k->io.read(k->io.ctx, STATUS); }

static bool wait(struct i8042 *k, u8 bit, bool set)
{
    for (u32 i = 0; i < SPINS; i++)
        if (!!(status(k) & bit) == set)
            return true;
    return false;
}

static bool send(struct i8042 *k, u16 port, u8 byte)
{
    bool ready = wait(k, STATUS_BUSY, false);

    if (ready)
        k->io.write(k->io.ctx, port, byte);
    return ready;
}

static void flush(struct i8042 *k)
{
    for (u32 i = 0; i < BURST && status(k) & STATUS_FULL; i++)
        (void)k->io.read(k->io.ctx, DATA);
}

enum status i8042_init(struct i8042 *k, struct port_io io)
{
    *k = (struct i8042){.io = io};
    /* Where there is no controller, ports read all ones. */
    if (status(k) == 0xff || !send(k, COMMAND, KEYBOARD_OFF) || !send(k, COMMAND, MOUSE_OFF))
        return STATUS_ENOENT;
    flush(k);
    if (!send(k, COMMAND, READ_CONFIG) || !wait(k, STATUS_FULL, true))
        return STATUS_ENOENT;
    u8 config = k->io.read(k->io.ctx, DATA);
    config = (u8)((config | CONFIG_INTERRUPT | CONFIG_TRANSLATE) & ~CONFIG_CLOCK_OFF);
    if (!send(k, COMMAND, WRITE_CONFIG) || !send(k, DATA, config) ||
        !send(k, COMMAND, KEYBOARD_ON) || !send(k, DATA, SCANNING_ON))
        return STATUS_ENOENT;
    if (wait(k, STATUS_FULL, true)) /* the keyboard's answer, if one is plugged in */
        flush(k);
    k->present = true;
    return STATUS_OK;
}

static int cursor_key(struct i8042 *k, u8 code)
{
    for (unsigned i = 0; i < ARRAY_SIZE(cursor_keys); i++) {
        if (cursor_keys[i].code == code) {
            k->pending = cursor_keys[i].sends + 1;
            return (u8)cursor_keys[i].sends[0];
        }
    }
    return -1;
}

/* The byte a scan code gives, or -1. */
static int translate(struct i8042 *k, u8 code)
{
    bool extended = k->extended, released = code & RELEASED;
    u8 key = code & (u8)~RELEASED;

    k->extended = code == EXTENDED;
    if (k->extended)
        return -1;
    if (key == KEY_CONTROL)
        k->control = !released;
    /* Behind E0H the shifts are made up by the keyboard, round cursor keys. */
    if (!extended && (key == KEY_LEFT_SHIFT || key == KEY_RIGHT_SHIFT))
        k->shift = !released;
    if (released)
        return -1;
    if (key == KEY_CAPS)
        k->caps = !k->caps;
    if (key >= sizeof(keys[0]))
        return cursor_key(k, key);
    char c = keys[k->shift][key];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (k->caps && letter)
        c ^= 0x20;
    if (k->control && ((c >= '@' && c <= '_') || letter))
        c &= 0x1f;
    return c ? (u8)c : -1;
}

int i8042_receive(struct i8042 *k)
{
    int byte = -1;

    if (!k->present)
        return -1;
    if (k->pending && *k->pending)
        return (u8)*k->pending++;
    for (unsigned i = 0; i < BURST && byte < 0; i++) {
        u8 s = status(k);
        if (!(s & STATUS_FULL))
            break;
        u8 code = k->io.read(k->io.ctx, DATA);
        if (!(s & STATUS_MOUSE))
            byte = translate(k, code);
    }
    return byte;
}
