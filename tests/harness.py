# SPDX-License-Identifier: MIT
"""What a test is: one command, how long it may take, and what its output has to say.

Each file in tests/system/ has a list TESTS of Boot(...) and Command(...); tests/run.py runs them.
"""
import glob
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build/logs")

SKIPPED = 77  # exit status of a program that could not test anything, and has said why

# Bochs' CPU models with EPT, oldest first, and the two that cannot run guests for lack of it or of
# VT-x altogether.
LADDER = ["lynnfield", "arrandale", "sandy", "haswell", "skylake"]
LADDER_OF_TEN = ["lynnfield", "arrandale", "sandy", "ivy", "haswell", "broadwell", "skylake", "cnl",
                 "icelake", "tigerlake"]
WITHOUT_EPT, WITHOUT_VMX = "penryn", "zambezi"

# A kernel command line that keeps Linux quick on an emulator, and complete.
LINUX_ARGS = ("console=ttyS0,115200 quiet nokaslr mitigations=off init_on_alloc=0 no_timer_check "
              "cryptomgr.notests audit=0 apparmor=0 random.trust_cpu=on")
VMLINUZ, INITRAMFS = "build/linux/vmlinuz", "build/linux/initramfs.cpio"


@dataclass
class Result:
    """How a test went: "ok", "FAIL" or "skip", and why; `cases` has the outcomes of its parts."""
    test: object
    outcome: str
    why: str = ""
    seconds: float = 0
    cases: list = field(default_factory=list)

    def counts(self):
        """{"ok": n, "FAIL": n, "skip": n}: of the parts, and at least 1 of the whole's outcome."""
        count = {outcome: self.cases.count(outcome) for outcome in ("ok", "FAIL", "skip")}
        count[self.outcome] = max(1, count[self.outcome])
        return count


@dataclass
class Command:
    """A program. Passes when its exit status is `status`, its output has every pattern of `expect`
    in this order and none of `reject`. Skipped, saying so, when a file of `needs` is not there."""
    name: str
    command: list
    status: int = 0
    expect: list = field(default_factory=list)
    reject: list = field(default_factory=list)
    needs: list = field(default_factory=list)
    timeout: float = 120
    weight: float = 1  # rough seconds; the longest are started first
    parts: bool = False  # prints "ok NAME", "not ok NAME" or "ok NAME # skip" for its parts

    def line(self, folder):
        return self.command

    def log(self):
        return os.path.join(LOGS, re.sub(r"[^A-Za-z0-9.-]+", "-", self.name) + ".txt")

    def judge(self, status, text):
        """Why the test failed, or None."""
        at = 0
        for pattern in self.expect:
            match = re.compile(pattern, re.M).search(text, at)
            if not match:
                return f"no {pattern!r}" + (" after the earlier ones" if at else "")
            at = match.end()
        for pattern in self.reject:
            match = re.search(pattern, text, re.M)
            if match:
                return f"has {match.group(0)!r}"
        if status != self.status:
            return f"exit status {status}, not {self.status}"
        return None

    def run(self):
        missing = [path for path in self.needs if not os.path.exists(os.path.join(ROOT, path))]
        if missing:
            return Result(self, "skip", f"{missing[0]} is not there")
        os.makedirs(LOGS, exist_ok=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="vitrine-test-") as folder:
            line = self.line(folder)
            with open(self.log(), "wb") as log:
                log.write(f"$ {shlex.join(line)}\n".encode())
                log.flush()
                try:
                    process = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                               stderr=subprocess.STDOUT, start_new_session=True)
                except OSError as error:
                    return Result(self, "FAIL", str(error))
                try:
                    # The program has a limit of its own; this one is for when it hangs itself.
                    status = process.wait(self.timeout + 30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.wait()
                    status = 124
        with open(self.log(), encoding="utf-8", errors="replace") as log:
            text = log.read().replace("\r", "")
        text = text.partition("\n")[2]
        if status == SKIPPED and self.status != SKIPPED:
            return Result(self, "skip", text.strip().rpartition("\n")[2], time.monotonic() - start)
        cases = self.cases(text) if self.parts else []
        bad = [name for outcome, name in cases if outcome == "FAIL"]
        why = f"failed: {', '.join(bad)}" if bad else self.judge(status, text)
        if self.parts and not cases and not why:
            why = "ran no test case"
        return Result(self, "FAIL" if why else "ok", why or "", time.monotonic() - start,
                      [outcome for outcome, _ in cases])

    @staticmethod
    def cases(text):
        """(outcome, name) of each part: the lines of cmocka's TAP and of the test guests."""
        lines = re.findall(r"(?m)^(not )?ok (?:\d+ - )?([\w./-]+)(.*)$", text)
        return [("skip" if re.match(r"\s*#\s*skip", rest, re.I) else "FAIL" if bad else "ok", name)
                for bad, name, rest in lines]


@dataclass
class Boot(Command):
    """A run of tools/run: `args` for it, a `script` (text) where the test types something, and
    `files` (name: bytes) written beforehand into a folder that args name as {tmp}."""
    command: list = field(default_factory=list)
    args: list = field(default_factory=list)
    script: str = ""
    files: dict = field(default_factory=dict)
    cpu: str = "haswell"
    weight: float = 10

    def line(self, folder):
        for name, data in self.files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        line = ["tools/run", "--cpu", self.cpu, "--timeout", str(self.timeout)]
        line += [arg.replace("{tmp}", folder) for arg in self.args]
        if self.script:
            path = os.path.join(folder, "script")
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.script)
            line += ["--script", path]
        return line


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def ladder(name, cpus=None, **fields):
    """One Boot for each CPU model."""
    return [Boot(f"{name} ({cpu})", cpu=cpu, **fields) for cpu in cpus or LADDER]


def linux(append="", args=()):
    """Arguments that boot the Linux guest with its initial RAM disk."""
    return ["--initrd", INITRAMFS, "--append", f"{LINUX_ARGS} {append}".strip(), *args, VMLINUZ]


def guests():
    """The test guests: each folder of tests/guests/ but lib is one, built as build/guests/NAME.elf."""
    names = sorted(os.path.basename(os.path.dirname(path))
                   for path in glob.glob(f"{ROOT}/tests/guests/*/"))
    return [name for name in names if name != "lib"]
