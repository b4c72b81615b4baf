# SPDX-License-Identifier: MIT
"""Under QEMU with KVM, which runs in Linux in Bochs: once with all of VT-x that KVM gives, once
without what Vitrine can do without. The guest causes known numbers of every usual exit, and its
status comes out through QEMU's debug-exit port: 0, or 1 when it is not told y. VMREAD and VMWRITE are
counted in one exit of a kind: without VMCS shadowing each costs 1,200 ticks there."""
from harness import Boot, INITRAMFS, VMLINUZ

GUEST = "build/guests/bench-vmexit.elf"
NEEDS = [GUEST, VMLINUZ, INITRAMFS, "build/linux/kvm/kvm-intel.ko"]
WITHOUT = ("-cpu host,-vmx-unrestricted-guest,-vmx-preemption-timer,-vmx-apicv-register,"
           "-vmx-apicv-vid,-vmx-vpid")
# Two rounds of 64; what the guest's start and interrupts add is the same on every machine.
COUNTS = ["INTERRUPT_WINDOW +385 ", "CPUID +131 ", "HLT +128 ", "VMCALL +128 ", "RDMSR +388 ",
          "WRMSR +1029 ", "EPT_VIOLATION +1416 ", "WBINVD +128 "]
SCRIPT = """\
timeout 250
expect type y
send \\x1d
expect vitrine> 
send stat\\r
expect vitrine> 
send \\x1d{key}
expect init: end status=
"""


def nested(name, key, status, qemu, is_on, exit, accesses):
    return Boot(f"nested in KVM{name}", status=status, needs=NEEDS, timeout=300, weight=90,
                args=["--host", "nested", "--mem", "96", "--qemu", qemu, "--steps", exit,
                      f"{GUEST} mem=48M -- quick wait"], script=SCRIPT.format(key=key),
                reject=["panic", "unexpected", "BUG:", "Oops"],
                expect=["vitrine: starting", "Multiboot 1 by qemu", is_on, "bench cpuid [0-9]+$",
                        "bench x2apic-deadline-past [0-9]+$", *(f"^{text}" for text in COUNTS),
                        f"^end status={status}$", f"vitrine: end status={status}$",
                        f"init: end status={status}$",
                        f"steps: {exit}: [0-9]+ instructions, {accesses}$"])


TESTS = [
    nested("", "y", 0, "", "VT-x is on: EPT, unrestricted guest, VPID, APIC timer, 1-GiB", "CPUID",
           "5 VMREAD, 1 VMWRITE"),
    nested(" with little VT-x", "n", 1, WITHOUT, "VT-x is on: EPT, no unrestricted guest, APIC timer",
           "IO", "7 VMREAD, 1 VMWRITE"),
]
