#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write an image for CD or USB stick: GRUB, for BIOS and UEFI, with the hypervisor and its modules.

mkiso.py -o ISO [--append TEXT] [--multiboot1] KERNEL ["FILE WORDS" ...]
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile


def grub_words(text):
    """Words as GRUB's script language reads them: each in single quotes.

    GRUB itself puts double quotes round a word with blanks and a backslash before a quote within
    one, so the double quotes that held words together are left out here.
    """
    words = re.findall(r'(?:[^\s"]|"[^"]*")+', text)
    return " ".join("'" + word.replace('"', "").replace("'", "'\\''") + "'" for word in words)


def make_iso(output, kernel, append="", modules=(), multiboot2=True, platform=None):
    """platform: "i386-pc" or "x86_64-efi" for only one of the two."""
    suffix = "2" if multiboot2 else ""
    lines = ["set timeout=0",
             "if serial --unit=0 --speed=115200; then terminal_output serial console; fi",
             'if [ "$grub_platform" = efi ]; then insmod efi_gop; fi',
             "menuentry Vitrine {", f"    multiboot{suffix} /boot/kernel {grub_words(append)}"]
    with tempfile.TemporaryDirectory(prefix="vitrine-iso-") as folder:
        boot = os.path.join(folder, "boot")
        os.makedirs(os.path.join(boot, "grub"))
        shutil.copy(kernel, os.path.join(boot, "kernel"))
        for number, words in enumerate(modules):
            path, _, rest = words.partition(" ")
            shutil.copy(path, os.path.join(boot, f"module{number}"))
            name = os.path.basename(path)
            lines.append(f"    module{suffix} /boot/module{number} {grub_words(f'{name} {rest}')}")
        with open(os.path.join(boot, "grub/grub.cfg"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines + ["}", ""]))
        only = ["-d", f"/usr/lib/grub/{platform}"] if platform else []
        done = subprocess.run(["grub-mkrescue", *only, "-o", output, folder],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise OSError(f"grub-mkrescue failed:\n{done.stdout.decode(errors='replace')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--append", default="", help="the kernel's command line")
    parser.add_argument("--multiboot1", action="store_true", help="instead of 2; BIOS only")
    parser.add_argument("kernel")
    parser.add_argument("module", nargs="*", help="FILE or 'FILE WORDS'")
    args = parser.parse_args()
    try:
        make_iso(args.output, args.kernel, args.append, args.module, not args.multiboot1)
    except OSError as error:
        print(f"mkiso.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
