; SPDX-License-Identifier: MIT
;
; From UEFI's 64-bit mode into the hypervisor as a Multiboot loader enters it: 32-bit protected
; mode, paging off (and 5-level paging with it), EAX = magic, EBX = information.  The code is copied
; below 4 GiB before it runs, and moves the image to where it is linked only when paging is off,
; since the firmware's own tables may lie there.

%define CR0_PG    (1 << 31)
MSR_EFER          equ 0xc0000080
EFER_LME          equ 1 << 8
MULTIBOOT2_MAGIC  equ 0x36d76289
CODE32            equ 0x08
DATA32            equ 0x10

section .rodata

; void handover(const struct handover *what), System V calling convention.
global uefi_handover
global uefi_handover_end
        align   16
        bits    64
uefi_handover:
        cli
        cld
        mov     esi, [rdi + 0]          ; the image as staged
        mov     ecx, [rdi + 4]          ; its bytes
        mov     edx, [rdi + 8]          ; zero bytes after it
        mov     ebx, [rdi + 12]         ; Multiboot information
        mov     ebp, [rdi + 16]         ; entry
        mov     edi, [rdi + 20]         ; where the image goes
        lea     rax, [rel gdt]
        mov     [rel gdt_pointer + 2], rax
        lgdt    [rel gdt_pointer]
        lea     rax, [rel .legacy]
        push    CODE32
        push    rax
        o64 retf

        bits    32
.legacy:
        mov     eax, cr0
        and     eax, ~CR0_PG
        mov     cr0, eax
        xor     eax, eax
        mov     cr4, eax
        mov     eax, DATA32
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        mov     ss, eax
        rep movsb
        mov     ecx, edx
        xor     eax, eax
        rep stosb
        mov     ecx, MSR_EFER
        rdmsr
        and     eax, ~EFER_LME
        wrmsr
        mov     eax, MULTIBOOT2_MAGIC
        jmp     ebp

        align   8
gdt:    dq      0
        dq      0x00cf9b000000ffff      ; 32-bit code
        dq      0x00cf93000000ffff      ; data
gdt_pointer:
        dw      $ - gdt - 1
        dq      0
uefi_handover_end:

; The hypervisor, as it lies in memory from its first byte on.
global uefi_kernel
global uefi_kernel_end
        align   8
uefi_kernel:
        incbin  KERNEL
uefi_kernel_end:
