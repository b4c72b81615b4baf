/* SPDX-License-Identifier: MIT
 *
 * Byte-wide port access as the host's drivers see it: a pair of functions, so that a driver can be
 * tested against a model of its chip.  port_io_native is the real thing.
 */
#pragma once

#include "lib/types.h"

struct port_io {
    u8 (*read)(void *ctx, u16 port);
    void (*write)(void *ctx, u16 port, u8 value);
    void *ctx;
};

/* IN and OUT of the CPU itself; ctx is not used. */
extern const struct port_io port_io_native;

/* Registers in memory, `stride` bytes apart (1 or 4); "ports" are then counted from `at`. */
struct uart_memory {
    volatile u8 *at;
    u8 stride;
};
struct port_io port_io_memory(struct uart_memory *m);
