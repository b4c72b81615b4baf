; SPDX-License-Identifier: MIT
;
; Real-mode programs that do their worst (tests/system/hostile.py): nasm -DWORST=n.
;   1 loops for ever with a stale segment: protected mode's base under a real-mode selector
;   2 has a vector table that is too short, and interrupts: shutdown
;   3 has a vector table of zeros: its interrupt runs through all of memory, for ever
;   4 has no stack for its fault: shutdown
;   5 loops for ever in protected mode with a segment register that VM entry refuses

        org 0x7c00
        bits 16

start:  cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x6000
%if WORST = 1 || WORST = 5
        lgdt [table]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, 8
        mov fs, bx
%if WORST = 1
        and al, ~1
        mov cr0, eax
        jmp 0:.real
.real:
%endif
.loop:  inc edx                         ; CS is real mode's still, no code segment's: 5
        mov [fs:0], edx
        jmp .loop
%elif WORST = 2
        lidt [short_table]
        int 0x40
%elif WORST = 3
        xor di, di                      ; the table, and all segments that it could reach
        mov cx, 0x200
        rep stosw
        int 0x40
%elif WORST = 4
        mov sp, 1                       ; a push wraps round: #SS, which pushes, too
        push ax
%endif
        hlt

short_table:
        dw 0x1f                         ; 8 vectors: neither #DF nor #GP
        dd 0
table:  dw 15
        dd gdt
gdt:    dq 0
        dq 0x0000920100000fff           ; data, base 10000H
