/* SPDX-License-Identifier: MIT
 *
 * For the tests of guest/: a virtual machine on the host, built from command lines and images, and
 * the checks that hold for every machine about to start.
 */
#ifndef TESTS_UNIT_GUEST_VM_H
#define TESTS_UNIT_GUEST_VM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/gmem.h"
#include "guest/config.h"
#include "guest/machine.h"
#include "lib/bits.h"

#define VM_MAX_MODULES 20

struct vm {
    struct config config;
    struct image module[VM_MAX_MODULES];
    unsigned count;
    struct gmem mem;
    struct x86_state state;
    struct load_error error;
    u8 *ram[2]; /* below and above 4 GiB */
    bool no_long_mode;
};

static inline void vm_add(struct vm *v, const char *cmdline, const void *data, size_t size)
{
    assert_true(v->count < VM_MAX_MODULES);
    v->module[v->count++] = (struct image){.data = data, .size = size, .cmdline = cmdline};
}

/* Memory of exactly the promised size, so that the sanitizer sees one byte too many; filled with
 * a pattern, so that what must be zeroed is seen. */
static inline void vm_alloc(struct vm *v, u64 mem)
{
    struct machine_ram ram;

    assert_int_equal(machine_ram(mem, &ram, &v->error), STATUS_OK);
    for (unsigned i = 0; i < ram.count; i++) {
        v->ram[i] = malloc(ram.range[i].size);
        assert_non_null(v->ram[i]);
        if (mem <= 64 * MiB)
            memset(v->ram[i], 0xa5, ram.range[i].size);
        assert_int_equal(
            gmem_add(&v->mem, GPA(ram.range[i].base), ram.range[i].size, v->ram[i], GMEM_RAM),
            STATUS_OK);
    }
}

/* Parse the modules' command lines and build the first guest. */
static inline enum status vm_build(struct vm *v)
{
    char text[512];

    config_parse(&v->config, "", v->module, v->count);
    if (v->config.error_count) {
        config_error_text(&v->config.error[0], text, sizeof(text));
        fail_msg("%s", text);
    }
    assert_int_equal(v->config.vm_count, 1);
    if (v->mem.count == 0)
        vm_alloc(v, v->config.vm[0].mem);
    memset(&v->state, 0x5a, sizeof(v->state));
    return guest_build(&v->config.vm[0], v->module, v->count, !v->no_long_mode, &v->mem, &v->state,
                       &v->error);
}

static inline void vm_free(struct vm *v)
{
    free(v->ram[0]);
    free(v->ram[1]);
    memset(v, 0, sizeof(*v));
}

/* It builds, or the message is shown. */
static inline void vm_must_build(struct vm *v)
{
    if (vm_build(v) != STATUS_OK)
        fail_msg("refused: %s", v->error.text);
}

/* It is refused, with a whole sentence that contains `words`. */
static inline void vm_must_refuse(struct vm *v, const char *words)
{
    if (vm_build(v) == STATUS_OK)
        fail_msg("built, but should have been refused with \"%s\"", words);
    if (!strstr(v->error.text, words))
        fail_msg("refused with \"%s\", not with \"%s\"", v->error.text, words);
    assert_in_range(strlen(v->error.text), 20, sizeof(v->error.text) - 2);
    vm_free(v);
}

static inline u64 vm_get(const struct vm *v, u64 gpa, unsigned width)
{
    u64 value = 0;

    assert_int_equal(gmem_read(&v->mem, GPA(gpa), &value, width), STATUS_OK);
    return value;
}

static inline const void *vm_at(const struct vm *v, u64 gpa, u64 size)
{
    const void *p = gmem_at(&v->mem, GPA(gpa), size);

    assert_non_null(p);
    return p;
}

static inline const char *vm_text(const struct vm *v, u64 gpa)
{
    const char *text = vm_at(v, gpa, 1);

    assert_non_null(memchr(text, 0, 4096));
    return text;
}

/* A segment of the GDT in guest memory says what the hidden part says, SDM vol. 3A, 3.4.5. */
static inline void vm_check_descriptor(const struct vm *v, enum seg n)
{
    const struct segment *s = &v->state.seg[n];
    u64 d;

    assert_in_range(s->selector, 8, v->state.gdtr.limit - 7);
    d = vm_get(v, v->state.gdtr.base + (s->selector & ~7u), 8);
    assert_int_equal((d >> 16 & 0xffffff) | (d >> 56 << 24), s->base);
    assert_int_equal(d >> 40 & 0xf0ff, s->access);
    assert_int_equal(((d & 0xffff) | (d >> 32 & 0xf0000)) << 12 | 0xfff, s->limit);
}

/* What VM entry demands of the guest state in protected mode without virtual-8086 mode, SDM vol.
 * 3C, 26.3.1.2 to 26.3.1.4, as far as it applies to flat segments. */
static inline void vm_check_entry_rules(const struct vm *v, bool mode64)
{
    const struct x86_state *s = &v->state;

    for (enum seg n = SEG_ES; n <= SEG_GS; n++) {
        u32 a = s->seg[n].access;

        assert_int_equal(a & ~SEG_ACCESS_MASK, 0);
        assert_true(a & SEG_S && a & SEG_P && a & 1);
        assert_int_equal(a >> SEG_DPL_SHIFT & 3, 0);
        assert_int_equal(s->seg[n].selector & 3, 0);
        assert_int_equal(s->seg[n].limit, 0xffffffff);
        assert_true(a & SEG_G);
        assert_int_equal(s->seg[n].base, 0);
        if (n == SEG_CS)
            assert_int_equal(a & SEG_TYPE, 11);
        else
            assert_int_equal(a & SEG_TYPE, 3);
        vm_check_descriptor(v, n);
    }
    assert_int_equal(!!(s->seg[SEG_CS].access & SEG_L), mode64);
    assert_int_equal(!!(s->seg[SEG_CS].access & SEG_DB), !mode64);
    assert_true(s->seg[SEG_SS].access & SEG_DB);
    assert_int_equal(s->seg[SEG_TR].access, 0x8b);
    assert_int_equal(s->seg[SEG_TR].selector & 4, 0);
    assert_true(s->seg[SEG_TR].limit >= 0x67 && s->seg[SEG_TR].limit < 0x100000);
    assert_true(s->seg[SEG_LDTR].access & SEG_UNUSABLE);
    assert_true(s->gdtr.limit <= 0xffff && s->idtr.limit <= 0xffff);
    assert_int_equal(s->rflags, RFLAGS_FIXED);
    assert_true(s->cr0 & CR0_PE);
    assert_int_equal(!!(s->cr0 & CR0_PG), mode64);
    assert_int_equal(s->cr0 & (CR0_CD | CR0_NW | CR0_EM | CR0_TS), 0);
    assert_int_equal(s->cr4, mode64 ? CR4_PAE : 0);
    assert_int_equal(s->efer, mode64 ? EFER_LME | EFER_LMA : 0);
    assert_int_equal(s->dr7, 0x400);
    assert_int_equal(s->activity, ACTIVITY_ACTIVE);
    assert_int_equal(s->interruptibility, 0);
    assert_int_equal(s->pending_debug, 0);
    assert_int_equal(s->valid & STATE_ALL, STATE_ALL);
    assert_int_equal(s->dirty & STATE_ALL, STATE_ALL);
}

/* Walk 4-level page tables, SDM vol. 3A, 4.5.4; -1: not mapped for writing. */
static inline u64 vm_translate(const struct vm *v, u64 linear)
{
    u64 table = v->state.cr3;

    assert_int_equal(table & 0xfff, 0);
    for (int shift = 39; shift >= 12; shift -= 9) {
        u64 e = vm_get(v, table + (linear >> shift & 511) * 8, 8);

        if ((e & 3) != 3)
            return ~0ull;
        if (shift == 12 || (e & 0x80 && shift < 39))
            return (e & 0xffffffffff000ull & ~((1ull << shift) - 1)) |
                   (linear & ((1ull << shift) - 1));
        table = e & 0xffffffffff000ull;
    }
    return ~0ull;
}

/* The bytes of a file, or NULL. */
static inline u8 *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    u8 *data;
    long length;

    if (!f)
        return NULL;
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    length = ftell(f);
    assert_true(length > 0);
    data = malloc((size_t)length);
    assert_non_null(data);
    rewind(f);
    *size = fread(data, 1, (size_t)length, f);
    assert_int_equal(*size, length);
    fclose(f);
    return data;
}

#endif
