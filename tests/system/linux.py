# SPDX-License-Identifier: MIT
"""Debian's unmodified kernel as a guest: to its shell, its devices and its clock in order."""
from harness import Boot, INITRAMFS, LINUX_ARGS, ROOT, VMLINUZ, ladder, linux

NEEDS = [VMLINUZ, INITRAMFS]
with open(f"{ROOT}/tests/system/shell.script", encoding="utf-8") as file:
    SHELL = file.read()
# Nothing of this may be in a guest's log: it would mean a device or the clock is not as it should be.
COMPLAINTS = [r"panic", r"BUG:", r"Oops", r"soft lockup", r"rcu: INFO", r"unstable", r"stall",
              r"MP-BIOS bug", r"IO-APIC \+ timer doesn't work", r"nobody cared",
              r"unchecked MSR access"]


def run(commands):
    """vitrine.run= for the kernel's command line: shell commands without double quotes."""
    return f'vitrine.run="{commands}"'


# Input that comes while output goes: every interrupt of the serial port counts.
BUSY = "timeout 60\nexpect guest:/# \n" + "".join(
    f"send cat /proc/interrupts; echo done $(({n} * 7))\\r\nexpect \\ndone {n * 7}\\r\n"
    for n in range(1, 13)) + "send poweroff\\r\nexpect end status=0\n"

TESTS = [
    *ladder("Linux to its shell", args=linux(), script=SHELL, reject=COMPLAINTS, needs=NEEDS,
            timeout=300, weight=40),
    Boot("Linux types and prints at once", args=linux(), script=BUSY, needs=NEEDS, timeout=200,
         weight=35),
    Boot("Linux, 32-bit entry", args=linux(run("true"))[:-1] + [f"{VMLINUZ} mode=32"], needs=NEEDS,
         timeout=240, weight=30, expect=[r"first user instruction", r"end status=0"]),
    Boot("Linux's exit status comes out", args=linux(run("exit 42")), needs=NEEDS, status=42,
         timeout=240, weight=30, expect=[r"end status=42"]),
    Boot("Linux reboots", needs=NEEDS, timeout=300, weight=60,
         args=linux(), script="timeout 200\nexpect guest:/# \nsend reboot\\r\n"
         "expect first user instruction\nexpect guest:/# \nsend poweroff\\r\nexpect end status=0\n"),
    Boot("Linux keeps time", needs=NEEDS, timeout=240, weight=30, reject=COMPLAINTS,
         args=linux(run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource; "
                        "time sleep 5; dmesg | grep -i -e tsc -e timer")),
         expect=[r"^tsc$", r"^real\s+0m 5\.0[0-4]s", r"end status=0"]),
    Boot("Linux bare on the same PC", args=["--bare"] + linux(run("exit 7")), needs=NEEDS, status=7,
         timeout=120, weight=20, expect=[r"first user instruction", r"end status=7"]),
]
