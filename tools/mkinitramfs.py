#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the Linux guest's initial RAM disk: busybox, /init (first.asm), /start (start.sh), debugexit.

The format is cpio "newc" (Linux Documentation/driver-api/early-userspace/buffer-format.rst), not
compressed, so that a boot is not measured by the guest's gunzip. Same input, same bytes.
"""
import argparse
import os
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Cpio:
    def __init__(self):
        self.data, self.inode = bytearray(), 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields)
        self.data += name.encode() + b"\0"
        self.pad()
        self.data += data
        self.pad()

    def pad(self, to=4):
        self.data += b"\0" * (-len(self.data) % to)

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data):
        self.add(name, stat.S_IFREG | 0o755, data)

    def link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self):
        self.add("TRAILER!!!", 0)
        self.pad(512)
        return bytes(self.data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def build(busybox, first, debugexit, extra):
    cpio = Cpio()
    for name in ("bin", "dev", "proc", "sys", "tmp", "root", "etc"):
        cpio.folder(name)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    cpio.add("dev/ttyS0", stat.S_IFCHR | 0o600, device=(4, 64))
    cpio.file("init", read(first))
    cpio.file("start", read(os.path.join(HERE, "initramfs/start.sh")))
    cpio.file("bin/busybox", read(busybox))
    cpio.link("bin/sh", "busybox")
    cpio.file("bin/debugexit", read(debugexit))
    folders = set()
    for pair in extra:
        name, _, path = pair.partition("=")
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in folders and folder not in ("bin", "etc", "root"):
                cpio.folder(folder)
                folders.add(folder)
        cpio.file(name, read(path))
    return cpio.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--busybox", default="build/linux/busybox")
    parser.add_argument("--first", default="build/linux/first")
    parser.add_argument("--debugexit", default="build/linux/debugexit")
    parser.add_argument("--add", action="append", default=[], metavar="NAME=FILE",
                        help="one more file, at NAME in the guest")
    args = parser.parse_args()
    data = build(args.busybox, args.first, args.debugexit, args.add)
    with open(args.output, "wb") as file:
        file.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
