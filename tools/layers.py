#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the two structural rules: includes go only where ALLOWED says, and never in a circle.

A circle is looked for among headers, and among modules: a header and the .c or .asm of the same
name. A header without one, like a folder's internal.h, is no module.
Exit status 1 and one line per offence.
"""
import os
import re
import sys

# Folder: the folders it may include (and itself). vmx never names a device, drivers/model never
# names VMX; both rest on the contracts in drivers/.
ALLOWED = {
    "lib": "",
    "emulator": "lib",
    "arch/x86": "lib",
    "drivers": "lib",
    "drivers/host": "lib arch/x86 drivers",
    "drivers/console": "lib emulator arch/x86 drivers drivers/host",
    "drivers/model": "lib drivers",
    "vmx": "lib emulator arch/x86 drivers drivers/host drivers/console",
    "guest": "lib emulator drivers drivers/model",
    "boot": "lib emulator arch/x86 drivers drivers/host drivers/console drivers/model vmx guest",
    "boot/uefi": "lib guest boot",
}
# What C promises a program without an operating system (C17, 4p6), and nothing more.
SYSTEM = {"stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdnoreturn.h",
          "limits.h", "float.h", "iso646.h", "stdalign.h"}
INCLUDE = re.compile(r'^\s*[#%]\s*include\s*(["<])([^">]+)[">]', re.M)


def folder_of(path):
    return os.path.dirname(path)


def sources():
    for folder in ALLOWED:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if name.endswith((".c", ".h", ".S", ".asm", ".def", ".inc")):
                yield f"{folder}/{name}"


def includes(path):
    with open(path, encoding="utf-8") as file:
        return INCLUDE.findall(file.read())


def is_module(name):
    return os.path.exists(name + ".h") and any(
        os.path.exists(name + end) for end in (".c", ".S", ".asm"))


def circles(graph):
    """The circles of a graph, one for each group of nodes that reach each other (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for to in graph.get(node, ()):
            if to not in index:
                visit(to)
            if to in stack:
                low[node] = min(low[node], low[to])
        if low[node] == index[node]:
            group = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(group) > 1:
                found.append(group)

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def check():
    errors, headers, modules = [], {}, {}
    for path in sources():
        folder = folder_of(path)
        for mark, target in includes(path):
            if mark == "<":
                if target not in SYSTEM and (folder, target) != ("boot/uefi", "efi.h"):
                    errors.append(f"{path}: <{target}> is not there without an operating system")
                continue
            if not os.path.exists(target):
                errors.append(f"{path}: no such file: {target} (paths begin at the top folder)")
                continue
            to = folder_of(target)
            if to != folder and to not in ALLOWED[folder].split():
                errors.append(f"{path}: {folder} must not include {target}")
            if path.endswith(".h"):
                headers.setdefault(path, set()).add(target)
            one, two = os.path.splitext(path)[0], os.path.splitext(target)[0]
            if one != two and is_module(one) and is_module(two):
                modules.setdefault(one, set()).add(two)
    for kind, graph in (("headers", headers), ("modules", modules)):
        for group in circles(graph):
            errors.append(f"circle of {kind}: {' '.join(sorted(group))}")
    return errors


def main():
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    errors = check()
    for error in errors:
        print(f"layers: {error}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
