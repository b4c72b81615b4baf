/* SPDX-License-Identifier: MIT
 *
 * What a Multiboot 2 loader tells (specification 2.0, section 3.6): a list of tags, each checked to
 * lie inside the whole before it is read.
 */
#include "boot/multiboot.h"
#include "lib/log.h"
#include "lib/string.h"

#define INFO_SIZE_MAX (1 * MiB)
#define INFO_HEADER   8u

struct parse {
    struct boot_info *out;
    boot_map_fn map;
    u64 at; /* physical address of the tag */
    u32 mem_lower, mem_upper;
};

static void tag_string(struct parse *p, const struct multiboot_tag *tag)
{
    bool cmdline = tag->type == MULTIBOOT_TAG_TYPE_CMDLINE;

    boot_copy_string(cmdline ? p->out->cmdline : p->out->loader,
                     cmdline ? sizeof(p->out->cmdline) : sizeof(p->out->loader),
                     p->at + sizeof(*tag), tag->size - sizeof(*tag), p->map,
                     cmdline ? "the command line" : "the loader's name");
}

static void tag_module(struct parse *p, const struct multiboot_tag *tag)
{
    const struct multiboot_tag_module *t = (const void *)tag;
    struct boot_module *m = boot_add_module(p->out, t->mod_start, t->mod_end, p->map);

    if (m)
        boot_copy_string(m->cmdline, sizeof(m->cmdline), p->at + sizeof(*t), tag->size - sizeof(*t),
                         p->map, "a module's command line");
}

static void tag_meminfo(struct parse *p, const struct multiboot_tag *tag)
{
    const struct multiboot_tag_basic_meminfo *t = (const void *)tag;

    p->mem_lower = t->mem_lower;
    p->mem_upper = t->mem_upper;
}

static void tag_mmap(struct parse *p, const struct multiboot_tag *tag)
{
    const struct multiboot_tag_mmap *t = (const void *)tag;
    struct multiboot2_mmap_entry e;

    if (t->entry_size < sizeof(e)) {
        log_warn("boot", "memory map with entries of %u bytes; ignored", t->entry_size);
        return;
    }
    for (u32 at = sizeof(*t); tag->size - at >= t->entry_size; at += t->entry_size) {
        memcpy(&e, (const u8 *)tag + at, sizeof(e));
        memmap_add(&p->out->memmap, e.addr, e.len, e.type);
    }
}

static void tag_framebuffer(struct parse *p, const struct multiboot_tag *tag)
{
    const struct multiboot_tag_framebuffer *t = (const void *)tag;

    boot_take_framebuffer(&p->out->framebuffer, tag + 1,
                          tag->size >= sizeof(*t) ? t->framebuffer_color : NULL);
}

static void tag_efi(struct parse *p, const struct multiboot_tag *) { p->out->efi = true; }

/* The old tag (ACPI 1.0) must not replace the new one. */
static void tag_rsdp(struct parse *p, const struct multiboot_tag *tag)
{
    u32 size = tag->size - (u32)sizeof(*tag);

    if (size > sizeof(p->out->rsdp_copy))
        size = sizeof(p->out->rsdp_copy);
    if (size < p->out->rsdp_copy_size)
        return;
    memcpy(p->out->rsdp_copy, (const u8 *)tag + sizeof(*tag), size);
    p->out->rsdp_copy_size = size;
}

static const struct {
    u32 type, least; /* size in bytes */
    void (*take)(struct parse *p, const struct multiboot_tag *tag);
} tag_kinds[] = {
    {MULTIBOOT_TAG_TYPE_CMDLINE, sizeof(struct multiboot_tag), tag_string},
    {MULTIBOOT_TAG_TYPE_BOOT_LOADER_NAME, sizeof(struct multiboot_tag), tag_string},
    {MULTIBOOT_TAG_TYPE_MODULE, sizeof(struct multiboot_tag_module), tag_module},
    {MULTIBOOT_TAG_TYPE_BASIC_MEMINFO, sizeof(struct multiboot_tag_basic_meminfo), tag_meminfo},
    {MULTIBOOT_TAG_TYPE_MMAP, sizeof(struct multiboot_tag_mmap), tag_mmap},
    {MULTIBOOT_TAG_TYPE_FRAMEBUFFER, offsetof(struct multiboot_tag_framebuffer, framebuffer_color),
     tag_framebuffer},
    {MULTIBOOT_TAG_TYPE_EFI32, sizeof(struct multiboot_tag), tag_efi},
    {MULTIBOOT_TAG_TYPE_EFI64, sizeof(struct multiboot_tag), tag_efi},
    {MULTIBOOT_TAG_TYPE_ACPI_OLD, sizeof(struct multiboot_tag) + 20, tag_rsdp},
    {MULTIBOOT_TAG_TYPE_ACPI_NEW, sizeof(struct multiboot_tag) + 36, tag_rsdp},
};

static void take_tag(struct parse *p, const struct multiboot_tag *tag)
{
    for (unsigned k = 0; k < ARRAY_SIZE(tag_kinds); k++) {
        if (tag_kinds[k].type != tag->type)
            continue;
        if (tag->size >= tag_kinds[k].least)
            tag_kinds[k].take(p, tag);
        else
            log_warn("boot", "Multiboot tag %u of %u bytes is too short; ignored", tag->type,
                     tag->size);
    }
}

static enum status walk_tags(struct parse *p, const u8 *info, u64 base, u32 total)
{
    for (u32 at = INFO_HEADER; total - at >= sizeof(struct multiboot_tag);) {
        const struct multiboot_tag *tag = (const void *)(info + at);

        if (tag->type == MULTIBOOT_TAG_TYPE_END)
            return STATUS_OK;
        if (tag->size < sizeof(*tag) || tag->size > total - at)
            return STATUS_EFORMAT;
        p->at = base + at;
        take_tag(p, tag);
        u32 step = (u32)align_up(tag->size, MULTIBOOT_TAG_ALIGN);
        if (step > total - at)
            break;
        at += step;
    }
    return STATUS_ETRUNC;
}

enum status multiboot2_parse(struct boot_info *out, u64 at, boot_map_fn map)
{
    struct parse p = {.out = out, .map = map};
    const u32 *header = map(at, INFO_HEADER);
    const u8 *info = NULL;

    *out = (struct boot_info){.protocol = "Multiboot 2"};
    if (header && is_aligned(at, MULTIBOOT_TAG_ALIGN) && header[0] >= INFO_HEADER &&
        header[0] <= INFO_SIZE_MAX)
        info = map(at, header[0]);
    if (!info) {
        log_error("boot", "the loader's information at %#lx cannot be: %u bytes", at,
                  header ? header[0] : 0);
        return STATUS_EFORMAT;
    }
    enum status s = walk_tags(&p, info, at, header[0]);
    if (s != STATUS_OK)
        log_warn("boot", "the loader's information is %s; what came before that is used",
                 status_text(s));
    return boot_check_memory(out, p.mem_lower, p.mem_upper);
}
