/* SPDX-License-Identifier: MIT
 *
 * Local APICs, SDM vol. 3A, chapter 10.  Registers live in one array indexed as the hardware
 * indexes them; one table says what each is, what of it can be written and who acts on it.  Every
 * change ends in update(), which keeps the answer that the run loop asks for before each entry.
 */
#include "drivers/model/vlapic.h"
#include "drivers/model/vlapic_regs.h"
#include "lib/string.h"

static void accept_vector(struct vlapic *l, u8 vector, bool level);

/* --- State: IRR, ISR, priorities -------------------------------------------------------------- */

static inline bool enabled(const struct vlapic *l) { return l->base & BASE_EN; }

static inline bool x2apic(const struct vlapic *l) { return l->base & BASE_EXTD; }

static inline enum timer_mode timer_mode(const struct vlapic *l)
{
    return (enum timer_mode)(l->reg[LVT_TIMER] >> 17 & 3);
}

static inline unsigned timer_shift(const struct vlapic *l)
{
    return divide_shift(l->reg[TIMER_DIVIDE]);
}

/* The highest vector in the bank, of which `words` says which of its registers are not zero. */
static inline int top_vector(const struct vlapic *l, unsigned bank, u32 words)
{
    if (words == 0)
        return -1;
    unsigned word = 31 - (unsigned)__builtin_clz(words);
    return (int)(word * 32 + 31 - (unsigned)__builtin_clz(l->reg[bank + word]));
}

static inline void bank_set(struct vlapic *l, unsigned bank, u8 *words, unsigned vector)
{
    l->reg[bank + vector / 32] |= BIT(vector % 32);
    *words |= (u8)BIT(vector / 32);
}

static inline void bank_clear(struct vlapic *l, unsigned bank, u8 *words, unsigned vector)
{
    l->reg[bank + vector / 32] &= ~BIT(vector % 32);
    if (l->reg[bank + vector / 32] == 0)
        *words &= (u8)~BIT(vector / 32);
}

static inline bool is_level(const struct vlapic *l, unsigned vector)
{
    return l->reg[TMR + vector / 32] & BIT(vector % 32);
}

/* The 8259 has something, and the way from LINT0 to the core is open.  Without a local APIC that
 * pin is the processor's INTR (SDM vol. 3A, 10.4.3). */
static bool extint_pending(const struct vlapic *l)
{
    u32 lvt = l->reg[LVT_LINT0];

    if (l->extint)
        return true;
    return (l->lint & 1) && (!enabled(l) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == APIC_EXTINT));
}

/* Bring PPR (10.8.3.1) and the pending interrupt up to date. */
static void update(struct vlapic *l)
{
    int irr = top_vector(l, IRR, l->irr_words);
    int isr = top_vector(l, ISR, l->isr_words);
    u32 tpr = l->reg[TPR];
    u32 in_service = isr < 0 ? 0 : (u32)isr & 0xf0;
    s16 ready = -1;

    l->reg[PPR] = (tpr & 0xf0) >= in_service ? tpr : in_service;
    if (extint_pending(l))
        ready = VLAPIC_PENDING_EXTINT;
    else if (irr >= 0 && ((u32)irr & 0xf0) > (l->reg[PPR] & 0xf0))
        ready = (s16)irr;
    if (ready == l->ready)
        return;
    l->ready = ready;
    if (ready >= 0)
        l->set->port->kick(l->set->port->ctx, l->cpu);
}

/* --- Errors and local interrupts -------------------------------------------------------------- */

static void deliver_lvt(struct vlapic *l, unsigned reg)
{
    const struct cpu_port *port = l->set->port;
    u32 lvt = l->reg[reg];

    if (lvt & LVT_MASKED)
        return;
    switch (lvt >> 8 & 7) {
    case APIC_FIXED: accept_vector(l, (u8)lvt, false); break;
    case APIC_NMI: port->nmi(port->ctx, l->cpu); break;
    case APIC_INIT: port->init(port->ctx, l->cpu); break;
    default: /* ExtINT is a level, seen by update(); SMI: there is no SMM; others are reserved */
        break;
    }
}

/* Note an error for ESR and raise the error interrupt, once until ESR is written (10.5.3). */
static void note_error(struct vlapic *l, u32 error)
{
    if (l->errors & error)
        return;
    l->errors |= error;
    deliver_lvt(l, LVT_ERROR);
}

static void accept_vector(struct vlapic *l, u8 vector, bool level)
{
    if (vector < 16) {
        note_error(l, ERROR_RECEIVE_VECTOR);
        return;
    }
    if (level)
        l->reg[TMR + vector / 32] |= BIT(vector % 32);
    else
        l->reg[TMR + vector / 32] &= ~BIT(vector % 32);
    bank_set(l, IRR, &l->irr_words, vector);
    update(l);
}

/* A level-triggered LINT pin with fixed delivery: sent while asserted and not yet in service. */
static void sample_lint(struct vlapic *l, unsigned n)
{
    u32 *lvt = &l->reg[LVT_LINT0 + n];

    if ((*lvt >> 8 & 7) != APIC_FIXED || !(*lvt & LVT_LEVEL) || (*lvt & LVT_MASKED) ||
        (*lvt & LVT_REMOTE_IRR) || !(l->lint & BIT(n)))
        return;
    if ((*lvt & 0xff) >= 16)
        *lvt |= LVT_REMOTE_IRR;
    accept_vector(l, (u8)*lvt, true);
}

void vlapic_lint(void *set, unsigned pin, bool level)
{
    struct vlapic_set *s = set;
    struct vlapic *l = &s->lapic[pin / 2];
    unsigned n = pin % 2;
    bool rises = level && !(l->lint & BIT(n));
    u32 lvt = l->reg[LVT_LINT0 + n];

    l->lint = (u8)((l->lint & ~BIT(n)) | (u32)level << n);
    /* NMI and INIT are edge-triggered whatever bit 15 says (10.5.1). */
    if (rises && enabled(l) && ((lvt >> 8 & 7) != APIC_FIXED || !(lvt & LVT_LEVEL)))
        deliver_lvt(l, LVT_LINT0 + n);
    sample_lint(l, n);
    update(l);
}

/* --- Timer, 10.5.4 ---------------------------------------------------------------------------- */

u32 vlapic_timer_count(const struct vlapic *l)
{
    unsigned shift = timer_shift(l);
    u64 now = clock_now(l->clock);
    u64 left = l->expiry - now;

    if (!l->counting)
        return 0;
    if (now >= l->expiry) {
        u64 period = (u64)l->reg[TIMER_INITIAL] << shift;

        if (timer_mode(l) != TIMER_PERIODIC || period == 0)
            return 0;
        left = period - (now - l->expiry) % period;
    }
    return (u32)((left + (1u << shift) - 1) >> shift);
}

static void timer_stop(struct vlapic *l)
{
    clock_disarm(l->clock, &l->timer);
    l->counting = false;
    l->deadline = 0;
}

static void timer_fire(void *dev, u64 deadline)
{
    struct vlapic *l = dev;
    struct clock *c = l->clock;
    u64 period = (u64)l->reg[TIMER_INITIAL] << timer_shift(l);

    if (timer_mode(l) == TIMER_PERIODIC && l->counting && period != 0) {
        l->expiry = clock_next_period(c, deadline, period, clock_now(c));
        clock_arm(c, &l->timer, l->expiry);
    } else {
        l->counting = false;
        l->deadline = 0;
    }
    deliver_lvt(l, LVT_TIMER);
}

static void timer_start(struct vlapic *l, u32 count)
{
    if (count == 0) {
        timer_stop(l);
        return;
    }
    l->counting = true;
    l->expiry = clock_now(l->clock) + ((u64)count << timer_shift(l));
    clock_arm(l->clock, &l->timer, l->expiry);
}

static void write_timer_initial(struct vlapic *l, unsigned, u32 value)
{
    if (timer_mode(l) > TIMER_PERIODIC) /* ignored in TSC-deadline mode: 10.5.4.1 */
        return;
    l->reg[TIMER_INITIAL] = value;
    timer_start(l, value);
}

static void write_timer_divide(struct vlapic *l, unsigned, u32 value)
{
    u32 count = vlapic_timer_count(l);

    l->reg[TIMER_DIVIDE] = value;
    if (count != 0)
        timer_start(l, count);
}

static u64 tsc_now(const struct vlapic *l) { return clock_now(l->clock) + l->tsc_offset; }

static void write_deadline(struct vlapic *l, u64 value)
{
    u64 now = clock_now(l->clock), left = value - tsc_now(l);

    if (timer_mode(l) != TIMER_TSC_DEADLINE)
        return;
    timer_stop(l);
    if (value == 0)
        return;
    if (value <= tsc_now(l)) {
        deliver_lvt(l, LVT_TIMER);
        return;
    }
    l->deadline = value;
    clock_arm(l->clock, &l->timer, left > CLOCK_NEVER - now ? CLOCK_NEVER : now + left);
}

/* --- Interrupt messages, 10.6 ----------------------------------------------------------------- */

/* Does a message to dest concern this APIC?  10.6.2, x2APIC: 10.12.9 and 10.12.10. */
static bool addressed(const struct vlapic *l, u32 dest, bool logical)
{
    u32 ldr = l->reg[LDR];

    if (!enabled(l))
        return false;
    if (dest == BROADCAST)
        return true;
    if (!logical)
        return dest == l->cpu;
    if (x2apic(l))
        return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
    ldr >>= 24;
    if (l->reg[DFR] >> 28 == 0xf)
        return ldr & dest & 0xff;
    return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

/* Give a message to one APIC; false when it does not take it. */
static bool receive(struct vlapic *l, enum apic_delivery mode, u8 vector, bool level)
{
    const struct cpu_port *port = l->set->port;

    switch (mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        if (!(l->reg[SVR] & SVR_ENABLE))
            return false;
        accept_vector(l, vector, level);
        return vector >= 16;
    case APIC_NMI: port->nmi(port->ctx, l->cpu); return true;
    case APIC_INIT: port->init(port->ctx, l->cpu); return true;
    case APIC_SIPI: port->sipi(port->ctx, l->cpu, vector); return true;
    case APIC_EXTINT:
        l->extint = true;
        update(l);
        return true;
    default: /* SMI: there is no SMM here; 3 is reserved */ return false;
    }
}

/* Lowest priority (10.6.2.4): the addressed APIC with the least PPR, in turn among equals. */
static struct vlapic *arbitrate(struct vlapic_set *s, u32 dest, bool logical,
                                const struct vlapic *except)
{
    struct vlapic *best = NULL;

    for (unsigned i = 0, n = s->next_lowest; i < s->cpus; i++, n++) {
        struct vlapic *l = &s->lapic[n % s->cpus];

        if (l != except && addressed(l, dest, logical) && (l->reg[SVR] & SVR_ENABLE) &&
            (!best || l->reg[PPR] >> 4 < best->reg[PPR] >> 4))
            best = l;
    }
    if (best)
        s->next_lowest = best->cpu + 1u;
    return best;
}

static bool send(struct vlapic_set *s, u32 dest, bool logical, enum apic_delivery mode, u8 vector,
                 bool level, const struct vlapic *except)
{
    bool taken = false;

    if (mode == APIC_LOWEST) {
        struct vlapic *l = arbitrate(s, dest, logical, except);

        return l && receive(l, mode, vector, level);
    }
    for (unsigned i = 0; i < s->cpus; i++) {
        struct vlapic *l = &s->lapic[i];

        if (l != except && addressed(l, dest, logical))
            taken |= receive(l, mode, vector, level);
    }
    return taken;
}

bool vlapic_deliver(struct vlapic_set *s, u8 dest, bool logical, enum apic_delivery mode, u8 vector,
                    bool level)
{
    return send(s, dest == 0xff ? BROADCAST : dest, logical, mode, vector, level, NULL);
}

/* A write to ICR (10.6.1).  IPIs are edge-triggered but for INIT's level de-assert, which does
 * nothing since the Pentium 4; INIT and SIPI never go to oneself (table 10-3). */
static void send_ipi(struct vlapic *l, u32 low, u32 dest)
{
    struct vlapic_set *s = l->set;
    enum apic_delivery mode = (enum apic_delivery)(low >> 8 & 7);
    const struct vlapic *except = NULL;
    bool logical = low & ICR_LOGICAL;

    if (mode <= APIC_LOWEST && (low & 0xff) < 16) {
        note_error(l, ERROR_SEND_VECTOR);
        return;
    }
    if (mode == APIC_EXTINT || (mode == APIC_INIT && (low & ICR_LEVEL) && !(low & ICR_ASSERT)))
        return;
    switch (low >> 18 & 3) {
    case 0: break;
    case 1: /* self */
        if (mode != APIC_INIT && mode != APIC_SIPI)
            (void)receive(l, mode, (u8)low, false);
        return;
    case 2: /* all including self */
        dest = BROADCAST;
        except = mode == APIC_INIT || mode == APIC_SIPI ? l : NULL;
        break;
    default: /* all excluding self */ dest = BROADCAST; except = l;
    }
    (void)send(s, dest, logical, mode, (u8)low, false, except);
}

/* --- Register writes -------------------------------------------------------------------------- */

static void write_tpr(struct vlapic *l, unsigned, u32 value)
{
    l->reg[TPR] = value;
    update(l);
}

/* 10.8.5: the highest vector in service is done; a level-triggered one is told to its source. */
static void write_eoi(struct vlapic *l, unsigned, u32)
{
    int vector = top_vector(l, ISR, l->isr_words);

    if (vector < 0)
        return;
    bank_clear(l, ISR, &l->isr_words, (unsigned)vector);
    if (is_level(l, (unsigned)vector)) {
        for (unsigned n = 0; n < 2; n++)
            if ((l->reg[LVT_LINT0 + n] & 0xff) == (u32)vector) {
                l->reg[LVT_LINT0 + n] &= ~LVT_REMOTE_IRR;
                sample_lint(l, n);
            }
        if (!(l->reg[SVR] & SVR_SUPPRESS_EOI) && l->set->eoi)
            l->set->eoi(l->set->ioapic, (u8)vector);
    }
    update(l);
}

static void write_plain(struct vlapic *l, unsigned n, u32 value) { l->reg[n] = value; }

static void write_dfr(struct vlapic *l, unsigned, u32 value) { l->reg[DFR] = value | 0x0fffffff; }

/* Software disable (10.4.7.2) masks the LVT; what is in IRR and ISR stays for the CPU to handle. */
static void write_svr(struct vlapic *l, unsigned, u32 value)
{
    l->reg[SVR] = value;
    if (!(value & SVR_ENABLE))
        for (unsigned i = LVT_TIMER; i <= LVT_ERROR; i++)
            l->reg[i] |= LVT_MASKED;
    update(l);
}

/* 10.5.3: a write brings what was found since the last one into view. */
static void write_esr(struct vlapic *l, unsigned, u32)
{
    l->reg[ESR] = l->errors;
    l->errors = 0;
}

static void write_icr_low(struct vlapic *l, unsigned, u32 value)
{
    u32 dest = l->reg[ICR_HIGH] >> ICR_DEST_SHIFT;

    l->reg[ICR_LOW] = value & ~ICR_BUSY;
    send_ipi(l, value, dest == 0xff ? BROADCAST : dest);
}

static void write_self_ipi(struct vlapic *l, unsigned, u32 value)
{
    send_ipi(l, 1u << 18 | value, 0);
}

/* What a written LVT becomes: read-only bits stay, a disabled APIC keeps it masked. */
static u32 lvt_value(const struct vlapic *l, unsigned reg, u32 value)
{
    value = (value & ~LVT_READ_ONLY) | (l->reg[reg] & LVT_REMOTE_IRR);
    return l->reg[SVR] & SVR_ENABLE ? value : value | LVT_MASKED;
}

/* To and from TSC-deadline mode the timer is disarmed (10.5.4.1); the reserved mode does nothing;
 * between one-shot and periodic the count goes on. */
static void write_timer(struct vlapic *l, unsigned, u32 value)
{
    bool was_counter = timer_mode(l) <= TIMER_PERIODIC;

    l->reg[LVT_TIMER] = lvt_value(l, LVT_TIMER, value);
    if (was_counter != (timer_mode(l) <= TIMER_PERIODIC))
        timer_stop(l);
}

static void write_lvt(struct vlapic *l, unsigned n, u32 value)
{
    l->reg[n] = lvt_value(l, n, value);
}

static void write_lint(struct vlapic *l, unsigned n, u32 value)
{
    write_lvt(l, n, value);
    if (!(value & LVT_LEVEL) || (value >> 8 & 7) != APIC_FIXED)
        l->reg[n] &= ~LVT_REMOTE_IRR;
    sample_lint(l, n - LVT_LINT0);
    update(l);
}

enum {
    X = 1,  /* in the xAPIC page; what is not is an illegal register address */
    R2 = 2, /* readable as an x2APIC MSR */
    W2 = 4  /* writable as an x2APIC MSR */
};

static const struct reg_info {
    u32 valid; /* bits that can be written; others: ignored (xAPIC), #GP (x2APIC) */
    u8 access;
    void (*write)(struct vlapic *l, unsigned n, u32 value); /* NULL: read-only */
} regs[64] = {
    [ID] = {0, X | R2, NULL},
    [VERSION] = {0, X | R2, NULL},
    [TPR] = {0xff, X | R2 | W2, write_tpr},
    [0x09] = {0, X, NULL}, /* APR: reads 0 since the Pentium 4, but is no error */
    [PPR] = {0, X | R2, NULL},
    [EOI] = {0, X | W2, write_eoi},
    [0x0c] = {0, X, NULL}, /* RRD: likewise */
    [LDR] = {0xff000000, X | R2, write_plain},
    [DFR] = {0xf0000000, X, write_dfr},
    [SVR] = {0x13ff, X | R2 | W2, write_svr},
    [ISR... IRR + 7] = {0, X | R2, NULL},
    [ESR] = {0, X | R2 | W2, write_esr},
    [ICR_LOW] = {0xcdfff, X | R2 | W2, write_icr_low},
    [ICR_HIGH] = {0xffffffff, X, write_plain},
    [LVT_TIMER] = {0x710ff, X | R2 | W2, write_timer},
    [LVT_THERMAL] = {0x117ff, X | R2 | W2, write_lvt},
    [LVT_PERF] = {0x117ff, X | R2 | W2, write_lvt},
    [LVT_LINT0] = {0x1f7ff, X | R2 | W2, write_lint},
    [LVT_LINT1] = {0x1f7ff, X | R2 | W2, write_lint},
    [LVT_ERROR] = {0x110ff, X | R2 | W2, write_lvt},
    [TIMER_INITIAL] = {0xffffffff, X | R2 | W2, write_timer_initial},
    [TIMER_CURRENT] = {0, X | R2, NULL},
    [TIMER_DIVIDE] = {0xb, X | R2 | W2, write_timer_divide},
    [0x3f] = {0xff, W2, write_self_ipi},
};

/* --- Ways in: the page, the MSRs -------------------------------------------------------------- */

static inline u32 read_reg(const struct vlapic *l, unsigned n)
{
    return unlikely(n == TIMER_CURRENT) ? vlapic_timer_count(l) : l->reg[n];
}

/* Does the page answer, and is there such a register? */
static inline bool in_page(const struct vlapic *l, unsigned n)
{
    return (l->base & (BASE_EN | BASE_EXTD)) == BASE_EN && n < ARRAY_SIZE(regs) &&
           (regs[n].access & X);
}

/* 10.4.1: registers are 32 bits wide at the start of 16 bytes, and no other access is defined:
 * here narrower reads give their part of the register, narrower writes do nothing. */
static __attribute__((noinline)) u64 page_read_other(struct vlapic *l, u64 offset, unsigned size)
{
    unsigned n = (unsigned)offset >> 4;

    if (!enabled(l) || x2apic(l))
        return mask_bytes(size);
    if (!in_page(l, n)) {
        note_error(l, ERROR_REGISTER);
        return 0;
    }
    if ((offset & 0xf) >= 4)
        return 0;
    return (read_reg(l, n) >> 8 * (offset & 0xf)) & mask_bytes(size);
}

static u64 page_read(void *dev, unsigned cpu, u64 offset, unsigned size)
{
    struct vlapic *l = &((struct vlapic_set *)dev)->lapic[cpu];
    unsigned n = (unsigned)offset >> 4;

    if (likely(in_page(l, n) && (offset & 0xf) == 0 && size == 4 && n != TIMER_CURRENT))
        return l->reg[n];
    return page_read_other(l, offset, size);
}

static void page_write(void *dev, unsigned cpu, u64 offset, unsigned size, u64 value)
{
    struct vlapic *l = &((struct vlapic_set *)dev)->lapic[cpu];
    unsigned n = (unsigned)offset >> 4;

    if (likely(in_page(l, n) && regs[n].write && (offset & 0xf) == 0 && size >= 4))
        regs[n].write(l, n, (u32)value & regs[n].valid);
    else
        (void)page_read_other(l, offset, size); /* an illegal register is an error all the same */
}

/* 10.12.1.2: a register that is not there, or not that way round, and reserved bits are #GP. */
static bool x2apic_read(void *dev, unsigned cpu, u32 msr, u64 *value)
{
    struct vlapic *l = &((struct vlapic_set *)dev)->lapic[cpu];
    unsigned n = msr - MSR_X2APIC;

    if (!x2apic(l) || !(regs[n].access & R2))
        return false;
    *value = read_reg(l, n);
    if (n == ICR_LOW)
        *value |= (u64)l->reg[ICR_HIGH] << 32;
    return true;
}

static bool x2apic_write(void *dev, unsigned cpu, u32 msr, u64 value)
{
    struct vlapic *l = &((struct vlapic_set *)dev)->lapic[cpu];
    unsigned n = msr - MSR_X2APIC;
    u64 valid = regs[n].valid;

    if (!x2apic(l) || !(regs[n].access & W2))
        return false;
    if (n == ICR_LOW) {
        if ((u32)value & ~valid)
            return false;
        l->reg[ICR_LOW] = (u32)value & ~ICR_BUSY;
        l->reg[ICR_HIGH] = (u32)(value >> 32);
        send_ipi(l, (u32)value, l->reg[ICR_HIGH]);
        return true;
    }
    if (n == LVT_TIMER && (value & LVT_PERIODIC))
        valid &= ~(u64)LVT_DEADLINE; /* both bits together are reserved */
    if (value & ~valid)
        return false;
    regs[n].write(l, n, (u32)value);
    return true;
}

static bool deadline_read(void *dev, unsigned cpu, u32, u64 *value)
{
    const struct vlapic_set *s = dev;
    u64 deadline = s->lapic[cpu].deadline;

    *value = deadline > tsc_now(&s->lapic[cpu]) ? deadline : 0; /* 0 once it has passed */
    return true;
}

static bool deadline_write(void *dev, unsigned cpu, u32, u64 value)
{
    write_deadline(&((struct vlapic_set *)dev)->lapic[cpu], value);
    return true;
}

static bool base_read(void *dev, unsigned cpu, u32, u64 *value)
{
    *value = ((struct vlapic_set *)dev)->lapic[cpu].base;
    return true;
}

/* The two registers whose form depends on the mode: 10.12.5.1 and 10.12.10.2. */
static void set_identity(struct vlapic *l)
{
    if (x2apic(l)) {
        l->reg[ID] = l->cpu;
        l->reg[LDR] = (u32)l->cpu >> 4 << 16 | BIT(l->cpu & 0xf);
        l->reg[ICR_HIGH] = 0;
    } else {
        l->reg[ID] = (u32)l->cpu << 24;
        l->reg[LDR] = 0;
    }
}

/* The state after INIT, 10.4.7.3: all but the identity and IA32_APIC_BASE. */
static void reset(struct vlapic *l)
{
    timer_stop(l);
    memset(l->reg, 0, sizeof l->reg);
    l->irr_words = l->isr_words = 0;
    l->errors = 0;
    l->extint = false;
    l->reg[VERSION] = VERSION_VALUE;
    l->reg[DFR] = 0xffffffff;
    l->reg[SVR] = 0xff;
    for (unsigned i = LVT_TIMER; i <= LVT_ERROR; i++)
        l->reg[i] = LVT_MASKED;
    set_identity(l);
    update(l);
}

/* Figure 10-27: off -> xAPIC -> x2APIC, and from either back to off; nothing else. */
static bool base_write(void *dev, unsigned cpu, u32, u64 value)
{
    struct vlapic *l = &((struct vlapic_set *)dev)->lapic[cpu];
    u64 address = value & ~PAGE_MASK, changed = value ^ l->base;
    bool en = value & BASE_EN, extd = value & BASE_EXTD;

    if (value & PAGE_MASK & ~(u64)(BASE_BSP | BASE_EXTD | BASE_EN))
        return false;
    if (address != VLAPIC_BASE) /* reserved bits, or relocation: not supported */
        return false;
    if (extd && (!en || !enabled(l)))
        return false;
    if (en && !extd && x2apic(l))
        return false;
    l->base = value;
    if (changed & BASE_EN)
        reset(l);
    else if (changed & BASE_EXTD)
        set_identity(l);
    return true;
}

/* --- The run loop's side ---------------------------------------------------------------------- */

static int intc_pending(void *intc, unsigned cpu)
{
    return ((struct vlapic_set *)intc)->lapic[cpu].ready;
}

static u8 intc_accept(void *intc, unsigned cpu)
{
    struct vlapic_set *s = intc;
    struct vlapic *l = &s->lapic[cpu];
    int vector = l->ready;

    if (vector == VLAPIC_PENDING_EXTINT) {
        l->extint = false;
        vector = s->inta ? s->inta(s->pic) : 0;
        update(l);
        return (u8)vector;
    }
    if (vector < 0) /* it went away: 10.9 */
        return (u8)l->reg[SVR];
    bank_clear(l, IRR, &l->irr_words, (unsigned)vector);
    bank_set(l, ISR, &l->isr_words, (unsigned)vector);
    update(l);
    return (u8)vector;
}

static u8 intc_read_cr8(void *intc, unsigned cpu)
{
    return (u8)(((struct vlapic_set *)intc)->lapic[cpu].reg[TPR] >> 4);
}

static void intc_write_cr8(void *intc, unsigned cpu, u8 value)
{
    write_tpr(&((struct vlapic_set *)intc)->lapic[cpu], TPR, (value & 0xfu) << 4);
}

static bool intc_enabled(void *intc, unsigned cpu)
{
    return enabled(&((struct vlapic_set *)intc)->lapic[cpu]);
}

static void intc_reset(void *intc, unsigned cpu)
{
    reset(&((struct vlapic_set *)intc)->lapic[cpu]);
}

static void intc_set_tsc_offset(void *intc, unsigned cpu, u64 offset)
{
    struct vlapic *l = &((struct vlapic_set *)intc)->lapic[cpu];

    l->tsc_offset = offset;
    if (l->deadline != 0)
        write_deadline(l, l->deadline);
}

struct intc vlapic_intc(struct vlapic_set *s)
{
    static const struct intc_ops ops = {.pending = intc_pending,
                                        .accept = intc_accept,
                                        .read_cr8 = intc_read_cr8,
                                        .write_cr8 = intc_write_cr8,
                                        .enabled = intc_enabled,
                                        .reset = intc_reset,
                                        .set_tsc_offset = intc_set_tsc_offset};

    return (struct intc){.ops = &ops, .ctx = s};
}

/* --- Set-up ----------------------------------------------------------------------------------- */

void vlapic_power_on(struct vlapic_set *s)
{
    for (unsigned i = 0; i < s->cpus; i++) {
        s->lapic[i].base = VLAPIC_BASE | BASE_EN | (i == 0 ? BASE_BSP : 0);
        reset(&s->lapic[i]);
    }
}

/* From number 0 on, SDM vol. 3A, tables 10-1 and 10-6. */
static const char register_names[] =
    "||ID|VERSION|||||TPR|APR|PPR|EOI|RRD|LDR|DFR|SVR|"
    "ISR 0|ISR 1|ISR 2|ISR 3|ISR 4|ISR 5|ISR 6|ISR 7|"
    "TMR 0|TMR 1|TMR 2|TMR 3|TMR 4|TMR 5|TMR 6|TMR 7|"
    "IRR 0|IRR 1|IRR 2|IRR 3|IRR 4|IRR 5|IRR 6|IRR 7|"
    "ESR|||||||LVT CMCI|ICR low|ICR high|LVT timer|LVT thermal|LVT perf|LVT LINT0|LVT LINT1|"
    "LVT error|timer initial|timer current|||||timer divide|SELF IPI";

enum status vlapic_init(struct vlapic_set *s, unsigned cpus, struct bus *b, struct clock *c,
                        const struct cpu_port *port)
{
    if (cpus == 0 || cpus > VLAPIC_MAX_CPUS)
        return STATUS_EINVAL;
    memset(s, 0, sizeof *s);
    s->cpus = cpus;
    s->port = port;
    for (unsigned i = 0; i < cpus; i++) {
        struct vlapic *l = &s->lapic[i];

        l->cpu = (u8)i;
        l->set = s;
        l->clock = c;
        l->ready = -1;
        l->timer.fire = timer_fire;
        l->timer.dev = l;
    }
    vlapic_power_on(s);
    TRY(bus_add_mmio(b, "lapic", VLAPIC_BASE, PAGE_SIZE, page_read, page_write, s));
    TRY(bus_add_msr(b, "x2apic", MSR_X2APIC, ARRAY_SIZE(regs), x2apic_read, x2apic_write, s));
    TRY(bus_add_msr(b, "tsc-deadline", MSR_TSC_DEADLINE, 1, deadline_read, deadline_write, s));
    TRY(bus_add_msr(b, "apic-base", MSR_APIC_BASE, 1, base_read, base_write, s));
    bus_name_registers(b, "lapic", register_names, 4);
    bus_name_registers(b, "x2apic", register_names, 0);
    return STATUS_OK;
}

void vlapic_connect_pic(struct vlapic_set *s, u8 (*inta)(void *pic), void *pic)
{
    s->inta = inta;
    s->pic = pic;
}

void vlapic_connect_eoi(struct vlapic_set *s, void (*eoi)(void *ioapic, u8 vector), void *ioapic)
{
    s->eoi = eoi;
    s->ioapic = ioapic;
}

void vlapic_virtual_wire(struct vlapic_set *s)
{
    struct vlapic *l = &s->lapic[0];

    write_svr(l, SVR, SVR_ENABLE | 0xff);
    write_lint(l, LVT_LINT0, (u32)APIC_EXTINT << 8);
    write_lint(l, LVT_LINT1, (u32)APIC_NMI << 8);
}

void vlapic_set_clock(struct vlapic_set *s, unsigned cpu, struct clock *c)
{
    s->lapic[cpu].clock = c;
}
