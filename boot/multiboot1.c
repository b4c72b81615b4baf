/* SPDX-License-Identifier: MIT
 *
 * What a Multiboot 1 loader tells (specification 0.6.96, section 3.3).  Nothing that the structure
 * points to is believed to exist.
 */
#include "boot/multiboot.h"
#include "lib/log.h"
#include "lib/string.h"

#define MODULES_SANE 1024u

static void parse_modules(struct boot_info *out, const struct multiboot_info *info, boot_map_fn map)
{
    u32 count = info->mods_count;

    if (count == 0)
        return;
    const struct multiboot_mod_list *list =
        count <= MODULES_SANE ? map(info->mods_addr, count * sizeof(*list)) : NULL;
    if (!list) {
        log_warn("boot", "a list of %u modules at %#x cannot be; there are none", count,
                 info->mods_addr);
        return;
    }
    for (u32 i = 0; i < count; i++) {
        struct boot_module *m = boot_add_module(out, list[i].mod_start, list[i].mod_end, map);
        if (m && list[i].cmdline)
            boot_copy_string(m->cmdline, sizeof(m->cmdline), list[i].cmdline, ~0u, map,
                             "a module's command line");
    }
}

static enum status parse_mmap(struct boot_info *out, u32 at, u32 length, boot_map_fn map)
{
    struct multiboot_mmap_entry e;
    const u8 *p = map(at, length);

    if (!p || length == 0)
        return STATUS_EFORMAT;
    for (u32 done = 0; length - done >= sizeof(e);) {
        memcpy(&e, p + done, sizeof(e));
        if (e.size < sizeof(e) - sizeof(e.size) || e.size > length - done - sizeof(e.size))
            return STATUS_EFORMAT;
        memmap_add(&out->memmap, e.addr, e.len, e.type);
        done += e.size + (u32)sizeof(e.size);
    }
    return STATUS_OK;
}

/* The map, of which a sound beginning is used, else the two sizes. */
static enum status parse_memory(struct boot_info *out, const struct multiboot_info *info,
                                boot_map_fn map)
{
    if ((info->flags & MULTIBOOT_INFO_MEM_MAP) &&
        parse_mmap(out, info->mmap_addr, info->mmap_length, map) != STATUS_OK)
        log_warn("boot", "the loader's memory map (%u bytes at %#x) is malformed",
                 info->mmap_length, info->mmap_addr);
    bool sizes = info->flags & MULTIBOOT_INFO_MEMORY;
    return boot_check_memory(out, sizes ? info->mem_lower : 0, sizes ? info->mem_upper : 0);
}

enum status multiboot1_parse(struct boot_info *out, u64 at, boot_map_fn map)
{
    struct multiboot_info info = {0};
    const void *p = map(at, MULTIBOOT_INFO_BASE_SIZE);

    *out = (struct boot_info){.protocol = "Multiboot 1"};
    if (!p) {
        log_error("boot", "the loader's information at %#lx cannot be read", at);
        return STATUS_EFORMAT;
    }
    memcpy(&info, p, MULTIBOOT_INFO_BASE_SIZE);
    if ((info.flags & MULTIBOOT_INFO_FRAMEBUFFER_INFO) && (p = map(at, sizeof(info))) != NULL) {
        memcpy(&info, p, sizeof(info));
        boot_take_framebuffer(&out->framebuffer, (const u8 *)&info + MULTIBOOT_INFO_BASE_SIZE,
                              info.framebuffer_color);
    }
    if (info.flags & MULTIBOOT_INFO_BOOT_LOADER_NAME)
        boot_copy_string(out->loader, sizeof(out->loader), info.boot_loader_name, ~0u, map,
                         "the loader's name");
    if (info.flags & MULTIBOOT_INFO_CMDLINE)
        boot_copy_string(out->cmdline, sizeof(out->cmdline), info.cmdline, ~0u, map,
                         "the command line");
    if (info.flags & MULTIBOOT_INFO_MODS)
        parse_modules(out, &info, map);
    return parse_memory(out, &info, map);
}
