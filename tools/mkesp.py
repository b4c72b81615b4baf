#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a FAT volume from which UEFI starts Vitrine, with its configuration and boot modules.

mkesp.py -o IMAGE [--append TEXT] EFI ["FILE WORDS" ...]

EFI is build/vitrine.efi; TEXT is Vitrine's command line. The image is a bare volume: it boots as it is
from a disk or a stick, and its files may be copied to any EFI system partition.
"""
import argparse
import os
import subprocess
import sys
import tempfile

CYLINDER = 16 * 63 * 512
FOLDER = "::/EFI/vitrine"


def tool(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)} failed:\n{done.stdout.decode(errors='replace')}")


def make_esp(output, efi, append="", modules=(), config=None):
    """Returns the number of cylinders (of 16 heads, 63 sectors). config: the file's own text."""
    files = [words.partition(" ")[0] for words in modules]
    size = sum(os.path.getsize(path) for path in [efi] + files) + (4 << 20)
    cylinders = size // CYLINDER + 1
    if os.path.exists(output):
        os.unlink(output)
    tool("mformat", "-C", "-i", output, "-v", "VITRINE", "-h", "16", "-s", "63", "-t",
         str(cylinders), "::")
    tool("mmd", "-i", output, "::/EFI", "::/EFI/BOOT", FOLDER)
    tool("mcopy", "-i", output, efi, "::/EFI/BOOT/BOOTX64.EFI")
    lines = [f"vitrine {append}"]
    for number, words in enumerate(modules):
        path, _, rest = words.partition(" ")
        tool("mmd", "-i", output, f"{FOLDER}/{number}")
        tool("mcopy", "-i", output, path, f"{FOLDER}/{number}/")
        lines.append(f"{number}/{os.path.basename(path)} {rest}")
    with tempfile.NamedTemporaryFile("w", suffix=".cfg", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n" if config is None else config)
        file.flush()
        tool("mcopy", "-i", output, file.name, f"{FOLDER}/vitrine.cfg")
    return cylinders


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--append", default="", help="Vitrine's command line")
    parser.add_argument("efi", metavar="EFI")
    parser.add_argument("module", nargs="*", help="FILE or 'FILE WORDS'")
    args = parser.parse_args()
    try:
        make_esp(args.output, args.efi, args.append, args.module)
    except OSError as error:
        print(f"mkesp.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
