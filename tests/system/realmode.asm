; SPDX-License-Identifier: MIT
;
; Real mode, step by step: a program runs with the trap flag set, and the handler of INT 1 tells the
; registers and a sum over memory after each of its instructions on COM1.  tests/system/realmode.py
; runs it natively, in virtual-8086 mode and emulated, and holds the three against each other.
;
; What may differ is not told: RFLAGS.IOPL, which virtual-8086 mode shows as 3.

        org 0x7c00
        bits 16

COM1    equ 0x3f8
DATA    equ 0x5000                      ; the program's own memory: one page ...
STACK   equ 0x6000                      ; ... and its stack below this
BIG     equ 0x120000                    ; beyond what 16-bit segments reach

%macro  vector 2
        mov word [%1 * 4], %2
        mov word [%1 * 4 + 2], 0
%endmacro

; The trap flag on or off; INT 1 is not told of the instruction that does it.
%macro  trap 1
        pushf
        push bp
        mov bp, sp
%if %1
        or byte [bp + 3], 1
%else
        and byte [bp + 3], ~0x31        ; and IOPL
%endif
        pop bp
        popf
%endmacro

start:  cli
        cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov sp, STACK
        mov dx, COM1 + 3                ; LCR: 8 data bits
        mov al, 3
        out dx, al
        mov di, DATA
        mov cx, 0x1000 / 2
        rep stosw
        vector 0, fault                 ; #DE
        vector 1, step
        vector 3, counted               ; INT3
        vector 4, counted               ; INTO
        vector 5, fault                 ; #BR
        vector 6, fault                 ; #UD
        vector 13, fault                ; #GP
        vector 0x40, service
        xor eax, eax
        xor ebx, ebx
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor edi, edi
        xor ebp, ebp
        trap 1

        ; Moves, arithmetic and the stack.
        mov ax, 0x1234
        mov bx, 0x8000
        add ax, bx
        adc ax, 0x8000
        mov [DATA], ax
        xchg [DATA], bx
        inc byte [DATA + 1]
        neg word [DATA]
        imul cx, [DATA], 7
        mov eax, 0xdeadbeef
        shld eax, ecx, 5
        rcr eax, 3
        bsf dx, ax
        push eax
        push word [DATA]
        pusha
        popa
        pop si
        pop edi
        enter 8, 2
        leave
        aam
        daa
        lea ebp, [eax + ecx * 4 + 3]
        movzx ebx, byte [DATA + 1]
        sete [DATA + 9]
        xlatb
        lock cmpxchg [DATA], bx

        ; Segments: bases and far ways.
        mov ax, 0x0500
        mov es, ax
        mov [es:0x10], cx
        mov bx, [DATA + 0x10]
        push es
        pop fs
        mov ax, fs
        les di, [pointer]
        lds si, [cs:pointer]
        mov dx, [si]
        push cs
        pop ds
        call 0x0700:farther - 0x7000
        jmp 0x07c0:.here - 0x7c00
.here:  mov ax, cs
        jmp 0:.back
.back:  mov ss, [zero]
        mov sp, STACK                   ; one trap for both: the shadow of MOV SS

        ; Strings.
        cld
        mov si, text
        mov di, DATA + 0x20
        push ds
        pop es
        mov cx, 5
        rep movsb
        mov cx, 3
        mov al, 'x'
        rep stosb
        mov di, DATA + 0x20
        mov cx, 8
        repne scasb
        std
        lodsw
        cld

        ; Flags and interrupts.
        pushf
        and byte [STACK - 1], ~0x30     ; IOPL
        pop bx
        sti
        cli
        clc
        cmc
        stc
        lahf
        mov bp, 0x55
        int 0x40
        int3
        mov al, 0x7f
        add al, 1
        into
        smsw ax
        mov ecx, cr0
        mov eax, cr4
        mov dr0, ecx
        mov ebx, dr0
        lidt [vectors]                  ; the same table elsewhere
        int 0x40
        lidt [usual]
        sidt [DATA + 0x40]
        in al, 0x21
        out 0x80, al

        ; Faults: the handler goes on at the address in BP.
        mov bp, .after1
        mov bl, 0
        div bl
.after1:
        mov bp, .after2
        mov ax, 9
        bound ax, [bounds]
.after2:
        mov bp, .after3
        ud2
.after3:
        mov bp, .after4
        mov eax, [dword 0x12345]        ; beyond the segment's limit
.after4:
        mov bp, .after5
        mov di, 0xffff
        mov ax, [di]                    ; across its end
.after5:
        mov bp, .after6
        str ax                          ; not in real mode
.after6:
        trap 0

        ; Unreal mode: a segment keeps the limit that it got in protected mode.
        lgdt [table]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, 8
        mov fs, bx
        mov gs, bx
        mov ss, bx
        and al, ~1
        mov cr0, eax
        jmp 0:.unreal
.unreal:
        xor bx, bx
        mov ss, bx
        trap 1
        mov edi, BIG
        mov dword [fs:edi], 0x600dcafe
        mov eax, [fs:edi]
        a32 mov bx, [fs:edi + 2]
        mov ecx, 4
        push edi
        pop esi
        a32 fs lodsb
        mov bx, 0
        mov fs, bx                      ; in real mode a load leaves the limit alone
        mov eax, [fs:edi]
        mov dx, 0x100
        mov gs, dx
        mov eax, [gs:edi - 0x1000]
        mov [gs:0xfffd], edi            ; beyond 64 KiB with its last byte
        mov ax, [dword fs:0x10ffd]
        mov ecx, [fs:0xfffe]
        add cx, [gs:0xffff]
        mov ebp, BIG
        mov bx, [ebp + 2]               ; by SS
        xchg [ebp], ax
        lea esi, [edi - 4]
        mov cx, 3
        a32 fs lodsw
        push word [fs:edi]
        pop word [gs:edi]
        bt [fs:edi], cx
        trap 0
        mov eax, cr0                    ; back to the usual limits
        or al, 1
        mov cr0, eax
        mov bx, 16
        mov fs, bx
        mov gs, bx
        mov ss, bx
        and al, ~1
        mov cr0, eax
        jmp 0:.usual
.usual: xor bx, bx
        mov fs, bx
        mov gs, bx
        mov ss, bx
        trap 1
        mov bp, .after7
        mov eax, [fs:edi]
.after7:
        nop
        trap 0
        mov si, done
        call print
        mov dx, 0xf4                    ; the debug-exit port: status 0
        xor eax, eax
        out dx, eax
        hlt

farther:
        inc word [DATA + 0x30]
        retf

service:                                ; INT 40H
        xchg ax, bp
        iret

counted:                                ; INT3, INTO
        inc word [cs:DATA + 0x32]
        iret

; A fault: on at CS:BP, with the same flags.
fault:  push bx
        mov bx, sp
        mov [ss:bx + 2], bp
        pop bx
        iret

; After each instruction: all registers, as they were in front of it, then the sum over memory.
step:   pushad
        push ds
        push es
        push fs
        push gs
        mov bp, sp
        push cs
        pop ds
        mov ax, [bp + 44]               ; FLAGS
        and ax, ~0x3000
        call hex4
        mov ax, [bp + 42]
        call hex4                       ; CS
        mov ax, [bp + 40]
        call hex4                       ; IP
        mov ax, ss
        call hex4
        mov si, 38                      ; EAX ... EDI, DS, ES, FS, GS: by words
.word:  mov ax, [bp + si]
        call hex4
        sub si, 2
        jns .word
        mov si, DATA
        xor ax, ax
.sum:   rol ax, 1
        add ax, [si]
        add si, 2
        cmp si, DATA + 0x100
        jb .sum
        call hex4
        mov si, line
        call print
        pop gs
        pop fs
        pop es
        pop ds
        popad
        iret

; AX and a blank.
hex4:   mov cx, 4
.digit: rol ax, 4
        push ax
        and al, 15
        add al, '0'
        cmp al, '9'
        jbe .send
        add al, 'a' - '9' - 1
.send:  call send
        pop ax
        loop .digit
        push ax
        mov al, ' '
        call send
        pop ax
        ret

print:  lodsb
        test al, al
        jz .end
        call send
        jmp print
.end:   ret

send:   push dx
        push ax
        mov dx, COM1 + 5
.wait:  in al, dx
        test al, 0x20
        jz .wait
        pop ax
        mov dx, COM1
        out dx, al
        pop dx
        ret

text:   db 'hello'
line:   db 13, 10, 0
done:   db 'all steps told', 13, 10, 0
zero:   dw 0
bounds: dw 1, 8
pointer: dw DATA + 2, 0
usual:  dw 0x3ff
        dd 0
vectors: dw 0x103
        dd 0                            ; INT 40H is its last entry
table:  dw 23
        dd gdt
gdt:    dq 0
        dq 0x008f92000000ffff           ; data, 4 GiB
        dq 0x000092000000ffff           ; data, 64 KiB
