# SPDX-License-Identifier: MIT
"""Execution control at the prompt, on a guest that waits before its first instruction; also on a CPU
that has the monitor trap flag but does not heed it."""
from harness import Boot, free_port

GUEST = "build/guests/debug.elf"


def ask(command, *answers):
    return f"send {command}\\r\n" + "".join(f"expect {answer}\n" for answer in answers)


SCRIPT = ("timeout 60\nexpect running: \nsend \\x1d\nexpect vitrine> \n" +
          ask("pause", "is not running") +
          ask("step", r"stands \(stepped\) at 0x10000d <guest_entry\+0x1>: cld") +
          ask("step 2", r"stands \(stepped\) at 0x1000") +
          ask("step 0", "expected a number of instructions") +
          ask("step 1000", r"stands \(stepped\) at 0x") +
          ask("break guest_main", r"\n1\r") +
          ask("resume", r"stands \(point 1\) at 0x\w+ <guest_main>: ") +
          5 * ask("break guest_main", r"\n\d\r") +
          ask("break", r"  6  break --  \w+ <guest_main>  hits 0  by EPT") +
          ask("step", r"stands \(stepped\) at 0x") +
          ask("delete all", "vitrine> ") +
          ask("break run_test", r"\n7\r") +
          ask("resume", r"stands \(point 7\) at 0x\w+ <run_test>: ") +
          ask("resume", r"stands \(point 7\) at 0x\w+ <run_test>: ") +
          ask("break", r"  7  break --  \w+ <run_test>  hits 2  by debug register") +
          ask("delete 7", "vitrine> ") + ask("delete 7", "expected a point's number") +
          ask("watch run 4", r"\n8\r") +
          ask("resume", r"stands \(point 8\) at 0x") +
          ask("watch run 64K rw", r"\n9\r") +
          ask("resume", r"stands \(point 9\) at 0x") +
          ask("delete all", "vitrine> ") + ask("break", "no breakpoints or watchpoints") +
          ask("watchp 0xfee00000", "expected an address of memory") +
          ask("watch 0x10 0", "expected a number of bytes") +
          ask("until exit io", r"stands \(exit\) at 0x") +
          ask("until exit nothing", "expected an exit reason") +
          ask("until entry cpuid", "expected exit") +
          ask("inject exception 2", "inject nmi") + ask("inject exception 6 1", "no error code") +
          ask("inject interrupt", "expected an interrupt's vector") +
          ask("resume", r"passed, 0 failed", "end status=0"))

# The guest looks for everything that stepping could leave: TF in the flags that PUSHF, INT and faults
# push, POPF, the shadow of MOV SS, its own breakpoints on code, data and ports.
STEPPED = ("timeout 80\nexpect running: \nsend \\x1d\nexpect vitrine> \nsend step 100000000\\r\n"
           "expect ended: \n" + ask("stat rules", "rule of SDM") + ask("stat emu 1", "for the debugger") +
           "send poweroff 9\\r\nexpect end status=9\n")

# EMULTYPE_ALLOW_RETRY_PF: while the watchpoint stands, writes to its page are emulated; the first
# one after it finds nothing but a closed page, runs by itself, and so does all that follows.
PROTECTED = ("timeout 60\nexpect running: \nsend \\x1d\nexpect vitrine> \n" +
             ask("watch run 4", r"\n1\r") + ask("resume", r"stands \(point 1\) at 0x") +
             ask("stat", r"\nwrite-protect +[1-9]\d* ", "vitrine> ") +
             ask("delete all", "vitrine> ") + ask("stat reset", "vitrine> ") +
             ask("break run_test", r"\n2\r") + ask("resume", r"stands \(point 2\) at 0x") +
             ask("trace tail 60", r" EPT_VIOLATION +\S+ ; qualification 0x1aa; ", "vitrine> ") +
             ask("delete all", "vitrine> ") + ask("resume", r"passed, 0 failed", "ended: ") +
             ask("", "vitrine> ") + ask("stat", r"\nEPT_VIOLATION +\d ", "vitrine> ") +
             ask("poweroff 0", "end status=0"))

TESTS = [
    Boot("debug: a guest that is stepped through does not notice", script=STEPPED, status=9, timeout=90,
         weight=8, args=["--gdb", str(free_port()), "--hv-append", "gdb=wait on-end=prompt", GUEST],
         expect=[r"20 passed, 0 failed", r"^0 exits: ", r"^\d{5,} instructions emulated in states"],
         reject=[r"panic", r"not ok"]),
    Boot("debug: a write to a protected page is emulated, or tried again once it is open",
         script=PROTECTED, timeout=90, weight=6, reject=[r"panic"],
         args=["--gdb", str(free_port()), "--hv-append", "gdb=wait on-end=prompt", GUEST]),
    *[Boot(f"debug: execution control ({cpu})", cpu=cpu, script=SCRIPT, timeout=90, weight=8,
         args=["--gdb", str(free_port()), "--hv-append", "gdb=wait", GUEST], reject=[r"panic"],
         expect=["monitor trap flag, but it does not work"] if cpu == "icelake" else [])
      for cpu in ("haswell", "icelake", "lynnfield")]
]
