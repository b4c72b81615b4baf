# SPDX-License-Identifier: MIT
"""Debian's GDB: source-level on a test guest that itself uses debug registers and TF (and passes its
tests all the same), and by symbols of /proc/kallsyms on Linux."""
from dataclasses import dataclass

from harness import Boot, linux


@dataclass
class Session(Boot):
    """A Boot with GDB: `commands` are typed there once the output has `ready`."""
    ready: str = "running: "
    commands: str = ""

    def line(self, folder):
        self.files = {"commands": self.commands.encode(), **self.files}
        line = super().line(folder)
        return ["tests/gdb_session.py", self.ready, f"{folder}/commands", *line[1:]]


GUEST = """\
file build/guests/debug.elf
target remote 127.0.0.1:{port}
printf "at %#lx, cr0 %#lx\\n", $pc, $cr0
info threads
hbreak guest_main
continue
backtrace 1
info registers rip cs cr3 efer xmm15
break run_test
continue
finish
clear run_test
step
stepi
x/i $pc
watch run
rwatch failed
continue
print run
continue
delete
monitor break
tbreak test_from_cpl3
continue
backtrace 3
set var current_failed = 1
set var current_failed = 0
monitor vm
monitor nonsense
detach
"""

LINUX = """\
file {symbols}
target remote 127.0.0.1:{port}
break *do_sys_openat2
continue
backtrace 1
print/x $cs
x/s $rsi
delete
stepi
stepi
info registers rip cr3
watch -l *(long *)($rsp - 8)
continue
delete
kill
"""
TWO = """\
file build/guests/smp.elf
target remote 127.0.0.1:{port}
info threads
hbreak guest_main
continue
info threads
thread 2
info registers rip cr0
thread 1
info registers rip cr0
delete
detach
"""
# A boot sector: mov sp, 0x7c00; mov ax, 0x1234;
# push ax; inc ax; call 0x7c0d; 0x7c0b: jmp 0x7c0b; 0x7c0d: out 0xf4, al with al = 0.
SECTOR = bytes.fromhex("bc007c b83412 50 40 e80200 ebfe 30c0 e6f4 ebfe")
SMALL = """\
target remote 127.0.0.1:{{port}}
show architecture
info registers {pc} {ax} {sp} cs eflags cr0
x/2i ${code}
stepi
stepi
print/x ${pc}
set ${ax} = 0x4321
print/x ${ax}
hbreak *{at}
continue
x/i ${code}
x/2xh ${sp}
delete
detach
"""


def small(bits, architecture, pc, commands, **fields):
    """A session in 16- or 32-bit code, which GDB knows only from target.xml."""
    files = {"module": f"gdb guest {bits}\n".encode(), **fields.pop("files", {})}
    return Session(f"gdb: {bits}-bit code by target.xml", commands=SMALL.format(**commands), files=files,
                   timeout=90, weight=6, reject=[r"panic", r"[Ee]rror in sourced",
                                                 r"[Ww]arning: .*description"], **fields)


NAMES = "do_sys_openat2|do_filp_open|path_openat|vfs_read"

TESTS = [
    *(Session(f"gdb: source-level session ({cpu})", cpu=cpu, commands=GUEST, timeout=150, weight=20,
              args=["--hv-append", "gdb=wait", "build/guests/debug.elf"],
              expect=[r"at 0x10000c, cr0 0x11", r"\* 1 +Thread 1 \(guest CPU 0\)",
                      r"^Breakpoint 1, guest_main \(\)", r"#0  guest_main \(\) at \S*guest",
                      r"^rip +0x\w+ +0x\w+ <guest_main", r"^cs +0x8 ", r"^cr3 +0x[1-9a-f]",
                      r"^efer +0x[45]00 ", r"^xmm15 ", r"^Breakpoint 2, run_test",
                      r"^Hardware watchpoint 3: run$", r"^Hardware read watchpoint 4: failed",
                      r"^Hardware watchpoint 3: run\n\nOld value = \d+\nNew value = \d+",
                      r"^\$\d+ = \d+", r"^Hardware read watchpoint 4: failed\n\nValue = 0",
                      r"^no breakpoints or watchpoints",
                      r"^Temporary breakpoint \d+, test_from_cpl3", r"#1 .* run_test",
                      r"expected a command .*, got \"nonsense\"",
                      r"^--- the guest's side", r"^\d+ passed, 0 failed"],
              reject=[r"panic", r"[Ee]rror in sourced", r"[Ww]arning: .*description"])
      for cpu in ("haswell", "lynnfield")),
    Session("gdb: two CPUs as threads", commands=TWO, timeout=100, weight=15,
            args=["--smp", "2", "--hv-append", "gdb=wait", "build/guests/smp.elf vcpus=2"],
            expect=[r"\* 1 +Thread 1 \(guest CPU 0\)", r"^  2 +Thread 2 \(guest CPU 1\)",
                    r"^Thread 1 hit Breakpoint 1, guest_main", r"Switching to thread 2",
                    r"^rip +0xfff0 ", r"Switching to thread 1", r"^rip +0x\w+ +0x\w+ <guest_main>",
                    r"^cr0 +0x8", r"detached", r"^\d+ passed, 0 failed"],
            reject=[r"panic", r"[Ee]rror in sourced"]),
    small(32, "i386", "eip", {"pc": "eip", "ax": "eax", "sp": "esp", "code": "pc", "at": "0x10001e"},
          args=["--boot-module", "{tmp}/module script", "--hv-append", "gdb=wait",
                "build/guests/debug.elf"],
          expect=[r"currently \"i386\"", r"^eip +0x10000c ", r"^eax +0x2badb002 ", r"^cr0 +0x11 ",
                  r"0x10000c:\tcli", r"0x10000d:\tcld", r"\$1 = 0x10000e$", r"\$2 = 0x4321$",
                  r"^Breakpoint 1, 0x0010001e", r"0x10001e:\tmov +\$0x111000,%edi", r"0x11b000:"]),
    small(16, "i8086", "eip", {"pc": "eip", "ax": "eax", "sp": "esp", "code": "pc", "at": "0x7c0d"},
          files={"sector": SECTOR},
          args=["--boot-module", "{tmp}/module script", "--hv-append", "gdb=wait",
                "{tmp}/sector kind=flat"],
          expect=[r"currently \"i8086\"", r"^eip +0x7c00 ", r"^cs +0x0 ",
                  r"0x7c00:\tmov +\$0x7c00,%sp", r"0x7c03:\tmov +\$0x1234,%ax",
                  r"\$1 = 0x7c06$", r"\$2 = 0x4321$", r"^Breakpoint 1, 0x00007c0d",
                  r"0x7c0d:\txor +%al,%al", r"0x7bfc:\t0x7c0b\s+0x4321", r"end status=0"]),
    Session("gdb: Linux by /proc/kallsyms", commands=LINUX, timeout=300, weight=50,
            ready="symbols are told",
            args=linux(args=["--hv-append", "gdb=com2"]),
            script="timeout 240\nexpect guest:/# \n"
                   f"send grep -E ' ({NAMES})$' /proc/kallsyms; echo symbols are ''told\\r\n"
                   "expect symbols are told\r\nexpect guest:/# \npause 6\n"
                   "send while :; do cat /etc/passwd; sleep 1; done\\r\nexpect killed by GDB\n",
            expect=[r"^Breakpoint 1, 0x\w+ in do_sys_openat2 \(\)", r"#0  0x\w+ in do_sys_openat2",
                    r"^\$1 = 0x10$", r"\"/", r"^rip +0xffffffff8\w+ +0x\w+ <do_sys_openat2\+7>",
                    r"^cr3 +0x[1-9a-f]", r"^Hardware watchpoint 2", r"Old value = ",
                    r"killed by GDB"],
            reject=[r"panic", r"[Ee]rror in sourced"]),
]
