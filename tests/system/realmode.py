#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real mode natively, in virtual-8086 mode, and emulated: tests/system/realmode.asm tells its
registers after every instruction, and all ways have to tell the same as the CPU itself."""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# The first is the judge.
WAYS = {
    "natively": ("haswell", "real-mode=native"),
    "in virtual-8086 mode": ("lynnfield", ""),
    "in virtual-8086 mode beside unrestricted guest": ("haswell", "real-mode=vm86"),
    "emulated": ("haswell", "real-mode=emulate"),
    "emulated without unrestricted guest": ("lynnfield", "real-mode=emulate"),
}


def steps(image, cpu, words):
    run = subprocess.run(["tools/run", "--cpu", cpu, "--timeout", "120", "--ips", "15000000",
                          f"{image} kind=flat mem=4M {words}"], cwd=ROOT, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = run.stdout.decode(errors="replace").replace("\r", "")
    lines = re.findall(r"(?m)^(?:[0-9a-f]{4} ){25}$", text)
    if run.returncode or "all steps told" not in text:
        print(text)
        sys.exit(f"{cpu} {words}: exit status {run.returncode}, {len(lines)} steps")
    return between(lines)


def between(lines):
    """Without arithmetic flags between two iterations, where IP stays: real CPUs leave them as they
    were before the repeated instruction (SDM vol. 2B, REP), Bochs has the last iteration's."""
    return [f"{int(line[:4], 16) & ~0x8d5:04x}{line[4:]}" if line[5:14] == before[5:14] else line
            for before, line in zip(lines[:1] + lines, lines)]


def main():
    with tempfile.TemporaryDirectory() as folder:
        image = f"{folder}/realmode"
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-o", image,
                        f"{ROOT}/tests/system/realmode.asm"], check=True)
        told = {way: steps(image, *how) for way, how in WAYS.items()}
    judge = next(iter(told.values()))
    if len(judge) < 100:
        sys.exit(f"only {len(judge)} steps natively")
    bad = False
    for way, lines in told.items():
        different = next((n for n, pair in enumerate(zip(judge, lines)) if pair[0] != pair[1]), None)
        if different is None and len(lines) == len(judge):
            print(f"ok {way.replace(' ', '-')}")
            continue
        bad = True
        print(f"not ok {way.replace(' ', '-')}")
        if different is None:
            print(f"  {len(lines)} steps, natively {len(judge)}")
        else:
            print(f"  FLAGS CS IP SS EAX ECX EDX EBX ESP EBP ESI EDI DS ES FS GS sum\n"
                  f"  before    {judge[different - 1]}\n  natively  {judge[different]}\n"
                  f"  {way}:\n            {lines[different]}")
    sys.exit(bad)


if __name__ == "__main__":
    main()
else:
    from harness import Command
    TESTS = [Command("real mode, step by step", ["python3", "tests/system/realmode.py"], parts=True,
                     timeout=200, weight=25)]
