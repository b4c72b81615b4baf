#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How many calls lie between a VM exit's handler and a device's register, in the built image.

Reads the disassembly: a CALL counts one, a jump into another function nothing. Calls through
tables are not in the code; those on this way are listed below, with the function that makes each.
Prints the shortest way and fails when it has more than --most calls.
"""
import argparse
import heapq
import re
import subprocess
import sys

# From whom to whom, by a pointer: an opcode's handler, an operation of the emulator's user, a
# device's access function.
INDIRECT = {
    "emu_step": ["op_mov_load", "op_mov_store", "op_mov_imm"],
    "op_mov_load": ["op_mmio_read"],
    "op_mov_store": ["op_mmio_write"],
    "op_mov_imm": ["op_mmio_write"],
    "emu_read_memory": ["op_mmio_read"],
    "emu_write_memory": ["op_mmio_write"],
    "op_mmio_read": ["page_read"],
    "op_mmio_write": ["page_write"],
}
POINTER = re.compile(r"\t(call|jmp) +\*(?!.*\.text)")
DIRECT = re.compile(r"\t(call|j\w+) +[0-9a-f]+ <([\w.]+)(?:\+0x[0-9a-f]+)?>")


def graph(image):
    """{function: {callee: calls}} of the image's code."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", image], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    edges, name = {}, None
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+ <([\w.]+)>:$", line)
        if head:
            name = head.group(1)
            edges.setdefault(name, {})
            continue
        direct, pointer = DIRECT.search(line), POINTER.search(line)
        targets = [direct.group(2)] if direct else INDIRECT.get(name, []) if pointer else []
        for target in targets:
            cost = int((direct or pointer).group(1) == "call")
            if target != name:
                edges[name][target] = min(cost, edges[name].get(target, 1))
    return edges


def shortest(edges, start, end):
    queue, seen = [(0, start, [start])], set()
    while queue:
        calls, name, way = heapq.heappop(queue)
        if name == end:
            return calls, way
        if name not in seen:
            seen.add(name)
            for target, cost in edges.get(name, {}).items():
                heapq.heappush(queue, (calls + cost, target, way + [target]))
    sys.exit(f"calls: no way from {start} to {end}: was something renamed?")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default="build/vitrine.elf")
    parser.add_argument("--most", type=int, default=6)
    args = parser.parse_args()
    edges = graph(args.image)
    worst = 0
    for end in "page_read", "page_write":
        calls, way = shortest(edges, "exit_ept_violation", end)
        worst = max(worst, calls)
        print(f"{calls} calls: {' > '.join(way)}")
    return int(worst > args.most)


if __name__ == "__main__":
    sys.exit(main())
