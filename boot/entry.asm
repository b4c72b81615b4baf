; SPDX-License-Identifier: MIT
;
; Where a Multiboot loader enters: 32-bit protected mode, no paging.  Says so on COM1 at once, checks
; the loader and the CPU (with a message that a human can act on), builds the first page tables and
; goes to boot_main() in 64-bit mode in the upper half.  Everything in .boot is linked where it is
; loaded; what is linked in the upper half is reached here by its physical address, phys().

%define IMAGE_MAP  0xffffffff80000000
%define phys(x)    (x - IMAGE_MAP)

; The Multiboot Specification 0.6.96, section 3.1, and 2.0, section 3.1.
MULTIBOOT_HEADER_MAGIC           equ 0x1badb002
MULTIBOOT_PAGE_ALIGN             equ 1 << 0
MULTIBOOT_MEMORY_INFO            equ 1 << 1
MULTIBOOT_AOUT_KLUDGE            equ 1 << 16 ; addresses in the header: QEMU takes no 64-bit ELF file
MULTIBOOT_HEADER_FLAGS           equ MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO | MULTIBOOT_AOUT_KLUDGE
MULTIBOOT_BOOTLOADER_MAGIC       equ 0x2badb002
MULTIBOOT2_HEADER_MAGIC          equ 0xe85250d6
MULTIBOOT_ARCHITECTURE_I386      equ 0
MULTIBOOT_HEADER_TAG_END         equ 0
MULTIBOOT_HEADER_TAG_INFORMATION_REQUEST equ 1
MULTIBOOT_HEADER_TAG_MODULE_ALIGN equ 6
MULTIBOOT_HEADER_TAG_OPTIONAL    equ 1
MULTIBOOT_TAG_TYPE_MMAP          equ 6
MULTIBOOT2_BOOTLOADER_MAGIC      equ 0x36d76289

CR0_PG   equ 1 << 31
CR0_WP   equ 1 << 16
CR4_PAE  equ 1 << 5
MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8
PTE_TABLE equ 0x03                ; present, writable
PTE_PAGE  equ 0x83                ; present, writable, large

COM1     equ 0x3f8
LSR      equ COM1 + 5
LSR_THRE equ 0x20

section .multiboot progbits alloc noexec nowrite align=8

; What boot/uefi reads at the very beginning: memory taken from LOAD on, and where to enter.
extern image_memory, image_load_end, image_load_bss_end
        dd      image_memory, boot_entry

        align   8
multiboot_header:
        dd      MULTIBOOT_HEADER_MAGIC
        dd      MULTIBOOT_HEADER_FLAGS
        dd      -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_HEADER_FLAGS)
        dd      multiboot_header, boot_image_start, image_load_end, image_load_bss_end, boot_entry

        align   8
multiboot2_header:
        dd      MULTIBOOT2_HEADER_MAGIC
        dd      MULTIBOOT_ARCHITECTURE_I386
        dd      multiboot2_header_end - multiboot2_header
        dd      -(MULTIBOOT2_HEADER_MAGIC + MULTIBOOT_ARCHITECTURE_I386 + (multiboot2_header_end - multiboot2_header))
        dw      MULTIBOOT_HEADER_TAG_INFORMATION_REQUEST, 0
        dd      12, MULTIBOOT_TAG_TYPE_MMAP
        align   8
        dw      MULTIBOOT_HEADER_TAG_MODULE_ALIGN, MULTIBOOT_HEADER_TAG_OPTIONAL
        dd      8
        dw      MULTIBOOT_HEADER_TAG_END, 0
        dd      8
multiboot2_header_end:

section .boot progbits alloc exec nowrite align=16
        bits    32

; In: EAX = the loader's magic, EBX = physical address of its information.
global boot_entry
boot_entry:
        cli
        cld
        mov     esp, phys(boot_stack_top)
        mov     ebp, eax                ; kept until long mode, as is EBX
        call    serial_init
        mov     esi, text_start
        call    serial_print
        cmp     ebp, MULTIBOOT_BOOTLOADER_MAGIC
        je      .loader_known
        cmp     ebp, MULTIBOOT2_BOOTLOADER_MAGIC
        mov     esi, text_no_multiboot
        jne     boot_fail
.loader_known:
        call    require_long_mode
        call    build_page_tables
        mov     eax, CR4_PAE            ; and nothing that was left on, as LA57 and PCIDE
        mov     cr4, eax
        mov     eax, phys(boot_pml4)
        mov     cr3, eax
        mov     ecx, MSR_EFER
        rdmsr
        or      eax, EFER_LME
        wrmsr
        mov     eax, cr0
        or      eax, CR0_PG | CR0_WP
        mov     cr0, eax
        lgdt    [boot_gdt_pointer]
        jmp     0x08:.long_mode
        bits    64
.long_mode:
        mov     rax, upper_half
        jmp     rax
        bits    32

; Long mode, or a message.  CPUID itself is probed by EFLAGS.ID (SDM vol. 1, section 20.1.2).
require_long_mode:
        mov     esi, text_no_long_mode
        pushfd
        pop     eax
        mov     ecx, eax
        xor     eax, 1 << 21
        push    eax
        popfd
        pushfd
        pop     eax
        cmp     eax, ecx
        je      boot_fail
        push    ebx
        mov     eax, 0x80000000
        cpuid
        cmp     eax, 0x80000001
        jb      boot_fail
        mov     eax, 0x80000001
        cpuid
        pop     ebx
        test    edx, 1 << 29            ; LM
        jz      boot_fail
        ret

; The first 4 GiB at 0 (for this code) and at DIRECT_MAP, the first 1 GiB at IMAGE_MAP, all by
; 2-MiB pages.  The tables are zero, being in .bss.
build_page_tables:
        mov     edi, phys(boot_pd)
        mov     eax, PTE_PAGE
        mov     ecx, 4 * 512
.page:  mov     [edi], eax
        add     edi, 8
        add     eax, 0x200000
        loop    .page

        mov     eax, phys(boot_pd) + PTE_TABLE
        xor     ecx, ecx
.directory:
        mov     [phys(boot_pdpt) + ecx * 8], eax
        add     eax, 4096
        inc     ecx
        cmp     ecx, 4
        jb      .directory
        mov     dword [phys(boot_pdpt_image) + 510 * 8], phys(boot_pd) + PTE_TABLE
        mov     dword [phys(boot_pml4) + 0 * 8], phys(boot_pdpt) + PTE_TABLE
        mov     dword [phys(boot_pml4) + 256 * 8], phys(boot_pdpt) + PTE_TABLE
        mov     dword [phys(boot_pml4) + 511 * 8], phys(boot_pdpt_image) + PTE_TABLE
        ret

; 115200 baud, 8 bits, no parity, FIFOs on, DTR and RTS.
serial_init:
        mov     esi, serial_settings
.next:  lodsw
        test    eax, 0xff00
        jz      .done
        movzx   edx, ah
        add     edx, COM1 - 0x10        ; the high byte is 10H + register
        out     dx, al
        jmp     .next
.done:  ret

; Print the NUL-terminated text at ESI.  A port that never becomes ready is given up on.
serial_print:
        lodsb
        test    al, al
        jz      .done
        mov     ah, al
        mov     edx, LSR
        mov     ecx, 100000
.wait:  in      al, dx
        test    al, LSR_THRE
        jnz     .ready
        loop    .wait
.done:  ret
.ready: mov     edx, COM1
        mov     al, ah
        out     dx, al
        jmp     serial_print

; Print the reason at ESI, end the run where an emulator lets us, else halt.
boot_fail:
        call    serial_print
        mov     esi, text_end
        call    serial_print
        mov     edx, LSR
        mov     ecx, 1000000
.drain: in      al, dx
        test    al, 0x40                ; TEMT
        loopz   .drain
        mov     esi, text_shutdown      ; Bochs: the word, letter by letter
        mov     edx, 0x8900
        mov     ecx, 8
        rep outsb
        mov     al, 1                   ; QEMU's isa-debug-exit
        out     0xf4, al
.halt:  hlt
        jmp     .halt

text_start:
        db      "vitrine: starting", 13, 10, 0
text_no_multiboot:
        db      "vitrine: not started by a Multiboot 1 or 2 boot loader; nothing can be done without its "
        db      "information. Use GRUB (multiboot or multiboot2) or qemu -kernel.", 13, 10, 0
text_no_long_mode:
        db      "vitrine: this CPU has no 64-bit mode (long mode), which the hypervisor needs. "
        db      "Use a 64-bit CPU (in QEMU: qemu-system-x86_64).", 13, 10, 0
text_end:
        db      "vitrine: end status=1", 13, 10, 0
text_shutdown:
        db      "Shutdown"

        align   2
serial_settings:                        ; value, 10H + register; 0 ends
        db      0x00, 0x11, 0x83, 0x13, 0x01, 0x10, 0x00, 0x11
        db      0x03, 0x13, 0x07, 0x12, 0x03, 0x14, 0, 0

        align   8
boot_gdt:
        dq      0
        dq      0x00af9b000000ffff      ; 64-bit code
        dq      0x00cf93000000ffff      ; data
boot_gdt_pointer:
        dw      $ - boot_gdt - 1
        dd      boot_gdt

section .text
        bits    64
extern boot_main
extern image_phys_base

upper_half:
        mov     ax, 0x10
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        xor     eax, eax
        mov     fs, ax
        mov     gs, ax
        mov     rsp, boot_stack_top
        mov     eax, boot_image_start   ; where this loader put the image
        mov     [image_phys_base], rax
        mov     edi, ebp
        mov     esi, ebx
        xor     ebp, ebp                ; the backtrace ends here
        call    boot_main
        ud2

boot_image_start equ 0x100000           ; LOAD in linker.ld

extern percpu_boot_stacks
boot_stack_top  equ percpu_boot_stacks + 0x9000 ; a guard page and STACK_SIZE further

section .bss
        align   4096
global boot_pml4
boot_pml4:       resb 4096
boot_pdpt:       resb 4096
boot_pdpt_image: resb 4096
boot_pd:         resb 4 * 4096
