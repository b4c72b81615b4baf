/* SPDX-License-Identifier: MIT
 *
 * Where the second processor begins: copied to the page at AP_PAGE, real mode, then at once to
 * 64-bit mode with the first one's tables, to ap_main() on a stack of its own.
 */
#define AP_PAGE  0x9000
#define CR4_PAE  0x20
#define EFER     0xc0000080
#define EFER_LME 0x100
#define CR0      0x80000011             /* PG, ET, PE */
#define AT(x)    ((x) - ap_start + AP_PAGE)

        .section .rodata
        .globl ap_start, ap_end
        .code16
ap_start:
        cli
        xorw %ax, %ax
        movw %ax, %ds
        lgdtl AT(pointer)
        movl $CR4_PAE, %eax
        movl %eax, %cr4
        movl $guest_pml4, %eax
        movl %eax, %cr3
        movl $EFER, %ecx
        movl $EFER_LME, %eax
        xorl %edx, %edx
        wrmsr
        movl $CR0, %eax
        movl %eax, %cr0
        ljmpl $8, $ap_long
        .balign 8
table:  .quad 0, 0x00af9b000000ffff
pointer:
        .word . - table - 1
        .long AT(table)
ap_end:

        .text
        .code64
ap_long:
        movl $0x10, %eax
        lgdt ap_gdtr
        movl %eax, %ss
        movl %eax, %ds
        movl %eax, %es
        lidt ap_idtr
        movq $ap_stack_end, %rsp
        xorl %ebp, %ebp
        call ap_main
        ud2

        .section .bss
        .balign 16
        .globl ap_gdtr, ap_idtr
ap_gdtr: .skip 16
ap_idtr: .skip 16
        .skip 16384
ap_stack_end:
        .section .note.GNU-stack, "", @progbits
