/* SPDX-License-Identifier: MIT
 *
 * What the Multiboot parsers share: copying strings and modules with suspicion, and the options on
 * the command line.
 */
#include "boot/multiboot.h"

#include "lib/log.h"
#include "lib/parse.h"
#include "lib/string.h"

void boot_copy_string(char *dst, size_t cap, u64 at, u64 size, boot_map_fn map, const char *what)
{
    size_t n = 0;

    for (; n < size; n++) {
        const char *c = map(at + n, 1);
        if (!c || *c == 0)
            break;
        if (n + 1 == cap) {
            log_warn("boot", "%s is longer than %u characters; the rest is cut off", what,
                     (unsigned)cap - 1);
            break;
        }
        dst[n] = *c;
    }
    dst[n] = 0;
}

struct boot_module *boot_add_module(struct boot_info *out, u32 start, u32 end, boot_map_fn map)
{
    if (end <= start || !map(start, end - start)) {
        log_warn("boot", "module at %#x-%#x: an impossible range; left out", start, end);
        return NULL;
    }
    if (out->module_count == BOOT_MAX_MODULES) {
        if (out->modules_dropped++ == 0)
            log_warn("boot", "more than %u modules; the rest is left out", BOOT_MAX_MODULES);
        return NULL;
    }
    struct boot_module *m = &out->module[out->module_count++];
    m->at = HPA(start);
    m->size = end - start;
    return m;
}

enum status boot_check_memory(struct boot_info *out, u32 mem_lower, u32 mem_upper)
{
    if (out->memmap.count == 0) {
        memmap_add(&out->memmap, 0, mem_lower * KiB, MEM_USABLE);
        memmap_add(&out->memmap, MiB, mem_upper * KiB, MEM_USABLE);
    }
    if (out->memmap.count != 0)
        return STATUS_OK;
    log_error("boot", "the loader tells nothing about memory");
    return STATUS_EFORMAT;
}

_Static_assert(offsetof(struct multiboot_info, framebuffer_color) - MULTIBOOT_INFO_BASE_SIZE ==
                   offsetof(struct boot_framebuffer, colour),
               "the same fields, one behind the other");

void boot_take_framebuffer(struct boot_framebuffer *fb, const void *fields, const u8 *colours)
{
    memset(fb, 0, sizeof(*fb));
    memcpy(fb, fields, offsetof(struct boot_framebuffer, colour));
    if (fb->type == MULTIBOOT_FRAMEBUFFER_TYPE_RGB && colours)
        memcpy(fb->colour, colours, sizeof(fb->colour));
}

bool boot_option(const char *cmdline, const char *name, char *buf, size_t cap)
{
    char word[BOOT_CMDLINE_MAX];
    size_t len = strlen(name);

    while (parse_word(&cmdline, word, sizeof(word)) == STATUS_OK) {
        if (strncmp(word, name, len) != 0 || (word[len] != '=' && word[len] != 0))
            continue;
        if (!str_copy(buf, cap, word[len] ? word + len + 1 : ""))
            log_warn("boot", "option \"%s\" has a value that is too long; it is cut off", name);
        return true;
    }
    return false;
}
