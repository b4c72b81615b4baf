# SPDX-License-Identifier: MIT
"""Vitrine's own faults, made on purpose: each is reported with a backtrace, and the prompt answers
behind it, polled, while a guest and other CPUs are stopped wherever they were."""
from harness import Boot

GUEST = "build/guests/hostile.elf"
FAULTS = {
    "panic": r"cpu_phys_bits\(\) == 0", "fault": r"#PF.*\n(.*\n)*.*fault_inner",
    "stack": r"stack_eat", "text": r"#PF", "alias": r"#PF", "execute": r"#PF",
    "divide": r"#DE", "jump": r"#PF", "nmi": r"NMI that nobody expects"}


def script(fault, ready="running: "):
    asked = {"log": "PANIC", "trace tail 3": "EXTERNAL_INTERRUPT|PREEMPTION_TIMER",
             "regs": r"RIP \w{16}", "echo still alive": "still alive"}
    return (f"timeout 40\nexpect {ready}\npause 1\nsend \\x1d\nexpect vitrine> \nsend mode machine\\r\n"
            f"expect (?m)^ok\r\nsend selftest {fault}\\r\nexpect backtrace:\npause 1\n" +
            "".join(f"send {command}\\r\nexpect {answer}\nexpect (?m)^ok\r\n"
                    for command, answer in asked.items()) +
            "send poweroff 9\\r\nexpect end status=9\n")


TESTS = [
    Boot("panic: the prompt answers", args=["--append", "spin", "--hv-append", "on-end=prompt", GUEST],
         status=9, timeout=60, weight=3, script=script("panic"), expect=[FAULTS["panic"]]),
    Boot("panic: the guest is on another CPU", status=9, timeout=60, weight=5,
         args=["--smp", "2", "--guest-mem", "32M", "--append", "spin", "--hv-append", "on-end=prompt", f"{GUEST} guest=a",
               f"{GUEST} guest=b"],
         script=script("fault", "(?s)running: .*running: "),
         expect=[FAULTS["fault"], r"CPU 1: stopped at .*"]),
    *(Boot(f"panic: {fault}", args=["--boot-module", "{tmp}/module script", "--hv-append",
                                    "on-end=prompt", GUEST],
           files={"module": f"selftest {fault}\n".encode()}, status=9, timeout=60, weight=2,
           expect=[words], script="timeout 40\nexpect backtrace:\nexpect vitrine> \n"
           "send poweroff 9\\r\nexpect end status=9\n")
      for fault, words in FAULTS.items()),
]
