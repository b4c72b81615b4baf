/* SPDX-License-Identifier: MIT
 *
 * Typed access to the current VMCS.  A field is a constant of one of four types, so the compiler
 * picks the width and refuses an encoding where a value belongs:
 *     u32 reason = vmread(VMCS_EXIT_REASON);  vmwrite(VMCS_GUEST_RIP, rip);
 */
#pragma once

#include "lib/status.h"

struct vmcs_field16 {
    u32 encoding;
};
struct vmcs_field32 {
    u32 encoding;
};
struct vmcs_field64 {
    u32 encoding;
};
struct vmcs_fieldN {
    u32 encoding;
};

#define F(width, name, enc, area) \
    __attribute__((unused)) static const struct vmcs_field##width VMCS_##name = {enc};
#include "vmx/vmcs.def"
#undef F

/*
 * An access to a field of a current VMCS fails only when the field is not there on this CPU; the
 * callers of vmread() and vmwrite() know that it is, so these check nothing (SDM vol. 3C, 30.3).
 */
static inline u64 vmcs_read_raw(u32 encoding)
{
    u64 value;
    __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((u64)encoding) : "cc");
    return value;
}

static inline void vmcs_write_raw(u32 encoding, u64 value)
{
    __asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"((u64)encoding) : "cc");
}

/* False when this CPU has no such field. */
static inline bool vmcs_try_read(u32 encoding, u64 *value)
{
    bool ok;
    __asm__ volatile("vmread %2, %0" : "=r"(*value), "=@cca"(ok) : "r"((u64)encoding));
    return ok;
}

#define VMCS_ACCESSORS(width, type)                                              \
    static inline type vmcs_read##width(struct vmcs_field##width f)              \
    {                                                                            \
        return (type)vmcs_read_raw(f.encoding);                                  \
    }                                                                            \
    static inline void vmcs_write##width(struct vmcs_field##width f, type value) \
    {                                                                            \
        vmcs_write_raw(f.encoding, value);                                       \
    }
VMCS_ACCESSORS(16, u16)
VMCS_ACCESSORS(32, u32)
VMCS_ACCESSORS(64, u64)
VMCS_ACCESSORS(N, u64)

#define vmread(field)                           \
    _Generic((field), struct vmcs_field16       \
             : vmcs_read16, struct vmcs_field32 \
             : vmcs_read32, struct vmcs_field64 \
             : vmcs_read64, struct vmcs_fieldN  \
             : vmcs_readN)(field)
#define vmwrite(field, value)                    \
    _Generic((field), struct vmcs_field16        \
             : vmcs_write16, struct vmcs_field32 \
             : vmcs_write32, struct vmcs_field64 \
             : vmcs_write64, struct vmcs_fieldN  \
             : vmcs_writeN)(field, value)

/* The guest's segment fields lie two encodings apart, in the order of enum seg. */
#define VMCS_SEG_SELECTOR(seg) ((struct vmcs_field16){0x0800u + 2u * (u32)(seg)})
#define VMCS_SEG_LIMIT(seg)    ((struct vmcs_field32){0x4800u + 2u * (u32)(seg)})
#define VMCS_SEG_ACCESS(seg)   ((struct vmcs_field32){0x4814u + 2u * (u32)(seg)})
#define VMCS_SEG_BASE(seg)     ((struct vmcs_fieldN){0x6806u + 2u * (u32)(seg)})

/* The list of fields, for dumps and look-up by name. */
struct vmcs_field_info {
    const char *name; /* as in vmcs.def, lower case is not used */
    u32 encoding;
    char area; /* C, R, G, H */
    u8 bytes;  /* 2, 4 or 8 */
};
extern const struct vmcs_field_info vmcs_fields[];
extern const unsigned vmcs_field_count;

/* What VM-instruction error number `error` means (SDM vol. 3C, 30.4). */
const char *vmcs_instruction_error(u32 error);
