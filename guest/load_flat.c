/* SPDX-License-Identifier: MIT
 *
 * Flat guests: raw bytes, put where the user says and entered in the CPU mode the user says; the
 * default is a PC's boot sector.  There is no firmware behind them.  RSI holds the address of the
 * command line, or 0.
 */
#include "guest/address.h"
#include "guest/load.h"

#define REAL_MODE_END 0x100000ull /* FFFFH:000FH and below, without the A20 wrap */

static enum status check_entry(const struct load *l, u64 load, u64 entry, enum vm_mode mode)
{
    if (entry < load || entry - load >= l->image.size)
        return load_fail(l->error, STATUS_EINVAL,
                         "entry=%#lx is outside the image (%#lx bytes at %#lx): mend entry= "
                         "or load=",
                         entry, l->image.size, load);
    if (mode == VM_MODE_16 && entry >= REAL_MODE_END)
        return load_fail(l->error, STATUS_EINVAL,
                         "entry=%#lx cannot be reached in 16-bit mode: load it below 1 MiB, or "
                         "say mode=32 or mode=64",
                         entry);
    if (mode != VM_MODE_16 && entry >= ADDR_HIGH)
        return load_fail(l->error, STATUS_EINVAL,
                         "entry=%#lx is above 4 GiB, which is not mapped at entry: load it lower",
                         entry);
    if (mode == VM_MODE_64 && !l->long_mode)
        return load_fail(l->error, STATUS_ENOTSUP,
                         "mode=64, but this virtual CPU has no 64-bit mode: say mode=32");
    return STATUS_OK;
}

enum status load_flat(struct load *l)
{
    const struct vm_config *vm = l->vm;
    enum vm_mode mode = vm->mode == VM_MODE_AUTO ? VM_MODE_16 : vm->mode;
    u64 load = vm->load == CONFIG_UNSET ? ADDR_FLAT_LOAD : vm->load;
    u64 entry = vm->entry == CONFIG_UNSET ? load : vm->entry;
    gpa_t cmdline = GPA(0);

    if (l->file_count != 0)
        return load_fail(l->error, STATUS_ENOTSUP,
                         "a flat guest takes no initrd and no modules: leave %s out",
                         l->file[0].name);
    if (l->image.size == 0)
        return load_fail(l->error, STATUS_ETRUNC, "the image is empty: check the file");
    TRY(check_entry(l, load, entry, mode));
    TRY(layout_claim(&l->layout, load, l->image.size, "the image", l->error));
    TRY(load_write(l, load, l->image.data, l->image.size));
    if (l->image.cmdline[0])
        TRY(load_string(l, NULL, l->image.cmdline, mode == VM_MODE_16 ? 64 * KiB : ADDR_HIGH,
                        "the command line", &cmdline));
    TRY(load_enter(l, mode, entry));
    l->state->gpr[RSI] = cmdline.v;
    return STATUS_OK;
}
