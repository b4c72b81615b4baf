# SPDX-License-Identifier: MIT
"""PCs without a serial port, or with an unusual one: everything is on the screen, the keyboard works;
and machines without VT-x say so there, whoever started Vitrine."""
import struct

from harness import Boot

# What a person does at the screen. The log is kept, and shown again.
TYPED = """\
timeout 60
expect caps: this virtual CPU has no VT-x .* nested=1
expect vmx: Vitrine cannot run guests on this machine
expect \\nvitrine>
send echo Typed on-the.keyboard\\r
expect \\nTyped on-the.keyboard\\n
send log\\r
expect vitrine> log\\n(?s:.*)Vitrine cannot run guests(?s:.*)\\nvitrine>
quit
"""
WAYS = {"SeaBIOS, GRUB": "grub2", "SeaBIOS, our loader": "fast", "OVMF, our application": "efi",
        "OVMF, GRUB": "grub-efi"}
QEMU = ["--host", "qemu-tcg"]
NOTE = ["README.md"]


def spcr(port, irq):
    """ACPI's serial port console redirection table, as QEMU's -acpitable wants it: no header."""
    return struct.pack("<B3x BBBB Q BB I B", 0, 1, 8, 0, 1, port, 1, irq, 0, 7) + bytes(21)


def serial(name, device, expect, qemu="", **fields):
    """The console on another serial port; status 2 as there is no VT-x."""
    return Boot(f"console on {name}", status=2, weight=3, **fields,
                args=QEMU + ["--serial", device] + (["--qemu", qemu] if qemu else []) + NOTE,
                expect=[expect, "cannot run guests on this machine", "end status=2"])


TESTS = [
    *(Boot(f"no serial port ({name})", script=TYPED, weight=8, args=QEMU + [
        "--boot", boot, "--serial", "none", "--hv-append", "on-end=prompt"] + NOTE)
      for name, boot in WAYS.items()),
    *(Boot(f"screen beside the serial port ({name})", script=TYPED, weight=8, args=QEMU + [
        "--boot", boot, "--terminal", "screen", "--hv-append", "on-end=prompt"] + NOTE)
      for name, boot in WAYS.items() if boot in ("grub2", "efi")),
    serial("COM2", "isa-serial,iobase=0x2f8,irq=3", r"console: serial port at 0x2f8"),
    serial("a PCI card", "pci-serial", r"console: PCI serial card 00:[0-9a-f.]+ at port 0x"),
    serial("the port that SPCR names", "isa-serial,iobase=0x2e8,irq=3",
           r"ACPI's SPCR names a serial port at port 0x2e8\n", files={"spcr": spcr(0x2e8, 3)},
           qemu="-acpitable sig=SPCR,data={tmp}/spcr"),
]
