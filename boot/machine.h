/* SPDX-License-Identifier: MIT
 *
 * One guest machine put together: configuration, memory, board and VM.
 */
#pragma once

#include "drivers/console/mux.h"
#include "guest/board.h"
#include "guest/machine.h"
#include "vmx/vm.h"

struct machine {
    const struct vm_config *config;
    const struct image *modules;
    unsigned module_count;
    struct gmem mem;
    hpa_t backing[3]; /* of the RAM ranges and the ROM; 0: none */
    hpa_t symbols;    /* ... and of the symbols' index */
    struct chardev uart;
    struct cpu_port port;
    struct board board;
    struct vm vm;
    bool told;         /* that it waits for CPUs */
    bool placed;       /* its host CPUs are its own: vm.host[] */
    _Atomic bool done; /* machine_run() has returned, CPU 0 has not taken note of it yet */
};

/* What all machines share. */
struct machine_host {
    const struct vmx_caps *caps;
    struct mux *mux;
    u64 epoch; /* seconds since 1970 at `since` */
    u64 since; /* host TSC */
    void (*poll)(void *ctx);
    void *poll_ctx;
};

/*
 * Build machine number `id` (from 1) up to its first instruction.  On failure the log says why and
 * nothing is left behind.
 */
CHECKED enum status machine_create(struct machine **out, const struct machine_host *host,
                                   const struct vm_config *config, const struct image *modules,
                                   unsigned module_count, unsigned id);

/* Run it on the CPUs of vm.host[], of which this is the first, until its life ends other than by a
 * reset; how it ended is in m->vm. */
void machine_run(struct machine *m);
