/* SPDX-License-Identifier: MIT
 *
 * What an emulated instruction costs: nanoseconds, best of several runs, and, by callgrind,
 * instructions of ours per instruction of the guest's.  Cached: the same code over and over.  Cold:
 * code that was never met before, or so long ago that the cache knows neither it nor its page.
 * None: without a cache.
 *
 *   emulator [--instructions] [--stream NAME] [--steps N [--cold | --none]]
 *
 * --instructions runs each stream once more under valgrind.  --steps N with --stream runs only
 * that stream N times without taking the time: what callgrind is to count is bench_loop().
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/emulator/testguest.h"
#include <time.h>
#include <unistd.h>

#define PAGES     256
#define CODE      0x40000ull
#define COLD      0xa0000ull /* bytes of code: more pages than the cache has */
#define DATA      0x20000ull
#define COPY      0x28000ull
#define DEVICE    0x3f000ull /* linear; below: what it is to the guest's page tables */
#define DEVICE_AT 0xfee00000ull
#define TABLES    0x30000ull
#define RUNS      9

enum run { CACHED, COLD_CODE, NO_CACHE, RUN_COUNT };

enum stream_flags {
    REAL = BIT(0),
    MMIO = BIT(1), /* the exit has told the address */
    STRING = BIT(2)
};

struct stream {
    const char *name;
    u32 flags;
    u32 steps; /* per timed run */
    u8 length; /* of the code; execution wraps there */
    u8 code[48];
};

/* RBX: DATA, RDI: device or COPY, RSI: DATA; string streams: RCX and pointers set before each. */
static const struct stream streams[] = {
    {"register ALU",
     0,
     200000,
     14,
     {0x48, 0x01, 0xc8,                                        /* add rax, rcx */
      0x31, 0xca,                                              /* xor edx, ecx */
      0x48, 0x83, 0xe8, 0x07,                                  /* sub rax, 7 */
      0x41, 0xff, 0xc0,                                        /* inc r8d */
      0x39, 0xc8}},                                            /* cmp eax, ecx */
    {"MMIO load", MMIO, 200000, 2, {0x8b, 0x07}},              /* mov eax, [rdi] */
    {"MMIO store", MMIO, 200000, 2, {0x89, 0x07}},             /* mov [rdi], eax */
    {"MMIO read-modify-write", MMIO, 200000, 2, {0x09, 0x07}}, /* or [rdi], eax */
    {"locked RAM",
     0,
     200000,
     8,
     {0xf0, 0x48, 0x0f, 0xc1, 0x03,                              /* lock xadd [rbx], rax */
      0xf0, 0xff, 0x03}},                                        /* lock inc dword [rbx] */
    {"real-mode mix", REAL, 200000, 21, {0x89, 0xd8,             /* mov ax, bx */
                                         0x8e, 0xc0,             /* mov es, ax */
                                         0x50,                   /* push ax */
                                         0x5a,                   /* pop dx */
                                         0x8b, 0x44, 0x02,       /* mov ax, [si + 2] */
                                         0x01, 0x44, 0x04,       /* add [si + 4], ax */
                                         0xe8, 0x00, 0x00,       /* call $ + 3 */
                                         0x58,                   /* pop ax */
                                         0xa4,                   /* movsb */
                                         0x4e,                   /* dec si */
                                         0x4f,                   /* dec di */
                                         0x74, 0x00}},           /* jz $ + 2 */
    {"64-bit mix", 0, 200000, 38, {0x48, 0x8b, 0x43, 0x10,       /* mov rax, [rbx + 16] */
                                   0x48, 0x8d, 0x54, 0x03, 0x08, /* lea rdx, [rbx + rax + 8] */
                                   0x50,                         /* push rax */
                                   0x48, 0x01, 0x43, 0x20,       /* add [rbx + 32], rax */
                                   0x0f, 0xb6, 0x43, 0x03,       /* movzx eax, byte [rbx + 3] */
                                   0x5a,                         /* pop rdx */
                                   0x48, 0xc1, 0xe2, 0x04,       /* shl rdx, 4 */
                                   0x48, 0x85, 0xc0,             /* test rax, rax */
                                   0x0f, 0x44, 0xd0,             /* cmovz edx, eax */
                                   0x75, 0x00,                   /* jnz $ + 2 */
                                   0xe8, 0x00, 0x00, 0x00, 0x00, /* call $ + 5 */
                                   0x58, 0x90}},                 /* pop rax; nop */
    {"SSE store to MMIO", MMIO, 200000, 3, {0x0f, 0x11, 0x07}},  /* movups [rdi], xmm0 */
    {"AVX load from MMIO", MMIO, 200000, 4, {0xc5, 0xfc, 0x10, 0x07}}, /* vmovups ymm0, [rdi] */
    {"rep movsb, RAM, 4 KiB", STRING, 20000, 2, {0xf3, 0xa4}},
    {"rep movsd to MMIO, 4 KiB", STRING | MMIO, 2000, 2, {0xf3, 0xa5}},
    {"rep outsb, 4 KiB", STRING, 20000, 2, {0xf3, 0x6e}},
    {"rep insb, 4 KiB", STRING, 20000, 2, {0xf3, 0x6c}},
};

/* Bytes of code until execution wraps. */
static u64 code_bytes(const struct stream *s, enum run run)
{
    return run != COLD_CODE ? s->length : (s->flags & REAL ? 0x8000 : COLD) / s->length * s->length;
}

static void state_for(struct guest *g, const struct stream *s, enum run run)
{
    struct x86_state *x = &g->state;
    u64 cr3 = x->cr3;
    for (u64 at = 0; at < code_bytes(s, run); at++)
        *guest_ptr(g, CODE + at) = s->code[at % s->length];
    x86_state_reset(x);
    x->valid = STATE_ALL;
    for (unsigned i = 0; i <= SEG_GS; i++)
        x->seg[i] = s->flags & REAL ? (struct segment){i == SEG_CS ? CODE : 0x10000, 0xffff,
                                                       i == SEG_CS ? 0x9b : 0x93, 0x1000}
                                    : (struct segment){0, 0xffffffff, i == SEG_CS ? 0xa09b : 0xc093,
                                                       i == SEG_CS ? 8 : 16};
    if (!(s->flags & REAL)) {
        x->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP;
        x->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE;
        x->efer = EFER_LME | EFER_LMA;
        x->xcr0 = 7;
    }
    x->cr3 = cr3;
    x->rflags = RFLAGS_FIXED;
    x->gpr[RCX] = 3;
    x->gpr[RBX] = s->flags & REAL ? 0x1000 : DATA;
    x->gpr[RSI] = s->flags & REAL ? 0x2000 : DATA;
    x->gpr[RDI] = s->flags & REAL ? 0x3000 : s->flags & MMIO ? DEVICE : COPY;
    x->gpr[RSP] = s->flags & REAL ? 0xf000 : DATA + 0xf00;
}

/* Execute `steps` instructions of a stream; true when each was done. */
__attribute__((noinline)) static bool bench_loop(struct guest *g, const struct stream *s, u64 steps,
                                                 u64 bytes)
{
    struct x86_state *x = &g->state;
    u64 start = s->flags & REAL ? 0 : CODE;
    for (u64 i = 0; i < steps; i++) {
        if (x->rip - start >= bytes)
            x->rip = start;
        if (s->flags & STRING) {
            x->gpr[RCX] = s->code[1] == 0xa5 ? 1024 : 4096;
            x->gpr[RSI] = DATA;
            x->gpr[RDI] = s->flags & MMIO ? DEVICE : COPY;
        }
        g->emu.fault_allows = s->flags & MMIO ? 2 : 0;
        if (emu_step(&g->emu) != EMU_DONE)
            return false;
    }
    return true;
}

static double best_ns(struct guest *g, const struct stream *s, enum run run)
{
    double best = 1e18;
    for (unsigned n = 0; n < RUNS; n++) {
        struct timespec a, b;
        state_for(g, s, run);
        clock_gettime(CLOCK_MONOTONIC, &a);
        if (!bench_loop(g, s, s->steps, code_bytes(s, run)))
            return -1;
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
        if (ns / s->steps < best)
            best = ns / s->steps;
    }
    return best;
}

/* Instructions per step by callgrind, -1 when it cannot be had. */
static double count_instructions(const char *self, const struct stream *s, enum run run)
{
    static const char *const options[] = {"", "--cold", "--none"};
    char command[1024], line[256];
    unsigned long long collected = 0, steps = s->flags & STRING ? 50 : 5000;
    snprintf(
        command, sizeof(command),
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null '--toggle-collect=bench_loop*' "
        "'%s' --stream '%s' --steps %llu %s 2>&1",
        self, s->name, steps, options[run]);
    FILE *f = popen(command, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        const char *at = strstr(line, "Collected : ");
        if (at != NULL)
            collected = strtoull(at + 12, NULL, 10);
    }
    bool ok = f != NULL && pclose(f) == 0 && collected != 0;
    return ok ? (double)collected / (double)steps : -1;
}

static void setup(struct guest *g)
{
    u8 *ram = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    if (ram == NULL)
        exit(2);
    memset(ram, 0, PAGES * PAGE_SIZE);
    guest_init(g, ram, PAGES, PAGE_SIZE);
    g->live = true;
    g->state.cr3 = TABLES;
    g->next_table = TABLES / PAGE_SIZE + 1;
    for (u64 page = DATA; page < CODE + COLD; page += PAGE_SIZE)
        if (page < TABLES || page >= CODE)
            guest_map(g, page, page, PTE_WRITE);
    guest_map(g, DEVICE, DEVICE_AT, PTE_WRITE);
    g->emu.fault_gva = GVA(DEVICE);
    g->emu.fault_gpa = GPA(DEVICE_AT);
}

static void run_stream(struct guest *g, struct emu_cache *cache, const struct stream *s,
                       const char *self)
{
    printf("%-26s", s->name);
    for (enum run run = CACHED; run < RUN_COUNT; run++) {
        g->emu.cache = run == NO_CACHE ? NULL : cache;
        double ns = best_ns(g, s, run);
        if (ns < 0)
            printf(" not executed");
        else if (self == NULL)
            printf(" %9.1f ns", ns);
        else
            printf(" %9.1f ns %6.0f", ns, count_instructions(self, s, run));
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static struct guest g;
    const char *only = NULL, *self = NULL;
    char path[512];
    u64 steps = 0;
    enum run run = CACHED;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--instructions") == 0) {
            ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
            path[n > 0 ? n : 0] = 0;
            self = path;
        } else if (strcmp(argv[i], "--cold") == 0) {
            run = COLD_CODE;
        } else if (strcmp(argv[i], "--none") == 0) {
            run = NO_CACHE;
        } else if (strcmp(argv[i], "--stream") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
            steps = strtoull(argv[++i], NULL, 0);
        } else {
            fputs("usage: emulator [--instructions] [--stream NAME] "
                  "[--steps N [--cold | --none]]\n",
                  stderr);
            return 2;
        }
    }
    setup(&g);
    struct emu_cache *cache = calloc(1, emu_cache_size());
    if (cache == NULL)
        return 2;
    emu_cache_init(cache);
    if (steps == 0)
        printf(self != NULL ? "%-26s %19s %19s %19s\n" : "%-26s %12s %12s %12s\n", "stream",
               "cached", "cold", "no cache");
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        const struct stream *s = &streams[i];
        if (only != NULL && strcmp(only, s->name) != 0)
            continue;
        if (steps == 0) {
            run_stream(&g, cache, s, self);
            continue;
        }
        state_for(&g, s, run);
        g.emu.cache = run == NO_CACHE ? NULL : cache;
        if (!bench_loop(&g, s, steps, code_bytes(s, run)))
            return 1;
    }
    return 0;
}
