#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a disk image from which tools/fastboot/loader.asm starts a kernel at once.

mkdisk.py -o DISK [--append TEXT] KERNEL [MODULE ...]

KERNEL is a Multiboot 1 image (ELF, 32 or 64 bits, or with load addresses in its header) or a Linux
bzImage, for which the only MODULE is the initial RAM disk. A MODULE is FILE or "FILE WORDS": the
words after the first blank become its command line (behind the file's name, as boot loaders do).
The word entry_tsc=0x0000000000000000 in TEXT gets the time-stamp counter at the kernel's entry.
"""
import argparse
import os
import struct
import sys

SECTOR = 512
PAGE = 4096
MAGIC = 0x31424656
PLAN_AT = 0x8400  # where the loader finds the plan; its strings have to end by PLAN_LIMIT
PLAN_LIMIT = 0x10000
PLAN_LBA = 3  # boot sector and two sectors of loader come before it
KIND_MULTIBOOT, KIND_LINUX = 0, 1
MULTIBOOT_MAGIC = 0x1BADB002
PRELUDE_AT = 0x10000
LINUX_PARAMS = 0x90000
LINUX_CMDLINE = 0x91000
PLAN_HEAD = "<7I"
STAMP = b"entry_tsc=0x0000000000000000"  # on a command line: the loader fills the digits in


class ImageError(Exception):
    """An image that cannot be started, and why."""
    status = 64  # EX_USAGE


def align(value, to=PAGE):
    return (value + to - 1) // to * to


class Piece:
    """Bytes that go to a physical address, and zeroes after them."""

    def __init__(self, address, data, zero=0):
        self.address, self.data, self.zero = address, data, zero

    @property
    def end(self):
        return self.address + len(self.data) + self.zero


def multiboot_header(image):
    """(offset, flags) of the Multiboot 1 header, or None; it lies in the first 8 KiB."""
    for offset in range(0, min(len(image), 8192) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<III", image, offset)
        if magic == MULTIBOOT_MAGIC and (magic + flags + checksum) & 0xFFFFFFFF == 0:
            return offset, flags
    return None


def elf_pieces(image, name):
    """(pieces, physical entry) of an ELF executable, 32 or 64 bits."""
    wide = image[4] == 2
    header, segment = ("<HHIQQQIHHH", "<IIQQQQQQ") if wide else ("<HHIIIIIHHH", "<IIIIIIII")
    _, machine, _, entry, phoff, _, _, _, phsize, phnum = struct.unpack_from(header, image, 16)
    if machine not in (3, 62):
        raise ImageError(f"{name}: an ELF file for another machine ({machine}), not x86")
    pieces, start = [], None
    for n in range(phnum):
        fields = struct.unpack_from(segment, image, phoff + n * phsize)
        if wide:
            kind, _, offset, virt, phys, filesz, memsz, _ = fields
        else:
            kind, offset, virt, phys, filesz, memsz, _, _ = fields
        if kind != 1 or memsz == 0:
            continue
        if offset + filesz > len(image):
            raise ImageError(f"{name}: truncated: segment {n} ends at byte {offset + filesz} of "
                             f"{len(image)}")
        pieces.append(Piece(phys, image[offset:offset + filesz], memsz - filesz))
        # Loaders differ in which address e_entry is; images are linked so that one reading fits.
        if virt <= entry < virt + memsz:
            start = entry - virt + phys
        elif start is None and phys <= entry < phys + memsz:
            start = entry
    if not pieces:
        raise ImageError(f"{name}: an ELF file without loadable segments")
    if start is None:
        raise ImageError(f"{name}: its entry point {entry:#x} lies in no segment")
    return pieces, start


def flat_pieces(image, offset, name):
    """(pieces, entry) of an image whose Multiboot header has the addresses (flag 16)."""
    header_addr, load, load_end, bss_end, entry = struct.unpack_from("<5I", image, offset + 12)
    first = offset - (header_addr - load)
    if first < 0 or load > header_addr:
        raise ImageError(f"{name}: the addresses in its Multiboot header do not fit the file")
    data = image[first:first + load_end - load] if load_end else image[first:]
    return [Piece(load, data, max(0, bss_end - load - len(data)))], entry


def read_module(words):
    path, _, _ = words.partition(" ")
    with open(path, "rb") as file:
        return file.read()


def plan_multiboot(image, header, name, append, modules):
    """(kind, entry, info address, pieces, bytes behind the plan's table)."""
    offset, flags = header
    if image[:4] == b"\x7fELF" and not flags & 0x10000:
        pieces, entry = elf_pieces(image, name)
    elif flags & 0x10000:
        pieces, entry = flat_pieces(image, offset, name)
    else:
        raise ImageError(f"{name}: a Multiboot header, but neither ELF nor load addresses")
    top = align(max(piece.end for piece in pieces))
    for words in modules:
        piece = Piece(top, read_module(words))
        pieces.append(piece)
        top = align(max(piece.end, piece.address + 1))

    def blob(at):
        """The information structure, module list and strings, as they lie at address `at`."""
        strings, out = b"", []
        info_size, list_size = 88, 16 * len(modules)

        def string(text):
            nonlocal strings
            strings += text.encode() + b"\0"
            return at + info_size + list_size + len(strings) - len(text.encode()) - 1

        cmdline = string(f"{name} {append}".rstrip())
        loader = string("vitrine fastboot")
        for words, piece in zip(modules, pieces[len(pieces) - len(modules):]):
            text = os.path.basename(words.partition(" ")[0]) + words[len(words.partition(" ")[0]):]
            out.append(struct.pack("<IIII", piece.address, piece.end, string(text), 0))
        # flags: command line, modules, loader name; the loader adds memory sizes and map.
        info = struct.pack("<IIIIIII", 0x20C, 0, 0, 0, cmdline, len(modules), at + info_size)
        info = info.ljust(64, b"\0") + struct.pack("<I", loader)
        return info.ljust(info_size, b"\0") + b"".join(out) + strings

    return KIND_MULTIBOOT, entry, pieces, blob


def plan_linux(image, name, append, modules):
    """Documentation/arch/x86/boot.rst: boot_params, command line, kernel at 1 MiB, initrd."""
    if len(modules) > 1:
        raise ImageError(f"{name}: Linux takes one initial RAM disk, not {len(modules)} modules")
    version = struct.unpack_from("<H", image, 0x206)[0]
    if version < 0x205:
        raise ImageError(f"{name}: a Linux kernel with boot protocol {version:#x}, older than 2.05")
    setup = (image[0x1F1] or 4) * SECTOR + SECTOR
    kernel = image[setup:]
    init_size = struct.unpack_from("<I", image, 0x260)[0] if version >= 0x20A else 4 * len(kernel)
    entry = 0x100000
    params = bytearray(PAGE)
    end = 0x202 + image[0x201]
    params[0x1F1:end] = image[0x1F1:end]
    params[0x210] = 0xFF  # type_of_loader: undefined
    params[0x211] |= 1    # LOADED_HIGH
    struct.pack_into("<I", params, 0x214, entry)
    struct.pack_into("<I", params, 0x228, LINUX_CMDLINE)
    text = append.encode() + b"\0"
    # 80x25 text, as the BIOS left it.
    params[0x06], params[0x07], params[0x0E], params[0x0F] = 3, 80, 25, 1
    struct.pack_into("<H", params, 0x10, 16)
    pieces = [None, Piece(LINUX_CMDLINE, text), Piece(entry, kernel)]
    preferred = struct.unpack_from("<Q", image, 0x258)[0] if version >= 0x20A else entry
    top = align(max(entry, preferred) + max(init_size, len(kernel)))
    if modules:
        initrd = Piece(top, read_module(modules[0]))
        struct.pack_into("<II", params, 0x218, top, len(initrd.data))
        pieces.append(initrd)
    pieces[0] = Piece(LINUX_PARAMS, bytes(params))
    return KIND_LINUX, entry, pieces, lambda at: b""


def prelude_piece(code, entry):
    """32-bit code for PRELUDE_AT that falls off its end, and then the jump to a Multiboot kernel."""
    code += struct.pack("<BI", 0xB8, 0x2BADB002)  # mov eax, the magic
    code += struct.pack("<Bi", 0xE9, entry - (PRELUDE_AT + len(code) + 5))
    return Piece(PRELUDE_AT, code)


def make_plan(path, append, modules, prelude=None):
    """(plan bytes as at PLAN_AT, pieces) for a kernel file."""
    name = os.path.basename(path)
    with open(path, "rb") as file:
        image = file.read()
    header = multiboot_header(image)
    if header:
        kind, entry, pieces, blob = plan_multiboot(image, header, name, append, modules)
    elif image[0x202:0x206] == b"HdrS":
        kind, entry, pieces, blob = plan_linux(image, name, append, modules)
    else:
        raise ImageError(f"{name}: neither a Multiboot 1 header nor a Linux kernel")
    if prelude is not None:
        pieces.append(prelude_piece(prelude, entry))
        entry = PRELUDE_AT
    pieces.sort(key=lambda piece: piece.address)
    for low, high in zip(pieces, pieces[1:]):
        if low.end > high.address:
            raise ImageError(f"{name}: parts overlap at {high.address:#x}")
    if pieces[0].address < PLAN_LIMIT or pieces[-1].end > 0xFFFFF000:
        raise ImageError(f"{name}: loads at {pieces[0].address:#x}, outside {PLAN_LIMIT:#x}..4 GiB")
    info = align(PLAN_AT + struct.calcsize(PLAN_HEAD) + 16 * len(pieces), 8)
    table, extra = b"", blob(info)
    texts = Piece(info, extra) if kind == KIND_MULTIBOOT else pieces[1]
    stamp = texts.data.find(STAMP)
    stamp = texts.address + stamp + len(STAMP) - 16 if stamp >= 0 else 0
    lba = PLAN_LBA + align(info - PLAN_AT + len(extra), SECTOR) // SECTOR
    for piece in pieces:
        table += struct.pack("<IIII", lba, piece.address, len(piece.data), piece.zero)
        lba += align(len(piece.data), SECTOR) // SECTOR
    head = struct.pack(PLAN_HEAD, MAGIC, kind, entry, LINUX_PARAMS if kind == KIND_LINUX else info,
                       stamp, pieces[-1].end, len(pieces))
    plan = (head + table).ljust(info - PLAN_AT, b"\0") + extra
    if PLAN_AT + align(len(plan), SECTOR) > PLAN_LIMIT:
        raise ImageError(f"{name}: command lines too long: {len(plan)} bytes, at most "
                         f"{PLAN_LIMIT - PLAN_AT}")
    return plan.ljust(align(len(plan), SECTOR), b"\0"), pieces


def make_disk(output, loader, kernel, append="", modules=(), prelude=None):
    """Write the image; its size is whole cylinders of 16 heads and 63 sectors. Returns cylinders."""
    plan, pieces = make_plan(kernel, append, list(modules), prelude)
    with open(loader, "rb") as file:
        code = bytearray(file.read())
    struct.pack_into("<H", code, struct.unpack_from("<H", code, 440)[0],
                     (len(code) + len(plan)) // SECTOR - 1)
    cylinder = 16 * 63 * SECTOR
    with open(output, "wb") as disk:
        disk.write(code + plan)
        for piece in pieces:
            disk.write(piece.data.ljust(align(len(piece.data), SECTOR), b"\0"))
        cylinders = max(1, -(-disk.tell() // cylinder))
        disk.truncate(cylinders * cylinder)
    return cylinders


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--loader", default="build/loader.bin")
    parser.add_argument("--append", default="", help="the kernel's command line")
    parser.add_argument("kernel")
    parser.add_argument("module", nargs="*", help="FILE or 'FILE WORDS'")
    args = parser.parse_args()
    try:
        make_disk(args.output, args.loader, args.kernel, args.append, args.module)
    except (ImageError, OSError) as error:
        print(f"mkdisk.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
