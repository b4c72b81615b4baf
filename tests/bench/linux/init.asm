; SPDX-License-Identifier: MIT
;
; Process 1 of the boot that is measured: its first instruction reads the time-stamp counter; then
; it ends the machine, so that the exits counted are those of the boot.  Under Vitrine it ends at
; the debug-exit port, with that time in R8 and the time of the end in R9, where the prompt's `regs`
; shows them.  A whole ELF file, made by nasm -f bin.

        bits 64
        org 0x400000
elf:    db 0x7f, "ELF", 2, 1, 1, 0
        dq 0
        dw 2, 62                ; ET_EXEC, EM_X86_64
        dd 1
        dq start, program - elf, 0
        dd 0
        dw 64, 56, 1, 0, 0, 0
program:
        dd 1, 7                 ; PT_LOAD, read write execute
        dq 0, elf, elf, end - elf, end - elf, 4096

start:  rdtsc
        shl rdx, 32
        lea r8, [rax + rdx]
        mov eax, 172            ; iopl(3)
        mov edi, 3
        syscall
        rdtsc
        shl rdx, 32
        lea r9, [rax + rdx]
        xor eax, eax
        mov dx, 0xf4
        out dx, eax
        ud2                     ; no such port: Linux panics and shows where
end:
