/* SPDX-License-Identifier: MIT
 *
 * From 64-bit mode down to 32-bit code without paging, on to real mode, and all the way back
 * (SDM vol. 3A, 9.8.5 and 9.9).  What runs down there leaves its results in low memory, laid out as
 * struct low in modes.c.
 */
#define LOW    0x600            /* struct low */
#define REAL   0x8000           /* where the real-mode part is copied to */
#define STACK  0x7000
#define DATA   0x10
#define CODE32 0x18
#define CODE16 0x40
#define DATA16 0x48
#define TSS_A  0x50
#define TSS_B  0x58

#define CR0_PG 0x80000000
#define EFER   0xc0000080
#define EFER_LME 0x100

        .text
        .code64
        .globl modes_run                /* void modes_run(void (*code32)(void), bool real) */
modes_run:
        pushq %rbx
        pushq %rbp
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        pushfq
        cli
        sgdt saved_gdtr
        sidt saved_idtr
        movq %rsp, saved_rsp
        movl %edi, routine
        movl %esi, want_real
        pushq $CODE32
        pushq $down32
        lretq

        .code32
down32: movl $DATA, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl $STACK, %esp
        movl %cr0, %eax
        andl $~CR0_PG, %eax
        movl %eax, %cr0                 /* paging off: leaves long mode */
        movl $EFER, %ecx
        rdmsr
        andl $~EFER_LME, %eax
        wrmsr
        movl %cr0, %eax
        movl %eax, LOW + 0
        movl $EFER, %ecx
        rdmsr
        movl %eax, LOW + 4
        cmpl $0, routine
        je 1f
        call *routine
1:      cmpl $0, want_real
        jne to_real

up32:   movl $EFER, %ecx
        rdmsr
        orl $EFER_LME, %eax
        wrmsr
        movl %cr0, %eax
        orl $CR0_PG, %eax
        movl %eax, %cr0
        ljmp $0x08, $up64

        .code64
up64:   lgdt saved_gdtr
        lidt saved_idtr
        movl $DATA, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movq saved_rsp, %rsp
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        popfq
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        ret

        .code32
to_real:
        movl $real_begin, %esi
        movl $REAL, %edi
        movl $(real_end - real_begin), %ecx
        rep movsb
        movl $DATA, %eax                /* FS keeps its 4-GiB limit in real mode */
        movl %eax, %fs
        lidt real_idtr
        movl $DATA16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        ljmp $CODE16, $REAL

        /* 32-bit code: a task switch there and back (nested task, IRET). */
        .globl modes_task
modes_task:
        movl $TSS_A, %eax
        ltr %ax
        movl $0x1111, %ebx
        lcall $TSS_B, $0
        movl %ebx, LOW + 8              /* this task's own again */
        movl %cr0, %eax
        movl %eax, LOW + 12             /* TS is set */
        clts
        str %ax
        movzwl %ax, %eax
        movl %eax, LOW + 16
        ret

        .globl modes_task_b
modes_task_b:
        movl %ebx, LOW + 20             /* from its TSS */
        pushfl
        popl LOW + 24                   /* NT is set */
        movl %esp, LOW + 28
        movl $0x2222, %ebx
        iret
        jmp modes_task_b

        /* --- Real mode: position REAL ----------------------------------------------------------- */
        .code16
real_begin:
#define AT(label) (REAL + (label) - real_begin)
        movl %cr0, %eax
        andl $~1, %eax
        movl %eax, %cr0
        ljmp $0, $AT(real_mode)
real_mode:
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $STACK, %sp

        smsw LOW + 32
        movw $AT(on_divide), 0 * 4      /* interrupt vector table */
        movw $0, 0 * 4 + 2
        movw $AT(on_int60), 0x60 * 4
        movw $0, 0x60 * 4 + 2
        movw $AT(on_timer), 0x20 * 4
        movw $0, 0x20 * 4 + 2

        stc
        int $0x60                       /* LOW+34: flags pushed, +36: count */
        xorw %dx, %dx
        movw $7, %ax
        xorw %bx, %bx
div_at: divw %bx                        /* LOW+38: IP of the fault */
after_div:
        movw $0x1234, %ax               /* segment * 16 + offset */
        movw %ax, %es
        movb $0x5a, %es:5
        pushw $0x2345
        popw %ds
        movw $0x3456, %ax
        movw %ax, %ds:2
        xorw %ax, %ax
        movw %ax, %ds
        movl $0x89abcdef, %eax          /* 32-bit operands */
        rorl $8, %eax
        movl %eax, LOW + 40
        lcall $(REAL >> 4), $(far_routine - real_begin)
        movl $0xfee00030, %ebx          /* FS beyond 64 KiB: the APIC's version */
        movl %fs:(%ebx), %eax
        movl %eax, LOW + 48
        movw $0x1000, %di               /* string instructions */
        movw $0x1240, %ax
        movw %ax, %es
        movw $AT(text), %si
        movw $4, %cx
        cld
        rep movsb
        xorl %eax, %eax
        cpuid
        movl %ebx, LOW + 52
        inb $0x21, %al                  /* ports */
        movb %al, LOW + 56
        enterw $8, $0
        movw %bp, LOW + 58
        leavew
        movw %sp, LOW + 60
        sti                             /* a tick of the timer, through the table */
1:      hlt
        cmpw $3, LOW + 62
        jb 1b
        cli

        lgdtl AT(gdtr)
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $CODE32, $back32

on_int60:
        pushw %bp
        movw %sp, %bp
        movw 6(%bp), %ax
        movw %ax, LOW + 34
        popw %bp
        incw LOW + 36
        iretw
on_divide:
        pushw %bp
        movw %sp, %bp
        pushw %ax
        movw 2(%bp), %ax
        subw $AT(div_at), %ax
        movw %ax, LOW + 38
        movw $AT(after_div), 2(%bp)
        popw %ax
        popw %bp
        iretw
on_timer:
        pushw %ax
        incw LOW + 62
        movb $0x20, %al
        outb %al, $0x20
        popw %ax
        iretw
far_routine:
        movw %cs, LOW + 44
        lretw
text:   .ascii "abcd"
gdtr:   .word 16 * 8 - 1
        .long guest_gdt
real_end:

        .code32
back32: movl $DATA, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl $STACK, %esp
        jmp up32

        .data
        .balign 8
saved_gdtr:     .skip 10
saved_idtr:     .skip 10
real_idtr:      .word 0x3ff
                .long 0
        .balign 8
saved_rsp:      .quad 0
routine:        .long 0
want_real:      .long 0
        .section .note.GNU-stack, "", @progbits
