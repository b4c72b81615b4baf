/* SPDX-License-Identifier: MIT
 *
 * VMCALL, the guest's way to speak to Vitrine on purpose.  EAX holds HYPERCALL_BASE + number, RBX
 * an argument, the answer comes in RAX.  Only CPL 0 is served; anything else gets RAX = ~0.
 */
#pragma once

#include "emulator/emulator.h"

#define HYPERCALL_BASE 0x56540000u /* "VT" */

enum hypercall {
    HYPERCALL_IDENTIFY, /* RAX = HYPERCALL_VERSION */
    HYPERCALL_NOTE,     /* write RBX to the log, with the guest's RIP: a marker; RAX = 0 */
    HYPERCALL_END       /* end this VM with exit status RBX, as the debug-exit port does */
};
#define HYPERCALL_VERSION 1u

struct vcpu;

/* Carry out the call in the guest's registers. */
enum emu_status hypercall(struct vcpu *v);
