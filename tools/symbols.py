#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn the output of `nm -n` (stdin) into assembly source for the symbol table (stdout).

The hypervisor's backtraces name functions by this table; lib/symbols.h says how it looks.
"""
import sys

IMAGE_MAP = 0xffffffff80000000  # arch/x86/layout.h


def functions(lines):
    """(address, name) of the image's functions, ascending; of several names for an address the first."""
    found = {}
    for line in lines:
        address, kind, name = line.split()[-3:]
        if kind in "tTW" and not name.startswith((".", "$")):
            found.setdefault(int(address, 16), name)
    return sorted((at, name) for at, name in found.items() if at >= IMAGE_MAP)


def main():
    entries = functions(line for line in sys.stdin if len(line.split()) == 3)
    tables = {"count": [f"\t.quad {len(entries)}"], "entry": [], "text": []}
    offset = 0
    for address, name in entries:
        tables["entry"].append(f"\t.quad {(address - IMAGE_MAP) << 32 | offset:#x}")
        tables["text"].append(f"\t.asciz \"{name}\"")
        offset += len(name) + 1
    print("\t.section .symbols, \"a\"\n\t.balign 8")
    for name, lines in tables.items():
        print(f"\t.global own_symbols_{name}\nown_symbols_{name}:")
        print("\n".join(lines))
    print("\t.section .note.GNU-stack, \"\", @progbits")


if __name__ == "__main__":
    main()
