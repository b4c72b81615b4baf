; SPDX-License-Identifier: MIT
;
; A boot sector for firmware guests: it proves that it can use the BIOS' services for screen, serial
; port, disk and memory, says so, and ends the machine by the debug-exit port.

        org 0x7c00
        bits 16

LAST    equ 0x8000                      ; where the floppy's last sector goes

start:  xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7c00
        sti
        cld
        mov si, screen
.char:  lodsb
        test al, al
        jz .timer
        mov ah, 0x0e                    ; INT 10H: teletype
        mov bx, 7
        int 0x10
        jmp .char

.timer: mov ah, 0                       ; INT 1AH: wait for the timer's interrupts, and
        int 0x1a                        ; for SeaBIOS to send what is on the screen
        lea di, [edx + 3]
.tick:  hlt
        mov ah, 0
        int 0x1a
        cmp dx, di
        jne .tick
        mov si, ticks
        call serial

        mov ax, 0x0201                  ; INT 13H: read one sector, the last of 1440 KiB
        mov cx, 79 << 8 | 18
        mov dx, 1 << 8
        mov bx, LAST
        int 0x13
        mov bp, 1
        jc finish
        mov si, LAST
        call serial

        mov ax, 0xe820                  ; INT 15H: the first range of memory
        cwd
        xor ebx, ebx
        mov edx, 'PAMS'
        mov ecx, 20
        mov di, LAST
        int 0x15
        mov bp, 2
        jc finish
        cmp eax, 'PAMS'
        jne finish
        cmp dword [LAST + 8], 0x9fc00
        jne finish
        cmp dword [LAST + 16], 1
        jne finish

        xor bp, bp

finish: mov ax, bp
        out 0xf4, al
        hlt

serial: lodsb                           ; INT 14H: send a character
        test al, al
        jz .end
        mov ah, 1
        xor dx, dx
        int 0x14
        jmp serial
.end:   ret

screen: db "boot sector on the screen", 13, 10, 0
ticks:  db "the timer ticks", 13, 10, 0

        times 510 - ($ - $$) db 0
        dw 0xaa55
