#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How much of emulator/ the host tests execute: `make coverage`.

coverage.py BUILD     BUILD: where the programs lie that were compiled with clang's instrumentation

Runs the unit tests, a share of each judge and of fuzzing with a fixed seed, prints lines and
branches by file and what no test has executed, and fails below MINIMUM per cent of the lines.
"""
import concurrent.futures
import glob
import json
import os
import subprocess
import sys

MINIMUM = 95.0
SKIPPED = 77  # by a judge without its vectors
JUDGES = [
    ["native", "--cases", "60000"], ["native", "--systematic", "--cases", "60000"],
    ["zydis", "--cases", "300000"], ["sst286"],
    ["emulator", "-runs=400000", "-seed=1", "-max_len=512", "-verbosity=0"],
]


def run(build, number, command):
    """Its exit status and what it printed; counters go to profile number.profraw."""
    env = dict(os.environ, LLVM_PROFILE_FILE=f"{build}/{number}.profraw")
    done = subprocess.run([f"{build}/{command[0]}"] + command[1:], env=env, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return command, done


def export(build, objects):
    """The figures as llvm-cov tells them."""
    profile = f"{build}/all.profdata"
    subprocess.run(["llvm-profdata", "merge", "-o", profile] + glob.glob(f"{build}/*.profraw"),
                   check=True)
    command = ["llvm-cov", "export", "-instr-profile", profile, objects[0]]
    for name in objects[1:]:
        command += ["-object", name]
    sources = sorted(glob.glob("emulator/*.[ch]"))
    out = subprocess.run(command + sources, check=True, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL).stdout  # it warns of each program's own main()
    return json.loads(out)["data"][0]


def missed_lines(segments):
    """Ranges of lines that no test came to.  A segment: line, column, count, is it counted, does a
    region begin there, is it a gap; a line counts as often as what goes on into it or begins there.
    """
    count = {}
    for this, after in zip(segments, segments[1:]):
        if this[3] and not this[5]:
            first = this[0] if this[4] else this[0] + 1
            for line in range(first, after[0] + 1):
                count[line] = max(count.get(line, 0), this[2])
    ranges = []
    for line in sorted(line for line, times in count.items() if times == 0):
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def print_row(name, summary):
    lines, branches = summary["lines"], summary["branches"]
    print(f"{name:26} {lines['covered']:5} of {lines['count']:5} lines {lines['percent']:6.2f} %  "
          f"{branches['covered']:5} of {branches['count']:5} branches {branches['percent']:6.2f} %")


def main():
    build = sys.argv[1]
    units = sorted(os.path.basename(path) for path in glob.glob(f"{build}/test_emu_*")
                   if not path.endswith(".d"))
    commands = [[name] for name in units] + JUDGES
    for path in glob.glob(f"{build}/*.profraw"):
        os.remove(path)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for command, done in pool.map(lambda job: run(build, *job), enumerate(commands)):
            if done.returncode == SKIPPED:
                print(done.stdout.decode(errors="replace").strip())
            elif done.returncode != 0:
                sys.exit(f"coverage: {' '.join(command)} failed:\n"
                         + done.stdout.decode(errors="replace")[-2000:])
    data = export(build, sorted({f"{build}/{command[0]}" for command in commands}))
    for entry in data["files"]:
        name = os.path.relpath(entry["filename"])
        print_row(name, entry["summary"])
        missed = missed_lines(entry["segments"])
        if missed:
            print(f"    not executed: {missed}")
    print_row("emulator/", data["totals"])
    percent = data["totals"]["lines"]["percent"]
    if percent < MINIMUM:
        sys.exit(f"coverage: {percent:.2f} % of the lines, less than {MINIMUM:.0f} %")


if __name__ == "__main__":
    main()
