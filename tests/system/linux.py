# SPDX-License-Identifier: MIT
"""Debian's unmodified kernel as a guest: to its shell, its devices and its clock in order."""
import re

from dataclasses import dataclass

from harness import Boot, INITRAMFS, LINUX_ARGS, ROOT, VMLINUZ, ladder, linux

SYMBOLS = "build/linux/System.map"
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

# Ten minutes: before and after them the guest says its time all along, and Vitrine its own, beside
# the real machine's clock.
SAY = "say() { date +%s; read u x </proc/uptime; echo $u up; usleep 200000; }"
CLOCK = (f"timeout 250\nexpect guest:/# \nsend {SAY}\\r\nexpect guest:/# \n"
         "send for i in `seq 40`; do say; done; sleep 600; while :; do say; done\\r\n"
         "expect \\d up\nsend \\x1d\nexpect vitrine> \nsend con guest show\\r\nexpect \\d up\n"
         "send time\\r\nexpect turned to .*\\n\nexpect \\b6[2-9]\\d\\.\\d+ up\n"
         "send time\\r\nexpect turned to .*\\n\nsend poweroff 0\\r\nexpect end status=0\n")


@dataclass
class Clocks(Boot):
    """Also: guest, TSC and the machine's battery-backed clock agree to 0.1 % over ten minutes."""

    def judge(self, status, text):
        return super().judge(status, text) or self.drift(text)

    @staticmethod
    def drift(text):
        marks = []
        for match in re.finditer(r"up ([\d.]+) s\s+at ([\d.]+) s the battery-backed clock turned to "
                                 r"(\d+) s", text):
            said = [re.findall(what, text[:match.start()])[-1]
                    for what in (r"\b(\d{9,})\n", r"(\d+\.\d+) up\n")]
            marks.append([float(x) for x in [*match.groups(), *said]])
        up, turned, host, date, uptime = (b - a for a, b in zip(marks[0], marks[-1]))
        if host < 600:
            return f"only {host} s have passed"
        # The guest spoke at most a line and a key before `time`; its `date` counts whole seconds.
        for name, guest, other, slack in (("TSC and host's clock", turned, host, 0),
                                          ("guest's uptime and TSC", uptime, up, 0),
                                          ("guest's date and TSC", date, up, 1)):
            if abs(guest - other) > other * 0.001 + slack:
                return f"{name}: {guest:.3f} s against {other:.3f} s"
        return None


TESTS = [
    *ladder("Linux to its shell", script=SHELL, reject=COMPLAINTS, needs=[*NEEDS, SYMBOLS],
            args=[*linux(args=["--symbols", SYMBOLS]), "--append", LINUX_ARGS.replace("nokaslr ", "")],
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
    Clocks("Linux keeps time for ten minutes", needs=NEEDS, timeout=300, weight=60, args=linux(),
           script=CLOCK, reject=COMPLAINTS),
    Boot("Linux bare on the same PC", args=["--bare"] + linux(run("exit 7")), needs=NEEDS, status=7,
         timeout=120, weight=20, expect=[r"first user instruction", r"end status=7"]),
]
