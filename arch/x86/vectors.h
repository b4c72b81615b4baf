/* SPDX-License-Identifier: MIT
 *
 * The host's interrupt vectors.  A higher one has the higher priority (SDM vol. 3A,
 * section 10.8.3).
 */
#pragma once

#define IRQ_VECTOR_8259     0x20u /* 16 vectors, as the 8259 pair is programmed */
#define IRQ_VECTOR_ISA      0x30u /* 16 vectors, ISA interrupts through the I/O APIC */
#define IRQ_VECTOR_TIMER    0xe0u /* local APIC timer */
#define IRQ_VECTOR_KICK     0xe1u /* "look again": ends a guest's run on another CPU */
#define IRQ_VECTOR_ERROR    0xe2u /* local APIC error */
#define IRQ_VECTOR_SPURIOUS 0xffu
