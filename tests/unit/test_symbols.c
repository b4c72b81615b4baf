// SPDX-License-Identifier: MIT
/*
 * Symbol tables: text as nm writes it, the symbol table of this very program against what its
 * compiler says, and files that are not what they say.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/symbols.h"

/* A table that has everything on the heap, so that the sanitizer watches its ends. */
struct file {
    struct image image;
    struct symbols table;
    struct load_error error;
    u64 *entry;
    enum status status;
};

static struct file *load(const void *data, size_t size)
{
    struct file *f = calloc(1, sizeof(*f));
    u8 *copy = malloc(size ? size : 1);

    memcpy(copy, data, size);
    f->image = (struct image){.data = copy, .size = size};
    f->status = guest_symbols_measure(&f->image, &f->table, &f->error);
    if (f->status == STATUS_OK) {
        f->entry = malloc(f->table.count * sizeof(u64));
        guest_symbols_fill(&f->image, f->entry, &f->table);
    }
    return f;
}

static void drop(struct file *f)
{
    free((void *)(uintptr_t)f->image.data);
    free(f->entry);
    free(f);
}

/* "name+offset", or "-". */
static const char *name_at(const struct file *f, u64 address)
{
    static char text[100];
    unsigned length;
    u64 offset;
    s64 n = symbols_find(&f->table, address, &offset);

    if (n < 0)
        return "-";
    const char *name = symbols_name(&f->table, (u32)n, &length);
    snprintf(text, sizeof(text), "%.*s+%llu", (int)length, name, (unsigned long long)offset);
    return text;
}

static u64 address_of(const struct file *f, const char *name)
{
    s64 n = symbols_lookup(&f->table, name, (unsigned)strlen(name));
    return n < 0 ? 0 : symbols_address(&f->table, (u32)n);
}

/* Not in order, a module's name behind a tab, no line end at the end, per-CPU symbols below. */
static void test_text(void **)
{
    static const char text[] = "0000000000001000 A cpu_debug_store\r\n"
                               "ffffffff81000100 T second\n"
                               "ffffffff81000000 T _text\n"
                               "ffffffff81000000 T _stext\n\n"
                               "ffffffffc0000000 t in_module\t[ext4]\n"
                               "ffffffff81000200 t last";
    struct file *f = load(text, sizeof(text) - 1);

    assert_int_equal(f->status, STATUS_OK);
    assert_int_equal(f->table.count, 5);
    assert_string_equal(name_at(f, 0xffffffff81000000), "_text+0");
    assert_string_equal(name_at(f, 0xffffffff810000ff), "_text+255");
    assert_string_equal(name_at(f, 0xffffffff81000100), "second+0");
    assert_string_equal(name_at(f, 0xffffffff81000203), "last+3");
    assert_string_equal(name_at(f, 0xffffffffc0000001), "in_module+1");
    assert_string_equal(name_at(f, 0xffffffff80ffffff), "-");
    assert_string_equal(name_at(f, 0xffffffffd0000000), "-");
    assert_string_equal(name_at(f, 0x1000), "-");
    assert_string_equal(name_at(f, 0), "-");
    assert_int_equal(address_of(f, "last"), 0xffffffff81000200);
    assert_int_equal(address_of(f, "in_module"), 0xffffffffc0000000);
    assert_int_equal(address_of(f, "las"), 0);
    assert_int_equal(address_of(f, "last2"), 0);
    f->table.slide = 0x1000000;
    assert_string_equal(name_at(f, 0xffffffff82000203), "last+3");
    assert_string_equal(name_at(f, 0xffffffff81000203), "-");
    assert_int_equal(address_of(f, "last"), 0xffffffff82000200);
    drop(f);
}

static void test_refused(void **)
{
    static const struct {
        const char *text;
        enum status status;
        const char *why;
    } cases[] = {
        {"", STATUS_ENOENT, "no symbol in it has an address"},
        {"0000000000000000 T hidden\n0000000000000000 t too\n", STATUS_ENOENT, "Linux shows zeros"},
        {"1000 T good\nhello world\n", STATUS_EFORMAT, "line 2: expected ADDRESS TYPE NAME"},
        {"1000 T good\n\n\n2000 T", STATUS_EFORMAT, "line 4:"},
        {"12345678123456781 T long\n", STATUS_EFORMAT, "line 1:"},
        {"1000 T \n", STATUS_EFORMAT, "line 1:"},
        {"1000  x", STATUS_EFORMAT, "line 1:"},
        {"\177ELF\2aaaaaaaaaaaaaaaaaaaaaaaaa", STATUS_EFORMAT, "without a (whole) symbol table"},
        {"\177ELF\7aaaaaaaaaaaaaaaaaaaaaaaaa", STATUS_EFORMAT, "without a (whole) symbol table"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct file *f = load(cases[i].text, strlen(cases[i].text));
        assert_int_equal(f->status, cases[i].status);
        assert_non_null(strstr(f->error.text, cases[i].why));
        drop(f);
    }
}

/* This program: its file's table against its own addresses. */
static void test_elf(void **)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    struct stat st;
    char name[100];

    assert_int_equal(fstat(fd, &st), 0);
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    struct file *f = load(data, (size_t)st.st_size);
    assert_int_equal(f->status, STATUS_OK);
    /* It may run anywhere (PIE). */
    f->table.slide = (u64)(uintptr_t)test_text - address_of(f, "test_text");
    assert_string_equal(name_at(f, (u64)(uintptr_t)test_refused), "test_refused+0");
    assert_string_equal(name_at(f, (u64)(uintptr_t)load + 1), "load+1");
    assert_int_equal(address_of(f, "name_at"), (u64)(uintptr_t)name_at);
    for (u32 n = 1; n < f->table.count; n++)
        assert_true(f->entry[n - 1] <= f->entry[n]);
    snprintf(name, sizeof(name), "%s", name_at(f, (u64)(uintptr_t)drop));
    assert_string_equal(name, "drop+0");
    drop(f);
    munmap(data, (size_t)st.st_size);
    close(fd);
}

/* Bytes of a good file changed and its end cut: nothing is read outside of it. */
static void test_malformed_elf(void **)
{
    enum { SIZE = 64 + 3 * 64 + 4 * 24 + 32 };
    static u8 good[SIZE], bad[SIZE];
    u64 n = 0;

    memcpy(good, "\177ELF\2", 5);
    good[0x28] = 64;   /* sections */
    good[0x3a] = 64;   /* ... of 64 bytes */
    good[0x3c] = 3;    /* ... three */
    good[128 + 4] = 2; /* the second is a symbol table */
    good[128 + 0x19] = 1;
    memcpy(good + 128 + 0x18, &(u64){256}, 8);
    memcpy(good + 128 + 0x20, &(u64){4 * 24}, 8);
    good[128 + 0x28] = 2; /* its strings are in the third */
    memcpy(good + 192 + 0x18, &(u64){256 + 4 * 24}, 8);
    good[192 + 0x20] = 32;
    for (unsigned i = 1; i < 4; i++) {
        good[256 + i * 24] = (u8)(i * 6); /* name */
        good[256 + i * 24 + 6] = 1;       /* section */
        good[256 + i * 24 + 9] = (u8)i;   /* address */
    }
    memcpy(good + 256 + 4 * 24, "\0symbol_names_without_any_end...", 32);
    struct file *f = load(good, SIZE);
    assert_int_equal(f->status, STATUS_OK);
    assert_int_equal(f->table.count, 3);
    assert_string_equal(name_at(f, 0x102), "l_names_without_any_end...+2");
    drop(f);
    srand(1);
    for (unsigned i = 0; i < 200000; i++) {
        memcpy(bad, good, SIZE);
        for (int k = rand() % 4; k >= 0; k--)
            bad[rand() % SIZE] = rand() % 3 ? (u8)rand() : (u8) - (rand() % 2);
        f = load(bad, i % 2 ? SIZE : (size_t)(rand() % (SIZE + 1)));
        for (u32 s = 0; f->status == STATUS_OK && s < f->table.count; s++)
            n += strlen(name_at(f, symbols_address(&f->table, s)));
        drop(f);
    }
    assert_true(n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_elf),
        cmocka_unit_test(test_malformed_elf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
