/* SPDX-License-Identifier: MIT
 *
 * Locked instructions under fire: two host threads hammer the same bytes, one through the emulator,
 * the other through a second emulator or by the CPU's own locked instructions.  Each owns one bit
 * of the operand; a read-modify-write that is not atomic loses the other's bit.  Operands of 1 to
 * 16 bytes: aligned, over a cache line's border, over a page's, and over that of two pages that are
 * not neighbours on the host.  (SDM vol. 3A, 8.1.2.)
 */
#include "emu_fixture.h"

#include <pthread.h>

#define ROUNDS 60000      /* aligned, where a lost one is rare */
#define FEW    400        /* split, where it is not, and each may take long */
#define APART  0x20000ull /* linear; its next page is elsewhere in RAM */
#define APART2 0x30000ull /* gpa of that */

/* Two instructions: what the first does to bit 0 the second undoes. */
struct pair {
    const char *name;
    u8 code[2][4]; /* without prefixes; operand [RBX], other operand CL to RCX */
    u8 length[2];
    u8 sizes;  /* mask of 1, 2, 4, 8 */
    bool byte; /* bit 0 of the last opcode byte says "not a byte" */
    u64 rcx[2];
    bool carry;
};
#define ALL_SIZES 15
static const struct pair pairs[] = {
    {"or, and", {{0x08, 0x0b}, {0x20, 0x0b}}, {2, 2}, ALL_SIZES, true, {1, ~1ull}, false},
    {"add, sub", {{0x00, 0x0b}, {0x28, 0x0b}}, {2, 2}, ALL_SIZES, true, {1, 1}, false},
    {"adc, sbb", {{0x10, 0x0b}, {0x18, 0x0b}}, {2, 2}, ALL_SIZES, true, {0, 0}, true},
    {"xor", {{0x30, 0x0b}, {0x30, 0x0b}}, {2, 2}, ALL_SIZES, true, {1, 1}, false},
    {"add, sub imm", {{0x82, 0x03, 1}, {0x82, 0x2b, 1}}, {3, 3}, 14, true, {0, 0}, false},
    {"or, and imm", {{0x82, 0x0b, 1}, {0x82, 0x23, 0xfe}}, {3, 3}, 14, true, {0, 0}, false},
    {"inc, dec", {{0xfe, 0x03}, {0xfe, 0x0b}}, {2, 2}, ALL_SIZES, true, {0, 0}, false},
    {"bts, btr", {{0x0f, 0xab, 0x0b}, {0x0f, 0xb3, 0x0b}}, {3, 3}, 14, false, {0, 0}, false},
    {"btc", {{0x0f, 0xbb, 0x0b}, {0x0f, 0xbb, 0x0b}}, {3, 3}, 14, false, {0, 0}, false},
    {"bts, btr imm",
     {{0x0f, 0xba, 0x2b, 0}, {0x0f, 0xba, 0x33, 0}},
     {4, 4},
     14,
     false,
     {0, 0},
     false},
    {"xadd", {{0x0f, 0xc0, 0x0b}, {0x0f, 0xc0, 0x0b}}, {3, 3}, ALL_SIZES, true, {1, ~0ull}, false},
};

static u8 *ram, *apart; /* RAM; the two pages that are not neighbours, side by side */

static void *join(void *, gpa_t first, gpa_t second)
{
    return first.v == APART && second.v == APART2 ? apart : NULL;
}

static void map_memory(void)
{
    int fd = memfd_create("ram", 0);
    assert_true(fd >= 0 && ftruncate(fd, FX_RAM) == 0);
    ram = mmap(NULL, FX_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    apart = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)APART);
    assert_true(ram != MAP_FAILED && apart != MAP_FAILED);
    assert_true(mmap(apart + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                     fd, (off_t)APART2) != MAP_FAILED);
    close(fd);
}

/* Integer instructions only: the threads' own registers need not be put aside. */
static u8 run_bare(void *, struct emu_native *n) { return hostnative_run(n, NULL); }

static struct emu_ops ops;

/* A CPU in 64-bit mode on the shared memory, its code at `code`. */
static struct fixture *cpu_new(u64 code)
{
    struct fixture *f = fx_new();
    free(f->ram);
    f->ram = ram;
    fx_long(f, 0);
    fx_map(f, APART + PAGE_SIZE, APART2, 0x67);
    fx_load(f, STATE_ALL);
    f->s.valid = STATE_ALL;
    f->e.ops = &ops;
    f->s.rip = code;
    return f;
}

static void cpu_free(struct fixture *f) { free(f); }

/* Where an operand of `size` bytes is, linear, and on the host. */
enum place { ALIGNED, LINE, PAGE, PAGES_APART, PLACES };
static const char *const place_names[] = {"aligned", "across lines", "across pages",
                                          "across pages apart"};
static u64 linear_of(enum place p, unsigned size)
{
    static const u64 border[] = {0x15000, 0x15040, 0x16000, APART + PAGE_SIZE};
    return p == ALIGNED ? border[p] : border[p] - size / 2;
}

static u8 *host_of(u64 linear) { return linear >= APART ? apart + (linear - APART) : ram + linear; }

/* ---- one bit each --------------------------------------------------------------------------- */

struct hammer {
    const struct pair *pair;
    unsigned size;
    u64 linear;
    bool native;
    struct fixture *cpu;
    pthread_barrier_t *start;
    unsigned rounds;
    unsigned bad; /* first round in which the bit was not as left, from 1 */
};

static u64 load_operand(const u8 *at, unsigned size)
{
    u64 v = 0;
    switch (size) {
    case 1: return *(volatile const u8 *)at;
    default: memcpy(&v, at, size); return v; /* only own bits are looked at */
    }
}

static unsigned put_code(struct fixture *f, const struct pair *p, unsigned n, unsigned size)
{
    u8 *c = f->ram + f->s.rip;
    unsigned at = 0;
    c[at++] = 0xf0;
    if (size == 2)
        c[at++] = 0x66;
    if (size == 8)
        c[at++] = 0x48;
    memcpy(c + at, p->code[n], p->length[n]);
    unsigned opcode = at + (p->code[n][0] == 0x0f);
    c[opcode] = (u8)(c[opcode] | (p->byte && size > 1));
    return at + p->length[n];
}

/* Bit 0 is ours: set and clear it. */
static void *emulated(void *arg)
{
    struct hammer *h = arg;
    struct fixture *f = h->cpu;
    u64 rip = f->s.rip, at[2] = {rip, rip + 16};
    for (unsigned n = 0; n < 2; n++) {
        f->s.rip = at[n];
        put_code(f, h->pair, n, h->size);
    }
    pthread_barrier_wait(h->start);
    for (unsigned i = 0; i < h->rounds && h->bad == 0; i++) {
        f->s.rip = at[i & 1];
        f->s.gpr[RBX] = h->linear;
        f->s.gpr[RCX] = h->pair->rcx[i & 1];
        f->s.rflags = RFLAGS_FIXED | (h->pair->carry ? RFLAGS_CF : 0);
        bool done = emu_step(&f->e) == EMU_DONE;
        if (!done || (load_operand(host_of(h->linear), 1) & 1) != !(i & 1))
            h->bad = i + 1;
    }
    f->s.rip = rip;
    return NULL;
}

static void native_xor(u8 *at, unsigned size, u64 v)
{
    switch (size) {
    case 1: __asm__ volatile("lock xorb %1, (%0)" : : "r"(at), "q"((u8)v) : "memory"); break;
    case 2: __asm__ volatile("lock xorw %1, (%0)" : : "r"(at), "r"((u16)v) : "memory"); break;
    case 4: __asm__ volatile("lock xorl %1, (%0)" : : "r"(at), "r"((u32)v) : "memory"); break;
    default: __asm__ volatile("lock xorq %1, (%0)" : : "r"(at), "r"(v) : "memory");
    }
}

/* The highest bit is ours. */
static void *partner(void *arg)
{
    struct hammer *h = arg;
    struct fixture *f = h->cpu;
    u8 *host = host_of(h->linear), *last = host + h->size - 1;
    u64 top = BIT64(8 * h->size - 1), rip = f->s.rip;
    put_code(f, &pairs[3], 0, h->size);
    pthread_barrier_wait(h->start);
    for (unsigned i = 0; i < h->rounds && h->bad == 0; i++) {
        bool done = true;
        if (h->native) {
            native_xor(host, h->size, top);
        } else {
            f->s.rip = rip;
            f->s.gpr[RBX] = h->linear;
            f->s.gpr[RCX] = top;
            done = emu_step(&f->e) == EMU_DONE;
        }
        if (!done || (load_operand(last, 1) >> 7) != !(i & 1))
            h->bad = i + 1;
    }
    f->s.rip = rip;
    return NULL;
}

static void one_bit_each(void **)
{
    struct fixture *a = cpu_new(0x9000), *b = cpu_new(0xa000);
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    for (size_t n = 0; n < ARRAY_SIZE(pairs); n++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned way = 0; way < 2 * PLACES; way++) {
                enum place place = (enum place)(way / 2);
                if (!(pairs[n].sizes & size) || (size == 1 && place != ALIGNED))
                    continue;
                u64 at = linear_of(place, size);
                memset(host_of(at), 0, size);
                unsigned rounds = place == ALIGNED ? ROUNDS : FEW;
                struct hammer x = {&pairs[n], size, at, false, a, &start, rounds, 0};
                struct hammer y = {&pairs[n], size, at, way & 1, b, &start, rounds, 0};
                pthread_t thread;
                assert_int_equal(pthread_create(&thread, NULL, partner, &y), 0);
                emulated(&x);
                pthread_join(thread, NULL);
                if (x.bad != 0 || y.bad != 0)
                    fail_msg("%s, %u bytes %s, against %s: lost in round %u or %u", pairs[n].name,
                             size, place_names[place], way & 1 ? "the CPU" : "the emulator", x.bad,
                             y.bad);
                assert_int_equal(load_operand(host_of(at), size), 0);
            }
    pthread_barrier_destroy(&start);
    cpu_free(a);
    cpu_free(b);
}

/* ---- what replaces the whole operand -------------------------------------------------------- */

/* NOT and NEG: two threads, an odd number of times in all, so a lost one shows in the end; many
 * short rounds.  CMPXCHG, CMPXCHG8B, CMPXCHG16B: a counter, each success counts one.  XCHG: three
 * values in two registers and memory, none of which may be lost or doubled. */
enum whole { WHOLE_NOT, WHOLE_NEG, WHOLE_CMPXCHG, WHOLE_XCHG, WHOLES };
struct swap {
    enum whole kind;
    unsigned size, count;
    u64 linear;
    bool native;
    struct fixture *cpu;
    pthread_barrier_t *start;
    u64 token;
    bool bad;
};

#define NATIVE_SIZED(op, host, size, clobber)                                    \
    switch (size) {                                                              \
    case 1: __asm__ volatile(op "b (%0)" : : "r"(host) : "memory", "cc"); break; \
    case 2: __asm__ volatile(op "w (%0)" : : "r"(host) : "memory", "cc"); break; \
    case 4: __asm__ volatile(op "l (%0)" : : "r"(host) : "memory", "cc"); break; \
    default: __asm__ volatile(op "q (%0)" : : "r"(host) : "memory", "cc");       \
    }

static u64 native_xchg(u8 *at, unsigned size, u64 v)
{
    switch (size) {
    case 1: __asm__ volatile("xchgb %b0, (%1)" : "+q"(v) : "r"(at) : "memory"); break;
    case 2: __asm__ volatile("xchgw %w0, (%1)" : "+r"(v) : "r"(at) : "memory"); break;
    case 4: __asm__ volatile("xchgl %k0, (%1)" : "+r"(v) : "r"(at) : "memory"); break;
    default: __asm__ volatile("xchgq %0, (%1)" : "+r"(v) : "r"(at) : "memory");
    }
    return v;
}

/* One CMPXCHG of (high:)low; what was found comes back. */
static bool native_cmpxchg(u8 *at, unsigned size, u64 *low, u64 *high, u64 new_low, u64 new_high)
{
    bool equal;
    if (size == 16)
        __asm__ volatile("lock cmpxchg16b (%3)"
                         : "=@ccz"(equal), "+a"(*low), "+d"(*high)
                         : "r"(at), "b"(new_low), "c"(new_high)
                         : "memory");
    else if (size == 8)
        __asm__ volatile("lock cmpxchgq %3, (%2)"
                         : "=@ccz"(equal), "+a"(*low)
                         : "r"(at), "r"(new_low)
                         : "memory");
    else if (size == 4)
        __asm__ volatile("lock cmpxchgl %k3, (%2)"
                         : "=@ccz"(equal), "+a"(*low)
                         : "r"(at), "r"(new_low)
                         : "memory");
    else if (size == 2)
        __asm__ volatile("lock cmpxchgw %w3, (%2)"
                         : "=@ccz"(equal), "+a"(*low)
                         : "r"(at), "r"(new_low)
                         : "memory");
    else
        __asm__ volatile("lock cmpxchgb %b3, (%2)"
                         : "=@ccz"(equal), "+a"(*low)
                         : "r"(at), "q"(new_low)
                         : "memory");
    return equal;
}

static void put_swap_code(const struct swap *s, bool pair8)
{
    static const u8 op[WHOLES][4] = {
        {1, 0xf6, 0x13}, {1, 0xf6, 0x1b}, {2, 0x0f, 0xb0, 0x0b}, {1, 0x86, 0x0b}};
    u8 *c = s->cpu->ram + s->cpu->s.rip;
    unsigned at = 0;
    if (s->kind != WHOLE_XCHG)
        c[at++] = 0xf0;
    if (s->size == 2)
        c[at++] = 0x66;
    if (s->size == 16 || (s->size == 8 && !pair8))
        c[at++] = 0x48;
    if (s->size == 16 || pair8) {
        memcpy(c + at, (const u8[]){0x0f, 0xc7, 0x0b}, 3);
        return;
    }
    memcpy(c + at, op[s->kind] + 1, 3);
    unsigned last = at + op[s->kind][0] - 1;
    c[last] = (u8)(c[last] | (s->size > 1));
}

/* The counter: its low half counts, its high half (of a pair) is the complement. */
static bool count_once(struct swap *s, u8 *host, u64 rip, bool pair)
{
    struct fixture *f = s->cpu;
    unsigned half = pair ? s->size / 2 : s->size;
    u64 low = 0, high = pair ? mask_bytes(half) : 0;
    for (;;) {
        u64 next = (low + 1) & mask_bytes(half), next_high = pair ? ~next & mask_bytes(half) : 0;
        if (s->native && !(pair && s->size == 8)) {
            if (native_cmpxchg(host, s->size, &low, &high, next, next_high))
                return true;
        } else if (s->native) {
            u64 old = low | high << 32, none;
            bool equal = native_cmpxchg(host, 8, &old, &none, next | next_high << 32, 0);
            low = (u32)old;
            high = old >> 32;
            if (equal)
                return true;
        } else {
            f->s.rip = rip;
            f->s.gpr[RAX] = low;
            f->s.gpr[RDX] = high;
            f->s.gpr[pair ? RBX : RCX] = next;
            f->s.gpr[pair ? RCX : RBX] = pair ? next_high : s->linear;
            f->s.gpr[RSI] = s->linear;
            if (emu_step(&f->e) != EMU_DONE)
                return false;
            if (f->s.rflags & RFLAGS_ZF)
                return true;
            low = f->s.gpr[RAX] & mask_bytes(half);
            high = f->s.gpr[RDX] & mask_bytes(half);
        }
        if (pair && high != (~low & mask_bytes(half)))
            return false; /* torn */
    }
}

static bool swap_once(struct swap *s, u8 *host, u64 rip, bool pair)
{
    struct fixture *f = s->cpu;
    if (s->kind == WHOLE_CMPXCHG)
        return count_once(s, host, rip, pair);
    if (s->native) {
        if (s->kind == WHOLE_NOT)
            NATIVE_SIZED("lock not", host, s->size, )
        else if (s->kind == WHOLE_NEG)
            NATIVE_SIZED("lock neg", host, s->size, )
        else
            s->token = native_xchg(host, s->size, s->token) & mask_bytes(s->size);
        return true;
    }
    f->s.rip = rip;
    f->s.gpr[RBX] = s->linear;
    f->s.gpr[RCX] = s->token;
    if (emu_step(&f->e) != EMU_DONE)
        return false;
    s->token = f->s.gpr[RCX] & mask_bytes(s->size);
    return true;
}

static void *swapping(void *arg)
{
    struct swap *s = arg;
    bool pair = s->kind == WHOLE_CMPXCHG && (s->size == 16 || s->token == 1);
    u64 rip = s->cpu->s.rip;
    put_swap_code(s, pair && s->size == 8);
    if (pair) /* [RSI]: RBX is an operand */
        s->cpu->ram[rip + (s->size == 16 ? 4 : 3)] = 0x0e;
    pthread_barrier_wait(s->start);
    for (unsigned i = 0; i < s->count && !s->bad; i++)
        s->bad = !swap_once(s, host_of(s->linear), rip, pair);
    s->cpu->s.rip = rip;
    return NULL;
}

/* Both threads on one operand; `pair`: CMPXCHG8B for 8 bytes.  What is left in memory. */
static void whole(struct fixture *a, struct fixture *b, enum whole kind, unsigned size,
                  enum place place, bool native, bool pair)
{
    unsigned rounds = kind <= WHOLE_NEG ? 16 : 1, half = size == 16 || pair ? size / 2 : size;
    u64 at = linear_of(place, size), left[2] = {0, 0};
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    for (unsigned n = 0; n < rounds; n++) {
        u64 begin[2] = {kind == WHOLE_CMPXCHG ? 0 : 0x51, 0};
        if (size == 16)
            begin[1] = ~0ull;
        else if (pair)
            begin[0] = 0xffffffff00000000ull;
        memcpy(host_of(at), begin, size);
        unsigned count = (place == ALIGNED ? ROUNDS : FEW) / rounds;
        struct swap x = {kind, size, count | 1, at, false, a, &start, pair ? 1 : 0x52, false};
        struct swap y = {kind, size, count & ~1u, at, native, b, &start, pair ? 1 : 0x53, false};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, swapping, &y), 0);
        swapping(&x);
        pthread_join(thread, NULL);
        memcpy(left, host_of(at), size);
        u64 total = (x.count + y.count) & mask_bytes(half);
        bool good = !x.bad && !y.bad;
        if (kind == WHOLE_NOT || kind == WHOLE_NEG)
            good =
                good && left[0] == ((kind == WHOLE_NOT ? ~0x51ull : -0x51ull) & mask_bytes(size));
        else if (kind == WHOLE_XCHG)
            good = good && (left[0] | x.token | y.token) == 0x53 && (left[0] ^ x.token) != 0 &&
                   (left[0] ^ x.token ^ y.token) == (0x51 ^ 0x52 ^ 0x53);
        else
            good = good && (left[0] & mask_bytes(half)) == total;
        if (!good)
            fail_msg("kind %d, %u bytes %s, against %s: %llx left, tokens %llx %llx", kind, size,
                     place_names[place], native ? "the CPU" : "the emulator",
                     (unsigned long long)left[0], (unsigned long long)x.token,
                     (unsigned long long)y.token);
    }
    pthread_barrier_destroy(&start);
}

static void whole_operands(void **)
{
    struct fixture *a = cpu_new(0x9000), *b = cpu_new(0xa000);
    for (unsigned way = 0; way < 2 * PLACES; way++) {
        enum place place = (enum place)(way / 2);
        for (unsigned kind = 0; kind < WHOLES; kind++)
            for (unsigned size = place == ALIGNED ? 1 : 2; size <= 8; size *= 2)
                whole(a, b, (enum whole)kind, size, place, way & 1, false);
        whole(a, b, WHOLE_CMPXCHG, 8, place, way & 1, true);
        if (place == ALIGNED) /* else it is #GP */
            whole(a, b, WHOLE_CMPXCHG, 16, place, way & 1, false);
    }
    cpu_free(a);
    cpu_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_bit_each),
        cmocka_unit_test(whole_operands),
    };
    ops = fx_ops;
    ops.window = join;
    ops.run_native = run_bare;
    map_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
