#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure on Bochs, where a tick is an instruction: Linux's boot, bare and under Vitrine.

From the kernel's entry to the first user-space instruction, at equal clock rate, memory and
features; the exits it took are listed below. Then what the guests called bench-* report, and what
the programs in build/bench/ say of the emulator on this machine.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from harness import INITRAMFS, LINUX_ARGS, VMLINUZ  # noqa: E402

IPS = "200000000"
CPU = "haswell"
GOAL, KVM = 1.05, 1.134
STAMP = "entry_tsc=0x0000000000000000"
LIKE_KVM = f"{LINUX_ARGS} lpj=200000 tsc=reliable"
ENTERED = re.compile(r"entered at tsc=0x([0-9a-fA-F]+)")
FIRST = re.compile(r"first user instruction at tsc=0x([0-9a-f]+)")
SCRIPT = """\
timeout 200
expect first user instruction at tsc=0x[0-9a-f]+
expect init: a shell
send \\x1d
expect vitrine> 
send stat\\r
expect vitrine> 
send poweroff 0\\r
expect end status=0
"""


def run(args, script=""):
    with tempfile.NamedTemporaryFile("w", suffix=".script") as file:
        file.write(script)
        file.flush()
        more = ["--script", file.name] if script else []
        done = subprocess.run(["tools/run", "--timeout", "300", "--ips", IPS, "--cpu", CPU] + more +
                              args, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    text = done.stdout.decode(errors="replace").replace("\r", "")
    if done.returncode:
        sys.exit(f"{text}\nbench: tools/run {' '.join(args)}: status {done.returncode}")
    return text


def boot_ticks(text):
    """Ticks between the two marks; without a mark at the entry the counter began there at 0."""
    first, entered = FIRST.search(text), ENTERED.search(text)
    if not first:
        sys.exit(f"{text}\nbench: the guest did not reach user space")
    return int(first.group(1), 16) - (int(entered.group(1), 16) if entered else 0)


def boots():
    bare = boot_ticks(run(["--bare", "--mem", "256", "--initrd", INITRAMFS, "--append",
                           f"{LIKE_KVM} {STAMP} vitrine.run=true", VMLINUZ]))
    text = run(["--initrd", INITRAMFS, "--append", LIKE_KVM, f"{VMLINUZ} mem=256M mode=32"], SCRIPT)
    guest = boot_ticks(text)
    print(f"Linux, entry to first user instruction ({CPU}, 256 MiB, {int(IPS) // 10**6} MHz):")
    print(f"  bare          {bare / 1e6:8.1f} M ticks")
    print(f"  under Vitrine {guest / 1e6:8.1f} M ticks = {guest / bare:.3f} x bare "
          f"(goal {GOAL}; KVM {KVM})")
    stat = text.rpartition("stat\n")[2].partition("vitrine> ")[0]
    print("\n".join(f"  {line}" for line in stat.splitlines() if line.strip()))
    return guest / bare


def guests():
    for path in sorted(glob.glob("build/guests/bench*.elf")):
        print(f"\n{os.path.basename(path)[:-4]}, ticks ({CPU}):")
        for line in run([path]).splitlines():
            if not re.match(r"\[\d|vitrine", line):
                print(f"  {line}")


def programs():
    for path in sorted(glob.glob("build/bench/*")):
        if os.access(path, os.X_OK):
            print(f"\n{path}:", flush=True)
            subprocess.run([path], check=True)


def main():
    os.chdir(ROOT)
    boots()
    guests()
    programs()
    return 0


if __name__ == "__main__":
    sys.exit(main())
