/* SPDX-License-Identifier: MIT
 *
 * 64,800 instructions captured from a real 80286 in real mode (SingleStepTests, packed as SSTB)
 * judge the emulator's real mode.  The file is not part of this repository: $VITRINE_SST286, the
 * first argument, or ../shared/sst286.sstb.gz beside the repository; without it the test is
 * skipped.
 *
 *   sst286 [FILE] [--verbose] [--form NAME]
 *
 * Exit status 0: only differences that excuses[] names; 1: others; 77: skipped.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* popen() */
#endif
#include "tests/emulator/testguest.h"
#include <unistd.h>

#define RAM_PAGES   0x110 /* all that real mode reaches */
#define NO_VECTOR   0xff
#define RUN_LIMIT   200000
#define SKIP_STATUS 77

enum {
    REG_AX,
    REG_BX,
    REG_CX,
    REG_DX,
    REG_CS,
    REG_SS,
    REG_DS,
    REG_ES,
    REG_SP,
    REG_BP,
    REG_SI,
    REG_DI,
    REG_IP,
    REG_FLAGS,
    REG_WORDS
};

#define ATTR_PORT 8u

/* One record; its runs of RAM stay where they are in the file. */
struct record {
    u8 length, vector;
    u16 attr, flag_mask;
    u32 flag_addr;
    u16 in[REG_WORDS], out[REG_WORDS];
    u16 n_in, n_out;
    const u8 *runs;
};

struct block {
    char name[9];
    u16 records;
    u32 bytes;
};

struct sst {
    struct guest guest;
    u8 *data, *end;
    const char *only;
    bool verbose;
    u64 pass, excused, failed, unimplemented;
};

static u16 get16(const u8 *p) { return (u16)(p[0] | p[1] << 8); }

static u32 get32(const u8 *p) { return get16(p) | (u32)get16(p + 2) << 16; }

static unsigned record_parse(const u8 *p, struct record *r)
{
    r->length = p[2];
    r->vector = p[3];
    r->attr = get16(p + 4);
    r->flag_mask = get16(p + 6);
    r->flag_addr = get32(p + 8);
    for (unsigned i = 0; i < REG_WORDS; i++) {
        r->in[i] = get16(p + 12 + 2 * i);
        r->out[i] = get16(p + 40 + 2 * i);
    }
    r->n_in = get16(p + 68);
    r->n_out = get16(p + 70);
    r->runs = p + 72;
    return get16(p);
}

/* Visit the next run: its address, length and data. */
static const u8 *run_next(const u8 *p, u32 *addr, unsigned *len, const u8 **data)
{
    u32 word = get32(p);
    *addr = word & 0xffffff;
    *len = word >> 24;
    *data = p + 4;
    return p + 4 + *len;
}

/* ---- state ---- */

static const u8 gpr_of[] = {[REG_AX] = RAX, [REG_BX] = RBX, [REG_CX] = RCX, [REG_DX] = RDX,
                            [REG_SP] = RSP, [REG_BP] = RBP, [REG_SI] = RSI, [REG_DI] = RDI};
static const u8 seg_of[] = {
    [REG_CS] = SEG_CS, [REG_SS] = SEG_SS, [REG_DS] = SEG_DS, [REG_ES] = SEG_ES};

static bool is_seg(unsigned i) { return i >= REG_CS && i <= REG_ES; }

static void load(struct sst *t, const struct record *r)
{
    struct x86_state *s = &t->guest.state;
    x86_state_reset(s);
    s->valid = STATE_ALL;
    memset(s->gpr, 0, sizeof(s->gpr));
    for (unsigned i = 0; i < REG_IP; i++)
        if (is_seg(i))
            s->seg[seg_of[i]] =
                (struct segment){(u32)r->in[i] << 4, 0xffff, i == REG_CS ? 0x9b : 0x93, r->in[i]};
        else
            s->gpr[gpr_of[i]] = r->in[i];
    s->rip = r->in[REG_IP];
    s->rflags = r->in[REG_FLAGS];
    s->idtr = (struct table_reg){0, 0x3ff};
    t->guest.emu.event.vector = VECTOR_NONE;
    const u8 *p = r->runs, *data;
    for (unsigned i = 0; i < r->n_in; i++) {
        u32 addr;
        unsigned len;
        p = run_next(p, &addr, &len, &data);
        memcpy(guest_ptr(&t->guest, addr), data, len);
    }
}

/* Put into a copy of the RAM what should be there afterwards; compare; leave all zero again. */
static bool memory_as_expected(struct sst *t, const struct record *r, char *why, size_t cap)
{
    static u8 expected[RAM_PAGES * PAGE_SIZE];
    u8 *ram = t->guest.ram;
    const u8 *p = r->runs, *data;
    u32 addr;
    unsigned len;
    bool same = true;
    for (unsigned i = 0; i < r->n_in + r->n_out; i++) {
        p = run_next(p, &addr, &len, &data);
        memcpy(expected + addr, data, len);
    }
    for (unsigned k = 0; r->vector != NO_VECTOR && k < 2; k++) { /* the FLAGS pushed */
        u8 mask = (u8)(r->flag_mask >> (8 * k));
        expected[r->flag_addr + k] =
            (u8)((expected[r->flag_addr + k] & mask) | (ram[r->flag_addr + k] & ~mask));
    }
    size_t at = 0;
    while (at < sizeof(expected) && memcmp(ram + at, expected + at, PAGE_SIZE) == 0)
        at += PAGE_SIZE;
    if (at < sizeof(expected)) {
        while (ram[at] == expected[at])
            at++;
        snprintf(why, cap, "memory [%zx]: 286 %02x, emulator %02x", at, expected[at], ram[at]);
        same = false;
    }
    memset(ram, 0, same ? 0 : sizeof(expected));
    memset(expected, 0, same ? 0 : sizeof(expected));
    p = r->runs;
    for (unsigned i = 0; i < r->n_in + r->n_out; i++) {
        p = run_next(p, &addr, &len, &data);
        memset(expected + addr, 0, len);
        memset(ram + addr, 0, len);
    }
    if (r->vector != NO_VECTOR)
        memset(expected + r->flag_addr, 0, 2);
    return same;
}

/* ---- records in which a 386 and later do otherwise, or the log cannot be right ---- */

struct excuse {
    const char *form;
    unsigned number;
    const char *why;
};

static const struct excuse excuses[] = {
    {"FF.3", 169, "the log has SS pushed in place of CS when #UD is delivered"},
};

static const char *excuse(const struct block *b, unsigned number)
{
    for (size_t i = 0; i < ARRAY_SIZE(excuses); i++)
        if (strcmp(b->name, excuses[i].form) == 0 && number == excuses[i].number)
            return excuses[i].why;
    return NULL;
}

/* ---- one record ---- */

static enum emu_status execute(struct sst *t)
{
    struct emu *e = &t->guest.emu;
    enum emu_status st = EMU_RETRY;
    for (unsigned n = 0; st == EMU_RETRY && n < RUN_LIMIT; n++)
        st = emu_step(e);
    if (st == EMU_FAULT || (st == EMU_DONE && e->event.vector != VECTOR_NONE)) {
        struct emu_event event = e->event;
        e->event.vector = VECTOR_NONE;
        return emu_deliver(e, &event);
    }
    return st;
}

static bool registers_as_expected(const struct sst *t, const struct record *r, char *why,
                                  size_t cap)
{
    static const char *const names[] = {"ax", "bx", "cx", "dx", "cs", "ss", "ds",
                                        "es", "sp", "bp", "si", "di", "ip", "flags"};
    const struct x86_state *s = &t->guest.state;
    for (unsigned i = 0; i < REG_WORDS; i++) {
        u64 value = i == REG_IP      ? s->rip
                    : i == REG_FLAGS ? s->rflags
                    : is_seg(i)      ? s->seg[seg_of[i]].selector
                                     : s->gpr[gpr_of[i]];
        u64 mask = i == REG_FLAGS ? r->flag_mask : ~0ull;
        if (((value ^ r->out[i]) & mask) == 0)
            continue;
        snprintf(why, cap, "%s: 286 %x, emulator %llx (mask %llx)", names[i], r->out[i],
                 (unsigned long long)value, (unsigned long long)(mask & 0xffff));
        return false;
    }
    for (unsigned i = REG_CS; i <= REG_ES; i++)
        if (s->seg[seg_of[i]].base != (u64)s->seg[seg_of[i]].selector << 4) {
            snprintf(why, cap, "base of %s", names[i]);
            return false;
        }
    return true;
}

static void report(const struct block *b, const struct record *r, unsigned number, const u8 *code,
                   const char *why)
{
    printf("  %-6s #%u:", b->name, number);
    for (unsigned i = 0; i < r->length; i++)
        printf(" %02x", code[i]);
    if (r->vector != NO_VECTOR)
        printf(" (vector %u)", r->vector);
    printf(": %s\n", why);
}

static void judge(struct sst *t, const struct block *b, const struct record *r, unsigned number,
                  unsigned *shown)
{
    char why[160] = "";
    u8 code[16];
    load(t, r);
    memcpy(code, guest_ptr(&t->guest, ((u64)r->in[REG_CS] << 4) + r->in[REG_IP]), sizeof(code));
    enum emu_status st = execute(t);
    bool done = st == EMU_DONE;
    if (!done)
        snprintf(why, sizeof(why), "emulator: status %d, vector %u", st, t->guest.emu.event.vector);
    char memory[80];
    bool registers = done && registers_as_expected(t, r, why, sizeof(why));
    if (!memory_as_expected(t, r, memory, sizeof(memory)) && registers) {
        snprintf(why, sizeof(why), "%s", memory);
        registers = false;
    }
    const char *reason = registers ? NULL : excuse(b, number);
    if (registers)
        t->pass++;
    else if (st == EMU_UNIMPLEMENTED)
        t->unimplemented++;
    else if (reason != NULL)
        t->excused++;
    else
        t->failed++;
    if (!registers && (t->verbose || (reason == NULL && (*shown)++ < 2)))
        report(b, r, number, code, reason != NULL ? reason : why);
}

static void judge_block(struct sst *t, const struct block *b, const u8 *p)
{
    unsigned shown = 0;
    u64 failed = t->failed, unimplemented = t->unimplemented, excused = t->excused;
    for (unsigned i = 0; i < b->records; i++) {
        struct record r;
        unsigned size = record_parse(p, &r);
        judge(t, b, &r, i, &shown);
        p += size;
    }
    if (t->failed != failed || t->unimplemented != unimplemented || t->excused != excused)
        printf("%-6s %u cases: %llu wrong, %llu unimplemented, %llu excused\n", b->name, b->records,
               (unsigned long long)(t->failed - failed),
               (unsigned long long)(t->unimplemented - unimplemented),
               (unsigned long long)(t->excused - excused));
}

/* ---- the file ---- */

static bool read_file(struct sst *t, const char *path)
{
    char command[4200];
    if (strchr(path, '\'') != NULL || access(path, R_OK) != 0)
        return false;
    snprintf(command, sizeof(command), "gzip -dc '%s'", path);
    FILE *f = popen(command, "r");
    size_t room = 32 * MiB, have = 0;
    t->data = malloc(room);
    if (f == NULL || t->data == NULL)
        return false;
    have = fread(t->data, 1, room, f);
    t->end = t->data + have;
    return pclose(f) == 0 && have >= 32 && memcmp(t->data, "SSTB", 4) == 0 &&
           get16(t->data + 6) == 286;
}

static int run_file(struct sst *t)
{
    const u8 *p = t->data + 32;
    u32 blocks = get32(t->data + 8);
    for (u32 i = 0; i < blocks; i++) {
        struct block b = {.records = get16(p + 8), .bytes = get32(p + 12)};
        memcpy(b.name, p, 8);
        if (p + 16 + b.bytes > t->end) {
            fputs("sst286: the file is cut short\n", stderr);
            return 2;
        }
        if (t->only == NULL || strcmp(t->only, b.name) == 0)
            judge_block(t, &b, p + 16);
        p += 16 + b.bytes;
    }
    printf("sst286: %llu equal, %llu wrong, %llu unimplemented, %llu excused\n",
           (unsigned long long)t->pass, (unsigned long long)t->failed,
           (unsigned long long)t->unimplemented, (unsigned long long)t->excused);
    return t->failed != 0;
}

int main(int argc, char **argv)
{
    static struct sst t;
    const char *path = getenv("VITRINE_SST286");
    hostnative_catch(); /* DIV's #DE */
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--verbose") == 0)
            t.verbose = true;
        else if (strcmp(argv[i], "--form") == 0 && i + 1 < argc)
            t.only = argv[++i];
        else
            path = argv[i];
    bool found = path != NULL ? read_file(&t, path) : read_file(&t, "../shared/sst286.sstb.gz");
    if (!found) {
        printf("sst286: skipped: no test vectors at %s (set VITRINE_SST286)\n",
               path != NULL ? path : "../shared/sst286.sstb.gz");
        return SKIP_STATUS;
    }
    u8 *ram = calloc(RAM_PAGES, PAGE_SIZE);
    if (ram == NULL)
        return 2;
    guest_init(&t.guest, ram, RAM_PAGES, PAGE_SIZE);
    t.guest.emu.cache = calloc(1, emu_cache_size());
    emu_cache_init(t.guest.emu.cache);
    return run_file(&t);
}
