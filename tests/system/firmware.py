# SPDX-License-Identifier: MIT
"""Debian's SeaBIOS as a guest: it posts on the serial console, boots a floppy image given as a
module, through GRUB on it a kernel or Memtest86+, and by an option ROM Linux and iPXE at their
16-bit entries."""
import re
import shutil
import subprocess

from harness import Boot, INITRAMFS, LINUX_ARGS, ROOT, VMLINUZ, ladder

SEABIOS = "/usr/share/seabios/bios-256k.bin"
LINUX_ROM = "/usr/share/qemu/linuxboot_dma.bin"  # loads a kernel from fw_cfg
GRUB = "/usr/lib/grub/i386-pc"
FIRMWARE = f"{SEABIOS} kind=firmware"
GUEST = f"{FIRMWARE} mem=64M"
KERNEL = "build/guests/instruction.elf"
FLOPPY = 1440 * 1024
CPUS = ["lynnfield", "haswell", "skylake"]
MEMTEST, IPXE = "/boot/memtest86+x64.bin", "/boot/ipxe.lkrn"
# Ways to run without unrestricted guest: in virtual-8086 mode as far as that goes, and all emulated.
NO_UNRESTRICTED = {"lynnfield": "", "skylake": "unrestricted=off real-mode=emulate"}


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


def grub(folder, file=f"{ROOT}/{KERNEL}", modules=("multiboot", "lsmmap"),
         script="lsmmap\nmultiboot (memdisk)/kernel\n"):
    """GRUB with `file` as (memdisk)/kernel and a script that loads it: boot.img and core.img side
    by side."""
    with open(f"{folder}/grub.cfg", "w", encoding="ascii") as config:
        config.write(f"echo GRUB is here, and goes on\n{script}boot\n")
    if file.endswith(".elf"):
        subprocess.run(["strip", "-o", f"{folder}/kernel", file], check=True)
    else:
        shutil.copy(file, f"{folder}/kernel")
    subprocess.run(["tar", "-cf", "memdisk.tar", "kernel"], cwd=folder, check=True)
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-d", GRUB, "-p", "(memdisk)",
                    "-m", "memdisk.tar", "-c", "grub.cfg", "-o", "core.img", "biosdisk", "memdisk",
                    "tar", "echo", "normal", *modules], cwd=folder, check=True)
    image = b""
    for path in f"{GRUB}/boot.img", f"{folder}/core.img":
        with open(path, "rb") as part:
            image += part.read()
    write(folder, image.ljust(FLOPPY, b"\0"))


def memtest(folder):
    grub(folder, MEMTEST, ["linux16"], "linux16 (memdisk)/kernel console=ttyS0,115200\n")


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


def floppy(name, build, cpu, needs=(), words="mem=64M", **fields):
    test = FloppyBoot(f"{name} ({cpu})", cpu=cpu, timeout=60, weight=5, needs=[SEABIOS, GRUB, *needs],
                      args=["--boot-module", "{tmp}/floppy.img floppy=guest", f"{FIRMWARE} {words}"],
                      **fields)
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

# Both go on until they are told to end.  The BIOS keeps 15 keys for a slow reader.
MEMTEST_RUNS = """\
timeout 40
expect Memtest86\\+ v
expect \\[Address test
expect \\[Moving inversions
expect Pass:  0
send \\x1d
expect vitrine>
send poweroff 0\\r
expect end status=0
"""
IPXE_RUNS = """\
timeout 50
expect Press Ctrl-B for the iPXE command line
send \\x02
expect iPXE>
send show version\\r
expect version:string = \\S
send \\x1d
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
    *[floppy("SeaBIOS, GRUB, Memtest86+", memtest, cpu, needs=[MEMTEST], words=f"mem=8M {words}",
             script=MEMTEST_RUNS, expect=[r"GRUB is here", r"Errors: 0"],
             reject=[r"Errors: +[1-9]", r"Unexpected [Ii]nterrupt"])
      for cpu, words in NO_UNRESTRICTED.items()],
    # iPXE collects noise from the clock's interrupt for seconds: let them be shorter.
    *[Boot(f"SeaBIOS, iPXE by its 16-bit entry ({cpu})", cpu=cpu, timeout=60, weight=8,
           needs=[SEABIOS, LINUX_ROM, IPXE], script=IPXE_RUNS,
           args=["--ips", "20000000", "--boot-module", f"{LINUX_ROM} rom=guest",
                 "--boot-module", f"{IPXE} kernel=guest", f"{GUEST} {words}"],
           expect=[r"iPXE initialising devices\.\.\.ok", r"Open Source Network Boot Firmware"])
      for cpu, words in {**NO_UNRESTRICTED, "haswell": ""}.items()],
    Boot("SeaBIOS is no firmware by itself", args=[f"{SEABIOS} mem=64M"], status=3, weight=2,
         needs=[SEABIOS], expect=[r"no Multiboot 1 header"]),
    Boot("firmware and a broken floppy", args=["--boot-module", "{tmp}/floppy floppy=guest", GUEST],
         files={"floppy": bytes(1000)}, status=3, weight=2, needs=[SEABIOS],
         expect=[r"floppy has 1000 bytes, as no floppy disk has"]),
]
