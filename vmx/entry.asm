; SPDX-License-Identifier: MIT
;
; The door to the guest and back: loads the general registers, enters, and on a VM exit stores them
; and calls vcpu.on_exit, which says whether to enter again.  Everything else of the guest is in
; the VMCS or stays in the CPU (see vmx/vcpu.h).

bits 64
section .text

VMCS_HOST_RSP equ 0x6c14
VCPU_ON_EXIT  equ 0x230         ; vcpu.on_exit; asserted in run.c

; bool vmx_loop(struct vcpu *v, bool launched): v begins with its general registers.
; Returns false when vcpu.on_exit says stop, true when VMLAUNCH or VMRESUME itself failed.
global vmx_loop
global vmx_exit
vmx_loop:
        push    rbp
        mov     rbp, rsp
        push    rbx
        push    r12
        push    r13
        push    r14
        push    r15
        push    rdi             ; with the six above the stack is aligned for the call
        mov     eax, VMCS_HOST_RSP
        vmwrite rax, rsp
        test    sil, sil
        jnz     resume
        call    load_registers
        vmlaunch
        jmp     failed

resume:
        mov     rdi, [rsp]
%macro load_all 0
        mov     rax, [rdi + 0 * 8]
        mov     rcx, [rdi + 1 * 8]
        mov     rdx, [rdi + 2 * 8]
        mov     rbx, [rdi + 3 * 8]
        mov     rbp, [rdi + 5 * 8]
        mov     rsi, [rdi + 6 * 8]
        mov     r8, [rdi + 8 * 8]
        mov     r9, [rdi + 9 * 8]
        mov     r10, [rdi + 10 * 8]
        mov     r11, [rdi + 11 * 8]
        mov     r12, [rdi + 12 * 8]
        mov     r13, [rdi + 13 * 8]
        mov     r14, [rdi + 14 * 8]
        mov     r15, [rdi + 15 * 8]
        mov     rdi, [rdi + 7 * 8]
%endmacro
        load_all
        vmresume
failed:                         ; the registers are still the guest's, the stack is ours
        mov     al, 1
        jmp     leave

vmx_exit:                       ; HOST_RIP
        push    rdi
        mov     rdi, [rsp + 8]
        mov     [rdi + 0 * 8], rax
        mov     [rdi + 1 * 8], rcx
        mov     [rdi + 2 * 8], rdx
        mov     [rdi + 3 * 8], rbx
        mov     [rdi + 5 * 8], rbp
        mov     [rdi + 6 * 8], rsi
        mov     [rdi + 8 * 8], r8
        mov     [rdi + 9 * 8], r9
        mov     [rdi + 10 * 8], r10
        mov     [rdi + 11 * 8], r11
        mov     [rdi + 12 * 8], r12
        mov     [rdi + 13 * 8], r13
        mov     [rdi + 14 * 8], r14
        mov     [rdi + 15 * 8], r15
        pop     rax
        mov     [rdi + 7 * 8], rax
        lea     rbp, [rsp + 6 * 8]      ; so that a backtrace goes on to the caller
        call    [rdi + VCPU_ON_EXIT]
        test    al, al
        jnz     resume
        xor     eax, eax
leave:
        pop     rdi
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbx
        pop     rbp
        ret

load_registers:
        load_all
        ret
