/* SPDX-License-Identifier: MIT
 *
 * Entry of the test guests: from Multiboot 1's 32-bit machine state (specification 0.6.96, 3.2) to
 * 64-bit C with the first 4 GiB mapped one to one; the 256 interrupt stubs; and the register half of
 * trap_catch().
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x00000003 /* page-aligned modules, memory information */

#define CODE64 0x08
#define DATA   0x10

        .section .multiboot, "a"
        .balign 4
        .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

        .section .text.entry, "ax"
        .code32
        .globl guest_entry
guest_entry:
        cli
        cld
        movl $boot_stack_end, %esp
        movl %eax, guest_boot_magic
        movl %ebx, guest_boot_info

        movl $guest_pml4, %edi          /* tables: PML4, PDPT, four PDs of 2-MiB pages */
        movl $guest_pdpt + 7, (%edi)
        movl $guest_pdpt, %edi
        movl $guest_pd + 7, %eax
        movl $4, %ecx
1:      movl %eax, (%edi)
        addl $8, %edi
        addl $0x1000, %eax
        loop 1b
        movl $guest_pd, %edi
        movl $0x87, %eax                /* present, writable, user, 2 MiB */
        movl $2048, %ecx
2:      movl %eax, (%edi)
        addl $8, %edi
        addl $0x200000, %eax
        cmpl $0xc0000087, %eax          /* device memory from 3 GiB: uncached */
        jne 3f
        orl $0x18, %eax
3:      loop 2b

        movl $guest_pml4, %eax
        movl %eax, %cr3
        movl $0x620, %eax               /* PAE, OSFXSR, OSXMMEXCPT */
        movl %eax, %cr4
        movl $0xc0000080, %ecx          /* EFER.LME */
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl $0x80010033, %eax          /* PG, WP, NE, ET, MP, PE */
        movl %eax, %cr0
        lgdt boot_gdtr
        ljmp $CODE64, $entry64

        .code64
entry64:
        movl $DATA, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movq $boot_stack_end, %rsp
        xorl %ebp, %ebp
        call guest_main
1:      cli
        hlt
        jmp 1b

/* --- Interrupts: one stub per vector, all to trap_dispatch(struct trap_frame *) --------------- */

        .text
        .balign 16
        .globl trap_stubs
trap_stubs:
        vector = 0
        .rept 256
        .balign 16
        .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
        .else
        pushq $0
        .endif
        pushq $vector
        jmp trap_common
        vector = vector + 1
        .endr

trap_common:
        pushq %rax
        pushq %rcx
        pushq %rdx
        pushq %rbx
        pushq %rbp
        pushq %rsi
        pushq %rdi
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        cld
        movq %rsp, %rdi
        movq %rsp, %rbp
        andq $-16, %rsp
        call trap_dispatch
        movq %rbp, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rdi
        popq %rsi
        popq %rbp
        popq %rbx
        popq %rdx
        popq %rcx
        popq %rax
        addq $16, %rsp
        iretq

/* int trap_save(struct trap_context *): 0, and a second time 1, from trap_resume(). */
        .globl trap_save
trap_save:
        movq %rbx, 0(%rdi)
        movq %rbp, 8(%rdi)
        movq %r12, 16(%rdi)
        movq %r13, 24(%rdi)
        movq %r14, 32(%rdi)
        movq %r15, 40(%rdi)
        movq (%rsp), %rax
        movq %rax, 48(%rdi)
        leaq 8(%rsp), %rax
        movq %rax, 56(%rdi)
        pushfq
        popq 64(%rdi)
        xorl %eax, %eax
        ret

/* noreturn trap_resume(const struct trap_context *) */
        .globl trap_resume
trap_resume:
        movl $DATA, %eax
        movl %eax, %ss
        movl %eax, %ds
        movl %eax, %es
        movq 0(%rdi), %rbx
        movq 8(%rdi), %rbp
        movq 16(%rdi), %r12
        movq 24(%rdi), %r13
        movq 32(%rdi), %r14
        movq 40(%rdi), %r15
        movq 56(%rdi), %rsp
        pushq 64(%rdi)
        popfq
        movl $1, %eax
        jmp *48(%rdi)

        .section .data
        .balign 8
boot_gdt:
        .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdtr:
        .word . - boot_gdt - 1
        .long boot_gdt, 0

        .section .bss
        .balign 4096
        .globl guest_pml4, guest_pdpt, guest_pd
guest_pml4:     .skip 4096
guest_pdpt:     .skip 4096
guest_pd:       .skip 4 * 4096
boot_stack:     .skip 16384
boot_stack_end:

        .section .note.GNU-stack, "", @progbits
