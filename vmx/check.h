/* SPDX-License-Identifier: MIT
 *
 * The rules of VM entry on guest state (SDM vol. 3C, 26.3.1), each with a name and its section.
 * The run loop asks whether the state can be entered; the shell and the reports of failed entries
 * ask which rule is broken.
 */
#pragma once

#include "lib/format.h"
#include "vmx/vcpu.h"

struct check_facts;
struct check_rule {
    const char *name;    /* what must hold */
    const char *section; /* of SDM vol. 3C */
    bool (*holds)(const struct check_facts *f);
};

#define CHECK_RULES VCPU_RULES
extern const struct check_rule check_rules[CHECK_RULES];

/* The number of the first broken rule, or -1: VM entry will not refuse the state. */
int check_guest_state(struct vcpu *v);

/* One line about why VM entry failed or would fail. */
void check_explain(struct vcpu *v, char *buf, size_t cap);

/* Every rule, with those that are broken marked. */
void check_show(struct vcpu *v, struct sink *out);
