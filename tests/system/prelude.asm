; SPDX-License-Identifier: MIT
;
; For tools/run --prelude: what firmware or loader may hand over, by -D:
;   HANG     the second CPU of ACPI's MADT gets an APIC ID that no CPU has, so that none answers
;   NO_ACPI  there is no RSDP
;   MAP      the memory map gets ranges that are out of order, overlap, are empty or inside others
;   TINY     there is no usable memory from TINY on
; In and out: EBX = Multiboot 1 information.

        bits 32
        org 0x10000

INFO_MMAP_LENGTH equ 44
INFO_MMAP_ADDR   equ 48
NOBODY           equ 99

        mov     esi, 0xe0000
.rsdp:  cmp     dword [esi], "RSD "
        jne     .next
        cmp     dword [esi + 4], "PTR "
        je      .found
.next:  add     esi, 16
        cmp     esi, 0x100000
        jb      .rsdp
        jmp     .done
.found:
%ifdef NO_ACPI
        mov     edx, 0xcf8              ; i440FX: RAM for F0000H..FFFFFH, writable (PAM0)
        mov     eax, 0x80000058
        out     dx, eax
        mov     edx, 0xcfc
        in      eax, dx
        or      eax, 0x3000
        out     dx, eax
        mov     dword [esi], 0
%endif
%ifdef HANG
        mov     edi, [esi + 16]         ; RSDT
        lea     esi, [edi + 36]
        add     edi, [edi + 4]
.table: cmp     esi, edi
        jae     .done
        lodsd
        cmp     dword [eax], "APIC"
        jne     .table
        lea     esi, [eax + 44]
        mov     ecx, 2
.entry: cmp     byte [esi], 0           ; a local APIC
        jne     .skip
        dec     ecx
        jz      .second
.skip:  movzx   edx, byte [esi + 1]
        add     esi, edx
        jmp     .entry
.second:
        mov     dl, [esi + 3]
        mov     byte [esi + 3], NOBODY
        sub     dl, NOBODY
        add     [eax + 9], dl           ; the checksum stays right
%endif
.done:
        mov     esi, ranges
        mov     ecx, ranges_end - ranges
        mov     edi, [ebx + INFO_MMAP_ADDR]
        add     edi, [ebx + INFO_MMAP_LENGTH]
        add     [ebx + INFO_MMAP_LENGTH], ecx
        rep movsb
        jmp     end

%macro range 3                          ; address, length, type
        dd      20
        dq      %1, %2
        dd      %3
%endmacro
ranges:
%ifdef MAP
        range   0x2000000, 0x400000, 1
        range   0x1800000, 0, 2
        range   0x1900800, 0x10, 2
        range   0x1000000, 0x100000, 77
        range   0xfffffffffffff000, 0x5000, 2
        range   0x180000, 0x40000, 1
%endif
%ifdef TINY
        range   TINY, 0x100000000 - TINY, 2
%endif
ranges_end:
end:
