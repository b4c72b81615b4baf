; SPDX-License-Identifier: MIT
;
; debugexit STATUS, in the Linux guest: writes the decimal number to the machine's debug-exit port
; F4H, which ends it.  Returns where there is no such port.  A whole ELF file, made by nasm -f bin.

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
        dd 1, 5                 ; PT_LOAD, read execute
        dq 0, elf, elf, end - elf, end - elf, 4096

PORT    equ 0xf4

start:  mov rsi, [rsp + 16]     ; argv[1]
        xor ebx, ebx
        test rsi, rsi
        jz .out
.digit: movzx eax, byte [rsi]
        sub eax, '0'
        cmp eax, 9
        ja .out
        imul ebx, ebx, 10
        add ebx, eax
        inc rsi
        jmp .digit
.out:   mov eax, 173            ; ioperm(PORT, 1, 1)
        mov edi, PORT
        mov esi, 1
        mov edx, 1
        syscall
        test eax, eax
        jnz .end
        mov eax, ebx
        out PORT, al
.end:   mov eax, 60             ; exit(0)
        xor edi, edi
        syscall
end:
