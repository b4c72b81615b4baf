/* SPDX-License-Identifier: MIT
 *
 * Guests without paging on a CPU that cannot enter them so (no unrestricted guest: SDM vol. 3C,
 * 23.8 wants CR0.PE and CR0.PG): the state in the VMCS is dressed up.  Protected mode without
 * paging runs with paging over an identity table; real mode runs in virtual-8086 mode over the same
 * table, as far as its segments allow, and in the emulator where they do not (run.c).
 *
 * In virtual-8086 mode IOPL is 3, so CLI, STI, PUSHF, POPF and IRET run natively; INT n goes
 * through the vector table at 0 by CR4.VME; every exception exits and is delivered in software;
 * what is privileged raises #GP and is emulated, and so is what goes beyond 64 KiB in a segment
 * that is larger (big real mode).  What the guest could notice: PUSHF and INT n show IOPL 3, and
 * POPF does not change it.  `real-mode=emulate` has no such difference.
 */
#pragma once

#include "emulator/state.h"

/* How code in real mode runs: by the CPU itself (unrestricted guest), in virtual-8086 mode as far
 * as its segments allow, or all of it in the emulator.  AUTO: the first that the CPU can do. */
enum real_mode { REAL_AUTO, REAL_NATIVE, REAL_VM86, REAL_EMULATE };

enum shape {
    SHAPE_DIRECT,   /* as it is */
    SHAPE_IDENTITY, /* without paging, but entered with it, by tables that change no address */
    SHAPE_VM86      /* real mode, but entered in virtual-8086 mode, by the same tables */
};

/* The shape that a VMCS is in, and what of the guest's state it cannot hold then. */
struct shaped {
    u8 shape; /* enum shape */
    u64 iopl;
    u32 access[SEG_GS + 1], limit[SEG_GS + 1];
};

/* Bits of CR4 that are not what the guest wants while it is dressed up. */
#define SHAPE_CR4 \
    (CR4_VME | CR4_PVI | CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_PKE | CR4_LA57)

/* Where page directory and TSS are in guest-physical memory: above the APICs, below a 16-MiB ROM.
 * No guest is told of them; one that writes there harms only itself. */
#define SHAPE_TABLES      0xfeffc000ull
#define SHAPE_TABLES_SIZE (4 * PAGE_SIZE)

/* Fill those pages, which are zero. */
void shape_fill_tables(u8 *pages);

/* The shape in which *s (CR0 must be valid) is to be entered. */
enum shape shape_wanted(bool unrestricted, enum real_mode real_mode, const struct x86_state *s);

/* *out: the whole of *s as the CPU is to have it in that shape; *d remembers what undressing needs.
 */
void shape_dress(struct shaped *d, enum shape shape, const struct x86_state *s,
                 struct x86_state *out);

/* Groups that the VMCS does not hold for the guest; and, in SHAPE_VM86 when the groups `loaded`
 * have been read from it, what the guest itself sees in them. */
u32 shape_kept(const struct shaped *d);
void shape_undress(const struct shaped *d, u32 loaded, struct x86_state *s);
