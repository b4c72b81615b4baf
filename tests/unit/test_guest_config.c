/* SPDX-License-Identifier: MIT
 *
 * guest/config.c and guest/option.c: every form of the grammar in guest/config.h, and every way of
 * getting it wrong that has a message of its own, with module, column and word.
 */
#include "guest_vm.h"

static struct config config;

static void parse(const char *own, unsigned count, const char *const *lines)
{
    struct image module[32];

    assert_true(count <= 32);
    for (unsigned i = 0; i < count; i++)
        module[i] = (struct image){.cmdline = lines[i]};
    config_parse(&config, own, module, count);
}
#define PARSE(own, ...)                                                \
    parse(own, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
          (const char *[]){__VA_ARGS__})

static void no_errors(void)
{
    char text[512];

    if (config.error_count == 0)
        return;
    config_error_text(&config.error[0], text, sizeof(text));
    fail_msg("unexpected: %s", text);
}

static void has_error(unsigned n, unsigned module, unsigned column, const char *word,
                      const char *why)
{
    const struct config_error *e = &config.error[n];
    char text[512];

    assert_true(n < config.error_count);
    config_error_text(e, text, sizeof(text));
    if (e->module != module || e->at.column != column || strcmp(e->at.word, word) != 0 ||
        !strstr(e->at.why, why))
        fail_msg("expected module %u column %u \"%s\": ...%s..., got: %s", module, column, word,
                 why, text);
    assert_true(strlen(e->at.why) < sizeof(e->at.why) - 1);
    assert_non_null(strstr(text, why));
}

/* One line alone, as module 0, refused for one reason. */
static void refused(const char *line, unsigned column, const char *word, const char *why)
{
    PARSE("", line, "guest=other");
    has_error(0, 0, column, word, why);
    assert_int_equal(config.error_count, 1);
    assert_non_null(config_find(&config, "other"));
    assert_false(config_find(&config, "other")->refused);
}

static void test_nothing(void **)
{
    config_parse(&config, NULL, NULL, 0);
    no_errors();
    assert_int_equal(config.vm_count, 0);
    assert_int_equal(config.hv.console, CONSOLE_AUTO);
    assert_int_equal(config.hv.log, LOG_INFO);
    assert_int_equal(config.hv.on_end, ON_END_PROMPT);
}

static void test_defaults(void **)
{
    PARSE("", "guest=a");
    no_errors();
    assert_int_equal(config.vm_count, 1);
    assert_string_equal(config.vm[0].name, "a");
    assert_false(config.vm[0].refused);
    assert_int_equal(config.vm[0].kind, IMAGE_AUTO);
    assert_int_equal(config.vm[0].mem, 256 * MiB);
    assert_int_equal(config.vm[0].vcpus, 1);
    assert_int_equal(config.vm[0].unrestricted, UNRESTRICTED_AUTO);
    assert_int_equal(config.vm[0].real_mode, REAL_MODE_AUTO);
    assert_int_equal(config.vm[0].mode, VM_MODE_AUTO);
    assert_true(config.vm[0].load == CONFIG_UNSET && config.vm[0].entry == CONFIG_UNSET);
    assert_int_equal(config.vm[0].file_count, 1);
    assert_int_equal(config.vm[0].file[0].module, 0);
    assert_string_equal(config.vm[0].file[0].cmdline, "");
    assert_string_equal(config.vm[0].file[0].name, "");
}

static void test_all_options(void **)
{
    const struct vm_config *vm = &config.vm[0];

    PARSE("", "guest=box-1.x_Y kind=flat mem=1G vcpus=8 unrestricted=off real-mode=vm86 mode=32 "
              "load=1M entry=0x100010");
    no_errors();
    assert_string_equal(vm->name, "box-1.x_Y");
    assert_int_equal(vm->kind, IMAGE_FLAT);
    assert_int_equal(vm->mem, GiB);
    assert_int_equal(vm->vcpus, 8);
    assert_int_equal(vm->unrestricted, UNRESTRICTED_OFF);
    assert_int_equal(vm->real_mode, REAL_MODE_VM86);
    assert_int_equal(vm->mode, VM_MODE_32);
    assert_int_equal(vm->load, MiB);
    assert_int_equal(vm->entry, 0x100010);
    PARSE("", "guest=a kind=linux mode=64 unrestricted=on real-mode=native");
    no_errors();
    assert_int_equal(vm->kind, IMAGE_LINUX);
    assert_int_equal(vm->mode, VM_MODE_64);
    assert_int_equal(vm->unrestricted, UNRESTRICTED_ON);
    assert_int_equal(vm->real_mode, REAL_MODE_NATIVE);
    PARSE("", "guest=a kind=multiboot real-mode=emulate mode=32");
    no_errors();
    assert_int_equal(vm->kind, IMAGE_MULTIBOOT);
    assert_int_equal(vm->real_mode, REAL_MODE_EMULATE);
}

static void test_verbatim_command_line(void **)
{
    PARSE("", "guest=a mem=64M -- root=\"/dev/x y\"  mem=1 -- quiet ");
    no_errors();
    assert_string_equal(config.vm[0].file[0].cmdline, "root=\"/dev/x y\"  mem=1 -- quiet ");
    assert_int_equal(config.vm[0].mem, 64 * MiB);
    PARSE("", "guest=a --");
    no_errors();
    assert_string_equal(config.vm[0].file[0].cmdline, "");
    PARSE("", "guest=a \"mem=64M\" --  x");
    no_errors();
    assert_string_equal(config.vm[0].file[0].cmdline, " x");
}

static void test_file_names(void **)
{
    PARSE("", "/boot/vmlinuz-6.1 guest=a", "initrd.img initrd=a", "m module=a -- x y",
          "System.map symbols=a", "go script");
    no_errors();
    assert_int_equal(config.vm_count, 1);
    assert_int_equal(config.vm[0].file_count, 4);
    assert_string_equal(config.vm[0].file[0].name, "vmlinuz-6.1");
    assert_int_equal(config.vm[0].file[0].role, FILE_GUEST);
    assert_string_equal(config.vm[0].file[1].name, "initrd.img");
    assert_int_equal(config.vm[0].file[1].role, FILE_INITRD);
    assert_int_equal(config.vm[0].file[1].module, 1);
    assert_string_equal(config.vm[0].file[2].name, "m");
    assert_string_equal(config.vm[0].file[2].cmdline, "x y");
    assert_int_equal(config.vm[0].file[2].role, FILE_MODULE);
    assert_int_equal(config.vm[0].file[3].role, FILE_SYMBOLS);
    assert_int_equal(config.script_count, 1);
    assert_int_equal(config.script[0], 4);
}

static void test_guest_behind_options(void **)
{
    PARSE("", "k.elf mem=32M vcpus=2 guest=a kind=linux -- guest=b", "mem=16M guest=c");
    no_errors();
    assert_int_equal(config.vm_count, 2);
    assert_int_equal(config.vm[0].mem, 32 * MiB);
    assert_int_equal(config.vm[0].kind, IMAGE_LINUX);
    assert_string_equal(config.vm[0].file[0].cmdline, "guest=b");
    assert_string_equal(config.vm[0].file[0].name, "k.elf");
    assert_string_equal(config.vm[1].name, "c");
    assert_string_equal(config.vm[1].file[0].name, "");
    assert_int_equal(config.vm[1].mem, 16 * MiB);
    /* but an initrd= far behind is a kernel's own word */
    PARSE("", "quiet root=/dev/sda initrd=/initrd.img -- guest=x");
    no_errors();
    assert_string_equal(config.vm[0].name, "guest");
    assert_string_equal(config.vm[0].file[0].cmdline,
                        "quiet root=/dev/sda initrd=/initrd.img -- guest=x");
    PARSE("", "guest=a guest=b");
    has_error(0, 0, 9, "guest=b", "no such option");
}

static void test_any_order_and_several_guests(void **)
{
    PARSE("", "initrd=b", "module=a -- 1", "guest=b", "guest=a", "initrd=b", "module=a -- 2");
    no_errors();
    assert_int_equal(config.vm_count, 2);
    assert_int_equal(config_find(&config, "b")->file_count, 3);
    assert_int_equal(config_find(&config, "b")->file[0].module, 2);
    assert_int_equal(config_find(&config, "b")->file[1].module, 0);
    assert_int_equal(config_find(&config, "b")->file[2].module, 4);
    assert_string_equal(config_find(&config, "a")->file[1].cmdline, "1");
    assert_string_equal(config_find(&config, "a")->file[2].cmdline, "2");
}

static void test_plain_list(void **)
{
    PARSE("", "/boot/vmlinuz console=ttyS0 root=/dev/sda", "/boot/initrd.img", "script");
    no_errors();
    assert_int_equal(config.vm_count, 1);
    assert_string_equal(config.vm[0].name, "guest");
    assert_int_equal(config.vm[0].kind, IMAGE_AUTO);
    assert_string_equal(config.vm[0].file[0].cmdline, "console=ttyS0 root=/dev/sda");
    assert_string_equal(config.vm[0].file[0].name, "vmlinuz");
    assert_int_equal(config.vm[0].file_count, 2);
    assert_int_equal(config.vm[0].file[1].role, FILE_PLAIN);
    assert_string_equal(config.vm[0].file[1].cmdline, "/boot/initrd.img");
    assert_int_equal(config.script_count, 1);
    /* what the guest's own line says is its own business, even "root=/x" in front or a lone quote
     */
    PARSE("", "root=/dev/sda \"quiet -- x");
    no_errors();
    assert_string_equal(config.vm[0].file[0].cmdline, "root=/dev/sda \"quiet -- x");
    PARSE("", "", NULL);
    no_errors();
    assert_int_equal(config.vm[0].file_count, 2);
    /* a plain guest can have named files */
    PARSE("", "initrd=guest", "quiet");
    no_errors();
    assert_int_equal(config.vm[0].file[0].module, 1);
    assert_int_equal(config.vm[0].file[1].module, 0);
    assert_string_equal(config.vm[0].file[0].cmdline, "quiet");
}

static void test_own_options(void **)
{
    PARSE("vitrine.elf console=com2 log=debug on-end=poweroff mem=64M vcpus=2 unrestricted=off "
          "real-mode=emulate",
          "guest=a", "guest=b mem=32M");
    no_errors();
    assert_int_equal(config.hv.console, CONSOLE_COM2);
    assert_int_equal(config.hv.log, LOG_DEBUG);
    assert_int_equal(config.hv.on_end, ON_END_POWEROFF);
    assert_int_equal(config.vm[0].mem, 64 * MiB);
    assert_int_equal(config.vm[0].vcpus, 2);
    assert_int_equal(config.vm[0].unrestricted, UNRESTRICTED_OFF);
    assert_int_equal(config.vm[0].real_mode, REAL_MODE_EMULATE);
    assert_int_equal(config.vm[1].mem, 32 * MiB);
    assert_int_equal(config.vm[1].vcpus, 2);
}

static void test_own_errors(void **)
{
    PARSE("log=info quite mem=x log=warn konsole=com1 load=1 console=none", "guest=a");
    assert_int_equal(config.error_count, 5);
    has_error(0, CONFIG_NO_MODULE, 10, "quite", "no such option; there are: console=");
    has_error(1, CONFIG_NO_MODULE, 16, "mem=x", "not a size");
    has_error(2, CONFIG_NO_MODULE, 22, "log=warn", "given twice");
    has_error(3, CONFIG_NO_MODULE, 31, "konsole=com1", "no such option");
    has_error(4, CONFIG_NO_MODULE, 44, "load=1", "no such option");
    assert_int_equal(config.hv.console, CONSOLE_NONE);
    assert_int_equal(config.hv.log, LOG_INFO);
    assert_int_equal(config.vm[0].mem, 256 * MiB);
    PARSE("log=\"info");
    has_error(0, CONFIG_NO_MODULE, 1, "log=\"info", "quote");
}

/* Bad words: where and why; the other guest is not lost. */
static void test_bad_words(void **)
{
    static const struct {
        const char *line;
        unsigned column;
        const char *word, *why;
    } bad[] = {
        {"guest=a mem=12Q", 9, "mem=12Q", "not a size"},
        {"guest=a mem=", 9, "mem=", "not a size"},
        {"guest=a mem=-1", 9, "mem=-1", "not a size"},
        {"guest=a mem=1023K", 9, "mem=1023K", "too small"},
        {"guest=a  mem=0", 10, "mem=0", "too small"},
        {"guest=a mem=2048G", 9, "mem=2048G", "too large"},
        {"guest=a mem=99999999999999999999", 9, "mem=99999999999999999999", "too large"},
        {"guest=a mem=0x100001", 9, "mem=0x100001", "whole number of pages"},
        {"guest=a vcpus=0", 9, "vcpus=0", "too small"},
        {"guest=a vcpus=9", 9, "vcpus=9", "too large"},
        {"guest=a vcpus=2K", 9, "vcpus=2K", "not a number"},
        {"guest=a vcpus=two", 9, "vcpus=two", "not a number"},
        {"guest=a kind=elf", 9, "kind=elf", "no such choice"},
        {"guest=a real-mode=", 9, "real-mode=", "no such choice"},
        {"guest=a unrestricted=yes", 9, "unrestricted=yes", "no such choice"},
        {"guest=a mem=1M mem=2M", 16, "mem=2M", "given twice"},
        {"guest=a quiet", 9, "quiet", "no such option; there are: mem= vcpus="},
        {"guest=a console=com1", 9, "console=com1", "no such option"},
        {"guest=a initrd=a", 9, "initrd=a", "no such option"},
        {"guest=a mem", 9, "mem", "no such option"},
        {"/a/b guest=a kind=flat load=x", 24, "load=x", "not a size"},
        {"guest=a mem=\"1M", 9, "mem=\"1M", "quote"},
        {"guest=a load=1M", 1, "guest=a", "kind=flat"},
        {"guest=a kind=linux entry=1M", 1, "guest=a", "kind=flat"},
        {"guest=a kind=multiboot mode=64", 1, "guest=a", "32-bit mode"},
        {"guest=a kind=linux mode=16", 1, "guest=a", "BIOS"},
        {"guest=a unrestricted=off real-mode=native", 1, "guest=a", "unrestricted guest"},
        {"guest=", 1, "guest=", "not a name"},
        {"guest=a/b", 1, "guest=a/b", "not a name"},
        {"guest=0123456789abcdef", 1, "guest=0123456789abcdef", "not a name"},
        {"x guest=other", 3, "guest=other", "another name"},
        {"initrd=nobody", 1, "initrd=nobody", "no guest called"},
        {"initrd=", 1, "initrd=", "no guest called"},
        {"f module=nobody -- x", 3, "module=nobody", "no guest called"},
        {"symbols=nobody", 1, "symbols=nobody", "no guest called"},
        {"script now", 8, "now", "nothing may follow"},
        {"just some words", 1, "just", "does not say what it is"},
        {"", 1, "", "does not say what it is"},
    };
    char line[300], word[140];

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        if (strcmp(bad[i].line, "x guest=other") == 0)
            continue;
        refused(bad[i].line, bad[i].column, bad[i].word, bad[i].why);
        if (strncmp(bad[i].line, "guest=a ", 8) == 0)
            assert_true(config_find(&config, "a")->refused);
    }
    PARSE("", "guest=other", "x guest=other");
    has_error(0, 1, 3, "guest=other", "another name");
    assert_int_equal(config.vm_count, 1);
    assert_false(config.vm[0].refused);
    memset(word, 'w', sizeof(word));
    word[sizeof(word) - 1] = 0;
    snprintf(line, sizeof(line), "guest=a %s mem=1M", word);
    PARSE("", line);
    assert_int_equal(config.error_count, 1);
    assert_int_equal(config.error[0].at.column, 9);
    assert_non_null(strstr(config.error[0].at.why, "more than 127"));
    assert_true(config.vm[0].refused);
}

static void test_bad_file_words_refuse_their_guest_only(void **)
{
    PARSE("", "guest=a", "initrd=a x", "guest=b", "initrd=b", "module=b x -- y", "guest=c",
          "symbols=c x", "symbols=c", "symbols=c");
    assert_int_equal(config.error_count, 4);
    has_error(0, 1, 10, "x", "nothing may follow");
    has_error(1, 4, 10, "x", "put -- in front");
    has_error(2, 6, 11, "x", "nothing may follow");
    has_error(3, 8, 1, "symbols=c", "symbol table already");
    assert_true(config_find(&config, "a")->refused);
    assert_true(config_find(&config, "b")->refused);
    assert_false(config_find(&config, "c")->refused);
    assert_int_equal(config_find(&config, "c")->file_count, 2);
    PARSE("", "guest=a", "disk=a", "disk=a");
    assert_int_equal(config.error_count, 1);
    has_error(0, 2, 1, "disk=a", "disk already");
    assert_true(config_find(&config, "a")->refused);
}

static void test_limits(void **)
{
    static const char *const guests[] = {"guest=g0", "guest=g1", "guest=g2", "guest=g3", "guest=g4",
                                         "guest=g5", "guest=g6", "guest=g7", "guest=g8"};
    const char *files[20];

    parse("", 9, guests);
    assert_int_equal(config.vm_count, CONFIG_MAX_VMS);
    has_error(0, 8, 1, "guest=g8", "more than 8 guests");
    files[0] = "guest=a";
    for (unsigned i = 1; i < 20; i++)
        files[i] = "module=a";
    parse("", 20, files);
    assert_int_equal(config.error_count, 4);
    has_error(0, 16, 1, "module=a", "more than 15 files");
    assert_true(config.vm[0].refused);
    for (unsigned i = 0; i < 20; i++)
        files[i] = "script";
    parse("", 20, files);
    assert_int_equal(config.script_count, CONFIG_MAX_SCRIPTS);
    assert_int_equal(config.error_count, 16);
    has_error(0, 4, 1, "script", "more than 4 scripts");
    files[0] = "guest=a";
    for (unsigned i = 1; i < 20; i++)
        files[i] = "initrd=b";
    parse("", 20, files);
    assert_int_equal(config.error_count, 19); /* counted, though only 16 are kept */
    has_error(15, 16, 1, "initrd=b", "no guest called");
}

/* Words at random from the grammar's own pieces: never a crash, and every guest accepted is
 * sound. */
static void test_random_lines(void **)
{
    static const char *const piece[] = {"guest=a",
                                        "guest=b",
                                        "initrd=a",
                                        "module=b",
                                        "script",
                                        "mem=",
                                        "1M",
                                        "vcpus=2",
                                        "\"",
                                        " ",
                                        "--",
                                        "kind=flat",
                                        "load=1",
                                        "entry",
                                        "=",
                                        "/x/y",
                                        "\t",
                                        "0x",
                                        "99999999999999999999",
                                        "symbols=a",
                                        "mode=16",
                                        "real-mode=native",
                                        "G",
                                        "-"};
    static char line[6][256];
    const char *lines[6];
    u32 seed = 1;

    for (unsigned round = 0; round < 20000; round++) {
        for (unsigned i = 0; i < 6; i++) {
            line[i][0] = 0;
            for (unsigned n = 0; n < 8; n++) {
                seed = seed * 1664525 + 1013904223;
                strcat(line[i], piece[(seed >> 16) % ARRAY_SIZE(piece)]);
                if (seed >> 31)
                    strcat(line[i], " ");
            }
            lines[i] = line[i];
        }
        parse(line[5], 5, lines);
        for (unsigned i = 0; i < config.vm_count; i++) {
            const struct vm_config *vm = &config.vm[i];

            assert_true(vm->name[0] && vm->file_count >= 1 && vm->file_count <= VM_MAX_FILES);
            assert_true(vm->mem >= MiB && vm->mem % PAGE_SIZE == 0);
            assert_in_range(vm->vcpus, 1, CONFIG_MAX_VCPUS);
            for (unsigned f = 0; f < vm->file_count; f++)
                assert_true(vm->file[f].module < 5 && vm->file[f].cmdline);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_options),
        cmocka_unit_test(test_verbatim_command_line),
        cmocka_unit_test(test_file_names),
        cmocka_unit_test(test_guest_behind_options),
        cmocka_unit_test(test_any_order_and_several_guests),
        cmocka_unit_test(test_plain_list),
        cmocka_unit_test(test_own_options),
        cmocka_unit_test(test_own_errors),
        cmocka_unit_test(test_bad_words),
        cmocka_unit_test(test_bad_file_words_refuse_their_guest_only),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
