/* SPDX-License-Identifier: MIT
 *
 * A ticket spinlock: fair, and small enough to be a member of what it protects.  It does not
 * disable interrupts; the hypervisor takes locks only with interrupts off.
 */
#pragma once

#include "lib/types.h"
#include <stdatomic.h>

struct lock {
    _Atomic u32 next, owner;
};

static inline void lock_take(struct lock *l)
{
    u32 ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
    while (atomic_load_explicit(&l->owner, memory_order_acquire) != ticket)
        __builtin_ia32_pause();
}

static inline void lock_release(struct lock *l)
{
    u32 owner = atomic_load_explicit(&l->owner, memory_order_relaxed);
    atomic_store_explicit(&l->owner, owner + 1, memory_order_release);
}
