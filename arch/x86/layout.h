/* SPDX-License-Identifier: MIT
 *
 * The hypervisor's address space; arch/x86/paging.h says what is mapped how.
 */
#pragma once

#define DIRECT_MAP 0xffff800000000000ull /* physical memory */
#define MMIO_MAP   0xffffc00000000000ull /* device registers, stacks, aliases */
#define IMAGE_MAP  0xffffffff80000000ull /* the image, as linker.ld links it */
