/* SPDX-License-Identifier: MIT
 *
 * The parser of the UEFI application's vitrine.cfg: what good files become, and where and how bad
 * ones are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/uefi/cfg.c"

static struct cfg cfg;

static bool parse(const char *text) { return cfg_parse(&cfg, text, strlen(text)); }

static void good(void **)
{
    assert_true(parse("# two guests\n\n vitrine log=debug on-end=prompt\r\n"
                      "vmlinuz guest=linux mem=512M -- console=ttyS0  root=\"a b\"\r\n"
                      "\t/boot/init.cpio initrd=linux\n"
                      "\"\\other\\my kernel.elf\" guest=two"));
    assert_int_equal(cfg.count, 3);
    assert_string_equal(cfg.own.cmdline, "vitrine log=debug on-end=prompt");
    assert_string_equal(cfg.path[0], "/EFI/vitrine/vmlinuz");
    assert_string_equal(cfg.module[0].cmdline, "/EFI/vitrine/vmlinuz guest=linux mem=512M -- "
                                               "console=ttyS0  root=\"a b\"");
    assert_string_equal(cfg.module[1].cmdline, "/boot/init.cpio initrd=linux");
    assert_string_equal(cfg.path[2], "/other/my kernel.elf");
    assert_string_equal(cfg.module[2].cmdline, "\"/other/my kernel.elf\" guest=two");
}

static void edges(void **)
{
    assert_true(parse(""));
    assert_int_equal(cfg.count, 0);
    assert_true(parse("\xef\xbb\xbf# a mark that some editors put in front\nvitrine"));
    assert_int_equal(cfg.own.line, 2);
    assert_true(parse("vitrine.elf guest=x")); /* a file whose name only begins like that */
    assert_int_equal(cfg.count, 1);
}

static void bad(void **)
{
    static const struct {
        const char *text;
        unsigned line, column;
        const char *word, *why;
    } cases[] = {
        {"vitrine\nvmlinuz guest=a mem=12Q\n", 2, 17, "mem=12Q", "not a size"},
        {"  vmlinuz  guest=a  mem=12Q\n", 1, 21, "mem=12Q", "not a size"},
        {"\n\n  vitrine  log=loud", 3, 12, "log=loud", "no such choice"},
        {"a guest=one\nb guest=one\n", 2, 3, "guest=one", "already"},
        {"a guest=one\n  \"b c\"  initrd=two\n", 2, 10, "initrd=two", "no guest called"},
        {"a guest=one\nb\n", 2, 1, "", "does not say what it is"},
        {"a guest=one\n \"b guest=two\n", 2, 2, "\"b guest=two", "never closed"},
        {"a guest=one -- \"x\nb guest=two mem=\"3\n", 2, 13, "mem=\"3", "never closed"},
        {"vitrine\nvitrine log=info\n", 2, 1, "vitrine", "given twice"},
        {"a guest=one\nb\x01 guest=two\n", 2, 2, "", "plain character"},
        {"a guest=\xe2\x80\x9cone", 1, 9, "", "plain character"},
    };
    char text[300];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_false(parse(cases[i].text));
        assert_int_equal(cfg.error_count, 1);
        cfg_error_text(&cfg.error[0], text, sizeof(text));
        if (cfg.error[0].line != cases[i].line || cfg.error[0].at.column != cases[i].column ||
            strncmp(cfg.error[0].at.word, cases[i].word, strlen(cases[i].word)) != 0 ||
            !strstr(text, cases[i].why))
            fail_msg("%s: %s", cases[i].text, text);
    }
}

static void limits(void **)
{
    static char text[64 * KiB];
    size_t len = 0;

    for (unsigned i = 0; i < BOOT_MAX_MODULES; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "f%u %s=g\n", i,
                                i == 0 ? "guest" : "module");
    (void)parse(text); /* more files than a guest takes, but not more than there can be */
    assert_int_equal(cfg.count, BOOT_MAX_MODULES);
    snprintf(text + len, sizeof(text) - len, "one guest=more\n");
    assert_false(parse(text));
    assert_int_equal(cfg.error[0].line, BOOT_MAX_MODULES + 1);
    for (size_t size = 100; size < 2000; size += 1) {
        memset(text, 'x', size);
        memcpy(text, "a guest=b -- ", 13);
        assert_int_equal(cfg_parse(&cfg, text, size), size + strlen(CFG_FOLDER) < BOOT_CMDLINE_MAX);
        memset(text, 'x', size);
        assert_false(cfg_parse(&cfg, text, size) && size >= CFG_PATH_MAX);
    }
}

/* Any bytes: no crash, an error is never without a line. */
static void noise(void **)
{
    static const char alphabet[] = "ab \t\r\n\"#=/\\-.\x80vitrineguest=mem=1M--";
    char text[200];

    srandom(1);
    for (unsigned round = 0; round < 20000; round++) {
        size_t size = (size_t)random() % sizeof(text);
        for (size_t i = 0; i < size; i++)
            text[i] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
        char *copy = malloc(size + 1); /* the sanitizer watches its end */
        memcpy(copy, text, size);
        bool ok = cfg_parse(&cfg, copy, size);
        assert_int_equal(ok, cfg.error_count == 0);
        for (unsigned i = 0; i < cfg.error_count && i < CFG_MAX_ERRORS; i++)
            assert_in_range(cfg.error[i].line, 1, 201);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(edges),
                                       cmocka_unit_test(bad), cmocka_unit_test(limits),
                                       cmocka_unit_test(noise)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
