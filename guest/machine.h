/* SPDX-License-Identifier: MIT
 *
 * Building a virtual machine's memory and first CPU from its configuration and the boot modules.
 */
#pragma once

#include "drivers/gmem.h"
#include "emulator/state.h"
#include "guest/config.h"

/*
 * The RAM this machine needs, as ranges of guest-physical memory to be backed and added to a gmem:
 * one or two.  EINVAL with a text for sizes that no machine can have.
 */
struct machine_ram {
    struct {
        u64 base, size;
    } range[2];
    unsigned count;
};
CHECKED enum status machine_ram(u64 mem, struct machine_ram *out, struct load_error *e);

/* Bytes of ROM, up to 4 GiB, that the machine needs besides: a multiple of pages, 0 for none. */
u64 machine_rom(const struct vm_config *vm, const struct image *modules, unsigned module_count);

/* What is on its disk; no data when it has none. */
struct image machine_disk(const struct vm_config *vm, const struct image *modules,
                          unsigned module_count);

/*
 * Fill guest memory and the boot processor's state.  mem must hold what machine_ram() and
 * machine_rom() said, zeroed;
 * modules is the list that config_parse() saw, now with data and size; long_mode says whether the
 * virtual CPU will have 64-bit mode.  On failure e->text says what, where and what to do, and
 * memory is in no defined state.
 */
CHECKED enum status guest_build(const struct vm_config *vm, const struct image *modules,
                                unsigned module_count, bool long_mode, const struct gmem *mem,
                                struct x86_state *state, struct load_error *e);
