# SPDX-License-Identifier: MIT
"""For tools/run --host nested: a Linux whose only work is to run one QEMU with KVM.

Bochs emulates VT-x for Debian's kernel, whose KVM emulates it again for what QEMU starts. All of it
comes from Debian's packages: kernel and modules by tools/fetch, QEMU, its libraries and SeaBIOS from
this machine. It ends with QEMU's debug-exit value.
"""
import os
import re
import shlex
import shutil
import subprocess

import mkinitramfs

KVM_MODULES = ["irqbypass", "kvm", "kvm-intel"]
FIRMWARE = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/multiboot_dma.bin",
            "/usr/share/qemu/kvmvapic.bin"]
# Nothing is waited for, measured or checked that is not needed to run KVM.
APPEND = ("console=ttyS0,115200 quiet nokaslr mitigations=off init_on_alloc=0 lpj=200000 "
          "no_timer_check tsc=reliable cryptomgr.notests audit=0 apparmor=0 random.trust_cpu=on "
          'vitrine.run="sh /nested"')
IPS = 200_000_000
EXTRA_MEM = 448  # MiB for Linux, QEMU and the RAM disk with both

SCRIPT = """\
for module in {modules}; do insmod /$module.ko || exit 125; done
echo "nested: QEMU starts"
{command} 2>/errors
code=$?
cat /errors
# isa-debug-exit gives (value << 1) | 1, and 1 is QEMU's own exit status after an error.
if [ $((code & 1)) = 0 ] || grep -v warning: /errors; then
    echo "nested: QEMU ended without a status (exit code $code)"
    exit 125
fi
exit $((code >> 1))
"""


def libraries(program):
    """The shared libraries that a program loads, its dynamic linker among them."""
    text = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", text)))


def image_names(paths):
    """{path here: path in the RAM disk}"""
    return {path: f"/images/{number}/{os.path.basename(path)}"
            for number, path in enumerate(dict.fromkeys(paths))}


def make_initramfs(output, linux, command, images):
    """command: QEMU's, which names files as `images` (from image_names()) says; linux: the folder of
    `make linux`."""
    program = shutil.which(command[0])
    if not program:
        raise OSError(f"{command[0]} is not installed: run tools/setup")
    script = f"{output}.sh"
    with open(script, "w", encoding="ascii") as file:
        file.write(SCRIPT.format(modules=" ".join(KVM_MODULES),
                                 command=shlex.join([*command, "-L", "/firmware"])))
    files = {"nested": script, "bin/" + command[0]: program}
    files.update((path[1:], path) for path in libraries(program))
    files.update((f"firmware/{os.path.basename(path)}", path) for path in FIRMWARE)
    files.update((f"{name}.ko", f"{linux}/kvm/{name}.ko") for name in KVM_MODULES)
    files.update((name[1:], path) for path, name in images.items())
    data = mkinitramfs.build(f"{linux}/busybox", f"{linux}/first", f"{linux}/debugexit",
                             [f"{name}={path}" for name, path in files.items()])
    with open(output, "wb") as file:
        file.write(data)
