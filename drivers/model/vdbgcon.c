/* SPDX-License-Identifier: MIT
 *
 * Bytes into log lines; how many lines one start of a guest may log is bounded.
 */
#include "drivers/model/vdbgcon.h"
#include "lib/log.h"
#include "lib/string.h"

#define PORT     0x402
#define PRESENCE 0xe9 /* what a read tells firmware that looks for the port */

static u64 port_read(void *, unsigned, u64, unsigned) { return PRESENCE; }

static void end_line(struct vdbgcon *d)
{
    if (d->lines < VDBGCON_MAX_LINES)
        log_debug(d->guest, "bios: %.*s", (int)d->length, d->line);
    else if (d->lines == VDBGCON_MAX_LINES)
        log_debug(d->guest, "bios: more than %u lines: the rest is not logged", VDBGCON_MAX_LINES);
    d->lines += d->lines <= VDBGCON_MAX_LINES;
    d->length = 0;
}

static void port_write(void *dev, unsigned, u64, unsigned, u64 value)
{
    struct vdbgcon *d = dev;
    char c = (char)value;

    if (c == '\n' || d->length == VDBGCON_LINE)
        end_line(d);
    if (c >= ' ' && c <= '~')
        d->line[d->length++] = c;
}

enum status vdbgcon_init(struct vdbgcon *d, struct bus *b, const char *guest)
{
    memset(d, 0, sizeof(*d));
    d->guest = guest;
    return bus_add_port8(b, "debug-console", PORT, 1, port_read, port_write, d);
}
