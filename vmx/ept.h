/* SPDX-License-Identifier: MIT
 *
 * Extended page tables: guest-physical to host-physical, with the largest pages that fit.  What is
 * not mapped belongs to devices: an access there leaves the guest with an EPT violation.
 */
#pragma once

#include "lib/bits.h"
#include "lib/format.h"
#include "lib/status.h"

struct vmx_caps;

/* Entry bits, SDM vol. 3C, 28.3.2. */
#define EPT_READ       BIT64(0)
#define EPT_WRITE      BIT64(1)
#define EPT_EXECUTE    BIT64(2)
#define EPT_RIGHTS     (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_TYPE_SHIFT 3 /* bits 5:3: memory type, as in the MTRRs */
#define EPT_LARGE      BIT64(7)
#define EPT_ADDRESS    0x000ffffffffff000ul

struct ept {
    u64 *root;   /* host-virtual address of the PML4 page */
    u64 pointer; /* the EPTP for the VMCS */
    u64 tables;  /* pages of tables in all */
    bool large_2m, large_1g, invept_single;
};

CHECKED enum status ept_init(struct ept *e, const struct vmx_caps *caps);
void ept_destroy(struct ept *e);

/*
 * Map [gpa, gpa + size), all page-aligned, to hpa with `rights` (EPT_READ …).  Memory types come
 * from the host's MTRRs.  STATUS_EOVERLAP when a page is already mapped, STATUS_ENOMEM,
 * STATUS_EINVAL for an unaligned or empty range or one past 48 bits.
 */
CHECKED enum status ept_map(struct ept *e, gpa_t gpa, hpa_t hpa, u64 size, u64 rights);

/*
 * Change the rights of one mapped 4-KiB page (its larger page is split); 0 makes every access an
 * EPT violation.  ENOENT: no memory is there.  ENOMEM.  ept_invalidate() has to follow.
 */
CHECKED enum status ept_protect(struct ept *e, gpa_t gpa, u64 rights);

/* Drop cached translations on this CPU; after any change to entries that were present. */
void ept_invalidate(const struct ept *e);

/* Every level of the walk for gpa, in words. */
void ept_show(const struct ept *e, gpa_t gpa, struct sink *out);
