/* SPDX-License-Identifier: MIT
 *
 * The UEFI application's configuration, \EFI\vitrine\vitrine.cfg: a line for each boot module, as
 * a multiboot loader would be told, and one for the hypervisor itself.
 *
 *   # a comment; blank lines count for nothing
 *   vitrine log=info on-end=prompt
 *   vmlinuz guest=linux mem=512M -- console=ttyS0
 *   initramfs.cpio initrd=linux
 *
 * The first word names a file (double quotes hold blanks together) in the configuration's own
 * folder, or from the top of the volume when it begins with a slash; / and \ are the same.  The
 * words behind it are those of guest/config.h.  Pure: also compiles on the host.
 */
#pragma once

#include "boot/boot_info.h"
#include "guest/config.h"

#define CFG_FOLDER     "/EFI/vitrine/"
#define CFG_SIZE_MAX   (64 * KiB)
#define CFG_PATH_MAX   128
#define CFG_MAX_ERRORS 8

/* Columns of a command line that begins with a path of another length than it has in the file:
 * behind column `from`, `shift` is to be taken off; up to there all is column `first`. */
struct cfg_text {
    unsigned line; /* from 1; 0: not given */
    unsigned first, from;
    int shift;
    char cmdline[BOOT_CMDLINE_MAX];
};

struct cfg_error {
    unsigned line;
    struct option_error at;
};

struct cfg {
    struct cfg_text own;
    unsigned count;
    struct cfg_text module[BOOT_MAX_MODULES]; /* cmdline: "/path/of/file words" */
    char path[BOOT_MAX_MODULES][CFG_PATH_MAX];
    unsigned error_count; /* may be more than are kept */
    struct cfg_error error[CFG_MAX_ERRORS];
};

/* Take the text apart and check every word of it; false when there are errors, all in c->error. */
bool cfg_parse(struct cfg *c, const char *text, size_t size);

/* "line 3, column 14, "mem=12Q": not a size ...". */
void cfg_error_text(const struct cfg_error *e, char *buf, size_t cap);
