# SPDX-License-Identifier: MIT
"""Two CPUs: all of them in use, guests with two virtual CPUs, two guests at once, and what one CPU
does while another is stopped, killed or attacked."""
from harness import Boot, INITRAMFS, VMLINUZ, linux

TWO = ["--smp", "2"]
GUEST, HOSTILE = "build/guests/smp.elf", "build/guests/hostile.elf"
SMP = dict(timeout=90, weight=6, parts=True, reject=[r"panic"])
SHOW = 'vitrine.run="nproc; grep RES /proc/interrupts; grep CAL /proc/interrupts"'

PROMPT = ("timeout 60\nexpect running: \npause 1\nsend \\x1d\nexpect vitrine> \n"
          "send cpus\\r\nexpect CPU 1\nexpect busy\nexpect vitrine> \n")
# Registers of both virtual CPUs while they spin, then a pause, and the end.
LOOK = (PROMPT + "send vm guest 1\\r\nexpect vCPU 1 on CPU 1\nexpect vitrine> \n"
        "send regs\\r\nexpect at RIP\nexpect vitrine> \n"
        "send vm guest 0\\r\nexpect vitrine> \nsend regs\\r\nexpect at RIP\nexpect vitrine> \n"
        "send pause\\r\nexpect vitrine> \nsend vm\\r\nexpect paused\nexpect vitrine> \n"
        "send resume\\r\nexpect vitrine> \nsend vm\\r\nexpect running\nexpect vitrine> \n"
        "send kill\\r\nexpect killed at the prompt\nsend poweroff 9\\r\nexpect end status=9\n")
# Two guests that never end by themselves, each on its own CPU.
BOTH = (PROMPT + "send vm one\\r\nexpect one .*running\nexpect two .*running\nexpect vitrine> \n"
        "send vm two\\r\nexpect vitrine> \nsend regs\\r\nexpect at RIP\nexpect vitrine> \n"
        "send kill\\r\nexpect two: ended: killed\n"
        "send vm one\\r\nexpect one .*running\nexpect two .*ended\nexpect vitrine> \n"
        "send kill\\r\nexpect one: ended: killed\nsend poweroff 9\\r\nexpect end status=9\n")


def two_guests(first, second):
    words = f"{HOSTILE} guest={{}} mem=32M -- {{}}"
    return [*TWO, "--hv-append", "on-end=prompt", words.format("one", first),
            words.format("two", second)]


TESTS = [
    Boot("bare smp", args=[*TWO, "--bare", GUEST], **SMP),
    *(Boot(f"guest smp ({cpu})", cpu=cpu, args=[*TWO, f"{GUEST} vcpus=2 ud=forced"], **SMP)
      for cpu in ("lynnfield", "haswell", "skylake")),
    Boot("triple fault of one CPU ends the machine", status=4, timeout=90, weight=6,
         args=[*TWO, f"{GUEST} vcpus=2 -- triple"], expect=[r"ended: triple fault"],
         reject=[r"panic"]),
    Boot("both CPUs of a guest looked at, paused, killed", status=9, script=LOOK, timeout=90,
         weight=8, reject=[r"panic"],
         args=[*TWO, "--hv-append", "on-end=prompt", f"{GUEST} vcpus=2 -- spin"]),
    Boot("more vCPUs than CPUs", args=[f"{GUEST} vcpus=2"], status=3, timeout=60, weight=3,
         expect=[r"vcpus=2, but 1 CPUs are in use"]),
    Boot("Linux on two CPUs", args=[*TWO, *linux(SHOW)[:-1], f"{VMLINUZ} vcpus=2"], timeout=300,
         needs=[VMLINUZ, INITRAMFS], weight=60, reject=[r"panic", r"BUG:", r"stall", r"unstable"],
         expect=[r"^2$", r"RES: +[1-9]\d* +[1-9]", r"CAL: +[1-9]\d* +[1-9]", r"end status=0"]),
    Boot("two guests, one CPU: one after the other", timeout=60, weight=3,
         args=["--guest-mem", "64M", "build/guests/counts.elf", "build/guests/cpuid.elf"],
         expect=[r"guest0: ended: debug-exit", r"guest1: running", r"guest1: ended: debug-exit",
                 r"end status=0"]),
    Boot("two guests at once, both spinning", args=two_guests("spin", "spin"), script=BOTH, status=9,
         timeout=90, weight=8, reject=[r"panic"]),
]
