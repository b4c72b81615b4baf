/* SPDX-License-Identifier: MIT
 *
 * The TSC's frequency.  Sources in order of trust: a measurement that is consistent, when CPUID
 * disagrees with it; CPUID or a hypervisor's leaf; the measurement alone if it is; what the boot
 * loader or the user says; an assumption.
 */
#include "arch/x86/tsc.h"

#include "lib/log.h"

#define ASSUMED_HZ 1000000000ul

/* 8254 and port 61H. */
#define PIT_HZ          1193182u
#define PIT_CHANNEL2    0x42
#define PIT_COMMAND     0x43
#define PIT_CH2_ONESHOT 0xb0 /* channel 2, low then high byte, mode 0, binary */
#define PORT61          0x61
#define PORT61_GATE2    0x01
#define PORT61_SPEAKER  0x02
#define PORT61_OUT2     0x20
#define PIT_COUNTS      11932u /* 10 ms */
#define PIT_RUNS        3
#define PIT_PATIENCE    (1ull << 28) /* TSC ticks: over 50 ms on any CPU */

static struct {
    u64 hz, start;
} tsc = {.hz = ASSUMED_HZ};

static u64 scale(u64 a, u64 b, u64 c)
{
    u64 rest;

    return mul_div(a, b, c, &rest);
}

/* TSC ticks in PIT_COUNTS counts of PIT channel 2; 0 when its output never rises. */
static u64 pit_ticks(void)
{
    u8 port61 = (u8)(inb(PORT61) & ~PORT61_SPEAKER);
    u64 start, now, latest;

    outb(PORT61, (u8)(port61 & ~PORT61_GATE2));
    outb(PIT_COMMAND, PIT_CH2_ONESHOT);
    outb(PIT_CHANNEL2, PIT_COUNTS & 0xff);
    outb(PIT_CHANNEL2, PIT_COUNTS >> 8);
    if (inb(PORT61) & PORT61_OUT2) /* low from the command on, where there is a PIT */
        return 0;
    start = rdtsc_ordered();
    latest = start + PIT_PATIENCE;
    outb(PORT61, (u8)(port61 | PORT61_GATE2)); /* the gate starts it */
    do
        now = rdtsc();
    while (!(inb(PORT61) & PORT61_OUT2) && now < latest);
    bool risen = inb(PORT61) & PORT61_OUT2;
    outb(PORT61, port61);
    return risen ? now - start : 0;
}

/* Several runs: disturbances only ever make one longer, so the shortest counts; *steady says that
 * another run agrees within 1/256. */
static u64 pit_measure(bool *steady)
{
    u64 best = 0, second = ~0ull;

    *steady = false;
    for (unsigned i = 0; i < PIT_RUNS; i++) {
        u64 ticks = pit_ticks();
        if (ticks == 0)
            return 0;
        if (best == 0 || ticks < best) {
            second = best ? best : second;
            best = ticks;
        } else if (ticks < second) {
            second = ticks;
        }
    }
    *steady = second - best <= best / 256;
    return scale(best, PIT_HZ, PIT_COUNTS);
}

/* Crystal and ratio (SDM vol. 3B, section 18.7.3), or the nominal frequency where the crystal's is
 * not told; 0: unknown. */
static u64 cpuid_hz(const char **source)
{
    u32 max = cpuid(0, 0).eax;

    if (max >= 0x15) {
        struct cpuid_regs r = cpuid(0x15, 0);
        *source = "CPUID 15H";
        if (r.eax && r.ebx && r.ecx)
            return scale(r.ecx, r.ebx, r.eax);
    }
    *source = "CPUID 16H";
    if (max >= 0x16)
        return (cpuid(0x16, 0).eax & 0xffff) * 1000000ull;
    return 0;
}

/* The timing leaf that KVM, VMware and others offer: EAX = TSC frequency in kHz. */
static u64 hypervisor_hz(const char **source)
{
    if (!cpu_has(CPU_HYPERVISOR))
        return 0;
    u32 max = cpuid(0x40000000u, 0).eax;
    *source = "the hypervisor's leaf 40000010H";
    return max >= 0x40000010u && max < 0x40010000u ? cpuid(0x40000010u, 0).eax * 1000ull : 0;
}

static bool differ(u64 a, u64 b) { return (a > b ? a - b : b - a) > b / 100; }

static u64 choose(u64 told, const char *source, u64 measured, bool steady, u64 fallback)
{
    if (told && measured && steady && differ(told, measured)) {
        log_warn("tsc", "%s says %lu Hz, the PIT measures %lu Hz: the measurement is used", source,
                 told, measured);
        return measured;
    }
    if (told) {
        log_info("tsc", "%lu Hz by %s (%s)", told, source,
                 measured ? "checked against the PIT" : "there is no PIT to check it");
        return told;
    }
    if (measured && (steady || !fallback)) {
        log_info("tsc", "%lu Hz measured against the PIT%s", measured,
                 steady ? "" : ", whose runs differ: time may be inexact");
        return measured;
    }
    if (fallback) {
        log_info("tsc", "%lu Hz by tsc-hz= on the command line%s", fallback,
                 measured ? ", as the PIT's runs differ" : "");
        return fallback;
    }
    log_error("tsc",
              "no way to find the TSC's frequency (neither CPUID nor a PIT): %lu Hz is "
              "assumed, and times are wrong; give it by tsc-hz=",
              ASSUMED_HZ);
    return ASSUMED_HZ;
}

void tsc_init(u64 fallback_hz)
{
    const char *source = "";
    bool steady;
    u64 told = hypervisor_hz(&source), now = rdtsc();

    if (told == 0)
        told = cpuid_hz(&source);
    u64 measured = pit_measure(&steady);
    tsc.hz = choose(told, source, measured, steady, fallback_hz);
    tsc.start = now;
    if (!cpu_has(CPU_TSC_INVARIANT))
        log_warn("tsc", "the TSC is not invariant: it may stop or change its rate in sleep states, "
                        "and guests' time with it");
}

u64 tsc_hz(void) { return tsc.hz; }

u64 tsc_to_us(u64 ticks) { return scale(ticks, 1000000, tsc.hz); }

u64 tsc_to_hz(u64 ticks, u64 hz) { return scale(ticks, hz, tsc.hz); }

u64 tsc_from_us(u64 us) { return scale(us, tsc.hz, 1000000); }

u64 tsc_now_us(void) { return tsc.start ? tsc_to_us(rdtsc() - tsc.start) : 0; }

void tsc_delay_us(u64 us)
{
    u64 start = rdtsc(), ticks = tsc_from_us(us);

    while (rdtsc() - start < ticks)
        cpu_pause();
}
