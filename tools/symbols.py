#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn the output of `nm -n` (stdin) into assembly source for the symbol table (stdout).

The hypervisor's backtraces name functions by this table; arch/x86/symbols.h says how it looks.
"""
import sys


def functions(lines):
    """(address, name) of every function, ascending; of several names for one address the first."""
    found = {}
    for line in lines:
        address, kind, name = line.split()[-3:]
        if kind in "tTW" and not name.startswith((".", "$")):
            found.setdefault(int(address, 16), name)
    return sorted(found.items())


def main():
    entries = functions(line for line in sys.stdin if len(line.split()) == 3)
    tables = {"count": [f"\t.quad {len(entries)}"], "address": [], "name": [], "text": []}
    offset = 0
    for address, name in entries:
        tables["address"].append(f"\t.quad {address:#x}")
        tables["name"].append(f"\t.long {offset}")
        tables["text"].append(f"\t.asciz \"{name}\"")
        offset += len(name) + 1
    print("\t.section .symbols, \"a\"\n\t.balign 8")
    for name, lines in tables.items():
        print(f"\t.global symbols_{name}\nsymbols_{name}:")
        print("\n".join(lines))
    print("\t.section .note.GNU-stack, \"\", @progbits")


if __name__ == "__main__":
    main()
