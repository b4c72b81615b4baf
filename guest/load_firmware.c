/* SPDX-License-Identifier: MIT
 *
 * Firmware guests: the image is a ROM that ends at 4 GiB; its last 128 KiB are copied below 1 MiB,
 * where the first far jump of a BIOS goes.  There it is RAM: a BIOS that finds the host bridge
 * unlocks it (PAM), one that does not can write its variables all the same.  What a BIOS asks the
 * board is in guest/firmware.c.
 */
#include "guest/address.h"
#include "guest/load.h"

/* Sizes of floppy disks that a PC's BIOS knows by themselves, KiB. */
static const u16 floppy_kib[] = {160, 180, 320, 360, 720, 1200, 1440, 2880};

static bool is_floppy(u64 size)
{
    for (unsigned i = 0; i < ARRAY_SIZE(floppy_kib); i++)
        if (size == floppy_kib[i] * KiB)
            return true;
    return false;
}

/* At most one of each kind. */
static enum status check_files(const struct load *l)
{
    bool has[FILE_PLAIN + 1] = {false};

    for (unsigned i = 0; i < l->file_count; i++) {
        enum vm_file_role role = l->role[i];

        if (role == FILE_MODULE || role == FILE_PLAIN || has[role])
            return load_fail(l->error, STATUS_ENOTSUP,
                             "a firmware guest takes one floppy=, rom=, kernel= and initrd=: leave "
                             "%s out",
                             l->file[i].name);
        if (role == FILE_FLOPPY && !is_floppy(l->file[i].size))
            return load_fail(l->error, STATUS_EFORMAT,
                             "%s has %lu bytes, as no floppy disk has: make it 1474560 (1440 KiB)",
                             l->file[i].name, l->file[i].size);
        has[role] = true;
    }
    if ((has[FILE_KERNEL] && !has[FILE_ROM]) || (has[FILE_INITRD] && !has[FILE_KERNEL]))
        return load_fail(
            l->error, STATUS_ENOTSUP,
            "an initrd= is for a kernel=, and that for a rom= (linuxboot_dma.bin) that "
            "loads it: add it");
    return STATUS_OK;
}

enum status load_firmware(struct load *l)
{
    const u8 *data = l->image.data;
    u64 size = l->image.size, low = size < FIRMWARE_LOW ? size : FIRMWARE_LOW;

    if (size < FIRMWARE_MIN || size > FIRMWARE_MAX || !is_aligned(size, FIRMWARE_MIN))
        return load_fail(l->error, STATUS_EFORMAT,
                         "%lu bytes are no firmware image: it has whole 64 KiB, up to 16 MiB",
                         size);
    if (l->image.cmdline[0])
        return load_fail(l->error, STATUS_ENOTSUP,
                         "firmware takes no command line: leave out what follows --");
    TRY(check_files(l));
    TRY(load_write(l, ADDR_HIGH - size, data, size));
    x86_state_reset(l->state);
    return load_write(l, ADDR_EXTENDED - low, data + size - low, low);
}
