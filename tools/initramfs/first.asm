; SPDX-License-Identifier: MIT
;
; The first program of the Linux guest's initial RAM disk: its first instruction reads the time-stamp
; counter, it prints that, and becomes the shell script /start.  A whole ELF file, made by nasm -f bin.

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
        or rax, rdx
        lea rdi, [rel digits + 16]
        mov ecx, 16
.digit: mov edx, eax
        and edx, 15
        lea rsi, [rel hex]
        mov dl, [rsi + rdx]
        dec rdi
        mov [rdi], dl
        shr rax, 4
        loop .digit
        mov eax, 1              ; write(1, text)
        mov edi, 1
        lea rsi, [rel text]
        mov edx, text_end - text
        syscall
        mov eax, 59             ; execve("/start", argv, envp) with what the kernel gave us
        lea rdi, [rel path]
        lea rsi, [rsp + 8]
        mov rdx, [rsp]
        lea rdx, [rsp + 8 + rdx * 8 + 8]
        syscall
        ud2                     ; no /start: Linux panics and shows where

hex:    db "0123456789abcdef"
text:   db "init: first user instruction at tsc=0x"
digits: times 16 db '0'
        db 10
text_end:
path:   db "/start", 0
end:
