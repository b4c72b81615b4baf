; SPDX-License-Identifier: MIT
;
; guest/dsdt.asl as iasl compiles it.

section .rodata
global guest_dsdt
global guest_dsdt_end
guest_dsdt:
        incbin  "build/dsdt.aml"
guest_dsdt_end:
section .note.GNU-stack noalloc noexec nowrite progbits
