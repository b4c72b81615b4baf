# SPDX-License-Identifier: MIT
"""Debian's SeaBIOS as a guest: it posts on the serial console, boots a floppy image given as a
module, through GRUB on it a kernel or Memtest86+, and by an option ROM Linux and iPXE at their
16-bit entries."""
import re
import subprocess
import tarfile

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


def grub(folder, script, modules, file=None):
    """GRUB with a script, and `file` as (memdisk)/kernel: boot.img and core.img side by side."""
    with open(f"{folder}/grub.cfg", "w", encoding="ascii") as config:
        config.write(f"echo GRUB is here, and goes on\n{script}boot\n")
    command = ["grub-mkimage", "-O", "i386-pc", "-d", GRUB, "-p", "(memdisk)", "-c", "grub.cfg",
               "-o", "core.img", "biosdisk", "tar", "echo", "normal", *modules]
    if file:
        tar(folder, "memdisk.tar", {"kernel": file})
        command += ["memdisk", "-m", "memdisk.tar"]
    subprocess.run(command, cwd=folder, check=True)
    image = b""
    for path in f"{GRUB}/boot.img", f"{folder}/core.img":
        with open(path, "rb") as part:
            image += part.read()
    write(folder, image.ljust(FLOPPY, b"\0"))


def tar(folder, name, files):
    """An archive: GRUB reads its files from any disk that it is on."""
    with tarfile.open(f"{folder}/{name}", "w") as archive:
        for inner, path in files.items():
            archive.add(f"{ROOT}/{path}" if not path.startswith("/") else path, inner)


def multiboot(folder):
    subprocess.run(["strip", "-o", f"{folder}/kernel", f"{ROOT}/{KERNEL}"], check=True)
    grub(folder, "lsmmap\nmultiboot (memdisk)/kernel\n", ["multiboot", "lsmmap"], f"{folder}/kernel")


def memtest(folder):
    grub(folder, "linux16 (memdisk)/kernel console=ttyS0,115200\n", ["linux16"], MEMTEST)


def linux(folder):
    """A kernel is too large for a floppy: GRUB on it takes it from the disk."""
    tar(folder, "disk.img", {"vmlinuz": VMLINUZ, "initramfs": INITRAMFS})
    run = "vitrine.run=dmesg|grep${IFS}DMI:"  # GRUB would quote a word with blanks
    grub(folder, f"linux16 (hd0)/vmlinuz {LINUX_ARGS} '{run}'\ninitrd16 (hd0)/initramfs\n",
         ["linux16"])


class PostBoot(Boot):
    """SeaBIOS until it has found nothing to boot: ticks (the clock has 50 MHz) and instructions
    emulated in states that cannot be entered are at most the two numbers of `most`."""
    most = None

    def judge(self, status, text):
        why = super().judge(status, text)
        if why:
            return why
        begin, end = (float(re.search(rf"\[(\d+\.\d+)\] c0 guest: {words}", text).group(1))
                      for words in ("running", "bios: No bootable device"))
        ticks = (end - begin) * 50e6
        emulated = sum(map(int, re.findall(r"(?m)^ +(\d+) +\d+ +\d+ [0-9a-f]{8}", text)))
        with open(self.log(), "a", encoding="utf-8") as log:
            log.write(f"\n{ticks / 1e6:.1f} M ticks, {emulated} instructions emulated\n")
        if ticks > self.most[0] or emulated > self.most[1]:
            return f"{ticks / 1e6:.1f} M ticks, {emulated} instructions emulated: too many"
        return None


def post(cpu, words, ticks, emulated):
    test = PostBoot(f"what SeaBIOS costs ({cpu}{words and ' ' + words})", cpu=cpu, timeout=90,
                    weight=8, needs=[SEABIOS], script=COST, files={"quiet": b"trace off\n"},
                    args=["--boot-module", "{tmp}/quiet script", f"{GUEST} {words}"])
    test.most = ticks, emulated
    return test


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


def floppy(name, build, cpu, needs=(), words="mem=64M", args=(), timeout=60, weight=5, **fields):
    test = FloppyBoot(f"{name} ({cpu})", cpu=cpu, timeout=timeout, weight=weight,
                      needs=[SEABIOS, GRUB, *needs],
                      args=["--boot-module", "{tmp}/floppy.img floppy=guest", *args,
                            f"{FIRMWARE} {words}"], **fields)
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
# Its prompt comes after it has gathered noise from the clock's interrupt, of which a machine that
# counts instructions has so little that it takes a moment or a minute, by the date.
IPXE_RUNS = """\
timeout 50
expect iPXE initialising devices
send \\x1d
expect vitrine>
send poweroff 0\\r
expect end status=0
"""

COST = """\
timeout 80
expect Retrying in 60 seconds
send \\x1d
expect vitrine>
send log\\r
expect bios: No bootable device
expect vitrine>
send stat rules\\r
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
    post("haswell", "", 9e6, 0),
    post("lynnfield", "", 15e6, 20e3),
    post("haswell", "unrestricted=off real-mode=emulate", 100e6, 2e6),
    *[floppy("SeaBIOS boots a floppy", boot_sector, cpu,
             expect=[r"Booting from Floppy", r"boot sector on the screen", r"the timer ticks",
                     r"the last sector", r"end status=0"]) for cpu in CPUS],
    *[floppy("SeaBIOS, GRUB, Multiboot", multiboot, cpu,
             expect=[r"Welcome to GRUB", r"GRUB is here", r"length = 0x9fc00, available RAM",
                     r"[1-9]\d* passed, 0 failed", r"end status=0"]) for cpu in CPUS],
    # 17 and 26 seconds of a CPU.
    *[floppy("SeaBIOS, GRUB, Linux from a disk", linux, cpu, needs=[VMLINUZ, INITRAMFS],
             words=f"mem=256M {words}", args=["--boot-module", "{tmp}/disk.img disk=guest"],
             timeout=180, weight=30, reject=[r"ACPI (Error|Warning|BIOS Error)", r"panic"],
             expect=[r"GRUB is here", r"DMI: .*BIOS", r"init: end status=0"])
      for cpu, words in NO_UNRESTRICTED.items()],
    *ladder("SeaBIOS, Linux by its 16-bit entry", ["haswell"], timeout=120, weight=30,
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
    *[Boot(f"SeaBIOS, iPXE by its 16-bit entry ({cpu})", cpu=cpu, timeout=60, weight=8,
           needs=[SEABIOS, LINUX_ROM, IPXE], script=IPXE_RUNS,
           args=["--ips", "20000000", "--boot-module", f"{LINUX_ROM} rom=guest",
                 "--boot-module", f"{IPXE} kernel=guest", f"{GUEST} {words}"],
           expect=[r"iPXE initialising devices", r"end status=0"])
      for cpu, words in {**NO_UNRESTRICTED, "haswell": ""}.items()],
    Boot("SeaBIOS is no firmware by itself", args=[f"{SEABIOS} mem=64M"], status=3, weight=2,
         needs=[SEABIOS], expect=[r"no Multiboot 1 header"]),
    Boot("firmware and a broken floppy", args=["--boot-module", "{tmp}/floppy floppy=guest", GUEST],
         files={"floppy": bytes(1000)}, status=3, weight=2, needs=[SEABIOS],
         expect=[r"floppy has 1000 bytes, as no floppy disk has"]),
]
