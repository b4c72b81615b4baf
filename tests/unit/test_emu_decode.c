/* SPDX-License-Identifier: MIT
 *
 * Decoder and disassembler on chosen bytes: lengths, prefixes, addressing forms, what is not an
 * instruction.  Expected texts are from the SDM's tables; random bytes are judged by Zydis in
 * tests/emulator/zydis.c.
 */
#include "emu_fixture.h"
#include <stdio.h>

#define REAL EMU_MODE_REAL
#define M16  EMU_MODE_16
#define M32  EMU_MODE_32
#define M64  EMU_MODE_64

static const struct listing {
    enum emu_mode mode;
    const char *hex; /* bytes; all of them are the instruction unless text is "(bad)" */
    const char *text;
} listings[] = {
    /* operand sizes and REX */
    {M64, "0108", "add [rax], ecx"},
    {M64, "4801c8", "add rax, rcx"},
    {M64, "6601c8", "add ax, cx"},
    {M64, "664801c8", "add rax, rcx"},
    {M64, "486601c8", "add ax, cx"}, /* REX not right before the opcode is ignored */
    {M64, "4588c4", "mov r12b, r8b"},
    {M64, "88e0", "mov al, ah"},
    {M64, "4088e0", "mov al, spl"},
    {M32, "40", "inc eax"},
    {M16, "40", "inc ax"},
    {M64, "48b8efcdab8967452301", "mov rax, 0x123456789abcdef"},
    {M64, "b878563412", "mov eax, 0x12345678"},
    {M64, "48c7c0ffffffff", "mov rax, 0xffffffffffffffff"},
    {M64, "83c0ff", "add eax, 0xffffffff"},
    {M64, "90", "nop"},
    {M32, "66c7f8bfa5", "xbegin 0xffffb5c4"}, /* the only 66 that does not cut EIP to 16 bits */
    {M64, "4190", "xchg r8d, eax"},
    {M64, "f390", "pause"},
    /* addressing, SDM vol. 2A, tables 2-1 to 2-3 */
    {M64, "8b0500010000", "mov eax, [0x1106]"}, /* RIP-relative at 0x1000 */
    {M64, "678b0500010000", "mov eax, [0x1107]"},
    {M32, "8b0500010000", "mov eax, [0x100]"},
    {M64, "8b042500010000", "mov eax, [0x100]"},
    {M64, "8b44b0f8", "mov eax, [rax+rsi*4-0x8]"},
    {M64, "428b04a0", "mov eax, [rax+r12*4]"},
    {M64, "8b0424", "mov eax, [rsp]"},
    {M64, "418b4500", "mov eax, [r13]"},
    {M64, "658b042528000000", "mov eax, gs:[0x28]"},
    {M64, "2e8b00", "mov eax, [rax]"}, /* CS means nothing in 64-bit mode */
    {M64, "67f3a4", "rep movsb"},
    {REAL, "8b00", "mov ax, [bx+si]"},
    {REAL, "8b4e02", "mov cx, [bp+0x2]"},
    {REAL, "8b0e3412", "mov cx, [0x1234]"},
    {REAL, "268b07", "mov ax, es:[bx]"},
    {REAL, "67668b0408", "mov eax, [eax+ecx*1]"},
    {REAL, "a13412", "mov ax, [0x1234]"},
    {M64, "a10807060504030201", "mov eax, [0x102030405060708]"},
    {M64, "67a104030201", "mov eax, [0x1020304]"},
    /* immediates and branches */
    {M64, "ebfe", "jmp 0x1000"},
    {M64, "66e900000000", "jmp 0x1006"}, /* Intel: 66 ignored in 64-bit mode */
    {M32, "66e90000", "jmp 0x1004"},
    {M64, "0f8400010000", "jz 0x1106"},
    {M64, "6aff", "push 0xffffffffffffffff"},
    {REAL, "6aff", "push 0xffff"},
    {REAL, "ea0000ffff", "jmp far 0xffff:0x0"},
    {M32, "c8100002", "enter 0x10, 0x2"},
    {M64, "c20800", "ret 0x8"},
    {M64, "67e3fd", "jecxz 0x1000"},
    {M64, "f6c001", "test al, 0x1"},
    {M64, "f7c001000000", "test eax, 0x1"},
    {M64, "f7d0", "not eax"},
    /* names by size, groups, implied operands */
    {M64, "4898", "cdqe"},
    {M64, "6699", "cwd"},
    {REAL, "66cf", "iretd"},
    {M64, "48cf", "iretq"},
    {M64, "9c", "pushfq"},
    {M64, "48a5", "movsq"},
    {M64, "f2ae", "repne scasb"},
    {M64, "f3a6", "repe cmpsb"},
    {M64, "66ed", "in ax, dx"},
    {M64, "e680", "out 0x80, al"},
    {M64, "d1e0", "shl eax, 1"},
    {M64, "0f01f8", "swapgs"},
    {M64, "0f01c1", "vmcall"},
    {M64, "0f0117", "lgdt [rdi]"},
    {M64, "0f20c0", "mov rax, cr0"},
    {M64, "440f22c0", "mov cr8, rax"},
    {M64, "8ed8", "mov ds, ax"},
    {M64, "f00108", "lock add [rax], ecx"},
    {M64, "f0480fc70f", "lock cmpxchg16b xmmword ptr [rdi]"},
    {M64, "0fb600", "movzx eax, byte ptr [rax]"},
    {M64, "480fbe00", "movsx rax, byte ptr [rax]"},
    {M64, "f30fb8c1", "popcnt eax, ecx"},
    {M64, "f20f38f1c1", "crc32 eax, ecx"},
    {M64, "66f20f38f1c1", "crc32 eax, cx"},
    {M64, "66f30faec0", "rdfsbase eax"},
    {M64, "6663c2", "movsxd ax, dx"},
    {M64, "f30f01d0", "(bad)"},                      /* XGETBV is NP */
    {M32, "c4e2d8f2fd", "andn edi, esp, ebp"},       /* VEX.W means nothing here */
    {M32, "c4e3f916d805", "vpextrd eax, xmm3, 0x5"}, /* nor here */
    {M64, "c5f571d203", "vpsrlw ymm1, ymm2, 0x3"},
    {M64, "c5f658c1", "vaddss xmm0, xmm1, xmm1"},
    {M64, "0f0b", "ud2"},
    {M64, "0f0dc8", "nop eax, ecx"}, /* PREFETCHW, to AMD not defined so */
    {M32, "6300", "arpl [eax], ax"},
    {M64, "4863c1", "movsxd rax, ecx"},
    /* opmasks: the width by 66 and W */
    {M64, "c5ec41cb", "kandw k1, k2, k3"},
    {M64, "c4e1ed41cb", "kandd k1, k2, k3"},
    {M32, "c5f94410", "(bad)"}, /* no memory */
    {M64, "c4e1f99008", "kmovd k1, dword ptr [rax]"},
    {M64, "c4e1fb92c9", "kmovq k1, rcx"},
    {M32, "c4e1fb92c9", "kmovd k1, ecx"},
    {M64, "c4e3f931ca03", "kshiftrq k1, k2, 0x3"},
    {M64, "c5e84bcb", "(bad)"}, /* VEX.L is 0 */
    {M64, "c5ed4bcb", "kunpckbw k1, k2, k3"},
    /* EVEX: opmask, broadcast, rounding, disp8*N, W in the name */
    {M64, "62f16cc95808", "vaddps zmm1 {k1} {z}, zmm2, [rax]"},
    {M64, "62f16c59584801", "vaddps zmm1 {k1}, zmm2, [rax+0x4] {1to16}"},
    {M64, "62f16c7958cb", "vaddps zmm1 {k1}, zmm2, zmm3 {rz-sae}"},
    {M64, "62f16c68580b", "(bad)"},                          /* LL of 3 */
    {M64, "62f17e9f7aef", "vcvtudq2pd zmm5 {k7} {z}, ymm7"}, /* b: exact, nothing to round */
    {M64, "6261fe4a6f6701", "vmovdqu64 zmm28 {k2}, [rdi+0x40]"},
    {M64, "62b1ed40ebc1", "vporq zmm0, zmm18, zmm17"},
    {M32, "62f1ed48ebc1", "vporq zmm0, zmm2, zmm1"},
    {M64, "62f2fd2932cb", "vpmovzxbq ymm1 {k1}, xmm3"},
    {M64, "62f27d29a2048d00000000", "vscatterdps dword ptr [ymm1*4] {k1}, ymm0"},
    {M64, "62f27d28a2048d00000000", "(bad)"}, /* no opmask */
    {M64, "62f27d49908d00000000", "(bad)"},   /* no SIB byte */
    {M64, "62f36c3826cb05", "(bad)"},         /* vvvv names nothing */
    {M64, "62f27d488b4801", "vpcompressd [rax+0x4], zmm1"},
    /* vectors: mandatory prefixes, VEX */
    {M64, "0f1000", "movups xmm0, [rax]"},
    {M64, "660f6f08", "movdqa xmm1, [rax]"},
    {M64, "f30f7f4f10", "movdqu [rdi+0x10], xmm1"},
    {M64, "c5f877", "vzeroupper"},
    {M64, "c5fe6f06", "vmovdqu ymm0, [rsi]"},
    {M64, "c5e9fec3", "vpaddd xmm0, xmm2, xmm3"},
    {M64, "c4e2f0f2c3", "andn rax, rcx, rbx"},
    {M64, "d9ee", "fldz"},
    {M64, "dec1", "faddp st1, st0"},
    /* LES and LDS live where VEX does, BOUND where EVEX does */
    {M32, "c406", "les eax, fword ptr [esi]"},
    {REAL, "c51e0400", "lds bx, dword ptr [0x4]"},
    {M32, "6208", "bound ecx, qword ptr [eax]"},
    /* not instructions */
    {M64, "06", "(bad)"},
    {M64, "f08b00", "(bad)"},             /* LOCK with a load */
    {M64, "f001c8", "(bad)"},             /* LOCK with a register */
    {M64, "f04969512a01000000", "(bad)"}, /* ... that would be too long for native code */
    {M64, "8ec8", "(bad)"},               /* MOV to CS */
    {M64, "8ef0", "(bad)"},               /* segment register 6 */
    {M64, "0f20c8", "(bad)"},             /* CR1 */
    {M64, "8dc0", "(bad)"},               /* LEA of a register */
    {M64, "0fff", "(bad)"},               /* cut short */
    {M64, "c7f800000000", "xbegin 0x1006"},
    {REAL, "63c0", "(bad)"}, /* ARPL in real mode */
    {REAL, "0f00c0", "(bad)"},
    {M32, "0f05", "(bad)"}, /* SYSCALL outside 64-bit mode, on Intel */
    {M64, "66c5fe6f06", "(bad)"},
    {M64, "2e2e2e2e2e2e2e2e2e2e2e2e2e0108", "add [rax], ecx"}, /* 15 bytes */
    {M64, "2e2e2e2e2e2e2e2e2e2e2e2e2e2e0108", "(bad)"},
};

static unsigned parse(const char *hex, u8 *out)
{
    unsigned n = 0;

    for (unsigned digit = 0, value = 0; *hex != '\0'; hex++) {
        value = value * 16 + (unsigned)(*hex <= '9' ? *hex - '0' : *hex - 'a' + 10);
        if (++digit % 2 == 0) {
            out[n++] = (u8)value;
            value = 0;
        }
    }
    return n;
}

static void texts(void **)
{
    for (size_t n = 0; n < ARRAY_SIZE(listings); n++) {
        const struct listing *l = &listings[n];
        u8 bytes[24];
        char text[128];
        unsigned length = parse(l->hex, bytes);
        unsigned got =
            emu_disassemble(bytes, length, l->mode, 0x1000, text, sizeof(text), NULL, NULL);
        if (strcmp(text, l->text) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", l->hex, text, l->text);
        assert_int_equal(got, strcmp(text, "(bad)") == 0 ? 0 : length);
    }
}

/* A prefix of an instruction is never an instruction by itself, and nothing past it is read. */
static void cut_short(void **)
{
    for (size_t n = 0; n < ARRAY_SIZE(listings); n++) {
        u8 bytes[24];
        char text[128];
        if (strcmp(listings[n].text, "(bad)") == 0)
            continue;
        unsigned length = parse(listings[n].hex, bytes);
        for (unsigned have = 0; have < length; have++) {
            u8 *tail = malloc(have == 0 ? 1 : have); /* the sanitizer sees a read past them */
            assert_non_null(tail);
            memcpy(tail, bytes, have);
            assert_int_equal(emu_disassemble(tail, have, listings[n].mode, 0x1000, text,
                                             sizeof(text), NULL, NULL),
                             0);
            free(tail);
        }
    }
}

static bool name_of(void *, u64 addr, char *out, size_t cap)
{
    if (addr != 0x2000)
        return false;
    snprintf(out, cap, "memcpy");
    return true;
}

static void symbols(void **)
{
    char text[64];

    emu_disassemble((const u8[]){0xe8, 0xfb, 0x0f, 0, 0}, 5, M64, 0x1000, text, sizeof(text),
                    name_of, NULL);
    assert_string_equal(text, "call 0x2000 <memcpy>");
    emu_disassemble((const u8[]){0xe8, 0xfc, 0x0f, 0, 0}, 5, M64, 0x1000, text, sizeof(text),
                    name_of, NULL);
    assert_string_equal(text, "call 0x2001");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
