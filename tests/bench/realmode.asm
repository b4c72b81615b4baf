; SPDX-License-Identifier: MIT
;
; What an emulated instruction takes in real mode: loops of sixteen alike, timed by the TSC.  Told on
; COM1 as "bench NAME TICKS", ticks for one instruction, for run.py to read.

        org 0x7c00
        bits 16

COM1    equ 0x3f8
ROUNDS  equ 1000
DATA    equ 0x5000
STACK   equ 0x6000

%macro  loop_of 3                       ; name, two instructions
        mov bp, ROUNDS
        rdtsc
        mov [DATA + 32], eax
%%again:
%rep    8
        %2
        %3
%endrep
        dec bp
        jnz %%again
        rdtsc
        mov si, %%name
        call tell
        jmp %%over
%%name: db "bench realmode-", %1, " ", 0
%%over:
%endmacro

start:  cli
        cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, STACK
        mov dx, COM1 + 3                ; LCR: 8 data bits
        mov al, 3
        out dx, al
        mov bx, DATA
        loop_of "register", {add cx, dx}, {add cx, dx}
        loop_of "mov", {mov cx, dx}, {mov cx, dx}
        loop_of "load", {mov cx, [bx]}, {mov cx, [bx]}
        loop_of "store", {mov [bx], cx}, {mov [bx], cx}
        loop_of "modify", {add [bx], cx}, {add [bx], cx}
        loop_of "stack", {push cx}, {pop cx}
        mov dx, 0xf4                    ; debug-exit, status 0
        xor eax, eax
        out dx, eax
        cli
        hlt

; The name at SI, and the ticks from [DATA + 32] to EAX for each of the instructions.
tell:   sub eax, [DATA + 32]
        xor edx, edx
        mov ecx, ROUNDS * 18
        div ecx
        call text
        mov ebx, 10
        xor cx, cx
.more:  xor edx, edx
        div ebx
        add dl, '0'
        push dx
        inc cx
        test eax, eax
        jnz .more
.digit: pop ax
        call put
        loop .digit
        mov al, 13
        call put
        mov al, 10
        call put
        mov bx, DATA
        ret

text:   push eax
.next:  lodsb
        test al, al
        jz .end
        call put
        jmp .next
.end:   pop eax
        ret

put:    mov dx, COM1
        out dx, al
        mov dx, COM1 + 5
.full:  in al, dx
        test al, 0x20
        jz .full
        ret
