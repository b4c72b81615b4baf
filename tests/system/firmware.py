# SPDX-License-Identifier: MIT
"""Debian's SeaBIOS as a guest: it posts on the serial console, boots a floppy image given as a
module, through GRUB on it a kernel, and by an option ROM Linux at its 16-bit entry."""
import re
import subprocess

from harness import Boot, INITRAMFS, LINUX_ARGS, ROOT, VMLINUZ, ladder

SEABIOS = "/usr/share/seabios/bios-256k.bin"
LINUX_ROM = "/usr/share/qemu/linuxboot_dma.bin"  # loads a kernel from fw_cfg
GRUB = "/usr/lib/grub/i386-pc"
GUEST = f"{SEABIOS} kind=firmware mem=64M"
KERNEL = "build/guests/instruction.elf"
FLOPPY = 1440 * 1024
CPUS = ["lynnfield", "haswell", "skylake"]


def write(folder, image):
    with open(f"{folder}/floppy.img", "wb") as file:
        file.write(image)


def boot_sector(folder):
    """tests/system/floppy.asm, and the text that it reads from the last sector."""
    subprocess.run(["nasm", "-f", "bin", "-o", f"{folder}/sector", f"{ROOT}/tests/system/floppy.asm"],
                   check=True)
    with open(f"{folder}/sector", "rb") as file:
        image = file.read().ljust(FLOPPY - 512, b"\0")
    write(folder, image + b"the last sector\r\n".ljust(512, b"\0"))


def grub(folder):
    """GRUB with a Multiboot kernel in its memory disk: boot.img and core.img side by side."""
    with open(f"{folder}/grub.cfg", "w", encoding="ascii") as file:
        file.write("echo GRUB is here\nlsmmap\nmultiboot (memdisk)/kernel\nboot\n")
    subprocess.run(["strip", "-o", f"{folder}/kernel", f"{ROOT}/{KERNEL}"], check=True)
    subprocess.run(["tar", "-cf", "memdisk.tar", "kernel"], cwd=folder, check=True)
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-d", GRUB, "-p", "(memdisk)",
                    "-m", "memdisk.tar", "-c", "grub.cfg", "-o", "core.img", "biosdisk", "memdisk",
                    "tar", "multiboot", "echo", "lsmmap", "normal"], cwd=folder, check=True)
    image = b""
    for path in f"{GRUB}/boot.img", f"{folder}/core.img":
        with open(path, "rb") as file:
            image += file.read()
    write(folder, image.ljust(FLOPPY, b"\0"))


class FloppyBoot(Boot):
    """A firmware guest with the floppy that build(folder) writes."""
    build = None

    def line(self, folder):
        self.build(folder)
        return super().line(folder)

    def judge(self, status, text):
        """SeaBIOS mirrors the screen from its timer interrupt, and sets the cursor again wherever
        that finds it, within a word too: what counts is the text as a terminal shows it."""
        return super().judge(status, re.sub(r"\n?\x1b\[\d+;\d+H|\x1b\[[\d;]*m", "", text))


def floppy(name, build, cpu, **fields):
    test = FloppyBoot(f"{name} ({cpu})", cpu=cpu, timeout=60, weight=5, needs=[SEABIOS, GRUB],
                      args=["--boot-module", "{tmp}/floppy.img floppy=guest", GUEST], **fields)
    test.build = build
    return test


POST = """\
timeout 40
expect SeaBIOS \\(version [-0-9a-z.]+\\)
expect No bootable device
send \\x1d
expect vitrine>
send stat\\r
expect vitrine>
send log\\r
expect No bootable device
expect vitrine>
send poweroff 0\\r
expect end status=0
"""

TESTS = [
    *ladder("SeaBIOS to its end", CPUS, args=[GUEST], script=POST, timeout=60, weight=5,
            needs=[SEABIOS],
            expect=[r"bios: Running on QEMU \(i440fx\)", r"bios: QEMU fw_cfg DMA interface supported",
                    r"addr 0x0000000000000000 len 0x0000000004000000 \[RAM\]",
                    r"bios: ACPI: parse DSDT", r"bios: sercon: using ioport 0x3f8"],
            reject=[r"WARNING", r"[Uu]nable to"]),
    *[floppy("SeaBIOS boots a floppy", boot_sector, cpu,
             expect=[r"Booting from Floppy", r"boot sector on the screen", r"the timer ticks",
                     r"the last sector", r"end status=0"]) for cpu in CPUS],
    *[floppy("SeaBIOS, GRUB, Multiboot", grub, cpu,
             expect=[r"Welcome to GRUB", r"GRUB is here", r"length = 0x9fc00, available RAM",
                     r"[1-9]\d* passed, 0 failed", r"end status=0"]) for cpu in CPUS],
    *ladder("SeaBIOS, Linux by its 16-bit entry", CPUS, timeout=120, weight=30,
            needs=[SEABIOS, LINUX_ROM, VMLINUZ, INITRAMFS],
            args=["--boot-module", f"{LINUX_ROM} rom=guest",
                  "--boot-module", f"{INITRAMFS} initrd=guest", "--boot-module",
                  f'{VMLINUZ} kernel=guest -- {LINUX_ARGS} vitrine.run="dmesg | grep -e DMI: -e RSDP"',
                  f"{SEABIOS} kind=firmware mem=256M"],
            expect=[r"Booting from ROM", r"DMI: .*BIOS", r"RSDP 0x00000000000F", r"end status=0"],
            reject=[r"ACPI (Error|Warning|BIOS Error)", r"panic"]),
    Boot("SeaBIOS is no firmware by itself", args=[f"{SEABIOS} mem=64M"], status=3, weight=2,
         needs=[SEABIOS], expect=[r"no Multiboot 1 header"]),
    Boot("firmware and a broken floppy", args=["--boot-module", "{tmp}/floppy floppy=guest", GUEST],
         files={"floppy": bytes(1000)}, status=3, weight=2, needs=[SEABIOS],
         expect=[r"floppy has 1000 bytes, as no floppy disk has"]),
]
