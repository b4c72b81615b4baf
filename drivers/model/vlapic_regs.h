/* SPDX-License-Identifier: MIT
 *
 * The registers of a local APIC: numbers and fields, for the model and for what shows it.
 */
#pragma once

#include "lib/bits.h"

/* Register numbers: MMIO offset / 16, MSR - 800H.  SDM vol. 3A, tables 10-1 and 10-6. */
enum {
    ID = 0x02,
    VERSION = 0x03,
    TPR = 0x08,
    PPR = 0x0a,
    EOI = 0x0b,
    LDR = 0x0d,
    DFR = 0x0e,
    SVR = 0x0f,
    ISR = 0x10,
    TMR = 0x18,
    IRR = 0x20,
    ESR = 0x28,
    ICR_LOW = 0x30,
    ICR_HIGH = 0x31,
    LVT_TIMER = 0x32,
    LVT_THERMAL = 0x33,
    LVT_PERF = 0x34,
    LVT_LINT0 = 0x35,
    LVT_LINT1 = 0x36,
    LVT_ERROR = 0x37,
    TIMER_INITIAL = 0x38,
    TIMER_CURRENT = 0x39,
    TIMER_DIVIDE = 0x3e
};

#define MSR_APIC_BASE    0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC       0x800

/* IA32_APIC_BASE, SDM vol. 3A, 10.4.4 and 10.12.1. */
#define BASE_BSP  BIT(8)
#define BASE_EXTD BIT(10)
#define BASE_EN   BIT(11)

/* Integrated APIC, 6 LVT entries, EOI-broadcast suppression.  10.4.8. */
#define VERSION_VALUE 0x01050015u

#define SVR_ENABLE       BIT(8)
#define SVR_SUPPRESS_EOI BIT(12)

#define LVT_DEADLINE   BIT(18)
#define LVT_PERIODIC   BIT(17)
#define LVT_MASKED     BIT(16)
#define LVT_LEVEL      BIT(15)
#define LVT_REMOTE_IRR BIT(14)
#define LVT_READ_ONLY  (BIT(12) | LVT_REMOTE_IRR)

#define ICR_LOGICAL    BIT(11)
#define ICR_ASSERT     BIT(14)
#define ICR_LEVEL      BIT(15)
#define ICR_BUSY       BIT(12)
#define ICR_DEST_SHIFT 24

#define ERROR_SEND_VECTOR    BIT(5)
#define ERROR_RECEIVE_VECTOR BIT(6)
#define ERROR_REGISTER       BIT(7)

#define BROADCAST 0xffffffffu

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE, TIMER_RESERVED };

/* log2 of the divisor: 0..7 of the register's three bits mean 2, 4, ... 128, 1 (figure 10-10). */
static inline unsigned divide_shift(u32 divide)
{
    return ((divide & 3) + (divide >> 1 & 4) + 1) & 7;
}
