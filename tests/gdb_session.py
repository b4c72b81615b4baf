#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A session of Debian's GDB with a guest: starts tools/run with COM2 for GDB, waits for READY in its
output, runs gdb on a file of commands and prints first what gdb said, then what the guest did.

gdb_session.py READY COMMANDS ARGUMENTS-OF-TOOLS/RUN ...
COMMANDS may have {port}, and {symbols}: an ELF file of what the output has of /proc/kallsyms.
Exit status: gdb's; 124 when READY does not come.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

from harness import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def symbols(text, path):
    """Make an ELF file of the functions of /proc/kallsyms in the guest's output, if any."""
    found = re.findall(r"(?m)^([0-9a-f]{16}) [tT] (\w+)\r?$", text)
    if not found:
        return
    functions = sorted((int(at, 16), name) for at, name in found)
    base = functions[0][0]
    source = "".join(f".org {at - base}\n.globl {name}\n.type {name}, @function\n{name}:\n"
                     for at, name in functions)
    subprocess.run(["as", "--64", "-o", f"{path}.o", "-"], input=source.encode(), check=True)
    subprocess.run(["ld", "-Ttext", hex(base), "-e", hex(base), "-o", path, f"{path}.o"], check=True)


def main():
    ready, commands, args = sys.argv[1], sys.argv[2], sys.argv[3:]
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="vitrine-gdb-") as folder:
        output = os.path.join(folder, "output")
        with open(output, "wb") as out:
            run = subprocess.Popen(["tools/run", "--gdb", str(port), *args], cwd=ROOT, stdout=out,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            text = ""
            while not re.search(ready, text) and run.poll() is None:
                time.sleep(0.2)
                with open(output, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            if run.poll() is not None:
                print(text)
                return 124
            elf = os.path.join(folder, "symbols")
            symbols(text, elf)
            with open(commands, encoding="utf-8") as file:
                script = file.read().replace("{port}", str(port)).replace("{symbols}", elf)
            with open(os.path.join(folder, "commands"), "w", encoding="utf-8") as file:
                file.write("set pagination off\nset width 0\nset remotetimeout 60\n"
                           "set tcp connect-timeout 30\n" + script)
            status = subprocess.run(["gdb", "-nx", "-batch", "-x", file.name], cwd=ROOT,
                                    check=False, timeout=400).returncode
            run.wait(200)
            with open(output, encoding="utf-8", errors="replace") as file:
                print("--- the guest's side ---\n" + file.read())
            return status
        finally:
            if run.poll() is None:
                run.terminate()
                run.wait()


if __name__ == "__main__":
    sys.exit(main())
