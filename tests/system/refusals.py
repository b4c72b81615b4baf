# SPDX-License-Identifier: MIT
"""Machines on which Vitrine cannot run guests: one message that says why, and the end of the run."""
from harness import Boot, VMLINUZ, WITHOUT_EPT, WITHOUT_VMX

END = [r"cannot run guests on this machine", r"end status=2"]

TESTS = [
    Boot("CPU without VT-x", cpu=WITHOUT_VMX, args=[VMLINUZ], needs=[VMLINUZ], status=2,
         expect=[r"caps: this CPU has no VT-x .* needs an Intel CPU"] + END, weight=2),
    Boot("CPU without EPT", cpu=WITHOUT_EPT, args=[VMLINUZ], needs=[VMLINUZ], status=2,
         expect=[r"caps: MISSING: EPT.*older than Nehalem"] + END, weight=2),
    Boot("QEMU without KVM", args=["--host", "qemu-tcg", VMLINUZ], needs=[VMLINUZ], status=2,
         expect=[r"caps: this virtual CPU has no VT-x .* nested=1"] + END, weight=2),
]
