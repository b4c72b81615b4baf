/* SPDX-License-Identifier: MIT
 *
 * The MultiProcessor Specification 1.4 tables, for kernels without ACPI.
 */
#pragma once

#include "lib/types.h"

/* What makes the bytes of a firmware table sum up to 0, where its checksum byte is still 0. */
static inline u8 table_checksum(const void *table, u32 size)
{
    u8 sum = 0;

    for (u32 i = 0; i < size; i++)
        sum = (u8)(sum + ((const u8 *)table)[i]);
    return (u8)-sum;
}

/* Write the floating pointer structure and the configuration table for `vcpus` processors to
 * `out`, which the guest sees at gpa (a multiple of 16); returns the bytes used. */
u32 mptable_build(unsigned vcpus, u8 *out, u64 gpa);
