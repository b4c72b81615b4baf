; SPDX-License-Identifier: MIT
;
; Where the other CPUs begin after the start-up IPI: in real mode, at the start of a page below
; 1 MiB to which cpus.c has copied cpu_start .. cpu_start_end.  From there by the first page tables
; (boot/entry.asm) into long mode, to the final ones, and to cpus_enter() on the CPU's own stack.

%define IMAGE_MAP 0xffffffff80000000
%define at(x)     ((x) - cpu_start)     ; offset in the page

CR0_PE   equ 1 << 0
CR0_PG   equ 1 << 31
CR4_PAE  equ 1 << 5
MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8

extern boot_pml4
extern cpus_enter

section .rodata
        bits    16
global cpu_start
global cpu_start_end
cpu_start:
        cli
        mov     ax, cs
        mov     ds, ax
        movzx   ebx, ax
        shl     ebx, 4                  ; the page's address
        lea     eax, [ebx + at(gdt)]
        mov     [at(gdt_pointer) + 2], eax
        lea     eax, [ebx + at(.long_mode)]
        mov     [at(.far)], eax
        o32 lgdt [at(gdt_pointer)]
        mov     eax, CR4_PAE
        mov     cr4, eax
        mov     eax, [at(first_tables)]
        mov     cr3, eax
        mov     ecx, MSR_EFER
        mov     eax, EFER_LME
        xor     edx, edx
        wrmsr
        mov     eax, CR0_PE | CR0_PG    ; paging at once, and the caches on
        mov     cr0, eax
        jmp     dword far [at(.far)]
.far:   dd      0
        dw      0x08
        bits    64
.long_mode:
        mov     rax, upper_half
        jmp     rax

        align   8
gdt:    dq      0                       ; the other segments are loaded by percpu_load()
        dq      0x00af9b000000ffff      ; 64-bit code
gdt_pointer:
        dw      $ - gdt - 1
        dd      0
first_tables:
        dd      boot_pml4 - IMAGE_MAP
cpu_start_end:

section .text
upper_half:
        mov     ecx, MSR_EFER
        mov     eax, [cpu_start_with + 8]
        xor     edx, edx
        wrmsr
        mov     rax, [cpu_start_with]
        mov     cr3, rax
        mov     rsp, [cpu_start_with + 16]
        mov     rdi, [cpu_start_with + 24]
        xor     ebp, ebp                ; the backtrace ends here
        call    cpus_enter
        ud2

section .bss
        align   8
global cpu_start_with
cpu_start_with: resq 4                  ; struct start_with in cpus.c
