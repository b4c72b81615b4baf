/* SPDX-License-Identifier: MIT
 *
 * Fixed-width integers and the three kinds of address.  An address is a one-member struct, so that
 * a guest-physical address cannot be handed to something that wants a host-physical one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
__extension__ typedef unsigned __int128 u128;

/* Guest-physical, guest-linear and host-physical address, in bytes. */
typedef struct {
    u64 v;
} gpa_t;
typedef struct {
    u64 v;
} gva_t;
typedef struct {
    u64 v;
} hpa_t;

#define GPA(x) ((gpa_t){(x)})
#define GVA(x) ((gva_t){(x)})
#define HPA(x) ((hpa_t){(x)})

#define KiB 1024ul
#define MiB (1024ul * KiB)
#define GiB (1024ul * MiB)

#define PAGE_SIZE 4096ul
#define PAGE_MASK (PAGE_SIZE - 1)

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define NOINLINE    __attribute__((noinline))
