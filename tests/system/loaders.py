# SPDX-License-Identifier: MIT
"""Every way in: what the boot loader was told reaches the hypervisor, and the prompt answers; and
Linux to its shell. What the UEFI application is told wrong is refused with line and column."""
from harness import Boot, Command, INITRAMFS, VMLINUZ, linux

FILES = {"one": b"first module\n", "two": bytes(100_000)}
ARGS = ["--boot-module", "{tmp}/one x=1 -- a  b", "--boot-module", "{tmp}/two", "--hv-append",
        "log=debug on-end=prompt"]
NO_VTX = ARGS[:-1] + ["log=debug on-end=poweroff", "--host", "qemu-tcg"]
SCRIPT = """\
timeout 20
expect vitrine> 
send echo alive\\r
expect \\nalive
send poweroff 0\\r
expect end status=0
"""
MODULES = [r"module 0: 0 KiB at 0x[0-9a-f]+ \".*one x=1 -- a +b", r"module 1: 97 KiB at 0x[0-9a-f]+"]

# To Linux's shell, each way (the fast loader's: tests/system/linux.py).
SHELL = "timeout 200\nexpect guest:/# \nsend poweroff\\r\nexpect end status=0\n"
TO_LINUX = {"GRUB, Multiboot 1": ["grub", 20], "GRUB, Multiboot 2": ["grub2", 20],
            "GRUB under UEFI": ["grub-efi", 45], "the UEFI application": ["efi", 45]}

# Back in the firmware after a refusal, it goes on by itself; nothing is to be waited for.
REFUSED = "timeout 60\nexpect Press a key\nsend x\nexpect BdsDxe: failed to start\nquit\n"


# Debian's OVMF comes with the private key that its Secure Boot variables trust; it protects nothing.
NEEDS = ["/usr/bin/sbsign", "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"]
SIGNED = """set -e; k=/usr/share/ovmf/PkKek-1-snakeoil
openssl rsa -in $k.key -passin pass:snakeoil -out build/snakeoil.key
sbsign --key build/snakeoil.key --cert $k.pem --output build/signed.efi build/vitrine.efi
exec tools/run --host qemu-tcg --boot efi --firmware ovmf-secure --efi build/signed.efi \\
  --timeout 100 README.md"""


def refused(name, expect, config=None, args=(), **fields):
    return Boot(f"UEFI refuses {name}", script=REFUSED, expect=["uefi: Vitrine begins"] + expect,
                args=["--host", "qemu-tcg", "--boot", "efi", *args] +
                (["--config", config] if config else []) + ["README.md"], weight=6, **fields)


# The images that make iso and make esp write, for QEMU as far as VT-x; the ISO also as on a stick.
IMAGE = "timeout 90\nexpect cannot run guests\nexpect vitrine> \nsend poweroff 0\\r\nexpect status=0\n"
IMAGES = [("iso", "cdrom", "bios"), ("iso", "cdrom", "ovmf"), ("iso", "disk", "bios"),
          ("iso", "disk", "ovmf"), ("esp", "disk", "ovmf")]
FILE = {"iso": "build/vitrine.iso", "esp": "build/esp.img"}


TESTS = [
    *(Boot(f"make {name} as a {medium} ({firmware})", script=IMAGE, weight=7, needs=[FILE[name]],
           args=["--host", "qemu-tcg", "--boot", medium, "--firmware", firmware, FILE[name]],
           expect=[r"Multiboot 2 by", r"module 0: \d+ KiB at .* guest=linux",
                   r"module 1: \d+ KiB at .* initrd=linux"])
      for name, medium, firmware in IMAGES),
    Boot("boot by the fast loader", files=FILES, script=SCRIPT, args=ARGS, weight=3,
         expect=[r"Multiboot 1 by vitrine fastboot, command line \"vitrine.elf log=debug"] + MODULES),
    Boot("boot by GRUB, Multiboot 1", files=FILES, script=SCRIPT, args=ARGS + ["--boot", "grub"],
         expect=MODULES, weight=5),
    Boot("boot by GRUB, Multiboot 2", files=FILES, script=SCRIPT, args=ARGS + ["--boot", "grub2"],
         expect=MODULES, weight=5),
    Boot("boot by qemu -kernel", files=FILES, status=2,
         args=NO_VTX + ["--boot", "kernel"],
         expect=[r"Multiboot 1 by qemu"] + MODULES, weight=2),
    Boot("tsc-hz= where there is no PIT", files=FILES, status=2, weight=2,
         args=NO_VTX[:-3] + ["tsc-hz=1234567890", "--host", "qemu-tcg", "--boot", "kernel", "--qemu",
                             "-M microvm,pit=off"],
         expect=[r"tsc: 1234567890 Hz by tsc-hz= on the command line\n"]),
    Boot("no way to measure time", files=FILES, status=2, weight=2,
         args=NO_VTX + ["--boot", "kernel", "--qemu", "-M microvm,pit=off"],
         expect=["tsc: no way to find the TSC's frequency .*; give it by tsc-hz="]),
    Boot("boot by GRUB under UEFI", files=FILES, status=2, weight=5,
         args=NO_VTX + ["--boot", "grub-efi"], expect=[r"Multiboot 2 by GRUB .* under UEFI"] +
         MODULES + ["caps: this virtual CPU has no VT-x"]),
    Boot("boot by the UEFI application", files=FILES, status=2, weight=5,
         args=NO_VTX + ["--boot", "efi"],
         expect=[r"uefi: Vitrine begins, tsc=0x[0-9a-f]+", r"uefi: configuration read", "files read",
                 r"leaving boot services, tsc=0x[0-9a-f]+", "vitrine: starting",
                 r"Multiboot 2 by Vitrine's application under UEFI, command line \"vitrine log=debug"] +
         MODULES + ["caps: this virtual CPU has no VT-x"]),
    *(Boot(f"Linux by {name}", args=["--boot", how] + linux(), script=SHELL, timeout=300,
           needs=[VMLINUZ, INITRAMFS], weight=weight) for name, (how, weight) in TO_LINUX.items()),
    Command("UEFI with Secure Boot takes it when signed", ["sh", "-c", SIGNED],
            status=2, needs=NEEDS, weight=12, timeout=120,
            expect=["uefi: Secure Boot is on: the firmware has verified", "leaving boot services",
                    "cannot run guests on this machine"]),
    Boot("UEFI with Secure Boot refuses it unsigned", needs=NEEDS, weight=10,
         args=["--host", "qemu-tcg", "--boot", "efi", "--firmware", "ovmf-secure", "README.md"],
         script="timeout 90\nexpect failed to load Boot0001 .*: Access Denied\nquit\n",
         reject=["Vitrine begins"]),
    refused("a wrong option", config="# nothing\nvitrine\n  x guest=a mem=12Q\n",
            expect=[r'vitrine\.cfg, line 3, column 13, "mem=12Q": not a size; give whole']),
    refused("a file that is not there", config="0/README.md guest=a kind=flat\nnone initrd=a",
            expect=[r"README\.md: \d+ KiB", r"line 2: /EFI/vitrine/none: no such file"]),
    refused("a file that does not fit", files={"big": bytes(100 << 20)},
            args=["--mem", "96", "--module", "{tmp}/big"],
            expect=[r"line 3: .*/big: no room for its 102400 KiB .* use a smaller file"]),
]
