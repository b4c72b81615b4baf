# SPDX-License-Identifier: MIT
"""Machines and loaders that are not as they should be: what is missing is named and gone without, and
the guest runs; or the run ends with the reason. (Wrong memory maps in every shape, and
IA32_FEATURE_CONTROL: tests/unit/test_memory.c and test_caps.c.)"""
import subprocess
import tempfile

from dataclasses import dataclass

from harness import Boot, ROOT

GUEST = "build/guests/cpuid.elf"
RUNS = [r"running: ", r"0 failed", r"end status=0"]
CANNOT = r"building page tables: out of memory; cannot go on"


@dataclass
class Doctored(Boot):
    """tests/system/prelude.asm, assembled with -D`how`, runs before Vitrine."""
    how: str = ""

    def line(self, folder):
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            subprocess.run(["nasm", "-f", "bin", "-Werror", f"-D{self.how}", "-o", file.name,
                            f"{ROOT}/tests/system/prelude.asm"], check=True)
        return [*super().line(folder), "--prelude", file.name]


def doctored(name, how, expect, *args, guest="", status=0):
    return Doctored(name, how=how, expect=expect, status=status, timeout=60, weight=3, reject=[r"panic"],
                    args=[*args, f"{GUEST} {guest}".strip()])


TESTS = [
    doctored("a CPU that does not answer is left out", "HANG",
             [r"CPU 1 \(APIC ID 99\) does not answer to INIT and start-up and is left out",
              r"1 of 2 CPUs are in use", *RUNS], "--smp", "2"),
    doctored("no ACPI", "NO_ACPI", [r"no RSDP found: going on with a PC's defaults", *RUNS]),
    doctored("a memory map out of order", "MAP", [r"memory: 510 MiB usable, top 0x1fff0000", *RUNS]),
    doctored("no memory for page tables", "TINY=0x110000", [CANNOT], status=1),
    doctored("no memory for a guest", "TINY=0x400000",
             [r"no 4 MiB of contiguous memory for mem=4M", r"not created: out of memory",
              "no guest to run"], guest="mem=4M", status=3),
    Boot("no modules", status=3, timeout=60, weight=2, expect=["no guest to run; the README says how"]),
    Boot("the TSC is not invariant", cpu="penryn", status=2, timeout=60, weight=2,
         expect=[r"tsc: the TSC is not invariant: it may stop"]),
]
