/* SPDX-License-Identifier: MIT
 *
 * What the user asked for: the hypervisor's own command line and those of the boot modules, turned
 * into a list of virtual machines.
 *
 * A boot module's command line is words separated by blanks (double quotes hold blanks together):
 *
 *   [FILE] guest=NAME [OPTION...] [-- COMMAND LINE]   this module is a guest, called NAME
 *   [FILE] initrd=NAME                                initial RAM disk for guest NAME
 *   [FILE] module=NAME [-- COMMAND LINE]              Multiboot module for guest NAME
 *   [FILE] floppy=NAME                                floppy disk image for firmware guest NAME
 *   [FILE] disk=NAME                                  read-only disk (virtio) for guest NAME
 *   [FILE] kernel=NAME [-- COMMAND LINE]              Linux kernel for it, which an option ROM ...
 *   [FILE] rom=NAME                                   ... (linuxboot_dma.bin) loads
 *   [FILE] symbols=NAME                               its symbol table: ELF, or text as System.map
 *   [FILE] script                                     shell commands, run after start-up
 *
 * FILE is the module's file name, which some boot loaders (QEMU) put in front and others (GRUB 2)
 * do not; it is a first word without "=" before the role word.  guest=NAME may also stand behind
 * options.  COMMAND LINE is everything after "-- ",
 * verbatim.  Modules may come in any order.  OPTION is one of
 *
 *   kind=auto|flat|multiboot|linux|firmware   what the module is (auto: by its content, never
 *                                    flat nor firmware: a BIOS, 64 KiB to 16 MiB)
 *   mem=SIZE                         memory: whole pages, 1M to 1024G (default 256M)
 *   vcpus=N                          virtual CPUs, 1 to 8 (default 1), each on a CPU of its own
 *   unrestricted=auto|on|off         use the CPU's unrestricted guest mode (auto: if it has it)
 *   real-mode=auto|native|vm86|emulate   how real-mode code runs
 *                                    (auto: native if unrestricted, else vm86)
 *   ud=guest|forced|emulate          undefined opcodes: the guest's own #UD; but what the prefix
 *                                    UD2 "kvm" stands before is emulated; and so is what the CPU
 *                                    lacks and the emulator has (MOVBE, RDPID)
 *   vmware-ports=off|on              IN and OUT at 0x5658 and 0x5659 need no privilege
 *   mode=auto|16|32|64               flat: the CPU mode at entry (auto: 16);
 *                                    linux: which entry point (auto: 64 if kernel and VM have it)
 *   load=ADDR  entry=ADDR            flat: where it goes and starts (default 0x7c00; entry: load)
 *
 * SIZE and ADDR are decimal or 0x-hexadecimal with an optional K, M or G.
 *
 * When no module has a guest= word, the list is taken as `qemu -kernel A -initrd B` would: the
 * first module without a role word is a guest of kind auto called "guest", its whole command line
 * is the guest's, and further ones are its initrd or Multiboot modules.  A first word with a "/"
 * before any "=" is then the file's name.
 *
 * The hypervisor's own command line has
 *
 *   console=auto|com1|com2|spcr|pci|screen|none   where log and prompt go: one serial port (of
 *                                    those ACPI's SPCR table names, COM1, COM2, a PCI card), the
 *                                    screen and its keyboard, or (auto) the first such port and
 *                                    the screen
 *   log=error|warn|info|debug        the most detailed log lines shown (default info)
 *   gdb=off|com2|wait                serve GDB on COM2; wait: guests stand still until it says
 *                                    continue (or the prompt `resume`)
 *   tsc-hz=N                         the TSC's frequency, where the machine cannot tell it
 *   on-end=prompt|poweroff|reset     what follows when the last guest has ended (default prompt)
 *   mem= vcpus= unrestricted= real-mode= ud= vmware-ports=   defaults for guests that do not say
 *
 * What cannot be meant is refused, with module, column, word and what to do; a refused module takes
 * no other guest with it, but a guest whose initrd or module is refused is refused too.
 */
#pragma once

#include "guest/image.h"
#include "guest/option.h"
#include "lib/log.h"

#define CONFIG_MAX_VMS     8
#define CONFIG_MAX_SCRIPTS 4
#define CONFIG_MAX_ERRORS  16
#define CONFIG_MAX_VCPUS   8
#define VM_MAX_FILES       16
#define VM_NAME_MAX        16

enum vm_unrestricted { UNRESTRICTED_AUTO, UNRESTRICTED_ON, UNRESTRICTED_OFF };
enum vm_real_mode { REAL_MODE_AUTO, REAL_MODE_NATIVE, REAL_MODE_VM86, REAL_MODE_EMULATE };
enum vm_ud { UD_GUEST, UD_FORCED, UD_EMULATE };
enum vm_mode { VM_MODE_AUTO, VM_MODE_16, VM_MODE_32, VM_MODE_64 };

/* FILE_PLAIN: initrd or module, as the guest's kind wants it. */
enum vm_file_role {
    FILE_GUEST,
    FILE_INITRD,
    FILE_MODULE,
    FILE_SYMBOLS,
    FILE_FLOPPY,
    FILE_DISK,
    FILE_KERNEL,
    FILE_ROM,
    FILE_PLAIN
};

struct vm_file {
    enum vm_file_role role;
    unsigned module;     /* its number in the list of boot modules, from 0 */
    char name[32];       /* file name without its path; "" when not known */
    const char *cmdline; /* inside the module's own command line; never NULL */
};

struct vm_config {
    char name[VM_NAME_MAX];
    bool refused;    /* something was wrong: an error says what; guest_build() will not build it */
    u8 kind;         /* enum image_kind */
    u8 unrestricted; /* enum vm_unrestricted */
    u8 real_mode;    /* enum vm_real_mode */
    u8 mode;         /* enum vm_mode */
    u8 ud;           /* enum vm_ud */
    u8 vmware_ports; /* 1: on */
    u32 vcpus;
    u64 mem;                           /* bytes */
    u64 load, entry;                   /* flat only; CONFIG_UNSET when not given */
    struct vm_file file[VM_MAX_FILES]; /* [0] is the guest itself */
    unsigned file_count;
};
#define CONFIG_UNSET (~0ull)

enum hv_console {
    CONSOLE_AUTO,
    CONSOLE_COM1,
    CONSOLE_COM2,
    CONSOLE_SPCR,
    CONSOLE_PCI,
    CONSOLE_SCREEN,
    CONSOLE_NONE
};
enum hv_gdb { GDB_OFF, GDB_COM2, GDB_WAIT };
enum hv_on_end { ON_END_PROMPT, ON_END_POWEROFF, ON_END_RESET };

struct hv_config {
    u8 console; /* enum hv_console */
    u8 log;     /* enum log_level */
    u8 on_end;  /* enum hv_on_end */
    u8 gdb;     /* enum hv_gdb */
    u64 tsc_hz; /* 0: not given */
};

#define CONFIG_NO_MODULE (~0u) /* the error is in the hypervisor's own command line */

struct config_error {
    unsigned module;
    struct option_error at;
};

struct config {
    struct hv_config hv;
    struct vm_config defaults; /* of which the options are used */
    struct vm_config vm[CONFIG_MAX_VMS];
    unsigned vm_count;
    unsigned script[CONFIG_MAX_SCRIPTS]; /* module numbers */
    unsigned script_count;
    struct config_error error[CONFIG_MAX_ERRORS];
    unsigned error_count; /* may be more than are kept in error[] */
};

/*
 * Parse everything.  modules[].cmdline is the raw command line (NULL: empty), data, size and name
 * are not looked at.  The strings must outlive *c.  Errors are collected in c->error.
 */
void config_parse(struct config *c, const char *cmdline, const struct image *modules,
                  unsigned count);

/* "module 2, column 14, "mem=12Q": not a size ...": one line for the log. */
void config_error_text(const struct config_error *e, char *buf, size_t cap);

/* The machine of that name, or NULL. */
struct vm_config *config_find(struct config *c, const char *name);
