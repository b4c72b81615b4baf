/* SPDX-License-Identifier: MIT
 *
 * Files of the volume that the application was started from (UEFI Specification 2.10, 13.4, 13.5).
 */
#include "boot/uefi/uefi.h"
#include "lib/bits.h"

/* A read of this much at a time: some firmware's drivers fail on larger ones. */
#define CHUNK (1 * MiB)

void *uefi_allocate(const struct uefi *u, u64 size, EFI_MEMORY_TYPE type)
{
    EFI_PHYSICAL_ADDRESS at = 4 * GiB - 1;
    EFI_STATUS s = u->boot->AllocatePages(AllocateMaxAddress, type,
                                          align_up(size, PAGE_SIZE) / PAGE_SIZE, &at);

    return EFI_ERROR(s) ? NULL : (void *)at;
}

bool volume_open(struct uefi *u)
{
    EFI_GUID loaded_image = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_GUID file_system = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *self;
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume;
    void *found;

    EFI_STATUS s = u->boot->HandleProtocol(u->image, &loaded_image, &found);
    if (!EFI_ERROR(s)) {
        self = found;
        s = u->boot->HandleProtocol(self->DeviceHandle, &file_system, &found);
    }
    if (!EFI_ERROR(s)) {
        volume = found;
        s = volume->OpenVolume(volume, &u->root);
    }
    if (EFI_ERROR(s))
        log_error("uefi",
                  "the volume that this program was started from cannot be read (UEFI error %u): "
                  "start it from a FAT volume",
                  (unsigned)(s & 0xff));
    return !EFI_ERROR(s);
}

static EFI_FILE_PROTOCOL *open_file(const struct uefi *u, const char *path, EFI_STATUS *status)
{
    EFI_FILE_PROTOCOL *file = NULL;
    CHAR16 name[CFG_PATH_MAX];
    unsigned n = 0;

    for (; path[n] && n + 1 < CFG_PATH_MAX; n++)
        name[n] = (CHAR16)(path[n] == '/' ? '\\' : path[n]);
    name[n] = 0;
    *status = u->root->Open(u->root, &file, name, EFI_FILE_MODE_READ, 0);
    return EFI_ERROR(*status) ? NULL : file;
}

/* Its size, 0 for a folder or where the firmware does not tell. */
static u64 file_size(EFI_FILE_PROTOCOL *file)
{
    EFI_GUID info_id = EFI_FILE_INFO_ID;
    u64 buffer[(sizeof(EFI_FILE_INFO) + 2 * CFG_PATH_MAX * sizeof(CHAR16)) / 8];
    const EFI_FILE_INFO *info = (void *)buffer;
    UINTN size = sizeof(buffer);

    if (EFI_ERROR(file->GetInfo(file, &info_id, &size, buffer)) ||
        info->Attribute & EFI_FILE_DIRECTORY)
        return 0;
    return info->FileSize;
}

static bool read_all(EFI_FILE_PROTOCOL *file, u8 *to, u64 size)
{
    for (u64 done = 0; done < size;) {
        UINTN part = size - done < CHUNK ? size - done : CHUNK;
        if (EFI_ERROR(file->Read(file, &part, to + done)) || part == 0)
            return false;
        done += part;
    }
    to[size] = 0;
    return true;
}

void *volume_read(const struct uefi *u, const char *path, u64 limit, u64 *size, char *why,
                  size_t cap)
{
    EFI_STATUS status;
    EFI_FILE_PROTOCOL *file = open_file(u, path, &status);
    u8 *data = NULL;

    if (!file) {
        format_buf(why, cap,
                   status == EFI_NOT_FOUND
                       ? "%s: no such file on this volume: copy it there, or mend the name"
                       : "%s: cannot be opened: check the volume",
                   path);
        return NULL;
    }
    *size = file_size(file);
    if (*size == 0)
        format_buf(why, cap, "%s: a folder or an empty file: name a file with contents", path);
    else if (*size > limit)
        format_buf(why, cap, "%s: %lu KiB are more than the %lu KiB there may be", path,
                   (*size / KiB), (limit / KiB));
    else if (!(data = uefi_allocate(u, *size + 1, EfiLoaderData)))
        format_buf(why, cap,
                   "%s: no room for its %lu KiB in memory below 4 GiB: use a smaller file", path,
                   (*size / KiB));
    else if (!read_all(file, data, *size)) {
        format_buf(why, cap, "%s: cannot be read to its end: check the volume", path);
        data = NULL;
    }
    file->Close(file);
    return data;
}
