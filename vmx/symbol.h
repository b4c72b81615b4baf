/* SPDX-License-Identifier: MIT
 *
 * A virtual machine's symbols (symbols=NAME, or its image's own).
 */
#pragma once

#include "vmx/vcpu.h"
#include "vmx/vm.h"

/* `table`, which is copied, names the VM's addresses from now on; its slide is found as below. */
void vm_set_symbols(struct vm *vm, const struct symbols *table);

/*
 * How far Linux has slid (KASLR) is told by IA32_LSTAR, which holds entry_SYSCALL_64: look at it on
 * the vCPU that this CPU runs.  A table without that symbol does not slide by itself.
 */
void vm_find_slide(struct vcpu *v);

/* "name+0x12" for an address, for emu_disassemble(): vm is a struct vm.  False: nothing is known.
 */
bool vm_symbol(void *vm, u64 address, char *out, size_t cap);
/* The same with " <" and ">" around it, or "". */
const char *vm_symbol_text(const struct vm *vm, u64 address, char *out, size_t cap);
