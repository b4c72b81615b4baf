# SPDX-License-Identifier: MIT
"""Every way in: what the boot loader was told reaches the hypervisor, and the prompt answers."""
from harness import Boot

FILES = {"one": b"first module\n", "two": bytes(100_000)}
ARGS = ["--hv-append", "log=debug on-end=prompt", "--boot-module", "{tmp}/one x=1 -- a  b",
        "--boot-module", "{tmp}/two"]
SCRIPT = """\
timeout 20
expect vitrine> 
send echo alive\\r
expect \\nalive
send poweroff 0\\r
expect end status=0
"""
MODULES = [r"module 0: 0 KiB at 0x[0-9a-f]+ \".*one x=1 -- a +b", r"module 1: 97 KiB at 0x[0-9a-f]+"]

TESTS = [
    Boot("boot by the fast loader", files=FILES, script=SCRIPT, args=ARGS, weight=3,
         expect=[r"Multiboot 1 by vitrine fastboot, command line \"vitrine.elf log=debug"] + MODULES),
    Boot("boot by GRUB, Multiboot 1", files=FILES, script=SCRIPT, args=ARGS + ["--boot", "grub"],
         expect=MODULES, weight=5),
    Boot("boot by GRUB, Multiboot 2", files=FILES, script=SCRIPT, args=ARGS + ["--boot", "grub2"],
         expect=MODULES, weight=5),
    Boot("boot by qemu -kernel", files=FILES, status=2,
         args=ARGS + ["--host", "qemu-tcg", "--boot", "kernel"],
         expect=[r"Multiboot 1 by qemu"] + MODULES, weight=2),
]
