/* SPDX-License-Identifier: MIT
 *
 * What the tests of device models share: a bus, a clock that stands until it is told to move, an
 * interrupt line that counts edges, and a CPU port that records.
 */
#ifndef TESTS_UNIT_DEVICE_H
#define TESTS_UNIT_DEVICE_H

#include "drivers/bus.h"
#include "drivers/clock.h"
#include "drivers/cpuport.h"
#include "drivers/irqline.h"
#include "lib/bits.h"
#include "lib/format.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* After the standard headers. */
#include <cmocka.h>

static u64 fake_now;
static struct clock fake_clock;
static struct bus fake_bus;

static u64 fake_read(void *) { return fake_now; }

static inline bool msr_is_claimed(u32 msr)
{
    char what[64];

    bus_describe(&fake_bus, BUS_MSR, msr, what, sizeof(what));
    return strncmp(what, "MSR ", 4) != 0;
}

struct line {
    bool level;
    unsigned rises;
};

static inline void line_set(void *target, unsigned pin, bool level)
{
    struct line *l = &((struct line *)target)[pin];

    l->rises += level && !l->level;
    l->level = level;
}

#define LINE(l) ((struct irqline){.set = line_set, .target = (l), .pin = 0})

static struct {
    unsigned kicks[16], nmis[16], inits[16], sipis[16];
    u8 sipi_vector;
    unsigned machine; /* calls */
    enum machine_event event;
    u32 code;
} recorded;

static inline void record_kick(void *, unsigned cpu) { recorded.kicks[cpu]++; }

static inline void record_nmi(void *, unsigned cpu) { recorded.nmis[cpu]++; }

static inline void record_init(void *, unsigned cpu) { recorded.inits[cpu]++; }

static inline void record_sipi(void *, unsigned cpu, u8 vector)
{
    recorded.sipis[cpu]++;
    recorded.sipi_vector = vector;
}

static inline void record_machine(void *, enum machine_event event, u32 code, const char *by)
{
    assert_non_null(by);
    recorded.machine++;
    recorded.event = event;
    recorded.code = code;
}

static const struct cpu_port recorder = {.kick = record_kick,
                                         .nmi = record_nmi,
                                         .init = record_init,
                                         .sipi = record_sipi,
                                         .machine = record_machine};

static inline void fake_start(u64 hz)
{
    fake_now = 0;
    clock_init(&fake_clock, fake_read, NULL, hz);
    bus_init(&fake_bus);
    memset(&recorded, 0, sizeof recorded);
}

/* Let time pass to `until`, stopping at every timer as the run loop would. */
static inline void pass_to(u64 until)
{
    while (clock_next(&fake_clock) <= until) {
        if (clock_next(&fake_clock) > fake_now)
            fake_now = clock_next(&fake_clock);
        clock_run(&fake_clock, fake_now);
    }
    fake_now = until;
}

static inline void pass(u64 ticks) { pass_to(fake_now + ticks); }

static inline u8 inb(u16 port) { return (u8)bus_port_read(&fake_bus, 0, port, 1); }

static inline void outb(u16 port, u8 value) { bus_port_write(&fake_bus, 0, port, 1, value); }

/* What a show function prints. */
__attribute__((unused)) static char shown[16384];
#define SHOW(call)                                  \
    do {                                            \
        struct buf_sink sink_;                      \
        buf_sink_init(&sink_, shown, sizeof shown); \
        struct sink *out = &sink_.sink;             \
        call;                                       \
        assert_int_equal(sink_.lost, 0);            \
    } while (0)

#define assert_ok(s) assert_int_equal((s), STATUS_OK)

#endif
