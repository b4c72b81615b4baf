/* SPDX-License-Identifier: MIT
 *
 * A character stream behind a serial port: what the 16550 model reads from and writes to.
 */
#pragma once

#include "lib/types.h"

struct chardev {
    void *ctx;
    /* How many bytes put() would take now. */
    u32 (*room)(void *ctx);
    /* Send one byte; it is dropped (and counted by the backend) when there is no room. */
    void (*put)(void *ctx, u8 byte);
    /* The next byte received, or -1. */
    int (*get)(void *ctx);
};
