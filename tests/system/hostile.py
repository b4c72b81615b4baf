# SPDX-License-Identifier: MIT
"""Guests that do their worst end only themselves: the prompt answers afterwards, and, where the guest
goes on for ever, meanwhile."""
from harness import Boot

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


TESTS = [
    *(Boot(f"hostile {word}: reported, prompt alive", args=args(word), status=9, script=AFTER,
           expect=[words], reject=[r"panic"], timeout=60, weight=3) for word, words in DEADLY.items()),
    *(Boot(f"hostile {word}: the prompt answers meanwhile", args=args(word), status=9,
           script=MEANWHILE, reject=[r"panic"], timeout=60, weight=3) for word in ENDLESS),
]
