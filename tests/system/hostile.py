# SPDX-License-Identifier: MIT
"""Guests that do their worst end only themselves: the prompt answers afterwards, and, where the guest
goes on for ever, meanwhile.  The same of real-mode programs, where there is no unrestricted guest."""
import subprocess

from harness import Boot, ROOT

GUEST = "build/guests/hostile.elf"
# What dies by itself, and the words it is reported with.
DEADLY = {"triple": r"ended: triple fault", "fetch": r"executes at guest-physical",
          "tables": r"page tables lead to"}
# What runs on until somebody ends it.
ENDLESS = ["spin", "halt", "storm"]
ALIVE = """\
expect vitrine> 
send echo still alive\\r
expect \\nstill alive
"""
AFTER = "timeout 40\nexpect ended: \n" + ALIVE + "send poweroff 9\\r\nexpect end status=9\n"
MEANWHILE = ("timeout 40\nexpect running: \npause 1\nsend \\x1d\n" + ALIVE +
             "send kill\\r\nexpect killed at the prompt\n" + ALIVE +
             "send poweroff 9\\r\nexpect end status=9\n")


def args(word):
    return ["--guest-mem", "32M", "--append", word, "--hv-append", "on-end=prompt", GUEST]


# tests/system/invalid.asm: what its programs are, and the words they are reported with or (then
# they go on for ever) the rule that their emulated instructions are counted under.
REAL_DEADLY = {2: ("short vector table", r"ended: triple fault"),
               4: ("no stack", r"ended: triple fault")}
REAL_ENDLESS = {1: ("stale segment", {"vm86": "virtual-8086: base", "emulate": "real-mode=emulate"}),
                3: ("vectors of zeros", {"vm86": None, "emulate": "real-mode=emulate"}),
                5: ("real mode's CS in protected mode", {"vm86": "CS ", "emulate": "CS "})}
WAYS = {"vm86": ("lynnfield", ""), "emulate": ("haswell", "unrestricted=off real-mode=emulate")}


class RealBoot(Boot):
    """A program of invalid.asm as a flat guest."""
    worst = 0

    def line(self, folder):
        subprocess.run(["nasm", "-f", "bin", f"-DWORST={self.worst}", "-o", f"{folder}/program",
                        f"{ROOT}/tests/system/invalid.asm"], check=True)
        return super().line(folder)


def real(worst, name, way, **fields):
    cpu, words = WAYS[way]
    test = RealBoot(f"hostile real mode, {name} ({way})", cpu=cpu, status=9, reject=[r"panic"],
                    timeout=60, weight=3, args=["--hv-append", "on-end=prompt",
                                                f"{{tmp}}/program kind=flat mem=4M {words}"], **fields)
    test.worst = worst
    return test


def rules(rule):
    """Meanwhile, with a look at what is emulated and why."""
    look = f"send stat rules\\r\nexpect \\d{{4,}} .*{rule}\n" if rule else ""
    return MEANWHILE.replace("send kill", look + "send kill", 1)


TESTS = [
    *(Boot(f"hostile {word}: reported, prompt alive", args=args(word), status=9, script=AFTER,
           expect=[words], reject=[r"panic"], timeout=60, weight=3) for word, words in DEADLY.items()),
    *(Boot(f"hostile {word}: the prompt answers meanwhile", args=args(word), status=9,
           script=MEANWHILE, reject=[r"panic"], timeout=60, weight=3) for word in ENDLESS),
    *(real(worst, name, way, script=AFTER, expect=[words]) for way in WAYS
      for worst, (name, words) in REAL_DEADLY.items()),
    *(real(worst, name, way, script=rules(rule[way])) for way in WAYS
      for worst, (name, rule) in REAL_ENDLESS.items()),
]
