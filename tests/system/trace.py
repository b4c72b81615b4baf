# SPDX-License-Identifier: MIT
"""Trace, statistics and explanations against the guest `counts`, which makes known numbers of
exits, and against each other."""
import os
import re
import subprocess
import sys
import tempfile

from dataclasses import dataclass

from harness import Boot, Command, INITRAMFS, ROOT, VMLINUZ, linux

sys.path.insert(0, os.path.join(ROOT, "tools"))
import tracefile  # noqa: E402

GUEST = "build/guests/counts.elf"
DUMP = os.path.join(ROOT, "build/logs/trace.dump")
BENCH = "build/guests/bench-vmexit.elf"
COMMANDS = ["stat", "stat emu 200", "stat top 3", "trace tail 4", "explain", "explain why"]
SCRIPT = ("timeout 60\nexpect ended: \nsend \\r\nexpect vitrine> \n" +
          "".join(f"send {command}\\r\nexpect vitrine> \n" for command in COMMANDS) + "{SAVE}"
          "send poweroff 0\\r\nexpect end status=0\n")


@dataclass
class Told(Boot):
    """Also: every exit that Bochs saw is in a row of the saved table or counted as an event, of each
    reason as many as its counter says."""

    def judge(self, status, text):
        return super().judge(status, text) or self.told(text)

    @staticmethod
    def told(text):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "capture"), "w", encoding="utf-8") as file:
                file.write(text)
            run, = tracefile.read_capture(file.name)
            report = subprocess.run(["tools/trace", file.name, "--html", "-"], cwd=ROOT, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
        if "nothing is untold" not in report or not report.endswith("</html>\n"):
            return f"tools/trace: {report[-200:]}"
        for counter in run.exits:
            rows = sum(row.count for row in run.rows if row.reason == counter.name)
            if rows + counter.quiet != counter.count:
                return f"{counter.count} exits by {counter.name}, told {rows} + {counter.quiet}"
        if not all(row.rip for row in run.rows):
            return "the table is full"
        total = sum(counter.count for counter in run.exits)
        bochs = int(re.search(r"run: (\d+) VM exits by Bochs' count", text).group(1))
        return None if total == bochs > 5000 else f"{total} exits, by Bochs' count {bochs}"


@dataclass
class Adds(Boot):
    """Also: every exit counter is the sum of its rows in the table, but for exits by events."""

    def judge(self, status, text):
        return super().judge(status, text) or self.sums(text) or \
            ("trace save" in self.script and self.saved(text))

    @staticmethod
    def sums(text):
        exits = {name: int(n) for name, n in re.findall(
            r"(?m)^([A-Z_]{2,}) +(\d+) +\d+ +\S+ +\d+ +\S+ +\S+ +\d+$", text)}
        table = text[text.index("stat emu 200\n"):text.index("stat top 3\n")]
        rows = re.findall(r"(?m)^ *(\d+) +\d+ +\S+ (\S+) +\S+ +", table)
        events = sum(exits.pop(name, 0) for name in ("EXTERNAL_INTERRUPT", "PREEMPTION_TIMER"))
        told = {}
        for count, name in (row for row in rows if row[1] != "invalid-s"):
            name = "EPT_VIOLATION" if name == "mmio" else name
            told[name] = told.get(name, 0) + int(count)
        if told != exits:
            return f"exits {exits}, but the table has {told}"
        total = f"{sum(told.values()) + events} exits: {sum(told.values())} by instructions"
        return None if total in table else f"no {total!r}"

    @staticmethod
    def dumped(dump, save):
        """What is wrong in the dump, which has no counters beside the table."""
        for what, fields in (("rows", "count ticks reason why rip address cause"),
                             ("records", "tsc rip ticks reason why io address value")):
            a, b = (sorted([getattr(one, name) for name in fields.split()] for one in getattr(run, what))
                    for run in (dump, save))
            if what == "records":  # but for the addresses of texts
                a, b = ([r for r in run if r[3] != "LIFE"] for run in (a, b))
            if a != b or len(a) < 10:
                return f"{what} in the dump: {[r for r in a if r not in b]}, saved {[r for r in b if r not in a]}"
        counts = [{e.name: (e.count, e.quiet) for e in run.exits} for run in (dump, save)]
        return None if counts[0] == counts[1] else f"counts in the dump {counts[0]}, saved {counts[1]}"

    @staticmethod
    def saved(text):
        """tools/trace tells of the save what the prompt told, and of a dump of memory the same."""
        with tempfile.TemporaryDirectory() as folder:
            capture = os.path.join(folder, "capture")
            with open(capture, "w", encoding="utf-8") as file:
                file.write(text)
            wrong = Adds.dumped(*tracefile.read_capture(DUMP), *tracefile.read_capture(capture))
            os.remove(DUMP)
            done = subprocess.run(
                ["tools/trace", capture, "--folded", "-", "--text", f"{capture}.txt"], cwd=ROOT,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                return done.stdout
            with open(f"{capture}.txt", encoding="utf-8") as file:
                said = file.read()
        for count, ticks, name in re.findall(r"(?m)^([A-Z_]{2,}) +(\d+) +(\d+) +\S+ +\d+ +\S+ +\S+ +\d+$",
                                              text):
            if not re.search(rf"(?m)^{count} +{ticks} exits +{name} ticks ", said):
                return f"tools/trace does not say {ticks} exits by {count}"
        tail = re.findall(r"(?m)^\[.*?\] \S+ +(.*)$", text.split("trace tail 4\n")[1])[:4]
        if wrong:
            return wrong
        if tail != (last := re.findall(r"(?m)^\[.*?\] \S+ +(.*)$", said)[-4:]):
            return f"the prompt: {tail}; tools/trace: {last}"
        stacks = done.stdout.splitlines()
        for what in ("IO;pic-master mask;", "EPT_VIOLATION;mmio;lapic TPR;", "CPUID;", "RDMSR;apic-base"):
            if not any(f";{what}" in stack for stack in stacks):
                return f"no stack of {what}"
        return None


TESTS = [
    Adds(f"trace and statistics ({cpu})", cpu=cpu, args=["--hv-append", "on-end=prompt", "--mem", "64", "--guest-mem", "16M", GUEST] +
         (["--dump", DUMP] if save else []), script=SCRIPT.replace("{SAVE}", save), timeout=60, weight=3 + len(save), reject=[r"panic", r"trace was off", r"table is full"],
         expect=[r"^CPUID +701 ", r"^RDMSR +503 ",
                 r"^ *3001 +\d+ +\S+ IO +\S+ +pic-master mask +in al,",
                 r"^ *2003 +\d+ +\S+ mmio +\S+ +lapic TPR +mov dw",
                 r"^ *1009 +\d+ +\S+ mmio +\S+ +lapic TPR +mov ed",
                 r"^ *701 +\d+ +\S+ CPUID +\S+ +cpuid",
                 r"^ *503 +\d+ +\S+ RDMSR +\S+ +apic-base \+0 +rdmsr",
                 r"^ *307 +\d+ +\S+ CR_ACCESS +\S+ +mov ra",
                 r"trace tail 4\n(\[.*\n)*.* IO .* out 0xf4, eax; debug-exit \+0 <- 0;.*ticks",
                 r"LIFE +guest debug-exit",
                 r"out 0xf4, eax\n +did +wrote 0 to debug-exit \+0 \(port 0xf4\)",
                 r"3012 x local APIC registers by memory", r"avoid +x2APIC mode"])
    for cpu, save in (("lynnfield", ""), ("haswell", "send trace save\\r\nexpect vitrine> \n"))
] + [
    Told("every exit of a Linux boot is told", needs=[VMLINUZ, INITRAMFS], timeout=240, weight=40,
         args=linux('vitrine.run="cat /proc/interrupts"', ["--hv-append", "on-end=prompt",
                                                           "--count-exits"]),
         script="timeout 200\nexpect ended: \nsend trace save\\r\nexpect ~Z.*\\n\n"
                "send poweroff 0\\r\nexpect end status=0\n", reject=[r"panic"]),
    Command("tools/trace", ["python3", "tests/trace_tool.py"], parts=True, weight=6),
    Command("the trace adds at most 30 instructions to an exit", weight=8, needs=[BENCH],
            command=["python3", "tests/bench/run.py", "--trace"], expect=[r"^  cpuid +\d+$",
            r"^  rdmsr-apic-base +\d+$", r"^  in-pic +\d+$", r"^  lapic-tpr-write +\d+$"]),
    Boot("trace: filter and off", args=["--hv-append", "on-end=prompt", "--boot-module",
                                        "{tmp}/module script", GUEST],
         files={"module": b"trace filter reason RDMSR\n"}, timeout=60, weight=3,
         script="timeout 60\nexpect ended: \nsend trace tail 2\\r\nexpect vitrine> \n"
                "send trace filter off\\r\nexpect vitrine> \nsend trace off\\r\nexpect vitrine> \n"
                "send reset\\r\nexpect running: \nexpect ended: \nsend stat emu\\r\n"
                "expect vitrine> \nsend trace filter reason X\\r\nexpect vitrine> \n"
                "send poweroff 0\\r\nexpect end status=0\n",
         expect=[r"trace tail 2\n(\[.*\] RDMSR .* rdmsr; apic-base \+0 -> 0xfee00900;.*ticks\n)+"
                 r"\[.*LIFE", r"CPUID: 1402 exits, 701 told: the trace was off for the others",
                 r"expected an exit reason"]),
    Boot("trace: full table, diff, filters", cpu="lynnfield", timeout=60, weight=3,
         args=["--hv-append", "on-end=prompt", "--boot-module", "{tmp}/module script",
               "{tmp}/image kind=flat mode=16 load=0x7c00 real-mode=emulate"],
         # 3000 x inc ax; mov cx, 9; in al, 0x21; loop $-2; out 0xf4, al
         files={"image": b"\x40" * 3000 + b"\xb9\x09\x00\xe4\x21\xe2\xfc\xe6\xf4", "module": b"trace filter device pic-master\n"},
         script="timeout 60\nexpect ended: \n" + "".join(
             f"send {command}\\r\nexpect vitrine> \n" for command in (
                 "trace tail 3", "stat emu 2", "stat diff", "stat diff", "trace filter device toaster",
                 "trace filter vm disk", "trace filter vm guest 1")) +
                "send poweroff 0\\r\nexpect end status=0\n",
         expect=[r"trace tail 3\n(\[.*\] STEP .* in al, 0x21; pic-master mask -> .*\n){2}.* LIFE",
                 r"^ +\d+ +\d+ +- STEP +\(others\)", r"and 20\d\d more rows", r"^3020 instructions emulated in states",
                 r"^the table is full: \d{3} are told only by reason",
                 r"stat diff\n(.*\n)+all +[1-9]", r"stat diff\n(.*\n)+all +0 +0$",
                 r"expected a device's name", r"expected the name of a virtual machine",
                 r"virtual CPU's number"],
         reject=[r"EXCEPTION_NMI", r"trace was off"]),
    # 2100 x in al, 0x21; out 0xf4, al
    Boot("trace: more exits than rows", timeout=60, weight=3,
         args=["--hv-append", "on-end=prompt", "{tmp}/image kind=flat mode=32 load=0x7c00"],
         files={"image": b"\xe4\x21" * 2100 + b"\xe6\xf4"},
         script="timeout 60\nexpect ended: \nsend stat emu 1\\r\nexpect vitrine> \n"
                "send poweroff 0\\r\nexpect end status=0\n",
         expect=[r"^ +\d+ +\d+ +\S+ IO +\(others\)",
                 r"^21\d\d exits: 2101 by instructions, as above, and \d+ by events",
                 r"^the table is full: \d\d+ are told only by reason"], reject=[r"trace was off"]),
    Boot("trace in the report of a death", args=["--hv-append", "on-end=prompt", "{tmp}/image "
                                                 "kind=flat mode=32 load=0x7c00"],
         # in al, 0x21; jmp far into a page without memory
         files={"image": b"\xe4\x21\xb8\x00\x00\x00\xe0\xff\xe0"}, timeout=60, weight=3,
         script="timeout 60\nexpect ended: \nsend poweroff 0\\r\nexpect end status=0\n",
         expect=[r"stopped: the guest executes at guest-physical 0xe0000000",
                 r"LIFE +\S+ starts", r"IO .* in al, 0x21; pic-master mask -> ", r"EPT_VIOLATION"]),
]
