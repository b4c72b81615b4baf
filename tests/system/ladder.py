# SPDX-License-Identifier: MIT
"""Every CPU model of Bochs with EPT: a guest that causes every usual exit, and what `caps` says there
against docs/capabilities.md."""
import os
import sys

from dataclasses import dataclass

from harness import Boot, LADDER_OF_TEN, ROOT

sys.path.insert(0, os.path.join(ROOT, "tools"))
import capabilities  # noqa: E402


@dataclass
class Capable(Boot):
    """Also: the model's column of the page is what it says."""

    def judge(self, status, text):
        return super().judge(status, text) or self.stale(text)

    def stale(self, text):
        with open(capabilities.PAGE, encoding="ascii") as file:
            page = capabilities.page_rows(file.read(), self.cpu)
        said = {name: capabilities.cell(what) for name, what in capabilities.rows(text).items()}
        other = sorted(set(said.items()) ^ set(page.items()))
        return f"docs/capabilities.md is stale: make capabilities; {other}" if other else None


TESTS = [
    Capable(f"all exits and capabilities ({cpu})", cpu=cpu, timeout=60, weight=3, files={"caps": b"caps\n"},
            args=["--boot-module", "{tmp}/caps script", "build/guests/bench-vmexit.elf mem=48M -- quick"],
            expect=["VMCS revision", "bench cpuid [0-9]+$", "bench self-ipi-sti-hlt [0-9]+$",
                    " 0 failed", "end status=0"])
    for cpu in LADDER_OF_TEN
]
