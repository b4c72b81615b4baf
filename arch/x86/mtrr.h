/* SPDX-License-Identifier: MIT
 *
 * Which memory type the firmware gave a physical range through the MTRRs (SDM vol. 3A, section
 * 11.11), for EPT entries; and the page attribute table.
 */
#pragma once

#include "lib/types.h"

/* Encodings shared by MTRRs, PAT and EPT, SDM vol. 3A, table 11-2. */
enum memtype {
    MEMTYPE_UC = 0,
    MEMTYPE_WC = 1,
    MEMTYPE_WT = 4,
    MEMTYPE_WP = 5,
    MEMTYPE_WB = 6,
    MEMTYPE_UC_MINUS = 7, /* PAT only */
};

/* The PAT after reset, SDM vol. 3A, table 11-12: WB WT UC- UC WB WT UC- UC. */
#define PAT_RESET 0x0007040600070406ull

#define MTRR_MAX_VARIABLE 32

/* A CPU's MTRRs. */
struct mtrr_state {
    bool present;
    u64 def_type; /* IA32_MTRR_DEF_TYPE */
    u8 fixed[88]; /* types from 0 up: 8 of 64 KiB, 16 of 16 KiB, 64 of 4 KiB */
    unsigned variable_count;
    u64 base[MTRR_MAX_VARIABLE], mask[MTRR_MAX_VARIABLE]; /* as in the MSRs */
    unsigned phys_bits;
};

/* Read this CPU's MTRRs. */
void mtrr_init(void);

/*
 * The type of [at, at + size) (size not 0); *uniform (may be NULL) is false when it has several,
 * and then the first byte's type is returned.
 */
enum memtype mtrr_type(hpa_t at, u64 size, bool *uniform);

/* The same from a given state (pure, for tests). */
enum memtype mtrr_type_of(const struct mtrr_state *m, u64 at, u64 size, bool *uniform);
