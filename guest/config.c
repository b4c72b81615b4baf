/* SPDX-License-Identifier: MIT
 *
 * Command lines into virtual machines.  Modules are classified first, then the guests are read,
 * then what belongs to them, so that their order does not matter.
 */
#include "guest/config.h"

#include "guest/layout.h"
#include "lib/string.h"

#define DEFAULT_MEM (256 * MiB)

static const char *const kinds[] = {
#define X(id, text) (text),
    IMAGE_KIND_LIST(X)
#undef X
        NULL};
static const char *const modes[] = {"auto", "16", "32", "64", NULL};
static const char *const unrestricted[] = {"auto", "on", "off", NULL};
static const char *const real_modes[] = {"auto", "native", "vm86", "emulate", NULL};
static const char *const consoles[] = {"auto", "com1",   "com2", "spcr",
                                       "pci",  "screen", "none", NULL};
static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const uds[] = {"guest", "forced", "emulate", NULL};
static const char *const off_on[] = {"off", "on", NULL};
static const char *const gdbs[] = {"off", "com2", "wait", NULL};
static const char *const on_ends[] = {"prompt", "poweroff", "reset", NULL};

#define CHOICE(name, type, member, list, help)                                \
    {                                                                         \
        name, OPTION_CHOICE, OPTION_MEMBER(type, member), 0, 0, 0, list, help \
    }
#define NUMBER(name, kind, type, member, min, max, align, help)              \
    {                                                                        \
        name, kind, OPTION_MEMBER(type, member), min, max, align, NULL, help \
    }

static const struct option hv_options[] = {
    CHOICE("console", struct hv_config, console, consoles,
           "say console=auto, com1, com2, spcr, pci, screen or none: where log and prompt go"),
    CHOICE("log", struct hv_config, log, log_levels,
           "say log=error, warn, info or debug: the most detailed lines shown"),
    CHOICE("gdb", struct hv_config, gdb, gdbs,
           "say gdb=off, com2 or wait: GDB on COM2, and whether guests wait for it"),
    CHOICE("on-end", struct hv_config, on_end, on_ends,
           "say on-end=prompt, poweroff or reset: what follows when the last guest has ended"),
    NUMBER("tsc-hz", OPTION_NUMBER, struct hv_config, tsc_hz, 1000000, 100000000000ull, 0,
           "give the time-stamp counter's frequency in Hz, for example tsc-hz=2000000000"),
};

/* The first VM_DEFAULTS of them may also stand on the hypervisor's command line. */
#define VM_DEFAULTS 6
static const struct option vm_options[] = {
    NUMBER("mem", OPTION_SIZE, struct vm_config, mem, LAYOUT_MEM_MIN, LAYOUT_MEM_MAX, PAGE_SIZE,
           "give whole 4-KiB pages from 1M to 1024G, for example mem=256M"),
    NUMBER("vcpus", OPTION_NUMBER, struct vm_config, vcpus, 1, CONFIG_MAX_VCPUS, 0,
           "give 1 to 8, for example vcpus=2"),
    CHOICE("unrestricted", struct vm_config, unrestricted, unrestricted,
           "say unrestricted=auto, on or off"),
    CHOICE("real-mode", struct vm_config, real_mode, real_modes,
           "say real-mode=auto, native, vm86 or emulate"),
    CHOICE("ud", struct vm_config, ud, uds,
           "say ud=guest, forced or emulate: what becomes of instructions the CPU does not know"),
    CHOICE("vmware-ports", struct vm_config, vmware_ports, off_on,
           "say vmware-ports=on or off: ports 0x5658 and 0x5659 for programs at any level"),
    CHOICE("kind", struct vm_config, kind, kinds,
           "say kind=auto, flat, multiboot, linux or firmware"),
    CHOICE("mode", struct vm_config, mode, modes, "say mode=auto, 16, 32 or 64"),
    NUMBER("load", OPTION_SIZE, struct vm_config, load, 0, LAYOUT_MEM_MAX, 0,
           "give an address in the guest's memory, for example load=0x7c00"),
    NUMBER("entry", OPTION_SIZE, struct vm_config, entry, 0, LAYOUT_MEM_MAX, 0,
           "give an address in the guest's memory, for example entry=1M"),
};

/* A boot module's line, classified. */
enum role {
    ROLE_GUEST,
    ROLE_INITRD,
    ROLE_MODULE,
    ROLE_SYMBOLS,
    ROLE_FLOPPY,
    ROLE_DISK,
    ROLE_KERNEL,
    ROLE_ROM,
    ROLE_SCRIPT,
    ROLE_NONE
};

static const struct {
    const char *word; /* up to and including its "=" */
    enum vm_file_role file;
} roles[] = {
    [ROLE_GUEST] = {"guest=", FILE_GUEST},    [ROLE_INITRD] = {"initrd=", FILE_INITRD},
    [ROLE_MODULE] = {"module=", FILE_MODULE}, [ROLE_SYMBOLS] = {"symbols=", FILE_SYMBOLS},
    [ROLE_FLOPPY] = {"floppy=", FILE_FLOPPY}, [ROLE_DISK] = {"disk=", FILE_DISK},
    [ROLE_KERNEL] = {"kernel=", FILE_KERNEL}, [ROLE_ROM] = {"rom=", FILE_ROM},
    [ROLE_SCRIPT] = {"script", FILE_PLAIN},   [ROLE_NONE] = {"", FILE_PLAIN},
};

struct line {
    struct config *config;
    struct option_line words; /* behind the role word, or at the guest's own text */
    struct option_error at;   /* the role word */
    enum role role;
    struct vm_file file;
    char name[sizeof(((struct option_line *)0)->word)]; /* behind the role word's "=" */
};

static void report(struct config *c, unsigned module, const struct option_error *e)
{
    if (c->error_count < CONFIG_MAX_ERRORS)
        c->error[c->error_count] = (struct config_error){module, *e};
    c->error_count++;
}

/* Report a line's role word. */
static void refuse(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void refuse(struct line *l, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    format_vbuf(l->at.why, sizeof(l->at.why), fmt, ap);
    va_end(ap);
    report(l->config, l->file.module, &l->at);
}

static enum role find_role(const char *word, char *name, size_t cap)
{
    for (enum role r = ROLE_GUEST; r < ROLE_SCRIPT; r++) {
        if (str_starts(word, roles[r].word)) {
            (void)str_copy(name, cap, word + strlen(roles[r].word));
            return r;
        }
    }
    return strcmp(word, roles[ROLE_SCRIPT].word) == 0 ? ROLE_SCRIPT : ROLE_NONE;
}

/* The last component of a path, cut to the room there is. */
static void set_file_name(struct vm_file *f, const char *path)
{
    const char *base = path;

    for (const char *p = path; *p; p++)
        if (*p == '/')
            base = p + 1;
    (void)str_copy(f->name, sizeof(f->name), base);
}

/* Find the role word: the first word, the second, or for guest= any in front of "--". */
static bool find_role_word(struct line *l, char *file, size_t cap)
{
    const char *options = l->words.text;

    for (unsigned n = 0; option_next(&l->words, &l->at) == OPTION_STEP_WORD; n++) {
        enum role role = find_role(l->words.word, l->name, sizeof(l->name));

        if (role != ROLE_NONE && (n < 2 || role == ROLE_GUEST)) {
            l->role = role;
            if (role == ROLE_GUEST) /* options may stand in front of it */
                l->words.cursor = options;
            return true;
        }
        if (strcmp(l->words.word, "--") == 0)
            return false;
        if (n == 0 && !strchr(l->words.word, '=')) {
            (void)str_copy(file, cap, l->words.word);
            options = l->words.cursor;
        }
    }
    return false;
}

/* What a module's line says it is; a line without a role word is plain. */
static void classify(struct line *l, struct config *c, const char *text, unsigned module)
{
    char file[sizeof(l->words.word)] = "";

    *l = (struct line){.config = c, .role = ROLE_NONE, .file.module = module};
    l->words.text = l->words.cursor = text ? text : "";
    l->file.cmdline = "";
    if (find_role_word(l, file, sizeof(file))) {
        set_file_name(&l->file, file);
    } else {
        l->words.cursor = l->words.text;
        (void)option_next(&l->words, &l->at); /* errors name the first word */
        l->words.cursor = l->words.text;
    }
    l->file.role = roles[l->role].file;
}

/* Words in front of the guest's own command line are options (if any are allowed); true: all good.
 */
static bool parse_options(struct line *l, const struct option_table *table, unsigned tables,
                          bool cmdline)
{
    struct option_error e;
    enum option_step step;
    bool good = true;
    u64 seen = 0;

    while ((step = option_next(&l->words, &e)) == OPTION_STEP_WORD) {
        if (e.column == l->at.column)
            continue; /* the role word itself */
        if (cmdline && strcmp(l->words.word, "--") == 0) {
            const char *p = l->words.cursor;

            l->file.cmdline = *p ? p + 1 : p;
            return good;
        }
        if (tables == 0)
            format_buf(e.why, sizeof(e.why), "nothing may follow here: remove it%s",
                       cmdline ? ", or put -- in front" : "");
        else if (option_set(table, tables, l->words.word, &seen, &e) == STATUS_OK)
            continue;
        report(l->config, l->file.module, &e);
        good = false;
    }
    if (step == OPTION_STEP_BAD)
        report(l->config, l->file.module, &e);
    return good && step == OPTION_STEP_END;
}

static bool is_name(const char *s)
{
    if (*s == 0 || strlen(s) >= VM_NAME_MAX)
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              *s == '.' || *s == '_' || *s == '-'))
            return false;
    return true;
}

struct vm_config *config_find(struct config *c, const char *name)
{
    for (unsigned i = 0; i < c->vm_count; i++)
        if (strcmp(c->vm[i].name, name) == 0)
            return &c->vm[i];
    return NULL;
}

/* A new machine with the defaults; NULL when it was refused. */
static struct vm_config *add_vm(struct line *l, const char *name)
{
    struct config *c = l->config;

    if (!is_name(name)) {
        refuse(l, "not a name: use 1 to %u letters, digits, dots, _ or -", VM_NAME_MAX - 1);
        return NULL;
    }
    if (config_find(c, name)) {
        refuse(l, "there is a guest called %s already: give this one another name", name);
        return NULL;
    }
    if (c->vm_count == CONFIG_MAX_VMS) {
        refuse(l, "more than %u guests: leave some out", CONFIG_MAX_VMS);
        return NULL;
    }
    struct vm_config *vm = &c->vm[c->vm_count++];
    *vm = c->defaults;
    (void)str_copy(vm->name, sizeof(vm->name), name);
    return vm;
}

/* Options that are each fine but cannot be meant together. */
static const char *find_contradiction(const struct vm_config *vm)
{
    bool address = vm->load != CONFIG_UNSET || vm->entry != CONFIG_UNSET;

    if (address && vm->kind != IMAGE_FLAT)
        return "load= and entry= are for kind=flat: say kind=flat or leave them out";
    if (vm->kind == IMAGE_FIRMWARE && vm->mode != VM_MODE_AUTO)
        return "firmware starts at the reset vector, in real mode: leave mode= out";
    if (vm->kind == IMAGE_MULTIBOOT && vm->mode != VM_MODE_AUTO && vm->mode != VM_MODE_32)
        return "Multiboot kernels start in 32-bit mode: leave mode= out";
    if (vm->kind == IMAGE_LINUX && vm->mode == VM_MODE_16)
        return "a Linux kernel's 16-bit entry needs a BIOS: say mode=32, mode=64 or leave it out";
    if (vm->unrestricted == UNRESTRICTED_OFF && vm->real_mode == REAL_MODE_NATIVE)
        return "real-mode=native needs unrestricted guest: say unrestricted=on, or real-mode=vm86 "
               "or emulate";
    return NULL;
}

static void parse_guest(struct line *l)
{
    struct vm_config *vm = add_vm(l, l->name);
    struct option_table table = {vm_options, ARRAY_SIZE(vm_options), vm};

    if (!vm)
        return;
    if (!parse_options(l, &table, 1, true))
        vm->refused = true;
    const char *contradiction = find_contradiction(vm);
    if (contradiction) {
        vm->refused = true;
        refuse(l, "%s", contradiction);
    }
    vm->file[vm->file_count++] = l->file;
}

/* A plain list's guest: the whole line is its own, but for a file name with a path. */
static void parse_plain_guest(struct line *l)
{
    struct vm_config *vm = add_vm(l, "guest");
    char *equals, *slash;

    if (!vm)
        return;
    l->file.cmdline = l->words.text;
    if (option_next(&l->words, &l->at) == OPTION_STEP_WORD) {
        slash = strchr(l->words.word, '/');
        equals = strchr(l->words.word, '=');
        if (slash && (!equals || slash < equals)) {
            set_file_name(&l->file, l->words.word);
            l->file.cmdline = l->words.cursor + (*l->words.cursor != 0);
        }
    }
    l->file.role = FILE_GUEST;
    vm->file[vm->file_count++] = l->file;
}

static void add_file(struct line *l, struct vm_config *vm)
{
    bool single = l->role == ROLE_SYMBOLS || l->role == ROLE_DISK;

    for (unsigned i = 0; single && i < vm->file_count; i++) {
        if (vm->file[i].role == l->file.role) {
            refuse(l, "guest %s has a %s already: leave one out", vm->name,
                   l->role == ROLE_DISK ? "disk" : "symbol table");
            vm->refused |= l->role == ROLE_DISK;
            return;
        }
    }
    if (vm->file_count == VM_MAX_FILES) {
        vm->refused = true;
        refuse(l, "guest %s has more than %u files: join or leave out some", vm->name,
               VM_MAX_FILES - 1);
        return;
    }
    vm->file[vm->file_count++] = l->file;
}

/* initrd=, module=, symbols=, floppy=, disk=, kernel=, rom= */
static void parse_file(struct line *l)
{
    struct vm_config *vm = config_find(l->config, l->name);
    bool good = parse_options(l, NULL, 0, l->role == ROLE_MODULE || l->role == ROLE_KERNEL);

    if (!vm)
        refuse(l, "there is no guest called \"%s\": add a module with guest=%s, or mend the name",
               l->name, l->name);
    else if (good)
        add_file(l, vm);
    else if (l->role != ROLE_SYMBOLS)
        vm->refused = true;
}

static void parse_script(struct line *l)
{
    struct config *c = l->config;

    if (!parse_options(l, NULL, 0, false))
        return;
    if (c->script_count == CONFIG_MAX_SCRIPTS)
        refuse(l, "more than %u scripts: join or leave out some", CONFIG_MAX_SCRIPTS);
    else
        c->script[c->script_count++] = l->file.module;
}

/* A module without a role word belongs to a plain list's guest, or nobody knows what it is. */
static void parse_plain_file(struct line *l, bool plain_list)
{
    if (plain_list && l->config->vm_count != 0) {
        l->file.cmdline = l->words.text;
        add_file(l, &l->config->vm[0]);
        return;
    }
    refuse(l, "this module does not say what it is: start it with guest=NAME, initrd=NAME, "
              "module=NAME, symbols=NAME, floppy=NAME, disk=NAME, kernel=NAME, rom=NAME or script");
}

static void report_hv(void *ctx, const struct option_error *e) { report(ctx, CONFIG_NO_MODULE, e); }

static void parse_own(struct config *c, const char *cmdline)
{
    const struct option_table tables[] = {
        {hv_options, ARRAY_SIZE(hv_options), &c->hv},
        {vm_options, VM_DEFAULTS, &c->defaults},
    };

    c->hv.log = LOG_INFO;
    c->defaults.mem = DEFAULT_MEM;
    c->defaults.vcpus = 1;
    c->defaults.load = c->defaults.entry = CONFIG_UNSET;
    (void)option_parse(tables, ARRAY_SIZE(tables), cmdline, report_hv, c);
}

static void parse_other(struct line *l, bool plain_list)
{
    switch (l->role) {
    case ROLE_GUEST: return;
    case ROLE_SCRIPT: parse_script(l); return;
    case ROLE_NONE: parse_plain_file(l, plain_list); return;
    default: parse_file(l);
    }
}

void config_parse(struct config *c, const char *cmdline, const struct image *modules,
                  unsigned count)
{
    bool plain_list = true;
    unsigned plain_guest = CONFIG_NO_MODULE;
    struct line l;

    memset(c, 0, sizeof(*c));
    parse_own(c, cmdline ? cmdline : "");
    for (unsigned i = 0; i < count; i++) {
        classify(&l, c, modules[i].cmdline, i);
        if (l.role == ROLE_GUEST) {
            plain_list = false;
            parse_guest(&l);
        }
    }
    for (unsigned i = 0; plain_list && i < count && plain_guest == CONFIG_NO_MODULE; i++) {
        classify(&l, c, modules[i].cmdline, i);
        if (l.role == ROLE_NONE) {
            plain_guest = i;
            parse_plain_guest(&l);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        classify(&l, c, modules[i].cmdline, i);
        if (i != plain_guest)
            parse_other(&l, plain_list);
    }
}

void config_error_text(const struct config_error *e, char *buf, size_t cap)
{
    size_t n = e->module == CONFIG_NO_MODULE
                   ? format_buf(buf, cap, "the hypervisor's command line, ")
                   : format_buf(buf, cap, "boot module %u, ", e->module + 1);

    if (n < cap)
        format_buf(buf + n, cap - n, "column %u, \"%s\": %s", e->at.column, e->at.word, e->at.why);
}
