/* SPDX-License-Identifier: MIT
 *
 * The UEFI application: reads \EFI\vitrine\vitrine.cfg and the files it names, leaves boot services
 * and enters the hypervisor, which it carries inside, as a Multiboot 2 loader would.  Each stage is
 * told on the firmware's console, with the time-stamp counter, so that a start that stops says
 * where.
 */
#include "boot/uefi/uefi.h"
#include "lib/string.h"

#define CONFIGURATION CFG_FOLDER "vitrine.cfg"
#define IMAGE_LOAD    0x100000u /* LOAD in linker.ld */
#define WAIT_SECONDS  30u
#define CALIBRATE_US  10000u
#define EXIT_TRIES    8
#define MAP_SPARE     16 /* descriptors that our own allocation may add */

/* What handover.asm reads. */
struct handover {
    u32 image, image_bytes, zero_bytes, info, entry, load;
};

/* At the beginning of the image (boot/entry.asm). */
struct image_head {
    u32 memory, entry;
};

extern const u8 uefi_kernel[], uefi_kernel_end[];
extern const u8 uefi_handover[], uefi_handover_end[];

static EFI_SYSTEM_TABLE *console;
static struct cfg cfg;
static struct {
    u64 start, khz; /* of the TSC */
} clock = {.khz = 1};

/* Called by gnu-efi's start-up code. */
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

static u64 tsc_now(void) { return __builtin_ia32_rdtsc(); }

static void console_write(struct sink *, const char *text, size_t len)
{
    CHAR16 wide[128];
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            wide[n++] = '\r';
        wide[n++] = (CHAR16)text[i];
        if (n + 2 >= ARRAY_SIZE(wide) || i + 1 == len) {
            wide[n] = 0;
            (void)console->ConOut->OutputString(console->ConOut, wide);
            n = 0;
        }
    }
}

static struct sink console_sink = {.write = console_write};

static void stage(const char *what) { log_info("uefi", "%s, tsc=%#lx", what, tsc_now()); }

/* Leave the reason on the screen for a while, then go back to the firmware. */
static EFI_STATUS give_up(const struct uefi *u)
{
    EFI_INPUT_KEY key;

    log_error("uefi",
              "not started, for the reason above. Press a key (or wait %u s) to go back to "
              "the firmware",
              WAIT_SECONDS);
    for (unsigned i = 0; i < WAIT_SECONDS * 10; i++) {
        if (u->system->ConIn && !EFI_ERROR(u->system->ConIn->ReadKeyStroke(u->system->ConIn, &key)))
            break;
        (void)u->boot->Stall(100000);
    }
    return EFI_LOAD_ERROR;
}

static void report_secure_boot(const struct uefi *u)
{
    EFI_GUID global = EFI_GLOBAL_VARIABLE;
    CHAR16 name[] = u"SecureBoot";
    UINTN size = 1;
    u8 on = 0;

    if (!EFI_ERROR(u->system->RuntimeServices->GetVariable(name, &global, NULL, &size, &on)) && on)
        log_info("uefi", "Secure Boot is on: the firmware has verified this program and the "
                         "hypervisor inside; configuration and guest files are not verified");
}

static bool read_configuration(const struct uefi *u)
{
    char text[400];
    u64 size;
    const char *file = volume_read(u, CONFIGURATION, CFG_SIZE_MAX, &size, text, sizeof(text));

    if (!file) {
        log_error("uefi", "%s", text);
        log_error("uefi",
                  "write a line for each guest there: FILE guest=NAME mem=SIZE -- COMMAND LINE");
        return false;
    }
    if (cfg_parse(&cfg, file, size))
        return true;
    for (unsigned i = 0; i < cfg.error_count && i < CFG_MAX_ERRORS; i++) {
        cfg_error_text(&cfg.error[i], text, sizeof(text));
        log_error("uefi", "vitrine.cfg, %s", text);
    }
    if (cfg.error_count > CFG_MAX_ERRORS)
        log_error("uefi", "%u more errors", cfg.error_count - CFG_MAX_ERRORS);
    return false;
}

static bool read_modules(const struct uefi *u, struct mbi *m)
{
    char why[300];

    for (unsigned i = 0; i < cfg.count; i++) {
        u64 size;
        const void *data = volume_read(u, cfg.path[i], 2 * GiB, &size, why, sizeof(why));
        if (!data) {
            log_error("uefi", "vitrine.cfg, line %u: %s", cfg.module[i].line, why);
            return false;
        }
        log_info("uefi", "%s: %lu KiB", cfg.path[i], (size / KiB));
        mbi_add_module(m, data, size, cfg.module[i].cmdline);
    }
    return true;
}

static u64 now_us(void) { return (tsc_now() - clock.start) * 1000 / clock.khz; }

/* By the firmware's own timer, which is there also where there is neither PIT nor CPUID 15H. */
static void start_clock(const struct uefi *u)
{
    clock.start = tsc_now();
    (void)u->boot->Stall(CALIBRATE_US);
    clock.khz = (tsc_now() - clock.start) * 1000 / CALIBRATE_US;
    log_set_source(now_us, NULL);
}

/* The staged image, and the code that puts it in place, below 4 GiB. */
static bool stage_image(const struct uefi *u, struct handover *h, void **code)
{
    const struct image_head *head = (const void *)uefi_kernel;
    u64 size = (u64)(uefi_kernel_end - uefi_kernel);
    u64 code_size = (u64)(uefi_handover_end - uefi_handover);
    void *image = uefi_allocate(u, size, EfiLoaderData);
    u8 *low = uefi_allocate(u, code_size + sizeof(*h), EfiLoaderCode);

    if (!image || !low)
        return false;
    memcpy(image, uefi_kernel, size);
    memcpy(low, uefi_handover, code_size);
    *h = (struct handover){.image = (u32)(u64)image,
                           .image_bytes = (u32)size,
                           .zero_bytes = head->memory - (u32)size,
                           .entry = head->entry,
                           .load = IMAGE_LOAD};
    *code = low;
    return true;
}

/* The image is linked for one place: nothing of the firmware's may have to stay there. */
static bool place_is_free(const u8 *map, UINTN size, UINTN descriptor_size)
{
    u64 bytes = ((const struct image_head *)(const void *)uefi_kernel)->memory, found = 0;

    for (UINTN at = 0; at + descriptor_size <= size; at += descriptor_size) {
        const EFI_MEMORY_DESCRIPTOR *d = (const void *)(map + at);
        u64 start = d->PhysicalStart, end = start + d->NumberOfPages * PAGE_SIZE;

        start = start < IMAGE_LOAD ? IMAGE_LOAD : start;
        end = end > IMAGE_LOAD + bytes ? IMAGE_LOAD + bytes : end;
        if (end > start && mbi_is_usable(d))
            found += end - start;
    }
    return found == bytes;
}

/* Take the memory map and leave boot services.  The map may change in between (its key tells): then
 * once more.  From the first failure on nothing but the map may be asked for. */
static bool leave_boot_services(const struct uefi *u, u8 *map, UINTN cap, UINTN *size, UINTN *each)
{
    UINTN key;
    UINT32 version;

    for (unsigned i = 0; i < EXIT_TRIES; i++) {
        *size = cap;
        if (EFI_ERROR(
                u->boot->GetMemoryMap(size, (EFI_MEMORY_DESCRIPTOR *)map, &key, each, &version)))
            return false;
        if (!EFI_ERROR(u->boot->ExitBootServices(u->image, key)))
            return true;
    }
    return false;
}

static EFI_STATUS enter(const struct uefi *u, struct mbi *m)
{
    UINTN size = 0, each = sizeof(EFI_MEMORY_DESCRIPTOR), key, cap;
    UINT32 version;
    struct handover what;
    void *code;

    (void)u->boot->GetMemoryMap(&size, NULL, &key, &each, &version);
    cap = size + MAP_SPARE * each;
    u8 *map = uefi_allocate(u, cap, EfiLoaderData);
    if (!map || !stage_image(u, &what, &code) || !mbi_has_room(m, cap / each)) {
        log_error("uefi", "not enough memory below 4 GiB");
        return give_up(u);
    }
    size = cap;
    if (EFI_ERROR(
            u->boot->GetMemoryMap(&size, (EFI_MEMORY_DESCRIPTOR *)map, &key, &each, &version)) ||
        !place_is_free(map, size, each)) {
        log_error("uefi",
                  "the firmware keeps memory at 1 MiB, where Vitrine has to be loaded: switch "
                  "off its options for diagnosis and compatibility, or update it");
        return give_up(u);
    }
    what.info = (u32)(u64)m->data;
    struct handover *h = (struct handover *)((u8 *)code + (uefi_handover_end - uefi_handover));
    *h = what;
    void (*go)(const struct handover *) = (void (*)(const struct handover *))code;
    stage("leaving boot services");
    if (!leave_boot_services(u, map, cap, &size, &each)) {
        log_error("uefi", "the firmware does not let go (ExitBootServices fails): start again");
        return give_up(u);
    }
    mbi_end(m, map, size, each);
    go(h);
    __builtin_unreachable();
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    struct uefi u = {.image = image, .system = system, .boot = system->BootServices};
    char line[BOOT_CMDLINE_MAX];
    struct mbi m;

    console = system;
    log_attach(&console_sink, LOG_INFO);
    stage("Vitrine begins");
    start_clock(&u);
    (void)u.boot->SetWatchdogTimer(0, 0, 0, NULL);
    report_secure_boot(&u);
    if (!volume_open(&u) || !read_configuration(&u))
        return give_up(&u);
    stage("configuration read");
    format_buf(line, sizeof(line), "%s tsc-hz=%lu000", cfg.own.line ? cfg.own.cmdline : "vitrine",
               clock.khz);
    if (!mbi_begin(&m, &u, line)) {
        log_error("uefi", "not enough memory below 4 GiB");
        return give_up(&u);
    }
    if (!read_modules(&u, &m))
        return give_up(&u);
    stage("files read");
    return enter(&u, &m);
}
