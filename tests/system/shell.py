# SPDX-License-Identifier: MIT
"""Every command of the prompt, with good and bad words, as a program would type them (`mode machine`);
a command that `help` lists and no case is for fails the test. And lines of random words and bytes, run
with the guest before its start as a script module, and typed while it runs.

shell.py LINES [SEED]    more random lines, 25000 a boot, each boot with a seed of its own (from SEED on)
"""
import os
import random
import re
import sys
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Boot, free_port  # noqa: E402

GUEST = "build/guests/debug.elf"

# What is typed, and what comes: "err NAME" or, before "ok", a pattern. The guest stands at its entry.
CASES = """\
help | help \\[COMMAND\\]
help x | For example:\\s+x 0x
help nothing | err ENOENT
help x y | err EINVAL
log | symbols
log loud | err EINVAL
log debug
log info
mode | machine
mode nobody | err EINVAL
con | \\* prompt
con nobody | err ENOENT
con prompt hide | err EINVAL
con guest hide
con guest show
echo "two  words" 3 | two  words 3
echo "open | err EFORMAT
echo a b c d e f g h i j k l m n o p | err ERANGE
history
history all | err EINVAL
caps | EPT
vm | guest +paused
vm guest 0 | guest
vm guest 1 | err ERANGE
vm nobody | err ENOENT
regs | RIP 000000000010000c .*32-bit mode
regs 1 | err EINVAL
vmcs Guest_RIP | GUEST_RIP +000000000010000c
vmcs | HOST_RIP
vmcs check | .
vmcs nothing | err ENOENT
symbols | guest: \\d+ symbols, slid by 0 \\(as told\\)
symbols 0x10000d | 000000000010000d <guest_entry\\+0x1>
symbols guest_main | <guest_main>
symbols nothing_such | err ENOENT
symbols guest_main+x | err EFORMAT
symbols slide | err EINVAL
symbols slide x | err EFORMAT
symbols slide 0x1000
symbols 0x10100d | <guest_entry\\+0x1>
symbols slide auto
symbols slide 0
symbols 1 2 | err EINVAL
x guest_entry 16 | 000000000010000c  [0-9a-f ]{48}
x guest_entry 4 d | 000000000010000c  [0-9a-f]{8}
x rip-12 12 d | 0000000000100000  1badb002 00010003|0000000000100000  1badb002
x 0xffffffffffffffff | --
x 1G | err EFORMAT
x rip 0 | err ERANGE
x rip 16 f | err EINVAL
x | err EINVAL
xp 0x100000 4 d | 1badb002
xp 0xffffffffffffffff 32 q | -{16}
xp rsp 32 s | "
xh 0x8000000000000000 16 b | --
xh 0 16 a | -{16}
xh rsp | err EFORMAT
walk 0x100000 | guest-physical 0x100000
walk nothing_such | err ENOENT
ept 0x100000 | KiB page -> host-physical
ept 0xfee00000 | device
ept 0x1000000000000 | err ERANGE
dis | <guest_entry>:\\s+000000000010000c  fa +cli
dis guest_main 2 | <guest_main>:
dis 0 1001 | err ERANGE
dis 0xfee00000 1 | no instruction
bt | #0  000000000010000c <guest_entry>
bt 1 | err EINVAL
cpuid 0 | guest  \\w{8} 756e6547 6c65746e 49656e69
cpuid 0x7 0 | host
cpuid x | err EFORMAT
cpuid 0x100000000 | err ERANGE
cpuid | err EINVAL
msr 0x1b | 00000000fee00900
msr 0xc0000082 5
msr 0xc0000082 | 0000000000000005
msr 0xc0000082 0
msr 0x1b1b1b | err ENOENT
msr 0x1b 1 | err ENOENT
msr x | err ENOENT
msr APIC_b | 00000000fee00900
in 0x3fd | 60
in 0x64 4 | \\w{8}
in 0xffff 2 | err ERANGE
in 0x60 3 | err EINVAL
in 0x10000 | err ERANGE
out 0x80 0x55
out 0x80 0x100 | err ERANGE
out 0x80 0xffffffff 4
out 0x80 | err EINVAL
out 0x80 x | err EFORMAT
io | 3f8-3ff +uart +[1-9]\\d* reads
io 1 | err EINVAL
mmio | fee00000-fee00fff +lapic
mmio 1 | err EINVAL
timers
timers 1 | err EINVAL
stat | unclaimed:
stat emu 5 | 0 exits
stat top
stat rules | rule of SDM
stat reset
stat nothing | err EINVAL
stat emu x | err EFORMAT
trace on
trace tail 3 | LIFE
trace dump | LIFE
trace filter reason IO
trace filter reason NOTHING | err ENOENT
trace filter addr 5 4 | err ERANGE
trace filter vm | err EINVAL
trace filter vm guest
trace filter vm guest 1 | err ERANGE
trace filter device la
trace filter | err EINVAL
trace bogus | err EINVAL
trace filter off
trace save | ~Z\\|
trace off
trace on
trace tail 0 | err ERANGE
trace | err EINVAL
explain | err ENOENT
explain why | 0 instructions
explain 0 | err ERANGE
mem | free
mem 1 | err EINVAL
cpus | \\b0\\b
cpus 1 | err EINVAL
irq
irq 1 | err EINVAL
devs | (?s)local APIC of CPU 0.*I/O APIC.*8259 master.*8254.*16550A
devs lapic | LVT_TIMER +\\w{8}  vector 00h one-shot
devs ioapic | pin 23
devs pic | ELCR
devs pit | channel 2
devs rtc | alarm
devs uart | 5 data bits
devs nothing | err EINVAL
time | battery-backed
time 1 | err EINVAL
gdb | guest
gdb guest 64
gdb guest 8 | err EINVAL
gdb nobody | err ENOENT
break guest_main | 1
break 1 | 2
break | 1  break --  \\w+ <guest_main>  hits 0
break nothing_such | err ENOENT
break 1 2 | err EINVAL
watch run 4 w | 3
watch run 0 | err ERANGE
watch run 4 x | err EINVAL
watch | err EINVAL
watchp 0x100000 8 rw | 4
watchp 0xfee00000 | err ENOENT
delete 4
delete 4 | err ENOENT
delete 0 | err ERANGE
delete x | err EFORMAT
delete all
inject nothing | err EINVAL
inject nmi 1 | err EINVAL
inject interrupt | err EINVAL
inject interrupt 8 | err ERANGE
inject exception 6 1 | err EINVAL
inject exception 2 | err EBUSY
inject exception 32 | err ERANGE
pause | err EINVAL
step 0 | err ERANGE
step x | err EFORMAT
step | stands \\(stepped\\) at 0x10000d
until exit nothing | err ENOENT
until entry cpuid | err EINVAL
until exit | err EINVAL
until exit io | stands \\(exit\\)
step 5 | stands \\(stepped\\)
break run_test
resume | stands \\(point \\d\\) at 0x\\w+ <run_test>
bt | #1  \\w+ <guest_main\\+0x
resume 1 | err EINVAL
nothing | err ENOENT
e | err EINVAL
"" | err ENOENT
kill 1 | err EINVAL
reset 1 | err EINVAL
selftest nothing | err ENOENT
selftest msr | EFER yes
reboot 1 | err EINVAL
poweroff x | err EFORMAT
poweroff 256 | err ERANGE
kill | ended: killed at the prompt
kill | err EINVAL
resume | err EINVAL
reset | stands \\(waits\\)|running:
poweroff 9 | end status=9
"""


CASES = [line.partition(" | ")[::2] for line in CASES.splitlines()]
LATER = re.compile("stands|ended|status|running")  # comes behind the "ok"


def session():
    """The script for tools/run; what has come is judged when all of it is there."""
    lines = ["timeout 20", "expect running: ", r"send \x1d", "expect vitrine> ",
             r"send mode machine\r", r"expect (?m)^ok\r"]
    for typed, answer in CASES:
        lines.append(f"send {typed}\\r")
        if typed != "poweroff 9":
            lines.append(r"expect (?m)^(ok|err [A-Z]+: .*)\r")
        if LATER.search(answer):
            lines.append(f"expect {answer}")
        if typed == "reset":  # the keyboard is the guest's again
            lines += [r"send \x1d", "expect hypervisor's prompt"]
    return "\n".join(lines) + "\n"


@dataclass
class Session(Boot):
    """Also: each command said what it should, and `help` lists none that was not typed."""

    def judge(self, status, text):
        at = re.compile(r"^ok$", re.M).search(text)
        if not at:
            return "no prompt"
        wrong, text = [], text[at.end():]
        for typed, answer in CASES[:-1]:
            end = re.compile(r"^(ok|err [A-Z]+: .*)$", re.M).search(text)
            if not end:
                return f"no answer to {typed!r}"
            said, text = text[:end.end()], text[end.end():]
            if answer.startswith("err ") or said.strip().startswith("err "):
                good = end.group(0).startswith(answer + ":") and answer
            else:
                good = LATER.search(answer) or re.search(answer, said)
            if not good:
                wrong.append(f"`{typed}`: no {answer!r} in {said.strip()[-300:]!r}")
            if typed.split()[0] in ("help", "stat", "explain"):
                wrong += [f"`{typed}`: more than 80 columns: {line}" for line in said.splitlines()
                          if len(line) > 80 and not line.startswith(("err ", "* "))]
            if typed == "help":
                names = re.findall(r"(?m)^  ([a-z]+) ", said)
                missing = set(names) - {case.split()[0] for case, _ in CASES}
                if missing or len(names) < 40:
                    wrong.append(f"no case for {', '.join(missing)} of {len(names)} commands")
        return "; ".join(wrong) or super().judge(status, text)


# Ends the run, or takes the terminal away.
DEADLY = ["poweroff", "selftest", "reboot", "mode", "con", "kill", "reset", "time", "log", "history", "gdb"]
WORDS = ["0", "1", "7", "64", "0x10", "0x100000", "0xfee00000", "0xffffffffffffffff", "4K", "rsp", "rip",
         "rip+3", "guest_main", "guest_entry-1", "run", "nothing", "w", "rw", "q", "a", "s", "exit", "io",
         "cpuid", "all", "on", "off", "filter", "reason", "addr", "IO", "emu", "top", "rules", "reset",
         "why", "nmi", "interrupt", "exception", "slide", "auto", "guest", "check", "guest_cr", '"', "#",
         "pit", "0x3f8", "device", "vcpu", "vm", "lapic", "lstar", "ept_violation", "step", "tail", "save", "dump", "diff", "0x80", "18446744073709551616", "-1", "+", "a" * 200]


def fuzz(seed, count, names):
    """Random lines, of which none can begin one of DEADLY."""
    chance = random.Random(seed)
    lines = []
    while len(lines) < count:
        if chance.random() < 0.8:
            line = " ".join([chance.choice(names)] +
                            [chance.choice(WORDS) for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4, 9)))])
        else:
            line = "".join(chr(chance.randrange(32, 127)) for _ in range(chance.randrange(1, 40)))
        first = line.lower().replace('"', "").split()[:1]
        if not first or not any(name.startswith(first[0]) for name in DEADLY):
            lines.append(line.replace("\\", "/"))
    return lines


NAMES = sorted({typed.split()[0] for typed, _ in CASES} - set(DEADLY))
# Output costs most: short of that, what prints pages is left to the session above.
TERSE = [name for name in NAMES if name not in ("help", "caps", "vmcs", "devs", "trace", "stat", "io",
                                                "mem", "xh", "regs", "symbols", "mmio", "irq", "cpus")]
TO_PROMPT = "timeout 100\nexpect console: guest\nsend \\x1d\nexpect hypervisor's prompt\n"
TAB = {"vmcs guest_ri": "vmcs guest_rip", "until exit ept_v": "ept_violation",
       "symbols guest_mai": "symbols guest_main", "devs io": "ioapic", "msr lst": "msr lstar", "trace filter rea": "reason ",
       "trace filter reason ste": "step", "trace filter device pic-m": "pic-master", "gdb gu": "guest",
       "con gu": "guest", "vm gue": "vm guest",
       "x rsp 16 ": "b .*w .*d .*q .*a .*s", "he": "help", "inject nm": "inject nmi"}


def random_lines(name, seed, count, names):
    """A boot: `count` lines by a script before the guest starts, and some typed while it runs."""
    script, steps = ["mode machine", "until exit cpuid", "pause"], []
    for at, line in enumerate(fuzz(seed, count, names)):
        script.append(line)
        if at % 100 == 99:  # short of that, expect would search all that was said, again and again
            script.append(f"echo {at + 1} are done")
            steps.append(f"expect (?m)^{at + 1} are done\r\n")
    script += ["echo the script ended", ""]
    typed = "".join(f"send {line}\\r\n" for line in fuzz(-seed, 150 + count // 100, TERSE))
    return Boot(name, timeout=100 + count / 25, weight=15, status=9, reject=[r"PANIC"],
                files={"module": "\n".join(script).encode()},
                script="timeout 80\n" + "".join(steps) + "expect (?m)^the script ended\r\n" + TO_PROMPT + typed +
                "send echo still alive\\r\nexpect \\nstill alive\r\n"
                "send poweroff 9\\r\nexpect end status=9\n",
                args=["--ips", "1000000", "--hv-append", "on-end=prompt",
                      "--boot-module", "{tmp}/module script", GUEST])


TESTS = [
    Session("shell: every command, by a program", script=session(), status=9, timeout=90, weight=8,
            args=["--ips", "4000000", "--gdb", str(free_port()), "--hv-append",
                  "gdb=wait on-end=prompt", GUEST],
            reject=[r"panic"]),
    Boot("shell: Tab completes", timeout=60, weight=3, status=9, reject=[r"panic"],
         args=["--append", "spin", "--hv-append", "on-end=prompt", "build/guests/hostile.elf"],
         script=TO_PROMPT + "".join(f"expect vitrine> \nsend {typed}\\t\nexpect {whole}\nsend \\x03\n"
                                    for typed, whole in TAB.items()) +
         "send poweroff 9\\r\nexpect end status=9\n"),
    random_lines("shell: random lines", 1, 4000, TERSE),
]


def main(lines, seed):
    for at in range(0, lines, 25000):
        result = random_lines(f"shell: random lines, seed {seed}", seed, min(25000, lines - at), 4 * TERSE + NAMES).run()
        print(f"{result.outcome} {result.test.name}, {at} before {result.why} [{result.seconds:.0f} s]",
              flush=True)
        if result.outcome != "ok":
            return 1
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int((sys.argv + ["1"])[2])))
