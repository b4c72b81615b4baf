#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn the output of `nm -n` (stdin) into assembly source for the symbol table (stdout).

The hypervisor's backtraces name functions by this table; its reader is arch/x86/symbols.h. Entries
ascend by address; each is the low half of the address (the image lies in the top 2 GiB, so the high
half is all ones) and the offset of the name in symbols_text.

    symbols_count  u32
    symbols_table  { u32 address, name; }[symbols_count]
    symbols_text   names, each ending in NUL
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
    out = [".section .rodata.symbols, \"a\"", ".balign 8"]
    offset = 0
    table, text = [], []
    for address, name in entries:
        table.append(f"\t.long {address & 0xffffffff:#x}, {offset}")
        text.append(f"\t.asciz \"{name}\"")
        offset += len(name) + 1
    for label, body in (("count", [f"\t.long {len(entries)}"]), ("table", table), ("text", text)):
        out += [f".global symbols_{label}", f"symbols_{label}:"] + body
    out += [".section .note.GNU-stack, \"\", @progbits"]
    print("\n".join(out))


if __name__ == "__main__":
    main()
