/* SPDX-License-Identifier: MIT
 *
 * Memory types from the MTRRs, SDM vol. 3A, section 11.11: fixed ranges below 1 MiB, then variable
 * ones (UC wins, then WT over WB), then the default.
 */
#include "arch/x86/mtrr.h"

#include "arch/x86/cpu.h"
#include "lib/log.h"
#include "lib/msr.h"

#define FIXED_LIMIT MiB

static struct mtrr_state host_mtrrs;

/* Each fixed MTRR holds eight types: SDM vol. 3A, table 11-9. */
static void read_fixed(struct mtrr_state *m)
{
    static const u32 msrs[] = {
        MSR_IA32_MTRR_FIX64K_00000,    MSR_IA32_MTRR_FIX16K_80000,    MSR_IA32_MTRR_FIX16K_A0000,
        MSR_IA32_MTRR_FIX4K_C0000,     MSR_IA32_MTRR_FIX4K_C0000 + 1, MSR_IA32_MTRR_FIX4K_C0000 + 2,
        MSR_IA32_MTRR_FIX4K_C0000 + 3, MSR_IA32_MTRR_FIX4K_C0000 + 4, MSR_IA32_MTRR_FIX4K_C0000 + 5,
        MSR_IA32_MTRR_FIX4K_C0000 + 6, MSR_IA32_MTRR_FIX4K_C0000 + 7,
    };
    for (unsigned i = 0; i < ARRAY_SIZE(m->fixed); i++)
        m->fixed[i] = (u8)(rdmsr(msrs[i / 8]) >> (8 * (i % 8)));
}

void mtrr_init(void)
{
    struct mtrr_state *m = &host_mtrrs;

    m->phys_bits = cpu_phys_bits();
    m->present = cpu_has(CPU_MTRR);
    if (!m->present) {
        log_warn("mtrr", "the CPU has no MTRRs: all memory is taken as write-back");
        return;
    }
    u64 cap = rdmsr(MSR_IA32_MTRRCAP);
    m->def_type = rdmsr(MSR_IA32_MTRR_DEF_TYPE);
    if (cap & MTRRCAP_FIX)
        read_fixed(m);
    else
        m->def_type &= ~MTRR_DEF_TYPE_FIX_ENABLE;
    m->variable_count = (unsigned)(cap & MTRRCAP_VCNT_MASK);
    if (m->variable_count > MTRR_MAX_VARIABLE)
        m->variable_count = MTRR_MAX_VARIABLE;
    for (u32 i = 0; i < m->variable_count; i++) {
        m->base[i] = rdmsr(MSR_IA32_MTRR_PHYSBASE0 + 2 * i);
        m->mask[i] = rdmsr(MSR_IA32_MTRR_PHYSMASK0 + 2 * i);
    }
}

/* What one address has, and the end of the stretch for which that was decided. */
struct stretch {
    enum memtype type;
    u64 end;
};

static struct stretch fixed_at(const struct mtrr_state *m, u64 at)
{
    unsigned i;
    u64 size;

    if (at < 0x80000) {
        size = 64 * KiB;
        i = (unsigned)(at / size);
    } else if (at < 0xc0000) {
        size = 16 * KiB;
        i = 8 + (unsigned)((at - 0x80000) / size);
    } else {
        size = 4 * KiB;
        i = 24 + (unsigned)((at - 0xc0000) / size);
    }
    return (struct stretch){(enum memtype)m->fixed[i], align_down(at, size) + size};
}

/* Precedence where several variable ranges overlap: SDM vol. 3A, section 11.11.4.1. */
static enum memtype combine(enum memtype a, enum memtype b)
{
    if (a == b)
        return a;
    if ((a == MEMTYPE_WT && b == MEMTYPE_WB) || (a == MEMTYPE_WB && b == MEMTYPE_WT))
        return MEMTYPE_WT;
    return MEMTYPE_UC; /* by rule with UC; undefined for the rest, where UC is safe */
}

static struct stretch variable_at(const struct mtrr_state *m, u64 at)
{
    u64 width = (1ull << m->phys_bits) - 1;
    struct stretch s = {(enum memtype)(m->def_type & MTRR_DEF_TYPE_MASK), width + 1};
    bool hit = false;

    for (unsigned i = 0; i < m->variable_count; i++) {
        u64 mask = m->mask[i] & width & ~PAGE_MASK, base = m->base[i] & mask;
        if (!(m->mask[i] & MTRR_PHYSMASK_VALID) || mask == 0)
            continue;
        u64 grain = mask & -mask; /* membership can change only at multiples of this */
        u64 end = align_down(at, grain) + grain;
        if ((at & mask) == base) {
            enum memtype type = (enum memtype)(m->base[i] & 0xff);
            s.type = hit ? combine(s.type, type) : type;
            hit = true;
        } else if (base > at) {
            end = base; /* no member lies before the base */
        } else if (base < at && mask == (width & ~(grain - 1))) {
            end = s.end; /* one contiguous range, and it lies behind */
        }
        if (end < s.end)
            s.end = end;
    }
    return s;
}

static struct stretch type_at(const struct mtrr_state *m, u64 at)
{
    if (!m->present)
        return (struct stretch){MEMTYPE_WB, ~0ull};
    if (!(m->def_type & MTRR_DEF_TYPE_ENABLE))
        return (struct stretch){MEMTYPE_UC, ~0ull};
    if (at < FIXED_LIMIT && (m->def_type & MTRR_DEF_TYPE_FIX_ENABLE))
        return fixed_at(m, at);
    return variable_at(m, at);
}

enum memtype mtrr_type_of(const struct mtrr_state *m, u64 at, u64 size, bool *uniform)
{
    struct stretch first = type_at(m, at);
    u64 end = at + size;

    if (uniform)
        *uniform = true;
    for (u64 next = first.end; next < end;) {
        struct stretch s = type_at(m, next);
        if (s.type != first.type && uniform)
            *uniform = false;
        if (s.type != first.type || s.end <= next)
            break;
        next = s.end;
    }
    return first.type;
}

enum memtype mtrr_type(hpa_t at, u64 size, bool *uniform)
{
    return mtrr_type_of(&host_mtrrs, at.v, size, uniform);
}
