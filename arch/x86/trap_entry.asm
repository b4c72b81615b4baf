; SPDX-License-Identifier: MIT
;
; The 256 entries of the hypervisor's IDT.  Each pushes its vector (and a zero where the CPU pushes
; no error code), and all meet in trap_common, which completes struct trap_frame (arch/x86/trap.h)
; and calls trap_handle().

        bits    64
        default rel
extern trap_handle

; Vectors with an error code, SDM vol. 3A, table 6-1.
%define HAS_ERROR_CODE(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21)

TRAP_STUB_SIZE equ 16

section .text

global trap_stubs:function
        align   TRAP_STUB_SIZE
trap_stubs:
%assign v 0
%rep 256
        align   TRAP_STUB_SIZE
%if !HAS_ERROR_CODE(v)
        push    0
%endif
        push    v
        jmp     trap_common
%assign v v + 1
%endrep

        align   16
trap_common:
        push    rax
        push    rcx
        push    rdx
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r8
        push    r9
        push    r10
        push    r11
        push    r12
        push    r13
        push    r14
        push    r15
        cld
        mov     rdi, rsp                ; 16-byte aligned: the CPU aligned it before 22 pushes
        call    trap_handle
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     r11
        pop     r10
        pop     r9
        pop     r8
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        pop     rdx
        pop     rcx
        pop     rax
        add     rsp, 16                 ; vector, error code
        iretq
