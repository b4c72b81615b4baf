/* SPDX-License-Identifier: MIT
 *
 * A CPU's registers as GDB knows them: numbered, named and described in XML (GDB manual, appendix
 * G), for 16-, 32- and 64-bit code.
 */
#pragma once

#include "emulator/state.h"
#include "lib/format.h"
#include "lib/types.h"

enum gdb_mode { GDB_MODE_16, GDB_MODE_32, GDB_MODE_64 };

/* Where the registers are. */
struct gdb_cpu {
    struct x86_state *state;
    u8 *fxsave; /* 512 bytes as FXSAVE64 writes them (SDM vol. 1, 10.5.1) */
};

/* Bytes of register `n`, 0 past the last. */
unsigned gdb_reg_size(enum gdb_mode mode, unsigned n);
/* Its value, least byte first; `size` as above. */
void gdb_reg_read(enum gdb_mode mode, unsigned n, const struct gdb_cpu *cpu, u8 *value);
/* Change it and mark what was changed; false: it can only be read. */
bool gdb_reg_write(enum gdb_mode mode, unsigned n, const struct gdb_cpu *cpu, const u8 *value);

/* The whole target.xml. */
void gdb_describe(enum gdb_mode mode, struct sink *out);
