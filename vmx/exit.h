/* SPDX-License-Identifier: MIT
 *
 * VM exits: one handler per basic exit reason, found through the table that vmx/exits.def makes.
 */
#ifndef VMX_EXIT_H
#define VMX_EXIT_H

#include "vmx/vcpu.h"

#define EXIT(number, name, handler, may_vector) enum exit_action handler(struct vcpu *v);
#include "vmx/exits.def"
#undef EXIT

/* Call the handler of the exit that has just happened (v->reason and v->qualification are set). */
enum exit_action exit_dispatch(struct vcpu *v);

/* The exiting instruction has been carried out here: go on behind it. */
enum exit_action exit_retire(struct vcpu *v);

#endif
