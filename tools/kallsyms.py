#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the symbol table of a Linux bzImage, as System.map has it, to stdout.

Distributions keep System.map out of their kernel packages, but the kernel itself carries the table
for its own oopses (CONFIG_KALLSYMS): names compressed by 256 tokens, 32-bit offsets for addresses
(Linux kernel/kallsyms.c and scripts/kallsyms.c; the order of its parts changed in 6.4). Nothing says
where it is, so it is looked for by the tokens of the digits, which stand for themselves.
"""
import argparse
import bz2
import lzma
import struct
import subprocess
import sys
import zlib

KERNEL_MAP = 0xffffffff80000000
UNPACKERS = [  # magic, how
    (b"\xfd7zXZ", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x5d\0\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data)),
    (b"BZh", lambda data: bz2.BZ2Decompressor().decompress(data)),
    (b"\x1f\x8b", lambda data: zlib.decompressobj(31).decompress(data)),
    (b"\x28\xb5\x2f\xfd", lambda data: program(["zstd", "-dc"], data)),
    (b"\x02\x21\x4c\x18", lambda data: program(["lz4", "-dc"], data)),
]


class NoTable(Exception):
    pass


def program(command, data):
    try:
        return subprocess.run(command, input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False).stdout
    except OSError as error:
        raise NoTable(f"to unpack it install {command[0]} ({error})") from error


def unpack(image):
    """vmlinux out of a bzImage (Linux Documentation/x86/boot.rst); anything else as it is."""
    if image[0x202:0x206] != b"HdrS":
        return image
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1f1] or 4) + 1) * 512 + offset
    data = image[start:start + length]
    for magic, how in UNPACKERS:
        if data.startswith(magic):
            return how(data)
    return data


def up(value, to=8):
    return -(-value // to) * to


def find_tokens(image):
    """(offset, its 256 strings, offset behind the index that follows them)"""
    digits = b"".join(b"%d\0" % n for n in range(10))
    zero = image.find(digits)
    while zero >= 0:
        start = zero
        for _ in range(0x30 + 1):
            start = image.rfind(b"\0", 0, start)
        for at in range(start + 1, start - 8, -1):
            tokens = image[at:at + 16384].split(b"\0", 256)[:256]
            offsets = [0]
            for token in tokens:
                offsets.append(offsets[-1] + len(token) + 1)
            index = struct.pack("<256H", *(n & 0xffff for n in offsets[:256]))
            for align in (4, 8):
                if image.startswith(index, up(at + offsets[256], align)):
                    return at, tokens, up(at + offsets[256], align) + 512
        zero = image.find(digits, zero + 1)
    raise NoTable("it has no symbol table (CONFIG_KALLSYMS)")


def read_names(image, at, count, tokens):
    """(`count` names with their type in front, where each 256th began, offset of their end), from
    offset `at`; None when there are no names."""
    names, markers, start = [], [], at
    for number in range(count):
        if number % 256 == 0:
            markers.append(at - start)
        size, at = image[at], at + 1
        if size & 0x80:
            size, at = size & 0x7f | image[at] << 7, at + 1
        if not 0 < size < 512:
            return None
        names.append(b"".join(tokens[n] for n in image[at:at + size]))
        at += size
    return names, markers, at


def find_names(image, end, tokens):
    """(offset of their number, the names): before the tokens, with the markers right behind."""
    for at in range(end & ~7, 0, -8):
        count = struct.unpack_from("<I", image, at)[0]
        if not 256 < count < (end - at) // 3 or not read_names(image, at + 8, 256, tokens):
            continue
        found = read_names(image, at + 8, count, tokens)
        if found and image.startswith(struct.pack(f"<{len(found[1])}I", *found[1]), up(found[2])):
            return at, found[0]
    raise NoTable("its symbol table has another form than that of Linux 4.20 to now")


def addresses(image, before, behind, count):
    """Of each name: the offsets are before the names, or (since 6.4) behind the tokens."""
    for at, base_at in ((before - 8 - up(4 * count), before - 8), (up(behind), up(behind + 4 * count))):
        base = struct.unpack_from("<Q", image, base_at)[0]
        offsets = struct.unpack_from(f"<{count}i", image, at)
        if base >= KERNEL_MAP:
            # Per-CPU variables are offsets from 0, all others negative; or there are none of those.
            if min(offsets) < 0:
                return [n if n >= 0 else base - 1 - n for n in offsets]
            return [base + n for n in offsets]
    raise NoTable("the addresses of its symbols were not found")


def symbols(image):
    start, tokens, behind = find_tokens(image)
    before, names = find_names(image, start, tokens)
    return sorted(zip(addresses(image, before, behind, len(names)), names), key=lambda s: s[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel")
    args = parser.parse_args()
    with open(args.kernel, "rb") as file:
        image = file.read()
    try:
        for address, name in symbols(unpack(image)):
            print(f"{address:016x} {name[:1].decode()} {name[1:].decode()}")
    except (NoTable, IndexError, struct.error, lzma.LZMAError, zlib.error, OSError) as error:
        print(f"kallsyms: {args.kernel}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
