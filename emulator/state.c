/* SPDX-License-Identifier: MIT
 *
 * The state a virtual CPU starts from.
 */
#include "emulator/state.h"
#include "lib/string.h"

/* Access rights after reset, SDM vol. 3A, table 9-1, in the layout of vol. 3C, table 24-2: data and
 * also code are present, read/write, accessed (CS can be written in real mode); then an LDT and a
 * busy TSS. */
#define RESET_SEGMENT (SEG_P | SEG_S | 0x3u)
#define RESET_LDTR    (SEG_P | 0x2u)
#define RESET_TR      (SEG_P | 0xbu)

void x86_state_reset(struct x86_state *s)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = (struct segment){.limit = 0xffff, .access = RESET_SEGMENT};
    s->seg[SEG_CS].selector = 0xf000;
    s->seg[SEG_CS].base = 0xffff0000;
    s->seg[SEG_LDTR].access = RESET_LDTR;
    s->seg[SEG_TR].access = RESET_TR;
    s->rip = 0xfff0;
    s->rflags = RFLAGS_FIXED;
    s->gpr[RDX] = 0x600; /* family 6; the rest of the signature is its user's to say */
    s->cr0 = CR0_CD | CR0_NW | CR0_ET;
    s->xcr0 = 1;
    s->dr6 = DR6_ONES;
    s->dr7 = DR7_ONES;
    s->gdtr.limit = s->idtr.limit = 0xffff;
    s->activity = ACTIVITY_ACTIVE;
    s->valid = s->dirty = STATE_ALL;
}
