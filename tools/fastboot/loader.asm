; SPDX-License-Identifier: MIT
;
; The quick way from power-on to a 32-bit kernel, for tests: a boot sector and a loader that carries
; out the plan tools/mkdisk.py wrote behind it.  All thinking (ELF, modules, strings) is done there;
; here are only what needs the machine: the memory map, the disk by ATA PIO, and the jump.
;
;   sector 0   boot sector, at 7C00h: reads what follows by the BIOS
;   sector 1.. this loader at 8000h, the plan at 8400h (together at most 32 KiB)
;
; Plan (dwords):  magic, kind, entry, info, stamp, end of memory used, count, then per piece of
; memory { first sector, destination, bytes from disk, zero bytes after }, ascending by destination.
; kind 0 is Multiboot 1 (info: its information structure); kind 1 Linux's 32-bit boot protocol
; (info: boot_params); the loader adds the memory map to either.  Where stamp is not 0 it writes the
; time-stamp counter as 16 hexadecimal digits there, last of all.

LOADER          equ 0x8000
PLAN            equ 0x8400
PLAN_KIND       equ PLAN + 4
PLAN_ENTRY      equ PLAN + 8
PLAN_INFO       equ PLAN + 12
PLAN_STAMP      equ PLAN + 16
PLAN_END        equ PLAN + 20
PLAN_COUNT      equ PLAN + 24
PLAN_PIECES     equ PLAN + 28
MMAP            equ 0x7000      ; multiboot memory map: at most 64 entries of 24 bytes
MMAP_MAX        equ 64
STACK           equ 0x7000

CODE            equ 0x10        ; selectors as Linux's boot protocol wants them
DATA            equ 0x18

ATA             equ 0x1f0       ; primary channel: command block, ATA-6 section 7
ATA_COUNT       equ ATA + 2
ATA_LBA         equ ATA + 3
ATA_DEVICE      equ ATA + 6
ATA_STATUS      equ ATA + 7
ATA_CONTROL     equ 0x3f6
ATA_READ        equ 0x20
ATA_BSY         equ 0x80
ATA_DRQ         equ 0x08
ATA_ERR         equ 0x21        ; ERR or DF
COM1            equ 0x3f8

        org 0x7c00
        bits 16
start:
        cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, STACK
        cld
        mov [drive], dl
        mov si, packet
        mov ah, 0x42            ; extended read (INT 13h extensions)
        int 0x13
        mov si, text_bios
        jc fail16
        jmp LOADER

; Report the text at si on COM1, end the run in Bochs or QEMU, halt.
fail16:
        mov dx, COM1 + 3
        mov al, 0x83
        out dx, al              ; DLAB, 8N1
        mov dx, COM1
        mov ax, 1
        out dx, ax              ; divisor 1: 115200 baud
        mov dx, COM1 + 3
        mov al, 3
        out dx, al
        mov di, text_fastboot
        call puts
        mov di, si
        call puts
.drain: mov dx, COM1 + 5
        in al, dx
        test al, 0x40           ; TEMT
        jz .drain
        mov si, text_shutdown
        mov dx, 0x8900
        mov cx, 8
        rep outsb
        mov dx, 0xf4
        mov al, 0x7d >> 1
        out dx, al
.halt:  hlt
        jmp .halt

puts:   mov dx, COM1 + 5
        in al, dx
        test al, 0x20           ; THRE
        jz puts
        mov al, [di]
        inc di
        test al, al
        jz .end
        mov dx, COM1
        out dx, al
        jmp puts
.end:   ret

text_fastboot:  db "fastboot: ", 0
text_bios:      db "the BIOS cannot read the disk", 13, 10, 0
text_shutdown:  db "Shutdown"
drive:          db 0

        align 4
packet: db 16, 0
        dw 0                    ; sectors, filled in by mkdisk.py at offset PACKET_COUNT
        dw LOADER, 0
        dq 1
        times 440 - ($ - $$) db 0
        dw packet - start + 2   ; where mkdisk.py finds the count
        times 510 - ($ - $$) db 0
        dw 0xaa55

; --- The loader -------------------------------------------------------------------------------

        section loader vstart=LOADER align=1
loader:
        in al, 0x92             ; A20 by the fast gate
        or al, 2
        and al, 0xfe
        out 0x92, al

        xor ebx, ebx            ; the memory map, INT 15h E820h
        mov di, MMAP
.e820:  mov dword [di], 20
        add di, 4
        mov eax, 0xe820
        mov edx, 0x534d4150     ; 'SMAP'
        mov ecx, 20
        int 0x15
        mov si, text_e820
        jc .ended
        cmp eax, 0x534d4150
        jne fail16
        add di, 20
        cmp di, MMAP + 24 * MMAP_MAX
        jae .mapped
        test ebx, ebx
        jnz .e820
        jmp .mapped
.ended: sub di, 4
        cmp di, MMAP
        je fail16
.mapped:
        mov [mmap_end], di
        int 0x12                ; KiB of low memory
        mov [mem_lower], ax

        cli
        lgdt [gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp CODE:flat

        bits 32
flat:   mov ax, DATA
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, STACK

        call find_upper         ; eax: end of the memory that begins at 1 MiB
        cmp eax, [PLAN_END]
        mov si, text_memory
        jb fail32
        sub eax, 0x100000
        shr eax, 10
        mov [mem_upper], eax

        mov dx, ATA_CONTROL
        mov al, 2               ; nIEN: we poll
        out dx, al
        mov ebx, PLAN_PIECES
        mov ebp, [PLAN_COUNT]
.piece: test ebp, ebp
        jz .loaded
        call load_piece
        add ebx, 16
        dec ebp
        jmp .piece
.loaded:
        mov dx, ATA_CONTROL
        xor eax, eax
        out dx, al
        cmp dword [PLAN_KIND], 0
        jne linux

; Multiboot 1, section 3.2 and 3.3.
        mov ebx, [PLAN_INFO]
        movzx eax, word [mem_lower]
        mov [ebx + 4], eax
        mov eax, [mem_upper]
        mov [ebx + 8], eax
        movzx eax, word [mmap_end]
        sub eax, MMAP
        mov [ebx + 44], eax
        mov dword [ebx + 48], MMAP
        or dword [ebx], 0x41
        call write_stamp
        mov eax, 0x2badb002
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor edi, edi
        xor ebp, ebp
        jmp [PLAN_ENTRY]

; Linux Documentation/arch/x86/boot.rst, "32-bit boot protocol".
linux:  mov ebx, [PLAN_INFO]
        mov esi, MMAP
        lea edi, [ebx + 0x2d0]  ; e820_table
        movzx edx, word [mmap_end]
.entry: cmp esi, edx
        jae .mapped
        add esi, 4
        mov ecx, 5
        rep movsd
        inc byte [ebx + 0x1e8]  ; e820_entries
        jmp .entry
.mapped:
        call write_stamp
        mov esi, [PLAN_INFO]
        xor ebx, ebx
        xor edi, edi
        xor ebp, ebp
        jmp [PLAN_ENTRY]

; The time-stamp counter in hexadecimal; keeps ebx.
write_stamp:
        mov edi, [PLAN_STAMP]
        test edi, edi
        jz .end
        rdtsc
        mov esi, eax
        mov ecx, 16
.digit: rol edx, 4
        mov al, dl
        and al, 15
        cmp al, 10
        sbb al, 0x69            ; 0..15 to '0'..'9', 'A'..'F'
        das
        stosb
        cmp ecx, 9
        jne .next
        mov edx, esi
.next:  loop .digit
.end:   ret

; eax: end of the RAM that holds 1 MiB, 0 when there is none; capped below 4 GiB.
find_upper:
        movzx ecx, word [mmap_end]
        mov esi, MMAP
.entry: cmp esi, ecx
        jae .none
        cmp dword [esi + 20], 1
        jne .next
        cmp dword [esi + 8], 0
        jne .next
        mov eax, [esi + 4]
        cmp eax, 0x100000
        ja .next
        mov edx, [esi + 16]
        add eax, [esi + 12]
        adc edx, 0
        jnz .high
        cmp eax, 0x100000
        ja .found
.next:  add esi, 24
        jmp .entry
.high:  mov eax, 0xfffff000
.found: ret
.none:  xor eax, eax
        ret

; Read and zero-extend the piece of the plan at ebx.
load_piece:
        mov edi, [ebx + 4]
        mov esi, [ebx]          ; sector
        mov ecx, [ebx + 8]
        add ecx, 511
        shr ecx, 9              ; sectors
.read:  jecxz .zero
        call read_some
        jmp .read
.zero:  mov edi, [ebx + 4]      ; what the last sector held beyond the end is overwritten
        add edi, [ebx + 8]
        mov ecx, [ebx + 12]
        xor eax, eax
        push ecx
        shr ecx, 2
        rep stosd
        pop ecx
        and ecx, 3
        rep stosb
        ret

; Read up to 256 of ecx sectors from esi to edi; advances all three.
read_some:
        mov edx, 256
        cmp ecx, edx
        cmovb edx, ecx
        push ecx
        push edx
        mov ecx, edx
        mov dx, ATA_DEVICE
        mov eax, esi
        shr eax, 24
        or al, 0xe0             ; LBA, device 0
        out dx, al
        mov dx, ATA_COUNT
        mov al, cl              ; 0 is 256
        out dx, al
        mov dx, ATA_LBA
        mov eax, esi
        out dx, al
        inc edx
        shr eax, 8
        out dx, al
        inc edx
        shr eax, 8
        out dx, al
        mov dx, ATA_STATUS
        mov al, ATA_READ
        out dx, al
.sector:
        mov dx, ATA_STATUS
.wait:  in al, dx
        test al, ATA_BSY
        jnz .wait
        test al, ATA_ERR
        jnz .error
        test al, ATA_DRQ
        jz .wait
        push ecx
        mov dx, ATA
        mov ecx, 128
        rep insd
        pop ecx
        loop .sector
        pop edx
        pop ecx
        add esi, edx
        sub ecx, edx
        ret
.error: mov si, text_disk

; Back to real mode, where the messages are printed.
fail32: jmp CODE16:.lower
        bits 16
.lower: mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0:.real
.real:  xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, STACK
        jmp fail16

        align 8
gdt:    dq 0
CODE16  equ $ - gdt
        dq 0x00009a000000ffff
        dq 0x00cf9a000000ffff
        dq 0x00cf92000000ffff
gdtr:   dw gdtr - gdt - 1
        dd gdt

mem_upper:      dd 0
mem_lower:      dw 0
mmap_end:       dw 0
text_e820:      db "the BIOS has no memory map (INT 15h, E820h)", 13, 10, 0
text_memory:    db "the images do not fit into the machine's memory: give it more", 13, 10, 0
text_disk:      db "cannot read the disk (ATA error)", 13, 10, 0
        times (PLAN - LOADER) - ($ - $$) db 0
