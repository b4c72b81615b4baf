/* SPDX-License-Identifier: MIT
 *
 * The fuzzing target without libFuzzer, whose bookkeeping costs several times what it watches: for
 * runs of a length at which no new code is found any more.  Inputs are drawn from a seed, half of
 * them out of nothing with code that is weighted to be valid, half by changing a file of a corpus
 * that libFuzzer has made.  Sanitizers and the target's own checks are the same.
 *
 *   storm [CORPUS] [--runs N] [--seconds T] [--seed S]
 *
 * An input that fails, or keeps the CPU for ten seconds, is left in the file storm-failure, which
 * build/fuzz/emulator takes as an argument.
 */
#include "tests/emulator/codegen.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX 512
#define FILES_MAX 65536
#define HANG      10 /* seconds */

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* Whatever a sanitizer finds ends in SIGABRT. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1"; }
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }

struct input {
    u16 size;
    u8 data[INPUT_MAX];
};
static struct input *corpus, now;
static u32 files;
static u64 runs;

static void on_abort(int sig)
{
    FILE *f = fopen("storm-failure", "wb");
    if (f != NULL && fwrite(now.data, 1, now.size, f) == now.size && fclose(f) == 0)
        fprintf(stderr, "storm: run %llu failed; its input is in storm-failure\n",
                (unsigned long long)runs);
    _exit(128 + sig);
}

static void on_tick(int sig)
{
    static u64 last = ~0ull;
    if (last == runs) {
        fprintf(stderr, "storm: no end after %u seconds\n", HANG);
        on_abort(sig);
    }
    last = runs;
}

static void read_corpus(const char *path)
{
    DIR *dir = opendir(path);
    corpus = calloc(FILES_MAX, sizeof(*corpus));
    if (dir == NULL || corpus == NULL) {
        perror(path);
        exit(2);
    }
    for (const struct dirent *d; (d = readdir(dir)) != NULL && files < FILES_MAX;) {
        char name[4096];
        snprintf(name, sizeof(name), "%s/%s", path, d->d_name);
        FILE *f = d->d_type == DT_REG ? fopen(name, "rb") : NULL;
        if (f == NULL)
            continue;
        corpus[files].size = (u16)fread(corpus[files].data, 1, INPUT_MAX, f);
        files += corpus[files].size != 0;
        fclose(f);
    }
    closedir(dir);
}

/* Random bytes but for the code (tests/fuzz/emulator.c takes a byte of options, then that). */
static void draw_new(struct rng *r)
{
    u8 code[24];
    now.size = (u16)(16 + 8 * rng_below(r, (INPUT_MAX - 16) / 8));
    for (unsigned at = 0; at < now.size; at += 8) {
        u64 v = rng_next(r);
        memcpy(now.data + at, &v, 8);
    }
    code_random(r, rng_chance(r, 50), rng_below(r, 0x10000), code);
    memcpy(now.data + 1, code, 15);
}

static void draw_changed(struct rng *r)
{
    now = corpus[rng_below(r, files)];
    for (unsigned n = 1 + rng_below(r, 4); n-- > 0;) {
        unsigned at = rng_below(r, now.size), length = 1 + rng_below(r, 8);
        const struct input *other = &corpus[rng_below(r, files)];
        length = length < now.size - at ? length : now.size - at;
        u64 v = rng_chance(r, 50) ? rng_value(r) : rng_next(r);
        if (rng_chance(r, 25) && at + length <= other->size)
            memcpy(now.data + at, other->data + at, length);
        else if (rng_chance(r, 30))
            now.data[at] ^= (u8)(1u << rng_below(r, 8));
        else
            memcpy(now.data + at, &v, length);
    }
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report(u64 seed, double start)
{
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    double used = (double)cpu.tv_sec + 1e-9 * (double)cpu.tv_nsec;
    printf("storm seed %llu: %llu runs in %.0f s (%.0f s of CPU, %.0f runs each), no failure\n",
           (unsigned long long)seed, (unsigned long long)runs, seconds_now() - start, used,
           (double)runs / used);
}

int main(int argc, char **argv)
{
    const struct itimerval tick = {{HANG, 0}, {HANG, 0}};
    u64 most = ~0ull, seed = 1;
    double limit = 0, start = seconds_now();
    for (int i = 1; i < argc; i++) {
        const char *v = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--runs") == 0 && ++i)
            most = strtoull(v, NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0 && ++i)
            limit = atof(v);
        else if (strcmp(argv[i], "--seed") == 0 && ++i)
            seed = strtoull(v, NULL, 0);
        else
            read_corpus(argv[i]);
    }
    struct rng r = {seed};
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGABRT, on_abort);
    signal(SIGPROF, on_tick);
    if (setitimer(ITIMER_PROF, &tick, NULL) != 0)
        return 2;
    for (; runs < most; runs++) {
        if (files != 0 && rng_chance(&r, 50))
            draw_changed(&r);
        else
            draw_new(&r);
        (void)LLVMFuzzerTestOneInput(now.data, now.size);
        if (runs % (1 << 16) == 0 && limit != 0 && seconds_now() - start > limit)
            break;
        if (runs % (1 << 24) == (1 << 24) - 1)
            report(seed, start);
    }
    report(seed, start);
    return 0;
}
